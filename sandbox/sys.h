/*
 * sys - the kernel's edge: system calls without a libc, and the only place
 * with #ifdefs and fallbacks for kernels that lack a call.
 *
 * Every wrapper returns what the kernel returned: >= 0, or -errno. Used by
 * fc-sandbox, which has no libc at all, and by host/ for the calls that libc
 * does not have. Structures and constants come from the kernel's own headers.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <asm/unistd.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/time_types.h>

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

/* Features newer than the floor (Linux 6.1). Each has an older path; spec.features_off forces it. */
#define SYS_FEATURE_LIST(X)                                                                     \
	X(LOWERDIR_FD, "lowerdir-fd") /* overlay layers as detached mounts by descriptor, 6.15 */ \
	X(IDMAP, "idmap")             /* idmapped mounts: not on every file system */           \
	X(LANDLOCK, "landlock")       /* may be compiled out */                                 \
	X(PIDFD_USERNS, "pidfd-userns") /* PIDFD_GET_USER_NAMESPACE, 6.11; else /proc/PID/ns/user */ \
	X(CLONE3, "clone3")           /* an outer container's filter may refuse it: clone(2) and a move into the cgroup */
enum sys_feature {
#define X(name, text) SYS_##name,
	SYS_FEATURE_LIST(X)
#undef X
	SYS_FEATURE_MAX
};

#ifndef MOUNT_ATTR_IDMAP
#define MOUNT_ATTR_IDMAP 0x00100000
#endif
#ifndef PIDFD_GET_USER_NAMESPACE
#define PIDFD_GET_USER_NAMESPACE 0xff09 /* _IO(0xFF, 9), linux/pidfd.h since 6.11 */
#endif

#ifdef __clang_analyzer__
/* It cannot see what the assembler below writes; a call of which it knows nothing may write anything. */
long sys_call(long nr, long a, long b, long c, long d, long e, long f);
#else
static inline long sys_call(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}
#endif

#define SYS_P(p) ((long)(uintptr_t)(p))
#define sys0(n) sys_call(n, 0, 0, 0, 0, 0, 0)
#define sys1(n, a) sys_call(n, (long)(a), 0, 0, 0, 0, 0)
#define sys2(n, a, b) sys_call(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define sys3(n, a, b, c) sys_call(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define sys4(n, a, b, c, d) sys_call(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define sys5(n, a, b, c, d, e) sys_call(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

