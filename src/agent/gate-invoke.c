/* POST .../invocations: from the request's headers to a call, and from its result to the reply's. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/catalog.h"
#include "agent/config.h"
#include "agent/gate-internal.h"
#include "agent/invocation.h"
#include "agent/trace.h"
#include "base/cleanup.h"
#include "base/json.h"

enum { RETRY_AFTER_S = 30 /* a node that is drained or stops will not be back sooner */ };

static void called(void *arg, struct invocation_result *r);
static void answer(struct exchange *x, struct invocation_result *r);
static bool piece(void *arg, const struct invocation_result *r, const char *data, size_t len);

static void on_gone(struct exchange *x)
{
	if (x->key) /* it may be asked for again */
		return;
	struct invocation *i = take_ptr(x->op);
	if (!i)
		return;
	invocation_gone(i);
	if (x->stream.on)
		gate_stream_end(x, /* whole= */ false);
	else if (!x->answered)
		gate_error(x, API_CLIENT_CLOSED, "the caller hung up");
}

/* The same call in two families' words (CONTRACTS 4.7, 6). */
struct dialect {
	bool lambda;
	const char *type_header, *log_header, *qualifier;
	const char *sync, *async, *dry_run;
};
static const struct dialect dialects[] = {
	{ false, "x-fc-invocation-type", "x-fc-log-type", "qualifier", "Sync", "Async", "" },
	{ true, "x-amz-invocation-type", "x-amz-log-type", "Qualifier", "RequestResponse", "Event", "DryRun" },
};

static const struct dialect *dialect_of(const struct exchange *x)
{
	return &dialects[strcmp(x->target.segment[0], "2015-03-31") == 0];
}

/* The reply left, or its connection is gone; a call whose body never came whole ends here too. */
static void on_free(struct exchange *x)
{
	struct invocation *i = take_ptr(x->op);
	if (!i)
		return;
	if (x->deferred)
		invocation_sent(i);
	else
		invocation_gone(i);
}

bool gate_may_call(struct exchange *x, struct catalog_function *f)
{
	struct err err = ERR_INIT;
	const struct lineage *lineage = gate_lineage(x);
	if (lineage && lineage->depth > x->gate->env.config->max_call_depth) {
		gate_error(x, API_CALL_DEPTH, "this call is the %uth function inside functions, from request %s on; at most %" PRIu64
			   " are taken (max-call-depth)", lineage->depth, lineage->root, x->gate->env.config->max_call_depth);
		return false;
	}
	/* rather than run it and then have no place for what it says */
	uint64_t most = x->gate->env.config->max_reply_bytes;
	if (!gate_reply_room(x, most < GATE_REPLIES_MAX / 2 ? most : GATE_REPLIES_MAX / 2))
		return false;
	enum api_code code = invocation_admit(x->gate->env.calls, f, lineage, &err);
	if (code == API_CODE_MAX)
		return true;
	if (code == API_SHUTTING_DOWN)
		gate_header(x, "Retry-After", "%d", RETRY_AFTER_S);
	gate_error(x, code, "%s", err.text);
	return false;
}

void gate_call_owns(struct exchange *x)
{
	x->on_gone = on_gone;
	x->on_free = on_free;
}

