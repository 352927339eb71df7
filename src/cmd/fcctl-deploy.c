/* fcctl deploy, create, update: manifest and options to a function object, code to a bundle. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/fcctl.h"
#include "cmd/pack.h"

enum { MANIFEST_MAX = 1 << 20 };
enum deploy_how { DEPLOY_EITHER, DEPLOY_CREATE, DEPLOY_UPDATE };

struct deploy_opts {
	const char *name, *runtime, *handler, *description, *role, *manifest;
	uint64_t memory, cpu_milli, disk, timeout_ms;
	struct opt_list env, layers, secrets;
	bool help;
};
#define AT(field) offsetof(struct deploy_opts, field)
static const struct opt deploy_options[] = {
	{ "name", 'n', OPT_STR, AT(name), "NAME", "of the function (functionName of the manifest)", NULL, 0, 0 },
	{ "runtime", 'r', OPT_STR, AT(runtime), "RUNTIME", "stdio, python3, nodejs, custom or provided (stdio for one executable)", NULL, 0, 0 },
	{ "handler", 0, OPT_STR, AT(handler), "HANDLER", "module.function, or for stdio the program below /code", NULL, 0, 0 },
	{ "memory", 'm', OPT_BYTES, AT(memory), "SIZE", "memory limit (512M)", NULL, 0, 0 },
	{ "cpu", 0, OPT_MILLI, AT(cpu_milli), "CPUS", "cpu limit", NULL, 0, 0 },
	{ "disk", 0, OPT_BYTES, AT(disk), "SIZE", "size of /tmp (512M)", NULL, 0, 0 },
	{ "timeout", 0, OPT_MS, AT(timeout_ms), "TIME", "longest run, whole seconds (60s)", NULL, 0, 0 },
	{ "env", 'e', OPT_LIST, AT(env), "NAME=VALUE", "environment variable; again for more", NULL, 0, 0 },
	{ "layer", 'l', OPT_LIST, AT(layers), "NAME:N", "show this version of a layer at /opt; again for more, the first on top", NULL, 0, 0 },
	{ "secret", 0, OPT_LIST, AT(secrets), "VARIABLE=NAME", "have this secret's text in the variable; again for more", NULL, 0, 0 },
	{ "role", 0, OPT_STR, AT(role), "NAME", "what it may do to other functions; empty: nothing", NULL, 0, 0 },
	{ "description", 0, OPT_STR, AT(description), "TEXT", "for people", NULL, 0, 0 },
	{ "manifest", 0, OPT_STR, AT(manifest), "FILE", "function object to begin with (fcnode.json of a directory)", NULL, 0, 0 },
	{ "help", 'h', OPT_FLAG, AT(help), NULL, "print this and exit", NULL, 0, 0 },
	{ NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 },
};

/* ---- the function object ---------------------------------------------------- */

static json_t *read_manifest(const struct deploy_opts *o, const char *code, struct err *err)
{
	char path[4096];
	struct stat st;
	if (o->manifest)
		return json_parse_file(o->manifest, MANIFEST_MAX, err);
	if (!code || stat(code, &st) < 0 || !S_ISDIR(st.st_mode))
		return json_object();
	snprintf(path, sizeof(path), "%s/fcnode.json", code);
	return stat(path, &st) == 0 ? json_parse_file(path, MANIFEST_MAX, err) : json_object();
}

static int whole(json_t *f, const char *member, uint64_t value, uint64_t unit, const char *option, struct err *err)
{
	if (value == 0)
		return 0;
	if (value % unit)
		return err_set(err, 0, "--%s: must be a whole number of %s", option, unit == 1000 ? "seconds" : "MiB");
	json_object_set_new(f, member, json_integer((json_int_t)(value / unit)));
	return 0;
}

static int set_env(json_t *f, const struct opt_list *env, struct err *err)
{
	json_t *vars = json_object_get(f, "environmentVariables");
	if (env->count == 0)
		return 0;
	if (!json_is_object(vars)) {
		json_object_set_new(f, "environmentVariables", json_object());
		vars = json_object_get(f, "environmentVariables");
	}
	for (size_t i = 0; i < env->count; i++) {
		const char *eq = strchr(env->item[i], '=');
		autofree char *name = eq ? strndup(env->item[i], (size_t)(eq - env->item[i])) : NULL;
		if (!name || json_object_set_new(vars, name, json_string(eq + 1)) < 0)
			return err_set(err, 0, "--env %s: not NAME=VALUE in UTF-8", env->item[i]);
	}
	return 0;
}

