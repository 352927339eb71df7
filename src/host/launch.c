/*
 * launch - theory of operation.
 *
 * The launcher and the child work at the same time: the child is cloned into
 * its namespaces and its v2 cgroup and executes fc-sandbox at once, while the
 * launcher writes the id maps and opens the trees. Where the host has v1
 * groups, the child enters them itself, first of all (cgroup_join). An execve with unmapped ids would lose all
 * capabilities (user_namespaces(7)), so the child makes them ambient first.
 * fc-sandbox waits for `struct go` before it needs any of this.
 *
 * Between clone and execve the child runs in our memory (CLONE_VM), on a stack
 * of its own: no page table is copied and no page faults twice. It makes system
 * calls only, touches no libc state and reads nothing but its struct
 * launch_child, which stays until its first report or its end. Signals are
 * blocked for that time, or a handler of ours would run in it.
 */
#include "host/launch.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/path.h"
#include "host/rootfs.h"
#include "sandbox/sys.h"

static const struct {
	int flag;
	const char *file;
} namespaces[SPEC_NS_MAX] = {
	[SPEC_NS_USER] = { CLONE_NEWUSER, "user" }, [SPEC_NS_PID] = { CLONE_NEWPID, "pid" },
	[SPEC_NS_MOUNT] = { CLONE_NEWNS, "mnt" },   [SPEC_NS_NET] = { CLONE_NEWNET, "net" },
	[SPEC_NS_IPC] = { CLONE_NEWIPC, "ipc" },    [SPEC_NS_UTS] = { CLONE_NEWUTS, "uts" },
	[SPEC_NS_CGROUP] = { CLONE_NEWCGROUP, "cgroup" }, [SPEC_NS_TIME] = { CLONE_NEWTIME, "time" },
};

enum { LAUNCH_FDS_MAX = 512, CHILD_STACK = 32 << 10 };

/* What the child needs between clone and execve. */
struct launch_child {
	const char *program;
	int program_fd;               /* the same, on a read-only mount; -1: by path */
	char *argv[3];
	char number[16];
	int fds[LAUNCH_FDS_MAX + SANDBOX_FD_MAX]; /* the payload's, then ours: in the order they shall have */
	int count, internal;          /* of fds; index of the first of ours */
	bool keep_caps;
	int join[SPEC_NS_MAX];        /* descriptors, or -1 */
	struct cgroup_joint joint;    /* v1 groups to enter */
	int error_fd;                 /* the status socket: a report goes there when execve fails */
	char stack[CHILD_STACK] __attribute__((aligned(16)));
};

struct launch_state {
	const struct launch_req *req;
	struct launch_child *child;
	struct sandbox *out;
	int join[SPEC_NS_MAX];
	int spec_fd;
	int status[2];
	int home_net, home_pid;
	uint32_t in_launcher; /* namespaces entered by the launcher around the clone (net, pid) */
};

static void stamp(struct sandbox *s, enum launch_phase phase)
{
	s->times.wall_ns[phase] = (uint64_t)clock_ns(CLOCK_MONOTONIC);
	s->times.cpu_ns[phase] = (uint64_t)clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

__attribute__((noreturn)) static void child_fail(const struct launch_child *c, enum stage stage, long code, const char *what)
{
	struct report r = { .magic = REPORT_MAGIC, .kind = REPORT_FAILED, .stage = stage, .code = (int32_t)-code };
	strncpy(r.detail, what, sizeof(r.detail) - 1);
	sys_call(__NR_sendto, c->error_fd, SYS_P(&r), sizeof(r), MSG_NOSIGNAL, 0, 0);
	sys_exit_group(1);
}

static void child_keep_caps(const struct launch_child *c)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];
	long r = sys2(__NR_capget, &h, d);
	for (int i = 0; i < 2; i++)
		d[i].inheritable = d[i].permitted;
	if (r == 0)
		r = sys2(__NR_capset, &h, d);
	if (r < 0)
		child_fail(c, STAGE_ns, r, "keep capabilities over execve");
	for (int cap = 0; cap < 64; cap++)
		if (d[cap / 32].permitted >> (cap % 32) & 1)
			sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, (unsigned long)cap, 0, 0);
}

