/* msg: every message of the list is taken as it is meant, and refused in every way it can be spoiled. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/ipc/sample.h"

#define EACH_TYPE(t) for (enum msg_type t = MSG_NONE + 1; t < MSG_TYPE_MAX; t++)

static int check(const union msg *m)
{
	const char *what = NULL;
	enum msg_type t = (enum msg_type)m->head.type;
	int r = msg_check(m, msg_size(t), msg_nfds(t), msg_receiver(t), sample_phase(t), &what);
	assert_true((r == -EPROTO) == (what != NULL));
	return r;
}

static void samples_pass(void **state)
{
	(void)state;
	EACH_TYPE(t) {
		union msg m;
		sample(&m, t);
		assert_int_equal(check(&m), (int)t);
		assert_true(strlen(msg_name(t)) > 0);
	}
}

static void only_to_its_receiver_in_its_phase(void **state)
{
	(void)state;
	EACH_TYPE(t) {
		union msg m;
		const char *what;
		sample(&m, t);
		for (int side = 0; side < 2; side++) {
			for (int p = 0; p < MSG_PHASE_MAX; p++) {
				bool good = side == (int)msg_receiver(t) && msg_allowed(t, (enum msg_phase)p);
				int r = msg_check(&m, msg_size(t), msg_nfds(t), (enum msg_side)side, (enum msg_phase)p, &what);
				assert_int_equal(r, good ? (int)t : -EPROTO);
			}
		}
	}
}

static void exact_length_and_descriptors(void **state)
{
	(void)state;
	EACH_TYPE(t) {
		union msg m;
		const char *what;
		sample(&m, t);
		size_t size = msg_size(t), nfds = msg_nfds(t);
		enum msg_phase p = sample_phase(t);
		assert_int_equal(msg_check(&m, size - 1, nfds, msg_receiver(t), p, &what), -EPROTO);
		assert_int_equal(msg_check(&m, size + 1, nfds, msg_receiver(t), p, &what), -EPROTO);
		assert_int_equal(msg_check(&m, 0, nfds, msg_receiver(t), p, &what), -EPROTO);
		assert_int_equal(msg_check(&m, size, nfds + 1, msg_receiver(t), p, &what), -EPROTO);
		if (nfds)
			assert_int_equal(msg_check(&m, size, nfds - 1, msg_receiver(t), p, &what), -EPROTO);
	}
}

static void header_must_be_right(void **state)
{
	const char *what;
	union msg m;
	(void)state;
	sample(&m, MSG_KILL);
	m.head.magic ^= 1;
	assert_int_equal(check(&m), -EPROTO);
	const uint32_t types[] = { MSG_NONE, MSG_TYPE_MAX, UINT32_MAX };
	for (size_t i = 0; i < 3; i++) {
		sample(&m, MSG_KILL);
		m.head.type = types[i];
		assert_int_equal(msg_check(&m, msg_size(MSG_KILL), 0, MSG_TO_KEEPER, MSG_PHASE_UP, &what), -EPROTO);
	}
}

/* ---- every field of every message, spoiled --------------------------------------- */

