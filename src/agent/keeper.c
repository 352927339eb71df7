/*
 * keeper - start, loop and stop of the root half. What it owns and why it can
 * be trusted with it stands in keeper-internal.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "agent/confine.h"
#include "agent/keeper-internal.h"
#include "agent/roles.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

enum {
	DRAIN_GRACE_MS = 7000, /* behind serve's own deadline, which kills what runs and gives clients 5 s to take the replies */
	LAST_GRACE_MS = 3000,
	SWEEPS_MAX = 8,
};

/* ---- serve's requests -------------------------------------------------------------- */

static void send_access(struct keeper *k)
{
	union msg m;
	int fds[] = { fcntl(k->principals_fd, F_DUPFD_CLOEXEC, 3), fcntl(k->secret_keys_fd, F_DUPFD_CLOEXEC, 3) };
	if (fds[0] < 0 || fds[1] < 0) {
		log_err("event=reload error=\"%s\" action=\"principals and keys stay as they were; send SIGHUP again\"", strerror(errno));
		cleanup_close(&fds[0]);
		cleanup_close(&fds[1]);
		return;
	}
	k->serve.stale = false;
	msg_init(&m, MSG_ACCESS);
	serve_send(k, &m, fds, ARRAY_LEN(fds));
}

static void welcome(struct keeper *k, const struct msg_hello *m)
{
	struct sysinfo si;
	union msg a;
	if (m->version != MSG_VERSION) {
		log_err("event=bad_message error=\"serve speaks version %" PRIu32 ", keeper %d\" action=\"ending serve\"", m->version, MSG_VERSION);
		serve_kill(k);
		return;
	}
	k->serve.phase = MSG_PHASE_UP;
	msg_init(&a, MSG_WELCOME);
	a.welcome.version = MSG_VERSION;
	a.welcome.max_instances = (uint32_t)k->capacity;
	a.welcome.max_unpacks = (uint32_t)k->config->max_unpacks;
	a.welcome.max_tenants = (uint32_t)k->config->tenant_max;
	a.welcome.restarts = k->serve.restarts;
	a.welcome.cgroup_mode = k->cgroups.mode;
	a.welcome.memory_total_bytes = sysinfo(&si) == 0 ? (uint64_t)si.totalram * si.mem_unit : 0;
	a.welcome.host_cpu_milli = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN) * 1000;
	msg_text(a.welcome.cgroup_name, sizeof(a.welcome.cgroup_name), cgroup_mode_name(k->cgroups.mode));
	serve_send(k, &a, NULL, 0);
	if (k->serve.stale)
		send_access(k);
}

static void send_drain(struct keeper *k)
{
	union msg m;
	k->serve.phase = MSG_PHASE_DRAIN;
	msg_init(&m, MSG_DRAIN);
	m.drain.timeout_ms = k->config->drain_timeout_ms;
	serve_send(k, &m, NULL, 0);
}

static void add_tenant(struct keeper *k, const struct msg_tenant_add *m)
{
	struct tenant *t = NULL;
	struct err err = ERR_INIT;
	union msg a;
	int r = tenant_add(k, m->tenant, &t, &err);
	msg_init(&a, MSG_TENANT_ADDED);
	a.tenant_added.request = m->request;
	if (r < 0) {
		k->counter[MSG_COUNT_refused_messages]++;
		a.tenant_added.code = -r;
		msg_text(a.tenant_added.text, sizeof(a.tenant_added.text), err.text);
	} else {
		a.tenant_added.base_id = t->base_id;
	}
	serve_send(k, &a, NULL, 0);
}

static uint64_t count_fds(void)
{
	autodir DIR *dir = opendir("/proc/self/fd");
	uint64_t n = 0;
	while (dir && readdir(dir))
		n++;
	return n > 3 ? n - 3 : 0; /* ".", ".." and the directory itself */
}

/* MemAvailable of /proc/meminfo (proc_meminfo(5)), or 0. */
static uint64_t memory_available(void)
{
	char text[8192];
	uint64_t kib;
	if (fd_read_file_at(AT_FDCWD, "/proc/meminfo", text, sizeof(text)) < 0)
		return 0;
	const char *line = strstr(text, "MemAvailable:");
	return line && sscanf(line, "MemAvailable: %" SCNu64 " kB", &kib) == 1 ? kib << 10 : 0;
}

