/*
 * The table of tables, one child per attack, and the modes:
 *   PROBE=all (or unset)   every attack
 *   PROBE=a,b,...          these attacks, or tables
 *   PROBE=list             the names
 *   PROBE=listen           a neighbour: own an abstract socket and a loopback port, until killed
 *   PROBE=secure           user and group, real and effective
 *   PROBE=random           what chance gave this process, to compare two runs
 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
	const char *name;
	const struct probe *probes;
} tables[] = {
	{ "self", probes_self }, { "calls", probes_calls }, { "proc", probes_proc },
	{ "files", probes_files }, { "net", probes_net }, { "limits", probes_limits },
};

char event[32768];

static void read_event(void)
{
	size_t len = 0;
	ssize_t n;
	while (len < sizeof(event) - 1 && (n = read(STDIN_FILENO, event + len, sizeof(event) - 1 - len)) > 0)
		len += (size_t)n;
}

static void set(struct result *r, enum verdict verdict, const char *fmt, va_list ap)
{
	r->verdict = verdict;
	vsnprintf(r->detail, sizeof(r->detail), fmt, ap);
	for (char *p = r->detail; *p; p++)
		if ((unsigned char)*p < 0x20)
			*p = ' ';
}

#define SETTER(name, verdict)                             \
	void name(struct result *r, const char *fmt, ...) \
	{                                                 \
		va_list ap;                               \
		va_start(ap, fmt);                        \
		set(r, verdict, fmt, ap);                 \
		va_end(ap);                               \
	}
SETTER(held, HELD)
SETTER(is_open, OPEN)
SETTER(skip, SKIP)

void judge(struct result *r, long ret, int err, const int *refusals)
{
	if (ret >= 0) {
		is_open(r, "it worked (%ld)", ret);
		return;
	}
	for (; *refusals; refusals++)
		if (err == *refusals) {
			held(r, "%s", strerrorname_np(err));
			return;
		}
	is_open(r, "%s is no refusal: the kernel looked at it", strerrorname_np(err));
}

void judge_open(struct result *r, const char *path, int flags)
{
	static const int refusals[] = { EACCES, EPERM, EROFS, ENOENT, ENOTDIR, ENXIO, ESRCH, 0 };
	int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	judge(r, fd, errno, refusals);
	if (fd >= 0)
		is_open(r, "opened %s", path);
}

long slurp(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t len = 0;
	ssize_t n = -1;
	if (fd < 0)
		return -1;
	while (len + 1 < size && (n = read(fd, buf + len, size - 1 - len)) > 0)
		len += (size_t)n;
	buf[len] = '\0';
	close(fd);
	return n < 0 && len == 0 ? -1 : (long)len;
}

long setting(const char *name)
{
	const char *text = getenv(name);
	return text && *text ? strtol(text, NULL, 10) : -1;
}

/* One attack in a child, so that one that kills or hangs tells us that and no more. */
static void attempt(const struct probe *p, struct result *r)
{
	int pipe_fd[2], status;
	*r = (struct result){ .verdict = OPEN, .detail = "no verdict" };
	if (pipe(pipe_fd) < 0) {
		is_open(r, "the probe has no pipe: %s", strerrorname_np(errno));
		return;
	}
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		close(pipe_fd[0]);
		alarm(20);
		struct result mine = { .verdict = OPEN, .detail = "no verdict" };
		p->run(&mine, p->arg);
		_exit(write(pipe_fd[1], &mine, sizeof(mine)) != (ssize_t)sizeof(mine));
	}
	close(pipe_fd[1]);
	struct result got;
	if (pid > 0 && read(pipe_fd[0], &got, sizeof(got)) == (ssize_t)sizeof(got))
		*r = got;
	close(pipe_fd[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		is_open(r, "the probe has no child: %s", strerrorname_np(errno));
	} else if (WIFSIGNALED(status)) {
		bool refused = p->killed && (WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV);
		(refused ? held : is_open)(r, "killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
	}
}

static bool listed(const char *list, const char *name)
{
	size_t len = strlen(name);
	for (const char *p = list; (p = strstr(p, name)); p += len)
		if ((p == list || p[-1] == ',') && (p[len] == '\0' || p[len] == ','))
			return true;
	return false;
}

static int attack(const char *which)
{
	read_event();
	static const char *const words[] = { [HELD] = "held", [OPEN] = "OPEN", [SKIP] = "skip" };
	int tried = 0;
	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
		for (const struct probe *p = tables[t].probes; p->name; p++) {
			struct result r;
			if (which && !listed(which, tables[t].name) && !listed(which, p->name))
				continue;
			attempt(p, &r);
			printf("%s %s %s\n", words[r.verdict], p->name, r.detail);
			tried++;
		}
	printf("tried %d\n", tried);
	return tried > 0 ? 0 : 2;
}

static int list(void)
{
	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
		for (const struct probe *p = tables[t].probes; p->name; p++)
			printf("%s %s\n", tables[t].name, p->name);
	return 0;
}

/* The name is told by the runner, who also asks for it from outside and from another sandbox. */
static int be_neighbour(void)
{
	const char *name = getenv("PROBE_NEIGHBOUR");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (!name || strlen(name) + 1 >= sizeof(sa.sun_path) || fd < 0)
		return 2;
	memcpy(sa.sun_path + 1, name, strlen(name));
	if (bind(fd, (struct sockaddr *)&sa, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))) < 0 ||
	    listen(fd, 8) < 0)
		return 3;
	/* and from inside it does answer */
	int self = socket(AF_UNIX, SOCK_STREAM, 0);
	if (connect(self, (struct sockaddr *)&sa, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))) < 0)
		return 4;
	fprintf(stderr, "listening\n");
	for (;;)
		pause();
}

static int show_chance(void)
{
	const unsigned char *at = (const unsigned char *)(uintptr_t)getauxval(AT_RANDOM);
	unsigned char bytes[16];
	int local;
	if (!at || getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return 2;
	printf("getrandom ");
	for (size_t i = 0; i < sizeof(bytes); i++)
		printf("%02x", bytes[i]);
	printf("\natrandom ");
	for (size_t i = 0; i < 16; i++)
		printf("%02x", at[i]);
	printf("\nstack %p\n", (void *)&local);
	return 0;
}

/* For setuid_program: what the bit made of us. */
static int show_ids(void)
{
	printf("uid %u %u gid %u %u secure %lu\n", getuid(), geteuid(), getgid(), getegid(), getauxval(AT_SECURE));
	return 0;
}

int main(void)
{
	const char *mode = getenv("PROBE");
	note_descriptors();
	/* what PID 1 is sent comes to us: see pid1_kill */
	for (int sig = 1; sig < 32; sig++)
		if (sig != SIGCHLD && sig != SIGALRM)
			signal(sig, SIG_IGN);
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	int status;
	if (mode && strcmp(mode, "secure") == 0)
		status = show_ids();
	else if (mode && strcmp(mode, "list") == 0)
		status = list();
	else if (mode && strcmp(mode, "listen") == 0)
		status = be_neighbour();
	else if (mode && strcmp(mode, "random") == 0)
		status = show_chance();
	else
		status = attack(mode && strcmp(mode, "all") != 0 ? mode : NULL);
	return fflush(stdout) ? 1 : status;
}
