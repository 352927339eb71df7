/* function: the manifest, its rules, and what is refused with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "plan/function.h"

static int parse(const char *text, const char *name, struct function *f, struct err *err)
{
	autojson json_t *j = json_parse(text, strlen(text), "test", err);
	if (!j)
		fail_msg("%s", err->text);
	return function_parse(j, name, f, err);
}

static void good(const char *text, struct function *f)
{
	struct err err = ERR_INIT;
	if (parse(text, NULL, f, &err) < 0)
		fail_msg("%s: %s", text, err.text);
}

static void bad(const char *text, const char *want)
{
	struct err err = ERR_INIT;
	struct function f;
	if (parse(text, NULL, &f, &err) == 0)
		fail_msg("accepted: %s", text);
	if (strcmp(err.text, want) != 0)
		fail_msg("%s:\n got: %s\nwant: %s", text, err.text, want);
}

static void test_defaults(void **state)
{
	(void)state;
	struct function f;
	good("{\"functionName\":\"hello\",\"runtime\":\"stdio\"}", &f);
	assert_string_equal(f.name, "hello");
	assert_int_equal(f.memory_mb, 512);
	assert_int_equal(f.cpu_milli, 0);
	assert_int_equal(f.disk_mb, 512);
	assert_int_equal(f.timeout_s, 60);
	assert_null(f.handler);
	function_fini(&f);
	function_fini(&f);
}

static const char full[] =
	"{\"functionName\":\"t-1_x\",\"description\":\"d\",\"runtime\":\"python3\",\"handler\":\"lib/index.handler\","
	"\"memorySize\":128,\"cpu\":0.05,\"diskSize\":1024,\"timeout\":86400,"
	"\"environmentVariables\":{\"Z\":\"1\",\"_a\":\"\"},\"instanceIsolationMode\":\"REQUEST_EXCLUSIVE\","
	"\"instanceConcurrency\":1,\"instanceLifecycleConfig\":{\"initializer\":{\"handler\":\"index.init\",\"timeout\":3}},"
	"\"layers\":[\"acs:fc:::layers/libs/versions/3\",\"acs:fc:local:acme:layers/data/versions/12\"],\"internetAccess\":false,"
	"\"customRuntimeConfig\":{},\"vpcConfig\":null,\"tags\":[],\"role\":\"\",\"idleTimeout\":0,\"disableOndemand\":false,"
	"\"logConfig\":{}}";

static void test_every_field_and_round_trip(void **state)
{
	(void)state;
	struct function f, again;
	good(full, &f);
	assert_int_equal(f.runtime, FUNCTION_PYTHON3);
	assert_int_equal(f.cpu_milli, 50);
	assert_int_equal(f.nenv, 2);
	assert_string_equal(f.env[0].name, "Z");
	assert_string_equal(f.env[1].name, "_a");
	assert_int_equal(f.nlayers, 2);
	assert_string_equal(f.layers[0].name, "libs");
	assert_string_equal(f.layers[0].account, "");
	assert_int_equal(f.layers[0].version, 3);
	assert_string_equal(f.layers[1].account, "acme");
	assert_int_equal(f.layers[1].version, 12);
	assert_string_equal(f.initializer, "index.init");
	assert_int_equal(f.initializer_timeout_s, 3);

	json_t *j = function_to_json(&f);
	char *first = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(6));
	good(first, &again);
	json_t *j2 = function_to_json(&again);
	char *second = json_dumps(j2, JSON_COMPACT | JSON_REAL_PRECISION(6));
	assert_string_equal(first, second);
	assert_non_null(strstr(first, "\"cpu\":0.05"));
	free(first);
	free(second);
	json_decref(j);
	json_decref(j2);
	function_fini(&f);
	function_fini(&again);
}

#define HEAD "{\"functionName\":\"f\",\"runtime\":\"stdio\","
#define PY "{\"functionName\":\"f\",\"runtime\":\"python3\","

static void test_refusals(void **state)
{
	(void)state;
	static const struct { const char *text, *want; } cases[] = {
		{ "[]", "a function must be an object" },
		{ "{}", "runtime: missing" },
		{ "{\"runtime\":null}", "runtime: missing" },
		{ "{\"runtime\":7,\"functionName\":\"f\"}", "runtime: must be a string" },
		{ "{\"runtime\":\"stdio\"}", "functionName: missing" },
		{ "{\"runtime\":\"cobol\",\"functionName\":\"f\"}", "runtime: cobol is unknown" },
		{ "{\"runtime\":\"custom-container\",\"functionName\":\"f\"}", "runtime: custom-container is not served yet" },
		{ "{\"runtime\":\"python3.10\",\"functionName\":\"f\"}", "runtime: python3.10 is not served yet" },
		{ "{\"runtime\":\"stdio\",\"functionName\":\"\"}", "functionName: \"\" is no name" },
		{ "{\"runtime\":\"stdio\",\"functionName\":\"../x\"}", "functionName: ../x is no name" },
		{ HEAD "\"memory\":1}", "memory: unknown field" },
		{ HEAD "\"memorySize\":\"512\"}", "memorySize: must be a whole number" },
		{ HEAD "\"memorySize\":63}", "memorySize: 63 is outside 64 to 65536" },
		{ HEAD "\"memorySize\":65537}", "memorySize: 65537 is outside 64 to 65536" },
		{ HEAD "\"cpu\":0.01}", "cpu: 0.01 is outside 0.05 to 64" },
		{ HEAD "\"cpu\":true}", "cpu: must be a number" },
		{ HEAD "\"cpu\":1e300}", "cpu: 1e+300 is out of range" },
		{ HEAD "\"timeout\":0}", "timeout: 0 is outside 1 to 86400" },
		{ HEAD "\"timeout\":1.5}", "timeout: must be a whole number" },
		{ HEAD "\"diskSize\":-1}", "diskSize: -1 is outside 1 to 65536" },
		{ HEAD "\"environmentVariables\":[]}", "environmentVariables: must be an object" },
		{ HEAD "\"environmentVariables\":{\"A\":1}}", "environmentVariables.A: must be a string" },
		{ HEAD "\"environmentVariables\":{\"1A\":\"\"}}",
		  "environmentVariables: 1A is no name (letters, digits and _, no digit first)" },
		{ HEAD "\"environmentVariables\":{\"\":\"\"}}",
		  "environmentVariables: \"\" is no name (letters, digits and _, no digit first)" },
		{ HEAD "\"environmentVariables\":{\"FC_X\":\"\"}}",
		  "environmentVariables: FC_X: names that begin with FC_ are reserved" },
		{ HEAD "\"instanceIsolationMode\":\"SHARE\"}", "instanceIsolationMode: SHARE is not served yet" },
		{ HEAD "\"instanceConcurrency\":4}", "instanceConcurrency: 4 is not served yet" },
		{ HEAD "\"internetAccess\":true}", "internetAccess: true is not served yet" },
		{ HEAD "\"vpcConfig\":{\"vpcId\":\"v\"}}", "vpcConfig: not served yet" },
		{ HEAD "\"idleTimeout\":3}", "idleTimeout: not served yet" },
		{ HEAD "\"disableOndemand\":true}", "disableOndemand: not served yet" },
		{ HEAD "\"role\":\"acs:ram::1:role/x\"}", "role: acs:ram::1:role/x names no role" },
		{ HEAD "\"role\":\"acs:ram::a:user/x\"}", "role: acs:ram::a:user/x names no role" },
		{ HEAD "\"role\":\"a/b\"}", "role: a/b names no role" },
		{ HEAD "\"tags\":[1.5]}", "tags: not served yet" },
		{ HEAD "\"gpuConfig\":0.5}", "gpuConfig: not served yet" },
		{ HEAD "\"customRuntimeConfig\":{\"port\":1}}",
		  "customRuntimeConfig: belongs to the runtimes custom and provided, not to stdio" },
		{ HEAD "\"layers\":[1]}", "layers[0]: must be a string" },
		{ HEAD "\"layers\":[\"acs:x\"]}", "layers[0]: acs:x names no version of a layer" },
		{ HEAD "\"layers\":[\"acs:fc:::layers/a/versions/0\"]}", "layers[0]: acs:fc:::layers/a/versions/0 names no version of a layer" },
		{ HEAD "\"layers\":[\"acs:fc:::layers/a/versions/1x\"]}", "layers[0]: acs:fc:::layers/a/versions/1x names no version of a layer" },
		{ HEAD "\"layers\":[\"acs:fc:::layers/../versions/1\"]}", "layers[0]: acs:fc:::layers/../versions/1 names no version of a layer" },
		{ HEAD "\"layers\":[\"acs:fc:::layers/a/versions/1/x\"]}", "layers[0]: acs:fc:::layers/a/versions/1/x names no version of a layer" },
		{ HEAD "\"layers\":[\"acs:fc:moon::layers/a/versions/1\"]}", "layers[0]: acs:fc:moon::layers/a/versions/1 is of region moon" },
		{ HEAD "\"layers\":[\"acs:fc:::layers/a/versions/1\",\"acs:fc:::layers/a/versions/2\"]}", "layers[1]: layer a is named twice" },
		{ HEAD "\"layers\":[\"\",\"\",\"\",\"\",\"\",\"\"]}", "layers: 6 given; at most 5 are allowed" },
		{ HEAD "\"handler\":\"/bin/sh\"}", "handler: /bin/sh: with runtime stdio it is a path below /code" },
		{ HEAD "\"handler\":\"a/../../b\"}", "handler: a/../../b: with runtime stdio it is a path below /code" },
		{ HEAD "\"instanceLifecycleConfig\":{\"initializer\":{\"handler\":\"a.b\"}}}",
		  "instanceLifecycleConfig.initializer: runtime stdio has none" },
		{ HEAD "\"instanceLifecycleConfig\":{\"initializer\":{\"timeout\":0}}}",
		  "instanceLifecycleConfig.initializer.timeout: 0 is outside 1 to 600" },
		{ HEAD "\"instanceLifecycleConfig\":{\"initializer\":{\"command\":[\"x\"]}}}",
		  "instanceLifecycleConfig.initializer.command: not served yet" },
		{ HEAD "\"instanceLifecycleConfig\":{\"preStop\":{\"handler\":\"a.b\"}}}",
		  "instanceLifecycleConfig.preStop: only runtime custom has one, not stdio" },
		{ HEAD "\"instanceLifecycleConfig\":{\"preFreeze\":{}}}", "instanceLifecycleConfig.preFreeze: unknown field" },
		{ PY "\"handler\":\"\"}", "handler: missing; runtime python3 needs module.function" },
		{ PY "\"handler\":\"index\"}", "handler: index: runtime python3 needs module.function" },
		{ PY "\"handler\":\".x\"}", "handler: .x: runtime python3 needs module.function" },
		{ PY "\"handler\":\"../a.b\"}", "handler: ../a.b: runtime python3 needs module.function" },
		{ PY "\"handler\":\"a b.c\"}", "handler: a b.c: runtime python3 needs module.function" },
		{ PY "\"handler\":\"a.b\",\"instanceLifecycleConfig\":{\"initializer\":{\"handler\":\"b\"}}}",
		  "instanceLifecycleConfig.initializer.handler: b: runtime python3 needs module.function" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		bad(cases[i].text, cases[i].want);
}

static void test_limits(void **state)
{
	(void)state;
	struct function f;
	struct err err = ERR_INIT;
	char text[FUNCTION_ENV_BYTES_MAX + 1];
	function_init(&f);

	memset(text, 'x', sizeof(text));
	text[FUNCTION_ENV_BYTES_MAX - 1] = '\0';
	assert_int_equal(function_env_set(&f, "A", text, &err), 0);
	assert_int_equal(function_env_set(&f, "A", text, &err), 0); /* replaced, so not counted twice */
	assert_true(function_env_set(&f, "B", "", &err) < 0);
	assert_string_equal(err.text, "environmentVariables: 4097 bytes of names and values; at most 4096 are allowed");
	text[FUNCTION_ENV_BYTES_MAX - 1] = 'x';
	text[FUNCTION_ENV_BYTES_MAX] = '\0';
	assert_true(function_env_set(&f, "A", text, &err) < 0);
	assert_int_equal(function_env_set(&f, "A", "", &err), 0);
	for (int i = 1; i < FUNCTION_ENV_MAX; i++) {
		char name[16];
		snprintf(name, sizeof(name), "V%03d", i);
		assert_int_equal(function_env_set(&f, name, "", &err), 0);
	}
	assert_true(function_env_set(&f, "B", "", &err) < 0);
	assert_string_equal(err.text, "environmentVariables: more than 128 variables");
	for (size_t i = 1; i < f.nenv; i++)
		assert_true(strcmp(f.env[i - 1].name, f.env[i].name) < 0);
	function_fini(&f);
}

