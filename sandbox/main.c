/*
 * fc-sandbox - from clone to exec, and PID 1 inside.
 *
 * The launcher cloned us into fresh namespaces and our cgroup and executed
 * this file with the descriptors that spec.h lists. The table below is the
 * whole order; a stage that fails reports {stage, errno, detail} and ends us.
 */
#include "sandbox/stage.h"

#include <linux/prctl.h>
#include <sys/socket.h>
#include <time.h>

typedef int stage_fn(struct ctx *ctx);

static const struct {
	const char *name;
	stage_fn *enter;
} stages[STAGE_MAX] = {
#define STAGE(name, text) [STAGE_##name] = { #name, name##_enter },
#include "sandbox/stages.def"
#undef STAGE
};

size_t str_len(const char *s)
{
	size_t n = 0;
	while (s[n])
		n++;
	return n;
}

int str_same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

size_t str_add(char *buf, size_t size, size_t len, const char *text)
{
	while (*text && len + 1 < size)
		buf[len++] = *text++;
	buf[len] = '\0';
	return len;
}

size_t str_add_num(char *buf, size_t size, size_t len, uint64_t value, unsigned base)
{
	char digits[24];
	size_t n = 0;
	do
		digits[n++] = "0123456789abcdef"[value % base];
	while ((value /= base) && n < sizeof(digits));
	while (n > 0 && len + 1 < size)
		buf[len++] = digits[--n];
	buf[len] = '\0';
	return len;
}

int stage_fail(struct ctx *ctx, long code, const char *what, const char *object)
{
	char *d = ctx->report.detail;
	size_t n = str_add(d, REPORT_DETAIL_MAX, 0, what);
	if (object && *object) {
		n = str_add(d, REPORT_DETAIL_MAX, n, " ");
		str_add(d, REPORT_DETAIL_MAX, n, object);
	}
	return (int)code;
}

long status_receive(int fd, void *data, size_t size, int *fds, uint32_t *nfds)
{
	static union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * MOUNT_SOURCES_MAX)];
	} control;
	struct iovec iov = { data, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };

	long n = sys3(__NR_recvmsg, fd, SYS_P(&msg), MSG_CMSG_CLOEXEC);
	if (n < 0)
		return n;
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return -71; /* EPROTO */
	uint32_t got = 0;
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && nfds) {
		uint32_t count = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		const int *from = (const int *)CMSG_DATA(c);
		for (; got < count && got < *nfds; got++)
			fds[got] = from[got];
	}
	if (nfds)
		*nfds = got;
	return n;
}

int status_send(struct ctx *ctx, uint32_t kind)
{
	ctx->report.magic = REPORT_MAGIC;
	ctx->report.kind = kind;
	long n = sys_call(__NR_sendto, ctx->status_fd, SYS_P(&ctx->report), sizeof(ctx->report), MSG_NOSIGNAL, 0, 0);
	return n < 0 ? (int)n : 0;
}

int proc_self(struct ctx *ctx)
{
	if (ctx->proc_fd < 0)
		ctx->proc_fd = sys_openat(AT_FDCWD, "/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	return ctx->proc_fd;
}

int write_file(int dir, const char *path, const char *text)
{
	int fd = sys_openat(dir, path, O_WRONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	size_t len = str_len(text);
	long n = sys_write(fd, text, len);
	sys_close(fd);
	return n < 0 ? (int)n : (size_t)n == len ? 0 : -5; /* EIO */
}

static void stamp(struct ctx *ctx, unsigned at)
{
	ctx->report.wall_ns[at] = sys_clock_ns(CLOCK_MONOTONIC);
	ctx->report.cpu_ns[at] = sys_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static struct ctx context; /* zeroed pages are free; a stack would have to be touched */

int sandbox_main(int argc, char **argv)
{
	struct ctx *ctx = &context;
	int first = 0;

	if (argc == 2)
		for (const char *p = argv[1]; *p >= '0' && *p <= '9' && first < 1000; p++)
			first = first * 10 + (*p - '0');
	if (first < 3) {
		static const char text[] = "fc-sandbox: started by fc-run or fc-agent, never by hand; see fcnode(7)\n";
		sys_write(2, text, sizeof(text) - 1);
		return 2;
	}
	sys_prctl(PR_SET_NAME, (unsigned long)"fc-sandbox", 0, 0, 0); /* executed by descriptor, it would be called "5" */
	for (int i = 0; i < SANDBOX_FD_MAX; i++)
		ctx->fd[i] = first + i;
	ctx->status_fd = ctx->fd[SANDBOX_FD_STATUS];
	ctx->root_fd = ctx->proc_fd = -1;

	for (int i = 0; i < STAGE_MAX; i++) {
		ctx->stage = (enum stage)i;
		ctx->report.stage = (uint32_t)i;
		stamp(ctx, (unsigned)i);
		int r = stages[i].enter(ctx);
		if (r < 0) {
			ctx->report.code = -r;
			status_send(ctx, REPORT_FAILED);
			return 1;
		}
	}
	return 1; /* the last stage does not come back */
}
