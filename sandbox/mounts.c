/*
 * mounts - the root file system, built from the spec's list.
 *
 * Theory of operation. Everything is made detached (fsmount(2), open_tree(2))
 * and attached by descriptor with move_mount(2): a destination is looked up
 * below the new root with RESOLVE_IN_ROOT, so neither a symlink in an image nor
 * a race with one can lead a mount out of it. The new root itself hangs on
 * spec.stage_dir, a directory of the host seen only in our own mount namespace.
 *
 * Sources on the host come as detached trees from the launcher, which opened
 * and idmapped them with its own rights. A launcher without rights over the
 * host's mounts (an ordinary user) sends none: then we open them here, where we
 * have rights over our own copy of the mount table.
 *
 * Should: leave root_fd on a complete tree. Mustn't yet: leave the old root.
 */
#include "sandbox/stage.h"

#include <linux/magic.h>
#include <linux/stat.h>
#include <sys/mount.h>

#define ENOENT_ 2
#define EEXIST_ 17
#define EINVAL_ 22
#define EPERM_ 1
#define EOPNOTSUPP_ 95

#ifndef S_IFMT
#define S_IFMT 0170000
#define S_IFDIR 0040000
#define S_IFBLK 0060000
#define S_IFCHR 0020000
#define S_IFREG 0100000
#define S_ISDIR(m) (((m) & S_IFMT) == S_IFDIR)
#endif

static const char *text(struct ctx *ctx, spec_str str) { return spec_text(ctx->spec, str); }

/* File type of what a descriptor names (statx(2)), or -errno. */
static int fd_type(int fd)
{
	struct statx stx;
	int r = (int)sys5(__NR_statx, fd, SYS_P(""), AT_EMPTY_PATH, STATX_TYPE, SYS_P(&stx));
	return r < 0 ? r : stx.stx_mode & S_IFMT;
}

