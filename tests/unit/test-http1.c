/* agent/http1: the same message in any split, what is refused, and what may be written. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/http1.h"

enum { HEAD_MAX = 512 };

/* ---- a transcript of what the parser told -------------------------------- */

static void print_head(const struct http1 *p, struct buf *log)
{
	if (p->kind == HTTP1_REQUEST)
		buf_printf(log, "%s %s", p->method, p->target);
	else
		buf_printf(log, "%d", p->status);
	buf_printf(log, " %lld%s", (long long)p->body_len, p->keep_alive ? "" : " close");
	const struct http1_field *f;
	for (size_t i = 0; (f = http1_header_at(p, i)); i++)
		buf_printf(log, " %s=%s", f->name, f->value);
	buf_puts(log, " {");
}

/* Every byte of data, which is the next piece of the stream; at the end of a message goes on with the next one. */
static int feed(struct http1 *p, const char *data, size_t len, struct buf *log)
{
	struct http1_piece piece;
	for (;;) {
		size_t before = len;
		const char *from = data;
		int e = http1_step(p, &data, &len, &piece);
		assert_ptr_equal(data, from + (before - len));
		if (e == HTTP1_HEAD)
			print_head(p, log);
		else if (e == HTTP1_BODY)
			buf_append(log, piece.data, piece.len);
		else if (e == HTTP1_END) {
			const char *trailer = http1_trailer(p, "sum");
			buf_printf(log, "}%s\n", trailer ? trailer : "");
			http1_next(p);
		} else {
			assert_true(e < 0 || len == 0);
			return e;
		}
	}
}

static int eof(struct http1 *p, struct buf *log)
{
	int e = http1_eof(p);
	if (e == HTTP1_END)
		buf_puts(log, "}eof\n");
	return e;
}

static void check(enum http1_kind kind, const char *text, size_t len, size_t step, size_t first, const char *expected)
{
	struct http1 p;
	struct buf log = BUF_INIT(1 << 16);
	http1_init(&p, kind, HEAD_MAX);
	assert_int_equal(feed(&p, text, first, &log), HTTP1_MORE);
	for (size_t at = first; at < len; at += step)
		assert_int_equal(feed(&p, text + at, step < len - at ? step : len - at, &log), HTTP1_MORE);
	assert_true(eof(&p, &log) >= 0);
	assert_string_equal(log.data, expected);
	buf_fini(&log);
	http1_fini(&p);
}

struct message {
	enum http1_kind kind;
	const char *text, *expected;
};

static const struct message messages[] = {
	{ HTTP1_REQUEST, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: 127.0.0.1:9001\r\nAccept: */*\r\n\r\n",
	  "GET /2018-06-01/runtime/invocation/next 0 Host=127.0.0.1:9001 Accept=*/* {}\n" },
	{ HTTP1_REQUEST, "POST /a HTTP/1.1\r\ncontent-LENGTH: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nConnection: x , Close\r\n\r\n",
	  "POST /a 5 content-LENGTH=5 {hello}\nGET /b 0 close Connection=x , Close {}\n" },
	{ HTTP1_REQUEST, "POST /a HTTP/1.1\r\nTransfer-Encoding: Chunked\r\nTrailer: Sum\r\n\r\n"
			 "3\r\nabc\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\nSum:\t42 \r\nContent-Length: 7\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
	  "POST /a -1 Transfer-Encoding=Chunked Trailer=Sum {abc0123456789}42\nGET /b 0 {}\n" },
	{ HTTP1_REQUEST, "PUT /x?y=%20 HTTP/1.0\r\nContent-Length: 0\r\nEmpty:\r\nEmpty:   \r\n\r\n",
	  "PUT /x?y=%20 0 close Content-Length=0 Empty= Empty= {}\n" },
	{ HTTP1_REQUEST, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / 0 Connection=Keep-Alive {}\n" },
	{ HTTP1_RESPONSE, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok",
	  "200 2 Content-Type=text/plain Content-Length=2 {ok}\n" },
	{ HTTP1_RESPONSE, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nLink: x\r\n\r\nHTTP/1.1 404\r\nContent-Length: 1\r\n\r\n!",
	  "404 1 Content-Length=1 {!}\n" },
	{ HTTP1_RESPONSE, "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 \r\n\r\nto the end",
	  "204 0 {}\n304 9 Content-Length=9 {}\n200 -1 close {to the end}eof\n" },
	{ HTTP1_RESPONSE, "HTTP/1.0 200 OK\r\nServer: BaseHTTP/0.6 Python/3.11.2\r\n\r\nthe rest",
	  "200 -1 close Server=BaseHTTP/0.6 Python/3.11.2 {the rest}eof\n" },
	{ HTTP1_RESPONSE, "HTTP/1.1 502 Tr\xc3\xa8s mal\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
	  "502 -1 transfer-encoding=chunked {}\n" },
};

static void test_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		const struct message *m = &messages[i];
		size_t len = strlen(m->text);
		for (size_t first = 0; first <= len; first++)
			check(m->kind, m->text, len, len, first, m->expected);
		for (size_t step = 1; step < 4; step++)
			check(m->kind, m->text, len, step, 0, m->expected);
	}
}

