/* clock - time as int64 nanoseconds or milliseconds; see clock_gettime(2). */
#pragma once

#include <stdint.h>
#include <time.h>

static inline int64_t clock_ns(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* For durations and deadlines; never jumps. */
static inline int64_t clock_mono_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

/* For records read by people and other machines (Unix epoch). */
static inline int64_t clock_real_ms(void) { return clock_ns(CLOCK_REALTIME) / 1000000; }
