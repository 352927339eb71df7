#include "agent/idempotency.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/api.h"
#include "agent/config.h"
#include "agent/stats.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

struct idempotency {
	const struct config *config;
	struct writer *writer; /* NULL: closed */
};

/* As they stand in the table. */
enum row_state { ROW_RUNNING, ROW_DONE, ROW_TOO_LONG, ROW_LOST };

void idempotency_ask_fini(struct idempotency_ask *a) { buf_fini(&a->reply.body); }

int idempotency_new(struct idempotency **ret, const struct config *c, struct writer *w, struct err *err)
{
	sqlite3 *db = writer_connection(w, WRITER_STATE);
	struct idempotency *t = calloc(1, sizeof(*t));
	if (!t)
		return err_set(err, ENOMEM, "read the table of idempotency keys");
	t->config = c;
	t->writer = w;
	autostmt sqlite3_stmt *s = writer_prepare(db, "UPDATE idempotency SET state = ?1 WHERE state = ?2");
	if (s) {
		sqlite3_bind_int(s, 1, ROW_LOST);
		sqlite3_bind_int(s, 2, ROW_RUNNING);
	}
	int r = writer_step(db, s);
	if (r < 0) {
		free(t);
		return err_set(err, -r, "read the table of idempotency keys: %s", sqlite3_errmsg(db));
	}
	*ret = t;
	return 0;
}

struct idempotency *idempotency_free(struct idempotency *t)
{
	free(t);
	return NULL;
}

void idempotency_close(struct idempotency *t)
{
	if (t)
		t->writer = NULL;
}

/* ---- in the writer's thread ---------------------------------------------- */

static void bind_key(sqlite3_stmt *s, const struct idempotency_ask *a)
{
	if (!s)
		return;
	writer_text(s, 1, a->tenant);
	writer_text(s, 2, a->function);
	writer_text(s, 3, a->key);
}

static void read_text(char *out, size_t size, sqlite3_stmt *s, int column)
{
	const char *text = (const char *)sqlite3_column_text(s, column);
	str_copy(out, size, text ? text : "");
}

/* The row is there: what of it. */
static int read_row(struct idempotency_ask *a, sqlite3_stmt *s)
{
	static const enum idempotency_state states[] = {
		[ROW_RUNNING] = IDEMPOTENCY_RUNNING, [ROW_DONE] = IDEMPOTENCY_DONE, [ROW_TOO_LONG] = IDEMPOTENCY_TOO_LONG,
		[ROW_LOST] = IDEMPOTENCY_LOST,
	};
	char digest[IDEMPOTENCY_DIGEST];
	int state = sqlite3_column_int(s, 0);
	read_text(digest, sizeof(digest), s, 1);
	read_text(a->reply.request_id, sizeof(a->reply.request_id), s, 2);
	a->state = state < 0 || state > ROW_LOST ? IDEMPOTENCY_LOST : states[state];
	if (strcmp(digest, a->digest) != 0)
		a->state = IDEMPOTENCY_OTHER;
	if (a->state != IDEMPOTENCY_DONE)
		return 0;
	const char *code = (const char *)sqlite3_column_text(s, 3), *outcome = (const char *)sqlite3_column_text(s, 4);
	for (a->reply.code = 0; a->reply.code < API_CODE_MAX; a->reply.code++) /* by name: numbers are of one version of this program */
		if (code && strcmp(code, api_code_name((enum api_code)a->reply.code)) == 0)
			break;
	for (a->reply.outcome = 0; a->reply.outcome + 1 < OUTCOME_MAX; a->reply.outcome++)
		if (outcome && strcmp(outcome, outcome_name((enum outcome)a->reply.outcome)) == 0)
			break;
	read_text(a->reply.error_type, sizeof(a->reply.error_type), s, 5);
	read_text(a->reply.version, sizeof(a->reply.version), s, 6);
	const void *body = sqlite3_column_blob(s, 7);
	int len = sqlite3_column_bytes(s, 7);
	a->reply.body = (struct buf)BUF_INIT(IDEMPOTENCY_REPLY_MAX);
	return len > 0 ? buf_append(&a->reply.body, body, (size_t)len) : 0;
}

