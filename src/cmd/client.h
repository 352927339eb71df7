/*
 * client - one HTTP exchange with fc-agent over its Unix socket (libcurl), and
 * what went wrong as the API says it: code, message, request id.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct client {
	const char *socket;
	const char *tenant;      /* X-Fcnode-Tenant, or NULL */
	uint64_t timeout_ms;     /* 0: none */
};

#define CLIENT_HEADERS(X)                                          \
	X(request_id, "X-Fc-Request-Id")                           \
	X(error_type, "X-Fc-Error-Type")                           \
	X(outcome, "X-Fcnode-Outcome")                             \
	X(timeline, "X-Fcnode-Timeline")                           \
	X(log_result, "X-Fc-Log-Result")                           \
	X(log_dropped, "X-Fcnode-Log-Dropped")                     \
	X(error, "X-Fcnode-Error")                                 \
	X(transfer, "Transfer-Encoding")

struct client_reply {
	long status;
	struct buf body;           /* of a streamed reply: empty */
#define X(field, name) char *field; /* NULL: absent */
	CLIENT_HEADERS(X)
#undef X
};

struct client_request {
	const char *method, *path; /* path with query, encoded */
	const void *body;          /* borrowed; or body_fd */
	size_t body_len;
	int body_fd;               /* -1: body */
	bool log_tail;
	/* Of a call: ask for its reply as the function writes it, and take the pieces here. 0, or -errno to give up. */
	int (*piece)(void *arg, const char *data, size_t len);
	void *arg;
};

/* 0 with any HTTP status, or -errno with err set: nobody listens, refused, cut off. */
int client_call(const struct client *c, const struct client_request *q, struct client_reply *ret, struct err *err);
void client_reply_fini(struct client_reply *r);

/* The reply's error as a sentence with code and request id, and the exit status for it (enum cmd_exit). */
int client_error(const struct client_reply *r, struct err *err);

/* Append text percent-encoded. */
int client_escape(struct buf *out, const char *text);
