/* fcctl drain, undrain, capacity, events: what an operator or an orchestrator's script asks of the node. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cmd/fcctl.h"

enum { WAIT_MS = 30000 /* of one question for events; the next one follows */ };

static const char *text(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));
	return s ? s : "";
}

static json_int_t number(const json_t *o, const char *name) { return json_integer_value(json_object_get(o, name)); }

static int print_json(const json_t *o, size_t flags)
{
	return json_dumpf(o, stdout, flags | JSON_PRESERVE_ORDER) == 0 && putchar('\n') != EOF && fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
}

/* One request whose reply is JSON: *ret is the caller's to free. CMD_OK or the status, with the error printed. */
static int ask(const struct fcctl *ctl, const char *method, const char *path, const char *body, json_t **ret)
{
	struct client_reply r;
	const struct client_request q = { .method = method, .path = path, .body = body, .body_len = body ? strlen(body) : 0, .body_fd = -1 };
	int status = fcctl_request(ctl, &q, &r);
	if (status != CMD_OK)
		return status;
	*ret = fcctl_json(&r);
	client_reply_fini(&r);
	return *ret ? CMD_OK : CMD_INTERNAL;
}

static int ask_events(const struct fcctl *ctl, const char *cursor, int wait_ms, json_t **ret)
{
	autobuf struct buf path = BUF_INIT(512);
	buf_printf(&path, "/node/events?limit=1000&wait=%d&cursor=", wait_ms);
	client_escape(&path, cursor);
	return ask(ctl, "GET", path.data, NULL, ret);
}

/* ---- drain ------------------------------------------------------------------ */

static int print_drain(const struct fcctl *ctl, const json_t *o)
{
	if (ctl->format == FCCTL_JSON)
		return print_json(o, JSON_COMPACT);
	printf("%s", text(o, "state"));
	if (strcmp(text(o, "state"), "draining") == 0)
		printf(", %" JSON_INTEGER_FORMAT " running, %" JSON_INTEGER_FORMAT " queued", number(o, "running"), number(o, "queued"));
	printf("%s%s\n", *text(o, "reason") ? ": " : "", text(o, "reason"));
	return fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
}

static bool ends_waiting(const json_t *page)
{
	size_t i;
	json_t *e;
	json_array_foreach(json_object_get(page, "events"), i, e) {
		const char *name = text(e, "event");
		if (strcmp(name, "node.drained") == 0 || strcmp(name, "node.active") == 0 || strcmp(name, "node.stopping") == 0)
			return true;
	}
	return json_is_true(json_object_get(page, "restarted"));
}

/* Until the last call has ended, told by the node's events; *state is replaced by what then holds. */
static int wait_drained(const struct fcctl *ctl, const char *from, json_t **state)
{
	char cursor[64];
	snprintf(cursor, sizeof(cursor), "%s", from);
	while (strcmp(text(*state, "state"), "draining") == 0) {
		autojson json_t *page = NULL;
		int status = ask_events(ctl, cursor, WAIT_MS, &page);
		if (status != CMD_OK)
			return status;
		snprintf(cursor, sizeof(cursor), "%s", text(page, "cursor"));
		if (!ends_waiting(page))
			continue;
		json_decref(*state);
		*state = NULL;
		status = ask(ctl, "GET", "/node/drain", NULL, state);
		if (status != CMD_OK)
			return status;
	}
	if (strcmp(text(*state, "state"), "drained") == 0)
		return CMD_OK;
	struct err err = ERR_INIT;
	err_set(&err, 0, "drain: the node is %s again: somebody ended the drain", text(*state, "state"));
	return fcctl_fail(&err, CMD_BAD_INPUT);
}

struct drain_opts {
	const char *reason;
	bool wait, help;
};
#define AT(field) offsetof(struct drain_opts, field)
static const struct opt drain_options[] = {
	{ "reason", 0, OPT_STR, AT(reason), "TEXT", "why, for those whose calls are refused", NULL, 0, 0 },
	{ "wait", 'w', OPT_FLAG, AT(wait), NULL, "return when the last call has ended", NULL, 0, 0 },
	{ "help", 'h', OPT_FLAG, AT(help), NULL, "print this and exit", NULL, 0, 0 },
	{ NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 },
};

int fcctl_drain(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct fcctl_syntax usage = { "", "Takes no new calls, lets those that run end; also over restarts, until undrain.",
						   drain_options, AT(help), 0, 0 };
	struct drain_opts o = { .reason = "" };
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	autojson json_t *before = NULL, *body = json_pack("{s:s}", "reason", o.reason), *state = NULL;
	autofree char *sent = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct err err = ERR_INIT;
	if (!sent) {
		err_set(&err, 0, "drain: --reason is not UTF-8 text");
		return fcctl_fail(&err, CMD_BAD_INPUT);
	}
	status = ask_events(ctl, "now", 0, &before);
	if (status == CMD_OK)
		status = ask(ctl, "PUT", "/node/drain", sent, &state);
	if (status == CMD_OK && o.wait)
		status = wait_drained(ctl, text(before, "cursor"), &state);
	return status == CMD_OK ? print_drain(ctl, state) : status;
}
#undef AT

