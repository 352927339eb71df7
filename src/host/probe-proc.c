/* probe-proc - processes, descriptors, filters, and what has to lie on the disk. */
#include "host/probe-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

void probe_kernel(struct probe_ctx *c, struct probe_row *row)
{
	unsigned major = 0, minor = 0;
	if (sscanf(c->report->kernel, "%u.%u", &major, &minor) == 2 && (major > 6 || (major == 6 && minor >= 1)))
		probe_detail(row, "%s", c->report->kernel);
	else
		probe_fail(row, PROBE_degraded, 0, c->report->kernel, "upgrade to Linux 6.1 or newer; the other rows tell "
			   "what works on this one");
}

static int try_pidfd(void *arg, void *out)
{
	(void)arg;
	(void)out;
	int pair[2];
	siginfo_t si;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return errno;
	pid_t pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	autoclose int fd = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
	int e = fd < 0 ? errno : 0;
	if (!e) {
		autoclose int theirs = (int)syscall(SYS_pidfd_getfd, fd, pair[0], 0);
		e = theirs < 0 ? errno : 0;
	}
	if (!e && syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) < 0)
		e = errno;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	if (!e && poll(&p, 1, 5000) != 1)
		e = ETIMEDOUT;
	if (!e && waitid((idtype_t)3 /* P_PIDFD */, (id_t)fd, &si, WEXITED) < 0)
		e = errno;
	return e;
}

static void simple(struct probe_row *row, probe_try_fn *fn, enum probe_status otherwise, const char *what,
		   const char *good, const char *todo)
{
	int e = probe_try(fn, NULL, NULL, 0);
	if (e)
		probe_fail(row, otherwise, e, what, todo);
	else
		probe_detail(row, "%s", good);
}

static const char floor_todo[] = "Linux 6.1 is the floor; in a container: allow the call in its seccomp profile";

void probe_pidfd(struct probe_ctx *c, struct probe_row *row)
{
	(void)c;
	simple(row, try_pidfd, PROBE_missing, "open, copy from, signal, poll and reap by pidfd",
	       "a child was watched, signalled and reaped by pidfd", floor_todo);
}

/* getpriority is refused with a number that no kernel gives; everything else goes through. */
static int try_seccomp(void *arg, void *out)
{
	struct sock_filter insn[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpriority, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 4000),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { ARRAY_LEN(insn), insn };
	(void)arg;
	(void)out;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		return errno;
	errno = 0;
	return syscall(SYS_getpriority, 0, 0) == -1 && errno == 4000 ? 0 : EPROTO;
}

void probe_seccomp(struct probe_ctx *c, struct probe_row *row)
{
	(void)c;
	simple(row, try_seccomp, PROBE_missing, "install a filter and be refused by it", "a filter was installed and held",
	       "a kernel with CONFIG_SECCOMP_FILTER");
}

