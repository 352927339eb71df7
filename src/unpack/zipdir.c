#include "unpack/zipdir.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

enum {
	END_SIZE = 22,     /* end of central directory record, without its comment */
	END_MAX = END_SIZE + 0xffff,
	HEADER_SIZE = 46,  /* central directory header, without name, extra and comment */
};

static uint16_t le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t le32(const uint8_t *p)
{
	return le16(p) | (uint32_t)le16(p + 2) << 16;
}

static ssize_t read_at(const struct source *s, void *data, size_t len, int64_t pos)
{
	ssize_t n;
	do
		n = pread(s->fd, data, len, pos);
	while (n < 0 && errno == EINTR);
	return n;
}

/* The last record that reaches to the end of the bundle, as libarchive takes it. NULL when there is none. */
static const uint8_t *find_end(const uint8_t *tail, size_t len)
{
	for (size_t i = len < END_SIZE ? 0 : len - END_SIZE + 1; i-- > 0;)
		if (memcmp(tail + i, "PK\5\6", 4) == 0)
			return tail + i;
	return NULL;
}

static int bad(struct unpack_result *result, const char *why)
{
	return unpack_fail(result, UNPACK_corrupt, 0, "the zip's directory is truncated or corrupt: %s", why);
}

static int check_header(struct source *s, int64_t *pos, uint8_t *name, struct unpack_result *result, bool *ret_more)
{
	uint8_t h[HEADER_SIZE];
	*ret_more = read_at(s, h, sizeof(h), *pos) == HEADER_SIZE && memcmp(h, "PK\1\2", 4) == 0;
	if (!*ret_more)
		return UNPACK_ok;
	const uint16_t len = le16(h + 28);
	if (read_at(s, name, len, *pos + HEADER_SIZE) != len)
		return bad(result, "a name is cut off");
	name[len] = '\0';
	if (memchr(name, 0, len))
		return unpack_fail(result, UNPACK_name, 0, "entry %.200s: has a NUL in its name", (const char *)name);
	*pos += HEADER_SIZE + len + le16(h + 30) + le16(h + 32);
	return UNPACK_ok;
}

/* 0xffff entries or an offset of 0xffffffff: the true value is in a zip64 record; the headers can be counted instead. */
int zipdir_check(struct source *source, const struct unpack_limits *limits, struct unpack_result *result,
		 int64_t *ret_entries)
{
	autofree uint8_t *bytes = malloc(END_MAX + 1);
	if (!bytes)
		return unpack_fail(result, UNPACK_memory, 0, "out of memory");
	const size_t want = source->size < END_MAX ? (size_t)source->size : END_MAX;
	if (read_at(source, bytes, want, source->size - (int64_t)want) != (ssize_t)want)
		return unpack_fail(result, UNPACK_system, EIO, "read the bundle");
	const uint8_t *end = find_end(bytes, want);
	if (!end)
		return bad(result, "its end record is missing");

	const uint64_t stated = le16(end + 10);
	int64_t pos = le32(end + 16);
	if (pos == UINT32_MAX) {
		*ret_entries = ZIPDIR_UNKNOWN;
		return UNPACK_ok;
	}
	uint64_t count = 0;
	for (;; count++) {
		bool more;
		int r = check_header(source, &pos, bytes, result, &more);
		if (r)
			return r;
		if (!more)
			break;
		if (count >= limits->max_files)
			return unpack_fail(result, UNPACK_max_files, 0, "the zip has more than %llu entries",
					   (unsigned long long)limits->max_files);
	}
	if (count != stated && stated != UINT16_MAX)
		return bad(result, "it does not have as many entries as it states");
	*ret_entries = (int64_t)count;
	return UNPACK_ok;
}
