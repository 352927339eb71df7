/* The channel of the native runtimes: frames both ways on one socket (ipc/channel.h). */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/runtime-internal.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "ipc/channel.h"
#include "plan/function.h"

struct talk {
	struct event *write_event;

	/* to the function: up to four pieces, one after the other */
	struct {
		const char *data;
		size_t len;
	} out[4];
	size_t out_at, out_count;
	const char *event; /* NULL: all of it is framed */
	size_t event_at, event_len;
	char *invoke;
	unsigned char header[2][CHANNEL_HEADER];

	/* from the function */
	unsigned char in_header[CHANNEL_HEADER];
	size_t in_have, in_left;
	struct channel_frame in;
	bool ready;
};

/* ---- from the function ---------------------------------------------------- */

static void frame_begins(struct runtime *r)
{
	struct talk *t = r->own;
	if (channel_decode(t->in_header, &t->in) < 0)
		return runtime_decide(r, RUNTIME_PROTOCOL, "a frame has an unknown type, reserved bits or too great a length");
	bool before_ready = t->in.type == CHANNEL_READY || t->in.type == CHANNEL_INIT_ERROR;
	if (before_ready == t->ready)
		return runtime_decide(r, RUNTIME_PROTOCOL, t->ready ? "a second READY" : "a reply before READY");
	if (t->in.type == CHANNEL_READY) {
		t->ready = true;
		r->cb.ready(r->arg);
	}
	t->in_left = t->in.len;
}

static void frame_ends(struct runtime *r)
{
	struct talk *t = r->own;
	t->in_have = 0;
	if (t->in.type == CHANNEL_REPLY && (t->in.flags & CHANNEL_LAST))
		runtime_decide(r, RUNTIME_REPLIED, NULL);
	else if (t->in.type == CHANNEL_ERROR || t->in.type == CHANNEL_INIT_ERROR)
		runtime_threw(r, t->in.type == CHANNEL_INIT_ERROR);
}

static void take(struct runtime *r, const char *data, size_t len)
{
	struct talk *t = r->own;
	while (r->verdict == RUNTIME_OPEN && (len > 0 || (t->in_have == CHANNEL_HEADER && t->in_left == 0))) {
		if (t->in_have < CHANNEL_HEADER) {
			size_t n = CHANNEL_HEADER - t->in_have < len ? CHANNEL_HEADER - t->in_have : len;
			memcpy(t->in_header + t->in_have, data, n);
			t->in_have += n;
			data += n;
			len -= n;
			if (t->in_have == CHANNEL_HEADER)
				frame_begins(r);
			continue;
		}
		size_t n = t->in_left < len ? t->in_left : len;
		if (t->in.type == CHANNEL_REPLY)
			runtime_put(r, data, n);
		else if (n && buf_append(&r->error, data, n) < 0)
			return runtime_decide(r, RUNTIME_PROTOCOL, "its error is too long");
		data += n;
		len -= n;
		t->in_left -= n;
		if (t->in_left == 0)
			frame_ends(r);
	}
}

static void close_talk(struct runtime *r)
{
	struct talk *t = r->own;
	if (t->write_event)
		event_free(t->write_event);
	t->write_event = NULL;
	runtime_close(r, MSG_IO_TALK);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct runtime *r = arg;
	(void)what;
	if (runtime_drain(r, fd, (size_t)RUNTIME_CHUNK * RUNTIME_TURN_READS, take) > 0)
		return;
	close_talk(r);
	runtime_decide(r, RUNTIME_CLOSED, "it closed its channel without an answer");
}

/* ---- to the function ------------------------------------------------------ */

static void queue_out(struct talk *t, const void *data, size_t len)
{
	assert(t->out_count < ARRAY_LEN(t->out));
	t->out[t->out_count].data = data;
	t->out[t->out_count++].len = len;
}

