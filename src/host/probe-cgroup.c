/* probe-cgroup - groups: made below fcnode's root, tried, and removed. */
#include "host/cgroup-internal.h"
#include "host/probe-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/str.h"
#include "host/proc.h"

/* A spec of limits and one string. */
struct wish {
	struct spec s;
	char text[8];
};

#define GROUP_PREFIX "doctor-"

static int make(struct probe_ctx *c, const struct wish *w, struct cgroup *ret, struct err *err)
{
	char path[CGROUP_PATH_MAX];
	snprintf(path, sizeof(path), "%s%s" GROUP_PREFIX "%d", c->cgroup_path ? c->cgroup_path : "", c->cgroup_path ? "/" : "",
		 (int)getpid());
	return cgroup_make(&c->cgroup, path, &w->s, ret, err);
}

static void drop(struct cgroup *cg)
{
	cgroup_kill(cg);
	cgroup_remove(cg, 2000);
	cgroup_fini(cg);
}

/* "[LEVEL/]doctor-PID" whose process is gone. */
static bool is_left(const char *path, void *arg)
{
	const struct probe_ctx *c = arg;
	size_t n = c->cgroup_path ? strlen(c->cgroup_path) : 0;
	uint64_t pid;
	if (n && (strncmp(path, c->cgroup_path, n) != 0 || path[n++] != '/'))
		return false;
	return str_starts(path + n, GROUP_PREFIX) && str_to_u64(path + n + sizeof(GROUP_PREFIX) - 1, &pid) == 0 && pid <= INT32_MAX &&
	       kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

void probe_cgroup_sweep(struct probe_ctx *c)
{
	if (c->cgroup.mode != CGROUP_NONE && c->cgroup.writable)
		cgroup_sweep(&c->cgroup, is_left, c, NULL); /* one that cannot be removed keeps nothing from being probed */
}

struct left_of {
	const char *cgroup_path;
	pid_t pid;
};

static bool is_left_of(const char *path, void *arg)
{
	const struct left_of *l = arg;
	char own[CGROUP_PATH_MAX];
	snprintf(own, sizeof(own), "%s%s" GROUP_PREFIX "%d", l->cgroup_path ? l->cgroup_path : "", l->cgroup_path ? "/" : "", (int)l->pid);
	return strcmp(path, own) == 0;
}

int probe_remove_left(const struct cgroup_host *h, const char *cgroup_path, pid_t pid)
{
	struct left_of l = { cgroup_path, pid };
	if (h->mode == CGROUP_NONE || !h->writable)
		return 0;
	return cgroup_sweep(h, is_left_of, &l, NULL);
}

static const char *cgroup_todo(struct probe_ctx *c)
{
	if (!c->root)
		return "run as root, or in a delegated group: systemd-run --user --scope -p Delegate=yes fc-run ...";
	return c->cgroup.mode == CGROUP_NONE ? "mount one: mount -t cgroup2 cgroup2 /sys/fs/cgroup" :
					       "make the cgroup file systems writable here (in a container: give it its "
					       "own cgroup namespace and a writable mount)";
}

void probe_cgroup(struct probe_ctx *c, struct probe_row *row)
{
	struct cgroup_host *h = &c->cgroup;
	if (c->cgroup_err.code) {
		probe_fail(row, PROBE_missing, 0, c->cgroup_err.text, cgroup_todo(c));
		return;
	}
	if (h->mode == CGROUP_NONE || !h->writable) {
		char text[PROBE_DETAIL_MAX];
		snprintf(text, sizeof(text), "%s: %s", cgroup_mode_name(h->mode), h->why);
		probe_fail(row, PROBE_missing, 0, text, cgroup_todo(c));
		return;
	}
	probe_detail(row, "%s; groups go below %s", cgroup_mode_name(h->mode), h->v2_path);
}

/* What /proc/cgroups (cgroups(7)) says of a controller. */
enum offer { OFFER_ON, OFFER_OFF, OFFER_NONE };

static enum offer kernel_offers(enum cgroup_controller which)
{
	char text[4096], line[32];
	const char *name = which == CGROUP_io ? "blkio" : cgroup_controller_name(which);
	if (fd_read_file_at(AT_FDCWD, "/proc/cgroups", text, sizeof(text)) < 0)
		return OFFER_ON; /* not told: say nothing of the kernel */
	snprintf(line, sizeof(line), "\n%s\t", name);
	const char *row = strstr(text, line);
	unsigned hierarchy, groups, enabled;
	if (!row || sscanf(row + strlen(line), "%u %u %u", &hierarchy, &groups, &enabled) != 3)
		return OFFER_NONE;
	return enabled ? OFFER_ON : OFFER_OFF;
}

/* Why a controller is not to be had, and what would change that. */
static void absent(struct probe_ctx *c, struct probe_row *row, enum cgroup_controller which, enum probe_status otherwise)
{
	const struct cgroup_host *h = &c->cgroup;
	const char *name = cgroup_controller_name(which);
	char what[PROBE_DETAIL_MAX], todo[PROBE_TODO_MAX];
	switch (kernel_offers(which)) {
	case OFFER_NONE:
		snprintf(what, sizeof(what), "this kernel has no controller %s", name);
		snprintf(todo, sizeof(todo), "boot a kernel that is built with it (Debian's are)");
		break;
	case OFFER_OFF:
		snprintf(what, sizeof(what), "the kernel was booted with the controller %s switched off", name);
		snprintf(todo, sizeof(todo), "take %s out of cgroup_disable= on the kernel's command line", name);
		break;
	default:
		if (h->mode == CGROUP_HYBRID) {
			snprintf(what, sizeof(what), "no v1 hierarchy with it that this user can make groups in");
			snprintf(todo, sizeof(todo), "%smount it: mount -t cgroup -o %s cgroup DIRECTORY", c->root ? "" : "be root, or ",
				 which == CGROUP_io ? "blkio" : name);
		} else {
			snprintf(what, sizeof(what), "the kernel has it, but it is not in cgroup.controllers of the directory that %.120s is in",
				 h->v2_path);
			snprintf(todo, sizeof(todo), "hand it down: echo +%s to cgroup.subtree_control of each level above (a unit: "
						     "Delegate=yes)", name);
		}
	}
	probe_fail(row, otherwise, 0, what, todo);
}

/* Make a group with one limit of this controller. */
static void controller(struct probe_ctx *c, struct probe_row *row, enum cgroup_controller which, const struct wish *w,
		       enum probe_status otherwise)
{
	struct cgroup_host *h = &c->cgroup;
	struct err err = ERR_INIT;
	struct cgroup cg;
	const char *where = h->v1_fd[which] >= 0 ? "v1 hierarchy" : "v2 tree";

	if (h->mode == CGROUP_NONE || !h->writable) {
		probe_fail(row, otherwise, 0, "no group can be made (see cgroup)", cgroup_todo(c));
	} else if (!h->have[which]) {
		absent(c, row, which, otherwise);
	} else if (make(c, w, &cg, &err) < 0) {
		probe_fail(row, otherwise, 0, err.text, err.hint);
	} else {
		drop(&cg);
		probe_detail(row, "%s, a limit was set", where);
	}
}

void probe_cgroup_memory(struct probe_ctx *c, struct probe_row *row)
{
	struct wish w = { .s = { .cgroup = { .memory_bytes = 64 << 20, .flags = SPEC_CG_SWAP } } };
	controller(c, row, CGROUP_memory, &w, PROBE_missing);
}

void probe_cgroup_cpu(struct probe_ctx *c, struct probe_row *row)
{
	struct wish w = { .s = { .cgroup = { .cpu_quota_us = 50000, .cpu_period_us = 100000 } } };
	controller(c, row, CGROUP_cpu, &w, PROBE_missing);
}

void probe_cgroup_pids(struct probe_ctx *c, struct probe_row *row)
{
	struct wish w = { .s = { .cgroup = { .pids = 16 } } };
	controller(c, row, CGROUP_pids, &w, PROBE_missing);
}

void probe_cgroup_cpuset(struct probe_ctx *c, struct probe_row *row)
{
	struct wish w = { .s = { .cgroup = { .cpuset_cpus = 1 } } };
	strcpy(w.text + 1, "0");
	w.s.strings = (struct spec_span){ offsetof(struct wish, text), sizeof(w.text) };
	controller(c, row, CGROUP_cpuset, &w, PROBE_degraded);
}

void probe_cgroup_io(struct probe_ctx *c, struct probe_row *row)
{
	struct {
		struct spec s;
		struct spec_io io;
	} w = { .s = { .section = { [SPEC_SECT_IO] = { offsetof(__typeof__(w), io), 0 } } } };
	/* a rule needs a block device, which a host need not have: weightless, ruleless, only the group is tried */
	struct cgroup_host *h = &c->cgroup;
	struct err err = ERR_INIT;
	struct cgroup cg;
	if (h->mode == CGROUP_NONE || !h->writable) {
		probe_fail(row, PROBE_degraded, 0, "no group can be made (see cgroup)", cgroup_todo(c));
		return;
	}
	if (!h->have[CGROUP_io]) {
		absent(c, row, CGROUP_io, PROBE_degraded);
		return;
	}
	struct wish none = { .s = w.s };
	if (make(c, &none, &cg, &err) < 0) {
		probe_fail(row, PROBE_degraded, 0, err.text, err.hint);
		return;
	}
	drop(&cg);
	probe_detail(row, "%s; limits are per block device and were not tried", h->v1_fd[CGROUP_io] >= 0 ? "v1 hierarchy (blkio)" : "v2 tree");
}

/* Only that it is there: OCI's hugepageLimits name a page size, which a host need not have. */
void probe_cgroup_hugetlb(struct probe_ctx *c, struct probe_row *row)
{
	const struct cgroup_host *h = &c->cgroup;
	if (h->mode == CGROUP_NONE || !h->writable)
		probe_fail(row, PROBE_degraded, 0, "no group can be made (see cgroup)", cgroup_todo(c));
	else if (!h->have[CGROUP_hugetlb])
		absent(c, row, CGROUP_hugetlb, PROBE_degraded);
	else
		probe_detail(row, "%s; limits are per page size and were not tried", h->v1_fd[CGROUP_hugetlb] >= 0 ? "v1 hierarchy" : "v2 tree");
}

/* The file of a group that has a memory limit: v1 calls it memory+swap. */
static bool has_swap_file(const struct cgroup *cg)
{
	char rel[CGROUP_REL_MAX];
	if (cg->host->mode == CGROUP_UNIFIED)
		return faccessat(cg->v2_fd, "memory.swap.max", F_OK, 0) == 0;
	cgroup_rel(cg->host, rel, cg->path, "memory.memsw.limit_in_bytes");
	return faccessat(cg->host->v1_fd[CGROUP_memory], rel, F_OK, 0) == 0;
}

void probe_cgroup_swap(struct probe_ctx *c, struct probe_row *row)
{
	struct wish w = { .s = { .cgroup = { .memory_bytes = 64 << 20 } } };
	struct err err = ERR_INIT;
	struct cgroup cg;
	struct sysinfo si;
	if (!c->cgroup.writable || !c->cgroup.have[CGROUP_memory] || make(c, &w, &cg, &err) < 0) {
		probe_fail(row, PROBE_degraded, 0, "no group with a memory limit can be made (see cgroup.memory)", "");
		return;
	}
	bool counted = has_swap_file(&cg), swap = sysinfo(&si) == 0 && si.totalswap > 0;
	drop(&cg);
	if (counted)
		probe_detail(row, "limits of swap can be set; this host has %s", swap ? "swap" : "none");
	else if (!swap)
		probe_detail(row, "swap is not accounted, and this host has none: a limit holds by itself");
	else
		probe_fail(row, PROBE_degraded, 0, "swap is not accounted: a limit of it is refused",
			   "boot with swapaccount=1, or turn swap off");
}

/* clone3 into the group; the child joins the v1 groups and sleeps. */
static int start_inside(const struct cgroup *cg, struct proc *p, struct err *err)
{
	struct cgroup_joint joint;
	int r = cgroup_joint_open(cg, &joint, err);
	if (r < 0)
		return r;
	struct clone_args args = { .flags = CLONE_INTO_CGROUP | CLONE_PIDFD, .exit_signal = SIGCHLD,
				   .pidfd = (uintptr_t)&p->pidfd, .cgroup = (uint64_t)cgroup_clone_fd(cg) };
	pid_t parent = getpid(), pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (cgroup_join(&joint) < 0 || getppid() != parent)
			_exit(1);
		for (;;)
			pause();
	}
	r = pid < 0 ? -errno : 0;
	cgroup_joint_close(&joint);
	if (r < 0)
		return err_set(err, -r, "start a process inside a group (clone3)");
	p->pid = pid;
	return 0;
}

