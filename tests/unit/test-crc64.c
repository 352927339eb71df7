/* base/crc64: the check value of CRC-64/XZ, and that pieces give the whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/crc64.h"

static void test_check_value(void **state)
{
	(void)state;
	assert_true(crc64(0, "123456789", 9) == 0x995dc9bbdf1939faull);
	assert_true(crc64(crc64(0, "1234", 4), "56789", 5) == 0x995dc9bbdf1939faull);
	assert_true(crc64(0, "", 0) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_check_value) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
