/*
 * channel - the protocol between whoever makes a call (fc-run, serve) and a
 * native runtime inside a sandbox (images/python3, images/nodejs); see
 * fcnode-channel(7).
 *
 * A SOCK_STREAM Unix socket pair; the runtime's end is the descriptor whose
 * number stands in the environment variable FC_CHANNEL_FD. Both sides send
 * frames: an 8-byte header, then `len` bytes.
 *
 *   bytes 0-3  len    little endian, at most CHANNEL_FRAME_MAX
 *   byte  4    type   enum channel_type
 *   byte  5    flags  CHANNEL_LAST on the last frame of an EVENT or REPLY body; zero on all others
 *   bytes 6-7  zero
 *
 * A body of several frames has no empty one but its last, so every frame makes progress.
 *
 * caller -> runtime   INVOKE (JSON: requestId, deadlineMs, functionName, handler, memorySize, timeout),
 *                     then EVENT frames: the event, verbatim, the last one marked CHANNEL_LAST.
 * runtime -> caller   READY once the handler is loaded, or INIT_ERROR (JSON, as ERROR) and exit;
 *                     per call REPLY frames, the last marked CHANNEL_LAST, or one ERROR
 *                     (JSON: errorMessage, errorType, stackTrace array of strings,
 *                     handled boolean) instead. ERROR may follow REPLY frames: the call then failed.
 *
 * Every byte from the runtime is a stranger's: a frame that breaks these rules ends the call
 * with outcome "protocol" and the sandbox with it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum channel_type {
	CHANNEL_INVOKE = 1,
	CHANNEL_EVENT = 2,
	CHANNEL_READY = 16,
	CHANNEL_INIT_ERROR = 17,
	CHANNEL_REPLY = 18,
	CHANNEL_ERROR = 19,
};

enum { CHANNEL_LAST = 1 };
enum { CHANNEL_HEADER = 8, CHANNEL_FRAME_MAX = 1 << 20, CHANNEL_ERROR_MAX = 256 << 10 };

struct channel_frame {
	uint32_t len;
	uint8_t type;
	uint8_t flags;
};

void channel_encode(unsigned char out[CHANNEL_HEADER], const struct channel_frame *f);

/* Read a runtime's header. 0, or -EPROTO: a type that it may not send, a length over
 * the type's limit, a flag or reserved byte set, an empty frame that is not the last. */
int channel_decode(const unsigned char in[CHANNEL_HEADER], struct channel_frame *ret);
