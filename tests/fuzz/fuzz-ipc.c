/*
 * What a broken serve (or keeper) may send: the first byte says who receives
 * it in which phase and with how many descriptors, the rest is the message. It
 * is checked as memory and goes through a real socket, with descriptors.
 * Whatever passes must be whole: its strings end inside their fields, its lists
 * are lists, and sending it again is allowed.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "ipc/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const char *s, size_t size)
{
	size_t n = strnlen(s, size);
	assert(n > 0 && n <= MSG_NAME_MAX && !strchr(s, '/') && !strchr(s, '.'));
}

static void check_digest(const char *s)
{
	size_t n = strnlen(s, MSG_DIGEST_SIZE);
	assert((n == 0 || n == 64) && strspn(s, "0123456789abcdef") == n);
}

static void check_launch(const struct msg_launch *m)
{
	check_name(m->tenant, sizeof(m->tenant));
	check_name(m->function, sizeof(m->function));
	check_name(m->runtime, sizeof(m->runtime));
	check_name(m->image, sizeof(m->image));
	check_digest(m->code);
	for (int i = 0; i < MSG_LAYERS_MAX; i++)
		check_digest(m->layer[i]);
	assert(strnlen(m->instance, sizeof(m->instance)) == 36 && !strchr(m->instance, '/'));
	assert(m->slot < MSG_INSTANCES_MAX && m->network < MSG_NETWORK_MAX && m->function_api <= 1);
}

/* The same bytes as the socket gives them: the same verdict, and no descriptor stays open after a refusal. */
static void over_socket(const void *m, size_t len, size_t nfds, enum msg_side side, enum msg_phase phase, int type)
{
	static int pair[2] = { -1, -1 }, null_fd = -1;
	if (null_fd < 0) {
		null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		int r = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair);
		assert(null_fd >= 0 && r == 0);
	}
	const int fds[MSG_FDS_MAX] = { null_fd, null_fd, null_fd };
	union msg got;
	int in[MSG_FDS_MAX];
	size_t ngot = 0;
	const char *what = NULL;
	int r = type > 0 ? msg_send(pair[0], m, fds, nfds) : fd_send_msg(pair[0], m, len, fds, nfds);
	if (r < 0)
		return; /* longer than a socket takes */
	r = msg_recv(pair[1], side, phase, &got, in, &ngot, &what);
	if (len == 0 && nfds == 0)
		type = 0; /* an empty message reads as end of file */
	assert(r == type && (r > 0 ? ngot == nfds : ngot == 0));
	while (ngot > 0)
		close(in[--ngot]);
	assert(msg_recv(pair[1], side, phase, &got, in, &ngot, &what) == -EAGAIN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	enum msg_side side = data[0] & 1 ? MSG_TO_SERVE : MSG_TO_KEEPER;
	enum msg_phase phase = (enum msg_phase)((data[0] >> 1 & 3) % MSG_PHASE_MAX);
	size_t nfds = data[0] >> 3 & 3, len = size - 1;

	/* exactly as large as what came, so that a read beyond it is found */
	void *m = malloc(len ? len : 1);
	if (!m)
		return 0;
	memcpy(m, data + 1, len);
	const char *what = NULL;
	int type = msg_check(m, len, nfds, side, phase, &what);
	assert((type > 0) == (what == NULL));
	if (type > 0) {
		const union msg *u = m;
		char text[MSG_TEXT_SIZE];
		assert(len == msg_size((enum msg_type)type) && nfds == msg_nfds((enum msg_type)type));
		assert(msg_allowed((enum msg_type)type, phase) && msg_receiver((enum msg_type)type) == side);
		if (type == MSG_LAUNCH)
			check_launch(&u->launch);
		if (type == MSG_LAUNCH_FAILED) {
			msg_text(text, sizeof(text), u->launch_failed.text);
			assert(strcmp(text, u->launch_failed.text) == 0 && *msg_fault_name(u->launch_failed.fault) != '?');
		}
	} else if (what) {
		char text[32];
		msg_text(text, sizeof(text), what);
		assert(*msg_name(MSG_LAUNCH) && *msg_layer_outcome_name(data[0]));
	}
	over_socket(m, len, nfds, side, phase, type);
	free(m);
	return 0;
}
