/*
 * writer - the one thread that touches the database, so that the loop never
 * waits for a disk.
 *
 * The loop submits jobs; the thread runs all that wait inside one transaction,
 * each in a savepoint of its own, commits, and the loop then gets every job's
 * done() with its result. A job whose done() saw 0 is on disk (synchronous
 * FULL: fsync before done). Queries are jobs too and see all jobs before them.
 *
 * Two databases: WRITER_STATE (functions, blobs, usage: the ledger) and
 * WRITER_LOGS (text that may be lost: fsync only at checkpoints, and a damaged
 * file is set aside). An older schema is brought up to date at start, step by
 * step, all or nothing; one of a later program is refused.
 */
#pragma once

#include <sqlite3.h>

#include "base/err.h"

struct event_base;
struct stats;
struct writer;

enum writer_db { WRITER_STATE, WRITER_LOGS, WRITER_DBS };

enum { WRITER_QUEUE_MAX = 16384 };

/* Embedded in the caller's own struct, which lives until done(). */
struct writer_job {
	enum writer_db db;
	int (*run)(struct writer_job *job, sqlite3 *db);       /* in the thread: 0, or < 0 and nothing of it stays */
	void (*done)(struct writer_job *job, int result);      /* in the loop */
	int result;
	struct writer_job *next;
};

enum writer_outcome { WRITER_OK, WRITER_E_FULL /* WRITER_QUEUE_MAX jobs wait */ };

/* Opens or creates the databases in dir and starts the thread. stats outlives the writer. */
int writer_new(struct writer **ret, struct event_base *base, const char *dir, struct stats *stats, struct err *err);

/* Finishes every job that was submitted (done() is called for each), then ends. NULL. */
struct writer *writer_free(struct writer *w);

/* WRITER_OK: done() will be called once. WRITER_E_FULL: it will not. */
int writer_submit(struct writer *w, struct writer_job *job);

/* For run(). prepare: NULL on failure, which writer_step() then reports. text: NULL binds SQL NULL. */
sqlite3_stmt *writer_prepare(sqlite3 *db, const char *sql);
void writer_finalize(sqlite3_stmt **s);
#define autostmt __attribute__((cleanup(writer_finalize)))
int writer_text(sqlite3_stmt *s, int index, const char *text);

/* sqlite3_step() as 1 row, 0 done, -ENOSPC, -EEXIST (a constraint), -EIO. */
int writer_step(sqlite3 *db, sqlite3_stmt *s);

/* For the start only, before any job was submitted: read whole tables through this connection. */
sqlite3 *writer_connection(struct writer *w, enum writer_db db);
