/* What an orchestrator asks of a node: capacity, the drain state, the feed of events, the sandboxes of a function. */
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/catalog.h"
#include "agent/config.h"
#include "agent/drain.h"
#include "agent/feed.h"
#include "agent/gate-internal.h"
#include "agent/invocation.h"
#include "agent/link.h"
#include "agent/worker.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"

enum {
	EVENTS_DEFAULT = 100,
	EVENTS_WAIT_MAX_MS = 60000,
	EVENTS_REPLY_MAX = 1 << 20, /* FEED_PAGE_MAX events of at most 600 bytes */
	INSTANCES_DEFAULT = 100, INSTANCES_MAX = 1000,
	DRAIN_BODY_MAX = 4096,
};

static const char *drain_state_name(const struct gate_env *e)
{
	if (!drain_active(e->drain))
		return "active";
	return invocations_queued(e->calls) + invocations_running(e->calls) > 0 ? "draining" : "drained";
}

/* ---- capacity ------------------------------------------------------------- */

/* committed: what the limits of the sandboxes alive add up to. available: what the kernel says of the host. */
static json_t *capacity_object(const struct gate_env *e, const struct msg_welcome *w, const struct msg_counters *m)
{
	const struct stats *s = e->stats;
	uint64_t live = s->instances_live;
	return json_pack("{s:s, s:{s:i, s:I, s:I}, s:{s:I, s:I}, s:{s:I, s:I, s:I}, s:{s:I, s:I}, s:{s:I, s:I}}", "state",
			 drain_state_name(e), "instances", "max", (int)w->max_instances, "live", (json_int_t)live, "free",
			 (json_int_t)(w->max_instances - live), "queue", "max", (json_int_t)e->config->max_queue, "length",
			 (json_int_t)s->queue_depth, "memory", "totalBytes", (json_int_t)w->memory_total_bytes, "committedBytes",
			 (json_int_t)s->memory_committed_bytes, "availableBytes",
			 (json_int_t)m->value[MSG_COUNT_memory_available_bytes], "cpu", "totalMilli",
			 (json_int_t)w->host_cpu_milli, "committedMilli", (json_int_t)s->cpu_committed_milli, "disk",
			 "availableBytes", (json_int_t)m->value[MSG_COUNT_state_free_bytes], "layerBytes",
			 (json_int_t)s->layer_bytes);
}

static void on_counters(void *arg, const struct msg_counters *m)
{
	struct exchange *x = arg;
	const struct gate_env *e = &x->gate->env;
	gate_json(x, 200, capacity_object(e, link_welcome(e->link), m));
}

void gate_capacity(struct exchange *x)
{
	if (!link_welcome(x->gate->env.link))
		return gate_error(x, API_SHUTTING_DOWN, "the agent is starting");
	gate_defer(x);
	if (link_stats(x->gate->env.link, on_counters, x) != LINK_OK)
		gate_error(x, API_RESOURCE_THROTTLED, "keeper has %d requests in flight; try again", LINK_REQUESTS_MAX);
}

/* ---- events ---------------------------------------------------------------- */

/* A request that waits for the next event, or for its time. */
struct events_wait {
	struct feed_watcher watcher; /* first: a watcher is its wait */
	struct exchange *x;
	struct feed_cursor at;
	const char *tenant;          /* NULL: all */
	size_t limit;
	struct event *timer;
	bool counted; /* among stats.event_waits */
};

static void answer_events(struct exchange *x, const struct events_wait *w)
{
	struct buf text = BUF_INIT(EVENTS_REPLY_MAX);
	ssize_t n = feed_write(x->gate->env.feed, &w->at, w->tenant, w->limit, &text);
	if (n >= 0)
		return gate_text(x, 200, "application/json", &text);
	buf_fini(&text);
	gate_error(x, API_INTERNAL, "write the events: %s", strerror((int)-n));
}

static void wait_free(struct exchange *x)
{
	struct events_wait *w = x->op;
	x->op = NULL;
	if (!w)
		return;
	feed_unwatch(x->gate->env.feed, &w->watcher);
	x->gate->env.stats->event_waits -= w->counted;
	if (w->timer)
		event_free(w->timer);
	free(w);
}

