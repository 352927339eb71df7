/*
 * catalog - what is deployed: functions with their versions and aliases, the
 * layers they show at /opt, the code bundles that both were made from, and
 * which of those are unpacked.
 *
 * Everything is held in memory and is a copy of the database: reads never
 * wait. A change goes: name reserved, tenant known to keeper, layer unpacked,
 * row committed by the writer, then the copy in memory and the callback. So
 * what was answered is on disk, and a change that fails leaves no trace.
 *
 * A bundle is stored once whatever the number of tenants that uploaded it, but
 * a tenant can name only bundles it uploaded itself, and each is charged for
 * its own. A bundle that no state of a function names any more, deployed or
 * still held by a call, is removed with its layer; one that was uploaded and
 * never named, after CATALOG_BLOB_GRACE_MS.
 *
 * A layer is a bundle under a name and a number; it never changes, and a state
 * of a function that has it keeps it, also when it was deleted meanwhile.
 *
 * A version is a copy of a function's state under a number that never comes
 * twice; an alias names one, and may give shares of its calls to others.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "agent/api.h"
#include "agent/upload.h"
#include "base/err.h"
#include "plan/function.h"

struct catalog;
struct config;
struct event_base;
struct link;
struct stats;
struct writer;

enum {
	CATALOG_NAME_SIZE = 72, CATALOG_BLOB_GRACE_MS = 3600 * 1000, CATALOG_MESSAGE_MAX = 1200,
	CATALOG_VERSION_SIZE = 24,        /* "LATEST", or a number */
	CATALOG_ALIAS_MAX = 64,
	CATALOG_NOTE_MAX = FUNCTION_DESCRIPTION_MAX,
	CATALOG_WEIGHTS_MAX = 8,          /* additional versions of one alias */
	CATALOG_WEIGHT_ONE = 1000000,     /* weights are millionths */
	CATALOG_CONCURRENCY_MAX = 1000000,
	CATALOG_LICENSE_MAX = 256,
};

/* One version of a layer. */
struct catalog_layer {
	unsigned refs;
	struct catalog *catalog;          /* NULL: the catalog has ended */
	struct blob *blob;
	LIST_ENTRY(catalog_layer) entry;
	char tenant[CATALOG_NAME_SIZE], name[CATALOG_NAME_SIZE];
	uint64_t version;
	char digest[UPLOAD_HEX];
	char checksum[UPLOAD_CHECKSUM];
	uint64_t code_size;
	char note[CATALOG_NOTE_MAX + 1], license[CATALOG_LICENSE_MAX + 1];
	char *runtimes;                   /* compatibleRuntime: the text of a JSON array */
	int64_t created_ms;
	bool deleted;
};

/*
 * One state of a function, the latest or a version; never changed once it is visible, so a call in flight keeps what it
 * began with, its code included.
 */
struct catalog_function {
	unsigned refs;
	struct catalog *catalog;          /* NULL: the catalog has ended, or a unit test made it */
	struct blob *blob;
	LIST_ENTRY(catalog_function) entry;
	char tenant[CATALOG_NAME_SIZE];
	char id[37];
	struct function f;
	char digest[UPLOAD_HEX];
	char checksum[UPLOAD_CHECKSUM];
	uint64_t code_size;
	int64_t created_ms, modified_ms;
	uint64_t revision; /* the entity tag */
	uint64_t number;   /* of the version; 0: the latest state */
	char version[CATALOG_VERSION_SIZE];
	char note[CATALOG_NOTE_MAX + 1]; /* the version's description */
	int64_t published_ms;
	struct catalog_layer *layer[FUNCTION_LAYERS_MAX]; /* of f.layers, in that order: referenced */
	size_t nlayers;
};
struct catalog_function *catalog_function_ref(struct catalog_function *f);
void catalog_function_unref(struct catalog_function *f);

