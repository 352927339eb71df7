/*
 * cgroup-life - what happens to a group that lives: kill, freeze, counters,
 * removal, and the search for leftovers.
 *
 * Waiting is always poll(2) on cgroup.events of the v2 directory, never a
 * sleep. The kernel sends at most one such event per 10 ms
 * (CGROUP_FILE_NOTIFY_MIN_INTV), so a state is looked at before it is waited for.
 */
#include "host/cgroup-internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"

enum {
	PROCS_MAX = 4 << 20,  /* bytes of cgroup.procs that are read */
	EAGER_READS = 32,     /* looks at cgroup.events before waiting for an event */
	KILL_ROUNDS = 64,     /* of the loop that stands in for cgroup.kill */
};

/* ---- parsers ---------------------------------------------------------- */

bool cgroup_stat_get(const char *text, const char *key, uint64_t *ret)
{
	size_t len = strlen(key);
	for (const char *p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		if (strncmp(p, key, len) != 0 || p[len] != ' ')
			continue;
		char *end;
		unsigned long long v = strtoull(p + len + 1, &end, 10);
		if (end == p + len + 1)
			return false;
		*ret = v;
		return true;
	}
	return false;
}

uint64_t cgroup_keyed_sum(const char *text, const char *key)
{
	uint64_t sum = 0;
	size_t len = strlen(key);
	for (const char *p = text; (p = strstr(p, key)); p += len)
		if (p[len] == '=' && (p == text || p[-1] == ' ' || p[-1] == '\n'))
			sum += strtoull(p + len + 1, NULL, 10);
	return sum;
}

/* "8:0 Read 4096"; the last line, "Total 8192", has no device and is left out. */
uint64_t cgroup_blkio_sum(const char *text, const char *key)
{
	uint64_t sum = 0;
	for (const char *p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		char name[32];
		unsigned long long v;
		if (sscanf(p, "%*u:%*u %31s %llu", name, &v) == 2 && strcmp(name, key) == 0)
			sum += v;
	}
	return sum;
}

/* ---- events ----------------------------------------------------------- */

