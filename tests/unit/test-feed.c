/* feed: numbers, cursors of this life and of another, what the ring gave up, whose events are seen, watchers. */
#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/feed.h"
#include "base/cleanup.h"
#include "base/json.h"

enum { CAPACITY = 8 };

struct fixture {
	struct event_base *base;
	struct feed *feed;
};

static int setup(void **state)
{
	static struct fixture fx;
	struct err err = ERR_INIT;
	fx.base = event_base_new();
	assert_non_null(fx.base);
	assert_int_equal(feed_new(&fx.feed, fx.base, CAPACITY, &err), 0);
	*state = &fx;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fx = *state;
	feed_free(fx->feed);
	event_base_free(fx->base);
	return 0;
}

static void add(struct fixture *fx, enum feed_kind kind, const char *tenant)
{
	feed_add(fx->feed, &(struct feed_note){ .kind = kind, .tenant = tenant, .function = tenant ? "f" : NULL });
}

/* The answer after this cursor text, as JSON. */
static json_t *answer(struct fixture *fx, const char *cursor, const char *tenant, size_t limit)
{
	struct feed_cursor at;
	struct err err = ERR_INIT;
	autobuf struct buf out = BUF_INIT(64 << 10);
	assert_int_equal(feed_cursor_parse(fx->feed, cursor, &at), 0);
	ssize_t n = feed_write(fx->feed, &at, tenant, limit, &out);
	assert_true(n >= 0);
	json_t *o = json_parse(out.data, out.len, "answer", &err);
	assert_non_null(o);
	assert_int_equal(json_array_size(json_object_get(o, "events")), n);
	return o;
}

static const char *text_of(const json_t *o, const char *key) { return json_string_value(json_object_get(o, key)); }
static json_int_t number_of(const json_t *o, const char *key) { return json_integer_value(json_object_get(o, key)); }
static const json_t *event_at(const json_t *o, size_t i) { return json_array_get(json_object_get(o, "events"), i); }

static void test_pages(void **state)
{
	struct fixture *fx = *state;
	add(fx, FEED_NODE_READY, NULL);
	for (int i = 0; i < 4; i++)
		add(fx, FEED_INVOCATION_STARTED, "a");
	autojson json_t *first = answer(fx, NULL, NULL, 2);
	assert_int_equal(json_array_size(json_object_get(first, "events")), 2);
	assert_string_equal(text_of(event_at(first, 0), "event"), "node.ready");
	assert_null(json_object_get(event_at(first, 0), "tenant"));
	assert_int_equal(number_of(event_at(first, 1), "seq"), 2);
	autojson json_t *rest = answer(fx, text_of(first, "cursor"), NULL, 100);
	assert_int_equal(json_array_size(json_object_get(rest, "events")), 3);
	assert_int_equal(number_of(event_at(rest, 0), "seq"), 3);
	autojson json_t *none = answer(fx, text_of(rest, "cursor"), NULL, 100);
	assert_int_equal(json_array_size(json_object_get(none, "events")), 0);
	assert_string_equal(text_of(none, "cursor"), text_of(rest, "cursor"));
	autojson json_t *now = answer(fx, "now", NULL, 100);
	assert_string_equal(text_of(now, "cursor"), text_of(rest, "cursor"));
}

static void test_ring_gives_up(void **state)
{
	struct fixture *fx = *state;
	add(fx, FEED_NODE_READY, NULL);
	autojson json_t *start = answer(fx, NULL, NULL, 1);
	for (int i = 0; i < CAPACITY; i++)
		add(fx, FEED_INSTANCE_RUNNING, "a");
	autojson json_t *o = answer(fx, text_of(start, "cursor"), NULL, 100);
	assert_int_equal(number_of(o, "lost"), 0); /* the ring holds just what came since */
	assert_int_equal(json_array_size(json_object_get(o, "events")), CAPACITY);
	for (int i = 0; i < 3; i++)
		add(fx, FEED_INSTANCE_ENDED, "a");
	autojson json_t *late = answer(fx, text_of(start, "cursor"), NULL, 100);
	assert_int_equal(number_of(late, "lost"), 3);
	assert_int_equal(number_of(event_at(late, 0), "seq"), 5);
	/* from the beginning of what is kept is no loss: nobody saw the older ones */
	autojson json_t *begin = answer(fx, "", NULL, 100);
	assert_int_equal(number_of(begin, "lost"), 0);
	assert_int_equal(json_array_size(json_object_get(begin, "events")), CAPACITY);
}

