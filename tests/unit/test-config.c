/* config: what is refused, what wins, and that serve reads back what keeper wrote. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/config.h"
#include "base/cleanup.h"
#include "base/fd.h"

/* A configuration's strings live until the process ends, and so does it. */
static struct config *fresh(void)
{
	static struct config pool[128];
	static size_t used;
	assert_true(used < ARRAY_LEN(pool));
	return &pool[used++];
}

/* argv from the words after it, ended by NULL; /dev/null as file, so that the host's own is not read. */
static int load(struct config *c, struct err *err, const char *word, ...)
{
	char *argv[64] = { (char *)(uintptr_t)"fc-agent", (char *)(uintptr_t)"--config", (char *)(uintptr_t)"/dev/null",
			   (char *)(uintptr_t)"--user", (char *)(uintptr_t)"4321:5432" };
	int argc = 5;
	va_list ap;
	va_start(ap, word);
	for (; word; word = va_arg(ap, const char *))
		argv[argc++] = (char *)(uintptr_t)word;
	va_end(ap);
	argv[argc] = NULL;
	*err = (struct err)ERR_INIT;
	return config_load(c, argc, argv, err);
}

static void defaults_are_sound(void **state)
{
	struct config *c = fresh();
	struct err err;
	(void)state;
	assert_int_equal(load(c, &err, NULL), 0);
	assert_int_equal(c->uid, 4321);
	assert_int_equal(c->gid, 5432);
	assert_string_equal(c->runtime_dir, FC_RUNTIMEDIR);
	assert_string_equal(c->socket, FC_RUNTIMEDIR "/agent.sock");
	assert_int_equal(c->socket_mode, 0666);
	assert_string_equal(config_image(c, "host"), "host");
	assert_null(config_image(c, "other"));
#define X(field, option, type, def, lo, hi, unit, text) assert_in_range(c->field, lo, hi);
	CONFIG_NUMBERS(X)
#undef X
}

