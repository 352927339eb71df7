/*
 * /proc, /sys and the processes that can be seen: PID 1 inside is fc-sandbox,
 * which has our user id and must be out of reach all the same.
 */
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void write_to(struct result *r, const void *arg) { judge_open(r, arg, O_WRONLY); }
static void read_of(struct result *r, const void *arg) { judge_open(r, arg, O_RDONLY); }

/* An open that works may still read nothing (the check of /proc/PID/maps is made then, too). */
static void bytes_of(struct result *r, const void *arg)
{
	char text[256];
	int fd = open(arg, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	if (n > 0)
		is_open(r, "%s gave %zd bytes", (const char *)arg, n);
	else
		held(r, "%s", n < 0 ? strerrorname_np(errno) : "empty");
	if (fd >= 0)
		close(fd);
}

static void link_of(struct result *r, const void *arg)
{
	char text[256];
	ssize_t n = readlink(arg, text, sizeof(text) - 1);
	if (n >= 0)
		is_open(r, "%s is %.*s", (const char *)arg, (int)n, text);
	else
		held(r, "%s", strerrorname_np(errno));
}

static void listing_of(struct result *r, const void *arg)
{
	DIR *d = opendir(arg);
	if (!d) {
		held(r, "%s", strerrorname_np(errno));
		return;
	}
	is_open(r, "%s can be listed", (const char *)arg);
	closedir(d);
}

static void is_absent(struct result *r, const void *arg)
{
	struct stat st;
	if (lstat(arg, &st) == 0)
		is_open(r, "%s is there", (const char *)arg);
	else
		held(r, "%s", strerrorname_np(errno));
}

/* Every process seen is PID 1 or one of the probe's own. */
static void other_processes(struct result *r, const void *arg)
{
	(void)arg;
	char path[64], name[64], mine[64] = "";
	int seen = 0;
	DIR *d = opendir("/proc");
	slurp("/proc/self/comm", mine, sizeof(mine));
	for (struct dirent *e; d && (e = readdir(d));) {
		int pid = atoi(e->d_name);
		if (pid <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		if (slurp(path, name, sizeof(name)) < 0)
			continue;
		seen++;
		if (strcmp(name, pid == 1 ? "fc-sandbox\n" : mine) != 0) {
			is_open(r, "process %d is %s", pid, name);
			closedir(d);
			return;
		}
	}
	if (d)
		closedir(d);
	(seen >= 2 && seen <= 4 ? held : is_open)(r, "%d processes, PID 1 and our own", seen);
}

/* Signals from inside: those that end are dropped or passed on to the payload, PID 1 stays. */
static void pid1_kill(struct result *r, const void *arg)
{
	static const int signals[] = { SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGTERM, SIGTRAP, SIGSYS, SIGABRT };
	char name[64];
	(void)arg;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (kill(1, signals[i]) < 0 && errno != EPERM) {
			is_open(r, "kill: %s", strerrorname_np(errno));
			return;
		}
	char status[4096];
	bool there = slurp("/proc/1/comm", name, sizeof(name)) > 0 && slurp("/proc/1/status", status, sizeof(status)) > 0;
	bool stopped = there && strstr(status, "State:\tT");
	(there && !stopped ? held : is_open)(r, "PID 1 is %s", !there ? "gone" : stopped ? "stopped" : "alive");
}

static void kill_outside(struct result *r, const void *arg)
{
	(void)arg;
	long pid = setting("PROBE_HOST_PID");
	if (pid < 0) {
		skip(r, "PROBE_HOST_PID is not set");
		return;
	}
	int ret = kill((pid_t)pid, 0);
	judge(r, ret, errno, (const int[]){ ESRCH, 0 });
}

static void own_cgroup(struct result *r, const void *arg)
{
	(void)arg;
	char text[4096], *save;
	if (slurp("/proc/self/cgroup", text, sizeof(text)) <= 0) {
		held(r, "/proc/self/cgroup is empty");
		return;
	}
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *path = strrchr(line, ':');
		if (path && strstr(path, "fcnode")) {
			is_open(r, "%s", line);
			return;
		}
	}
	held(r, "our own group is shown as the root");
}

/* kptr_restrict apart, addresses are for who has CAP_SYSLOG: others read zeros. */
static void kernel_addresses(struct result *r, const void *arg)
{
	(void)arg;
	FILE *f = fopen("/proc/kallsyms", "re");
	unsigned long long address;
	long seen = 0;
	if (!f) {
		held(r, "%s", strerrorname_np(errno));
		return;
	}
	while (fscanf(f, "%llx %*[^\n]", &address) == 1 && address == 0)
		seen++;
	if (feof(f))
		held(r, "%ld symbols, every address 0", seen);
	else
		is_open(r, "a symbol is at %llx", address);
	fclose(f);
}

/* ---- what of /proc can be read or written, file by file ---- */

struct walk {
	int flags;
	long files, hits;
	const char *list; /* patterns of what may be, one a line */
	char unknown[300];
};

static bool known(const char *list, const char *path)
{
	char pattern[128];
	for (const char *p = list; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
		size_t n = strcspn(p, " \t\n");
		if (n == 0 || *p == '#' || n >= sizeof(pattern))
			continue;
		memcpy(pattern, p, n);
		pattern[n] = '\0';
		if (fnmatch(pattern, path, FNM_PATHNAME | FNM_LEADING_DIR) == 0)
			return true;
	}
	return false;
}

static void visit(struct walk *w, const char *path)
{
	char byte;
	int fd = open(path, w->flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
	w->files++;
	if (fd < 0)
		return;
	bool hit = w->flags != O_RDONLY || read(fd, &byte, 1) == 1;
	close(fd);
	if (!hit)
		return;
	w->hits++;
	if (known(w->list, path + strlen("/proc/")))
		return;
	size_t n = strlen(w->unknown);
	snprintf(w->unknown + n, sizeof(w->unknown) - n, "%s ", path);
}

static void walk_dir(struct walk *w, const char *dir, int depth)
{
	char path[512];
	DIR *d = depth < 8 ? opendir(dir) : NULL;
	for (struct dirent *e; d && (e = readdir(d));) {
		struct stat st;
		if (e->d_name[0] == '.' || (depth == 0 && atoi(e->d_name) > 0))
			continue;
		if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) >= sizeof(path) || lstat(path, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode))
			walk_dir(w, path, depth + 1);
		else if (S_ISREG(st.st_mode))
			visit(w, path);
	}
	if (d)
		closedir(d);
}

