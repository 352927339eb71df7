#include "host/rootfs.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sandbox/sys.h"

void rootfs_close_trees(struct rootfs_trees *t)
{
	while (t->count > 0)
		close(t->fd[--t->count]);
}

/*
 * A copy of a shared mount (on a host with systemd: each) is its peer: what the
 * sandbox mounts below would show on the host, and pivot_root(2) refuses it
 * (mount_namespaces(7)). The child's own namespace is made private by itself
 * (sandbox/mounts.c); these copies are not in it yet.
 *
 * Show the tree's files with the owners they have, seen from the sandbox. A
 * file system that cannot be idmapped (9p, an overlay) shows them as owned by
 * nobody instead: what may be read or run does not change, so the start goes on.
 */
static int set_attributes(int fd, const struct spec *spec, uint32_t flags, int userns_fd)
{
	unsigned how = spec->rootfs_propagation == MS_SLAVE || spec->rootfs_propagation == MS_SHARED ? MS_SLAVE : MS_PRIVATE;
	unsigned recursive = flags & SPEC_TREE_RECURSIVE ? AT_RECURSIVE : 0;
	struct mount_attr attr = { .propagation = how };
	if ((flags & SPEC_TREE_IDMAP) && userns_fd >= 0 && !((spec->features_off >> SYS_IDMAP) & 1)) {
		attr.attr_set = MOUNT_ATTR_IDMAP;
		attr.userns_fd = (uint64_t)userns_fd;
	}
	int r = sys_mount_setattr(fd, recursive, &attr);
	if (r != -EINVAL || !attr.attr_set)
		return r;
	attr = (struct mount_attr){ .propagation = how };
	return sys_mount_setattr(fd, recursive, &attr);
}

/*
 * A minimal /dev as a detached tmpfs. Only the initial user namespace may
 * mknod; inside the sandbox each node would be a bind mount of its own.
 */
static int make_dev(void)
{
	static const struct { const char *name; unsigned major, minor; } nodes[] = {
		{ "null", 1, 3 }, { "zero", 1, 5 }, { "full", 1, 7 }, { "random", 1, 8 }, { "urandom", 1, 9 }, { "tty", 5, 0 },
	};
	static const char *const links[][2] = {
		{ "/proc/self/fd", "fd" }, { "/proc/self/fd/0", "stdin" }, { "/proc/self/fd/1", "stdout" }, { "/proc/self/fd/2", "stderr" },
	};
	int fs = sys_fsopen("tmpfs");
	int r = fs < 0 ? fs : sys_fsconfig(fs, FSCONFIG_SET_STRING, "size", "65536", 0);
	if (r == 0)
		r = sys_fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0755", 0);
	if (r == 0)
		r = sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	int dev = r < 0 ? r : sys_fsmount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	if (fs >= 0)
		close(fs);
	if (dev < 0)
		return dev;

	mode_t mask = umask(0);
	r = sys_mkdirat(dev, "shm", 0755);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(nodes); i++)
		r = sys_mknodat(dev, nodes[i].name, S_IFCHR | 0666, nodes[i].minor | nodes[i].major << 8);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(links); i++)
		r = sys_symlinkat(links[i][0], dev, links[i][1]);
	umask(mask);
	if (r < 0)
		close(dev);
	return r < 0 ? r : dev;
}

int rootfs_open_trees(const struct spec *spec, int userns_fd, struct rootfs_trees *ret, struct err *err)
{
	struct rootfs_trees t = { .count = 0 };
	uint32_t i = 0;

	SPEC_EACH(spec, TREE, struct spec_tree, tree) {
		const char *path = spec_text(spec, tree->path);
		unsigned flags = OPEN_TREE_CLONE | (tree->flags & SPEC_TREE_RECURSIVE ? AT_RECURSIVE : 0);
		uint32_t index = i++;
		int fd = tree->flags & SPEC_TREE_DEV ? make_dev() : sys_open_tree(AT_FDCWD, path, flags);
		if (fd == -ENOENT && (tree->flags & SPEC_TREE_OPTIONAL)) {
			t.missing[index / 64] |= 1ull << (index % 64);
			continue;
		}
		if (fd == -EPERM && index == 0)
			return 1;
		int r = fd;
		if (fd >= 0)
			r = set_attributes(fd, spec, tree->flags, userns_fd);
		if (r < 0) {
			r = err_set(err, -r, "%s %s", fd < 0 ? "open" : "set the attributes of a copy of", path);
			if (fd >= 0)
				close(fd);
			rootfs_close_trees(&t);
			return r;
		}
		t.fd[t.count++] = fd;
	}
	*ret = t;
	return 0;
}
