#include "cmd/oci.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/str.h"

void oci_init(struct oci *o, const struct cmd_globals *g)
{
	memset(o, 0, sizeof(*o));
	o->g = g;
	o->dir.fd = -1;
	o->console_fd = o->engine_fd = o->master = -1;
	o->spec.max = SPEC_SIZE_MAX;
	o->payload.max = PAYLOAD_SIZE_MAX;
	o->sandbox = (struct sandbox)SANDBOX_INIT;
}

void oci_fini(struct oci *o)
{
	buf_fini(&o->spec);
	buf_fini(&o->payload);
	if (o->has_sandbox) { /* let go of it; the container goes on */
		cleanup_close(&o->sandbox.status_fd);
		if (o->sandbox.has_cgroup)
			cgroup_fini(&o->sandbox.cgroup);
		proc_fini(&o->sandbox.proc);
		o->has_sandbox = false;
	}
	cleanup_close(&o->console_fd);
	cleanup_close(&o->engine_fd);
	cleanup_close(&o->master);
	state_fini(&o->state);
	state_dir_fini(&o->dir);
	if (o->host_ready)
		cgroup_host_fini(&o->host);
	o->host_ready = false;
}

void oci_debug(const struct oci *o, const char *fmt, ...)
{
	struct err line = ERR_INIT;
	va_list ap;
	if (!o->g->debug)
		return;
	va_start(ap, fmt);
	vsnprintf(line.text, sizeof(line.text), fmt, ap);
	va_end(ap);
	cmd_report(o->g, "debug", &line);
}

int oci_open(struct oci *o, const char *id, bool lock, struct err *err)
{
	int r = state_dir_open(o->g->root, id, &o->dir, err);
	if (r == 0 && lock)
		r = state_dir_lock(&o->dir, /* wait= */ true, err);
	return r < 0 ? r : state_read(&o->dir, &o->state, err);
}

int oci_load_spec(struct oci *o, struct err *err)
{
	autoclose int fd = openat(o->dir.fd, "spec", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	buf_reset(&o->spec);
	int r = fd < 0 ? -errno : buf_read_fd(&o->spec, fd);
	if (r < 0)
		return err_set(err, -r, "read %s/spec", o->dir.path);
	const char *what = "";
	if (spec_check(o->spec.data, o->spec.len, &what) < 0) {
		buf_reset(&o->spec);
		return err_set(err, 0, "%s/spec is damaged: %s", o->dir.path, what);
	}
	return 0;
}

/* strerror's words at the end of the text, in lower case as Go writes them. */
static void lower_system_words(struct err *err)
{
	const char *words = err->code ? strerror(err->code) : "";
	size_t n = strlen(err->text), len = strlen(words);
	if (len == 0 || n < len)
		return;
	char *p = err->text + n - len;
	if (strcmp(p, words) == 0 && *p >= 'A' && *p <= 'Z' && !(p[1] >= 'A' && p[1] <= 'Z'))
		*p = (char)(*p - 'A' + 'a');
}

int oci_fail(const struct cmd_globals *g, struct err *err)
{
	lower_system_words(err);
	cmd_report(g, "error", err);
	return 1;
}

int oci_parse(const struct opt *table, const char *usage, int argc, char **argv, size_t min, size_t max, void *dest,
	      struct err *err)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			printf("usage: fc-run [option ...] %s\n\nOptions:\n", usage);
			opts_help(table, stdout);
			return 0;
		}
	}
	int first = opts_parse(table, argc, argv, /* permute= */ true, dest, err);
	if (first < 0)
		return err_wrap(err, "%s", argv[0]);
	size_t operands = (size_t)(argc - first);
	if (operands < min || operands > max) {
		err_set(err, 0, "%s: %s", argv[0], operands < min ? "a container id is missing" : "too many arguments");
		return err_hint(err, "usage: fc-run %s", usage);
	}
	return first;
}

/* RTMIN+n and RTMAX-n, as kill(1) writes them. */
static int real_time(const char *name)
{
	uint64_t n = 0;
	int base = str_starts(name, "RTMIN") ? SIGRTMIN : str_starts(name, "RTMAX") ? SIGRTMAX : 0;
	const char *rest = name + 5;
	if (!base)
		return 0;
	if (*rest && (*rest != (base == SIGRTMIN ? '+' : '-') || str_to_u64(rest + 1, &n) < 0 || n > 64))
		return 0;
	int sig = base == SIGRTMIN ? base + (int)n : base - (int)n;
	return sig >= SIGRTMIN && sig <= SIGRTMAX ? sig : 0;
}

int oci_signal(const char *text, struct err *err)
{
	char name[16] = "";
	uint64_t number;

	if (str_to_u64(text, &number) == 0 && number >= 1 && number <= 64)
		return (int)number;
	for (size_t i = 0; text[i] && i + 1 < sizeof(name); i++)
		name[i] = (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - 'a' + 'A' : text[i]);
	const char *p = str_starts(name, "SIG") ? name + 3 : name;
	for (int sig = 1; sig < 32; sig++) {
		const char *known = sigabbrev_np(sig);
		if (known && strcmp(known, p) == 0)
			return sig;
	}
	int sig = real_time(p);
	if (sig)
		return sig;
	err_set(err, 0, "unknown signal \"%.32s\"", text);
	return err_hint(err, "give a name (TERM, SIGKILL, RTMIN+1) or a number from 1 to 64");
}
