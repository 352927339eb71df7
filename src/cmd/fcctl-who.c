/* fcctl whoami, grants: whom the agent takes the caller for, and who may do what to a function. */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cmd/fcctl.h"

struct who_opts {
	bool help;
};
static const struct opt help_only[] = {
	{ "help", 'h', OPT_FLAG, offsetof(struct who_opts, help), NULL, "print this and exit", NULL, 0, 0 },
	{ NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 },
};

static const char *text(json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));
	return s ? s : "?";
}

/* The words of a list, on one line. */
static void print_words(json_t *list)
{
	size_t i;
	json_t *word;
	json_array_foreach(list, i, word)
		printf("%s%s", i ? " " : "", json_string_value(word) ? json_string_value(word) : "?");
	printf("\n");
}

/* GET path; printed as it came with --format json, else by `print`. */
static int show(const struct fcctl *ctl, const char *path, void (*print)(json_t *o))
{
	struct client_reply r;
	int status = fcctl_request(ctl, &(struct client_request){ .method = "GET", .path = path, .body_fd = -1 }, &r);
	if (status != CMD_OK)
		return status;
	if (ctl->format == FCCTL_JSON) {
		status = fcctl_print(&r.body, true);
	} else {
		autojson json_t *o = fcctl_json(&r);
		if (o)
			print(o);
		status = !o ? CMD_INTERNAL : fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
	}
	client_reply_fini(&r);
	return status;
}

static void print_me(json_t *o)
{
	size_t i;
	json_t *grant;
	printf("%s, %s, acting for tenant %s, known by %s\n", text(o, "principal"), text(o, "role"), text(o, "tenant"), text(o, "by"));
	json_array_foreach(json_object_get(o, "grants"), i, grant) {
		printf("on functions %s: ", text(grant, "functions"));
		print_words(json_object_get(grant, "permissions"));
	}
}

static void print_grants(json_t *o)
{
	size_t i;
	json_t *grant;
	json_array_foreach(json_object_get(o, "grants"), i, grant) {
		printf("%-20s %-9s ", text(grant, "principal"), text(grant, "role"));
		print_words(json_object_get(grant, "permissions"));
	}
}

int fcctl_whoami(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct fcctl_syntax usage = { "", "Prints whom the agent takes you for, and what you may do.", help_only, 0, 0, 0 };
	struct who_opts o = { false };
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	return status >= 0 ? status : show(ctl, "/node/whoami", print_me);
}

int fcctl_grants(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct fcctl_syntax usage = { "NAME", "Prints who may do what to the function.", help_only, 0, 1, 1 };
	struct who_opts o = { false };
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	autobuf struct buf path = BUF_INIT(4096);
	buf_puts(&path, "/node/grants?function=");
	if (client_escape(&path, argv[n]) < 0) {
		struct err err = ERR_INIT;
		err_set(&err, 0, "grants: the name is too long");
		return fcctl_fail(&err, CMD_BAD_INPUT);
	}
	return show(ctl, path.data, print_grants);
}
