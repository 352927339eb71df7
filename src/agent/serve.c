/*
 * serve - the unprivileged half of fc-agent: one loop, one thread but for the
 * database writer and the worker that reads large bodies.
 *
 * Order of life: open the databases, say HELLO to keeper; at its WELCOME load
 * everything that depends on its limits, listen, say READY. At DRAIN: no new
 * requests, what runs may finish within the time, then it is killed; when the
 * last reply is out and the last record committed, DRAINED and the end. When
 * keeper is gone, end at once: the intent file settles what ran.
 */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/auth.h"
#include "agent/catalog.h"
#include "agent/config.h"
#include "agent/creds.h"
#include "agent/drain.h"
#include "agent/feed.h"
#include "agent/gate.h"
#include "agent/idempotency.h"
#include "agent/keyring.h"
#include "agent/instance.h"
#include "agent/invocation.h"
#include "agent/link.h"
#include "agent/logs.h"
#include "agent/meter.h"
#include "agent/roles.h"
#include "agent/secrets.h"
#include "agent/stats.h"
#include "agent/web.h"
#include "agent/worker.h"
#include "agent/writer.h"
#include "base/cleanup.h"
#include "base/log.h"

enum { METER_SPARE = 1024 /* slots for records that wait for their commit while new calls begin */ };

struct serve {
	const struct config *config;
	struct event_base *base;
	struct event *drain_timer;
	struct stats stats;
	char dir[1100];
	int listen_fd, status;
	struct link *link;
	struct instances *instances;
	struct worker *worker;
	struct writer *writer;
	struct logs *logs;
	struct catalog *catalog;
	struct feed *feed;
	struct drain *drain;
	struct meter *meter;
	struct web *web;
	struct invocations *calls;
	struct creds *creds;
	struct idempotency *idempotency;
	struct secrets *secrets;
	struct auth *auth;
	struct gate *gate;
	bool calls_drained, draining;
};

static void stop(struct serve *s, int status)
{
	s->status = status;
	event_base_loopbreak(s->base);
}

static void fail(struct serve *s, const struct err *err)
{
	log_err("event=start error=\"%s\" hint=\"%s\"", err->text, err->hint);
	stop(s, AGENT_FAILED);
}

/* ---- what keeper says ---------------------------------------------------- */

static int come_up(struct serve *s, const struct msg_welcome *m, struct err *err)
{
	s->instances = instances_new(s->link);
	if (!s->instances)
		return err_set(err, ENOMEM, "make the table of sandboxes");
	int r = meter_new(&s->meter, s->base, s->config, s->dir, m->max_instances + METER_SPARE, s->writer, &s->stats, err);
	if (r < 0)
		return r;
	if (web_new(&s->web, s->base) < 0)
		return err_set(err, ENOMEM, "start the HTTP client");
	const struct invocations_env calls = { s->base, s->config, s->logs, s->meter, &s->stats, s->catalog, s->feed,
						s->web, s->drain, s->secrets, s->creds };
	if ((r = invocations_new(&s->calls, &calls, err)) < 0)
		return r;
	invocations_connect(s->calls, s->instances);
	catalog_connect(s->catalog, s->link);
	const struct gate_env gate = { s->base, s->config, s->catalog, s->calls, s->logs, s->meter, &s->stats, s->link,
				       s->worker, s->feed, s->drain, s->idempotency, s->secrets, s->auth };
	r = gate_new(&s->gate, &gate, take_fd(&s->listen_fd), err);
	if (r == 0)
		gate_serve_inside(s->gate, s->calls);
	for (size_t i = 0; i < s->config->listens && r == 0; i++)
		r = gate_add_tcp(s->gate, SERVE_FD_TCP + (int)i, err);
	if (r == 0 && (r = link_ready(s->link)) != 0)
		r = err_set(err, EPIPE, "tell keeper that serve is ready");
	return r;
}

