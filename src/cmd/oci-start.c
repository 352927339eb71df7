/* start - run what a created container is for. */
#include <stddef.h>

#include "cmd/oci.h"

struct start_opts {
	bool help;
};

static const struct opt options[] = {
	{ "help", 'h', OPT_FLAG, offsetof(struct start_opts, help), NULL, "print this and exit", NULL, 0, 0 },
	{ NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 },
};

int cmd_start(int argc, char **argv, const struct cmd_globals *g)
{
	struct start_opts opts = { 0 };
	struct err err = ERR_INIT;
	struct oci o;

	int first = oci_parse(options, "start ID", argc, argv, 1, 1, &opts, &err);
	if (first <= 0)
		return first < 0 ? oci_fail(g, &err) : CMD_OK;
	oci_init(&o, g);
	int r = oci_open(&o, argv[first], /* lock= */ true, &err);
	if (r == 0)
		r = oci_load_spec(&o, &err);
	if (r == 0)
		r = oci_start(&o, &err);
	if (r < 0)
		err_wrap(&err, "start container %s", argv[first]);
	oci_fini(&o);
	return r < 0 ? oci_fail(g, &err) : CMD_OK;
}
