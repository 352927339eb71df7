/* fcctl logs: of one call, of the last calls, and as they are written. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "cmd/fcctl.h"

enum { LINE_MAX_BYTES = 16 << 20 };

struct logs_opts {
	const char *function, *text;
	uint64_t since_ms, until_ms, last;
	bool follow, help;
};
#define AT(field) offsetof(struct logs_opts, field)
static const struct opt logs_options[] = {
	{ "follow", 'f', OPT_FLAG, AT(follow), NULL, "print lines as they are written, until interrupted", NULL, 0, 0 },
	{ "function", 0, OPT_STR, AT(function), "NAME", "only calls of this function", NULL, 0, 0 },
	{ "since", 0, OPT_MS, AT(since_ms), "TIME", "only calls that started within this time (all)", NULL, 0, 0 },
	{ "until", 0, OPT_MS, AT(until_ms), "TIME", "only calls that started at least this long ago (all)", NULL, 0, 0 },
	{ "text", 0, OPT_STR, AT(text), "TEXT", "only lines that contain it", NULL, 0, 0 },
	{ "last", 'n', OPT_U64, AT(last), "N", "the last N calls (20)", NULL, 1, 100000 },
	{ "help", 'h', OPT_FLAG, AT(help), NULL, "print this and exit", NULL, 0, 0 },
	{ NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 },
};

static void add_query(struct buf *path, const char *name, const char *value)
{
	if (!value)
		return;
	buf_printf(path, "%c%s=", path->len && memchr(path->data, '?', path->len) ? '&' : '?', name);
	client_escape(path, value);
}

static const char *text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));
	return s ? s : "";
}

static void print_time(int64_t ms)
{
	char text[32];
	time_t s = (time_t)(ms / 1000);
	struct tm tm;
	gmtime_r(&s, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	printf("%s.%03dZ", text, (int)(ms % 1000));
}

/* ---- one call --------------------------------------------------------------- */

static int one_call(const struct fcctl *ctl, const char *id)
{
	autobuf struct buf path = BUF_INIT(4096);
	struct client_reply r;
	buf_puts(&path, "/logs");
	add_query(&path, "requestId", id);
	int status = fcctl_request(ctl, &(struct client_request){ .method = "GET", .path = path.data, .body_fd = -1 }, &r);
	if (status != CMD_OK)
		return status;
	status = fcctl_print(&r.body, false);
	if (r.log_dropped && strcmp(r.log_dropped, "0") != 0)
		fprintf(stderr, "fcctl: %s bytes of this log were not kept (max-log-bytes)\n", r.log_dropped);
	client_reply_fini(&r);
	return status;
}

/* ---- the last calls ----------------------------------------------------------- */

/* Pages, the newest call first, until there are enough or no more. */
static int fetch(const struct fcctl *ctl, const struct logs_opts *o, json_t *all)
{
	char token[64] = "";
	int64_t now = clock_real_ms();
	do {
		autobuf struct buf path = BUF_INIT(4096);
		struct client_reply r;
		uint64_t left = o->last - json_array_size(all);
		buf_printf(&path, "/logs?limit=%" PRIu64, left < 100 ? left : 100);
		add_query(&path, "functionName", o->function);
		add_query(&path, "text", o->text);
		if (o->since_ms)
			buf_printf(&path, "&from=%" PRId64, now - (int64_t)o->since_ms > 0 ? now - (int64_t)o->since_ms : 0);
		if (o->until_ms)
			buf_printf(&path, "&to=%" PRId64, now - (int64_t)o->until_ms > 0 ? now - (int64_t)o->until_ms : 0);
		if (*token)
			buf_printf(&path, "&nextToken=%s", token);
		int status = fcctl_request(ctl, &(struct client_request){ .method = "GET", .path = path.data, .body_fd = -1 }, &r);
		if (status != CMD_OK)
			return status;
		autojson json_t *page = fcctl_json(&r);
		client_reply_fini(&r);
		if (!page)
			return CMD_INTERNAL;
		json_array_extend(all, json_object_get(page, "logs"));
		snprintf(token, sizeof(token), "%s", text_of(page, "nextToken"));
	} while (*token && json_array_size(all) < o->last);
	return CMD_OK;
}

