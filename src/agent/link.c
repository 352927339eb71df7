#include "agent/link.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fd.h"

enum { QUEUE_MAX = 256, READS_PER_TURN = 64 };

/* A message that the socket did not take yet. */
struct queued {
	struct queued *next;
	int fd;
	union msg msg;
};

/* A request and who waits for its answer; free when type is MSG_NONE. */
struct request {
	enum msg_type type;
	uint64_t id;
	union {
		link_tenant_fn *tenant;
		link_layer_fn *layer;
		link_dropped_fn *dropped;
		link_layers_fn *layers;
		link_counters_fn *counters;
		link_doctor_fn *doctor;
	} fn;
	void *arg;
};

struct link {
	int fd;
	enum msg_phase phase;
	struct event *readable, *writable;
	const struct link_handlers *handlers;
	void *arg;
	link_instance_fn *instance_fn;
	void *instance_arg;
	struct msg_welcome welcome;
	struct queued *head, **tail;
	size_t queued;
	uint64_t requests_made;
	struct request request[LINK_REQUESTS_MAX];
};

/* ---- sending ------------------------------------------------------------- */

static void drop_head(struct link *l)
{
	struct queued *q = l->head;
	l->head = q->next;
	if (!l->head)
		l->tail = &l->head;
	l->queued--;
	if (q->fd >= 0)
		close(q->fd);
	free(q);
}

static int enqueue(struct link *l, const union msg *m, int fd)
{
	struct queued *q = malloc(sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->next = NULL;
	q->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd >= 0 && q->fd < 0) {
		free(q);
		return -errno;
	}
	q->msg = *m;
	*l->tail = q;
	l->tail = &q->next;
	l->queued++;
	if (event_add(l->writable, NULL) < 0)
		return -ENOMEM; /* still queued: the next writable turn or lost() takes it */
	return 0;
}

int link_send(struct link *l, const union msg *m, int fd, bool must)
{
	if (l->fd < 0)
		return -EPIPE;
	if (l->head) {
		if (!must && l->queued >= QUEUE_MAX)
			return LINK_E_FULL;
		return enqueue(l, m, fd);
	}
	int r = msg_send(l->fd, m, &fd, fd >= 0);
	return r == -EAGAIN ? enqueue(l, m, fd) : r;
}

static struct request *request_new(struct link *l, enum msg_type type, void *arg)
{
	for (size_t i = 0; i < LINK_REQUESTS_MAX; i++) {
		struct request *q = &l->request[i];
		if (q->type != MSG_NONE)
			continue;
		q->type = type;
		q->id = ++l->requests_made * LINK_REQUESTS_MAX + i; /* the place is in the id, and no id comes twice */
		q->arg = arg;
		return q;
	}
	return NULL;
}

static int request_send(struct link *l, struct request *q, const union msg *m, int fd)
{
	int r = link_send(l, m, fd, /* must= */ false);
	if (r != 0)
		q->type = MSG_NONE;
	return r;
}

int link_tenant_add(struct link *l, const char *tenant, link_tenant_fn *fn, void *arg)
{
	struct request *q = request_new(l, MSG_TENANT_ADD, arg);
	if (!q)
		return LINK_E_FULL;
	q->fn.tenant = fn;
	union msg m;
	msg_init(&m, MSG_TENANT_ADD);
	m.tenant_add.request = q->id;
	msg_text(m.tenant_add.tenant, sizeof(m.tenant_add.tenant), tenant);
	return request_send(l, q, &m, -1);
}

int link_layer_unpack(struct link *l, enum msg_layer_kind kind, int bundle_fd, const char *sha256, uint64_t max_bytes,
		      uint64_t max_files, link_layer_fn *fn, void *arg)
{
	struct request *q = request_new(l, MSG_LAYER_UNPACK, arg);
	if (!q)
		return LINK_E_FULL;
	q->fn.layer = fn;
	union msg m;
	msg_init(&m, MSG_LAYER_UNPACK);
	m.layer_unpack.request = q->id;
	m.layer_unpack.max_bytes = max_bytes;
	m.layer_unpack.max_files = max_files;
	msg_text(m.layer_unpack.sha256, sizeof(m.layer_unpack.sha256), sha256);
	m.layer_unpack.kind = kind;
	return request_send(l, q, &m, bundle_fd);
}

