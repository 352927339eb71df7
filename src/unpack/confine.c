#include "unpack/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "unpack/result.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum { MEMORY_MAX = 512 << 20, FILES_MAX = 32 };

/* ---- resource limits. Mustn't: need privilege. ---- */

static int limit(int resource, rlim_t soft, rlim_t hard, struct err *err)
{
	struct rlimit old;
	if (getrlimit(resource, &old) < 0)
		return err_set(err, errno, "getrlimit %d", resource);
	/* never raise what the caller already set lower */
	hard = hard < old.rlim_max ? hard : old.rlim_max;
	soft = soft < hard ? soft : hard;
	const struct rlimit new = { .rlim_cur = soft, .rlim_max = hard };
	if (setrlimit(resource, &new) < 0)
		return err_set(err, errno, "setrlimit %d", resource);
	return 0;
}

static int limits_enter(const struct confine *c, struct err *err)
{
	/* a write over the limit shall be EFBIG, with its entry named, not a death */
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	int r = limit(RLIMIT_CORE, 0, 0, err);
	if (!r)
		r = limit(RLIMIT_NOFILE, FILES_MAX, FILES_MAX, err);
	if (!r)
		r = limit(RLIMIT_NPROC, 0, 0, err);
	if (!r)
		r = limit(RLIMIT_FSIZE, c->max_bytes, c->max_bytes, err);
	/* SIGXCPU at the soft limit tells the caller why; SIGKILL follows where it does not end us (as pid 1) */
	if (!r)
		r = limit(RLIMIT_CPU, c->cpu_seconds, c->cpu_seconds + 1, err);
	/* AddressSanitizer maps terabytes that it never touches */
	if (!r && !SANITIZED)
		r = limit(RLIMIT_AS, MEMORY_MAX, MEMORY_MAX, err);
	return r;
}

/* ---- namespaces. Should: leave network, ipc and the host's files. Mustn't yet: drop the rights that this takes. ---- */

/*
 * The target becomes the root directory, so that nothing else has a path.
 * The working directory follows into the new mount namespace, descriptors do
 * not; open_tree only clones mounts of the namespace one is in.
 */
static int jail_enter(int target_fd)
{
	autoclose int tree = (int)syscall(SYS_open_tree, AT_FDCWD, "",
					  AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return -errno;
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return -errno;
	if (fchdir(tree) < 0 || chroot(".") < 0)
		return -errno;
	/* stays open: closing it would unmount it, and openat2 then answers EAGAIN to a ".." for ever */
	take_fd(&tree);
	autoclose int inside = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (inside < 0 || dup3(inside, target_fd, O_CLOEXEC) < 0)
		return -errno;
	return 0;
}

static int namespaces_enter(const struct confine *c, uint32_t *in, struct err *err)
{
	if (fchdir(c->target_fd) < 0)
		return err_set(err, errno, "enter the target directory");

	const int wanted = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
	bool user = false;
	int r = unshare(wanted);
	if (r < 0 && errno == EPERM) {
		user = true;
		r = unshare(wanted | CLONE_NEWUSER);
	}
	/* what the kernel or its policy denies an ordinary user; landlock then has to be there */
	if (r < 0)
		return 0;
	*in |= UNPACK_IN(NETNS) | UNPACK_IN(IPCNS) | (user ? UNPACK_IN(USERNS) : 0);
	if (jail_enter(c->target_fd) == 0)
		*in |= UNPACK_IN(JAIL);
	return 0;
}

/* ---- identity. Should: end being root for good. ---- */

static int ids_enter(const struct confine *c, uint32_t *in, struct err *err)
{
	if (c->has_ids) {
		if (setgroups(0, NULL) < 0)
			return err_set(err, errno, "drop the supplementary groups");
		if (setresgid(c->gid, c->gid, c->gid) < 0)
			return err_set(err, errno, "become group %u", (unsigned)c->gid);
		if (setresuid(c->uid, c->uid, c->uid) < 0)
			return err_set(err, errno, "become user %u", (unsigned)c->uid);
	}
	*in |= UNPACK_IN(IDS);
	return 0;
}

static int caps_enter(const struct confine *c, uint32_t *in, struct err *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];
	memset(none, 0, sizeof(none));
	if (syscall(SYS_capset, &head, none) < 0)
		return err_set(err, errno, "drop all capabilities");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return err_set(err, errno, "drop the ambient capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, errno, "set no_new_privs");
	/* a change of ids clears this one; nobody may trace or read us */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_set(err, errno, "prctl");
	/* who died while it was cleared sends none; the other end of the result's pipe tells */
	struct pollfd reader = { .fd = c->result_fd };
	if (c->result_fd >= 0 && poll(&reader, 1, 0) != 0)
		return err_set(err, EPIPE, "find the caller: it has gone");
	*in |= UNPACK_IN(NOCAPS);
	return 0;
}

/* ---- landlock: linux/landlock.h of Debian 12 ends at ABI 2; the rest by number ---- */

#define LL_REFER (1ULL << 13)     /* ABI 2 */
#define LL_TRUNCATE (1ULL << 14)  /* ABI 3 */
#define LL_IOCTL_DEV (1ULL << 15) /* ABI 5 */
#define LL_NET_ALL 3ULL           /* ABI 4: bind, connect */
#define LL_SCOPE_ALL 3ULL         /* ABI 6: abstract sockets, signals */

struct ll_ruleset {
	uint64_t fs, net, scoped;
};

/* ABI to how much of the struct the kernel knows, and to what it can deny. */
static size_t landlock_handled(long abi, struct ll_ruleset *r)
{
	r->fs = LL_REFER - 1;
	if (abi >= 2)
		r->fs |= LL_REFER;
	if (abi >= 3)
		r->fs |= LL_TRUNCATE;
	if (abi >= 5)
		r->fs |= LL_IOCTL_DEV;
	r->net = abi >= 4 ? LL_NET_ALL : 0;
	r->scoped = abi >= 6 ? LL_SCOPE_ALL : 0;
	return abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
}

static int landlock_enter(int target_fd, uint32_t *in, struct err *err)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	/* ABI 1 denies every link across directories, which tars have; 6.1 is ABI 2 */
	if (abi < 2)
		return 0;
	struct ll_ruleset handled = { 0, 0, 0 };
	size_t size = landlock_handled(abi, &handled);
	autoclose int rules = (int)syscall(SYS_landlock_create_ruleset, &handled, size, 0);
	if (rules < 0)
		return err_set(err, errno, "landlock_create_ruleset");
	struct landlock_path_beneath_attr create = {
		.allowed_access = (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
				   LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SYM | LL_REFER |
				   LL_TRUNCATE) & handled.fs,
		.parent_fd = target_fd,
	};
	if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &create, 0) < 0)
		return err_set(err, errno, "landlock_add_rule");
	if (syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		return err_set(err, errno, "landlock_restrict_self");
	*in |= UNPACK_IN(LANDLOCK);
	return 0;
}

