/* creds: unlike each other, found while they hold, gone and wiped when they end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/creds.h"

static const struct caller who = {
	.tenant = "acme", .function = "f", .role = "r", .made = { .parent = "p", .root = "q", .depth = 3 },
};

static void test_life(void **state)
{
	struct creds *c;
	(void)state;
	assert_int_equal(creds_new(&c), 0);
	struct cred *a = creds_issue(c, &who, 1000), *b = creds_issue(c, &who, 2000);
	assert_non_null(a);
	assert_non_null(b);
	assert_string_not_equal(a->key.id, b->key.id);
	assert_string_not_equal(a->key.secret, b->key.secret);
	assert_string_not_equal(a->token, b->token);
	assert_memory_equal(a->key.id, CREDS_PREFIX, strlen(CREDS_PREFIX));
	assert_int_equal(strlen(a->key.secret), 40);
	assert_int_equal(strlen(a->token), 64);
	assert_string_equal(a->tenant, "acme");
	assert_string_equal(a->role, "r");
	assert_string_equal(a->made.root, "q");
	assert_int_equal(a->made.depth, 3);
	assert_ptr_equal(creds_find(c, a->key.id, 999), a);
	assert_null(creds_find(c, a->key.id, 1000)); /* over, though nobody took it back */
	assert_ptr_equal(creds_find(c, b->key.id, 1000), b);
	assert_null(creds_find(c, "STS.none", 0));
	char id[sizeof(a->key.id)];
	memcpy(id, a->key.id, sizeof(id));
	creds_revoke(a);
	assert_null(creds_find(c, id, 0));
	assert_ptr_equal(creds_find(c, b->key.id, 0), b);
	creds_revoke(NULL);
	assert_null(creds_free(c)); /* with what is left */
	assert_null(creds_free(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_life) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
