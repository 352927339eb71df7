/*
 * probe-ns - namespaces and mounts. Everything is done in a child that has left
 * the caller's mount namespace, on file systems that are attached nowhere else.
 */
#include "host/probe-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/mount.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

enum { RANGE_FIRST = 100000, RANGE_COUNT = 65536 };

/* What a distribution may have turned off, by name, for the texts. */
static void userns_switches(char *out, size_t size)
{
	static const struct {
		const char *path, *name;
	} file[] = {
		{ "/proc/sys/user/max_user_namespaces", "user.max_user_namespaces" },
		{ "/proc/sys/kernel/unprivileged_userns_clone", "kernel.unprivileged_userns_clone" },
		{ "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "kernel.apparmor_restrict_unprivileged_userns" },
	};
	size_t n = 0;
	out[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(file); i++) {
		char text[32];
		if (fd_read_file_at(AT_FDCWD, file[i].path, text, sizeof(text)) < 0)
			continue;
		text[strcspn(text, "\n")] = '\0';
		if (n < size)
			n += (size_t)snprintf(out + n, size - n, "%s%s=%s", n ? ", " : "", file[i].name, text);
	}
}

static const char userns_todo[] = "sysctl user.max_user_namespaces above 0, kernel.unprivileged_userns_clone=1, "
				  "kernel.apparmor_restrict_unprivileged_userns=0 (each where it exists); in a container: "
				  "allow unshare and clone in its seccomp profile";

/* Write one id map line of a process in a new user namespace. */
static int write_map(pid_t pid, const char *file, unsigned inside, unsigned outside, unsigned count)
{
	char path[64], text[64];
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	snprintf(text, sizeof(text), "%u %u %u", inside, outside, count);
	return fd_write_file_at(AT_FDCWD, path, text);
}

int probe_enter_userns(void)
{
	unsigned uid = geteuid(), gid = getegid();
	if (unshare(CLONE_NEWUSER) < 0)
		return -errno;
	/* from inside only the own id may be mapped, whoever it is, and no groups set (user_namespaces(7)) */
	int r = fd_write_file_at(AT_FDCWD, "/proc/self/setgroups", "deny");
	if (r == 0)
		r = write_map(getpid(), "uid_map", 0, uid, 1);
	if (r == 0)
		r = write_map(getpid(), "gid_map", 0, gid, 1);
	return r;
}

static int try_userns(void *arg, void *out)
{
	(void)arg;
	(void)out;
	return -probe_enter_userns();
}

void probe_userns(struct probe_ctx *c, struct probe_row *row)
{
	(void)c;
	char switches[200];
	userns_switches(switches, sizeof(switches));
	int e = probe_try(try_userns, NULL, NULL, 0);
	if (e)
		probe_fail(row, PROBE_missing, e, "make a user namespace", userns_todo);
	else
		probe_detail(row, "made one; %s", switches);
}

/* A child in a new user namespace, blocked until its pipe closes; its pid, or -errno. */
static pid_t userns_child(int *hold)
{
	int ready[2], stay[2];
	char b;
	if (pipe2(ready, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(stay, O_CLOEXEC) < 0) {
		close(ready[0]);
		close(ready[1]);
		return -EMFILE;
	}
	pid_t pid = fork();
	if (pid == 0) {
		close(stay[1]);
		int r = unshare(CLONE_NEWUSER) < 0 ? errno : 0;
		b = (char)r;
		if (write(ready[1], &b, 1) == 1 && r == 0)
			(void)!read(stay[0], &b, 1);
		_exit(0);
	}
	close(ready[1]);
	close(stay[0]);
	int r = pid < 0 ? errno : read(ready[0], &b, 1) == 1 ? b : EPROTO;
	close(ready[0]);
	*hold = stay[1];
	if (r == 0)
		return pid;
	close(stay[1]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return -r;
}

/* A user namespace with a whole range of ids, as a descriptor, or -errno. */
static int ranged_userns(void)
{
	int hold = -1;
	char path[64];
	pid_t pid = userns_child(&hold);
	if (pid < 0)
		return (int)pid;
	int r = write_map(pid, "uid_map", 0, RANGE_FIRST, RANGE_COUNT);
	if (r == 0)
		r = write_map(pid, "gid_map", 0, RANGE_FIRST, RANGE_COUNT);
	if (r == 0) {
		snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
		r = open(path, O_RDONLY | O_CLOEXEC);
		if (r < 0)
			r = -errno;
	}
	close(hold);
	waitpid(pid, NULL, 0);
	return r;
}

static int try_range(void *arg, void *out)
{
	(void)arg;
	(void)out;
	autoclose int fd = ranged_userns();
	return fd < 0 ? -fd : 0;
}

void probe_userns_range(struct probe_ctx *c, struct probe_row *row)
{
	if (!c->root) {
		probe_fail(row, PROBE_missing, 0, "an ordinary user maps one id only", "run as root for more than one id");
		return;
	}
	int e = probe_try(try_range, NULL, NULL, 0);
	if (e)
		probe_fail(row, PROBE_missing, e, "map 65536 ids into a user namespace",
			   "inside a container, give it a range of subordinate ids");
	else
		probe_detail(row, "mapped %d ids from %d", RANGE_COUNT, RANGE_FIRST);
}

/* Root asks on behalf of others: as `nobody`. */
static int try_user(void *arg, void *out)
{
	(void)out;
	if (*(bool *)arg && (setgid(65534) < 0 || setuid(65534) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0))
		return errno;
	return -probe_enter_userns();
}

void probe_userns_user(struct probe_ctx *c, struct probe_row *row)
{
	int e = probe_try(try_user, &c->root, NULL, 0);
	if (e)
		probe_fail(row, PROBE_missing, e, "make a user namespace as an ordinary user", userns_todo);
	else
		probe_detail(row, "an ordinary user can make a user namespace");
}

/* flags: one namespace more, in a fresh user namespace. */
struct ns_try {
	int flag;
};

static int try_ns(void *arg, void *out)
{
	const struct ns_try *t = arg;
	(void)out;
	int r = probe_enter_userns();
	if (r < 0)
		return -r;
	return unshare(t->flag) < 0 ? errno : 0;
}

void probe_namespaces(struct probe_ctx *c, struct probe_row *row)
{
	(void)c;
	static const struct {
		int flag;
		const char *name;
	} ns[] = { { CLONE_NEWPID, "pid" },	{ CLONE_NEWNS, "mnt" },	  { CLONE_NEWNET, "net" },
		   { CLONE_NEWIPC, "ipc" },	{ CLONE_NEWUTS, "uts" },  { CLONE_NEWCGROUP, "cgroup" } };
	for (size_t i = 0; i < ARRAY_LEN(ns); i++) {
		struct ns_try t = { ns[i].flag };
		int e = probe_try(try_ns, &t, NULL, 0);
		if (e) {
			char what[64];
			snprintf(what, sizeof(what), "make a %s namespace", ns[i].name);
			probe_fail(row, PROBE_missing, e, what,
				   "a kernel with this namespace, and user.max_*_namespaces above 0");
			return;
		}
	}
	probe_detail(row, "pid, mnt, net, ipc, uts and cgroup, below a user namespace");
}

void probe_time_ns(struct probe_ctx *c, struct probe_row *row)
{
	(void)c;
	struct ns_try t = { CLONE_NEWTIME };
	int e = probe_try(try_ns, &t, NULL, 0);
	if (e)
		probe_fail(row, PROBE_degraded, e, "make a time namespace", "a kernel with CONFIG_TIME_NS");
	else
		probe_detail(row, "made one");
}

/* ---- mounts ----------------------------------------------------------- */

static int make_fs(const char *type, unsigned attr)
{
	autoclose int fs = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	int fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attr);
	return fd < 0 ? -errno : fd;
}

/* A mount namespace of our own that nothing leaves. in_user: below a user namespace. */
static int own_mounts(bool in_user)
{
	int r = in_user ? probe_enter_userns() : 0;
	if (r == 0 && unshare(CLONE_NEWNS) < 0)
		r = -errno;
	if (r == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		r = -errno;
	return r;
}

/* A tmpfs on /proc's neighbour: attached over /tmp of this namespace, so that overlay can be told paths. */
static int scratch(void)
{
	int fd = make_fs("tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
	if (fd < 0)
		return fd;
	if (syscall(SYS_move_mount, fd, "", AT_FDCWD, "/tmp", MOVE_MOUNT_F_EMPTY_PATH) < 0 || chdir("/tmp") < 0) {
		int e = errno;
		close(fd);
		return -e;
	}
	if (mkdirat(fd, "a", 0755) < 0 || mkdirat(fd, "b", 0755) < 0 || mkdirat(fd, "up", 0755) < 0 ||
	    mkdirat(fd, "work", 0755) < 0 || mkdirat(fd, "a/seen", 0755) < 0) {
		int e = errno;
		close(fd);
		return -e;
	}
	return fd;
}

static int try_mount_api(void *arg, void *out)
{
	(void)arg;
	(void)out;
	int r = own_mounts(true);
	if (r == 0)
		r = scratch();
	if (r < 0)
		return -r;
	return access("/tmp/a/seen", F_OK) < 0 ? errno : 0;
}

void probe_mount_api(struct probe_ctx *c, struct probe_row *row)
{
	(void)c;
	int e = probe_try(try_mount_api, NULL, NULL, 0);
	if (e)
		probe_fail(row, PROBE_missing, e, "mount a tmpfs below a user namespace with fsopen and move_mount",
			   "Linux 6.1 is the floor; in a container: allow these calls in its seccomp profile");
	else
		probe_detail(row, "a tmpfs was made detached, and attached, below a user namespace");
}

enum overlay_kind { OVL_STRING, OVL_APPEND, OVL_DETACHED };

struct overlay_try {
	bool in_user, upper;
	enum overlay_kind kind;
};

/* Layers that are attached nowhere, by descriptor; closing one before the overlay is made would dissolve it. The child's end closes them. */
static int add_detached(int fs)
{
	static const char *const dirs[] = { "/tmp/a", "/tmp/b" };
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		int tree = (int)syscall(SYS_open_tree, AT_FDCWD, dirs[i], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
		if (tree < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_SET_FD, "lowerdir+", NULL, tree) < 0)
			return -errno;
	}
	return 0;
}

static int add_lowers(int fs, enum overlay_kind kind)
{
	if (kind == OVL_DETACHED)
		return add_detached(fs);
	if (kind == OVL_STRING)
		return syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "lowerdir", "/tmp/a:/tmp/b", 0) < 0 ? -errno : 0;
	if (syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "lowerdir+", "/tmp/a", 0) < 0 ||
	    syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "lowerdir+", "/tmp/b", 0) < 0)
		return -errno;
	return 0;
}

