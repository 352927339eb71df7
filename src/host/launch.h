/*
 * launch - from a spec to a running sandbox. The one way to make one (DESIGN.md, invariant 7).
 *
 * The caller gives a compiled spec, the payload's memfd and descriptors, and
 * where the cgroup shall be. launch() makes the cgroup, clones fc-sandbox
 * straight into it and into new namespaces, writes the id maps, opens and
 * idmaps the trees, and tells it to go on. It returns while the stages still
 * run; the status socket then says what happened (sandbox_report()).
 *
 * Needs a single-threaded caller when spec joins a network namespace (setns).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "base/err.h"
#include "host/cgroup.h"
#include "host/net.h"
#include "host/proc.h"
#include "sandbox/report.h"
#include "sandbox/spec.h"

/* Points in the launcher's own work, CLOCK_MONOTONIC and thread CPU time. */
#define LAUNCH_PHASES(X) X(begin) X(cgroup) X(netns) X(clone) X(maps) X(trees) X(go)
enum launch_phase {
#define X(name) LAUNCH_##name,
	LAUNCH_PHASES(X)
#undef X
	LAUNCH_PHASE_MAX
};

struct launch_times {
	uint64_t wall_ns[LAUNCH_PHASE_MAX];
	uint64_t cpu_ns[LAUNCH_PHASE_MAX];
};

/* A socket to be made in the sandbox's network namespace, for the launcher's use. */
struct launch_socket {
	uint16_t listen_port;      /* on 127.0.0.1; 0: a TCP client that is not connected */
	int fd;                    /* made by launch(); the caller's, also when it fails; -1: not made */
};

struct launch_req {
	const struct spec *spec;   /* checked (spec_check); spec->size bytes */
	int payload_fd;            /* sealed memfd holding a struct payload */
	const int *fds;            /* the payload's 0 .. nfds - 1; nfds == spec->payload_fds */
	size_t nfds;
	const char *cgroup_path;   /* below fcnode's root; NULL: no cgroup at all */
	int netns_fd;              /* a namespace made before to start in, or -1 */
	struct net_ahead *net_ahead; /* one that is being made, to be waited for as late as possible, or NULL */
	struct launch_socket *sockets; /* nsockets of them; only where the namespace is the sandbox's own */
	size_t nsockets;
	int gate_fd;               /* listening socket (SPEC_F_GATE), or -1 */
	int console_fd;            /* connected socket for the pty's master (SPEC_F_TERMINAL), or -1 */
};

struct sandbox {
	struct proc proc;          /* fc-sandbox = PID 1 inside */
	int status_fd;             /* struct report messages; -1 once closed */
	bool has_cgroup;
	struct cgroup cgroup;
	struct cgroup_oom_mark oom_mark;
	struct launch_times times;
	struct launch_child *child; /* what fc-sandbox uses until its execve; freed when it is past that */
};

#define SANDBOX_INIT { .proc = PROC_INIT, .status_fd = -1 }

/* 0, or -errno with err set and nothing left behind. */
int launch(const struct cgroup_host *host, const struct launch_req *req, struct sandbox *ret, struct err *err);

/* After REPORT_HOOKS: the hooks ran, go on. state is the OCI state JSON for the
 * hooks that run inside (at most GO_STATE_MAX bytes; may be empty). */
int sandbox_continue(struct sandbox *s, const void *state, size_t len, struct err *err);

/*
 * Read the next report (blocks; poll status_fd to avoid that). Returns
 * 1 with *ret filled, 0 at end of file, < 0 on error. The bytes are the
 * sandbox's: kind and stage are checked, detail is terminated and printable.
 */
int sandbox_report(struct sandbox *s, struct report *ret);

/* "mounts: overlay /code: No space left on device" from a REPORT_FAILED. Returns -code. */
int sandbox_failure(const struct report *r, struct err *err);

/* SIGKILL to everything in it. */
void sandbox_kill(struct sandbox *s);

/* Wait for PID 1 (it must have been killed or ended), reap it; wait status to *status. */
int sandbox_reap(struct sandbox *s, int *status);

/* Release descriptors and remove the cgroup. Kills first whatever is left. */
void sandbox_fini(struct sandbox *s);
