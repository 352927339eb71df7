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
#include <sys/mount.h>
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

/* ---- two processes in step ---- */

struct step {
	int fd[2];
};

static inline struct step step_new(void)
{
	struct step s;
	CHECK(pipe2(s.fd, O_CLOEXEC) == 0);
	return s;
}

static inline void step_say(struct step *s) { CHECK(write(s->fd[1], "x", 1) == 1); }

static inline void step_wait(struct step *s)
{
	char b;
	CHECK(read(s->fd[0], &b, 1) == 1);
}

/* Give the user namespace of pid the ids [first, first + count) as 0 and up. */
static inline void map_ids(pid_t pid, unsigned first, unsigned count)
{
	char path[64], text[64];
	snprintf(text, sizeof(text), "0 %u %u", first, count);
	snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pid);
	write_file(path, text);
	snprintf(path, sizeof(path), "/proc/%d/gid_map", (int)pid);
	write_file(path, text);
}

/* Become 0 in a user namespace with the ids [first, first + count); by a child that stays outside and writes the maps. */
static inline void enter_userns(unsigned first, unsigned count)
{
	struct step made = step_new(), mapped = step_new();
	pid_t self = getpid(), helper = fork();
	CHECK(helper >= 0);
	if (helper == 0) {
		step_wait(&made);
		map_ids(self, first, count);
		step_say(&mapped);
		_exit(0);
	}
	CHECK(unshare(CLONE_NEWUSER) == 0);
	step_say(&made);
	step_wait(&mapped);
	reap_ok(helper);
	CHECK(setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0);
}

/* A user namespace with these ids as a descriptor. */
static inline int userns_fd(unsigned first, unsigned count)
{
	struct step made = step_new(), done = step_new();
	char path[64];
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		CHECK(unshare(CLONE_NEWUSER) == 0);
		step_say(&made);
		step_wait(&done);
		_exit(0);
	}
	step_wait(&made);
	map_ids(pid, first, count);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	step_say(&done);
	reap_ok(pid);
	return fd;
}
