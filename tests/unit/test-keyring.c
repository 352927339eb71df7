/* keyring and seal: the file of keys, and what only the right key opens for the right thing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/seal.h"
#include "base/cleanup.h"

#define HEX "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"

static int parse(const char *text, struct keyring *k, struct err *err)
{
	*err = (struct err)ERR_INIT;
	return keyring_parse(text, strlen(text), k, err);
}

static void test_file(void **state)
{
	static struct keyring k;
	struct err err;
	(void)state;
	assert_int_equal(parse("", &k, &err), 0);
	assert_int_equal(k.count, 0);
	assert_int_equal(parse("# a comment\n\n  key\tnew.1_x-y " HEX " \r\n key old " HEX, &k, &err), 0);
	assert_int_equal(k.count, 2);
	assert_string_equal(k.key[0].id, "new.1_x-y");
	for (int i = 0; i < KEYRING_KEY_BYTES; i++)
		assert_int_equal(k.key[1].key[i], i);
	assert_ptr_equal(keyring_find(&k, "old"), &k.key[1]);
	assert_null(keyring_find(&k, "older"));
	keyring_wipe(&k);
	for (size_t i = 0; i < sizeof(k); i++)
		assert_int_equal(((unsigned char *)&k)[i], 0);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ HEX, "line 1: not \"key ID HEX\"" },
		{ "key " HEX, "line 1: not" },
		{ "key a " HEX " x", "line 1: not" },
		{ "\nkey a/b " HEX, "line 2: the id" },
		{ "key aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggg " HEX, "the id" },
		{ "key a " HEX "00", "key a: must be 32 bytes" },
		{ "key a 0g0102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F", "key a: must be 32 bytes" },
		{ "key a " HEX "\nkey a " HEX, "line 2: key a stands here twice" },
	};
	struct keyring k;
	struct err err;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_true(parse(bad[i].text, &k, &err) < 0);
		assert_non_null(strstr(err.text, bad[i].says));
		assert_null(strstr(err.text, "0405060708"));
		assert_int_equal(k.count, 0);
	}
	char text[20 * 80] = "", line[90];
	for (int i = 0; i <= KEYRING_KEYS_MAX; i++) {
		snprintf(line, sizeof(line), "key k%d " HEX "\n", i);
		strcat(text, line);
	}
	assert_true(parse(text, &k, &err) < 0);
	assert_non_null(strstr(err.text, "line 17: more than 16 keys"));
	err = (struct err)ERR_INIT;
	assert_true(keyring_parse("key\0", 4, &k, &err) < 0);
	assert_non_null(strstr(err.text, "NUL"));
}

static void test_seal(void **state)
{
	struct keyring k, other;
	struct err err;
	autobuf struct buf sealed = BUF_INIT(4096), again = BUF_INIT(4096), open = BUF_INIT(4096);
	(void)state;
	assert_int_equal(parse("key a " HEX, &k, &err), 0);
	assert_int_equal(parse("key a " HEX, &other, &err), 0);
	other.key[0].key[31] ^= 1;
	assert_int_equal(seal_text(&k.key[0], "acme", 4, "a text", 6, &sealed), 0);
	assert_int_equal(sealed.len, 6 + SEAL_EXTRA);
	assert_int_equal(seal_text(&k.key[0], "acme", 4, "a text", 6, &again), 0);
	assert_memory_not_equal(sealed.data, again.data, sealed.len);
	assert_null(memmem(sealed.data, sealed.len, "text", 4));
	assert_int_equal(seal_open(&k.key[0], "acme", 4, sealed.data, sealed.len, &open), 0);
	assert_int_equal(open.len, 6);
	assert_memory_equal(open.data, "a text", 7);

	assert_int_equal(seal_open(&other.key[0], "acme", 4, sealed.data, sealed.len, &open), -EBADMSG);
	assert_int_equal(seal_open(&k.key[0], "acmf", 4, sealed.data, sealed.len, &open), -EBADMSG);
	for (size_t cut = 0; cut < sealed.len; cut++)
		assert_int_equal(seal_open(&k.key[0], "acme", 4, sealed.data, cut, &open), -EBADMSG);
	for (size_t i = 0; i < sealed.len; i++) {
		sealed.data[i] ^= 0x10;
		assert_int_equal(seal_open(&k.key[0], "acme", 4, sealed.data, sealed.len, &open), -EBADMSG);
		sealed.data[i] ^= 0x10;
	}
	assert_int_equal(open.len, 6);
	autobuf struct buf small = BUF_INIT(10);
	assert_int_equal(seal_text(&k.key[0], "", 0, "a text", 6, &small), -EMSGSIZE);
	assert_int_equal(small.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_file), cmocka_unit_test(test_refused), cmocka_unit_test(test_seal) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
