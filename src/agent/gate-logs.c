/* GET /logs: of one call, of many, and as they are written. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/gate-internal.h"
#include "agent/invocation.h"
#include "agent/logs.h"
#include "agent/writer.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "plan/function.h"

static const char plain[] = "text/plain; charset=utf-8";

/* ---- one call ----------------------------------------------------------------- */

static void log_found(void *arg, int result, struct buf *text, uint64_t dropped)
{
	struct exchange *x = arg;
	if (result == -ENOENT)
		return gate_error(x, API_LOG_NOT_FOUND, "no log of request '%s': unknown, or so old that log-disk-quota or log-max-age took it",
				  http_query(&x->target, "requestId"));
	if (result < 0)
		return gate_error(x, API_INTERNAL, "read the log: %s", strerror(-result));
	gate_header(x, "X-Fcnode-Log-Dropped", "%" PRIu64, dropped);
	gate_text(x, 200, plain, text);
}

static void one_call(struct exchange *x, const struct logs_query *q)
{
	const struct buf *live = invocations_log(x->gate->env.calls, q->request_id, q->tenant);
	if (live) {
		struct buf copy = BUF_INIT(live->len);
		if (buf_append(&copy, live->data ? live->data : "", live->len) < 0)
			return gate_error(x, API_INTERNAL, "out of memory");
		gate_header(x, "X-Fcnode-Log-Running", "1");
		return gate_text(x, 200, plain, &copy);
	}
	gate_defer(x);
	if (logs_find(x->gate->env.logs, q->request_id, q->tenant, log_found, x) == WRITER_E_FULL)
		gate_error(x, API_RESOURCE_THROTTLED, "the database is busy; try again");
}

/* ---- many ---------------------------------------------------------------------- */

static void page_found(void *arg, int result, json_t *page)
{
	struct exchange *x = arg;
	if (result < 0)
		return gate_error(x, API_INTERNAL, "read the logs: %s", strerror(-result));
	gate_json(x, 200, page);
}

/* ---- as they are written --------------------------------------------------------- */

static void on_more(struct exchange *x)
{
	if (x->op)
		logs_follow_more(x->op);
}

static bool on_line(void *arg, const char *json, size_t len)
{
	return gate_stream_put(arg, json, len);
}

static void on_gone(struct exchange *x)
{
	x->op = logs_unfollow(x->op);
	gate_stream_end(x, /* whole= */ false);
}

static void on_free(struct exchange *x)
{
	x->op = logs_unfollow(x->op);
}

static void follow(struct exchange *x, const struct logs_query *q)
{
	x->op = logs_follow(q, on_line, x);
	if (!x->op)
		return gate_error(x, API_RESOURCE_THROTTLED, "%d clients follow logs already", LOGS_FOLLOWERS_MAX);
	x->on_gone = on_gone;
	x->on_free = on_free;
	gate_defer(x);
	gate_stream_begin(x, 200, "application/x-ndjson", on_more);
}

static void end_follower(void *arg)
{
	struct exchange *x = arg;
	x->op = NULL;
	gate_stream_end(x, /* whole= */ true);
}

void gate_end_followers(void) { logs_end_followers(end_follower); }

/* ---- the request ------------------------------------------------------------------ */

static bool number(struct exchange *x, const char *name, uint64_t min, uint64_t max, uint64_t *ret)
{
	const char *text = http_query(&x->target, name);
	if (!text || (str_to_u64(text, ret) == 0 && *ret >= min && *ret <= max))
		return true;
	gate_error(x, API_INVALID_ARGUMENT, "%s: a number from %" PRIu64 " to %" PRIu64, name, min, max);
	return false;
}

static bool word(struct exchange *x, const char *name, size_t max, char *out)
{
	const char *text = http_query(&x->target, name);
	if (text && strlen(text) > max) {
		gate_error(x, API_INVALID_ARGUMENT, "%s: at most %zu bytes", name, max);
		return false;
	}
	strcpy(out, text ? text : "");
	return true;
}

static bool read_query(struct exchange *x, struct logs_query *q)
{
	uint64_t limit = 20, from = 0, to = INT64_MAX, before = INT64_MAX;
	const char *id = http_query(&x->target, "requestId");
	if (id && strlen(id) != 36) {
		gate_error(x, API_INVALID_ARGUMENT, "requestId: give the X-Fc-Request-Id of a call");
		return false;
	}
	str_copy(q->request_id, sizeof(q->request_id), id ? id : "");
	str_copy(q->tenant, sizeof(q->tenant), x->any_tenant && !gate_request_header(x, "X-Fcnode-Tenant") ? "" : x->tenant);
	if (!word(x, "functionName", FUNCTION_NAME_MAX, q->function) || !word(x, "text", LOGS_TEXT_MAX, q->text) ||
	    !number(x, "limit", 1, 100, &limit) || !number(x, "from", 0, INT64_MAX, &from) || !number(x, "to", 0, INT64_MAX, &to) ||
	    !number(x, "nextToken", 1, INT64_MAX, &before))
		return false;
	q->limit = limit;
	q->from_ms = (int64_t)from;
	q->to_ms = (int64_t)to;
	q->before_seq = (int64_t)before;
	return true;
}

/* What does not go together is refused, not ignored. */
static bool check_combination(struct exchange *x, bool following)
{
	static const char *const stored[] = { "from", "to", "limit", "nextToken" };
	bool one = http_query(&x->target, "requestId") != NULL;
	for (size_t i = 0; i < ARRAY_LEN(stored); i++)
		if ((one || following) && http_query(&x->target, stored[i])) {
			gate_error(x, API_INVALID_ARGUMENT, "%s: does not go with %s", stored[i], following ? "follow" : "requestId");
			return false;
		}
	if (one && !following && (http_query(&x->target, "functionName") || http_query(&x->target, "text"))) {
		gate_error(x, API_INVALID_ARGUMENT, "requestId: goes with nothing but follow");
		return false;
	}
	return true;
}

void gate_logs(struct exchange *x)
{
	struct logs_query q = { .limit = 0 };
	const char *follows = http_query(&x->target, "follow");
	if (follows && strcmp(follows, "true") != 0 && strcmp(follows, "false") != 0)
		return gate_error(x, API_INVALID_ARGUMENT, "follow: true or false");
	bool following = follows && strcmp(follows, "true") == 0;
	if (!check_combination(x, following) || !read_query(x, &q))
		return;
	if (following)
		return follow(x, &q);
	if (*q.request_id)
		return one_call(x, &q);
	gate_defer(x);
	if (logs_search(x->gate->env.logs, &q, page_found, x) == WRITER_E_FULL)
		gate_error(x, API_RESOURCE_THROTTLED, "the database is busy; try again");
}
