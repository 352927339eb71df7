/*
 * layer: with the true fc-unpack, every made-up bundle is refused or unpacked,
 * sealed and published, and a refused one leaves nothing; with a false one
 * (fake-unpack), what it does and says is not believed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/str.h"
#include "bundles.h"
#include "host/layer.h"
#include "host/unpacker.h"

static const struct layer_user user = { 65534, 65534 };
static const struct layer_limits small = { BUNDLE_LIMITS, .cpu_seconds = 20, .wall_ms = 60000 };
static char build_dir[PATH_MAX]; /* where fc-unpack is */
static char top[PATH_MAX];       /* everything that a test makes */
static char fake_dir[PATH_MAX];	 /* where "fc-unpack" is fake-unpack */

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

struct place {
	char path[PATH_MAX];
	struct layer_store store;
};

static void place_init(struct place *p)
{
	struct err err = ERR_INIT;
	snprintf(p->path, sizeof(p->path), "%.200s/place-XXXXXX", top);
	assert_non_null(mkdtemp(p->path));
	assert_int_equal(layer_store_open(&p->store, p->path, "code", user, false, &err), 0);
}

static unsigned entries(const struct place *p)
{
	unsigned count = 0;
	autodir DIR *d = opendir(p->path);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));)
		count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	return count;
}

static void place_fini(struct place *p)
{
	layer_store_close(&p->store);
	assert_int_equal(fd_remove_tree_at(AT_FDCWD, p->path), 0);
}

static int text_fd(const char *text)
{
	int fd = fd_sealed_memfd("bundle", text, strlen(text));
	assert_true(fd >= 0);
	return fd;
}

static int buf_fd(const struct buf *b)
{
	int fd = fd_sealed_memfd("bundle", b->data ? b->data : "", b->len);
	assert_true(fd >= 0);
	return fd;
}

static int case_fd(const char *name)
{
	for (size_t i = 0; i < bundle_case_count; i++) {
		if (strcmp(bundle_cases[i].name, name) != 0)
			continue;
		autobuf struct buf b = BUF_INIT(BUNDLE_MAX);
		bundle_cases[i].make(&b);
		return buf_fd(&b);
	}
	fail_msg("no case %s", name);
	return -1;
}

static void every_case(void **state)
{
	(void)state;
	struct place p;
	place_init(&p);
	for (size_t i = 0; i < bundle_case_count; i++) {
		const struct bundle_case *c = &bundle_cases[i];
		autobuf struct buf b = BUF_INIT(BUNDLE_MAX);
		c->make(&b);
		autoclose int fd = buf_fd(&b);
		struct layer_info info;
		struct err err = ERR_INIT;
		int r = layer_unpack(&p.store, fd, NULL, &small, &info, &err);
		if (r != (c->outcome == UNPACK_ok ? 0 : LAYER_REFUSED) || info.outcome != (uint32_t)c->outcome)
			fail_msg("%s: %d %s: %s", c->name, r, unpack_outcome_name(info.outcome), err.text);
		if (r == LAYER_REFUSED) {
			if (!strstr(err.text, c->text) || !strstr(err.text, unpack_outcome_name(c->outcome)))
				fail_msg("%s: %s", c->name, err.text);
			assert_int_equal(entries(&p), 0);
		} else {
			assert_int_equal(entries(&p), 1);
			assert_int_equal(layer_remove(&p.store, info.digest, &err), 0);
		}
	}
	assert_int_equal(entries(&p), 0);
	place_fini(&p);
}

