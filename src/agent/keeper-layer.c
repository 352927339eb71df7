/*
 * The layer stores: <state_dir>/layers/code and .../opt, one directory for each
 * digest. Unpacking and removing take time, so each runs in a child of its own;
 * the loop only starts it and hears of its end. A layer that a sandbox shows is
 * counted and cannot be dropped; one that is being dropped cannot be shown.
 * How large each is stands in <state_dir>/keeper/<kind>.<digest>, written once,
 * so that a start need not walk them all to know where the ceiling is.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include "agent/keeper-internal.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

static const char *const kind_names[] = { [MSG_KIND_CODE] = "code", [MSG_KIND_OPT] = "opt" };
_Static_assert(ARRAY_LEN(kind_names) == MSG_KIND_MAX, "a name for each kind");

/* ---- sizes -------------------------------------------------------------------- */

static void size_file(enum msg_layer_kind kind, const char *sha256, char out[128])
{
	snprintf(out, 128, "keeper/%s.%s", kind_names[kind], sha256);
}

static int size_write(struct keeper *k, enum msg_layer_kind kind, const char *sha256, uint64_t bytes)
{
	char path[128], text[32];
	size_file(kind, sha256, path);
	int n = snprintf(text, sizeof(text), "%" PRIu64 "\n", bytes);
	return fd_replace_file_at(k->state_fd, path, text, (size_t)n, 0600);
}

/* The layer is root's own tree by now (host/layer.h), so a plain walk is safe. */
static int size_walk(const char *path, uint64_t *ret)
{
	char *const roots[] = { (char *)(uintptr_t)path, NULL };
	uint64_t bytes = 0;
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, NULL);
	if (!fts)
		return -errno;
	for (FTSENT *e; (e = fts_read(fts));)
		if (e->fts_info != FTS_DP && e->fts_statp)
			bytes += (uint64_t)e->fts_statp->st_blocks * 512;
	fts_close(fts);
	*ret = bytes;
	return 0;
}

/* As written when it was unpacked; a crash may have come between the layer and the note: then count again. */
static int size_of(struct keeper *k, enum msg_layer_kind kind, const char *sha256, uint64_t *ret)
{
	char path[128], dir[KEEPER_PATH + 80];
	size_file(kind, sha256, path);
	if (fd_read_u64_at(k->state_fd, path, ret) == 0)
		return 0;
	snprintf(dir, sizeof(dir), "%s/%s", k->store_path[kind], sha256);
	int r = size_walk(dir, ret);
	return r < 0 ? r : size_write(k, kind, sha256, *ret);
}

static void size_forget(struct keeper *k, enum msg_layer_kind kind, const char *sha256)
{
	char path[128];
	uint64_t bytes = 0;
	size_file(kind, sha256, path);
	if (fd_read_u64_at(k->state_fd, path, &bytes) == 0)
		k->store_bytes -= bytes < k->store_bytes ? bytes : k->store_bytes;
	if (unlinkat(k->state_fd, path, 0) < 0 && errno != ENOENT)
		log_warning("event=layer_size_forget layer=%s error=\"%s\", ignoring", sha256, strerror(errno));
}

/* ---- the stores ------------------------------------------------------------------ */

/* Call fn for each layer of a store. */
static int each_layer(struct keeper *k, enum msg_layer_kind kind, int (*fn)(void *arg, const char *sha256), void *arg)
{
	int fd = openat(k->store[kind].dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autodir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int code = errno;
		if (fd >= 0)
			close(fd);
		return -code;
	}
	int r = 0;
	for (struct dirent *e; r == 0 && (e = readdir(dir));)
		if (strlen(e->d_name) == LAYER_DIGEST_LEN && str_is_hex(e->d_name, LAYER_DIGEST_LEN))
			r = fn(arg, e->d_name);
	return r;
}

struct sum {
	struct keeper *k;
	enum msg_layer_kind kind;
};

static int add_size(void *arg, const char *sha256)
{
	struct sum *s = arg;
	uint64_t bytes;
	int r = size_of(s->k, s->kind, sha256, &bytes);
	if (r == 0)
		s->k->store_bytes += bytes;
	return r;
}

