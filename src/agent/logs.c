#include "agent/logs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "agent/stats.h"
#include "agent/writer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

enum { NOTES_MAX = 4096, NAME_SIZE = 72 };

struct logs {
	const struct config *config;
	struct writer *writer;
	struct stats *stats;
	uint64_t disk_bytes;    /* the writer's thread owns it once jobs run */
	uint64_t queued_bytes;  /* the loop's: text that waits for the writer */
	atomic_bool recount;    /* a job of ours came to nothing: disk_bytes may hold what is not there */
};

static int count_bytes(sqlite3 *db, uint64_t *ret)
{
	autostmt sqlite3_stmt *s = writer_prepare(db, "SELECT coalesce(sum(size), 0) FROM logs");
	int r = writer_step(db, s);
	if (r == 1)
		*ret = (uint64_t)sqlite3_column_int64(s, 0);
	return r == 1 ? 0 : r < 0 ? r : -EIO;
}

int logs_new(struct logs **ret, const struct config *config, struct writer *writer, struct stats *stats, struct err *err)
{
	struct logs *l = calloc(1, sizeof(*l));
	if (!l)
		return err_set(err, ENOMEM, "open the logs");
	l->config = config;
	l->writer = writer;
	l->stats = stats;
	sqlite3 *db = writer_connection(writer, WRITER_LOGS);
	if (count_bytes(db, &l->disk_bytes) < 0) {
		free(l);
		return err_set(err, EIO, "read the table of logs: %s", sqlite3_errmsg(db));
	}
	stats->log_disk_bytes = l->disk_bytes;
	*ret = l;
	return 0;
}

struct logs *logs_free(struct logs *l)
{
	free(l);
	return NULL;
}

struct writer *logs_writer(struct logs *l) { return l->writer; }

/* ---- capture ------------------------------------------------------------- */

void log_capture_init(struct log_capture *c, const struct logs *l)
{
	*c = (struct log_capture){ .max = l->config->max_log_bytes, .max_line = l->config->max_log_line };
	c->text.max = c->max + NOTES_MAX;
}

void log_capture_fini(struct log_capture *c) { buf_fini(&c->text); }

void log_capture_note(struct log_capture *c, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	bool middle = c->text.len > 0 && c->text.data[c->text.len - 1] != '\n';
	if (buf_printf(&c->text, "%s%s\n", middle ? "\n" : "", line) < 0)
		c->dropped += strlen(line);
}

static void keep(struct log_capture *c, const char *data, size_t len)
{
	size_t room = c->text.len < c->max ? c->max - c->text.len : 0;
	size_t n = len < room ? len : room;
	if (n && buf_append(&c->text, data, n) < 0)
		n = 0;
	c->dropped += len - n;
	if (n < len && !c->cut) {
		c->cut = true;
		log_capture_note(c, "[fcnode: log cut here, max-log-bytes is %zu]", c->max);
	}
}

/* The part of data, up to and with its newline, that belongs to one line; what is over max_line is not kept. */
static void add_line(struct log_capture *c, int stream, const char *data, size_t len)
{
	size_t have = c->line[stream], room = have < c->max_line ? c->max_line - have : 0;
	bool ends = data[len - 1] == '\n';
	size_t n = len < room ? len : room;
	if (n)
		keep(c, data, n);
	if (n < len && !(ends && n == len - 1)) {
		if (have <= c->max_line && !c->cut)
			log_capture_note(c, "[fcnode: line cut here, max-log-line is %zu]", c->max_line);
		c->dropped += len - n;
	} else if (n < len) {
		keep(c, "\n", 1);
	}
	c->line[stream] = ends ? 0 : have + len;
}

void log_capture_add(struct log_capture *c, int stream, const char *data, size_t len)
{
	while (len > 0) {
		if (c->cut) { /* nothing more is kept: only count */
			c->dropped += len;
			return;
		}
		const char *newline = memchr(data, '\n', len);
		size_t n = newline ? (size_t)(newline - data) + 1 : len;
		add_line(c, stream, data, n);
		data += n;
		len -= n;
	}
}

/* ---- storing ------------------------------------------------------------- */

struct store_job {
	struct writer_job job;
	struct logs *logs;
	struct buf text;
	uint64_t dropped, quota;
	int64_t start_ms, oldest_ms; /* older ones go */
	uint64_t evicted_bytes, evicted, disk_bytes; /* what run() found and left */
	char request_id[40], tenant[NAME_SIZE], function[NAME_SIZE];
};

/* Delete from the old end until the text fits in and nothing there is too old. */
static int evict(struct store_job *j, sqlite3 *db)
{
	for (;;) {
		autostmt sqlite3_stmt *oldest = writer_prepare(db, "SELECT seq, size, start_ms FROM logs ORDER BY seq LIMIT 1");
		int r = writer_step(db, oldest);
		if (r < 0)
			return r;
		bool fits = j->logs->disk_bytes - j->evicted_bytes + j->text.len <= j->quota;
		if (r == 0 || (fits && sqlite3_column_int64(oldest, 2) >= j->oldest_ms))
			break;
		autostmt sqlite3_stmt *del = writer_prepare(db, "DELETE FROM logs WHERE seq = ?1");
		sqlite3_bind_int64(del, 1, sqlite3_column_int64(oldest, 0));
		uint64_t size = (uint64_t)sqlite3_column_int64(oldest, 1);
		r = writer_step(db, del);
		if (r < 0)
			return r;
		j->evicted_bytes += size;
		j->evicted++;
	}
	return j->evicted ? sqlite3_exec(db, "PRAGMA incremental_vacuum(256)", NULL, NULL, NULL) != SQLITE_OK ? -EIO : 0
			  : 0;
}