static void bad_values_are_named(void **state)
{
	static const struct {
		const char *option, *value, *says;
	} bad[] = {
		{ "--user", "0", "must not run as root" },
		{ "--user", "0:5", "must not run as root" },
		{ "--user", "5:0", "must not run as root" },
		{ "--user", "4294967295", "run as user" },
		{ "--user", "no such user", "run as user" },
		{ "--user", "5:x", "not UID:GID" },
		{ "--socket-mode", "0888", "not an octal mode" },
		{ "--socket-mode", "7777", "not an octal mode" },
		{ "--socket-mode", "", "not an octal mode" },
		{ "--socket-group", "no such group", "no such group" },
		{ "--allow-user", "no such user", "no such user" },
		{ "--allow-group", "no such group", "no such group" },
		{ "--image", "debian", "not NAME=" },
		{ "--image", "../x=/y", "not NAME=" },
		{ "--image", "debian=y", "not NAME=" },
		{ "--image", "host=/y", "named twice" },
		{ "--runtime-image", "python3", "not RUNTIME=IMAGE" },
		{ "--runtime-image", "perl=host", "perl" },
		{ "--runtime-image", "=host", "--runtime-image" },
		{ "--runtime-image", "python3=other", "no image other" },
		{ "--runtime-image", "python3=", "no image" },
		{ "--max-memory", "1", "outside" },
		{ "--max-cpu", "0.5", "--default-cpu is more" },
		{ "--tenant-memory", "15M", "less than 16M" },
		{ "--node-memory", "4096", "--node-memory: less than 16M" },
		{ "--tenant-cpu", "0.009", "less than 0.01" },
		{ "--node-pids", "15", "less than 16" },
		{ "--tenant-id-base", "65537", "not a multiple" },
		{ "--tenant-id-base", "4294901760", "leaves no room" },
		{ "--max-timeout", "25h", "outside" },
		{ "--listen", "127.0.0.1:9100", "needs --principals" },
		{ "--listen", "127.0.0.1", "not ADDRESS:PORT" },
		{ "--listen", "127.0.0.1:", "not ADDRESS:PORT" },
		{ "--listen", "127.0.0.1:65536", "not ADDRESS:PORT" },
		{ "--listen", "localhost:9100", "not ADDRESS:PORT" },
		{ "--listen", "::1:9100", "not ADDRESS:PORT" },
		{ "--listen", "[]:9100", "not ADDRESS:PORT" },
		{ "--listen", "[127.0.0.1]:9100", "not ADDRESS:PORT" },
		{ "--listen", "0.0.0.0:9100", "not an address of loopback" },
		{ "--listen", "128.0.0.1:9100", "not an address of loopback" },
		{ "--listen", "[::]:9100", "not an address of loopback" },
		{ "--listen", "[::ffff:127.0.0.1]:9100", "not an address of loopback" },
		{ "--principal-of", "5=ci", "needs --principals" },
		{ "--principal-of", "ci", "not USER=NAME" },
		{ "--principal-of", "5=../x", "not USER=NAME" },
		{ "--principal-of", "0=ci", "root is always" },
		{ "--principal-of", "no such user=ci", "no such user" },
		{ "--principals", "", "empty" },
		{ "--state-dir", "", "empty" },
		{ "--log-level", "loud", "not one of" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct config *c = fresh();
		struct err err;
		int r = load(c, &err, bad[i].option, bad[i].value, NULL);
		if (r >= 0 || !strstr(err.text, bad[i].says))
			fail_msg("%s %s: %s", bad[i].option, bad[i].value, r < 0 ? err.text : "taken");
	}
}

static void a_function_can_have_the_least_of_three(void **state)
{
	struct config *c = fresh();
	struct err err;
	const char *name;
	(void)state;
	assert_int_equal(load(c, &err, "--max-memory", "4G", NULL), 0);
	assert_int_equal(config_ceiling(c, CONFIG_MEMORY, &name), 4ull << 30);
	assert_string_equal(name, "max-memory");
	c = fresh();
	assert_int_equal(load(c, &err, "--tenant-memory", "1G", "--node-memory", "1G", "--node-cpu", "0.5", NULL), 0);
	assert_int_equal(config_ceiling(c, CONFIG_MEMORY, &name), 1 << 30);
	assert_string_equal(name, "tenant-memory");
	assert_int_equal(config_ceiling(c, CONFIG_CPU, &name), 500);
	assert_string_equal(name, "node-cpu");
	assert_int_equal(config_ceiling(c, CONFIG_PIDS, NULL), c->max_pids);
	c = fresh();
	assert_true(load(c, &err, "--tenant-memory", "2G", "--node-memory", "1G", NULL) < 0);
	assert_non_null(strstr(err.text, "--tenant-memory is more than --node-memory"));
}

static void operands_are_refused(void **state)
{
	struct config *c = fresh();
	struct err err;
	(void)state;
	assert_true(load(c, &err, "stray", NULL) < 0);
	assert_non_null(strstr(err.text, "stray"));
}

static void command_line_wins_and_lists_join(void **state)
{
	char path[] = "/tmp/test-config.XXXXXX";
	struct config *c = fresh();
	struct err err;
	(void)state;
	autoclose int fd = mkstemp(path);
	static const char text[] = "# a comment\nmax-queue = 7\nallow-user = 11\nmax-files = 9\nimage = one=/one\n";
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	int r = load(c, &err, "--config", path, "--max-queue", "8", "--allow-user", "12", "--image", "two=/two", NULL);
	unlink(path);
	assert_int_equal(r, 0);
	assert_int_equal(c->max_queue, 8);
	assert_int_equal(c->max_files, 9);
	assert_int_equal(c->allow_uids, 2);
	assert_int_equal(c->allow_uid[0] + c->allow_uid[1], 23);
	assert_string_equal(config_image(c, "one"), "/one");
	assert_string_equal(config_image(c, "two"), "/two");
}

static void runtimes_choose_images(void **state)
{
	struct config *c = fresh();
	struct err err;
	(void)state;
	assert_int_equal(load(c, &err, NULL), 0);
	assert_string_equal(config_runtime_image(c, "python3"), "host");

	c = fresh();
	assert_int_equal(load(c, &err, "--image", "python3=/p", "--image", "static=/s", "--runtime-image", "stdio=static", NULL), 0);
	assert_string_equal(config_runtime_image(c, "python3"), "python3");
	assert_string_equal(config_runtime_image(c, "nodejs"), "host");
	assert_string_equal(config_runtime_image(c, "stdio"), "static");

	c = fresh();
	assert_int_equal(load(c, &err, "--image", "python3=/p", "--runtime-image", "python3=host", NULL), 0);
	assert_string_equal(config_runtime_image(c, "python3"), "host");

	c = fresh();
	assert_true(load(c, &err, "--runtime-image", "stdio=host", "--runtime-image", "stdio=host", NULL) < 0);
	assert_non_null(strstr(err.text, "named twice"));
}

static void relative_paths_become_absolute(void **state)
{
	struct config *c = fresh();
	struct err err;
	char dir[128];
	(void)state;
	assert_int_equal(load(c, &err, "--state-dir", "x/y", "--runtime-dir", "z", NULL), 0);
	assert_int_equal(c->state_dir[0], '/');
	assert_non_null(strstr(c->state_dir, "/x/y"));
	assert_non_null(strstr(c->socket, "/z/agent.sock"));
	assert_int_equal(config_serve_dir(c, dir, 4), -ENAMETOOLONG);
}

static void serve_reads_what_keeper_wrote(void **state)
{
	struct config *a = fresh(), *b = fresh();
	struct err err;
	(void)state;
	assert_int_equal(load(a, &err, "--max-queue", "77", "--default-cpu", "0.25", "--client-timeout", "1500ms",
			      "--allow-user", "root", "--allow-user", "12", "--allow-group", "13", "--image", "two=/two",
			      "--runtime-image", "nodejs=two", "--state-dir", "/s", "--log-level", "debug",
			      "--principals", "/p", "--principal-of", "15=ci",
			      "--listen", "127.0.0.1:9100", "--listen", "[2001:db8::1]:0", "--listen-remote", NULL), 0);
	autoclose int fd = config_to_fd(a);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GET_SEALS) & F_SEAL_WRITE);
	assert_int_equal(config_from_fd(b, fd, &err), 0);
