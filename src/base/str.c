#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

int str_to_u64(const char *s, uint64_t *ret)
{
	uint64_t v = 0;
	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		uint64_t d = (uint64_t)(*s - '0');
		if (v > (UINT64_MAX - d) / 10)
			return -ERANGE;
		v = v * 10 + d;
	}
	*ret = v;
	return 0;
}

int str_to_i64(const char *s, int64_t *ret)
{
	uint64_t v;
	bool neg = *s == '-';
	int r = str_to_u64(s + neg, &v);
	if (r < 0)
		return r;
	if (v > (uint64_t)INT64_MAX + neg)
		return -ERANGE;
	*ret = neg ? (int64_t)-v : (int64_t)v;
	return 0;
}

/* "12.345" as thousandths, up to *end; at most three decimals. */
static int parse_milli(const char *s, const char **end, uint64_t *ret)
{
	uint64_t v = 0;
	const char *start = s;
	for (; isdigit((unsigned char)*s); s++) {
		if (v > UINT64_MAX / 10000 - 10)
			return -ERANGE;
		v = v * 10 + (uint64_t)(*s - '0');
	}
	if (s == start)
		return -EINVAL;
	v *= 1000;
	if (*s == '.') {
		uint64_t scale = 100;
		start = ++s;
		for (; isdigit((unsigned char)*s); s++, scale /= 10) {
			if (scale == 0)
				return -EINVAL;
			v += (uint64_t)(*s - '0') * scale;
		}
		if (s == start)
			return -EINVAL;
	}
	*end = s;
	*ret = v;
	return 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

/* Thousandths times the factor of the unit that ends the string. */
static int parse_unit(const char *s, const struct unit *units, uint64_t *ret)
{
	uint64_t milli;
	int r = parse_milli(s, &s, &milli);
	if (r < 0)
		return r;
	for (; units->name; units++) {
		if (strcasecmp(s, units->name) != 0)
			continue;
		if (units->factor >= 1000 && units->factor % 1000 != 0) {
			/* powers of 1024: split to stay exact and in range */
			uint64_t whole = milli / 1000, part = milli % 1000;
			if (whole > UINT64_MAX / units->factor - 1)
				return -ERANGE;
			*ret = whole * units->factor + part * (units->factor / 1000) +
			       part * (units->factor % 1000) / 1000;
			return 0;
		}
		if (milli > UINT64_MAX / units->factor)
			return -ERANGE;
		*ret = milli * units->factor / 1000;
		return 0;
	}
	return -EINVAL;
}

int str_to_bytes(const char *s, uint64_t *ret)
{
	static const struct unit units[] = {
		{ "", 1 }, { "b", 1 },
		{ "k", 1ull << 10 }, { "kb", 1ull << 10 }, { "kib", 1ull << 10 }, { "ki", 1ull << 10 },
		{ "m", 1ull << 20 }, { "mb", 1ull << 20 }, { "mib", 1ull << 20 }, { "mi", 1ull << 20 },
		{ "g", 1ull << 30 }, { "gb", 1ull << 30 }, { "gib", 1ull << 30 }, { "gi", 1ull << 30 },
		{ "t", 1ull << 40 }, { "tb", 1ull << 40 }, { "tib", 1ull << 40 }, { "ti", 1ull << 40 },
		{ NULL, 0 },
	};
	return parse_unit(s, units, ret);
}

int str_to_ms(const char *s, uint64_t *ret)
{
	static const struct unit units[] = {
		{ "ms", 1 }, { "", 1000 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { NULL, 0 },
	};
	return parse_unit(s, units, ret);
}

int str_to_milli(const char *s, uint64_t *ret)
{
	const char *end;
	uint64_t v;
	int r = parse_milli(s, &end, &v);
	if (r == 0 && *end)
		r = -EINVAL;
	if (r == 0)
		*ret = v;
	return r;
}

bool str_is_name(const char *s, size_t max)
{
	size_t n = 0;
	if (!isalpha((unsigned char)*s) && *s != '_')
		return false;
	for (; s[n]; n++)
		if (n >= max || (!isalnum((unsigned char)s[n]) && s[n] != '_' && s[n] != '-'))
			return false;
	return n <= max;
}

bool str_is_hex(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
			return false;
	return s[n] == '\0';
}

bool str_starts(const char *s, const char *prefix) { return strncmp(s, prefix, strlen(prefix)) == 0; }

bool str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);
	return n >= m && strcmp(s + n - m, suffix) == 0;
}

bool str_copy(char *dst, size_t size, const char *src)
{
	size_t n = strnlen(src, size);
	bool whole = n < size;
	if (!whole)
		n = size - 1;
	memcpy(dst, src, n);
	dst[n] = '\0';
	return whole;
}

void str_hex(char *dst, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = data;
	for (size_t i = 0; i < len; i++) {
		*dst++ = digits[p[i] >> 4];
		*dst++ = digits[p[i] & 15];
	}
	*dst = '\0';
}

char *str_size(char *buf, size_t size, uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	size_t u = 0;
	double v = (double)bytes;
	for (; v >= 1024 && u < sizeof(units) / sizeof(units[0]) - 1; u++)
		v /= 1024;
	snprintf(buf, size, u == 0 ? "%.0f %s" : "%.1f %s", v, units[u]);
	return buf;
}

int str_uuid(char out[37])
{
	unsigned char b[16];
	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		return -errno;
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	char hex[33];
	str_hex(hex, b, sizeof(b));
	snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
	return 0;
}
