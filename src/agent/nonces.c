#include "agent/nonces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 64, FIRST_ENTRIES = 64 };
#define NONE UINT32_MAX

struct entry {
	uint8_t id[16];
	uint32_t in_chain; /* the next of its hash */
	uint32_t in_slot;  /* the next of its time, or of the free ones */
	uint8_t share;
};

struct nonces {
	size_t max, size, held; /* size: a power of two, of entries and of chains */
	int64_t width_s, tick;  /* tick: up to here slots were emptied */
	struct entry *entry;
	uint32_t *chain;
	uint32_t free, slot[SLOTS];
	size_t share[256];
};

struct nonces *nonces_new(size_t max, int64_t horizon_s)
{
	struct nonces *n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->max = max;
	n->width_s = horizon_s / (SLOTS - 4) + 1;
	n->free = NONE;
	for (size_t i = 0; i < SLOTS; i++)
		n->slot[i] = NONE;
	return n;
}

struct nonces *nonces_free(struct nonces *n)
{
	if (n) {
		free(n->entry);
		free(n->chain);
		free(n);
	}
	return NULL;
}

size_t nonces_held(const struct nonces *n) { return n->held; }

static uint32_t *chain_of(struct nonces *n, const uint8_t id[16])
{
	uint64_t hash;
	memcpy(&hash, id, sizeof(hash)); /* it is a digest: as good as random */
	return &n->chain[hash & (n->size - 1)];
}

static void forget(struct nonces *n, uint32_t at)
{
	struct entry *e = &n->entry[at];
	uint32_t *p = chain_of(n, e->id);
	while (*p != at)
		p = &n->entry[*p].in_chain;
	*p = e->in_chain;
	e->in_slot = n->free;
	n->free = at;
	n->share[e->share]--;
	n->held--;
}

/* Time went on: empty the slots that are over. It never goes back here, whatever the clock does. */
static void advance(struct nonces *n, int64_t tick)
{
	for (int i = 0; n->tick < tick && i < SLOTS; i++) {
		uint32_t *slot = &n->slot[(uint64_t)++n->tick % SLOTS];
		while (*slot != NONE) {
			uint32_t at = *slot;
			*slot = n->entry[at].in_slot;
			forget(n, at);
		}
	}
	if (n->tick < tick)
		n->tick = tick;
}

static int grow(struct nonces *n)
{
	size_t size = n->size ? n->size * 2 : FIRST_ENTRIES;
	struct entry *entry = realloc(n->entry, size * sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	n->entry = entry;
	uint32_t *chain = malloc(size * sizeof(*chain));
	if (!chain)
		return -ENOMEM;
	free(n->chain);
	n->chain = chain;
	size_t old = n->size;
	n->size = size;
	for (size_t i = 0; i < size; i++)
		chain[i] = NONE;
	for (uint32_t i = 0; i < old; i++) { /* none was free */
		uint32_t *p = chain_of(n, entry[i].id);
		entry[i].in_chain = *p;
		*p = i;
	}
	for (size_t i = size; i-- > old;) {
		entry[i].in_slot = n->free;
		n->free = (uint32_t)i;
	}
	return 0;
}

int nonces_take(struct nonces *n, const uint8_t id[16], uint8_t share, int64_t now_s, int64_t until_s)
{
	advance(n, now_s / n->width_s);
	for (uint32_t at = n->size ? *chain_of(n, id) : NONE; at != NONE; at = n->entry[at].in_chain)
		if (memcmp(n->entry[at].id, id, sizeof(n->entry[at].id)) == 0)
			return NONCES_E_USED;
	if (n->held >= n->max)
		return NONCES_E_FULL;
	if (n->share[share] >= n->max / 2)
		return NONCES_E_SHARE_FULL;
	if (n->free == NONE) {
		int r = grow(n);
		if (r < 0)
			return r;
	}
	/* its slot is emptied once all of its time is over: never early */
	int64_t tick = until_s / n->width_s + 1;
	if (tick <= n->tick)
		tick = n->tick + 1;
	if (tick >= n->tick + SLOTS)
		tick = n->tick + SLOTS - 1;
	uint32_t at = n->free, *p = chain_of(n, id), *slot = &n->slot[(uint64_t)tick % SLOTS];
	struct entry *e = &n->entry[at];
	n->free = e->in_slot;
	memcpy(e->id, id, sizeof(e->id));
	e->share = share;
	e->in_chain = *p;
	*p = at;
	e->in_slot = *slot;
	*slot = at;
	n->share[share]++;
	n->held++;
	return NONCES_OK;
}
