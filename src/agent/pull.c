#include "agent/pull.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/http.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "plan/function.h"

enum { OUT_MAX = 32 << 10 };

/* ---- refusals (CONTRACTS 4.1) --------------------------------------------- */

struct pull_refusal {
	int status;
	const char *type, *message;
};

static const struct pull_refusal
	no_path = { 404, "NotFound", "the Runtime API has nothing at this path" },
	bad_method = { 405, "MethodNotAllowed", "next and ping are asked with GET, the others with POST" },
	bad_order = { 403, "InvalidStateTransition", "this request is not allowed now: next, then response or error, once" },
	bad_id = { 400, "InvalidRequestID", "this is not the id of the call that next gave" },
	bad_mode = { 400, "InvalidFunctionResponseMode", "Lambda-Runtime-Function-Response-Mode is not streaming" },
	too_large = { 413, "RequestEntityTooLarge", "the response is larger than the node takes" },
	error_too_large = { 413, "RequestEntityTooLarge", "the error is larger than 256 KiB" },
	truncated = { 400, "TruncatedHTTPRequest", "the request ended before its body was whole" },
	head_too_large = { 431, "RequestHeaderTooLarge", "the header fields are larger than 64 KiB" };

/* ---- routes ---------------------------------------------------------------- */

enum request { NEXT, RESPONSE, ERROR, INIT_ERROR, PING };

static const struct {
	const char *path; /* * is the id of the call */
	bool post;
} routes[] = {
	[NEXT] = { "runtime/invocation/next", false },
	[RESPONSE] = { "runtime/invocation/*/response", true },
	[ERROR] = { "runtime/invocation/*/error", true },
	[INIT_ERROR] = { "runtime/init/error", true },
	[PING] = { "ping", false },
};

/* Is it this route? What stands for * goes to *id, its length to *id_len. */
static bool matches(const char *path, size_t len, const char *route, const char **id, size_t *id_len)
{
	const char *star = strchr(route, '*');
	size_t before = star ? (size_t)(star - route) : strlen(route), after = star ? strlen(star + 1) : 0;
	*id = path + before;
	*id_len = len > before + after ? len - before - after : 0;
	return (star ? *id_len > 0 : len == before) && strncmp(path, route, before) == 0 &&
	       (!star || (memcmp(path + len - after, star + 1, after) == 0 && !memchr(*id, '/', *id_len)));
}

/* Which dialect and route: sets c->fc and c->request; the id that it names, or NULL. */
static const char *find_route(struct pull_conn *c, size_t *id_len)
{
	static const char lambda[] = "/2018-06-01/", fc[] = "/2020-11-11/";
	const char *path = c->in.target, *id = NULL;
	size_t len = strcspn(path, "?");
	c->fc = str_starts(path, fc);
	c->request = -1;
	if (!c->fc && !str_starts(path, lambda))
		return NULL;
	path += sizeof(lambda) - 1;
	len -= sizeof(lambda) - 1;
	for (int i = 0; i < (int)ARRAY_LEN(routes) && c->request < 0; i++)
		if (matches(path, len, routes[i].path, &id, id_len))
			c->request = i;
	return c->request == RESPONSE || c->request == ERROR ? id : NULL;
}

/* ---- answers ---------------------------------------------------------------- */

/* Its memory ended, or a value is no header field: nothing can be said any more. */
static void give_up(struct pull_conn *c)
{
	buf_reset(&c->out);
	c->out_at = c->event_len = 0;
	c->closing = true;
}

static void answer(struct pull_conn *c, int status, const char *type, const char *message)
{
	char body[300];
	int n = type ? snprintf(body, sizeof(body), "{\"errorMessage\":\"%s\",\"errorType\":\"%s\"}\n", message, type)
		     : snprintf(body, sizeof(body), "{\"status\":\"OK\"}\n");
	assert(n > 0 && (size_t)n < sizeof(body));
	int e = http1_put_status(&c->out, status);
	e |= http1_put_header(&c->out, "Content-Type", "application/json"); /* aws-lambda-ric dies without */
	e |= http1_put_number(&c->out, "Content-Length", n);
	if (c->closing)
		e |= http1_put_header(&c->out, "Connection", "close");
	e |= http1_put_end(&c->out);
	e |= buf_puts(&c->out, body);
	if (e)
		give_up(c);
}

static void answer_refusal(struct pull_conn *c, const struct pull_refusal *r) { answer(c, r->status, r->type, r->message); }
static void answer_ok(struct pull_conn *c) { answer(c, c->fc || c->request == PING ? 200 : 202, NULL, NULL); }

/* ---- the event --------------------------------------------------------------- */

