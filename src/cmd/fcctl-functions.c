/* fcctl get, list, delete. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cmd/fcctl.h"

struct simple_opts {
	bool help;
	const char *prefix;
};
#define AT(field) offsetof(struct simple_opts, field)
static const struct opt help_only[] = {
	{ "help", 'h', OPT_FLAG, AT(help), NULL, "print this and exit", NULL, 0, 0 },
	{ NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 },
};

static int print_pretty(const struct client_reply *r)
{
	autojson json_t *o = fcctl_json(r);
	if (!o)
		return CMD_INTERNAL;
	return json_dumpf(o, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0 && putchar('\n') != EOF && fflush(stdout) == 0
		       ? CMD_OK
		       : CMD_HOST;
}

int fcctl_get(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct fcctl_syntax usage = { "NAME", "Shows one function.", help_only, AT(help), 1, 1 };
	struct simple_opts o = { .help = false };
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	autobuf struct buf path = BUF_INIT(4096);
	struct client_reply r;
	fcctl_function_path(&path, argv[n], "");
	status = fcctl_request(ctl, &(struct client_request){ .method = "GET", .path = path.data, .body_fd = -1 }, &r);
	if (status != CMD_OK)
		return status;
	status = ctl->format == FCCTL_JSON ? fcctl_print(&r.body, true) : print_pretty(&r);
	client_reply_fini(&r);
	return status;
}

int fcctl_delete(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct fcctl_syntax usage = { "NAME", "Deletes a function and the code that nothing else uses.", help_only,
						  AT(help), 1, 1 };
	struct simple_opts o = { .help = false };
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	autobuf struct buf path = BUF_INIT(4096);
	struct client_reply r;
	fcctl_function_path(&path, argv[n], "");
	status = fcctl_request(ctl, &(struct client_request){ .method = "DELETE", .path = path.data, .body_fd = -1 }, &r);
	if (status == CMD_OK)
		client_reply_fini(&r);
	return status;
}

static void print_row(json_t *f)
{
	const char *name = "", *runtime = "", *handler = "", *modified = "";
	json_int_t memory = 0, timeout = 0, size = 0;
	json_unpack(f, "{s?s, s?s, s?s, s?s, s?I, s?I, s?I}", "functionName", &name, "runtime", &runtime, "handler", &handler,
		    "lastModifiedTime", &modified, "memorySize", &memory, "timeout", &timeout, "codeSize", &size);
	printf("%-24s %-9s %-24s %6lld %7lld %10lld %s\n", name, runtime, handler, (long long)memory, (long long)timeout,
	       (long long)size, modified);
}

int fcctl_list(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct opt list_options[] = {
		{ "prefix", 0, OPT_STR, AT(prefix), "TEXT", "only names that begin so", NULL, 0, 0 },
		{ "help", 'h', OPT_FLAG, AT(help), NULL, "print this and exit", NULL, 0, 0 },
		{ NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 },
	};
	static const struct fcctl_syntax usage = { "", "Lists the functions of the tenant.", list_options, AT(help), 0, 0 };
	struct simple_opts o = { .prefix = "" };
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	autojson json_t *all = json_array();
	char token[128] = "";
	do {
		autobuf struct buf path = BUF_INIT(8192);
		struct client_reply r;
		buf_puts(&path, "/2023-03-30/functions?limit=100&prefix=");
		client_escape(&path, o.prefix);
		buf_puts(&path, "&nextToken=");
		client_escape(&path, token);
		status = fcctl_request(ctl, &(struct client_request){ .method = "GET", .path = path.data, .body_fd = -1 }, &r);
		if (status != CMD_OK)
			return status;
		autojson json_t *page = fcctl_json(&r);
		client_reply_fini(&r);
		if (!page)
			return CMD_INTERNAL;
		json_array_extend(all, json_object_get(page, "functions"));
		const char *next = json_string_value(json_object_get(page, "nextToken"));
		snprintf(token, sizeof(token), "%s", next ? next : "");
	} while (token[0]);
	if (ctl->format == FCCTL_JSON) {
		json_dumpf(all, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
		putchar('\n');
	} else {
		printf("%-24s %-9s %-24s %6s %7s %10s %s\n", "NAME", "RUNTIME", "HANDLER", "MEMORY", "TIMEOUT", "CODE", "MODIFIED");
		size_t i;
		json_t *f;
		json_array_foreach(all, i, f)
			print_row(f);
	}
	return fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
}
