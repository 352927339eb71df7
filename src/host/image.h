/*
 * image - what base image `host` consists of on this machine: the host's own
 * /usr, images/host/etc, and the few paths of the host's /etc that
 * images/host/etc.binds lists. Read once; a wish borrows from it.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/path.h"

enum { IMAGE_BINDS_MAX = 32, IMAGE_BINDS_SIZE = 4096 };

struct image_host {
	char etc[PATH_BUF];                       /* images/host/etc */
	char binds_text[2 * IMAGE_BINDS_SIZE];
	const char *binds[IMAGE_BINDS_MAX + 1];   /* "/etc/ld.so.cache", ..., NULL: those that exist here */
	bool usr_split;                           /* /bin is a directory, not a link into /usr */
	bool lib64;
};

/* 0, or -errno with err naming the file. Do not copy the struct afterwards: it points into itself. */
int image_host_load(struct image_host *h, struct err *err);
