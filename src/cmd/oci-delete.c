/* delete - remove what is left of a container; with --force end it first. */
#include <errno.h>
#include <stddef.h>

#include "cmd/oci.h"

struct delete_opts {
	bool force, help;
};

#define AT(field) offsetof(struct delete_opts, field)
static const struct opt options[] = {
	{ "force", 'f', OPT_FLAG, AT(force), NULL, "kill it first; one that does not exist is no error", NULL, 0, 0 },
	{ "help", 'h', OPT_FLAG, AT(help), NULL, "print this and exit", NULL, 0, 0 },
	{ NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 },
};

/*
 * Another verb may hold the lock and hang (create in a hook, start in a stopped
 * container): with --force its container is killed first, which ends its wait.
 */
static int lock_by_force(struct oci *o, struct err *err)
{
	int r = state_dir_lock(&o->dir, /* wait= */ false, err);
	if (r != -EAGAIN)
		return r;
	r = state_read(&o->dir, &o->state, err);
	if (r == 0)
		r = oci_kill_wait(o, err);
	state_fini(&o->state);
	if (r < 0 && r != -ENOENT)
		return r;
	return state_dir_lock(&o->dir, /* wait= */ true, err);
}

static int check_stopped(const struct oci *o, struct err *err)
{
	enum state_status status = state_status(&o->dir, &o->state);
	if (status == STATE_STOPPED || status == STATE_CREATED) /* runc: one that never started may go */
		return 0;
	err_set(err, 0, "cannot delete container %s that is not stopped: %s", o->dir.id, state_status_name(status));
	return err_hint(err, "end it with fc-run kill %s KILL, or give --force", o->dir.id);
}

static int delete(struct oci *o, const char *id, bool force, struct err *err)
{
	struct err damage = ERR_INIT;
	int r = state_dir_open(o->g->root, id, &o->dir, err);
	if (r == 0)
		r = force ? lock_by_force(o, err) : state_dir_lock(&o->dir, /* wait= */ true, err);
	if (r == 0)
		r = state_read(&o->dir, &o->state, err);
	if (r == -ENOENT && force && o->dir.fd >= 0)
		r = 0; /* a create that was killed before it had a state: only the directory is left */
	if (r == 0 && !force)
		r = check_stopped(o, err);
	if (r == 0)
		r = oci_kill_wait(o, err);
	if (r == 0 && oci_load_spec(o, &damage) < 0) {
		err_wrap(&damage, "its poststop hooks are not known, ignoring");
		cmd_report(o->g, "warning", &damage);
	}
	return r < 0 ? r : oci_destroy(o, err);
}

int cmd_delete(int argc, char **argv, const struct cmd_globals *g)
{
	struct delete_opts opts = { 0 };
	struct err err = ERR_INIT;
	struct oci o;

	int first = oci_parse(options, "delete [option ...] ID", argc, argv, 1, 1, &opts, &err);
	if (first <= 0)
		return first < 0 ? oci_fail(g, &err) : CMD_OK;
	oci_init(&o, g);
	int r = delete(&o, argv[first], opts.force, &err);
	if (r == -ENOENT && opts.force)
		r = 0;
	if (r < 0)
		err_wrap(&err, "delete container %s", argv[first]);
	oci_fini(&o);
	return r < 0 ? oci_fail(g, &err) : CMD_OK;
}
