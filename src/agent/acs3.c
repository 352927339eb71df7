#include "agent/acs3.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/str.h"

#define SCHEME "ACS3-HMAC-SHA256 "

/* ---- the header ---------------------------------------------------------- */

/* "NAME=value" up to `end` into out; *p moves behind the end. */
static int take(const char **p, const char *name, char end, char *out, size_t size, struct err *err)
{
	size_t n = strlen(name);
	if (strncmp(*p, name, n) != 0 || (*p)[n] != '=')
		return err_set(err, 0, "Authorization: %s= is missing where it must stand", name);
	const char *from = *p + n + 1, *to = end ? strchr(from, end) : from + strlen(from);
	if (!to || to == from || (size_t)(to - from) >= size)
		return err_set(err, 0, "Authorization: %s has no value, or one of more than %zu bytes", name, size - 1);
	memcpy(out, from, (size_t)(to - from));
	out[to - from] = '\0';
	*p = to + (end ? 1 : 0);
	return 0;
}

static bool is_key(const char *s)
{
	for (; *s; s++)
		if (!(*s >= 'a' && *s <= 'z') && !(*s >= 'A' && *s <= 'Z') && !(*s >= '0' && *s <= '9') && !strchr("._-", *s))
			return false;
	return true;
}

/* Lower-case header names, each greater than the one before. */
static int check_names(const char *names, struct err *err)
{
	const char *before = "";
	size_t before_len = 0, count = 0;
	for (const char *p = names;; count++) {
		size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789-_");
		if (n == 0 || (p[n] && p[n] != ';'))
			return err_set(err, 0, "Authorization: SignedHeaders are not lower-case names joined by \";\"");
		int order = strncmp(before, p, before_len < n ? before_len : n);
		if (count > 0 && (order > 0 || (order == 0 && before_len >= n)))
			return err_set(err, 0, "Authorization: SignedHeaders are not sorted, or name a header twice");
		if (count == ACS3_SIGNED_MAX)
			return err_set(err, 0, "Authorization: more than %d SignedHeaders", ACS3_SIGNED_MAX);
		if (!p[n])
			return 0;
		before = p;
		before_len = n;
		p += n + 1;
	}
}

int acs3_parse(const char *text, struct acs3_auth *ret, struct err *err)
{
	if (!str_starts(text, SCHEME))
		return err_set(err, 0, "Authorization: not of the scheme ACS3-HMAC-SHA256");
	const char *p = text + strlen(SCHEME);
	int r = take(&p, "Credential", ',', ret->key, sizeof(ret->key), err);
	if (r == 0)
		r = take(&p, "SignedHeaders", ',', ret->names, sizeof(ret->names), err);
	if (r == 0)
		r = take(&p, "Signature", '\0', ret->signature, sizeof(ret->signature), err);
	if (r < 0)
		return r;
	if (!is_key(ret->key))
		return err_set(err, 0, "Authorization: Credential is not an access key id");
	if (!str_is_hex(ret->signature, 64))
		return err_set(err, 0, "Authorization: Signature is not 64 lower-case hex digits");
	return check_names(ret->names, err);
}

/* ---- dates --------------------------------------------------------------- */

int acs3_date(const char *text, int64_t *ret)
{
	static const char form[] = "dddd-dd-ddTdd:dd:ddZ";
	for (size_t i = 0; i < sizeof(form); i++)
		if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
			return -EINVAL;
	struct tm tm = { .tm_year = atoi(text) - 1900, .tm_mon = atoi(text + 5) - 1, .tm_mday = atoi(text + 8),
			 .tm_hour = atoi(text + 11), .tm_min = atoi(text + 14), .tm_sec = atoi(text + 17) };
	struct tm same = tm;
	time_t s = timegm(&same); /* makes 31 February into March: then it is no date */
	if (tm.tm_year < 70 || same.tm_mon != tm.tm_mon || same.tm_mday != tm.tm_mday || same.tm_hour != tm.tm_hour || same.tm_min != tm.tm_min ||
	    same.tm_sec != tm.tm_sec)
		return -EINVAL;
	*ret = s;
	return 0;
}

