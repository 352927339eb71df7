/*
 * spec: the check that stands between bytes and a struct spec, and the one for
 * payloads. A whole spec with a record in every section is accepted; then one
 * field after the other is made wrong, and the check must name that one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "plan/compile.h"

/* A record everywhere, so that each rule has something to look at. */
static void fill(struct plan *p)
{
	struct spec_idmap map = { 0, 100000, 65536 };
	struct spec_join join = { SPEC_NS_NET, plan_str(p, "/proc/1/ns/net") };
	struct spec_tree tree = { plan_str(p, "/usr"), SPEC_TREE_IDMAP };
	struct spec_lower lower = { plan_str(p, "/image"), SPEC_NO_TREE };
	struct spec_rlimit rlimit = { 7, 0, 10, 10 };
	struct spec_sysctl sysctl = { plan_str(p, "net/ipv4/ip_forward"), plan_str(p, "0") };
	struct spec_landlock landlock = { 1, plan_str(p, "/tmp"), 0 };
	struct spec_bpf bpf = { 6, 0, 0, 0x7fff0000 };
	struct spec_word word = { plan_str(p, "word") };
	struct spec_hook hook = { SPEC_HOOK_POSTSTOP, plan_str(p, "/bin/true"), 0, 1, 0, 0, 1, 0 };
	struct spec_device device = { 'a', 0, 0, 0, 7 };
	struct spec_io io = { 8, 0, 1, 1, 1, 1 };
	struct spec_cgroup_file file = { plan_str(p, "memory.high"), plan_str(p, "max") };
	uint32_t group = 5;

	plan_add_uid_map(p, &map);
	plan_add_gid_map(p, &map);
	plan_add_join(p, &join);
	plan_add_tree(p, &tree);
	plan_add_lower(p, &lower);
	struct spec_mount root = plan_mount(p, SPEC_MNT_OVERLAY, "");
	root.count = 1;
	plan_add_mount(p, &root);
	struct spec_mount usr = plan_mount(p, SPEC_MNT_TREE, "/usr");
	usr.tree = 0;
	plan_add_mount(p, &usr);
	plan_add_rlimit(p, &rlimit);
	plan_add_sysctl(p, &sysctl);
	plan_add_group(p, &group);
	plan_add_landlock(p, &landlock);
	plan_add_seccomp(p, &bpf);
	plan_add_word(p, &word);
	plan_add_hook(p, &hook);
	plan_add_device(p, &device);
	plan_add_io(p, &io);
	plan_add_cgroup_file(p, &file);
	p->head.hostname = plan_str(p, "host");
	p->head.payload_fds = 3;
}

static void whole_spec(struct buf *out)
{
	struct plan p;
	struct err err = ERR_INIT;
	plan_init(&p);
	fill(&p);
	assert_int_equal(plan_finish(&p, out, &err), 0);
	plan_fini(&p);
}

#define RECORD(s, which, type) ((type *)((char *)(s) + (s)->section[SPEC_SECT_##which].off))

