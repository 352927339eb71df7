/* What the process itself is: ids, capabilities, descriptors, environment, limits that are set at its start. */
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/random.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

extern char **environ;

static const int denied[] = { EPERM, EACCES, EINVAL, 0 };

static void ids(struct result *r, const void *arg)
{
	(void)arg;
	uid_t u[3];
	gid_t g[3], groups[8];
	getresuid(&u[0], &u[1], &u[2]);
	getresgid(&g[0], &g[1], &g[2]);
	int n = getgroups(8, groups);
	/* an ordinary user's launcher cannot drop its groups: they show as one unmapped id (user_namespaces(7)) */
	bool foreign = false;
	for (int i = 0; i < n; i++)
		foreign |= groups[i] != 65534 && groups[i] != 1000;
	bool right = u[0] == 1000 && u[1] == 1000 && u[2] == 1000 && g[0] == 1000 && g[1] == 1000 && g[2] == 1000;
	(right && !foreign && n >= 0 ? held : is_open)(r, "uid %u %u %u gid %u %u %u, %d groups", u[0], u[1], u[2], g[0], g[1],
						       g[2], n);
}

/* Each of the ways to become 0, in every id. */
static void become_root(struct result *r, const void *arg)
{
	(void)arg;
	int tries[] = {
		setuid(0), setgid(0), setreuid(0, 0), setregid(0, 0), setresuid(0, 0, 0), setresgid(0, 0, 0), setgroups(1, &(gid_t){ 0 }),
		setresuid((uid_t)-1, 0, (uid_t)-1), setresgid((gid_t)-1, 0, (gid_t)-1),
	};
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++)
		if (tries[i] == 0) {
			is_open(r, "way %zu worked", i);
			return;
		}
	setfsuid(0); /* tells nothing; what it did is in status */
	char status[4096];
	if (slurp("/proc/self/status", status, sizeof(status)) < 0)
		is_open(r, "/proc/self/status cannot be read");
	else
		(strstr(status, "\nUid:\t1000\t1000\t1000\t1000\n") ? held : is_open)(r, "none worked");
}

static void capabilities(struct result *r, const void *arg)
{
	(void)arg;
	static const char *const sets[] = { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb" };
	char status[4096];
	if (slurp("/proc/self/status", status, sizeof(status)) < 0) {
		is_open(r, "/proc/self/status cannot be read");
		return;
	}
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		const char *at = strstr(status, sets[i]);
		if (!at || strtoull(at + 8, NULL, 16) != 0) {
			is_open(r, "%.24s", at ? at : sets[i]);
			return;
		}
	}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21, 0, 0) == 0)
		is_open(r, "an ambient capability could be raised");
	else
		held(r, "none in any of five sets");
}

static void no_new_privs(struct result *r, const void *arg)
{
	(void)arg;
	int n = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), s = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
	(n == 1 && s == 2 ? held : is_open)(r, "no_new_privs %d, seccomp mode %d", n, s);
}

/* A copy of this program that is root's and set-user-id lies beside the code: what it becomes when we run it. */
static void setuid_program(struct result *r, const void *arg)
{
	(void)arg;
	int out[2], status = 0;
	char text[128] = "";
	if (access("/code/setuid-probe", X_OK) < 0 || pipe(out) < 0) {
		skip(r, "/code/setuid-probe: %s", strerrorname_np(errno));
		return;
	}
	pid_t pid = fork();
	if (pid == 0) {
		dup2(out[1], 1);
		execle("/code/setuid-probe", "setuid-probe", (char *)NULL, (char *[]){ (char *)(uintptr_t)"PROBE=secure", NULL });
		_exit(127);
	}
	close(out[1]);
	ssize_t n = read(out[0], text, sizeof(text) - 1);
	waitpid(pid, &status, 0);
	bool same = n > 0 && strcmp(text, "uid 1000 1000 gid 1000 1000 secure 0\n") == 0;
	(same ? held : is_open)(r, "%s", n > 0 ? text : "it did not run");
}

/* What was open when we started: noted before the probe makes descriptors of its own. */
static int pipes_at_start, others_at_start;
static char other_at_start[160];

