/*
 * cgroup-unified - limits and counters in the v2 tree (Documentation/admin-guide/cgroup-v2.rst).
 *
 * A limit's file exists only when every level above has the controller in its
 * cgroup.subtree_control. That is done once per level, when it is made, and
 * again when a file turns out to be missing (cgroup_unified_enable).
 */
#include "host/cgroup-internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/str.h"

enum { ABOVE_MAX = 32 }; /* levels above fcnode's root that are looked at */

/* A limit as the kernel takes it; UINT64_MAX lifts it. */
static int emit_max(cgroup_emit *emit, void *arg, enum cgroup_controller c, const char *file, uint64_t v)
{
	char text[32];
	if (v == UINT64_MAX)
		return emit(arg, c, file, "max");
	snprintf(text, sizeof(text), "%" PRIu64, v);
	return emit(arg, c, file, text);
}

static int memory_limits(const struct spec_cgroup *l, cgroup_emit *emit, void *arg)
{
	int r = 0;
	if (l->memory_low_bytes)
		r = emit_max(emit, arg, CGROUP_memory, "memory.low", l->memory_low_bytes);
	if (r == 0 && l->memory_bytes)
		r = emit_max(emit, arg, CGROUP_memory, "memory.max", l->memory_bytes);
	if (r == 0 && (l->flags & SPEC_CG_SWAP))
		r = emit_max(emit, arg, CGROUP_memory, "memory.swap.max", l->swap_bytes);
	if (r == 0 && (l->flags & SPEC_CG_OOM_GROUP))
		r = emit(arg, CGROUP_memory, "memory.oom.group", "1");
	return r;
}

static int cpu_limits(const struct spec_cgroup *l, cgroup_emit *emit, void *arg)
{
	char text[64];
	int r = 0;
	if (l->cpu_quota_us) {
		uint64_t period = l->cpu_period_us ? l->cpu_period_us : 100000;
		if (l->cpu_quota_us == UINT64_MAX)
			snprintf(text, sizeof(text), "max %" PRIu64, period);
		else
			snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64, l->cpu_quota_us, period);
		r = emit(arg, CGROUP_cpu, "cpu.max", text);
	} else if (l->cpu_period_us) {
		snprintf(text, sizeof(text), "max %" PRIu64, l->cpu_period_us);
		r = emit(arg, CGROUP_cpu, "cpu.max", text);
	}
	if (r == 0 && l->cpu_burst_us)
		r = emit_max(emit, arg, CGROUP_cpu, "cpu.max.burst", l->cpu_burst_us);
	if (r == 0 && l->cpu_weight)
		r = emit_max(emit, arg, CGROUP_cpu, "cpu.weight", l->cpu_weight);
	if (r == 0 && (l->flags & SPEC_CG_CPU_IDLE))
		r = emit(arg, CGROUP_cpu, "cpu.idle", "1");
	return r;
}

/* io.max takes the whole line of a device; 0 leaves a value out, and so at what it was. */
static void io_line(const struct spec_io *io, char *out, size_t size)
{
	const struct {
		const char *key;
		uint64_t value;
	} part[] = { { "rbps", io->rbps }, { "wbps", io->wbps }, { "riops", io->riops }, { "wiops", io->wiops } };

	size_t n = (size_t)snprintf(out, size, "%u:%u", io->major, io->minor);
	for (size_t i = 0; i < ARRAY_LEN(part); i++) {
		if (part[i].value == UINT64_MAX)
			n += (size_t)snprintf(out + n, size - n, " %s=max", part[i].key);
		else if (part[i].value)
			n += (size_t)snprintf(out + n, size - n, " %s=%" PRIu64, part[i].key, part[i].value);
		assert(n < size);
	}
}

static int spec_limits(const struct spec *s, const struct spec_cgroup *l, cgroup_emit *emit, void *arg)
{
	int r = 0;
	if (l->cpuset_cpus)
		r = emit(arg, CGROUP_cpuset, "cpuset.cpus", spec_text(s, l->cpuset_cpus));
	if (r == 0 && l->cpuset_mems)
		r = emit(arg, CGROUP_cpuset, "cpuset.mems", spec_text(s, l->cpuset_mems));
	SPEC_EACH(s, IO, struct spec_io, io) {
		char text[160];
		if (r < 0)
			return r;
		io_line(io, text, sizeof(text));
		r = emit(arg, CGROUP_io, "io.max", text);
	}
	return r;
}