static void proc_writable(struct result *r, const void *arg)
{
	struct walk w = { .flags = O_WRONLY, .list = NULL };
	walk_dir(&w, arg, 0);
	if (w.hits > 0)
		is_open(r, "%ld of %ld open for writing: %s", w.hits, w.files, w.unknown);
	else
		(w.files > 100 ? held : is_open)(r, "none of %ld files", w.files);
}

/* The list comes as the event: tests/sandbox/proc-readable, which says what each tells. */
static void proc_readable(struct result *r, const void *arg)
{
	if (!strchr(event, '\n')) {
		skip(r, "no list came as the event");
		return;
	}
	struct walk w = { .flags = O_RDONLY, .list = event };
	walk_dir(&w, arg, 0);
	if (w.unknown[0])
		is_open(r, "not in the documented list: %s", w.unknown);
	else
		(w.hits > 10 ? held : is_open)(r, "%ld of %ld files can be read, each in the documented list", w.hits, w.files);
}

#define WRITES(X)                                                    \
	X(core_pattern, "/proc/sys/kernel/core_pattern")             \
	X(modprobe_path, "/proc/sys/kernel/modprobe")                \
	X(hotplug_path, "/proc/sys/kernel/hotplug")                  \
	X(sys_hostname, "/proc/sys/kernel/hostname")                 \
	X(sys_vm, "/proc/sys/vm/drop_caches")                        \
	X(sys_net, "/proc/sys/net/ipv4/ip_forward")                  \
	X(sys_ns_last_pid, "/proc/sys/kernel/ns_last_pid")           \
	X(sys_binfmt, "/proc/sys/fs/binfmt_misc/register")           \
	X(sysrq_trigger, "/proc/sysrq-trigger")                      \
	X(oom_score_adj, "/proc/self/oom_score_adj")                 \
	X(uid_map, "/proc/self/uid_map")                             \
	X(setgroups_file, "/proc/self/setgroups")                    \
	X(timens_offsets, "/proc/self/timens_offsets")               \
	X(attr_current, "/proc/self/attr/current")                   \
	X(pid1_oom_score_adj, "/proc/1/oom_score_adj")               \
	X(pid1_mem_write, "/proc/1/mem")                             \
	X(own_program, "/proc/self/exe")                             \
	X(pid1_program_write, "/proc/1/exe")                         \
	X(sys_uevent_helper, "/sys/kernel/uevent_helper")            \
	X(release_agent, "/sys/fs/cgroup/memory/release_agent")      \
	X(kmsg_write, "/dev/kmsg")

const struct probe probes_proc[] = {
#define X(id, path) { #id, write_to, path, false },
	WRITES(X)
#undef X
	{ "kmsg", bytes_of, "/proc/kmsg", false },
	{ "dev_kmsg", read_of, "/dev/kmsg", false },
	{ "kcore", read_of, "/proc/kcore", false },
	{ "pid1_mem", read_of, "/proc/1/mem", false },
	{ "pid1_environ", bytes_of, "/proc/1/environ", false },
	{ "pid1_maps", bytes_of, "/proc/1/maps", false },
	{ "pid1_auxv", bytes_of, "/proc/1/auxv", false },
	{ "pid1_stack", bytes_of, "/proc/1/stack", false },
	{ "pid1_fds", listing_of, "/proc/1/fd", false },
	{ "pid1_map_files", listing_of, "/proc/1/map_files", false },
	{ "pid1_root", link_of, "/proc/1/root", false },
	{ "pid1_cwd", link_of, "/proc/1/cwd", false },
	{ "pid1_program", link_of, "/proc/1/exe", false },
	{ "pid1_namespaces", link_of, "/proc/1/ns/mnt", false },
	{ "pid1_kill", pid1_kill, NULL, false },
	{ "other_processes", other_processes, NULL, false },
	{ "kill_outside", kill_outside, NULL, false },
	{ "sysfs", is_absent, "/sys/kernel", false },
	{ "cgroupfs", is_absent, "/sys/fs/cgroup", false },
	{ "debugfs", is_absent, "/sys/kernel/debug", false },
	{ "run_dir", is_absent, "/run/fcnode", false },
	{ "own_cgroup", own_cgroup, NULL, false },
	{ "kernel_addresses", kernel_addresses, NULL, false },
	{ "proc_writable", proc_writable, "/proc", false },
	{ "proc_readable", proc_readable, "/proc", false },
	{ NULL, NULL, NULL, false },
};
