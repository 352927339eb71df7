/*
 * The mode bits of a group's directory are kept as long as the group, in the v2
 * tree and in v1 hierarchies, and a rmdir of a group with groups in it fails.
 * Leaned on by: host/cgroup (pinned levels, shared upper levels).
 */
#include "kernel-test.h"

#include "host/cgroup-internal.h"

static void check_in(int fd, const char *name)
{
	char root[64], sub[80];
	struct stat st;
	snprintf(root, sizeof(root), CGROUP_ROOT "-%s", name);
	snprintf(sub, sizeof(sub), "%s/sub", root);
	CHECK(mkdirat(fd, root, 0755) == 0);
	CHECK(mkdirat(fd, sub, 0755) == 0);
	CHECK(fchmodat(fd, root, 03755, 0) == 0);
	CHECK(unlinkat(fd, root, AT_REMOVEDIR) < 0 && (errno == EBUSY || errno == ENOTEMPTY));
	CHECK(fstatat(fd, root, &st, 0) == 0 && (st.st_mode & 07777) == 03755);
	CHECK(unlinkat(fd, sub, AT_REMOVEDIR) == 0);
	CHECK(unlinkat(fd, root, AT_REMOVEDIR) == 0);
}

int main(void)
{
	struct cgroup_host h;
	struct err err = ERR_INIT;
	char name[32];
	need_root();
	CHECK(cgroup_host_init(&h, NULL, &err) == 0);
	if (!h.writable)
		skip("no usable cgroups: %s", h.why);
	snprintf(name, sizeof(name), "kernel-%d", (int)getpid());
	check_in(h.v2_fd, name);
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		if (h.v1_fd[c] >= 0 && h.v1_first[c] == c)
			check_in(h.v1_fd[c], name);
	cgroup_host_fini(&h);
	return 0;
}
