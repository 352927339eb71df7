#include "plan/oci.h"

#include <errno.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "plan/names.h"
#include "plan/oci-internal.h"

/* OCI's words for namespaces, at our numbers */
static const char *const ns_types[] = {
	[SPEC_NS_USER] = "user", [SPEC_NS_PID] = "pid", [SPEC_NS_MOUNT] = "mount", [SPEC_NS_NET] = "network",
	[SPEC_NS_IPC] = "ipc", [SPEC_NS_UTS] = "uts", [SPEC_NS_CGROUP] = "cgroup", [SPEC_NS_TIME] = "time",
};
_Static_assert(ARRAY_LEN(ns_types) == SPEC_NS_MAX, "a word for each namespace");

static const char *const hook_kinds[] = {
	[SPEC_HOOK_PRESTART] = "prestart", [SPEC_HOOK_CREATE_RUNTIME] = "createRuntime",
	[SPEC_HOOK_CREATE_CONTAINER] = "createContainer", [SPEC_HOOK_START_CONTAINER] = "startContainer",
	[SPEC_HOOK_POSTSTART] = "poststart", [SPEC_HOOK_POSTSTOP] = "poststop",
};
_Static_assert(ARRAY_LEN(hook_kinds) == SPEC_HOOK_MAX, "a word for each kind of hook");

enum { HOOK_WORDS_MAX = 512 }; /* argv and env of one hook, as sandbox/hooks.c holds them */

bool oci_is_unset(const json_t *v)
{
	if (!v)
		return true;
	switch (json_typeof(v)) {
	case JSON_NULL:
	case JSON_FALSE:
		return true;
	case JSON_OBJECT:
		return json_object_size(v) == 0;
	case JSON_ARRAY:
		return json_array_size(v) == 0;
	case JSON_STRING:
		return json_string_length(v) == 0;
	case JSON_INTEGER:
		return json_integer_value(v) == 0;
	default:
		return false;
	}
}

int oci_refuse(struct oci_reader *o, json_t *v, const char *where, const char *why)
{
	return oci_is_unset(v) ? 0 : err_set(o->err, 0, "%s: %s", where, why);
}

int oci_u64(json_t *v, const char *where, uint64_t *ret, struct err *err)
{
	if (!v || json_is_null(v))
		return 0;
	if (json_is_integer(v) && json_integer_value(v) >= 0) {
		*ret = (uint64_t)json_integer_value(v);
		return 0;
	}
	if (json_is_real(v) && json_real_value(v) >= 0x1p63 && json_real_value(v) <= 0x1p64) {
		*ret = json_real_value(v) >= 0x1p64 ? UINT64_MAX : (uint64_t)json_real_value(v);
		return 0;
	}
	return err_set(err, 0, "%s: must be a whole number from 0 to 18446744073709551615", where);
}

int oci_strings(json_t *array, const char *where, const char ***ret, struct err *err)
{
	size_t n = json_array_size(array);
	autofree const char **list = calloc(n + 1, sizeof(*list));
	if (!list)
		return err_set(err, ENOMEM, "%s", where);
	for (size_t i = 0; i < n; i++) {
		json_t *v = json_array_get(array, i);
		if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v))
			return err_set(err, 0, "%s[%zu]: must be a string", where, i);
		list[i] = json_string_value(v);
	}
	*ret = take_ptr(list);
	return 0;
}

int oci_words(struct oci_reader *o, json_t *array, const char *where, uint32_t *first, uint32_t *count)
{
	autofree const char **list = NULL;
	int r = oci_strings(array, where, &list, o->err);
	if (r != 0)
		return r;
	*first = plan_count(&o->plan, SPEC_SECT_WORD);
	*count = 0;
	for (; list[*count]; ++*count) {
		struct spec_word w = { plan_str(&o->plan, list[*count]) };
		plan_add_word(&o->plan, &w);
	}
	return 0;
}

int oci_version_check(const char *version, struct err *err)
{
	if (str_starts(version, "1.") && version[2] >= '0' && version[2] <= '9')
		return 0;
	err_set(err, 0, "ociVersion: %.32s is not served", *version ? version : "\"\"");
	return err_hint(err, "every 1.x version is");
}

struct raw_namespace {
	const char *type, *path;
};