/* "NAME:N", or as the API has it. */
static int set_layers(json_t *f, const struct opt_list *list, struct err *err)
{
	json_t *layers = json_array();
	for (size_t i = 0; i < list->count; i++) {
		const char *word = list->item[i], *colon = strrchr(word, ':');
		uint64_t version;
		if (str_starts(word, "acs:"))
			json_array_append_new(layers, json_string(word));
		else if (colon && colon > word && str_to_u64(colon + 1, &version) == 0)
			json_array_append_new(layers, json_sprintf("acs:fc:::layers/%.*s/versions/%s", (int)(colon - word), word, colon + 1));
		if (json_array_size(layers) != i + 1) {
			json_decref(layers);
			return err_set(err, 0, "--layer %s: must be NAME:VERSION, such as libs:3", word);
		}
	}
	return json_object_set_new(f, "layers", layers);
}

static int set_secrets(json_t *f, const struct opt_list *list, struct err *err)
{
	json_t *secrets = json_object();
	json_object_set_new(f, "secrets", secrets);
	for (size_t i = 0; i < list->count; i++) {
		const char *word = list->item[i], *eq = strchr(word, '=');
		autofree char *variable = eq ? strndup(word, (size_t)(eq - word)) : NULL;
		if (!variable || json_object_set_new(secrets, variable, json_string(eq + 1)) < 0)
			return err_set(err, 0, "--secret: must be VARIABLE=NAME, the name of a secret that was kept before");
	}
	return 0;
}

/* Options over the manifest. */
static int apply_options(json_t *f, const struct deploy_opts *o, struct err *err)
{
	const struct {
		const char *member, *value;
	} texts[] = { { "functionName", o->name }, { "runtime", o->runtime }, { "handler", o->handler }, { "description", o->description },
		    { "role", o->role } };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].value && json_object_set_new(f, texts[i].member, json_string(texts[i].value)) < 0)
			return err_set(err, 0, "--%s: not UTF-8", texts[i].member);
	if (o->cpu_milli)
		json_object_set_new(f, "cpu", json_real((double)o->cpu_milli / 1000));
	int r = whole(f, "memorySize", o->memory, 1 << 20, "memory", err);
	if (r == 0)
		r = whole(f, "diskSize", o->disk, 1 << 20, "disk", err);
	if (r == 0)
		r = whole(f, "timeout", o->timeout_ms, 1000, "timeout", err);
	if (r == 0)
		r = set_env(f, &o->env, err);
	if (r == 0 && o->secrets.count)
		r = set_secrets(f, &o->secrets, err);
	return r == 0 && o->layers.count ? set_layers(f, &o->layers, err) : r;
}

/* The last part of the path without its extension: a name for code that brings none. */
static void name_from_path(json_t *f, const char *code)
{
	char name[65];
	autofree char *copy = strdup(code);
	if (!copy || json_object_get(f, "functionName"))
		return;
	for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
		copy[n - 1] = '\0';
	const char *base = strrchr(copy, '/') ? strrchr(copy, '/') + 1 : copy;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(base, "."), base);
	if (str_is_name(name, 64))
		json_object_set_new(f, "functionName", json_string(name));
}

/* ---- requests ---------------------------------------------------------------- */

static int put_blob(const struct fcctl *ctl, const struct pack *p)
{
	char path[96];
	struct client_reply r;
	snprintf(path, sizeof(path), "/blobs/sha256:%s", p->sha256);
	int status = fcctl_request(ctl, &(struct client_request){ .method = "PUT", .path = path, .body_fd = p->fd }, &r);
	if (status == CMD_OK)
		client_reply_fini(&r);
	return status;
}

/* Does it exist? CMD_OK with *ret, or the status. */
static int exists(const struct fcctl *ctl, const char *name, bool *ret)
{
	autobuf struct buf path = BUF_INIT(4096);
	struct err err = ERR_INIT;
	struct client_reply r;
	fcctl_function_path(&path, name, "");
	if (client_call(&ctl->client, &(struct client_request){ .method = "GET", .path = path.data, .body_fd = -1 }, &r, &err) < 0)
		return fcctl_fail(&err, CMD_HOST);
	int status = CMD_OK;
	*ret = r.status == 200;
	if (r.status != 200 && r.status != 404) {
		status = client_error(&r, &err);
		fcctl_fail(&err, status);
	}
	client_reply_fini(&r);
	return status;
}

