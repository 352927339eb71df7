/*
 * invoke - one call of a function, without a daemon: what the parts of
 * `fc-run invoke` share.
 *
 *   invoke.c        options, and the order of the whole
 *   invoke-code.c   CODE (directory, archive, executable) to a directory, with its manifest
 *   invoke-start.c  the wish, the spec, the cgroup; launch
 *   invoke-call.c   the loop: event in, reply and log out, deadline, signals
 *   invoke-print.c  reply, error, --timing, --usage
 *   invoke-sweep.c  afterwards: what killed calls left
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/opts.h"
#include "cmd/cmd.h"
#include "host/launch.h"
#include "host/net.h"
#include "plan/function.h"
#include "plan/wish.h"

/* Fields of options that were not typed stay at these. */
#define INVOKE_UNSET UINT64_MAX

enum {
	INVOKE_EVENT_MAX = 32 << 20, /* bytes of an event, as Function Compute's synchronous calls */
	INVOKE_TEMP_MAX = 176,
	INVOKE_REPLY_MAX = 32 << 20, /* default of --max-reply */
	/* Root's calls by hand run in a range of ids of their own, below the agent's tenants
	 * (fc-agent.conf(5)); fc-unpack uses the last one of it. */
	INVOKE_UID_BASE = 1878982656,
	INVOKE_UNPACK_ID = INVOKE_UID_BASE + WISH_RANGE - 1,
};

struct invoke_opts {
	const char *handler, *runtime, *event, *image, *tmp_output, *usage, *manifest;
	uint64_t memory, cpu, pids, timeout, tmp_size, max_reply;
	int network; /* 0 none, 1 host */
	int format;  /* 0 text, 1 json */
	struct opt_list env;
	struct opt_list without; /* features to act as if missing (tests) */
	bool timing, unlimited, help;
};

#define INVOKE_OUTCOMES(X)                                                     \
	X(OK, ok, CMD_OK)                                                      \
	X(FUNCTION_ERROR, function_error, CMD_FUNCTION_ERROR)                  \
	X(TIMEOUT, timeout, CMD_TIMEOUT)                                       \
	X(OOM, out_of_memory, CMD_OUT_OF_MEMORY)                               \
	X(REPLY_TOO_LARGE, reply_too_large, CMD_FUNCTION_ERROR)                \
	X(PROTOCOL, protocol, CMD_FUNCTION_ERROR)                              \
	X(INTERRUPTED, interrupted, CMD_INTERNAL)                              \
	X(LAUNCH_FAILED, launch_failed, CMD_INTERNAL)
enum invoke_outcome {
#define X(upper, lower, exit) INVOKE_##upper,
	INVOKE_OUTCOMES(X)
#undef X
	INVOKE_OUTCOME_MAX
};

/* CODE, resolved. */
struct invoke_code {
	char dir[1024];      /* shown at /code, or a layer that contains code/ */
	bool is_layer;
	char entry[256];     /* stdio: the executable found, "" when there is none */
	char temp[INVOKE_TEMP_MAX]; /* a directory to remove afterwards, or "" */
	int temp_lock;       /* held while it is in use (invoke-sweep.c), or -1 */
};

/* One call from start to end. */
struct invoke {
	const struct invoke_opts *opts;
	struct function function;
	struct invoke_code code;
	char instance[48];           /* name of the cgroup and of the host inside */
	struct cgroup_host host;
	bool have_host;
	bool limited;                /* limits are in force */
	uint64_t memory_bytes, timeout_ms; /* as in force */
	struct buf event;
	struct net_ahead net;        /* root: the sandbox's network namespace, being made */
	struct sandbox sandbox;
	int event_fd, reply_fd, log_fd; /* our ends of the pipes; -1 when closed. event_fd doubles as the channel */
	int signal_fd;               /* SIGINT, SIGTERM and SIGHUP, which are blocked from the first thing made on */
	bool channel;
	bool launching;              /* all input has been read: what fails from here on is not the caller's */

	/* results */
	enum invoke_outcome outcome;
	struct buf reply;
	struct err err;              /* what went wrong, for a person */
	struct buf error_json;       /* FUNCTION_ERROR: {"errorMessage","errorType","stackTrace"} */
	struct report running, exited; /* kind 0 when it did not come */
	struct cgroup_usage usage;
	bool have_usage;
	int oom_level;
	int64_t start_ms;            /* Unix time */
	uint64_t begin_ns, ready_ns, first_byte_ns, end_ns; /* CLOCK_MONOTONIC */
	int interrupted;             /* signal */
};

/* 0, or -errno with err set (bad input: CMD_BAD_INPUT); -ECANCELED when cancel_fd became readable. */
int invoke_code_open(const char *path, const struct invoke_opts *o, int cancel_fd, struct function *f,
		     struct invoke_code *ret, struct err *err);
void invoke_code_close(struct invoke_code *c);

/* The exit status for an -errno of what was prepared: CMD_HOST or CMD_BAD_INPUT. */
enum cmd_exit invoke_exit_status(int r);

/* Compile and launch. 0, or the exit status as a positive enum cmd_exit with v->err set. */
int invoke_start(struct invoke *v);

/* Take a signal that came: sets v->interrupted and v->err. False when there was none. */
bool invoke_take_signal(struct invoke *v);

/* Run until it has ended; fills the results. */
void invoke_call(struct invoke *v);

/* Print what came out; the exit status. */
int invoke_print(struct invoke *v);

/* "<prefix>PID-TIME": names that tell later whether their owner still lives. */
#define INVOKE_GROUP_PREFIX "fcnode-run-"
#define INVOKE_TEMP_PREFIX "fc-run-"
void invoke_owner_name(char *buf, size_t size, const char *prefix);

/* Where temporary directories go: TMPDIR or /tmp. */
const char *invoke_temp_parent(void);

/* Remove the groups and temporary directories of calls that were killed. */
void invoke_sweep(struct invoke *v);

const char *invoke_outcome_name(enum invoke_outcome o);
