/*
 * result - what fc-unpack tells its caller: one fixed-size record on a pipe.
 *
 * Shared by fc-unpack, which fills it, and host/layer, which must not believe
 * it: the writer has parsed a stranger's bytes. unpack_result_check() bounds
 * every field and terminates the text; sizes and modes on disk are verified
 * by the reader itself. Both programs come from one build, so the version
 * only catches a mixed installation.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { UNPACK_MAGIC = 0x4e554346, UNPACK_VERSION = 1, UNPACK_TEXT_MAX = 512 };

/* name, whether the bundle is to blame (and not this host), what it means */
#define UNPACK_OUTCOMES(X)                                                                \
	X(ok, false, "unpacked")                                                          \
	X(format, true, "not an archive of a supported kind")                             \
	X(empty, true, "holds no files")                                                  \
	X(dotdot, true, "a name has a .. component")                                      \
	X(absolute, true, "a name is an absolute path")                                   \
	X(symlink, true, "a symbolic link leaves the bundle, or a path goes through one") \
	X(hardlink, true, "a hard link to something that is no earlier file")             \
	X(special, true, "a device, fifo or socket")                                      \
	X(duplicate, true, "a name is given twice, or as file and as directory")          \
	X(name, true, "a name that no file can have")                                     \
	X(max_name, true, "a name over the limit")                                        \
	X(max_files, true, "more entries than the limit")                                 \
	X(max_depth, true, "deeper than the limit")                                       \
	X(max_bytes, true, "larger unpacked than the limit")                              \
	X(corrupt, true, "truncated or corrupt")                                          \
	X(encrypted, true, "encrypted")                                                   \
	X(digest, true, "not the bytes that were announced")                              \
	X(changed, true, "changed while it was read")                                     \
	X(memory, true, "needs more memory than the limit")                               \
	X(time, true, "took longer than the limit")                                       \
	X(crash, false, "fc-unpack died")                                                 \
	X(confine, false, "fc-unpack could not confine itself")                           \
	X(usage, false, "fc-unpack was called wrongly")                                   \
	X(system, false, "this host failed it")

enum unpack_outcome {
#define X(name, blame, text) UNPACK_##name,
	UNPACK_OUTCOMES(X)
#undef X
	UNPACK_OUTCOME_MAX
};

/* Which confinements were in force before the first byte was parsed. */
#define UNPACK_CONFINEMENTS(X)                                                   \
	X(RLIMITS, "resource limits")                                            \
	X(JAIL, "own mount namespace with only the target in it")                \
	X(NETNS, "own network namespace without devices")                        \
	X(IPCNS, "own ipc, uts and cgroup namespaces")                           \
	X(PIDNS, "own pid namespace")                                            \
	X(USERNS, "own user namespace without a mapping")                        \
	X(IDS, "an unprivileged user")                                           \
	X(NOCAPS, "no capabilities, no_new_privs")                               \
	X(LANDLOCK, "landlock: creation below the target, nothing else")         \
	X(SECCOMP, "seccomp allow list")

enum {
#define X(name, text) UNPACK_BIT_##name,
	UNPACK_CONFINEMENTS(X)
#undef X
	UNPACK_BIT_MAX
};

#define UNPACK_IN(name) (1U << UNPACK_BIT_##name)

struct unpack_result {
	uint32_t magic;
	uint32_t version;
	uint32_t outcome;      /* enum unpack_outcome */
	int32_t error;         /* errno where one was behind it, else 0 */
	uint32_t confinements; /* UNPACK_IN() bits */
	uint32_t stripped;     /* entries that lost a setuid, setgid or sticky bit */
	uint64_t bundle_bytes; /* of the bundle itself */
	uint64_t crc64;        /* CRC-64/XZ ("ECMA") of the bundle's bytes */
	uint8_t sha256[32];    /* SHA-256 of the bundle's bytes */
	uint64_t files;        /* regular files and links made */
	uint64_t directories;  /* made, the prefix not counted */
	uint64_t bytes;        /* sum of the files' sizes */
	char text[UNPACK_TEXT_MAX]; /* for a person: the entry and the reason; printable */
};

_Static_assert(sizeof(struct unpack_result) <= 4096, "one write to the pipe must be atomic (PIPE_BUF)");

const char *unpack_outcome_name(unsigned outcome); /* "max_files", or "unknown" */
const char *unpack_outcome_text(unsigned outcome); /* "more entries than the limit" */
bool unpack_outcome_blames_bundle(unsigned outcome);
const char *unpack_confinement_text(unsigned bit); /* of UNPACK_BIT_x */

/* For the reader: 0 with every field in bounds and text terminated and printable, or -EPROTO. */
int unpack_result_check(struct unpack_result *r);

/* Printable ASCII; everything else becomes '?'. */
void unpack_printable(char *text);
