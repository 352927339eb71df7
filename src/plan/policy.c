/*
 * Why calls are denied (EPERM), by group; what is left is what python3, node,
 * Go, ffmpeg and shells use:
 *   mount and namespace calls, chroot, pivot_root, setns, unshare, clone with
 *     CLONE_NEW*: a nested user namespace would give the payload every
 *     capability over new kernel objects, the largest attack surface there is
 *   bpf, perf_event_open, userfaultfd, io_uring, keyctl, kcmp, ptrace and
 *     process_vm_*: long records of local exploits, or reach into other processes
 *   fanotify, open_by_handle_at: files by handle, past the mounts
 *   modules, kexec, swap, quota, acct, clock, reboot, syslog, host names, port
 *     access: the machine's, not a sandbox's; they need capabilities as well
 *   NUMA placement and memfd_secret: memory that limits and reclaim cannot move
 *   calls without a body in any kernel since 6.1: kept denied, so that a range stays whole
 * clone3 hides its flags in memory where a filter cannot look: ENOSYS, and libc uses clone.
 */
#include "plan/policy.h"

#include <asm/unistd.h>
#include <assert.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/cleanup.h"

enum {
	NETLINK_ROUTE_ = 0, /* linux/netlink.h, linux/rtnetlink.h */
	SOCK_TYPE_BITS = 0xf, /* the rest of type is SOCK_CLOEXEC and SOCK_NONBLOCK */
	NEW_NAMESPACES = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
			 CLONE_NEWNET,
};
#define PERSONALITY_QUERY 0xffffffffu
#define ANSWER_ALLOW SECCOMP_RET_ALLOW
#define ANSWER_KILL SECCOMP_RET_KILL_PROCESS
#define ANSWER_ERRNO(e) (SECCOMP_RET_ERRNO | (e))

struct rule {
	uint16_t nr;
	uint8_t verdict;
};

