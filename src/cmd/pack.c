#include "cmd/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"

enum { CHUNK = 64 << 10, DEPTH_MAX = 60, PATH_SIZE = 4096, ENTRIES_MAX = 100000 };

void pack_fini(struct pack *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

/* ---- writing --------------------------------------------------------------- */

struct packing {
	struct archive *out;
	struct err *err;
	char path[PATH_SIZE]; /* inside the bundle */
	unsigned entries;
};

static int write_failed(struct packing *p)
{
	return err_set(p->err, 0, "pack %s: %s", p->path, archive_error_string(p->out));
}

static int write_content(struct packing *p, int fd, uint64_t size)
{
	static char chunk[CHUNK];
	while (size > 0) {
		ssize_t n = read(fd, chunk, size < sizeof(chunk) ? size : sizeof(chunk));
		if (n <= 0)
			return err_set(p->err, n < 0 ? errno : ESTALE, "read %s", p->path);
		if (archive_write_data(p->out, chunk, (size_t)n) != n)
			return write_failed(p);
		size -= (uint64_t)n;
	}
	return 0;
}

/* One header: owner root, no time, and only the permission bits. */
static int write_header(struct packing *p, const struct stat *st, const char *link)
{
	struct archive_entry *e = archive_entry_new();
	if (!e)
		return err_set(p->err, ENOMEM, "pack %s", p->path);
	archive_entry_set_pathname(e, p->path);
	archive_entry_set_mode(e, (st->st_mode & S_IFMT) | (st->st_mode & 0111 ? 0755 : 0644));
	if (S_ISREG(st->st_mode))
		archive_entry_set_size(e, st->st_size);
	if (link)
		archive_entry_set_symlink(e, link);
	int r = archive_write_header(p->out, e) == ARCHIVE_OK ? 0 : write_failed(p);
	archive_entry_free(e);
	return r;
}

static int pack_directory(struct packing *p, int dirfd, size_t len, int depth);

static int pack_one(struct packing *p, int dirfd, const char *name, size_t len, int depth)
{
	struct stat st;
	char link[PATH_SIZE];
	if (++p->entries > ENTRIES_MAX)
		return err_set(p->err, 0, "pack: more than %d files", ENTRIES_MAX);
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(p->err, errno, "look at %s", p->path);
	if (S_ISLNK(st.st_mode)) {
		ssize_t n = readlinkat(dirfd, name, link, sizeof(link) - 1);
		if (n < 0)
			return err_set(p->err, errno, "read link %s", p->path);
		link[n] = '\0';
		return write_header(p, &st, link);
	}
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return err_set(p->err, 0, "pack %s: neither file, directory nor symbolic link", p->path);
	autoclose int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | (S_ISDIR(st.st_mode) ? O_DIRECTORY : O_NONBLOCK));
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(p->err, errno, "open %s", p->path);
	int r = write_header(p, &st, NULL);
	if (r == 0)
		r = S_ISDIR(st.st_mode) ? pack_directory(p, fd, len, depth + 1) : write_content(p, fd, (uint64_t)st.st_size);
	return r;
}

static int skip_dots(const struct dirent *e) { return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0; }

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

/* p->path[0..len) is the directory's own path inside. */
static int pack_directory(struct packing *p, int dirfd, size_t len, int depth)
{
	struct dirent **list;
	if (depth > DEPTH_MAX)
		return err_set(p->err, 0, "pack %s: more than %d directories deep", p->path, DEPTH_MAX);
	int n = scandirat(dirfd, ".", &list, skip_dots, by_name), r = 0;
	if (n < 0)
		return err_set(p->err, errno, "read directory %s", len ? p->path : ".");
	for (int i = 0; i < n; i++) {
		size_t used = (size_t)snprintf(p->path + len, sizeof(p->path) - len, "%s%s", len ? "/" : "", list[i]->d_name);
		if (r == 0 && used >= sizeof(p->path) - len)
			r = err_set(p->err, ENAMETOOLONG, "pack %s", p->path);
		if (r == 0)
			r = pack_one(p, dirfd, list[i]->d_name, len + used, depth);
		p->path[len] = '\0';
		free(list[i]);
	}
	free(list);
	return r;
}

