/*
 * idempotency - a call that is asked for again under the same key is not made
 * again: who asks gets what came of the first.
 *
 * A key belongs to a function of a tenant. It is on disk before its call
 * starts, and what came of the call before its reply is sent, so that it holds
 * over a crash: a call that ran when serve died is not made again either, and
 * who asks is told so. Keys go after idempotency-age; there are at most
 * max-idempotency-keys, and a new one is refused rather than an old one lost.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/writer.h"
#include "base/buf.h"
#include "base/err.h"

struct config;
struct idempotency;

enum {
	IDEMPOTENCY_KEY_MAX = 128,
	IDEMPOTENCY_REPLY_MAX = 64 << 10, /* a longer reply is not kept, and then its key says only that it was answered */
	IDEMPOTENCY_DIGEST = 65,
};

enum idempotency_state {
	IDEMPOTENCY_NEW,      /* it is yours: make the call, then idempotency_end() or idempotency_forget() */
	IDEMPOTENCY_RUNNING,  /* the first one runs */
	IDEMPOTENCY_DONE,     /* the reply is there */
	IDEMPOTENCY_TOO_LONG, /* it was answered, with a reply that is not kept */
	IDEMPOTENCY_LOST,     /* the first one ran when the agent died */
	IDEMPOTENCY_OTHER,    /* the key came with another event or qualifier */
	IDEMPOTENCY_FULL,     /* no place for another key */
};

/* What came of a call: code API_CODE_MAX, or the refusal that body is the message of. */
struct idempotency_reply {
	char request_id[40];
	uint32_t code, outcome; /* enum api_code, enum outcome */
	bool too_long;          /* end: body is left out */
	char error_type[40], version[24]; /* "": none */
	struct buf body;
};

/* One request about a key. The caller's from submission to done(); it keeps nothing but the texts. */
struct idempotency_ask {
	struct writer_job job; /* first: a job is its ask */
	struct idempotency *table;
	char tenant[72], function[72], key[IDEMPOTENCY_KEY_MAX + 1], digest[IDEMPOTENCY_DIGEST];
	enum idempotency_state state;   /* begin: what it is */
	struct idempotency_reply reply; /* begin: of an earlier one; end: what to keep */
	void (*done)(struct idempotency_ask *a, int result); /* from the loop, once; result < 0: -errno of the database */
};
void idempotency_ask_fini(struct idempotency_ask *a);

/* The writer is idle: what ran is lost. */
int idempotency_new(struct idempotency **ret, const struct config *c, struct writer *w, struct err *err);
struct idempotency *idempotency_free(struct idempotency *t);
/* Nothing is written from now on: the writer goes. Later asks fail. */
void idempotency_close(struct idempotency *t);

/* 0, or WRITER_E_FULL and done() does not come. */
int idempotency_begin(struct idempotency *t, struct idempotency_ask *a); /* a->reply.request_id: of this request */
int idempotency_end(struct idempotency *t, struct idempotency_ask *a);
int idempotency_forget(struct idempotency *t, struct idempotency_ask *a); /* it did not start: the key is as if it had not come */
