#include "agent/drain.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/worker.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"

enum { FILE_MAX = 4096 };
static const char file_name[] = "drain.json", new_name[] = "drain.json.new";

struct state {
	bool active;
	int64_t since_ms;
	char reason[DRAIN_REASON_SIZE];
};

struct drain {
	struct worker_job job; /* first: a job is its drain */
	struct worker *worker;
	int dir_fd;
	struct state now, next; /* next: what is being written, while `changed` is set */
	int result;
	drain_fn *changed;
	void *arg;
};

/* ---- the file ------------------------------------------------------------- */

static int write_file(int dir_fd, const struct state *s)
{
	autojson json_t *o = json_pack("{s:I, s:s}", "sinceMs", (json_int_t)s->since_ms, "reason", s->reason);
	autofree char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	if (!text)
		return -ENOMEM;
	autoclose int fd = openat(dir_fd, new_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	ssize_t n = write(fd, text, strlen(text));
	if (n < 0 || fsync(fd) < 0)
		return -errno;
	if ((size_t)n != strlen(text))
		return -ENOSPC;
	return renameat(dir_fd, new_name, dir_fd, file_name) < 0 || fsync(dir_fd) < 0 ? -errno : 0;
}

static int remove_file(int dir_fd)
{
	if (unlinkat(dir_fd, file_name, 0) < 0 && errno != ENOENT)
		return -errno;
	return fsync(dir_fd) < 0 ? -errno : 0;
}

static int parse_file(const char *text, size_t len, struct state *ret, struct err *err)
{
	autojson json_t *o = json_parse(text, len, file_name, err);
	if (!o)
		return -EINVAL;
	const char *reason = json_string_value(json_object_get(o, "reason"));
	ret->since_ms = json_integer_value(json_object_get(o, "sinceMs"));
	if (ret->since_ms <= 0 || !reason || !str_copy(ret->reason, sizeof(ret->reason), reason))
		return err_set(err, EINVAL, "%s: not as it is written", file_name);
	ret->active = true;
	return 0;
}

/* Its existence is what counts: a damaged one has lost the reason, not the operator's will. */
static int read_file(int dir_fd, struct state *ret, struct err *err)
{
	char text[FILE_MAX];
	ssize_t n = fd_read_file_at(dir_fd, file_name, text, sizeof(text));
	if (n == -ENOENT)
		return 0;
	struct err why = ERR_INIT;
	if (n >= 0 && parse_file(text, (size_t)n, ret, &why) == 0)
		return 0;
	if (n < 0 && n != -EMSGSIZE)
		return err_set(err, (int)-n, "read %s in serve's directory", file_name);
	log_warning("event=drain error=\"%s is damaged\", staying drained", file_name);
	*ret = (struct state){ .active = true, .since_ms = clock_real_ms() };
	str_copy(ret->reason, sizeof(ret->reason), "the state file was damaged");
	return 0;
}

/* ---- changes -------------------------------------------------------------- */

/* In the worker's thread: the loop does not touch `next` meanwhile. */
static void run(struct worker_job *job)
{
	struct drain *d = (struct drain *)job;
	d->result = d->next.active ? write_file(d->dir_fd, &d->next) : remove_file(d->dir_fd);
}

static void done(struct worker_job *job, bool ran)
{
	struct drain *d = (struct drain *)job;
	drain_fn *changed = d->changed;
	int result = ran ? d->result : -ECANCELED;
	d->changed = NULL;
	if (result == 0)
		d->now = d->next;
	changed(d->arg, result);
}

int drain_change(struct drain *d, bool active, const char *reason, drain_fn *changed, void *arg)
{
	if (d->changed)
		return DRAIN_E_BUSY;
	d->next = (struct state){ .active = active };
	if (active && d->now.active)
		d->next = d->now;
	if (active && !d->now.active) {
		d->next.since_ms = clock_real_ms();
		str_copy(d->next.reason, sizeof(d->next.reason), reason);
	}
	d->job = (struct worker_job){ .run = run, .done = done };
	d->changed = changed;
	d->arg = arg;
	if (worker_submit(d->worker, &d->job) == WORKER_OK)
		return DRAIN_OK;
	d->changed = NULL;
	return DRAIN_E_BUSY;
}

/* A drain that is being written holds already; one that is being ended holds until the file is gone. */
bool drain_active(const struct drain *d) { return d->now.active || (d->changed && d->next.active); }

static const struct state *shown(const struct drain *d)
{
	return d->now.active || !d->changed ? &d->now : &d->next;
}

const char *drain_reason(const struct drain *d) { return shown(d)->reason; }
int64_t drain_since_ms(const struct drain *d) { return shown(d)->since_ms; }

/* ---- lifecycle ------------------------------------------------------------ */

int drain_new(struct drain **ret, const char *dir, struct worker *worker, struct err *err)
{
	struct drain *d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(err, ENOMEM, "read the node's drain state");
	d->worker = worker;
	d->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = d->dir_fd < 0 ? err_set(err, errno, "open %s", dir) : read_file(d->dir_fd, &d->now, err);
	if (r < 0) {
		drain_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

struct drain *drain_free(struct drain *d)
{
	if (!d)
		return NULL;
	cleanup_close(&d->dir_fd);
	free(d);
	return NULL;
}