int cgroup_events_fd(const struct cgroup *cg)
{
	int fd = openat(cg->v2_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int events_read(int fd, const char *key, bool *ret)
{
	char text[256];
	uint64_t v;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	if (!cgroup_stat_get(text, key, &v))
		return -EPROTO;
	*ret = v != 0;
	return 0;
}

int cgroup_events_populated(int events_fd, bool *ret) { return events_read(events_fd, "populated", ret); }

int cgroup_populated(const struct cgroup *cg, bool *ret)
{
	autoclose int fd = cgroup_events_fd(cg);
	return fd < 0 ? fd : cgroup_events_populated(fd, ret);
}

/* Wait until key has this value: 0, -ETIMEDOUT, or -errno. */
static int events_wait(const struct cgroup *cg, const char *key, bool want, int timeout_ms)
{
	autoclose int fd = cgroup_events_fd(cg);
	if (fd < 0)
		return fd;
	int64_t deadline = clock_mono_ns() + (int64_t)timeout_ms * 1000000;
	for (int i = 0;; i++) {
		bool is = false;
		int r = events_read(fd, key, &is);
		if (r < 0 || is == want)
			return r;
		if (i < EAGER_READS && timeout_ms > 0) {
			sched_yield();
			continue;
		}
		int64_t left = (deadline - clock_mono_ns() + 999999) / 1000000;
		if (left <= 0)
			return -ETIMEDOUT;
		struct pollfd p = { .fd = fd, .events = POLLPRI };
		if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
			return -errno;
	}
}

/* ---- processes -------------------------------------------------------- */

static ssize_t parse_pids(char *text, pid_t *pids, size_t max)
{
	size_t n = 0;
	for (char *p = text, *end; *p; p = *end ? end + 1 : end) {
		long v = strtol(p, &end, 10);
		if (end == p)
			break;
		if (v > 0 && n < max)
			pids[n] = (pid_t)v;
		n += v > 0; /* 0: a process of another pid namespace */
	}
	return (ssize_t)n;
}

static int read_procs(int dirfd, const char *rel, struct buf *b)
{
	autoclose int fd = openat(dirfd, rel, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	buf_reset(b);
	int r = buf_read_fd(b, fd);
	return r < 0 ? r : buf_puts(b, "");
}

ssize_t cgroup_pids(const struct cgroup *cg, pid_t *pids, size_t max)
{
	autobuf struct buf b = BUF_INIT(PROCS_MAX);
	int r = read_procs(cg->v2_fd, "cgroup.procs", &b);
	if (r < 0)
		return r;
	return b.data ? parse_pids(b.data, pids, max) : 0;
}

ssize_t cgroup_v1_pids(const struct cgroup *cg, int c, pid_t *pids, size_t max)
{
	autobuf struct buf b = BUF_INIT(PROCS_MAX);
	char rel[CGROUP_REL_MAX];
	cgroup_rel(cg->host, rel, cg->path, "cgroup.procs");
	int r = read_procs(cg->host->v1_fd[c], rel, &b);
	if (r < 0)
		return r;
	return b.data ? parse_pids(b.data, pids, max) : 0;
}

/*
 * One signal to each process of one directory. A pid may be recycled between
 * reading and signalling, so it is held by a pidfd and looked up a second time.
 */
static int signal_round(int dirfd, const char *rel, int sig)
{
	autobuf struct buf b = BUF_INIT(PROCS_MAX), again = BUF_INIT(PROCS_MAX);
	int r = read_procs(dirfd, rel, &b), sent = 0;
	if (r < 0 || !b.data)
		return r;
	for (char *p = b.data, *end; *p; p = *end ? end + 1 : end) {
		long pid = strtol(p, &end, 10);
		if (end == p)
			break;
		autoclose int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
		if (fd < 0)
			continue;
		char line[32], head[34];
		snprintf(line, sizeof(line), "\n%ld\n", pid);
		snprintf(head, sizeof(head), "%s", line + 1);
		r = read_procs(dirfd, rel, &again);
		if (r < 0)
			return r;
		if (!again.data || (!str_starts(again.data, head) && !strstr(again.data, line)))
			continue;
		if (syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0) == 0)
			sent++;
		else if (errno != ESRCH)
			return -errno;
	}
	return sent;
}

int cgroup_signal(const struct cgroup *cg, int sig)
{
	int r = signal_round(cg->v2_fd, "cgroup.procs", sig);
	return r < 0 ? r : 0;
}

int cgroup_kill(const struct cgroup *cg)
{
	int r = fd_write_file_at(cg->v2_fd, "cgroup.kill", "1");
	if (r != -ENOENT)
		return r;
	/* a threaded group has no cgroup.kill; a fork may outrun one round, not the pids that are left after many */
	for (int i = 0; i < KILL_ROUNDS; i++) {
		r = signal_round(cg->v2_fd, "cgroup.procs", SIGKILL);
		if (r <= 0)
			return r;
	}
	return -EBUSY;
}

int cgroup_freeze(const struct cgroup *cg, bool frozen, int timeout_ms, struct err *err)
{
	int r = fd_write_file_at(cg->v2_fd, "cgroup.freeze", frozen ? "1" : "0");
	if (r < 0)
		return err_set(err, -r, "%s the group %s/%s", frozen ? "freeze" : "thaw", cg->host->v2_path, cg->path);
	r = events_wait(cg, "frozen", frozen, timeout_ms);
	if (r == 0)
		return 0;
	if (frozen)
		fd_write_file_at(cg->v2_fd, "cgroup.freeze", "0");
	err_set(err, -r, "wait %d ms for the group %s/%s to be %s", timeout_ms, cg->host->v2_path, cg->path,
		frozen ? "frozen" : "thawed");
	return r == -ETIMEDOUT && frozen ?
		       err_hint(err, "a process in it sits in an uninterruptible system call (ps shows state D)") :
		       r;
}

/* ---- counters --------------------------------------------------------- */

int cgroup_usage(const struct cgroup *cg, struct cgroup_usage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (cg->v2_fd < 0)
		return -EBADF;
	if (cg->host->mode == CGROUP_HYBRID)
		cgroup_hybrid_usage(cg, ret);
	else
		cgroup_unified_usage(cg->v2_fd, ret);
	return 0;
}

static uint64_t oom_count(const struct cgroup_host *h, const char *path)
{
	return h->mode == CGROUP_UNIFIED ? cgroup_unified_oom_count(h, path) : cgroup_hybrid_oom_count(h, path);
}

/* first: the level to begin with; a fresh leaf's counter is known to be 0. */
static void oom_read(const struct cgroup *cg, int first, struct cgroup_oom_mark *m)
{
	char path[CGROUP_PATH_MAX];
	str_copy(path, sizeof(path), cg->path);
	memset(m, 0, sizeof(*m));
	do {
		if (m->levels >= first)
			m->count[m->levels] = oom_count(cg->host, path);
		m->levels++;
	} while (m->levels < CGROUP_LEVELS_MAX && cgroup_path_up(path));
	m->above = cg->host->mode == CGROUP_UNIFIED ? cgroup_unified_oom_above(cg->host) : cgroup_hybrid_oom_count(cg->host, "");
}

void cgroup_oom_mark(const struct cgroup *cg, struct cgroup_oom_mark *mark) { oom_read(cg, 1, mark); }

/*
 * The innermost level whose counter moved. On v2 that is exact: "oom" is counted
 * where the limit was hit. v1's failcnt also counts limits that reclaim could
 * satisfy, so when the leaf and a level above both moved the leaf is named,
 * although the one above may have caused it.
 */
int cgroup_oom_blame(const uint64_t *before, const uint64_t *after, int levels, uint64_t kills)
{
	if (kills == 0)
		return CGROUP_OOM_NONE;
	for (int i = 0; i < levels; i++)
		if (after[i] > before[i])
			return i;
	return CGROUP_OOM_HOST;
}

int cgroup_oom_level(const struct cgroup *cg, const struct cgroup_oom_mark *before)
{
	struct cgroup_usage u;
	struct cgroup_oom_mark now;
	if (cgroup_usage(cg, &u) < 0 || !u.have_oom || u.oom_kills == 0)
		return CGROUP_OOM_NONE;
	oom_read(cg, 0, &now);
	int level = cgroup_oom_blame(before->count, now.count, now.levels, u.oom_kills);
	if (level != CGROUP_OOM_HOST)
		return level;
	char path[CGROUP_PATH_MAX];
	str_copy(path, sizeof(path), cg->path);
	for (int i = 0; i < now.levels && cg->host->mode == CGROUP_HYBRID; i++, cgroup_path_up(path))
		if (cgroup_hybrid_at_limit(cg->host, path))
			return i;
	return now.above > before->above ? CGROUP_OOM_ABOVE : CGROUP_OOM_HOST;
}

/* ---- removal ---------------------------------------------------------- */

/* rmdir with the groups that a process inside may have made (a delegated container). */
static int remove_dir(int fd, const char *rel)
{
	if (unlinkat(fd, rel, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY && errno != ENOTEMPTY)
		return -errno;
	int sub = openat(fd, rel, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (sub < 0)
		return errno == ENOENT ? 0 : -errno;
	autodir DIR *dir = fdopendir(sub);
	if (!dir) {
		close(sub);
		return -ENOMEM;
	}
	for (struct dirent *e; (e = readdir(dir));)
		if (e->d_type == DT_DIR && strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			remove_dir(sub, e->d_name);
	return unlinkat(fd, rel, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

/* Wait, by pidfd, until one of the processes that keep a v1 directory busy is gone. */
static int wait_stray(const struct cgroup_host *h, int fd, const char *path, int64_t deadline)
{
	char rel[CGROUP_REL_MAX], text[4096];
	pid_t pid = 0;

	cgroup_rel(h, rel, path, "cgroup.procs");
	ssize_t n = fd_read_file_at(fd, rel, text, sizeof(text));
	if (n < 0 && n != -EMSGSIZE)
		return (int)n;
	text[sizeof(text) - 1] = '\0';
	signal_round(fd, rel, SIGKILL);
	if (n == 0 || parse_pids(text, &pid, 1) == 0)
		return -EBUSY;
	autoclose int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return errno == ESRCH ? 0 : -errno;
	int64_t left = (deadline - clock_mono_ns() + 999999) / 1000000;
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	if (left <= 0 || poll(&p, 1, (int)left) == 0)
		return -ETIMEDOUT;
	return 0;
}

static int remove_one(const struct cgroup_host *h, int fd, const char *path, int64_t deadline)
{
	char rel[CGROUP_REL_MAX];
	cgroup_rel(h, rel, path, "");
	int r;
	while ((r = remove_dir(fd, rel)) == -EBUSY) {
		r = wait_stray(h, fd, path, deadline);
		if (r < 0)
			return r;
	}
	if (r == 0)
		cgroup_remove_above(h, fd, path);
	return r;
}

int cgroup_remove(struct cgroup *cg, int timeout_ms)
{
	const struct cgroup_host *h = cg->host;
	int64_t deadline = clock_mono_ns() + (int64_t)timeout_ms * 1000000;
	int result = 0;

	if (!h || !cg->path[0])
		return 0;
	if (cg->v2_fd >= 0 && events_wait(cg, "populated", false, timeout_ms) == -ETIMEDOUT)
		return -EBUSY;
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		if (!(cg->v1_made & (1u << c)) || h->v1_first[c] != c)
			continue;
		int r = remove_one(h, h->v1_fd[c], cg->path, deadline);
		if (r < 0)
			result = r;
	}
	/* the v2 directory last: as long as it is there, a sweep finds the group */
	if (result == 0)
		result = remove_one(h, h->v2_fd, cg->path, deadline);
	return result;
}
