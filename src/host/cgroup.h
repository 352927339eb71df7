/*
 * cgroup - a sandbox's control group, on unified and on hybrid hosts.
 *
 * A group is named by a path below fcnode's own root ("tenant/function/
 * instance"); on a unified host that is one directory, on a hybrid one a
 * directory in the v2 tree and in each v1 hierarchy that carries a controller.
 * Callers see one object either way. Levels above the leaf are made when
 * missing, and removed with their last leaf unless cgroup_limit() pinned them.
 *
 * Unified: clone3(CLONE_INTO_CGROUP) puts the child in; nothing else moves.
 * Hybrid: the v2 directory takes the clone, and the child itself enters the v1
 * groups before it does anything else (cgroup_join).
 *
 * A limit that was asked for and cannot be set is an error that names the
 * controller (cgroup_make), never a silent omission.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "sandbox/spec.h"

enum cgroup_mode { CGROUP_NONE, CGROUP_UNIFIED, CGROUP_HYBRID };

#define CGROUP_CONTROLLERS(X) X(memory) X(cpu) X(cpuset) X(io) X(pids) X(hugetlb)
enum cgroup_controller {
#define X(name) CGROUP_##name,
	CGROUP_CONTROLLERS(X)
#undef X
	CGROUP_CONTROLLER_MAX
};

/* The directory that holds everything of ours, in each tree. */
#define CGROUP_ROOT "fcnode"

/* Where the host's hierarchies are; found once (cgroup_host_init) and then only read. */
struct cgroup_host {
	enum cgroup_mode mode;
	int v2_fd;                            /* the directory that fcnode's root is in, in the v2 tree (O_PATH), or -1 */
	int v1_fd[CGROUP_CONTROLLER_MAX];     /* the same in that v1 hierarchy, or -1 */
	unsigned char v1_first[CGROUP_CONTROLLER_MAX]; /* the first controller on the same hierarchy ("cpu,cpuset") */
	bool have[CGROUP_CONTROLLER_MAX];     /* can be limited by us, in either tree */
	bool writable;                        /* groups can be made here */
	bool top;                             /* CGROUP_ROOT_TOP: no "fcnode" in the paths */
	char v2_path[256];                    /* fcnode's root, absolute, for messages */
	char why[256];                        /* mode NONE or not writable: the reason, for a person */
};

enum { CGROUP_PATH_MAX = 224, CGROUP_LEVELS_MAX = 8 };

struct cgroup {
	const struct cgroup_host *host;
	char path[CGROUP_PATH_MAX];           /* below fcnode's root */
	int v2_fd;                            /* the leaf in the v2 tree (O_PATH), or -1 */
	unsigned v1_made;                     /* 1 << controller: its hierarchy has a directory for us */
};

#define CGROUP_INIT { .v2_fd = -1 }

/* What the kernel counted. have_* tell which of them it did. */
struct cgroup_usage {
	uint64_t cpu_us, user_us, system_us;
	uint64_t throttled_us;
	uint64_t memory_bytes, memory_peak_bytes;
	uint64_t pids_peak;
	uint64_t io_read_bytes, io_write_bytes;
	uint64_t oom_kills;
	bool have_cpu, have_memory, have_peak, have_oom, have_io;
};

/*
 * Which level's memory limit fired: 0 the leaf, 1 its parent, ...; CGROUP_OOM_NONE: no OOM; CGROUP_OOM_ABOVE: the limit of
 * fcnode's root or of a group above it (a service's MemoryMax); CGROUP_OOM_HOST: no limit that can be seen, the host itself.
 */
enum { CGROUP_OOM_NONE = -1, CGROUP_OOM_HOST = -2, CGROUP_OOM_ABOVE = -3 };

/*
 * Find the hierarchies; changes nothing. `root` is the absolute cgroup
 * directory to live under (fcnode's root is made in it), NULL for the default:
 * the tree's root for the superuser, else the caller's own group when it is
 * delegated. A root that cannot be used is an error. Without one the result is
 * 0 also for mode NONE or when nothing can be made: then cgroup_make() fails
 * with what h->why says.
 * CGROUP_ROOT_TOP: the mounts' roots themselves, in each hierarchy, for OCI's
 * absolute cgroupsPath (engines read the files below that very path). There an
 * empty leaf that exists already is taken over, and cgroup_remove() removes,
 * above the leaf, only levels that were made through this interface (their
 * directories carry the set-group-ID bit).
 * CGROUP_ROOT_OWN: the group that this process is in, also for the superuser (a
 * service with Delegate=yes); on hybrid hosts, where v1 controllers are not
 * delegated, the default.
 */
#define CGROUP_ROOT_TOP "/"
#define CGROUP_ROOT_OWN "own"
int cgroup_host_init(struct cgroup_host *h, const char *root, struct err *err);

/*
 * The directory to give as `root` for finding the same groups from another one
 * (the default depends on where the caller lives): 0; -ENOENT where there is
 * nothing to give (hybrid, CGROUP_ROOT_TOP); -ENAMETOOLONG.
 */
int cgroup_host_dir(const struct cgroup_host *h, char *out, size_t size);