static uint64_t state_free(const struct keeper *k)
{
	struct statvfs v;
	return fstatvfs(k->state_fd, &v) == 0 ? (uint64_t)v.f_bavail * v.f_frsize : 0;
}

static void send_counters(struct keeper *k, const struct msg_stats *m)
{
	union msg a;
	msg_init(&a, MSG_COUNTERS);
	a.counters.request = m->request;
	k->counter[MSG_COUNT_live_instances] = k->live;
	k->counter[MSG_COUNT_live_unpacks] = k->working - k->removing;
	k->counter[MSG_COUNT_tenants] = k->tenants;
	k->counter[MSG_COUNT_cpu_us] = (uint64_t)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1000;
	k->counter[MSG_COUNT_open_fds] = count_fds();
	k->counter[MSG_COUNT_memory_available_bytes] = memory_available();
	k->counter[MSG_COUNT_state_free_bytes] = state_free(k);
	memcpy(a.counters.value, k->counter, sizeof(a.counters.value));
	serve_send(k, &a, NULL, 0);
}

static void now_ready(struct keeper *k)
{
	if (k->serve.ready)
		return;
	k->serve.ready = k->serve.was_ready = true;
	log_info("event=ready socket=%s max_instances=%zu cgroups=%s restarts=%" PRIu32, k->config->socket, k->capacity,
		 cgroup_mode_name(k->cgroups.mode), k->serve.restarts);
}

void keeper_message(struct keeper *k, const union msg *m, int fds[MSG_FDS_MAX], size_t nfds)
{
	switch ((enum msg_type)m->head.type) {
	case MSG_HELLO:
		welcome(k, &m->hello);
		if (k->stopping)
			send_drain(k);
		return;
	case MSG_READY:
		now_ready(k);
		return;
	case MSG_DRAINED:
		k->serve.drained = true; /* it ends by itself now; the deadline still stands */
		return;
	case MSG_STATS:
		send_counters(k, &m->stats);
		return;
	case MSG_DOCTOR:
		doctor_request(k, &m->doctor);
		return;
	case MSG_TENANT_ADD:
		add_tenant(k, &m->tenant_add);
		return;
	case MSG_LAYER_UNPACK:
		layer_request(k, &m->layer_unpack, fds[0]);
		return;
	case MSG_LAYER_DROP:
		layer_drop(k, &m->layer_drop);
		return;
	case MSG_LAYER_LIST:
		layer_list(k, &m->layer_list);
		return;
	case MSG_LAUNCH:
		launch_request(k, &m->launch, fds[0]);
		return;
	case MSG_KILL:
		launch_kill(k, &m->kill);
		return;
	default: /* msg_check lets nothing else through to keeper */
		for (size_t i = 0; i < nfds; i++)
			fd_close_foreign(fds[i]);
		abort();
	}
}

/* ---- stopping ------------------------------------------------------------------------- */

static void set_deadline(struct keeper *k, uint64_t ms)
{
	struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };
	event_add(k->deadline, &tv);
}

/* First the sandboxes, so that serve can tell its clients and settle what ran; then serve itself. */
static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;
	(void)fd;
	(void)what;
	if (k->forced || !k->live) {
		serve_kill(k);
	} else {
		log_warning("event=drain_timeout sandboxes=%zu action=\"killing them\"", k->live);
		launch_kill_all(k, /* orphan= */ false);
		set_deadline(k, LAST_GRACE_MS);
	}
	k->forced = true;
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct keeper *k = arg;
	(void)what;
	if (k->stopping) {
		log_info("event=signal signal=%d action=\"stopping at once\"", (int)sig);
		on_deadline(-1, 0, k);
		return;
	}
	k->stopping = true;
	log_info("event=stop signal=%d sandboxes=%zu drain_timeout_ms=%" PRIu64, (int)sig, k->live, k->config->drain_timeout_ms);
	if (k->serve.proc.pid > 0 && k->serve.phase == MSG_PHASE_UP)
		send_drain(k);
	set_deadline(k, k->config->drain_timeout_ms + DRAIN_GRACE_MS);
	keeper_turn(k);
}

