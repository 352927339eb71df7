/*
 * compile - writes the flat block that sandbox/spec.h describes.
 *
 * A struct plan collects records section by section and strings in one pool
 * (equal strings once); plan_finish() lays them out and proves the result with
 * spec_check(). The first failure sticks, so that a long run of appends needs
 * one check at its end: every later call does nothing, plan_finish() tells.
 * No system calls here. Callers: wish.c and oci*.c; tests build odd specs with it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "sandbox/spec.h"

struct plan {
	struct spec head;                     /* fill fields directly; spans and sizes are plan_finish()'s */
	struct buf section[SPEC_SECT_MAX];
	struct buf strings;
	uint32_t *index;                      /* hash table of string offsets, 0 is a free slot */
	uint32_t index_size, index_used;
	int status;                           /* 0, or the -errno of the first failure */
	struct err err;                       /* what it was */
};

void plan_init(struct plan *p);
void plan_fini(struct plan *p);

/* Record a failure (only the first one counts). Returns p->status. code as in err_set(). */
int plan_fail(struct plan *p, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Offset of text in the string pool; NULL and "" are 0. */
spec_str plan_str(struct plan *p, const char *text);
spec_str plan_strf(struct plan *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* plan_add_mount(p, &m), plan_add_tree(p, &t), ... : append a copy of the record; its index. */
#define X(upper, lower, type) uint32_t plan_add_##lower(struct plan *p, const type *record);
SPEC_SECTION_LIST(X)
#undef X

/* Records of a section so far. */
uint32_t plan_count(const struct plan *p, enum spec_section which);

/* A mount record with everything at "absent" (tree is SPEC_NO_TREE). */
struct spec_mount plan_mount(struct plan *p, enum spec_mount_op op, const char *dst);

static inline void plan_flag(struct plan *p, enum spec_flag flag) { p->head.flags |= 1u << flag; }
static inline void plan_ns(struct plan *p, enum spec_ns ns) { p->head.ns_new |= 1u << ns; }

/* The finished block, appended to an empty *out (out->max at least SPEC_SIZE_MAX). 0 or -errno with err set. */
int plan_finish(struct plan *p, struct buf *out, struct err *err);

enum { PAYLOAD_WORD_MAX = 128 << 10 /* MAX_ARG_STRLEN, execve(2) */ };

/*
 * struct payload of these words (NULL-terminated lists; argv needs one word at
 * least; cwd NULL is "/"). *out must be empty. 0 or -errno with err set.
 */
int payload_build(const char *const *argv, const char *const *env, const char *cwd, struct buf *out, struct err *err);
