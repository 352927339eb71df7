/*
 * The unprivileged half as keeper's child: start it, speak with it, bury it.
 *
 * It is executed from keeper's own binary, under its user, with the
 * descriptors of roles.h. A message that is not well formed means that serve is broken or
 * taken over: it is killed, its sandboxes with it, and a new one is started,
 * after a pause that grows while they die quickly. The first one must come up,
 * else keeper gives up: something is wrong that a restart does not cure.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/confine.h"
#include "agent/keeper-internal.h"
#include "agent/roles.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

enum {
	READS_PER_TURN = 64,
	QUEUE_HIGH = 64,             /* serve does not take its answers: no more requests until it does */
	LIFE_GOOD_MS = 10000,        /* who lives that long did not die of its start */
	PAUSE_FIRST_MS = 100,
};

/* ---- sending --------------------------------------------------------------------- */

static void close_fds(const int *fds, size_t nfds)
{
	for (size_t i = 0; i < nfds; i++)
		close(fds[i]);
}

static void drop_head(struct serve_half *s)
{
	struct outgoing *o = s->head;
	s->head = o->next;
	if (!s->head)
		s->tail = &s->head;
	s->queued--;
	close_fds(o->fds, o->nfds);
	free(o);
}

static void enqueue(struct keeper *k, const union msg *m, const int *fds, size_t nfds)
{
	struct serve_half *s = &k->serve;
	struct outgoing *o = malloc(sizeof(*o));
	if (!o) {
		/* an answer that is never given would leave a slot or a request open for ever */
		log_err("event=send_serve error=\"out of memory\" action=\"ending serve\"");
		close_fds(fds, nfds);
		serve_kill(k);
		return;
	}
	*o = (struct outgoing){ .nfds = nfds, .msg = *m };
	if (nfds)
		memcpy(o->fds, fds, nfds * sizeof(fds[0]));
	*s->tail = o;
	s->tail = &o->next;
	s->queued++;
	event_add(s->writable, NULL);
	if (s->queued >= QUEUE_HIGH)
		event_del(s->readable);
}

void serve_send(struct keeper *k, const union msg *m, const int *fds, size_t nfds)
{
	struct serve_half *s = &k->serve;
	int r = s->sock < 0 ? -EPIPE : s->head ? -EAGAIN : msg_send(s->sock, m, fds, nfds);
	if (r == -EAGAIN) {
		enqueue(k, m, fds, nfds);
		return;
	}
	close_fds(fds, nfds); /* sent, or nobody is left to send to: its end is on the way */
}

static void on_writable(evutil_socket_t sock, short what, void *arg)
{
	struct keeper *k = arg;
	struct serve_half *s = &k->serve;
	(void)what;

	while (s->head) {
		int r = msg_send(sock, &s->head->msg, s->head->fds, s->head->nfds);
		if (r == -EAGAIN) {
			event_add(s->writable, NULL);
			break;
		}
		drop_head(s);
	}
	if (s->queued < QUEUE_HIGH / 2 && !s->dying)
		event_add(s->readable, NULL);
}

/* ---- receiving ------------------------------------------------------------------------ */

static void on_readable(evutil_socket_t sock, short what, void *arg)
{
	struct keeper *k = arg;
	struct serve_half *s = &k->serve;
	(void)sock;
	(void)what;

	for (int i = 0; i < READS_PER_TURN && s->sock >= 0 && !s->dying && s->queued < QUEUE_HIGH; i++) {
		union msg m;
		int fds[MSG_FDS_MAX];
		size_t nfds;
		const char *bad = NULL;
		int r = msg_recv(s->sock, MSG_TO_KEEPER, s->phase, &m, fds, &nfds, &bad);
		if (r == -EAGAIN)
			return;
		if (r > 0) {
			keeper_message(k, &m, fds, nfds);
			continue;
		}
		if (r == -EPROTO)
			log_err("event=bad_message pid=%d error=\"%s\" action=\"ending serve\"", s->proc.pid, bad);
		serve_kill(k);
		return;
	}
}

/* ---- its death ---------------------------------------------------------------------------- */

static void disconnect(struct serve_half *s)
{
	struct event **events[] = { &s->readable, &s->writable, &s->exited };
	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		if (*events[i])
			event_free(*events[i]);
		*events[i] = NULL;
	}
	while (s->head)
		drop_head(s);
	cleanup_close(&s->sock);
}

