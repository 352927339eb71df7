/*
 * kernel-test - the few lines that each program here needs. A program proves one
 * behaviour of the kernel that the code leans on; its head says which code.
 * Exit status: 0 so it is, 1 it is not, 77 it cannot be told here (with the
 * reason; FC_TEST_STRICT=1 makes that a failure).
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* What was asserted, with errno at that moment. */
#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: not so: %s (errno %d: %s)\n", __FILE__, __LINE__, #cond, errno, \
				strerror(errno));                                                  \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

__attribute__((noreturn, format(printf, 1, 2))) static inline void skip(const char *fmt, ...)
{
	const char *strict = getenv("FC_TEST_STRICT");
	va_list ap;
	va_start(ap, fmt);
	fputs("skip: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(strict && strcmp(strict, "1") == 0 ? 1 : 77);
}

static inline void need_root(void)
{
	if (geteuid() != 0)
		skip("needs root");
}

/* Wait for a child of ours; its wait status. */
static inline int reap(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		CHECK(errno == EINTR);
	return status;
}

/* A child that must exit 0: its own CHECKs have said why otherwise. */
static inline void reap_ok(pid_t pid)
{
	int status = reap(pid);
	CHECK(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		exit(77);
	CHECK(WEXITSTATUS(status) == 0);
}

static inline void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}