/* Deny everything below / and see that it is denied. */
static int try_landlock(void *arg, void *out)
{
	(void)arg;
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (abi < 0)
		return errno;
	*(long *)out = abi;
	struct landlock_ruleset_attr attr = { .handled_access_fs = LANDLOCK_ACCESS_FS_READ_DIR };
	autoclose int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (fd < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return errno;
	autoclose int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 && errno == EACCES ? 0 : EPROTO;
}

void probe_landlock(struct probe_ctx *c, struct probe_row *row)
{
	long abi = 0;
	(void)c;
	int e = probe_try(try_landlock, NULL, &abi, sizeof(abi));
	if (e)
		probe_fail(row, PROBE_degraded, e, "restrict a process with Landlock",
			   "boot with landlock in the lsm= list (and a kernel with CONFIG_SECURITY_LANDLOCK)");
	else
		probe_detail(row, "ABI %ld, a restriction held", abi);
}

/* Deny abstract sockets outside and see that it is denied: one made before cannot be connected to any more. */
static int try_landlock_scope(void *arg, void *out)
{
	(void)arg;
	(void)out;
	const struct { uint64_t fs, net, scoped; } attr = { .scoped = 1 /* LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET */ };
	autoclose int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (fd < 0)
		return errno == E2BIG ? EOPNOTSUPP : errno; /* a kernel that knows less of the struct */
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const socklen_t family = offsetof(struct sockaddr_un, sun_path);
	socklen_t len = sizeof(addr);
	autoclose int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	autoclose int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* with the family alone the kernel chooses an abstract name */
	if (server < 0 || client < 0 || bind(server, (struct sockaddr *)&addr, family) < 0 || listen(server, 1) < 0 ||
	    getsockname(server, (struct sockaddr *)&addr, &len) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return errno;
	return connect(client, (struct sockaddr *)&addr, len) < 0 && errno == EPERM ? 0 : EPROTO;
}

void probe_landlock_scope(struct probe_ctx *c, struct probe_row *row)
{
	(void)c;
	simple(row, try_landlock_scope, PROBE_degraded, "keep a process from abstract sockets outside",
	       "an abstract socket outside was refused", "do not use --network host here for code you do not trust");
}

/* core(5): a helper runs as root, outside, with what a crash inside gives it. */
void probe_core_pattern(struct probe_ctx *c, struct probe_row *row)
{
	char pattern[192];
	(void)c;
	ssize_t n = fd_read_file_at(AT_FDCWD, "/proc/sys/kernel/core_pattern", pattern, sizeof(pattern));
	if (n < 0) {
		probe_fail(row, PROBE_degraded, (int)-n, "read kernel.core_pattern", "mount /proc");
		return;
	}
	pattern[strcspn(pattern, "\n")] = '\0';
	struct rlimit core;
	const bool zero = getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0;
	if (pattern[0] != '|') {
		probe_detail(row, "%.120s: no program is started", pattern);
		return;
	}
	probe_fail(row, PROBE_degraded, 0, "", zero ? "raise the hard limit of core files (ulimit -H -c) to 1 or more: with 0 "
						      "the helper runs also for functions" :
						      "for OCI containers: sysctl kernel.core_pattern=core, or RLIMIT_CORE 1 "
						      "in their rlimits");
	probe_detail(row, "%.120s: this host's helper runs as root for crashes %s", pattern,
		     zero ? "in every sandbox" : "in OCI containers; functions have RLIMIT_CORE 1, which it skips");
}

static int try_openat2(void *arg, void *out)
{
	(void)arg;
	(void)out;
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH };
	autoclose int dir = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	autoclose int fd = (int)syscall(SYS_openat2, dir, "../etc", &how, sizeof(how));
	if (fd >= 0)
		return EPROTO;
	return errno == EXDEV ? 0 : errno;
}

void probe_openat2(struct probe_ctx *c, struct probe_row *row)
{
	(void)c;
	simple(row, try_openat2, PROBE_missing, "be refused a path that leaves its root", "a path could not leave its root",
	       floor_todo);
}

static int try_close_range(void *arg, void *out)
{
	(void)arg;
	(void)out;
	int fd = dup(0);
	if (fd < 0)
		fd = open("/", O_PATH);
	if (fd < 0 || syscall(SYS_close_range, (unsigned)fd, (unsigned)fd, CLOSE_RANGE_CLOEXEC) < 0)
		return errno;
	return fcntl(fd, F_GETFD) == FD_CLOEXEC ? 0 : EPROTO;
}

void probe_close_range(struct probe_ctx *c, struct probe_row *row)
{
	(void)c;
	simple(row, try_close_range, PROBE_missing, "mark a range of descriptors close-on-exec", "a range was marked close-on-exec",
	       floor_todo);
}

static int try_memfd(void *arg, void *out)
{
	(void)arg;
	(void)out;
	autoclose int fd = fd_sealed_memfd("doctor", "x", 1);
	if (fd < 0)
		return -fd;
	void *p = mmap(NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return errno;
	return write(fd, "y", 1) < 0 && errno == EPERM ? 0 : EPROTO;
}

void probe_memfd(struct probe_ctx *c, struct probe_row *row)
{
	(void)c;
	simple(row, try_memfd, PROBE_missing, "make, seal and map a memfd", "one was sealed and mapped", floor_todo);
}

/* As agent/keeper-tables.c counts, with the default of max-connections. */
enum { FDS_OWN = 256, FDS_KEEPER = 6, FDS_SERVE = 4, FDS_CONNECTIONS = 2 * 1024, INSTANCES_WANTED = 1000 };

static unsigned instances_in(rlim_t files, rlim_t fixed, rlim_t each)
{
	return files > fixed ? (unsigned)((files - fixed) / each) : 0;
}

void probe_descriptors(struct probe_ctx *c, struct probe_row *row)
{
	struct rlimit rl;
	if (getrlimit(RLIMIT_NOFILE, &rl) < 0) {
		probe_fail(row, PROBE_degraded, errno, "read the limit of descriptors", "");
		return;
	}
	rlim_t hard = rl.rlim_max > 1u << 20 ? 1u << 20 : rl.rlim_max;
	unsigned keeper = instances_in(hard, FDS_OWN, FDS_KEEPER), serve = instances_in(hard, FDS_OWN + FDS_CONNECTIONS, FDS_SERVE);
	c->report->max_instances = keeper < serve ? keeper : serve;
	char text[PROBE_DETAIL_MAX];
	snprintf(text, sizeof(text), "RLIMIT_NOFILE %llu (hard): fc-agent can hold %u sandboxes",
		 (unsigned long long)rl.rlim_max, c->report->max_instances);
	if (c->report->max_instances >= INSTANCES_WANTED)
		probe_detail(row, "%s", text);
	else
		probe_fail(row, PROBE_degraded, 0, text, "raise it for fc-agent: LimitNOFILE= in its unit, or ulimit -Hn");
}

void probe_state_dir(struct probe_ctx *c, struct probe_row *row)
{
	const char *dir = c->report->state_dir;
	struct statvfs v;
	char free_text[32];
	if (statvfs(dir, &v) < 0) {
		probe_fail(row, PROBE_degraded, errno, dir, "give a directory that exists: --state-dir");
		return;
	}
	uint64_t avail = (uint64_t)v.f_bavail * v.f_frsize;
	str_size(free_text, sizeof(free_text), avail);
	char text[PROBE_DETAIL_MAX];
	bool readonly = v.f_flag & ST_RDONLY, writable = faccessat(AT_FDCWD, dir, W_OK, AT_EACCESS) == 0;
	snprintf(text, sizeof(text), "%.200s: %s, %s free", dir,
		 readonly ? "read-only" : writable ? "writable" : "not writable for this user", free_text);
	if (readonly || !writable)
		probe_fail(row, PROBE_degraded, 0, text, "give another: --state-dir");
	else if (avail < 1ull << 30)
		probe_fail(row, PROBE_degraded, 0, text, "free some space; layers are kept there");
	else
		probe_detail(row, "%s", text);
}

static void helper(struct probe_row *row, const char *name)
{
	char path[PATH_BUF];
	struct err err = ERR_INIT;
	if (path_helper(name, path, sizeof(path), &err) < 0)
		probe_fail(row, PROBE_missing, 0, err.text, err.hint);
	else if (access(path, X_OK) < 0)
		probe_fail(row, PROBE_missing, errno, path, "make it executable, on a file system that is not noexec");
	else
		probe_detail(row, "%.300s", path);
}

void probe_helper_sandbox(struct probe_ctx *c, struct probe_row *row)
{
	(void)c;
	helper(row, "fc-sandbox");
}

void probe_helper_unpack(struct probe_ctx *c, struct probe_row *row)
{
	(void)c;
	helper(row, "fc-unpack");
}

struct version {
	const char *program;
	char path[64], text[64];
};

/* Run "program --version" and keep the first line. */
static int try_version(void *arg, void *out)
{
	(void)arg;
	struct version *v = out;
	int pipefd[2];
	if (pipe2(pipefd, O_CLOEXEC) < 0)
		return errno;
	pid_t pid = fork();
	if (pid == 0) {
		dup2(pipefd[1], 1);
		dup2(pipefd[1], 2);
		execl(v->path, v->path, "--version", (char *)NULL);
		_exit(127);
	}
	close(pipefd[1]);
	ssize_t n = pid < 0 ? -1 : read(pipefd[0], v->text, sizeof(v->text) - 1);
	v->text[n > 0 ? n : 0] = '\0';
	v->text[strcspn(v->text, "\n")] = '\0';
	int status;
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : ENOEXEC;
}

/* The image `host' shows the sandbox /usr: only what is there counts, not the caller's PATH. */
static void runtime(struct probe_row *row, const char *const *names, const char *package)
{
	static const char *const dirs[] = { "/usr/bin", "/usr/local/bin" };
	char todo[PROBE_TODO_MAX];
	snprintf(todo, sizeof(todo), "apt-get install %s, or use another image (--image)", package);
	for (; *names; names++)
		for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
			struct version v = { .program = *names };
			snprintf(v.path, sizeof(v.path), "%s/%s", dirs[i], *names);
			if (access(v.path, X_OK) < 0)
				continue;
			int e = probe_try(try_version, NULL, &v, sizeof(v));
			if (e)
				probe_fail(row, PROBE_degraded, e, v.path, todo);
			else
				probe_detail(row, "%s (%s)", v.path, v.text);
			return;
		}
	probe_fail(row, PROBE_degraded, 0, "not in /usr/bin or /usr/local/bin", todo);
}

void probe_python3(struct probe_ctx *c, struct probe_row *row)
{
	(void)c;
	runtime(row, (const char *const[]){ "python3", NULL }, "python3");
}

void probe_node(struct probe_ctx *c, struct probe_row *row)
{
	(void)c;
	runtime(row, (const char *const[]){ "node", "nodejs", NULL }, "nodejs");
}
