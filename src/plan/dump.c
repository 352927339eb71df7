#include "plan/dump.h"

#include <ctype.h>
#include <errno.h>
#include <linux/filter.h>
#include <string.h>

#include "base/cleanup.h"
#include "plan/names.h"

/* Where text goes; the first failure sticks. */
struct dump {
	const struct spec *spec;
	struct buf *out;
	int status;
};

static void put(struct dump *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct dump *d, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	if (d->status == 0)
		d->status = buf_vprintf(d->out, fmt, ap);
	va_end(ap);
}

/* In quotes, with what is not printable as \xNN: one record stays one line. */
static void put_quoted(struct dump *d, const char *text)
{
	put(d, "\"");
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (c == '"' || c == '\\')
			put(d, "\\%c", c);
		else if (isprint(c))
			put(d, "%c", c);
		else
			put(d, "\\x%02x", c);
	}
	put(d, "\"");
}

/* " key=\"text\"", nothing for an absent string */
static void put_str(struct dump *d, const char *key, spec_str str)
{
	if (!str)
		return;
	put(d, " %s=", key);
	put_quoted(d, spec_text(d->spec, str));
}

/* " key=number" unless it is the absent value */
static void put_num(struct dump *d, const char *key, uint64_t value, uint64_t absent)
{
	if (value != absent)
		put(d, " %s=%llu", key, (unsigned long long)value);
}

/* " key=a,b,0x10": names of bits, the rest in hex */
static void put_bits(struct dump *d, const char *key, uint64_t bits, const struct name *table)
{
	if (!bits)
		return;
	put(d, " %s=", key);
	const char *comma = "";
	for (; table->name; table++) {
		if (!(bits & table->value))
			continue;
		put(d, "%s%s", comma, table->name);
		comma = ",";
		bits &= ~table->value;
	}
	if (bits)
		put(d, "%s0x%llx", comma, (unsigned long long)bits);
}

static const struct name flag_bits[] = {
#define X(upper, lower) { #lower, 1u << SPEC_F_##upper },
	SPEC_FLAG_LIST(X)
#undef X
	{ NULL, 0 },
};

static const struct name ns_bits[] = {
#define X(upper, lower) { #lower, 1u << SPEC_NS_##upper },
	SPEC_NS_LIST(X)
#undef X
	{ NULL, 0 },
};

static const struct name mount_bits[] = {
	{ "optional", SPEC_MF_OPTIONAL }, { "recursive", SPEC_MF_RECURSIVE }, { "create", SPEC_MF_CREATE },
	{ "copyup", SPEC_MF_COPYUP }, { "nofollow", SPEC_MF_NOFOLLOW }, { "idmap", SPEC_MF_IDMAP }, { NULL, 0 },
};

static const struct name tree_bits[] = {
	{ "idmap", SPEC_TREE_IDMAP }, { "recursive", SPEC_TREE_RECURSIVE }, { "optional", SPEC_TREE_OPTIONAL }, { "dev", SPEC_TREE_DEV },
	{ NULL, 0 },
};

static const struct name cgroup_bits[] = {
	{ "swap", SPEC_CG_SWAP }, { "oom_group", SPEC_CG_OOM_GROUP }, { "cpu_idle", SPEC_CG_CPU_IDLE }, { NULL, 0 },
};

static const struct name landlock_bits[] = {
	{ "execute", 1 << 0 }, { "write_file", 1 << 1 }, { "read_file", 1 << 2 }, { "read_dir", 1 << 3 },
	{ "remove_dir", 1 << 4 }, { "remove_file", 1 << 5 }, { "make_char", 1 << 6 }, { "make_dir", 1 << 7 },
	{ "make_reg", 1 << 8 }, { "make_sock", 1 << 9 }, { "make_fifo", 1 << 10 }, { "make_block", 1 << 11 },
	{ "make_sym", 1 << 12 }, { "refer", 1 << 13 }, { "truncate", 1 << 14 }, { "ioctl_dev", 1 << 15 }, { NULL, 0 },
};

static const struct name scope_bits[] = { { "abstract_unix_socket", 1 << 0 }, { "signal", 1 << 1 }, { NULL, 0 } };
static const struct name access_bits[] = { { "read", 1 }, { "write", 2 }, { "mknod", 4 }, { NULL, 0 } };

static const char *const op_names[] = {
#define X(upper, lower) [SPEC_MNT_##upper] = #lower,
	SPEC_MOUNT_LIST(X)
#undef X
};
_Static_assert(ARRAY_LEN(op_names) == SPEC_MNT_MAX, "a name for each operation");

