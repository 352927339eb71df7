#include "agent/runtime.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/logs.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"
#include "ipc/channel.h"

enum {
	CHUNK = 64 << 10,
	TURN_READS = 8,                     /* reads of one descriptor before the loop has its turn */
	FINISH_MAX = 8 << 20,               /* read of each pipe after the end; more than a pipe can hold */
	STACK_MAX = 200, STACK_LINE_MAX = 2048,
};

struct runtime {
	struct runtime_callbacks cb;
	void *arg;
	bool channel;
	enum runtime_verdict verdict;
	int fd[MSG_IO_MAX];
	struct event *read_event[MSG_IO_MAX], *write_event;

	/* to the function: up to three pieces, one after the other */
	struct {
		const char *data;
		size_t len;
	} out[3];
	size_t out_at, out_count;
	size_t event_at, event_len; /* channel: what of the event has been framed */
	const char *event;
	char *invoke;
	unsigned char header[2][CHANNEL_HEADER];

	/* from the function */
	unsigned char in_header[CHANNEL_HEADER];
	size_t in_have;
	struct channel_frame in;
	size_t in_left;
	bool ready, first_byte;
	struct buf reply, error;
	bool handled;
	uint64_t received;
	char why[160];
};

static void decide(struct runtime *r, enum runtime_verdict v, const char *why)
{
	if (r->verdict != RUNTIME_OPEN)
		return;
	r->verdict = v;
	if (why)
		str_copy(r->why, sizeof(r->why), why);
	if (r->cb.verdict)
		r->cb.verdict(r->arg, v);
}

static void close_io(struct runtime *r, int which)
{
	if (r->read_event[which])
		event_free(r->read_event[which]);
	r->read_event[which] = NULL;
	if (which == MSG_IO_TALK && r->write_event) {
		event_free(r->write_event);
		r->write_event = NULL;
	}
	if (r->fd[which] >= 0)
		close(r->fd[which]);
	r->fd[which] = -1;
}

/* ---- errors as data ------------------------------------------------------ */

/* Lines of the stack, as strings, cut to what a reply can carry. */
static json_t *copy_stack(json_t *stack)
{
	json_t *out = json_array(), *line;
	size_t i;
	json_array_foreach(stack, i, line) {
		const char *text = json_string_value(line);
		size_t len = text ? json_string_length(line) : 0;
		if (i == STACK_MAX)
			break;
		if (!text)
			continue;
		while (len > STACK_LINE_MAX || (len && len < json_string_length(line) && (text[len] & 0xc0) == 0x80))
			len = len > STACK_LINE_MAX ? STACK_LINE_MAX : len - 1; /* not inside a UTF-8 character */
		json_array_append_new(out, json_stringn(text, len));
	}
	return out;
}

int runtime_error_parse(const char *text, size_t len, struct buf *out, bool *handled)
{
	struct {
		json_t *message, *type, *stack;
		bool handled;
	} e = { NULL, NULL, NULL, false };
	static const struct json_field fields[] = {
		{ "errorMessage", JF_ANY, 0, true, 0, 0 },
		{ "errorType", JF_ANY, sizeof(json_t *), false, 0, 0 },
		{ "stackTrace", JF_ARRAY, 2 * sizeof(json_t *), false, 0, 0 },
		{ "handled", JF_BOOL, 3 * sizeof(json_t *), false, 0, 0 },
		{ NULL, JF_IGNORE, 0, false, 0, 0 },
	};
	struct err err = ERR_INIT;
	autojson json_t *object = json_parse(text, len, "error", &err);
	if (!object || json_read(object, fields, 0, &e, "", &err) < 0 || !json_is_string(e.message) ||
	    (e.type && !json_is_string(e.type)))
		return -EPROTO;
	autojson json_t *clean = json_object();
	json_object_set(clean, "errorMessage", e.message);
	json_object_set_new(clean, "errorType", e.type ? json_incref(e.type) : json_string("Error"));
	json_object_set_new(clean, "stackTrace", e.stack ? copy_stack(e.stack) : json_array());
	autofree char *dump = json_dumps(clean, JSON_COMPACT | JSON_PRESERVE_ORDER);
	if (!dump || buf_puts(out, dump) < 0)
		return -EPROTO;
	*handled = e.handled;
	return 0;
}

static void take_error(struct runtime *r)
{
	struct buf raw = r->error;
	r->error = (struct buf)BUF_INIT(CHANNEL_ERROR_MAX * 2);
	int e = runtime_error_parse(raw.data ? raw.data : "", raw.len, &r->error, &r->handled);
	buf_fini(&raw);
	if (e < 0)
		decide(r, RUNTIME_PROTOCOL, "its error is not a JSON object with errorMessage, errorType, stackTrace");
	else
		decide(r, r->in.type == CHANNEL_INIT_ERROR ? RUNTIME_INIT_FAILED : RUNTIME_FAILED, NULL);
}

