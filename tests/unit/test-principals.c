/* agent/principals: what a file says, what is refused by line, and who may do what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/principals.h"
#include "base/cleanup.h"

#define SECRET "0123456789abcdef"

static struct principals *parse(const char *text)
{
	struct principals *t = NULL;
	struct err err = ERR_INIT;
	if (principals_parse(text, strlen(text), &t, &err) < 0)
		fail_msg("%s", err.text);
	return t;
}

static void a_file(void **state)
{
	struct principals *t = parse("# who\n\nprincipal ci\n\ttenant a\r\n  allow fc:InvokeFunction fc:GetFunction on pay-*\n"
				     "allow fc:ListFunctions\nkey ID1 " SECRET "\nkey ID2 " SECRET "2\n"
				     "principal boss\nrole operator\n# none\nprincipal plain\nrole tenant\ntenant b");
	(void)state;
	assert_int_equal(t->count, 3);
	assert_int_equal(t->keys, 2);
	const struct principal *ci = principals_find(t, "ci"), *boss = principals_find(t, "boss"), *plain = principals_find(t, "plain");
	assert_string_equal(ci->tenant, "a");
	assert_string_equal(ci->key[1].id, "ID2");
	assert_string_equal(ci->key[1].secret, SECRET "2");
	assert_true(principal_may(ci, PERMISSION_INVOKE_FUNCTION, "pay-x"));
	assert_true(principal_may(ci, PERMISSION_INVOKE_FUNCTION, NULL));
	assert_false(principal_may(ci, PERMISSION_INVOKE_FUNCTION, "pa"));
	assert_false(principal_may(ci, PERMISSION_DELETE_FUNCTION, "pay-x"));
	assert_true(principal_may(ci, PERMISSION_LIST_FUNCTIONS, NULL));
	assert_false(principal_may(ci, PERMISSION_GET_INFO, NULL));
	assert_true(boss->is_operator);
	assert_string_equal(boss->tenant, "default");
	for (int i = 0; i < PERMISSION_MAX; i++)
		assert_true(principal_may(boss, (enum permission)i, "any"));
	assert_true(principal_may(plain, PERMISSION_DELETE_FUNCTION, "any"));
	assert_false(principal_may(plain, PERMISSION_LIST_PRINCIPALS, NULL));
	assert_null(principals_find(t, "nobody"));
	assert_ptr_equal(principals_ref(t), t);
	assert_null(principals_unref(t));
	assert_string_equal(principals_find(t, "ci")->name, "ci");
	principals_unref(t);
}

static void patterns(void **state)
{
	struct principals *t = parse("principal a\ntenant t\nallow *\nprincipal b\ntenant t\nallow fc:* on f\n"
				     "principal c\nrole operator\nallow node:*\nprincipal d\ntenant t\nallow node:ListPrincipals\n"
				     "principal e\ntenant t\nallow * on f*\n");
	(void)state;
	const struct principal *a = principals_find(t, "a"), *b = principals_find(t, "b"), *c = principals_find(t, "c");
	assert_true(principal_may(a, PERMISSION_PUT_BLOB, NULL));
	assert_false(principal_may(a, PERMISSION_LIST_PRINCIPALS, NULL)); /* a pattern gives only what tenants have */
	assert_true(principal_may(b, PERMISSION_INVOKE_FUNCTION, "f"));
	assert_false(principal_may(b, PERMISSION_INVOKE_FUNCTION, "ff"));
	assert_false(principal_may(b, PERMISSION_LIST_FUNCTIONS, NULL)); /* not about one function */
	assert_true(principal_may(c, PERMISSION_LIST_PRINCIPALS, NULL));
	assert_false(principal_may(c, PERMISSION_INVOKE_FUNCTION, "f"));
	assert_true(principal_may(principals_find(t, "d"), PERMISSION_LIST_PRINCIPALS, NULL));
	assert_true(principal_may(principals_find(t, "e"), PERMISSION_LIST_GRANTS, "fx"));
	assert_false(principal_may(principals_find(t, "e"), PERMISSION_GET_USAGE, NULL));
	principals_unref(t);
}

