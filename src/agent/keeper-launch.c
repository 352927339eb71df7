/*
 * Sandboxes, from serve's wish to their last word.
 *
 * The policy half of a spec is built here, from names looked up in keeper's own
 * tables; the payload is a descriptor whose seals and size are checked and
 * which is never mapped. A launch is answered when the payload has executed:
 * LAUNCHED takes the pipes along, so keeper holds no end of them while a
 * sandbox runs. Two descriptors tell the rest: the status socket (what
 * fc-sandbox reports) and the pidfd (PID 1 inside has ended, so all has).
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "agent/keeper-internal.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "plan/wish.h"

static const char *const phase_names[] = {
#define X(name) #name,
	LAUNCH_PHASES(X)
#undef X
};
static const char *const stage_names[] = {
#define STAGE(name, text) #name,
#include "sandbox/stages.def"
#undef STAGE
};
_Static_assert(ARRAY_LEN(phase_names) == LAUNCH_PHASE_MAX, "a name for each phase");
_Static_assert(ARRAY_LEN(stage_names) == STAGE_MAX, "a name for each stage");
_Static_assert(1 + LAUNCH_PHASE_MAX + STAGE_MAX + 1 <= MSG_MARKS_MAX, "all of them fit a message");

/* Why a launch was not even tried, or how it failed: err's text goes to serve. */
struct refusal {
	enum msg_fault fault;
	const char *stage;
	struct err err;
};

/* ---- the answer ------------------------------------------------------------- */

static void answer_failed(struct keeper *k, uint32_t slot, uint32_t generation, const struct refusal *why)
{
	union msg m;
	k->counter[why->fault == MSG_FAULT_REFUSED ? MSG_COUNT_refused_messages : MSG_COUNT_launch_failures]++;
	msg_init(&m, MSG_LAUNCH_FAILED);
	m.launch_failed.slot = slot;
	m.launch_failed.generation = generation;
	m.launch_failed.fault = why->fault;
	m.launch_failed.code = why->err.code > 0 && why->err.code < 4096 ? why->err.code : EIO;
	msg_text(m.launch_failed.stage, sizeof(m.launch_failed.stage), why->stage);
	char text[ERR_TEXT_MAX + ERR_HINT_MAX + 4];
	snprintf(text, sizeof(text), "%s%s%s", why->err.text, why->err.hint[0] ? "; " : "", why->err.hint);
	msg_text(m.launch_failed.text, sizeof(m.launch_failed.text), text);
	serve_send(k, &m, NULL, 0);
}

static void put_mark(struct msg_launched *m, size_t *n, const char *name, uint64_t wall, uint64_t cpu)
{
	if (wall == 0 || *n == MSG_MARKS_MAX)
		return;
	str_copy(m->mark[*n].name, sizeof(m->mark[*n].name), name);
	m->mark[*n].wall_ns = wall;
	m->mark[(*n)++].cpu_ns = cpu;
}

static void send_sockets(struct kinstance *i)
{
	for (size_t s = 0; s < i->sockets; s++) {
		union msg m;
		msg_init(&m, MSG_WAY);
		m.way.slot = i->slot;
		m.way.generation = i->generation;
		m.way.kind = i->socket_kind[s];
		serve_send(i->k, &m, &i->socket[s].fd, 1);
		i->socket[s].fd = -1; /* serve_send has it now */
	}
	i->sockets = 0;
}

static void answer_launched(struct kinstance *i)
{
	send_sockets(i);
	union msg m;
	size_t n = 0;
	msg_init(&m, MSG_LAUNCHED);
	m.launched.slot = i->slot;
	m.launched.generation = i->generation;
	put_mark(&m.launched, &n, "asked", i->asked_wall_ns, i->asked_cpu_ns);
	for (int p = 0; p < LAUNCH_PHASE_MAX; p++)
		put_mark(&m.launched, &n, phase_names[p], i->sandbox.times.wall_ns[p], i->sandbox.times.cpu_ns[p]);
	for (int s = 0; s < STAGE_MAX; s++)
		put_mark(&m.launched, &n, stage_names[s], i->last.wall_ns[s], i->last.cpu_ns[s]);
	put_mark(&m.launched, &n, "running", i->last.wall_ns[STAGE_MAX], i->last.cpu_ns[STAGE_MAX]);
	serve_send(i->k, &m, i->io, MSG_IO_MAX);
	for (int f = 0; f < MSG_IO_MAX; f++)
		i->io[f] = -1; /* serve_send has them now */
}

