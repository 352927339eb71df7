/*
 * pivot_root(".", ".") stacks the old root over the new one at the same place,
 * and umount2(".", MNT_DETACH) then takes the old one away: no directory for it
 * is needed, so the new root can be read-only. Below a user namespace too.
 * Leaned on by: sandbox/root.
 */
#include "mount-test.h"

int main(void)
{
	need_root();
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		enter_userns(200000, 65536);
		own_mounts();
		int fs = new_fs("tmpfs");
		CHECK(mkdirat(fs, "only", 0755) == 0);
		attach(fs, "/tmp");
		CHECK(mount(NULL, "/tmp", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0);
		CHECK(chdir("/tmp") == 0);
		CHECK(syscall(SYS_pivot_root, ".", ".") == 0);
		CHECK(umount2(".", MNT_DETACH) == 0);
		CHECK(chdir("/") == 0);
		CHECK(access("/only", F_OK) == 0 && access("/proc", F_OK) < 0);
		CHECK(chdir("/..") == 0 && access("only", F_OK) == 0);
		CHECK(mkdir("/new", 0755) < 0 && errno == EROFS);
		_exit(0);
	}
	reap_ok(pid);
	return 0;
}
