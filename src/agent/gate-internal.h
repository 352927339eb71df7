/*
 * gate-internal - a request on its way through the gate, and what the route
 * handlers (gate-functions.c, gate-invoke.c, gate-node.c, gate-orchestrator.c) may do with it.
 *
 * A handler runs once the body is whole. It either answers at once (gate_json,
 * gate_error, ...) or calls gate_defer() and answers later, exactly once, from
 * the loop; until then the exchange lives, also when its client hangs up.
 */
#pragma once

#include <event2/event.h>
#include <gnutls/crypto.h>
#include <jansson.h>
#include <microhttpd.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "agent/acs3.h"
#include "agent/api.h"
#include "agent/config.h"
#include "agent/gate.h"
#include "agent/http.h"
#include "agent/lineage.h"
#include "agent/principals.h"
#include "agent/stats.h"
#include "agent/upload.h"
#include "base/buf.h"

struct catalog_function;
struct catalog_layer;
struct curl_slist;
struct exchange;
struct function;
struct gate_key;
struct invocation_result;
struct passed;

enum { GATE_NAME_SIZE = 72, GATE_HEADERS_MAX = 32, GATE_GROUPS_MAX = 64 };

/* Named limits that have no row in the config: fcnode-api(7), LIMITS. */
enum {
	GATE_JSON_MAX = (50 << 20) / 3 * 4 + (1 << 20), /* create and update: 50 MiB of zip in base64, and the rest */
	GATE_ZIP_MAX = 50 << 20,                        /* code.zipFile, decoded (CONTRACTS 1) */
	GATE_BODIES_MAX = 512 << 20,                    /* all bodies in memory together */
	GATE_REPLIES_MAX = 256 << 20,                   /* all replies that clients have not taken yet */
	GATE_REPLY_SMALL = 64 << 10,                    /* not counted there */
	GATE_SWALLOW_MAX = 64 << 20,                    /* of a refused request's body, before the connection is cut */
	GATE_INSIDE_MAX = 16,                           /* connections of one sandbox to the function API */
	GATE_SWALLOW_STRANGER = 64 << 10,               /* the same, over TCP, of who did not prove to be known */
};

enum gate_body { BODY_NONE, BODY_JSON, BODY_EVENT, BODY_UPLOAD, BODY_SECRET };

/* Where a client is, with the time limit of each (client-timeout). */
enum conn_phase { CONN_IDLE, CONN_HEAD, CONN_BODY, CONN_WORKING, CONN_REPLY };

struct route {
	const char *method;
	const char *pattern;            /* "/2023-03-30/functions/{}": {} is any one part */
	enum gate_body body;
	const char *const *query;       /* known parameters, NULL-terminated; others are refused. NULL: none */
	void (*begin)(struct exchange *x); /* optional, before the body; may answer (with an error) */
	void (*handle)(struct exchange *x);
	enum permission permission;     /* what the caller needs; of a path below API_ROOT, on that function */
};

enum listener_kind { LISTENER_UNIX, LISTENER_TCP, LISTENER_INSIDE, LISTENER_KINDS };

/* The Unix socket, one TCP address, or what a sandbox has of the function API (gate-inside.c). */
struct listener {
	struct gate *gate;
	int fd;
	enum listener_kind kind;
	bool accepting;
	size_t connections;
	struct event *event;
	const struct caller *caller; /* inside: whose code it is that connects */
	bool ended;                  /* inside: the sandbox is gone, and the last connection takes the listener along */
};

struct conn {
	struct gate *gate;
	struct listener *from;
	struct MHD_Connection *mhd;
	int fd;
	bool known;      /* over TCP: it brought a well signed request */
	int64_t born_ns;
	uid_t uid;       /* of a Unix socket's peer */
	gid_t groups[GATE_GROUPS_MAX];
	size_t ngroups;
	bool allowed;
	enum conn_phase phase;
	int64_t since_ns; /* begin of the phase */
	struct event *hangup;
	struct exchange *x;
	LIST_ENTRY(conn) entry;
};

/* gate-stream.c: a reply that is sent while it is made */
struct gate_stream {
	bool on;       /* the head was given */
	bool ended;    /* nothing more will be put */
	bool broken;   /* it ends without its end: the client sees a cut connection */
	bool full;
	struct evbuffer *text;
	struct MHD_Response *response;
	size_t trailers_from;              /* of the headers: those before went with the head */
	void (*more)(struct exchange *x);  /* there is room again, after gate_stream_put() said false */
};

