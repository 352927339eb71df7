#include "agent/passed.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

/* Of the connection, not of the message; and what we set ourselves. */
static const char *const hops[] = { "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te",
				    "trailer", "transfer-encoding", "upgrade", "content-length", "expect" };
static const char *const ours[] = { "x-fc-", "x-fcnode-", "x-acs-", "x-amzn-" };

static bool is(const char *name, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(name, word, len) == 0;
}

static bool left_out(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(hops); i++)
		if (is(name, len, hops[i]))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (len >= strlen(ours[i]) && strncasecmp(name, ours[i], strlen(ours[i])) == 0)
			return true;
	return false;
}

/* libcurl takes "Name:" for "do not send it", and "Name;" for one without a value. */
static bool append(struct curl_slist **list, const char *name, size_t name_len, const char *value, size_t value_len, bool for_curl)
{
	autofree char *line = NULL;
	if (asprintf(&line, "%.*s%s%.*s", (int)name_len, name, value_len || !for_curl ? ": " : ";", (int)value_len, value) < 0)
		line = NULL;
	struct curl_slist *longer = line ? curl_slist_append(*list, line) : NULL;
	if (longer)
		*list = longer;
	return longer != NULL;
}

struct passed *passed_new(const char *method, const char *target)
{
	struct passed *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->method = strdup(method);
	p->target = strdup(target);
	return p->method && p->target ? p : passed_free(p);
}

struct passed *passed_free(struct passed *p)
{
	if (!p)
		return NULL;
	curl_slist_free_all(p->request);
	curl_slist_free_all(p->answer);
	free(p->method);
	free(p->target);
	free(p);
	return NULL;
}

bool passed_request(struct passed *p, const char *name, const char *value, bool is_signed)
{
	size_t n = strlen(name);
	if (left_out(name, n) || (is_signed && is(name, n, "authorization")))
		return true;
	return append(&p->request, name, n, value ? value : "", value ? strlen(value) : 0, /* for_curl= */ true);
}

bool passed_answer(struct passed *p, const char *name, size_t name_len, const char *value, size_t value_len)
{
	if (left_out(name, name_len) || is(name, name_len, "date") || is(name, name_len, "server"))
		return true;
	return append(&p->answer, name, name_len, value, value_len, /* for_curl= */ false);
}

bool passed_has(const struct passed *p, const char *name)
{
	size_t n = strlen(name);
	for (const struct curl_slist *i = p->request; i; i = i->next)
		if (strncasecmp(i->data, name, n) == 0 && (i->data[n] == ':' || i->data[n] == ';'))
			return true;
	return false;
}