static void put_usage(struct msg_exited *m, const struct cgroup_usage *u)
{
	m->have |= (u->have_cpu ? MSG_HAVE_CPU : 0) | (u->have_peak ? MSG_HAVE_PEAK : 0) |
		   (u->have_oom ? MSG_HAVE_OOM : 0) | (u->have_io ? MSG_HAVE_IO : 0);
	m->cpu_us = u->cpu_us;
	m->throttled_us = u->throttled_us;
	m->memory_peak_bytes = u->memory_peak_bytes;
	m->oom_kills = u->oom_kills;
	m->pids_peak = u->pids_peak;
	m->io_read_bytes = u->io_read_bytes;
	m->io_write_bytes = u->io_write_bytes;
}

/* status: of PID 1 inside, for a sandbox that was killed before it could report its payload's. */
static void answer_exited(struct kinstance *i, int status)
{
	union msg m;
	struct cgroup_usage usage = { .have_cpu = false };
	msg_init(&m, MSG_EXITED);
	struct msg_exited *e = &m.exited;
	e->slot = i->slot;
	e->generation = i->generation;
	e->wait_status = i->has_exit ? i->last.code : status;
	e->killed = i->killed;
	e->end_ns = i->has_exit && i->last.exit_ns ? i->last.exit_ns : (uint64_t)clock_mono_ns();
	if (i->has_exit) {
		e->have |= MSG_HAVE_RUSAGE;
		e->user_us = i->last.user_us;
		e->system_us = i->last.system_us;
		e->maxrss_kib = i->last.maxrss_kib;
		e->nvcsw = i->last.nvcsw;
		e->nivcsw = i->last.nivcsw;
	}
	e->oom_level = CGROUP_OOM_NONE;
	if (i->sandbox.has_cgroup) {
		if (cgroup_usage(&i->sandbox.cgroup, &usage) == 0)
			put_usage(e, &usage);
		int level = cgroup_oom_level(&i->sandbox.cgroup, &i->sandbox.oom_mark);
		e->oom_level = level < CGROUP_OOM_ABOVE || level > 16 ? CGROUP_OOM_NONE : level;
	}
	i->k->counter[MSG_COUNT_exits]++;
	serve_send(i->k, &m, NULL, 0);
}

/* ---- the end ----------------------------------------------------------------- */

static void kinstance_free(struct kinstance *i)
{
	struct keeper *k = i->k;
	if (i->status_event)
		event_free(i->status_event);
	if (i->exit_event)
		event_free(i->exit_event);
	sandbox_fini(&i->sandbox);
	for (int f = 0; f < MSG_IO_MAX; f++)
		cleanup_close(&i->io[f]);
	for (size_t s = 0; s < i->sockets; s++)
		cleanup_close(&i->socket[s].fd);
	for (int u = 0; u < KEEPER_LAYERS; u++)
		layer_unuse(k, &i->uses[u]);
	assert(k->slot[i->slot] == i);
	k->slot[i->slot] = NULL;
	k->live--;
	free(i);
}

/* Stages of fc-sandbox that deal with what the function's author wrote. */
static bool is_authors(const struct report *r)
{
	return r->stage == STAGE_exec || r->stage == STAGE_payload;
}

static void answer_end(struct kinstance *i, int status)
{
	struct refusal why = { .fault = MSG_FAULT_HOST, .stage = "fc-sandbox" };
	if (i->state == K_RUNNING) {
		answer_exited(i, status);
		return;
	}
	if (i->has_failure) {
		why.fault = is_authors(&i->last) ? MSG_FAULT_FUNCTION : MSG_FAULT_HOST;
		why.stage = stage_names[i->last.stage];
		sandbox_failure(&i->last, &why.err);
	} else if (i->killed) {
		why.fault = MSG_FAULT_KILLED;
		err_set(&why.err, ECANCELED, "killed before it ran");
	} else {
		err_set(&why.err, ECHILD, "fc-sandbox ended without a word (wait status %d)", status);
	}
	answer_failed(i->k, i->slot, i->generation, &why);
}