void serve_kill(struct keeper *k)
{
	struct serve_half *s = &k->serve;
	if (s->proc.pid > 0)
		proc_signal(&s->proc, SIGKILL);
	s->dying = true;
	if (s->readable)
		event_del(s->readable);
}

static uint64_t pause_ms(const struct keeper *k)
{
	const struct serve_half *s = &k->serve;
	if (s->quick_deaths == 0)
		return 0;
	uint32_t doublings = s->quick_deaths - 1 < 20 ? s->quick_deaths - 1 : 20;
	uint64_t ms = (uint64_t)PAUSE_FIRST_MS << doublings;
	return ms < k->config->max_restart_pause_ms ? ms : k->config->max_restart_pause_ms;
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;
	(void)fd;
	(void)what;
	event_free(k->serve.again);
	k->serve.again = NULL;
	keeper_turn(k);
}

static void plan_restart(struct keeper *k, const char *how, int value)
{
	struct serve_half *s = &k->serve;
	bool quick = clock_mono_ns() - s->started_ns < (int64_t)LIFE_GOOD_MS * 1000000;
	s->quick_deaths = quick ? s->quick_deaths + 1 : 0;
	uint64_t ms = pause_ms(k);
	log_err("event=serve_died %s=%d restarts=%" PRIu32 " sandboxes=%zu action=\"killing them, starting it again\" pause_ms=%" PRIu64,
		how, value, s->restarts, k->live, ms);
	s->restarts++;
	k->counter[MSG_COUNT_serve_restarts]++;
	struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };
	s->again = event_new(k->base, -1, 0, on_again, k);
	if (!s->again || event_add(s->again, &tv) < 0) {
		struct err err = ERR_INIT;
		err_set(&err, ENOMEM, "plan the restart of serve");
		keeper_fail(k, &err);
	}
}

static void on_serve_exit(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;
	struct serve_half *s = &k->serve;
	int status = 0;
	(void)fd;
	(void)what;

	disconnect(s);
	proc_reap(&s->proc, &status, NULL);
	proc_fini(&s->proc);
	s->proc = (struct proc)PROC_INIT;
	const char *how = WIFSIGNALED(status) ? "signal" : "status";
	int value = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
	if (!k->stopping && s->was_ready) {
		plan_restart(k, how, value);
	} else if (!k->stopping) {
		struct err err = ERR_INIT;
		err_set(&err, 0, "start the unprivileged half: it ended with %s %d before it was ready", how, value);
		err_hint(&err, "its own lines above say why");
		keeper_fail(k, &err);
	}
	launch_kill_all(k, /* orphan= */ true);
	layers_orphan(k);
	doctor_orphan(k);
	keeper_turn(k);
}

/* ---- its birth ----------------------------------------------------------------------------- */

struct birth {
	int program, sock, config_fd, null_fd;
};

/* Only what serve may need: whatever else the environment of root holds is not its business. */
static char **clean_env(void)
{
	static const char *const kept[] = { "FC_LIBEXECDIR", "FC_DATADIR", "TZ", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LLVM_PROFILE_FILE" };
	static char text[ARRAY_LEN(kept)][512];
	static char *env[ARRAY_LEN(kept) + 3];
	size_t n = 0;
	env[n++] = (char *)(uintptr_t)"PATH=/usr/bin:/bin";
	env[n++] = (char *)(uintptr_t)"LC_ALL=C.UTF-8";
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		const char *value = getenv(kept[i]);
		if (value && snprintf(text[n - 2], sizeof(text[0]), "%s=%s", kept[i], value) < (int)sizeof(text[0])) {
			env[n] = text[n - 2];
			n++;
		}
	}
	env[n] = NULL;
	return env;
}

