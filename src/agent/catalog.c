#include "agent/catalog.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/catalog-internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"

struct catalog_function *catalog_function_ref(struct catalog_function *f)
{
	assert(f);
	f->refs++;
	return f;
}

void catalog_function_unref(struct catalog_function *f)
{
	if (!f || --f->refs > 0)
		return;
	for (size_t i = 0; i < f->nlayers; i++)
		catalog_layer_unref(f->layer[i]);
	if (f->catalog) {
		LIST_REMOVE(f, entry);
		catalog_blob_unref(f->catalog, f->blob, MSG_KIND_CODE);
	}
	function_fini(&f->f);
	free(f);
}

struct catalog_function *catalog_state_new(struct catalog *c, struct blob *b)
{
	struct catalog_function *f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->refs = 1;
	f->catalog = c;
	f->blob = b;
	b->tree[MSG_KIND_CODE].refs++;
	LIST_INSERT_HEAD(&c->states, f, entry);
	str_copy(f->tenant, sizeof(f->tenant), b->tenant);
	str_copy(f->digest, sizeof(f->digest), b->digest);
	str_copy(f->checksum, sizeof(f->checksum), b->checksum);
	str_copy(f->version, sizeof(f->version), "LATEST");
	f->code_size = b->size;
	return f;
}

/* ---- the table in memory ------------------------------------------------- */

static int compare(const struct catalog_function *f, const char *tenant, const char *name)
{
	int r = strcmp(f->tenant, tenant);
	return r ? r : strcmp(f->f.name, name);
}

