#include "agent/body.h"

#include <errno.h>
#include <string.h>

#include "agent/http.h"
#include "base/json.h"
#include "base/str.h"

bool body_digest(const char *text, char out[BODY_DIGEST])
{
	static const char prefix[] = "sha256:";
	if (!str_starts(text, prefix) || !str_is_hex(text + sizeof(prefix) - 1, BODY_DIGEST - 1))
		return false;
	memcpy(out, text + sizeof(prefix) - 1, BODY_DIGEST);
	return true;
}

static int take_code(const struct function_code *code, size_t max_zip, struct body *b, struct err *err)
{
	if (code->blob) {
		if (!body_digest(code->blob, b->digest))
			return err_set(err, 0, "code.blob: must be \"sha256:\" and 64 lower-case hex digits");
		b->has_blob = true;
	}
	if (!code->zip_base64)
		return 0;
	size_t len = strlen(code->zip_base64);
	if (len / 4 > max_zip / 3 + 1) {
		err_set(err, 0, "code.zipFile: %zu bytes of base64 hold more than %zu bytes", len, max_zip);
		err_hint(err, "PUT larger code to /blobs/sha256:<digest> and name it in code.blob");
		return BODY_E_TOO_LARGE;
	}
	b->zip.max = max_zip + 3;
	int r = http_base64_decode(code->zip_base64, len, &b->zip);
	if (r == -ENOMEM)
		return err_set(err, ENOMEM, "code.zipFile");
	if (r < 0 || b->zip.len == 0)
		return err_set(err, 0, "code.zipFile: not the base64 of a zip");
	b->has_zip = true;
	return 0;
}

int body_parse(const char *text, size_t len, size_t max_zip, struct body *ret, struct err *err)
{
	struct body b = { .zip = BUF_INIT(0) };
	struct function_code code = { NULL, NULL };
	b.object = json_parse(text, len, "the body", err);
	if (!b.object)
		return -EINVAL;
	int r = 0;
	if (!json_is_object(b.object))
		r = err_set(err, 0, "the body: must be an object");
	if (r == 0)
		r = function_code_parse(b.object, &code, err);
	if (r == 0)
		r = take_code(&code, max_zip, &b, err);
	if (r != 0) {
		body_fini(&b);
		return r < 0 ? -EINVAL : r;
	}
	json_object_del(b.object, "code"); /* tens of megabytes that nobody reads again */
	*ret = b;
	return BODY_OK;
}

void body_fini(struct body *b)
{
	json_decref(b->object);
	b->object = NULL;
	buf_fini(&b->zip);
}