static int open_store(struct keeper *k, enum msg_layer_kind kind, struct err *err)
{
	struct layer_user user = { (uid_t)k->config->tenant_id_base + 1, (gid_t)k->config->tenant_id_base + 1 };
	int n = snprintf(k->store_path[kind], KEEPER_PATH, "%s/layers/%s", k->config->state_dir, kind_names[kind]);
	if (n < 0 || n >= KEEPER_PATH - LAYER_DIGEST_LEN - 2)
		return err_set(err, ENAMETOOLONG, "use state directory %s", k->config->state_dir);
	int r = layer_store_open(&k->store[kind], k->store_path[kind], kind_names[kind], user, /* durable= */ true, err);
	if (r < 0)
		return r;
	int swept = layer_sweep(&k->store[kind], err);
	if (swept < 0)
		return swept;
	k->counter[MSG_COUNT_swept_layers] += (uint64_t)swept;
	r = each_layer(k, kind, add_size, &(struct sum){ k, kind });
	return r < 0 ? err_set(err, -r, "count the layers of %s", k->store_path[kind]) : 0;
}

int layers_open(struct keeper *k, struct err *err)
{
	for (int i = 0; i < MSG_KIND_MAX; i++)
		k->store[i] = (struct layer_store)LAYER_STORE_INIT;
	if (mkdirat(k->state_fd, "layers", 0711) < 0 && errno != EEXIST)
		return err_set(err, errno, "make directory %s/layers", k->config->state_dir);
	int r = 0;
	for (int i = 0; i < MSG_KIND_MAX && r == 0; i++)
		r = open_store(k, (enum msg_layer_kind)i, err);
	return r;
}

/* ---- what is in use ---------------------------------------------------------------- */

static struct layer_work *find_work(struct keeper *k, enum msg_layer_kind kind, const char *sha256, bool removal)
{
	for (size_t i = 0; i < KEEPER_WORKS; i++) {
		struct layer_work *w = &k->work[i];
		if (w->active && w->removal == removal && w->kind == kind && strcmp(w->sha256, sha256) == 0)
			return w;
	}
	return NULL;
}

static struct layer_use *find_use(struct keeper *k, enum msg_layer_kind kind, const char *sha256)
{
	for (size_t i = 0; i < k->uses_high; i++)
		if (k->use[i].count && k->use[i].kind == kind && strcmp(k->use[i].sha256, sha256) == 0)
			return &k->use[i];
	return NULL;
}

static struct layer_use *new_use(struct keeper *k, enum msg_layer_kind kind, const char *sha256)
{
	size_t i = 0;
	while (i < k->uses_high && k->use[i].count)
		i++;
	assert(i < k->uses); /* one for each layer of each instance */
	if (i == k->uses_high)
		k->uses_high++;
	k->use[i].kind = kind;
	str_copy(k->use[i].sha256, sizeof(k->use[i].sha256), sha256);
	return &k->use[i];
}

int layer_use(struct keeper *k, enum msg_layer_kind kind, const char *sha256, size_t *ret, struct err *err)
{
	struct layer_use *u = find_use(k, kind, sha256);
	if (!u) {
		int fd;
		if (find_work(k, kind, sha256, /* removal= */ true))
			return err_set(err, ENOENT, "find layer %s: it is being removed", sha256);
		int r = layer_open(&k->store[kind], sha256, &fd, err);
		if (r == LAYER_ABSENT)
			return err_set(err, ENOENT, "find layer %s", sha256);
		if (r < 0)
			return r;
		close(fd);
		u = new_use(k, kind, sha256);
	}
	u->count++;
	*ret = (size_t)(u - k->use) + 1;
	return 0;
}

void layer_unuse(struct keeper *k, size_t *place)
{
	if (!*place)
		return;
	struct layer_use *u = &k->use[*place - 1];
	assert(u->count > 0);
	u->count--;
	*place = 0;
}

/* ---- unpacking ------------------------------------------------------------------------ */

static void answer_unpack_failed(struct keeper *k, uint64_t request, const char *sha256, enum msg_layer_outcome outcome,
				 const struct err *why)
{
	union msg m;
	char text[ERR_TEXT_MAX + ERR_HINT_MAX + 4];
	k->counter[MSG_COUNT_unpack_failures]++;
	msg_init(&m, MSG_LAYER_FAILED);
	m.layer_failed.request = request;
	str_copy(m.layer_failed.sha256, sizeof(m.layer_failed.sha256), sha256);
	m.layer_failed.outcome = outcome;
	m.layer_failed.code = why->code > 0 && why->code < 4096 ? why->code : EIO;
	snprintf(text, sizeof(text), "%s%s%s", why->text, why->hint[0] ? "; " : "", why->hint);
	msg_text(m.layer_failed.text, sizeof(m.layer_failed.text), text);
	serve_send(k, &m, NULL, 0);
}

