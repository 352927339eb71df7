/*
 * config - what fc-agent was told: command line and fc-agent.conf(5), one table.
 *
 * keeper reads file and command line as root, checks and resolves everything
 * (names to numbers, defaults to values) and hands serve the same struct
 * through a sealed memfd; serve reads no file of root's and asks no name
 * service. Lives as long as the process; nobody changes it after start.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/opts.h"

enum { CONFIG_IDS_MAX = 64, CONFIG_IMAGES_MAX = 64, CONFIG_RUNTIMES_MAX = 16, CONFIG_LISTEN_MAX = 8, CONFIG_ADDRESS_MAX = 64 };

struct config_image {
	const char *name; /* as functions ask for it */
	const char *path; /* "host", or an absolute directory */
};

/* Which image functions of a runtime see. */
struct config_runtime_image {
	const char *runtime, *image;
};

/* Whom a caller acts for. */
struct config_tenant {
	uid_t uid;
	const char *name;
};

/* A TCP address of the API. */
struct config_listen {
	struct sockaddr_storage address;
	socklen_t len;
	char text[CONFIG_ADDRESS_MAX]; /* "127.0.0.1:9100", "[::1]:9100" */
};

/* Which principal of fcnode-principals(5) a user of the Unix socket is. */
struct config_peer {
	uid_t uid;
	const char *principal;
};

/*
 * The limits: NUM(field, option, type, default, min, max, unit for --help, text).
 * The option's name is the name under which a refusal cites it.
 */