enum what { START, KILL, FREEZE };

static void with_process(struct probe_ctx *c, struct probe_row *row, enum what what, enum probe_status otherwise)
{
	struct wish w = { 0 };
	struct cgroup cg;
	struct proc p = PROC_INIT;
	struct err err = ERR_INIT;
	int status;

	if (c->cgroup.mode == CGROUP_NONE || !c->cgroup.writable) {
		probe_fail(row, otherwise, 0, "no group can be made (see cgroup)", cgroup_todo(c));
		return;
	}
	int r = make(c, &w, &cg, &err);
	if (r < 0) {
		probe_fail(row, otherwise, 0, err.text, err.hint);
		return;
	}
	r = start_inside(&cg, &p, &err);
	if (r == 0 && what == FREEZE)
		r = cgroup_freeze(&cg, true, 2000, &err);
	if (r == 0 && what == KILL) {
		r = cgroup_kill(&cg);
		if (r < 0)
			err_set(&err, -r, "kill the group");
		else if (proc_wait(&p, 5000, &status) < 0)
			r = err_set(&err, ETIMEDOUT, "a killed group still has a process");
	}
	if (r < 0)
		probe_fail(row, otherwise, 0, err.text, *err.hint ? err.hint : "see the kernel's log; Linux 6.1 is the floor");
	else
		probe_detail(row, "%s", what == START ? "a process started inside its group" :
					what == KILL ? "cgroup.kill ended a process" : "a process was frozen");
	proc_signal(&p, SIGKILL);
	proc_reap(&p, &status, NULL);
	drop(&cg);
}

