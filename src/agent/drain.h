/*
 * drain - the node's maintenance state: whether new calls are taken, why not,
 * and since when.
 *
 * It is on disk (drain.json in serve's directory) before a change of it is
 * answered, so that it outlives a restart, a crash and an upgrade: a node that
 * an operator has drained stays drained until he says otherwise. Draining takes
 * effect at once and ends only when the file is gone. One thread, that of
 * serve's loop; files are written by the worker.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct drain;
struct worker;

enum { DRAIN_REASON_SIZE = 256 };

/* Reads what an earlier life left in `dir`. A file that cannot be read means drained. 0 or err. */
int drain_new(struct drain **ret, const char *dir, struct worker *worker, struct err *err);
struct drain *drain_free(struct drain *d); /* NULL; after the worker's end */

bool drain_active(const struct drain *d);
const char *drain_reason(const struct drain *d);  /* "" when none was given, or not active */
int64_t drain_since_ms(const struct drain *d);    /* Unix epoch; 0 when not active */

/*
 * Begin or end it. changed() comes once, from the loop, with 0 when the state
 * is on disk, or -errno: then it is as it was before. Asking for what is so
 * already is answered the same way, and keeps the first reason and time.
 */
typedef void drain_fn(void *arg, int result);
enum drain_outcome { DRAIN_OK, DRAIN_E_BUSY /* another change is under way, or the worker's queue is full */ };
int drain_change(struct drain *d, bool active, const char *reason, drain_fn *changed, void *arg);
