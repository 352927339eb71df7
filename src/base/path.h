/*
 * path - where fcnode's own helpers and data are.
 *
 * A program run from a build tree uses what lies beside it; an installed one
 * uses the configured directories. FC_LIBEXECDIR and FC_DATADIR in the
 * environment override both (tests of an installed tree, unusual layouts).
 */
#pragma once

#include <stddef.h>

#include "base/err.h"

enum { PATH_BUF = 1024 };

/* Absolute path of a helper program ("fc-sandbox", "fc-unpack"). 0 or -errno with err set. */
int path_helper(const char *name, char *out, size_t size, struct err *err);

/* Absolute path of a data file or directory ("images/host/etc"). 0 or -errno with err set. */
int path_data(const char *name, char *out, size_t size, struct err *err);

/* Where fc-image(1) puts the image of this name: FC_IMAGEDIR in the environment or the configured directory, then
 * /NAME. 0, or negative with err set: -EINVAL for what is no name, -ENOENT when there is no directory. */
int path_image(const char *name, char *out, size_t size, struct err *err);
