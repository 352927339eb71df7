/* The function API's own routes: create, list, get, update, delete, code, blobs. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/body.h"
#include "agent/catalog.h"
#include "agent/config.h"
#include "agent/feed.h"
#include "agent/gate-internal.h"
#include "agent/worker.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"

/* A create or update on its way: read and the zip written to a file by the worker, the zip stored, then the function. */
struct deploy {
	struct worker_job job;        /* first: a job is its deploy */
	struct exchange *x;           /* the loop's: nothing for the worker */
	const struct config *config;
	struct catalog_function *old; /* update: what it was computed from */
	struct buf body;
	int blob_dir;
	uint64_t max_zip;             /* what the quota leaves */
	enum api_code refused;        /* what the worker came to: API_CODE_MAX, or why not, with err */
	struct err err;
	int stored;                   /* < 0: the zip could not be written */
	struct function f;
	bool has_code;
	struct upload *upload;        /* the zip; NULL: none came */
	struct upload_result code;    /* only sha256 is set for code.blob */
};

json_t *gate_time(int64_t ms)
{
	char text[40];
	time_t s = (time_t)(ms / 1000);
	struct tm tm;
	gmtime_r(&s, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_string(text);
}

static json_t *function_object(const struct catalog_function *f)
{
	json_t *o = function_to_json(&f->f);
	if (!o)
		return NULL;
	json_object_set_new(o, "functionId", json_string(f->id));
	json_object_set_new(o, "codeSize", json_integer((json_int_t)f->code_size));
	json_object_set_new(o, "codeChecksum", json_string(f->checksum));
	json_object_set_new(o, "createdTime", gate_time(f->created_ms));
	json_object_set_new(o, "lastModifiedTime", gate_time(f->modified_ms));
	json_object_set_new(o, "instanceIsolationMode", json_string("REQUEST_EXCLUSIVE"));
	if (f->f.role)
		json_object_set_new(o, "role", json_sprintf("acs:ram::%s:role/%s", f->tenant, f->f.role));
	json_t *layers = json_array();
	for (size_t i = 0; i < f->nlayers; i++)
		json_array_append_new(layers, json_pack("{s:o, s:I}", "arn", gate_layer_arn(f->layer[i]), "size", (json_int_t)f->layer[i]->code_size));
	json_object_set_new(o, "layers", layers);
	return o;
}

static void etag_of(const struct catalog_function *f, char *out, size_t size)
{
	snprintf(out, size, "%s-%" PRIu64, f->id, f->revision);
}

static void answer_function(struct exchange *x, const struct catalog_function *f)
{
	char etag[GATE_ETAG_SIZE];
	etag_of(f, etag, sizeof(etag));
	gate_header(x, "Etag", "\"%s\"", etag);
	gate_json(x, 200, function_object(f));
}

const char *gate_function_name(struct exchange *x)
{
	const char *name = x->target.segment[2];
	if (str_is_name(name, FUNCTION_NAME_MAX))
		return name;
	gate_error(x, API_INVALID_ARGUMENT, "functionName: letters, digits, _ and -, not beginning with a digit or -, at most %d",
		   FUNCTION_NAME_MAX);
	return NULL;
}

struct catalog_function *gate_function(struct exchange *x)
{
	const char *name = gate_function_name(x);
	if (!name)
		return NULL;
	struct catalog_function *f = catalog_find(x->gate->env.catalog, x->tenant, name);
	if (!f)
		gate_error(x, API_FUNCTION_NOT_FOUND, "function '%s' does not exist", name);
	return f;
}

struct catalog_function *gate_qualified(struct exchange *x)
{
	struct catalog_function *f;
	struct err err = ERR_INIT;
	const char *name = gate_function_name(x);
	if (!name)
		return NULL;
	enum api_code code = catalog_resolve(x->gate->env.catalog, x->tenant, name, http_query(&x->target, "qualifier"), false, &f, &err);
	if (code == API_CODE_MAX)
		return f;
	gate_error(x, code, "%s", err.text);
	return NULL;
}

bool gate_precondition(struct exchange *x, const char *what, const char *name, const char *etag)
{
	const char *match = gate_request_header(x, "If-Match");
	if (!match || http_etag_matches(match, etag))
		return true;
	gate_error(x, API_PRECONDITION_FAILED, "%s '%s' has changed: its Etag is \"%s\" now", what, name, etag);
	return false;
}

static bool precondition(struct exchange *x, const struct catalog_function *f)
{
	char etag[GATE_ETAG_SIZE];
	etag_of(f, etag, sizeof(etag));
	return gate_precondition(x, "function", f->f.name, etag);
}

/* ---- create and update --------------------------------------------------- */

static void deploy_free(struct exchange *x)
{
	struct deploy *d = x->op;
	x->op = NULL;
	if (!d)
		return;
	buf_fini(&d->body);
	upload_free(d->upload);
	function_fini(&d->f);
	catalog_function_unref(d->old);
	free(d);
}

static void tell(const struct exchange *x, enum feed_kind kind, const char *name)
{
	feed_add(x->gate->env.feed, &(struct feed_note){ .kind = kind, .tenant = x->tenant, .function = name });
}

static void deployed(void *arg, const struct catalog_result *r)
{
	struct exchange *x = arg;
	struct deploy *d = x->op;
	if (r->code != API_CODE_MAX)
		return gate_error(x, r->code, "%s", r->message);
	tell(x, d->old ? FEED_FUNCTION_UPDATED : FEED_FUNCTION_CREATED, r->function->f.name);
	catalog_function_unref(take_ptr(d->old)); /* its code may go before the answer does */
	answer_function(x, r->function);
}

static void store_function(struct exchange *x)
{
	struct deploy *d = x->op;
	struct catalog *c = x->gate->env.catalog;
	const char *digest = d->has_code ? d->code.sha256 : NULL;
	if (d->old)
		catalog_update(c, d->old, &d->f, digest, deployed, x);
	else
		catalog_create(c, x->tenant, &d->f, digest, deployed, x);
}

static void zip_stored(void *arg, const struct catalog_result *r)
{
	struct exchange *x = arg;
	if (r->code != API_CODE_MAX)
		gate_error(x, r->code, "%s", r->message);
	else
		store_function(x);
}

void gate_upload_failed(struct exchange *x, int result)
{
	char text[320];
	bool bound = x->charge && x->charge->bound;
	uint64_t max = x->charge ? x->charge->max : 0;
	x->received = 0; /* what is swallowed from here on counts anew, and takes nothing from others */
	x->upload = upload_free(x->upload);
	x->charge = catalog_discharge(x->charge);
	if (result == -EMSGSIZE && bound) {
		catalog_quota_text(x->gate->env.catalog, x->tenant, text, sizeof(text));
		gate_error(x, API_LIMIT_EXCEEDED, "%s", text);
	} else if (result == -EMSGSIZE) {
		gate_error(x, API_ENTITY_TOO_LARGE, "the code has more than %" PRIu64 " bytes (max-code-bytes, or what the "
						    "bundle of that digest has)", max);
	} else {
		gate_error(x, result == -ENOSPC || result == -EDQUOT ? API_STORAGE_FULL : API_INTERNAL, "store the code: %s",
			   strerror(-result));
	}
}

/* The config's ceilings over what the manifest's own ranges allow. */
static bool within_limits(struct deploy *d)
{
	const struct config *c = d->config;
	const struct function *f = &d->f;
	const char *memory_limit, *cpu_limit;
	uint64_t memory = config_ceiling(c, CONFIG_MEMORY, &memory_limit), cpu = config_ceiling(c, CONFIG_CPU, &cpu_limit);
	const struct {
		const char *field, *limit;
		uint64_t value, max;
	} checks[] = {
		{ "memorySize", memory_limit, (uint64_t)f->memory_mb << 20, memory },
		{ "cpu", cpu_limit, f->cpu_milli, cpu },
		{ "diskSize", "max-tmp", (uint64_t)f->disk_mb << 20, c->max_tmp_bytes },
		{ "timeout", "max-timeout", (uint64_t)f->timeout_s * 1000, c->max_timeout_ms },
	};
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		if (checks[i].value <= checks[i].max)
			continue;
		err_set(&d->err, 0, "%s: more than this node allows (%s is %" PRIu64 ")", checks[i].field, checks[i].limit,
			checks[i].max);
		d->refused = API_INVALID_ARGUMENT;
		return false;
	}
	return true;
}

