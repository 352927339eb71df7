/*
 * api - the error body that every client of the function API understands.
 *
 * One table (api-errors.def) pairs code, HTTP status and exception name, so
 * that a place that refuses something names a row and writes one sentence.
 */
#pragma once

#include "base/buf.h"

enum api_code {
#define API(name, code, status, amzn) API_##name,
#include "agent/api-errors.def"
#undef API
	API_CODE_MAX
};

const char *api_code_name(enum api_code c);
unsigned api_code_status(enum api_code c);
const char *api_code_exception(enum api_code c);

/* {"ErrorCode","ErrorMessage","Code","Message","RequestId"} appended to out. 0 or -ENOMEM. */
int api_error_body(enum api_code c, const char *message, const char *request_id, struct buf *out);
