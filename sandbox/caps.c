/*
 * caps - leave only the capabilities the spec names (capabilities(7)).
 *
 * Should: bounding set first (it needs CAP_SETPCAP), then the three sets, then
 * ambient. Without no_new_privs the filter is attached before, because that
 * needs CAP_SYS_ADMIN.
 * Mustn't yet: rely on any of them afterwards.
 */
#include "sandbox/stage.h"

#include <linux/capability.h>
#include <linux/prctl.h>

int caps_enter(struct ctx *ctx)
{
	const struct spec_caps *c = &ctx->spec->caps;
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = {
		{ (uint32_t)c->effective, (uint32_t)c->permitted, (uint32_t)c->inheritable },
		{ (uint32_t)(c->effective >> 32), (uint32_t)(c->permitted >> 32), (uint32_t)(c->inheritable >> 32) },
	};

	if (!spec_has(ctx->spec, SPEC_F_NO_NEW_PRIVS)) {
		int r = payload_enter(ctx); /* an OCI filter need not allow what reading it takes */
		if (r == 0)
			r = seccomp_attach(ctx);
		if (r < 0)
			return r;
	}
	for (int cap = 0; cap < 64; cap++) {
		if (c->bounding >> cap & 1)
			continue;
		int r = sys_prctl(PR_CAPBSET_DROP, (unsigned long)cap, 0, 0, 0);
		if (r == -22) /* EINVAL: the kernel's last one was before this */
			break;
		if (r < 0)
			return stage_fail(ctx, r, "drop a capability from the bounding set", "");
	}
	long r = sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (r == 0)
		r = sys2(__NR_capset, SYS_P(&h), SYS_P(d));
	if (r < 0)
		return stage_fail(ctx, r, "set capabilities", "");
	for (int cap = 0; cap < 64; cap++)
		if (c->ambient >> cap & 1) {
			r = sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, (unsigned long)cap, 0, 0);
			if (r < 0)
				return stage_fail(ctx, r, "raise an ambient capability", "");
		}
	return 0;
}
