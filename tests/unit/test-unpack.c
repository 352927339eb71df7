/*
 * unpack: every made-up bundle comes to the outcome that the table states, the
 * message names the entry, and nothing appears outside of the target.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/str.h"
#include "bundles.h"
#include "unpack/digest.h"
#include "unpack/result.h"
#include "unpack/stream.h"
#include "unpack/tree.h"
#include "unpack/unpack.h"
#include "unpack/zipdir.h"

static const struct unpack_limits small = { BUNDLE_LIMITS };

static char top[64]; /* everything that a test makes */

/* A directory with a sentinel and, in it, the target. */
struct place {
	char path[80];
	int dir, target;
};

static void place_init(struct place *p)
{
	snprintf(p->path, sizeof(p->path), "%s/XXXXXX", top);
	assert_non_null(mkdtemp(p->path));
	p->dir = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(p->dir, "target", 0755), 0);
	p->target = openat(p->dir, "target", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autoclose int fd = openat(p->dir, "sentinel", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(p->dir >= 0 && p->target >= 0 && fd >= 0);
	assert_int_equal(write(fd, "untouched", 9), 9);
}

static void place_check_and_fini(struct place *p)
{
	char text[32];
	assert_int_equal(fd_read_file_at(p->dir, "sentinel", text, sizeof(text)), 9);
	assert_string_equal(text, "untouched");
	struct stat st;
	assert_int_equal(fstatat(p->dir, "sentinel", &st, 0), 0);
	assert_int_equal(st.st_nlink, 1);
	unsigned count = 0;
	autodir DIR *d = opendir(p->path);
	for (struct dirent *e; (e = readdir(d));)
		count += e->d_name[0] != '.';
	assert_int_equal(count, 2);
	close(p->target);
	close(p->dir);
	assert_int_equal(fd_remove_tree_at(AT_FDCWD, p->path), 0);
}

static int bundle_fd(const struct buf *b)
{
	int fd = fd_sealed_memfd("bundle", b->data ? b->data : "", b->len);
	assert_true(fd >= 0);
	return fd;
}

static struct unpack_result run(const struct place *p, const struct buf *b, const char *prefix,
				const struct unpack_limits *limits)
{
	struct unpack_result result = { .magic = UNPACK_MAGIC, .version = UNPACK_VERSION };
	autoclose int fd = bundle_fd(b);
	enum unpack_outcome outcome = unpack_bundle(fd, p->target, prefix, limits, NULL, &result);
	assert_int_equal(outcome, result.outcome);
	assert_int_equal(unpack_result_check(&result), 0);
	return result;
}

static struct unpack_result run_case(const struct place *p, const char *name)
{
	for (size_t i = 0; i < bundle_case_count; i++) {
		if (strcmp(bundle_cases[i].name, name) != 0)
			continue;
		autobuf struct buf b = BUF_INIT(BUNDLE_MAX);
		bundle_cases[i].make(&b);
		return run(p, &b, NULL, &small);
	}
	fail_msg("no case %s", name);
	abort();
}

static void every_case(void **state)
{
	(void)state;
	for (size_t i = 0; i < bundle_case_count; i++) {
		const struct bundle_case *c = &bundle_cases[i];
		struct place p;
		place_init(&p);
		autobuf struct buf b = BUF_INIT(BUNDLE_MAX);
		c->make(&b);
		struct unpack_result r = run(&p, &b, "code", &small);
		if (r.outcome != (uint32_t)c->outcome || !strstr(r.text, c->text))
			fail_msg("%s: %s (%s), not %s with \"%s\"", c->name, unpack_outcome_name(r.outcome), r.text,
				 unpack_outcome_name(c->outcome), c->text);
		assert_int_equal(r.outcome == UNPACK_ok, r.text[0] == '\0');
		place_check_and_fini(&p);
	}
}

static mode_t mode_of(const struct place *p, const char *name, struct stat *st)
{
	struct stat own;
	st = st ? st : &own;
	if (fstatat(p->target, name, st, AT_SYMLINK_NOFOLLOW) < 0)
		fail_msg("%s: %s", name, strerror(errno));
	return st->st_mode;
}

static void content_and_modes(void **state)
{
	(void)state;
	static const char *const kinds[] = { "ok_zip", "ok_pax", "ok_ustar", "ok_gnutar", "ok_gzip", "ok_xz", "ok_zstd" };
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct place p;
		place_init(&p);
		const bool links = strcmp(kinds[i], "ok_zip") != 0;
		struct unpack_result r = run_case(&p, kinds[i]);
		assert_int_equal(r.outcome, UNPACK_ok);
		assert_int_equal(r.files, links ? 6 : 5);
		assert_int_equal(r.directories, 3);
		assert_int_equal(r.bytes, 21 + 11 + 5);
		struct stat st, other;
		assert_int_equal(mode_of(&p, "bootstrap", &st), S_IFREG | 0755);
		assert_int_equal(st.st_mtime, 1700000000);
		assert_int_equal(mode_of(&p, "lib", NULL) & 0777, 0755 & ~0U);
		assert_int_equal(mode_of(&p, "lib/a.py", &st), S_IFREG | 0644);
		assert_int_equal(mode_of(&p, "deep/er/f.txt", NULL), S_IFREG | 0644);
		assert_int_equal(mode_of(&p, "lib/b.py", NULL) & S_IFMT, S_IFLNK);
		if (links) {
			mode_of(&p, "hard", &other);
			assert_true(other.st_ino == st.st_ino && other.st_nlink == 2);
		}
		char text[64];
		assert_int_equal(fd_read_file_at(p.target, "lib/a.py", text, sizeof(text)), 11);
		assert_string_equal(text, "print('a')\n");
		place_check_and_fini(&p);
	}
}