/* files */
static inline int sys_openat(int dir, const char *path, int flags, int mode)
{
	return (int)sys4(__NR_openat, dir, SYS_P(path), flags, mode);
}
/* openat2(2), below root: symlinks and ".." cannot leave it, magic links are refused. */
static inline int sys_open_in_root(int root, const char *path, uint64_t flags, uint64_t mode)
{
	struct open_how how = { .flags = flags, .mode = mode, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	return (int)sys4(__NR_openat2, root, SYS_P(path), SYS_P(&how), sizeof(how));
}
static inline int sys_close(int fd) { return (int)sys1(__NR_close, fd); }
static inline int sys_close_range(unsigned first, unsigned last, unsigned flags)
{
	return (int)sys3(__NR_close_range, first, last, flags);
}
static inline long sys_read(int fd, void *buf, size_t len) { return sys3(__NR_read, fd, SYS_P(buf), len); }
static inline long sys_write(int fd, const void *buf, size_t len) { return sys3(__NR_write, fd, SYS_P(buf), len); }
static inline int sys_dup3(int from, int to, int flags) { return (int)sys3(__NR_dup3, from, to, flags); }
static inline int sys_fcntl(int fd, int cmd, long arg) { return (int)sys3(__NR_fcntl, fd, cmd, arg); }
static inline int sys_mkdirat(int dir, const char *path, int mode)
{
	return (int)sys3(__NR_mkdirat, dir, SYS_P(path), mode);
}
static inline int sys_mknodat(int dir, const char *path, int mode, unsigned dev)
{
	return (int)sys4(__NR_mknodat, dir, SYS_P(path), mode, dev);
}
static inline int sys_symlinkat(const char *target, int dir, const char *path)
{
	return (int)sys3(__NR_symlinkat, SYS_P(target), dir, SYS_P(path));
}
static inline int sys_fchown(int fd, unsigned uid, unsigned gid) { return (int)sys3(__NR_fchown, fd, uid, gid); }
static inline int sys_fchownat(int dir, const char *path, unsigned uid, unsigned gid, int flags)
{
	return (int)sys5(__NR_fchownat, dir, SYS_P(path), uid, gid, flags);
}
static inline int sys_chdir(const char *path) { return (int)sys1(__NR_chdir, SYS_P(path)); }
static inline int sys_fchdir(int fd) { return (int)sys1(__NR_fchdir, fd); }
static inline int sys_chroot(const char *path) { return (int)sys1(__NR_chroot, SYS_P(path)); }

/* mounts: the interface of fsopen(2), open_tree(2), mount_setattr(2) */
static inline int sys_fsopen(const char *type) { return (int)sys2(__NR_fsopen, SYS_P(type), FSOPEN_CLOEXEC); }
static inline int sys_fsconfig(int fd, unsigned cmd, const char *key, const void *value, int aux)
{
	return (int)sys5(__NR_fsconfig, fd, cmd, SYS_P(key), SYS_P(value), aux);
}
static inline int sys_fsmount(int fd, unsigned attr) { return (int)sys3(__NR_fsmount, fd, FSMOUNT_CLOEXEC, attr); }
static inline int sys_open_tree(int dir, const char *path, unsigned flags)
{
	return (int)sys3(__NR_open_tree, dir, SYS_P(path), flags | OPEN_TREE_CLOEXEC);
}
/* Attach the mount behind `from` on top of the place behind `to` (both descriptors). */
static inline int sys_move_mount(int from, int to)
{
	return (int)sys5(__NR_move_mount, from, SYS_P(""), to, SYS_P(""), MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}
static inline int sys_mount_setattr(int fd, unsigned flags, struct mount_attr *attr)
{
	return (int)sys5(__NR_mount_setattr, fd, SYS_P(""), flags | AT_EMPTY_PATH, SYS_P(attr), sizeof(*attr));
}
static inline int sys_mount(const char *src, const char *dst, const char *type, unsigned long flags, const void *data)
{
	return (int)sys5(__NR_mount, SYS_P(src), SYS_P(dst), SYS_P(type), flags, SYS_P(data));
}
static inline int sys_umount2(const char *path, int flags) { return (int)sys2(__NR_umount2, SYS_P(path), flags); }
static inline int sys_pivot_root(const char *new_root, const char *put_old)
{
	return (int)sys2(__NR_pivot_root, SYS_P(new_root), SYS_P(put_old));
}

/* processes and namespaces */
static inline int sys_unshare(int flags) { return (int)sys1(__NR_unshare, flags); }
static inline int sys_setns(int fd, int type) { return (int)sys2(__NR_setns, fd, type); }
static inline int sys_prctl(int op, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
	return (int)sys5(__NR_prctl, op, a, b, c, d);
}
static inline int sys_execve(const char *path, char *const *argv, char *const *envp)
{
	return (int)sys3(__NR_execve, SYS_P(path), SYS_P(argv), SYS_P(envp));
}
__attribute__((noreturn)) static inline void sys_exit_group(int status)
{
	for (;;)
		sys1(__NR_exit_group, status);
}
static inline int sys_kill(int pid, int sig) { return (int)sys2(__NR_kill, pid, sig); }

static inline uint64_t sys_clock_ns(int clock)
{
	struct __kernel_timespec ts = { 0, 0 };
	sys2(__NR_clock_gettime, clock, SYS_P(&ts));
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/*
 * clone3(2) with CLONE_VM: fn(arg) runs in the child on the given stack, in our
 * own memory, without copying a page. The child may make system calls only and
 * ends by execve or exit; the memory it uses must stay until then.
 */
static inline long sys_clone3_call(struct clone_args *args, size_t size, void *stack, size_t stack_size,
				   int (*fn)(void *), void *arg)
{
	uintptr_t *sp = (uintptr_t *)(((uintptr_t)stack + stack_size) & ~(uintptr_t)15) - 2;
	sp[0] = (uintptr_t)fn;
	sp[1] = (uintptr_t)arg;
	args->stack = (uintptr_t)stack;
	args->stack_size = (uintptr_t)sp - (uintptr_t)stack;
	long ret;
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "pop %%rax\n\t"
			 "pop %%rdi\n\t"
			 "call *%%rax\n\t"
			 "mov %%eax, %%edi\n\t"
			 "mov %[nr_exit], %%eax\n\t"
			 "syscall\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(ret)
			 : "a"(__NR_clone3), "D"(args), "S"(size), [nr_exit] "i"(__NR_exit_group)
			 : "rcx", "r11", "memory");
	return ret;
}

/* The same by clone(2), which kernels and filters without clone3 have. parent_tid: for CLONE_PIDFD, else NULL. */
static inline long sys_clone_call(unsigned long flags, void *stack_top, int *parent_tid, int (*fn)(void *), void *arg)
{
	uintptr_t *sp = (uintptr_t *)((uintptr_t)stack_top & ~(uintptr_t)15) - 2;
	sp[0] = (uintptr_t)fn;
	sp[1] = (uintptr_t)arg;
	long ret;
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "pop %%rax\n\t"
			 "pop %%rdi\n\t"
			 "call *%%rax\n\t"
			 "mov %%eax, %%edi\n\t"
			 "mov %[nr_exit], %%eax\n\t"
			 "syscall\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(ret)
			 : "a"(__NR_clone), "D"(flags), "S"(sp), "d"(parent_tid), "r"(r10), "r"(r8), [nr_exit] "i"(__NR_exit_group)
			 : "rcx", "r11", "memory");
	return ret;
}
