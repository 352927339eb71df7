/*
 * HTTP/1.1 of the code inside a sandbox. Input: a byte, then a connection's
 * bytes. They are read in one piece and again in pieces of 1 to 7 bytes, as the
 * byte says: both must tell the same. The fields that were read are written
 * anew, and must be taken by the writers and read back the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD_MAX = 1024, LOG_MAX = 16 << 20 };

static void must(bool yes)
{
	if (!yes)
		abort();
}

static void rewrite(const struct http1 *p)
{
	struct buf head = BUF_INIT(64 << 10);
	struct http1 again;
	struct http1_piece piece;
	buf_printf(&head, "%s %s HTTP/1.%d\r\n", p->method, p->target, p->http10 ? 0 : 1);
	for (size_t i = 0; i < p->headers; i++)
		must(http1_put_header(&head, p->field[i].name, p->field[i].value) == 0);
	must(http1_put_end(&head) == 0);
	http1_init(&again, 64 << 10);
	const char *at = head.data;
	size_t left = head.len;
	must(http1_step(&again, &at, &left, &piece) == HTTP1_HEAD && left == 0);
	must(again.headers == p->headers && again.body_len == p->body_len && again.keep_alive == p->keep_alive);
	for (size_t i = 0; i < p->headers; i++)
		must(strcmp(p->field[i].value, again.field[i].value) == 0);
	http1_fini(&again);
	buf_fini(&head);
}

/* 0 all read, or the refusal */
static int feed(struct http1 *p, const char *data, size_t len, struct buf *log, bool check)
{
	struct http1_piece piece;
	for (;;) {
		int e = http1_step(p, &data, &len, &piece);
		if (e == HTTP1_HEAD) {
			must(p->method && p->target && *p->target);
			buf_printf(log, "<%zu %lld %d>", p->headers, (long long)p->body_len, p->keep_alive);
			if (check)
				rewrite(p);
		} else if (e == HTTP1_BODY) {
			must(piece.len > 0);
			buf_append(log, piece.data, piece.len);
		} else if (e == HTTP1_END) {
			buf_printf(log, "<end %zu>", p->fields);
			http1_next(p);
		} else {
			must(e < 0 || len == 0);
			return e;
		}
	}
}

static void run(const char *data, size_t len, size_t step, struct buf *log)
{
	struct http1 p;
	int e = 0;
	http1_init(&p, HEAD_MAX);
	for (size_t at = 0; at < len && e == 0; at += step)
		e = feed(&p, data + at, step < len - at ? step : len - at, log, step == len);
	int end = http1_eof(&p);
	must(e == 0 || (end == e && *p.why));
	buf_printf(log, "<%d>", end);
	http1_fini(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	struct buf whole = BUF_INIT(LOG_MAX), split = BUF_INIT(LOG_MAX);
	run((const char *)data + 1, size - 1, size - 1, &whole);
	run((const char *)data + 1, size - 1, 1 + data[0] % 7, &split);
	must(whole.len == split.len && memcmp(whole.data, split.data, whole.len) == 0);
	buf_fini(&whole);
	buf_fini(&split);
	return 0;
}
