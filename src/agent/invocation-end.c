#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "agent/invocation-internal.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"


enum { LOG_TAIL = 4096, ERROR_BODY_MAX = 1 << 20 };
/* EXITED.oom_level (host/cgroup.h; the levels are those of keeper's groups) */
enum { OOM_ABOVE = -3, OOM_HOST = -2, OOM_NONE = -1, OOM_OWN = 0, OOM_FUNCTION = 1, OOM_TENANT = 2, OOM_NODE = 3 };

static int64_t between_us(int64_t from, int64_t to) { return from && to > from ? (to - from) / 1000 : 0; }

/* ---- what the kernel counted --------------------------------------------- */

static uint64_t peak_bytes(const struct invocation *i)
{
	if (i->has_exited && (i->exited.have & MSG_HAVE_PEAK))
		return i->exited.memory_peak_bytes;
	return 0;
}

static bool out_of_memory(const struct invocation *i)
{
	return i->has_exited && i->exited.oom_level != OOM_NONE;
}

/* ---- errors as data (CONTRACTS 2) ---------------------------------------- */

static void set_error(struct invocation *i, enum outcome o, const char *error_type, const char *message, const char *detail)
{
	i->result.outcome = o;
	i->result.error_type = "UnhandledInvocationError";
	autojson json_t *e = json_pack("{s:s, s:s}", "errorMessage", message, "errorType", error_type);
	if (e && detail)
		json_object_set_new(e, "detail", json_string(detail));
	autofree char *text = e ? json_dumps(e, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
	i->result.body = (struct buf)BUF_INIT(ERROR_BODY_MAX);
	if (!text || buf_puts(&i->result.body, text) < 0)
		buf_puts(&i->result.body, "{\"errorMessage\":\"out of memory\",\"errorType\":\"Sandbox.Failure\"}");
	log_capture_note(&i->log, "%s: %s%s%s", error_type, message, detail ? ": " : "", detail ? detail : "");
}

static void describe_exit(const struct invocation *i, char *out, size_t size)
{
	int status = i->has_exited ? i->exited.wait_status : 0;
	out[0] = '\0';
	if (WIFEXITED(status))
		snprintf(out, size, "exit status %d", WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		snprintf(out, size, "killed by signal %d (%s)%s", WTERMSIG(status), strsignal(WTERMSIG(status)),
			 WCOREDUMP(status) ? ", core dumped" : "");
}

static void set_exit_error(struct invocation *i, enum outcome o)
{
	char message[200], detail[120];
	snprintf(message, sizeof(message),
		 "Process exited unexpectedly before completing request (duration: %" PRId64 "ms, maxMemoryUsage: %" PRIu64 "MB)",
		 between_us(i->launched_ns, i->ended_ns) / 1000, peak_bytes(i) >> 20);
	describe_exit(i, detail, sizeof(detail));
	set_error(i, o, "Runtime.ExitError", message, detail);
}

static void set_oom_error(struct invocation *i)
{
	char message[240];
	snprintf(message, sizeof(message),
		 "Function used more memory than it may and was killed (memory limit: %" PRIu32 "MB, maxMemoryUsage: %" PRIu64
		 "MB)",
		 i->function->f.memory_mb, peak_bytes(i) >> 20);
	set_error(i, OUTCOME_OOM, "Runtime.OutOfMemory", message,
		  i->exited.oom_level == OOM_OWN ? "the limit of its own sandbox" : "the limit of the function over all its sandboxes");
}

static void set_timeout_error(struct invocation *i)
{
	char message[160];
	if (!i->has_launched)
		snprintf(message, sizeof(message), "the sandbox did not start in time");
	else if (i->initialising)
		snprintf(message, sizeof(message), "Function initialization time out after %" PRIu32 " seconds",
			 i->function->f.initializer_timeout_s);
	else
		snprintf(message, sizeof(message), "Function time out after %" PRIu32 " seconds", i->function->f.timeout_s);
	set_error(i, OUTCOME_TIMEOUT, "Sandbox.Timeout", message, NULL);
}

static void set_thrown_error(struct invocation *i, enum outcome o)
{
	i->result.outcome = o;
	i->result.error_type = runtime_error_handled(i->runtime) ? "HandledInvocationError" : "UnhandledInvocationError";
	i->result.body = (struct buf)BUF_INIT(ERROR_BODY_MAX);
	buf_puts(&i->result.body, runtime_error(i->runtime));
}

static void set_refused(struct invocation *i, enum outcome o, enum api_code code, const char *fmt, const char *text)
{
	i->result.outcome = o;
	i->result.refused = code;
	snprintf(i->result.message, sizeof(i->result.message), fmt, text);
}

/* A limit above the function's own was reached, and the kernel picked this sandbox: not its fault, and not billed. */
static void set_oom_above(struct invocation *i)
{
	const struct config *c = i->table->env.config;
	const char *tenant = i->function->tenant;
	char why[240];
	int level = i->exited.oom_level;
	if (level == OOM_TENANT)
		snprintf(why, sizeof(why), "all sandboxes of tenant '%.64s' together reached the limit of the tenant (tenant-memory, %" PRIu64 " MB)",
			 tenant, c->tenant_memory_bytes >> 20);
	else if (level == OOM_NODE)
		snprintf(why, sizeof(why), "all sandboxes together reached the limit of this node (node-memory, %" PRIu64 " MB)",
			 c->node_memory_bytes >> 20);
	else
		snprintf(why, sizeof(why), "%s", level == OOM_HOST ? "the host ran out of memory"
							 : "a memory limit above the agent's own groups was reached (of the service "
							   "or container that it runs in)");
	char message[400];
	snprintf(message, sizeof(message), "%s, and this sandbox was killed for it, within its own %" PRIu32 " MB", why,
		 i->function->f.memory_mb);
	set_refused(i, level == OOM_TENANT ? OUTCOME_OOM_TENANT : OUTCOME_OOM_NODE,
		    level == OOM_TENANT ? API_RESOURCE_EXHAUSTED : API_RESOURCE_THROTTLED, "%s", message);
	log_capture_note(&i->log, "%s", message);
}

/* A custom runtime that ended before it listened, or before its initializer had answered. */
static void set_ca_exited(struct invocation *i)
{
	char how[120];
	describe_exit(i, how, sizeof(how));
	set_refused(i, OUTCOME_INIT_ERROR, API_CA_EXITED, "the function's server ended before it was ready (%s); its log says more", how);
	log_capture_note(&i->log, "%s", i->result.message);
}

/* ---- the outcome --------------------------------------------------------- */

static void launch_failed(struct invocation *i)
{
	static const enum api_code code[] = {
		[MSG_FAULT_FUNCTION] = API_INTERNAL, [MSG_FAULT_REFUSED] = API_INTERNAL,
		[MSG_FAULT_FULL] = API_RESOURCE_THROTTLED, [MSG_FAULT_HOST] = API_INTERNAL, [MSG_FAULT_KILLED] = API_INTERNAL,
	};
	_Static_assert(ARRAY_LEN(code) == MSG_FAULT_MAX, "a code for each fault");
	char text[800];
	snprintf(text, sizeof(text), "%s: %s", i->failed.stage, i->failed.text);
	if (i->failed.fault == MSG_FAULT_FUNCTION && i->function->f.runtime == FUNCTION_CUSTOM)
		return set_refused(i, OUTCOME_LAUNCH_FAILED, API_CA_FILE_NOT_FOUND, "the function's server cannot be started: %s", text);
	if (i->failed.fault == MSG_FAULT_FUNCTION) { /* its author's to repair, not the node's */
		set_error(i, OUTCOME_LAUNCH_FAILED, "Runtime.InvalidEntrypoint",
			  "the function's command cannot be executed", text);
		return;
	}
	if (i->cause == CAUSE_GONE)
		return set_refused(i, OUTCOME_CLIENT_GONE, API_CLIENT_CLOSED, "%s", "the caller hung up");
	if (i->cause == CAUSE_SHUTDOWN)
		return set_refused(i, OUTCOME_SHUTDOWN, API_SHUTTING_DOWN, "%s", "the agent is shutting down");
	set_refused(i, OUTCOME_LAUNCH_FAILED, code[i->failed.fault], "the sandbox did not start: %s", text);
}

/* A stdio program's reply is whole when the program ended well. */
static bool replied(const struct invocation *i)
{
	if (i->function->f.runtime != FUNCTION_STDIO)
		return i->verdict == RUNTIME_REPLIED;
	return i->verdict == RUNTIME_OPEN && i->cause == CAUSE_NONE && !out_of_memory(i) && i->has_exited &&
	       WIFEXITED(i->exited.wait_status) && WEXITSTATUS(i->exited.wait_status) == 0;
}

/* What a runtime said that ends a call as an error. False: it said nothing of the kind. */
static bool conclude_by_verdict(struct invocation *i)
{
	char text[200];
	switch (i->verdict) {
	case RUNTIME_FAILED:
		set_thrown_error(i, OUTCOME_FUNCTION_ERROR);
		return true;
	case RUNTIME_INIT_FAILED:
		set_thrown_error(i, OUTCOME_INIT_ERROR);
		return true;
	case RUNTIME_REPLY_TOO_LARGE:
		snprintf(text, sizeof(text), "the reply is longer than max-reply-bytes (%" PRIu64 ")",
			 i->table->env.config->max_reply_bytes);
		set_error(i, OUTCOME_REPLY_TOO_LARGE, "Function.ResponseSizeTooLarge", text, NULL);
		return true;
	case RUNTIME_PROTOCOL:
		i->table->env.stats->protocol_errors++;
		set_error(i, OUTCOME_PROTOCOL, "Runtime.ProtocolError", "the runtime broke the rules of how it is to answer",
			  runtime_why(i->runtime));
		return true;
	default:
		return false;
	}
}

static void conclude_without_verdict(struct invocation *i)
{
	if (out_of_memory(i))
		return i->exited.oom_level == OOM_OWN || i->exited.oom_level == OOM_FUNCTION ? set_oom_error(i) : set_oom_above(i);
	if (i->has_exited && !i->exited.killed && i->function->f.runtime == FUNCTION_CUSTOM && !i->ready_ns)
		return set_ca_exited(i);
	if (i->has_exited && !i->exited.killed)
		return set_exit_error(i, i->function->f.runtime == FUNCTION_STDIO && WIFEXITED(i->exited.wait_status)
						 ? OUTCOME_FUNCTION_ERROR
						 : OUTCOME_EXIT);
	switch (i->cause) {
	case CAUSE_TIMEOUT:
		return set_timeout_error(i);
	case CAUSE_GONE:
		return set_refused(i, OUTCOME_CLIENT_GONE, API_CLIENT_CLOSED, "%s", "the caller hung up");
	case CAUSE_SHUTDOWN:
		return set_refused(i, OUTCOME_SHUTDOWN, API_SHUTTING_DOWN, "%s", "the agent is shutting down");
	case CAUSE_CLOSED:
		i->table->env.stats->protocol_errors++;
		return set_error(i, OUTCOME_PROTOCOL, "Runtime.ProtocolError",
				 i->function->f.runtime == FUNCTION_CUSTOM ? "the server closed its connection without an answer"
									   : "the runtime closed its channel without an answer",
				 i->function->f.runtime == FUNCTION_CUSTOM ? runtime_why(i->runtime) : NULL);
	default:
		return set_refused(i, OUTCOME_LAUNCH_FAILED, API_INTERNAL, "%s", "the call could not be set up: out of memory");
	}
}

static void conclude_outcome(struct invocation *i)
{
	if (i->has_failed && i->cause == CAUSE_TIMEOUT)
		return set_refused(i, OUTCOME_LAUNCH_FAILED, API_INTERNAL, "the sandbox did not start in time: %s", i->failed.text);
	if (i->has_failed)
		return launch_failed(i);
	if (replied(i)) {
		i->result.outcome = OUTCOME_OK;
		if (i->runtime) {
			i->result.body = *runtime_reply(i->runtime);
			*runtime_reply(i->runtime) = (struct buf)BUF_INIT(0);
		}
		return;
	}
	if (i->runtime && conclude_by_verdict(i))
		return;
	conclude_without_verdict(i);
}

/* ---- record, timeline, log ----------------------------------------------- */

static void phase(struct buf *b, const char *name, int64_t us)
{
	buf_printf(b, "%s\"%s\":%" PRId64, b->len > 1 ? "," : "", name, us);
}

/*
 * Each phase in microseconds, in order: queue (body read to start), what keeper
 * marked (a mark lasts until the next), init (channel: exec to ready), run
 * (to the verdict), end (until the sandbox was gone), and first_byte from the
 * start of run, total from the body's end.
 */
static void write_timeline(struct invocation *i)
{
	struct buf b = BUF_INIT(sizeof(i->record.timeline) - 2);
	buf_puts(&b, "{");
	phase(&b, "queue", between_us(i->body_ns, i->start_ns));
	int64_t run_ns = i->ready_ns ? i->ready_ns : i->launched_ns;
	if (i->has_launched) {
		const struct msg_mark *m = i->launched.mark;
		if (m[0].name[0])
			phase(&b, "ask", between_us(i->start_ns, (int64_t)m[0].wall_ns));
		for (size_t k = 0; k < MSG_MARKS_MAX && m[k].name[0]; k++) {
			bool more = k + 1 < MSG_MARKS_MAX && m[k + 1].name[0];
			phase(&b, m[k].name, between_us((int64_t)m[k].wall_ns, more ? (int64_t)m[k + 1].wall_ns : i->launched_ns));
		}
		if (i->ready_ns)
			phase(&b, "init", between_us(i->launched_ns, i->ready_ns));
		if (i->first_byte_ns)
			phase(&b, "first_byte", between_us(run_ns, i->first_byte_ns));
		phase(&b, "run", between_us(run_ns, i->verdict_ns));
		phase(&b, "end", between_us(i->verdict_ns, i->ended_ns));
	}
	phase(&b, "total", between_us(i->body_ns, i->ended_ns));
	str_copy(i->record.timeline, sizeof(i->record.timeline), b.data ? b.data : "{");
	size_t n = strlen(i->record.timeline);
	assert(n + 1 < sizeof(i->record.timeline));
	memcpy(i->record.timeline + n, "}", 2);
	buf_fini(&b);
}

static void fill_record(struct invocation *i)
{
	struct meter_record *r = &i->record;
	struct stats *s = i->table->env.stats;
	int64_t billed_us = between_us(i->launched_ns, i->verdict_ns);
	r->outcome = i->result.outcome;
	r->wall_us = (uint64_t)between_us(i->start_ns, i->ended_ns);
	r->billed_ms = i->has_launched ? (uint64_t)(billed_us + 999) / 1000 : 0;
	if (i->has_launched && r->billed_ms == 0)
		r->billed_ms = 1;
	if (r->outcome == OUTCOME_OOM_TENANT || r->outcome == OUTCOME_OOM_NODE)
		r->billed_ms = 0;
	if (i->has_exited && (i->exited.have & MSG_HAVE_CPU))
		r->cpu_us = (int64_t)i->exited.cpu_us;
	if (peak_bytes(i))
		r->peak_bytes = (int64_t)peak_bytes(i);
	s->billed_ms += r->billed_ms;
	s->cpu_us += r->cpu_us == METER_UNKNOWN ? 0 : (uint64_t)r->cpu_us;
	s->reply_bytes += i->runtime ? runtime_received(i->runtime) : 0;
	stats_call(s, r->outcome, (uint64_t)between_us(i->body_ns, i->ended_ns));
}

static void fill_log_tail(struct invocation *i)
{
	const struct buf *text = &i->log.text;
	size_t n = text->len < LOG_TAIL ? text->len : LOG_TAIL;
	struct buf *tail = &i->result.log_tail;
	*tail = (struct buf)BUF_INIT(LOG_TAIL + 256);
	if (n)
		buf_append(tail, text->data + text->len - n, n);
	buf_printf(tail, "\n\nDuration: %.2f ms, Billed Duration: %" PRIu64 " ms, Memory Size: %" PRIu32
			 " MB, Max Memory Used: %.2f MB\n",
		   (double)i->result.run_us / 1000, i->record.billed_ms, i->function->f.memory_mb,
		   (double)peak_bytes(i) / 1048576);
}

void invocation_conclude(struct invocation *i)
{
	struct invocation_result *r = &i->result;
	r->started = true;
	conclude_outcome(i);
	write_timeline(i);
	fill_record(i);
	r->run_us = (uint64_t)between_us(i->ready_ns ? i->ready_ns : i->launched_ns, i->verdict_ns);
	r->billed_ms = i->record.billed_ms;
	r->peak_bytes = peak_bytes(i);
	r->timeline = i->record.timeline;
	if (i->log_tail)
		fill_log_tail(i);
	logs_store(i->table->env.logs, &i->log, i->request_id, i->function->tenant, i->function->f.name, i->start_ms);
	meter_end(i->table->env.meter, i->slot, &i->record);
}
