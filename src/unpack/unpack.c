#include "unpack/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <iconv.h>
#include <inttypes.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#include "base/cleanup.h"
#include "unpack/digest.h"
#include "unpack/stream.h"
#include "unpack/tree.h"
#include "unpack/zipdir.h"

/* zip cannot say less, and nobody means more; keeps a layer the same whenever it is unpacked */
enum { MTIME_MIN = 315532800 };                      /* 1980-01-01 */
static const int64_t MTIME_MAX = 4354819199;         /* 2107-12-31 */

enum kind { KIND_ZIP, KIND_TAR, KIND_TAR_GZIP, KIND_TAR_XZ, KIND_TAR_ZSTD };

struct unpack {
	const struct unpack_limits *limits;
	struct unpack_result *result;
	enum kind kind;
	struct source source;
	struct stream *stream;     /* of a tar */
	const uint8_t *block;      /* the stream's last block */
	size_t block_len;
	bool stream_ended;         /* the reader asked for more than there was */
	struct archive *archive;
	bool opened;               /* archive may be asked about its format (libarchive crashes before) */
	struct tree tree;
	uint64_t entries;
	int64_t zip_entries;       /* as the directory states, or ZIPDIR_UNKNOWN */
	char name[UNPACK_NAME_MAX + 1]; /* of the current entry, cleaned */
};

enum unpack_outcome unpack_fail(struct unpack_result *r, enum unpack_outcome outcome, int error, const char *fmt, ...)
{
	assert(outcome != UNPACK_ok);
	if (r->outcome != UNPACK_ok)
		return r->outcome;
	r->outcome = outcome;
	r->error = error;
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(r->text, sizeof(r->text), fmt, ap);
	va_end(ap);
	if (error && n >= 0 && (size_t)n < sizeof(r->text))
		snprintf(r->text + n, sizeof(r->text) - (size_t)n, ": %s", strerror(error));
	unpack_printable(r->text);
	return outcome;
}

int unpack_prepare(void)
{
	/* names are UTF-8 or bytes; iconv, which libarchive may ask, reads its table of modules at the first use */
	if (!setlocale(LC_CTYPE, "C.UTF-8") && !setlocale(LC_CTYPE, "en_US.UTF-8"))
		return -ENOENT;
	wchar_t wide[4];
	mbstowcs(wide, "\xc3\xa9", 4);
	iconv_t converter = iconv_open("UTF-8", "UTF-8");
	if (converter == (iconv_t)-1)
		return -errno;
	iconv_close(converter);
	/* zip's times have no zone */
	if (setenv("TZ", "UTC0", 1) < 0)
		return -errno;
	tzset();
	return digest_prepare();
}

/* ---- what kind of bundle ---- */

static bool is_tar_header(const uint8_t *b)
{
	if (memcmp(b + 257, "ustar", 5) == 0)
		return true;
	/* before 1988: only the checksum tells, eight bytes of octal digits at 148 */
	unsigned sum = 0, stated = 0, digits = 0;
	for (unsigned i = 0; i < 512; i++)
		sum += i >= 148 && i < 156 ? ' ' : b[i];
	for (unsigned i = 148; i < 156 && (b[i] == ' ' || (b[i] >= '0' && b[i] <= '7')); i++)
		if (b[i] != ' ') {
			stated = stated * 8 + b[i] - '0';
			digits++;
		}
	return digits > 0 && sum == stated;
}

static bool is_zero(const uint8_t *b, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (b[i])
			return false;
	return true;
}

/* Kinds that people try and that we name in the refusal. */
static const char *known_kind(const uint8_t *b, size_t len)
{
	static const struct {
		const char *magic;
		size_t len;
		const char *name;
	} others[] = {
		{ "BZh", 3, "bzip2 data" },        { "7z\xbc\xaf", 4, "a 7-Zip archive" },
		{ "Rar!", 4, "a RAR archive" },    { "\x1f\x9d", 2, "compress (.Z) data" },
		{ "070701", 6, "a cpio archive" }, { "!<arch>", 7, "an ar archive" },
		{ "\x7f" "ELF", 4, "an executable" }, { "#!", 2, "a script" },
	};
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (len >= others[i].len && memcmp(b, others[i].magic, others[i].len) == 0)
			return others[i].name;
	return "unknown data";
}

