/* config.process: who runs what with which rights. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "plan/names.h"
#include "plan/oci-internal.h"

struct raw_process {
	json_t *args, *env, *user, *caps, *rlimits, *console_size, *io_priority, *scheduler, *affinity, *oom;
	const char *cwd, *apparmor, *selinux;
	bool terminal, no_new_privs;
};

static const char *unmapped(const struct oci_reader *o, enum spec_section map, uint32_t id)
{
	const struct buf *b = &o->plan.section[map];
	const struct spec_idmap *m = (const struct spec_idmap *)b->data;
	uint32_t n = plan_count(&o->plan, map);
	for (uint32_t i = 0; i < n; i++)
		if (id >= m[i].inside && id - m[i].inside < m[i].count)
			return NULL;
	return n ? "is not mapped in the user namespace" : NULL;
}

static int read_groups(struct oci_reader *o, json_t *array)
{
	size_t i;
	json_t *v;
	if (json_array_size(array) && (o->plan.head.flags >> SPEC_F_SETGROUPS_DENY) & 1)
		return err_set(o->err, 0, "process.user.additionalGids: an ordinary user's container cannot have any");
	json_array_foreach(array, i, v) {
		json_int_t gid = json_integer_value(v);
		if (!json_is_integer(v) || gid < 0 || gid >= UINT32_MAX)
			return err_set(o->err, 0, "process.user.additionalGids[%zu]: must be a group id", i);
		uint32_t id = (uint32_t)gid;
		const char *why = unmapped(o, SPEC_SECT_GID_MAP, id);
		if (why)
			return err_set(o->err, 0, "process.user.additionalGids[%zu]: %u %s", i, id, why);
		plan_add_group(&o->plan, &id);
	}
	return 0;
}

static int read_user(struct oci_reader *o, json_t *object)
{
	struct raw { int64_t uid, gid, umask; json_t *groups; } raw = { 0, 0, 022, NULL };
	static const struct json_field fields[] = {
		{ "uid", JF_INT, offsetof(struct raw, uid), false, 0, UINT32_MAX - 1 },
		{ "gid", JF_INT, offsetof(struct raw, gid), false, 0, UINT32_MAX - 1 },
		{ "umask", JF_INT, offsetof(struct raw, umask), false, 0, 0777 },
		{ "additionalGids", JF_ARRAY, offsetof(struct raw, groups), false, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};
	int r = object ? json_read(object, fields, JSON_LAX, &raw, "process.user", o->err) : 0;
	if (r < 0)
		return r;
	o->plan.head.uid = (uint32_t)raw.uid;
	o->plan.head.gid = (uint32_t)raw.gid;
	o->plan.head.umask = (uint32_t)raw.umask;
	const char *why = unmapped(o, SPEC_SECT_UID_MAP, o->plan.head.uid);
	if (why)
		return err_set(o->err, 0, "process.user.uid: %u %s", o->plan.head.uid, why);
	why = unmapped(o, SPEC_SECT_GID_MAP, o->plan.head.gid);
	if (why)
		return err_set(o->err, 0, "process.user.gid: %u %s", o->plan.head.gid, why);
	return read_groups(o, raw.groups);
}

static int read_cap_set(struct oci_reader *o, json_t *array, const char *name, uint64_t *set)
{
	size_t i;
	json_t *v;
	if (array && !json_is_null(array) && !json_is_array(array))
		return err_set(o->err, 0, "process.capabilities.%s: must be an array", name);
	json_array_foreach(array, i, v) {
		const char *text = json_string_value(v);
		int cap = text ? oci_capability(text) : -1;
		if (!text)
			return err_set(o->err, 0, "process.capabilities.%s[%zu]: must be a string", name, i);
		if (cap < 0)
			return err_set(o->err, 0, "process.capabilities.%s[%zu]: %.40s is no capability", name, i, text);
		*set |= 1ull << cap;
	}
	return 0;
}

static int read_caps(struct oci_reader *o, json_t *object)
{
	struct spec_caps *c = &o->plan.head.caps;
	const struct { const char *name; uint64_t *set; } sets[] = {
		{ "bounding", &c->bounding }, { "effective", &c->effective }, { "permitted", &c->permitted },
		{ "inheritable", &c->inheritable }, { "ambient", &c->ambient },
	};
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		int r = read_cap_set(o, json_object_get(object, sets[i].name), sets[i].name, sets[i].set);
		if (r < 0)
			return r;
	}
	/* capabilities(7): what the kernel would refuse, said before anything is made */
	if (c->effective & ~c->permitted)
		return err_set(o->err, 0, "process.capabilities.effective: holds what permitted does not");
	if (c->ambient & ~(c->permitted & c->inheritable))
		return err_set(o->err, 0, "process.capabilities.ambient: holds what permitted and inheritable do not both");
	return 0;
}

