#include "agent/writer.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/stats.h"
#include "base/cleanup.h"
#include "base/log.h"

enum { BATCH_MAX = 1024 };

struct writer {
	sqlite3 *db[WRITER_DBS];
	struct stats *stats;
	struct event *ready;
	int ready_fd;          /* eventfd: the done list is not empty */
	bool running;
	pthread_t thread;

	pthread_mutex_t lock;  /* guards what follows */
	pthread_cond_t wake;
	struct writer_job *todo, **todo_end;
	struct writer_job *finished, **finished_end;
	size_t waiting;        /* submitted and not yet done() */
	uint64_t commits;
	bool ending;
};

static const char state_schema[] =
	"CREATE TABLE functions(tenant TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL, config TEXT NOT NULL,"
	" digest TEXT NOT NULL, code_size INTEGER NOT NULL, checksum TEXT NOT NULL, created_ms INTEGER NOT NULL,"
	" modified_ms INTEGER NOT NULL, revision INTEGER NOT NULL, PRIMARY KEY(tenant, name)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE blobs(tenant TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, checksum TEXT NOT NULL,"
	" created_ms INTEGER NOT NULL, layer_bytes INTEGER NOT NULL, layer_files INTEGER NOT NULL,"
	" unpacked INTEGER NOT NULL, PRIMARY KEY(tenant, digest)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE usage(seq INTEGER PRIMARY KEY AUTOINCREMENT, request_id TEXT NOT NULL UNIQUE,"
	" tenant TEXT NOT NULL, function TEXT NOT NULL, instance_id TEXT NOT NULL, start_ms INTEGER NOT NULL,"
	" wall_us INTEGER NOT NULL, billed_ms INTEGER NOT NULL, memory_mb INTEGER NOT NULL,"
	" mb_ms INTEGER NOT NULL, cpu_us INTEGER, peak_bytes INTEGER, outcome TEXT NOT NULL, served TEXT NOT NULL,"
	" timeline TEXT NOT NULL) STRICT;"
	"CREATE INDEX usage_by_tenant ON usage(tenant, seq);"
	"CREATE INDEX usage_by_function ON usage(tenant, function, seq);"
	"PRAGMA user_version = 1;";

/* From 1 to 2: versions and aliases. last_version is the highest number ever given, so that none comes twice. */
static const char state_versions[] =
	"ALTER TABLE functions ADD COLUMN last_version INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE functions ADD COLUMN reserved_concurrency INTEGER;"
	"CREATE TABLE versions(tenant TEXT NOT NULL, name TEXT NOT NULL, id TEXT NOT NULL, config TEXT NOT NULL,"
	" digest TEXT NOT NULL, code_size INTEGER NOT NULL, checksum TEXT NOT NULL, created_ms INTEGER NOT NULL,"
	" modified_ms INTEGER NOT NULL, revision INTEGER NOT NULL, version INTEGER NOT NULL, note TEXT NOT NULL,"
	" published_ms INTEGER NOT NULL, PRIMARY KEY(tenant, name, version)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE aliases(tenant TEXT NOT NULL, name TEXT NOT NULL, alias TEXT NOT NULL, id TEXT NOT NULL,"
	" version INTEGER NOT NULL, weights TEXT NOT NULL, note TEXT NOT NULL, created_ms INTEGER NOT NULL,"
	" modified_ms INTEGER NOT NULL, revision INTEGER NOT NULL, PRIMARY KEY(tenant, name, alias)) STRICT, WITHOUT ROWID;"
	"PRAGMA user_version = 2;";

/* From 2 to 3: layers by name and version. A deleted one stays while a function has it. */
static const char state_layers[] =
	"ALTER TABLE blobs ADD COLUMN opt_bytes INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE blobs ADD COLUMN opt_files INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE blobs ADD COLUMN opt_unpacked INTEGER NOT NULL DEFAULT 0;"
	"CREATE TABLE layer_names(tenant TEXT NOT NULL, name TEXT NOT NULL, last_version INTEGER NOT NULL,"
	" PRIMARY KEY(tenant, name)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE layers(tenant TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, digest TEXT NOT NULL,"
	" note TEXT NOT NULL, license TEXT NOT NULL, runtimes TEXT NOT NULL, created_ms INTEGER NOT NULL,"
	" deleted INTEGER NOT NULL, PRIMARY KEY(tenant, name, version)) STRICT, WITHOUT ROWID;"
	"PRAGMA user_version = 3;";

