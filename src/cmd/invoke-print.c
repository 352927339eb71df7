#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "cmd/invoke.h"

static const struct {
	const char *name;
	enum cmd_exit exit;
} outcomes[INVOKE_OUTCOME_MAX] = {
#define X(upper, lower, status) [INVOKE_##upper] = { #lower, status },
	INVOKE_OUTCOMES(X)
#undef X
};

const char *invoke_outcome_name(enum invoke_outcome o) { return outcomes[o].name; }

static const char *const launch_names[LAUNCH_PHASE_MAX] = {
#define X(name) #name,
	LAUNCH_PHASES(X)
#undef X
};

static const char *const stage_names[STAGE_MAX] = {
#define STAGE(name, text) #name,
#include "sandbox/stages.def"
#undef STAGE
};

static double us(uint64_t from, uint64_t to) { return to > from ? (double)(to - from) / 1000 : 0; }

/*
 * Each row: how long until the next point, and how much of that the process
 * did not run (it waited for the kernel or for the other half).
 */
static void print_row(const char *who, const char *name, uint64_t wall0, uint64_t wall1, uint64_t cpu0, uint64_t cpu1,
		      uint64_t begin)
{
	double wall = us(wall0, wall1), cpu = us(cpu0, cpu1);
	fprintf(stderr, "%-9s %-12s %9.0f %9.0f %9.0f\n", who, name, us(begin, wall0), wall, wall > cpu ? wall - cpu : 0);
}

static void print_timing(const struct invoke *v)
{
	const struct launch_times *t = &v->sandbox.times;
	const struct report *r = &v->running;

	fprintf(stderr, "%-9s %-12s %9s %9s %9s\n", "process", "phase", "start us", "took us", "blocked");
	fprintf(stderr, "%-9s %-12s %9.0f %9.0f %9s\n", "fc-run", "prepare", 0.0, us(v->begin_ns, t->wall_ns[LAUNCH_begin]), "-");
	for (int i = 0; i + 1 < LAUNCH_PHASE_MAX; i++) /* a phase ends at its own stamp */
		print_row("fc-run", launch_names[i + 1], t->wall_ns[i], t->wall_ns[i + 1], t->cpu_ns[i], t->cpu_ns[i + 1], v->begin_ns);
	for (int i = 0; r->kind && i < STAGE_MAX; i++)
		print_row("sandbox", stage_names[i], r->wall_ns[i], r->wall_ns[i + 1], r->cpu_ns[i], r->cpu_ns[i + 1], v->begin_ns);
	if (r->kind && v->ready_ns)
		fprintf(stderr, "%-9s %-12s %9.0f %9.0f %9s\n", "function", "init", us(v->begin_ns, r->wall_ns[STAGE_MAX]),
			us(r->wall_ns[STAGE_MAX], v->ready_ns), "-");
	if (v->first_byte_ns)
		fprintf(stderr, "%-9s %-12s %9.0f %9s %9s\n", "function", "first byte", us(v->begin_ns, v->first_byte_ns), "-", "-");
	if (v->exited.kind)
		fprintf(stderr, "%-9s %-12s %9.0f %9s %9s\n", "function", "exit", us(v->begin_ns, v->exited.exit_ns), "-", "-");
	fprintf(stderr, "%-9s %-12s %9.0f %9s %9s\n", "fc-run", "end", us(v->begin_ns, v->end_ns), "-", "-");
}

