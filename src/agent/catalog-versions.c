/* What hangs on a function: versions, aliases, and how many calls of it may run at once. */
#include "agent/catalog.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "agent/catalog-internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"

enum edit_kind { EDIT_PUBLISH, EDIT_DELETE_VERSION, EDIT_PUT_ALIAS, EDIT_DELETE_ALIAS, EDIT_CONCURRENCY };

/* A change on its way to the database. Its entry stays: the function is not deleted meanwhile. */
struct edit {
	struct writer_job job; /* first: a job is its edit */
	struct catalog *catalog;
	struct entry *e;
	enum edit_kind kind;
	struct catalog_function *f; /* publish: the version; else the latest state, for its names */
	char *text;                 /* publish: its config; alias: its weights */
	uint64_t number;            /* of the version to delete */
	struct catalog_alias alias;
	int64_t concurrency;
	catalog_fn *fn;
	void *arg;
};

static void edit_free(struct edit *d)
{
	catalog_function_unref(d->f);
	free(d->text);
	free(d);
}

void catalog_entry_free(struct entry *e)
{
	if (!e)
		return;
	assert(!e->edit);
	catalog_function_unref(e->latest);
	for (size_t i = 0; i < e->nversions; i++)
		catalog_function_unref(e->versions[i]);
	free(e->versions);
	free(e->aliases);
	free(e);
}

/* ---- in memory ----------------------------------------------------------- */

