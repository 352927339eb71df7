/*
 * oci-setup - from a bundle to a container that waits at its gate.
 *
 * Everything that can be refused without touching the host is refused first
 * (options, config.json, spec). Then the container's directory is made, and
 * before a process exists its state names the cgroup, so that a create that
 * was killed half-way can be cleaned up by `delete --force`.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/str.h"
#include "cmd/oci.h"
#include "plan/oci.h"

/* What the payload gets beyond 0, 1, 2: sockets of LISTEN_FDS, then --preserve-fds. */
static int check_fds(const struct oci_create_opts *opts, uint32_t *ret, struct err *err)
{
	const char *text = getenv("LISTEN_FDS");
	uint64_t listen_fds = 0;
	if (text && *text && (str_to_u64(text, &listen_fds) < 0 || listen_fds > OCI_FDS_MAX))
		return err_set(err, 0, "LISTEN_FDS=%.32s in the environment: not a number up to %d", text, OCI_FDS_MAX);
	uint64_t more = listen_fds + opts->preserve_fds;
	if (more > OCI_FDS_MAX - 3)
		return err_set(err, 0, "--preserve-fds %llu: at most %d descriptors can be passed on",
			       (unsigned long long)opts->preserve_fds, OCI_FDS_MAX - 3);
	for (int fd = 3; fd < 3 + (int)more; fd++) {
		if (fcntl(fd, F_GETFD) < 0) {
			err_set(err, errno, "pass descriptor %d on to the container", fd);
			return err_hint(err, "--preserve-fds N needs descriptors 3 to N + 2 open%s",
					listen_fds ? ", after those of LISTEN_FDS" : "");
		}
	}
	*ret = (uint32_t)more;
	return 0;
}

/* sd_listen_fds(3): the sockets come first, and the process they are for is the container's first. */
static int add_listen_fds(json_t *config, struct err *err)
{
	const char *n = getenv("LISTEN_FDS");
	json_t *process = json_object_get(config, "process");
	if (!n || !*n || !process)
		return 0;
	json_t *env = json_object_get(process, "env");
	if (!env) {
		env = json_array();
		json_object_set_new(process, "env", env);
	}
	if (json_array_append_new(env, json_sprintf("LISTEN_FDS=%s", n)) < 0 ||
	    json_array_append_new(env, json_string("LISTEN_PID=1")) < 0)
		return err_set(err, 0, "process.env: must be an array");
	return 0;
}

static int find_bundle(struct oci *o, const char *bundle, struct err *err)
{
	char path[PATH_MAX];
	if (!realpath(bundle ? bundle : ".", path))
		return err_set(err, errno, "open bundle %s", bundle ? bundle : "(the current directory)");
	if (!str_copy(o->state.bundle, sizeof(o->state.bundle), path))
		return err_set(err, ENAMETOOLONG, "open bundle %s", path);
	return 0;
}

/* root.path and annotations are not part of the spec, but `state`, `list` and hooks show them. */
static int note_config(struct oci *o, json_t *config, struct err *err)
{
	const char *root = json_string_value(json_object_get(json_object_get(config, "root"), "path"));
	json_t *word = json_array_get(json_object_get(json_object_get(config, "process"), "args"), 0);

	o->state.annotations = json_incref(json_object_get(config, "annotations"));
	str_copy(o->word, sizeof(o->word), json_is_string(word) ? json_string_value(word) : "");
	if (!root)
		return 0;
	int n = snprintf(o->state.rootfs, sizeof(o->state.rootfs), "%s%s%s", *root == '/' ? "" : o->state.bundle,
			 *root == '/' ? "" : "/", root);
	if ((size_t)n >= sizeof(o->state.rootfs))
		return err_set(err, ENAMETOOLONG, "root.path");
	return 0;
}

static void apply_options(struct oci *o, const struct oci_create_opts *opts)
{
	struct spec *s = (struct spec *)(void *)o->spec.data;
	s->flags |= 1u << SPEC_F_GATE;
	s->flags &= ~(1u << SPEC_F_DIE_WITH_PARENT); /* the container outlives create */
	if (opts->no_new_keyring)
		s->flags &= ~(1u << SPEC_F_NEW_KEYRING);
	/* an ordinary user's namespaces cannot have device nodes made in them, and need no rule against it */
	if (o->g->rootless)
		s->flags &= ~(1u << SPEC_F_DENY_DEVICES);
}

static int check_terminal(const struct oci_create_opts *opts, bool terminal, struct err *err)
{
	bool detached = opts->detach; /* create always is */
	if (terminal && detached && !opts->console_socket) {
		err_set(err, 0, "process.terminal is true, but nobody takes the terminal: "
				"cannot allocate tty if fc-run will detach without setting console socket");
		return err_hint(err, "give --console-socket, or set process.terminal to false in config.json");
	}
	if (opts->console_socket && (!terminal || !detached)) {
		err_set(err, 0, "--console-socket: cannot use console socket if fc-run will not detach or allocate tty");
		return err_hint(err, "set process.terminal to true in config.json%s", detached ? "" : " and give --detach");
	}
	return 0;
}

