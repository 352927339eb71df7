/* nnp - no_new_privs: execve grants nothing any more (prctl(2)). From here on setuid bits and file capabilities are dead. */
#include "sandbox/stage.h"

#include <linux/prctl.h>

int nnp_enter(struct ctx *ctx)
{
	if (!spec_has(ctx->spec, SPEC_F_NO_NEW_PRIVS))
		return 0;
	int r = sys_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return r < 0 ? stage_fail(ctx, r, "no_new_privs", "") : 0;
}
