/* The function manifest: what is accepted must survive being stored and read back. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "plan/function.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(const struct function *f)
{
	struct err err = ERR_INIT;
	_cleanup_(function_fini) struct function again = { 0 };
	autojson json_t *first = function_to_json(f);
	assert(first);
	int r = function_parse(first, NULL, &again, &err);
	assert(r == 0);
	autojson json_t *second = function_to_json(&again);
	assert(second && json_equal(first, second));
}

static void as_update(json_t *j)
{
	struct err err = ERR_INIT;
	static const char base[] = "{\"functionName\":\"f\",\"runtime\":\"python3\",\"handler\":\"a.b\"}";
	autojson json_t *old = json_parse(base, sizeof(base) - 1, "base", &err);
	_cleanup_(function_fini) struct function f = { 0 };
	int r = function_parse(old, NULL, &f, &err);
	assert(r == 0);
	if (function_update(&f, j, &err) < 0)
		assert(f.runtime == FUNCTION_PYTHON3 && strcmp(f.handler, "a.b") == 0 && f.nenv == 0);
	round_trip(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	autojson json_t *j = json_parse((const char *)data, size, "fuzz", &err);
	if (!j)
		return 0;
	struct function_code code;
	if (json_is_object(j))
		function_code_parse(j, &code, &err);
	_cleanup_(function_fini) struct function f = { 0 };
	if (function_parse(j, size % 2 ? "fallback" : NULL, &f, &err) == 0)
		round_trip(&f);
	as_update(j);
	return 0;
}
