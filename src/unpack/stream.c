#include "unpack/stream.h"

#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/cleanup.h"

struct stream {
	enum stream_kind kind;
	struct source *source;
	struct unpack_result *result;
	uint64_t made;
	uint64_t allowed;

	struct archive *filter; /* xz, zstd: libarchive's "raw" format */
	z_stream gz;            /* gzip */
	bool gz_open;
	bool gz_member; /* inside a member: its trailer has not been seen */
	uint8_t *out;   /* gzip: SOURCE_CHUNK bytes */
};

int source_init(struct source *s, int fd, struct unpack_result *result)
{
	struct stat st;
	memset(s, 0, sizeof(*s));
	s->fd = fd;
	if (fstat(fd, &st) < 0)
		return unpack_fail(result, UNPACK_system, errno, "look at the bundle");
	if (!S_ISREG(st.st_mode))
		return unpack_fail(result, UNPACK_usage, 0, "the bundle is not a regular file");
	s->size = st.st_size;
	s->chunk = malloc(SOURCE_CHUNK);
	if (!s->chunk)
		return unpack_fail(result, UNPACK_memory, 0, "out of memory");
	return UNPACK_ok;
}

void source_fini(struct source *s)
{
	free(s->chunk);
	s->chunk = NULL;
}

ssize_t source_read(struct source *s, const void **ret)
{
	ssize_t n;
	do
		n = pread(s->fd, s->chunk, SOURCE_CHUNK, s->pos);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	s->pos += n;
	*ret = s->chunk;
	return n;
}

int64_t source_seek(struct source *s, int64_t offset, int whence)
{
	int64_t base = whence == SEEK_CUR ? s->pos : whence == SEEK_END ? s->size : 0;
	int64_t pos;
	if (__builtin_add_overflow(base, offset, &pos) || pos < 0 || pos > s->size)
		return -EINVAL;
	s->pos = pos;
	return pos;
}

static int fail_read(struct stream *s, int error)
{
	unpack_fail(s->result, UNPACK_system, error, "read the bundle");
	return -1;
}

/* ---- xz and zstd, by libarchive ---- */

static la_ssize_t filter_read(struct archive *a, void *data, const void **block)
{
	struct stream *s = data;
	ssize_t n = source_read(s->source, block);
	if (n < 0) {
		fail_read(s, (int)-n);
		archive_set_error(a, (int)-n, "read the bundle");
		return -1;
	}
	return n;
}

static int fail_filter(struct stream *s)
{
	const char *why = archive_error_string(s->filter);
	if (archive_errno(s->filter) == ENOMEM)
		unpack_fail(s->result, UNPACK_memory, 0, "decompress the bundle: %s", why ? why : "out of memory");
	else
		unpack_fail(s->result, UNPACK_corrupt, 0, "decompress the bundle: %s", why ? why : "corrupt data");
	return -1;
}

static int filter_open(struct stream *s)
{
	s->filter = archive_read_new();
	if (!s->filter) {
		unpack_fail(s->result, UNPACK_memory, 0, "out of memory");
		return -1;
	}
	int r = s->kind == STREAM_XZ ? archive_read_support_filter_xz(s->filter)
				     : archive_read_support_filter_zstd(s->filter);
	if (r == ARCHIVE_OK)
		r = archive_read_support_format_raw(s->filter);
	if (r == ARCHIVE_OK)
		r = archive_read_open(s->filter, s, NULL, filter_read, NULL);
	struct archive_entry *entry;
	if (r == ARCHIVE_OK)
		r = archive_read_next_header(s->filter, &entry);
	if (r != ARCHIVE_OK)
		return fail_filter(s);
	/* the data itself and one filter; more means compressed twice */
	if (archive_filter_count(s->filter) != 2) {
		unpack_fail(s->result, UNPACK_format, 0, "compressed more than once");
		return -1;
	}
	return 0;
}

static ssize_t filter_next(struct stream *s, const void **ret)
{
	size_t len;
	la_int64_t offset;
	int r;
	do
		r = archive_read_data_block(s->filter, ret, &len, &offset);
	while (r == ARCHIVE_OK && len == 0);
	if (r == ARCHIVE_EOF)
		return 0;
	return r == ARCHIVE_OK ? (ssize_t)len : fail_filter(s);
}

/* ---- gzip, by zlib ---- */