/* Put the descriptors where fc-sandbox expects them. Sources below the target range are lifted out of the way first. */
static void child_place_fds(struct launch_child *c)
{
	if (c->program_fd >= 0) {
		c->program_fd = sys_fcntl(c->program_fd, F_DUPFD_CLOEXEC, c->count);
		if (c->program_fd < 0)
			child_fail(c, STAGE_fds, c->program_fd, "duplicate a descriptor");
	}
	for (int i = 0; i < c->count; i++) {
		int fd = c->fds[i] < 0 ? -1 : sys_fcntl(c->fds[i], F_DUPFD_CLOEXEC, c->count);
		if (fd < 0 && c->fds[i] >= 0)
			child_fail(c, STAGE_fds, fd, "duplicate a descriptor");
		c->fds[i] = fd;
	}
	c->error_fd = c->fds[c->internal + SANDBOX_FD_STATUS];
	for (int i = 0; i < c->count; i++) {
		int r = c->fds[i] < 0 ? sys_close(i) : sys_dup3(c->fds[i], i, 0);
		if (r < 0 && c->fds[i] >= 0)
			child_fail(c, STAGE_fds, r, "place a descriptor");
	}
}

static int child_main(void *arg)
{
	static const enum spec_ns order[] = { SPEC_NS_USER, SPEC_NS_IPC, SPEC_NS_UTS, SPEC_NS_CGROUP, SPEC_NS_TIME, SPEC_NS_MOUNT };
	static char *const no_env[] = { NULL };
	struct launch_child *c = arg;
	int joined = cgroup_join(&c->joint);
	if (joined < 0)
		child_fail(c, STAGE_ns, joined, "enter the cgroup");
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		int fd = c->join[order[i]];
		int r = fd < 0 ? 0 : sys_setns(fd, namespaces[order[i]].flag);
		if (r < 0)
			child_fail(c, STAGE_ns, r, namespaces[order[i]].file);
	}
	if (c->keep_caps)
		child_keep_caps(c);
	child_place_fds(c);
	long r = c->program_fd < 0 ? sys_execve(c->program, c->argv, no_env)
				   : sys5(__NR_execveat, c->program_fd, "", c->argv, no_env, AT_EMPTY_PATH);
	child_fail(c, STAGE_fds, r, c->program);
}

static int write_map(int proc, const char *file, const struct spec *spec, enum spec_section which, struct err *err)
{
	char text[340 * 36];
	size_t len = 0;
	uint32_t count;
	const struct spec_idmap *m = spec_section(spec, which, &count);
	for (uint32_t i = 0; i < count && len < sizeof(text); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%u %u %u\n", m[i].inside, m[i].outside, m[i].count);
	int r = len >= sizeof(text) ? -E2BIG : fd_write_file_at(proc, file, text);
	if (r < 0) {
		err_set(err, -r, "write %s \"%.*s\" of the new user namespace", file, (int)strcspn(text, "\n"), text);
		if (r == -EPERM)
			return err_hint(err, "only root, or newuidmap(1) with a range in /etc/subuid, may map more than one's own id");
	}
	return r;
}

/* user_namespaces(7): an unprivileged gid_map needs setgroups denied first. */
static int write_maps(const struct launch_state *l, int proc, struct err *err)
{
	const struct spec *spec = l->req->spec;
	if (!spec_new_ns(spec, SPEC_NS_USER))
		return 0;
	int r = 0;
	if (spec_has(spec, SPEC_F_SETGROUPS_DENY)) {
		r = fd_write_file_at(proc, "setgroups", "deny");
		if (r < 0)
			return err_set(err, -r, "deny setgroups in the new user namespace");
	}
	r = write_map(proc, "gid_map", spec, SPEC_SECT_GID_MAP, err);
	return r < 0 ? r : write_map(proc, "uid_map", spec, SPEC_SECT_UID_MAP, err);
}

static int open_userns(const struct launch_state *l, int proc, struct err *err)
{
	if (!((l->req->spec->features_off >> SYS_PIDFD_USERNS) & 1)) {
		int fd = ioctl(l->out->proc.pidfd, PIDFD_GET_USER_NAMESPACE, 0);
		if (fd >= 0)
			return fd;
	}
	int fd = openat(proc, "ns/user", O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_set(err, errno, "open the sandbox's user namespace") : fd;
}

static int send_go(int sock, const struct rootfs_trees *trees, uint32_t count, struct err *err)
{
	struct go go = { .magic = GO_MAGIC, .trees = count };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * ROOTFS_TREES_MAX)];
	} control;
	struct iovec iov = { &go, sizeof(go) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	memcpy(go.missing, trees->missing, sizeof(go.missing));
	if (trees->count > 0) {
		size_t bytes = sizeof(int) * trees->count;
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(bytes);
		memset(&control, 0, CMSG_SPACE(bytes));
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(bytes);
		memcpy(CMSG_DATA(c), trees->fd, bytes);
	}
	/* a child that failed before is found through its report: EPIPE is no news */
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
		return err_set(err, errno, "send the sandbox its trees");
	return 0;
}

