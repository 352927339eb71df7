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
	buf_printf(log, "%s %s %lld%s", p->method, p->target, (long long)p->body_len, p->keep_alive ? "" : " close");
	for (size_t i = 0; i < p->headers; i++)
		buf_printf(log, " %s=%s", p->field[i].name, p->field[i].value);
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

static void check(const char *text, size_t len, size_t step, size_t first, const char *expected)
{
	struct http1 p;
	struct buf log = BUF_INIT(1 << 16);
	http1_init(&p, HEAD_MAX);
	assert_int_equal(feed(&p, text, first, &log), HTTP1_MORE);
	for (size_t at = first; at < len; at += step)
		assert_int_equal(feed(&p, text + at, step < len - at ? step : len - at, &log), HTTP1_MORE);
	assert_int_equal(http1_eof(&p), HTTP1_MORE);
	assert_string_equal(log.data, expected);
	buf_fini(&log);
	http1_fini(&p);
}

struct message {
	const char *text, *expected;
};

static const struct message messages[] = {
	{ "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: 127.0.0.1:9001\r\nAccept: */*\r\n\r\n",
	  "GET /2018-06-01/runtime/invocation/next 0 Host=127.0.0.1:9001 Accept=*/* {}\n" },
	{ "POST /a HTTP/1.1\r\ncontent-LENGTH: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nConnection: x , Close\r\n\r\n",
	  "POST /a 5 content-LENGTH=5 {hello}\nGET /b 0 close Connection=x , Close {}\n" },
	{ "POST /a HTTP/1.1\r\nTransfer-Encoding: Chunked\r\nTrailer: Sum\r\n\r\n"
			 "3\r\nabc\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\nSum:\t42 \r\nContent-Length: 7\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
	  "POST /a -1 Transfer-Encoding=Chunked Trailer=Sum {abc0123456789}42\nGET /b 0 {}\n" },
	{ "PUT /x?y=%20 HTTP/1.0\r\nContent-Length: 0\r\nEmpty:\r\nEmpty:   \r\n\r\n",
	  "PUT /x?y=%20 0 close Content-Length=0 Empty= Empty= {}\n" },
	{ "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / 0 Connection=Keep-Alive {}\n" },
};

static void test_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		const struct message *m = &messages[i];
		size_t len = strlen(m->text);
		for (size_t first = 0; first <= len; first++)
			check(m->text, len, len, first, m->expected);
		for (size_t step = 1; step < 4; step++)
			check(m->text, len, step, 0, m->expected);
	}
}

/* ---- refused ------------------------------------------------------------- */

struct fault {
	const char *text;
	size_t len;
};
#define FAULT(text) { text, sizeof(text) - 1 }
#define LINE "POST / HTTP/1.1\r\n"
#define CHUNKED LINE "Transfer-Encoding: chunked\r\n\r\n"