/* ---- refused ------------------------------------------------------------- */

struct fault {
	enum http1_kind kind;
	const char *text;
	size_t len;
	int error;
};
#define FAULT(kind, text) { kind, text, sizeof(text) - 1, -EPROTO }
#define LINE "POST / HTTP/1.1\r\n"
#define CHUNKED LINE "Transfer-Encoding: chunked\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\n"

static const struct fault faults[] = {
	/* smuggling: two readers, two lengths */
	FAULT(HTTP1_REQUEST, LINE "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
	FAULT(HTTP1_RESPONSE, OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE "Content-Length: 5, 5\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE "Content-Length: +5\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE "Content-Length: -1\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE "Content-Length: 0x5\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE "Content-Length:\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE "Content-Length: 1234567890123456789\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE "Transfer-Encoding: gzip, chunked\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE "Transfer-Encoding: xchunked\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE "Transfer-Encoding : chunked\r\n\r\n"),
	FAULT(HTTP1_REQUEST, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE "A: b\r\n folded\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE " A: b\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE "\tA: b\r\n\r\n"),
	/* line ends and controls */
	FAULT(HTTP1_REQUEST, "GET / HTTP/1.1\nA: b\n\n"),
	FAULT(HTTP1_REQUEST, LINE "A: b\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE "A: b\rC: d\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE "A: b\r\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE "A: \0b\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE "A\0: b\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE "A: \x7f\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE "\n"),
	FAULT(HTTP1_REQUEST, "\r\n" LINE "\r\n"),
	/* lines that are none */
	FAULT(HTTP1_REQUEST, LINE "no colon\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE ": no name\r\n\r\n"),
	FAULT(HTTP1_REQUEST, LINE "a b: c\r\n\r\n"),
	FAULT(HTTP1_REQUEST, "GET /\r\n\r\n"),
	FAULT(HTTP1_REQUEST, "GET  / HTTP/1.1\r\n\r\n"),
	FAULT(HTTP1_REQUEST, "GET / HTTP/1.1 \r\n\r\n"),
	FAULT(HTTP1_REQUEST, "GET /a b HTTP/1.1\r\n\r\n"),
	FAULT(HTTP1_REQUEST, " / HTTP/1.1\r\n\r\n"),
	FAULT(HTTP1_REQUEST, "G\xc3\xa9T / HTTP/1.1\r\n\r\n"),
	FAULT(HTTP1_REQUEST, "GET /\xc3\xa9 HTTP/1.1\r\n\r\n"),
	FAULT(HTTP1_REQUEST, "GET / HTTP/2.0\r\n\r\n"),
	FAULT(HTTP1_REQUEST, "GET / http/1.1\r\n\r\n"),
	FAULT(HTTP1_REQUEST, OK "\r\n"),
	FAULT(HTTP1_RESPONSE, LINE "\r\n"),
	FAULT(HTTP1_RESPONSE, "HTTP/1.1\r\n\r\n"),
	FAULT(HTTP1_RESPONSE, "HTTP/1.1 20\r\n\r\n"),
	FAULT(HTTP1_RESPONSE, "HTTP/1.1 2000\r\n\r\n"),
	FAULT(HTTP1_RESPONSE, "HTTP/1.1 099 x\r\n\r\n"),
	FAULT(HTTP1_RESPONSE, "HTTP/1.1 600 x\r\n\r\n"),
	FAULT(HTTP1_RESPONSE, "HTTP/1.1 200 a\x01\r\n\r\n"),
	FAULT(HTTP1_RESPONSE, "HTTP/1.1 101 Switching Protocols\r\n\r\n"),
	FAULT(HTTP1_RESPONSE, "ICY 200 OK\r\n\r\n"),
	/* chunks */
	FAULT(HTTP1_REQUEST, CHUNKED "\r\n"),
	FAULT(HTTP1_REQUEST, CHUNKED "g\r\n"),
	FAULT(HTTP1_REQUEST, CHUNKED "-1\r\n"),
	FAULT(HTTP1_REQUEST, CHUNKED "0x1\r\n"),
	FAULT(HTTP1_REQUEST, CHUNKED " 1\r\n"),
	FAULT(HTTP1_REQUEST, CHUNKED "1 \r\n"),
	FAULT(HTTP1_REQUEST, CHUNKED "1\n"),
	FAULT(HTTP1_REQUEST, CHUNKED "1;a\rb\r\n"),
	FAULT(HTTP1_REQUEST, CHUNKED "1234567890abcdef\r\n"),
	FAULT(HTTP1_REQUEST, CHUNKED "3\r\nabcd\r\n"),
	FAULT(HTTP1_REQUEST, CHUNKED "3\r\nabc\n"),
	FAULT(HTTP1_REQUEST, CHUNKED "0\r\nbad trailer\r\n\r\n"),
};

/* In one piece, and byte by byte: a fault is found, and stays. */
static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		for (int split = 0; split < 2; split++) {
			const struct fault *f = &faults[i];
			struct http1 p;
			struct buf log = BUF_INIT(1 << 16);
			int e = HTTP1_MORE;
			http1_init(&p, f->kind, HEAD_MAX);
			for (size_t at = 0; split && at < f->len && e >= 0; at++)
				e = feed(&p, f->text + at, 1, &log);
			if (!split)
				e = feed(&p, f->text, f->len, &log);
			if (e != f->error)
				fail_msg("%d instead of %d: %s", e, f->error, f->text);
			assert_true(*p.why);
			assert_int_equal(feed(&p, "GET / HTTP/1.1\r\n\r\n", 18, &log), f->error);
			assert_int_equal(http1_eof(&p), f->error);
			buf_fini(&log);
			http1_fini(&p);
		}
}

static void test_cut_short(void **state)
{
	static const struct message cut[] = {
		{ HTTP1_REQUEST, "G", "" }, { HTTP1_REQUEST, LINE "A: b\r\n", "" },
		{ HTTP1_REQUEST, LINE "Content-Length: 2\r\n\r\na", "" }, { HTTP1_REQUEST, CHUNKED "1\r\na\r\n0\r\n", "" },
		{ HTTP1_RESPONSE, OK "Content-Length: 2\r\n\r\n", "" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
		struct http1 p;
		struct buf log = BUF_INIT(1 << 16);
		http1_init(&p, cut[i].kind, HEAD_MAX);
		assert_int_equal(feed(&p, cut[i].text, strlen(cut[i].text), &log), HTTP1_MORE);
		assert_int_equal(http1_eof(&p), -EPROTO);
		buf_fini(&log);
		http1_fini(&p);
	}
}

/* ---- limits -------------------------------------------------------------- */

static int feed_text(struct http1 *p, const struct buf *text)
{
	struct buf log = BUF_INIT(1 << 16);
	int e = feed(p, text->data, text->len, &log);
	buf_fini(&log);
	return e;
}

static void test_limits(void **state)
{
	struct http1 p;
	(void)state;
	for (size_t extra = 0; extra < 2; extra++) { /* a head of exactly the limit, and one byte more */
		struct buf text = BUF_INIT(1 << 16);
		buf_puts(&text, LINE "A: ");
		while (text.len < HEAD_MAX - 4 + extra)
			buf_puts(&text, "x");
		buf_puts(&text, "\r\n\r\n");
		http1_init(&p, HTTP1_REQUEST, HEAD_MAX);
		assert_int_equal(feed_text(&p, &text), extra ? -EMSGSIZE : HTTP1_MORE);
		http1_fini(&p);
		buf_fini(&text);
	}
	for (int many = 0; many < 2; many++) {
		struct buf text = BUF_INIT(1 << 16);
		buf_puts(&text, LINE);
		for (int i = 0; i < HTTP1_FIELDS_MAX + many; i++)
			buf_puts(&text, "A: b\r\n");
		buf_puts(&text, "\r\n");
		http1_init(&p, HTTP1_REQUEST, 4096);
		assert_int_equal(feed_text(&p, &text), many ? -EMSGSIZE : HTTP1_MORE);
		http1_fini(&p);
		buf_fini(&text);
	}
	for (int many = 0; many < 2; many++) { /* 1xx heads do not add up, but are counted */
		struct buf text = BUF_INIT(1 << 16);
		for (int i = 0; i < HTTP1_INTERIM_MAX + many; i++)
			buf_puts(&text, "HTTP/1.1 102 Processing\r\nA: b\r\n\r\n");
		http1_init(&p, HTTP1_RESPONSE, 64);
		assert_int_equal(feed_text(&p, &text), many ? -EPROTO : HTTP1_MORE);
		http1_fini(&p);
		buf_fini(&text);
	}
}

/* Any number of chunks leaves the head where it is; their lines and the trailers are bounded. */
static void test_chunk_limits(void **state)
{
	struct http1 p;
	struct buf text = BUF_INIT(1 << 20), log = BUF_INIT(1 << 20);
	(void)state;
	http1_init(&p, HTTP1_REQUEST, sizeof(CHUNKED) - 1 + 20);
	assert_int_equal(feed(&p, CHUNKED, sizeof(CHUNKED) - 1, &log), HTTP1_MORE);
	const char *method = p.method;
	for (int i = 0; i < 5000; i++)
		buf_puts(&text, "1;ext\r\nz\r\n");
	assert_int_equal(feed(&p, text.data, text.len, &log), HTTP1_MORE);
	assert_ptr_equal(p.method, method);
	assert_string_equal(http1_header(&p, "transfer-encoding"), "chunked");
	assert_null(http1_trailer(&p, "transfer-encoding"));
	assert_int_equal(feed(&p, "0\r\nA: 3456789012345\r\n", 20, &log), HTTP1_MORE);
	assert_int_equal(feed(&p, "B: c\r\n", 6, &log), -EMSGSIZE);
	http1_fini(&p);

	buf_reset(&text);
	buf_puts(&text, CHUNKED "1;");
	for (int i = 0; i < HTTP1_CHUNK_LINE_MAX; i++)
		buf_puts(&text, "x");
	http1_init(&p, HTTP1_REQUEST, HEAD_MAX);
	assert_int_equal(feed(&p, text.data, text.len, &log), -EPROTO);
	http1_fini(&p);
	buf_fini(&text);
	buf_fini(&log);
}

static void test_head_request(void **state)
{
	static const char text[] = OK "Content-Length: 10\r\n\r\n";
	struct http1 p;
	struct buf log = BUF_INIT(1000);
	(void)state;
	http1_init(&p, HTTP1_RESPONSE, HEAD_MAX);
	p.bodyless = true;
	assert_int_equal(feed(&p, text, sizeof(text) - 1, &log), HTTP1_MORE);
	assert_string_equal(log.data, "200 10 Content-Length=10 {}\n");
	buf_fini(&log);
	http1_fini(&p);
}

static void test_tokens(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nTE: trailers, deflate;q=0.5\r\nte:,  gzip ,\r\nx: trailersx\r\n\r\n";
	struct http1 p;
	const char *data = text;
	size_t len = sizeof(text) - 1;
	struct http1_piece piece;
	(void)state;
	http1_init(&p, HTTP1_REQUEST, HEAD_MAX);
	assert_int_equal(http1_step(&p, &data, &len, &piece), HTTP1_HEAD);
	assert_true(http1_has_token(&p, "te", "Trailers"));
	assert_true(http1_has_token(&p, "te", "gzip"));
	assert_false(http1_has_token(&p, "te", "deflate"));
	assert_false(http1_has_token(&p, "x", "trailers"));
	assert_false(http1_has_token(&p, "none", "trailers"));
	assert_null(http1_header(&p, "none"));
	http1_fini(&p);
}

/* ---- heads to send ------------------------------------------------------- */

static void test_put(void **state)
{
	struct buf out = BUF_INIT(200);
	(void)state;
	assert_int_equal(http1_put_request(&out, "POST", "/invoke?a=b"), 0);
	assert_int_equal(http1_put_header(&out, "x-fc-request-id", "1-2"), 0);
	assert_int_equal(http1_put_header(&out, "Empty", ""), 0);
	assert_int_equal(http1_put_number(&out, "Content-Length", INT64_MIN), 0);
	assert_int_equal(http1_put_end(&out), 0);
	assert_string_equal(out.data, "POST /invoke?a=b HTTP/1.1\r\nx-fc-request-id: 1-2\r\nEmpty: \r\n"
				      "Content-Length: -9223372036854775808\r\n\r\n");
	buf_reset(&out);
	assert_int_equal(http1_put_status(&out, 202), 0);
	assert_int_equal(http1_put_status(&out, 599), 0);
	assert_string_equal(out.data, "HTTP/1.1 202 Accepted\r\nHTTP/1.1 599 \r\n");
	buf_reset(&out);
	assert_int_equal(http1_put_header(&out, "A", "b\r\nC: d"), -EINVAL);
	assert_int_equal(http1_put_header(&out, "A", "b\n"), -EINVAL);
	assert_int_equal(http1_put_header(&out, "A:", "b"), -EINVAL);
	assert_int_equal(http1_put_header(&out, "", "b"), -EINVAL);
	assert_int_equal(http1_put_request(&out, "GET", "/ HTTP/1.1\r\nA: b"), -EINVAL);
	assert_int_equal(http1_put_request(&out, "GET", ""), -EINVAL);
	assert_int_equal(http1_put_request(&out, "GET /", "/"), -EINVAL);
	assert_int_equal(http1_put_status(&out, 42), -EINVAL);
	assert_int_equal(out.len, 0);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_split), cmocka_unit_test(test_refused),    cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_limits),      cmocka_unit_test(test_chunk_limits), cmocka_unit_test(test_head_request),
		cmocka_unit_test(test_tokens),      cmocka_unit_test(test_put),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
