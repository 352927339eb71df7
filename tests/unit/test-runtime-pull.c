/* agent/runtime-pull: the sockets of the Runtime API: many connections, large replies, a reader that rests, an end at any moment. */
#include <arpa/inet.h>
#include <event2/event.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/runtime.h"
#include "plan/function.h"

enum { EVENT_LEN = 3 << 20, REPLY_MAX = 4 << 20 };

struct talk {
	struct event_base *base;
	struct runtime *r;
	struct sockaddr_in address;
	int log[2];
	enum runtime_verdict v;
	int readies;
	bool rests;
	size_t pieces_len;
};

static void on_verdict(void *arg, enum runtime_verdict v) { ((struct talk *)arg)->v = v; }
static void on_log(void *arg, int stream, const char *data, size_t len) { (void)arg; (void)stream; (void)data; (void)len; }
static void on_ready(void *arg) { ((struct talk *)arg)->readies++; }
static void on_first_byte(void *arg) { (void)arg; }

static bool on_piece(void *arg, const char *data, size_t len)
{
	struct talk *t = arg;
	(void)data;
	t->pieces_len += len;
	return !t->rests;
}

static const struct runtime_callbacks keeping = { .verdict = on_verdict, .log = on_log, .ready = on_ready, .first_byte = on_first_byte };
static const struct runtime_callbacks streaming = {
	.verdict = on_verdict, .log = on_log, .ready = on_ready, .first_byte = on_first_byte, .reply = on_piece,
};
static const struct function function = { .name = (char *)(uintptr_t)"f", .memory_mb = 128, .timeout_s = 3 };
static char event[EVENT_LEN], body[REPLY_MAX];

static void begin(struct talk *t, const struct runtime_callbacks *cb)
{
	struct instance_fds fds = INSTANCE_FDS_NONE;
	socklen_t len = sizeof(t->address);
	*t = (struct talk){ .base = event_base_new(), .address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } } };
	fds.runtime_api = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(fds.runtime_api, (struct sockaddr *)&t->address, sizeof(t->address)), 0);
	assert_int_equal(listen(fds.runtime_api, 16), 0);
	assert_int_equal(getsockname(fds.runtime_api, (struct sockaddr *)&t->address, &len), 0);
	int out[2];
	assert_int_equal(pipe(out) | pipe(t->log), 0);
	close(out[1]);
	fds.io[MSG_IO_STDOUT] = out[0];
	fds.io[MSG_IO_STDERR] = t->log[0];
	const struct runtime_start s = {
		.talk = RUNTIME_TALK_PULL, .fds = &fds, .max_reply = REPLY_MAX, .cb = cb, .arg = t,
		.call = { .request_id = "r-1", .function = &function, .event = event, .event_len = sizeof(event) },
	};
	assert_int_equal(runtime_new(&t->r, t->base, &s), 0);
}

static enum runtime_verdict finish(struct talk *t)
{
	close(t->log[1]);
	enum runtime_verdict v = runtime_finish(t->r);
	runtime_free(t->r);
	event_base_free(t->base);
	return v;
}

static void turn(struct talk *t) { event_base_loop(t->base, EVLOOP_NONBLOCK); }

static int client(struct talk *t)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&t->address, sizeof(t->address)), 0);
	turn(t);
	return fd;
}

/* Send all, while the other side reads. */
static void send_all(struct talk *t, int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_DONTWAIT);
		assert_true(n > 0 || errno == EAGAIN);
		data += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
		turn(t);
	}
}

/* What comes until the text ends with `end`, or the connection does. */
static size_t hear(struct talk *t, int fd, char *to, size_t size, const char *end)
{
	size_t n = 0, tail = strlen(end);
	while (n < tail || memcmp(to + n - tail, end, tail) != 0) {
		ssize_t got = recv(fd, to + n, size - 1 - n, MSG_DONTWAIT);
		assert_true(got >= 0 || errno == EAGAIN);
		if (got == 0)
			break;
		n += got > 0 ? (size_t)got : 0;
		to[n] = '\0';
		turn(t);
	}
	return n;
}

#define NEXT "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n"
#define FC_NEXT "GET /2020-11-11/runtime/invocation/next HTTP/1.1\r\n\r\n"
#define RESPONSE "POST /2018-06-01/runtime/invocation/r-1/response HTTP/1.1\r\n"
#define SAY(t, fd, text) send_all(t, fd, text, strlen(text))
static char heard[EVENT_LEN + 4096];

static void test_large(void **state)
{
	struct talk t;
	(void)state;
	memset(event, 'e', sizeof(event) - 1);
	event[sizeof(event) - 1] = '!';
	memset(body, 'b', sizeof(body));
	begin(&t, &keeping);
	int fd = client(&t);
	SAY(&t, fd, NEXT);
	size_t n = hear(&t, fd, heard, sizeof(heard), "e!");
	assert_true(n > EVENT_LEN && memcmp(heard + n - EVENT_LEN, event, EVENT_LEN) == 0);
	assert_int_equal(t.readies, 1);
	char head[200];
	snprintf(head, sizeof(head), RESPONSE "Content-Length: %d\r\n\r\n", REPLY_MAX);
	SAY(&t, fd, head);
	send_all(&t, fd, body, sizeof(body));
	hear(&t, fd, heard, sizeof(heard), "}\n");
	assert_non_null(strstr(heard, "HTTP/1.1 202 Accepted\r\n"));
	assert_int_equal(t.v, RUNTIME_REPLIED);
	assert_int_equal(runtime_reply(t.r)->len, sizeof(body));
	close(fd);
	assert_int_equal(finish(&t), RUNTIME_REPLIED);
}

