/*
 * feed - what happens on the node, in order, for an orchestrator that follows.
 *
 * A ring in memory of the latest events, each with a sequence number that grows
 * by one, so that a follower knows what it missed and never sees one twice. The
 * numbers belong to an epoch, one life of serve: a cursor names both. A cursor
 * of another epoch, or one whose events the ring has given up, is answered from
 * the oldest event that is left, and the answer says so (restarted, lost): the
 * follower then reads the node's state anew. The ledger, not the feed, is what
 * is billed by.
 *
 * Bounded: `capacity` events (max-node-events) and FEED_WATCHERS_MAX watchers.
 * One thread, that of serve's loop.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

struct event_base;
struct feed;

enum feed_kind {
#define FEED(upper, name, text) FEED_##upper,
#include "agent/feed.def"
	FEED_KIND_MAX
};
const char *feed_kind_name(enum feed_kind k);

enum {
	FEED_NAME_SIZE = 72, FEED_UUID_SIZE = 40, FEED_DETAIL_SIZE = 32,
	FEED_CURSOR_SIZE = 40,
	FEED_PAGE_MAX = 1000,     /* events of one answer */
	FEED_WATCHERS_MAX = 64,   /* requests that wait for the next event at once: "node-event-waits" in fcnode-api(7) */
};

/* NULL texts are left out of the answer; longer ones are cut. Events of the node have no tenant, and every reader sees them. */
struct feed_note {
	enum feed_kind kind;
	const char *tenant, *function, *request_id, *instance_id, *detail;
};

/* base: for calling watchers from the loop. 0 or err. */
int feed_new(struct feed **ret, struct event_base *base, size_t capacity, struct err *err);
struct feed *feed_free(struct feed *f); /* NULL; watchers are not called any more */

/* Never fails: the oldest event makes room. A NULL feed takes nothing (unit tests of others). */
void feed_add(struct feed *f, const struct feed_note *n);

/* Where a follower stands. */
struct feed_cursor {
	uint64_t after;   /* the last sequence number seen */
	bool restarted;   /* it was of another epoch */
};

/*
 * Read a cursor as an earlier answer gave it; NULL or "" is the beginning of
 * what is kept, "now" what is still to come. 0 or -EINVAL.
 */
int feed_cursor_parse(const struct feed *f, const char *text, struct feed_cursor *ret);

/*
 * Append {"epoch","events":[...],"cursor","lost","restarted"} with at most
 * `limit` events after the cursor. tenant: its own and the node's; NULL: all. The
 * cursor in the answer has moved on over what others own. The number of events
 * written, or -ENOMEM, or -EMSGSIZE when out is full.
 */
ssize_t feed_write(const struct feed *f, const struct feed_cursor *at, const char *tenant, size_t limit, struct buf *out);

/* Is there anything to tell this reader? If not, the cursor moves on over what others own. */
bool feed_has(const struct feed *f, struct feed_cursor *at, const char *tenant);

/* Be called, from the loop, after events came; any number of them may have. Embedded in the caller's struct. */
struct feed_watcher {
	void (*fn)(struct feed_watcher *w);
	struct feed_watcher *next, **prev; /* prev NULL: not watching */
};
enum feed_outcome { FEED_OK, FEED_E_FULL /* FEED_WATCHERS_MAX watch already */ };
int feed_watch(struct feed *f, struct feed_watcher *w);
void feed_unwatch(struct feed *f, struct feed_watcher *w); /* also when it does not watch */