#define A(name) { __NR_##name, POLICY_ALLOW }
#define D(name) { __NR_##name, POLICY_EPERM }
#define V(name, verdict) { __NR_##name, POLICY_##verdict }
/* Sorted by number. */
static const struct rule rules[] = {
	A(read), A(write), A(open), A(close), A(stat), A(fstat), A(lstat), A(poll), A(lseek), A(mmap),
	A(mprotect), A(munmap), A(brk), A(rt_sigaction), A(rt_sigprocmask), A(rt_sigreturn), V(ioctl, IOCTL),
	A(pread64), A(pwrite64), A(readv), A(writev), A(access), A(pipe), A(select), A(sched_yield), A(mremap),
	A(msync), A(mincore), A(madvise), A(shmget), A(shmat), A(shmctl), A(dup), A(dup2), A(pause),
	A(nanosleep), A(getitimer), A(alarm), A(setitimer), A(getpid), A(sendfile), V(socket, SOCKET),
	A(connect), A(accept), A(sendto), A(recvfrom), A(sendmsg), A(recvmsg), A(shutdown), A(bind), A(listen),
	A(getsockname), A(getpeername), V(socketpair, SOCKET), A(setsockopt), A(getsockopt), V(clone, CLONE),
	A(fork), A(vfork), A(execve), A(exit), A(wait4), A(kill), A(uname), A(semget), A(semop), A(semctl),
	A(shmdt), A(msgget), A(msgsnd), A(msgrcv), A(msgctl), A(fcntl), A(flock), A(fsync), A(fdatasync),
	A(truncate), A(ftruncate), A(getdents), A(getcwd), A(chdir), A(fchdir), A(rename), A(mkdir), A(rmdir),
	A(creat), A(link), A(unlink), A(symlink), A(readlink), A(chmod), A(fchmod), A(chown), A(fchown),
	A(lchown), A(umask), A(gettimeofday), A(getrlimit), A(getrusage), A(sysinfo), A(times), D(ptrace),
	A(getuid), D(syslog), A(getgid), A(setuid), A(setgid), A(geteuid), A(getegid), A(setpgid), A(getppid),
	A(getpgrp), A(setsid), A(setreuid), A(setregid), A(getgroups), A(setgroups), A(setresuid),
	A(getresuid), A(setresgid), A(getresgid), A(getpgid), A(setfsuid), A(setfsgid), A(getsid), A(capget),
	A(capset), A(rt_sigpending), A(rt_sigtimedwait), A(rt_sigqueueinfo), A(rt_sigsuspend), A(sigaltstack),
	A(utime), A(mknod), D(uselib), V(personality, PERSONALITY), D(ustat), A(statfs), A(fstatfs), D(sysfs),
	A(getpriority), A(setpriority), A(sched_setparam), A(sched_getparam), A(sched_setscheduler),
	A(sched_getscheduler), A(sched_get_priority_max), A(sched_get_priority_min), A(sched_rr_get_interval),
	A(mlock), A(munlock), A(mlockall), A(munlockall), D(vhangup), D(modify_ldt), D(pivot_root), D(_sysctl),
	A(prctl), A(arch_prctl), D(adjtimex), A(setrlimit), D(chroot), A(sync), D(acct), D(settimeofday),
	D(mount), D(umount2), D(swapon), D(swapoff), D(reboot), D(sethostname), D(setdomainname), D(iopl),
	D(ioperm), D(create_module), D(init_module), D(delete_module), D(get_kernel_syms), D(query_module),
	D(quotactl), D(nfsservctl), D(getpmsg), D(putpmsg), D(afs_syscall), D(tuxcall), D(security), A(gettid),
	A(readahead), A(setxattr), A(lsetxattr), A(fsetxattr), A(getxattr), A(lgetxattr), A(fgetxattr),
	A(listxattr), A(llistxattr), A(flistxattr), A(removexattr), A(lremovexattr), A(fremovexattr), A(tkill),
	A(time), A(futex), A(sched_setaffinity), A(sched_getaffinity), A(set_thread_area), A(io_setup),
	A(io_destroy), A(io_getevents), A(io_submit), A(io_cancel), A(get_thread_area), D(lookup_dcookie),
	A(epoll_create), D(epoll_ctl_old), D(epoll_wait_old), A(remap_file_pages), A(getdents64),
	A(set_tid_address), A(restart_syscall), A(semtimedop), A(fadvise64), A(timer_create), A(timer_settime),
	A(timer_gettime), A(timer_getoverrun), A(timer_delete), D(clock_settime), A(clock_gettime),
	A(clock_getres), A(clock_nanosleep), A(exit_group), A(epoll_wait), A(epoll_ctl), A(tgkill), A(utimes),
	D(vserver), D(mbind), D(set_mempolicy), A(get_mempolicy), A(mq_open), A(mq_unlink), A(mq_timedsend),
	A(mq_timedreceive), A(mq_notify), A(mq_getsetattr), D(kexec_load), A(waitid), D(add_key),
	D(request_key), D(keyctl), A(ioprio_set), A(ioprio_get), A(inotify_init), A(inotify_add_watch),
	A(inotify_rm_watch), D(migrate_pages), A(openat), A(mkdirat), A(mknodat), A(fchownat), A(futimesat),
	A(newfstatat), A(unlinkat), A(renameat), A(linkat), A(symlinkat), A(readlinkat), A(fchmodat),
	A(faccessat), A(pselect6), A(ppoll), D(unshare), A(set_robust_list), A(get_robust_list), A(splice),
	A(tee), A(sync_file_range), A(vmsplice), D(move_pages), A(utimensat), A(epoll_pwait), A(signalfd),
	A(timerfd_create), A(eventfd), A(fallocate), A(timerfd_settime), A(timerfd_gettime), A(accept4),
	A(signalfd4), A(eventfd2), A(epoll_create1), A(dup3), A(pipe2), A(inotify_init1), A(preadv),
	A(pwritev), A(rt_tgsigqueueinfo), D(perf_event_open), A(recvmmsg), D(fanotify_init), D(fanotify_mark),
	A(prlimit64), D(name_to_handle_at), D(open_by_handle_at), D(clock_adjtime), A(syncfs), A(sendmmsg),
	D(setns), A(getcpu), D(process_vm_readv), D(process_vm_writev), D(kcmp), D(finit_module),
	A(sched_setattr), A(sched_getattr), A(renameat2), A(seccomp), A(getrandom), A(memfd_create),
	D(kexec_file_load), D(bpf), A(execveat), D(userfaultfd), A(membarrier), A(mlock2), A(copy_file_range),
	A(preadv2), A(pwritev2), A(pkey_mprotect), A(pkey_alloc), A(pkey_free), A(statx), A(io_pgetevents),
	A(rseq), A(pidfd_send_signal), D(io_uring_setup), D(io_uring_enter), D(io_uring_register),
	D(open_tree), D(move_mount), D(fsopen), D(fsconfig), D(fsmount), D(fspick), A(pidfd_open),
	V(clone3, ENOSYS), A(close_range), A(openat2), D(pidfd_getfd), A(faccessat2), D(process_madvise),
	A(epoll_pwait2), D(mount_setattr), D(quotactl_fd), A(landlock_create_ruleset), A(landlock_add_rule),
	A(landlock_restrict_self), D(memfd_secret), A(process_mrelease), A(futex_waitv),
	D(set_mempolicy_home_node),
};
#undef A
#undef D
#undef V

