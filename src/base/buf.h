/*
 * buf - a byte buffer that grows up to a limit given at birth.
 *
 * The limit is part of the type because every buffer here holds somebody
 * else's bytes. data is always followed by a NUL that len does not count.
 * BUF_INIT(max) or a zeroed struct with max set is a valid empty buffer.
 */
#pragma once

#include <stddef.h>
#include <stdarg.h>

struct buf {
	char *data;
	size_t len;
	size_t cap;
	size_t max;
};

#define BUF_INIT(limit) { NULL, 0, 0, (limit) }
#define autobuf _cleanup_(buf_fini)

void buf_fini(struct buf *b);
void buf_reset(struct buf *b); /* len = 0, memory kept */

/* All return 0, -ENOMEM, or -EMSGSIZE when the limit would be passed (nothing is then appended). */
int buf_reserve(struct buf *b, size_t more);
int buf_append(struct buf *b, const void *data, size_t len);
int buf_puts(struct buf *b, const char *s);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_vprintf(struct buf *b, const char *fmt, va_list ap);

/* Drop the first len bytes. */
void buf_consume(struct buf *b, size_t len);

/* Read until end of file, or -EMSGSIZE over the limit. Returns 0 or -errno. */
int buf_read_fd(struct buf *b, int fd);
