/* agent/auth: what real clients sign is taken once and in time; all else is refused with its own code, and no secret said. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "acs3-vectors.h"
#include "agent/auth.h"
#include "agent/config.h"
#include "agent/stats.h"
#include "base/cleanup.h"
#include "base/fd.h"

#define OTHER_SECRET "another-secret-987654321"

static struct play {
	struct config config;
	struct stats stats;
	struct auth *auth;
	char dir[32];
	struct err err;
	const struct principal *who;
	char body[ACS3_HEX];
} play;

static struct principals *table(const char *secret)
{
	char text[400];
	struct principals *t = NULL;
	snprintf(text, sizeof(text), "principal ci\ntenant a\nkey " VECTOR_KEY " %s\nkey AKIDci2 " OTHER_SECRET "\n", secret);
	assert_int_equal(principals_parse(text, strlen(text), &t, &play.err), 0);
	return t;
}

static void open_auth(const char *secret)
{
	if (auth_new(&play.auth, &play.config, play.dir, table(secret), &play.stats, &play.err) < 0)
		fail_msg("%s", play.err.text);
}

static int set_up(void **state)
{
	(void)state;
	memset(&play, 0, sizeof(play));
	strcpy(play.dir, "/tmp/test-auth.XXXXXX");
	assert_non_null(mkdtemp(play.dir));
	play.config.max_clock_skew_ms = 900000;
	play.config.max_nonces = 1000;
	open_auth(VECTOR_SECRET);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	auth_free(play.auth);
	return fd_remove_tree_at(AT_FDCWD, play.dir);
}

/* Vector v with its header `name` (NULL: none) given another value (NULL: left out). */
static enum api_code check_with(const struct vector *v, int64_t now, const char *name, const char *value)
{
	static struct http_target t;
	struct acs3_header h[16];
	size_t n = 0;
	play.err = (struct err)ERR_INIT;
	play.who = NULL;
	for (size_t i = 0; v->header[i].name; i++) {
		h[n] = v->header[i];
		if (name && strcmp(name, h[n].name) == 0)
			h[n].value = value;
		n += h[n].value != NULL;
	}
	assert_int_equal(http_target_parse(v->raw, &t, &play.err), 0);
	const struct acs3_request q = { v->method, v->raw, &t, h, n };
	const struct cred *cred;
	enum api_code code = auth_check(play.auth, &q, now, &play.who, &cred, play.body, &play.err);
	assert_null(cred);
	assert_null(strstr(play.err.text, "secret-of"));
	assert_null(strstr(play.err.hint, "secret-of"));
	assert_null(strstr(play.err.text, strrchr(v->header[vector_headers(v->header) - 1].value, '=') + 1)); /* the right signature */
	assert_true((code == API_CODE_MAX) == (play.who != NULL));
	return code;
}

#define assert_refused(code, want, says)                                          \
	do {                                                                      \
		enum api_code got_ = (code);                                      \
		if (got_ != (want) || !strstr(play.err.text, says))               \
			fail_msg("%d: %s", (int)got_, play.err.text);             \
	} while (0)

static void what_clients_sign_is_taken(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		auth_free(play.auth); /* their nonce is one */
		assert_int_equal(fd_remove_tree_at(AT_FDCWD, play.dir), 0);
		strcpy(play.dir, "/tmp/test-auth.XXXXXX");
		assert_non_null(mkdtemp(play.dir));
		open_auth(VECTOR_SECRET);
		if (check_with(&vectors[i], VECTOR_DATE_S + 5, NULL, NULL) != API_CODE_MAX)
			fail_msg("%zu: %s", i, play.err.text);
		assert_string_equal(play.who->name, "ci");
		assert_int_equal(strlen(play.body), 64);
	}
}

static void what_is_missing_is_named(void **state)
{
	static const char *const needed[] = { "Authorization", "X-Acs-Date", "x-acs-signature-nonce", "x-acs-content-sha256" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		assert_int_equal(check_with(&vectors[0], VECTOR_DATE_S, needed[i], NULL), API_MISSING_HEADER);
		assert_non_null(strcasestr(play.err.text, needed[i]));
	}
	assert_refused(check_with(&vectors[0], VECTOR_DATE_S, "Host", NULL), API_SIGNATURE, "host is signed and not there");
}