int oci_read_bundle(struct oci *o, const struct oci_create_opts *opts, uint32_t more_fds, bool *terminal,
		    struct err *err)
{
	char path[STATE_PATH_MAX + 16];
	struct oci_info info = { 0 };

	if (o->g->systemd_cgroup) {
		err_set(err, 0, "--systemd-cgroup: fc-run makes its cgroups itself, systemd's manager is not supported");
		return err_hint(err, "use the cgroupfs manager (podman --cgroup-manager cgroupfs; "
				     "dockerd --exec-opt native.cgroupdriver=cgroupfs)");
	}
	int r = find_bundle(o, opts->bundle, err);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/config.json", o->state.bundle);
	autojson json_t *config = json_parse_file(path, OCI_CONFIG_SIZE_MAX, err);
	if (!config) {
		if (err->code == ENOENT)
			err_hint(err, "a bundle is a directory with config.json and a root file system; "
				      "fc-run spec writes a config.json to start from");
		return -err->code;
	}
	const struct oci_env env = {
		.bundle = o->state.bundle,
		.stage_dir = o->dir.path,
		.superuser = geteuid() == 0,
		.apparmor = access("/sys/kernel/security/apparmor/profiles", F_OK) == 0,
		.selinux = access("/sys/fs/selinux/enforce", F_OK) == 0,
		.no_pivot = opts->no_pivot,
		.preserve_fds = more_fds,
		/* there always is one when there is a terminal: open_console() sees to it, or says why not */
		.console_socket = json_is_true(json_object_get(json_object_get(config, "process"), "terminal")),
	};
	r = add_listen_fds(config, err);
	if (r == 0)
		r = oci_compile(config, &env, &o->spec, &o->payload, &info, err);
	if (r == 0 && !info.has_process) {
		err_set(err, 0, "process: missing");
		err_hint(err, "fc-run can only create containers that have something to run");
		r = -EINVAL;
	}
	if (r == 0)
		r = note_config(o, config, err);
	if (r < 0)
		return err_wrap(err, "%s", path);
	apply_options(o, opts);
	*terminal = info.terminal;
	o->rows = info.console_rows;
	o->columns = info.console_columns;
	return 0;
}

/* ---- cgroup ------------------------------------------------------------ */

static bool wants_limits(const struct spec *s)
{
	const struct spec_cgroup *c = &s->cgroup;
	return c->memory_bytes || c->memory_low_bytes || (c->flags & SPEC_CG_SWAP) || c->cpu_quota_us || c->cpu_weight ||
	       c->pids || c->io_weight || c->cpuset_cpus || c->cpuset_mems || s->section[SPEC_SECT_IO].count ||
	       s->section[SPEC_SECT_CGROUP_FILE].count || spec_has(s, SPEC_F_DENY_DEVICES);
}

/* Nobody may be in it. An empty one is taken over, or is what a killed create of this very id left. */
static int check_cgroup_free(struct oci *o, bool given, struct err *err)
{
	struct cgroup there = CGROUP_INIT;
	struct err missing = ERR_INIT;
	bool populated = true;

	if (cgroup_open(&o->host, o->state.cgroup, &there, &missing) < 0)
		return 0; /* the usual case; any other trouble comes back from cgroup_make() */
	int r = cgroup_populated(&there, &populated);
	if (r == 0 && !populated && !given)
		r = cgroup_remove(&there, OCI_KILL_WAIT_MS);
	cgroup_fini(&there);
	if (r == 0 && !populated)
		return 0;
	err_set(err, EEXIST, "make the cgroup %s", o->state.cgroup);
	return err_hint(err, "processes live there: give this container a linux.cgroupsPath of its own");
}

