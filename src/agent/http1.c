#include "agent/http1.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

enum state {
	/* states that read a line */
	AT_START,
	AT_FIELD,
	AT_CHUNK_SIZE,
	AT_CHUNK_END,
	AT_TRAILER,
	/* states that read bytes */
	IN_LENGTH,
	IN_CHUNK,
	/* states that read nothing */
	AT_END,
	REFUSED,
};

static int refuse(struct http1 *p, int error, const char *why)
{
	p->state = REFUSED;
	p->error = error;
	p->why = why;
	return error;
}

static int bad(struct http1 *p, const char *why) { return refuse(p, -EPROTO, why); }

/* ---- what may stand where ------------------------------------------------ */

static bool is_token_char(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!is_token_char((unsigned char)s[i]))
			return false;
	return len > 0;
}

/* Text of a value: no control but the tabulator. */
static bool is_text(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)s[i] < 0x20 && s[i] != '\t') || s[i] == 0x7f)
			return false;
	return true;
}

static bool is_target(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] <= 0x20 || (unsigned char)s[i] >= 0x7f)
			return false;
	return len > 0;
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

/* ---- lines --------------------------------------------------------------- */

/* Move on to the end of the line: 1 it is in text from line_at, without its CRLF and terminated; 0 not yet. */
static int read_line(struct http1 *p, const char **data, size_t *len)
{
	const char *end = *len ? memchr(*data, '\n', *len) : NULL;
	size_t n = end ? (size_t)(end - *data) + 1 : *len;
	size_t limit = p->state == AT_CHUNK_SIZE ? p->line_at + HTTP1_CHUNK_LINE_MAX :
		       p->state == AT_CHUNK_END  ? p->line_at + 2 : p->head_max;
	if (p->text.len + n > limit)
		return p->state == AT_CHUNK_SIZE ? bad(p, "the size of a chunk is too long a line") :
		       p->state == AT_CHUNK_END  ? bad(p, "a chunk is longer than its size") :
						   refuse(p, -EMSGSIZE, "the header fields are too large");
	if (!p->text.data && buf_reserve(&p->text, p->head_max + HTTP1_CHUNK_LINE_MAX) < 0)
		return refuse(p, -ENOMEM, "no memory");
	buf_append(&p->text, *data, n); /* cannot fail, and so never moves: it is reserved */
	*data += n;
	*len -= n;
	if (!end)
		return 0;
	size_t line = p->text.len - p->line_at;
	if (line < 2 || p->text.data[p->text.len - 2] != '\r')
		return bad(p, "a line does not end with CRLF");
	p->text.data[p->text.len - 2] = '\0';
	if (memchr(p->text.data + p->line_at, '\0', line - 2))
		return bad(p, "a NUL byte in a line");
	return 1;
}

/* The line is kept: fields point into it. */
static void keep_line(struct http1 *p) { p->line_at = p->text.len; }

static void drop_line(struct http1 *p) { p->text.len = p->line_at; }

/* ---- the head ------------------------------------------------------------ */

static int take_version(struct http1 *p, const char *s)
{
	if (strcmp(s, "HTTP/1.1") != 0 && strcmp(s, "HTTP/1.0") != 0)
		return bad(p, "the version is not HTTP/1.1 or HTTP/1.0");
	p->http10 = s[7] == '0';
	return 0;
}

static int take_request_line(struct http1 *p, char *line)
{
	char *target = strchr(line, ' '), *version = target ? strchr(target + 1, ' ') : NULL;
	if (!version)
		return bad(p, "the first line is not METHOD TARGET VERSION");
	*target++ = '\0';
	*version++ = '\0';
	if (!is_token(line, strlen(line)) || !is_target(target, strlen(target)))
		return bad(p, "the first line has a method or a target with characters that may not be there");
	p->method = line;
	p->target = target;
	return take_version(p, version);
}

static int take_length(struct http1 *p, const char *value)
{
	size_t n = strlen(value);
	if (p->has_length)
		return bad(p, "Content-Length stands there twice");
	if (n == 0 || n > 18 || strspn(value, "0123456789") != n)
		return bad(p, "Content-Length is not a plain number");
	p->has_length = true;
	p->body_len = 0;
	for (; *value; value++)
		p->body_len = p->body_len * 10 + (*value - '0');
	return 0;
}

