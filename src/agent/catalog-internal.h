/*
 * catalog-internal - what catalog.c (functions and their changes),
 * catalog-versions.c (versions, aliases, limits) and catalog-blobs.c (bundles,
 * layers, collection) share.
 */
#pragma once

#include <event2/event.h>
#include <sys/queue.h>

#include "agent/catalog.h"
#include "agent/config.h"
#include "agent/link.h"
#include "agent/stats.h"
#include "agent/writer.h"

struct blob {
	char tenant[CATALOG_NAME_SIZE];
	char digest[UPLOAD_HEX];
	char checksum[UPLOAD_CHECKSUM];
	uint64_t size;
	int64_t created_ms;
	struct tree {              /* it may be a function's code and a layer at /opt at once: one directory for each */
		bool unpacked;
		unsigned refs;     /* states of functions or layers, deployed or held by calls, and changes in flight that name it */
		uint64_t bytes, files;
	} tree[MSG_KIND_MAX];
	LIST_ENTRY(blob) entry;
};

enum change_kind { CHANGE_CREATE, CHANGE_UPDATE, CHANGE_DELETE, CHANGE_LAYER, CHANGE_RESTORE /* unpack again after a restart */ };

/* One change on its way: unpacking, then the row, then the callback. */
struct change {
	struct writer_job job; /* first: a job is its change */
	struct catalog *catalog;
	enum change_kind kind;
	struct catalog_function *old, *next;
	struct entry *made;     /* create: what goes into the table */
	struct catalog_layer *layer; /* to be made */
	enum msg_layer_kind tree;
	struct blob *blob;      /* holds a reference, of its tree */
	char *config;           /* text of the row */
	bool unpacking, quota_bound;
	uint64_t granted;       /* what the layer may come to, while unpacking */
	catalog_fn *fn;
	void *arg;
	TAILQ_ENTRY(change) entry, wait;
};

struct edit; /* catalog-versions.c: a change of what hangs on a function */

/* A function: its latest state and what hangs on its name. */
struct entry {
	struct catalog_function *latest;
	struct catalog_function **versions; /* by number */
	size_t nversions;
	struct catalog_alias *aliases;      /* by name */
	size_t naliases;
	uint64_t last_version;
	int64_t concurrency;                /* -1: no limit of its own */
	struct edit *edit;                  /* one at a time, and never with the function's deletion */
};

struct drop { /* a layer that keeper is to remove; again while it is in use */
	char digest[UPLOAD_HEX];
	enum msg_layer_kind kind;
	struct catalog *catalog;
	bool asked;
	LIST_ENTRY(drop) entry;
};

struct catalog {
	const struct config *config;
	struct writer *writer;
	struct link *link;
	struct stats *stats;
	int blob_dir;
	struct event *sweep;
	struct entry **functions; /* ordered by tenant, then name */
	size_t count, cap;
	size_t unpacks;                       /* in flight */
	bool ending;
	LIST_HEAD(, blob) blobs;
	LIST_HEAD(, drop) drops;
	TAILQ_HEAD(changes, change) changes, waiting;
	LIST_HEAD(, put) pending_puts;
	LIST_HEAD(, catalog_charge) charges;
	LIST_HEAD(, catalog_function) states; /* all there are */
	struct layers *layers;                /* catalog-layers.c */
};

/* catalog.c */
struct entry *catalog_entry(struct catalog *c, const char *tenant, const char *name); /* or NULL */
bool catalog_is_deleting(struct catalog *c, const struct entry *e);
void catalog_fail(catalog_fn *fn, void *arg, enum api_code code, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
struct change *catalog_change_new(struct catalog *c, enum change_kind kind, catalog_fn *fn, void *arg);
void catalog_change_begin(struct change *ch); /* blob and what is to become of it are set: keeper knows the tenant, then the tree */
void catalog_change_end(struct change *ch, const struct catalog_result *r);
struct catalog_function *catalog_state_new(struct catalog *c, struct blob *b); /* one reference; takes one of the bundle's */
int catalog_bind_state(sqlite3_stmt *s, const struct catalog_function *f, const char *config); /* ?1 to ?10, CATALOG_COLUMNS */
#define CATALOG_COLUMNS "tenant, name, id, config, digest, code_size, checksum, created_ms, modified_ms, revision"
/* The next row that has these columns first; its bundle is not there: logged, *ret NULL and 0. */
int catalog_read_state(struct catalog *c, sqlite3_stmt *s, struct catalog_function **ret, struct err *err);
void change_fail(struct change *ch, enum api_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void change_commit(struct change *ch);

/* catalog-versions.c */
int catalog_load_versions(struct catalog *c, struct err *err);
void catalog_entry_free(struct entry *e);

/* catalog-layers.c */
int catalog_load_layers(struct catalog *c, struct err *err); /* before functions */
void catalog_prune_layers(struct catalog *c);                /* after them: deleted layers that no state holds */
void catalog_free_layers(struct catalog *c);
struct catalog_layer *catalog_layer_ref(struct catalog_layer *l);
void catalog_layer_unref(struct catalog_layer *l); /* NULL is fine */
/* Those that f->f.layers names, into f; `old` may hold some that were deleted since. API_CODE_MAX, or why not with err. */
enum api_code catalog_take_layers(struct catalog *c, struct catalog_function *f, const struct catalog_function *old, struct err *err);
int catalog_layer_write(const struct change *ch, sqlite3 *db); /* in the writer's thread */
void catalog_layer_number(struct change *ch);
void catalog_layer_written(struct change *ch);

/* catalog-blobs.c */
int catalog_load_blobs(struct catalog *c, struct err *err);
int catalog_clear_blobs(struct catalog *c); /* of files that no row names */
void catalog_free_blobs(struct catalog *c);
struct blob *catalog_blob(struct catalog *c, const char *tenant, const char *digest);
void catalog_blob_unref(struct catalog *c, struct blob *b, enum msg_layer_kind tree);
void catalog_want_layer(struct change *ch); /* goes on with change_commit() or change_fail() */
void catalog_check_layers(struct catalog *c);
void catalog_collect(struct catalog *c);
