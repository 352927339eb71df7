#include "agent/api.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>

#include "base/cleanup.h"
#include "base/json.h"

static const struct {
	const char *name;
	unsigned status;
	const char *exception;
} codes[] = {
#define API(name, code, status, amzn) [API_##name] = { code, status, amzn },
#include "agent/api-errors.def"
#undef API
};
_Static_assert(ARRAY_LEN(codes) == API_CODE_MAX, "a row for each code");

const char *api_code_name(enum api_code c)
{
	assert(c < API_CODE_MAX);
	return codes[c].name;
}

unsigned api_code_status(enum api_code c)
{
	assert(c < API_CODE_MAX);
	return codes[c].status;
}

const char *api_code_exception(enum api_code c)
{
	assert(c < API_CODE_MAX);
	return codes[c].exception;
}

int api_error_body(enum api_code c, const char *message, const char *request_id, struct buf *out)
{
	const char *name = api_code_name(c);
	autojson json_t *body = json_pack("{s:s, s:s, s:s, s:s, s:s}", "ErrorCode", name, "ErrorMessage", message,
					  "Code", name, "Message", message, "RequestId", request_id);
	if (!body) /* a message that is not UTF-8 came from outside: say what can be said */
		body = json_pack("{s:s, s:s, s:s, s:s, s:s}", "ErrorCode", name, "ErrorMessage",
				 "the reason is not UTF-8 text", "Code", name, "Message",
				 "the reason is not UTF-8 text", "RequestId", request_id);
	autofree char *text = body ? json_dumps(body, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
	return text ? buf_puts(out, text) : -ENOMEM;
}
