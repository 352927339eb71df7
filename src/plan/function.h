/*
 * function - a function as its author describes it: fcnode-function(5).
 *
 * One struct for the manifest of `fc-run invoke`, the bodies of CreateFunction
 * and UpdateFunction, the stored form and the reply (the field names of the
 * 2023-03-30 API). Read strictly: a field nobody knows is refused, a field of
 * the API that is not served yet is refused by name. Everything in the struct
 * is owned by it. Pure: no system calls.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* What answers inside. X(id, name, runtime directory below images/, or NULL) */
#define FUNCTION_RUNTIMES(X)       \
	X(STDIO, stdio, NULL)      \
	X(PYTHON3, python3, "python3") \
	X(NODEJS, nodejs, "nodejs") \
	X(CUSTOM, custom, NULL)    \
	X(PROVIDED, provided, NULL)
enum function_runtime {
#define X(upper, lower, dir) FUNCTION_##upper,
	FUNCTION_RUNTIMES(X)
#undef X
	FUNCTION_RUNTIME_MAX
};

enum {
	FUNCTION_NAME_MAX = 64,
	FUNCTION_HANDLER_MAX = 128,
	FUNCTION_DESCRIPTION_MAX = 256,
	FUNCTION_ENV_MAX = 128,            /* variables */
	FUNCTION_ENV_BYTES_MAX = 4096,     /* names and values in all */
	FUNCTION_SECRETS_MAX = 16,
	FUNCTION_LAYERS_MAX = 5,
	FUNCTION_MEMORY_MB_MIN = 64, FUNCTION_MEMORY_MB_MAX = 65536, FUNCTION_MEMORY_MB = 512,
	FUNCTION_CPU_MILLI_MIN = 50, FUNCTION_CPU_MILLI_MAX = 64000,
	FUNCTION_DISK_MB_MIN = 1, FUNCTION_DISK_MB_MAX = 65536, FUNCTION_DISK_MB = 512,
	FUNCTION_TIMEOUT_S_MAX = 86400, FUNCTION_TIMEOUT_S = 60,
	FUNCTION_INIT_TIMEOUT_S_MAX = 600, FUNCTION_INIT_TIMEOUT_S = 60,
	FUNCTION_PRE_STOP_TIMEOUT_S_MAX = 90, FUNCTION_PRE_STOP_TIMEOUT_S = 3,
	FUNCTION_COMMAND_MAX = 64,         /* words of customRuntimeConfig.command and .args */
	FUNCTION_COMMAND_BYTES_MAX = 4096,
	FUNCTION_PORT = 9000,              /* customRuntimeConfig.port */
};

#define FUNCTION_REGION "local"                 /* what clients that want to hear of one are told */
#define FUNCTION_FUNCTION_API "127.0.0.1:9002"  /* inside each sandbox of a function that has a role (MSG_FUNCTION_API_PORT) */
#define FUNCTION_RUNTIME_API "127.0.0.1:9001"   /* inside each sandbox of runtime provided (MSG_RUNTIME_API_PORT) */

struct function_env {
	char *name, *value;
};

/* A variable whose value is a text that the node keeps for the tenant. */
struct function_secret {
	char *variable, *name;
};

/* A version of a layer, as functions name it. */
struct function_layer {
	char account[FUNCTION_NAME_MAX + 1]; /* "": the function's own */
	char name[FUNCTION_NAME_MAX + 1];
	uint64_t version;
};

/* "acs:fc:REGION:ACCOUNT:layers/NAME/versions/NUMBER"; region and account may be empty. 0, or -EINVAL with err, beginning with `where`. */
int function_layer_parse(const char *arn, const char *where, struct function_layer *ret, struct err *err);
enum { FUNCTION_LAYER_ARN_SIZE = 200 };
void function_layer_arn(const struct function_layer *l, char out[FUNCTION_LAYER_ARN_SIZE]);

struct function {
	char *name;                        /* never NULL after a successful create */
	char *description;                 /* the strings below: NULL is "not given" */
	enum function_runtime runtime;
	const char *runtime_as;            /* as its author called it, "custom.debian12"; static */
	char *handler;                     /* stdio: path below /code; python3, nodejs: module.function; custom, provided: any text */
	char **command;                    /* custom, provided: customRuntimeConfig.command, then .args; none: /code/bootstrap */
	size_t ncommand, nargs;            /* words in all; of them, args */
	uint16_t port;                     /* custom: where its web server listens */
	uint32_t memory_mb;
	uint32_t cpu_milli;                /* 0: no limit */
	uint32_t disk_mb;                  /* size of /tmp */
	uint32_t timeout_s;
	char *initializer;                 /* handler run once before the first call, or NULL */
	uint32_t initializer_timeout_s;
	char *pre_stop;                    /* custom: called before the sandbox ends, or NULL */
	uint32_t pre_stop_timeout_s;
	struct function_env *env;
	size_t nenv;
	struct function_secret *secrets;
	size_t nsecrets;
	char *role;                        /* what its calls of the function API may do, or NULL: it cannot call it */
	char *role_account;                /* as its author wrote it; NULL: the function's own */
	struct function_layer *layers;     /* shown at /opt, the first on top */
	size_t nlayers;
};

/* Defaults of everything but the name. */
void function_init(struct function *f);
void function_fini(struct function *f);

/* A new function from an object with any order of fields; functionName and
 * runtime are required (functionName not when `name` is given: it is then the
 * default, a manifest's). The member `code` is left to function_code_parse().
 * On failure *ret is not touched. */
int function_parse(json_t *object, const char *name, struct function *ret, struct err *err);

/* The rules between fields (a native runtime needs a handler, ...), for who set fields himself. 0 or -EINVAL with err set. */
int function_check(const struct function *f, struct err *err);

/* Change what the object names (PUT: any subset) and nothing when it is refused. */
int function_update(struct function *f, json_t *object, struct err *err);

/* Where the code of a create or update body is; borrowed from the object. All NULL: the body names none. */
struct function_code {
	const char *zip_base64;            /* code.zipFile */
	const char *blob;                  /* code.blob: "sha256:<64 hex>", put beforehand to /blobs */
};
int function_code_parse(json_t *object, struct function_code *ret, struct err *err);

/* The stable object of the API (keys in a fixed order): a new reference, or NULL without memory.
 * function_parse() reads it back to an equal function. Print it with JSON_REAL_PRECISION(6) (cpu). */
json_t *function_to_json(const struct function *f);

const char *function_runtime_name(enum function_runtime runtime);
/* "python3": below images/; NULL for stdio. */
const char *function_runtime_dir(enum function_runtime runtime);
/* 0, or -EINVAL with err naming the ones that are served. *as, unless NULL: the name as given, static ("custom.debian12"). */
int function_runtime_parse(const char *name, enum function_runtime *ret, const char **as, struct err *err);

/* May a user set it? 0 or -EINVAL with err set: [A-Za-z_][A-Za-z0-9_]*, not FC_* */
int function_env_check(const char *name, const char *value, struct err *err);
/* Add or replace one variable (fc-run --env). */
int function_env_set(struct function *f, const char *name, const char *value, struct err *err);
