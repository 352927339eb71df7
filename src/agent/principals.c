#include "agent/principals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

enum scope { SCOPE_FUNCTION, SCOPE_TENANT, SCOPE_NODE };
enum holder { HOLDER_TENANT, HOLDER_OPERATOR };
enum { WORDS_MAX = 32, LINE_MAX_BYTES = 1024 };

static const struct {
	const char *action;
	enum scope scope;
	enum holder holder;
} permissions[] = {
#define PERMISSION(name, action, scope, holder, text) [PERMISSION_##name] = { action, SCOPE_##scope, HOLDER_##holder },
#include "agent/permissions.def"
#undef PERMISSION
};
_Static_assert(ARRAY_LEN(permissions) == PERMISSION_MAX && PERMISSION_MAX <= 64, "a row and a bit for each permission");

const char *permission_action(enum permission permission) { return permissions[permission].action; }

const char *principal_role(const struct principal *p) { return p->is_operator ? "operator" : p->is_function ? "function" : "tenant"; }

bool permission_is_of_function(enum permission permission) { return permissions[permission].scope == SCOPE_FUNCTION; }

/* The function API's, and nothing of the node: that is what functions may be given. */
static bool is_of_api(const char *action) { return strncmp(action, "fc:", 3) == 0; }

/*
 * What an action or a pattern ("fc:*", "*") stands for. A pattern never gives a tenant's principal what is the operators',
 * nor a function what is the node's.
 */
static uint64_t actions_of(const char *word, bool is_operator, bool is_function, bool of_functions)
{
	size_t n = strlen(word);
	bool pattern = n > 0 && word[n - 1] == '*';
	uint64_t set = 0;
	if (pattern && strcmp(word, "*") != 0 && strcmp(word, "fc:*") != 0 && strcmp(word, "node:*") != 0)
		return 0;
	for (size_t i = 0; i < PERMISSION_MAX; i++) {
		if (pattern ? strncmp(permissions[i].action, word, n - 1) != 0 : strcmp(permissions[i].action, word) != 0)
			continue;
		if (pattern && ((!is_operator && permissions[i].holder == HOLDER_OPERATOR) ||
				(of_functions && permissions[i].scope != SCOPE_FUNCTION) || (is_function && !is_of_api(permissions[i].action))))
			continue;
		set |= 1ull << i;
	}
	return set;
}

void principal_init(struct principal *p, bool is_operator, const char *tenant)
{
	memset(p, 0, sizeof(*p));
	p->is_operator = is_operator;
	str_copy(p->tenant, sizeof(p->tenant), tenant);
	p->grants = 1;
	p->grant[0].permissions = actions_of("*", is_operator, false, false);
}

bool grant_covers(const struct grant *g, const char *function)
{
	size_t n = strlen(g->function);
	if (n == 0 || !function)
		return true;
	return g->function[n - 1] == '*' ? strncmp(g->function, function, n - 1) == 0 : strcmp(g->function, function) == 0;
}

bool principal_may(const struct principal *p, enum permission permission, const char *function)
{
	for (size_t i = 0; i < p->grants; i++)
		if (p->grant[i].permissions >> permission & 1 && grant_covers(&p->grant[i], function))
			return true;
	return false;
}

/* ---- the file ------------------------------------------------------------ */

struct reader {
	struct principals *table;
	struct principal *at; /* the one being read */
	bool has_role;
	unsigned line;
	struct err *err;
};

/* A section is over: is it whole? */
static int finish_principal(struct reader *r)
{
	struct principal *p = r->at;
	if (!p)
		return 0;
	if (!p->tenant[0] && !p->is_operator)
		return err_set(r->err, 0, "principal '%s' has no tenant; give a line \"tenant NAME\" or \"role operator\"", p->name);
	if (!p->tenant[0])
		str_copy(p->tenant, sizeof(p->tenant), "default");
	if (p->is_function && p->keys > 0)
		return err_set(r->err, 0, "principal '%s' has role function and a key: functions get credentials of their own, for each call", p->name);
	if (p->grants == 0 && !p->is_function) {
		p->grants = 1;
		p->grant[0].permissions = actions_of("*", p->is_operator, false, false);
	}
	return 0;
}