static int pack_single(struct packing *p, int fd, const struct stat *st)
{
	struct stat as = *st;
	as.st_mode |= 0111;
	snprintf(p->path, sizeof(p->path), "bootstrap"); /* what stdio runs when no handler is named */
	int r = write_header(p, &as, NULL);
	return r == 0 ? write_content(p, fd, (uint64_t)st->st_size) : r;
}

static int open_output(struct archive *a, int fd)
{
	return archive_write_set_format_gnutar(a) == ARCHIVE_OK && archive_write_add_filter_gzip(a) == ARCHIVE_OK &&
			       archive_write_set_filter_option(a, "gzip", "timestamp", NULL) == ARCHIVE_OK &&
			       archive_write_set_filter_option(a, "gzip", "compression-level", "3") == ARCHIVE_OK &&
			       archive_write_open_fd(a, fd) == ARCHIVE_OK
		       ? 0
		       : -EIO;
}

static int make_bundle(int from, const struct stat *st, struct pack *ret, struct err *err)
{
	struct packing p = { .out = archive_write_new(), .err = err };
	const char *tmp = getenv("TMPDIR");
	ret->made = true;
	ret->fd = open(tmp && *tmp ? tmp : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int r = 0;
	if (ret->fd < 0)
		r = err_set(err, errno, "make a temporary file in %s", tmp && *tmp ? tmp : "/tmp");
	else if (!p.out || open_output(p.out, ret->fd) < 0)
		r = err_set(err, 0, "begin the bundle: %s", p.out ? archive_error_string(p.out) : "out of memory");
	if (r == 0)
		r = S_ISDIR(st->st_mode) ? pack_directory(&p, from, 0, 0) : pack_single(&p, from, st);
	if (r == 0 && archive_write_close(p.out) != ARCHIVE_OK)
		r = err_set(err, 0, "finish the bundle: %s", archive_error_string(p.out));
	archive_write_free(p.out);
	return r;
}

/* ---- telling --------------------------------------------------------------- */

static bool is_archive(int fd)
{
	unsigned char b[264] = { 0 };
	ssize_t n = pread(fd, b, sizeof(b), 0);
	static const struct {
		size_t at, len;
		const char *magic;
	} known[] = {
		{ 0, 4, "PK\3\4" }, { 0, 4, "PK\5\6" }, { 0, 2, "\x1f\x8b" }, { 0, 6, "\xfd" "7zXZ\0" }, { 0, 4, "\x28\xb5\x2f\xfd" },
		{ 257, 5, "ustar" },
	};
	for (size_t i = 0; n > 0 && i < ARRAY_LEN(known); i++)
		if (memcmp(b + known[i].at, known[i].magic, known[i].len) == 0)
			return true;
	return false;
}

static int hash(struct pack *p, struct err *err)
{
	static char chunk[CHUNK];
	unsigned char md[32];
	gnutls_hash_hd_t h;
	if (gnutls_hash_init(&h, GNUTLS_DIG_SHA256) < 0)
		return err_set(err, ENOMEM, "hash the bundle");
	ssize_t n;
	off_t at = 0;
	while ((n = pread(p->fd, chunk, sizeof(chunk), at)) > 0) {
		gnutls_hash(h, chunk, (size_t)n);
		at += n;
	}
	gnutls_hash_deinit(h, md);
	if (n < 0 || lseek(p->fd, 0, SEEK_SET) < 0)
		return err_set(err, errno, "read the bundle");
	str_hex(p->sha256, md, sizeof(md));
	return 0;
}

int pack_open(const char *path, struct pack *ret, struct err *err)
{
	struct stat st;
	*ret = (struct pack){ .fd = -1 };
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, errno, "open %s", path);
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return err_set(err, 0, "%s: neither a directory nor a file", path);
	int r = 0;
	if (S_ISREG(st.st_mode) && is_archive(fd)) {
		ret->fd = take_fd(&fd);
	} else {
		ret->single = S_ISREG(st.st_mode);
		r = make_bundle(fd, &st, ret, err);
	}
	if (r == 0)
		r = hash(ret, err);
	if (r < 0) {
		pack_fini(ret);
		return err_wrap(err, "bundle %s", path);
	}
	return 0;
}
