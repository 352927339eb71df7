/* err: what is printed reads "context: what: why", is cut rather than overrun, and keeps its code. */
#include "base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_chain(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	assert_int_equal(err_set(&e, ENOENT, "open %s", "/x"), -ENOENT);
	assert_int_equal(err_wrap(&e, "function %s", "f"), -ENOENT);
	assert_int_equal(err_hint(&e, "make %s", "it"), -ENOENT);
	assert_string_equal(e.text, "function f: open /x: No such file or directory");
	assert_string_equal(e.hint, "make it");
	assert_int_equal(e.code, ENOENT);
}

static void test_without_code(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	assert_int_equal(err_set(&e, 0, "not a number"), -EINVAL);
	assert_string_equal(e.text, "not a number");
	assert_int_equal(err_wrap(&e, "--memory"), -EINVAL);
	assert_string_equal(e.text, "--memory: not a number");
}

static void test_null(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, EPERM, "x"), -EPERM);
}

static void test_cut(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	char big[4 * ERR_TEXT_MAX];
	memset(big, 'b', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(err_set(&e, EIO, "%s", big), -EIO);
	assert_true(strlen(e.text) < ERR_TEXT_MAX);
	assert_int_equal(err_wrap(&e, "%s", big), -EIO);
	assert_true(strlen(e.text) < ERR_TEXT_MAX);
	assert_int_equal(err_hint(&e, "%s", big), -EIO);
	assert_true(strlen(e.hint) < ERR_HINT_MAX);
	assert_int_equal(e.code, EIO);
}

static void test_set_again(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	err_set(&e, EIO, "first");
	err_hint(&e, "old hint");
	assert_int_equal(err_set(&e, EPERM, "second"), -EPERM);
	assert_string_equal(e.text, "second: Operation not permitted");
	assert_string_equal(e.hint, ""); /* a hint belongs to the error it came with */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_without_code),
		cmocka_unit_test(test_null),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_set_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
