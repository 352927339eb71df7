/*
 * fc-run - the command table: one row per verb, the options that stand before
 * the verb, and nothing else. What a verb does is in its own file.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/opts.h"
#include "base/path.h"
#include "cmd/cmd.h"
#include "config.h"

struct verb {
	const char *name;
	cmd_fn *run;
	const char *help;
};

static const struct verb verbs[] = {
	{ "invoke", cmd_invoke, "run a function once in a fresh sandbox and print its reply" },
	{ "doctor", cmd_doctor, "try out what this host can do, and say what to do about what is missing" },
	{ "create", cmd_create, "make an OCI container that waits for start" },
	{ "start", cmd_start, "run what a created container is for" },
	{ "run", cmd_run, "create, start and wait for an OCI container" },
	{ "state", cmd_state, "print a container's state as JSON" },
	{ "kill", cmd_kill, "send a signal to a container" },
	{ "delete", cmd_delete, "remove a container that has ended" },
	{ "list", cmd_list, "list the containers in --root" },
	{ "spec", cmd_spec, "write a config.json to start from" },
	{ "features", cmd_features, "print what the OCI side can do, as JSON" },
	{ NULL, NULL, NULL },
};

struct main_opts {
	const char *root, *log;
	int log_format, rootless;
	bool systemd_cgroup, debug, version, help;
};

#define AT(field) offsetof(struct main_opts, field)
static const struct opt options[] = {
	{ "root", 0, OPT_STR, AT(root), "DIR", "where the state of OCI containers is kept", NULL, 0, 0 },
	{ "log", 0, OPT_STR, AT(log), "FILE", "append errors to FILE as well as stderr", NULL, 0, 0 },
	{ "log-format", 0, OPT_ENUM, AT(log_format), NULL, "form of the lines in --log", "text|json", 0, 0 },
	{ "systemd-cgroup", 0, OPT_FLAG, AT(systemd_cgroup), NULL, "accepted from engines; create refuses it",
	  NULL, 0, 0 },
	{ "rootless", 0, OPT_ENUM, AT(rootless), NULL, "state below XDG_RUNTIME_DIR, no cgroup unless delegated",
	  "auto|true|false", 0, 0 },
	{ "debug", 0, OPT_FLAG, AT(debug), NULL, "also log what is being done", NULL, 0, 0 },
	{ "version", 'v', OPT_FLAG, AT(version), NULL, "print the version and exit", NULL, 0, 0 },
	{ "help", 'h', OPT_FLAG, AT(help), NULL, "print this and exit", NULL, 0, 0 },
	{ NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 },
};

static void print_help(FILE *out)
{
	fputs("usage: fc-run [option ...] verb [argument ...]\n\nVerbs (\"fc-run verb --help\" tells more):\n", out);
	for (const struct verb *v = verbs; v->name; v++)
		fprintf(out, "  %-12s%s\n", v->name, v->help);
	fputs("\nOptions before the verb:\n", out);
	opts_help(options, out);
}

/* Engines read the first line as name and version, and look for "spec: " (ENGINES: dockerd at its start). */
static void print_version(void)
{
	printf("fc-run version %s\nspec: %s\n", VERSION, CMD_OCI_VERSION);
}

/* A user namespace whose map is not the whole range has a root that is no root outside (user_namespaces(7)). */
static bool in_user_namespace(void)
{
	autofp FILE *fp = fopen("/proc/self/uid_map", "re");
	unsigned long inside = 0, outside = 0, count = 0;
	if (!fp || fscanf(fp, "%lu %lu %lu", &inside, &outside, &count) != 3)
		return false;
	return inside != 0 || outside != 0 || count != 4294967295UL;
}

static int finish_globals(const struct main_opts *o, struct cmd_globals *g, struct err *err)
{
	static char root[PATH_BUF];
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	g->log = o->log;
	g->log_format = o->log_format;
	g->systemd_cgroup = o->systemd_cgroup;
	g->debug = o->debug;
	g->rootless = o->rootless == 1 || (o->rootless == 0 && (geteuid() != 0 || in_user_namespace()));
	g->root = o->root;
	if (g->root)
		return *g->root ? 0 : err_set(err, 0, "--root: the name is empty");
	g->root = FC_RUNTIMEDIR "/oci";
	if (g->rootless && runtime && *runtime) {
		if ((size_t)snprintf(root, sizeof(root), "%s/fcnode/oci", runtime) >= sizeof(root))
			return err_set(err, 0, "XDG_RUNTIME_DIR is longer than %zu bytes", sizeof(root));
		g->root = root;
	}
	return 0;
}

/* A caller may have closed 0, 1 or 2: our own descriptors must not land there. */
static void hold_standard_fds(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR); /* not close-on-exec: it stands in for what is inherited */
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

/* Output that could not be written is an error, not a success (a full disk behind "> file"). */
static int close_stdout(int status, const struct cmd_globals *g)
{
	struct err err = ERR_INIT;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	err_set(&err, errno, "write to standard output");
	cmd_report(g, "error", &err);
	return status ? status : CMD_HOST;
}

int main(int argc, char **argv)
{
	struct main_opts o = { 0 };
	struct cmd_globals g = { 0 };
	struct err err = ERR_INIT;

	hold_standard_fds();
	int first = opts_parse(options, argc, argv, /* permute= */ false, &o, &err);
	if (first < 0 || finish_globals(&o, &g, &err) < 0) {
		g.log = o.log;
		g.log_format = o.log_format;
		cmd_report(&g, "error", &err);
		return CMD_BAD_INPUT;
	}
	if (o.help || o.version) {
		if (o.help)
			print_help(stdout);
		else
			print_version();
		return close_stdout(CMD_OK, &g);
	}
	if (first == argc) {
		print_help(stderr);
		return CMD_BAD_INPUT;
	}
	for (const struct verb *v = verbs; v->name; v++)
		if (strcmp(v->name, argv[first]) == 0)
			return close_stdout(v->run(argc - first, argv + first, &g), &g);

	err_set(&err, 0, "unknown verb %s", argv[first]);
	err_hint(&err, "fc-run --help lists the verbs");
	cmd_report(&g, "error", &err);
	return CMD_BAD_INPUT;
}
