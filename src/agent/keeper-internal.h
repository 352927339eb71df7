/*
 * keeper-internal - what the files of keeper share; nobody else includes it.
 *
 * One struct keeper, one thread, one loop. keeper parses nothing that a
 * stranger wrote: a message from serve is names and numbers (ipc/msg.h), looked
 * up in tables that only root writes; payloads and bundles are descriptors that
 * it passes on unread. Whatever serve says, the worst that follows is a sandbox
 * it could have asked for anyway, and a malformed message ends serve.
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/config.h"
#include "base/err.h"
#include "host/cgroup.h"
#include "host/launch.h"
#include "host/layer.h"
#include "host/proc.h"
#include "ipc/msg.h"

enum {
	KEEPER_LAYERS = 1 + MSG_LAYERS_MAX, KEEPER_PATH = 512,
	KEEPER_REMOVALS_MAX = 4, /* layers being removed at once, beside those being unpacked */
	KEEPER_WORKS = MSG_UNPACKS_MAX + KEEPER_REMOVALS_MAX,
};

struct keeper;

/* One tenant's id range: written to disk before it is first used, and never given to another. */
struct tenant {
	char name[MSG_NAME_SIZE];
	uint32_t base_id;
	bool pinned;             /* its cgroup level stays until keeper stops */
};

/* A layer in use by sandboxes; keeps LAYER_DROP away. */
struct layer_use {
	char sha256[MSG_DIGEST_SIZE];
	enum msg_layer_kind kind;
	uint32_t count;          /* 0: the place is free */
};

enum kinstance_state { K_FREE, K_LAUNCHING, K_RUNNING };

struct kinstance {
	struct keeper *k;
	enum kinstance_state state;
	uint32_t slot, generation;
	bool killed;             /* by KILL, or because its serve is gone */
	bool orphan;             /* its serve is gone: nobody is told how it ended */
	struct sandbox sandbox;
	struct event *status_event, *exit_event;
	int io[MSG_IO_MAX];      /* serve's ends until LAUNCHED takes them along */
	struct launch_socket socket[MSG_SOCKETS_MAX]; /* the same */
	enum msg_socket socket_kind[MSG_SOCKETS_MAX];
	size_t sockets;
	size_t uses[KEEPER_LAYERS]; /* places in keeper.use, + 1 */
	uint64_t asked_wall_ns, asked_cpu_ns;
	bool has_exit, has_failure;
	struct report last;      /* of RUNNING, then of FAILED or EXITED */
};

/* Work on a layer that takes its time, in a child of its own. */
struct layer_work {
	struct keeper *k;
	bool active, orphan;     /* orphan: the serve that asked is gone */
	bool removal;            /* else an unpack */
	uint64_t request;
	enum msg_layer_kind kind;
	char sha256[MSG_DIGEST_SIZE];
	uint64_t reserved_bytes; /* of the ceiling, until it is known what it took */
	struct layer_job job;    /* removal: only job.proc */
	struct event *event;
	int64_t began_ns;
};

struct outgoing {
	struct outgoing *next;
	int fds[MSG_FDS_MAX];
	size_t nfds;
	union msg msg;
};

/* One look at the host, in a child of its own (keeper-doctor.c). */
struct doctor_work {
	struct proc proc;        /* pid 0: nobody is at work */
	uint64_t request;
	bool orphan;             /* the serve that asked is gone */
	int report_fd;
	struct event *exited, *deadline;
};

/* The unprivileged half, as keeper sees it. */
struct serve_half {
	struct proc proc;
	int sock;
	enum msg_phase phase;
	bool ready, was_ready, drained;
	bool stale;              /* the principals were read again since it got them */
	bool dying;              /* was killed: what it still says is not heard */
	struct event *readable, *writable, *exited, *again;
	struct outgoing *head, **tail;
	size_t queued;
	uint32_t restarts;
	uint32_t quick_deaths;   /* in a row, for the pause before the next start */
	int64_t started_ns;
};

struct keeper {
	const struct config *config;
	struct event_base *base;
	struct event *term, *interrupt, *hangup, *deadline;
	struct cgroup_host cgroups;
	char group[32];          /* this agent's own level below fcnode's cgroup root */
	int state_fd, lock_fd, runtime_fd, listen_fd;
	int tcp_fd[CONFIG_LISTEN_MAX];
	int secret_keys_fd;      /* the same of secret-keys */
	int principals_fd;       /* sealed memfd with their text: serve gets it, keeper only looked whether it is well formed */
	bool made_runtime_dir;
	size_t capacity;
	uint64_t files_max;      /* the hard limit on open files, which no sandbox can pass */
	struct kinstance **slot; /* NULL: free */
	size_t live;
	struct layer_use *use;
	size_t uses, uses_high;  /* capacity * KEEPER_LAYERS: more cannot be in use; places below uses_high were used */
	struct tenant *tenant;
	size_t tenants;
	struct layer_store store[MSG_KIND_MAX];
	char store_path[MSG_KIND_MAX][KEEPER_PATH];
	uint64_t store_bytes, reserved_bytes; /* of all layers, and what unpacks may still add, for the ceiling */
	struct layer_work work[KEEPER_WORKS];
	size_t working, removing; /* all of them; of these, removals */
	struct serve_half serve;
	struct doctor_work doctor;
	uint64_t counter[MSG_COUNTER_MAX];
	bool stopping, forced;
	int status;              /* exit status once the loop has ended */
	struct keeper_image *images;
};

