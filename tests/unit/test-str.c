/* str: numbers with units are read strictly, and a refused one leaves the target alone. */
#include "base/str.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

typedef int parse_fn(const char *s, uint64_t *ret);

struct number {
	parse_fn *parse;
	const char *text;
	int result;
	uint64_t value;
};

static const struct number numbers[] = {
	{ str_to_u64, "0", 0, 0 },
	{ str_to_u64, "18446744073709551615", 0, UINT64_MAX },
	{ str_to_u64, "18446744073709551616", -ERANGE, 0 },
	{ str_to_u64, "99999999999999999999999", -ERANGE, 0 },
	{ str_to_u64, "", -EINVAL, 0 },
	{ str_to_u64, "-1", -EINVAL, 0 },
	{ str_to_u64, "+1", -EINVAL, 0 },
	{ str_to_u64, " 1", -EINVAL, 0 },
	{ str_to_u64, "1 ", -EINVAL, 0 },
	{ str_to_u64, "0x10", -EINVAL, 0 },
	{ str_to_bytes, "4096", 0, 4096 },
	{ str_to_bytes, "128M", 0, 128ull << 20 },
	{ str_to_bytes, "128MiB", 0, 128ull << 20 },
	{ str_to_bytes, "1.5G", 0, 3ull << 29 },
	{ str_to_bytes, "2K", 0, 2048 },
	{ str_to_bytes, "1T", 0, 1ull << 40 },
	{ str_to_bytes, "1X", -EINVAL, 0 },
	{ str_to_bytes, "M", -EINVAL, 0 },
	{ str_to_bytes, "1MM", -EINVAL, 0 },
	{ str_to_bytes, "", -EINVAL, 0 },
	{ str_to_bytes, "99999999999T", -ERANGE, 0 },
	{ str_to_ms, "500ms", 0, 500 },
	{ str_to_ms, "3s", 0, 3000 },
	{ str_to_ms, "1.5s", 0, 1500 },
	{ str_to_ms, "2m", 0, 120000 },
	{ str_to_ms, "1h", 0, 3600000 },
	{ str_to_ms, "7", 0, 7000 },
	{ str_to_ms, "7 s", -EINVAL, 0 },
	{ str_to_ms, "ms", -EINVAL, 0 },
	{ str_to_ms, "1d", -EINVAL, 0 },
	{ str_to_milli, "0.5", 0, 500 },
	{ str_to_milli, "2", 0, 2000 },
	{ str_to_milli, "0.125", 0, 125 },
	{ str_to_milli, "0.1255", -EINVAL, 0 },
	{ str_to_milli, ".", -EINVAL, 0 },
	{ str_to_milli, "1e3", -EINVAL, 0 },
};

static void test_numbers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		const struct number *n = &numbers[i];
		uint64_t v = 42;
		int r = n->parse(n->text, &v);
		if (r != n->result || v != (r == 0 ? n->value : 42))
			fail_msg("row %zu \"%s\": result %d value %llu", i, n->text, r, (unsigned long long)v);
	}
}

static void test_signed(void **state)
{
	(void)state;
	int64_t v = 1;
	assert_int_equal(str_to_i64("-9223372036854775808", &v), 0);
	assert_true(v == INT64_MIN);
	assert_int_equal(str_to_i64("9223372036854775807", &v), 0);
	assert_true(v == INT64_MAX);
	assert_int_equal(str_to_i64("9223372036854775808", &v), -ERANGE);
	assert_int_equal(str_to_i64("-", &v), -EINVAL);
	assert_int_equal(str_to_i64("--1", &v), -EINVAL);
}

static void test_names(void **state)
{
	(void)state;
	assert_true(str_is_name("a", 64));
	assert_true(str_is_name("_x-9", 64));
	assert_false(str_is_name("", 64));
	assert_false(str_is_name("9a", 64));
	assert_false(str_is_name("-a", 64));
	assert_false(str_is_name("a/b", 64));
	assert_false(str_is_name("..", 64));
	assert_false(str_is_name("a\n", 64));
	assert_true(str_is_name("abcd", 4));
	assert_false(str_is_name("abcde", 4));
	assert_true(str_is_hex("0aF", 3) == false); /* upper case */
	assert_true(str_is_hex("0af", 3));
	assert_false(str_is_hex("0af", 4));
	assert_false(str_is_hex("0af0", 3));
	assert_true(str_starts("sha256:x", "sha256:"));
	assert_false(str_starts("sha", "sha256:"));
	assert_true(str_ends("a.zip", ".zip"));
	assert_false(str_ends("zip", ".zip"));
}

static void test_text(void **state)
{
	(void)state;
	char small[4], hex[9], size[32], a[37], b[37];
	assert_true(str_copy(small, sizeof(small), "abc"));
	assert_false(str_copy(small, sizeof(small), "abcd"));
	assert_string_equal(small, "abc");
	str_hex(hex, "\x00\xff\x10\x0a", 4);
	assert_string_equal(hex, "00ff100a");
	assert_string_equal(str_size(size, sizeof(size), 512), "512 B");
	assert_string_equal(str_size(size, sizeof(size), 3ull << 19), "1.5 MiB");
	assert_int_equal(str_uuid(a), 0);
	assert_int_equal(str_uuid(b), 0);
	assert_int_equal(strlen(a), 36);
	assert_true(a[14] == '4' && strchr("89ab", a[19]) && a[8] == '-' && a[23] == '-');
	assert_string_not_equal(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_signed),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
