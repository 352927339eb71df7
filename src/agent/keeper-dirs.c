/* Directories, the lock and the listening socket; everything here is made by root before serve exists. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/keeper-internal.h"
#include "base/cleanup.h"
#include "base/fd.h"

#define RUNTIME_NOTE "keeper/runtime"
enum { LISTEN_BACKLOG = 512 };

/* A directory that we may trust: root's, and nobody else can write to it. Made when missing. */
static int open_dir(const char *path, mode_t mode, bool *made, struct err *err)
{
	bool fresh = mkdir(path, mode) == 0;
	if (!fresh && errno != EEXIST) {
		int code = errno;
		err_set(err, code, "make directory %s", path);
		return code == ENOENT ? err_hint(err, "make the directory above it first") : -code;
	}
	if (made)
		*made = fresh;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, errno, "open directory %s", path);
	struct stat st;
	if (fstat(fd, &st) == 0 && st.st_uid == 0 && !(st.st_mode & 022))
		return fd;
	close(fd);
	err_set(err, 0, "use directory %s: it is not root's alone", path);
	return err_hint(err, "chown root %s && chmod go-w %s, or name another directory", path, path);
}

static int open_sub(int dirfd, const char *name, mode_t mode, uid_t uid, gid_t gid, const char *above, struct err *err)
{
	if (mkdirat(dirfd, name, mode) < 0 && errno != EEXIST)
		return err_set(err, errno, "make directory %s/%s", above, name);
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid != uid && st.st_uid != 0) {
		close(fd);
		err_set(err, 0, "directory %s/%s belongs to user id %u, not %u", above, name, st.st_uid, uid);
		return err_hint(err, "start with --user of that id, or give what is in it away: chown -R %u:%u", uid, gid);
	}
	if (fd < 0 || fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0) {
		int code = errno;
		if (fd >= 0)
			close(fd);
		return err_set(err, code, "set up directory %s/%s", above, name);
	}
	return fd;
}

/* The lock lives as long as the descriptor, so that a kill -9 lets go of it. */
static int take_lock(struct keeper *k, struct err *err)
{
	k->lock_fd = openat(k->state_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (k->lock_fd < 0)
		return err_set(err, errno, "open %s/lock", k->config->state_dir);
	if (flock(k->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		int code = errno;
		err_set(err, code, "lock state directory %s", k->config->state_dir);
		return code == EWOULDBLOCK ? err_hint(err, "another fc-agent uses it: stop that one, or give --state-dir") : -code;
	}
	return 0;
}

/* cgroups of several agents on one host must not meet: each has a level named after its state directory's path (FNV-1a). */
static int name_group(struct keeper *k, struct err *err)
{
	char link[64], path[4096];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", k->state_fd);
	ssize_t n = readlink(link, path, sizeof(path));
	if (n < 0)
		return err_set(err, errno, "find the real path of %s", k->config->state_dir);
	uint64_t hash = 14695981039346656037ull;
	for (ssize_t i = 0; i < n; i++)
		hash = (hash ^ (unsigned char)path[i]) * 1099511628211ull;
	snprintf(k->group, sizeof(k->group), "agent-%016" PRIx64, hash);
	return 0;
}

static int socket_address(const char *path, struct sockaddr_un *sa, struct err *err)
{
	*sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) < sizeof(sa->sun_path)) {
		strcpy(sa->sun_path, path);
		return 0;
	}
	err_set(err, ENAMETOOLONG, "listen on %s", path);
	return err_hint(err, "a socket's path has at most %zu bytes (unix(7)): give a shorter --socket", sizeof(sa->sun_path) - 1);
}

/* What lies at the socket's path: nothing or a dead socket may be replaced, all else is somebody's. */
static int clear_path(const char *path, const struct sockaddr_un *sa, struct err *err)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_set(err, errno, "listen on %s", path);
	if (!S_ISSOCK(st.st_mode)) {
		err_set(err, EEXIST, "listen on %s", path);
		return err_hint(err, "it is not a socket; give another --socket");
	}
	autoclose int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe < 0)
		return err_set(err, errno, "listen on %s", path);
	if (connect(probe, (const struct sockaddr *)sa, sizeof(*sa)) == 0 || errno == EAGAIN) {
		err_set(err, EADDRINUSE, "listen on %s", path);
		return err_hint(err, "another process answers there: stop it, or give --socket");
	}
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(err, errno, "remove the dead socket %s", path);
	return 0;
}