static int update(struct function *f, const char *text, struct err *err)
{
	autojson json_t *j = json_parse(text, strlen(text), "test", err);
	assert_non_null(j);
	return function_update(f, j, err);
}

static void test_update(void **state)
{
	(void)state;
	struct function f;
	struct err err = ERR_INIT;
	good(full, &f);
	assert_int_equal(update(&f, "{\"timeout\":5,\"environmentVariables\":{\"B\":\"2\"}}", &err), 0);
	assert_int_equal(f.timeout_s, 5);
	assert_int_equal(f.memory_mb, 128);
	assert_int_equal(f.nenv, 1);
	assert_int_equal(f.cpu_milli, 50);
	assert_int_equal(update(&f, "{}", &err), 0);
	assert_int_equal(update(&f, "{\"functionName\":\"t-1_x\",\"description\":\"\"}", &err), 0);
	assert_null(f.description);

	/* a refused update changes nothing, also not the fields before the bad one */
	assert_true(update(&f, "{\"memorySize\":64,\"environmentVariables\":{\"FC_A\":\"\"}}", &err) < 0);
	assert_int_equal(f.memory_mb, 128);
	assert_string_equal(f.env[0].name, "B");
	assert_true(update(&f, "{\"functionName\":\"other\"}", &err) < 0);
	assert_string_equal(err.text, "functionName: other: function t-1_x cannot be renamed");
	assert_true(update(&f, "{\"runtime\":\"stdio\"}", &err) < 0); /* it still has an initializer */
	assert_int_equal(f.runtime, FUNCTION_PYTHON3);
	assert_int_equal(update(&f, "{\"runtime\":\"nodejs\"}", &err), 0);
	function_fini(&f);
}

