/* instance and link: serve's end, against a keeper played over a socket pair. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/instance.h"
#include "agent/link.h"
#include "base/fd.h"
#include "tests/ipc/sample.h"

struct play {
	struct event_base *base;
	struct link *link;
	struct instances *table;
	int keeper;                      /* the other end */
	unsigned welcomed, drained, lost, launched, failed, exited, answered;
	uint64_t drain_ms;
	struct instance_ref again;       /* started from inside a callback */
	bool start_again;
};

/* ---- serve's callbacks -------------------------------------------------------- */

static void on_welcome(void *arg, const struct msg_welcome *m)
{
	struct play *p = arg;
	p->welcomed++;
	assert_ptr_equal(m, link_welcome(p->link));
	p->table = instances_new(p->link);
	assert_non_null(p->table);
}

static void on_drain(void *arg, uint64_t timeout_ms)
{
	struct play *p = arg;
	p->drained++;
	p->drain_ms = timeout_ms;
}

static void on_lost(void *arg, const struct err *why)
{
	struct play *p = arg;
	p->lost++;
	assert_true(why->text[0]);
}

static int new_principals = -1, new_keys = -1;

static void on_access(void *arg, int principals_fd, int keys_fd)
{
	(void)arg;
	new_principals = principals_fd;
	new_keys = keys_fd;
}

static const struct link_handlers handlers = { on_welcome, on_drain, on_lost, on_access };

static struct instance_ref start(struct play *p);

static void on_launched(void *arg, const struct instance_fds *fds, const struct msg_launched *m)
{
	struct play *p = arg;
	p->launched++;
	assert_string_equal(m->mark[0].name, "mark0");
	for (int i = 0; i < MSG_IO_MAX; i++)
		assert_int_equal(close(fds->io[i]), 0);
}

static void on_failed(void *arg, const struct msg_launch_failed *m)
{
	(void)m;
	((struct play *)arg)->failed++;
}

static void on_exited(void *arg, const struct msg_exited *m)
{
	struct play *p = arg;
	(void)m;
	p->exited++;
	if (p->start_again)
		p->again = start(p);
}

static const struct instance_callbacks callbacks = { on_launched, on_failed, on_exited };

/* ---- the other end --------------------------------------------------------------- */

static void turn(struct play *p) { event_base_loop(p->base, EVLOOP_NONBLOCK); }

static void say(struct play *p, const union msg *m)
{
	const int null_fds[MSG_FDS_MAX] = { 0, 0, 0 };
	assert_int_equal(msg_send(p->keeper, m, null_fds, msg_nfds((enum msg_type)m->head.type)), 0);
	turn(p);
}

/* What serve has sent; 0 when nothing. */
static int hear(struct play *p, union msg *m, enum msg_phase phase)
{
	int fds[MSG_FDS_MAX];
	size_t nfds;
	const char *what;
	int r = msg_recv(p->keeper, MSG_TO_KEEPER, phase, m, fds, &nfds, &what);
	while (nfds > 0)
		close(fds[--nfds]);
	return r == -EAGAIN ? 0 : r;
}

static void say_about(struct play *p, enum msg_type type, struct instance_ref ref)
{
	union msg m;
	sample(&m, type);
	m.exited.slot = ref.slot; /* the same place in all three */
	m.exited.generation = ref.generation;
	say(p, &m);
}
_Static_assert(offsetof(struct msg_exited, slot) == offsetof(struct msg_launched, slot) &&
		       offsetof(struct msg_exited, slot) == offsetof(struct msg_launch_failed, slot), "one place");

static struct instance_ref start(struct play *p)
{
	const struct instance_wish wish = {
		.tenant = "alpha", .function = "hello", .instance = SAMPLE_UUID, .runtime = "stdio", .image = "host",
		.code = SAMPLE_DIGEST, .layer = { SAMPLE_DIGEST }, .layers = 1,
		.memory_bytes = 1 << 20, .cpu_milli = 100, .pids = 5, .tmp_bytes = 4096, .payload_fd = 0,
	};
	struct instance_ref ref = { 0, 0 };
	assert_int_equal(instance_start(p->table, &wish, &callbacks, p, &ref), INSTANCE_OK);
	assert_int_equal(instance_state(p->table, ref), INSTANCE_LAUNCHING);
	return ref;
}

static int set_up(void **state)
{
	struct play *p = calloc(1, sizeof(*p));
	int pair[2];
	union msg m;
	struct err err = ERR_INIT;
	assert_non_null(p);
	p->base = event_base_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	p->keeper = pair[1];
	assert_int_equal(link_new(&p->link, p->base, pair[0], &handlers, p, &err), 0);
	assert_null(link_welcome(p->link));
	assert_int_equal(hear(p, &m, MSG_PHASE_HELLO), MSG_HELLO);
	sample(&m, MSG_WELCOME);
	m.welcome.max_instances = 3;
	say(p, &m);
	assert_int_equal(p->welcomed, 1);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct play *p = *state;
	p->table = instances_free(p->table);
	p->link = link_free(p->link);
	if (p->keeper >= 0)
		close(p->keeper);
	event_base_free(p->base);
	free(p);
	return 0;
}

