/*
 * The Runtime API: what the code inside sends on three connections. Input: a
 * sequence of steps, each a byte (bits 0-1: which connection, bit 2: it then
 * ends, bit 3: its answer is not taken yet), a length byte, and so many bytes.
 * A length of 255 means: up to the next step's mark, the byte 0x1e.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/pull.h"
#include "plan/function.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CONNS = 3, MAX_REPLY = 64 };

static void must(bool yes)
{
	if (!yes)
		abort();
}

struct talk {
	struct pull p;
	struct pull_conn c[CONNS];
	size_t reply;
	int readies;
};

static void on_ready(void *arg) { ((struct talk *)arg)->readies++; }

static void on_reply(void *arg, const char *data, size_t len)
{
	struct talk *t = arg;
	must(len > 0 && data && t->p.verdict == RUNTIME_OPEN);
	t->reply += len;
}

/* Every answer has a head with the fields that it must have, and is as long as it says. */
static void take_answer(struct pull_conn *c)
{
	static const char again[] = "HTTP/1.1 100 Continue\r\n\r\n", length[] = "\r\nContent-Length: ";
	struct buf all = BUF_INIT(1 << 20);
	const char *data;
	size_t len;
	while (pull_output(c, &data, &len)) {
		buf_append(&all, data, len);
		pull_sent(c, len);
	}
	if (all.len && strncmp(all.data, again, sizeof(again) - 1) == 0)
		buf_consume(&all, sizeof(again) - 1);
	if (all.len) {
		const char *end = strstr(all.data, "\r\n\r\n"), *says = strstr(all.data, length);
		must(strncmp(all.data, "HTTP/1.1 ", 9) == 0 && strstr(all.data, "\r\nContent-Type: ") && end && says && says < end);
		must(strtoul(says + sizeof(length) - 1, NULL, 10) == strlen(end + 4));
		must(!c->closing == !strstr(all.data, "\r\nConnection: close\r\n"));
	}
	buf_fini(&all);
}

static void say(struct talk *t, int flags, const char *data, size_t len)
{
	struct pull_conn *c = &t->c[(flags & 3) % CONNS];
	const char *out;
	size_t out_len;
	if (pull_output(c, &out, &out_len))
		take_answer(c);
	if (c->closing)
		return;
	pull_take(&t->p, c, data, len);
	must(!(c->parked && pull_output(c, &out, &out_len)));
	if ((flags & 4) && !pull_output(c, &out, &out_len))
		pull_eof(&t->p, c);
	if (!(flags & 8))
		take_answer(c);
}

static void check(struct talk *t)
{
	bool handled;
	struct buf out = BUF_INIT(1 << 20);
	must(t->readies <= 1 && t->reply <= MAX_REPLY);
	must(t->p.verdict == RUNTIME_OPEN || t->p.state == PULL_ANSWERED);
	if (t->p.verdict == RUNTIME_FAILED || t->p.verdict == RUNTIME_INIT_FAILED)
		must(runtime_error_parse(t->p.error.data, t->p.error.len, &out, &handled) == 0);
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct function function = { .name = (char *)(uintptr_t)"f", .memory_mb = 128, .timeout_s = 3 };
	static const struct runtime_call call = { .request_id = "r", .function = &function, .deadline_ms = 1, .event = "{}", .event_len = 2 };
	static const struct pull_callbacks callbacks = { on_ready, on_reply };
	struct talk t = { .reply = 0 };
	pull_init(&t.p, &call, MAX_REPLY, &callbacks, &t);
	for (int i = 0; i < CONNS; i++)
		pull_conn_init(&t.c[i]);
	while (size >= 2) {
		uint8_t flags = data[0];
		size_t len = data[1];
		data += 2;
		size -= 2;
		const uint8_t *mark = len == 255 && size ? memchr(data, 0x1e, size) : NULL;
		if (mark)
			len = (size_t)(mark - data);
		else if (len > size || len == 255)
			len = size;
		say(&t, flags, (const char *)data, len);
		check(&t);
		len += mark ? 1 : 0;
		data += len;
		size -= len;
	}
	for (int i = 0; i < CONNS; i++)
		pull_conn_fini(&t.c[i]);
	pull_fini(&t.p);
	return 0;
}
