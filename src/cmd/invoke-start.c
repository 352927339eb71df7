#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "cmd/invoke.h"
#include "host/image.h"
#include "sandbox/sys.h"

/* Paths and lists that the wish borrows. */
struct wish_paths {
	char image[PATH_BUF], skel[PATH_BUF], runtime[PATH_BUF], tmp[PATH_BUF];
	struct image_host host;
};

static bool typed_limits(const struct invoke_opts *o)
{
	return o->memory != INVOKE_UNSET || o->cpu != INVOKE_UNSET || o->pids != INVOKE_UNSET;
}

/*
 * Limits need a cgroup we may write to. Asked-for limits that cannot be had
 * are refused; mere defaults are dropped with one line (DESIGN.md, invariant 5).
 */
static int check_limits(struct invoke *v)
{
	const struct invoke_opts *o = v->opts;
	if (o->unlimited && typed_limits(o)) {
		err_set(&v->err, 0, "--unlimited does not go with --memory, --cpu or --pids");
		return CMD_BAD_INPUT;
	}
	if (o->unlimited)
		return CMD_OK;
	/* one group per call, at the top: nothing to make and remove above it */
	if (cgroup_host_init(&v->host, geteuid() == 0 ? CGROUP_ROOT_TOP : NULL, &v->err) < 0)
		return CMD_HOST;
	v->have_host = true;
	v->limited = v->host.mode != CGROUP_NONE && v->host.writable;
	if (v->limited)
		return CMD_OK;
	if (geteuid() == 0 || typed_limits(o)) {
		err_set(&v->err, ENOTSUP, "limit the sandbox: %s", v->host.why);
		err_hint(&v->err, "run as root or in a delegated cgroup, or give --unlimited to run without limits; "
				  "fc-run doctor shows what is missing");
		return CMD_HOST;
	}
	fprintf(stderr, "fc-run: note: running without memory, cpu and process limits: %s\n", v->host.why);
	return CMD_OK;
}

/* A fault in what we brought along is the installation's, not the caller's, whatever its errno. */
static int own_data(int r) { return r < 0 ? -ENOPKG : r; }

static int wish_image(const struct invoke_opts *o, struct wish_paths *p, struct function_wish *w, struct err *err)
{
	struct stat st;
	int r;
	if (o->image && strcmp(o->image, "host") != 0) {
		w->image = WISH_IMAGE_DIR;
		char named[PATH_BUF];
		const char *dir = o->image;
		if (!strchr(dir, '/')) {
			r = path_image(dir, named, sizeof(named), err);
			if (r < 0)
				return r;
			dir = named;
		}
		if (!realpath(dir, p->image))
			return err_set(err, errno, "open image %s", o->image);
		if (stat(p->image, &st) < 0 || !S_ISDIR(st.st_mode))
			return err_set(err, ENOTDIR, "open image %s", o->image);
		w->image_dir = p->image;
		r = own_data(path_data("images/skel", p->skel, sizeof(p->skel), err));
		w->skel_dir = p->skel;
		return r;
	}
	w->image = WISH_IMAGE_HOST;
	r = own_data(image_host_load(&p->host, err));
	w->etc_dir = p->host.etc;
	w->etc_binds = p->host.binds;
	w->usr_split = p->host.usr_split;
	w->lib64 = p->host.lib64;
	return r;
}

static uint64_t pick(uint64_t option, uint64_t otherwise) { return option != INVOKE_UNSET ? option : otherwise; }

static uint64_t hard_limit(int resource)
{
	struct rlimit l;
	return getrlimit((__rlimit_resource_t)resource, &l) < 0 || l.rlim_max == RLIM_INFINITY ? 0 : l.rlim_max;
}

static bool core_is_zero(void)
{
	struct rlimit l;
	return getrlimit(RLIMIT_CORE, &l) == 0 && l.rlim_max == 0;
}