/* The object into d->f; false when it was refused. */
static bool read_function(struct deploy *d, const struct body *b)
{
	int r = 0;
	if (d->old) {
		const struct function *old = &d->old->f; /* never changes once it is visible */
		autojson json_t *stored = function_to_json(old);
		r = stored ? function_parse(stored, NULL, &d->f, &d->err) : err_set(&d->err, ENOMEM, "copy the function");
		if (r == 0)
			r = function_update(&d->f, b->object, &d->err);
		if (r == 0 && strcmp(d->f.name, old->name) != 0)
			r = err_set(&d->err, 0, "functionName: a function cannot be renamed");
	} else {
		r = function_parse(b->object, NULL, &d->f, &d->err);
	}
	d->has_code = b->has_zip || b->has_blob;
	if (r == 0 && !d->old && !d->has_code)
		r = err_set(&d->err, 0, "code: missing; give code.zipFile or code.blob");
	if (b->has_blob)
		str_copy(d->code.sha256, sizeof(d->code.sha256), b->digest);
	if (r < 0)
		d->refused = API_INVALID_ARGUMENT;
	return r == 0 && within_limits(d);
}

/* In the worker's thread. */
static void read_body(struct worker_job *job)
{
	struct deploy *d = (struct deploy *)job;
	struct body b = { .zip = BUF_INIT(0) };
	int r = body_parse(d->body.data ? d->body.data : "", d->body.len, GATE_ZIP_MAX, &b, &d->err);
	buf_fini(&d->body);
	if (r != BODY_OK) {
		d->refused = r == BODY_E_TOO_LARGE ? API_ENTITY_TOO_LARGE : API_INVALID_ARGUMENT;
		return;
	}
	if (read_function(d, &b) && b.has_zip)
		d->stored = upload_whole(&d->upload, d->blob_dir, d->max_zip, &b.zip, &d->code, &d->err);
	body_fini(&b);
}