#define CONFIG_NUMBERS(X) \
	X(max_instances, "max-instances", U64, 0, 0, 65536, "N", \
	  "sandboxes alive at once; 0: as many as the descriptor limit allows, at most 1000 (0)") \
	X(max_queue, "max-queue", U64, 1000, 0, 1000000, "N", "invocations waiting for a sandbox (1000)") \
	X(max_queue_wait_ms, "max-queue-wait", MS, 30000, 0, 3600000, "TIME", \
	  "how long one may wait there before it is refused (30s)") \
	X(max_connections, "max-connections", U64, 1024, 1, 65536, "N", "client connections at once (1024)") \
	X(max_function_connections, "max-function-connections", U64, 256, 1, 65536, "N", \
	  "connections of functions to the function API at once (256)") \
	X(max_call_depth, "max-call-depth", U64, 8, 1, 64, "N", "functions that call functions, one inside the other (8)") \
	X(max_tcp_connections, "max-tcp-connections", U64, 256, 1, 65536, "N", \
	  "client connections over TCP at once, besides (256)") \
	X(auth_timeout_ms, "auth-timeout", MS, 10000, 100, 3600000, "TIME", \
	  "a connection over TCP that brings no well signed request is dropped after (10s)") \
	X(max_clock_skew_ms, "max-clock-skew", MS, 900000, 1000, 3600000, "TIME", \
	  "how far the date of a signed request may be from this node's clock (15m)") \
	X(max_nonces, "max-nonces", U64, 1000000, 1000, 16000000, "N", \
	  "signed requests remembered, so that none is taken twice; more are refused (1000000)") \
	X(max_unpacks, "max-unpacks", U64, 2, 1, 64, "N", "bundles being unpacked at once (2)") \
	X(max_functions, "max-functions", U64, 1000, 1, 1000000, "N", "functions of one tenant (1000)") \
	X(max_versions, "max-versions", U64, 100, 1, 100000, "N", "versions of one function (100)") \
	X(max_aliases, "max-aliases", U64, 50, 1, 100000, "N", "aliases of one function (50)") \
	X(idempotency_age_ms, "idempotency-age", MS, 86400000, 1000, 2592000000, "TIME", \
	  "how long what came of a call is kept for its idempotency key (24h)") \
	X(max_idempotency_keys, "max-idempotency-keys", U64, 10000, 1, 10000000, "N", "idempotency keys kept at once (10000)") \
	X(max_secrets, "max-secrets", U64, 1000, 1, 100000, "N", "secrets of one tenant (1000)") \
	X(max_layers, "max-layers", U64, 1000, 1, 100000, "N", "versions of layers of one tenant (1000)") \
	X(max_code_bytes, "max-code-bytes", BYTES, 512ull << 20, 1 << 10, 16ull << 30, "SIZE", \
	  "a code bundle as uploaded (512M)") \
	X(max_unpacked_bytes, "max-unpacked-bytes", BYTES, 2ull << 30, 1 << 10, 64ull << 30, "SIZE", \
	  "a code bundle unpacked (2G)") \
	X(max_files, "max-files", U64, 200000, 1, 10000000, "N", "files and directories in a code bundle (200000)") \
	X(tenant_disk_quota, "tenant-disk-quota", BYTES, 8ull << 30, 1 << 20, 1ull << 50, "SIZE", \
	  "code of one tenant on disk, bundles and layers (8G)") \
	X(max_layer_disk, "max-layer-disk", BYTES, 64ull << 30, 1 << 20, 1ull << 50, "SIZE", \
	  "all unpacked layers on disk; keeper refuses more (64G)") \
	X(max_header_bytes, "max-header-bytes", BYTES, 8 << 10, 1 << 10, 1 << 20, "SIZE", \
	  "headers of a request (8K)") \
	X(max_event_bytes, "max-event-bytes", BYTES, 32 << 20, 1 << 10, 1 << 30, "SIZE", \
	  "event of an invocation (32M)") \
	X(max_reply_bytes, "max-reply-bytes", BYTES, 6 << 20, 1 << 10, 1 << 30, "SIZE", \
	  "reply of an invocation (6M)") \
	X(client_timeout_ms, "client-timeout", MS, 60000, 100, 3600000, "TIME", \
	  "a client that neither sends nor takes bytes is dropped after (60s)") \
	X(max_memory_bytes, "max-memory", BYTES, 32ull << 30, 4 << 20, 1ull << 40, "SIZE", \
	  "most memory that a function may ask for (32G)") \
	X(default_cpu_milli, "default-cpu", MILLI, 1000, 10, 1024000, "CPUS", \
	  "cpus of a function that names none (1)") \
	X(max_cpu_milli, "max-cpu", MILLI, 16000, 10, 1024000, "CPUS", "most cpus that a function may ask for (16)") \
	X(max_timeout_ms, "max-timeout", MS, 86400000, 100, 86400000, "TIME", \
	  "longest time limit that a function may ask for (24h)") \
	X(default_pids, "default-pids", U64, 512, 1, 4194304, "N", "processes and threads of a function (512)") \
	X(max_pids, "max-pids", U64, 32768, 1, 4194304, "N", "most that a function may ask for (32768)") \
	X(max_tmp_bytes, "max-tmp", BYTES, 10ull << 30, 0, 1ull << 40, "SIZE", \
	  "largest /tmp that a function may ask for (10G)") \
	X(max_log_bytes, "max-log-bytes", BYTES, 1 << 20, 1 << 10, 1 << 30, "SIZE", \
	  "log kept of one invocation, stdout and stderr together (1M)") \
	X(max_log_line, "max-log-line", BYTES, 64 << 10, 256, 1 << 20, "SIZE", "one log line (64K)") \
	X(log_disk_quota, "log-disk-quota", BYTES, 256ull << 20, 1 << 20, 1ull << 40, "SIZE", \
	  "logs of all invocations on disk; the oldest go first (256M)") \
	X(log_max_age_ms, "log-max-age", MS, 0, 0, 315360000000, "TIME", \
	  "logs that are older go, when the next one comes; 0: no limit (0)") \
	X(max_usage_records, "max-usage-records", U64, 1000000, 100, 1000000000, "N", \
	  "usage records kept; the oldest go first (1000000)") \
	X(max_node_events, "max-node-events", U64, 8192, 64, 1000000, "N", \
	  "latest events of the node kept for GET /node/events (8192)") \
	X(drain_timeout_ms, "drain-timeout", MS, 30000, 0, 3600000, "TIME", \
	  "how long a stop waits for running invocations (30s)") \
	X(max_restart_pause_ms, "max-restart-pause", MS, 30000, 100, 3600000, "TIME", \
	  "longest pause before the unprivileged half is started again, when it dies quickly (30s)") \
	X(tenant_max, "tenant-max", U64, 1024, 1, 4000, "N", "tenants; each has 65536 ids of its own (1024)") \
	X(tenant_memory_bytes, "tenant-memory", BYTES, 0, 0, 1ull << 50, "SIZE", \
	  "memory of all sandboxes of one tenant; 0: no limit (0)") \
	X(tenant_cpu_milli, "tenant-cpu", MILLI, 0, 0, 1024000, "CPUS", \
	  "cpus of all sandboxes of one tenant; 0: no limit (0)") \
	X(tenant_pids, "tenant-pids", U64, 0, 0, 4194304, "N", \
	  "processes and threads of all sandboxes of one tenant; 0: no limit (0)") \
	X(node_memory_bytes, "node-memory", BYTES, 0, 0, 1ull << 50, "SIZE", \
	  "memory of all sandboxes; 0: no limit (0)") \
	X(node_cpu_milli, "node-cpu", MILLI, 0, 0, 1024000, "CPUS", "cpus of all sandboxes; 0: no limit (0)") \
	X(node_pids, "node-pids", U64, 0, 0, 4194304, "N", \
	  "processes and threads of all sandboxes; 0: no limit (0)") \
	X(tenant_id_base, "tenant-id-base", U64, 1879048192, 65536, 4294901760, "ID", \
	  "first of the ids for tenants and fc-unpack, a multiple of 65536 (1879048192)")