int cgroup_unified_limits(const struct cgroup_wish *w, bool fresh, cgroup_emit *emit, void *arg)
{
	const struct spec_cgroup *l = w->limits;
	(void)fresh;

	int r = memory_limits(l, emit, arg);
	if (r == 0)
		r = cpu_limits(l, emit, arg);
	if (r == 0 && l->pids)
		r = emit_max(emit, arg, CGROUP_pids, "pids.max", l->pids);
	if (r == 0 && l->io_weight) {
		char text[48];
		snprintf(text, sizeof(text), "default %" PRIu64, l->io_weight);
		r = emit(arg, CGROUP_io, "io.weight", text);
	}
	if (r == 0 && w->spec)
		r = spec_limits(w->spec, l, emit, arg);
	return r;
}

void cgroup_unified_usage(int dirfd, struct cgroup_usage *ret)
{
	char text[8192];
	uint64_t v;

	/* cpu.stat's first lines are there without the controller too */
	if (fd_read_file_at(dirfd, "cpu.stat", text, sizeof(text)) > 0) {
		ret->have_cpu = cgroup_stat_get(text, "usage_usec", &ret->cpu_us);
		cgroup_stat_get(text, "user_usec", &ret->user_us);
		cgroup_stat_get(text, "system_usec", &ret->system_us);
		cgroup_stat_get(text, "throttled_usec", &ret->throttled_us);
	}
	if (fd_read_u64_at(dirfd, "memory.current", &v) == 0) {
		ret->memory_bytes = v;
		ret->have_memory = true;
	}
	if (fd_read_u64_at(dirfd, "memory.peak", &v) == 0) {
		ret->memory_peak_bytes = v;
		ret->have_peak = true;
	}
	if (fd_read_file_at(dirfd, "memory.events", text, sizeof(text)) > 0)
		ret->have_oom = cgroup_stat_get(text, "oom_kill", &ret->oom_kills);
	if (fd_read_u64_at(dirfd, "pids.peak", &v) == 0)
		ret->pids_peak = v;
	if (fd_read_file_at(dirfd, "io.stat", text, sizeof(text)) >= 0) {
		ret->io_read_bytes = cgroup_keyed_sum(text, "rbytes");
		ret->io_write_bytes = cgroup_keyed_sum(text, "wbytes");
		ret->have_io = true;
	}
}

/* memory.events.local counts "oom" in the very group whose limit was hit. */
uint64_t cgroup_unified_oom_count(const struct cgroup_host *h, const char *path)
{
	char rel[CGROUP_REL_MAX], text[1024];
	uint64_t v = 0;
	cgroup_rel(h, rel, path, "memory.events.local");
	if (fd_read_file_at(h->v2_fd, rel, text, sizeof(text)) > 0)
		cgroup_stat_get(text, "oom", &v);
	return v;
}

/* Ends where the tree does: its real root, and what lies above a mount's root, have no such file. */
uint64_t cgroup_unified_oom_above(const struct cgroup_host *h)
{
	char rel[3 * ABOVE_MAX + 32] = "", text[1024];
	uint64_t sum = h->top ? 0 : cgroup_unified_oom_count(h, ""), v;
	for (int i = 0; i < ABOVE_MAX; i++) {
		snprintf(rel + 3 * i, sizeof(rel) - 3 * (size_t)i, "memory.events.local");
		if (fd_read_file_at(h->v2_fd, rel, text, sizeof(text)) < 0)
			break;
		sum += cgroup_stat_get(text, "oom", &v) ? v : 0;
		memcpy(rel + 3 * i, "../", 3);
	}
	return sum;
}

static void subtree_text(unsigned mask, char *out, size_t size)
{
	size_t n = 0;
	out[0] = '\0';
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		if (mask & (1u << c))
			n += (size_t)snprintf(out + n, size - n, "%s+%s", n ? " " : "", cgroup_controller_name(c));
	assert(n < size);
}

/*
 * The kernel refuses to hand controllers down from a group that holds
 * processes itself (all but the tree's root). When we are the only one there,
 * step aside into a child of it; otherwise it is not ours to move the others.
 */
static void caller_name(const struct cgroup_host *h, char *out, size_t size)
{
	snprintf(out, size, "%s" CGROUP_CALLER "%d", h->top ? CGROUP_TOP_PREFIX : CGROUP_ROOT "/", (int)getpid());
}

bool cgroup_is_caller(const struct cgroup_host *h, const char *path)
{
	return str_starts(path, h->top ? CGROUP_TOP_PREFIX CGROUP_CALLER : CGROUP_CALLER);
}

