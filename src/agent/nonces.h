/*
 * nonces - which signed requests came already: a bounded memory of their
 * nonces, each for as long as its date would still be taken.
 *
 * When the memory is full the next request is refused: to forget an old one
 * would let it be sent again. One share may fill half of it at most, so that
 * one busy key does not lock out the others. Pure: times are given, not asked
 * for. Entries go by a wheel of time slots; memory grows with what is in it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct nonces;

enum nonces_outcome { NONCES_OK, NONCES_E_USED, NONCES_E_FULL, NONCES_E_SHARE_FULL };

/* At most max nonces (2 or more) at once; none is remembered for longer than horizon_s. NULL: no memory. */
struct nonces *nonces_new(size_t max, int64_t horizon_s);
struct nonces *nonces_free(struct nonces *n); /* NULL */

/* Remember `id` (random bytes, such as a digest) until then. An enum nonces_outcome, or -ENOMEM. */
int nonces_take(struct nonces *n, const uint8_t id[16], uint8_t share, int64_t now_s, int64_t until_s);

size_t nonces_held(const struct nonces *n);
