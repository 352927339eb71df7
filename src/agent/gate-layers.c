/* Layers: versions of bundles under a name, which functions show at /opt. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/body.h"
#include "agent/catalog.h"
#include "agent/config.h"
#include "agent/feed.h"
#include "agent/gate-internal.h"
#include "agent/worker.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"

enum { RUNTIMES_MAX = 32, RUNTIME_NAME_MAX = 64 };

/* A version on its way: its body read and the zip written to a file by the worker, the zip stored, then the version. */
struct creation {
	struct worker_job job; /* first: a job is its creation */
	struct exchange *x;    /* the loop's: nothing for the worker */
	struct buf body;
	int blob_dir;
	uint64_t max_zip;      /* what the quota leaves */
	enum api_code refused; /* what the worker came to: API_CODE_MAX, or why not, with err */
	struct err err;
	int stored;            /* < 0: the zip could not be written */
	struct upload *upload; /* the zip; NULL: the body named a blob */
	struct upload_result code;
	char note[CATALOG_NOTE_MAX + 1], license[CATALOG_LICENSE_MAX + 1];
	char *runtimes;
};

/* ---- what clients see ---------------------------------------------------- */

static void arn_of(const struct catalog_layer *l, char out[FUNCTION_LAYER_ARN_SIZE])
{
	struct function_layer name = { .version = l->version };
	str_copy(name.account, sizeof(name.account), l->tenant);
	str_copy(name.name, sizeof(name.name), l->name);
	function_layer_arn(&name, out);
}

json_t *gate_layer_arn(const struct catalog_layer *l)
{
	char arn[FUNCTION_LAYER_ARN_SIZE];
	arn_of(l, arn);
	return json_string(arn);
}

static json_t *layer_object(const struct catalog_layer *l)
{
	return json_pack("{s:s, s:I, s:o, s:s, s:s, s:o, s:I, s:s, s:{s:s, s:s+}, s:s, s:o}", "layerName", l->name, "version",
			 (json_int_t)l->version, "layerVersionArn", gate_layer_arn(l), "description", l->note, "license", l->license,
			 "compatibleRuntime", json_loads(l->runtimes, 0, NULL), "codeSize", (json_int_t)l->code_size, "codeChecksum",
			 l->checksum, "code", "repositoryType", "blob", "location", "/blobs/sha256:", l->digest, "acl", "0", "createTime",
			 gate_time(l->created_ms));
}

static void tell(const struct exchange *x, enum feed_kind kind, const struct catalog_layer *l)
{
	char detail[FEED_DETAIL_SIZE];
	snprintf(detail, sizeof(detail), "%.*s:%" PRIu64, (int)sizeof(detail) - 22, l->name, l->version);
	feed_add(x->gate->env.feed, &(struct feed_note){ .kind = kind, .tenant = x->tenant, .detail = detail });
}

/* ---- create -------------------------------------------------------------- */

static void creation_free(struct exchange *x)
{
	struct creation *d = x->op;
	x->op = NULL;
	if (!d)
		return;
	buf_fini(&d->body);
	upload_free(d->upload);
	free(d->runtimes);
	free(d);
}

struct fields {
	const char *note, *license;
	json_t *runtimes;
};

static int check_runtimes(json_t *list, struct err *err)
{
	size_t i;
	json_t *v;
	if (json_array_size(list) > RUNTIMES_MAX)
		return err_set(err, 0, "compatibleRuntime: at most %d", RUNTIMES_MAX);
	json_array_foreach(list, i, v) {
		size_t len = json_is_string(v) ? json_string_length(v) : 0;
		if (len == 0 || len > RUNTIME_NAME_MAX)
			return err_set(err, 0, "compatibleRuntime[%zu]: the name of a runtime, at most %d bytes", i, RUNTIME_NAME_MAX);
	}
	return 0;
}

static int read_fields(struct creation *d, json_t *object, struct err *err)
{
	static const struct json_field fields[] = {
		{ "description", JF_STR, offsetof(struct fields, note), false, 0, 0 },
		{ "license", JF_STR, offsetof(struct fields, license), false, 0, 0 },
		{ "compatibleRuntime", JF_ARRAY, offsetof(struct fields, runtimes), false, 0, 0 },
		{ NULL, JF_IGNORE, 0, false, 0, 0 },
	};
	struct fields f = { "", "", NULL };
	int r = json_read(object, fields, 0, &f, "", err);
	if (r == 0 && strlen(f.note) > CATALOG_NOTE_MAX)
		r = err_set(err, 0, "description: at most %d bytes", CATALOG_NOTE_MAX);
	if (r == 0 && strlen(f.license) > CATALOG_LICENSE_MAX)
		r = err_set(err, 0, "license: at most %d bytes", CATALOG_LICENSE_MAX);
	if (r == 0)
		r = check_runtimes(f.runtimes, err);
	if (r < 0)
		return r;
	str_copy(d->note, sizeof(d->note), f.note);
	str_copy(d->license, sizeof(d->license), f.license);
	d->runtimes = f.runtimes ? json_dumps(f.runtimes, JSON_COMPACT) : strdup("[]");
	return d->runtimes ? 0 : err_set(err, ENOMEM, "read the body");
}

