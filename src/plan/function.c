#include "plan/function.h"

#include <ctype.h>
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"

static const char *const runtime_names[] = {
#define X(upper, lower, dir) [FUNCTION_##upper] = #lower,
	FUNCTION_RUNTIMES(X)
#undef X
};
_Static_assert(ARRAY_LEN(runtime_names) == FUNCTION_RUNTIME_MAX, "a name for each runtime");

static const char *const runtime_dirs[FUNCTION_RUNTIME_MAX] = {
#define X(upper, lower, dir) [FUNCTION_##upper] = dir,
	FUNCTION_RUNTIMES(X)
#undef X
};

const char *function_runtime_name(enum function_runtime runtime) { return runtime_names[runtime]; }
const char *function_runtime_dir(enum function_runtime runtime) { return runtime_dirs[runtime]; }

/* A function as json_read() leaves it: everything borrowed. */
struct body {
	const char *name, *description, *runtime, *handler, *isolation, *role;
	int64_t memory_mb, cpu_milli, disk_mb, timeout_s, concurrency;
	bool internet;
	json_t *code, *lifecycle, *env, *secrets, *layers, *custom;
	json_t *unserved[15];
};

#define BODY(member) offsetof(struct body, member)
#define UNSERVED(i, name) { name, JF_ANY, BODY(unserved[i]), false, 0, 0 }

/* fcnode-function(5) lists these in the same order. */
static const struct json_field body_fields[] = {
	{ "functionName", JF_STR, BODY(name), false, 0, 0 },
	{ "description", JF_STR, BODY(description), false, 0, 0 },
	{ "runtime", JF_STR, BODY(runtime), false, 0, 0 },
	{ "handler", JF_STR, BODY(handler), false, 0, 0 },
	{ "memorySize", JF_INT, BODY(memory_mb), false, FUNCTION_MEMORY_MB_MIN, FUNCTION_MEMORY_MB_MAX },
	{ "cpu", JF_MILLI, BODY(cpu_milli), false, FUNCTION_CPU_MILLI_MIN, FUNCTION_CPU_MILLI_MAX },
	{ "diskSize", JF_INT, BODY(disk_mb), false, FUNCTION_DISK_MB_MIN, FUNCTION_DISK_MB_MAX },
	{ "timeout", JF_INT, BODY(timeout_s), false, 1, FUNCTION_TIMEOUT_S_MAX },
	{ "environmentVariables", JF_OBJECT, BODY(env), false, 0, 0 },
	{ "instanceIsolationMode", JF_STR, BODY(isolation), false, 0, 0 },
	{ "instanceConcurrency", JF_INT, BODY(concurrency), false, 0, 0 },
	{ "instanceLifecycleConfig", JF_OBJECT, BODY(lifecycle), false, 0, 0 },
	{ "secrets", JF_OBJECT, BODY(secrets), false, 0, 0 },
	{ "layers", JF_ARRAY, BODY(layers), false, 0, 0 },
	{ "role", JF_STR, BODY(role), false, 0, 0 },
	{ "internetAccess", JF_BOOL, BODY(internet), false, 0, 0 },
	{ "code", JF_OBJECT, BODY(code), false, 0, 0 },
	{ "customRuntimeConfig", JF_OBJECT, BODY(custom), false, 0, 0 },
	UNSERVED(0, "customContainerConfig"),
	UNSERVED(1, "customDNS"),
	UNSERVED(2, "disableOndemand"),
	UNSERVED(3, "gpuConfig"),
	UNSERVED(4, "idleTimeout"),
	UNSERVED(5, "logConfig"),
	UNSERVED(6, "nasConfig"),
	UNSERVED(7, "ossMountConfig"),
	UNSERVED(8, "polarFsConfig"),
	UNSERVED(9, "sessionAffinity"),
	UNSERVED(10, "sessionAffinityConfig"),
	UNSERVED(11, "tags"),
	UNSERVED(12, "tracingConfig"),
	UNSERVED(13, "vpcBinding"),
	UNSERVED(14, "vpcConfig"),
	{ NULL, 0, 0, false, 0, 0 },
};

static int not_served(struct err *err, const char *field)
{
	err_set(err, 0, "%s: not served yet", field);
	return err_hint(err, "leave %s out", field);
}

/* false, 0, "", {} and []: what a client library sends for a field nobody set. */
static bool says_nothing(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return json_object_size(v) == 0;
	case JSON_ARRAY:
		return json_array_size(v) == 0;
	case JSON_STRING:
		return json_string_length(v) == 0;
	case JSON_INTEGER:
		return json_integer_value(v) == 0;
	case JSON_REAL:
		return json_real_value(v) == 0;
	default:
		return !json_is_true(v);
	}
}

