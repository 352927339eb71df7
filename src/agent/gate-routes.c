#include <string.h>

#include "agent/gate-internal.h"
#include "base/cleanup.h"

static const char *const no_query[] = { NULL };
static const char *const list_query[] = { "limit", "prefix", "nextToken", NULL };
static const char *const versions_query[] = { "direction", "limit", "nextToken", NULL };
static const char *const configs_query[] = { "functionName", "limit", "nextToken", NULL };
static const char *const qualified_query[] = { "qualifier", NULL };
static const char *const invoke_query[] = { "qualifier", NULL };
static const char *const lambda_query[] = { "Qualifier", NULL };
static const char *const layers_query[] = { "limit", "prefix", "nextToken", "public", "official", NULL };
static const char *const layer_versions_query[] = { "limit", "startVersion", NULL };
static const char *const usage_query[] = { "tenant", "functionName", "requestId", "from", "to", "limit", "nextToken", NULL };
static const char *const events_query[] = { "cursor", "limit", "wait", NULL };
static const char *const instances_query[] = { "limit", "qualifier", "withAllActive", NULL };
static const char *const logs_query[] = { "requestId", "functionName", "from", "to", "text", "limit", "nextToken", "follow", NULL };
static const char *const grants_query[] = { "function", NULL };

#define API_ROOT "/2023-03-30/functions"
#define LAYERS "/2023-03-30/layers"

