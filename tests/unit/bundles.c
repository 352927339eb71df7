#include "bundles.h"

#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <locale.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/cleanup.h"

/* ---- libarchive's writer, into a buffer ---- */

static la_ssize_t to_buf(struct archive *a, void *data, const void *block, size_t len)
{
	(void)a;
	assert(buf_append(data, block, len) == 0);
	return (la_ssize_t)len;
}

static struct archive *begin(struct buf *out, int format, int filter)
{
	/* zip marks names as UTF-8 only where the locale is */
	assert(setlocale(LC_CTYPE, "C.UTF-8"));
	struct archive *a = archive_write_new();
	assert(a);
	assert(archive_write_set_format(a, format) == ARCHIVE_OK);
	assert(archive_write_add_filter(a, filter) == ARCHIVE_OK);
	archive_write_set_bytes_in_last_block(a, 1);
	if (filter == ARCHIVE_FILTER_GZIP)
		archive_write_set_filter_option(a, "gzip", "timestamp", NULL); /* the same bytes every time */
	assert(archive_write_open(a, out, NULL, to_buf, NULL) == ARCHIVE_OK);
	return a;
}

static struct archive *tar(struct buf *out)
{
	return begin(out, ARCHIVE_FORMAT_TAR_PAX_RESTRICTED, ARCHIVE_FILTER_NONE);
}

static struct archive *tar_gz(struct buf *out)
{
	return begin(out, ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_GZIP);
}

static struct archive *zip(struct buf *out)
{
	return begin(out, ARCHIVE_FORMAT_ZIP, ARCHIVE_FILTER_NONE);
}

static void end(struct archive *a)
{
	assert(archive_write_close(a) == ARCHIVE_OK);
	archive_write_free(a);
}

static struct archive_entry *entry(const char *name, mode_t mode)
{
	struct archive_entry *e = archive_entry_new();
	archive_entry_copy_pathname(e, name);
	archive_entry_set_mode(e, mode);
	archive_entry_set_mtime(e, 1700000000, 0);
	archive_entry_set_size(e, 0);
	return e;
}

static void put(struct archive *a, struct archive_entry *e, const void *data, size_t len)
{
	assert(archive_write_header(a, e) >= ARCHIVE_WARN);
	if (len)
		assert(archive_write_data(a, data, len) == (la_ssize_t)len);
	archive_entry_free(e);
}

static void file_mode(struct archive *a, const char *name, mode_t mode, const void *data, size_t len)
{
	struct archive_entry *e = entry(name, S_IFREG | mode);
	archive_entry_set_size(e, (la_int64_t)len);
	put(a, e, data, len);
}

static void file(struct archive *a, const char *name, const char *text)
{
	file_mode(a, name, 0644, text, strlen(text));
}

static void dir(struct archive *a, const char *name)
{
	put(a, entry(name, S_IFDIR | 0700), NULL, 0);
}

static void symlink_to(struct archive *a, const char *name, const char *to)
{
	struct archive_entry *e = entry(name, S_IFLNK | 0777);
	archive_entry_copy_symlink(e, to);
	put(a, e, NULL, 0);
}

static void hardlink_to(struct archive *a, const char *name, const char *to)
{
	struct archive_entry *e = entry(name, S_IFREG | 0644);
	archive_entry_copy_hardlink(e, to);
	put(a, e, NULL, 0);
}

static void special(struct archive *a, const char *name, mode_t type)
{
	struct archive_entry *e = entry(name, type | 0600);
	archive_entry_set_rdev(e, 0x103);
	put(a, e, NULL, 0);
}

/* Something of everything that is allowed. */
static void sample(struct archive *a)
{
	dir(a, "./");
	file_mode(a, "bootstrap", 0700, "#!/bin/sh\necho hello\n", 21);
	dir(a, "lib/");
	file(a, "lib/a.py", "print('a')\n");
	file(a, "deep/er/f.txt", "text\n");
	dir(a, "deep");
	symlink_to(a, "lib/b.py", "../deep/er/f.txt");
	symlink_to(a, "dangling", "lib/not-there");
}

