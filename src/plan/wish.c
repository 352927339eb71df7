/*
 * The sandbox of a function. Each mount costs a start about 15 microseconds,
 * so what is left out matters as much as what is there:
 *
 * /proc is one read-only mount without masks. In its own pid namespace it
 * shows only the sandbox's processes. What engines mask there (kcore,
 * timer_list, slabinfo, sysrq-trigger) belongs to the initial namespace's root
 * with mode 0400 or 0200, which no id inside maps to; /proc/keys lists only
 * keys of ids mapped here; latency_stats and sched_debug hold nothing or do not
 * exist on 6.1 and later; acpi, asound, scsi, bus, irq and fs describe the
 * hardware, as cpuinfo does, and cannot be written. Read-only (a mount
 * attribute, so free) shuts /proc/sys and sysrq-trigger a second time.
 * Opening /proc/self/fd/N for writing still works: a link like this leaves
 * the mount.
 *
 * There is no /sys, no /run, no devpts: nothing a function is promised needs them.
 */
#include "plan/wish.h"

#include <linux/mount.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "plan/compile.h"
#include "plan/policy.h"

enum {
	RO = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
	ROOT_BYTES = 1 << 20, ROOT_INODES = 256, /* links and mount points, nothing else */
	DEV_BYTES = 64 << 10,
	SHM_BYTES = 64 << 20,
	NOFILE_SOFT = 1024, NOFILE_HARD = 4096,
};

/* linux/landlock.h; the newest of these are younger than the headers we build with */
enum {
	LL_WRITE_FILE = 1 << 1, LL_REMOVE_DIR = 1 << 4, LL_REMOVE_FILE = 1 << 5, LL_MAKE_CHAR = 1 << 6,
	LL_MAKE_DIR = 1 << 7, LL_MAKE_REG = 1 << 8, LL_MAKE_SOCK = 1 << 9, LL_MAKE_FIFO = 1 << 10,
	LL_MAKE_BLOCK = 1 << 11, LL_MAKE_SYM = 1 << 12, LL_REFER = 1 << 13, LL_TRUNCATE = 1 << 14,
	LL_SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0, LL_SCOPE_SIGNAL = 1 << 1,
};

uint32_t wish_payload_fds(enum function_runtime runtime)
{
	return function_runtime_dir(runtime) ? WISH_CHANNEL_FD + 1 : WISH_CHANNEL_FD;
}

/*
 * A host path as a tree that the launcher opens, with its privilege: layers lie
 * in directories that no id of the sandbox can search. (An ordinary user's
 * launcher cannot clone mounts; then the sandbox opens the path itself.)
 */
static uint32_t add_tree(struct plan *p, const struct function_wish *w, const char *path, uint32_t flags)
{
	struct spec_tree t = { .path = plan_str(p, path), .flags = flags | (w->idmap ? SPEC_TREE_IDMAP : 0) };
	return plan_add_tree(p, &t);
}

static void show(struct plan *p, const struct function_wish *w, const char *src, const char *dst, uint64_t attr,
		 uint32_t flags)
{
	struct spec_mount m = plan_mount(p, SPEC_MNT_TREE, dst);
	m.attr_set = attr;
	m.flags = flags;
	m.tree = add_tree(p, w, src,
			  ((flags & SPEC_MF_RECURSIVE) ? SPEC_TREE_RECURSIVE : 0) |
				  ((flags & SPEC_MF_OPTIONAL) ? SPEC_TREE_OPTIONAL : 0));
	plan_add_mount(p, &m);
}

/* A directory below a layer's top: LAYER/code, LAYER/opt. */
static void show_part(struct plan *p, const struct function_wish *w, const char *layer, const char *part, const char *dst, uint32_t flags)
{
	autofree char *src = NULL;
	if (asprintf(&src, "%s/%s", layer, part) < 0)
		src = NULL;
	if (!src)
		plan_fail(p, ENOMEM, "a path of the sandbox");
	else
		show(p, w, src, dst, RO, flags);
}

static void add_lower(struct plan *p, const struct function_wish *w, const char *path)
{
	struct spec_lower l = { .path = plan_str(p, path), .tree = add_tree(p, w, path, 0) };
	plan_add_lower(p, &l);
}