static int try_overlay(void *arg, void *out)
{
	const struct overlay_try *t = arg;
	(void)out;
	int r = own_mounts(t->in_user);
	if (r == 0)
		r = scratch();
	if (r < 0)
		return -r;
	autoclose int fs = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
	if (fs < 0)
		return errno;
	r = add_lowers(fs, t->kind);
	if (r < 0)
		return -r;
	if (t->upper && (syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "upperdir", "/tmp/up", 0) < 0 ||
			 syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "workdir", "/tmp/work", 0) < 0))
		return errno;
	if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return errno;
	autoclose int mnt = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	if (mnt < 0 || faccessat(mnt, "seen", F_OK, 0) < 0)
		return errno;
	if (t->upper && mkdirat(mnt, "new", 0755) < 0)
		return errno;
	return 0;
}

static void overlay(struct probe_row *row, const struct overlay_try *t, enum probe_status otherwise, const char *todo)
{
	struct overlay_try copy = *t;
	int e = probe_try(try_overlay, &copy, NULL, 0);
	if (e)
		probe_fail(row, otherwise, e, "mount an overlay", todo);
	else
		probe_detail(row, "mounted one%s", t->in_user ? " below a user namespace" : "");
}

static const char overlay_todo[] = "modprobe overlay, or a kernel with CONFIG_OVERLAY_FS";

