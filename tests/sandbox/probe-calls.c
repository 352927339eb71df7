/*
 * System calls that a function has no business with. The arguments are good
 * ones, so that only a refusal, not a typing mistake, can be what is seen.
 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/kcmp.h>
#include <linux/mount.h>
#include <linux/perf_event.h>
#include <linux/reboot.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const int denied[] = { EPERM, ENOSYS, 0 };

static char page[4096] __attribute__((aligned(64)));
static struct timespec now;
static struct timeval now_us;
static struct timex no_change; /* modes 0 only reads; the filter refuses the call all the same */
static const char root_path[] = "/", tmp_path[] = "/tmp", proc_type[] = "proc", tmpfs_type[] = "tmpfs", name[] = "fc-probe";
static struct io_uring_params ring;
static struct iovec iov = { page, 16 };
static struct perf_event_attr perf = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(perf), .config = PERF_COUNT_SW_CPU_CLOCK,
				       .exclude_kernel = 1, .exclude_hv = 1 };
static union bpf_attr bpf_map = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1 };
static unsigned long node = 1;

#define P(x) ((long)(uintptr_t)(x))

/* A function for each, since addresses are no constants in a position-independent program. */
#define CALL(id, nr, a, b, c, d, e, f)                                                             \
	static void do_##id(struct result *r, const void *arg)                                     \
	{                                                                                          \
		(void)arg;                                                                         \
		clock_gettime(CLOCK_REALTIME, &now);                                               \
		gettimeofday(&now_us, NULL);                                                       \
		long ret = syscall(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f)); \
		judge(r, ret, errno, denied);                                                      \
	}
#define CALLS(X)                                                                          \
	X(io_uring, SYS_io_uring_setup, 4, P(&ring), 0, 0, 0, 0)                                   \
	X(bpf_map, SYS_bpf, BPF_MAP_CREATE, P(&bpf_map), sizeof(bpf_map), 0, 0, 0)                 \
	X(add_key, SYS_add_key, P("user"), P(name), P(page), 8, KEY_SPEC_PROCESS_KEYRING, 0)       \
	X(request_key, SYS_request_key, P("user"), P(name), 0, 0, 0, 0)                            \
	X(keyctl, SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1, 0, 0, 0)         \
	X(userfaultfd, SYS_userfaultfd, O_CLOEXEC | 1, 0, 0, 0, 0, 0)                              \
	X(perf_event_open, SYS_perf_event_open, P(&perf), 0, -1, -1, 0, 0)                         \
	X(ptrace_pid1, SYS_ptrace, PTRACE_SEIZE, 1, 0, 0, 0, 0)                                    \
	X(ptrace_traceme, SYS_ptrace, PTRACE_TRACEME, 0, 0, 0, 0, 0)                               \
	X(process_vm_readv, SYS_process_vm_readv, 1, P(&iov), 1, P(&iov), 1, 0)                    \
	X(process_vm_writev, SYS_process_vm_writev, getppid(), P(&iov), 1, P(&iov), 1, 0)          \
	X(process_madvise, SYS_process_madvise, -1, P(&iov), 1, 4, 0, 0)                           \
	X(pidfd_getfd, SYS_pidfd_getfd, syscall(SYS_pidfd_open, 1, 0), 0, 0, 0, 0, 0)              \
	X(kcmp, SYS_kcmp, 1, getpid(), KCMP_FILE, 0, 0, 0)                                         \
	X(unshare_user, SYS_unshare, CLONE_NEWUSER, 0, 0, 0, 0, 0)                                 \
	X(unshare_mount, SYS_unshare, CLONE_NEWNS, 0, 0, 0, 0, 0)                                  \
	X(unshare_net, SYS_unshare, CLONE_NEWNET, 0, 0, 0, 0, 0)                                   \
	X(unshare_time, SYS_unshare, CLONE_NEWTIME, 0, 0, 0, 0, 0)                                 \
	X(setns, SYS_setns, open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC), 0, 0, 0, 0, 0)        \
	X(mount, SYS_mount, P(tmpfs_type), P(tmp_path), P(tmpfs_type), 0, 0, 0)                    \
	X(mount_cgroup, SYS_mount, P(name), P(tmp_path), P("cgroup"), 0, P("memory"), 0)           \
	X(mount_bind, SYS_mount, P(root_path), P(tmp_path), 0, MS_BIND, 0, 0)                      \
	X(remount_rw, SYS_mount, 0, P(root_path), 0, MS_REMOUNT | MS_BIND, 0, 0)                   \
	X(umount, SYS_umount2, P("/proc"), MNT_DETACH, 0, 0, 0, 0)                                 \
	X(fsopen, SYS_fsopen, P(proc_type), FSOPEN_CLOEXEC, 0, 0, 0, 0)                            \
	X(fspick, SYS_fspick, AT_FDCWD, P(root_path), FSPICK_CLOEXEC, 0, 0, 0)                     \
	X(open_tree, SYS_open_tree, AT_FDCWD, P(root_path), OPEN_TREE_CLONE | O_CLOEXEC, 0, 0, 0)  \
	X(move_mount, SYS_move_mount, AT_FDCWD, P("/tmp"), AT_FDCWD, P("/dev/shm"), 0, 0)          \
	X(mount_setattr, SYS_mount_setattr, AT_FDCWD, P(root_path), 0, P(&(struct mount_attr){ .attr_clr = MOUNT_ATTR_RDONLY }), \
	  sizeof(struct mount_attr), 0)                                                            \
	X(pivot_root, SYS_pivot_root, P(root_path), P(tmp_path), 0, 0, 0, 0)                       \
	X(chroot, SYS_chroot, P(root_path), 0, 0, 0, 0, 0)                                         \
	X(name_to_handle_at, SYS_name_to_handle_at, AT_FDCWD, P(root_path), P(page), P(page + 256), 0, 0) \
	X(open_by_handle_at, SYS_open_by_handle_at, AT_FDCWD, P(page), O_RDONLY, 0, 0, 0)          \
	X(fanotify, SYS_fanotify_init, 0x200, O_RDONLY, 0, 0, 0, 0)                                \
	X(init_module, SYS_init_module, P(page), sizeof(page), P(""), 0, 0, 0)                     \
	X(finit_module, SYS_finit_module, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), P(""), 0, 0, 0, 0) \
	X(delete_module, SYS_delete_module, P("fc_no_such_module"), O_NONBLOCK, 0, 0, 0, 0)        \
	X(kexec_load, SYS_kexec_load, 0, 0, P(page), 0, 0, 0)                                      \
	X(reboot, SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF, 0, 0, 0) \
	X(swapon, SYS_swapon, P("/tmp/fc-no-such-swap"), 0, 0, 0, 0, 0)                            \
	X(quotactl, SYS_quotactl, 0x80000100, P("/dev/sda"), 0, P(page), 0, 0)                     \
	X(acct, SYS_acct, P("/tmp/fc-no-such-file"), 0, 0, 0, 0, 0)                                \
	X(syslog, SYS_syslog, 3, P(page), sizeof(page), 0, 0, 0)                                   \
	X(sethostname, SYS_sethostname, P("function"), 8, 0, 0, 0, 0)                              \
	X(setdomainname, SYS_setdomainname, P("(none)"), 6, 0, 0, 0, 0)                            \
	X(clock_settime, SYS_clock_settime, CLOCK_REALTIME, P(&now), 0, 0, 0, 0)                   \
	X(settimeofday, SYS_settimeofday, P(&now_us), 0, 0, 0, 0, 0) \
	X(adjtimex, SYS_adjtimex, P(&no_change), 0, 0, 0, 0, 0)                                    \
	X(clock_adjtime, SYS_clock_adjtime, CLOCK_REALTIME, P(&no_change), 0, 0, 0, 0)             \
	X(iopl, SYS_iopl, 3, 0, 0, 0, 0, 0)                                                        \
	X(ioperm, SYS_ioperm, 0x80, 1, 1, 0, 0, 0)                                                 \
	X(modify_ldt, SYS_modify_ldt, 0, P(page), sizeof(page), 0, 0, 0)                           \
	X(mbind, SYS_mbind, P(page), sizeof(page), 2, P(&node), 2, 0)                              \
	X(move_pages, SYS_move_pages, 0, 1, P(&iov), 0, P(page), 0)                                \
	X(memfd_secret, SYS_memfd_secret, O_CLOEXEC, 0, 0, 0, 0, 0)                                \
	X(aslr_off, SYS_personality, ADDR_NO_RANDOMIZE, 0, 0, 0, 0, 0)                             \
	X(personality_32, SYS_personality, PER_LINUX32, 0, 0, 0, 0, 0)                             \
	X(unknown_call, 1000, 0, 0, 0, 0, 0, 0)
