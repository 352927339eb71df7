/* agent/runtime: what a hostile or clumsy runtime may send, and what is made of it. */
#include <event2/event.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/runtime.h"
#include "plan/function.h"

static int verdicts, readies, first_bytes;
static void on_verdict(void *arg, enum runtime_verdict v) { *(enum runtime_verdict *)arg = v; verdicts++; }
static void on_log(void *arg, int stream, const char *data, size_t len) { (void)arg; (void)stream; (void)data; (void)len; }
static void on_ready(void *arg) { (void)arg; readies++; }
static void on_first_byte(void *arg) { (void)arg; first_bytes++; }
static const struct runtime_callbacks callbacks = {
	.verdict = on_verdict, .log = on_log, .ready = on_ready, .first_byte = on_first_byte,
};
static const struct function function = { .name = (char *)(uintptr_t)"f" };

/* Send these bytes as the runtime's answer, in pieces of `piece`; the verdict, with the reply in *reply. */
static enum runtime_verdict talk(bool channel, const void *data, size_t len, size_t piece, struct buf *reply)
{
	enum runtime_verdict v = RUNTIME_OPEN;
	int talk_pair[2], out[2], err[2];
	struct event_base *base = event_base_new();
	struct runtime *r;
	verdicts = readies = first_bytes = 0;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, talk_pair), 0);
	assert_int_equal(pipe(out) | pipe(err), 0);
	const struct instance_fds fds = { { talk_pair[0], out[0], err[0] }, { -1, -1, -1, -1 }, -1, -1 };
	const struct runtime_start s = { .talk = channel ? RUNTIME_TALK_CHANNEL : RUNTIME_TALK_STDIO, .fds = &fds, .max_reply = 8, .cb = &callbacks, .arg = &v,
					 .call = { .request_id = "r", .function = &function, .event = "ev", .event_len = 2 } };
	assert_int_equal(runtime_new(&r, base, &s), 0);
	for (size_t at = 0; at < len; at += piece) {
		size_t n = len - at < piece ? len - at : piece;
		assert_int_equal(write(channel ? talk_pair[1] : out[1], (const char *)data + at, n), (ssize_t)n);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	close(talk_pair[1]);
	close(out[1]);
	close(err[1]);
	event_base_loop(base, EVLOOP_NONBLOCK);
	v = runtime_finish(r);
	if (reply)
		buf_append(reply, runtime_reply(r)->len ? runtime_reply(r)->data : "", runtime_reply(r)->len);
	runtime_free(r);
	event_base_free(base);
	assert_true(verdicts <= 1);
	return v;
}

#define READY "\0\0\0\0\x10\0\0\0"
#define TALK(bytes, piece) talk(true, bytes, sizeof(bytes) - 1, piece, NULL)

static void test_channel_reply(void **state)
{
	static const char good[] = READY "\2\0\0\0\x12\0\0\0ab" "\1\0\0\0\x12\1\0\0c";
	(void)state;
	for (size_t piece = 1; piece < sizeof(good); piece++) {
		struct buf reply = BUF_INIT(100);
		assert_int_equal(talk(true, good, sizeof(good) - 1, piece, &reply), RUNTIME_REPLIED);
		assert_string_equal(reply.data, "abc");
		assert_int_equal(readies, 1);
		assert_int_equal(first_bytes, 1);
		buf_fini(&reply);
	}
	assert_int_equal(TALK(READY "\0\0\0\0\x12\1\0\0", 3), RUNTIME_REPLIED);
}

static void test_channel_abuse(void **state)
{
	(void)state;
	assert_int_equal(TALK("", 1), RUNTIME_CLOSED);
	assert_int_equal(TALK(READY, 8), RUNTIME_CLOSED);
	assert_int_equal(TALK(READY READY, 5), RUNTIME_PROTOCOL);
	assert_int_equal(TALK("\0\0\0\0\x12\1\0\0", 8), RUNTIME_PROTOCOL); /* reply before READY */
	assert_int_equal(TALK("\0\0\0\0\x01\0\0\0", 8), RUNTIME_PROTOCOL); /* INVOKE is ours to send */
	assert_int_equal(TALK(READY "\0\0\0\0\x12\2\0\0", 8), RUNTIME_PROTOCOL);
	assert_int_equal(TALK(READY "\xff\xff\xff\xff\x12\0\0\0", 8), RUNTIME_PROTOCOL);
	assert_int_equal(TALK(READY "\3\0\0\0\x13\0\0\0abc", 4), RUNTIME_PROTOCOL);
	assert_int_equal(TALK(READY "\x09\0\0\0\x12\1\0\0" "123456789", 4), RUNTIME_REPLY_TOO_LARGE);
	assert_int_equal(TALK(READY "\x16\0\0\0\x13\0\0\0{\"errorMessage\":\"boo\"}", 4), RUNTIME_FAILED);
	assert_int_equal(TALK("\x16\0\0\0\x11\0\0\0{\"errorMessage\":\"boo\"}", 4), RUNTIME_INIT_FAILED);
}

static void test_stdio(void **state)
{
	struct buf reply = BUF_INIT(100);
	(void)state;
	assert_int_equal(talk(false, "hello", 5, 2, &reply), RUNTIME_OPEN); /* its end is the process' end */
	assert_string_equal(reply.data, "hello");
	buf_fini(&reply);
	assert_int_equal(talk(false, "123456789", 9, 9, NULL), RUNTIME_REPLY_TOO_LARGE);
}

static void test_error_objects(void **state)
{
	static const char *const bad[] = { "", "1", "[]", "{}", "{\"errorMessage\":1}", "{\"errorMessage\":\"a\",\"errorType\":2}",
					   "{\"errorMessage\":\"a\",\"stackTrace\":\"x\"}", "{\"errorMessage\":\"a\",\"more\":1}" };
	struct buf out = BUF_INIT(4096);
	bool handled = false;
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (runtime_error_parse(bad[i], strlen(bad[i]), &out, &handled) != -EPROTO)
			fail_msg("taken: %s", bad[i]);
	static const char good[] = "{\"handled\":true,\"stackTrace\":[\"l1\",2],\"errorType\":\"T\",\"errorMessage\":\"m\"}";
	assert_int_equal(runtime_error_parse(good, sizeof(good) - 1, &out, &handled), 0);
	assert_true(handled);
	assert_string_equal(out.data, "{\"errorMessage\":\"m\",\"errorType\":\"T\",\"stackTrace\":[\"l1\"]}");
	buf_fini(&out);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN); /* as serve does */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_channel_reply), cmocka_unit_test(test_channel_abuse), cmocka_unit_test(test_stdio),
		cmocka_unit_test(test_error_objects),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