/* From 3 to 4: which call made a call. */
static const char state_lineage[] =
	"ALTER TABLE usage ADD COLUMN parent_id TEXT;"
	"ALTER TABLE usage ADD COLUMN root_id TEXT;"
	"ALTER TABLE usage ADD COLUMN depth INTEGER NOT NULL DEFAULT 0;"
	"PRAGMA user_version = 4;";

/* From 4 to 5: calls that are not to be made twice. */
static const char state_idempotency[] =
	"CREATE TABLE idempotency(tenant TEXT NOT NULL, function TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL,"
	" request_id TEXT NOT NULL, created_ms INTEGER NOT NULL, state INTEGER NOT NULL, code TEXT, outcome TEXT, error_type TEXT,"
	" version TEXT, body BLOB, PRIMARY KEY(tenant, function, key)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX idempotency_by_age ON idempotency(created_ms);"
	"PRAGMA user_version = 5;";

/* From 5 to 6: secrets, sealed (agent/secrets.h). */
static const char state_secrets[] =
	"CREATE TABLE secrets(tenant TEXT NOT NULL, name TEXT NOT NULL, key_id TEXT NOT NULL, sealed BLOB NOT NULL,"
	" created_ms INTEGER NOT NULL, modified_ms INTEGER NOT NULL, PRIMARY KEY(tenant, name)) STRICT, WITHOUT ROWID;"
	"PRAGMA user_version = 6;";

static const char logs_schema[] =
	"CREATE TABLE logs(seq INTEGER PRIMARY KEY AUTOINCREMENT, request_id TEXT NOT NULL UNIQUE,"
	" tenant TEXT NOT NULL, function TEXT NOT NULL, start_ms INTEGER NOT NULL, dropped INTEGER NOT NULL,"
	" size INTEGER NOT NULL, text BLOB NOT NULL) STRICT;"
	"PRAGMA user_version = 1;";

static const char logs_by_function[] =
	"CREATE INDEX logs_by_function ON logs(function, seq);"
	"PRAGMA user_version = 2;";

enum { STEPS_MAX = 8 };

static const struct {
	const char *file, *pragmas;
	const char *steps[STEPS_MAX]; /* the n-th brings schema version n to n + 1; NULL-terminated */
	const char *check; /* reads it all; what fails it is set aside. NULL: a damaged one is for people to decide */
} databases[] = {
	[WRITER_STATE] = { "state.db", "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
			   { state_schema, state_versions, state_layers, state_lineage, state_idempotency, state_secrets }, NULL },
	/* NORMAL: a power loss takes the last texts, not the whole file; no fsync but at a checkpoint */
	[WRITER_LOGS] = { "logs.db",
			  "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;",
			  { logs_schema, logs_by_function }, "SELECT sum(size) FROM logs" },
};
_Static_assert(ARRAY_LEN(databases) == WRITER_DBS, "a row for each database");

sqlite3_stmt *writer_prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *s = NULL;
	return sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK ? s : NULL;
}

void writer_finalize(sqlite3_stmt **s)
{
	sqlite3_finalize(*s);
	*s = NULL;
}

int writer_text(sqlite3_stmt *s, int index, const char *text)
{
	return text ? sqlite3_bind_text(s, index, text, -1, SQLITE_TRANSIENT) : sqlite3_bind_null(s, index);
}

static int to_errno(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	case SQLITE_NOMEM:
		return -ENOMEM;
	default:
		return -EIO;
	}
}

int writer_step(sqlite3 *db, sqlite3_stmt *s)
{
	if (!s)
		return to_errno(sqlite3_errcode(db));
	int rc = sqlite3_step(s);
	return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : to_errno(rc);
}

/* ---- the thread ---------------------------------------------------------- */

static int exec_sql(sqlite3 *db, const char *sql)
{
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : to_errno(rc);
}

static void run_job(struct writer *w, struct writer_job *job)
{
	sqlite3 *db = w->db[job->db];
	job->result = exec_sql(db, "SAVEPOINT job");
	if (job->result < 0)
		return;
	job->result = job->run(job, db);
	if (job->result < 0)
		exec_sql(db, "ROLLBACK TO job");
	int r = exec_sql(db, "RELEASE job");
	if (job->result >= 0 && r < 0)
		job->result = r;
}

static void fail_jobs(struct writer_job *batch, enum writer_db db, int result)
{
	for (struct writer_job *j = batch; j; j = j->next)
		if (j->db == db && j->result >= 0)
			j->result = result;
}

