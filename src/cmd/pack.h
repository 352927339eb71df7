/*
 * pack - code as its author has it (a directory, one executable, an archive)
 * to the bundle that fc-agent takes, with its SHA-256.
 *
 * The same files give the same bytes whenever and by whomever they are packed
 * (sorted names, no times, no owners), so that the same code is stored once.
 * Archives go as they are. Only fcctl packs; nothing privileged links this.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct pack {
	int fd;          /* at offset 0 */
	char sha256[65];
	bool made;       /* packed here, not an archive of the user's */
	bool single;     /* one executable: it is called "bootstrap" inside */
};

int pack_open(const char *path, struct pack *ret, struct err *err);
void pack_fini(struct pack *p);
