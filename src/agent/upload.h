/*
 * upload - a code bundle on its way to disk: a temporary file beside its final
 * place, with the digests computed as the bytes pass.
 *
 * The file goes with upload_free() unless upload_keep() gave it its name; what
 * a crash leaves, upload_clear() removes at the next start. (Not O_TMPFILE:
 * under serve's Landlock rules a nameless file cannot be linked.) SHA-256
 * names the bundle; CRC-64/XZ is what the API reports as X-Fc-Code-Checksum.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct upload;

enum { UPLOAD_HEX = 65, UPLOAD_CHECKSUM = 24 };

struct upload_result {
	char sha256[UPLOAD_HEX];
	char checksum[UPLOAD_CHECKSUM]; /* CRC-64, decimal */
	uint64_t bytes;
};

/* dir_fd is the directory the file will be in. max_bytes: -EMSGSIZE beyond. */
int upload_new(struct upload **ret, int dir_fd, uint64_t max_bytes, struct err *err);
struct upload *upload_free(struct upload *u);

/* 0, -EMSGSIZE, -ENOSPC, ... */
int upload_write(struct upload *u, const void *data, size_t len);

/* No more bytes: the digests. */
int upload_finish(struct upload *u, struct upload_result *ret);

/* All of it at once: new, write and finish. The error of the first that fails. */
int upload_whole(struct upload **ret, int dir_fd, uint64_t max_bytes, const struct buf *data, struct upload_result *result, struct err *err);

/* After upload_finish(); blocks on the disk (for the writer thread): fsync and give it the name. */
int upload_keep(struct upload *u, const char *name);

/* Remove what broken uploads left in the directory. */
int upload_clear(int dir_fd);
