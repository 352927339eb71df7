/* fcctl publish, versions, alias, aliases, concurrency, instances: which code a call gets, and how many run. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cmd/fcctl.h"

static const char *text(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));
	return s ? s : "";
}

static int print_json(const json_t *o, size_t flags)
{
	return json_dumpf(o, stdout, flags | JSON_PRESERVE_ORDER) == 0 && putchar('\n') != EOF && fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
}

/* A request on NAME with tail, and body unless NULL. With ret, its reply as JSON is the caller's. CMD_OK, or the status and the
 * error printed. */
static int ask(const struct fcctl *ctl, const char *method, const char *name, const char *tail, const json_t *body, json_t **ret)
{
	autobuf struct buf path = BUF_INIT(8192);
	autofree char *dump = body ? json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
	struct client_reply r;
	fcctl_function_path(&path, name, tail);
	const struct client_request q = { .method = method, .path = path.data, .body = dump, .body_len = dump ? strlen(dump) : 0, .body_fd = -1 };
	int status = fcctl_request(ctl, &q, &r);
	if (status != CMD_OK)
		return status;
	if (ret)
		*ret = fcctl_json(&r);
	client_reply_fini(&r);
	return ret && !*ret ? CMD_INTERNAL : CMD_OK;
}

/* All pages of a listing, their member `what`. */
static int ask_all(const struct fcctl *ctl, const char *name, const char *tail, const char *what, json_t *all)
{
	char token[128] = "";
	do {
		autobuf struct buf path = BUF_INIT(4096);
		json_t *page = NULL;
		buf_printf(&path, "/%s?limit=100", tail);
		if (*token) {
			buf_puts(&path, "&nextToken=");
			client_escape(&path, token);
		}
		int status = ask(ctl, "GET", name, path.data, NULL, &page);
		if (status != CMD_OK)
			return status;
		json_array_extend(all, json_object_get(page, what));
		snprintf(token, sizeof(token), "%s", text(page, "nextToken"));
		json_decref(page);
	} while (*token);
	return CMD_OK;
}

/* A listing's rows, or its JSON. */
static int print_rows(const struct fcctl *ctl, const json_t *all, const char *head, void (*row)(const json_t *o))
{
	size_t i;
	json_t *o;
	if (ctl->format == FCCTL_JSON)
		return print_json(all, JSON_COMPACT);
	printf("%s\n", head);
	json_array_foreach((json_t *)(uintptr_t)all, i, o)
		row(o);
	return fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
}

struct named_opts {
	const char *description, *remove, *version;
	struct opt_list weights;
	uint64_t reserve;
	bool lift, drop, help;
};
#define AT(field) offsetof(struct named_opts, field)
#define HELP { "help", 'h', OPT_FLAG, AT(help), NULL, "print this and exit", NULL, 0, 0 }, { NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 }
static const struct opt help_only[] = { HELP };

/* ---- versions ---------------------------------------------------------------- */

int fcctl_publish(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct opt options[] = { { "description", 0, OPT_STR, AT(description), "TEXT", "for people", NULL, 0, 0 }, HELP };
	static const struct fcctl_syntax usage = { "NAME", "Makes a version of a function as it is now, which never changes, and prints its number.",
						   options, AT(help), 1, 1 };
	struct named_opts o = { .description = "" };
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	autojson json_t *body = json_pack("{s:s}", "description", o.description), *made = NULL;
	status = ask(ctl, "POST", argv[n], "/versions", body, &made);
	if (status != CMD_OK)
		return status;
	if (ctl->format == FCCTL_JSON)
		return print_json(made, JSON_COMPACT);
	return printf("%s\n", text(made, "versionId")) > 0 && fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
}

static void version_row(const json_t *o)
{
	printf("%-8s %-20s %s\n", text(o, "versionId"), text(o, "createdTime"), text(o, "description"));
}

