#include "host/unpacker.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/path.h"

enum { ARG_MAX_ = 24, ARG_TEXT = 96 };

/* The command line, made before the fork: the child only makes system calls. */
struct command {
	char program[PATH_BUF];
	char text[ARG_MAX_][ARG_TEXT];
	char *argv[ARG_MAX_ + 1];
	size_t argc;
};

static void add(struct command *c, const char *text)
{
	snprintf(c->text[c->argc], ARG_TEXT, "%s", text);
	c->argv[c->argc] = c->text[c->argc];
	c->argv[++c->argc] = NULL;
}

static void add_number(struct command *c, const char *name, uint64_t value)
{
	char text[ARG_TEXT];
	snprintf(text, sizeof(text), "--%s=%" PRIu64, name, value);
	add(c, text);
}

static void add_word(struct command *c, const char *name, const char *value)
{
	char text[ARG_TEXT];
	snprintf(text, sizeof(text), "--%s=%.70s", name, value);
	add(c, text);
}

static int command_init(struct command *c, const struct unpacker_req *req, struct err *err)
{
	memset(c, 0, sizeof(*c));
	int r = path_helper("fc-unpack", c->program, sizeof(c->program), err);
	if (r < 0)
		return r;
	const struct layer_limits *l = req->limits;
	add(c, "fc-unpack");
	add_number(c, "max-bytes", l->max_bytes);
	add_number(c, "max-files", l->max_files);
	add_number(c, "max-depth", l->max_depth);
	add_number(c, "max-name", l->max_name);
	add_number(c, "max-cpu", l->cpu_seconds);
	if (req->prefix)
		add_word(c, "prefix", req->prefix);
	if (req->expect)
		add_word(c, "expect-sha256", req->expect);
	if (geteuid() != 0)
		return 0;
	if (!req->user.uid || !req->user.gid) {
		err_set(err, 0, "unpack as root without a user and group to do it as");
		return err_hint(err, "name an unprivileged user for unpacking");
	}
	add_number(c, "uid", req->user.uid);
	add_number(c, "gid", req->user.gid);
	return 0;
}

/* In the child: descriptors 0 to 4 and nothing else, default signals, our death is its own. */
static void child(const struct command *c, const struct unpacker_req *req, int result_fd, int null_fd)
{
	static char *const environment[] = { NULL };
	const int from[] = { req->bundle_fd, null_fd, null_fd, req->target_fd, result_fd };
	int high[ARRAY_LEN(from)];

	/* first out of the way of 0 to 4, which some of them may be */
	for (size_t i = 0; i < ARRAY_LEN(from); i++) {
		high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 10);
		if (high[i] < 0)
			_exit(126);
	}
	for (size_t i = 0; i < ARRAY_LEN(from); i++)
		if (dup2(high[i], (int)i) < 0)
			_exit(126);
	sigset_t none;
	sigemptyset(&none);
	if (close_range(5, ~0U, 0) < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		_exit(126);
	/* a caller that died before that sends no signal any more, and getppid(2) cannot tell from a pid namespace */
	struct pollfd reader = { .fd = ARRAY_LEN(from) - 1 };
	if (poll(&reader, 1, 0) != 0)
		_exit(126);
	execve(c->program, c->argv, environment);
	_exit(127);
}

static int spawn(const struct command *c, const struct unpacker_req *req, int result_fd, int null_fd,
		 struct proc *ret, struct err *err)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_NEWPID | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t)(uintptr_t)&ret->pidfd,
		.exit_signal = SIGCHLD,
	};
	long pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0 && errno == EPERM) {
		/* an ordinary user's: fc-unpack reports that it has no pid namespace */
		args.flags &= ~(uint64_t)CLONE_NEWPID;
		pid = syscall(SYS_clone3, &args, sizeof(args));
	}
	if (pid == 0)
		child(c, req, result_fd, null_fd);
	if (pid < 0)
		return err_set(err, errno, "start fc-unpack");
	ret->pid = (pid_t)pid;
	return 0;
}

