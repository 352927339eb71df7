/*
 * hostile-serve - an unprivileged half that is broken or taken over.
 *
 * Linked with fc-agent's own main.c and keeper in place of src/agent/serve.c:
 * keeper is the real one and does not know. Each time keeper starts it, it
 * plays the next scene of the list and appends "ok N - name" or "not ok ..."
 * to `results` in its directory. A scene that is FATAL must end with keeper
 * killing us; the others with answers that refuse. After the last scene it
 * drains like an honest one.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/config.h"
#include "agent/roles.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "ipc/msg.h"
#include "plan/compile.h"

enum { WAIT_MS = 10000, KILL_WAIT_MS = 5000 };

static int sock;
static int dir;                  /* our directory */
static const char *scene_name;
static size_t scene_number;
static uint32_t max_instances;
static uint64_t requests = 1;
static char code_sha[80];           /* digest of the bundle that run.sh made for us */

/* ---- what happened ------------------------------------------------------------- */

static void record(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void record(const char *fmt, ...)
{
	char line[512];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n++] = '\n';
	autoclose int fd = openat(dir, "results", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0 || fd_write_all(fd, line, (size_t)n) < 0)
		abort();
}

__attribute__((noreturn)) static void fail(const char *why, const char *detail)
{
	record("not ok %zu - %s # %s: %s", scene_number + 1, scene_name, why, detail);
	exit(1);
}

#define EXPECT(cond) ((cond) ? (void)0 : fail("expected", #cond))

/* ---- speaking -------------------------------------------------------------------- */

static void wait_for(short events, int ms)
{
	struct pollfd p = { .fd = sock, .events = events };
	if (poll(&p, 1, ms) == 0)
		fail("keeper", "says nothing");
}

static void send_raw(const void *data, size_t len, const int *fds, size_t nfds)
{
	int r;
	while ((r = fd_send_msg(sock, data, len, fds, nfds)) == -EAGAIN)
		wait_for(POLLOUT, WAIT_MS);
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		fail("send", strerror(-r));
}

static void send_msg(const union msg *m, int fd) { send_raw(m, msg_size((enum msg_type)m->head.type), &fd, fd >= 0); }

/* The next message, of whatever type; descriptors of LAUNCHED into io. */
static enum msg_type receive(union msg *m, int io[MSG_FDS_MAX])
{
	size_t nfds;
	const char *what = NULL;
	int r;
	while ((r = msg_recv(sock, MSG_TO_SERVE, MSG_PHASE_UP, m, io, &nfds, &what)) == -EAGAIN)
		wait_for(POLLIN, WAIT_MS);
	if (r <= 0)
		fail("receive", what ? what : r < 0 ? strerror(-r) : "end of file");
	return (enum msg_type)r;
}

static void expect(union msg *m, enum msg_type type)
{
	int io[MSG_FDS_MAX] = { -1, -1, -1 };
	enum msg_type got = receive(m, io);
	if (got != type)
		fail(msg_name(type), msg_name(got));
	for (int i = 0; got == MSG_LAUNCHED && i < MSG_IO_MAX; i++)
		close(io[i]);
}

static void greet(void)
{
	union msg m;
	const char *what = NULL;
	int io[MSG_FDS_MAX];
	size_t nfds;
	msg_init(&m, MSG_HELLO);
	m.hello.version = MSG_VERSION;
	send_msg(&m, -1);
	wait_for(POLLIN, WAIT_MS);
	int r = msg_recv(sock, MSG_TO_SERVE, MSG_PHASE_HELLO, &m, io, &nfds, &what);
	EXPECT(r == MSG_WELCOME);
	max_instances = m.welcome.max_instances;
	msg_init(&m, MSG_READY);
	send_msg(&m, -1);
}

static uint64_t counter(enum msg_counter which)
{
	union msg m;
	msg_init(&m, MSG_STATS);
	m.stats.request = ++requests;
	send_msg(&m, -1);
	expect(&m, MSG_COUNTERS);
	EXPECT(m.counters.request == requests);
	return m.counters.value[which];
}

