/* The codec of the runtime channel: every rule of ipc/channel.h, from both sides. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/channel.h"

static int decode(uint32_t len, uint8_t type, uint8_t flags, uint8_t r6, uint8_t r7)
{
	unsigned char raw[CHANNEL_HEADER];
	struct channel_frame f = { .len = len, .type = type, .flags = flags }, got, before;

	channel_encode(raw, &f);
	raw[6] = r6;
	raw[7] = r7;
	memset(&got, 0xa5, sizeof(got));
	before = got;
	int r = channel_decode(raw, &got);
	if (r == 0) {
		assert_int_equal(got.len, len);
		assert_int_equal(got.type, type);
		assert_int_equal(got.flags, flags);
	} else {
		assert_int_equal(r, -EPROTO);
		assert_memory_equal(&got, &before, sizeof(got)); /* untouched */
	}
	return r;
}

static void test_bytes(void **state)
{
	(void)state;
	const unsigned char want[CHANNEL_HEADER] = { 0x04, 0x03, 0x02, 0x01, CHANNEL_EVENT, CHANNEL_LAST, 0, 0 };
	unsigned char raw[CHANNEL_HEADER];
	memset(raw, 0xff, sizeof(raw));
	channel_encode(raw, &(struct channel_frame){ .len = 0x01020304, .type = CHANNEL_EVENT, .flags = CHANNEL_LAST });
	assert_memory_equal(raw, want, sizeof(want));
}

static void test_lengths(void **state)
{
	(void)state;
	static const struct {
		uint8_t type;
		uint32_t max;
	} limits[] = {
		{ CHANNEL_READY, 0 },
		{ CHANNEL_INIT_ERROR, CHANNEL_ERROR_MAX },
		{ CHANNEL_ERROR, CHANNEL_ERROR_MAX },
		{ CHANNEL_REPLY, CHANNEL_FRAME_MAX },
	};
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		assert_int_equal(decode(limits[i].max, limits[i].type, 0, 0, 0), 0);
		assert_int_equal(decode(limits[i].max + 1, limits[i].type, 0, 0, 0), -EPROTO);
		assert_int_equal(decode(UINT32_MAX, limits[i].type, 0, 0, 0), -EPROTO);
	}
}

static void test_types(void **state)
{
	(void)state;
	for (unsigned type = 0; type < 256; type++) {
		int known = type == CHANNEL_READY || type == CHANNEL_INIT_ERROR || type == CHANNEL_ERROR;
		assert_int_equal(decode(0, (uint8_t)type, 0, 0, 0), known ? 0 : -EPROTO);
		assert_int_equal(decode(0, (uint8_t)type, CHANNEL_LAST, 0, 0), type == CHANNEL_REPLY ? 0 : -EPROTO);
	}
}

static void test_flags_and_reserved(void **state)
{
	(void)state;
	for (unsigned flags = 0; flags < 256; flags++)
		assert_int_equal(decode(1, CHANNEL_REPLY, (uint8_t)flags, 0, 0), flags <= CHANNEL_LAST ? 0 : -EPROTO);
	for (unsigned bit = 0; bit < 8; bit++) {
		assert_int_equal(decode(1, CHANNEL_REPLY, 0, (uint8_t)(1u << bit), 0), -EPROTO);
		assert_int_equal(decode(1, CHANNEL_REPLY, 0, 0, (uint8_t)(1u << bit)), -EPROTO);
	}
}

/* A body cannot be drawn out with frames that carry nothing. */
static void test_empty_reply_is_the_last(void **state)
{
	(void)state;
	assert_int_equal(decode(0, CHANNEL_REPLY, 0, 0, 0), -EPROTO);
	assert_int_equal(decode(0, CHANNEL_REPLY, CHANNEL_LAST, 0, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_flags_and_reserved),
		cmocka_unit_test(test_empty_reply_is_the_last),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
