/*
 * The head of a request over TCP, before anybody knows whose it is. Input: the target, the Authorization header and
 * x-acs-date, a line each; then header lines "name:value".
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/acs3.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *take_line(char **rest)
{
	char *line = *rest, *newline = line ? strchr(line, '\n') : NULL;
	if (newline)
		*newline = '\0';
	*rest = newline ? newline + 1 : NULL;
	return line;
}

static void check_auth(const struct acs3_auth *a)
{
	if (!a->key[0] || strlen(a->signature) != 64 || !a->names[0] || strspn(a->signature, "0123456789abcdef") != 64)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_target t;
	struct acs3_header h[ACS3_HEADERS_MAX];
	struct acs3_auth a;
	struct err err = ERR_INIT;
	struct buf out = BUF_INIT(8192);
	char *text = strndup((const char *)data, size), *rest = text, *line;
	size_t n = 0;
	if (!text)
		return 0;
	const char *target = take_line(&rest), *auth = take_line(&rest), *date = take_line(&rest);
	while (n < ACS3_HEADERS_MAX && (line = take_line(&rest)) != NULL) {
		char *colon = strchr(line, ':');
		if (colon)
			*colon = '\0';
		h[n++] = (struct acs3_header){ line, colon ? colon + 1 : NULL };
	}
	int64_t s;
	if (date && acs3_date(date, &s) == 0) { /* what is taken is written back as it was */
		char back[21];
		acs3_date_text(s, back);
		if (strcmp(back, date) != 0)
			abort();
	}
	if (auth && acs3_parse(auth, &a, &err) == 0) {
		check_auth(&a);
		const struct acs3_request q = { "POST", target, &t, h, n };
		if (http_target_parse(target, &t, &err) == 0 &&
		    acs3_canonical(&q, &a, "0000000000000000000000000000000000000000000000000000000000000000", &out, &err) == 0 &&
		    memchr(out.data, '\0', out.len))
			abort();
	}
	buf_fini(&out);
	free(text);
	return 0;
}
