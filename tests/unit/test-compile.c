/* compile: the spec writer, the payload writer, and a whole function's wish. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/cleanup.h"
#include "plan/compile.h"
#include "plan/wish.h"

static void test_empty_is_well_formed(void **state)
{
	(void)state;
	struct plan p;
	struct err err = ERR_INIT;
	autobuf struct buf out = BUF_INIT(SPEC_SIZE_MAX);
	plan_init(&p);
	assert_int_equal(plan_finish(&p, &out, &err), 0);
	const struct spec *s = (const struct spec *)out.data;
	assert_int_equal(s->size, out.len);
	assert_string_equal(spec_text(s, 0), "");
	plan_fini(&p);
}

static void test_strings_are_shared(void **state)
{
	(void)state;
	struct plan p;
	struct err err = ERR_INIT;
	autobuf struct buf out = BUF_INIT(SPEC_SIZE_MAX);
	spec_str at[300];
	plan_init(&p);
	assert_int_equal(plan_str(&p, NULL), 0);
	assert_int_equal(plan_str(&p, ""), 0);
	for (int i = 0; i < 300; i++)
		at[i] = plan_strf(&p, "string-%d", i);
	for (int i = 0; i < 300; i++) {
		assert_true(at[i] > 0);
		assert_int_equal(plan_strf(&p, "string-%d", i), at[i]);
	}
	p.head.hostname = at[7];
	assert_int_equal(plan_finish(&p, &out, &err), 0);
	assert_string_equal(spec_text((const struct spec *)out.data, at[299]), "string-299");
	plan_fini(&p);
}

static void test_records_keep_order_and_content(void **state)
{
	(void)state;
	struct plan p;
	struct err err = ERR_INIT;
	autobuf struct buf out = BUF_INIT(SPEC_SIZE_MAX);
	plan_init(&p);
	for (uint32_t i = 0; i < 5; i++) {
		uint32_t gid = 100 + i;
		assert_int_equal(plan_add_group(&p, &gid), i);
		struct spec_mount m = plan_mount(&p, SPEC_MNT_DIR, i % 2 ? "/odd" : "/even");
		m.mode = i;
		assert_int_equal(plan_add_mount(&p, &m), i);
	}
	assert_int_equal(plan_count(&p, SPEC_SECT_MOUNT), 5);
	assert_int_equal(plan_finish(&p, &out, &err), 0);
	const struct spec *s = (const struct spec *)out.data;
	uint32_t i = 0;
	SPEC_EACH(s, MOUNT, struct spec_mount, m) {
		assert_int_equal(m->mode, i);
		assert_string_equal(spec_text(s, m->dst), i % 2 ? "/odd" : "/even");
		i++;
	}
	assert_int_equal(i, 5);
	i = 0;
	SPEC_EACH(s, GROUP, uint32_t, g)
		assert_int_equal(*g, 100 + i++);
	plan_fini(&p);
}

static void test_first_failure_sticks(void **state)
{
	(void)state;
	struct plan p;
	struct err err = ERR_INIT;
	autobuf struct buf out = BUF_INIT(SPEC_SIZE_MAX);
	plan_init(&p);
	uint32_t limit = spec_section_limit(SPEC_SECT_LANDLOCK);
	struct spec_landlock l = { .access = 1, .path = plan_str(&p, "/x") };
	for (uint32_t i = 0; i < limit; i++)
		plan_add_landlock(&p, &l);
	assert_int_equal(p.status, 0);
	plan_add_landlock(&p, &l);
	assert_true(p.status < 0);
	plan_fail(&p, EIO, "a later one");
	assert_int_equal(plan_str(&p, "ignored"), 0);
	assert_int_equal(plan_finish(&p, &out, &err), -EINVAL);
	assert_string_equal(err.text, "more than 64 landlock records");
	assert_int_equal(out.len, 0);
	plan_fini(&p);
}

static void test_strings_are_bounded(void **state)
{
	(void)state;
	struct plan p;
	struct err err = ERR_INIT;
	autobuf struct buf out = BUF_INIT(SPEC_SIZE_MAX);
	autofree char *big = malloc(SPEC_SIZE_MAX / 2);
	memset(big, 'x', SPEC_SIZE_MAX / 2);
	big[SPEC_SIZE_MAX / 2 - 1] = '\0';
	plan_init(&p);
	plan_str(&p, big);
	big[0] = 'y';
	plan_str(&p, big);
	assert_true(plan_finish(&p, &out, &err) < 0);
	assert_non_null(strstr(err.text, "at most 1048576 bytes"));
	plan_fini(&p);
}

static void test_dangling_reference_is_found(void **state)
{
	(void)state;
	struct plan p;
	struct err err = ERR_INIT;
	autobuf struct buf out = BUF_INIT(SPEC_SIZE_MAX);
	plan_init(&p);
	struct spec_mount m = plan_mount(&p, SPEC_MNT_TREE, "/usr");
	m.tree = 3;
	plan_add_mount(&p, &m);
	assert_int_equal(plan_finish(&p, &out, &err), -EINVAL);
	assert_non_null(strstr(err.text, "mount tree"));
	plan_fini(&p);
}

static void test_payload(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	autobuf struct buf out = BUF_INIT(PAYLOAD_SIZE_MAX);
	const char *const argv[] = { "/bin/echo", "", "a b", NULL }, *const env[] = { "A=1", NULL };
	assert_int_equal(payload_build(argv, env, NULL, &out, &err), 0);
	const struct payload *p = (const struct payload *)out.data;
	assert_int_equal(p->argc, 3);
	assert_int_equal(p->envc, 1);
	assert_memory_equal(p->data, "/bin/echo\0\0a b\0A=1\0/", 21);
}

static void expect_payload_error(const char *const *argv, const char *const *env, const char *cwd, const char *text)
{
	struct err err = ERR_INIT;
	autobuf struct buf out = BUF_INIT(PAYLOAD_SIZE_MAX);
	assert_true(payload_build(argv, env, cwd, &out, &err) < 0);
	if (!strstr(err.text, text))
		fail_msg("\"%s\" is not in \"%s\"", text, err.text);
}

static void test_payload_limits(void **state)
{
	(void)state;
	const char *const none[] = { NULL }, *const one[] = { "x", NULL };
	expect_payload_error(none, NULL, "/", "no program to run");

	autofree char *long_word = malloc(PAYLOAD_WORD_MAX + 1);
	memset(long_word, 'x', PAYLOAD_WORD_MAX);
	long_word[PAYLOAD_WORD_MAX] = '\0';
	const char *const too_long[] = { "x", long_word, NULL };
	expect_payload_error(too_long, NULL, "/", "argument 1 has 131072 bytes; at most 131071");
	expect_payload_error(one, too_long, "/", "environment variable 1 has");

	const char **many = calloc(PAYLOAD_WORDS_MAX + 2, sizeof(*many));
	for (int i = 0; i <= PAYLOAD_WORDS_MAX; i++)
		many[i] = "x";
	expect_payload_error(many, NULL, "/", "more than 16384 arguments");
	long_word[PAYLOAD_WORD_MAX - 1] = '\0';
	for (int i = 0; i < 20; i++)
		many[i] = long_word;
	many[20] = NULL;
	expect_payload_error(many, NULL, "/", "arguments (at most 2097152 bytes in all)");
	free(many);
}

static struct function_wish host_wish(void)
{
	return (struct function_wish){
		.runtime = FUNCTION_PYTHON3, .limits = { .memory_bytes = 128 << 20, .pids = WISH_PIDS, .tmp_bytes = 1 << 20 },
		.image = WISH_IMAGE_HOST, .etc_dir = "/data/images/host/etc", .lib64 = true, .code_layer = "/layers/aa",
		.runtime_dir = "/data/images/python3", .uid_base = 100000, .gid_base = 100000, .stage_dir = "/stage",
	};
}

static void expect_wish_error(const struct function_wish *w, const char *text)
{
	struct err err = ERR_INIT;
	autobuf struct buf out = BUF_INIT(SPEC_SIZE_MAX);
	assert_true(plan_function(w, &out, &err) < 0);
	if (!strstr(err.text, text))
		fail_msg("\"%s\" is not in \"%s\"", text, err.text);
}

static void test_wish_refusals(void **state)
{
	(void)state;
	static const char *const bad_bind[] = { "/etc/hosts", "/root", NULL };
	static const char *const dotdot[] = { "/etc/../root", NULL };
	struct function_wish w = host_wish();
	w.code_layer = NULL;
	expect_wish_error(&w, "code directory: missing");
	w = host_wish(), w.code_dir = "/code";
	expect_wish_error(&w, "both a code directory and a code layer");
	w = host_wish(), w.code_layer = "relative";
	expect_wish_error(&w, "code layer: relative: must be an absolute path");
	w = host_wish(), w.uid_base = 0;
	expect_wish_error(&w, "id range: begins at 0");
	w = host_wish(), w.gid_base = UINT32_MAX - 100;
	expect_wish_error(&w, "id range: 65536 ids do not fit");
	w = host_wish(), w.limits.tmp_bytes = 0;
	expect_wish_error(&w, "size of /tmp: missing");
	w = host_wish(), w.runtime_dir = NULL;
	expect_wish_error(&w, "runtime directory: missing");
	w = host_wish(), w.etc_binds = bad_bind;
	expect_wish_error(&w, "/root: must be a path below /etc");
	w = host_wish(), w.etc_binds = dotdot;
	expect_wish_error(&w, "/etc/../root: must be a path below /etc");
	w = host_wish(), w.ids = WISH_IDS_SINGLE, w.idmap = true;
	expect_wish_error(&w, "idmapped mounts need a range of ids");
	w = host_wish(), w.image = WISH_IMAGE_DIR;
	expect_wish_error(&w, "image directory: missing");
	w = host_wish(), w.stage_dir = NULL;
	expect_wish_error(&w, "stage directory: missing");
}

/* What every function's sandbox has, whatever was wished. */
static void test_wish_floor(void **state)
{
	(void)state;
	for (int net = WISH_NET_NONE; net <= WISH_NET_HOST; net++) {
		for (int ids = WISH_IDS_RANGE; ids <= WISH_IDS_SINGLE; ids++) {
			struct function_wish w = host_wish();
			struct err err = ERR_INIT;
			autobuf struct buf out = BUF_INIT(SPEC_SIZE_MAX);
			w.net = (enum wish_net)net;
			w.ids = (enum wish_ids)ids;
			assert_int_equal(plan_function(&w, &out, &err), 0);
			const struct spec *s = (const struct spec *)out.data;
			static const struct spec_caps no_caps;
			assert_memory_equal(&s->caps, &no_caps, sizeof(no_caps));
			assert_true(spec_has(s, SPEC_F_NO_NEW_PRIVS) && spec_has(s, SPEC_F_ROOT_READONLY));
			assert_true(spec_new_ns(s, SPEC_NS_USER) && spec_new_ns(s, SPEC_NS_PID) &&
				    spec_new_ns(s, SPEC_NS_MOUNT) && spec_new_ns(s, SPEC_NS_IPC) &&
				    spec_new_ns(s, SPEC_NS_UTS) && spec_new_ns(s, SPEC_NS_CGROUP));
			assert_int_equal(spec_new_ns(s, SPEC_NS_NET), net == WISH_NET_NONE);
			assert_int_equal(spec_has(s, SPEC_F_SETGROUPS_DENY), ids == WISH_IDS_SINGLE);
			assert_int_equal(s->uid, WISH_UID_INSIDE);
			assert_true(s->section[SPEC_SECT_SECCOMP].count > 50);
			assert_true((s->cgroup.flags & SPEC_CG_SWAP) && s->cgroup.swap_bytes == 0);
		}
	}
}

