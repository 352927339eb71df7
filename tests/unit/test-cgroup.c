/* cgroup: what may be a path, the translation of limits into kernel files, the
 * parsers, and both backends on a tree of plain files. tests/kernel/cgroup-live
 * does the same on real hierarchies. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "host/cgroup-internal.h"

/* ---- pure parts ------------------------------------------------------- */

static void paths(void **unused)
{
	(void)unused;
	static const char *const good[] = { "a", "tenant/function/instance", "oci/a.b", "_x/-y", "1", "memory", "a/b/c/d/e/f/g/h" };
	static const char *const bad[] = { "",	    "/",     "/a",	   "a/",       "a//b",		 "..",		"a/../b",
					   ".hid",  "a/.",   "a b",	   "a\nb",     "cgroup.procs",	 "a/memory.max", "tasks",
					   "a\\b",  "a\177", "release_agent", "x/cpu.max", "a/b/c/d/e/f/g/h/i" };
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_int_equal(cgroup_path_check(good[i], NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err e = ERR_INIT;
		assert_int_equal(cgroup_path_check(bad[i], &e), -EINVAL);
		assert_true(*e.text);
	}
	char longest[CGROUP_PATH_MAX + 1];
	memset(longest, 'a', sizeof(longest));
	longest[CGROUP_PATH_MAX] = '\0';
	assert_int_equal(cgroup_path_check(longest, NULL), -EINVAL);
	longest[CGROUP_PATH_MAX - 1] = '\0';
	assert_int_equal(cgroup_path_check(longest, NULL), 0);

	char path[] = "a/b/c";
	assert_int_equal(cgroup_path_levels(path), 3);
	assert_true(cgroup_path_up(path));
	assert_string_equal(path, "a/b");
	assert_true(cgroup_path_up(path));
	assert_false(cgroup_path_up(path));
	assert_string_equal(path, "a");
}

static void relative_names(void **unused)
{
	(void)unused;
	char rel[CGROUP_REL_MAX];
	struct cgroup_host h = { .top = false }, top = { .top = true };
	cgroup_rel(&h, rel, "a/b", "memory.max");
	assert_string_equal(rel, "fcnode/a/b/memory.max");
	cgroup_rel(&h, rel, "", "");
	assert_string_equal(rel, "fcnode");
	cgroup_rel(&h, rel, "", "cgroup.procs");
	assert_string_equal(rel, "fcnode/cgroup.procs");
	cgroup_rel(&top, rel, "a/b", "memory.max");
	assert_string_equal(rel, "a/b/memory.max");
	cgroup_rel(&top, rel, "", "cgroup.procs");
	assert_string_equal(rel, "cgroup.procs");
}

static void mountinfo(void **unused)
{
	(void)unused;
	struct cgroup_mount m;
	char v2[] = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:5 master:1 - cgroup2 cgroup2 rw,nsdelegate";
	char v1[] = "33 31 0:30 /docker/x /sys/fs/cgroup/cpu\\040acct rw - cgroup cgroup rw,cpu,cpuacct";
	char io[] = "33 31 0:30 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio";
	char named[] = "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd";
	char other[] = "23 28 0:22 / /sys rw shared:7 - sysfs sysfs rw";
	char bad[] = "41 31 0:38";
	char short_[] = "41 31 - cgroup2 cgroup2 rw";

	assert_int_equal(cgroup_mountinfo_line(v2, &m), 1);
	assert_true(m.v2);
	assert_string_equal(m.point, "/sys/fs/cgroup/unified");
	assert_string_equal(m.root, "/");
	assert_int_equal(cgroup_mountinfo_line(v1, &m), 1);
	assert_false(m.v2);
	assert_string_equal(m.point, "/sys/fs/cgroup/cpu acct");
	assert_string_equal(m.root, "/docker/x");
	assert_int_equal(m.controllers, 1u << CGROUP_cpu);
	assert_int_equal(cgroup_mountinfo_line(io, &m), 1);
	assert_int_equal(m.controllers, 1u << CGROUP_io);
	assert_int_equal(cgroup_mountinfo_line(named, &m), 1);
	assert_int_equal(m.controllers, 0);
	assert_int_equal(cgroup_mountinfo_line(other, &m), 0);
	assert_int_equal(cgroup_mountinfo_line(bad, &m), 0);
	assert_int_equal(cgroup_mountinfo_line(short_, &m), 0);
	assert_int_equal(cgroup_controller_mask("cpuset cpu io memory hugetlb pids rdma misc\n"), (1u << CGROUP_CONTROLLER_MAX) - 1);
	assert_int_equal(cgroup_controller_mask("\n"), 0);
}

static void counters(void **unused)
{
	(void)unused;
	uint64_t v = 7;
	static const char events[] = "low 0\noom 3\noom_kill 12\noom_group_kill 0\n";
	assert_true(cgroup_stat_get(events, "oom", &v));
	assert_int_equal(v, 3);
	assert_true(cgroup_stat_get(events, "oom_kill", &v));
	assert_int_equal(v, 12);
	assert_false(cgroup_stat_get(events, "oom_k", &v));
	assert_false(cgroup_stat_get("oom x\n", "oom", &v));
	assert_false(cgroup_stat_get("", "oom", &v));
	assert_int_equal(v, 12);
	static const char io[] = "8:0 rbytes=100 wbytes=5 rios=1 dbytes=9\n259:0 rbytes=11 wbytes=6\n";
	assert_int_equal(cgroup_keyed_sum(io, "rbytes"), 111);
	assert_int_equal(cgroup_keyed_sum(io, "wbytes"), 11);
	assert_int_equal(cgroup_keyed_sum(io, "bytes"), 0);
	static const char blkio[] = "8:0 Read 4096\n8:0 Write 10\n8:0 Sync 1\n253:1 Read 4\nTotal 4110\n";
	assert_int_equal(cgroup_blkio_sum(blkio, "Read"), 4100);
	assert_int_equal(cgroup_blkio_sum(blkio, "Write"), 10);
	assert_int_equal(cgroup_blkio_sum("Total 0\n", "Read"), 0);
}

static void blame(void **unused)
{
	(void)unused;
	const uint64_t before[] = { 0, 5, 9 }, same[] = { 0, 5, 9 }, leaf[] = { 1, 5, 9 }, tenant[] = { 0, 5, 10 },
		       both[] = { 2, 5, 10 };
	assert_int_equal(cgroup_oom_blame(before, leaf, 3, 0), CGROUP_OOM_NONE);
	assert_int_equal(cgroup_oom_blame(before, same, 3, 1), CGROUP_OOM_HOST);
	assert_int_equal(cgroup_oom_blame(before, leaf, 3, 1), 0);
	assert_int_equal(cgroup_oom_blame(before, tenant, 3, 1), 2);
	assert_int_equal(cgroup_oom_blame(before, both, 3, 1), 0);
}

/* ---- limits as data --------------------------------------------------- */

struct spec_box {
	struct spec s;
	struct spec_io io[2];
	struct spec_cgroup_file file[1];
	char text[64];
};

static void box_init(struct spec_box *b)
{
	memset(b, 0, sizeof(*b));
	b->s.strings = (struct spec_span){ offsetof(struct spec_box, text), sizeof(b->text) };
	memcpy(b->text, "\0000-1\0000\0memory.min\0004096", 22);
}

enum { TEXT_CPUS = 1, TEXT_MEMS = 5, TEXT_FILE = 7, TEXT_VALUE = 18 };

/* All writes as lines. */
static int record(void *arg, enum cgroup_controller c, const char *file, const char *value)
{
	char *text = arg;
	size_t n = strlen(text);
	snprintf(text + n, 2048 - n, "%s %s=%s\n", cgroup_controller_name(c), file, value);
	return 0;
}

static int refuse(void *arg, enum cgroup_controller c, const char *file, const char *value)
{
	(void)c;
	(void)file;
	(void)value;
	return ++*(int *)arg == 3 ? -EINVAL : 0;
}

static void full_wish(struct spec_box *b)
{
	box_init(b);
	b->s.cgroup = (struct spec_cgroup){
		.memory_bytes = 1 << 20, .memory_low_bytes = 4096, .swap_bytes = 8192, .cpu_quota_us = 50000,
		.cpu_period_us = 100000, .cpu_burst_us = 1000, .cpu_weight = 200, .pids = 64, .io_weight = 50,
		.cpuset_cpus = TEXT_CPUS, .cpuset_mems = TEXT_MEMS,
		.flags = SPEC_CG_SWAP | SPEC_CG_OOM_GROUP | SPEC_CG_CPU_IDLE,
	};
	b->s.section[SPEC_SECT_IO] = (struct spec_span){ offsetof(struct spec_box, io), 2 };
	b->io[0] = (struct spec_io){ 8, 0, 1000, 0, 0, UINT64_MAX };
	b->io[1] = (struct spec_io){ 253, 1, 0, 7, 8, 0 };
}

static void unified_limits(void **unused)
{
	(void)unused;
	struct spec_box b;
	char text[2048] = "";
	full_wish(&b);
	struct cgroup_wish w = { &b.s.cgroup, &b.s };
	assert_int_equal(cgroup_unified_limits(&w, true, record, text), 0);
	assert_string_equal(text, "memory memory.low=4096\n"
				  "memory memory.max=1048576\n"
				  "memory memory.swap.max=8192\n"
				  "memory memory.oom.group=1\n"
				  "cpu cpu.max=50000 100000\n"
				  "cpu cpu.max.burst=1000\n"
				  "cpu cpu.weight=200\n"
				  "cpu cpu.idle=1\n"
				  "pids pids.max=64\n"
				  "io io.weight=default 50\n"
				  "cpuset cpuset.cpus=0-1\n"
				  "cpuset cpuset.mems=0\n"
				  "io io.max=8:0 rbps=1000 wiops=max\n"
				  "io io.max=253:1 wbps=7 riops=8\n");
}

static void hybrid_limits(void **unused)
{
	(void)unused;
	struct spec_box b;
	char text[2048] = "";
	full_wish(&b);
	struct cgroup_wish w = { &b.s.cgroup, &b.s };
	assert_int_equal(cgroup_hybrid_limits(&w, true, false, record, text), 0);
	assert_string_equal(text, "memory memory.limit_in_bytes=1048576\n"
				  "memory memory.memsw.limit_in_bytes=1060864\n"
				  "memory memory.soft_limit_in_bytes=4096\n"
				  "cpu cpu.cfs_quota_us=50000\n"
				  "cpu cpu.cfs_burst_us=1000\n"
				  "cpu cpu.shares=2048\n"
				  "cpu cpu.idle=1\n"
				  "pids pids.max=64\n"
				  "io blkio.bfq.weight=50\n"
				  "cpuset cpuset.cpus=0-1\n"
				  "cpuset cpuset.mems=0\n"
				  "io blkio.throttle.read_bps_device=8:0 1000\n"
				  "io blkio.throttle.write_iops_device=8:0 0\n"
				  "io blkio.throttle.write_bps_device=253:1 7\n"
				  "io blkio.throttle.read_iops_device=253:1 8\n");
}

static void limit_edges(void **unused)
{
	(void)unused;
	struct spec_cgroup none = { 0 }, lift = { .memory_bytes = UINT64_MAX, .cpu_quota_us = UINT64_MAX, .pids = UINT64_MAX,
						  .flags = SPEC_CG_SWAP };
	struct cgroup_wish w = { &none, NULL };
	char text[2048] = "";
	assert_int_equal(cgroup_unified_limits(&w, true, record, text), 0);
	assert_int_equal(cgroup_hybrid_limits(&w, true, false, record, text), 0);
	assert_string_equal(text, "");
	assert_int_equal(cgroup_wish_controllers(&w), 0);

	w.limits = &lift;
	assert_int_equal(cgroup_wish_controllers(&w), 1u << CGROUP_memory | 1u << CGROUP_cpu | 1u << CGROUP_pids);
	cgroup_unified_limits(&w, false, record, text);
	assert_string_equal(text, "memory memory.max=max\nmemory memory.swap.max=0\ncpu cpu.max=max 100000\npids pids.max=max\n");
	text[0] = '\0';
	/* a limit that grows: the sum first, or the kernel refuses */
	cgroup_hybrid_limits(&w, false, true, record, text);
	assert_string_equal(text, "memory memory.memsw.limit_in_bytes=-1\nmemory memory.limit_in_bytes=-1\n"
				  "cpu cpu.cfs_quota_us=-1\npids pids.max=max\n");
	/* the first refusal ends it */
	struct spec_box b;
	int calls = 0;
	full_wish(&b);
	w = (struct cgroup_wish){ &b.s.cgroup, &b.s };
	assert_int_equal(cgroup_unified_limits(&w, true, refuse, &calls), -EINVAL);
	assert_int_equal(calls, 3);
	calls = 0;
	assert_int_equal(cgroup_hybrid_limits(&w, true, false, refuse, &calls), -EINVAL);
	assert_int_equal(calls, 3);
	assert_int_equal(cgroup_wish_controllers(&w), 1u << CGROUP_memory | 1u << CGROUP_cpu | 1u << CGROUP_pids |
							      1u << CGROUP_io | 1u << CGROUP_cpuset);
}

/* ---- on plain files --------------------------------------------------- */

static char root[64];
static struct cgroup_host host;

static void put(const char *dir, const char *name, const char *text)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s/%s", root, dir, name);
	FILE *fp = fopen(path, "we");
	assert_non_null(fp);
	fputs(text, fp);
	fclose(fp);
}

