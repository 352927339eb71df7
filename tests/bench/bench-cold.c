/*
 * bench-cold - how long a start takes, from spawn to reaped exit, of several
 * programs that do the same: alternating in one run, so that a noisy moment
 * hits all of them.
 *
 *   bench-cold [--runs N] [--pause MS] [--format text|json] [--base NAME] -- NAME COMMAND... [--- NAME COMMAND...]...
 *
 * "{}" inside a word of a command becomes the number of the start (container
 * ids must differ). The command "@floor" is no program: clone3(2) with the
 * namespaces of a function's sandbox, and wait. "@mnt:PATH" before a command
 * runs it in that mount namespace; going there and back is not measured.
 * A start that does not exit with 0 ends the benchmark with its stderr.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/opts.h"

extern char **environ;

enum { CONTENDERS_MAX = 12, WORDS_MAX = 64, WORD_MAX = 512 };

static const char floor_word[] = "@floor", mnt_word[] = "@mnt:";

struct contender {
	const char *name;
	char **words; /* NULL-terminated */
	uint64_t *wall_ns;
	uint64_t *cpu_us;
	uint64_t maxrss_kib;
	int mnt_fd; /* where to start it, or -1: here */
};

struct bench {
	uint64_t runs, pause_ms;
	int format;
	const char *base;
	bool help;
	struct contender contender[CONTENDERS_MAX];
	size_t count;
	size_t base_index;
	int own_mnt_fd;
	int stderr_fd; /* memfd: what the start in progress wrote */
};

enum { FORMAT_TEXT, FORMAT_JSON };

#define AT(field) offsetof(struct bench, field)
static const struct opt table[] = {
	{ "runs", 'n', OPT_U64, AT(runs), "N", "starts of each contender (default: 200)", NULL, 1, 100000 },
	{ "pause", 'p', OPT_U64, AT(pause_ms), "MS", "idle time before each start (default: 0)", NULL, 0, 10000 },
	{ "base", 'b', OPT_STR, AT(base), "NAME", "the one that ratios are of (default: the first)", NULL, 0, 0 },
	{ "format", 'f', OPT_ENUM, AT(format), NULL, "output (default: text)", "text|json", 0, 0 },
	{ "help", 'h', OPT_FLAG, AT(help), NULL, "print this", NULL, 0, 0 },
	{ 0 },
};

static int read_contender(struct bench *b, struct contender *c, char **words, struct err *err)
{
	c->name = words[0];
	c->words = &words[1];
	c->mnt_fd = -1;
	if (strncmp(c->words[0], mnt_word, strlen(mnt_word)) == 0) {
		const char *path = c->words[0] + strlen(mnt_word);
		c->mnt_fd = open(path, O_RDONLY | O_CLOEXEC);
		if (c->mnt_fd < 0)
			return err_set(err, errno, "%s: open %s", c->name, path);
		c->words++;
	}
	if (!c->words[0])
		return err_set(err, 0, "%s: no command", c->name);
	c->wall_ns = calloc(b->runs, sizeof(*c->wall_ns));
	c->cpu_us = calloc(b->runs, sizeof(*c->cpu_us));
	if (!c->wall_ns || !c->cpu_us)
		return err_set(err, ENOMEM, "results of %" PRIu64 " runs", b->runs);
	/* touch it now: page faults belong to nobody's start */
	memset(c->wall_ns, 0xff, b->runs * sizeof(*c->wall_ns));
	memset(c->cpu_us, 0xff, b->runs * sizeof(*c->cpu_us));
	return 0;
}

/* Split the operands at "---"; each part is a name and a command. */
static int read_contenders(struct bench *b, int argc, char **argv, struct err *err)
{
	for (int i = 0; i < argc;) {
		if (b->count == CONTENDERS_MAX)
			return err_set(err, 0, "more than %d contenders", CONTENDERS_MAX);
		int end = i;
		while (end < argc && strcmp(argv[end], "---") != 0)
			end++;
		if (end - i < 2 || end - i > WORDS_MAX)
			return err_set(err, 0, "contender %zu: a name and 1 to %d words are needed", b->count + 1, WORDS_MAX);
		argv[end] = NULL; /* argv[argc] is NULL already */
		int r = read_contender(b, &b->contender[b->count++], &argv[i], err);
		if (r < 0)
			return r;
		i = end + 1;
	}
	if (b->count == 0)
		return err_set(err, 0, "no contender given");
	for (size_t i = 0; b->base && i < b->count; i++) {
		b->base_index = i;
		if (strcmp(b->contender[i].name, b->base) == 0)
			return 0;
	}
	return b->base ? err_set(err, 0, "--base %s: no such contender", b->base) : 0;
}

