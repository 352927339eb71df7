#include "host/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/str.h"

static const char *const status_names[] = {
#define X(upper, lower) [STATE_##upper] = #lower,
	STATE_STATUS_LIST(X)
#undef X
};
_Static_assert(ARRAY_LEN(status_names) == STATE_STATUS_MAX, "a name for each status");

const char *state_status_name(enum state_status status) { return status_names[status]; }

int state_check_id(const char *id, struct err *err)
{
	size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.");
	if (n == 0 || id[n] || n > STATE_ID_MAX || strcmp(id, ".") == 0 || strcmp(id, "..") == 0) {
		err_set(err, 0, "container id \"%.64s\": invalid", id);
		return err_hint(err, "an id is 1 to %d of letters, digits and _ + - .", STATE_ID_MAX);
	}
	return 0;
}

/* ---- directories ------------------------------------------------------- */

/* mkdir -p. Others may pass through but not look: a container's own root must reach its stage directory. */
static int make_root(const char *root, struct err *err)
{
	char path[STATE_PATH_MAX];
	if (!str_copy(path, sizeof(path), root))
		return err_set(err, ENAMETOOLONG, "make the state directory %s", root);
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0711) < 0 && errno != EEXIST)
			return err_set(err, errno, "make the state directory %s", path);
		*p = '/';
	}
	if (mkdir(path, 0711) < 0 && errno != EEXIST)
		return err_set(err, errno, "make the state directory %s", path);
	return 0;
}

static int dir_names(struct state_dir *d, const char *root, const char *id, struct err *err)
{
	d->fd = -1;
	if (state_check_id(id, err) < 0)
		return -EINVAL;
	str_copy(d->id, sizeof(d->id), id);
	if ((size_t)snprintf(d->path, sizeof(d->path), "%s/%s", root, id) >= sizeof(d->path))
		return err_set(err, ENAMETOOLONG, "state directory %s/%s", root, id);
	return 0;
}