/* One report. false: nothing more to read. */
static bool take_report(struct kinstance *i)
{
	struct report r;
	if (i->sandbox.status_fd < 0 || sandbox_report(&i->sandbox, &r) != 1)
		return false;
	i->last = r;
	if (r.kind == REPORT_RUNNING && i->state == K_LAUNCHING) {
		i->state = K_RUNNING;
		if (!i->orphan)
			answer_launched(i);
	} else if (r.kind == REPORT_FAILED) {
		i->has_failure = true;
	} else if (r.kind == REPORT_EXITED) {
		i->has_exit = true;
	}
	return true;
}

static void on_status(evutil_socket_t fd, short what, void *arg)
{
	struct kinstance *i = arg;
	(void)fd;
	(void)what;
	if (!take_report(i))
		event_del(i->status_event); /* end of file: the pidfd tells the rest */
}

/* PID 1 inside has ended and everything with it. What it said last may still wait in the socket. */
static void on_exit_event(evutil_socket_t fd, short what, void *arg)
{
	struct kinstance *i = arg;
	struct keeper *k = i->k;
	int status = 0;
	(void)fd;
	(void)what;
	while (take_report(i))
		;
	int r = sandbox_reap(&i->sandbox, &status);
	if (r < 0)
		log_warning("event=reap slot=%u error=\"%s\", ignoring", i->slot, strerror(-r));
	if (!i->orphan)
		answer_end(i, status);
	kinstance_free(i);
	keeper_turn(k);
}

/* ---- the start ---------------------------------------------------------------- */

static int refuse(struct refusal *why, enum msg_fault fault, int code, const char *fmt, const char *arg)
{
	why->fault = fault;
	why->stage = "keeper";
	return err_set(&why->err, code, fmt, arg);
}

/* Nobody can change what fc-sandbox will read, and it is no larger than it reads. Its bytes are not our business. */
static int check_payload(int fd, struct refusal *why)
{
	const int need = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	struct stat st;
	if (fd < 0)
		return refuse(why, MSG_FAULT_HOST, EMFILE, "take the payload: %s", "keeper is out of descriptors");
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & need) != need)
		return refuse(why, MSG_FAULT_REFUSED, EPERM, "take the payload: %s", "it is not a memfd sealed against change");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(struct payload) ||
	    st.st_size > PAYLOAD_SIZE_MAX)
		return refuse(why, MSG_FAULT_REFUSED, EMSGSIZE, "take the payload: %s", "its size is outside what fc-sandbox reads");
	return 0;
}

static int check_limits(const struct config *c, const struct msg_launch *m, struct refusal *why)
{
	const struct {
		uint64_t value, max;
		const char *name;
	} limits[] = {
		{ m->memory_bytes, c->max_memory_bytes, "max-memory" },
		{ m->cpu_milli, c->max_cpu_milli, "max-cpu" },
		{ m->pids, c->max_pids, "max-pids" },
		{ m->tmp_bytes, c->max_tmp_bytes, "max-tmp" },
	};
	for (size_t i = 0; i < ARRAY_LEN(limits); i++)
		if (limits[i].value > limits[i].max)
			return refuse(why, MSG_FAULT_REFUSED, ERANGE, "launch: a limit is over the node's %s", limits[i].name);
	return 0;
}

static int find_runtime(const char *name, enum function_runtime *ret)
{
	for (int i = 0; i < FUNCTION_RUNTIME_MAX; i++) {
		if (strcmp(function_runtime_name((enum function_runtime)i), name) == 0) {
			*ret = (enum function_runtime)i;
			return 0;
		}
	}
	return -ENOENT;
}

