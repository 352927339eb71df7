#include "agent/gate.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/config.h"
#include "agent/gate-internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

/*
 * Theory of operation. MHD owns a connection's socket and parser; we own `conn`
 * (who it is, how long it may take) and, per request, `exchange`. MHD calls
 * on_target() with the request line, on_request() once with the head, then for
 * each piece of body, then once more; after an answer on_completed(). All of
 * that happens inside MHD_run(), which run_mhd() calls when MHD's epoll set is
 * readable or its timeout is due, and after a suspended connection was resumed.
 * An exchange outlives its connection while a handler still owes the answer.
 */

enum { POOL_BYTES = 96 << 10, REFUSED_PEERS_MAX = 16, SWEEP_MS = 500 };

static void run_mhd(struct gate *g)
{
	if (g->running) /* an answer given from inside a callback: the run under way takes it along */
		return;
	g->running = true;
	MHD_run(g->mhd);
	g->running = false;
	MHD_UNSIGNED_LONG_LONG ms;
	if (MHD_get_timeout(g->mhd, &ms) == MHD_YES) {
		struct timeval tv = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000) };
		event_add(g->timeout, &tv);
	} else {
		event_del(g->timeout);
	}
}

static void on_mhd(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	run_mhd(arg);
}

static void set_phase(struct conn *c, enum conn_phase phase)
{
	c->phase = phase;
	c->since_ns = clock_mono_ns();
}

/* ---- answers ------------------------------------------------------------- */

static void exchange_free(struct exchange *x)
{
	struct gate *g = x->gate;
	if (x->on_free)
		x->on_free(x);
	if (x->conn)
		x->conn->x = NULL;
	gate_exchange_fini(x);
	free(x);
	if (--g->exchanges == 0 && g->idle)
		event_active(g->idle_event, EV_TIMEOUT, 0);
}

static enum MHD_Result queue_reply(struct exchange *x)
{
	struct MHD_Response *r = gate_build_response(x);
	if (!r)
		return MHD_NO; /* out of memory: the connection ends */
	enum MHD_Result done = MHD_queue_response(x->mhd, x->status, r);
	MHD_destroy_response(r);
	x->queued = done == MHD_YES;
	stats_reply(x->gate->env.stats, x->status);
	if (x->conn)
		set_phase(x->conn, CONN_REPLY);
	return done;
}

void gate_answer(struct exchange *x)
{
	assert(!x->answered);
	x->answered = true;
	if (!x->deferred)
		return; /* still inside the handler: on_request() queues it */
	if (!x->mhd) { /* the client is gone and MHD has let go */
		exchange_free(x);
		return;
	}
	if (!x->suspended)
		return;
	x->suspended = false;
	if (x->conn->hangup)
		event_del(x->conn->hangup);
	MHD_resume_connection(x->mhd);
	event_active(x->gate->mhd_event, EV_READ, 0);
}

void gate_defer(struct exchange *x) { x->deferred = true; }

/* The peer may have shut down only its writing side; what counts is that nobody reads any more. */
static void on_hangup(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	struct exchange *x = c->x;
	struct pollfd p = { fd, 0, 0 };
	(void)what;
	if (!x || !x->suspended || x->gone || poll(&p, 1, 0) < 0 || !(p.revents & (POLLHUP | POLLERR)))
		return;
	x->gone = true;
	if (x->on_gone)
		x->on_gone(x);
}

static void suspend(struct exchange *x)
{
	struct conn *c = x->conn;
	x->suspended = true;
	set_phase(c, CONN_WORKING);
	MHD_suspend_connection(x->mhd);
	if (!c->hangup)
		c->hangup = event_new(x->gate->env.base, c->fd, EV_CLOSED | EV_ET | EV_PERSIST, on_hangup, c);
	if (c->hangup)
		event_add(c->hangup, NULL);
}

/* ---- the head ------------------------------------------------------------ */

static enum MHD_Result add_length(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	(void)kind;
	*(size_t *)arg += strlen(name) + (value ? strlen(value) : 0) + 4;
	return MHD_YES;
}