/* The next frame of the event. */
static void queue_event(struct talk *t)
{
	size_t n = t->event_len - t->event_at;
	if (n > CHANNEL_FRAME_MAX)
		n = CHANNEL_FRAME_MAX;
	struct channel_frame f = { (uint32_t)n, CHANNEL_EVENT, t->event_at + n == t->event_len ? CHANNEL_LAST : 0 };
	channel_encode(t->header[1], &f);
	t->out_count = t->out_at = 0;
	queue_out(t, t->header[1], CHANNEL_HEADER);
	queue_out(t, t->event + t->event_at, n);
	t->event_at += n;
	if (f.flags & CHANNEL_LAST)
		t->event = NULL;
}

/* 1 all written, 0 later, -1 the other side does not read any more. */
static int write_out(struct talk *t, int fd)
{
	for (;;) {
		while (t->out_at < t->out_count && t->out[t->out_at].len == 0)
			t->out_at++;
		if (t->out_at == t->out_count) {
			if (!t->event)
				return 1;
			queue_event(t);
			continue;
		}
		ssize_t n = write(fd, t->out[t->out_at].data, t->out[t->out_at].len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		t->out[t->out_at].data += n;
		t->out[t->out_at].len -= (size_t)n;
	}
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct runtime *r = arg;
	struct talk *t = r->own;
	(void)what;
	if (write_out(t, fd) == 0)
		return;
	event_free(t->write_event);
	t->write_event = NULL;
}

/* The INVOKE frame's JSON (fcnode-channel(7)). */
static char *invoke_text(const struct runtime_call *c)
{
	const struct function *f = c->function;
	autojson json_t *o = json_pack("{s:s, s:I, s:s, s:s, s:I, s:I}", "requestId", c->request_id, "deadlineMs",
				       (json_int_t)c->deadline_ms, "functionName", f->name, "handler", f->handler ? f->handler : "",
				       "memorySize", (json_int_t)f->memory_mb, "timeout", (json_int_t)f->timeout_s);
	if (o && c->traceparent)
		json_object_set_new(o, "traceparent", json_string(c->traceparent));
	if (o && c->tracestate)
		json_object_set_new(o, "tracestate", json_string(c->tracestate));
	if (o && c->credentials.id)
		json_object_set_new(o, "credentials", json_pack("{s:s, s:s, s:s}", "accessKeyId", c->credentials.id, "accessKeySecret",
								c->credentials.secret, "securityToken", c->credentials.token));
	return o ? json_dumps(o, JSON_COMPACT) : NULL;
}

static int start(struct runtime *r, const struct runtime_start *s)
{
	struct talk *t = r->own;
	t->invoke = invoke_text(&s->call);
	if (!t->invoke)
		return -ENOMEM;
	struct channel_frame f = { (uint32_t)strlen(t->invoke), CHANNEL_INVOKE, 0 };
	channel_encode(t->header[0], &f);
	queue_out(t, t->header[0], CHANNEL_HEADER);
	queue_out(t, t->invoke, f.len);
	t->event = s->call.event ? s->call.event : "";
	t->event_len = s->call.event_len;
	int e = runtime_watch(r, MSG_IO_TALK, on_readable);
	if (e < 0)
		return e;
	t->write_event = event_new(r->base, r->fd[MSG_IO_TALK], EV_WRITE | EV_PERSIST, on_writable, r);
	return t->write_event && event_add(t->write_event, NULL) == 0 ? 0 : -ENOMEM;
}

static void pause_reply(struct runtime *r, bool rest)
{
	if (!r->read_event[MSG_IO_TALK])
		return;
	if (rest)
		event_del(r->read_event[MSG_IO_TALK]);
	else
		event_add(r->read_event[MSG_IO_TALK], NULL);
}

static void finish(struct runtime *r)
{
	if (r->fd[MSG_IO_TALK] >= 0)
		runtime_drain(r, r->fd[MSG_IO_TALK], RUNTIME_FINISH_MAX, take);
	close_talk(r);
}

static void talk_free(struct runtime *r)
{
	struct talk *t = r->own;
	close_talk(r);
	free(t->invoke);
}

const struct runtime_kind runtime_channel = {
	.size = sizeof(struct talk), .start = start, .pause = pause_reply, .finish = finish, .free = talk_free,
};