/* One transaction per database over the whole batch; a commit that fails fails every job of that database. */
static void run_batch(struct writer *w, struct writer_job *batch)
{
	int begun[WRITER_DBS];
	bool used[WRITER_DBS] = { false };
	for (struct writer_job *j = batch; j; j = j->next)
		used[j->db] = true;
	for (int i = 0; i < WRITER_DBS; i++)
		begun[i] = used[i] ? exec_sql(w->db[i], "BEGIN IMMEDIATE") : 0;
	for (struct writer_job *j = batch; j; j = j->next)
		if (begun[j->db] < 0) {
			j->result = begun[j->db];
		} else {
			run_job(w, j);
			/* some errors end the whole transaction (sqlite3_get_autocommit): what follows must not be on its own */
			if (sqlite3_get_autocommit(w->db[j->db]))
				fail_jobs(batch, j->db, begun[j->db] = j->result < 0 ? j->result : -EIO);
		}
	for (int i = 0; i < WRITER_DBS; i++) {
		if (!used[i] || begun[i] < 0)
			continue;
		int r = exec_sql(w->db[i], "COMMIT");
		if (r == 0)
			continue;
		if (!sqlite3_get_autocommit(w->db[i]))
			exec_sql(w->db[i], "ROLLBACK");
		fail_jobs(batch, (enum writer_db)i, r);
	}
}

static struct writer_job *take_batch(struct writer *w)
{
	while (!w->todo && !w->ending)
		pthread_cond_wait(&w->wake, &w->lock);
	struct writer_job *batch = w->todo, *last = batch;
	for (int n = 1; last && last->next && n < BATCH_MAX; n++)
		last = last->next;
	if (!last)
		return NULL;
	w->todo = last->next;
	if (!w->todo)
		w->todo_end = &w->todo;
	last->next = NULL;
	return batch;
}

static void *writer_main(void *arg)
{
	struct writer *w = arg;
	for (;;) {
		pthread_mutex_lock(&w->lock);
		struct writer_job *batch = take_batch(w);
		pthread_mutex_unlock(&w->lock);
		if (!batch)
			return NULL;
		run_batch(w, batch);

		pthread_mutex_lock(&w->lock);
		*w->finished_end = batch;
		while (*w->finished_end)
			w->finished_end = &(*w->finished_end)->next;
		w->commits++;
		pthread_mutex_unlock(&w->lock);
		uint64_t one = 1;
		ssize_t n = write(w->ready_fd, &one, sizeof(one));
		assert(n == sizeof(one)); /* an eventfd counter cannot fill up in 64 bits */
		(void)n;
	}
}

/* ---- the loop's side ----------------------------------------------------- */

static void deliver(struct writer *w)
{
	pthread_mutex_lock(&w->lock);
	struct writer_job *list = w->finished;
	w->finished = NULL;
	w->finished_end = &w->finished;
	w->stats->db_commits = w->commits;
	pthread_mutex_unlock(&w->lock);
	while (list) {
		struct writer_job *job = list;
		list = job->next;
		w->waiting--;
		if (job->result < 0)
			w->stats->db_errors++;
		job->done(job, job->result);
	}
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;
	(void)what;
	if (read(fd, &count, sizeof(count)) == sizeof(count))
		deliver(arg);
}

int writer_submit(struct writer *w, struct writer_job *job)
{
	if (w->waiting >= WRITER_QUEUE_MAX)
		return WRITER_E_FULL;
	w->waiting++;
	w->stats->db_jobs++;
	job->next = NULL;
	job->result = 0;
	pthread_mutex_lock(&w->lock);
	*w->todo_end = job;
	w->todo_end = &job->next;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	return WRITER_OK;
}

/* ---- start and end ------------------------------------------------------- */

static int read_version(sqlite3 *db, int *ret)
{
	autostmt sqlite3_stmt *s = writer_prepare(db, "PRAGMA user_version");
	int r = writer_step(db, s);
	if (r < 0)
		return r;
	*ret = sqlite3_column_int(s, 0);
	return 0;
}

static bool is_damaged(sqlite3 *db)
{
	int rc = sqlite3_errcode(db) & 0xff;
	return rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB;
}

/* Keeps one for people to look at, in the place of an earlier one. */
static int set_aside(sqlite3 **db, const char *path, struct err *err)
{
	char other[1240];
	log_warning("event=database_damaged file=%s error=\"%s\" action=\"kept as .damaged, begun anew\"", path,
		    sqlite3_errmsg(*db));
	sqlite3_close(*db);
	*db = NULL;
	static const char *const journals[] = { "-wal", "-shm" }; /* what they say is about the old file */
	for (size_t i = 0; i < ARRAY_LEN(journals); i++) {
		snprintf(other, sizeof(other), "%s%s", path, journals[i]);
		if (unlink(other) < 0 && errno != ENOENT)
			return err_set(err, errno, "remove %s", other);
	}
	snprintf(other, sizeof(other), "%s.damaged", path);
	return rename(path, other) < 0 ? err_set(err, errno, "rename %s to %s", path, other) : 0;
}

