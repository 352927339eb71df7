/*
 * probe - what this host can do, found by doing it.
 *
 * Each row is one ability. A probe tries the real thing in a child process
 * (a group is made and removed, a namespace entered, a file system mounted in a
 * mount namespace that ends with the child), so nothing stays and no version
 * number is believed. `fc-run doctor` prints the rows; keeper adds its own to
 * them for `fcctl doctor`.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

#define PROBE_STATUS_LIST(X) X(ok) X(degraded) X(missing)
enum probe_status {
#define X(name) PROBE_##name,
	PROBE_STATUS_LIST(X)
#undef X
	PROBE_STATUS_MAX
};

enum { PROBE_ROWS_MAX = 64, PROBE_DETAIL_MAX = 320, PROBE_TODO_MAX = 320 };

struct probe_row {
	const char *name;       /* stable: "cgroup.memory" */
	const char *needed_for; /* stable enough for people */
	bool required;          /* for the default function sandbox, as this user */
	enum probe_status status;
	char detail[PROBE_DETAIL_MAX];
	char todo[PROBE_TODO_MAX]; /* "" when there is nothing to do */
};

struct probe_report {
	struct probe_row row[PROBE_ROWS_MAX];
	size_t count;
	bool root;              /* probed as the superuser */
	bool fit;               /* no required row is missing */
	char kernel[128];
	char state_dir[256];    /* the directory whose file system was probed */
	unsigned max_instances; /* by the descriptor limit */
};

struct probe_opts {
	const char *state_dir;   /* NULL: the configured one, or its nearest parent that exists */
	const char *cgroup_root; /* as for cgroup_host_init(); NULL: the default */
	const char *cgroup_path; /* the level below fcnode's root that groups are tried in; NULL: that root */
};

/* Fill the report. The caller must be single-threaded. What an earlier one left that was killed is removed first. */
void probe_host(struct probe_report *r, const struct probe_opts *o);

/*
 * After the end of a process that was killed in probe_host(): remove the group that it had below cgroup_path (NULL: below
 * the root). Only one process at a time may probe below that level, or the number could be another's by then. The number
 * of groups removed (0 or 1), or -errno.
 */
struct cgroup_host;
int probe_remove_left(const struct cgroup_host *h, const char *cgroup_path, pid_t pid);

/* A row of the caller's own, status ok, to be filled; never more than PROBE_ROWS_MAX in all. Then probe_weigh(). */
struct probe_row *probe_add(struct probe_report *r, const char *name, const char *needed_for, bool required);
void probe_weigh(struct probe_report *r); /* set fit anew from the rows */

/* Append the report as JSON, indented, with stable keys (fc-run-doctor(1)). 0, -EINVAL (a text is not UTF-8), -ENOMEM or -EMSGSIZE. */
int probe_json(const struct probe_report *r, struct buf *out);

/* For filling a row: the detail; or the status, the detail (with code's text unless 0), and what to do. */
void probe_detail(struct probe_row *row, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void probe_fail(struct probe_row *row, enum probe_status s, int code, const char *what, const char *todo);

const char *probe_status_name(enum probe_status s);
