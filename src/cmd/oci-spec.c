/* spec - write a config.json to start from, or show what one compiles to. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "cmd/oci.h"
#include "plan/dump.h"

struct spec_opts {
	const char *bundle;
	bool rootless, dump, help;
};

#define AT(field) offsetof(struct spec_opts, field)
static const struct opt options[] = {
	{ "bundle", 'b', OPT_STR, AT(bundle), "DIR", "where config.json goes (default: .)", NULL, 0, 0 },
	{ "rootless", 0, OPT_FLAG, AT(rootless), NULL, "for an ordinary user: a user namespace, no limits", NULL, 0, 0 },
	{ "dump", 0, OPT_FLAG, AT(dump), NULL, "print what the bundle's config.json compiles to instead", NULL, 0, 0 },
	{ "help", 'h', OPT_FLAG, AT(help), NULL, "print this and exit", NULL, 0, 0 },
	{ NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 },
};

/* Strict and complete: what a program in a terminal needs, and nothing that reaches the host. */
static const char template[] =
	"{\"ociVersion\": \"" CMD_OCI_VERSION "\","
	"\"process\": {\"terminal\": true, \"user\": {\"uid\": 0, \"gid\": 0}, \"args\": [\"sh\"],"
	" \"env\": [\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\", \"TERM=xterm\"], \"cwd\": \"/\","
	" \"capabilities\": {"
	"  \"bounding\": [\"CAP_AUDIT_WRITE\", \"CAP_KILL\", \"CAP_NET_BIND_SERVICE\"],"
	"  \"effective\": [\"CAP_AUDIT_WRITE\", \"CAP_KILL\", \"CAP_NET_BIND_SERVICE\"],"
	"  \"permitted\": [\"CAP_AUDIT_WRITE\", \"CAP_KILL\", \"CAP_NET_BIND_SERVICE\"]},"
	" \"rlimits\": [{\"type\": \"RLIMIT_NOFILE\", \"hard\": 1024, \"soft\": 1024}], \"noNewPrivileges\": true},"
	"\"root\": {\"path\": \"rootfs\", \"readonly\": true}, \"hostname\": \"fc-run\","
	"\"mounts\": ["
	" {\"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\", \"options\": [\"nosuid\", \"noexec\", \"nodev\"]},"
	" {\"destination\": \"/dev\", \"type\": \"tmpfs\", \"source\": \"tmpfs\","
	"  \"options\": [\"nosuid\", \"strictatime\", \"mode=755\", \"size=65536k\"]},"
	" {\"destination\": \"/dev/pts\", \"type\": \"devpts\", \"source\": \"devpts\","
	"  \"options\": [\"nosuid\", \"noexec\", \"newinstance\", \"ptmxmode=0666\", \"mode=0620\", \"gid=5\"]},"
	" {\"destination\": \"/dev/shm\", \"type\": \"tmpfs\", \"source\": \"shm\","
	"  \"options\": [\"nosuid\", \"noexec\", \"nodev\", \"mode=1777\", \"size=65536k\"]},"
	" {\"destination\": \"/dev/mqueue\", \"type\": \"mqueue\", \"source\": \"mqueue\","
	"  \"options\": [\"nosuid\", \"noexec\", \"nodev\"]},"
	" {\"destination\": \"/sys\", \"type\": \"sysfs\", \"source\": \"sysfs\","
	"  \"options\": [\"nosuid\", \"noexec\", \"nodev\", \"ro\"]},"
	" {\"destination\": \"/sys/fs/cgroup\", \"type\": \"cgroup\", \"source\": \"cgroup\","
	"  \"options\": [\"nosuid\", \"noexec\", \"nodev\", \"relatime\", \"ro\"]}],"
	"\"linux\": {\"resources\": {\"devices\": [{\"allow\": false, \"access\": \"rwm\"}]},"
	" \"namespaces\": [{\"type\": \"pid\"}, {\"type\": \"network\"}, {\"type\": \"ipc\"}, {\"type\": \"uts\"},"
	"  {\"type\": \"mount\"}, {\"type\": \"cgroup\"}],"
	" \"maskedPaths\": [\"/proc/acpi\", \"/proc/asound\", \"/proc/kcore\", \"/proc/keys\", \"/proc/latency_stats\","
	"  \"/proc/timer_list\", \"/proc/timer_stats\", \"/proc/sched_debug\", \"/sys/firmware\", \"/proc/scsi\"],"
	" \"readonlyPaths\": [\"/proc/bus\", \"/proc/fs\", \"/proc/irq\", \"/proc/sys\", \"/proc/sysrq-trigger\"]}}";

