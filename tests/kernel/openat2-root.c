/*
 * RESOLVE_IN_ROOT keeps absolute symlinks and ".." below the root that was
 * given; RESOLVE_BENEATH refuses them; RESOLVE_NO_SYMLINKS refuses any symlink;
 * RESOLVE_NO_MAGICLINKS refuses /proc's.
 * Leaned on by: sandbox/mounts (destinations below a root that strangers filled), unpack.
 */
#include "mount-test.h"

#include <linux/openat2.h>

static int try(int root, const char *path, uint64_t resolve)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = resolve };
	int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

static bool same(int a, int b)
{
	struct stat x, y;
	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int main(void)
{
	need_root();
	int root = new_fs("tmpfs"); /* attached nowhere */
	CHECK(mkdirat(root, "etc", 0755) == 0 && mkdirat(root, "etc/inside", 0755) == 0);
	CHECK(symlinkat("/etc", root, "abs") == 0 && symlinkat("../../../etc", root, "up") == 0);
	int etc = openat(root, "etc", O_PATH | O_CLOEXEC);
	CHECK(etc >= 0);
	CHECK(same(try(root, "abs", RESOLVE_IN_ROOT), etc));
	CHECK(same(try(root, "up", RESOLVE_IN_ROOT), etc));
	CHECK(same(try(root, "/etc/../../etc", RESOLVE_IN_ROOT), etc));
	CHECK(try(root, "abs/inside", RESOLVE_IN_ROOT) >= 0);
	CHECK(try(root, "abs", RESOLVE_BENEATH) == -EXDEV);
	CHECK(try(root, "up", RESOLVE_BENEATH) == -EXDEV);
	CHECK(try(root, "abs", RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS) == -ELOOP);
	CHECK(try(AT_FDCWD, "/proc/self/fd/0", RESOLVE_NO_MAGICLINKS) == -ELOOP);
	return 0;
}
