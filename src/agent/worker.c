#include "agent/worker.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct worker {
	struct event *ready;
	int ready_fd;          /* eventfd: the finished list is not empty */
	bool running;
	size_t waiting;        /* submitted and not yet done() */
	pthread_t thread;

	pthread_mutex_t lock;  /* guards what follows */
	pthread_cond_t wake;
	struct worker_job *todo, **todo_end;
	struct worker_job *finished, **finished_end;
	bool ending;
};

/* ---- the thread ---------------------------------------------------------- */

static struct worker_job *take(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	while (!w->todo && !w->ending)
		pthread_cond_wait(&w->wake, &w->lock);
	struct worker_job *job = w->ending ? NULL : w->todo;
	if (job && !(w->todo = job->next))
		w->todo_end = &w->todo;
	pthread_mutex_unlock(&w->lock);
	return job;
}

static void put(struct worker *w, struct worker_job *job)
{
	uint64_t one = 1;
	job->ran = true;
	job->next = NULL;
	pthread_mutex_lock(&w->lock);
	*w->finished_end = job;
	w->finished_end = &job->next;
	pthread_mutex_unlock(&w->lock);
	ssize_t n = write(w->ready_fd, &one, sizeof(one));
	assert(n == sizeof(one)); /* an eventfd counter cannot fill up in 64 bits */
	(void)n;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct worker_job *job;
	while ((job = take(w))) {
		job->run(job);
		put(w, job);
	}
	return NULL;
}

/* ---- the loop's side ----------------------------------------------------- */

static void deliver(struct worker *w, struct worker_job *list)
{
	while (list) {
		struct worker_job *job = list;
		list = job->next;
		w->waiting--;
		job->done(job, job->ran);
	}
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	uint64_t count;
	(void)what;
	if (read(fd, &count, sizeof(count)) != sizeof(count))
		return;
	pthread_mutex_lock(&w->lock);
	struct worker_job *list = w->finished;
	w->finished = NULL;
	w->finished_end = &w->finished;
	pthread_mutex_unlock(&w->lock);
	deliver(w, list);
}

int worker_submit(struct worker *w, struct worker_job *job)
{
	if (w->waiting >= WORKER_QUEUE_MAX)
		return WORKER_E_FULL;
	w->waiting++;
	job->next = NULL;
	job->ran = false;
	pthread_mutex_lock(&w->lock);
	*w->todo_end = job;
	w->todo_end = &job->next;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	return WORKER_OK;
}

int worker_new(struct worker **ret, struct event_base *base, struct err *err)
{
	struct worker *w = calloc(1, sizeof(*w));
	if (!w)
		return err_set(err, ENOMEM, "start the worker");
	w->todo_end = &w->todo;
	w->finished_end = &w->finished;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	int r = 0;
	if ((w->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0 ||
	    !(w->ready = event_new(base, w->ready_fd, EV_READ | EV_PERSIST, on_ready, w)) || event_add(w->ready, NULL) < 0)
		r = err_set(err, errno, "start the worker");
	if (r == 0) {
		sigset_t all, old; /* signals are the loop's */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		int e = pthread_create(&w->thread, NULL, worker_main, w);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		w->running = e == 0;
		if (e)
			r = err_set(err, e, "start the worker's thread");
	}
	if (r < 0) {
		worker_free(w);
		return r;
	}
	*ret = w;
	return 0;
}

struct worker *worker_free(struct worker *w)
{
	if (!w)
		return NULL;
	if (w->running) {
		pthread_mutex_lock(&w->lock);
		w->ending = true;
		pthread_cond_signal(&w->wake);
		pthread_mutex_unlock(&w->lock);
		pthread_join(w->thread, NULL);
		deliver(w, w->finished);
		deliver(w, w->todo);
		assert(w->waiting == 0); /* nobody submits to a worker that ends */
	}
	if (w->ready)
		event_free(w->ready);
	if (w->ready_fd >= 0)
		close(w->ready_fd);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w);
	return NULL;
}
