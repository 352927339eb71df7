/* Versions, aliases and the limit of calls at once: what hangs on a function. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/catalog.h"
#include "agent/config.h"
#include "agent/feed.h"
#include "agent/gate-internal.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"

enum { EDIT_BODY_MAX = 64 << 10 /* fcnode-api(7), Limits */ };

static void tell(const struct exchange *x, enum feed_kind kind, const char *detail)
{
	feed_add(x->gate->env.feed,
		 &(struct feed_note){ .kind = kind, .tenant = x->tenant, .function = x->target.segment[2], .detail = detail });
}

/* The body's object (an empty body is {}) by the table; keep it while what was read is in use. NULL: answered. */
static json_t *read_body(struct exchange *x, const struct json_field *fields, void *ret)
{
	struct err err = ERR_INIT;
	if (x->body.len > EDIT_BODY_MAX) {
		gate_error(x, API_ENTITY_TOO_LARGE, "the body has more than %d bytes", EDIT_BODY_MAX);
		return NULL;
	}
	json_t *o = x->body.len ? json_parse(x->body.data, x->body.len, "the body", &err) : json_object();
	if (o && json_read(o, fields, 0, ret, "", &err) == 0)
		return o;
	gate_error(x, API_INVALID_ARGUMENT, "%s%s%s", err.text, err.hint[0] ? "; " : "", err.hint);
	json_decref(o);
	return NULL;
}

static bool note_fits(struct exchange *x, const char *note)
{
	if (!note || strlen(note) <= CATALOG_NOTE_MAX)
		return true;
	gate_error(x, API_INVALID_ARGUMENT, "description: at most %d bytes", CATALOG_NOTE_MAX);
	return false;
}

/* false: answered. */
static bool done(struct exchange *x, const struct catalog_result *r)
{
	if (r->code == API_CODE_MAX)
		return true;
	gate_error(x, r->code, "%s", r->message);
	return false;
}

/* ---- versions ------------------------------------------------------------ */

static json_t *version_object(const struct catalog_function *v)
{
	return json_pack("{s:s, s:s, s:o, s:o}", "versionId", v->version, "description", v->note, "createdTime",
			 gate_time(v->published_ms), "lastModifiedTime", gate_time(v->published_ms));
}

static void published(void *arg, const struct catalog_result *r)
{
	struct exchange *x = arg;
	if (!done(x, r))
		return;
	tell(x, FEED_VERSION_PUBLISHED, r->function->version);
	gate_header(x, "Etag", "\"%s-%s\"", r->function->id, r->function->version);
	gate_json(x, 200, version_object(r->function));
}

void gate_publish(struct exchange *x)
{
	static const struct json_field fields[] = { { "description", JF_STR, 0, false, 0, 0 }, { NULL, JF_IGNORE, 0, false, 0, 0 } };
	const char *note = "";
	struct catalog_function *f = gate_function(x);
	autojson json_t *o = f ? read_body(x, fields, &note) : NULL;
	char etag[GATE_ETAG_SIZE];
	if (!o || !note_fits(x, note))
		return;
	snprintf(etag, sizeof(etag), "%s-%" PRIu64, f->id, f->revision);
	if (!gate_precondition(x, "function", f->f.name, etag))
		return;
	gate_defer(x);
	catalog_publish(x->gate->env.catalog, f, note, published, x);
}

void gate_list_versions(struct exchange *x)
{
	const char *direction = http_query(&x->target, "direction"), *token = http_query(&x->target, "nextToken");
	struct catalog_function *page[GATE_PAGE_MAX], *f = gate_function(x);
	bool forward = direction && strcmp(direction, "FORWARD") == 0;
	uint64_t limit, from = 0, more;
	if (!f || !gate_page_limit(x, &limit))
		return;
	if (direction && *direction && !forward && strcmp(direction, "BACKWARD") != 0)
		return gate_error(x, API_INVALID_ARGUMENT, "direction: BACKWARD (the newest first) or FORWARD");
	if (token && *token && (str_to_u64(token, &from) < 0 || from == 0))
		return gate_error(x, API_INVALID_ARGUMENT, "nextToken: not one of this list");
	size_t n = catalog_list_versions(x->gate->env.catalog, f, from, forward, limit, page, &more);
	json_t *list = json_array(), *o = json_object();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, version_object(page[i]));
	json_object_set_new(o, "versions", list);
	json_object_set_new(o, "direction", json_string(forward ? "FORWARD" : "BACKWARD"));
	if (more)
		json_object_set_new(o, "nextToken", json_sprintf("%" PRIu64, more));
	gate_json(x, 200, o);
}

