/*
 * oci-life - a container's later life: start, end, removal.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "cmd/oci.h"

/* ---- start ------------------------------------------------------------- */

static int connect_gate(struct oci *o, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/gate", o->dir.fd);
	autoclose int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_set(err, errno, "connect to the start gate %s/gate", o->dir.path);
	return take_fd(&fd);
}

static bool has_start_hook(const struct oci *o)
{
	if (o->spec.len > 0)
		SPEC_EACH(oci_spec(o), HOOK, struct spec_hook, h)
			if (h->kind == SPEC_HOOK_START_CONTAINER)
				return true;
	return false;
}

static int send_go(struct oci *o, int fd, struct err *err)
{
	autobuf struct buf msg = BUF_INIT(sizeof(struct go) + GO_STATE_MAX), state = BUF_INIT(GO_STATE_MAX);
	const struct go go = { .magic = GO_MAGIC };
	/* only startContainer hooks read it: without one, no size of the annotations is too much */
	int r = has_start_hook(o) ? oci_state_text(o, STATE_CREATED, &state, err) : 0;
	if (r < 0)
		return r;
	r = buf_append(&msg, &go, sizeof(go));
	if (r == 0 && state.len > 0)
		r = buf_append(&msg, state.data, state.len);
	if (r == 0)
		r = fd_send_msg(fd, msg.data, msg.len, NULL, 0);
	return r < 0 ? err_set(err, -r, "tell the container to start") : 0;
}

/* Engines tell "not found" from other failures by these very words. */
static int exec_failure(const struct oci *o, const struct report *report, struct err *err)
{
	int r = sandbox_failure(report, err);
	if (report->stage != STAGE_exec || report->code != ENOENT)
		return r;
	if (o->word[0] && !strchr(o->word, '/')) {
		err_set(err, 0, "exec: \"%s\": executable file not found in $PATH", o->word);
		err->code = ENOENT;
		return err_hint(err, "see process.args and PATH in process.env of config.json");
	}
	return err_hint(err, "the program, or the interpreter or loader that it names, is missing in the container");
}

/* The payload's first word, without keeping the payload: it is in the report's detail ("execute NAME"). */
static void note_word(struct oci *o, const struct report *report)
{
	static const char prefix[] = "execute ";
	if (strncmp(report->detail, prefix, sizeof(prefix) - 1) == 0)
		snprintf(o->word, sizeof(o->word), "%s", report->detail + sizeof(prefix) - 1);
}

static int await_exec(struct oci *o, int fd, struct err *err)
{
	struct sandbox gate = SANDBOX_INIT; /* the gate's connection carries the same reports */
	struct report report;
	gate.status_fd = fd;
	for (;;) {
		int r = sandbox_report(&gate, &report);
		if (r <= 0)
			return r < 0 ? err_set(err, -r, "read the container's report") : 0;
		if (report.kind == REPORT_FAILED) {
			note_word(o, &report);
			return exec_failure(o, &report, err);
		}
	}
}

static int check_startable(struct oci *o, struct err *err)
{
	enum state_status status = state_status(&o->dir, &o->state);
	if (status == STATE_CREATED)
		return 0;
	err_set(err, 0, "container %s: %s", o->dir.id,
		status == STATE_RUNNING ? "cannot start an already running container"
		: status == STATE_STOPPED ? "cannot start a container that has stopped"
					  : "cannot start a container whose creation is not finished");
	return err_hint(err, "fc-run state %s tells more", o->dir.id);
}

int oci_start(struct oci *o, struct err *err)
{
	struct err cleanup = ERR_INIT;
	int r = check_startable(o, err);
	if (r < 0)
		return r;
	autoclose int fd = connect_gate(o, err);
	if (fd < 0)
		return fd;
	r = send_go(o, fd, err);
	if (r == 0)
		r = await_exec(o, fd, err);
	if (r == 0 && unlinkat(o->dir.fd, "gate", 0) < 0)
		r = err_set(err, errno, "remove the start gate %s/gate", o->dir.path);
	oci_debug(o, "process %d %s", (int)o->state.pid, r == 0 ? "executes its program" : "failed");
	if (r == 0)
		r = oci_hooks(o, SPEC_HOOK_POSTSTART, STATE_RUNNING, err);
	if (r < 0 && oci_kill_wait(o, &cleanup) < 0)
		cmd_report(o->g, "warning", &cleanup);
	return r;
}

