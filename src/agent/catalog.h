/*
 * catalog - what is deployed: functions, the code bundles they were made from,
 * and which of those are unpacked.
 *
 * Everything is held in memory and is a copy of the database: reads never
 * wait. A change goes: name reserved, tenant known to keeper, layer unpacked,
 * row committed by the writer, then the copy in memory and the callback. So
 * what was answered is on disk, and a change that fails leaves no trace.
 *
 * A bundle is stored once whatever the number of tenants that uploaded it, but
 * a tenant can name only bundles it uploaded itself, and each is charged for
 * its own. A bundle that no function names any more is removed with its layer;
 * one that was uploaded and never named, after CATALOG_BLOB_GRACE_MS.
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

enum { CATALOG_NAME_SIZE = 72, CATALOG_BLOB_GRACE_MS = 3600 * 1000, CATALOG_MESSAGE_MAX = 1200 };

/* One state of a function; never changed once it is visible, so a call in flight keeps what it began with. */
struct catalog_function {
	unsigned refs;
	char tenant[CATALOG_NAME_SIZE];
	char id[37];
	struct function f;
	char digest[UPLOAD_HEX];
	char checksum[UPLOAD_CHECKSUM];
	uint64_t code_size;
	int64_t created_ms, modified_ms;
	uint64_t revision; /* the entity tag */
};
struct catalog_function *catalog_function_ref(struct catalog_function *f);
void catalog_function_unref(struct catalog_function *f);

/* What a change came to: code is API_CODE_MAX when it is done. function or blob may be NULL. */
struct catalog_result {
	enum api_code code;
	char message[CATALOG_MESSAGE_MAX];
	struct catalog_function *function; /* borrowed */
};
typedef void catalog_fn(void *arg, const struct catalog_result *r); /* exactly once, from the loop or from inside the call */

/* Loads everything; the writer is idle. dir is serve's own directory (blobs/ is made in it). */
int catalog_new(struct catalog **ret, struct event_base *base, const struct config *config, const char *dir,
		struct writer *writer, struct stats *stats, struct err *err);
struct catalog *catalog_free(struct catalog *c);

/* keeper is there: compare layers, unpack what is missing. */
void catalog_connect(struct catalog *c, struct link *link);

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
