/* agent/pull: the Runtime API in both dialects, its order, its limits, and clients of every manner. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/pull.h"
#include "plan/function.h"

enum { CONNS = 3, MAX_REPLY = 100 };

static const struct function function = {
	.name = (char *)(uintptr_t)"hello", .handler = (char *)(uintptr_t)"index.handler", .memory_mb = 128, .timeout_s = 3,
};
static const struct runtime_call call = {
	.request_id = "r-1", .instance_id = "i-1", .account_id = "acme", .version = "2", .qualifier = "prod", .function = &function,
	.deadline_ms = 1795374188139, .event = "{\"a\":1}", .event_len = 7,
	.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", .tracestate = "a=b",
};

struct talk {
	struct pull p;
	struct pull_conn c[CONNS];
	struct buf reply, out;
	int readies;
};

static void on_ready(void *arg) { ((struct talk *)arg)->readies++; }
static void on_reply(void *arg, const char *data, size_t len) { assert_int_equal(buf_append(&((struct talk *)arg)->reply, data, len), 0); }
static const struct pull_callbacks callbacks = { on_ready, on_reply };

static void begin(struct talk *t)
{
	*t = (struct talk){ .reply = BUF_INIT(MAX_REPLY), .out = BUF_INIT(1 << 20) };
	pull_init(&t->p, &call, MAX_REPLY, &callbacks, t);
	for (int i = 0; i < CONNS; i++)
		pull_conn_init(&t->c[i]);
}

static void finish(struct talk *t)
{
	pull_fini(&t->p);
	for (int i = 0; i < CONNS; i++)
		pull_conn_fini(&t->c[i]);
	buf_fini(&t->reply);
	buf_fini(&t->out);
}

/* What connection `k` is answered, sent in pieces of 5 bytes. */
static const char *answer_of(struct talk *t, int k)
{
	const char *data;
	size_t len;
	buf_reset(&t->out);
	buf_puts(&t->out, "");
	while (pull_output(&t->c[k], &data, &len)) {
		len = len < 5 ? len : 5;
		buf_append(&t->out, data, len);
		pull_sent(&t->c[k], len);
	}
	return t->out.data;
}

static const char *say(struct talk *t, int k, const char *text)
{
	pull_take(&t->p, &t->c[k], text, strlen(text));
	return answer_of(t, k);
}

#define has(text, part) do { if (!strstr(text, part)) fail_msg("no %s in: %s", part, text); } while (0)
#define lacks(text, part) assert_null(strstr(text, part))
#define OK_202 "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"status\":\"OK\"}\n"
#define LAMBDA "/2018-06-01/runtime/"
#define FC "/2020-11-11/runtime/"
#define NEXT "GET " LAMBDA "invocation/next HTTP/1.1\r\nHost: 127.0.0.1:9001\r\n\r\n"
#define FC_NEXT "GET " FC "invocation/next HTTP/1.1\r\n\r\n"
#define POST(path, body_len, body) "POST " path " HTTP/1.1\r\nContent-Length: " #body_len "\r\n\r\n" body

