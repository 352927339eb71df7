/*
 * What a killed fc-run left. Its sandbox died with it (PR_SET_PDEATHSIG); its
 * group and its temporary directory are removed here, after a later call has
 * ended. Both are named by their owner, process id and time: the owner is gone
 * when there is no such process or it began after that time. A second proof
 * covers owners in pid namespaces that we cannot see: a group that has
 * processes stays, and so does a directory that somebody holds a lock on.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "cmd/invoke.h"
#include "host/proc.h"

void invoke_owner_name(char *buf, size_t size, const char *prefix)
{
	snprintf(buf, size, "%s%d-%" PRIx64, prefix, (int)getpid(), (uint64_t)clock_ns(CLOCK_BOOTTIME));
}

/* "<prefix>PID-TIME[.suffix]": is its owner certainly gone? */
static bool owner_gone(const char *name, const char *prefix)
{
	unsigned long long began;
	char *end;
	if (!str_starts(name, prefix))
		return false;
	const char *p = name + strlen(prefix);
	long pid = strtol(p, &end, 10);
	if (end == p || *end != '-' || pid <= 0 || pid > INT32_MAX)
		return false;
	p = end + 1;
	uint64_t stamp = strtoull(p, &end, 16);
	if (end == p || (*end != '\0' && *end != '.'))
		return false;
	int r = proc_start_time((pid_t)pid, &began);
	if (r < 0)
		return r == -ENOENT || r == -ESRCH;
	uint64_t tick_ns = 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);
	return began * tick_ns > stamp + tick_ns; /* the id was given again since */
}

static bool is_stale(const char *path, void *arg)
{
	const struct cgroup_host *h = arg;
	struct cgroup cg = CGROUP_INIT;
	bool populated = true;
	if (!owner_gone(path, INVOKE_GROUP_PREFIX))
		return false;
	if (cgroup_open(h, path, &cg, NULL) < 0 || cgroup_populated(&cg, &populated) < 0)
		populated = true;
	cgroup_fini(&cg);
	return !populated;
}

/* One look at one directory, since nearly always there is nothing: a group's v2 directory is made first and removed last. */
static bool any_stale(const struct cgroup_host *h)
{
	bool found = false;
	int fd = openat(h->v2_fd, h->top ? "." : CGROUP_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autodir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	for (struct dirent *e; !found && (e = readdir(d));)
		found = owner_gone(e->d_name, INVOKE_GROUP_PREFIX);
	return found;
}

/* A directory of ours whose lock nobody holds. */
static void sweep_temp(int parent, const char *name)
{
	struct stat st;
	autoclose int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid() || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return;
	fd_remove_tree_at(parent, name);
}

/* Also when this call had none itself: the killed one's next call may be on a directory. */
static void sweep_temps(void)
{
	int fd = open(invoke_temp_parent(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autodir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (struct dirent *e; (e = readdir(d));)
		if (owner_gone(e->d_name, INVOKE_TEMP_PREFIX))
			sweep_temp(fd, e->d_name);
}

void invoke_sweep(struct invoke *v)
{
	struct err err = ERR_INIT;
	if (v->limited && any_stale(&v->host) && cgroup_sweep(&v->host, is_stale, &v->host, &err) < 0)
		fprintf(stderr, "fc-run: note: %s, ignoring\n", err.text);
	sweep_temps();
}
