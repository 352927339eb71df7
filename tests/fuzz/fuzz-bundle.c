/*
 * fuzz-bundle - a stranger's bundle, unpacked into a directory that is emptied
 * after each input. The process is not confined here: what would escape, or
 * crash, is what the fuzzer is to find.
 *
 * Oracle besides the sanitizers: within the limits, and nothing outside of the
 * target; the sum of what is there is what the result says.
 */
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "unpack/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct unpack_limits limits = { 1 << 20, 200, 64, 4096 };
static char top[64];

static void remove_top(void)
{
	fd_remove_tree_at(AT_FDCWD, top);
}

static void prepare(void)
{
	const char *tmp = getenv("TMPDIR");
	snprintf(top, sizeof(top), "%.40s/fc-fuzz-XXXXXX", tmp ? tmp : "/tmp");
	if (unpack_prepare() < 0 || !mkdtemp(top) || atexit(remove_top) != 0)
		abort();
	umask(0);
}

static unsigned count_entries(int dir, const char *name, bool deep, uint64_t *bytes)
{
	unsigned count = 0;
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	autodir DIR *d = fdopendir(fd);
	assert(d);
	for (struct dirent *e; (e = readdir(d));) {
		struct stat st;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		assert(fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0);
		assert(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode));
		assert(S_ISLNK(st.st_mode) || (st.st_mode & ~(mode_t)S_IFMT & ~(mode_t)0755) == 0);
		count++;
		if (S_ISREG(st.st_mode) && bytes && st.st_nlink == 1)
			*bytes += (uint64_t)st.st_size;
		if (S_ISDIR(st.st_mode) && deep)
			count += count_entries(fd, e->d_name, true, bytes);
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!top[0])
		prepare();
	autoclose int dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || mkdirat(dir, "target", 0755) < 0)
		abort();
	autoclose int target = openat(dir, "target", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autoclose int bundle = memfd_create("bundle", MFD_CLOEXEC);
	if (target < 0 || bundle < 0 || fd_write_all(bundle, data, size) < 0)
		abort();

	struct unpack_result result = { .magic = UNPACK_MAGIC, .version = UNPACK_VERSION };
	enum unpack_outcome outcome = unpack_bundle(bundle, target, "code", &limits, NULL, &result);
	assert(outcome == result.outcome && unpack_result_check(&result) == 0);
	assert((outcome == UNPACK_ok) == (result.text[0] == '\0'));

	uint64_t bytes = 0;
	unsigned made = count_entries(dir, "target", true, &bytes);
	assert(count_entries(dir, ".", false, NULL) == 1);
	assert(made <= limits.max_files + 1 && bytes <= limits.max_bytes);
	if (outcome == UNPACK_ok)
		assert(made == result.files + result.directories + 1 && bytes <= result.bytes);
	if (fd_remove_tree_at(dir, "target") < 0)
		abort();
	return 0;
}