/* ---- bytes from the function --------------------------------------------- */

static void take_reply(struct runtime *r, const char *data, size_t len)
{
	r->received += len;
	if (!r->first_byte && len) {
		r->first_byte = true;
		r->cb.first_byte(r->arg);
	}
	if (r->verdict == RUNTIME_OPEN && buf_append(&r->reply, data, len) < 0)
		decide(r, RUNTIME_REPLY_TOO_LARGE, NULL);
}

static void frame_begins(struct runtime *r)
{
	struct channel_frame *f = &r->in;
	if (channel_decode(r->in_header, f) < 0)
		return decide(r, RUNTIME_PROTOCOL, "a frame has an unknown type, reserved bits or too great a length");
	bool before_ready = f->type == CHANNEL_READY || f->type == CHANNEL_INIT_ERROR;
	if (before_ready == r->ready)
		return decide(r, RUNTIME_PROTOCOL, r->ready ? "a second READY" : "a reply before READY");
	if (f->type == CHANNEL_READY) {
		r->ready = true;
		r->cb.ready(r->arg);
	}
	r->in_left = f->len;
}

static void frame_ends(struct runtime *r)
{
	r->in_have = 0;
	if (r->in.type == CHANNEL_REPLY && (r->in.flags & CHANNEL_LAST))
		decide(r, RUNTIME_REPLIED, NULL);
	else if (r->in.type == CHANNEL_ERROR || r->in.type == CHANNEL_INIT_ERROR)
		take_error(r);
}

static void take_channel(struct runtime *r, const char *data, size_t len)
{
	while (r->verdict == RUNTIME_OPEN && (len > 0 || (r->in_have == CHANNEL_HEADER && r->in_left == 0))) {
		if (r->in_have < CHANNEL_HEADER) {
			size_t n = CHANNEL_HEADER - r->in_have < len ? CHANNEL_HEADER - r->in_have : len;
			memcpy(r->in_header + r->in_have, data, n);
			r->in_have += n;
			data += n;
			len -= n;
			if (r->in_have == CHANNEL_HEADER)
				frame_begins(r);
			continue;
		}
		size_t n = r->in_left < len ? r->in_left : len;
		if (r->in.type == CHANNEL_REPLY)
			take_reply(r, data, n);
		else if (n && buf_append(&r->error, data, n) < 0)
			return decide(r, RUNTIME_PROTOCOL, "its error is too long");
		data += n;
		len -= n;
		r->in_left -= n;
		if (r->in_left == 0)
			frame_ends(r);
	}
}

static void take_bytes(struct runtime *r, int which, const char *data, size_t len)
{
	if (which == MSG_IO_TALK)
		take_channel(r, data, len);
	else if (which == MSG_IO_STDOUT && !r->channel)
		take_reply(r, data, len);
	else
		r->cb.log(r->arg, which == MSG_IO_STDOUT ? LOG_STDOUT : LOG_STDERR, data, len);
}

