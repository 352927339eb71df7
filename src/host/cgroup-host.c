/*
 * cgroup-host - where the hierarchies are, and leftovers in them.
 *
 * /proc/self/mountinfo is read once. libcgroup is not used: cgroup_init() reads
 * /proc/mounts, /proc/cgroups and every hierarchy, knows no descriptors, openat
 * or CLONE_INTO_CGROUP, and took 500 to 2,000 us in a fresh process where this
 * takes 100 to 180 (ten hierarchies): more than the group itself costs.
 */
#include "host/cgroup-internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/str.h"

enum { MOUNTINFO_MAX = 16 << 20, MOUNTS_MAX = 32, DEPTH_MAX = 32 };

static const char *const controller_names[] = {
#define X(name) #name,
	CGROUP_CONTROLLERS(X)
#undef X
};
_Static_assert(ARRAY_LEN(controller_names) == CGROUP_CONTROLLER_MAX, "a name for each controller");

const char *cgroup_controller_name(enum cgroup_controller c) { return controller_names[c]; }

const char *cgroup_mode_name(enum cgroup_mode mode)
{
	static const char *const names[] = { "none", "unified", "hybrid" };
	return names[mode];
}

/* v1 calls io "blkio". */
static int controller_index(const char *name, size_t len)
{
	if (len == 5 && memcmp(name, "blkio", 5) == 0)
		return CGROUP_io;
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		if (strlen(controller_names[c]) == len && memcmp(name, controller_names[c], len) == 0)
			return c;
	return -1;
}

static unsigned mask_of(const char *list, const char *separators)
{
	unsigned mask = 0;
	while (*list) {
		size_t len = strcspn(list, separators);
		int c = controller_index(list, len);
		if (c >= 0)
			mask |= 1u << c;
		list += len;
		list += strspn(list, separators);
	}
	return mask;
}

unsigned cgroup_controller_mask(const char *list) { return mask_of(list, " \n"); }

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void unescape(char *s)
{
	char *out = s;
	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
		    s[3] <= '7') {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

/* "31 23 0:28 ROOT POINT OPTIONS [tag...] - FSTYPE SOURCE SUPER" (proc_pid_mountinfo(5)) */
int cgroup_mountinfo_line(char *line, struct cgroup_mount *ret)
{
	char *tail = strstr(line, " - ");
	if (!tail)
		return 0;
	*tail = '\0';
	tail += 3;
	bool v2 = str_starts(tail, "cgroup2 ");
	if (!v2 && !str_starts(tail, "cgroup "))
		return 0;

	char *save, *field = strtok_r(line, " ", &save);
	for (int i = 0; field && i < 3; i++)
		field = strtok_r(NULL, " ", &save);
	char *point = strtok_r(NULL, " ", &save);
	char *super = strrchr(tail, ' ');
	if (!field || !point || !super)
		return 0;
	unescape(field);
	unescape(point);
	memset(ret, 0, sizeof(*ret));
	if (!str_copy(ret->root, sizeof(ret->root), field) || !str_copy(ret->point, sizeof(ret->point), point))
		return 0;
	ret->v2 = v2;
	if (!v2)
		ret->controllers = mask_of(super + 1, ",");
	return 1;
}

/* All cgroup mounts, in order; a later one on the same point hides the earlier. */
static int read_mounts(struct cgroup_mount *out, size_t max, struct err *err)
{
	autobuf struct buf b = BUF_INIT(MOUNTINFO_MAX);
	autoclose int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : buf_read_fd(&b, fd);
	if (r < 0)
		return err_set(err, -r, "read /proc/self/mountinfo");
	size_t n = 0;
	char *save;
	for (char *line = b.data ? strtok_r(b.data, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
		/* most lines are something else: look before cutting */
		if (n < max && strstr(line, " - cgroup"))
			n += (size_t)cgroup_mountinfo_line(line, &out[n]);
	}
	return (int)n;
}

/* Open a mount point and see that a cgroup file system, not something mounted over it, is there. */
static int open_mount(const char *point, bool v2)
{
	struct statfs sf;
	autoclose int fd = open(point, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &sf) < 0)
		return -errno;
	if ((unsigned long)sf.f_type != (v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC))
		return -ESTALE;
	return take_fd(&fd);
}

/* No v2 mount anywhere: the tree exists all the same, and root can have it without changing the mount table. */
static int open_detached(void)
{
	autoclose int fs = (int)syscall(SYS_fsopen, "cgroup2", FSOPEN_CLOEXEC);
	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	int fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Our own group in the v2 tree: "0::/user.slice/..." */
static int own_v2_group(char *out, size_t size)
{
	char text[8192];
	ssize_t n = fd_read_file_at(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text));
	if (n < 0)
		return (int)n;
	const char *p = str_starts(text, "0::") ? text : strstr(text, "\n0::");
	if (!p)
		return -ENOENT;
	p = strchr(p, ':') + 2;
	size_t len = strcspn(p, "\n");
	if (len >= size)
		return -ENAMETOOLONG;
	memcpy(out, p, len);
	out[len] = '\0';
	return 0;
}

/* Can a group be made in this directory by us? */
static bool can_make(int fd)
{
	return faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) == 0;
}

