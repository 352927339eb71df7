/*
 * gate - OCI's pause between create and start.
 *
 * The gate is a listening socket made by `create`; `start` connects to it. From
 * then on reports go to the starter, and the connection's end tells it that
 * execve happened.
 * Should: wait, run the startContainer hooks, set the one limit that waited.
 * Mustn't yet: hold fewer rights than those hooks are promised.
 */
#include "sandbox/stage.h"

#include <sys/socket.h>

int gate_enter(struct ctx *ctx)
{
	static struct { struct go go; char state[GO_STATE_MAX]; } msg;
	if (!spec_has(ctx->spec, SPEC_F_GATE))
		return 0;

	/* create is done: end of file tells it that everything up to here holds */
	sys_close(ctx->status_fd);
	int fd;
	do
		fd = (int)sys4(__NR_accept4, ctx->fd[SANDBOX_FD_GATE], 0, 0, SOCK_CLOEXEC);
	while (fd == -4 || fd == -103); /* EINTR, ECONNABORTED */
	if (fd < 0)
		return fd; /* nobody to tell */
	ctx->status_fd = fd;
	sys_close(ctx->fd[SANDBOX_FD_GATE]);

	long n = status_receive(fd, &msg, sizeof(msg), NULL, NULL);
	if (n < (long)sizeof(msg.go) || msg.go.magic != GO_MAGIC)
		return stage_fail(ctx, n < 0 ? n : -71, "wait for start", "");
	ctx->state = msg.state;
	ctx->state_len = (size_t)n - sizeof(msg.go);
	int r = hooks_run(ctx, SPEC_HOOK_START_CONTAINER);
	return r < 0 ? r : limit_files(ctx);
}
