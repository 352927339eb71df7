/*
 * tree - creates the bundle's files below one directory, and only there.
 *
 * Names are cleaned lexically first (no .., not absolute, within the limits),
 * then every lookup goes through openat2 with RESOLVE_BENEATH and
 * RESOLVE_NO_SYMLINKS, so that neither a mistake in the first check nor
 * symlinks that the bundle made can lead outside. Symlinks are checked twice:
 * lexically when they are made, and by tree_finish() as the kernel resolves
 * them, because .. after a symlink is not what it reads like.
 *
 * All verbs return UNPACK_ok or set the result and return its outcome.
 */
#pragma once

#include <limits.h>
#include <time.h>

#include "base/buf.h"
#include "unpack/unpack.h"

struct tree {
	int root;      /* names are relative to this; owned */
	int parent;    /* the directory last created in, or -1; owned */
	char parent_name[UNPACK_NAME_MAX + 1];
	struct buf symlinks; /* their names, each ended by NUL */
	uint64_t made;       /* files, links and directories, against max_files */
	const struct unpack_limits *limits;
	struct unpack_result *result;
};

/* target_fd stays the caller's. */
int tree_init(struct tree *t, int target_fd, const char *prefix, const struct unpack_limits *limits,
	      struct unpack_result *result);
void tree_fini(struct tree *t);

/* name -> out without ".", doubled and trailing slashes; "" when it names the root itself. */
int tree_clean(const struct tree *t, const char *name, char out[UNPACK_NAME_MAX + 1]);

/* Names below are cleaned ones. Missing parents are made. */
int tree_directory(struct tree *t, const char *name);
int tree_file(struct tree *t, const char *name, bool executable, int *ret_fd);
int tree_symlink(struct tree *t, const char *name, const char *to);
int tree_hardlink(struct tree *t, const char *name, const char *to);

/* After the last entry: every symlink, resolved by the kernel, ends inside. */
int tree_finish(struct tree *t);