/* The tree's real root has no cgroup.events; the root of a cgroup namespace does. */
static bool is_real_root(int fd) { return faccessat(fd, "cgroup.events", F_OK, 0) != 0; }

static void describe(struct cgroup_host *h, const char *dir)
{
	size_t len = strlen(dir);
	while (len > 1 && dir[len - 1] == '/')
		len--;
	if (snprintf(h->v2_path, sizeof(h->v2_path), "%.*s%s", (int)len, dir, h->top ? "" : "/" CGROUP_ROOT) >= (int)sizeof(h->v2_path))
		str_copy(h->v2_path, sizeof(h->v2_path), "(long path)/" CGROUP_ROOT);
}

int cgroup_host_dir(const struct cgroup_host *h, char *out, size_t size)
{
	if (h->mode != CGROUP_UNIFIED || h->top)
		return -ENOENT;
	if (h->v2_path[0] != '/' || !str_copy(out, size, h->v2_path))
		return -ENAMETOOLONG;
	out[strlen(out) - (sizeof("/" CGROUP_ROOT) - 1)] = '\0';
	return 0;
}

/* Unified: which directory fcnode's root goes into. */
static int place_unified(struct cgroup_host *h, const struct cgroup_mount *m, const char *root, struct err *err)
{
	char dir[512];
	bool own_root = root && strcmp(root, CGROUP_ROOT_OWN) == 0;
	if (h->top) {
		str_copy(dir, sizeof(dir), m->point);
	} else if (root && !own_root) {
		str_copy(dir, sizeof(dir), root);
	} else if (!own_root && geteuid() == 0 && is_real_root(h->v2_fd)) {
		str_copy(dir, sizeof(dir), m->point);
	} else {
		char own[256];
		int r = own_v2_group(own, sizeof(own));
		if (r < 0)
			return err_set(err, -r, "find the own control group in /proc/self/cgroup");
		size_t skip = strcmp(m->root, "/") == 0 || !str_starts(own, m->root) ? 0 : strlen(m->root);
		snprintf(dir, sizeof(dir), "%s%s", m->point, strcmp(own + skip, "/") == 0 ? "" : own + skip);
	}
	int fd = open_mount(dir, true);
	if (fd < 0 && root && !h->top) {
		err_set(err, -fd, "use %s as the cgroup root", dir);
		return err_hint(err, "give an existing directory of a cgroup2 mount");
	}
	if (fd < 0) {
		snprintf(h->why, sizeof(h->why), "the own group %.180s cannot be opened: %s", dir, strerror(-fd));
		return 0;
	}
	close(h->v2_fd);
	h->v2_fd = fd;
	describe(h, dir);
	h->writable = can_make(fd);
	if (!h->writable)
		snprintf(h->why, sizeof(h->why), "%.150s is not writable for uid %d (not delegated, or mounted read-only)", dir, (int)geteuid());
	if (root && !h->top && !h->writable)
		return err_set(err, EACCES, "make groups in %s", dir);
	return 0;
}