/* Index of the first function that is not before (tenant, name). */
static size_t lower_bound(const struct catalog *c, const char *tenant, const char *name)
{
	size_t low = 0, high = c->count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (compare(c->functions[mid]->latest, tenant, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct entry *catalog_entry(struct catalog *c, const char *tenant, const char *name)
{
	size_t i = lower_bound(c, tenant, name);
	return i < c->count && compare(c->functions[i]->latest, tenant, name) == 0 ? c->functions[i] : NULL;
}

struct catalog_function *catalog_find(struct catalog *c, const char *tenant, const char *name)
{
	struct entry *e = catalog_entry(c, tenant, name);
	return e ? e->latest : NULL;
}

static bool has_secret(const struct catalog_function *f, const char *secret)
{
	for (size_t i = 0; i < f->f.nsecrets; i++)
		if (strcmp(f->f.secrets[i].name, secret) == 0)
			return true;
	return false;
}

const struct catalog_function *catalog_secret_user(struct catalog *c, const char *tenant, const char *secret)
{
	const struct change *ch;
	TAILQ_FOREACH(ch, &c->changes, entry)
		if (ch->next && strcmp(ch->next->tenant, tenant) == 0 && has_secret(ch->next, secret))
			return ch->next;
	for (size_t i = lower_bound(c, tenant, ""); i < c->count && strcmp(c->functions[i]->latest->tenant, tenant) == 0; i++) {
		const struct entry *e = c->functions[i];
		if (has_secret(e->latest, secret))
			return e->latest;
		for (size_t k = 0; k < e->nversions; k++)
			if (has_secret(e->versions[k], secret))
				return e->versions[k];
	}
	return NULL;
}

size_t catalog_list(struct catalog *c, const char *tenant, const char *prefix, const char *from, size_t limit,
		    struct catalog_function **out, const char **more)
{
	size_t n = 0;
	*more = NULL;
	for (size_t i = lower_bound(c, tenant, strcmp(from, prefix) > 0 ? from : prefix); i < c->count; i++) {
		struct catalog_function *f = c->functions[i]->latest;
		if (strcmp(f->tenant, tenant) != 0 || !str_starts(f->f.name, prefix))
			break;
		if (n == limit) {
			*more = f->f.name;
			break;
		}
		out[n++] = f;
	}
	return n;
}

static size_t tenant_functions(const struct catalog *c, const char *tenant)
{
	size_t n = 0;
	for (size_t i = lower_bound(c, tenant, ""); i < c->count && strcmp(c->functions[i]->latest->tenant, tenant) == 0; i++)
		n++;
	return n;
}

/* Room was made before (reserve). */
static void table_insert(struct catalog *c, struct entry *e)
{
	size_t i = lower_bound(c, e->latest->tenant, e->latest->f.name);
	assert(c->count < c->cap);
	memmove(&c->functions[i + 1], &c->functions[i], (c->count - i) * sizeof(*c->functions));
	c->functions[i] = e;
	c->stats->functions = ++c->count;
}

static void table_remove(struct catalog *c, struct entry *e)
{
	size_t i = lower_bound(c, e->latest->tenant, e->latest->f.name);
	assert(i < c->count && c->functions[i] == e && !e->edit);
	memmove(&c->functions[i], &c->functions[i + 1], (c->count - i - 1) * sizeof(*c->functions));
	c->stats->functions = --c->count;
	catalog_entry_free(e);
}

/* Takes the reference over. */
static struct entry *entry_new(struct catalog_function *f)
{
	struct entry *e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->latest = f;
	e->concurrency = -1;
	return e;
}

/* Room for every change in flight and one more. */
static int reserve(struct catalog *c)
{
	size_t pending = 1;
	struct change *ch;
	TAILQ_FOREACH(ch, &c->changes, entry)
		pending++;
	if (c->count + pending <= c->cap)
		return 0;
	size_t cap = c->cap * 2 + pending + 16;
	struct entry **grown = realloc(c->functions, cap * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	c->functions = grown;
	c->cap = cap;
	return 0;
}

/* ---- changes ------------------------------------------------------------- */

static bool name_is_changing(struct catalog *c, const char *tenant, const char *name)
{
	struct change *ch;
	TAILQ_FOREACH(ch, &c->changes, entry) {
		const struct catalog_function *f = ch->next ? ch->next : ch->old;
		if (f && compare(f, tenant, name) == 0)
			return true;
	}
	return false;
}

bool catalog_is_deleting(struct catalog *c, const struct entry *e)
{
	const struct change *ch;
	TAILQ_FOREACH(ch, &c->changes, entry)
		if (ch->kind == CHANGE_DELETE && compare(ch->old, e->latest->tenant, e->latest->f.name) == 0)
			return true;
	return false;
}

void catalog_change_end(struct change *ch, const struct catalog_result *r)
{
	struct catalog *c = ch->catalog;
	TAILQ_REMOVE(&c->changes, ch, entry);
	if (ch->fn)
		ch->fn(ch->arg, r);
	if (ch->blob)
		catalog_blob_unref(c, ch->blob, ch->tree);
	catalog_layer_unref(ch->layer);
	catalog_function_unref(ch->old);
	catalog_function_unref(ch->next);
	if (ch->made)
		catalog_entry_free(ch->made);
	free(ch->config);
	free(ch);
}

void change_fail(struct change *ch, enum api_code code, const char *fmt, ...)
{
	struct catalog_result r = { .code = code };
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(r.message, sizeof(r.message), fmt, ap);
	va_end(ap);
	catalog_change_end(ch, &r);
}

int catalog_bind_state(sqlite3_stmt *s, const struct catalog_function *f, const char *config)
{
	assert(f);
	writer_text(s, 1, f->tenant);
	writer_text(s, 2, f->f.name);
	writer_text(s, 3, f->id);
	writer_text(s, 4, config);
	writer_text(s, 5, f->digest);
	sqlite3_bind_int64(s, 6, (sqlite3_int64)f->code_size);
	writer_text(s, 7, f->checksum);
	sqlite3_bind_int64(s, 8, f->created_ms);
	sqlite3_bind_int64(s, 9, f->modified_ms);
	return sqlite3_bind_int64(s, 10, (sqlite3_int64)f->revision);
}

/* The function and what hangs on it. */
static int delete_rows(sqlite3 *db, const struct catalog_function *f)
{
	static const char *const sql[] = {
		"DELETE FROM aliases WHERE tenant = ?1 AND name = ?2",
		"DELETE FROM versions WHERE tenant = ?1 AND name = ?2",
		"DELETE FROM functions WHERE tenant = ?1 AND name = ?2",
	};
	int r = 0;
	for (size_t i = 0; i < ARRAY_LEN(sql) && r == 0; i++) {
		autostmt sqlite3_stmt *s = writer_prepare(db, sql[i]);
		if (s) {
			writer_text(s, 1, f->tenant);
			writer_text(s, 2, f->f.name);
		}
		r = writer_step(db, s);
	}
	return r;
}

/* In the writer's thread: ch is not touched by the loop meanwhile. */
static int write_row(struct writer_job *job, sqlite3 *db)
{
	struct change *ch = (struct change *)job;
	if (ch->kind == CHANGE_LAYER)
		return catalog_layer_write(ch, db);
	if (ch->kind != CHANGE_UPDATE) { /* before a create: what a function left that was not served for want of its bundle */
		int r = delete_rows(db, ch->next ? ch->next : ch->old);
		if (r < 0 || ch->kind == CHANGE_DELETE)
			return r;
	}
	autostmt sqlite3_stmt *s = writer_prepare(
		db, "INSERT INTO functions(" CATALOG_COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
		    " ON CONFLICT(tenant, name) DO UPDATE SET id = ?3, config = ?4, digest = ?5, code_size = ?6, checksum = ?7,"
		    " created_ms = ?8, modified_ms = ?9, revision = ?10");
	if (s)
		catalog_bind_state(s, ch->next, ch->config);
	return writer_step(db, s);
}

static void row_written(struct writer_job *job, int result)
{
	struct change *ch = (struct change *)job;
	struct catalog *c = ch->catalog;
	const struct catalog_function *f = ch->next ? ch->next : ch->old;
	if (result < 0) {
		change_fail(ch, result == -ENOSPC ? API_STORAGE_FULL : API_INTERNAL, "store %s '%s': %s", f ? "function" : "layer",
			    f ? f->f.name : ch->layer->name, strerror(-result));
		return;
	}
	if (!f)
		return catalog_layer_written(ch);
	struct entry *e = ch->kind == CHANGE_CREATE ? NULL : catalog_entry(c, f->tenant, f->f.name);
	if (ch->kind == CHANGE_CREATE) {
		table_insert(c, take_ptr(ch->made));
	} else if (ch->kind == CHANGE_DELETE) {
		table_remove(c, e);
	} else {
		catalog_function_unref(e->latest);
		e->latest = catalog_function_ref(ch->next);
	}
	struct catalog_result r = { .code = API_CODE_MAX, .function = ch->next };
	catalog_change_end(ch, &r);
}

void change_commit(struct change *ch)
{
	if (ch->kind == CHANGE_RESTORE) {
		struct catalog_result r = { .code = API_CODE_MAX };
		catalog_change_end(ch, &r);
		return;
	}
	if (ch->kind == CHANGE_LAYER)
		catalog_layer_number(ch);
	ch->job = (struct writer_job){ .db = WRITER_STATE, .run = write_row, .done = row_written };
	if (writer_submit(ch->catalog->writer, &ch->job) == WRITER_E_FULL)
		change_fail(ch, API_RESOURCE_THROTTLED, "the database has %d writes waiting; try again", WRITER_QUEUE_MAX);
}

struct change *catalog_change_new(struct catalog *c, enum change_kind kind, catalog_fn *fn, void *arg)
{
	struct change *ch = calloc(1, sizeof(*ch));
	if (!ch)
		return NULL;
	ch->catalog = c;
	ch->kind = kind;
	ch->tree = MSG_KIND_CODE;
	ch->fn = fn;
	ch->arg = arg;
	TAILQ_INSERT_TAIL(&c->changes, ch, entry);
	return ch;
}

static struct change *change_new(struct catalog *c, enum change_kind kind, struct catalog_function *old, catalog_fn *fn,
				 void *arg)
{
	struct change *ch = catalog_change_new(c, kind, fn, arg);
	if (ch && old)
		ch->old = catalog_function_ref(old);
	return ch;
}

void catalog_fail(catalog_fn *fn, void *arg, enum api_code code, const char *fmt, ...)
{
	struct catalog_result r = { .code = code };
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(r.message, sizeof(r.message), fmt, ap);
	va_end(ap);
	fn(arg, &r);
}

/* The new state of a function, with its row's text. Takes *f over on success. */
static enum api_code fill_next(struct change *ch, struct function *f, struct err *err)
{
	err_set(err, ENOMEM, "store function '%s'", f->name);
	autojson json_t *config = function_to_json(f);
	ch->config = config ? json_dumps(config, JSON_COMPACT) : NULL;
	struct catalog_function *n = ch->next = ch->config ? catalog_state_new(ch->catalog, ch->blob) : NULL;
	if (!n || str_uuid(n->id) < 0)
		return API_INTERNAL;
	n->created_ms = n->modified_ms = clock_real_ms();
	n->revision = 1;
	if (ch->old) {
		memcpy(n->id, ch->old->id, sizeof(n->id));
		n->created_ms = ch->old->created_ms;
		n->revision = ch->old->revision + 1;
	} else {
		ch->made = entry_new(n);
		if (!ch->made)
			return API_INTERNAL;
		catalog_function_ref(n);
	}
	n->f = *f;
	function_init(f); /* what it pointed to is the snapshot's now */
	return catalog_take_layers(ch->catalog, n, ch->old, err);
}

static void tenant_known(void *arg, const struct msg_tenant_added *m)
{
	struct change *ch = arg;
	if (m->code)
		change_fail(ch, m->code == ENOSPC ? API_LIMIT_EXCEEDED : API_INTERNAL, "%s", m->text);
	else
		catalog_want_layer(ch);
}

void catalog_change_begin(struct change *ch)
{
	if (link_tenant_add(ch->catalog->link, ch->blob->tenant, tenant_known, ch) != LINK_OK)
		change_fail(ch, API_RESOURCE_THROTTLED, "keeper has %d requests in flight; try again", LINK_REQUESTS_MAX);
}

static void change_begin(struct change *ch, const char *tenant, struct function *f, const char *digest)
{
	struct catalog *c = ch->catalog;
	struct err err = ERR_INIT;
	ch->blob = catalog_blob(c, tenant, digest);
	if (!ch->blob) {
		change_fail(ch, API_BLOB_NOT_FOUND, "no bundle sha256:%s was put to /blobs by this tenant", digest);
		return;
	}
	ch->blob->tree[MSG_KIND_CODE].refs++;
	enum api_code code = fill_next(ch, f, &err);
	if (code != API_CODE_MAX)
		change_fail(ch, code, "%s", err.text);
	else
		catalog_change_begin(ch);
}

void catalog_create(struct catalog *c, const char *tenant, struct function *f, const char *digest, catalog_fn *fn,
		    void *arg)
{
	if (catalog_find(c, tenant, f->name))
		return catalog_fail(fn, arg, API_FUNCTION_EXISTS, "function '%s' already exists; PUT changes it", f->name);
	if (name_is_changing(c, tenant, f->name))
		return catalog_fail(fn, arg, API_CONCURRENT_UPDATE, "function '%s' is being changed by another request", f->name);
	if (tenant_functions(c, tenant) >= c->config->max_functions)
		return catalog_fail(fn, arg, API_LIMIT_EXCEEDED, "tenant '%s' has as many functions as max-functions allows",
				tenant);
	struct change *ch = reserve(c) == 0 ? change_new(c, CHANGE_CREATE, NULL, fn, arg) : NULL;
	if (!ch)
		return catalog_fail(fn, arg, API_INTERNAL, "store function '%s': out of memory", f->name);
	change_begin(ch, tenant, f, digest);
}

void catalog_update(struct catalog *c, struct catalog_function *old, struct function *f, const char *digest,
		    catalog_fn *fn, void *arg)
{
	if (catalog_find(c, old->tenant, old->f.name) != old || name_is_changing(c, old->tenant, old->f.name))
		return catalog_fail(fn, arg, API_CONCURRENT_UPDATE, "function '%s' is being changed by another request",
				old->f.name);
	struct change *ch = reserve(c) == 0 ? change_new(c, CHANGE_UPDATE, old, fn, arg) : NULL;
	if (!ch)
		return catalog_fail(fn, arg, API_INTERNAL, "store function '%s': out of memory", old->f.name);
	change_begin(ch, old->tenant, f, digest ? digest : old->digest);
}

void catalog_delete(struct catalog *c, struct catalog_function *old, catalog_fn *fn, void *arg)
{
	if (name_is_changing(c, old->tenant, old->f.name))
		return catalog_fail(fn, arg, API_CONCURRENT_UPDATE, "function '%s' is being changed by another request",
				old->f.name);
	const struct entry *e = catalog_entry(c, old->tenant, old->f.name);
	if (!e || e->edit)
		return catalog_fail(fn, arg, API_CONCURRENT_UPDATE, "function '%s' is being changed by another request",
				    old->f.name);
	struct change *ch = change_new(c, CHANGE_DELETE, old, fn, arg);
	if (!ch)
		return catalog_fail(fn, arg, API_INTERNAL, "delete function '%s': out of memory", old->f.name);
	change_commit(ch);
}

/* ---- start --------------------------------------------------------------- */

int catalog_read_state(struct catalog *c, sqlite3_stmt *s, struct catalog_function **ret, struct err *err)
{
	const char *tenant = (const char *)sqlite3_column_text(s, 0), *name = (const char *)sqlite3_column_text(s, 1);
	const char *config = (const char *)sqlite3_column_text(s, 3), *digest = (const char *)sqlite3_column_text(s, 4);
	*ret = NULL;
	if (!tenant || !name || !config || !digest)
		return err_set(err, ENOMEM, "read the table of functions");
	struct blob *b = catalog_blob(c, tenant, digest);
	if (!b) { /* one function lost is no reason to lose them all; its row stays until it is deployed again */
		log_err("tenant=%s function=%s is not served: its bundle sha256:%s is not in the database; deploy it again", tenant,
			name, digest);
		return 0;
	}
	autojson json_t *object = json_parse(config, strlen(config), "stored function", err);
	struct catalog_function *f = object ? catalog_state_new(c, b) : NULL;
	if (object && !f)
		return err_set(err, ENOMEM, "read the table of functions");
	if (!object || function_parse(object, name, &f->f, err) < 0) {
		err_wrap(err, "stored function %s of tenant %s", name, tenant);
		catalog_function_unref(f);
		return -EINVAL;
	}
	str_copy(f->id, sizeof(f->id), (const char *)sqlite3_column_text(s, 2));
	f->code_size = (uint64_t)sqlite3_column_int64(s, 5);
	str_copy(f->checksum, sizeof(f->checksum), (const char *)sqlite3_column_text(s, 6));
	f->created_ms = sqlite3_column_int64(s, 7);
	f->modified_ms = sqlite3_column_int64(s, 8);
	f->revision = (uint64_t)sqlite3_column_int64(s, 9);
	if (catalog_take_layers(c, f, NULL, err) != API_CODE_MAX) { /* as without its bundle */
		log_err("tenant=%s function=%s is not served: %s; deploy it again", tenant, name, err->text);
		catalog_function_unref(f);
		return 0;
	}
	*ret = f;
	return 0;
}

static int load_functions(struct catalog *c, struct err *err)
{
	sqlite3 *db = writer_connection(c->writer, WRITER_STATE);
	autostmt sqlite3_stmt *s = writer_prepare(db, "SELECT " CATALOG_COLUMNS ", last_version, ifnull(reserved_concurrency, -1)"
						      " FROM functions ORDER BY tenant, name");
	int r;
	while ((r = writer_step(db, s)) == 1) {
		struct catalog_function *f;
		if (catalog_read_state(c, s, &f, err) < 0)
			return -EINVAL;
		if (!f)
			continue;
		struct entry *e = reserve(c) == 0 ? entry_new(f) : NULL;
		if (!e) {
			catalog_function_unref(f);
			return err_set(err, ENOMEM, "read the table of functions");
		}
		e->last_version = (uint64_t)sqlite3_column_int64(s, 10);
		e->concurrency = sqlite3_column_int64(s, 11);
		table_insert(c, e);
	}
	return r < 0 ? err_set(err, -r, "read the table of functions: %s", sqlite3_errmsg(db)) : catalog_load_versions(c, err);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	catalog_collect(arg);
}

int catalog_new(struct catalog **ret, struct event_base *base, const struct config *config, const char *dir,
		struct writer *writer, struct stats *stats, struct err *err)
{
	struct catalog *c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(err, ENOMEM, "load the catalog");
	c->config = config;
	c->writer = writer;
	c->stats = stats;
	TAILQ_INIT(&c->changes);
	TAILQ_INIT(&c->waiting);
	char path[1200];
	snprintf(path, sizeof(path), "%s/blobs", dir);
	int r = 0;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		r = err_set(err, errno, "make %s", path);
	c->blob_dir = r < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r == 0 && c->blob_dir < 0)
		r = err_set(err, errno, "open %s", path);
	if (r == 0 && (r = upload_clear(c->blob_dir)) < 0)
		err_set(err, -r, "remove unfinished uploads from %s", path);
	if (r == 0)
		r = catalog_load_blobs(c, err);
	if (r == 0 && (r = catalog_clear_blobs(c)) < 0)
		err_set(err, -r, "remove bundles that nothing names from %s", path);
	if (r == 0)
		r = catalog_load_layers(c, err);
	if (r == 0)
		r = load_functions(c, err);
	const struct timeval period = { .tv_sec = 2 };
	c->sweep = event_new(base, -1, EV_PERSIST, on_sweep, c);
	if (r == 0 && (!c->sweep || event_add(c->sweep, &period) < 0))
		r = err_set(err, ENOMEM, "load the catalog");
	if (r < 0) {
		catalog_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void catalog_connect(struct catalog *c, struct link *link)
{
	c->link = link;
	catalog_prune_layers(c);
	catalog_check_layers(c); /* tenants are in keeper's own table: it wrote each down before a function of it was stored */
}

struct catalog *catalog_free(struct catalog *c)
{
	if (!c)
		return NULL;
	c->ending = true;
	struct change *ch;
	while ((ch = TAILQ_FIRST(&c->changes)))
		change_fail(ch, API_SHUTTING_DOWN, "the agent is shutting down");
	if (c->sweep)
		event_free(c->sweep);
	for (size_t i = 0; i < c->count; i++)
		catalog_entry_free(c->functions[i]);
	free(c->functions);
	catalog_free_layers(c);
	struct catalog_function *f;
	while ((f = LIST_FIRST(&c->states))) { /* whose holders end after us */
		LIST_REMOVE(f, entry);
		f->catalog = NULL;
	}
	catalog_free_blobs(c);
	if (c->blob_dir >= 0)
		close(c->blob_dir);
	free(c);
	return NULL;
}
