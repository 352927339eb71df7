#include "agent/secrets.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "agent/stats.h"
#include "agent/writer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

/* One that is there, and whether it is to go. */
struct held {
	struct secret s;
	bool going;
};

struct secrets {
	const struct config *config;
	struct writer *writer; /* NULL: closed */
	struct stats *stats;
	struct keyring keys;
	struct held **list; /* by tenant, then name */
	size_t count, cap;
	size_t changes;     /* on their way that may add one */
	bool resealing;     /* one at a time */
	size_t resealed;    /* since there was nothing to do */
};

/* A row on its way to the database. */
struct change {
	struct writer_job job; /* first: a job is its change */
	struct secrets *table;
	struct secret s;
	enum { CHANGE_PUT, CHANGE_DELETE, CHANGE_RESEAL } kind;
	uint8_t was[SEAL_EXTRA]; /* CHANGE_RESEAL: the begin of the seal that it replaces, which no two have in common */
	secrets_fn *fn;
	void *arg;
};

/* ---- in memory ----------------------------------------------------------- */

static int compare(const struct secret *s, const char *tenant, const char *name)
{
	int r = strcmp(s->tenant, tenant);
	return r ? r : strcmp(s->name, name);
}

/* Index of the first that is not before it. */
static size_t lower_bound(const struct secrets *t, const char *tenant, const char *name)
{
	size_t low = 0, high = t->count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (compare(&t->list[mid]->s, tenant, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct held *find(const struct secrets *t, const char *tenant, const char *name)
{
	size_t i = lower_bound(t, tenant, name);
	return i < t->count && compare(&t->list[i]->s, tenant, name) == 0 ? t->list[i] : NULL;
}

const struct secret *secrets_find(const struct secrets *t, const char *tenant, const char *name)
{
	const struct held *h = find(t, tenant, name);
	return h && !h->going ? &h->s : NULL;
}

size_t secrets_list(const struct secrets *t, const char *tenant, const char *prefix, const char *from, size_t limit, const struct secret **out,
		    const char **more)
{
	size_t n = 0;
	*more = NULL;
	for (size_t i = lower_bound(t, tenant, strcmp(from, prefix) > 0 ? from : prefix); i < t->count; i++) {
		const struct held *h = t->list[i];
		if (strcmp(h->s.tenant, tenant) != 0 || !str_starts(h->s.name, prefix))
			break;
		if (h->going)
			continue;
		if (n == limit) {
			*more = h->s.name;
			break;
		}
		out[n++] = &h->s;
	}
	return n;
}

static size_t count_of(const struct secrets *t, const char *tenant)
{
	size_t i = lower_bound(t, tenant, ""), n = 0;
	for (; i < t->count && strcmp(t->list[i]->s.tenant, tenant) == 0; i++)
		n++;
	return n;
}

/* Room for all that are under way and one more. */
static int reserve(struct secrets *t)
{
	if (t->count + t->changes + 1 <= t->cap)
		return 0;
	size_t cap = t->cap * 2 + t->changes + 16;
	struct held **grown = realloc(t->list, cap * sizeof(struct held *));
	if (!grown)
		return -ENOMEM;
	t->list = grown;
	t->cap = cap;
	return 0;
}

static void insert(struct secrets *t, struct held *h)
{
	size_t i = lower_bound(t, h->s.tenant, h->s.name);
	assert(t->count < t->cap);
	memmove(&t->list[i + 1], &t->list[i], (t->count - i) * sizeof(struct held *));
	t->list[i] = h;
	t->count++;
}

static void drop(struct secrets *t, struct held *h)
{
	size_t i = lower_bound(t, h->s.tenant, h->s.name);
	memmove(&t->list[i], &t->list[i + 1], (--t->count - i) * sizeof(struct held *));
	free(h);
}

static void update_gauges(struct secrets *t)
{
	uint64_t old = 0, lost = 0;
	for (size_t i = 0; i < t->count; i++) {
		const char *id = t->list[i]->s.key_id;
		old += t->keys.count == 0 || strcmp(id, t->keys.key[0].id) != 0;
		lost += !keyring_find(&t->keys, id);
	}
	t->stats->secrets = t->count;
	t->stats->secrets_of_old_keys = old;
	t->stats->secrets_without_key = lost;
}

/* ---- sealing ------------------------------------------------------------- */

/* What a seal is about: whose text it is. Names hold no NUL. */
static size_t about(const struct secret *s, char out[2 * SECRET_NAME_SIZE + 24])
{
	int n = snprintf(out, 2 * SECRET_NAME_SIZE + 24, "fcnode secret 1%c%s%c%s", '\0', s->tenant, '\0', s->name);
	return (size_t)n;
}

static int seal(const struct keyring_key *k, struct secret *s, const void *text, size_t len)
{
	char whose[2 * SECRET_NAME_SIZE + 24];
	autobuf struct buf sealed = BUF_INIT(sizeof(s->sealed));
	size_t n = about(s, whose);
	int r = seal_text(k, whose, n, text, len, &sealed);
	if (r < 0)
		return r;
	memcpy(s->sealed, sealed.data, sealed.len);
	s->len = sealed.len;
	str_copy(s->key_id, sizeof(s->key_id), k->id);
	return 0;
}

static int open_sealed(const struct secrets *t, const struct secret *s, struct buf *ret, struct err *err)
{
	char whose[2 * SECRET_NAME_SIZE + 24];
	const struct keyring_key *k = keyring_find(&t->keys, s->key_id);
	size_t n = about(s, whose);
	if (!k)
		return err_set(err, ENOKEY, "secret '%s' is sealed with key %s, which this node does not have", s->name, s->key_id);
	int r = seal_open(k, whose, n, s->sealed, s->len, ret);
	if (r == -EBADMSG)
		return err_set(err, ENOKEY, "secret '%s' does not open with key %s: that key is another now, or the database was changed", s->name, k->id);
	return r < 0 ? err_set(err, -r, "open secret '%s'", s->name) : 0;
}

int secrets_open(const struct secrets *t, const char *tenant, const char *name, struct buf *ret, struct err *err)
{
	const struct secret *s = secrets_find(t, tenant, name);
	if (!s)
		return err_set(err, ENOENT, "there is no secret '%s'", name);
	return open_sealed(t, s, ret, err);
}

/* ---- in the writer's thread ---------------------------------------------- */

static int put_run(struct writer_job *job, sqlite3 *db)
{
	const struct change *ch = (struct change *)job;
	autostmt sqlite3_stmt *q = writer_prepare(db, "INSERT INTO secrets(tenant, name, key_id, sealed, created_ms, modified_ms)"
						      " VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT(tenant, name) DO UPDATE SET"
						      " key_id = ?3, sealed = ?4, modified_ms = ?6");
	if (q) {
		writer_text(q, 1, ch->s.tenant);
		writer_text(q, 2, ch->s.name);
		writer_text(q, 3, ch->s.key_id);
		sqlite3_bind_blob(q, 4, ch->s.sealed, (int)ch->s.len, SQLITE_STATIC);
		sqlite3_bind_int64(q, 5, ch->s.created_ms);
		sqlite3_bind_int64(q, 6, ch->s.modified_ms);
	}
	return writer_step(db, q);
}

/* Unless it was changed or deleted meanwhile. */
static int reseal_run(struct writer_job *job, sqlite3 *db)
{
	const struct change *ch = (struct change *)job;
	autostmt sqlite3_stmt *q = writer_prepare(db, "UPDATE secrets SET key_id = ?3, sealed = ?4 WHERE tenant = ?1 AND name = ?2"
						      " AND substr(sealed, 1, ?5) = ?6");
	if (q) {
		writer_text(q, 1, ch->s.tenant);
		writer_text(q, 2, ch->s.name);
		writer_text(q, 3, ch->s.key_id);
		sqlite3_bind_blob(q, 4, ch->s.sealed, (int)ch->s.len, SQLITE_STATIC);
		sqlite3_bind_int(q, 5, (int)sizeof(ch->was));
		sqlite3_bind_blob(q, 6, ch->was, (int)sizeof(ch->was), SQLITE_STATIC);
	}
	return writer_step(db, q);
}

static int delete_run(struct writer_job *job, sqlite3 *db)
{
	const struct change *ch = (struct change *)job;
	autostmt sqlite3_stmt *q = writer_prepare(db, "DELETE FROM secrets WHERE tenant = ?1 AND name = ?2");
	if (q) {
		writer_text(q, 1, ch->s.tenant);
		writer_text(q, 2, ch->s.name);
	}
	return writer_step(db, q);
}

/* ---- changes ------------------------------------------------------------- */

static void reseal_next(struct secrets *t);

static void change_done(struct writer_job *job, int result)
{
	struct change *ch = (struct change *)job;
	struct secrets *t = ch->table;
	struct held *h = find(t, ch->s.tenant, ch->s.name);
	t->changes--;
	t->resealing &= ch->kind != CHANGE_RESEAL;
	if (ch->kind == CHANGE_RESEAL && h && memcmp(h->s.sealed, ch->was, sizeof(ch->was)) != 0)
		h = NULL; /* changed meanwhile */
	if (result == 0 && ch->kind == CHANGE_DELETE) {
		if (h)
			drop(t, h);
	} else if (result == 0 && h) {
		ch->s.created_ms = h->s.created_ms;
		h->s = ch->s;
	} else if (result == 0 && ch->kind == CHANGE_PUT) {
		h = calloc(1, sizeof(*h));
		if (h) {
			h->s = ch->s;
			insert(t, h);
		}
		result = h ? 0 : -ENOMEM; /* it is there after the next start */
	} else if (h && ch->kind == CHANGE_DELETE) {
		h->going = false;
	}
	update_gauges(t);
	if (ch->fn && result < 0)
		ch->fn(ch->arg, result == -ENOSPC ? API_STORAGE_FULL : API_INTERNAL, "the secret could not be written to the database", NULL);
	else if (ch->fn)
		ch->fn(ch->arg, API_CODE_MAX, "", ch->kind == CHANGE_DELETE ? NULL : &h->s);
	if (result < 0 && ch->kind == CHANGE_RESEAL)
		log_warning("event=secrets error=\"sealing secrets with key %s: %s\" action=\"SIGHUP or a start tries again\"", ch->s.key_id, strerror(-result));
	else
		reseal_next(t);
	free(ch);
}

/* Takes *ch over. */
static void submit(struct change *ch)
{
	struct secrets *t = ch->table;
	static int (*const run[])(struct writer_job *, sqlite3 *) = {
		[CHANGE_PUT] = put_run, [CHANGE_DELETE] = delete_run, [CHANGE_RESEAL] = reseal_run,
	};
	ch->job = (struct writer_job){ .db = WRITER_STATE, .run = run[ch->kind], .done = change_done };
	if (t->writer && writer_submit(t->writer, &ch->job) == WRITER_OK) {
		t->changes++;
		t->resealing |= ch->kind == CHANGE_RESEAL;
		struct held *h = ch->kind == CHANGE_DELETE ? find(t, ch->s.tenant, ch->s.name) : NULL;
		if (h)
			h->going = true;
		return;
	}
	if (ch->fn)
		ch->fn(ch->arg, t->writer ? API_RESOURCE_THROTTLED : API_SHUTTING_DOWN, t->writer ? "the database has too many writes waiting; try again"
												   : "the agent is shutting down", NULL);
	free(ch);
}

static struct change *change_new(struct secrets *t, int kind, const char *tenant, const char *name)
{
	struct change *ch = calloc(1, sizeof(*ch));
	if (!ch)
		return NULL;
	ch->table = t;
	ch->kind = kind;
	str_copy(ch->s.tenant, sizeof(ch->s.tenant), tenant);
	str_copy(ch->s.name, sizeof(ch->s.name), name);
	return ch;
}

void secrets_put(struct secrets *t, const char *tenant, const char *name, const void *text, size_t len, secrets_fn *fn, void *arg)
{
	char message[200];
	assert(len >= 1 && len <= SECRET_BYTES_MAX);
	if (t->keys.count == 0)
		return fn(arg, API_NOT_IMPLEMENTED, "this node keeps no secrets: its operator gave it no secret-keys (fc-agent.conf(5))", NULL);
	if (!find(t, tenant, name) && count_of(t, tenant) + t->changes >= t->config->max_secrets) {
		snprintf(message, sizeof(message), "tenant '%s' has as many secrets as max-secrets (%" PRIu64 ") allows", tenant, t->config->max_secrets);
		return fn(arg, API_RESOURCE_EXHAUSTED, message, NULL);
	}
	struct change *ch = reserve(t) == 0 ? change_new(t, CHANGE_PUT, tenant, name) : NULL;
	if (!ch || seal(&t->keys.key[0], &ch->s, text, len) < 0) {
		free(ch);
		return fn(arg, API_INTERNAL, "seal the secret: out of memory or of random numbers", NULL);
	}
	ch->s.created_ms = ch->s.modified_ms = clock_real_ms();
	ch->fn = fn;
	ch->arg = arg;
	submit(ch);
}

void secrets_delete(struct secrets *t, const struct secret *s, secrets_fn *fn, void *arg)
{
	struct change *ch = change_new(t, CHANGE_DELETE, s->tenant, s->name);
	if (!ch)
		return fn(arg, API_INTERNAL, "out of memory", NULL);
	ch->fn = fn;
	ch->arg = arg;
	submit(ch);
}

/* The next that another key than the first has sealed, and that opens. */
static void reseal_next(struct secrets *t)
{
	struct err err = ERR_INIT;
	if (t->resealing || t->keys.count == 0 || (t->resealed == 0 && t->stats->secrets_of_old_keys == t->stats->secrets_without_key))
		return;
	for (size_t i = 0; i < t->count; i++) {
		const struct held *h = t->list[i];
		struct buf text = BUF_INIT(SECRET_BYTES_MAX);
		if (h->going || strcmp(h->s.key_id, t->keys.key[0].id) == 0 || buf_reserve(&text, SECRET_BYTES_MAX) < 0)
			continue;
		struct change *ch = open_sealed(t, &h->s, &text, &err) == 0 ? change_new(t, CHANGE_RESEAL, h->s.tenant, h->s.name) : NULL;
		if (ch) {
			ch->s = h->s;
			memcpy(ch->was, h->s.sealed, sizeof(ch->was));
			if (seal(&t->keys.key[0], &ch->s, text.data, text.len) < 0) {
				free(ch);
				ch = NULL;
			}
		}
		explicit_bzero(text.data, text.cap);
		buf_fini(&text);
		if (ch) {
			t->resealed++;
			return submit(ch);
		}
	}
	if (t->resealed > 0)
		log_info("event=secrets resealed=%zu key=%s of_old_keys=%" PRIu64, t->resealed, t->keys.key[0].id, (uint64_t)t->stats->secrets_of_old_keys);
	t->resealed = 0;
}

/* ---- life ---------------------------------------------------------------- */

static int load_row(struct secrets *t, sqlite3_stmt *q)
{
	struct held *h = reserve(t) == 0 ? calloc(1, sizeof(*h)) : NULL;
	if (!h)
		return -ENOMEM;
	str_copy(h->s.tenant, sizeof(h->s.tenant), (const char *)sqlite3_column_text(q, 0));
	str_copy(h->s.name, sizeof(h->s.name), (const char *)sqlite3_column_text(q, 1));
	str_copy(h->s.key_id, sizeof(h->s.key_id), (const char *)sqlite3_column_text(q, 2));
	const void *sealed = sqlite3_column_blob(q, 3);
	int len = sqlite3_column_bytes(q, 3);
	if (len > 0 && (size_t)len <= sizeof(h->s.sealed)) {
		memcpy(h->s.sealed, sealed, (size_t)len);
		h->s.len = (size_t)len;
	} /* else it will not open */
	h->s.created_ms = sqlite3_column_int64(q, 4);
	h->s.modified_ms = sqlite3_column_int64(q, 5);
	insert(t, h);
	return 0;
}

static int load(struct secrets *t, struct writer *w, struct err *err)
{
	sqlite3 *db = writer_connection(w, WRITER_STATE);
	autostmt sqlite3_stmt *q = writer_prepare(db, "SELECT tenant, name, key_id, sealed, created_ms, modified_ms FROM secrets ORDER BY tenant, name");
	int r;
	while ((r = writer_step(db, q)) == 1)
		if (load_row(t, q) < 0)
			return err_set(err, ENOMEM, "read the secrets");
	return r < 0 ? err_set(err, -r, "read the secrets: %s", sqlite3_errmsg(db)) : 0;
}

static void take_keys(struct secrets *t, struct keyring *keys)
{
	t->keys = *keys;
	keyring_wipe(keys);
	update_gauges(t);
	if (t->stats->secrets_without_key > 0)
		log_err("event=secrets error=\"%" PRIu64 " of %" PRIu64 " secrets are sealed with keys that secret-keys does not have\""
			" hint=\"put those keys back; functions with these secrets are refused until then\"",
			(uint64_t)t->stats->secrets_without_key, (uint64_t)t->stats->secrets);
	reseal_next(t);
}

int secrets_new(struct secrets **ret, const struct config *c, struct writer *w, struct keyring *keys, struct stats *stats, struct err *err)
{
	struct secrets *t = calloc(1, sizeof(*t));
	if (!t)
		return err_set(err, ENOMEM, "read the secrets");
	t->config = c;
	t->writer = w;
	t->stats = stats;
	int r = load(t, w, err);
	if (r < 0) {
		secrets_free(t);
		return r;
	}
	take_keys(t, keys);
	*ret = t;
	return 0;
}

struct secrets *secrets_free(struct secrets *t)
{
	if (!t)
		return NULL;
	for (size_t i = 0; i < t->count; i++)
		free(t->list[i]);
	free(t->list);
	keyring_wipe(&t->keys);
	free(t);
	return NULL;
}

void secrets_close(struct secrets *t)
{
	if (t)
		t->writer = NULL;
}

void secrets_reload(struct secrets *t, struct keyring *keys) { take_keys(t, keys); }