/* Whoever can give a function a role can have its code do what the role may. The same role again is no gift. */
static bool may_pass_role(struct exchange *x, const struct deploy *d)
{
	const char *role = d->f.role, *account = d->f.role_account;
	if (!role || (d->old && d->old->f.role && strcmp(role, d->old->f.role) == 0))
		return true;
	if (!gate_may(x, PERMISSION_PASS_ROLE, NULL))
		return false;
	const struct principal *p = principals_find(x->principals, role);
	if (p && p->is_function && strcmp(p->tenant, x->tenant) == 0 && (!account || strcmp(account, x->tenant) == 0))
		return true;
	gate_error(x, API_INVALID_ARGUMENT, "role: tenant '%s' has no role '%s' for functions; fcnode-principals(5) describes one", x->tenant,
		   role);
	return false;
}

static void body_read(struct worker_job *job, bool ran)
{
	struct deploy *d = (struct deploy *)job;
	struct exchange *x = d->x;
	gate_body_done(x);
	if (!ran)
		return gate_error(x, API_SHUTTING_DOWN, "the agent is shutting down");
	if (d->refused == API_CODE_MAX && (!may_pass_role(x, d) || !gate_may_use_secrets(x, &d->f, d->old ? &d->old->f : NULL)))
		return;
	if (d->refused == API_CODE_MAX && !d->old && !gate_may(x, PERMISSION_CREATE_FUNCTION, d->f.name))
		return; /* the name is known only now */
	if (d->refused != API_CODE_MAX)
		return gate_error(x, d->refused, "%s%s%s", d->err.text, d->err.hint[0] ? "; " : "", d->err.hint);
	if (d->stored < 0)
		return gate_upload_failed(x, d->stored);
	x->charge = catalog_discharge(x->charge);
	if (d->upload)
		catalog_put_blob(x->gate->env.catalog, x->tenant, take_ptr(d->upload), &d->code, zip_stored, x);
	else
		store_function(x);
}