struct catalog_alias {
	char name[CATALOG_ALIAS_MAX + 1];
	char id[37];
	char note[CATALOG_NOTE_MAX + 1];
	uint64_t version;                 /* takes what the weights leave */
	size_t nweights;
	struct catalog_weight {
		uint64_t version;
		uint32_t millionths;
	} weight[CATALOG_WEIGHTS_MAX];
	int64_t created_ms, modified_ms;
	uint64_t revision;
};

/* What a change came to: code is API_CODE_MAX when it is done. */
struct catalog_result {
	enum api_code code;
	char message[CATALOG_MESSAGE_MAX];
	struct catalog_function *function; /* borrowed, like the other; NULL where it is about none */
	const struct catalog_alias *alias;
	const struct catalog_layer *layer;
};
typedef void catalog_fn(void *arg, const struct catalog_result *r); /* exactly once, from the loop or from inside the call */

/* Loads everything; the writer is idle. dir is serve's own directory (blobs/ is made in it). */
int catalog_new(struct catalog **ret, struct event_base *base, const struct config *config, const char *dir,
		struct writer *writer, struct stats *stats, struct err *err);
struct catalog *catalog_free(struct catalog *c);

/* keeper is there: compare layers, unpack what is missing. */
void catalog_connect(struct catalog *c, struct link *link);

/* A state of a function of the tenant, deployed or under way, that has the secret; NULL: none. Borrowed. */
const struct catalog_function *catalog_secret_user(struct catalog *c, const char *tenant, const char *secret);

/* NULL when there is none. Borrowed. */
struct catalog_function *catalog_find(struct catalog *c, const char *tenant, const char *name);

/* The tenant's functions whose name begins with prefix, from the name `from` on, in order of names. The number
 * stored; *more is the name that comes next, or NULL. */
size_t catalog_list(struct catalog *c, const char *tenant, const char *prefix, const char *from, size_t limit,
		    struct catalog_function **out, const char **more);

/* Takes *f over (it is then empty). Code must be put before. */
void catalog_create(struct catalog *c, const char *tenant, struct function *f, const char *digest, catalog_fn *fn,
		    void *arg);
/* `old` is what the change was computed from: a newer one gives ConcurrentUpdateError. digest NULL: the code stays. */
void catalog_update(struct catalog *c, struct catalog_function *old, struct function *f, const char *digest,
		    catalog_fn *fn, void *arg);
void catalog_delete(struct catalog *c, struct catalog_function *old, catalog_fn *fn, void *arg);

/* ---- versions and aliases (catalog-versions.c) -----------------------------
 * All are about a function that catalog_find() finds; another change of its versions, aliases or limits under way at the
 * same time gives ConcurrentUpdateError. */

/*
 * The state that a qualifier names: NULL, "" and LATEST, a version's number, or an alias. weigh: an alias' weights decide
 * by chance, once for each call; else it is the alias' own version. API_CODE_MAX and *ret borrowed, or why not with err.
 */
enum api_code catalog_resolve(struct catalog *c, const char *tenant, const char *name, const char *qualifier, bool weigh,
			      struct catalog_function **ret, struct err *err);

/* Which version a call gets, draw being evenly spread over 0 .. CATALOG_WEIGHT_ONE - 1. Pure. */
uint64_t catalog_alias_pick(const struct catalog_alias *a, uint32_t draw);

/*
 * Weights of an alias from "additionalVersionWeight", {"2": 0.1, ...}: at most CATALOG_WEIGHTS_MAX numbers of versions other
 * than a->version, each 0 to 1 in steps of a millionth, together at most 1. Pure. -EINVAL with err, and *a is as it was.
 */
int catalog_alias_weights(struct catalog_alias *a, json_t *weights, struct err *err);
json_t *catalog_alias_weights_json(const struct catalog_alias *a); /* a new reference, or NULL without memory */

