#include "agent/invocation.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/drain.h"
#include "agent/feed.h"
#include "agent/invocation-internal.h"
#include "agent/secrets.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"
#include "plan/wish.h"

enum {
	LAUNCH_TIMEOUT_MS = 30000, /* from LAUNCH to execve; a host that needs longer is ill */
	PAYLOAD_MAX = 2 << 20,     /* sandbox/spec.h refuses more */
	CLOSED_GRACE_MS = 500,     /* between the channel's end and the process' own */
};

static const char *const cause_names[] = {
	[CAUSE_NONE] = "exited", [CAUSE_VERDICT] = "answered", [CAUSE_TIMEOUT] = "timeout", [CAUSE_GONE] = "client_gone",
	[CAUSE_SHUTDOWN] = "shutdown", [CAUSE_CLOSED] = "channel_closed", [CAUSE_HOST] = "host",
};
_Static_assert(ARRAY_LEN(cause_names) == CAUSE_MAX, "a name for each cause");

static const char *const state_names[] = {
#define STATE(upper, lower) [INVOCATION_##upper] = #lower,
#include "agent/invocation-states.def"
};
_Static_assert(ARRAY_LEN(state_names) == INVOCATION_STATE_MAX, "a name for each state");

/* Next state + 1; 0 where there is no cell. */
static const unsigned char cells[INVOCATION_STATE_MAX][INVOCATION_EV_MAX] = {
#define CELL(state, event, next) [INVOCATION_##state][INVOCATION_EV_##event] = INVOCATION_##next + 1,
#include "agent/invocation-states.def"
};

const char *invocation_state_name(enum invocation_state s) { return state_names[s]; }
int invocation_next(enum invocation_state s, enum invocation_event e) { return (int)cells[s][e] - 1; }

/* The only place that assigns a state. */
static void step(struct invocation *i, enum invocation_event e)
{
	int next = invocation_next(i->state, e);
	assert(next >= 0);
	i->state = (enum invocation_state)next;
}

static void unlist(struct invocation *i, struct invocation_list *list)
{
	assert(i->listed);
	TAILQ_REMOVE(list, i, entry);
	i->listed = false;
}

static void call_free(struct invocation *i)
{
	assert(i->state == INVOCATION_DONE && !i->listed && !i->door);
	runtime_free(i->runtime);
	creds_revoke(i->cred);
	if (i->timer)
		event_free(i->timer);
	log_capture_fini(&i->log);
	passed_free(i->passed);
	buf_fini(&i->event);
	buf_fini(&i->result.body);
	buf_fini(&i->result.log_tail);
	catalog_function_unref(i->function);
	free(i);
}

static void arm(struct invocation *i, uint64_t ms)
{
	struct timeval tv = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000) };
	event_add(i->timer, &tv);
}

static void update_gauges(struct invocations *t)
{
	t->env.stats->invocations_running = t->nrunning;
	t->env.stats->queue_depth = t->queued;
	t->env.stats->instances_live = t->instances ? instances_live(t->instances) : 0;
}

/* What an orchestrator that follows is told. */
static void tell(const struct invocation *i, enum feed_kind kind, const char *detail)
{
	feed_add(i->table->env.feed, &(struct feed_note){ .kind = kind, .tenant = i->function->tenant, .function = i->function->f.name,
							   .request_id = i->request_id, .instance_id = i->instance_id, .detail = detail });
}

/* The last call of a drained node has gone. */
static void tell_if_drained(const struct invocations *t)
{
	if (t->env.drain && drain_active(t->env.drain) && t->nrunning == 0 && t->queued == 0)
		feed_add(t->env.feed, &(struct feed_note){ .kind = FEED_NODE_DRAINED });
}

/* The limits that a sandbox may use up, from the wish to its end. */
static uint64_t cpu_limit(const struct invocation *i)
{
	return i->function->f.cpu_milli ? i->function->f.cpu_milli : i->table->env.config->default_cpu_milli;
}

static void commit(struct invocation *i, bool take)
{
	struct stats *s = i->table->env.stats;
	uint64_t memory = (uint64_t)i->function->f.memory_mb << 20;
	s->memory_committed_bytes = take ? s->memory_committed_bytes + memory : s->memory_committed_bytes - memory;
	s->cpu_committed_milli = take ? s->cpu_committed_milli + cpu_limit(i) : s->cpu_committed_milli - cpu_limit(i);
}