static void confinement_is_in_force(void **state)
{
	(void)state;
	struct place p;
	place_init(&p);
	autoclose int fd = case_fd("ok_zip");
	struct layer_info info;
	struct err err = ERR_INIT;
	assert_int_equal(layer_unpack(&p.store, fd, NULL, &small, &info, &err), 0);
	const uint32_t always = UNPACK_IN(RLIMITS) | UNPACK_IN(IDS) | UNPACK_IN(NOCAPS) | UNPACK_IN(SECCOMP);
	const uint32_t as_root = UNPACK_IN(JAIL) | UNPACK_IN(NETNS) | UNPACK_IN(IPCNS) | UNPACK_IN(PIDNS);
	assert_int_equal(info.confinements & always, always);
	if (geteuid() == 0)
		assert_int_equal(info.confinements & as_root, as_root);
	assert_true(info.confinements & (UNPACK_IN(JAIL) | UNPACK_IN(LANDLOCK)));
	place_fini(&p);
}

static void a_layer_is_sealed(void **state)
{
	(void)state;
	struct place p;
	place_init(&p);
	autoclose int fd = case_fd("ok_pax");
	struct layer_info info;
	struct err err = ERR_INIT;
	assert_int_equal(layer_unpack(&p.store, fd, NULL, &small, &info, &err), 0);
	assert_int_equal(info.files, 6);
	assert_int_equal(info.directories, 4); /* with code/ */
	assert_false(info.present);

	autoclose int layer = -1;
	assert_int_equal(layer_open(&p.store, info.digest, &layer, &err), 0);
	static const char *const names[] = { ".", "code", "code/bootstrap", "code/lib", "code/lib/a.py", "code/lib/b.py" };
	static const mode_t modes[] = { 0755, 0755, 0755, 0755, 0644, 0777 };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct stat st;
		assert_int_equal(fstatat(layer, names[i], &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_int_equal(st.st_uid, geteuid());
		assert_int_equal(st.st_mode & 07777, modes[i]);
	}
	/* again: found by its digest, and made a second time to the same place without one */
	char digest[LAYER_DIGEST_LEN + 1];
	memcpy(digest, info.digest, sizeof(digest));
	for (int with = 0; with < 2; with++) {
		assert_int_equal(layer_unpack(&p.store, fd, with ? digest : NULL, &small, &info, &err), 0);
		assert_true(info.present);
		assert_string_equal(info.digest, digest);
		assert_int_equal(entries(&p), 1);
	}
	digest[0] = digest[0] == '0' ? '1' : '0';
	assert_int_equal(layer_unpack(&p.store, fd, digest, &small, &info, &err), LAYER_REFUSED);
	assert_int_equal(info.outcome, UNPACK_digest);
	place_fini(&p);
}

static void names_of_layers_are_checked(void **state)
{
	(void)state;
	struct place p;
	place_init(&p);
	struct err err = ERR_INIT;
	int fd;
	char upper[65];
	memset(upper, 'A', 64);
	upper[64] = '\0';
	const char *const bad[] = { "", "..", "../etc", "abc", upper };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(layer_open(&p.store, bad[i], &fd, &err), -EINVAL);
		assert_int_equal(fd, -1);
		assert_int_equal(layer_remove(&p.store, bad[i], &err), -EINVAL);
	}
	memset(upper, 'a', 64);
	assert_int_equal(layer_open(&p.store, upper, &fd, &err), LAYER_ABSENT);
	assert_int_equal(layer_remove(&p.store, upper, &err), LAYER_ABSENT);
	place_fini(&p);
}

static void the_sweep_takes_only_leftovers(void **state)
{
	(void)state;
	struct place p;
	place_init(&p);
	autoclose int fd = case_fd("ok_zip");
	struct layer_info info;
	struct err err = ERR_INIT;
	assert_int_equal(layer_unpack(&p.store, fd, NULL, &small, &info, &err), 0);
	assert_int_equal(mkdirat(p.store.dirfd, ".tmp-0123456789abcdef", 0700), 0);
	assert_int_equal(mkdirat(p.store.dirfd, ".tmp-0123456789abcdef/code", 0700), 0);
	assert_int_equal(layer_sweep(&p.store, &err), 1);
	assert_int_equal(entries(&p), 1);
	assert_int_equal(layer_sweep(&p.store, &err), 0);
	place_fini(&p);
}