void gate_invoke_begin(struct exchange *x)
{
	const char *name = gate_function_name(x);
	const struct dialect *d = dialect_of(x);
	const char *type = gate_request_header(x, d->type_header), *log = gate_request_header(x, d->log_header);
	const char *qualifier = http_query(&x->target, d->qualifier), *mode = gate_request_header(x, "x-fcnode-response-mode");
	struct err err = ERR_INIT;
	if (!name)
		return;
	if (d->lambda && qualifier && strcmp(qualifier, "$LATEST") == 0)
		qualifier = NULL;
	struct catalog_function *f;
	enum api_code code = catalog_resolve(x->gate->env.catalog, x->tenant, name, qualifier, true, &f, &err);
	if (code != API_CODE_MAX)
		return gate_error(x, code, "%s", err.text);
	if (type && strcasecmp(type, d->async) == 0)
		return gate_error(x, API_NOT_IMPLEMENTED, "%s: %s is not served by this node yet; use %s", d->type_header, d->async, d->sync);
	bool dry_run = type && *d->dry_run && strcasecmp(type, d->dry_run) == 0;
	if (type && !dry_run && strcasecmp(type, d->sync) != 0)
		return gate_error(x, API_INVALID_ARGUMENT, "%s: must be %s", d->type_header, d->sync);
	if (log && strcasecmp(log, "Tail") != 0 && strcasecmp(log, "None") != 0)
		return gate_error(x, API_INVALID_ARGUMENT, "%s: must be Tail or None", d->log_header);
	if (d->lambda && gate_request_header(x, "x-amz-client-context"))
		return gate_error(x, API_NOT_IMPLEMENTED, "x-amz-client-context: is not served by this node yet");
	if (dry_run) /* it is there, and the caller may */
		return gate_empty(x, 204);
	if (mode && strcasecmp(mode, "buffer") != 0 && strcasecmp(mode, "stream") != 0)
		return gate_error(x, API_INVALID_ARGUMENT, "x-fcnode-response-mode: must be buffer or stream");
	bool streams = mode && strcasecmp(mode, "stream") == 0 && !d->lambda;
	if (streams && gate_request_header(x, "x-fcnode-idempotency-key"))
		return gate_error(x, API_INVALID_ARGUMENT, "x-fcnode-idempotency-key: a reply that is streamed is not kept; ask for it whole");
	if (!gate_may_call(x, f) || !gate_key_read(x, name, qualifier, answer))
		return;
	const struct lineage *lineage = gate_lineage(x);
	char parent[TRACE_PARENT_SIZE], state[TRACE_STATE_SIZE];
	bool traced = trace_parent(parent, gate_request_header(x, "traceparent"));
	const struct invocation_wish w = {
		.function = f, .qualifier = qualifier, .request_id = x->request_id, .log_tail = log && strcasecmp(log, "Tail") == 0,
		.traceparent = traced ? parent : NULL,
		.tracestate = traced && trace_state(state, gate_request_header(x, "tracestate")) ? state : NULL,
		.lineage = lineage, .done = called, .piece = streams ? piece : NULL, .arg = x,
	};
	x->op = invocation_new(x->gate->env.calls, &w);
	if (!x->op)
		return gate_error(x, API_INTERNAL, "out of memory");
	gate_call_owns(x);
}

void gate_invoke(struct exchange *x)
{
	gate_defer(x);
	if (x->key)
		gate_key_begin(x);
	else
		invocation_body(x->op, &x->body);
}

static void add_log_result(struct exchange *x, const struct buf *tail)
{
	autobuf struct buf text = BUF_INIT(16 << 10);
	if (tail->len && http_base64_encode(tail->data, tail->len, &text) == 0)
		gate_header(x, "X-Fc-Log-Result", "%s", text.data);
}

/* Each family's clients look for what they know. */
static void add_lambda(struct exchange *x, const struct invocation_result *r)
{
	bool latest = !r->version || strcmp(r->version, "LATEST") == 0;
	gate_header(x, "X-Amz-Executed-Version", "%s", latest ? "$LATEST" : r->version);
	if (r->error_type)
		gate_header(x, "X-Amz-Function-Error", "%s", strcmp(r->error_type, "HandledInvocationError") == 0 ? "Handled" : "Unhandled");
	autobuf struct buf text = BUF_INIT(16 << 10);
	if (r->log_tail.len && http_base64_encode(r->log_tail.data, r->log_tail.len, &text) == 0)
		gate_header(x, "X-Amz-Log-Result", "%s", text.data);
}

/* What is known when the sandbox is. */
static void add_identity(struct exchange *x, const struct invocation_result *r)
{
	gate_header(x, "X-Fc-Code-Checksum", "%s", r->checksum);
	gate_header(x, "X-Fc-Instance-Id", "%s", r->instance_id);
	gate_header(x, "X-Fc-Version-Id", "%s", r->version);
	gate_header(x, "X-Fcnode-Served", "cold");
}

