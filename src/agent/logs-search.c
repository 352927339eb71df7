/* Logs of many calls: a page of those that were stored, and lines as they are written for who follows. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "agent/logs.h"
#include "agent/writer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"

/* The writer's thread has the ledger to write: a search looks at so much and says where to go on. */
enum { PAGE_TEXT = 1 << 20, SCAN_TEXT = 32 << 20, SCAN_ROWS = 4096 };

/* Text of a stranger's as JSON: bytes that are not UTF-8 become '?'. */
static json_t *json_text(const char *text, size_t len)
{
	json_t *s = json_stringn(text, len);
	if (s)
		return s;
	autofree char *copy = malloc(len + 1);
	if (!copy)
		return NULL;
	for (size_t i = 0; i < len; i++)
		copy[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
	return json_stringn(copy, len);
}

/* ---- a page ---------------------------------------------------------------- */

struct search_job {
	struct writer_job job;
	struct logs_query q;
	json_t *page;
	logs_page_fn *fn;
	void *arg;
};

/* The lines that contain it; all of them where nothing is looked for. */
static int matching(const char *text, size_t len, const char *wanted, struct buf *out)
{
	size_t n = strlen(wanted);
	if (n == 0)
		return buf_append(out, text, len);
	for (size_t at = 0; at < len;) {
		const char *newline = memchr(text + at, '\n', len - at);
		size_t line = newline ? (size_t)(newline - (text + at)) + 1 : len - at;
		int r = memmem(text + at, line, wanted, n) ? buf_append(out, text + at, line) : 0;
		if (r < 0)
			return r;
		at += line;
	}
	return 0;
}

/* 1 when the page has it, 0 when nothing in it matched. */
static int add_row(struct search_job *j, sqlite3_stmt *s, size_t *bytes)
{
	struct buf text = BUF_INIT((size_t)sqlite3_column_bytes(s, 6) + 1);
	int r = matching(sqlite3_column_blob(s, 6), (size_t)sqlite3_column_bytes(s, 6), j->q.text, &text);
	if (r == 0 && (text.len || !*j->q.text)) {
		json_t *o = json_pack("{s:s, s:s, s:s, s:I, s:I, s:o}", "requestId", sqlite3_column_text(s, 1), "tenant", sqlite3_column_text(s, 2),
				      "functionName", sqlite3_column_text(s, 3), "startTimeMs", (json_int_t)sqlite3_column_int64(s, 4), "dropped",
				      (json_int_t)sqlite3_column_int64(s, 5), "text", json_text(text.data ? text.data : "", text.len));
		r = o && json_array_append_new(json_object_get(j->page, "logs"), o) == 0 ? 1 : -ENOMEM;
		*bytes += text.len;
	}
	buf_fini(&text);
	return r;
}

static int search_run(struct writer_job *job, sqlite3 *db)
{
	struct search_job *j = (struct search_job *)job;
	const struct logs_query *q = &j->q;
	autostmt sqlite3_stmt *s = writer_prepare(
		db, *q->function ? "SELECT seq, request_id, tenant, function, start_ms, dropped, text FROM logs"
				   " WHERE function = ?2 AND (?1 = '' OR tenant = ?1) AND start_ms >= ?3 AND start_ms < ?4 AND seq < ?5 ORDER BY seq DESC"
				 : "SELECT seq, request_id, tenant, function, start_ms, dropped, text FROM logs"
				   " WHERE ?2 = '' AND (?1 = '' OR tenant = ?1) AND start_ms >= ?3 AND start_ms < ?4 AND seq < ?5 ORDER BY seq DESC");
	j->page = json_pack("{s:[]}", "logs");
	if (!s || !j->page)
		return s ? -ENOMEM : writer_step(db, s);
	writer_text(s, 1, q->tenant);
	writer_text(s, 2, q->function);
	sqlite3_bind_int64(s, 3, q->from_ms);
	sqlite3_bind_int64(s, 4, q->to_ms);
	sqlite3_bind_int64(s, 5, q->before_seq);
	size_t found = 0, bytes = 0, scanned = 0;
	int64_t last = 0;
	for (size_t rows = 0;; rows++) {
		int r = writer_step(db, s);
		if (r <= 0)
			return r;
		if (found == q->limit || bytes >= PAGE_TEXT || scanned >= SCAN_TEXT || rows == SCAN_ROWS)
			break; /* there is more */
		last = sqlite3_column_int64(s, 0);
		scanned += (size_t)sqlite3_column_bytes(s, 6);
		if ((r = add_row(j, s, &bytes)) < 0)
			return r;
		found += (size_t)r;
	}
	char token[24];
	snprintf(token, sizeof(token), "%" PRId64, last);
	return json_object_set_new(j->page, "nextToken", json_string(token)) == 0 ? 0 : -ENOMEM;
}

static void search_done(struct writer_job *job, int result)
{
	struct search_job *j = (struct search_job *)job;
	j->fn(j->arg, result, result == 0 ? take_ptr(j->page) : NULL);
	json_decref(j->page);
	free(j);
}

int logs_search(struct logs *l, const struct logs_query *q, logs_page_fn *fn, void *arg)
{
	struct search_job *j = calloc(1, sizeof(*j));
	if (!j)
		return WRITER_E_FULL;
	j->job = (struct writer_job){ .db = WRITER_LOGS, .run = search_run, .done = search_done };
	j->q = *q;
	j->fn = fn;
	j->arg = arg;
	int r = writer_submit(logs_writer(l), &j->job);
	if (r == WRITER_E_FULL)
		free(j);
	return r;
}

/* ---- following --------------------------------------------------------------- */

struct log_follower {
	struct logs_query q;
	bool (*line)(void *arg, const char *json, size_t len);
	void *arg;
	bool full;
	uint64_t lost; /* lines, while it was full */
	LIST_ENTRY(log_follower) entry;
};

static LIST_HEAD(, log_follower) followers = LIST_HEAD_INITIALIZER(followers); /* one process is one node */
static size_t nfollowers;

struct log_follower *logs_follow(const struct logs_query *q, bool (*line)(void *arg, const char *json, size_t len), void *arg)
{
	struct log_follower *f = nfollowers < LOGS_FOLLOWERS_MAX ? calloc(1, sizeof(*f)) : NULL;
	if (!f)
		return NULL;
	f->q = *q;
	f->line = line;
	f->arg = arg;
	LIST_INSERT_HEAD(&followers, f, entry);
	nfollowers++;
	return f;
}

struct log_follower *logs_unfollow(struct log_follower *f)
{
	if (!f)
		return NULL;
	LIST_REMOVE(f, entry);
	nfollowers--;
	free(f);
	return NULL;
}

static void give(struct log_follower *f, json_t *object)
{
	autojson json_t *o = object;
	autofree char *text = o ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
	size_t n = text ? strlen(text) : 0;
	if (n == 0) {
		f->lost++;
		return;
	}
	text[n] = '\n'; /* in the place of the NUL */
	f->full = !f->line(f->arg, text, n + 1);
}

void logs_follow_more(struct log_follower *f)
{
	f->full = false;
	if (f->lost)
		give(f, json_pack("{s:I}", "lost", (json_int_t)f->lost));
	f->lost = 0;
}

void logs_end_followers(void (*end)(void *arg))
{
	struct log_follower *f;
	while ((f = LIST_FIRST(&followers))) {
		void *arg = f->arg;
		logs_unfollow(f);
		end(arg);
	}
}

static bool wants(const struct log_follower *f, const struct log_source *from, const char *text, size_t len)
{
	return (!*f->q.tenant || strcmp(f->q.tenant, from->tenant) == 0) && (!*f->q.function || strcmp(f->q.function, from->function) == 0) &&
	       (!*f->q.request_id || strcmp(f->q.request_id, from->request_id) == 0) &&
	       (!*f->q.text || memmem(text, len, f->q.text, strlen(f->q.text)));
}

static void publish_line(const struct log_source *from, int stream, const char *text, size_t len)
{
	struct log_follower *f;
	bool whole = len > 0 && text[len - 1] == '\n';
	LIST_FOREACH(f, &followers, entry) {
		if (!wants(f, from, text, len))
			continue;
		if (f->full) {
			f->lost++;
			continue;
		}
		json_t *o = json_pack("{s:I, s:s, s:s, s:s, s:s, s:o}", "timeMs", (json_int_t)clock_real_ms(), "requestId", from->request_id, "tenant",
				      from->tenant, "functionName", from->function, "stream", stream == LOG_STDOUT ? "stdout" : "stderr", "text",
				      json_text(text, len - whole));
		if (o && !whole)
			json_object_set_new(o, "partial", json_true());
		give(f, o);
	}
}

void logs_publish(const struct log_source *from, int stream, const char *data, size_t len)
{
	while (len > 0 && nfollowers > 0) {
		const char *newline = memchr(data, '\n', len);
		size_t n = newline ? (size_t)(newline - data) + 1 : len;
		publish_line(from, stream, data, n);
		data += n;
		len -= n;
	}
}