static int take_coding(struct http1 *p, const char *value)
{
	if (p->chunked || strcasecmp(value, "chunked") != 0)
		return bad(p, "Transfer-Encoding is something else than chunked, once");
	p->chunked = true;
	return 0;
}

static int take_field(struct http1 *p, char *line)
{
	if (is_blank(*line))
		return bad(p, "a folded header field");
	char *colon = strchr(line, ':');
	if (!colon || !is_token(line, (size_t)(colon - line)))
		return bad(p, "a header field is not NAME: VALUE");
	if (p->fields == HTTP1_FIELDS_MAX)
		return refuse(p, -EMSGSIZE, "too many header fields");
	char *value = colon + 1;
	while (is_blank(*value))
		value++;
	size_t n = strlen(value);
	if (!is_text(value, n))
		return bad(p, "a control character in the value of a header field");
	while (n > 0 && is_blank(value[n - 1]))
		n--;
	value[n] = '\0';
	*colon = '\0';
	p->field[p->fields++] = (struct http1_field){ line, value };
	keep_line(p);
	if (p->state == AT_TRAILER) /* says nothing about the message any more */
		return 0;
	return strcasecmp(line, "Content-Length") == 0    ? take_length(p, value) :
	       strcasecmp(line, "Transfer-Encoding") == 0 ? take_coding(p, value) : 0;
}

static void clear_message(struct http1 *p)
{
	p->state = AT_START;
	p->text.len = p->line_at = p->fields = p->headers = 0;
	p->method = p->target = NULL;
	p->body_len = -1;
	p->http10 = p->chunked = p->has_length = p->keep_alive = false;
}

/* The blank line: how long is what follows? */
static int end_head(struct http1 *p)
{
	if (p->chunked && p->has_length)
		return bad(p, "both Content-Length and Transfer-Encoding");
	if (p->chunked && p->http10)
		return bad(p, "Transfer-Encoding in a message of HTTP/1.0");
	p->headers = p->fields;
	p->keep_alive = !http1_has_token(p, "Connection", "close") &&
			(!p->http10 || http1_has_token(p, "Connection", "keep-alive"));
	keep_line(p);
	if (!p->chunked && !p->has_length)
		p->body_len = 0;
	p->state = p->chunked ? AT_CHUNK_SIZE : p->body_len > 0 ? IN_LENGTH : AT_END;
	p->left = p->state == IN_LENGTH ? (uint64_t)p->body_len : 0;
	return HTTP1_HEAD;
}

/* ---- chunks -------------------------------------------------------------- */

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int take_chunk_size(struct http1 *p, const char *line)
{
	size_t n = 0;
	p->left = 0;
	for (; hex_digit(line[n]) >= 0; n++) {
		if (n == 15)
			return bad(p, "the size of a chunk is too large");
		p->left = p->left * 16 + (uint64_t)hex_digit(line[n]);
	}
	if (n == 0 || (line[n] != '\0' && line[n] != ';') || !is_text(line + n, strlen(line + n)))
		return bad(p, "the size of a chunk is not a plain hexadecimal number");
	drop_line(p);
	p->state = p->left ? IN_CHUNK : AT_TRAILER;
	return 0;
}

/* ---- one event ----------------------------------------------------------- */

/* A line is whole: an event, or 0 to read on. */
static int take_line(struct http1 *p)
{
	char *line = p->text.data + p->line_at;
	int e;
	switch ((enum state)p->state) {
	case AT_START:
		e = take_request_line(p, line);
		if (e < 0)
			return e;
		keep_line(p);
		p->state = AT_FIELD;
		return 0;
	case AT_FIELD:
		return *line ? take_field(p, line) : end_head(p);
	case AT_TRAILER:
		if (*line)
			return take_field(p, line);
		p->state = AT_END;
		return HTTP1_END;
	case AT_CHUNK_SIZE:
		return take_chunk_size(p, line);
	case AT_CHUNK_END:
		if (*line)
			return bad(p, "a chunk is longer than its size");
		drop_line(p);
		p->state = AT_CHUNK_SIZE;
		return 0;
	case IN_LENGTH:
	case IN_CHUNK:
	case AT_END:
	case REFUSED:
		break;
	}
	assert(!"a state that reads lines");
	return -EINVAL;
}

