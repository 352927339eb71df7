/*
 * catalog-internal - what catalog.c (functions and their changes) and
 * catalog-blobs.c (bundles, layers, collection) share.
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
	uint64_t size, layer_bytes, layer_files;
	int64_t created_ms;
	bool unpacked;
	unsigned refs; /* functions and changes in flight that name it */
	LIST_ENTRY(blob) entry;
};

enum change_kind { CHANGE_CREATE, CHANGE_UPDATE, CHANGE_DELETE, CHANGE_RESTORE /* unpack again after a restart */ };

/* One change on its way: unpacking, then the row, then the callback. */
struct change {
	struct writer_job job; /* first: a job is its change */
	struct catalog *catalog;
	enum change_kind kind;
	struct catalog_function *old, *next;
	struct blob *blob;      /* holds a reference */
	char *config;           /* text of the row */
	bool unpacking, quota_bound;
	uint64_t granted;       /* what the layer may come to, while unpacking */
	catalog_fn *fn;
	void *arg;
	TAILQ_ENTRY(change) entry, wait;
};

struct drop { /* a layer that keeper is to remove; again while it is in use */
	char digest[UPLOAD_HEX];
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
	struct catalog_function **functions; /* ordered by tenant, then name */
	size_t count, cap;
	size_t unpacks;                       /* in flight */
	bool ending;
	LIST_HEAD(, blob) blobs;
	LIST_HEAD(, drop) drops;
	TAILQ_HEAD(changes, change) changes, waiting;
	LIST_HEAD(, put) pending_puts;
	LIST_HEAD(, catalog_charge) charges;
};

/* catalog.c */
void change_fail(struct change *ch, enum api_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void change_commit(struct change *ch);

/* catalog-blobs.c */
int catalog_load_blobs(struct catalog *c, struct err *err);
int catalog_clear_blobs(struct catalog *c); /* of files that no row names */
void catalog_free_blobs(struct catalog *c);
struct blob *catalog_blob(struct catalog *c, const char *tenant, const char *digest);
void catalog_blob_unref(struct catalog *c, struct blob *b);
void catalog_want_layer(struct change *ch); /* goes on with change_commit() or change_fail() */
void catalog_check_layers(struct catalog *c);
void catalog_collect(struct catalog *c);
