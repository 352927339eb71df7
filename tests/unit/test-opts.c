/* opts: one table reads the command line and the config file; what it refuses, it refuses by name. */
#include "base/opts.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"

struct target {
	bool flag;
	const char *name;
	struct opt_list list;
	uint64_t count, bytes, ms, milli;
	int mode;
};

#define AT(field) offsetof(struct target, field)
static const struct opt full[] = {
	{ "flag", 'f', OPT_FLAG, AT(flag), NULL, "a flag", NULL, 0, 0 },
	{ "name", 'n', OPT_STR, AT(name), "NAME", "a text", NULL, 0, 0 },
	{ "add", 'a', OPT_LIST, AT(list), "X", "one more", NULL, 0, 0 },
	{ "count", 0, OPT_U64, AT(count), "N", "a number", NULL, 2, 10 },
	{ "memory", 'm', OPT_BYTES, AT(bytes), "SIZE", "a size", NULL, 0, 0 },
	{ "timeout", 0, OPT_MS, AT(ms), "TIME", "a time", NULL, 0, 0 },
	{ "cpu", 0, OPT_MILLI, AT(milli), "N", "cpus", NULL, 0, 0 },
	{ "mode", 0, OPT_ENUM, AT(mode), NULL, "a choice", "none|host|other", 0, 0 },
	{ NULL, 0, OPT_FLAG, 0, NULL, NULL, NULL, 0, 0 },
};

#define W(text) (char[]){ text }

static void test_forms(void **state)
{
	(void)state;
	struct target t = { 0 };
	struct err e = ERR_INIT;
	char *v[] = { W("prog"), W("-f"), W("--name=x=y"), W("-a1"), W("-a"), W("2"), W("--memory"), W("1.5K"),
		      W("--timeout"), W("2m"), W("--cpu"), W("0.25"), W("--mode"), W("host"), W("--count=10"),
		      W("operand"), W("--flag"), NULL };
	assert_int_equal(opts_parse(full, 17, v, false, &t, &e), 15);
	assert_true(t.flag);
	assert_string_equal(t.name, "x=y");
	assert_int_equal(t.list.count, 2);
	assert_string_equal(t.list.item[1], "2");
	assert_int_equal(t.bytes, 1536);
	assert_int_equal(t.ms, 120000);
	assert_int_equal(t.milli, 250);
	assert_int_equal(t.mode, 1);
	assert_int_equal(t.count, 10);
}

static void test_permute(void **state)
{
	(void)state;
	struct target t = { 0 };
	struct err e = ERR_INIT;
	char *v[] = { W("prog"), W("one"), W("-f"), W("two"), W("--name"), W("n"), W("-"), NULL };
	assert_int_equal(opts_parse(full, 7, v, true, &t, &e), 4);
	assert_true(t.flag);
	assert_string_equal(t.name, "n");
	assert_string_equal(v[4], "one");
	assert_string_equal(v[5], "two");
	assert_string_equal(v[6], "-");

	struct target u = { 0 };
	char *w[] = { W("prog"), W("one"), W("--"), W("-f"), W("two"), NULL };
	assert_int_equal(opts_parse(full, 5, w, true, &u, &e), 2);
	assert_false(u.flag);
	assert_string_equal(w[2], "one");
	assert_string_equal(w[3], "-f");
	assert_string_equal(w[4], "two");
}

static void refused(const char *says, char *word, char *value)
{
	struct target t = { 0 };
	struct err e = ERR_INIT;
	char *v[] = { W("prog"), word, value, NULL };
	assert_true(opts_parse(full, value ? 3 : 2, v, false, &t, &e) < 0);
	if (!strstr(e.text, says))
		fail_msg("\"%s\" does not say \"%s\"", e.text, says);
}

static void test_refusals(void **state)
{
	(void)state;
	refused("unknown option --nonsense", W("--nonsense"), NULL);
	refused("unknown option -x", W("-x"), NULL);
	refused("--name needs a value", W("--name"), NULL);
	refused("--flag takes no value", W("--flag=yes"), NULL);
	refused("flags one by one", W("-fn"), NULL);
	refused("--count 1: outside 2 to 10", W("--count"), W("1"));
	refused("--count 11: outside 2 to 10", W("--count"), W("11"));
	refused("--count x: not a whole number", W("--count"), W("x"));
	refused("--memory 1Q: not a size", W("--memory"), W("1Q"));
	refused("not one of none|host|other", W("--mode"), W("hos"));
	refused("not one of none|host|other", W("--mode"), W("none|host"));
	refused("not one of none|host|other", W("--mode"), W(""));
}

static void test_list_limit(void **state)
{
	(void)state;
	static struct target t;
	struct err e = ERR_INIT;
	for (int i = 0; i < OPT_LIST_MAX; i++)
		assert_int_equal(opts_set(full, "add", "x", &t, &e), 0);
	assert_true(opts_set(full, "add", "x", &t, &e) < 0);
	assert_int_equal(t.list.count, OPT_LIST_MAX);
	assert_int_equal(opts_set(full, "nothing", "x", &t, &e), -ENOENT);
}

static int read_text(const char *text, struct target *t, struct err *e)
{
	char path[] = "test-opts.XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	int r = opts_read_file(full, path, t, e);
	unlink(path);
	return r;
}

static void test_file(void **state)
{
	(void)state;
	static struct target t; /* strings of a file live until the program ends */
	struct err e = ERR_INIT;
	assert_int_equal(read_text("# comment\n\n  memory = 2M \nflag = yes\nadd=1\nadd = 2\nname = a b\n", &t, &e), 0);
	assert_int_equal(t.bytes, 2 << 20);
	assert_true(t.flag);
	assert_int_equal(t.list.count, 2);
	assert_string_equal(t.name, "a b");

	assert_true(read_text("memory = 1M\nbogus = 1\n", &t, &e) < 0);
	assert_non_null(strstr(e.text, "line 2"));
	assert_non_null(strstr(e.text, "unknown setting bogus"));
	assert_true(read_text("memory\n", &t, &e) < 0);
	assert_non_null(strstr(e.text, "line 1"));
	assert_true(read_text("flag = maybe\n", &t, &e) < 0);
	assert_int_equal(opts_read_file(full, "no-such-file", &t, &e), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_permute),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_list_limit),
		cmocka_unit_test(test_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