void probe_overlay(struct probe_ctx *c, struct probe_row *row)
{
	if (!c->root) {
		probe_detail(row, "not needed: an ordinary user mounts it below a user namespace");
		return;
	}
	overlay(row, &(struct overlay_try){ false, true, OVL_STRING }, PROBE_missing, overlay_todo);
}

void probe_overlay_userns(struct probe_ctx *c, struct probe_row *row)
{
	(void)c;
	overlay(row, &(struct overlay_try){ true, true, OVL_STRING }, PROBE_missing, overlay_todo);
}

void probe_overlay_append(struct probe_ctx *c, struct probe_row *row)
{
	(void)c;
	overlay(row, &(struct overlay_try){ true, false, OVL_APPEND }, PROBE_degraded,
		"nothing: the older way is used");
}

void probe_overlay_detached(struct probe_ctx *c, struct probe_row *row)
{
	(void)c;
	overlay(row, &(struct overlay_try){ true, false, OVL_DETACHED }, PROBE_degraded,
		"nothing: the older way is used");
}

struct idmap_try {
	char dir[256]; /* "": a new tmpfs */
};

static int try_idmap(void *arg, void *out)
{
	const struct idmap_try *t = arg;
	(void)out;
	int r = own_mounts(false);
	autoclose int userns = r < 0 ? r : ranged_userns();
	if (userns < 0)
		return -userns;
	autoclose int tree = *t->dir ?
		(int)syscall(SYS_open_tree, AT_FDCWD, t->dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH) :
		make_fs("tmpfs", 0);
	if (tree < 0)
		return *t->dir ? errno : -tree;
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns };
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return errno;
	return 0;
}