static void print_call(const json_t *o)
{
	const char *log = text_of(o, "text");
	size_t n = strlen(log);
	printf("==> %s %s ", text_of(o, "requestId"), text_of(o, "functionName"));
	print_time(json_integer_value(json_object_get(o, "startTimeMs")));
	json_int_t dropped = json_integer_value(json_object_get(o, "dropped"));
	if (dropped)
		printf(" (%" JSON_INTEGER_FORMAT " bytes not kept)", dropped);
	printf("\n%s%s", log, n && log[n - 1] != '\n' ? "\n" : "");
}

static int last_calls(const struct fcctl *ctl, const struct logs_opts *o)
{
	autojson json_t *all = json_array();
	int status = fetch(ctl, o, all);
	if (status != CMD_OK)
		return status;
	for (size_t i = json_array_size(all); i > 0; i--) {
		const json_t *call = json_array_get(all, i - 1);
		if (ctl->format == FCCTL_JSON) {
			json_dumpf(call, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
			putchar('\n');
		} else {
			print_call(call);
		}
	}
	return fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
}

/* ---- as they are written --------------------------------------------------------- */

struct following {
	enum fcctl_format format;
	struct buf line;
};

static int print_line(const struct following *f)
{
	if (f->format == FCCTL_JSON)
		return fwrite(f->line.data, 1, f->line.len, stdout) == f->line.len && fflush(stdout) == 0 ? 0 : -EIO;
	autojson json_t *o = json_loadb(f->line.data, f->line.len, 0, NULL);
	json_int_t lost = json_integer_value(json_object_get(o, "lost"));
	if (lost) {
		printf("(%" JSON_INTEGER_FORMAT " lines lost: this reader was too slow)\n", lost);
	} else {
		print_time(json_integer_value(json_object_get(o, "timeMs")));
		printf(" %s %.8s %s\n", text_of(o, "functionName"), text_of(o, "requestId"), text_of(o, "text"));
	}
	return fflush(stdout) == 0 ? 0 : -EIO;
}

static int on_piece(void *arg, const char *data, size_t len)
{
	struct following *f = arg;
	while (len > 0) {
		const char *newline = memchr(data, '\n', len);
		size_t n = newline ? (size_t)(newline - data) + 1 : len;
		int r = buf_append(&f->line, data, n);
		if (r == 0 && newline) {
			r = print_line(f);
			buf_reset(&f->line);
		}
		if (r < 0)
			return r;
		data += n;
		len -= n;
	}
	return 0;
}

static int follow(const struct fcctl *ctl, const struct logs_opts *o, const char *id)
{
	autobuf struct buf path = BUF_INIT(4096);
	struct following f = { .format = ctl->format, .line = BUF_INIT(LINE_MAX_BYTES) };
	struct client_reply r;
	buf_puts(&path, "/logs?follow=true");
	add_query(&path, "requestId", id);
	add_query(&path, "functionName", o->function);
	add_query(&path, "text", o->text);
	const struct client_request q = { .method = "GET", .path = path.data, .body_fd = -1, .piece = on_piece, .arg = &f };
	int status = fcctl_request(ctl, &q, &r);
	buf_fini(&f.line);
	if (status == CMD_OK)
		client_reply_fini(&r);
	return status;
}

int fcctl_logs(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct fcctl_syntax usage = { "[REQUEST]", "Prints what calls wrote: one, the last ones (oldest first), or all from now on.",
						   logs_options, AT(help), 0, 1 };
	struct logs_opts o = { .last = 20 };
	struct err err = ERR_INIT;
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	const char *id = n < argc ? argv[n] : NULL;
	if (o.follow && (o.since_ms || o.until_ms)) {
		err_set(&err, 0, "logs: --follow begins now: it does not go with --since and --until");
		return fcctl_fail(&err, CMD_BAD_INPUT);
	}
	if (o.follow)
		return follow(ctl, &o, id);
	if (id && (o.function || o.text || o.since_ms || o.until_ms)) {
		err_set(&err, 0, "logs: a request id goes with no other choice but --follow");
		return fcctl_fail(&err, CMD_BAD_INPUT);
	}
	return id ? one_call(ctl, id) : last_calls(ctl, &o);
}