/* Everything the child waits for, in the order that lets it wait least. */
static int finish_child(struct launch_state *l, struct err *err)
{
	const struct spec *spec = l->req->spec;
	struct sandbox *s = l->out;
	struct rootfs_trees trees = { .count = 0 };
	char path[32];
	uint32_t count = spec->section[SPEC_SECT_TREE].count;

	snprintf(path, sizeof(path), "/proc/%d", s->proc.pid);
	autoclose int proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return err_set(err, errno, "open %s", path);
	int r = write_maps(l, proc, err);
	stamp(s, LAUNCH_maps);
	if (r < 0)
		return r;

	if (count > 0) {
		autoclose int userns = spec_new_ns(spec, SPEC_NS_USER) ? open_userns(l, proc, err) : -1;
		if (userns < 0 && spec_new_ns(spec, SPEC_NS_USER))
			return userns;
		r = rootfs_open_trees(spec, userns, &trees, err);
		if (r < 0)
			return r;
		if (r == 1)
			count = 0;
	}
	stamp(s, LAUNCH_trees);
	r = send_go(s->status_fd, &trees, count, err);
	rootfs_close_trees(&trees);
	stamp(s, LAUNCH_go);
	return r;
}

/* Descriptors of the namespaces to join. net and pid are entered by us around the clone, the others by the child. */
static int open_joins(struct launch_state *l, struct err *err)
{
	SPEC_EACH(l->req->spec, JOIN, struct spec_join, j) {
		const char *path = spec_text(l->req->spec, j->path);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return err_set(err, errno, "open %s namespace %s", namespaces[j->ns].file, path);
		cleanup_close(&l->join[j->ns]);
		l->join[j->ns] = fd;
	}
	return 0;
}

static int enter_pid(struct launch_state *l, struct err *err)
{
	if (l->join[SPEC_NS_PID] < 0)
		return 0;
	l->home_pid = open("/proc/self/ns/pid_for_children", O_RDONLY | O_CLOEXEC);
	if (l->home_pid < 0 || setns(l->join[SPEC_NS_PID], CLONE_NEWPID) < 0)
		return err_set(err, errno, "join the pid namespace");
	return 0;
}

static int enter_net(struct launch_state *l, struct err *err)
{
	const struct spec *spec = l->req->spec;
	if (l->req->net_ahead) {
		autoclose int fd = net_ahead_take(l->req->net_ahead, err);
		return fd < 0 ? fd : net_enter(fd, &l->home_net, err);
	}
	if (l->req->netns_fd >= 0)
		return net_enter(l->req->netns_fd, &l->home_net, err);
	if (l->join[SPEC_NS_NET] >= 0)
		return net_enter(l->join[SPEC_NS_NET], &l->home_net, err);
	if (spec_new_ns(spec, SPEC_NS_NET) && !spec_has(spec, SPEC_F_NET_OWN))
		return net_enter_new(&l->home_net, err);
	return 0;
}

static int make_sockets(struct launch_state *l, struct err *err)
{
	if (l->req->nsockets && l->home_net < 0)
		return err_set(err, EINVAL, "make sockets in a network that is not the sandbox's own");
	for (size_t i = 0; i < l->req->nsockets; i++) {
		struct launch_socket *s = &l->req->sockets[i];
		s->fd = s->listen_port ? net_listener(s->listen_port, err) : net_client(err);
		if (s->fd < 0)
			return s->fd;
	}
	return 0;
}

static void go_home(struct launch_state *l)
{
	if (l->home_net >= 0)
		net_return(&l->home_net);
	if (l->home_pid >= 0) {
		if (setns(l->home_pid, CLONE_NEWPID) < 0)
			abort();
		cleanup_close(&l->home_pid);
	}
}

