/*
 * gate - the HTTP side of serve: connections, requests, routes, replies.
 *
 * libmicrohttpd parses HTTP/1.1; its epoll set hangs in serve's one loop
 * (external polling), and it gets sockets that the gate accepted, so that the
 * peer's identity (SO_PEERCRED, SO_PEERGROUPS) is known before its first byte
 * is read. A request whose answer is not known yet is suspended; a peer that
 * hangs up meanwhile is noticed all the same.
 *
 * A TCP address may be served beside it: there every request is signed, and
 * is nobody's until its signature was checked (gate-auth.c).
 *
 * Bounded: connections (max-connections), target 4 KB, headers, bodies each
 * and all together, replies all together, the time a client may take for its
 * head, its body and the reply. A refusal has the API's error body and names the limit.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct auth;
struct catalog;
struct config;
struct drain;
struct event_base;
struct feed;
struct gate;
struct idempotency;
struct secrets;
struct invocations;
struct link;
struct logs;
struct meter;
struct stats;
struct worker;

struct gate_env {
	struct event_base *base;
	const struct config *config;
	struct catalog *catalog;
	struct invocations *calls;
	struct logs *logs;
	struct meter *meter;
	struct stats *stats;
	struct link *link; /* for keeper's counters and facts */
	struct worker *worker; /* for bodies that take long to read */
	struct feed *feed;
	struct drain *drain;
	struct idempotency *idempotency;
	struct secrets *secrets;
	struct auth *auth; /* who the principals are, and their signatures */
};

/* Takes listen_fd over (bound, listening) and begins to accept. */
int gate_new(struct gate **ret, const struct gate_env *env, int listen_fd, struct err *err);

/* Serve a TCP address too. Takes fd over (bound, listening). */
int gate_add_tcp(struct gate *g, int fd, struct err *err);

/* Serve the function API to what runs in sandboxes. */
void gate_serve_inside(struct gate *g, struct invocations *calls);

/* No new connections; requests in flight go on. `idle` comes, from the loop, once none is left. */
/* Clients that follow logs are told the end: before gate_drain(). */
void gate_end_followers(void);

void gate_drain(struct gate *g, void (*idle)(void *arg), void *arg);

/* Closes everything. No call, query or change may still hold a request (they were drained). */
struct gate *gate_free(struct gate *g);