static const char *const ns_names[] = {
#define X(upper, lower) [SPEC_NS_##upper] = #lower,
	SPEC_NS_LIST(X)
#undef X
};
_Static_assert(ARRAY_LEN(ns_names) == SPEC_NS_MAX, "a name for each namespace");

static const char *const hook_names[] = {
	[SPEC_HOOK_PRESTART] = "prestart", [SPEC_HOOK_CREATE_RUNTIME] = "createRuntime",
	[SPEC_HOOK_CREATE_CONTAINER] = "createContainer", [SPEC_HOOK_START_CONTAINER] = "startContainer",
	[SPEC_HOOK_POSTSTART] = "poststart", [SPEC_HOOK_POSTSTOP] = "poststop",
};
_Static_assert(ARRAY_LEN(hook_names) == SPEC_HOOK_MAX, "a name for each hook");

static void put_cap_set(struct dump *d, const char *name, uint64_t set)
{
	if (!set)
		return;
	put(d, " %s=", name);
	const char *comma = "";
	for (const struct name *c = names_caps; c->name; c++) {
		if (!((set >> c->value) & 1))
			continue;
		put(d, "%s%s", comma, c->name + strlen("CAP_"));
		comma = ",";
		set &= ~(1ull << c->value);
	}
	if (set)
		put(d, "%s0x%llx", comma, (unsigned long long)set);
}

static void put_caps(struct dump *d)
{
	const struct spec_caps *c = &d->spec->caps;
	put(d, "caps");
	if (!(c->bounding | c->effective | c->permitted | c->inheritable | c->ambient))
		put(d, " none");
	put_cap_set(d, "bounding", c->bounding);
	put_cap_set(d, "effective", c->effective);
	put_cap_set(d, "permitted", c->permitted);
	put_cap_set(d, "inheritable", c->inheritable);
	put_cap_set(d, "ambient", c->ambient);
	put(d, "\n");
}

static void put_cgroup(struct dump *d)
{
	const struct spec_cgroup *c = &d->spec->cgroup;
	put(d, "cgroup");
	put_str(d, "path", d->spec->cgroup_path);
	put_num(d, "memory", c->memory_bytes, 0);
	put_num(d, "memory_low", c->memory_low_bytes, 0);
	if (c->flags & SPEC_CG_SWAP)
		put(d, " swap=%llu", (unsigned long long)c->swap_bytes);
	put_num(d, "cpu_quota_us", c->cpu_quota_us, 0);
	put_num(d, "cpu_period_us", c->cpu_period_us, 0);
	put_num(d, "cpu_burst_us", c->cpu_burst_us, 0);
	put_num(d, "cpu_weight", c->cpu_weight, 0);
	put_num(d, "pids", c->pids, 0);
	put_num(d, "io_weight", c->io_weight, 0);
	put_str(d, "cpus", c->cpuset_cpus);
	put_str(d, "mems", c->cpuset_mems);
	put_bits(d, "flags", c->flags & ~(uint32_t)SPEC_CG_SWAP, cgroup_bits);
	put(d, "\n");
}

static void put_propagation(struct dump *d, const char *key, uint32_t value)
{
	const char *name = name_of(names_propagation, value);
	if (value && name)
		put(d, " %s=%s", key, name);
	else if (value)
		put(d, " %s=0x%x", key, value);
}

static void put_head(struct dump *d)
{
	const struct spec *s = d->spec;

	put(d, "spec version=%u\nflags", s->version);
	put_bits(d, "set", s->flags, flag_bits);
	put(d, "\nnamespaces");
	put_bits(d, "new", s->ns_new, ns_bits);
	put(d, "\nids setup=%u:%u payload=%u:%u umask=%04o fds=%u\n", s->setup_uid, s->setup_gid, s->uid, s->gid, s->umask,
	    s->payload_fds);
	put(d, "names");
	put_str(d, "hostname", s->hostname);
	put_str(d, "domainname", s->domainname);
	put_str(d, "stage_dir", s->stage_dir);
	put_propagation(d, "rootfs_propagation", s->rootfs_propagation);
	put(d, "\n");
	if (s->features_off)
		put(d, "features_off 0x%x\n", s->features_off);
	if (s->personality != UINT32_MAX)
		put(d, "personality 0x%x\n", s->personality);
	if (s->oom_score_adj != INT32_MIN)
		put(d, "oom_score_adj %d\n", s->oom_score_adj);
	if (s->time_offset_mono_ns || s->time_offset_boot_ns)
		put(d, "time_offset monotonic=%lld boottime=%lld\n", (long long)s->time_offset_mono_ns,
		    (long long)s->time_offset_boot_ns);
	if (s->io_class)
		put(d, "ioprio 0x%llx\n", (unsigned long long)s->io_class);
	put_caps(d);
	put_cgroup(d);
	if (s->landlock_handled || s->landlock_scoped) {
		put(d, "landlock_ruleset");
		put_bits(d, "handled", s->landlock_handled, landlock_bits);
		put_bits(d, "scoped", s->landlock_scoped, scope_bits);
		put(d, "\n");
	}
}