static int read_namespace(struct oci_reader *o, json_t *v, size_t i)
{
	static const struct json_field fields[] = {
		{ "type", JF_STR, offsetof(struct raw_namespace, type), true, 0, 0 },
		{ "path", JF_STR, offsetof(struct raw_namespace, path), false, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};
	struct raw_namespace raw = { NULL, NULL };
	char where[OCI_WHERE];
	snprintf(where, sizeof(where), "linux.namespaces[%zu]", i);
	int r = json_read(v, fields, JSON_LAX, &raw, where, o->err);
	if (r < 0)
		return r;

	uint32_t ns = 0;
	while (ns < SPEC_NS_MAX && strcmp(raw.type, ns_types[ns]) != 0)
		ns++;
	if (ns == SPEC_NS_MAX)
		return err_set(o->err, 0, "%s.type: %.32s is no kind of namespace", where, raw.type);
	if (oci_has_ns(o, (enum spec_ns)ns))
		return err_set(o->err, 0, "%s.type: %s is listed twice", where, raw.type);
	o->ns_all |= 1u << ns;
	if (!raw.path || !*raw.path) {
		plan_ns(&o->plan, (enum spec_ns)ns);
		return 0;
	}
	if (raw.path[0] != '/')
		return err_set(o->err, 0, "%s.path: %.64s: must be an absolute path", where, raw.path);
	if (ns == SPEC_NS_MOUNT) {
		err_set(o->err, 0, "%s.path: a mount namespace cannot be joined", where);
		return err_hint(o->err, "leave path out: the container's root is mounted in a new one");
	}
	if (ns == SPEC_NS_USER) {
		/* the others are made before it could be joined, and would belong to the initial one */
		err_set(o->err, 0, "%s.path: joining a user namespace is not served", where);
		return err_hint(o->err, "leave path out and give uidMappings and gidMappings");
	}
	struct spec_join join = { .ns = ns, .path = plan_str(&o->plan, raw.path) };
	plan_add_join(&o->plan, &join);
	return 0;
}

static int read_namespaces(struct oci_reader *o, json_t *array)
{
	size_t i;
	json_t *v;
	json_array_foreach(array, i, v) {
		int r = read_namespace(o, v, i);
		if (r < 0)
			return r;
	}
	o->user_ns = oci_has_ns(o, SPEC_NS_USER);
	if (!oci_has_ns(o, SPEC_NS_MOUNT)) {
		err_set(o->err, 0, "linux.namespaces: a mount namespace is needed");
		return err_hint(o->err, "add {\"type\": \"mount\"}");
	}
	if (!o->user_ns && !o->env->superuser) {
		err_set(o->err, EPERM, "linux.namespaces: an ordinary user needs a user namespace");
		return err_hint(o->err, "add {\"type\": \"user\"} with uidMappings and gidMappings of one id, or run as root");
	}
	if (spec_new_ns(&o->plan.head, SPEC_NS_NET)) {
		plan_flag(&o->plan, SPEC_F_LOOPBACK);
		if (spec_new_ns(&o->plan.head, SPEC_NS_USER))
			plan_flag(&o->plan, SPEC_F_NET_OWN);
	}
	return 0;
}

struct raw_map {
	int64_t inside, outside, size;
};

static int read_map(struct oci_reader *o, json_t *array, const char *name, bool gid, struct spec_idmap *first)
{
	static const struct json_field fields[] = {
		{ "containerID", JF_INT, offsetof(struct raw_map, inside), true, 0, UINT32_MAX - 1 },
		{ "hostID", JF_INT, offsetof(struct raw_map, outside), true, 0, UINT32_MAX - 1 },
		{ "size", JF_INT, offsetof(struct raw_map, size), true, 1, UINT32_MAX - 1 },
		{ NULL, 0, 0, false, 0, 0 },
	};
	size_t i;
	json_t *v;
	json_array_foreach(array, i, v) {
		struct raw_map raw = { 0, 0, 0 };
		char where[OCI_WHERE];
		snprintf(where, sizeof(where), "%s[%zu]", name, i);
		int r = json_read(v, fields, JSON_LAX, &raw, where, o->err);
		if (r < 0)
			return r;
		if (raw.inside + raw.size > UINT32_MAX || raw.outside + raw.size > UINT32_MAX)
			return err_set(o->err, 0, "%s: ends above the largest id", where);
		struct spec_idmap m = { (uint32_t)raw.inside, (uint32_t)raw.outside, (uint32_t)raw.size };
		if (gid)
			plan_add_gid_map(&o->plan, &m);
		else
			plan_add_uid_map(&o->plan, &m);
		if (i == 0 || m.inside == 0)
			*first = m;
	}
	return 0;
}

static int read_maps(struct oci_reader *o, json_t *uids, json_t *gids)
{
	bool fresh = spec_new_ns(&o->plan.head, SPEC_NS_USER);
	size_t n = json_array_size(uids) + json_array_size(gids);
	if (n && !fresh)
		return err_set(o->err, 0, "linux.uidMappings: there is no new user namespace to map ids in");
	if (fresh && (json_array_size(uids) == 0 || json_array_size(gids) == 0)) {
		err_set(o->err, 0, "linux.%s: missing; a user namespace needs it", json_array_size(uids) ? "gidMappings" : "uidMappings");
		return err_hint(o->err, "for example [{\"containerID\": 0, \"hostID\": 100000, \"size\": 65536}]");
	}
	struct spec_idmap uid = { 0, 0, 0 }, gid = { 0, 0, 0 };
	int r = read_map(o, uids, "linux.uidMappings", false, &uid);
	if (r == 0)
		r = read_map(o, gids, "linux.gidMappings", true, &gid);
	o->plan.head.setup_uid = uid.inside;
	o->plan.head.setup_gid = gid.inside;
	if (fresh && !o->env->superuser)
		plan_flag(&o->plan, SPEC_F_SETGROUPS_DENY);
	return r;
}

/* Which namespace a sysctl belongs to; SPEC_NS_MAX: none, it would change the host. */
static enum spec_ns sysctl_namespace(const char *key)
{
	static const struct { const char *prefix; enum spec_ns ns; } table[] = {
		{ "kernel.msgmax", SPEC_NS_IPC }, { "kernel.msgmnb", SPEC_NS_IPC }, { "kernel.msgmni", SPEC_NS_IPC },
		{ "kernel.sem", SPEC_NS_IPC }, { "kernel.shmall", SPEC_NS_IPC }, { "kernel.shmmax", SPEC_NS_IPC },
		{ "kernel.shmmni", SPEC_NS_IPC }, { "kernel.shm_rmid_forced", SPEC_NS_IPC }, { "fs.mqueue.", SPEC_NS_IPC },
		{ "kernel.domainname", SPEC_NS_UTS }, { "kernel.hostname", SPEC_NS_UTS }, { "net.", SPEC_NS_NET },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const char *p = table[i].prefix;
		if (str_ends(p, ".") ? str_starts(key, p) : strcmp(key, p) == 0)
			return table[i].ns;
	}
	return SPEC_NS_MAX;
}

static int read_sysctl(struct oci_reader *o, json_t *object)
{
	const char *key;
	json_t *v;
	json_object_foreach(object, key, v) {
		if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v))
			return err_set(o->err, 0, "linux.sysctl.%.64s: must be a string", key);
		/* sysctl(8): in a name with a slash first, slashes separate and dots belong to a word */
		autofree char *dotted = strdup(key);
		if (!dotted)
			return err_set(o->err, ENOMEM, "linux.sysctl");
		char *slash = strchr(dotted, '/'), *dot = strchr(dotted, '.');
		bool slashed = slash && (!dot || slash < dot);
		for (char *p = dotted; *p && slashed; p++)
			*p = *p == '/' ? '.' : *p == '.' ? '/' : *p;
		if (strstr(dotted, ".."))
			return err_set(o->err, 0, "linux.sysctl.%.64s: has an empty component", key);
		enum spec_ns ns = sysctl_namespace(dotted);
		if (ns == SPEC_NS_MAX)
			return err_set(o->err, 0, "linux.sysctl.%.64s: belongs to the whole host, not to a namespace", key);
		if (!oci_has_ns(o, ns))
			return err_set(o->err, 0, "linux.sysctl.%.64s: needs {\"type\": \"%s\"} in linux.namespaces", key, ns_types[ns]);
		for (char *p = dotted; *p; p++)
			*p = *p == '.' ? '/' : *p == '/' ? '.' : *p;
		struct spec_sysctl c = { plan_str(&o->plan, dotted), plan_str(&o->plan, json_string_value(v)) };
		plan_add_sysctl(&o->plan, &c);
	}
	return 0;
}

