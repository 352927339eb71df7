/*
 * spec - what a sandbox is, as one flat block of bytes.
 *
 * plan/ writes it (no system calls), host/ reads the parts that concern the
 * host (namespaces, id maps, trees, cgroup) and hands the whole block to
 * fc-sandbox in a sealed memfd, which maps it and walks the stages over it.
 * Nobody changes it on the way: policy is one value that can be dumped,
 * compared with a golden file and fuzzed.
 *
 * Layout: struct spec, then per section an array of fixed-size records (8-byte
 * aligned), then the string area. A spec_str is an offset into the string
 * area; 0 is the empty string and means "absent". spec_check() proves once
 * that every offset, count, index and string lies inside; readers then trust it.
 *
 * The payload (argv, env, cwd) is apart, in struct payload: it may come from a
 * less trusted writer, and fc-sandbox reads it only after ids and caps are gone.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { SPEC_MAGIC = 0x53504346, SPEC_VERSION = 1, SPEC_SIZE_MAX = 1 << 20 };
enum { PAYLOAD_MAGIC = 0x50504346, PAYLOAD_SIZE_MAX = 2 << 20, PAYLOAD_WORDS_MAX = 16384 };

typedef uint32_t spec_str;

/* clone(2) names; the bit is 1 << index */
#define SPEC_NS_LIST(X) \
	X(USER, user) X(PID, pid) X(MOUNT, mnt) X(NET, net) X(IPC, ipc) X(UTS, uts) X(CGROUP, cgroup) X(TIME, time)
enum spec_ns {
#define X(upper, lower) SPEC_NS_##upper,
	SPEC_NS_LIST(X)
#undef X
	SPEC_NS_MAX
};

#define SPEC_FLAG_LIST(X)                                                                       \
	X(INIT, init)                       /* fc-sandbox stays PID 1; else it becomes the payload */ \
	X(NO_NEW_PRIVS, no_new_privs)                                                           \
	X(DIE_WITH_PARENT, die_with_parent) /* SIGKILL to PID 1 when the launcher dies */       \
	X(GATE, gate)                       /* wait for a connection on the gate socket before exec */ \
	X(TERMINAL, terminal)               /* new pty; its master goes out over the console socket */ \
	X(SETGROUPS_DENY, setgroups_deny)   /* single-id maps of an ordinary user (user_namespaces(7)) */ \
	X(NET_OWN, net_own)                 /* the net namespace belongs to the sandbox's user namespace (OCI) */ \
	X(LOOPBACK, loopback)               /* bring lo up in the new net namespace */          \
	X(NEW_SESSION, new_session)         /* setsid(2) for the payload */                     \
	X(NEW_KEYRING, new_keyring)         /* fresh session keyring (keyctl(2)) */             \
	X(ROOT_READONLY, root_readonly)     /* / read-only once everything is mounted */        \
	X(SECCOMP_LOG, seccomp_log)         /* SECCOMP_FILTER_FLAG_LOG */                       \
	X(LANDLOCK_REQUIRED, landlock_required) /* fail where Landlock is missing; else it is left out */ \
	X(DENY_DEVICES, deny_devices)       /* apply the device section; everything else is refused */ \
	X(CREATE_DST, create_dst)           /* make missing mount points below / (OCI bundles) */ \
	X(NO_PIVOT, no_pivot)               /* MS_MOVE and chroot instead of pivot_root (root on initramfs) */ \
	X(HOOKS, hooks)                     /* the launcher runs hooks before the root changes; wait for it */
enum spec_flag {
#define X(upper, lower) SPEC_F_##upper,
	SPEC_FLAG_LIST(X)
#undef X
	SPEC_F_MAX
};

struct spec_idmap {
	uint32_t inside, outside, count;
};

/* A namespace to join instead of making: by path, opened by the launcher. */
struct spec_join {
	uint32_t ns; /* enum spec_ns */
	spec_str path;
};