/* ---- the table of states ------------------------------------------------------------ */

static void every_cell(void **state)
{
	static const int want[INSTANCE_STATE_MAX][INSTANCE_EV_MAX] = {
		[INSTANCE_FREE] = { INSTANCE_LAUNCHING, -1, -1, -1, -1 },
		[INSTANCE_LAUNCHING] = { -1, INSTANCE_RUNNING, INSTANCE_FREE, INSTANCE_DYING, -1 },
		[INSTANCE_RUNNING] = { -1, -1, -1, INSTANCE_DYING, INSTANCE_FREE },
		[INSTANCE_DYING] = { -1, INSTANCE_DYING, INSTANCE_FREE, INSTANCE_DYING, INSTANCE_FREE },
	};
	(void)state;
	for (enum instance_state s = 0; s < INSTANCE_STATE_MAX; s++)
		for (enum instance_event e = 0; e < INSTANCE_EV_MAX; e++)
			assert_int_equal(instance_next(s, e), want[s][e]);
	assert_string_equal(instance_state_name(INSTANCE_DYING), "dying");
	assert_string_equal(instance_event_name(INSTANCE_EV_LAUNCHED), "launched");
}

static void a_whole_life(void **state)
{
	struct play *p = *state;
	union msg m;
	struct instance_ref ref = start(p);
	assert_int_equal(hear(p, &m, MSG_PHASE_UP), MSG_LAUNCH);
	assert_string_equal(m.launch.tenant, "alpha");
	assert_string_equal(m.launch.layer[0], SAMPLE_DIGEST);
	assert_int_equal(m.launch.generation, ref.generation);
	say_about(p, MSG_LAUNCHED, ref);
	assert_int_equal(p->launched, 1);
	assert_int_equal(instance_state(p->table, ref), INSTANCE_RUNNING);
	assert_int_equal(instances_live(p->table), 1);
	p->start_again = true; /* the slot is free when its owner hears of the end */
	say_about(p, MSG_EXITED, ref);
	assert_int_equal(p->exited, 1);
	assert_int_equal(p->again.slot, ref.slot);
	assert_int_not_equal(p->again.generation, ref.generation);
	assert_int_equal(instance_state(p->table, ref), INSTANCE_FREE);
	assert_int_equal(p->lost, 0);
}

static void it_never_ran(void **state)
{
	struct play *p = *state;
	struct instance_ref ref = start(p);
	say_about(p, MSG_LAUNCH_FAILED, ref);
	assert_int_equal(p->failed, 1);
	assert_int_equal(instances_live(p->table), 0);
}

static void full_is_an_outcome(void **state)
{
	struct play *p = *state;
	struct instance_ref ref[3], none;
	const struct instance_wish wish = { .payload_fd = 0 };
	for (int i = 0; i < 3; i++)
		ref[i] = start(p);
	assert_int_equal(instances_capacity(p->table), 3);
	assert_int_equal(instances_count(p->table, INSTANCE_LAUNCHING), 3);
	assert_int_equal(instance_start(p->table, &wish, &callbacks, p, &none), INSTANCE_E_FULL);
	say_about(p, MSG_LAUNCH_FAILED, ref[1]);
	assert_int_equal(start(p).slot, ref[1].slot);
}

static void killed_before_it_ran(void **state)
{
	struct play *p = *state;
	union msg m;
	struct instance_ref ref = start(p);
	instance_kill(p->table, ref, MSG_KILL_ALL);
	instance_kill(p->table, ref, MSG_KILL_ALL);
	instance_kill(p->table, ref, MSG_KILL_TERM);
	assert_int_equal(instance_state(p->table, ref), INSTANCE_DYING);
	assert_int_equal(hear(p, &m, MSG_PHASE_UP), MSG_LAUNCH);
	assert_int_equal(hear(p, &m, MSG_PHASE_UP), MSG_KILL);
	assert_int_equal(m.kill.how, MSG_KILL_ALL);
	assert_int_equal(hear(p, &m, MSG_PHASE_UP), 0); /* said once */
	say_about(p, MSG_LAUNCHED, ref);                /* crossed the kill on its way */
	assert_int_equal(p->launched, 0);
	say_about(p, MSG_EXITED, ref);
	assert_int_equal(p->exited, 1);
	instance_kill(p->table, ref, MSG_KILL_ALL);     /* stale: nothing */
	assert_int_equal(hear(p, &m, MSG_PHASE_UP), 0);
}