/* Those that are too old; then is there a place? */
static int make_room(const struct idempotency *t, sqlite3 *db)
{
	autostmt sqlite3_stmt *old = writer_prepare(db, "DELETE FROM idempotency WHERE created_ms < ?1 AND state != ?2");
	if (old) {
		sqlite3_bind_int64(old, 1, clock_real_ms() - (int64_t)t->config->idempotency_age_ms);
		sqlite3_bind_int(old, 2, ROW_RUNNING);
	}
	int r = writer_step(db, old);
	if (r < 0)
		return r;
	autostmt sqlite3_stmt *count = writer_prepare(db, "SELECT count(*) FROM idempotency");
	r = writer_step(db, count);
	return r < 0 ? r : sqlite3_column_int64(count, 0) < (sqlite3_int64)t->config->max_idempotency_keys;
}

static int begin_run(struct writer_job *job, sqlite3 *db)
{
	struct idempotency_ask *a = (struct idempotency_ask *)job;
	int r = make_room(a->table, db);
	bool room = r > 0;
	if (r < 0)
		return r;
	autostmt sqlite3_stmt *s = writer_prepare(db, "SELECT state, digest, request_id, code, outcome, error_type, version, body FROM idempotency"
						      " WHERE tenant = ?1 AND function = ?2 AND key = ?3");
	bind_key(s, a);
	r = writer_step(db, s);
	if (r < 0)
		return r;
	if (r == 1)
		return read_row(a, s);
	a->state = room ? IDEMPOTENCY_NEW : IDEMPOTENCY_FULL;
	if (!room)
		return 0;
	autostmt sqlite3_stmt *n = writer_prepare(db, "INSERT INTO idempotency(tenant, function, key, digest, request_id, created_ms, state)"
						      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)");
	bind_key(n, a);
	if (n) {
		writer_text(n, 4, a->digest);
		writer_text(n, 5, a->reply.request_id);
		sqlite3_bind_int64(n, 6, clock_real_ms());
		sqlite3_bind_int(n, 7, ROW_RUNNING);
	}
	return writer_step(db, n);
}

static int end_run(struct writer_job *job, sqlite3 *db)
{
	const struct idempotency_ask *a = (struct idempotency_ask *)job;
	bool fits = !a->reply.too_long;
	autostmt sqlite3_stmt *s = writer_prepare(db, "UPDATE idempotency SET state = ?4, code = ?5, outcome = ?6, error_type = ?7, version = ?8,"
						      " body = ?9 WHERE tenant = ?1 AND function = ?2 AND key = ?3");
	bind_key(s, a);
	if (s) {
		sqlite3_bind_int(s, 4, fits ? ROW_DONE : ROW_TOO_LONG);
		writer_text(s, 5, a->reply.code == API_CODE_MAX ? NULL : api_code_name((enum api_code)a->reply.code));
		writer_text(s, 6, outcome_name((enum outcome)a->reply.outcome));
		writer_text(s, 7, a->reply.error_type);
		writer_text(s, 8, a->reply.version);
		if (fits)
			sqlite3_bind_blob(s, 9, a->reply.body.data ? a->reply.body.data : "", (int)a->reply.body.len, SQLITE_TRANSIENT);
	}
	return writer_step(db, s);
}

static int forget_run(struct writer_job *job, sqlite3 *db)
{
	const struct idempotency_ask *a = (struct idempotency_ask *)job;
	autostmt sqlite3_stmt *s = writer_prepare(db, "DELETE FROM idempotency WHERE tenant = ?1 AND function = ?2 AND key = ?3");
	bind_key(s, a);
	return writer_step(db, s);
}

/* ---- the loop's side ----------------------------------------------------- */

static void job_done(struct writer_job *job, int result)
{
	struct idempotency_ask *a = (struct idempotency_ask *)job;
	a->done(a, result);
}

static int submit(struct idempotency *t, struct idempotency_ask *a, int (*run)(struct writer_job *job, sqlite3 *db))
{
	a->table = t;
	a->job = (struct writer_job){ .db = WRITER_STATE, .run = run, .done = job_done };
	return t->writer ? writer_submit(t->writer, &a->job) : WRITER_E_FULL;
}

int idempotency_begin(struct idempotency *t, struct idempotency_ask *a) { return submit(t, a, begin_run); }
int idempotency_end(struct idempotency *t, struct idempotency_ask *a) { return submit(t, a, end_run); }
int idempotency_forget(struct idempotency *t, struct idempotency_ask *a) { return submit(t, a, forget_run); }
