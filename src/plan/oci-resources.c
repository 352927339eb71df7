/*
 * linux.resources, in its v1 and v2 spellings, as limits of cgroup v2.
 *
 * Zero means "not set" throughout, as engines send it; -1 means "no limit",
 * which is the same when a container is made and lifts the limit in an update.
 * What only v1 had (kernel memory, swappiness, OOM killer off, real time,
 * network classes) is refused when it is set.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "plan/oci-internal.h"

struct place {
	struct oci_reader *o;
	const char *where; /* "linux.resources" */
};

static int refuse(const struct place *p, json_t *v, const char *field, const char *why)
{
	char path[OCI_WHERE];
	snprintf(path, sizeof(path), "%s.%s", p->where, field);
	if (json_is_integer(v) && json_integer_value(v) < 0)
		return 0; /* -1: no limit */
	return oci_refuse(p->o, v, path, why);
}

/* A limit: 0 not set, -1 none. */
static uint64_t limit(const struct place *p, int64_t value)
{
	if (value < 0)
		return p->o->update ? UINT64_MAX : 0;
	return (uint64_t)value;
}

static int read_memory(const struct place *p, json_t *object)
{
	struct raw { int64_t limit, reservation, swap; json_t *kernel, *kernel_tcp, *swappiness, *no_oom; };
#define M(member) offsetof(struct raw, member)
	static const struct json_field fields[] = {
		{ "limit", JF_INT, M(limit), false, -1, INT64_MAX },
		{ "reservation", JF_INT, M(reservation), false, -1, INT64_MAX },
		{ "swap", JF_INT, M(swap), false, -1, INT64_MAX },
		{ "kernel", JF_ANY, M(kernel), false, 0, 0 },
		{ "kernelTCP", JF_ANY, M(kernel_tcp), false, 0, 0 },
		{ "swappiness", JF_ANY, M(swappiness), false, 0, 0 },
		{ "disableOOMKiller", JF_ANY, M(no_oom), false, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};
#undef M
	struct raw raw = { 0 };
	struct spec_cgroup *c = &p->o->plan.head.cgroup;
	char where[OCI_WHERE];
	snprintf(where, sizeof(where), "%s.memory", p->where);
	int r = json_read(object, fields, JSON_LAX, &raw, where, p->o->err);
	if (r == 0)
		r = refuse(p, raw.kernel, "memory.kernel", "cgroup v2 counts kernel memory in the one limit");
	if (r == 0)
		r = refuse(p, raw.kernel_tcp, "memory.kernelTCP", "cgroup v2 counts it in the one limit");
	if (r == 0)
		r = refuse(p, raw.swappiness, "memory.swappiness", "cgroup v2 has none");
	if (r == 0)
		r = refuse(p, raw.no_oom, "memory.disableOOMKiller", "cgroup v2 cannot disable it");
	if (r < 0)
		return r;

	c->memory_bytes = limit(p, raw.limit);
	c->memory_low_bytes = limit(p, raw.reservation);
	if (raw.swap == 0)
		return 0;
	if (raw.swap < 0) { /* any amount */
		if (p->o->update) {
			c->flags |= SPEC_CG_SWAP;
			c->swap_bytes = UINT64_MAX;
		}
		return 0;
	}
	/* v1 and OCI: memory and swap together; v2: swap alone */
	if (raw.limit <= 0)
		return err_set(p->o->err, 0, "%s.swap: is memory and swap together, so it needs %s.limit", where, where);
	if (raw.swap < raw.limit)
		return err_set(p->o->err, 0, "%s.swap: %lld is memory and swap together and below limit (%lld)", where,
			       (long long)raw.swap, (long long)raw.limit);
	c->flags |= SPEC_CG_SWAP;
	c->swap_bytes = (uint64_t)(raw.swap - raw.limit);
	return 0;
}

/* 2 to 262144 shares on a line to 1 to 10000, as the engines do it. */
static uint64_t shares_to_weight(uint64_t shares)
{
	if (shares < 2)
		shares = 2;
	if (shares > 262144)
		shares = 262144;
	return 1 + (shares - 2) * 9999 / 262142;
}

static int read_cpu(const struct place *p, json_t *object)
{
	struct raw { int64_t shares, quota, burst, period, idle; const char *cpus, *mems; json_t *rt_runtime, *rt_period; };
#define C(member) offsetof(struct raw, member)
	static const struct json_field fields[] = {
		{ "shares", JF_INT, C(shares), false, 0, INT64_MAX },
		{ "quota", JF_INT, C(quota), false, -1, INT64_MAX },
		{ "burst", JF_INT, C(burst), false, 0, INT64_MAX },
		{ "period", JF_INT, C(period), false, 0, 1000000 },
		{ "idle", JF_INT, C(idle), false, 0, 1 },
		{ "cpus", JF_STR, C(cpus), false, 0, 0 },
		{ "mems", JF_STR, C(mems), false, 0, 0 },
		{ "realtimeRuntime", JF_ANY, C(rt_runtime), false, 0, 0 },
		{ "realtimePeriod", JF_ANY, C(rt_period), false, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};
#undef C
	struct raw raw = { 0 };
	struct plan *plan = &p->o->plan;
	struct spec_cgroup *c = &plan->head.cgroup;
	char where[OCI_WHERE];
	snprintf(where, sizeof(where), "%s.cpu", p->where);
	int r = json_read(object, fields, JSON_LAX, &raw, where, p->o->err);
	if (r == 0)
		r = refuse(p, raw.rt_runtime, "cpu.realtimeRuntime", "cgroup v2 has none");
	if (r == 0)
		r = refuse(p, raw.rt_period, "cpu.realtimePeriod", "cgroup v2 has none");
	if (r < 0)
		return r;
	if (raw.quota > 0 && raw.quota < 1000)
		return err_set(p->o->err, 0, "%s.quota: %lld is below 1000 microseconds", where, (long long)raw.quota);
	if (raw.period > 0 && raw.period < 1000)
		return err_set(p->o->err, 0, "%s.period: %lld is below 1000 microseconds", where, (long long)raw.period);
	c->cpu_weight = raw.shares ? shares_to_weight((uint64_t)raw.shares) : 0;
	c->cpu_quota_us = limit(p, raw.quota);
	c->cpu_period_us = raw.period ? (uint64_t)raw.period : c->cpu_quota_us ? 100000 : 0;
	c->cpu_burst_us = (uint64_t)raw.burst;
	c->flags |= raw.idle ? SPEC_CG_CPU_IDLE : 0;
	c->cpuset_cpus = plan_str(plan, raw.cpus);
	c->cpuset_mems = plan_str(plan, raw.mems);
	return 0;
}

static int read_pids(const struct place *p, json_t *object)
{
	struct { int64_t limit; } raw = { 0 };
	static const struct json_field fields[] = {
		{ "limit", JF_INT, 0, false, -1, 1 << 22 }, /* PID_MAX_LIMIT */
		{ NULL, 0, 0, false, 0, 0 },
	};
	char where[OCI_WHERE];
	snprintf(where, sizeof(where), "%s.pids", p->where);
	int r = json_read(object, fields, JSON_LAX, &raw, where, p->o->err);
	if (r == 0)
		p->o->plan.head.cgroup.pids = limit(p, raw.limit);
	return r;
}

static void add_file(struct plan *plan, const char *name, const char *value)
{
	struct spec_cgroup_file f = { plan_str(plan, name), plan_str(plan, value) };
	plan_add_cgroup_file(plan, &f);
}

/* 10 to 1000 (blkio.weight) on a line to 1 to 10000 (io.weight) */
static uint64_t io_weight(int64_t weight) { return 1 + (uint64_t)(weight - 10) * 9999 / 990; }

struct raw_throttle {
	int64_t major, minor, rate, weight;
};

static const struct json_field throttle_fields[] = {
	{ "major", JF_INT, offsetof(struct raw_throttle, major), true, 0, 4095 },
	{ "minor", JF_INT, offsetof(struct raw_throttle, minor), true, 0, 1048575 },
	{ "rate", JF_INT, offsetof(struct raw_throttle, rate), false, 0, INT64_MAX },
	{ "weight", JF_INT, offsetof(struct raw_throttle, weight), false, 0, 1000 },
	{ NULL, 0, 0, false, 0, 0 },
};

/* The record of a device: one line of io.max carries all four values. */
static struct spec_io *io_record(struct plan *plan, uint32_t major, uint32_t minor)
{
	struct spec_io *io = (struct spec_io *)plan->section[SPEC_SECT_IO].data;
	uint32_t n = plan_count(plan, SPEC_SECT_IO);
	assert(io || n == 0);
	for (uint32_t i = 0; i < n; i++)
		if (io[i].major == major && io[i].minor == minor)
			return &io[i];
	struct spec_io fresh = { .major = major, .minor = minor };
	uint32_t at = plan_add_io(plan, &fresh);
	return plan->status < 0 ? NULL : &((struct spec_io *)plan->section[SPEC_SECT_IO].data)[at];
}

static int read_throttle(const struct place *p, json_t *array, const char *name, size_t offset)
{
	size_t i;
	json_t *v;
	json_array_foreach(array, i, v) {
		struct raw_throttle raw = { 0 };
		char where[OCI_WHERE];
		snprintf(where, sizeof(where), "%s.blockIO.%s[%zu]", p->where, name, i);
		int r = json_read(v, throttle_fields, JSON_LAX, &raw, where, p->o->err);
		if (r < 0)
			return r;
		struct spec_io *io = raw.rate ? io_record(&p->o->plan, (uint32_t)raw.major, (uint32_t)raw.minor) : NULL;
		if (io)
			*(uint64_t *)((char *)io + offset) = (uint64_t)raw.rate;
	}
	return 0;
}

static int read_weight_devices(const struct place *p, json_t *array)
{
	size_t i;
	json_t *v;
	json_array_foreach(array, i, v) {
		struct raw_throttle raw = { 0 };
		char where[OCI_WHERE], value[64];
		snprintf(where, sizeof(where), "%s.blockIO.weightDevice[%zu]", p->where, i);
		int r = json_read(v, throttle_fields, JSON_LAX, &raw, where, p->o->err);
		if (r == 0 && raw.weight && raw.weight < 10)
			r = err_set(p->o->err, 0, "%s.weight: %lld is outside 10 to 1000", where, (long long)raw.weight);
		if (r < 0)
			return r;
		snprintf(value, sizeof(value), "%lld:%lld %llu", (long long)raw.major, (long long)raw.minor,
			 (unsigned long long)io_weight(raw.weight));
		if (raw.weight)
			add_file(&p->o->plan, "io.weight", value);
	}
	return 0;
}

static int read_block_io(const struct place *p, json_t *object)
{
	struct raw { int64_t weight; json_t *leaf, *devices, *rbps, *wbps, *riops, *wiops; };
#define B(member) offsetof(struct raw, member)
	static const struct json_field fields[] = {
		{ "weight", JF_INT, B(weight), false, 0, 1000 },
		{ "leafWeight", JF_ANY, B(leaf), false, 0, 0 },
		{ "weightDevice", JF_ARRAY, B(devices), false, 0, 0 },
		{ "throttleReadBpsDevice", JF_ARRAY, B(rbps), false, 0, 0 },
		{ "throttleWriteBpsDevice", JF_ARRAY, B(wbps), false, 0, 0 },
		{ "throttleReadIOPSDevice", JF_ARRAY, B(riops), false, 0, 0 },
		{ "throttleWriteIOPSDevice", JF_ARRAY, B(wiops), false, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};
#undef B
	struct raw raw = { 0 };
	char where[OCI_WHERE];
	snprintf(where, sizeof(where), "%s.blockIO", p->where);
	int r = json_read(object, fields, JSON_LAX, &raw, where, p->o->err);
	if (r == 0)
		r = refuse(p, raw.leaf, "blockIO.leafWeight", "cgroup v2 has none");
	if (r == 0 && raw.weight && raw.weight < 10)
		r = err_set(p->o->err, 0, "%s.weight: %lld is outside 10 to 1000", where, (long long)raw.weight);
	if (r == 0)
		r = read_weight_devices(p, raw.devices);
	if (r == 0)
		r = read_throttle(p, raw.rbps, "throttleReadBpsDevice", offsetof(struct spec_io, rbps));
	if (r == 0)
		r = read_throttle(p, raw.wbps, "throttleWriteBpsDevice", offsetof(struct spec_io, wbps));
	if (r == 0)
		r = read_throttle(p, raw.riops, "throttleReadIOPSDevice", offsetof(struct spec_io, riops));
	if (r == 0)
		r = read_throttle(p, raw.wiops, "throttleWriteIOPSDevice", offsetof(struct spec_io, wiops));
	if (r == 0 && raw.weight)
		p->o->plan.head.cgroup.io_weight = io_weight(raw.weight);
	return r;
}

/* "2MB", "1GB": the kernel's own spelling in hugetlb.<size>.max */
static bool is_page_size(const char *s)
{
	size_t n = strspn(s, "0123456789");
	return n > 0 && n < 6 && strchr("KMG", s[n]) && s[n] && strcmp(s + n + 1, "B") == 0;
}

static int read_hugepages(const struct place *p, json_t *array)
{
	struct raw { const char *size; json_t *limit; };
	static const struct json_field fields[] = {
		{ "pageSize", JF_STR, offsetof(struct raw, size), true, 0, 0 },
		{ "limit", JF_ANY, offsetof(struct raw, limit), true, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};
	size_t i;
	json_t *v;
	json_array_foreach(array, i, v) {
		struct raw raw = { NULL, NULL };
		uint64_t bytes = 0;
		char where[OCI_WHERE], part[OCI_WHERE + 8], name[48], value[24];
		snprintf(where, sizeof(where), "%s.hugepageLimits[%zu]", p->where, i);
		snprintf(part, sizeof(part), "%s.limit", where);
		int r = json_read(v, fields, JSON_LAX, &raw, where, p->o->err);
		if (r == 0)
			r = oci_u64(raw.limit, part, &bytes, p->o->err);
		if (r == 0 && !is_page_size(raw.size))
			r = err_set(p->o->err, 0, "%s.pageSize: %.32s is not of the form 2MB", where, raw.size);
		if (r < 0)
			return r;
		snprintf(name, sizeof(name), "hugetlb.%s.max", raw.size);
		snprintf(value, sizeof(value), "%llu", (unsigned long long)bytes);
		add_file(&p->o->plan, name, value);
	}
	return 0;
}

static int read_rdma(const struct place *p, json_t *object)
{
	struct raw { int64_t handles, objects; };
	static const struct json_field fields[] = {
		{ "hcaHandles", JF_INT, offsetof(struct raw, handles), false, 0, UINT32_MAX },
		{ "hcaObjects", JF_INT, offsetof(struct raw, objects), false, 0, UINT32_MAX },
		{ NULL, 0, 0, false, 0, 0 },
	};
	const char *device;
	json_t *v;
	json_object_foreach(object, device, v) {
		struct raw raw = { -1, -1 };
		char where[OCI_WHERE], value[160], part[2][32] = { "", "" };
		snprintf(where, sizeof(where), "%s.rdma.%.32s", p->where, device);
		int r = json_read(v, fields, JSON_LAX, &raw, where, p->o->err);
		if (r == 0 && (!*device || strlen(device) > 64 || strpbrk(device, " \n\t")))
			r = err_set(p->o->err, 0, "%s: is no device name", where);
		if (r < 0)
			return r;
		if (raw.handles >= 0)
			snprintf(part[0], sizeof(part[0]), " hca_handle=%lld", (long long)raw.handles);
		if (raw.objects >= 0)
			snprintf(part[1], sizeof(part[1]), " hca_object=%lld", (long long)raw.objects);
		snprintf(value, sizeof(value), "%s%s%s", device, part[0], part[1]);
		if (raw.handles >= 0 || raw.objects >= 0)
			add_file(&p->o->plan, "rdma.max", value);
	}
	return 0;
}

static int read_unified(const struct place *p, json_t *object)
{
	const char *name;
	json_t *v;
	json_object_foreach(object, name, v) {
		if (!*name || strchr(name, '/') || strlen(name) > 64 || !strchr(name, '.') || name[0] == '.')
			return err_set(p->o->err, 0, "%s.unified.%.64s: is no file of a cgroup", p->where, name);
		if (strncmp(name, "cgroup.", 7) == 0)
			return err_set(p->o->err, 0, "%s.unified.%.64s: files of cgroup itself are not a limit", p->where, name);
		if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v))
			return err_set(p->o->err, 0, "%s.unified.%.64s: must be a string", p->where, name);
		add_file(&p->o->plan, name, json_string_value(v));
	}
	return 0;
}

struct raw_device_rule {
	bool allow;
	const char *type, *access;
	json_t *major, *minor;
};

static int device_number(const struct place *p, json_t *v, const char *where, const char *field, uint32_t *ret)
{
	*ret = UINT32_MAX; /* any */
	if (!v || json_is_null(v))
		return 0;
	json_int_t n = json_integer_value(v);
	if (!json_is_integer(v) || n < -1 || n > 1048575)
		return err_set(p->o->err, 0, "%s.%s: must be a device number or -1", where, field);
	if (n >= 0)
		*ret = (uint32_t)n;
	return 0;
}

static int read_device_rule(const struct place *p, json_t *v, size_t i)
{
	static const struct json_field fields[] = {
		{ "allow", JF_BOOL, offsetof(struct raw_device_rule, allow), true, 0, 0 },
		{ "type", JF_STR, offsetof(struct raw_device_rule, type), false, 0, 0 },
		{ "access", JF_STR, offsetof(struct raw_device_rule, access), false, 0, 0 },
		{ "major", JF_ANY, offsetof(struct raw_device_rule, major), false, 0, 0 },
		{ "minor", JF_ANY, offsetof(struct raw_device_rule, minor), false, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};
	struct raw_device_rule raw = { 0 };
	char where[OCI_WHERE];
	snprintf(where, sizeof(where), "%s.devices[%zu]", p->where, i);
	int r = json_read(v, fields, JSON_LAX, &raw, where, p->o->err);
	if (r < 0)
		return r;

	struct spec_device d = { .type = 'a', .allow = raw.allow };
	if (raw.type && *raw.type) {
		if (!strchr("abcu", raw.type[0]) || raw.type[1])
			return err_set(p->o->err, 0, "%s.type: %.16s is none of a, b, c and u", where, raw.type);
		d.type = raw.type[0] == 'u' ? 'c' : (uint32_t)raw.type[0];
	}
	r = device_number(p, raw.major, where, "major", &d.major);
	if (r == 0)
		r = device_number(p, raw.minor, where, "minor", &d.minor);
	if (r < 0)
		return r;
	for (const char *a = raw.access && *raw.access ? raw.access : "rwm"; *a; a++) {
		uint32_t bit = *a == 'r' ? 1 : *a == 'w' ? 2 : *a == 'm' ? 4 : 0;
		if (!bit)
			return err_set(p->o->err, 0, "%s.access: %.16s is not made of r, w and m", where, raw.access);
		d.access |= bit;
	}
	plan_add_device(&p->o->plan, &d);
	return 0;
}

/* What every container may use whatever the list says: the default devices and ptys, and mknod of any. */
static void add_default_rules(struct plan *plan)
{
	static const struct spec_device rules[] = {
		{ 'c', 1, UINT32_MAX, UINT32_MAX, 4 }, { 'b', 1, UINT32_MAX, UINT32_MAX, 4 },
		{ 'c', 1, 1, 3, 7 }, { 'c', 1, 1, 5, 7 }, { 'c', 1, 1, 7, 7 }, { 'c', 1, 1, 8, 7 }, { 'c', 1, 1, 9, 7 },
		{ 'c', 1, 5, 0, 7 }, { 'c', 1, 5, 1, 7 }, { 'c', 1, 5, 2, 7 }, { 'c', 1, 136, UINT32_MAX, 7 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		plan_add_device(plan, &rules[i]);
}

static int read_devices(const struct place *p, json_t *array)
{
	size_t i;
	json_t *v;
	json_array_foreach(array, i, v) {
		int r = read_device_rule(p, v, i);
		if (r < 0)
			return r;
	}
	if (json_array_size(array)) {
		add_default_rules(&p->o->plan);
		plan_flag(&p->o->plan, SPEC_F_DENY_DEVICES);
	}
	return 0;
}

struct raw_resources {
	json_t *memory, *cpu, *pids, *block_io, *hugepages, *unified, *devices, *rdma, *network;
};

static int read_parts(const struct place *p, const struct raw_resources *raw)
{
	const struct { json_t *v; int (*read)(const struct place *, json_t *); } parts[] = {
		{ raw->memory, read_memory }, { raw->cpu, read_cpu }, { raw->pids, read_pids },
		{ raw->block_io, read_block_io }, { raw->hugepages, read_hugepages }, { raw->rdma, read_rdma },
		{ raw->unified, read_unified },
	};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		int r = parts[i].v ? parts[i].read(p, parts[i].v) : 0;
		if (r < 0)
			return r;
	}
	/* without privilege no device can be made or opened beyond what is bound in, so there is nothing to deny */
	return p->o->env->superuser ? read_devices(p, raw->devices) : 0;
}

int oci_read_resources(struct oci_reader *o, json_t *resources, const char *where)
{
	static const struct json_field fields[] = {
		{ "memory", JF_OBJECT, offsetof(struct raw_resources, memory), false, 0, 0 },
		{ "cpu", JF_OBJECT, offsetof(struct raw_resources, cpu), false, 0, 0 },
		{ "pids", JF_OBJECT, offsetof(struct raw_resources, pids), false, 0, 0 },
		{ "blockIO", JF_OBJECT, offsetof(struct raw_resources, block_io), false, 0, 0 },
		{ "hugepageLimits", JF_ARRAY, offsetof(struct raw_resources, hugepages), false, 0, 0 },
		{ "unified", JF_OBJECT, offsetof(struct raw_resources, unified), false, 0, 0 },
		{ "devices", JF_ARRAY, offsetof(struct raw_resources, devices), false, 0, 0 },
		{ "rdma", JF_OBJECT, offsetof(struct raw_resources, rdma), false, 0, 0 },
		{ "network", JF_OBJECT, offsetof(struct raw_resources, network), false, 0, 0 },
		{ NULL, 0, 0, false, 0, 0 },
	};
	struct raw_resources raw = { 0 };
	const struct place p = { o, where };
	if (!resources)
		return 0;
	int r = json_read(resources, fields, JSON_LAX, &raw, where, o->err);
	if (r < 0)
		return r;
	r = refuse(&p, json_object_get(raw.network, "classID"), "network.classID", "cgroup v2 has no network classes");
	if (r == 0)
		r = refuse(&p, json_object_get(raw.network, "priorities"), "network.priorities", "cgroup v2 has no network priorities");
	return r < 0 ? r : read_parts(&p, &raw);
}