/* Principals and keys of secrets are read again, and nothing else: what is wrong with a file leaves both as they are. */
static void on_hangup(evutil_socket_t sig, short what, void *arg)
{
	struct keeper *k = arg;
	struct err err = ERR_INIT;
	(void)sig;
	(void)what;
	if (!k->config->principals && !k->config->secret_keys) {
		log_info("event=reload result=nothing");
		return;
	}
	if (access_load(k, &err) < 0) {
		log_err("event=reload error=\"%s\" hint=\"%s\" action=\"principals and keys stay as they were\"", err.text, err.hint);
		return;
	}
	log_info("event=reload result=ok");
	k->serve.stale = true;
	if (k->serve.proc.pid > 0 && k->serve.phase != MSG_PHASE_HELLO)
		send_access(k); /* else with WELCOME, or the next one is born with them */
}

void keeper_fail(struct keeper *k, const struct err *err)
{
	log_err("event=failed error=\"%s\" hint=\"%s\"", err->text, err->hint);
	k->status = AGENT_FAILED;
	k->stopping = k->forced = true;
	serve_kill(k);
	launch_kill_all(k, /* orphan= */ true);
}

void keeper_turn(struct keeper *k)
{
	struct err err = ERR_INIT;
	bool serve_gone = k->serve.proc.pid == 0;
	if (!serve_gone || k->live > 0)
		return;
	if (k->stopping) {
		event_base_loopbreak(k->base);
		return;
	}
	/* A new serve finds no sandbox of the old one: slots and requests begin anew. */
	for (size_t i = 0; i < KEEPER_WORKS; i++)
		if (k->work[i].active && !k->work[i].removal)
			return;
	if (k->serve.again)
		return;
	if (serve_start(k, &err) < 0)
		keeper_fail(k, &err);
	if (k->stopping)
		event_base_loopbreak(k->base);
}

/* ---- starting ------------------------------------------------------------------------------ */

