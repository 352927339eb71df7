/* Layers by name and version: made once, never changed, named by functions, kept while a state of a function has them. */
#include "agent/catalog.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/catalog-internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

/* The highest number ever given to a name, so that none comes twice. */
struct layer_name {
	char tenant[CATALOG_NAME_SIZE], name[CATALOG_NAME_SIZE];
	uint64_t last_version;
	LIST_ENTRY(layer_name) entry;
};

struct layers {
	struct catalog_layer **list; /* by tenant, name, version; a reference each. While loading, deleted ones too */
	size_t count, cap;
	LIST_HEAD(, catalog_layer) all; /* those that only functions hold, too */
	LIST_HEAD(, layer_name) names;
};

/* A layer's deletion on its way to the database, or (fn NULL) the removal of a row that nothing holds any more. */
struct layer_job {
	struct writer_job job; /* first: a job is its layer_job */
	struct catalog *catalog;
	struct catalog_layer *layer; /* NULL: remove the row of the key */
	char tenant[CATALOG_NAME_SIZE], name[CATALOG_NAME_SIZE];
	uint64_t version;
	catalog_fn *fn;
	void *arg;
};

/* ---- in memory ----------------------------------------------------------- */

static int compare(const struct catalog_layer *l, const char *tenant, const char *name, uint64_t version)
{
	int r = strcmp(l->tenant, tenant);
	if (r == 0)
		r = strcmp(l->name, name);
	return r ? r : l->version < version ? -1 : l->version > version;
}

