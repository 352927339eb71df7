/* fcctl - fc-agent's client: the command table, and what every verb does the same way; fcctl(1). */
#include <config.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cmd/fcctl.h"

static const struct {
	const char *name;
	fcctl_fn *run;
	const char *help;
} verbs[] = {
	{ "deploy", fcctl_deploy, "create a function from code, or update it when it exists" },
	{ "create", fcctl_create, "create a function from code" },
	{ "update", fcctl_update, "change a function's code or settings" },
	{ "get", fcctl_get, "show one function" },
	{ "list", fcctl_list, "list the functions" },
	{ "delete", fcctl_delete, "delete a function" },
	{ "invoke", fcctl_invoke, "call a function and print its reply" },
	{ "publish", fcctl_publish, "make a version of a function as it is now" },
	{ "versions", fcctl_versions, "list the versions of a function, or delete one" },
	{ "alias", fcctl_alias, "show, make, move or delete an alias" },
	{ "aliases", fcctl_aliases, "list the aliases of a function" },
	{ "layer", fcctl_layer, "store a version of a layer, list its versions, or delete one" },
	{ "layers", fcctl_layers, "list the layers" },
	{ "secret", fcctl_secret, "keep a secret, or delete one" },
	{ "secrets", fcctl_secrets, "list the names of the secrets" },
	{ "concurrency", fcctl_concurrency, "show or set how many calls of a function may be at once" },
	{ "instances", fcctl_instances, "list the sandboxes of a function" },
	{ "logs", fcctl_logs, "print what calls wrote, and follow it" },
	{ "usage", fcctl_usage, "print the usage records as a table" },
	{ "metrics", fcctl_metrics, "print the counters (Prometheus text)" },
	{ "doctor", fcctl_doctor, "try out what the agent's host can do, and say what to do about what is missing" },
	{ "whoami", fcctl_whoami, "print whom the agent takes you for, and what you may do" },
	{ "grants", fcctl_grants, "print who may do what to a function" },
	{ "info", fcctl_info, "print facts and limits of the node" },
	{ "capacity", fcctl_capacity, "print what the node has, what is committed and what is free" },
	{ "events", fcctl_events, "print what happened on the node, and follow it" },
	{ "drain", fcctl_drain, "take no new calls, let those that run end" },
	{ "undrain", fcctl_undrain, "take calls again" },
};

struct globals {
	const char *socket, *tenant;
	int format;
	uint64_t timeout_ms;
	bool help, version;
};

#define AT(field) offsetof(struct globals, field)
static const struct opt options[] = {
	{ "socket", 's', OPT_STR, AT(socket), "PATH", "fc-agent's socket (FCNODE_SOCKET, else " FC_RUNTIMEDIR "/agent.sock)", NULL, 0, 0 },
	{ "tenant", 't', OPT_STR, AT(tenant), "NAME", "act for this tenant (root only)", NULL, 0, 0 },
	{ "format", 'f', OPT_ENUM, AT(format), NULL, "for people or for machines (text)", "text|json", 0, 0 },
	{ "timeout", 0, OPT_MS, AT(timeout_ms), "TIME", "give up after this long (never)", NULL, 0, 0 },
	{ "help", 'h', OPT_FLAG, AT(help), NULL, "print this and exit", NULL, 0, 0 },
	{ "version", 'V', OPT_FLAG, AT(version), NULL, "print the version and exit", NULL, 0, 0 },
	{ NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 },
};

int fcctl_fail(const struct err *err, int status)
{
	err_print(err, "fcctl");
	return status;
}

/* An option of fcctl's own behind the verb: say where it stands. */
static void hint_global(const char *verb, struct err *err)
{
	static const char unknown[] = "unknown option ";
	if (strncmp(err->text, unknown, sizeof(unknown) - 1) != 0)
		return;
	char word[sizeof(err->text)];
	strcpy(word, err->text + sizeof(unknown) - 1);
	for (const struct opt *o = options; o->name; o++) {
		size_t n = strlen(o->name);
		bool named = strncmp(word, "--", 2) == 0 && strncmp(word + 2, o->name, n) == 0 && (word[n + 2] == '\0' || word[n + 2] == '=');
		if (named || (o->letter && word[0] == '-' && word[1] == o->letter))
			err_hint(err, "it stands before the verb: fcctl --%s%s%s %s ...", o->name, o->type == OPT_FLAG ? "" : " ",
				 o->type == OPT_FLAG ? "" : o->arg ? o->arg : o->choices, verb);
	}
}

