/* Who is who, and who may do what: /node/whoami, /node/principals, /node/grants. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/catalog.h"
#include "agent/config.h"
#include "agent/gate-internal.h"
#include "base/str.h"
#include "plan/function.h"

static json_t *actions(uint64_t set)
{
	json_t *list = json_array();
	for (size_t i = 0; i < PERMISSION_MAX; i++)
		if (set >> i & 1)
			json_array_append_new(list, json_string(permission_action((enum permission)i)));
	return list;
}

/* Name, role, tenant: never more of a key than its id. */
static json_t *principal_object(const struct principal *p)
{
	return json_pack("{s:s, s:s, s:s}", "principal", p->name, "role", principal_role(p), "tenant", p->tenant);
}

static json_t *grants_of(const struct principal *p)
{
	json_t *list = json_array();
	for (size_t i = 0; i < p->grants; i++)
		json_array_append_new(list, json_pack("{s:o, s:s}", "permissions", actions(p->grant[i].permissions), "functions",
						      p->grant[i].function[0] ? p->grant[i].function : "*"));
	return list;
}

void gate_whoami(struct exchange *x)
{
	json_t *o = principal_object(x->who);
	if (o) {
		json_object_set_new(o, "tenant", json_string(x->tenant));
		json_object_set_new(o, "by", json_string(x->conn->from->kind == LISTENER_TCP ? "signature" : "peer credentials"));
		json_object_set_new(o, "grants", grants_of(x->who));
	}
	gate_json(x, 200, o);
}

/* ---- everybody ----------------------------------------------------------- */

/* Called for each principal that there can be: of the file, and of the Unix socket without it. via: how it comes in. */
typedef void each_fn(void *arg, const struct principal *p, json_t *via);

static json_t *via_of(const struct exchange *x, const struct principal *p)
{
	const struct config *c = x->gate->env.config;
	json_t *keys = json_array(), *users = json_array();
	for (size_t i = 0; i < p->keys; i++)
		json_array_append_new(keys, json_string(p->key[i].id));
	for (size_t i = 0; i < c->peers; i++)
		if (strcmp(c->peer[i].principal, p->name) == 0)
			json_array_append_new(users, json_integer(c->peer[i].uid));
	return json_pack("{s:o, s:o}", "accessKeyIds", keys, "userIds", users);
}

static void add_peer(const struct config *c, uid_t uid, each_fn *fn, void *arg)
{
	struct principal p;
	principal_init(&p, uid == 0, config_tenant(c, uid));
	if (uid == 0)
		str_copy(p.name, sizeof(p.name), "root");
	else
		snprintf(p.name, sizeof(p.name), "uid:%u", uid);
	fn(arg, &p, json_pack("{s:[I]}", "userIds", (json_int_t)uid));
}

static bool is_allowed_by_name(const struct config *c, uid_t uid)
{
	for (size_t i = 0; i < c->allow_uids; i++)
		if (c->allow_uid[i] == uid)
			return true;
	return false;
}

static void each_principal(const struct exchange *x, each_fn *fn, void *arg)
{
	const struct config *c = x->gate->env.config;
	for (size_t i = 0; i < x->principals->count; i++)
		fn(arg, x->principals->list[i], via_of(x, x->principals->list[i]));
	add_peer(c, 0, fn, arg);
	for (size_t i = 0; i < c->allow_uids; i++)
		if (c->allow_uid[i] != 0 && !config_principal(c, c->allow_uid[i]))
			add_peer(c, c->allow_uid[i], fn, arg);
	if (c->allow_gids == 0)
		return;
	/* members of a group: those of them that tenant-of sends elsewhere, then all others */
	for (size_t i = 0; i < c->tenants; i++)
		if (c->tenant[i].uid != 0 && !is_allowed_by_name(c, c->tenant[i].uid))
			add_peer(c, c->tenant[i].uid, fn, arg);
	for (size_t i = 0; i < c->allow_gids; i++) {
		struct principal p;
		principal_init(&p, false, "default");
		snprintf(p.name, sizeof(p.name), "gid:%u", c->allow_gid[i]);
		fn(arg, &p, json_pack("{s:[I]}", "groupIds", (json_int_t)c->allow_gid[i]));
	}
}

struct listing {
	const struct exchange *x;
	const char *function; /* NULL: every principal with all it has */
	json_t *list;
};

static void add_principal(void *arg, const struct principal *p, json_t *via)
{
	struct listing *l = arg;
	bool ours = l->x->any_tenant || p->is_operator || strcmp(p->tenant, l->x->tenant) == 0;
	json_t *o = ours ? principal_object(p) : NULL;
	if (o) {
		json_object_update(o, via);
		json_object_set_new(o, "grants", grants_of(p));
		json_array_append_new(l->list, o);
	}
	json_decref(via);
}

void gate_principals(struct exchange *x)
{
	struct listing l = { x, NULL, json_array() };
	each_principal(x, add_principal, &l);
	gate_json(x, 200, json_pack("{s:o}", "principals", l.list));
}

/* What it may do to the function, if anything. */
static void add_grant(void *arg, const struct principal *p, json_t *via)
{
	struct listing *l = arg;
	uint64_t set = 0;
	json_decref(via); /* whose keys and user ids they are is for who may list principals */
	if (!p->is_operator && strcmp(p->tenant, l->x->tenant) != 0)
		return;
	for (size_t i = 0; i < PERMISSION_MAX; i++)
		if (permission_is_of_function((enum permission)i) && principal_may(p, (enum permission)i, l->function))
			set |= 1ull << i;
	json_t *o = set ? principal_object(p) : NULL;
	if (o) {
		json_object_set_new(o, "permissions", actions(set));
		json_array_append_new(l->list, o);
	}
}

void gate_grants(struct exchange *x)
{
	const char *name = http_query(&x->target, "function");
	if (!name || !str_is_name(name, FUNCTION_NAME_MAX))
		return gate_error(x, API_INVALID_ARGUMENT, "function: give the name of a function");
	if (!gate_may(x, PERMISSION_LIST_GRANTS, name))
		return;
	if (!catalog_find(x->gate->env.catalog, x->tenant, name))
		return gate_error(x, API_FUNCTION_NOT_FOUND, "function '%s' does not exist", name);
	struct listing l = { x, name, json_array() };
	each_principal(x, add_grant, &l);
	gate_json(x, 200, json_pack("{s:s, s:s, s:o}", "functionName", name, "tenant", x->tenant, "grants", l.list));
}