/* ---- whole bundles ---- */

#define KIND(fn, format, filter, with_links)                     \
	static void fn(struct buf *out)                          \
	{                                                        \
		struct archive *a = begin(out, format, filter);  \
		sample(a);                                       \
		if (with_links)                                  \
			hardlink_to(a, "hard", "lib/a.py");      \
		end(a);                                          \
	}

KIND(ok_zip, ARCHIVE_FORMAT_ZIP, ARCHIVE_FILTER_NONE, 0)
KIND(ok_pax, ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE, ARCHIVE_FILTER_NONE, 1)
KIND(ok_ustar, ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_NONE, 1)
KIND(ok_gnutar, ARCHIVE_FORMAT_TAR_GNUTAR, ARCHIVE_FILTER_NONE, 1)
KIND(ok_gzip, ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_GZIP, 1)
KIND(ok_xz, ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_XZ, 1)
KIND(ok_zstd, ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_ZSTD, 1)
KIND(bad_bzip2, ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FILTER_BZIP2, 0)
KIND(bad_7zip, ARCHIVE_FORMAT_7ZIP, ARCHIVE_FILTER_NONE, 0)
KIND(bad_cpio, ARCHIVE_FORMAT_CPIO_SVR4_NOCRC, ARCHIVE_FILTER_NONE, 0)

/* One or two entries, in a tar or a zip. */
#define BUNDLE(fn, begin, ...)                         \
	static void fn(struct buf *out)                \
	{                                              \
		struct archive *a = begin(out);        \
		__VA_ARGS__;                           \
		end(a);                                \
	}

BUNDLE(ok_setuid, tar, file_mode(a, "su", 06755, "x", 1))
BUNDLE(ok_dot_names, tar, file(a, "././a//b/./c", "x"))
BUNDLE(ok_dir_twice, tar, dir(a, "d"); file(a, "d/f", "x"); dir(a, "d/"))
BUNDLE(ok_utf8, zip, file(a, "\xc3\xa9t\xc3\xa9/\xe6\x97\xa5.txt", "x"))
BUNDLE(tar_dotdot, tar, file(a, "fine", "x"); file(a, "a/../../escape", "x"))
BUNDLE(zip_dotdot, zip, file(a, "../escape", "x"))
BUNDLE(tar_absolute, tar, file(a, "/escape", "x"))
BUNDLE(zip_absolute, zip, file(a, "/escape", "x"))
BUNDLE(symlink_absolute, tar, symlink_to(a, "etc", "/etc"))
BUNDLE(symlink_up, tar, symlink_to(a, "d/up", "../.."))
BUNDLE(zip_symlink_up, zip, symlink_to(a, "up", "../escape"))
BUNDLE(symlink_empty, tar, symlink_to(a, "to-nothing", ""))
/* each of the two stays inside by the letter; together they do not */
BUNDLE(symlink_pair, tar, symlink_to(a, "a/b/root", "../.."); symlink_to(a, "a/b/out", "root/../escape"))
BUNDLE(symlink_parent, tar, dir(a, "d"); symlink_to(a, "d/l", "."); file(a, "d/l/escape", "x"))
BUNDLE(symlink_leaf, tar, symlink_to(a, "l", "escape"); file(a, "l", "x"))
BUNDLE(hardlink_outside, tar, hardlink_to(a, "h", "../sentinel"))
BUNDLE(hardlink_absolute, tar, hardlink_to(a, "h", "/etc/passwd"))
BUNDLE(hardlink_missing, tar, hardlink_to(a, "h", "nothing"))
BUNDLE(hardlink_symlink, tar, symlink_to(a, "d/l", "../d"); hardlink_to(a, "h", "d/l"))
BUNDLE(hardlink_dir, tar, dir(a, "d"); hardlink_to(a, "h", "d"))
BUNDLE(hardlink_through, tar, file(a, "d/f", "x"); symlink_to(a, "l", "d"); hardlink_to(a, "h", "l/f"))
BUNDLE(special_char, tar, special(a, "null", S_IFCHR))
BUNDLE(special_block, tar, special(a, "sda", S_IFBLK))
BUNDLE(special_fifo, tar, special(a, "pipe", S_IFIFO))
BUNDLE(dup_file, tar, file(a, "f", "1"); file(a, "./f", "2"))
BUNDLE(dup_zip, zip, file(a, "f", "1"); file(a, "f", "2"))
BUNDLE(dup_file_dir, tar, file(a, "f", "1"); dir(a, "f"))
BUNDLE(dup_dir_file, tar, dir(a, "f"); file(a, "f", "1"))
BUNDLE(dup_parent, tar, file(a, "f", "1"); file(a, "f/g", "1"))
BUNDLE(name_control, tar, file(a, "a\nb", "x"))
BUNDLE(root_file, tar, file(a, ".", "x"))
BUNDLE(only_root, tar, dir(a, "./"))