/* The whole API, in the order of fcnode-api(7). */
static const struct route routes[] = {
	{ "POST", API_ROOT, BODY_JSON, no_query, NULL, gate_create, PERMISSION_CREATE_FUNCTION },
	{ "GET", API_ROOT, BODY_NONE, list_query, NULL, gate_list, PERMISSION_LIST_FUNCTIONS },
	{ "GET", API_ROOT "/{}", BODY_NONE, qualified_query, NULL, gate_get, PERMISSION_GET_FUNCTION },
	{ "PUT", API_ROOT "/{}", BODY_JSON, no_query, NULL, gate_update, PERMISSION_UPDATE_FUNCTION },
	{ "DELETE", API_ROOT "/{}", BODY_NONE, no_query, NULL, gate_delete, PERMISSION_DELETE_FUNCTION },
	{ "GET", API_ROOT "/{}/code", BODY_NONE, qualified_query, NULL, gate_get_code, PERMISSION_GET_CODE },
	{ "POST", API_ROOT "/{}/invocations", BODY_EVENT, invoke_query, gate_invoke_begin, gate_invoke, PERMISSION_INVOKE_FUNCTION },
	{ "POST", "/2015-03-31/functions/{}/invocations", BODY_EVENT, lambda_query, gate_invoke_begin, gate_invoke, PERMISSION_INVOKE_FUNCTION },
	{ "POST", API_ROOT "/{}/versions", BODY_JSON, no_query, NULL, gate_publish, PERMISSION_PUBLISH_VERSION },
	{ "GET", API_ROOT "/{}/versions", BODY_NONE, versions_query, NULL, gate_list_versions, PERMISSION_LIST_VERSIONS },
	{ "DELETE", API_ROOT "/{}/versions/{}", BODY_NONE, no_query, NULL, gate_delete_version, PERMISSION_DELETE_VERSION },
	{ "POST", API_ROOT "/{}/aliases", BODY_JSON, no_query, NULL, gate_create_alias, PERMISSION_CREATE_ALIAS },
	{ "GET", API_ROOT "/{}/aliases", BODY_NONE, list_query, NULL, gate_list_aliases, PERMISSION_LIST_ALIASES },
	{ "GET", API_ROOT "/{}/aliases/{}", BODY_NONE, no_query, NULL, gate_get_alias, PERMISSION_GET_ALIAS },
	{ "PUT", API_ROOT "/{}/aliases/{}", BODY_JSON, no_query, NULL, gate_update_alias, PERMISSION_UPDATE_ALIAS },
	{ "DELETE", API_ROOT "/{}/aliases/{}", BODY_NONE, no_query, NULL, gate_delete_alias, PERMISSION_DELETE_ALIAS },
	{ "PUT", API_ROOT "/{}/concurrency", BODY_JSON, no_query, NULL, gate_put_concurrency, PERMISSION_PUT_CONCURRENCY },
	{ "GET", API_ROOT "/{}/concurrency", BODY_NONE, no_query, NULL, gate_get_concurrency, PERMISSION_GET_CONCURRENCY },
	{ "DELETE", API_ROOT "/{}/concurrency", BODY_NONE, no_query, NULL, gate_delete_concurrency, PERMISSION_DELETE_CONCURRENCY },
	{ "GET", "/2023-03-30/concurrency-configs", BODY_NONE, configs_query, NULL, gate_list_concurrency, PERMISSION_LIST_CONCURRENCY },
	{ "GET", API_ROOT "/{}/instances", BODY_NONE, instances_query, NULL, gate_instances, PERMISSION_LIST_INSTANCES },
	{ "GET", LAYERS, BODY_NONE, layers_query, NULL, gate_list_layers, PERMISSION_LIST_LAYERS },
	{ "POST", LAYERS "/{}/versions", BODY_JSON, no_query, NULL, gate_create_layer, PERMISSION_CREATE_LAYER },
	{ "GET", LAYERS "/{}/versions", BODY_NONE, layer_versions_query, NULL, gate_list_layer_versions, PERMISSION_LIST_LAYER_VERSIONS },
	{ "GET", LAYERS "/{}/versions/{}", BODY_NONE, no_query, NULL, gate_get_layer, PERMISSION_GET_LAYER },
	{ "DELETE", LAYERS "/{}/versions/{}", BODY_NONE, no_query, NULL, gate_delete_layer, PERMISSION_DELETE_LAYER },
	{ "GET", "/2023-03-30/layerarn/{}", BODY_NONE, no_query, NULL, gate_get_layer_by_arn, PERMISSION_GET_LAYER },
	{ "PUT", "/blobs/{}", BODY_UPLOAD, no_query, gate_put_blob_begin, gate_put_blob, PERMISSION_PUT_BLOB },
	{ "GET", "/blobs/{}", BODY_NONE, no_query, NULL, gate_get_blob, PERMISSION_GET_BLOB },
	{ "GET", "/healthz", BODY_NONE, no_query, NULL, gate_healthz, PERMISSION_NONE },
	{ "GET", "/metrics", BODY_NONE, no_query, NULL, gate_metrics, PERMISSION_GET_METRICS },
	{ "GET", "/usage", BODY_NONE, usage_query, NULL, gate_usage, PERMISSION_GET_USAGE },
	{ "GET", "/logs", BODY_NONE, logs_query, NULL, gate_logs, PERMISSION_GET_LOGS },
	{ "GET", "/node/info", BODY_NONE, no_query, NULL, gate_node_info, PERMISSION_GET_INFO },
	{ "GET", "/node/capacity", BODY_NONE, no_query, NULL, gate_capacity, PERMISSION_GET_CAPACITY },
	{ "GET", "/node/events", BODY_NONE, events_query, NULL, gate_events, PERMISSION_GET_EVENTS },
	{ "GET", "/node/drain", BODY_NONE, no_query, NULL, gate_drain_get, PERMISSION_GET_CAPACITY },
	{ "PUT", "/node/drain", BODY_JSON, no_query, NULL, gate_drain_put, PERMISSION_SET_DRAIN },
	{ "DELETE", "/node/drain", BODY_NONE, no_query, NULL, gate_drain_delete, PERMISSION_SET_DRAIN },
	{ "GET", "/node/secrets", BODY_NONE, list_query, NULL, gate_list_secrets, PERMISSION_LIST_SECRETS },
	{ "PUT", "/node/secrets/{}", BODY_SECRET, no_query, NULL, gate_put_secret, PERMISSION_PUT_SECRET },
	{ "GET", "/node/secrets/{}", BODY_NONE, no_query, NULL, gate_get_secret, PERMISSION_GET_SECRET },
	{ "DELETE", "/node/secrets/{}", BODY_NONE, no_query, NULL, gate_delete_secret, PERMISSION_DELETE_SECRET },
	{ "GET", "/node/doctor", BODY_NONE, no_query, NULL, gate_doctor, PERMISSION_EXAMINE },
	{ "GET", "/node/whoami", BODY_NONE, no_query, NULL, gate_whoami, PERMISSION_NONE },
	{ "GET", "/node/principals", BODY_NONE, no_query, NULL, gate_principals, PERMISSION_LIST_PRINCIPALS },
	{ "GET", "/node/grants", BODY_NONE, grants_query, NULL, gate_grants, PERMISSION_LIST_GRANTS },
};

/* Any method, path and query below it are the function's. */
const struct route gate_proxy_route = {
	"any", "/proxy/{}", BODY_EVENT, qualified_query, gate_proxy_begin, gate_invoke, PERMISSION_INVOKE_FUNCTION,
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
