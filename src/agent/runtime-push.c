/*
 * push: a web server inside the sandbox (Function Compute's custom runtime),
 * spoken to through sockets of the sandbox's network namespace. It is there
 * when it accepts a connection, which is tried until then; each request has a
 * connection of its own, because a server may close an idle one at any time.
 *
 *   connect -> [POST /initialize -> connect ->] POST /invoke -> [connect -> GET /pre-stop] -> verdict
 */
#include <arpa/inet.h>
#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/passed.h"
#include "agent/runtime-internal.h"
#include "agent/web.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "plan/function.h"

enum {
	RETRY_MIN_US = 2000, RETRY_MAX_US = 20000,
	HEAD_MAX = 8 << 10,      /* of an answer (CONTRACTS 2) */
	ERROR_BODY_MAX = 64 << 10,
};

enum step { STEP_INITIALIZE, STEP_INVOKE, STEP_PRE_STOP };

struct push {
	enum step step;
	struct event *timer;         /* until the next try to connect */
	struct event *connecting;    /* until a try has ended */
	unsigned retry_us;
	size_t used;                 /* of r->client */
	struct web_exchange *exchange;
	struct curl_slist *headers;
	/* of the answer */
	size_t head_bytes;
	int fc_status;               /* x-fc-status; 0: absent */
	unsigned status;
	bool failed;                 /* its body is an error */
	const char *broken;
};

static void try_connect(struct runtime *r);

/* ---- the request ------------------------------------------------------------ */

static bool add(struct push *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool add(struct push *p, const char *fmt, ...)
{
	autofree char *line = NULL;
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(&line, fmt, ap) < 0)
		line = NULL;
	va_end(ap);
	struct curl_slist *list = line ? curl_slist_append(p->headers, line) : NULL;
	if (list)
		p->headers = list;
	return list != NULL;
}

static bool add_text(struct push *p, const char *name, const char *value)
{
	return !value || !*value || add(p, "%s: %s", name, value);
}

/* The same ones on each request; a field without a value is left out. */
static bool add_common(struct push *p, const struct runtime_call *c, const char *control_path)
{
	const struct function *f = c->function;
	return add_text(p, "x-fc-request-id", c->request_id) && add_text(p, "x-fc-control-path", control_path) &&
	       add_text(p, "x-fc-function-name", f->name) && add_text(p, "x-fc-function-handler", f->handler) &&
	       add(p, "x-fc-function-memory: %" PRIu32, f->memory_mb) && add(p, "x-fc-function-timeout: %" PRIu32, f->timeout_s) &&
	       add_text(p, "x-fc-function-initializer", f->initializer) &&
	       (!f->initializer || add(p, "x-fc-initialization-timeout: %" PRIu32, f->initializer_timeout_s)) &&
	       add_text(p, "x-fc-instance-lifecycle-pre-stop-handler", f->pre_stop) && add_text(p, "x-fc-account-id", c->account_id) &&
	       add_text(p, "x-fc-instance-id", c->instance_id) && add_text(p, "x-fc-qualifier", c->qualifier) &&
	       add_text(p, "x-fc-version-id", c->version) && add(p, "x-fc-retry-count: 0") &&
	       add_text(p, "x-fc-access-key-id", c->credentials.id) && add_text(p, "x-fc-access-key-secret", c->credentials.secret) &&
	       add_text(p, "x-fc-security-token", c->credentials.token) &&
	       add(p, "Connection: close") && add(p, "Expect:");
}

static bool is_passed(const struct runtime *r)
{
	const struct push *p = r->own;
	return p->step == STEP_INVOKE && r->call.passed;
}

/* The caller's own fields; what libcurl would add of itself is left out. */
static bool add_passed(struct push *p, const struct passed *m)
{
	static const char *const of_curl[] = { "Accept", "User-Agent", "Content-Type" };
	bool ok = true;
	for (const struct curl_slist *i = m->request; i && ok; i = i->next)
		ok = add(p, "%s", i->data);
	for (size_t i = 0; i < ARRAY_LEN(of_curl) && ok; i++)
		ok = passed_has(m, of_curl[i]) || add(p, "%s:", of_curl[i]);
	return ok;
}

static bool add_own(struct push *p, const struct runtime_call *c, bool event)
{
	return add(p, "Accept:") && add(p, "User-Agent:") && add(p, "Content-Type:%s", event ? " application/octet-stream" : "") &&
	       add_text(p, "traceparent", c->traceparent) && add_text(p, "tracestate", c->tracestate);
}

