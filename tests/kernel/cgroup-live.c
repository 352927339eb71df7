/*
 * The whole of host/cgroup on the host's real hierarchies: groups are made,
 * limits hold, a child is killed, frozen, throttled and driven out of memory,
 * the level whose limit fired is named, leftovers are swept, nothing stays.
 * Everything is below fcnode/selftest-<pid>.
 */
#include "cgroup-test.h"

#include "base/clock.h"

static void touch_16m(void) { touch(16u << 20); }
static void touch_96m(void) { touch(96u << 20); }

static void test_counts(void)
{
	struct cgroup cg;
	struct cgroup_usage u;
	struct spec s = limits(64 << 20, 0, 16);
	OK(cgroup_make(&host, name("f/count"), &s, &cg, err));
	struct err e = ERR_INIT;
	struct cgroup twice;
	CHECK(cgroup_make(&host, name("f/count"), &s, &twice, &e) == -EEXIST);
	pid_t pid = spawn(&cg, touch_16m, NULL);
	CHECK(reap(pid) == 0);
	bool populated = true;
	CHECK(cgroup_populated(&cg, &populated) == 0 && !populated);
	CHECK(cgroup_usage(&cg, &u) == 0);
	CHECK(u.have_cpu && u.cpu_us > 0 && u.have_memory && u.have_peak && u.have_oom);
	CHECK(u.memory_peak_bytes >= 16u << 20 && u.memory_peak_bytes <= 64u << 20);
	CHECK(u.oom_kills == 0);
	finish(&cg);
}

static void test_kill(void)
{
	struct cgroup cg;
	struct spec s = limits(0, 0, 0);
	int pidfd;
	pid_t pids[4];
	OK(cgroup_make(&host, name("kill"), &s, &cg, err));
	pid_t pid = spawn(&cg, block, &pidfd);
	CHECK(cgroup_pids(&cg, pids, 4) == 1 && pids[0] == pid);
	CHECK(cgroup_remove(&cg, 0) == -EBUSY);
	OK(cgroup_freeze(&cg, true, 2000, err));
	CHECK(cgroup_kill(&cg) == 0); /* frozen: the v2 freezer lets SIGKILL through */
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	CHECK(poll(&p, 1, 5000) == 1);
	int status = reap(pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close(pidfd);
	finish(&cg);
}

static void test_freeze(void)
{
	struct cgroup cg;
	struct spec s = limits(0, 0, 0);
	struct cgroup_usage a, b;
	OK(cgroup_make(&host, name("freeze"), &s, &cg, err));
	pid_t pid = spawn(&cg, spin, NULL);
	for (int i = 0; i < 3; i++) {
		OK(cgroup_freeze(&cg, true, 2000, err));
		/* The last slices may be booked late, the later the slower the machine; a frozen group comes to stand still. */
		int reads = 0;
		do {
			CHECK(cgroup_usage(&cg, &a) == 0);
			usleep(30000);
			CHECK(cgroup_usage(&cg, &b) == 0);
		} while (b.cpu_us != a.cpu_us && ++reads < 20);
		CHECK(b.cpu_us == a.cpu_us);
		OK(cgroup_freeze(&cg, false, 2000, err));
	}
	CHECK(cgroup_signal(&cg, SIGTERM) == 0);
	int status = reap(pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	finish(&cg);
}

/* leaf: its own limit fires; else the limit of the level above. */
static void test_oom(bool leaf)
{
	struct cgroup cg;
	struct cgroup_oom_mark mark;
	struct spec s = limits(leaf ? 32 << 20 : 0, 0, 0);
	if (!leaf) {
		struct spec inner = limits(32 << 20, 0, 0);
		OK(cgroup_limit(&host, name("tenant"), &inner.cgroup, err));
	}
	OK(cgroup_make(&host, name("tenant/f/oom"), &s, &cg, err));
	cgroup_oom_mark(&cg, &mark);
	int status = reap(spawn(&cg, touch_96m, NULL));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	int level = cgroup_oom_level(&cg, &mark);
	fprintf(stderr, "out of memory at level %d\n", level);
	CHECK(level == (leaf ? 0 : 2));
	finish(&cg);
	if (!leaf) {
		/* a pinned level outlives its last leaf, and its limit with it */
		struct cgroup tenant;
		OK(cgroup_open(&host, name("tenant"), &tenant, err));
		cgroup_fini(&tenant);
		CHECK(cgroup_release(&host, name("tenant")) == 0);
		gone(&host, name("tenant"));
	}
}

static void test_no_oom(void)
{
	struct cgroup cg;
	struct cgroup_oom_mark mark;
	struct spec s = limits(64 << 20, 0, 0);
	OK(cgroup_make(&host, name("fine"), &s, &cg, err));
	cgroup_oom_mark(&cg, &mark);
	CHECK(reap(spawn(&cg, touch_16m, NULL)) == 0);
	CHECK(cgroup_oom_level(&cg, &mark) == CGROUP_OOM_NONE);
	finish(&cg);
}

static void test_pids(void)
{
	struct cgroup cg;
	struct spec s = limits(0, 0, 8);
	OK(cgroup_make(&host, name("pids"), &s, &cg, err));
	int status = reap(spawn(&cg, fork_many, NULL));
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 40 + 7);
	CHECK(cgroup_kill(&cg) == 0);
	/* the orphans are init's to reap: removal waits for "populated 0" */
	finish(&cg);
}

static void test_cpu(void)
{
	struct cgroup cg;
	struct cgroup_usage u;
	struct spec s = limits(0, 20000, 0);
	OK(cgroup_make(&host, name("cpu"), &s, &cg, err));
	pid_t pid = spawn(&cg, spin, NULL);
	usleep(600000);
	CHECK(cgroup_usage(&cg, &u) == 0);
	fprintf(stderr, "quota 20 %% for 600 ms: %llu us used, %llu us throttled\n", (unsigned long long)u.cpu_us,
		(unsigned long long)u.throttled_us);
	CHECK(u.cpu_us < 200000 && u.throttled_us > 100000);
	struct spec more = limits(0, 100000, 0);
	OK(cgroup_update(&cg, &more, err));
	CHECK(cgroup_kill(&cg) == 0);
	reap(pid);
	finish(&cg);
}

static void test_update(void)
{
	struct cgroup cg;
	struct spec s = limits(32 << 20, 0, 0), more = limits(128 << 20, 0, 0), less = limits(24 << 20, 0, 0);
	OK(cgroup_make(&host, name("update"), &s, &cg, err));
	OK(cgroup_update(&cg, &more, err));
	CHECK(reap(spawn(&cg, touch_96m, NULL)) == 0);
	OK(cgroup_update(&cg, &less, err));
	finish(&cg);

	/* a kind of limit that the group did not have yet takes its processes in */
	struct spec none = limits(0, 0, 0), pids = limits(0, 0, 5);
	OK(cgroup_make(&host, name("update2"), &none, &cg, err));
	struct step go = step_new();
	pid_t pid = spawn(&cg, block, NULL), forker = spawn(&cg, NULL, NULL);
	if (forker == 0) {
		step_wait(&go);
		fork_many();
	}
	OK(cgroup_update(&cg, &pids, err));
	step_say(&go);
	int status = reap(forker);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 40 + 3);
	CHECK(cgroup_kill(&cg) == 0);
	reap(pid);
	finish(&cg);
}