static int open_socket(struct keeper *k, struct err *err)
{
	const struct config *c = k->config;
	struct sockaddr_un sa;
	int r = socket_address(c->socket, &sa, err);
	if (r == 0)
		r = clear_path(c->socket, &sa, err);
	if (r < 0)
		return r;
	autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, errno, "make the socket %s", c->socket);
	mode_t old = umask(0777); /* nobody connects before owner and mode are right */
	r = bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	umask(old);
	if (r < 0)
		return err_set(err, -r, "bind %s", c->socket);
	if (lchown(c->socket, 0, c->socket_gid == (gid_t)-1 ? 0 : c->socket_gid) < 0 || listen(fd, LISTEN_BACKLOG) < 0 ||
	    chmod(c->socket, c->socket_mode) < 0) {
		int code = errno;
		unlink(c->socket);
		return err_set(err, code, "set up the socket %s", c->socket);
	}
	k->listen_fd = take_fd(&fd);
	return 0;
}

static int open_state(struct keeper *k, struct err *err)
{
	const struct config *c = k->config;
	k->state_fd = open_dir(c->state_dir, 0711, NULL, err);
	if (k->state_fd < 0)
		return k->state_fd;
	int r = name_group(k, err);
	if (r == 0)
		r = take_lock(k, err);
	if (r < 0)
		return r;
	autoclose int serve = open_sub(k->state_fd, "serve", 0700, c->uid, c->gid, c->state_dir, err);
	autoclose int keeper = open_sub(k->state_fd, "keeper", 0700, 0, 0, c->state_dir, err);
	return serve < 0 ? serve : keeper < 0 ? keeper : 0;
}

/* Whoever made the runtime directory removes it. A note says that it was us, also to the next start after a crash. */
static int note_runtime(struct keeper *k, struct err *err)
{
	const char *dir = k->config->runtime_dir;
	char noted[PATH_MAX];
	if (k->made_runtime_dir) {
		int r = fd_replace_file_at(k->state_fd, RUNTIME_NOTE, dir, strlen(dir), 0600);
		return r < 0 ? err_set(err, -r, "write %s/" RUNTIME_NOTE, k->config->state_dir) : 0;
	}
	k->made_runtime_dir = fd_read_file_at(k->state_fd, RUNTIME_NOTE, noted, sizeof(noted)) > 0 && strcmp(noted, dir) == 0;
	return 0;
}

int dirs_open(struct keeper *k, struct err *err)
{
	const struct config *c = k->config;
	int r = open_state(k, err);
	if (r < 0)
		return r;
	k->runtime_fd = open_dir(c->runtime_dir, 0755, &k->made_runtime_dir, err);
	if (k->runtime_fd < 0)
		return k->runtime_fd;
	r = note_runtime(k, err);
	if (r < 0)
		return r;
	/* an empty directory on which each sandbox builds its root, in its own mount namespace */
	autoclose int stage = open_sub(k->runtime_fd, "stage", 0755, 0, 0, c->runtime_dir, err);
	return stage < 0 ? stage : open_socket(k, err);
}

void dirs_close(struct keeper *k)
{
	const struct config *c = k->config;
	if (k->listen_fd >= 0)
		unlink(c->socket);
	cleanup_close(&k->listen_fd);
	if (k->runtime_fd >= 0)
		unlinkat(k->runtime_fd, "stage", AT_REMOVEDIR);
	if (k->made_runtime_dir && (rmdir(c->runtime_dir) == 0 || errno == ENOENT))
		unlinkat(k->state_fd, RUNTIME_NOTE, 0);
	cleanup_close(&k->runtime_fd);
	cleanup_close(&k->lock_fd);
	cleanup_close(&k->state_fd);
}
