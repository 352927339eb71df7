/* stdio: the event to stdin, the reply from stdout, until the program ends. */
#include <errno.h>
#include <unistd.h>

#include "agent/runtime-internal.h"

struct stdio {
	struct event *write_event;
	const char *left; /* of the event */
	size_t len;
};

static void close_stdin(struct runtime *r)
{
	struct stdio *o = r->own;
	if (o->write_event)
		event_free(o->write_event);
	o->write_event = NULL;
	runtime_close(r, MSG_IO_TALK);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct runtime *r = arg;
	struct stdio *o = r->own;
	(void)what;
	while (o->len > 0) {
		ssize_t n = write(fd, o->left, o->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) /* a program that does not read it is not wrong */
			break;
		o->left += n;
		o->len -= (size_t)n;
	}
	close_stdin(r);
}

static void on_stdout(evutil_socket_t fd, short what, void *arg)
{
	struct runtime *r = arg;
	(void)what;
	if (runtime_drain(r, fd, (size_t)RUNTIME_CHUNK * RUNTIME_TURN_READS, runtime_put) == 0)
		runtime_close(r, MSG_IO_STDOUT);
}

static int start(struct runtime *r, const struct runtime_start *s)
{
	struct stdio *o = r->own;
	o->left = s->call.event;
	o->len = s->call.event_len;
	int e = runtime_watch(r, MSG_IO_STDOUT, on_stdout);
	if (e < 0)
		return e;
	o->write_event = event_new(r->base, r->fd[MSG_IO_TALK], EV_WRITE | EV_PERSIST, on_writable, r);
	return o->write_event && event_add(o->write_event, NULL) == 0 ? 0 : -ENOMEM;
}

static void pause_reply(struct runtime *r, bool rest)
{
	if (!r->read_event[MSG_IO_STDOUT])
		return;
	if (rest)
		event_del(r->read_event[MSG_IO_STDOUT]);
	else
		event_add(r->read_event[MSG_IO_STDOUT], NULL);
}

static void finish(struct runtime *r)
{
	if (r->fd[MSG_IO_STDOUT] >= 0)
		runtime_drain(r, r->fd[MSG_IO_STDOUT], RUNTIME_FINISH_MAX, runtime_put);
	close_stdin(r);
}

const struct runtime_kind runtime_stdio = {
	.size = sizeof(struct stdio), .stdout_is_reply = true, .start = start, .pause = pause_reply, .finish = finish, .free = close_stdin,
};