static void expect(const char *dir, const char *name, const char *text)
{
	char path[512], got[512];
	snprintf(path, sizeof(path), "%s/%s/%s", root, dir, name);
	assert_true(fd_read_file_at(AT_FDCWD, path, got, sizeof(got)) >= 0);
	assert_string_equal(got, text);
}

static bool exists(const char *dir)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", root, dir);
	return access(path, F_OK) == 0;
}

static void dirs(const char *const *names)
{
	for (; *names; names++) {
		char path[512];
		snprintf(path, sizeof(path), "%s/%s", root, *names);
		assert_int_equal(mkdir(path, 0755), 0);
	}
}

static int tree_init(void **unused)
{
	(void)unused;
	snprintf(root, sizeof(root), "/tmp/test-cgroup.XXXXXX");
	if (!mkdtemp(root))
		return -1;
	memset(&host, 0, sizeof(host));
	host.mode = CGROUP_UNIFIED;
	host.writable = true;
	host.v2_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		host.v1_fd[c] = -1;
		host.v1_first[c] = (unsigned char)c;
		host.have[c] = c != CGROUP_hugetlb;
	}
	snprintf(host.v2_path, sizeof(host.v2_path), "%.40s/fcnode", root);
	return host.v2_fd < 0 ? -1 : 0;
}