static void have_unified(struct cgroup_host *h)
{
	char text[512];
	if (fd_read_file_at(h->v2_fd, "cgroup.controllers", text, sizeof(text)) < 0)
		return;
	unsigned mask = cgroup_controller_mask(text);
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		h->have[c] = mask & (1u << c);
}

/* Hybrid: each v1 mount's root; a controller counts when we can make groups there. */
static void place_v1(struct cgroup_host *h, const struct cgroup_mount *m)
{
	if (!m->controllers)
		return;
	autoclose int fd = open_mount(m->point, false);
	if (fd < 0)
		return;
	int first = __builtin_ctz(m->controllers);
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		if (!(m->controllers & (1u << c)) || h->v1_fd[c] >= 0)
			continue;
		h->v1_fd[c] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		h->v1_first[c] = (unsigned char)first;
		h->have[c] = h->v1_fd[c] >= 0 && can_make(fd);
	}
}

static int place_hybrid(struct cgroup_host *h, const struct cgroup_mount *mounts, int n, const char *point)
{
	for (int i = 0; i < n; i++)
		if (!mounts[i].v2)
			place_v1(h, &mounts[i]);
	describe(h, point);
	h->writable = can_make(h->v2_fd);
	if (!h->writable)
		snprintf(h->why, sizeof(h->why), "%.150s is not writable for uid %d (or mounted read-only)", point, (int)geteuid());
	return 0;
}

static void none(struct cgroup_host *h, const char *why)
{
	h->mode = CGROUP_NONE;
	str_copy(h->why, sizeof(h->why), why);
}

int cgroup_host_init(struct cgroup_host *h, const char *root, struct err *err)
{
	struct cgroup_mount mounts[MOUNTS_MAX];
	const struct cgroup_mount *v2 = NULL;
	bool v1 = false;

	memset(h, 0, sizeof(*h));
	h->v2_fd = -1;
	h->top = root && strcmp(root, CGROUP_ROOT_TOP) == 0;
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		h->v1_fd[c] = -1;
	int n = read_mounts(mounts, ARRAY_LEN(mounts), err);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		if (mounts[i].v2 && h->v2_fd < 0 && (h->v2_fd = open_mount(mounts[i].point, true)) >= 0)
			v2 = &mounts[i];
		/* a named hierarchy (name=systemd) carries no controller */
		v1 |= !mounts[i].v2 && mounts[i].controllers;
	}
	if (!v2 && v1)
		h->v2_fd = open_detached();
	if (h->v2_fd < 0) {
		none(h, v1 ? "no cgroup2 file system is mounted, and this user cannot mount one" :
			     "no cgroup file system is mounted");
		return root && !h->top ? err_set(err, ENOENT, "use %s as the cgroup root: %s", root, h->why) : 0;
	}
	int r;
	if (v1) {
		h->mode = CGROUP_HYBRID;
		if (root && !h->top && strcmp(root, CGROUP_ROOT_OWN) != 0) {
			err_set(err, EINVAL, "use %s as the cgroup root", root);
			r = err_hint(err, "a root can be chosen on unified hosts only; here the controllers are on cgroup v1");
		} else {
			r = place_hybrid(h, mounts, n, v2 ? v2->point : "(cgroup2)");
		}
	} else {
		h->mode = CGROUP_UNIFIED;
		r = place_unified(h, v2, root, err);
		have_unified(h);
	}
	if (r < 0)
		cgroup_host_fini(h);
	return r;
}

void cgroup_host_fini(struct cgroup_host *h)
{
	if (h->mode == CGROUP_UNIFIED && h->v2_fd >= 0)
		cgroup_unified_step_back(h);
	cleanup_close(&h->v2_fd);
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		cleanup_close(&h->v1_fd[c]);
	h->mode = CGROUP_NONE;
}