/* "{}" -> the number of the start. */
static void fill_word(char out[WORD_MAX], const char *word, uint64_t number)
{
	const char *hole = strstr(word, "{}");
	if (hole)
		snprintf(out, WORD_MAX, "%.*s%" PRIu64 "%s", (int)(hole - word), word, number, hole + 2);
	else
		snprintf(out, WORD_MAX, "%s", word);
}

static pid_t start_floor(struct err *err)
{
	struct clone_args args = {
		.flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
			 CLONE_NEWCGROUP,
		.exit_signal = SIGCHLD,
	};
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		_exit(0);
	if (pid < 0)
		err_set(err, errno, "clone3 with new namespaces");
	return pid;
}

static pid_t start_program(const struct bench *b, const struct contender *c, uint64_t number, struct err *err)
{
	static char filled[WORDS_MAX][WORD_MAX];
	char *argv[WORDS_MAX + 1] = { NULL };
	for (size_t i = 0; c->words[i]; i++) {
		fill_word(filled[i], c->words[i], number);
		argv[i] = filled[i];
	}

	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, b->stderr_fd, 2);
	pid_t pid = -1;
	int r = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0) {
		err_set(err, r, "%s: start %s", c->name, argv[0]);
		return -1;
	}
	return pid;
}

static int failed(const struct bench *b, const struct contender *c, int status, struct err *err)
{
	char text[512];
	ssize_t n = pread(b->stderr_fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return err_set(err, 0, "%s: ended with %s %d: %s", c->name, WIFEXITED(status) ? "exit status" : "signal",
		       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), text);
}

