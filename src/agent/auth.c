#include "agent/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/config.h"
#include "agent/creds.h"
#include "agent/nonces.h"
#include "agent/stats.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/str.h"

enum { MARKS_MAX = 2 * PRINCIPALS_MAX * PRINCIPAL_KEYS_MAX };

/* As it stands in the file. */
struct mark {
	uint8_t key[16]; /* begin of the digest of the access key's id; all zero: free */
	int64_t date_s;  /* the latest that was taken */
	uint64_t zero;
};
_Static_assert(sizeof(struct mark) == 32, "a mark lies inside one page: it is written whole or not at all");

struct auth {
	const struct config *config;
	struct principals *who;
	struct nonces *nonces;
	const struct creds *creds;
	struct stats *stats;
	int marks_fd;
	struct mark *mark;
	int64_t *before_s; /* of each mark, as it was when serve started */
};

/* ---- marks --------------------------------------------------------------- */

static int open_marks(struct auth *a, const char *dir, struct err *err)
{
	autoclose int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	a->marks_fd = dir_fd < 0 ? -1 : openat(dir_fd, "auth-marks", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (a->marks_fd < 0 || posix_fallocate(a->marks_fd, 0, (off_t)(MARKS_MAX * sizeof(struct mark))) != 0)
		return err_set(err, a->marks_fd < 0 ? errno : ENOSPC, "open %s/auth-marks", dir);
	int r = fd_read_all(a->marks_fd, a->mark, MARKS_MAX * sizeof(struct mark));
	if (r < 0)
		return err_set(err, -r, "read %s/auth-marks", dir);
	for (size_t i = 0; i < MARKS_MAX; i++)
		a->before_s[i] = a->mark[i].date_s;
	return 0;
}

/* The key's place; for a new key a free one, or that of the key that was used longest ago. */
static size_t mark_of(struct auth *a, const uint8_t key[16])
{
	static const uint8_t none[16];
	size_t best = MARKS_MAX;
	for (size_t i = 0; i < MARKS_MAX; i++) {
		if (memcmp(a->mark[i].key, key, 16) == 0)
			return i;
		bool free_now = memcmp(a->mark[i].key, none, 16) == 0;
		if (best == MARKS_MAX || (free_now ? memcmp(a->mark[best].key, none, 16) != 0
						   : a->mark[i].date_s < a->mark[best].date_s))
			best = i;
	}
	memcpy(a->mark[best].key, key, 16);
	a->mark[best].date_s = a->before_s[best] = INT64_MIN;
	return best;
}

static int write_mark(struct auth *a, size_t at, int64_t date_s)
{
	if (date_s <= a->mark[at].date_s)
		return 0;
	int64_t was = a->mark[at].date_s;
	a->mark[at].date_s = date_s;
	/* to the page cache, at most once a second for each key: it outlives this process, which is what it is for */
	if (pwrite(a->marks_fd, &a->mark[at], sizeof(struct mark), (off_t)(at * sizeof(struct mark))) == (ssize_t)sizeof(struct mark))
		return 0;
	a->mark[at].date_s = was;
	return -EIO;
}

/* ---- life ---------------------------------------------------------------- */

int auth_new(struct auth **ret, const struct config *c, const char *dir, struct principals *who, struct stats *stats,
	     struct err *err)
{
	struct auth *a = calloc(1, sizeof(*a));
	if (!a) {
		principals_unref(who);
		return err_set(err, ENOMEM, "prepare the check of signatures");
	}
	a->config = c;
	a->stats = stats;
	a->marks_fd = -1;
	a->nonces = nonces_new(c->max_nonces, (int64_t)(2 * c->max_clock_skew_ms / 1000));
	a->mark = calloc(MARKS_MAX, sizeof(*a->mark));
	a->before_s = calloc(MARKS_MAX, sizeof(*a->before_s));
	int r = a->nonces && a->mark && a->before_s ? open_marks(a, dir, err)
						     : err_set(err, ENOMEM, "prepare the check of signatures");
	auth_reload(a, who);
	if (r < 0) {
		auth_free(a);
		return r;
	}
	*ret = a;
	return 0;
}

struct auth *auth_free(struct auth *a)
{
	if (!a)
		return NULL;
	if (a->marks_fd >= 0)
		close(a->marks_fd);
	nonces_free(a->nonces);
	principals_unref(a->who);
	free(a->before_s);
	free(a->mark);
	free(a);
	return NULL;
}

static void digest_of(const char *text, size_t len, uint8_t out[32]) { gnutls_hash_fast(GNUTLS_DIG_SHA256, text, len, out); }

void auth_reload(struct auth *a, struct principals *who)
{
	uint8_t digest[32];
	for (size_t i = 0; i < who->count; i++)
		for (size_t k = 0; k < who->list[i]->keys; k++) {
			struct access_key *key = &who->list[i]->key[k];
			digest_of(key->id, strlen(key->id), digest);
			memcpy(key->digest, digest, sizeof(key->digest));
		}
	principals_unref(a->who);
	a->who = who;
	a->stats->auth_keys = who->keys;
}

struct principals *auth_principals(const struct auth *a) { return a->who; }

/* ---- the check ----------------------------------------------------------- */

static const struct access_key *find_key(const struct auth *a, const char *id, const struct principal **owner)
{
	for (size_t i = 0; i < a->who->count; i++)
		for (size_t k = 0; k < a->who->list[i]->keys; k++)
			if (strcmp(a->who->list[i]->key[k].id, id) == 0) {
				*owner = a->who->list[i];
				return &a->who->list[i]->key[k];
			}
	return NULL;
}

struct claims {
	struct acs3_auth auth;
	const char *body, *nonce, *token; /* token: NULL, or of a function's credentials */
	int64_t date_s;
};

/* One header that must be there once. */
static enum api_code need(const struct acs3_request *q, const char *name, const char **ret, struct err *err)
{
	int r = acs3_find(q->header, q->headers, name, ret);
	if (r == 0)
		return API_CODE_MAX;
	err_set(err, 0, r == -ENOENT ? "header %s is missing; requests over TCP are signed with ACS3-HMAC-SHA256"
				     : "header %s came twice", name);
	return r == -ENOENT ? API_MISSING_HEADER : API_INVALID_ARGUMENT;
}

static enum api_code read_claims(const struct acs3_request *q, struct claims *c, struct err *err)
{
	const char *text = NULL, *date = NULL;
	enum api_code code = need(q, "Authorization", &text, err);
	if (code == API_CODE_MAX && acs3_parse(text, &c->auth, err) < 0)
		code = API_INVALID_ARGUMENT;
	if (code == API_CODE_MAX)
		code = need(q, "x-acs-date", &date, err);
	if (code == API_CODE_MAX)
		code = need(q, "x-acs-signature-nonce", &c->nonce, err);
	if (code == API_CODE_MAX)
		code = need(q, "x-acs-content-sha256", &c->body, err);
	if (code != API_CODE_MAX)
		return code;
	int token = acs3_find(q->header, q->headers, "x-acs-security-token", &c->token);
	if (token == -ENOENT)
		c->token = NULL;
	if (token < 0 && token != -ENOENT)
		err_set(err, 0, "header x-acs-security-token came twice");
	else if (acs3_date(date, &c->date_s) < 0)
		err_set(err, 0, "x-acs-date: not of the form 2026-11-22T10:00:00Z");
	else if (!*c->nonce || strlen(c->nonce) > AUTH_NONCE_MAX)
		err_set(err, 0, "x-acs-signature-nonce: 1 to %d bytes", AUTH_NONCE_MAX);
	else if (!str_is_hex(c->body, 64))
		err_set(err, 0, "x-acs-content-sha256: not 64 lower-case hex digits; a body that is not signed (UNSIGNED-PAYLOAD) "
				"is not taken");
	else
		return API_CODE_MAX;
	return API_INVALID_ARGUMENT;
}

static enum api_code check_time(const struct auth *a, const struct claims *c, int64_t now_s, struct err *err)
{
	int64_t apart = now_s - c->date_s, limit = (int64_t)(a->config->max_clock_skew_ms / 1000);
	char theirs[21], ours[21];
	if (apart <= limit && -apart <= limit)
		return API_CODE_MAX;
	acs3_date_text(c->date_s, theirs);
	acs3_date_text(now_s, ours);
	err_set(err, 0, "x-acs-date is %s and this node's clock says %s: %" PRId64 " s apart, at most %" PRId64 " are taken "
			"(max-clock-skew)", theirs, ours, apart < 0 ? -apart : apart, limit);
	err_hint(err, "set the clock that is wrong; a request is signed when it is sent, also when it is sent again");
	return API_TIME_EXPIRED;
}

static enum api_code check_signature(const struct acs3_request *q, const struct claims *c, const struct access_key *key,
				     struct err *err)
{
	autobuf struct buf text = BUF_INIT(ACS3_CANONICAL_MAX);
	uint8_t digest[32], right[32];
	char hex[ACS3_HEX], to_sign[sizeof("ACS3-HMAC-SHA256\n") + 64];
	int r = acs3_canonical(q, &c->auth, c->body, &text, err);
	if (r == -ENOMEM) {
		err_set(err, 0, "check the signature: out of memory");
		return API_INTERNAL;
	}
	if (r == -EMSGSIZE)
		err_set(err, 0, "the signed part has more than %d bytes", ACS3_CANONICAL_MAX);
	if (r < 0)
		return API_SIGNATURE;
	digest_of(text.data, text.len, digest);
	str_hex(hex, digest, sizeof(digest));
	int n = snprintf(to_sign, sizeof(to_sign), "ACS3-HMAC-SHA256\n%s", hex);
	if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, key->secret, strlen(key->secret), to_sign, (size_t)n, right) < 0) {
		err_set(err, 0, "check the signature: no HMAC-SHA256");
		return API_INTERNAL;
	}
	str_hex(hex, right, sizeof(right));
	bool same = gnutls_memcmp(hex, c->auth.signature, 64) == 0;
	explicit_bzero(hex, sizeof(hex));
	explicit_bzero(right, sizeof(right));
	if (same)
		return API_CODE_MAX;
	err_set(err, 0, "the signature is not that of key '%s' over this request", key->id);
	err_hint(err, "the secret is another, or the request was changed after it was signed; signed are method, path, query, "
		      "the headers %s and the body's digest", c->auth.names);
	return API_SIGNATURE;
}

