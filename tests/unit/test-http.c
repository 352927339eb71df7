/* agent/http: targets are taken apart or refused, base64 and entity tags follow their RFCs. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/http.h"

static void test_target(void **state)
{
	struct http_target t;
	struct err err = ERR_INIT;
	(void)state;
	assert_int_equal(http_target_parse("/2023-03-30/functions/a%20b?x=1&y=%41+b&z&&=v#frag", &t, &err), 0);
	assert_int_equal(t.segments, 3);
	assert_string_equal(t.segment[2], "a b");
	assert_string_equal(http_query(&t, "x"), "1");
	assert_string_equal(http_query(&t, "y"), "A b");
	assert_string_equal(http_query(&t, "z"), "");
	assert_string_equal(http_query(&t, ""), "v");
	assert_null(http_query(&t, "none"));
	assert_string_equal(http_query_unknown(&t, (const char *const[]){ "x", "y", "", NULL }), "z");
	assert_null(http_query_unknown(&t, (const char *const[]){ "x", "y", "z", "", NULL }));
	assert_int_equal(http_target_parse("/a/", &t, &err), 0);
	assert_int_equal(t.segments, 1);
	assert_int_equal(http_target_parse("/", &t, &err), 0);
	assert_int_equal(t.segments, 0);
}

static void test_target_refused(void **state)
{
	static const char *const bad[] = {
		"", "a", "*", "//", "/a//b", "/.", "/a/../b", "/%2e%2e", "/a%2Fb", "/a%00b", "/%", "/%4", "/%zz", "/a\x01", "/x?a=%",
		"/x?%gg=1", "/x?a=%0a", "/1/2/3/4/5/6/7/8/9", "/x/acs%2Fb", "/xacs:%2F",
	};
	struct http_target t;
	struct err err = ERR_INIT;
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (http_target_parse(bad[i], &t, &err) >= 0)
			fail_msg("taken: %s", bad[i]);
	char many[200] = "/x?";
	for (int i = 0; i < HTTP_QUERY_MAX + 1; i++)
		strcat(many, "a&");
	assert_int_equal(http_target_parse(many, &t, &err), -EINVAL);
}

/* The longest target fits its buffer also when every part costs an extra terminator. */
static void test_target_length(void **state)
{
	static char raw[HTTP_TARGET_MAX + 2];
	struct http_target t;
	struct err err = ERR_INIT;
	(void)state;
	memset(raw, 'x', HTTP_TARGET_MAX);
	memcpy(raw, "/a?", 3);
	for (int i = 0; i < HTTP_QUERY_MAX - 1; i++)
		memcpy(raw + 3 + 2 * i, "k&", 2);
	int r = http_target_parse(raw, &t, &err);
	assert_true(r == 0 || r == -EMSGSIZE);
	raw[HTTP_TARGET_MAX] = 'x';
	assert_int_equal(http_target_parse(raw, &t, &err), -EMSGSIZE);
	memset(raw, '\0', sizeof(raw));
	memset(raw, 'x', HTTP_TARGET_MAX);
	raw[0] = '/';
	assert_int_equal(http_target_parse(raw, &t, &err), 0);
}

static void check_base64(const char *plain, size_t len, const char *text)
{
	struct buf b = BUF_INIT(100), d = BUF_INIT(100);
	assert_int_equal(http_base64_encode(plain, len, &b), 0);
	assert_int_equal(b.len, strlen(text));
	assert_memory_equal(b.len ? b.data : "", text, b.len);
	assert_int_equal(http_base64_decode(text, strlen(text), &d), 0);
	assert_int_equal(d.len, len);
	assert_memory_equal(d.data, plain, len);
	buf_fini(&b);
	buf_fini(&d);
}

static void test_base64(void **state)
{
	static const char *const bad[] = { "Z", "Zg", "Zg=", "Z===", "====", "Zm9 ", "Zm\n=", "Zg==Zg==", "=Zg=", "Zm9v!AAA" };
	(void)state;
	check_base64("", 0, ""); /* RFC 4648, section 10 */
	check_base64("f", 1, "Zg==");
	check_base64("fo", 2, "Zm8=");
	check_base64("foo", 3, "Zm9v");
	check_base64("foob", 4, "Zm9vYg==");
	check_base64("\xff\xfe\x00", 3, "//4A");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct buf d = BUF_INIT(100);
		if (http_base64_decode(bad[i], strlen(bad[i]), &d) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
		buf_fini(&d);
	}
	struct buf small = BUF_INIT(4);
	assert_int_equal(http_base64_decode("Zm9vYmFy", 8, &small), -EMSGSIZE);
	buf_fini(&small);
}

static void test_etag(void **state)
{
	(void)state;
	assert_true(http_etag_matches("\"a-1\"", "a-1"));
	assert_true(http_etag_matches("a-1", "a-1"));
	assert_true(http_etag_matches("\"x\" , \"a-1\"", "a-1"));
	assert_true(http_etag_matches(" * ", "a-1"));
	assert_false(http_etag_matches("\"a-2\"", "a-1"));
	assert_false(http_etag_matches("", "a-1"));
	assert_false(http_etag_matches("\"a-1", "a-1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_target), cmocka_unit_test(test_target_refused), cmocka_unit_test(test_target_length),
		cmocka_unit_test(test_base64), cmocka_unit_test(test_etag),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
