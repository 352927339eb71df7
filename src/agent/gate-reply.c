#include <assert.h>
#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/catalog.h"
#include "agent/gate-internal.h"
#include "agent/passed.h"
#include "base/cleanup.h"

static const char type_json[] = "application/json";

const char *gate_request_header(struct exchange *x, const char *name)
{
	return x->mhd ? MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, name) : NULL;
}

void gate_header(struct exchange *x, const char *name, const char *fmt, ...)
{
	assert(x->headers < GATE_HEADERS_MAX);
	char *value = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&value, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	x->header[x->headers].name = name;
	x->header[x->headers++].value = value;
}

bool gate_field(struct exchange *x, const char *line)
{
	struct curl_slist *longer = curl_slist_append(x->fields, line);
	if (longer)
		x->fields = longer;
	return longer != NULL;
}

/* One that libmicrohttpd refuses (a control character in it) is left out. */
static void add_fields(const struct exchange *x, struct MHD_Response *r)
{
	for (const struct curl_slist *i = x->fields; i; i = i->next) {
		char *colon = strchr(i->data, ':');
		if (!colon)
			continue;
		*colon = '\0';
		MHD_add_response_header(r, i->data, colon + 1 + strspn(colon + 1, " "));
		*colon = ':';
	}
}

bool gate_reply_room(struct exchange *x, size_t len)
{
	uint64_t held = x->gate->env.stats->reply_held_bytes;
	if (held == 0 || held + len <= GATE_REPLIES_MAX) /* one is always taken: max-reply-bytes may be larger */
		return true;
	gate_error(x, API_RESOURCE_THROTTLED, "replies that their clients have not taken yet reach %d bytes; try again",
		   GATE_REPLIES_MAX);
	return false;
}

void gate_text(struct exchange *x, unsigned status, const char *type, struct buf *body)
{
	/* at most one for each connection, so small ones need no count: errors, health, metrics get out in any case */
	if (body->len > GATE_REPLY_SMALL) {
		if (!gate_reply_room(x, body->len))
			return buf_fini(body);
		x->held = body->len;
		x->gate->env.stats->reply_held_bytes += x->held;
	}
	x->status = status;
	x->content_type = type;
	x->reply = *body;
	*body = (struct buf)BUF_INIT(0);
	gate_answer(x);
}

void gate_empty(struct exchange *x, unsigned status)
{
	struct buf none = BUF_INIT(0);
	gate_text(x, status, NULL, &none);
}

void gate_file(struct exchange *x, const char *type, int fd)
{
	x->reply_fd = fd;
	x->status = 200;
	x->content_type = type;
	gate_answer(x);
}

void gate_json(struct exchange *x, unsigned status, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9)) : NULL;
	json_decref(body);
	if (!text)
		return gate_error(x, API_INTERNAL, "out of memory");
	struct buf b = { text, strlen(text), strlen(text) + 1, strlen(text) };
	gate_text(x, status, type_json, &b);
}

void gate_error(struct exchange *x, enum api_code code, const char *fmt, ...)
{
	char message[1300];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	struct buf b = BUF_INIT(16 << 10);
	if (api_error_body(code, message, x->request_id, &b) < 0)
		buf_reset(&b);
	gate_header(x, "x-amzn-ErrorType", "%s", api_code_exception(code));
	gate_text(x, api_code_status(code), type_json, &b);
}

/* The reply's bytes go to libmicrohttpd, which frees them. */
static struct MHD_Response *response_of_body(struct exchange *x)
{
	if (x->stream.on)
		return gate_stream_response(x);
	if (x->reply_fd >= 0) {
		struct stat st;
		struct MHD_Response *r = NULL;
		if (fstat(x->reply_fd, &st) == 0)
			r = MHD_create_response_from_fd64((uint64_t)st.st_size, x->reply_fd);
		if (r)
			x->reply_fd = -1;
		return r;
	}
	if (x->reply.len == 0)
		return MHD_create_response_from_buffer(0, (void *)(uintptr_t)"", MHD_RESPMEM_PERSISTENT);
	struct MHD_Response *r = MHD_create_response_from_buffer(x->reply.len, x->reply.data, MHD_RESPMEM_MUST_FREE);
	if (r)
		x->reply = (struct buf)BUF_INIT(0);
	return r;
}

struct MHD_Response *gate_build_response(struct exchange *x)
{
	struct MHD_Response *r = response_of_body(x);
	if (!r)
		return NULL;
	MHD_add_response_header(r, "X-Fc-Request-Id", x->request_id);
	MHD_add_response_header(r, "x-amzn-RequestId", x->request_id);
	if (x->content_type)
		MHD_add_response_header(r, "Content-Type", x->content_type);
	for (size_t i = 0; i < x->headers; i++)
		MHD_add_response_header(r, x->header[i].name, x->header[i].value);
	add_fields(x, r);
	if (x->cut || x->gate->draining)
		MHD_add_response_header(r, "Connection", "close");
	return r;
}

void gate_body_done(struct exchange *x)
{
	x->gate->env.stats->body_bytes -= x->counted;
	x->counted = 0;
}

void gate_exchange_fini(struct exchange *x)
{
	gate_key_free(x);
	for (size_t i = 0; i < x->headers; i++)
		free(x->header[i].value);
	x->headers = 0;
	if (x->reply_fd >= 0)
		close(x->reply_fd);
	x->reply_fd = -1;
	buf_fini(&x->reply);
	gate_stream_fini(x);
	x->gate->env.stats->reply_held_bytes -= x->held;
	x->held = 0;
	gate_body_done(x);
	buf_fini(&x->body);
	if (x->hash)
		gnutls_hash_deinit(x->hash, NULL);
	x->hash = NULL;
	x->who = NULL;
	x->principals = principals_unref(x->principals);
	x->upload = upload_free(x->upload);
	x->charge = catalog_discharge(x->charge);
	curl_slist_free_all(x->fields);
	x->fields = NULL;
	x->pass = passed_free(x->pass);
	free(x->raw);
	x->raw = NULL;
}
