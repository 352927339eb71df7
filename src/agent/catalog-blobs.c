#include "agent/catalog.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/catalog-internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

struct put { /* a bundle being stored */
	struct writer_job job;
	struct catalog *catalog;
	struct blob *blob;
	struct upload *upload;
	catalog_fn *fn;
	void *arg;
	LIST_ENTRY(put) entry;
};

struct row_job { /* a bundle's row being updated or removed, nobody waiting */
	struct writer_job job;
	struct catalog *catalog;
	struct blob blob;
	bool unlink;
};

/* ---- the table in memory ------------------------------------------------- */

struct blob *catalog_blob(struct catalog *c, const char *tenant, const char *digest)
{
	struct blob *b;
	LIST_FOREACH(b, &c->blobs, entry)
		if (strcmp(b->digest, digest) == 0 && strcmp(b->tenant, tenant) == 0)
			return b;
	return NULL;
}

bool catalog_has_blob(struct catalog *c, const char *tenant, const char *digest)
{
	return catalog_blob(c, tenant, digest) != NULL;
}

int catalog_blob_dir(const struct catalog *c) { return c->blob_dir; }

int catalog_open_blob(struct catalog *c, const char *tenant, const char *digest)
{
	if (!catalog_blob(c, tenant, digest))
		return -ENOENT;
	int fd = openat(c->blob_dir, digest, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

uint64_t catalog_tenant_bytes(const struct catalog *c, const char *tenant)
{
	uint64_t sum = 0;
	const struct blob *b;
	LIST_FOREACH(b, &c->blobs, entry)
		if (strcmp(b->tenant, tenant) == 0)
			sum += b->size + b->tree[MSG_KIND_CODE].bytes + b->tree[MSG_KIND_OPT].bytes;
	const struct put *p;
	LIST_FOREACH(p, &c->pending_puts, entry)
		if (strcmp(p->blob->tenant, tenant) == 0)
			sum += p->blob->size;
	const struct catalog_charge *ch;
	LIST_FOREACH(ch, &c->charges, entry)
		if (strcmp(ch->tenant, tenant) == 0)
			sum += ch->max;
	return sum;
}

struct catalog_charge *catalog_charge(struct catalog *c, const char *tenant, const char *digest, uint64_t want)
{
	struct catalog_charge *ch = calloc(1, sizeof(*ch));
	if (!ch)
		return NULL;
	uint64_t used = catalog_tenant_bytes(c, tenant), quota = c->config->tenant_disk_quota;
	const struct blob *have = digest ? catalog_blob(c, tenant, digest) : NULL;
	if (have && have->size < want)
		want = have->size; /* more cannot have that digest */
	uint64_t left = used < quota ? quota - used : 0;
	if (have && used <= quota)
		left = want; /* it replaces itself: possible with a full quota too, one at a time */
	ch->catalog = c;
	str_copy(ch->tenant, sizeof(ch->tenant), tenant);
	ch->bound = left < want;
	ch->max = ch->bound ? left : want;
	LIST_INSERT_HEAD(&c->charges, ch, entry);
	return ch;
}

struct catalog_charge *catalog_discharge(struct catalog_charge *ch)
{
	if (ch && ch->catalog)
		LIST_REMOVE(ch, entry);
	free(ch);
	return NULL;
}

void catalog_quota_text(const struct catalog *c, const char *tenant, char *out, size_t size)
{
	snprintf(out, size, "tenant '%s' uses %" PRIu64 " bytes of code, uploads under way included, and this would pass "
			    "tenant-disk-quota (%" PRIu64 "); delete functions it no longer needs",
		 tenant, catalog_tenant_bytes(c, tenant), c->config->tenant_disk_quota);
}

static void count_blobs(struct catalog *c)
{
	c->stats->blobs = c->stats->blob_bytes = c->stats->layer_bytes = 0;
	const struct blob *b;
	LIST_FOREACH(b, &c->blobs, entry) {
		c->stats->blobs++;
		c->stats->blob_bytes += b->size;
		c->stats->layer_bytes += b->tree[MSG_KIND_CODE].bytes + b->tree[MSG_KIND_OPT].bytes;
	}
}

/* ---- storing ------------------------------------------------------------- */

#define BLOB_COLUMNS                                                                                  \
	"tenant, digest, size, checksum, created_ms, layer_bytes, layer_files, unpacked, opt_bytes," \
	" opt_files, opt_unpacked"
_Static_assert(MSG_KIND_CODE == 0 && MSG_KIND_OPT == 1 && MSG_KIND_MAX == 2, "BLOB_COLUMNS");

static int bind_blob(sqlite3 *db, const char *sql, const struct blob *b)
{
	autostmt sqlite3_stmt *s = writer_prepare(db, sql);
	if (!s)
		return writer_step(db, s);
	writer_text(s, 1, b->tenant);
	writer_text(s, 2, b->digest);
	if (sqlite3_bind_parameter_count(s) > 2) {
		sqlite3_bind_int64(s, 3, (sqlite3_int64)b->size);
		writer_text(s, 4, b->checksum);
		sqlite3_bind_int64(s, 5, b->created_ms);
		for (int i = 0; i < MSG_KIND_MAX; i++) {
			sqlite3_bind_int64(s, 6 + 3 * i, (sqlite3_int64)b->tree[i].bytes);
			sqlite3_bind_int64(s, 7 + 3 * i, (sqlite3_int64)b->tree[i].files);
			sqlite3_bind_int(s, 8 + 3 * i, b->tree[i].unpacked);
		}
	}
	return writer_step(db, s);
}

static const char replace_blob[] =
	"INSERT OR REPLACE INTO blobs(" BLOB_COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

static int row_update(struct writer_job *job, sqlite3 *db)
{
	struct row_job *r = (struct row_job *)job;
	return bind_blob(db, replace_blob, &r->blob);
}

static int row_remove(struct writer_job *job, sqlite3 *db)
{
	struct row_job *r = (struct row_job *)job;
	if (r->unlink && unlinkat(r->catalog->blob_dir, r->blob.digest, 0) < 0 && errno != ENOENT)
		return -errno;
	return bind_blob(db, "DELETE FROM blobs WHERE tenant = ?1 AND digest = ?2", &r->blob);
}

static void row_done(struct writer_job *job, int result)
{
	struct row_job *r = (struct row_job *)job;
	if (result < 0)
		log_warning("digest=%s row of a bundle not written: %s, ignoring", r->blob.digest, strerror(-result));
	free(r);
}

static void submit_row(struct catalog *c, const struct blob *b, bool remove, bool unlink)
{
	struct row_job *r = calloc(1, sizeof(*r));
	if (!r)
		return;
	*r = (struct row_job){ { .db = WRITER_STATE, .run = remove ? row_remove : row_update, .done = row_done }, c, *b,
			       unlink };
	if (writer_submit(c->writer, &r->job) == WRITER_E_FULL)
		free(r); /* a row that stayed is found again at the next start */
}

static int put_run(struct writer_job *job, sqlite3 *db)
{
	struct put *p = (struct put *)job;
	int r = upload_keep(p->upload, p->blob->digest);
	return r < 0 ? r : bind_blob(db, replace_blob, p->blob);
}

static void put_done(struct writer_job *job, int result)
{
	struct put *p = (struct put *)job;
	struct catalog *c = p->catalog;
	struct catalog_result r = { .code = API_CODE_MAX };
	LIST_REMOVE(p, entry);
	if (result < 0) {
		r.code = result == -ENOSPC ? API_STORAGE_FULL : API_INTERNAL;
		snprintf(r.message, sizeof(r.message), "store the bundle: %s", strerror(-result));
		free(p->blob);
	} else if (catalog_blob(c, p->blob->tenant, p->blob->digest)) {
		free(p->blob); /* two uploads of the same bytes at once */
	} else {
		LIST_INSERT_HEAD(&c->blobs, p->blob, entry);
		count_blobs(c);
	}
	p->fn(p->arg, &r);
	upload_free(p->upload);
	free(p);
}

static void put_refused(struct upload *u, catalog_fn *fn, void *arg, enum api_code code, const char *message)
{
	struct catalog_result r = { .code = code };
	str_copy(r.message, sizeof(r.message), message);
	upload_free(u);
	fn(arg, &r);
}

void catalog_put_blob(struct catalog *c, const char *tenant, struct upload *u, const struct upload_result *digest,
		      catalog_fn *fn, void *arg)
{
	struct blob *have = catalog_blob(c, tenant, digest->sha256);
	if (have) {
		struct catalog_result r = { .code = API_CODE_MAX };
		have->created_ms = clock_real_ms(); /* the create that follows has the whole grace again */
		submit_row(c, have, false, false);
		upload_free(u);
		fn(arg, &r);
		return;
	}
	uint64_t used = catalog_tenant_bytes(c, tenant);
	if (digest->bytes > c->config->tenant_disk_quota || used > c->config->tenant_disk_quota - digest->bytes) {
		char text[320];
		catalog_quota_text(c, tenant, text, sizeof(text));
		return put_refused(u, fn, arg, API_LIMIT_EXCEEDED, text);
	}
	struct put *p = calloc(1, sizeof(*p));
	struct blob *b = calloc(1, sizeof(*b));
	if (!p || !b) {
		free(p);
		free(b);
		return put_refused(u, fn, arg, API_INTERNAL, "store the bundle: out of memory");
	}
	str_copy(b->tenant, sizeof(b->tenant), tenant);
	memcpy(b->digest, digest->sha256, sizeof(b->digest));
	memcpy(b->checksum, digest->checksum, sizeof(b->checksum));
	b->size = digest->bytes;
	b->created_ms = clock_real_ms();
	*p = (struct put){ { .db = WRITER_STATE, .run = put_run, .done = put_done }, c, b, u, fn, arg, { NULL, NULL } };
	if (writer_submit(c->writer, &p->job) == WRITER_E_FULL) {
		free(b);
		free(p);
		return put_refused(u, fn, arg, API_RESOURCE_THROTTLED, "the database has too many writes waiting; try again");
	}
	LIST_INSERT_HEAD(&c->pending_puts, p, entry);
}

/* ---- layers -------------------------------------------------------------- */

static void pump(struct catalog *c);

static void unpack_failed(struct change *ch, const struct msg_layer_failed *m)
{
	static const enum api_code code[] = {
		[MSG_LAYER_REFUSED] = API_INVALID_ARGUMENT, [MSG_LAYER_TOO_LARGE] = API_LIMIT_EXCEEDED,
		[MSG_LAYER_DIGEST] = API_INTERNAL, [MSG_LAYER_BUSY] = API_RESOURCE_THROTTLED,
		[MSG_LAYER_HOST] = API_INTERNAL,
	};
	_Static_assert(ARRAY_LEN(code) == MSG_LAYER_MAX, "a code for each outcome");
	ch->catalog->stats->layers_failed++;
	if (ch->kind == CHANGE_RESTORE)
		log_err("digest=%s layer could not be restored: %s", ch->blob->digest, m->text);
	change_fail(ch, m->code == ENOSPC ? API_STORAGE_FULL : code[m->outcome], "unpack the code bundle: %s%s", m->text,
		    m->outcome == MSG_LAYER_TOO_LARGE && ch->quota_bound ? " (what tenant-disk-quota leaves)" : "");
}

static void on_layer(void *arg, const struct msg_layer_done *done, const struct msg_layer_failed *failed)
{
	struct change *ch = arg;
	struct catalog *c = ch->catalog;
	c->unpacks--;
	ch->unpacking = false;
	TAILQ_REMOVE(&c->waiting, ch, wait);
	if (failed) {
		unpack_failed(ch, failed);
	} else {
		struct tree *t = &ch->blob->tree[ch->tree];
		c->stats->layers_unpacked += !done->existed;
		t->unpacked = true;
		if (!done->existed || !t->bytes) {
			t->bytes = done->bytes;
			t->files = done->files;
		}
		count_blobs(c);
		submit_row(c, ch->blob, false, false);
		change_commit(ch);
	}
	pump(c);
}

/* What the tenant's unpacks under way may still add. */
static uint64_t granted_bytes(const struct catalog *c, const char *tenant)
{
	uint64_t sum = 0;
	const struct change *ch;
	TAILQ_FOREACH(ch, &c->waiting, wait)
		if (ch->unpacking && strcmp(ch->blob->tenant, tenant) == 0)
			sum += ch->granted;
	return sum;
}

/* 0 when the unpack is under way; 1: not now, the tenant's others may take what is left of its quota. */
static int start_unpack(struct change *ch)
{
	struct catalog *c = ch->catalog;
	struct blob *b = ch->blob;
	uint64_t granted = granted_bytes(c, b->tenant), used = catalog_tenant_bytes(c, b->tenant) + granted;
	uint64_t quota = c->config->tenant_disk_quota, max = c->config->max_unpacked_bytes;
	uint64_t left = used < quota ? quota - used : 1;
	if (left < max && granted > 0)
		return 1;
	ch->quota_bound = left < max;
	ch->granted = ch->quota_bound ? left : max;
	autoclose int fd = openat(c->blob_dir, b->digest, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	int r = link_layer_unpack(c->link, ch->tree, fd, b->digest, ch->granted, c->config->max_files, on_layer, ch);
	return r > 0 ? -EAGAIN : r;
}

/* Is the same layer being made or removed? on_layer() and on_dropped() come back to pump(). */
static bool layer_is_busy(const struct catalog *c, enum msg_layer_kind kind, const char *digest)
{
	const struct change *ch;
	TAILQ_FOREACH(ch, &c->waiting, wait)
		if (ch->unpacking && ch->tree == kind && strcmp(ch->blob->digest, digest) == 0)
			return true;
	const struct drop *d;
	LIST_FOREACH(d, &c->drops, entry)
		if (d->asked && d->kind == kind && strcmp(d->digest, digest) == 0)
			return true;
	return false;
}

/* Begin what waits: never two of the same digest at once (the second finds it there), never more than keeper takes. */
static void pump(struct catalog *c)
{
	struct change *ch, *next;
	for (ch = TAILQ_FIRST(&c->waiting); ch && c->link; ch = next) {
		next = TAILQ_NEXT(ch, wait);
		if (ch->unpacking)
			continue;
		if (ch->blob->tree[ch->tree].unpacked) {
			TAILQ_REMOVE(&c->waiting, ch, wait);
			change_commit(ch);
			continue;
		}
		const struct msg_welcome *w = link_welcome(c->link);
		if (!w || c->unpacks >= w->max_unpacks)
			return;
		int r = layer_is_busy(c, ch->tree, ch->blob->digest) ? 1 : start_unpack(ch);
		if (r == 1)
			continue;
		if (r == 0) {
			ch->unpacking = true;
			c->unpacks++;
			continue;
		}
		TAILQ_REMOVE(&c->waiting, ch, wait);
		if (ch->kind == CHANGE_RESTORE)
			log_err("digest=%s layer could not be restored: %s", ch->blob->digest, strerror(-r));
		change_fail(ch, r == -EAGAIN ? API_RESOURCE_THROTTLED : API_INTERNAL, "unpack the code bundle: %s",
			    strerror(-r));
	}
}

void catalog_want_layer(struct change *ch)
{
	if (ch->blob->tree[ch->tree].unpacked) {
		change_commit(ch);
		return;
	}
	TAILQ_INSERT_TAIL(&ch->catalog->waiting, ch, wait);
	pump(ch->catalog);
}

/* ---- collection ---------------------------------------------------------- */

static bool digest_in_use(struct catalog *c, const char *digest)
{
	const struct blob *b;
	LIST_FOREACH(b, &c->blobs, entry)
		if (strcmp(b->digest, digest) == 0)
			return true;
	const struct put *p;
	LIST_FOREACH(p, &c->pending_puts, entry)
		if (strcmp(p->blob->digest, digest) == 0)
			return true;
	return false;
}

/* Is that tree of it anybody's, or about to be? */
static bool tree_in_use(const struct catalog *c, enum msg_layer_kind kind, const char *digest)
{
	const struct blob *b;
	LIST_FOREACH(b, &c->blobs, entry)
		if ((b->tree[kind].unpacked || b->tree[kind].refs) && strcmp(b->digest, digest) == 0)
			return true;
	return false;
}

static void on_dropped(void *arg, const struct msg_layer_dropped *m)
{
	struct drop *d = arg;
	if (m->code == EBUSY && !tree_in_use(d->catalog, d->kind, d->digest)) {
		d->asked = false; /* a call still runs in it: the sweep asks again */
		return;
	}
	if (m->code == 0)
		d->catalog->stats->layers_dropped++;
	struct catalog *c = d->catalog;
	LIST_REMOVE(d, entry);
	free(d);
	pump(c);
}

static void drop_layer(struct catalog *c, enum msg_layer_kind kind, const char *digest)
{
	struct drop *d = calloc(1, sizeof(*d));
	if (!d)
		return; /* compared with keeper's list at the next start */
	str_copy(d->digest, sizeof(d->digest), digest);
	d->kind = kind;
	d->catalog = c;
	LIST_INSERT_HEAD(&c->drops, d, entry);
}

/* What the tenant's functions or layers do not show any more; another tenant's may. */
static void drop_tree(struct catalog *c, struct blob *b, enum msg_layer_kind kind)
{
	if (!b->tree[kind].unpacked)
		return;
	b->tree[kind] = (struct tree){ .unpacked = false };
	if (!tree_in_use(c, kind, b->digest))
		drop_layer(c, kind, b->digest);
}

static unsigned blob_refs(const struct blob *b) { return b->tree[MSG_KIND_CODE].refs + b->tree[MSG_KIND_OPT].refs; }

static void remove_blob(struct catalog *c, struct blob *b)
{
	LIST_REMOVE(b, entry);
	submit_row(c, b, true, !digest_in_use(c, b->digest));
	drop_tree(c, b, MSG_KIND_CODE);
	drop_tree(c, b, MSG_KIND_OPT);
	free(b);
	count_blobs(c);
}

void catalog_collect(struct catalog *c)
{
	struct blob *b, *next_blob;
	int64_t now = clock_real_ms();
	for (b = LIST_FIRST(&c->blobs); b; b = next_blob) {
		next_blob = LIST_NEXT(b, entry);
		if (blob_refs(b) == 0 && b->created_ms + CATALOG_BLOB_GRACE_MS < now)
			remove_blob(c, b);
	}
	struct drop *d, *next;
	for (d = LIST_FIRST(&c->drops); d && c->link; d = next) {
		next = LIST_NEXT(d, entry);
		if (d->asked)
			continue;
		if (tree_in_use(c, d->kind, d->digest)) { /* deployed again meanwhile */
			LIST_REMOVE(d, entry);
			free(d);
			continue;
		}
		d->asked = link_layer_drop(c->link, d->kind, d->digest, on_dropped, d) == LINK_OK;
	}
}

void catalog_blob_unref(struct catalog *c, struct blob *b, enum msg_layer_kind tree)
{
	assert(b->tree[tree].refs > 0);
	if (--b->tree[tree].refs > 0 || c->ending)
		return;
	/* A bundle that a change named and nobody uses is not wanted any more, but a refused change may be tried again. */
	bool was_deployed = b->tree[tree].unpacked;
	if (!was_deployed)
		return;
	if (blob_refs(b) == 0) {
		remove_blob(c, b);
	} else {
		drop_tree(c, b, tree);
		submit_row(c, b, false, false);
		count_blobs(c);
	}
	catalog_collect(c);
}

/* ---- start and end ------------------------------------------------------- */

int catalog_load_blobs(struct catalog *c, struct err *err)
{
	sqlite3 *db = writer_connection(c->writer, WRITER_STATE);
	autostmt sqlite3_stmt *s = writer_prepare(db, "SELECT " BLOB_COLUMNS " FROM blobs");
	int r;
	while ((r = writer_step(db, s)) == 1) {
		struct blob *b = calloc(1, sizeof(*b));
		if (!b)
			return err_set(err, ENOMEM, "read the table of bundles");
		str_copy(b->tenant, sizeof(b->tenant), (const char *)sqlite3_column_text(s, 0));
		str_copy(b->digest, sizeof(b->digest), (const char *)sqlite3_column_text(s, 1));
		b->size = (uint64_t)sqlite3_column_int64(s, 2);
		str_copy(b->checksum, sizeof(b->checksum), (const char *)sqlite3_column_text(s, 3));
		b->created_ms = sqlite3_column_int64(s, 4);
		for (int i = 0; i < MSG_KIND_MAX; i++)
			b->tree[i] = (struct tree){ .bytes = (uint64_t)sqlite3_column_int64(s, 5 + 3 * i),
						    .files = (uint64_t)sqlite3_column_int64(s, 6 + 3 * i),
						    .unpacked = sqlite3_column_int(s, 7 + 3 * i) != 0 };
		LIST_INSERT_HEAD(&c->blobs, b, entry);
	}
	count_blobs(c);
	return r < 0 ? err_set(err, -r, "read the table of bundles: %s", sqlite3_errmsg(db)) : 0;
}

void catalog_free_blobs(struct catalog *c)
{
	struct catalog_charge *ch;
	while ((ch = LIST_FIRST(&c->charges))) { /* whose uploads end after us */
		LIST_REMOVE(ch, entry);
		ch->catalog = NULL;
	}
	struct blob *b;
	while ((b = LIST_FIRST(&c->blobs))) {
		LIST_REMOVE(b, entry);
		free(b);
	}
	struct drop *d;
	while ((d = LIST_FIRST(&c->drops))) {
		LIST_REMOVE(d, entry);
		free(d);
	}
}

/* A file without a row: a crash or a failed commit came after its rename, or before its removal. */
int catalog_clear_blobs(struct catalog *c)
{
	int fd = openat(c->blob_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autodir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int code = errno;
		if (fd >= 0)
			close(fd);
		return -code;
	}
	const struct dirent *e;
	while ((errno = 0, e = readdir(dir)))
		if (str_is_hex(e->d_name, UPLOAD_HEX - 1) && !digest_in_use(c, e->d_name) &&
		    unlinkat(c->blob_dir, e->d_name, 0) < 0 && errno != ENOENT)
			return -errno;
	return -errno;
}

/* Walks keeper's list page by page: what it lacks is unpacked again, what only it has goes. */
struct check {
	struct catalog *catalog;
	enum msg_layer_kind kind;
	size_t count, cap;
	char (*have)[UPLOAD_HEX];
};

static void restore(struct catalog *c, struct blob *b, enum msg_layer_kind kind)
{
	b->tree[kind].unpacked = false;
	if (b->tree[kind].refs == 0)
		return;
	struct change *ch = catalog_change_new(c, CHANGE_RESTORE, NULL, NULL);
	if (!ch)
		return;
	ch->blob = b;
	ch->tree = kind;
	b->tree[kind].refs++;
	catalog_want_layer(ch);
}

static int compare_digest(const void *a, const void *b) { return strcmp(a, b); }

static void check_end(struct check *k)
{
	struct catalog *c = k->catalog;
	struct blob *b, *next;
	for (b = LIST_FIRST(&c->blobs); b; b = next) {
		next = LIST_NEXT(b, entry);
		if (b->tree[k->kind].unpacked && !(k->count && bsearch(b->digest, k->have, k->count, sizeof(*k->have), compare_digest)))
			restore(c, b, k->kind);
	}
	for (size_t i = 0; i < k->count; i++)
		if (!tree_in_use(c, k->kind, k->have[i]))
			drop_layer(c, k->kind, k->have[i]);
	catalog_collect(c);
	free(k->have);
	free(k);
}

static void on_layers(void *arg, const struct msg_layers *m)
{
	struct check *k = arg;
	if (k->count + m->count > k->cap) {
		size_t cap = k->cap * 2 + MSG_LAYER_PAGE;
		char(*grown)[UPLOAD_HEX] = realloc(k->have, cap * sizeof(*grown));
		if (!grown) {
			free(k->have);
			free(k);
			return;
		}
		k->have = grown;
		k->cap = cap;
	}
	for (uint32_t i = 0; i < m->count; i++)
		str_copy(k->have[k->count++], UPLOAD_HEX, m->sha256[i]);
	if (!m->more || m->count == 0 ||
	    link_layer_list(k->catalog->link, k->kind, k->have[k->count - 1], on_layers, k) != LINK_OK)
		check_end(k);
}

static void check_kind(struct catalog *c, enum msg_layer_kind kind)
{
	struct check *k = calloc(1, sizeof(*k));
	if (k) {
		k->catalog = c;
		k->kind = kind;
	}
	if (k && link_layer_list(c->link, kind, "", on_layers, k) == LINK_OK)
		return;
	log_err("layers could not be compared with keeper's: %s", k ? "too many requests in flight" : "out of memory");
	free(k);
}

void catalog_check_layers(struct catalog *c)
{
	for (int kind = 0; kind < MSG_KIND_MAX; kind++)
		check_kind(c, (enum msg_layer_kind)kind);
}