/* Up to `max` bytes of what is there. 1 more may come, 0 end of file or broken. */
static int drain(struct runtime *r, int which, size_t max)
{
	static char chunk[CHUNK]; /* one thread, and nothing keeps a pointer into it */
	for (size_t sum = 0; sum < max && r->fd[which] >= 0;) {
		ssize_t n = read(r->fd[which], chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 1;
		if (n <= 0)
			return 0;
		sum += (size_t)n;
		take_bytes(r, which, chunk, (size_t)n);
	}
	return 1;
}

static void on_readable(struct runtime *r, int which)
{
	if (drain(r, which, (size_t)CHUNK * TURN_READS) > 0)
		return;
	close_io(r, which);
	if (which == MSG_IO_TALK)
		decide(r, RUNTIME_CLOSED, "it closed its channel without an answer");
}

static void on_talk(evutil_socket_t fd, short what, void *arg) { (void)fd; (void)what; on_readable(arg, MSG_IO_TALK); }
static void on_stdout(evutil_socket_t fd, short what, void *arg) { (void)fd; (void)what; on_readable(arg, MSG_IO_STDOUT); }
static void on_stderr(evutil_socket_t fd, short what, void *arg) { (void)fd; (void)what; on_readable(arg, MSG_IO_STDERR); }

/* ---- bytes to the function ----------------------------------------------- */

static void queue_out(struct runtime *r, const void *data, size_t len)
{
	assert(r->out_count < ARRAY_LEN(r->out));
	r->out[r->out_count].data = data;
	r->out[r->out_count++].len = len;
}

/* The next frame of the event, once everything before it is on its way. */
static void queue_event(struct runtime *r)
{
	size_t n = r->event_len - r->event_at;
	if (n > CHANNEL_FRAME_MAX)
		n = CHANNEL_FRAME_MAX;
	struct channel_frame f = { (uint32_t)n, CHANNEL_EVENT, r->event_at + n == r->event_len ? CHANNEL_LAST : 0 };
	channel_encode(r->header[1], &f);
	r->out_count = r->out_at = 0;
	queue_out(r, r->header[1], CHANNEL_HEADER);
	queue_out(r, r->event + r->event_at, n);
	r->event_at += n;
	if (f.flags & CHANNEL_LAST)
		r->event = NULL; /* all framed */
}

/* 1 all written, 0 later, -1 the other side does not read any more. */
static int write_out(struct runtime *r)
{
	for (;;) {
		while (r->out_at < r->out_count && r->out[r->out_at].len == 0)
			r->out_at++;
		if (r->out_at == r->out_count) {
			if (!r->channel || !r->event)
				return 1;
			queue_event(r);
			continue;
		}
		ssize_t n = write(r->fd[MSG_IO_TALK], r->out[r->out_at].data, r->out[r->out_at].len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		r->out[r->out_at].data += n;
		r->out[r->out_at].len -= (size_t)n;
	}
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct runtime *r = arg;
	(void)fd;
	(void)what;
	if (write_out(r) == 0)
		return;
	event_free(r->write_event);
	r->write_event = NULL;
	if (!r->channel) /* stdin ends; a program that does not read it is not wrong */
		close_io(r, MSG_IO_TALK);
}

/* ---- lifecycle ----------------------------------------------------------- */

static int add_events(struct runtime *r, struct event_base *base)
{
	static const event_callback_fn callback[] = { [MSG_IO_TALK] = on_talk, [MSG_IO_STDOUT] = on_stdout,
						      [MSG_IO_STDERR] = on_stderr };
	for (int i = 0; i < MSG_IO_MAX; i++) {
		if (fd_set_nonblock(r->fd[i]) < 0)
			return -errno;
		if (i == MSG_IO_TALK && !r->channel)
			continue;
		r->read_event[i] = event_new(base, r->fd[i], EV_READ | EV_PERSIST, callback[i], r);
		if (!r->read_event[i] || event_add(r->read_event[i], NULL) < 0)
			return -ENOMEM;
	}
	r->write_event = event_new(base, r->fd[MSG_IO_TALK], EV_WRITE | EV_PERSIST, on_writable, r);
	return r->write_event && event_add(r->write_event, NULL) == 0 ? 0 : -ENOMEM;
}

int runtime_new(struct runtime **ret, struct event_base *base, const struct runtime_start *s)
{
	struct runtime *r = calloc(1, sizeof(*r));
	if (!r) {
		for (int i = 0; i < MSG_IO_MAX; i++)
			close(s->fds[i]);
		return -ENOMEM;
	}
	memcpy(r->fd, s->fds, sizeof(r->fd));
	r->cb = *s->cb;
	r->arg = s->arg;
	r->channel = s->channel;
	r->reply.max = s->max_reply;
	r->error.max = CHANNEL_ERROR_MAX;
	r->event = s->event;
	r->event_len = s->event_len;
	int e = add_events(r, base);
	if (e == 0 && s->channel) {
		r->invoke = strdup(s->invoke);
		if (!r->invoke)
			e = -ENOMEM;
	}
	if (e < 0) {
		runtime_free(r);
		return e;
	}
	if (s->channel) {
		struct channel_frame f = { (uint32_t)strlen(r->invoke), CHANNEL_INVOKE, 0 };
		channel_encode(r->header[0], &f);
		queue_out(r, r->header[0], CHANNEL_HEADER);
		queue_out(r, r->invoke, f.len);
		if (!r->event)
			r->event = "";
	} else {
		queue_out(r, r->event, r->event_len);
	}
	*ret = r;
	return 0;
}

struct runtime *runtime_free(struct runtime *r)
{
	if (!r)
		return NULL;
	for (int i = 0; i < MSG_IO_MAX; i++)
		close_io(r, i);
	buf_fini(&r->reply);
	buf_fini(&r->error);
	free(r->invoke);
	free(r);
	return NULL;
}

enum runtime_verdict runtime_finish(struct runtime *r)
{
	r->cb.verdict = NULL;
	for (int i = r->channel ? MSG_IO_TALK : MSG_IO_STDOUT; i < MSG_IO_MAX; i++) {
		drain(r, i, FINISH_MAX);
		close_io(r, i);
	}
	close_io(r, MSG_IO_TALK);
	return r->verdict;
}

struct buf *runtime_reply(struct runtime *r) { return &r->reply; }
const char *runtime_error(const struct runtime *r) { return r->error.data ? r->error.data : ""; }
bool runtime_error_handled(const struct runtime *r) { return r->handled; }
const char *runtime_why(const struct runtime *r) { return r->why; }
uint64_t runtime_received(const struct runtime *r) { return r->received; }
