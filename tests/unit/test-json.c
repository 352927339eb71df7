/* json: a table reads an object strictly, and every refusal names the member. */
#include "base/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct target {
	const char *name;
	int64_t count, cpu;
	bool on;
	json_t *list, *object, *any;
};

#define AT(field) offsetof(struct target, field)
static const struct json_field table[] = {
	{ "name", JF_STR, AT(name), true, 0, 0 },
	{ "count", JF_INT, AT(count), false, 1, 9 },
	{ "cpu", JF_MILLI, AT(cpu), false, 50, 4000 },
	{ "on", JF_BOOL, AT(on), false, 0, 0 },
	{ "list", JF_ARRAY, AT(list), false, 0, 0 },
	{ "object", JF_OBJECT, AT(object), false, 0, 0 },
	{ "any", JF_ANY, AT(any), false, 0, 0 },
	{ "old", JF_IGNORE, 0, false, 0, 0 },
	{ NULL, JF_ANY, 0, false, 0, 0 },
};

static void test_reads(void **state)
{
	(void)state;
	const char text[] = "{\"name\":\"n\",\"cpu\":0.5,\"on\":true,\"list\":[1],\"object\":{},\"any\":3,\"old\":[],\"count\":null}";
	struct target t = { .count = 7 };
	struct err e = ERR_INIT;
	autojson json_t *j = json_parse(text, strlen(text), "body", &e);
	assert_non_null(j);
	assert_int_equal(json_read(j, table, 0, &t, "", &e), 0);
	assert_string_equal(t.name, "n");
	assert_int_equal(t.cpu, 500);
	assert_true(t.on);
	assert_int_equal(t.count, 7); /* null is absent */
	assert_int_equal(json_array_size(t.list), 1);
	assert_true(json_is_object(t.object) && json_is_integer(t.any));
}

static void refused(const char *text, const char *says)
{
	struct target t = { 0 };
	struct err e = ERR_INIT;
	autojson json_t *j = json_parse(text, strlen(text), "body", &e);
	if (j)
		assert_true(json_read(j, table, 0, &t, "top", &e) < 0);
	if (!strstr(e.text, says))
		fail_msg("%s: \"%s\" does not say \"%s\"", text, e.text, says);
}

static void test_refusals(void **state)
{
	(void)state;
	refused("{}", "name");
	refused("{\"name\":null}", "name");
	refused("{\"name\":3}", "name");
	refused("{\"name\":\"a\",\"count\":0}", "count");
	refused("{\"name\":\"a\",\"count\":10}", "count");
	refused("{\"name\":\"a\",\"count\":1.5}", "count");
	refused("{\"name\":\"a\",\"cpu\":0.01}", "cpu");
	refused("{\"name\":\"a\",\"cpu\":1e300}", "cpu");
	refused("{\"name\":\"a\",\"on\":1}", "on");
	refused("{\"name\":\"a\",\"list\":{}}", "list");
	refused("{\"name\":\"a\",\"object\":[]}", "object");
	refused("{\"name\":\"a\",\"surprise\":1}", "surprise");
	refused("{\"name\":\"a\\u0000b\"}", "body");
	refused("[]", "top");
	refused("{\"name\":\"a\",\"name\":\"b\"}", "body");
	refused("{\"name\":\"a\"} x", "body");
	refused("", "body");
	refused("{\"name\":\"a\"", "body");
}

static void test_lax(void **state)
{
	(void)state;
	struct target t = { 0 };
	struct err e = ERR_INIT;
	const char text[] = "{\"name\":\"n\",\"surprise\":1}";
	autojson json_t *j = json_parse(text, strlen(text), "body", &e);
	assert_int_equal(json_read(j, table, JSON_LAX, &t, "", &e), 0);
}

static void test_depth(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	char text[4 * JSON_DEPTH_MAX + 2] = "";
	memset(text, '[', JSON_DEPTH_MAX + 1);
	memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	assert_null(json_parse(text, strlen(text), "deep", &e));
	assert_non_null(strstr(e.text, "deep"));
	memset(text, 0, sizeof(text));
	memset(text, '[', JSON_DEPTH_MAX);
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	autojson json_t *j = json_parse(text, strlen(text), "deep", &e);
	assert_non_null(j);
}

static void test_file(void **state)
{
	(void)state;
	struct err e = ERR_INIT;
	assert_null(json_parse_file("no-such-file", 100, &e));
	assert_int_equal(e.code, ENOENT);
	assert_non_null(strstr(e.text, "no-such-file"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads), cmocka_unit_test(test_refusals), cmocka_unit_test(test_lax),
		cmocka_unit_test(test_depth), cmocka_unit_test(test_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