static int tree_fini(void **unused)
{
	(void)unused;
	cgroup_host_fini(&host);
	return fd_remove_tree_at(AT_FDCWD, root);
}

/* Controllers go down every level, and the limits into the pinned one. */
static void unified_limit_inner(void **unused)
{
	(void)unused;
	struct spec_cgroup l = { .memory_bytes = 4096, .pids = 3 };
	struct err e = ERR_INIT;
	dirs((const char *const[]){ "fcnode", "fcnode/t", "fcnode/t/f", NULL });
	put("", "cgroup.subtree_control", "");
	put("fcnode", "cgroup.subtree_control", "");
	put("fcnode/t", "cgroup.subtree_control", "");
	put("fcnode/t/f", "memory.max", "");
	put("fcnode/t/f", "pids.max", "");
	assert_int_equal(cgroup_limit(&host, "t/f", &l, &e), 0);
	expect("", "cgroup.subtree_control", "+memory +cpu +io +pids");
	expect("fcnode", "cgroup.subtree_control", "+memory +cpu +io +pids");
	expect("fcnode/t", "cgroup.subtree_control", "+memory +cpu +io +pids");
	expect("fcnode/t/f", "memory.max", "4096");
	expect("fcnode/t/f", "pids.max", "3");
	/* pinned: removal of a leaf below stops here */
	dirs((const char *const[]){ "fcnode/t/f/i", NULL });
	struct cgroup cg;
	assert_int_equal(cgroup_open(&host, "t/f/i", &cg, &e), 0);
	assert_int_equal(cgroup_remove(&cg, 0), 0);
	cgroup_fini(&cg);
	assert_false(exists("fcnode/t/f/i"));
	assert_true(exists("fcnode/t/f"));
	l.cpuset_cpus = 1;
	assert_int_equal(cgroup_limit(&host, "t/f", &l, &e), -EINVAL);
}

