#include "host/probe-internal.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "host/proc.h"

/* Whose rows decide about "fit". */
enum who { NOBODY = 0, ROOT = 1, USER = 2, BOTH = ROOT | USER };

struct probe {
	const char *name;
	probe_fn *fn;
	enum who required;
	const char *needed_for;
};

static const struct probe probes[] = {
	{ "kernel", probe_kernel, NOBODY, "everything; 6.1 is the oldest that is tested" },
	{ "helper.fc-sandbox", probe_helper_sandbox, BOTH, "every start" },
	{ "helper.fc-unpack", probe_helper_unpack, NOBODY, "bundles that are archives" },
	{ "state_dir", probe_state_dir, NOBODY, "code layers, and fc-agent's database" },
	{ "cgroup", probe_cgroup, ROOT, "limits, accounting, killing all of a sandbox at once" },
	{ "cgroup.memory", probe_cgroup_memory, ROOT, "the memory limit" },
	{ "cgroup.swap", probe_cgroup_swap, NOBODY, "the limit of swap" },
	{ "cgroup.cpu", probe_cgroup_cpu, ROOT, "the cpu limit" },
	{ "cgroup.pids", probe_cgroup_pids, ROOT, "the limit of processes" },
	{ "cgroup.cpuset", probe_cgroup_cpuset, NOBODY, "OCI bundles that ask for it" },
	{ "cgroup.io", probe_cgroup_io, NOBODY, "I/O limits" },
	{ "cgroup.hugetlb", probe_cgroup_hugetlb, NOBODY, "OCI bundles that limit huge pages" },
	{ "cgroup.start", probe_cgroup_start, ROOT, "starting a process inside its group (clone3 with CLONE_INTO_CGROUP)" },
	{ "cgroup.kill", probe_cgroup_kill, ROOT, "ending a sandbox" },
	{ "cgroup.freeze", probe_cgroup_freeze, NOBODY, "pause and resume, idle instances" },
	{ "cgroup.peak", probe_memory_peak, NOBODY, "peak memory in usage records" },
	{ "cgroup.delegation", probe_delegation, NOBODY, "limits for an ordinary user" },
	{ "pressure", probe_pressure, NOBODY, "noticing that memory gets short (PSI)" },
	{ "rcu", probe_rcu, NOBODY, "quick moves between cgroups on hybrid hosts (advice only)" },
	{ "userns", probe_userns, BOTH, "every sandbox" },
	{ "userns.range", probe_userns_range, ROOT, "a range of ids of its own for each tenant" },
	{ "userns.user", probe_userns_user, NOBODY, "fc-run as an ordinary user" },
	{ "namespaces", probe_namespaces, BOTH, "every sandbox" },
	{ "namespaces.time", probe_time_ns, NOBODY, "OCI bundles that ask for it" },
	{ "mount.api", probe_mount_api, BOTH, "building a root file system (fsopen, fsmount, move_mount)" },
	{ "mount.overlay", probe_overlay, ROOT, "code, layers and image as one tree" },
	{ "mount.overlay_userns", probe_overlay_userns, BOTH, "the same, mounted inside the sandbox" },
	{ "mount.overlay_append", probe_overlay_append, NOBODY, "layers added one by one (lowerdir+, Linux 6.8); else one option string" },
	{ "mount.overlay_detached", probe_overlay_detached, NOBODY, "layers by descriptor (Linux 6.15); else by attached path" },
	{ "mount.idmap", probe_idmap_state, ROOT, "files of the state directory with a tenant's ids" },
	{ "mount.idmap_tmpfs", probe_idmap_tmpfs, NOBODY, "the same on tmpfs (Linux 6.3)" },
	{ "net.namespace", probe_netns, BOTH, "a network of its own for each sandbox" },
	{ "net.veth", probe_veth, NOBODY, "networks between sandboxes and the host" },
	{ "net.nftables", probe_nftables, NOBODY, "per-tenant network rules" },
	{ "seccomp", probe_seccomp, BOTH, "the system call filter" },
	{ "landlock", probe_landlock, NOBODY, "a second fence around files" },
	{ "landlock.scope", probe_landlock_scope, NOBODY,
	  "with --network host, the host's abstract sockets out of reach (Linux 6.12)" },
	{ "core_pattern", probe_core_pattern, NOBODY, "crashes inside that run nothing outside" },
	{ "pidfd", probe_pidfd, BOTH, "waiting for and signalling exactly our own children" },
	{ "openat2", probe_openat2, BOTH, "paths that cannot leave their root" },
	{ "close_range", probe_close_range, BOTH, "no leaked descriptors" },
	{ "memfd", probe_memfd, BOTH, "the sealed description of a sandbox" },
	{ "descriptors", probe_descriptors, NOBODY, "how many sandboxes fc-agent can hold" },
	{ "runtime.python3", probe_python3, NOBODY, "python3 functions on the image `host'" },
	{ "runtime.nodejs", probe_node, NOBODY, "nodejs functions on the image `host'" },
};
_Static_assert(ARRAY_LEN(probes) <= PROBE_ROWS_MAX, "a row for each probe");