static void idmap(struct probe_ctx *c, struct probe_row *row, const char *dir, enum probe_status otherwise,
		  const char *todo)
{
	struct idmap_try t = { "" };
	char what[PROBE_DETAIL_MAX];
	if (!c->root) {
		probe_detail(row, "not needed: an ordinary user has one id");
		return;
	}
	snprintf(t.dir, sizeof(t.dir), "%s", dir);
	int e = probe_try(try_idmap, &t, NULL, 0);
	snprintf(what, sizeof(what), "give a mount of %s mapped ids", *dir ? dir : "a tmpfs");
	if (e)
		probe_fail(row, otherwise, e, what, todo);
	else
		probe_detail(row, "%s: mapped", *dir ? dir : "tmpfs");
}

void probe_idmap_state(struct probe_ctx *c, struct probe_row *row)
{
	idmap(c, row, c->report->state_dir, PROBE_missing,
	      "put the state directory on ext4, xfs, btrfs or (Linux 6.3) tmpfs: --state-dir");
}

void probe_idmap_tmpfs(struct probe_ctx *c, struct probe_row *row)
{
	idmap(c, row, "", PROBE_degraded, "keep the state directory on a disk file system");
}

/* ---- network ---------------------------------------------------------- */

static int try_netns(void *arg, void *out)
{
	bool root = *(bool *)arg;
	struct ifreq ifr;
	(void)out;
	/* as a start does it: root makes the namespace first, an ordinary user inside a user namespace */
	int r = root ? 0 : probe_enter_userns();
	if (r < 0)
		return -r;
	if (unshare(CLONE_NEWNET) < 0)
		return errno;
	autoclose int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	memset(&ifr, 0, sizeof(ifr));
	strcpy(ifr.ifr_name, "lo");
	ifr.ifr_flags = IFF_UP;
	return s < 0 || ioctl(s, SIOCSIFFLAGS, &ifr) < 0 ? errno : 0;
}

