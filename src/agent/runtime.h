/*
 * runtime - the talk with the code inside one sandbox, for one call.
 *
 * What all ways to talk have in common is here: the log pipes, the reply, the
 * verdict. Each way is a file of its own (runtime-internal.h): runtime-stdio.c,
 * runtime-channel.c, runtime-push.c, runtime-pull.c. Never blocks, reads logs
 * always (a function cannot be held up by its log), keeps at most max_reply bytes
 * of reply or hands them on as they come, believes no byte.
 *
 * The verdict comes once, as soon as the outcome of the call is known; the
 * caller then ends the sandbox. After its end runtime_finish() takes what is
 * still in the pipes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "agent/instance.h"
#include "plan/wish.h"

struct event_base;
struct function;
struct passed;
struct runtime;
struct web;

enum runtime_verdict {
	RUNTIME_OPEN,            /* not known yet */
	RUNTIME_REPLIED,         /* the reply is whole */
	RUNTIME_FAILED,          /* the function threw: error text is set */
	RUNTIME_INIT_FAILED,     /* its code did not load: error text is set */
	RUNTIME_REPLY_TOO_LARGE,
	RUNTIME_PROTOCOL,        /* rules of the talk broken; see runtime_why() */
	RUNTIME_CLOSED,          /* it hung up without an answer: the process may be about to end */
};

/* How the code inside is spoken to. */
enum runtime_talk {
	RUNTIME_TALK_STDIO,   /* event to stdin, reply from stdout, log from stderr; its end is the end of the reply */
	RUNTIME_TALK_PUSH,    /* a web server inside (CONTRACTS 2); stdout and stderr are log */
	RUNTIME_TALK_PULL,    /* a client inside of the Runtime API (agent/pull.h); stdout and stderr are log */
	RUNTIME_TALK_CHANNEL, /* native runtimes (ipc/channel.h); stdout and stderr are log */
	RUNTIME_TALK_MAX
};

struct runtime_callbacks {
	void (*verdict)(void *arg, enum runtime_verdict v);
	void (*log)(void *arg, int stream, const char *data, size_t len); /* LOG_STDOUT, LOG_STDERR */
	void (*ready)(void *arg);      /* the handler is loaded; never for stdio */
	void (*first_byte)(void *arg); /* of the reply */
	/* The reply is whole, and the function is to be told that its sandbox ends, which may take it so long; then comes the
	 * verdict, at the latest with runtime_settle(). */
	void (*stopping)(void *arg, uint32_t timeout_s);
	/* A piece of the reply, instead of keeping it. false: no more for now, until runtime_resume(); what was read
	 * already (runtime-internal.h, RUNTIME_CHUNK) still comes. NULL: the reply is kept, see runtime_reply(). */
	bool (*reply)(void *arg, const char *data, size_t len);
};

/* What the function is told of its call. Borrowed until runtime_free(). */
struct runtime_call {
	const char *request_id, *instance_id, *account_id, *version, *qualifier;
	const struct function *function;
	int64_t deadline_ms;     /* of the answer, milliseconds since the epoch */
	const char *traceparent; /* W3C trace context, or NULL */
	const char *tracestate;
	struct function_credentials credentials;
	struct passed *passed;   /* push: pass this on, with the event as its body; NULL: POST /invoke */
	const void *event;
	size_t event_len;
};

struct runtime_start {
	enum runtime_talk talk;
	const struct instance_fds *fds; /* taken over, also on failure */
	struct web *web;         /* for RUNTIME_TALK_PUSH */
	struct runtime_call call;
	size_t max_reply;        /* bytes */
	const struct runtime_callbacks *cb;
	void *arg;
};

/* Callbacks come from the loop only. 0 or -errno. */
int runtime_new(struct runtime **ret, struct event_base *base, const struct runtime_start *s);
struct runtime *runtime_free(struct runtime *r);

/* After cb.reply() said false: go on. Not from inside cb.reply(). */
void runtime_resume(struct runtime *r);

/* After stopping(): enough. */
void runtime_settle(struct runtime *r);

/* The sandbox has ended: read what is left (bounded), decide. Calls log and reply, never verdict. */
enum runtime_verdict runtime_finish(struct runtime *r);

struct buf *runtime_reply(struct runtime *r);      /* REPLIED: may be taken */
const char *runtime_error(const struct runtime *r); /* FAILED, INIT_FAILED: JSON text, checked */
bool runtime_error_handled(const struct runtime *r);
const char *runtime_why(const struct runtime *r);
uint64_t runtime_received(const struct runtime *r);

/* Check a runtime's error object and write it anew with the API's three fields. 0 or -EPROTO. (Apart for tests and fuzzing.) */
int runtime_error_parse(const char *text, size_t len, struct buf *out, bool *handled);
