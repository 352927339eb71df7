/*
 * init - PID 1 inside (SPEC_F_INIT).
 *
 * Starts the payload with vfork semantics, so that whether execve worked is a
 * variable in shared memory and not a protocol. Then waits for signals: all are
 * blocked, and blocked ones are queued even for a PID 1 (signal(7) drops only
 * what is neither blocked nor handled). SIGCHLD: reap everything. Anything
 * else is passed on to the payload. When the payload ends, its status and
 * usage are reported and we exit, which ends whatever is left in the namespace.
 */
#include "sandbox/stage.h"

#include <sys/resource.h>
#include <time.h>

static struct {
	struct ctx *ctx;
	int exec_errno;
} start;

static int payload_child(void *arg)
{
	struct ctx *ctx = arg;
	uint64_t none = 0;
	sys4(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, SYS_P(&none), 0, sizeof(uint64_t));
	if (spec_has(ctx->spec, SPEC_F_NEW_SESSION))
		sys0(__NR_setsid);
	start.exec_errno = exec_payload(ctx);
	return 127;
}

static void report_exit(struct ctx *ctx, int status, const struct rusage *ru)
{
	struct report *r = &ctx->report;
	r->code = status;
	r->exit_ns = sys_clock_ns(CLOCK_MONOTONIC);
	r->user_us = (uint64_t)ru->ru_utime.tv_sec * 1000000 + (uint64_t)ru->ru_utime.tv_usec;
	r->system_us = (uint64_t)ru->ru_stime.tv_sec * 1000000 + (uint64_t)ru->ru_stime.tv_usec;
	r->maxrss_kib = (uint64_t)ru->ru_maxrss;
	r->nvcsw = (uint32_t)ru->ru_nvcsw;
	r->nivcsw = (uint32_t)ru->ru_nivcsw;
	status_send(ctx, REPORT_EXITED);
}

/* Reap until nothing is left to reap; true when the payload was among it. */
static int reap(int payload, int *status, struct rusage *ru)
{
	int ended = 0;
	for (;;) {
		int st;
		struct rusage usage;
		long pid = sys4(__NR_wait4, -1, SYS_P(&st), 1 /* WNOHANG */, SYS_P(&usage));
		if (pid <= 0)
			return ended;
		if (pid == payload) {
			*status = st;
			*ru = usage;
			ended = 1;
		}
	}
}

void init_run(struct ctx *ctx)
{
	static char stack[16384] __attribute__((aligned(16)));
	uint64_t all = ~(uint64_t)0;
	int status = 0;
	struct rusage ru;

	sys4(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, SYS_P(&all), 0, sizeof(uint64_t));
	ctx->report.wall_ns[STAGE_MAX] = sys_clock_ns(CLOCK_MONOTONIC);
	ctx->report.cpu_ns[STAGE_MAX] = sys_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	long pid = sys_clone_call(0x4000 | 0x100 | 17 /* CLONE_VFORK | CLONE_VM | SIGCHLD */, stack + sizeof(stack), NULL,
				  payload_child, ctx);
	if (pid < 0 || start.exec_errno < 0) {
		stage_fail(ctx, 0, pid < 0 ? "clone" : "execute", pid < 0 ? "" : ctx->argv[0]);
		ctx->report.code = pid < 0 ? (int32_t)-pid : -start.exec_errno;
		status_send(ctx, REPORT_FAILED);
		sys_exit_group(1);
	}
	status_send(ctx, REPORT_RUNNING);
	sys_close_range(0, ctx->spec->payload_fds - 1, 0); /* or a closed pipe would not look closed */

	for (;;) {
		long sig = sys4(__NR_rt_sigtimedwait, SYS_P(&all), 0, 0, sizeof(uint64_t));
		if (sig < 0)
			continue; /* EINTR by ptrace or a stop */
		if (sig != 17) {
			sys_kill((int)pid, (int)sig);
			continue;
		}
		if (!reap((int)pid, &status, &ru))
			continue;
		report_exit(ctx, status, &ru);
		sys_exit_group((status & 0x7f) ? 128 + (status & 0x7f) : (status >> 8) & 0xff);
	}
}
