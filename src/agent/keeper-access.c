/*
 * Who may call: the principals' file, which root alone may write and read; the
 * keys of secrets, likewise; and the sockets of --listen. keeper parses the
 * files only to refuse them in time, and passes their texts on in sealed memfds.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/keeper-internal.h"
#include "agent/keyring.h"
#include "agent/principals.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"

enum { TCP_BACKLOG = 128 };

/* Regular, root's, and closed to everybody else: it holds secrets, and says who may do what. */
static int open_file(const char *what, const char *path, off_t max, struct err *err)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return err_set(err, errno, "open the %s %s", what, path);
	int r = fstat(fd, &st) < 0 ? err_set(err, errno, "read the %s %s", what, path) : 0;
	if (r == 0 && !S_ISREG(st.st_mode))
		r = err_set(err, 0, "the %s %s is not a regular file", what, path);
	if (r == 0 && (st.st_uid != 0 || st.st_mode & 077)) {
		err_set(err, 0, "the %s %s: owner %u, mode %04o; only root may read or write it, for it holds secrets", what, path, st.st_uid,
			(unsigned)st.st_mode & 07777);
		r = err_hint(err, "chown root %s && chmod 0600 %s; if others could read it, replace its keys", path, path);
	}
	if (r == 0 && st.st_size > max)
		r = err_set(err, 0, "the %s %s has more than %jd bytes", what, path, (intmax_t)max);
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

/* What the configuration says of them must hold. */
static int check_peers(const struct config *c, const struct principals *t, struct err *err)
{
	for (size_t i = 0; i < c->peers; i++)
		if (!principals_find(t, c->peer[i].principal))
			return err_set(err, 0, "--principal-of %u=%s: %s describes no such principal", c->peer[i].uid,
				       c->peer[i].principal, c->principals);
	if (c->listens == 0 || t->keys > 0)
		return 0;
	err_set(err, 0, "--listen: %s has no access key, so nobody could call over TCP", c->principals);
	return err_hint(err, "add a line \"key ID SECRET\" to a principal; fcnode-principals(5)");
}

static int check_principals(const struct config *c, const struct buf *text, struct err *err)
{
	struct principals *t = NULL;
	int r = principals_parse(text->data, text->len, &t, err);
	if (r < 0)
		return err_wrap(err, "%s", c->principals);
	r = check_peers(c, t, err);
	principals_unref(t);
	return r;
}

static int check_keys(const struct config *c, const struct buf *text, struct err *err)
{
	struct keyring keys;
	int r = keyring_parse(text->data, text->len, &keys, err);
	if (r == 0 && keys.count == 0) {
		err_set(err, 0, "the file holds no key");
		r = err_hint(err, "echo \"key $(date +%%F) $(openssl rand -hex %d)\" makes a line", KEYRING_KEY_BYTES);
	}
	keyring_wipe(&keys);
	return r < 0 ? err_wrap(err, "%s", c->secret_keys) : 0;
}

struct access_file {
	const char *what, *memfd, *path; /* path NULL: the text is empty */
	size_t max;
	int (*check)(const struct config *c, const struct buf *text, struct err *err);
};

static int read_text(const struct config *c, const struct access_file *f, struct buf *text, struct err *err)
{
	autoclose int fd = open_file(f->what, f->path, (off_t)f->max, err);
	if (fd < 0)
		return fd;
	int r = buf_read_fd(text, fd);
	return r < 0 ? err_set(err, -r, "read the %s %s", f->what, f->path) : f->check(c, text, err);
}

/* Its text, checked, in a sealed memfd; or < 0. */
static int load_file(const struct config *c, const struct access_file *f, struct err *err)
{
	struct buf text = BUF_INIT(f->max);
	int r = buf_reserve(&text, f->max); /* so that no copy is left where it grew */
	r = r < 0 ? err_set(err, -r, "read the %s", f->what) : f->path ? read_text(c, f, &text, err) : 0;
	if (r == 0) {
		r = fd_sealed_memfd(f->memfd, text.data, text.len);
		if (r < 0)
			err_set(err, -r, "put the %s into a memfd", f->what);
	}
	if (text.data)
		explicit_bzero(text.data, text.cap);
	buf_fini(&text);
	return r;
}

int access_load(struct keeper *k, struct err *err)
{
	const struct config *c = k->config;
	const struct access_file principals = { "principals' file", "fc-agent-principals", c->principals, PRINCIPALS_FILE_MAX, check_principals };
	const struct access_file keys = { "file of secret keys", "fc-agent-secret-keys", c->secret_keys, KEYRING_FILE_MAX, check_keys };
	autoclose int principals_fd = load_file(c, &principals, err);
	autoclose int keys_fd = principals_fd < 0 ? -1 : load_file(c, &keys, err);
	if (principals_fd < 0 || keys_fd < 0)
		return -1;
	cleanup_close(&k->principals_fd);
	cleanup_close(&k->secret_keys_fd);
	k->principals_fd = take_fd(&principals_fd);
	k->secret_keys_fd = take_fd(&keys_fd);
	return 0;
}

static int listen_at(const struct config_listen *l, struct err *err)
{
	const int on = 1;
	autoclose int fd = socket(l->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, errno, "make a socket for %s", l->text);
	/* connections of the last run that linger must not keep the next one from starting */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (l->address.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0))
		return err_set(err, errno, "set up the socket for %s", l->text);
	if (bind(fd, (const struct sockaddr *)&l->address, l->len) < 0 || listen(fd, TCP_BACKLOG) < 0) {
		int code = errno;
		err_set(err, code, "listen on %s", l->text);
		return code == EADDRINUSE      ? err_hint(err, "another process listens there: stop it, or give another --listen")
		       : code == EADDRNOTAVAIL ? err_hint(err, "this host has no such address")
					       : -code;
	}
	return take_fd(&fd);
}

int tcp_listen(struct keeper *k, struct err *err)
{
	const struct config *c = k->config;
	for (size_t i = 0; i < c->listens; i++) {
		struct sockaddr_storage at;
		memset(&at, 0, sizeof(at));
		socklen_t len = sizeof(at);
		k->tcp_fd[i] = listen_at(&c->listen[i], err);
		if (k->tcp_fd[i] < 0)
			return k->tcp_fd[i];
		/* port 0 has become one by now; it lies at the same place in both families' addresses */
		if (getsockname(k->tcp_fd[i], (struct sockaddr *)&at, &len) < 0)
			return err_set(err, errno, "listen on %s", c->listen[i].text);
		log_info("event=listen address=%s port=%u remote=%s", c->listen[i].text,
			 ntohs(((const struct sockaddr_in *)(const void *)&at)->sin_port), c->listen_remote ? "allowed" : "no");
	}
	return 0;
}

void access_close(struct keeper *k)
{
	for (size_t i = 0; i < CONFIG_LISTEN_MAX; i++)
		cleanup_close(&k->tcp_fd[i]);
	cleanup_close(&k->principals_fd);
	cleanup_close(&k->secret_keys_fd);
}
