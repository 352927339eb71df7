/* policy: the emitted BPF against the table, over every number, convention and interesting argument. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <asm/unistd.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "plan/policy.h"
#include "tests/unit/bpf.h"

struct program {
	struct spec_bpf insns[4096];
	size_t n;
};

static struct program program;

static int setup(void **state)
{
	(void)state;
	struct plan p;
	plan_init(&p);
	policy_emit(&p);
	assert_int_equal(p.status, 0);
	program.n = plan_count(&p, SPEC_SECT_SECCOMP);
	memcpy(program.insns, p.section[SPEC_SECT_SECCOMP].data, p.section[SPEC_SECT_SECCOMP].len);
	plan_fini(&p);
	return 0;
}

static uint32_t interpret(const struct seccomp_data *data, unsigned *steps)
{
	return bpf_run(program.insns, program.n, data, steps);
}

static unsigned check(uint32_t arch, uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
	struct seccomp_data d = { .nr = (int)nr, .arch = arch, .args = { a0, a1, a2 } };
	uint64_t args[6] = { a0, a1, a2 };
	unsigned steps = 0;
	uint32_t got = interpret(&d, &steps), want = policy_answer(arch, nr, args);
	if (got != want)
		fail_msg("arch %x nr %u args %llx %llx %llx: filter says %x, table %x", arch, nr, (unsigned long long)a0,
			 (unsigned long long)a1, (unsigned long long)a2, got, want);
	return steps;
}

static void test_every_number(void **state)
{
	(void)state;
	static const uint32_t archs[] = { AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, 0, 0xffffffff };
	static const uint32_t far[] = { 0x3fffffff, 0x40000000, 0x40000200, 0x7fffffff, 0x80000000, 0xffffffff };
	for (size_t a = 0; a < ARRAY_LEN(archs); a++) {
		for (uint32_t nr = 0; nr < 2048; nr++)
			check(archs[a], nr, 0, 0, 0);
		for (uint32_t x32 = 0x40000000; x32 < 0x40000400; x32++)
			check(archs[a], x32, 0, 0, 0);
		for (size_t i = 0; i < ARRAY_LEN(far); i++)
			check(archs[a], far[i], 0, 0, 0);
	}
}

/* Arguments with every single bit, small numbers, and the high halves the kernel ignores. */
static void test_arguments(void **state)
{
	(void)state;
	static const uint32_t numbers[] = { __NR_clone, __NR_ioctl, __NR_socket, __NR_socketpair, __NR_personality };
	for (size_t n = 0; n < ARRAY_LEN(numbers); n++) {
		for (unsigned bit = 0; bit < 64; bit++)
			for (int arg = 0; arg < 3; arg++)
				check(AUDIT_ARCH_X86_64, numbers[n], arg == 0 ? 1ull << bit : AF_INET,
				      arg == 1 ? 1ull << bit : SOCK_STREAM, arg == 2 ? 1ull << bit : 0);
		for (uint64_t a0 = 0; a0 < 64; a0++)
			for (uint64_t a1 = 0; a1 < 20; a1++)
				for (uint64_t a2 = 0; a2 < 270; a2 += a2 < 64 ? 1 : 7)
					check(AUDIT_ARCH_X86_64, numbers[n], a0, a1 | 0x100000000, a2);
		check(AUDIT_ARCH_X86_64, numbers[n], 0xffffffff, TIOCSTI, 0);
		check(AUDIT_ARCH_X86_64, numbers[n], UINT64_MAX, 0x100000000 | TIOCSTI, UINT64_MAX);
		check(AUDIT_ARCH_X86_64, numbers[n], 0x10000ffffffffull, TIOCLINUX, 262);
	}
}

/* What must be true whatever the table's author thought. */
static void test_promises(void **state)
{
	(void)state;
	static const uint32_t denied[] = {
		__NR_io_uring_setup, __NR_bpf, __NR_keyctl, __NR_add_key, __NR_userfaultfd, __NR_perf_event_open, __NR_ptrace,
		__NR_process_vm_readv, __NR_mount, __NR_umount2, __NR_fsopen, __NR_move_mount, __NR_open_tree, __NR_unshare,
		__NR_setns, __NR_pivot_root, __NR_chroot, __NR_init_module, __NR_finit_module, __NR_kexec_load, __NR_reboot,
		__NR_open_by_handle_at, __NR_syslog, __NR_iopl, __NR_clock_settime, __NR_sethostname, __NR_swapon,
	};
	static const uint32_t allowed[] = {
		__NR_read, __NR_openat, __NR_mmap, __NR_futex, __NR_execve, __NR_execveat, __NR_vfork, __NR_rseq,
		__NR_exit_group, __NR_epoll_pwait, __NR_getrandom, __NR_statx, __NR_memfd_create, __NR_pidfd_open,
		__NR_seccomp, __NR_landlock_restrict_self, __NR_close_range, __NR_openat2, __NR_arch_prctl,
		__NR_set_robust_list, __NR_membarrier, __NR_rt_sigreturn, __NR_restart_syscall, __NR_prctl,
	};
	for (size_t i = 0; i < ARRAY_LEN(denied); i++)
		assert_int_equal(policy_of(denied[i]), POLICY_EPERM);
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		assert_int_equal(policy_of(allowed[i]), POLICY_ALLOW);
	assert_int_equal(policy_of(__NR_clone3), POLICY_ENOSYS);

	uint64_t args[6] = { CLONE_NEWUSER | SIGCHLD };
	assert_int_equal(policy_answer(AUDIT_ARCH_X86_64, __NR_clone, args), SECCOMP_RET_ERRNO | EPERM);
	args[0] = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS;
	assert_int_equal(policy_answer(AUDIT_ARCH_X86_64, __NR_clone, args), SECCOMP_RET_ALLOW);
	args[0] = AF_VSOCK;
	assert_int_equal(policy_answer(AUDIT_ARCH_X86_64, __NR_socket, args), SECCOMP_RET_ERRNO | EAFNOSUPPORT);
	assert_int_equal(policy_answer(AUDIT_ARCH_I386, __NR_read, args), SECCOMP_RET_KILL_PROCESS);
	/* x32: the same kernel entries under other numbers */
	assert_int_equal(policy_answer(AUDIT_ARCH_X86_64, 0x40000000 | 520, args), SECCOMP_RET_ERRNO | ENOSYS);
}

/* The kernel runs it once per number when it is attached: keep that short. */
static void test_cost(void **state)
{
	(void)state;
	unsigned worst = 0, total = 0;
	for (uint32_t nr = 0; nr <= policy_last(); nr++) {
		unsigned steps = check(AUDIT_ARCH_X86_64, nr, 0, 0, 0);
		total += steps;
		worst = steps > worst ? steps : worst;
	}
	print_message("%zu instructions; over %u numbers %u steps in all, %u at most\n", program.n, policy_last() + 1, total,
		      worst);
	assert_true(program.n < 160);
	assert_true(total / (policy_last() + 1) < 13);
}

static void test_table_is_sorted_and_named(void **state)
{
	(void)state;
	for (int v = 0; v < POLICY_VERDICT_MAX; v++)
		assert_non_null(policy_verdict_name((enum policy_verdict)v));
	assert_int_equal(policy_of(policy_last() + 1), POLICY_ENOSYS);
	assert_int_equal(policy_of(400), POLICY_ENOSYS); /* the gap before the numbers shared by all architectures */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_number), cmocka_unit_test(test_arguments), cmocka_unit_test(test_promises),
		cmocka_unit_test(test_cost), cmocka_unit_test(test_table_is_sorted_and_named),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