/* ---- replies ------------------------------------------------------------- */

static void give_result(struct invocation *i)
{
	invocation_fn *done = i->done;
	i->done = NULL;
	if (done)
		done(i->arg, &i->result);
	else
		invocation_sent(i);
}

static void refuse(struct invocation *i, enum api_code code, const char *text)
{
	struct invocations *t = i->table;
	if (i->listed) {
		unlist(i, &t->queue);
		t->queued--;
	}
	event_del(i->timer);
	step(i, INVOCATION_EV_REFUSE);
	t->env.stats->invocations_refused++;
	tell(i, FEED_INVOCATION_REFUSED, api_code_name(code));
	i->result.refused = code;
	str_copy(i->result.message, sizeof(i->result.message), text);
	update_gauges(t);
	give_result(i);
	tell_if_drained(t);
}

static void kill_for(struct invocation *i, enum end_cause cause)
{
	if (i->cause == CAUSE_NONE)
		i->cause = cause;
	instance_kill(i->table->instances, i->ref, MSG_KILL_ALL);
}

/* ---- the runtime's word -------------------------------------------------- */

static void on_verdict(void *arg, enum runtime_verdict v)
{
	struct invocation *i = arg;
	i->verdict_ns = clock_mono_ns();
	i->verdict = v;
	if (v == RUNTIME_CLOSED) { /* most likely its process is ending: hear how, for a moment */
		if (i->cause != CAUSE_NONE) /* it was killed: its channel's end says nothing new */
			return;
		i->cause = CAUSE_CLOSED;
		arm(i, CLOSED_GRACE_MS);
		return;
	}
	event_del(i->timer);
	kill_for(i, CAUSE_VERDICT);
}

static void on_log(void *arg, int stream, const char *data, size_t len)
{
	struct invocation *i = arg;
	logs_publish(&(struct log_source){ i->function->tenant, i->function->f.name, i->request_id }, stream, data, len);
	log_capture_add(&i->log, stream, data, len);
}

static void on_ready(void *arg)
{
	struct invocation *i = arg;
	i->ready_ns = clock_mono_ns();
	i->initialising = false;
	arm(i, (uint64_t)i->function->f.timeout_s * 1000);
}

static void on_first_byte(void *arg)
{
	struct invocation *i = arg;
	i->first_byte_ns = clock_mono_ns();
}

static void on_stopping(void *arg, uint32_t timeout_s)
{
	struct invocation *i = arg;
	i->stopping = true;
	arm(i, (uint64_t)timeout_s * 1000);
}

static bool on_piece(void *arg, const char *data, size_t len)
{
	struct invocation *i = arg;
	return !i->done || i->piece(i->arg, &i->result, data, len); /* of who hung up nobody is to be held up */
}

static const struct runtime_callbacks runtime_cb = {
	.verdict = on_verdict, .log = on_log, .ready = on_ready, .first_byte = on_first_byte,
	.stopping = on_stopping,
};
static const struct runtime_callbacks streaming_cb = {
	.verdict = on_verdict, .log = on_log, .ready = on_ready, .first_byte = on_first_byte,
	.stopping = on_stopping, .reply = on_piece,
};

static enum runtime_talk talk_of(const struct function *f)
{
	static const enum runtime_talk talk[FUNCTION_RUNTIME_MAX] = {
		[FUNCTION_STDIO] = RUNTIME_TALK_STDIO, [FUNCTION_PYTHON3] = RUNTIME_TALK_CHANNEL, [FUNCTION_NODEJS] = RUNTIME_TALK_CHANNEL,
		[FUNCTION_CUSTOM] = RUNTIME_TALK_PUSH, [FUNCTION_PROVIDED] = RUNTIME_TALK_PULL,
	};
	return talk[f->runtime];
}

/* Its code as a caller of functions: what it calls is known to be its. */
static struct caller caller_of(const struct invocation *i)
{
	struct caller who = { .tenant = i->function->tenant, .function = i->function->f.name, .role = i->function->f.role };
	str_copy(who.made.parent, sizeof(who.made.parent), i->request_id);
	str_copy(who.made.root, sizeof(who.made.root), *i->lineage.root ? i->lineage.root : i->request_id);
	who.made.depth = i->lineage.depth + 1;
	return who;
}

