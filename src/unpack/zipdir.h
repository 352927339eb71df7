/*
 * zipdir - a look at a zip's directory before libarchive reads it, for what
 * libarchive does not tell: a name with a NUL in it (which it would cut
 * there, so that two different names become one), a damaged directory (of
 * which it takes the part that it can read), and how many entries come, so
 * that a million of them is refused before the first file is made.
 */
#pragma once

#include "unpack/stream.h"

enum { ZIPDIR_UNKNOWN = -1 };

/* UNPACK_ok with the number of entries, ZIPDIR_UNKNOWN for a zip over 4 GiB; or the result is set. */
int zipdir_check(struct source *source, const struct unpack_limits *limits, struct unpack_result *result,
		 int64_t *ret_entries);
