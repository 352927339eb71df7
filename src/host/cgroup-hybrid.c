/*
 * cgroup-hybrid - limits and counters on v1 controllers (Documentation/admin-guide/cgroup-v1).
 *
 * Only limits and the memory counters live here; cpu time, kill, freeze and
 * events come from the v2 directory of the same name, which has them without
 * any controller.
 */
#include "host/cgroup-internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/str.h"

enum { CPU_PERIOD_DEFAULT_US = 100000 };

static int emit_u64(cgroup_emit *emit, void *arg, enum cgroup_controller c, const char *file, uint64_t v)
{
	char text[32];
	if (v == UINT64_MAX)
		return emit(arg, c, file, "-1");
	snprintf(text, sizeof(text), "%" PRIu64, v);
	return emit(arg, c, file, text);
}

/*
 * v1 limits memory and swap together, and tries a charge against the sum first.
 * Newer kernels (6.18) count failures of the memory counter only, so with "no
 * swap" and equal limits an OOM would leave no trace of the level it came from
 * (cgroup_oom_level). One page more for the sum makes memory the one that fails.
 */
enum { MEMSW_SLACK = 4096 };

static uint64_t memsw(const struct spec_cgroup *l)
{
	if (l->memory_bytes >= UINT64_MAX - MEMSW_SLACK || l->swap_bytes >= UINT64_MAX - MEMSW_SLACK - l->memory_bytes)
		return UINT64_MAX;
	return l->memory_bytes + l->swap_bytes + MEMSW_SLACK;
}

static int memory_limits(const struct spec_cgroup *l, bool swap_first, cgroup_emit *emit, void *arg)
{
	bool swap = (l->flags & SPEC_CG_SWAP) && l->memory_bytes;
	int r = 0;
	if (swap && swap_first)
		r = emit_u64(emit, arg, CGROUP_memory, "memory.memsw.limit_in_bytes", memsw(l));
	if (r == 0 && l->memory_bytes)
		r = emit_u64(emit, arg, CGROUP_memory, "memory.limit_in_bytes", l->memory_bytes);
	if (r == 0 && swap && !swap_first)
		r = emit_u64(emit, arg, CGROUP_memory, "memory.memsw.limit_in_bytes", memsw(l));
	if (r == 0 && l->memory_low_bytes)
		r = emit_u64(emit, arg, CGROUP_memory, "memory.soft_limit_in_bytes", l->memory_low_bytes);
	return r;
}

/* The kernel's own relation: weight 100 is 1024 shares. */
static uint64_t weight_to_shares(uint64_t weight)
{
	uint64_t shares = (weight * 1024 + 50) / 100;
	return shares < 2 ? 2 : shares > 262144 ? 262144 : shares;
}

static int cpu_limits(const struct spec_cgroup *l, bool fresh, cgroup_emit *emit, void *arg)
{
	int r = 0;
	if (l->cpu_period_us && !(fresh && l->cpu_period_us == CPU_PERIOD_DEFAULT_US))
		r = emit_u64(emit, arg, CGROUP_cpu, "cpu.cfs_period_us", l->cpu_period_us);
	if (r == 0 && l->cpu_quota_us)
		r = emit_u64(emit, arg, CGROUP_cpu, "cpu.cfs_quota_us", l->cpu_quota_us);
	if (r == 0 && l->cpu_burst_us)
		r = emit_u64(emit, arg, CGROUP_cpu, "cpu.cfs_burst_us", l->cpu_burst_us);
	if (r == 0 && l->cpu_weight)
		r = emit_u64(emit, arg, CGROUP_cpu, "cpu.shares", weight_to_shares(l->cpu_weight));
	if (r == 0 && (l->flags & SPEC_CG_CPU_IDLE))
		r = emit(arg, CGROUP_cpu, "cpu.idle", "1");
	return r;
}

static int io_limits(const struct spec_io *io, cgroup_emit *emit, void *arg)
{
	const struct {
		const char *file;
		uint64_t value;
	} part[] = {
		{ "blkio.throttle.read_bps_device", io->rbps },
		{ "blkio.throttle.write_bps_device", io->wbps },
		{ "blkio.throttle.read_iops_device", io->riops },
		{ "blkio.throttle.write_iops_device", io->wiops },
	};
	for (size_t i = 0; i < ARRAY_LEN(part); i++) {
		char text[64];
		if (!part[i].value)
			continue;
		/* 0 is how v1 spells "no limit" */
		snprintf(text, sizeof(text), "%u:%u %" PRIu64, io->major, io->minor,
			 part[i].value == UINT64_MAX ? 0 : part[i].value);
		int r = emit(arg, CGROUP_io, part[i].file, text);
		if (r)
			return r;
	}
	return 0;
}

int cgroup_hybrid_limits(const struct cgroup_wish *w, bool fresh, bool swap_first, cgroup_emit *emit, void *arg)
{
	const struct spec_cgroup *l = w->limits;

	int r = memory_limits(l, swap_first, emit, arg);
	if (r == 0)
		r = cpu_limits(l, fresh, emit, arg);
	if (r == 0 && l->pids)
		r = l->pids == UINT64_MAX ? emit(arg, CGROUP_pids, "pids.max", "max") :
					    emit_u64(emit, arg, CGROUP_pids, "pids.max", l->pids);
	if (r == 0 && l->io_weight)
		r = emit_u64(emit, arg, CGROUP_io, "blkio.bfq.weight", l->io_weight);
	if (r || !w->spec)
		return r;
	if (l->cpuset_cpus)
		r = emit(arg, CGROUP_cpuset, "cpuset.cpus", spec_text(w->spec, l->cpuset_cpus));
	if (r == 0 && l->cpuset_mems)
		r = emit(arg, CGROUP_cpuset, "cpuset.mems", spec_text(w->spec, l->cpuset_mems));
	SPEC_EACH(w->spec, IO, struct spec_io, io)
		if (r == 0)
			r = io_limits(io, emit, arg);
	return r;
}