int fcctl_versions(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct opt options[] = { { "delete", 0, OPT_STR, AT(remove), "N", "delete this version instead", NULL, 0, 0 }, HELP };
	static const struct fcctl_syntax usage = { "NAME", "Lists the versions of a function.", options, AT(help), 1, 1 };
	struct named_opts o = { .remove = NULL };
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	if (o.remove) {
		autobuf struct buf tail = BUF_INIT(1024);
		buf_puts(&tail, "/versions/");
		client_escape(&tail, o.remove);
		return ask(ctl, "DELETE", argv[n], tail.data, NULL, NULL);
	}
	autojson json_t *all = json_array();
	status = ask_all(ctl, argv[n], "versions", "versions", all);
	return status == CMD_OK ? print_rows(ctl, all, "VERSION  CREATED              DESCRIPTION", version_row) : status;
}

/* ---- aliases ------------------------------------------------------------------- */

/* "2=0.1,3=0.2", or "-". */
static void print_weights(const json_t *weights)
{
	const char *version, *comma = "";
	json_t *share;
	json_object_foreach((json_t *)(uintptr_t)weights, version, share) {
		printf("%s%s=%g", comma, version, json_number_value(share));
		comma = ",";
	}
	printf("%s\n", *comma ? "" : "-");
}

static void alias_row(const json_t *o)
{
	printf("%-24s %-8s %-20s ", text(o, "aliasName"), text(o, "versionId"), text(o, "lastModifiedTime"));
	print_weights(json_object_get(o, "additionalVersionWeight"));
}

static const char alias_head[] = "ALIAS                    VERSION  MODIFIED             WEIGHTS";

int fcctl_aliases(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct fcctl_syntax usage = { "NAME", "Lists the aliases of a function.", help_only, AT(help), 1, 1 };
	struct named_opts o = { .help = false };
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	autojson json_t *all = json_array();
	status = ask_all(ctl, argv[n], "aliases", "aliases", all);
	return status == CMD_OK ? print_rows(ctl, all, alias_head, alias_row) : status;
}

/* {"2": 0.1} of "2=0.1" words. */
static json_t *weights_of(const struct opt_list *list, struct err *err)
{
	autojson json_t *weights = json_object();
	for (size_t i = 0; i < list->count; i++) {
		const char *word = list->item[i], *eq = strchr(word, '=');
		char *end = NULL;
		double share = eq ? strtod(eq + 1, &end) : 0;
		if (!eq || eq == word || !eq[1] || *end) {
			err_set(err, 0, "alias: --weight %s: must be VERSION=SHARE, such as 2=0.1", word);
			return NULL;
		}
		autofree char *version = strndup(word, (size_t)(eq - word));
		json_object_set_new(weights, version, json_real(share));
	}
	return take_ptr(weights);
}

/* What an existing alias is changed to; where there is none, and a version is given, it is made. */
static int set_alias(const struct fcctl *ctl, const char *name, const char *alias, const char *tail, json_t *change, json_t **ret)
{
	autobuf struct buf path = BUF_INIT(8192);
	autofree char *dump = json_dumps(change, JSON_COMPACT | JSON_REAL_PRECISION(6));
	struct client_reply r;
	struct err err = ERR_INIT;
	fcctl_function_path(&path, name, tail);
	const struct client_request q = { .method = "PUT", .path = path.data, .body = dump, .body_len = dump ? strlen(dump) : 0, .body_fd = -1 };
	if (client_call(&ctl->client, &q, &r, &err) < 0)
		return fcctl_fail(&err, CMD_HOST);
	int status = r.status < 300 ? CMD_OK : client_error(&r, &err);
	bool make = r.status == 404 && strncmp(err.text, "AliasNotFound", 13) == 0 && json_object_get(change, "versionId");
	if (status == CMD_OK)
		*ret = fcctl_json(&r);
	client_reply_fini(&r);
	if (status == CMD_OK)
		return *ret ? CMD_OK : CMD_INTERNAL;
	if (!make)
		return fcctl_fail(&err, status);
	json_object_set_new(change, "aliasName", json_string(alias));
	return ask(ctl, "POST", name, "/aliases", change, ret);
}

