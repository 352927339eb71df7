/*
 * limits - what a process carries: rlimits, scheduling, OOM preference, keyring.
 *
 * Should: set them while we may still raise hard limits; let go of the host's
 * /proc, which nothing after us needs.
 * Mustn't yet: change ids (RLIMIT_NPROC would count against the new one).
 */
#include "sandbox/stage.h"

#include <linux/keyctl.h>
#include <sys/resource.h>

/* By RLIMIT_*; spec_check bounds the number. */
static const char *const rlimit_names[16] = {
	"RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_NPROC", "RLIMIT_NOFILE",
	"RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_RTPRIO",
	"RLIMIT_RTTIME",
};

static int set_rlimit(struct ctx *ctx, const struct spec_rlimit *l)
{
	uint64_t pair[2] = { l->soft, l->hard };
	long r = sys4(__NR_prlimit64, 0, l->resource, SYS_P(pair), 0);
	return r < 0 ? stage_fail(ctx, r, "set", rlimit_names[l->resource]) : 0;
}

int limit_files(struct ctx *ctx)
{
	int r = 0;
	SPEC_EACH(ctx->spec, RLIMIT, struct spec_rlimit, l) {
		if (r == 0 && l->resource == RLIMIT_FSIZE)
			r = set_rlimit(ctx, l);
	}
	return r;
}

int limits_enter(struct ctx *ctx)
{
	const struct spec *s = ctx->spec;
	long r;

	if (s->oom_score_adj != INT32_MIN) {
		char text[16];
		size_t n = s->oom_score_adj < 0 ? str_add(text, sizeof(text), 0, "-") : 0;
		str_add_num(text, sizeof(text), n, (uint64_t)(s->oom_score_adj < 0 ? -(int64_t)s->oom_score_adj : s->oom_score_adj), 10);
		r = proc_self(ctx);
		if (r >= 0)
			r = write_file(ctx->proc_fd, "oom_score_adj", text);
		if (r < 0)
			return stage_fail(ctx, r, "set oom_score_adj to", text);
	}
	if (s->personality != UINT32_MAX) {
		r = sys1(__NR_personality, s->personality);
		if (r < 0)
			return stage_fail(ctx, r, "personality", "");
	}
	if (s->io_class) {
		r = sys3(__NR_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, s->io_class);
		if (r < 0)
			return stage_fail(ctx, r, "ioprio_set", "");
	}
	if (spec_has(s, SPEC_F_NEW_KEYRING)) {
		r = sys2(__NR_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0);
		if (r < 0 && r != -38) /* ENOSYS: a kernel without keys has none to share */
			return stage_fail(ctx, r, "new session keyring", "");
	}
	SPEC_EACH(s, RLIMIT, struct spec_rlimit, l) {
		if (l->resource == RLIMIT_FSIZE && spec_has(s, SPEC_F_GATE))
			continue; /* at the gate we still write the state that hooks read */
		r = set_rlimit(ctx, l);
		if (r < 0)
			return (int)r;
	}
	if (ctx->proc_fd >= 0)
		sys_close(ctx->proc_fd);
	ctx->proc_fd = -1;
	return 0;
}
