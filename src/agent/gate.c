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
#include "agent/secrets.h"
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
	if (!x->stream.on) /* that one is ours until the trailers are in */
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
	gate_wake(x);
}

void gate_exchange_done(struct exchange *x) { exchange_free(x); }
void gate_reply_progress(struct exchange *x) { set_phase(x->conn, CONN_REPLY); }

void gate_wake(struct exchange *x)
{
	if (!x->suspended)
		return;
	x->suspended = false;
	if (x->conn->hangup)
		event_del(x->conn->hangup);
	MHD_resume_connection(x->mhd);
	event_active(x->gate->mhd_event, EV_READ, 0);
}

void gate_defer(struct exchange *x) { x->deferred = true; }

static void hang_up(struct conn *c)
{
	struct exchange *x = c->x;
	if (!x || !x->suspended || x->gone)
		return;
	x->gone = true;
	if (x->on_gone)
		x->on_gone(x);
}

/* The peer may have shut down only its writing side; what counts is that nobody reads any more. */
static void on_hangup(evutil_socket_t fd, short what, void *arg)
{
	struct pollfd p = { fd, 0, 0 };
	(void)what;
	if (poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)))
		hang_up(arg);
}

void gate_suspend(struct exchange *x)
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

static uint64_t body_limit(const struct exchange *x)
{
	switch (x->route->body) {
	case BODY_JSON:
		return GATE_JSON_MAX;
	case BODY_EVENT:
		return x->gate->env.config->max_event_bytes;
	case BODY_UPLOAD:
		return x->gate->env.config->max_code_bytes;
	case BODY_SECRET:
		return SECRET_BYTES_MAX;
	default:
		return 0;
	}
}

static const char *body_limit_name(const struct exchange *x)
{
	static const char *const names[] = { [BODY_NONE] = "this request has no body", [BODY_JSON] = "the limit of a JSON body",
					     [BODY_EVENT] = "max-event-bytes", [BODY_UPLOAD] = "max-code-bytes", [BODY_SECRET] = "the limit of a secret" };
	return names[x->route->body];
}

static void read_target(struct exchange *x)
{
	struct err err = ERR_INIT;
	if (!x->raw)
		return gate_error(x, API_ENTITY_TOO_LARGE, "path and query are longer than %d bytes", HTTP_TARGET_MAX);
	int r = gate_is_proxy(x->raw) ? gate_proxy_target(x, &err) : http_target_parse(x->raw, &x->target, &err);
	if (r < 0)
		gate_error(x, API_INVALID_ARGUMENT, "%s", err.text);
}

