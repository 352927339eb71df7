/*
 * hooks - OCI hooks (runtime-spec, config.md, "POSIX-platform Hooks").
 *
 * Should: tell the launcher that the namespaces and mounts are there, wait
 * until it ran prestart and createRuntime in its own namespaces, then run
 * createContainer here. startContainer runs at the gate.
 * Mustn't yet: change the root; createContainer paths are the host's.
 */
#include "sandbox/stage.h"

#include <signal.h>
#include <sys/wait.h>

struct hook_run {
	const char *path;
	char **argv, **envp;
	int in;
	int exec_errno; /* set by the child, whose memory is ours (CLONE_VM) */
};

static int hook_child(void *arg)
{
	struct hook_run *h = arg;
	h->exec_errno = sys_dup3(h->in, 0, 0);
	if (h->exec_errno >= 0)
		h->exec_errno = sys_execve(h->path, h->argv, h->envp);
	return 127;
}

static char *hook_words[2 * 512];

static char **words(struct ctx *ctx, char **out, uint32_t first, uint32_t count)
{
	uint32_t unused;
	const struct spec_word *w = spec_section(ctx->spec, SPEC_SECT_WORD, &unused);
	for (uint32_t i = 0; i < count; i++)
		out[i] = (char *)(uintptr_t)spec_text(ctx->spec, w[first + i].text);
	out[count] = NULL;
	return out;
}

/* Wait for the hook, at most timeout_s seconds (0: without end); it is killed then. */
static int hook_wait(int pid, uint32_t timeout_s)
{
	int pidfd = (int)sys2(__NR_pidfd_open, pid, 0), status = 0;
	if (pidfd >= 0 && timeout_s) {
		struct { int fd; short events, revents; } p = { pidfd, 1 /* POLLIN */, 0 };
		if (sys3(__NR_poll, SYS_P(&p), 1, (long)timeout_s * 1000) == 0) {
			sys_kill(pid, 9);
			sys4(__NR_wait4, pid, SYS_P(&status), 0, 0);
			sys_close(pidfd);
			return -110; /* ETIMEDOUT */
		}
	}
	long r = sys4(__NR_wait4, pid, SYS_P(&status), 0, 0);
	if (pidfd >= 0)
		sys_close(pidfd);
	return r < 0 ? (int)r : status ? -5 : 0; /* EIO: it failed */
}

static int hook_one(struct ctx *ctx, const struct spec_hook *h)
{
	static char stack[16384] __attribute__((aligned(16)));
	if (h->argv_count > 510 || h->env_count > 510)
		return -7; /* E2BIG */
	struct hook_run run = {
		.path = spec_text(ctx->spec, h->path),
		.argv = words(ctx, hook_words, h->argv_first, h->argv_count),
		.envp = words(ctx, hook_words + 512, h->env_first, h->env_count),
	};
	/* a file, not a pipe: a hook that does not read must neither block us nor end us by SIGPIPE */
	run.in = (int)sys2(__NR_memfd_create, SYS_P("state"), 1 /* MFD_CLOEXEC */);
	if (run.in < 0)
		return run.in;
	long r = ctx->state_len ? sys_write(run.in, ctx->state, ctx->state_len) : 0;
	if (r >= 0)
		r = sys3(__NR_lseek, run.in, 0, 0 /* SEEK_SET */);
	if (r >= 0)
		r = sys_clone_call(CLONE_VM | CLONE_VFORK | 17 /* SIGCHLD */, stack + sizeof(stack), NULL, hook_child, &run);
	sys_close(run.in);
	if (r < 0)
		return (int)r;
	int ended = hook_wait((int)r, h->timeout_s);
	return run.exec_errno < 0 ? run.exec_errno : ended;
}

int hooks_run(struct ctx *ctx, enum spec_hook_kind kind)
{
	SPEC_EACH(ctx->spec, HOOK, struct spec_hook, h) {
		if (h->kind != (uint32_t)kind)
			continue;
		int r = hook_one(ctx, h);
		if (r < 0)
			return stage_fail(ctx, r, "hook", spec_text(ctx->spec, h->path));
	}
	return 0;
}

int hooks_enter(struct ctx *ctx)
{
	static struct { struct go go; char state[GO_STATE_MAX]; } msg;
	if (!spec_has(ctx->spec, SPEC_F_HOOKS))
		return 0;
	int r = status_send(ctx, REPORT_HOOKS);
	if (r < 0)
		return stage_fail(ctx, r, "ask for hooks", "");
	long n = status_receive(ctx->status_fd, &msg, sizeof(msg), NULL, NULL);
	if (n == 0)
		sys_exit_group(1);
	if (n < (long)sizeof(msg.go) || msg.go.magic != GO_MAGIC)
		return stage_fail(ctx, n < 0 ? n : -71, "wait for hooks", "");
	ctx->state = msg.state;
	ctx->state_len = (size_t)n - sizeof(msg.go);
	return hooks_run(ctx, SPEC_HOOK_CREATE_CONTAINER);
}
