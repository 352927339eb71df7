/*
 * oci-relay - what a foreground `run` does while its container runs: signals
 * go to the container's process; with a terminal, bytes go both ways between
 * ours and the container's, ours in raw mode, its size kept equal to ours.
 *
 * One poll loop; the end of the process ends it, after what it still wrote to
 * its terminal was copied out.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "cmd/oci.h"

struct relay {
	const struct proc *proc;
	int master;                  /* -1: no terminal */
	int signals;
	bool input;                  /* standard input has not ended */
	char pending[4096];          /* read from it, not yet taken by the terminal */
	size_t pending_len;
};

void oci_relay_prepare(void)
{
	sigset_t all;
	sigfillset(&all);
	/* faults of our own must stay deadly */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGABRT);
	sigprocmask(SIG_BLOCK, &all, NULL);
}

static void copy_size(int master)
{
	struct winsize size;
	for (int fd = 0; fd < 3; fd++)
		if (ioctl(fd, TIOCGWINSZ, &size) == 0) {
			ioctl(master, TIOCSWINSZ, &size);
			return;
		}
}

/* Raw mode, undone by restore_terminal(). False when standard input is no terminal. */
static bool set_raw(struct termios *saved)
{
	struct termios raw;
	if (tcgetattr(0, saved) < 0)
		return false;
	raw = *saved;
	cfmakeraw(&raw);
	return tcsetattr(0, TCSANOW, &raw) == 0;
}

static void take_signals(struct relay *r)
{
	struct signalfd_siginfo info;
	while (read(r->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGCHLD:
		case SIGURG:
		case SIGPIPE: /* ours: somebody closed our output */
			break;
		case SIGWINCH:
			if (r->master >= 0)
				copy_size(r->master);
			break;
		default:
			proc_signal(r->proc, (int)info.ssi_signo);
		}
	}
}

static void read_input(struct relay *r)
{
	ssize_t n = read(0, r->pending, sizeof(r->pending));
	if (n > 0) {
		r->pending_len = (size_t)n;
		return;
	}
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	r->input = false;
	r->pending[0] = 4; /* end of transmission: what a person would type (termios(3), VEOF) */
	r->pending_len = 1;
}

static void write_pending(struct relay *r)
{
	ssize_t n = write(r->master, r->pending, r->pending_len);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		n = (ssize_t)r->pending_len; /* the terminal is gone */
	if (n <= 0)
		return;
	r->pending_len -= (size_t)n;
	memmove(r->pending, r->pending + n, r->pending_len);
}

/* Copy what the terminal has now. False once nobody can write to it any more (EIO) or our output is closed. */
static bool copy_output(int master)
{
	char chunk[4096];
	for (;;) {
		ssize_t n = read(master, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0 || fd_write_all(1, chunk, (size_t)n) < 0)
			return false;
	}
}

static int relay_loop(struct relay *r, struct err *err)
{
	bool output = r->master >= 0;
	for (;;) {
		bool in = r->input && r->pending_len == 0;
		struct pollfd p[] = {
			{ .fd = r->proc->pidfd, .events = POLLIN },
			{ .fd = r->signals, .events = POLLIN },
			{ .fd = output ? r->master : -1, .events = (short)(POLLIN | (r->pending_len ? POLLOUT : 0)) },
			{ .fd = in ? 0 : -1, .events = POLLIN },
		};
		if (poll(p, ARRAY_LEN(p), -1) < 0) {
			if (errno == EINTR)
				continue;
			return err_set(err, errno, "wait for the container");
		}
		if (p[1].revents)
			take_signals(r);
		if (p[2].revents & POLLOUT)
			write_pending(r);
		if (p[2].revents & (POLLIN | POLLHUP | POLLERR))
			output = copy_output(r->master);
		if (!output && r->master >= 0)
			r->input = false;
		if (p[3].revents)
			read_input(r);
		if (p[0].revents) {
			if (output)
				copy_output(r->master);
			return 0;
		}
	}
}

int oci_relay(const struct proc *proc, int master, struct err *err)
{
	struct relay r = { .proc = proc, .master = master, .input = master >= 0 };
	struct termios saved;
	sigset_t all;

	sigfillset(&all);
	autoclose int signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0)
		return err_set(err, errno, "make a signal descriptor");
	r.signals = signals;
	bool raw = false;
	if (master >= 0) {
		int n = fd_set_nonblock(master);
		if (n < 0)
			return err_set(err, -n, "set up the terminal");
		copy_size(master);
		raw = set_raw(&saved);
	}
	int n = relay_loop(&r, err);
	if (raw)
		tcsetattr(0, TCSANOW, &saved);
	return n;
}