struct exchange {
	struct gate *gate;
	struct conn *conn;
	struct MHD_Connection *mhd; /* NULL once the client is gone and MHD has let go */
	const struct route *route;
	char request_id[37];
	struct principals *principals; /* the table that `who` may be of: referenced, or NULL */
	const struct principal *who;   /* NULL until it is known */
	struct principal peer;         /* who, when no file describes it */
	gnutls_hash_hd_t hash;         /* of a signed body; NULL: not signed */
	char body_sha256[ACS3_HEX];    /* what it must come to */
	char tenant[GATE_NAME_SIZE];   /* whom it acts for */
	bool any_tenant;               /* may ask about others too (root) */
	bool inside;                   /* a function's own code asks */
	struct lineage made;           /* inside: of calls that it makes */
	char *raw;                     /* the target as sent; NULL: longer than HTTP_TARGET_MAX */
	char method[16];               /* as sent, cut */
	/* /proxy/ only: where in raw the path for the function begins, or else the query; and the request that is passed on */
	const char *rest, *rest_query;
	struct passed *pass;
	bool pass_failed;
	struct http_target target;
	bool begun, handled, deferred, suspended, answered, queued, gone, cut;
	struct buf body;
	struct upload *upload;
	struct catalog_charge *charge; /* of the upload */
	uint64_t received, counted; /* bytes taken; of them, in stats.body_bytes */
	uint64_t held;              /* of the reply, in stats.reply_held_bytes */

	unsigned status;
	struct buf reply;
	const char *content_type;      /* NULL: none */
	int reply_fd;                  /* instead of reply, or -1 */
	struct gate_stream stream;     /* instead of reply */
	struct {
		const char *name;
		char *value;
	} header[GATE_HEADERS_MAX];
	size_t headers;
	struct curl_slist *fields;     /* "Name: value", after those */

	struct gate_key *key;          /* gate-idempotent.c; NULL: none */

	/* the handlers' own */
	void *op;
	void (*on_gone)(struct exchange *x); /* the client hung up while deferred; the answer may then be left out */
	void (*on_free)(struct exchange *x); /* reply sent or impossible */
};

struct gate {
	struct gate_env env;
	struct MHD_Daemon *mhd;
	struct event *mhd_event, *timeout, *sweep;
	struct listener listener[1 + CONFIG_LISTEN_MAX]; /* the first is the Unix socket */
	size_t listeners;
	size_t connections[LISTENER_KINDS], refused_connections, exchanges;
	struct {
		int64_t since_ns;
		unsigned logged;
		uint64_t left_out;
	} refusals; /* log lines about strangers are few, however many they are */
	LIST_HEAD(, conn) conns;
	LIST_HEAD(, inside) doors;
	struct conn *arriving;
	bool draining, ending, running;
	struct event *idle_event;
	void (*idle)(void *arg);
	void *idle_arg;
};

/* ---- for handlers --------------------------------------------------------- */