static int read_rlimits(struct oci_reader *o, json_t *array)
{
	struct raw { const char *type; json_t *soft, *hard; };
	static const struct json_field fields[] = {
		{ "type", JF_STR, offsetof(struct raw, type), true, 0, 0 },
		{ "soft", JF_ANY, offsetof(struct raw, soft), true, 0, 0 },
		{ "hard", JF_ANY, offsetof(struct raw, hard), true, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};
	uint32_t seen = 0;
	size_t i;
	json_t *v;
	json_array_foreach(array, i, v) {
		struct raw raw = { NULL, NULL, NULL };
		char where[OCI_WHERE], part[OCI_WHERE + 8];
		snprintf(where, sizeof(where), "process.rlimits[%zu]", i);
		int r = json_read(v, fields, JSON_LAX, &raw, where, o->err);
		if (r < 0)
			return r;
		const struct name *kind = name_find(names_rlimits, raw.type);
		if (!kind)
			return err_set(o->err, 0, "%s.type: %.40s is no resource limit", where, raw.type);
		if ((seen >> kind->value) & 1)
			return err_set(o->err, 0, "%s.type: %s is listed twice", where, raw.type);
		seen |= 1u << kind->value;

		struct spec_rlimit limit = { .resource = (uint32_t)kind->value };
		snprintf(part, sizeof(part), "%s.soft", where);
		r = oci_u64(raw.soft, part, &limit.soft, o->err);
		snprintf(part, sizeof(part), "%s.hard", where);
		if (r == 0)
			r = oci_u64(raw.hard, part, &limit.hard, o->err);
		if (r == 0 && limit.soft > limit.hard)
			r = err_set(o->err, 0, "%s: soft is above hard", where);
		if (r < 0)
			return r;
		plan_add_rlimit(&o->plan, &limit);
	}
	return 0;
}

static int read_io_priority(struct oci_reader *o, json_t *object)
{
	struct raw { const char *class; int64_t priority; } raw = { NULL, 0 };
	static const struct json_field fields[] = {
		{ "class", JF_STR, offsetof(struct raw, class), true, 0, 0 },
		{ "priority", JF_INT, offsetof(struct raw, priority), false, 0, 7 },
		{ NULL, 0, 0, false, 0, 0 },
	};
	/* ioprio_set(2): class << 13 | level */
	static const struct name classes[] = { { "IOPRIO_CLASS_RT", 1 }, { "IOPRIO_CLASS_BE", 2 }, { "IOPRIO_CLASS_IDLE", 3 }, { NULL, 0 } };
	if (oci_is_unset(object))
		return 0;
	int r = json_read(object, fields, JSON_LAX, &raw, "process.ioPriority", o->err);
	if (r < 0)
		return r;
	const struct name *c = name_find(classes, raw.class);
	if (!c)
		return err_set(o->err, 0, "process.ioPriority.class: %.40s is unknown", raw.class);
	o->plan.head.io_class = c->value << 13 | (uint64_t)raw.priority;
	return 0;
}

static int read_oom(struct oci_reader *o, json_t *v)
{
	if (!v || json_is_null(v))
		return 0;
	json_int_t score = json_integer_value(v);
	if (!json_is_integer(v))
		return err_set(o->err, 0, "process.oomScoreAdj: must be a whole number");
	if (score < -1000 || score > 1000)
		return err_set(o->err, 0, "process.oomScoreAdj: %lld is outside -1000 to 1000", (long long)score);
	o->plan.head.oom_score_adj = (int32_t)score;
	return 0;
}

static int read_terminal(struct oci_reader *o, const struct raw_process *raw, struct oci_info *info)
{
	struct size { int64_t rows, columns; } size = { 0, 0 };
	static const struct json_field fields[] = {
		{ "height", JF_INT, offsetof(struct size, rows), false, 0, UINT16_MAX },
		{ "width", JF_INT, offsetof(struct size, columns), false, 0, UINT16_MAX },
		{ NULL, 0, 0, false, 0, 0 },
	};
	int r = raw->console_size ? json_read(raw->console_size, fields, JSON_LAX, &size, "process.consoleSize", o->err) : 0;
	if (r < 0)
		return r;
	if (raw->terminal && !o->env->console_socket) {
		err_set(o->err, 0, "process.terminal: true, but there is no console socket");
		return err_hint(o->err, "give --console-socket, or set process.terminal to false");
	}
	if (!raw->terminal && o->env->console_socket)
		return err_set(o->err, 0, "process.terminal: false, but --console-socket was given");
	info->terminal = raw->terminal;
	info->console_rows = (uint16_t)size.rows;
	info->console_columns = (uint16_t)size.columns;
	if (raw->terminal)
		plan_flag(&o->plan, SPEC_F_TERMINAL);
	return 0;
}

static int refuse_unserved(struct oci_reader *o, const struct raw_process *raw)
{
	if (raw->apparmor && *raw->apparmor)
		return err_set(o->err, 0, "process.apparmorProfile: %.64s: %s", raw->apparmor,
			       o->env->apparmor ? "AppArmor profiles are not served" : "AppArmor is not enabled on this host");
	if (raw->selinux && *raw->selinux)
		return err_set(o->err, 0, "process.selinuxLabel: %.64s: %s", raw->selinux,
			       o->env->selinux ? "SELinux labels are not served" : "SELinux is not enabled on this host");
	int r = oci_refuse(o, raw->scheduler, "process.scheduler", "scheduling policies are not served");
	return r < 0 ? r : oci_refuse(o, raw->affinity, "process.execCPUAffinity", "CPU affinity is not served");
}

static int build_payload(struct oci_reader *o, const struct raw_process *raw, struct buf *payload)
{
	autofree const char **argv = NULL, **env = NULL;
	int r = oci_strings(raw->args, "process.args", &argv, o->err);
	if (r == 0)
		r = oci_strings(raw->env, "process.env", &env, o->err);
	if (r != 0)
		return r;
	if (!argv[0] || !*argv[0])
		return err_set(o->err, 0, "process.args: names no program");
	for (size_t i = 0; env[i]; i++)
		if (!strchr(env[i], '=') || env[i][0] == '=')
			return err_set(o->err, 0, "process.env[%zu]: must be NAME=VALUE", i);
	if (raw->cwd[0] != '/')
		return err_set(o->err, 0, "process.cwd: %.64s: must be an absolute path", *raw->cwd ? raw->cwd : "\"\"");
	r = payload_build(argv, env, raw->cwd, payload, o->err);
	return r < 0 ? err_wrap(o->err, "process") : 0;
}

int oci_read_process(struct oci_reader *o, json_t *process, struct buf *payload, struct oci_info *info)
{
#define P(member) offsetof(struct raw_process, member)
	static const struct json_field fields[] = {
		{ "args", JF_ARRAY, P(args), true, 0, 0 },
		{ "env", JF_ARRAY, P(env), false, 0, 0 },
		{ "cwd", JF_STR, P(cwd), true, 0, 0 },
		{ "user", JF_OBJECT, P(user), false, 0, 0 },
		{ "capabilities", JF_OBJECT, P(caps), false, 0, 0 },
		{ "rlimits", JF_ARRAY, P(rlimits), false, 0, 0 },
		{ "noNewPrivileges", JF_BOOL, P(no_new_privs), false, 0, 0 },
		{ "terminal", JF_BOOL, P(terminal), false, 0, 0 },
		{ "consoleSize", JF_OBJECT, P(console_size), false, 0, 0 },
		{ "oomScoreAdj", JF_ANY, P(oom), false, 0, 0 },
		{ "ioPriority", JF_OBJECT, P(io_priority), false, 0, 0 },
		{ "apparmorProfile", JF_STR, P(apparmor), false, 0, 0 },
		{ "selinuxLabel", JF_STR, P(selinux), false, 0, 0 },
		{ "scheduler", JF_OBJECT, P(scheduler), false, 0, 0 },
		{ "execCPUAffinity", JF_OBJECT, P(affinity), false, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};
#undef P
	struct raw_process raw = { 0 };
	int r = json_read(process, fields, JSON_LAX, &raw, "process", o->err);
	if (r == 0)
		r = refuse_unserved(o, &raw);
	if (r == 0)
		r = read_user(o, raw.user);
	if (r == 0)
		r = read_caps(o, raw.caps);
	if (r == 0)
		r = read_rlimits(o, raw.rlimits);
	if (r == 0)
		r = read_oom(o, raw.oom);
	if (r == 0)
		r = read_io_priority(o, raw.io_priority);
	if (r == 0)
		r = read_terminal(o, &raw, info);
	if (r == 0)
		r = build_payload(o, &raw, payload);
	if (raw.no_new_privs)
		plan_flag(&o->plan, SPEC_F_NO_NEW_PRIVS);
	info->has_process = r == 0;
	return r;
}
