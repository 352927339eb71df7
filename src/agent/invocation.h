/*
 * invocation - one call of a function, from its body to its record.
 *
 * The only owner of a call's state (invocation-states.def). Each call gets a
 * sandbox of its own (agent/instance.h), at most as many at once as the
 * instance table holds; the rest waits in a bounded queue in order of arrival.
 * Before the sandbox is asked for there is an intent (agent/meter.h), and
 * before the reply is given there is a settlement: one record for each call
 * that started, none for one that did not.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/api.h"
#include "agent/lineage.h"
#include "agent/stats.h"
#include "base/buf.h"
#include "base/err.h"

struct catalog;
struct catalog_function;
struct config;
struct creds;
struct drain;
struct event_base;
struct feed;
struct instances;
struct invocation;
struct invocations;
struct logs;
struct meter;
struct passed;
struct secrets;
struct web;

enum invocation_state {
#define STATE(upper, lower) INVOCATION_##upper,
#include "agent/invocation-states.def"
	INVOCATION_STATE_MAX
};
enum invocation_event {
#define EVENT(upper, lower) INVOCATION_EV_##upper,
#include "agent/invocation-states.def"
	INVOCATION_EV_MAX
};
const char *invocation_state_name(enum invocation_state s);
/* For the unit test that walks every cell: the next state, or -1. */
int invocation_next(enum invocation_state s, enum invocation_event e);

/* What came of it. refused != API_CODE_MAX: it did not run, or the node failed; message says why. Else body is the
 * reply, or, with error_type set, the JSON of a function error. Borrowed until invocation_sent(). */
struct invocation_result {
	enum api_code refused;
	char message[900];
	bool started; /* there is a record */
	enum outcome outcome;
	const char *error_type; /* X-Fc-Error-Type, or NULL */
	struct buf body;
	struct buf log_tail;    /* raw; only when asked for */
	const char *instance_id, *checksum, *version;
	uint64_t run_us, billed_ms, peak_bytes; /* peak 0: not counted */
	const struct passed *passed; /* of a request that was passed on: the answer's head; NULL else */
	const char *timeline;   /* compact JSON, microseconds */
};

typedef void invocation_fn(void *arg, struct invocation_result *r); /* once, from the loop; not after invocation_gone() */

/* A piece of the reply as the function writes it; of *r only instance_id, checksum and version are set. false: no more for
 * now, until invocation_resume(); what was read already may still come. */
typedef bool invocation_piece_fn(void *arg, const struct invocation_result *r, const char *data, size_t len);

struct invocations_env {
	struct event_base *base;
	const struct config *config;
	struct logs *logs;
	struct meter *meter;
	struct stats *stats;
	struct catalog *catalog; /* NULL in unit tests: functions do not change there */
	struct feed *feed;       /* NULL in unit tests */
	struct web *web;         /* NULL in unit tests: no custom runtimes there */
	struct drain *drain;     /* NULL in unit tests: never draining */
	struct secrets *secrets; /* NULL in unit tests: functions with secrets do not start there */
	struct creds *creds;     /* NULL in unit tests: functions get no credentials */
};
/* Who serves the function API to the code inside (the gate); the door is shut before the sandbox' end is told. */
struct invocations_door {
	void *(*open)(void *arg, int listen_fd, const struct caller *who); /* takes the descriptor over; NULL when it cannot */
	void (*shut)(void *door);
	void *arg;
};
void invocations_set_door(struct invocations *t, const struct invocations_door *door);

int invocations_new(struct invocations **ret, const struct invocations_env *env, struct err *err);
/* Once keeper said how many sandboxes there may be. */
void invocations_connect(struct invocations *t, struct instances *instances);
struct invocations *invocations_free(struct invocations *t);

/* Refuse what is new and what waits; call `drained` when nothing runs any more. With kill: end what runs. */
void invocations_drain(struct invocations *t, bool kill, void (*drained)(void *arg), void *arg);
bool invocations_draining(const struct invocations *t);

struct invocation_wish {
	struct catalog_function *function; /* a reference is taken */
	const char *qualifier;             /* as the caller gave it; NULL: none */
	const char *request_id;
	bool log_tail;
	const char *traceparent, *tracestate; /* W3C trace context, checked (agent/trace.h), or NULL */
	const struct lineage *lineage;     /* NULL: it comes from outside */
	struct passed *passed;             /* a request to pass on, instead of an event of its own; taken over, unless NULL comes back */
	invocation_fn *done;
	invocation_piece_fn *piece;        /* NULL: the reply comes whole, in the result. Else the result's body is only an error's */
	void *arg;
};

/* Would one of this function be taken now? A call that a running call makes is a part of that, and taken while the agent
 * or the node is drained. API_CODE_MAX, or why not with text. */
enum api_code invocation_admit(struct invocations *t, const struct catalog_function *f, const struct lineage *l, struct err *err);

/* NULL when out of memory. State READING. */
struct invocation *invocation_new(struct invocations *t, const struct invocation_wish *w);

/* The event (its memory is taken over). done() may come later only. */
void invocation_body(struct invocation *i, struct buf *event);

/* After piece() said false: go on. */
void invocation_resume(struct invocation *i);

/* The caller hung up: forgets done(). The object frees itself. */
void invocation_gone(struct invocation *i);
/* The reply was sent or cannot be. The object is freed. */
void invocation_sent(struct invocation *i);

/* Calls that wait and run; the maintenance state of drain.h is "drained" once both are 0. */
size_t invocations_queued(const struct invocations *t);
size_t invocations_running(const struct invocations *t);

/* One call that has a sandbox; borrowed until the loop goes on. */
struct invocation_view {
	const char *request_id, *instance_id, *tenant, *function, *version, *qualifier;
	bool running; /* its program was executed */
	int64_t start_ms;
};
/* Those of this tenant, function and qualifier ("" is any; a version's number, or what their callers said), oldest first,
 * at most max; their number. */
size_t invocations_view(const struct invocations *t, const char *tenant, const char *function, const char *qualifier,
			struct invocation_view *out, size_t max);

/* The captured text of a call that still runs, or NULL. tenant "" is any. */
const struct buf *invocations_log(struct invocations *t, const char *request_id, const char *tenant);
