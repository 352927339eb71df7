/*
 * cgroup - making, limiting, watching and removing groups.
 *
 * Theory of operation. Every path is relative to a descriptor of the directory
 * that holds fcnode's root, so that nothing here can touch a group that is not
 * below "fcnode", and so that fcnode's root may come and go with the groups in
 * it: several fc-run at once make and remove the same upper levels. A mkdir
 * that finds its parent gone makes it again; a rmdir that finds the level in
 * use leaves it to the other. The leaf itself has one owner.
 */
#include "host/cgroup-internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/str.h"

/* Marks on directories: a level that stays when it is empty (cgroup_limit), and
 * one of ours among others' (CGROUP_ROOT_TOP). The kernel keeps mode bits, so the
 * marks survive us and every process sees them. */
enum { MODE_PLAIN = 0755, MODE_PINNED = 01755, MODE_OURS = 02755 };

/* How often a level that others remove under us is made again before giving up. */
enum { MAKE_TRIES = 16 };

/* ---- paths ------------------------------------------------------------ */

void cgroup_rel(const struct cgroup_host *h, char out[static CGROUP_REL_MAX], const char *path, const char *file)
{
	const char *root = h->top ? "" : CGROUP_ROOT;
	int n = snprintf(out, CGROUP_REL_MAX, "%s%s%s%s%s", root, *root && *path ? "/" : "", path,
			 *file && (*root || *path) ? "/" : "", file);
	assert(n > 0 && n < CGROUP_REL_MAX);
}

/* Names that the kernel uses, or may use, for its own files. */
static bool is_kernel_name(const char *name)
{
	static const char *const prefix[] = { "cgroup.", "memory.", "cpu.",   "cpuset.", "cpuacct.", "io.",  "blkio.",
					      "pids.",	 "hugetlb.", "rdma.", "misc.",	 "irq.",     "devices.", "freezer." };
	static const char *const whole[] = { "tasks", "notify_on_release", "release_agent" };
	for (size_t i = 0; i < ARRAY_LEN(prefix); i++)
		if (str_starts(name, prefix[i]))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(whole); i++)
		if (strcmp(name, whole[i]) == 0)
			return true;
	return false;
}

static bool component_ok(const char *name, size_t len)
{
	char copy[CGROUP_PATH_MAX];
	if (len == 0 || len >= sizeof(copy) || name[0] == '.')
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f || name[i] == '\\')
			return false;
	memcpy(copy, name, len);
	copy[len] = '\0';
	return !is_kernel_name(copy);
}

int cgroup_path_check(const char *path, struct err *err)
{
	if (!*path || strlen(path) >= CGROUP_PATH_MAX)
		return err_set(err, EINVAL, "cgroup path of %zu bytes (1 to %d are allowed)", strlen(path),
			       CGROUP_PATH_MAX - 1);
	if (cgroup_path_levels(path) > CGROUP_LEVELS_MAX)
		return err_set(err, EINVAL, "cgroup path %s has more than %d levels", path, CGROUP_LEVELS_MAX);
	for (const char *p = path;; p++) {
		size_t len = strcspn(p, "/");
		if (!component_ok(p, len))
			return err_set(err, EINVAL, "cgroup path \"%s\": bad component \"%.*s\"", path, (int)len, p);
		p += len;
		if (!*p)
			return 0;
	}
}

int cgroup_path_levels(const char *path)
{
	int n = 1;
	for (; *path; path++)
		n += *path == '/';
	return n;
}

bool cgroup_path_up(char *path)
{
	char *slash = strrchr(path, '/');
	if (slash)
		*slash = '\0';
	return slash != NULL;
}

/* ---- directories ------------------------------------------------------ */

/* mkdir -p of what is above path. 1 when at least one level is new, 0, or -errno. */
static int make_above(const struct cgroup_host *h, int fd, const char *path)
{
	char rel[CGROUP_REL_MAX];
	int made = 0;
	cgroup_rel(h, rel, path, "");
	for (char *p = rel; (p = strchr(p, '/')); p++) {
		*p = '\0';
		if (mkdirat(fd, rel, MODE_PLAIN) == 0) {
			made = 1;
			if (h->top && fchmodat(fd, rel, MODE_OURS, 0) < 0)
				return -errno;
		} else if (errno != EEXIST) {
			return -errno;
		}
		*p = '/';
	}
	return made;
}