static void on_event(struct feed_watcher *watcher)
{
	struct events_wait *w = (struct events_wait *)watcher;
	struct feed *f = w->x->gate->env.feed;
	if (w->x->answered)
		return;
	if (feed_has(f, &w->at, w->tenant))
		answer_events(w->x, w);
	else
		feed_watch(f, watcher); /* its place is still free: no error is possible */
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
	struct events_wait *w = arg;
	(void)fd;
	(void)what;
	if (!w->x->answered)
		answer_events(w->x, w);
}

/* The client hung up: it needs no answer, and holds no place any more. */
static void on_gone(struct exchange *x)
{
	struct events_wait *w = x->op;
	if (!x->answered && w)
		answer_events(x, w);
}

static void wait_for_events(struct exchange *x, const struct events_wait *wish, uint64_t ms)
{
	struct events_wait *w = calloc(1, sizeof(*w));
	if (!w)
		return gate_error(x, API_INTERNAL, "out of memory");
	*w = *wish;
	w->watcher.fn = on_event;
	w->timer = evtimer_new(x->gate->env.base, on_time, w);
	x->op = w;
	x->on_free = wait_free;
	x->on_gone = on_gone;
	const struct timeval tv = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000) };
	if (!w->timer || event_add(w->timer, &tv) < 0)
		return gate_error(x, API_INTERNAL, "out of memory");
	if (feed_watch(x->gate->env.feed, &w->watcher) == FEED_E_FULL)
		return gate_error(x, API_RESOURCE_EXHAUSTED, "%d requests wait for events already (node-event-waits); ask without wait",
				  FEED_WATCHERS_MAX);
	w->counted = true;
	x->gate->env.stats->event_waits++;
	gate_defer(x);
}

/* A number in [min, max] from the query, or answers. */
static bool query_number(struct exchange *x, const char *name, uint64_t min, uint64_t max, uint64_t *ret)
{
	const char *text = http_query(&x->target, name);
	if (!text || (str_to_u64(text, ret) == 0 && *ret >= min && *ret <= max))
		return true;
	gate_error(x, API_INVALID_ARGUMENT, "%s: a number from %" PRIu64 " to %" PRIu64, name, min, max);
	return false;
}

void gate_events(struct exchange *x)
{
	struct feed *f = x->gate->env.feed;
	struct events_wait w = { .x = x };
	uint64_t limit = EVENTS_DEFAULT, ms = 0;
	bool named = gate_request_header(x, "X-Fcnode-Tenant") != NULL;
	if (!query_number(x, "limit", 1, FEED_PAGE_MAX, &limit) || !query_number(x, "wait", 0, EVENTS_WAIT_MAX_MS, &ms))
		return;
	if (feed_cursor_parse(f, http_query(&x->target, "cursor"), &w.at) < 0)
		return gate_error(x, API_INVALID_ARGUMENT, "cursor: give it as an earlier answer did, or leave it out, or \"now\"");
	w.tenant = x->any_tenant && !named ? NULL : x->tenant;
	w.limit = limit;
	if (ms == 0 || feed_has(f, &w.at, w.tenant))
		return answer_events(x, &w);
	wait_for_events(x, &w, ms);
}

/* ---- draining --------------------------------------------------------------- */

static void answer_drain(struct exchange *x)
{
	const struct gate_env *e = &x->gate->env;
	json_t *o = json_pack("{s:s, s:I, s:I}", "state", drain_state_name(e), "running",
			      (json_int_t)invocations_running(e->calls), "queued", (json_int_t)invocations_queued(e->calls));
	if (o && drain_active(e->drain)) {
		json_object_set_new(o, "sinceMs", json_integer((json_int_t)drain_since_ms(e->drain)));
		json_object_set_new(o, "reason", json_string(drain_reason(e->drain)));
	}
	gate_json(x, 200, o);
}

void gate_drain_get(struct exchange *x) { answer_drain(x); }