/* ---- honest pieces, to be bent ------------------------------------------------------ */

static int add_tenant(const char *name, uint32_t *base)
{
	union msg m;
	msg_init(&m, MSG_TENANT_ADD);
	m.tenant_add.request = ++requests;
	strcpy(m.tenant_add.tenant, name);
	send_msg(&m, -1);
	expect(&m, MSG_TENANT_ADDED);
	EXPECT(m.tenant_added.request == requests);
	*base = m.tenant_added.base_id;
	return m.tenant_added.code;
}

static int payload_of(const char *const *argv)
{
	static const char *const env[] = { "PATH=/usr/bin:/bin", NULL };
	autobuf struct buf b = BUF_INIT(PAYLOAD_SIZE_MAX);
	EXPECT(payload_build(argv, env, "/", &b, NULL) == 0);
	return fd_sealed_memfd("payload", b.data, b.len);
}

static int payload_true(void) { return payload_of((const char *const[]){ "/bin/true", NULL }); }
static int payload_sleep(void) { return payload_of((const char *const[]){ "/bin/sleep", "600", NULL }); }

static void launch_of(union msg *m, uint32_t slot)
{
	msg_init(m, MSG_LAUNCH);
	m->launch.slot = slot;
	m->launch.generation = (uint32_t)++requests;
	strcpy(m->launch.tenant, "alpha");
	strcpy(m->launch.function, "tasks"); /* the name of a control file in each v1 group */
	EXPECT(str_uuid(m->launch.instance) == 0);
	strcpy(m->launch.runtime, "stdio");
	strcpy(m->launch.image, "host");
	strcpy(m->launch.code, code_sha);
	m->launch.memory_bytes = 64 << 20;
	m->launch.cpu_milli = 1000;
	m->launch.pids = 16;
	m->launch.tmp_bytes = 1 << 20;
}

static void know_alpha(void)
{
	uint32_t base;
	EXPECT(add_tenant("alpha", &base) == 0 && base % MSG_TENANT_IDS == 0 && base > 0);
}

static void send_launch(const union msg *m, int payload)
{
	send_msg(m, payload);
	if (payload >= 0)
		close(payload);
}

static void unpack_code(uint32_t existed);

/* This launch must be refused by keeper's own tables. */
static void refused(const union msg *m, int payload, int code)
{
	union msg a;
	send_launch(m, payload);
	expect(&a, MSG_LAUNCH_FAILED);
	EXPECT(a.launch_failed.slot == m->launch.slot && a.launch_failed.generation == m->launch.generation);
	if (a.launch_failed.code != code)
		fail("code", a.launch_failed.text);
	EXPECT(a.launch_failed.fault == MSG_FAULT_REFUSED || a.launch_failed.fault == MSG_FAULT_FULL);
}

static void runs(uint32_t slot)
{
	union msg m, a;
	launch_of(&m, slot);
	send_launch(&m, payload_true());
	int io[MSG_FDS_MAX];
	enum msg_type t = receive(&a, io);
	if (t == MSG_LAUNCH_FAILED)
		fail(a.launch_failed.stage, a.launch_failed.text);
	EXPECT(t == MSG_LAUNCHED && a.launched.mark[0].name[0]);
	for (int i = 0; i < MSG_IO_MAX; i++)
		close(io[i]);
	expect(&a, MSG_EXITED);
	EXPECT(a.exited.slot == slot && a.exited.wait_status == 0 && a.exited.oom_level == -1 && !a.exited.killed);
	EXPECT((a.exited.have & (MSG_HAVE_CPU | MSG_HAVE_RUSAGE)) == (MSG_HAVE_CPU | MSG_HAVE_RUSAGE));
}

/* ---- scenes that keeper must answer with a refusal -------------------------------------- */