static enum api_code check_replay(struct auth *a, const struct claims *c, const struct access_key *key, int64_t now_s,
				  struct err *err)
{
	uint8_t digest[32];
	char text[ACCESS_KEY_ID_MAX + AUTH_NONCE_MAX + 2];
	bool lasting = !c->token; /* a function's credentials do not outlive this process, and need no mark */
	size_t at = lasting ? mark_of(a, key->digest) : 0;
	if (lasting && c->date_s <= a->before_s[at]) {
		err_set(err, 0, "x-acs-date is not later than the last request of key '%s' before this node's agent started", key->id);
		err_hint(err, "sign the request anew; if that does not help, a clock that this key was used with ran ahead: give the "
			      "principal another key");
		return API_TIME_EXPIRED;
	}
	int n = snprintf(text, sizeof(text), "%s\n%s", key->id, c->nonce);
	digest_of(text, (size_t)n, digest);
	int r = nonces_take(a->nonces, digest, key->digest[0], now_s, c->date_s + (int64_t)(a->config->max_clock_skew_ms / 1000));
	a->stats->auth_nonces = nonces_held(a->nonces);
	switch (r) {
	case NONCES_OK:
		break;
	case NONCES_E_USED:
		err_set(err, 0, "x-acs-signature-nonce came already: a signed request is taken once");
		err_hint(err, "sign it anew to send it again");
		return API_NONCE_USED;
	case NONCES_E_FULL:
	case NONCES_E_SHARE_FULL:
		err_set(err, 0, "%s signed requests within max-clock-skew reach %" PRIu64 " (max-nonces)",
			r == NONCES_E_FULL ? "the" : "half of what is remembered is this key's: the",
			r == NONCES_E_FULL ? a->config->max_nonces : a->config->max_nonces / 2);
		return API_RESOURCE_EXHAUSTED;
	default:
		err_set(err, 0, "remember the signature's nonce: out of memory");
		return API_INTERNAL;
	}
	if (lasting && write_mark(a, at, c->date_s) < 0) {
		err_set(err, 0, "remember the signature's date: the file auth-marks cannot be written");
		return API_INTERNAL;
	}
	return API_CODE_MAX;
}