static void open_door(struct invocation *i, int fd)
{
	const struct invocations_door *d = &i->table->door;
	const struct caller who = caller_of(i);
	if (fd < 0)
		return;
	if (d->open)
		i->door = d->open(d->arg, fd, &who);
	else
		close(fd);
}

/* The most that a call can take, whatever happens. */
static int64_t latest_end_ms(const struct invocation *i)
{
	const struct function *f = &i->function->f;
	return clock_real_ms() + LAUNCH_TIMEOUT_MS + ((int64_t)f->initializer_timeout_s + f->timeout_s + f->pre_stop_timeout_s) * 1000;
}

/* false: out of memory. What it cannot have is not missed before it asks. */
static bool give_credentials(struct invocation *i)
{
	const struct caller who = caller_of(i);
	creds_revoke(take_ptr(i->cred)); /* of an attempt that found no room */
	if (i->function->f.role && i->table->env.creds)
		i->cred = creds_issue(i->table->env.creds, &who, latest_end_ms(i));
	return i->cred || !i->function->f.role || !i->table->env.creds;
}

static struct function_credentials credentials_of(const struct invocation *i)
{
	return i->cred ? (struct function_credentials){ i->cred->key.id, i->cred->key.secret, i->cred->token } : (struct function_credentials){ NULL, NULL, NULL };
}

static void shut_door(struct invocation *i)
{
	void *door = i->door;
	i->door = NULL;
	if (door)
		i->table->door.shut(door);
}

static void on_launched(void *arg, const struct instance_fds *all, const struct msg_launched *m)
{
	struct invocation *i = arg;
	struct instance_fds own = *all;
	const struct instance_fds *fds = &own;
	open_door(i, take_fd(&own.function_api));
	enum runtime_talk talk = talk_of(&i->function->f);
	uint32_t first_s = talk == RUNTIME_TALK_STDIO ? i->function->f.timeout_s : i->function->f.initializer_timeout_s;
	i->launched_ns = clock_mono_ns();
	i->has_launched = true;
	i->launched = *m;
	tell(i, FEED_INSTANCE_RUNNING, NULL);
	const struct runtime_start s = {
		.talk = talk, .fds = fds, .web = i->table->env.web, .max_reply = i->table->env.config->max_reply_bytes,
		.cb = i->piece ? &streaming_cb : &runtime_cb, .arg = i,
		.call = {
			.request_id = i->request_id, .instance_id = i->instance_id, .account_id = i->function->tenant,
			.version = i->function->version, .qualifier = i->qualifier, .function = &i->function->f,
			.deadline_ms = clock_real_ms() + (int64_t)i->function->f.timeout_s * 1000,
			.traceparent = *i->traceparent ? i->traceparent : NULL,
			.tracestate = *i->tracestate ? i->tracestate : NULL,
			.passed = i->passed, .credentials = credentials_of(i),
			.event = i->event.data, .event_len = i->event.len,
		},
	};
	if (runtime_new(&i->runtime, i->table->env.base, &s) < 0) {
		kill_for(i, CAUSE_HOST);
		return;
	}
	i->initialising = talk != RUNTIME_TALK_STDIO;
	arm(i, (uint64_t)first_s * 1000);
}

/* ---- the end ------------------------------------------------------------- */

static void pump(struct invocations *t);

static void on_end(struct invocation *i)
{
	struct invocations *t = i->table;
	i->ended_ns = clock_mono_ns();
	event_del(i->timer);
	shut_door(i);
	creds_revoke(take_ptr(i->cred));
	if (i->runtime)
		i->verdict = runtime_finish(i->runtime);
	if (!i->verdict_ns)
		i->verdict_ns = i->ended_ns;
	unlist(i, &t->running);
	t->nrunning--;
	commit(i, false);
	invocation_conclude(i);
	tell(i, FEED_INSTANCE_ENDED, cause_names[i->cause]);
	tell(i, FEED_INVOCATION_ENDED, outcome_name(i->result.outcome));
	step(i, INVOCATION_EV_ENDED);
	give_result(i);
	pump(t);
	tell_if_drained(t);
	if (t->draining && TAILQ_EMPTY(&t->running) && t->drained) {
		void (*drained)(void *) = t->drained;
		t->drained = NULL;
		drained(t->drained_arg);
	}
}

