/* state: ids, the directory as name and lock, the file, and what the kernel says of a process. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "host/state.h"

static char root[64];

static int make_root_dir(void **unused)
{
	(void)unused;
	snprintf(root, sizeof(root), "/tmp/test-state.XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root_dir(void **unused)
{
	(void)unused;
	return fd_remove_tree_at(AT_FDCWD, root);
}

static void ids(void **unused)
{
	(void)unused;
	char long_id[STATE_ID_MAX + 2];
	memset(long_id, 'a', sizeof(long_id));
	long_id[STATE_ID_MAX + 1] = '\0';
	assert_int_equal(state_check_id(long_id + 1, NULL), 0);
	assert_int_equal(state_check_id("a", NULL), 0);
	assert_int_equal(state_check_id("A-b_c.d+0", NULL), 0);
	assert_int_equal(state_check_id("..a", NULL), 0);
	static const char *const bad[] = { "", ".", "..", "a/b", "../x", "a b", "a\n", "\xc3\xa9", "a:b" };
	struct err err = ERR_INIT;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(state_check_id(bad[i], &err), -EINVAL);
	assert_int_equal(state_check_id(long_id, &err), -EINVAL);
	assert_non_null(strstr(err.hint, "255"));
}

static void one_container_per_id(void **unused)
{
	(void)unused;
	struct state_dir a = STATE_DIR_INIT, b = STATE_DIR_INIT;
	struct err err = ERR_INIT;
	char deep[128];
	snprintf(deep, sizeof(deep), "%s/not/yet", root);

	assert_int_equal(state_dir_open(deep, "c1", &b, &err), -ENOENT);
	assert_non_null(strstr(err.text, "container does not exist"));
	assert_int_equal(state_dir_make(deep, "c1", &a, &err), 0);
	assert_int_equal(state_dir_make(deep, "c1", &b, &err), -EEXIST);
	assert_int_equal(state_dir_open(deep, "c1", &b, &err), 0);
	assert_int_equal(state_dir_lock(&b, /* wait= */ false, &err), -EAGAIN);
	assert_int_equal(state_dir_remove(&a, deep, &err), 0);
	state_dir_fini(&a);
	/* whoever waited for the lock learns that there is nothing left to work on */
	assert_int_equal(state_dir_lock(&b, /* wait= */ true, &err), -ENOENT);
	state_dir_fini(&b);
	assert_int_equal(state_dir_make(deep, "c1", &a, &err), 0);
	state_dir_fini(&a);
	state_dir_fini(&a);
}

/* The last descriptors are gone: a directory comes and goes whole all the same. */
static void no_descriptors(void **unused)
{
	(void)unused;
	struct state_dir d = STATE_DIR_INIT, e = STATE_DIR_INIT;
	struct err err = ERR_INIT;
	char path[128];
	assert_int_equal(state_dir_make(root, "c9", &d, &err), 0);
	assert_int_equal(fd_replace_file_at(d.fd, "state.json", "{}", 2, 0600), 0);
	struct rlimit before, none;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	int made = state_dir_make(root, "c10", &e, &err);
	int removed = state_dir_remove(&d, root, &err);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(made, -EMFILE);
	assert_int_equal(removed, 0);
	state_dir_fini(&d);
	for (int i = 9; i <= 10; i++) {
		snprintf(path, sizeof(path), "%s/c%d", root, i);
		assert_int_equal(access(path, F_OK), -1);
	}
	/* what is not known by name goes too, when there are */
	assert_int_equal(state_dir_make(root, "c9", &d, &err), 0);
	assert_int_equal(fd_replace_file_at(d.fd, "else", "{}", 2, 0600), 0);
	assert_int_equal(state_dir_remove(&d, root, &err), 0);
	state_dir_fini(&d);
	assert_int_equal(state_dir_open(root, "c9", &d, &err), -ENOENT);
}

