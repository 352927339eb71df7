/*
 * confine - theory of operation.
 *
 * keeper's mount namespace is a copy of the host's that follows it (slave):
 * what the host unmounts goes here too, so keeper pins nothing for ever, and
 * nothing made here is seen outside. Then whatever no sandbox is made of is
 * detached from the copy. It must still have: the roots that trees are opened
 * in (/, the state directory, images), the runtime directory with the stage,
 * fcnode's own programs and data, /proc, /dev and the cgroup trees (held by
 * descriptors too).
 */
#include "agent/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

#define CAP_BIT(cap) (1ull << (cap))

/* What making a sandbox takes: namespaces and mounts, ids, cgroups, the children's files. */
static const uint64_t keeper_caps =
	CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_DAC_READ_SEARCH) | CAP_BIT(CAP_FOWNER) |
	CAP_BIT(CAP_FSETID) | CAP_BIT(CAP_KILL) | CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETPCAP) |
	CAP_BIT(CAP_NET_ADMIN) | CAP_BIT(CAP_SYS_CHROOT) | CAP_BIT(CAP_SYS_PTRACE) | CAP_BIT(CAP_SYS_ADMIN) |
	CAP_BIT(CAP_SYS_RESOURCE) | CAP_BIT(CAP_MKNOD) | CAP_BIT(CAP_SETFCAP);

/* Out of the bounding set, so that no execve brings them back. Ends at the first number the kernel does not know. */
static int drop_bounding(uint64_t keep)
{
	for (int cap = 0; cap < 64; cap++) {
		int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
		if (has < 0)
			break;
		if (has == 1 && !(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -errno;
	}
	return 0;
}

static int limit_caps(uint64_t keep)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];
	if (syscall(SYS_capget, &h, d) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		uint32_t mask = (uint32_t)(keep >> (32 * i));
		d[i].permitted &= mask;
		d[i].effective &= mask;
		d[i].inheritable = 0;
	}
	return syscall(SYS_capset, &h, d) < 0 ? -errno : 0;
}

/* ---- keeper's mount table ------------------------------------------------------------ */

enum { NEEDED_MAX = CONFIG_IMAGES_MAX + 16, MOUNTS_MAX = 4096 };

struct needed {
	const char *tree[NEEDED_MAX];  /* with what is mounted below */
	size_t trees;
	char program[PATH_MAX], state[PATH_MAX], runtime[PATH_MAX];
};

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);
	if (n == 1)
		return true; /* "/" */
	return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* Kept: on the way to something needed, below it, or one of the kernel's own. */
static bool is_needed(const struct needed *need, const char *mount)
{
	static const char *const points[] = { "/", "/proc", "/dev", "/sys" };
	for (size_t i = 0; i < ARRAY_LEN(points); i++)
		if (strcmp(mount, points[i]) == 0)
			return true;
	for (size_t i = 0; i < need->trees; i++)
		if (is_below(need->tree[i], mount) || is_below(mount, need->tree[i]))
			return true;
	return false;
}

/* Their real paths: a mount table knows no symlinks. */
static int list_needed(const struct config *c, struct needed *need, struct err *err)
{
	static const char *const fixed[] = { "/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/sys/fs/cgroup",
					     FC_LIBEXECDIR, FC_DATADIR };
	static const char *const variables[] = { "FC_LIBEXECDIR", "FC_DATADIR" };
	need->trees = 0;
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		need->tree[need->trees++] = fixed[i];
	for (size_t i = 0; i < ARRAY_LEN(variables); i++)
		if (getenv(variables[i]))
			need->tree[need->trees++] = getenv(variables[i]);
	if (c->principals)
		need->tree[need->trees++] = c->principals;
	if (c->secret_keys)
		need->tree[need->trees++] = c->secret_keys;
	for (size_t i = 1; i < c->images; i++)
		need->tree[need->trees++] = c->image[i].path;
	if (!realpath("/proc/self/exe", need->program) || !realpath(c->state_dir, need->state) ||
	    !realpath(c->runtime_dir, need->runtime))
		return err_set(err, errno, "find fc-agent's own directories");
	*strrchr(need->program, '/') = '\0';
	const char *own[] = { *need->program ? need->program : "/", need->state, need->runtime };
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		need->tree[need->trees++] = own[i];
	return 0;
}

/* Field 5 of a line of mountinfo, its octal escapes undone (proc_pid_mountinfo(5)). */
static char *mount_point(char *line)
{
	char *save, *field = strtok_r(line, " ", &save);
	for (int i = 1; field && i < 5; i++)
		field = strtok_r(NULL, " ", &save);
	if (!field)
		return NULL;
	char *out = field;
	for (char *in = field; *in; out++) {
		if (in[0] == '\\' && in[1] && in[2] && in[3]) {
			*out = (char)((in[1] - '0') << 6 | (in[2] - '0') << 3 | (in[3] - '0'));
			in += 4;
		} else {
			*out = *in++;
		}
	}
	*out = '\0';
	return strdup(field);
}

static int read_mounts(char **points, size_t *count, struct err *err)
{
	autofp FILE *fp = fopen("/proc/self/mountinfo", "re");
	autofree char *line = NULL;
	size_t size = 0;
	if (!fp)
		return err_set(err, errno, "open /proc/self/mountinfo");
	while (*count < MOUNTS_MAX && getline(&line, &size, fp) >= 0) {
		char *point = mount_point(line);
		if (point)
			points[(*count)++] = point;
	}
	return 0;
}