/* root may act for any tenant, others only for the one they are. */
static void find_tenant(struct exchange *x)
{
	const char *asked = gate_request_header(x, "X-Fcnode-Tenant");
	const char *own = config_tenant(x->gate->env.config, x->conn->uid);
	x->any_tenant = x->conn->uid == 0;
	str_copy(x->tenant, sizeof(x->tenant), own);
	if (!asked || strcmp(asked, own) == 0)
		return;
	if (!x->any_tenant)
		gate_error(x, API_ACCESS_DENIED, "user id %u acts for tenant '%s' and may not name another", x->conn->uid, own);
	else if (!str_is_name(asked, 64))
		gate_error(x, API_INVALID_ARGUMENT, "X-Fcnode-Tenant: not a tenant's name (letters, digits, _ and -, at most 64)");
	else
		str_copy(x->tenant, sizeof(x->tenant), asked);
}

static uint64_t body_limit(const struct exchange *x)
{
	switch (x->route->body) {
	case BODY_JSON:
		return GATE_JSON_MAX;
	case BODY_EVENT:
		return x->gate->env.config->max_event_bytes;
	case BODY_UPLOAD:
		return x->gate->env.config->max_code_bytes;
	default:
		return 0;
	}
}

static const char *body_limit_name(const struct exchange *x)
{
	static const char *const names[] = { [BODY_NONE] = "this request has no body", [BODY_JSON] = "the limit of a JSON body",
					     [BODY_EVENT] = "max-event-bytes", [BODY_UPLOAD] = "max-code-bytes" };
	return names[x->route->body];
}

static void check_target(struct exchange *x, const char *method)
{
	struct err err = ERR_INIT;
	if (!x->raw)
		return gate_error(x, API_ENTITY_TOO_LARGE, "path and query are longer than %d bytes", HTTP_TARGET_MAX);
	if (http_target_parse(x->raw, &x->target, &err) < 0)
		return gate_error(x, API_INVALID_ARGUMENT, "%s", err.text);
	enum gate_match m = gate_route(method, &x->target, &x->route);
	if (m != GATE_MATCH)
		return gate_error(x, API_PATH_NOT_SUPPORTED, "'%s' against '%.*s' is not supported", method,
				  (int)strcspn(x->raw, "?"), x->raw);
	const char *odd = http_query_unknown(&x->target, x->route->query);
	if (odd)
		gate_error(x, API_INVALID_ARGUMENT, "unknown query parameter '%s'", odd);
}

static void check_length(struct exchange *x)
{
	const char *text = gate_request_header(x, "Content-Length");
	uint64_t length = 0;
	if (text && str_to_u64(text, &length) < 0)
		return gate_error(x, API_INVALID_ARGUMENT, "Content-Length: not a number");
	if (length > body_limit(x))
		gate_error(x, API_ENTITY_TOO_LARGE, "the body has %" PRIu64 " bytes, at most %" PRIu64 " are taken (%s)", length,
			   body_limit(x), body_limit_name(x));
}

static void begin_request(struct exchange *x, const char *method)
{
	size_t bytes = 0;
	uint64_t max = x->gate->env.config->max_header_bytes;
	if (!x->conn->allowed)
		return gate_error(x, API_ACCESS_DENIED, "user id %u may not use this socket; see allow-user and allow-group in "
							"fc-agent.conf(5)", x->conn->uid);
	MHD_get_connection_values(x->mhd, MHD_HEADER_KIND, add_length, &bytes);
	if (bytes > max)
		return gate_error(x, API_ENTITY_TOO_LARGE, "the headers have %zu bytes, at most %" PRIu64
							   " are taken (max-header-bytes)", bytes, max);
	if (x->gate->draining)
		return gate_error(x, API_SHUTTING_DOWN, "the agent is shutting down");
	check_target(x, method);
	if (!x->answered)
		find_tenant(x);
	if (!x->answered)
		check_length(x);
	if (!x->answered && x->route->begin)
		x->route->begin(x);
	x->body.max = x->answered ? 0 : body_limit(x);
}

