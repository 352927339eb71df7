/*
 * replay-main - runs a fuzz target over stored inputs, without libFuzzer.
 *
 * Arguments are files or directories. Without any, replay-NAME takes its
 * committed corpus, $srcdir/tests/fuzz/corpus/NAME. An empty corpus is a
 * failure: a replay of nothing would always pass.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"

#include <fcntl.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 16 << 20 };

static int replay_file(const char *path, struct err *err)
{
	autobuf struct buf b = BUF_INIT(INPUT_MAX);
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, errno, "open %s", path);
	int r = buf_read_fd(&b, fd);
	if (r < 0)
		return err_set(err, -r, "read %s", path);

	/* an exact-sized copy, so that AddressSanitizer sees a read past the end */
	uint8_t *copy = malloc(b.len ? b.len : 1);
	if (!copy)
		return err_set(err, ENOMEM, "read %s", path);
	if (b.len)
		memcpy(copy, b.data, b.len);
	LLVMFuzzerTestOneInput(copy, b.len);
	free(copy);
	return 1;
}

/* Returns how many inputs ran, or -errno. */
static int replay(const char *path, struct err *err)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return err_set(err, errno, "stat %s", path);
	if (!S_ISDIR(st.st_mode))
		return replay_file(path, err);

	autodir DIR *dir = opendir(path);
	if (!dir)
		return err_set(err, errno, "open %s", path);
	int count = 0;
	for (struct dirent *e; (e = readdir(dir));) {
		if (e->d_name[0] == '.')
			continue;
		char child[PATH_MAX];
		if ((size_t)snprintf(child, sizeof(child), "%s/%s", path, e->d_name) >= sizeof(child))
			return err_set(err, ENAMETOOLONG, "%s/%s", path, e->d_name);
		int r = replay(child, err);
		if (r < 0)
			return r;
		count += r;
	}
	return count;
}

static int replay_corpus(const char *program, struct err *err)
{
	const char *base = strrchr(program, '/');
	base = base ? base + 1 : program;
	if (strncmp(base, "replay-", 7) != 0)
		return err_set(err, 0, "%s: not called replay-NAME, so give the inputs as arguments", base);

	const char *srcdir = getenv("srcdir");
	char path[PATH_MAX];
	if ((size_t)snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", srcdir ? srcdir : ".", base + 7) >=
	    sizeof(path))
		return err_set(err, ENAMETOOLONG, "corpus of %s", base);
	return replay(path, err);
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	int count = 0;

	if (argc < 2)
		count = replay_corpus(argv[0], &err);
	for (int i = 1; i < argc && count >= 0; i++) {
		int r = replay(argv[i], &err);
		count = r < 0 ? r : count + r;
	}
	if (count == 0)
		count = err_set(&err, 0, "no input found");
	if (count < 0) {
		err_print(&err, argv[0]);
		return 1;
	}
	printf("%d inputs\n", count);
	return 0;
}
