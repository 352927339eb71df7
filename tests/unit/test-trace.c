/* agent/trace: which trace contexts are handed on (https://www.w3.org/TR/trace-context/, 3.2 and 3.3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/trace.h"
#include "base/cleanup.h"

#define PARENT "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static void test_parent(void **state)
{
	static const char *const bad[] = {
		"", "00", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0", PARENT "0", PARENT "-x",
		"00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01", "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
		"0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
	};
	char out[TRACE_PARENT_SIZE];
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(trace_parent(out, bad[i]));
		assert_string_equal(out, "");
	}
	assert_false(trace_parent(out, NULL));
	assert_true(trace_parent(out, PARENT));
	assert_string_equal(out, PARENT);
	assert_true(trace_parent(out, "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"));
	assert_string_equal(out, PARENT);
}

static void test_state(void **state)
{
	char out[TRACE_STATE_SIZE], text[TRACE_STATE_SIZE + 1];
	(void)state;
	assert_false(trace_state(out, NULL));
	assert_false(trace_state(out, ""));
	assert_false(trace_state(out, "a=\x01"));
	assert_false(trace_state(out, "a=\xc3\xa4"));
	memset(text, 'a', TRACE_STATE_SIZE);
	text[TRACE_STATE_SIZE] = '\0';
	assert_false(trace_state(out, text));
	text[TRACE_STATE_SIZE - 1] = '\0';
	assert_true(trace_state(out, text));
	assert_string_equal(out, text);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_parent), cmocka_unit_test(test_state) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
