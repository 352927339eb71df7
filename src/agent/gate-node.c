/* The node's own paths: health, metrics, usage, logs, facts. */
#include <config.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "agent/gate-internal.h"
#include "agent/invocation.h"
#include "agent/link.h"
#include "agent/logs.h"
#include "agent/meter.h"
#include "agent/writer.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"

enum { METRICS_MAX = 256 << 10 };

void gate_healthz(struct exchange *x)
{
	if (!link_welcome(x->gate->env.link))
		return gate_error(x, API_SHUTTING_DOWN, "the agent is starting");
	gate_json(x, 200, json_pack("{s:s}", "status", "ok"));
}

/* ---- metrics ------------------------------------------------------------- */

static void on_counters(void *arg, const struct msg_counters *m)
{
	static const char *const names[] = {
#define X(name, help) #name,
		MSG_COUNTERS(X)
#undef X
	};
	static const char *const help[] = {
#define X(name, text) text,
		MSG_COUNTERS(X)
#undef X
	};
	struct exchange *x = arg;
	const struct stats_more keeper = { m ? ARRAY_LEN(names) : 0, names, help, m ? m->value : NULL };
	struct buf text = BUF_INIT(METRICS_MAX);
	if (stats_write(x->gate->env.stats, &keeper, &text) < 0) {
		buf_fini(&text);
		return gate_error(x, API_INTERNAL, "write the metrics: out of memory");
	}
	gate_text(x, 200, "text/plain; version=0.0.4", &text);
}

void gate_metrics(struct exchange *x)
{
	gate_defer(x);
	if (link_stats(x->gate->env.link, on_counters, x) != LINK_OK)
		on_counters(x, NULL); /* without keeper's part; a scrape should not fail because keeper is busy */
}

/* ---- usage --------------------------------------------------------------- */

static void usage_found(void *arg, int result, char *json)
{
	struct exchange *x = arg;
	struct buf text = BUF_INIT(64 << 20);
	if (result == 0)
		result = buf_puts(&text, json);
	if (result < 0) {
		buf_fini(&text);
		return gate_error(x, API_INTERNAL, "read the usage records: %s", strerror(-result));
	}
	gate_text(x, 200, "application/json", &text);
}

static bool number_query(struct exchange *x, const char *name, uint64_t max, uint64_t *ret)
{
	const char *text = http_query(&x->target, name);
	if (!text || (str_to_u64(text, ret) == 0 && *ret <= max))
		return true;
	gate_error(x, API_INVALID_ARGUMENT, "%s: a number up to %" PRIu64, name, max);
	return false;
}

void gate_usage(struct exchange *x)
{
	struct meter_query q = { .limit = 100 };
	uint64_t limit = 100, from = 0, to = 0;
	const char *tenant = http_query(&x->target, "tenant"), *function = http_query(&x->target, "functionName");
	const char *request = http_query(&x->target, "requestId");
	if (!number_query(x, "limit", METER_PAGE_MAX, &limit) || !number_query(x, "from", INT64_MAX, &from) ||
	    !number_query(x, "to", INT64_MAX, &to) || !number_query(x, "nextToken", INT64_MAX, &q.after_seq))
		return;
	if (limit == 0)
		return gate_error(x, API_INVALID_ARGUMENT, "limit: at least 1");
	if (tenant && !x->any_tenant && strcmp(tenant, x->tenant) != 0)
		return gate_error(x, API_ACCESS_DENIED, "tenant '%s' may not read the usage of tenant '%s'", x->tenant, tenant);
	str_copy(q.tenant, sizeof(q.tenant), x->any_tenant ? (tenant ? tenant : gate_request_header(x, "X-Fcnode-Tenant") ? x->tenant : "")
							   : x->tenant);
	str_copy(q.function, sizeof(q.function), function ? function : "");
	str_copy(q.request_id, sizeof(q.request_id), request ? request : "");
	q.from_ms = (int64_t)from;
	q.to_ms = (int64_t)to;
	q.limit = limit;
	gate_defer(x);
	if (meter_find(x->gate->env.meter, &q, usage_found, x) == WRITER_E_FULL)
		gate_error(x, API_RESOURCE_THROTTLED, "the database is busy; try again");
}

/* ---- doctor -------------------------------------------------------------- */

static void examined(void *arg, int report_fd, const struct msg_doctor_failed *why)
{
	struct exchange *x = arg;
	if (report_fd >= 0)
		return gate_file(x, "application/json", report_fd);
	if (!why)
		return gate_error(x, API_RESOURCE_THROTTLED, "no descriptors are left for the report; try again");
	gate_error(x, why->code == EBUSY ? API_RESOURCE_THROTTLED : API_INTERNAL, "examine the node: %s%s", why->text,
		   why->code == EBUSY ? "; try again" : "");
}

void gate_doctor(struct exchange *x)
{
	gate_defer(x);
	if (link_doctor(x->gate->env.link, examined, x) != LINK_OK)
		gate_error(x, API_RESOURCE_THROTTLED, "keeper has %d requests in flight; try again", LINK_REQUESTS_MAX);
}

/* ---- facts --------------------------------------------------------------- */

void gate_node_info(struct exchange *x)
{
	const struct msg_welcome *w = link_welcome(x->gate->env.link);
	if (!w)
		return gate_error(x, API_SHUTTING_DOWN, "the agent is starting");
	json_t *limits = json_object(), *o;
	const struct config *c = x->gate->env.config;
#define X(field, option, type, def, min, max, unit, text) json_object_set_new(limits, option, json_integer((json_int_t)c->field));
	CONFIG_NUMBERS(X)
#undef X
	json_object_set_new(limits, "max-instances", json_integer(w->max_instances));
	o = json_pack("{s:s, s:[s], s:s, s:I, s:I, s:i, s:i, s:o}", "version", VERSION, "apiVersions", "2023-03-30",
		      "cgroupMode", w->cgroup_name, "memoryBytes", (json_int_t)w->memory_total_bytes, "cpuMilli",
		      (json_int_t)w->host_cpu_milli, "maxInstances", (int)w->max_instances, "serveRestarts", (int)w->restarts,
		      "limits", limits);
	gate_json(x, 200, o);
}