static void test_manifest_takes_the_callers_name(void **state)
{
	(void)state;
	struct function f;
	struct err err = ERR_INIT;
	assert_int_equal(parse("{\"runtime\":\"stdio\"}", "fallback", &f, &err), 0);
	assert_string_equal(f.name, "fallback");
	function_fini(&f);
	assert_int_equal(parse("{\"runtime\":\"stdio\",\"functionName\":null}", "fallback", &f, &err), 0);
	assert_string_equal(f.name, "fallback");
	function_fini(&f);
	assert_int_equal(parse("{\"runtime\":\"stdio\",\"functionName\":\"own\"}", "fallback", &f, &err), 0);
	assert_string_equal(f.name, "own");
	function_fini(&f);
}

static void code(const char *text, const char *want_error)
{
	struct err err = ERR_INIT;
	struct function_code c;
	autojson json_t *j = json_parse(text, strlen(text), "test", &err);
	assert_non_null(j);
	int r = function_code_parse(j, &c, &err);
	assert_int_equal(r < 0, want_error != NULL);
	if (want_error)
		assert_string_equal(err.text, want_error);
}

static void test_code(void **state)
{
	(void)state;
	code("{}", NULL);
	code("{\"code\":null}", NULL);
	code("{\"code\":{\"zipFile\":\"UEs=\",\"checksum\":\"\"}}", NULL);
	code("{\"code\":{\"blob\":\"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}}", NULL);
	code("{\"code\":7}", "code: must be an object");
	code("{\"code\":{\"blob\":\"sha256:xyz\"}}", "code.blob: must be sha256: and 64 hex digits");
	code("{\"code\":{\"blob\":\"x\",\"zipFile\":\"y\"}}", "code: both zipFile and blob are given");
	code("{\"code\":{\"ossBucketName\":\"x\"}}", "code.ossBucketName: not served yet");
	code("{\"code\":{\"checksum\":\"123\"}}", "code.checksum: not served yet");
	code("{\"code\":{\"zip\":\"\"}}", "code.zip: unknown field");
}

static void test_runtimes(void **state)
{
	(void)state;
	for (int i = 0; i < FUNCTION_RUNTIME_MAX; i++) {
		enum function_runtime r;
		struct err err = ERR_INIT;
		assert_int_equal(function_runtime_parse(function_runtime_name((enum function_runtime)i), &r, NULL, &err), 0);
		assert_int_equal(r, i);
	}
	assert_null(function_runtime_dir(FUNCTION_STDIO));
	assert_string_equal(function_runtime_dir(FUNCTION_NODEJS), "nodejs");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_every_field_and_round_trip),
		cmocka_unit_test(test_refusals), cmocka_unit_test(test_limits), cmocka_unit_test(test_update),
		cmocka_unit_test(test_manifest_takes_the_callers_name), cmocka_unit_test(test_code),
		cmocka_unit_test(test_runtimes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
