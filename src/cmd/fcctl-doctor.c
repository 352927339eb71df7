/* fcctl doctor: what the agent's host and the agent itself can do, as keeper found it. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cmd/fcctl.h"

struct doctor_opts {
	bool help;
};
static const struct opt doctor_options[] = {
	{ "help", 'h', OPT_FLAG, offsetof(struct doctor_opts, help), NULL, "print this and exit", NULL, 0, 0 },
	{ NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 },
};

static const char *text(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));
	return s ? s : "";
}

/* As `fc-run doctor` prints it. */
static void print_row(const json_t *row)
{
	printf("%-9s %-24s %s\n", text(row, "status"), text(row, "name"), text(row, "detail"));
	if (strcmp(text(row, "status"), "ok") == 0)
		return;
	printf("          %-24s needed for: %s%s\n", "", text(row, "neededFor"),
	       json_is_true(json_object_get(row, "required")) ? " (required)" : "");
	if (*text(row, "todo"))
		printf("          %-24s do: %s\n", "", text(row, "todo"));
}

static void print_report(const json_t *report, bool fit)
{
	size_t i;
	json_t *row;
	printf("fcctl doctor: Linux %s, as keeper\n\n", text(report, "kernel"));
	json_array_foreach(json_object_get(report, "rows"), i, row)
		print_row(row);
	printf("\n%s\n", fit ? "fit: functions can run on this node" : "not fit: what is marked (required) is missing");
}

int fcctl_doctor(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct fcctl_syntax usage = { "", "Tries out what the agent's host can do, and says what to do about what is missing.",
						   doctor_options, 0, 0, 0 };
	struct doctor_opts o = { false };
	struct client_reply r;
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	status = fcctl_request(ctl, &(struct client_request){ .method = "GET", .path = "/node/doctor", .body_fd = -1 }, &r);
	if (status != CMD_OK)
		return status;
	autojson json_t *report = fcctl_json(&r);
	if (report && ctl->format == FCCTL_JSON)
		status = fcctl_print(&r.body, true);
	client_reply_fini(&r);
	if (!report)
		return CMD_INTERNAL;
	bool fit = json_is_true(json_object_get(report, "fit"));
	if (ctl->format != FCCTL_JSON) {
		print_report(report, fit);
		status = fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
	}
	return status != CMD_OK ? status : fit ? CMD_OK : CMD_HOST;
}