/* ---- leftovers -------------------------------------------------------- */

struct sweep {
	const struct cgroup_host *host;
	bool (*fn)(const char *path, void *arg);
	void *arg;
	int removed, failed;
	int hierarchy; /* -1: v2, else the v1 controller being walked */
	struct err *err;
};

enum { SWEEP_WAIT_MS = 5000 };

static void sweep_leaf(struct sweep *s, const char *path)
{
	char rel[CGROUP_REL_MAX];
	cgroup_rel(s->host, rel, path, "");
	if (s->hierarchy >= 0 && faccessat(s->host->v2_fd, rel, F_OK, 0) == 0)
		return; /* the walk of the v2 tree has asked about it */
	bool populated;
	struct cgroup caller = CGROUP_INIT;
	if (cgroup_is_caller(s->host, path) && s->hierarchy < 0) {
		/* a caller that stepped aside (cgroup-unified.c): it goes when that has ended */
		if (cgroup_open(s->host, path, &caller, NULL) == 0 && cgroup_populated(&caller, &populated) == 0 && !populated)
			cgroup_remove(&caller, 0);
		cgroup_fini(&caller);
		return;
	}
	if (!s->fn(path, s->arg))
		return;
	struct cgroup cg = { .host = s->host, .v2_fd = -1 };
	int r = s->hierarchy < 0 ? cgroup_open(s->host, path, &cg, s->err) : 0;
	if (r < 0) {
		s->failed = r == -ENOENT ? s->failed : r;
		return;
	}
	if (s->hierarchy >= 0) { /* no v2 twin: its v1 directories only */
		str_copy(cg.path, sizeof(cg.path), path);
		cg.v1_made = 1u << s->hierarchy;
	} else {
		cgroup_freeze(&cg, false, 0, NULL);
		cgroup_kill(&cg);
	}
	r = cgroup_remove(&cg, SWEEP_WAIT_MS);
	cgroup_fini(&cg);
	if (r == 0)
		s->removed++;
	else
		s->failed = err_set(s->err, -r, "remove the left-over group %s/%s", s->host->v2_path, path);
}

/* Depth first; what is too long or too deep to be ours is left alone. */
static void sweep_dir(struct sweep *s, int parent, const char *name, char *path, size_t len, int depth)
{
	char names_seen = 0;
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	autodir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (struct dirent *e; depth < DEPTH_MAX && (e = readdir(dir));) {
		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		/* at the top nearly everything is somebody else's */
		if (s->host->top && len == 0 && !str_starts(e->d_name, CGROUP_TOP_PREFIX))
			continue;
		names_seen = 1;
		int n = snprintf(path + len, CGROUP_PATH_MAX - len, "%s%s", len ? "/" : "", e->d_name);
		if (n > 0 && len + (size_t)n < CGROUP_PATH_MAX)
			sweep_dir(s, fd, e->d_name, path, len + (size_t)n, depth + 1);
		path[len] = '\0';
	}
	if (!names_seen && len > 0)
		sweep_leaf(s, path);
}

int cgroup_sweep(const struct cgroup_host *h, bool (*fn)(const char *path, void *arg), void *arg, struct err *err)
{
	struct sweep s = { .host = h, .fn = fn, .arg = arg, .hierarchy = -1, .err = err };
	char path[CGROUP_PATH_MAX] = "";

	const char *root = h->top ? "." : CGROUP_ROOT;
	if (h->mode == CGROUP_NONE)
		return 0;
	sweep_dir(&s, h->v2_fd, root, path, 0, 0);
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		if (h->v1_fd[c] < 0 || h->v1_first[c] != c)
			continue;
		s.hierarchy = c;
		path[0] = '\0';
		sweep_dir(&s, h->v1_fd[c], root, path, 0, 0);
	}
	return s.failed < 0 ? s.failed : s.removed;
}
