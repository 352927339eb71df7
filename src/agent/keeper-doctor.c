/*
 * What this host and this agent can do, for `fcctl doctor`.
 *
 * A probe tries the real thing, which takes time and clones processes, so it is
 * done by a child, with what keeper has left of root's power: what the child
 * cannot do, keeper cannot do for a sandbox either. It writes its report into a
 * memfd that goes to serve unread. One at a time, ended after DOCTOR_MAX_MS, and
 * with keeper; groups it tried out are below the agent's own level, and what a
 * kill of it left there goes with it (of keeper: at the next start).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/keeper-internal.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "host/probe.h"

enum { DOCTOR_MAX_MS = 60000, REPORT_MAX = 1 << 20 };

/* ---- the agent's own rows ---------------------------------------------------- */

static void row_groups(const struct keeper *k, struct probe_report *r)
{
	struct probe_row *row = probe_add(r, "agent.cgroup", "limits, accounting, killing all of a sandbox at once", true);
	probe_detail(row, "%s; sandboxes go below %s/%s", cgroup_mode_name(k->cgroups.mode), k->cgroups.v2_path, k->group);
}

static void row_instances(const struct keeper *k, struct probe_report *r)
{
	struct probe_row *row = probe_add(r, "agent.instances", "how many sandboxes may be alive at once", true);
	if (k->config->max_instances)
		probe_detail(row, "%zu, by max-instances; %" PRIu64 " open files are allowed", k->capacity, k->files_max);
	else
		probe_detail(row, "%zu, as %" PRIu64 " open files and max-connections allow, or the default", k->capacity, k->files_max);
	r->max_instances = (unsigned)k->capacity;
}

static void row_user(const struct keeper *k, struct probe_report *r)
{
	struct probe_row *row = probe_add(r, "agent.user", "the half of the agent that reads strangers' bytes", true);
	if (k->config->uid == 0)
		probe_fail(row, PROBE_degraded, 0, "root", "give it a user of its own: useradd --system fcnode");
	else if (k->config->uid == 65534)
		probe_fail(row, PROBE_degraded, 0, "nobody, whom other services may use too",
			   "give it a user of its own: useradd --system fcnode");
	else
		probe_detail(row, "%s (%u:%u)", k->config->user, (unsigned)k->config->uid, (unsigned)k->config->gid);
}

/* Less than one bundle's worth is as good as full. */
static void row_disk(const struct keeper *k, struct probe_report *r)
{
	struct probe_row *row = probe_add(r, "agent.disk", "code layers, the ledger, logs", false);
	struct statvfs v;
	char text[PROBE_DETAIL_MAX];
	if (fstatvfs(k->state_fd, &v) < 0) {
		probe_fail(row, PROBE_degraded, errno, "ask for the space left for the state directory", "");
		return;
	}
	uint64_t left = (uint64_t)v.f_bavail * v.f_frsize;
	snprintf(text, sizeof(text), "%" PRIu64 " MiB left for %.200s", left >> 20, k->config->state_dir);
	if (left < k->config->max_unpacked_bytes)
		probe_fail(row, PROBE_degraded, 0, text, "make room, or lower max-unpacked-bytes: a bundle of that size would not fit");
	else
		probe_detail(row, "%s", text);
}

/* "host" needs no directory; the others were there at start, which need not be so any more. */
static void row_images(const struct keeper *k, struct probe_report *r)
{
	struct probe_row *row = probe_add(r, "agent.images", "the root file system of functions", true);
	struct stat st;
	size_t len = 0;
	char names[PROBE_DETAIL_MAX] = "";
	for (size_t i = 0; i < k->config->images; i++) {
		const struct config_image *im = &k->config->image[i];
		char text[PROBE_DETAIL_MAX];
		if (i > 0 && (stat(im->path, &st) < 0 || !S_ISDIR(st.st_mode))) {
			snprintf(text, sizeof(text), "image %s: %.200s is no directory any more", im->name, im->path);
			probe_fail(row, PROBE_missing, 0, text, "build it again, or take it out of the configuration");
			return;
		}
		int n = snprintf(names + len, sizeof(names) - len, "%s%s", i ? ", " : "", im->name);
		len = n > 0 && len + (size_t)n < sizeof(names) ? len + (size_t)n : len;
	}
	probe_detail(row, "%s", names);
}

/* ---- the child ---------------------------------------------------------------- */

/* The directory that fcnode's root is in: "own" (fc-agent.conf(5)) was the group of keeper at its start, not of its child. */
static const char *cgroup_dir(const struct keeper *k, char *out, size_t size)
{
	return cgroup_host_dir(&k->cgroups, out, size) == 0 ? out : k->config->cgroup_root;
}

static int probe_and_write(const struct keeper *k, int report_fd)
{
	static struct probe_report report; /* large, and the child ends after it */
	autobuf struct buf text = BUF_INIT(REPORT_MAX);
	char dir[sizeof(k->cgroups.v2_path)];
	probe_host(&report, &(struct probe_opts){ .state_dir = k->config->state_dir, .cgroup_root = cgroup_dir(k, dir, sizeof(dir)),
						  .cgroup_path = k->group });
	row_groups(k, &report);
	row_instances(k, &report);
	row_user(k, &report);
	row_disk(k, &report);
	row_images(k, &report);
	probe_weigh(&report);
	int r = probe_json(&report, &text);
	if (r < 0)
		return -r;
	return write(report_fd, text.data, text.len) == (ssize_t)text.len ? 0 : EIO;
}

