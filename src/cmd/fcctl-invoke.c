/* fcctl invoke. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "cmd/fcctl.h"

enum { EVENT_MAX = 1 << 30 };

struct invoke_opts {
	const char *event, *output, *qualifier;
	bool timeline, log, help;
};
#define AT(field) offsetof(struct invoke_opts, field)
static const struct opt invoke_options[] = {
	{ "event", 'e', OPT_STR, AT(event), "JSON|@FILE|-", "what the function gets: text, a file, or standard input (nothing)", NULL, 0, 0 },
	{ "output", 'o', OPT_STR, AT(output), "FILE", "write the reply there", NULL, 0, 0 },
	{ "qualifier", 'q', OPT_STR, AT(qualifier), "VERSION|ALIAS", "which version (LATEST)", NULL, 0, 0 },
	{ "timeline", 0, OPT_FLAG, AT(timeline), NULL, "print the phases of the call to standard error", NULL, 0, 0 },
	{ "log", 0, OPT_FLAG, AT(log), NULL, "print the log of the call to standard error", NULL, 0, 0 },
	{ "help", 'h', OPT_FLAG, AT(help), NULL, "print this and exit", NULL, 0, 0 },
	{ NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 },
};

static int read_event(const char *text, struct buf *out, struct err *err)
{
	if (!text)
		return 0;
	if (text[0] != '@' && strcmp(text, "-") != 0)
		return buf_puts(out, text);
	const char *path = text[0] == '@' ? text + 1 : "/dev/stdin";
	autoclose int fd = text[0] == '@' ? open(path, O_RDONLY | O_CLOEXEC) : fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return err_set(err, errno, "open the event %s", path);
	int r = buf_read_fd(out, fd);
	return r < 0 ? err_set(err, -r, "read the event %s (at most %d bytes)", path, EVENT_MAX) : 0;
}

/* Where the reply goes, piece by piece. A file is made when there is something for it. */
struct sink {
	const char *path; /* NULL: standard output */
	int fd;           /* -1: not open */
	char last;        /* byte written */
};

static int put(void *arg, const char *data, size_t len)
{
	struct sink *s = arg;
	if (s->fd < 0)
		s->fd = s->path ? open(s->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (s->fd < 0)
		return -errno;
	if (len)
		s->last = data[len - 1];
	return fd_write_all(s->fd, data, len);
}

static void sink_close(struct sink *s) { cleanup_close(&s->fd); }

/* What came whole, and on a terminal the end of its last line. */
static int end_reply(struct sink *s, const struct client_reply *r)
{
	struct err err = ERR_INIT;
	int status = CMD_OK, e = r->transfer ? 0 : put(s, r->body.data ? r->body.data : "", r->body.len);
	if (e == 0 && !s->path && s->last && s->last != '\n' && isatty(STDOUT_FILENO))
		e = put(s, "\n", 1);
	if (e < 0) {
		err_set(&err, -e, "write the reply to %s", s->path ? s->path : "standard output");
		status = fcctl_fail(&err, CMD_HOST);
	}
	return status;
}

static void print_timeline(const char *text)
{
	autojson json_t *o = text ? json_loads(text, 0, NULL) : NULL;
	const char *name;
	json_t *us;
	fprintf(stderr, "timeline, us:");
	json_object_foreach(o, name, us)
		fprintf(stderr, " %s %lld", name, (long long)json_integer_value(us));
	fprintf(stderr, "\n");
}

static void print_log(const struct fcctl *ctl, const char *id)
{
	char path[80];
	struct client_reply r;
	snprintf(path, sizeof(path), "/logs?requestId=%.40s", id);
	if (fcctl_request(ctl, &(struct client_request){ .method = "GET", .path = path, .body_fd = -1 }, &r) != CMD_OK)
		return;
	if (r.body.len)
		fwrite(r.body.data, 1, r.body.len, stderr);
	client_reply_fini(&r);
}

/* The function ran and failed: what it said, and the status for the kind of failure (fcctl(1), EXIT STATUS). */
static int function_error(const struct client_reply *r)
{
	const char *outcome = r->outcome ? r->outcome : "", *message = "", *type = "", *detail = "";
	autojson json_t *o = r->error ? json_loads(r->error, 0, NULL) : r->body.len ? json_loadb(r->body.data, r->body.len, 0, NULL) : NULL;
	json_unpack(o, "{s?s, s?s, s?s}", "errorMessage", &message, "errorType", &type, "detail", &detail);
	fprintf(stderr, "fcctl: function error (%s): %s%s%s%s%s (request %s)\n", outcome, type, *type ? ": " : "", message,
		*detail ? ": " : "", detail, r->request_id ? r->request_id : "none");
	size_t i;
	json_t *line;
	json_array_foreach(json_object_get(o, "stackTrace"), i, line)
		fprintf(stderr, "  %s\n", json_is_string(line) ? json_string_value(line) : "");
	if (strcmp(outcome, "timeout") == 0)
		return CMD_TIMEOUT;
	return strcmp(outcome, "oom") == 0 ? CMD_OUT_OF_MEMORY : CMD_FUNCTION_ERROR;
}

/* The call was ended, for no fault of the function's, after its reply had begun. */
static int cut_short(const struct client_reply *r)
{
	struct err err = ERR_INIT;
	const char *code = "", *message = "";
	autojson json_t *o = json_loads(r->error, 0, NULL);
	json_unpack(o, "{s?s, s?s}", "Code", &code, "Message", &message);
	err_set(&err, 0, "the reply is not whole: %s: %s (request %s)", code, message, r->request_id ? r->request_id : "none");
	return fcctl_fail(&err, CMD_HOST);
}

int fcctl_invoke(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct fcctl_syntax usage = { "NAME", "Calls a function and prints its reply.", invoke_options, AT(help), 1, 1 };
	struct invoke_opts o = { .event = NULL };
	struct err err = ERR_INIT;
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	autobuf struct buf path = BUF_INIT(4096), event = BUF_INIT(EVENT_MAX);
	if (read_event(o.event, &event, &err) < 0)
		return fcctl_fail(&err, CMD_BAD_INPUT);
	fcctl_function_path(&path, argv[n], o.qualifier ? "/invocations?qualifier=" : "/invocations");
	if (o.qualifier)
		client_escape(&path, o.qualifier);
	_cleanup_(sink_close) struct sink sink = { .path = o.output, .fd = -1 };
	const struct client_request q = { .method = "POST", .path = path.data, .body = event.data, .body_len = event.len, .body_fd = -1,
					  .piece = put, .arg = &sink };
	struct client_reply r;
	status = fcctl_request(ctl, &q, &r);
	if (status != CMD_OK)
		return status;
	status = end_reply(&sink, &r);
	if (o.log && r.request_id)
		print_log(ctl, r.request_id);
	if (o.timeline)
		print_timeline(r.timeline);
	if (r.error_type)
		status = function_error(&r);
	else if (r.error) /* of the node, after the reply had begun */
		status = cut_short(&r);
	client_reply_fini(&r);
	return status;
}
