/* Who asks, and may it: the peer of the Unix socket or the signature of a request over TCP, then tenant and permission. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/auth.h"
#include "agent/config.h"
#include "agent/creds.h"
#include "agent/gate-internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

enum { REFUSALS_LOGGED = 10, REFUSALS_WINDOW_S = 60 };

/* ---- the Unix socket ----------------------------------------------------- */

/* Who is at the other end (unix(7), SO_PEERCRED, SO_PEERGROUPS). */
bool gate_peer_allowed(struct conn *c)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	c->uid = (uid_t)-1;
	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return false;
	c->uid = cred.uid;
	c->groups[0] = cred.gid;
	len = sizeof(c->groups) - sizeof(c->groups[0]);
	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, c->groups + 1, &len) < 0)
		len = 0; /* more groups than we look at: only the primary one counts */
	c->ngroups = 1 + len / sizeof(gid_t);
	return config_allows(c->gate->env.config, c->uid, c->groups, c->ngroups);
}

static void identify_peer(struct exchange *x)
{
	const struct config *c = x->gate->env.config;
	uid_t uid = x->conn->uid;
	if (!x->conn->allowed)
		return gate_error(x, API_ACCESS_DENIED, "user id %u may not use this socket; see allow-user and allow-group in "
							"fc-agent.conf(5)", uid);
	const char *name = config_principal(c, uid);
	if (name) {
		x->who = principals_find(x->principals, name);
		if (x->who && x->who->is_function)
			x->who = NULL;
		if (!x->who)
			gate_error(x, API_ACCESS_DENIED, "user id %u is principal '%s' by principal-of, and that is no longer described, or a role of "
							"functions", uid, name);
		return;
	}
	principal_init(&x->peer, uid == 0, config_tenant(c, uid));
	if (uid == 0)
		str_copy(x->peer.name, sizeof(x->peer.name), "root");
	else
		snprintf(x->peer.name, sizeof(x->peer.name), "uid:%u", uid);
	x->who = &x->peer;
}

/* ---- TCP ----------------------------------------------------------------- */

struct collected {
	struct acs3_header header[ACS3_HEADERS_MAX];
	size_t count, left_out;
};

static enum MHD_Result collect(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct collected *c = arg;
	(void)kind;
	if (c->count == ACS3_HEADERS_MAX)
		c->left_out++;
	else
		c->header[c->count++] = (struct acs3_header){ name, value };
	return MHD_YES;
}

static void peer_address(int fd, char *out, socklen_t size)
{
	struct sockaddr_storage at = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(at);
	const void *address = NULL;
	if (getpeername(fd, (struct sockaddr *)&at, &len) == 0)
		address = at.ss_family == AF_INET6 ? (const void *)&((const struct sockaddr_in6 *)(const void *)&at)->sin6_addr
						    : (const void *)&((const struct sockaddr_in *)(const void *)&at)->sin_addr;
	if (!address || !inet_ntop(at.ss_family, address, out, size))
		str_copy(out, size, "gone");
}

static void log_stranger(struct exchange *x, enum api_code code)
{
	struct gate *g = x->gate;
	int64_t now = clock_mono_ns();
	g->env.stats->auth_failures++;
	if (now - g->refusals.since_ns > (int64_t)REFUSALS_WINDOW_S * 1000000000) {
		gate_refusals_end(g);
		g->refusals.since_ns = now;
		g->refusals.logged = 0;
	}
	if (g->refusals.logged < REFUSALS_LOGGED) {
		char from[INET6_ADDRSTRLEN];
		g->refusals.logged++;
		peer_address(x->conn->fd, from, sizeof(from));
		log_warning("event=auth_failed request=%s from=%s code=%s", x->request_id, from, api_code_name(code));
	} else {
		g->refusals.left_out++;
	}
}

void gate_refusals_end(struct gate *g)
{
	if (g->refusals.left_out == 0 || clock_mono_ns() - g->refusals.since_ns <= (int64_t)REFUSALS_WINDOW_S * 1000000000)
		return;
	log_warning("event=auth_failed more=%" PRIu64, g->refusals.left_out);
	g->refusals.left_out = 0;
}

