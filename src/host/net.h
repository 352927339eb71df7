/*
 * net - network namespaces of sandboxes.
 *
 * A function's namespace is made by the launcher and joined before
 * CLONE_NEWUSER, so that it belongs to the initial user namespace: code inside
 * has no CAP_NET_* over it, whatever it becomes (DESIGN.md, section 3).
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Put the calling thread into a fresh network namespace with lo up, and give
 * back a descriptor for the way home. The caller must be single-threaded.
 * 0 with *home, or -errno.
 */
int net_enter_new(int *home, struct err *err);

/* The same for a namespace made before. */
int net_enter(int netns_fd, int *home, struct err *err);

/* Sockets for whoever shall talk with the inside, made where the thread is now: non-blocking, close-on-exec.
 * An unconnected TCP socket; a listener on 127.0.0.1. The descriptor, or -errno with err set. */
int net_client(struct err *err);
int net_listener(uint16_t port, struct err *err);

/* Return to the namespace net_enter*() left; closes *home. Aborts when the kernel refuses:
 * going on in a stranger's network would be worse. */
void net_return(int *home);

/*
 * A namespace made by a thread of its own while the caller prepares the rest:
 * making one costs more than half of a start. net_ahead_take() waits for it and
 * gives its descriptor (the caller's to close), or -errno with err set.
 * net_ahead_drop() ends one that is not wanted any more. Both accept a struct
 * that was never started (zeroed).
 */
struct net_ahead {
	pthread_t thread;
	bool started;
	int fd;
	struct err err;
};
int net_ahead_start(struct net_ahead *a, struct err *err);
int net_ahead_take(struct net_ahead *a, struct err *err);
void net_ahead_drop(struct net_ahead *a);
