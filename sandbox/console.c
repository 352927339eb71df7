/*
 * console - a pty of the sandbox's own devpts as its terminal
 * (OCI runtime-spec, config.md "terminal": /dev/console is bound to it).
 * The master goes to whoever asked for it, over the console socket.
 */
#include "sandbox/stage.h"

#include <asm/ioctls.h>
#include <sys/socket.h>

static int send_master(int sock, int master)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	static char name[] = "/dev/ptmx";
	struct iovec iov = { name, sizeof(name) - 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	*(int *)CMSG_DATA(c) = master;
	return (int)sys3(__NR_sendmsg, sock, SYS_P(&msg), MSG_NOSIGNAL);
}

/* /dev/console is a file on a file system: cover it with the pty's slave. */
static int bind_console(const char *slave)
{
	int mk = sys_mknodat(AT_FDCWD, "/dev/console", 0100000 | 0620, 0);
	if (mk < 0 && mk != -17)
		return mk;
	int tree = sys_open_tree(AT_FDCWD, slave, OPEN_TREE_CLONE);
	int at = tree < 0 ? tree : sys_openat(AT_FDCWD, "/dev/console", O_PATH | O_CLOEXEC | O_NOFOLLOW, 0);
	int r = at < 0 ? at : sys_move_mount(tree, at);
	if (at >= 0)
		sys_close(at);
	if (tree >= 0)
		sys_close(tree);
	return r;
}

int console_open(struct ctx *ctx)
{
	unsigned number = 0, unlock = 0;
	char slave[32];
	int master = sys_openat(AT_FDCWD, "/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
	if (master < 0)
		return stage_fail(ctx, master, "open", "/dev/ptmx");
	long r = sys3(__NR_ioctl, master, TIOCGPTN, SYS_P(&number));
	if (r == 0)
		r = sys3(__NR_ioctl, master, TIOCSPTLCK, SYS_P(&unlock));
	if (r < 0)
		return stage_fail(ctx, r, "set up the terminal", "");

	str_add_num(slave, sizeof(slave), str_add(slave, sizeof(slave), 0, "/dev/pts/"), number, 10);
	int fd = sys_openat(AT_FDCWD, slave, O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
	if (fd < 0)
		return stage_fail(ctx, fd, "open", slave);
	r = spec_new_ns(ctx->spec, SPEC_NS_MOUNT) ? bind_console(slave) : 0;
	if (r < 0)
		return stage_fail(ctx, r, "bind", "/dev/console");
	r = send_master(ctx->fd[SANDBOX_FD_CONSOLE], master);
	if (r < 0)
		return stage_fail(ctx, r, "send the terminal over the console socket", "");
	sys_close(master);

	if (ctx->spec->uid)
		sys_fchown(fd, ctx->spec->uid, ~0u);
	for (int i = 0; i < 3 && r >= 0; i++)
		r = sys_dup3(fd, i, 0);
	if (r >= 0)
		r = sys0(__NR_setsid);
	if (r >= 0)
		r = sys3(__NR_ioctl, 0, TIOCSCTTY, 0);
	sys_close(fd);
	return r < 0 ? stage_fail(ctx, r, "make the terminal ours", "") : 0;
}