/* Until it ends: 0; -ETIMEDOUT, -ECANCELED or -errno with it killed. Reaped in any case. */
static int await(struct proc *p, int cancel_fd, uint64_t wall_ms, int *status, struct rusage *ru)
{
	const int64_t deadline = clock_mono_ns() / 1000000 + (int64_t)wall_ms;
	struct pollfd fds[2] = { { .fd = p->pidfd, .events = POLLIN }, { .fd = cancel_fd, .events = POLLIN } };
	int r = 0;
	while (!r && !fds[0].revents) {
		int64_t left = deadline - clock_mono_ns() / 1000000;
		int n = poll(fds, 2, left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left);
		if (n < 0 && errno != EINTR)
			r = -errno;
		else if (n == 0 && left <= INT_MAX)
			r = -ETIMEDOUT;
		else if (n > 0 && !fds[0].revents && fds[1].revents)
			r = -ECANCELED;
	}
	if (r)
		proc_signal(p, SIGKILL);
	int reaped = proc_reap(p, status, ru);
	return r ? r : reaped;
}

static int limit_hit(struct unpack_result *ret, const char *what, uint64_t value, const char *unit)
{
	memset(ret, 0, sizeof(*ret));
	ret->outcome = UNPACK_time;
	snprintf(ret->text, sizeof(ret->text), "unpacking took more than %" PRIu64 " %s of %s", value, unit, what);
	return 0;
}

/* Ended without a result. */
static int explain(int status, const struct rusage *ru, const struct layer_limits *limits, struct unpack_result *ret,
		   struct err *err)
{
	memset(ret, 0, sizeof(*ret));
	if (WIFEXITED(status)) {
		if (WEXITSTATUS(status) == 127)
			err_set(err, ENOEXEC, "start fc-unpack");
		else
			err_set(err, EPROTO, "fc-unpack exited with status %d and without a result", WEXITSTATUS(status));
		return err_hint(err, "check that fc-unpack and its libraries belong to this version");
	}
	const int sig = WTERMSIG(status);
	/* as pid 1 it does not die of SIGXCPU but a second later of SIGKILL */
	const uint64_t cpu_us = (uint64_t)(ru->ru_utime.tv_sec + ru->ru_stime.tv_sec) * 1000000 +
				(uint64_t)(ru->ru_utime.tv_usec + ru->ru_stime.tv_usec);
	if (sig == SIGXCPU || (sig == SIGKILL && cpu_us >= limits->cpu_seconds * 1000000))
		return limit_hit(ret, "processor time", limits->cpu_seconds, "s");
	ret->outcome = UNPACK_crash;
	const char *why = sig == SIGSYS	 ? "it made a system call that unpacking does not need"
			  : sig == SIGKILL ? "killed, by this host for want of memory or by somebody"
					   : "the bundle may have been made to do this";
	snprintf(ret->text, sizeof(ret->text), "fc-unpack died of signal %d (%s): %s", sig, strsignal(sig), why);
	return 0;
}

int unpacker_run(const struct unpacker_req *req, struct unpack_result *ret, struct err *err)
{
	struct command c;
	int r = command_init(&c, req, err);
	if (r < 0)
		return r;
	int pipes[2];
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return err_set(err, errno, "make a pipe for fc-unpack");
	autoclose int read_end = pipes[0];
	autoclose int write_end = pipes[1];
	autoclose int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0)
		return err_set(err, errno, "open /dev/null");

	struct proc p = PROC_INIT;
	r = spawn(&c, req, write_end, null_fd, &p, err);
	if (r < 0)
		return r;
	cleanup_close(&write_end);

	int status = 0;
	struct rusage ru = { .ru_maxrss = 0 };
	r = await(&p, req->cancel_fd, req->limits->wall_ms, &status, &ru);
	if (r == -ETIMEDOUT)
		return limit_hit(ret, "time", req->limits->wall_ms, "ms");
	if (r < 0)
		return err_set(err, -r, "wait for fc-unpack");
	/* the result is smaller than a pipe, so it is there whole, or never will be */
	r = fd_read_all(read_end, ret, sizeof(*ret));
	if (r == -ENODATA)
		return explain(status, &ru, req->limits, ret, err);
	if (r < 0)
		return err_set(err, -r, "read fc-unpack's result");
	if (unpack_result_check(ret) < 0)
		return err_set(err, EPROTO, "fc-unpack's result makes no sense");
	if (status != 0 && ret->outcome == UNPACK_ok)
		return err_set(err, EPROTO, "fc-unpack said yes, and then failed");
	return 0;
}
