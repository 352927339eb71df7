/* The tree: what is mounted how, what can be changed, devices, and other people's files. */
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static const int denied[] = { EPERM, EACCES, EROFS, ENOENT, 0 };

static void create_in(struct result *r, const void *arg)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/fc-probe", (const char *)arg);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	judge(r, fd, errno, denied);
	if (fd >= 0) {
		close(fd);
		unlink(path);
		return;
	}
	int ret = mkdir(path, 0755);
	judge(r, ret, errno, denied);
	if (ret == 0)
		rmdir(path);
}

static void write_to(struct result *r, const void *arg) { judge_open(r, arg, O_WRONLY); }

/* Set back by nobody, so only tried on what is refused for its file system: an owner's chmod needs no right. */
static void chmod_of(struct result *r, const void *arg)
{
	struct stat st;
	if (stat(arg, &st) < 0)
		held(r, "%s", strerrorname_np(errno));
	else
		JUDGE(r, chmod(arg, st.st_mode & 07777), denied);
}

struct mount_rule {
	const char *at;
	bool writable, may_exec, may_dev;
};

/* What each mount may be; the rest is read-only, nosuid and nodev. */
static const struct mount_rule rules[] = {
	{ "/tmp", true, true, false }, { "/dev/shm", true, false, false },
	{ "/dev", false, false, true }, { "/dev/null", true, false, true }, { "/dev/zero", true, false, true },
	{ "/dev/full", true, false, true }, { "/dev/random", true, false, true }, { "/dev/urandom", true, false, true },
	{ "/dev/tty", true, false, true }, { "/proc", false, false, false },
};

static const char *mount_fault(const char *at, const char *options)
{
	struct mount_rule rule = { at, false, true, false };
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (strcmp(rules[i].at, at) == 0)
			rule = rules[i];
	if (!rule.writable && strncmp(options, "ro", 2) != 0)
		return "writable";
	if (!strstr(options, "nosuid"))
		return "without nosuid";
	if (!rule.may_dev && !strstr(options, "nodev"))
		return "without nodev";
	if (!rule.may_exec && !strstr(options, "noexec"))
		return "without noexec";
	return NULL;
}

static void mounts(struct result *r, const void *arg)
{
	(void)arg;
	static char text[65536];
	char *save, at[256], options[256], type[64];
	int n = 0;
	if (slurp("/proc/self/mountinfo", text, sizeof(text)) <= 0) {
		is_open(r, "/proc/self/mountinfo cannot be read");
		return;
	}
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save), n++) {
		const char *dash = strstr(line, " - ");
		if (sscanf(line, "%*d %*d %*s %*s %255s %255s", at, options) != 2 || !dash || sscanf(dash, " - %63s", type) != 1) {
			is_open(r, "a line of mountinfo cannot be read: %s", line);
			return;
		}
		const char *fault = mount_fault(at, options);
		if (strncmp(type, "cgroup", 6) == 0 || strcmp(type, "sysfs") == 0)
			fault = type;
		if (fault) {
			is_open(r, "%s is %s (%s)", at, fault, options);
			return;
		}
	}
	held(r, "%d mounts, each as it should be", n);
}

static void make_device(struct result *r, const void *arg)
{
	const unsigned *dev = arg;
	unlink("/tmp/fc-device");
	int ret = mknod("/tmp/fc-device", (mode_t)dev[0] | 0666, makedev(dev[1], dev[2]));
	judge(r, ret, errno, denied);
	unlink("/tmp/fc-device");
}

static void devices(struct result *r, const void *arg)
{
	static const char *const ours = " null zero full random urandom tty shm fd stdin stdout stderr . .. ";
	(void)arg;
	DIR *d = opendir("/dev");
	char word[300];
	int n = 0;
	for (struct dirent *e; d && (e = readdir(d)); n++) {
		snprintf(word, sizeof(word), " %s ", e->d_name);
		if (!strstr(ours, word)) {
			is_open(r, "there is /dev/%s", e->d_name);
			closedir(d);
			return;
		}
	}
	if (d)
		closedir(d);
	(n > 2 ? held : is_open)(r, "%d entries, all harmless", n - 2);
}

/* Fill until the kernel says no; PROBE_TMP_BYTES, or 64 MiB of /dev/shm. */
static void fill(struct result *r, const void *arg)
{
	static char block[1 << 20];
	const char *path = arg;
	bool is_tmp = strncmp(path, "/tmp", 4) == 0;
	long limit = is_tmp ? setting("PROBE_TMP_BYTES") : 64 << 20;
	if (limit < 0) {
		skip(r, "PROBE_TMP_BYTES is not set");
		return;
	}
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	long total = 0;
	ssize_t n = -1;
	while (fd >= 0 && total <= 2 * limit && (n = write(fd, block, sizeof(block))) > 0)
		total += n;
	int err = errno;
	unlink(path);
	if (fd < 0 || n > 0 || err != ENOSPC)
		is_open(r, "wrote %ld bytes: %s", total, strerrorname_np(err));
	else
		(total <= limit ? held : is_open)(r, "ENOSPC after %ld of %ld bytes", total, limit);
	if (fd >= 0)
		close(fd);
}

