/*
 * http1 - HTTP/1.1 requests (RFC 9112) of the code inside a sandbox to the
 * Runtime API, and the heads of what it is answered. (What a function's own web
 * server answers is read by libcurl, agent/web.h.)
 *
 * No I/O. Bytes come in any split; http1_step() takes what it understands and
 * tells what is there: the head whole, a piece of the body (a pointer into the
 * caller's bytes, nothing is copied), the end. It stops at the end of a message:
 * bytes left belong to the next one. Memory is one buffer of head_max bytes and
 * a table of HTTP1_FIELDS_MAX fields; the caller limits the body.
 *
 * The other side is hostile. What two readers could understand in two ways is
 * refused, never repaired: line ends other than CRLF, NUL and other controls,
 * folded fields, blanks before a colon, Content-Length twice, not a plain number
 * or beside Transfer-Encoding, codings other than "chunked", chunk sizes that are
 * not plain hexadecimal. After a refusal every call returns the same error.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum {
	HTTP1_FIELDS_MAX = 100,     /* header and trailer fields of one message */
	HTTP1_CHUNK_LINE_MAX = 256, /* a chunk's size with its extensions, which are skipped */
};

/* What http1_step() found. Negative: refused, http1.why tells: -EPROTO, -EMSGSIZE (head over the limit), -ENOMEM. */
enum http1_event {
	HTTP1_MORE, /* all bytes taken, more are needed */
	HTTP1_HEAD, /* method, target, fields; the length of the body if known */
	HTTP1_BODY, /* a piece of it */
	HTTP1_END,  /* trailers are there. Stays so until http1_next() */
};

struct http1_field {
	const char *name, *value; /* the value without blanks around it */
};

struct http1 {
	/* to read from HTTP1_HEAD on, until http1_next() */
	const char *method, *target; /* not empty, visible ASCII */
	int64_t body_len;            /* -1: not told in advance */
	bool keep_alive;             /* the sender takes or sends another message on this connection */
	const char *why;             /* refused: what is wrong, for the author of the code inside */

	/* private */
	int state, error;
	bool http10, chunked, has_length;
	size_t head_max, line_at, fields, headers;
	uint64_t left;
	struct buf text;
	struct http1_field field[HTTP1_FIELDS_MAX];
};

struct http1_piece {
	const char *data; /* into the caller's bytes */
	size_t len;
};

/* head_max: bytes of start line, header fields and trailer fields of one message. Allocates with the first byte. */
void http1_init(struct http1 *p, size_t head_max);
void http1_fini(struct http1 *p);

/* One event. *data and *len move on by what was taken; piece is set with HTTP1_BODY. */
int http1_step(struct http1 *p, const char **data, size_t *len, struct http1_piece *piece);

/* After HTTP1_END: be ready for the next message of the connection. */
void http1_next(struct http1 *p);

/* The connection ended. HTTP1_END: the message was whole; HTTP1_MORE: nothing of one had come; -EPROTO: it was cut short. */
int http1_eof(struct http1 *p);

/* Nothing of a message has come. */
bool http1_is_idle(const struct http1 *p);

/* The first field of that name (any case), or NULL. Trailers only after HTTP1_END; they never count as headers. */
const char *http1_header(const struct http1 *p, const char *name);
const char *http1_trailer(const struct http1 *p, const char *name);

/* Is the token (any case) in one of the comma-separated lists of that name? */
bool http1_has_token(const struct http1 *p, const char *name, const char *token);

/*
 * Heads to send: a status line, header lines, http1_put_end(). 0, -ENOMEM, -EMSGSIZE (out's limit), or -EINVAL: a
 * name or value that could be read as more than one; nothing is then appended.
 */
int http1_put_status(struct buf *out, int status);
int http1_put_header(struct buf *out, const char *name, const char *value);
int http1_put_number(struct buf *out, const char *name, int64_t value);
int http1_put_end(struct buf *out);
