/*
 * fd - descriptors: whole reads and writes, small files below a directory,
 * sealed memfds, and descriptors sent over a Unix socket.
 *
 * Everything is close-on-exec at birth. All return -errno on failure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Write all of it; retries EINTR and short writes. */
int fd_write_all(int fd, const void *data, size_t len);

/* Read exactly len bytes; -ENODATA at an early end of file. */
int fd_read_all(int fd, void *data, size_t len);

/* Read a small file whole into buf (NUL-terminated). Returns its length, or
 * -EMSGSIZE when it has size bytes or more. path is relative to dirfd. */
ssize_t fd_read_file_at(int dirfd, const char *path, char *buf, size_t size);

/* Read a file that holds one decimal number (cgroup files; "max" gives UINT64_MAX). */
int fd_read_u64_at(int dirfd, const char *path, uint64_t *ret);

/* Open, write text in one write(2), close: the way kernel files want it. */
int fd_write_file_at(int dirfd, const char *path, const char *text);

/* Write to path.tmp, fsync, rename: a reader sees the old content or the new. */
int fd_replace_file_at(int dirfd, const char *path, const void *data, size_t len, mode_t mode);

/* A memfd with this content, sealed against any change (memfd_create(2), fcntl_sealing). */
int fd_sealed_memfd(const char *name, const void *data, size_t len);

/* Remove a directory's content below dirfd/path and the directory itself.
 * Never follows a symlink, never crosses a mount point. A missing one is 0. */
int fd_remove_tree_at(int dirfd, const char *path);

/* One message with up to FD_PASS_MAX descriptors (unix(7), SCM_RIGHTS).
 * fd_recv_msg stores at most *nfds descriptors and sets *nfds; extra ones are
 * closed and give -EPROTO, as does a truncated message. 0 means end of file.
 * A process that is out of descriptors (EMFILE, ENFILE) gets the bytes and
 * *nfds == FD_LOST: the sender did nothing wrong, and the descriptors are gone. */
enum { FD_PASS_MAX = 16 };
#define FD_LOST SIZE_MAX
int fd_send_msg(int sock, const void *data, size_t len, const int *fds, size_t nfds);
ssize_t fd_recv_msg(int sock, void *data, size_t size, int *fds, size_t *nfds, int flags);

/* Close a descriptor that somebody else made and may have set up against us: a socket told to linger does not keep us.
 * A negative one is ignored. */
void fd_close_foreign(int fd);

int fd_set_nonblock(int fd);