static void refused_by_line(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "tenant a\n", "line 1: \"tenant\" before" },
		{ "\nprincipal\n", "line 2: not \"principal NAME\"" },
		{ "principal a b\n", "not \"principal NAME\"" },
		{ "principal a:b\n", "not \"principal NAME\"" },
		{ "principal root\n", "always there" },
		{ "principal a\ntenant t\nprincipal a\n", "line 3: principal 'a' stands here twice" },
		{ "principal a\n", "has no tenant" },
		{ "principal a\nprincipal b\ntenant t\n", "line 2: principal 'a' has no tenant" },
		{ "principal a\nrole king\n", "not \"role operator\"" },
		{ "principal a\nrole tenant\nrole operator\n", "given once" },
		{ "principal a\nallow fc:*\nrole operator\n", "before the first" },
		{ "principal a\ntenant t\ntenant t\n", "has a tenant already" },
		{ "principal a\ntenant ../x\n", "not \"tenant NAME\"" },
		{ "principal a\ntenant t\nallow\n", "not \"allow ACTION" },
		{ "principal a\ntenant t\nallow on f\n", "not \"allow ACTION" },
		{ "principal a\ntenant t\nallow fc:Everything\n", "fc:Everything: no such permission" },
		{ "principal a\ntenant t\nallow fc:Inv*\n", "no such permission" },
		{ "principal a\ntenant t\nallow fc:InvokeFunction on *\n", "not a function's name" },
		{ "principal a\ntenant t\nallow fc:InvokeFunction on a/b\n", "not a function's name" },
		{ "principal a\ntenant t\nallow fc:ListFunctions on f\n", "not about one function" },
		{ "principal a\ntenant t\nkey ID\n", "not \"key ID SECRET\"" },
		{ "principal a\ntenant t\nkey I/D " SECRET "\n", "an access key id has" },
		{ "principal a\ntenant t\nkey ID hush-hush\n", "16 to 128" },
		{ "principal a\ntenant t\nkey ID " SECRET "\nkey ID " SECRET "\n", "stands here twice" },
		{ "principal a\ntenant t\nkey 1 " SECRET "\nkey 2 " SECRET "\nkey 3 " SECRET "\nkey 4 " SECRET "\nkey 5 " SECRET "\n",
		  "more than 4 keys" },
		{ "hush-hush-hush-hush\n", "a line begins with" },
		{ "principal a b c d e f g h i j k l m n o p q r s t u v w x y z 1 2 3 4 5 6 7\n", "more than 32 words" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct principals *t = NULL;
		struct err err = ERR_INIT;
		if (principals_parse(bad[i].text, strlen(bad[i].text), &t, &err) >= 0 || t || !strstr(err.text, bad[i].says))
			fail_msg("%s: %s", bad[i].text, err.text);
		assert_null(strstr(err.text, "hush")); /* no secret in a message, wherever it stands */
		assert_null(strstr(err.text, SECRET));
	}
}

static void bounds(void **state)
{
	static char text[PRINCIPALS_FILE_MAX];
	struct principals *t = NULL;
	struct err err = ERR_INIT;
	size_t n = 0;
	(void)state;
	for (int i = 0; i <= PRINCIPALS_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "principal p%d\ntenant t\n", i);
	assert_true(principals_parse(text, n, &t, &err) < 0);
	assert_non_null(strstr(err.text, "more than 256 principals"));
	memset(text, '#', 2000);
	assert_true(principals_parse(text, 2000, &t, &err) < 0);
	assert_non_null(strstr(err.text, "longer than"));
	assert_true(principals_parse("a\0b", 3, &t, &err) < 0);
	n = (size_t)snprintf(text, sizeof(text), "principal p\ntenant t\n");
	for (int i = 0; i <= PRINCIPAL_GRANTS_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "allow fc:* on f%d\n", i);
	assert_true(principals_parse(text, n, &t, &err) < 0);
	assert_non_null(strstr(err.text, "more than 8 \"allow\" lines"));
	assert_int_equal(principals_parse("", 0, &t, &err), 0);
	assert_int_equal(t->count, 0);
	principals_unref(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file), cmocka_unit_test(patterns), cmocka_unit_test(refused_by_line), cmocka_unit_test(bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
