#include "agent/stats.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/cleanup.h"

static const char *const outcome_names[] = {
#define OUTCOME(upper, lower) [OUTCOME_##upper] = #lower,
#include "agent/outcomes.def"
#undef OUTCOME
};
_Static_assert(ARRAY_LEN(outcome_names) == OUTCOME_MAX, "a name for each outcome");

/* From one millisecond, doubling: the last bound is 32.768 s. */
static uint64_t bound_us(size_t i) { return 1000ull << i; }

const char *outcome_name(enum outcome o)
{
	assert(o < OUTCOME_MAX);
	return outcome_names[o];
}

void stats_reply(struct stats *s, unsigned status)
{
	assert(status < ARRAY_LEN(s->status));
	s->status[status]++;
}

void stats_call(struct stats *s, enum outcome o, uint64_t duration_us)
{
	assert(o < OUTCOME_MAX);
	size_t i = 0;
	while (i < STATS_BUCKETS && duration_us > bound_us(i))
		i++;
	s->bucket[i]++;
	s->outcome[o]++;
	s->duration_us_sum += duration_us;
	s->duration_count++;
}

static int family(struct buf *out, const char *name, const char *type, const char *help)
{
	return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static int plain(struct buf *out, const char *name, const char *type, const char *help, uint64_t value)
{
	int r = family(out, name, type, help);
	return r < 0 ? r : buf_printf(out, "%s %" PRIu64 "\n", name, value);
}

static int labelled(const struct stats *s, struct buf *out)
{
	int r = family(out, "fcnode_invocations_total", "counter", "Calls that ended, by outcome");
	for (int i = 0; r == 0 && i < OUTCOME_MAX; i++)
		r = buf_printf(out, "fcnode_invocations_total{outcome=\"%s\"} %" PRIu64 "\n", outcome_names[i],
			       s->outcome[i]);
	if (r == 0)
		r = family(out, "fcnode_http_requests_total", "counter", "Requests answered, by HTTP status");
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(s->status); i++)
		if (s->status[i])
			r = buf_printf(out, "fcnode_http_requests_total{code=\"%zu\"} %" PRIu64 "\n", i, s->status[i]);
	return r;
}

static int histogram(const struct stats *s, struct buf *out)
{
	static const char name[] = "fcnode_invocation_duration_seconds";
	int r = family(out, name, "histogram", "Time from the end of the request's body to the end of the call");
	uint64_t sum = 0;
	for (size_t i = 0; r == 0 && i < STATS_BUCKETS; i++) {
		sum += s->bucket[i];
		r = buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, (double)bound_us(i) / 1e6, sum);
	}
	sum += s->bucket[STATS_BUCKETS];
	if (r == 0)
		r = buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.6f\n%s_count %" PRIu64 "\n", name,
			       sum, name, (double)s->duration_us_sum / 1e6, name, s->duration_count);
	return r;
}

int stats_write(const struct stats *s, const struct stats_more *keeper, struct buf *out)
{
	int r = 0;
#define COUNTER(field, name, help) \
	if (r == 0)                \
		r = plain(out, name, "counter", help, s->field);
#define GAUGE(field, name, help) \
	if (r == 0)              \
		r = plain(out, name, "gauge", help, s->field);
#include "agent/stats.def"
#undef COUNTER
#undef GAUGE
	if (r == 0)
		r = labelled(s, out);
	if (r == 0)
		r = histogram(s, out);
	for (size_t i = 0; r == 0 && i < keeper->count; i++) {
		char name[96];
		snprintf(name, sizeof(name), "fcnode_keeper_%s", keeper->names[i]);
		r = plain(out, name, "untyped", keeper->help[i], keeper->value[i]);
	}
	return r;
}