static void on_welcome(void *arg, const struct msg_welcome *m)
{
	struct serve *s = arg;
	struct err err = ERR_INIT;
	if (come_up(s, m, &err) < 0)
		return fail(s, &err);
	feed_add(s->feed, &(struct feed_note){ .kind = FEED_NODE_READY });
	if (drain_active(s->drain))
		log_warning("event=drain the node is drained since before this start, and takes no calls: fcctl undrain ends that");
	log_info("event=ready functions=%zu max_instances=%u cgroups=%s", (size_t)s->stats.functions, m->max_instances,
		 m->cgroup_name);
}

/* The text of a memfd, which is closed; wipe it. */
static int read_memfd(int fd, struct buf *text)
{
	int r = buf_reserve(text, text->max);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	if (r == 0)
		r = buf_read_fd(text, fd);
	close(fd);
	return r;
}

static void wipe(struct buf *text)
{
	if (text->data)
		explicit_bzero(text->data, text->cap);
	buf_fini(text);
}

/* keeper found both texts well formed, so that only memory can be short. */
static int read_access(int principals_fd, int keys_fd, struct principals **who, struct keyring *keys, struct err *err)
{
	struct buf text = BUF_INIT(PRINCIPALS_FILE_MAX), key_text = BUF_INIT(KEYRING_FILE_MAX);
	int r = read_memfd(principals_fd, &text), r2 = read_memfd(keys_fd, &key_text);
	if (r == 0)
		r = r2;
	r = r < 0 ? err_set(err, -r, "read the principals and keys") : keyring_parse(key_text.data, key_text.len, keys, err);
	if (r >= 0)
		r = principals_parse(text.data, text.len, who, err);
	if (r < 0)
		keyring_wipe(keys);
	wipe(&text);
	wipe(&key_text);
	return r;
}

static void on_access(void *arg, int principals_fd, int keys_fd)
{
	struct serve *s = arg;
	struct principals *who;
	struct keyring keys;
	struct err err = ERR_INIT;
	if (read_access(principals_fd, keys_fd, &who, &keys, &err) < 0) {
		log_err("event=reload error=\"%s\" action=\"principals and keys stay as they were; send SIGHUP again\"", err.text);
		return;
	}
	log_info("event=reload principals=%zu keys=%zu secret_keys=%zu", who->count, who->keys, keys.count);
	auth_reload(s->auth, who);
	secrets_reload(s->secrets, &keys);
}

static void on_gate_idle(void *arg)
{
	struct serve *s = arg;
	if (s->calls_drained)
		stop(s, AGENT_STOPPED);
}

static void on_calls_drained(void *arg)
{
	struct serve *s = arg;
	s->calls_drained = true;
	gate_end_followers();
	gate_drain(s->gate, on_gate_idle, s); /* again: says when the last reply is out */
}

static void on_drain_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct serve *s = arg;
	(void)fd;
	(void)what;
	if (s->calls_drained) {
		log_warning("event=drain clients did not take their replies in time, ignoring");
		stop(s, AGENT_STOPPED);
		return;
	}
	log_warning("event=drain calls still running are killed");
	const struct timeval more = { .tv_sec = 5 };
	event_add(s->drain_timer, &more);
	invocations_drain(s->calls, /* kill= */ true, on_calls_drained, s);
}

static void on_drain(void *arg, uint64_t timeout_ms)
{
	struct serve *s = arg;
	const struct timeval tv = { .tv_sec = (time_t)(timeout_ms / 1000), .tv_usec = (suseconds_t)(timeout_ms % 1000 * 1000) };
	if (!s->gate || s->draining) {
		if (!s->gate)
			stop(s, AGENT_STOPPED);
		return;
	}
	s->draining = true;
	log_info("event=drain");
	feed_add(s->feed, &(struct feed_note){ .kind = FEED_NODE_STOPPING }); /* who waits for an event is answered by it */
	event_add(s->drain_timer, &tv);
	gate_drain(s->gate, on_gate_idle, s);
	invocations_drain(s->calls, /* kill= */ false, on_calls_drained, s);
}

static void on_lost(void *arg, const struct err *why)
{
	struct serve *s = arg;
	log_err("event=keeper_lost error=\"%s\"", why->text);
	stop(s, AGENT_FAILED);
}

/* ---- life ---------------------------------------------------------------- */

