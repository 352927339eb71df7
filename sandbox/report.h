/*
 * report - what fc-sandbox tells the launcher, over the status socket
 * (SOCK_SEQPACKET), one struct per message.
 *
 *   launcher -> sandbox  struct go, with the trees of the spec as descriptors,
 *                        once id maps are written and the cgroup is joined;
 *                        a second one after hooks ran (SPEC_F_HOOKS), with the state JSON
 *   starter -> sandbox   with SPEC_F_GATE, on the connection the gate accepted: struct go
 *                        with the state JSON; reports go there from then on
 *   sandbox -> launcher  REPORT_HOOKS     namespaces exist, run the hooks now
 *                        REPORT_RUNNING   the payload's execve succeeded (with SPEC_F_INIT)
 *                        REPORT_FAILED    stage, errno and detail; then it exits
 *                        REPORT_EXITED    the payload's wait status and usage (with SPEC_F_INIT)
 * Without SPEC_F_INIT end of file says that execve succeeded.
 */
#pragma once

#include <stdint.h>

enum { REPORT_MAGIC = 0x52504346, GO_MAGIC = 0x474f4346, REPORT_DETAIL_MAX = 232, GO_STATE_MAX = 64 << 10 };

/* In order of execution; names come from the same list (stages.def). */
enum stage {
#define STAGE(name, text) STAGE_##name,
#include "sandbox/stages.def"
#undef STAGE
	STAGE_MAX
};

enum report_kind { REPORT_HOOKS = 1, REPORT_RUNNING, REPORT_FAILED, REPORT_EXITED };

struct go {
	uint32_t magic;
	uint32_t trees;      /* of the spec, when they come with it (as descriptors, in order); else 0 */
	uint64_t missing[4]; /* bit i: tree i is optional and not there; it has no descriptor */
	/* the second go and the gate's message: the OCI state JSON for hooks follows, up to GO_STATE_MAX bytes */
};

struct report {
	uint32_t magic;
	uint32_t kind;
	uint32_t stage;  /* FAILED: which */
	int32_t code;    /* FAILED: errno; EXITED: wait status (wait(2)) */
	uint64_t wall_ns[STAGE_MAX + 1]; /* CLOCK_MONOTONIC when the stage began; the last one: execve */
	uint64_t cpu_ns[STAGE_MAX + 1];  /* CLOCK_PROCESS_CPUTIME_ID then: wall minus cpu was spent blocked */
	uint64_t exit_ns;                /* EXITED: CLOCK_MONOTONIC */
	uint64_t user_us, system_us;     /* EXITED: of the payload and its waited-for children */
	uint64_t maxrss_kib;
	uint32_t nvcsw, nivcsw;
	char detail[REPORT_DETAIL_MAX]; /* FAILED: "overlay /code", NUL-terminated */
};
