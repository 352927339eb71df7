#include "agent/instance.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/link.h"
#include "base/cleanup.h"

struct instance {
	enum instance_state state;
	uint32_t generation;
	uint32_t next_free;   /* slot + 1, while FREE; 0 ends the list */
	bool term_sent, kill_sent;
	bool unreachable;        /* its pipes were lost on the way to us */
	bool sockets_lost;       /* the same of a socket, before LAUNCHED */
	struct instance_fds fds; /* sockets that came, until LAUNCHED */
	const struct instance_callbacks *cb;
	void *arg;
};

struct instances {
	struct link *link;
	size_t capacity;
	uint32_t first_free;  /* slot + 1; the most recently used first, so that slots stay few */
	size_t count[INSTANCE_STATE_MAX];
	struct instance slot[];
};

static const char *const state_names[] = {
#define STATE(upper, lower) [INSTANCE_##upper] = #lower,
#include "agent/instance-states.def"
};
static const char *const event_names[] = {
#define EVENT(upper, lower) [INSTANCE_EV_##upper] = #lower,
#include "agent/instance-states.def"
};
_Static_assert(ARRAY_LEN(state_names) == INSTANCE_STATE_MAX, "a name for each state");
_Static_assert(ARRAY_LEN(event_names) == INSTANCE_EV_MAX, "a name for each event");

/* Next state + 1; 0 where there is no cell. */
static const unsigned char cells[INSTANCE_STATE_MAX][INSTANCE_EV_MAX] = {
#define CELL(state, event, next) [INSTANCE_##state][INSTANCE_EV_##event] = INSTANCE_##next + 1,
#include "agent/instance-states.def"
};

const char *instance_state_name(enum instance_state s) { return state_names[s]; }
const char *instance_event_name(enum instance_event e) { return event_names[e]; }
int instance_next(enum instance_state s, enum instance_event e) { return (int)cells[s][e] - 1; }

/* The only place that assigns a state. */
static void step(struct instances *t, struct instance *i, enum instance_event e)
{
	int next = instance_next(i->state, e);
	assert(next >= 0);
	t->count[i->state]--;
	i->state = (enum instance_state)next;
	t->count[i->state]++;
}

static struct instance *find(const struct instances *t, struct instance_ref ref)
{
	if (ref.slot >= t->capacity)
		return NULL;
	const struct instance *i = &t->slot[ref.slot];
	return i->state != INSTANCE_FREE && i->generation == ref.generation ? (struct instance *)(uintptr_t)i : NULL;
}

static void release(struct instances *t, struct instance *i)
{
	assert(i->state == INSTANCE_FREE);
	i->cb = NULL;
	i->arg = NULL;
	instance_fds_close(&i->fds); /* of one whose LAUNCHED never came */
	i->next_free = t->first_free;
	t->first_free = (uint32_t)(i - t->slot) + 1;
}

/* ---- what keeper says ------------------------------------------------------ */

_Static_assert(MSG_IO_MAX == 3 && MSG_SOCKETS_MAX == 4, "INSTANCE_FDS_NONE");

void instance_fds_close(struct instance_fds *fds)
{
	for (int i = 0; i < MSG_IO_MAX; i++)
		cleanup_close(&fds->io[i]);
	for (int i = 0; i < MSG_SOCKETS_MAX; i++)
		cleanup_close(&fds->client[i]);
	cleanup_close(&fds->runtime_api);
	cleanup_close(&fds->function_api);
}

static int *place_of(struct instance_fds *fds, uint32_t kind)
{
	if (kind == MSG_SOCKET_RUNTIME_API)
		return fds->runtime_api < 0 ? &fds->runtime_api : NULL;
	if (kind == MSG_SOCKET_FUNCTION_API)
		return fds->function_api < 0 ? &fds->function_api : NULL;
	for (int i = 0; i < MSG_SOCKETS_MAX; i++)
		if (fds->client[i] < 0)
			return &fds->client[i];
	return NULL;
}

