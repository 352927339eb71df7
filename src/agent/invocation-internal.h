/*
 * invocation-internal - a call's parts, shared by invocation.c (its states and
 * its sandbox) and invocation-end.c (what came of it: outcome, text, record).
 */
#pragma once

#include <event2/event.h>
#include <sys/queue.h>

#include "agent/catalog.h"
#include "agent/config.h"
#include "agent/creds.h"
#include "agent/instance.h"
#include "agent/invocation.h"
#include "agent/logs.h"
#include "agent/meter.h"
#include "agent/passed.h"
#include "agent/runtime.h"
#include "agent/trace.h"

/* Why the sandbox was told to end before it did by itself; the first reason stays. */
enum end_cause { CAUSE_NONE, CAUSE_VERDICT, CAUSE_TIMEOUT, CAUSE_GONE, CAUSE_SHUTDOWN, CAUSE_CLOSED, CAUSE_HOST, CAUSE_MAX };

struct invocation {
	struct invocations *table;
	enum invocation_state state;
	struct catalog_function *function;
	char request_id[40], instance_id[37];
	char qualifier[CATALOG_ALIAS_MAX + 1];
	bool log_tail, initialising, stopping;
	char traceparent[TRACE_PARENT_SIZE], tracestate[TRACE_STATE_SIZE]; /* "": none */
	invocation_fn *done;
	invocation_piece_fn *piece;
	struct passed *passed;
	void *arg;
	struct buf event;
	struct event *timer;
	struct lineage lineage;
	struct cred *cred;             /* of its role, while it runs; or NULL */
	void *door;                    /* of its sandbox to the function API, or NULL */
	TAILQ_ENTRY(invocation) entry; /* in the queue, or among the running */
	bool listed;

	size_t slot; /* of the meter */
	struct instance_ref ref;
	struct runtime *runtime;
	struct log_capture log;
	enum end_cause cause;
	bool has_launched, has_failed, has_exited;
	struct msg_launched launched;
	struct msg_launch_failed failed;
	struct msg_exited exited;
	enum runtime_verdict verdict;

	/* CLOCK_MONOTONIC; 0: not reached */
	int64_t body_ns, start_ns, launched_ns, ready_ns, first_byte_ns, verdict_ns, ended_ns;
	int64_t start_ms; /* wall clock */
	struct meter_record record;
	struct invocation_result result;
};

TAILQ_HEAD(invocation_list, invocation);

struct invocations {
	struct invocations_env env;
	struct instances *instances;
	struct invocation_list queue, running;
	size_t queued, nrunning;
	bool draining, killing;
	void (*drained)(void *arg);
	void *drained_arg;
	struct invocations_door door;
};

/* invocation-end.c: fill i->result and settle i->record, from what is known at the end. */
void invocation_conclude(struct invocation *i);
