/* mount-test - a mount namespace of one's own and file systems attached nowhere, for the programs here. */
#pragma once

#include <linux/mount.h>

#include "kernel-test.h"

static inline void own_mounts(void)
{
	CHECK(unshare(CLONE_NEWNS) == 0);
	CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
}

static inline int new_fs(const char *type)
{
	int fs = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
	CHECK(fs >= 0);
	CHECK(syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0);
	int fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	CHECK(fd >= 0);
	close(fs);
	return fd;
}

static inline int tree_of(const char *path)
{
	int fd = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

static inline void attach(int fd, const char *at)
{
	CHECK(syscall(SYS_move_mount, fd, "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH) == 0);
}