const char *probe_status_name(enum probe_status s)
{
	static const char *const names[] = {
#define X(name) #name,
		PROBE_STATUS_LIST(X)
#undef X
	};
	_Static_assert(ARRAY_LEN(names) == PROBE_STATUS_MAX, "a name for each status");
	return names[s];
}

void probe_detail(struct probe_row *row, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(row->detail, sizeof(row->detail), fmt, ap);
	va_end(ap);
}

void probe_fail(struct probe_row *row, enum probe_status s, int code, const char *what, const char *todo)
{
	row->status = s;
	if (code)
		probe_detail(row, "%s: %s", what, strerror(code));
	else
		probe_detail(row, "%s", what);
	str_copy(row->todo, sizeof(row->todo), todo);
}

enum { TRY_TIMEOUT_MS = 10000 };

/* The child and what it started end with it: a new session and, at the end, SIGKILL to the group. */
static void run_child(probe_try_fn *fn, void *arg, void *out, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EPROTO);
	setpgid(0, 0);
	_exit(fn(arg, out) & 0xff);
}

int probe_try(probe_try_fn *fn, void *arg, void *out, size_t size)
{
	void *shared = NULL;
	if (out) {
		shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (shared == MAP_FAILED)
			return errno;
		memcpy(shared, out, size);
	}
	pid_t parent = getpid(), pid = fork();
	if (pid == 0)
		run_child(fn, arg, shared, parent);
	int result = pid < 0 ? errno : EPROTO, status;
	if (pid > 0) {
		struct proc p = { pid, (int)syscall(SYS_pidfd_open, pid, 0) };
		int r = p.pidfd < 0 ? (waitpid(pid, &status, 0) == pid ? 0 : -errno) :
				      proc_wait(&p, TRY_TIMEOUT_MS, &status);
		kill(-pid, SIGKILL);
		if (r == -ETIMEDOUT) {
			proc_signal(&p, SIGKILL);
			proc_reap(&p, &status, NULL);
		}
		proc_fini(&p);
		if (r == 0 && WIFEXITED(status))
			result = WEXITSTATUS(status);
	}
	if (shared) {
		memcpy(out, shared, size);
		munmap(shared, size);
	}
	return result;
}

struct probe_row *probe_add(struct probe_report *r, const char *name, const char *needed_for, bool required)
{
	assert(r->count < PROBE_ROWS_MAX);
	struct probe_row *row = &r->row[r->count++];
	*row = (struct probe_row){ .name = name, .needed_for = needed_for, .required = required };
	return row;
}

void probe_weigh(struct probe_report *r)
{
	r->fit = true;
	for (size_t i = 0; i < r->count; i++)
		if (r->row[i].required && r->row[i].status == PROBE_missing)
			r->fit = false;
}

void probe_host(struct probe_report *r, const struct probe_opts *o)
{
	struct utsname un;
	struct probe_ctx c = { .report = r, .root = geteuid() == 0, .cgroup_path = o->cgroup_path, .cgroup_err = ERR_INIT };

	memset(r, 0, sizeof(*r));
	r->root = c.root;
	uname(&un);
	snprintf(r->kernel, sizeof(r->kernel), "%.60s %.60s", un.release, un.machine);
	str_copy(r->state_dir, sizeof(r->state_dir), o->state_dir ? o->state_dir : FC_STATEDIR);
	/* the nearest parent that exists: the directory itself may not be made yet */
	for (char *slash; access(r->state_dir, F_OK) < 0 && (slash = strrchr(r->state_dir, '/'));)
		slash[slash == r->state_dir] = '\0';
	cgroup_host_init(&c.cgroup, o->cgroup_root, &c.cgroup_err);
	probe_cgroup_sweep(&c);

	for (size_t i = 0; i < ARRAY_LEN(probes); i++)
		probes[i].fn(&c, probe_add(r, probes[i].name, probes[i].needed_for, probes[i].required & (c.root ? ROOT : USER)));
	probe_weigh(r);
	cgroup_host_fini(&c.cgroup);
}