/* An answer before the body: at once when the client waits for a go-ahead or sends too much, else after its body. */
static bool refuse_at_once(struct exchange *x)
{
	const char *expect = gate_request_header(x, "Expect"), *text = gate_request_header(x, "Content-Length");
	uint64_t length = 0;
	if (text && str_to_u64(text, &length) < 0)
		length = UINT64_MAX;
	x->cut = expect || length > GATE_SWALLOW_MAX;
	return x->cut;
}

/* ---- the body ------------------------------------------------------------ */

static void body_too_large(struct exchange *x)
{
	gate_error(x, API_ENTITY_TOO_LARGE, "the body has more than %" PRIu64 " bytes (%s)", body_limit(x), body_limit_name(x));
	x->received = 0; /* what is swallowed from here on counts anew */
}

static void take_piece(struct exchange *x, const char *data, size_t len)
{
	struct stats *s = x->gate->env.stats;
	int r;
	x->received += len;
	if (x->answered)
		return;
	if (x->route->body == BODY_NONE)
		return body_too_large(x);
	if (x->upload) {
		if ((r = upload_write(x->upload, data, len)) < 0)
			return gate_upload_failed(x, r);
	} else if (s->body_bytes + len > GATE_BODIES_MAX) {
		return gate_error(x, API_RESOURCE_THROTTLED, "request bodies in memory reach %d bytes; try again", GATE_BODIES_MAX);
	} else {
		r = buf_append(&x->body, data, len);
		if (r == 0) {
			x->counted += len;
			s->body_bytes += len;
		}
	}
	if (r == -EMSGSIZE)
		body_too_large(x);
	else if (r < 0)
		gate_error(x, API_INTERNAL, "take the body: %s", strerror(-r));
}

/* MHD's access handler: head, pieces of body, end of body; and again after a resume. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
				  const char *version, const char *data, size_t *len, void **con_cls)
{
	struct exchange *x = *con_cls;
	(void)cls;
	(void)mhd;
	(void)url;
	(void)version;
	if (!x)
		return MHD_NO;
	if (!x->begun) {
		x->begun = true;
		set_phase(x->conn, CONN_BODY);
		begin_request(x, method);
		return x->answered && refuse_at_once(x) ? queue_reply(x) : MHD_YES;
	}
	if (*len > 0) {
		take_piece(x, data, *len);
		*len = 0;
		return x->answered && x->received > GATE_SWALLOW_MAX ? MHD_NO : MHD_YES;
	}
	if (!x->answered && x->gate->ending) /* what handlers work with is gone by now */
		return MHD_NO;
	if (!x->answered && !x->handled) {
		x->handled = true;
		x->route->handle(x);
		assert(x->answered || x->deferred);
		if (!x->answered) {
			suspend(x);
			return MHD_YES;
		}
	}
	return x->answered ? queue_reply(x) : MHD_YES;
}

static void *on_target(void *cls, const char *uri, struct MHD_Connection *mhd)
{
	struct gate *g = cls;
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct conn *c = info ? info->socket_context : NULL;
	struct exchange *x = c ? calloc(1, sizeof(*x)) : NULL;
	if (!x)
		return NULL;
	x->gate = g;
	x->conn = c;
	x->mhd = mhd;
	x->reply_fd = -1;
	if (str_uuid(x->request_id) < 0 || !(x->raw = strlen(uri) > HTTP_TARGET_MAX ? NULL : strdup(uri)))
		x->raw = NULL;
	c->x = x;
	g->exchanges++;
	g->env.stats->requests++;
	set_phase(c, CONN_HEAD);
	return x;
}

static void on_completed(void *cls, struct MHD_Connection *mhd, void **con_cls, enum MHD_RequestTerminationCode code)
{
	struct exchange *x = *con_cls;
	(void)cls;
	(void)mhd;
	(void)code;
	*con_cls = NULL;
	if (!x)
		return;
	if (x->conn)
		set_phase(x->conn, CONN_IDLE);
	if (x->deferred && !x->answered) { /* the answer will find nobody */
		x->mhd = NULL;
		if (x->conn)
			x->conn->x = NULL;
		x->conn = NULL;
		if (!x->gone && x->on_gone) {
			x->gone = true;
			x->on_gone(x);
		}
		return;
	}
	exchange_free(x);
}

