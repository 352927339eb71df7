/*
 * web - HTTP/1.1 requests on sockets that are given, in the event loop
 * (libcurl's multi interface). serve makes no socket of its own: it speaks to
 * a sandbox's web server through one of the sandbox's network namespace.
 *
 * One request on one connected socket, which ends with it. Nothing is decoded,
 * followed or tried again; no time limit (the caller has one).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct curl_slist;
struct event_base;
struct web;
struct web_exchange;

enum web_end {
	WEB_DONE,   /* the answer is whole */
	WEB_CLOSED, /* the other side hung up before that */
	WEB_BROKEN, /* what it sent is not HTTP/1 */
	WEB_FAILED, /* our doing: out of memory */
};

struct web_callbacks {
	/* Each field of the final answer's head; name is not terminated. Not for 1xx answers and trailers. */
	void (*field)(void *arg, const char *name, size_t name_len, const char *value, size_t value_len);
	/* The head is whole: false ends the exchange, and nothing more is called. */
	bool (*head)(void *arg, unsigned status);
	void (*body)(void *arg, const char *data, size_t len); /* a piece of it */
	/* Once; the exchange may be freed in it, and why (for WEB_CLOSED and WEB_BROKEN) goes with it. */
	void (*end)(void *arg, enum web_end end, const char *why);
};

struct web_request {
	const char *method, *target;      /* "POST", "/invoke" */
	uint16_t port;                    /* of the Host field: 127.0.0.1:port */
	const struct curl_slist *headers; /* borrowed until the end */
	const void *body;                 /* borrowed until the end; NULL: none is sent */
	size_t body_len;
	int fd;                           /* connected, non-blocking; taken over, also on failure */
	const struct web_callbacks *cb;
	void *arg;
};

/* 0 or -ENOMEM. Requests must be gone before web_free(). */
int web_new(struct web **ret, struct event_base *base);
struct web *web_free(struct web *w);

/* Callbacks come from the loop, and body() from inside web_resume() too. 0 or -ENOMEM. */
int web_start(struct web_exchange **ret, struct web *w, const struct web_request *q);
struct web_exchange *web_cancel(struct web_exchange *x); /* NULL; no callbacks. From inside end(), but no other callback */
void web_pause(struct web_exchange *x);  /* no body() until web_resume(); also from inside body() */
void web_resume(struct web_exchange *x);