static int step_aside(const struct cgroup_host *h, struct err *err)
{
	char procs[256], name[80], self[32];
	int n = snprintf(self, sizeof(self), "%d\n", (int)getpid());
	ssize_t len = fd_read_file_at(h->v2_fd, "cgroup.procs", procs, sizeof(procs));

	if (len != n || memcmp(procs, self, (size_t)n) != 0) {
		err_set(err, EBUSY, "hand controllers down from the group that %s is in: it holds other processes",
			h->v2_path);
		return err_hint(err, "start it alone in a delegated group: "
				"systemd-run --user --scope -p Delegate=yes COMMAND");
	}
	caller_name(h, name, sizeof(name));
	if (mkdirat(h->v2_fd, name, 0755) < 0 && errno != EEXIST)
		return err_set(err, errno, "step aside into the group %s (from where %s is)", name, h->v2_path);
	strcat(name, "/cgroup.procs");
	int r = fd_write_file_at(h->v2_fd, name, "0");
	return r < 0 ? err_set(err, -r, "step aside into the group %s (from where %s is)", name, h->v2_path) : 0;
}

/* Directories in this one, of which a cgroup's link count tells. */
static long children(int fd, const char *rel)
{
	struct stat st;
	return fstatat(fd, rel, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (long)st.st_nlink - 2 : -1;
}

/* Take every controller back from the groups below. */
static int take_back(int fd, const char *rel)
{
	char text[512], out[600];
	size_t n = 0;
	if (fd_read_file_at(fd, rel, text, sizeof(text)) < 0)
		return -EIO;
	char *save;
	for (char *c = strtok_r(text, " \n", &save); c && n + strlen(c) + 3 < sizeof(out); c = strtok_r(NULL, " \n", &save))
		n += (size_t)snprintf(out + n, sizeof(out) - n, "%s-%s", n ? " " : "", c);
	return n ? fd_write_file_at(fd, rel, out) : 0;
}

/*
 * A process in the group that controllers were handed down from is what the
 * kernel refuses, so they go first; that would lift limits, so only when the
 * group that was stepped into is the last one.
 */
void cgroup_unified_step_back(const struct cgroup_host *h)
{
	char name[80];
	caller_name(h, name, sizeof(name));
	if (faccessat(h->v2_fd, name, F_OK, 0) < 0)
		return;
	if (children(h->v2_fd, ".") != 1 || (!h->top && children(h->v2_fd, CGROUP_ROOT) != 1))
		return;
	if (!h->top && take_back(h->v2_fd, CGROUP_ROOT "/cgroup.subtree_control") < 0)
		return;
	if (take_back(h->v2_fd, "cgroup.subtree_control") < 0 || fd_write_file_at(h->v2_fd, "cgroup.procs", "0") < 0)
		return;
	if (unlinkat(h->v2_fd, name, AT_REMOVEDIR) == 0 && !h->top)
		unlinkat(h->v2_fd, CGROUP_ROOT, AT_REMOVEDIR);
}

static int enable_level(const struct cgroup_host *h, const char *rel, const char *text, struct err *err)
{
	int r = fd_write_file_at(h->v2_fd, rel, text);
	if (r == -EBUSY && strcmp(rel, "cgroup.subtree_control") == 0) {
		r = step_aside(h, err);
		if (r < 0)
			return r;
		r = fd_write_file_at(h->v2_fd, rel, text);
	}
	if (r == 0)
		return 0;
	err_set(err, -r, "hand controllers down (%s) in %s of %s", text, rel, h->v2_path);
	if (r == -EACCES || r == -EPERM)
		return err_hint(err, "delegate the group to this user with its controllers (Delegate=yes in a unit)");
	if (r == -ENOENT)
		return err_hint(err, "a level above does not give the controller; fc-run doctor shows which there are");
	return r;
}

int cgroup_unified_enable(const struct cgroup_host *h, const char *path, unsigned mask, struct err *err)
{
	char text[128], rel[CGROUP_REL_MAX], level[CGROUP_PATH_MAX];
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		if (!h->have[c])
			mask &= ~(1u << c);
	if (!mask)
		return 0;
	subtree_text(mask, text, sizeof(text));

	int r = enable_level(h, "cgroup.subtree_control", text, err);
	cgroup_rel(h, rel, "", "cgroup.subtree_control");
	if (r == 0 && !h->top)
		r = enable_level(h, rel, text, err);
	for (const char *slash = strchr(path, '/'); r == 0 && slash; slash = strchr(slash + 1, '/')) {
		snprintf(level, sizeof(level), "%.*s", (int)(slash - path), path);
		cgroup_rel(h, rel, level, "cgroup.subtree_control");
		r = enable_level(h, rel, text, err);
	}
	return r;
}
