/*
 * cgroup-test - groups below fcnode/selftest-<pid>, made and filled through
 * host/cgroup as launch() does it. For cgroup-live and for tests/v2.
 */
#pragma once

#include "kernel-test.h"

#include <linux/sched.h>
#include <sys/mman.h>

#include "host/cgroup-internal.h"

static struct cgroup_host host;
static char top[64];

/* A spec of nothing but limits. */
static inline struct spec limits(uint64_t memory, uint64_t quota, uint64_t pids)
{
	struct spec s;
	memset(&s, 0, sizeof(s));
	s.cgroup.memory_bytes = memory;
	s.cgroup.cpu_quota_us = quota;
	s.cgroup.cpu_period_us = quota ? 100000 : 0;
	s.cgroup.pids = pids;
	if (memory)
		s.cgroup.flags = SPEC_CG_SWAP;
	return s;
}

static inline const char *name(const char *leaf)
{
	static char path[4][CGROUP_PATH_MAX];
	static int i;
	char *p = path[i++ & 3];
	snprintf(p, CGROUP_PATH_MAX, "%s/%s", top, leaf);
	return p;
}

#define OK(call)                                                                    \
	do {                                                                        \
		struct err err_ = ERR_INIT, *err = &err_;                           \
		if ((call) < 0) {                                                   \
			fprintf(stderr, "%s:%d: %s: %s (%s)\n", __FILE__, __LINE__, #call, err->text, err->hint); \
			exit(1);                                                    \
		}                                                                   \
	} while (0)

/* As launch() does it: clone into the v2 group, the child joins the v1 groups, then runs fn (NULL: returns 0 in the child). */
static inline pid_t spawn(const struct cgroup *cg, void (*fn)(void), int *pidfd)
{
	struct cgroup_joint joint;
	OK(cgroup_joint_open(cg, &joint, err));
	int fd = -1;
	struct clone_args args = { .flags = CLONE_INTO_CGROUP | CLONE_PIDFD, .exit_signal = SIGCHLD,
				   .pidfd = (uintptr_t)&fd, .cgroup = (uint64_t)cgroup_clone_fd(cg) };
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	CHECK(pid >= 0);
	if (pid == 0) {
		if (cgroup_join(&joint) < 0)
			_exit(111);
		if (!fn)
			return 0;
		fn();
		_exit(0);
	}
	cgroup_joint_close(&joint);
	if (pidfd)
		*pidfd = fd;
	else
		close(fd);
	return pid;
}

static inline void block(void)
{
	for (;;)
		pause();
}

static inline void spin(void)
{
	for (;;)
		__asm__ volatile("" ::: "memory");
}

static inline void touch(size_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		_exit(2);
	for (size_t i = 0; i < bytes; i += 4096)
		p[i] = 1;
}

/* Fork until refused: EAGAIN from the pids limit is success. */
static inline void fork_many(void)
{
	for (int i = 0; i < 100; i++) {
		pid_t p = fork();
		if (p == 0)
			block();
		if (p < 0)
			_exit(errno == EAGAIN ? 40 + i : 1);
	}
	_exit(2);
}

static inline void gone(const struct cgroup_host *h, const char *path)
{
	char rel[CGROUP_REL_MAX];
	cgroup_rel(h, rel, path, "");
	CHECK(faccessat(h->v2_fd, rel, F_OK, 0) < 0);
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		CHECK(h->v1_fd[c] < 0 || faccessat(h->v1_fd[c], rel, F_OK, 0) < 0);
}

static inline void finish(struct cgroup *cg)
{
	char path[CGROUP_PATH_MAX];
	strcpy(path, cg->path);
	int r = cgroup_remove(cg, 2000);
	if (r < 0)
		fprintf(stderr, "remove %s: %s\n", path, strerror(-r));
	CHECK(r == 0);
	cgroup_fini(cg);
	gone(&host, path);
}