/* Run `spoil` on a fresh sample; the message must then be refused. */
#define SPOILED(m, spoil)                             \
	do {                                          \
		union msg u;                          \
		sample(&u, type);                     \
		struct msg_##m *x = &u.m;             \
		spoil;                                \
		if (check(&u) != -EPROTO)             \
			fail_msg("%s", #m ": " #spoil); \
	} while (0)

#define NUMBER(m, f, lo, hi, top)                     \
	if ((uint64_t)(hi) < (uint64_t)(top))         \
		SPOILED(m, x->f = (hi) + 1u);         \
	if ((uint64_t)(lo) > 0)                       \
		SPOILED(m, x->f = 0);

#define MSG(upper, lower, to, phases, nfds) \
	static void spoil_##lower(void)     \
	{                                   \
		const enum msg_type type = MSG_##upper; \
		(void)type;
#define U32(m, f, lo, hi) NUMBER(m, f, lo, hi, UINT32_MAX)
#define U64(m, f, lo, hi) NUMBER(m, f, lo, hi, UINT64_MAX)
#define I32(m, f, lo, hi)                                       \
	if ((hi) < INT32_MAX)                                   \
		SPOILED(m, x->f = (int32_t)((int64_t)(hi) + 1)); \
	if ((lo) > INT32_MIN)                                   \
		SPOILED(m, x->f = (int32_t)((int64_t)(lo)-1));
#define ENUM(m, f, hi) SPOILED(m, x->f = (hi)); SPOILED(m, x->f = UINT32_MAX);
#define NAME(m, f, sz)                             \
	SPOILED(m, x->f[0] = '\0');                \
	SPOILED(m, memset(x->f, 0, sizeof(x->f))); \
	SPOILED(m, memcpy(x->f, "../..", 6));      \
	SPOILED(m, memcpy(x->f, "a/b\0\0\0", 7));  \
	SPOILED(m, x->f[0] = '.');                 \
	SPOILED(m, x->f[0] = '1');                 \
	SPOILED(m, x->f[2] = '\n');                \
	SPOILED(m, x->f[sizeof(x->f) - 1] = 'x');  \
	SPOILED(m, memset(x->f, 'x', sizeof(x->f)));
#define UUID(m, f)                                \
	SPOILED(m, memset(x->f, 0, sizeof(x->f))); \
	SPOILED(m, x->f[8] = '/');                \
	SPOILED(m, x->f[0] = 'A');                \
	SPOILED(m, x->f[35] = '\0');              \
	SPOILED(m, x->f[36] = '0');               \
	SPOILED(m, x->f[39] = '0');
#define DIGEST(m, f)                              \
	SPOILED(m, x->f[0] = 'E');                \
	SPOILED(m, x->f[63] = '\0');              \
	SPOILED(m, x->f[64] = '0');               \
	SPOILED(m, memcpy(x->f, "../../..", 8));  \
	SPOILED(m, memset(x->f, '0', sizeof(x->f)));
#define DIGESTS(m, f, n)                                        \
	SPOILED(m, x->f[0][0] = '/');                           \
	SPOILED(m, memset(x->f[0], 0, MSG_DIGEST_SIZE));        \
	SPOILED(m, strcpy(x->f[3], SAMPLE_DIGEST));             \
	SPOILED(m, x->f[(n) - 1][MSG_DIGEST_SIZE - 1] = 1);
#define TEXT(m, f, sz)                             \
	SPOILED(m, x->f[1] = '\n');                \
	SPOILED(m, x->f[1] = '\x1b');              \
	SPOILED(m, x->f[1] = 0x7f);                \
	SPOILED(m, x->f[sizeof(x->f) - 1] = 'x');  \
	SPOILED(m, memset(x->f, 'x', sizeof(x->f)));
#define NUMBERS(m, f, n)
#define MARKS(m, f, n)                                          \
	SPOILED(m, x->f[0].name[0] = '\n');                     \
	SPOILED(m, memset(x->f[0].name, 'x', sizeof(x->f[0].name))); \
	SPOILED(m, memset(x->f[1].name, 0, sizeof(x->f[1].name))); \
	SPOILED(m, x->f[4].wall_ns = 1);                        \
	SPOILED(m, x->f[4].cpu_ns = 1);
#define END(upper, lower) }
#include "ipc/messages.def"

static void every_field_is_checked(void **state)
{
	(void)state;
#define MSG(upper, lower, to, phases, nfds) spoil_##lower();
#include "ipc/messages.def"
}

/* ---- over a socket --------------------------------------------------------------------- */

struct pair {
	int a, b;
};

static struct pair make_pair(void)
{
	int fd[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd), 0);
	return (struct pair){ fd[0], fd[1] };
}

static size_t open_fds(void)
{
	size_t n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void all_types_travel(void **state)
{
	(void)state;
	size_t before = open_fds();
	struct pair p = make_pair();
	EACH_TYPE(t) {
		union msg m, got;
		int out[MSG_FDS_MAX] = { 0, 1, 2 }, in[MSG_FDS_MAX];
		size_t nfds;
		const char *what;
		sample(&m, t);
		assert_int_equal(msg_send(p.a, &m, out, msg_nfds(t)), 0);
		assert_int_equal(msg_recv(p.b, msg_receiver(t), sample_phase(t), &got, in, &nfds, &what), (int)t);
		assert_memory_equal(&m, &got, msg_size(t));
		assert_int_equal(nfds, msg_nfds(t));
		while (nfds > 0)
			close(in[--nfds]);
	}
	close(p.a);
	close(p.b);
	assert_int_equal(open_fds(), before);
}

static int recv_up(int sock)
{
	union msg got;
	int in[MSG_FDS_MAX];
	size_t nfds;
	const char *what;
	int r = msg_recv(sock, MSG_TO_KEEPER, MSG_PHASE_UP, &got, in, &nfds, &what);
	if (r <= 0)
		assert_int_equal(nfds, 0);
	return r;
}

static void nothing_of_a_refused_message_is_kept(void **state)
{
	(void)state;
	struct pair p = make_pair();
	union msg m;
	char big[2 * sizeof(union msg)] = { 0 };
	int fds[8] = { 0, 0, 0, 0, 0, 0, 0, 0 };
	size_t before = open_fds();

	sample(&m, MSG_LAUNCH);
	const struct {
		const void *data;
		size_t len, nfds;
	} bad[] = {
		{ &m, msg_size(MSG_LAUNCH), 0 }, { &m, msg_size(MSG_LAUNCH), 2 }, { &m, msg_size(MSG_LAUNCH), 8 },
		{ &m, 8, 1 },                    { "x", 1, 3 },                   { big, sizeof(big), 1 },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct iovec iov = { (void *)(uintptr_t)bad[i].data, bad[i].len };
		char control[CMSG_SPACE(sizeof(fds))] = { 0 };
		struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
		if (bad[i].nfds) {
			h.msg_control = control;
			h.msg_controllen = CMSG_SPACE(sizeof(int) * bad[i].nfds);
			struct cmsghdr *c = CMSG_FIRSTHDR(&h);
			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(sizeof(int) * bad[i].nfds);
			memcpy(CMSG_DATA(c), fds, sizeof(int) * bad[i].nfds);
		}
		assert_int_equal(sendmsg(p.a, &h, 0), (ssize_t)bad[i].len);
		assert_int_equal(recv_up(p.b), -EPROTO);
		assert_int_equal(open_fds(), before);
	}
	assert_int_equal(recv_up(p.b), -EAGAIN);
	close(p.a);
	assert_int_equal(recv_up(p.b), 0);
	close(p.b);
}

static void text_is_made_harmless(void **state)
{
	char out[16];
	(void)state;
	msg_text(out, sizeof(out), "a\nb\x1b[31m");
	assert_string_equal(out, "a?b?[31m");
	msg_text(out, sizeof(out), "0123456789abcdefghij");
	assert_string_equal(out, "0123456789abcde");
}

static void names_of_enums(void **state)
{
	(void)state;
	assert_string_equal(msg_fault_name(MSG_FAULT_HOST), "host");
	assert_string_equal(msg_fault_name(MSG_FAULT_MAX), "?");
	assert_string_equal(msg_layer_outcome_name(MSG_LAYER_DIGEST), "digest");
	assert_string_equal(msg_layer_outcome_name(UINT32_MAX), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples_pass),
		cmocka_unit_test(only_to_its_receiver_in_its_phase),
		cmocka_unit_test(exact_length_and_descriptors),
		cmocka_unit_test(header_must_be_right),
		cmocka_unit_test(every_field_is_checked),
		cmocka_unit_test(all_types_travel),
		cmocka_unit_test(nothing_of_a_refused_message_is_kept),
		cmocka_unit_test(text_is_made_harmless),
		cmocka_unit_test(names_of_enums),
	};
	return cmocka_run_group_tests_name("msg", tests, NULL, NULL);
}