/* Split "a/b/c" into parent directory (opened below the root) and last component. */
static int open_parent(struct ctx *ctx, const char *path, const char **last)
{
	char dir[4096];
	size_t n = str_add(dir, sizeof(dir), 0, path);
	while (n > 1 && dir[n - 1] == '/')
		dir[--n] = '\0';
	while (n > 0 && dir[n - 1] != '/')
		n--;
	dir[n] = '\0';
	*last = path + n;
	return sys_open_in_root(ctx->root_fd, n ? dir : ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
}

/* Make the directories of a path below the root, one by one. */
static int make_parents(struct ctx *ctx, const char *path)
{
	char prefix[4096];
	for (size_t i = 1; path[i]; i++) {
		if (path[i] != '/' || path[i - 1] == '/' || i + 1 >= sizeof(prefix))
			continue;
		str_add(prefix, i + 1, 0, path);
		int fd = sys_open_in_root(ctx->root_fd, prefix, O_PATH | O_CLOEXEC, 0);
		if (fd == -ENOENT_) {
			const char *last;
			int dir = open_parent(ctx, prefix, &last);
			if (dir < 0)
				return dir;
			fd = sys_mkdirat(dir, last, 0755);
			sys_close(dir);
			if (fd < 0 && fd != -EEXIST_)
				return fd;
			continue;
		}
		if (fd < 0)
			return fd;
		sys_close(fd);
	}
	return 0;
}

/* The place at dst, made first when the record or the spec says so and it is not there. */
static int open_dst(struct ctx *ctx, const struct spec_mount *m, int is_dir)
{
	const char *dst = text(ctx, m->dst);
	int fd = sys_open_in_root(ctx->root_fd, dst, O_PATH | O_CLOEXEC, 0);
	if (fd != -ENOENT_ || !((m->flags & SPEC_MF_CREATE) || spec_has(ctx->spec, SPEC_F_CREATE_DST)))
		return fd;

	const char *last;
	int r = make_parents(ctx, dst);
	int dir = r < 0 ? r : open_parent(ctx, dst, &last);
	if (dir < 0)
		return dir;
	r = is_dir ? sys_mkdirat(dir, last, 0755) : sys_mknodat(dir, last, S_IFREG | 0644, 0);
	sys_close(dir);
	if (r < 0 && r != -EEXIST_)
		return r;
	return sys_open_in_root(ctx->root_fd, dst, O_PATH | O_CLOEXEC, 0);
}

static int set_attr(const struct spec_mount *m, int fd)
{
	struct mount_attr attr = {
		.attr_set = m->attr_set,
		.attr_clr = m->attr_clear,
		.propagation = m->propagation,
	};
	if (!attr.attr_set && !attr.attr_clr && !attr.propagation)
		return 0;
	return sys_mount_setattr(fd, m->flags & SPEC_MF_RECURSIVE ? AT_RECURSIVE : 0, &attr);
}

/* Attach a detached mount: the first one becomes the root, the others go below it. */
static int attach(struct ctx *ctx, const struct spec_mount *m, int mnt)
{
	int is_dir = fd_type(mnt) == S_IFDIR;
	int first = ctx->root_fd < 0;
	int dst = first ? sys_openat(AT_FDCWD, text(ctx, ctx->spec->stage_dir), O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
			: open_dst(ctx, m, is_dir);
	if (dst < 0)
		return dst;
	int r = sys_move_mount(mnt, dst);
	sys_close(dst);
	if (r == 0 && first)
		ctx->root_fd = mnt;
	else
		sys_close(mnt);
	return r;
}

static int config_num(int fs, const char *key, uint64_t value, unsigned base)
{
	char num[32];
	size_t n = base == 8 ? str_add(num, sizeof(num), 0, "0") : 0;
	str_add_num(num, sizeof(num), n, value, base);
	return sys_fsconfig(fs, FSCONFIG_SET_STRING, key, num, 0);
}

/* "a=b,c,d=e" as mount(8) takes it; a backslash keeps the next comma. */
static int config_options(int fs, const char *options)
{
	char item[4096];
	while (*options) {
		size_t n = 0;
		const char *value = NULL;
		for (; *options && *options != ','; options++) {
			if (*options == '\\' && options[1] == ',')
				options++;
			if (n + 1 >= sizeof(item))
				return -EINVAL_;
			if (*options == '=' && !value) {
				item[n++] = '\0';
				value = item + n;
				continue;
			}
			item[n++] = *options;
		}
		item[n] = '\0';
		if (*options)
			options++;
		if (!item[0])
			continue;
		int r = value ? sys_fsconfig(fs, FSCONFIG_SET_STRING, item, value, 0)
			      : sys_fsconfig(fs, FSCONFIG_SET_FLAG, item, NULL, 0);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Create the configured file system and its mount; closes fs. */
static int finish_fs(int fs, uint64_t attr)
{
	int r = sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	int mnt = r < 0 ? r : sys_fsmount(fs, (unsigned)attr);
	sys_close(fs);
	return mnt;
}

static int mount_tmpfs(struct ctx *ctx, const struct spec_mount *m)
{
	int fs = sys_fsopen("tmpfs");
	int r = fs;
	if (r >= 0 && m->size)
		r = config_num(fs, "size", m->size, 10);
	if (r >= 0 && m->inodes)
		r = config_num(fs, "nr_inodes", m->inodes, 10);
	if (r >= 0)
		r = config_num(fs, "mode", m->mode & 07777, 8);
	if (r >= 0 && m->uid)
		r = config_num(fs, "uid", m->uid, 10);
	if (r >= 0 && m->gid)
		r = config_num(fs, "gid", m->gid, 10);
	if (r >= 0 && m->data)
		r = config_options(fs, text(ctx, m->data));
	if (r < 0) {
		if (fs >= 0)
			sys_close(fs);
		return r;
	}
	int copy = m->flags & SPEC_MF_COPYUP && ctx->root_fd >= 0;
	int mnt = finish_fs(fs, copy ? 0 : m->attr_set);
	if (mnt < 0 || !copy)
		return mnt < 0 ? mnt : attach(ctx, m, mnt);
	r = copy_up(ctx->root_fd, text(ctx, m->dst), mnt);
	if (r == 0)
		r = set_attr(m, mnt); /* a read-only one could not be filled */
	if (r < 0) {
		sys_close(mnt);
		return r;
	}
	return attach(ctx, m, mnt);
}

static int mount_fs(struct ctx *ctx, const struct spec_mount *m, const char *type)
{
	int fs = sys_fsopen(type);
	if (fs < 0)
		return fs;
	int r = m->src && str_same(type, "proc") == 0 ? sys_fsconfig(fs, FSCONFIG_SET_STRING, "source", text(ctx, m->src), 0) : 0;
	if (r >= 0 && m->data)
		r = config_options(fs, text(ctx, m->data));
	if (r < 0) {
		sys_close(fs);
		return r;
	}
	int mnt = finish_fs(fs, m->attr_set);
	return mnt < 0 ? mnt : attach(ctx, m, mnt);
}

static int open_tree_source(struct ctx *ctx, uint32_t index)
{
	if (index < ctx->trees)
		return ctx->tree[index];
	return -EINVAL_;
}

/* Linux 6.15: layers as detached mounts, by descriptor. -EINVAL where the kernel cannot. */
static int overlay_by_fd(struct ctx *ctx, const struct spec_mount *m, int fs)
{
	uint32_t unused;
	const struct spec_lower *lower = spec_section(ctx->spec, SPEC_SECT_LOWER, &unused);
	for (uint32_t i = m->first; i < m->first + m->count; i++) {
		int r = lower[i].tree != SPEC_NO_TREE
				? sys_fsconfig(fs, FSCONFIG_SET_FD, "lowerdir+", NULL, open_tree_source(ctx, lower[i].tree))
				: sys_fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", text(ctx, lower[i].path), 0);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * Older kernels take layers by path, and only from our own mount namespace:
 * hang each tree on a directory of a tmpfs at stage_dir and name those. The
 * overlay keeps private clones; the tmpfs goes away with the old root.
 */
static int overlay_by_path(struct ctx *ctx, const struct spec_mount *m, int fs)
{
	char list[4096];
	size_t n = 0;
	uint32_t unused;
	const struct spec_lower *lower = spec_section(ctx->spec, SPEC_SECT_LOWER, &unused);
	const char *stage = text(ctx, ctx->spec->stage_dir);

	int tmp = sys_fsopen("tmpfs");
	int base = tmp < 0 ? tmp : finish_fs(tmp, 0);
	int at = base < 0 ? base : sys_openat(AT_FDCWD, stage, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	int r = at < 0 ? at : sys_move_mount(base, at);
	if (r < 0)
		return r;
	sys_close(at);

	for (uint32_t i = m->first; i < m->first + m->count; i++) {
		if (i > m->first)
			n = str_add(list, sizeof(list), n, ":");
		if (lower[i].tree == SPEC_NO_TREE) {
			n = str_add(list, sizeof(list), n, text(ctx, lower[i].path));
			continue;
		}
		char name[16];
		str_add_num(name, sizeof(name), 0, i, 10);
		r = sys_mkdirat(base, name, 0755);
		int dir = r < 0 ? r : sys_openat(base, name, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		int tree = open_tree_source(ctx, lower[i].tree);
		r = dir < 0 ? dir : tree < 0 ? tree : sys_move_mount(tree, dir);
		if (r < 0)
			return r;
		sys_close(dir);
		n = str_add(list, sizeof(list), n, stage);
		n = str_add(list, sizeof(list), n, "/");
		n = str_add(list, sizeof(list), n, name);
	}
	sys_close(base);
	if (n + 1 >= sizeof(list))
		return -36; /* ENAMETOOLONG */
	return sys_fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir", list, 0);
}

static int overlay_configure(struct ctx *ctx, const struct spec_mount *m, int by_fd)
{
	int fs = sys_fsopen("overlay");
	if (fs < 0)
		return fs;
	int r = by_fd ? overlay_by_fd(ctx, m, fs) : overlay_by_path(ctx, m, fs);
	if (r >= 0 && m->src)
		r = sys_fsconfig(fs, FSCONFIG_SET_STRING, "upperdir", text(ctx, m->src), 0);
	if (r >= 0 && m->data)
		r = config_options(fs, text(ctx, m->data)); /* workdir=... and the like */
	if (r < 0) {
		sys_close(fs);
		return r;
	}
	return finish_fs(fs, m->attr_set);
}

static int mount_overlay(struct ctx *ctx, const struct spec_mount *m)
{
	/* a detached mount may be a layer only for who has rights over the namespace it was made in: our own trees */
	int by_fd = ctx->own_trees || !spec_new_ns(ctx->spec, SPEC_NS_USER);
	if ((ctx->spec->features_off >> SYS_LOWERDIR_FD) & 1)
		by_fd = 0;
	int mnt = by_fd ? overlay_configure(ctx, m, 1) : -EINVAL_;
	if (mnt == -EINVAL_)
		mnt = overlay_configure(ctx, m, 0);
	return mnt < 0 ? mnt : attach(ctx, m, mnt);
}

static int mount_tree(struct ctx *ctx, const struct spec_mount *m)
{
	int mnt = open_tree_source(ctx, m->tree);
	int r = mnt < 0 ? mnt : set_attr(m, mnt);
	if (r < 0)
		return r;
	ctx->tree[m->tree] = -EINVAL_; /* a tree is attached once */
	return attach(ctx, m, mnt);
}

static int mount_bind(struct ctx *ctx, const struct spec_mount *m)
{
	unsigned flags = OPEN_TREE_CLONE | (m->flags & SPEC_MF_RECURSIVE ? AT_RECURSIVE : 0) |
			 (m->flags & SPEC_MF_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0);
	int mnt = sys_open_tree(AT_FDCWD, text(ctx, m->src), flags);
	int r = mnt < 0 ? mnt : set_attr(m, mnt);
	return r < 0 ? r : attach(ctx, m, mnt);
}

static int owner(const struct spec_mount *m, int dir, const char *name)
{
	if (!m->uid && !m->gid)
		return 0;
	return sys_fchownat(dir, name, m->uid, m->gid, AT_SYMLINK_NOFOLLOW);
}

static int make_dir(struct ctx *ctx, const struct spec_mount *m)
{
	const char *last;
	int dir = open_parent(ctx, text(ctx, m->dst), &last);
	if (dir < 0)
		return dir;
	int r = sys_mkdirat(dir, last, m->mode & 07777);
	if (r == 0)
		r = owner(m, dir, last);
	sys_close(dir);
	return r == -EEXIST_ ? 0 : r;
}

static int make_symlink(struct ctx *ctx, const struct spec_mount *m)
{
	const char *last;
	int dir = open_parent(ctx, text(ctx, m->dst), &last);
	if (dir < 0)
		return dir;
	int r = sys_symlinkat(text(ctx, m->src), dir, last);
	sys_close(dir);
	return r == -EEXIST_ ? 0 : r;
}

static int make_file(struct ctx *ctx, const struct spec_mount *m)
{
	const char *last, *data = text(ctx, m->data);
	int dir = open_parent(ctx, text(ctx, m->dst), &last);
	if (dir < 0)
		return dir;
	int fd = sys_openat(dir, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (int)m->mode & 07777);
	long r = fd < 0 ? fd : *data ? sys_write(fd, data, str_len(data)) : 0;
	if (r >= 0)
		r = owner(m, dir, last);
	if (fd >= 0)
		sys_close(fd);
	sys_close(dir);
	return r < 0 ? (int)r : 0;
}

/* What is in the way of a node: 0 when it is that very node, else -EEXIST. A name of the image is no device. */
static int same_node(const struct spec_mount *m, int dir, const char *name)
{
	struct statx stx;
	int r = (int)sys5(__NR_statx, dir, SYS_P(name), AT_SYMLINK_NOFOLLOW, STATX_TYPE, SYS_P(&stx));
	if (r < 0)
		return r;
	unsigned type = stx.stx_mode & S_IFMT;
	int device = type == S_IFCHR || type == S_IFBLK;
	int same = type == (m->mode & S_IFMT) && (!device || (stx.stx_rdev_major == m->major && stx.stx_rdev_minor == m->minor));
	return same ? 0 : -EEXIST_;
}

/* A user namespace cannot mknod: there the host's own node is bound over an empty file. */
static int make_node(struct ctx *ctx, const struct spec_mount *m)
{
	struct spec_mount bind = *m;
	bind.flags |= SPEC_MF_CREATE;
	if (spec_new_ns(ctx->spec, SPEC_NS_USER))
		return mount_bind(ctx, &bind);

	const char *last;
	unsigned dev = (m->minor & 0xff) | (m->major << 8) | ((m->minor & ~0xffu) << 12);
	int r = m->flags & SPEC_MF_CREATE ? make_parents(ctx, text(ctx, m->dst)) : 0;
	int dir = r < 0 ? r : open_parent(ctx, text(ctx, m->dst), &last);
	if (dir < 0)
		return dir;
	r = sys_mknodat(dir, last, (int)m->mode, dev);
	if (r == 0)
		r = (int)sys4(__NR_fchmodat, dir, SYS_P(last), m->mode & 07777, 0);
	if (r == 0)
		r = owner(m, dir, last);
	else if (r == -EEXIST_)
		r = same_node(m, dir, last);
	sys_close(dir);
	if (r == -EPERM_) /* a user namespace made by somebody else */
		return mount_bind(ctx, &bind);
	return r;
}

/* A second mount of what lies at dst, on top of it, with other attributes. */
static int cover_self(struct ctx *ctx, const struct spec_mount *m, uint64_t attr_set)
{
	int dst = sys_open_in_root(ctx->root_fd, text(ctx, m->dst), O_PATH | O_CLOEXEC, 0);
	if (dst < 0)
		return dst;
	int mnt = sys_open_tree(dst, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE);
	struct mount_attr attr = { .attr_set = attr_set | m->attr_set };
	int r = mnt < 0 ? mnt : sys_mount_setattr(mnt, AT_RECURSIVE, &attr);
	if (r == 0)
		r = sys_move_mount(mnt, dst);
	if (mnt >= 0)
		sys_close(mnt);
	sys_close(dst);
	return r;
}

static int mask(struct ctx *ctx, const struct spec_mount *m)
{
	int dst = sys_open_in_root(ctx->root_fd, text(ctx, m->dst), O_PATH | O_CLOEXEC, 0);
	if (dst < 0)
		return dst;
	int mnt;
	if (fd_type(dst) == S_IFDIR) {
		int fs = sys_fsopen("tmpfs");
		int r = fs < 0 ? fs : config_num(fs, "nr_inodes", 1, 10);
		mnt = r < 0 ? r : finish_fs(fs, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	} else {
		mnt = sys_open_tree(AT_FDCWD, "/dev/null", OPEN_TREE_CLONE);
	}
	int r = mnt < 0 ? mnt : sys_move_mount(mnt, dst);
	if (mnt >= 0)
		sys_close(mnt);
	sys_close(dst);
	return r;
}

static int change_attr(struct ctx *ctx, const struct spec_mount *m)
{
	int fd = sys_open_in_root(ctx->root_fd, text(ctx, m->dst), O_PATH | O_CLOEXEC, 0);
	int r = fd < 0 ? fd : set_attr(m, fd);
	if (fd >= 0)
		sys_close(fd);
	return r;
}

static int execute(struct ctx *ctx, const struct spec_mount *m)
{
	switch (m->op) {
	case SPEC_MNT_OVERLAY: return mount_overlay(ctx, m);
	case SPEC_MNT_TREE: return mount_tree(ctx, m);
	case SPEC_MNT_BIND: return mount_bind(ctx, m);
	case SPEC_MNT_TMPFS: return mount_tmpfs(ctx, m);
	case SPEC_MNT_PROC: return mount_fs(ctx, m, "proc");
	case SPEC_MNT_CGROUP: return mount_fs(ctx, m, "cgroup2");
	case SPEC_MNT_FS: return mount_fs(ctx, m, text(ctx, m->fstype));
	case SPEC_MNT_DIR: return make_dir(ctx, m);
	case SPEC_MNT_SYMLINK: return make_symlink(ctx, m);
	case SPEC_MNT_FILE: return make_file(ctx, m);
	case SPEC_MNT_NODE: return make_node(ctx, m);
	case SPEC_MNT_MASK: return mask(ctx, m);
	case SPEC_MNT_RDONLY: return cover_self(ctx, m, MOUNT_ATTR_RDONLY);
	case SPEC_MNT_SETATTR: return change_attr(ctx, m);
	default: return -EINVAL_;
	}
}

static const char *const op_names[SPEC_MNT_MAX] = {
#define X(upper, lower) [SPEC_MNT_##upper] = #lower,
	SPEC_MOUNT_LIST(X)
#undef X
};

/* The launcher had no rights over the host's mounts: open the trees in our own copy of them. */
static int open_own_trees(struct ctx *ctx)
{
	SPEC_EACH(ctx->spec, TREE, struct spec_tree, t) {
		if (t->flags & SPEC_TREE_DEV) /* only the launcher can make it; what path names is the host's /dev */
			return stage_fail(ctx, -EPERM_, "make a minimal", text(ctx, t->path));
		unsigned flags = OPEN_TREE_CLONE | (t->flags & SPEC_TREE_RECURSIVE ? AT_RECURSIVE : 0);
		int fd = sys_open_tree(AT_FDCWD, text(ctx, t->path), flags);
		if (fd < 0 && !(fd == -ENOENT_ && (t->flags & SPEC_TREE_OPTIONAL)))
			return stage_fail(ctx, fd, "open tree", text(ctx, t->path));
		ctx->tree[ctx->trees++] = fd;
	}
	ctx->own_trees = 1;
	return 0;
}

/*
 * A namespace of a new user namespace is already a slave of its origin
 * (mount_namespaces(7)); else say so, or our mounts would show on the host.
 */
static int set_propagation(struct ctx *ctx)
{
	unsigned how = ctx->spec->rootfs_propagation;
	if (spec_new_ns(ctx->spec, SPEC_NS_USER) && (how == 0 || how == MS_SLAVE))
		return 0;
	int r = sys_mount(NULL, "/", NULL, MS_REC | (how == MS_SLAVE || how == MS_SHARED ? MS_SLAVE : MS_PRIVATE), NULL);
	return r < 0 ? stage_fail(ctx, r, "propagation of /", "") : 0;
}

int mounts_enter(struct ctx *ctx)
{
	if (!spec_new_ns(ctx->spec, SPEC_NS_MOUNT))
		return 0;
	uint32_t trees;
	spec_section(ctx->spec, SPEC_SECT_TREE, &trees);
	int r = set_propagation(ctx);
	if (r == 0 && ctx->trees == 0 && trees > 0)
		r = open_own_trees(ctx);
	if (r < 0)
		return r;
	if (ctx->spec->oom_score_adj != INT32_MIN)
		proc_self(ctx); /* while the host's /proc can still be named */
	sys1(__NR_umask, 0);

	SPEC_EACH(ctx->spec, MOUNT, struct spec_mount, m) {
		r = execute(ctx, m);
		if (r == -ENOENT_ && (m->flags & SPEC_MF_OPTIONAL))
			continue;
		if (r < 0) {
			char object[128];
			size_t n = str_add(object, sizeof(object), 0, *text(ctx, m->dst) ? text(ctx, m->dst) : "/");
			if (m->src && m->op != SPEC_MNT_SYMLINK) {
				n = str_add(object, sizeof(object), n, " from ");
				str_add(object, sizeof(object), n, text(ctx, m->src));
			}
			return stage_fail(ctx, r, m->op == SPEC_MNT_FS ? text(ctx, m->fstype) : op_names[m->op], object);
		}
	}
	for (uint32_t i = 0; i < ctx->trees; i++) /* layers are in their overlay now; the others were closed when attached */
		if (ctx->tree[i] >= 0)
			sys_close(ctx->tree[i]);
	return ctx->root_fd < 0 ? stage_fail(ctx, -EINVAL_, "the spec mounts no root", "") : 0;
}