static void long_name(struct buf *out, size_t component, size_t count)
{
	char name[8192];
	size_t len = 0;
	for (size_t i = 0; i < count; i++) {
		memset(name + len, 'n', component);
		len += component;
		name[len++] = '/';
	}
	name[len - 1] = '\0';
	struct archive *a = begin(out, ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE, ARCHIVE_FILTER_NONE);
	file(a, name, "x");
	end(a);
}

static void name_5000(struct buf *out) { long_name(out, 99, 50); }
static void name_256(struct buf *out) { long_name(out, 256, 1); }
static void depth_64(struct buf *out) { long_name(out, 1, 64); }
static void depth_65(struct buf *out) { long_name(out, 1, 65); }

static void many(struct buf *out, struct archive *(*kind)(struct buf *), unsigned count)
{
	struct archive *a = kind(out);
	for (unsigned i = 0; i < count; i++) {
		char name[32];
		snprintf(name, sizeof(name), "%u", i);
		file(a, name, "");
	}
	end(a);
}

static void files_200(struct buf *out) { many(out, tar_gz, 200); }
static void files_201(struct buf *out) { many(out, tar_gz, 201); }
static void zip_files_201(struct buf *out) { many(out, zip, 201); }

/* parents that no entry names count too */
static void parents_201(struct buf *out)
{
	struct archive *a = tar_gz(out);
	for (unsigned i = 0; i < 101; i++) {
		char name[32];
		snprintf(name, sizeof(name), "%u/f", i);
		file(a, name, "");
	}
	end(a);
}

static void bytes(struct buf *out, struct archive *(*kind)(struct buf *), size_t len)
{
	autofree char *zeros = calloc(1, len);
	struct archive *a = kind(out);
	file_mode(a, "zeros", 0644, zeros, len);
	end(a);
}

static void bytes_limit(struct buf *out) { bytes(out, tar_gz, 1 << 20); }
static void bytes_over(struct buf *out) { bytes(out, tar_gz, (1 << 20) + 1); }
static void zip_bytes_over(struct buf *out) { bytes(out, zip, (1 << 20) + 1); }

static void sparse(struct buf *out, la_int64_t size)
{
	struct archive *a = begin(out, ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE, ARCHIVE_FILTER_NONE);
	struct archive_entry *e = entry("sparse", S_IFREG | 0644);
	archive_entry_set_size(e, size);
	archive_entry_sparse_add_entry(e, size / 2, 512);
	assert(archive_write_header(a, e) == ARCHIVE_OK);
	/* the writer takes the whole file and keeps what the map names */
	char zeros[4096] = "";
	for (la_int64_t done = 0; done < size / 2 + 512; done += (la_int64_t)sizeof(zeros)) {
		la_int64_t left = size / 2 + 512 - done;
		archive_write_data(a, zeros, left < (la_int64_t)sizeof(zeros) ? (size_t)left : sizeof(zeros));
	}
	archive_entry_free(e);
	end(a);
}

static void ok_sparse(struct buf *out) { sparse(out, 512 << 10); }
static void sparse_over(struct buf *out) { sparse(out, 8 << 20); }