/* ---- keeper-dirs.c: directories, lock, socket ------------------------------ */

/* Make and lock the state directory, make the runtime directory and the socket. AGENT_HOST or AGENT_FAILED belong to the caller. */
int dirs_open(struct keeper *k, struct err *err);
/* Unlink the socket, remove the runtime directory if it was ours, let go of the lock. */
void dirs_close(struct keeper *k);

/* ---- keeper-access.c: who may call, and where over TCP ------------------------ */

/* Read and check fcnode-principals(5) and the keys of secrets into their descriptors; on failure both stay. Again upon SIGHUP. */
int access_load(struct keeper *k, struct err *err);
int tcp_listen(struct keeper *k, struct err *err);
void access_close(struct keeper *k);

/* ---- keeper-tables.c: tenants, limits from this host ------------------------ */

int tables_load(struct keeper *k, struct err *err);
void tables_free(struct keeper *k);
struct tenant *tenant_find(const struct keeper *k, const char *name);
/* 0 with *ret, -ENOSPC when the pool is used up, or -errno: it is on disk before it is used. */
int tenant_add(struct keeper *k, const char *name, struct tenant **ret, struct err *err);
/* How many instances RLIMIT_NOFILE allows, and the config wants. */
int capacity_derive(struct keeper *k, struct err *err);

/* ---- keeper-image.c: what functions see of the host or of a directory -------- */

struct function_wish;
int images_check(struct keeper *k, struct err *err); /* are the configured directories there, and root's alone? */
int images_load(struct keeper *k, struct err *err);
void images_free(struct keeper *k);
/* Fill the wish's image part (its runtime is set). -ENOENT: no such image; -ENOPKG: the runtime is not installed. */
int image_wish(const struct keeper *k, const char *image, struct function_wish *w);

/* ---- keeper-launch.c: sandboxes --------------------------------------------- */

/* The cgroup limits of a level above the sandboxes; 0: none. No swap, as inside. */
struct spec_cgroup launch_level(uint64_t memory_bytes, uint64_t cpu_milli, uint64_t pids);
/* payload_fd is taken over. Answers with LAUNCHED or LAUNCH_FAILED, later or at once. */
void launch_request(struct keeper *k, const struct msg_launch *m, int payload_fd);
void launch_kill(struct keeper *k, const struct msg_kill *m);
/* Kill every sandbox; orphan: nobody waits for their end. */
void launch_kill_all(struct keeper *k, bool orphan);

/* ---- keeper-layer.c: the layer stores ---------------------------------------- */

int layers_open(struct keeper *k, struct err *err);
void layers_close(struct keeper *k);
/* serve is gone: what it had unpacked is cancelled, what it had dropped goes on unanswered. */
void layers_orphan(struct keeper *k);
/* bundle_fd is taken over. */
void layer_request(struct keeper *k, const struct msg_layer_unpack *m, int bundle_fd);
void layer_drop(struct keeper *k, const struct msg_layer_drop *m);
void layer_list(struct keeper *k, const struct msg_layer_list *m);
/* Take and give back a use of a layer that exists. 0 with a place + 1 in *ret, -ENOENT. */
int layer_use(struct keeper *k, enum msg_layer_kind kind, const char *sha256, size_t *ret, struct err *err);
void layer_unuse(struct keeper *k, size_t *place);

/* ---- keeper-doctor.c: what this host and this agent can do --------------------- */

void doctor_request(struct keeper *k, const struct msg_doctor *m);
void doctor_orphan(struct keeper *k); /* serve is gone: nobody waits for the report, and it is ended */
void doctor_free(struct keeper *k);   /* end it and wait for that */

/* ---- keeper-serve.c: the unprivileged half ------------------------------------ */

/* Start it. Failing to is an error of the host. */
int serve_start(struct keeper *k, struct err *err);
/* Queue a message; its descriptors are taken over. To a dead serve: dropped. */
void serve_send(struct keeper *k, const union msg *m, const int *fds, size_t nfds);
void serve_kill(struct keeper *k);
void serve_free(struct keeper *k);

/* ---- keeper.c ------------------------------------------------------------------ */

/* One checked message of serve's; descriptors are taken over. */
void keeper_message(struct keeper *k, const union msg *m, int fds[MSG_FDS_MAX], size_t nfds);
/* Something ended: go on with stopping, or with starting serve again. */
void keeper_turn(struct keeper *k);
/* It cannot go on: kill everything and leave with this status. */
void keeper_fail(struct keeper *k, const struct err *err);
