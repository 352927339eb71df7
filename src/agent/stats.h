/*
 * stats - serve's counters and their Prometheus text.
 *
 * Plain fields, changed only by the loop's thread; stats.def is the table of
 * them. Families with a label (calls by outcome, requests by status, the
 * duration histogram) are arrays beside it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum outcome {
#define OUTCOME(upper, lower) OUTCOME_##upper,
#include "agent/outcomes.def"
#undef OUTCOME
	OUTCOME_MAX
};
const char *outcome_name(enum outcome o);

enum { STATS_BUCKETS = 16 };

struct stats {
#define COUNTER(field, name, help) uint64_t field;
#define GAUGE(field, name, help) uint64_t field;
#include "agent/stats.def"
#undef COUNTER
#undef GAUGE
	uint64_t outcome[OUTCOME_MAX];
	uint64_t status[600];                 /* replies by HTTP status */
	uint64_t bucket[STATS_BUCKETS + 1];   /* calls by duration, not cumulated; the last one is above all bounds */
	uint64_t duration_us_sum, duration_count;
};

void stats_reply(struct stats *s, unsigned status);
void stats_call(struct stats *s, enum outcome o, uint64_t duration_us);

/* keeper's counters, if they are known: value[i] belongs to names[i] and help[i]. */
struct stats_more {
	size_t count;
	const char *const *names, *const *help;
	const uint64_t *value;
};

/* 0, or < 0 when out is full. */
int stats_write(const struct stats *s, const struct stats_more *keeper, struct buf *out);
