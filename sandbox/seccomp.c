/*
 * seccomp - attach the filter; the last thing before execve when
 * no_new_privs is set. It was compiled by plan/: here it is bytes.
 * The filter must allow what comes after it: execve, and for PID 1 wait4,
 * rt_sigtimedwait, kill, sendto, clock_gettime, clone and exit_group.
 */
#include "sandbox/stage.h"

#include <linux/filter.h>
#include <linux/seccomp.h>

int seccomp_attach(struct ctx *ctx)
{
	uint32_t count;
	const struct spec_bpf *bpf = spec_section(ctx->spec, SPEC_SECT_SECCOMP, &count);
	if (count == 0)
		return 0;
	_Static_assert(sizeof(struct spec_bpf) == sizeof(struct sock_filter), "as the kernel takes it");
	struct sock_fprog prog = { (unsigned short)count, (struct sock_filter *)(uintptr_t)bpf };
	unsigned flags = spec_has(ctx->spec, SPEC_F_SECCOMP_LOG) ? SECCOMP_FILTER_FLAG_LOG : 0;
	long r = sys3(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, SYS_P(&prog));
	return r < 0 ? stage_fail(ctx, r, "attach the filter", "") : 0;
}

int seccomp_enter(struct ctx *ctx)
{
	return spec_has(ctx->spec, SPEC_F_NO_NEW_PRIVS) ? seccomp_attach(ctx) : 0;
}
