/*
 * unpack - one bundle into one directory, under limits, believing nothing.
 *
 * Kinds, told by content: zip (by its central directory), tar, and tar in
 * gzip, xz or zstd. Files are only ever created, below one directory
 * descriptor, with openat2 refusing symlinks and ..; nothing in the target is
 * followed, opened for reading or overwritten. A refused bundle leaves a part
 * behind, which the caller removes with the directory.
 *
 * The process around it (main.c, confine.c) is what makes a flaw here, or in
 * libarchive, harmless. The fuzz target calls unpack_bundle() directly.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "unpack/result.h"

struct unpack_limits {
	uint64_t max_bytes; /* sum of the file sizes, holes included */
	uint64_t max_files; /* entries read, and objects made */
	uint64_t max_depth; /* components of a name */
	uint64_t max_name;  /* bytes of a name; a component is at most 255 */
};

enum { UNPACK_NAME_MAX = 4096, UNPACK_COMPONENT_MAX = 255, UNPACK_DEPTH_MAX = 64 };

/* How far a bundle of any kind can go before its files count: what the decompressor may
 * make on top of max_bytes, in all and per entry (headers, long names, extended attributes). */
enum { UNPACK_STREAM_SLACK = 2 << 20, UNPACK_ENTRY_SLACK = 16 << 10 };

#define UNPACK_LIMITS_DEFAULT { 1ULL << 30, 100000, UNPACK_DEPTH_MAX, UNPACK_NAME_MAX }

/* Locale, time zone and library tables: whatever would later want to open a file. Once, before confinement. */
int unpack_prepare(void);

/*
 * Digest the bundle (a seekable regular file or memfd), compare with
 * expect_sha256 unless NULL, and unpack into target_fd, below the new
 * directory `prefix` when that is not NULL. Fills *result, with the same
 * outcome that it returns: UNPACK_ok or the reason.
 */
enum unpack_outcome unpack_bundle(int bundle_fd, int target_fd, const char *prefix, const struct unpack_limits *limits,
				  const uint8_t *expect_sha256, struct unpack_result *result);

/* Set outcome, errno (0: none) and the text, once: the first reason stays. Returns the outcome. */
enum unpack_outcome unpack_fail(struct unpack_result *r, enum unpack_outcome outcome, int error, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
