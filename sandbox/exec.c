/*
 * exec - the last stage: become the payload, or stay PID 1 above it.
 */
#include "sandbox/stage.h"

/* PATH from the payload's environment, as execvp(3): a denied candidate is remembered, a missing one skipped. */
static int search_path(struct ctx *ctx, const char *path)
{
	char file[4096];
	int result = -2; /* ENOENT */
	while (*path) {
		size_t n = 0;
		for (; *path && *path != ':'; path++)
			if (n + 2 < sizeof(file))
				file[n++] = *path;
		if (*path == ':')
			path++;
		if (n == 0)
			file[n++] = '.';
		file[n++] = '/';
		str_add(file, sizeof(file), n, ctx->argv[0]);
		int r = sys_execve(file, ctx->argv, ctx->envp);
		if (r != -2 && r != -20) /* not ENOENT, ENOTDIR */
			result = r;
		if (r != -2 && r != -20 && r != -13) /* EACCES: look on */
			return r;
	}
	return result;
}

int exec_payload(struct ctx *ctx)
{
	const char *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	for (const char *p = ctx->argv[0]; *p; p++)
		if (*p == '/')
			return sys_execve(ctx->argv[0], ctx->argv, ctx->envp);
	for (char **e = ctx->envp; *e; e++)
		if ((*e)[0] == 'P' && (*e)[1] == 'A' && (*e)[2] == 'T' && (*e)[3] == 'H' && (*e)[4] == '=')
			path = *e + 5;
	return search_path(ctx, path);
}

int exec_enter(struct ctx *ctx)
{
	if (spec_has(ctx->spec, SPEC_F_INIT))
		init_run(ctx);
	if (spec_has(ctx->spec, SPEC_F_NEW_SESSION))
		sys0(__NR_setsid);
	int r = exec_payload(ctx);
	return stage_fail(ctx, r, "execute", ctx->argv[0]);
}
