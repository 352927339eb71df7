#include "unpack/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Room for the names of all symlinks; 100,000 of 300 bytes. */
enum { SYMLINK_NAMES_MAX = 32 << 20, OPEN_TRIES = 1000000 };

static int open_beneath(int dir, const char *name, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve };
	long fd = -1;
	/* EAGAIN: this host mounted or renamed anything at all while the kernel walked a ".." (openat2(2)) */
	for (int tries = 0; tries < OPEN_TRIES; tries++) {
		fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));
		if (fd >= 0 || (errno != EINTR && errno != EAGAIN))
			break;
		sched_yield();
	}
	return fd < 0 ? -errno : (int)fd;
}

static const uint64_t STRICT = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;

static int fail_errno(struct tree *t, const char *name, int error)
{
	switch (error) {
	case ENOTDIR:
	case EEXIST:
	case EISDIR:
		return unpack_fail(t->result, UNPACK_duplicate, 0,
				   "entry %.200s: an earlier entry has this name, or made a file where this one "
				   "needs a directory",
				   name);
	case ELOOP:
	case EXDEV:
		return unpack_fail(t->result, UNPACK_symlink, 0, "entry %.200s: its path goes through a symbolic link",
				   name);
	case ENAMETOOLONG:
		return unpack_fail(t->result, UNPACK_max_name, 0, "entry %.200s: longer than this file system takes",
				   name);
	case EINVAL:
	case EILSEQ:
		return unpack_fail(t->result, UNPACK_name, 0, "entry %.200s: this file system does not take the name",
				   name);
	case ENOMEM:
		return unpack_fail(t->result, UNPACK_memory, 0, "entry %.200s: out of memory", name);
	default:
		return unpack_fail(t->result, UNPACK_system, error, "entry %.200s: create it", name);
	}
}

static int count_made(struct tree *t, const char *name)
{
	if (t->made >= t->limits->max_files)
		return unpack_fail(t->result, UNPACK_max_files, 0, "entry %.200s: more than %llu files and directories",
				   name, (unsigned long long)t->limits->max_files);
	t->made++;
	return UNPACK_ok;
}

int tree_init(struct tree *t, int target_fd, const char *prefix, const struct unpack_limits *limits,
	      struct unpack_result *result)
{
	memset(t, 0, sizeof(*t));
	t->root = t->parent = -1;
	t->limits = limits;
	t->result = result;
	t->symlinks.max = SYMLINK_NAMES_MAX;

	const char *top = prefix ? prefix : ".";
	if (prefix && mkdirat(target_fd, prefix, 0755) < 0)
		return unpack_fail(result, UNPACK_system, errno, "make the directory %s", prefix);
	int fd = open_beneath(target_fd, top, O_PATH | O_DIRECTORY, 0, STRICT);
	if (fd < 0)
		return unpack_fail(result, UNPACK_system, -fd, "open the target directory");
	t->root = fd;
	return UNPACK_ok;
}

void tree_fini(struct tree *t)
{
	cleanup_close(&t->root);
	cleanup_close(&t->parent);
	buf_fini(&t->symlinks);
}

/* One component: UNPACK_ok, or refused. */
static int check_component(const struct tree *t, const char *name, const char *part, size_t len)
{
	if (len == 2 && part[0] == '.' && part[1] == '.')
		return unpack_fail(t->result, UNPACK_dotdot, 0, "entry %.200s: has a .. component", name);
	if (len > UNPACK_COMPONENT_MAX)
		return unpack_fail(t->result, UNPACK_max_name, 0, "entry %.200s: a component of %zu bytes, at most %d",
				   name, len, UNPACK_COMPONENT_MAX);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)part[i] < 0x20 || part[i] == 0x7f)
			return unpack_fail(t->result, UNPACK_name, 0, "entry %.200s: has a control character", name);
	return UNPACK_ok;
}

