/* fcctl usage: the ledger as a table, with a sum. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cmd/fcctl.h"

struct usage_opts {
	const char *function, *request, *of_tenant;
	uint64_t since_ms, limit;
	bool timeline, help;
};
#define AT(field) offsetof(struct usage_opts, field)
static const struct opt usage_options[] = {
	{ "function", 0, OPT_STR, AT(function), "NAME", "only this function", NULL, 0, 0 },
	{ "request", 0, OPT_STR, AT(request), "ID", "only this call", NULL, 0, 0 },
	{ "of-tenant", 0, OPT_STR, AT(of_tenant), "NAME", "only this tenant (root sees all)", NULL, 0, 0 },
	{ "since", 0, OPT_MS, AT(since_ms), "TIME", "only calls that began in the last TIME", NULL, 0, 0 },
	{ "limit", 0, OPT_U64, AT(limit), "N", "at most N records (1000)", NULL, 1, 1000000 },
	{ "timeline", 0, OPT_FLAG, AT(timeline), NULL, "also the phases of each call, in microseconds", NULL, 0, 0 },
	{ "help", 'h', OPT_FLAG, AT(help), NULL, "print this and exit", NULL, 0, 0 },
	{ NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 },
};

static void add_query(struct buf *path, const char *name, const char *value)
{
	if (!value)
		return;
	buf_printf(path, "&%s=", name);
	client_escape(path, value);
}

/* All pages up to the limit into one array; CMD_OK or the status. */
static int fetch(const struct fcctl *ctl, const struct usage_opts *o, json_t *all)
{
	char token[64] = "0";
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t from = o->since_ms ? (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - (int64_t)o->since_ms : 0;
	while (token[0] && json_array_size(all) < o->limit) {
		autobuf struct buf path = BUF_INIT(4096);
		struct client_reply r;
		uint64_t left = o->limit - json_array_size(all);
		buf_printf(&path, "/usage?limit=%" PRIu64 "&nextToken=%s&from=%" PRId64, left < 1000 ? left : 1000, token,
			   from > 0 ? from : 0);
		add_query(&path, "functionName", o->function);
		add_query(&path, "requestId", o->request);
		add_query(&path, "tenant", o->of_tenant);
		int status = fcctl_request(ctl, &(struct client_request){ .method = "GET", .path = path.data, .body_fd = -1 }, &r);
		if (status != CMD_OK)
			return status;
		autojson json_t *page = fcctl_json(&r);
		client_reply_fini(&r);
		if (!page)
			return CMD_INTERNAL;
		json_array_extend(all, json_object_get(page, "records"));
		const char *next = json_string_value(json_object_get(page, "nextToken"));
		snprintf(token, sizeof(token), "%s", next ? next : "");
	}
	return CMD_OK;
}

static double number(json_t *record, const char *name) { return json_number_value(json_object_get(record, name)); }

static const char *text(json_t *record, const char *name)
{
	const char *s = json_string_value(json_object_get(record, name));
	return s ? s : "";
}

static void print_record(json_t *r, bool timeline)
{
	char start[32];
	time_t s = (time_t)(number(r, "startTimeMs") / 1000);
	struct tm tm;
	gmtime_r(&s, &tm);
	strftime(start, sizeof(start), "%Y-%m-%dT%H:%M:%SZ", &tm);
	printf("%-20s %-10s %-18s %-36s %-14s %9.1f %8.0f %9.1f %8.1f %9.6f\n", start, text(r, "tenant"), text(r, "functionName"),
	       text(r, "requestId"), text(r, "outcome"), number(r, "wallMs"), number(r, "billedMs"), number(r, "cpuUs") / 1000,
	       number(r, "peakMemoryBytes") / 1048576, number(r, "gbSeconds"));
	const char *name;
	json_t *us;
	if (!timeline)
		return;
	printf("   ");
	json_object_foreach(json_object_get(r, "timelineUs"), name, us)
		printf(" %s %" JSON_INTEGER_FORMAT, name, json_integer_value(us));
	printf("\n");
}

static void print_table(json_t *all, bool timeline)
{
	double billed = 0, gb_s = 0, cpu = 0;
	size_t i;
	json_t *r;
	printf("%-20s %-10s %-18s %-36s %-14s %9s %8s %9s %8s %9s\n", "START", "TENANT", "FUNCTION", "REQUEST", "OUTCOME",
	       "WALL ms", "BILL ms", "CPU ms", "PEAK MiB", "GB-s");
	json_array_foreach(all, i, r) {
		print_record(r, timeline);
		billed += number(r, "billedMs");
		gb_s += number(r, "gbSeconds");
		cpu += number(r, "cpuUs") / 1000;
	}
	printf("%zu records, billed %.0f ms, cpu %.1f ms, %.6f GB-s\n", json_array_size(all), billed, cpu, gb_s);
}

int fcctl_usage(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct fcctl_syntax usage = { "", "Prints the usage records, oldest first.", usage_options, AT(help), 0, 0 };
	struct usage_opts o = { .limit = 1000 };
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	autojson json_t *all = json_array();
	status = fetch(ctl, &o, all);
	if (status != CMD_OK)
		return status;
	if (ctl->format == FCCTL_JSON) {
		json_dumpf(all, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(12));
		putchar('\n');
	} else {
		print_table(all, o.timeline);
	}
	return fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
}