void note_descriptors(void)
{
	char link[100], path[300];
	DIR *d = opendir("/proc/self/fd");
	for (struct dirent *e; d && (e = readdir(d));) {
		int fd = atoi(e->d_name);
		if (e->d_name[0] == '.' || fd == dirfd(d))
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		ssize_t n = readlink(path, link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = '\0';
		if (fd <= 2 && strncmp(link, "pipe:", 5) == 0) {
			pipes_at_start++;
			continue;
		}
		others_at_start++;
		snprintf(other_at_start, sizeof(other_at_start), "descriptor %d is %s", fd, link);
	}
	if (d)
		closedir(d);
}

static void descriptors(struct result *r, const void *arg)
{
	(void)arg;
	if (pipes_at_start == 3 && others_at_start == 0)
		held(r, "three pipes and nothing else");
	else
		is_open(r, "%d pipes, %d others: %s", pipes_at_start, others_at_start, other_at_start);
}

static void environment(struct result *r, const void *arg)
{
	static const char *const ours[] = { "FC_", "PROBE", "HOME=/tmp", "LANG=", "PATH=", "TZ=" };
	(void)arg;
	int n = 0;
	for (char **e = environ; *e; e++, n++) {
		bool known = false;
		for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
			known |= strncmp(*e, ours[i], strlen(ours[i])) == 0;
		if (!known) {
			is_open(r, "%.80s", *e);
			return;
		}
	}
	held(r, "%d variables, all set by fcnode or the call", n);
}

/* No terminal: the payload leads a session without one, and characters cannot be pushed into any. */
static void terminal(struct result *r, const void *arg)
{
	(void)arg;
	char c = '\n';
	judge_open(r, "/dev/tty", O_RDWR);
	if (r->verdict != HELD)
		return;
	for (int fd = 0; fd < 3; fd++)
		if (ioctl(fd, TIOCSTI, &c) == 0 || errno != EPERM || syscall(SYS_ioctl, fd, 0x100000000 | TIOCSTI, &c) == 0 ||
		    errno != EPERM) {
			is_open(r, "TIOCSTI on %d: %s", fd, strerrorname_np(errno));
			return;
		}
	held(r, "/dev/tty ENXIO, TIOCSTI EPERM");
}

static void rlimits(struct result *r, const void *arg)
{
	(void)arg;
	struct rlimit nofile, core, nproc;
	getrlimit(RLIMIT_NOFILE, &nofile);
	getrlimit(RLIMIT_CORE, &core);
	getrlimit(RLIMIT_NPROC, &nproc);
	long pids = setting("PROBE_PIDS");
	bool right = nofile.rlim_cur == 1024 && nofile.rlim_max == 4096 && core.rlim_cur <= 1 && core.rlim_max <= 1 &&
		     (pids < 0 || nproc.rlim_max == (rlim_t)pids);
	struct rlimit more = { nofile.rlim_max + 1, nofile.rlim_max + 1 };
	if (setrlimit(RLIMIT_NOFILE, &more) == 0)
		right = false;
	more = (struct rlimit){ 2, 2 };
	if (setrlimit(RLIMIT_CORE, &more) == 0)
		right = false;
	(right ? held : is_open)(r, "open files %lu/%lu, core %lu, processes %ld", nofile.rlim_cur, nofile.rlim_max, core.rlim_max,
				 (long)nproc.rlim_max);
}

static void priority(struct result *r, const void *arg)
{
	(void)arg;
	struct sched_param fifo = { .sched_priority = 1 };
	long tries[] = {
		sched_setscheduler(0, SCHED_FIFO, &fifo), setpriority(PRIO_PROCESS, 0, -5),
		syscall(SYS_ioprio_set, 1, 0, 1 << 13 /* real time, 0 */),
	};
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++)
		if (tries[i] == 0) {
			is_open(r, "way %zu worked", i);
			return;
		}
	held(r, "no real-time class, no raise, no real-time input and output");
}

static void random_state(struct result *r, const void *arg)
{
	(void)arg;
	int count = 8, fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		is_open(r, "/dev/urandom: %s", strerrorname_np(errno));
		return;
	}
	JUDGE(r, ioctl(fd, RNDADDTOENTCNT, &count), denied);
	if (r->verdict == HELD)
		JUDGE(r, ioctl(fd, RNDCLEARPOOL), denied);
	close(fd);
}

const struct probe probes_self[] = {
	{ "ids", ids, NULL, false },
	{ "become_root", become_root, NULL, false },
	{ "capabilities", capabilities, NULL, false },
	{ "no_new_privs", no_new_privs, NULL, false },
	{ "setuid_program", setuid_program, NULL, false },
	{ "descriptors", descriptors, NULL, false },
	{ "environment", environment, NULL, false },
	{ "terminal", terminal, NULL, false },
	{ "rlimits", rlimits, NULL, false },
	{ "priority", priority, NULL, false },
	{ "random_state", random_state, NULL, false },
	{ NULL, NULL, NULL, false },
};