/* The cap of a level counts leaves that have no limit of that kind themselves. */
static void test_cap_above(void)
{
	struct cgroup cg;
	struct spec cap = limits(0, 0, 6), none = limits(0, 0, 0);
	OK(cgroup_limit(&host, name("capped"), &cap.cgroup, err));
	OK(cgroup_make(&host, name("capped/leaf"), &none, &cg, err));
	int status = reap(spawn(&cg, fork_many, NULL));
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 40 + 5);
	CHECK(cgroup_kill(&cg) == 0);
	finish(&cg);
	CHECK(cgroup_release(&host, name("capped")) == 0);
}

/* Several launchers make and remove the same levels above their leaves at the same time. */
static void test_concurrent(void)
{
	enum { LAUNCHERS = 4, ROUNDS = 40 };
	pid_t pids[LAUNCHERS];
	struct spec s = limits(32 << 20, 50000, 8);
	for (int i = 0; i < LAUNCHERS; i++) {
		pids[i] = fork();
		CHECK(pids[i] >= 0);
		if (pids[i])
			continue;
		for (int n = 0; n < ROUNDS; n++) {
			char leaf[64];
			struct cgroup cg;
			snprintf(leaf, sizeof(leaf), "shared/f/%d-%d", i, n);
			OK(cgroup_make(&host, name(leaf), &s, &cg, err));
			CHECK(cgroup_remove(&cg, 0) == 0);
			cgroup_fini(&cg);
		}
		_exit(0);
	}
	for (int i = 0; i < LAUNCHERS; i++)
		reap_ok(pids[i]);
	gone(&host, name("shared"));
}

static int seen;
static bool ours(const char *path, void *arg)
{
	(void)arg;
	size_t n = strlen(top);
	bool mine = strncmp(path, top, n) == 0 && path[n] == '/';
	seen += mine;
	return mine;
}