/* Many empty files cost kernel memory that the size does not bound; the memory limit and the inode limit do. */
static void shm_exec(struct result *r, const void *arg)
{
	(void)arg;
	int fd = open("/dev/shm/fc-program", O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	if (fd < 0 || write(fd, "#!/bin/true\n", 12) != 12) {
		is_open(r, "write /dev/shm: %s", strerrorname_np(errno));
		return;
	}
	close(fd);
	pid_t pid = fork();
	if (pid == 0) {
		execl("/dev/shm/fc-program", "fc-program", (char *)NULL);
		_exit(errno);
	}
	int status = 0;
	waitpid(pid, &status, 0);
	unlink("/dev/shm/fc-program");
	judge(r, WIFEXITED(status) && WEXITSTATUS(status) ? -1 : 0, WEXITSTATUS(status), denied);
}

/* A file beside the code that belongs to an id outside this sandbox's range, or to root, for its owner only. */
static void foreign_file(struct result *r, const void *arg)
{
	struct stat st;
	if (stat(arg, &st) < 0) {
		skip(r, "%s: %s", (const char *)arg, strerrorname_np(errno));
		return;
	}
	judge_open(r, arg, O_RDONLY);
	if (r->verdict == HELD)
		held(r, "%s, shown as of user %u", r->detail, st.st_uid);
}

/* A set-user-id bit of our own making changes nothing, and cannot make a file root's. */
static void own_setuid(struct result *r, const void *arg)
{
	(void)arg;
	int fd = open("/tmp/fc-setuid", O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	if (fd < 0) {
		is_open(r, "/tmp: %s", strerrorname_np(errno));
		return;
	}
	/* EINVAL: an ordinary user's sandbox has no id 0 at all */
	JUDGE(r, fchown(fd, 0, 0), (const int[]){ EPERM, EINVAL, 0 });
	close(fd);
	unlink("/tmp/fc-setuid");
}

/* "..", past the root: it stays the root. */
static void above_root(struct result *r, const void *arg)
{
	(void)arg;
	struct stat root, above;
	if (chdir("/") < 0 || stat("/", &root) < 0 || stat("../../../../..", &above) < 0)
		is_open(r, "/: %s", strerrorname_np(errno));
	else
		(root.st_ino == above.st_ino && root.st_dev == above.st_dev ? held : is_open)(r, "/.. is inode %lu of device %lu",
											      above.st_ino, above.st_dev);
}

static const unsigned disk[] = { S_IFBLK, 8, 0 }, memory[] = { S_IFCHR, 1, 1 }, null_device[] = { S_IFCHR, 1, 3 };

const struct probe probes_files[] = {
	{ "mounts", mounts, NULL, false },
	{ "create_root", create_in, "/", false },
	{ "create_usr", create_in, "/usr", false },
	{ "create_etc", create_in, "/etc", false },
	{ "create_code", create_in, "/code", false },
	{ "create_dev", create_in, "/dev", false },
	{ "create_runtime", create_in, "/var/fc/runtime", false },
	{ "write_program", write_to, "/usr/bin/env", false },
	{ "write_passwd", write_to, "/etc/passwd", false },
	{ "chmod_root", chmod_of, "/", false },
	{ "chmod_code", chmod_of, "/code", false },
	{ "shadow", write_to, "/etc/shadow", false },
	{ "above_root", above_root, NULL, false },
	{ "device_disk", make_device, disk, false },
	{ "device_memory", make_device, memory, false },
	{ "device_null", make_device, null_device, false },
	{ "devices", devices, NULL, false },
	{ "open_disk", write_to, "/dev/sda", false },
	{ "open_vda", write_to, "/dev/vda", false },
	{ "open_memory", write_to, "/dev/mem", false },
	{ "open_kvm", write_to, "/dev/kvm", false },
	{ "open_fuse", write_to, "/dev/fuse", false },
	{ "open_tun", write_to, "/dev/net/tun", false },
	{ "shm_exec", shm_exec, NULL, false },
	{ "own_setuid", own_setuid, NULL, false },
	{ "tenant_file", foreign_file, "/code/of-another-tenant", false },
	{ "root_file", foreign_file, "/code/of-root", false },
	{ "fill_shm", fill, "/dev/shm/fc-fill", false },
	{ "fill_tmp", fill, "/tmp/fc-fill", false },
	{ NULL, NULL, NULL, false },
};