static void put_mount(struct dump *d, const struct spec_mount *m)
{
	put(d, "mount %s ", op_names[m->op]);
	put_quoted(d, *spec_text(d->spec, m->dst) ? spec_text(d->spec, m->dst) : "/");
	put_num(d, "tree", m->tree, SPEC_NO_TREE);
	put_str(d, "src", m->src);
	put_str(d, "fstype", m->fstype);
	put_str(d, "data", m->data);
	put_bits(d, "flags", m->flags, mount_bits);
	put_bits(d, "attr", m->attr_set, names_attrs);
	put_bits(d, "clear", m->attr_clear, names_attrs);
	put_propagation(d, "propagation", m->propagation);
	if (m->mode)
		put(d, " mode=%04o", m->mode);
	if (m->op == SPEC_MNT_NODE)
		put(d, " dev=%u:%u", m->major, m->minor);
	if (m->uid || m->gid)
		put(d, " owner=%u:%u", m->uid, m->gid);
	if (m->op == SPEC_MNT_OVERLAY)
		put(d, " lowers=%u+%u", m->first, m->count);
	put_num(d, "size", m->size, 0);
	put_num(d, "inodes", m->inodes, 0);
	put(d, "\n");
}

static void put_mounts(struct dump *d)
{
	const struct spec *s = d->spec;
	unsigned i = 0;

	SPEC_EACH(s, TREE, struct spec_tree, t) {
		put(d, "tree %u", i++);
		put_str(d, "path", t->path);
		put_bits(d, "flags", t->flags, tree_bits);
		put(d, "\n");
	}
	i = 0;
	SPEC_EACH(s, LOWER, struct spec_lower, l) {
		put(d, "lower %u", i++);
		put_num(d, "tree", l->tree, SPEC_NO_TREE);
		put_str(d, "path", l->path);
		put(d, "\n");
	}
	SPEC_EACH(s, MOUNT, struct spec_mount, m)
		put_mount(d, m);
}

static void put_ids(struct dump *d)
{
	SPEC_EACH(d->spec, UID_MAP, struct spec_idmap, u)
		put(d, "uid_map %u %u %u\n", u->inside, u->outside, u->count);
	SPEC_EACH(d->spec, GID_MAP, struct spec_idmap, g)
		put(d, "gid_map %u %u %u\n", g->inside, g->outside, g->count);
	SPEC_EACH(d->spec, GROUP, uint32_t, g)
		put(d, "group %u\n", *g);
	SPEC_EACH(d->spec, JOIN, struct spec_join, j) {
		put(d, "join %s", ns_names[j->ns]);
		put_str(d, "path", j->path);
		put(d, "\n");
	}
}

static void put_limit(struct dump *d, uint64_t value)
{
	if (value == UINT64_MAX)
		put(d, " unlimited");
	else
		put(d, " %llu", (unsigned long long)value);
}

static void put_process(struct dump *d)
{
	SPEC_EACH(d->spec, RLIMIT, struct spec_rlimit, r) {
		put(d, "rlimit %s", name_of(names_rlimits, r->resource) ?: "?");
		put_limit(d, r->soft);
		put_limit(d, r->hard);
		put(d, "\n");
	}
	SPEC_EACH(d->spec, SYSCTL, struct spec_sysctl, c) {
		put(d, "sysctl");
		put_str(d, "path", c->path);
		put_str(d, "value", c->value);
		put(d, "\n");
	}
	SPEC_EACH(d->spec, LANDLOCK, struct spec_landlock, l) {
		put(d, "landlock");
		put_str(d, "path", l->path);
		put_bits(d, "access", l->access, landlock_bits);
		put(d, "\n");
	}
}

static void put_number_or_any(struct dump *d, const char *before, uint32_t value)
{
	if (value == UINT32_MAX)
		put(d, "%s*", before);
	else
		put(d, "%s%u", before, value);
}