static void add_link(struct plan *p, const char *dst, const char *target)
{
	struct spec_mount m = plan_mount(p, SPEC_MNT_SYMLINK, dst);
	m.src = plan_str(p, target);
	plan_add_mount(p, &m);
}

static void add_tmpfs(struct plan *p, const char *dst, uint64_t size, uint32_t mode, uint64_t attr, uint32_t flags)
{
	struct spec_mount m = plan_mount(p, SPEC_MNT_TMPFS, dst);
	m.size = size;
	m.mode = mode;
	m.attr_set = attr;
	m.flags = flags;
	plan_add_mount(p, &m);
}

/* Several layers share /opt: an overlay of their opt/ directories. */
static void show_layers(struct plan *p, const struct function_wish *w, uint32_t flags)
{
	if (!w->layers || !w->layers[0])
		return;
	if (!w->layers[1]) {
		show_part(p, w, w->layers[0], "opt", "/opt", flags);
		return;
	}
	struct spec_mount m = plan_mount(p, SPEC_MNT_OVERLAY, "/opt");
	m.attr_set = RO;
	m.flags = flags;
	m.first = plan_count(p, SPEC_SECT_LOWER);
	for (const char *const *layer = w->layers; *layer; layer++) {
		autofree char *path = NULL;
		if (asprintf(&path, "%s/opt", *layer) < 0) {
			path = NULL;
			plan_fail(p, ENOMEM, "a path of the sandbox");
			return;
		}
		add_lower(p, w, path);
		m.count++;
	}
	plan_add_mount(p, &m);
}

static void show_code(struct plan *p, const struct function_wish *w, const char *dst, uint32_t flags)
{
	if (w->code_dir)
		show(p, w, w->code_dir, dst, RO, flags);
	else
		show_part(p, w, w->code_layer, "code", dst, flags);
}

/* The host's own programs over an empty root. */
static void host_root(struct plan *p, const struct function_wish *w)
{
	static const char *const parts[] = { "bin", "sbin", "lib", "lib64" };

	struct spec_mount root = plan_mount(p, SPEC_MNT_TMPFS, "");
	root.size = ROOT_BYTES;
	root.inodes = ROOT_INODES;
	root.mode = 0755;
	root.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
	plan_add_mount(p, &root);

	show(p, w, "/usr", "/usr", RO, SPEC_MF_CREATE | SPEC_MF_RECURSIVE);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		char path[16], target[16];
		snprintf(path, sizeof(path), "/%s", parts[i]);
		snprintf(target, sizeof(target), "usr/%s", parts[i]);
		if (strcmp(parts[i], "lib64") == 0 && !w->lib64)
			continue;
		if (w->usr_split)
			show(p, w, path, path, RO, SPEC_MF_CREATE | SPEC_MF_RECURSIVE);
		else
			add_link(p, path, target);
	}
	show(p, w, w->etc_dir, "/etc", RO, SPEC_MF_CREATE);
	for (const char *const *e = w->etc_binds; e && *e; e++)
		show(p, w, *e, *e, RO, SPEC_MF_OPTIONAL | SPEC_MF_RECURSIVE);
	show_code(p, w, "/code", SPEC_MF_CREATE);
	show_layers(p, w, SPEC_MF_CREATE);
}

/* One read-only overlay [code, layers, skeleton, image]; a bind where the image alone is enough. */
static void image_root(struct plan *p, const struct function_wish *w)
{
	bool layered = w->layers && w->layers[0];
	if (!w->skel_dir && !w->code_layer && !layered) {
		show(p, w, w->image_dir, "", RO, SPEC_MF_RECURSIVE);
		show_code(p, w, "/code", 0);
		return;
	}
	uint32_t first = plan_count(p, SPEC_SECT_LOWER);
	if (w->code_layer)
		add_lower(p, w, w->code_layer);
	for (const char *const *layer = w->layers; layer && *layer; layer++)
		add_lower(p, w, *layer);
	if (w->skel_dir)
		add_lower(p, w, w->skel_dir);
	add_lower(p, w, w->image_dir);

	struct spec_mount root = plan_mount(p, SPEC_MNT_OVERLAY, "");
	root.attr_set = RO;
	root.first = first;
	root.count = plan_count(p, SPEC_SECT_LOWER) - first;
	plan_add_mount(p, &root);
	if (w->code_dir)
		show(p, w, w->code_dir, "/code", RO, 0);
}