static int check_unserved(const struct body *b, struct err *err)
{
	for (const struct json_field *f = body_fields; f->name; f++) {
		if (f->kind != JF_ANY)
			continue;
		const json_t *v = *(json_t *const *)((const char *)b + f->offset);
		if (v && !says_nothing(v))
			return not_served(err, f->name);
	}
	if (b->isolation && strcmp(b->isolation, "REQUEST_EXCLUSIVE") != 0) {
		err_set(err, 0, "instanceIsolationMode: %.32s is not served yet", b->isolation);
		return err_hint(err, "REQUEST_EXCLUSIVE (a fresh sandbox for each invocation) is");
	}
	if (b->concurrency != 1) {
		err_set(err, 0, "instanceConcurrency: %lld is not served yet", (long long)b->concurrency);
		return err_hint(err, "1 is: a sandbox answers one invocation");
	}
	if (b->internet) {
		err_set(err, 0, "internetAccess: true is not served yet");
		return err_hint(err, "a sandbox has only its own loopback; leave internetAccess out");
	}
	return 0;
}

/* Names of the same runtime, for functions that come from elsewhere: the image decides what is inside. */
static const struct {
	const char *name;
	enum function_runtime runtime;
} aliases[] = {
	{ "custom.debian10", FUNCTION_CUSTOM }, { "custom.debian11", FUNCTION_CUSTOM }, { "custom.debian12", FUNCTION_CUSTOM },
	{ "provided.al2", FUNCTION_PROVIDED }, { "provided.al2023", FUNCTION_PROVIDED },
};

int function_runtime_parse(const char *name, enum function_runtime *ret, const char **as, struct err *err)
{
	const char *found = NULL;
	for (int i = 0; i < FUNCTION_RUNTIME_MAX && !found; i++)
		if (strcmp(name, runtime_names[i]) == 0) {
			*ret = (enum function_runtime)i;
			found = runtime_names[i];
		}
	for (size_t i = 0; i < ARRAY_LEN(aliases) && !found; i++)
		if (strcmp(name, aliases[i].name) == 0) {
			*ret = aliases[i].runtime;
			found = aliases[i].name;
		}
	if (found) {
		if (as)
			*as = found;
		return 0;
	}
	static const char *const later[] = { "custom-container", "java", "php", "go", "dotnet", "python3.", "nodejs" };
	bool known = false;
	for (size_t i = 0; i < ARRAY_LEN(later); i++)
		known |= str_starts(name, later[i]);
	err_set(err, 0, "runtime: %.32s is %s", name, known ? "not served yet" : "unknown");
	return err_hint(err, "served are stdio (any program), python3 and nodejs (in the version the image has), custom (a web server) and provided (a program that asks the Runtime API)");
}

/* Replace an owned string; "" and NULL both mean "not given". */
static int set_text(char **field, const char *text, size_t max, const char *name, struct err *err)
{
	size_t len = strlen(text);
	if (len > max)
		return err_set(err, 0, "%s: %zu bytes long; at most %zu are allowed", name, len, max);
	char *copy = len ? strdup(text) : NULL;
	if (len && !copy)
		return err_set(err, ENOMEM, "%s", name);
	free(*field);
	*field = copy;
	return 0;
}

static int check_variable(const char *where, const char *name, const char *value, struct err *err)
{
	bool ok = isalpha((unsigned char)*name) || *name == '_';
	for (const char *p = name; *p && ok; p++)
		ok = isalnum((unsigned char)*p) || *p == '_';
	if (!ok)
		return err_set(err, 0, "%s: %.64s is no name (letters, digits and _, no digit first)", where,
			       *name ? name : "\"\"");
	if (str_starts(name, "FC_"))
		return err_set(err, 0, "%s: %.64s: names that begin with FC_ are reserved", where, name);
	if (strlen(name) + strlen(value) > FUNCTION_ENV_BYTES_MAX)
		return err_set(err, 0, "%s: %.64s: over the limit of %d bytes for all names and values", where, name,
			        FUNCTION_ENV_BYTES_MAX);
	return 0;
}

int function_env_check(const char *name, const char *value, struct err *err)
{
	return check_variable("environmentVariables", name, value, err);
}

static void env_free(struct function_env *env, size_t nenv)
{
	for (size_t i = 0; i < nenv; i++) {
		free(env[i].name);
		free(env[i].value);
	}
	free(env);
}

/* Where name is, or where it belongs: the list is sorted, so that equal sets are equal text. */
static size_t env_find(const struct function *f, const char *name, bool *found)
{
	size_t i = 0;
	int order = 1;
	while (i < f->nenv && (order = strcmp(f->env[i].name, name)) < 0)
		i++;
	*found = i < f->nenv && order == 0;
	return i;
}