static json_t *timeline(const struct invoke *v)
{
	const struct launch_times *t = &v->sandbox.times;
	json_t *o = json_object();
	json_object_set_new(o, "prepareUs", json_real(us(v->begin_ns, t->wall_ns[LAUNCH_begin])));
	for (int i = 1; i < LAUNCH_PHASE_MAX; i++) {
		char key[32];
		snprintf(key, sizeof(key), "%sUs", launch_names[i]);
		json_object_set_new(o, key, json_real(us(t->wall_ns[i - 1], t->wall_ns[i])));
	}
	json_t *stages = json_object();
	for (int i = 0; v->running.kind && i < STAGE_MAX; i++)
		json_object_set_new(stages, stage_names[i], json_real(us(v->running.wall_ns[i], v->running.wall_ns[i + 1])));
	json_object_set_new(o, "stagesUs", stages);
	if (v->ready_ns)
		json_object_set_new(o, "initUs", json_real(us(v->running.wall_ns[STAGE_MAX], v->ready_ns)));
	if (v->running.kind)
		json_object_set_new(o, "execAtUs", json_real(us(v->begin_ns, v->running.wall_ns[STAGE_MAX])));
	if (v->exited.kind)
		json_object_set_new(o, "exitAtUs", json_real(us(v->begin_ns, v->exited.exit_ns)));
	if (v->first_byte_ns)
		json_object_set_new(o, "firstByteUs", json_real(us(v->begin_ns, v->first_byte_ns)));
	json_object_set_new(o, "totalUs", json_real(us(v->begin_ns, v->end_ns)));
	return o;
}

/* The record's names are those of the agent's ledger (fcnode-api(7), /usage). */
static json_t *usage_record(const struct invoke *v)
{
	uint64_t ms = (v->end_ns - v->begin_ns + 999999) / 1000000;
	uint64_t cpu = v->have_usage && v->usage.have_cpu ? v->usage.cpu_us : v->exited.user_us + v->exited.system_us;
	uint64_t peak = v->have_usage && v->usage.have_peak ? v->usage.memory_peak_bytes : v->exited.maxrss_kib * 1024;
	json_t *o = json_object();
	json_object_set_new(o, "requestId", json_string(v->instance));
	json_object_set_new(o, "functionName", json_string(v->function.name ? v->function.name : "function"));
	json_object_set_new(o, "startMs", json_integer(v->start_ms));
	json_object_set_new(o, "wallMs", json_integer((json_int_t)ms));
	json_object_set_new(o, "memoryLimitBytes", json_integer(v->limited ? (json_int_t)v->memory_bytes : 0));
	json_object_set_new(o, "gbSeconds", json_real((double)v->memory_bytes / (1 << 30) * (double)ms / 1000));
	json_object_set_new(o, "cpuUs", json_integer((json_int_t)cpu));
	json_object_set_new(o, "peakMemoryBytes", json_integer((json_int_t)peak));
	json_object_set_new(o, "measuredBy", json_string(v->have_usage && v->usage.have_cpu ? "cgroup" : "rusage"));
	json_object_set_new(o, "outcome", json_string(outcomes[v->outcome].name));
	json_object_set_new(o, "served", json_string("cold"));
	json_object_set_new(o, "timeline", timeline(v));
	return o;
}

static int write_usage(const struct invoke *v, struct err *err)
{
	json_t *o = usage_record(v);
	char *text = json_dumps(o, JSON_REAL_PRECISION(6));
	json_decref(o);
	autoclose int fd = open(v->opts->usage, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int r = fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
	if (r == 0)
		r = fd_write_all(fd, "\n", 1);
	free(text);
	return r < 0 ? err_set(err, -r, "write the usage record %s", v->opts->usage) : 0;
}

/* A reply is bytes: as JSON when it is JSON, as a string when it is UTF-8, else in base64 under another key. */
static void set_reply(json_t *o, const struct buf *reply)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	json_t *v = reply->len ? json_loadb(reply->data, reply->len, JSON_DECODE_ANY, NULL) : json_string("");
	if (!v)
		v = json_stringn(reply->data, reply->len);
	if (v) {
		json_object_set_new(o, "reply", v);
		return;
	}
	const unsigned char *p = (const unsigned char *)reply->data;
	char *text = malloc(reply->len / 3 * 4 + 5), *w = text;
	for (size_t i = 0; text && i < reply->len; i += 3) {
		size_t left = reply->len - i;
		unsigned n = (unsigned)p[i] << 16 | (left > 1 ? (unsigned)p[i + 1] << 8 : 0) | (left > 2 ? p[i + 2] : 0);
		*w++ = digits[n >> 18 & 63];
		*w++ = digits[n >> 12 & 63];
		*w++ = left > 1 ? digits[n >> 6 & 63] : '=';
		*w++ = left > 2 ? digits[n & 63] : '=';
	}
	if (text)
		json_object_set_new(o, "replyBase64", json_stringn(text, (size_t)(w - text)));
	free(text);
}

