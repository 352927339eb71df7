/*
 * logs - what functions wrote to stdout and stderr, by request id.
 *
 * While a call runs its text is captured in memory, at most max-log-bytes; what
 * is more is read all the same (a function never waits for us), counted and
 * marked in the text. At the end the text goes to the writer, into a database
 * of its own (logs.db): one file that retention can cut at the old end in one
 * transaction and that a query by request id finds without a directory of a
 * million files; apart from the ledger, because it may be lost and the ledger
 * may not. The database holds at most log-disk-quota bytes of text, none older
 * than log-max-age; the oldest go first. logs-search.c reads many of them, and
 * has those who follow.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct config;
struct logs;
struct stats;
struct writer;

/* Text that waits for the disk, all calls together; what is more is not kept, only counted. fcnode-api(7), LIMITS. */
enum { LOGS_QUEUE_MAX = 64 << 20 };

enum { LOG_STDOUT, LOG_STDERR, LOG_STREAMS };

struct log_capture {
	struct buf text;
	uint64_t dropped;
	size_t line[LOG_STREAMS]; /* bytes of the line at hand */
	size_t max, max_line;
	bool cut;
};

int logs_new(struct logs **ret, const struct config *config, struct writer *writer, struct stats *stats,
	     struct err *err);
struct logs *logs_free(struct logs *l);

void log_capture_init(struct log_capture *c, const struct logs *l);
void log_capture_add(struct log_capture *c, int stream, const char *data, size_t len);
void log_capture_fini(struct log_capture *c);

/* Append a line of the platform's own, past the limit too (bounded: a few lines for each call). */
void log_capture_note(struct log_capture *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Hand the text to the writer; the capture is empty afterwards. */
void logs_store(struct logs *l, struct log_capture *c, const char *request_id, const char *tenant,
		const char *function, int64_t start_ms);

struct writer *logs_writer(struct logs *l);

/* Which logs. "" is any. */
enum { LOGS_TEXT_MAX = 256, LOGS_FOLLOWERS_MAX = 64 };
struct logs_query {
	char tenant[72], function[72], request_id[40];
	char text[LOGS_TEXT_MAX + 1];  /* lines that contain it */
	int64_t from_ms, to_ms;        /* of the call's start: from <= start < to */
	int64_t before_seq;            /* nextToken of the page before; INT64_MAX: the first */
	size_t limit;                  /* calls */
};

/*
 * A page of stored logs, the newest first: {"logs": [{requestId, tenant, functionName, startTimeMs, dropped, text}]}, with
 * nextToken where there may be more; a page may be empty then, because a search looks at a bounded amount of text. fn gets 0
 * and the page (its own), or -EIO and the like. 0 or WRITER_E_FULL.
 */
typedef void logs_page_fn(void *arg, int result, json_t *page);
int logs_search(struct logs *l, const struct logs_query *q, logs_page_fn *fn, void *arg);

/*
 * Lines as they are written: line() gets {timeMs, requestId, tenant, functionName, stream, text} and a newline; false: it
 * takes no more until logs_follow_more(), which first tells how many lines were lost meanwhile ({"lost": N}). NULL: as many
 * follow as may, or out of memory.
 */
struct log_follower;
struct log_follower *logs_follow(const struct logs_query *q, bool (*line)(void *arg, const char *json, size_t len), void *arg);
struct log_follower *logs_unfollow(struct log_follower *f); /* NULL */
void logs_follow_more(struct log_follower *f);
void logs_end_followers(void (*end)(void *arg));             /* unfollows each */

/* Bytes that a call wrote, for those who follow. */
struct log_source {
	const char *tenant, *function, *request_id;
};
void logs_publish(const struct log_source *from, int stream, const char *data, size_t len);

/* The stored text of one call: fn gets 0 and the text, -ENOENT, or -EIO. tenant "" is any. 0 or WRITER_E_FULL. */
typedef void logs_fn(void *arg, int result, struct buf *text, uint64_t dropped);
int logs_find(struct logs *l, const char *request_id, const char *tenant, logs_fn *fn, void *arg);