/* ---- connections --------------------------------------------------------- */

static void conn_free(struct conn *c)
{
	struct gate *g = c->gate;
	if (c->hangup)
		event_free(c->hangup);
	if (c->x)
		c->x->conn = NULL;
	LIST_REMOVE(c, entry);
	g->connections--;
	g->refused_connections -= !c->allowed;
	g->env.stats->connections_open = g->connections;
	if (!g->accepting && !g->draining && g->accept_event) {
		g->accepting = true;
		event_add(g->accept_event, NULL);
	}
	free(c);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **context, enum MHD_ConnectionNotificationCode code)
{
	struct gate *g = cls;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		*context = g->arriving;
		if (g->arriving)
			g->arriving->mhd = mhd;
		g->arriving = NULL;
	} else if (*context) {
		conn_free(*context);
		*context = NULL;
	}
}

/* Who is at the other end (unix(7), SO_PEERCRED, SO_PEERGROUPS). */
static int identify(struct conn *c)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	c->uid = cred.uid;
	c->groups[0] = cred.gid;
	len = sizeof(c->groups) - sizeof(c->groups[0]);
	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, c->groups + 1, &len) < 0)
		len = 0; /* more groups than we look at: only the primary one counts */
	c->ngroups = 1 + len / sizeof(gid_t);
	c->allowed = config_allows(c->gate->env.config, c->uid, c->groups, c->ngroups);
	return 0;
}

static void add_connection(struct gate *g, int fd)
{
	struct conn *c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return;
	}
	c->gate = g;
	c->fd = fd;
	set_phase(c, CONN_IDLE);
	g->env.stats->connections++;
	if (identify(c) < 0 || (!c->allowed && g->refused_connections >= REFUSED_PEERS_MAX)) {
		g->env.stats->connections_refused++;
		close(fd);
		free(c);
		return;
	}
	if (!c->allowed) {
		g->env.stats->connections_refused++;
		log_warning("event=peer_refused uid=%u", c->uid);
	}
	LIST_INSERT_HEAD(&g->conns, c, entry);
	g->connections++;
	g->refused_connections += !c->allowed;
	g->env.stats->connections_open = g->connections;
	g->arriving = c;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (MHD_add_connection(g->mhd, fd, (struct sockaddr *)&address, sizeof(address)) != MHD_YES) { /* it closed fd */
		log_warning("event=connection error=\"%s\", ignoring", strerror(errno));
		if (g->arriving)
			conn_free(c);
	}
	g->arriving = NULL;
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct gate *g = arg;
	(void)what;
	for (int n = 0; n < 64; n++) {
		if (g->connections >= g->env.config->max_connections) {
			event_del(g->accept_event); /* the rest waits in the kernel's queue until one ends */
			g->accepting = false;
			break;
		}
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (client < 0) {
			if (errno == EMFILE || errno == ENFILE) { /* until a connection ends or the sweep tries again */
				event_del(g->accept_event);
				g->accepting = false;
			}
			break;
		}
		add_connection(g, client);
	}
	run_mhd(g);
}

/* Cut clients that are too slow, and take up accepting again after a shortage of descriptors. */
static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct gate *g = arg;
	struct conn *c;
	int64_t now = clock_mono_ns(), limit = (int64_t)g->env.config->client_timeout_ms * 1000000;
	(void)fd;
	(void)what;
	LIST_FOREACH(c, &g->conns, entry) {
		/* a body or a reply of many megabytes may take ten times as long as a head */
		int64_t max = c->phase == CONN_BODY || c->phase == CONN_REPLY ? 10 * limit : limit;
		bool over = c->phase != CONN_WORKING && now - c->since_ns > max;
		if (!over && !(g->draining && c->phase == CONN_IDLE))
			continue;
		if (over && c->phase != CONN_IDLE)
			g->env.stats->connections_cut++;
		shutdown(c->fd, SHUT_RDWR); /* MHD sees the end and cleans up */
		set_phase(c, CONN_WORKING);
	}
	if (!g->accepting && !g->draining && g->connections < g->env.config->max_connections) {
		g->accepting = true;
		event_add(g->accept_event, NULL);
	}
	run_mhd(g);
}