#define X(field, option, type, def, lo, hi, unit, text) assert_int_equal(a->field, b->field);
	CONFIG_NUMBERS(X)
#undef X
	assert_int_equal(a->uid, b->uid);
	assert_int_equal(a->gid, b->gid);
	assert_string_equal(a->state_dir, b->state_dir);
	assert_string_equal(a->socket, b->socket);
	assert_int_equal(a->log_level, b->log_level);
	assert_int_equal(b->allow_uids, 2);
	assert_int_equal(b->allow_uid[0], 0);
	assert_int_equal(b->allow_gid[0], 13);
	assert_string_equal(config_image(b, "two"), "/two");
	assert_string_equal(config_runtime_image(b, "nodejs"), "two");
	assert_string_equal(b->principals, "/p");
	assert_string_equal(config_principal(b, 15), "ci");
	assert_null(config_principal(b, 16));
	assert_int_equal(b->listens, 2);
	for (size_t i = 0; i < b->listens; i++) {
		assert_string_equal(a->listen[i].text, b->listen[i].text);
		assert_int_equal(a->listen[i].len, b->listen[i].len);
		assert_memory_equal(&a->listen[i].address, &b->listen[i].address, a->listen[i].len);
	}
	assert_int_equal(config_connections(b), b->max_connections + b->max_function_connections + b->max_tcp_connections);
}

static void principal_or_tenant(void **state)
{
	struct config *c = fresh();
	struct err err;
	(void)state;
	assert_true(load(c, &err, "--principals", "p", "--principal-of", "15=ci", "--tenant-of", "15=a", NULL) < 0);
	assert_non_null(strstr(err.text, "is in --tenant-of too"));
	c = fresh();
	assert_int_equal(load(c, &err, "--principals", "p", "--principal-of", "15=ci", "--tenant-of", "16=a", NULL), 0);
	assert_int_equal(c->principals[0], '/');
	assert_int_equal(config_connections(c), c->max_connections + c->max_function_connections); /* TCP's share is only for those that listen */
}

static void who_may_call(void **state)
{
	struct config *c = fresh();
	struct err err;
	const gid_t groups[] = { 100, 13 };
	(void)state;
	assert_int_equal(load(c, &err, "--allow-user", "12", "--allow-group", "13", NULL), 0);
	assert_true(config_allows(c, 0, NULL, 0));
	assert_true(config_allows(c, 12, NULL, 0));
	assert_false(config_allows(c, 14, groups, 1));
	assert_true(config_allows(c, 14, groups, 2));
	assert_false(config_allows(c, 4321, NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_sound),
		cmocka_unit_test(bad_values_are_named),
		cmocka_unit_test(a_function_can_have_the_least_of_three),
		cmocka_unit_test(operands_are_refused),
		cmocka_unit_test(command_line_wins_and_lists_join),
		cmocka_unit_test(runtimes_choose_images),
		cmocka_unit_test(relative_paths_become_absolute),
		cmocka_unit_test(serve_reads_what_keeper_wrote),
		cmocka_unit_test(principal_or_tenant),
		cmocka_unit_test(who_may_call),
	};
	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
