/* OCI configs: whatever is accepted must be a well-formed spec that can be dumped. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "plan/dump.h"
#include "plan/oci.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int r, const struct buf *spec, const struct buf *payload, const struct err *err)
{
	autobuf struct buf text = BUF_INIT(8 << 20);
	const char *what;
	if (r < 0) {
		assert(err->text[0]);
		return;
	}
	r = spec_check(spec->data, spec->len, &what);
	assert(r == 0);
	r = dump_spec((const struct spec *)spec->data, DUMP_BPF, &text);
	assert(r == 0);
	if (payload->len == 0)
		return;
	r = payload_check(payload->data, payload->len, &what);
	assert(r == 0);
	dump_payload((const struct payload *)payload->data, &text);
}

static void compile(json_t *j, bool superuser, bool console)
{
	const struct oci_env env = {
		.bundle = "/bundle", .stage_dir = "/stage", .superuser = superuser, .console_socket = console, .no_pivot = console,
		.apparmor = console, .selinux = superuser,
	};
	struct err err = ERR_INIT;
	struct oci_info info;
	autobuf struct buf spec = BUF_INIT(SPEC_SIZE_MAX), payload = BUF_INIT(PAYLOAD_SIZE_MAX);
	int r = oci_compile(j, &env, &spec, &payload, &info, &err);
	check(r, &spec, &payload, &err);

	autobuf struct buf exec_spec = BUF_INIT(SPEC_SIZE_MAX), exec_payload = BUF_INIT(PAYLOAD_SIZE_MAX);
	r = oci_compile_exec(j, json_object_get(j, "process"), &env, &exec_spec, &exec_payload, &info, &err);
	check(r, &exec_spec, &exec_payload, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	autojson json_t *j = json_parse((const char *)data, size, "fuzz", &err);
	if (!j)
		return 0;
	compile(j, true, false);
	compile(j, false, true);

	static const struct buf none;
	autobuf struct buf spec = BUF_INIT(SPEC_SIZE_MAX);
	json_t *resources = json_object_get(json_object_get(j, "linux"), "resources");
	if (resources)
		check(oci_compile_resources(resources, &spec, &err), &spec, &none, &err);
	return 0;
}