/* ---- end --------------------------------------------------------------- */

int oci_cgroup(struct oci *o, struct cgroup *ret, struct err *err)
{
	if (!o->state.cgroup[0])
		return -ENOENT;
	if (!o->host_ready) {
		const char *root = o->state.cgroup_root[0] ? o->state.cgroup_root : NULL; /* where create lived, not we */
		int r = cgroup_host_init(&o->host, o->state.cgroup_at_root ? CGROUP_ROOT_TOP : root, err);
		if (r < 0)
			return r;
		o->host_ready = true;
	}
	return cgroup_open(&o->host, o->state.cgroup, ret, err);
}

/* Without pidfd_send_signal(2) on a zombie failing: the end is what was wanted. */
int oci_kill_wait(struct oci *o, struct err *err)
{
	struct proc p = { .pid = o->state.pid, .pidfd = state_pidfd(&o->state) };
	struct cgroup cg = CGROUP_INIT;

	if (p.pidfd == -ESRCH)
		return 0;
	if (p.pidfd < 0)
		return err_set(err, -p.pidfd, "find process %d of container %s", (int)p.pid, o->dir.id);
	int r = proc_signal(&p, SIGKILL);
	if (oci_cgroup(o, &cg, err) == 0) { /* also thaws: a frozen v1 group holds SIGKILL back */
		cgroup_kill(&cg);
		cgroup_fini(&cg);
	}
	struct pollfd end = { .fd = p.pidfd, .events = POLLIN };
	int64_t deadline = clock_mono_ns() + (int64_t)OCI_KILL_WAIT_MS * 1000000;
	int n = r < 0 && r != -ESRCH ? 1 : 0;
	while (n == 0 && clock_mono_ns() < deadline) {
		n = poll(&end, 1, OCI_KILL_WAIT_MS);
		if (n < 0 && errno == EINTR)
			n = 0;
	}
	close(p.pidfd);
	if (r < 0 && r != -ESRCH)
		return err_set(err, -r, "kill process %d of container %s", (int)p.pid, o->dir.id);
	if (n == 0) {
		err_set(err, ETIMEDOUT, "wait %d s for the end of process %d after SIGKILL", OCI_KILL_WAIT_MS / 1000, (int)p.pid);
		return err_hint(err, "it may wait for a disk or a network file system; /proc/%d/stack tells", (int)p.pid);
	}
	return 0;
}

static bool keep(const char *path, void *arg)
{
	(void)path;
	(void)arg;
	return false;
}

static int remove_cgroup(struct oci *o, struct err *err)
{
	struct cgroup cg = CGROUP_INIT;
	int r = oci_cgroup(o, &cg, err);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	cgroup_kill(&cg); /* what is left when its pid namespace was not its own */
	r = cgroup_remove(&cg, OCI_KILL_WAIT_MS);
	cgroup_fini(&cg);
	if (r == 0 && o->state.cgroup_root[0]) /* create may have had to step aside there, and has ended since */
		cgroup_sweep(&o->host, keep, NULL, NULL);
	return r < 0 && r != -ENOENT ? err_set(err, -r, "remove the cgroup %s", o->state.cgroup) : 0;
}

int oci_destroy(struct oci *o, struct err *err)
{
	oci_debug(o, "remove cgroup %s and %s", o->state.cgroup[0] ? o->state.cgroup : "(none)", o->dir.path);
	int r = remove_cgroup(o, err);
	if (r == 0)
		r = state_dir_remove(&o->dir, o->g->root, err);
	if (r < 0)
		return r;
	/* a failing poststop hook is a warning: the container is gone either way */
	return oci_hooks(o, SPEC_HOOK_POSTSTOP, STATE_STOPPED, err);
}
