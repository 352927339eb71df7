/*
 * fcctl - what its verbs share: where the agent is, how to print, and the
 * usual end of a request.
 */
#pragma once

#include <jansson.h>

#include "base/opts.h"
#include "cmd/client.h"
#include "cmd/cmd.h"

enum fcctl_format { FCCTL_TEXT, FCCTL_JSON };

struct fcctl {
	struct client client;
	enum fcctl_format format;
};

/* argv[0] is the verb; the value is the exit status (enum cmd_exit). */
typedef int fcctl_fn(const struct fcctl *ctl, int argc, char **argv);
fcctl_fn fcctl_deploy, fcctl_create, fcctl_update, fcctl_get, fcctl_list, fcctl_delete, fcctl_invoke, fcctl_logs,
	fcctl_usage, fcctl_metrics, fcctl_doctor, fcctl_info, fcctl_drain, fcctl_undrain, fcctl_capacity, fcctl_events,
	fcctl_whoami, fcctl_grants, fcctl_publish, fcctl_versions, fcctl_alias, fcctl_aliases, fcctl_concurrency, fcctl_instances,
	fcctl_layer, fcctl_layers, fcctl_secret, fcctl_secrets;

/*
 * Options, then exactly `operands` of them. < 0: go on with *first the first
 * operand; else the exit status (help was printed, or a bad command line).
 * A row named "help" must be there; its field is at help_offset.
 */
struct fcctl_syntax {
	const char *operands;   /* "NAME", as in the usage line */
	const char *what;       /* one line */
	const struct opt *options;
	size_t help_offset;
	int min, max;
};
int fcctl_parse(const struct fcctl_syntax *u, int argc, char **argv, void *dest, int *first);

/* Print err, return the status. */
int fcctl_fail(const struct err *err, int status);

/* Make the request; CMD_OK with a reply below 300 (the caller's to free), else the error was printed. */
int fcctl_request(const struct fcctl *ctl, const struct client_request *q, struct client_reply *ret);

/* The body as JSON, or NULL with the error printed. */
json_t *fcctl_json(const struct client_reply *r);

/* Write the body to stdout; CMD_OK or the status of a failed write. */
int fcctl_print(const struct buf *body, bool newline);

/* "/2023-03-30/functions/NAME<tail>" into out (64 bytes at most of NAME are checked by the agent). */
int fcctl_function_path(struct buf *out, const char *name, const char *tail);