static uint64_t clone_flags(const struct launch_state *l)
{
	const struct spec *spec = l->req->spec;
	uint64_t flags = CLONE_PIDFD;
	for (int i = 0; i < SPEC_NS_MAX; i++)
		if (spec_new_ns(spec, (enum spec_ns)i) && i != SPEC_NS_CGROUP && i != SPEC_NS_TIME)
			flags |= (uint64_t)namespaces[i].flag;
	if (!spec_has(spec, SPEC_F_NET_OWN) || l->home_net >= 0)
		flags &= ~(uint64_t)CLONE_NEWNET;
	return flags;
}

static int clone_failed(int code, uint64_t flags, struct err *err)
{
	err_set(err, code, "clone the sandbox into its namespaces");
	if ((code == EPERM || code == ENOSPC) && (flags & CLONE_NEWUSER))
		return err_hint(err, "user namespaces are forbidden or used up here; see sysctl user.max_user_namespaces "
				     "and fc-run doctor");
	if (code == EAGAIN)
		return err_hint(err, "the limit on processes is reached (ulimit -u, pids.max)");
	return -code;
}

/* By clone3 straight into the cgroup; *placed tells whether it is there. */
static long clone_into(struct launch_state *l, uint64_t flags, int *pidfd, bool *placed)
{
	struct launch_child *c = l->child;
	int into = l->out->has_cgroup ? cgroup_clone_fd(&l->out->cgroup) : -1;
	bool off = (l->req->spec->features_off >> SYS_CLONE3) & 1;
	/* a time namespace can be joined only by who has its memory for itself (setns(2)) */
	uint64_t vm = l->join[SPEC_NS_TIME] >= 0 ? 0 : CLONE_VM;
	struct clone_args args = {
		.flags = flags | vm | (into >= 0 ? CLONE_INTO_CGROUP : 0),
		.pidfd = (uintptr_t)pidfd,
		.exit_signal = SIGCHLD,
		.cgroup = into >= 0 ? (uint64_t)into : 0,
	};
	long pid = off ? -ENOSYS : sys_clone3_call(&args, sizeof(args), c->stack, sizeof(c->stack), child_main, c);
	*placed = pid > 0 && into >= 0;
	if (pid == -ENOSYS)
		pid = sys_clone_call(flags | vm | SIGCHLD, c->stack + sizeof(c->stack), pidfd, child_main, c);
	return pid;
}

static int clone_child(struct launch_state *l, struct err *err)
{
	struct sandbox *s = l->out;
	uint64_t flags = clone_flags(l), all = ~(uint64_t)0, mask = 0;
	int pidfd = -1;
	bool placed;

	sys4(__NR_rt_sigprocmask, SIG_SETMASK, &all, &mask, sizeof(mask));
	long pid = clone_into(l, flags, &pidfd, &placed);
	sys4(__NR_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
	if (pid < 0)
		return clone_failed((int)-pid, flags, err);
	s->child = take_ptr(l->child);
	s->proc.pid = (pid_t)pid;
	s->proc.pidfd = pidfd;
	return s->has_cgroup && !placed ? cgroup_move(&s->cgroup, s->proc.pid, err) : 0;
}

/*
 * fc-sandbox through a detached read-only mount of its own. Somebody inside who
 * gets hold of /proc/PID/exe in the moment before the payload's execve cannot
 * reopen it for writing: EROFS, whatever rights he has (CVE-2019-5736's class).
 * Made once per launcher. An ordinary user, who cannot make one, has no rights
 * over the file either: -1, by path.
 */
static int open_program(const char *program)
{
	static int fd = -2;
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	if (fd != -2)
		return fd;
	fd = sys_open_tree(AT_FDCWD, program, OPEN_TREE_CLONE);
	if (fd >= 0 && sys_mount_setattr(fd, 0, &attr) < 0)
		cleanup_close(&fd);
	if (fd < 0)
		fd = -1;
	return fd;
}

static int prepare_child(struct launch_state *l, struct err *err)
{
	static char program[PATH_BUF];
	const struct launch_req *req = l->req;
	int r = program[0] ? 0 : path_helper("fc-sandbox", program, sizeof(program), err);
	if (r < 0)
		return r;
	l->spec_fd = fd_sealed_memfd("fc-spec", req->spec, req->spec->size);
	if (l->spec_fd < 0)
		return err_set(err, -l->spec_fd, "put the spec into a memfd");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, l->status) < 0)
		return err_set(err, errno, "make the status socket");

	struct launch_child *c = l->child = malloc(sizeof(*c));
	if (!c)
		return err_set(err, ENOMEM, "start a sandbox");
	const int internal[SANDBOX_FD_MAX] = {
		[SANDBOX_FD_SPEC] = l->spec_fd, [SANDBOX_FD_STATUS] = l->status[1], [SANDBOX_FD_PAYLOAD] = req->payload_fd,
		[SANDBOX_FD_GATE] = req->gate_fd, [SANDBOX_FD_CONSOLE] = req->console_fd,
	};
	c->program = program;
	c->program_fd = open_program(program);
	snprintf(c->number, sizeof(c->number), "%zu", req->nfds);
	c->argv[0] = (char *)(uintptr_t)"fc-sandbox";
	c->argv[1] = c->number;
	c->argv[2] = NULL;
	memcpy(c->fds, req->fds, req->nfds * sizeof(int));
	memcpy(c->fds + req->nfds, internal, sizeof(internal));
	c->internal = (int)req->nfds;
	c->count = c->internal + SANDBOX_FD_MAX;
	c->keep_caps = spec_new_ns(req->spec, SPEC_NS_USER);
	c->joint.count = 0;
	c->error_fd = l->status[1];
	return open_joins(l, err);
}

