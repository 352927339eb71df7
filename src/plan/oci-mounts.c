/*
 * root, mounts, devices, masked and read-only paths of an OCI config.
 *
 * Bind mounts come as trees that the launcher opens when there is a user
 * namespace (its root may not be able to search the source's path), else the
 * sandbox opens them itself. Options of a recursive bind that say "ro" and not
 * "rro" hold for the top mount only, hence a second record.
 */
#include <errno.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "plan/names.h"
#include "plan/oci-internal.h"

enum { ATIME = MOUNT_ATTR__ATIME };

/* What an option does. */
enum option_kind {
	OPT_SET,         /* an attribute, of the top mount */
	OPT_CLEAR,
	OPT_RSET,        /* of the whole tree */
	OPT_RCLEAR,
	OPT_PROPAGATION,
	OPT_BIND,
	OPT_RBIND,
	OPT_COPYUP,
	OPT_FS,          /* goes to the file system as it is, also if it is not in this table */
	OPT_NOTHING,     /* says what is so anyway */
	OPT_REFUSED,
};

static const struct option {
	const char *name;
	enum option_kind kind;
	uint64_t value;
} options[] = {
	{ "bind", OPT_BIND, 0 }, { "rbind", OPT_RBIND, 0 }, { "tmpcopyup", OPT_COPYUP, 0 },
	{ "ro", OPT_SET, MOUNT_ATTR_RDONLY }, { "rw", OPT_CLEAR, MOUNT_ATTR_RDONLY },
	{ "nosuid", OPT_SET, MOUNT_ATTR_NOSUID }, { "suid", OPT_CLEAR, MOUNT_ATTR_NOSUID },
	{ "nodev", OPT_SET, MOUNT_ATTR_NODEV }, { "dev", OPT_CLEAR, MOUNT_ATTR_NODEV },
	{ "noexec", OPT_SET, MOUNT_ATTR_NOEXEC }, { "exec", OPT_CLEAR, MOUNT_ATTR_NOEXEC },
	{ "nosymfollow", OPT_SET, MOUNT_ATTR_NOSYMFOLLOW }, { "symfollow", OPT_CLEAR, MOUNT_ATTR_NOSYMFOLLOW },
	{ "noatime", OPT_SET, MOUNT_ATTR_NOATIME }, { "atime", OPT_CLEAR, ATIME },
	{ "strictatime", OPT_SET, MOUNT_ATTR_STRICTATIME }, { "nostrictatime", OPT_CLEAR, ATIME },
	{ "relatime", OPT_CLEAR, ATIME }, { "norelatime", OPT_CLEAR, ATIME },
	{ "nodiratime", OPT_SET, MOUNT_ATTR_NODIRATIME }, { "diratime", OPT_CLEAR, MOUNT_ATTR_NODIRATIME },
	{ "rro", OPT_RSET, MOUNT_ATTR_RDONLY }, { "rrw", OPT_RCLEAR, MOUNT_ATTR_RDONLY },
	{ "rnosuid", OPT_RSET, MOUNT_ATTR_NOSUID }, { "rsuid", OPT_RCLEAR, MOUNT_ATTR_NOSUID },
	{ "rnodev", OPT_RSET, MOUNT_ATTR_NODEV }, { "rdev", OPT_RCLEAR, MOUNT_ATTR_NODEV },
	{ "rnoexec", OPT_RSET, MOUNT_ATTR_NOEXEC }, { "rexec", OPT_RCLEAR, MOUNT_ATTR_NOEXEC },
	{ "rnosymfollow", OPT_RSET, MOUNT_ATTR_NOSYMFOLLOW }, { "rsymfollow", OPT_RCLEAR, MOUNT_ATTR_NOSYMFOLLOW },
	{ "rnoatime", OPT_RSET, MOUNT_ATTR_NOATIME }, { "ratime", OPT_RCLEAR, ATIME },
	{ "rstrictatime", OPT_RSET, MOUNT_ATTR_STRICTATIME }, { "rnostrictatime", OPT_RCLEAR, ATIME },
	{ "rrelatime", OPT_RCLEAR, ATIME }, { "rnorelatime", OPT_RCLEAR, ATIME },
	{ "rnodiratime", OPT_RSET, MOUNT_ATTR_NODIRATIME }, { "rdiratime", OPT_RCLEAR, MOUNT_ATTR_NODIRATIME },
	{ "private", OPT_PROPAGATION, MS_PRIVATE }, { "rprivate", OPT_PROPAGATION, MS_PRIVATE | MS_REC },
	{ "slave", OPT_PROPAGATION, MS_SLAVE }, { "rslave", OPT_PROPAGATION, MS_SLAVE | MS_REC },
	{ "shared", OPT_PROPAGATION, MS_SHARED }, { "rshared", OPT_PROPAGATION, MS_SHARED | MS_REC },
	{ "unbindable", OPT_PROPAGATION, MS_UNBINDABLE }, { "runbindable", OPT_PROPAGATION, MS_UNBINDABLE | MS_REC },
	{ "sync", OPT_FS, 0 }, { "dirsync", OPT_FS, 0 }, { "lazytime", OPT_FS, 0 },
	{ "async", OPT_NOTHING, 0 }, { "defaults", OPT_NOTHING, 0 }, { "loud", OPT_NOTHING, 0 }, { "silent", OPT_NOTHING, 0 },
	{ "mand", OPT_NOTHING, 0 }, { "nomand", OPT_NOTHING, 0 }, { "nolazytime", OPT_NOTHING, 0 },
	{ "iversion", OPT_NOTHING, 0 }, { "noiversion", OPT_NOTHING, 0 }, { "acl", OPT_NOTHING, 0 },
	/* what `features` may not list comes last */
	{ "idmap", OPT_REFUSED, 0 }, { "ridmap", OPT_REFUSED, 0 }, { "remount", OPT_REFUSED, 0 },
};