int tree_clean(const struct tree *t, const char *name, char out[UNPACK_NAME_MAX + 1])
{
	size_t len = strlen(name), used = 0;
	uint64_t depth = 0;

	if (len > t->limits->max_name || len > UNPACK_NAME_MAX)
		return unpack_fail(t->result, UNPACK_max_name, 0, "entry %.200s...: a name of %zu bytes, at most %llu",
				   name, len, (unsigned long long)t->limits->max_name);
	if (len == 0)
		return unpack_fail(t->result, UNPACK_name, 0, "an entry has no name");
	if (name[0] == '/')
		return unpack_fail(t->result, UNPACK_absolute, 0, "entry %.200s: an absolute path", name);

	for (const char *part = name; *part;) {
		size_t n = strcspn(part, "/");
		if (n > 0 && !(n == 1 && part[0] == '.')) {
			int r = check_component(t, name, part, n);
			if (r)
				return r;
			if (++depth > t->limits->max_depth)
				return unpack_fail(t->result, UNPACK_max_depth, 0,
						   "entry %.200s: deeper than %llu directories", name,
						   (unsigned long long)t->limits->max_depth);
			if (used)
				out[used++] = '/';
			memcpy(out + used, part, n);
			used += n;
		}
		part += n;
		part += *part == '/';
	}
	out[used] = '\0';
	return UNPACK_ok;
}

/* Make and open each component of the directory name, starting at the root. */
static int make_parents(struct tree *t, const char *entry, char *name, int *ret)
{
	autoclose int dir = -1;
	char *part = name;
	for (;;) {
		size_t n = strcspn(part, "/");
		bool last = part[n] == '\0';
		part[n] = '\0';

		int at = dir < 0 ? t->root : dir;
		int fd = open_beneath(at, part, O_PATH | O_DIRECTORY, 0, STRICT);
		if (fd == -ENOENT) {
			int r = count_made(t, entry);
			if (r)
				return r;
			if (mkdirat(at, part, 0755) < 0)
				return fail_errno(t, entry, errno);
			t->result->directories++;
			fd = open_beneath(at, part, O_PATH | O_DIRECTORY, 0, STRICT);
		}
		if (fd < 0)
			return fail_errno(t, entry, -fd);
		if (dir >= 0)
			close(dir);
		dir = fd;
		if (last)
			break;
		part[n] = '/';
		part += n + 1;
	}
	*ret = take_fd(&dir);
	return UNPACK_ok;
}

/* The directory that name is in (borrowed) and its last component. Neighbours are the common case: keep the last one. */
static int parent_of(struct tree *t, const char *name, int *ret_dir, const char **ret_leaf)
{
	const char *slash = strrchr(name, '/');
	*ret_leaf = slash ? slash + 1 : name;
	if (!slash) {
		*ret_dir = t->root;
		return UNPACK_ok;
	}

	size_t len = (size_t)(slash - name);
	if (t->parent < 0 || strncmp(t->parent_name, name, len) != 0 || t->parent_name[len] != '\0') {
		cleanup_close(&t->parent);
		memcpy(t->parent_name, name, len);
		t->parent_name[len] = '\0';
		int fd = open_beneath(t->root, t->parent_name, O_PATH | O_DIRECTORY, 0, STRICT);
		if (fd == -ENOENT) {
			int r = make_parents(t, name, t->parent_name, &fd);
			if (r)
				return r;
		}
		if (fd < 0)
			return fail_errno(t, name, -fd);
		t->parent = fd;
	}
	*ret_dir = t->parent;
	return UNPACK_ok;
}