void auth_set_creds(struct auth *a, const struct creds *creds) { a->creds = creds; }

static enum api_code find_cred(const struct auth *a, const struct claims *c, int64_t now_s, const struct principal **owner,
			       const struct cred **ret, struct err *err)
{
	const struct cred *k = a->creds ? creds_find(a->creds, c->auth.key, now_s * 1000) : NULL;
	size_t len = strlen(c->token);
	if (!k || len != strlen(k->token) || gnutls_memcmp(k->token, c->token, len) != 0) {
		err_set(err, 0, "the temporary credentials '%s' are not, or no longer, known to this node", c->auth.key);
		err_hint(err, "a function's are good while the call runs that got them; lasting keys come without x-acs-security-token");
		return API_UNKNOWN_KEY;
	}
	*owner = principals_find(a->who, k->role);
	if (!*owner || !(*owner)->is_function || strcmp((*owner)->tenant, k->tenant) != 0) {
		err_set(err, 0, "function '%s' has role '%s', and tenant '%s' has no such role any more", k->function, k->role, k->tenant);
		return API_ACCESS_DENIED;
	}
	*ret = k;
	return API_CODE_MAX;
}

/* The key that it says it was signed with. */
static enum api_code find_signer(const struct auth *a, const struct claims *c, int64_t now_s, const struct principal **owner,
				 const struct access_key **key, const struct cred **cred, struct err *err)
{
	if (c->token) {
		enum api_code code = find_cred(a, c, now_s, owner, cred, err);
		*key = *cred ? &(*cred)->key : NULL;
		return code;
	}
	*key = find_key(a, c->auth.key, owner);
	if (*key)
		return API_CODE_MAX;
	err_set(err, 0, "access key '%s' is not known to this node", c->auth.key);
	err_hint(err, strncmp(c->auth.key, CREDS_PREFIX, sizeof(CREDS_PREFIX) - 1) == 0
			      ? "a function's credentials have a security token, and are taken with it only (x-acs-security-token)"
			      : "fcnode-principals(5) says where keys are named");
	return API_UNKNOWN_KEY;
}

enum api_code auth_check(struct auth *a, const struct acs3_request *q, int64_t now_s, const struct principal **ret, const struct cred **cred,
			 char body_sha256[ACS3_HEX], struct err *err)
{
	struct claims c;
	const struct principal *owner = NULL;
	const struct access_key *key = NULL;
	*cred = NULL;
	enum api_code code = read_claims(q, &c, err);
	if (code == API_CODE_MAX)
		code = find_signer(a, &c, now_s, &owner, &key, cred, err);
	if (code != API_CODE_MAX)
		return code;
	code = check_time(a, &c, now_s, err);
	if (code == API_CODE_MAX)
		code = check_signature(q, &c, key, err);
	if (code == API_CODE_MAX)
		code = check_replay(a, &c, key, now_s, err);
	if (code != API_CODE_MAX)
		return code;
	*ret = owner;
	str_copy(body_sha256, ACS3_HEX, c.body);
	return API_CODE_MAX;
}
