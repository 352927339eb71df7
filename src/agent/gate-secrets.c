/* Secrets: kept under a name, given to functions, and never told again. */
#include <string.h>

#include "agent/catalog.h"
#include "agent/feed.h"
#include "agent/gate-internal.h"
#include "agent/secrets.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"

static json_t *secret_object(const struct secret *s)
{
	return json_pack("{s:s, s:o, s:o, s:s}", "secretName", s->name, "createdTime", gate_time(s->created_ms), "lastModifiedTime",
			 gate_time(s->modified_ms), "keyId", s->key_id);
}

/* Part 3 of the path, or answers and returns NULL. */
static const char *secret_name(struct exchange *x)
{
	const char *name = x->target.segment[2];
	if (str_is_name(name, FUNCTION_NAME_MAX))
		return name;
	gate_error(x, API_INVALID_ARGUMENT, "secretName: letters, digits, _ and -, not beginning with a digit or -, at most %d", FUNCTION_NAME_MAX);
	return NULL;
}

static const struct secret *named(struct exchange *x)
{
	const char *name = secret_name(x);
	const struct secret *s = name ? secrets_find(x->gate->env.secrets, x->tenant, name) : NULL;
	if (name && !s)
		gate_error(x, API_SECRET_NOT_FOUND, "tenant '%s' has no secret '%s'", x->tenant, name);
	return s;
}

static void tell(const struct exchange *x, enum feed_kind kind)
{
	feed_add(x->gate->env.feed, &(struct feed_note){ .kind = kind, .tenant = x->tenant, .detail = x->target.segment[2] });
}

static void kept(void *arg, enum api_code code, const char *text, const struct secret *s)
{
	struct exchange *x = arg;
	if (code != API_CODE_MAX)
		return gate_error(x, code, "%s", text);
	tell(x, FEED_SECRET_SET);
	gate_json(x, 200, secret_object(s));
}

void gate_put_secret(struct exchange *x)
{
	const char *name = secret_name(x);
	if (!name)
		return;
	if (x->body.len == 0 || memchr(x->body.data, '\0', x->body.len))
		return gate_error(x, API_INVALID_ARGUMENT, "the body is the secret's text: 1 to %d bytes without a NUL, for it becomes an environment variable",
				  SECRET_BYTES_MAX);
	gate_defer(x);
	secrets_put(x->gate->env.secrets, x->tenant, name, x->body.data, x->body.len, kept, x);
	explicit_bzero(x->body.data, x->body.cap);
}

void gate_get_secret(struct exchange *x)
{
	const struct secret *s = named(x);
	if (s)
		gate_json(x, 200, secret_object(s));
}

void gate_list_secrets(struct exchange *x)
{
	const struct secret *page[GATE_PAGE_MAX];
	const char *prefix = http_query(&x->target, "prefix"), *from = http_query(&x->target, "nextToken"), *more;
	uint64_t limit;
	if (!gate_page_limit(x, &limit))
		return;
	size_t n = secrets_list(x->gate->env.secrets, x->tenant, prefix ? prefix : "", from ? from : "", limit, page, &more);
	json_t *list = json_array(), *o = json_object();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, secret_object(page[i]));
	json_object_set_new(o, "secrets", list);
	if (more)
		json_object_set_new(o, "nextToken", json_string(more));
	gate_json(x, 200, o);
}

static void deleted(void *arg, enum api_code code, const char *text, const struct secret *s)
{
	struct exchange *x = arg;
	(void)s;
	if (code != API_CODE_MAX)
		return gate_error(x, code, "%s", text);
	tell(x, FEED_SECRET_DELETED);
	gate_empty(x, 204);
}

void gate_delete_secret(struct exchange *x)
{
	const struct secret *s = named(x);
	const struct catalog_function *user = s ? catalog_secret_user(x->gate->env.catalog, x->tenant, s->name) : NULL;
	if (user)
		return gate_error(x, API_SECRET_IN_USE, "function '%s' (%s) has secret '%s'", user->f.name, user->version, s->name);
	if (!s)
		return;
	gate_defer(x);
	secrets_delete(x->gate->env.secrets, s, deleted, x);
}

static bool has_secret(const struct function *f, const char *name)
{
	for (size_t i = 0; f && i < f->nsecrets; i++)
		if (strcmp(f->secrets[i].name, name) == 0)
			return true;
	return false;
}

bool gate_may_use_secrets(struct exchange *x, const struct function *f, const struct function *old)
{
	for (size_t i = 0; i < f->nsecrets; i++) {
		const char *name = f->secrets[i].name;
		if (has_secret(old, name))
			continue;
		if (!gate_may(x, PERMISSION_USE_SECRET, NULL))
			return false;
		if (!secrets_find(x->gate->env.secrets, x->tenant, name)) {
			gate_error(x, API_INVALID_ARGUMENT, "secrets.%s: tenant '%s' has no secret '%s'; PUT /node/secrets/%s keeps one", f->secrets[i].variable,
				   x->tenant, name, name);
			return false;
		}
	}
	return true;
}
