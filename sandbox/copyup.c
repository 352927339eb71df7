/*
 * copyup - fill a new tmpfs with what lay at its mount point (tmpcopyup, an
 * option of runc's that engines pass for /run, /tmp and the like).
 *
 * Regular files, directories and symlinks, with mode and owner; nothing else
 * lies in such places that would be worth having, and nodes are the spec's.
 * Bounded by the tmpfs' own size and by COPY_DEPTH.
 */
#include "sandbox/stage.h"

#include <dirent.h>
#include <linux/stat.h>

enum { COPY_DEPTH = 24, ENTRIES = 4096 };

struct entry { /* struct linux_dirent64, getdents64(2) */
	uint64_t ino;
	int64_t off;
	unsigned short len;
	unsigned char type;
	char name[];
};

static int copy_dir(int from, int to, int depth);

static int copy_bytes(int in, int out)
{
	long n;
	do
		n = sys4(__NR_sendfile, out, in, 0, 1 << 20);
	while (n > 0);
	return n < 0 ? (int)n : 0;
}

static int copy_file(int from, int to, const char *name, const struct statx *st)
{
	int in = sys_openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (in < 0)
		return in;
	int out = sys_openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r = out < 0 ? out : copy_bytes(in, out);
	if (r == 0)
		r = sys_fchown(out, st->stx_uid, st->stx_gid);
	if (r == 0)
		r = (int)sys2(__NR_fchmod, out, st->stx_mode & 07777);
	sys_close(in);
	if (out >= 0)
		sys_close(out);
	return r;
}

static int copy_link(int from, int to, const char *name, const struct statx *st)
{
	char target[4096];
	long n = sys4(__NR_readlinkat, from, SYS_P(name), SYS_P(target), sizeof(target) - 1);
	if (n < 0)
		return (int)n;
	target[n] = '\0';
	int r = sys_symlinkat(target, to, name);
	return r < 0 ? r : sys_fchownat(to, name, st->stx_uid, st->stx_gid, AT_SYMLINK_NOFOLLOW);
}

static int copy_subdir(int from, int to, const char *name, const struct statx *st, int depth)
{
	int in = sys_openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (in < 0)
		return in;
	int r = sys_mkdirat(to, name, 0700);
	int out = r < 0 ? r : sys_openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	r = out < 0 ? out : copy_dir(in, out, depth + 1);
	if (r == 0)
		r = sys_fchown(out, st->stx_uid, st->stx_gid);
	if (r == 0)
		r = (int)sys2(__NR_fchmod, out, st->stx_mode & 07777);
	sys_close(in);
	if (out >= 0)
		sys_close(out);
	return r;
}

static int copy_entry(int from, int to, const char *name, int depth)
{
	struct statx st;
	int r = (int)sys5(__NR_statx, from, SYS_P(name), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, SYS_P(&st));
	if (r < 0)
		return r;
	switch (st.stx_mode & 0170000) {
	case 0100000: return copy_file(from, to, name, &st);
	case 0120000: return copy_link(from, to, name, &st);
	case 0040000: return copy_subdir(from, to, name, &st, depth);
	default: return 0;
	}
}

static int copy_dir(int from, int to, int depth)
{
	char buf[ENTRIES] __attribute__((aligned(8)));
	if (depth > COPY_DEPTH)
		return -40; /* ELOOP */
	for (;;) {
		long n = sys3(__NR_getdents64, from, SYS_P(buf), sizeof(buf));
		if (n <= 0)
			return (int)n;
		for (long at = 0; at < n;) {
			const struct entry *e = (const struct entry *)(buf + at);
			at += e->len;
			if (str_same(e->name, ".") || str_same(e->name, ".."))
				continue;
			int r = copy_entry(from, to, e->name, depth);
			if (r < 0)
				return r;
		}
	}
}

int copy_up(int root, const char *path, int mnt)
{
	int from = sys_open_in_root(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (from < 0)
		return from == -2 ? 0 : from; /* nothing there, nothing to copy */
	int r = copy_dir(from, mnt, 0);
	sys_close(from);
	return r;
}