static bool is_ours(const char *path, void *arg)
{
	const struct keeper *k = arg;
	size_t n = strlen(k->group);
	return strncmp(path, k->group, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* What a crash left: a level that was pinned is a leaf only once those below it are gone, hence again. */
static int sweep_cgroups(struct keeper *k, struct err *err)
{
	for (int i = 0; i < SWEEPS_MAX; i++) {
		int n = cgroup_sweep(&k->cgroups, is_ours, k, err);
		if (n < 0)
			return err_wrap(err, "remove leftover control groups");
		if (n == 0)
			break;
		k->counter[MSG_COUNT_swept_cgroups] += (uint64_t)n;
	}
	if (k->counter[MSG_COUNT_swept_cgroups])
		log_info("event=sweep cgroups=%" PRIu64, k->counter[MSG_COUNT_swept_cgroups]);
	return 0;
}

static int open_cgroups(struct keeper *k, struct err *err)
{
	static const enum cgroup_controller needed[] = { CGROUP_memory, CGROUP_cpu, CGROUP_pids };
	int r = cgroup_host_init(&k->cgroups, k->config->cgroup_root, err);
	if (r < 0)
		return r;
	if (k->cgroups.mode == CGROUP_NONE || !k->cgroups.writable) {
		err_set(err, ENOTSUP, "limit functions: %s", k->cgroups.why);
		return err_hint(err, "fc-run doctor shows what this host lacks");
	}
	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		if (!k->cgroups.have[needed[i]]) {
			err_set(err, ENOTSUP, "limit functions: no cgroup controller %s", cgroup_controller_name(needed[i]));
			return err_hint(err, "fc-run doctor shows what this host lacks");
		}
	}
	r = sweep_cgroups(k, err);
	/* our own level stays while we run, also when no sandbox is in it */
	const struct config *c = k->config;
	struct spec_cgroup limits = launch_level(c->node_memory_bytes, c->node_cpu_milli, c->node_pids);
	return r < 0 ? r : cgroup_limit(&k->cgroups, k->group, &limits, err);
}

static void release_cgroups(struct keeper *k)
{
	char path[CGROUP_PATH_MAX];
	if (k->cgroups.mode == CGROUP_NONE)
		return;
	for (size_t i = 0; i < k->tenants; i++) {
		if (!k->tenant[i].pinned)
			continue;
		snprintf(path, sizeof(path), "%s/t-%s", k->group, k->tenant[i].name);
		cgroup_release(&k->cgroups, path);
	}
	if (k->group[0])
		cgroup_release(&k->cgroups, k->group);
	cgroup_host_fini(&k->cgroups);
}

static int open_loop(struct keeper *k, struct err *err)
{
	struct event_config *cfg = event_config_new();
	if (cfg)
		event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	k->base = cfg ? event_base_new_with_config(cfg) : NULL;
	if (cfg)
		event_config_free(cfg);
	if (!k->base)
		return err_set(err, ENOMEM, "make the event loop");
	k->term = evsignal_new(k->base, SIGTERM, on_signal, k);
	k->interrupt = evsignal_new(k->base, SIGINT, on_signal, k);
	k->deadline = evtimer_new(k->base, on_deadline, k);
	k->hangup = evsignal_new(k->base, SIGHUP, on_hangup, k);
	if (!k->term || !k->interrupt || !k->hangup || !k->deadline || event_add(k->term, NULL) < 0 ||
	    event_add(k->interrupt, NULL) < 0 || event_add(k->hangup, NULL) < 0)
		return err_set(err, ENOMEM, "make the event loop");
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

typedef int start_step(struct keeper *k, struct err *err);

static int confine_step(struct keeper *k, struct err *err) { return confine_keeper(k->config, err); }

static int start(struct keeper *k, struct err *err)
{
	static const struct {
		start_step *run;
		int status;
	} steps[] = {
		{ access_load, AGENT_BAD_USAGE },
		{ dirs_open, AGENT_FAILED },    { tcp_listen, AGENT_FAILED },    { capacity_derive, AGENT_HOST }, { tables_load, AGENT_FAILED },
		{ images_check, AGENT_BAD_USAGE }, { images_load, AGENT_FAILED },
		{ open_cgroups, AGENT_HOST },   { layers_open, AGENT_FAILED },
		{ confine_step, AGENT_HOST },   { open_loop, AGENT_FAILED },     { serve_start, AGENT_FAILED },
	};
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		if (steps[i].run(k, err) < 0)
			return steps[i].status;
	return AGENT_STOPPED;
}

static void stop(struct keeper *k)
{
	serve_free(k);
	doctor_free(k);
	layers_close(k);
	release_cgroups(k);
	images_free(k);
	tables_free(k);
	access_close(k);
	dirs_close(k);
	struct event *events[] = { k->term, k->interrupt, k->hangup, k->deadline };
	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		if (events[i])
			event_free(events[i]);
	if (k->base)
		event_base_free(k->base);
	free(k->slot);
	free(k->use);
}

static struct keeper *keeper_new(const struct config *c)
{
	struct keeper *k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	k->config = c;
	k->state_fd = k->lock_fd = k->runtime_fd = k->listen_fd = k->principals_fd = k->secret_keys_fd = k->serve.sock = -1;
	for (size_t i = 0; i < CONFIG_LISTEN_MAX; i++)
		k->tcp_fd[i] = -1;
	k->serve.proc = (struct proc)PROC_INIT;
	k->doctor = (struct doctor_work){ .proc = PROC_INIT, .report_fd = -1 };
	k->serve.tail = &k->serve.head;
	for (int i = 0; i < MSG_KIND_MAX; i++)
		k->store[i] = (struct layer_store)LAYER_STORE_INIT;
	for (size_t i = 0; i < KEEPER_WORKS; i++)
		k->work[i].job = (struct layer_job)LAYER_JOB_INIT;
	return k;
}

int keeper_run(const struct config *c)
{
	struct err err = ERR_INIT;
	if (geteuid() != 0) {
		err_set(&err, EPERM, "start fc-agent");
		err_hint(&err, "it needs root to make sandboxes, and runs all else as user %s; without root, fc-run invoke "
			       "runs one function", c->user);
		err_print(&err, "fc-agent");
		return AGENT_HOST;
	}
	struct keeper *k = keeper_new(c);
	if (!k)
		return AGENT_FAILED;
	int status = start(k, &err);
	if (status != AGENT_STOPPED) {
		err_print(&err, "fc-agent");
	} else {
		event_base_dispatch(k->base);
		status = k->status;
	}
	stop(k);
	free(k);
	if (status == AGENT_STOPPED)
		log_info("event=stopped");
	return status;
}