/* ---- lifecycle ----------------------------------------------------------- */

static void on_idle(evutil_socket_t fd, short what, void *arg)
{
	struct gate *g = arg;
	(void)fd;
	(void)what;
	if (g->exchanges == 0 && g->idle)
		g->idle(g->idle_arg);
}

static int start_mhd(struct gate *g, struct err *err)
{
	uint64_t timeout_s = (g->env.config->client_timeout_ms + 999) / 1000;
	size_t pool = POOL_BYTES + 2 * g->env.config->max_header_bytes;
	g->mhd = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, g,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)g->env.config->max_connections, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, pool, MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_URI_LOG_CALLBACK, on_target, g, MHD_OPTION_NOTIFY_COMPLETED, on_completed, g,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, g, MHD_OPTION_END);
	const union MHD_DaemonInfo *info = g->mhd ? MHD_get_daemon_info(g->mhd, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!info)
		return err_set(err, errno, "start the HTTP server");
	g->mhd_event = event_new(g->env.base, info->epoll_fd, EV_READ | EV_PERSIST, on_mhd, g);
	g->timeout = evtimer_new(g->env.base, on_mhd, g);
	g->idle_event = evtimer_new(g->env.base, on_idle, g);
	return g->mhd_event && g->timeout && g->idle_event && event_add(g->mhd_event, NULL) == 0
		       ? 0
		       : err_set(err, ENOMEM, "start the HTTP server");
}

int gate_new(struct gate **ret, const struct gate_env *env, int listen_fd, struct err *err)
{
	struct gate *g = calloc(1, sizeof(*g));
	const struct timeval period = { .tv_usec = SWEEP_MS * 1000 };
	if (!g) {
		close(listen_fd);
		return err_set(err, ENOMEM, "start the HTTP server");
	}
	g->env = *env;
	g->listen_fd = listen_fd;
	int r = start_mhd(g, err);
	if (r == 0) {
		g->accept_event = event_new(env->base, listen_fd, EV_READ | EV_PERSIST, on_accept, g);
		g->sweep = event_new(env->base, -1, EV_PERSIST, on_sweep, g);
		if (!g->accept_event || !g->sweep || event_add(g->accept_event, NULL) < 0 || event_add(g->sweep, &period) < 0)
			r = err_set(err, ENOMEM, "start the HTTP server");
	}
	if (r < 0) {
		gate_free(g);
		return r;
	}
	g->accepting = true;
	*ret = g;
	return 0;
}

void gate_drain(struct gate *g, void (*idle)(void *arg), void *arg)
{
	g->draining = true;
	g->accepting = false;
	g->idle = idle;
	g->idle_arg = arg;
	event_del(g->accept_event);
	on_sweep(-1, 0, g);
	event_active(g->idle_event, EV_TIMEOUT, 0);
}

struct gate *gate_free(struct gate *g)
{
	if (!g)
		return NULL;
	struct conn *c;
	g->draining = g->ending = true;
	g->idle = NULL;
	if (g->mhd) { /* MHD does not stop with suspended connections */
		LIST_FOREACH(c, &g->conns, entry)
			if (c->x && c->x->suspended && !c->x->answered) {
				c->x->on_gone = NULL;
				gate_error(c->x, API_SHUTTING_DOWN, "the agent is shutting down");
			}
		run_mhd(g);
		MHD_stop_daemon(g->mhd);
	}
	struct event *events[] = { g->mhd_event, g->timeout, g->accept_event, g->sweep, g->idle_event };
	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		if (events[i])
			event_free(events[i]);
	close(g->listen_fd);
	free(g);
	return NULL;
}
