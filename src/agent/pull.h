/*
 * pull - the Runtime API for one call: what the code inside asks on its
 * connections, and what it is answered. Bytes in, bytes out, no I/O
 * (runtime-pull.c has the sockets); fuzzed (fuzz-pull).
 *
 * Two dialects of one protocol (CONTRACTS 3, 4; fcnode-runtimes(7)):
 * /2018-06-01/ of AWS Lambda, answered with 202, and /2020-11-11/ of Function
 * Compute, answered with 200. They differ in header names and in these numbers.
 *
 *   STARTED -next-> RUNNING -response, error-> RECEIVING -its end-> ANSWERED
 *   STARTED -init/error-> RECEIVING -its end-> ANSWERED
 *
 * There is one event. Who asks for a second one waits (is parked) until the
 * sandbox ends. A connection is read on only when its answer has been taken;
 * requests that a client did not wait with are not answered: the connection
 * closes after the answer it has.
 */
#pragma once

#include "agent/http1.h"
#include "agent/runtime.h"

enum {
	PULL_HEAD_MAX = 64 << 10, /* of a request: runtimes put errors of many KB into fields and trailers */
	PULL_ERROR_MAX = 256 << 10,
};

enum pull_state { PULL_STARTED, PULL_RUNNING, PULL_RECEIVING, PULL_ANSWERED };

struct pull_callbacks {
	void (*ready)(void *arg);      /* the first next, before it is answered */
	void (*reply)(void *arg, const char *data, size_t len);
};

struct pull {
	enum pull_state state;
	const struct runtime_call *call;
	size_t max_reply;
	const struct pull_callbacks *cb;
	void *arg;
	size_t received;             /* of the reply */
	/* not OPEN: the call is decided */
	enum runtime_verdict verdict;
	const char *why;             /* PROTOCOL, CLOSED */
	struct buf error;            /* FAILED, INIT_FAILED: the object that runtime_error_parse() takes */
};

/* A connection. */
struct pull_conn {
	struct http1 in;
	int request;                 /* what is asked, an index into the routes; -1: nothing that there is */
	bool fc;                     /* the dialect */
	const struct pull_refusal *refusal; /* its answer, whatever else it sends */
	bool sending;                /* its body is the answer to the call */
	bool parked, closing;
	char error_type[128];        /* the request's header */
	/* to be sent: first out, then the event */
	struct buf out;
	const char *event;
	size_t out_at, event_len;
};

/* call, with its event, and cb are borrowed. max_reply: of a reply in all, SIZE_MAX for any. */
void pull_init(struct pull *p, const struct runtime_call *call, size_t max_reply, const struct pull_callbacks *cb, void *arg);
void pull_fini(struct pull *p);
void pull_conn_init(struct pull_conn *c);
void pull_conn_fini(struct pull_conn *c);

/* Bytes that came: only while pull_output() has nothing. All of them are taken. */
void pull_take(struct pull *p, struct pull_conn *c, const char *data, size_t len);

/* Nothing more comes. The connection may be closed when pull_output() has nothing. */
void pull_eof(struct pull *p, struct pull_conn *c);

/* What is to be sent next: false, nothing; then close it if closing. pull_sent(): n bytes of it have been. */
bool pull_output(const struct pull_conn *c, const char **data, size_t *len);
void pull_sent(struct pull_conn *c, size_t n);

/* Between two requests: it can be closed without harm. */
bool pull_is_idle(const struct pull_conn *c);