/* The loop, its signals and the socket to serve are not the child's: serve must see at once when keeper is gone. */
static void child(const struct keeper *k, int report_fd, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EPROTO);
	setpgid(0, 0);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	int state_fd = k->state_fd, low = report_fd < state_fd ? report_fd : state_fd, high = report_fd < state_fd ? state_fd : report_fd;
	if (low > 3)
		close_range(3, (unsigned)low - 1, 0);
	if (high > low + 1)
		close_range((unsigned)low + 1, (unsigned)high - 1, 0);
	close_range((unsigned)high + 1, ~0u, 0);
	_exit(probe_and_write(k, report_fd));
}

/* ---- keeper's side -------------------------------------------------------------- */

static void answer_failed(struct keeper *k, uint64_t request, int code, const char *text)
{
	union msg m;
	msg_init(&m, MSG_DOCTOR_FAILED);
	m.doctor_failed.request = request;
	m.doctor_failed.code = code > 0 && code < 4096 ? code : EIO;
	msg_text(m.doctor_failed.text, sizeof(m.doctor_failed.text), text);
	serve_send(k, &m, NULL, 0);
}

static void work_end(struct doctor_work *w)
{
	if (w->exited)
		event_free(w->exited);
	if (w->deadline)
		event_free(w->deadline);
	proc_fini(&w->proc);
	cleanup_close(&w->report_fd);
	*w = (struct doctor_work){ .proc = PROC_INIT, .report_fd = -1 };
}

static void work_kill(const struct doctor_work *w)
{
	if (w->proc.pid > 0)
		proc_signal(&w->proc, SIGKILL); /* what it cloned ends with it (probe.c) */
}

static void answer_report(struct keeper *k, struct doctor_work *w)
{
	union msg m;
	msg_init(&m, MSG_DOCTOR_DONE);
	m.doctor_done.request = w->request;
	int fd = take_fd(&w->report_fd);
	serve_send(k, &m, &fd, 1);
}

static void remove_left(const struct keeper *k, pid_t pid)
{
	int r = probe_remove_left(&k->cgroups, k->group, pid);
	if (r < 0)
		log_warning("event=doctor error=\"remove the group of a probe that was killed: %s\" action=\"left to the next start\"", strerror(-r));
}

static void on_exited(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;
	struct doctor_work *w = &k->doctor;
	pid_t pid = w->proc.pid;
	int status = 0;
	(void)fd;
	(void)what;
	proc_reap(&w->proc, &status, NULL);
	w->proc.pid = 0;
	if (WIFSIGNALED(status))
		remove_left(k, pid);
	if (w->orphan)
		; /* nobody waits for it */
	else if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		answer_report(k, w);
	else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		answer_failed(k, w->request, ETIMEDOUT, "the probes of this host did not end within a minute");
	else
		answer_failed(k, w->request, WIFEXITED(status) ? WEXITSTATUS(status) : EPROTO, "the probes of this host could not be written down");
	work_end(w);
	keeper_turn(k);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;
	(void)fd;
	(void)what;
	log_warning("event=doctor error=\"not done within %d ms\" action=\"ending it\"", DOCTOR_MAX_MS);
	work_kill(&k->doctor);
}

static int watch(struct keeper *k)
{
	struct doctor_work *w = &k->doctor;
	const struct timeval tv = { .tv_sec = DOCTOR_MAX_MS / 1000 };
	w->exited = event_new(k->base, w->proc.pidfd, EV_READ, on_exited, k);
	w->deadline = evtimer_new(k->base, on_deadline, k);
	return w->exited && w->deadline && event_add(w->exited, NULL) == 0 && event_add(w->deadline, &tv) == 0 ? 0 : -ENOMEM;
}

static int begin(struct keeper *k)
{
	struct doctor_work *w = &k->doctor;
	w->report_fd = memfd_create("doctor", MFD_CLOEXEC);
	if (w->report_fd < 0)
		return -errno;
	pid_t parent = getpid(), pid = fork();
	if (pid == 0)
		child(k, w->report_fd, parent);
	if (pid < 0)
		return -errno;
	w->proc = (struct proc){ pid, (int)syscall(SYS_pidfd_open, pid, 0) };
	return w->proc.pidfd < 0 ? -errno : watch(k);
}

void doctor_request(struct keeper *k, const struct msg_doctor *m)
{
	struct doctor_work *w = &k->doctor;
	if (w->proc.pid > 0)
		return answer_failed(k, m->request, EBUSY, "another look at this host is under way");
	w->request = m->request;
	w->orphan = false;
	int r = begin(k);
	if (r == 0)
		return;
	doctor_free(k);
	answer_failed(k, m->request, -r, strerror(-r));
}

void doctor_orphan(struct keeper *k)
{
	k->doctor.orphan = true;
	work_kill(&k->doctor);
}

void doctor_free(struct keeper *k)
{
	struct doctor_work *w = &k->doctor;
	pid_t pid = w->proc.pid;
	int status;
	if (pid > 0) {
		kill(pid, SIGKILL); /* our own child, not yet reaped: the number is its */
		if (w->proc.pidfd < 0 || proc_reap(&w->proc, &status, NULL) < 0)
			waitpid(pid, &status, 0);
		remove_left(k, pid);
	}
	work_end(w);
}
