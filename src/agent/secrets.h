/*
 * secrets - texts that tenants keep under a name and that functions get as
 * environment variables; what is on disk and what lies in this process is
 * sealed with a key of the operator's (agent/seal.h), together with whose
 * it is, so that a row moved to another tenant or name does not open.
 *
 * A text is opened for the moment in which a sandbox' environment is made, and
 * nobody can read one back over the API. All that was sealed with another key
 * than the first is sealed again as soon as that key is the first one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/api.h"
#include "agent/keyring.h"
#include "agent/seal.h"
#include "base/buf.h"
#include "base/err.h"

struct config;
struct secrets;
struct stats;
struct writer;

enum { SECRET_NAME_SIZE = 72, SECRET_BYTES_MAX = 4096 };

struct secret {
	char tenant[SECRET_NAME_SIZE], name[SECRET_NAME_SIZE];
	char key_id[KEYRING_ID_MAX + 1];
	int64_t created_ms, modified_ms; /* of the text: being sealed again is no change */
	size_t len;                      /* sealed */
	uint8_t sealed[SECRET_BYTES_MAX + SEAL_EXTRA];
};

/* API_CODE_MAX with *s borrowed until the loop goes on (NULL: it is gone), or why not with text. Once, from the loop or from inside the call. */
typedef void secrets_fn(void *arg, enum api_code code, const char *text, const struct secret *s);

/* The writer is idle. keys: wiped, for they are here then. */
int secrets_new(struct secrets **ret, const struct config *c, struct writer *w, struct keyring *keys, struct stats *stats, struct err *err);
struct secrets *secrets_free(struct secrets *t); /* NULL; wipes all */
/* Nothing is written from now on: the writer goes. Later changes fail. */
void secrets_close(struct secrets *t);
/* Other keys from now on; keys is wiped. */
void secrets_reload(struct secrets *t, struct keyring *keys);

/* Borrowed until the loop goes on; NULL: none. */
const struct secret *secrets_find(const struct secrets *t, const char *tenant, const char *name);
/* Those of the tenant whose name begins with prefix, from the name `from` on, in order of names; *more: the next one, or NULL. */
size_t secrets_list(const struct secrets *t, const char *tenant, const char *prefix, const char *from, size_t limit, const struct secret **out,
		    const char **more);

/* 1 to SECRET_BYTES_MAX bytes. Made or changed; on disk when fn hears of it. */
void secrets_put(struct secrets *t, const char *tenant, const char *name, const void *text, size_t len, secrets_fn *fn, void *arg);
/* Nobody finds it from now on, unless it cannot be deleted. */
void secrets_delete(struct secrets *t, const struct secret *s, secrets_fn *fn, void *arg);

/* Append the text. -ENOENT: no such secret; -ENOKEY: none of the keys opens it; -ENOMEM, -EMSGSIZE of *ret; with err. Wipe *ret. */
int secrets_open(const struct secrets *t, const char *tenant, const char *name, struct buf *ret, struct err *err);
