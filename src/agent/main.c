/* fc-agent - the node agent: keeper as root, serve as an ordinary user; fc-agent(8). */
#include <config.h>
#include <stdio.h>
#include <string.h>

#include "agent/confine.h"
#include "agent/roles.h"
#include "base/err.h"
#include "base/log.h"

static enum log_level level_of(int chosen)
{
	static const enum log_level levels[] = { LOG_LEVEL_ERR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
	return levels[chosen];
}

static int help(void)
{
	printf("Usage: fc-agent [OPTION...]\n\n"
	       "Runs functions in sandboxes, asked over a Unix socket. Stays in the foreground;\n"
	       "ready when GET /healthz on the socket answers 200. SIGTERM stops it.\n");
	opts_help(config_options, stdout);
	return fflush(stdout) == 0 ? AGENT_STOPPED : AGENT_FAILED;
}

static struct config c; /* lives as long as the process, and so do the strings it owns */

static int serve_role(void)
{
	struct err err = ERR_INIT;
	log_init("serve", LOG_LEVEL_INFO);
	if (config_from_fd(&c, SERVE_FD_CONFIG, &err) < 0 || confine_serve(&c, &err) < 0) {
		log_err("event=start error=\"%s\" hint=\"%s\"", err.text, err.hint);
		return AGENT_FAILED;
	}
	log_init("serve", level_of(c.log_level));
	return serve_run(&c, SERVE_FD_LINK, SERVE_FD_LISTEN);
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;

	if (argc == 3 && strcmp(argv[1], "--serve-fd") == 0)
		return serve_role();
	if (config_load(&c, argc, argv, &err) < 0) {
		err_print(&err, "fc-agent");
		return AGENT_BAD_USAGE;
	}
	if (c.help)
		return help();
	if (c.version)
		return printf("fc-agent %s\n", VERSION) > 0 && fflush(stdout) == 0 ? AGENT_STOPPED : AGENT_FAILED;
	log_init("keeper", level_of(c.log_level));
	return keeper_run(&c);
}
