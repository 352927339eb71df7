/*
 * names - the words for the kernel's numbers that configs and dumps use:
 * capabilities, resource limits, mount attributes, propagation types. One table
 * per list, so that what is read and what is printed cannot differ.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct name {
	const char *name; /* NULL ends a table */
	uint64_t value;
};

extern const struct name names_caps[];        /* "CAP_CHOWN" -> 0 */
extern const struct name names_rlimits[];     /* "RLIMIT_CPU" -> 0 */
extern const struct name names_attrs[];       /* "rdonly" -> MOUNT_ATTR_RDONLY */
extern const struct name names_propagation[]; /* "private" -> MS_PRIVATE */

/* The row, or NULL. */
const struct name *name_find(const struct name *table, const char *name);
/* The name of a value, or NULL. */
const char *name_of(const struct name *table, uint64_t value);
