/*
 * fds - the first stage: know which descriptors there are.
 *
 * Should: reset signal dispositions, close everything that was not given to
 * us, mark our own close-on-exec, map and check the spec.
 * Mustn't yet: touch a namespace, read the payload.
 */
#include "sandbox/stage.h"

#include <linux/close_range.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define SEALS (0x0001 | 0x0002 | 0x0004 | 0x0008) /* F_SEAL_SEAL SHRINK GROW WRITE, fcntl(2) */

/* Ignored signals survive execve: the payload shall find all at their default, none blocked. */
static void reset_signals(void)
{
	struct { void *handler; unsigned long flags; void *restorer; uint64_t mask; } dfl = { 0 };
	uint64_t none = 0;
	for (int sig = 1; sig <= 64; sig++)
		if (sig != 9 && sig != 19)
			sys4(__NR_rt_sigaction, sig, SYS_P(&dfl), 0, sizeof(uint64_t));
	sys4(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, SYS_P(&none), 0, sizeof(uint64_t));
}

int fds_enter(struct ctx *ctx)
{
	unsigned first = (unsigned)ctx->fd[0];
	int fd = ctx->fd[SANDBOX_FD_SPEC];
	struct stat st;

	reset_signals();
	int r = sys_close_range(first + SANDBOX_FD_MAX, ~0u, 0);
	if (r == 0)
		r = sys_close_range(first, ~0u, CLOSE_RANGE_CLOEXEC);
	if (r < 0)
		return stage_fail(ctx, r, "close_range", "");

	r = sys_fcntl(fd, F_GET_SEALS, 0);
	if (r < 0 || (r & SEALS) != SEALS)
		return stage_fail(ctx, r < 0 ? r : -1, "spec is not sealed", "");
	r = (int)sys2(__NR_fstat, fd, SYS_P(&st));
	if (r < 0 || st.st_size <= 0 || st.st_size > SPEC_SIZE_MAX)
		return stage_fail(ctx, r < 0 ? r : -22, "spec size", "");
	long map = sys_call(__NR_mmap, 0, st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (map < 0 && map > -4096)
		return stage_fail(ctx, map, "map the spec", "");

	const char *what = "";
	r = spec_check((const void *)map, (size_t)st.st_size, &what);
	if (r < 0)
		return stage_fail(ctx, r, "spec", what);
	ctx->spec = (const struct spec *)map;
	if (ctx->spec->payload_fds != first)
		return stage_fail(ctx, -22, "spec", "payload_fds");
	sys_close(fd);
	return 0;
}
