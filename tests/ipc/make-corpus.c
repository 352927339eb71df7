/* make-corpus DIR: one valid and one spoiled message of each type, as fuzz-ipc reads them. Run after messages.def changes. */
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/ipc/sample.h"

static int put(int dir, const char *kind, enum msg_type t, const union msg *m, size_t len, int fds)
{
	unsigned char bytes[1 + sizeof(union msg)];
	char name[64];
	bytes[0] = (unsigned char)((msg_receiver(t) == MSG_TO_SERVE) | sample_phase(t) << 1 | fds << 3);
	memcpy(bytes + 1, m, len);
	snprintf(name, sizeof(name), "%s-%s", msg_name(t), kind);
	return fd_replace_file_at(dir, name, bytes, 1 + len, 0644);
}

int main(int argc, char **argv)
{
	int dir = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (dir < 0) {
		fprintf(stderr, "usage: make-corpus DIRECTORY\n");
		return 2;
	}
	int r = 0;
	for (enum msg_type t = MSG_NONE + 1; t < MSG_TYPE_MAX && r == 0; t++) {
		union msg m;
		sample(&m, t);
		r = put(dir, "valid", t, &m, msg_size(t), (int)msg_nfds(t));
		if (r == 0)
			r = put(dir, "short", t, &m, msg_size(t) - 1, (int)msg_nfds(t));
		memset((char *)&m + msg_size(t) - 8, 0xff, 8);
		if (r == 0)
			r = put(dir, "tail", t, &m, msg_size(t), (int)msg_nfds(t));
	}
	close(dir);
	return r < 0;
}
