/*
 * err - what went wrong, as a sentence for a person.
 *
 * A function whose failure a person will read takes `struct err *err` last.
 * The object lives on the caller's stack, holds no resources and never
 * allocates. Whoever knows the object names it (err_set), whoever knows the
 * task wraps it (err_wrap), whoever knows the cure adds a hint (err_hint), and
 * it is printed once: in main, or where an invocation ends.
 *
 * Results, everywhere in this tree: 0 done; > 0 a named outcome from the
 * function's own enum, which the caller must handle; < 0 is -errno.
 */
#pragma once

#include <stdarg.h>

enum { ERR_TEXT_MAX = 768, ERR_HINT_MAX = 384 };

struct err {
	int code; /* positive errno, or 0 when nothing was set */
	char text[ERR_TEXT_MAX];
	char hint[ERR_HINT_MAX];
};

#define ERR_INIT { 0, "", "" }

/* Set "what: strerror(code)". code is a positive errno; 0 leaves strerror out
 * and counts as EINVAL. err may be NULL. Returns -code. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Prefix the text with "context: ". Returns -err->code, so that
 * `return err_wrap(err, "function %s", name);` keeps the code. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Set what the reader can do about it. Returns -err->code. */
int err_hint(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#if defined(__clang_analyzer__) && !defined(ERR_C)
/* The analyzer sees one file at a time: tell it that an error never looks like success. */
#define err_set(...) (err_set(__VA_ARGS__), -22)
#define err_wrap(...) (err_wrap(__VA_ARGS__), -22)
#define err_hint(...) (err_hint(__VA_ARGS__), -22)
#endif

/* Print "prefix: text" and, when there is one, a second line with the hint, to stderr. */
void err_print(const struct err *err, const char *prefix);