static void on_failed(void *arg, const struct msg_launch_failed *m)
{
	struct invocation *i = arg;
	i->failed = *m;
	i->has_failed = true;
	on_end(i);
}

static void on_exited(void *arg, const struct msg_exited *m)
{
	struct invocation *i = arg;
	i->exited = *m;
	i->has_exited = true;
	on_end(i);
}

static const struct instance_callbacks instance_cb = {
	.launched = on_launched, .failed = on_failed, .exited = on_exited,
};

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct invocation *i = arg;
	char text[160];
	(void)fd;
	(void)what;
	if (i->state == INVOCATION_QUEUED) {
		snprintf(text, sizeof(text), "no sandbox became free within max-queue-wait (%" PRIu64 " ms)",
			 i->table->env.config->max_queue_wait_ms);
		return refuse(i, API_RESOURCE_EXHAUSTED, text);
	}
	if (i->stopping && i->runtime)
		return runtime_settle(i->runtime);
	kill_for(i, CAUSE_TIMEOUT); /* after CLOSED the cause stays what it was */
}

/* ---- the start ----------------------------------------------------------- */

static void text_wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->len);
	buf_fini(b);
}

/* The texts of a function's secrets, from the making of a sandbox' environment to the end of it. */
struct opened {
	struct buf text;                          /* each with its NUL */
	const char *each[FUNCTION_SECRETS_MAX];
};

static void opened_wipe(struct opened *o) { text_wipe(&o->text); }

static int open_secrets(const struct invocation *i, struct opened *o, struct err *err)
{
	const struct function *f = &i->function->f;
	const struct secrets *t = i->table->env.secrets;
	size_t at[FUNCTION_SECRETS_MAX];
	int r = f->nsecrets ? buf_reserve(&o->text, o->text.max) : 0; /* so that no copy is left where it grew */
	for (size_t k = 0; k < f->nsecrets && r == 0; k++) {
		at[k] = o->text.len;
		r = t ? secrets_open(t, i->function->tenant, f->secrets[k].name, &o->text, err) : -ENOSYS;
		if (r == 0)
			r = buf_append(&o->text, "", 1);
	}
	for (size_t k = 0; k < f->nsecrets && r == 0; k++)
		o->each[k] = o->text.data + at[k];
	return r;
}

static int payload_memfd(struct invocation *i, struct err *err)
{
	_cleanup_(opened_wipe) struct opened secrets = { .text = BUF_INIT((SECRET_BYTES_MAX + 1) * FUNCTION_SECRETS_MAX) };
	if (open_secrets(i, &secrets, err) < 0)
		return -ENOKEY;
	const struct function_start start = {
		.function = &i->function->f, .instance_id = i->instance_id, .account_id = i->function->tenant,
		.version_id = i->function->version, .qualifier = i->qualifier,
		.request_id = i->request_id, .deadline_ms = clock_real_ms() + (int64_t)i->function->f.timeout_s * 1000,
		.traceparent = *i->traceparent ? i->traceparent : NULL, .tracestate = *i->tracestate ? i->tracestate : NULL,
		.credentials = credentials_of(i), .secret_text = secrets.each,
	};
	_cleanup_(text_wipe) struct buf payload = BUF_INIT(PAYLOAD_MAX);
	int r = plan_function_payload(&start, &payload, err);
	if (r < 0)
		return r;
	int fd = fd_sealed_memfd("payload", payload.data, payload.len);
	return fd < 0 ? err_set(err, -fd, "make the payload's memory file") : fd;
}

/* Two layers may have the same content, and an overlay has no place for one directory twice. */
static void add_layer(struct instance_wish *w, const char *digest)
{
	_Static_assert((int)FUNCTION_LAYERS_MAX <= (int)MSG_LAYERS_MAX, "room for a function's layers");
	for (size_t i = 0; i < w->layers; i++)
		if (strcmp(w->layer[i], digest) == 0)
			return;
	w->layer[w->layers++] = digest;
}