/*
 * A directory or file of the host that the launcher opens (open_tree(2)) and
 * passes as a detached mount; idmapped to the sandbox's user namespace when
 * asked (mount_setattr(2)). Records name it by index.
 */
enum {
	SPEC_TREE_IDMAP = 1, SPEC_TREE_RECURSIVE = 2, SPEC_TREE_OPTIONAL = 4,
	SPEC_TREE_DEV = 8, /* no directory of the host, but a minimal /dev made by the launcher (root only) */
};
struct spec_tree {
	spec_str path;
	uint32_t flags;
};

/* Executed in order. The first one makes the root (dst empty). */
#define SPEC_MOUNT_LIST(X)                                                                          \
	X(OVERLAY, overlay)   /* lowers [first, +count) top first; upper and work from src, data */ \
	X(TREE, tree)         /* attach trees[tree] */                                              \
	X(BIND, bind)         /* bind src (a host path, opened before the root changes) */          \
	X(TMPFS, tmpfs)                                                                             \
	X(PROC, proc)                                                                               \
	X(FS, fs)             /* fstype with data as "k=v,k,..." */                                 \
	X(CGROUP, cgroup)     /* cgroup2, from the root of the sandbox's own cgroup namespace */      \
	X(DIR, dir)           /* mkdir dst, mode */                                                 \
	X(SYMLINK, symlink)   /* dst -> src */                                                      \
	X(FILE, file)         /* regular file dst with content data, mode */                        \
	X(NODE, node)         /* device node: mknod where allowed, else a bind of the host's src */ \
	X(MASK, mask)         /* cover dst: /dev/null over a file, empty read-only tmpfs over a directory */ \
	X(RDONLY, rdonly)     /* make dst a read-only mount of itself */                            \
	X(SETATTR, setattr)   /* change attributes or propagation of the mount at dst */
enum spec_mount_op {
#define X(upper, lower) SPEC_MNT_##upper,
	SPEC_MOUNT_LIST(X)
#undef X
	SPEC_MNT_MAX
};

enum {
	SPEC_MF_OPTIONAL = 1,  /* a missing source or destination is not an error */
	SPEC_MF_RECURSIVE = 2, /* bind or set attributes for the whole tree */
	SPEC_MF_CREATE = 4,    /* make the mount point */
	SPEC_MF_COPYUP = 8,    /* tmpfs: copy what lay there (OCI tmpcopyup) */
	SPEC_MF_NOFOLLOW = 16, /* src is not followed when it is a symlink */
	SPEC_MF_IDMAP = 32,    /* apply this mount's own idmap (maps section [first, +count)) */
};

enum { SPEC_NO_TREE = UINT32_MAX };

struct spec_mount {
	uint32_t op; /* enum spec_mount_op */
	uint32_t flags;
	spec_str src, dst, fstype, data;
	uint64_t attr_set, attr_clear; /* MOUNT_ATTR_* of mount_setattr(2) */
	uint32_t propagation;          /* MS_PRIVATE, MS_SLAVE, ...; 0 leaves it */
	uint32_t mode;                 /* of what is made; device nodes carry S_IFMT */
	uint32_t tree;                 /* index into trees, or SPEC_NO_TREE */
	uint32_t first, count;         /* range of lowers (OVERLAY) */
	uint32_t major, minor;         /* NODE */
	uint32_t uid, gid;             /* owner inside, of what is made */
	uint32_t pad;
	uint64_t size;                 /* TMPFS: bytes; 0 is the kernel's default (half of memory) */
	uint64_t inodes;               /* TMPFS: most inodes; 0 the kernel's default */
};

struct spec_lower {
	spec_str path; /* used when tree is SPEC_NO_TREE */
	uint32_t tree;
};

struct spec_rlimit {
	uint32_t resource, pad; /* RLIMIT_* */
	uint64_t soft, hard;
};