static void put_cgroup_records(struct dump *d)
{
	SPEC_EACH(d->spec, DEVICE, struct spec_device, v) {
		put(d, "device %s type=%s", v->allow ? "allow" : "deny",
		    v->type == 'a' ? "all" : v->type == 'b' ? "block" : v->type == 'c' ? "char" : "?");
		put_number_or_any(d, " ", v->major);
		put_number_or_any(d, ":", v->minor);
		put_bits(d, "access", v->access, access_bits);
		put(d, "\n");
	}
	SPEC_EACH(d->spec, IO, struct spec_io, i) {
		put(d, "io %u:%u", i->major, i->minor);
		put_num(d, "rbps", i->rbps, 0);
		put_num(d, "wbps", i->wbps, 0);
		put_num(d, "riops", i->riops, 0);
		put_num(d, "wiops", i->wiops, 0);
		put(d, "\n");
	}
	SPEC_EACH(d->spec, CGROUP_FILE, struct spec_cgroup_file, f) {
		put(d, "cgroup_file");
		put_str(d, "name", f->name);
		put_str(d, "value", f->value);
		put(d, "\n");
	}
}

static void put_words(struct dump *d, uint32_t first, uint32_t count)
{
	uint32_t n;
	const struct spec_word *words = spec_section(d->spec, SPEC_SECT_WORD, &n);
	for (uint32_t i = first; i < first + count; i++) {
		put(d, " ");
		put_quoted(d, spec_text(d->spec, words[i].text));
	}
}

static void put_hooks(struct dump *d)
{
	SPEC_EACH(d->spec, HOOK, struct spec_hook, h) {
		put(d, "hook %s", hook_names[h->kind]);
		put_str(d, "path", h->path);
		put_num(d, "timeout_s", h->timeout_s, 0);
		put(d, " argv:");
		put_words(d, h->argv_first, h->argv_count);
		put(d, " env:");
		put_words(d, h->env_first, h->env_count);
		put(d, "\n");
	}
}

static void put_bpf(struct dump *d, int flags)
{
	uint32_t n;
	const struct spec_bpf *f = spec_section(d->spec, SPEC_SECT_SECCOMP, &n);
	uint64_t hash = 14695981039346656037ull; /* FNV-1a */
	for (size_t i = 0; i < n * sizeof(*f); i++)
		hash = (hash ^ ((const unsigned char *)f)[i]) * 1099511628211ull;
	if (n == 0)
		return;
	put(d, "seccomp instructions=%u hash=%016llx\n", n, (unsigned long long)hash);
	for (uint32_t i = 0; i < n && (flags & DUMP_BPF); i++) {
		static const struct name codes[] = {
			{ "ld", BPF_LD | BPF_W | BPF_ABS }, { "and", BPF_ALU | BPF_AND | BPF_K },
			{ "jeq", BPF_JMP | BPF_JEQ | BPF_K }, { "jge", BPF_JMP | BPF_JGE | BPF_K },
			{ "jgt", BPF_JMP | BPF_JGT | BPF_K }, { "jset", BPF_JMP | BPF_JSET | BPF_K },
			{ "ja", BPF_JMP | BPF_JA }, { "ret", BPF_RET | BPF_K }, { NULL, 0 },
		};
		const char *code = name_of(codes, f[i].code);
		put(d, "bpf %u %s 0x%x", i, code ? code : "?", f[i].k);
		if (!code)
			put(d, " code=0x%x", f[i].code);
		if (BPF_CLASS(f[i].code) == BPF_JMP && BPF_OP(f[i].code) != BPF_JA)
			put(d, " then %u else %u", i + 1 + f[i].jt, i + 1 + f[i].jf);
		put(d, "\n");
	}
}

int dump_spec(const struct spec *s, int flags, struct buf *out)
{
	struct dump d = { .spec = s, .out = out, .status = 0 };
	put_head(&d);
	put_ids(&d);
	put_mounts(&d);
	put_process(&d);
	put_cgroup_records(&d);
	put_hooks(&d);
	put_bpf(&d, flags);
	return d.status;
}

int dump_payload(const struct payload *p, struct buf *out)
{
	struct dump d = { .spec = NULL, .out = out, .status = 0 };
	const char *word = p->data;
	for (uint32_t i = 0; i < p->argc + p->envc + 1; i++) {
		put(&d, "%s ", i < p->argc ? "arg" : i < p->argc + p->envc ? "env" : "cwd");
		put_quoted(&d, word);
		put(&d, "\n");
		word += strlen(word) + 1;
	}
	return d.status;
}
