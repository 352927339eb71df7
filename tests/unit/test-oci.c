/* oci: what each wrong field is answered with, what filters do, and the lists that features prints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <asm/unistd.h>
#include <errno.h>
#include <linux/audit.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "plan/oci.h"
#include "tests/unit/bpf.h"

/* Each row: the golden config full.json with one value replaced (or removed: NULL), and the error that follows. */
static const struct { const char *path, *value, *want; } bad[] = {
	{ "ociVersion", "\"2.0.0\"",
	  "ociVersion: 2.0.0 is not served" },
	{ "ociVersion", "1",
	  "ociVersion: must be a string" },
	{ "linux/namespaces/0/type", "\"nope\"",
	  "linux.namespaces[0].type: nope is no kind of namespace" },
	{ "linux/namespaces/0/path", "\"rel\"",
	  "linux.namespaces[0].path: rel: must be an absolute path" },
	{ "linux/namespaces/0/type", "\"mount\"",
	  "linux.namespaces[2].type: mount is listed twice" },
	{ "linux/uidMappings/0/size", "0",
	  "linux.uidMappings[0].size: 0 is outside 1 to 4294967294" },
	{ "linux/uidMappings/0/hostID", "4294967294",
	  "linux.uidMappings[0]: ends above the largest id" },
	{ "linux/gidMappings", "[]",
	  "linux.gidMappings: missing; a user namespace needs it" },
	{ "root/path", "\"\"",
	  "root.path: must not be empty" },
	{ "root", "[]",
	  "root: must be an object" },
	{ "process/cwd", "\"rel\"",
	  "process.cwd: rel: must be an absolute path" },
	{ "process/args", "[]",
	  "process.args: names no program" },
	{ "process/args", "[1]",
	  "process.args[0]: must be a string" },
	{ "process/env", "[\"NOEQUALS\"]",
	  "process.env[0]: must be NAME=VALUE" },
	{ "process/user/uid", "70000",
	  "process.user.uid: 70000 is not mapped in the user namespace" },
	{ "process/user/gid", "70000",
	  "process.user.gid: 70000 is not mapped in the user namespace" },
	{ "process/user/additionalGids", "[70000]",
	  "process.user.additionalGids[0]: 70000 is not mapped in the user namespace" },
	{ "process/user/additionalGids", "[\"x\"]",
	  "process.user.additionalGids[0]: must be a group id" },
	{ "process/capabilities/bounding", "[\"CAP_NOPE\"]",
	  "process.capabilities.bounding[0]: CAP_NOPE is no capability" },
	{ "process/capabilities/bounding", "\"x\"",
	  "process.capabilities.bounding: must be an array" },
	{ "process/capabilities/bounding", "[1]",
	  "process.capabilities.bounding[0]: must be a string" },
	{ "process/capabilities/effective", "[\"CAP_CHOWN\"]",
	  "process.capabilities.effective: holds what permitted does not" },
	{ "process/capabilities/ambient", "[\"CAP_CHOWN\"]",
	  "process.capabilities.ambient: holds what permitted and inheritable do not both" },
	{ "process/rlimits/0/type", "\"RLIMIT_X\"",
	  "process.rlimits[0].type: RLIMIT_X is no resource limit" },
	{ "process/rlimits/0/soft", "-1",
	  "process.rlimits[0].soft: must be a whole number from 0 to 18446744073709551615" },
	{ "process/rlimits/1/type", "\"RLIMIT_CORE\"",
	  "process.rlimits[1].type: RLIMIT_CORE is listed twice" },
	{ "process/oomScoreAdj", "1001",
	  "process.oomScoreAdj: 1001 is outside -1000 to 1000" },
	{ "process/oomScoreAdj", "\"1\"",
	  "process.oomScoreAdj: must be a whole number" },
	{ "process/ioPriority/class", "\"X\"",
	  "process.ioPriority.class: X is unknown" },
	{ "process/apparmorProfile", "\"p\"",
	  "process.apparmorProfile: p: AppArmor is not enabled on this host" },
	{ "process/selinuxLabel", "\"l\"",
	  "process.selinuxLabel: l: SELinux is not enabled on this host" },
	{ "process/scheduler", "{\"policy\": \"SCHED_FIFO\"}",
	  "process.scheduler: scheduling policies are not served" },
	{ "process/execCPUAffinity", "{\"initial\": \"0\"}",
	  "process.execCPUAffinity: CPU affinity is not served" },
	{ "mounts/7/source", "\"\"",
	  "mounts[7].source: missing; a bind mount needs it" },
	{ "mounts/7/destination", "\"/\"",
	  "mounts[7].destination: /: must be a path below /" },
	{ "mounts/7/options", "[\"bind\", \"size=1\"]",
	  "mounts[7].options: size=1: unknown option of a bind mount" },
	{ "mounts/7/options", "[\"bind\", \"remount\"]",
	  "mounts[7].options: remount is not served" },
	{ "mounts/7/options", "[\"bind\", \"idmap\"]",
	  "mounts[7].options: idmap is not served" },
	{ "mounts/7/uidMappings", "[{\"containerID\": 0, \"hostID\": 0, \"size\": 1}]",
	  "mounts[7].uidMappings: id-mapped mounts of a container's own are not served" },
	{ "mounts/7/options", "[]",
	  "mounts[7].type: missing; only a bind mount needs none" },
	{ "mounts/7/options", "[\"bind\", \"tmpcopyup\"]",
	  "mounts[7].options: tmpcopyup is for tmpfs" },
	{ "mounts/0/options", "[\"tmpcopyup\"]",
	  "mounts[0].options: tmpcopyup is for tmpfs" },
	{ "mounts/0/options", "\"ro\"",
	  "mounts[0].options: must be an array" },
	{ "mounts/0/options", "[{}]",
	  "mounts[0].options[0]: must be a string" },
	{ "mounts/0", "\"x\"",
	  "mounts[0]: must be an object" },
	{ "linux/devices/0/type", "\"x\"",
	  "linux.devices[0].type: x is none of c, b, u and p" },
	{ "linux/devices/0/path", "\"dev\"",
	  "linux.devices[0].path: dev: must be an absolute path" },
	{ "linux/devices/0/major", "5000",
	  "linux.devices[0].major: 5000 is outside 0 to 4095" },
	{ "linux/maskedPaths", "[\"rel\"]",
	  "linux.maskedPaths[0]: rel: must be an absolute path" },
	{ "linux/readonlyPaths", "[1]",
	  "linux.readonlyPaths[0]: must be a string" },
	{ "linux/rootfsPropagation", "\"x\"",
	  "linux.rootfsPropagation: x is unknown" },
	{ "linux/mountLabel", "\"x\"",
	  "linux.mountLabel: SELinux is not enabled on this host" },
	{ "linux/sysctl", "{\"kernel.core_pattern\": \"|/x\"}",
	  "linux.sysctl.kernel.core_pattern: belongs to the whole host, not to a namespace" },
	{ "linux/sysctl", "{\"net.x\": 1}",
	  "linux.sysctl.net.x: must be a string" },
	{ "linux/sysctl", "{\"net..x\": \"1\"}",
	  "linux.sysctl.net..x: has an empty component" },
	{ "linux/intelRdt", "{\"closID\": \"x\"}",
	  "linux.intelRdt: cache and bandwidth allocation is not served" },
	{ "linux/netDevices", "{\"eth0\": {}}",
	  "linux.netDevices: moving host interfaces is not served" },
	{ "linux/memoryPolicy", "{\"mode\": \"MPOL_BIND\"}",
	  "linux.memoryPolicy: NUMA policies are not served" },
	{ "linux/personality/domain", "\"X\"",
	  "linux.personality.domain: X is neither LINUX nor LINUX32" },
	{ "linux/personality/flags", "[\"X\"]",
	  "linux.personality.flags: no flag is defined for it" },
	{ "linux/timeOffsets/monotonic/nanosecs", "1000000000",
	  "linux.timeOffsets.monotonic.nanosecs: 1000000000 is outside 0 to 999999999" },
	{ "hooks/prestart/0/path", "\"rel\"",
	  "hooks.prestart[0].path: rel: must be an absolute path" },
	{ "hooks/prestart", "{}",
	  "hooks.prestart: must be an array" },
	{ "hooks/prestart/0/args", "[1]",
	  "hooks.prestart[0].args[0]: must be a string" },
	{ "hooks/prestart/0/env", "[1]",
	  "hooks.prestart[0].env[0]: must be a string" },
	{ "annotations/x", "1",
	  "annotations.x: must be a string" },
	{ "linux/resources/memory/limit", "\"x\"",
	  "linux.resources.memory.limit: must be a whole number" },
	{ "linux/resources/memory/swap", "1000",
	  "linux.resources.memory.swap: 1000 is memory and swap together and below limit (104857600)" },
	{ "linux/resources/memory", "{\"swap\": 1000}",
	  "linux.resources.memory.swap: is memory and swap together, so it needs linux.resources.memory.limit" },
	{ "linux/resources/memory/kernel", "1000",
	  "linux.resources.memory.kernel: cgroup v2 counts kernel memory in the one limit" },
	{ "linux/resources/memory/kernelTCP", "1000",
	  "linux.resources.memory.kernelTCP: cgroup v2 counts it in the one limit" },
	{ "linux/resources/memory/swappiness", "60",
	  "linux.resources.memory.swappiness: cgroup v2 has none" },
	{ "linux/resources/memory/disableOOMKiller", "true",
	  "linux.resources.memory.disableOOMKiller: cgroup v2 cannot disable it" },
	{ "linux/resources/cpu/quota", "10",
	  "linux.resources.cpu.quota: 10 is below 1000 microseconds" },
	{ "linux/resources/cpu/period", "10",
	  "linux.resources.cpu.period: 10 is below 1000 microseconds" },
	{ "linux/resources/cpu/realtimeRuntime", "10",
	  "linux.resources.cpu.realtimeRuntime: cgroup v2 has none" },
	{ "linux/resources/cpu/realtimePeriod", "10",
	  "linux.resources.cpu.realtimePeriod: cgroup v2 has none" },
	{ "linux/resources/pids/limit", "100000000",
	  "linux.resources.pids.limit: 100000000 is outside -1 to 4194304" },
	{ "linux/resources/blockIO/weight", "5",
	  "linux.resources.blockIO.weight: 5 is outside 10 to 1000" },
	{ "linux/resources/blockIO/leafWeight", "5",
	  "linux.resources.blockIO.leafWeight: cgroup v2 has none" },
	{ "linux/resources/blockIO/weightDevice/0/weight", "5",
	  "linux.resources.blockIO.weightDevice[0].weight: 5 is outside 10 to 1000" },
	{ "linux/resources/blockIO/throttleReadBpsDevice/0/rate", "\"x\"",
	  "linux.resources.blockIO.throttleReadBpsDevice[0].rate: must be a whole number" },
	{ "linux/resources/hugepageLimits/0/pageSize", "\"2M\"",
	  "linux.resources.hugepageLimits[0].pageSize: 2M is not of the form 2MB" },
	{ "linux/resources/hugepageLimits/0/limit", "\"x\"",
	  "linux.resources.hugepageLimits[0].limit: must be a whole number from 0 to 18446744073709551615" },
	{ "linux/resources/rdma", "{\"a b\": {\"hcaHandles\": 1}}",
	  "linux.resources.rdma.a b: is no device name" },
	{ "linux/resources/unified", "{\"../x\": \"1\"}",
	  "linux.resources.unified.../x: is no file of a cgroup" },
	{ "linux/resources/unified", "{\"memory.high\": 1}",
	  "linux.resources.unified.memory.high: must be a string" },
	{ "linux/resources/unified", "{\"cgroup.procs\": \"1\"}",
	  "linux.resources.unified.cgroup.procs: files of cgroup itself are not a limit" },
	{ "linux/resources/network/classID", "5",
	  "linux.resources.network.classID: cgroup v2 has no network classes" },
	{ "linux/resources/network/priorities", "[{\"name\": \"eth0\", \"priority\": 1}]",
	  "linux.resources.network.priorities: cgroup v2 has no network priorities" },
	{ "linux/resources/devices/1/type", "\"x\"",
	  "linux.resources.devices[1].type: x is none of a, b, c and u" },
	{ "linux/resources/devices/1/access", "\"x\"",
	  "linux.resources.devices[1].access: x is not made of r, w and m" },
	{ "linux/resources/devices/1/major", "\"x\"",
	  "linux.resources.devices[1].major: must be a device number or -1" },
	{ "linux/resources/devices/1/minor", "-2",
	  "linux.resources.devices[1].minor: must be a device number or -1" },
	{ "linux/seccomp/defaultAction", "\"X\"",
	  "linux.seccomp.defaultAction: X is no action" },
	{ "linux/seccomp/defaultAction", "\"SCMP_ACT_NOTIFY\"",
	  "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY: a listener is not served" },
	{ "linux/seccomp/listenerPath", "\"/x\"",
	  "linux.seccomp.listenerPath: a listener is not served" },
	{ "linux/seccomp/architectures", "[\"X\"]",
	  "linux.seccomp.architectures[0]: X is unknown" },
	{ "linux/seccomp/flags", "[\"SECCOMP_FILTER_FLAG_X\"]",
	  "linux.seccomp.flags[0]: SECCOMP_FILTER_FLAG_X is not served" },
	{ "linux/seccomp/syscalls/3/errnoRet", "5000",
	  "linux.seccomp.syscalls[3]: errno 5000 is above 4095" },
	{ "linux/seccomp/defaultErrnoRet", "\"x\"",
	  "linux.seccomp.defaultAction: must be a whole number from 0 to 18446744073709551615" },
	{ "linux/seccomp/syscalls/4/args/0/op", "\"X\"",
	  "linux.seccomp.syscalls[4].args[0].op: X is no operator" },
	{ "linux/seccomp/syscalls/4/args/0/index", "6",
	  "linux.seccomp.syscalls[4].args[0].index: 6 is outside 0 to 5" },
	{ "linux/seccomp/syscalls/4/args/0/value", "\"x\"",
	  "linux.seccomp.syscalls[4].args[0]: must be a whole number from 0 to 18446744073709551615" },
	{ "linux/seccomp/syscalls/4/args", "[{\"index\": 0, \"value\": 1, \"op\": \"SCMP_CMP_EQ\"}, {\"index\": 0, \"value\": 1, \"op\": \"SCMP_CMP_EQ\"}, {\"index\": 0, \"value\": 1, \"op\": \"SCMP_CMP_EQ\"}, {\"index\": 0, \"value\": 1, \"op\": \"SCMP_CMP_EQ\"}, {\"index\": 0, \"value\": 1, \"op\": \"SCMP_CMP_EQ\"}, {\"index\": 0, \"value\": 1, \"op\": \"SCMP_CMP_EQ\"}, {\"index\": 0, \"value\": 1, \"op\": \"SCMP_CMP_EQ\"}]",
	  "linux.seccomp.syscalls[4].args: more than 6" },
	{ "linux/seccomp/syscalls/0/names", "[1]",
	  "linux.seccomp.syscalls[0].names[0]: must be a string" },
	{ "ociVersion", NULL,
	  "ociVersion: missing" },
	{ "root", NULL,
	  "root: missing" },
	{ "root/path", NULL,
	  "root.path: missing" },
	{ "process/args", NULL,
	  "process.args: missing" },
	{ "process/cwd", NULL,
	  "process.cwd: missing" },
	{ "linux", NULL,
	  "linux.namespaces: a mount namespace is needed" },
	{ "hooks/prestart/0/path", NULL,
	  "hooks.prestart[0].path: missing" },
	{ "process/rlimits/0/hard", NULL,
	  "process.rlimits[0].hard: missing" },
	{ "linux/seccomp/defaultAction", NULL,
	  "linux.seccomp.defaultAction: missing" },
	{ "linux/uidMappings/0/hostID", NULL,
	  "linux.uidMappings[0].hostID: missing" },
	{ "linux/resources/devices/0/allow", NULL,
	  "linux.resources.devices[0].allow: missing" },
	{ "linux/namespaces", "[{\"type\":\"pid\"},{\"type\":\"user\"},{\"type\":\"uts\"},{\"type\":\"ipc\"},{\"type\":\"network\"},{\"type\":\"cgroup\"},{\"type\":\"time\"}]",
	  "linux.namespaces: a mount namespace is needed" },
	{ "linux/namespaces", "[{\"type\":\"pid\"},{\"type\":\"mount\"},{\"type\":\"uts\"},{\"type\":\"ipc\"},{\"type\":\"network\"},{\"type\":\"cgroup\"},{\"type\":\"time\"}]",
	  "linux.uidMappings: there is no new user namespace to map ids in" },
	{ "linux/namespaces", "[{\"type\":\"pid\"},{\"type\":\"user\"},{\"type\":\"mount\"},{\"type\":\"ipc\"},{\"type\":\"network\"},{\"type\":\"cgroup\"},{\"type\":\"time\"}]",
	  "hostname: needs a uts namespace in linux.namespaces" },
	{ "linux/namespaces", "[{\"type\":\"pid\"},{\"type\":\"user\"},{\"type\":\"mount\"},{\"type\":\"uts\"},{\"type\":\"ipc\"},{\"type\":\"network\"},{\"type\":\"cgroup\"}]",
	  "linux.timeOffsets: needs a new time namespace in linux.namespaces" },
	{ "linux/namespaces", "[{\"type\":\"pid\"},{\"type\":\"user\"},{\"type\":\"mount\"},{\"type\":\"uts\"},{\"type\":\"network\"},{\"type\":\"cgroup\"},{\"type\":\"time\"}]",
	  "linux.sysctl.kernel.shm_rmid_forced: needs {\"type\": \"ipc\"} in linux.namespaces" },
	{ "linux/namespaces", "[{\"type\":\"pid\"},{\"type\":\"user\"},{\"type\":\"mount\"},{\"type\":\"uts\"},{\"type\":\"ipc\"},{\"type\":\"cgroup\"},{\"type\":\"time\"}]",
	  "linux.sysctl.net.ipv4.ping_group_range: needs {\"type\": \"network\"} in linux.namespaces" },
	{ "linux/namespaces", "[{\"type\":\"pid\"},{\"type\":\"user\"},{\"type\":\"mount\",\"path\":\"/x\"},{\"type\":\"uts\"},{\"type\":\"ipc\"},{\"type\":\"network\"},{\"type\":\"cgroup\"},{\"type\":\"time\"}]",
	  "linux.namespaces[2].path: a mount namespace cannot be joined" },
	{ "linux/namespaces", "[{\"type\":\"pid\"},{\"type\":\"user\",\"path\":\"/x\"},{\"type\":\"mount\"},{\"type\":\"uts\"},{\"type\":\"ipc\"},{\"type\":\"network\"},{\"type\":\"cgroup\"},{\"type\":\"time\"}]",
	  "linux.namespaces[1].path: joining a user namespace is not served" },
	{ "linux/namespaces", "[{\"type\":\"pid\"},{\"type\":\"user\"},{\"type\":\"mount\"},{\"type\":\"uts\"},{\"type\":\"ipc\"},{\"type\":\"network\"},{\"type\":\"time\"}]",
	  "mounts[6].type: cgroup needs a new cgroup namespace" },
	{ "linux/namespaces", "[{\"type\":\"pid\"},{\"type\":\"user\"},{\"type\":\"mount\"},{\"type\":\"uts\"},{\"type\":\"ipc\"},{\"type\":\"network\"},{\"type\":\"cgroup\",\"path\":\"/x\"},{\"type\":\"time\"}]",
	  "mounts[6].type: cgroup needs a new cgroup namespace" },
	{ "process/terminal", "true",
	  "process.terminal: true, but there is no console socket" },
};

