/*
 * oci - what the OCI verbs share: a container between its directory
 * (host/state.h), its compiled spec and, while `create` or `run` work on it,
 * its sandbox. create is oci-setup.c, start and delete are oci-life.c, hooks
 * and the terminal have files of their own; each verb only parses and calls.
 *
 * Errors follow what engines match (docker and podman look for "no such file
 * or directory", "permission denied", "executable file not found", containerd
 * for "container does not exist" and "container not running"), so OCI verbs
 * print with oci_fail(), which writes the system's words in lower case.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/opts.h"
#include "cmd/cmd.h"
#include "host/launch.h"
#include "host/state.h"

enum { OCI_KILL_WAIT_MS = 10000, OCI_FDS_MAX = 512 };

struct oci {
	const struct cmd_globals *g;
	struct state_dir dir;
	struct state state;
	struct buf spec;             /* the compiled block; empty when the container has none yet */
	struct buf payload;
	char word[256];              /* argv[0], for the error when it cannot be executed */
	struct cgroup_host host;
	bool host_ready;
	struct sandbox sandbox;      /* create, run: ours to reap */
	bool has_sandbox;
	int console_fd;              /* where fc-sandbox sends the terminal's master, or -1 */
	int engine_fd;               /* --console-socket, connected, or -1 */
	int master;                  /* run in the foreground: the terminal's master, or -1 */
	unsigned short rows, columns; /* process.consoleSize; 0: not given */
};

/* create and run */
struct oci_create_opts {
	const char *bundle, *pid_file, *console_socket;
	uint64_t preserve_fds;
	bool no_pivot, no_new_keyring;
	bool detach, keep, no_subreaper; /* run */
	bool help;
};

void oci_init(struct oci *o, const struct cmd_globals *g);
void oci_fini(struct oci *o);

/* With --debug: what is being done, to the log or stderr. */
void oci_debug(const struct oci *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline const struct spec *oci_spec(const struct oci *o) { return (const struct spec *)(const void *)o->spec.data; }

/* Open container id and read what there is; lock it when the verb changes it. */
int oci_open(struct oci *o, const char *id, bool lock, struct err *err);
/* Read <dir>/spec (the locked verbs need it for hooks). A missing one leaves o->spec empty. */
int oci_load_spec(struct oci *o, struct err *err);

/*
 * From a bundle to a container that waits at its gate (oci-setup.c). On failure
 * nothing is left. Call it before any descriptor is opened: 3 and up are then
 * the caller's, for --preserve-fds.
 */
int oci_create(struct oci *o, const char *id, const struct oci_create_opts *opts, struct err *err);

/* Compile <bundle>/config.json: o->spec, o->payload, o->state's paths and annotations. */
int oci_read_bundle(struct oci *o, const struct oci_create_opts *opts, uint32_t more_fds, bool *terminal, struct err *err);

/*
 * Is process.args[0] there and executable, in the container that waits at its
 * gate? Engines expect create, not start, to say that it is not (oci-exec.c).
 */
int oci_check_program(struct oci *o, struct err *err);

/* Open the gate, wait until the payload executes, run poststart hooks (oci-life.c). */
int oci_start(struct oci *o, struct err *err);
/* Kill what is left in it, remove cgroup and state, run poststop hooks. `o` must be locked. */
int oci_destroy(struct oci *o, struct err *err);
/* SIGKILL to the container's process and wait for its end. 0 also when it had ended. */
int oci_kill_wait(struct oci *o, struct err *err);
/* Its cgroup: 0, or -ENOENT when it has none or it is gone. */
int oci_cgroup(struct oci *o, struct cgroup *ret, struct err *err);

/* Run the spec's hooks of one kind in this process' namespaces, the state on their stdin (oci-hooks.c). */
int oci_hooks(struct oci *o, enum spec_hook_kind kind, enum state_status status, struct err *err);
/* The state for hooks as text, at most GO_STATE_MAX bytes. */
int oci_state_text(const struct oci *o, enum state_status status, struct buf *out, struct err *err);

/* Foreground `run` (oci-relay.c): block signals before anything is started, ... */
void oci_relay_prepare(void);
/* ... then pass signals and, with a terminal, bytes on until proc ends. master -1: no terminal. */
int oci_relay(const struct proc *proc, int master, struct err *err);

/* "KILL", "SIGKILL", "9", "RTMIN+1" to a number; -EINVAL with err set. */
int oci_signal(const char *text, struct err *err);

/* Print the error as engines want it; the verbs' exit status on failure. */
int oci_fail(const struct cmd_globals *g, struct err *err);
/* Usage shared by the verbs: parse, print help when asked. Returns the index of the first operand, 0 when help was printed, < 0 on error. */
int oci_parse(const struct opt *table, const char *usage, int argc, char **argv, size_t min, size_t max, void *dest,
	      struct err *err);
