/*
 * oci-hooks - hooks that run in the caller's namespaces: prestart,
 * createRuntime, poststart, poststop (runtime-spec, config.md, "POSIX-platform
 * Hooks"). createContainer and startContainer are fc-sandbox's.
 *
 * A hook gets the state on stdin, exactly its own argv and env, the bundle as
 * its working directory and none of our descriptors. What it prints becomes
 * part of the error when it fails, for an engine's user sees nothing else.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "cmd/oci.h"

enum { HOOK_OUTPUT_MAX = 512 };

static const char *const kind_names[] = {
	[SPEC_HOOK_PRESTART] = "prestart",
	[SPEC_HOOK_CREATE_RUNTIME] = "createRuntime",
	[SPEC_HOOK_CREATE_CONTAINER] = "createContainer",
	[SPEC_HOOK_START_CONTAINER] = "startContainer",
	[SPEC_HOOK_POSTSTART] = "poststart",
	[SPEC_HOOK_POSTSTOP] = "poststop",
};
_Static_assert(ARRAY_LEN(kind_names) == SPEC_HOOK_MAX, "a name for each kind of hook");

int oci_state_text(const struct oci *o, enum state_status status, struct buf *out, struct err *err)
{
	autojson json_t *j = state_to_json(&o->dir, &o->state, status, CMD_OCI_VERSION);
	autofree char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	if (!text)
		return err_set(err, ENOMEM, "write the state of container %s", o->dir.id);
	if (buf_puts(out, text) < 0) {
		err_set(err, 0, "container %s: its state is %zu bytes, more than the %zu a hook can be given", o->dir.id,
			strlen(text), out->max);
		return err_hint(err, "use fewer or shorter annotations");
	}
	return 0;
}

/* A NULL-terminated list of words that borrows from the spec. */
static char **word_list(const struct spec *s, uint32_t first, uint32_t count)
{
	uint32_t unused;
	const struct spec_word *w = spec_section(s, SPEC_SECT_WORD, &unused);
	char **list = calloc((size_t)count + 1, sizeof(*list));
	for (uint32_t i = 0; list && i < count; i++)
		list[i] = (char *)(uintptr_t)spec_text(s, w[first + i].text);
	return list;
}

struct hook_child {
	const char *path, *dir;
	char **argv, **env;
	int in, out, failed;         /* failed: errno goes there when execve fails, closed by it otherwise */
};

