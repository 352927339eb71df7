/* drain: what is answered is on disk and survives; a change that cannot be written changes nothing. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/drain.h"
#include "agent/worker.h"
#include "base/cleanup.h"

struct fixture {
	char dir[64], file[96], fresh[96];
	struct event_base *base;
	struct worker *worker;
	struct drain *drain;
	int answers, result;
};

static void open_drain(struct fixture *fx)
{
	struct err err = ERR_INIT;
	assert_int_equal(drain_new(&fx->drain, fx->dir, fx->worker, &err), 0);
}

static int setup(void **state)
{
	static struct fixture fx;
	struct err err = ERR_INIT;
	fx = (struct fixture){ .dir = "/tmp/fc-drain-XXXXXX" };
	assert_non_null(mkdtemp(fx.dir));
	snprintf(fx.file, sizeof(fx.file), "%s/drain.json", fx.dir);
	snprintf(fx.fresh, sizeof(fx.fresh), "%s/drain.json.new", fx.dir);
	fx.base = event_base_new();
	assert_int_equal(worker_new(&fx.worker, fx.base, &err), 0);
	open_drain(&fx);
	*state = &fx;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fx = *state;
	worker_free(fx->worker);
	drain_free(fx->drain);
	event_base_free(fx->base);
	unlink(fx->file);
	if (unlink(fx->fresh) < 0 && errno == EISDIR)
		rmdir(fx->fresh);
	return rmdir(fx->dir);
}

static void answered(void *arg, int result)
{
	struct fixture *fx = arg;
	fx->answers++;
	fx->result = result;
}

static void change(struct fixture *fx, bool active, const char *reason)
{
	int before = fx->answers;
	assert_int_equal(drain_change(fx->drain, active, reason, answered, fx), DRAIN_OK);
	assert_int_equal(drain_change(fx->drain, active, reason, answered, fx), DRAIN_E_BUSY);
	assert_true(drain_active(fx->drain)); /* begins at once, ends when it is on disk */
	while (fx->answers == before)
		event_base_loop(fx->base, EVLOOP_ONCE);
	assert_int_equal(fx->answers, before + 1);
}

static void reopen(struct fixture *fx)
{
	fx->drain = drain_free(fx->drain);
	open_drain(fx);
}

static void test_survives(void **state)
{
	struct fixture *fx = *state;
	assert_false(drain_active(fx->drain));
	assert_string_equal(drain_reason(fx->drain), "");
	change(fx, true, "new disk");
	assert_int_equal(fx->result, 0);
	int64_t since = drain_since_ms(fx->drain);
	assert_true(since > 0);
	reopen(fx);
	assert_true(drain_active(fx->drain));
	assert_string_equal(drain_reason(fx->drain), "new disk");
	assert_int_equal(drain_since_ms(fx->drain), since);
	change(fx, true, "another reason"); /* the first one stays */
	assert_string_equal(drain_reason(fx->drain), "new disk");
	assert_int_equal(drain_since_ms(fx->drain), since);
	change(fx, false, "");
	assert_false(drain_active(fx->drain));
	assert_int_equal(access(fx->file, F_OK), -1);
	reopen(fx);
	assert_false(drain_active(fx->drain));
}

static void test_cannot_be_written(void **state)
{
	struct fixture *fx = *state;
	assert_int_equal(mkdir(fx->fresh, 0700), 0); /* in the way of the new file, also for root */
	change(fx, true, "x");
	assert_int_equal(fx->result, -EISDIR);
	assert_false(drain_active(fx->drain));
	assert_int_equal(drain_since_ms(fx->drain), 0);
	reopen(fx);
	assert_false(drain_active(fx->drain));
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
}

static void test_damaged(void **state)
{
	struct fixture *fx = *state;
	static const char *const bad[] = { "", "{", "[]", "{\"sinceMs\":0,\"reason\":\"\"}", "{\"sinceMs\":5}",
					   "{\"sinceMs\":\"5\",\"reason\":\"x\"}" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		put(fx->file, bad[i]);
		reopen(fx);
		assert_true(drain_active(fx->drain));
		assert_true(drain_since_ms(fx->drain) > 0);
		assert_string_equal(drain_reason(fx->drain), "the state file was damaged");
	}
	change(fx, false, "");
	assert_false(drain_active(fx->drain));
}

static void test_ends_while_writing(void **state)
{
	struct fixture *fx = *state;
	assert_int_equal(drain_change(fx->drain, true, "x", answered, fx), DRAIN_OK);
	fx->worker = worker_free(fx->worker); /* the answer comes all the same, with what came of it */
	assert_int_equal(fx->answers, 1);
	assert_true(fx->result == 0 || fx->result == -ECANCELED);
	assert_int_equal(access(fx->file, F_OK) == 0, fx->result == 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_survives), T(test_cannot_be_written), T(test_damaged), T(test_ends_while_writing) };
	return cmocka_run_group_tests_name("drain", tests, NULL, NULL);
}