static void a_store_that_others_write_to_is_refused(void **state)
{
	(void)state;
	struct place p;
	place_init(&p);
	struct layer_store s;
	struct err err = ERR_INIT;
	assert_int_equal(chmod(p.path, 0777), 0);
	assert_int_equal(layer_store_open(&s, p.path, NULL, user, false, &err), -EPERM);
	assert_int_equal(s.dirfd, -1);
	place_fini(&p);
}

static void job_wait(struct layer_job *job, struct layer_info *info, struct err *err, int expect)
{
	struct pollfd pfd = { .fd = job->proc.pidfd, .events = POLLIN };
	assert_int_equal(poll(&pfd, 1, 60000), 1);
	int r = layer_finish(job, info, err);
	if (r != expect)
		fail_msg("job: %d, not %d: %s", r, expect, err->text);
}

static void beside_an_event_loop(void **state)
{
	(void)state;
	struct place p;
	place_init(&p);
	autoclose int good = case_fd("ok_zip");
	autoclose int bad = case_fd("zip_dotdot");
	struct layer_info info;
	struct err err = ERR_INIT;
	struct layer_job job[2];
	assert_int_equal(layer_start(&p.store, good, NULL, &small, &job[0], &err), 0);
	assert_int_equal(layer_start(&p.store, bad, NULL, &small, &job[1], &err), 0);
	job_wait(&job[1], &info, &err, LAYER_REFUSED);
	assert_non_null(strstr(err.text, "../escape"));
	job_wait(&job[0], &info, &err, 0);
	assert_int_equal(entries(&p), 1);
	assert_true(str_is_hex(info.digest, 64));
	place_fini(&p);
}

static void for_one_run(void **state)
{
	(void)state;
	struct place p;
	place_init(&p);
	autoclose int fd = case_fd("ok_gzip");
	struct layer_info info;
	struct err err = ERR_INIT;
	assert_int_equal(layer_unpack_at(p.store.dirfd, "run", "code", user, fd, NULL, &small, -1, &info, &err), 0);
	assert_int_equal(faccessat(p.store.dirfd, "run/code/bootstrap", X_OK, 0), 0);
	assert_int_equal(layer_unpack_at(p.store.dirfd, "run", "code", user, fd, NULL, &small, -1, &info, &err), -EEXIST);
	assert_int_equal(layer_discard(p.store.dirfd, "run", &err), 0);
	assert_int_equal(entries(&p), 0);
	place_fini(&p);
}

static void memory_is_limited(void **state)
{
	(void)state;
	struct place p;
	place_init(&p);
	autobuf struct buf b = BUF_INIT(BUNDLE_MAX);
	bundle_xz_dictionary(&b);
	autoclose int fd = buf_fd(&b);
	struct layer_info info;
	struct err err = ERR_INIT;
	int r = layer_unpack(&p.store, fd, NULL, &small, &info, &err);
	if (SANITIZED) {
		/* fc-unpack cannot limit its address space then (confine.c), so the memory is to be had */
		assert_int_equal(r, 0);
		assert_int_equal(layer_remove(&p.store, info.digest, &err), 0);
	} else {
		assert_int_equal(r, LAYER_REFUSED);
		assert_int_equal(info.outcome, UNPACK_memory);
	}
	assert_int_equal(entries(&p), 0);
	place_fini(&p);
}

/* ---- a host that fails: in a child, for limits and mounts are for good ---- */

static void in_child(int (*fn)(struct place *), struct place *p)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fn(p));
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* A mount namespace; an ordinary user's in a user namespace where he is himself. */
static int own_mounts(void)
{
	const unsigned uid = geteuid(), gid = getegid();
	if (uid == 0)
		return unshare(CLONE_NEWNS);
	char uids[64], gids[64];
	snprintf(uids, sizeof(uids), "%u %u 1", uid, uid);
	snprintf(gids, sizeof(gids), "%u %u 1", gid, gid);
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return -1;
	return fd_write_file_at(AT_FDCWD, "/proc/self/setgroups", "deny") ||
	       fd_write_file_at(AT_FDCWD, "/proc/self/uid_map", uids) ||
	       fd_write_file_at(AT_FDCWD, "/proc/self/gid_map", gids) ? -1 : 0;
}

