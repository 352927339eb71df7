#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"

static const char *const kind_names[] = {
	[JF_STR] = "a string", [JF_INT] = "a whole number", [JF_MILLI] = "a number", [JF_BOOL] = "true or false",
	[JF_OBJECT] = "an object", [JF_ARRAY] = "an array", [JF_ANY] = "a value", [JF_IGNORE] = "a value",
};
_Static_assert(ARRAY_LEN(kind_names) == JF_IGNORE + 1, "a name for each kind");

static bool has_kind(json_t *v, enum json_kind kind)
{
	switch (kind) {
	case JF_STR:
		return json_is_string(v) && strlen(json_string_value(v)) == json_string_length(v);
	case JF_INT:
		return json_is_integer(v);
	case JF_MILLI:
		return json_is_number(v);
	case JF_BOOL:
		return json_is_boolean(v);
	case JF_OBJECT:
		return json_is_object(v);
	case JF_ARRAY:
		return json_is_array(v);
	default:
		return true;
	}
}

static int read_number(const struct json_field *f, json_t *v, int64_t *dest, const char *where, struct err *err)
{
	int64_t n;
	if (f->kind == JF_INT) {
		n = json_integer_value(v);
	} else {
		double d = json_number_value(v) * 1000;
		if (!(d > -1e15 && d < 1e15))
			return err_set(err, 0, "%s%s%s: %g is out of range", where, *where ? "." : "", f->name, d / 1000);
		n = (int64_t)(d < 0 ? d - 0.5 : d + 0.5); /* llround(3) without libm */
	}
	if ((f->min || f->max) && (n < f->min || n > f->max)) {
		const char *dot = *where ? "." : "";
		if (f->kind == JF_INT)
			return err_set(err, 0, "%s%s%s: %lld is outside %lld to %lld", where, dot, f->name, (long long)n,
				       (long long)f->min, (long long)f->max);
		return err_set(err, 0, "%s%s%s: %g is outside %g to %g", where, dot, f->name, (double)n / 1000,
			       (double)f->min / 1000, (double)f->max / 1000);
	}
	*dest = n;
	return 0;
}

static int read_member(const struct json_field *f, json_t *v, void *dest, const char *where, struct err *err)
{
	if (!has_kind(v, f->kind))
		return err_set(err, 0, "%s%s%s: must be %s", where, *where ? "." : "", f->name, kind_names[f->kind]);

	void *field = (char *)dest + f->offset;
	switch (f->kind) {
	case JF_STR:
		*(const char **)field = json_string_value(v);
		return 0;
	case JF_INT:
	case JF_MILLI:
		return read_number(f, v, field, where, err);
	case JF_BOOL:
		*(bool *)field = json_is_true(v);
		return 0;
	case JF_OBJECT:
	case JF_ARRAY:
	case JF_ANY:
		*(json_t **)field = v;
		return 0;
	case JF_IGNORE:
		return 0;
	}
	return 0;
}

static const struct json_field *find(const struct json_field *fields, const char *name)
{
	for (; fields->name; fields++)
		if (strcmp(fields->name, name) == 0)
			return fields;
	return NULL;
}

int json_read(json_t *object, const struct json_field *fields, int flags, void *dest, const char *where,
	      struct err *err)
{
	if (!json_is_object(object))
		return err_set(err, 0, "%s: must be an object", *where ? where : "the document");

	const char *name;
	json_t *value;
	json_object_foreach(object, name, value) {
		const struct json_field *f = find(fields, name);
		if (!f) {
			if (flags & JSON_LAX)
				continue;
			return err_set(err, 0, "%s%s%s: unknown field", where, *where ? "." : "", name);
		}
		if (json_is_null(value))
			continue;
		int r = read_member(f, value, dest, where, err);
		if (r < 0)
			return r;
	}
	for (const struct json_field *f = fields; f->name; f++) {
		value = f->required ? json_object_get(object, f->name) : NULL;
		if (f->required && (!value || json_is_null(value)))
			return err_set(err, 0, "%s%s%s: missing", where, *where ? "." : "", f->name);
	}
	return 0;
}

/* jansson's own limit is 2,048 levels; ours keeps recursion in our readers shallow. */
static bool too_deep(const char *text, size_t len)
{
	int depth = 0;
	bool quoted = false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		if (quoted) {
			if (c == '\\')
				i++;
			else if (c == '"')
				quoted = false;
		} else if (c == '"') {
			quoted = true;
		} else if (c == '{' || c == '[') {
			if (++depth > JSON_DEPTH_MAX)
				return true;
		} else if (c == '}' || c == ']') {
			depth--;
		}
	}
	return false;
}

/*
 * jansson refuses a document with an integer over 2^63 - 1, which unlimited
 * values of 64-bit kernel fields are (18446744073709551615). Spelled with a
 * fraction it is a real: a reader that wants a whole number still refuses it,
 * one that expects such values (plan/oci) reads it. Returns 0 or -ENOMEM.
 */
static int widen_integers(const char *text, size_t len, struct buf *out)
{
	bool quoted = false;
	int r = 0;
	for (size_t i = 0; i < len && r == 0;) {
		size_t n = 1;
		if (text[i] == '"') {
			quoted = !quoted;
		} else if (quoted && text[i] == '\\' && i + 1 < len) {
			n = 2;
		} else if (!quoted && text[i] >= '0' && text[i] <= '9') {
			while (i + n < len && strchr("0123456789.eE+-", text[i + n]) && text[i + n])
				n++;
		}
		r = buf_append(out, text + i, n);
		bool whole = !memchr(text + i, '.', n) && !memchr(text + i, 'e', n) && !memchr(text + i, 'E', n);
		if (r == 0 && whole && (n > 19 || (n == 19 && memcmp(text + i, "9223372036854775807", n) > 0)))
			r = buf_puts(out, ".0");
		i += n;
	}
	return r;
}

json_t *json_parse(const char *text, size_t len, const char *what, struct err *err)
{
	if (too_deep(text, len)) {
		err_set(err, 0, "%s: nested more than %d levels deep", what, JSON_DEPTH_MAX);
		return NULL;
	}
	json_error_t e;
	json_t *v = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
	if (!v && json_error_code(&e) == json_error_numeric_overflow) {
		autobuf struct buf wide = BUF_INIT(2 * len + 64);
		if (widen_integers(text, len, &wide) == 0)
			v = json_loadb(wide.data, wide.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
	}
	if (!v)
		err_set(err, 0, "%s: not JSON: %s (line %d, column %d)", what, e.text, e.line, e.column);
	return v;
}

json_t *json_parse_file(const char *path, size_t max, struct err *err)
{
	autobuf struct buf b = BUF_INIT(max);
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		err_set(err, errno, "open %s", path);
		return NULL;
	}
	int r = buf_read_fd(&b, fd);
	if (r < 0) {
		err_set(err, -r, "read %s (at most %zu bytes)", path, max);
		return NULL;
	}
	return json_parse(b.data ? b.data : "", b.len, path, err);
}