void probe_cgroup_start(struct probe_ctx *c, struct probe_row *row) { with_process(c, row, START, PROBE_missing); }
void probe_cgroup_kill(struct probe_ctx *c, struct probe_row *row) { with_process(c, row, KILL, PROBE_missing); }
void probe_cgroup_freeze(struct probe_ctx *c, struct probe_row *row) { with_process(c, row, FREEZE, PROBE_degraded); }

void probe_memory_peak(struct probe_ctx *c, struct probe_row *row)
{
	struct wish w = { .s = { .cgroup = { .memory_bytes = 64 << 20 } } };
	struct err err = ERR_INIT;
	struct cgroup cg;
	struct cgroup_usage u;
	if (!c->cgroup.writable || make(c, &w, &cg, &err) < 0) {
		probe_fail(row, PROBE_degraded, 0, "no group with a memory limit can be made", cgroup_todo(c));
		return;
	}
	cgroup_usage(&cg, &u);
	drop(&cg);
	if (u.have_peak && u.have_cpu && u.have_oom)
		probe_detail(row, "peak memory, cpu time and OOM kills are counted");
	else
		probe_fail(row, PROBE_degraded, 0, "the kernel does not count all of peak memory, cpu time and OOM kills",
			   "records say 0 for what is not counted; Linux 5.19 has memory.peak");
}

