/*
 * state - what fc-run remembers of an OCI container between two verbs.
 *
 * <root>/<id>/ holds state.json (replaced atomically), spec (the compiled
 * block: hooks of later verbs come from it, so that a changed config.json
 * changes nothing) and gate (a listening socket until `start`). The directory
 * itself is the lock: verbs that change a container hold flock(2) on it, those
 * that only look (state, list, kill) do not, so that a hook may call them.
 *
 * The status is never stored: it is derived from the kernel. A process is
 * {pid, start time}; a recycled pid is therefore "stopped", not "running".
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/json.h"

enum { STATE_ID_MAX = 255, STATE_PATH_MAX = 4096, STATE_JSON_MAX = 4 << 20, STATE_COMM_MAX = 64 };

#define STATE_STATUS_LIST(X) X(CREATING, creating) X(CREATED, created) X(RUNNING, running) X(STOPPED, stopped)
enum state_status {
#define X(upper, lower) STATE_##upper,
	STATE_STATUS_LIST(X)
#undef X
	STATE_STATUS_MAX
};

/* A container's directory, open for reading: the lock is on fd. */
struct state_dir {
	int fd;                          /* -1: none */
	char id[STATE_ID_MAX + 1];
	char path[STATE_PATH_MAX];       /* absolute: <root>/<id> */
};
#define STATE_DIR_INIT { .fd = -1 }

struct state {
	pid_t pid;                       /* 0: never had one */
	unsigned long long start_time;   /* proc_start_time() of pid */
	bool created;                    /* create came to its end */
	char comm[STATE_COMM_MAX];       /* of pid while it waits at the gate; exec changes it */
	char bundle[STATE_PATH_MAX];
	char rootfs[STATE_PATH_MAX];
	char created_at[64];             /* RFC 3339, UTC, nanoseconds */
	char cgroup[STATE_PATH_MAX];     /* as given to cgroup_open(); "" for none */
	char cgroup_root[STATE_PATH_MAX]; /* unified: the directory that fcnode's root is in; "": the default */
	bool cgroup_at_root;             /* cgroup counts from the mount's root, not from fcnode's */
	uid_t owner;
	json_t *annotations;             /* object or NULL */
};

/* runc's rule: 1 to 255 of [A-Za-z0-9_+-.], not "." or "..". 0 or -EINVAL with err set. */
int state_check_id(const char *id, struct err *err);

/* Make <root>/<id>, locked. -EEXIST when the id is taken. root is made when missing. */
int state_dir_make(const char *root, const char *id, struct state_dir *ret, struct err *err);

/* Open it. -ENOENT: "container does not exist". */
int state_dir_open(const char *root, const char *id, struct state_dir *ret, struct err *err);

/* Wait for the lock, or give up at once with -EAGAIN when wait is false. -ENOENT when it was deleted meanwhile. */
int state_dir_lock(struct state_dir *d, bool wait, struct err *err);

/* Remove it with all that is inside; the id is free afterwards. */
int state_dir_remove(struct state_dir *d, const char *root, struct err *err);
void state_dir_fini(struct state_dir *d);

/* Each of <root>'s containers in order of name; fn returns < 0 to stop. A missing root is an empty list. */
int state_each(const char *root, int (*fn)(struct state_dir *d, void *arg), void *arg, struct err *err);

/* Note the process: its pid, start time and present name. -ESRCH when it is gone. */
int state_set_process(struct state *s, pid_t pid, struct err *err);

int state_write(const struct state_dir *d, const struct state *s, struct err *err);

/* -ENOENT: there is no state yet (create is at work, or was killed). */
int state_read(const struct state_dir *d, struct state *ret, struct err *err);
void state_fini(struct state *s);

/* Ask the kernel. */
enum state_status state_status(const struct state_dir *d, const struct state *s);
const char *state_status_name(enum state_status status);

/* A pidfd for the container's process, after its start time was compared: -ESRCH when it is gone. */
int state_pidfd(const struct state *s);

/* The runtime-spec's state object (runtime.md, "State"): new reference, NULL without memory. */
json_t *state_to_json(const struct state_dir *d, const struct state *s, enum state_status status,
		      const char *oci_version);
