/*
 * A process can be cloned straight into a v2 group that has no controller at
 * all, by an O_PATH descriptor, and the group's cpu.stat counts it all the same.
 * Once PID 1 of a pid namespace in it is reaped, the group is empty at once.
 * Leaned on by: host/cgroup (hybrid mode, cgroup_remove without waiting), host/launch.
 */
#include "kernel-test.h"

#include <linux/sched.h>
#include <time.h>

#include "host/cgroup-internal.h"

static void burn(void)
{
	struct timespec ts;
	do
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	while (ts.tv_sec == 0 && ts.tv_nsec < 20000000);
}

int main(void)
{
	struct cgroup_host h;
	struct cgroup cg;
	struct cgroup_usage u;
	struct err err = ERR_INIT;
	char path[32];

	need_root();
	CHECK(cgroup_host_init(&h, NULL, &err) == 0);
	if (!h.writable)
		skip("no usable cgroups: %s", h.why);
	snprintf(path, sizeof(path), "kernel-%d", (int)getpid());
	struct spec s;
	memset(&s, 0, sizeof(s));
	CHECK(cgroup_make(&h, path, &s, &cg, &err) == 0);

	struct clone_args args = { .flags = CLONE_INTO_CGROUP | CLONE_NEWPID, .exit_signal = SIGCHLD,
				   .cgroup = (uint64_t)cgroup_clone_fd(&cg) };
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	CHECK(pid >= 0);
	if (pid == 0) {
		for (int i = 0; i < 8; i++)
			if (fork() == 0)
				for (;;)
					pause();
		burn();
		_exit(0);
	}
	reap_ok(pid);
	bool populated = true;
	CHECK(cgroup_populated(&cg, &populated) == 0 && !populated);
	CHECK(cgroup_usage(&cg, &u) == 0);
	CHECK(u.have_cpu && u.cpu_us >= 15000);
	CHECK(cgroup_remove(&cg, 0) == 0);
	cgroup_fini(&cg);
	cgroup_host_fini(&h);
	return 0;
}
