/* fcctl metrics, info. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cmd/fcctl.h"

struct node_opts {
	bool help;
};
static const struct opt help_only[] = {
	{ "help", 'h', OPT_FLAG, offsetof(struct node_opts, help), NULL, "print this and exit", NULL, 0, 0 },
	{ NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 },
};

static int print_path(const struct fcctl *ctl, const char *path, bool newline)
{
	struct client_reply r;
	int status = fcctl_request(ctl, &(struct client_request){ .method = "GET", .path = path, .body_fd = -1 }, &r);
	if (status != CMD_OK)
		return status;
	status = fcctl_print(&r.body, newline);
	if (r.log_dropped && strcmp(r.log_dropped, "0") != 0)
		fprintf(stderr, "fcctl: %s bytes of this log were not kept (max-log-bytes)\n", r.log_dropped);
	client_reply_fini(&r);
	return status;
}

int fcctl_metrics(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct fcctl_syntax usage = { "", "Prints the node's counters as Prometheus reads them.", help_only, 0, 0, 0 };
	struct node_opts o = { false };
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	return status >= 0 ? status : print_path(ctl, "/metrics", true);
}

int fcctl_info(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct fcctl_syntax usage = { "", "Prints facts and limits of the node.", help_only, 0, 0, 0 };
	struct node_opts o = { false };
	struct client_reply r;
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	if (ctl->format == FCCTL_JSON)
		return print_path(ctl, "/node/info", true);
	status = fcctl_request(ctl, &(struct client_request){ .method = "GET", .path = "/node/info", .body_fd = -1 }, &r);
	if (status != CMD_OK)
		return status;
	autojson json_t *info = fcctl_json(&r);
	client_reply_fini(&r);
	if (!info)
		return CMD_INTERNAL;
	return json_dumpf(info, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0 && putchar('\n') != EOF && fflush(stdout) == 0
		       ? CMD_OK
		       : CMD_HOST;
}