/* In the worker's thread. */
static void read_body(struct worker_job *job)
{
	struct creation *d = (struct creation *)job;
	struct body b = { .zip = BUF_INIT(0) };
	int r = body_parse(d->body.data ? d->body.data : "", d->body.len, GATE_ZIP_MAX, &b, &d->err);
	buf_fini(&d->body);
	if (r != BODY_OK) {
		d->refused = r == BODY_E_TOO_LARGE ? API_ENTITY_TOO_LARGE : API_INVALID_ARGUMENT;
		return;
	}
	if (!b.has_zip && !b.has_blob)
		r = err_set(&d->err, 0, "code: missing; give code.zipFile or code.blob");
	if (r == 0)
		r = read_fields(d, b.object, &d->err);
	if (r < 0)
		d->refused = API_INVALID_ARGUMENT;
	else if (b.has_zip)
		d->stored = upload_whole(&d->upload, d->blob_dir, d->max_zip, &b.zip, &d->code, &d->err);
	else
		str_copy(d->code.sha256, sizeof(d->code.sha256), b.digest);
	body_fini(&b);
}

static void created(void *arg, const struct catalog_result *r)
{
	struct exchange *x = arg;
	if (r->code != API_CODE_MAX)
		return gate_error(x, r->code, "%s", r->message);
	tell(x, FEED_LAYER_CREATED, r->layer);
	gate_json(x, 200, layer_object(r->layer));
}

static void create(struct exchange *x)
{
	const struct creation *d = x->op;
	const struct catalog_layer_wish w = { .name = x->target.segment[2], .digest = d->code.sha256, .note = d->note, .license = d->license,
					      .runtimes = d->runtimes };
	catalog_create_layer(x->gate->env.catalog, x->tenant, &w, created, x);
}

static void zip_stored(void *arg, const struct catalog_result *r)
{
	struct exchange *x = arg;
	if (r->code != API_CODE_MAX)
		gate_error(x, r->code, "%s", r->message);
	else
		create(x);
}

static void body_read(struct worker_job *job, bool ran)
{
	struct creation *d = (struct creation *)job;
	struct exchange *x = d->x;
	gate_body_done(x);
	if (!ran)
		return gate_error(x, API_SHUTTING_DOWN, "the agent is shutting down");
	if (d->refused != API_CODE_MAX)
		return gate_error(x, d->refused, "%s%s%s", d->err.text, d->err.hint[0] ? "; " : "", d->err.hint);
	if (d->stored < 0)
		return gate_upload_failed(x, d->stored);
	x->charge = catalog_discharge(x->charge);
	if (d->upload)
		catalog_put_blob(x->gate->env.catalog, x->tenant, take_ptr(d->upload), &d->code, zip_stored, x);
	else
		create(x);
}

/* Part 2 of the path, or answers and returns NULL. */
static const char *layer_name(struct exchange *x)
{
	const char *name = x->target.segment[2];
	if (str_is_name(name, FUNCTION_NAME_MAX))
		return name;
	gate_error(x, API_INVALID_ARGUMENT, "layerName: letters, digits, _ and -, not beginning with a digit or -, at most %d",
		   FUNCTION_NAME_MAX);
	return NULL;
}

void gate_create_layer(struct exchange *x)
{
	struct catalog *c = x->gate->env.catalog;
	if (!layer_name(x))
		return;
	struct creation *d = calloc(1, sizeof(*d));
	/* the zip in it cannot be larger */
	uint64_t most = x->body.len / 4 * 3 + 3, max = x->gate->env.config->max_code_bytes;
	x->charge = d ? catalog_charge(c, x->tenant, NULL, most < max ? most : max) : NULL;
	if (!x->charge) {
		free(d);
		return gate_error(x, API_INTERNAL, "out of memory");
	}
	*d = (struct creation){ .job = { .run = read_body, .done = body_read }, .x = x, .body = x->body, .blob_dir = catalog_blob_dir(c),
				.max_zip = x->charge->max, .refused = API_CODE_MAX };
	x->body = (struct buf)BUF_INIT(0);
	x->op = d;
	x->on_free = creation_free;
	if (worker_submit(x->gate->env.worker, &d->job) == WORKER_OK)
		gate_defer(x); /* done() comes from the loop, not from in there */
	else
		gate_error(x, API_RESOURCE_THROTTLED, "%d bodies wait to be read (body-queue); try again", WORKER_QUEUE_MAX);
}