static void add_dev(struct plan *p, const struct function_wish *w, uint32_t create)
{
	static const struct { const char *path; uint32_t major, minor; } nodes[] = {
		{ "/dev/null", 1, 3 }, { "/dev/zero", 1, 5 }, { "/dev/full", 1, 7 },
		{ "/dev/random", 1, 8 }, { "/dev/urandom", 1, 9 }, { "/dev/tty", 5, 0 },
	};
	if (w->ids == WISH_IDS_RANGE) { /* root's launcher can mknod: one tree instead of six bind mounts */
		struct spec_tree t = { .path = plan_str(p, "/dev"), .flags = SPEC_TREE_DEV };
		struct spec_mount m = plan_mount(p, SPEC_MNT_TREE, "/dev");
		m.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
		m.flags = create;
		m.tree = plan_add_tree(p, &t);
		plan_add_mount(p, &m);
	} else {
		if (w->image == WISH_IMAGE_DIR) /* the host image's root is a tmpfs already */
			add_tmpfs(p, "/dev", DEV_BYTES, 0755, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, create);
		for (size_t i = 0; i < ARRAY_LEN(nodes); i++) {
			struct spec_mount m = plan_mount(p, SPEC_MNT_NODE, nodes[i].path);
			m.src = m.dst;
			m.mode = S_IFCHR | 0666;
			m.major = nodes[i].major;
			m.minor = nodes[i].minor;
			m.flags = SPEC_MF_CREATE;
			m.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
			plan_add_mount(p, &m);
		}
		add_link(p, "/dev/fd", "/proc/self/fd");
		add_link(p, "/dev/stdin", "/proc/self/fd/0");
		add_link(p, "/dev/stdout", "/proc/self/fd/1");
		add_link(p, "/dev/stderr", "/proc/self/fd/2");
		create = SPEC_MF_CREATE;
	}
	add_tmpfs(p, "/dev/shm", SHM_BYTES, 01777, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, create);
}

/* Not idmapped: it belongs to the id that the function has outside, so it can be written on any file system, and
 * to nobody else on the host while the call runs. */
static void show_tmp(struct plan *p, const struct function_wish *w, uint32_t create)
{
	struct spec_tree t = { .path = plan_str(p, w->tmp_dir), .flags = 0 };
	struct spec_mount m = plan_mount(p, SPEC_MNT_TREE, "/tmp");
	m.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
	m.flags = create;
	m.tree = plan_add_tree(p, &t);
	plan_add_mount(p, &m);
}

static void add_mounts(struct plan *p, const struct function_wish *w)
{
	uint32_t create = w->image == WISH_IMAGE_HOST ? SPEC_MF_CREATE : 0;

	if (w->image == WISH_IMAGE_HOST)
		host_root(p, w);
	else
		image_root(p, w);
	if (w->runtime_dir)
		show(p, w, w->runtime_dir, "/var/fc/runtime", RO, create);
	if (w->runtime == FUNCTION_PROVIDED) /* where its programs expect it (LAMBDA_TASK_ROOT) */
		show_code(p, w, "/var/task", create);

	struct spec_mount proc = plan_mount(p, SPEC_MNT_PROC, "/proc");
	proc.attr_set = RO | MOUNT_ATTR_NOEXEC;
	proc.flags = create;
	plan_add_mount(p, &proc);
	add_dev(p, w, create);

	if (w->tmp_dir)
		show_tmp(p, w, create);
	else
		add_tmpfs(p, "/tmp", w->limits.tmp_bytes, 01777, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, create);
	plan_flag(p, SPEC_F_ROOT_READONLY);
}

