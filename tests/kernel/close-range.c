/*
 * close_range marks every descriptor from a number on as close-on-exec, and
 * closes a range, however many there are and without listing them.
 * Leaned on by: sandbox/fds, host/launch (nothing of the caller's leaks).
 */
#include "kernel-test.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

int main(int argc, char **argv)
{
	if (argc == 2) { /* the executed one: only 0, 1, 2 and the one that was let through */
		for (int fd = 3; fd < 200; fd++)
			CHECK((fcntl(fd, F_GETFD) >= 0) == (fd == 5));
		return 0;
	}
	for (int fd = 3; fd < 100; fd++)
		CHECK(dup2(0, fd) == fd);
	CHECK(syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) == 0);
	CHECK(fcntl(50, F_GETFD) == FD_CLOEXEC);
	CHECK(syscall(SYS_close_range, 60u, 70u, 0) == 0);
	CHECK(fcntl(60, F_GETFD) < 0 && fcntl(70, F_GETFD) < 0 && fcntl(71, F_GETFD) >= 0);
	CHECK(fcntl(5, F_SETFD, 0) == 0);
	execl("/proc/self/exe", argv[0], "inside", (char *)NULL);
	CHECK(!"execl");
}