static enum msg_layer_outcome outcome_of(uint32_t unpacked)
{
	switch (unpacked) {
	case UNPACK_digest:
	case UNPACK_changed:
		return MSG_LAYER_DIGEST;
	case UNPACK_max_name:
	case UNPACK_max_files:
	case UNPACK_max_depth:
	case UNPACK_max_bytes:
	case UNPACK_memory:
	case UNPACK_time:
		return MSG_LAYER_TOO_LARGE;
	default:
		return MSG_LAYER_REFUSED;
	}
}

/* A size that cannot be noted is counted again at the next start. */
static void answer_done(struct layer_work *w, const struct layer_info *info)
{
	struct keeper *k = w->k;
	union msg m;
	uint64_t bytes = info->disk_bytes;
	int r = info->present ? size_of(k, w->kind, w->sha256, &bytes) : size_write(k, w->kind, w->sha256, bytes);
	if (r < 0)
		log_warning("event=layer_size layer=%s error=\"%s\", ignoring", w->sha256, strerror(-r));
	if (!info->present)
		k->store_bytes += bytes;
	k->counter[MSG_COUNT_unpacks]++;
	if (w->orphan)
		return;
	msg_init(&m, MSG_LAYER_DONE);
	m.layer_done.request = w->request;
	str_copy(m.layer_done.sha256, sizeof(m.layer_done.sha256), w->sha256);
	m.layer_done.bytes = bytes;
	m.layer_done.unpacked_bytes = info->present ? 0 : info->bytes;
	m.layer_done.files = info->present ? 0 : info->files + info->directories;
	m.layer_done.bundle_bytes = info->bundle_bytes;
	m.layer_done.crc64 = info->crc64;
	m.layer_done.unpack_us = (uint64_t)(clock_mono_ns() - w->began_ns) / 1000;
	m.layer_done.existed = info->present;
	m.layer_done.stripped = info->stripped;
	serve_send(k, &m, NULL, 0);
}

static void work_end(struct layer_work *w)
{
	struct keeper *k = w->k;
	if (w->event)
		event_free(w->event);
	k->reserved_bytes -= w->reserved_bytes;
	k->working--;
	k->removing -= w->removal;
	*w = (struct layer_work){ .job = LAYER_JOB_INIT };
}

/* End it now and wait for that: on a failed start, and at the end of keeper. */
static void work_abort(struct layer_work *w)
{
	struct layer_info info;
	struct err ignored = ERR_INIT;
	int status;
	if (w->job.proc.pidfd >= 0 && w->removal) {
		proc_signal(&w->job.proc, SIGKILL);
		proc_reap(&w->job.proc, &status, NULL);
		proc_fini(&w->job.proc);
	} else if (w->job.proc.pidfd >= 0) {
		layer_cancel(&w->job);
		layer_finish(&w->job, &info, &ignored);
	}
	work_end(w);
}

static void on_unpacked(evutil_socket_t fd, short what, void *arg)
{
	struct layer_work *w = arg;
	struct keeper *k = w->k;
	struct layer_info info = { .digest = "" };
	struct err err = ERR_INIT;
	(void)fd;
	(void)what;

	int r = layer_finish(&w->job, &info, &err);
	if (r == 0)
		answer_done(w, &info);
	else if (!w->orphan)
		answer_unpack_failed(k, w->request, w->sha256, r == LAYER_REFUSED ? outcome_of(info.outcome) : MSG_LAYER_HOST, &err);
	work_end(w);
	keeper_turn(k);
}

static struct layer_work *work_new(struct keeper *k, enum msg_layer_kind kind, const char *sha256, uint64_t request)
{
	for (size_t i = 0; i < KEEPER_WORKS; i++) {
		struct layer_work *w = &k->work[i];
		if (w->active)
			continue;
		*w = (struct layer_work){ .k = k, .active = true, .kind = kind, .request = request, .job = LAYER_JOB_INIT };
		str_copy(w->sha256, sizeof(w->sha256), sha256);
		w->began_ns = clock_mono_ns();
		k->working++;
		return w;
	}
	return NULL;
}

