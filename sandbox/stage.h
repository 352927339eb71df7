/*
 * stage - what the stages of fc-sandbox share: the context they walk over,
 * how they fail, and their prototypes. Each stage is a file of its own, headed
 * by what it should do and what it must not do yet. No libc, no malloc, no
 * names looked up: the spec is data and this is its interpreter.
 */
#pragma once

#include "sandbox/report.h"
#include "sandbox/spec.h"
#include "sandbox/sys.h"

enum { MOUNT_SOURCES_MAX = 256 };

struct ctx {
	const struct spec *spec;
	const struct payload *payload;
	int fd[SANDBOX_FD_MAX];
	int status_fd;             /* where reports go: the launcher, after the gate the starter */
	int tree[MOUNT_SOURCES_MAX];
	uint32_t trees;
	int own_trees;             /* opened here, not by the launcher */
	int root_fd;               /* the new root, until it is / */
	int proc_fd;               /* the host's /proc/self, for what only /proc can set */
	const char *state;         /* OCI state JSON for hooks, from the launcher or starter */
	size_t state_len;
	enum stage stage;
	struct report report;
	char **argv, **envp;
};

int sandbox_main(int argc, char **argv);

/* All return 0 or -errno with report.detail set (stage_fail). */
#define STAGE(name, text) int name##_enter(struct ctx *ctx);
#include "sandbox/stages.def"
#undef STAGE

/* Attach the seccomp filter now (seccomp.c); called by caps without no_new_privs, else by its own stage. */
int seccomp_attach(struct ctx *ctx);

/* RLIMIT_FSIZE (limits.c), left to the gate where there is one. */
int limit_files(struct ctx *ctx);

/* The pty for SPEC_F_TERMINAL (console.c); called when the root is complete. */
int console_open(struct ctx *ctx);

/* Receive one message and its descriptors (main.c). Returns its length, 0 at end of file, or -errno. */
long status_receive(int fd, void *data, size_t size, int *fds, uint32_t *nfds);
int status_send(struct ctx *ctx, uint32_t kind);

/* Copy what lies at path below root into the detached mount (copyup.c). */
int copy_up(int root, const char *path, int mnt);

/* Run the spec's hooks of one kind, the state on their stdin (hooks.c). */
int hooks_run(struct ctx *ctx, enum spec_hook_kind kind);

/* PID 1 inside: start the payload, reap, forward, report, exit (init.c). */
__attribute__((noreturn)) void init_run(struct ctx *ctx);
/* execve with a PATH search; -errno on failure (exec.c). */
int exec_payload(struct ctx *ctx);

/* Set detail to "what object" and return code (an -errno) for `return stage_fail(...)`. */
int stage_fail(struct ctx *ctx, long code, const char *what, const char *object);

/* Open the host's /proc/self once, before the root changes. */
int proc_self(struct ctx *ctx);
/* Write text to a file below dir; 0 or -errno. */
int write_file(int dir, const char *path, const char *text);

/* the little of a libc that the stages use (start.c) */
size_t str_len(const char *s);
int str_same(const char *a, const char *b);
/* Append to a bounded, terminated buffer; returns the new length (at most size - 1). */
size_t str_add(char *buf, size_t size, size_t len, const char *text);
size_t str_add_num(char *buf, size_t size, size_t len, uint64_t value, unsigned base);
