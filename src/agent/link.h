/*
 * link - serve's end of the socket to keeper.
 *
 * Owns the socket, the requests in flight that are answered once (tenants,
 * layers, counters) and the phase. Messages about instances go to the instance
 * table (agent/instance.h), which registers itself here. Never blocks: what the
 * socket does not take at once is queued, with descriptors duplicated, up to a
 * limit by name. When keeper is gone or speaks nonsense, `lost` is called and
 * serve ends: nothing it could do would still be true.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "ipc/msg.h"

struct event_base;
struct link;

struct link_handlers {
	void (*welcome)(void *arg, const struct msg_welcome *m); /* once, before anything else */
	void (*drain)(void *arg, uint64_t timeout_ms);           /* finish what runs, then link_drained() */
	void (*lost)(void *arg, const struct err *why);          /* the last call */
	void (*access)(void *arg, int principals_fd, int keys_fd); /* takes both over: they were read again */
};

enum { LINK_REQUESTS_MAX = 256 };

/* What a request returns: 0 sent or queued, LINK_E_FULL, or -errno (keeper gone). */
enum link_outcome { LINK_OK, LINK_E_FULL /* LINK_REQUESTS_MAX in flight, or the queue to keeper is full */ };

/* Takes fd over and says HELLO. */
int link_new(struct link **ret, struct event_base *base, int fd, const struct link_handlers *h, void *arg,
	     struct err *err);
struct link *link_free(struct link *l); /* NULL. Requests in flight are not answered any more. Not from inside a callback but lost. */

/* What keeper said in WELCOME; NULL before. */
const struct msg_welcome *link_welcome(const struct link *l);

/* Each answer comes exactly once, from the loop, unless the link is freed first. */
typedef void link_tenant_fn(void *arg, const struct msg_tenant_added *m);
typedef void link_layer_fn(void *arg, const struct msg_layer_done *done, const struct msg_layer_failed *failed); /* one is NULL */
typedef void link_dropped_fn(void *arg, const struct msg_layer_dropped *m);
typedef void link_layers_fn(void *arg, const struct msg_layers *m);
/* report_fd is the callee's; -1 with why when there is none, or when serve was out of descriptors (then why is NULL). */
typedef void link_doctor_fn(void *arg, int report_fd, const struct msg_doctor_failed *why);
typedef void link_counters_fn(void *arg, const struct msg_counters *m);

int link_tenant_add(struct link *l, const char *tenant, link_tenant_fn *fn, void *arg);

/* bundle_fd stays the caller's: a regular file or memfd, open for reading, that nobody still writes to. */
int link_layer_unpack(struct link *l, enum msg_layer_kind kind, int bundle_fd, const char *sha256, uint64_t max_bytes,
		      uint64_t max_files, link_layer_fn *fn, void *arg);
int link_layer_drop(struct link *l, enum msg_layer_kind kind, const char *sha256, link_dropped_fn *fn, void *arg);
int link_layer_list(struct link *l, enum msg_layer_kind kind, const char *after, link_layers_fn *fn, void *arg);
int link_doctor(struct link *l, link_doctor_fn *fn, void *arg);
int link_stats(struct link *l, link_counters_fn *fn, void *arg);

/* serve listens and answers: keeper says so in its log, and counts it as started. */
int link_ready(struct link *l);
int link_drained(struct link *l);

/* For agent/instance.c: who takes LAUNCHED (and then owns its descriptors), LAUNCH_FAILED and EXITED.
 * A negative result says that keeper broke its promise: the link is lost, the descriptors are closed here. */
typedef int link_instance_fn(void *arg, const union msg *m, const int fds[MSG_FDS_MAX]);
void link_set_instances(struct link *l, link_instance_fn *fn, void *arg);

/* Send a message that has no answer of its own; fd -1: none, else it stays the caller's. `must`: queued past the
 * limit too, for what is bounded elsewhere (one KILL for each instance). 0, LINK_E_FULL or -errno. */
int link_send(struct link *l, const union msg *m, int fd, bool must);