static void field(void *arg, const char *name, size_t name_len, const char *value, size_t value_len)
{
	struct runtime *r = arg;
	struct push *p = r->own;
	p->head_bytes += name_len + value_len + 4;
	if (is_passed(r)) {
		if (p->head_bytes <= HEAD_MAX && !passed_answer(r->call.passed, name, name_len, value, value_len))
			p->broken = "out of memory";
		return;
	}
	if (name_len == 11 && strncasecmp(name, "x-fc-status", 11) == 0) {
		char text[8] = "";
		memcpy(text, value, value_len < sizeof(text) - 1 ? value_len : sizeof(text) - 1);
		p->fc_status = strcmp(text, "200") == 0 ? 200 : strcmp(text, "404") == 0 ? 404 : -1;
	}
}

/* x-fc-status says whether the function did it; without, a 5xx is a failure (fcnode-runtimes(7)). */
static bool head(void *arg, unsigned status)
{
	struct runtime *r = arg;
	struct push *p = r->own;
	p->status = status;
	if (p->head_bytes > HEAD_MAX)
		p->broken = "the head of its answer is longer than 8192 bytes";
	else if (p->fc_status < 0)
		p->broken = "its x-fc-status is neither 200 nor 404";
	if (is_passed(r))
		r->call.passed->status = status; /* whatever it is: the caller's to look at */
	else if (p->step == STEP_INVOKE)
		p->failed = p->fc_status ? p->fc_status != 200 : status >= 500;
	else
		p->failed = status < 200 || status > 299;
	if (p->broken)
		runtime_decide(r, RUNTIME_PROTOCOL, p->broken);
	return !p->broken;
}

static void body(void *arg, const char *data, size_t len)
{
	struct runtime *r = arg;
	struct push *p = r->own;
	if (p->failed) {
		size_t room = ERROR_BODY_MAX - (r->error.len < ERROR_BODY_MAX ? r->error.len : ERROR_BODY_MAX);
		buf_append(&r->error, data, len < room ? len : room);
	} else if (p->step == STEP_INVOKE) {
		runtime_put(r, data, len);
	}
}

static void next_step(struct runtime *r, enum step step)
{
	struct push *p = r->own;
	p->step = step;
	p->retry_us = RETRY_MIN_US;
	try_connect(r);
}

static void step_failed(struct runtime *r)
{
	struct push *p = r->own;
	char what[80];
	if (p->step == STEP_INVOKE)
		snprintf(what, sizeof(what), "the function answered with HTTP status %u%s", p->status, p->fc_status == 404 ? " and x-fc-status 404" : "");
	else
		snprintf(what, sizeof(what), "the initializer answered with HTTP status %u", p->status);
	runtime_threw_text(r, p->step == STEP_INITIALIZE, p->step == STEP_INVOKE ? "Function.Error" : "Function.InitError", what);
}

static void end(void *arg, enum web_end how, const char *why)
{
	struct runtime *r = arg;
	struct push *p = r->own;
	char text[sizeof(r->why)];
	str_copy(text, sizeof(text), why); /* it goes with the exchange */
	p->exchange = web_cancel(p->exchange);
	curl_slist_free_all(p->headers);
	p->headers = NULL;
	if (p->step == STEP_PRE_STOP) /* it was told; what it says to it changes nothing */
		return runtime_decide(r, RUNTIME_REPLIED, NULL);
	if (how == WEB_BROKEN)
		return runtime_decide(r, RUNTIME_PROTOCOL, text);
	if (how != WEB_DONE)
		return runtime_decide(r, RUNTIME_CLOSED, text);
	if (p->failed)
		return step_failed(r);
	if (p->step == STEP_INITIALIZE) {
		r->cb.ready(r->arg);
		return next_step(r, STEP_INVOKE);
	}
	if (!r->call.function->pre_stop || r->verdict != RUNTIME_OPEN)
		return runtime_decide(r, RUNTIME_REPLIED, NULL);
	r->cb.stopping(r->arg, r->call.function->pre_stop_timeout_s);
	next_step(r, STEP_PRE_STOP);
}

static const struct web_callbacks web_cb = { .field = field, .head = head, .body = body, .end = end };

