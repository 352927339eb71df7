/*
 * The function API inside, at 127.0.0.1:9002 of the sandbox of a function that
 * has a role. Who connects there is the function's own code, whatever it says:
 * the listener, which keeper made in that sandbox' network and nothing else
 * reaches, tells which call it is part of. Signatures are not looked at.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/gate-internal.h"
#include "agent/invocation.h"
#include "base/log.h"
#include "base/str.h"

struct inside {
	struct listener listener; /* first: a listener of kind inside is its door */
	struct caller caller;
	char tenant[GATE_NAME_SIZE], function[GATE_NAME_SIZE], role[GATE_NAME_SIZE];
	LIST_ENTRY(inside) entry;
};

const struct lineage *gate_lineage(const struct exchange *x)
{
	return x->inside ? &x->made : NULL;
}

static void *open_door(void *arg, int fd, const struct caller *who)
{
	struct gate *g = arg;
	struct inside *d = calloc(1, sizeof(*d));
	if (!d) {
		close(fd);
		return NULL;
	}
	str_copy(d->tenant, sizeof(d->tenant), who->tenant);
	str_copy(d->function, sizeof(d->function), who->function);
	str_copy(d->role, sizeof(d->role), who->role);
	d->caller = (struct caller){ d->tenant, d->function, d->role, who->made };
	d->listener = (struct listener){ .gate = g, .fd = fd, .kind = LISTENER_INSIDE, .caller = &d->caller };
	LIST_INSERT_HEAD(&g->doors, d, entry);
	if (gate_listen(&d->listener) == 0)
		return d;
	log_warning("tenant=%s function=%s the function API is not served to a call of it: out of memory, ignoring", d->tenant, d->function);
	gate_listener_end(&d->listener);
	return NULL;
}

void gate_inside_end(struct listener *l)
{
	struct inside *d = (struct inside *)l;
	LIST_REMOVE(d, entry);
	free(d);
}

static void shut_door(void *door)
{
	struct inside *d = door;
	gate_listener_end(&d->listener);
}

void gate_accept_inside(struct gate *g)
{
	struct inside *d;
	LIST_FOREACH(d, &g->doors, entry) {
		struct listener *l = &d->listener;
		if (l->accepting || !l->event || l->connections >= GATE_INSIDE_MAX ||
		    g->connections[LISTENER_INSIDE] >= g->env.config->max_function_connections)
			continue;
		l->accepting = true;
		event_add(l->event, NULL);
	}
}

void gate_serve_inside(struct gate *g, struct invocations *calls)
{
	invocations_set_door(calls, &(struct invocations_door){ .open = open_door, .shut = shut_door, .arg = g });
}
