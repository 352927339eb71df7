/*
 * body - the JSON of CreateFunction and UpdateFunction, taken apart: the
 * function's fields (plan/function.h) and where its code is.
 *
 * Pure: every byte is a stranger's, nothing is stored. Fuzzed (fuzz-http-body).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "plan/function.h"

enum { BODY_DIGEST = 65 };

struct body {
	json_t *object;
	struct buf zip;            /* code.zipFile, decoded; empty when absent */
	bool has_zip, has_blob;
	char digest[BODY_DIGEST];  /* code.blob */
};

enum body_outcome { BODY_OK, BODY_E_TOO_LARGE /* the zip; err says so */ };

/* BODY_OK, BODY_E_TOO_LARGE, or -EINVAL with err set. max_zip is the limit of the decoded zip. */
int body_parse(const char *text, size_t len, size_t max_zip, struct body *ret, struct err *err);
void body_fini(struct body *b);

/* "sha256:<64 lower-case hex digits>" to the digits. */
bool body_digest(const char *text, char out[BODY_DIGEST]);
