#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/invoke.h"
#include "host/layer.h"

enum { MANIFEST_MAX = 64 << 10 };

const char *invoke_temp_parent(void)
{
	const char *dir = getenv("TMPDIR");
	return dir && *dir == '/' && strlen(dir) < 96 ? dir : "/tmp";
}

/* For us alone: what is shown inside is a directory in it, which nobody else can reach by name. */
static int make_temp(struct invoke_code *c, struct err *err)
{
	char name[64];
	invoke_owner_name(name, sizeof(name), INVOKE_TEMP_PREFIX);
	snprintf(c->temp, sizeof(c->temp), "%s/%s.XXXXXX", invoke_temp_parent(), name);
	if (!mkdtemp(c->temp)) {
		int r = err_set(err, errno, "make a temporary directory %s", c->temp);
		c->temp[0] = '\0';
		return r;
	}
	c->temp_lock = open(c->temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->temp_lock < 0 || flock(c->temp_lock, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, errno, "lock the temporary directory %s", c->temp);
	return 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* A single executable becomes a directory with this one file. */
static int open_executable(const char *path, int fd, struct invoke_code *c, struct err *err)
{
	struct stat st;
	if (!str_copy(c->entry, sizeof(c->entry), base_name(path)))
		return err_set(err, ENAMETOOLONG, "use %s", path);
	int r = make_temp(c, err);
	if (r < 0)
		return r;
	snprintf(c->dir, sizeof(c->dir), "%s/code", c->temp);
	if (mkdir(c->dir, 0755) < 0)
		return err_set(err, errno, "make %s", c->dir);
	autoclose int dir = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autoclose int out = dir < 0 ? -1 : openat(dir, c->entry, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	/* whatever our umask: the function's user is another */
	if (out < 0 || fchmod(out, 0755) < 0 || fchmod(dir, 0755) < 0 || fstat(fd, &st) < 0)
		return err_set(err, errno, "copy %s", path);
	for (off_t left = st.st_size; left > 0;) {
		ssize_t n = sendfile(out, fd, NULL, (size_t)left);
		if (n <= 0)
			return err_set(err, n < 0 ? errno : EIO, "copy %s", path);
		left -= n;
	}
	return 0;
}

static int open_archive(const char *path, int fd, int cancel_fd, struct invoke_code *c, struct err *err)
{
	static const struct layer_limits limits = LAYER_LIMITS_DEFAULT;
	struct layer_user user = { INVOKE_UNPACK_ID, INVOKE_UNPACK_ID };
	struct layer_info info;
	int r = make_temp(c, err);
	autoclose int dir = r < 0 ? -1 : open(c->temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r == 0 && dir < 0)
		r = err_set(err, errno, "open %s", c->temp);
	if (r == 0)
		r = layer_unpack_at(dir, "layer", "code", user, fd, NULL, &limits, cancel_fd, &info, err);
	if (r != 0) {
		err_wrap(err, "unpack %s", path);
		return r < 0 ? r : -EINVAL;
	}
	snprintf(c->dir, sizeof(c->dir), "%s/layer", c->temp);
	c->is_layer = true;
	return 0;
}

/* By content: an ELF file or a script is run, anything else must be an archive. */
static int open_file(const char *path, int cancel_fd, struct invoke_code *c, struct err *err)
{
	unsigned char head[4] = { 0 };
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, errno, "open %s", path);
	if (pread(fd, head, sizeof(head), 0) < 0)
		return err_set(err, errno, "read %s", path);
	if (memcmp(head, "\177ELF", 4) == 0 || memcmp(head, "#!", 2) == 0)
		return open_executable(path, fd, c, err);
	return open_archive(path, fd, cancel_fd, c, err);
}

/* The manifest beside the code, or the one that was named. */
static int read_manifest(const struct invoke_opts *o, const struct invoke_code *c, struct function *f, struct err *err)
{
	char path[1100];
	snprintf(path, sizeof(path), "%s%s/fcnode.json", c->dir, c->is_layer ? "/code" : "");
	if (!o->manifest && access(path, F_OK) < 0)
		return 0;
	autojson json_t *json = json_parse_file(o->manifest ? o->manifest : path, MANIFEST_MAX, err);
	if (!json)
		return -EINVAL;
	function_fini(f);
	int r = function_parse(json, "function", f, err);
	if (r < 0) {
		function_init(f);
		return err_wrap(err, "manifest %s", o->manifest ? o->manifest : "fcnode.json");
	}
	if (f->nsecrets) {
		err_set(err, 0, "manifest %s: secrets: a node keeps them, fc-run knows none", o->manifest ? o->manifest : "fcnode.json");
		return err_hint(err, "leave secrets out, and give each variable with --env");
	}
	if (f->nlayers) { /* nothing is left out silently */
		err_set(err, 0, "manifest %s: layers: a node stores them, fc-run knows none", o->manifest ? o->manifest : "fcnode.json");
		return err_hint(err, "deploy to a node with fcctl, or leave layers out and put their files into the code");
	}
	return 1;
}

static bool has_file(const struct invoke_code *c, const char *name)
{
	char path[1100];
	snprintf(path, sizeof(path), "%s%s/%s", c->dir, c->is_layer ? "/code" : "", name);
	return access(path, F_OK) == 0;
}

/* Without a word about the runtime: what the files look like. */
static int guess_runtime(const struct invoke_opts *o, const struct invoke_code *c, struct function *f, struct err *err)
{
	if (o->runtime || c->entry[0] || has_file(c, "bootstrap"))
		return 0;
	bool py = has_file(c, "index.py") || has_file(c, "main.py") || has_file(c, "handler.py");
	bool js = has_file(c, "index.js") || has_file(c, "index.mjs");
	if (py != js) {
		f->runtime = py ? FUNCTION_PYTHON3 : FUNCTION_NODEJS;
		return 0;
	}
	if (o->handler && has_file(c, o->handler)) /* a program: stdio */
		return 0;
	if (py)
		err_set(err, 0, "%s has python3 and nodejs files, so how to run it is not known", c->dir);
	else if (o->handler)
		err_set(err, 0, "--handler %s: %s has no such file, and nothing that tells another runtime", o->handler, c->dir);
	else
		err_set(err, 0, "%s has neither fcnode.json nor bootstrap, so how to run it is not known", c->dir);
	return err_hint(err, "add --runtime stdio|python3|nodejs and --handler, or an fcnode.json (fcnode-function(5))");
}

int invoke_code_open(const char *path, const struct invoke_opts *o, int cancel_fd, struct function *f,
		     struct invoke_code *ret, struct err *err)
{
	struct stat st;
	int r = 0;
	if (stat(path, &st) < 0)
		return err_set(err, errno, "open CODE %s", path);
	if (S_ISDIR(st.st_mode)) {
		char *full = realpath(path, NULL);
		if (!full || !str_copy(ret->dir, sizeof(ret->dir), full))
			r = err_set(err, full ? ENAMETOOLONG : errno, "open CODE %s", path);
		free(full);
	} else if (S_ISREG(st.st_mode)) {
		r = open_file(path, cancel_fd, ret, err);
	} else {
		r = err_set(err, 0, "CODE %s is neither a file nor a directory", path);
	}
	if (r < 0)
		return r;
	r = read_manifest(o, ret, f, err);
	return r == 0 ? guess_runtime(o, ret, f, err) : r < 0 ? r : 0;
}

void invoke_code_close(struct invoke_code *c)
{
	if (c->temp[0])
		fd_remove_tree_at(AT_FDCWD, c->temp);
	c->temp[0] = '\0';
	cleanup_close(&c->temp_lock);
}
