/*
 * fc-unpack - the confined child that opens a bundle; see fc-unpack(8).
 *
 * Descriptors: 0 the bundle, 3 the target directory, 4 the result's pipe.
 * Everything that may need a file, a right or much memory happens before
 * confine(); the first byte of the bundle is read after it.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/opts.h"
#include "base/str.h"
#include "unpack/confine.h"
#include "unpack/unpack.h"

enum { BUNDLE_FD = 0, TARGET_FD = 3, RESULT_FD = 4 };

struct args {
	bool help, version;
	uint64_t max_bytes, max_files, max_depth, max_name, max_cpu, uid, gid;
	const char *expect, *prefix;
};

#define FIELD(f) offsetof(struct args, f)

static const struct opt options[] = {
	{ "max-bytes", 0, OPT_BYTES, FIELD(max_bytes), "SIZE", "sum of the file sizes (default 1G)", NULL, 1, 1ULL << 50 },
	{ "max-files", 0, OPT_U64, FIELD(max_files), "N", "files and directories (default 100000)", NULL, 1, 10000000 },
	{ "max-depth", 0, OPT_U64, FIELD(max_depth), "N", "components of a name (default 64)", NULL, 1, 1024 },
	{ "max-name", 0, OPT_U64, FIELD(max_name), "N", "bytes of a name (default 4096)", NULL, 1, UNPACK_NAME_MAX },
	{ "max-cpu", 0, OPT_U64, FIELD(max_cpu), "SECONDS", "processor time (default 60)", NULL, 1, 3600 },
	{ "expect-sha256", 0, OPT_STR, FIELD(expect), "HEX", "refuse a bundle with another digest", NULL, 0, 0 },
	{ "prefix", 0, OPT_STR, FIELD(prefix), "NAME", "unpack below a new directory of this name", NULL, 0, 0 },
	{ "uid", 0, OPT_U64, FIELD(uid), "UID", "become this user (required when started as root)", NULL, 1, UINT_MAX - 1 },
	{ "gid", 0, OPT_U64, FIELD(gid), "GID", "become this group (required when started as root)", NULL, 1, UINT_MAX - 1 },
	{ "help", 'h', OPT_FLAG, FIELD(help), NULL, "print this and exit", NULL, 0, 0 },
	{ "version", 0, OPT_FLAG, FIELD(version), NULL, "print the version and exit", NULL, 0, 0 },
	{ NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 },
};

static int help(void)
{
	printf("usage: fc-unpack [OPTION]... <BUNDLE 3<DIRECTORY 4>RESULT\n"
	       "Unpack a function bundle in confinement. fc-run and fc-agent start this; see fc-unpack(8).\n\n");
	opts_help(options, stdout);
	return fflush(stdout) == 0 ? 0 : 1;
}

static int parse_hex(const char *hex, uint8_t out[32], struct err *err)
{
	if (!str_is_hex(hex, 64))
		return err_set(err, 0, "--expect-sha256 %.80s: not 64 lower-case hex digits", hex);
	for (size_t i = 0; i < 32; i++) {
		unsigned hi = (unsigned)hex[2 * i], lo = (unsigned)hex[2 * i + 1];
		hi = hi <= '9' ? hi - '0' : hi - 'a' + 10;
		lo = lo <= '9' ? lo - '0' : lo - 'a' + 10;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return 0;
}

static int check_args(const struct args *a, struct err *err)
{
	if (a->prefix && !str_is_name(a->prefix, 64))
		return err_set(err, 0, "--prefix %.80s: not a plain name", a->prefix);
	if (!a->uid != !a->gid)
		return err_set(err, 0, "--uid and --gid go together");
	if (geteuid() == 0 && !a->uid) {
		err_set(err, 0, "started as root without a user to become");
		return err_hint(err, "give --uid and --gid");
	}
	struct stat st;
	if (fstat(BUNDLE_FD, &st) < 0)
		return err_set(err, errno, "descriptor 0, the bundle");
	if (!S_ISREG(st.st_mode))
		return err_set(err, 0, "descriptor 0 is no regular file, but a bundle must be seekable");
	if (fstat(TARGET_FD, &st) < 0)
		return err_set(err, errno, "descriptor 3, the target");
	if (!S_ISDIR(st.st_mode))
		return err_set(err, ENOTDIR, "descriptor 3, the target");
	if (fstat(RESULT_FD, &st) < 0)
		return err_set(err, errno, "descriptor 4, the result");
	return 0;
}

/* Everything up to confinement: 0, or the result is set. */
static int enter(const struct args *a, struct unpack_result *result)
{
	struct err err = ERR_INIT;
	int r = unpack_prepare();
	if (r < 0)
		return unpack_fail(result, UNPACK_system, -r, "set up the locale and libcrypto");
	if (close_range(RESULT_FD + 1, ~0U, 0) < 0)
		return unpack_fail(result, UNPACK_confine, errno, "close_range");
	umask(0);
	const struct confine c = {
		.bundle_fd = BUNDLE_FD,
		.target_fd = TARGET_FD,
		.result_fd = RESULT_FD,
		.max_bytes = a->max_bytes,
		.cpu_seconds = a->max_cpu,
		.has_ids = a->uid != 0,
		.uid = (uid_t)a->uid,
		.gid = (gid_t)a->gid,
	};
	if (confine(&c, &result->confinements, &err) < 0) {
		unpack_fail(result, UNPACK_confine, 0, "%s%s%s", err.text, err.hint[0] ? "; " : "", err.hint);
		result->error = err.code;
		return UNPACK_confine;
	}
	return UNPACK_ok;
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct args a = {
		.max_bytes = 1ULL << 30,
		.max_files = 100000,
		.max_depth = UNPACK_DEPTH_MAX,
		.max_name = UNPACK_NAME_MAX,
		.max_cpu = 60,
	};
	uint8_t expect[32];
	int first = opts_parse(options, argc, argv, false, &a, &err);
	int r = first < 0 ? first : 0;
	if (!r && a.help)
		return help();
	if (!r && a.version)
		return printf("fc-unpack (fcnode) %s\n", PACKAGE_VERSION) < 0 || fflush(stdout) != 0;
	if (!r && first < argc)
		r = err_set(&err, 0, "unexpected word %.80s; the bundle comes on descriptor 0", argv[first]);
	if (!r)
		r = check_args(&a, &err);
	if (!r && a.expect)
		r = parse_hex(a.expect, expect, &err);
	if (r < 0)
		err_print(&err, "fc-unpack");

	struct unpack_result result = { .magic = UNPACK_MAGIC, .version = UNPACK_VERSION };
	if (r < 0)
		unpack_fail(&result, UNPACK_usage, 0, "%s", err.text);
	else if (enter(&a, &result) == UNPACK_ok) {
		const struct unpack_limits limits = { a.max_bytes, a.max_files, a.max_depth, a.max_name };
		unpack_bundle(BUNDLE_FD, TARGET_FD, a.prefix, &limits, a.expect ? expect : NULL, &result);
	}
	r = fd_write_all(RESULT_FD, &result, sizeof(result));
	/* not exit(): nothing that was registered for it is worth its system calls */
	_exit(r < 0 || result.outcome != UNPACK_ok);
}