static int measure(const struct bench *b, struct contender *c, uint64_t number, struct err *err)
{
	if (ftruncate(b->stderr_fd, 0) < 0)
		return err_set(err, errno, "truncate the stderr file");
	if (b->pause_ms) {
		struct timespec ts = { (time_t)(b->pause_ms / 1000), (long)(b->pause_ms % 1000) * 1000000 };
		while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
			;
	}

	struct rusage ru;
	int status;
	bool is_floor = strcmp(c->words[0], floor_word) == 0;
	if (c->mnt_fd >= 0 && setns(c->mnt_fd, CLONE_NEWNS) < 0)
		return err_set(err, errno, "%s: enter its mount namespace", c->name);
	int64_t begin = clock_mono_ns();
	pid_t pid = is_floor ? start_floor(err) : start_program(b, c, number, err);
	if (pid < 0)
		return -err->code;
	while (wait4(pid, &status, 0, &ru) < 0)
		if (errno != EINTR)
			return err_set(err, errno, "%s: wait", c->name);
	c->wall_ns[number] = (uint64_t)(clock_mono_ns() - begin);
	if (c->mnt_fd >= 0 && setns(b->own_mnt_fd, CLONE_NEWNS) < 0)
		return err_set(err, errno, "%s: leave its mount namespace", c->name);
	if (status != 0)
		return failed(b, c, status, err);
	c->cpu_us[number] = (uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000 +
			    (uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
	if ((uint64_t)ru.ru_maxrss > c->maxrss_kib)
		c->maxrss_kib = (uint64_t)ru.ru_maxrss;
	return 0;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

/* Nearest rank, of sorted values. */
static double percentile(const uint64_t *sorted, uint64_t count, unsigned percent)
{
	uint64_t rank = (count * percent + 99) / 100;
	return (double)sorted[rank ? rank - 1 : 0];
}

static double mean(const uint64_t *v, uint64_t count)
{
	double sum = 0;
	for (uint64_t i = 0; i < count; i++)
		sum += (double)v[i];
	return sum / (double)count;
}

static void print_text(const struct bench *b, double base_ms)
{
	printf("%" PRIu64 " starts each, alternating, pause before each %" PRIu64 " ms\n", b->runs, b->pause_ms);
	printf("%-16s %9s %9s %9s %8s %9s %9s  %s\n", "", "median ms", "p99 ms", "min ms", "p99/p50", "cpu us", "peak KiB",
	       b->contender[b->base_index].name);
	for (size_t i = 0; i < b->count; i++) {
		const struct contender *c = &b->contender[i];
		double median = percentile(c->wall_ns, b->runs, 50) / 1e6, p99 = percentile(c->wall_ns, b->runs, 99) / 1e6;
		printf("%-16s %9.3f %9.3f %9.3f %8.2f %9.0f %9" PRIu64 "  ", c->name, median, p99,
		       (double)c->wall_ns[0] / 1e6, p99 / median, mean(c->cpu_us, b->runs), c->maxrss_kib);
		if (i == b->base_index)
			printf("1\n");
		else
			printf("%.3f of it\n", base_ms / median);
	}
}

static void print_json(const struct bench *b, double base_ms)
{
	printf("{\"runs\":%" PRIu64 ",\"pauseMs\":%" PRIu64 ",\"base\":\"%s\",\"contenders\":[", b->runs, b->pause_ms,
	       b->contender[b->base_index].name);
	for (size_t i = 0; i < b->count; i++) {
		const struct contender *c = &b->contender[i];
		double median = percentile(c->wall_ns, b->runs, 50) / 1e6;
		printf("%s{\"name\":\"%s\",\"medianMs\":%.3f,\"p99Ms\":%.3f,\"minMs\":%.3f,\"cpuUs\":%.0f,"
		       "\"peakKiB\":%" PRIu64 ",\"ratio\":%.4f}",
		       i ? "," : "", c->name, median, percentile(c->wall_ns, b->runs, 99) / 1e6,
		       (double)c->wall_ns[0] / 1e6, mean(c->cpu_us, b->runs), c->maxrss_kib, base_ms / median);
	}
	printf("]}\n");
}

static int run(struct bench *b, struct err *err)
{
	for (uint64_t n = 0; n < b->runs; n++)
		for (size_t i = 0; i < b->count; i++) {
			/* each round begins with another one, so that nobody always follows the same neighbour */
			int r = measure(b, &b->contender[(i + n) % b->count], n, err);
			if (r < 0)
				return r;
		}
	for (size_t i = 0; i < b->count; i++)
		qsort(b->contender[i].wall_ns, b->runs, sizeof(uint64_t), by_value);
	double base_ms = percentile(b->contender[b->base_index].wall_ns, b->runs, 50) / 1e6;
	(b->format == FORMAT_JSON ? print_json : print_text)(b, base_ms);
	return fflush(stdout) == 0 ? 0 : err_set(err, errno, "write the result");
}

int main(int argc, char **argv)
{
	static struct bench b = { .runs = 200, .stderr_fd = -1, .own_mnt_fd = -1 };
	struct err err = ERR_INIT;

	int first = opts_parse(table, argc, argv, false, &b, &err);
	if (first >= 0 && b.help) {
		printf("Usage: bench-cold [OPTION]... -- NAME COMMAND... [--- NAME COMMAND...]...\n");
		opts_help(table, stdout);
		return 0;
	}
	int r = first < 0 ? first : read_contenders(&b, argc - first, argv + first, &err);
	if (r == 0) {
		b.stderr_fd = memfd_create("stderr", MFD_CLOEXEC);
		b.own_mnt_fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
		r = b.stderr_fd < 0 || b.own_mnt_fd < 0 ? err_set(&err, errno, "prepare") : run(&b, &err);
	}
	for (size_t i = 0; i < b.count; i++) {
		free(b.contender[i].wall_ns);
		free(b.contender[i].cpu_us);
		cleanup_close(&b.contender[i].mnt_fd);
	}
	cleanup_close(&b.stderr_fd);
	cleanup_close(&b.own_mnt_fd);
	if (r < 0)
		err_print(&err, "bench-cold");
	return r < 0 ? 1 : 0;
}
