/*
 * cmd_report - an error goes out once: to stderr for whoever reads it there,
 * and to --log in the form engines read back (containerd's shim shows the
 * last {"level":"error","msg":...} line of the log, podman its stderr).
 */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "cmd/cmd.h"

enum { LOG_LINE_MAX = 8192 };

static void time_text(char *out, size_t size)
{
	time_t now = time(NULL);
	struct tm tm;
	if (!gmtime_r(&now, &tm) || strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		*out = '\0';
}

/* logfmt, as runc writes with --log-format text: the message in quotes, quotes and line ends escaped. */
static void put_quoted(struct buf *b, const char *s)
{
	buf_puts(b, "\"");
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			buf_printf(b, "\\%c", *s);
		else if (*s == '\n')
			buf_puts(b, "\\n");
		else
			buf_append(b, s, 1);
	}
	buf_puts(b, "\"");
}

static void put_json(struct buf *b, const char *level, const char *msg, const char *when)
{
	/* strerror texts are ASCII, but a path in the message need not be UTF-8: jansson then refuses it */
	autojson json_t *line = json_pack("{s:s, s:s, s:s}", "level", level, "msg", msg, "time", when);
	if (!line) {
		char plain[ERR_TEXT_MAX + ERR_HINT_MAX + 16];
		snprintf(plain, sizeof(plain), "%s", msg);
		for (char *p = plain; *p; p++)
			if ((unsigned char)*p >= 0x80)
				*p = '?';
		line = json_pack("{s:s, s:s, s:s}", "level", level, "msg", plain, "time", when);
	}
	autofree char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
	if (text)
		buf_puts(b, text);
}

static int append_log(const struct cmd_globals *g, const char *level, const char *msg)
{
	autobuf struct buf b = BUF_INIT(LOG_LINE_MAX);
	char when[32];

	time_text(when, sizeof(when));
	if (g->log_format == 1) {
		put_json(&b, level, msg, when);
	} else {
		buf_printf(&b, "time=\"%s\" level=%s msg=", when, level);
		put_quoted(&b, msg);
	}
	int r = buf_puts(&b, "\n");
	if (r < 0)
		return r;
	autoclose int fd = open(g->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	return fd_write_all(fd, b.data, b.len);
}

void cmd_report(const struct cmd_globals *g, const char *level, const struct err *err)
{
	char msg[ERR_TEXT_MAX + ERR_HINT_MAX + 16];

	snprintf(msg, sizeof(msg), "%s%s%s%s", err->text, err->hint[0] ? " (" : "", err->hint, err->hint[0] ? ")" : "");
	if (g->log) {
		int r = append_log(g, level, msg);
		if (r < 0)
			fprintf(stderr, "fc-run: write to the log %s: %s, ignoring\n", g->log, strerror(-r));
	}
	if (strcmp(level, "debug") == 0) {
		if (!g->log)
			fprintf(stderr, "fc-run: debug: %s\n", msg);
		return;
	}
	if (!g->log && g->log_format == 1) { /* an engine that reads JSON from stderr */
		autobuf struct buf b = BUF_INIT(LOG_LINE_MAX);
		char when[32];
		time_text(when, sizeof(when));
		put_json(&b, level, msg, when);
		if (buf_puts(&b, "\n") == 0)
			(void)!fd_write_all(2, b.data, b.len);
		return;
	}
	err_print(err, "fc-run");
}