static int read_principal(struct reader *r, char **word, size_t words)
{
	struct principals *t = r->table;
	int result = finish_principal(r);
	if (result < 0)
		return result;
	if (words != 2 || !str_is_name(word[1], PRINCIPAL_NAME_MAX))
		return err_set(r->err, 0, "not \"principal NAME\" (letters, digits, _ and -, at most %d)", PRINCIPAL_NAME_MAX);
	if (strcmp(word[1], "root") == 0)
		return err_set(r->err, 0, "principal 'root' is the user root on the Unix socket, and always there");
	if (principals_find(t, word[1]))
		return err_set(r->err, 0, "principal '%s' stands here twice", word[1]);
	if (t->count == PRINCIPALS_MAX)
		return err_set(r->err, 0, "more than %d principals", PRINCIPALS_MAX);
	r->at = calloc(1, sizeof(*r->at));
	if (!r->at)
		return err_set(r->err, ENOMEM, "read the principals");
	str_copy(r->at->name, sizeof(r->at->name), word[1]);
	t->list[t->count++] = r->at;
	r->has_role = false;
	return 0;
}

static int read_role(struct reader *r, char **word, size_t words)
{
	if (words != 2 || (strcmp(word[1], "operator") != 0 && strcmp(word[1], "tenant") != 0 && strcmp(word[1], "function") != 0))
		return err_set(r->err, 0, "not \"role operator\", \"role tenant\" or \"role function\"");
	if (r->has_role || r->at->grants > 0)
		return err_set(r->err, 0, "a role is given once, before the first \"allow\"");
	r->has_role = true;
	r->at->is_operator = strcmp(word[1], "operator") == 0;
	r->at->is_function = strcmp(word[1], "function") == 0;
	return 0;
}

static int read_tenant(struct reader *r, char **word, size_t words)
{
	if (words != 2 || !str_is_name(word[1], PRINCIPAL_NAME_MAX))
		return err_set(r->err, 0, "not \"tenant NAME\" (letters, digits, _ and -, at most %d)", PRINCIPAL_NAME_MAX);
	if (r->at->tenant[0])
		return err_set(r->err, 0, "principal '%s' has a tenant already", r->at->name);
	str_copy(r->at->tenant, sizeof(r->at->tenant), word[1]);
	return 0;
}

/* "name" or "begin*" */
static bool is_function_pattern(const char *word)
{
	char name[PRINCIPAL_NAME_MAX + 2];
	if (!str_copy(name, sizeof(name), word))
		return false;
	size_t n = strlen(name);
	if (n > 0 && name[n - 1] == '*')
		name[n - 1] = '\0';
	return str_is_name(name, PRINCIPAL_NAME_MAX);
}

/* allow ACTION... [on FUNCTION] */
static int read_allow(struct reader *r, char **word, size_t words)
{
	struct principal *p = r->at;
	struct grant g = { 0, "" };
	size_t last = words;
	if (words > 2 && strcmp(word[words - 2], "on") == 0) {
		if (!is_function_pattern(word[words - 1]))
			return err_set(r->err, 0, "on %.80s: not a function's name, or the begin of one and \"*\"", word[words - 1]);
		str_copy(g.function, sizeof(g.function), word[words - 1]);
		last = words - 2;
	}
	if (last < 2)
		return err_set(r->err, 0, "not \"allow ACTION... [on FUNCTION]\"");
	for (size_t i = 1; i < last; i++) {
		uint64_t set = actions_of(word[i], p->is_operator, p->is_function, g.function[0]);
		if (!set)
			return err_set(r->err, 0, "allow %.80s: no such permission%s", word[i], p->is_function ? " that a function can have" : "");
		for (size_t k = 0; p->is_function && k < PERMISSION_MAX; k++)
			if (set >> k & 1 && !is_of_api(permissions[k].action))
				return err_set(r->err, 0, "allow %s: a function cannot have that permission", permissions[k].action);
		for (size_t k = 0; g.function[0] && k < PERMISSION_MAX; k++)
			if (set >> k & 1 && permissions[k].scope != SCOPE_FUNCTION)
				return err_set(r->err, 0, "allow %s on %s: that permission is not about one function",
					       permissions[k].action, g.function);
		g.permissions |= set;
	}
	if (p->grants == PRINCIPAL_GRANTS_MAX)
		return err_set(r->err, 0, "principal '%s' has more than %d \"allow\" lines", p->name, PRINCIPAL_GRANTS_MAX);
	p->grant[p->grants++] = g;
	return 0;
}

static bool has_key(const struct principals *t, const char *id)
{
	for (size_t i = 0; i < t->count; i++)
		for (size_t k = 0; k < t->list[i]->keys; k++)
			if (strcmp(t->list[i]->key[k].id, id) == 0)
				return true;
	return false;
}