static json_t *full;

static int setup(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	char path[1024];
	snprintf(path, sizeof(path), "%s/tests/golden/oci/full.json", getenv("srcdir") ?: ".");
	full = json_parse_file(path, OCI_CONFIG_SIZE_MAX, &err);
	if (!full)
		print_error("%s\n", err.text);
	return full ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	json_decref(full);
	return 0;
}

static const struct oci_env root_env = { .bundle = "/bundle", .stage_dir = "/stage", .superuser = true };

static int compile(json_t *config, const struct oci_env *env, struct buf *spec, struct err *err)
{
	autobuf struct buf payload = BUF_INIT(PAYLOAD_SIZE_MAX);
	struct oci_info info;
	return oci_compile(config, env, spec, &payload, &info, err);
}

/* Walk a/0/b and put value there; NULL removes the member. */
static void edit(json_t *doc, const char *path, const char *value)
{
	struct err err = ERR_INIT;
	autofree char *copy = strdup(path);
	char *key = copy, *slash;
	for (; (slash = strchr(key, '/')); key = slash + 1) {
		*slash = '\0';
		doc = json_is_array(doc) ? json_array_get(doc, strtoul(key, NULL, 10)) : json_object_get(doc, key);
		assert_non_null(doc);
	}
	if (!value) {
		json_object_del(doc, key);
		return;
	}
	json_t *v = json_parse(value, strlen(value), path, &err);
	assert_non_null(v);
	if (json_is_array(doc))
		json_array_set_new(doc, strtoul(key, NULL, 10), v);
	else
		json_object_set_new(doc, key, v);
}

