/* log: one line per event, levels above the maximum dropped, and no byte that would break or forge a line. */
#include "base/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* What log_line() wrote to stderr for this text. */
static void logged(enum log_level level, const char *text, char *out, size_t size)
{
	int p[2], saved = dup(STDERR_FILENO);
	assert_true(saved >= 0 && pipe2(p, O_CLOEXEC) == 0);
	dup2(p[1], STDERR_FILENO);
	log_init("keeper", LOG_LEVEL_INFO); /* now, so that it sees the pipe */
	log_line(level, "%s", text);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(p[1]);
	close(saved);
	ssize_t n = read(p[0], out, size - 1);
	out[n > 0 ? n : 0] = '\0';
	close(p[0]);
}

static void test_levels(void **state)
{
	(void)state;
	char line[256];
	logged(LOG_LEVEL_INFO, "event=start", line, sizeof(line));
	assert_true(strncmp(line, "<6>", 3) == 0); /* a pipe is not a terminal */
	assert_non_null(strstr(line, "keeper"));
	assert_non_null(strstr(line, "event=start\n"));
	logged(LOG_LEVEL_DEBUG, "event=detail", line, sizeof(line));
	assert_string_equal(line, "");
	logged(LOG_LEVEL_ERR, "event=bad", line, sizeof(line));
	assert_true(strncmp(line, "<3>", 3) == 0);
}

static void test_one_line(void **state)
{
	(void)state;
	char line[16384], big[8192];
	logged(LOG_LEVEL_ERR, "a\n<3>serve forged=1", line, sizeof(line));
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	logged(LOG_LEVEL_ERR, big, line, sizeof(line));
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_levels), cmocka_unit_test(test_one_line) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
