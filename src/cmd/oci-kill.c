/* kill - send a signal to a container's process, or to all processes in it. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include "cmd/oci.h"

struct kill_opts {
	bool all, help;
};

#define AT(field) offsetof(struct kill_opts, field)
static const struct opt options[] = {
	{ "all", 'a', OPT_FLAG, AT(all), NULL, "to every process in the container", NULL, 0, 0 },
	{ "help", 'h', OPT_FLAG, AT(help), NULL, "print this and exit", NULL, 0, 0 },
	{ NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 },
};

static int not_running(const struct oci *o, struct err *err)
{
	err_set(err, 0, "container %s: container not running", o->dir.id);
	err->code = ESRCH;
	return -ESRCH;
}

/* A frozen v1 group holds even SIGKILL back, and with it the whole pid namespace. */
static int thaw(struct cgroup *cg, struct err *err)
{
	int r = cgroup_freeze(cg, /* frozen= */ false, OCI_KILL_WAIT_MS, err);
	return r == -ENOENT || r == -ENOTSUP || r == -EOPNOTSUPP ? 0 : r;
}

static int signal_all(struct oci *o, int sig, struct err *err)
{
	struct cgroup cg = CGROUP_INIT;
	int r = oci_cgroup(o, &cg, err);
	if (r == -ENOENT && state_status(&o->dir, &o->state) == STATE_STOPPED)
		return 0; /* nobody is left to signal, as runc sees it */
	if (r == -ENOENT) {
		err_set(err, 0, "--all: container %s has no cgroup, so its processes cannot be found", o->dir.id);
		return err_hint(err, "leave --all out: a signal to its first process");
	}
	if (r < 0)
		return r;
	if (sig == SIGKILL) {
		r = cgroup_kill(&cg); /* thaws */
	} else {
		r = cgroup_signal(&cg, sig);
	}
	cgroup_fini(&cg);
	return r < 0 ? err_set(err, -r, "signal every process of container %s", o->dir.id) : 0;
}

static int signal_one(struct oci *o, int sig, struct err *err)
{
	struct proc p = { .pid = o->state.pid, .pidfd = state_pidfd(&o->state) };
	struct cgroup cg = CGROUP_INIT;

	if (p.pidfd == -ESRCH)
		return not_running(o, err);
	if (p.pidfd < 0)
		return err_set(err, -p.pidfd, "find process %d of container %s", (int)p.pid, o->dir.id);
	int r = proc_signal(&p, sig);
	close(p.pidfd);
	if (r == -ESRCH)
		return not_running(o, err);
	if (r < 0)
		return err_set(err, -r, "send signal %d to process %d of container %s", sig, (int)p.pid, o->dir.id);
	if (sig != SIGKILL)
		return 0;
	r = oci_cgroup(o, &cg, err);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = thaw(&cg, err);
	cgroup_fini(&cg);
	return r;
}

int cmd_kill(int argc, char **argv, const struct cmd_globals *g)
{
	struct kill_opts opts = { 0 };
	struct err err = ERR_INIT;
	struct oci o;

	int first = oci_parse(options, "kill [option ...] ID [SIGNAL]", argc, argv, 1, 2, &opts, &err);
	if (first <= 0)
		return first < 0 ? oci_fail(g, &err) : CMD_OK;
	int sig = argc - first == 2 ? oci_signal(argv[first + 1], &err) : SIGTERM;
	oci_init(&o, g);
	int r = sig < 0 ? sig : oci_open(&o, argv[first], /* lock= */ false, &err);
	if (r == 0)
		r = opts.all ? signal_all(&o, sig, &err) : signal_one(&o, sig, &err);
	if (r < 0)
		err_wrap(&err, "kill container %s", argv[first]);
	oci_fini(&o);
	return r < 0 ? oci_fail(g, &err) : CMD_OK;
}