static int store_run(struct writer_job *job, sqlite3 *db)
{
	struct store_job *j = (struct store_job *)job;
	int r = 0;
	if (atomic_exchange(&j->logs->recount, false) && (r = count_bytes(db, &j->logs->disk_bytes)) < 0)
		atomic_store(&j->logs->recount, true);
	if (r < 0 || (r = evict(j, db)) < 0)
		return r;
	autostmt sqlite3_stmt *s =
		writer_prepare(db, "INSERT INTO logs(request_id, tenant, function, start_ms, dropped, size, text)"
				   " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)");
	if (!s)
		return writer_step(db, s);
	writer_text(s, 1, j->request_id);
	writer_text(s, 2, j->tenant);
	writer_text(s, 3, j->function);
	sqlite3_bind_int64(s, 4, j->start_ms);
	sqlite3_bind_int64(s, 5, (sqlite3_int64)j->dropped);
	sqlite3_bind_int64(s, 6, (sqlite3_int64)j->text.len);
	sqlite3_bind_blob64(s, 7, j->text.data ? j->text.data : "", j->text.len, SQLITE_STATIC);
	r = writer_step(db, s);
	if (r == 0)
		j->disk_bytes = j->logs->disk_bytes += j->text.len - j->evicted_bytes;
	return r;
}

static void store_done(struct writer_job *job, int result)
{
	struct store_job *j = (struct store_job *)job;
	struct logs *l = j->logs;
	l->queued_bytes -= j->text.len;
	if (result < 0) {
		l->stats->log_bytes_dropped += j->text.len;
		if (result != -EAGAIN) /* it ran, and its commit may have failed after run() had counted it */
			atomic_store(&l->recount, true);
	} else {
		l->stats->log_bytes += j->text.len;
		l->stats->log_records_evicted += j->evicted;
		l->stats->log_disk_bytes = j->disk_bytes;
	}
	buf_fini(&j->text);
	free(j);
}

void logs_store(struct logs *l, struct log_capture *c, const char *request_id, const char *tenant,
		const char *function, int64_t start_ms)
{
	if (c->dropped)
		log_capture_note(c, "[fcnode: %" PRIu64 " bytes of log were not kept]", c->dropped);
	l->stats->log_bytes_dropped += c->dropped;
	struct store_job *j = c->text.len <= LOGS_QUEUE_MAX - l->queued_bytes ? calloc(1, sizeof(*j)) : NULL;
	if (!j) {
		l->stats->log_bytes_dropped += c->text.len;
		buf_fini(&c->text);
		return;
	}
	j->job = (struct writer_job){ .db = WRITER_LOGS, .run = store_run, .done = store_done };
	j->logs = l;
	j->text = c->text;
	c->text = (struct buf)BUF_INIT(0);
	j->dropped = c->dropped;
	j->quota = l->config->log_disk_quota;
	j->start_ms = start_ms;
	j->oldest_ms = l->config->log_max_age_ms ? clock_real_ms() - (int64_t)l->config->log_max_age_ms : INT64_MIN;
	str_copy(j->request_id, sizeof(j->request_id), request_id);
	str_copy(j->tenant, sizeof(j->tenant), tenant);
	str_copy(j->function, sizeof(j->function), function);
	l->queued_bytes += j->text.len;
	if (writer_submit(l->writer, &j->job) == WRITER_E_FULL)
		store_done(&j->job, -EAGAIN);
}

/* ---- reading ------------------------------------------------------------- */

struct find_job {
	struct writer_job job;
	char request_id[40], tenant[NAME_SIZE];
	struct buf text;
	uint64_t dropped;
	logs_fn *fn;
	void *arg;
};

static int find_run(struct writer_job *job, sqlite3 *db)
{
	struct find_job *j = (struct find_job *)job;
	autostmt sqlite3_stmt *s = writer_prepare(
		db, "SELECT text, dropped FROM logs WHERE request_id = ?1 AND (?2 = '' OR tenant = ?2)");
	if (!s)
		return writer_step(db, s);
	writer_text(s, 1, j->request_id);
	writer_text(s, 2, j->tenant);
	int r = writer_step(db, s);
	if (r != 1)
		return r < 0 ? r : -ENOENT;
	size_t n = (size_t)sqlite3_column_bytes(s, 0);
	j->text.max = n;
	j->dropped = (uint64_t)sqlite3_column_int64(s, 1);
	return buf_append(&j->text, sqlite3_column_blob(s, 0), n);
}

static void find_done(struct writer_job *job, int result)
{
	struct find_job *j = (struct find_job *)job;
	j->fn(j->arg, result, &j->text, j->dropped);
	buf_fini(&j->text);
	free(j);
}

int logs_find(struct logs *l, const char *request_id, const char *tenant, logs_fn *fn, void *arg)
{
	struct find_job *j = calloc(1, sizeof(*j));
	if (!j)
		return WRITER_E_FULL;
	j->job = (struct writer_job){ .db = WRITER_LOGS, .run = find_run, .done = find_done };
	str_copy(j->request_id, sizeof(j->request_id), request_id);
	str_copy(j->tenant, sizeof(j->tenant), tenant);
	j->fn = fn;
	j->arg = arg;
	int r = writer_submit(l->writer, &j->job);
	if (r == WRITER_E_FULL)
		free(j);
	return r;
}