static int find_kind(struct unpack *u)
{
	const void *block;
	ssize_t n = source_read(&u->source, &block);
	if (n < 0)
		return unpack_fail(u->result, UNPACK_system, (int)-n, "read the bundle");
	source_seek(&u->source, 0, SEEK_SET);

	const uint8_t *b = block;
	size_t len = (size_t)n;
	if (len == 0)
		return unpack_fail(u->result, UNPACK_empty, 0, "the bundle has no bytes");
	if (len >= 22 && memcmp(b, "PK\5\6", 4) == 0)
		return unpack_fail(u->result, UNPACK_empty, 0, "the zip holds no files");
	if (len >= 4 && memcmp(b, "PK\3\4", 4) == 0)
		u->kind = KIND_ZIP;
	else if (len >= 2 && memcmp(b, "\x1f\x8b", 2) == 0)
		u->kind = KIND_TAR_GZIP;
	else if (len >= 6 && memcmp(b, "\xfd" "7zXZ", 6) == 0)
		u->kind = KIND_TAR_XZ;
	else if (len >= 4 && memcmp(b, "\x28\xb5\x2f\xfd", 4) == 0)
		u->kind = KIND_TAR_ZSTD;
	else if (len >= 512 && (is_tar_header(b) || is_zero(b, 512)))
		u->kind = KIND_TAR;
	else
		return unpack_fail(u->result, UNPACK_format, 0,
				   "the bundle is %s, not a zip, tar, tar.gz, tar.xz or tar.zst", known_kind(b, len));
	return UNPACK_ok;
}

/* ---- libarchive's readers ---- */

static la_ssize_t tar_read(struct archive *a, void *data, const void **ret)
{
	struct unpack *u = data;
	stream_allow(u->stream, u->limits->max_bytes + UNPACK_STREAM_SLACK + u->entries * UNPACK_ENTRY_SLACK);
	ssize_t n = stream_read(u->stream, ret);
	if (n < 0)
		archive_set_error(a, EIO, "read the bundle");
	u->stream_ended = n == 0;
	u->block = n > 0 ? *ret : NULL;
	u->block_len = n > 0 ? (size_t)n : 0;
	return n;
}

static la_ssize_t zip_read(struct archive *a, void *data, const void **ret)
{
	struct unpack *u = data;
	ssize_t n = source_read(&u->source, ret);
	if (n < 0) {
		unpack_fail(u->result, UNPACK_system, (int)-n, "read the bundle");
		archive_set_error(a, EIO, "read the bundle");
	}
	return n;
}

static la_int64_t zip_seek(struct archive *a, void *data, la_int64_t offset, int whence)
{
	struct unpack *u = data;
	int64_t pos = source_seek(&u->source, offset, whence);
	if (pos < 0)
		archive_set_error(a, EINVAL, "an offset outside of the bundle");
	return pos < 0 ? ARCHIVE_FATAL : pos;
}

static int fail_archive(struct unpack *u, const char *doing)
{
	const char *why = archive_error_string(u->archive);
	if (!why)
		why = "corrupt data";
	if (u->opened && archive_read_has_encrypted_entries(u->archive) > 0)
		return unpack_fail(u->result, UNPACK_encrypted, 0, "the bundle is encrypted");
	if (archive_errno(u->archive) == ENOMEM)
		return unpack_fail(u->result, UNPACK_memory, 0, "%s: %s", doing, why);
	return unpack_fail(u->result, UNPACK_corrupt, 0, "%s: %s", doing, why);
}