static void ok_times(struct buf *out)
{
	struct archive *a = begin(out, ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE, ARCHIVE_FILTER_NONE);
	struct archive_entry *e = entry("past", S_IFREG | 0644);
	archive_entry_set_mtime(e, -1000, 0);
	put(a, e, NULL, 0);
	e = entry("future", S_IFREG | 0644);
	archive_entry_set_mtime(e, 99999999999, 0);
	put(a, e, NULL, 0);
	end(a);
}

/* ---- damaged ones ---- */

static void cut(struct buf *out, void (*make)(struct buf *), size_t keep_percent)
{
	make(out);
	out->len = out->len * keep_percent / 100;
}

static void cut_gzip(struct buf *out) { cut(out, ok_gzip, 60); }
static void cut_xz(struct buf *out) { cut(out, ok_xz, 60); }
static void cut_zstd(struct buf *out) { cut(out, ok_zstd, 60); }
static void cut_zip(struct buf *out) { cut(out, ok_zip, 60); }
static void cut_tar(struct buf *out) { cut(out, bytes_limit, 60); }

static void cut_tar_data(struct buf *out)
{
	bytes(out, tar, 4096);
	out->len = 512 + 1000;
}

static void cut_tar_end(struct buf *out)
{
	bytes(out, tar, 4096);
	out->len = 512 + 4096;
}

static void cut_gzip_trailer(struct buf *out)
{
	ok_gzip(out);
	out->len -= 3;
}

/* zlib finds the wrong checksum only after all of the tar was read */
static void flip_gzip_crc(struct buf *out)
{
	ok_gzip(out);
	out->data[out->len - 8] ^= 1;
}

static void flip_at(struct buf *out, void (*make)(struct buf *), const char *what)
{
	make(out);
	char *p = memmem(out->data, out->len, what, strlen(what));
	assert(p);
	*p ^= 1;
}

static struct archive *zip_stored(struct buf *out)
{
	struct archive *a = archive_write_new();
	assert(archive_write_set_format_zip(a) == ARCHIVE_OK && archive_write_zip_set_compression_store(a) == ARCHIVE_OK);
	archive_write_set_bytes_in_last_block(a, 1);
	assert(archive_write_open(a, out, NULL, to_buf, NULL) == ARCHIVE_OK);
	return a;
}

BUNDLE(ok_stored, zip_stored, file(a, "name-one", "CONTENT of a stored file"))
static void flip_zip_data(struct buf *out) { flip_at(out, ok_stored, "CONTENT"); }
static void flip_tar_header(struct buf *out) { flip_at(out, ok_ustar, "lib/a.py"); }

static void flip_xz(struct buf *out)
{
	ok_xz(out);
	out->data[out->len / 2] ^= 0x10;
}

static void flip_zstd(struct buf *out)
{
	ok_zstd(out);
	out->data[8] ^= 0x7f;
}

static void trailing(struct buf *out)
{
	ok_ustar(out);
	assert(buf_puts(out, "and something else") == 0);
}

static void gzip_padded(struct buf *out)
{
	static const char zeros[700];
	ok_gzip(out);
	assert(buf_append(out, zeros, sizeof(zeros)) == 0);
}

/* gzip(1) allows members one after another: half of the tar in each */
static void gzip_bytes(struct buf *out, const char *data, size_t len)
{
	z_stream z = { 0 };
	assert(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) == Z_OK);
	assert(buf_reserve(out, deflateBound(&z, len) + 64) == 0);
	z.next_in = (Bytef *)(uintptr_t)data;
	z.avail_in = (uInt)len;
	z.next_out = (Bytef *)out->data + out->len;
	z.avail_out = (uInt)(out->cap - out->len - 1);
	assert(deflate(&z, Z_FINISH) == Z_STREAM_END);
	out->len += z.total_out;
	deflateEnd(&z);
}

static void ok_members(struct buf *out)
{
	autobuf struct buf whole = BUF_INIT(BUNDLE_MAX);
	ok_ustar(&whole);
	gzip_bytes(out, whole.data, 700);
	gzip_bytes(out, whole.data + 700, whole.len - 700);
}

static void gzip_text(struct buf *out)
{
	gzip_bytes(out, "this is no tar at all\n", 22);
}

