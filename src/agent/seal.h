/*
 * seal - texts that only the holder of a key can read: AES-256-GCM (NIST SP
 * 800-38D) by GnuTLS, with a random nonce for each. A sealed text is nonce,
 * text and tag; the tag also covers what the text is about.
 */
#pragma once

#include <stddef.h>

#include "agent/keyring.h"
#include "base/buf.h"

enum { SEAL_EXTRA = 12 + 16 /* a sealed text is longer by nonce and tag */ };

/* Append to *sealed what only this key opens, and only for the same `about`, which is not in it. 0, -ENOMEM, -EMSGSIZE of
 * *sealed, or -EIO: no random numbers. */
int seal_text(const struct keyring_key *k, const void *about, size_t about_len, const void *text, size_t len, struct buf *sealed);
/* Append the text to *ret; wipe it. 0, -ENOMEM, -EMSGSIZE of *ret, or -EBADMSG: of another key, about something else, or damaged. */
int seal_open(const struct keyring_key *k, const void *about, size_t about_len, const void *sealed, size_t len, struct buf *ret);