static int open_all(struct serve *s, int link_fd, struct err *err)
{
	static const struct link_handlers handlers = { .welcome = on_welcome, .access = on_access, .drain = on_drain, .lost = on_lost };
	if (config_serve_dir(s->config, s->dir, sizeof(s->dir)) < 0)
		return err_set(err, ENAMETOOLONG, "name serve's directory below %s", s->config->state_dir);
	if (mkdir(s->dir, 0700) < 0 && errno != EEXIST)
		return err_set(err, errno, "make %s", s->dir);
	s->base = event_base_new();
	s->drain_timer = s->base ? evtimer_new(s->base, on_drain_timeout, s) : NULL;
	if (!s->drain_timer || !(event_base_get_features(s->base) & EV_FEATURE_EARLY_CLOSE))
		return err_set(err, s->base ? ENOSYS : ENOMEM, "make the event loop (epoll)");
	int r = writer_new(&s->writer, s->base, s->dir, &s->stats, err);
	if (r == 0)
		r = worker_new(&s->worker, s->base, err);
	if (r == 0)
		r = logs_new(&s->logs, s->config, s->writer, &s->stats, err);
	if (r == 0)
		r = feed_new(&s->feed, s->base, s->config->max_node_events, err);
	if (r == 0)
		r = drain_new(&s->drain, s->dir, s->worker, err);
	if (r == 0)
		r = catalog_new(&s->catalog, s->base, s->config, s->dir, s->writer, &s->stats, err);
	if (r == 0)
		r = idempotency_new(&s->idempotency, s->config, s->writer, err);
	struct principals *who = NULL;
	struct keyring keys;
	if (r == 0)
		r = read_access(SERVE_FD_PRINCIPALS, SERVE_FD_SECRET_KEYS, &who, &keys, err);
	if (r == 0)
		r = secrets_new(&s->secrets, s->config, s->writer, &keys, &s->stats, err);
	if (r == 0)
		r = auth_new(&s->auth, s->config, s->dir, who, &s->stats, err);
	if (r == 0 && creds_new(&s->creds) < 0)
		r = err_set(err, ENOMEM, "prepare the credentials of functions");
	if (r == 0)
		auth_set_creds(s->auth, s->creds);
	if (r == 0)
		r = link_new(&s->link, s->base, link_fd, &handlers, s, err);
	return r;
}

/* Records and answers first, then what they need. */
static void close_all(struct serve *s)
{
	s->worker = worker_free(s->worker); /* what it read may still go to the writer */
	secrets_close(s->secrets); /* what is under way is finished, and nothing is sealed again behind it */
	s->writer = writer_free(s->writer);
	idempotency_close(s->idempotency);
	s->calls = invocations_free(s->calls);
	s->catalog = catalog_free(s->catalog);
	s->gate = gate_free(s->gate);
	s->idempotency = idempotency_free(s->idempotency);
	s->secrets = secrets_free(s->secrets);
	s->web = web_free(s->web);
	s->auth = auth_free(s->auth);
	s->creds = creds_free(s->creds);
	s->meter = meter_free(s->meter);
	s->logs = logs_free(s->logs);
	s->drain = drain_free(s->drain);
	s->feed = feed_free(s->feed);
	if (s->status == AGENT_STOPPED && s->link)
		link_drained(s->link);
	s->instances = instances_free(s->instances);
	s->link = link_free(s->link);
	if (s->drain_timer)
		event_free(s->drain_timer);
	if (s->base)
		event_base_free(s->base);
	if (s->listen_fd >= 0)
		close(s->listen_fd);
}

int serve_run(const struct config *c, int link_fd, int listen_fd)
{
	struct serve *s = calloc(1, sizeof(*s));
	struct err err = ERR_INIT;
	if (!s)
		return AGENT_FAILED;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN); /* keeper decides when to stop, and its end of the link tells when it is gone */
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN); /* keeper reads the principals again, also when the signal went to both */
	umask(0077);
	s->config = c;
	s->listen_fd = listen_fd;
	s->status = AGENT_FAILED;
	if (open_all(s, link_fd, &err) < 0)
		log_err("event=start error=\"%s\" hint=\"%s\"", err.text, err.hint);
	else
		event_base_dispatch(s->base);
	int status = s->status;
	close_all(s);
	free(s);
	return status;
}
