/*
 * doctor - what this host can do, and what to do about what is missing.
 * host/probe finds it out; here it is only printed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/opts.h"
#include "cmd/cmd.h"
#include "host/probe.h"

struct doctor_opts {
	const char *state_dir;
	int format;
	bool help;
};

#define AT(field) offsetof(struct doctor_opts, field)
static const struct opt options[] = {
	{ "format", 0, OPT_ENUM, AT(format), NULL, "how to print it (default text)", "text|json", 0, 0 },
	{ "state-dir", 0, OPT_STR, AT(state_dir), "DIR", "whose file system shall hold layers (default: the configured one)",
	  NULL, 0, 0 },
	{ "help", 'h', OPT_FLAG, AT(help), NULL, "print this and exit", NULL, 0, 0 },
	{ NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 },
};

static void print_text(const struct probe_report *r)
{
	printf("fc-run doctor: Linux %s, as %s\n\n", r->kernel, r->root ? "root" : "an ordinary user");
	for (size_t i = 0; i < r->count; i++) {
		const struct probe_row *row = &r->row[i];
		printf("%-9s %-24s %s\n", probe_status_name(row->status), row->name, row->detail);
		if (row->status == PROBE_ok)
			continue;
		printf("          %-24s needed for: %s%s\n", "", row->needed_for, row->required ? " (required)" : "");
		if (*row->todo)
			printf("          %-24s do: %s\n", "", row->todo);
	}
	printf("\n%s\n", r->fit ? "fit: functions can run in the default sandbox" :
				  "not fit: what is marked (required) is missing");
}

static int print_json(const struct probe_report *r)
{
	autobuf struct buf text = BUF_INIT(1 << 20);
	return probe_json(r, &text) == 0 && fwrite(text.data, 1, text.len, stdout) == text.len ? 0 : -1;
}

static void print_help(void)
{
	puts("usage: fc-run doctor [option ...]\n\n"
	     "Try out what this host can do, and say what to do about what is missing.\n"
	     "Exit status: 0 functions can run in the default sandbox, 5 they cannot.\n");
	opts_help(options, stdout);
}

int cmd_doctor(int argc, char **argv, const struct cmd_globals *g)
{
	static struct probe_report report; /* large, and needed once */
	struct doctor_opts o = { 0 };
	struct err err = ERR_INIT;

	int first = opts_parse(options, argc, argv, /* permute= */ true, &o, &err);
	if (first >= 0 && first < argc && !o.help)
		first = err_set(&err, 0, "doctor: unexpected argument \"%s\"", argv[first]);
	if (first < 0) {
		cmd_report(g, "error", &err);
		return CMD_BAD_INPUT;
	}
	if (o.help) {
		print_help();
		return CMD_OK;
	}
	probe_host(&report, &(struct probe_opts){ .state_dir = o.state_dir });
	if (o.format == 0) {
		print_text(&report);
	} else if (print_json(&report) < 0) {
		err_set(&err, 0, "doctor: a text of this host is not valid UTF-8, or memory is out");
		cmd_report(g, "error", &err);
		return CMD_INTERNAL;
	}
	return report.fit ? CMD_OK : CMD_HOST;
}