/* One directory with the levels above it. 1 made with new levels above, 0 made, -EEXIST, or -errno. */
static int make_dir(const struct cgroup_host *h, int fd, const char *path)
{
	char rel[CGROUP_REL_MAX];
	int made = 0;
	cgroup_rel(h, rel, path, "");
	for (int i = 0; i < MAKE_TRIES; i++) {
		if (mkdirat(fd, rel, MODE_PLAIN) == 0)
			return made;
		/* ENODEV: the parent is being removed right now */
		if (errno != ENOENT && errno != ENODEV)
			return -errno;
		int r = make_above(h, fd, path);
		if (r < 0 && r != -ENOENT && r != -ENODEV)
			return r;
		made |= r > 0;
	}
	return -ENOENT;
}

void cgroup_remove_above(const struct cgroup_host *h, int fd, const char *path)
{
	char rel[CGROUP_REL_MAX];
	struct stat st;
	cgroup_rel(h, rel, path, "");
	while (cgroup_path_up(rel)) {
		if (fstatat(fd, rel, &st, AT_SYMLINK_NOFOLLOW) < 0 || (st.st_mode & S_ISVTX))
			return;
		if ((h->top && !(st.st_mode & S_ISGID)) || unlinkat(fd, rel, AT_REMOVEDIR) < 0)
			return;
	}
}

/* ---- limits ----------------------------------------------------------- */

unsigned cgroup_wish_controllers(const struct cgroup_wish *w)
{
	const struct spec_cgroup *l = w->limits;
	unsigned mask = 0;
	if (l->memory_bytes || l->memory_low_bytes || (l->flags & (SPEC_CG_SWAP | SPEC_CG_OOM_GROUP)))
		mask |= 1u << CGROUP_memory;
	if (l->cpu_quota_us || l->cpu_period_us || l->cpu_burst_us || l->cpu_weight || (l->flags & SPEC_CG_CPU_IDLE))
		mask |= 1u << CGROUP_cpu;
	if (l->pids)
		mask |= 1u << CGROUP_pids;
	if (l->io_weight || (w->spec && w->spec->section[SPEC_SECT_IO].count))
		mask |= 1u << CGROUP_io;
	if (l->cpuset_cpus || l->cpuset_mems)
		mask |= 1u << CGROUP_cpuset;
	return mask;
}

struct writer {
	const struct cgroup_host *host;
	const char *path;
	unsigned mask;
	bool enabled; /* unified: controllers were handed down already */
	struct err *err;
};

static int write_failed(const struct writer *w, int code, enum cgroup_controller c, const char *file, const char *value)
{
	err_set(w->err, code, "limit %s to %s in group %s/%s (controller %s)", file, value, w->host->v2_path, w->path,
		cgroup_controller_name(c));
	switch (code) {
	case ENOENT:
		return err_hint(w->err, "this kernel or hierarchy has no %s; leave the limit out, or see fc-run doctor",
				file);
	case EINVAL:
		return err_hint(w->err, "the kernel does not take this value%s",
				c == CGROUP_cpu ? "; a v1 group may not have more cpu than the levels above it" : "");
	case EBUSY:
		return err_hint(w->err, "more is in use already than the new limit allows");
	default:
		return -code;
	}
}

/* With no swap on the host, a limit on swap holds without the (optional) accounting of it. */
static bool swap_holds_anyway(int code, const char *file)
{
	struct sysinfo si;
	return code == ENOENT && (strcmp(file, "memory.memsw.limit_in_bytes") == 0 || strcmp(file, "memory.swap.max") == 0) &&
	       sysinfo(&si) == 0 && si.totalswap == 0;
}

static int write_limit(void *arg, enum cgroup_controller c, const char *file, const char *value)
{
	struct writer *w = arg;
	const struct cgroup_host *h = w->host;
	char rel[CGROUP_REL_MAX];

	cgroup_rel(h, rel, w->path, file);
	int fd = h->mode == CGROUP_UNIFIED ? h->v2_fd : h->v1_fd[c];
	int r = fd_write_file_at(fd, rel, value);
	if (r == -ENOENT && h->mode == CGROUP_UNIFIED && !w->enabled) {
		r = cgroup_unified_enable(h, w->path, w->mask, w->err);
		if (r < 0)
			return r;
		w->enabled = true;
		r = fd_write_file_at(fd, rel, value);
	}
	if (r == 0 || swap_holds_anyway(-r, file))
		return 0;
	return write_failed(w, -r, c, file, value);
}

