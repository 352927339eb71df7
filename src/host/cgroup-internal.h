/*
 * cgroup-internal - what the files of cgroup share, and what unit tests see.
 *
 * Limits are data: each backend turns a wish into calls of an emit function,
 * one per kernel file, without touching a file system. cgroup.c makes the
 * directories and writes; cgroup-host.c finds the hierarchies.
 */
#pragma once

#include "host/cgroup.h"

/* Where a caller goes that must leave its own group (unified): "caller.<pid>" in fcnode's root, or at the top CGROUP_TOP_PREFIX before it. */
#define CGROUP_CALLER "caller."
/* Is this group, by its path, one that a caller stepped aside into? */
bool cgroup_is_caller(const struct cgroup_host *h, const char *path);
/* Undo it: take the controllers back, return to the group this process came from, remove what it made. Where groups are left, nothing. */
void cgroup_unified_step_back(const struct cgroup_host *h);

/* A spec's limits, or an inner level's (then spec is NULL: no strings, io, files). */
struct cgroup_wish {
	const struct spec_cgroup *limits;
	const struct spec *spec;
};

/* One write: value to file in the directory of that controller. Non-zero stops. */
typedef int cgroup_emit(void *arg, enum cgroup_controller c, const char *file, const char *value);

/* 1 << controller for each one that the wish cannot do without. */
unsigned cgroup_wish_controllers(const struct cgroup_wish *w);

/*
 * The writes, in the order the kernel wants. fresh: the group was just made, so
 * values that equal the kernel's defaults are left out. swap_first (hybrid): the
 * memory limit grows, so memory+swap has to grow before it.
 */
int cgroup_unified_limits(const struct cgroup_wish *w, bool fresh, cgroup_emit *emit, void *arg);
int cgroup_hybrid_limits(const struct cgroup_wish *w, bool fresh, bool swap_first, cgroup_emit *emit, void *arg);

/* Counters, by directory descriptor of the leaf (v2) or by host and path (v1). */
void cgroup_unified_usage(int dirfd, struct cgroup_usage *ret);
void cgroup_hybrid_usage(const struct cgroup *cg, struct cgroup_usage *ret);

/* The memory failure counter of the group at this path ("tenant/function"), or 0. */
uint64_t cgroup_unified_oom_count(const struct cgroup_host *h, const char *path);
uint64_t cgroup_hybrid_oom_count(const struct cgroup_host *h, const char *path);
/* The same of fcnode's root and everything above it. */
uint64_t cgroup_unified_oom_above(const struct cgroup_host *h);

/* Hybrid: memory+swap ever was at its limit here (kernels that do not count its failures). */
bool cgroup_hybrid_at_limit(const struct cgroup_host *h, const char *path);

/* Hybrid: a cpuset group is unusable until cpus and mems are set; copy the parent's down the path. */
int cgroup_hybrid_cpuset(const struct cgroup_host *h, const char *path, struct err *err);

/* As cgroup_pids, of the group's directory in one v1 hierarchy. */
ssize_t cgroup_v1_pids(const struct cgroup *cg, int c, pid_t *pids, size_t max);

/* Unified: turn on the controllers of mask in every level above path. */
int cgroup_unified_enable(const struct cgroup_host *h, const char *path, unsigned mask, struct err *err);

/* Apply a spec's device rules (cgroup-device.c). */
int cgroup_device_apply(int dirfd, const struct spec *spec, struct err *err);

/* "fcnode/<path>/<file>" (h->top: without "fcnode"); path or file may be "". */
enum { CGROUP_REL_MAX = CGROUP_PATH_MAX + 80 };
void cgroup_rel(const struct cgroup_host *h, char out[static CGROUP_REL_MAX], const char *path, const char *file);

/* Is this a path that may name a group: 0, or -EINVAL with err set. */
int cgroup_path_check(const char *path, struct err *err);
int cgroup_path_levels(const char *path);
/* Cut the last component; false when there was only one. */
bool cgroup_path_up(char *path);

/* Remove the levels above path that are empty and ours to remove, and fcnode's root at last. */
void cgroup_remove_above(const struct cgroup_host *h, int fd, const char *path);

/* "key value" lines (cpu.stat, memory.events). */
bool cgroup_stat_get(const char *text, const char *key, uint64_t *ret);
/* Sum of "key=value" over all lines (io.stat). */
uint64_t cgroup_keyed_sum(const char *text, const char *key);
/* Sum of "maj:min Key value" over all devices (blkio). */
uint64_t cgroup_blkio_sum(const char *text, const char *key);

/* The level that a vector of counters blames; levels as in struct cgroup_oom_mark. */
int cgroup_oom_blame(const uint64_t *before, const uint64_t *after, int levels, uint64_t kills);

/* What /proc/self/mountinfo says about cgroup mounts (cgroup-host.c). */
struct cgroup_mount {
	char point[256], root[256];
	bool v2;
	unsigned controllers; /* v1: 1 << controller */
};
/* Parse one line: 1 a cgroup mount in *ret, 0 something else. */
int cgroup_mountinfo_line(char *line, struct cgroup_mount *ret);
/* A space-separated list of controllers (cgroup.controllers) as a mask. */
unsigned cgroup_controller_mask(const char *list);

