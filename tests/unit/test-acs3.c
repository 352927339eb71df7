/* agent/acs3: the header is taken apart or refused, and the canonical request is the one that clients hash. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "acs3-vectors.h"
#include "base/cleanup.h"

#define SIG "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_header(void **state)
{
	struct acs3_auth a;
	struct err err = ERR_INIT;
	(void)state;
	assert_int_equal(acs3_parse("ACS3-HMAC-SHA256 Credential=LTAI.x-1,SignedHeaders=host;x-acs-date,Signature=" SIG, &a, &err), 0);
	assert_string_equal(a.key, "LTAI.x-1");
	assert_string_equal(a.names, "host;x-acs-date");
	assert_string_equal(a.signature, SIG);
}

static void test_header_refused(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "", "scheme" },
		{ "Basic eA==", "scheme" },
		{ "acs3-hmac-sha256 Credential=a,SignedHeaders=host,Signature=" SIG, "scheme" },
		{ "ACS3-HMAC-SM3 Credential=a,SignedHeaders=host,Signature=" SIG, "scheme" },
		{ "ACS3-HMAC-SHA256 ", "Credential" },
		{ "ACS3-HMAC-SHA256  Credential=a,SignedHeaders=host,Signature=" SIG, "Credential" },
		{ "ACS3-HMAC-SHA256 Credential=,SignedHeaders=host,Signature=" SIG, "Credential" },
		{ "ACS3-HMAC-SHA256 Credential=a", "Credential" },
		{ "ACS3-HMAC-SHA256 Credential=a b,SignedHeaders=host,Signature=" SIG, "access key id" },
		{ "ACS3-HMAC-SHA256 Credential=a/b,SignedHeaders=host,Signature=" SIG, "access key id" },
		{ "ACS3-HMAC-SHA256 Credential=" SIG "x,SignedHeaders=host,Signature=" SIG, "64 bytes" },
		{ "ACS3-HMAC-SHA256 SignedHeaders=host,Credential=a,Signature=" SIG, "Credential" },
		{ "ACS3-HMAC-SHA256 Credential=a, SignedHeaders=host,Signature=" SIG, "SignedHeaders" },
		{ "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=,Signature=" SIG, "SignedHeaders" },
		{ "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=Host,Signature=" SIG, "lower-case" },
		{ "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host;,Signature=" SIG, "lower-case" },
		{ "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=;host,Signature=" SIG, "lower-case" },
		{ "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=x-b;host,Signature=" SIG, "sorted" },
		{ "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host;host,Signature=" SIG, "sorted" },
		{ "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=hosts;host,Signature=" SIG, "sorted" },
		{ "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=a;b;c;d;e;f;g;h;i;j;k;l;m;n;o;p;q;r;s;t;u;v;w;x;y;z;za;zb;zc;zd;ze;zf;zg,Signature=" SIG, "more than 32" },
		{ "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host,Signature=" SIG "0", "Signature" },
		{ "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host,Signature=abc", "hex digits" },
		{ "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host,Signature=0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef", "hex digits" },
		{ "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=host", "SignedHeaders" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct acs3_auth a;
		struct err err = ERR_INIT;
		if (acs3_parse(bad[i].text, &a, &err) >= 0 || !strstr(err.text, bad[i].says))
			fail_msg("%s: %s", bad[i].text, err.text);
	}
}

static void test_date(void **state)
{
	static const char *const bad[] = { "", "2026-11-22T10:00:00", "2026-11-22 10:00:00Z", "2026-11-22T10:00:00ZZ", "2026-02-31T10:00:00Z",
					   "2026-13-01T00:00:00Z", "2026-11-22T24:00:00Z", "2026-11-22T10:60:00Z", "20261122T100000Z",
					   "2026-11-22T10:00:61Z", "+026-11-22T10:00:00Z", "2026-00-22T10:00:00Z", "0026-11-22T10:00:00Z" };
	int64_t s;
	char text[21];
	(void)state;
	assert_int_equal(acs3_date(VECTOR_DATE, &s), 0);
	assert_int_equal(s, VECTOR_DATE_S);
	acs3_date_text(s, text);
	assert_string_equal(text, VECTOR_DATE);
	assert_int_equal(acs3_date("2024-02-29T23:59:59Z", &s), 0);
	assert_int_equal(s, 1709251199);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (acs3_date(bad[i], &s) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
}

static int canonical(const char *raw, const struct acs3_header *h, const char *names, struct buf *out, struct err *err)
{
	static struct http_target t;
	struct acs3_auth a = { .key = "a" };
	*err = (struct err)ERR_INIT;
	strcpy(a.names, names);
	assert_int_equal(http_target_parse(raw, &t, err), 0);
	buf_reset(out);
	const struct acs3_request q = { "GET", raw, &t, h, vector_headers(h) };
	return acs3_canonical(&q, &a, EMPTY_SHA256, out, err);
}

static void test_canonical(void **state)
{
	const struct acs3_header h[] = { VECTOR_HEADERS(EMPTY_SHA256), { "X-Acs-Extra", " \ta b\t " }, { NULL, NULL } };
	autobuf struct buf out = BUF_INIT(4096);
	struct err err;
	(void)state;
	assert_int_equal(canonical("/a%7Eb*c?z=1&a=x+y%2F*~&m#no", h,
				   "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-extra;x-acs-signature-nonce;x-acs-version", &out, &err), 0);
	assert_string_equal(out.data,
			    "GET\n/a~b%2Ac\na=x%20y%2F%2A~&m=&z=1\nhost:127.0.0.1:9100\nx-acs-action:X\nx-acs-content-sha256:" EMPTY_SHA256
			    "\nx-acs-date:" VECTOR_DATE "\nx-acs-extra:a b\nx-acs-signature-nonce:0123456789abcdef\nx-acs-version:2023-03-30\n"
			    "\nhost;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-extra;x-acs-signature-nonce;x-acs-version\n" EMPTY_SHA256);
}

/* What is acted on cannot be added, doubled or left out on the way. */
static void test_canonical_refused(void **state)
{
	const struct acs3_header plain[] = { VECTOR_HEADERS(EMPTY_SHA256), { NULL, NULL } };
	const struct acs3_header extra[] = { VECTOR_HEADERS(EMPTY_SHA256), { "X-ACS-New", "1" }, { NULL, NULL } };
	const struct acs3_header tenant[] = { VECTOR_HEADERS(EMPTY_SHA256), { "X-Fcnode-Tenant", "b" }, { NULL, NULL } };
	const struct acs3_header twice[] = { VECTOR_HEADERS(EMPTY_SHA256), { "host", "other" }, { NULL, NULL } };
	const struct {
		const char *raw;
		const struct acs3_header *header;
		const char *names, *says;
	} bad[] = {
		{ "/", plain, "x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version", "lack host" },
		{ "/", plain, "host;x-acs-action;x-acs-date;x-acs-signature-nonce;x-acs-version", "lack x-acs-content-sha256" },
		{ "/", plain, "host;x-acs-action;x-acs-content-sha256;x-acs-signature-nonce;x-acs-version", "lack x-acs-date" },
		{ "/", plain, "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-version", "lack x-acs-signature-nonce" },
		{ "/", plain, "host;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version", "lack x-acs-action" },
		{ "/", extra, VECTOR_NAMES, "lack X-ACS-New" },
		{ "/", tenant, VECTOR_NAMES, "lack X-Fcnode-Tenant" },
		{ "/", twice, VECTOR_NAMES, "came twice" },
		{ "/", plain, "content-type;" VECTOR_NAMES, "not there" },
		{ "/?a=1&b=2&a=3", plain, VECTOR_NAMES, "'a' came twice" },
	};
	autobuf struct buf out = BUF_INIT(4096);
	autobuf struct buf small = BUF_INIT(100);
	struct err err;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (canonical(bad[i].raw, bad[i].header, bad[i].names, &out, &err) != -EINVAL || !strstr(err.text, bad[i].says))
			fail_msg("%zu: %s", i, err.text);
	assert_int_equal(canonical("/", plain, VECTOR_NAMES, &small, &err), -EMSGSIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header), cmocka_unit_test(test_header_refused), cmocka_unit_test(test_date),
		cmocka_unit_test(test_canonical), cmocka_unit_test(test_canonical_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