static int ask_for_sandbox(struct invocation *i, int payload_fd)
{
	const struct config *c = i->table->env.config;
	const struct function *f = &i->function->f;
	struct instance_wish w = {
		.tenant = i->function->tenant, .function = f->name, .instance = i->instance_id,
		.runtime = function_runtime_name(f->runtime), .image = config_runtime_image(c, function_runtime_name(f->runtime)),
		.code = i->function->digest, .function_api = f->role != NULL,
		.memory_bytes = (uint64_t)f->memory_mb << 20,
		.cpu_milli = cpu_limit(i), .pids = c->default_pids,
		.tmp_bytes = (uint64_t)f->disk_mb << 20, .network = MSG_NETWORK_NONE, .payload_fd = payload_fd,
	};
	for (size_t k = 0; k < i->function->nlayers; k++)
		add_layer(&w, i->function->layer[k]->digest);
	return instance_start(i->table->instances, &w, &instance_cb, i, &i->ref);
}

static void fill_intent(struct invocation *i)
{
	struct meter_record *r = &i->record;
	i->start_ns = clock_mono_ns();
	i->start_ms = clock_real_ms();
	str_copy(r->request_id, sizeof(r->request_id), i->request_id);
	str_copy(r->instance_id, sizeof(r->instance_id), i->instance_id);
	str_copy(r->tenant, sizeof(r->tenant), i->function->tenant);
	str_copy(r->function, sizeof(r->function), i->function->f.name);
	str_copy(r->served, sizeof(r->served), "cold");
	r->lineage = i->lineage;
	r->start_ms = i->start_ms;
	r->memory_mb = i->function->f.memory_mb;
	r->cpu_us = r->peak_bytes = METER_UNKNOWN;
	r->outcome = OUTCOME_NODE_CRASH;
	str_copy(r->timeline, sizeof(r->timeline), "{}");
	i->result.instance_id = i->instance_id;
	i->result.checksum = i->function->checksum;
	i->result.version = i->function->version;
}

/*
 * A call of LATEST gets the function as it is now. One of a version keeps it, and with it its code, also when the alias that
 * chose it has moved and the version was deleted since. false: the function was deleted.
 */
static bool renew_function(struct invocation *i)
{
	struct catalog *c = i->table->env.catalog;
	struct catalog_function *old = i->function, *now = c ? catalog_find(c, old->tenant, old->f.name) : old;
	if (now && now != old && !old->number) {
		i->function = catalog_function_ref(now);
		catalog_function_unref(old);
	}
	return now != NULL;
}

/* false: no room now, it stays in the queue. */
static bool start(struct invocation *i)
{
	struct invocations *t = i->table;
	struct err err = ERR_INIT;
	if (!renew_function(i)) {
		refuse(i, API_FUNCTION_NOT_FOUND, "the function was deleted while the call waited");
		return true;
	}
	if (str_uuid(i->instance_id) < 0) {
		refuse(i, API_INTERNAL, "no random numbers for an instance id");
		return true;
	}
	if (!give_credentials(i)) {
		refuse(i, API_INTERNAL, "out of memory");
		return true;
	}
	autoclose int payload_fd = payload_memfd(i, &err);
	if (payload_fd < 0) {
		refuse(i, payload_fd == -ENOKEY ? API_SECRET_UNAVAILABLE : API_INTERNAL, err.text);
		return true;
	}
	fill_intent(i);
	int r = meter_begin(t->env.meter, &i->record, &i->slot);
	if (r < 0) {
		refuse(i, API_RESOURCE_THROTTLED, "the ledger cannot take another usage record now; try again");
		return true;
	}
	r = ask_for_sandbox(i, payload_fd);
	if (r != INSTANCE_OK) {
		meter_cancel(t->env.meter, i->slot);
		if (r == INSTANCE_E_FULL && !TAILQ_EMPTY(&t->running))
			return false; /* the end of one that runs comes back here */
		refuse(i, API_RESOURCE_THROTTLED, r < 0 ? "keeper is gone; the agent is restarting" : "keeper's queue is full");
		return true;
	}
	unlist(i, &t->queue);
	t->queued--;
	TAILQ_INSERT_TAIL(&t->running, i, entry);
	t->nrunning++;
	commit(i, true);
	tell(i, FEED_INVOCATION_STARTED, NULL);
	i->listed = true;
	step(i, INVOCATION_EV_START);
	arm(i, LAUNCH_TIMEOUT_MS);
	return true;
}

static void pump(struct invocations *t)
{
	struct invocation *i;
	while (t->instances && (i = TAILQ_FIRST(&t->queue)) &&
	       instances_live(t->instances) < instances_capacity(t->instances))
		if (!start(i))
			break;
	update_gauges(t);
}