static void deploy(struct exchange *x, struct catalog_function *old)
{
	struct catalog *c = x->gate->env.catalog;
	const struct config *config = x->gate->env.config;
	struct deploy *d = calloc(1, sizeof(*d));
	/* the zip in it cannot be larger */
	uint64_t most = x->body.len / 4 * 3 + 3, max = config->max_code_bytes;
	x->charge = d ? catalog_charge(c, x->tenant, NULL, most < max ? most : max) : NULL;
	if (!x->charge) {
		free(d);
		return gate_error(x, API_INTERNAL, "out of memory");
	}
	*d = (struct deploy){ .job = { .run = read_body, .done = body_read }, .x = x, .config = config, .body = x->body,
			      .blob_dir = catalog_blob_dir(c), .max_zip = x->charge->max, .refused = API_CODE_MAX };
	x->body = (struct buf)BUF_INIT(0);
	function_init(&d->f);
	d->old = old ? catalog_function_ref(old) : NULL;
	x->op = d;
	x->on_free = deploy_free;
	if (worker_submit(x->gate->env.worker, &d->job) == WORKER_OK)
		gate_defer(x); /* done() comes from the loop, not from in there */
	else
		gate_error(x, API_RESOURCE_THROTTLED, "%d bodies wait to be read (body-queue); try again", WORKER_QUEUE_MAX);
}

void gate_create(struct exchange *x) { deploy(x, NULL); }

void gate_update(struct exchange *x)
{
	struct catalog_function *f = gate_function(x);
	if (f && precondition(x, f))
		deploy(x, f);
}

/* ---- list, get, delete --------------------------------------------------- */

bool gate_page_limit(struct exchange *x, uint64_t *ret)
{
	const char *text = http_query(&x->target, "limit");
	*ret = GATE_PAGE_DEFAULT;
	if (!text || (str_to_u64(text, ret) == 0 && *ret >= 1 && *ret <= GATE_PAGE_MAX))
		return true;
	gate_error(x, API_INVALID_ARGUMENT, "limit: a number from 1 to %d", GATE_PAGE_MAX);
	return false;
}

void gate_list(struct exchange *x)
{
	struct catalog_function *page[GATE_PAGE_MAX];
	const char *prefix = http_query(&x->target, "prefix"), *from = http_query(&x->target, "nextToken"), *more;
	uint64_t limit;
	if (!gate_page_limit(x, &limit))
		return;
	size_t n = catalog_list(x->gate->env.catalog, x->tenant, prefix ? prefix : "", from ? from : "", limit, page, &more);
	json_t *list = json_array(), *o = json_object();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, function_object(page[i]));
	json_object_set_new(o, "functions", list);
	if (more)
		json_object_set_new(o, "nextToken", json_string(more));
	gate_json(x, 200, o);
}

void gate_get(struct exchange *x)
{
	struct catalog_function *f = gate_qualified(x);
	if (f)
		answer_function(x, f);
}

static void deleted(void *arg, const struct catalog_result *r)
{
	struct exchange *x = arg;
	if (r->code != API_CODE_MAX)
		return gate_error(x, r->code, "%s", r->message);
	tell(x, FEED_FUNCTION_DELETED, x->target.segment[2]);
	gate_empty(x, 204);
}

