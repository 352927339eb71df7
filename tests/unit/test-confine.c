/*
 * confine: after it, what a taken-over fc-unpack would try is refused, and
 * what unpacking takes still works. Each attempt in a child of its own, as
 * confinement is for good.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "unpack/confine.h"
#include "unpack/result.h"

enum { TARGET = 3, REFUSED = 40, WORKED = 41, NOT_CONFINED = 42 };

static char top[64];

static long open_path(int dir, const char *name, int flags)
{
	struct open_how how = { .flags = (uint64_t)flags, .mode = flags & O_CREAT ? 0644 : 0 };
	return syscall(SYS_openat2, dir, name, &how, sizeof(how));
}

static long try_create(void) { return open_path(TARGET, "made", O_WRONLY | O_CREAT | O_EXCL); }
static long try_mkdir(void) { return mkdirat(TARGET, "dir", 0755); }
static long try_yield(void) { return sched_yield(); }
static long try_passwd(void) { return open_path(AT_FDCWD, "/etc/passwd", O_RDONLY); }
static long try_outside(void) { return open_path(TARGET, "../sentinel", O_RDONLY); }
static long try_outside_write(void) { return open_path(TARGET, "../sentinel", O_WRONLY); }
static long try_outside_create(void) { return mkdirat(TARGET, "../escape", 0755); }
static long try_old_open(void) { return syscall(SYS_openat, AT_FDCWD, "/", O_RDONLY); }
static long try_bundle_write(void) { return write(0, "x", 1); }
static long try_bundle_cut(void) { return ftruncate(0, 0); }
static long try_socket(void) { return socket(AF_INET, SOCK_STREAM, 0); }
static long try_unix(void) { return socket(AF_UNIX, SOCK_STREAM, 0); }
static long try_fork(void) { return syscall(SYS_clone, 0, 0, 0, 0, 0); }
static long try_exec(void) { return syscall(SYS_execve, "/bin/true", NULL, NULL); }
static long try_setuid(void) { return setuid(0); }
static long try_chmod(void) { return fchmod(TARGET, 04777); }
static long try_chown(void) { return fchown(TARGET, 0, 0); }
static long try_mknod(void) { return mknodat(TARGET, "node", S_IFIFO | 0600, 0); }
static long try_mount(void) { return mount("none", "/", "tmpfs", 0, NULL); }
static long try_unshare(void) { return unshare(CLONE_NEWUSER); }
static long try_kill(void) { return kill(getppid(), 0); }
static long try_xattr(void) { return syscall(SYS_fsetxattr, TARGET, "user.x", "x", 1, 0); }
static long try_ptrace(void) { return syscall(SYS_ptrace, 0, 0, 0, 0); }

static long try_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? -1 : 0;
}

static long try_shared(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 0, 0);
	return p == MAP_FAILED ? -1 : 0;
}

/* In the child; never returns. */
static void attempt(long (*fn)(void))
{
	struct err err = ERR_INIT;
	uint32_t in = 0;
	int target = open("target", O_RDONLY | O_DIRECTORY);
	int bundle = fd_sealed_memfd("bundle", "bundle", 6);
	struct confine c = {
		.target_fd = TARGET,
		.result_fd = -1,
		.max_bytes = 1 << 20,
		.cpu_seconds = 10,
		.has_ids = geteuid() == 0,
		.uid = 65534,
		.gid = 65534,
	};
	if (target < 0 || bundle < 0 || dup2(bundle, 0) < 0 || dup2(target, TARGET) < 0 || close_range(4, ~0U, 0) < 0)
		_exit(1);
	if (confine(&c, &in, &err) < 0) {
		dprintf(2, "%s\n", err.text);
		_exit(NOT_CONFINED);
	}
	_exit(fn() < 0 ? REFUSED : WORKED);
}

static void every_attempt(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		long (*fn)(void);
		bool works;
	} attempts[] = {
		{ "create a file", try_create, true },
		{ "create a directory", try_mkdir, true },
		{ "yield", try_yield, true },
		{ "read /etc/passwd", try_passwd, false },
		{ "read beside the target", try_outside, false },
		{ "write beside the target", try_outside_write, false },
		{ "open by the old call", try_old_open, false },
		{ "write to the bundle", try_bundle_write, false },
		{ "truncate the bundle", try_bundle_cut, false },
		{ "map the bundle shared", try_shared, false },
		{ "make code", try_code, false },
		{ "internet socket", try_socket, false },
		{ "unix socket", try_unix, false },
		{ "fork", try_fork, false },
		{ "execve", try_exec, false },
		{ "setuid", try_setuid, false },
		{ "chmod", try_chmod, false },
		{ "chown", try_chown, false },
		{ "mknod", try_mknod, false },
		{ "setxattr", try_xattr, false },
		{ "mount", try_mount, false },
		{ "unshare", try_unshare, false },
		{ "kill", try_kill, false },
		{ "ptrace", try_ptrace, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			attempt(attempts[i].fn);
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		bool worked = WIFEXITED(status) && WEXITSTATUS(status) == WORKED;
		bool refused = (WIFEXITED(status) && WEXITSTATUS(status) == REFUSED) ||
			       (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
		if (attempts[i].works ? !worked : !refused)
			fail_msg("%s: wait status 0x%x", attempts[i].name, status);
	}
}

/* mkdirat takes no resolve flags: ".." in the jail is the target itself, and landlock allows nothing above it */
static void nothing_appears_outside(void **state)
{
	(void)state;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		attempt(try_outside_create);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) != NOT_CONFINED);
	assert_int_equal(faccessat(AT_FDCWD, "escape", F_OK, AT_SYMLINK_NOFOLLOW), -1);
	assert_int_equal(errno, ENOENT);
}

static int make_place(void)
{
	const char *tmp = getenv("TMPDIR");
	snprintf(top, sizeof(top), "%.40s/fc-confine-XXXXXX", tmp ? tmp : "/tmp");
	/* everybody may read and write what lies around the target: only confinement is in the way */
	if (!mkdtemp(top) || chmod(top, 0777) < 0 || chdir(top) < 0 || mkdir("target", 0777) < 0 ||
	    chmod("target", 0777) < 0)
		return -1;
	autoclose int fd = open("sentinel", O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	return fd < 0 ? -1 : fchmod(fd, 0666);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_attempt),
		cmocka_unit_test(nothing_appears_outside),
	};
	if (make_place() < 0)
		return 1;
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	if (chdir("/") < 0 || fd_remove_tree_at(AT_FDCWD, top) < 0)
		return 1;
	return r;
}