/* The same bundle again and again: unpacked once. */
static void unpack_code(uint32_t existed)
{
	union msg m;
	msg_init(&m, MSG_LAYER_UNPACK);
	m.layer_unpack.request = ++requests;
	strcpy(m.layer_unpack.sha256, code_sha);
	m.layer_unpack.max_bytes = 1 << 20;
	m.layer_unpack.max_files = 10;
	autoclose int fd = openat(dir, "bundle", O_RDONLY | O_CLOEXEC);
	send_msg(&m, fd);
	int io[MSG_FDS_MAX];
	if (receive(&m, io) != MSG_LAYER_DONE)
		fail("unpack", m.layer_failed.text);
	EXPECT(strcmp(m.layer_done.sha256, code_sha) == 0 && m.layer_done.existed == existed && m.layer_done.bytes > 0);
	EXPECT(existed || m.layer_done.crc64);
}

static void honest(void)
{
	union msg m;
	know_alpha();
	unpack_code(0);
	unpack_code(1);
	msg_init(&m, MSG_LAYER_LIST);
	m.layer_list.request = ++requests;
	send_msg(&m, -1);
	expect(&m, MSG_LAYERS);
	EXPECT(m.layers.count == 1 && strcmp(m.layers.sha256[0], code_sha) == 0);
	runs(0);
	runs(max_instances - 1);
	EXPECT(counter(MSG_COUNT_live_instances) == 0);
}

static void strangers(void)
{
	union msg m;
	know_alpha();
	launch_of(&m, 1);
	strcpy(m.launch.tenant, "nobody_we_know");
	refused(&m, payload_true(), ENOENT);
	launch_of(&m, 1);
	strcpy(m.launch.image, "rootfs");
	refused(&m, payload_true(), ENOENT);
	launch_of(&m, 1);
	strcpy(m.launch.runtime, "cobol");
	refused(&m, payload_true(), ENOENT);
	launch_of(&m, 1);
	memset(m.launch.code, 'a', 64);
	refused(&m, payload_true(), ENOENT);
	launch_of(&m, 1);
	memset(m.launch.code, 0, sizeof(m.launch.code));
	refused(&m, payload_true(), EINVAL);
	launch_of(&m, 1);
	memset(m.launch.layer[0], 'b', 64);
	refused(&m, payload_true(), ENOENT);
	runs(1);
}

static void too_much(void)
{
	union msg m;
	know_alpha();
	launch_of(&m, 1);
	m.launch.memory_bytes = UINT64_MAX;
	refused(&m, payload_true(), ERANGE);
	launch_of(&m, 1);
	m.launch.tmp_bytes = UINT64_MAX;
	refused(&m, payload_true(), ERANGE);
	launch_of(&m, 1);
	m.launch.pids = 4194304;
	refused(&m, payload_true(), ERANGE);
	launch_of(&m, 1);
	m.launch.cpu_milli = 1024000;
	refused(&m, payload_true(), ERANGE);
	launch_of(&m, max_instances);
	refused(&m, payload_true(), ENOSPC);
	launch_of(&m, MSG_INSTANCES_MAX - 1);
	refused(&m, payload_true(), ENOSPC);
}

