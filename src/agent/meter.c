#include "agent/meter.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/config.h"
#include "agent/writer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"

enum { INTENT_MAGIC = 0x54494346, INTENT_VERSION = 2, INTENT_VERSION_1 = 1, SLOT_FREE = 0, SLOT_USED = 1, RETRY_S = 1, TRIM_EVERY = 256 };

struct slot {
	uint32_t magic, version, state, pad;
	struct meter_record record;
};
/* In version 1 the timeline had 1400 bytes, and nothing came behind it. */
_Static_assert(sizeof(struct meter_record) - offsetof(struct meter_record, timeline) == 1400, "slots of both versions lie at the same places");

struct settle {
	struct writer_job job;
	struct meter *meter;
	size_t slot;
	struct meter_record record;
	struct settle *next; /* among those to try again */
};

struct meter {
	const struct config *config;
	struct writer *writer;
	struct stats *stats;
	struct event *retry;
	struct settle *failed;
	int fd;
	size_t slots, *free_slot, free_count;
	unsigned inserted; /* by the writer's thread, to trim now and then */
};

double meter_gb_s(const struct meter_record *r) { return (double)r->memory_mb * (double)r->billed_ms / 1024.0 / 1000.0; }

/* ---- the intent file ----------------------------------------------------- */

static int write_slot(struct meter *m, size_t slot, uint32_t state, const struct meter_record *r)
{
	struct slot s = { .magic = INTENT_MAGIC, .version = INTENT_VERSION, .state = state };
	if (r)
		s.record = *r;
	size_t len = r ? sizeof(s) : offsetof(struct slot, record);
	ssize_t n = pwrite(m->fd, &s, len, (off_t)(slot * sizeof(s)));
	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EIO;
}

static void slot_done(struct meter *m, size_t slot)
{
	if (write_slot(m, slot, SLOT_FREE, NULL) < 0)
		log_warning("slot=%zu intent not cleared: %s, ignoring", slot, strerror(errno)); /* request_id is unique */
	m->free_slot[m->free_count++] = slot;
	m->stats->usage_unsettled--;
}

int meter_begin(struct meter *m, const struct meter_record *r, size_t *slot)
{
	if (m->free_count == 0)
		return -EAGAIN;
	size_t s = m->free_slot[m->free_count - 1];
	int e = write_slot(m, s, SLOT_USED, r);
	if (e < 0)
		return e;
	m->free_count--;
	m->stats->usage_unsettled++;
	*slot = s;
	return 0;
}

void meter_cancel(struct meter *m, size_t slot) { slot_done(m, slot); }

/* ---- the ledger ---------------------------------------------------------- */

static int trim(struct meter *m, sqlite3 *db)
{
	autostmt sqlite3_stmt *s = writer_prepare(db, "DELETE FROM usage WHERE seq <= (SELECT max(seq) FROM usage) - ?1");
	if (s)
		sqlite3_bind_int64(s, 1, (sqlite3_int64)m->config->max_usage_records);
	return writer_step(db, s);
}

static void bind_unknown(sqlite3_stmt *s, int index, int64_t v)
{
	if (v == METER_UNKNOWN)
		sqlite3_bind_null(s, index);
	else
		sqlite3_bind_int64(s, index, v);
}

static int insert_record(sqlite3 *db, const struct meter_record *r)
{
	autostmt sqlite3_stmt *s = writer_prepare(
		db, "INSERT OR IGNORE INTO usage(request_id, tenant, function, instance_id, start_ms, wall_us, billed_ms,"
		    " memory_mb, mb_ms, cpu_us, peak_bytes, outcome, served, timeline, parent_id, root_id, depth)"
		    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)");
	if (!s)
		return writer_step(db, s);
	writer_text(s, 1, r->request_id);
	writer_text(s, 2, r->tenant);
	writer_text(s, 3, r->function);
	writer_text(s, 4, r->instance_id);
	sqlite3_bind_int64(s, 5, r->start_ms);
	sqlite3_bind_int64(s, 6, (sqlite3_int64)r->wall_us);
	sqlite3_bind_int64(s, 7, (sqlite3_int64)r->billed_ms);
	sqlite3_bind_int64(s, 8, (sqlite3_int64)r->memory_mb);
	sqlite3_bind_int64(s, 9, (sqlite3_int64)(r->memory_mb * r->billed_ms));
	bind_unknown(s, 10, r->cpu_us);
	bind_unknown(s, 11, r->peak_bytes);
	writer_text(s, 12, outcome_name(r->outcome));
	writer_text(s, 13, r->served);
	writer_text(s, 14, r->timeline);
	writer_text(s, 15, *r->lineage.parent ? r->lineage.parent : NULL);
	writer_text(s, 16, *r->lineage.root ? r->lineage.root : NULL);
	sqlite3_bind_int64(s, 17, r->lineage.depth);
	return writer_step(db, s);
}