void gate_delete(struct exchange *x)
{
	struct catalog_function *f = gate_function(x);
	if (!f || !precondition(x, f))
		return;
	gate_defer(x);
	catalog_delete(x->gate->env.catalog, f, deleted, x);
}

/* ---- code ---------------------------------------------------------------- */

void gate_get_code(struct exchange *x)
{
	struct catalog_function *f = gate_qualified(x);
	if (!f)
		return;
	char url[100];
	snprintf(url, sizeof(url), "/blobs/sha256:%s", f->digest);
	gate_json(x, 200, json_pack("{s:s, s:s, s:s+}", "url", url, "checksum", f->checksum, "digest", "sha256:", f->digest));
}

static bool blob_digest(struct exchange *x, char digest[BODY_DIGEST])
{
	if (body_digest(x->target.segment[1], digest))
		return true;
	gate_error(x, API_INVALID_ARGUMENT, "the path must be /blobs/sha256:<64 lower-case hex digits>");
	return false;
}

void gate_put_blob_begin(struct exchange *x)
{
	char digest[BODY_DIGEST];
	struct err err = ERR_INIT;
	struct catalog *c = x->gate->env.catalog;
	uint64_t want = x->gate->env.config->max_code_bytes, length;
	if (!blob_digest(x, digest))
		return;
	/* a length that is said is all that is charged; it was held against max-code-bytes before */
	const char *text = gate_request_header(x, "Content-Length");
	if (text && str_to_u64(text, &length) == 0)
		want = length;
	x->charge = catalog_charge(c, x->tenant, digest, want);
	if (!x->charge)
		return gate_error(x, API_INTERNAL, "out of memory");
	if (text && x->charge->bound)
		return gate_upload_failed(x, -EMSGSIZE);
	if (upload_new(&x->upload, catalog_blob_dir(c), x->charge->max, &err) < 0)
		gate_error(x, err.code == ENOSPC ? API_STORAGE_FULL : API_INTERNAL, "%s", err.text);
}

static void blob_stored(void *arg, const struct catalog_result *r)
{
	struct exchange *x = arg;
	if (r->code != API_CODE_MAX)
		return gate_error(x, r->code, "%s", r->message);
	const char *digest = x->target.segment[1];
	gate_json(x, 200, json_pack("{s:s, s:I}", "digest", digest, "size", (json_int_t)x->received));
}

void gate_put_blob(struct exchange *x)
{
	char digest[BODY_DIGEST];
	struct upload_result got;
	if (!blob_digest(x, digest))
		return;
	if (upload_finish(x->upload, &got) < 0)
		return gate_error(x, API_INTERNAL, "out of memory");
	if (got.bytes == 0)
		return gate_error(x, API_INVALID_ARGUMENT, "the bundle is empty");
	if (strcmp(got.sha256, digest) != 0)
		return gate_error(x, API_INVALID_ARGUMENT, "the %" PRIu64 " bytes sent hash to sha256:%s, not to what the path says",
				  got.bytes, got.sha256);
	gate_defer(x);
	struct upload *u = take_ptr(x->upload);
	x->charge = catalog_discharge(x->charge);
	catalog_put_blob(x->gate->env.catalog, x->tenant, u, &got, blob_stored, x);
}

void gate_get_blob(struct exchange *x)
{
	char digest[BODY_DIGEST];
	if (!blob_digest(x, digest))
		return;
	int fd = catalog_open_blob(x->gate->env.catalog, x->tenant, digest);
	if (fd == -ENOENT)
		return gate_error(x, API_BLOB_NOT_FOUND, "no bundle sha256:%s was put by tenant '%s'", digest, x->tenant);
	if (fd < 0)
		return gate_error(x, API_INTERNAL, "open the bundle: %s", strerror(-fd));
	gate_file(x, "application/octet-stream", fd);
}
