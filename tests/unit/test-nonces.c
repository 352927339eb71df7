/* agent/nonces: each is taken once for as long as it must be remembered; full is refused, not forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/nonces.h"

enum { NOW = 1800000000, HORIZON = 1800 };

static int take(struct nonces *n, uint64_t id, uint8_t share, int64_t now, int64_t until)
{
	uint8_t bytes[16] = { 0 };
	uint64_t mixed = id * 0x9e3779b97f4a7c15ull;
	memcpy(bytes, &mixed, 8);
	memcpy(bytes + 8, &id, 8);
	return nonces_take(n, bytes, share, now, until);
}

static void once_until_it_is_over(void **state)
{
	struct nonces *n = nonces_new(1000, HORIZON);
	(void)state;
	assert_int_equal(take(n, 1, 0, NOW, NOW + HORIZON), NONCES_OK);
	for (int64_t t = NOW; t <= NOW + HORIZON; t++)
		assert_int_equal(take(n, 1, 0, t, t + HORIZON), NONCES_E_USED);
	assert_int_equal(nonces_held(n), 1);
	/* a slot of time later its place is free */
	assert_int_equal(take(n, 2, 0, NOW + HORIZON + 100, NOW + 2 * HORIZON), NONCES_OK);
	assert_int_equal(nonces_held(n), 1);
	assert_int_equal(take(n, 1, 0, NOW + HORIZON + 100, NOW + 2 * HORIZON), NONCES_OK);
	nonces_free(n);
}

static void full_is_refused(void **state)
{
	struct nonces *n = nonces_new(100, HORIZON);
	(void)state;
	for (uint64_t i = 0; i < 50; i++)
		assert_int_equal(take(n, i, 1, NOW, NOW + 900), NONCES_OK);
	assert_int_equal(take(n, 1000, 1, NOW, NOW + 900), NONCES_E_SHARE_FULL);
	assert_int_equal(take(n, 7, 1, NOW, NOW + 900), NONCES_E_USED);
	for (uint64_t i = 50; i < 90; i++)
		assert_int_equal(take(n, i, 2, NOW, NOW + 900), NONCES_OK);
	for (uint64_t i = 90; i < 100; i++)
		assert_int_equal(take(n, i, 3, NOW, NOW + 900), NONCES_OK);
	assert_int_equal(take(n, 1000, 3, NOW, NOW + 900), NONCES_E_FULL);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(take(n, i, 3, NOW, NOW + 900), NONCES_E_USED);
	assert_int_equal(nonces_held(n), 100);
	assert_int_equal(take(n, 1000, 3, NOW + 2000, NOW + 2900), NONCES_OK);
	assert_int_equal(nonces_held(n), 1);
	nonces_free(n);
}

/* A clock that goes back forgets nothing, one that jumps ahead keeps working. */
static void jumping_clock(void **state)
{
	struct nonces *n = nonces_new(1000, HORIZON);
	(void)state;
	assert_int_equal(take(n, 1, 0, NOW, NOW + HORIZON), NONCES_OK);
	assert_int_equal(take(n, 2, 0, NOW - 5000, NOW - 5000 + HORIZON), NONCES_OK);
	assert_int_equal(take(n, 1, 0, NOW - 5000, NOW), NONCES_E_USED);
	assert_int_equal(take(n, 2, 0, NOW - 4000, NOW), NONCES_E_USED);
	assert_int_equal(take(n, 3, 0, NOW + 1000000, NOW + 1000000 + HORIZON), NONCES_OK);
	assert_int_equal(nonces_held(n), 1);
	nonces_free(n);
}

/* Against a plain table: many ids, dates all over the window, time going on. */
static void as_a_plain_table(void **state)
{
	enum { IDS = 4000, STEPS = 40000 };
	static int64_t until[IDS];
	struct nonces *n = nonces_new(100000, HORIZON);
	unsigned seed = 7;
	(void)state;
	for (int step = 0; step < STEPS; step++) {
		seed = seed * 1103515245u + 12345u;
		uint64_t id = (seed >> 8) % IDS;
		int64_t now = NOW + step / 4, end = now + (seed >> 4) % HORIZON;
		int r = take(n, id, (uint8_t)id, now, end);
		if (until[id] >= now)
			assert_int_equal(r, NONCES_E_USED);
		else if (now - until[id] > 2 * HORIZON / 60 + 2) /* between: it may be kept for a slot longer */
			assert_int_equal(r, NONCES_OK);
		if (r == NONCES_OK)
			until[id] = end;
	}
	nonces_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(once_until_it_is_over), cmocka_unit_test(full_is_refused), cmocka_unit_test(jumping_clock),
		cmocka_unit_test(as_a_plain_table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