int fcctl_alias(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct opt options[] = {
		{ "version", 0, OPT_STR, AT(version), "N", "move it there, and take weights away that are not named", NULL, 0, 0 },
		{ "weight", 'w', OPT_LIST, AT(weights), "N=SHARE", "share of another version, 0 to 1; again for more", NULL, 0, 0 },
		{ "description", 0, OPT_STR, AT(description), "TEXT", "for people", NULL, 0, 0 },
		{ "delete", 0, OPT_FLAG, AT(drop), NULL, "delete it", NULL, 0, 0 },
		HELP
	};
	static const struct fcctl_syntax usage = { "NAME ALIAS", "Shows an alias; with options makes, moves or deletes it.", options, AT(help), 2, 2 };
	struct named_opts o = { .version = NULL };
	struct err err = ERR_INIT;
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	bool change = o.version || o.weights.count || o.description;
	if (o.drop && change) {
		err_set(&err, 0, "alias: --delete goes with no other option");
		return fcctl_fail(&err, CMD_BAD_INPUT);
	}
	autobuf struct buf tail = BUF_INIT(1024);
	buf_puts(&tail, "/aliases/");
	client_escape(&tail, argv[n + 1]);
	if (o.drop)
		return ask(ctl, "DELETE", argv[n], tail.data, NULL, NULL);
	autojson json_t *body = json_object(), *got = NULL;
	json_t *weights = o.weights.count ? weights_of(&o.weights, &err) : NULL;
	if (o.weights.count && !weights)
		return fcctl_fail(&err, CMD_BAD_INPUT);
	if (weights)
		json_object_set_new(body, "additionalVersionWeight", weights);
	if (o.version)
		json_object_set_new(body, "versionId", json_string(o.version));
	if (o.description)
		json_object_set_new(body, "description", json_string(o.description));
	status = change ? set_alias(ctl, argv[n], argv[n + 1], tail.data, body, &got) : ask(ctl, "GET", argv[n], tail.data, NULL, &got);
	if (status != CMD_OK)
		return status;
	if (ctl->format == FCCTL_JSON)
		return print_json(got, JSON_COMPACT);
	printf("%s\n", alias_head);
	alias_row(got);
	return fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
}

/* ---- how many ------------------------------------------------------------------ */

int fcctl_concurrency(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct opt options[] = {
		{ "reserve", 0, OPT_U64, AT(reserve), "N", "at most so many calls at once", NULL, 0, INT32_MAX },
		{ "delete", 0, OPT_FLAG, AT(lift), NULL, "lift the limit", NULL, 0, 0 },
		HELP
	};
	static const struct fcctl_syntax usage = { "NAME", "Shows how many calls of a function may be at once; with an option sets or lifts it.",
						   options, AT(help), 1, 1 };
	struct named_opts o = { .reserve = UINT64_MAX };
	struct err err = ERR_INIT;
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	if (o.lift && o.reserve != UINT64_MAX) {
		err_set(&err, 0, "concurrency: --reserve and --delete exclude each other");
		return fcctl_fail(&err, CMD_BAD_INPUT);
	}
	if (o.lift)
		return ask(ctl, "DELETE", argv[n], "/concurrency", NULL, NULL);
	autojson json_t *body = o.reserve == UINT64_MAX ? NULL : json_pack("{s:I}", "reservedConcurrency", (json_int_t)o.reserve), *got = NULL;
	status = ask(ctl, body ? "PUT" : "GET", argv[n], "/concurrency", body, &got);
	if (status != CMD_OK)
		return status;
	if (ctl->format == FCCTL_JSON)
		return print_json(got, JSON_COMPACT);
	printf("%lld\n", (long long)json_integer_value(json_object_get(got, "reservedConcurrency")));
	return fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
}

static void instance_row(const json_t *o)
{
	printf("%-36s %-9s %-8s %-24s %s\n", text(o, "instanceId"), text(o, "status"), text(o, "versionId"), text(o, "qualifier"), text(o, "requestId"));
}

int fcctl_instances(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct fcctl_syntax usage = { "NAME", "Lists the sandboxes of a function.", help_only, AT(help), 1, 1 };
	struct named_opts o = { .help = false };
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	autojson json_t *got = NULL;
	status = ask(ctl, "GET", argv[n], "/instances?limit=100", NULL, &got);
	if (status != CMD_OK)
		return status;
	return print_rows(ctl, json_object_get(got, "instances"),
			  "INSTANCE                             STATUS    VERSION  QUALIFIER                REQUEST", instance_row);
}