/* Index of the first that is not before it. */
static size_t lower_bound(const struct layers *t, const char *tenant, const char *name, uint64_t version)
{
	size_t low = 0, high = t->count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (compare(t->list[mid], tenant, name, version) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool is_of(const struct catalog_layer *l, const char *tenant, const char *name)
{
	return strcmp(l->tenant, tenant) == 0 && strcmp(l->name, name) == 0;
}

/* Room for every layer under way and one more. */
static int reserve(struct catalog *c)
{
	struct layers *t = c->layers;
	size_t pending = 1;
	const struct change *ch;
	TAILQ_FOREACH(ch, &c->changes, entry)
		pending += ch->kind == CHANGE_LAYER;
	if (t->count + pending <= t->cap)
		return 0;
	size_t cap = t->cap * 2 + pending + 16;
	struct catalog_layer **grown = realloc(t->list, cap * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	t->list = grown;
	t->cap = cap;
	return 0;
}

static void list_insert(struct layers *t, struct catalog_layer *l)
{
	size_t i = lower_bound(t, l->tenant, l->name, l->version);
	assert(t->count < t->cap);
	memmove(&t->list[i + 1], &t->list[i], (t->count - i) * sizeof(*t->list));
	t->list[i] = l;
	t->count++;
}

static struct layer_name *find_name(const struct catalog *c, const char *tenant, const char *name)
{
	struct layer_name *n;
	LIST_FOREACH(n, &c->layers->names, entry)
		if (strcmp(n->tenant, tenant) == 0 && strcmp(n->name, name) == 0)
			return n;
	return NULL;
}

static struct layer_name *name_new(struct catalog *c, const char *tenant, const char *name, uint64_t last_version)
{
	struct layer_name *n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	str_copy(n->tenant, sizeof(n->tenant), tenant);
	str_copy(n->name, sizeof(n->name), name);
	n->last_version = last_version;
	LIST_INSERT_HEAD(&c->layers->names, n, entry);
	return n;
}

/* With one reference, and one of the bundle's tree. */
static struct catalog_layer *layer_new(struct catalog *c, struct blob *b, const char *name, const char *runtimes)
{
	struct catalog_layer *l = calloc(1, sizeof(*l));
	if (l)
		l->runtimes = strdup(runtimes);
	if (!l || !l->runtimes) {
		free(l);
		return NULL;
	}
	l->refs = 1;
	l->catalog = c;
	l->blob = b;
	b->tree[MSG_KIND_OPT].refs++;
	LIST_INSERT_HEAD(&c->layers->all, l, entry);
	str_copy(l->tenant, sizeof(l->tenant), b->tenant);
	str_copy(l->name, sizeof(l->name), name);
	str_copy(l->digest, sizeof(l->digest), b->digest);
	str_copy(l->checksum, sizeof(l->checksum), b->checksum);
	l->code_size = b->size;
	return l;
}

struct catalog_layer *catalog_layer_ref(struct catalog_layer *l)
{
	l->refs++;
	return l;
}

static void remove_row(struct catalog *c, const struct catalog_layer *l);

void catalog_layer_unref(struct catalog_layer *l)
{
	if (!l || --l->refs > 0)
		return;
	if (l->catalog) {
		struct catalog *c = l->catalog;
		LIST_REMOVE(l, entry);
		if (l->deleted && !c->ending)
			remove_row(c, l);
		catalog_blob_unref(c, l->blob, MSG_KIND_OPT);
	}
	free(l->runtimes);
	free(l);
}

struct catalog_layer *catalog_find_layer(struct catalog *c, const char *tenant, const char *name, uint64_t version)
{
	size_t i = lower_bound(c->layers, tenant, name, version);
	return i < c->layers->count && compare(c->layers->list[i], tenant, name, version) == 0 ? c->layers->list[i] : NULL;
}

size_t catalog_list_layers(struct catalog *c, const char *tenant, const char *prefix, const char *from, size_t limit,
			   struct catalog_layer **out, const char **more)
{
	const struct layers *t = c->layers;
	size_t n = 0;
	*more = NULL;
	for (size_t i = lower_bound(t, tenant, strcmp(from, prefix) > 0 ? from : prefix, 0); i < t->count; i++) {
		struct catalog_layer *l = t->list[i];
		if (strcmp(l->tenant, tenant) != 0 || !str_starts(l->name, prefix))
			break;
		if (i + 1 < t->count && is_of(t->list[i + 1], tenant, l->name))
			continue; /* there is a newer one */
		if (n == limit) {
			*more = l->name;
			break;
		}
		out[n++] = l;
	}
	return n;
}

size_t catalog_list_layer_versions(struct catalog *c, const char *tenant, const char *name, uint64_t from, size_t limit,
				   struct catalog_layer **out, uint64_t *more)
{
	const struct layers *t = c->layers;
	size_t n = 0;
	*more = 0;
	for (size_t i = lower_bound(t, tenant, name, from); i < t->count && is_of(t->list[i], tenant, name); i++) {
		if (n == limit) {
			*more = t->list[i]->version;
			break;
		}
		out[n++] = t->list[i];
	}
	return n;
}

static size_t tenant_layers(const struct catalog *c, const char *tenant)
{
	const struct layers *t = c->layers;
	size_t n = 0;
	for (size_t i = lower_bound(t, tenant, "", 0); i < t->count && strcmp(t->list[i]->tenant, tenant) == 0; i++)
		n++;
	const struct change *ch;
	TAILQ_FOREACH(ch, &c->changes, entry)
		n += ch->kind == CHANGE_LAYER && ch->layer && strcmp(ch->layer->tenant, tenant) == 0;
	return n;
}

/* ---- what a function has ------------------------------------------------- */

/* One that the function has already may have been deleted since it was named. */
static struct catalog_layer *held_by(const struct catalog_function *f, const struct function_layer *l)
{
	for (size_t i = 0; f && i < f->nlayers; i++)
		if (strcmp(f->layer[i]->name, l->name) == 0 && f->layer[i]->version == l->version)
			return f->layer[i];
	return NULL;
}

enum api_code catalog_take_layers(struct catalog *c, struct catalog_function *f, const struct catalog_function *old, struct err *err)
{
	for (size_t i = 0; i < f->f.nlayers; i++) {
		const struct function_layer *name = &f->f.layers[i];
		if (*name->account && strcmp(name->account, f->tenant) != 0) {
			err_set(err, 0, "layers[%zu]: layer '%s' is of account '%s'; a function of tenant '%s' has layers of its own tenant only", i,
				name->name, name->account, f->tenant);
			return API_INVALID_ARGUMENT;
		}
		struct catalog_layer *l = held_by(old, name);
		if (!l)
			l = catalog_find_layer(c, f->tenant, name->name, name->version);
		if (!l) {
			err_set(err, 0, "layers[%zu]: layer '%s' has no version %" PRIu64, i, name->name, name->version);
			return API_LAYER_NOT_FOUND;
		}
		f->layer[f->nlayers++] = catalog_layer_ref(l);
	}
	return API_CODE_MAX;
}

/* ---- a new version ------------------------------------------------------- */

void catalog_create_layer(struct catalog *c, const char *tenant, const struct catalog_layer_wish *w, catalog_fn *fn, void *arg)
{
	struct blob *b = catalog_blob(c, tenant, w->digest);
	if (!b)
		return catalog_fail(fn, arg, API_BLOB_NOT_FOUND, "no bundle sha256:%s was put to /blobs by this tenant", w->digest);
	if (tenant_layers(c, tenant) >= c->config->max_layers)
		return catalog_fail(fn, arg, API_LIMIT_EXCEEDED, "tenant '%s' has as many versions of layers as max-layers allows; delete some",
				    tenant);
	struct layer_name *n = find_name(c, tenant, w->name);
	struct change *ch = (n || name_new(c, tenant, w->name, 0)) && reserve(c) == 0 ? catalog_change_new(c, CHANGE_LAYER, fn, arg) : NULL;
	if (!ch)
		return catalog_fail(fn, arg, API_INTERNAL, "store layer '%s': out of memory", w->name);
	ch->blob = b;
	ch->tree = MSG_KIND_OPT;
	b->tree[MSG_KIND_OPT].refs++;
	ch->layer = layer_new(c, b, w->name, w->runtimes);
	if (!ch->layer)
		return change_fail(ch, API_INTERNAL, "store layer '%s': out of memory", w->name);
	str_copy(ch->layer->note, sizeof(ch->layer->note), w->note);
	str_copy(ch->layer->license, sizeof(ch->layer->license), w->license);
	catalog_change_begin(ch);
}

/* Just before its row: two at once get numbers one after the other, and one that fails before takes none. */
void catalog_layer_number(struct change *ch)
{
	ch->layer->version = ++find_name(ch->catalog, ch->layer->tenant, ch->layer->name)->last_version;
	ch->layer->created_ms = clock_real_ms();
}

int catalog_layer_write(const struct change *ch, sqlite3 *db)
{
	const struct catalog_layer *l = ch->layer;
	autostmt sqlite3_stmt *n = writer_prepare(db, "INSERT OR REPLACE INTO layer_names(tenant, name, last_version) VALUES(?1, ?2, ?3)");
	if (n) {
		writer_text(n, 1, l->tenant);
		writer_text(n, 2, l->name);
		sqlite3_bind_int64(n, 3, (sqlite3_int64)l->version);
	}
	int r = writer_step(db, n);
	if (r < 0)
		return r;
	autostmt sqlite3_stmt *s = writer_prepare(db, "INSERT INTO layers(tenant, name, version, digest, note, license, runtimes, created_ms,"
						      " deleted) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0)");
	if (s) {
		writer_text(s, 1, l->tenant);
		writer_text(s, 2, l->name);
		sqlite3_bind_int64(s, 3, (sqlite3_int64)l->version);
		writer_text(s, 4, l->digest);
		writer_text(s, 5, l->note);
		writer_text(s, 6, l->license);
		writer_text(s, 7, l->runtimes);
		sqlite3_bind_int64(s, 8, l->created_ms);
	}
	return writer_step(db, s);
}

void catalog_layer_written(struct change *ch)
{
	struct catalog_result r = { .code = API_CODE_MAX, .layer = ch->layer };
	list_insert(ch->catalog->layers, catalog_layer_ref(ch->layer));
	catalog_change_end(ch, &r);
}

/* ---- the end of one ------------------------------------------------------ */

/* In the writer's thread. */
static int delete_write(struct writer_job *job, sqlite3 *db)
{
	const struct layer_job *j = (struct layer_job *)job;
	autostmt sqlite3_stmt *s = writer_prepare(
		db, j->layer ? "UPDATE layers SET deleted = 1 WHERE tenant = ?1 AND name = ?2 AND version = ?3"
			     : "DELETE FROM layers WHERE tenant = ?1 AND name = ?2 AND version = ?3");
	if (s) {
		writer_text(s, 1, j->tenant);
		writer_text(s, 2, j->name);
		sqlite3_bind_int64(s, 3, (sqlite3_int64)j->version);
	}
	return writer_step(db, s);
}

static void delete_written(struct writer_job *job, int result)
{
	struct layer_job *j = (struct layer_job *)job;
	struct layers *t = j->catalog->layers;
	struct catalog_layer *l = j->layer;
	size_t i = l ? lower_bound(t, l->tenant, l->name, l->version) : 0;
	if (!l) {
		if (result < 0)
			log_warning("layer=%s version=%" PRIu64 " row of a deleted layer not removed: %s, ignoring", j->name, j->version,
				    strerror(-result));
	} else if (result < 0) {
		catalog_fail(j->fn, j->arg, result == -ENOSPC ? API_STORAGE_FULL : API_INTERNAL, "delete layer '%s': %s", j->name, strerror(-result));
	} else {
		struct catalog_result r = { .code = API_CODE_MAX, .layer = l };
		if (i < t->count && t->list[i] == l) { /* two deletions at once: both are done */
			memmove(&t->list[i], &t->list[i + 1], (t->count - i - 1) * sizeof(*t->list));
			t->count--;
			l->deleted = true;
			catalog_layer_unref(l);
		}
		j->fn(j->arg, &r);
	}
	catalog_layer_unref(l);
	free(j);
}

static struct layer_job *job_new(struct catalog *c, const struct catalog_layer *l)
{
	struct layer_job *j = calloc(1, sizeof(*j));
	if (!j)
		return NULL;
	j->job = (struct writer_job){ .db = WRITER_STATE, .run = delete_write, .done = delete_written };
	j->catalog = c;
	str_copy(j->tenant, sizeof(j->tenant), l->tenant);
	str_copy(j->name, sizeof(j->name), l->name);
	j->version = l->version;
	return j;
}

/* Nobody waits; a row that stays is found again at the next start. */
static void remove_row(struct catalog *c, const struct catalog_layer *l)
{
	struct layer_job *j = job_new(c, l);
	if (j && writer_submit(c->writer, &j->job) != WRITER_OK)
		free(j);
}

void catalog_delete_layer(struct catalog *c, struct catalog_layer *l, catalog_fn *fn, void *arg)
{
	struct layer_job *j = job_new(c, l);
	if (!j)
		return catalog_fail(fn, arg, API_INTERNAL, "delete layer '%s': out of memory", l->name);
	j->fn = fn;
	j->arg = arg;
	j->layer = catalog_layer_ref(l);
	if (writer_submit(c->writer, &j->job) == WRITER_OK)
		return;
	catalog_layer_unref(l);
	free(j);
	catalog_fail(fn, arg, API_RESOURCE_THROTTLED, "the database has %d writes waiting; try again", WRITER_QUEUE_MAX);
}

/* ---- start and end ------------------------------------------------------- */

static int load_layer(struct catalog *c, sqlite3_stmt *s)
{
	const char *tenant = (const char *)sqlite3_column_text(s, 0), *name = (const char *)sqlite3_column_text(s, 1);
	const char *digest = (const char *)sqlite3_column_text(s, 3), *runtimes = (const char *)sqlite3_column_text(s, 6);
	if (!tenant || !name || !digest || !runtimes)
		return -ENOMEM;
	struct blob *b = catalog_blob(c, tenant, digest);
	if (!b) { /* as with functions: its row stays, and what names it is not served */
		log_err("tenant=%s layer=%s version=%lld is not served: its bundle sha256:%s is not in the database", tenant, name,
			(long long)sqlite3_column_int64(s, 2), digest);
		return 0;
	}
	struct catalog_layer *l = reserve(c) == 0 ? layer_new(c, b, name, runtimes) : NULL;
	if (!l)
		return -ENOMEM;
	l->version = (uint64_t)sqlite3_column_int64(s, 2);
	str_copy(l->note, sizeof(l->note), (const char *)sqlite3_column_text(s, 4));
	str_copy(l->license, sizeof(l->license), (const char *)sqlite3_column_text(s, 5));
	l->created_ms = sqlite3_column_int64(s, 7);
	l->deleted = sqlite3_column_int(s, 8) != 0;
	list_insert(c->layers, l); /* the deleted ones until functions have taken theirs */
	return 0;
}

static int load_names(struct catalog *c, sqlite3 *db)
{
	autostmt sqlite3_stmt *s = writer_prepare(db, "SELECT tenant, name, last_version FROM layer_names");
	int r;
	while ((r = writer_step(db, s)) == 1) {
		const char *tenant = (const char *)sqlite3_column_text(s, 0), *name = (const char *)sqlite3_column_text(s, 1);
		if (!tenant || !name || !name_new(c, tenant, name, (uint64_t)sqlite3_column_int64(s, 2)))
			return -ENOMEM;
	}
	return r;
}

int catalog_load_layers(struct catalog *c, struct err *err)
{
	c->layers = calloc(1, sizeof(*c->layers));
	if (!c->layers)
		return err_set(err, ENOMEM, "read the table of layers");
	sqlite3 *db = writer_connection(c->writer, WRITER_STATE);
	int r = load_names(c, db);
	if (r < 0)
		return err_set(err, -r, "read the table of layers: %s", sqlite3_errmsg(db));
	autostmt sqlite3_stmt *s = writer_prepare(db, "SELECT tenant, name, version, digest, note, license, runtimes, created_ms, deleted"
						      " FROM layers ORDER BY tenant, name, version");
	while ((r = writer_step(db, s)) == 1)
		if ((r = load_layer(c, s)) < 0)
			break;
	return r < 0 ? err_set(err, -r, "read the table of layers: %s", r == -ENOMEM ? "out of memory" : sqlite3_errmsg(db)) : 0;
}

void catalog_prune_layers(struct catalog *c)
{
	struct layers *t = c->layers;
	size_t kept = 0;
	for (size_t i = 0; i < t->count; i++)
		if (t->list[i]->deleted)
			catalog_layer_unref(t->list[i]);
		else
			t->list[kept++] = t->list[i];
	t->count = kept;
}

void catalog_free_layers(struct catalog *c)
{
	struct layers *t = c->layers;
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++)
		catalog_layer_unref(t->list[i]);
	struct catalog_layer *l;
	while ((l = LIST_FIRST(&t->all))) { /* whose holders end after us */
		LIST_REMOVE(l, entry);
		l->catalog = NULL;
	}
	struct layer_name *n;
	while ((n = LIST_FIRST(&t->names))) {
		LIST_REMOVE(n, entry);
		free(n);
	}
	free(t->list);
	free(t);
	c->layers = NULL;
}