int state_dir_make(const char *root, const char *id, struct state_dir *ret, struct err *err)
{
	char absolute[PATH_MAX];

	if (state_check_id(id, err) < 0 || make_root(root, err) < 0)
		return -err->code;
	if (!realpath(root, absolute))
		return err_set(err, errno, "state directory %s", root);
	struct state_dir d;
	int r = dir_names(&d, absolute, id, err);
	if (r < 0)
		return r;
	if (mkdir(d.path, 0711) < 0) {
		if (errno != EEXIST)
			return err_set(err, errno, "make %s", d.path);
		err_set(err, 0, "container with given ID already exists: %s", id);
		err_hint(err, "use another id, or remove it with fc-run delete %s", id);
		err->code = EEXIST;
		return -EEXIST;
	}
	d.fd = open(d.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (d.fd < 0) {
		r = err_set(err, errno, "open %s", d.path);
		rmdir(d.path); /* nobody could use it; were it not empty, somebody already did */
		return r;
	}
	r = state_dir_lock(&d, /* wait= */ false, err);
	if (r < 0) {
		/* whoever holds it saw a directory without a state and is about to remove it */
		state_dir_fini(&d);
		return err_wrap(err, "container %s", id);
	}
	*ret = d;
	return 0;
}

int state_dir_open(const char *root, const char *id, struct state_dir *ret, struct err *err)
{
	char absolute[PATH_MAX];
	struct state_dir d;

	if (state_check_id(id, err) < 0)
		return -EINVAL;
	bool there = realpath(root, absolute) != NULL;
	int r = there ? dir_names(&d, absolute, id, err) : 0;
	if (r < 0)
		return r;
	int fd = there ? open(d.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
	if (fd < 0 && errno == ENOENT) {
		err_set(err, 0, "container %s: container does not exist", id);
		err_hint(err, "fc-run list shows what %s holds", root);
		err->code = ENOENT;
		return -ENOENT;
	}
	if (fd < 0)
		return err_set(err, errno, "open the state of container %s in %s", id, root);
	d.fd = fd;
	*ret = d;
	return 0;
}

int state_dir_lock(struct state_dir *d, bool wait, struct err *err)
{
	while (flock(d->fd, LOCK_EX | (wait ? 0 : LOCK_NB)) < 0) {
		if (errno == EINTR)
			continue;
		if (errno == EWOULDBLOCK) {
			err_set(err, EAGAIN, "lock %s: another fc-run is at work on this container", d->path);
			return -EAGAIN;
		}
		return err_set(err, errno, "lock %s", d->path);
	}
	struct stat st;
	if (fstat(d->fd, &st) < 0)
		return err_set(err, errno, "look at %s", d->path);
	if (st.st_nlink == 0) {
		err_set(err, 0, "container %s: container does not exist", d->id);
		err->code = ENOENT;
		return -ENOENT;
	}
	return 0;
}

int state_dir_remove(struct state_dir *d, const char *root, struct err *err)
{
	/* what is in it nearly always, by name: that takes no descriptor, of which there may be none left */
	static const char *const names[] = { "state.json", "spec", "gate" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (unlinkat(d->fd, names[i], 0) < 0 && errno != ENOENT)
			return err_set(err, errno, "remove %s/%s", d->path, names[i]);
	if (rmdir(d->path) == 0 || errno == ENOENT)
		return 0;
	if (errno != ENOTEMPTY)
		return err_set(err, errno, "remove %s", d->path);
	autoclose int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -errno : fd_remove_tree_at(fd, d->id);
	return r < 0 ? err_set(err, -r, "remove %s", d->path) : 0;
}

void state_dir_fini(struct state_dir *d)
{
	cleanup_close(&d->fd);
}

int state_each(const char *root, int (*fn)(struct state_dir *d, void *arg), void *arg, struct err *err)
{
	struct dirent **names = NULL;
	int r = 0, n = scandir(root, &names, NULL, alphasort);
	if (n < 0)
		return errno == ENOENT ? 0 : err_set(err, errno, "read the state directory %s", root);
	for (int i = 0; i < n; i++) {
		struct state_dir d = STATE_DIR_INIT;
		struct err ignored = ERR_INIT;
		/* deleted since, or a file that is not ours: not a container */
		if (r >= 0 && state_dir_open(root, names[i]->d_name, &d, &ignored) == 0) {
			r = fn(&d, arg);
			state_dir_fini(&d);
		}
		free(names[i]);
	}
	free(names);
	return r < 0 ? r : 0;
}

/* ---- the file ---------------------------------------------------------- */

struct raw_state {
	int64_t pid, start_time, owner;
	bool created, cgroup_at_root;
	const char *comm, *bundle, *rootfs, *created_at, *cgroup, *cgroup_root;
	json_t *annotations;
};

#define AT(field) offsetof(struct raw_state, field)
static const struct json_field fields[] = {
	{ "pid", JF_INT, AT(pid), true, 0, INT_MAX },
	{ "startTime", JF_INT, AT(start_time), true, 0, INT64_MAX },
	{ "ready", JF_BOOL, AT(created), true, 0, 0 },
	{ "comm", JF_STR, AT(comm), true, 0, 0 },
	{ "bundle", JF_STR, AT(bundle), true, 0, 0 },
	{ "rootfs", JF_STR, AT(rootfs), true, 0, 0 },
	{ "created", JF_STR, AT(created_at), true, 0, 0 },
	{ "cgroup", JF_STR, AT(cgroup), true, 0, 0 },
	{ "cgroupRoot", JF_STR, AT(cgroup_root), false, 0, 0 },
	{ "cgroupAtRoot", JF_BOOL, AT(cgroup_at_root), true, 0, 0 },
	{ "owner", JF_INT, AT(owner), true, 0, UINT32_MAX },
	{ "annotations", JF_OBJECT, AT(annotations), false, 0, 0 },
	{ NULL, JF_IGNORE, 0, false, 0, 0 },
};

int state_write(const struct state_dir *d, const struct state *s, struct err *err)
{
	autojson json_t *j = json_pack("{s:i, s:I, s:b, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:I, s:O*}",
		"pid", (int)s->pid, "startTime", (json_int_t)s->start_time, "ready", s->created,
		"comm", s->comm, "bundle", s->bundle, "rootfs", s->rootfs, "created", s->created_at,
		"cgroup", s->cgroup, "cgroupRoot", s->cgroup_root, "cgroupAtRoot", s->cgroup_at_root, "owner", (json_int_t)s->owner,
		"annotations", s->annotations);
	autofree char *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
	if (!text) {
		err_set(err, 0, "write the state of container %s: a path is not valid UTF-8, or no memory is left", d->id);
		return err_hint(err, "rename bundle %s", s->bundle);
	}
	int r = fd_replace_file_at(d->fd, "state.json", text, strlen(text), 0600);
	return r < 0 ? err_set(err, -r, "write %s/state.json", d->path) : 0;
}

static int copy_fields(struct state *s, const struct raw_state *raw)
{
	s->pid = (pid_t)raw->pid;
	s->start_time = (unsigned long long)raw->start_time;
	s->owner = (uid_t)raw->owner;
	s->created = raw->created;
	s->cgroup_at_root = raw->cgroup_at_root;
	bool fits = str_copy(s->comm, sizeof(s->comm), raw->comm);
	fits = str_copy(s->bundle, sizeof(s->bundle), raw->bundle) && fits;
	fits = str_copy(s->rootfs, sizeof(s->rootfs), raw->rootfs) && fits;
	fits = str_copy(s->created_at, sizeof(s->created_at), raw->created_at) && fits;
	fits = str_copy(s->cgroup, sizeof(s->cgroup), raw->cgroup) && fits;
	fits = str_copy(s->cgroup_root, sizeof(s->cgroup_root), raw->cgroup_root ? raw->cgroup_root : "") && fits;
	s->annotations = json_incref(raw->annotations);
	return fits ? 0 : -EINVAL;
}

int state_read(const struct state_dir *d, struct state *ret, struct err *err)
{
	autobuf struct buf b = BUF_INIT(STATE_JSON_MAX);
	autoclose int fd = openat(d->fd, "state.json", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		err_set(err, 0, "container %s: container does not exist: its creation is not finished", d->id);
		err_hint(err, "if no fc-run create is at work on it: fc-run delete --force %s", d->id);
		err->code = ENOENT;
		return -ENOENT;
	}
	int r = fd < 0 ? -errno : buf_read_fd(&b, fd);
	if (r < 0)
		return err_set(err, -r, "read %s/state.json", d->path);

	struct raw_state raw = { 0 };
	autojson json_t *j = json_parse(b.data ? b.data : "", b.len, "state.json", err);
	if (!j || json_read(j, fields, 0, &raw, "", err) < 0)
		return err_wrap(err, "container %s: %s/state.json", d->id, d->path);
	struct state s = { 0 };
	if (copy_fields(&s, &raw) < 0) {
		state_fini(&s);
		return err_set(err, 0, "container %s: %s/state.json: a value is too long", d->id, d->path);
	}
	*ret = s;
	return 0;
}

void state_fini(struct state *s)
{
	json_decref(s->annotations);
	s->annotations = NULL;
}

/* ---- the kernel's view ------------------------------------------------- */

/* proc_pid_stat(5): the name (which may hold anything, also ") ") ends at the last ")". */
static int read_stat(pid_t pid, char *comm, size_t size, char *run_state, unsigned long long *start)
{
	char path[64], text[1024];
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	ssize_t n = fd_read_file_at(AT_FDCWD, path, text, sizeof(text));
	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	char *open = strchr(text, '('), *close = strrchr(text, ')');
	if (!open || !close || close < open || close[1] != ' ')
		return -EPROTO;
	*close = '\0';
	str_copy(comm, size, open + 1);
	char *p = close + 2;
	*run_state = *p;
	for (int field = 3; field < 22; field++) { /* 3 is the state, 22 the start time */
		p = strchr(p, ' ');
		if (!p)
			return -EPROTO;
		p++;
	}
	char *end;
	errno = 0;
	*start = strtoull(p, &end, 10);
	return errno || end == p ? -EPROTO : 0;
}

int state_set_process(struct state *s, pid_t pid, struct err *err)
{
	char comm[STATE_COMM_MAX], run_state;
	unsigned long long start;
	int r = read_stat(pid, comm, sizeof(comm), &run_state, &start);
	if (r < 0)
		return err_set(err, -r, "read /proc/%d/stat", (int)pid);
	s->pid = pid;
	s->start_time = start;
	/* a name need not be UTF-8, a JSON string must be; ours is plain, another's only has to differ */
	for (char *p = comm; *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	str_copy(s->comm, sizeof(s->comm), comm);
	return 0;
}

enum state_status state_status(const struct state_dir *d, const struct state *s)
{
	char comm[STATE_COMM_MAX], run_state = 'X';
	unsigned long long start = 0;

	if (s->pid <= 0 || read_stat(s->pid, comm, sizeof(comm), &run_state, &start) < 0)
		return STATE_STOPPED;
	if (start != s->start_time || run_state == 'Z' || run_state == 'X')
		return STATE_STOPPED;
	if (!s->created)
		return STATE_CREATING;
	/* start removes the gate; if it was killed before it could, the name that exec gave tells */
	if (faccessat(d->fd, "gate", F_OK, AT_SYMLINK_NOFOLLOW) == 0 && strcmp(comm, s->comm) == 0)
		return STATE_CREATED;
	return STATE_RUNNING;
}

int state_pidfd(const struct state *s)
{
	char comm[STATE_COMM_MAX], run_state;
	unsigned long long start;

	if (s->pid <= 0)
		return -ESRCH;
	autoclose int fd = (int)syscall(SYS_pidfd_open, s->pid, 0);
	if (fd < 0)
		return -errno;
	/* the descriptor first, the comparison second: what was compared is what the descriptor names */
	int r = read_stat(s->pid, comm, sizeof(comm), &run_state, &start);
	if (r < 0)
		return r;
	if (start != s->start_time || run_state == 'Z' || run_state == 'X')
		return -ESRCH;
	return take_fd(&fd);
}

json_t *state_to_json(const struct state_dir *d, const struct state *s, enum state_status status,
		      const char *oci_version)
{
	return json_pack("{s:s, s:s, s:i, s:s, s:s, s:O*}", "ociVersion", oci_version, "id", d->id, "pid",
			 status == STATE_STOPPED ? 0 : (int)s->pid, "status", status_names[status], "bundle", s->bundle,
			 "annotations", s->annotations);
}