/* All or nothing: a kill in between must not leave tables without their version. */
static int upgrade(sqlite3 *db, enum writer_db which, int version, const char *path, struct err *err)
{
	const char *const *steps = databases[which].steps;
	int latest = 0;
	while (latest < STEPS_MAX && steps[latest])
		latest++;
	if (version < 0 || version > latest) {
		err_set(err, 0, "database %s has schema version %d, this program reads version %d", path, version, latest);
		return err_hint(err, "start the fcnode version that wrote it, or move the file away to begin anew");
	}
	if (version == latest)
		return 0;
	int r = exec_sql(db, "BEGIN IMMEDIATE");
	for (; r == 0 && version < latest; version++)
		r = exec_sql(db, steps[version]);
	if (r < 0 || exec_sql(db, "COMMIT") < 0)
		return err_set(err, EIO, "create tables in %s: %s", path, sqlite3_errmsg(db));
	return 0;
}

static int open_database(sqlite3 **ret, enum writer_db which, const char *dir, bool may_set_aside, struct err *err)
{
	char path[1200];
	snprintf(path, sizeof(path), "%s/%s", dir, databases[which].file);
	int rc = sqlite3_open_v2(path, ret, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK)
		return err_set(err, EIO, "open database %s: %s", path, *ret ? sqlite3_errmsg(*ret) : "no memory");
	sqlite3_busy_timeout(*ret, 5000);
	int version = 0;
	if (exec_sql(*ret, databases[which].pragmas) < 0 || read_version(*ret, &version) < 0 ||
	    (version > 0 && databases[which].check && exec_sql(*ret, databases[which].check) < 0)) {
		if (may_set_aside && databases[which].check && is_damaged(*ret)) {
			int r = set_aside(ret, path, err);
			return r < 0 ? r : open_database(ret, which, dir, /* may_set_aside= */ false, err);
		}
		err_set(err, EIO, "read database %s: %s", path, sqlite3_errmsg(*ret));
		return err_hint(err, "the file is damaged or not ours: restore it, or move it away to begin anew");
	}
	return upgrade(*ret, which, version, path, err);
}

int writer_new(struct writer **ret, struct event_base *base, const char *dir, struct stats *stats, struct err *err)
{
	struct writer *w = calloc(1, sizeof(*w));
	if (!w)
		return err_set(err, ENOMEM, "start the database writer");
	w->stats = stats;
	w->todo_end = &w->todo;
	w->finished_end = &w->finished;
	w->ready_fd = -1;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	int r = 0;
	for (int i = 0; r == 0 && i < WRITER_DBS; i++)
		r = open_database(&w->db[i], i, dir, /* may_set_aside= */ true, err);
	if (r == 0 && ((w->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0 ||
		       !(w->ready = event_new(base, w->ready_fd, EV_READ | EV_PERSIST, on_ready, w)) ||
		       event_add(w->ready, NULL) < 0))
		r = err_set(err, errno, "start the database writer");
	if (r == 0) {
		sigset_t all, old; /* signals are the loop's */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		int e = pthread_create(&w->thread, NULL, writer_main, w);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		w->running = e == 0;
		if (e)
			r = err_set(err, e, "start the database writer's thread");
	}
	if (r < 0) {
		writer_free(w);
		return r;
	}
	*ret = w;
	return 0;
}

struct writer *writer_free(struct writer *w)
{
	if (!w)
		return NULL;
	if (w->running) {
		/* done() may submit again (a record after its call): go on until nothing waits */
		while (w->waiting > 0) {
			struct pollfd p = { w->ready_fd, POLLIN, 0 };
			uint64_t count;
			if (poll(&p, 1, -1) > 0 && read(w->ready_fd, &count, sizeof(count)) == sizeof(count))
				deliver(w);
		}
		pthread_mutex_lock(&w->lock);
		w->ending = true;
		pthread_cond_signal(&w->wake);
		pthread_mutex_unlock(&w->lock);
		pthread_join(w->thread, NULL);
	}
	if (w->ready)
		event_free(w->ready);
	if (w->ready_fd >= 0)
		close(w->ready_fd);
	for (int i = 0; i < WRITER_DBS; i++)
		sqlite3_close(w->db[i]);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w);
	return NULL;
}

sqlite3 *writer_connection(struct writer *w, enum writer_db db) { return w->db[db]; }