static int full_disk(struct place *p)
{
	if (own_mounts() < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", p->path, "tmpfs", 0, "size=64k,mode=0711") < 0)
		return 77;
	struct err err = ERR_INIT;
	struct layer_store s;
	struct layer_info info;
	if (layer_store_open(&s, p->path, NULL, user, false, &err) < 0)
		return fprintf(stderr, "%s\n", err.text), 1;
	int r = layer_unpack(&s, case_fd("bytes_limit"), NULL, &small, &info, &err);
	if (r != -ENOSPC || !strstr(err.text, "No space left") || !strstr(err.hint, "free space"))
		return fprintf(stderr, "%d: %s (%s)\n", r, err.text, err.hint), 2;
	return entries(p) == 0 ? 0 : 3;
}

static void a_full_disk(void **state)
{
	(void)state;
	struct place p;
	place_init(&p);
	in_child(full_disk, &p);
	place_fini(&p);
}

static int no_descriptors(struct place *p)
{
	int bundle = case_fd("ok_zip"), r = 0;
	struct layer_info info;
	/* with 1, 2, 3 ... descriptors to spare, until it succeeds */
	for (int spare = 1; spare < 16; spare++) {
		struct err err = ERR_INIT;
		const struct rlimit limit = { (rlim_t)(bundle + 1 + spare), 1024 };
		setrlimit(RLIMIT_NOFILE, &limit);
		r = layer_unpack(&p->store, bundle, NULL, &small, &info, &err);
		const struct rlimit back = { 1024, 1024 };
		setrlimit(RLIMIT_NOFILE, &back);
		if (r == 0)
			return spare > 1 && entries(p) == 1 ? 0 : 2;
		if (entries(p) != 0)
			return fprintf(stderr, "left with %d: %s (%s)\n", spare, err.text, err.hint), 3;
	}
	return 4;
}

static void no_descriptor_left(void **state)
{
	(void)state;
	struct place p;
	place_init(&p);
	in_child(no_descriptors, &p);
	place_fini(&p);
}

/* ---- an unpacker that fails or lies ---- */

static void false_unpacker(void **state)
{
	(void)state;
	static const struct {
		const char *word;
		int result;
		const char *text;
	} cases[] = {
		{ "fault", -EPROTO, "died of signal 11" },
		{ "silent", -EPROTO, "without a result" },
		{ "short", -EPROTO, "without a result" },
		{ "garbage", -EPROTO, "makes no sense" },
		{ "escape", LAYER_REFUSED, "????????" },
		{ "yes-no", -EPROTO, "said yes" },
		{ "fifo", -EPROTO, "pipe: neither file" },
		{ "deep", -EPROTO, "deeper" },
		{ "many", -EPROTO, "more files" },
		{ "hang", LAYER_REFUSED, "more than 300 ms" },
	};
	assert_int_equal(setenv("FC_LIBEXECDIR", fake_dir, 1), 0);
	struct place p;
	place_init(&p);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autoclose int fd = text_fd(cases[i].word);
		struct layer_limits limits = small;
		limits.wall_ms = strcmp(cases[i].word, "hang") == 0 ? 300 : 60000;
		struct layer_info info;
		struct err err = ERR_INIT;
		int r = layer_unpack(&p.store, fd, NULL, &limits, &info, &err);
		if (r != cases[i].result || !strstr(err.text, cases[i].text))
			fail_msg("%s: %d %s", cases[i].word, r, err.text);
		assert_null(strchr(err.text, '\x1b'));
		assert_int_equal(entries(&p), 0);
	}
	assert_int_equal(setenv("FC_LIBEXECDIR", build_dir, 1), 0);
	place_fini(&p);
}