static void what_is_malformed_is_named(void **state)
{
	char longest[200];
	(void)state;
	memset(longest, 'n', sizeof(longest));
	longest[AUTH_NONCE_MAX + 1] = '\0';
	const struct {
		const char *name, *value, *says;
	} bad[] = {
		{ "Authorization", "Bearer x", "scheme" },
		{ "X-Acs-Date", "today", "x-acs-date" },
		{ "x-acs-signature-nonce", "", "x-acs-signature-nonce" },
		{ "x-acs-signature-nonce", longest, "1 to 128" },
		{ "x-acs-content-sha256", "UNSIGNED-PAYLOAD", "UNSIGNED-PAYLOAD" },
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_refused(check_with(&vectors[0], VECTOR_DATE_S, bad[i].name, bad[i].value), API_INVALID_ARGUMENT, bad[i].says);
}

static void what_was_changed_is_noticed(void **state)
{
	struct vector v = vectors[1];
	(void)state;
	assert_refused(check_with(&v, VECTOR_DATE_S, "Host", "evil:9100"), API_SIGNATURE, "not that of key 'AKIDci'");
	assert_refused(check_with(&v, VECTOR_DATE_S, "x-acs-action", "Y"), API_SIGNATURE, "not that");
	assert_refused(check_with(&v, VECTOR_DATE_S, "X-Acs-Date", "2026-11-22T10:00:01Z"), API_SIGNATURE, "not that");
	assert_refused(check_with(&v, VECTOR_DATE_S, "x-acs-signature-nonce", "1"), API_SIGNATURE, "not that");
	assert_refused(check_with(&v, VECTOR_DATE_S, "x-acs-content-sha256", EMPTY_SHA256), API_SIGNATURE, "not that");
	v.method = "PUT";
	assert_refused(check_with(&v, VECTOR_DATE_S, NULL, NULL), API_SIGNATURE, "not that");
	v.method = "POST";
	v.raw = "/2023-03-30/functions/other/invocations?qualifier=prod";
	assert_refused(check_with(&v, VECTOR_DATE_S, NULL, NULL), API_SIGNATURE, "not that");
	v.raw = "/2023-03-30/functions/hello/invocations?qualifier=1";
	assert_refused(check_with(&v, VECTOR_DATE_S, NULL, NULL), API_SIGNATURE, "not that");
	auth_reload(play.auth, table(OTHER_SECRET));
	assert_refused(check_with(&vectors[1], VECTOR_DATE_S, NULL, NULL), API_SIGNATURE, "not that");
	auth_reload(play.auth, table(VECTOR_SECRET));
	/* none of these spent the nonce: only what is well signed is remembered */
	assert_int_equal(play.stats.auth_nonces, 0);
	assert_int_equal(check_with(&vectors[1], VECTOR_DATE_S, NULL, NULL), API_CODE_MAX);
}

static void who_is_unknown(void **state)
{
	struct principals *none = NULL;
	(void)state;
	assert_int_equal(principals_parse("", 0, &none, &play.err), 0);
	auth_reload(play.auth, none);
	assert_refused(check_with(&vectors[0], VECTOR_DATE_S, NULL, NULL), API_UNKNOWN_KEY, "'AKIDci' is not known");
}

static void both_clocks_are_named(void **state)
{
	(void)state;
	assert_refused(check_with(&vectors[0], VECTOR_DATE_S + 901, NULL, NULL), API_TIME_EXPIRED,
		       "x-acs-date is 2026-11-22T10:00:00Z and this node's clock says 2026-11-22T10:15:01Z: 901 s apart, at most 900");
	assert_refused(check_with(&vectors[0], VECTOR_DATE_S - 901, NULL, NULL), API_TIME_EXPIRED, "max-clock-skew");
	assert_int_equal(check_with(&vectors[0], VECTOR_DATE_S - 900, NULL, NULL), API_CODE_MAX);
}

static void once_also_across_a_restart(void **state)
{
	(void)state;
	assert_int_equal(check_with(&vectors[0], VECTOR_DATE_S, NULL, NULL), API_CODE_MAX);
	for (int64_t t = -900; t <= 900; t += 100)
		assert_refused(check_with(&vectors[0], VECTOR_DATE_S + t, NULL, NULL), API_NONCE_USED, "came already");
	assert_refused(check_with(&vectors[3], VECTOR_DATE_S, NULL, NULL), API_NONCE_USED, "came already"); /* the same nonce */
	auth_free(play.auth);
	open_auth(VECTOR_SECRET);
	assert_refused(check_with(&vectors[0], VECTOR_DATE_S, NULL, NULL), API_TIME_EXPIRED, "before this node's agent started");
}

static void full_is_refused_by_name(void **state)
{
	(void)state;
	auth_free(play.auth);
	play.config.max_nonces = 1; /* a share is half of it */
	open_auth(VECTOR_SECRET);
	assert_refused(check_with(&vectors[0], VECTOR_DATE_S, NULL, NULL), API_RESOURCE_EXHAUSTED, "max-nonces");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_clients_sign_is_taken), TEST(what_is_missing_is_named), TEST(what_is_malformed_is_named),
		TEST(what_was_changed_is_noticed), TEST(who_is_unknown), TEST(both_clocks_are_named), TEST(once_also_across_a_restart),
		TEST(full_is_refused_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