static void add_ids(struct plan *p, const struct function_wish *w)
{
	bool single = w->ids == WISH_IDS_SINGLE;
	struct spec_idmap map = {
		.inside = single ? WISH_UID_INSIDE : 0,
		.outside = w->uid_base,
		.count = single ? 1 : WISH_RANGE,
	};
	plan_add_uid_map(p, &map);
	map.outside = w->gid_base;
	plan_add_gid_map(p, &map);
	p->head.uid = p->head.gid = WISH_UID_INSIDE;
	p->head.setup_uid = p->head.setup_gid = single ? WISH_UID_INSIDE : 0;
	if (single)
		plan_flag(p, SPEC_F_SETGROUPS_DENY);
}

static void add_namespaces(struct plan *p, const struct function_wish *w)
{
	plan_ns(p, SPEC_NS_USER);
	plan_ns(p, SPEC_NS_PID);
	plan_ns(p, SPEC_NS_MOUNT);
	plan_ns(p, SPEC_NS_IPC);
	plan_ns(p, SPEC_NS_UTS);
	plan_ns(p, SPEC_NS_CGROUP);
	if (w->net != WISH_NET_NONE)
		return;
	plan_ns(p, SPEC_NS_NET);
	plan_flag(p, SPEC_F_LOOPBACK);
	if (w->ids == WISH_IDS_SINGLE) /* nobody else could own it; no capability over it survives anyway */
		plan_flag(p, SPEC_F_NET_OWN);
}

static void add_rlimit(struct plan *p, uint32_t resource, uint64_t soft, uint64_t hard, uint64_t most)
{
	if (most && hard > most)
		hard = most;
	struct spec_rlimit l = { resource, 0, soft < hard ? soft : hard, hard };
	plan_add_rlimit(p, &l);
}

static void add_limits(struct plan *p, const struct function_wish *w)
{
	add_rlimit(p, RLIMIT_NOFILE, NOFILE_SOFT, NOFILE_HARD, w->limits.nofile_max);
	/*
	 * core(5): where core_pattern is a pipe, 0 bounds nothing and the host's helper runs, as root and outside, for
	 * each crash inside. 1 is the value for which the kernel leaves it alone, and too small for any core file.
	 */
	const uint64_t core = w->limits.core_zero ? 0 : 1;
	add_rlimit(p, RLIMIT_CORE, core, core, 0);
	/* counted per user namespace, so it bounds this sandbox also where no pids controller is to be had */
	if (w->limits.pids)
		add_rlimit(p, RLIMIT_NPROC, w->limits.pids, w->limits.pids, w->limits.nproc_max);

	struct spec_cgroup *c = &p->head.cgroup;
	c->memory_bytes = w->limits.memory_bytes;
	if (c->memory_bytes) {
		c->flags |= SPEC_CG_SWAP | SPEC_CG_OOM_GROUP;
		c->swap_bytes = w->limits.swap_bytes;
	}
	if (w->limits.cpu_milli) {
		c->cpu_period_us = WISH_CPU_PERIOD_US;
		c->cpu_quota_us = (uint64_t)w->limits.cpu_milli * WISH_CPU_PERIOD_US / 1000;
	}
	c->pids = w->limits.pids;
}

/*
 * A second lock on what the mounts already say: no file is made or changed
 * but below /tmp and /dev/shm, no device node anywhere. With the host's
 * network the scope keeps abstract Unix sockets of the host out of reach.
 */
static void add_landlock(struct plan *p)
{
	const uint64_t change = LL_WRITE_FILE | LL_TRUNCATE | LL_REMOVE_DIR | LL_REMOVE_FILE | LL_MAKE_DIR | LL_MAKE_REG |
				LL_MAKE_SOCK | LL_MAKE_FIFO | LL_MAKE_SYM | LL_REFER;
	struct spec_landlock rules[] = {
		{ .access = change, .path = plan_str(p, "/tmp") },
		{ .access = change, .path = plan_str(p, "/dev/shm") },
		{ .access = LL_WRITE_FILE | LL_TRUNCATE, .path = plan_str(p, "/dev") },
	};
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		plan_add_landlock(p, &rules[i]);
	p->head.landlock_handled = change | LL_MAKE_CHAR | LL_MAKE_BLOCK;
	p->head.landlock_scoped = LL_SCOPE_ABSTRACT_UNIX_SOCKET | LL_SCOPE_SIGNAL;
}

