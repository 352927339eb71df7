#include "agent/upload.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/crc64.h"
#include "base/fd.h"
#include "base/str.h"

#define UPLOAD_PREFIX ".upload-"

struct upload {
	int dir_fd, fd;
	uint64_t max, bytes, crc;
	gnutls_hash_hd_t sha;
	bool hashing;
	char name[sizeof(UPLOAD_PREFIX) + 36]; /* "" once it is kept */
};

int upload_new(struct upload **ret, int dir_fd, uint64_t max_bytes, struct err *err)
{
	struct upload *u = calloc(1, sizeof(*u));
	if (!u)
		return err_set(err, ENOMEM, "begin an upload");
	u->dir_fd = dir_fd;
	u->max = max_bytes;
	u->hashing = gnutls_hash_init(&u->sha, GNUTLS_DIG_SHA256) == 0;
	u->fd = -1;
	char id[37];
	if (str_uuid(id) == 0) {
		snprintf(u->name, sizeof(u->name), UPLOAD_PREFIX "%s", id);
		u->fd = openat(dir_fd, u->name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	}
	if (u->fd < 0 || !u->hashing) {
		int r = err_set(err, u->fd < 0 ? errno : ENOMEM, "make a file for the upload");
		upload_free(u);
		return r;
	}
	*ret = u;
	return 0;
}

struct upload *upload_free(struct upload *u)
{
	if (!u)
		return NULL;
	if (u->fd >= 0) {
		if (u->name[0])
			unlinkat(u->dir_fd, u->name, 0);
		close(u->fd);
	}
	if (u->hashing)
		gnutls_hash_deinit(u->sha, NULL);
	free(u);
	return NULL;
}

int upload_write(struct upload *u, const void *data, size_t len)
{
	if (len > u->max - u->bytes)
		return -EMSGSIZE;
	int r = fd_write_all(u->fd, data, len);
	if (r < 0)
		return r;
	if (gnutls_hash(u->sha, data, len) < 0)
		return -ENOMEM;
	u->crc = crc64(u->crc, data, len);
	u->bytes += len;
	return 0;
}

int upload_finish(struct upload *u, struct upload_result *ret)
{
	unsigned char md[32];
	assert(u->hashing && gnutls_hash_get_len(GNUTLS_DIG_SHA256) == sizeof(md));
	gnutls_hash_deinit(u->sha, md);
	u->hashing = false;
	str_hex(ret->sha256, md, sizeof(md));
	snprintf(ret->checksum, sizeof(ret->checksum), "%" PRIu64, u->crc);
	ret->bytes = u->bytes;
	return 0;
}

int upload_whole(struct upload **ret, int dir_fd, uint64_t max_bytes, const struct buf *data, struct upload_result *result, struct err *err)
{
	int r = upload_new(ret, dir_fd, max_bytes, err);
	if (r == 0)
		r = upload_write(*ret, data->data, data->len);
	return r < 0 ? r : upload_finish(*ret, result);
}

int upload_keep(struct upload *u, const char *name)
{
	if (fsync(u->fd) < 0 || renameat(u->dir_fd, u->name, u->dir_fd, name) < 0)
		return -errno;
	u->name[0] = '\0';
	return fsync(u->dir_fd) < 0 ? -errno : 0;
}

int upload_clear(int dir_fd)
{
	autoclose int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autodir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return -errno;
	take_fd(&fd);
	const struct dirent *e;
	while ((errno = 0, e = readdir(dir)))
		if (str_starts(e->d_name, UPLOAD_PREFIX) && unlinkat(dir_fd, e->d_name, 0) < 0)
			return -errno;
	return -errno;
}
