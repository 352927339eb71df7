/*
 * PID 1 of a pid namespace gets no signal from inside, nor any but SIGKILL and
 * SIGSTOP from outside, that it has no handler for. One that it has blocked is queued all
 * the same and can be taken with sigtimedwait: so an init that blocks everything
 * loses nothing. When it ends, everything in the namespace ends first.
 * Leaned on by: sandbox/init.
 */
#include "kernel-test.h"

#include <linux/sched.h>
#include <time.h>

int main(void)
{
	need_root();
	struct step ready = step_new(), sent = step_new();
	struct clone_args args = { .flags = CLONE_NEWPID, .exit_signal = SIGCHLD };
	int alive[2];
	CHECK(pipe2(alive, O_CLOEXEC) == 0);
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	CHECK(pid >= 0);
	if (pid == 0) {
		sigset_t set;
		siginfo_t si;
		struct timespec no = { 0, 0 };
		CHECK(getpid() == 1);
		sigemptyset(&set);
		sigaddset(&set, SIGTERM);
		sigaddset(&set, SIGUSR1);
		CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
		if (fork() == 0) {
			CHECK(kill(1, SIGUSR1) == 0); /* from inside, blocked: queued */
			CHECK(kill(1, SIGUSR2) == 0); /* from inside, no handler: gone */
			for (;;)
				pause();
		}
		step_say(&ready);
		step_wait(&sent);
		CHECK(sigtimedwait(&set, &si, &(struct timespec){ 5, 0 }) > 0);
		CHECK(sigtimedwait(&set, &si, &(struct timespec){ 5, 0 }) > 0);
		CHECK(sigtimedwait(&set, &si, &no) < 0 && errno == EAGAIN);
		_exit(0); /* the child above ends with us */
	}
	close(alive[1]);
	step_wait(&ready);
	CHECK(kill(pid, SIGTERM) == 0);
	CHECK(kill(pid, SIGINT) == 0); /* from outside, not blocked, no handler: gone */
	step_say(&sent);
	reap_ok(pid);
	char b;
	CHECK(read(alive[0], &b, 1) == 0); /* the last holder of the pipe is gone already: end of file */
	return 0;
}
