/*
 * linux.seccomp, through libseccomp to BPF bytes.
 *
 * The kernel grows system calls faster than profiles: one that the profile's
 * author could not know must answer ENOSYS, so that libc falls back, and not
 * the EPERM of a default action. So calls above the highest one the profile
 * names are answered ENOSYS by a prologue before libseccomp's program, unless
 * the profile says itself what the default's errno is, or the default is not
 * an errno. Names that libseccomp does not know are such calls, and skipped.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "plan/names.h"
#include "plan/oci-internal.h"

enum { ERRNO_MAX = 4095, X32_BIT = 0x40000000 };

/* ERRNO and TRACE carry a number that is or'ed in. */
static const struct name actions[] = {
	{ "SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD }, { "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS },
	{ "SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD }, { "SCMP_ACT_TRAP", SCMP_ACT_TRAP },
	{ "SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0) }, { "SCMP_ACT_TRACE", SCMP_ACT_TRACE(0) },
	{ "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW }, { "SCMP_ACT_LOG", SCMP_ACT_LOG }, { NULL, 0 },
};

static const struct name operators[] = {
	{ "SCMP_CMP_NE", SCMP_CMP_NE }, { "SCMP_CMP_LT", SCMP_CMP_LT }, { "SCMP_CMP_LE", SCMP_CMP_LE },
	{ "SCMP_CMP_EQ", SCMP_CMP_EQ }, { "SCMP_CMP_GE", SCMP_CMP_GE }, { "SCMP_CMP_GT", SCMP_CMP_GT },
	{ "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ }, { NULL, 0 },
};

static const struct name architectures[] = {
#define A(n) { #n, n }
	A(SCMP_ARCH_X86), A(SCMP_ARCH_X86_64), A(SCMP_ARCH_X32), A(SCMP_ARCH_ARM), A(SCMP_ARCH_AARCH64), A(SCMP_ARCH_MIPS),
	A(SCMP_ARCH_MIPS64), A(SCMP_ARCH_MIPS64N32), A(SCMP_ARCH_MIPSEL), A(SCMP_ARCH_MIPSEL64), A(SCMP_ARCH_MIPSEL64N32),
	A(SCMP_ARCH_PPC), A(SCMP_ARCH_PPC64), A(SCMP_ARCH_PPC64LE), A(SCMP_ARCH_S390), A(SCMP_ARCH_S390X),
	A(SCMP_ARCH_PARISC), A(SCMP_ARCH_PARISC64), A(SCMP_ARCH_RISCV64), { NULL, 0 },
#undef A
};

/* Nothing but LOG needs doing: one thread only exists then (TSYNC), and SPEC_ALLOW only weakens. */
static const struct name flags[] = {
	{ "SECCOMP_FILTER_FLAG_TSYNC", 0 }, { "SECCOMP_FILTER_FLAG_LOG", 1 }, { "SECCOMP_FILTER_FLAG_SPEC_ALLOW", 0 },
	{ NULL, 0 },
};

const char *oci_seccomp_list_name(enum oci_list list, size_t i)
{
	const struct { const struct name *table; size_t rows; } lists[OCI_LIST_MAX] = {
		[OCI_LIST_SECCOMP_ACTION] = { actions, ARRAY_LEN(actions) },
		[OCI_LIST_SECCOMP_OPERATOR] = { operators, ARRAY_LEN(operators) },
		[OCI_LIST_SECCOMP_ARCH] = { architectures, ARRAY_LEN(architectures) },
		[OCI_LIST_SECCOMP_FLAG] = { flags, ARRAY_LEN(flags) },
	};
	return i < lists[list].rows ? lists[list].table[i].name : NULL;
}

struct filter {
	struct oci_reader *o;
	scmp_filter_ctx ctx;
	uint32_t fallback; /* the default action */
	int last;          /* highest native number named, or -1 */
};

static void filter_fini(struct filter *f)
{
	if (f->ctx)
		seccomp_release(f->ctx);
	f->ctx = NULL;
}

static int read_action(struct oci_reader *o, const char *word, json_t *errno_ret, const char *where, uint32_t *ret)
{
	if (strcmp(word, "SCMP_ACT_NOTIFY") == 0)
		return err_set(o->err, 0, "%s: SCMP_ACT_NOTIFY: a listener is not served", where);
	const struct name *a = name_find(actions, word);
	if (!a)
		return err_set(o->err, 0, "%s: %.40s is no action", where, word);
	uint64_t value = EPERM;
	int r = oci_u64(errno_ret, where, &value, o->err);
	if (r < 0)
		return r;
	if (value > ERRNO_MAX)
		return err_set(o->err, 0, "%s: errno %llu is above %d", where, (unsigned long long)value, ERRNO_MAX);
	*ret = (uint32_t)a->value;
	if (*ret == SCMP_ACT_ERRNO(0) || *ret == SCMP_ACT_TRACE(0))
		*ret |= (uint32_t)value;
	return 0;
}

static int add_architectures(struct filter *f, json_t *array)
{
	autofree const char **list = NULL;
	int r = oci_strings(array, "linux.seccomp.architectures", &list, f->o->err);
	for (size_t i = 0; r == 0 && list[i]; i++) {
		const struct name *a = name_find(architectures, list[i]);
		if (!a)
			return err_set(f->o->err, 0, "linux.seccomp.architectures[%zu]: %.40s is unknown", i, list[i]);
		r = seccomp_arch_add(f->ctx, (uint32_t)a->value);
		if (r == -EEXIST)
			r = 0;
		if (r < 0)
			return err_set(f->o->err, -r, "linux.seccomp.architectures[%zu]: %s beside this machine's", i, list[i]);
	}
	return r;
}

static int read_flags(struct filter *f, json_t *array)
{
	autofree const char **list = NULL;
	int r = oci_strings(array, "linux.seccomp.flags", &list, f->o->err);
	for (size_t i = 0; r == 0 && list[i]; i++) {
		const struct name *flag = name_find(flags, list[i]);
		if (!flag)
			return err_set(f->o->err, 0, "linux.seccomp.flags[%zu]: %.48s is not served", i, list[i]);
		if (flag->value)
			plan_flag(&f->o->plan, SPEC_F_SECCOMP_LOG);
	}
	return r;
}

enum { ARGS_MAX = 6 };

static int read_arg(struct filter *f, json_t *v, const char *where, struct scmp_arg_cmp *ret)
{
	struct raw { int64_t index; json_t *value, *value_two; const char *op; } raw = { 0, NULL, NULL, NULL };
	static const struct json_field fields[] = {
		{ "index", JF_INT, offsetof(struct raw, index), true, 0, ARGS_MAX - 1 },
		{ "value", JF_ANY, offsetof(struct raw, value), true, 0, 0 },
		{ "valueTwo", JF_ANY, offsetof(struct raw, value_two), false, 0, 0 },
		{ "op", JF_STR, offsetof(struct raw, op), true, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};
	uint64_t value = 0, two = 0;
	int r = json_read(v, fields, JSON_LAX, &raw, where, f->o->err);
	if (r == 0)
		r = oci_u64(raw.value, where, &value, f->o->err);
	if (r == 0)
		r = oci_u64(raw.value_two, where, &two, f->o->err);
	if (r < 0)
		return r;
	const struct name *op = name_find(operators, raw.op);
	if (!op)
		return err_set(f->o->err, 0, "%s.op: %.40s is no operator", where, raw.op);
	*ret = (struct scmp_arg_cmp){
		.arg = (unsigned)raw.index, .op = (enum scmp_compare)op->value, .datum_a = value, .datum_b = two,
	};
	return 0;
}

static int read_args(struct filter *f, json_t *array, const char *where, struct scmp_arg_cmp *args, unsigned *n)
{
	size_t i;
	json_t *v;
	if (json_array_size(array) > ARGS_MAX)
		return err_set(f->o->err, 0, "%s.args: more than %d", where, ARGS_MAX);
	json_array_foreach(array, i, v) {
		char part[OCI_WHERE + 32];
		snprintf(part, sizeof(part), "%s.args[%zu]", where, i);
		int r = read_arg(f, v, part, &args[i]);
		if (r < 0)
			return r;
	}
	*n = (unsigned)json_array_size(array);
	return 0;
}

/* One rule may test an argument once: two tests of the same one are alternatives. */
static bool alternatives(const struct scmp_arg_cmp *args, unsigned n)
{
	unsigned seen = 0;
	for (unsigned i = 0; i < n; i++) {
		if ((seen >> args[i].arg) & 1)
			return true;
		seen |= 1u << args[i].arg;
	}
	return false;
}

static int add_rule(struct filter *f, const char *name, uint32_t action, const struct scmp_arg_cmp *args, unsigned n,
		    const char *where)
{
	int nr = seccomp_syscall_resolve_name(name);
	if (nr == __NR_SCMP_ERROR)
		return 0;
	if (nr > f->last)
		f->last = nr;
	if (action == f->fallback)
		return 0;
	int r = 0;
	if (alternatives(args, n)) {
		for (unsigned i = 0; i < n && r == 0; i++)
			r = seccomp_rule_add_array(f->ctx, action, nr, 1, &args[i]);
	} else {
		r = seccomp_rule_add_array(f->ctx, action, nr, n, args);
	}
	if (r == -EEXIST)
		r = 0;
	return r < 0 ? err_set(f->o->err, -r, "%s: rule for %.40s", where, name) : 0;
}

static int read_rule(struct filter *f, json_t *v, size_t i)
{
	struct raw { json_t *names, *args, *errno_ret; const char *action; } raw = { NULL, NULL, NULL, NULL };
	static const struct json_field fields[] = {
		{ "names", JF_ARRAY, offsetof(struct raw, names), true, 0, 0 },
		{ "action", JF_STR, offsetof(struct raw, action), true, 0, 0 },
		{ "errnoRet", JF_ANY, offsetof(struct raw, errno_ret), false, 0, 0 },
		{ "args", JF_ARRAY, offsetof(struct raw, args), false, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};
	struct scmp_arg_cmp args[ARGS_MAX] = { 0 };
	unsigned n = 0;
	uint32_t action = 0;
	autofree const char **names = NULL;
	char where[OCI_WHERE], part[OCI_WHERE + 8];
	snprintf(where, sizeof(where), "linux.seccomp.syscalls[%zu]", i);
	snprintf(part, sizeof(part), "%s.names", where);
	int r = json_read(v, fields, JSON_LAX, &raw, where, f->o->err);
	if (r == 0)
		r = read_action(f->o, raw.action, raw.errno_ret, where, &action);
	if (r == 0)
		r = read_args(f, raw.args, where, args, &n);
	if (r == 0)
		r = oci_strings(raw.names, part, &names, f->o->err);
	for (size_t k = 0; r == 0 && names[k]; k++)
		r = add_rule(f, names[k], action, args, n, where);
	return r;
}

/* libseccomp before 2.6 exports to a descriptor only. */
static int export_program(struct filter *f, struct buf *program)
{
	autoclose int fd = memfd_create("seccomp", MFD_CLOEXEC);
	if (fd < 0)
		return err_set(f->o->err, errno, "linux.seccomp: memfd_create");
	int r = seccomp_export_bpf(f->ctx, fd);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	if (r == 0)
		r = buf_read_fd(program, fd);
	return r < 0 ? err_set(f->o->err, -r, "linux.seccomp: compile the filter") : 0;
}

static void add_insn(struct plan *p, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
	struct spec_bpf i = { code, jt, jf, k };
	plan_add_seccomp(p, &i);
}

/* Native calls above the last known one: ENOSYS. */
static void add_prologue(struct filter *f)
{
	struct plan *p = &f->o->plan;
	add_insn(p, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0, 0);
	add_insn(p, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 4);
	add_insn(p, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
	add_insn(p, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 2, 0);
	add_insn(p, BPF_JMP | BPF_JGT | BPF_K, (uint32_t)f->last, 0, 1);
	add_insn(p, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS, 0, 0);
}

static int finish(struct filter *f, bool prologue)
{
	/* a binary search over the numbers: the kernel runs a new filter once per number */
	seccomp_attr_set(f->ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	autobuf struct buf program = BUF_INIT(BPF_MAXINSNS * sizeof(struct spec_bpf));
	int r = export_program(f, &program);
	if (r < 0)
		return r;
	if (prologue && f->last >= 0)
		add_prologue(f);
	const struct spec_bpf *insns = (const struct spec_bpf *)program.data;
	for (size_t i = 0; i < program.len / sizeof(*insns); i++)
		plan_add_seccomp(&f->o->plan, &insns[i]);
	return 0;
}

struct raw_seccomp {
	const char *action, *listener;
	json_t *errno_ret, *archs, *flags, *syscalls;
};

int oci_read_seccomp(struct oci_reader *o, json_t *seccomp)
{
	static const struct json_field fields[] = {
		{ "defaultAction", JF_STR, offsetof(struct raw_seccomp, action), true, 0, 0 },
		{ "defaultErrnoRet", JF_ANY, offsetof(struct raw_seccomp, errno_ret), false, 0, 0 },
		{ "architectures", JF_ARRAY, offsetof(struct raw_seccomp, archs), false, 0, 0 },
		{ "flags", JF_ARRAY, offsetof(struct raw_seccomp, flags), false, 0, 0 },
		{ "listenerPath", JF_STR, offsetof(struct raw_seccomp, listener), false, 0, 0 },
		{ "syscalls", JF_ARRAY, offsetof(struct raw_seccomp, syscalls), false, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};
	struct raw_seccomp raw = { 0 };
	_cleanup_(filter_fini) struct filter f = { .o = o, .last = -1 };
	if (oci_is_unset(seccomp))
		return 0;
	int r = json_read(seccomp, fields, JSON_LAX, &raw, "linux.seccomp", o->err);
	if (r < 0)
		return r;
	if (raw.listener && *raw.listener)
		return err_set(o->err, 0, "linux.seccomp.listenerPath: a listener is not served");
	r = read_action(o, raw.action, raw.errno_ret, "linux.seccomp.defaultAction", &f.fallback);
	if (r < 0)
		return r;
	f.ctx = seccomp_init(f.fallback);
	if (!f.ctx)
		return err_set(o->err, 0, "linux.seccomp.defaultAction: %s: libseccomp refuses it", raw.action);
	r = add_architectures(&f, raw.archs);
	if (r == 0)
		r = read_flags(&f, raw.flags);
	size_t i;
	json_t *v;
	json_array_foreach(raw.syscalls, i, v) {
		if (r == 0)
			r = read_rule(&f, v, i);
	}
	bool is_errno = (f.fallback & 0xffff0000) == SCMP_ACT_ERRNO(0);
	return r < 0 ? r : finish(&f, is_errno && !raw.errno_ret);
}
