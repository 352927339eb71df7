/*
 * principals - who may do what: the file fcnode-principals(5), read strictly.
 *
 * A principal acts for one tenant, or is an operator and acts for any, or is
 * what functions of a tenant act as. It has access keys (for TCP) and grants; a grant is a set of permissions, narrowed
 * to functions by name or not. keeper reads the file as root and hands its
 * text to serve; both parse it, so that what is refused is refused at once.
 * A table never changes after it was parsed; a new one takes its place, and
 * requests under way keep theirs (reference count). No text here ever holds a
 * secret: errors name the line.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum permission {
#define PERMISSION(name, action, scope, holder, text) PERMISSION_##name,
#include "agent/permissions.def"
#undef PERMISSION
	PERMISSION_MAX,
	PERMISSION_NONE = PERMISSION_MAX /* of a route: whoever is known may */
};

enum {
	PRINCIPALS_MAX = 256,
	PRINCIPAL_KEYS_MAX = 4,          /* of one principal */
	PRINCIPAL_GRANTS_MAX = 8,
	PRINCIPAL_NAME_MAX = 64,
	PRINCIPALS_FILE_MAX = 256 << 10,
	ACCESS_KEY_ID_MAX = 64,
	ACCESS_KEY_SECRET_MIN = 16,
	ACCESS_KEY_SECRET_MAX = 128,
};

struct grant {
	uint64_t permissions; /* bit n: enum permission n */
	char function[PRINCIPAL_NAME_MAX + 2]; /* "" all, "name", or "begin*" */
};

struct access_key {
	char id[ACCESS_KEY_ID_MAX + 1];
	char secret[ACCESS_KEY_SECRET_MAX + 1];
	uint8_t digest[16]; /* of the id (auth.c fills it in) */
};

struct principal {
	char name[PRINCIPAL_NAME_MAX + 8];   /* of the file, or "root", "uid:1000" */
	char tenant[PRINCIPAL_NAME_MAX + 8]; /* whom it acts for; of an operator: unless it names another */
	bool is_operator;
	bool is_function;                    /* a role that functions have: no keys, no grants but those it is given */
	size_t grants, keys;
	struct grant grant[PRINCIPAL_GRANTS_MAX];
	struct access_key key[PRINCIPAL_KEYS_MAX];
};

struct principals {
	unsigned refs;
	size_t count, keys;
	struct principal *list[PRINCIPALS_MAX];
};

/* text is of len bytes. *ret has one reference. -EINVAL with the line in err, or -ENOMEM. */
int principals_parse(const char *text, size_t len, struct principals **ret, struct err *err);
struct principals *principals_ref(struct principals *t);
struct principals *principals_unref(struct principals *t); /* NULL; wipes the secrets with the last one */

/* NULL when there is none. Borrowed. */
const struct principal *principals_find(const struct principals *t, const char *name);

/* Everything that the role has, as for peers of the Unix socket that no file mentions. */
void principal_init(struct principal *p, bool is_operator, const char *tenant);

const char *permission_action(enum permission permission); /* "fc:InvokeFunction" */
bool permission_is_of_function(enum permission permission);
const char *principal_role(const struct principal *p); /* "operator", "tenant", "function" */

/* function NULL: on any one at all. */
bool principal_may(const struct principal *p, enum permission permission, const char *function);
bool grant_covers(const struct grant *g, const char *function);