static void test_wrong_fields_are_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = ERR_INIT;
		autobuf struct buf spec = BUF_INIT(SPEC_SIZE_MAX);
		autojson json_t *config = json_deep_copy(full);
		edit(config, bad[i].path, bad[i].value);
		if (compile(config, &root_env, &spec, &err) == 0)
			fail_msg("accepted: %s = %s", bad[i].path, bad[i].value ? bad[i].value : "(nothing)");
		if (strcmp(err.text, bad[i].want) != 0)
			fail_msg("%s\n got: %s\nwant: %s", bad[i].path, err.text, bad[i].want);
		assert_int_equal(spec.len, 0);
	}
}

static void refuse(const char *text, const struct oci_env *env, const char *want)
{
	struct err err = ERR_INIT;
	autobuf struct buf spec = BUF_INIT(SPEC_SIZE_MAX);
	autojson json_t *config = json_parse(text, strlen(text), "test", &err);
	assert_non_null(config);
	assert_true(compile(config, env, &spec, &err) < 0);
	assert_string_equal(err.text, want);
}

static void test_what_depends_on_the_caller(void **state)
{
	(void)state;
	const struct oci_env user = { .bundle = "/b", .stage_dir = "/s" };
	struct oci_env console = root_env;
	console.console_socket = true;
	refuse("{\"ociVersion\":\"1.1.0\",\"root\":{\"path\":\"r\"},\"linux\":{\"namespaces\":[{\"type\":\"mount\"}]}}", &user,
	       "linux.namespaces: an ordinary user needs a user namespace: Operation not permitted");
	refuse("{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\"},\"process\":{\"args\":[\"x\"],\"cwd\":\"/\"},"
	       "\"linux\":{\"namespaces\":[{\"type\":\"mount\"}]}}",
	       &console, "process.terminal: false, but --console-socket was given");
}

