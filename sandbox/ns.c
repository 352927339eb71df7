/*
 * ns - the namespaces, from the inside.
 *
 * The launcher's clone made user, pid, mnt, net, ipc and uts (or joined them).
 * Should: what needs no ids yet (names), then wait for the launcher's go, which
 * says that id maps are written and the cgroup is joined; take the setup ids;
 * make the cgroup namespace (only now, since it shows the group one is in) and
 * the time namespace; bring lo up; set namespaced sysctls.
 * Mustn't yet: mount anything; drop anything.
 */
#include "sandbox/stage.h"

#include <linux/if.h>
#include <linux/sockios.h>
#include <time.h>
#include <sys/socket.h>

static int set_names(struct ctx *ctx)
{
	const struct spec *s = ctx->spec;
	const char *host = spec_text(s, s->hostname), *domain = spec_text(s, s->domainname);
	int r = 0;
	if (*host)
		r = (int)sys2(__NR_sethostname, SYS_P(host), str_len(host));
	if (r < 0)
		return stage_fail(ctx, r, "sethostname", host);
	if (*domain)
		r = (int)sys2(__NR_setdomainname, SYS_P(domain), str_len(domain));
	return r < 0 ? stage_fail(ctx, r, "setdomainname", domain) : 0;
}

/* Descriptors come without gaps; put each at its tree's index. */
static int place_trees(struct ctx *ctx, const struct go *go, uint32_t got)
{
	int received[MOUNT_SOURCES_MAX];
	uint32_t next = 0;
	for (uint32_t i = 0; i < got; i++)
		received[i] = ctx->tree[i];
	for (uint32_t i = 0; i < go->trees; i++) {
		int missing = (int)(go->missing[i / 64] >> (i % 64)) & 1;
		if (!missing && next == got)
			return -71; /* EPROTO */
		ctx->tree[i] = missing ? -2 /* ENOENT */ : received[next++];
	}
	ctx->trees = go->trees;
	return next == got ? 0 : -71;
}

static int wait_go(struct ctx *ctx)
{
	struct go go;
	uint32_t got = MOUNT_SOURCES_MAX, trees;
	spec_section(ctx->spec, SPEC_SECT_TREE, &trees);
	long n = status_receive(ctx->status_fd, &go, sizeof(go), ctx->tree, &got);
	if (n < 0)
		return stage_fail(ctx, n, "wait for the launcher", "");
	if (n == 0)
		sys_exit_group(1); /* the launcher is gone: nobody to tell */
	int r = n != sizeof(go) || go.magic != GO_MAGIC || (go.trees && go.trees != trees) ? -71 : place_trees(ctx, &go, got);
	return r < 0 ? stage_fail(ctx, r, "the launcher's go message", "") : 0;
}

/* Ids that own what the mounts stage makes. Unmapped ids could create nothing (EOVERFLOW). */
static int take_setup_ids(struct ctx *ctx)
{
	const struct spec *s = ctx->spec;
	if (!spec_new_ns(s, SPEC_NS_USER))
		return 0;
	int r = (int)sys3(__NR_setresgid, s->setup_gid, s->setup_gid, s->setup_gid);
	if (r == 0)
		r = (int)sys3(__NR_setresuid, s->setup_uid, s->setup_uid, s->setup_uid);
	return r < 0 ? stage_fail(ctx, r, "take the setup ids", "") : 0;
}

static int loopback_up(struct ctx *ctx)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	int fd = (int)sys3(__NR_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return stage_fail(ctx, fd, "socket for lo", "");
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	int r = (int)sys3(__NR_ioctl, fd, SIOCSIFFLAGS, SYS_P(&ifr));
	sys_close(fd);
	return r < 0 ? stage_fail(ctx, r, "bring up lo", "") : 0;
}

static size_t add_offset(char *buf, size_t size, size_t n, const char *clock, int64_t ns)
{
	uint64_t abs = ns < 0 ? (uint64_t)-ns : (uint64_t)ns;
	uint64_t sec = abs / 1000000000u, nsec = abs % 1000000000u;
	if (ns < 0 && nsec) { /* the kernel wants 0 <= nsec: -1.5 s is -2 s + 0.5 s */
		sec++;
		nsec = 1000000000u - nsec;
	}
	n = str_add(buf, size, n, clock);
	n = str_add(buf, size, n, ns < 0 ? " -" : " ");
	n = str_add_num(buf, size, n, sec, 10);
	n = str_add(buf, size, n, " ");
	n = str_add_num(buf, size, n, nsec, 10);
	return str_add(buf, size, n, "\n");
}

/*
 * time_namespaces(7): offsets may be set until the first process enters. We enter
 * it ourselves: before 6.2 execve did not, and a process whose children are to be
 * in another one could not clone with CLONE_VM, as PID 1 starts its payload.
 */
static int time_namespace(struct ctx *ctx)
{
	const struct spec *s = ctx->spec;
	char text[128];
	int r = sys_unshare(CLONE_NEWTIME);
	if (r < 0)
		return stage_fail(ctx, r, "unshare time", "");
	size_t n = add_offset(text, sizeof(text), 0, "monotonic", s->time_offset_mono_ns);
	add_offset(text, sizeof(text), n, "boottime", s->time_offset_boot_ns);
	r = proc_self(ctx);
	if (r >= 0)
		r = write_file(ctx->proc_fd, "timens_offsets", text);
	if (r < 0)
		return stage_fail(ctx, r, "write", "/proc/self/timens_offsets");
	int fd = sys_openat(ctx->proc_fd, "ns/time_for_children", O_RDONLY | O_CLOEXEC, 0);
	r = fd < 0 ? fd : sys_setns(fd, CLONE_NEWTIME);
	if (fd >= 0)
		sys_close(fd);
	return r < 0 ? stage_fail(ctx, r, "enter", "the new time namespace") : 0;
}

/* Through the host's /proc, which shows the namespaces of the one who opens it. */
static int set_sysctls(struct ctx *ctx)
{
	uint32_t count;
	spec_section(ctx->spec, SPEC_SECT_SYSCTL, &count);
	if (count == 0)
		return 0;
	int dir = sys_openat(AT_FDCWD, "/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (dir < 0)
		return stage_fail(ctx, dir, "open", "/proc/sys");
	SPEC_EACH(ctx->spec, SYSCTL, struct spec_sysctl, c) {
		const char *path = spec_text(ctx->spec, c->path);
		int fd = sys_open_in_root(dir, path, O_WRONLY | O_CLOEXEC, 0);
		const char *value = spec_text(ctx->spec, c->value);
		long r = fd < 0 ? fd : sys_write(fd, value, str_len(value));
		if (r < 0)
			return stage_fail(ctx, r, "sysctl", path);
		sys_close(fd);
	}
	sys_close(dir);
	return 0;
}

int ns_enter(struct ctx *ctx)
{
	const struct spec *s = ctx->spec;
	int r = set_names(ctx);
	if (r == 0)
		r = wait_go(ctx);
	if (r == 0)
		r = take_setup_ids(ctx);
	if (r < 0)
		return r;
	if (spec_new_ns(s, SPEC_NS_CGROUP)) {
		r = sys_unshare(CLONE_NEWCGROUP);
		if (r < 0)
			return stage_fail(ctx, r, "unshare cgroup", "");
	}
	if (spec_new_ns(s, SPEC_NS_TIME))
		r = time_namespace(ctx);
	if (r == 0 && spec_has(s, SPEC_F_LOOPBACK) && spec_has(s, SPEC_F_NET_OWN))
		r = loopback_up(ctx);
	if (r == 0)
		r = set_sysctls(ctx);
	return r;
}
