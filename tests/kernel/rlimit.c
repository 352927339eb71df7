/*
 * A hard limit, once lowered, stays: capabilities in a user namespace do not
 * raise it again, and it survives execve.
 * Leaned on by: sandbox/limits.
 */
#include "kernel-test.h"

#include <sys/resource.h>

int main(int argc, char **argv)
{
	struct rlimit rl;
	if (argc == 2) {
		CHECK(getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur == 64 && rl.rlim_max == 64);
		return 0;
	}
	need_root();
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		enter_userns(200000, 65536);
		CHECK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 64, 64 }) == 0);
		CHECK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 65, 65 }) < 0 && errno == EPERM);
		while (open("/", O_PATH | O_CLOEXEC) >= 0)
			;
		CHECK(errno == EMFILE);
		CHECK(syscall(SYS_close_range, 3u, ~0u, 0) == 0);
		execl("/proc/self/exe", argv[0], "inside", (char *)NULL);
		CHECK(!"execl");
	}
	reap_ok(pid);
	return 0;
}