static void print_json(const struct invoke *v)
{
	json_t *o = json_object();
	json_object_set_new(o, "outcome", json_string(outcomes[v->outcome].name));
	if (v->outcome == INVOKE_OK)
		set_reply(o, &v->reply);
	if (v->error_json.len && v->outcome == INVOKE_FUNCTION_ERROR) {
		json_t *e = json_loadb(v->error_json.data, v->error_json.len, 0, NULL);
		json_object_set_new(o, "error", e ? e : json_stringn(v->error_json.data, v->error_json.len));
	} else if (v->err.text[0]) {
		json_object_set_new(o, "error", json_pack("{ss}", "errorMessage", v->err.text));
	}
	json_object_set_new(o, "usage", usage_record(v));
	json_dumpf(o, stdout, JSON_REAL_PRECISION(6));
	putchar('\n');
	json_decref(o);
}

/* {"errorType","errorMessage","stackTrace"} as a person reads it. */
static void print_function_error(const struct invoke *v)
{
	json_t *e = json_loadb(v->error_json.data ? v->error_json.data : "", v->error_json.len, 0, NULL);
	const char *type = json_string_value(json_object_get(e, "errorType"));
	const char *message = json_string_value(json_object_get(e, "errorMessage"));
	fprintf(stderr, "fc-run: the function failed: %s%s%s\n", type ? type : "", type ? ": " : "",
		message ? message : "it sent an error that is not JSON");
	size_t i;
	json_t *line;
	json_array_foreach(json_object_get(e, "stackTrace"), i, line)
		if (json_is_string(line))
			fprintf(stderr, "  %s\n", json_string_value(line));
	json_decref(e);
}

static int exit_status(const struct invoke *v)
{
	if (v->outcome == INVOKE_INTERRUPTED)
		return 128 + v->interrupted;
	if (v->outcome != INVOKE_LAUNCH_FAILED)
		return outcomes[v->outcome].exit;
	switch (v->err.code) {
	case ENOENT: case EACCES: case ENOEXEC: case ENOTDIR: case ELOOP:
		return CMD_BAD_INPUT;
	case ENOSPC: case EPERM: case ENOSYS: case EOPNOTSUPP: case ENOMEM: case EMFILE: case ENFILE: case ENODEV:
		return CMD_HOST;
	default:
		return CMD_INTERNAL;
	}
}

/* What the function left in its /tmp goes to the caller; nothing of it may be setuid or a device. */
static int take_over(int dirfd, const char *name, uid_t uid, gid_t gid, int depth)
{
	struct stat st;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode))
		return unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
	if (fchownat(dirfd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return 0; /* a chown by root cleared setuid bits (chown(2)) */
	if (depth > 128)
		return -ELOOP;
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	autodir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return -errno;
	int r = 0;
	for (struct dirent *e; r == 0 && (e = readdir(d));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = take_over(fd, e->d_name, uid, gid, depth + 1);
	return r;
}

int invoke_print(struct invoke *v)
{
	struct err err = ERR_INIT;
	int status = exit_status(v), r = 0;

	if (v->opts->tmp_output && geteuid() == 0) {
		char dir[PATH_MAX]; /* it may have been named by a symlink; what is in it is not followed */
		r = realpath(v->opts->tmp_output, dir) ? take_over(AT_FDCWD, dir, geteuid(), getegid(), 0) : -errno;
		if (r < 0)
			err_set(&err, -r, "take over --tmp-output %s", v->opts->tmp_output);
	}
	if (v->opts->timing)
		print_timing(v);
	if (r == 0 && v->opts->usage)
		r = write_usage(v, &err);
	if (v->opts->format == 1)
		print_json(v);
	else if (v->outcome == INVOKE_OK)
		r = fd_write_all(STDOUT_FILENO, v->reply.data, v->reply.len) < 0 ? err_set(&err, errno, "write the reply") : r;
	else if (v->outcome == INVOKE_FUNCTION_ERROR)
		print_function_error(v);
	else
		err_print(&v->err, "fc-run");
	if (r < 0) {
		err_print(&err, "fc-run");
		return status == CMD_OK ? CMD_HOST : status;
	}
	return status;
}