static int open_tar(struct unpack *u)
{
	static const enum stream_kind kinds[] = {
		[KIND_TAR] = STREAM_PLAIN,
		[KIND_TAR_GZIP] = STREAM_GZIP,
		[KIND_TAR_XZ] = STREAM_XZ,
		[KIND_TAR_ZSTD] = STREAM_ZSTD,
	};
	u->stream = stream_new(kinds[u->kind], &u->source, u->result);
	if (!u->stream)
		return (int)u->result->outcome;
	if (archive_read_support_format_tar(u->archive) != ARCHIVE_OK ||
	    archive_read_open(u->archive, u, NULL, tar_read, NULL) != ARCHIVE_OK)
		return fail_archive(u, u->kind == KIND_TAR ? "the bundle is not a tar" :
							     "the bundle is compressed, but not a tar");
	return UNPACK_ok;
}

static int open_zip(struct unpack *u)
{
	int r = zipdir_check(&u->source, u->limits, u->result, &u->zip_entries);
	if (r)
		return r;
	/* only by the directory at its end: sizes and modes in front of the files may be missing (bit 3) */
	if (archive_read_support_format_zip_seekable(u->archive) != ARCHIVE_OK ||
	    archive_read_set_seek_callback(u->archive, zip_seek) != ARCHIVE_OK ||
	    archive_read_open(u->archive, u, NULL, zip_read, NULL) != ARCHIVE_OK)
		return fail_archive(u, "the zip has no usable directory");
	return UNPACK_ok;
}

/* ---- one entry ---- */

/*
 * The entry's data into fd, or nowhere when fd is -1 (links and directories
 * should have none, but what there is must be read, and counts). Blocks come
 * with rising offsets; a gap is a hole, which counts like data because it is
 * what a reader of the file will see.
 */
static int copy_data(struct unpack *u, struct archive_entry *entry, int fd)
{
	uint64_t end = 0, before = u->result->bytes;
	const uint64_t room = u->limits->max_bytes - before;
	const uint64_t stated = archive_entry_size_is_set(entry) ? (uint64_t)archive_entry_size(entry) : 0;

	if (stated > room)
		goto too_large;
	for (;;) {
		const void *block;
		size_t len;
		la_int64_t offset;
		int r = archive_read_data_block(u->archive, &block, &len, &offset);
		if (r == ARCHIVE_EOF)
			break;
		/* a warning here is a checksum or a size that does not fit */
		if (r != ARCHIVE_OK) {
			char doing[256];
			snprintf(doing, sizeof(doing), "entry %.200s", u->name);
			return fail_archive(u, doing);
		}
		if (offset < 0 || (uint64_t)offset < end)
			return unpack_fail(u->result, UNPACK_corrupt, 0, "entry %.200s: its parts overlap", u->name);
		if (len > room || (uint64_t)offset > room - len)
			goto too_large;
		end = (uint64_t)offset + len;
		for (size_t done = 0; fd >= 0 && done < len;) {
			ssize_t n = pwrite(fd, (const char *)block + done, len - done, offset + (la_int64_t)done);
			if (n < 0 && errno != EINTR)
				return unpack_fail(u->result, UNPACK_system, errno, "entry %.200s: write it", u->name);
			done += n > 0 ? (size_t)n : 0;
		}
		u->result->bytes = before + end;
	}
	if (fd >= 0 && stated > end) {
		if (ftruncate(fd, (off_t)stated) < 0)
			return unpack_fail(u->result, UNPACK_system, errno, "entry %.200s: write it", u->name);
		u->result->bytes = before + stated;
	}
	return UNPACK_ok;

too_large:
	return unpack_fail(u->result, UNPACK_max_bytes, 0, "entry %.200s: the files are larger than %" PRIu64 " bytes",
			   u->name, u->limits->max_bytes);
}

