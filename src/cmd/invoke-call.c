/*
 * The loop of one call. It ends when the reply is whole or the sandbox has
 * ended; whatever is still inside is then killed, and the log is drained to its
 * end. Nothing here trusts what it reads: bounded buffers, checked frames.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "cmd/invoke.h"
#include "ipc/channel.h"

enum { SLOT_STATUS, SLOT_EVENT, SLOT_REPLY, SLOT_LOG, SLOT_SIGNAL, SLOT_STDERR, SLOT_MAX };

struct call {
	struct invoke *v;
	struct buf out;        /* to the function: the event, or frames */
	size_t sent;
	struct buf in;         /* from the channel: frames being received */
	uint64_t deadline_ns;
	bool ready, done;      /* channel: handler loaded; reply or error is whole */
	bool killed;
	bool log_waits;        /* the log has bytes that our standard error does not take yet */
};

static void end_call(struct call *c, enum invoke_outcome outcome, const char *text)
{
	struct invoke *v = c->v;
	if (c->done)
		return;
	c->done = true;
	v->outcome = outcome;
	if (text)
		err_set(&v->err, 0, "%s", text);
	v->end_ns = (uint64_t)clock_mono_ns();
}

/* After the end of the call nothing inside has a reason to live. */
static void kill_rest(struct call *c)
{
	struct invoke *v = c->v;
	if (c->killed)
		return;
	c->killed = true;
	sandbox_kill(&v->sandbox);
	cleanup_close(&v->event_fd);
}

static int frame(struct buf *out, uint8_t type, uint8_t flags, const void *data, size_t len)
{
	unsigned char head[CHANNEL_HEADER];
	struct channel_frame f = { .len = (uint32_t)len, .type = type, .flags = flags };
	channel_encode(head, &f);
	int r = buf_append(out, head, sizeof(head));
	return r < 0 ? r : buf_append(out, data, len);
}

/* INVOKE and the event as frames; see ipc/channel.h. */
static int encode_call(struct call *c)
{
	struct invoke *v = c->v;
	const struct function *f = &v->function;
	uint64_t left_ms = (c->deadline_ns - (uint64_t)clock_mono_ns()) / 1000000;
	json_t *meta = json_pack("{ss sI ss ss sI sI}", "requestId", v->instance, "deadlineMs",
				 (json_int_t)(clock_real_ms() + (int64_t)left_ms), "functionName", f->name ? f->name : "function",
				 "handler", f->handler ? f->handler : "", "memorySize", (json_int_t)f->memory_mb, "timeout",
				 (json_int_t)f->timeout_s);
	char *text = meta ? json_dumps(meta, JSON_COMPACT) : NULL;
	json_decref(meta);
	int r = text ? frame(&c->out, CHANNEL_INVOKE, 0, text, strlen(text)) : -ENOMEM;
	free(text);
	size_t at = 0;
	do {
		size_t n = v->event.len - at;
		if (n > CHANNEL_FRAME_MAX)
			n = CHANNEL_FRAME_MAX;
		uint8_t last = at + n == v->event.len ? CHANNEL_LAST : 0;
		if (r == 0)
			r = frame(&c->out, CHANNEL_EVENT, last, v->event.data + at, n);
		at += n;
	} while (r == 0 && at < v->event.len);
	return r;
}

static void send_event(struct call *c)
{
	struct invoke *v = c->v;
	while (c->sent < c->out.len) {
		ssize_t n = write(v->event_fd, c->out.data + c->sent, c->out.len - c->sent);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			break; /* EPIPE: it does not want the rest */
		c->sent += (size_t)n;
	}
	c->sent = c->out.len;
	if (!v->channel)
		cleanup_close(&v->event_fd);
}

static void first_byte(struct invoke *v)
{
	if (!v->first_byte_ns)
		v->first_byte_ns = (uint64_t)clock_mono_ns();
}

static void take_reply(struct call *c, const void *data, size_t len)
{
	struct invoke *v = c->v;
	first_byte(v);
	if (buf_append(&v->reply, data, len) == 0)
		return;
	char text[96];
	snprintf(text, sizeof(text), "the reply is larger than %zu bytes (--max-reply)", v->reply.max);
	end_call(c, INVOKE_REPLY_TOO_LARGE, text);
}

static void take_error(struct call *c, const char *data, size_t len)
{
	buf_append(&c->v->error_json, data, len);
	end_call(c, INVOKE_FUNCTION_ERROR, NULL);
}