static int work_watch(struct layer_work *w, event_callback_fn fn, struct err *err)
{
	w->event = event_new(w->k->base, w->job.proc.pidfd, EV_READ, fn, w);
	if (w->event && event_add(w->event, NULL) == 0)
		return 0;
	return err_set(err, ENOMEM, "watch the work on layer %s", w->sha256);
}

/* keeper neither reads nor looks at the bundle: what file system answers for it is serve's choice, and might not answer. */
static int unpack_start(struct layer_work *w, const struct msg_layer_unpack *m, int bundle_fd, struct err *err)
{
	struct keeper *k = w->k;
	struct layer_limits limits = LAYER_LIMITS_DEFAULT;
	if (bundle_fd < 0)
		return err_set(err, EMFILE, "unpack layer %s: keeper is out of descriptors", m->sha256);
	int flags = fcntl(bundle_fd, F_GETFL);
	if (flags < 0 || (flags & O_ACCMODE) == O_WRONLY || (flags & O_PATH))
		return err_set(err, EBADF, "unpack layer %s: the bundle is not open for reading", m->sha256);
	limits.max_bytes = m->max_bytes < k->config->max_unpacked_bytes ? m->max_bytes : k->config->max_unpacked_bytes;
	limits.max_files = m->max_files < k->config->max_files ? m->max_files : k->config->max_files;
	w->reserved_bytes = limits.max_bytes;
	k->reserved_bytes += limits.max_bytes;
	int r = layer_start(&k->store[w->kind], bundle_fd, w->sha256, &limits, &w->job, err);
	return r < 0 ? r : work_watch(w, on_unpacked, err);
}

static bool over_ceiling(const struct keeper *k, const struct msg_layer_unpack *m)
{
	uint64_t want = m->max_bytes < k->config->max_unpacked_bytes ? m->max_bytes : k->config->max_unpacked_bytes;
	return k->store_bytes + k->reserved_bytes + want > k->config->max_layer_disk;
}

void layer_request(struct keeper *k, const struct msg_layer_unpack *m, int bundle_fd)
{
	struct err err = ERR_INIT;
	enum msg_layer_outcome outcome = MSG_LAYER_HOST;
	struct layer_work *w = NULL;
	int r = 0;

	if (!m->sha256[0]) {
		outcome = MSG_LAYER_REFUSED;
		r = err_set(&err, EINVAL, "unpack a layer without a digest");
	} else if (k->working - k->removing >= k->config->max_unpacks || find_work(k, (enum msg_layer_kind)m->kind, m->sha256, true)) {
		outcome = MSG_LAYER_BUSY;
		r = err_set(&err, EBUSY, "unpack layer %s: max-unpacks are at work, or it is being removed", m->sha256);
	} else if (over_ceiling(k, m)) {
		outcome = MSG_LAYER_TOO_LARGE;
		r = err_set(&err, EDQUOT, "unpack layer %s: all layers together would pass max-layer-disk", m->sha256);
	} else if (!(w = work_new(k, (enum msg_layer_kind)m->kind, m->sha256, m->request))) {
		outcome = MSG_LAYER_BUSY;
		r = err_set(&err, EBUSY, "unpack layer %s", m->sha256);
	} else {
		r = unpack_start(w, m, bundle_fd, &err);
	}
	fd_close_foreign(bundle_fd);
	if (r == 0)
		return;
	if (w)
		work_abort(w);
	answer_unpack_failed(k, m->request, m->sha256, outcome, &err);
}

/* ---- removing ---------------------------------------------------------------------------- */

static void answer_dropped(struct keeper *k, uint64_t request, const char *sha256, int code)
{
	union msg m;
	msg_init(&m, MSG_LAYER_DROPPED);
	m.layer_dropped.request = request;
	str_copy(m.layer_dropped.sha256, sizeof(m.layer_dropped.sha256), sha256);
	m.layer_dropped.code = code;
	serve_send(k, &m, NULL, 0);
}

static void on_removed(evutil_socket_t fd, short what, void *arg)
{
	struct layer_work *w = arg;
	struct keeper *k = w->k;
	int status = 0;
	(void)fd;
	(void)what;

	int r = proc_reap(&w->job.proc, &status, NULL);
	proc_fini(&w->job.proc);
	int code = r < 0 ? -r : WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
	if (code == 0)
		size_forget(k, w->kind, w->sha256);
	if (!w->orphan)
		answer_dropped(k, w->request, w->sha256, code);
	work_end(w);
	keeper_turn(k);
}

