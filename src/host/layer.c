#include "host/layer.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/str.h"
#include "host/unpacker.h"

#define TMP_PREFIX ".tmp-"
enum { TMP_LEN = 5 + 16, DISK_BLOCK = 512 };

/* Directories have no time worth keeping; the earliest that a zip can state, as for files. */
static const struct timespec dir_times[2] = { { .tv_sec = 315532800 }, { .tv_sec = 315532800 } };

/* ---- taking over what fc-unpack made ---- */

struct seal {
	const struct layer_limits *limits;
	uid_t maker;
	bool root;
	uint64_t objects;
	struct layer_info *info;
	struct err *err;
};

static int seal_strange(struct seal *s, const char *name, const char *what)
{
	return err_set(s->err, EPROTO, "fc-unpack left %.100s: %s", name, what);
}

static int seal_directory(struct seal *s, int fd, const char *name, uint64_t depth);

static int seal_entry(struct seal *s, int dir, const char *name, uint64_t depth)
{
	struct stat st;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(s->err, errno, "look at %.100s", name);
	/* hard links come more than once: the second time the owner is us */
	if (st.st_uid != s->maker && st.st_uid != geteuid())
		return seal_strange(s, name, "somebody else's file");
	if (++s->objects > s->limits->max_files + 1)
		return seal_strange(s, name, "more files than it may make");
	s->info->disk_bytes += (uint64_t)st.st_blocks * DISK_BLOCK / (S_ISDIR(st.st_mode) ? 1 : st.st_nlink);

	if (S_ISDIR(st.st_mode)) {
		autoclose int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return err_set(s->err, errno, "open %.100s", name);
		s->info->directories++;
		return seal_directory(s, fd, name, depth + 1);
	}
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return seal_strange(s, name, "neither file, directory nor symbolic link");
	s->info->files++;
	if (s->root && fchownat(dir, name, 0, 0, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(s->err, errno, "take over %.100s", name);
	if (S_ISLNK(st.st_mode))
		return 0;
	s->info->bytes += (uint64_t)st.st_size / st.st_nlink;
	const mode_t mode = st.st_mode & 0111 ? 0755 : 0644;
	if ((st.st_mode & 07777) != mode && fchmodat(dir, name, mode, 0) < 0)
		return err_set(s->err, errno, "set the mode of %.100s", name);
	return 0;
}

/* Nothing else runs that could change the tree: fc-unpack had no children and is reaped. */
static int seal_directory(struct seal *s, int fd, const char *name, uint64_t depth)
{
	if (depth > s->limits->max_depth + 1)
		return seal_strange(s, name, "deeper than it may make");
	if ((s->root && fchown(fd, 0, 0) < 0) || fchmod(fd, 0755) < 0)
		return err_set(s->err, errno, "take over %.100s", name);

	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autodir DIR *dir = again < 0 ? NULL : fdopendir(again);
	if (!dir) {
		int error = errno;
		cleanup_close(&again);
		return err_set(s->err, error, "read %.100s", name);
	}
	int r = 0;
	struct dirent *e;
	while (!r && (errno = 0, e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = seal_entry(s, fd, e->d_name, depth);
	if (!r && errno)
		return err_set(s->err, errno, "read %.100s", name);
	if (!r && futimens(fd, dir_times) < 0)
		return err_set(s->err, errno, "set the time of %.100s", name);
	return r;
}

/* ---- one bundle into one new directory ---- */

static void info_take(struct layer_info *ret, const struct unpack_result *r)
{
	ret->outcome = r->outcome;
	ret->confinements = r->confinements;
	ret->stripped = r->stripped;
	ret->bundle_bytes = r->bundle_bytes;
	ret->crc64 = r->crc64;
	static const uint8_t none[sizeof(r->sha256)];
	if (memcmp(r->sha256, none, sizeof(none)) != 0)
		str_hex(ret->digest, r->sha256, sizeof(r->sha256));
}

/* An outcome other than ok as a return value and a sentence. */
static int outcome_error(const struct unpack_result *r, const struct layer_limits *limits, struct err *err)
{
	if (unpack_outcome_blames_bundle(r->outcome)) {
		err_set(err, 0, "bundle refused (%s): %s", unpack_outcome_name(r->outcome), r->text);
		switch (r->outcome) {
		case UNPACK_format:
			err_hint(err, "pack the function's files as .zip, .tar, .tar.gz, .tar.xz or .tar.zst");
			break;
		case UNPACK_max_bytes:
		case UNPACK_max_files:
		case UNPACK_max_depth:
		case UNPACK_max_name:
		case UNPACK_memory:
		case UNPACK_time:
			err_hint(err, "make the bundle smaller; the limit here is %" PRIu64 " bytes in %" PRIu64 " files",
				 limits->max_bytes, limits->max_files);
			break;
		}
		return LAYER_REFUSED;
	}
	const int code = r->error ? r->error : EPROTO;
	err_set(err, 0, "unpack the bundle: %s", r->text);
	if (err)
		err->code = code;
	if (code == ENOSPC || code == EDQUOT)
		err_hint(err, "free space or inodes where the layers are kept");
	else if (code == EMFILE || code == ENFILE)
		err_hint(err, "raise the limit of open files (ulimit -n)");
	return -code;
}

struct target {
	int dirfd;
	const char *name;
	const char *prefix;
	struct layer_user user;
	int cancel_fd;
};

static int unpack_into(const struct target *t, int target_fd, int bundle_fd, const char *expect,
		       const struct layer_limits *limits, struct layer_info *ret, struct err *err)
{
	const bool root = geteuid() == 0;
	/* for its owner alone until it is sealed */
	if (root && fchown(target_fd, t->user.uid, t->user.gid) < 0)
		return err_set(err, errno, "give %s to user %u", t->name, (unsigned)t->user.uid);
	const struct unpacker_req req = {
		.bundle_fd = bundle_fd,
		.target_fd = target_fd,
		.cancel_fd = t->cancel_fd,
		.prefix = t->prefix,
		.expect = expect,
		.user = t->user,
		.limits = limits,
	};
	struct unpack_result result;
	int r = unpacker_run(&req, &result, err);
	if (r < 0)
		return r;
	info_take(ret, &result);
	if (result.outcome != UNPACK_ok)
		return outcome_error(&result, limits, err);
	if (!ret->digest[0] || (expect && strcmp(expect, ret->digest) != 0))
		return err_set(err, EPROTO, "fc-unpack reports a digest that cannot be");

	struct seal s = {
		.limits = limits, .maker = root ? t->user.uid : geteuid(), .root = root, .info = ret, .err = err,
	};
	return seal_directory(&s, target_fd, t->name, 0);
}

static int target_unpack(const struct target *t, int bundle_fd, const char *expect, const struct layer_limits *limits,
			 struct layer_info *ret, struct err *err)
{
	memset(ret, 0, sizeof(*ret));
	if (expect && !str_is_hex(expect, LAYER_DIGEST_LEN))
		return err_set(err, 0, "%.80s is no layer digest (64 lower-case hex digits)", expect);
	if (mkdirat(t->dirfd, t->name, 0700) < 0)
		return err_set(err, errno, "make the directory %s", t->name);
	autoclose int fd = openat(t->dirfd, t->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		int r = err_set(err, errno, "open %s", t->name);
		unlinkat(t->dirfd, t->name, AT_REMOVEDIR);
		return r;
	}
	int r = unpack_into(t, fd, bundle_fd, expect, limits, ret, err);
	if (r) {
		/* without descriptors to spare, this one is what the removal takes */
		cleanup_close(&fd);
		/* the first error is the one to tell; what cannot be removed now, the sweep will */
		struct err second = ERR_INIT;
		if (layer_discard(t->dirfd, t->name, &second) < 0)
			err_hint(err, "and its remains could not be removed: %s", second.text);
	}
	return r;
}

int layer_unpack_at(int dirfd, const char *name, const char *prefix, struct layer_user user, int bundle_fd,
		    const char *expect, const struct layer_limits *limits, int cancel_fd, struct layer_info *ret,
		    struct err *err)
{
	const struct target t = { dirfd, name, prefix, user, cancel_fd };
	return target_unpack(&t, bundle_fd, expect, limits, ret, err);
}

int layer_discard(int dirfd, const char *name, struct err *err)
{
	int r = fd_remove_tree_at(dirfd, name);
	return r < 0 ? err_set(err, -r, "remove %s", name) : 0;
}

/* ---- the store ---- */

int layer_store_open(struct layer_store *s, const char *path, const char *prefix, struct layer_user user,
		     bool durable, struct err *err)
{
	*s = (struct layer_store)LAYER_STORE_INIT;
	if (mkdir(path, 0711) < 0 && errno != EEXIST)
		return err_set(err, errno, "make the layer store %s", path);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, errno, "open the layer store %s", path);
	struct stat st;
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 022)) {
		close(fd);
		err_set(err, EPERM, "trust the layer store %s", path);
		return err_hint(err, "it must belong to user %u and be writable by nobody else", (unsigned)geteuid());
	}
	*s = (struct layer_store){ fd, prefix, user, durable };
	return 0;
}

void layer_store_close(struct layer_store *s)
{
	cleanup_close(&s->dirfd);
}

static int check_digest(const char *digest, struct err *err)
{
	if (!str_is_hex(digest, LAYER_DIGEST_LEN))
		return err_set(err, 0, "%.80s is no layer digest (64 lower-case hex digits)", digest);
	return 0;
}

int layer_open(const struct layer_store *s, const char *digest, int *ret_fd, struct err *err)
{
	*ret_fd = -1;
	int r = check_digest(digest, err);
	if (r < 0)
		return r;
	int fd = openat(s->dirfd, digest, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return LAYER_ABSENT;
	if (fd < 0)
		return err_set(err, errno, "open layer %s", digest);
	*ret_fd = fd;
	return 0;
}

static int tmp_name(char out[TMP_LEN + 1])
{
	uint8_t random[8];
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	memcpy(out, TMP_PREFIX, sizeof(TMP_PREFIX) - 1);
	str_hex(out + sizeof(TMP_PREFIX) - 1, random, sizeof(random));
	return 0;
}

/* From its temporary name to its digest; somebody else may have been faster with the same bytes. */
static int publish(const struct layer_store *s, const char *tmp, struct layer_info *info, struct err *err)
{
	if (s->durable && syncfs(s->dirfd) < 0)
		return err_set(err, errno, "write layer %s to the disk", info->digest);
	if (renameat2(s->dirfd, tmp, s->dirfd, info->digest, RENAME_NOREPLACE) < 0) {
		if (errno != EEXIST)
			return err_set(err, errno, "publish layer %s", info->digest);
		info->present = true;
		return layer_discard(s->dirfd, tmp, err);
	}
	if (s->durable && fsync(s->dirfd) < 0)
		return err_set(err, errno, "write the layer store to the disk");
	return 0;
}

static int store_unpack(const struct layer_store *s, int cancel_fd, int bundle_fd, const char *expect,
			const struct layer_limits *limits, struct layer_info *ret, struct err *err)
{
	memset(ret, 0, sizeof(*ret));
	if (expect) {
		autoclose int there = -1;
		int r = layer_open(s, expect, &there, err);
		if (r < 0)
			return r;
		if (r == 0) {
			memcpy(ret->digest, expect, LAYER_DIGEST_LEN + 1);
			ret->present = true;
			return 0;
		}
	}
	char tmp[TMP_LEN + 1];
	int r = tmp_name(tmp);
	if (r < 0)
		return err_set(err, -r, "name a new layer");
	const struct target t = { s->dirfd, tmp, s->prefix, s->user, cancel_fd };
	r = target_unpack(&t, bundle_fd, expect, limits, ret, err);
	if (r)
		return r;
	r = publish(s, tmp, ret, err);
	if (r < 0)
		layer_discard(s->dirfd, tmp, NULL);
	return r;
}

int layer_unpack(const struct layer_store *s, int bundle_fd, const char *expect, const struct layer_limits *limits,
		 struct layer_info *ret, struct err *err)
{
	return store_unpack(s, -1, bundle_fd, expect, limits, ret, err);
}

int layer_remove(const struct layer_store *s, const char *digest, struct err *err)
{
	int r = check_digest(digest, err);
	if (r < 0)
		return r;
	char tmp[TMP_LEN + 1];
	r = tmp_name(tmp);
	if (r < 0)
		return err_set(err, -r, "name the layer to remove");
	if (renameat(s->dirfd, digest, s->dirfd, tmp) < 0)
		return errno == ENOENT ? LAYER_ABSENT : err_set(err, errno, "remove layer %s", digest);
	return layer_discard(s->dirfd, tmp, err);
}

int layer_sweep(const struct layer_store *s, struct err *err)
{
	int fd = openat(s->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autodir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int error = errno;
		cleanup_close(&fd);
		return err_set(err, error, "read the layer store");
	}
	int count = 0;
	struct dirent *e;
	while ((errno = 0, e = readdir(dir))) {
		if (strncmp(e->d_name, TMP_PREFIX, sizeof(TMP_PREFIX) - 1) != 0)
			continue;
		int r = layer_discard(s->dirfd, e->d_name, err);
		if (r < 0)
			return r;
		count++;
	}
	return errno ? err_set(err, errno, "read the layer store") : count;
}

/* ---- the same, beside an event loop ---- */

/* What the child sends: our own code's word. */
struct job_report {
	int32_t result;
	struct layer_info info;
	struct err err;
};
_Static_assert(sizeof(struct job_report) <= 4096, "one write to the pipe must be atomic (PIPE_BUF)");

/* The child: of what the parent had open it keeps three descriptors. Never returns. */
static void job_run(const struct layer_store *s, int bundle_fd, const char *expect, const struct layer_limits *limits,
		    int result_fd, pid_t parent)
{
	static struct job_report report;
	const int from[] = { s->dirfd, bundle_fd, result_fd };
	int fd[3], high[3];
	for (int i = 0; i < 3; i++)
		high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 10);
	for (int i = 0; i < 3; i++)
		fd[i] = high[i] < 0 ? -1 : dup3(high[i], 3 + i, O_CLOEXEC);
	close_range(6, ~0U, 0);

	sigset_t term;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_SETMASK, &term, NULL);
	autoclose int cancel = signalfd(-1, &term, SFD_CLOEXEC);
	if (fd[0] < 0 || fd[1] < 0 || fd[2] < 0 || cancel < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		_exit(126);
	if (getppid() != parent) /* it died before it could be waited for like this */
		_exit(126);

	struct layer_store store = *s;
	store.dirfd = fd[0];
	report.result = store_unpack(&store, cancel, fd[1], expect, limits, &report.info, &report.err);
	_exit(fd_write_all(fd[2], &report, sizeof(report)) < 0);
}

int layer_start(const struct layer_store *s, int bundle_fd, const char *expect, const struct layer_limits *limits,
		struct layer_job *ret, struct err *err)
{
	*ret = (struct layer_job)LAYER_JOB_INIT;
	int pipes[2];
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return err_set(err, errno, "make a pipe for the unpacking process");
	autoclose int read_end = pipes[0];
	autoclose int write_end = pipes[1];

	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
		.pidfd = (uint64_t)(uintptr_t)&ret->proc.pidfd,
		.exit_signal = SIGCHLD,
	};
	const pid_t self = getpid();
	long pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		job_run(s, bundle_fd, expect, limits, write_end, self);
	if (pid < 0)
		return err_set(err, errno, "start the unpacking process");
	ret->proc.pid = (pid_t)pid;
	ret->result_fd = take_fd(&read_end);
	return 0;
}

void layer_cancel(struct layer_job *job)
{
	if (job->proc.pidfd >= 0)
		proc_signal(&job->proc, SIGTERM);
}

int layer_finish(struct layer_job *job, struct layer_info *ret, struct err *err)
{
	int status = 0;
	int r = proc_reap(&job->proc, &status, NULL);
	if (r < 0)
		return err_set(err, -r, "wait for the unpacking process");

	struct job_report report;
	r = fd_read_all(job->result_fd, &report, sizeof(report));
	cleanup_close(&job->result_fd);
	if (r < 0) {
		memset(ret, 0, sizeof(*ret));
		return err_set(err, EPROTO, "the unpacking process ended (%s %d) without a result",
			       WIFEXITED(status) ? "status" : "signal",
			       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	}
	*ret = report.info;
	if (err)
		*err = report.err;
	return report.result;
}