static int features_off(const struct invoke_opts *o, uint32_t *ret, struct err *err)
{
	static const char *const names[] = {
#define X(name, text) [SYS_##name] = text,
		SYS_FEATURE_LIST(X)
#undef X
	};
	for (size_t i = 0; i < o->without.count; i++) {
		size_t k = 0;
		while (k < ARRAY_LEN(names) && strcmp(names[k], o->without.item[i]) != 0)
			k++;
		if (k == ARRAY_LEN(names))
			return err_set(err, 0, "--without %s: no such feature", o->without.item[i]);
		*ret |= 1u << k;
	}
	return 0;
}

static int make_wish(struct invoke *v, struct wish_paths *p, struct function_wish *w)
{
	const struct invoke_opts *o = v->opts;
	const struct function *f = &v->function;
	bool root = geteuid() == 0;
	int r = wish_image(o, p, w, &v->err);
	if (r < 0)
		return r;
	w->runtime = f->runtime;
	if (function_runtime_dir(f->runtime)) {
		char name[64];
		snprintf(name, sizeof(name), "images/%s", function_runtime_dir(f->runtime));
		r = own_data(path_data(name, p->runtime, sizeof(p->runtime), &v->err));
		if (r < 0)
			return r;
		w->runtime_dir = p->runtime;
	}
	v->memory_bytes = pick(o->memory, (uint64_t)f->memory_mb << 20);
	v->timeout_ms = pick(o->timeout, (uint64_t)f->timeout_s * 1000);
	if (v->limited)
		w->limits = (struct wish_limits){
			.memory_bytes = v->memory_bytes,
			.cpu_milli = (uint32_t)pick(o->cpu, f->cpu_milli),
			.pids = (uint32_t)pick(o->pids, WISH_PIDS),
		};
	w->limits.nofile_max = hard_limit(RLIMIT_NOFILE);
	w->limits.nproc_max = hard_limit(RLIMIT_NPROC);
	w->limits.core_zero = core_is_zero();
	w->limits.tmp_bytes = pick(o->tmp_size, (uint64_t)f->disk_mb << 20);
	if (v->code.is_layer)
		w->code_layer = v->code.dir;
	else
		w->code_dir = v->code.dir;
	if (o->tmp_output) {
		if (!realpath(o->tmp_output, p->tmp))
			return err_set(&v->err, errno, "open --tmp-output %s", o->tmp_output);
		w->tmp_dir = p->tmp;
	}
	w->ids = root ? WISH_IDS_RANGE : WISH_IDS_SINGLE;
	w->uid_base = root ? INVOKE_UID_BASE : geteuid();
	w->gid_base = root ? INVOKE_UID_BASE : getegid();
	w->idmap = root;
	w->net = o->network == 1 ? WISH_NET_HOST : WISH_NET_NONE;
	w->hostname = "function";
	w->stage_dir = "/tmp";
	return r < 0 ? r : features_off(o, &w->features_off, &v->err);
}

/* /tmp of the function as a directory of ours: made when missing, refused unless empty, given to the function's user. */
static int prepare_tmp_output(struct invoke *v)
{
	const char *dir = v->opts->tmp_output;
	if (!dir)
		return 0;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_set(&v->err, errno, "make --tmp-output %s", dir);
	autodir DIR *d = opendir(dir);
	if (!d)
		return err_set(&v->err, errno, "open --tmp-output %s", dir);
	for (struct dirent *e; (e = readdir(d));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
			err_set(&v->err, ENOTEMPTY, "use --tmp-output %s", dir);
			return err_hint(&v->err, "give a new or an empty directory");
		}
	if (geteuid() == 0 && fchown(dirfd(d), INVOKE_UID_BASE + WISH_UID_INSIDE, INVOKE_UID_BASE + WISH_UID_INSIDE) < 0)
		return err_set(&v->err, errno, "give --tmp-output %s to the function's user", dir);
	return 0;
}

/* Payload descriptors and our ends of them. */
struct pipes {
	int payload[4];
};