static int settle_run(struct writer_job *job, sqlite3 *db)
{
	struct settle *s = (struct settle *)job;
	int r = insert_record(db, &s->record);
	if (r == 0 && ++s->meter->inserted % TRIM_EVERY == 0)
		r = trim(s->meter, db);
	return r;
}

static void settle_later(struct settle *s)
{
	struct meter *m = s->meter;
	const struct timeval delay = { .tv_sec = RETRY_S };
	s->next = m->failed;
	m->failed = s;
	if (m->retry)
		event_add(m->retry, &delay);
}

static void settle_done(struct writer_job *job, int result)
{
	struct settle *s = (struct settle *)job;
	struct meter *m = s->meter;
	if (result < 0) {
		log_err("request=%s usage record not written: %s; it stays in the intent file", s->record.request_id,
			strerror(-result));
		settle_later(s);
		return;
	}
	m->stats->usage_records++;
	slot_done(m, s->slot);
	free(s);
}

static void settle_submit(struct settle *s)
{
	if (writer_submit(s->meter->writer, &s->job) == WRITER_E_FULL)
		settle_later(s);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct meter *m = arg;
	struct settle *s = m->failed;
	(void)fd;
	(void)what;
	m->failed = NULL;
	while (s) {
		struct settle *next = s->next;
		settle_submit(s);
		s = next;
	}
}

/* When memory ends, the settled slot stays in use and becomes a record at the next start. */
static void settle_slot(struct meter *m, size_t slot, const struct meter_record *r)
{
	struct settle *s = calloc(1, sizeof(*s));
	if (!s) {
		log_err("request=%s usage record: out of memory; it stays in the intent file", r->request_id);
		return;
	}
	s->job = (struct writer_job){ .db = WRITER_STATE, .run = settle_run, .done = settle_done };
	s->meter = m;
	s->slot = slot;
	s->record = *r;
	settle_submit(s);
}

void meter_end(struct meter *m, size_t slot, struct meter_record *r)
{
	r->settled = 1;
	int e = write_slot(m, slot, SLOT_USED, r);
	if (e < 0)
		log_err("request=%s settlement not written to the intent file: %s", r->request_id, strerror(-e));
	settle_slot(m, slot, r);
}

/* ---- start and end ------------------------------------------------------- */

static bool text_ends(const char *text, size_t size) { return memchr(text, '\0', size) != NULL; }

static bool slot_is_record(const struct slot *s)
{
	const struct meter_record *r = &s->record;
	return s->magic == INTENT_MAGIC && s->version == INTENT_VERSION && s->state == SLOT_USED &&
	       r->outcome < OUTCOME_MAX && text_ends(r->request_id, sizeof(r->request_id)) &&
	       text_ends(r->instance_id, sizeof(r->instance_id)) && text_ends(r->tenant, sizeof(r->tenant)) &&
	       text_ends(r->function, sizeof(r->function)) && text_ends(r->served, sizeof(r->served)) &&
	       text_ends(r->timeline, sizeof(r->timeline)) && text_ends(r->lineage.parent, LINEAGE_ID) &&
	       text_ends(r->lineage.root, LINEAGE_ID);
}

/* A slot of the version before, as one of this. */
static void renew_slot(struct slot *s)
{
	if (s->version != INTENT_VERSION_1)
		return;
	s->version = INTENT_VERSION;
	s->record.lineage = (struct lineage){ .depth = 0 };
	if (!text_ends(s->record.timeline, sizeof(s->record.timeline)))
		str_copy(s->record.timeline, sizeof(s->record.timeline), "{}");
}

