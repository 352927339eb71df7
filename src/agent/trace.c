#include "agent/trace.h"

#include <stddef.h>
#include <string.h>

enum { VERSION = 0, TRACE_ID = 3, PARENT_ID = 36, FLAGS = 53, LENGTH = 55 };

static bool is_hex(const char *text, size_t n)
{
	return strspn(text, "0123456789abcdef") >= n;
}

static bool is_zero(const char *text, size_t n)
{
	return strspn(text, "0") >= n;
}

bool trace_parent(char out[TRACE_PARENT_SIZE], const char *header)
{
	out[0] = '\0';
	if (!header || strnlen(header, LENGTH) < LENGTH)
		return false;
	bool fields = is_hex(header + VERSION, 2) && header[TRACE_ID - 1] == '-' && is_hex(header + TRACE_ID, 32) &&
		      header[PARENT_ID - 1] == '-' && is_hex(header + PARENT_ID, 16) && header[FLAGS - 1] == '-' && is_hex(header + FLAGS, 2);
	if (!fields || is_zero(header + TRACE_ID, 32) || is_zero(header + PARENT_ID, 16) || memcmp(header, "ff", 2) == 0)
		return false;
	bool version_00 = memcmp(header, "00", 2) == 0;
	if (header[LENGTH] != '\0' && (version_00 || header[LENGTH] != '-'))
		return false;
	memcpy(out, header, LENGTH);
	memcpy(out, "00", 2);
	out[LENGTH] = '\0';
	return true;
}

bool trace_state(char out[TRACE_STATE_SIZE], const char *header)
{
	out[0] = '\0';
	size_t n = header ? strnlen(header, TRACE_STATE_SIZE) : 0;
	if (n == 0 || n == TRACE_STATE_SIZE)
		return false;
	for (size_t i = 0; i < n; i++)
		if (header[i] < 0x20 || header[i] > 0x7e)
			return false;
	memcpy(out, header, n + 1);
	return true;
}
