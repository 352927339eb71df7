/* probe: runs on whatever host this is, as whoever this is, and checks that the
 * report is sound: every row says something, "fit" follows from the rows, no
 * child and no descriptor stays. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/probe-internal.h"

static int open_fds(void)
{
	int n = 0;
	DIR *dir = opendir("/proc/self/fd");
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static const struct probe_row *find(const struct probe_report *r, const char *name)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->row[i].name, name) == 0)
			return &r->row[i];
	fail_msg("no row %s", name);
	return NULL;
}

static void report(void **unused)
{
	(void)unused;
	static struct probe_report r;
	int fds = open_fds();
	bool fit = true;
	probe_host(&r, &(struct probe_opts){ .state_dir = "/tmp/not-made-yet/deeper" });
	assert_int_equal(open_fds(), fds);
	assert_true(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
	assert_string_equal(r.state_dir, "/tmp");
	assert_int_equal(r.root, geteuid() == 0);
	assert_true(*r.kernel && r.count > 30);
	for (size_t i = 0; i < r.count; i++) {
		const struct probe_row *row = &r.row[i];
		assert_true(*row->name && *row->needed_for && *row->detail);
		assert_true(row->status < PROBE_STATUS_MAX);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(row->name, r.row[j].name);
		fit &= !(row->required && row->status == PROBE_missing);
	}
	assert_int_equal(r.fit, fit);
	/* what a unit test needs itself */
	assert_int_equal(find(&r, "pidfd")->status, PROBE_ok);
	assert_int_equal(find(&r, "memfd")->status, PROBE_ok);
	assert_int_equal(find(&r, "cgroup")->required, geteuid() == 0);
}

static int answer(void *arg, void *out)
{
	*(int *)out = *(int *)arg + 1;
	return EXDEV;
}

static int dies(void *arg, void *out)
{
	(void)arg;
	(void)out;
	abort();
}

/* The experiment is a child: what it did is seen, its death is an error. */
static void tries(void **unused)
{
	(void)unused;
	int in = 4, out = 0;
	assert_int_equal(probe_try(answer, &in, &out, sizeof(out)), EXDEV);
	assert_int_equal(out, 5);
	assert_int_equal(probe_try(dies, NULL, NULL, 0), EPROTO);
	assert_true(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(report), cmocka_unit_test(tries) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