static void setuid_is_stripped_and_counted(void **state)
{
	(void)state;
	struct place p;
	place_init(&p);
	struct unpack_result r = run_case(&p, "ok_setuid");
	assert_int_equal(r.stripped, 1);
	assert_int_equal(mode_of(&p, "su", NULL), S_IFREG | 0755);
	place_check_and_fini(&p);
}

static void times_are_clamped(void **state)
{
	(void)state;
	struct place p;
	struct stat st;
	place_init(&p);
	run_case(&p, "ok_times");
	mode_of(&p, "past", &st);
	assert_int_equal(st.st_mtime, 315532800);
	mode_of(&p, "future", &st);
	assert_int_equal(st.st_mtime, 4354819199);
	place_check_and_fini(&p);
}

static void sparse_file_has_its_size(void **state)
{
	(void)state;
	struct place p;
	struct stat st;
	place_init(&p);
	struct unpack_result r = run_case(&p, "ok_sparse");
	mode_of(&p, "sparse", &st);
	assert_int_equal(st.st_size, 512 << 10);
	assert_int_equal(r.bytes, 512 << 10);
	place_check_and_fini(&p);
}

/* type 0, a file, states its size and is refused at once; 5, a directory, has its data skipped: also bounded */
static void ten_gib_of_zeros_stop_at_the_limit(void **state)
{
	(void)state;
	for (char type = '0'; type <= '5'; type += 5) {
		struct place p;
		place_init(&p);
		autobuf struct buf b = BUF_INIT(BUNDLE_MAX);
		bundle_zeros(&b, 10, type);
		assert_in_range(b.len, 9 << 20, 11 << 20);
		clock_t start = clock();
		struct unpack_result r = run(&p, &b, NULL, &small);
		assert_int_equal(r.outcome, UNPACK_max_bytes);
		assert_int_equal(r.bytes, 0);
		/* 10 GiB would take far longer than this, also under a sanitizer */
		assert_true(clock() - start < CLOCKS_PER_SEC);
		place_check_and_fini(&p);
	}
}

static void a_million_files_stop_at_the_limit(void **state)
{
	(void)state;
	struct place p;
	place_init(&p);
	autobuf struct buf b = BUF_INIT(BUNDLE_MAX);
	bundle_many_files(&b, 1000000);
	struct unpack_limits limits = small;
	limits.max_files = 1000;
	struct unpack_result r = run(&p, &b, NULL, &limits);
	assert_int_equal(r.outcome, UNPACK_max_files);
	assert_int_equal(r.files, 1000);
	place_check_and_fini(&p);
}

/* Whatever byte of a bundle is damaged: refused, or the same files as before; never wrong content. */
static void no_flip_goes_unnoticed(void **state)
{
	(void)state;
	static const char *const kinds[] = { "ok_gzip", "ok_xz", "ok_zip" };
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		size_t at = 0;
		while (strcmp(bundle_cases[at].name, kinds[k]) != 0)
			at++;
		autobuf struct buf b = BUF_INIT(BUNDLE_MAX);
		bundle_cases[at].make(&b);
		for (size_t i = 0; i < b.len; i += 3) {
			struct place p;
			place_init(&p);
			b.data[i] ^= 4;
			struct unpack_result r = run(&p, &b, NULL, &small);
			b.data[i] ^= 4;
			char text[64] = "";
			if (r.outcome == UNPACK_ok && fd_read_file_at(p.target, "lib/a.py", text, sizeof(text)) >= 0 &&
			    strcmp(text, "print('a')\n") != 0)
				fail_msg("%s: a flip at %zu went unnoticed", kinds[k], i);
			place_check_and_fini(&p);
		}
	}
}

