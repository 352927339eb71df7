/*
 * cgroup-device - a spec's device rules as an eBPF program on the v2 directory
 * (BPF_PROG_TYPE_CGROUP_DEVICE; works in the v2 tree of hybrid hosts too).
 *
 * The rules are compiled last first, since the last one that matches decides
 * (as v1's devices.allow and devices.deny did), into straight compares; what no
 * rule matches is refused.
 */
#include "host/cgroup-internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { INSNS_PER_RULE = 10, RULES_MAX = 256, INSNS_MAX = 8 + RULES_MAX * INSNS_PER_RULE };

struct program {
	struct bpf_insn insn[INSNS_MAX];
	int count;
};

static void add(struct program *p, unsigned code, unsigned dst, unsigned src, int off, int imm)
{
	assert(p->count < INSNS_MAX);
	p->insn[p->count++] = (struct bpf_insn){ .code = (unsigned char)code, .dst_reg = dst & 15, .src_reg = src & 15,
						 .off = (short)off, .imm = imm };
}

enum { R_RETURN = 0, R_CTX = 1, R_TYPE = 2, R_ACCESS = 3, R_MAJOR = 4, R_MINOR = 5, R_TMP = 6 };

/* struct bpf_cgroup_dev_ctx { access_type = access << 16 | type; major; minor; } */
static void prologue(struct program *p)
{
	add(p, BPF_LDX | BPF_MEM | BPF_W, R_TYPE, R_CTX, 0, 0);
	add(p, BPF_ALU | BPF_MOV | BPF_X, R_ACCESS, R_TYPE, 0, 0);
	add(p, BPF_ALU | BPF_AND | BPF_K, R_TYPE, 0, 0, 0xffff);
	add(p, BPF_ALU | BPF_RSH | BPF_K, R_ACCESS, 0, 0, 16);
	add(p, BPF_LDX | BPF_MEM | BPF_W, R_MAJOR, R_CTX, 4, 0);
	add(p, BPF_LDX | BPF_MEM | BPF_W, R_MINOR, R_CTX, 8, 0);
}

static void verdict(struct program *p, int allow)
{
	add(p, BPF_ALU64 | BPF_MOV | BPF_K, R_RETURN, 0, 0, allow);
	add(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* Compares that jump to the next rule when one fails; their offsets are patched at the end. True when there
 * are none: the rule always decides, and the kernel refuses a program with instructions that are never reached. */
static bool rule(struct program *p, const struct spec_device *d)
{
	int jump[4], jumps = 0;
	unsigned access = (d->access & 1 ? BPF_DEVCG_ACC_READ : 0) | (d->access & 2 ? BPF_DEVCG_ACC_WRITE : 0) |
			  (d->access & 4 ? BPF_DEVCG_ACC_MKNOD : 0);
	const unsigned all = BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE | BPF_DEVCG_ACC_MKNOD;

#define UNLESS(op, reg, imm)                                       \
	do {                                                       \
		jump[jumps++] = p->count;                          \
		add(p, BPF_JMP | (op) | BPF_K, reg, 0, 0, (int)(imm)); \
	} while (0)
	if (d->type != 'a')
		UNLESS(BPF_JNE, R_TYPE, d->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
	if (access != all) {
		/* an allow rule must cover every access asked for, a deny rule any of them */
		add(p, BPF_ALU | BPF_MOV | BPF_X, R_TMP, R_ACCESS, 0, 0);
		add(p, BPF_ALU | BPF_AND | BPF_K, R_TMP, 0, 0, (int)(d->allow ? all & ~access : access));
		UNLESS(d->allow ? BPF_JNE : BPF_JEQ, R_TMP, 0);
	}
	if (d->major != UINT32_MAX)
		UNLESS(BPF_JNE, R_MAJOR, d->major);
	if (d->minor != UINT32_MAX)
		UNLESS(BPF_JNE, R_MINOR, d->minor);
#undef UNLESS
	verdict(p, d->allow != 0);
	for (int i = 0; i < jumps; i++)
		p->insn[jump[i]].off = (short)(p->count - jump[i] - 1);
	return jumps == 0;
}

static int load(const struct program *p)
{
	union bpf_attr attr;
	static const char license[] = "GPL"; /* no helper is called; the kernel wants a word here */
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insns = (uintptr_t)p->insn;
	attr.insn_cnt = (unsigned)p->count;
	attr.license = (uintptr_t)license;
	int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	return fd < 0 ? -errno : fd;
}

static int attach(int dirfd, int prog)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.target_fd = (unsigned)dirfd;
	attr.attach_bpf_fd = (unsigned)prog;
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	return syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

int cgroup_device_apply(int dirfd, const struct spec *spec, struct err *err)
{
	struct program p;
	uint32_t n;
	const struct spec_device *d = spec_section(spec, SPEC_SECT_DEVICE, &n);

	if (n > RULES_MAX)
		return err_set(err, E2BIG, "device rules: %u, at most %d", n, RULES_MAX);
	p.count = 0;
	prologue(&p);
	bool decided = false;
	for (uint32_t i = n; i > 0 && !decided; i--)
		decided = rule(&p, &d[i - 1]);
	if (!decided)
		verdict(&p, 0);

	autoclose int prog = load(&p);
	if (prog < 0) {
		err_set(err, -prog, "load the device filter (bpf)");
		return prog == -EPERM ? err_hint(err, "device rules need CAP_BPF and CAP_NET_ADMIN; as an ordinary user "
						      "leave linux.resources.devices out") :
					prog;
	}
	/* the program file needs a real descriptor of the directory, not an O_PATH one */
	autoclose int dir = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = dir < 0 ? -errno : attach(dir, prog);
	return r < 0 ? err_set(err, -r, "attach the device filter to the group") : 0;
}