/* A W3C traceparent in the notation of X-Ray; "" without one. */
static void trace_id(const char *traceparent, char out[80])
{
	out[0] = '\0';
	if (traceparent && strlen(traceparent) >= 55) /* 00-<32>-<16>-<2>, checked where it came in */
		snprintf(out, 80, "Root=1-%.8s-%.24s;Parent=%.16s;Sampled=%d", traceparent + 3, traceparent + 11, traceparent + 36,
			 (traceparent[54] - '0') & 1);
}

/* What a call is to the function: one row is one thing, with its name in each dialect. */
static int put_call(struct buf *out, const struct runtime_call *call, bool fc)
{
	const struct function *f = call->function;
	char arn[300], trace[80], memory[16], timeout[16], deadline[24];
	snprintf(arn, sizeof(arn), "arn:aws:lambda:%s:%s:function:%s:%s", FUNCTION_REGION, call->account_id ? call->account_id : "", f->name,
		 call->qualifier ? call->qualifier : "LATEST");
	snprintf(memory, sizeof(memory), "%" PRIu32, f->memory_mb);
	snprintf(timeout, sizeof(timeout), "%" PRIu32, f->timeout_s);
	snprintf(deadline, sizeof(deadline), "%" PRId64, call->deadline_ms);
	trace_id(call->traceparent, trace);
	const struct {
		const char *lambda, *fc, *value;
	} rows[] = {
		{ "Lambda-Runtime-Aws-Request-Id", "x-fc-request-id", call->request_id },
		{ "Lambda-Runtime-Deadline-Ms", "x-fc-function-deadline", deadline },
		{ "Lambda-Runtime-Invoked-Function-Arn", NULL, arn },
		{ "Lambda-Runtime-Trace-Id", NULL, trace },
		{ NULL, "x-fc-function-timeout", timeout },
		{ NULL, "x-fc-function-type", "0" },
		{ NULL, "x-fc-function-name", f->name },
		{ NULL, "x-fc-function-handler", f->handler },
		{ NULL, "x-fc-function-memory", memory },
		{ NULL, "x-fc-qualifier", call->qualifier },
		{ NULL, "x-fc-version-id", call->version },
		{ NULL, "x-fc-region", FUNCTION_REGION },
		{ NULL, "x-fc-account-id", call->account_id },
		{ NULL, "x-fc-instance-id", call->instance_id },
		{ NULL, "x-fc-retry-count", "0" },
		{ NULL, "x-fc-access-key-id", call->credentials.id },
		{ NULL, "x-fc-access-key-secret", call->credentials.secret },
		{ NULL, "x-fc-security-token", call->credentials.token },
		{ "traceparent", "traceparent", call->traceparent },
		{ "tracestate", "tracestate", call->tracestate },
	};
	int e = 0;
	for (size_t i = 0; i < ARRAY_LEN(rows) && e == 0; i++) {
		const char *name = fc ? rows[i].fc : rows[i].lambda;
		if (name && rows[i].value && *rows[i].value)
			e = http1_put_header(out, name, rows[i].value);
	}
	return e;
}

static void decide(struct pull *p, enum runtime_verdict v, const char *why)
{
	p->state = PULL_ANSWERED;
	if (p->verdict != RUNTIME_OPEN)
		return;
	p->verdict = v;
	p->why = why;
}

static void hand_out(struct pull *p, struct pull_conn *c)
{
	p->state = PULL_RUNNING;
	p->cb->ready(p->arg);
	int e = http1_put_status(&c->out, 200);
	e |= http1_put_header(&c->out, "Content-Type", "application/json");
	e |= http1_put_number(&c->out, "Content-Length", (int64_t)p->call->event_len);
	e |= put_call(&c->out, p->call, c->fc);
	if (c->closing)
		e |= http1_put_header(&c->out, "Connection", "close");
	e |= http1_put_end(&c->out);
	c->event = p->call->event;
	c->event_len = p->call->event_len;
	if (e) {
		give_up(c);
		decide(p, RUNTIME_CLOSED, "its event could not be written: out of memory");
	}
}

/* ---- errors as data ----------------------------------------------------------- */

/* Lines of a stack: text, or FC's {path, line, label}. */
static json_t *stack_lines(json_t *stack)
{
	json_t *out = json_array(), *item;
	size_t i;
	json_array_foreach(stack, i, item) {
		const char *path = json_string_value(json_object_get(item, "path")), *label = json_string_value(json_object_get(item, "label"));
		if (json_is_string(item))
			json_array_append(out, item);
		else if (path)
			json_array_append_new(out, json_sprintf("%s:%" JSON_INTEGER_FORMAT " %s", path,
								json_integer_value(json_object_get(item, "line")), label ? label : ""));
	}
	return out;
}