/* Names to what they stand for, by keeper's own tables. */
static int look_up(struct keeper *k, const struct msg_launch *m, struct function_wish *w, struct refusal *why)
{
	const struct tenant *t = tenant_find(k, m->tenant);
	if (!t)
		return refuse(why, MSG_FAULT_REFUSED, ENOENT, "find tenant %s", m->tenant);
	if (find_runtime(m->runtime, &w->runtime) < 0)
		return refuse(why, MSG_FAULT_REFUSED, ENOENT, "find runtime %s", m->runtime);
	int r = image_wish(k, m->image, w);
	if (r == -ENOPKG)
		return refuse(why, MSG_FAULT_REFUSED, ENOPKG, "use runtime %s: it is not installed on this node", m->runtime);
	if (r < 0)
		return refuse(why, MSG_FAULT_REFUSED, ENOENT, "find image %s", m->image);
	w->ids = WISH_IDS_RANGE;
	w->uid_base = w->gid_base = t->base_id;
	w->idmap = true;
	w->net = WISH_NET_NONE;
	struct rlimit core;
	/* a v1 group may not ask for more than the levels above it have (EINVAL), a v2 group would not get it */
	const uint64_t cpu = config_ceiling(k->config, CONFIG_CPU, NULL);
	w->limits = (struct wish_limits){
		.memory_bytes = m->memory_bytes,
		.cpu_milli = (uint32_t)(m->cpu_milli < cpu ? m->cpu_milli : cpu),
		.pids = (uint32_t)m->pids,
		.tmp_bytes = m->tmp_bytes ? m->tmp_bytes : 4096,
		.nofile_max = k->files_max,
		.core_zero = getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0,
	};
	return check_limits(k->config, m, why);
}

struct layer_paths {
	char text[KEEPER_LAYERS][KEEPER_PATH + MSG_DIGEST_SIZE];
	const char *opt[MSG_LAYERS_MAX + 1];
};

/* Each layer that the sandbox will show is marked as in use before its path is given away. */
static int use_layers(struct kinstance *i, const struct msg_launch *m, struct layer_paths *p, struct function_wish *w,
		      struct refusal *why)
{
	struct keeper *k = i->k;
	why->fault = MSG_FAULT_REFUSED;
	why->stage = "keeper";
	if (m->code[0]) {
		int r = layer_use(k, MSG_KIND_CODE, m->code, &i->uses[0], &why->err);
		if (r < 0)
			return r;
		snprintf(p->text[0], sizeof(p->text[0]), "%s/%s", k->store_path[MSG_KIND_CODE], m->code);
		w->code_layer = p->text[0];
	}
	for (size_t n = 0; n < MSG_LAYERS_MAX && m->layer[n][0]; n++) {
		int r = layer_use(k, MSG_KIND_OPT, m->layer[n], &i->uses[n + 1], &why->err);
		if (r < 0)
			return r;
		snprintf(p->text[n + 1], sizeof(p->text[0]), "%s/%s", k->store_path[MSG_KIND_OPT], m->layer[n]);
		p->opt[n] = p->text[n + 1];
		w->layers = p->opt;
	}
	return 0;
}

/* The payload's descriptors; ours to close once the sandbox has them. */
struct ends {
	int fd[4];
	size_t count;
};

static void close_ends(struct ends *e)
{
	for (size_t i = 0; i < ARRAY_LEN(e->fd); i++)
		cleanup_close(&e->fd[i]);
}
#define autoends _cleanup_(close_ends)

/* stdin, stdout, stderr and, for native runtimes, the channel. keeper makes them because
 * an unprivileged owner's pipes shrink after a thousand (pipe(7), pipe-user-pages-soft). */
static int make_ends(struct kinstance *i, enum function_runtime runtime, struct ends *e)
{
	int in[2], out[2], errs[2], channel[2];
	e->count = wish_payload_fds(runtime);
	bool native = e->count == 4;
	if (native) {
		e->fd[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (e->fd[0] < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) < 0)
			return -errno;
		e->fd[3] = channel[0];
		i->io[MSG_IO_TALK] = channel[1];
	} else {
		if (pipe2(in, O_CLOEXEC) < 0)
			return -errno;
		e->fd[0] = in[0];
		i->io[MSG_IO_TALK] = in[1];
	}
	if (pipe2(out, O_CLOEXEC) < 0)
		return -errno;
	e->fd[1] = out[1];
	i->io[MSG_IO_STDOUT] = out[0];
	if (pipe2(errs, O_CLOEXEC) < 0)
		return -errno;
	e->fd[2] = errs[1];
	i->io[MSG_IO_STDERR] = errs[0];
	return 0;
}