static void file_round_trip(void **unused)
{
	(void)unused;
	struct state_dir d = STATE_DIR_INIT;
	struct err err = ERR_INIT;
	struct state s = { .pid = 42, .start_time = 1234567890123ull, .created = true, .comm = "fc-sandbox",
			   .bundle = "/b", .rootfs = "/b/rootfs", .created_at = "2026-01-01T00:00:00.000000001Z",
			   .cgroup = "oci/c2", .cgroup_root = "/sys/fs/cgroup/a.slice", .cgroup_at_root = true, .owner = 1000 };
	struct state t = { 0 };

	assert_int_equal(state_dir_make(root, "c2", &d, &err), 0);
	assert_int_equal(state_read(&d, &t, &err), -ENOENT);
	s.annotations = json_pack("{s:s}", "k", "v");
	assert_int_equal(state_write(&d, &s, &err), 0);
	assert_int_equal(state_read(&d, &t, &err), 0);
	assert_int_equal(t.pid, 42);
	assert_true(t.start_time == s.start_time && t.created && t.cgroup_at_root && t.owner == 1000);
	assert_string_equal(t.comm, s.comm);
	assert_string_equal(t.bundle, s.bundle);
	assert_string_equal(t.rootfs, s.rootfs);
	assert_string_equal(t.created_at, s.created_at);
	assert_string_equal(t.cgroup, s.cgroup);
	assert_string_equal(t.cgroup_root, s.cgroup_root);
	assert_true(json_equal(t.annotations, s.annotations));

	autojson json_t *j = state_to_json(&d, &t, STATE_STOPPED, "1.2.0");
	assert_int_equal(json_integer_value(json_object_get(j, "pid")), 0);
	assert_string_equal(json_string_value(json_object_get(j, "status")), "stopped");
	assert_string_equal(json_string_value(json_object_get(j, "id")), "c2");
	state_fini(&t);

	/* a damaged file is named, never half-read */
	assert_int_equal(fd_replace_file_at(d.fd, "state.json", "{\"pid\": 1}", 10, 0600), 0);
	assert_true(state_read(&d, &t, &err) < 0);
	assert_non_null(strstr(err.text, "startTime: missing"));
	strcpy(s.bundle, "/\xff");
	assert_true(state_write(&d, &s, &err) < 0);
	assert_non_null(strstr(err.text, "UTF-8"));
	state_fini(&s);
	state_fini(&s);
	state_dir_fini(&d);
}

static void kernel_tells_the_status(void **unused)
{
	(void)unused;
	struct state_dir d = STATE_DIR_INIT;
	struct state s = { 0 };
	struct err err = ERR_INIT;
	assert_int_equal(state_dir_make(root, "c3", &d, &err), 0);
	assert_int_equal(state_status(&d, &s), STATE_STOPPED); /* no process yet */

	pid_t pid = fork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	assert_int_equal(state_set_process(&s, pid, &err), 0);
	assert_int_equal(state_status(&d, &s), STATE_CREATING);
	s.created = true;
	assert_int_equal(state_status(&d, &s), STATE_RUNNING); /* no gate */
	autoclose int gate = openat(d.fd, "gate", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(gate >= 0);
	assert_int_equal(state_status(&d, &s), STATE_CREATED);
	strcpy(s.comm, "other"); /* as after exec, when start was killed before it removed the gate */
	assert_int_equal(state_status(&d, &s), STATE_RUNNING);

	autoclose int pidfd = state_pidfd(&s);
	assert_true(pidfd >= 0);
	s.start_time++; /* the pid, recycled */
	assert_int_equal(state_status(&d, &s), STATE_STOPPED);
	assert_int_equal(state_pidfd(&s), -ESRCH);
	s.start_time--;

	siginfo_t si;
	kill(pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
	assert_int_equal(state_status(&d, &s), STATE_STOPPED); /* a zombie */
	assert_int_equal(state_pidfd(&s), -ESRCH);
	waitpid(pid, NULL, 0);
	assert_int_equal(state_status(&d, &s), STATE_STOPPED);
	assert_int_equal(state_set_process(&s, pid, &err), -ESRCH);
	state_dir_fini(&d);
}

static int count_one(struct state_dir *d, void *arg)
{
	char *names = arg;
	strcat(names, d->id);
	strcat(names, " ");
	return 0;
}

static void listing(void **unused)
{
	(void)unused;
	char at[96], names[256] = "";
	struct err err = ERR_INIT;
	struct state_dir d = STATE_DIR_INIT;
	snprintf(at, sizeof(at), "%s/list", root);

	assert_int_equal(state_each(at, count_one, names, &err), 0); /* none is not an error */
	static const char *const ids_made[] = { "zz", "a1", "m" };
	for (size_t i = 0; i < ARRAY_LEN(ids_made); i++) {
		assert_int_equal(state_dir_make(at, ids_made[i], &d, &err), 0);
		state_dir_fini(&d);
	}
	char file[128];
	snprintf(file, sizeof(file), "%s/not-a-container", at);
	autoclose int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(state_each(at, count_one, names, &err), 0);
	assert_string_equal(names, "a1 m zz ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids),
		cmocka_unit_test(one_container_per_id),
		cmocka_unit_test(no_descriptors),
		cmocka_unit_test(file_round_trip),
		cmocka_unit_test(kernel_tells_the_status),
		cmocka_unit_test(listing),
	};
	return cmocka_run_group_tests(tests, make_root_dir, remove_root_dir);
}