static void gzip_twice(struct buf *out)
{
	autobuf struct buf once = BUF_INIT(BUNDLE_MAX);
	ok_gzip(&once);
	gzip_bytes(out, once.data, once.len);
}

static void xz_twice(struct buf *out)
{
	autobuf struct buf once = BUF_INIT(BUNDLE_MAX);
	ok_xz(&once);
	struct archive *a = begin(out, ARCHIVE_FORMAT_RAW, ARCHIVE_FILTER_XZ);
	file_mode(a, "data", 0644, once.data, once.len);
	end(a);
}

/* An xz that asks its reader for 1.5 GiB: dictionary size 37 in the block header, checksum made to fit. */
void bundle_xz_dictionary(struct buf *out)
{
	ok_xz(out);
	unsigned char *h = (unsigned char *)out->data + 12;
	const size_t len = (size_t)(h[0] + 1) * 4 - 4;
	unsigned char *filter = memmem(h, len, "\x21\x01", 2);
	assert(filter);
	filter[2] = 37;
	const unsigned long crc = crc32(0, h, (uInt)len);
	for (int i = 0; i < 4; i++)
		h[len + (size_t)i] = (unsigned char)(crc >> (8 * i));
}

/* Everywhere in a zip that a name occurs: in front of the data and in the directory. */
static void replace_all(struct buf *out, const char *what, const void *by, size_t len)
{
	size_t count = 0;
	for (char *p = out->data; (p = memmem(p, (size_t)(out->data + out->len - p), what, len)); p += len) {
		memcpy(p, by, len);
		count++;
	}
	assert(count == 2);
}

static void zip_nul(struct buf *out)
{
	ok_stored(out);
	replace_all(out, "name-one", "name\0one", 8);
}

BUNDLE(utf8_named, zip, file(a, "\xc3\xa9t\xc3\xa9-name", "x"))

static void zip_bad_utf8(struct buf *out)
{
	utf8_named(out);
	replace_all(out, "\xc3\xa9t\xc3\xa9-name", "\xc3tt\xff\xfe-name", 10);
}

/* bit 0 of the flags, in both places */
static void zip_encrypted(struct buf *out)
{
	ok_stored(out);
	char *local = memmem(out->data, out->len, "PK\3\4", 4);
	char *central = memmem(out->data, out->len, "PK\1\2", 4);
	assert(local && central);
	local[6] |= 1;
	central[8] |= 1;
}

static void zip_bad_directory(struct buf *out)
{
	ok_stored(out);
	char *central = memmem(out->data, out->len, "PK\1\2", 4);
	assert(central);
	memcpy(central, "XXXX", 4);
}

static void zip_bad_offset(struct buf *out)
{
	ok_stored(out);
	char *e = memmem(out->data, out->len, "PK\5\6", 4);
	assert(e);
	memset(e + 16, 0x7f, 4);
}

static void text_bundle(struct buf *out, const char *text, size_t len)
{
	assert(buf_append(out, text, len) == 0);
}