/* Index of the first version that is not before number. */
static size_t version_index(const struct entry *e, uint64_t number)
{
	size_t low = 0, high = e->nversions;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (e->versions[mid]->number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct catalog_function *find_version(const struct entry *e, uint64_t number)
{
	size_t i = version_index(e, number);
	return i < e->nversions && e->versions[i]->number == number ? e->versions[i] : NULL;
}

static size_t alias_index(const struct entry *e, const char *name)
{
	size_t i = 0;
	while (i < e->naliases && strcmp(e->aliases[i].name, name) < 0)
		i++;
	return i;
}

static struct catalog_alias *find_alias(const struct entry *e, const char *name)
{
	size_t i = alias_index(e, name);
	return i < e->naliases && strcmp(e->aliases[i].name, name) == 0 ? &e->aliases[i] : NULL;
}

static bool names_version(const struct catalog_alias *a, uint64_t number)
{
	for (size_t i = 0; i < a->nweights; i++)
		if (a->weight[i].version == number)
			return true;
	return a->version == number;
}

static struct entry *entry_of(struct catalog *c, const struct catalog_function *f)
{
	return catalog_entry(c, f->tenant, f->f.name);
}

struct catalog_function *catalog_find_version(struct catalog *c, const char *tenant, const char *name, uint64_t number)
{
	struct entry *e = catalog_entry(c, tenant, name);
	return e ? find_version(e, number) : NULL;
}

size_t catalog_list_versions(struct catalog *c, const struct catalog_function *f, uint64_t from, bool forward, size_t limit,
			     struct catalog_function **out, uint64_t *more)
{
	const struct entry *e = entry_of(c, f);
	size_t n = 0, total = e ? e->nversions : 0, skip = 0;
	*more = 0;
	if (e && from && forward)
		skip = version_index(e, from);
	else if (e && from)
		skip = from == UINT64_MAX ? 0 : total - version_index(e, from + 1);
	for (size_t i = skip; i < total; i++) {
		struct catalog_function *v = e->versions[forward ? i : total - 1 - i];
		if (n == limit) {
			*more = v->number;
			break;
		}
		out[n++] = v;
	}
	return n;
}

const struct catalog_alias *catalog_find_alias(struct catalog *c, const struct catalog_function *f, const char *alias)
{
	const struct entry *e = entry_of(c, f);
	return e ? find_alias(e, alias) : NULL;
}

size_t catalog_list_aliases(struct catalog *c, const struct catalog_function *f, const char *prefix, const char *from, size_t limit,
			    const struct catalog_alias **out, const char **more)
{
	const struct entry *e = entry_of(c, f);
	size_t n = 0;
	*more = NULL;
	for (size_t i = e ? alias_index(e, strcmp(from, prefix) > 0 ? from : prefix) : 0; e && i < e->naliases; i++) {
		const struct catalog_alias *a = &e->aliases[i];
		if (!str_starts(a->name, prefix))
			break;
		if (n == limit) {
			*more = a->name;
			break;
		}
		out[n++] = a;
	}
	return n;
}

int64_t catalog_concurrency(struct catalog *c, const struct catalog_function *f)
{
	const struct entry *e = entry_of(c, f);
	return e ? e->concurrency : -1;
}

/* ---- which version a call gets ------------------------------------------- */

uint64_t catalog_alias_pick(const struct catalog_alias *a, uint32_t draw)
{
	for (size_t i = 0; i < a->nweights; i++) {
		if (draw < a->weight[i].millionths)
			return a->weight[i].version;
		draw -= a->weight[i].millionths;
	}
	return a->version;
}

static int add_weight(struct catalog_alias *a, const char *key, const json_t *value, uint32_t *sum, struct err *err)
{
	uint64_t version;
	double weight = json_number_value(value) * CATALOG_WEIGHT_ONE;
	if (str_to_u64(key, &version) < 0 || version == 0)
		return err_set(err, 0, "additionalVersionWeight: %.32s is no version's number", key);
	if (names_version(a, version))
		return err_set(err, 0, "additionalVersionWeight: version %" PRIu64 " is named twice; versionId has what is left", version);
	if (!json_is_number(value) || !(weight >= 0 && weight <= CATALOG_WEIGHT_ONE))
		return err_set(err, 0, "additionalVersionWeight.%.32s: a number from 0 to 1", key);
	uint32_t millionths = (uint32_t)(weight + 0.5);
	double off = weight - millionths;
	if (off > 1e-3 || off < -1e-3)
		return err_set(err, 0, "additionalVersionWeight.%.32s: finer than a millionth", key);
	*sum += millionths;
	if (*sum > CATALOG_WEIGHT_ONE)
		return err_set(err, 0, "additionalVersionWeight: together more than 1");
	a->weight[a->nweights++] = (struct catalog_weight){ version, millionths };
	return 0;
}

int catalog_alias_weights(struct catalog_alias *a, json_t *weights, struct err *err)
{
	struct catalog_alias next = *a;
	const char *key;
	json_t *value;
	uint32_t sum = 0;
	next.nweights = 0;
	if (json_object_size(weights) > CATALOG_WEIGHTS_MAX)
		return err_set(err, 0, "additionalVersionWeight: at most %d versions", CATALOG_WEIGHTS_MAX);
	json_object_foreach(weights, key, value) {
		int r = add_weight(&next, key, value, &sum, err);
		if (r < 0)
			return r;
	}
	*a = next;
	return 0;
}

json_t *catalog_alias_weights_json(const struct catalog_alias *a)
{
	json_t *o = json_object();
	for (size_t i = 0; i < a->nweights; i++) {
		char key[CATALOG_VERSION_SIZE];
		snprintf(key, sizeof(key), "%" PRIu64, a->weight[i].version);
		if (json_object_set_new(o, key, json_real((double)a->weight[i].millionths / CATALOG_WEIGHT_ONE)) < 0) {
			json_decref(o);
			return NULL;
		}
	}
	return o;
}

static int draw(uint32_t *ret)
{
	uint64_t bits;
	if (getrandom(&bits, sizeof(bits), 0) != sizeof(bits))
		return -errno;
	*ret = (uint32_t)(bits % CATALOG_WEIGHT_ONE);
	return 0;
}

enum api_code catalog_resolve(struct catalog *c, const char *tenant, const char *name, const char *qualifier, bool weigh,
			      struct catalog_function **ret, struct err *err)
{
	const struct entry *e = catalog_entry(c, tenant, name);
	uint64_t number;
	if (!e) {
		err_set(err, 0, "function '%s' does not exist", name);
		return API_FUNCTION_NOT_FOUND;
	}
	*ret = e->latest;
	if (!qualifier || !*qualifier || strcasecmp(qualifier, "LATEST") == 0)
		return API_CODE_MAX;
	if (str_to_u64(qualifier, &number) < 0) {
		const struct catalog_alias *a = find_alias(e, qualifier);
		if (!a) {
			err_set(err, 0, "function '%s' has no alias '%.80s'", name, qualifier);
			return API_ALIAS_NOT_FOUND;
		}
		uint32_t chance = 0;
		if (weigh && a->nweights && draw(&chance) < 0) {
			err_set(err, 0, "no random number to choose a version by");
			return API_INTERNAL;
		}
		number = weigh && a->nweights ? catalog_alias_pick(a, chance) : a->version;
	}
	*ret = find_version(e, number);
	if (*ret)
		return API_CODE_MAX;
	err_set(err, 0, "function '%s' has no version %" PRIu64, name, number);
	return API_VERSION_NOT_FOUND;
}

/* ---- rows ---------------------------------------------------------------- */

static int set_in_function(sqlite3 *db, const struct catalog_function *f, const char *sql, int64_t value)
{
	autostmt sqlite3_stmt *s = writer_prepare(db, sql);
	if (s) {
		writer_text(s, 1, f->tenant);
		writer_text(s, 2, f->f.name);
		if (value >= 0)
			sqlite3_bind_int64(s, 3, value);
	}
	return writer_step(db, s);
}

static int insert_version(const struct edit *d, sqlite3 *db)
{
	int r = set_in_function(db, d->f, "UPDATE functions SET last_version = ?3 WHERE tenant = ?1 AND name = ?2",
				(int64_t)d->f->number);
	if (r < 0)
		return r;
	autostmt sqlite3_stmt *s = writer_prepare(db, "INSERT INTO versions(" CATALOG_COLUMNS ", version, note, published_ms)"
						      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)");
	if (s) {
		catalog_bind_state(s, d->f, d->text);
		sqlite3_bind_int64(s, 11, (sqlite3_int64)d->f->number);
		writer_text(s, 12, d->f->note);
		sqlite3_bind_int64(s, 13, d->f->published_ms);
	}
	return writer_step(db, s);
}

static int write_alias(const struct edit *d, sqlite3 *db)
{
	const struct catalog_alias *a = &d->alias;
	bool put = d->kind == EDIT_PUT_ALIAS;
	autostmt sqlite3_stmt *s = writer_prepare(
		db, put ? "INSERT OR REPLACE INTO aliases(tenant, name, alias, id, version, weights, note, created_ms, modified_ms,"
			  " revision) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
			: "DELETE FROM aliases WHERE tenant = ?1 AND name = ?2 AND alias = ?3");
	if (s) {
		writer_text(s, 1, d->f->tenant);
		writer_text(s, 2, d->f->f.name);
		writer_text(s, 3, a->name);
	}
	if (s && put) {
		writer_text(s, 4, a->id);
		sqlite3_bind_int64(s, 5, (sqlite3_int64)a->version);
		writer_text(s, 6, d->text);
		writer_text(s, 7, a->note);
		sqlite3_bind_int64(s, 8, a->created_ms);
		sqlite3_bind_int64(s, 9, a->modified_ms);
		sqlite3_bind_int64(s, 10, (sqlite3_int64)a->revision);
	}
	return writer_step(db, s);
}

/* In the writer's thread: d is not touched by the loop meanwhile. */
static int edit_write(struct writer_job *job, sqlite3 *db)
{
	const struct edit *d = (struct edit *)job;
	switch (d->kind) {
	case EDIT_PUBLISH:
		return insert_version(d, db);
	case EDIT_DELETE_VERSION:
		return set_in_function(db, d->f, "DELETE FROM versions WHERE tenant = ?1 AND name = ?2 AND version = ?3",
				       (int64_t)d->number);
	case EDIT_PUT_ALIAS:
	case EDIT_DELETE_ALIAS:
		return write_alias(d, db);
	case EDIT_CONCURRENCY:
		break;
	}
	return set_in_function(db, d->f, "UPDATE functions SET reserved_concurrency = ?3 WHERE tenant = ?1 AND name = ?2",
			       d->concurrency);
}

/* ---- changes ------------------------------------------------------------- */

/* What is on disk, now in memory. Room was made before. */
static void apply_alias(struct entry *e, const struct edit *d)
{
	struct catalog_alias *a = find_alias(e, d->alias.name);
	size_t i = alias_index(e, d->alias.name);
	if (d->kind == EDIT_DELETE_ALIAS) {
		memmove(a, a + 1, (e->naliases - i - 1) * sizeof(*a));
		e->naliases--;
	} else if (a) {
		*a = d->alias;
	} else {
		memmove(&e->aliases[i + 1], &e->aliases[i], (e->naliases - i) * sizeof(*a));
		e->aliases[i] = d->alias;
		e->naliases++;
	}
}

static void apply(struct entry *e, struct edit *d)
{
	switch (d->kind) {
	case EDIT_PUBLISH:
		e->versions[e->nversions++] = catalog_function_ref(d->f);
		e->last_version = d->f->number;
		break;
	case EDIT_DELETE_VERSION: {
		size_t i = version_index(e, d->number);
		catalog_function_unref(e->versions[i]);
		memmove(&e->versions[i], &e->versions[i + 1], (e->nversions - i - 1) * sizeof(*e->versions));
		e->nversions--;
		break;
	}
	case EDIT_PUT_ALIAS:
	case EDIT_DELETE_ALIAS:
		apply_alias(e, d);
		break;
	case EDIT_CONCURRENCY:
		e->concurrency = d->concurrency;
		break;
	}
}

static void edit_written(struct writer_job *job, int result)
{
	struct edit *d = (struct edit *)job;
	assert(d->e->edit == d);
	d->e->edit = NULL;
	if (result < 0) {
		catalog_fail(d->fn, d->arg, result == -ENOSPC ? API_STORAGE_FULL : API_INTERNAL, "store a change of function '%s': %s",
			     d->f->f.name, strerror(-result));
	} else {
		apply(d->e, d);
		struct catalog_result r = { .code = API_CODE_MAX, .function = d->f, .alias = &d->alias };
		d->fn(d->arg, &r);
	}
	edit_free(d);
}

/* NULL when it was refused (fn was called). */
static struct edit *edit_new(struct catalog *c, const struct catalog_function *f, enum edit_kind kind, catalog_fn *fn, void *arg)
{
	struct entry *e = entry_of(c, f);
	struct edit *d = NULL;
	if (!e || strcmp(e->latest->id, f->id) != 0)
		catalog_fail(fn, arg, API_FUNCTION_NOT_FOUND, "function '%s' does not exist any more", f->f.name);
	else if (e->edit || catalog_is_deleting(c, e))
		catalog_fail(fn, arg, API_CONCURRENT_UPDATE, "function '%s' is being changed by another request", f->f.name);
	else if (!(d = calloc(1, sizeof(*d))))
		catalog_fail(fn, arg, API_INTERNAL, "change function '%s': out of memory", f->f.name);
	if (!d)
		return NULL;
	*d = (struct edit){ .job = { .db = WRITER_STATE, .run = edit_write, .done = edit_written }, .catalog = c, .e = e, .kind = kind,
			    .fn = fn, .arg = arg };
	if (kind != EDIT_PUBLISH)
		d->f = catalog_function_ref(e->latest);
	return d;
}

static void edit_submit(struct edit *d)
{
	if (writer_submit(d->catalog->writer, &d->job) == WRITER_OK) {
		d->e->edit = d;
		return;
	}
	catalog_fail(d->fn, d->arg, API_RESOURCE_THROTTLED, "the database has %d writes waiting; try again", WRITER_QUEUE_MAX);
	edit_free(d);
}

static void edit_no_memory(struct edit *d)
{
	catalog_fail(d->fn, d->arg, API_INTERNAL, "change function '%s': out of memory", d->e->latest->f.name);
	edit_free(d);
}

/* The state under another number; *config is its row's text. NULL without memory. */
static struct catalog_function *copy_state(struct catalog *c, const struct catalog_function *f, uint64_t number, char **config)
{
	struct err err = ERR_INIT;
	autojson json_t *object = function_to_json(&f->f);
	*config = object ? json_dumps(object, JSON_COMPACT) : NULL;
	struct catalog_function *v = *config ? catalog_state_new(c, f->blob) : NULL;
	if (!v)
		return NULL;
	if (function_parse(object, NULL, &v->f, &err) < 0) {
		catalog_function_unref(v);
		return NULL;
	}
	memcpy(v->id, f->id, sizeof(v->id));
	v->created_ms = f->created_ms;
	v->modified_ms = f->modified_ms;
	v->revision = f->revision;
	v->number = number;
	snprintf(v->version, sizeof(v->version), "%" PRIu64, number);
	for (size_t i = 0; i < f->nlayers; i++)
		v->layer[v->nlayers++] = catalog_layer_ref(f->layer[i]);
	return v;
}

void catalog_publish(struct catalog *c, struct catalog_function *f, const char *note, catalog_fn *fn, void *arg)
{
	struct edit *d = edit_new(c, f, EDIT_PUBLISH, fn, arg);
	if (!d)
		return;
	struct entry *e = d->e;
	if (e->nversions >= c->config->max_versions) {
		catalog_fail(fn, arg, API_LIMIT_EXCEEDED, "function '%s' has as many versions as max-versions allows; delete one",
			     f->f.name);
		return edit_free(d);
	}
	struct catalog_function **grown = realloc(e->versions, (e->nversions + 1) * sizeof(*grown));
	if (grown)
		e->versions = grown;
	d->f = grown ? copy_state(c, f, e->last_version + 1, &d->text) : NULL;
	if (!d->f)
		return edit_no_memory(d);
	str_copy(d->f->note, sizeof(d->f->note), note);
	d->f->published_ms = clock_real_ms();
	edit_submit(d);
}

void catalog_delete_version(struct catalog *c, struct catalog_function *version, catalog_fn *fn, void *arg)
{
	struct edit *d = edit_new(c, version, EDIT_DELETE_VERSION, fn, arg);
	if (!d)
		return;
	for (size_t i = 0; i < d->e->naliases; i++) {
		if (!names_version(&d->e->aliases[i], version->number))
			continue;
		catalog_fail(fn, arg, API_VERSION_IN_USE, "version %s of function '%s' is named by alias '%s'; move the alias first",
			     version->version, version->f.name, d->e->aliases[i].name);
		return edit_free(d);
	}
	d->number = version->number;
	edit_submit(d);
}

/* The first version it names that is not there, or 0. */
static uint64_t missing_version(const struct entry *e, const struct catalog_alias *a)
{
	if (!find_version(e, a->version))
		return a->version;
	for (size_t i = 0; i < a->nweights; i++)
		if (!find_version(e, a->weight[i].version))
			return a->weight[i].version;
	return 0;
}

static enum api_code check_alias(const struct catalog *c, const struct entry *e, const struct catalog_alias *a, struct err *err)
{
	uint64_t missing = missing_version(e, a);
	if (missing) {
		err_set(err, 0, "function '%s' has no version %" PRIu64 " that alias '%s' could name", e->latest->f.name, missing, a->name);
		return API_VERSION_NOT_FOUND;
	}
	if (!find_alias(e, a->name) && e->naliases >= c->config->max_aliases) {
		err_set(err, 0, "function '%s' has as many aliases as max-aliases allows; delete one", e->latest->f.name);
		return API_LIMIT_EXCEEDED;
	}
	return API_CODE_MAX;
}

static int fill_alias(struct edit *d, const struct catalog_alias *a)
{
	struct entry *e = d->e;
	autojson json_t *weights = catalog_alias_weights_json(a);
	d->text = weights ? json_dumps(weights, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
	struct catalog_alias *grown = realloc(e->aliases, (e->naliases + 1) * sizeof(*grown));
	if (grown)
		e->aliases = grown;
	if (!d->text || !grown)
		return -ENOMEM;
	const struct catalog_alias *old = find_alias(e, a->name);
	d->alias = *a;
	d->alias.modified_ms = d->alias.created_ms = clock_real_ms();
	d->alias.revision = 1;
	if (!old)
		return str_uuid(d->alias.id);
	memcpy(d->alias.id, old->id, sizeof(old->id));
	d->alias.created_ms = old->created_ms;
	d->alias.revision = old->revision + 1;
	return 0;
}

void catalog_put_alias(struct catalog *c, const struct catalog_function *f, const struct catalog_alias *a, catalog_fn *fn, void *arg)
{
	struct err err = ERR_INIT;
	struct edit *d = edit_new(c, f, EDIT_PUT_ALIAS, fn, arg);
	if (!d)
		return;
	enum api_code code = check_alias(c, d->e, a, &err);
	if (code != API_CODE_MAX) {
		catalog_fail(fn, arg, code, "%s", err.text);
		return edit_free(d);
	}
	if (fill_alias(d, a) < 0)
		return edit_no_memory(d);
	edit_submit(d);
}

void catalog_delete_alias(struct catalog *c, const struct catalog_function *f, const char *alias, catalog_fn *fn, void *arg)
{
	struct edit *d = edit_new(c, f, EDIT_DELETE_ALIAS, fn, arg);
	if (!d)
		return;
	const struct catalog_alias *a = find_alias(d->e, alias);
	if (!a) {
		catalog_fail(fn, arg, API_ALIAS_NOT_FOUND, "function '%s' has no alias '%s'", f->f.name, alias);
		return edit_free(d);
	}
	d->alias = *a;
	edit_submit(d);
}

void catalog_set_concurrency(struct catalog *c, const struct catalog_function *f, int64_t calls, catalog_fn *fn, void *arg)
{
	struct edit *d = edit_new(c, f, EDIT_CONCURRENCY, fn, arg);
	if (!d)
		return;
	d->concurrency = calls;
	edit_submit(d);
}

/* ---- start --------------------------------------------------------------- */

static int load_version(struct catalog *c, sqlite3_stmt *s, struct err *err)
{
	struct catalog_function *v;
	int r = catalog_read_state(c, s, &v, err);
	if (r < 0 || !v)
		return r;
	struct entry *e = catalog_entry(c, v->tenant, v->f.name);
	struct catalog_function **grown = e ? realloc(e->versions, (e->nversions + 1) * sizeof(*grown)) : NULL;
	if (!grown) { /* no entry: the function itself is not served, which was logged */
		catalog_function_unref(v);
		return e ? err_set(err, ENOMEM, "read the table of versions") : 0;
	}
	v->number = (uint64_t)sqlite3_column_int64(s, 10);
	snprintf(v->version, sizeof(v->version), "%" PRIu64, v->number);
	str_copy(v->note, sizeof(v->note), (const char *)sqlite3_column_text(s, 11));
	v->published_ms = sqlite3_column_int64(s, 12);
	e->versions = grown;
	e->versions[e->nversions++] = v;
	return 0;
}

/* An alias of a version that is not served is there all the same: calls of it say which version is missing. */
static int load_alias(struct catalog *c, sqlite3_stmt *s, struct err *err)
{
	const char *weights = (const char *)sqlite3_column_text(s, 5);
	struct catalog_alias a = { .version = (uint64_t)sqlite3_column_int64(s, 4), .created_ms = sqlite3_column_int64(s, 7),
				   .modified_ms = sqlite3_column_int64(s, 8), .revision = (uint64_t)sqlite3_column_int64(s, 9) };
	struct entry *e = catalog_entry(c, (const char *)sqlite3_column_text(s, 0), (const char *)sqlite3_column_text(s, 1));
	if (!e)
		return 0;
	str_copy(a.name, sizeof(a.name), (const char *)sqlite3_column_text(s, 2));
	str_copy(a.id, sizeof(a.id), (const char *)sqlite3_column_text(s, 3));
	str_copy(a.note, sizeof(a.note), (const char *)sqlite3_column_text(s, 6));
	autojson json_t *object = json_parse(weights, strlen(weights), "stored weights", err);
	if (!object || catalog_alias_weights(&a, object, err) < 0)
		return err_wrap(err, "alias %s of function %s of tenant %s", a.name, e->latest->f.name, e->latest->tenant);
	struct catalog_alias *grown = realloc(e->aliases, (e->naliases + 1) * sizeof(*grown));
	if (!grown)
		return err_set(err, ENOMEM, "read the table of aliases");
	e->aliases = grown;
	e->aliases[e->naliases++] = a;
	return 0;
}

static int load_rows(struct catalog *c, const char *sql, int (*load)(struct catalog *, sqlite3_stmt *, struct err *), struct err *err)
{
	sqlite3 *db = writer_connection(c->writer, WRITER_STATE);
	autostmt sqlite3_stmt *s = writer_prepare(db, sql);
	int r;
	while ((r = writer_step(db, s)) == 1)
		if (load(c, s, err) < 0)
			return -EINVAL;
	return r < 0 ? err_set(err, -r, "read the tables of versions and aliases: %s", sqlite3_errmsg(db)) : 0;
}

int catalog_load_versions(struct catalog *c, struct err *err)
{
	int r = load_rows(c, "SELECT " CATALOG_COLUMNS ", version, note, published_ms FROM versions ORDER BY tenant, name, version",
			  load_version, err);
	if (r < 0)
		return r;
	return load_rows(c, "SELECT tenant, name, alias, id, version, weights, note, created_ms, modified_ms, revision"
			    " FROM aliases ORDER BY tenant, name, alias",
			 load_alias, err);
}