const char *oci_mount_option_name(size_t i)
{
	return i < ARRAY_LEN(options) && options[i].kind != OPT_REFUSED ? options[i].name : NULL;
}

/* What all options of one mount add up to. */
struct mount_options {
	uint64_t set, clear, rset, rclear;
	uint32_t propagation;
	bool bind, recursive, copyup;
	struct buf data;
};

static void options_fini(struct mount_options *m) { buf_fini(&m->data); }

static int add_data(struct mount_options *m, const char *option)
{
	return buf_printf(&m->data, "%s%s", m->data.len ? "," : "", option);
}

/* Atime modes are one number in the kernel's mask: setting one clears the others. */
static void set_bits(uint64_t *set, uint64_t *clear, uint64_t value)
{
	if (value & ATIME) {
		*set &= ~(uint64_t)ATIME;
		*clear |= ATIME;
	} else {
		*clear &= ~value;
	}
	*set |= value;
}

static void clear_bits(uint64_t *set, uint64_t *clear, uint64_t value)
{
	*set &= ~value;
	*clear |= value;
}

static int apply_option(struct mount_options *m, const char *name, const char *where, struct err *err)
{
	const struct option *o = options, *end = options + ARRAY_LEN(options);
	while (o < end && strcmp(o->name, name) != 0)
		o++;
	int r = 0;
	switch (o < end ? o->kind : OPT_FS) {
	case OPT_SET:
		set_bits(&m->set, &m->clear, o->value);
		break;
	case OPT_CLEAR:
		clear_bits(&m->set, &m->clear, o->value);
		break;
	case OPT_RSET:
		set_bits(&m->rset, &m->rclear, o->value);
		break;
	case OPT_RCLEAR:
		clear_bits(&m->rset, &m->rclear, o->value);
		break;
	case OPT_PROPAGATION:
		m->propagation = (uint32_t)o->value;
		break;
	case OPT_RBIND:
		m->recursive = true;
		m->bind = true;
		break;
	case OPT_BIND:
		m->bind = true;
		break;
	case OPT_COPYUP:
		m->copyup = true;
		break;
	case OPT_FS:
		r = add_data(m, name);
		break;
	case OPT_NOTHING:
		break;
	case OPT_REFUSED:
		return err_set(err, 0, "%s: %s is not served", where, name);
	}
	return r < 0 ? err_set(err, -r, "%s (at most %zu bytes)", where, m->data.max) : 0;
}

struct raw_mount {
	const char *destination, *type, *source;
	json_t *options, *uid_map, *gid_map;
};

static int read_options(struct oci_reader *o, json_t *array, const char *where, struct mount_options *m)
{
	autofree const char **list = NULL;
	int r = oci_strings(array, where, &list, o->err);
	for (size_t i = 0; r == 0 && list[i]; i++)
		r = apply_option(m, list[i], where, o->err);
	return r;
}