int link_layer_drop(struct link *l, enum msg_layer_kind kind, const char *sha256, link_dropped_fn *fn, void *arg)
{
	struct request *q = request_new(l, MSG_LAYER_DROP, arg);
	if (!q)
		return LINK_E_FULL;
	q->fn.dropped = fn;
	union msg m;
	msg_init(&m, MSG_LAYER_DROP);
	m.layer_drop.request = q->id;
	m.layer_drop.kind = kind;
	msg_text(m.layer_drop.sha256, sizeof(m.layer_drop.sha256), sha256);
	return request_send(l, q, &m, -1);
}

int link_layer_list(struct link *l, enum msg_layer_kind kind, const char *after, link_layers_fn *fn, void *arg)
{
	struct request *q = request_new(l, MSG_LAYER_LIST, arg);
	if (!q)
		return LINK_E_FULL;
	q->fn.layers = fn;
	union msg m;
	msg_init(&m, MSG_LAYER_LIST);
	m.layer_list.request = q->id;
	m.layer_list.kind = kind;
	msg_text(m.layer_list.after, sizeof(m.layer_list.after), after);
	return request_send(l, q, &m, -1);
}

int link_stats(struct link *l, link_counters_fn *fn, void *arg)
{
	struct request *q = request_new(l, MSG_STATS, arg);
	if (!q)
		return LINK_E_FULL;
	q->fn.counters = fn;
	union msg m;
	msg_init(&m, MSG_STATS);
	m.stats.request = q->id;
	return request_send(l, q, &m, -1);
}

int link_doctor(struct link *l, link_doctor_fn *fn, void *arg)
{
	struct request *q = request_new(l, MSG_DOCTOR, arg);
	if (!q)
		return LINK_E_FULL;
	q->fn.doctor = fn;
	union msg m;
	msg_init(&m, MSG_DOCTOR);
	m.doctor.request = q->id;
	return request_send(l, q, &m, -1);
}

int link_ready(struct link *l)
{
	union msg m;
	msg_init(&m, MSG_READY);
	return link_send(l, &m, -1, /* must= */ true);
}

int link_drained(struct link *l)
{
	union msg m;
	msg_init(&m, MSG_DRAINED);
	return link_send(l, &m, -1, /* must= */ true);
}

/* ---- receiving ------------------------------------------------------------ */

