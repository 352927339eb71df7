/* Limits that bite while the program runs. What kills the whole sandbox is tested by tests/sandbox/invoke.sh. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 5000 };

/* Children that wait, until no more can be made. */
static void fork_bomb(struct result *r, const void *arg)
{
	(void)arg;
	static pid_t pids[MOST];
	long limit = setting("PROBE_PIDS"), made = 0;
	int err = 0;
	if (limit < 0) {
		skip(r, "PROBE_PIDS is not set");
		return;
	}
	while (made < MOST) {
		pid_t pid = fork();
		if (pid == 0) {
			for (;;)
				pause();
		}
		if (pid < 0) {
			err = errno;
			break;
		}
		pids[made++] = pid;
	}
	for (long i = 0; i < made; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	(err == EAGAIN && made < limit ? held : is_open)(r, "%s after %ld, the limit is %ld", err ? strerrorname_np(err) : "no end", made,
							 limit);
}

static void *wait_for_ever(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void thread_bomb(struct result *r, const void *arg)
{
	(void)arg;
	long limit = setting("PROBE_PIDS"), made = 0;
	int err = 0;
	if (limit < 0) {
		skip(r, "PROBE_PIDS is not set");
		return;
	}
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (pthread_t t; made < MOST && (err = pthread_create(&t, &attr, wait_for_ever, NULL)) == 0;)
		made++;
	(err == EAGAIN && made < limit ? held : is_open)(r, "%s after %ld, the limit is %ld", err ? strerrorname_np(err) : "no end", made,
							 limit);
}

static void open_files(struct result *r, const void *arg)
{
	(void)arg;
	struct rlimit most;
	getrlimit(RLIMIT_NOFILE, &most);
	most.rlim_cur = most.rlim_max;
	setrlimit(RLIMIT_NOFILE, &most);
	long made = 0;
	while (made < 20000 && open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0)
		made++;
	(errno == EMFILE && made < 4096 ? held : is_open)(r, "%s after %ld", strerrorname_np(errno), made);
}

/* A core file of a crash: none is written, wherever core_pattern points. */
static void core_file(struct result *r, const void *arg)
{
	(void)arg;
	int status = 0;
	if (chdir("/tmp") < 0) {
		is_open(r, "/tmp: %s", strerrorname_np(errno));
		return;
	}
	pid_t pid = fork();
	if (pid == 0) {
		signal(SIGQUIT, SIG_DFL);
		raise(SIGQUIT);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	bool dumped = WIFSIGNALED(status) && WCOREDUMP(status);
	(WIFSIGNALED(status) && !dumped ? held : is_open)(r, "%s", dumped ? "a core was dumped" : "no core");
}

static void locked_memory(struct result *r, const void *arg)
{
	(void)arg;
	struct rlimit lock;
	getrlimit(RLIMIT_MEMLOCK, &lock);
	size_t size = 64 << 20;
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int ret = mlock(p, size);
	judge(r, ret, errno, (const int[]){ ENOMEM, EPERM, EAGAIN, 0 });
}

const struct probe probes_limits[] = {
	{ "fork_bomb", fork_bomb, NULL, false },
	{ "thread_bomb", thread_bomb, NULL, false },
	{ "open_files", open_files, NULL, false },
	{ "core_file", core_file, NULL, false },
	{ "locked_memory", locked_memory, NULL, false },
	{ NULL, NULL, NULL, false },
};
