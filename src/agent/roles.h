/*
 * roles - fc-agent's two processes and what one hands the other.
 *
 * keeper (root) starts the same program again as `fc-agent --serve-fd 3` under
 * the unprivileged user: executed, not only forked, so that nothing of keeper's
 * memory comes along. The descriptors below are all that serve is born with,
 * besides 0 to 2 (/dev/null, /dev/null, keeper's stderr).
 */
#pragma once

#include "agent/config.h"

enum {
	SERVE_FD_LINK = 3,   /* the socket to keeper (agent/link.h) */
	SERVE_FD_LISTEN = 4, /* the API's socket, bound and listening; keeper unlinks its path at the end */
	SERVE_FD_CONFIG = 5, /* sealed memfd (config_from_fd) */
	SERVE_FD_PRINCIPALS = 6, /* sealed memfd: the text of fcnode-principals(5), empty without one */
	SERVE_FD_SECRET_KEYS = 7, /* sealed memfd: the text of secret-keys, empty without one */
	SERVE_FD_TCP = 8,    /* and on: a bound, listening socket for each --listen */
};

/* fc-agent(8), EXIT STATUS. */
enum agent_exit {
	AGENT_STOPPED = 0,  /* asked to stop, and nothing is left behind */
	AGENT_FAILED = 1,   /* could not start, or could not go on */
	AGENT_BAD_USAGE = 2, /* options or config file */
	AGENT_HOST = 5,     /* this host cannot do it: not root, no cgroups */
};

/* The root half: until SIGTERM, SIGINT or a failure. Returns the exit status. (agent/keeper.c) */
int keeper_run(const struct config *c);

/* The unprivileged half, already confined: until DRAIN is done or keeper is gone. Takes both descriptors over, and
 * those at SERVE_FD_PRINCIPALS and behind. Returns the exit status. (agent/serve.c) */
int serve_run(const struct config *c, int link_fd, int listen_fd);