static void digest_is_compared(void **state)
{
	(void)state;
	struct place p;
	place_init(&p);
	autobuf struct buf b = BUF_INIT(BUNDLE_MAX);
	bundle_files(&b, "f", "x", NULL);
	struct unpack_result r = run(&p, &b, NULL, &small);
	uint8_t expect[32];
	memcpy(expect, r.sha256, sizeof(expect));
	expect[31] ^= 1;
	autoclose int fd = bundle_fd(&b);
	memset(&r, 0, sizeof(r));
	assert_int_equal(unpack_bundle(fd, p.target, "code", &small, expect, &r), UNPACK_digest);
	assert_int_equal(faccessat(p.target, "code", F_OK, 0), -1);
	expect[31] ^= 1;
	memset(&r, 0, sizeof(r));
	assert_int_equal(unpack_bundle(fd, p.target, "code", &small, expect, &r), UNPACK_ok);
	place_check_and_fini(&p);
}

static void digests_have_their_check_values(void **state)
{
	(void)state;
	assert_int_equal(digest_crc64(0, "123456789", 9), 0x995dc9bbdf1939fa);
	uint64_t parts = digest_crc64(digest_crc64(0, "1234567890abcdef-", 17), "xyz", 3);
	assert_int_equal(parts, digest_crc64(0, "1234567890abcdef-xyz", 20));
	autoclose int fd = fd_sealed_memfd("abc", "abc", 3);
	struct digest d;
	char hex[65];
	assert_int_equal(digest_fd(fd, &d), 0);
	str_hex(hex, d.sha256, sizeof(d.sha256));
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(d.bytes, 3);
}

static void names_are_cleaned(void **state)
{
	(void)state;
	static const struct {
		const char *in, *out;
		enum unpack_outcome outcome;
	} names[] = {
		{ "a", "a", UNPACK_ok },	    { "./a/", "a", UNPACK_ok },	  { "a//b/./c", "a/b/c", UNPACK_ok },
		{ ".", "", UNPACK_ok },		    { "./", "", UNPACK_ok },	  { "...", "...", UNPACK_ok },
		{ "..a/b..", "..a/b..", UNPACK_ok }, { "..", NULL, UNPACK_dotdot }, { "a/..", NULL, UNPACK_dotdot },
		{ "a/../b", NULL, UNPACK_dotdot },  { "/", NULL, UNPACK_absolute }, { "//a", NULL, UNPACK_absolute },
		{ "", NULL, UNPACK_name },	    { "a\x7f", NULL, UNPACK_name }, { "\x01", NULL, UNPACK_name },
	};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct unpack_result r = { .outcome = UNPACK_ok };
		struct tree t = { .limits = &small, .result = &r };
		char out[UNPACK_NAME_MAX + 1];
		assert_int_equal(tree_clean(&t, names[i].in, out), names[i].outcome);
		if (names[i].out)
			assert_string_equal(out, names[i].out);
	}
}

static void a_strange_result_is_refused(void **state)
{
	(void)state;
	struct unpack_result good = { .magic = UNPACK_MAGIC, .version = UNPACK_VERSION, .text = "fine" }, r = good;
	assert_int_equal(unpack_result_check(&r), 0);
	r.magic++;
	assert_int_equal(unpack_result_check(&r), -EPROTO);
	r = good;
	r.version++;
	assert_int_equal(unpack_result_check(&r), -EPROTO);
	r = good;
	r.outcome = UNPACK_OUTCOME_MAX;
	assert_int_equal(unpack_result_check(&r), -EPROTO);
	r = good;
	r.error = -1;
	assert_int_equal(unpack_result_check(&r), -EPROTO);
	r = good;
	r.confinements = 1U << UNPACK_BIT_MAX;
	assert_int_equal(unpack_result_check(&r), -EPROTO);
	r = good;
	memset(r.text, '\x1b', sizeof(r.text));
	assert_int_equal(unpack_result_check(&r), 0);
	assert_int_equal(strlen(r.text), sizeof(r.text) - 1);
	assert_null(strchr(r.text, '\x1b'));
	assert_string_equal(unpack_outcome_name(UNPACK_OUTCOME_MAX), "unknown");
	assert_non_null(unpack_outcome_text(UNPACK_dotdot));
	assert_non_null(unpack_confinement_text(UNPACK_BIT_SECCOMP));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_case),
		cmocka_unit_test(content_and_modes),
		cmocka_unit_test(setuid_is_stripped_and_counted),
		cmocka_unit_test(times_are_clamped),
		cmocka_unit_test(sparse_file_has_its_size),
		cmocka_unit_test(ten_gib_of_zeros_stop_at_the_limit),
		cmocka_unit_test(a_million_files_stop_at_the_limit),
		cmocka_unit_test(no_flip_goes_unnoticed),
		cmocka_unit_test(digest_is_compared),
		cmocka_unit_test(digests_have_their_check_values),
		cmocka_unit_test(names_are_cleaned),
		cmocka_unit_test(a_strange_result_is_refused),
	};
	umask(022);
	const char *tmp = getenv("TMPDIR");
	snprintf(top, sizeof(top), "%.40s/fc-unpack-XXXXXX", tmp ? tmp : "/tmp");
	if (unpack_prepare() < 0 || !mkdtemp(top))
		return 1;
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	/* failed tests leave their places */
	fd_remove_tree_at(AT_FDCWD, top);
	return r;
}