void probe_netns(struct probe_ctx *c, struct probe_row *row)
{
	int e = probe_try(try_netns, &c->root, NULL, 0);
	if (e)
		probe_fail(row, PROBE_missing, e, "make a network namespace and bring lo up",
			   "sysctl user.max_net_namespaces above 0");
	else
		probe_detail(row, "made one, lo is up");
}

/* Send one netlink request and read the kernel's answer: 0 or errno. */
static int netlink_ask(int protocol, struct nlmsghdr *request, unsigned want)
{
	char reply[4096] __attribute__((aligned(8)));
	autoclose int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	if (s < 0)
		return errno;
	if (send(s, request, request->nlmsg_len, 0) < 0)
		return errno;
	ssize_t n = recv(s, reply, sizeof(reply), 0);
	if (n < (ssize_t)sizeof(struct nlmsghdr))
		return n < 0 ? errno : EPROTO;
	const struct nlmsghdr *h = (const void *)reply;
	if (h->nlmsg_type == want)
		return 0;
	if (h->nlmsg_type != NLMSG_ERROR || n < (ssize_t)(sizeof(*h) + sizeof(struct nlmsgerr)))
		return EPROTO;
	return -((const struct nlmsgerr *)NLMSG_DATA(h))->error;
}

static struct rtattr *attr_add(struct nlmsghdr *h, unsigned short type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)((char *)h + NLMSG_ALIGN(h->nlmsg_len));
	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(a), data, len);
	h->nlmsg_len = NLMSG_ALIGN(h->nlmsg_len) + (unsigned)RTA_ALIGN(a->rta_len);
	return a;
}

static int try_veth(void *arg, void *out)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
		char room[256];
	} m __attribute__((aligned(8)));
	int r = try_netns(arg, out);
	if (r)
		return r;
	memset(&m, 0, sizeof(m));
	m.h.nlmsg_len = NLMSG_LENGTH(sizeof(m.i));
	m.h.nlmsg_type = RTM_NEWLINK;
	m.h.nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK;
	struct rtattr *info = attr_add(&m.h, IFLA_LINKINFO, NULL, 0);
	attr_add(&m.h, IFLA_INFO_KIND, "veth", 4);
	info->rta_len = (unsigned short)((char *)&m + m.h.nlmsg_len - (char *)info);
	return netlink_ask(NETLINK_ROUTE, &m.h, NLMSG_NOOP);
}

void probe_veth(struct probe_ctx *c, struct probe_row *row)
{
	int e = probe_try(try_veth, &c->root, NULL, 0);
	if (e)
		probe_fail(row, PROBE_degraded, e, "make a veth pair", "modprobe veth, or a kernel with CONFIG_VETH");
	else
		probe_detail(row, "made a pair in a network namespace of its own");
}

static int try_nftables(void *arg, void *out)
{
	struct {
		struct nlmsghdr h;
		struct nfgenmsg g;
	} m;
	int r = try_netns(arg, out);
	if (r)
		return r;
	memset(&m, 0, sizeof(m));
	m.h.nlmsg_len = sizeof(m);
	m.h.nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN;
	m.h.nlmsg_flags = NLM_F_REQUEST;
	m.g.version = NFNETLINK_V0;
	return netlink_ask(NETLINK_NETFILTER, &m.h, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN);
}

void probe_nftables(struct probe_ctx *c, struct probe_row *row)
{
	int e = probe_try(try_nftables, &c->root, NULL, 0);
	if (e)
		probe_fail(row, PROBE_degraded, e, "ask nf_tables for its generation",
			   "modprobe nf_tables, or a kernel with CONFIG_NF_TABLES");
	else
		probe_detail(row, "nf_tables answers in a network namespace");
}
