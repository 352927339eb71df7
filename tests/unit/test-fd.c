/* fd: whole reads and writes, files replaced at once, sealed memory, trees removed without following links. */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"

static char dir[] = "test-fd.XXXXXX";
static int dirfd_ = -1;

static int setup(void **state)
{
	(void)state;
	dirfd_ = mkdtemp(dir) ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	return dirfd_ < 0;
}

static int teardown(void **state)
{
	(void)state;
	close(dirfd_);
	return fd_remove_tree_at(AT_FDCWD, dir);
}

static void test_files(void **state)
{
	(void)state;
	char text[16];
	uint64_t v = 0;
	assert_int_equal(fd_replace_file_at(dirfd_, "n", "123\n", 4, 0600), 0);
	assert_int_equal(fd_read_file_at(dirfd_, "n", text, sizeof(text)), 4);
	assert_string_equal(text, "123\n");
	assert_int_equal(fd_read_file_at(dirfd_, "n", text, 4), -EMSGSIZE);
	assert_int_equal(fd_read_file_at(dirfd_, "n", text, 5), 4);
	assert_int_equal(fd_read_u64_at(dirfd_, "n", &v), 0);
	assert_int_equal(v, 123);
	assert_int_equal(fd_replace_file_at(dirfd_, "n", "max\n", 4, 0600), 0);
	assert_int_equal(fd_read_u64_at(dirfd_, "n", &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(fd_replace_file_at(dirfd_, "n", "12x\n", 4, 0600), 0);
	assert_true(fd_read_u64_at(dirfd_, "n", &v) < 0);
	assert_int_equal(fd_read_u64_at(dirfd_, "none", &v), -ENOENT);
	assert_int_equal(faccessat(dirfd_, "n.tmp", F_OK, 0), -1); /* nothing half-written stays */
	assert_int_equal(fd_write_file_at(dirfd_, "n", "7"), 0);
}

static void test_whole(void **state)
{
	(void)state;
	int p[2];
	char out[8];
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(fd_write_all(p[1], "12345", 5), 0);
	close(p[1]);
	assert_int_equal(fd_read_all(p[0], out, 3), 0);
	assert_memory_equal(out, "123", 3);
	assert_int_equal(fd_read_all(p[0], out, 3), -ENODATA);
	close(p[0]);
}

static void test_sealed(void **state)
{
	(void)state;
	autoclose int fd = fd_sealed_memfd("x", "abc", 3);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "z", 1), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_true(mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	assert_true(fcntl(fd, F_GET_SEALS) & F_SEAL_SEAL);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void test_remove(void **state)
{
	(void)state;
	assert_int_equal(mkdirat(dirfd_, "keep", 0700), 0);
	assert_int_equal(fd_replace_file_at(dirfd_, "keep/file", "x", 1, 0600), 0);
	assert_int_equal(mkdirat(dirfd_, "tree", 0700), 0);
	assert_int_equal(mkdirat(dirfd_, "tree/a", 0700), 0);
	assert_int_equal(mkdirat(dirfd_, "tree/a/b", 0000), 0);
	assert_int_equal(symlinkat("../keep", dirfd_, "tree/link"), 0);
	assert_int_equal(fd_remove_tree_at(dirfd_, "tree"), 0);
	assert_int_equal(faccessat(dirfd_, "tree", F_OK, 0), -1);
	assert_int_equal(faccessat(dirfd_, "keep/file", F_OK, 0), 0); /* not through the link */
	assert_int_equal(fd_remove_tree_at(dirfd_, "tree"), 0);       /* missing is done */
	assert_int_equal(symlinkat("keep", dirfd_, "alias"), 0);
	fd_remove_tree_at(dirfd_, "alias");
	assert_int_equal(faccessat(dirfd_, "keep/file", F_OK, 0), 0);
}

static int count_fds(void)
{
	int n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_pass(void **state)
{
	(void)state;
	int s[2], got[FD_PASS_MAX];
	char text[8];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s), 0);
	int before = count_fds();

	assert_int_equal(fd_send_msg(s[0], "hi", 2, (int[]){ 0, 1 }, 2), 0);
	size_t n = FD_PASS_MAX;
	assert_int_equal(fd_recv_msg(s[1], text, sizeof(text), got, &n, 0), 2);
	assert_int_equal(n, 2);
	assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
	close(got[0]);
	close(got[1]);

	/* more descriptors than were wanted: refused, and none leaks */
	assert_int_equal(fd_send_msg(s[0], "hi", 2, (int[]){ 0, 1, 2 }, 3), 0);
	n = 1;
	assert_int_equal(fd_recv_msg(s[1], text, sizeof(text), got, &n, 0), -EPROTO);
	assert_int_equal(count_fds(), before);

	/* a message longer than the buffer: refused */
	assert_int_equal(fd_send_msg(s[0], "0123456789", 10, NULL, 0), 0);
	n = 0;
	assert_int_equal(fd_recv_msg(s[1], text, sizeof(text), NULL, &n, 0), -EPROTO);

	/* more than any message may carry: refused, and none leaks */
	int many[FD_PASS_MAX + 1] = { 0 };
	struct iovec iov = { .iov_base = text, .iov_len = 2 };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(many))];
	} control = { .space = { 0 } };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control.space) };
	*CMSG_FIRSTHDR(&msg) = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(many)) };
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), many, sizeof(many));
	assert_int_equal(sendmsg(s[0], &msg, 0), 2);
	n = FD_PASS_MAX;
	assert_int_equal(fd_recv_msg(s[1], text, sizeof(text), got, &n, 0), -EPROTO);
	assert_int_equal(count_fds(), before);

	close(s[0]);
	n = 0;
	assert_int_equal(fd_recv_msg(s[1], text, sizeof(text), NULL, &n, 0), 0);
	close(s[1]);
}