/* Runs in the child: its exit status is the errno. */
__attribute__((noreturn)) static void remove_main(const struct layer_store *store, const char *sha256)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int r = layer_remove(store, sha256, NULL);
	_exit(r == LAYER_ABSENT ? ENOENT : r < 0 ? (-r < 256 ? -r : EIO) : 0);
}

static int remove_start(struct layer_work *w, struct err *err)
{
	w->removal = true;
	w->k->removing++;
	struct clone_args args = { .flags = CLONE_PIDFD, .pidfd = (uintptr_t)&w->job.proc.pidfd, .exit_signal = SIGCHLD };
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		remove_main(&w->k->store[w->kind], w->sha256);
	if (pid < 0)
		return err_set(err, errno, "start the removal of layer %s", w->sha256);
	w->job.proc.pid = pid;
	return work_watch(w, on_removed, err);
}

void layer_drop(struct keeper *k, const struct msg_layer_drop *m)
{
	enum msg_layer_kind kind = (enum msg_layer_kind)m->kind;
	struct err err = ERR_INIT;
	struct layer_work *w = NULL;
	int r = 0;

	if (!m->sha256[0])
		r = -ENOENT;
	else if (find_use(k, kind, m->sha256) || find_work(k, kind, m->sha256, false) || find_work(k, kind, m->sha256, true))
		r = -EBUSY;
	else if (k->removing == KEEPER_REMOVALS_MAX || !(w = work_new(k, kind, m->sha256, m->request)))
		r = -EBUSY;
	else
		r = remove_start(w, &err);
	if (r == 0)
		return;
	if (w) {
		work_abort(w);
		log_warning("event=layer_drop error=\"%s\"", err.text);
	}
	answer_dropped(k, m->request, m->sha256, -r);
}

/* ---- listing ------------------------------------------------------------------------------- */

struct page {
	const char *after;
	struct msg_layers *m;
};

/* Keep the smallest MSG_LAYER_PAGE digests behind `after`, sorted: one pass, no memory. */
static int put_sorted(void *arg, const char *sha256)
{
	struct page *p = arg;
	struct msg_layers *m = p->m;
	if (strcmp(sha256, p->after) <= 0)
		return 0;
	size_t at = m->count;
	while (at > 0 && strcmp(sha256, m->sha256[at - 1]) < 0)
		at--;
	if (m->count == MSG_LAYER_PAGE)
		m->more = 1;
	if (at == MSG_LAYER_PAGE)
		return 0;
	size_t last = m->count == MSG_LAYER_PAGE ? MSG_LAYER_PAGE - 1 : m->count++;
	memmove(m->sha256 + at + 1, m->sha256 + at, (last - at) * MSG_DIGEST_SIZE);
	memset(m->sha256[at], 0, MSG_DIGEST_SIZE);
	str_copy(m->sha256[at], MSG_DIGEST_SIZE, sha256);
	return 0;
}

void layer_list(struct keeper *k, const struct msg_layer_list *m)
{
	union msg answer;
	msg_init(&answer, MSG_LAYERS);
	answer.layers.request = m->request;
	int r = each_layer(k, (enum msg_layer_kind)m->kind, put_sorted, &(struct page){ m->after, &answer.layers });
	if (r < 0) {
		log_warning("event=layer_list error=\"%s\"", strerror(-r));
		msg_init(&answer, MSG_LAYERS);
		answer.layers.request = m->request;
		answer.layers.code = -r;
	}
	serve_send(k, &answer, NULL, 0);
}

/* ---- ends -------------------------------------------------------------------------------------- */

void layers_orphan(struct keeper *k)
{
	for (size_t i = 0; i < KEEPER_WORKS; i++) {
		struct layer_work *w = &k->work[i];
		if (!w->active)
			continue;
		w->orphan = true;
		if (!w->removal)
			layer_cancel(&w->job); /* its end comes as an event, as ever */
	}
}

void layers_close(struct keeper *k)
{
	for (size_t i = 0; i < KEEPER_WORKS; i++)
		if (k->work[i].active)
			work_abort(&k->work[i]);
	for (int i = 0; i < MSG_KIND_MAX; i++)
		layer_store_close(&k->store[i]);
}
