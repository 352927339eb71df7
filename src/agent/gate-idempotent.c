/*
 * x-fcnode-idempotency-key: between a call's request and the call stands its
 * key. A caller that hangs up does not end such a call: it may ask again.
 */
#include <errno.h>
#include <gnutls/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "agent/catalog.h"
#include "agent/gate-internal.h"
#include "agent/idempotency.h"
#include "agent/invocation.h"
#include "agent/stats.h"
#include "base/cleanup.h"
#include "base/str.h"

/* From the request's head to its reply. */
struct gate_key {
	struct idempotency_ask ask; /* first: an ask is its key */
	struct exchange *x;
	const char *qualifier;
	struct invocation_result *result;
	void (*answer)(struct exchange *x, struct invocation_result *r);
	bool mine;                  /* it is in the table, for this request */
};

static bool is_key(const char *text)
{
	size_t n = strlen(text);
	for (const char *p = text; *p; p++)
		if (*p <= ' ' || *p > '~')
			return false;
	return n > 0 && n <= IDEMPOTENCY_KEY_MAX;
}

bool gate_key_read(struct exchange *x, const char *function, const char *qualifier,
		   void (*answer)(struct exchange *x, struct invocation_result *r))
{
	const char *text = gate_request_header(x, "x-fcnode-idempotency-key");
	if (!text)
		return true;
	if (!is_key(text)) {
		gate_error(x, API_INVALID_ARGUMENT, "x-fcnode-idempotency-key: 1 to %d printable characters without blanks", IDEMPOTENCY_KEY_MAX);
		return false;
	}
	struct gate_key *k = calloc(1, sizeof(*k));
	if (!k) {
		gate_error(x, API_INTERNAL, "out of memory");
		return false;
	}
	k->x = x;
	k->qualifier = qualifier ? qualifier : "";
	k->answer = answer;
	str_copy(k->ask.tenant, sizeof(k->ask.tenant), x->tenant);
	str_copy(k->ask.function, sizeof(k->ask.function), function);
	str_copy(k->ask.key, sizeof(k->ask.key), text);
	str_copy(k->ask.reply.request_id, sizeof(k->ask.reply.request_id), x->request_id);
	x->key = k;
	return true;
}

void gate_key_free(struct exchange *x)
{
	if (!x->key)
		return;
	idempotency_ask_fini(&x->key->ask);
	free(x->key);
	x->key = NULL;
}

/* The call that was made ready is not to be. */
static void drop_call(struct exchange *x)
{
	struct invocation *i = take_ptr(x->op);
	if (i)
		invocation_gone(i);
}

static void replay(struct exchange *x, struct idempotency_reply *r)
{
	x->gate->env.stats->idempotent_replays++;
	gate_header(x, "X-Fcnode-Idempotent-Of", "%s", r->request_id);
	if (r->code != API_CODE_MAX)
		return gate_error(x, (enum api_code)r->code, "%.*s", (int)r->body.len, r->body.data ? r->body.data : "");
	if (*r->version)
		gate_header(x, "X-Fc-Version-Id", "%s", r->version);
	gate_header(x, "X-Fcnode-Outcome", "%s", outcome_name((enum outcome)r->outcome));
	if (*r->error_type)
		gate_header(x, "X-Fc-Error-Type", "%s", r->error_type);
	gate_text(x, 200, *r->error_type ? "application/json" : "application/octet-stream", &r->body);
}

static void begun(struct idempotency_ask *a, int result)
{
	struct gate_key *k = (struct gate_key *)a;
	struct exchange *x = k->x;
	const char *of = a->reply.request_id;
	if (result == 0 && a->state == IDEMPOTENCY_NEW) {
		k->mine = true;
		invocation_body(x->op, &x->body);
		return;
	}
	drop_call(x);
	if (result < 0)
		return gate_error(x, result == -ENOSPC ? API_STORAGE_FULL : API_INTERNAL, "look up the idempotency key: %s", strerror(-result));
	switch (a->state) {
	case IDEMPOTENCY_NEW:
	case IDEMPOTENCY_DONE:
		return replay(x, &a->reply);
	case IDEMPOTENCY_RUNNING:
		gate_header(x, "Retry-After", "1");
		return gate_error(x, API_KEY_IN_USE, "the call of that idempotency key runs, as request %s; ask again for what comes of it", of);
	case IDEMPOTENCY_TOO_LONG:
		return gate_error(x, API_KEY_IN_USE, "request %s of that idempotency key was answered, with a reply of more than the %d bytes that are kept", of,
				  IDEMPOTENCY_REPLY_MAX);
	case IDEMPOTENCY_LOST:
		return gate_error(x, API_KEY_IN_USE, "request %s of that idempotency key ran when the agent died: nobody knows how far it came, and it is not "
						     "made again", of);
	case IDEMPOTENCY_OTHER:
		return gate_error(x, API_INVALID_ARGUMENT, "x-fcnode-idempotency-key: request %s used it with another event or qualifier", of);
	case IDEMPOTENCY_FULL:
		break;
	}
	gate_error(x, API_RESOURCE_EXHAUSTED, "as many idempotency keys are kept as max-idempotency-keys allows; they go after idempotency-age");
}

void gate_key_begin(struct exchange *x)
{
	struct gate_key *k = x->key;
	gnutls_hash_hd_t h;
	uint8_t digest[32];
	if (gnutls_hash_init(&h, GNUTLS_DIG_SHA256) < 0) {
		drop_call(x);
		return gate_error(x, API_INTERNAL, "take the digest of the event");
	}
	gnutls_hash(h, k->qualifier, strlen(k->qualifier) + 1);
	if (x->body.len)
		gnutls_hash(h, x->body.data, x->body.len);
	gnutls_hash_deinit(h, digest);
	str_hex(k->ask.digest, digest, sizeof(digest));
	k->ask.done = begun;
	if (idempotency_begin(x->gate->env.idempotency, &k->ask) == WRITER_OK)
		return;
	drop_call(x);
	gate_error(x, API_RESOURCE_THROTTLED, "the database has %d writes waiting; try again", WRITER_QUEUE_MAX);
}

/* Kept, or it could not be: the key then says that it runs until serve is started again, and the call is not made twice. */
static void ended(struct idempotency_ask *a, int result)
{
	struct gate_key *k = (struct gate_key *)a;
	(void)result;
	k->answer(k->x, k->result);
}

static void keep(struct idempotency_reply *to, const struct invocation_result *r)
{
	const char *text = r->refused == API_CODE_MAX ? r->body.data : r->message;
	size_t len = r->refused == API_CODE_MAX ? r->body.len : strlen(r->message);
	to->code = r->refused;
	to->outcome = r->outcome;
	str_copy(to->error_type, sizeof(to->error_type), r->error_type ? r->error_type : "");
	str_copy(to->version, sizeof(to->version), r->version ? r->version : "");
	to->body = (struct buf)BUF_INIT(IDEMPOTENCY_REPLY_MAX + 1);
	if (len <= IDEMPOTENCY_REPLY_MAX)
		buf_append(&to->body, text ? text : "", len);
	else
		to->too_long = true;
}

bool gate_key_end(struct exchange *x, struct invocation_result *r)
{
	struct gate_key *k = x->key;
	if (!k || !k->mine)
		return false;
	k->mine = false;
	k->result = r;
	k->ask.done = ended;
	idempotency_ask_fini(&k->ask);
	if (!r->started)
		return idempotency_forget(x->gate->env.idempotency, &k->ask) == WRITER_OK;
	keep(&k->ask.reply, r);
	return idempotency_end(x->gate->env.idempotency, &k->ask) == WRITER_OK;
}
