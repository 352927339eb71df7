#include "agent/http.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Decode from[0..len) to *to, which moves behind the terminator it writes. plus: '+' is a space (queries). */
static int decode(const char *from, size_t len, bool plus, char **to)
{
	char *out = *to;
	for (size_t i = 0; i < len; i++) {
		char c = from[i];
		if (c == '%') {
			int high = i + 2 < len ? hex_digit(from[i + 1]) : -1;
			int low = i + 2 < len ? hex_digit(from[i + 2]) : -1;
			if (high < 0 || low < 0)
				return -EINVAL;
			c = (char)(high << 4 | low);
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		if ((unsigned char)c < 0x20 || c == 0x7f)
			return -EINVAL;
		*out++ = c;
	}
	*out++ = '\0';
	*to = out;
	return 0;
}

static int add_segment(struct http_target *t, const char *from, size_t len, char **to, struct err *err)
{
	if (len == 0)
		return err_set(err, 0, "the path has an empty part");
	if (t->segments == HTTP_SEGMENTS_MAX)
		return err_set(err, 0, "the path has more than %d parts", HTTP_SEGMENTS_MAX);
	const char *text = *to;
	if (decode(from, len, false, to) < 0)
		return err_set(err, 0, "part %zu of the path is not percent-encoded text", t->segments + 1);
	bool slash = strchr(text, '/') && !str_starts(text, "acs:"); /* of names only an ARN has any */
	if (strcmp(text, ".") == 0 || strcmp(text, "..") == 0 || slash)
		return err_set(err, 0, "part %zu of the path is \".\", \"..\" or holds a \"/\"", t->segments + 1);
	t->segment[t->segments++] = text;
	return 0;
}

static int add_query(struct http_target *t, const char *from, size_t len, char **to, struct err *err)
{
	if (len == 0)
		return 0;
	if (t->queries == HTTP_QUERY_MAX)
		return err_set(err, 0, "the query has more than %d parameters", HTTP_QUERY_MAX);
	const char *eq = memchr(from, '=', len);
	size_t name_len = eq ? (size_t)(eq - from) : len;
	const char *name = *to;
	int r = decode(from, name_len, true, to);
	const char *value = *to;
	if (r == 0)
		r = eq ? decode(eq + 1, len - name_len - 1, true, to) : decode("", 0, true, to);
	if (r < 0)
		return err_set(err, 0, "parameter %zu of the query is not percent-encoded text", t->queries + 1);
	t->query[t->queries].name = name;
	t->query[t->queries++].value = value;
	return 0;
}

int http_target_parse(const char *raw, struct http_target *ret, struct err *err)
{
	size_t len = strlen(raw);
	ret->segments = ret->queries = 0;
	if (len > HTTP_TARGET_MAX) {
		err_set(err, EMSGSIZE, "path and query are %zu bytes, more than %d", len, HTTP_TARGET_MAX);
		return -EMSGSIZE;
	}
	if (raw[0] != '/')
		return err_set(err, 0, "the path does not begin with \"/\"");

	char *to = ret->text; /* each part shrinks or keeps its length and its separator pays for the NUL */
	const char *p = raw + 1;
	size_t path_len = strcspn(p, "?#");
	const char *end = p + path_len;
	while (p < end) {
		const char *slash = memchr(p, '/', (size_t)(end - p));
		size_t n = slash ? (size_t)(slash - p) : (size_t)(end - p);
		int r = add_segment(ret, p, n, &to, err);
		if (r < 0)
			return r;
		p += n + 1;
	}
	if (*end != '?')
		return 0;
	for (p = end + 1; *p && *p != '#';) {
		size_t n = strcspn(p, "&#");
		/* a parameter without "=" needs a second NUL: there is room, the "/" or "?" before it paid */
		if ((size_t)(to - ret->text) + n + 2 > sizeof(ret->text))
			return err_set(err, EMSGSIZE, "the query is too long");
		int r = add_query(ret, p, n, &to, err);
		if (r < 0)
			return r;
		p += n;
		p += *p == '&';
	}
	return 0;
}

const char *http_query(const struct http_target *t, const char *name)
{
	for (size_t i = 0; i < t->queries; i++)
		if (strcmp(t->query[i].name, name) == 0)
			return t->query[i].value;
	return NULL;
}

const char *http_query_unknown(const struct http_target *t, const char *const *known)
{
	for (size_t i = 0; i < t->queries; i++) {
		const char *const *k = known;
		while (*k && strcmp(*k, t->query[i].name) != 0)
			k++;
		if (!*k)
			return t->query[i].name;
	}
	return NULL;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int http_base64_decode(const char *text, size_t len, struct buf *out)
{
	if (len % 4)
		return -EINVAL;
	size_t pad = 0;
	while (pad < 2 && len > pad && text[len - 1 - pad] == '=')
		pad++;
	size_t size = len / 4 * 3 - pad;
	int r = buf_reserve(out, size + 3);
	if (r < 0)
		return r;

	unsigned char *to = (unsigned char *)out->data + out->len;
	for (size_t i = 0; i < len; i += 4) {
		uint32_t bits = 0;
		for (size_t k = 0; k < 4; k++) {
			int v = i + k >= len - pad ? 0 : base64_value(text[i + k]);
			if (v < 0)
				return -EINVAL;
			bits = bits << 6 | (uint32_t)v;
		}
		*to++ = (unsigned char)(bits >> 16);
		*to++ = (unsigned char)(bits >> 8);
		*to++ = (unsigned char)bits;
	}
	out->len += size;
	out->data[out->len] = '\0';
	return 0;
}

int http_base64_encode(const void *data, size_t len, struct buf *out)
{
	const unsigned char *p = data;
	int r = buf_reserve(out, (len + 2) / 3 * 4);
	for (size_t i = 0; r == 0 && i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t bits = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0);
		char quad[4] = { alphabet[bits >> 18], alphabet[bits >> 12 & 63],
				 n > 1 ? alphabet[bits >> 6 & 63] : '=', n > 2 ? alphabet[bits & 63] : '=' };
		r = buf_append(out, quad, sizeof(quad));
	}
	return r;
}

bool http_etag_matches(const char *header, const char *etag)
{
	size_t len = strlen(etag);
	for (const char *p = header; *p;) {
		p += strspn(p, " \t,");
		size_t n = strcspn(p, ",");
		while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
			n--;
		if (n == 1 && *p == '*')
			return true;
		if (n == len + 2 && p[0] == '"' && p[n - 1] == '"' && memcmp(p + 1, etag, len) == 0)
			return true;
		if (n == len && memcmp(p, etag, len) == 0 && n > 0)
			return true;
		p += strcspn(p, ",");
	}
	return false;
}