/* Its reader rests: so much is taken and no more, until it goes on. */
static void test_rest(void **state)
{
	struct talk t;
	(void)state;
	begin(&t, &streaming);
	int next = client(&t), fd = client(&t);
	SAY(&t, next, NEXT);
	t.rests = true;
	char head[200];
	int n = snprintf(head, sizeof(head), RESPONSE "Lambda-Runtime-Function-Response-Mode: streaming\r\nContent-Length: %d\r\n\r\n", REPLY_MAX);
	send_all(&t, fd, head, (size_t)n);
	size_t sent = 0;
	ssize_t got;
	while ((got = send(fd, body + sent, sizeof(body) - sent, MSG_DONTWAIT)) > 0) {
		sent += (size_t)got;
		turn(&t);
	}
	assert_true(t.pieces_len > 0 && t.pieces_len < sizeof(body) / 2);
	t.rests = false;
	runtime_resume(t.r);
	send_all(&t, fd, body + sent, sizeof(body) - sent);
	hear(&t, fd, heard, sizeof(heard), "}\n");
	assert_int_equal(t.pieces_len, sizeof(body));
	assert_int_equal(t.v, RUNTIME_REPLIED);
	close(fd);
	close(next);
	finish(&t);
}

/* Those who hold a connection and ask nothing do not keep out one that does; those who wait for an event keep theirs. */
static void test_connections(void **state)
{
	enum { MANY = 40, PARKED = 20 }; /* more than there are connections; so many wait to be accepted */
	struct talk t;
	int fds[MANY];
	(void)state;
	begin(&t, &keeping);
	int next = client(&t);
	SAY(&t, next, NEXT);
	for (int i = 0; i < MANY; i++)
		fds[i] = client(&t);
	SAY(&t, fds[MANY - 1], "GET /2018-06-01/ping HTTP/1.1\r\n\r\n");
	hear(&t, fds[MANY - 1], heard, sizeof(heard), "}\n");
	assert_non_null(strstr(heard, "200 OK"));
	for (int i = 0; i < MANY; i++)
		close(fds[i]);
	turn(&t);
	for (int i = 0; i < PARKED; i++) {
		fds[i] = client(&t);
		SAY(&t, fds[i], FC_NEXT);
	}
	for (int i = 0; i < PARKED; i++)
		close(fds[i]); /* room again */
	int fd = client(&t);
	SAY(&t, fd, RESPONSE "Content-Length: 2\r\n\r\nok");
	hear(&t, fd, heard, sizeof(heard), "}\n");
	assert_int_equal(t.v, RUNTIME_REPLIED);
	close(fd);
	close(next);
	assert_int_equal(finish(&t), RUNTIME_REPLIED);
}

static enum runtime_verdict end_after(const char *last, bool turns)
{
	struct talk t;
	begin(&t, &keeping);
	int next = client(&t), fd = client(&t);
	SAY(&t, next, NEXT);
	assert_int_equal(send(fd, last, strlen(last), 0), strlen(last));
	close(fd);
	close(next);
	for (int i = 0; turns && i < 5; i++)
		turn(&t);
	enum runtime_verdict heard_v = t.v, v = finish(&t);
	if (turns)
		assert_int_equal(heard_v, v);
	return v;
}

static void test_end(void **state)
{
	(void)state;
	for (int turns = 0; turns < 2; turns++) {
		assert_int_equal(end_after("", turns), RUNTIME_OPEN);
		assert_int_equal(end_after(RESPONSE "Content-Length: 2\r\n\r\nok", turns), RUNTIME_REPLIED);
		assert_int_equal(end_after(RESPONSE "Content-Length: 2\r\n\r\no", turns), RUNTIME_CLOSED);
		assert_int_equal(end_after(RESPONSE "Content-Length: x\r\n\r\n", turns), RUNTIME_OPEN);
		assert_int_equal(end_after(RESPONSE "Transfer-Encoding: chunked\r\n\r\nx\r\n", turns), RUNTIME_PROTOCOL);
		assert_int_equal(end_after("POST /2018-06-01/runtime/invocation/r-1/error HTTP/1.1\r\nContent-Length: 2\r\n\r\nno", turns), RUNTIME_FAILED);
		assert_int_equal(end_after(RESPONSE "Content-Length: 99999999\r\n\r\n", turns), RUNTIME_REPLY_TOO_LARGE);
	}
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN); /* as serve does */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_large), cmocka_unit_test(test_rest), cmocka_unit_test(test_connections), cmocka_unit_test(test_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
