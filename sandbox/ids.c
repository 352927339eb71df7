/*
 * ids - become the payload's user.
 *
 * Should: set umask, groups, gid, uid; keep capabilities for the stages after
 * (the caps stage drops them); stop being dumpable, so that the payload, which
 * has the same uid, can neither trace PID 1 nor read its memory or descriptors.
 * Mustn't yet: read the payload.
 */
#include "sandbox/stage.h"

#include <linux/capability.h>
#include <linux/prctl.h>
#include <sys/socket.h>

static int regain_effective(void)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];
	long r = sys2(__NR_capget, SYS_P(&h), SYS_P(d));
	if (r < 0)
		return (int)r;
	d[0].effective = d[0].permitted;
	d[1].effective = d[1].permitted;
	return (int)sys2(__NR_capset, SYS_P(&h), SYS_P(d));
}

int ids_enter(struct ctx *ctx)
{
	const struct spec *s = ctx->spec;
	uint32_t count;
	const uint32_t *groups = spec_section(s, SPEC_SECT_GROUP, &count);
	long r = 0;

	sys1(__NR_umask, s->umask);
	if (!spec_has(s, SPEC_F_SETGROUPS_DENY))
		r = sys2(__NR_setgroups, count, SYS_P(groups));
	if (r < 0)
		return stage_fail(ctx, r, "setgroups", "");
	r = sys_prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
	if (r == 0)
		r = sys3(__NR_setresgid, s->gid, s->gid, s->gid);
	if (r == 0)
		r = sys3(__NR_setresuid, s->uid, s->uid, s->uid);
	if (r < 0)
		return stage_fail(ctx, r, "take the payload's uid and gid", "");
	r = regain_effective();
	if (r == 0)
		r = sys_prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
	if (r == 0)
		r = sys_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (r == 0 && spec_has(s, SPEC_F_DIE_WITH_PARENT)) {
		char byte;
		r = sys_prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0); /* after setresuid, which clears it */
		/* a launcher that died before this line sends no signal any more; its end of the socket is closed */
		if (r == 0 && sys_call(__NR_recvfrom, ctx->status_fd, SYS_P(&byte), 1, MSG_PEEK | MSG_DONTWAIT, 0, 0) == 0)
			sys_exit_group(1);
	}
	return r < 0 ? stage_fail(ctx, r, "settle the new ids", "") : 0;
}