struct config {
	const char *config_file; /* as given; NULL: the default, which may be missing */
	const char *state_dir;   /* absolute */
	const char *runtime_dir; /* absolute */
	const char *socket;      /* absolute */
	const char *user;        /* of serve, as given */
	const char *cgroup_root; /* NULL: host/cgroup.h chooses */
	const char *socket_mode_text;
	const char *socket_group;
	struct opt_list allow_user, allow_group; /* as given, names or numbers */
	struct opt_list image_text;              /* "name=path" as given */
	struct opt_list runtime_image_text;      /* "runtime=image" as given */
	struct opt_list tenant_text;             /* "user=tenant" as given */
	struct opt_list listen_text;             /* "address:port" as given */
	struct opt_list peer_text;               /* "user=principal" as given */
	const char *secret_keys;                 /* fc-agent.conf(5), SECRET KEYS, absolute; NULL: none */
	const char *principals;                  /* fcnode-principals(5), absolute; NULL: none */
	bool listen_remote;                      /* listen may name more than loopback */
	int log_level;                           /* 0 error, 1 warning, 2 info, 3 debug */
	bool help, version;
#define X(field, option, type, def, min, max, unit, text) uint64_t field;
	CONFIG_NUMBERS(X)
#undef X

	/* resolved by config_finish() */
	uid_t uid;               /* of serve */
	gid_t gid;
	mode_t socket_mode;
	gid_t socket_gid;        /* (gid_t)-1: root's */
	uid_t allow_uid[CONFIG_IDS_MAX]; /* SO_PEERCRED: who may call, besides root */
	size_t allow_uids;
	gid_t allow_gid[CONFIG_IDS_MAX];
	size_t allow_gids;
	struct config_image image[CONFIG_IMAGES_MAX]; /* "host" is always there */
	size_t images;
	struct config_runtime_image runtime_image[CONFIG_RUNTIMES_MAX];
	size_t runtime_images;
	struct config_tenant tenant[CONFIG_IDS_MAX];
	size_t tenants;
	struct config_listen listen[CONFIG_LISTEN_MAX];
	size_t listens;
	struct config_peer peer[CONFIG_IDS_MAX];
	size_t peers;
};

/* The table, for --help, the command line and the file. */
extern const struct opt config_options[];

/* Defaults, then the file, then the command line; checked and resolved. */
int config_load(struct config *c, int argc, char **argv, struct err *err);

/* The way to serve: one block of text in a sealed memfd, and back. */
int config_to_fd(const struct config *c);
int config_from_fd(struct config *c, int fd, struct err *err);

/* Path of an image by its name, or NULL. */
const char *config_image(const struct config *c, const char *name);

/* The image of a function of this runtime: by runtime-image, else the image of the runtime's name, else "host". */
const char *config_runtime_image(const struct config *c, const char *runtime);

/* The most that one function can have: the least of max-, tenant- and node-RESOURCE. *name, which may be NULL: the setting that it is. */
enum config_resource { CONFIG_MEMORY, CONFIG_CPU, CONFIG_PIDS, CONFIG_RESOURCE_MAX };
uint64_t config_ceiling(const struct config *c, enum config_resource r, const char **name);

/* The tenant that this user acts for: by tenant-of, else "default". */
const char *config_tenant(const struct config *c, uid_t uid);

/* The principal that this user is by principal-of, or NULL. */
const char *config_principal(const struct config *c, uid_t uid);

/* Client connections that may be open at once, of every kind. */
uint64_t config_connections(const struct config *c);

/* serve's own directory below state_dir ("<state_dir>/serve"): its database, blobs and logs. */
int config_serve_dir(const struct config *c, char *out, size_t size);

/* May this caller use the socket? uid 0 always. groups: SO_PEERGROUPS (unix(7)), its first is the primary one. */
bool config_allows(const struct config *c, uid_t uid, const gid_t *groups, size_t ngroups);