/* From the last to the first, so that what lies on top goes first. One that the kernel holds on to (locked) stays. */
static int mount_home(const struct config *c, struct err *err)
{
	struct needed *need = malloc(sizeof(*need));
	char **points = calloc(MOUNTS_MAX, sizeof(*points));
	size_t count = 0;
	int r = need && points ? 0 : err_set(err, ENOMEM, "make keeper's mount namespace");
	if (r == 0)
		r = list_needed(c, need, err);
	if (r == 0 && (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0))
		r = err_set(err, errno, "make keeper's mount namespace");
	if (r == 0)
		r = read_mounts(points, &count, err);
	for (size_t i = count; r == 0 && i > 0; i--) {
		if (!is_needed(need, points[i - 1]))
			umount2(points[i - 1], MNT_DETACH | UMOUNT_NOFOLLOW);
		free(points[i - 1]);
	}
	free(points);
	free(need);
	return r;
}

int confine_keeper(const struct config *c, struct err *err)
{
	int r = mount_home(c, err);
	if (r < 0)
		return r;
	r = drop_bounding(keeper_caps);
	if (r == 0)
		r = limit_caps(keeper_caps);
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	return r < 0 ? err_set(err, -r, "give up keeper's spare privileges") : 0;
}

/* ---- serve ----------------------------------------------------------------------------- */

int confine_before_exec(const struct config *c, struct err *err)
{
	int r = drop_bounding(0);
	if (r < 0)
		return err_set(err, -r, "empty the bounding set of the unprivileged half");
	/* A network of its own, and empty: the sockets that it may use are given to it. */
	if (unshare(CLONE_NEWNET) < 0)
		return err_set(err, errno, "make the unprivileged half's network namespace");
	umask(077);
	if (chdir("/") < 0 || setgroups(0, NULL) < 0 || setresgid(c->gid, c->gid, c->gid) < 0 ||
	    setresuid(c->uid, c->uid, c->uid) < 0)
		return err_set(err, errno, "become uid %u, gid %u", c->uid, c->gid);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, errno, "set no_new_privs");
	return 0;
}

/* Landlock's rights by the version that brought them (landlock(7)); asking for unknown ones is an error. */
static uint64_t handled_fs(int abi)
{
	uint64_t all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1; /* version 1: thirteen rights, the last is MAKE_SYM */
	if (abi >= 2)
		all |= 1ull << 13; /* REFER */
	if (abi >= 3)
		all |= 1ull << 14; /* TRUNCATE */
	if (abi >= 5)
		all |= 1ull << 15; /* IOCTL_DEV */
	return all;
}

static int allow(int ruleset, const char *path, uint64_t access, struct err *err)
{
	autoclose int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_set(err, errno, "open %s", path);
	struct stat st;
	if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
		access &= LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | 1ull << 14;
	struct landlock_path_beneath_attr rule = { .allowed_access = access, .parent_fd = fd };
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return err_set(err, errno, "let serve use %s", path);
	return 0;
}

/* Its own directory, the system's libraries and time zones, /proc; no port of TCP, no signals or abstract sockets outside.
 * connect() is for the sockets of sandboxes: what serve makes itself is in a network of nothing (confine_before_exec()). */
static int landlock_serve(const struct config *c, struct err *err)
{
	static const char *const readable[] = { "/usr", "/lib", "/lib64", "/etc/localtime", "/etc/ld.so.cache", "/proc" };
	char own[PATH_MAX];
	struct {
		uint64_t fs, net, scoped;
	} attr = { 0, 0, 0 };
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (abi < 0)
		return 0; /* not in this kernel, or switched off: ids and modes still hold */
	attr.fs = handled_fs((int)abi);
	attr.net = abi >= 4 ? 1 : 0;    /* bind of TCP */
	attr.scoped = abi >= 6 ? 3 : 0; /* abstract sockets and signals */
	size_t size = abi >= 6 ? sizeof(attr) : abi >= 4 ? 16 : 8;
	autoclose int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (ruleset < 0)
		return err_set(err, errno, "make serve's Landlock rules");
	int r = config_serve_dir(c, own, sizeof(own));
	r = r < 0 ? err_set(err, -r, "name serve's directory") : allow(ruleset, own, attr.fs & ~(uint64_t)LANDLOCK_ACCESS_FS_EXECUTE, err);
	for (size_t i = 0; i < ARRAY_LEN(readable) && r == 0; i++)
		r = allow(ruleset, readable[i], LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR, err);
	if (r == 0)
		r = allow(ruleset, "/dev/null", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE, err);
	if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		r = err_set(err, errno, "apply serve's Landlock rules");
	return r;
}

int confine_serve(const struct config *c, struct err *err)
{
	if (geteuid() != c->uid || getuid() != c->uid || getegid() != c->gid) {
		err_set(err, EPERM, "start the unprivileged half: it runs as uid %u instead of %u", geteuid(), c->uid);
		return err_hint(err, "--serve-fd is not for people: start fc-agent without it");
	}
	struct rlimit none = { 0, 0 };
	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_NAME, "fc-agent-serve", 0, 0, 0) < 0)
		return err_set(err, errno, "confine the unprivileged half");
	return landlock_serve(c, err);
}