static int take_bytes(struct http1 *p, const char **data, size_t *len, struct http1_piece *piece)
{
	if (*len == 0)
		return HTTP1_MORE;
	size_t n = p->left > *len ? *len : (size_t)p->left;
	*piece = (struct http1_piece){ *data, n };
	*data += n;
	*len -= n;
	p->left -= n;
	if (p->left == 0)
		p->state = p->state == IN_CHUNK ? AT_CHUNK_END : AT_END;
	return HTTP1_BODY;
}

int http1_step(struct http1 *p, const char **data, size_t *len, struct http1_piece *piece)
{
	for (;;) {
		if (p->state == REFUSED)
			return p->error;
		if (p->state == AT_END)
			return HTTP1_END;
		if (p->state >= IN_LENGTH)
			return take_bytes(p, data, len, piece);
		int e = read_line(p, data, len);
		if (e > 0)
			e = take_line(p);
		else if (e == 0)
			return HTTP1_MORE;
		if (e != 0)
			return e;
	}
}

bool http1_is_idle(const struct http1 *p) { return p->state == AT_START && p->text.len == 0; }

int http1_eof(struct http1 *p)
{
	if (p->state == REFUSED)
		return p->error;
	if (p->state == AT_END)
		return HTTP1_END;
	if (http1_is_idle(p))
		return HTTP1_MORE;
	return bad(p, "the connection ended in the middle of a message");
}

void http1_init(struct http1 *p, size_t head_max)
{
	*p = (struct http1){ .head_max = head_max, .text = BUF_INIT(head_max + HTTP1_CHUNK_LINE_MAX) };
	clear_message(p);
}

void http1_next(struct http1 *p)
{
	assert(p->state == AT_END);
	clear_message(p);
}

void http1_fini(struct http1 *p) { buf_fini(&p->text); }

/* ---- fields -------------------------------------------------------------- */

static const char *find(const struct http1 *p, size_t from, size_t to, const char *name)
{
	for (size_t i = from; i < to; i++)
		if (strcasecmp(p->field[i].name, name) == 0)
			return p->field[i].value;
	return NULL;
}

const char *http1_header(const struct http1 *p, const char *name) { return find(p, 0, p->headers, name); }
const char *http1_trailer(const struct http1 *p, const char *name) { return find(p, p->headers, p->fields, name); }

static bool list_has(const char *list, const char *token)
{
	size_t len = strlen(token);
	while (*list) {
		list += strspn(list, ", \t");
		size_t n = strcspn(list, ","), item = n;
		while (item > 0 && is_blank(list[item - 1]))
			item--;
		if (item == len && strncasecmp(list, token, len) == 0)
			return true;
		list += n;
	}
	return false;
}

bool http1_has_token(const struct http1 *p, const char *name, const char *token)
{
	for (size_t i = 0; i < p->headers; i++)
		if (strcasecmp(p->field[i].name, name) == 0 && list_has(p->field[i].value, token))
			return true;
	return false;
}

/* ---- heads to send ------------------------------------------------------- */

int http1_put_status(struct buf *out, int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
		{ 100, "Continue" }, { 200, "OK" }, { 202, "Accepted" }, { 400, "Bad Request" }, { 403, "Forbidden" },
		{ 404, "Not Found" }, { 405, "Method Not Allowed" }, { 413, "Content Too Large" },
		{ 431, "Request Header Fields Too Large" }, { 500, "Internal Server Error" },
	};
	const char *reason = ""; /* RFC 9112 section 4: may be empty */
	if (status < 100 || status > 599)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (reasons[i].status == status)
			reason = reasons[i].reason;
	return buf_printf(out, "HTTP/1.1 %d %s\r\n", status, reason);
}

int http1_put_header(struct buf *out, const char *name, const char *value)
{
	if (!is_token(name, strlen(name)) || !is_text(value, strlen(value)))
		return -EINVAL;
	return buf_printf(out, "%s: %s\r\n", name, value);
}

int http1_put_number(struct buf *out, const char *name, int64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRId64, value);
	return http1_put_header(out, name, text);
}

int http1_put_end(struct buf *out) { return buf_puts(out, "\r\n"); }
