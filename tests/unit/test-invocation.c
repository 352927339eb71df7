/* agent/invocation: every pair of state and event is either a cell or cannot happen; done is the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/invocation.h"

static void test_every_cell(void **state)
{
	static const int next[INVOCATION_STATE_MAX][INVOCATION_EV_MAX] = {
#define CELL(s, e, n) [INVOCATION_##s][INVOCATION_EV_##e] = INVOCATION_##n + 1,
#include "agent/invocation-states.def"
	};
	(void)state;
	for (int s = 0; s < INVOCATION_STATE_MAX; s++)
		for (int e = 0; e < INVOCATION_EV_MAX; e++)
			assert_int_equal(invocation_next(s, e), next[s][e] - 1);
	for (int e = 0; e < INVOCATION_EV_MAX; e++)
		assert_int_equal(invocation_next(INVOCATION_DONE, e), -1);
}

/* Whatever a caller does, a call comes to its end: from each state there is a way to done, also when the caller goes. */
static void test_gone_always_ends(void **state)
{
	(void)state;
	for (int s = 0; s < INVOCATION_DONE; s++) {
		int n = invocation_next(s, INVOCATION_EV_GONE);
		assert_true(n == INVOCATION_DONE || (s == INVOCATION_RUNNING && n == INVOCATION_RUNNING));
	}
	assert_int_equal(invocation_next(INVOCATION_RUNNING, INVOCATION_EV_ENDED), INVOCATION_REPLYING);
	assert_int_equal(invocation_next(INVOCATION_REPLYING, INVOCATION_EV_SENT), INVOCATION_DONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_cell), cmocka_unit_test(test_gone_always_ends) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