static int gzip_open(struct stream *s)
{
	s->out = malloc(SOURCE_CHUNK);
	/* 16: a gzip header and trailer, no other wrapping */
	if (!s->out || inflateInit2(&s->gz, 15 + 16) != Z_OK) {
		unpack_fail(s->result, UNPACK_memory, 0, "out of memory");
		return -1;
	}
	s->gz_open = true;
	s->gz_member = true;
	return 0;
}

static int gzip_bad(struct stream *s, const char *why)
{
	unpack_fail(s->result, UNPACK_corrupt, 0, "decompress the bundle: gzip: %s", why);
	return -1;
}

/* Input for inflate. 1, 0 at the end of the bundle, or -1. */
static int gzip_fill(struct stream *s)
{
	if (s->gz.avail_in > 0)
		return 1;
	const void *block = NULL;
	ssize_t n = source_read(s->source, &block);
	if (n < 0)
		return fail_read(s, (int)-n);
	assert(block || n == 0);
	s->gz.next_in = (Bytef *)(uintptr_t)block;
	s->gz.avail_in = (uInt)n;
	return n > 0;
}

/* Between members: another one may follow, or zeros up to the end as tapes and some tools leave. */
static int gzip_between(struct stream *s)
{
	for (int r; (r = gzip_fill(s)) != 0;) {
		if (r < 0)
			return -1;
		if (*s->gz.next_in != 0) {
			if (inflateReset(&s->gz) != Z_OK)
				return gzip_bad(s, "cannot go on");
			s->gz_member = true;
			return 1;
		}
		s->gz.next_in++;
		s->gz.avail_in--;
	}
	return 0;
}

static ssize_t gzip_next(struct stream *s, const void **ret)
{
	s->gz.next_out = s->out;
	s->gz.avail_out = SOURCE_CHUNK;
	while (s->gz.avail_out == SOURCE_CHUNK) {
		int r = s->gz_member ? gzip_fill(s) : gzip_between(s);
		if (r < 0)
			return -1;
		if (r == 0)
			return s->gz_member ? gzip_bad(s, "truncated") : 0;
		r = inflate(&s->gz, Z_NO_FLUSH);
		if (r == Z_STREAM_END)
			s->gz_member = false;
		else if (r == Z_MEM_ERROR)
			return unpack_fail(s->result, UNPACK_memory, 0, "decompress the bundle: out of memory"), -1;
		else if (r != Z_OK)
			return gzip_bad(s, s->gz.msg ? s->gz.msg : "corrupt data");
	}
	*ret = s->out;
	return (ssize_t)(SOURCE_CHUNK - s->gz.avail_out);
}

/* ---- all kinds ---- */

struct stream *stream_new(enum stream_kind kind, struct source *source, struct unpack_result *result)
{
	struct stream *s = calloc(1, sizeof(*s));
	if (!s) {
		unpack_fail(result, UNPACK_memory, 0, "out of memory");
		return NULL;
	}
	s->kind = kind;
	s->source = source;
	s->result = result;
	int r = 0;
	if (kind == STREAM_GZIP)
		r = gzip_open(s);
	else if (kind != STREAM_PLAIN)
		r = filter_open(s);
	return r < 0 ? stream_free(s) : s;
}

struct stream *stream_free(struct stream *s)
{
	if (!s)
		return NULL;
	if (s->filter)
		archive_read_free(s->filter);
	if (s->gz_open)
		inflateEnd(&s->gz);
	free(s->out);
	free(s);
	return NULL;
}

void stream_allow(struct stream *s, uint64_t bytes)
{
	s->allowed = bytes;
}

uint64_t stream_made(const struct stream *s)
{
	return s->made;
}

ssize_t stream_read(struct stream *s, const void **ret)
{
	ssize_t n;
	if (s->made > s->allowed) {
		unpack_fail(s->result, UNPACK_max_bytes, 0, "unpacks to more than %llu bytes, headers included",
			    (unsigned long long)s->allowed);
		return -1;
	}
	switch (s->kind) {
	case STREAM_GZIP:
		n = gzip_next(s, ret);
		break;
	case STREAM_XZ:
	case STREAM_ZSTD:
		n = filter_next(s, ret);
		break;
	default:
		n = source_read(s->source, ret);
		if (n < 0)
			n = fail_read(s, (int)-n);
	}
	if (n > 0)
		s->made += (uint64_t)n;
	return n;
}