void catalog_publish(struct catalog *c, struct catalog_function *f, const char *note, catalog_fn *fn, void *arg);
struct catalog_function *catalog_find_version(struct catalog *c, const char *tenant, const char *name, uint64_t number);
/* Refused while an alias names it. */
void catalog_delete_version(struct catalog *c, struct catalog_function *version, catalog_fn *fn, void *arg);
/* In order of numbers, from `from` on (0: from the end they begin with); *more is the number that comes next, or 0. */
size_t catalog_list_versions(struct catalog *c, const struct catalog_function *f, uint64_t from, bool forward, size_t limit,
			     struct catalog_function **out, uint64_t *more);

/* Borrowed until the loop goes on. */
const struct catalog_alias *catalog_find_alias(struct catalog *c, const struct catalog_function *f, const char *alias);
/* As catalog_list(). */
size_t catalog_list_aliases(struct catalog *c, const struct catalog_function *f, const char *prefix, const char *from, size_t limit,
			    const struct catalog_alias **out, const char **more);
/* Create it or change it: name, version, weights and note of *a count. Every version it names must be there. */
void catalog_put_alias(struct catalog *c, const struct catalog_function *f, const struct catalog_alias *a, catalog_fn *fn, void *arg);
void catalog_delete_alias(struct catalog *c, const struct catalog_function *f, const char *alias, catalog_fn *fn, void *arg);

/* Calls of the function (all versions) at once; -1: no limit of its own. */
int64_t catalog_concurrency(struct catalog *c, const struct catalog_function *f);
void catalog_set_concurrency(struct catalog *c, const struct catalog_function *f, int64_t calls, catalog_fn *fn, void *arg);

/* ---- layers (catalog-layers.c) --------------------------------------------- */

struct catalog_layer_wish {
	const char *name, *digest, *note, *license, *runtimes; /* none NULL; lengths were checked */
};
/* A new version. Its bundle must be put before. */
void catalog_create_layer(struct catalog *c, const char *tenant, const struct catalog_layer_wish *w, catalog_fn *fn, void *arg);
/* NULL when there is none. Borrowed. */
struct catalog_layer *catalog_find_layer(struct catalog *c, const char *tenant, const char *name, uint64_t version);
/* The latest of each name; as catalog_list(). */
size_t catalog_list_layers(struct catalog *c, const char *tenant, const char *prefix, const char *from, size_t limit,
			   struct catalog_layer **out, const char **more);
/* Upwards from version `from`; *more is the number that comes next, or 0. */
size_t catalog_list_layer_versions(struct catalog *c, const char *tenant, const char *name, uint64_t from, size_t limit,
				   struct catalog_layer **out, uint64_t *more);
/* Nobody can name it from then on; those that have it keep it. */
void catalog_delete_layer(struct catalog *c, struct catalog_layer *l, catalog_fn *fn, void *arg);

/* Store a finished upload (taken over). */
void catalog_put_blob(struct catalog *c, const char *tenant, struct upload *u, const struct upload_result *digest,
		      catalog_fn *fn, void *arg);
bool catalog_has_blob(struct catalog *c, const char *tenant, const char *digest);
int catalog_open_blob(struct catalog *c, const char *tenant, const char *digest); /* a descriptor or -errno */
int catalog_blob_dir(const struct catalog *c);

/*
 * What an upload under way may come to, counted against tenant-disk-quota from its first byte on: of `want` bytes, max
 * are allowed (bound: fewer, for the quota's sake). digest: of a bundle that is said to come again, or NULL. Give it
 * back before catalog_put_blob(), which counts for itself. NULL: no memory.
 */
struct catalog_charge {
	struct catalog *catalog;
	char tenant[CATALOG_NAME_SIZE];
	uint64_t max;
	bool bound;
	LIST_ENTRY(catalog_charge) entry;
};
struct catalog_charge *catalog_charge(struct catalog *c, const char *tenant, const char *digest, uint64_t want);
struct catalog_charge *catalog_discharge(struct catalog_charge *ch); /* NULL */
void catalog_quota_text(const struct catalog *c, const char *tenant, char *out, size_t size); /* why more is refused */

/* Bytes of bundles and layers charged to the tenant, uploads under way included. */
uint64_t catalog_tenant_bytes(const struct catalog *c, const char *tenant);