static void connected(struct runtime *r)
{
	static const struct {
		const char *method, *target, *control;
	} requests[] = {
		[STEP_INITIALIZE] = { "POST", "/initialize", "/initialize" },
		[STEP_INVOKE] = { "POST", "/invoke", "/invoke" },
		[STEP_PRE_STOP] = { "GET", "/pre-stop", "/pre-stop" },
	};
	struct push *p = r->own;
	bool invoke = p->step == STEP_INVOKE;
	if (invoke && !r->call.function->initializer)
		r->cb.ready(r->arg);
	p->head_bytes = 0;
	p->fc_status = 0;
	p->failed = false;
	struct web_request q = {
		.method = requests[p->step].method, .target = requests[p->step].target, .port = r->call.function->port,
		.body = invoke ? r->call.event ? r->call.event : "" : p->step == STEP_INITIALIZE ? "" : NULL,
		.body_len = invoke ? r->call.event_len : 0, .cb = &web_cb, .arg = r,
	};
	bool ok = add_common(p, &r->call, is_passed(r) ? "/http-invoke" : requests[p->step].control);
	if (is_passed(r)) {
		const struct passed *m = r->call.passed;
		static const char *const bodyless[] = { "GET", "HEAD", "DELETE", "OPTIONS", "TRACE" };
		for (size_t i = 0; i < ARRAY_LEN(bodyless); i++)
			if (strcmp(m->method, bodyless[i]) == 0 && r->call.event_len == 0)
				q.body = NULL;
		q.method = m->method;
		q.target = m->target;
		ok = ok && add_passed(p, m);
	} else {
		ok = ok && add_own(p, &r->call, invoke);
	}
	q.headers = p->headers;
	q.fd = take_fd(&r->client[p->used++]);
	if (!ok || web_start(&p->exchange, r->web, &q) < 0) {
		if (!ok)
			close(q.fd);
		runtime_decide(r, RUNTIME_CLOSED, "out of memory");
	}
}

/* ---- the connection ---------------------------------------------------------- */

static void try_later(struct runtime *r)
{
	struct push *p = r->own;
	if (p->step != STEP_INITIALIZE && p->used > 0) { /* it was there, and is gone */
		if (p->step == STEP_PRE_STOP)
			return runtime_decide(r, RUNTIME_REPLIED, NULL);
		return runtime_decide(r, RUNTIME_CLOSED, "its server does not accept connections any more");
	}
	const struct timeval tv = { .tv_usec = p->retry_us };
	p->retry_us = p->retry_us * 2 < RETRY_MAX_US ? p->retry_us * 2 : RETRY_MAX_US;
	event_add(p->timer, &tv);
}

static void on_connecting(evutil_socket_t fd, short what, void *arg)
{
	struct runtime *r = arg;
	struct push *p = r->own;
	int error = 0;
	socklen_t len = sizeof(error);
	(void)what;
	event_free(p->connecting);
	p->connecting = NULL;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error)
		try_later(r);
	else
		connected(r);
}

/* A socket whose connect() was refused can be connected again (Linux). */
static void try_connect(struct runtime *r)
{
	struct push *p = r->own;
	const struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(r->call.function->port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	assert(p->used < MSG_SOCKETS_MAX);
	int fd = r->client[p->used];
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
		return connected(r);
	if (errno != EINPROGRESS && errno != EINTR)
		return try_later(r);
	p->connecting = event_new(r->base, fd, EV_WRITE, on_connecting, r);
	if (!p->connecting || event_add(p->connecting, NULL) < 0)
		runtime_decide(r, RUNTIME_CLOSED, "out of memory");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	try_connect(arg);
}

/* ---- lifecycle ---------------------------------------------------------------- */

static void stop(struct runtime *r)
{
	struct push *p = r->own;
	if (p->timer)
		event_free(p->timer);
	if (p->connecting)
		event_free(p->connecting);
	p->timer = p->connecting = NULL;
	p->exchange = web_cancel(p->exchange);
	curl_slist_free_all(p->headers);
	p->headers = NULL;
}

static int start(struct runtime *r, const struct runtime_start *s)
{
	struct push *p = r->own;
	(void)s;
	runtime_close(r, MSG_IO_TALK); /* nothing comes on its stdin */
	p->step = r->call.function->initializer ? STEP_INITIALIZE : STEP_INVOKE;
	p->retry_us = RETRY_MIN_US;
	p->timer = evtimer_new(r->base, on_timer, r);
	if (!p->timer)
		return -ENOMEM;
	event_active(p->timer, EV_TIMEOUT, 0); /* from the loop, as every callback */
	return 0;
}

static void pause_reply(struct runtime *r, bool rest)
{
	struct push *p = r->own;
	if (!p->exchange)
		return;
	if (rest)
		web_pause(p->exchange);
	else
		web_resume(p->exchange);
}

/* What is still in the socket of a sandbox that has ended does not make its answer whole. */
static void finish(struct runtime *r)
{
	struct push *p = r->own;
	if (p->step == STEP_PRE_STOP)
		runtime_decide(r, RUNTIME_REPLIED, NULL);
	stop(r);
}

static void settle(struct runtime *r)
{
	stop(r);
	runtime_decide(r, RUNTIME_REPLIED, NULL);
}

const struct runtime_kind runtime_push = {
	.size = sizeof(struct push), .start = start, .pause = pause_reply, .finish = finish, .settle = settle, .free = stop,
};
