/*
 * acs3 - the signature ACS3-HMAC-SHA256 as far as it is text: the
 * Authorization header taken apart, x-acs-date, and the canonical request that
 * both sides hash. Pure functions over a stranger's bytes; fuzzed (fuzz-acs3).
 *
 * Stricter than the scheme where it leaves room: one header line for each
 * signed name, one value for each query parameter, and every x-acs-* header
 * and X-Fcnode-Tenant must be among the signed ones, so that nobody on the way
 * can add or exchange what is acted on.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "agent/http.h"
#include "base/buf.h"
#include "base/err.h"

enum {
	ACS3_KEY_MAX = 64,
	ACS3_SIGNED_MAX = 32,       /* names in SignedHeaders */
	ACS3_SIGNED_BYTES = 1024,   /* of SignedHeaders as sent */
	ACS3_HEADERS_MAX = 100,     /* header lines of a signed request */
	ACS3_CANONICAL_MAX = 64 << 10,
	ACS3_HEX = 65,              /* a SHA-256 in hexadecimal, terminated */
};

struct acs3_auth {
	char key[ACS3_KEY_MAX + 1];
	char names[ACS3_SIGNED_BYTES + 1]; /* SignedHeaders as sent */
	char signature[ACS3_HEX];
};

/* One line of the head; both borrowed, the name in any case. */
struct acs3_header {
	const char *name, *value;
};

/* "ACS3-HMAC-SHA256 Credential=ID,SignedHeaders=a;b,Signature=HEX": 0 or -EINVAL with err. */
int acs3_parse(const char *text, struct acs3_auth *ret, struct err *err);

/* "2026-11-22T10:00:00Z" to seconds since the epoch: 0 or -EINVAL. And back; out holds 21 bytes. */
int acs3_date(const char *text, int64_t *ret);
void acs3_date_text(int64_t s, char out[21]);

/* The one line of that name. 0; -ENOENT when it is missing, -EEXIST when it came twice. */
int acs3_find(const struct acs3_header *h, size_t n, const char *name, const char **ret);

struct acs3_request {
	const char *method, *raw;         /* the target as sent */
	const struct http_target *target; /* the same, parsed */
	const struct acs3_header *header;
	size_t headers;
};

/* Append the canonical request to out. 0, -EINVAL with err (a header is missing, doubled or not signed), or as buf. */
int acs3_canonical(const struct acs3_request *q, const struct acs3_auth *a, const char *body_sha256, struct buf *out,
		   struct err *err);
