/*
 * oci-exec - is the program there? Asked by create, once the container's root
 * is complete, because engines take "executable file not found" only from
 * create. The container's own execve has the last word: what cannot be judged
 * from outside (ids, interpreters, /proc) is left to it.
 *
 * The root file system is a stranger's: it is looked at through O_PATH
 * descriptors that openat2(2) keeps inside it, and nothing in it is read.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd/oci.h"

struct program {
	const char *word, *path, *cwd; /* argv[0], PATH, working directory */
};

/* The payload's words in order: argv, env, cwd (sandbox/spec.h). */
static void read_payload(const struct payload *p, struct program *ret)
{
	const char *word = p->data;
	*ret = (struct program){ .word = word, .path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };
	for (uint32_t i = 0; i < p->argc + p->envc; i++) {
		if (i >= p->argc && str_starts(word, "PATH="))
			ret->path = word + 5;
		word += strlen(word) + 1;
	}
	ret->cwd = word;
}

/* 0: a file that somebody may execute; -ENOENT, -EACCES; anything else: cannot tell. */
static int look(int root, const char *path)
{
	const struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	struct stat st;
	autoclose int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	if (fd < 0)
		return errno == ENOTDIR ? -ENOENT : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) && (st.st_mode & 0111) ? 0 : -EACCES;
}

/* As execvp(3): what may not be executed is passed over, and remembered. */
static int search(int root, const struct program *p)
{
	int result = -ENOENT;
	for (const char *dir = p->path; *dir;) {
		char file[STATE_PATH_MAX];
		int n = (int)strcspn(dir, ":");
		int len = *dir == '/' ? snprintf(file, sizeof(file), "%.*s/%s", n, dir, p->word)
				      : snprintf(file, sizeof(file), "%s/%.*s/%s", p->cwd, n, dir, p->word);
		int r = len < (int)sizeof(file) ? look(root, file) : -ENAMETOOLONG;
		if (r == 0 || (r != -ENOENT && r != -EACCES))
			return r;
		if (r == -EACCES)
			result = r;
		dir += n + (dir[n] == ':');
	}
	return result;
}

int oci_check_program(struct oci *o, struct err *err)
{
	char path[STATE_PATH_MAX];
	struct program p;

	read_payload((const struct payload *)(const void *)o->payload.data, &p);
	snprintf(path, sizeof(path), "/proc/%d/root", (int)o->state.pid);
	autoclose int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || str_starts(p.word, "/proc/")) /* another process' view; ours would differ */
		return 0;

	if (!strchr(p.word, '/')) {
		int r = search(root, &p);
		if (r == -ENOENT) {
			err_set(err, 0, "exec: \"%s\": executable file not found in $PATH", p.word);
			err->code = ENOENT;
			return err_hint(err, "see process.args, and PATH in process.env, of config.json");
		}
		return r == -EACCES ? err_set(err, EACCES, "exec: \"%s\"", p.word) : 0;
	}
	int len = snprintf(path, sizeof(path), "%s%s%s", *p.word == '/' ? "" : p.cwd, *p.word == '/' ? "" : "/", p.word);
	int r = len < (int)sizeof(path) ? look(root, path) : 0;
	if (r != -ENOENT && r != -EACCES)
		return 0;
	err_set(err, -r, "exec: \"%s\"", p.word);
	return err_hint(err, r == -EACCES ? "it must be a file that is executable (chmod +x)"
					  : "process.args of config.json names a program that the root file system lacks");
}
