/*
 * msg - what keeper and serve say to each other, over one SOCK_SEQPACKET pair.
 *
 * One message is one fixed-size struct (messages.def), with the descriptors
 * that belong to it. Both ends are the same binary on the same machine, so the
 * bytes are the struct; a version in HELLO guards an upgrade. Every message
 * passes msg_check() before anything is read from it: known type, meant for
 * this side, allowed in its phase, exact length and number of descriptors,
 * each field inside its range, charset or table, everything reserved zero.
 * keeper treats a message that fails as the act of a broken serve.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { MSG_VERSION = 5, MSG_MAGIC = 0x4d504346 };

enum {
	MSG_NAME_SIZE = 72,     /* names are at most 64 bytes */
	MSG_NAME_MAX = 64,
	MSG_PROFILE_SIZE = 40,
	MSG_DIGEST_SIZE = 72,   /* 64 digits, NUL, zero */
	MSG_UUID_SIZE = 40,     /* 36 characters, NUL, zero */
	MSG_TEXT_SIZE = 640,
	MSG_LAYERS_MAX = 8,     /* extra layers of a function */
	MSG_LAYER_PAGE = 32,
	MSG_MARKS_MAX = 32,
	MSG_INSTANCES_MAX = 65536,
	MSG_UNPACKS_MAX = 64,
	MSG_TENANTS_MAX = 4000,
	MSG_TENANT_IDS = 65536,
};

enum msg_side { MSG_TO_KEEPER, MSG_TO_SERVE };

/* Of the receiver. */
enum msg_phase { MSG_PHASE_HELLO, MSG_PHASE_UP, MSG_PHASE_DRAIN, MSG_PHASE_MAX };
enum {
	MSG_IN_HELLO = 1 << MSG_PHASE_HELLO,
	MSG_IN_UP = 1 << MSG_PHASE_UP,
	MSG_IN_DRAIN = 1 << MSG_PHASE_DRAIN,
	MSG_IN_ANY = MSG_IN_UP | MSG_IN_DRAIN,
};

/* Descriptors of LAUNCHED. TALK is the writing end of stdin for profiles that
 * answer on stdout, or the channel's socket (ipc/channel.h) for native runtimes. */
enum msg_io { MSG_IO_TALK, MSG_IO_STDOUT, MSG_IO_STDERR, MSG_IO_MAX };

/* A socket that keeper made in a sandbox's network namespace. */
enum msg_socket {
	MSG_SOCKET_CLIENT,       /* TCP, not connected: for the web server of a custom runtime */
	MSG_SOCKET_RUNTIME_API,  /* listens on 127.0.0.1:9001: the Runtime API of provided runtimes */
	MSG_SOCKET_FUNCTION_API, /* listens on 127.0.0.1:9002: the function API, for functions that call functions */
	MSG_SOCKET_MAX
};
enum { MSG_SOCKETS_MAX = 4, MSG_RUNTIME_API_PORT = 9001, MSG_FUNCTION_API_PORT = 9002 };

enum msg_network { MSG_NETWORK_NONE, MSG_NETWORK_MAX };
enum msg_kill_how { MSG_KILL_TERM /* SIGTERM to the payload */, MSG_KILL_ALL /* SIGKILL to everything inside */, MSG_KILL_MAX };

/* Where a layer's files are seen inside: a function's code at /code, a shared layer's at /opt. */
enum msg_layer_kind { MSG_KIND_CODE, MSG_KIND_OPT, MSG_KIND_MAX };

/* Why a layer could not be made. */
#define MSG_LAYER_OUTCOMES(X) \
	X(REFUSED, refused)   /* the bundle is not one we take; text says why */ \
	X(TOO_LARGE, too_large) /* a limit was passed; text names it */ \
	X(DIGEST, digest)     /* the bytes do not hash to the digest given */ \
	X(BUSY, busy)         /* as many unpacks in flight as keeper takes */ \
	X(HOST, host)         /* disk full and the like */
enum msg_layer_outcome {
#define X(upper, lower) MSG_LAYER_##upper,
	MSG_LAYER_OUTCOMES(X)
#undef X
	MSG_LAYER_MAX
};

/* Whose fault it is that a sandbox did not start. */
#define MSG_FAULTS(X) \
	X(FUNCTION, function) /* its command cannot be executed */ \
	X(REFUSED, refused)   /* keeper's tables say no: unknown tenant, layer, image; a limit out of range */ \
	X(FULL, full)         /* a table or a limit of the node is exhausted */ \
	X(HOST, host)         /* the kernel refused */ \
	X(KILLED, killed)     /* KILL came before execve */
enum msg_fault {
#define X(upper, lower) MSG_FAULT_##upper,
	MSG_FAULTS(X)
#undef X
	MSG_FAULT_MAX
};

