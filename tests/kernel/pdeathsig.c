/*
 * The parent-death signal is forgotten when a process changes its user id, so
 * it has to be asked for after that; it survives execve of a plain program.
 * Leaned on by: sandbox/init, sandbox/ids (die_with_parent).
 */
#include "kernel-test.h"

#include <sys/prctl.h>

static int asked(void)
{
	int sig = -1;
	CHECK(prctl(PR_GET_PDEATHSIG, &sig) == 0);
	return sig;
}

int main(int argc, char **argv)
{
	if (argc == 2) {
		CHECK(asked() == SIGKILL);
		return 0;
	}
	need_root();
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
		CHECK(asked() == SIGKILL);
		CHECK(setresuid(65534, 65534, 65534) == 0);
		CHECK(asked() == 0);
		CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
		execl("/proc/self/exe", argv[0], "inside", (char *)NULL);
		CHECK(!"execl");
	}
	reap_ok(pid);
	return 0;
}
