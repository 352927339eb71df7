/*
 * runtime - the talk with the code inside one sandbox, for one call.
 *
 * Two ways: `stdio` (event to stdin, reply from stdout, log from stderr; the
 * end of the process is the end of the reply) and the channel of the native
 * runtimes (ipc/channel.h; stdout and stderr are log). Never blocks, reads
 * always (a function cannot be held up by its log), keeps at most
 * max_reply bytes of reply, believes no byte.
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
#include "ipc/msg.h"

struct event_base;
struct runtime;

enum runtime_verdict {
	RUNTIME_OPEN,            /* not known yet */
	RUNTIME_REPLIED,         /* the reply is whole */
	RUNTIME_FAILED,          /* the function threw: error text is set */
	RUNTIME_INIT_FAILED,     /* its code did not load: error text is set */
	RUNTIME_REPLY_TOO_LARGE,
	RUNTIME_PROTOCOL,        /* rules of the channel broken; see runtime_why() */
	RUNTIME_CLOSED,          /* the channel was closed without an answer: the process may be about to end */
};

struct runtime_callbacks {
	void (*verdict)(void *arg, enum runtime_verdict v);
	void (*log)(void *arg, int stream, const char *data, size_t len); /* LOG_STDOUT, LOG_STDERR */
	void (*ready)(void *arg);      /* channel: the handler is loaded */
	void (*first_byte)(void *arg); /* of the reply */
};

struct runtime_start {
	bool channel;            /* else stdio */
	const int *fds;          /* MSG_IO_MAX of them, taken over */
	const char *invoke;      /* channel: the INVOKE frame's JSON */
	const void *event;       /* borrowed until runtime_free() */
	size_t event_len;
	size_t max_reply;
	const struct runtime_callbacks *cb;
	void *arg;
};

/* Callbacks come from the loop only. The descriptors are closed on failure too. 0 or -errno. */
int runtime_new(struct runtime **ret, struct event_base *base, const struct runtime_start *s);
struct runtime *runtime_free(struct runtime *r);

/* The sandbox has ended: read what is left (bounded), decide. Calls log, never verdict. */
enum runtime_verdict runtime_finish(struct runtime *r);

struct buf *runtime_reply(struct runtime *r);      /* REPLIED: may be taken */
const char *runtime_error(const struct runtime *r); /* FAILED, INIT_FAILED: JSON text, checked */
bool runtime_error_handled(const struct runtime *r);
const char *runtime_why(const struct runtime *r);
uint64_t runtime_received(const struct runtime *r);

/* Check a runtime's error object and write it anew with the API's three fields. 0 or -EPROTO. (Apart for tests and fuzzing.) */
int runtime_error_parse(const char *text, size_t len, struct buf *out, bool *handled);
