/* buf: it never grows past its limit, and a refused append changes nothing. */
#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"

static void test_limit(void **state)
{
	(void)state;
	autobuf struct buf b = BUF_INIT(8);
	assert_int_equal(buf_append(&b, "12345", 5), 0);
	assert_int_equal(buf_append(&b, "6789", 4), -EMSGSIZE);
	assert_int_equal(b.len, 5);
	assert_string_equal(b.data, "12345");
	assert_int_equal(buf_puts(&b, "678"), 0);
	assert_int_equal(b.len, 8);
	assert_string_equal(b.data, "12345678");
	assert_int_equal(buf_puts(&b, ""), 0);
	assert_int_equal(buf_reserve(&b, 1), -EMSGSIZE);
	assert_int_equal(buf_reserve(&b, SIZE_MAX), -EMSGSIZE);
}

static void test_printf(void **state)
{
	(void)state;
	autobuf struct buf b = BUF_INIT(600);
	for (int i = 0; i < 100; i++)
		assert_int_equal(buf_printf(&b, "%04d,", i), 0);
	assert_int_equal(b.len, 500);
	assert_memory_equal(b.data + 495, "0099,", 6); /* and its NUL */
	assert_int_equal(buf_printf(&b, "%0200d", 1), -EMSGSIZE);
	assert_int_equal(b.len, 500);
	assert_int_equal(b.data[500], 0);
}

static void test_consume(void **state)
{
	(void)state;
	autobuf struct buf b = BUF_INIT(64);
	assert_int_equal(buf_puts(&b, "abcdef"), 0);
	buf_consume(&b, 2);
	assert_string_equal(b.data, "cdef");
	buf_consume(&b, 4);
	assert_int_equal(b.len, 0);
	assert_int_equal(b.data[0], 0);
	assert_int_equal(buf_puts(&b, "x"), 0);
	buf_reset(&b);
	assert_int_equal(b.len, 0);
	buf_fini(&b);
	buf_fini(&b); /* twice is once */
}

static void test_read(void **state)
{
	(void)state;
	int p[2];
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(write(p[1], "0123456789", 10), 10);
	close(p[1]);
	autobuf struct buf fits = BUF_INIT(10);
	assert_int_equal(buf_read_fd(&fits, p[0]), 0);
	assert_string_equal(fits.data, "0123456789");
	close(p[0]);

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(write(p[1], "0123456789", 10), 10);
	close(p[1]);
	autobuf struct buf small = BUF_INIT(9);
	assert_int_equal(buf_read_fd(&small, p[0]), -EMSGSIZE);
	close(p[0]);
	assert_int_equal(buf_read_fd(&small, p[0]), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_printf),
		cmocka_unit_test(test_consume),
		cmocka_unit_test(test_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
