/*
 * instance - the live sandboxes as serve sees them: a table of slots with a
 * fixed capacity (WELCOME.max_instances), each in one state
 * (agent/instance-states.def; only instance.c assigns it).
 *
 * Whoever starts one gets exactly one end: `failed` (it never ran) or `exited`,
 * also when it was killed before. Between LAUNCHING and that end, `launched`
 * comes at most once, with the descriptors, which are then the callee's; it
 * does not come for an instance that was killed meanwhile. Callbacks come from
 * the loop, never from inside a call into this module. A handle of a slot that
 * has ended is recognised by its generation and ignored.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/msg.h"

struct link;
struct instances;

enum instance_state {
#define STATE(upper, lower) INSTANCE_##upper,
#include "agent/instance-states.def"
	INSTANCE_STATE_MAX
};

enum instance_event {
#define EVENT(upper, lower) INSTANCE_EV_##upper,
#include "agent/instance-states.def"
	INSTANCE_EV_MAX
};

/* What to start. Names and numbers only; keeper checks each against its own tables. */
struct instance_wish {
	const char *tenant;   /* must have been added (link_tenant_add) */
	const char *function;
	const char *instance; /* a UUID in text form */
	const char *runtime;  /* profile of plan/ */
	const char *image;    /* name in the config's image table */
	const char *code;     /* sha256 of an unpacked layer, or "" */
	const char *layer[MSG_LAYERS_MAX]; /* more of them, top first */
	size_t layers;
	bool function_api;    /* with the function API's listener inside */
	uint64_t memory_bytes, cpu_milli, pids, tmp_bytes;
	enum msg_network network;
	int payload_fd;       /* sealed memfd (struct payload); stays the caller's */
};

/* The ways to a sandbox that runs; -1 where it has none. */
struct instance_fds {
	int io[MSG_IO_MAX];              /* blocking mode as made: set O_NONBLOCK yourself */
	int client[MSG_SOCKETS_MAX];     /* those that are there come first; non-blocking, as the next */
	int runtime_api, function_api;   /* listeners */
};
#define INSTANCE_FDS_NONE { { -1, -1, -1 }, { -1, -1, -1, -1 }, -1, -1 }
void instance_fds_close(struct instance_fds *fds);

struct instance_callbacks {
	/* All of *fds are the callee's. */
	void (*launched)(void *arg, const struct instance_fds *fds, const struct msg_launched *m);
	void (*failed)(void *arg, const struct msg_launch_failed *m);
	void (*exited)(void *arg, const struct msg_exited *m);
};

struct instance_ref {
	uint32_t slot, generation; /* generation 0: none */
};

/* Capacity is in the link's WELCOME: call this from its handler or later. NULL when out of memory. */
struct instances *instances_new(struct link *l);
struct instances *instances_free(struct instances *t); /* NULL; no callbacks */

enum instance_outcome { INSTANCE_OK, INSTANCE_E_FULL /* no free slot, or the queue to keeper is full */ };

/* 0 with *ret, INSTANCE_E_FULL, or -errno when keeper is gone. cb is kept by reference. */
int instance_start(struct instances *t, const struct instance_wish *wish, const struct instance_callbacks *cb,
		   void *arg, struct instance_ref *ret);

/* Idempotent; the end still comes as a callback. TERM leaves the state as it is. */
void instance_kill(struct instances *t, struct instance_ref ref, enum msg_kill_how how);

enum instance_state instance_state(const struct instances *t, struct instance_ref ref); /* FREE for a stale one */
size_t instances_live(const struct instances *t);
size_t instances_count(const struct instances *t, enum instance_state state);
size_t instances_capacity(const struct instances *t);
const char *instance_state_name(enum instance_state s);
const char *instance_event_name(enum instance_event e);

/* The table itself, for the unit test that walks every cell: the next state, or -1 where there is no cell. */
int instance_next(enum instance_state s, enum instance_event e);
