/*
 * net - network namespaces of sandboxes.
 *
 * A function's namespace is made by the launcher and joined before
 * CLONE_NEWUSER, so that it belongs to the initial user namespace: code inside
 * has no CAP_NET_* over it, whatever it becomes (DESIGN.md, section 3).
 */
#pragma once

#include "base/err.h"

/*
 * Put the calling thread into a fresh network namespace with lo up, and give
 * back a descriptor for the way home. The caller must be single-threaded.
 * 0 with *home, or -errno.
 */
int net_enter_new(int *home, struct err *err);

/* The same for a namespace made before. */
int net_enter(int netns_fd, int *home, struct err *err);

/* Return to the namespace net_enter*() left; closes *home. Aborts when the kernel refuses:
 * going on in a stranger's network would be worse. */
void net_return(int *home);
