/*
 * root - leave the host's tree.
 *
 * Should: make the new root / (pivot_root(2), "." over "."), let go of the old
 * one, open the console, make / read-only when asked.
 * Mustn't yet: drop ids; the mounts still need our rights.
 */
#include "sandbox/stage.h"

#include <sys/mount.h>

/* On an initramfs pivot_root is refused: move the new root over / and chroot. */
static int move_root(struct ctx *ctx)
{
	int r = sys_fchdir(ctx->root_fd);
	int slash = r < 0 ? r : sys_openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (slash < 0)
		return stage_fail(ctx, slash, "open the old root", "");
	r = sys_move_mount(ctx->root_fd, slash);
	sys_close(slash);
	if (r == 0)
		r = sys_chroot(".");
	return r < 0 ? stage_fail(ctx, r, "move the root", "") : 0;
}

static int pivot(struct ctx *ctx)
{
	int r = sys_fchdir(ctx->root_fd);
	if (r == 0)
		r = sys_pivot_root(".", ".");
	if (r < 0)
		return stage_fail(ctx, r, "pivot_root", "");
	/* "." is now the old root, mounted on top of the new one: take it off */
	r = sys_umount2(".", MNT_DETACH);
	if (r == 0)
		r = sys_chdir("/");
	return r < 0 ? stage_fail(ctx, r, "unmount the old root", "") : 0;
}

int root_enter(struct ctx *ctx)
{
	const struct spec *s = ctx->spec;
	if (!spec_new_ns(s, SPEC_NS_MOUNT) || ctx->root_fd < 0)
		return spec_has(s, SPEC_F_TERMINAL) ? console_open(ctx) : 0;

	int r = spec_has(s, SPEC_F_NO_PIVOT) ? move_root(ctx) : pivot(ctx);
	if (r == 0 && spec_has(s, SPEC_F_TERMINAL))
		r = console_open(ctx);
	if (r < 0)
		return r;

	struct mount_attr attr = {
		.attr_set = spec_has(s, SPEC_F_ROOT_READONLY) ? MOUNT_ATTR_RDONLY : 0,
		.propagation = s->rootfs_propagation == MS_SHARED || s->rootfs_propagation == MS_UNBINDABLE ? s->rootfs_propagation : 0,
	};
	if (attr.attr_set || attr.propagation) {
		r = sys_mount_setattr(ctx->root_fd, 0, &attr);
		if (r < 0)
			return stage_fail(ctx, r, "attributes of /", "");
	}
	sys_close(ctx->root_fd);
	ctx->root_fd = -1;
	return 0;
}