int fcctl_parse(const struct fcctl_syntax *u, int argc, char **argv, void *dest, int *first)
{
	struct err err = ERR_INIT;
	int n = opts_parse(u->options, argc, argv, true, dest, &err);
	if (n < 0) {
		hint_global(argv[0], &err);
		return fcctl_fail(&err, CMD_BAD_INPUT);
	}
	if (*((const bool *)(const void *)((const char *)dest + u->help_offset))) {
		printf("Usage: fcctl %s [OPTION...]%s%s\n\n%s\n\n", argv[0], *u->operands ? " " : "", u->operands, u->what);
		opts_help(u->options, stdout);
		return fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
	}
	if (argc - n < u->min || argc - n > u->max) {
		err_set(&err, 0, "%s: %s", argv[0], argc - n < u->min ? "an operand is missing" : "too many operands");
		err_hint(&err, "usage: fcctl %s [OPTION...] %s", argv[0], u->operands);
		return fcctl_fail(&err, CMD_BAD_INPUT);
	}
	*first = n;
	return -1;
}

int fcctl_request(const struct fcctl *ctl, const struct client_request *q, struct client_reply *ret)
{
	struct err err = ERR_INIT;
	if (client_call(&ctl->client, q, ret, &err) < 0)
		return fcctl_fail(&err, CMD_HOST);
	if (ret->status < 300)
		return CMD_OK;
	int status = client_error(ret, &err);
	client_reply_fini(ret);
	return fcctl_fail(&err, status);
}

json_t *fcctl_json(const struct client_reply *r)
{
	struct err err = ERR_INIT;
	json_t *o = json_parse(r->body.data ? r->body.data : "", r->body.len, "fc-agent's reply", &err);
	if (!o)
		fcctl_fail(&err, CMD_INTERNAL);
	return o;
}

int fcctl_print(const struct buf *body, bool newline)
{
	struct err err = ERR_INIT;
	bool ok = body->len == 0 || fwrite(body->data, 1, body->len, stdout) == body->len;
	if (ok && newline && body->len && body->data[body->len - 1] != '\n')
		ok = putchar('\n') != EOF;
	if (ok && fflush(stdout) == 0)
		return CMD_OK;
	err_set(&err, errno, "write to standard output");
	return fcctl_fail(&err, CMD_HOST);
}

int fcctl_function_path(struct buf *out, const char *name, const char *tail)
{
	int r = buf_puts(out, "/2023-03-30/functions/");
	if (r == 0)
		r = client_escape(out, name);
	return r == 0 ? buf_puts(out, tail) : r;
}

static int help(void)
{
	printf("Usage: fcctl [OPTION...] VERB [ARGUMENT...]\n\nDeploys and calls functions on a running fc-agent.\n\nVerbs:\n");
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		printf("  %-12s%s\n", verbs[i].name, verbs[i].help);
	printf("\nOptions:\n");
	opts_help(options, stdout);
	return fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
}

int main(int argc, char **argv)
{
	struct globals g = { .format = FCCTL_TEXT };
	struct err err = ERR_INIT;
	int n = opts_parse(options, argc, argv, false, &g, &err);
	if (n < 0)
		return fcctl_fail(&err, CMD_BAD_INPUT);
	if (g.help)
		return help();
	if (g.version)
		return printf("fcctl %s\n", VERSION) > 0 && fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
	if (!g.socket)
		g.socket = getenv("FCNODE_SOCKET");
	const struct fcctl ctl = {
		.client = { .socket = g.socket && *g.socket ? g.socket : FC_RUNTIMEDIR "/agent.sock", .tenant = g.tenant,
			    .timeout_ms = g.timeout_ms },
		.format = g.format,
	};
	if (curl_global_init(CURL_GLOBAL_NOTHING) != 0) {
		err_set(&err, ENOMEM, "start the HTTP client");
		return fcctl_fail(&err, CMD_INTERNAL);
	}
	for (size_t i = 0; n < argc && i < ARRAY_LEN(verbs); i++)
		if (strcmp(argv[n], verbs[i].name) == 0)
			return verbs[i].run(&ctl, argc - n, argv + n);
	if (n < argc)
		err_set(&err, 0, "unknown verb %s", argv[n]);
	else
		err_set(&err, 0, "no verb");
	err_hint(&err, "--help lists them");
	return fcctl_fail(&err, CMD_BAD_INPUT);
}
