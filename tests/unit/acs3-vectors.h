/*
 * Requests as a real client signs them, for test-acs3 and test-auth: made with getAuthorization() of
 * @alicloud/openapi-core 1.0.8, which @alicloud/fc20230330 signs with; key AKIDci, secret secret-of-ci-0123456789.
 */
#pragma once

#include "agent/acs3.h"

#define VECTOR_KEY "AKIDci"
#define VECTOR_SECRET "secret-of-ci-0123456789"
#define VECTOR_DATE "2026-11-22T10:00:00Z"
#define VECTOR_DATE_S 1795341600

#define VECTOR_HEADERS(body)                                                                                     \
	{ "Host", "127.0.0.1:9100" }, { "x-acs-version", "2023-03-30" }, { "x-acs-action", "X" },                 \
	{ "user-agent", "ua" }, { "X-Acs-Date", VECTOR_DATE }, { "x-acs-signature-nonce", "0123456789abcdef" },   \
	{ "accept", "application/json" }, { "x-acs-content-sha256", body }

#define VECTOR_NAMES "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version"
#define VECTOR_AUTH(names, signature) \
	{ "Authorization", "ACS3-HMAC-SHA256 Credential=" VECTOR_KEY ",SignedHeaders=" names ",Signature=" signature }
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const struct vector {
	const char *method, *raw;
	struct acs3_header header[16]; /* NULL-terminated */
} vectors[] = {
	{ "GET", "/2023-03-30/functions?limit=10&prefix=a%20b*c&nextToken=",
	  { VECTOR_HEADERS(EMPTY_SHA256),
	    VECTOR_AUTH(VECTOR_NAMES, "7ffe96dc9bd0f9e877d790defd887c17e5c17cc328a65f704d8ce46fa443f3aa") } },
	{ "POST", "/2023-03-30/functions/hello/invocations?qualifier=prod",
	  { VECTOR_HEADERS("a0da1fce57d0e4f9f0ae4e4cbe040d34dcc046255c6c8d18e97f55aaed0655f0"),
	    { "Content-Type", "application/octet-stream" }, { "x-fc-invocation-type", "Sync" },
	    VECTOR_AUTH("content-type;" VECTOR_NAMES, "76f0598873e5590fdcbe90f4892182c0bf2c091c98ba10dbfbb5e53181bbe744") } },
	{ "PUT", "/2023-03-30/functions/a%7Eb%20c%2Ad?z=it's%20(ok)!&a=%C3%A4&B=%2F",
	  { VECTOR_HEADERS("2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"),
	    { "content-type", " application/json; charset=utf-8 " },
	    VECTOR_AUTH("content-type;" VECTOR_NAMES, "27e90dc6226eb830cf32d44903ab11b48f8a0af6f208bed2255f8f58a03c5b60") } },
	{ "DELETE", "/2023-03-30/functions/hello",
	  { VECTOR_HEADERS(EMPTY_SHA256), { "x-acs-extra", "  spaced value " },
	    VECTOR_AUTH("host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-extra;x-acs-signature-nonce;x-acs-version",
			"bc403737973911d6a1c7863cdea5681bae3430c4a30a64196dd1d164bc556519") } },
};

static inline size_t vector_headers(const struct acs3_header *h)
{
	size_t n = 0;
	while (h[n].name)
		n++;
	return n;
}
