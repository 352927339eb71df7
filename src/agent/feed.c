#include "agent/feed.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"

enum { UUID_TEXT = 36 };

struct entry {
	int64_t time_ms;
	enum feed_kind kind;
	char tenant[FEED_NAME_SIZE], function[FEED_NAME_SIZE];
	char request_id[FEED_UUID_SIZE], instance_id[FEED_UUID_SIZE];
	char detail[FEED_DETAIL_SIZE];
};

struct feed {
	char epoch[UUID_TEXT + 1];
	uint64_t last;            /* sequence number of the newest event; the first is 1 */
	size_t capacity, watchers;
	struct feed_watcher *head;
	struct event *wake;
	struct entry ring[];      /* number n is at (n - 1) % capacity */
};

static const char *const kind_names[] = {
#define FEED(upper, name, text) [FEED_##upper] = name,
#include "agent/feed.def"
};
_Static_assert(ARRAY_LEN(kind_names) == FEED_KIND_MAX, "a name for each kind");

const char *feed_kind_name(enum feed_kind k) { return kind_names[k]; }

/* The number before the oldest event that is kept. */
static uint64_t forgotten(const struct feed *f) { return f->last > f->capacity ? f->last - f->capacity : 0; }

static const struct entry *at_number(const struct feed *f, uint64_t seq) { return &f->ring[(seq - 1) % f->capacity]; }

/* ---- writing -------------------------------------------------------------- */

void feed_add(struct feed *f, const struct feed_note *n)
{
	if (!f)
		return;
	struct entry *e = &f->ring[f->last++ % f->capacity];
	*e = (struct entry){ .time_ms = clock_real_ms(), .kind = n->kind };
	str_copy(e->tenant, sizeof(e->tenant), n->tenant ? n->tenant : "");
	str_copy(e->function, sizeof(e->function), n->function ? n->function : "");
	str_copy(e->request_id, sizeof(e->request_id), n->request_id ? n->request_id : "");
	str_copy(e->instance_id, sizeof(e->instance_id), n->instance_id ? n->instance_id : "");
	str_copy(e->detail, sizeof(e->detail), n->detail ? n->detail : "");
	if (f->watchers)
		event_active(f->wake, EV_TIMEOUT, 0);
}

/* ---- reading -------------------------------------------------------------- */

int feed_cursor_parse(const struct feed *f, const char *text, struct feed_cursor *ret)
{
	*ret = (struct feed_cursor){ .after = forgotten(f) };
	if (!text || !*text)
		return 0;
	if (strcmp(text, "now") == 0) {
		ret->after = f->last;
		return 0;
	}
	uint64_t seq;
	/* the first eight digits of the epoch tell lives apart, and keep a cursor short */
	if (strlen(text) >= FEED_CURSOR_SIZE || strspn(text, "0123456789abcdef") != 8 || text[8] != '-' ||
	    str_to_u64(text + 9, &seq) < 0)
		return -EINVAL;
	if (memcmp(text, f->epoch, 8) != 0) {
		ret->restarted = true;
		return 0;
	}
	if (seq > f->last)
		return -EINVAL;
	ret->after = seq;
	return 0;
}

static bool visible(const struct entry *e, const char *tenant)
{
	return !tenant || !*e->tenant || strcmp(e->tenant, tenant) == 0;
}

bool feed_has(const struct feed *f, struct feed_cursor *at, const char *tenant)
{
	if (at->restarted || at->after < forgotten(f))
		return true;
	for (; at->after < f->last; at->after++)
		if (visible(at_number(f, at->after + 1), tenant))
			return true;
	return false;
}

static void set_text(json_t *o, const char *key, const char *text)
{
	if (*text)
		json_object_set_new(o, key, json_string(text));
}

static json_t *event_object(const struct entry *e, uint64_t seq)
{
	json_t *o = json_pack("{s:I, s:s, s:I}", "seq", (json_int_t)seq, "event", kind_names[e->kind], "timeMs",
			      (json_int_t)e->time_ms);
	if (!o)
		return NULL;
	set_text(o, "tenant", e->tenant);
	set_text(o, "functionName", e->function);
	set_text(o, "requestId", e->request_id);
	set_text(o, "instanceId", e->instance_id);
	set_text(o, "detail", e->detail);
	return o;
}

ssize_t feed_write(const struct feed *f, const struct feed_cursor *at, const char *tenant, size_t limit, struct buf *out)
{
	uint64_t oldest = forgotten(f), seq = at->after > oldest ? at->after : oldest;
	autojson json_t *events = json_array();
	size_t n = 0;

	for (uint64_t next = seq; n < limit && next < f->last;) {
		const struct entry *e = at_number(f, ++next);
		if (visible(e, tenant) && json_array_append_new(events, event_object(e, next)) < 0)
			return -ENOMEM;
		n += visible(e, tenant);
		seq = next;
	}
	char cursor[FEED_CURSOR_SIZE];
	snprintf(cursor, sizeof(cursor), "%.8s-%" PRIu64, f->epoch, seq);
	autojson json_t *o = json_pack("{s:s, s:O, s:s, s:I, s:b}", "epoch", f->epoch, "events", events, "cursor", cursor,
				       "lost", (json_int_t)(at->after < oldest && !at->restarted ? oldest - at->after : 0),
				       "restarted", (int)at->restarted);
	autofree char *text = o ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
	if (!text)
		return -ENOMEM;
	int r = buf_puts(out, text);
	return r < 0 ? r : (ssize_t)n;
}

/* ---- watching ------------------------------------------------------------- */

int feed_watch(struct feed *f, struct feed_watcher *w)
{
	assert(!w->prev);
	if (f->watchers >= FEED_WATCHERS_MAX)
		return FEED_E_FULL;
	w->next = f->head;
	w->prev = &f->head;
	if (w->next)
		w->next->prev = &w->next;
	f->head = w;
	f->watchers++;
	return FEED_OK;
}

void feed_unwatch(struct feed *f, struct feed_watcher *w)
{
	if (!w->prev)
		return;
	*w->prev = w->next;
	if (w->next)
		w->next->prev = w->prev;
	w->prev = NULL;
	f->watchers--;
}

/* Each of those that watch now, once; fn may unwatch itself and watch again. */
static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct feed *f = arg;
	struct feed_watcher *batch = f->head, *w;
	(void)fd;
	(void)what;
	f->head = NULL;
	if (batch)
		batch->prev = &batch;
	while ((w = batch)) {
		feed_unwatch(f, w);
		w->fn(w);
	}
}

int feed_new(struct feed **ret, struct event_base *base, size_t capacity, struct err *err)
{
	assert(capacity > 0);
	struct feed *f = calloc(1, sizeof(*f) + capacity * sizeof(f->ring[0]));
	if (!f)
		return err_set(err, ENOMEM, "make room for %zu node events (max-node-events)", capacity);
	f->capacity = capacity;
	f->wake = event_new(base, -1, 0, on_wake, f);
	int r = f->wake ? str_uuid(f->epoch) : -ENOMEM;
	if (r < 0) {
		feed_free(f);
		return err_set(err, -r, "begin the feed of node events");
	}
	*ret = f;
	return 0;
}

struct feed *feed_free(struct feed *f)
{
	if (!f)
		return NULL;
	if (f->wake)
		event_free(f->wake);
	free(f);
	return NULL;
}