static const char *const verdict_names[] = {
	[POLICY_ENOSYS] = "enosys", [POLICY_ALLOW] = "allow", [POLICY_EPERM] = "eperm", [POLICY_CLONE] = "clone",
	[POLICY_IOCTL] = "ioctl", [POLICY_SOCKET] = "socket", [POLICY_PERSONALITY] = "personality",
};
_Static_assert(ARRAY_LEN(verdict_names) == POLICY_VERDICT_MAX, "a name for each verdict");

const char *policy_verdict_name(enum policy_verdict v) { return verdict_names[v]; }

uint32_t policy_last(void) { return rules[ARRAY_LEN(rules) - 1].nr; }

enum policy_verdict policy_of(uint32_t nr)
{
	size_t lo = 0, hi = ARRAY_LEN(rules);
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (rules[mid].nr == nr)
			return (enum policy_verdict)rules[mid].verdict;
		if (rules[mid].nr < nr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return POLICY_ENOSYS;
}

/* The kernel takes these arguments as 32 bits, so only those count. */
static uint32_t answer_socket(uint32_t family, uint32_t type, uint32_t protocol)
{
	switch (family) {
	case AF_UNIX:
		return ANSWER_ALLOW;
	case AF_NETLINK: /* getifaddrs(3) */
		return protocol == NETLINK_ROUTE_ ? ANSWER_ALLOW : ANSWER_ERRNO(EPROTONOSUPPORT);
	case AF_INET:
	case AF_INET6:
		/* others would load protocol modules: SCTP, DCCP, UDP-Lite, MPTCP */
		if ((type & SOCK_TYPE_BITS) > SOCK_RAW)
			return ANSWER_ERRNO(EPROTONOSUPPORT);
		if (protocol == 0 || protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_ICMP ||
		    protocol == IPPROTO_ICMPV6)
			return ANSWER_ALLOW;
		return ANSWER_ERRNO(EPROTONOSUPPORT);
	default:
		return ANSWER_ERRNO(EAFNOSUPPORT);
	}
}

uint32_t policy_answer(uint32_t arch, uint32_t nr, const uint64_t args[6])
{
	if (arch != AUDIT_ARCH_X86_64)
		return ANSWER_KILL;
	uint32_t a0 = (uint32_t)args[0], a1 = (uint32_t)args[1], a2 = (uint32_t)args[2];
	switch (policy_of(nr)) {
	case POLICY_ALLOW:
		return ANSWER_ALLOW;
	case POLICY_EPERM:
		return ANSWER_ERRNO(EPERM);
	case POLICY_CLONE:
		return a0 & (uint32_t)NEW_NAMESPACES ? ANSWER_ERRNO(EPERM) : ANSWER_ALLOW;
	case POLICY_IOCTL:
		return a1 == TIOCSTI || a1 == TIOCLINUX ? ANSWER_ERRNO(EPERM) : ANSWER_ALLOW;
	case POLICY_SOCKET:
		return answer_socket(a0, a1, a2);
	case POLICY_PERSONALITY:
		return a0 == 0 || a0 == PERSONALITY_QUERY ? ANSWER_ALLOW : ANSWER_ERRNO(EPERM);
	case POLICY_ENOSYS:
	case POLICY_VERDICT_MAX:
		break;
	}
	return ANSWER_ERRNO(ENOSYS);
}

/*
 * The emitter: instructions whose jumps name labels; labels become offsets in
 * the end. A jump reaches 255 instructions, which the whole program stays below.
 */
enum {
	L_NONE,
	L_ALLOW, L_EPERM, L_ENOSYS, L_EAFNOSUPPORT, L_EPROTONOSUPPORT, L_KILL, /* returns, shared by all */
	L_CLONE, L_IOCTL, L_SOCKET, L_PERSONALITY, L_NETLINK, L_INET, L_NUMBER,
	L_FREE, /* the nodes of the tree */
	L_MAX = 512,
	INSNS_MAX = 256,
};

struct emitter {
	struct spec_bpf insns[INSNS_MAX];
	uint16_t jt[INSNS_MAX], jf[INSNS_MAX]; /* labels */
	int16_t where[L_MAX];
	size_t n;
	uint16_t labels;
};

struct range {
	uint32_t start;
	enum policy_verdict verdict;
};

static void insn(struct emitter *e, uint16_t code, uint32_t k, uint16_t jt, uint16_t jf)
{
	assert(e->n < INSNS_MAX);
	e->insns[e->n] = (struct spec_bpf){ code, 0, 0, k };
	e->jt[e->n] = jt;
	e->jf[e->n] = jf;
	e->n++;
}

static void here(struct emitter *e, uint16_t label) { e->where[label] = (int16_t)e->n; }
static void load(struct emitter *e, uint32_t off) { insn(e, BPF_LD | BPF_W | BPF_ABS, off, L_NONE, L_NONE); }

/* Low half of an argument (little endian). */
static void load_arg(struct emitter *e, int arg)
{
	load(e, (uint32_t)(offsetof(struct seccomp_data, args) + 8 * (size_t)arg));
}

/* L_NONE: fall through */
static void jump_eq(struct emitter *e, uint32_t k, uint16_t yes, uint16_t no)
{
	insn(e, BPF_JMP | BPF_JEQ | BPF_K, k, yes, no);
}

static void answer(struct emitter *e, uint16_t label, uint32_t value)
{
	here(e, label);
	insn(e, BPF_RET | BPF_K, value, L_NONE, L_NONE);
}

static uint16_t label_of(enum policy_verdict v)
{
	static const uint16_t labels[POLICY_VERDICT_MAX] = {
		[POLICY_ENOSYS] = L_ENOSYS, [POLICY_ALLOW] = L_ALLOW, [POLICY_EPERM] = L_EPERM, [POLICY_CLONE] = L_CLONE,
		[POLICY_IOCTL] = L_IOCTL, [POLICY_SOCKET] = L_SOCKET, [POLICY_PERSONALITY] = L_PERSONALITY,
	};
	return labels[v];
}

/* The label that decides for ranges [lo, hi]. */
static uint16_t emit_tree(struct emitter *e, const struct range *r, size_t lo, size_t hi)
{
	if (lo == hi)
		return label_of(r[lo].verdict);
	size_t mid = (lo + hi + 1) / 2, at = e->n;
	assert(e->labels < L_MAX);
	uint16_t self = e->labels++;
	here(e, self);
	insn(e, BPF_JMP | BPF_JGE | BPF_K, r[mid].start, L_NONE, L_NONE);
	e->jf[at] = emit_tree(e, r, lo, mid - 1);
	e->jt[at] = emit_tree(e, r, mid, hi);
	return self;
}

static void emit_checks(struct emitter *e)
{
	here(e, L_CLONE);
	load_arg(e, 0);
	insn(e, BPF_JMP | BPF_JSET | BPF_K, (uint32_t)NEW_NAMESPACES, L_EPERM, L_ALLOW);

	here(e, L_IOCTL);
	load_arg(e, 1);
	jump_eq(e, TIOCSTI, L_EPERM, L_NONE);
	jump_eq(e, TIOCLINUX, L_EPERM, L_ALLOW);

	here(e, L_PERSONALITY);
	load_arg(e, 0);
	jump_eq(e, 0, L_ALLOW, L_NONE);
	jump_eq(e, PERSONALITY_QUERY, L_ALLOW, L_EPERM);

	here(e, L_SOCKET);
	load_arg(e, 0);
	jump_eq(e, AF_UNIX, L_ALLOW, L_NONE);
	jump_eq(e, AF_INET, L_INET, L_NONE);
	jump_eq(e, AF_INET6, L_INET, L_NONE);
	jump_eq(e, AF_NETLINK, L_NETLINK, L_EAFNOSUPPORT);
	here(e, L_NETLINK);
	load_arg(e, 2);
	jump_eq(e, NETLINK_ROUTE_, L_ALLOW, L_EPROTONOSUPPORT);
	here(e, L_INET);
	load_arg(e, 1);
	insn(e, BPF_ALU | BPF_AND | BPF_K, SOCK_TYPE_BITS, L_NONE, L_NONE);
	insn(e, BPF_JMP | BPF_JGT | BPF_K, SOCK_RAW, L_EPROTONOSUPPORT, L_NONE);
	load_arg(e, 2);
	jump_eq(e, 0, L_ALLOW, L_NONE);
	jump_eq(e, IPPROTO_TCP, L_ALLOW, L_NONE);
	jump_eq(e, IPPROTO_UDP, L_ALLOW, L_NONE);
	jump_eq(e, IPPROTO_ICMP, L_ALLOW, L_NONE);
	jump_eq(e, IPPROTO_ICMPV6, L_ALLOW, L_EPROTONOSUPPORT);
}

static void resolve(struct emitter *e)
{
	for (size_t i = 0; i < e->n; i++) {
		if (BPF_CLASS(e->insns[i].code) != BPF_JMP)
			continue;
		int yes = e->jt[i] == L_NONE ? 0 : e->where[e->jt[i]] - (int)i - 1;
		int no = e->jf[i] == L_NONE ? 0 : e->where[e->jf[i]] - (int)i - 1;
		assert(yes >= 0 && yes <= 255 && no >= 0 && no <= 255);
		e->insns[i].jt = (uint8_t)yes;
		e->insns[i].jf = (uint8_t)no;
	}
}

void policy_emit(struct plan *p)
{
	struct range ranges[2 * ARRAY_LEN(rules)];
	size_t n = 0;
	for (uint32_t nr = 0; nr <= policy_last() + 1; nr++) {
		enum policy_verdict v = policy_of(nr);
		if (n == 0 || ranges[n - 1].verdict != v)
			ranges[n++] = (struct range){ nr, v };
	}

	struct emitter e = { .n = 0, .labels = L_FREE };
	load(&e, offsetof(struct seccomp_data, arch));
	jump_eq(&e, AUDIT_ARCH_X86_64, L_NUMBER, L_KILL);
	here(&e, L_NUMBER);
	load(&e, offsetof(struct seccomp_data, nr));
	emit_tree(&e, ranges, 0, n - 1);
	emit_checks(&e);
	answer(&e, L_ALLOW, ANSWER_ALLOW);
	answer(&e, L_EPERM, ANSWER_ERRNO(EPERM));
	answer(&e, L_ENOSYS, ANSWER_ERRNO(ENOSYS));
	answer(&e, L_EAFNOSUPPORT, ANSWER_ERRNO(EAFNOSUPPORT));
	answer(&e, L_EPROTONOSUPPORT, ANSWER_ERRNO(EPROTONOSUPPORT));
	answer(&e, L_KILL, ANSWER_KILL);
	resolve(&e);
	for (size_t i = 0; i < e.n; i++)
		plan_add_seccomp(p, &e.insns[i]);
}
