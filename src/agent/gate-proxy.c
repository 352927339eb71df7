/*
 * /proxy/NAME[.QUALIFIER]/...: any method, path, query, fields and body go to
 * the web server of a custom runtime as an HTTP trigger passes them, and its
 * status, fields and body come back as it writes them.
 */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "agent/catalog.h"
#include "agent/gate-internal.h"
#include "agent/invocation.h"
#include "agent/passed.h"
#include "base/cleanup.h"

static const char prefix[] = "/proxy/";

bool gate_is_proxy(const char *raw) { return raw && strncmp(raw, prefix, sizeof(prefix) - 1) == 0; }

/* "/proxy/NAME.Q/rest?x" is looked up as "/proxy/functions/NAME?qualifier=Q", so that names are checked where all are. */
int gate_proxy_target(struct exchange *x, struct err *err)
{
	const char *name = x->raw + sizeof(prefix) - 1, *end = name + strcspn(name, "/?");
	const char *dot = memchr(name, '.', (size_t)(end - name));
	autofree char *text = NULL;
	if (end == name || dot == name)
		return err_set(err, 0, "the path names no function: /proxy/NAME[.QUALIFIER]/PATH");
	x->rest = *end == '/' ? end : NULL;
	if (*end == '?' || *end == '\0') /* without a path: the root, with what query there is */
		x->rest_query = end;
	int n = dot ? asprintf(&text, "/proxy/functions/%.*s?qualifier=%.*s", (int)(dot - name), name, (int)(end - dot - 1), dot + 1)
		    : asprintf(&text, "/proxy/functions/%.*s", (int)(end - name), name);
	return n < 0 ? err_set(err, 0, "out of memory") : http_target_parse(text, &x->target, err);
}

static enum MHD_Result take_field(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct exchange *x = arg;
	(void)kind;
	x->pass_failed |= !passed_request(x->pass, name, value, x->conn->from->kind == LISTENER_TCP);
	return MHD_YES;
}

static bool make_request(struct exchange *x)
{
	autofree char *root = NULL;
	if (!x->rest && asprintf(&root, "/%s", x->rest_query) < 0)
		root = NULL;
	const char *target = x->rest ? x->rest : root;
	x->pass = target ? passed_new(x->method, target) : NULL;
	if (x->pass)
		MHD_get_connection_values(x->mhd, MHD_HEADER_KIND, take_field, x);
	return x->pass && !x->pass_failed;
}

/* ---- the answer ---------------------------------------------------------------- */

static void add_answer(struct exchange *x, const struct passed *p)
{
	for (const struct curl_slist *i = p->answer; i; i = i->next)
		if (!gate_field(x, i->data))
			break;
}

static void on_more(struct exchange *x)
{
	if (x->op)
		invocation_resume(x->op);
}

static bool piece(void *arg, const struct invocation_result *r, const char *data, size_t len)
{
	struct exchange *x = arg;
	if (!x->stream.on) {
		add_answer(x, r->passed);
		gate_stream_begin(x, r->passed->status, NULL, on_more);
	}
	return gate_stream_put(x, data, len);
}

static void called(void *arg, struct invocation_result *r)
{
	struct exchange *x = arg;
	bool good = r->refused == API_CODE_MAX && !r->error_type;
	if (x->stream.on)
		return gate_stream_end(x, /* whole= */ good);
	if (r->refused != API_CODE_MAX)
		return gate_error(x, r->refused, "%s", r->message);
	if (r->error_type) {
		gate_header(x, "X-Fc-Error-Type", "%s", r->error_type);
		return gate_text(x, 502, "application/json", &r->body);
	}
	add_answer(x, r->passed);
	gate_empty(x, r->passed->status); /* without a body */
}

void gate_proxy_begin(struct exchange *x)
{
	const char *name = gate_function_name(x), *qualifier = http_query(&x->target, "qualifier");
	struct err err = ERR_INIT;
	struct catalog_function *f;
	if (!name)
		return;
	enum api_code code = catalog_resolve(x->gate->env.catalog, x->tenant, name, qualifier, true, &f, &err);
	if (code != API_CODE_MAX)
		return gate_error(x, code, "%s", err.text);
	if (f->f.runtime != FUNCTION_CUSTOM)
		return gate_error(x, API_INVALID_ARGUMENT, "function '%s' has runtime %s: requests are passed to runtime custom only", name,
				  function_runtime_name(f->f.runtime));
	if (!gate_may_call(x, f))
		return;
	if (!make_request(x)) {
		x->pass = passed_free(x->pass);
		return gate_error(x, API_INTERNAL, "out of memory");
	}
	const struct invocation_wish w = {
		.function = f, .qualifier = qualifier, .request_id = x->request_id, .lineage = gate_lineage(x), .passed = x->pass, .done = called, .piece = piece, .arg = x,
	};
	x->op = invocation_new(x->gate->env.calls, &w);
	if (!x->op) {
		x->pass = passed_free(x->pass);
		return gate_error(x, API_INTERNAL, "out of memory");
	}
	x->pass = NULL; /* the call's */
	gate_call_owns(x);
}
