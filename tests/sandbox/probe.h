/*
 * probe - a program that runs as a function and attacks what is around it.
 * Each row of the tables is one attack, tried for real in a child of its own;
 * what it says is one line, "held NAME detail", "OPEN NAME detail" or "skip NAME why".
 *
 * An attack that succeeds does no harm: files are opened for writing and not
 * written, clocks are set to what they are, so the same program can be run
 * outside a sandbox to see that it finds what is open there (tests/sandbox/control.sh).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum verdict { HELD, OPEN, SKIP };

struct result {
	enum verdict verdict;
	char detail[400];
};

struct probe {
	const char *name;
	void (*run)(struct result *r, const void *arg);
	const void *arg;
	bool killed; /* SIGSYS (or SIGSEGV) is how the kernel refuses this one */
};

/* Set the verdict; the last one counts. */
void held(struct result *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void is_open(struct result *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void skip(struct result *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Judge a call by what it returned: refused with one of these errnos (0-terminated) is held, anything else is open. */
void judge(struct result *r, long ret, int err, const int *refusals);

/* The same for a call as written: errno is read after it. */
#define JUDGE(r, call, ...)                         \
	do {                                        \
		long ret_ = (call);                 \
		judge(r, ret_, errno, __VA_ARGS__); \
	} while (0)

/* A file that must not open with these flags; only "not there" and refusals count as held. */
void judge_open(struct result *r, const char *path, int flags);

/* The whole of a small file, terminated; -1 when it cannot be read. */
long slurp(const char *path, char *buf, size_t size);

/* The number in the environment variable, or -1. */
long setting(const char *name);

/* What came on standard input, terminated. */
extern char event[32768];

/* Remember what was open at the start, for the attack "descriptors". */
void note_descriptors(void);

/* Tables, each ended by a row without a name. */
extern const struct probe probes_calls[], probes_files[], probes_limits[], probes_net[], probes_proc[], probes_self[];
