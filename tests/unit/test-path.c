/* path: helpers and data are found where the environment says, beside the program, or where configure put them. */
#include "base/path.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
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

static void test_image(void **state)
{
	(void)state;
	char dir[] = "/tmp/test-path.XXXXXX", want[128], file[128], got[PATH_BUF];
	struct err e = ERR_INIT;
	assert_non_null(mkdtemp(dir));
	snprintf(want, sizeof(want), "%s/python3", dir);
	snprintf(file, sizeof(file), "%s/file", dir);
	assert_int_equal(mkdir(want, 0755), 0);
	FILE *f = fopen(file, "w");
	assert_non_null(f);
	fclose(f);
	setenv("FC_IMAGEDIR", dir, 1);
	int found = path_image("python3", got, sizeof(got), &e);
	int missing = path_image("nodejs", got + sizeof(got) / 2, sizeof(got) / 2, &e);
	bool told = strstr(e.text, "find image nodejs") != NULL;
	int not_dir = path_image("file", got + sizeof(got) / 2, sizeof(got) / 2, &e);
	unlink(file);
	rmdir(want);
	rmdir(dir);
	unsetenv("FC_IMAGEDIR");
	assert_int_equal(found, 0);
	assert_string_equal(got, want);
	assert_int_equal(missing, -ENOENT);
	assert_true(told);
	assert_int_equal(not_dir, -ENOENT);
	static const char *const bad[] = { "", "..", ".", "a.b", "1a" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(path_image(bad[i], got, sizeof(got), &e), -EINVAL);
		assert_non_null(strstr(e.text, "not a name"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_environment), cmocka_unit_test(test_errors), cmocka_unit_test(test_image),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