static void want_socket(struct kinstance *i, enum msg_socket kind, uint16_t port)
{
	assert(i->sockets < MSG_SOCKETS_MAX);
	i->socket[i->sockets] = (struct launch_socket){ .listen_port = port, .fd = -1 };
	i->socket_kind[i->sockets++] = kind;
}

/* What the code inside is spoken to through, beside its pipes (CONTRACTS: the same addresses in every sandbox). */
static void want_sockets(struct kinstance *i, enum function_runtime runtime, bool function_api)
{
	for (int n = 0; n < WISH_CLIENTS && runtime == FUNCTION_CUSTOM; n++)
		want_socket(i, MSG_SOCKET_CLIENT, 0);
	if (runtime == FUNCTION_PROVIDED)
		want_socket(i, MSG_SOCKET_RUNTIME_API, MSG_RUNTIME_API_PORT);
	if (function_api)
		want_socket(i, MSG_SOCKET_FUNCTION_API, MSG_FUNCTION_API_PORT);
}

struct spec_cgroup launch_level(uint64_t memory_bytes, uint64_t cpu_milli, uint64_t pids)
{
	return (struct spec_cgroup){
		.memory_bytes = memory_bytes,
		.flags = memory_bytes ? SPEC_CG_SWAP : 0,
		.cpu_period_us = cpu_milli ? WISH_CPU_PERIOD_US : 0,
		.cpu_quota_us = cpu_milli * WISH_CPU_PERIOD_US / 1000,
		.pids = pids,
	};
}

/* The tenant's level, with its limits, stays while keeper runs, so that a start makes two directories and not three. */
static int pin_tenant(struct keeper *k, const char *name, struct err *err)
{
	struct tenant *t = tenant_find(k, name);
	char path[CGROUP_PATH_MAX];
	if (t->pinned)
		return 0;
	snprintf(path, sizeof(path), "%s/t-%s", k->group, name);
	const struct config *c = k->config;
	struct spec_cgroup limits = launch_level(c->tenant_memory_bytes, c->tenant_cpu_milli, c->tenant_pids);
	int r = cgroup_limit(&k->cgroups, path, &limits, err);
	t->pinned = r == 0;
	return r < 0 ? err_wrap(err, "limit tenant %s", name) : 0;
}

static int do_launch(struct kinstance *i, const struct msg_launch *m, int payload_fd, const struct function_wish *w,
		     struct refusal *why)
{
	struct keeper *k = i->k;
	autobuf struct buf spec = BUF_INIT(SPEC_SIZE_MAX);
	autoends struct ends e = { .fd = { -1, -1, -1, -1 } };
	char path[CGROUP_PATH_MAX];

	why->fault = MSG_FAULT_REFUSED; /* a plan fails for what was asked, not for what this host has */
	why->stage = "keeper";
	int r = plan_function(w, &spec, &why->err);
	if (r < 0)
		return r;
	why->fault = MSG_FAULT_HOST;
	r = pin_tenant(k, m->tenant, &why->err);
	if (r < 0)
		return r;
	r = make_ends(i, w->runtime, &e);
	if (r < 0)
		return err_set(&why->err, -r, "make the sandbox's pipes");
	want_sockets(i, w->runtime, m->function_api);
	snprintf(path, sizeof(path), "%s/t-%s/f-%s/%s", k->group, m->tenant, m->function, m->instance);
	struct launch_req req = {
		.spec = (const struct spec *)(const void *)spec.data,
		.payload_fd = payload_fd,
		.fds = e.fd,
		.nfds = e.count,
		.cgroup_path = path,
		.netns_fd = -1,
		.sockets = i->socket,
		.nsockets = i->sockets,
		.gate_fd = -1,
		.console_fd = -1,
	};
	return launch(&k->cgroups, &req, &i->sandbox, &why->err);
}