/* A directory may be named after a file in it, and again: nothing is lost by that. */
int tree_directory(struct tree *t, const char *name)
{
	int dir;
	const char *leaf;
	int r = parent_of(t, name, &dir, &leaf);
	if (r)
		return r;
	struct stat st;
	if (fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return S_ISDIR(st.st_mode) ? UNPACK_ok : fail_errno(t, name, EEXIST);
	r = count_made(t, name);
	if (r)
		return r;
	if (mkdirat(dir, leaf, 0755) < 0)
		return fail_errno(t, name, errno);
	t->result->directories++;
	return UNPACK_ok;
}

int tree_file(struct tree *t, const char *name, bool executable, int *ret_fd)
{
	int dir;
	const char *leaf;
	int r = parent_of(t, name, &dir, &leaf);
	if (!r)
		r = count_made(t, name);
	if (r)
		return r;
	int fd = open_beneath(dir, leaf, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, executable ? 0755 : 0644, STRICT);
	if (fd < 0)
		return fail_errno(t, name, -fd);
	t->result->files++;
	*ret_fd = fd;
	return UNPACK_ok;
}

/* Whether `to`, read from the directory of name, stays inside by the letter. */
static bool stays_inside(const char *name, const char *to)
{
	size_t depth = 0;
	for (const char *p = name; (p = strchr(p, '/')); p++)
		depth++;
	if (to[0] == '/')
		return false;
	while (*to) {
		size_t n = strcspn(to, "/");
		if (n == 2 && to[0] == '.' && to[1] == '.') {
			if (depth == 0)
				return false;
			depth--;
		} else if (n > 0 && !(n == 1 && to[0] == '.')) {
			depth++;
		}
		to += n;
		to += *to == '/';
	}
	return true;
}

static int symlink_leaves(struct tree *t, const char *name, const char *to)
{
	return unpack_fail(t->result, UNPACK_symlink, 0, "entry %.200s: a symbolic link to %.100s, outside of the bundle",
			   name, to);
}

int tree_symlink(struct tree *t, const char *name, const char *to)
{
	if (to[0] == '\0')
		return unpack_fail(t->result, UNPACK_name, 0, "entry %.200s: a symbolic link to nothing", name);
	if (strlen(to) >= PATH_MAX)
		return unpack_fail(t->result, UNPACK_max_name, 0, "entry %.200s: a symbolic link to a name of %zu bytes",
				   name, strlen(to));
	if (!stays_inside(name, to))
		return symlink_leaves(t, name, to);

	int dir;
	const char *leaf;
	int r = parent_of(t, name, &dir, &leaf);
	if (!r)
		r = count_made(t, name);
	if (r)
		return r;
	if (symlinkat(to, dir, leaf) < 0)
		return fail_errno(t, name, errno);
	if (buf_append(&t->symlinks, name, strlen(name) + 1) < 0)
		return unpack_fail(t->result, UNPACK_memory, 0, "entry %.200s: too many symbolic links", name);
	t->result->files++;
	return UNPACK_ok;
}

static int hardlink_bad(struct tree *t, const char *name, const char *to, const char *why)
{
	return unpack_fail(t->result, UNPACK_hardlink, 0, "entry %.200s: a hard link to %.100s, %s", name, to, why);
}

int tree_hardlink(struct tree *t, const char *name, const char *to)
{
	struct unpack_result lexical = { .outcome = UNPACK_ok };
	struct tree probe = { .limits = t->limits, .result = &lexical };
	char clean[UNPACK_NAME_MAX + 1];
	clean[0] = '\0';
	if (tree_clean(&probe, to, clean) || !clean[0])
		return hardlink_bad(t, name, to, "outside of the bundle");

	int dir = -1;
	const char *leaf = NULL;
	int r = parent_of(t, name, &dir, &leaf);
	if (!r)
		r = count_made(t, name);
	if (r)
		return r;

	char *slash = strrchr(clean, '/');
	if (slash)
		*slash = '\0';
	autoclose int from = open_beneath(t->root, slash ? clean : ".", O_PATH | O_DIRECTORY, 0, STRICT);
	const char *source = slash ? slash + 1 : clean;
	struct stat st;
	if (from < 0 || fstatat(from, source, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return hardlink_bad(t, name, to, "which is no earlier entry");
	/* a hard link to a symlink would read its .. from another place */
	if (!S_ISREG(st.st_mode))
		return hardlink_bad(t, name, to, "which is not a regular file");
	if (linkat(from, source, dir, leaf, 0) < 0)
		return fail_errno(t, name, errno);
	t->result->files++;
	return UNPACK_ok;
}

int tree_finish(struct tree *t)
{
	for (size_t at = 0; at < t->symlinks.len;) {
		const char *name = t->symlinks.data + at;
		int fd = open_beneath(t->root, name, O_PATH, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
		if (fd == -EXDEV)
			return symlink_leaves(t, name, "a place that is, by way of another one,");
		if (fd == -EAGAIN || fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM)
			return unpack_fail(t->result, UNPACK_system, -fd, "entry %.200s: resolve it", name);
		if (fd >= 0)
			close(fd);
		at += strlen(name) + 1;
	}
	return UNPACK_ok;
}
