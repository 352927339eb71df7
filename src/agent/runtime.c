#include "agent/runtime-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/logs.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"
#include "ipc/channel.h"

enum { STACK_MAX = 200, STACK_LINE_MAX = 2048, ERROR_MAX = CHANNEL_ERROR_MAX };

static const struct runtime_kind *const kinds[RUNTIME_TALK_MAX] = {
	[RUNTIME_TALK_STDIO] = &runtime_stdio, [RUNTIME_TALK_CHANNEL] = &runtime_channel,
	[RUNTIME_TALK_PUSH] = &runtime_push, [RUNTIME_TALK_PULL] = &runtime_pull,
};

void runtime_decide(struct runtime *r, enum runtime_verdict v, const char *why)
{
	if (r->verdict != RUNTIME_OPEN)
		return;
	r->verdict = v;
	if (why)
		str_copy(r->why, sizeof(r->why), why);
	if (r->cb.verdict)
		r->cb.verdict(r->arg, v);
}

void runtime_close(struct runtime *r, int which)
{
	if (r->read_event[which])
		event_free(r->read_event[which]);
	r->read_event[which] = NULL;
	if (r->fd[which] >= 0)
		close(r->fd[which]);
	r->fd[which] = -1;
}

int runtime_watch(struct runtime *r, int which, event_callback_fn on_readable)
{
	r->read_event[which] = event_new(r->base, r->fd[which], EV_READ | EV_PERSIST, on_readable, r);
	return r->read_event[which] && event_add(r->read_event[which], NULL) == 0 ? 0 : -ENOMEM;
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

void runtime_threw(struct runtime *r, bool init)
{
	struct buf raw = r->error;
	r->error = (struct buf)BUF_INIT(ERROR_MAX * 2);
	int e = runtime_error_parse(raw.data ? raw.data : "", raw.len, &r->error, &r->handled);
	buf_fini(&raw);
	if (e < 0)
		runtime_decide(r, RUNTIME_PROTOCOL, "its error is not a JSON object with errorMessage, errorType, stackTrace");
	else
		runtime_decide(r, init ? RUNTIME_INIT_FAILED : RUNTIME_FAILED, NULL);
}

void runtime_threw_text(struct runtime *r, bool init, const char *type, const char *what)
{
	enum { TEXT_MAX = 8 << 10 };
	struct buf said = r->error, out = BUF_INIT(ERROR_MAX * 2);
	bool handled;
	if (said.len && runtime_error_parse(said.data, said.len, &out, &handled) == 0) {
		buf_fini(&out);
		return runtime_threw(r, init);
	}
	size_t n = said.len < TEXT_MAX ? said.len : TEXT_MAX;
	while (n > 0 && n < said.len && ((unsigned char)said.data[n] & 0xc0) == 0x80)
		n--; /* not inside a UTF-8 character */
	autojson json_t *text = n ? json_stringn(said.data, n) : NULL; /* NULL: not UTF-8 */
	autojson json_t *o = json_pack("{s:o, s:s, s:[]}", "errorMessage",
				       text ? json_sprintf("%s: %s", what, json_string_value(text)) : json_string(what), "errorType", type,
				       "stackTrace");
	autofree char *dump = o ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
	buf_fini(&said);
	r->error = out;
	if (dump)
		buf_puts(&r->error, dump);
	runtime_decide(r, init ? RUNTIME_INIT_FAILED : RUNTIME_FAILED, NULL);
}

/* ---- bytes from the function --------------------------------------------- */

void runtime_put(struct runtime *r, const char *data, size_t len)
{
	if (len == 0)
		return;
	r->received += len;
	if (!r->first_byte) {
		r->first_byte = true;
		r->cb.first_byte(r->arg);
	}
	if (r->verdict != RUNTIME_OPEN)
		return;
	if (!r->cb.reply) {
		if (buf_append(&r->reply, data, len) < 0)
			runtime_decide(r, RUNTIME_REPLY_TOO_LARGE, NULL);
	} else if (!r->cb.reply(r->arg, data, len) && !r->resting) {
		r->resting = true;
		r->kind->pause(r, true);
	}
}

void runtime_resume(struct runtime *r)
{
	if (!r->resting)
		return;
	r->resting = false;
	r->kind->pause(r, false);
}

void runtime_settle(struct runtime *r)
{
	r->kind->settle(r);
}

int runtime_drain(struct runtime *r, int fd, size_t max, void (*take)(struct runtime *r, const char *data, size_t len))
{
	static char chunk[RUNTIME_CHUNK]; /* one thread, and nothing keeps a pointer into it */
	bool resting = r->resting;
	for (size_t sum = 0; sum < max && r->resting == resting;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 1;
		if (n <= 0)
			return 0;
		sum += (size_t)n;
		take(r, chunk, (size_t)n);
	}
	return 1;
}

static void take_stdout(struct runtime *r, const char *data, size_t len) { r->cb.log(r->arg, LOG_STDOUT, data, len); }
static void take_stderr(struct runtime *r, const char *data, size_t len) { r->cb.log(r->arg, LOG_STDERR, data, len); }

static void on_stdout(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	if (runtime_drain(arg, fd, (size_t)RUNTIME_CHUNK * RUNTIME_TURN_READS, take_stdout) == 0)
		runtime_close(arg, MSG_IO_STDOUT);
}

static void on_stderr(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	if (runtime_drain(arg, fd, (size_t)RUNTIME_CHUNK * RUNTIME_TURN_READS, take_stderr) == 0)
		runtime_close(arg, MSG_IO_STDERR);
}

/* ---- lifecycle ----------------------------------------------------------- */

static int set_up(struct runtime *r, const struct runtime_start *s)
{
	for (int i = 0; i < MSG_IO_MAX; i++)
		if (r->fd[i] >= 0 && fd_set_nonblock(r->fd[i]) < 0)
			return -errno;
	int e = r->kind->stdout_is_reply ? 0 : runtime_watch(r, MSG_IO_STDOUT, on_stdout);
	if (e == 0)
		e = runtime_watch(r, MSG_IO_STDERR, on_stderr);
	return e < 0 ? e : r->kind->start(r, s);
}

int runtime_new(struct runtime **ret, struct event_base *base, const struct runtime_start *s)
{
	const struct runtime_kind *kind = kinds[s->talk];
	struct instance_fds fds = *s->fds;
	struct runtime *r = calloc(1, sizeof(*r));
	void *own = calloc(1, kind->size);
	if (!r || !own) {
		free(own);
		free(r);
		instance_fds_close(&fds);
		return -ENOMEM;
	}
	*r = (struct runtime){ .kind = kind, .base = base, .cb = *s->cb, .arg = s->arg, .call = s->call, .web = s->web, .own = own };
	memcpy(r->fd, fds.io, sizeof(r->fd));
	memcpy(r->client, fds.client, sizeof(r->client));
	r->runtime_api = fds.runtime_api;
	cleanup_close(&fds.function_api);
	r->reply = (struct buf)BUF_INIT(s->max_reply);
	r->error = (struct buf)BUF_INIT(ERROR_MAX);
	int e = set_up(r, s);
	if (e < 0) {
		runtime_free(r);
		return e;
	}
	*ret = r;
	return 0;
}

struct runtime *runtime_free(struct runtime *r)
{
	if (!r)
		return NULL;
	if (r->kind->free)
		r->kind->free(r);
	for (int i = 0; i < MSG_IO_MAX; i++)
		runtime_close(r, i);
	for (int i = 0; i < MSG_SOCKETS_MAX; i++)
		cleanup_close(&r->client[i]);
	cleanup_close(&r->runtime_api);
	buf_fini(&r->reply);
	buf_fini(&r->error);
	free(r->own);
	free(r);
	return NULL;
}

enum runtime_verdict runtime_finish(struct runtime *r)
{
	r->cb.verdict = NULL;
	r->resting = true; /* nothing waits any more */
	r->kind->finish(r);
	if (!r->kind->stdout_is_reply && r->fd[MSG_IO_STDOUT] >= 0)
		runtime_drain(r, r->fd[MSG_IO_STDOUT], RUNTIME_FINISH_MAX, take_stdout);
	if (r->fd[MSG_IO_STDERR] >= 0)
		runtime_drain(r, r->fd[MSG_IO_STDERR], RUNTIME_FINISH_MAX, take_stderr);
	for (int i = 0; i < MSG_IO_MAX; i++)
		runtime_close(r, i);
	return r->verdict;
}

struct buf *runtime_reply(struct runtime *r) { return &r->reply; }
const char *runtime_error(const struct runtime *r) { return r->error.data ? r->error.data : ""; }
bool runtime_error_handled(const struct runtime *r) { return r->handled; }
const char *runtime_why(const struct runtime *r) { return r->why; }
uint64_t runtime_received(const struct runtime *r) { return r->received; }
