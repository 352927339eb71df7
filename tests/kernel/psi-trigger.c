/*
 * A pressure stall trigger wakes who polls it: written to a group's pressure
 * file and to the host's, the descriptor becomes ready with POLLPRI once tasks
 * have stalled for long enough. For the processor by two spinners on one of
 * them; for memory, where the memory controller is on v2, by a process over its
 * memory.high. A window of 2 s is taken from root without CAP_SYS_RESOURCE too.
 * Leaned on by: the doctor's row "pressure"; the way to notice that a node gets
 * short before anything is killed.
 */
#include "kernel-test.h"

#include <sys/mman.h>

#include "base/clock.h"
#include "host/cgroup-internal.h"

enum { WAIT_MS = 60000 };

static struct cgroup_host host;
static char leaf[64];

static int trigger(int dirfd, const char *file, const char *text)
{
	int fd = openat(dirfd, file, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == EOPNOTSUPP || errno == EPERM))
		skip("no %s: %s", file, strerror(errno)); /* CONFIG_PSI, psi=1; 6.1 lets only CAP_SYS_RESOURCE open it */
	CHECK(fd >= 0);
	ssize_t n = write(fd, text, strlen(text) + 1);
	if (n < 0 && errno == EOPNOTSUPP)
		skip("pressure is switched off (boot with psi=1)");
	CHECK(n > 0);
	return fd;
}

static void wait_for(const char *what, int group_fd, int host_fd)
{
	struct pollfd p[2] = { { .fd = group_fd, .events = POLLPRI }, { .fd = host_fd, .events = POLLPRI } };
	bool seen[2] = { false, false };
	int64_t deadline = clock_mono_ns() + (int64_t)WAIT_MS * 1000000;
	while (!seen[0] || !seen[1]) {
		int64_t left = (deadline - clock_mono_ns()) / 1000000;
		CHECK(left > 0 && poll(p, 2, (int)left) > 0);
		for (int i = 0; i < 2; i++) {
			CHECK(!(p[i].revents & POLLERR));
			if (p[i].revents & POLLPRI) {
				seen[i] = true;
				p[i].fd = -1;
			}
		}
	}
	fprintf(stderr, "%s: both triggers fired\n", what);
	close(group_fd);
	close(host_fd);
}

static void on_cpu(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	CHECK(sched_setaffinity(0, sizeof(set), &set) == 0);
}

static void make(struct spec *s, struct cgroup *cg)
{
	struct err err = ERR_INIT;
	if (cgroup_make(&host, leaf, s, cg, &err) < 0) {
		fprintf(stderr, "%s (%s)\n", err.text, err.hint);
		exit(1);
	}
}

static void end(struct cgroup *cg, pid_t *pids, int n)
{
	CHECK(cgroup_kill(cg) == 0);
	for (int i = 0; i < n; i++)
		reap(pids[i]);
	CHECK(cgroup_remove(cg, 5000) == 0);
	cgroup_fini(cg);
}

static void test_cpu(void)
{
	struct spec s;
	struct cgroup cg;
	struct err err = ERR_INIT;
	pid_t pids[2];
	memset(&s, 0, sizeof(s));
	make(&s, &cg);
	int group = trigger(cg.v2_fd, "cpu.pressure", "some 100000 2000000");
	int whole = trigger(AT_FDCWD, "/proc/pressure/cpu", "some 100000 2000000");
	struct step go = step_new();
	int cpu = sched_getcpu();
	for (int i = 0; i < 2; i++) {
		pids[i] = fork();
		CHECK(pids[i] >= 0);
		if (pids[i])
			continue;
		step_wait(&go);
		on_cpu(cpu);
		for (;;)
			__asm__ volatile("" ::: "memory");
	}
	for (int i = 0; i < 2; i++)
		CHECK(cgroup_move(&cg, pids[i], &err) == 0);
	for (int i = 0; i < 2; i++)
		step_say(&go);
	wait_for("cpu", group, whole);
	end(&cg, pids, 2);
}

/* Over memory.high, without swap: every further page is reclaimed for in vain, and made to wait. */
static void test_memory(void)
{
	struct {
		struct spec s;
		struct spec_cgroup_file file;
		char text[32];
	} b;
	struct cgroup cg;
	struct err err = ERR_INIT;
	memset(&b, 0, sizeof(b));
	memcpy(b.text + 1, "memory.high\0" "8388608\0", 20);
	b.s.cgroup.memory_bytes = 512 << 20;
	b.s.cgroup.flags = SPEC_CG_SWAP;
	b.s.section[SPEC_SECT_CGROUP_FILE] = (struct spec_span){ offsetof(__typeof__(b), file), 1 };
	b.s.strings = (struct spec_span){ offsetof(__typeof__(b), text), sizeof(b.text) };
	b.file = (struct spec_cgroup_file){ 1, 13 };
	make(&b.s, &cg);
	int group = trigger(cg.v2_fd, "memory.pressure", "some 100000 2000000");
	int whole = trigger(AT_FDCWD, "/proc/pressure/memory", "some 100000 2000000");
	struct step go = step_new();
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		step_wait(&go);
		for (;;) {
			char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			CHECK(p != MAP_FAILED);
			memset(p, 1, 1 << 20);
		}
	}
	CHECK(cgroup_move(&cg, pid, &err) == 0);
	step_say(&go);
	wait_for("memory", group, whole);
	end(&cg, &pid, 1);
}

int main(void)
{
	struct err err = ERR_INIT;
	need_root();
	CHECK(cgroup_host_init(&host, NULL, &err) == 0);
	if (!host.writable)
		skip("no usable cgroups: %s", host.why);
	snprintf(leaf, sizeof(leaf), "kernel-%d", (int)getpid());
	test_cpu();
	if (host.mode == CGROUP_UNIFIED && host.have[CGROUP_memory])
		test_memory();
	cgroup_host_fini(&host);
	return 0;
}