struct spec_sysctl {
	spec_str path, value; /* path below /proc/sys, with slashes */
};

/* Landlock rule: what may be done below path (LANDLOCK_ACCESS_FS_*). */
struct spec_landlock {
	uint64_t access;
	spec_str path;
	uint32_t pad;
};

/* One instruction of classic BPF, as the kernel takes it (struct sock_filter). */
struct spec_bpf {
	uint16_t code;
	uint8_t jt, jf;
	uint32_t k;
};

struct spec_hook {
	uint32_t kind; /* enum spec_hook_kind */
	spec_str path;
	uint32_t argv_first, argv_count; /* range of words */
	uint32_t env_first, env_count;
	uint32_t timeout_s, pad; /* 0: none */
};
enum spec_hook_kind {
	SPEC_HOOK_PRESTART, SPEC_HOOK_CREATE_RUNTIME, SPEC_HOOK_CREATE_CONTAINER,
	SPEC_HOOK_START_CONTAINER, SPEC_HOOK_POSTSTART, SPEC_HOOK_POSTSTOP, SPEC_HOOK_MAX
};

struct spec_word {
	spec_str text;
};

/* A device the sandbox may use (cgroup device rule). major or minor UINT32_MAX: any. */
struct spec_device {
	uint32_t type;   /* 'a' all, 'b' block, 'c' char */
	uint32_t allow;  /* 0 deny, 1 allow */
	uint32_t major, minor;
	uint32_t access; /* bits: 1 read, 2 write, 4 mknod */
};

/* io.max of one device; 0 leaves a value at max. */
struct spec_io {
	uint32_t major, minor;
	uint64_t rbps, wbps, riops, wiops;
};

/* A raw cgroup2 file and its value (OCI linux.resources.unified). */
struct spec_cgroup_file {
	spec_str name, value;
};

#define SPEC_SECTION_LIST(X)                         \
	X(UID_MAP, uid_map, struct spec_idmap)       \
	X(GID_MAP, gid_map, struct spec_idmap)       \
	X(JOIN, join, struct spec_join)              \
	X(TREE, tree, struct spec_tree)              \
	X(MOUNT, mount, struct spec_mount)           \
	X(LOWER, lower, struct spec_lower)           \
	X(RLIMIT, rlimit, struct spec_rlimit)        \
	X(SYSCTL, sysctl, struct spec_sysctl)        \
	X(GROUP, group, uint32_t)                    \
	X(LANDLOCK, landlock, struct spec_landlock)  \
	X(SECCOMP, seccomp, struct spec_bpf)         \
	X(HOOK, hook, struct spec_hook)              \
	X(WORD, word, struct spec_word)              \
	X(DEVICE, device, struct spec_device)        \
	X(IO, io, struct spec_io)                    \
	X(CGROUP_FILE, cgroup_file, struct spec_cgroup_file)
enum spec_section {
#define X(upper, lower, type) SPEC_SECT_##upper,
	SPEC_SECTION_LIST(X)
#undef X
	SPEC_SECT_MAX
};

struct spec_span {
	uint32_t off, count;
};

/* Limits the launcher writes to the sandbox's cgroup. 0 means "no limit asked for". */
struct spec_cgroup {
	uint64_t memory_bytes;     /* memory.max */
	uint64_t memory_low_bytes; /* memory.low (OCI reservation) */
	uint64_t swap_bytes;       /* memory.swap.max; only with SPEC_CG_SWAP: 0 is then "no swap" */
	uint64_t cpu_quota_us, cpu_period_us;
	uint64_t cpu_burst_us;
	uint64_t cpu_weight; /* 1 to 10000 (cpu.weight) */
	uint64_t pids;
	uint64_t io_weight;
	spec_str cpuset_cpus, cpuset_mems;
	uint32_t flags;
	uint32_t pad;
};
enum { SPEC_CG_SWAP = 1, SPEC_CG_OOM_GROUP = 2, SPEC_CG_CPU_IDLE = 4 };

