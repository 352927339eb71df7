/* proc: a child by pidfd: signal, wait with a limit, reap once, and its start time. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/proc.h"

static struct proc child(int code)
{
	pid_t pid = fork();
	if (pid == 0) {
		if (code >= 0)
			_exit(code);
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	struct proc p = { pid, (int)syscall(SYS_pidfd_open, pid, 0) };
	assert_true(p.pidfd >= 0);
	return p;
}

static void exits(void **unused)
{
	(void)unused;
	struct proc p = child(7);
	struct rusage ru;
	int status = 0;
	assert_int_equal(proc_reap(&p, &status, &ru), 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	assert_true(ru.ru_maxrss > 0);
	assert_int_equal(p.pidfd, -1);
	assert_int_equal(proc_reap(&p, &status, NULL), -ECHILD);
	assert_int_equal(proc_signal(&p, SIGKILL), -ESRCH);
	proc_fini(&p);
}

static void waits(void **unused)
{
	(void)unused;
	struct proc p = child(-1);
	int status = 0;
	assert_int_equal(proc_wait(&p, 1, &status), -ETIMEDOUT);
	assert_int_equal(proc_signal(&p, SIGTERM), 0);
	assert_int_equal(proc_wait(&p, 5000, &status), 0);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGTERM);
	assert_int_equal(proc_wait(&p, 0, &status), -ECHILD);
}

static void start_time(void **unused)
{
	(void)unused;
	unsigned long long self = 0, again = 0;
	assert_int_equal(proc_start_time(getpid(), &self), 0);
	assert_int_equal(proc_start_time(getpid(), &again), 0);
	assert_true(self > 0 && self == again);
	assert_int_equal(proc_start_time(0x3ffffff, &self), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(exits), cmocka_unit_test(waits), cmocka_unit_test(start_time) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
