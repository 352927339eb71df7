/*
 * runtime-internal - what the ways to talk with a sandbox share.
 *
 * A way is one struct runtime_kind and one file. runtime.c owns the verdict, the
 * reply, the error and the log pipes; a kind owns the rest of the descriptors
 * and keeps its own state in r->own. A kind ends a call by runtime_decide(), once.
 */
#pragma once

#include <event2/event.h>

#include "agent/runtime.h"

enum {
	RUNTIME_CHUNK = 64 << 10,        /* one read, and so the most that comes after a pause was asked for */
	RUNTIME_TURN_READS = 8,          /* reads of one descriptor before the loop has its turn */
	RUNTIME_FINISH_MAX = 8 << 20,    /* read of each descriptor after the end; more than a pipe can hold */
};

struct runtime_kind {
	size_t size;                     /* of r->own, zeroed before start() */
	bool stdout_is_reply;            /* else it is log */
	/* r->fd[MSG_IO_TALK] is this kind's from here on, and stdout where it is the reply. 0 or -errno; free() comes after either. */
	int (*start)(struct runtime *r, const struct runtime_start *s);
	void (*pause)(struct runtime *r, bool rest); /* do not read the reply's source meanwhile; log goes on */
	void (*finish)(struct runtime *r);           /* take what is left of the reply */
	void (*settle)(struct runtime *r);           /* only where cb.stopping() is called */
	void (*free)(struct runtime *r);             /* optional */
};
extern const struct runtime_kind runtime_stdio, runtime_channel, runtime_push, runtime_pull;

struct runtime {
	const struct runtime_kind *kind;
	struct event_base *base;
	struct runtime_callbacks cb;
	void *arg;
	struct runtime_call call;
	struct web *web;
	enum runtime_verdict verdict;
	int fd[MSG_IO_MAX];
	int client[MSG_SOCKETS_MAX]; /* push's */
	int runtime_api;             /* pull's */
	struct event *read_event[MSG_IO_MAX];
	bool first_byte, resting;
	struct buf reply, error;
	bool handled;
	uint64_t received;
	char why[160];
	void *own;
};

/* The first word counts. why, for PROTOCOL: what was wrong, for the function's author. */
void runtime_decide(struct runtime *r, enum runtime_verdict v, const char *why);
/* r->error holds what was thrown: check it, decide FAILED or INIT_FAILED. */
void runtime_threw(struct runtime *r, bool init);
/* The same for an error that is text of any kind: what the function answered, where it is not such an object. */
void runtime_threw_text(struct runtime *r, bool init, const char *type, const char *what);
/* Bytes of the reply. */
void runtime_put(struct runtime *r, const char *data, size_t len);
/* Up to max bytes of what is there, to take(), until the reply rests. 1 more may come, 0 end of file or broken. */
int runtime_drain(struct runtime *r, int fd, size_t max, void (*take)(struct runtime *r, const char *data, size_t len));
/* Close one of r->fd, with its event. */
void runtime_close(struct runtime *r, int which);
/* Watch one of r->fd for reading. 0 or -ENOMEM. */
int runtime_watch(struct runtime *r, int which, event_callback_fn on_readable);