struct raw_offset {
	int64_t secs, nanosecs;
};

static int read_time_offsets(struct oci_reader *o, json_t *object)
{
	static const struct json_field fields[] = {
		{ "secs", JF_INT, offsetof(struct raw_offset, secs), false, -4000000000, 4000000000 },
		{ "nanosecs", JF_INT, offsetof(struct raw_offset, nanosecs), false, 0, 999999999 },
		{ NULL, 0, 0, false, 0, 0 },
	};
	static const struct { const char *name; size_t offset; } clocks[] = {
		{ "monotonic", offsetof(struct spec, time_offset_mono_ns) },
		{ "boottime", offsetof(struct spec, time_offset_boot_ns) },
	};
	if (!oci_is_unset(object) && !spec_new_ns(&o->plan.head, SPEC_NS_TIME))
		return err_set(o->err, 0, "linux.timeOffsets: needs a new time namespace in linux.namespaces");
	for (size_t i = 0; i < ARRAY_LEN(clocks); i++) {
		json_t *v = json_object_get(object, clocks[i].name);
		struct raw_offset raw = { 0, 0 };
		char where[OCI_WHERE];
		snprintf(where, sizeof(where), "linux.timeOffsets.%s", clocks[i].name);
		int r = v && !json_is_null(v) ? json_read(v, fields, JSON_LAX, &raw, where, o->err) : 0;
		if (r < 0)
			return r;
		*(int64_t *)((char *)&o->plan.head + clocks[i].offset) = raw.secs * 1000000000 + raw.nanosecs;
	}
	return 0;
}