/* ---- get, list, delete --------------------------------------------------- */

static struct catalog_layer *find(struct exchange *x, const char *name, uint64_t version)
{
	struct catalog_layer *l = catalog_find_layer(x->gate->env.catalog, x->tenant, name, version);
	if (!l)
		gate_error(x, API_LAYER_NOT_FOUND, "layer '%s' has no version %" PRIu64, name, version);
	return l;
}

static struct catalog_layer *named(struct exchange *x)
{
	const char *name = layer_name(x);
	uint64_t version = 0;
	if (!name)
		return NULL;
	if (str_to_u64(x->target.segment[4], &version) == 0 && version > 0 && version <= INT64_MAX)
		return find(x, name, version);
	gate_error(x, API_INVALID_ARGUMENT, "version: the number of a version of the layer");
	return NULL;
}

void gate_get_layer(struct exchange *x)
{
	const struct catalog_layer *l = named(x);
	if (l)
		gate_json(x, 200, layer_object(l));
}

void gate_get_layer_by_arn(struct exchange *x)
{
	struct function_layer name;
	struct err err = ERR_INIT;
	if (function_layer_parse(x->target.segment[2], "arn", &name, &err) < 0)
		return gate_error(x, API_INVALID_ARGUMENT, "%s; %s", err.text, err.hint);
	if (*name.account && strcmp(name.account, x->tenant) != 0)
		return gate_error(x, API_LAYER_NOT_FOUND, "tenant '%s' sees layers of its own only, not those of account '%s'", x->tenant,
				  name.account);
	const struct catalog_layer *l = find(x, name.name, name.version);
	if (l)
		gate_json(x, 200, layer_object(l));
}

/* What other tenants would share, and what the platform would bring along: there is neither here. */
static bool lists_others(struct exchange *x)
{
	const char *const names[] = { "public", "official" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *v = http_query(&x->target, names[i]);
		if (v && strcmp(v, "true") == 0)
			return true;
	}
	return false;
}

void gate_list_layers(struct exchange *x)
{
	struct catalog_layer *page[GATE_PAGE_MAX];
	const char *prefix = http_query(&x->target, "prefix"), *from = http_query(&x->target, "nextToken"), *more = NULL;
	uint64_t limit;
	if (!gate_page_limit(x, &limit))
		return;
	size_t n = lists_others(x) ? 0
				   : catalog_list_layers(x->gate->env.catalog, x->tenant, prefix ? prefix : "", from ? from : "", limit, page, &more);
	json_t *list = json_array(), *o = json_object();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, layer_object(page[i]));
	json_object_set_new(o, "layers", list);
	if (more)
		json_object_set_new(o, "nextToken", json_string(more));
	gate_json(x, 200, o);
}

void gate_list_layer_versions(struct exchange *x)
{
	struct catalog_layer *page[GATE_PAGE_MAX];
	const char *name = layer_name(x), *start = http_query(&x->target, "startVersion");
	uint64_t limit, from = 0, more;
	if (!name || !gate_page_limit(x, &limit))
		return;
	if (start && *start && str_to_u64(start, &from) < 0)
		return gate_error(x, API_INVALID_ARGUMENT, "startVersion: the number of a version");
	size_t n = catalog_list_layer_versions(x->gate->env.catalog, x->tenant, name, from, limit, page, &more);
	json_t *list = json_array(), *o = json_object();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, layer_object(page[i]));
	json_object_set_new(o, "layers", list);
	if (more)
		json_object_set_new(o, "nextVersion", json_integer((json_int_t)more));
	gate_json(x, 200, o);
}

static void deleted(void *arg, const struct catalog_result *r)
{
	struct exchange *x = arg;
	if (r->code != API_CODE_MAX)
		return gate_error(x, r->code, "%s", r->message);
	tell(x, FEED_LAYER_DELETED, r->layer);
	gate_empty(x, 204);
}

void gate_delete_layer(struct exchange *x)
{
	struct catalog_layer *l = named(x);
	if (!l)
		return;
	gate_defer(x);
	catalog_delete_layer(x->gate->env.catalog, l, deleted, x);
}