struct spec_caps {
	uint64_t bounding, effective, permitted, inheritable, ambient; /* 1 << CAP_* */
};

struct spec {
	uint32_t magic, version;
	uint32_t size;     /* of the whole block */
	uint32_t flags;    /* 1 << enum spec_flag */
	uint32_t ns_new;   /* 1 << enum spec_ns */
	uint32_t features_off; /* 1 << enum sys_feature: act as if the kernel lacked it (tests) */
	uint32_t setup_uid, setup_gid; /* ids inside while mounting; 0 unless 0 is not mapped */
	uint32_t uid, gid; /* of the payload, inside */
	uint32_t umask;
	uint32_t payload_fds; /* descriptors 0 to payload_fds - 1 belong to the payload */
	uint32_t rootfs_propagation; /* MS_*; 0: private */
	spec_str hostname, domainname;
	spec_str stage_dir;    /* an existing host directory to build the root on (in the new mount namespace) */
	spec_str cgroup_path;  /* OCI cgroupsPath; "" lets the launcher choose */
	uint32_t personality;  /* personality(2) persona; UINT32_MAX leaves it */
	int32_t oom_score_adj; /* INT32_MIN leaves it */
	int64_t time_offset_mono_ns, time_offset_boot_ns; /* with SPEC_NS_TIME (time_namespaces(7)) */
	uint64_t landlock_handled; /* LANDLOCK_ACCESS_FS_*; 0: no Landlock */
	uint64_t landlock_scoped;  /* LANDLOCK_SCOPE_*, where the kernel has it */
	uint64_t io_class;         /* ioprio_set(2) value; 0 leaves it */
	struct spec_caps caps;
	struct spec_cgroup cgroup;
	struct spec_span section[SPEC_SECT_MAX];
	struct spec_span strings; /* count is its length in bytes; its first and last byte are 0 */
};

/*
 * The payload: what is run. argc words of argv, then envc words of env, then
 * the working directory, each NUL-terminated, packed in data[].
 */
struct payload {
	uint32_t magic, version;
	uint32_t size;
	uint32_t argc, envc;
	uint32_t pad;
	char data[];
};

/*
 * Descriptors at the start of fc-sandbox: 0 to N-1 are the payload's (N =
 * payload_fds, as decimal in argv[1]), the rest follows in this order.
 */
enum sandbox_fd { SANDBOX_FD_SPEC, SANDBOX_FD_STATUS, SANDBOX_FD_PAYLOAD, SANDBOX_FD_GATE, SANDBOX_FD_CONSOLE, SANDBOX_FD_MAX };

/* Is this block a whole, well-formed spec? 0, or -EINVAL with *what naming the
 * first field that is not (a static string). data must be 8-byte aligned. */
int spec_check(const void *data, size_t size, const char **what);

/* The same for a payload. */
int payload_check(const void *data, size_t size, const char **what);

/* Most records a section may have. */
uint32_t spec_section_limit(enum spec_section which);

static inline const char *spec_text(const struct spec *s, spec_str str)
{
	return (const char *)s + s->strings.off + str;
}

static inline int spec_has(const struct spec *s, enum spec_flag flag) { return (s->flags >> flag) & 1; }
static inline int spec_new_ns(const struct spec *s, enum spec_ns ns) { return (s->ns_new >> ns) & 1; }

static inline const void *spec_section(const struct spec *s, enum spec_section which, uint32_t *count)
{
	*count = s->section[which].count;
	return (const char *)s + s->section[which].off;
}

/* Iterate: SPEC_EACH(s, MOUNT, struct spec_mount, m) { ... } */
#define SPEC_EACH(s, which, type, var)                                                              \
	for (const type *var = (const type *)((const char *)(s) + (s)->section[SPEC_SECT_##which].off), \
			*var##_end = var + (s)->section[SPEC_SECT_##which].count;                   \
	     var < var##_end; var++)
