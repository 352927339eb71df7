/*
 * One write to cgroup.kill ends a tree that forks as fast as it can, including
 * children born meanwhile, and nothing is left.
 * Leaned on by: host/cgroup (cgroup_kill), so host/launch and every timeout.
 */
#include "kernel-test.h"

#include <linux/sched.h>

#include "host/cgroup-internal.h"

int main(void)
{
	struct cgroup_host h;
	struct cgroup cg;
	struct err err = ERR_INIT;
	char path[32];

	need_root();
	CHECK(cgroup_host_init(&h, NULL, &err) == 0);
	if (!h.writable || !h.have[CGROUP_pids])
		skip("no usable cgroups, or no pids controller");
	snprintf(path, sizeof(path), "kernel-%d", (int)getpid());
	struct spec s;
	memset(&s, 0, sizeof(s));
	s.cgroup.pids = 64;
	CHECK(cgroup_make(&h, path, &s, &cg, &err) == 0);
	struct cgroup_joint j;
	CHECK(cgroup_joint_open(&cg, &j, &err) == 0);
	struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD,
				   .cgroup = (uint64_t)cgroup_clone_fd(&cg) };
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	CHECK(pid >= 0);
	if (pid == 0) {
		CHECK(cgroup_join(&j) == 0);
		signal(SIGCHLD, SIG_IGN);
		for (;;)
			if (fork() == 0 && fork() == 0)
				_exit(0);
	}
	cgroup_joint_close(&j);
	usleep(50000); /* let it grow; the length does not matter */
	CHECK(cgroup_kill(&cg) == 0);
	CHECK(WTERMSIG(reap(pid)) == SIGKILL);
	CHECK(cgroup_remove(&cg, 5000) == 0);
	cgroup_fini(&cg);
	cgroup_host_fini(&h);
	return 0;
}