static void test_bad_and_foreign_cursors(void **state)
{
	struct fixture *fx = *state;
	struct feed_cursor at;
	add(fx, FEED_NODE_READY, NULL);
	autojson json_t *o = answer(fx, NULL, NULL, 1);
	char ahead[FEED_CURSOR_SIZE];
	snprintf(ahead, sizeof(ahead), "%.8s-2", text_of(o, "cursor"));
	const char *bad[] = { "x", "1", "0123abcd", "0123abcd-", "0123abcd-x", "0123ABCD-1", "0123abcd1", ahead,
			      "0123abcd-18446744073709551616", "0123abcd-000000000000000000000000000000000000000" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(feed_cursor_parse(fx->feed, bad[i], &at), -EINVAL);
	snprintf(ahead, sizeof(ahead), "%s-7", text_of(o, "cursor")[0] == 'f' ? "00000000" : "ffffffff");
	autojson json_t *other = answer(fx, ahead, NULL, 100);
	assert_true(json_is_true(json_object_get(other, "restarted")));
	assert_int_equal(json_array_size(json_object_get(other, "events")), 1);
}

static void test_tenants(void **state)
{
	struct fixture *fx = *state;
	struct feed_cursor at;
	add(fx, FEED_NODE_READY, NULL);
	add(fx, FEED_FUNCTION_CREATED, "a");
	add(fx, FEED_FUNCTION_CREATED, "b");
	autojson json_t *a = answer(fx, NULL, "a", 100);
	assert_int_equal(json_array_size(json_object_get(a, "events")), 2);
	assert_string_equal(text_of(event_at(a, 1), "tenant"), "a");
	assert_int_equal(feed_cursor_parse(fx->feed, text_of(a, "cursor"), &at), 0);
	assert_false(feed_has(fx->feed, &at, "a"));
	add(fx, FEED_FUNCTION_DELETED, "b");
	assert_false(feed_has(fx->feed, &at, "a"));
	assert_int_equal(at.after, 4); /* not looked at again */
	add(fx, FEED_NODE_STOPPING, NULL);
	assert_true(feed_has(fx->feed, &at, "a"));
}

struct watch {
	struct feed_watcher w;
	struct feed *feed;
	int calls;
	bool again;
	struct watch *ends; /* another one to stop from inside */
};

static void on_event(struct feed_watcher *w)
{
	struct watch *watch = (struct watch *)w;
	watch->calls++;
	if (watch->again)
		assert_int_equal(feed_watch(watch->feed, w), FEED_OK);
	if (watch->ends)
		feed_unwatch(watch->feed, &watch->ends->w);
}

static void test_watchers(void **state)
{
	struct fixture *fx = *state;
	struct watch w[3] = { 0 };
	for (int i = 0; i < 3; i++) {
		w[i].w.fn = on_event;
		w[i].feed = fx->feed;
		assert_int_equal(feed_watch(fx->feed, &w[i].w), FEED_OK);
	}
	w[2].again = true; /* the last one that came is called first */
	w[2].ends = &w[0];
	add(fx, FEED_NODE_READY, NULL);
	add(fx, FEED_NODE_DRAINING, NULL);
	event_base_loop(fx->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	assert_int_equal(w[0].calls, 0);
	assert_int_equal(w[1].calls, 1);
	assert_int_equal(w[2].calls, 1);
	w[2].ends = NULL;
	add(fx, FEED_NODE_ACTIVE, NULL);
	event_base_loop(fx->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	assert_int_equal(w[1].calls, 1);
	assert_int_equal(w[2].calls, 2);
	feed_unwatch(fx->feed, &w[2].w);
	feed_unwatch(fx->feed, &w[2].w);
}

static void test_too_many_watchers(void **state)
{
	struct fixture *fx = *state;
	struct watch w[FEED_WATCHERS_MAX + 1] = { 0 };
	for (size_t i = 0; i < FEED_WATCHERS_MAX; i++)
		assert_int_equal(feed_watch(fx->feed, &w[i].w), FEED_OK);
	assert_int_equal(feed_watch(fx->feed, &w[FEED_WATCHERS_MAX].w), FEED_E_FULL);
	feed_unwatch(fx->feed, &w[5].w);
	assert_int_equal(feed_watch(fx->feed, &w[FEED_WATCHERS_MAX].w), FEED_OK);
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		feed_unwatch(fx->feed, &w[i].w);
}

static void test_no_room(void **state)
{
	struct fixture *fx = *state;
	struct feed_cursor at;
	autobuf struct buf out = BUF_INIT(16);
	feed_add(NULL, &(struct feed_note){ .kind = FEED_NODE_READY });
	add(fx, FEED_NODE_READY, NULL);
	assert_int_equal(feed_cursor_parse(fx->feed, NULL, &at), 0);
	assert_int_equal(feed_write(fx->feed, &at, NULL, 1, &out), -EMSGSIZE);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_pages), T(test_ring_gives_up), T(test_bad_and_foreign_cursors), T(test_tenants),
		T(test_watchers), T(test_too_many_watchers), T(test_no_room),
	};
	return cmocka_run_group_tests_name("feed", tests, NULL, NULL);
}