static void disconnect(struct link *l)
{
	if (l->readable)
		event_free(l->readable);
	if (l->writable)
		event_free(l->writable);
	l->readable = l->writable = NULL;
	while (l->head)
		drop_head(l);
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

/* The link may be freed by the callee: nobody touches it after this. */
static void lose(struct link *l, int code, const char *what)
{
	struct err err = ERR_INIT;
	err_set(&err, code, "the socket to keeper: %s", what);
	disconnect(l);
	l->handlers->lost(l->arg, &err);
}

/* Take the request out of the table, so that its callback may make a new one. */
static bool request_take(struct link *l, uint64_t id, enum msg_type type, struct request *ret)
{
	struct request *q = &l->request[id % LINK_REQUESTS_MAX];
	if (q->type != type || q->id != id)
		return false;
	*ret = *q;
	q->type = MSG_NONE;
	return true;
}

/* Answers to requests. false: nobody asked that. */
static bool answer(struct link *l, const union msg *m, const int fds[MSG_FDS_MAX])
{
	struct request q;

	switch ((enum msg_type)m->head.type) {
	case MSG_TENANT_ADDED:
		if (!request_take(l, m->tenant_added.request, MSG_TENANT_ADD, &q))
			return false;
		q.fn.tenant(q.arg, &m->tenant_added);
		return true;
	case MSG_LAYER_DONE:
		if (!request_take(l, m->layer_done.request, MSG_LAYER_UNPACK, &q))
			return false;
		q.fn.layer(q.arg, &m->layer_done, NULL);
		return true;
	case MSG_LAYER_FAILED:
		if (!request_take(l, m->layer_failed.request, MSG_LAYER_UNPACK, &q))
			return false;
		q.fn.layer(q.arg, NULL, &m->layer_failed);
		return true;
	case MSG_LAYER_DROPPED:
		if (!request_take(l, m->layer_dropped.request, MSG_LAYER_DROP, &q))
			return false;
		q.fn.dropped(q.arg, &m->layer_dropped);
		return true;
	case MSG_LAYERS:
		if (!request_take(l, m->layers.request, MSG_LAYER_LIST, &q))
			return false;
		q.fn.layers(q.arg, &m->layers);
		return true;
	case MSG_COUNTERS:
		if (!request_take(l, m->counters.request, MSG_STATS, &q))
			return false;
		q.fn.counters(q.arg, &m->counters);
		return true;
	case MSG_DOCTOR_DONE:
		if (!request_take(l, m->doctor_done.request, MSG_DOCTOR, &q))
			return false;
		q.fn.doctor(q.arg, fds[0], NULL);
		return true;
	case MSG_DOCTOR_FAILED:
		if (!request_take(l, m->doctor_failed.request, MSG_DOCTOR, &q))
			return false;
		q.fn.doctor(q.arg, -1, &m->doctor_failed);
		return true;
	default:
		return false;
	}
}

/* One checked message; its descriptors are ours to pass on. false: keeper broke its promise. */
static bool dispatch(struct link *l, const union msg *m, const int fds[MSG_FDS_MAX])
{
	switch ((enum msg_type)m->head.type) {
	case MSG_WELCOME:
		l->phase = MSG_PHASE_UP;
		l->welcome = m->welcome;
		l->handlers->welcome(l->arg, &l->welcome);
		return true;
	case MSG_DRAIN:
		l->phase = MSG_PHASE_DRAIN;
		l->handlers->drain(l->arg, m->drain.timeout_ms);
		return true;
	case MSG_ACCESS:
		if (!l->handlers->access)
			return false;
		l->handlers->access(l->arg, fds[0], fds[1]);
		return true;
	case MSG_WAY:
	case MSG_LAUNCHED:
	case MSG_LAUNCH_FAILED:
	case MSG_EXITED:
		return l->instance_fn && l->instance_fn(l->instance_arg, m, fds) >= 0;
	default:
		return answer(l, m, fds);
	}
}

static void on_readable(evutil_socket_t sock, short what, void *arg)
{
	struct link *l = arg;
	(void)sock;
	(void)what;

	for (int i = 0; i < READS_PER_TURN; i++) {
		union msg m;
		int fds[MSG_FDS_MAX];
		size_t nfds;
		const char *bad = NULL;
		int r = msg_recv(l->fd, MSG_TO_SERVE, l->phase, &m, fds, &nfds, &bad);
		if (r == -EAGAIN)
			return;
		if (r <= 0) {
			lose(l, r < 0 && !bad ? -r : 0, bad ? bad : r < 0 ? "read" : "keeper has ended");
			return;
		}
		if (!dispatch(l, &m, fds)) {
			while (nfds > 0)
				close(fds[--nfds]);
			lose(l, 0, "an answer that nobody asked for");
			return;
		}
	}
}

static void on_writable(evutil_socket_t sock, short what, void *arg)
{
	struct link *l = arg;
	(void)sock;
	(void)what;

	while (l->head) {
		int r = msg_send(l->fd, &l->head->msg, &l->head->fd, l->head->fd >= 0);
		if (r == -EAGAIN) {
			event_add(l->writable, NULL);
			return;
		}
		if (r < 0) {
			lose(l, -r, "write");
			return;
		}
		drop_head(l);
	}
}

/* ---- life ------------------------------------------------------------------ */

static int say_hello(struct link *l, struct err *err)
{
	union msg m;
	msg_init(&m, MSG_HELLO);
	m.hello.version = MSG_VERSION;
	int r = link_send(l, &m, -1, /* must= */ true);
	return r < 0 ? err_set(err, -r, "greet keeper") : 0;
}

int link_new(struct link **ret, struct event_base *base, int fd, const struct link_handlers *h, void *arg,
	     struct err *err)
{
	struct link *l = calloc(1, sizeof(*l));
	if (!l) {
		close(fd);
		return err_set(err, ENOMEM, "set up the socket to keeper");
	}
	l->fd = fd;
	l->tail = &l->head;
	l->handlers = h;
	l->arg = arg;
	l->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, l);
	l->writable = event_new(base, fd, EV_WRITE, on_writable, l);
	int r = fd_set_nonblock(fd);
	if (r == 0 && (!l->readable || !l->writable || event_add(l->readable, NULL) < 0))
		r = -ENOMEM;
	r = r < 0 ? err_set(err, -r, "set up the socket to keeper") : say_hello(l, err);
	if (r < 0) {
		link_free(l);
		return r;
	}
	*ret = l;
	return 0;
}

struct link *link_free(struct link *l)
{
	if (l) {
		disconnect(l);
		free(l);
	}
	return NULL;
}

const struct msg_welcome *link_welcome(const struct link *l)
{
	return l->phase == MSG_PHASE_HELLO ? NULL : &l->welcome;
}

void link_set_instances(struct link *l, link_instance_fn *fn, void *arg)
{
	l->instance_fn = fn;
	l->instance_arg = arg;
}