static void close_pipes(struct pipes *p)
{
	for (size_t i = 0; i < ARRAY_LEN(p->payload); i++)
		cleanup_close(&p->payload[i]);
}
#define autopipes _cleanup_(close_pipes)

static int make_pipe(int *read_end, int *write_end, int *ours, struct err *err)
{
	int p[2];
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_set(err, errno, "make a pipe");
	*read_end = p[0];
	*write_end = p[1];
	int r = fd_set_nonblock(*ours);
	return r < 0 ? err_set(err, -r, "make a pipe") : 0;
}

static int make_pipes(struct invoke *v, struct pipes *p)
{
	int r = make_pipe(&v->log_fd, &p->payload[2], &v->log_fd, &v->err);
	if (r < 0)
		return r;
	if (!v->channel) {
		r = make_pipe(&p->payload[0], &v->event_fd, &v->event_fd, &v->err);
		return r < 0 ? r : make_pipe(&v->reply_fd, &p->payload[1], &v->reply_fd, &v->err);
	}
	int pair[2];
	p->payload[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	p->payload[1] = dup(p->payload[2]); /* prints of the function are its log */
	if (p->payload[0] < 0 || p->payload[1] < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(&v->err, errno, "make the runtime's channel");
	v->event_fd = pair[0];
	p->payload[3] = pair[1];
	return fd_set_nonblock(v->event_fd);
}

static int make_payload(struct invoke *v)
{
	autobuf struct buf payload = BUF_INIT(PAYLOAD_SIZE_MAX);
	struct function_start start = {
		.function = &v->function,
		.entry = v->code.entry[0] ? v->code.entry : NULL,
		.instance_id = v->instance,
	};
	int r = plan_function_payload(&start, &payload, &v->err);
	if (r < 0)
		return r;
	int fd = fd_sealed_memfd("fc-payload", payload.data, payload.len);
	return fd < 0 ? err_set(&v->err, -fd, "put the payload into a memfd") : fd;
}

static int compile_and_launch(struct invoke *v)
{
	static struct wish_paths paths;
	struct function_wish wish = { 0 };
	autobuf struct buf spec = BUF_INIT(SPEC_SIZE_MAX);
	autopipes struct pipes pipes = { { -1, -1, -1, -1 } };

	int r = prepare_tmp_output(v);
	if (r == 0)
		r = make_wish(v, &paths, &wish);
	if (r == 0)
		r = plan_function(&wish, &spec, &v->err);
	if (r < 0)
		return r;
	v->channel = v->function.runtime != FUNCTION_STDIO;
	autoclose int payload = make_payload(v);
	if (payload < 0)
		return payload;
	r = make_pipes(v, &pipes);
	if (r < 0)
		return r;
	struct launch_req req = {
		.spec = (const struct spec *)spec.data,
		.payload_fd = payload,
		.fds = pipes.payload, .nfds = v->channel ? 4 : 3,
		.cgroup_path = v->limited ? v->instance : NULL,
		.netns_fd = -1, .net_ahead = v->net.started ? &v->net : NULL, .gate_fd = -1, .console_fd = -1,
	};
	v->launching = true;
	return launch(&v->host, &req, &v->sandbox, &v->err);
}

int invoke_start(struct invoke *v)
{
	int status = check_limits(v);
	if (status != CMD_OK)
		return status;
	invoke_owner_name(v->instance, sizeof(v->instance), INVOKE_GROUP_PREFIX);
	int r = compile_and_launch(v);
	if (r == 0)
		return CMD_OK;
	struct stat st; /* a directory that was refused is not ours to take back */
	if (v->opts->tmp_output && geteuid() == 0 && stat(v->opts->tmp_output, &st) == 0 &&
	    st.st_uid == INVOKE_UID_BASE + WISH_UID_INSIDE && chown(v->opts->tmp_output, geteuid(), getegid()) < 0)
		err_hint(&v->err, "and --tmp-output %s could not be taken back", v->opts->tmp_output);
	return v->launching ? CMD_HOST : invoke_exit_status(r);
}