static void no_bytes(struct buf *out) { text_bundle(out, "", 0); }
static void plain_text(struct buf *out) { text_bundle(out, "just some text\n", 15); }
static void script(struct buf *out) { text_bundle(out, "#!/bin/sh\n", 10); }
static void empty_zip(struct buf *out) { text_bundle(out, "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22); }

static void empty_tar(struct buf *out)
{
	static const char zeros[1024];
	text_bundle(out, zeros, sizeof(zeros));
}

/* A tar of 1977: no magic, a sum with trailing blank. */
static void tar_header(char h[512], const char *name, char type, size_t size)
{
	memset(h, 0, 512);
	snprintf(h, 100, "%s", name);
	memcpy(h + 100, "0000644\0" "0000000\0" "0000000\0", 24);
	snprintf(h + 124, 12, "%011llo", (unsigned long long)size & 077777777777);
	memcpy(h + 136, "14512345670", 12);
	memset(h + 148, ' ', 8);
	h[156] = type;
	unsigned sum = 0;
	for (int i = 0; i < 512; i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum & 0777777);
}

static void raw_tar(struct buf *out, const char *name, char type, const char *data)
{
	char block[512];
	static const char zeros[1024];
	tar_header(block, name, type, strlen(data));
	text_bundle(out, block, sizeof(block));
	memset(block, 0, sizeof(block));
	memcpy(block, data, strlen(data));
	if (data[0])
		text_bundle(out, block, sizeof(block));
	text_bundle(out, zeros, sizeof(zeros));
}

static void ok_v7(struct buf *out) { raw_tar(out, "old", '\0', "from 1977\n"); }
static void no_name(struct buf *out) { raw_tar(out, "", '0', "x"); }
static void fifo_data(struct buf *out) { raw_tar(out, "fifo", '6', ""); }

/* ---- large ones ---- */

enum { CHUNK = 16 << 20 };

/*
 * Deflate 16 MiB of zeros once, ended by a full flush: a piece that can follow
 * itself. Compressing 10 GiB would take longer than all other tests.
 */
void bundle_zeros(struct buf *out, unsigned gib, char type)
{
	const uint64_t total = (uint64_t)gib << 30;
	const uint64_t most = 077777777777; /* eleven octal digits */
	char head[512];
	tar_header(head, "zeros", type, total < most ? total : most);

	autofree Bytef *zeros = calloc(1, CHUNK);
	autofree Bytef *piece = malloc(CHUNK);
	z_stream z = { 0 };
	assert(zeros && piece && deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) == Z_OK);
	z.next_in = (Bytef *)head;
	z.avail_in = sizeof(head);
	z.next_out = piece;
	z.avail_out = CHUNK;
	assert(deflate(&z, Z_FULL_FLUSH) == Z_OK);
	text_bundle(out, (char *)piece, CHUNK - z.avail_out);
	z.next_in = zeros;
	z.avail_in = CHUNK;
	z.next_out = piece;
	z.avail_out = CHUNK;
	assert(deflate(&z, Z_FULL_FLUSH) == Z_OK);
	for (uint64_t done = 0; done < total; done += CHUNK)
		text_bundle(out, (char *)piece, CHUNK - z.avail_out);
	deflateEnd(&z);
}

void bundle_many_files(struct buf *out, unsigned count)
{
	static unsigned char packed[256 << 10];
	z_stream z = { 0 };
	assert(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) == Z_OK);
	for (unsigned i = 0; i <= count; i++) {
		char head[512], name[32];
		snprintf(name, sizeof(name), "%u", i);
		tar_header(head, name, '0', 0);
		z.next_in = (Bytef *)head;
		z.avail_in = i < count ? sizeof(head) : 0;
		do {
			z.next_out = packed;
			z.avail_out = sizeof(packed);
			assert(deflate(&z, i < count ? Z_NO_FLUSH : Z_FINISH) >= Z_OK || z.avail_in == 0);
			text_bundle(out, (char *)packed, sizeof(packed) - z.avail_out);
		} while (z.avail_out == 0);
	}
	deflateEnd(&z);
}

void bundle_files(struct buf *out, const char *name, ...)
{
	struct archive *a = begin(out, ARCHIVE_FORMAT_TAR_PAX_RESTRICTED, ARCHIVE_FILTER_NONE);
	va_list ap;
	va_start(ap, name);
	for (; name; name = va_arg(ap, const char *))
		file(a, name, va_arg(ap, const char *));
	va_end(ap);
	end(a);
}

#define C(name, outcome, text) { #name, UNPACK_##outcome, name, text }