/* cgroupsPath: absolute counts from the mounts' roots, relative from fcnode's; without one, oci/<id> below fcnode's. */
static int choose_cgroup(struct oci *o, struct err *err)
{
	const struct spec *s = oci_spec(o);
	const char *path = spec_text(s, s->cgroup_path);

	o->state.cgroup_at_root = *path == '/';
	while (*path == '/')
		path++;
	if (strchr(path, ':')) {
		err_set(err, 0, "linux.cgroupsPath \"%s\" is of systemd's form (slice:prefix:name)", path);
		return err_hint(err, "use the cgroupfs manager of your engine, or a path such as /oci/%s", o->dir.id);
	}
	int r = cgroup_host_init(&o->host, o->state.cgroup_at_root ? CGROUP_ROOT_TOP : NULL, err);
	if (r < 0)
		return err_wrap(err, "find the host's cgroups");
	o->host_ready = true;
	r = cgroup_host_dir(&o->host, o->state.cgroup_root, sizeof(o->state.cgroup_root));
	if (r < 0 && r != -ENOENT)
		return err_set(err, -r, "note where the cgroup of container %s is", o->dir.id);
	if (!o->host.writable && !wants_limits(s)) {
		o->state.cgroup[0] = '\0'; /* nothing to limit with, and nothing was asked */
		return 0;
	}
	int n = *path ? snprintf(o->state.cgroup, CGROUP_PATH_MAX, "%s", path)
		      : snprintf(o->state.cgroup, CGROUP_PATH_MAX, "oci/%s", o->dir.id);
	if (n >= CGROUP_PATH_MAX)
		return err_set(err, 0, "linux.cgroupsPath is longer than %d bytes", CGROUP_PATH_MAX - 1);

	return check_cgroup_free(o, *path != '\0', err);
}

/* ---- the container ----------------------------------------------------- */

/* Bound through the directory's descriptor: sun_path is 108 bytes, engines' state directories are longer. */
static int make_gate(struct oci *o, int *ret, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/gate", o->dir.fd);
	autoclose int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || fchmodat(o->dir.fd, "gate", 0600, 0) < 0 ||
	    listen(fd, 1) < 0)
		return err_set(err, errno, "make the start gate %s/gate", o->dir.path);
	*ret = take_fd(&fd);
	return 0;
}