/* A file that is missing has the controllers handed down once more; what is still missing is an error with its name, and no group stays. */
static void unified_make_fails_clean(void **unused)
{
	(void)unused;
	struct spec_box b;
	struct err e = ERR_INIT;
	struct cgroup cg;
	box_init(&b);
	b.s.cgroup.pids = 5;
	dirs((const char *const[]){ "fcnode", NULL });
	put("", "cgroup.subtree_control", "");
	put("fcnode", "cgroup.subtree_control", "");
	assert_int_equal(cgroup_make(&host, "leaf", &b.s, &cg, &e), -ENOENT);
	assert_non_null(strstr(e.text, "pids.max"));
	assert_non_null(strstr(e.text, "controller pids"));
	assert_true(*e.hint);
	assert_false(exists("fcnode/leaf"));
	expect("fcnode", "cgroup.subtree_control", "+pids");
	host.have[CGROUP_pids] = false;
	assert_int_equal(cgroup_make(&host, "leaf", &b.s, &cg, &e), -EOPNOTSUPP);
	host.writable = false;
	snprintf(host.why, sizeof(host.why), "because of this test");
	b.s.cgroup.pids = 0;
	assert_int_equal(cgroup_make(&host, "leaf", &b.s, &cg, &e), -EOPNOTSUPP);
	assert_non_null(strstr(e.text, "because of this test"));
}

