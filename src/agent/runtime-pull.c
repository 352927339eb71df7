/*
 * pull: the code inside asks for its event and brings its reply, over HTTP on a
 * listener of its own network (agent/pull.h is the protocol). It is ready when
 * it asks for the first time.
 *
 * A connection is read while nothing is to be written on it, and written while
 * there is. A listener whose connections are all in use accepts no more until
 * one of them is between two requests, and is then closed for it.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/pull.h"
#include "agent/runtime-internal.h"
#include "base/clock.h"
#include "plan/function.h"

enum { CONNECTIONS = 16 };

struct link {
	struct runtime *r; /* NULL: free */
	int fd;
	struct event *readable, *writable;
	struct pull_conn conn;
};

struct server {
	struct pull pull;
	struct event *acceptable;
	struct link link[CONNECTIONS];
};

/* ---- the protocol's word ------------------------------------------------------ */

/* Its time begins now: the deadline that it is told counts from here. */
static void on_ready(void *arg)
{
	struct runtime *r = arg;
	r->call.deadline_ms = clock_real_ms() + (int64_t)r->call.function->timeout_s * 1000;
	r->cb.ready(r->arg);
}

static void on_reply(void *arg, const char *data, size_t len) { runtime_put(arg, data, len); }

static const struct pull_callbacks pull_cb = { .ready = on_ready, .reply = on_reply };

static void settle(struct runtime *r)
{
	struct pull *p = &((struct server *)r->own)->pull;
	if (p->verdict == RUNTIME_OPEN || r->verdict != RUNTIME_OPEN)
		return;
	if (p->verdict != RUNTIME_FAILED && p->verdict != RUNTIME_INIT_FAILED)
		return runtime_decide(r, p->verdict, p->why);
	buf_fini(&r->error);
	r->error = p->error;
	p->error = (struct buf)BUF_INIT(0);
	runtime_threw(r, p->verdict == RUNTIME_INIT_FAILED);
}

/* ---- connections --------------------------------------------------------------- */

static void link_close(struct link *l)
{
	struct server *s = l->r ? l->r->own : NULL;
	if (!s)
		return;
	if (l->readable)
		event_free(l->readable);
	if (l->writable)
		event_free(l->writable);
	close(l->fd);
	pull_conn_fini(&l->conn);
	*l = (struct link){ .r = NULL, .fd = -1 };
	if (s->acceptable)
		event_add(s->acceptable, NULL);
}

/* Which of the two is waited for; nothing while the reply rests. */
static void watch(struct link *l)
{
	const char *data;
	size_t len;
	bool writes = pull_output(&l->conn, &data, &len), reads = !writes && !(l->conn.sending && l->r->resting);
	if (writes)
		event_add(l->writable, NULL);
	else
		event_del(l->writable);
	if (reads)
		event_add(l->readable, NULL);
	else
		event_del(l->readable);
}

/* Write what there is. false: closed. */
static bool link_write(struct link *l)
{
	const char *data;
	size_t len;
	while (pull_output(&l->conn, &data, &len)) {
		ssize_t n = send(l->fd, data, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < 0) {
			link_close(l);
			return false;
		}
		pull_sent(&l->conn, (size_t)n);
	}
	if (!l->conn.closing)
		return true;
	link_close(l);
	return false;
}

/* One read. false: nothing more for now, or it is closed. */
static bool link_read(struct link *l)
{
	static char chunk[RUNTIME_CHUNK]; /* one thread, and nothing keeps a pointer into it */
	struct pull *p = &((struct server *)l->r->own)->pull;
	const char *data;
	size_t len;
	if (pull_output(&l->conn, &data, &len)) /* first it is answered */
		return false;
	ssize_t n = recv(l->fd, chunk, sizeof(chunk), 0);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return errno == EINTR;
	if (n > 0)
		pull_take(p, &l->conn, chunk, (size_t)n);
	else
		pull_eof(p, &l->conn);
	return link_write(l);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;
	struct runtime *r = l->r;
	(void)fd;
	(void)what;
	link_read(l);
	if (l->r)
		watch(l);
	settle(r);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;
	(void)fd;
	(void)what;
	if (link_write(l))
		watch(l);
}

static struct link *free_link(struct server *s)
{
	for (int i = 0; i < CONNECTIONS; i++)
		if (!s->link[i].r)
			return &s->link[i];
	for (int i = 0; i < CONNECTIONS; i++)
		if (pull_is_idle(&s->link[i].conn)) {
			link_close(&s->link[i]);
			return &s->link[i];
		}
	return NULL;
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct runtime *r = arg;
	struct server *s = r->own;
	struct link *l = free_link(s);
	(void)what;
	if (!l) {
		event_del(s->acceptable); /* until one is closed */
		return;
	}
	int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (conn < 0) /* it went already; or there is no descriptor: the next turn tries again */
		return;
	*l = (struct link){ .r = r, .fd = conn };
	pull_conn_init(&l->conn);
	l->readable = event_new(r->base, conn, EV_READ | EV_PERSIST, on_readable, l);
	l->writable = event_new(r->base, conn, EV_WRITE | EV_PERSIST, on_writable, l);
	if (!l->readable || !l->writable || event_add(l->readable, NULL) < 0)
		link_close(l);
}

/* ---- lifecycle ------------------------------------------------------------------ */

static int start(struct runtime *r, const struct runtime_start *start)
{
	struct server *s = r->own;
	runtime_close(r, MSG_IO_TALK); /* nothing comes on its stdin */
	pull_init(&s->pull, &r->call, start->cb->reply ? SIZE_MAX : start->max_reply, &pull_cb, r);
	s->acceptable = event_new(r->base, r->runtime_api, EV_READ | EV_PERSIST, on_acceptable, r);
	return s->acceptable && event_add(s->acceptable, NULL) == 0 ? 0 : -ENOMEM;
}

static void pause_reply(struct runtime *r, bool rest)
{
	struct server *s = r->own;
	(void)rest;
	for (int i = 0; i < CONNECTIONS; i++)
		if (s->link[i].r)
			watch(&s->link[i]);
}

static void stop(struct runtime *r)
{
	struct server *s = r->own;
	if (s->acceptable)
		event_free(s->acceptable);
	s->acceptable = NULL;
	for (int i = 0; i < CONNECTIONS; i++)
		link_close(&s->link[i]);
}

/* Its answer may be in a socket whole. */
static void finish(struct runtime *r)
{
	struct server *s = r->own;
	for (int i = 0; i < CONNECTIONS; i++)
		for (size_t n = 0; n < RUNTIME_FINISH_MAX / RUNTIME_CHUNK && s->link[i].r && link_read(&s->link[i]); n++)
			;
	stop(r);
	settle(r);
}

static void free_server(struct runtime *r)
{
	stop(r);
	pull_fini(&((struct server *)r->own)->pull);
}

const struct runtime_kind runtime_pull = {
	.size = sizeof(struct server), .start = start, .pause = pause_reply, .finish = finish, .free = free_server,
};