static int save_first(struct oci *o, struct err *err)
{
	struct timespec now;
	struct tm tm;
	char date[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(o->state.created_at, sizeof(o->state.created_at), "%s.%09ldZ", date, now.tv_nsec);
	o->state.owner = geteuid();
	int r = fd_replace_file_at(o->dir.fd, "spec", o->spec.data, o->spec.len, 0600);
	if (r < 0)
		return err_set(err, -r, "write %s/spec", o->dir.path);
	return state_write(&o->dir, &o->state, err);
}

static int launch_container(struct oci *o, int gate, int console, struct err *err)
{
	const struct spec *s = oci_spec(o);
	int fds[OCI_FDS_MAX];

	autoclose int payload = fd_sealed_memfd("fc-payload", o->payload.data, o->payload.len);
	if (payload < 0)
		return err_set(err, -payload, "put the payload into a memfd");
	for (uint32_t i = 0; i < s->payload_fds; i++)
		fds[i] = (int)i;
	const struct launch_req req = {
		.spec = s,
		.payload_fd = payload,
		.fds = fds,
		.nfds = s->payload_fds,
		.cgroup_path = o->state.cgroup[0] ? o->state.cgroup : NULL,
		.netns_fd = -1,
		.gate_fd = gate,
		.console_fd = console,
	};
	int r = launch(&o->host, &req, &o->sandbox, err);
	o->has_sandbox = r == 0;
	return r;
}

static int run_create_hooks(struct oci *o, struct err *err)
{
	autobuf struct buf state = BUF_INIT(GO_STATE_MAX);
	int r = oci_hooks(o, SPEC_HOOK_PRESTART, STATE_CREATING, err);
	if (r == 0)
		r = oci_hooks(o, SPEC_HOOK_CREATE_RUNTIME, STATE_CREATING, err);
	if (r == 0)
		r = oci_state_text(o, STATE_CREATING, &state, err);
	return r < 0 ? r : sandbox_continue(&o->sandbox, state.data, state.len, err);
}

/* Until the sandbox closes the status socket, which it does at the gate. */
static int await_gate(struct oci *o, struct err *err)
{
	struct report report;
	for (;;) {
		int r = sandbox_report(&o->sandbox, &report);
		if (r == 0)
			break;
		if (r < 0)
			return err_set(err, -r, "read the sandbox's report");
		if (report.kind == REPORT_FAILED)
			return sandbox_failure(&report, err);
		if (report.kind == REPORT_HOOKS) {
			r = run_create_hooks(o, err);
			if (r < 0)
				return r;
		}
	}
	/* it also ends when fc-sandbox was killed, by the memory limit for one */
	struct err gone = ERR_INIT;
	int r = state_set_process(&o->state, o->sandbox.proc.pid, &gone);
	if (r == 0)
		o->state.created = true;
	if (r < 0 || state_status(&o->dir, &o->state) != STATE_CREATED) {
		err_set(err, 0, "the container's process ended before it was ready");
		return err_hint(err, "was it killed, or is linux.resources.memory.limit too small to start in?");
	}
	return 0;
}

static int write_pid_file(const struct oci_create_opts *opts, pid_t pid, struct err *err)
{
	char text[16];
	if (!opts->pid_file)
		return 0;
	int n = snprintf(text, sizeof(text), "%d", (int)pid);
	int r = fd_replace_file_at(AT_FDCWD, opts->pid_file, text, (size_t)n, 0644);
	return r < 0 ? err_set(err, -r, "write the pid file %s", opts->pid_file) : 0;
}

static int connect_console(const char *path, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	if (!str_copy(addr.sun_path, sizeof(addr.sun_path), path))
		return err_set(err, ENAMETOOLONG, "--console-socket %s", path);
	autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_set(err, errno, "connect to the console socket %s", path);
	return take_fd(&fd);
}

/* fc-sandbox sends the master to us, whoever gets it then: it needs its size first. */
static int open_console(struct oci *o, const struct oci_create_opts *opts, bool terminal, int *ret, struct err *err)
{
	int r = check_terminal(opts, terminal, err), pair[2];
	if (r < 0 || !terminal)
		return r;
	if (opts->console_socket) {
		o->engine_fd = connect_console(opts->console_socket, err);
		if (o->engine_fd < 0)
			return o->engine_fd;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(err, errno, "make a socket for the terminal");
	o->console_fd = pair[0];
	*ret = pair[1];
	return 0;
}

/* It was sent before the gate was reached: keep it for a foreground run, or pass it on to the engine. */
static int deliver_master(struct oci *o, struct err *err)
{
	char name[64];
	size_t count = 1;
	if (o->console_fd < 0)
		return 0;
	ssize_t n = fd_recv_msg(o->console_fd, name, sizeof(name), &o->master, &count, MSG_DONTWAIT);
	if (n <= 0 || count != 1)
		return err_set(err, n < 0 ? (int)-n : count == FD_LOST ? EMFILE : EPROTO, "receive the container's terminal");
	const struct winsize size = { .ws_row = o->rows, .ws_col = o->columns };
	if ((o->rows || o->columns) && ioctl(o->master, TIOCSWINSZ, &size) < 0)
		return err_set(err, errno, "process.consoleSize: set the terminal to %u rows, %u columns", o->rows, o->columns);
	if (o->engine_fd < 0)
		return 0;
	int r = fd_send_msg(o->engine_fd, name, (size_t)n, &o->master, 1);
	cleanup_close(&o->master);
	return r < 0 ? err_set(err, -r, "send the terminal over the console socket") : 0;
}

static int create_steps(struct oci *o, const struct oci_create_opts *opts, uint32_t more_fds, struct err *err)
{
	autoclose int gate = -1, console = -1;
	bool terminal = false;

	int r = oci_read_bundle(o, opts, more_fds, &terminal, err);
	if (r == 0)
		r = open_console(o, opts, terminal, &console, err);
	if (r == 0)
		r = choose_cgroup(o, err);
	if (r == 0)
		r = save_first(o, err);
	oci_debug(o, "bundle %s, cgroup %s", o->state.bundle, o->state.cgroup[0] ? o->state.cgroup : "(none)");
	if (r == 0)
		r = make_gate(o, &gate, err);
	if (r == 0)
		r = launch_container(o, gate, console, err);
	cleanup_close(&console);
	cleanup_close(&gate); /* only the sandbox listens: start of a dead one is refused, not stuck */
	if (r == 0)
		r = state_set_process(&o->state, o->sandbox.proc.pid, err);
	if (r == 0)
		r = state_write(&o->dir, &o->state, err); /* hooks may ask for it */
	if (r == 0)
		r = await_gate(o, err);
	if (r == 0)
		r = oci_check_program(o, err);
	if (r == 0)
		r = deliver_master(o, err);
	if (r == 0)
		r = state_write(&o->dir, &o->state, err);
	oci_debug(o, "process %d %s", (int)o->state.pid, r == 0 ? "waits at the gate" : "failed");
	return r < 0 ? r : write_pid_file(opts, o->state.pid, err);
}

int oci_create(struct oci *o, const char *id, const struct oci_create_opts *opts, struct err *err)
{
	struct err cleanup = ERR_INIT;
	uint32_t more_fds = 0;

	int r = check_fds(opts, &more_fds, err);
	if (r == 0)
		r = state_dir_make(o->g->root, id, &o->dir, err);
	if (r < 0)
		return r;
	r = create_steps(o, opts, more_fds, err);
	if (r == 0)
		return 0;
	if (o->has_sandbox) {
		sandbox_kill(&o->sandbox);
		sandbox_reap(&o->sandbox, NULL);
		sandbox_fini(&o->sandbox);
		o->has_sandbox = false;
	}
	o->state.cgroup[0] = '\0'; /* launch or sandbox_fini removed it, or it was never ours */
	if (oci_destroy(o, &cleanup) < 0)
		cmd_report(o->g, "warning", &cleanup);
	return r;
}