static int read_personality(struct oci_reader *o, json_t *object)
{
	struct { const char *domain; json_t *flags; } raw = { NULL, NULL };
	static const struct json_field fields[] = {
		{ "domain", JF_STR, 0, true, 0, 0 },
		{ "flags", JF_ARRAY, sizeof(const char *), false, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};
	if (oci_is_unset(object))
		return 0;
	int r = json_read(object, fields, JSON_LAX, &raw, "linux.personality", o->err);
	if (r == 0)
		r = oci_refuse(o, raw.flags, "linux.personality.flags", "no flag is defined for it");
	if (r < 0)
		return r;
	if (strcmp(raw.domain, "LINUX") != 0 && strcmp(raw.domain, "LINUX32") != 0)
		return err_set(o->err, 0, "linux.personality.domain: %.32s is neither LINUX nor LINUX32", raw.domain);
	o->plan.head.personality = strcmp(raw.domain, "LINUX32") == 0 ? 8 /* PER_LINUX32, personality(2) */ : 0;
	return 0;
}

struct raw_linux {
	json_t *namespaces, *uid_map, *gid_map, *devices, *resources, *sysctl, *seccomp, *masked, *readonly, *personality,
		*time_offsets, *intel_rdt, *net_devices, *memory_policy;
	const char *cgroups_path, *propagation, *mount_label;
};

static int parse_linux(struct oci_reader *o, json_t *object, struct raw_linux *raw)
{
#define L(member) offsetof(struct raw_linux, member)
	static const struct json_field fields[] = {
		{ "namespaces", JF_ARRAY, L(namespaces), false, 0, 0 },
		{ "uidMappings", JF_ARRAY, L(uid_map), false, 0, 0 },
		{ "gidMappings", JF_ARRAY, L(gid_map), false, 0, 0 },
		{ "devices", JF_ARRAY, L(devices), false, 0, 0 },
		{ "resources", JF_OBJECT, L(resources), false, 0, 0 },
		{ "sysctl", JF_OBJECT, L(sysctl), false, 0, 0 },
		{ "seccomp", JF_OBJECT, L(seccomp), false, 0, 0 },
		{ "maskedPaths", JF_ARRAY, L(masked), false, 0, 0 },
		{ "readonlyPaths", JF_ARRAY, L(readonly), false, 0, 0 },
		{ "personality", JF_OBJECT, L(personality), false, 0, 0 },
		{ "timeOffsets", JF_OBJECT, L(time_offsets), false, 0, 0 },
		{ "intelRdt", JF_OBJECT, L(intel_rdt), false, 0, 0 },
		{ "netDevices", JF_OBJECT, L(net_devices), false, 0, 0 },
		{ "memoryPolicy", JF_OBJECT, L(memory_policy), false, 0, 0 },
		{ "cgroupsPath", JF_STR, L(cgroups_path), false, 0, 0 },
		{ "rootfsPropagation", JF_STR, L(propagation), false, 0, 0 },
		{ "mountLabel", JF_STR, L(mount_label), false, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};
#undef L
	int r = object ? json_read(object, fields, JSON_LAX, raw, "linux", o->err) : 0;
	if (r == 0)
		r = oci_refuse(o, raw->intel_rdt, "linux.intelRdt", "cache and bandwidth allocation is not served");
	if (r == 0)
		r = oci_refuse(o, raw->net_devices, "linux.netDevices", "moving host interfaces is not served");
	if (r == 0)
		r = oci_refuse(o, raw->memory_policy, "linux.memoryPolicy", "NUMA policies are not served");
	if (r == 0 && raw->mount_label && *raw->mount_label && !o->env->selinux)
		r = err_set(o->err, 0, "linux.mountLabel: SELinux is not enabled on this host");
	if (r == 0 && raw->mount_label && *raw->mount_label)
		r = err_set(o->err, 0, "linux.mountLabel: SELinux labels are not served");
	return r;
}

static int read_propagation(struct oci_reader *o, const char *word)
{
	if (!word || !*word)
		return 0;
	const struct name *p = name_find(names_propagation, word);
	if (!p)
		return err_set(o->err, 0, "linux.rootfsPropagation: %.32s is unknown", word);
	o->plan.head.rootfs_propagation = (uint32_t)(p->value & ~(uint64_t)MS_REC);
	return 0;
}

struct raw_hook {
	const char *path;
	json_t *args, *env;
	int64_t timeout;
};

static int read_hook(struct oci_reader *o, json_t *v, uint32_t kind, size_t i)
{
	static const struct json_field fields[] = {
		{ "path", JF_STR, offsetof(struct raw_hook, path), true, 0, 0 },
		{ "args", JF_ARRAY, offsetof(struct raw_hook, args), false, 0, 0 },
		{ "env", JF_ARRAY, offsetof(struct raw_hook, env), false, 0, 0 },
		{ "timeout", JF_INT, offsetof(struct raw_hook, timeout), false, 1, UINT32_MAX },
		{ NULL, 0, 0, false, 0, 0 },
	};
	struct raw_hook raw = { NULL, NULL, NULL, 0 };
	char where[OCI_WHERE], part[OCI_WHERE + 8];
	snprintf(where, sizeof(where), "hooks.%s[%zu]", hook_kinds[kind], i);
	int r = json_read(v, fields, JSON_LAX, &raw, where, o->err);
	if (r < 0)
		return r;
	if (raw.path[0] != '/')
		return err_set(o->err, 0, "%s.path: %.64s: must be an absolute path", where, raw.path);
	struct spec_hook h = { .kind = kind, .path = plan_str(&o->plan, raw.path), .timeout_s = (uint32_t)raw.timeout };
	snprintf(part, sizeof(part), "%s.args", where);
	r = oci_words(o, raw.args, part, &h.argv_first, &h.argv_count);
	if (r == 0 && h.argv_count == 0) {
		struct spec_word self = { h.path };
		plan_add_word(&o->plan, &self);
		h.argv_count = 1;
	}
	snprintf(part, sizeof(part), "%s.env", where);
	if (r == 0)
		r = oci_words(o, raw.env, part, &h.env_first, &h.env_count);
	if (r == 0 && h.argv_count + h.env_count > HOOK_WORDS_MAX)
		r = err_set(o->err, 0, "%s: more than %d arguments and variables", where, HOOK_WORDS_MAX);
	if (r == 0)
		plan_add_hook(&o->plan, &h);
	return r;
}

static int read_hooks(struct oci_reader *o, json_t *hooks)
{
	for (uint32_t kind = 0; kind < SPEC_HOOK_MAX; kind++) {
		json_t *list = json_object_get(hooks, hook_kinds[kind]), *v;
		size_t i;
		if (list && !json_is_null(list) && !json_is_array(list))
			return err_set(o->err, 0, "hooks.%s: must be an array", hook_kinds[kind]);
		json_array_foreach(list, i, v) {
			int r = read_hook(o, v, kind, i);
			if (r < 0)
				return r;
			if (kind <= SPEC_HOOK_CREATE_CONTAINER)
				plan_flag(&o->plan, SPEC_F_HOOKS);
		}
	}
	return 0;
}

struct raw_config {
	const char *version, *hostname, *domainname;
	json_t *root, *mounts, *process, *linux_, *hooks, *annotations;
};

static int parse_config(json_t *config, struct raw_config *raw, struct err *err)
{
#define C(member) offsetof(struct raw_config, member)
	static const struct json_field fields[] = {
		{ "ociVersion", JF_STR, C(version), true, 0, 0 },
		{ "hostname", JF_STR, C(hostname), false, 0, 0 },
		{ "domainname", JF_STR, C(domainname), false, 0, 0 },
		{ "root", JF_OBJECT, C(root), false, 0, 0 },
		{ "mounts", JF_ARRAY, C(mounts), false, 0, 0 },
		{ "process", JF_OBJECT, C(process), false, 0, 0 },
		{ "linux", JF_OBJECT, C(linux_), false, 0, 0 },
		{ "hooks", JF_OBJECT, C(hooks), false, 0, 0 },
		{ "annotations", JF_OBJECT, C(annotations), false, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};
#undef C
	int r = json_read(config, fields, JSON_LAX, raw, "", err);
	return r < 0 ? r : oci_version_check(raw->version, err);
}

static int read_root(struct oci_reader *o, json_t *root)
{
	struct { const char *path; bool readonly; } raw = { NULL, false };
	static const struct json_field fields[] = {
		{ "path", JF_STR, 0, true, 0, 0 },
		{ "readonly", JF_BOOL, sizeof(const char *), false, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};
	if (!root)
		return err_set(o->err, 0, "root: missing");
	int r = json_read(root, fields, JSON_LAX, &raw, "root", o->err);
	if (r < 0)
		return r;
	if (!*raw.path)
		return err_set(o->err, 0, "root.path: must not be empty");

	struct spec_tree t = { .flags = SPEC_TREE_RECURSIVE };
	t.path = raw.path[0] == '/' ? plan_str(&o->plan, raw.path) : plan_strf(&o->plan, "%s/%s", o->env->bundle, raw.path);
	struct spec_mount m = plan_mount(&o->plan, SPEC_MNT_TREE, "");
	m.tree = plan_add_tree(&o->plan, &t);
	m.flags = SPEC_MF_RECURSIVE;
	plan_add_mount(&o->plan, &m);
	if (raw.readonly)
		plan_flag(&o->plan, SPEC_F_ROOT_READONLY);
	return 0;
}

static int read_names(struct oci_reader *o, const struct raw_config *raw)
{
	const struct { const char *field, *value; spec_str *to; } names[] = {
		{ "hostname", raw->hostname, &o->plan.head.hostname },
		{ "domainname", raw->domainname, &o->plan.head.domainname },
	};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!names[i].value || !*names[i].value)
			continue;
		if (!oci_has_ns(o, SPEC_NS_UTS))
			return err_set(o->err, 0, "%s: needs a uts namespace in linux.namespaces", names[i].field);
		if (strlen(names[i].value) > 64)
			return err_set(o->err, 0, "%s: longer than 64 bytes", names[i].field);
		*names[i].to = plan_str(&o->plan, names[i].value);
	}
	return 0;
}

static void begin(struct oci_reader *o, const struct oci_env *env, struct err *err)
{
	memset(o, 0, sizeof(*o));
	plan_init(&o->plan);
	o->env = env;
	o->err = err;
	plan_flag(&o->plan, SPEC_F_NEW_SESSION);
	plan_flag(&o->plan, SPEC_F_NEW_KEYRING);
	o->plan.head.features_off = env->features_off;
	o->plan.head.payload_fds = 3 + env->preserve_fds;
	o->plan.head.stage_dir = plan_str(&o->plan, env->stage_dir);
}

static void reader_fini(struct oci_reader *o) { plan_fini(&o->plan); }

/* Everything below config.linux, in the order the sandbox needs it. */
static int read_linux(struct oci_reader *o, const struct raw_config *config, const struct raw_linux *l)
{
	int r = read_namespaces(o, l->namespaces);
	if (r == 0)
		r = read_maps(o, l->uid_map, l->gid_map);
	if (r == 0)
		r = read_root(o, config->root);
	if (r == 0)
		r = oci_read_mounts(o, config->mounts, l->devices);
	if (r == 0)
		r = oci_read_path_lists(o, l->masked, l->readonly);
	if (r == 0)
		r = read_propagation(o, l->propagation);
	if (r == 0)
		r = read_names(o, config);
	if (r == 0)
		r = read_sysctl(o, l->sysctl);
	if (r == 0)
		r = read_time_offsets(o, l->time_offsets);
	if (r == 0)
		r = read_personality(o, l->personality);
	if (r == 0)
		r = oci_read_resources(o, l->resources, "linux.resources");
	if (r == 0)
		r = oci_read_seccomp(o, l->seccomp);
	o->plan.head.cgroup_path = plan_str(&o->plan, l->cgroups_path);
	return r;
}

static int read_annotations(struct oci_reader *o, json_t *annotations)
{
	const char *key;
	json_t *v;
	json_object_foreach(annotations, key, v)
		if (!json_is_string(v))
			return err_set(o->err, 0, "annotations.%.64s: must be a string", key);
	return 0;
}

int oci_compile(json_t *config, const struct oci_env *env, struct buf *spec, struct buf *payload,
		struct oci_info *info, struct err *err)
{
	_cleanup_(reader_fini) struct oci_reader o;
	struct oci_info unused;
	struct raw_config raw = { 0 };
	struct raw_linux l = { 0 };
	begin(&o, env, err);
	info = info ? info : &unused;
	memset(info, 0, sizeof(*info));

	int r = parse_config(config, &raw, err);
	if (r == 0)
		r = parse_linux(&o, raw.linux_, &l);
	if (r == 0)
		r = read_linux(&o, &raw, &l);
	if (r == 0)
		r = read_hooks(&o, raw.hooks);
	if (r == 0)
		r = read_annotations(&o, raw.annotations);
	if (r == 0 && raw.process)
		r = oci_read_process(&o, raw.process, payload, info);
	if (r < 0)
		return r;
	plan_flag(&o.plan, SPEC_F_CREATE_DST);
	if (env->no_pivot)
		plan_flag(&o.plan, SPEC_F_NO_PIVOT);
	return plan_finish(&o.plan, spec, err);
}

int oci_compile_exec(json_t *config, json_t *process, const struct oci_env *env, struct buf *spec,
		     struct buf *payload, struct oci_info *info, struct err *err)
{
	_cleanup_(reader_fini) struct oci_reader o;
	struct oci_info unused;
	struct raw_config raw = { 0 };
	struct raw_linux l = { 0 };
	begin(&o, env, err);
	info = info ? info : &unused;
	memset(info, 0, sizeof(*info));

	int r = parse_config(config, &raw, err);
	if (r == 0)
		r = parse_linux(&o, raw.linux_, &l);
	if (r == 0)
		r = read_namespaces(&o, l.namespaces);
	if (r < 0)
		return r;
	/* the container's namespaces are joined by the caller, none is made */
	o.plan.head.ns_new = 0;
	o.plan.head.flags &= ~(1u << SPEC_F_LOOPBACK | 1u << SPEC_F_NET_OWN);
	buf_reset(&o.plan.section[SPEC_SECT_JOIN]);
	if (o.user_ns && !env->superuser)
		plan_flag(&o.plan, SPEC_F_SETGROUPS_DENY);
	r = read_personality(&o, l.personality);
	if (r == 0)
		r = oci_read_seccomp(&o, l.seccomp);
	if (r == 0)
		r = oci_read_process(&o, process, payload, info);
	return r < 0 ? r : plan_finish(&o.plan, spec, err);
}

int oci_compile_resources(json_t *resources, struct buf *spec, struct err *err)
{
	static const struct oci_env env = { .superuser = true };
	_cleanup_(reader_fini) struct oci_reader o;
	begin(&o, &env, err);
	o.update = true;
	int r = oci_read_resources(&o, resources, "resources");
	return r < 0 ? r : plan_finish(&o.plan, spec, err);
}

int oci_capability(const char *name)
{
	const struct name *c = name_find(names_caps, name);
	return c ? (int)c->value : -1;
}

const char *oci_capability_name(int cap) { return cap < 0 ? NULL : name_of(names_caps, (uint64_t)cap); }

const char *oci_list_name(enum oci_list list, size_t i)
{
	switch (list) {
	case OCI_LIST_HOOK:
		return i < ARRAY_LEN(hook_kinds) ? hook_kinds[i] : NULL;
	case OCI_LIST_NAMESPACE:
		return i < ARRAY_LEN(ns_types) ? ns_types[i] : NULL;
	case OCI_LIST_MOUNT_OPTION:
		return oci_mount_option_name(i);
	default:
		return oci_seccomp_list_name(list, i);
	}
}
