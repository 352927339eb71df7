/*
 * What covers a file or directory (a mask over part of /proc) cannot be taken
 * off by a process in a user namespace made later, although it has every
 * capability there: the mounts are locked together. Nor can it be moved, or
 * seen past by a recursive bind without what covers.
 * Leaned on by: sandbox/mounts (masks), when nested user namespaces are allowed (OCI).
 */
#include "mount-test.h"

int main(void)
{
	need_root();
	own_mounts();
	int fs = new_fs("tmpfs");
	CHECK(mkdirat(fs, "secret", 0755) == 0 && mkdirat(fs, "secret/x", 0755) == 0 && mkdirat(fs, "at", 0755) == 0);
	attach(fs, "/tmp");
	attach(new_fs("tmpfs"), "/tmp/secret");
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		enter_userns(200000, 65536);
		CHECK(umount2("/tmp/secret", MNT_DETACH) < 0 && errno == EPERM);
		CHECK(unshare(CLONE_NEWNS) == 0);
		CHECK(umount2("/tmp/secret", MNT_DETACH) < 0 && errno == EINVAL);
		CHECK(syscall(SYS_move_mount, AT_FDCWD, "/tmp/secret", AT_FDCWD, "/tmp/at", 0) < 0);
		CHECK(mount("/tmp", "/mnt", NULL, MS_BIND, NULL) < 0 && errno == EINVAL);
		CHECK(access("/tmp/secret/x", F_OK) < 0 && errno == ENOENT);
		_exit(0);
	}
	reap_ok(pid);
	return 0;
}
