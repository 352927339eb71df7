/*
 * http - the parts of a request that libmicrohttpd does not read for us: the
 * target (path segments and query, percent-decoded, bounded), base64, entity
 * tags. Pure functions over a stranger's bytes; fuzzed (fuzz-http-body).
 *
 * A target is refused, never repaired: a NUL, a bad escape, an empty or dot
 * segment, too many parts. Nothing here allocates but base64 output.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum {
	HTTP_TARGET_MAX = 4096, /* path and query as sent (CONTRACTS 2: 4 KB) */
	HTTP_SEGMENTS_MAX = 8,
	HTTP_QUERY_MAX = 32,
};

struct http_target {
	size_t segments, queries;
	const char *segment[HTTP_SEGMENTS_MAX]; /* decoded, into text */
	struct {
		const char *name, *value;
	} query[HTTP_QUERY_MAX];
	char text[HTTP_TARGET_MAX + 1];
};

/* "/a/b%20c?x=1&y=" as sent. 0; -EMSGSIZE when longer than HTTP_TARGET_MAX; -EINVAL; err set. */
int http_target_parse(const char *raw, struct http_target *ret, struct err *err);

/* The first value of that name, or NULL. */
const char *http_query(const struct http_target *t, const char *name);

/* The first query name that `known` (NULL-terminated) does not hold, or NULL. */
const char *http_query_unknown(const struct http_target *t, const char *const *known);

/* Strict RFC 4648: no spaces, right padding. Appends to out. 0, -EINVAL, -EMSGSIZE (out's limit), -ENOMEM. */
int http_base64_decode(const char *text, size_t len, struct buf *out);
int http_base64_encode(const void *data, size_t len, struct buf *out);

/* Does the If-Match header value (a list of quoted tags, or *) hold this tag? */
bool http_etag_matches(const char *header, const char *etag);