/*
 * p->error is what the runtime sent, of any form: make it the object of the API.
 * Runtimes agree on errorMessage and errorType; Node's calls its stack trace.
 */
static void normalise_error(struct pull *p, const char *type_header)
{
	struct buf raw = p->error;
	struct err err = ERR_INIT;
	p->error = (struct buf)BUF_INIT(PULL_ERROR_MAX * 2);
	autojson json_t *said = raw.len ? json_parse(raw.data, raw.len, "error", &err) : NULL;
	json_t *message = json_object_get(said, "errorMessage"), *type = json_object_get(said, "errorType");
	json_t *stack = json_object_get(said, "stackTrace");
	if (!stack)
		stack = json_object_get(said, "trace");
	autojson json_t *out = json_object();
	message = json_is_string(message) ? json_incref(message) : raw.len ? json_string(raw.data) : NULL; /* up to a NUL */
	json_object_set_new(out, "errorMessage", message ? message : json_string("the runtime reported an error without a message"));
	type = json_string_length(type) ? json_incref(type) : json_string(*type_header ? type_header : "Error");
	json_object_set_new(out, "errorType", type ? type : json_string("Error"));
	json_object_set_new(out, "stackTrace", stack_lines(stack));
	autofree char *dump = json_dumps(out, JSON_COMPACT | JSON_PRESERVE_ORDER);
	if (!dump || buf_puts(&p->error, dump) < 0)
		buf_puts(&p->error, "{\"errorMessage\":\"the runtime reported an error that is too large\"}");
	buf_fini(&raw);
}

/* A streamed response may end as an error, told by its trailers (CONTRACTS 4.2). */
static bool is_error_by_trailer(struct pull *p, const struct pull_conn *c)
{
	const char *type = http1_trailer(&c->in, "Lambda-Runtime-Function-Error-Type");
	const char *body = http1_trailer(&c->in, "Lambda-Runtime-Function-Error-Body");
	if (!type)
		return false;
	buf_reset(&p->error);
	if (body && http_base64_decode(body, strlen(body), &p->error) < 0)
		buf_reset(&p->error);
	normalise_error(p, type);
	return true;
}

/* ---- a request, step by step -------------------------------------------------- */

static const struct pull_refusal *check(const struct pull *p, const struct pull_conn *c, const char *id, size_t id_len)
{
	if (c->request < 0)
		return &no_path;
	if (strcmp(c->in.method, routes[c->request].post ? "POST" : "GET") != 0)
		return &bad_method;
	const char *mode = http1_header(&c->in, "Lambda-Runtime-Function-Response-Mode");
	switch ((enum request)c->request) {
	case PING:
		return NULL;
	case NEXT: /* the FC client asks for the next event while it works on one */
		return p->state == PULL_STARTED || p->state == PULL_ANSWERED || c->fc ? NULL : &bad_order;
	case INIT_ERROR:
		return p->state == PULL_STARTED ? NULL : &bad_order;
	case RESPONSE:
	case ERROR:
		if (p->state == PULL_STARTED || p->state == PULL_RECEIVING)
			return &bad_order;
		if (p->state == PULL_ANSWERED || strlen(p->call->request_id) != id_len || memcmp(id, p->call->request_id, id_len) != 0)
			return &bad_id;
		return mode && strcasecmp(mode, "streaming") != 0 ? &bad_mode : NULL;
	}
	return &no_path;
}

/* More than may be: answered at once, for there may be no end to it. */
static void refuse_size(struct pull *p, struct pull_conn *c)
{
	bool reply = c->request == RESPONSE;
	c->closing = true;
	c->sending = false;
	answer_refusal(c, reply ? &too_large : &error_too_large);
	decide(p, reply ? RUNTIME_REPLY_TOO_LARGE : RUNTIME_PROTOCOL, "its error is too long");
}

static void begin(struct pull *p, struct pull_conn *c)
{
	size_t id_len = 0;
	const char *id = find_route(c, &id_len), *type = http1_header(&c->in, "Lambda-Runtime-Function-Error-Type");
	c->refusal = check(p, c, id, id_len);
	c->sending = !c->refusal && routes[c->request].post;
	str_copy(c->error_type, sizeof(c->error_type), type ? type : "");
	if (c->sending) {
		p->state = PULL_RECEIVING;
		size_t most = c->request == RESPONSE ? p->max_reply : PULL_ERROR_MAX;
		if (c->in.body_len > 0 && (uint64_t)c->in.body_len > most)
			return refuse_size(p, c);
	}
	if (c->in.body_len != 0 && http1_has_token(&c->in, "Expect", "100-continue"))
		buf_puts(&c->out, "HTTP/1.1 100 Continue\r\n\r\n"); /* without memory: it sends its body a second later */
}

