/*
 * rootfs - the spec's trees, opened on the host.
 *
 * A tree is a directory or file of the host, taken as a detached mount
 * (open_tree(2)) and idmapped to the sandbox's user namespace where the spec
 * says so (mount_setattr(2)). It never shows in the host's mount table. The
 * descriptors go to fc-sandbox, which attaches them inside.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "sandbox/spec.h"

enum { ROOTFS_TREES_MAX = 240 }; /* as many descriptors as one message carries, with room (unix(7): 253) */

struct rootfs_trees {
	int fd[ROOTFS_TREES_MAX];
	size_t count;           /* of descriptors; missing optional trees have none */
	uint64_t missing[4];    /* bit i: tree i of the spec is not there */
};

/*
 * Open all trees of the spec. userns_fd is the sandbox's user namespace with
 * its maps written, or -1 when the spec makes none. A caller without
 * CAP_SYS_ADMIN gets 1: fc-sandbox shall open them itself.
 * 0, 1, or -errno with err naming the path; nothing stays open on failure.
 */
int rootfs_open_trees(const struct spec *spec, int userns_fd, struct rootfs_trees *ret, struct err *err);
void rootfs_close_trees(struct rootfs_trees *t);
