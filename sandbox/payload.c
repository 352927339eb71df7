/*
 * payload - read what shall run.
 *
 * The payload comes from a less trusted writer than the spec (serve, not
 * keeper), so it is read only here, with the payload's own ids and capabilities.
 * Should: map and check it, lay out argv and env, change directory.
 * Mustn't yet: execute anything of it.
 */
#include "sandbox/stage.h"

#include <sys/mman.h>
#include <sys/stat.h>


static char *argv_words[PAYLOAD_WORDS_MAX + 1];
static char *env_words[PAYLOAD_WORDS_MAX + 1];

static char *lay_out(char *p, uint32_t count, char **out)
{
	for (uint32_t i = 0; i < count; i++) {
		out[i] = p;
		p += str_len(p) + 1;
	}
	out[count] = NULL;
	return p;
}

int payload_enter(struct ctx *ctx)
{
	int fd = ctx->fd[SANDBOX_FD_PAYLOAD];
	struct stat st;
	if (ctx->payload) /* caps had to read it */
		return 0;
	int r = sys_fcntl(fd, F_GET_SEALS, 0);
	if (r < 0 || (r & 0xf) != 0xf)
		return stage_fail(ctx, r < 0 ? r : -1, "payload is not sealed", "");
	r = (int)sys2(__NR_fstat, fd, SYS_P(&st));
	if (r < 0 || st.st_size <= 0 || st.st_size > PAYLOAD_SIZE_MAX)
		return stage_fail(ctx, r < 0 ? r : -7, "payload size", "");
	long map = sys_call(__NR_mmap, 0, st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (map < 0 && map > -4096)
		return stage_fail(ctx, map, "map the payload", "");
	sys_close(fd);

	const char *what = "";
	r = payload_check((const void *)map, (size_t)st.st_size, &what);
	if (r < 0)
		return stage_fail(ctx, r, what, "");
	ctx->payload = (const struct payload *)map;
	char *p = (char *)map + sizeof(struct payload);
	p = lay_out(p, ctx->payload->argc, argv_words);
	p = lay_out(p, ctx->payload->envc, env_words);
	ctx->argv = argv_words;
	ctx->envp = env_words;

	r = *p ? sys_chdir(p) : 0;
	return r < 0 ? stage_fail(ctx, r, "change directory to", p) : 0;
}