static bool is_of(const struct invocation *i, const struct catalog_function *f)
{
	return strcmp(i->function->f.name, f->f.name) == 0 && strcmp(i->function->tenant, f->tenant) == 0;
}

/* Calls of the function, whatever its version, that wait and run: at most max-queue and max-instances are looked at. */
static size_t calls_of(const struct invocations *t, const struct catalog_function *f)
{
	const struct invocation *i;
	size_t n = 0;
	TAILQ_FOREACH(i, &t->queue, entry)
		n += is_of(i, f);
	TAILQ_FOREACH(i, &t->running, entry)
		n += is_of(i, f);
	return n;
}

/* ---- the caller's side --------------------------------------------------- */

enum api_code invocation_admit(struct invocations *t, const struct catalog_function *f, const struct lineage *l, struct err *err)
{
	bool inside = l && l->depth > 0;
	if (!t->instances || t->killing || (t->draining && !inside)) {
		err_set(err, 0, t->draining ? "the agent is shutting down" : "the agent is starting");
		return API_SHUTTING_DOWN;
	}
	if (t->env.drain && drain_active(t->env.drain) && !inside) {
		const char *why = drain_reason(t->env.drain);
		err_set(err, 0, "the node is drained%s%s; it takes calls again after DELETE /node/drain", *why ? ": " : "", why);
		return API_SHUTTING_DOWN;
	}
	int64_t most = t->env.catalog ? catalog_concurrency(t->env.catalog, f) : -1;
	if (most >= 0 && calls_of(t, f) >= (size_t)most) {
		err_set(err, 0, "%" PRId64 " calls of function '%s' may be at once (reservedConcurrency)", most, f->f.name);
		return API_RESOURCE_EXHAUSTED;
	}
	bool free_slot = instances_live(t->instances) < instances_capacity(t->instances);
	if ((!free_slot || t->queued) && t->queued >= t->env.config->max_queue) {
		err_set(err, 0, "%zu sandboxes are in use (max-instances) and %zu calls wait (max-queue is %" PRIu64 ")",
			instances_live(t->instances), t->queued, t->env.config->max_queue);
		return API_RESOURCE_EXHAUSTED;
	}
	return API_CODE_MAX;
}

struct invocation *invocation_new(struct invocations *t, const struct invocation_wish *w)
{
	struct invocation *i = calloc(1, sizeof(*i));
	if (!i)
		return NULL;
	i->timer = evtimer_new(t->env.base, on_timer, i);
	if (!i->timer) {
		free(i);
		return NULL;
	}
	i->table = t;
	i->state = INVOCATION_READING;
	i->function = catalog_function_ref(w->function);
	str_copy(i->qualifier, sizeof(i->qualifier), i->function->number ? w->qualifier : "LATEST");
	str_copy(i->request_id, sizeof(i->request_id), w->request_id);
	i->log_tail = w->log_tail;
	if (w->lineage)
		i->lineage = *w->lineage;
	str_copy(i->traceparent, sizeof(i->traceparent), w->traceparent ? w->traceparent : "");
	str_copy(i->tracestate, sizeof(i->tracestate), w->traceparent && w->tracestate ? w->tracestate : "");
	i->done = w->done;
	i->piece = w->piece;
	i->result.passed = i->passed = w->passed;
	i->arg = w->arg;
	i->result.refused = API_CODE_MAX;
	log_capture_init(&i->log, t->env.logs);
	return i;
}

void invocation_body(struct invocation *i, struct buf *event)
{
	struct invocations *t = i->table;
	struct err err = ERR_INIT;
	i->body_ns = clock_mono_ns();
	i->event = *event;
	*event = (struct buf)BUF_INIT(0);
	t->env.stats->event_bytes += i->event.len;
	step(i, INVOCATION_EV_BODY);
	enum api_code code = invocation_admit(t, i->function, &i->lineage, &err); /* again: the body may have taken long */
	if (code != API_CODE_MAX)
		return refuse(i, code, err.text);
	TAILQ_INSERT_TAIL(&t->queue, i, entry);
	i->listed = true;
	t->queued++;
	tell(i, FEED_INVOCATION_QUEUED, NULL);
	arm(i, t->env.config->max_queue_wait_ms + 1);
	pump(t);
}

void invocation_resume(struct invocation *i)
{
	if (i->runtime)
		runtime_resume(i->runtime);
}

