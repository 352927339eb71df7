#define ERR_C
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *err, int code, const char *fmt, ...)
{
	if (!err)
		return code ? -code : -EINVAL;

	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);

	if (code && n >= 0 && (size_t)n < sizeof(err->text))
		snprintf(err->text + n, sizeof(err->text) - (size_t)n, ": %s", strerror(code));
	err->hint[0] = '\0';
	err->code = code ? code : EINVAL;
	return -err->code;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	if (!err)
		return -EINVAL;

	char old[ERR_TEXT_MAX];
	memcpy(old, err->text, sizeof(old));

	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);

	if (n >= 0 && (size_t)n < sizeof(err->text))
		snprintf(err->text + n, sizeof(err->text) - (size_t)n, ": %s", old);
	if (!err->code)
		err->code = EINVAL;
	return -err->code;
}

int err_hint(struct err *err, const char *fmt, ...)
{
	if (!err)
		return -EINVAL;

	va_list ap;
	va_start(ap, fmt);
	vsnprintf(err->hint, sizeof(err->hint), fmt, ap);
	va_end(ap);
	return err->code ? -err->code : -EINVAL;
}

void err_print(const struct err *err, const char *prefix)
{
	fprintf(stderr, "%s: %s\n", prefix, err->text);
	if (err->hint[0])
		fprintf(stderr, "%s: hint: %s\n", prefix, err->hint);
}