static bool memory_grows(const struct cgroup_host *h, const char *path, const struct cgroup_wish *w)
{
	char rel[CGROUP_REL_MAX];
	uint64_t now;
	cgroup_rel(h, rel, path, "memory.limit_in_bytes");
	return w->limits->memory_bytes && fd_read_u64_at(h->v1_fd[CGROUP_memory], rel, &now) == 0 &&
	       w->limits->memory_bytes > now;
}

static int write_limits(const struct cgroup_host *h, const char *path, const struct cgroup_wish *w, bool fresh,
			bool enabled, struct err *err)
{
	struct writer writer = { h, path, cgroup_wish_controllers(w), enabled, err };
	if (h->mode == CGROUP_UNIFIED)
		return cgroup_unified_limits(w, fresh, write_limit, &writer);
	return cgroup_hybrid_limits(w, fresh, !fresh && memory_grows(h, path, w), write_limit, &writer);
}

/* Raw v2 files (OCI linux.resources.unified). The name must be one file of this group. */
static int write_files(const struct cgroup *cg, const struct spec *s, struct err *err)
{
	SPEC_EACH(s, CGROUP_FILE, struct spec_cgroup_file, f) {
		const char *name = spec_text(s, f->name), *value = spec_text(s, f->value);
		if (!*name || name[0] == '.' || strchr(name, '/') || !strchr(name, '.'))
			return err_set(err, EINVAL, "unified resource \"%s\": not the name of a cgroup file", name);
		int r = fd_write_file_at(cg->v2_fd, name, value);
		if (r == -ENOENT && cg->host->mode == CGROUP_UNIFIED) {
			char controller[64];
			str_copy(controller, sizeof(controller), name);
			controller[strcspn(controller, ".")] = '\0';
			r = cgroup_unified_enable(cg->host, cg->path, cgroup_controller_mask(controller), err);
			if (r < 0)
				return r;
			r = fd_write_file_at(cg->v2_fd, name, value);
		}
		if (r < 0) {
			err_set(err, -r, "unified resource %s = \"%s\" in group %s/%s", name, value, cg->host->v2_path,
				cg->path);
			return r == -ENOENT && cg->host->mode == CGROUP_HYBRID ?
				       err_hint(err, "this host's controllers are on cgroup v1; give the limit by its "
						     "OCI field instead") :
				       r;
		}
	}
	return 0;
}

/* ---- make, open, limit ------------------------------------------------ */

/* Can this host do it at all? */
static int check_host(const struct cgroup_host *h, unsigned mask, struct err *err)
{
	if (h->mode == CGROUP_NONE || !h->writable) {
		err_set(err, EOPNOTSUPP, "make a control group: %s", h->why);
		return err_hint(err, "run as root, or in a delegated group (systemd-run --user --scope -p Delegate=yes); "
				     "fc-run doctor tells what this host has");
	}
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		if ((mask & (1u << c)) && !h->have[c]) {
			err_set(err, EOPNOTSUPP, "limit by the cgroup controller %s: not available below %s",
				cgroup_controller_name(c), h->v2_path);
			return err_hint(err, "have it enabled or delegated (fc-run doctor), or leave that limit out");
		}
	return 0;
}

static int make_failed(const struct cgroup_host *h, const char *tree, const char *path, int r, struct err *err)
{
	err_set(err, -r, "make the %s group %s/%s", tree, h->v2_path, path);
	if (r == -EAGAIN)
		return err_hint(err, "cgroup.max.descendants of a level above is reached");
	if (r == -ENOSPC)
		return err_hint(err, "the kernel is out of group ids for this controller; remove unused groups (fc-run gc)");
	return r;
}

/* The v1 directories of mask, each once per hierarchy. What is left there of an earlier group of that name is removed first. */
static int make_v1(const struct cgroup_host *h, const char *path, unsigned mask, bool leaf, unsigned *made, struct err *err)
{
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		if (!(mask & (1u << c)) || h->v1_fd[c] < 0)
			continue;
		int first = h->v1_first[c];
		if (first == c || !(*made & (1u << first))) {
			int r = make_dir(h, h->v1_fd[c], path);
			if (r == -EEXIST && leaf) {
				char rel[CGROUP_REL_MAX];
				cgroup_rel(h, rel, path, "");
				if (unlinkat(h->v1_fd[c], rel, AT_REMOVEDIR) == 0)
					r = make_dir(h, h->v1_fd[c], path);
			}
			if (r < 0 && (r != -EEXIST || leaf))
				return make_failed(h, cgroup_controller_name(c), path, r, err);
		}
		*made |= 1u << c | 1u << first;
	}
	return 0;
}