/* A trigger (Documentation/accounting/psi.rst): 200 ms of stall in any 2 s, the shortest window that needs no privilege. */
static int arm_trigger(const char *path)
{
	static const char trigger[] = "some 200000 2000000";
	autoclose int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno;
	return write(fd, trigger, sizeof(trigger)) == (ssize_t)sizeof(trigger) ? 0 : errno;
}

void probe_pressure(struct probe_ctx *c, struct probe_row *row)
{
	char text[512];
	ssize_t n = fd_read_file_at(AT_FDCWD, "/proc/pressure/memory", text, sizeof(text));
	int e = n <= 0 ? 0 : arm_trigger("/proc/pressure/memory");
	if (n <= 0)
		probe_fail(row, PROBE_degraded, n < 0 ? (int)-n : ENODATA, "read /proc/pressure/memory",
			   "boot with psi=1 (and a kernel with CONFIG_PSI)");
	else if (e && c->root)
		probe_fail(row, PROBE_degraded, e, "set a trigger on /proc/pressure/memory", "without it memory is watched by its amount");
	else
		probe_detail(row, "/proc/pressure/memory can be read%s", e ? ", triggers need root" : " and takes triggers");
}

void probe_delegation(struct probe_ctx *c, struct probe_row *row)
{
	if (c->root)
		probe_detail(row, "not needed: root");
	else if (c->cgroup.mode == CGROUP_UNIFIED && c->cgroup.writable)
		probe_detail(row, "the own group is delegated");
	else if (c->cgroup.mode == CGROUP_HYBRID)
		probe_fail(row, PROBE_missing, 0, "cgroup v1 controllers are not delegated to ordinary users",
			   "run as root, or boot with systemd.unified_cgroup_hierarchy=1; without it default limits are "
			   "dropped and limits that were typed are refused");
	else
		probe_fail(row, PROBE_missing, 0, *c->cgroup.why ? c->cgroup.why : "no cgroups", cgroup_todo(c));
}

static void kernel_word(const char *path, char *out, size_t size)
{
	if (fd_read_file_at(AT_FDCWD, path, out, size) < 0)
		str_copy(out, size, "?");
	out[strcspn(out, "\n")] = '\0';
}

/* Advice only: a move by pid into a v1 group waits for a grace period; our starts do not move by pid. */
void probe_rcu(struct probe_ctx *c, struct probe_row *row)
{
	char expedited[32], normal[32];
	if (c->cgroup.mode != CGROUP_HYBRID) {
		probe_detail(row, "not needed: nothing moves between groups here");
		return;
	}
	kernel_word("/sys/kernel/rcu_expedited", expedited, sizeof(expedited));
	kernel_word("/sys/kernel/rcu_normal", normal, sizeof(normal));
	probe_detail(row, "rcu_expedited %s, rcu_normal %s; starts enter v1 groups without a grace period, moves from "
			  "outside (OCI exec) wait for one (4 ms each)", expedited, normal);
	if (strcmp(expedited, "0") == 0)
		str_copy(row->todo, sizeof(row->todo),
			 "only if such moves matter, at a price for all of the host: echo 1 > /sys/kernel/rcu_expedited");
}