static int on_way(struct instances *t, const struct msg_way *m, int fd)
{
	struct instance *i = find(t, (struct instance_ref){ m->slot, m->generation });
	int *place = i && instance_next(i->state, INSTANCE_EV_LAUNCHED) >= 0 ? place_of(&i->fds, m->kind) : NULL;
	if (!place)
		return -EPROTO;
	*place = fd;
	i->sockets_lost |= fd < 0;
	return 0;
}

static int on_launched(struct instances *t, const struct msg_launched *m, const int fds[MSG_FDS_MAX])
{
	struct instance *i = find(t, (struct instance_ref){ m->slot, m->generation });
	if (!i || instance_next(i->state, INSTANCE_EV_LAUNCHED) < 0)
		return -EPROTO;
	bool lost = fds[0] < 0 || i->sockets_lost; /* we are out of descriptors (ipc/msg.h) */
	struct instance_fds all = i->fds;
	i->fds = (struct instance_fds)INSTANCE_FDS_NONE;
	memcpy(all.io, fds, sizeof(all.io));
	step(t, i, INSTANCE_EV_LAUNCHED);
	if (i->state == INSTANCE_RUNNING && !lost) {
		i->cb->launched(i->arg, &all, m);
		return 0;
	}
	i->unreachable = lost && i->state == INSTANCE_RUNNING;
	if (i->unreachable)
		instance_kill(t, (struct instance_ref){ m->slot, m->generation }, MSG_KILL_ALL);
	instance_fds_close(&all);
	return 0;
}

/* It ran, but nobody could speak with it: to its owner it never started. */
static void tell_unreachable(const struct instance_callbacks *cb, void *arg, const struct msg_exited *e)
{
	union msg m;
	msg_init(&m, MSG_LAUNCH_FAILED);
	m.launch_failed.slot = e->slot;
	m.launch_failed.generation = e->generation;
	m.launch_failed.fault = MSG_FAULT_FULL;
	m.launch_failed.code = EMFILE;
	msg_text(m.launch_failed.stage, sizeof(m.launch_failed.stage), "serve");
	msg_text(m.launch_failed.text, sizeof(m.launch_failed.text),
		 "no descriptors are left for its pipes; raise the limit on open files or lower max-connections");
	cb->failed(arg, &m.launch_failed);
}

/* The slot is free before its owner hears of it, so that he may start another one at once. */
static int on_end(struct instances *t, const union msg *m, struct instance_ref ref, enum instance_event e)
{
	struct instance *i = find(t, ref);
	if (!i || instance_next(i->state, e) < 0)
		return -EPROTO;
	const struct instance_callbacks *cb = i->cb;
	void *arg = i->arg;
	bool unreachable = i->unreachable;
	step(t, i, e);
	release(t, i);
	if (unreachable)
		tell_unreachable(cb, arg, &m->exited);
	else if (e == INSTANCE_EV_FAILED)
		cb->failed(arg, &m->launch_failed);
	else
		cb->exited(arg, &m->exited);
	return 0;
}

static int on_message(void *arg, const union msg *m, const int fds[MSG_FDS_MAX])
{
	struct instances *t = arg;

	switch ((enum msg_type)m->head.type) {
	case MSG_WAY:
		return on_way(t, &m->way, fds[0]);
	case MSG_LAUNCHED:
		return on_launched(t, &m->launched, fds);
	case MSG_LAUNCH_FAILED:
		return on_end(t, m, (struct instance_ref){ m->launch_failed.slot, m->launch_failed.generation },
			      INSTANCE_EV_FAILED);
	case MSG_EXITED:
		return on_end(t, m, (struct instance_ref){ m->exited.slot, m->exited.generation }, INSTANCE_EV_EXITED);
	default:
		return -EPROTO;
	}
}

/* ---- what serve wants -------------------------------------------------------- */