static void version_deleted(void *arg, const struct catalog_result *r)
{
	struct exchange *x = arg;
	if (!done(x, r))
		return;
	tell(x, FEED_VERSION_DELETED, x->target.segment[4]);
	gate_empty(x, 204);
}

void gate_delete_version(struct exchange *x)
{
	struct catalog_function *f = gate_function(x), *v;
	struct catalog *c = x->gate->env.catalog;
	uint64_t number = 0;
	if (!f)
		return;
	if (str_to_u64(x->target.segment[4], &number) < 0 || number == 0)
		return gate_error(x, API_INVALID_ARGUMENT, "versionId: the number of a version");
	v = catalog_find_version(c, f->tenant, f->f.name, number);
	if (!v)
		return gate_error(x, API_VERSION_NOT_FOUND, "function '%s' has no version %" PRIu64, f->f.name, number);
	gate_defer(x);
	catalog_delete_version(c, v, version_deleted, x);
}

/* ---- aliases ------------------------------------------------------------- */

static json_t *alias_object(const struct catalog_alias *a)
{
	return json_pack("{s:s, s:o, s:s, s:o, s:o, s:o}", "aliasName", a->name, "versionId", json_sprintf("%" PRIu64, a->version),
			 "description", a->note, "additionalVersionWeight", catalog_alias_weights_json(a), "createdTime",
			 gate_time(a->created_ms), "lastModifiedTime", gate_time(a->modified_ms));
}

static void alias_etag(const struct catalog_alias *a, char *out, size_t size) { snprintf(out, size, "%s-%" PRIu64, a->id, a->revision); }

static void answer_alias(struct exchange *x, const struct catalog_alias *a)
{
	char etag[GATE_ETAG_SIZE];
	alias_etag(a, etag, sizeof(etag));
	gate_header(x, "Etag", "\"%s\"", etag);
	gate_json(x, 200, alias_object(a));
}

static const struct catalog_alias *find_alias(struct exchange *x, const struct catalog_function *f)
{
	const char *name = x->target.segment[4];
	const struct catalog_alias *a = catalog_find_alias(x->gate->env.catalog, f, name);
	if (!a)
		gate_error(x, API_ALIAS_NOT_FOUND, "function '%s' has no alias '%.80s'", f->f.name, name);
	return a;
}

struct alias_body {
	const char *name, *version, *note;
	json_t *weights;
};

static const struct json_field alias_fields[] = {
	{ "versionId", JF_STR, offsetof(struct alias_body, version), false, 0, 0 },
	{ "description", JF_STR, offsetof(struct alias_body, note), false, 0, 0 },
	{ "additionalVersionWeight", JF_OBJECT, offsetof(struct alias_body, weights), false, 0, 0 },
	{ "aliasName", JF_STR, offsetof(struct alias_body, name), false, 0, 0 },
	{ NULL, JF_IGNORE, 0, false, 0, 0 },
};

/* What the body says into *a. A version that is named without weights takes all calls: rolling back is one request. */
static bool fill_alias(struct exchange *x, const struct alias_body *b, struct catalog_alias *a)
{
	struct err err = ERR_INIT;
	if (!note_fits(x, b->note))
		return false;
	if (b->version && (str_to_u64(b->version, &a->version) < 0 || a->version == 0)) {
		gate_error(x, API_INVALID_ARGUMENT, "versionId: %.40s is no version's number (an alias cannot name LATEST or another alias)",
			   *b->version ? b->version : "\"\"");
		return false;
	}
	if (b->version || b->weights)
		a->nweights = 0;
	if (b->weights && catalog_alias_weights(a, b->weights, &err) < 0) {
		gate_error(x, API_INVALID_ARGUMENT, "%s", err.text);
		return false;
	}
	if (b->note)
		str_copy(a->note, sizeof(a->note), b->note);
	return true;
}