static int check_path(const char *name, const char *path, struct err *err)
{
	if (!path)
		return err_set(err, 0, "%s: missing", name);
	if (path[0] != '/')
		return err_set(err, 0, "%s: %s: must be an absolute path", name, path);
	return 0;
}

static int check_paths(const struct function_wish *w, struct err *err)
{
	const struct { const char *name, *path; bool needed; } paths[] = {
		{ "image directory", w->image_dir, w->image == WISH_IMAGE_DIR },
		{ "skeleton directory", w->skel_dir, false },
		{ "image's etc directory", w->etc_dir, w->image == WISH_IMAGE_HOST },
		{ "code directory", w->code_dir, !w->code_layer },
		{ "code layer", w->code_layer, !w->code_dir },
		{ "runtime directory", w->runtime_dir, function_runtime_dir(w->runtime) != NULL },
		{ "tmp directory", w->tmp_dir, false },
		{ "stage directory", w->stage_dir, true },
	};
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		int r = paths[i].path || paths[i].needed ? check_path(paths[i].name, paths[i].path, err) : 0;
		if (r < 0)
			return r;
	}
	size_t n = 0;
	for (const char *const *e = w->etc_binds; e && *e; e++, n++)
		if (strncmp(*e, "/etc/", 5) != 0 || strstr(*e, "/.."))
			return err_set(err, 0, "image host: %s: must be a path below /etc", *e);
	if (n > WISH_ETC_BINDS_MAX)
		return err_set(err, 0, "image host: more than %d paths of /etc", WISH_ETC_BINDS_MAX);
	for (const char *const *l = w->layers; l && *l; l++) {
		int r = check_path("layer", *l, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_wish(const struct function_wish *w, struct err *err)
{
	if ((unsigned)w->runtime >= FUNCTION_RUNTIME_MAX)
		return err_set(err, 0, "runtime: number %u is unknown", (unsigned)w->runtime);
	if (w->code_dir && w->code_layer)
		return err_set(err, 0, "both a code directory and a code layer are given");
	if (!w->tmp_dir && w->limits.tmp_bytes == 0)
		return err_set(err, 0, "size of /tmp: missing");
	if (w->ids == WISH_IDS_RANGE && (w->uid_base == 0 || w->gid_base == 0))
		return err_set(err, 0, "id range: begins at 0: root outside would be root inside");
	if (w->ids == WISH_IDS_RANGE && (w->uid_base > UINT32_MAX - WISH_RANGE || w->gid_base > UINT32_MAX - WISH_RANGE))
		return err_set(err, 0, "id range: %u ids do not fit above %u", (unsigned)WISH_RANGE,
			       w->uid_base > w->gid_base ? w->uid_base : w->gid_base);
	if (w->ids == WISH_IDS_SINGLE && w->idmap)
		return err_set(err, 0, "idmapped mounts need a range of ids");
	return check_paths(w, err);
}

int plan_function(const struct function_wish *w, struct buf *spec, struct err *err)
{
	int r = check_wish(w, err);
	if (r < 0)
		return r;

	_cleanup_(plan_fini) struct plan p;
	plan_init(&p);
	add_namespaces(&p, w);
	add_ids(&p, w);
	add_mounts(&p, w);
	add_limits(&p, w);
	add_landlock(&p);
	policy_emit(&p);
	plan_flag(&p, SPEC_F_INIT);
	plan_flag(&p, SPEC_F_NO_NEW_PRIVS);
	plan_flag(&p, SPEC_F_DIE_WITH_PARENT);
	plan_flag(&p, SPEC_F_NEW_SESSION);
	plan_flag(&p, SPEC_F_NEW_KEYRING);
	p.head.flags &= ~w->flags_off;
	p.head.features_off = w->features_off;
	p.head.payload_fds = wish_payload_fds(w->runtime);
	p.head.hostname = plan_str(&p, w->hostname ? w->hostname : "function");
	p.head.stage_dir = plan_str(&p, w->stage_dir);
	return plan_finish(&p, spec, err);
}
