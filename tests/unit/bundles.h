/*
 * bundles - made-up bundles, good and bad, each with what must become of it.
 *
 * One table for the unit tests of unpack and of layer, and for the fuzz
 * target's corpus (make-bundles writes it), so that every kind of bad input
 * meets each of them.
 */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "unpack/result.h"

enum { BUNDLE_MAX = 64 << 20 };

struct bundle_case {
	const char *name;
	enum unpack_outcome outcome; /* with bundle_limits */
	void (*make)(struct buf *out);
	const char *text; /* the message names this: the entry, or the reason */
};

extern const struct bundle_case bundle_cases[];
extern const size_t bundle_case_count;

/* The limits that the cases are made for: 1 MiB, 200 files, depth 64, names of 4096. */
#define BUNDLE_LIMITS 1 << 20, 200, 64, 4096

/* Large ones, made on request. */
void bundle_zeros(struct buf *out, unsigned gib, char type); /* .tar.gz: one header of this tar type, GiBs of zeros */
void bundle_many_files(struct buf *out, unsigned count);     /* .tar.gz: empty files */

/* .tar.xz that asks for 1.5 GiB of memory. */
void bundle_xz_dictionary(struct buf *out);

/* A tar with these files: name, content, ..., NULL. */
void bundle_files(struct buf *out, const char *name, ...) __attribute__((sentinel));