/* As after a crash: a live process in one group, an empty group, one only in v1. */
static void test_sweep(void)
{
	struct cgroup a, b;
	struct spec s = limits(32 << 20, 0, 4);
	OK(cgroup_make(&host, name("left/a"), &s, &a, err));
	OK(cgroup_make(&host, name("left/b"), &s, &b, err));
	pid_t pid = spawn(&a, block, NULL);
	OK(cgroup_freeze(&a, true, 1000, err));
	if (host.v1_fd[CGROUP_pids] >= 0) {
		char rel[CGROUP_REL_MAX];
		cgroup_rel(&host, rel, name("only"), "");
		CHECK(mkdirat(host.v1_fd[CGROUP_pids], rel, 0755) == 0);
	}
	cgroup_fini(&a);
	cgroup_fini(&b);
	struct err e = ERR_INIT;
	int n = cgroup_sweep(&host, ours, NULL, &e);
	if (n < 0)
		fprintf(stderr, "%s\n", e.text);
	CHECK(n == (host.v1_fd[CGROUP_pids] >= 0 ? 3 : 2) && seen == n);
	CHECK(WTERMSIG(reap(pid)) == SIGKILL);
	gone(&host, top);
}

static void test_refused(void)
{
	struct err e = ERR_INIT;
	struct cgroup cg;
	struct spec s = limits(1 << 20, 0, 0);
	CHECK(cgroup_make(&host, "../escape", &s, &cg, &e) == -EINVAL);
	CHECK(cgroup_open(&host, name("nothing"), &cg, &e) == -ENOENT);
	/* a value that the kernel refuses leaves no group */
	s = limits(0, 1, 0);
	CHECK(cgroup_make(&host, name("bad"), &s, &cg, &e) == -EINVAL);
	CHECK(strstr(e.text, "controller cpu"));
	gone(&host, name("bad"));
}

static void test_devices(void)
{
	struct {
		struct spec s;
		struct spec_device d[2];
	} b;
	struct cgroup cg;
	memset(&b, 0, sizeof(b));
	b.s.flags = 1u << SPEC_F_DENY_DEVICES;
	b.s.section[SPEC_SECT_DEVICE] = (struct spec_span){ offsetof(__typeof__(b), d), 2 };
	b.d[0] = (struct spec_device){ 'c', 1, 1, 3, 7 };  /* /dev/null */
	b.d[1] = (struct spec_device){ 'c', 1, 1, 5, 1 };  /* /dev/zero, read only */
	OK(cgroup_make(&host, name("devices"), &b.s, &cg, err));
	extern void open_devices(void);
	CHECK(reap(spawn(&cg, open_devices, NULL)) == 0);
	finish(&cg);
}

void open_devices(void);
void open_devices(void)
{
	CHECK(open("/dev/null", O_RDWR) >= 0);
	CHECK(open("/dev/zero", O_RDONLY) >= 0);
	CHECK(open("/dev/zero", O_RDWR) < 0 && errno == EPERM);
	CHECK(open("/dev/urandom", O_RDONLY) < 0 && errno == EPERM);
}

static void speed(void)
{
	enum { N = 200 };
	int64_t t[N];
	struct spec s = limits(128 << 20, 50000, 64);
	struct cgroup keep, cg;
	OK(cgroup_make(&host, name("f/keep"), &s, &keep, err)); /* the levels above stay */
	for (int i = 0; i < N; i++) {
		int64_t begin = clock_mono_ns();
		OK(cgroup_make(&host, name("f/x"), &s, &cg, err));
		int64_t made = clock_mono_ns();
		CHECK(cgroup_remove(&cg, 0) == 0);
		t[i] = clock_mono_ns() - begin;
		if (i == N - 1)
			fprintf(stderr, "the last: make %lld us of %lld us\n", (long long)(made - begin) / 1000,
				(long long)t[i] / 1000);
		cgroup_fini(&cg);
	}
	for (int i = 1; i < N; i++) /* insertion sort */
		for (int j = i; j > 0 && t[j] < t[j - 1]; j--) {
			int64_t x = t[j];
			t[j] = t[j - 1];
			t[j - 1] = x;
		}
	fprintf(stderr, "leaf with memory, cpu and pids limits: make and remove p50 %lld us, p99 %lld us of %d\n",
		(long long)t[N / 2] / 1000, (long long)t[N * 99 / 100] / 1000, N);
	finish(&keep);
}

int main(void)
{
	need_root();
	struct err err = ERR_INIT;
	CHECK(cgroup_host_init(&host, NULL, &err) == 0);
	if (host.mode == CGROUP_NONE || !host.writable)
		skip("no usable cgroups: %s", host.why);
	for (int c = CGROUP_memory; c <= CGROUP_cpu; c++)
		if (!host.have[c])
			skip("no %s controller", cgroup_controller_name(c));
	snprintf(top, sizeof(top), "selftest-%d", (int)getpid());
	fprintf(stderr, "mode %s, below %s\n", cgroup_mode_name(host.mode), host.v2_path);
	test_refused();
	test_counts();
	test_kill();
	test_freeze();
	test_no_oom();
	test_oom(true);
	test_oom(false);
	test_pids();
	test_cpu();
	test_update();
	test_cap_above();
	test_devices();
	test_concurrent();
	test_sweep();
	speed();
	gone(&host, top);
	cgroup_host_fini(&host);
	return 0;
}
