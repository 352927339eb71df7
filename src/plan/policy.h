/*
 * policy - what a function may ask of the kernel: the seccomp profile.
 *
 * One static table of system calls with a verdict and an optional check of
 * one argument. Not in the table: newer than it, so ENOSYS, which makes libc
 * and runtimes fall back. The emitter writes classic BPF that finds a number's
 * verdict by binary search over ranges of equal verdict, because the kernel
 * runs a new filter once per number to fill its cache of allowed calls.
 * x86_64 only; a call by any other architecture's convention kills the process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/compile.h"

enum policy_verdict {
	POLICY_ENOSYS,   /* unknown here: the caller falls back */
	POLICY_ALLOW,
	POLICY_EPERM,    /* known and denied */
	POLICY_CLONE,    /* allowed without CLONE_NEW* */
	POLICY_IOCTL,    /* allowed but for TIOCSTI and TIOCLINUX */
	POLICY_SOCKET,   /* AF_UNIX, TCP, UDP and ping over AF_INET and AF_INET6, NETLINK_ROUTE */
	POLICY_PERSONALITY, /* PER_LINUX and the query */
	POLICY_VERDICT_MAX
};

/* Of one native system call number. */
enum policy_verdict policy_of(uint32_t nr);
const char *policy_verdict_name(enum policy_verdict v);
/* Highest number the table knows. */
uint32_t policy_last(void);

/* The whole filter's answer (SECCOMP_RET_*) computed from the table, without BPF: what the emitted program must equal. */
uint32_t policy_answer(uint32_t arch, uint32_t nr, const uint64_t args[6]);

/* Append the program to the seccomp section. */
void policy_emit(struct plan *p);