static void test_lambda(void **state)
{
	struct talk t;
	(void)state;
	begin(&t);
	assert_string_equal(say(&t, 0, NEXT),
			    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\nLambda-Runtime-Aws-Request-Id: r-1\r\n"
			    "Lambda-Runtime-Deadline-Ms: 1795374188139\r\n"
			    "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:local:acme:function:hello:prod\r\n"
			    "Lambda-Runtime-Trace-Id: Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1\r\n"
			    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\ntracestate: a=b\r\n\r\n{\"a\":1}");
	assert_int_equal(t.readies, 1);
	assert_int_equal(t.p.verdict, RUNTIME_OPEN);
	assert_true(pull_is_idle(&t.c[0]));
	assert_string_equal(say(&t, 1, POST(LAMBDA "invocation/r-1/response", 5, "hello")), OK_202);
	assert_int_equal(t.p.verdict, RUNTIME_REPLIED);
	assert_string_equal(t.reply.data, "hello");
	assert_string_equal(say(&t, 0, NEXT), ""); /* there is one call: it waits */
	assert_true(t.c[0].parked);
	assert_int_equal(t.readies, 1);
	finish(&t);
}

static void test_fc(void **state)
{
	struct talk t;
	(void)state;
	begin(&t);
	const char *text = say(&t, 0, FC_NEXT);
	has(text, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\nx-fc-request-id: r-1\r\n");
	has(text, "\r\nx-fc-function-deadline: 1795374188139\r\n");
	has(text, "\r\nx-fc-function-timeout: 3\r\n");
	has(text, "\r\nx-fc-function-type: 0\r\n");
	has(text, "\r\nx-fc-function-handler: index.handler\r\n");
	has(text, "\r\ntraceparent: 00-");
	has(text, "\r\n\r\n{\"a\":1}");
	lacks(text, "Lambda");
	assert_string_equal(say(&t, 1, FC_NEXT), ""); /* it asks ahead */
	assert_true(t.c[1].parked);
	has(say(&t, 2, POST(FC "invocation/r-1/response", 2, "ok")), "HTTP/1.1 200 OK\r\n");
	assert_int_equal(t.p.verdict, RUNTIME_REPLIED);
	finish(&t);
}

static void test_order(void **state)
{
	struct talk t;
	(void)state;
	begin(&t);
	has(say(&t, 0, POST(LAMBDA "invocation/r-1/response", 2, "ok")), "HTTP/1.1 403 Forbidden\r\n");
	has(say(&t, 0, POST(LAMBDA "invocation/r-1/error", 2, "{}")), "\"errorType\":\"InvalidStateTransition\"");
	has(say(&t, 0, NEXT), "HTTP/1.1 200 OK");
	has(say(&t, 0, NEXT), "HTTP/1.1 403 Forbidden");
	has(say(&t, 0, POST(LAMBDA "init/error", 2, "{}")), "InvalidStateTransition");
	has(say(&t, 0, POST(LAMBDA "invocation/r-2/response", 2, "no")), "HTTP/1.1 400 Bad Request\r\n");
	has(say(&t, 0, POST(LAMBDA "invocation/r-2/error", 2, "no")), "\"errorType\":\"InvalidRequestID\"");
	assert_int_equal(t.reply.len, 0);
	assert_int_equal(t.p.verdict, RUNTIME_OPEN);
	say(&t, 0, "POST " LAMBDA "invocation/r-1/response HTTP/1.1\r\nContent-Length: 4\r\n\r\nab");
	has(say(&t, 1, POST(LAMBDA "invocation/r-1/error", 2, "{}")), "InvalidStateTransition"); /* two at once */
	assert_string_equal(say(&t, 0, "cd"), OK_202);
	has(say(&t, 0, POST(LAMBDA "invocation/r-1/response", 2, "no")), "InvalidRequestID"); /* twice */
	assert_string_equal(t.reply.data, "abcd");
	assert_int_equal(t.p.verdict, RUNTIME_REPLIED);
	finish(&t);
}

static void test_paths(void **state)
{
	static const char *const nowhere[] = {
		"/", "/2018-06-01", "/2018-06-01/", LAMBDA, LAMBDA "invocation", LAMBDA "invocation/next/", LAMBDA "invocation//response",
		LAMBDA "invocation/r-1/answer", LAMBDA "invocation/r-1/x/response", LAMBDA "invocation/response", LAMBDA "init/response",
		"/2018-06-02/ping", "/2018-06-01/pin", "http://127.0.0.1:9001/2018-06-01/ping", LAMBDA "restore/next",
	};
	struct talk t;
	char text[200];
	(void)state;
	begin(&t);
	for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
		snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n\r\n", nowhere[i]);
		has(say(&t, 0, text), "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n");
	}
	has(say(&t, 0, "GET /2018-06-01/ping?x=y HTTP/1.1\r\n\r\n"), "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n");
	has(say(&t, 0, "GET /2020-11-11/ping HTTP/1.1\r\n\r\n"), "HTTP/1.1 200 OK\r\n");
	has(say(&t, 0, POST(LAMBDA "invocation/next", 1, "x")), "HTTP/1.1 405 Method Not Allowed\r\n");
	has(say(&t, 0, "GET " LAMBDA "init/error HTTP/1.1\r\n\r\n"), "MethodNotAllowed");
	assert_int_equal(t.readies, 0);
	has(say(&t, 0, NEXT), "HTTP/1.1 200 OK\r\n"); /* all on one connection */
	finish(&t);
}

static void check_error(const char *path, bool next, const char *header, const char *body, const char *expected, enum runtime_verdict v)
{
	struct talk t;
	char text[2000];
	begin(&t);
	if (next)
		say(&t, 0, NEXT);
	snprintf(text, sizeof(text), "POST %s HTTP/1.1\r\nContent-Length: %zu\r\n%s\r\n%s", path, strlen(body), header, body);
	assert_string_equal(say(&t, 0, text), OK_202);
	assert_int_equal(t.p.verdict, v);
	assert_string_equal(t.p.error.data, expected);
	finish(&t);
}

static void test_errors(void **state)
{
	static const char path[] = LAMBDA "invocation/r-1/error", type[] = "Lambda-Runtime-Function-Error-Type: Runtime.Bad\r\n";
	(void)state;
	check_error(path, true, "", "{\"errorType\":\"MyErr\",\"errorMessage\":\"boom\",\"trace\":[\"a\",\"b\"],\"more\":1}",
		    "{\"errorMessage\":\"boom\",\"errorType\":\"MyErr\",\"stackTrace\":[\"a\",\"b\"]}", RUNTIME_FAILED);
	check_error(path, true, type, "{\"errorMessage\":\"my error\",\"stackTrace\":[{\"path\":\"f.go\",\"line\":3,\"label\":\"F\"},7]}",
		    "{\"errorMessage\":\"my error\",\"errorType\":\"Runtime.Bad\",\"stackTrace\":[\"f.go:3 F\"]}", RUNTIME_FAILED);
	check_error(path, true, type, "{\"errorMessage\":\"m\",\"errorType\":\"T\"}", "{\"errorMessage\":\"m\",\"errorType\":\"T\",\"stackTrace\":[]}", RUNTIME_FAILED);
	check_error(path, true, "", "just text", "{\"errorMessage\":\"just text\",\"errorType\":\"Error\",\"stackTrace\":[]}", RUNTIME_FAILED);
	check_error(path, true, "", "", "{\"errorMessage\":\"the runtime reported an error without a message\",\"errorType\":\"Error\",\"stackTrace\":[]}",
		    RUNTIME_FAILED);
	check_error(path, true, "Lambda-Runtime-Function-Error-Type: \xff\r\n", "\xff",
		    "{\"errorMessage\":\"the runtime reported an error without a message\",\"errorType\":\"Error\",\"stackTrace\":[]}", RUNTIME_FAILED);
	check_error(LAMBDA "init/error", false, type, "{\"errorMessage\":\"no module\"}",
		    "{\"errorMessage\":\"no module\",\"errorType\":\"Runtime.Bad\",\"stackTrace\":[]}", RUNTIME_INIT_FAILED);
}

#define STREAM "POST " LAMBDA "invocation/r-1/response HTTP/1.1\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n" \
	       "Trailer: Lambda-Runtime-Function-Error-Type\r\nTrailer: Lambda-Runtime-Function-Error-Body\r\nTransfer-Encoding: chunked\r\n\r\n"

static void test_streaming(void **state)
{
	struct talk t;
	(void)state;
	begin(&t);
	say(&t, 0, NEXT);
	assert_string_equal(say(&t, 0, STREAM "3\r\nabc\r\n"), "");
	assert_string_equal(t.reply.data, "abc"); /* at once */
	assert_string_equal(say(&t, 0, "2\r\nde\r\n0\r\n\r\n"), OK_202);
	assert_string_equal(t.reply.data, "abcde");
	assert_int_equal(t.p.verdict, RUNTIME_REPLIED);
	finish(&t);

	begin(&t);
	say(&t, 0, NEXT);
	assert_string_equal(say(&t, 0, STREAM "3\r\nabc\r\n0\r\nLambda-Runtime-Function-Error-Type: MyErr\r\n"
					      "Lambda-Runtime-Function-Error-Body: eyJlcnJvck1lc3NhZ2UiOiJib29tIn0=\r\n\r\n"), OK_202);
	assert_int_equal(t.p.verdict, RUNTIME_FAILED);
	assert_string_equal(t.p.error.data, "{\"errorMessage\":\"boom\",\"errorType\":\"MyErr\",\"stackTrace\":[]}");
	finish(&t);

	begin(&t);
	say(&t, 0, NEXT);
	say(&t, 0, STREAM "0\r\nLambda-Runtime-Function-Error-Type: MyErr\r\nLambda-Runtime-Function-Error-Body: %%%\r\n\r\n");
	assert_int_equal(t.p.verdict, RUNTIME_FAILED);
	has(t.p.error.data, "without a message");
	finish(&t);

	begin(&t);
	say(&t, 0, NEXT);
	has(say(&t, 0, "POST " LAMBDA "invocation/r-1/response HTTP/1.1\r\nLambda-Runtime-Function-Response-Mode: fast\r\nContent-Length: 1\r\n\r\nx"),
	    "InvalidFunctionResponseMode");
	has(say(&t, 0, POST(LAMBDA "invocation/r-1/response", 1, "x")), "202");
	finish(&t);
}

static void test_size(void **state)
{
	struct talk t;
	(void)state;
	begin(&t); /* told in advance */
	say(&t, 0, NEXT);
	has(say(&t, 0, POST(LAMBDA "invocation/r-1/response", 101, "x")), "HTTP/1.1 413 Content Too Large\r\n");
	assert_int_equal(t.p.verdict, RUNTIME_REPLY_TOO_LARGE);
	assert_true(t.c[0].closing);
	assert_int_equal(t.reply.len, 0);
	finish(&t);

	begin(&t); /* not told */
	say(&t, 0, NEXT);
	char text[500];
	int n = snprintf(text, sizeof(text), "%s64\r\n%0100d\r\n1\r\nx\r\n", STREAM, 7);
	pull_take(&t.p, &t.c[0], text, (size_t)n);
	has(answer_of(&t, 0), "\"errorType\":\"RequestEntityTooLarge\"");
	assert_int_equal(t.p.verdict, RUNTIME_REPLY_TOO_LARGE);
	assert_int_equal(t.reply.len, 100);
	finish(&t);

	begin(&t);
	say(&t, 0, NEXT);
	has(say(&t, 0, "POST " LAMBDA "invocation/r-1/error HTTP/1.1\r\nContent-Length: 262145\r\n\r\n"), "HTTP/1.1 413 ");
	assert_int_equal(t.p.verdict, RUNTIME_PROTOCOL);
	finish(&t);

	begin(&t);
	struct buf head = BUF_INIT(1 << 20);
	buf_puts(&head, "GET /2018-06-01/ping HTTP/1.1\r\nA: ");
	while (head.len <= PULL_HEAD_MAX)
		buf_puts(&head, "xxxxxxxxxxxxxxxx");
	has(say(&t, 0, head.data), "HTTP/1.1 431 ");
	assert_true(t.c[0].closing);
	assert_int_equal(t.p.verdict, RUNTIME_OPEN);
	buf_fini(&head);
	finish(&t);
}

static void test_manners(void **state)
{
	struct talk t;
	(void)state;
	begin(&t); /* byte by byte */
	for (const char *p = NEXT; *p; p++)
		pull_take(&t.p, &t.c[0], p, 1);
	has(answer_of(&t, 0), "{\"a\":1}");
	/* curl waits to be asked for a large body */
	assert_string_equal(say(&t, 0, "POST " LAMBDA "invocation/r-1/response HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
			    "HTTP/1.1 100 Continue\r\n\r\n");
	assert_string_equal(say(&t, 0, "ok"), OK_202);
	finish(&t);

	begin(&t); /* who does not wait for an answer has it, and no other */
	has(say(&t, 0, NEXT NEXT), "\r\nConnection: close\r\n");
	assert_true(t.c[0].closing);
	assert_int_equal(t.readies, 1);
	say(&t, 1, FC_NEXT);
	assert_string_equal(say(&t, 1, "x"), "");
	assert_true(t.c[1].closing);
	has(say(&t, 2, "GET /2018-06-01/ping HTTP/1.0\r\n\r\n"), "\r\nConnection: close\r\n");
	assert_true(t.c[2].closing);
	finish(&t);

	begin(&t);
	has(say(&t, 0, "no HTTP\r\n"), "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n");
	assert_true(t.c[0].closing);
	assert_int_equal(t.p.verdict, RUNTIME_OPEN);
	say(&t, 1, NEXT);
	has(say(&t, 1, STREAM "x\r\n"), "BadRequest");
	assert_int_equal(t.p.verdict, RUNTIME_PROTOCOL);
	finish(&t);
}

static void test_eof(void **state)
{
	struct talk t;
	(void)state;
	begin(&t);
	say(&t, 0, NEXT);
	pull_eof(&t.p, &t.c[0]); /* between requests */
	assert_string_equal(answer_of(&t, 0), "");
	assert_true(t.c[0].closing);
	say(&t, 2, "GET /2018");
	pull_eof(&t.p, &t.c[2]);
	assert_int_equal(t.p.verdict, RUNTIME_OPEN);
	say(&t, 1, STREAM "3\r\nabc\r\n");
	pull_eof(&t.p, &t.c[1]);
	has(answer_of(&t, 1), "TruncatedHTTPRequest");
	assert_int_equal(t.p.verdict, RUNTIME_CLOSED);
	finish(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lambda), cmocka_unit_test(test_fc),        cmocka_unit_test(test_order),
		cmocka_unit_test(test_paths),  cmocka_unit_test(test_errors),    cmocka_unit_test(test_streaming),
		cmocka_unit_test(test_size),   cmocka_unit_test(test_manners),   cmocka_unit_test(test_eof),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
