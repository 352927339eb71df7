/*
 * layer - bundles as directories, unpacked once and named by their SHA-256.
 *
 * A store is a directory that only its owner writes to: <sha256>/ for each
 * layer, .tmp-XXXXXXXX/ while one is made. A layer appears by rename, whole
 * or not at all. What fc-unpack made is not believed: this walks it, takes
 * ownership, sets every mode, and refuses what is not a file, directory or
 * symlink, before the rename. Nothing here follows a symlink or reads a
 * byte of a bundle.
 *
 * Durability: a durable store is synced (syncfs) before the rename and its
 * directory after, so that after a power loss a name in the store means all
 * of the layer; one call for the file system, because a call per file costs
 * more than the unpacking. Temporary trees are not synced.
 *
 * The bundle's descriptor must be of a regular file or memfd that nobody else
 * can still write to.
 *
 * Results: 0, LAYER_REFUSED (the bundle's fault; info->outcome and err say
 * what), LAYER_ABSENT, or -errno with err set. After any of the last three
 * nothing of it is left in the store.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "host/proc.h"
#include "unpack/result.h"

enum { LAYER_REFUSED = 1, LAYER_ABSENT = 2 };
enum { LAYER_DIGEST_LEN = 64 };

struct layer_limits {
	uint64_t max_bytes, max_files, max_depth, max_name;
	uint64_t cpu_seconds;
	uint64_t wall_ms;
};

#define LAYER_LIMITS_DEFAULT { 1ULL << 30, 100000, 64, 4096, 60, 120000 }

/* Who unpacks: required non-zero when we are root, ignored when not. */
struct layer_user {
	uid_t uid;
	gid_t gid;
};

struct layer_store {
	int dirfd; /* -1: none */
	const char *prefix; /* the bundle's files are in <digest>/<prefix>/; NULL: directly */
	struct layer_user user;
	bool durable;
};

#define LAYER_STORE_INIT { -1, NULL, { 0, 0 }, false }

struct layer_info {
	char digest[LAYER_DIGEST_LEN + 1]; /* "" when the bundle was not read that far */
	bool present;          /* the store had it: then the figures below are of the bundle only, or 0 */
	uint32_t outcome;      /* enum unpack_outcome */
	uint32_t confinements; /* UNPACK_IN() bits that were in force */
	uint32_t stripped;     /* setuid and such bits taken away */
	uint64_t bundle_bytes;
	uint64_t crc64;        /* X-Fc-Code-Checksum, to be printed in decimal */
	uint64_t files, directories, bytes; /* as counted on disk, not as reported; links are files */
	uint64_t disk_bytes;   /* blocks in use: what a quota counts */
};

/* Open (and make, mode 0711) a store at path; prefix is kept by reference. 0 or -errno. */
int layer_store_open(struct layer_store *s, const char *path, const char *prefix, struct layer_user user,
		     bool durable, struct err *err);
void layer_store_close(struct layer_store *s);

/*
 * Have the bundle in the store. With `expect` (a digest) a layer that is there
 * ends it at once, and a bundle with another digest is refused. Blocks.
 */
int layer_unpack(const struct layer_store *s, int bundle_fd, const char *expect, const struct layer_limits *limits,
		 struct layer_info *ret, struct err *err);

/*
 * The same in a child, for an event loop: job->proc.pidfd becomes readable when
 * it has ended; then layer_finish() does not block. The child is killed by the
 * kernel when its parent dies. layer_cancel() ends it early; the store's next
 * layer_sweep() removes what it had begun.
 */
struct layer_job {
	struct proc proc;
	int result_fd;
};

#define LAYER_JOB_INIT { PROC_INIT, -1 }

int layer_start(const struct layer_store *s, int bundle_fd, const char *expect, const struct layer_limits *limits,
		struct layer_job *ret, struct err *err);
int layer_finish(struct layer_job *job, struct layer_info *ret, struct err *err);
void layer_cancel(struct layer_job *job);

/* A layer's directory (O_DIRECTORY): the descriptor, LAYER_ABSENT with *ret_fd -1, or -errno. */
int layer_open(const struct layer_store *s, const char *digest, int *ret_fd, struct err *err);

/* Remove a layer, atomically for a later layer_open(). LAYER_ABSENT is harmless. */
int layer_remove(const struct layer_store *s, const char *digest, struct err *err);

/* Remove what a crash left behind; at start, while no job runs. How many, or -errno. */
int layer_sweep(const struct layer_store *s, struct err *err);

/*
 * No store: unpack into the new directory `name` of dirfd, for one run. When
 * cancel_fd (or -1) becomes readable it stops with -ECANCELED and nothing left.
 * layer_discard() removes it again.
 */
int layer_unpack_at(int dirfd, const char *name, const char *prefix, struct layer_user user, int bundle_fd,
		    const char *expect, const struct layer_limits *limits, int cancel_fd, struct layer_info *ret,
		    struct err *err);
int layer_discard(int dirfd, const char *name, struct err *err);
