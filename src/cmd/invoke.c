#include "cmd/invoke.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/str.h"

#define O(field) offsetof(struct invoke_opts, field)

static const struct opt options[] = {
	{ "handler", 0, OPT_STR, O(handler), "H", "python3, nodejs: module.function; stdio: path below CODE (default: bootstrap)", NULL, 0, 0 },
	{ "runtime", 0, OPT_STR, O(runtime), "R", "stdio, python3 or nodejs (default: by the code)", NULL, 0, 0 },
	{ "event", 'e', OPT_STR, O(event), "JSON|@FILE|-", "the event: JSON text, a file's bytes, or standard input (default {})", NULL, 0, 0 },
	{ "image", 0, OPT_STR, O(image), "NAME|DIR", "root file system: host (this host's /usr, the default), an image by name, or a directory", NULL, 0, 0 },
	{ "manifest", 0, OPT_STR, O(manifest), "FILE", "function manifest (default: fcnode.json in CODE)", NULL, 0, 0 },
	{ "memory", 'm', OPT_BYTES, O(memory), "SIZE", "memory limit (default 512M)", NULL, 4 << 20, 1ull << 46 },
	{ "cpu", 0, OPT_MILLI, O(cpu), "N", "cpu limit in cores, 0.05 to 64 (default: none)", NULL, FUNCTION_CPU_MILLI_MIN, FUNCTION_CPU_MILLI_MAX },
	{ "pids", 0, OPT_U64, O(pids), "N", "most processes and threads (default 512)", NULL, 2, 1 << 22 },
	{ "timeout", 't', OPT_MS, O(timeout), "TIME", "most time from start to reply (default 60s)", NULL, 1, 86400000 },
	{ "tmp-size", 0, OPT_BYTES, O(tmp_size), "SIZE", "size of /tmp (default 512M)", NULL, 4096, 1ull << 46 },
	{ "max-reply", 0, OPT_BYTES, O(max_reply), "SIZE", "largest reply (default 32M)", NULL, 1, 1ull << 32 },
	{ "network", 0, OPT_ENUM, O(network), NULL, "network: only loopback, or this host's (default none)", "none|host", 0, 0 },
	{ "env", 0, OPT_LIST, O(env), "K=V", "set an environment variable; may be repeated", NULL, 0, 0 },
	{ "tmp-output", 0, OPT_STR, O(tmp_output), "DIR", "show DIR (made or empty) at /tmp, to keep what is written there", NULL, 0, 0 },
	{ "unlimited", 0, OPT_FLAG, O(unlimited), NULL, "run without memory, cpu and process limits", NULL, 0, 0 },
	{ "timing", 0, OPT_FLAG, O(timing), NULL, "print the phases of the start to standard error", NULL, 0, 0 },
	{ "usage", 0, OPT_STR, O(usage), "FILE", "write the usage record (JSON) to FILE", NULL, 0, 0 },
	{ "format", 0, OPT_ENUM, O(format), NULL, "what is printed: the bare reply, or one JSON object (default text)", "text|json", 0, 0 },
	{ "without", 0, OPT_LIST, O(without), "FEATURE", "act as if the kernel lacked FEATURE (tests); may be repeated", NULL, 0, 0 },
	{ "help", 'h', OPT_FLAG, O(help), NULL, "print this help", NULL, 0, 0 },
	{ NULL, 0, OPT_FLAG, 0, NULL, NULL, NULL, 0, 0 },
};

static void print_help(void)
{
	printf("Usage: fc-run invoke [OPTION]... CODE\n\n"
	       "Run a function once in a fresh sandbox and print its reply.\n"
	       "CODE is a directory, a .zip, .tar, .tar.gz, .tar.xz or .tar.zst, or one executable.\n\n");
	opts_help(options, stdout);
	printf("\nExit status: 0 replied, 1 function error, 2 bad input, 3 timeout, 4 out of memory,\n"
	       "5 this host cannot do it, 6 internal error. See fc-run(1).\n");
}