static void unified_make_and_remove(void **unused)
{
	(void)unused;
	struct spec_box b;
	struct err e = ERR_INIT;
	struct cgroup cg, twice;
	box_init(&b);
	dirs((const char *const[]){ "fcnode", "fcnode/t", NULL });
	assert_int_equal(cgroup_make(&host, "t/leaf", &b.s, &cg, &e), 0);
	assert_true(cgroup_clone_fd(&cg) >= 0);
	assert_int_equal(cgroup_make(&host, "t/leaf", &b.s, &twice, &e), -EEXIST);
	struct cgroup_joint joint;
	assert_int_equal(cgroup_joint_open(&cg, &joint, &e), 0);
	assert_int_equal(joint.count, 0);
	assert_int_equal(cgroup_remove(&cg, 0), 0);
	assert_int_equal(cgroup_remove(&cg, 0), 0); /* a second time does nothing */
	cgroup_fini(&cg);
	assert_false(exists("fcnode"));
	assert_int_equal(cgroup_open(&host, "t/leaf", &cg, &e), -ENOENT);
}

/* Processes in the group itself: not ours to move, so it is an error that says so. */
static void unified_busy(void **unused)
{
	(void)unused;
	struct err e = ERR_INIT;
	put("", "cgroup.subtree_control", "");
	assert_int_equal(cgroup_unified_enable(&host, "leaf", 1u << CGROUP_memory, &e), -ENOENT);
	assert_non_null(strstr(e.text, "+memory"));
	/* a controller that is not there is not asked for */
	assert_int_equal(cgroup_unified_enable(&host, "leaf", 1u << CGROUP_hugetlb, &e), 0);
}

static void unified_update_and_files(void **unused)
{
	(void)unused;
	struct spec_box b;
	struct err e = ERR_INIT;
	struct cgroup cg;
	box_init(&b);
	dirs((const char *const[]){ "fcnode", "fcnode/leaf", NULL });
	put("fcnode/leaf", "cpu.max", "");
	put("fcnode/leaf", "memory.min", "");
	b.s.cgroup.cpu_quota_us = 1000;
	b.s.section[SPEC_SECT_CGROUP_FILE] = (struct spec_span){ offsetof(struct spec_box, file), 1 };
	b.file[0] = (struct spec_cgroup_file){ TEXT_FILE, TEXT_VALUE };
	assert_int_equal(cgroup_open(&host, "leaf", &cg, &e), 0);
	assert_int_equal(cgroup_update(&cg, &b.s, &e), 0);
	expect("fcnode/leaf", "cpu.max", "1000 100000");
	expect("fcnode/leaf", "memory.min", "4096");
	memcpy(b.text + TEXT_FILE, "../x.y", 7);
	assert_int_equal(cgroup_update(&cg, &b.s, &e), -EINVAL);
	memcpy(b.text + TEXT_FILE, "nodot", 6);
	assert_int_equal(cgroup_update(&cg, &b.s, &e), -EINVAL);
	cgroup_fini(&cg);
}

