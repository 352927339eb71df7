/* worker: order, the queue's limit, and an end with jobs that never ran. */
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/worker.h"
#include "base/cleanup.h"

struct job {
	struct worker_job job;
	int gate[2]; /* run() reads one byte: it stands until the test says so */
	int order;
	bool done, ran;
	struct event_base *base;
};

static int turns;

static void run(struct worker_job *job)
{
	struct job *j = (struct job *)job;
	char c;
	if (j->gate[0] > 0 && read(j->gate[0], &c, 1) != 1)
		return;
	j->order = ++turns;
}

static void done(struct worker_job *job, bool ran)
{
	struct job *j = (struct job *)job;
	assert_false(j->done);
	j->done = true;
	j->ran = ran;
	if (j->base)
		event_base_loopbreak(j->base);
}

static void test_worker(void **state)
{
	struct err err = ERR_INIT;
	struct worker *w = NULL;
	struct event_base *base = event_base_new();
	struct job jobs[WORKER_QUEUE_MAX + 1] = { 0 };
	(void)state;
	turns = 0;
	assert_non_null(base);
	assert_int_equal(worker_new(&w, base, &err), 0);
	assert_int_equal(pipe(jobs[0].gate), 0);
	assert_int_equal(pipe(jobs[2].gate), 0);
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
		jobs[i].job.run = run;
		jobs[i].job.done = done;
		assert_int_equal(worker_submit(w, &jobs[i].job), i < WORKER_QUEUE_MAX ? WORKER_OK : WORKER_E_FULL);
	}
	assert_false(jobs[0].done);
	jobs[1].base = base;
	assert_int_equal(write(jobs[0].gate[1], "x", 1), 1);
	assert_int_equal(event_base_dispatch(base), 0);
	assert_true(jobs[0].ran && jobs[1].ran && jobs[0].order == 1 && jobs[1].order == 2);
	assert_int_equal(worker_submit(w, &jobs[WORKER_QUEUE_MAX].job), WORKER_OK); /* there is room again */
	assert_int_equal(write(jobs[2].gate[1], "x", 1), 1);
	w = worker_free(w);
	assert_null(w);
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
		assert_true(jobs[i].done);
		assert_int_equal(jobs[i].ran, jobs[i].order > 0);
	}
	event_base_free(base);
	for (size_t i = 0; i < 4; i++)
		close(jobs[i / 2 * 2].gate[i % 2]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_worker) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
