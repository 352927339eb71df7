/*
 * auth - is this request from whom it says: the signature checked.
 *
 * Knows the access keys, the nonces that came (agent/nonces.h), and for each
 * key the latest date that was taken, in the file auth-marks of serve's
 * directory: after a restart, when the nonces are gone, what is not newer than
 * that is refused, so that nothing is taken twice across a crash either.
 * Nothing it says holds a secret or a signature that would have been right.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "agent/acs3.h"
#include "agent/api.h"
#include "agent/principals.h"
#include "base/err.h"

struct auth;
struct config;
struct cred;
struct creds;
struct stats;

enum { AUTH_NONCE_MAX = 128 /* bytes of x-acs-signature-nonce */ };

/* dir: serve's own. Takes the reference to `who` over. */
int auth_new(struct auth **ret, const struct config *c, const char *dir, struct principals *who, struct stats *stats,
	     struct err *err);
struct auth *auth_free(struct auth *a); /* NULL */

/* Another table from now on; takes the reference over. */
void auth_reload(struct auth *a, struct principals *who);
struct principals *auth_principals(const struct auth *a); /* borrowed */

/* From now on the credentials of functions are taken too. */
void auth_set_creds(struct auth *a, const struct creds *creds);

/* Who sent it, with the digest that the body must have. API_CODE_MAX, or why not, with err. Only what was signed by a
 * key, in time, is remembered. *cred: signed by a function with what its call was given, borrowed until the loop goes on;
 * or NULL. */
enum api_code auth_check(struct auth *a, const struct acs3_request *q, int64_t now_s, const struct principal **ret, const struct cred **cred,
			 char body_sha256[ACS3_HEX], struct err *err);
