/* probe-cgroup - groups: made below fcnode's root, tried, and removed. */
#include "host/probe-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
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

static int make(struct probe_ctx *c, const struct wish *w, struct cgroup *ret, struct err *err)
{
	char path[64];
	snprintf(path, sizeof(path), "doctor-%d", (int)getpid());
	return cgroup_make(&c->cgroup, path, &w->s, ret, err);
}

static void drop(struct cgroup *cg)
{
	cgroup_kill(cg);
	cgroup_remove(cg, 2000);
	cgroup_fini(cg);
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
		probe_fail(row, otherwise, 0, h->mode == CGROUP_HYBRID ? "not mounted, or not writable for this user" :
							       "not in cgroup.controllers of the group to live under",
			   c->root ? "have the kernel offer it (cgroup_disable= on its command line takes it away)" :
				     "have it delegated: Delegate=yes in the unit of user@.service");
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
	if (!h->writable || !h->have[CGROUP_io]) {
		probe_fail(row, PROBE_degraded, 0, "no io controller that can be used", "leave I/O limits out, or have it offered "
			   "(blkio on cgroup v1)");
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

/* Reading is half of it: who is to be woken writes a trigger (2 s: the shortest window that takes no capability). */
void probe_pressure(struct probe_ctx *c, struct probe_row *row)
{
	static const char path[] = "/proc/pressure/memory", trigger[] = "some 1000000 2000000";
	char text[512];
	(void)c;
	ssize_t n = fd_read_file_at(AT_FDCWD, path, text, sizeof(text));
	if (n <= 0) {
		probe_fail(row, PROBE_degraded, n < 0 ? (int)-n : ENODATA, "read /proc/pressure/memory",
			   "boot with psi=1 (and a kernel with CONFIG_PSI)");
		return;
	}
	autoclose int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && write(fd, trigger, sizeof(trigger)) > 0)
		probe_detail(row, "%s can be read, and a trigger was set", path);
	else
		probe_fail(row, PROBE_degraded, errno, "set a trigger in /proc/pressure/memory",
			   "run as root with CAP_SYS_RESOURCE; Linux 6.5 takes triggers of 2 s from anybody");
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
