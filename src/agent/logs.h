/*
 * logs - what functions wrote to stdout and stderr, by request id.
 *
 * While a call runs its text is captured in memory, at most max-log-bytes; what
 * is more is read all the same (a function never waits for us), counted and
 * marked in the text. At the end the text goes to the writer, into a database
 * of its own (logs.db): one file that retention can cut at the old end in one
 * transaction and that a query by request id finds without a directory of a
 * million files; apart from the ledger, because it may be lost and the ledger
 * may not. The database holds at most log-disk-quota bytes of text; the oldest
 * go first.
 */
#pragma once

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

/* The stored text of one call: fn gets 0 and the text, -ENOENT, or -EIO. tenant "" is any. 0 or WRITER_E_FULL. */
typedef void logs_fn(void *arg, int result, struct buf *text, uint64_t dropped);
int logs_find(struct logs *l, const char *request_id, const char *tenant, logs_fn *fn, void *arg);