static int make_file(struct unpack *u, struct archive_entry *entry)
{
	autoclose int fd = -1;
	int r = tree_file(&u->tree, u->name, (archive_entry_perm(entry) & 0111) != 0, &fd);
	if (!r)
		r = copy_data(u, entry, fd);
	if (r)
		return r;

	int64_t mtime = archive_entry_mtime_is_set(entry) ? archive_entry_mtime(entry) : MTIME_MIN;
	mtime = mtime < MTIME_MIN ? MTIME_MIN : mtime > MTIME_MAX ? MTIME_MAX : mtime;
	const struct timespec times[2] = { { .tv_sec = mtime }, { .tv_sec = mtime } };
	if (futimens(fd, times) < 0)
		return unpack_fail(u->result, UNPACK_system, errno, "entry %.200s: set its time", u->name);
	return UNPACK_ok;
}

static const char *entry_name(struct archive_entry *entry)
{
	const char *name = archive_entry_pathname_utf8(entry);
	return name ? name : archive_entry_pathname(entry);
}

static const char *special_name(mode_t type)
{
	switch (type) {
	case S_IFCHR:
	case S_IFBLK:
		return "a device node";
	case S_IFIFO:
		return "a fifo";
	case S_IFSOCK:
		return "a socket";
	default:
		return "of an unknown type";
	}
}

static int make_object(struct unpack *u, struct archive_entry *entry)
{
	const char *link = archive_entry_hardlink_utf8(entry);
	if (!link)
		link = archive_entry_hardlink(entry);
	if (link)
		return tree_hardlink(&u->tree, u->name, link);

	switch (archive_entry_filetype(entry)) {
	case S_IFREG:
		return make_file(u, entry);
	case S_IFDIR:
		return tree_directory(&u->tree, u->name);
	case S_IFLNK:
		link = archive_entry_symlink_utf8(entry);
		if (!link)
			link = archive_entry_symlink(entry);
		return tree_symlink(&u->tree, u->name, link ? link : "");
	default:
		return unpack_fail(u->result, UNPACK_special, 0, "entry %.200s: %s", u->name,
				   special_name(archive_entry_filetype(entry)));
	}
}

static int unpack_entry(struct unpack *u, struct archive_entry *entry, bool warned)
{
	const char *name = entry_name(entry);
	/* U+FFFD after a warning: the name was not in the encoding it claims, and has been made up */
	if (!name || (warned && strstr(name, "\xef\xbf\xbd")))
		return unpack_fail(u->result, UNPACK_name, 0, "entry %.200s: its name is not valid UTF-8",
				   name ? name : "without a readable name");
	if (++u->entries > u->limits->max_files)
		return unpack_fail(u->result, UNPACK_max_files, 0, "entry %.200s: more than %" PRIu64 " entries", name,
				   u->limits->max_files);
	int r = tree_clean(&u->tree, name, u->name);
	if (r)
		return r;
	if (archive_entry_is_encrypted(entry))
		return unpack_fail(u->result, UNPACK_encrypted, 0, "entry %.200s: encrypted", u->name);

	const mode_t type = archive_entry_filetype(entry);
	const bool file = type == S_IFREG && !archive_entry_hardlink(entry);
	if (!u->name[0]) {
		/* "./", as tar -C DIR . starts; nothing else can be called so */
		if (type != S_IFDIR)
			return unpack_fail(u->result, UNPACK_name, 0, "entry %.200s: names the bundle's root", name);
	} else {
		r = make_object(u, entry);
		if (r)
			return r;
		u->result->stripped += file && (archive_entry_perm(entry) & 07000);
	}
	return file ? UNPACK_ok : copy_data(u, entry, -1);
}

/* ---- the whole ---- */

/*
 * A tar says itself where it ends. Read on to the end of the bundle: only
 * there do the compressor's checksums show whether all of it was right, and
 * anything but padding would be something that we do not unpack.
 */
static int finish_tar(struct unpack *u)
{
	if (u->stream_ended)
		return unpack_fail(u->result, UNPACK_corrupt, 0, "truncated: the tar's end mark is missing");

	const uint64_t start = stream_made(u->stream) - u->block_len;
	const uint64_t used = (uint64_t)archive_filter_bytes(u->archive, 0);
	bool clean = used >= start && used - start <= u->block_len &&
		     is_zero(u->block + (used - start), u->block_len - (used - start));
	while (clean) {
		const void *block;
		ssize_t n = stream_read(u->stream, &block);
		if (n < 0)
			return (int)u->result->outcome;
		if (n == 0)
			return UNPACK_ok;
		clean = is_zero(block, (size_t)n);
	}
	return unpack_fail(u->result, UNPACK_corrupt, 0, "data follows the end of the tar");
}