static ssize_t read_v1(const struct cgroup *cg, enum cgroup_controller c, const char *file, char *text, size_t size)
{
	char rel[CGROUP_REL_MAX];
	if (!(cg->v1_made & (1u << c)))
		return -ENOENT;
	cgroup_rel(cg->host, rel, cg->path, file);
	return fd_read_file_at(cg->host->v1_fd[c], rel, text, size);
}

static bool read_v1_u64(const struct cgroup *cg, enum cgroup_controller c, const char *file, uint64_t *ret)
{
	char text[64];
	if (read_v1(cg, c, file, text, sizeof(text)) <= 0)
		return false;
	text[strcspn(text, "\n")] = '\0';
	return str_to_u64(text, ret) == 0;
}

void cgroup_hybrid_usage(const struct cgroup *cg, struct cgroup_usage *ret)
{
	char text[8192];
	uint64_t v;

	cgroup_unified_usage(cg->v2_fd, ret); /* cpu time, and whatever else the v2 tree has here */
	if (read_v1(cg, CGROUP_cpu, "cpu.stat", text, sizeof(text)) > 0 && cgroup_stat_get(text, "throttled_time", &v))
		ret->throttled_us = v / 1000;
	if (read_v1_u64(cg, CGROUP_memory, "memory.usage_in_bytes", &ret->memory_bytes))
		ret->have_memory = true;
	if (read_v1_u64(cg, CGROUP_memory, "memory.max_usage_in_bytes", &ret->memory_peak_bytes))
		ret->have_peak = true;
	if (read_v1(cg, CGROUP_memory, "memory.oom_control", text, sizeof(text)) > 0)
		ret->have_oom = cgroup_stat_get(text, "oom_kill", &ret->oom_kills);
	read_v1_u64(cg, CGROUP_pids, "pids.peak", &ret->pids_peak);
	if (read_v1(cg, CGROUP_io, "blkio.throttle.io_service_bytes_recursive", text, sizeof(text)) >= 0) {
		ret->io_read_bytes = cgroup_blkio_sum(text, "Read");
		ret->io_write_bytes = cgroup_blkio_sum(text, "Write");
		ret->have_io = true;
	}
}

static uint64_t memory_u64(const struct cgroup_host *h, const char *path, const char *file, uint64_t otherwise)
{
	char rel[CGROUP_REL_MAX];
	uint64_t v;
	cgroup_rel(h, rel, path, file);
	if (h->v1_fd[CGROUP_memory] < 0 || fd_read_u64_at(h->v1_fd[CGROUP_memory], rel, &v) < 0)
		return otherwise;
	return v;
}

uint64_t cgroup_hybrid_oom_count(const struct cgroup_host *h, const char *path)
{
	return memory_u64(h, path, "memory.failcnt", 0) + memory_u64(h, path, "memory.memsw.failcnt", 0);
}

/* Charges come in batches; the last one before a failure is a single page. */
static bool reached(uint64_t peak, uint64_t limit) { return peak >= limit || limit - peak <= MEMSW_SLACK; }

bool cgroup_hybrid_at_limit(const struct cgroup_host *h, const char *path)
{
	return reached(memory_u64(h, path, "memory.memsw.max_usage_in_bytes", 0),
		       memory_u64(h, path, "memory.memsw.limit_in_bytes", UINT64_MAX));
}

/* Copy one cpuset file from the parent when the group's own is empty. */
static int inherit(int fd, const char *parent, const char *level, const char *file, struct err *err)
{
	char rel[CGROUP_REL_MAX + 16], value[4096];
	snprintf(rel, sizeof(rel), "%s/%s", level, file);
	ssize_t n = fd_read_file_at(fd, rel, value, sizeof(value));
	if (n > 1) /* "\n" is empty */
		return 0;
	if (n >= 0) {
		char from[CGROUP_REL_MAX + 16];
		snprintf(from, sizeof(from), "%s%s%s", parent, *parent ? "/" : "", file);
		n = fd_read_file_at(fd, from, value, sizeof(value));
	}
	if (n >= 0)
		n = fd_write_file_at(fd, rel, value);
	return n < 0 ? err_set(err, (int)-n, "copy %s down to the cpuset group %s", file, level) : 0;
}

int cgroup_hybrid_cpuset(const struct cgroup_host *h, const char *path, struct err *err)
{
	char whole[CGROUP_REL_MAX], parent[CGROUP_REL_MAX] = "", level[CGROUP_REL_MAX];
	int fd = h->v1_fd[CGROUP_cpuset], r = 0;

	cgroup_rel(h, whole, path, "");
	for (size_t i = 1; r == 0 && i <= strlen(whole); i++) {
		if (whole[i] != '/' && whole[i] != '\0')
			continue;
		snprintf(level, sizeof(level), "%.*s", (int)i, whole);
		r = inherit(fd, parent, level, "cpuset.cpus", err);
		if (r == 0)
			r = inherit(fd, parent, level, "cpuset.mems", err);
		str_copy(parent, sizeof(parent), level);
	}
	return r;
}
