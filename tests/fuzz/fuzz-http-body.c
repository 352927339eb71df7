/*
 * What a stranger sends to the agent's API: the target, and the JSON of a
 * create or update with its base64. Input: the target, a newline, the body.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/body.h"
#include "agent/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_body(const char *text, size_t len)
{
	struct body b;
	struct err err = ERR_INIT;
	struct function f;
	if (body_parse(text, len, 4096, &b, &err) != BODY_OK)
		return;
	if (b.has_zip && (b.zip.len == 0 || b.zip.len > 4096 + 3))
		abort();
	if (b.has_blob && strlen(b.digest) != BODY_DIGEST - 1)
		abort();
	if (b.has_zip) { /* what was decoded encodes to something that decodes to it */
		struct buf again = BUF_INIT(1 << 20), back = BUF_INIT(1 << 20);
		if (http_base64_encode(b.zip.data, b.zip.len, &again) < 0 ||
		    http_base64_decode(again.data, again.len, &back) < 0 || back.len != b.zip.len ||
		    memcmp(back.data, b.zip.data, back.len) != 0)
			abort();
		buf_fini(&again);
		buf_fini(&back);
	}
	function_init(&f);
	if (function_parse(b.object, NULL, &f, &err) == 0)
		function_fini(&f);
	body_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const known[] = { "limit", "prefix", NULL };
	struct http_target t;
	struct err err = ERR_INIT;
	const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
	size_t n = newline ? (size_t)(newline - data) : size;
	char *target = strndup((const char *)data, n);
	if (target && http_target_parse(target, &t, &err) == 0) {
		for (size_t i = 0; i < t.segments; i++)
			if (strchr(t.segment[i], '/') || !*t.segment[i])
				abort();
		http_query(&t, "limit");
		http_query_unknown(&t, known);
	}
	if (target)
		http_etag_matches(target, "a-1");
	free(target);
	if (newline)
		read_body((const char *)newline + 1, size - n - 1);
	return 0;
}
