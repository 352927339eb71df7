/*
 * meter - exactly one usage record for each invocation that started.
 *
 * Before a sandbox is asked for, meter_begin() writes an intent with pwrite(2)
 * into a preallocated file (page cache: it survives SIGKILL of this process);
 * meter_end() writes the settlement into the same slot, and only then is the
 * reply sent. The record itself goes to the writer, which commits it to the
 * ledger with fsync; then the slot is free again. So a record is safe from a
 * crash of the agent before its reply leaves, and from a loss of power once
 * the batch is committed, a few milliseconds later.
 *
 * At start, slots that are still in use become records: settled ones as they
 * were, others as outcome node_crash with the time from their start. The
 * request id is unique in the table, so nothing is counted twice.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/lineage.h"
#include "agent/stats.h"
#include "base/err.h"

struct config;
struct event_base;
struct meter;
struct writer;

enum { METER_TIMELINE_MAX = 1312, METER_NAME_SIZE = 72, METER_UNKNOWN = -1 };

/* One record; written to the intent file as it is. */
struct meter_record {
	char request_id[40], instance_id[40];
	char tenant[METER_NAME_SIZE], function[METER_NAME_SIZE];
	char served[16];
	int64_t start_ms;
	uint64_t wall_us, billed_ms, memory_mb;
	int64_t cpu_us, peak_bytes; /* METER_UNKNOWN: the kernel did not count it */
	uint32_t outcome;           /* enum outcome */
	uint32_t settled;
	char timeline[METER_TIMELINE_MAX]; /* JSON, phases in microseconds */
	struct lineage lineage;
	uint32_t pad;
};

/* slots: calls that may be unsettled at once. Recovers what the last run left. */
int meter_new(struct meter **ret, struct event_base *base, const struct config *config, const char *dir, size_t slots,
	      struct writer *writer, struct stats *stats, struct err *err);
struct meter *meter_free(struct meter *m);

/* 0 with *slot; -EAGAIN when all slots are unsettled (the database cannot keep up); -EIO. */
int meter_begin(struct meter *m, const struct meter_record *r, size_t *slot);

/* The call never started after all: no record. */
void meter_cancel(struct meter *m, size_t slot);

/* Settle: r with its outcome and figures. */
void meter_end(struct meter *m, size_t slot, struct meter_record *r);

/* GB-s of a record: memory limit times billed time. */
double meter_gb_s(const struct meter_record *r);

struct meter_query {
	char tenant[METER_NAME_SIZE], function[METER_NAME_SIZE]; /* "" any */
	char request_id[40];                                     /* "" any */
	int64_t from_ms, to_ms;                                  /* start_ms in [from, to); 0: unbounded */
	uint64_t after_seq;
	size_t limit;
};
enum { METER_PAGE_MAX = 1000 };
/* The page as JSON text ({"records":[...],"nextToken":"..."}), or a negative result. 0 or WRITER_E_FULL. */
typedef void meter_fn(void *arg, int result, char *json);
int meter_find(struct meter *m, const struct meter_query *q, meter_fn *fn, void *arg);
