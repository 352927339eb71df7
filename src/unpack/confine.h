/*
 * confine - what fc-unpack gives up before it looks at a bundle.
 *
 * In this order, each a function of confine.c: resource limits; own
 * namespaces and a root directory that is the target; an unprivileged user;
 * capabilities and no_new_privs; landlock; seccomp. Required always:
 * limits, no root and no capabilities, seccomp, and at least one of jail and
 * landlock. Namespaces, landlock: as the kernel and the caller's rights allow;
 * what is in force is reported.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct confine {
	int bundle_fd;
	int target_fd; /* replaced by one inside the jail */
	int result_fd; /* the pipe whose reader started us, or -1 */
	uint64_t max_bytes;
	uint64_t cpu_seconds;
	bool has_ids;
	uid_t uid;
	gid_t gid;
};

/* 0 and UNPACK_IN() bits in *ret_in, or -errno with err set: then nothing may be parsed. */
int confine(const struct confine *c, uint32_t *ret_in, struct err *err);
