/*
 * passed - an HTTP request that is passed on to a function's own server as it
 * came, and the head of the answer that is passed back (CONTRACTS 2). Which
 * fields are left out on either way is decided here. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct curl_slist;

struct passed {
	char *method, *target;         /* "GET", "/a?b=c": as they came */
	struct curl_slist *request;    /* "Name: value", as libcurl takes them */
	unsigned status;               /* of the answer; 0: none yet */
	struct curl_slist *answer;     /* "Name: value" */
};

/* NULL when out of memory. */
struct passed *passed_new(const char *method, const char *target);
struct passed *passed_free(struct passed *p); /* NULL */

/* Take a field, or leave it out where it is the connection's, the platform's, or a secret between the caller and us:
 * hop-by-hop fields (RFC 9110, 7.6.1), content-length, expect, x-fc-*, x-fcnode-*, x-acs-*; with `is_signed` also
 * authorization; on the way back also date and server. False when out of memory. */
bool passed_request(struct passed *p, const char *name, const char *value, bool is_signed);
bool passed_answer(struct passed *p, const char *name, size_t name_len, const char *value, size_t value_len);

/* Was such a field sent? */
bool passed_has(const struct passed *p, const char *name);