struct instances *instances_new(struct link *l)
{
	const struct msg_welcome *w = link_welcome(l);
	assert(w);
	struct instances *t = calloc(1, sizeof(*t) + w->max_instances * sizeof(t->slot[0]));
	if (!t)
		return NULL;
	t->link = l;
	t->capacity = w->max_instances;
	t->count[INSTANCE_FREE] = t->capacity;
	for (size_t k = t->capacity; k > 0; k--) {
		t->slot[k - 1].fds = (struct instance_fds)INSTANCE_FDS_NONE;
		release(t, &t->slot[k - 1]);
	}
	link_set_instances(l, on_message, t);
	return t;
}

struct instances *instances_free(struct instances *t)
{
	if (t)
		link_set_instances(t->link, NULL, NULL);
	for (size_t k = 0; t && k < t->capacity; k++)
		instance_fds_close(&t->slot[k].fds);
	free(t);
	return NULL;
}

static void fill_launch(struct msg_launch *m, const struct instance_wish *w)
{
	assert(w->layers <= MSG_LAYERS_MAX);
	msg_text(m->tenant, sizeof(m->tenant), w->tenant);
	msg_text(m->function, sizeof(m->function), w->function);
	msg_text(m->instance, sizeof(m->instance), w->instance);
	msg_text(m->runtime, sizeof(m->runtime), w->runtime);
	msg_text(m->image, sizeof(m->image), w->image);
	msg_text(m->code, sizeof(m->code), w->code);
	for (size_t k = 0; k < w->layers; k++)
		msg_text(m->layer[k], sizeof(m->layer[k]), w->layer[k]);
	m->memory_bytes = w->memory_bytes;
	m->cpu_milli = w->cpu_milli;
	m->pids = w->pids;
	m->tmp_bytes = w->tmp_bytes;
	m->network = w->network;
	m->function_api = w->function_api;
}

int instance_start(struct instances *t, const struct instance_wish *wish, const struct instance_callbacks *cb,
		   void *arg, struct instance_ref *ret)
{
	if (!t->first_free)
		return INSTANCE_E_FULL;
	struct instance *i = &t->slot[t->first_free - 1];
	uint32_t generation = i->generation + 1 ? i->generation + 1 : 1;

	union msg m;
	msg_init(&m, MSG_LAUNCH);
	m.launch.slot = t->first_free - 1;
	m.launch.generation = generation;
	fill_launch(&m.launch, wish);
	int r = link_send(t->link, &m, wish->payload_fd, /* must= */ false);
	if (r != 0)
		return r == LINK_E_FULL ? INSTANCE_E_FULL : r;

	t->first_free = i->next_free;
	i->generation = generation;
	i->term_sent = i->kill_sent = i->unreachable = i->sockets_lost = false;
	i->cb = cb;
	i->arg = arg;
	step(t, i, INSTANCE_EV_START);
	*ret = (struct instance_ref){ m.launch.slot, generation };
	return 0;
}

void instance_kill(struct instances *t, struct instance_ref ref, enum msg_kill_how how)
{
	struct instance *i = find(t, ref);
	if (!i)
		return;
	bool *sent = how == MSG_KILL_ALL ? &i->kill_sent : &i->term_sent;
	if (how == MSG_KILL_ALL)
		step(t, i, INSTANCE_EV_KILL);
	if (*sent || i->kill_sent)
		return;
	*sent = true;

	union msg m;
	msg_init(&m, MSG_KILL);
	m.kill.slot = ref.slot;
	m.kill.generation = ref.generation;
	m.kill.how = how;
	/* A failure is the link's: keeper is gone, and it takes its sandboxes along. */
	(void)link_send(t->link, &m, -1, /* must= */ true);
}

enum instance_state instance_state(const struct instances *t, struct instance_ref ref)
{
	const struct instance *i = find(t, ref);
	return i ? i->state : INSTANCE_FREE;
}

size_t instances_live(const struct instances *t) { return t->capacity - t->count[INSTANCE_FREE]; }
size_t instances_count(const struct instances *t, enum instance_state state) { return t->count[state]; }
size_t instances_capacity(const struct instances *t) { return t->capacity; }