static void changed(struct exchange *x, int result, const char *what, enum feed_kind kind)
{
	if (result < 0)
		return gate_error(x, result == -ENOSPC || result == -EDQUOT ? API_STORAGE_FULL : API_INTERNAL, "%s: %s", what,
				  strerror(-result));
	feed_add(x->gate->env.feed, &(struct feed_note){ .kind = kind });
	answer_drain(x);
}

static void drained(void *arg, int result)
{
	struct exchange *x = arg;
	const struct gate_env *e = &x->gate->env;
	changed(x, result, "write down that the node is drained", FEED_NODE_DRAINING);
	if (result == 0 && invocations_queued(e->calls) + invocations_running(e->calls) == 0)
		feed_add(e->feed, &(struct feed_note){ .kind = FEED_NODE_DRAINED });
}

static void undrained(void *arg, int result)
{
	changed(arg, result, "remove the note that the node is drained", FEED_NODE_ACTIVE);
}

static void change(struct exchange *x, bool active, const char *reason)
{
	if (drain_active(x->gate->env.drain) == active)
		return answer_drain(x);
	gate_defer(x);
	if (drain_change(x->gate->env.drain, active, reason, active ? drained : undrained, x) == DRAIN_E_BUSY)
		gate_error(x, API_RESOURCE_THROTTLED, "another change of the drain state, or %d other tasks, are under way; try again",
			   WORKER_QUEUE_MAX);
}

/* An empty body, or {"reason": "..."}. */
void gate_drain_put(struct exchange *x)
{
	static const struct json_field fields[] = { { "reason", JF_STR, 0, false, 0, 0 }, { NULL, JF_IGNORE, 0, false, 0, 0 } };
	struct err err = ERR_INIT;
	const char *reason = "";
	if (x->body.len > DRAIN_BODY_MAX)
		return gate_error(x, API_ENTITY_TOO_LARGE, "the body has more than %d bytes", DRAIN_BODY_MAX);
	autojson json_t *o = x->body.len ? json_parse(x->body.data, x->body.len, "the body", &err) : json_object();
	if (!o || json_read(o, fields, 0, &reason, "", &err) < 0)
		return gate_error(x, API_INVALID_ARGUMENT, "%s", err.text);
	if (strlen(reason) >= DRAIN_REASON_SIZE)
		return gate_error(x, API_INVALID_ARGUMENT, "reason: at most %d bytes", DRAIN_REASON_SIZE - 1);
	change(x, true, reason);
}

void gate_drain_delete(struct exchange *x) { change(x, false, ""); }

/* ---- instances of a function ------------------------------------------------ */

static json_t *instance_object(const struct invocation_view *v)
{
	return json_pack("{s:s, s:s, s:I, s:s, s:s, s:s}", "instanceId", v->instance_id, "status",
			 v->running ? "Running" : "Starting", "createdTimeMs", (json_int_t)v->start_ms, "versionId", v->version,
			 "qualifier", v->qualifier, "requestId", v->request_id);
}

void gate_instances(struct exchange *x)
{
	const char *name = gate_function_name(x), *qualifier = http_query(&x->target, "qualifier");
	const char *all = http_query(&x->target, "withAllActive");
	static struct invocation_view page[INSTANCES_MAX]; /* one thread, and nothing keeps a pointer into it */
	uint64_t limit = INSTANCES_DEFAULT;
	if (!name || !query_number(x, "limit", 1, INSTANCES_MAX, &limit))
		return;
	if (!catalog_find(x->gate->env.catalog, x->tenant, name))
		return gate_error(x, API_FUNCTION_NOT_FOUND, "function '%s' does not exist", name);
	if (all && strcmp(all, "true") != 0 && strcmp(all, "false") != 0)
		return gate_error(x, API_INVALID_ARGUMENT, "withAllActive: true or false");
	size_t n = invocations_view(x->gate->env.calls, x->tenant, name, qualifier ? qualifier : "", page, limit);
	json_t *list = json_array(), *o = json_object();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, instance_object(&page[i]));
	json_object_set_new(o, "instances", list);
	json_object_set_new(o, "requestId", json_string(x->request_id));
	gate_json(x, 200, o);
}
