#include "agent/creds.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/str.h"

enum { ID_BYTES = 12, SECRET_BYTES = 20, TOKEN_BYTES = 32 };

struct creds {
	LIST_HEAD(, cred) all; /* one for each call that runs: few enough to look through, for signed requests of functions only */
};

int creds_new(struct creds **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

struct creds *creds_free(struct creds *c)
{
	struct cred *k;
	while (c && (k = LIST_FIRST(&c->all)))
		creds_revoke(k);
	free(c);
	return NULL;
}

struct cred *creds_issue(struct creds *c, const struct caller *who, int64_t until_ms)
{
	unsigned char raw[ID_BYTES + SECRET_BYTES + TOKEN_BYTES];
	char id[2 * ID_BYTES + 1];
	struct cred *k = calloc(1, sizeof(*k));
	if (!k || getrandom(raw, sizeof(raw), 0) != sizeof(raw)) {
		free(k);
		return NULL;
	}
	str_hex(id, raw, ID_BYTES);
	snprintf(k->key.id, sizeof(k->key.id), CREDS_PREFIX "%s", id);
	str_hex(k->key.secret, raw + ID_BYTES, SECRET_BYTES);
	str_hex(k->token, raw + ID_BYTES + SECRET_BYTES, TOKEN_BYTES);
	explicit_bzero(raw, sizeof(raw));
	uint8_t digest[32];
	gnutls_hash_fast(GNUTLS_DIG_SHA256, k->key.id, strlen(k->key.id), digest);
	memcpy(k->key.digest, digest, sizeof(k->key.digest));
	str_copy(k->tenant, sizeof(k->tenant), who->tenant);
	str_copy(k->function, sizeof(k->function), who->function);
	str_copy(k->role, sizeof(k->role), who->role);
	k->made = who->made;
	k->until_ms = until_ms;
	LIST_INSERT_HEAD(&c->all, k, entry);
	return k;
}

void creds_revoke(struct cred *k)
{
	if (!k)
		return;
	LIST_REMOVE(k, entry);
	explicit_bzero(k, sizeof(*k));
	free(k);
}

const struct cred *creds_find(const struct creds *c, const char *id, int64_t now_ms)
{
	const struct cred *k;
	LIST_FOREACH(k, &c->all, entry)
		if (strcmp(k->key.id, id) == 0)
			return now_ms < k->until_ms ? k : NULL;
	return NULL;
}
