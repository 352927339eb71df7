/*
 * A detached tree can be given the ids of a user namespace that nobody is in
 * (held by a descriptor only), and then be attached by a process that lives in
 * that namespace and owns its mount namespace: files of root look like root's
 * inside, and what is written inside as 0 is root's outside.
 * Leaned on by: host/rootfs (trees), sandbox/mounts.
 */
#include "mount-test.h"

int main(void)
{
	need_root();
	own_mounts();
	int fs = new_fs("tmpfs");
	CHECK(mkdirat(fs, "dir", 0755) == 0);
	attach(fs, "/tmp");
	int userns = userns_fd(200000, 65536), tree = tree_of("/tmp");
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns };
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) {
		CHECK(errno == EINVAL);
		skip("tmpfs takes no mapped ids on this kernel (Linux 6.3 does)");
	}
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		struct stat st;
		CHECK(setns(userns, CLONE_NEWUSER) == 0);
		CHECK(setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0);
		own_mounts();
		attach(tree, "/mnt");
		CHECK(stat("/mnt/dir", &st) == 0 && st.st_uid == 0);
		CHECK(mkdir("/mnt/dir/new", 0755) == 0);
		CHECK(stat("/tmp/dir", &st) == 0 && st.st_uid == 65534); /* the plain mount: unmapped */
		_exit(0);
	}
	reap_ok(pid);
	struct stat st;
	CHECK(stat("/tmp/dir/new", &st) == 0 && st.st_uid == 0);
	CHECK(access("/mnt/dir", F_OK) < 0);
	return 0;
}
