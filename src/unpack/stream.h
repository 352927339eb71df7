/*
 * stream - the bytes of a bundle, as stored and decompressed.
 *
 * A source reads the bundle's descriptor by position, so that its file offset
 * is nobody's concern. A stream is what is left after gzip, xz or zstd: it
 * counts what it makes against a budget, so that a bomb stops early wherever
 * its bytes would have gone, and it knows whether the data really ended.
 * gzip is zlib's here because libarchive does not verify gzip's checksum.
 */
#pragma once

#include <sys/types.h>

#include "unpack/unpack.h"

enum stream_kind { STREAM_PLAIN, STREAM_GZIP, STREAM_XZ, STREAM_ZSTD };

enum { SOURCE_CHUNK = 128 << 10 };

struct source {
	int fd; /* borrowed */
	int64_t pos;
	int64_t size;
	uint8_t *chunk; /* SOURCE_CHUNK bytes; owned */
};

int source_init(struct source *s, int fd, struct unpack_result *result);
void source_fini(struct source *s);
/* Bytes at pos, which moves on: > 0, 0 at the end, or -errno. */
ssize_t source_read(struct source *s, const void **ret);
/* Like lseek(2), but stays inside the bundle. The new position, or -EINVAL. */
int64_t source_seek(struct source *s, int64_t offset, int whence);

struct stream;

/* source and result are kept by reference. NULL with the result set. */
struct stream *stream_new(enum stream_kind kind, struct source *source, struct unpack_result *result);
struct stream *stream_free(struct stream *s);

/* The next block: > 0 and *ret, 0 at the end, -1 with the result set. */
ssize_t stream_read(struct stream *s, const void **ret);

/* How many bytes may come out in all; checked from the next read on. */
void stream_allow(struct stream *s, uint64_t bytes);

/* How many came out so far. */
uint64_t stream_made(const struct stream *s);
