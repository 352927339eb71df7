/* proc - a child process as {pid, pidfd}: no bare pid that may be recycled (pidfd_open(2)). */
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include "base/err.h"

struct proc {
	pid_t pid; /* 0: none */
	int pidfd; /* -1: none; readable (POLLIN) when it has ended */
};

#define PROC_INIT { 0, -1 }

int proc_signal(const struct proc *p, int sig);

/* Wait for the end and reap. *status as of wait(2); ru may be NULL. 0 or -errno. */
int proc_reap(struct proc *p, int *status, struct rusage *ru);

/* Like reap, but gives up after timeout_ms: -ETIMEDOUT. */
int proc_wait(struct proc *p, int timeout_ms, int *status);

void proc_fini(struct proc *p); /* closes the pidfd; does not kill */

/* Start time of a process in clock ticks since boot (proc_pid_stat(5), field 22): with the pid, its identity. */
int proc_start_time(pid_t pid, unsigned long long *ret);