static size_t env_bytes(const struct function *f)
{
	size_t n = 0;
	for (size_t i = 0; i < f->nenv; i++)
		n += strlen(f->env[i].name) + strlen(f->env[i].value);
	return n;
}

int function_env_set(struct function *f, const char *name, const char *value, struct err *err)
{
	int r = function_env_check(name, value, err);
	if (r < 0)
		return r;
	bool found;
	size_t at = env_find(f, name, &found);
	assert(!found || f->env);
	size_t bytes = env_bytes(f) + strlen(value) + (found ? 0 : strlen(name)) - (found ? strlen(f->env[at].value) : 0);
	if (bytes > FUNCTION_ENV_BYTES_MAX)
		return err_set(err, 0, "environmentVariables: %zu bytes of names and values; at most %d are allowed",
			       bytes, FUNCTION_ENV_BYTES_MAX);
	if (!found && f->nenv >= FUNCTION_ENV_MAX)
		return err_set(err, 0, "environmentVariables: more than %d variables", FUNCTION_ENV_MAX);

	autofree char *value_copy = strdup(value);
	if (found && value_copy) {
		free(f->env[at].value);
		f->env[at].value = take_ptr(value_copy);
		return 0;
	}
	autofree char *name_copy = strdup(name);
	struct function_env *env = realloc(f->env, (f->nenv + 1) * sizeof(*env));
	if (env)
		f->env = env;
	if (!env || !name_copy || !value_copy)
		return err_set(err, ENOMEM, "environmentVariables");
	memmove(&env[at + 1], &env[at], (f->nenv - at) * sizeof(*env));
	env[at] = (struct function_env){ take_ptr(name_copy), take_ptr(value_copy) };
	f->nenv++;
	return 0;
}