static const struct fault faults[] = {
	/* smuggling: two readers, two lengths */
	FAULT(LINE "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
	FAULT(LINE "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
	FAULT(LINE "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),
	FAULT(LINE "Content-Length: 5, 5\r\n\r\n"),
	FAULT(LINE "Content-Length: +5\r\n\r\n"),
	FAULT(LINE "Content-Length: -1\r\n\r\n"),
	FAULT(LINE "Content-Length: 0x5\r\n\r\n"),
	FAULT(LINE "Content-Length:\r\n\r\n"),
	FAULT(LINE "Content-Length: 1234567890123456789\r\n\r\n"),
	FAULT(LINE "Transfer-Encoding: gzip, chunked\r\n\r\n"),
	FAULT(LINE "Transfer-Encoding: xchunked\r\n\r\n"),
	FAULT(LINE "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
	FAULT(LINE "Transfer-Encoding : chunked\r\n\r\n"),
	FAULT("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
	FAULT(LINE "A: b\r\n folded\r\n\r\n"),
	FAULT(LINE " A: b\r\n\r\n"),
	FAULT(LINE "\tA: b\r\n\r\n"),
	/* line ends and controls */
	FAULT("GET / HTTP/1.1\nA: b\n\n"),
	FAULT(LINE "A: b\n\r\n"),
	FAULT(LINE "A: b\rC: d\r\n\r\n"),
	FAULT(LINE "A: b\r\r\n\r\n"),
	FAULT(LINE "A: \0b\r\n\r\n"),
	FAULT(LINE "A\0: b\r\n\r\n"),
	FAULT(LINE "A: \x7f\r\n\r\n"),
	FAULT(LINE "\n"),
	FAULT("\r\n" LINE "\r\n"),
	/* lines that are none */
	FAULT(LINE "no colon\r\n\r\n"),
	FAULT(LINE ": no name\r\n\r\n"),
	FAULT(LINE "a b: c\r\n\r\n"),
	FAULT("GET /\r\n\r\n"),
	FAULT("GET  / HTTP/1.1\r\n\r\n"),
	FAULT("GET / HTTP/1.1 \r\n\r\n"),
	FAULT("GET /a b HTTP/1.1\r\n\r\n"),
	FAULT(" / HTTP/1.1\r\n\r\n"),
	FAULT("G\xc3\xa9T / HTTP/1.1\r\n\r\n"),
	FAULT("GET /\xc3\xa9 HTTP/1.1\r\n\r\n"),
	FAULT("GET / HTTP/2.0\r\n\r\n"),
	FAULT("GET / http/1.1\r\n\r\n"),
	FAULT("HTTP/1.1 200 OK\r\n\r\n"),
	/* chunks */
	FAULT(CHUNKED "\r\n"),
	FAULT(CHUNKED "g\r\n"),
	FAULT(CHUNKED "-1\r\n"),
	FAULT(CHUNKED "0x1\r\n"),
	FAULT(CHUNKED " 1\r\n"),
	FAULT(CHUNKED "1 \r\n"),
	FAULT(CHUNKED "1\n"),
	FAULT(CHUNKED "1;a\rb\r\n"),
	FAULT(CHUNKED "1234567890abcdef\r\n"),
	FAULT(CHUNKED "3\r\nabcd\r\n"),
	FAULT(CHUNKED "3\r\nabc\n"),
	FAULT(CHUNKED "0\r\nbad trailer\r\n\r\n"),
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
			http1_init(&p, HEAD_MAX);
			for (size_t at = 0; split && at < f->len && e >= 0; at++)
				e = feed(&p, f->text + at, 1, &log);
			if (!split)
				e = feed(&p, f->text, f->len, &log);
			if (e != -EPROTO)
				fail_msg("%d: %s", e, f->text);
			assert_true(*p.why);
			assert_int_equal(feed(&p, "GET / HTTP/1.1\r\n\r\n", 18, &log), -EPROTO);
			assert_int_equal(http1_eof(&p), -EPROTO);
			buf_fini(&log);
			http1_fini(&p);
		}
}

static void test_cut_short(void **state)
{
	static const char *const cut[] = {
		"G", LINE "A: b\r\n", LINE "Content-Length: 2\r\n\r\na", CHUNKED "1\r\na\r\n0\r\n",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
		struct http1 p;
		struct buf log = BUF_INIT(1 << 16);
		http1_init(&p, HEAD_MAX);
		assert_int_equal(feed(&p, cut[i], strlen(cut[i]), &log), HTTP1_MORE);
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
		http1_init(&p, HEAD_MAX);
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
		http1_init(&p, 4096);
		assert_int_equal(feed_text(&p, &text), many ? -EMSGSIZE : HTTP1_MORE);
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
	http1_init(&p, sizeof(CHUNKED) - 1 + 20);
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
	http1_init(&p, HEAD_MAX);
	assert_int_equal(feed(&p, text.data, text.len, &log), -EPROTO);
	http1_fini(&p);
	buf_fini(&text);
	buf_fini(&log);
}

static void test_tokens(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nTE: trailers, deflate;q=0.5\r\nte:,  gzip ,\r\nx: trailersx\r\n\r\n";
	struct http1 p;
	const char *data = text;
	size_t len = sizeof(text) - 1;
	struct http1_piece piece;
	(void)state;
	http1_init(&p, HEAD_MAX);
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
	assert_int_equal(http1_put_status(&out, 202), 0);
	assert_int_equal(http1_put_header(&out, "x-fc-request-id", "1-2"), 0);
	assert_int_equal(http1_put_header(&out, "Empty", ""), 0);
	assert_int_equal(http1_put_number(&out, "Content-Length", INT64_MIN), 0);
	assert_int_equal(http1_put_end(&out), 0);
	assert_string_equal(out.data, "HTTP/1.1 202 Accepted\r\nx-fc-request-id: 1-2\r\nEmpty: \r\n"
				      "Content-Length: -9223372036854775808\r\n\r\n");
	buf_reset(&out);
	assert_int_equal(http1_put_status(&out, 599), 0);
	assert_string_equal(out.data, "HTTP/1.1 599 \r\n");
	buf_reset(&out);
	assert_int_equal(http1_put_header(&out, "A", "b\r\nC: d"), -EINVAL);
	assert_int_equal(http1_put_header(&out, "A", "b\n"), -EINVAL);
	assert_int_equal(http1_put_header(&out, "A:", "b"), -EINVAL);
	assert_int_equal(http1_put_header(&out, "", "b"), -EINVAL);
	assert_int_equal(http1_put_status(&out, 42), -EINVAL);
	assert_int_equal(out.len, 0);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_split), cmocka_unit_test(test_refused),      cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_limits),      cmocka_unit_test(test_chunk_limits), cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_put),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