static bool is_printable(const char *s, size_t max, const char *also)
{
	size_t n = strlen(s);
	for (const char *p = s; *p; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
		if (also ? !plain && !strchr(also, *p) : *p <= ' ' || *p > '~')
			return false;
	}
	return n > 0 && n <= max;
}

/* key ID SECRET: the secret is in no message */
static int read_key(struct reader *r, char **word, size_t words)
{
	struct principal *p = r->at;
	if (words != 3)
		return err_set(r->err, 0, "not \"key ID SECRET\"");
	if (!is_printable(word[1], ACCESS_KEY_ID_MAX, "._-"))
		return err_set(r->err, 0, "an access key id has letters, digits, \".\", \"_\" and \"-\", at most %d", ACCESS_KEY_ID_MAX);
	if (!is_printable(word[2], ACCESS_KEY_SECRET_MAX, NULL) || strlen(word[2]) < ACCESS_KEY_SECRET_MIN)
		return err_set(r->err, 0, "the secret of key %s: %d to %d printable characters", word[1], ACCESS_KEY_SECRET_MIN,
			       ACCESS_KEY_SECRET_MAX);
	if (has_key(r->table, word[1]))
		return err_set(r->err, 0, "access key %s stands here twice", word[1]);
	if (p->keys == PRINCIPAL_KEYS_MAX)
		return err_set(r->err, 0, "principal '%s' has more than %d keys", p->name, PRINCIPAL_KEYS_MAX);
	struct access_key *k = &p->key[p->keys++];
	str_copy(k->id, sizeof(k->id), word[1]);
	str_copy(k->secret, sizeof(k->secret), word[2]);
	r->table->keys++;
	return 0;
}

static int read_line(struct reader *r, char *line)
{
	static const struct {
		const char *word;
		int (*read)(struct reader *r, char **word, size_t words);
		bool inside; /* belongs to a principal */
	} kinds[] = {
		{ "principal", read_principal, false }, { "role", read_role, true },   { "tenant", read_tenant, true },
		{ "allow", read_allow, true },          { "key", read_key, true },
	};
	char *word[WORDS_MAX], *save, *w = strtok_r(line, " \t\r", &save);
	size_t words = 0;
	for (; w; w = strtok_r(NULL, " \t\r", &save)) {
		if (words == WORDS_MAX)
			return err_set(r->err, 0, "more than %d words", WORDS_MAX);
		word[words++] = w;
	}
	if (words == 0 || word[0][0] == '#')
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strcmp(word[0], kinds[i].word) != 0)
			continue;
		if (kinds[i].inside && !r->at)
			return err_set(r->err, 0, "\"%s\" before the first \"principal\"", kinds[i].word);
		return kinds[i].read(r, word, words);
	}
	/* not the word itself: it may be a secret that slipped to the begin of a line */
	return err_set(r->err, 0, "a line begins with principal, role, tenant, allow or key");
}

int principals_parse(const char *text, size_t len, struct principals **ret, struct err *err)
{
	struct reader r = { .table = calloc(1, sizeof(*r.table)), .err = err };
	char line[LINE_MAX_BYTES];
	int result = r.table ? 0 : err_set(err, ENOMEM, "read the principals");
	if (r.table)
		r.table->refs = 1;
	for (size_t at = 0; result == 0 && at < len;) {
		const char *from = text + at, *newline = memchr(from, '\n', len - at);
		size_t n = newline ? (size_t)(newline - from) : len - at;
		r.line++;
		if (n >= sizeof(line) || memchr(from, '\0', n)) {
			result = err_set(err, 0, "a line is longer than %zu bytes, or holds a NUL", sizeof(line) - 1);
		} else {
			memcpy(line, from, n);
			line[n] = '\0';
			result = read_line(&r, line);
		}
		at += n + 1;
	}
	if (result == 0)
		result = finish_principal(&r);
	explicit_bzero(line, sizeof(line));
	if (result < 0) {
		principals_unref(r.table);
		return err_wrap(err, "line %u", r.line);
	}
	*ret = r.table;
	return 0;
}

struct principals *principals_ref(struct principals *t)
{
	t->refs++;
	return t;
}

struct principals *principals_unref(struct principals *t)
{
	if (!t || --t->refs > 0)
		return NULL;
	for (size_t i = 0; i < t->count; i++) {
		explicit_bzero(t->list[i], sizeof(*t->list[i]));
		free(t->list[i]);
	}
	free(t);
	return NULL;
}

const struct principal *principals_find(const struct principals *t, const char *name)
{
	for (size_t i = 0; i < t->count; i++)
		if (strcmp(t->list[i]->name, name) == 0)
			return t->list[i];
	return NULL;
}