/* Also goes back to the group that this process was in, if it had to step aside (cgroup-unified.c) and nothing is left there. */
void cgroup_host_fini(struct cgroup_host *h);

/* Make the leaf `path` with these limits (the cgroup, device, io and cgroup_file parts of the spec). -EEXIST when it is there already. */
int cgroup_make(const struct cgroup_host *h, const char *path, const struct spec *limits, struct cgroup *ret,
		struct err *err);

/* Open an existing group (after a restart; OCI commands). -ENOENT when it is gone. */
int cgroup_open(const struct cgroup_host *h, const char *path, struct cgroup *ret, struct err *err);

/*
 * Limits of an inner level ("tenant", "tenant/function"); made when missing, and
 * pinned: it stays when its last leaf goes (the sticky bit of its directory says
 * so, to every process). cgroup_release() ends that and removes it when nothing
 * is inside (-EBUSY otherwise, but it is unpinned all the same). A cpuset cannot be given here.
 */
int cgroup_limit(const struct cgroup_host *h, const char *path, const struct spec_cgroup *limits, struct err *err);
int cgroup_release(const struct cgroup_host *h, const char *path);

/* Change the limits of a group that exists (OCI update). Hybrid: a controller that it was not under yet takes its processes in. */
int cgroup_update(struct cgroup *cg, const struct spec *limits, struct err *err);

/* The descriptor for CLONE_INTO_CGROUP, or -1: clone without it. */
int cgroup_clone_fd(const struct cgroup *cg);

/*
 * How a cloned child enters the v1 groups: the parent opens, the child calls
 * cgroup_join() as its first act (before a cgroup namespace is made), the parent
 * closes. No descriptors on a unified host. A thread that moves itself through
 * `tasks` spares the kernel an RCU grace period: 0.06 ms a group here, against
 * 4 ms for a move by pid (cgroup_attach) on an idle machine.
 */
struct cgroup_joint {
	int fd[CGROUP_CONTROLLER_MAX]; /* close-on-exec */
	int count;
};
int cgroup_joint_open(const struct cgroup *cg, struct cgroup_joint *ret, struct err *err);
int cgroup_join(const struct cgroup_joint *j); /* in the child, single-threaded; async-signal-safe; 0 or -errno */
void cgroup_joint_close(struct cgroup_joint *j);

/* Hybrid: move pid into the v1 groups from outside (slow, see above). Unified: nothing to do. */
int cgroup_attach(const struct cgroup *cg, pid_t pid, struct err *err);

/* Like attach, in every hierarchy (a process that was not cloned into it). */
int cgroup_move(const struct cgroup *cg, pid_t pid, struct err *err);

/* SIGKILL to everything inside (cgroup.kill). */
int cgroup_kill(const struct cgroup *cg);
int cgroup_signal(const struct cgroup *cg, int sig);

/* Freeze or thaw; returns once the kernel says it is so or -ETIMEDOUT after timeout_ms, thawed again. */
int cgroup_freeze(const struct cgroup *cg, bool frozen, int timeout_ms, struct err *err);

/* A pollable descriptor (POLLPRI) on cgroup.events, the caller's to close, or -errno;
 * and whether any process is left. Read again after each POLLPRI (cgroup_events_populated). */
int cgroup_events_fd(const struct cgroup *cg);
int cgroup_events_populated(int events_fd, bool *ret);
int cgroup_populated(const struct cgroup *cg, bool *ret);

/* Process ids inside, up to max; the count or -errno. */
ssize_t cgroup_pids(const struct cgroup *cg, pid_t *pids, size_t max);

int cgroup_usage(const struct cgroup *cg, struct cgroup_usage *ret);

/* Take a mark of the memory failure counters along the path before the start,
 * and compare after the end: see CGROUP_OOM_* above. */
struct cgroup_oom_mark {
	uint64_t count[CGROUP_LEVELS_MAX]; /* [0] the leaf */
	uint64_t above;                    /* fcnode's root and what is above it */
	int levels;
};
void cgroup_oom_mark(const struct cgroup *cg, struct cgroup_oom_mark *mark);
int cgroup_oom_level(const struct cgroup *cg, const struct cgroup_oom_mark *before);

/* Remove the leaf, and then each level above it that is empty, up to fcnode's
 * root (the root itself too when nothing is left in it). Waits for the kernel
 * to let go of the last process at most timeout_ms, by poll. */
int cgroup_remove(struct cgroup *cg, int timeout_ms);
void cgroup_fini(struct cgroup *cg);

/*
 * Leftovers: call fn for each leaf below fcnode's root that has no child
 * group. fn returns true to have it killed and removed. Used at start and by
 * `gc`. The number removed, or -errno. With CGROUP_ROOT_TOP only groups whose
 * first component starts with CGROUP_TOP_PREFIX are looked at.
 */
#define CGROUP_TOP_PREFIX "fcnode-"
int cgroup_sweep(const struct cgroup_host *h, bool (*fn)(const char *path, void *arg), void *arg, struct err *err);

const char *cgroup_mode_name(enum cgroup_mode mode);
const char *cgroup_controller_name(enum cgroup_controller c);