static int read_event(const char *text, struct buf *out, struct err *err)
{
	out->max = INVOKE_EVENT_MAX;
	if (!text)
		return buf_puts(out, "{}");
	if (strcmp(text, "-") != 0 && text[0] != '@') {
		autojson json_t *v = json_parse(text, strlen(text), "--event", err);
		if (!v)
			return err_hint(err, "give JSON text, @FILE for a file's bytes, or - for standard input");
		return buf_puts(out, text);
	}
	const char *name = text[0] == '@' ? text + 1 : "standard input";
	autoclose int fd = text[0] == '@' ? open(text + 1, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
	if (fd < 0)
		return err_set(err, errno, "open the event %s", name);
	int r = buf_read_fd(out, fd);
	if (r == -EMSGSIZE)
		return err_set(err, EFBIG, "read the event from %s: more than %d bytes", name, INVOKE_EVENT_MAX);
	return r < 0 ? err_set(err, -r, "read the event from %s", name) : 0;
}

/* What was typed wins over the manifest. */
static int apply_options(struct invoke *v, struct err *err)
{
	const struct invoke_opts *o = v->opts;
	struct function *f = &v->function;
	int r = o->runtime ? function_runtime_parse(o->runtime, &f->runtime, &f->runtime_as, err) : 0;
	if (r < 0)
		return err_wrap(err, "--runtime");
	if (o->handler) {
		free(f->handler);
		f->handler = strdup(o->handler);
	}
	if (o->tmp_size != INVOKE_UNSET && o->tmp_output) {
		err_set(err, 0, "--tmp-size does not go with --tmp-output");
		return err_hint(err, "a directory of this host has the size of its file system");
	}
	for (size_t i = 0; i < o->env.count && r == 0; i++) {
		char name[256];
		const char *eq = strchr(o->env.item[i], '=');
		if (!eq || (size_t)(eq - o->env.item[i]) >= sizeof(name))
			return err_set(err, 0, "--env %s: not of the form NAME=VALUE", o->env.item[i]);
		memcpy(name, o->env.item[i], (size_t)(eq - o->env.item[i]));
		name[eq - o->env.item[i]] = '\0';
		r = function_env_set(f, name, eq + 1, err);
	}
	if (r < 0)
		return err_wrap(err, "--env");
	if (!f->name) /* code without a manifest need not have one; the rules below want it */
		f->name = strdup("function");
	if (f->runtime == FUNCTION_CUSTOM || f->runtime == FUNCTION_PROVIDED) {
		err_set(err, 0, "runtime %s: fc-run cannot call it", function_runtime_name(f->runtime));
		return err_hint(err, "an agent can: fcctl deploy (fcctl(1))");
	}
	return function_check(f, err);
}

/* Whose fault an error is: the host's, or the caller's input. */
enum cmd_exit invoke_exit_status(int r)
{
	switch (-r) {
	case ENOSPC: case EDQUOT: case EROFS: case EMFILE: case ENFILE: case ENOMEM: case EAGAIN: case ENOSYS: case EIO:
	case EPERM: case EOPNOTSUPP: case ENOPKG:
		return CMD_HOST;
	default:
		return CMD_BAD_INPUT;
	}
}

/* The signals that end a call, in an orderly way as soon as there is something to remove. */
static void ending_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
}

/* Blocked before the first thread is made, so that no thread of ours ever takes one. */
static int open_signals(struct invoke *v)
{
	sigset_t set;
	ending_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	v->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return v->signal_fd < 0 ? err_set(&v->err, errno, "make a descriptor for signals") : 0;
}

static int prepare(struct invoke *v, const char *code)
{
	sigset_t set;
	ending_signals(&set);
	/* the event may come from a terminal, and nothing is made yet */
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	int r = read_event(v->opts->event, &v->event, &v->err);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (r == 0)
		r = invoke_code_open(code, v->opts, v->signal_fd, &v->function, &v->code, &v->err);
	if (r == -ECANCELED && invoke_take_signal(v))
		return 128 + v->interrupted;
	if (r == 0)
		r = apply_options(v, &v->err);
	return r < 0 ? invoke_exit_status(r) : CMD_OK;
}

static void finish(struct invoke *v)
{
	cleanup_close(&v->event_fd);
	cleanup_close(&v->reply_fd);
	cleanup_close(&v->log_fd);
	cleanup_close(&v->signal_fd);
	net_ahead_drop(&v->net);
	sandbox_fini(&v->sandbox);
	invoke_sweep(v);
	invoke_code_close(&v->code);
	if (v->have_host)
		cgroup_host_fini(&v->host);
	function_fini(&v->function);
	buf_fini(&v->event);
	buf_fini(&v->reply);
	buf_fini(&v->error_json);
}

int cmd_invoke(int argc, char **argv, const struct cmd_globals *g)
{
	struct invoke_opts o = {
		.memory = INVOKE_UNSET, .cpu = INVOKE_UNSET, .pids = INVOKE_UNSET, .timeout = INVOKE_UNSET,
		.tmp_size = INVOKE_UNSET, .max_reply = INVOKE_REPLY_MAX,
	};
	static struct invoke v; /* large: keep it off the stack */
	v = (struct invoke){
		.opts = &o, .sandbox = SANDBOX_INIT, .event_fd = -1, .reply_fd = -1, .log_fd = -1, .signal_fd = -1, .oom_level = CGROUP_OOM_NONE,
		.error_json = BUF_INIT(1 << 20),
		.code.temp_lock = -1,
	};
	int at = opts_parse(options, argc, argv, true, &o, &v.err);
	if (at >= 0 && o.help) {
		print_help();
		return CMD_OK;
	}
	if (at >= 0 && at != argc - 1) {
		err_set(&v.err, 0, at == argc ? "invoke: no CODE given" : "invoke: more than one CODE given");
		at = err_hint(&v.err, "fc-run invoke --help");
	}
	if (at < 0) {
		cmd_report(g, "error", &v.err);
		return CMD_BAD_INPUT;
	}

	v.begin_ns = (uint64_t)clock_mono_ns();
	v.start_ms = clock_real_ms();
	v.reply.max = o.max_reply;
	function_init(&v.function);
	int status = open_signals(&v) < 0 ? CMD_HOST : CMD_OK;
	if (status == CMD_OK && geteuid() == 0 && o.network == 0 && net_ahead_start(&v.net, &v.err) < 0)
		status = CMD_HOST;
	if (status == CMD_OK)
		status = prepare(&v, argv[at]);
	if (status == CMD_OK)
		status = invoke_start(&v);
	if (status == CMD_OK) {
		invoke_call(&v);
		status = invoke_print(&v);
	} else {
		cmd_report(g, "error", &v.err);
	}
	finish(&v);
	return status;
}
