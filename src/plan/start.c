/* The payload half of a function's start (wish.h): argv, env and cwd. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "plan/compile.h"
#include "plan/wish.h"

enum { ENV_MAX = 64 + FUNCTION_ENV_MAX + FUNCTION_SECRETS_MAX };

/* "K=V" words, each name once: getenv(3) finds the first, a shell the last. */
struct env {
	char *words[ENV_MAX + 1];
	size_t n;
	int status;
};

static void env_fini(struct env *e)
{
	for (size_t i = 0; i < e->n; i++) {
		explicit_bzero(e->words[i], strlen(e->words[i])); /* secrets and credentials */
		free(e->words[i]);
	}
}

static void env_put(struct env *e, char *word)
{
	if (!word) {
		e->status = -ENOMEM;
		return;
	}
	size_t len = strcspn(word, "=");
	for (size_t i = 0; i < e->n; i++) {
		if (strncmp(e->words[i], word, len + 1) == 0) {
			free(e->words[i]);
			e->words[i] = word;
			return;
		}
	}
	if (e->n == ENV_MAX) {
		free(word);
		e->status = -E2BIG;
		return;
	}
	e->words[e->n++] = word;
	e->words[e->n] = NULL;
}

static void env_set(struct env *e, const char *name, const char *value)
{
	char *word = NULL;
	if (value && asprintf(&word, "%s=%s", name, value) < 0)
		word = NULL;
	if (value)
		env_put(e, word);
}

static void env_number(struct env *e, const char *name, uint64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	env_set(e, name, text);
}

/* A native runtime's function has a handler (function.c); a stdio one may leave its program to be found. */
static const char *handler_of(const struct function_start *s)
{
	return s->function->handler ? s->function->handler : s->entry ? s->entry : "bootstrap";
}

static void put_call(struct env *e, const struct function_start *s)
{
	env_set(e, "FC_REQUEST_ID", s->request_id);
	if (s->deadline_ms > 0)
		env_number(e, "FC_DEADLINE_MS", (uint64_t)s->deadline_ms);
	env_set(e, "TRACEPARENT", s->traceparent);
	env_set(e, "TRACESTATE", s->tracestate);
}

static void put_server(struct env *e, const struct function *f)
{
	env_number(e, "FC_SERVER_PORT", f->port);
	env_number(e, "FC_CUSTOM_LISTEN_PORT", f->port);
	if (f->pre_stop)
		env_set(e, "FC_INSTANCE_LIFECYCLE_PRE_STOP_HANDLER", f->pre_stop);
}

/* What programs made for AWS Lambda look for; a function's own variables may say otherwise. */
static void put_lambda_defaults(struct env *e)
{
	env_set(e, "TZ", ":UTC");
	env_set(e, "LD_LIBRARY_PATH", "/var/task:/var/task/lib:/opt/lib");
	env_set(e, "AWS_REGION", FUNCTION_REGION);
	env_set(e, "AWS_DEFAULT_REGION", FUNCTION_REGION);
}

