#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static const char *log_ident = "fcnode";
static enum log_level log_max = LOG_LEVEL_INFO;
static int log_prefix;

void log_init(const char *ident, enum log_level max)
{
	log_ident = ident;
	log_max = max;
	log_prefix = !isatty(STDERR_FILENO);
}

/* One write per line, so that lines of several processes on one stderr never mix. */
void log_line(enum log_level level, const char *fmt, ...)
{
	if (level > log_max)
		return;

	int saved = errno;
	char line[1024];
	int n = log_prefix ? snprintf(line, sizeof(line), "<%d>%s: ", level, log_ident)
			   : snprintf(line, sizeof(line), "%s: ", log_ident);
	va_list ap;
	va_start(ap, fmt);
	int m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);

	size_t len = (size_t)n + (m > 0 ? (size_t)m : 0);
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	for (size_t i = (size_t)n; i < len; i++)
		if ((unsigned char)line[i] < 0x20)
			line[i] = ' ';
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0)
		errno = 0; /* nobody is left to tell */
	errno = saved;
}
