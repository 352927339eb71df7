#include <string.h>

#include "agent/gate-internal.h"
#include "base/cleanup.h"

static const char *const no_query[] = { NULL };
static const char *const list_query[] = { "limit", "prefix", "nextToken", NULL };
static const char *const invoke_query[] = { "qualifier", NULL };
static const char *const usage_query[] = { "tenant", "functionName", "requestId", "from", "to", "limit", "nextToken", NULL };
static const char *const events_query[] = { "cursor", "limit", "wait", NULL };
static const char *const instances_query[] = { "limit", "qualifier", "withAllActive", NULL };
static const char *const logs_query[] = { "requestId", NULL };

#define API_ROOT "/2023-03-30/functions"

/* The whole API, in the order of fcnode-api(7). */
static const struct route routes[] = {
	{ "POST", API_ROOT, BODY_JSON, no_query, NULL, gate_create },
	{ "GET", API_ROOT, BODY_NONE, list_query, NULL, gate_list },
	{ "GET", API_ROOT "/{}", BODY_NONE, no_query, NULL, gate_get },
	{ "PUT", API_ROOT "/{}", BODY_JSON, no_query, NULL, gate_update },
	{ "DELETE", API_ROOT "/{}", BODY_NONE, no_query, NULL, gate_delete },
	{ "GET", API_ROOT "/{}/code", BODY_NONE, no_query, NULL, gate_get_code },
	{ "POST", API_ROOT "/{}/invocations", BODY_EVENT, invoke_query, gate_invoke_begin, gate_invoke },
	{ "GET", API_ROOT "/{}/instances", BODY_NONE, instances_query, NULL, gate_instances },
	{ "PUT", "/blobs/{}", BODY_UPLOAD, no_query, gate_put_blob_begin, gate_put_blob },
	{ "GET", "/blobs/{}", BODY_NONE, no_query, NULL, gate_get_blob },
	{ "GET", "/healthz", BODY_NONE, no_query, NULL, gate_healthz },
	{ "GET", "/metrics", BODY_NONE, no_query, NULL, gate_metrics },
	{ "GET", "/usage", BODY_NONE, usage_query, NULL, gate_usage },
	{ "GET", "/logs", BODY_NONE, logs_query, NULL, gate_logs },
	{ "GET", "/node/info", BODY_NONE, no_query, NULL, gate_node_info },
	{ "GET", "/node/capacity", BODY_NONE, no_query, NULL, gate_capacity },
	{ "GET", "/node/events", BODY_NONE, events_query, NULL, gate_events },
	{ "GET", "/node/drain", BODY_NONE, no_query, NULL, gate_drain_get },
	{ "PUT", "/node/drain", BODY_JSON, no_query, NULL, gate_drain_put },
	{ "DELETE", "/node/drain", BODY_NONE, no_query, NULL, gate_drain_delete },
	{ "GET", "/node/doctor", BODY_NONE, no_query, NULL, gate_doctor },
};

static bool pattern_matches(const char *pattern, const struct http_target *t)
{
	size_t i = 0;
	for (const char *p = pattern; *p;) {
		p++; /* the slash */
		size_t n = strcspn(p, "/");
		if (i == t->segments)
			return false;
		const char *s = t->segment[i++];
		if (!(n == 2 && memcmp(p, "{}", 2) == 0) && !(strlen(s) == n && memcmp(p, s, n) == 0))
			return false;
		p += n;
	}
	return i == t->segments;
}

enum gate_match gate_route(const char *method, const struct http_target *t, const struct route **ret)
{
	enum gate_match m = GATE_NO_PATH;
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (!pattern_matches(routes[i].pattern, t))
			continue;
		m = GATE_NO_METHOD;
		if (strcmp(routes[i].method, method) == 0) {
			*ret = &routes[i];
			return GATE_MATCH;
		}
	}
	return m;
}