/* The host's id for an id inside; the id itself without a user namespace. */
static uint32_t outside_id(const struct spec *spec, enum spec_section which, uint32_t inside)
{
	uint32_t count;
	const struct spec_idmap *m = spec_section(spec, which, &count);
	for (uint32_t i = 0; spec_new_ns(spec, SPEC_NS_USER) && i < count; i++)
		if (inside >= m[i].inside && inside - m[i].inside < m[i].count)
			return m[i].outside + (inside - m[i].inside);
	return inside;
}

/*
 * Pipes as standard streams belong to the payload's user, or a script could not
 * open /dev/stderr. Only pipes: a device or file of the host keeps its owner.
 * A caller that may not give files away has the payload's ids already.
 */
static void own_stdio(const struct launch_req *req)
{
	struct stat st;
	uid_t uid = outside_id(req->spec, SPEC_SECT_UID_MAP, req->spec->uid);
	gid_t gid = outside_id(req->spec, SPEC_SECT_GID_MAP, req->spec->gid);
	for (size_t i = 0; i < 3 && geteuid() == 0; i++)
		if (fstat(req->fds[i], &st) == 0 && S_ISFIFO(st.st_mode) && (st.st_uid != uid || st.st_gid != gid) &&
		    fchown(req->fds[i], uid, gid) < 0)
			return; /* the pipe works all the same; only opening it by name does not */
}

static int run_phases(struct launch_state *l, const struct cgroup_host *host, struct err *err)
{
	struct sandbox *s = l->out;
	stamp(s, LAUNCH_begin);
	own_stdio(l->req);
	int r = prepare_child(l, err);
	if (r == 0 && l->req->cgroup_path) {
		r = cgroup_make(host, l->req->cgroup_path, l->req->spec, &s->cgroup, err);
		s->has_cgroup = r == 0;
		if (r == 0)
			r = cgroup_joint_open(&s->cgroup, &l->child->joint, err);
		if (r == 0)
			cgroup_oom_mark(&s->cgroup, &s->oom_mark);
	}
	stamp(s, LAUNCH_cgroup);
	if (r == 0)
		r = enter_net(l, err);
	if (r == 0)
		r = make_sockets(l, err);
	if (r == 0)
		r = enter_pid(l, err);
	stamp(s, LAUNCH_netns);
	if (r < 0)
		return r;

	memcpy(l->child->join, l->join, sizeof(l->join));
	if (l->home_net >= 0)
		l->child->join[SPEC_NS_NET] = -1;
	l->child->join[SPEC_NS_PID] = -1;
	struct cgroup_joint joint = l->child->joint; /* the child keeps its copy */
	r = clone_child(l, err);
	cgroup_joint_close(&joint);
	if (l->child)
		l->child->joint.count = 0;
	go_home(l);
	stamp(s, LAUNCH_clone);
	s->status_fd = take_fd(&l->status[0]);
	cleanup_close(&l->status[1]);
	return r < 0 ? r : finish_child(l, err);
}