/* ---- seccomp ---- */

/* What unpacking takes, besides the conditional ones below. */
static const int allowed[] = {
	SCMP_SYS(pread64), SCMP_SYS(read), SCMP_SYS(lseek), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(close),
	SCMP_SYS(openat2), SCMP_SYS(mkdirat), SCMP_SYS(symlinkat), SCMP_SYS(linkat), SCMP_SYS(utimensat),
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex),
	SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid),
	SCMP_SYS(sched_yield), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(restart_syscall),
	SCMP_SYS(exit), SCMP_SYS(exit_group),
};

/* A libc looks for a locale, a converter or its own limits at odd times: there are none. */
static const int absent[] = {
	SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(access), SCMP_SYS(readlink), SCMP_SYS(ioctl), SCMP_SYS(prlimit64),
	SCMP_SYS(sysinfo), SCMP_SYS(uname), SCMP_SYS(getuid), SCMP_SYS(geteuid),
};

static int filter_add(scmp_filter_ctx ctx)
{
	int r = 0;
	for (size_t i = 0; !r && i < ARRAY_LEN(allowed); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	for (size_t i = 0; !r && i < ARRAY_LEN(absent); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOENT), absent[i], 0);
	/* never the bundle (0), however it was opened */
	static const int writing[] = { SCMP_SYS(write), SCMP_SYS(pwrite64), SCMP_SYS(ftruncate) };
	for (size_t i = 0; !r && i < ARRAY_LEN(writing); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, writing[i], 1, SCMP_A0(SCMP_CMP_NE, 0, 0));
	/* memory: private, and never code */
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
				     SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_TYPE, MAP_PRIVATE));
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* abort(): of a failed assertion, of the allocator */
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A2(SCMP_CMP_EQ, SIGABRT, 0));
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(rt_sigaction), 0);
	if (!r && SANITIZED) /* at its end, AddressSanitizer gives back its signal stack */
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(sigaltstack), 0);
	return r;
}

static int seccomp_enter(uint32_t *in, struct err *err)
{
	/* a sanitizer's report needs more than a parser; it shall appear rather than die on the way */
	scmp_filter_ctx ctx = seccomp_init(SANITIZED ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_KILL_PROCESS);
	if (!ctx)
		return err_set(err, ENOMEM, "make the seccomp filter");
	int r = filter_add(ctx);
	if (!r)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	if (r < 0)
		return err_set(err, -r, "load the seccomp filter");
	*in |= UNPACK_IN(SECCOMP);
	return 0;
}

int confine(const struct confine *c, uint32_t *ret_in, struct err *err)
{
	uint32_t in = 0;
	int r = limits_enter(c, err);
	if (r < 0)
		return r;
	in |= UNPACK_IN(RLIMITS);
	if (getpid() == 1)
		in |= UNPACK_IN(PIDNS);

	r = namespaces_enter(c, &in, err);
	if (!r)
		r = ids_enter(c, &in, err);
	if (!r)
		r = caps_enter(c, &in, err);
	if (!r)
		r = landlock_enter(c->target_fd, &in, err);
	if (r < 0)
		return r;
	if (!(in & (UNPACK_IN(JAIL) | UNPACK_IN(LANDLOCK)))) {
		err_set(err, EPERM, "keep the files of this host out of reach");
		return err_hint(err, "allow user namespaces to this user, or use a kernel with landlock ABI 2 (6.1)");
	}
	r = seccomp_enter(&in, err);
	if (r < 0)
		return r;
	*ret_in = in;
	return 0;
}
