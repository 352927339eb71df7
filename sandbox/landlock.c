/*
 * landlock - a second opinion on the file system (landlock(7)), for the case
 * that the mounts are wrong. Left out where the kernel has none, unless the
 * spec requires it.
 *
 * Should: handle only the rights this kernel's ABI knows.
 * Mustn't: come before no_new_privs.
 */
#include "sandbox/stage.h"

#include <linux/landlock.h>

/* ABI 1 knows 13 file system rights, 2 adds REFER, 3 TRUNCATE, 5 IOCTL_DEV; 6 adds scopes. */
static uint64_t known_rights(long abi)
{
	return abi >= 5 ? (1u << 16) - 1 : abi >= 3 ? (1u << 15) - 1 : abi == 2 ? (1u << 14) - 1 : (1u << 13) - 1;
}

static int add_rules(struct ctx *ctx, int ruleset, uint64_t known)
{
	SPEC_EACH(ctx->spec, LANDLOCK, struct spec_landlock, l) {
		const char *path = spec_text(ctx->spec, l->path);
		struct { uint64_t access; int32_t fd; } __attribute__((packed)) rule = { l->access & known, 0 };
		rule.fd = sys_openat(AT_FDCWD, path, O_PATH | O_CLOEXEC, 0);
		if (rule.fd == -2) /* ENOENT: nothing there to allow */
			continue;
		long r = rule.fd < 0 ? rule.fd
				     : sys4(__NR_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, SYS_P(&rule), 0);
		if (rule.fd >= 0)
			sys_close(rule.fd);
		if (r < 0)
			return stage_fail(ctx, r, "allow", path);
	}
	return 0;
}

int landlock_enter(struct ctx *ctx)
{
	const struct spec *s = ctx->spec;
	if (!s->landlock_handled)
		return 0;
	long abi = (s->features_off >> SYS_LANDLOCK) & 1 ? -38
							  : sys3(__NR_landlock_create_ruleset, 0, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (abi < 0)
		return spec_has(s, SPEC_F_LANDLOCK_REQUIRED) ? stage_fail(ctx, abi, "this kernel has no Landlock", "") : 0;

	uint64_t known = known_rights(abi);
	struct { uint64_t fs, net, scoped; } attr = { s->landlock_handled & known, 0, abi >= 6 ? s->landlock_scoped : 0 };
	int ruleset = (int)sys3(__NR_landlock_create_ruleset, SYS_P(&attr), abi >= 6 ? 24 : abi >= 4 ? 16 : 8, 0);
	if (ruleset < 0)
		return stage_fail(ctx, ruleset, "create the ruleset", "");
	int r = add_rules(ctx, ruleset, known);
	if (r == 0) {
		r = (int)sys2(__NR_landlock_restrict_self, ruleset, 0);
		if (r < 0)
			r = stage_fail(ctx, r, "restrict", "");
	}
	sys_close(ruleset);
	return r;
}