static int watch(struct kinstance *i, struct refusal *why)
{
	struct event_base *base = i->k->base;
	int r = fd_set_nonblock(i->sandbox.status_fd); /* whatever a report does, keeper does not wait for it */
	if (r < 0)
		return refuse(why, MSG_FAULT_HOST, -r, "%s", "watch the sandbox");
	i->status_event = event_new(base, i->sandbox.status_fd, EV_READ | EV_PERSIST, on_status, i);
	i->exit_event = event_new(base, i->sandbox.proc.pidfd, EV_READ, on_exit_event, i);
	if (i->status_event && i->exit_event && event_add(i->status_event, NULL) == 0 && event_add(i->exit_event, NULL) == 0)
		return 0;
	return refuse(why, MSG_FAULT_HOST, ENOMEM, "%s", "watch the sandbox");
}

static struct kinstance *kinstance_new(struct keeper *k, const struct msg_launch *m)
{
	struct kinstance *i = calloc(1, sizeof(*i));
	if (!i)
		return NULL;
	i->k = k;
	i->state = K_LAUNCHING;
	i->slot = m->slot;
	i->generation = m->generation;
	i->sandbox = (struct sandbox)SANDBOX_INIT;
	for (int f = 0; f < MSG_IO_MAX; f++)
		i->io[f] = -1;
	i->asked_wall_ns = (uint64_t)clock_mono_ns();
	i->asked_cpu_ns = (uint64_t)clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	k->slot[m->slot] = i;
	k->live++;
	return i;
}

/* Everything that can say no, in the order of its cost. */
static int start(struct kinstance *i, const struct msg_launch *m, int payload_fd, struct refusal *why)
{
	struct function_wish w = { .hostname = "function" };
	struct layer_paths paths = { .opt = { NULL } };
	int r = check_payload(payload_fd, why);
	if (r == 0)
		r = look_up(i->k, m, &w, why);
	if (r == 0)
		r = use_layers(i, m, &paths, &w, why);
	if (r == 0)
		r = do_launch(i, m, payload_fd, &w, why);
	return r < 0 ? r : watch(i, why);
}

void launch_request(struct keeper *k, const struct msg_launch *m, int payload_fd)
{
	struct refusal why = { .fault = MSG_FAULT_REFUSED, .stage = "keeper" };
	struct kinstance *i = NULL;
	int r = 0;

	k->counter[MSG_COUNT_launches]++;
	if (m->slot >= k->capacity)
		r = refuse(&why, MSG_FAULT_FULL, ENOSPC, "launch: the slot is beyond %s", "max-instances");
	else if (k->slot[m->slot])
		r = refuse(&why, MSG_FAULT_REFUSED, EEXIST, "launch: the slot %s", "is taken");
	else if (!(i = kinstance_new(k, m)))
		r = refuse(&why, MSG_FAULT_HOST, ENOMEM, "%s", "launch");
	else
		r = start(i, m, payload_fd, &why);
	fd_close_foreign(payload_fd);
	if (r == 0)
		return;
	if (i)
		kinstance_free(i);
	answer_failed(k, m->slot, m->generation, &why);
}

/* ---- ending it on purpose ------------------------------------------------------- */

void launch_kill(struct keeper *k, const struct msg_kill *m)
{
	struct kinstance *i = m->slot < k->capacity ? k->slot[m->slot] : NULL;
	if (!i || i->generation != m->generation)
		return;
	if (m->how == MSG_KILL_TERM) {
		proc_signal(&i->sandbox.proc, SIGTERM);
		return;
	}
	k->counter[MSG_COUNT_kills] += !i->killed;
	i->killed = true;
	sandbox_kill(&i->sandbox);
}

void launch_kill_all(struct keeper *k, bool orphan)
{
	for (size_t s = 0; s < k->capacity; s++) {
		struct kinstance *i = k->slot[s];
		if (!i)
			continue;
		i->killed = true;
		i->orphan |= orphan;
		sandbox_kill(&i->sandbox);
	}
}
