/* fcctl layer, layers: bundles that functions show at /opt. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cmd/fcctl.h"
#include "cmd/pack.h"

#define LAYERS "/2023-03-30/layers"

struct layer_opts {
	const char *description, *license, *remove;
	struct opt_list runtimes;
	bool help;
};
#define AT(field) offsetof(struct layer_opts, field)
#define HELP { "help", 'h', OPT_FLAG, AT(help), NULL, "print this and exit", NULL, 0, 0 }, { NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 }

static const char *text(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));
	return s ? s : "";
}

/* With ret, the reply as JSON is the caller's. CMD_OK, or the status and the error printed. */
static int ask(const struct fcctl *ctl, const struct client_request *q, json_t **ret)
{
	struct client_reply r;
	int status = fcctl_request(ctl, q, &r);
	if (status != CMD_OK)
		return status;
	if (ret)
		*ret = fcctl_json(&r);
	client_reply_fini(&r);
	return ret && !*ret ? CMD_INTERNAL : CMD_OK;
}

/* All pages of a listing. path has its first parameter; token names the one that asks for the next page, next its value. */
static int ask_all(const struct fcctl *ctl, const char *path, const char *token, const char *next, json_t *all)
{
	autobuf struct buf more = BUF_INIT(1024);
	for (;;) {
		autobuf struct buf target = BUF_INIT(8192);
		json_t *page = NULL;
		buf_printf(&target, "%s%s", path, more.data ? more.data : "");
		int status = ask(ctl, &(struct client_request){ .method = "GET", .path = target.data, .body_fd = -1 }, &page);
		if (status != CMD_OK)
			return status;
		json_array_extend(all, json_object_get(page, "layers"));
		const json_t *v = json_object_get(page, next);
		buf_reset(&more);
		if (json_is_string(v)) {
			buf_printf(&more, "&%s=", token);
			client_escape(&more, json_string_value(v));
		} else if (v) {
			buf_printf(&more, "&%s=%lld", token, (long long)json_integer_value(v));
		}
		json_decref(page);
		if (!v)
			return CMD_OK;
	}
}

static int print_list(const struct fcctl *ctl, const json_t *all)
{
	size_t i;
	json_t *o;
	if (ctl->format == FCCTL_JSON)
		return json_dumpf(all, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER) == 0 && putchar('\n') != EOF && fflush(stdout) == 0 ? CMD_OK
																	  : CMD_HOST;
	printf("LAYER                            CREATED                   BYTES DESCRIPTION\n");
	json_array_foreach((json_t *)(uintptr_t)all, i, o) {
		char name[96];
		snprintf(name, sizeof(name), "%s:%lld", text(o, "layerName"), (long long)json_integer_value(json_object_get(o, "version")));
		printf("%-32s %-20s %10lld %s\n", name, text(o, "createTime"), (long long)json_integer_value(json_object_get(o, "codeSize")),
		       text(o, "description"));
	}
	return fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
}

static int put_blob(const struct fcctl *ctl, const struct pack *p)
{
	char path[96];
	snprintf(path, sizeof(path), "/blobs/sha256:%s", p->sha256);
	return ask(ctl, &(struct client_request){ .method = "PUT", .path = path, .body_fd = p->fd }, NULL);
}