/* Attributes and propagation of what is mounted at dst already. */
static void add_setattr(struct oci_reader *o, const char *dst, uint64_t set, uint64_t clear, uint32_t propagation)
{
	struct spec_mount m = plan_mount(&o->plan, SPEC_MNT_SETATTR, dst);
	m.attr_set = set;
	m.attr_clear = clear;
	m.propagation = propagation & ~(uint32_t)MS_REC;
	m.flags = propagation & MS_REC ? SPEC_MF_RECURSIVE : 0;
	if (set || clear || propagation)
		plan_add_mount(&o->plan, &m);
}

static int add_bind(struct oci_reader *o, const struct raw_mount *raw, const char *dst, struct mount_options *opt,
		    const char *where)
{
	if (!raw->source || !*raw->source)
		return err_set(o->err, 0, "%s.source: missing; a bind mount needs it", where);
	if (opt->data.len)
		return err_set(o->err, 0, "%s.options: %s: unknown option of a bind mount", where, opt->data.data);
	if (opt->copyup)
		return err_set(o->err, 0, "%s.options: tmpcopyup is for tmpfs", where);
	if (o->user_ns) /* what is locked there cannot be cleared (mount_namespaces(7)); engines say "rw" out of habit */
		opt->clear &= ATIME, opt->rclear &= ATIME;

	struct spec_mount m = plan_mount(&o->plan, o->user_ns ? SPEC_MNT_TREE : SPEC_MNT_BIND, dst);
	spec_str src = raw->source[0] == '/' ? plan_str(&o->plan, raw->source)
					     : plan_strf(&o->plan, "%s/%s", o->env->bundle, raw->source);
	m.flags = SPEC_MF_CREATE | (opt->recursive ? SPEC_MF_RECURSIVE : 0);
	m.attr_set = opt->rset;
	m.attr_clear = opt->rclear;
	if (!opt->recursive) {
		m.attr_set |= opt->set;
		m.attr_clear |= opt->clear;
	}
	bool prop_with = !!(opt->propagation & MS_REC) == opt->recursive;
	if (prop_with)
		m.propagation = opt->propagation & ~(uint32_t)MS_REC;
	if (o->user_ns) {
		struct spec_tree t = { .path = src, .flags = opt->recursive ? SPEC_TREE_RECURSIVE : 0 };
		m.tree = plan_add_tree(&o->plan, &t);
	} else {
		m.src = src;
	}
	plan_add_mount(&o->plan, &m);
	if (opt->recursive)
		add_setattr(o, dst, opt->set, opt->clear, 0);
	if (!prop_with)
		add_setattr(o, dst, 0, 0, opt->propagation);
	return 0;
}

static int add_filesystem(struct oci_reader *o, const struct raw_mount *raw, const char *dst,
			  const struct mount_options *opt, const char *where)
{
	static const struct { const char *type; enum spec_mount_op op; } types[] = {
		{ "tmpfs", SPEC_MNT_TMPFS }, { "proc", SPEC_MNT_PROC }, { "cgroup", SPEC_MNT_CGROUP },
		{ "cgroup2", SPEC_MNT_CGROUP }, { "overlay", SPEC_MNT_FS },
	};
	enum spec_mount_op op = SPEC_MNT_FS;
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (strcmp(raw->type, types[i].type) == 0)
			op = types[i].op;
	if (opt->copyup && op != SPEC_MNT_TMPFS)
		return err_set(o->err, 0, "%s.options: tmpcopyup is for tmpfs", where);
	if (op == SPEC_MNT_CGROUP && !spec_new_ns(&o->plan.head, SPEC_NS_CGROUP)) {
		/* it would show every group of the host, and be a way out of the container's own */
		err_set(o->err, 0, "%s.type: %s needs a new cgroup namespace", where, raw->type);
		return err_hint(o->err, "add {\"type\": \"cgroup\"} to linux.namespaces");
	}

	struct spec_mount m = plan_mount(&o->plan, op, dst);
	m.flags = SPEC_MF_CREATE | (opt->copyup ? SPEC_MF_COPYUP : 0);
	m.attr_set = opt->set | opt->rset;
	if (op != SPEC_MNT_CGROUP)
		m.data = plan_str(&o->plan, opt->data.data);
	if (op == SPEC_MNT_TMPFS)
		m.mode = 01777; /* tmpfs(5); a mode= among the options comes later and wins */
	if (op == SPEC_MNT_FS) {
		m.fstype = plan_str(&o->plan, raw->type);
		m.src = plan_str(&o->plan, raw->source);
	}
	plan_add_mount(&o->plan, &m);
	add_setattr(o, dst, 0, 0, opt->propagation);
	return 0;
}