/* What is known at the end: headers of a whole reply, trailers of a streamed one. */
static void add_outcome(struct exchange *x, const struct invocation_result *r)
{
	gate_header(x, "X-Fc-Invocation-Duration", "%" PRIu64, (r->run_us + 500) / 1000);
	gate_header(x, "X-Fc-Max-Memory-Usage", "%.2f", (double)r->peak_bytes / 1048576);
	gate_header(x, "X-Fcnode-Outcome", "%s", outcome_name(r->outcome));
	gate_header(x, "X-Fcnode-Billed-Duration", "%" PRIu64, r->billed_ms);
	gate_header(x, "X-Fcnode-Timeline", "%s", r->timeline);
	add_log_result(x, &r->log_tail);
}

/* ---- the reply as it is made ---------------------------------------------- */

static const char trailer_names[] = "X-Fc-Invocation-Duration, X-Fc-Max-Memory-Usage, X-Fc-Error-Type, X-Fc-Log-Result, "
				    "X-Fcnode-Outcome, X-Fcnode-Billed-Duration, X-Fcnode-Timeline, X-Fcnode-Error";

static void on_more(struct exchange *x)
{
	if (x->op)
		invocation_resume(x->op);
}

static bool piece(void *arg, const struct invocation_result *r, const char *data, size_t len)
{
	struct exchange *x = arg;
	if (!x->stream.on) {
		add_identity(x, r);
		gate_header(x, "Trailer", "%s", trailer_names);
		gate_stream_begin(x, 200, "application/octet-stream", on_more);
	}
	return gate_stream_put(x, data, len);
}

static char *cut_text(const char *text)
{
	enum { TEXT_MAX = 1024 };
	size_t n = strlen(text);
	if (n > TEXT_MAX)
		for (n = TEXT_MAX; n > 0 && (text[n] & 0xc0) == 0x80; n--)
			;
	return strndup(text, n);
}

/* X-Fcnode-Error: what the body would have said, short, in ASCII on one line. */
static void add_error_trailer(struct exchange *x, const struct invocation_result *r)
{
	autojson json_t *o = NULL, *whole = NULL;
	if (r->refused != API_CODE_MAX) {
		autofree char *message = cut_text(r->message);
		o = json_pack("{s:s, s:s*}", "Code", api_code_name(r->refused), "Message", message);
	} else if (r->error_type) {
		whole = json_loadb(r->body.data ? r->body.data : "", r->body.len, 0, NULL);
		const char *type = json_string_value(json_object_get(whole, "errorType"));
		const char *said = json_string_value(json_object_get(whole, "errorMessage"));
		autofree char *short_type = cut_text(type ? type : ""), *short_said = cut_text(said ? said : "");
		o = json_pack("{s:s*, s:s*}", "errorMessage", short_said, "errorType", short_type);
	}
	autofree char *text = o ? json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_PRESERVE_ORDER) : NULL;
	if (text)
		gate_header(x, "X-Fcnode-Error", "%s", text);
}

static void end_stream(struct exchange *x, const struct invocation_result *r)
{
	add_outcome(x, r);
	if (r->error_type)
		gate_header(x, "X-Fc-Error-Type", "%s", r->error_type);
	add_error_trailer(x, r);
	gate_stream_end(x, /* whole= */ true);
}

static void called(void *arg, struct invocation_result *r)
{
	struct exchange *x = arg;
	if (x->stream.on)
		return end_stream(x, r);
	if (!gate_key_end(x, r))
		answer(x, r);
}

static void answer(struct exchange *x, struct invocation_result *r)
{
	if (r->started) {
		add_identity(x, r);
		add_outcome(x, r);
	}
	if (r->started && dialect_of(x)->lambda)
		add_lambda(x, r);
	if (r->refused != API_CODE_MAX)
		return gate_error(x, r->refused, "%s", r->message);
	if (r->error_type)
		gate_header(x, "X-Fc-Error-Type", "%s", r->error_type);
	gate_text(x, 200, r->error_type ? "application/json" : "application/octet-stream", &r->body);
}