static int open_leaf(const struct cgroup_host *h, const char *path)
{
	char rel[CGROUP_REL_MAX];
	cgroup_rel(h, rel, path, "");
	int fd = openat(h->v2_fd, rel, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Controllers handed down whenever a level is new: those every function is limited or counted by. */
static unsigned default_mask(void)
{
	return 1u << CGROUP_memory | 1u << CGROUP_cpu | 1u << CGROUP_pids | 1u << CGROUP_io;
}

/*
 * Hybrid: the controllers that a level above is under. The leaf has to be under
 * them too, or that level's limit (a tenant's cap) would not count it.
 */
static unsigned mask_above(const struct cgroup_host *h, const char *path)
{
	char rel[CGROUP_REL_MAX], first[CGROUP_PATH_MAX];
	unsigned mask = 0;
	size_t len = strcspn(path, "/");
	if (!path[len])
		return 0;
	snprintf(first, sizeof(first), "%.*s", (int)len, path);
	cgroup_rel(h, rel, first, "");
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		if (h->v1_fd[c] >= 0 && faccessat(h->v1_fd[c], rel, F_OK, 0) == 0)
			mask |= 1u << c;
	return mask;
}

static int fill(struct cgroup *cg, const struct cgroup_wish *w, bool new_levels, struct err *err)
{
	const struct cgroup_host *h = cg->host;
	unsigned mask = cgroup_wish_controllers(w);
	int r = 0;

	if (h->mode == CGROUP_HYBRID) {
		/* memory also without a limit: it counts the peak */
		r = make_v1(h, cg->path, mask | 1u << CGROUP_memory | mask_above(h, cg->path), true, &cg->v1_made, err);
		if (r == 0 && (cg->v1_made & (1u << CGROUP_cpuset)))
			r = cgroup_hybrid_cpuset(h, cg->path, err);
	} else if (new_levels) {
		r = cgroup_unified_enable(h, cg->path, mask | default_mask(), err);
	}
	if (r == 0)
		r = write_limits(h, cg->path, w, true, new_levels, err);
	if (r == 0)
		r = write_files(cg, w->spec, err);
	if (r == 0 && spec_has(w->spec, SPEC_F_DENY_DEVICES))
		r = cgroup_device_apply(cg->v2_fd, w->spec, err);
	return r;
}

/* Among others' groups (OCI) an engine may have made the leaf for us: an empty one is made anew. */
static int make_leaf(const struct cgroup_host *h, const char *path)
{
	char rel[CGROUP_REL_MAX];
	int r = make_dir(h, h->v2_fd, path);
	if (r != -EEXIST || !h->top)
		return r;
	cgroup_rel(h, rel, path, "");
	return unlinkat(h->v2_fd, rel, AT_REMOVEDIR) == 0 ? make_dir(h, h->v2_fd, path) : r;
}

int cgroup_make(const struct cgroup_host *h, const char *path, const struct spec *limits, struct cgroup *ret,
		struct err *err)
{
	struct cgroup_wish w = { &limits->cgroup, limits };
	struct cgroup cg = { .host = h, .v2_fd = -1 };

	int r = cgroup_path_check(path, err);
	if (r == 0)
		r = check_host(h, cgroup_wish_controllers(&w), err);
	if (r < 0)
		return r;
	str_copy(cg.path, sizeof(cg.path), path);
	int made = make_leaf(h, path);
	if (made < 0)
		return make_failed(h, "v2", path, made, err);
	cg.v2_fd = open_leaf(h, path);
	if (cg.v2_fd < 0)
		r = err_set(err, -cg.v2_fd, "open the group %s/%s", h->v2_path, path);
	if (r == 0)
		r = fill(&cg, &w, made > 0, err);
	if (r < 0) {
		cgroup_remove(&cg, /* timeout_ms= */ 0);
		cgroup_fini(&cg);
		return r;
	}
	*ret = cg;
	return 0;
}

int cgroup_open(const struct cgroup_host *h, const char *path, struct cgroup *ret, struct err *err)
{
	struct cgroup cg = { .host = h, .v2_fd = -1 };
	char rel[CGROUP_REL_MAX];

	int r = cgroup_path_check(path, err);
	if (r < 0)
		return r;
	if (h->mode == CGROUP_NONE)
		return err_set(err, EOPNOTSUPP, "open the control group %s: %s", path, h->why);
	str_copy(cg.path, sizeof(cg.path), path);
	cg.v2_fd = open_leaf(h, path);
	if (cg.v2_fd < 0)
		return err_set(err, -cg.v2_fd, "open the group %s/%s", h->v2_path, path);
	cgroup_rel(h, rel, path, "");
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		if (h->v1_fd[c] >= 0 && faccessat(h->v1_fd[c], rel, F_OK, 0) == 0)
			cg.v1_made |= 1u << c;
	*ret = cg;
	return 0;
}

int cgroup_limit(const struct cgroup_host *h, const char *path, const struct spec_cgroup *limits, struct err *err)
{
	struct cgroup_wish w = { limits, NULL };
	unsigned mask = cgroup_wish_controllers(&w), made = 0;
	char rel[CGROUP_REL_MAX];

	int r = cgroup_path_check(path, err);
	if (r == 0 && (mask & (1u << CGROUP_cpuset)))
		r = err_set(err, EINVAL, "limit the group %s: a cpuset is for the leaf", path);
	if (r == 0)
		r = check_host(h, mask, err);
	if (r < 0)
		return r;
	r = make_dir(h, h->v2_fd, path);
	if (r < 0 && r != -EEXIST)
		return make_failed(h, "v2", path, r, err);
	cgroup_rel(h, rel, path, "");
	if (fchmodat(h->v2_fd, rel, MODE_PINNED, 0) < 0)
		return err_set(err, errno, "pin the group %s/%s", h->v2_path, path);
	if (h->mode == CGROUP_HYBRID) {
		r = make_v1(h, path, mask, /* leaf= */ false, &made, err);
		for (int c = 0; r == 0 && c < CGROUP_CONTROLLER_MAX; c++)
			if ((made & (1u << c)) && fchmodat(h->v1_fd[c], rel, MODE_PINNED, 0) < 0)
				r = err_set(err, errno, "pin the %s group %s", cgroup_controller_name(c), path);
	} else {
		r = cgroup_unified_enable(h, path, mask | default_mask(), err);
	}
	if (r == 0)
		r = write_limits(h, path, &w, /* fresh= */ false, /* enabled= */ true, err);
	return r;
}

int cgroup_release(const struct cgroup_host *h, const char *path)
{
	char rel[CGROUP_REL_MAX];
	int fds[CGROUP_CONTROLLER_MAX + 1], n = 0, result = 0;

	int r = cgroup_path_check(path, NULL);
	if (r < 0)
		return r;
	cgroup_rel(h, rel, path, "");
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		if (h->v1_fd[c] >= 0)
			fds[n++] = h->v1_fd[c];
	fds[n++] = h->v2_fd;
	for (int i = 0; i < n; i++) {
		if (fchmodat(fds[i], rel, MODE_PLAIN, 0) < 0)
			continue;
		if (unlinkat(fds[i], rel, AT_REMOVEDIR) < 0 && errno != ENOENT)
			result = -errno;
		else
			cgroup_remove_above(h, fds[i], path);
	}
	return result;
}

/* ---- processes -------------------------------------------------------- */

int cgroup_clone_fd(const struct cgroup *cg) { return cg->v2_fd; }

/* One descriptor per v1 hierarchy that has a directory for us. */
static bool is_hierarchy(const struct cgroup *cg, int c)
{
	return (cg->v1_made & (1u << c)) && cg->host->v1_first[c] == c;
}

int cgroup_joint_open(const struct cgroup *cg, struct cgroup_joint *ret, struct err *err)
{
	char rel[CGROUP_REL_MAX];
	cgroup_rel(cg->host, rel, cg->path, "tasks");
	ret->count = 0;
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		if (!is_hierarchy(cg, c))
			continue;
		int fd = openat(cg->host->v1_fd[c], rel, O_WRONLY | O_CLOEXEC);
		if (fd < 0) {
			int r = err_set(err, errno, "open %s of the %s group", rel, cgroup_controller_name(c));
			cgroup_joint_close(ret);
			return r;
		}
		ret->fd[ret->count++] = fd;
	}
	return 0;
}

int cgroup_join(const struct cgroup_joint *j)
{
	for (int i = 0; i < j->count; i++)
		if (write(j->fd[i], "0", 1) != 1)
			return -errno;
	return 0;
}

void cgroup_joint_close(struct cgroup_joint *j)
{
	while (j->count > 0)
		close(j->fd[--j->count]);
}

int cgroup_attach(const struct cgroup *cg, pid_t pid, struct err *err)
{
	char rel[CGROUP_REL_MAX], text[24];
	cgroup_rel(cg->host, rel, cg->path, "cgroup.procs");
	snprintf(text, sizeof(text), "%d", (int)pid);
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		int r = is_hierarchy(cg, c) ? fd_write_file_at(cg->host->v1_fd[c], rel, text) : 0;
		if (r < 0)
			return err_set(err, -r, "move process %d into the %s group %s", (int)pid,
				       cgroup_controller_name(c), cg->path);
	}
	return 0;
}