static void take_frame(struct call *c, const struct channel_frame *f, const char *data)
{
	switch (f->type) {
	case CHANNEL_READY:
		if (c->ready) {
			end_call(c, INVOKE_PROTOCOL, "the runtime said READY twice");
			return;
		}
		c->ready = true;
		c->v->ready_ns = (uint64_t)clock_mono_ns();
		return;
	case CHANNEL_INIT_ERROR:
	case CHANNEL_ERROR:
		take_error(c, data, f->len);
		return;
	case CHANNEL_REPLY:
		if (!c->ready) {
			end_call(c, INVOKE_PROTOCOL, "the runtime replied before it was ready");
			return;
		}
		take_reply(c, data, f->len);
		if (f->flags & CHANNEL_LAST)
			end_call(c, INVOKE_OK, NULL);
		return;
	}
}

static void read_channel(struct call *c)
{
	struct invoke *v = c->v;
	if (buf_reserve(&c->in, 65536) < 0) {
		end_call(c, INVOKE_PROTOCOL, "a frame of the runtime is too long");
		return;
	}
	ssize_t n = read(v->event_fd, c->in.data + c->in.len, 65536);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		cleanup_close(&v->event_fd); /* what that means is told by how it exits */
		return;
	}
	c->in.len += (size_t)n;
	size_t at = 0;
	while (!c->done && c->in.len - at >= CHANNEL_HEADER) {
		struct channel_frame f;
		if (channel_decode((const unsigned char *)c->in.data + at, &f) < 0) {
			end_call(c, INVOKE_PROTOCOL, "the runtime sent bytes that are no frame");
			return;
		}
		if (c->in.len - at - CHANNEL_HEADER < f.len)
			break;
		take_frame(c, &f, c->in.data + at + CHANNEL_HEADER);
		at += CHANNEL_HEADER + f.len;
	}
	buf_consume(&c->in, at);
}

/* True while the descriptor may have more. */
static bool read_pipe(int *fd, char *buf, size_t size, ssize_t *len)
{
	*len = read(*fd, buf, size);
	if (*len < 0 && (errno == EAGAIN || errno == EINTR))
		*len = 0;
	else if (*len <= 0)
		cleanup_close(fd);
	return *len > 0;
}

static void relay_log(struct invoke *v)
{
	char data[4096]; /* PIPE_BUF: what a writable pipe takes without blocking us */
	ssize_t n;
	if (read_pipe(&v->log_fd, data, sizeof(data), &n))
		fd_write_all(STDERR_FILENO, data, (size_t)n);
}

static void read_reply(struct call *c)
{
	char data[65536];
	ssize_t n;
	if (read_pipe(&c->v->reply_fd, data, sizeof(data), &n))
		take_reply(c, data, (size_t)n);
}

static void take_report(struct call *c)
{
	struct invoke *v = c->v;
	struct report r;
	int n = sandbox_report(&v->sandbox, &r);
	if (n <= 0) {
		if (n < 0)
			end_call(c, INVOKE_PROTOCOL, "the sandbox sent bytes that are no report");
		cleanup_close(&v->sandbox.status_fd);
		return;
	}
	if (r.kind == REPORT_RUNNING) {
		v->running = r;
	} else if (r.kind == REPORT_EXITED) {
		v->exited = r;
	} else if (r.kind == REPORT_FAILED && !c->done) { /* else its end has its reason already */
		end_call(c, INVOKE_LAUNCH_FAILED, NULL);
		sandbox_failure(&r, &v->err);
	}
}