static int send_function(const struct fcctl *ctl, json_t *f, bool update)
{
	autobuf struct buf path = BUF_INIT(4096);
	struct client_reply r;
	const char *name = json_string_value(json_object_get(f, "functionName"));
	if (update)
		fcctl_function_path(&path, name, "");
	else
		buf_puts(&path, "/2023-03-30/functions");
	autofree char *text = json_dumps(f, JSON_COMPACT | JSON_PRESERVE_ORDER);
	const struct client_request q = { .method = update ? "PUT" : "POST", .path = path.data, .body = text,
					  .body_len = text ? strlen(text) : 0, .body_fd = -1 };
	int status = fcctl_request(ctl, &q, &r);
	if (status != CMD_OK)
		return status;
	if (ctl->format == FCCTL_JSON)
		status = fcctl_print(&r.body, true);
	else
		status = printf("%s %s\n", update ? "updated" : "created", name) > 0 && fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
	client_reply_fini(&r);
	return status;
}

static int send_all(const struct fcctl *ctl, enum deploy_how how, json_t *f, const struct pack *p)
{
	const char *name = json_string_value(json_object_get(f, "functionName"));
	bool update = how == DEPLOY_UPDATE;
	int status = CMD_OK;
	if (how == DEPLOY_EITHER)
		status = exists(ctl, name, &update);
	if (status == CMD_OK && p->fd >= 0) {
		char digest[80];
		snprintf(digest, sizeof(digest), "sha256:%s", p->sha256);
		json_object_set_new(f, "code", json_pack("{s:s}", "blob", digest));
		status = put_blob(ctl, p);
	}
	return status == CMD_OK ? send_function(ctl, f, update) : status;
}

static int run(const struct fcctl *ctl, enum deploy_how how, int argc, char **argv)
{
	static const struct fcctl_syntax syntax[] = {
		[DEPLOY_EITHER] = { "CODE", "Creates a function from a directory, an archive or one executable, or updates it.",
				    deploy_options, AT(help), 1, 1 },
		[DEPLOY_CREATE] = { "CODE", "Creates a function from a directory, an archive or one executable.", deploy_options,
				    AT(help), 1, 1 },
		[DEPLOY_UPDATE] = { "[CODE]", "Changes a function's code (when CODE is given) or settings.", deploy_options, AT(help),
				    0, 1 },
	};
	struct deploy_opts o = { .name = NULL };
	struct err err = ERR_INIT;
	int n, status = fcctl_parse(&syntax[how], argc, argv, &o, &n);
	if (status >= 0)
		return status;
	const char *code = n < argc ? argv[n] : NULL;
	autojson json_t *f = read_manifest(&o, code, &err);
	if (!f || !json_is_object(f))
		return fcctl_fail(&err, CMD_BAD_INPUT);
	struct pack p = { .fd = -1 };
	if (apply_options(f, &o, &err) < 0 || (code && pack_open(code, &p, &err) < 0))
		return fcctl_fail(&err, CMD_BAD_INPUT);
	if (code)
		name_from_path(f, code);
	if (p.single && how != DEPLOY_UPDATE && !json_object_get(f, "runtime"))
		json_object_set_new(f, "runtime", json_string("stdio"));
	if (!json_is_string(json_object_get(f, "functionName"))) {
		err_set(&err, 0, "the function has no name");
		err_hint(&err, "give --name, or functionName in the manifest");
		status = fcctl_fail(&err, CMD_BAD_INPUT);
	} else {
		status = send_all(ctl, how, f, &p);
	}
	pack_fini(&p);
	return status;
}

int fcctl_deploy(const struct fcctl *ctl, int argc, char **argv) { return run(ctl, DEPLOY_EITHER, argc, argv); }
int fcctl_create(const struct fcctl *ctl, int argc, char **argv) { return run(ctl, DEPLOY_CREATE, argc, argv); }
int fcctl_update(const struct fcctl *ctl, int argc, char **argv) { return run(ctl, DEPLOY_UPDATE, argc, argv); }
