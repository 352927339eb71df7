/*
 * probe - what this host can do, found by doing it.
 *
 * Each row is one ability. A probe tries the real thing in a child process
 * (a group is made and removed, a namespace entered, a file system mounted in a
 * mount namespace that ends with the child), so nothing stays and no version
 * number is believed. `fc-run doctor` prints the rows; fc-agent may ask for them
 * at its start.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

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

/* state_dir NULL: the configured one, or its nearest parent that exists. The caller must be single-threaded. */
void probe_host(struct probe_report *r, const char *state_dir);

const char *probe_status_name(enum probe_status s);