static void find_route(struct exchange *x, const char *method)
{
	if (gate_is_proxy(x->raw) && !x->inside) {
		x->route = &gate_proxy_route;
		return;
	}
	enum gate_match m = gate_route(method, &x->target, &x->route);
	if (m == GATE_MATCH && x->inside && x->route->pattern[1] != '2')
		return gate_error(x, API_PATH_NOT_SUPPORTED, "'%s' against '%.*s': functions are served the function API, not the node's own paths",
				  method, (int)strcspn(x->raw, "?"), x->raw);
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

static void check_headers(struct exchange *x)
{
	size_t bytes = 0;
	uint64_t max = x->gate->env.config->max_header_bytes;
	MHD_get_connection_values(x->mhd, MHD_HEADER_KIND, add_length, &bytes);
	if (bytes > max)
		gate_error(x, API_ENTITY_TOO_LARGE, "the headers have %zu bytes, at most %" PRIu64
						    " are taken (max-header-bytes)", bytes, max);
}

static void begin_request(struct exchange *x, const char *method)
{
	bool tcp = x->conn->from->kind == LISTENER_TCP;
	str_copy(x->method, sizeof(x->method), method);
	if (!tcp) /* the kernel says who it is; a signature is over what was read first */
		gate_identify(x, method);
	if (!x->answered)
		check_headers(x);
	if (!x->answered)
		read_target(x);
	if (!x->answered && tcp)
		gate_identify(x, method);
	if (!x->answered && x->gate->draining && !x->inside) /* what runs may go on as it would */
		gate_error(x, API_SHUTTING_DOWN, "the agent is shutting down");
	if (!x->answered)
		find_route(x, method);
	if (!x->answered)
		gate_authorise(x);
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
	bool at_once = expect || length > gate_swallow_max(x);
	x->cut = at_once || !x->who; /* nobody we know goes on talking */
	return at_once;
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
	gate_hash_body(x, data, len);
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
		return x->answered && x->received > gate_swallow_max(x) ? MHD_NO : MHD_YES;
	}
	if (!x->answered && x->gate->ending) /* what handlers work with is gone by now */
		return MHD_NO;
	if (!x->answered && !x->handled) {
		x->handled = true;
		gate_check_body(x);
		if (!x->answered)
			x->route->handle(x);
		assert(x->answered || x->deferred);
		if (!x->answered) {
			gate_suspend(x);
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
	if (x->deferred && (!x->answered || (x->stream.on && !x->stream.ended))) { /* the answer will find nobody */
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

/* Each kind has its own share, so that a crowd of strangers takes no place from those who are known by the kernel. */
static bool has_room(const struct listener *l)
{
	const struct config *c = l->gate->env.config;
	const uint64_t max[LISTENER_KINDS] = { [LISTENER_UNIX] = c->max_connections, [LISTENER_TCP] = c->max_tcp_connections,
					       [LISTENER_INSIDE] = c->max_function_connections };
	return l->gate->connections[l->kind] < max[l->kind] && (l->kind != LISTENER_INSIDE || l->connections < GATE_INSIDE_MAX);
}

static void stop_accepting(struct listener *l)
{
	if (l->event)
		event_del(l->event);
	l->accepting = false;
}

static void accept_again(struct gate *g)
{
	for (size_t i = 0; i < g->listeners; i++) {
		struct listener *l = &g->listener[i];
		if (l->accepting || g->draining || !l->event || !has_room(l))
			continue;
		l->accepting = true;
		event_add(l->event, NULL);
	}
	gate_accept_inside(g);
}

static void count_connections(struct gate *g)
{
	g->env.stats->connections_open = 0;
	for (int k = 0; k < LISTENER_KINDS; k++)
		g->env.stats->connections_open += g->connections[k];
	g->env.stats->tcp_connections_open = g->connections[LISTENER_TCP];
}

static void conn_free(struct conn *c)
{
	struct gate *g = c->gate;
	if (c->hangup)
		event_free(c->hangup);
	if (c->x)
		c->x->conn = NULL;
	LIST_REMOVE(c, entry);
	struct listener *l = c->from;
	g->connections[l->kind]--;
	l->connections--;
	g->refused_connections -= !c->allowed;
	count_connections(g);
	if (l->ended && l->connections == 0)
		gate_inside_end(l);
	accept_again(g);
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

static void add_connection(struct listener *l, int fd, const struct sockaddr *address, socklen_t len)
{
	struct gate *g = l->gate;
	struct conn *c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return;
	}
	c->gate = g;
	c->from = l;
	c->fd = fd;
	set_phase(c, CONN_IDLE);
	c->born_ns = c->since_ns;
	/* over TCP each request says itself whose it is, and a sandbox' own address is reached by its code only */
	c->allowed = l->kind != LISTENER_UNIX || gate_peer_allowed(c);
	g->env.stats->connections++;
	if (!c->allowed && g->refused_connections >= REFUSED_PEERS_MAX) {
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
	g->connections[l->kind]++;
	l->connections++;
	g->refused_connections += !c->allowed;
	count_connections(g);
	g->arriving = c;
	if (MHD_add_connection(g->mhd, fd, address, len) != MHD_YES) { /* it closed fd */
		log_warning("event=connection error=\"%s\", ignoring", strerror(errno));
		if (g->arriving)
			conn_free(c);
	}
	g->arriving = NULL;
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;
	(void)what;
	for (int n = 0; n < 64; n++) {
		struct sockaddr_storage address = { .ss_family = AF_UNIX };
		socklen_t len = sizeof(address);
		if (!has_room(l)) {
			stop_accepting(l); /* the rest waits in the kernel's queue until one ends */
			break;
		}
		bool tcp = l->kind != LISTENER_UNIX;
		int client = accept4(fd, tcp ? (struct sockaddr *)&address : NULL, tcp ? &len : NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (client < 0) {
			if (errno == EMFILE || errno == ENFILE) /* until a connection ends or the sweep tries again */
				stop_accepting(l);
			break;
		}
		add_connection(l, client, (const struct sockaddr *)&address, tcp ? len : sizeof(struct sockaddr_un));
	}
	run_mhd(l->gate);
}

/* Cut clients that are too slow, and take up accepting again after a shortage of descriptors. */
static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct gate *g = arg;
	struct conn *c;
	int64_t now = clock_mono_ns(), limit = (int64_t)g->env.config->client_timeout_ms * 1000000;
	int64_t stranger_limit = (int64_t)g->env.config->auth_timeout_ms * 1000000;
	(void)fd;
	(void)what;
	LIST_FOREACH(c, &g->conns, entry) {
		/* a body or a reply of many megabytes may take ten times as long as a head */
		int64_t max = c->phase == CONN_BODY || c->phase == CONN_REPLY ? 10 * limit : limit;
		bool over = c->phase != CONN_WORKING && now - c->since_ns > max;
		if (c->from->kind == LISTENER_TCP && !c->known && now - c->born_ns > stranger_limit)
			over = true;
		if (!over && !(g->draining && c->phase == CONN_IDLE && c->from->kind != LISTENER_INSIDE))
			continue;
		if (over && c->phase != CONN_IDLE)
			g->env.stats->connections_cut++;
		shutdown(c->fd, SHUT_RDWR); /* MHD sees the end and cleans up */
		set_phase(c, CONN_WORKING);
	}
	accept_again(g);
	gate_refusals_end(g);
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
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)config_connections(g->env.config), MHD_OPTION_CONNECTION_TIMEOUT,
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

int gate_listen(struct listener *l)
{
	l->event = event_new(l->gate->env.base, l->fd, EV_READ | EV_PERSIST, on_accept, l);
	if (!l->event || event_add(l->event, NULL) < 0)
		return -ENOMEM;
	l->accepting = true;
	return 0;
}

void gate_listener_end(struct listener *l)
{
	struct conn *c;
	l->ended = true;
	if (l->event)
		event_free(l->event);
	l->event = NULL;
	l->accepting = false;
	close(l->fd);
	l->fd = -1;
	LIST_FOREACH(c, &l->gate->conns, entry) { /* none is freed before MHD runs */
		if (c->from != l)
			continue;
		shutdown(c->fd, SHUT_RDWR); /* MHD sees the end and cleans up */
		hang_up(c);
	}
	if (l->connections == 0)
		gate_inside_end(l);
}

static int add_listener(struct gate *g, int fd, enum listener_kind kind, struct err *err)
{
	struct listener *l = &g->listener[g->listeners++]; /* there is room for the socket and for each --listen */
	*l = (struct listener){ .gate = g, .fd = fd, .kind = kind };
	return gate_listen(l) < 0 ? err_set(err, ENOMEM, "listen for clients") : 0;
}

int gate_add_tcp(struct gate *g, int fd, struct err *err)
{
	assert(g->listeners < ARRAY_LEN(g->listener));
	return add_listener(g, fd, LISTENER_TCP, err);
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
	int r = add_listener(g, listen_fd, LISTENER_UNIX, err);
	if (r == 0)
		r = start_mhd(g, err);
	if (r == 0) {
		g->sweep = event_new(env->base, -1, EV_PERSIST, on_sweep, g);
		if (!g->sweep || event_add(g->sweep, &period) < 0)
			r = err_set(err, ENOMEM, "start the HTTP server");
	}
	if (r < 0) {
		gate_free(g);
		return r;
	}
	*ret = g;
	return 0;
}

void gate_drain(struct gate *g, void (*idle)(void *arg), void *arg)
{
	g->draining = true;
	g->idle = idle;
	g->idle_arg = arg;
	for (size_t i = 0; i < g->listeners; i++)
		stop_accepting(&g->listener[i]);
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
			if (c->x && c->x->suspended) {
				c->x->on_gone = NULL;
				if (c->x->stream.on)
					gate_stream_end(c->x, /* whole= */ false);
				else if (!c->x->answered)
					gate_error(c->x, API_SHUTTING_DOWN, "the agent is shutting down");
			}
		run_mhd(g);
		MHD_stop_daemon(g->mhd);
	}
	struct event *events[] = { g->mhd_event, g->timeout, g->sweep, g->idle_event };
	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		if (events[i])
			event_free(events[i]);
	for (size_t i = 0; i < g->listeners; i++) {
		if (g->listener[i].event)
			event_free(g->listener[i].event);
		close(g->listener[i].fd);
	}
	free(g);
	return NULL;
}