static void test_versions(void **state)
{
	(void)state;
	static const char *const good[] = { "1.0.0", "1.0.2-dev", "1.2.0+x", "1.9.9" };
	static const char *const wrong[] = { "", "1", "1.", "1.x", "2.0.0", "0.9.0", "11.0.0" };
	struct err err = ERR_INIT;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_int_equal(oci_version_check(good[i], &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_true(oci_version_check(wrong[i], &err) < 0);
}

struct program {
	struct spec_bpf insns[4096];
	uint32_t n;
};

static void compile_filter(const char *seccomp, struct program *ret)
{
	struct err err = ERR_INIT;
	autobuf struct buf spec = BUF_INIT(SPEC_SIZE_MAX);
	autojson json_t *config = json_deep_copy(full);
	edit(config, "linux/seccomp", seccomp);
	if (compile(config, &root_env, &spec, &err) < 0)
		fail_msg("%s", err.text);
	const struct spec_bpf *insns = spec_section((const struct spec *)spec.data, SPEC_SECT_SECCOMP, &ret->n);
	memcpy(ret->insns, insns, ret->n * sizeof(*insns));
}

static uint32_t answer(const struct program *p, uint32_t arch, uint32_t nr, uint64_t a0, uint64_t a1)
{
	struct seccomp_data d = { .nr = (int)nr, .arch = arch, .args = { a0, a1 } };
	unsigned steps = 0;
	return bpf_run(p->insns, p->n, &d, &steps);
}

#define X64(nr, a0, a1) answer(&p, AUDIT_ARCH_X86_64, nr, a0, a1)

static void test_docker_like_filter(void **state)
{
	(void)state;
	struct program p;
	compile_filter("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"],"
		       "\"syscalls\":[{\"names\":[\"read\",\"no_such_call\",\"statx\"],\"action\":\"SCMP_ACT_ALLOW\"},"
		       "{\"names\":[\"personality\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":8,\"op\":\"SCMP_CMP_EQ\"}]},"
		       "{\"names\":[\"clone\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":2114060288,\"op\":\"SCMP_CMP_MASKED_EQ\"}]},"
		       "{\"names\":[\"clone3\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38}]}",
		       &p);
	assert_int_equal(X64(__NR_read, 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(X64(__NR_mount, 0, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(X64(__NR_personality, 8, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(X64(__NR_personality, 9, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(X64(__NR_clone, 0x11, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(X64(__NR_clone, 0x10000000, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(X64(__NR_clone3, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
	/* above the highest call the profile names: not known to it, so not refused but absent */
	assert_int_equal(X64(__NR_clone3 + 1, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
	assert_int_equal(X64(5000, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
	assert_int_equal(answer(&p, AUDIT_ARCH_I386, 3 /* read */, 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(answer(&p, AUDIT_ARCH_I386, 21 /* mount */, 0, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(answer(&p, AUDIT_ARCH_AARCH64, 0, 0, 0), SECCOMP_RET_KILL_THREAD);
}

static void test_explicit_errno_has_no_prologue(void **state)
{
	(void)state;
	struct program p;
	compile_filter("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":13,\"syscalls\":["
		       "{\"names\":[\"fcntl\"],\"action\":\"SCMP_ACT_TRAP\",\"args\":[{\"index\":1,\"value\":1,\"op\":\"SCMP_CMP_EQ\"},"
		       "{\"index\":1,\"value\":2,\"op\":\"SCMP_CMP_EQ\"}]},"
		       "{\"names\":[\"ioctl\"],\"action\":\"SCMP_ACT_LOG\",\"args\":[{\"index\":0,\"value\":5,\"op\":\"SCMP_CMP_GT\"},"
		       "{\"index\":1,\"value\":18446744073709551615,\"op\":\"SCMP_CMP_NE\"}]}]}",
		       &p);
	assert_int_equal(X64(__NR_fcntl, 0, 1), SECCOMP_RET_TRAP);
	assert_int_equal(X64(__NR_fcntl, 0, 2), SECCOMP_RET_TRAP);
	assert_int_equal(X64(__NR_fcntl, 0, 3), SECCOMP_RET_ERRNO | 13);
	assert_int_equal(X64(__NR_ioctl, 6, 0), SECCOMP_RET_LOG);
	assert_int_equal(X64(__NR_ioctl, 5, 0), SECCOMP_RET_ERRNO | 13);
	assert_int_equal(X64(__NR_ioctl, 6, UINT64_MAX), SECCOMP_RET_ERRNO | 13);
	assert_int_equal(X64(5000, 0, 0), SECCOMP_RET_ERRNO | 13);
}

static void test_lists(void **state)
{
	(void)state;
	for (int list = 0; list < OCI_LIST_MAX; list++) {
		size_t n = 0;
		while (oci_list_name((enum oci_list)list, n))
			n++;
		assert_true(n >= 3);
		assert_null(oci_list_name((enum oci_list)list, n + 1000));
	}
	assert_string_equal(oci_list_name(OCI_LIST_NAMESPACE, SPEC_NS_NET), "network");
	for (int cap = 0; oci_capability_name(cap); cap++)
		assert_int_equal(oci_capability(oci_capability_name(cap)), cap);
	assert_null(oci_capability_name(-1));
	assert_int_equal(oci_capability("CAP_NOPE"), -1);
}

static void test_info(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct oci_env env = root_env;
	struct oci_info info;
	autobuf struct buf spec = BUF_INIT(SPEC_SIZE_MAX), payload = BUF_INIT(PAYLOAD_SIZE_MAX);
	autojson json_t *config = json_deep_copy(full);
	edit(config, "process/terminal", "true");
	env.console_socket = true;
	env.preserve_fds = 2;
	env.no_pivot = true;
	assert_int_equal(oci_compile(config, &env, &spec, &payload, &info, &err), 0);
	assert_true(info.terminal && info.has_process);
	assert_int_equal(info.console_rows, 24);
	assert_int_equal(info.console_columns, 80);
	const struct spec *s = (const struct spec *)spec.data;
	assert_int_equal(s->payload_fds, 5);
	assert_true(spec_has(s, SPEC_F_NO_PIVOT) && spec_has(s, SPEC_F_TERMINAL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_fields_are_named), cmocka_unit_test(test_what_depends_on_the_caller),
		cmocka_unit_test(test_versions), cmocka_unit_test(test_docker_like_filter),
		cmocka_unit_test(test_explicit_errno_has_no_prologue), cmocka_unit_test(test_lists), cmocka_unit_test(test_info),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