static void unified_counts(void **unused)
{
	(void)unused;
	struct err e = ERR_INIT;
	struct cgroup cg;
	struct cgroup_usage u;
	struct cgroup_oom_mark mark;
	pid_t pids[2] = { 0 };
	dirs((const char *const[]){ "fcnode", "fcnode/t", "fcnode/t/leaf", NULL });
	put("fcnode/t", "memory.events.local", "oom 4\noom_kill 0\n");
	put("fcnode/t/leaf", "cpu.stat", "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 0\nthrottled_usec 5\n");
	put("fcnode/t/leaf", "memory.current", "100\n");
	put("fcnode/t/leaf", "memory.peak", "200\n");
	put("fcnode/t/leaf", "memory.events", "oom 1\noom_kill 1\n");
	put("fcnode/t/leaf", "memory.events.local", "oom 0\n");
	put("fcnode/t/leaf", "io.stat", "8:0 rbytes=3 wbytes=4\n");
	put("fcnode/t/leaf", "pids.peak", "9\n");
	put("fcnode/t/leaf", "cgroup.procs", "12\n0\n14\n15\n");
	put("fcnode/t/leaf", "cgroup.events", "populated 1\nfrozen 0\n");
	put("fcnode/t/leaf", "cgroup.kill", "");
	put("fcnode/t/leaf", "cgroup.freeze", "0");
	assert_int_equal(cgroup_open(&host, "t/leaf", &cg, &e), 0);
	cgroup_oom_mark(&cg, &mark);
	assert_int_equal(mark.levels, 2);
	assert_int_equal(mark.count[1], 4);
	assert_int_equal(cgroup_usage(&cg, &u), 0);
	assert_true(u.have_cpu && u.have_memory && u.have_peak && u.have_oom && u.have_io);
	assert_int_equal(u.cpu_us, 30);
	assert_int_equal(u.user_us, 20);
	assert_int_equal(u.system_us, 10);
	assert_int_equal(u.throttled_us, 5);
	assert_int_equal(u.memory_bytes, 100);
	assert_int_equal(u.memory_peak_bytes, 200);
	assert_int_equal(u.oom_kills, 1);
	assert_int_equal(u.io_read_bytes, 3);
	assert_int_equal(u.io_write_bytes, 4);
	assert_int_equal(u.pids_peak, 9);
	assert_int_equal(cgroup_pids(&cg, pids, 2), 3);
	assert_int_equal(pids[0], 12);
	assert_int_equal(pids[1], 14);
	assert_int_equal(cgroup_oom_level(&cg, &mark), CGROUP_OOM_HOST);
	put("fcnode", "memory.events.local", "oom 1\n"); /* fcnode's root, and the group that it is in */
	assert_int_equal(cgroup_oom_level(&cg, &mark), CGROUP_OOM_ABOVE);
	cgroup_oom_mark(&cg, &mark);
	assert_int_equal(mark.above, 1);
	assert_int_equal(cgroup_oom_level(&cg, &mark), CGROUP_OOM_HOST);
	put("", "memory.events.local", "oom 2\n");
	assert_int_equal(cgroup_oom_level(&cg, &mark), CGROUP_OOM_ABOVE);
	put("fcnode/t", "memory.events.local", "oom 5\n");
	assert_int_equal(cgroup_oom_level(&cg, &mark), 1);
	put("fcnode/t/leaf", "memory.events.local", "oom 1\n");
	assert_int_equal(cgroup_oom_level(&cg, &mark), 0);
	assert_int_equal(cgroup_kill(&cg), 0);
	expect("fcnode/t/leaf", "cgroup.kill", "1");
	assert_int_equal(cgroup_remove(&cg, 0), -EBUSY);
	assert_int_equal(cgroup_freeze(&cg, true, 0, &e), -ETIMEDOUT);
	expect("fcnode/t/leaf", "cgroup.freeze", "0"); /* thawed again */
	put("fcnode/t/leaf", "cgroup.events", "populated 0\nfrozen 1\n");
	assert_int_equal(cgroup_freeze(&cg, true, 0, &e), 0);
	bool populated = true;
	assert_int_equal(cgroup_populated(&cg, &populated), 0);
	assert_false(populated);
	put("fcnode/t/leaf", "cgroup.events", "nonsense\n");
	assert_int_equal(cgroup_populated(&cg, &populated), -EPROTO);
	cgroup_fini(&cg);
}