static void modes_are_not_believed(void **state)
{
	(void)state;
	assert_int_equal(setenv("FC_LIBEXECDIR", fake_dir, 1), 0);
	struct place p;
	place_init(&p);
	autoclose int fd = text_fd("setuid");
	struct layer_info info;
	struct err err = ERR_INIT;
	assert_int_equal(layer_unpack_at(p.store.dirfd, "t", NULL, user, fd, NULL, &small, -1, &info, &err), 0);
	struct stat st;
	assert_int_equal(fstatat(p.store.dirfd, "t/su", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(fstatat(p.store.dirfd, "t/open", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(setenv("FC_LIBEXECDIR", build_dir, 1), 0);
	place_fini(&p);
}

static void a_job_can_be_cancelled(void **state)
{
	(void)state;
	assert_int_equal(setenv("FC_LIBEXECDIR", fake_dir, 1), 0);
	struct place p;
	place_init(&p);
	autoclose int fd = text_fd("hang");
	struct layer_info info;
	struct err err = ERR_INIT;
	struct layer_job job;
	assert_int_equal(layer_start(&p.store, fd, NULL, &small, &job, &err), 0);
	/* it has begun when its temporary directory is there */
	while (entries(&p) == 0)
		sched_yield();
	layer_cancel(&job);
	job_wait(&job, &info, &err, -ECANCELED);
	assert_int_equal(entries(&p), 0);
	assert_int_equal(setenv("FC_LIBEXECDIR", build_dir, 1), 0);
	place_fini(&p);
}

static void no_unpacker(void **state)
{
	(void)state;
	struct place p;
	place_init(&p);
	assert_int_equal(setenv("FC_LIBEXECDIR", p.path, 1), 0);
	autoclose int fd = case_fd("ok_zip");
	struct layer_info info;
	struct err err = ERR_INIT;
	assert_int_equal(layer_unpack(&p.store, fd, NULL, &small, &info, &err), -ENOENT);
	assert_int_equal(entries(&p), 0);
	assert_int_equal(setenv("FC_LIBEXECDIR", build_dir, 1), 0);
	place_fini(&p);
}

/* Programs are looked for in the build tree, two levels up from this one. */
static int find_programs(void)
{
	ssize_t n = readlink("/proc/self/exe", build_dir, sizeof(build_dir) - 1);
	if (n < 0)
		return -1;
	build_dir[n] = '\0';
	for (int up = 0; up < 3; up++)
		*strrchr(build_dir, '/') = '\0';
	char link[PATH_MAX + 32], to[PATH_MAX + 32];
	const char *tmp = getenv("TMPDIR");
	snprintf(top, sizeof(top), "%.100s/fc-layer-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(top))
		return -1;
	snprintf(fake_dir, sizeof(fake_dir), "%.200s/fake", top);
	if (mkdir(fake_dir, 0755) < 0)
		return -1;
	snprintf(link, sizeof(link), "%s/fc-unpack", fake_dir);
	snprintf(to, sizeof(to), "%s/tests/unit/fake-unpack", build_dir);
	return symlink(to, link) < 0 || setenv("FC_LIBEXECDIR", build_dir, 1) < 0 ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_case),
		cmocka_unit_test(confinement_is_in_force),
		cmocka_unit_test(a_layer_is_sealed),
		cmocka_unit_test(names_of_layers_are_checked),
		cmocka_unit_test(the_sweep_takes_only_leftovers),
		cmocka_unit_test(a_store_that_others_write_to_is_refused),
		cmocka_unit_test(beside_an_event_loop),
		cmocka_unit_test(for_one_run),
		cmocka_unit_test(memory_is_limited),
		cmocka_unit_test(a_full_disk),
		cmocka_unit_test(no_descriptor_left),
		cmocka_unit_test(false_unpacker),
		cmocka_unit_test(modes_are_not_believed),
		cmocka_unit_test(a_job_can_be_cancelled),
		cmocka_unit_test(no_unpacker),
	};
	if (find_programs() < 0)
		return 1;
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	/* failed tests leave their places */
	fd_remove_tree_at(AT_FDCWD, top);
	return r;
}