static void test_start(void **state)
{
	(void)state;
	struct function f;
	struct err err = ERR_INIT;
	autobuf struct buf out = BUF_INIT(PAYLOAD_SIZE_MAX);
	function_init(&f);
	f.name = strdup("hello");
	assert_int_equal(function_env_set(&f, "PATH", "/mine", &err), 0);
	static const char *const extra[] = { "LANG=de_DE.UTF-8", "X=1", NULL };
	struct function_start start = { .function = &f, .entry = "run.sh", .instance_id = "i-1", .extra_env = extra };
	assert_int_equal(plan_function_payload(&start, &out, &err), 0);
	const struct payload *p = (const struct payload *)out.data;
	assert_string_equal(p->data, "/code/run.sh");
	unsigned path = 0, lang = 0, handler = 0;
	const char *word = p->data;
	for (uint32_t i = 0; i < p->argc + p->envc; i++, word += strlen(word) + 1) {
		path += strncmp(word, "PATH=", 5) == 0;
		lang += strncmp(word, "LANG=", 5) == 0;
		handler += strcmp(word, "FC_FUNCTION_HANDLER=run.sh") == 0;
		if (strncmp(word, "PATH=", 5) == 0)
			assert_string_equal(word, "PATH=/mine");
		if (strncmp(word, "LANG=", 5) == 0)
			assert_string_equal(word, "LANG=de_DE.UTF-8");
	}
	assert_int_equal(path, 1);
	assert_int_equal(lang, 1);
	assert_int_equal(handler, 1);
	assert_string_equal(word, "/code");

	static const char *const bad[] = { "no-equals-sign", NULL };
	start.extra_env = bad;
	buf_reset(&out);
	assert_true(plan_function_payload(&start, &out, &err) < 0);
	assert_string_equal(err.text, "environment variable no-equals-sign: must be NAME=VALUE");
	function_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_is_well_formed), cmocka_unit_test(test_strings_are_shared),
		cmocka_unit_test(test_records_keep_order_and_content), cmocka_unit_test(test_first_failure_sticks),
		cmocka_unit_test(test_strings_are_bounded), cmocka_unit_test(test_dangling_reference_is_found),
		cmocka_unit_test(test_payload), cmocka_unit_test(test_payload_limits), cmocka_unit_test(test_wish_refusals),
		cmocka_unit_test(test_wish_floor), cmocka_unit_test(test_start),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