/* Each wrong field, in a copy of the whole spec, and the name it must get. */
#define SPEC_FAULTS(X)                                                                                       \
	X(size_short, "size", s->size--)                                                                     \
	X(magic, "magic or version", s->magic ^= 1)                                                          \
	X(version, "magic or version", s->version++)                                                         \
	X(unknown_flag, "flags", s->flags |= 1u << SPEC_F_MAX)                                               \
	X(unknown_namespace, "flags", s->ns_new |= 1u << SPEC_NS_MAX)                                        \
	X(too_few_fds, "payload_fds", s->payload_fds = 2)                                                    \
	X(too_many_fds, "payload_fds", s->payload_fds = 513)                                                 \
	X(strings_in_head, "strings", s->strings.off = (uint32_t)sizeof(*s) - 1)                             \
	X(strings_past_end, "strings", s->strings.count++)                                                   \
	X(strings_wrap, "strings", s->strings.count = UINT32_MAX)                                            \
	X(strings_none, "strings", s->strings.count = 0)                                                     \
	X(strings_off_far, "strings", s->strings.off = UINT32_MAX)                                           \
	X(string_start, "string ends", ((char *)s)[s->strings.off] = 'x')                                    \
	X(string_end, "string ends", ((char *)s)[s->strings.off + s->strings.count - 1] = 'x')               \
	X(section_odd, "section bounds", s->section[SPEC_SECT_GROUP].off += 4)                               \
	X(section_in_head, "section bounds", s->section[SPEC_SECT_WORD].off = 8)                             \
	X(section_past_end, "section bounds", s->section[SPEC_SECT_MOUNT].off = s->size & ~7u)               \
	X(section_off_far, "section bounds", s->section[SPEC_SECT_TREE].off = UINT32_MAX & ~7u)              \
	X(hostname, "string", s->hostname = s->strings.count)                                                \
	X(domainname, "string", s->domainname = UINT32_MAX)                                                  \
	X(stage_dir, "string", s->stage_dir = s->strings.count)                                              \
	X(cgroup_path, "string", s->cgroup_path = s->strings.count)                                          \
	X(cpus, "string", s->cgroup.cpuset_cpus = s->strings.count)                                          \
	X(mems, "string", s->cgroup.cpuset_mems = s->strings.count)                                          \
	X(mount_op, "mount op", RECORD(s, MOUNT, struct spec_mount)->op = SPEC_MNT_MAX)                      \
	X(mount_src, "mount string", RECORD(s, MOUNT, struct spec_mount)->src = s->strings.count)            \
	X(mount_dst, "mount string", RECORD(s, MOUNT, struct spec_mount)->dst = s->strings.count)            \
	X(mount_fstype, "mount string", RECORD(s, MOUNT, struct spec_mount)->fstype = s->strings.count)      \
	X(mount_data, "mount string", RECORD(s, MOUNT, struct spec_mount)->data = UINT32_MAX)                \
	X(mount_tree, "mount tree", RECORD(s, MOUNT, struct spec_mount)[1].tree = 1)                         \
	X(mount_no_tree, "mount tree", RECORD(s, MOUNT, struct spec_mount)[1].tree = SPEC_NO_TREE)           \
	X(overlay_empty, "mount lowers", RECORD(s, MOUNT, struct spec_mount)->count = 0)                     \
	X(overlay_many, "mount lowers", RECORD(s, MOUNT, struct spec_mount)->count = 2)                      \
	X(overlay_wrap, "mount lowers", RECORD(s, MOUNT, struct spec_mount)->first = UINT32_MAX)             \
	X(lower_path, "lower", RECORD(s, LOWER, struct spec_lower)->path = s->strings.count)                 \
	X(lower_tree, "lower", RECORD(s, LOWER, struct spec_lower)->tree = 1)                                \
	X(tree_path, "tree", RECORD(s, TREE, struct spec_tree)->path = s->strings.count)                     \
	X(tree_empty, "tree", RECORD(s, TREE, struct spec_tree)->path = 0)                                   \
	X(join_ns, "join", RECORD(s, JOIN, struct spec_join)->ns = SPEC_NS_MAX)                              \
	X(join_path, "join", RECORD(s, JOIN, struct spec_join)->path = s->strings.count)                     \
	X(sysctl_path, "sysctl", RECORD(s, SYSCTL, struct spec_sysctl)->path = s->strings.count)             \
	X(sysctl_value, "sysctl", RECORD(s, SYSCTL, struct spec_sysctl)->value = s->strings.count)           \
	X(landlock_path, "landlock", RECORD(s, LANDLOCK, struct spec_landlock)->path = s->strings.count)     \
	X(word_text, "word", RECORD(s, WORD, struct spec_word)->text = s->strings.count)                     \
	X(hook_kind, "hook", RECORD(s, HOOK, struct spec_hook)->kind = SPEC_HOOK_MAX)                        \
	X(hook_path, "hook", RECORD(s, HOOK, struct spec_hook)->path = s->strings.count)                     \
	X(hook_argv, "hook", RECORD(s, HOOK, struct spec_hook)->argv_count = 2)                              \
	X(hook_argv_wrap, "hook", RECORD(s, HOOK, struct spec_hook)->argv_first = UINT32_MAX)                \
	X(hook_env, "hook", RECORD(s, HOOK, struct spec_hook)->env_count = 2)                                \
	X(file_name, "cgroup file", RECORD(s, CGROUP_FILE, struct spec_cgroup_file)->name = s->strings.count) \
	X(file_value, "cgroup file", RECORD(s, CGROUP_FILE, struct spec_cgroup_file)->value = s->strings.count) \
	X(rlimit, "rlimit", RECORD(s, RLIMIT, struct spec_rlimit)->resource = 16)

struct fault {
	const char *name, *what;
	void (*make)(struct spec *s);
};
#define X(id, text, change) \
	static void make_##id(struct spec *s) { change; }
SPEC_FAULTS(X)
#undef X
static const struct fault faults[] = {
#define X(id, text, change) { #id, text, make_##id },
	SPEC_FAULTS(X)
#undef X
};

/* In memory that ends with the block, so that a read past it is seen by the sanitizers. */
static int check_copy(const void *data, size_t len, void (*make)(struct spec *s), const char **what)
{
	void *copy = malloc(len);
	assert_non_null(copy);
	memcpy(copy, data, len);
	if (make)
		make(copy);
	int r = spec_check(copy, len, what);
	free(copy);
	return r;
}

static void every_rule_is_named(void **state)
{
	(void)state;
	autobuf struct buf whole = BUF_INIT(SPEC_SIZE_MAX);
	const char *what = "";
	whole_spec(&whole);
	assert_int_equal(check_copy(whole.data, whole.len, NULL, &what), 0);
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		what = "accepted";
		int r = check_copy(whole.data, whole.len, faults[i].make, &what);
		if (r != -EINVAL || strcmp(what, faults[i].what) != 0)
			fail_msg("%s: %d, named \"%s\" instead of \"%s\"", faults[i].name, r, what, faults[i].what);
	}
}