/* What the last run left in a slot; false: nothing. */
static int recover_slot(struct meter *m, size_t slot, bool *used)
{
	struct slot s;
	ssize_t n = pread(m->fd, &s, sizeof(s), (off_t)(slot * sizeof(s)));
	if (n < 0)
		return -errno;
	if (n == sizeof(s))
		renew_slot(&s);
	*used = n == sizeof(s) && slot_is_record(&s);
	if (!*used)
		return 0;
	struct meter_record *r = &s.record;
	if (!r->settled) {
		int64_t ms = clock_real_ms() - r->start_ms;
		r->outcome = OUTCOME_NODE_CRASH;
		r->wall_us = ms > 0 ? (uint64_t)ms * 1000 : 0;
		r->billed_ms = 0; /* nobody got an answer: not the caller's to pay */
		r->cpu_us = r->peak_bytes = METER_UNKNOWN;
		str_copy(r->timeline, sizeof(r->timeline), "{}");
	}
	m->stats->usage_recovered++;
	m->stats->usage_unsettled++;
	settle_slot(m, slot, r);
	return 0;
}

static int recover(struct meter *m, size_t slots)
{
	m->free_slot = calloc(slots, sizeof(*m->free_slot));
	if (!m->free_slot)
		return -ENOMEM;
	m->slots = slots;
	for (size_t i = slots; i > 0; i--) {
		bool used = false;
		int r = recover_slot(m, i - 1, &used);
		if (r < 0)
			return r;
		if (!used)
			m->free_slot[m->free_count++] = i - 1;
	}
	return 0;
}

int meter_new(struct meter **ret, struct event_base *base, const struct config *config, const char *dir, size_t slots,
	      struct writer *writer, struct stats *stats, struct err *err)
{
	struct meter *m = calloc(1, sizeof(*m));
	if (!m)
		return err_set(err, ENOMEM, "open the meter");
	char path[1200];
	snprintf(path, sizeof(path), "%s/intents", dir);
	m->config = config;
	m->writer = writer;
	m->stats = stats;
	m->retry = evtimer_new(base, on_retry, m);
	m->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st = { 0 };
	int r = 0;
	if (m->fd < 0 || fstat(m->fd, &st) < 0 || !m->retry)
		r = err_set(err, m->fd < 0 ? errno : ENOMEM, "open %s", path);
	size_t had = r < 0 ? 0 : (size_t)st.st_size / sizeof(struct slot);
	if (had > slots) /* the limit was lowered: the old slots are still looked at */
		slots = had;
	int e = r < 0 ? 0 : posix_fallocate(m->fd, 0, (off_t)(slots * sizeof(struct slot)));
	if (r == 0 && e)
		r = err_set(err, e, "reserve %zu bytes for %s", slots * sizeof(struct slot), path);
	if (r == 0 && (e = recover(m, slots)) < 0)
		r = err_set(err, -e, "read %s", path);
	if (r < 0) {
		meter_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

struct meter *meter_free(struct meter *m)
{
	if (!m)
		return NULL;
	while (m->failed) { /* still in the intent file */
		struct settle *s = m->failed;
		m->failed = s->next;
		free(s);
	}
	if (m->retry)
		event_free(m->retry);
	if (m->fd >= 0)
		close(m->fd);
	free(m->free_slot);
	free(m);
	return NULL;
}

/* ---- queries ------------------------------------------------------------- */

struct find {
	struct writer_job job;
	struct meter_query q;
	char *json;
	meter_fn *fn;
	void *arg;
};

static json_t *number_or_null(sqlite3_stmt *s, int column)
{
	return sqlite3_column_type(s, column) == SQLITE_NULL ? json_null() : json_integer(sqlite3_column_int64(s, column));
}

static json_t *row_to_json(sqlite3_stmt *s)
{
	const char *timeline = (const char *)sqlite3_column_text(s, 13);
	json_t *t = timeline ? json_loads(timeline, 0, NULL) : NULL;
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:f, s:I, s:I, s:f, s:o, s:o, s:s, s:s, s:o, s:s*, s:s*, s:I}", "requestId",
			 sqlite3_column_text(s, 1), "tenant", sqlite3_column_text(s, 2), "functionName",
			 sqlite3_column_text(s, 3), "instanceId", sqlite3_column_text(s, 4), "startTimeMs",
			 (json_int_t)sqlite3_column_int64(s, 5), "wallMs", (double)sqlite3_column_int64(s, 6) / 1000.0,
			 "billedMs", (json_int_t)sqlite3_column_int64(s, 7), "memorySize",
			 (json_int_t)sqlite3_column_int64(s, 8), "gbSeconds",
			 (double)sqlite3_column_int64(s, 9) / 1024.0 / 1000.0, "cpuUs", number_or_null(s, 10),
			 "peakMemoryBytes", number_or_null(s, 11), "outcome", sqlite3_column_text(s, 12), "served",
			 sqlite3_column_text(s, 14), "timelineUs", t ? t : json_object(), "parentRequestId", sqlite3_column_text(s, 15),
			 "rootRequestId", sqlite3_column_text(s, 16), "depth", (json_int_t)sqlite3_column_int64(s, 17));
}

