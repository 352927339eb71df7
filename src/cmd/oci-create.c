/* create and run - from a bundle to a container. */
#include <stddef.h>
#include <stdio.h>
#include <sys/wait.h>

#include "cmd/oci.h"

#define AT(field) offsetof(struct oci_create_opts, field)
#define COMMON_OPTIONS                                                                                                   \
	{ "bundle", 'b', OPT_STR, AT(bundle), "DIR", "the bundle: config.json and root file system (default: .)", NULL, 0, 0 }, \
	{ "pid-file", 0, OPT_STR, AT(pid_file), "FILE", "write the container's pid to FILE", NULL, 0, 0 },               \
	{ "console-socket", 0, OPT_STR, AT(console_socket), "SOCK", "send the terminal's master to this Unix socket",    \
	  NULL, 0, 0 },                                                                                                  \
	{ "preserve-fds", 0, OPT_U64, AT(preserve_fds), "N", "pass descriptors 3 to N + 2 on (default: 0)", NULL, 0, 509 }, \
	{ "no-pivot", 0, OPT_FLAG, AT(no_pivot), NULL, "do not pivot_root (root on a ramdisk)", NULL, 0, 0 },            \
	{ "no-new-keyring", 0, OPT_FLAG, AT(no_new_keyring), NULL, "keep the caller's session keyring", NULL, 0, 0 }
#define HELP_OPTION { "help", 'h', OPT_FLAG, AT(help), NULL, "print this and exit", NULL, 0, 0 }
#define END_OPTIONS { NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 }

static const struct opt create_options[] = { COMMON_OPTIONS, HELP_OPTION, END_OPTIONS };

static const struct opt run_options[] = {
	COMMON_OPTIONS,
	{ "detach", 'd', OPT_FLAG, AT(detach), NULL, "leave it running and return", NULL, 0, 0 },
	{ "keep", 0, OPT_FLAG, AT(keep), NULL, "do not delete the container when it ended", NULL, 0, 0 },
	{ "no-subreaper", 0, OPT_FLAG, AT(no_subreaper), NULL, "accepted; fc-run never is a subreaper", NULL, 0, 0 },
	HELP_OPTION,
	END_OPTIONS,
};

int cmd_create(int argc, char **argv, const struct cmd_globals *g)
{
	struct oci_create_opts opts = { .detach = true };
	struct err err = ERR_INIT;
	struct oci o;

	int first = oci_parse(create_options, "create [option ...] ID", argc, argv, 1, 1, &opts, &err);
	if (first <= 0)
		return first < 0 ? oci_fail(g, &err) : CMD_OK;
	oci_init(&o, g);
	int r = oci_create(&o, argv[first], &opts, &err);
	if (r < 0)
		err_wrap(&err, "create container %s", argv[first]);
	oci_fini(&o);
	return r < 0 ? oci_fail(g, &err) : CMD_OK;
}

/* Started and ours: wait for its end. The value is its exit status as a shell would have it. */
static int wait_for_end(struct oci *o, int *status, struct err *err)
{
	int wait_status = 0;
	int r = oci_relay(&o->sandbox.proc, o->master, err);
	if (r == 0) {
		r = sandbox_reap(&o->sandbox, &wait_status);
		if (r < 0)
			err_set(err, -r, "wait for process %d", (int)o->state.pid);
	}
	*status = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
	return r;
}

static int end_run(struct oci *o, bool keep, struct err *err)
{
	sandbox_reap(&o->sandbox, NULL);
	if (keep)
		return 0;
	return oci_destroy(o, err);
}

static int run(struct oci *o, const char *id, const struct oci_create_opts *opts, int *status, struct err *err)
{
	struct err cleanup = ERR_INIT;

	if (!opts->detach)
		oci_relay_prepare();
	int r = oci_create(o, id, opts, err);
	if (r < 0)
		return err_wrap(err, "run container %s", id);
	r = oci_start(o, err);
	if (r == 0 && opts->detach)
		return 0;
	if (r == 0)
		r = wait_for_end(o, status, err);
	if (r < 0) {
		err_wrap(err, "run container %s", id);
		oci_kill_wait(o, &cleanup);
	}
	if (end_run(o, r == 0 && opts->keep, &cleanup) < 0) {
		err_wrap(&cleanup, "delete container %s", id);
		cmd_report(o->g, "warning", &cleanup);
	}
	return r;
}

int cmd_run(int argc, char **argv, const struct cmd_globals *g)
{
	struct oci_create_opts opts = { 0 };
	struct err err = ERR_INIT;
	struct oci o;
	int status = 0;

	int first = oci_parse(run_options, "run [option ...] ID", argc, argv, 1, 1, &opts, &err);
	if (first <= 0)
		return first < 0 ? oci_fail(g, &err) : CMD_OK;
	oci_init(&o, g);
	int r = run(&o, argv[first], &opts, &status, &err);
	oci_fini(&o);
	return r < 0 ? oci_fail(g, &err) : status;
}