static void take_body(struct pull *p, struct pull_conn *c, const struct http1_piece *piece)
{
	if (!c->sending) /* of a request that is refused: read until its end, so that the client reads the answer */
		return;
	if (c->request != RESPONSE) {
		if (p->error.len + piece->len > PULL_ERROR_MAX || buf_append(&p->error, piece->data, piece->len) < 0)
			refuse_size(p, c);
		return;
	}
	if (piece->len > p->max_reply - p->received)
		return refuse_size(p, c);
	p->received += piece->len;
	p->cb->reply(p->arg, piece->data, piece->len);
}

static void end(struct pull *p, struct pull_conn *c)
{
	if (c->refusal)
		return answer_refusal(c, c->refusal);
	c->sending = false;
	switch ((enum request)c->request) {
	case NEXT:
		if (p->state == PULL_STARTED)
			return hand_out(p, c);
		c->parked = true;
		return;
	case RESPONSE:
		decide(p, is_error_by_trailer(p, c) ? RUNTIME_FAILED : RUNTIME_REPLIED, NULL);
		break;
	case ERROR:
	case INIT_ERROR:
		normalise_error(p, c->error_type);
		decide(p, c->request == ERROR ? RUNTIME_FAILED : RUNTIME_INIT_FAILED, NULL);
		break;
	case PING:
		break;
	}
	answer_ok(c);
}

/* The request is no HTTP, or cut short. */
static void broken(struct pull *p, struct pull_conn *c, enum runtime_verdict v, const struct pull_refusal *r)
{
	c->closing = true;
	answer_refusal(c, r);
	if (c->sending)
		decide(p, v, v == RUNTIME_CLOSED ? "its answer was cut short" : "its answer is not HTTP/1.1");
	c->sending = false;
}

void pull_take(struct pull *p, struct pull_conn *c, const char *data, size_t len)
{
	struct http1_piece piece;
	int e = HTTP1_HEAD;
	if (c->parked) /* it did not wait for its answer */
		c->closing = true;
	while (e != HTTP1_MORE && !c->closing && !c->parked) {
		e = http1_step(&c->in, &data, &len, &piece);
		if (e == HTTP1_HEAD) {
			begin(p, c);
		} else if (e == HTTP1_BODY) {
			take_body(p, c, &piece);
		} else if (e == HTTP1_END) {
			c->closing = len > 0 || !c->in.keep_alive;
			end(p, c);
			if (!c->parked)
				http1_next(&c->in);
			return;
		} else if (e < 0) {
			const struct pull_refusal no_http = { 400, "BadRequest", c->in.why };
			broken(p, c, RUNTIME_PROTOCOL, e == -EMSGSIZE ? &head_too_large : &no_http);
		}
	}
}

void pull_eof(struct pull *p, struct pull_conn *c)
{
	if (!c->closing && http1_eof(&c->in) < 0)
		broken(p, c, RUNTIME_CLOSED, &truncated);
	c->closing = true;
}

bool pull_output(const struct pull_conn *c, const char **data, size_t *len)
{
	bool head = c->out_at < c->out.len;
	*data = head ? c->out.data + c->out_at : c->event;
	*len = head ? c->out.len - c->out_at : c->event_len;
	return *len > 0;
}

void pull_sent(struct pull_conn *c, size_t n)
{
	if (c->out_at < c->out.len) {
		assert(n <= c->out.len - c->out_at);
		c->out_at += n;
		if (c->out_at == c->out.len) {
			buf_reset(&c->out);
			c->out_at = 0;
		}
		return;
	}
	assert(n <= c->event_len);
	c->event += n;
	c->event_len -= n;
}

bool pull_is_idle(const struct pull_conn *c)
{
	const char *data;
	size_t len;
	return !c->parked && http1_is_idle(&c->in) && !pull_output(c, &data, &len);
}

/* ---- lifecycle ------------------------------------------------------------------ */

void pull_init(struct pull *p, const struct runtime_call *call, size_t max_reply, const struct pull_callbacks *cb, void *arg)
{
	*p = (struct pull){ .call = call, .max_reply = max_reply, .cb = cb, .arg = arg, .error = BUF_INIT(PULL_ERROR_MAX) };
}

void pull_fini(struct pull *p) { buf_fini(&p->error); }

void pull_conn_init(struct pull_conn *c)
{
	*c = (struct pull_conn){ .out = BUF_INIT(OUT_MAX) };
	http1_init(&c->in, PULL_HEAD_MAX);
}

void pull_conn_fini(struct pull_conn *c)
{
	http1_fini(&c->in);
	buf_fini(&c->out);
}