static int store(const struct fcctl *ctl, const char *versions, const char *code, const struct layer_opts *o)
{
	struct err err = ERR_INIT;
	struct pack p = { .fd = -1 };
	char digest[80];
	if (pack_open(code, &p, &err) < 0)
		return fcctl_fail(&err, CMD_BAD_INPUT);
	snprintf(digest, sizeof(digest), "sha256:%s", p.sha256);
	if (p.single) {
		pack_fini(&p);
		err_set(&err, 0, "layer: %s is neither a directory nor an archive", code);
		return fcctl_fail(&err, CMD_BAD_INPUT);
	}
	int status = put_blob(ctl, &p);
	pack_fini(&p);
	if (status != CMD_OK)
		return status;
	autojson json_t *body = json_pack("{s:{s:s}}", "code", "blob", digest), *made = NULL;
	json_t *runtimes = json_array();
	for (size_t i = 0; i < o->runtimes.count; i++)
		json_array_append_new(runtimes, json_string(o->runtimes.item[i]));
	json_object_set_new(body, "compatibleRuntime", runtimes);
	if (o->description)
		json_object_set_new(body, "description", json_string(o->description));
	if (o->license)
		json_object_set_new(body, "license", json_string(o->license));
	autofree char *dump = json_dumps(body, JSON_COMPACT);
	if (!dump) {
		err_set(&err, 0, "layer: an option is not UTF-8");
		return fcctl_fail(&err, CMD_BAD_INPUT);
	}
	status = ask(ctl, &(struct client_request){ .method = "POST", .path = versions, .body = dump, .body_len = strlen(dump), .body_fd = -1 }, &made);
	if (status != CMD_OK)
		return status;
	if (ctl->format == FCCTL_JSON)
		return json_dumpf(made, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER) == 0 && putchar('\n') != EOF && fflush(stdout) == 0 ? CMD_OK
																	   : CMD_HOST;
	return printf("%s:%lld\n", text(made, "layerName"), (long long)json_integer_value(json_object_get(made, "version"))) > 0 &&
			       fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
}

int fcctl_layer(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct opt options[] = {
		{ "description", 0, OPT_STR, AT(description), "TEXT", "for people", NULL, 0, 0 },
		{ "license", 0, OPT_STR, AT(license), "TEXT", "of what is in it", NULL, 0, 0 },
		{ "runtime", 'r', OPT_LIST, AT(runtimes), "RUNTIME", "one it is made for; again for more", NULL, 0, 0 },
		{ "delete", 0, OPT_STR, AT(remove), "N", "delete this version instead", NULL, 0, 0 },
		HELP
	};
	static const struct fcctl_syntax usage = { "NAME [CODE]",
						   "Stores a directory or an archive as a new version of a layer; without CODE lists the versions.", options,
						   AT(help), 1, 2 };
	struct layer_opts o = { .description = NULL };
	struct err err = ERR_INIT;
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	const char *code = n + 1 < argc ? argv[n + 1] : NULL;
	bool describes = o.description || o.license || o.runtimes.count;
	autobuf struct buf path = BUF_INIT(4096);
	buf_puts(&path, LAYERS "/");
	client_escape(&path, argv[n]);
	buf_puts(&path, "/versions");
	if ((o.remove && (code || describes)) || (!code && describes)) {
		err_set(&err, 0, o.remove ? "layer: --delete goes with no code and no other option"
					  : "layer: --description, --license and --runtime are of a new version: name its CODE");
		return fcctl_fail(&err, CMD_BAD_INPUT);
	}
	if (code)
		return store(ctl, path.data, code, &o);
	if (o.remove) {
		buf_puts(&path, "/");
		client_escape(&path, o.remove);
		return ask(ctl, &(struct client_request){ .method = "DELETE", .path = path.data, .body_fd = -1 }, NULL);
	}
	autojson json_t *all = json_array();
	buf_puts(&path, "?limit=100");
	status = ask_all(ctl, path.data, "startVersion", "nextVersion", all);
	return status == CMD_OK ? print_list(ctl, all) : status;
}

int fcctl_layers(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct opt options[] = { HELP };
	static const struct fcctl_syntax usage = { "[PREFIX]", "Lists the layers, the latest version of each.", options, AT(help), 0, 1 };
	struct layer_opts o = { .help = false };
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	autobuf struct buf path = BUF_INIT(4096);
	buf_puts(&path, LAYERS "?limit=100");
	if (n < argc) {
		buf_puts(&path, "&prefix=");
		client_escape(&path, argv[n]);
	}
	autojson json_t *all = json_array();
	status = ask_all(ctl, path.data, "nextToken", "nextToken", all);
	return status == CMD_OK ? print_list(ctl, all) : status;
}