/* A v1 cpuset is empty until the parent's is copied, level by level. */
static void hybrid_cpuset(void **unused)
{
	(void)unused;
	struct err e = ERR_INIT;
	dirs((const char *const[]){ "fcnode", "fcnode/t", "fcnode/t/leaf", NULL });
	host.mode = CGROUP_HYBRID;
	host.v1_fd[CGROUP_cpuset] = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	put("", "cpuset.cpus", "0-3\n");
	put("", "cpuset.mems", "0\n");
	put("fcnode", "cpuset.cpus", "\n");
	put("fcnode", "cpuset.mems", "\n");
	put("fcnode/t", "cpuset.cpus", "1\n");
	put("fcnode/t", "cpuset.mems", "\n");
	put("fcnode/t/leaf", "cpuset.cpus", "\n");
	put("fcnode/t/leaf", "cpuset.mems", "\n");
	assert_int_equal(cgroup_hybrid_cpuset(&host, "t/leaf", &e), 0);
	expect("fcnode", "cpuset.cpus", "0-3\n");
	expect("fcnode/t", "cpuset.cpus", "1\n");
	expect("fcnode/t/leaf", "cpuset.cpus", "1\n");
	expect("fcnode/t/leaf", "cpuset.mems", "0\n");
}

/* Among others' groups only what we made is removed. */
static void top_keeps_others(void **unused)
{
	(void)unused;
	struct spec_box b;
	struct err e = ERR_INIT;
	struct cgroup cg;
	box_init(&b);
	host.top = true;
	dirs((const char *const[]){ "theirs", "theirs/empty", NULL });
	assert_int_equal(cgroup_make(&host, "theirs/empty", &b.s, &cg, &e), 0); /* an empty leaf is taken over */
	assert_int_equal(cgroup_remove(&cg, 0), 0);
	cgroup_fini(&cg);
	assert_true(exists("theirs"));
	put("", "cgroup.subtree_control", "");
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		host.have[c] = false; /* nothing to hand down on plain files */
	assert_int_equal(cgroup_make(&host, "theirs/ours/leaf", &b.s, &cg, &e), 0);
	assert_int_equal(cgroup_remove(&cg, 0), 0);
	cgroup_fini(&cg);
	assert_false(exists("theirs/ours"));
	assert_true(exists("theirs"));
}

static bool all_but_keep(const char *path, void *arg)
{
	strcat(arg, path);
	strcat(arg, " ");
	return strstr(path, "keep") == NULL;
}

static void sweep(void **unused)
{
	(void)unused;
	char seen[256] = "";
	struct err e = ERR_INIT;
	dirs((const char *const[]){ "fcnode", "fcnode/t", "fcnode/t/x", "other", NULL });
	assert_int_equal(cgroup_sweep(&host, all_but_keep, seen, &e), 1);
	assert_string_equal(seen, "t/x ");
	assert_false(exists("fcnode"));
	assert_true(exists("other"));
	dirs((const char *const[]){ "fcnode", "fcnode/keep", NULL });
	assert_int_equal(cgroup_sweep(&host, all_but_keep, seen, &e), 0);
	assert_true(exists("fcnode/keep"));
	/* at the top only what carries our prefix is even asked about */
	host.top = true;
	seen[0] = '\0';
	dirs((const char *const[]){ "fcnode-run-1", "fcnode-keep", NULL });
	assert_int_equal(cgroup_sweep(&host, all_but_keep, seen, &e), 1);
	assert_true(strcmp(seen, "fcnode-run-1 fcnode-keep ") == 0 || strcmp(seen, "fcnode-keep fcnode-run-1 ") == 0);
	assert_false(exists("fcnode-run-1"));
	assert_true(exists("other") && exists("fcnode-keep"));
	host.mode = CGROUP_NONE;
	assert_int_equal(cgroup_sweep(&host, all_but_keep, seen, &e), 0);
}

int main(void)
{
#define ON_TREE(fn) cmocka_unit_test_setup_teardown(fn, tree_init, tree_fini)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths), cmocka_unit_test(relative_names), cmocka_unit_test(mountinfo),
		cmocka_unit_test(counters), cmocka_unit_test(blame), cmocka_unit_test(unified_limits),
		cmocka_unit_test(hybrid_limits), cmocka_unit_test(limit_edges), ON_TREE(unified_limit_inner),
		ON_TREE(unified_make_fails_clean), ON_TREE(unified_make_and_remove), ON_TREE(unified_busy),
		ON_TREE(unified_update_and_files), ON_TREE(unified_counts), ON_TREE(hybrid_cpuset),
		ON_TREE(top_keeps_others), ON_TREE(sweep),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
