/* probe-internal - the table of probes and how a probe runs its experiment (probe.c). */
#pragma once

#include "host/cgroup.h"
#include "host/probe.h"

struct probe_ctx {
	struct probe_report *report;
	bool root;
	const char *cgroup_path; /* "" or "LEVEL/" */
	struct cgroup_host cgroup;
	struct err cgroup_err;
};

/* The row comes with status ok and empty texts. */
typedef void probe_fn(struct probe_ctx *c, struct probe_row *row);

/*
 * Run fn in a child (its own process group, killed after ten seconds): 0, or the
 * errno it returned; EPROTO when it died. out: bytes the child may fill, seen by
 * the parent afterwards; may be NULL.
 */
typedef int probe_try_fn(void *arg, void *out);
int probe_try(probe_try_fn *fn, void *arg, void *out, size_t size);

/* probe-cgroup.c */
void probe_cgroup_sweep(struct probe_ctx *c); /* groups of a probe that was killed */
probe_fn probe_cgroup_hugetlb, probe_cgroup_swap;
probe_fn probe_cgroup, probe_cgroup_memory, probe_cgroup_cpu, probe_cgroup_pids, probe_cgroup_cpuset, probe_cgroup_io,
	probe_cgroup_start, probe_cgroup_kill, probe_cgroup_freeze, probe_memory_peak, probe_pressure, probe_delegation,
	probe_rcu;
/* probe-ns.c */
probe_fn probe_userns, probe_userns_range, probe_userns_user, probe_namespaces, probe_time_ns, probe_mount_api,
	probe_overlay, probe_overlay_userns, probe_overlay_append, probe_overlay_detached, probe_idmap_state,
	probe_idmap_tmpfs, probe_netns, probe_veth, probe_nftables;
/* probe-proc.c */
probe_fn probe_kernel, probe_pidfd, probe_seccomp, probe_landlock, probe_landlock_scope, probe_core_pattern, probe_openat2, probe_close_range, probe_memfd,
	probe_descriptors, probe_state_dir, probe_helper_sandbox, probe_helper_unpack, probe_python3, probe_node;

/* In a child: into a user namespace with the own id as 0. 0 or -errno. */
int probe_enter_userns(void);