static int find_rows(struct find *f, sqlite3 *db, json_t *records, int64_t *next)
{
	char sql[640];
	/* only what is asked, so that an index serves it: the writer's thread reads here, and records wait behind it */
	snprintf(sql, sizeof(sql),
		 "SELECT seq, request_id, tenant, function, instance_id, start_ms, wall_us, billed_ms, memory_mb, mb_ms,"
		 " cpu_us, peak_bytes, outcome, timeline, served, parent_id, root_id, depth FROM usage WHERE seq > ?1%s%s%s%s%s ORDER BY seq LIMIT ?7",
		 f->q.tenant[0] ? " AND tenant = ?2" : "", f->q.function[0] ? " AND function = ?3" : "",
		 f->q.from_ms ? " AND start_ms >= ?4" : "", f->q.to_ms ? " AND start_ms < ?5" : "",
		 f->q.request_id[0] ? " AND request_id = ?6" : "");
	autostmt sqlite3_stmt *s = writer_prepare(db, sql);
	if (!s)
		return writer_step(db, s);
	sqlite3_bind_int64(s, 1, (sqlite3_int64)f->q.after_seq);
	writer_text(s, 2, f->q.tenant);
	writer_text(s, 3, f->q.function);
	sqlite3_bind_int64(s, 4, f->q.from_ms);
	sqlite3_bind_int64(s, 5, f->q.to_ms);
	writer_text(s, 6, f->q.request_id);
	sqlite3_bind_int64(s, 7, (sqlite3_int64)f->q.limit + 1);
	int64_t last = 0;
	int r;
	while ((r = writer_step(db, s)) == 1) {
		if (json_array_size(records) == f->q.limit) {
			*next = last;
			return 0;
		}
		last = sqlite3_column_int64(s, 0);
		if (json_array_append_new(records, row_to_json(s)) < 0)
			return -ENOMEM;
	}
	return r;
}

static int find_run(struct writer_job *job, sqlite3 *db)
{
	struct find *f = (struct find *)job;
	autojson json_t *page = json_object();
	json_t *records = json_array();
	int64_t next = 0;
	if (!page || json_object_set_new(page, "records", records) < 0)
		return -ENOMEM;
	int r = find_rows(f, db, records, &next);
	if (r < 0)
		return r;
	if (next) {
		char token[32];
		snprintf(token, sizeof(token), "%" PRId64, next);
		json_object_set_new(page, "nextToken", json_string(token));
	}
	f->json = json_dumps(page, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(12));
	return f->json ? 0 : -ENOMEM;
}

static void find_done(struct writer_job *job, int result)
{
	struct find *f = (struct find *)job;
	f->fn(f->arg, result, f->json);
	free(f->json);
	free(f);
}

int meter_find(struct meter *m, const struct meter_query *q, meter_fn *fn, void *arg)
{
	struct find *f = calloc(1, sizeof(*f));
	if (!f)
		return WRITER_E_FULL;
	f->job = (struct writer_job){ .db = WRITER_STATE, .run = find_run, .done = find_done };
	f->q = *q;
	f->fn = fn;
	f->arg = arg;
	int r = writer_submit(m->writer, &f->job);
	if (r == WRITER_E_FULL)
		free(f);
	return r;
}
