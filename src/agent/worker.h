/*
 * worker - a thread for what takes long and touches no table: the loop hands
 * it a job and goes on with it in done().
 *
 * A body of tens of megabytes is parsed, decoded, hashed and written for
 * hundreds of milliseconds; nobody else's request may wait for that. A job's
 * run() works on what the job owns and on what never changes (config, a
 * catalog_function), nothing else. One job at a time, in order.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct event_base;
struct worker;

enum { WORKER_QUEUE_MAX = 16 /* jobs submitted and not yet done(): "body-queue" in fcnode-api(7), LIMITS */ };

/* Embedded in the caller's own struct, which lives until done(). */
struct worker_job {
	void (*run)(struct worker_job *job);             /* in the thread */
	void (*done)(struct worker_job *job, bool ran);  /* in the loop; false: the worker ended before its turn */
	bool ran;
	struct worker_job *next;
};

enum worker_outcome { WORKER_OK, WORKER_E_FULL };

int worker_new(struct worker **ret, struct event_base *base, struct err *err);

/* The job at hand ends, the others are not begun; done() is called for each. NULL. */
struct worker *worker_free(struct worker *w);

/* WORKER_OK: done() will be called once, never from inside this call. WORKER_E_FULL: it will not. */
int worker_submit(struct worker *w, struct worker_job *job);