int launch(const struct cgroup_host *host, const struct launch_req *req, struct sandbox *ret, struct err *err)
{
	struct launch_state l = { .req = req, .out = ret, .spec_fd = -1, .status = { -1, -1 }, .home_net = -1, .home_pid = -1 };
	for (int i = 0; i < SPEC_NS_MAX; i++)
		l.join[i] = -1;
	*ret = (struct sandbox)SANDBOX_INIT;
	assert(req->nfds == req->spec->payload_fds && req->nfds <= LAUNCH_FDS_MAX);

	int r = run_phases(&l, host, err);
	go_home(&l);
	if (l.child)
		cgroup_joint_close(&l.child->joint);
	free(l.child);
	for (int i = 0; i < SPEC_NS_MAX; i++)
		cleanup_close(&l.join[i]);
	cleanup_close(&l.spec_fd);
	cleanup_close(&l.status[0]);
	cleanup_close(&l.status[1]);
	if (r < 0)
		sandbox_fini(ret);
	return r;
}

int sandbox_continue(struct sandbox *s, const void *state, size_t len, struct err *err)
{
	struct go go = { .magic = GO_MAGIC };
	struct iovec iov[2] = { { &go, sizeof(go) }, { (void *)(uintptr_t)state, len } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	if (len > GO_STATE_MAX)
		return err_set(err, E2BIG, "hand the state (%zu bytes) to the hooks", len);
	if (sendmsg(s->status_fd, &msg, MSG_NOSIGNAL) < 0)
		return err_set(err, errno, "tell the sandbox to go on");
	return 0;
}

int sandbox_report(struct sandbox *s, struct report *ret)
{
	struct report r;
	ssize_t n;
	do
		n = recv(s->status_fd, &r, sizeof(r), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != ECONNRESET)
		return -errno;
	if (n <= 0) { /* its end of the socket is closed: it is past its execve (and at the gate), or dead */
		free(s->child);
		s->child = NULL;
		return 0;
	}
	if (n != (ssize_t)sizeof(r) || r.magic != REPORT_MAGIC || r.kind < REPORT_HOOKS || r.kind > REPORT_EXITED ||
	    r.stage >= STAGE_MAX || (r.kind == REPORT_FAILED && (r.code <= 0 || r.code > 4095)))
		return -EPROTO;
	if (r.kind != REPORT_FAILED) { /* it is past its execve; a failing child still stands on its stack */
		free(s->child);
		s->child = NULL;
	}
	r.detail[sizeof(r.detail) - 1] = '\0';
	for (char *p = r.detail; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	*ret = r;
	return 1;
}

static const char *const stage_texts[STAGE_MAX] = {
#define STAGE(name, text) [STAGE_##name] = text,
#include "sandbox/stages.def"
#undef STAGE
};

int sandbox_failure(const struct report *r, struct err *err)
{
	err_set(err, r->code, "%s: %s", stage_texts[r->stage], r->detail);
	if (r->stage == STAGE_exec && r->code == ENOENT)
		err_hint(err, "the file or the interpreter in its first line does not exist inside the sandbox");
	else if (r->stage == STAGE_exec && r->code == EACCES)
		err_hint(err, "it must be executable (chmod +x) and readable for others");
	else if (r->stage == STAGE_exec && r->code == ENOEXEC)
		err_hint(err, "it is neither a program for this machine nor a script with a first line #!/...");
	else if (r->stage == STAGE_limits && r->code == EPERM && strstr(r->detail, "RLIMIT_"))
		err_hint(err, "the caller's own hard limit is lower (ulimit -H -a), and a user namespace cannot raise it");
	return -r->code;
}

void sandbox_kill(struct sandbox *s)
{
	if (s->has_cgroup)
		cgroup_kill(&s->cgroup);
	if (s->proc.pid > 0)
		proc_signal(&s->proc, SIGKILL);
}

int sandbox_reap(struct sandbox *s, int *status)
{
	return proc_reap(&s->proc, status, NULL);
}

void sandbox_fini(struct sandbox *s)
{
	if (s->proc.pid > 0) {
		int status;
		sandbox_kill(s);
		proc_reap(&s->proc, &status, NULL);
	}
	free(s->child);
	s->child = NULL;
	proc_fini(&s->proc);
	cleanup_close(&s->status_fd);
	if (s->has_cgroup) {
		cgroup_remove(&s->cgroup, 2000);
		cgroup_fini(&s->cgroup);
		s->has_cgroup = false;
	}
}