/* The Runtime API, in the words of both its dialects. */
static void put_runtime_api(struct env *e, const struct function_start *s)
{
	const struct function *f = s->function;
	env_set(e, "AWS_LAMBDA_RUNTIME_API", FUNCTION_RUNTIME_API);
	env_set(e, "FC_RUNTIME_API", FUNCTION_RUNTIME_API);
	env_set(e, "_HANDLER", handler_of(s));
	env_set(e, "LAMBDA_TASK_ROOT", "/var/task");
	env_set(e, "LAMBDA_RUNTIME_DIR", "/var/runtime");
	env_set(e, "AWS_LAMBDA_FUNCTION_NAME", f->name ? f->name : "function");
	env_set(e, "AWS_LAMBDA_FUNCTION_VERSION", s->version_id && strcmp(s->version_id, "LATEST") != 0 ? s->version_id : "$LATEST");
	env_number(e, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", f->memory_mb);
	env_set(e, "AWS_LAMBDA_LOG_GROUP_NAME", f->name ? f->name : "function");
	env_set(e, "AWS_LAMBDA_LOG_STREAM_NAME", s->instance_id);
	env_set(e, "AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand");
}

/* Under the names that each family's clients look for. */
static void put_credentials(struct env *e, const struct function_credentials *c, bool lambda)
{
	env_set(e, "ALIBABA_CLOUD_ACCESS_KEY_ID", c->id);
	env_set(e, "ALIBABA_CLOUD_ACCESS_KEY_SECRET", c->secret);
	env_set(e, "ALIBABA_CLOUD_SECURITY_TOKEN", c->token);
	if (!lambda)
		return;
	env_set(e, "AWS_ACCESS_KEY_ID", c->id);
	env_set(e, "AWS_SECRET_ACCESS_KEY", c->secret);
	env_set(e, "AWS_SESSION_TOKEN", c->token);
}

/* The variables of a Function Compute runtime, the same for every kind. */
static void put_platform(struct env *e, const struct function_start *s)
{
	const struct function *f = s->function;
	const char *version = s->version_id ? s->version_id : "LATEST";

	env_set(e, "PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/opt/bin");
	env_set(e, "HOME", "/tmp");
	env_set(e, "LANG", "C.UTF-8");
	if (f->nlayers)
		env_set(e, "LD_LIBRARY_PATH", "/opt/lib");
	if (f->runtime == FUNCTION_PROVIDED)
		put_lambda_defaults(e);
	for (size_t i = 0; i < f->nenv; i++)
		env_set(e, f->env[i].name, f->env[i].value);
	for (size_t i = 0; i < f->nsecrets && s->secret_text; i++)
		env_set(e, f->secrets[i].variable, s->secret_text[i]);

	env_set(e, "FC_FUNC_CODE_PATH", "/code");
	env_set(e, "FC_FUNCTION_NAME", f->name ? f->name : "function");
	env_set(e, "FC_FUNCTION_HANDLER", handler_of(s));
	env_number(e, "FC_FUNCTION_MEMORY_SIZE", f->memory_mb);
	env_number(e, "FC_TIMEOUT", f->timeout_s);
	env_set(e, "FC_RUNTIME", function_runtime_name(f->runtime));
	env_set(e, "FC_FUNCTION_VERSION", version);
	env_set(e, "FC_VER_ID", version);
	env_set(e, "FC_QUALIFIER", s->qualifier);
	env_set(e, "FC_INSTANCE_ID", s->instance_id);
	env_set(e, "FC_ACCOUNT_ID", s->account_id);
	env_set(e, "FC_REGION", s->region);
	put_credentials(e, &s->credentials, f->runtime == FUNCTION_PROVIDED);
	if (f->initializer) {
		env_set(e, "FC_FUNCTION_INITIALIZER", f->initializer);
		env_number(e, "FC_INITIALIZATION_TIMEOUT", f->initializer_timeout_s);
	}
	if (function_runtime_dir(f->runtime))
		env_number(e, "FC_CHANNEL_FD", WISH_CHANNEL_FD);
	else if (f->runtime == FUNCTION_STDIO)
		put_call(e, s);
	else if (f->runtime == FUNCTION_CUSTOM)
		put_server(e, f);
	else if (f->runtime == FUNCTION_PROVIDED)
		put_runtime_api(e, s);
}

static int env_build(struct env *e, const struct function_start *s, struct err *err)
{
	put_platform(e, s);
	for (const char *const *x = s->extra_env; x && *x; x++) {
		if (**x == '=' || !strchr(*x, '='))
			return err_set(err, 0, "environment variable %.64s: must be NAME=VALUE", *x);
		env_put(e, strdup(*x));
	}
	if (e->status < 0)
		return err_set(err, -e->status, "the function's environment (at most %d variables)", ENV_MAX);
	return 0;
}

int plan_function_payload(const struct function_start *s, struct buf *payload, struct err *err)
{
	const struct function *f = s->function;
	_cleanup_(env_fini) struct env e = { .n = 0, .status = 0 };
	int r = env_build(&e, s, err);
	if (r < 0)
		return r;

	autofree char *program = NULL;
	if (f->runtime == FUNCTION_STDIO && asprintf(&program, "/code/%s", handler_of(s)) < 0) {
		program = NULL;
		return err_set(err, ENOMEM, "the function's arguments");
	}
	const char *const stdio[] = { program, NULL };
	static const char *const bootstrap[] = { "/code/bootstrap", NULL };
	const char *own[FUNCTION_COMMAND_MAX + 1] = { NULL };
	for (size_t i = 0; i < f->ncommand; i++)
		own[i] = f->command[i];
	/* -I: nothing from the environment or the working directory changes what the runtime imports. */
	static const char *const python3[] = { "/usr/bin/python3", "-I", "/var/fc/runtime/fc_runtime.py", NULL };
	static const char *const nodejs[] = { "/usr/bin/node", "/var/fc/runtime/fc-runtime.js", NULL };
	const char *const *const argv[FUNCTION_RUNTIME_MAX] = {
		[FUNCTION_STDIO] = stdio, [FUNCTION_PYTHON3] = python3, [FUNCTION_NODEJS] = nodejs,
		[FUNCTION_CUSTOM] = f->ncommand ? own : bootstrap, [FUNCTION_PROVIDED] = f->ncommand ? own : bootstrap,
	};
	return payload_build(argv[f->runtime], (const char *const *)e.words, "/code", payload, err);
}