const struct bundle_case bundle_cases[] = {
	C(ok_zip, ok, ""),
	C(ok_stored, ok, ""),
	C(ok_pax, ok, ""),
	C(ok_ustar, ok, ""),
	C(ok_gnutar, ok, ""),
	C(ok_v7, ok, ""),
	C(ok_gzip, ok, ""),
	C(ok_members, ok, ""),
	C(gzip_padded, ok, ""),
	C(ok_xz, ok, ""),
	C(ok_zstd, ok, ""),
	C(ok_setuid, ok, ""),
	C(ok_dot_names, ok, ""),
	C(ok_dir_twice, ok, ""),
	C(ok_utf8, ok, ""),
	C(ok_sparse, ok, ""),
	C(ok_times, ok, ""),
	C(depth_64, ok, ""),
	C(files_200, ok, ""),
	C(bytes_limit, ok, ""),
	C(bad_bzip2, format, "bzip2"),
	C(bad_7zip, format, "7-Zip"),
	C(bad_cpio, format, "cpio"),
	C(plain_text, format, "unknown data"),
	C(script, format, "script"),
	C(gzip_text, corrupt, "not a tar"),
	C(gzip_twice, corrupt, "not a tar"),
	C(xz_twice, format, "more than once"),
	C(no_bytes, empty, "no bytes"),
	C(empty_zip, empty, "no files"),
	C(empty_tar, empty, "no files"),
	C(only_root, empty, "no files"),
	C(tar_dotdot, dotdot, "a/../../escape"),
	C(zip_dotdot, dotdot, "../escape"),
	C(tar_absolute, absolute, "/escape"),
	C(zip_absolute, absolute, "/escape"),
	C(symlink_absolute, symlink, "etc: a symbolic link to /etc"),
	C(symlink_up, symlink, "d/up"),
	C(zip_symlink_up, symlink, "up"),
	C(symlink_pair, symlink, "a/b/out"),
	C(symlink_parent, symlink, "d/l/escape"),
	C(symlink_leaf, duplicate, "entry l"),
	C(symlink_empty, name, "to-nothing"),
	C(hardlink_outside, hardlink, "../sentinel"),
	C(hardlink_absolute, hardlink, "/etc/passwd"),
	C(hardlink_missing, hardlink, "nothing"),
	C(hardlink_symlink, hardlink, "not a regular file"),
	C(hardlink_dir, hardlink, "not a regular file"),
	C(hardlink_through, hardlink, "l/f"),
	C(special_char, special, "null: a device"),
	C(special_block, special, "sda: a device"),
	C(special_fifo, special, "pipe: a fifo"),
	C(fifo_data, special, "fifo"),
	C(dup_file, duplicate, "entry f"),
	C(dup_zip, duplicate, "entry f"),
	C(dup_file_dir, duplicate, "entry f"),
	C(dup_dir_file, duplicate, "entry f"),
	C(dup_parent, duplicate, "entry f/g"),
	C(name_control, name, "a?b"),
	C(root_file, name, "root"),
	C(no_name, name, "no name"),
	C(zip_nul, name, "NUL"),
	C(zip_bad_utf8, name, "UTF-8"),
	C(name_5000, max_name, "4999 bytes"),
	C(name_256, max_name, "256 bytes"),
	C(depth_65, max_depth, "64"),
	C(files_201, max_files, "200"),
	C(zip_files_201, max_files, "200"),
	C(parents_201, max_files, "200"),
	C(bytes_over, max_bytes, "zeros"),
	C(zip_bytes_over, max_bytes, "zeros"),
	C(sparse_over, max_bytes, "sparse"),
	C(cut_tar, corrupt, "truncated"),
	C(cut_tar_data, corrupt, "zeros"),
	C(cut_tar_end, corrupt, "end mark"),
	C(cut_gzip, corrupt, "truncated"),
	C(cut_gzip_trailer, corrupt, "truncated"),
	C(cut_xz, corrupt, ""),
	C(cut_zstd, corrupt, ""),
	C(cut_zip, corrupt, "directory"),
	C(flip_gzip_crc, corrupt, "gzip"),
	C(flip_zip_data, corrupt, "name-one"),
	C(flip_tar_header, corrupt, ""),
	C(flip_xz, corrupt, ""),
	C(flip_zstd, corrupt, ""),
	C(trailing, corrupt, "follows the end"),
	C(zip_encrypted, encrypted, ""),
	C(zip_bad_directory, corrupt, ""),
	C(zip_bad_offset, corrupt, ""),
};
const size_t bundle_case_count = ARRAY_LEN(bundle_cases);