CALLS(CALL)

static void clone_namespaces(struct result *r, const void *arg)
{
	const unsigned long *flags = arg;
	long pid = syscall(SYS_clone, *flags | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		_exit(0);
	int err = errno;
	if (pid > 0)
		waitpid((pid_t)pid, NULL, 0);
	judge(r, pid, err, denied);
}

static void clone3_namespaces(struct result *r, const void *arg)
{
	(void)arg;
	struct clone_args args = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
	long pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		_exit(0);
	int err = errno;
	if (pid > 0)
		waitpid((pid_t)pid, NULL, 0);
	judge(r, pid, err, denied);
}

/* The 32-bit entry has numbers of its own: getpid is 20 there. */
static void int80(struct result *r, const void *arg)
{
	(void)arg;
	long ret;
	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
	is_open(r, "a 32-bit call answered %ld", ret);
}

static void x32(struct result *r, const void *arg)
{
	(void)arg;
	long ret = syscall(0x40000000 | SYS_getpid);
	judge(r, ret, errno, denied);
}

/* Filters that look at 64 bits of an argument that the kernel takes as 32 can be passed by. */
static void clone_high_bits(struct result *r, const void *arg)
{
	(void)arg;
	long ret = syscall(SYS_unshare, (long)(0x100000000ull | CLONE_NEWUSER));
	judge(r, ret, errno, denied);
}

static const unsigned long flags_user = CLONE_NEWUSER, flags_all = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC,
			   flags_cgroup = CLONE_NEWCGROUP;

const struct probe probes_calls[] = {
#define X(id, nr, a, b, c, d, e, f) { #id, do_##id, NULL, false },
	CALLS(X)
#undef X
	{ "clone_user", clone_namespaces, &flags_user, false },
	{ "clone_all", clone_namespaces, &flags_all, false },
	{ "clone_cgroup", clone_namespaces, &flags_cgroup, false },
	{ "clone3_user", clone3_namespaces, NULL, false },
	{ "unshare_high_bits", clone_high_bits, NULL, false },
	{ "int80", int80, NULL, true },
	{ "x32", x32, NULL, false },
	{ NULL, NULL, NULL, false },
};
