/*
 * A reply that is sent while it is made: chunked, with trailers. What the
 * handler puts waits in a bounded buffer for libmicrohttpd, which asks for it
 * (read_stream) when the client takes more. An empty buffer suspends the
 * connection; a full one tells the handler to rest until it is nearly empty.
 */
#include <assert.h>
#include <event2/buffer.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/gate-internal.h"

enum { HIGH = 256 << 10, LOW = 64 << 10, BLOCK = 32 << 10 };

static void add_trailers(struct exchange *x)
{
	for (size_t i = x->stream.trailers_from; i < x->headers; i++)
		if (x->header[i].value)
			MHD_add_response_footer(x->stream.response, x->header[i].name, x->header[i].value);
}

static ssize_t read_stream(void *arg, uint64_t pos, char *to, size_t max)
{
	struct exchange *x = arg;
	struct gate_stream *s = &x->stream;
	(void)pos;
	size_t n = evbuffer_get_length(s->text);
	if (n == 0 && s->broken)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (n == 0 && s->ended) {
		add_trailers(x);
		return MHD_CONTENT_READER_END_OF_STREAM;
	}
	if (n == 0) {
		gate_suspend(x);
		return 0;
	}
	n = (size_t)evbuffer_remove(s->text, to, max < n ? max : n);
	x->held -= n;
	x->gate->env.stats->reply_held_bytes -= n;
	gate_reply_progress(x);
	if (s->full && evbuffer_get_length(s->text) <= LOW) {
		s->full = false;
		s->more(x);
	}
	return (ssize_t)n;
}

struct MHD_Response *gate_stream_response(struct exchange *x)
{
	struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_stream, x, NULL);
	x->stream.response = r; /* MHD and we hold it: the trailers are added at the end */
	x->stream.trailers_from = x->headers;
	return r;
}

void gate_stream_begin(struct exchange *x, unsigned status, const char *type, void (*more)(struct exchange *x))
{
	assert(x->deferred && !x->stream.on);
	x->stream.text = evbuffer_new();
	x->stream.on = true;
	x->stream.broken = !x->stream.text;
	x->stream.more = more;
	x->status = status;
	x->content_type = type;
	gate_answer(x);
}

bool gate_stream_put(struct exchange *x, const char *data, size_t len)
{
	struct gate_stream *s = &x->stream;
	assert(s->on && !s->ended);
	if (s->broken)
		return true;
	if (evbuffer_add(s->text, data, len) < 0) {
		s->broken = true;
		evbuffer_drain(s->text, evbuffer_get_length(s->text));
	} else {
		x->held += len;
		x->gate->env.stats->reply_held_bytes += len;
	}
	gate_wake(x);
	s->full = evbuffer_get_length(s->text) > HIGH ||
		  (evbuffer_get_length(s->text) > LOW && x->gate->env.stats->reply_held_bytes > GATE_REPLIES_MAX);
	return !s->full;
}

void gate_stream_end(struct exchange *x, bool whole)
{
	assert(x->stream.on && !x->stream.ended);
	x->stream.ended = true;
	x->stream.broken |= !whole;
	if (x->mhd)
		gate_wake(x);
	else
		gate_exchange_done(x);
}

void gate_stream_fini(struct exchange *x)
{
	if (x->stream.text)
		evbuffer_free(x->stream.text);
	if (x->stream.response)
		MHD_destroy_response(x->stream.response);
	x->stream = (struct gate_stream){ .on = false };
}
