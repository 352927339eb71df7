/*
 * cmd - what the verbs of fc-run share: the command table's row, exit codes,
 * and global options. One file per verb; a verb parses its options by table
 * (base/opts.h), calls plan/ and host/, and prints errors once.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* fc-run(1), EXIT STATUS. OCI verbs use 0 and 1 as runc does; `run` passes on the container's own. */
enum cmd_exit {
	CMD_OK = 0,
	CMD_FUNCTION_ERROR = 1, /* the function ran and failed */
	CMD_BAD_INPUT = 2,      /* usage, bundle, manifest, event */
	CMD_TIMEOUT = 3,
	CMD_OUT_OF_MEMORY = 4,
	CMD_HOST = 5,           /* this host cannot do what was asked */
	CMD_INTERNAL = 6,       /* a sandbox or fcnode failure */
};

/* The newest runtime-spec that create understands; any 1.x is accepted. */
#define CMD_OCI_VERSION "1.2.0"

/* Options that stand before the verb, as engines pass them (ENGINES.md). */
struct cmd_globals {
	const char *root;       /* state directory of OCI containers; default /run/fcnode/oci or below XDG_RUNTIME_DIR */
	const char *log;        /* file for errors; NULL: stderr */
	int log_format;         /* 0 text, 1 json */
	bool systemd_cgroup;
	bool debug;
	bool rootless;
};

/* Report an error where the globals say (text to stderr or the log file, or one JSON line for engines). */
void cmd_report(const struct cmd_globals *g, const char *level, const struct err *err);

/* argv[0] is the verb. The value is the exit status. */
typedef int cmd_fn(int argc, char **argv, const struct cmd_globals *g);

cmd_fn cmd_invoke, cmd_doctor;
cmd_fn cmd_run, cmd_create, cmd_start, cmd_state, cmd_kill, cmd_delete, cmd_list, cmd_spec, cmd_features;