static int memfd_of(size_t size, int seals)
{
	int fd = memfd_create("payload", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	EXPECT(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	EXPECT(!seals || fcntl(fd, F_ADD_SEALS, seals) == 0);
	return fd;
}

static void payloads(void)
{
	const int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	union msg m;
	int p[2];
	know_alpha();
	launch_of(&m, 2);
	refused(&m, memfd_of(4096, 0), EPERM);
	refused(&m, memfd_of(4096, all & ~F_SEAL_WRITE), EPERM);
	refused(&m, memfd_of(4096, all & ~F_SEAL_SEAL), EPERM);
	refused(&m, memfd_of(4096, (all & ~F_SEAL_WRITE) | F_SEAL_FUTURE_WRITE), EPERM);
	refused(&m, memfd_of(0, all), EMSGSIZE);
	refused(&m, memfd_of(8, all), EMSGSIZE);
	refused(&m, memfd_of(3 << 20, all), EMSGSIZE);
	refused(&m, memfd_of(1ull << 40, all), EMSGSIZE);
	refused(&m, open("/dev/null", O_RDWR | O_CLOEXEC), EPERM);
	refused(&m, dup(dir), EPERM);
	refused(&m, dup(sock), EPERM);
	EXPECT(pipe2(p, O_CLOEXEC) == 0);
	close(p[1]);
	refused(&m, p[0], EPERM);
}

/* Sealed, of a size that is read, and nonsense: fc-sandbox must refuse it, not keeper. */
static void nonsense_payload(void)
{
	union msg m, a;
	char noise[4096];
	know_alpha();
	EXPECT(getrandom(noise, sizeof(noise), 0) == (ssize_t)sizeof(noise));
	launch_of(&m, 3);
	send_launch(&m, fd_sealed_memfd("payload", noise, sizeof(noise)));
	expect(&a, MSG_LAUNCH_FAILED);
	EXPECT(a.launch_failed.fault == MSG_FAULT_FUNCTION && strcmp(a.launch_failed.stage, "payload") == 0);
	launch_of(&m, 3);
	send_launch(&m, payload_of((const char *const[]){ "/no/such/program", NULL }));
	expect(&a, MSG_LAUNCH_FAILED);
	EXPECT(a.launch_failed.fault == MSG_FAULT_FUNCTION && a.launch_failed.code == ENOENT);
}

static void taken_slots(void)
{
	union msg m, again, a;
	know_alpha();
	launch_of(&m, 4);
	send_launch(&m, payload_sleep());
	launch_of(&again, 4);
	send_launch(&again, payload_sleep());
	/* the refusal may come before the first one has started */
	bool launched = false, failed = false;
	while (!launched || !failed) {
		int io[MSG_FDS_MAX];
		enum msg_type t = receive(&a, io);
		launched |= t == MSG_LAUNCHED;
		failed |= t == MSG_LAUNCH_FAILED && a.launch_failed.code == EEXIST;
		for (int i = 0; t == MSG_LAUNCHED && i < MSG_IO_MAX; i++)
			close(io[i]);
		EXPECT(t == MSG_LAUNCHED || t == MSG_LAUNCH_FAILED);
	}
	/* the same group again, from another slot: what runs must not be touched */
	launch_of(&again, 5);
	strcpy(again.launch.instance, m.launch.instance);
	send_launch(&again, payload_true());
	expect(&a, MSG_LAUNCH_FAILED);
	EXPECT(counter(MSG_COUNT_live_instances) == 1);
	msg_init(&a, MSG_KILL);
	a.kill.slot = 4;
	a.kill.generation = m.launch.generation;
	a.kill.how = MSG_KILL_ALL;
	send_msg(&a, -1);
	expect(&a, MSG_EXITED);
	EXPECT(a.exited.killed == 1);
}

/* What a sandbox shows cannot be dropped under it. */
static void drop_in_use(void)
{
	union msg m, a;
	know_alpha();
	launch_of(&m, 6);
	send_launch(&m, payload_sleep());
	expect(&a, MSG_LAUNCHED);
	for (int in_use = 1; in_use >= 0; in_use--) {
		msg_init(&a, MSG_LAYER_DROP);
		a.layer_drop.request = ++requests;
		strcpy(a.layer_drop.sha256, code_sha);
		send_msg(&a, -1);
		expect(&a, MSG_LAYER_DROPPED);
		EXPECT(a.layer_dropped.code == (in_use ? EBUSY : 0));
		msg_init(&a, MSG_KILL);
		a.kill.slot = 6;
		a.kill.generation = m.launch.generation;
		a.kill.how = MSG_KILL_ALL;
		send_msg(&a, -1);
		if (in_use)
			expect(&a, MSG_EXITED);
	}
	launch_of(&m, 6);
	refused(&m, payload_true(), ENOENT);
	unpack_code(0);
}

static void stale_kills(void)
{
	union msg m;
	for (uint32_t slot = 0; slot < MSG_INSTANCES_MAX; slot += 97) {
		msg_init(&m, MSG_KILL);
		m.kill.slot = slot;
		m.kill.generation = slot * 2654435761u | 1;
		m.kill.how = slot & 1;
		send_msg(&m, -1);
	}
	EXPECT(counter(MSG_COUNT_live_instances) == 0);
}

static void unpack_of(union msg *m, int fd, char digit)
{
	msg_init(m, MSG_LAYER_UNPACK);
	m->layer_unpack.request = ++requests;
	memset(m->layer_unpack.sha256, digit, 64);
	m->layer_unpack.max_bytes = m->layer_unpack.max_files = UINT64_MAX;
	send_msg(m, fd);
	close(fd);
}

static void bundle_refused(int fd)
{
	union msg m;
	unpack_of(&m, fd, 'c');
	expect(&m, MSG_LAYER_FAILED);
	EXPECT(m.layer_failed.request == requests);
}

static void bundles(void)
{
	int p[2];
	bundle_refused(dup(dir));
	bundle_refused(open("/dev/null", O_RDONLY | O_CLOEXEC));
	bundle_refused(open("/dev/null", O_WRONLY | O_CLOEXEC));
	bundle_refused(open("/proc/self/status", O_PATH | O_CLOEXEC));
	bundle_refused(dup(sock));
	EXPECT(pipe2(p, O_CLOEXEC) == 0); /* nobody will ever write to it: only the child may wait */
	bundle_refused(p[0]);
	close(p[1]);
	bundle_refused(memfd_of(1 << 20, 0));
	EXPECT(counter(MSG_COUNT_live_unpacks) == 0);
}

static void layers_unknown(void)
{
	union msg m;
	for (int kind = 0; kind < MSG_KIND_MAX; kind++) {
		msg_init(&m, MSG_LAYER_DROP);
		m.layer_drop.request = ++requests;
		m.layer_drop.kind = (uint32_t)kind;
		memset(m.layer_drop.sha256, 'd', kind ? 64 : 0);
		send_msg(&m, -1);
		expect(&m, MSG_LAYER_DROPPED);
		EXPECT(m.layer_dropped.code == ENOENT);
		msg_init(&m, MSG_LAYER_LIST);
		m.layer_list.request = ++requests;
		m.layer_list.kind = (uint32_t)kind;
		send_msg(&m, -1);
		expect(&m, MSG_LAYERS);
		EXPECT(m.layers.count == (kind == MSG_KIND_CODE) && !m.layers.more && m.layers.code == 0);
	}
}

static void all_tenants(void)
{
	uint32_t base, seen[64];
	size_t n = 0;
	char name[16];
	for (int i = 0; i < 64; i++) {
		snprintf(name, sizeof(name), "t%d", i);
		int code = add_tenant(name, &base);
		if (code) {
			EXPECT(code == ENOSPC && i >= 2);
			EXPECT(add_tenant("alpha", &base) == 0); /* those that are known stay known */
			return;
		}
		for (size_t k = 0; k < n; k++)
			EXPECT(seen[k] != base);
		seen[n++] = base;
	}
	fail("tenants", "without end");
}

/* More launches than there are slots, answers read only when keeper has stopped listening: each is answered once. */
static void flood(void)
{
	enum { LAUNCHES = 1000 };
	union msg m;
	size_t sent = 0, ended = 0, unread = 0;
	know_alpha();
	int payload = payload_true();
	while (ended < LAUNCHES) {
		launch_of(&m, (uint32_t)(sent % (2 * max_instances)));
		int r = sent < LAUNCHES ? fd_send_msg(sock, &m, msg_size(MSG_LAUNCH), &payload, 1) : -EAGAIN;
		if (r == 0) {
			sent++;
			continue;
		}
		EXPECT(r == -EAGAIN);
		if (!unread)
			record("# %zu launches sent before an answer had to be read", unread = sent);
		int io[MSG_FDS_MAX];
		enum msg_type t = receive(&m, io);
		for (int i = 0; t == MSG_LAUNCHED && i < MSG_IO_MAX; i++)
			close(io[i]);
		EXPECT(t == MSG_LAUNCHED || t == MSG_LAUNCH_FAILED || t == MSG_EXITED);
		ended += t == MSG_EXITED || t == MSG_LAUNCH_FAILED;
	}
	close(payload);
	EXPECT(counter(MSG_COUNT_live_instances) == 0);
	EXPECT(counter(MSG_COUNT_open_fds) < 64);
	runs(0);
}

/* ---- scenes that keeper must end with our death -------------------------------------------- */

static void garbage(void) { send_raw("GET / HTTP/1.1\r\n\r\n", 18, NULL, 0); }
static void nothing(void) { send_raw("", 0, NULL, 0); }

static void too_short(void)
{
	union msg m;
	launch_of(&m, 0);
	send_raw(&m, msg_size(MSG_LAUNCH) - 8, (int[]){ sock }, 1);
}

static void too_long(void)
{
	static char big[100000];
	union msg m;
	msg_init(&m, MSG_STATS);
	memcpy(big, &m, sizeof(m.stats));
	send_raw(big, sizeof(big), NULL, 0);
}

static void unknown_type(void)
{
	union msg m;
	msg_init(&m, MSG_STATS);
	m.head.type = 4242;
	send_raw(&m, sizeof(m.stats), NULL, 0);
}

static void wrong_way(void)
{
	union msg m;
	msg_init(&m, MSG_EXITED);
	m.exited.generation = 1;
	send_msg(&m, -1);
}

static void hello_again(void)
{
	union msg m;
	msg_init(&m, MSG_HELLO);
	m.hello.version = MSG_VERSION;
	send_msg(&m, -1);
}

static void drained_too_early(void)
{
	union msg m;
	msg_init(&m, MSG_DRAINED);
	send_msg(&m, -1);
}

static void no_payload(void)
{
	union msg m;
	know_alpha();
	launch_of(&m, 0);
	send_msg(&m, -1);
}

static void many_payloads(void)
{
	union msg m;
	know_alpha();
	launch_of(&m, 0);
	int fds[FD_PASS_MAX];
	for (int i = 0; i < FD_PASS_MAX; i++)
		fds[i] = sock;
	send_raw(&m, msg_size(MSG_LAUNCH), fds, FD_PASS_MAX);
}

static void uncalled_descriptor(void)
{
	union msg m;
	msg_init(&m, MSG_STATS);
	m.stats.request = 1;
	send_raw(&m, sizeof(m.stats), (int[]){ sock, sock, sock }, 3);
}

#define PATH_SCENE(name, field, text)                     \
	static void name(void)                            \
	{                                                 \
		union msg m;                              \
		know_alpha();                             \
		launch_of(&m, 0);                         \
		memset(m.launch.field, 0, sizeof(m.launch.field)); \
		strcpy(m.launch.field, text);             \
		send_launch(&m, payload_true());          \
	}
PATH_SCENE(path_tenant, tenant, "../../../victim")
PATH_SCENE(path_function, function, "a/../../b")
PATH_SCENE(path_instance, instance, "../../../../../../../victim/xxxxxxxx")
PATH_SCENE(path_code, code, "../../../../../../../../../../../../../../../../etc")
PATH_SCENE(path_layer, layer[0], "../../../../../../../../../../../../../../../../etc")
PATH_SCENE(path_image, image, "/etc")
PATH_SCENE(path_runtime, runtime, "../python3")

static void tenant_dots(void)
{
	union msg m;
	msg_init(&m, MSG_TENANT_ADD);
	m.tenant_add.request = 1;
	strcpy(m.tenant_add.tenant, "..");
	send_msg(&m, -1);
}

static void tenant_newline(void)
{
	union msg m;
	msg_init(&m, MSG_TENANT_ADD);
	m.tenant_add.request = 1;
	strcpy(m.tenant_add.tenant, "a 65536\nroot");
	send_msg(&m, -1);
}

/* Every type, its body at random: sooner or later something that is not allowed. */
static void noise(void)
{
	union msg m;
	for (int i = 0; i < 500; i++) {
		enum msg_type t = (enum msg_type)(1 + (unsigned)i % (MSG_TYPE_MAX - 1));
		EXPECT(getrandom(&m, sizeof(m), 0) > 0);
		m.head.magic = MSG_MAGIC;
		m.head.type = t;
		send_raw(&m, msg_size(t), (int[]){ sock, sock, sock }, msg_nfds(t));
	}
}

static void dies_with_sandboxes(void)
{
	union msg m, a;
	know_alpha();
	for (uint32_t slot = 0; slot < 5; slot++) {
		launch_of(&m, slot);
		send_launch(&m, payload_sleep());
		expect(&a, MSG_LAUNCHED);
	}
	exit(7); /* keeper must end the five */
}

static void dies_while_unpacking(void)
{
	union msg m;
	unpack_of(&m, memfd_of(1 << 30, 0), 'e');
	raise(SIGKILL);
}

static void ask_doctor(void)
{
	union msg m;
	msg_init(&m, MSG_DOCTOR);
	m.doctor.request = ++requests;
	send_msg(&m, -1);
}

/* One look at the host at a time: the others are told so, and the report comes once. */
static void many_looks(void)
{
	enum { LOOKS = 32 };
	int reports = 0, busy = 0, io[MSG_FDS_MAX];
	uint64_t first = requests + 1;
	union msg m;
	for (int i = 0; i < LOOKS; i++)
		ask_doctor();
	while (reports + busy < LOOKS) {
		enum msg_type t = receive(&m, io);
		EXPECT(t == MSG_DOCTOR_DONE || t == MSG_DOCTOR_FAILED);
		if (t == MSG_DOCTOR_FAILED) {
			EXPECT(m.doctor_failed.code == EBUSY);
			busy++;
			continue;
		}
		char text[2] = "";
		EXPECT(m.doctor_done.request == first && pread(io[0], text, 1, 0) == 1 && text[0] == '{');
		close(io[0]);
		reports++;
	}
	EXPECT(reports == 1);
}

static void dies_while_examined(void)
{
	ask_doctor();
	raise(SIGKILL);
}

static void after_those(void)
{
	EXPECT(counter(MSG_COUNT_live_instances) == 0);
	EXPECT(counter(MSG_COUNT_live_unpacks) == 0);
	know_alpha();
	runs(0);
}

/* ---- before the greeting ------------------------------------------------------------------------ */

static void launch_first(void)
{
	union msg m;
	launch_of(&m, 0);
	send_launch(&m, payload_true());
}

static void other_version(void)
{
	union msg m;
	msg_init(&m, MSG_HELLO);
	m.hello.version = MSG_VERSION + 1;
	send_msg(&m, -1);
}

static void closes_link(void)
{
	shutdown(sock, SHUT_RDWR);
	close(sock);
}

/* ---- the play --------------------------------------------------------------------------------------- */

enum { REFUSED, FATAL, EARLY /* fatal, and before the greeting */ };

static const struct scene {
	const char *name;
	void (*play)(void);
	int kind;
} scenes[] = {
	{ "an honest half is served", honest, REFUSED },
	{ "unknown tenant, image, runtime, layers", strangers, REFUSED },
	{ "limits over the node's", too_much, REFUSED },
	{ "payloads that could change or are no memfd", payloads, REFUSED },
	{ "a payload of nonsense is fc-sandbox's to refuse", nonsense_payload, REFUSED },
	{ "slots and groups that are taken", taken_slots, REFUSED },
	{ "a layer is dropped while it is shown", drop_in_use, REFUSED },
	{ "kills of what is not there", stale_kills, REFUSED },
	{ "bundles that are none", bundles, REFUSED },
	{ "layers that are not there", layers_unknown, REFUSED },
	{ "many looks at the host at once", many_looks, REFUSED },
	{ "a launch before the greeting", launch_first, EARLY },
	{ "another version", other_version, EARLY },
	{ "bytes that are no message", garbage, FATAL },
	{ "an empty message", nothing, FATAL },
	{ "a message cut short", too_short, FATAL },
	{ "a message too long", too_long, FATAL },
	{ "an unknown type", unknown_type, FATAL },
	{ "a message of keeper's own", wrong_way, FATAL },
	{ "a second greeting", hello_again, FATAL },
	{ "drained before it is asked", drained_too_early, FATAL },
	{ "a launch without a payload", no_payload, FATAL },
	{ "a launch with sixteen payloads", many_payloads, FATAL },
	{ "descriptors nobody called for", uncalled_descriptor, FATAL },
	{ "a path as tenant", path_tenant, FATAL },
	{ "a path as function", path_function, FATAL },
	{ "a path as instance", path_instance, FATAL },
	{ "a path as code layer", path_code, FATAL },
	{ "a path as layer", path_layer, FATAL },
	{ "a path as image", path_image, FATAL },
	{ "a path as runtime", path_runtime, FATAL },
	{ "a tenant of two dots", tenant_dots, FATAL },
	{ "a tenant that forges a line of the table", tenant_newline, FATAL },
	{ "noise", noise, FATAL },
	{ "the link is closed", closes_link, FATAL },
	{ "its death takes its sandboxes along", dies_with_sandboxes, FATAL },
	{ "its death ends its unpacking", dies_while_unpacking, FATAL },
	{ "its death ends its look at the host", dies_while_examined, FATAL },
	{ "nothing is left of the dead", after_those, REFUSED },
	{ "thousands of launches, no answer read", flood, REFUSED },
	{ "all tenants that there can be", all_tenants, REFUSED },
};

static size_t load_number(void)
{
	char text[32] = "0";
	ssize_t n = fd_read_file_at(dir, "scene", text, sizeof(text));
	return n > 0 ? (size_t)strtoul(text, NULL, 10) : 0;
}

static void save_number(size_t n)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%zu", n);
	if (fd_replace_file_at(dir, "scene", text, (size_t)len, 0600) < 0)
		abort();
}

/* Keeper kills us here, or the scene has failed. The next incarnation reports that we died. */
static void await_death(void)
{
	int64_t end = clock_mono_ns() + KILL_WAIT_MS * 1000000ll;
	while (clock_mono_ns() < end)
		poll(NULL, 0, 100);
	record("not ok %zu - %s # keeper let us live", scene_number + 1, scene_name);
	save_number(scene_number + 1);
	exit(1);
}

static void play(size_t number)
{
	const struct scene *s = &scenes[number];
	scene_name = s->name;
	scene_number = number;
	if (s->kind == REFUSED) {
		s->play();
		record("ok %zu - %s", number + 1, s->name);
		return;
	}
	save_number(number + 1); /* the next one of us goes on from there */
	record("ok %zu - %s", number + 1, s->name);
	s->play();
	await_death();
}

static void drain(void)
{
	union msg m;
	expect(&m, MSG_DRAIN);
	msg_init(&m, MSG_DRAINED);
	send_msg(&m, -1);
}

int serve_run(const struct config *c, int link_fd, int listen_fd)
{
	char path[512];
	sock = link_fd;
	close(listen_fd);
	if (config_serve_dir(c, path, sizeof(path)) < 0)
		return AGENT_FAILED;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fd_set_nonblock(sock) < 0 || fd_read_file_at(dir, "bundle.sha256", code_sha, sizeof(code_sha)) != 64)
		return AGENT_FAILED;

	size_t number = load_number(), count = sizeof(scenes) / sizeof(scenes[0]);
	bool greeted = false;
	for (; number < count; number++) {
		if (!greeted && scenes[number].kind != EARLY) {
			scene_name = "greeting";
			greet();
			greeted = true;
		}
		if (greeted && scenes[number].kind == EARLY) {
			save_number(number);
			return 0; /* to be born again */
		}
		play(number);
		save_number(number + 1);
	}
	if (!greeted)
		greet();
	record("1..%zu", count);
	drain();
	return AGENT_STOPPED;
}