/* Lift all sources out of the way, then put each in its place. */
static int place_fds(const struct keeper *k, const struct birth *b, int *program)
{
	int from[SERVE_FD_TCP + CONFIG_LISTEN_MAX + 1] = { b->null_fd, b->null_fd, STDERR_FILENO, b->sock, k->listen_fd,
							    b->config_fd, k->principals_fd, k->secret_keys_fd };
	int high[ARRAY_LEN(from)], count = SERVE_FD_TCP;
	for (size_t i = 0; i < k->config->listens; i++)
		from[count++] = k->tcp_fd[i];
	from[count] = b->program;
	for (int i = 0; i <= count; i++) {
		high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, (int)ARRAY_LEN(from));
		if (high[i] < 0)
			return -errno;
	}
	for (int i = 0; i < count; i++)
		if (dup2(high[i], i) < 0)
			return -errno;
	*program = count;
	if (dup3(high[count], *program, O_CLOEXEC) < 0)
		return -errno;
	return syscall(SYS_close_range, *program + 1, ~0u, 0) < 0 ? -errno : 0;
}

__attribute__((noreturn)) static void child_main(const struct keeper *k, const struct birth *b)
{
	static char *const argv[] = { (char *)(uintptr_t)"fc-agent", (char *)(uintptr_t)"--serve-fd", (char *)(uintptr_t)"3", NULL };
	struct err err = ERR_INIT;
	int program = -1;
	sigset_t none;
	char **env = clean_env();

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	setsid(); /* a terminal's ^C is for keeper, which drains */
	int r = place_fds(k, b, &program);
	if (r < 0)
		err_set(&err, -r, "pass descriptors to the unprivileged half");
	else
		r = confine_before_exec(k->config, &err);
	if (r == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* after the change of ids, which clears it */
		syscall(SYS_execveat, program, "", argv, env, AT_EMPTY_PATH);
		err_set(&err, errno, "execute fc-agent as uid %u", k->config->uid);
		err_hint(&err, "the program's file must be readable and executable for that user");
	}
	log_err("event=serve_start error=\"%s\" hint=\"%s\"", err.text, err.hint);
	_exit(AGENT_FAILED);
}

static int watch(struct keeper *k, struct err *err)
{
	struct serve_half *s = &k->serve;
	s->tail = &s->head;
	s->readable = event_new(k->base, s->sock, EV_READ | EV_PERSIST, on_readable, k);
	s->writable = event_new(k->base, s->sock, EV_WRITE, on_writable, k);
	s->exited = event_new(k->base, s->proc.pidfd, EV_READ, on_serve_exit, k);
	if (s->readable && s->writable && s->exited && event_add(s->readable, NULL) == 0 && event_add(s->exited, NULL) == 0)
		return 0;
	return err_set(err, ENOMEM, "watch the unprivileged half");
}

static int spawn(struct keeper *k, int child_sock, struct err *err)
{
	struct serve_half *s = &k->serve;
	autoclose int program = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	autoclose int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	autoclose int config_fd = config_to_fd(k->config);
	if (program < 0 || null_fd < 0)
		return err_set(err, errno, "open %s", program < 0 ? "/proc/self/exe" : "/dev/null");
	if (config_fd < 0)
		return err_set(err, -config_fd, "put the configuration into a memfd");

	struct birth b = { program, child_sock, config_fd, null_fd };
	struct clone_args args = { .flags = CLONE_PIDFD, .pidfd = (uintptr_t)&s->proc.pidfd, .exit_signal = SIGCHLD };
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		child_main(k, &b);
	if (pid < 0)
		return err_set(err, errno, "start the unprivileged half");
	s->proc.pid = pid;
	return 0;
}

int serve_start(struct keeper *k, struct err *err)
{
	struct serve_half *s = &k->serve;
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return err_set(err, errno, "make the socket to the unprivileged half");
	s->sock = pair[0];
	s->phase = MSG_PHASE_HELLO;
	s->ready = s->drained = s->dying = s->stale = false;
	s->started_ns = clock_mono_ns();
	int r = spawn(k, pair[1], err);
	close(pair[1]);
	if (r == 0)
		r = watch(k, err);
	if (r < 0)
		serve_free(k);
	return r;
}

void serve_free(struct keeper *k)
{
	struct serve_half *s = &k->serve;
	int status;
	disconnect(s);
	if (s->again)
		event_free(s->again);
	s->again = NULL;
	if (s->proc.pid > 0) {
		proc_signal(&s->proc, SIGKILL);
		proc_reap(&s->proc, &status, NULL);
	}
	proc_fini(&s->proc);
	s->proc = (struct proc)PROC_INIT;
}