/* A process without a free descriptor still learns what was said, and keeps no half of what came along. */
static void test_pass_to_a_full_table(void **state)
{
	(void)state;
	struct rlimit before, tight;
	int s[2], got[FD_PASS_MAX];
	char text[8];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s), 0);
	int fds = count_fds();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	for (int room = 0; room < 3; room++) {
		int next = dup(0);
		assert_true(next >= 0);
		close(next);
		tight = (struct rlimit){ (rlim_t)next + (rlim_t)room, before.rlim_max };
		assert_int_equal(fd_send_msg(s[0], "hi", 2, (int[]){ 0, 1, 2 }, 3), 0);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
		size_t n = FD_PASS_MAX;
		ssize_t r = fd_recv_msg(s[1], text, sizeof(text), got, &n, 0);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		assert_int_equal(r, 2);
		assert_true(n == FD_LOST);
		assert_int_equal(count_fds(), fds);
	}
	close(s[0]);
	close(s[1]);
}

/* A TCP connection whose peer reads nothing, told to linger over what it has not sent: close(2) would sit it out. */
static void test_close_foreign(void **state)
{
	(void)state;
	static const char block[1 << 16];
	const struct linger patient = { .l_onoff = 1, .l_linger = 5 };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct timespec begin, end;
	socklen_t len = sizeof(address);
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(server, 1), 0);
	assert_int_equal(getsockname(server, (struct sockaddr *)&address, &len), 0);
	assert_int_equal(connect(s, (struct sockaddr *)&address, len), 0);
	int peer = accept(server, NULL, NULL);
	assert_int_equal(fd_set_nonblock(s), 0);
	while (write(s, block, sizeof(block)) > 0)
		;
	assert_int_equal(setsockopt(s, SOL_SOCKET, SO_LINGER, &patient, sizeof(patient)), 0);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	fd_close_foreign(s);
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_true(end.tv_sec - begin.tv_sec < 3);
	assert_int_equal(fcntl(s, F_GETFD), -1);
	fd_close_foreign(dup(0)); /* no socket */
	fd_close_foreign(-1);
	close(peer);
	close(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_sealed),
		cmocka_unit_test(test_remove),
		cmocka_unit_test(test_pass),
		cmocka_unit_test(test_close_foreign),
		cmocka_unit_test(test_pass_to_a_full_table),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
