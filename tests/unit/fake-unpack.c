/*
 * fake-unpack - in fc-unpack's place for test-layer: an unpacker that failed,
 * or was taken over. Its "bundle" is one word that says how.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unpack/result.h"

enum { TARGET = 3, RESULT = 4 };

static volatile int zero;

static void say(struct unpack_result *r)
{
	if (write(RESULT, r, sizeof(*r)) != (ssize_t)sizeof(*r))
		_exit(3);
}

/* without the sanitizers' handlers: the parent is to see the signal */
__attribute__((no_sanitize("undefined", "address"))) static void fault(void)
{
	signal(SIGSEGV, SIG_DFL);
	*(volatile char *)(uintptr_t)zero = 1;
}

int main(void)
{
	char word[32] = "";
	if (pread(0, word, sizeof(word) - 1, 0) <= 0)
		return 2;
	struct unpack_result r = { .magic = UNPACK_MAGIC, .version = UNPACK_VERSION };
	memset(r.sha256, 0xab, sizeof(r.sha256));
	/* something to be removed, whatever happens */
	close(openat(TARGET, "begun", O_WRONLY | O_CREAT, 0644));

	if (strcmp(word, "fault") == 0) {
		fault();
	} else if (strcmp(word, "silent") == 0) {
		return 0;
	} else if (strcmp(word, "hang") == 0) {
		for (;;)
			pause();
	} else if (strcmp(word, "short") == 0) {
		return write(RESULT, &r, 40) == 40 ? 0 : 3;
	} else if (strcmp(word, "garbage") == 0) {
		memset(&r, 0xee, sizeof(r));
	} else if (strcmp(word, "escape") == 0) {
		r.outcome = UNPACK_corrupt;
		memset(r.text, '\x1b', sizeof(r.text));
		say(&r);
		return 1;
	} else if (strcmp(word, "yes-no") == 0) {
		say(&r);
		return 1;
	} else if (strcmp(word, "fifo") == 0) {
		mkfifoat(TARGET, "pipe", 0644);
	} else if (strcmp(word, "setuid") == 0) {
		int fd = openat(TARGET, "su", O_WRONLY | O_CREAT, 0755);
		if (fd < 0 || fchmod(fd, 06777) < 0)
			return 3;
		mkdirat(TARGET, "open", 0777);
		fchmodat(TARGET, "open", 01777, 0);
	} else if (strcmp(word, "deep") == 0) {
		int dir = TARGET;
		for (int i = 0; i < 200; i++) {
			mkdirat(dir, "d", 0755);
			dir = openat(dir, "d", O_RDONLY | O_DIRECTORY);
		}
	} else if (strcmp(word, "many") == 0) {
		for (int i = 0; i < 300; i++) {
			char name[16];
			snprintf(name, sizeof(name), "%d", i);
			close(openat(TARGET, name, O_WRONLY | O_CREAT, 0644));
		}
	} else {
		return 2;
	}
	say(&r);
	return 0;
}
