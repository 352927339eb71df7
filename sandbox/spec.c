/*
 * spec_check - the gate between bytes and struct spec.
 *
 * Freestanding: also compiled into fc-sandbox, which has no libc. Every rule a
 * stage relies on is proved here, so that no stage checks a bound again.
 */
#include "sandbox/spec.h"

#define EINVAL_ 22

static const uint32_t record_size[SPEC_SECT_MAX] = {
#define X(upper, lower, type) [SPEC_SECT_##upper] = sizeof(type),
	SPEC_SECTION_LIST(X)
#undef X
};

static const uint32_t record_max[SPEC_SECT_MAX] = {
	[SPEC_SECT_UID_MAP] = 340, [SPEC_SECT_GID_MAP] = 340, /* user_namespaces(7) */
	[SPEC_SECT_JOIN] = SPEC_NS_MAX, [SPEC_SECT_TREE] = 240, [SPEC_SECT_MOUNT] = 2048,
	[SPEC_SECT_LOWER] = 64, [SPEC_SECT_RLIMIT] = 16, [SPEC_SECT_SYSCTL] = 256,
	[SPEC_SECT_GROUP] = 1024, [SPEC_SECT_LANDLOCK] = 64, [SPEC_SECT_SECCOMP] = 4096, /* BPF_MAXINSNS */
	[SPEC_SECT_HOOK] = 64, [SPEC_SECT_WORD] = 4096, [SPEC_SECT_DEVICE] = 256,
	[SPEC_SECT_IO] = 64, [SPEC_SECT_CGROUP_FILE] = 64,
};

uint32_t spec_section_limit(enum spec_section which) { return record_max[which]; }

#define FAIL(text)             \
	do {                   \
		*what = text;  \
		return -EINVAL_; \
	} while (0)

static int in_range(uint32_t first, uint32_t count, uint32_t limit)
{
	return first <= limit && count <= limit - first;
}

/* The string area begins and ends with NUL, so every offset inside names a terminated string. */
static int check_strings(const struct spec *s, const char **what)
{
	const char *text = (const char *)s + s->strings.off;

	if (s->strings.off < sizeof(*s) || s->strings.count == 0 || !in_range(s->strings.off, s->strings.count, s->size))
		FAIL("strings");
	if (text[0] != '\0' || text[s->strings.count - 1] != '\0')
		FAIL("string ends");
	return 0;
}

static int check_sections(const struct spec *s, const char **what)
{
	for (int i = 0; i < SPEC_SECT_MAX; i++) {
		const struct spec_span *span = &s->section[i];
		if (span->count > record_max[i])
			FAIL("section count");
		if (span->off % 8 || span->off < sizeof(*s) || span->off > s->size ||
		    (uint64_t)span->count * record_size[i] > s->size - span->off)
			FAIL("section bounds");
	}
	return 0;
}

static int is_str(const struct spec *s, spec_str str) { return str < s->strings.count; }

static int check_mounts(const struct spec *s, const char **what)
{
	uint32_t lowers = s->section[SPEC_SECT_LOWER].count, trees = s->section[SPEC_SECT_TREE].count;

	SPEC_EACH(s, MOUNT, struct spec_mount, m) {
		if (m->op >= SPEC_MNT_MAX)
			FAIL("mount op");
		if (!is_str(s, m->src) || !is_str(s, m->dst) || !is_str(s, m->fstype) || !is_str(s, m->data))
			FAIL("mount string");
		if (m->tree != SPEC_NO_TREE && m->tree >= trees)
			FAIL("mount tree");
		if (m->op == SPEC_MNT_TREE && m->tree == SPEC_NO_TREE)
			FAIL("mount tree");
		if (m->op == SPEC_MNT_OVERLAY && (m->count == 0 || !in_range(m->first, m->count, lowers)))
			FAIL("mount lowers");
	}
	SPEC_EACH(s, LOWER, struct spec_lower, l) {
		if (!is_str(s, l->path) || (l->tree != SPEC_NO_TREE && l->tree >= trees))
			FAIL("lower");
	}
	SPEC_EACH(s, TREE, struct spec_tree, t) {
		if (!is_str(s, t->path) || !*spec_text(s, t->path))
			FAIL("tree");
	}
	return 0;
}

static int check_records(const struct spec *s, const char **what)
{
	uint32_t words = s->section[SPEC_SECT_WORD].count;

	SPEC_EACH(s, JOIN, struct spec_join, j)
		if (j->ns >= SPEC_NS_MAX || !is_str(s, j->path))
			FAIL("join");
	SPEC_EACH(s, SYSCTL, struct spec_sysctl, c)
		if (!is_str(s, c->path) || !is_str(s, c->value))
			FAIL("sysctl");
	SPEC_EACH(s, LANDLOCK, struct spec_landlock, l)
		if (!is_str(s, l->path))
			FAIL("landlock");
	SPEC_EACH(s, WORD, struct spec_word, w)
		if (!is_str(s, w->text))
			FAIL("word");
	SPEC_EACH(s, HOOK, struct spec_hook, h)
		if (h->kind >= SPEC_HOOK_MAX || !is_str(s, h->path) || !in_range(h->argv_first, h->argv_count, words) ||
		    !in_range(h->env_first, h->env_count, words))
			FAIL("hook");
	SPEC_EACH(s, CGROUP_FILE, struct spec_cgroup_file, f)
		if (!is_str(s, f->name) || !is_str(s, f->value))
			FAIL("cgroup file");
	SPEC_EACH(s, RLIMIT, struct spec_rlimit, r)
		if (r->resource >= 16)
			FAIL("rlimit");
	return 0;
}

int spec_check(const void *data, size_t size, const char **what)
{
	const struct spec *s = data;

	if (size < sizeof(*s) || size > SPEC_SIZE_MAX || s->size != size)
		FAIL("size");
	if (s->magic != SPEC_MAGIC || s->version != SPEC_VERSION)
		FAIL("magic or version");
	if (s->flags >> SPEC_F_MAX || s->ns_new >> SPEC_NS_MAX)
		FAIL("flags");
	if (s->payload_fds < 3 || s->payload_fds > 512)
		FAIL("payload_fds");

	int r = check_strings(s, what);
	if (r == 0)
		r = check_sections(s, what);
	if (r == 0 && (!is_str(s, s->hostname) || !is_str(s, s->domainname) || !is_str(s, s->stage_dir) ||
		       !is_str(s, s->cgroup_path) || !is_str(s, s->cgroup.cpuset_cpus) ||
		       !is_str(s, s->cgroup.cpuset_mems)))
		FAIL("string");
	if (r == 0)
		r = check_mounts(s, what);
	if (r == 0)
		r = check_records(s, what);
	return r;
}

int payload_check(const void *data, size_t size, const char **what)
{
	const struct payload *p = data;

	if (size < sizeof(*p) || size > PAYLOAD_SIZE_MAX || p->size != size)
		FAIL("payload size");
	if (p->magic != PAYLOAD_MAGIC || p->version != SPEC_VERSION)
		FAIL("payload magic or version");
	if (p->argc == 0 || p->argc > PAYLOAD_WORDS_MAX || p->envc > PAYLOAD_WORDS_MAX)
		FAIL("payload word count");

	uint32_t words = p->argc + p->envc + 1, seen = 0; /* + 1: the working directory */
	for (size_t i = 0; i < size - sizeof(*p); i++)
		if (p->data[i] == '\0')
			seen++;
	if (seen != words || p->data[size - sizeof(*p) - 1] != '\0')
		FAIL("payload words");
	return 0;
}