static int finish_zip(struct unpack *u)
{
	if (u->zip_entries != ZIPDIR_UNKNOWN && u->entries != (uint64_t)u->zip_entries)
		return unpack_fail(u->result, UNPACK_corrupt, 0, "of the zip's %" PRId64 " entries %" PRIu64 " can be read",
				   u->zip_entries, u->entries);
	return UNPACK_ok;
}

static int unpack_entries(struct unpack *u)
{
	for (;;) {
		struct archive_entry *entry;
		int r = archive_read_next_header(u->archive, &entry);
		if (u->result->outcome != UNPACK_ok)
			return (int)u->result->outcome;
		if (r == ARCHIVE_EOF)
			break;
		if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
			return fail_archive(u, u->entries ? "after the last good entry" : "the first entry");
		r = unpack_entry(u, entry, r == ARCHIVE_WARN);
		if (r)
			return r;
	}
	int r = UNPACK_ok;
	if (u->kind == KIND_ZIP)
		r = finish_zip(u);
	else if (u->entries > 0)
		r = finish_tar(u);
	if (!r && u->tree.made == 0)
		r = unpack_fail(u->result, UNPACK_empty, 0, "the bundle holds no files");
	return r ? r : tree_finish(&u->tree);
}

static int unpack_run(struct unpack *u, int bundle_fd, int target_fd, const char *prefix)
{
	int r = source_init(&u->source, bundle_fd, u->result);
	if (!r)
		r = find_kind(u);
	if (!r)
		r = tree_init(&u->tree, target_fd, prefix, u->limits, u->result);
	if (r)
		return r;
	u->archive = archive_read_new();
	if (!u->archive)
		return unpack_fail(u->result, UNPACK_memory, 0, "out of memory");
	r = u->kind == KIND_ZIP ? open_zip(u) : open_tar(u);
	if (r)
		return r;
	u->opened = true;
	return unpack_entries(u);
}

static void unpack_fini(struct unpack *u)
{
	if (u->archive)
		archive_read_free(u->archive);
	u->stream = stream_free(u->stream);
	source_fini(&u->source);
	tree_fini(&u->tree);
}

/* Whoever holds the bundle may still write to it; then neither digest nor files mean anything. */
static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

enum unpack_outcome unpack_bundle(int bundle_fd, int target_fd, const char *prefix, const struct unpack_limits *limits,
				  const uint8_t *expect_sha256, struct unpack_result *result)
{
	struct stat before, after;
	struct digest digest;

	if (fstat(bundle_fd, &before) < 0)
		return unpack_fail(result, UNPACK_system, errno, "look at the bundle");
	int r = digest_fd(bundle_fd, &digest);
	if (r < 0)
		return unpack_fail(result, r == -ENOMEM ? UNPACK_memory : UNPACK_system, -r, "digest the bundle");
	memcpy(result->sha256, digest.sha256, sizeof(result->sha256));
	result->crc64 = digest.crc64;
	result->bundle_bytes = digest.bytes;
	if (expect_sha256 && memcmp(expect_sha256, digest.sha256, sizeof(digest.sha256)) != 0)
		return unpack_fail(result, UNPACK_digest, 0, "the bundle's SHA-256 is not the announced one");

	struct unpack u = { .limits = limits, .result = result, .tree = { .root = -1, .parent = -1 } };
	unpack_run(&u, bundle_fd, target_fd, prefix);
	unpack_fini(&u);

	if (result->outcome == UNPACK_ok && (fstat(bundle_fd, &after) < 0 || !same_file(&before, &after)))
		return unpack_fail(result, UNPACK_changed, 0, "the bundle changed while it was unpacked");
	return result->outcome;
}
