/*
 * sample - a valid message of each type, and every way to spoil each of its
 * fields, made from the list itself (ipc/messages.def): shared by the unit test
 * and by the maker of the fuzzer's corpus.
 */
#pragma once

#include <stdio.h>
#include <string.h>

#include "ipc/msg.h"

#define SAMPLE_DIGEST "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SAMPLE_UUID "2f1e6a3c-9d3b-4c57-8a55-0f3f7f0d9a11"

static inline void sample_digests(char d[][MSG_DIGEST_SIZE], size_t n)
{
	for (size_t i = 0; i < n && i < 2; i++)
		strcpy(d[i], SAMPLE_DIGEST);
}

static inline void sample_marks(struct msg_mark *m, size_t n)
{
	for (size_t i = 0; i < n && i < 3; i++) {
		snprintf(m[i].name, sizeof(m[i].name), "mark%zu", i);
		m[i].wall_ns = 1000 + i;
		m[i].cpu_ns = i;
	}
}

#define MSG(upper, lower, to, phases, nfds)                      \
	static inline void sample_##lower(struct msg_##lower *x) \
	{
#define U32(m, f, lo, hi) x->f = (uint32_t)(lo);
#define I32(m, f, lo, hi) x->f = (hi);
#define U64(m, f, lo, hi) x->f = (lo);
#define ENUM(m, f, hi) x->f = (hi) - 1;
#define NAME(m, f, sz) strcpy(x->f, "demo_1");
#define UUID(m, f) strcpy(x->f, SAMPLE_UUID);
#define DIGEST(m, f) strcpy(x->f, SAMPLE_DIGEST);
#define DIGESTS(m, f, n) sample_digests(x->f, n);
#define TEXT(m, f, sz) strcpy(x->f, "a text");
#define NUMBERS(m, f, n) x->f[(n) - 1] = UINT64_MAX;
#define MARKS(m, f, n) sample_marks(x->f, n);
#define END(upper, lower) \
	(void)x;          \
	}
#include "ipc/messages.def"

static inline void sample(union msg *m, enum msg_type type)
{
	msg_init(m, type);
	switch (type) {
#define MSG(upper, lower, to, phases, nfds) \
	case MSG_##upper:                   \
		sample_##lower(&m->lower);  \
		break;
#include "ipc/messages.def"
	default:
		break;
	}
}

/* Any phase in which its receiver takes it. */
static inline enum msg_phase sample_phase(enum msg_type type)
{
	for (int p = 0; p < MSG_PHASE_MAX; p++)
		if (msg_allowed(type, (enum msg_phase)p))
			return (enum msg_phase)p;
	return MSG_PHASE_MAX;
}