int cgroup_move(const struct cgroup *cg, pid_t pid, struct err *err)
{
	char text[24];
	snprintf(text, sizeof(text), "%d", (int)pid);
	int r = fd_write_file_at(cg->v2_fd, "cgroup.procs", text);
	if (r < 0)
		return err_set(err, -r, "move process %d into the group %s/%s", (int)pid, cg->host->v2_path, cg->path);
	return cgroup_attach(cg, pid, err);
}

/* ---- update ----------------------------------------------------------- */

enum { TAKE_IN_ROUNDS = 32, TAKE_IN_MAX = 4096 };

/* Is pid among these? */
static bool among(pid_t pid, const pid_t *pids, ssize_t n)
{
	for (ssize_t i = 0; i < n && i < TAKE_IN_MAX; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

/* Move every process of the group into its directory of one v1 hierarchy; again while forks outrun it. */
static int take_in(const struct cgroup *cg, int c, struct err *err)
{
	autofree pid_t *have = malloc(2 * TAKE_IN_MAX * sizeof(pid_t));
	if (!have)
		return err_set(err, ENOMEM, "move the processes of group %s", cg->path);
	pid_t *there = have + TAKE_IN_MAX;
	struct cgroup one = *cg;
	one.v1_made = 1u << c;
	for (int round = 0; round < TAKE_IN_ROUNDS; round++) {
		ssize_t n = cgroup_pids(cg, have, TAKE_IN_MAX), m = cgroup_v1_pids(cg, c, there, TAKE_IN_MAX);
		if (n < 0 || m < 0)
			return err_set(err, (int)-(n < 0 ? n : m), "list the processes of group %s", cg->path);
		if (n > TAKE_IN_MAX)
			return err_set(err, E2BIG, "group %s has more than %d processes", cg->path, TAKE_IN_MAX);
		int moved = 0;
		for (ssize_t i = 0; i < n; i++) {
			if (among(have[i], there, m))
				continue;
			moved++;
			int r = cgroup_attach(&one, have[i], err);
			if (r < 0 && r != -ESRCH)
				return r;
		}
		if (!moved)
			return 0;
	}
	err_set(err, EBUSY, "move the processes of group %s: they fork faster than they are moved", cg->path);
	return err_hint(err, "pause it first");
}

/* Hybrid: put the group under the controllers of mask that it is not under yet. */
static int widen(struct cgroup *cg, unsigned mask, struct err *err)
{
	unsigned missing = mask & ~cg->v1_made;
	int r = make_v1(cg->host, cg->path, missing, /* leaf= */ false, &cg->v1_made, err);
	if (r == 0 && (missing & (1u << CGROUP_cpuset)))
		r = cgroup_hybrid_cpuset(cg->host, cg->path, err);
	for (int c = 0; r == 0 && c < CGROUP_CONTROLLER_MAX; c++)
		if ((missing & (1u << c)) && (cg->host->v1_first[c] == c || !(missing & (1u << cg->host->v1_first[c]))))
			r = take_in(cg, cg->host->v1_first[c], err);
	return r;
}

int cgroup_update(struct cgroup *cg, const struct spec *limits, struct err *err)
{
	struct cgroup_wish w = { &limits->cgroup, limits };
	unsigned mask = cgroup_wish_controllers(&w);

	int r = check_host(cg->host, mask, err);
	if (r == 0 && cg->host->mode == CGROUP_HYBRID)
		r = widen(cg, mask, err);
	if (r == 0)
		r = write_limits(cg->host, cg->path, &w, /* fresh= */ false, /* enabled= */ false, err);
	if (r == 0)
		r = write_files(cg, limits, err);
	return r;
}

void cgroup_fini(struct cgroup *cg)
{
	cleanup_close(&cg->v2_fd);
	cg->v1_made = 0;
}