static void too_many_records(void **state)
{
	(void)state;
	autobuf struct buf whole = BUF_INIT(SPEC_SIZE_MAX);
	whole_spec(&whole);
	for (int i = 0; i < SPEC_SECT_MAX; i++) {
		const char *what = "accepted";
		struct spec *s = (struct spec *)whole.data;
		uint32_t count = s->section[i].count;
		s->section[i].count = spec_section_limit((enum spec_section)i) + 1;
		assert_int_equal(spec_check(s, whole.len, &what), -EINVAL);
		assert_string_equal(what, "section count");
		/* as many as may be, but the block is shorter */
		s->section[i].count = spec_section_limit((enum spec_section)i);
		what = "accepted";
		if (spec_check(s, whole.len, &what) == 0)
			fail_msg("section %d: %u records in a block of %zu bytes", i, s->section[i].count, whole.len);
		s->section[i].count = count;
	}
}

/* No prefix of a spec is one, and neither is one with bytes behind it. */
static void only_the_whole_block(void **state)
{
	(void)state;
	autobuf struct buf whole = BUF_INIT(SPEC_SIZE_MAX);
	const char *what;
	whole_spec(&whole);
	for (size_t len = 0; len < whole.len; len++) {
		void *copy = malloc(len ? len : 1);
		assert_non_null(copy);
		memcpy(copy, whole.data, len);
		what = "accepted";
		assert_int_equal(spec_check(copy, len, &what), -EINVAL);
		assert_string_equal(what, "size");
		free(copy);
	}
	static uint64_t large[SPEC_SIZE_MAX / 8 + 1];
	memcpy(large, whole.data, whole.len);
	((struct spec *)large)->size = sizeof(large);
	assert_int_equal(spec_check(large, sizeof(large), &what), -EINVAL);
	assert_string_equal(what, "size");
}

/* Whatever one byte becomes, the answer comes without a read outside (the sanitizers look on). */
static void any_byte_may_change(void **state)
{
	(void)state;
	autobuf struct buf whole = BUF_INIT(SPEC_SIZE_MAX);
	const char *what;
	whole_spec(&whole);
	uint64_t *copy = malloc(whole.len);
	assert_non_null(copy);
	int refused = 0;
	for (size_t at = 0; at < whole.len; at++)
		for (int bit = 0; bit < 8; bit++) {
			memcpy(copy, whole.data, whole.len);
			((unsigned char *)copy)[at] ^= (unsigned char)(1 << bit);
			refused += spec_check(copy, whole.len, &what) < 0;
		}
	assert_true(refused > 1000);
	free(copy);
}

static void payload_rules(void **state)
{
	(void)state;
	static const char *const argv[] = { "/bin/prog", "an argument", "", NULL }, *const env[] = { "A=1", "B=", NULL };
	autobuf struct buf out = BUF_INIT(PAYLOAD_SIZE_MAX);
	struct err err = ERR_INIT;
	const char *what = "";
	assert_int_equal(payload_build(argv, env, "/tmp", &out, &err), 0);
	assert_int_equal(payload_check(out.data, out.len, &what), 0);
	struct payload *p = (struct payload *)out.data, before = *p;

#define REFUSED(change, text)                                                       \
	do {                                                                        \
		change;                                                             \
		what = "accepted";                                                  \
		assert_int_equal(payload_check(out.data, out.len, &what), -EINVAL); \
		assert_string_equal(what, text);                                    \
		*p = before;                                                        \
	} while (0)
	REFUSED(p->size++, "payload size");
	REFUSED(p->magic ^= 1, "payload magic or version");
	REFUSED(p->version++, "payload magic or version");
	REFUSED(p->argc = 0, "payload word count");
	REFUSED(p->argc = PAYLOAD_WORDS_MAX + 1, "payload word count");
	REFUSED(p->envc = PAYLOAD_WORDS_MAX + 1, "payload word count");
	REFUSED(p->argc++, "payload words");
	REFUSED(p->envc--, "payload words");
	out.data[out.len - 1] = 'x';
	REFUSED((void)0, "payload words");
	out.data[out.len - 1] = '\0';
	/* as many words as said, but the last one is not ended */
	out.data[sizeof(*p)] = '\0';
	out.data[out.len - 1] = 'x';
	REFUSED((void)0, "payload words");

	for (size_t len = 0; len < sizeof(*p); len++)
		assert_int_equal(payload_check(out.data, len, &what), -EINVAL);
	struct payload empty = { PAYLOAD_MAGIC, SPEC_VERSION, sizeof(empty), 1, 0, 0 };
	assert_int_equal(payload_check(&empty, sizeof(empty), &what), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_rule_is_named), cmocka_unit_test(too_many_records), cmocka_unit_test(only_the_whole_block),
		cmocka_unit_test(any_byte_may_change), cmocka_unit_test(payload_rules),
	};
	return cmocka_run_group_tests_name("spec", tests, NULL, NULL);
}
