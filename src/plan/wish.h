/*
 * wish - a function's sandbox, from what is wanted to a struct spec.
 *
 * Two halves, because they may come from different writers (DESIGN.md 1):
 * plan_function() makes the policy (mounts, ids, limits, filter) from names,
 * paths and numbers that a trusted caller gives; plan_function_payload() makes
 * argv, env and cwd. Neither makes a system call: whatever must be known of
 * the host (merged /usr, whether a mount can be idmapped) is an input.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "plan/function.h"

enum wish_image { WISH_IMAGE_HOST, WISH_IMAGE_DIR };

enum wish_ids {
	WISH_IDS_RANGE,  /* root: a tenant's own range; the payload is 1000:1000 inside */
	WISH_IDS_SINGLE, /* an ordinary user: one id, the caller's own, seen as 1000:1000 inside */
};

enum wish_net {
	WISH_NET_NONE,  /* a new namespace with only loopback */
	WISH_NET_GIVEN, /* a namespace made ahead; the launcher is already in it when it clones */
	WISH_NET_HOST,  /* the caller's own network */
};

enum {
	WISH_UID_INSIDE = 1000, /* the payload's user and group id inside, in both id modes */
	WISH_RANGE = 65536,     /* ids of a tenant's range */
	WISH_PIDS = 512,        /* default of limits.pids */
	WISH_CPU_PERIOD_US = 100000, /* of the cpu limit; one for all levels, so that they can be compared */
	WISH_CLIENTS = 3,       /* sockets for a custom runtime's server: to initialise it, to call it, to stop it */
	WISH_CHANNEL_FD = 3,    /* where the native runtimes find their channel (FC_CHANNEL_FD) */
	WISH_ETC_BINDS_MAX = 32,
};

/* 0 leaves a limit out (an ordinary user without delegated cgroups); a caller sets what it can have. */
struct wish_limits {
	uint64_t memory_bytes;
	uint64_t swap_bytes;   /* beyond memory; 0: none (only where memory_bytes is set) */
	uint32_t cpu_milli;
	uint32_t pids;
	uint64_t tmp_bytes;    /* /tmp; must be set */
	uint64_t nofile_max;   /* the caller's own hard limits, which nothing in a user namespace can raise: */
	uint64_t nproc_max;    /* the sandbox gets no more. 0: not known, ask for all */
	bool core_zero;        /* that of core files is 0, so it cannot be 1 */
};

struct function_wish {
	enum function_runtime runtime;
	struct wish_limits limits;

	enum wish_image image;
	const char *image_dir;          /* DIR: the root file system, never written to */
	const char *skel_dir;           /* DIR: images/skel, the mount points every root needs */
	const char *etc_dir;            /* HOST: images/host/etc */
	const char *const *etc_binds;   /* HOST: files and directories of the host's /etc to show as well (NULL-terminated, may be NULL) */
	bool usr_split;                 /* HOST: /bin, /sbin, /lib are directories of their own, not links into /usr */
	bool lib64;                     /* HOST: /usr/lib64 (or /lib64) exists */

	const char *code_dir;           /* a directory shown at /code, or */
	const char *code_layer;         /* a layer, which contains code/ (fc-unpack's output) */
	const char *const *layers;      /* further layers, the first on top: each contains opt/ (NULL-terminated, may be NULL) */
	const char *runtime_dir;        /* images/python3 or images/nodejs, shown at /var/fc/runtime; NULL for stdio */
	const char *tmp_dir;            /* show this directory at /tmp instead of a tmpfs, or NULL; it belongs to uid_base + WISH_UID_INSIDE (SINGLE: the caller) */

	enum wish_ids ids;
	uint32_t uid_base, gid_base;    /* RANGE: first id outside; SINGLE: the caller's ids */
	bool idmap;                     /* RANGE: the trees' file system can be idmapped: root's files are root's inside */

	enum wish_net net;
	const char *hostname;           /* NULL: "function" */
	const char *stage_dir;          /* spec.stage_dir */
	uint32_t features_off;          /* spec.features_off */
	uint32_t flags_off;             /* 1 << enum spec_flag to leave out (tests, --keep): DIE_WITH_PARENT, ... */
};

/* Compile it: *spec must be empty and allow SPEC_SIZE_MAX bytes. 0, or -errno with err naming what is missing. */
int plan_function(const struct function_wish *w, struct buf *spec, struct err *err);

/* How many descriptors the payload gets: 3, and the channel for the native runtimes. */
uint32_t wish_payload_fds(enum function_runtime runtime);

/* Facts about the instance that its environment tells; NULL leaves a variable out. */
/* Short-lived ones, of the function's role; all NULL: it has none. */
struct function_credentials {
	const char *id, *secret, *token;
};

struct function_start {
	const struct function *function;
	const char *entry;              /* stdio without a handler: the executable below /code the caller found; NULL: "bootstrap" */
	const char *instance_id;
	const char *version_id;         /* NULL: "LATEST" */
	const char *qualifier;
	const char *account_id;         /* the tenant */
	const char *region;
	/* stdio, whose program serves one call: that call. Others learn it with each call. */
	const char *request_id, *traceparent, *tracestate; /* NULL: none */
	int64_t deadline_ms;            /* of the call, since the epoch; 0: none */
	struct function_credentials credentials;
	const char *const *secret_text; /* of each of function->secrets, in that order; NULL: it has none */
	const char *const *extra_env;   /* "K=V" of the caller, set last (NULL-terminated, may be NULL) */
};

/* argv, env and cwd: *payload must be empty. 0 or -errno with err set. */
int plan_function_payload(const struct function_start *start, struct buf *payload, struct err *err);
