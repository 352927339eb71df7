/*
 * A thread that writes "0" to the tasks file of a v1 group moves itself without
 * waiting for an RCU grace period, also after idleness, where a move by pid
 * waits; and it may do so through a descriptor that root opened after it has
 * become somebody else in a user namespace of its own.
 * Leaned on by: host/cgroup (cgroup_join), host/launch.
 */
#include "kernel-test.h"

#include "base/clock.h"
#include "host/cgroup-internal.h"

enum { ROUNDS = 10 };

static struct cgroup cg;

/* Microseconds of joining by oneself, after 50 ms of rest. */
static int64_t join_us(void)
{
	struct cgroup_joint j;
	struct err err = ERR_INIT;
	int answer[2];
	int64_t us;
	CHECK(pipe2(answer, O_CLOEXEC) == 0);
	CHECK(cgroup_joint_open(&cg, &j, &err) == 0);
	usleep(50000);
	pid_t pid = fork();
	if (pid == 0) {
		int64_t begin = clock_mono_ns();
		CHECK(cgroup_join(&j) == 0);
		us = (clock_mono_ns() - begin) / 1000;
		CHECK(write(answer[1], &us, sizeof(us)) == sizeof(us));
		_exit(0);
	}
	reap_ok(pid);
	CHECK(read(answer[0], &us, sizeof(us)) == sizeof(us));
	close(answer[0]);
	close(answer[1]);
	cgroup_joint_close(&j);
	return us;
}

static int64_t move_us(void)
{
	struct err err = ERR_INIT;
	usleep(50000);
	pid_t pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	int64_t begin = clock_mono_ns();
	CHECK(cgroup_attach(&cg, pid, &err) == 0);
	int64_t us = (clock_mono_ns() - begin) / 1000;
	kill(pid, SIGKILL);
	reap(pid);
	return us;
}

static void join_from_userns(void)
{
	struct cgroup_joint j;
	struct err err = ERR_INIT;
	CHECK(cgroup_joint_open(&cg, &j, &err) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		char text[4096];
		enter_userns(100000, 65536);
		CHECK(cgroup_join(&j) == 0);
		int fd = open("/proc/self/cgroup", O_RDONLY);
		ssize_t n = read(fd, text, sizeof(text) - 1);
		CHECK(n > 0);
		text[n] = '\0';
		CHECK(strstr(text, cg.path));
		_exit(0);
	}
	reap_ok(pid);
	cgroup_joint_close(&j);
}

int main(void)
{
	struct cgroup_host h;
	struct err err = ERR_INIT;
	char path[32];

	need_root();
	CHECK(cgroup_host_init(&h, NULL, &err) == 0);
	if (h.mode != CGROUP_HYBRID)
		skip("no v1 controllers here");
	snprintf(path, sizeof(path), "kernel-%d", (int)getpid());
	struct spec s;
	memset(&s, 0, sizeof(s));
	s.cgroup.pids = 64;
	CHECK(cgroup_make(&h, path, &s, &cg, &err) == 0);
	int64_t joined = 0, moved = 0;
	for (int i = 0; i < ROUNDS; i++) {
		joined += join_us();
		moved += move_us();
	}
	fprintf(stderr, "into 2 groups after 50 ms of rest, mean of %d: by oneself %lld us, by pid %lld us\n", ROUNDS,
		(long long)joined / ROUNDS, (long long)moved / ROUNDS);
	CHECK(joined * 3 < moved);
	join_from_userns();
	CHECK(cgroup_remove(&cg, 2000) == 0);
	cgroup_fini(&cg);
	cgroup_host_fini(&h);
	return 0;
}