/* ---- undrain, capacity -------------------------------------------------------- */

struct plain_opts {
	bool help;
};
static const struct opt plain_options[] = {
	{ "help", 'h', OPT_FLAG, offsetof(struct plain_opts, help), NULL, "print this and exit", NULL, 0, 0 },
	{ NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 },
};

int fcctl_undrain(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct fcctl_syntax usage = { "", "Takes calls again.", plain_options, 0, 0, 0 };
	struct plain_opts o = { false };
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	autojson json_t *state = NULL;
	status = ask(ctl, "DELETE", "/node/drain", NULL, &state);
	return status == CMD_OK ? print_drain(ctl, state) : status;
}

static double mib(const json_t *o, const char *name) { return (double)number(o, name) / 1048576; }

static int print_capacity(const json_t *o)
{
	const json_t *instances = json_object_get(o, "instances"), *queue = json_object_get(o, "queue");
	const json_t *memory = json_object_get(o, "memory"), *cpu = json_object_get(o, "cpu"), *disk = json_object_get(o, "disk");
	printf("state      %s\n", text(o, "state"));
	printf("instances  %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT "\n", number(instances, "live"), number(instances, "max"));
	printf("queue      %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT "\n", number(queue, "length"), number(queue, "max"));
	printf("memory     %.0f MiB committed, %.0f available, %.0f in all\n", mib(memory, "committedBytes"), mib(memory, "availableBytes"),
	       mib(memory, "totalBytes"));
	printf("cpu        %.3g committed, %.3g in all\n", (double)number(cpu, "committedMilli") / 1000, (double)number(cpu, "totalMilli") / 1000);
	printf("disk       %.0f MiB of layers, %.0f available\n", mib(disk, "layerBytes"), mib(disk, "availableBytes"));
	return fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
}

int fcctl_capacity(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct fcctl_syntax usage = { "", "Prints what the node has, what is committed and what is free.", plain_options, 0, 0, 0 };
	struct plain_opts o = { false };
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	autojson json_t *capacity = NULL;
	status = ask(ctl, "GET", "/node/capacity", NULL, &capacity);
	if (status != CMD_OK)
		return status;
	return ctl->format == FCCTL_JSON ? print_json(capacity, JSON_COMPACT) : print_capacity(capacity);
}

/* ---- events -------------------------------------------------------------------- */

static int print_event(const struct fcctl *ctl, const json_t *e)
{
	static const char *const fields[] = { "tenant", "functionName", "requestId", "instanceId", "detail" };
	char stamp[32];
	time_t s = (time_t)(number(e, "timeMs") / 1000);
	struct tm tm;
	if (ctl->format == FCCTL_JSON)
		return print_json(e, JSON_COMPACT);
	gmtime_r(&s, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	printf("%8" JSON_INTEGER_FORMAT " %s.%03dZ %-18s", number(e, "seq"), stamp, (int)(number(e, "timeMs") % 1000), text(e, "event"));
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (*text(e, fields[i]))
			printf(" %s", text(e, fields[i]));
	return putchar('\n') != EOF && fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
}

static int print_page(const struct fcctl *ctl, const json_t *page)
{
	size_t i;
	json_t *e;
	int status = CMD_OK;
	if (json_is_true(json_object_get(page, "restarted")))
		fprintf(stderr, "fcctl: the agent was restarted: its events begin anew\n");
	if (number(page, "lost") > 0)
		fprintf(stderr, "fcctl: %" JSON_INTEGER_FORMAT " events were given up before they were read (max-node-events)\n",
			number(page, "lost"));
	json_array_foreach(json_object_get(page, "events"), i, e)
		if (status == CMD_OK)
			status = print_event(ctl, e);
	return status;
}

struct events_opts {
	const char *cursor;
	bool follow, help;
};
#define AT(field) offsetof(struct events_opts, field)
static const struct opt events_options[] = {
	{ "follow", 'F', OPT_FLAG, AT(follow), NULL, "go on with new events as they come", NULL, 0, 0 },
	{ "cursor", 0, OPT_STR, AT(cursor), "CURSOR", "begin after this one; \"now\": only new events", NULL, 0, 0 },
	{ "help", 'h', OPT_FLAG, AT(help), NULL, "print this and exit", NULL, 0, 0 },
	{ NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 },
};

int fcctl_events(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct fcctl_syntax usage = { "", "Prints what happened on the node, oldest first.", events_options, AT(help), 0, 0 };
	struct events_opts o = { .cursor = "" };
	char cursor[64];
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	snprintf(cursor, sizeof(cursor), "%s", o.cursor);
	for (bool more = true; more;) {
		autojson json_t *page = NULL;
		status = ask_events(ctl, cursor, o.follow ? WAIT_MS : 0, &page);
		if (status == CMD_OK)
			status = print_page(ctl, page);
		if (status != CMD_OK)
			return status;
		snprintf(cursor, sizeof(cursor), "%s", text(page, "cursor"));
		more = o.follow || json_array_size(json_object_get(page, "events")) == 1000;
	}
	return CMD_OK;
}
