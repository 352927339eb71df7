#include "base/path.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

/* Directory of the running executable, without the trailing slash. */
static int exe_dir(char *out, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", out, size - 1);
	if (n < 0)
		return -errno;
	out[n] = '\0';
	char *slash = strrchr(out, '/');
	if (slash)
		*slash = '\0';
	return 0;
}

static int join(char *out, size_t size, const char *dir, const char *name)
{
	int n = snprintf(out, size, "%s/%s", dir, name);
	return n > 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}

static int find(const char *env, const char *configured, const char *name, char *out, size_t size,
		struct err *err)
{
	const char *dir = getenv(env);
	char beside[PATH_MAX];
	if (dir && *dir) {
		if (join(out, size, dir, name) == 0 && access(out, F_OK) == 0)
			return 0;
		err_set(err, ENOENT, "find %s in %s=%s", name, env, dir);
		return err_hint(err, "correct or unset %s", env);
	}
	if (exe_dir(beside, sizeof(beside)) == 0 && join(out, size, beside, name) == 0 && access(out, F_OK) == 0)
		return 0;
	if (join(out, size, configured, name) == 0 && access(out, F_OK) == 0)
		return 0;
	err_set(err, ENOENT, "find %s in %s", name, configured);
	return err_hint(err, "install fcnode (make install), or set %s", env);
}

int path_helper(const char *name, char *out, size_t size, struct err *err)
{
	return find("FC_LIBEXECDIR", FC_LIBEXECDIR, name, out, size, err);
}

int path_data(const char *name, char *out, size_t size, struct err *err)
{
	return find("FC_DATADIR", FC_DATADIR, name, out, size, err);
}

int path_image(const char *name, char *out, size_t size, struct err *err)
{
	const char *dir = getenv("FC_IMAGEDIR");
	struct stat st;
	if (!dir || !*dir)
		dir = FC_IMAGEDIR;
	if (!str_is_name(name, 32)) {
		err_set(err, 0, "find image %s: not a name of letters, digits, _ and -, at most 32", name);
		return err_hint(err, "for a directory, give its path with a / in it");
	}
	if (join(out, size, dir, name) == 0 && stat(out, &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	err_set(err, ENOENT, "find image %s in %s", name, dir);
	return err_hint(err, "make it with fc-image build, or give a directory with a / in it: ./%s", name);
}