void acs3_date_text(int64_t s, char out[21])
{
	time_t t = (time_t)s;
	struct tm tm;
	if (!gmtime_r(&t, &tm) || strftime(out, 21, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		strcpy(out, "?");
}

/* ---- the canonical request ----------------------------------------------- */

int acs3_find(const struct acs3_header *h, size_t n, const char *name, const char **ret)
{
	const char *found = NULL;
	for (size_t i = 0; i < n; i++) {
		if (strcasecmp(h[i].name, name) != 0)
			continue;
		if (found)
			return -EEXIST;
		found = h[i].value ? h[i].value : "";
	}
	if (!found)
		return -ENOENT;
	*ret = found;
	return 0;
}

static bool is_signed(const char *names, const char *name)
{
	size_t len = strlen(name);
	for (const char *p = names; *p;) {
		size_t n = strcspn(p, ";");
		if (n == len && strncasecmp(p, name, n) == 0)
			return true;
		p += n + (p[n] == ';');
	}
	return false;
}

/* What must not be left to whoever carries the request. */
static int check_signed(const struct acs3_request *q, const struct acs3_auth *a, struct err *err)
{
	static const char *const always[] = { "host", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce" };
	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		if (!is_signed(a->names, always[i]))
			return err_set(err, 0, "Authorization: SignedHeaders lack %s", always[i]);
	for (size_t i = 0; i < q->headers; i++) {
		const char *name = q->header[i].name;
		bool matters = strncasecmp(name, "x-acs-", 6) == 0 || strcasecmp(name, "x-fcnode-tenant") == 0;
		if (matters && !is_signed(a->names, name))
			return err_set(err, 0, "Authorization: SignedHeaders lack %.60s, which the request has", name);
	}
	return 0;
}

/* The path as sent; "*" and "%7E" as the signer writes them, which are the same path. */
static int put_path(struct buf *out, const char *raw)
{
	size_t n = strcspn(raw, "?#");
	int r = 0;
	for (size_t i = 0; i < n && r == 0; i++) {
		if (raw[i] == '*') {
			r = buf_puts(out, "%2A");
		} else if (n - i >= 3 && strncasecmp(raw + i, "%7e", 3) == 0) {
			r = buf_puts(out, "~");
			i += 2;
		} else {
			r = buf_append(out, raw + i, 1);
		}
	}
	return r == 0 ? buf_puts(out, "\n") : r;
}

static int put_escaped(struct buf *out, const char *text)
{
	int r = 0;
	for (; *text && r == 0; text++) {
		bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') || (*text >= '0' && *text <= '9') ||
			     strchr("-_.~", *text);
		r = plain ? buf_append(out, text, 1) : buf_printf(out, "%%%02X", (unsigned char)*text);
	}
	return r;
}

/* Names that sort as they compare, each once. */
static int put_query(struct buf *out, const struct http_target *t, struct err *err)
{
	size_t order[HTTP_QUERY_MAX];
	int r = 0;
	for (size_t i = 0; i < t->queries; i++) {
		size_t k = i;
		for (; k > 0 && strcmp(t->query[order[k - 1]].name, t->query[i].name) > 0; k--)
			order[k] = order[k - 1];
		order[k] = i;
	}
	for (size_t i = 0; i < t->queries && r == 0; i++) {
		const char *name = t->query[order[i]].name;
		if (i > 0 && strcmp(t->query[order[i - 1]].name, name) == 0)
			return err_set(err, 0, "query parameter '%.60s' came twice; a signed request has each once", name);
		r = i > 0 ? buf_puts(out, "&") : 0;
		if (r == 0)
			r = put_escaped(out, name);
		if (r == 0)
			r = buf_puts(out, "=");
		if (r == 0)
			r = put_escaped(out, t->query[order[i]].value);
	}
	return r == 0 ? buf_puts(out, "\n") : r;
}

static int put_headers(struct buf *out, const struct acs3_request *q, const char *names, struct err *err)
{
	char name[ACS3_SIGNED_BYTES + 1];
	for (const char *p = names; *p;) {
		size_t n = strcspn(p, ";");
		const char *value = NULL;
		memcpy(name, p, n);
		name[n] = '\0';
		int r = acs3_find(q->header, q->headers, name, &value);
		if (r < 0)
			return err_set(err, 0, "header %.60s is signed and %s", name, r == -ENOENT ? "not there" : "came twice");
		value += strspn(value, " \t");
		size_t len = strlen(value);
		while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
			len--;
		r = buf_printf(out, "%s:", name);
		if (r == 0)
			r = buf_append(out, value, len);
		if (r == 0)
			r = buf_puts(out, "\n");
		if (r < 0)
			return r;
		p += n + (p[n] == ';');
	}
	return 0;
}

int acs3_canonical(const struct acs3_request *q, const struct acs3_auth *a, const char *body_sha256, struct buf *out,
		   struct err *err)
{
	int r = check_signed(q, a, err);
	if (r == 0)
		r = buf_printf(out, "%s\n", q->method);
	if (r == 0)
		r = put_path(out, q->raw);
	if (r == 0)
		r = put_query(out, q->target, err);
	if (r == 0)
		r = put_headers(out, q, a->names, err);
	return r == 0 ? buf_printf(out, "\n%s\n%s", a->names, body_sha256) : r;
}
