/*
 * keyring - the operator's keys, which secrets are sealed with (agent/seal.h).
 *
 * The file (fc-agent.conf(5), SECRET KEYS) has lines "key ID HEX", the key in
 * 64 hex digits; "#" begins a comment. The first key seals, all of them open:
 * so a new one goes on top, and the old one away when nothing needs it. No
 * error holds a key.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
	KEYRING_FILE_MAX = 16 << 10,
	KEYRING_KEYS_MAX = 16,
	KEYRING_ID_MAX = 64,
	KEYRING_KEY_BYTES = 32,
};

struct keyring {
	size_t count;
	struct keyring_key {
		char id[KEYRING_ID_MAX + 1];
		uint8_t key[KEYRING_KEY_BYTES];
	} key[KEYRING_KEYS_MAX];
};

/* An empty text is a ring without keys. -EINVAL with err, which names the line, and *ret is empty. */
int keyring_parse(const char *text, size_t len, struct keyring *ret, struct err *err);
void keyring_wipe(struct keyring *k);

/* NULL: there is none of that id. */
const struct keyring_key *keyring_find(const struct keyring *k, const char *id);
