#include "plan/names.h"

#include <linux/capability.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>

const struct name names_caps[] = {
#define C(n) { #n, n }
	C(CAP_CHOWN), C(CAP_DAC_OVERRIDE), C(CAP_DAC_READ_SEARCH), C(CAP_FOWNER), C(CAP_FSETID), C(CAP_KILL),
	C(CAP_SETGID), C(CAP_SETUID), C(CAP_SETPCAP), C(CAP_LINUX_IMMUTABLE), C(CAP_NET_BIND_SERVICE),
	C(CAP_NET_BROADCAST), C(CAP_NET_ADMIN), C(CAP_NET_RAW), C(CAP_IPC_LOCK), C(CAP_IPC_OWNER), C(CAP_SYS_MODULE),
	C(CAP_SYS_RAWIO), C(CAP_SYS_CHROOT), C(CAP_SYS_PTRACE), C(CAP_SYS_PACCT), C(CAP_SYS_ADMIN), C(CAP_SYS_BOOT),
	C(CAP_SYS_NICE), C(CAP_SYS_RESOURCE), C(CAP_SYS_TIME), C(CAP_SYS_TTY_CONFIG), C(CAP_MKNOD), C(CAP_LEASE),
	C(CAP_AUDIT_WRITE), C(CAP_AUDIT_CONTROL), C(CAP_SETFCAP), C(CAP_MAC_OVERRIDE), C(CAP_MAC_ADMIN), C(CAP_SYSLOG),
	C(CAP_WAKE_ALARM), C(CAP_BLOCK_SUSPEND), C(CAP_AUDIT_READ), C(CAP_PERFMON), C(CAP_BPF),
	C(CAP_CHECKPOINT_RESTORE),
#undef C
	{ NULL, 0 },
};

const struct name names_rlimits[] = {
#define R(n) { #n, n }
	R(RLIMIT_CPU), R(RLIMIT_FSIZE), R(RLIMIT_DATA), R(RLIMIT_STACK), R(RLIMIT_CORE), R(RLIMIT_RSS), R(RLIMIT_NPROC),
	R(RLIMIT_NOFILE), R(RLIMIT_MEMLOCK), R(RLIMIT_AS), R(RLIMIT_LOCKS), R(RLIMIT_SIGPENDING), R(RLIMIT_MSGQUEUE),
	R(RLIMIT_NICE), R(RLIMIT_RTPRIO), R(RLIMIT_RTTIME),
#undef R
	{ NULL, 0 },
};

const struct name names_attrs[] = {
	{ "rdonly", MOUNT_ATTR_RDONLY }, { "nosuid", MOUNT_ATTR_NOSUID }, { "nodev", MOUNT_ATTR_NODEV },
	{ "noexec", MOUNT_ATTR_NOEXEC }, { "noatime", MOUNT_ATTR_NOATIME }, { "strictatime", MOUNT_ATTR_STRICTATIME },
	{ "nodiratime", MOUNT_ATTR_NODIRATIME }, { "idmap", MOUNT_ATTR_IDMAP }, { "nosymfollow", MOUNT_ATTR_NOSYMFOLLOW },
	{ NULL, 0 },
};

const struct name names_propagation[] = {
	{ "private", MS_PRIVATE }, { "rprivate", MS_PRIVATE | MS_REC }, { "slave", MS_SLAVE },
	{ "rslave", MS_SLAVE | MS_REC }, { "shared", MS_SHARED }, { "rshared", MS_SHARED | MS_REC },
	{ "unbindable", MS_UNBINDABLE }, { "runbindable", MS_UNBINDABLE | MS_REC }, { NULL, 0 },
};

const struct name *name_find(const struct name *table, const char *name)
{
	for (; table->name; table++)
		if (strcmp(table->name, name) == 0)
			return table;
	return NULL;
}

const char *name_of(const struct name *table, uint64_t value)
{
	for (; table->name; table++)
		if (table->value == value)
			return table->name;
	return NULL;
}
