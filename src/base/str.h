/* str - numbers with units, names with a charset, and lists, read strictly. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each of these returns 0, -EINVAL (not of that form) or -ERANGE, and leaves *ret alone on failure. */
int str_to_u64(const char *s, uint64_t *ret);   /* decimal digits only */
int str_to_i64(const char *s, int64_t *ret);    /* optional '-', decimal digits */
int str_to_bytes(const char *s, uint64_t *ret); /* 128M, 1.5G, 4096; K M G T are powers of 1024, "iB"/"B" may follow */
int str_to_ms(const char *s, uint64_t *ret);    /* 500ms, 3s, 1.5s, 2m, 1h; a bare number is seconds */
int str_to_milli(const char *s, uint64_t *ret); /* 0.5 -> 500 (cpus to milli-cpus), at most three decimals */

/* [A-Za-z_][A-Za-z0-9_-]*, 1 to max bytes: function, tenant and alias names. */
bool str_is_name(const char *s, size_t max);

/* Exactly n lower-case hex digits. */
bool str_is_hex(const char *s, size_t n);

bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);

/* Copy with truncation; dst is always terminated (size > 0). Returns false when it was cut. */
bool str_copy(char *dst, size_t size, const char *src);

void str_hex(char *dst, const void *data, size_t len); /* dst holds 2 * len + 1 */

/* "1.5 MiB", "512 B": for people. buf holds at least 32 bytes; returned. */
char *str_size(char *buf, size_t size, uint64_t bytes);

/* A random (version 4) UUID in text form from getrandom(2): request and instance ids. out holds 37 bytes. */
int str_uuid(char out[37]);