static json_t *one_id(uid_t outside)
{
	return json_pack("[{s:i, s:I, s:i}]", "containerID", 0, "hostID", (json_int_t)outside, "size", 1);
}

/* An ordinary user has one id, cannot mount sysfs in a network namespace it does not own, and limits nothing. */
static int make_rootless(json_t *config)
{
	json_t *linux_part = json_object_get(config, "linux"), *mounts = json_object_get(config, "mounts"), *m;
	size_t i;

	json_array_foreach(mounts, i, m) {
		const char *dst = json_string_value(json_object_get(m, "destination"));
		json_t *mount_options = json_object_get(m, "options");
		if (strcmp(dst, "/dev/pts") == 0)
			json_array_remove(mount_options, json_array_size(mount_options) - 1); /* gid=5 is not mapped */
		if (strcmp(dst, "/sys") == 0 &&
		    (json_object_set_new(m, "type", json_string("none")) < 0 ||
		     json_object_set_new(m, "source", json_string("/sys")) < 0 ||
		     json_array_insert_new(mount_options, 0, json_string("rbind")) < 0))
			return -ENOMEM;
	}
	json_array_remove(mounts, json_array_size(mounts) - 1); /* /sys/fs/cgroup is in the bound /sys */
	json_object_del(linux_part, "resources");
	return json_object_set_new(linux_part, "namespaces",
				   json_pack("[{s:s},{s:s},{s:s},{s:s},{s:s}]", "type", "pid", "type", "ipc", "type", "uts",
					     "type", "mount", "type", "user")) < 0 ||
			       json_object_set_new(linux_part, "uidMappings", one_id(geteuid())) < 0 ||
			       json_object_set_new(linux_part, "gidMappings", one_id(getegid())) < 0
		       ? -ENOMEM
		       : 0;
}

static int write_config(const struct spec_opts *opts, struct err *err)
{
	const char *dir = opts->bundle ? opts->bundle : ".";
	autojson json_t *config = json_parse(template, sizeof(template) - 1, "template", err);
	if (!config)
		return -err->code;
	if (opts->rootless && make_rootless(config) < 0)
		return err_set(err, ENOMEM, "make config.json");
	autofree char *text = json_dumps(config, JSON_INDENT(2));
	if (!text)
		return err_set(err, ENOMEM, "make config.json");

	autoclose int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return err_set(err, errno, "open bundle %s", dir);
	autoclose int fd = openat(at, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0 && errno == EEXIST) {
		err_set(err, EEXIST, "write %s/config.json", dir);
		return err_hint(err, "remove it first, or give another directory with --bundle");
	}
	int r = fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
	if (r == 0)
		r = fd_write_all(fd, "\n", 1);
	return r < 0 ? err_set(err, -r, "write %s/config.json", dir) : 0;
}

static int dump_config(const struct spec_opts *opts, const struct cmd_globals *g, struct err *err)
{
	const struct oci_create_opts create = { .bundle = opts->bundle };
	autobuf struct buf out = BUF_INIT(16 << 20);
	struct oci o;
	bool terminal;

	oci_init(&o, g);
	int r = oci_read_bundle(&o, &create, 0, &terminal, err);
	if (r == 0 && (dump_spec(oci_spec(&o), DUMP_BPF, &out) < 0 ||
		       dump_payload((const struct payload *)(const void *)o.payload.data, &out) < 0))
		r = err_set(err, ENOMEM, "write the spec as text");
	if (r == 0)
		fwrite(out.data, 1, out.len, stdout);
	oci_fini(&o);
	return r;
}

int cmd_spec(int argc, char **argv, const struct cmd_globals *g)
{
	struct spec_opts opts = { 0 };
	struct err err = ERR_INIT;

	int first = oci_parse(options, "spec [option ...]", argc, argv, 0, 0, &opts, &err);
	if (first <= 0)
		return first < 0 ? oci_fail(g, &err) : CMD_OK;
	int r = opts.dump ? dump_config(&opts, g, &err) : write_config(&opts, &err);
	return r < 0 ? oci_fail(g, &err) : CMD_OK;
}