/* No room for its pipes: that one is killed and its owner told, nothing else happens. */
static void launched_into_a_full_table(void **state)
{
	struct play *p = *state;
	union msg m;
	struct rlimit before, tight;
	struct instance_ref other = start(p), ref = start(p);
	say_about(p, MSG_LAUNCHED, other);
	while (hear(p, &m, MSG_PHASE_UP) == MSG_LAUNCH)
		;
	int next = dup(0);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	tight = (struct rlimit){ (rlim_t)next, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	say_about(p, MSG_LAUNCHED, ref);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(p->launched, 1);
	assert_int_equal(instance_state(p->table, ref), INSTANCE_DYING);
	assert_int_equal(hear(p, &m, MSG_PHASE_UP), MSG_KILL);
	assert_int_equal(m.kill.slot, ref.slot);
	assert_int_equal(m.kill.how, MSG_KILL_ALL);
	say_about(p, MSG_EXITED, ref);
	assert_int_equal(p->failed, 1);
	assert_int_equal(p->exited, 0);
	assert_int_equal(instance_state(p->table, ref), INSTANCE_FREE);
	assert_int_equal(instance_state(p->table, other), INSTANCE_RUNNING);
	assert_int_equal(p->lost, 0);
	ref = start(p); /* the slot serves again */
	say_about(p, MSG_LAUNCHED, ref);
	say_about(p, MSG_EXITED, ref);
	assert_int_equal(p->exited, 1);
}

static void term_leaves_the_state(void **state)
{
	struct play *p = *state;
	union msg m;
	struct instance_ref ref = start(p);
	say_about(p, MSG_LAUNCHED, ref);
	instance_kill(p->table, ref, MSG_KILL_TERM);
	assert_int_equal(instance_state(p->table, ref), INSTANCE_RUNNING);
	assert_int_equal(hear(p, &m, MSG_PHASE_UP), MSG_LAUNCH);
	assert_int_equal(hear(p, &m, MSG_PHASE_UP), MSG_KILL);
	assert_int_equal(m.kill.how, MSG_KILL_TERM);
}

/* ---- a keeper that breaks its promises ------------------------------------------------- */

static void word_about_a_stranger(void **state)
{
	struct play *p = *state;
	struct instance_ref ref = start(p);
	ref.generation++;
	say_about(p, MSG_EXITED, ref);
	assert_int_equal(p->lost, 1);
	assert_int_equal(p->exited, 0);
}

static void exit_before_launched(void **state)
{
	struct play *p = *state;
	say_about(p, MSG_EXITED, start(p));
	assert_int_equal(p->lost, 1);
}

static void launched_twice(void **state)
{
	struct play *p = *state;
	struct instance_ref ref = start(p);
	say_about(p, MSG_LAUNCHED, ref);
	say_about(p, MSG_LAUNCHED, ref);
	assert_int_equal(p->launched, 1);
	assert_int_equal(p->lost, 1);
	const struct instance_wish wish = { .tenant = "a", .function = "a", .instance = SAMPLE_UUID, .runtime = "a", .image = "a",
		.code = "", .memory_bytes = 1, .cpu_milli = 1, .pids = 1, .payload_fd = 0 };
	struct instance_ref none;
	assert_int_equal(instance_start(p->table, &wish, &callbacks, p, &none), -EPIPE);
}

static void nonsense_and_silence(void **state)
{
	struct play *p = *state;
	assert_int_equal(send(p->keeper, "nonsense", 8, 0), 8);
	turn(p);
	assert_int_equal(p->lost, 1);
}

static void keeper_is_gone(void **state)
{
	struct play *p = *state;
	close(p->keeper);
	p->keeper = -1;
	turn(p);
	assert_int_equal(p->lost, 1);
}

/* ---- requests ------------------------------------------------------------------------------ */

static void on_tenant(void *arg, const struct msg_tenant_added *m)
{
	struct play *p = arg;
	p->answered++;
	assert_int_equal(m->base_id, 65536);
}

static void on_layer(void *arg, const struct msg_layer_done *done, const struct msg_layer_failed *failed)
{
	struct play *p = arg;
	assert_true(!done != !failed);
	p->answered += done ? 1 : 100;
}

static void on_dropped(void *arg, const struct msg_layer_dropped *m)
{
	(void)m;
	((struct play *)arg)->answered++;
}

static void on_layers(void *arg, const struct msg_layers *m)
{
	(void)m;
	((struct play *)arg)->answered++;
}

static void on_counters(void *arg, const struct msg_counters *m)
{
	(void)m;
	((struct play *)arg)->answered++;
}

static void requests_are_answered_once(void **state)
{
	struct play *p = *state;
	union msg m, a;
	assert_int_equal(link_tenant_add(p->link, "alpha", on_tenant, p), LINK_OK);
	assert_int_equal(hear(p, &m, MSG_PHASE_UP), MSG_TENANT_ADD);
	sample(&a, MSG_TENANT_ADDED);
	a.tenant_added.request = m.tenant_add.request;
	a.tenant_added.base_id = 65536;
	say(p, &a);
	assert_int_equal(p->answered, 1);

	assert_int_equal(link_layer_unpack(p->link, MSG_KIND_CODE, 0, SAMPLE_DIGEST, 10, 10, on_layer, p), LINK_OK);
	assert_int_equal(link_layer_unpack(p->link, MSG_KIND_CODE, 0, SAMPLE_DIGEST, 10, 10, on_layer, p), LINK_OK);
	assert_int_equal(link_layer_drop(p->link, MSG_KIND_OPT, SAMPLE_DIGEST, on_dropped, p), LINK_OK);
	assert_int_equal(link_layer_list(p->link, MSG_KIND_OPT, "", on_layers, p), LINK_OK);
	assert_int_equal(link_stats(p->link, on_counters, p), LINK_OK);
	static const enum msg_type answers[] = { MSG_LAYER_DONE, MSG_LAYER_FAILED, MSG_LAYER_DROPPED, MSG_LAYERS, MSG_COUNTERS };
	for (size_t i = 0; i < 5; i++) {
		assert_true(hear(p, &m, MSG_PHASE_UP) > 0);
		sample(&a, answers[i]);
		a.stats.request = m.stats.request; /* the first field of each */
		say(p, &a);
	}
	assert_int_equal(p->answered, 105);
	assert_int_equal(p->lost, 0);
	say(p, &a); /* the same answer again */
	assert_int_equal(p->lost, 1);
}

static void too_many_requests(void **state)
{
	struct play *p = *state;
	int r = 0, n = 0;
	while ((r = link_stats(p->link, on_counters, p)) == LINK_OK)
		n++;
	assert_int_equal(r, LINK_E_FULL);
	assert_true(n <= LINK_REQUESTS_MAX && n > 10);
}

/* More than the socket holds is queued and comes out in order, with its descriptors. */
static void queue_keeps_order(void **state)
{
	struct play *p = *state;
	union msg m, got;
	uint32_t sent = 0;
	msg_init(&m, MSG_KILL);
	m.kill.slot = 1;
	for (sent = 0; sent < 1000; sent++) {
		m.kill.generation = sent + 1;
		assert_int_equal(link_send(p->link, &m, -1, /* must= */ true), 0);
	}
	for (uint32_t i = 0; i < sent; i++) {
		int r = hear(p, &got, MSG_PHASE_UP);
		if (r == 0) {
			turn(p);
			r = hear(p, &got, MSG_PHASE_UP);
		}
		assert_int_equal(r, MSG_KILL);
		assert_int_equal(got.kill.generation, i + 1);
	}
	assert_int_equal(p->lost, 0);
}

static void principals_and_keys_are_handed_on(void **state)
{
	struct play *p = *state;
	union msg m;
	sample(&m, MSG_ACCESS);
	say(p, &m);
	assert_true(new_principals >= 0);
	assert_int_equal(close(new_principals), 0);
	assert_int_equal(close(new_keys), 0);
	new_principals = new_keys = -1;
	assert_int_equal(p->lost, 0);
}

static void drain_and_drained(void **state)
{
	struct play *p = *state;
	union msg m;
	assert_int_equal(link_ready(p->link), 0);
	assert_int_equal(hear(p, &m, MSG_PHASE_UP), MSG_READY);
	sample(&m, MSG_DRAIN);
	m.drain.timeout_ms = 1234;
	say(p, &m);
	assert_int_equal(p->drained, 1);
	assert_int_equal(p->drain_ms, 1234);
	assert_int_equal(link_drained(p->link), 0);
	assert_int_equal(hear(p, &m, MSG_PHASE_DRAIN), MSG_DRAINED);
	sample(&m, MSG_DRAIN);
	say(p, &m); /* only once */
	assert_int_equal(p->lost, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cell), TEST(a_whole_life), TEST(it_never_ran), TEST(full_is_an_outcome),
		TEST(killed_before_it_ran), TEST(launched_into_a_full_table), TEST(term_leaves_the_state), TEST(word_about_a_stranger),
		TEST(exit_before_launched), TEST(launched_twice), TEST(nonsense_and_silence), TEST(keeper_is_gone),
		TEST(requests_are_answered_once), TEST(too_many_requests), TEST(queue_keeps_order), TEST(principals_and_keys_are_handed_on), TEST(drain_and_drained),
	};
	return cmocka_run_group_tests_name("instance", tests, NULL, NULL);
}