static void alias_put(void *arg, const struct catalog_result *r)
{
	struct exchange *x = arg;
	if (!done(x, r))
		return;
	tell(x, FEED_ALIAS_SET, r->alias->name);
	answer_alias(x, r->alias);
}

void gate_create_alias(struct exchange *x)
{
	struct alias_body b = { .name = NULL };
	struct catalog_alias a = { .version = 0 };
	struct catalog_function *f = gate_function(x);
	autojson json_t *o = f ? read_body(x, alias_fields, &b) : NULL;
	if (!o)
		return;
	if (!b.name || !str_is_name(b.name, CATALOG_ALIAS_MAX) || strcasecmp(b.name, "LATEST") == 0)
		return gate_error(x, API_INVALID_ARGUMENT, "aliasName: letters, digits, _ and -, not beginning with a digit or -, at most %d, "
							   "and not LATEST", CATALOG_ALIAS_MAX);
	if (!b.version)
		return gate_error(x, API_INVALID_ARGUMENT, "versionId: missing; POST .../versions makes a version");
	if (catalog_find_alias(x->gate->env.catalog, f, b.name))
		return gate_error(x, API_ALIAS_EXISTS, "function '%s' already has an alias '%s'; PUT changes it", f->f.name, b.name);
	str_copy(a.name, sizeof(a.name), b.name);
	if (!fill_alias(x, &b, &a))
		return;
	gate_defer(x);
	catalog_put_alias(x->gate->env.catalog, f, &a, alias_put, x);
}

/* The alias that the path names, if If-Match lets it be changed; or answers. */
static const struct catalog_alias *alias_to_change(struct exchange *x, const struct catalog_function *f)
{
	char etag[GATE_ETAG_SIZE];
	const struct catalog_alias *a = f ? find_alias(x, f) : NULL;
	if (!a)
		return NULL;
	alias_etag(a, etag, sizeof(etag));
	return gate_precondition(x, "alias", a->name, etag) ? a : NULL;
}

void gate_update_alias(struct exchange *x)
{
	struct alias_body b = { .name = NULL };
	const struct catalog_function *f = gate_function(x);
	const struct catalog_alias *old = alias_to_change(x, f);
	autojson json_t *o = old ? read_body(x, alias_fields, &b) : NULL;
	if (!o)
		return;
	if (b.name && strcmp(b.name, old->name) != 0)
		return gate_error(x, API_INVALID_ARGUMENT, "aliasName: an alias cannot be renamed");
	struct catalog_alias a = *old;
	if (!fill_alias(x, &b, &a))
		return;
	gate_defer(x);
	catalog_put_alias(x->gate->env.catalog, f, &a, alias_put, x);
}

void gate_list_aliases(struct exchange *x)
{
	const struct catalog_alias *page[GATE_PAGE_MAX];
	const struct catalog_function *f = gate_function(x);
	const char *prefix = http_query(&x->target, "prefix"), *from = http_query(&x->target, "nextToken"), *more;
	uint64_t limit;
	if (!f || !gate_page_limit(x, &limit))
		return;
	size_t n = catalog_list_aliases(x->gate->env.catalog, f, prefix ? prefix : "", from ? from : "", limit, page, &more);
	json_t *list = json_array(), *o = json_object();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, alias_object(page[i]));
	json_object_set_new(o, "aliases", list);
	if (more)
		json_object_set_new(o, "nextToken", json_string(more));
	gate_json(x, 200, o);
}

void gate_get_alias(struct exchange *x)
{
	const struct catalog_function *f = gate_function(x);
	const struct catalog_alias *a = f ? find_alias(x, f) : NULL;
	if (a)
		answer_alias(x, a);
}