/* "a/b" and "/a/b" are the same place: below the container's root. */
static int destination(struct oci_reader *o, const char *text, const char *where, char *dst, size_t size)
{
	if (!*text || strcmp(text, "/") == 0)
		return err_set(o->err, 0, "%s.destination: %s: must be a path below /", where, *text ? text : "\"\"");
	if ((size_t)snprintf(dst, size, "%s%s", *text == '/' ? "" : "/", text) >= size)
		return err_set(o->err, ENAMETOOLONG, "%s.destination", where);
	return 0;
}

static int read_mount(struct oci_reader *o, json_t *v, size_t i, bool *dev_bound)
{
	static const struct json_field fields[] = {
		{ "destination", JF_STR, offsetof(struct raw_mount, destination), true, 0, 0 },
		{ "type", JF_STR, offsetof(struct raw_mount, type), false, 0, 0 },
		{ "source", JF_STR, offsetof(struct raw_mount, source), false, 0, 0 },
		{ "options", JF_ARRAY, offsetof(struct raw_mount, options), false, 0, 0 },
		{ "uidMappings", JF_ARRAY, offsetof(struct raw_mount, uid_map), false, 0, 0 },
		{ "gidMappings", JF_ARRAY, offsetof(struct raw_mount, gid_map), false, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};
	struct raw_mount raw = { 0 };
	_cleanup_(options_fini) struct mount_options opt = { .data = BUF_INIT(4095) };
	char where[OCI_WHERE], part[OCI_WHERE + 16], dst[4096];
	snprintf(where, sizeof(where), "mounts[%zu]", i);
	snprintf(part, sizeof(part), "%s.options", where);

	int r = json_read(v, fields, JSON_LAX, &raw, where, o->err);
	if (r == 0 && (!oci_is_unset(raw.uid_map) || !oci_is_unset(raw.gid_map)))
		r = err_set(o->err, 0, "%s.uidMappings: id-mapped mounts of a container's own are not served", where);
	if (r == 0)
		r = read_options(o, raw.options, part, &opt);
	if (r == 0)
		r = destination(o, raw.destination, where, dst, sizeof(dst));
	if (r < 0)
		return r;
	bool bind = opt.bind || (raw.type && strcmp(raw.type, "bind") == 0);
	if (!bind && (!raw.type || !*raw.type))
		return err_set(o->err, 0, "%s.type: missing; only a bind mount needs none", where);
	*dev_bound |= bind && strcmp(dst, "/dev") == 0;
	return bind ? add_bind(o, &raw, dst, &opt, where) : add_filesystem(o, &raw, dst, &opt, where);
}

struct raw_device {
	const char *type, *path;
	int64_t major, minor, mode, uid, gid;
};

static int read_device(struct oci_reader *o, json_t *v, size_t i)
{
	static const struct json_field fields[] = {
		{ "type", JF_STR, offsetof(struct raw_device, type), true, 0, 0 },
		{ "path", JF_STR, offsetof(struct raw_device, path), true, 0, 0 },
		{ "major", JF_INT, offsetof(struct raw_device, major), false, 0, 4095 },
		{ "minor", JF_INT, offsetof(struct raw_device, minor), false, 0, 1048575 },
		{ "fileMode", JF_INT, offsetof(struct raw_device, mode), false, 0, 0177777 },
		{ "uid", JF_INT, offsetof(struct raw_device, uid), false, 0, UINT32_MAX - 1 },
		{ "gid", JF_INT, offsetof(struct raw_device, gid), false, 0, UINT32_MAX - 1 },
		{ NULL, 0, 0, false, 0, 0 },
	};
	static const struct name types[] = {
		{ "c", S_IFCHR }, { "u", S_IFCHR }, { "b", S_IFBLK }, { "p", S_IFIFO }, { NULL, 0 },
	};
	struct raw_device raw = { .mode = 0666 };
	char where[OCI_WHERE];
	snprintf(where, sizeof(where), "linux.devices[%zu]", i);
	int r = json_read(v, fields, JSON_LAX, &raw, where, o->err);
	if (r < 0)
		return r;
	const struct name *type = name_find(types, raw.type);
	if (!type)
		return err_set(o->err, 0, "%s.type: %.16s is none of c, b, u and p", where, raw.type);
	if (raw.path[0] != '/' || strcmp(raw.path, "/") == 0)
		return err_set(o->err, 0, "%s.path: %.64s: must be an absolute path", where, raw.path);
	struct spec_mount m = plan_mount(&o->plan, SPEC_MNT_NODE, raw.path);
	m.src = m.dst;
	m.mode = (uint32_t)type->value | ((uint32_t)raw.mode & 07777);
	m.major = (uint32_t)raw.major;
	m.minor = (uint32_t)raw.minor;
	m.uid = (uint32_t)raw.uid;
	m.gid = (uint32_t)raw.gid;
	m.flags = SPEC_MF_CREATE;
	plan_add_mount(&o->plan, &m);
	return 0;
}

static bool listed(json_t *devices, const char *path)
{
	size_t i;
	json_t *v;
	json_array_foreach(devices, i, v) {
		const char *text = json_string_value(json_object_get(v, "path"));
		if (text && strcmp(text, path) == 0)
			return true;
	}
	return false;
}

static void add_link(struct oci_reader *o, const char *dst, const char *target)
{
	struct spec_mount m = plan_mount(&o->plan, SPEC_MNT_SYMLINK, dst);
	m.src = plan_str(&o->plan, target);
	plan_add_mount(&o->plan, &m);
}

/* runtime-spec, config-linux.md "Default Devices" and runtime-linux.md "Dev symbolic links" */
static void add_default_devices(struct oci_reader *o, json_t *devices)
{
	static const struct { const char *path; uint32_t major, minor; } nodes[] = {
		{ "/dev/null", 1, 3 }, { "/dev/zero", 1, 5 }, { "/dev/full", 1, 7 },
		{ "/dev/random", 1, 8 }, { "/dev/urandom", 1, 9 }, { "/dev/tty", 5, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(nodes); i++) {
		if (listed(devices, nodes[i].path))
			continue;
		struct spec_mount m = plan_mount(&o->plan, SPEC_MNT_NODE, nodes[i].path);
		m.src = m.dst;
		m.mode = S_IFCHR | 0666;
		m.major = nodes[i].major;
		m.minor = nodes[i].minor;
		m.flags = SPEC_MF_CREATE;
		plan_add_mount(&o->plan, &m);
	}
	add_link(o, "/dev/fd", "/proc/self/fd");
	add_link(o, "/dev/stdin", "/proc/self/fd/0");
	add_link(o, "/dev/stdout", "/proc/self/fd/1");
	add_link(o, "/dev/stderr", "/proc/self/fd/2");
	add_link(o, "/dev/ptmx", "pts/ptmx");
}

int oci_read_mounts(struct oci_reader *o, json_t *mounts, json_t *devices)
{
	bool dev_bound = false;
	size_t i;
	json_t *v;
	json_array_foreach(mounts, i, v) {
		int r = read_mount(o, v, i, &dev_bound);
		if (r < 0)
			return r;
	}
	if (!dev_bound) {
		struct spec_mount dev = plan_mount(&o->plan, SPEC_MNT_DIR, "/dev");
		dev.mode = 0755;
		plan_add_mount(&o->plan, &dev);
	}
	json_array_foreach(devices, i, v) {
		int r = read_device(o, v, i);
		if (r < 0)
			return r;
	}
	if (!dev_bound) /* a /dev of the host has its nodes, and is not ours to change */
		add_default_devices(o, devices);
	return 0;
}

static int add_paths(struct oci_reader *o, json_t *array, const char *where, enum spec_mount_op op)
{
	autofree const char **list = NULL;
	int r = oci_strings(array, where, &list, o->err);
	for (size_t i = 0; r == 0 && list[i]; i++) {
		if (list[i][0] != '/')
			return err_set(o->err, 0, "%s[%zu]: %.64s: must be an absolute path", where, i, list[i]);
		struct spec_mount m = plan_mount(&o->plan, op, list[i]);
		m.flags = SPEC_MF_OPTIONAL;
		plan_add_mount(&o->plan, &m);
	}
	return r;
}

int oci_read_path_lists(struct oci_reader *o, json_t *masked, json_t *readonly)
{
	int r = add_paths(o, readonly, "linux.readonlyPaths", SPEC_MNT_RDONLY);
	return r < 0 ? r : add_paths(o, masked, "linux.maskedPaths", SPEC_MNT_MASK);
}