static int set_env(struct function *f, json_t *object, struct err *err)
{
	env_free(f->env, f->nenv);
	f->env = NULL;
	f->nenv = 0;

	const char *name;
	json_t *value;
	json_object_foreach(object, name, value) {
		if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
			return err_set(err, 0, "environmentVariables.%.64s: must be a string", name);
		int r = function_env_set(f, name, json_string_value(value), err);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool is_blob(const char *name) { return str_starts(name, "sha256:") && str_is_hex(name + 7, 64); }

/* The part of *p up to c or the end into out; *p moves behind it. */
static bool take_part(const char **p, char c, char *out, size_t size)
{
	size_t n = strcspn(*p, (const char[]){ c, '\0' });
	if (n >= size || (*p)[n] != c)
		return false;
	memcpy(out, *p, n);
	out[n] = '\0';
	*p += n + 1;
	return true;
}

int function_layer_parse(const char *arn, const char *where, struct function_layer *ret, struct err *err)
{
	struct function_layer l = { .version = 0 };
	char region[16], word[16];
	const char *p = arn;
	bool ok = str_starts(p, "acs:fc:");
	p += ok ? 7 : 0;
	ok = ok && take_part(&p, ':', region, sizeof(region)) && take_part(&p, ':', l.account, sizeof(l.account)) &&
	     take_part(&p, '/', word, sizeof(word)) && strcmp(word, "layers") == 0 && take_part(&p, '/', l.name, sizeof(l.name)) &&
	     take_part(&p, '/', word, sizeof(word)) && strcmp(word, "versions") == 0 && str_to_u64(p, &l.version) == 0 && l.version > 0 &&
	     str_is_name(l.name, FUNCTION_NAME_MAX) && (!*l.account || str_is_name(l.account, FUNCTION_NAME_MAX)) && l.version <= INT64_MAX;
	if (!ok) {
		err_set(err, 0, "%s: %.160s names no version of a layer", where, *arn ? arn : "\"\"");
		return err_hint(err, "acs:fc:%s:ACCOUNT:layers/NAME/versions/NUMBER, as layerVersionArn gives it", FUNCTION_REGION);
	}
	if (*region && strcmp(region, FUNCTION_REGION) != 0) {
		err_set(err, 0, "%s: %.160s is of region %s", where, arn, region);
		return err_hint(err, "this node's is %s; an empty one is it too", FUNCTION_REGION);
	}
	*ret = l;
	return 0;
}

void function_layer_arn(const struct function_layer *l, char out[FUNCTION_LAYER_ARN_SIZE])
{
	snprintf(out, FUNCTION_LAYER_ARN_SIZE, "acs:fc:%s:%s:layers/%s/versions/%" PRIu64, FUNCTION_REGION, l->account, l->name, l->version);
}

static int set_layers(struct function *f, json_t *array, struct err *err)
{
	free(f->layers);
	f->layers = NULL;
	f->nlayers = 0;

	size_t n = json_array_size(array);
	if (n > FUNCTION_LAYERS_MAX)
		return err_set(err, 0, "layers: %zu given; at most %d are allowed", n, FUNCTION_LAYERS_MAX);
	f->layers = n ? calloc(n, sizeof(*f->layers)) : NULL;
	if (n && !f->layers)
		return err_set(err, ENOMEM, "layers");
	for (size_t i = 0; i < n; i++) {
		char where[32];
		const json_t *v = json_array_get(array, i);
		const char *arn = json_string_value(v);
		snprintf(where, sizeof(where), "layers[%zu]", i);
		if (!arn || strlen(arn) != json_string_length(v))
			return err_set(err, 0, "%s: must be a string", where);
		int r = function_layer_parse(arn, where, &f->layers[i], err);
		if (r < 0)
			return r;
		for (size_t k = 0; k < i; k++)
			if (strcmp(f->layers[k].name, f->layers[i].name) == 0)
				return err_set(err, 0, "%s: layer %s is named twice", where, f->layers[i].name);
		f->nlayers++;
	}
	return 0;
}

static void secrets_free(struct function *f)
{
	for (size_t i = 0; i < f->nsecrets; i++) {
		free(f->secrets[i].variable);
		free(f->secrets[i].name);
	}
	free(f->secrets);
	f->secrets = NULL;
	f->nsecrets = 0;
}

static int by_variable(const void *a, const void *b)
{
	const struct function_secret *x = a, *y = b;
	return strcmp(x->variable, y->variable);
}

/* {"VARIABLE": "name of a secret", ...}; sorted, so that equal sets are equal text */
static int set_secrets(struct function *f, json_t *object, struct err *err)
{
	const char *variable;
	json_t *v;
	size_t n = json_object_size(object);
	secrets_free(f);
	if (n > FUNCTION_SECRETS_MAX)
		return err_set(err, 0, "secrets: %zu given; at most %d are allowed", n, FUNCTION_SECRETS_MAX);
	if (n == 0)
		return 0;
	f->secrets = calloc(n, sizeof(*f->secrets));
	if (!f->secrets)
		return err_set(err, ENOMEM, "secrets");
	json_object_foreach(object, variable, v) {
		const char *name = json_string_value(v);
		if (check_variable("secrets", variable, "", err) < 0)
			return -EINVAL;
		if (!name || !str_is_name(name, FUNCTION_NAME_MAX)) {
			err_set(err, 0, "secrets.%.80s: must be the name of a secret", variable);
			return err_hint(err, "never its text; PUT /node/secrets/NAME keeps one");
		}
		struct function_secret *s = &f->secrets[f->nsecrets++];
		s->variable = strdup(variable);
		s->name = strdup(name);
		if (!s->variable || !s->name)
			return err_set(err, ENOMEM, "secrets");
	}
	qsort(f->secrets, f->nsecrets, sizeof(*f->secrets), by_variable);
	return 0;
}

/* "acs:ram::ACCOUNT:role/NAME", or the name alone; "" takes it away. */
static int set_role(struct function *f, const char *text, struct err *err)
{
	static const char prefix[] = "acs:ram::";
	char account[FUNCTION_NAME_MAX + 1] = "";
	const char *name = text;
	bool ok = true;
	if (str_starts(text, "acs:")) {
		name = text + sizeof(prefix) - 1;
		ok = str_starts(text, prefix) && take_part(&name, ':', account, sizeof(account)) && str_starts(name, "role/") &&
		     (!*account || str_is_name(account, FUNCTION_NAME_MAX));
		name += ok ? 5 : 0;
	}
	if (*text && (!ok || !str_is_name(name, FUNCTION_NAME_MAX))) {
		err_set(err, 0, "role: %.160s names no role", text);
		return err_hint(err, "acs:ram::ACCOUNT:role/NAME, or NAME, of one that fcnode-principals(5) describes");
	}
	int r = set_text(&f->role, name, FUNCTION_NAME_MAX, "role", err);
	return r < 0 ? r : set_text(&f->role_account, account, FUNCTION_NAME_MAX, "role", err);
}

struct hook {
	const char *handler;
	json_t *command;
	int64_t timeout_s;
};

static int read_hook(json_t *object, const char *where, int64_t most_s, struct hook *ret, struct err *err)
{
	const struct json_field fields[] = {
		{ "handler", JF_STR, offsetof(struct hook, handler), false, 0, 0 },
		{ "timeout", JF_INT, offsetof(struct hook, timeout_s), false, 1, most_s },
		{ "command", JF_ARRAY, offsetof(struct hook, command), false, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};
	int r = json_read(object, fields, 0, ret, where, err);
	if (r < 0)
		return r;
	if (ret->command && json_array_size(ret->command)) {
		err_set(err, 0, "%s.command: not served yet", where);
		return err_hint(err, "name a handler");
	}
	return 0;
}

/* Replaces the whole object, as the API does. */
static int set_lifecycle(struct function *f, json_t *object, struct err *err)
{
	struct { json_t *initializer, *pre_stop; } raw = { NULL, NULL };
	static const struct json_field fields[] = {
		{ "initializer", JF_OBJECT, 0, false, 0, 0 },
		{ "preStop", JF_OBJECT, sizeof(json_t *), false, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};
	struct hook init = { .timeout_s = FUNCTION_INIT_TIMEOUT_S }, stop = { .timeout_s = FUNCTION_PRE_STOP_TIMEOUT_S };

	int r = json_read(object, fields, 0, &raw, "instanceLifecycleConfig", err);
	if (r == 0 && raw.initializer)
		r = read_hook(raw.initializer, "instanceLifecycleConfig.initializer", FUNCTION_INIT_TIMEOUT_S_MAX, &init, err);
	if (r == 0 && raw.pre_stop)
		r = read_hook(raw.pre_stop, "instanceLifecycleConfig.preStop", FUNCTION_PRE_STOP_TIMEOUT_S_MAX, &stop, err);
	if (r < 0)
		return r;
	f->initializer_timeout_s = (uint32_t)init.timeout_s;
	f->pre_stop_timeout_s = (uint32_t)stop.timeout_s;
	r = set_text(&f->pre_stop, stop.handler ? stop.handler : "", FUNCTION_HANDLER_MAX, "instanceLifecycleConfig.preStop.handler", err);
	if (r < 0)
		return r;
	return set_text(&f->initializer, init.handler ? init.handler : "", FUNCTION_HANDLER_MAX,
			"instanceLifecycleConfig.initializer.handler", err);
}

static void words_free(char **words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(words[i]);
	free(words);
}

/* The words of an array behind those that are there. */
static int add_words(struct function *f, json_t *array, const char *where, struct err *err)
{
	size_t i;
	json_t *v;
	json_array_foreach(array, i, v) {
		const char *word = json_string_value(v);
		if (!word || strlen(word) != json_string_length(v))
			return err_set(err, 0, "%s[%zu]: must be a string", where, i);
		if (f->ncommand == FUNCTION_COMMAND_MAX)
			return err_set(err, 0, "customRuntimeConfig: more than %d words in command and args", FUNCTION_COMMAND_MAX);
		f->command[f->ncommand] = strdup(word);
		if (!f->command[f->ncommand])
			return err_set(err, ENOMEM, "%s", where);
		f->ncommand++;
	}
	return 0;
}

/* Replaces the whole object, as the API does. */
static int set_custom(struct function *f, json_t *object, struct err *err)
{
	struct raw {
		json_t *command, *args, *health;
		int64_t port;
	} raw = { .port = FUNCTION_PORT };
	static const struct json_field fields[] = {
		{ "command", JF_ARRAY, offsetof(struct raw, command), false, 0, 0 },
		{ "args", JF_ARRAY, offsetof(struct raw, args), false, 0, 0 },
		{ "port", JF_INT, offsetof(struct raw, port), false, 1, 65535 },
		{ "healthCheckConfig", JF_ANY, offsetof(struct raw, health), false, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};
	int r = json_read(object, fields, 0, &raw, "customRuntimeConfig", err);
	if (r < 0)
		return r;
	if (raw.health && !says_nothing(raw.health))
		return not_served(err, "customRuntimeConfig.healthCheckConfig");
	words_free(f->command, f->ncommand);
	f->ncommand = f->nargs = 0;
	f->port = (uint16_t)raw.port;
	f->command = calloc(FUNCTION_COMMAND_MAX, sizeof(*f->command));
	if (!f->command)
		return err_set(err, ENOMEM, "customRuntimeConfig");
	r = add_words(f, raw.command, "customRuntimeConfig.command", err);
	size_t ncommand = f->ncommand;
	if (r == 0)
		r = add_words(f, raw.args, "customRuntimeConfig.args", err);
	f->nargs = f->ncommand - ncommand;
	return r;
}

/* A path below /code that cannot leave it. */
static bool is_code_path(const char *path)
{
	if (*path == '/')
		return false;
	for (const char *p = path; *p; p += strcspn(p, "/"), p += *p == '/')
		if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || p[2] == '\0'))
			return false;
	return true;
}

/* module.function; the module may have slashes: lib/index.handler */
static bool is_module_function(const char *handler)
{
	const char *dot = strrchr(handler, '.');
	if (!is_code_path(handler) || !dot || dot == handler || !dot[1] || strchr(dot, '/'))
		return false;
	for (const char *p = handler; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("_$-./", *p))
			return false;
	return true;
}

static int check_command(const struct function *f, struct err *err)
{
	bool own = f->runtime == FUNCTION_CUSTOM || f->runtime == FUNCTION_PROVIDED;
	size_t bytes = 0;
	for (size_t i = 0; i < f->ncommand; i++)
		bytes += strlen(f->command[i]) + 1;
	if (bytes > FUNCTION_COMMAND_BYTES_MAX)
		return err_set(err, 0, "customRuntimeConfig: %zu bytes of command and args; at most %d are allowed", bytes, FUNCTION_COMMAND_BYTES_MAX);
	if (f->ncommand > f->nargs && !*f->command[0])
		return err_set(err, 0, "customRuntimeConfig.command[0]: is empty");
	if (own && f->nargs && f->nargs == f->ncommand)
		return err_set(err, 0, "customRuntimeConfig.args: without command");
	if (!own && (f->ncommand || (f->port && f->port != FUNCTION_PORT))) {
		err_set(err, 0, "customRuntimeConfig: belongs to the runtimes custom and provided, not to %s", function_runtime_name(f->runtime));
		return err_hint(err, "with runtime stdio the handler names the program to run");
	}
	if (f->pre_stop && f->runtime != FUNCTION_CUSTOM)
		return err_set(err, 0, "instanceLifecycleConfig.preStop: only runtime custom has one, not %s", function_runtime_name(f->runtime));
	return 0;
}

static int check_own(const struct function *f, struct err *err)
{
	const struct { const char *name, *text; } texts[] = {
		{ "handler", f->handler }, { "instanceLifecycleConfig.initializer.handler", f->initializer },
		{ "instanceLifecycleConfig.preStop.handler", f->pre_stop },
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) /* they become fields of HTTP */
		for (const char *p = texts[i].text; p && *p; p++)
			if (!isprint((unsigned char)*p))
				return err_set(err, 0, "%s: has a character that is not printable ASCII", texts[i].name);
	if (f->runtime == FUNCTION_PROVIDED && f->initializer) {
		err_set(err, 0, "instanceLifecycleConfig.initializer: runtime provided has none");
		return err_hint(err, "let the program initialise itself before it asks for the first event");
	}
	return 0;
}

static int check_secrets(const struct function *f, struct err *err)
{
	for (size_t i = 0; i < f->nsecrets; i++)
		for (size_t k = 0; k < f->nenv; k++)
			if (strcmp(f->secrets[i].variable, f->env[k].name) == 0)
				return err_set(err, 0, "secrets.%s: environmentVariables has a variable of that name too", f->env[k].name);
	return 0;
}

int function_check(const struct function *f, struct err *err)
{
	const char *runtime = function_runtime_name(f->runtime);

	if (!f->name)
		return err_set(err, 0, "functionName: missing");
	int r = check_command(f, err);
	if (r == 0)
		r = check_secrets(f, err);
	if (r < 0)
		return r;
	if (f->runtime == FUNCTION_CUSTOM || f->runtime == FUNCTION_PROVIDED)
		return check_own(f, err);
	if (f->runtime == FUNCTION_STDIO) {
		if (f->handler && !is_code_path(f->handler))
			return err_set(err, 0, "handler: %s: with runtime stdio it is a path below /code", f->handler);
		if (f->initializer) {
			err_set(err, 0, "instanceLifecycleConfig.initializer: runtime stdio has none");
			return err_hint(err, "let the program initialise itself before it reads the event");
		}
		return 0;
	}
	if (!f->handler) {
		err_set(err, 0, "handler: missing; runtime %s needs module.function", runtime);
		return err_hint(err, "for example index.handler");
	}
	if (!is_module_function(f->handler)) {
		err_set(err, 0, "handler: %s: runtime %s needs module.function", f->handler, runtime);
		return err_hint(err, "for example index.handler");
	}
	if (f->initializer && !is_module_function(f->initializer))
		return err_set(err, 0, "instanceLifecycleConfig.initializer.handler: %s: runtime %s needs module.function",
			       f->initializer, runtime);
	return 0;
}

static int set_name(struct function *f, const char *name, struct err *err)
{
	if (!str_is_name(name, FUNCTION_NAME_MAX)) {
		err_set(err, 0, "functionName: %.80s is no name", *name ? name : "\"\"");
		return err_hint(err, "1 to %d letters, digits, _ and -, with a letter or _ first", FUNCTION_NAME_MAX);
	}
	if (f->name && strcmp(f->name, name) != 0)
		return err_set(err, 0, "functionName: %.80s: function %s cannot be renamed", name, f->name);
	return set_text(&f->name, name, FUNCTION_NAME_MAX, "functionName", err);
}

/* Set what the object names. *f may be left half changed: callers work on a copy. */
static int apply(struct function *f, json_t *object, struct err *err)
{
	struct body b = {
		.memory_mb = f->memory_mb, .cpu_milli = f->cpu_milli, .disk_mb = f->disk_mb,
		.timeout_s = f->timeout_s, .concurrency = 1,
	};
	int r = json_read(object, body_fields, 0, &b, "", err);
	if (r == 0)
		r = check_unserved(&b, err);
	if (r == 0 && b.name)
		r = set_name(f, b.name, err);
	if (r == 0 && b.runtime)
		r = function_runtime_parse(b.runtime, &f->runtime, &f->runtime_as, err);
	if (r == 0 && b.description)
		r = set_text(&f->description, b.description, FUNCTION_DESCRIPTION_MAX, "description", err);
	if (r == 0 && b.handler)
		r = set_text(&f->handler, b.handler, FUNCTION_HANDLER_MAX, "handler", err);
	if (r == 0 && b.env)
		r = set_env(f, b.env, err);
	if (r == 0 && b.secrets)
		r = set_secrets(f, b.secrets, err);
	if (r == 0 && b.layers)
		r = set_layers(f, b.layers, err);
	if (r == 0 && b.role)
		r = set_role(f, b.role, err);
	if (r == 0 && b.lifecycle)
		r = set_lifecycle(f, b.lifecycle, err);
	if (r == 0 && b.custom)
		r = set_custom(f, b.custom, err);
	f->memory_mb = (uint32_t)b.memory_mb;
	f->cpu_milli = (uint32_t)b.cpu_milli;
	f->disk_mb = (uint32_t)b.disk_mb;
	f->timeout_s = (uint32_t)b.timeout_s;
	return r < 0 ? r : function_check(f, err);
}

void function_init(struct function *f)
{
	*f = (struct function){
		.memory_mb = FUNCTION_MEMORY_MB, .disk_mb = FUNCTION_DISK_MB, .timeout_s = FUNCTION_TIMEOUT_S,
		.initializer_timeout_s = FUNCTION_INIT_TIMEOUT_S, .pre_stop_timeout_s = FUNCTION_PRE_STOP_TIMEOUT_S, .port = FUNCTION_PORT,
	};
}

void function_fini(struct function *f)
{
	free(f->name);
	free(f->description);
	free(f->handler);
	free(f->initializer);
	free(f->pre_stop);
	free(f->role);
	free(f->role_account);
	words_free(f->command, f->ncommand);
	env_free(f->env, f->nenv);
	secrets_free(f);
	free(f->layers);
	memset(f, 0, sizeof(*f));
}

static bool is_given(json_t *object, const char *name)
{
	json_t *v = json_object_get(object, name);
	return v && !json_is_null(v);
}

int function_parse(json_t *object, const char *name, struct function *ret, struct err *err)
{
	_cleanup_(function_fini) struct function f;
	function_init(&f);
	int r = 0;
	if (!json_is_object(object))
		r = err_set(err, 0, "a function must be an object");
	else if (name && !is_given(object, "functionName"))
		r = set_name(&f, name, err);
	if (r == 0 && !is_given(object, "runtime")) {
		err_set(err, 0, "runtime: missing");
		r = err_hint(err, "stdio, python3, nodejs, custom or provided");
	}
	if (r == 0)
		r = apply(&f, object, err);
	if (r < 0)
		return r;
	*ret = f;
	memset(&f, 0, sizeof(f));
	return 0;
}

int function_update(struct function *f, json_t *object, struct err *err)
{
	_cleanup_(function_fini) struct function copy;
	memset(&copy, 0, sizeof(copy));
	autojson json_t *now = function_to_json(f);
	if (!now)
		return err_set(err, ENOMEM, "function %s", f->name);
	int r = function_parse(now, NULL, &copy, err);
	if (r == 0)
		r = apply(&copy, object, err);
	if (r < 0)
		return r;
	struct function old = *f;
	*f = copy;
	copy = old;
	return 0;
}

int function_code_parse(json_t *object, struct function_code *ret, struct err *err)
{
	struct raw {
		struct function_code code;
		json_t *checksum, *bucket, *key;
	} raw = { { NULL, NULL }, NULL, NULL, NULL };
	static const struct json_field fields[] = {
		{ "zipFile", JF_STR, offsetof(struct raw, code.zip_base64), false, 0, 0 },
		{ "blob", JF_STR, offsetof(struct raw, code.blob), false, 0, 0 },
		{ "checksum", JF_ANY, offsetof(struct raw, checksum), false, 0, 0 },
		{ "ossBucketName", JF_ANY, offsetof(struct raw, bucket), false, 0, 0 },
		{ "ossObjectName", JF_ANY, offsetof(struct raw, key), false, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};

	*ret = (struct function_code){ NULL, NULL };
	json_t *code = json_object_get(object, "code");
	if (!code || json_is_null(code))
		return 0;
	int r = json_read(code, fields, 0, &raw, "code", err);
	if (r < 0)
		return r;
	if (raw.checksum && !says_nothing(raw.checksum))
		return not_served(err, "code.checksum");
	if ((raw.bucket && !says_nothing(raw.bucket)) || (raw.key && !says_nothing(raw.key)))
		return not_served(err, "code.ossBucketName");
	if (raw.code.zip_base64 && raw.code.blob)
		return err_set(err, 0, "code: both zipFile and blob are given");
	if (raw.code.blob && !is_blob(raw.code.blob))
		return err_set(err, 0, "code.blob: must be sha256: and 64 hex digits");
	*ret = raw.code;
	return 0;
}

/* Whole numbers stay whole, so that the text of a stored function is stable. */
static json_t *milli_json(uint32_t milli)
{
	return milli % 1000 ? json_real(milli / 1000.0) : json_integer(milli / 1000);
}

static int put_lists(const struct function *f, json_t *o)
{
	json_t *env = json_object();
	int r = json_object_set_new(o, "environmentVariables", env);
	for (size_t i = 0; i < f->nenv && r == 0; i++)
		r = json_object_set_new(env, f->env[i].name, json_string(f->env[i].value));
	json_t *secrets = f->nsecrets ? json_object() : NULL;
	if (f->nsecrets)
		r |= json_object_set_new(o, "secrets", secrets);
	for (size_t i = 0; i < f->nsecrets && r == 0; i++)
		r = json_object_set_new(secrets, f->secrets[i].variable, json_string(f->secrets[i].name));
	json_t *layers = json_array();
	r |= json_object_set_new(o, "layers", layers);
	for (size_t i = 0; i < f->nlayers && r == 0; i++) {
		char arn[FUNCTION_LAYER_ARN_SIZE];
		function_layer_arn(&f->layers[i], arn);
		r = json_array_append_new(layers, json_string(arn));
	}
	return r;
}

/* Those from `from` on, before `to`. */
static json_t *words_json(char *const *words, size_t from, size_t to)
{
	json_t *a = json_array();
	for (size_t i = from; i < to && a; i++)
		if (json_array_append_new(a, json_string(words[i])) < 0) {
			json_decref(a);
			a = NULL;
		}
	return a;
}

static int put_custom(const struct function *f, json_t *o)
{
	if (f->runtime != FUNCTION_CUSTOM && f->runtime != FUNCTION_PROVIDED)
		return 0;
	return json_object_set_new(o, "customRuntimeConfig",
				   json_pack("{s:o, s:o, s:i}", "command", words_json(f->command, 0, f->ncommand - f->nargs), "args",
					     words_json(f->command, f->ncommand - f->nargs, f->ncommand), "port", (int)f->port));
}

static int put_lifecycle(const struct function *f, json_t *o)
{
	json_t *life = f->initializer || f->pre_stop ? json_object() : NULL;
	if (!life)
		return f->initializer || f->pre_stop ? -1 : 0;
	int r = 0;
	if (f->initializer)
		r = json_object_set_new(life, "initializer", json_pack("{s:s, s:i}", "handler", f->initializer, "timeout", (int)f->initializer_timeout_s));
	if (f->pre_stop)
		r |= json_object_set_new(life, "preStop", json_pack("{s:s, s:i}", "handler", f->pre_stop, "timeout", (int)f->pre_stop_timeout_s));
	return r | json_object_set_new(o, "instanceLifecycleConfig", life);
}

json_t *function_to_json(const struct function *f)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:s}", "functionName", f->name, "description",
			      f->description ? f->description : "", "runtime", f->runtime_as ? f->runtime_as : function_runtime_name(f->runtime),
			      "handler", f->handler ? f->handler : "", "memorySize", (int)f->memory_mb, "diskSize",
			      (int)f->disk_mb, "timeout", (int)f->timeout_s, "instanceConcurrency", 1,
			      "instanceIsolationMode", "REQUEST_EXCLUSIVE");
	int r = o ? 0 : -1;
	if (r == 0 && f->cpu_milli)
		r = json_object_set_new(o, "cpu", milli_json(f->cpu_milli));
	if (r == 0)
		r = put_lists(f, o);
	if (r == 0 && f->role)
		r = json_object_set_new(o, "role", json_sprintf("acs:ram::%s:role/%s", f->role_account ? f->role_account : "", f->role));
	if (r == 0)
		r = put_custom(f, o);
	if (r == 0)
		r = put_lifecycle(f, o);
	if (r == 0)
		return o;
	json_decref(o);
	return NULL;
}
