/*
 * creds - the short-lived credentials of functions: made for one call, known to
 * this process only, and worth nothing once the call has ended.
 *
 * They are what a function's role is over TCP, where requests are signed; on
 * 127.0.0.1:9002 of its sandbox nobody looks at them. A request that is signed
 * with them is part of the call that they were made for (agent/lineage.h).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "agent/lineage.h"
#include "agent/principals.h"

struct creds;

enum { CREDS_TOKEN_SIZE = 65 };

struct cred {
	struct access_key key;        /* the id begins with CREDS_PREFIX */
	char token[CREDS_TOKEN_SIZE]; /* x-acs-security-token */
	char tenant[PRINCIPAL_NAME_MAX + 8], function[PRINCIPAL_NAME_MAX + 8], role[PRINCIPAL_NAME_MAX + 8];
	struct lineage made;          /* of the calls that are made with it */
	int64_t until_ms;             /* wall clock; the call should have ended long before */
	LIST_ENTRY(cred) entry;
};
#define CREDS_PREFIX "STS."

int creds_new(struct creds **ret); /* 0 or -ENOMEM */
struct creds *creds_free(struct creds *c); /* NULL; wipes what is left */

/* For code that runs on behalf of `who`. NULL without memory or random numbers. */
struct cred *creds_issue(struct creds *c, const struct caller *who, int64_t until_ms);
void creds_revoke(struct cred *k); /* wipes it; NULL is fine */

/* Of that access key id, at that time; NULL: none, or it is over. Borrowed until the loop goes on. */
const struct cred *creds_find(const struct creds *c, const char *id, int64_t now_ms);