const char *gate_request_header(struct exchange *x, const char *name); /* NULL: absent */
void gate_header(struct exchange *x, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void gate_json(struct exchange *x, unsigned status, json_t *body);                 /* steals body; NULL is "out of memory" */
void gate_text(struct exchange *x, unsigned status, const char *type, struct buf *body); /* takes body over */
void gate_file(struct exchange *x, const char *type, int fd);                      /* takes fd over */
void gate_empty(struct exchange *x, unsigned status);
void gate_error(struct exchange *x, enum api_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void gate_defer(struct exchange *x);
void gate_body_done(struct exchange *x); /* its memory was given back or handed on: not counted any more */
bool gate_reply_room(struct exchange *x, size_t len); /* or answers that GATE_REPLIES_MAX is reached */

/* "Name: value" of a stranger's, to go with the reply's head. False when out of memory. */
bool gate_field(struct exchange *x, const char *line);

/* gate-invoke.c: what every kind of call does. Would it be taken (or answers); and from here on x->op is a call. */
bool gate_may_call(struct exchange *x, struct catalog_function *f);
void gate_call_owns(struct exchange *x);

/* gate.c: for gate-inside.c */
int gate_listen(struct listener *l);          /* begin to accept */
void gate_listener_end(struct listener *l);   /* accept no more, cut those that are connected */

/* gate-inside.c */
void gate_inside_end(struct listener *l);     /* the last connection of one that has ended is gone */
void gate_accept_inside(struct gate *g);      /* there may be room again */
const struct lineage *gate_lineage(const struct exchange *x); /* of calls that it makes; NULL: it comes from outside */

/*
 * gate-idempotent.c: read the request's idempotency key, if any (or answers: false); with one, gate_key_begin() makes the
 * call, x->op, or answers, after gate_defer(). gate_key_end() keeps what came of it and then calls answer(): true; false:
 * there is no key, answer now.
 */
bool gate_key_read(struct exchange *x, const char *function, const char *qualifier,
		   void (*answer)(struct exchange *x, struct invocation_result *r));
void gate_key_begin(struct exchange *x);
bool gate_key_end(struct exchange *x, struct invocation_result *r);
void gate_key_free(struct exchange *x);

/* gate-secrets.c: may the function have the secrets that it did not have before; or answers */
bool gate_may_use_secrets(struct exchange *x, const struct function *f, const struct function *old);

/* gate-proxy.c: is this target a function's own, and the parts of it that are ours */
bool gate_is_proxy(const char *raw);
int gate_proxy_target(struct exchange *x, struct err *err);
extern const struct route gate_proxy_route; /* gate-routes.c */

/* gate-functions.c: -EMSGSIZE and the like from the upload: answers, and ends it. */
void gate_upload_failed(struct exchange *x, int result);

/* gate.c: the answer is known; send it now or wake the connection. */
void gate_answer(struct exchange *x);
void gate_suspend(struct exchange *x);        /* until gate_wake(); a client that hangs up meanwhile is noticed */
void gate_wake(struct exchange *x);
void gate_reply_progress(struct exchange *x); /* the client took some: its time counts anew */
void gate_exchange_done(struct exchange *x);  /* of a client that is gone: frees it */

/*
 * gate-stream.c: begin once, with the headers that gate_header() has taken until then; put any number of times; end
 * once, with the headers since as trailers. put() false: the client does not keep up; put no more until more(). All of it
 * after gate_defer(). whole = false cuts the connection, as the only way left to tell that something went wrong.
 */
void gate_stream_begin(struct exchange *x, unsigned status, const char *type, void (*more)(struct exchange *x));
bool gate_stream_put(struct exchange *x, const char *data, size_t len);
void gate_stream_end(struct exchange *x, bool whole);
struct MHD_Response *gate_stream_response(struct exchange *x);
void gate_stream_fini(struct exchange *x);

/* gate-reply.c */
struct MHD_Response *gate_build_response(struct exchange *x);
void gate_exchange_fini(struct exchange *x);

/* gate-auth.c: who asks (or answers), may it do what the route does (or answers), and is its body what was signed */
void gate_identify(struct exchange *x, const char *method);
void gate_authorise(struct exchange *x);
bool gate_may(struct exchange *x, enum permission permission, const char *function); /* or answers */
void gate_hash_body(struct exchange *x, const void *data, size_t len);
void gate_check_body(struct exchange *x);
bool gate_peer_allowed(struct conn *c); /* fills in who it is */
uint64_t gate_swallow_max(const struct exchange *x);
void gate_refusals_end(struct gate *g); /* now and then: log what was left out of the log */

/* gate-routes.c: the table */
enum gate_match { GATE_MATCH, GATE_NO_METHOD, GATE_NO_PATH };
enum gate_match gate_route(const char *method, const struct http_target *t, const struct route **ret);

/* "prefix" and the names of a resource path: part n of the target, checked as a name; or answers and returns NULL. */
const char *gate_function_name(struct exchange *x);

struct catalog_function *gate_function(struct exchange *x);  /* the latest state of the one that the path names; or answers */
struct catalog_function *gate_qualified(struct exchange *x); /* the state that ?qualifier= names, of an alias its own version */
bool gate_precondition(struct exchange *x, const char *what, const char *name, const char *etag); /* If-Match; or answers */
enum { GATE_ETAG_SIZE = 64, GATE_PAGE_DEFAULT = 20, GATE_PAGE_MAX = 100 };
bool gate_page_limit(struct exchange *x, uint64_t *ret);     /* ?limit=, or answers */
json_t *gate_time(int64_t ms);
json_t *gate_layer_arn(const struct catalog_layer *l);       /* gate-layers.c */

typedef void gate_handler(struct exchange *x);
gate_handler gate_create, gate_list, gate_get, gate_update, gate_delete, gate_get_code, gate_put_blob, gate_get_blob;
gate_handler gate_put_blob_begin;
gate_handler gate_publish, gate_list_versions, gate_delete_version;
gate_handler gate_create_alias, gate_list_aliases, gate_get_alias, gate_update_alias, gate_delete_alias;
gate_handler gate_put_concurrency, gate_get_concurrency, gate_list_concurrency, gate_delete_concurrency;
gate_handler gate_create_layer, gate_list_layers, gate_list_layer_versions, gate_get_layer, gate_get_layer_by_arn, gate_delete_layer;
gate_handler gate_invoke_begin, gate_invoke, gate_proxy_begin;
gate_handler gate_capacity, gate_events, gate_drain_get, gate_drain_put, gate_drain_delete, gate_instances;
gate_handler gate_put_secret, gate_get_secret, gate_list_secrets, gate_delete_secret;
gate_handler gate_healthz, gate_metrics, gate_usage, gate_logs, gate_node_info, gate_doctor;
gate_handler gate_whoami, gate_principals, gate_grants;