static void identify_signature(struct exchange *x, const char *method)
{
	struct collected c = { .count = 0 };
	struct err err = ERR_INIT;
	MHD_get_connection_values(x->mhd, MHD_HEADER_KIND, collect, &c);
	enum api_code code = API_INVALID_ARGUMENT;
	const struct cred *cred = NULL;
	if (c.left_out) {
		err_set(&err, 0, "more than %d header lines", ACS3_HEADERS_MAX);
	} else {
		const struct acs3_request q = { .method = method, .raw = x->raw, .target = &x->target, .header = c.header, .headers = c.count };
		code = auth_check(x->gate->env.auth, &q, clock_real_ms() / 1000, &x->who, &cred, x->body_sha256, &err);
	}
	if (code == API_CODE_MAX && cred) {
		x->inside = true;
		x->made = cred->made;
	}
	if (code == API_CODE_MAX && gnutls_hash_init(&x->hash, GNUTLS_DIG_SHA256) < 0) {
		x->hash = NULL;
		code = API_INTERNAL;
		err_set(&err, 0, "prepare the digest of the body");
	}
	if (code == API_CODE_MAX) {
		x->conn->known = true;
		return;
	}
	x->who = NULL;
	log_stranger(x, code);
	gate_error(x, code, "%s%s%s", err.text, err.hint[0] ? "; " : "", err.hint);
}

/* The role is looked up for each request: what was taken from it is gone at once. */
static void identify_inside(struct exchange *x)
{
	const struct caller *c = x->conn->from->caller;
	const struct principal *role = principals_find(x->principals, c->role);
	x->inside = true;
	x->made = c->made;
	if (role && role->is_function && strcmp(role->tenant, c->tenant) == 0)
		x->who = role;
	else
		gate_error(x, API_ACCESS_DENIED, "function '%s' has role '%s', and tenant '%s' has no such role any more", c->function, c->role,
			   c->tenant);
}

void gate_identify(struct exchange *x, const char *method)
{
	x->principals = principals_ref(auth_principals(x->gate->env.auth));
	if (x->conn->from->kind == LISTENER_INSIDE)
		identify_inside(x);
	else if (x->conn->from->kind == LISTENER_TCP)
		identify_signature(x, method);
	else
		identify_peer(x);
}

uint64_t gate_swallow_max(const struct exchange *x) { return x->who || x->conn->from->kind != LISTENER_TCP ? GATE_SWALLOW_MAX : GATE_SWALLOW_STRANGER; }

/* ---- the body ------------------------------------------------------------ */

void gate_hash_body(struct exchange *x, const void *data, size_t len)
{
	if (x->hash && gnutls_hash(x->hash, data, len) < 0)
		x->body_sha256[0] = '\0'; /* then nothing equals it */
}

void gate_check_body(struct exchange *x)
{
	uint8_t digest[32];
	char hex[ACS3_HEX];
	if (!x->hash)
		return;
	gnutls_hash_deinit(x->hash, digest);
	x->hash = NULL;
	str_hex(hex, digest, sizeof(digest));
	if (strcmp(hex, x->body_sha256) == 0)
		return;
	log_stranger(x, API_SIGNATURE);
	gate_error(x, API_SIGNATURE, "the body of %" PRIu64 " bytes hashes to %s, x-acs-content-sha256 says %s", x->received, hex,
		   x->body_sha256);
}

/* ---- may it -------------------------------------------------------------- */

/* Operators act for any tenant, others only for their own. */
static void find_tenant(struct exchange *x)
{
	const char *asked = gate_request_header(x, "X-Fcnode-Tenant"), *own = x->who->tenant;
	x->any_tenant = x->who->is_operator;
	str_copy(x->tenant, sizeof(x->tenant), own);
	if (!asked || strcmp(asked, own) == 0)
		return;
	if (!x->any_tenant) {
		x->gate->env.stats->auth_denied++;
		gate_error(x, API_ACCESS_DENIED, "principal '%s' acts for tenant '%s' and may not name another", x->who->name, own);
	} else if (!str_is_name(asked, PRINCIPAL_NAME_MAX)) {
		gate_error(x, API_INVALID_ARGUMENT, "X-Fcnode-Tenant: not a tenant's name (letters, digits, _ and -, at most %d)",
			   PRINCIPAL_NAME_MAX);
	} else {
		str_copy(x->tenant, sizeof(x->tenant), asked);
	}
}

bool gate_may(struct exchange *x, enum permission permission, const char *function)
{
	if (permission == PERMISSION_NONE || principal_may(x->who, permission, function))
		return true;
	x->gate->env.stats->auth_denied++;
	gate_error(x, API_ACCESS_DENIED, "%s '%s' lacks %s%s%.100s of tenant '%s'", x->who->is_function ? "role" : "principal", x->who->name,
		   permission_action(permission),
		   function ? " on functions/" : " on anything", function ? function : "", x->tenant);
	return false;
}

void gate_authorise(struct exchange *x)
{
	find_tenant(x);
	if (x->answered)
		return;
	const struct http_target *t = &x->target;
	bool about_one = t->segments > 2 && strcmp(t->segment[1], "functions") == 0;
	gate_may(x, x->route->permission, about_one ? t->segment[2] : NULL);
}