void invocation_gone(struct invocation *i)
{
	struct invocations *t = i->table;
	enum invocation_state was = i->state;
	i->done = NULL;
	step(i, INVOCATION_EV_GONE);
	if (was == INVOCATION_RUNNING) {
		kill_for(i, CAUSE_GONE);
		return;
	}
	if (was == INVOCATION_QUEUED) {
		unlist(i, &t->queue);
		t->queued--;
		update_gauges(t);
	}
	call_free(i);
}

void invocation_sent(struct invocation *i)
{
	step(i, INVOCATION_EV_SENT);
	call_free(i);
}

/* ---- the table ----------------------------------------------------------- */

int invocations_new(struct invocations **ret, const struct invocations_env *env, struct err *err)
{
	struct invocations *t = calloc(1, sizeof(*t));
	if (!t)
		return err_set(err, ENOMEM, "make the table of calls");
	t->env = *env;
	TAILQ_INIT(&t->queue);
	TAILQ_INIT(&t->running);
	*ret = t;
	return 0;
}

void invocations_set_door(struct invocations *t, const struct invocations_door *door) { t->door = *door; }

void invocations_connect(struct invocations *t, struct instances *instances)
{
	t->instances = instances;
	t->env.stats->instances_capacity = instances_capacity(instances);
	pump(t);
}

void invocations_drain(struct invocations *t, bool kill, void (*drained)(void *arg), void *arg)
{
	struct invocation *i, *next;
	t->draining = true;
	t->killing |= kill;
	t->drained = drained;
	t->drained_arg = arg;
	for (i = TAILQ_FIRST(&t->queue); i; i = next) { /* but what a running call waits for */
		next = TAILQ_NEXT(i, entry);
		if (kill || i->lineage.depth == 0)
			refuse(i, API_SHUTTING_DOWN, "the agent is shutting down");
	}
	if (kill)
		TAILQ_FOREACH(i, &t->running, entry)
			kill_for(i, CAUSE_SHUTDOWN);
	if (TAILQ_EMPTY(&t->running)) {
		t->drained = NULL;
		drained(arg);
	}
}

bool invocations_draining(const struct invocations *t) { return t->draining; }
size_t invocations_queued(const struct invocations *t) { return t->queued; }
size_t invocations_running(const struct invocations *t) { return t->nrunning; }

static bool matches(const struct invocation *i, const char *tenant, const char *function, const char *qualifier)
{
	return (!*tenant || strcmp(i->function->tenant, tenant) == 0) && (!*function || strcmp(i->function->f.name, function) == 0) &&
	       (!*qualifier || strcmp(i->qualifier, qualifier) == 0 || strcmp(i->function->version, qualifier) == 0);
}

size_t invocations_view(const struct invocations *t, const char *tenant, const char *function, const char *qualifier,
			struct invocation_view *out, size_t max)
{
	const struct invocation *i;
	size_t n = 0;
	TAILQ_FOREACH(i, &t->running, entry) {
		if (n == max)
			break;
		if (matches(i, tenant, function, qualifier))
			out[n++] = (struct invocation_view){ i->request_id, i->instance_id, i->function->tenant, i->function->f.name,
							     i->function->version, i->qualifier, i->has_launched, i->start_ms };
	}
	return n;
}

const struct buf *invocations_log(struct invocations *t, const char *request_id, const char *tenant)
{
	const struct invocation *i;
	TAILQ_FOREACH(i, &t->running, entry)
		if (strcmp(i->request_id, request_id) == 0 && (!*tenant || strcmp(i->function->tenant, tenant) == 0))
			return &i->log.text;
	return NULL;
}

/* Answers whoever still waits. What still runs then is settled as node_crash by the next start, from its intent. */
struct invocations *invocations_free(struct invocations *t)
{
	if (!t)
		return NULL;
	struct invocation *i;
	t->draining = t->killing = true;
	while ((i = TAILQ_FIRST(&t->queue)))
		refuse(i, API_SHUTTING_DOWN, "the agent is shutting down");
	while ((i = TAILQ_FIRST(&t->running))) {
		unlist(i, &t->running);
		event_del(i->timer);
		shut_door(i);
		step(i, INVOCATION_EV_ENDED);
		i->result.refused = API_INTERNAL;
		str_copy(i->result.message, sizeof(i->result.message), "the agent ended before the call did");
		give_result(i);
	}
	free(t);
	return NULL;
}
