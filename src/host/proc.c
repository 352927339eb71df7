#include "host/proc.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <fcntl.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"

/* waitid(2) knows P_PIDFD since 5.4; its fifth argument (rusage) only the system call has. */
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

int proc_signal(const struct proc *p, int sig)
{
	if (p->pidfd < 0)
		return -ESRCH;
	return syscall(SYS_pidfd_send_signal, p->pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

/* siginfo back to a wait status, as wait(2) has it. */
static int wait_status(const siginfo_t *si)
{
	switch (si->si_code) {
	case CLD_EXITED:
		return (si->si_status & 0xff) << 8;
	case CLD_DUMPED:
		return (si->si_status & 0x7f) | 0x80;
	default:
		return si->si_status & 0x7f;
	}
}

int proc_reap(struct proc *p, int *status, struct rusage *ru)
{
	siginfo_t si;
	if (p->pidfd < 0)
		return -ECHILD;
	memset(&si, 0, sizeof(si));
	while (syscall(SYS_waitid, P_PIDFD, p->pidfd, &si, WEXITED, ru) < 0)
		if (errno != EINTR)
			return -errno;
	if (status)
		*status = wait_status(&si);
	proc_fini(p);
	return 0;
}

int proc_wait(struct proc *p, int timeout_ms, int *status)
{
	int64_t deadline = clock_mono_ns() + (int64_t)timeout_ms * 1000000;
	struct pollfd pfd = { .fd = p->pidfd, .events = POLLIN };
	if (p->pidfd < 0)
		return -ECHILD;
	for (;;) {
		int64_t left = (deadline - clock_mono_ns() + 999999) / 1000000;
		int n = poll(&pfd, 1, left < 0 ? 0 : (int)left);
		if (n > 0)
			return proc_reap(p, status, NULL);
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

void proc_fini(struct proc *p)
{
	cleanup_close(&p->pidfd);
	p->pid = 0;
}

int proc_start_time(pid_t pid, unsigned long long *ret)
{
	char path[32], text[2048];
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	ssize_t n = fd_read_file_at(AT_FDCWD, path, text, sizeof(text));
	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	/* the name (field 2) may hold spaces and parentheses: count from the last one */
	char *p = strrchr(text, ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (!p)
		return -EPROTO;
	char *end;
	unsigned long long v = strtoull(p + 1, &end, 10);
	if (end == p + 1)
		return -EPROTO;
	*ret = v;
	return 0;
}