enum { MSG_HAVE_CPU = 1, MSG_HAVE_PEAK = 2, MSG_HAVE_OOM = 4, MSG_HAVE_IO = 8, MSG_HAVE_RUSAGE = 16, MSG_HAVE_ALL = 31 };

/* keeper's counters, for /metrics. gauge: can fall. */
#define MSG_COUNTERS(X) \
	X(launches, "Sandboxes asked for") \
	X(launch_failures, "Sandboxes that did not start") \
	X(exits, "Sandboxes that ran and ended") \
	X(kills, "Sandboxes killed on request") \
	X(unpacks, "Bundles unpacked") \
	X(unpack_failures, "Bundles refused or not unpacked") \
	X(refused_messages, "Requests that keeper's tables refused") \
	X(serve_restarts, "Times the unprivileged half was started again") \
	X(swept_cgroups, "Leftover control groups removed at start") \
	X(swept_layers, "Leftover layer directories removed at start") \
	X(live_instances, "Sandboxes alive now") \
	X(live_unpacks, "Unpacks in flight now") \
	X(tenants, "Tenants with an id range") \
	X(cpu_us, "CPU time of keeper, microseconds") \
	X(open_fds, "Descriptors keeper has open") \
	X(memory_available_bytes, "Memory of the host that is free or can be freed") \
	X(state_free_bytes, "Space left for the state directory")
enum msg_counter {
#define X(name, help) MSG_COUNT_##name,
	MSG_COUNTERS(X)
#undef X
	MSG_COUNTER_COUNT,
	MSG_COUNTER_MAX = 32
};

struct msg_head {
	uint32_t magic, type;
};

/* A point on the way to execve: CLOCK_MONOTONIC, and CPU time spent until then. */
struct msg_mark {
	char name[16]; /* "" ends the list */
	uint64_t wall_ns, cpu_ns;
};

#define MSG(upper, lower, to, phases, nfds) struct msg_##lower { struct msg_head head;
#define U32(msg, field, min, max) uint32_t field;
#define I32(msg, field, min, max) int32_t field;
#define U64(msg, field, min, max) uint64_t field;
#define ENUM(msg, field, max) uint32_t field;
#define NAME(msg, field, size) char field[size];
#define UUID(msg, field) char field[MSG_UUID_SIZE];
#define DIGEST(msg, field) char field[MSG_DIGEST_SIZE];
#define DIGESTS(msg, field, n) char field[n][MSG_DIGEST_SIZE];
#define TEXT(msg, field, size) char field[size];
#define NUMBERS(msg, field, n) uint64_t field[n];
#define MARKS(msg, field, n) struct msg_mark field[n];
#define END(upper, lower) };
#include "ipc/messages.def"

enum msg_type {
	MSG_NONE,
#define MSG(upper, lower, to, phases, nfds) MSG_##upper,
#include "ipc/messages.def"
	MSG_TYPE_MAX
};

union msg {
	struct msg_head head;
#define MSG(upper, lower, to, phases, nfds) struct msg_##lower lower;
#include "ipc/messages.def"
};

enum { MSG_FDS_MAX = 3 };

/* Is this one whole message that `side` may receive in `phase`? Its type, or
 * -EPROTO with *what saying what is wrong ("LAUNCH.tenant: not a name"). */
int msg_check(const void *data, size_t len, size_t nfds, enum msg_side side, enum msg_phase phase, const char **what);

/* A zeroed message of this type. */
void msg_init(union msg *m, enum msg_type type);

size_t msg_size(enum msg_type type);
size_t msg_nfds(enum msg_type type);
const char *msg_name(enum msg_type type);
enum msg_side msg_receiver(enum msg_type type);
bool msg_allowed(enum msg_type type, enum msg_phase phase);

/*
 * Send one; it must be well formed (asserted: what we say is our own doing).
 * The descriptors stay the caller's. 0, -EAGAIN when a nonblocking socket is
 * full, -EPIPE or -ECONNRESET when the other side is gone.
 */
int msg_send(int sock, const union msg *m, const int *fds, size_t nfds);

/*
 * Receive one that passes msg_check. Its type with ret and the descriptors
 * filled (they are the caller's now), 0 at end of file, -EAGAIN, or -EPROTO
 * with *what: the sender is broken and nothing of the message is kept.
 * When this process is out of descriptors, those of the message are lost: it
 * comes with *nfds 0 and -1 in fds. Whoever takes it fails that one operation.
 */
int msg_recv(int sock, enum msg_side side, enum msg_phase phase, union msg *ret, int fds[MSG_FDS_MAX], size_t *nfds,
	     const char **what);

/* Copy text into a TEXT field: cut at size, unprintable bytes become '?'. */
void msg_text(char *dst, size_t size, const char *src);

const char *msg_layer_outcome_name(uint32_t outcome);
const char *msg_fault_name(uint32_t fault);