__attribute__((noreturn)) static void hook_exec(const struct hook_child *h)
{
	sigset_t none;
	sigemptyset(&none);
	for (int sig = 1; sig <= SIGRTMAX; sig++)
		signal(sig, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	int failed = fcntl(h->failed, F_DUPFD_CLOEXEC, 3);
	if (failed >= 0 && dup2(h->in, 0) == 0 && dup2(h->out, 1) == 1 && dup2(h->out, 2) == 2 && chdir(h->dir) == 0) {
		dup3(failed, 3, O_CLOEXEC);
		syscall(SYS_close_range, 4, ~0u, 0);
		execve(h->path, h->argv, h->env);
		failed = 3;
	}
	int code = errno;
	(void)!write(failed, &code, sizeof(code));
	_exit(127);
}

/*
 * Collect output until the hook ended; one that left a daemon behind does not
 * hold us by its pipe. A create hook is pointless once the container it
 * prepares is dead (delete --force does that to a create that hangs here).
 */
static int hook_collect(int pidfd, int container, int out, uint32_t timeout_s, char *text, size_t size)
{
	int64_t deadline = clock_mono_ns() + (int64_t)timeout_s * 1000000000;
	size_t len = 0;
	int r = 0;

	fd_set_nonblock(out);
	for (bool ended = false; !ended;) {
		struct pollfd p[] = { { .fd = pidfd, .events = POLLIN },
				      { .fd = out, .events = POLLIN },
				      { .fd = container, .events = POLLIN } };
		int64_t left = (deadline - clock_mono_ns() + 999999) / 1000000;
		int n = poll(p, ARRAY_LEN(p), timeout_s ? left > 0 ? (int)left : 0 : -1);
		if (n < 0 && errno != EINTR)
			r = -errno;
		else if (n == 0)
			r = -ETIMEDOUT;
		else if (p[2].revents && !p[0].revents)
			r = -ESRCH;
		if (r < 0)
			break;
		ended = n > 0 && p[0].revents;
		for (;;) {
			char chunk[1024];
			ssize_t got = read(out, chunk, sizeof(chunk));
			if (got == 0) { /* it closed its output: only the end is left to wait for */
				close(out);
				out = -1;
			}
			if (got <= 0)
				break;
			for (ssize_t i = 0; i < got && len + 1 < size; i++)
				text[len++] = chunk[i];
		}
	}
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
		len--;
	text[len] = '\0';
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	if (out >= 0)
		close(out);
	return r;
}

static int hook_result(const char *name, const struct spec_hook *h, int waited, int status, const char *output,
		       struct err *err)
{
	const char *sep = *output ? ": " : "";
	if (waited == -ETIMEDOUT) {
		err_set(err, 0, "%s: killed after its timeout of %u s%s%s", name, h->timeout_s, sep, output);
		err_hint(err, "see hooks[].timeout in config.json");
		return -ETIMEDOUT;
	}
	if (waited == -ESRCH)
		return err_set(err, 0, "%s: killed, because the container was", name);
	if (waited < 0)
		return err_set(err, -waited, "%s: wait for it", name);
	if (WIFSIGNALED(status))
		return err_set(err, 0, "%s: ended by signal %d (%s)%s%s", name, WTERMSIG(status),
			       strsignal(WTERMSIG(status)), sep, output);
	if (WEXITSTATUS(status))
		return err_set(err, 0, "%s: exit status %d%s%s", name, WEXITSTATUS(status), sep, output);
	return 0;
}

static int hook_spawn(struct hook_child *h, int state_fd, int *out, struct proc *proc, struct err *err)
{
	int output[2] = { -1, -1 }, failed[2] = { -1, -1 };

	if (pipe2(output, O_CLOEXEC) < 0 || pipe2(failed, O_CLOEXEC) < 0) {
		int code = errno;
		cleanup_close(&output[0]);
		cleanup_close(&output[1]);
		return err_set(err, code, "make pipes");
	}
	h->in = state_fd;
	h->out = output[1];
	h->failed = failed[1];
	pid_t pid = fork();
	if (pid == 0)
		hook_exec(h);
	int code = pid < 0 ? errno : 0;
	close(output[1]);
	close(failed[1]);
	if (pid > 0 && fd_read_all(failed[0], &code, sizeof(code)) < 0)
		code = 0; /* closed by execve */
	close(failed[0]);
	if (code) {
		close(output[0]);
		if (pid > 0)
			waitpid(pid, NULL, 0);
		return err_set(err, code, "execute it");
	}
	*out = output[0];
	proc->pid = pid;
	proc->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	return 0;
}

static int hook_run(struct oci *o, const struct spec_hook *h, const char *state, size_t len, struct err *err)
{
	const struct spec *s = oci_spec(o);
	char name[320], output[HOOK_OUTPUT_MAX] = "";
	struct proc proc = PROC_INIT;
	int out = -1, status = 0;

	snprintf(name, sizeof(name), "%s hook %s", kind_names[h->kind], spec_text(s, h->path));
	autofree char **argv = word_list(s, h->argv_first, h->argv_count);
	autofree char **env = word_list(s, h->env_first, h->env_count);
	autoclose int in = memfd_create("state", MFD_CLOEXEC);
	if (!argv || !env || in < 0 || fd_write_all(in, state, len) < 0 || lseek(in, 0, SEEK_SET) < 0)
		return err_set(err, errno ? errno : ENOMEM, "%s: prepare its input", name);

	char *own_name[] = { (char *)(uintptr_t)spec_text(s, h->path), NULL };
	struct hook_child child = { .path = spec_text(s, h->path), .dir = o->state.bundle,
				    .argv = argv[0] ? argv : own_name, .env = env };
	if (hook_spawn(&child, in, &out, &proc, err) < 0)
		return err_wrap(err, "%s", name);
	int container = o->has_sandbox && h->kind <= SPEC_HOOK_CREATE_RUNTIME ? o->sandbox.proc.pidfd : -1;
	int waited = hook_collect(proc.pidfd, container, out, h->timeout_s, output, sizeof(output));
	if (waited < 0)
		proc_signal(&proc, SIGKILL);
	int r = proc_reap(&proc, &status, NULL);
	proc_fini(&proc);
	return hook_result(name, h, waited < 0 ? waited : r, status, output, err);
}

int oci_hooks(struct oci *o, enum spec_hook_kind kind, enum state_status status, struct err *err)
{
	if (o->spec.len == 0)
		return 0;
	autobuf struct buf state = BUF_INIT(GO_STATE_MAX);
	SPEC_EACH(oci_spec(o), HOOK, struct spec_hook, h) {
		if (h->kind != (uint32_t)kind)
			continue;
		if (state.len == 0 && oci_state_text(o, status, &state, err) < 0)
			return -err->code;
		oci_debug(o, "%s hook %s", kind_names[kind], spec_text(oci_spec(o), h->path));
		int r = hook_run(o, h, state.data, state.len, err);
		if (r < 0 && kind != SPEC_HOOK_POSTSTOP)
			return r;
		if (r < 0) /* runtime.md, lifecycle: the remaining poststop hooks run all the same */
			cmd_report(o->g, "warning", err);
	}
	return 0;
}
