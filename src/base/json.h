/*
 * json - reading a JSON object by a table, strictly (on top of jansson).
 *
 * A row names a member, its kind and where it goes. Absent members leave the
 * field as it was; null counts as absent. Unless JSON_LAX is given, a member
 * that no row names is an error that names it. Borrowed pointers live as long
 * as the json_t they came from.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum json_kind {
	JF_STR,    /* const char *, borrowed; no embedded NUL */
	JF_INT,    /* int64_t in [min, max] (min == max == 0: any) */
	JF_MILLI,  /* int64_t: a number times 1000 (cpu 0.5 -> 500), in [min, max] */
	JF_BOOL,   /* bool */
	JF_OBJECT, /* json_t *, borrowed */
	JF_ARRAY,  /* json_t *, borrowed */
	JF_ANY,    /* json_t *, borrowed */
	JF_IGNORE, /* known, not read */
};

struct json_field {
	const char *name; /* NULL ends the table */
	enum json_kind kind;
	size_t offset;
	bool required;
	int64_t min, max;
};

enum { JSON_LAX = 1 }; /* ignore unknown members (OCI runtime-spec, config.md "Extensibility") */

/* where is the path used in errors ("linux.resources"); "" at the top. 0 or -EINVAL. */
int json_read(json_t *object, const struct json_field *fields, int flags, void *dest, const char *where,
	      struct err *err);

enum { JSON_DEPTH_MAX = 64 };

/* Parse text strictly: one value, no duplicate keys, nesting of at most
 * JSON_DEPTH_MAX. Returns a new reference or NULL with err set (line and column). */
json_t *json_parse(const char *text, size_t len, const char *what, struct err *err);

/* Read and parse a file of at most max bytes. */
json_t *json_parse_file(const char *path, size_t max, struct err *err);

static inline void cleanup_json(json_t **j)
{
	json_decref(*j);
	*j = NULL;
}
#define autojson __attribute__((cleanup(cleanup_json)))