static void alias_deleted(void *arg, const struct catalog_result *r)
{
	struct exchange *x = arg;
	if (!done(x, r))
		return;
	tell(x, FEED_ALIAS_DELETED, r->alias->name);
	gate_empty(x, 204);
}

void gate_delete_alias(struct exchange *x)
{
	const struct catalog_function *f = gate_function(x);
	const struct catalog_alias *a = alias_to_change(x, f);
	if (!a)
		return;
	gate_defer(x);
	catalog_delete_alias(x->gate->env.catalog, f, a->name, alias_deleted, x);
}

/* ---- calls at once ------------------------------------------------------- */

static json_t *concurrency_object(const struct catalog_function *f, int64_t calls)
{
	json_t *o = json_object();
	json_object_set_new(o, "functionArn", json_sprintf("acs:fc::%s:functions/%s", f->tenant, f->f.name));
	json_object_set_new(o, "reservedConcurrency", json_integer(calls));
	return o;
}

static void concurrency_set(void *arg, const struct catalog_result *r)
{
	struct exchange *x = arg;
	if (done(x, r))
		gate_json(x, 200, concurrency_object(r->function, catalog_concurrency(x->gate->env.catalog, r->function)));
}

void gate_put_concurrency(struct exchange *x)
{
	static const struct json_field fields[] = {
		{ "reservedConcurrency", JF_INT, 0, true, 0, CATALOG_CONCURRENCY_MAX },
		{ NULL, JF_IGNORE, 0, false, 0, 0 },
	};
	int64_t calls = 0;
	const struct catalog_function *f = gate_function(x);
	autojson json_t *o = f ? read_body(x, fields, &calls) : NULL;
	if (!o)
		return;
	gate_defer(x);
	catalog_set_concurrency(x->gate->env.catalog, f, calls, concurrency_set, x);
}

/* -1: answered, there is none. */
static int64_t find_concurrency(struct exchange *x, const struct catalog_function *f)
{
	int64_t calls = catalog_concurrency(x->gate->env.catalog, f);
	if (calls < 0)
		gate_error(x, API_CONCURRENCY_NOT_FOUND, "function '%s' has no reservedConcurrency", f->f.name);
	return calls;
}

void gate_get_concurrency(struct exchange *x)
{
	const struct catalog_function *f = gate_function(x);
	int64_t calls = f ? find_concurrency(x, f) : -1;
	if (calls >= 0)
		gate_json(x, 200, concurrency_object(f, calls));
}

static void concurrency_deleted(void *arg, const struct catalog_result *r)
{
	struct exchange *x = arg;
	if (done(x, r))
		gate_empty(x, 204);
}

void gate_delete_concurrency(struct exchange *x)
{
	const struct catalog_function *f = gate_function(x);
	if (!f || find_concurrency(x, f) < 0)
		return;
	gate_defer(x);
	catalog_set_concurrency(x->gate->env.catalog, f, -1, concurrency_deleted, x);
}

void gate_list_concurrency(struct exchange *x)
{
	struct catalog *c = x->gate->env.catalog;
	const char *only = http_query(&x->target, "functionName"), *from = http_query(&x->target, "nextToken"), *more;
	uint64_t limit;
	if (!gate_page_limit(x, &limit))
		return;
	json_t *list = json_array(), *o = json_object();
	size_t n = 0;
	more = only && *only ? only : from ? from : "";
	while (more && n < limit) {
		struct catalog_function *f;
		if (catalog_list(c, x->tenant, "", more, 1, &f, &more) == 0 || (only && *only && strcmp(f->f.name, only) != 0))
			break;
		int64_t calls = catalog_concurrency(c, f);
		if (calls < 0)
			continue;
		json_array_append_new(list, concurrency_object(f, calls));
		n++;
	}
	json_object_set_new(o, "configs", list);
	if (more && !(only && *only))
		json_object_set_new(o, "nextToken", json_string(more));
	gate_json(x, 200, o);
}
