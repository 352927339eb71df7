/* path: helpers and data are found where the environment says, beside the program, or where configure put them. */
#include "base/path.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void test_environment(void **state)
{
	(void)state;
	char dir[] = "/tmp/test-path.XXXXXX", want[128], got[PATH_BUF];
	struct err e = ERR_INIT;
	assert_non_null(mkdtemp(dir));
	snprintf(want, sizeof(want), "%s/images", dir);
	assert_int_equal(mkdir(want, 0755), 0);
	setenv("FC_DATADIR", dir, 1);
	int r = path_data("images", got, sizeof(got), &e);
	rmdir(want);
	rmdir(dir);
	assert_int_equal(r, 0);
	assert_string_equal(got, want);
	unsetenv("FC_DATADIR");
}

static void test_errors(void **state)
{
	(void)state;
	char got[PATH_BUF], tiny[4];
	struct err e = ERR_INIT;
	setenv("FC_LIBEXECDIR", "/nonexistent", 1);
	assert_true(path_helper("fc-no-such-helper", got, sizeof(got), &e) < 0);
	assert_non_null(strstr(e.text, "fc-no-such-helper"));
	assert_true(path_helper("fc-sandbox", tiny, sizeof(tiny), &e) < 0);
	unsetenv("FC_LIBEXECDIR");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_environment), cmocka_unit_test(test_errors) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
