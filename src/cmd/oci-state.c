/* state and list - what there is, and how it does. Neither waits for a verb at work. */
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd/oci.h"

struct state_opts {
	int format;
	bool quiet, help;
};

#define AT(field) offsetof(struct state_opts, field)
#define HELP_OPTION { "help", 'h', OPT_FLAG, AT(help), NULL, "print this and exit", NULL, 0, 0 }
#define END_OPTIONS { NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 }

static const struct opt state_options[] = { HELP_OPTION, END_OPTIONS };

static const struct opt list_options[] = {
	{ "format", 'f', OPT_ENUM, AT(format), NULL, "form of the output (default: table)", "table|json", 0, 0 },
	{ "quiet", 'q', OPT_FLAG, AT(quiet), NULL, "only the ids", NULL, 0, 0 },
	HELP_OPTION,
	END_OPTIONS,
};

/* From /etc/passwd alone: fc-run is static, so no other source of names can be asked. "" when unknown. */
static void owner_name(uid_t uid, char *out, size_t size)
{
	autofp FILE *fp = fopen("/etc/passwd", "re");
	struct passwd entry, *found;
	char line[1024];

	*out = '\0';
	while (fp && fgetpwent_r(fp, &entry, line, sizeof(line), &found) == 0)
		if (entry.pw_uid == uid) {
			snprintf(out, size, "%s", entry.pw_name);
			return;
		}
}

/* The runtime-spec's members and those that runc adds, so that its readers find them. */
static json_t *describe(const struct state_dir *d, const struct state *s)
{
	char owner[64];
	owner_name(s->owner, owner, sizeof(owner));
	json_t *j = state_to_json(d, s, state_status(d, s), CMD_OCI_VERSION);
	if (j && (json_object_set_new(j, "rootfs", json_string(s->rootfs)) < 0 ||
		  json_object_set_new(j, "created", json_string(s->created_at)) < 0 ||
		  json_object_set_new(j, "owner", json_string(owner)) < 0)) {
		json_decref(j);
		return NULL;
	}
	return j;
}

static int print_json(json_t *j, struct err *err)
{
	autofree char *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
	if (!text)
		return err_set(err, ENOMEM, "write JSON");
	puts(text);
	return 0;
}

int cmd_state(int argc, char **argv, const struct cmd_globals *g)
{
	struct state_opts opts = { 0 };
	struct err err = ERR_INIT;
	struct oci o;

	int first = oci_parse(state_options, "state ID", argc, argv, 1, 1, &opts, &err);
	if (first <= 0)
		return first < 0 ? oci_fail(g, &err) : CMD_OK;
	oci_init(&o, g);
	int r = oci_open(&o, argv[first], /* lock= */ false, &err);
	if (r == 0) {
		autojson json_t *j = describe(&o.dir, &o.state);
		r = print_json(j, &err);
	}
	oci_fini(&o);
	return r < 0 ? oci_fail(g, &err) : CMD_OK;
}

struct listing {
	const struct state_opts *opts;
	const struct cmd_globals *g;
	json_t *all;
};

static int list_one(struct state_dir *d, void *arg)
{
	struct listing *l = arg;
	struct state s = { 0 };
	struct err err = ERR_INIT;

	int r = state_read(d, &s, &err);
	if (r == -ENOENT)
		return 0; /* being made */
	if (r < 0) {
		cmd_report(l->g, "warning", &err);
		return 0;
	}
	json_t *j = describe(d, &s);
	state_fini(&s);
	return j && json_array_append_new(l->all, j) == 0 ? 0 : -ENOMEM;
}

static void print_table(json_t *all, bool quiet)
{
	size_t i;
	json_t *c;
	if (!quiet)
		printf("%-20s %-8s %-9s %-30s %-31s %s\n", "ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER");
	json_array_foreach(all, i, c) {
		const char *id = json_string_value(json_object_get(c, "id"));
		if (quiet) {
			puts(id);
			continue;
		}
		printf("%-20s %-8d %-9s %-30s %-31s %s\n", id, (int)json_integer_value(json_object_get(c, "pid")),
		       json_string_value(json_object_get(c, "status")), json_string_value(json_object_get(c, "bundle")),
		       json_string_value(json_object_get(c, "created")), json_string_value(json_object_get(c, "owner")));
	}
}

int cmd_list(int argc, char **argv, const struct cmd_globals *g)
{
	struct state_opts opts = { 0 };
	struct err err = ERR_INIT;

	int first = oci_parse(list_options, "list [option ...]", argc, argv, 0, 0, &opts, &err);
	if (first <= 0)
		return first < 0 ? oci_fail(g, &err) : CMD_OK;
	autojson json_t *all = json_array();
	struct listing l = { .opts = &opts, .g = g, .all = all };
	int r = all ? state_each(g->root, list_one, &l, &err) : -ENOMEM;
	if (r == -ENOMEM)
		err_set(&err, ENOMEM, "list containers");
	if (r == 0 && opts.format == 1 && !opts.quiet)
		r = print_json(all, &err);
	else if (r == 0)
		print_table(all, opts.quiet);
	return r < 0 ? oci_fail(g, &err) : CMD_OK;
}