bool invoke_take_signal(struct invoke *v)
{
	struct signalfd_siginfo si;
	if (read(v->signal_fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return false;
	v->interrupted = (int)si.ssi_signo;
	err_set(&v->err, 0, "interrupted by SIG%s", sigabbrev_np(v->interrupted));
	return true;
}

/* All ends are closed: nothing more can come. */
static bool drained(const struct call *c)
{
	const struct invoke *v = c->v;
	return v->sandbox.status_fd < 0 && v->log_fd < 0 && v->reply_fd < 0 && (!v->channel || v->event_fd < 0);
}

static int wait_ms(const struct call *c)
{
	if (c->done)
		return -1;
	int64_t left = (int64_t)c->deadline_ns - clock_mono_ns();
	return left <= 0 ? 0 : (int)((left + 999999) / 1000000 < 3600000 ? (left + 999999) / 1000000 : 3600000);
}

static void turn(struct call *c)
{
	struct invoke *v = c->v;
	bool sending = c->sent < c->out.len;
	struct pollfd p[SLOT_MAX] = {
		[SLOT_STATUS] = { v->sandbox.status_fd, POLLIN, 0 },
		[SLOT_EVENT] = { v->channel || sending ? v->event_fd : -1,
				 (short)((v->channel ? POLLIN : 0) | (sending ? POLLOUT : 0)), 0 },
		[SLOT_REPLY] = { v->reply_fd, POLLIN, 0 },
		[SLOT_LOG] = { c->log_waits ? -1 : v->log_fd, POLLIN, 0 },
		[SLOT_SIGNAL] = { c->done ? -1 : v->signal_fd, POLLIN, 0 },
		[SLOT_STDERR] = { c->log_waits ? STDERR_FILENO : -1, POLLOUT, 0 },
	};
	if (poll(p, SLOT_MAX, wait_ms(c)) < 0 && errno != EINTR) {
		end_call(c, INVOKE_PROTOCOL, "poll failed");
		return;
	}
	if (p[SLOT_STATUS].revents)
		take_report(c);
	if (p[SLOT_EVENT].revents & (POLLOUT | POLLERR) && sending)
		send_event(c);
	if (v->channel && v->event_fd >= 0 && p[SLOT_EVENT].revents & (POLLIN | POLLHUP))
		read_channel(c);
	if (p[SLOT_REPLY].revents)
		read_reply(c);
	/* whoever reads our standard error slowly must not hold up the deadline */
	if (p[SLOT_LOG].revents)
		c->log_waits = true;
	if (p[SLOT_STDERR].revents) {
		relay_log(v);
		c->log_waits = false;
	}
	if (p[SLOT_SIGNAL].revents && !c->done && invoke_take_signal(v))
		end_call(c, INVOKE_INTERRUPTED, NULL);
	if (!c->done && clock_mono_ns() >= (int64_t)c->deadline_ns) {
		char text[96];
		snprintf(text, sizeof(text), "Function time out after %" PRIu64 " ms", v->timeout_ms);
		end_call(c, INVOKE_TIMEOUT, text);
		err_hint(&v->err, "raise --timeout, or do less in one call");
	}
}

/* The function ended without a reply of its own: say how, in the API's words (CONTRACTS.md, section 2). */
static void error_from_exit(struct invoke *v)
{
	int status = v->exited.code;
	char why[96];
	if (!v->exited.kind)
		snprintf(why, sizeof(why), "killed");
	else if (WIFSIGNALED(status))
		snprintf(why, sizeof(why), "signal SIG%s", sigabbrev_np(WTERMSIG(status)) ? sigabbrev_np(WTERMSIG(status)) : "?");
	else
		snprintf(why, sizeof(why), "exit status %d", WEXITSTATUS(status));
	buf_reset(&v->error_json);
	buf_printf(&v->error_json,
		   "{\"errorMessage\":\"Process exited unexpectedly before completing request (%s, duration: %" PRIu64
		   "ms)\",\"errorType\":\"Runtime.ExitError\"}",
		   why, (v->end_ns - v->begin_ns) / 1000000);
}

static void judge_memory(struct invoke *v)
{
	char size[32];
	v->oom_level = cgroup_oom_level(&v->sandbox.cgroup, &v->sandbox.oom_mark);
	if (v->outcome != INVOKE_FUNCTION_ERROR || v->oom_level == CGROUP_OOM_NONE)
		return;
	v->outcome = INVOKE_OOM;
	str_size(size, sizeof(size), v->memory_bytes);
	if (v->oom_level == CGROUP_OOM_HOST) {
		err_set(&v->err, 0, "out of memory: the host itself, not the limit of %s", size);
		err_hint(&v->err, "use less, or run less beside it");
	} else if (v->oom_level != 0) {
		err_set(&v->err, 0, "out of memory: a limit above the sandbox's own %s was reached", size);
		err_hint(&v->err, "raise the limit of the group, service or container that fc-run was started in");
	} else {
		err_set(&v->err, 0, "out of memory: the limit of %s was reached", size);
		err_hint(&v->err, "raise --memory, or use less");
	}
}

static void judge(struct call *c)
{
	struct invoke *v = c->v;
	if (!c->done) {
		bool ok = !v->channel && v->exited.kind && WIFEXITED(v->exited.code) && WEXITSTATUS(v->exited.code) == 0;
		end_call(c, ok ? INVOKE_OK : INVOKE_FUNCTION_ERROR, NULL);
		if (!ok)
			error_from_exit(v);
	}
	if (v->sandbox.has_cgroup && v->outcome != INVOKE_OK)
		judge_memory(v);
	if (v->sandbox.has_cgroup && (v->opts->usage || v->opts->format == 1))
		v->have_usage = cgroup_usage(&v->sandbox.cgroup, &v->usage) == 0;
}

void invoke_call(struct invoke *v)
{
	struct call c = {
		.v = v,
		.out = BUF_INIT(INVOKE_EVENT_MAX + (1 << 20)),
		.in = BUF_INIT(CHANNEL_FRAME_MAX + 2 * 65536),
		.deadline_ns = v->begin_ns + v->timeout_ms * 1000000,
	};
	int r = v->channel ? encode_call(&c) : buf_append(&c.out, v->event.data, v->event.len);
	if (r < 0)
		end_call(&c, INVOKE_PROTOCOL, "the event does not fit into memory");
	else
		send_event(&c);

	while (!drained(&c)) {
		if (c.done)
			kill_rest(&c);
		turn(&c);
	}
	judge(&c);
	buf_fini(&c.out);
	buf_fini(&c.in);
}
