#include "cmd/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cmd/cmd.h"

enum { REPLY_MAX = 1 << 30, CONNECT_TIMEOUT_MS = 5000 };

void client_reply_fini(struct client_reply *r)
{
	buf_fini(&r->body);
#define X(field, name) free(r->field);
	CLIENT_HEADERS(X)
#undef X
	*r = (struct client_reply){ .status = 0 };
}

int client_escape(struct buf *out, const char *text)
{
	for (; *text; text++) {
		bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') || (*text >= '0' && *text <= '9') ||
			     strchr("-_.~", *text);
		int r = plain ? buf_append(out, text, 1) : buf_printf(out, "%%%02X", (unsigned char)*text);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- libcurl's callbacks -------------------------------------------------- */

struct transfer {
	const struct client_request *q;
	struct client_reply *reply;
	int piece_error;
};

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	if (!t->q->piece || !t->reply->transfer) /* a whole reply: an error's, or one that says all at its end */
		return buf_append(&t->reply->body, data, size * n) == 0 ? size * n : 0;
	t->piece_error = t->q->piece(t->q->arg, data, size * n);
	return t->piece_error == 0 ? size * n : 0;
}

static char *header_value(const char *line, size_t len, const char *name)
{
	size_t n = strlen(name);
	if (len <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
		return NULL;
	const char *from = line + n + 1, *end = line + len;
	while (from < end && (*from == ' ' || *from == '\t'))
		from++;
	while (end > from && strchr(" \t\r\n", end[-1]))
		end--;
	return strndup(from, (size_t)(end - from));
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct client_reply *r = arg;
	char *value;
#define X(field, name)                                                   \
	if ((value = header_value(line, size * n, name)) != NULL) {      \
		free(r->field);                                          \
		r->field = value;                                        \
	}
	CLIENT_HEADERS(X)
#undef X
	return size * n;
}

static size_t on_read(char *to, size_t size, size_t n, void *arg)
{
	ssize_t got = read(*(int *)arg, to, size * n);
	return got < 0 ? CURL_READFUNC_ABORT : (size_t)got;
}

/* ---- one exchange --------------------------------------------------------- */

static struct curl_slist *headers_of(const struct client *c, const struct client_request *q)
{
	char line[160];
	struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/octet-stream");
	list = curl_slist_append(list, "Accept:");
	if (c->tenant) {
		snprintf(line, sizeof(line), "X-Fcnode-Tenant: %s", c->tenant);
		list = curl_slist_append(list, line);
	}
	if (q->log_tail)
		list = curl_slist_append(list, "X-Fc-Log-Type: Tail");
	if (q->piece)
		list = curl_slist_append(list, "X-Fcnode-Response-Mode: stream");
	if (q->body_fd < 0) /* large uploads ask first; an event does not wait for a go-ahead */
		list = curl_slist_append(list, "Expect:");
	return list;
}

static void set_body(CURL *h, const struct client_request *q)
{
	struct stat st;
	if (q->body_fd >= 0 && fstat(q->body_fd, &st) == 0) {
		curl_easy_setopt(h, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(h, CURLOPT_READFUNCTION, on_read);
		curl_easy_setopt(h, CURLOPT_READDATA, (void *)(uintptr_t)&q->body_fd);
		curl_easy_setopt(h, CURLOPT_INFILESIZE_LARGE, (curl_off_t)st.st_size);
	} else if (q->body || strcmp(q->method, "POST") == 0) {
		curl_easy_setopt(h, CURLOPT_POST, 1L);
		curl_easy_setopt(h, CURLOPT_POSTFIELDS, q->body ? q->body : "");
		curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_len);
	}
	curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, q->method);
}

static int explain(const struct client *c, CURLcode code, const char *text, struct err *err)
{
	if (code == CURLE_COULDNT_CONNECT) {
		bool there = access(c->socket, F_OK) == 0;
		err_set(err, there ? ECONNREFUSED : ENOENT, "connect to fc-agent at %s", c->socket);
		return err_hint(err, there ? "is fc-agent running, and may you use its socket? (fc-agent.conf(5): allow-user)"
					   : "start fc-agent, or name its socket with --socket");
	}
	return err_set(err, EIO, "talk to fc-agent at %s: %s", c->socket, *text ? text : curl_easy_strerror(code));
}

int client_call(const struct client *c, const struct client_request *q, struct client_reply *ret, struct err *err)
{
	char text[CURL_ERROR_SIZE] = "";
	struct transfer transfer = { .q = q, .reply = ret };
	autobuf struct buf url = BUF_INIT(8192);
	CURL *h = curl_easy_init();
	*ret = (struct client_reply){ .body = BUF_INIT(REPLY_MAX) };
	if (!h || buf_printf(&url, "http://fc-agent%s", q->path) < 0) {
		curl_easy_cleanup(h);
		return err_set(err, ENOMEM, "talk to fc-agent");
	}
	struct curl_slist *headers = headers_of(c, q);
	curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, c->socket);
	curl_easy_setopt(h, CURLOPT_URL, url.data);
	curl_easy_setopt(h, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(h, CURLOPT_PROXY, "");
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
	curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)c->timeout_ms);
	curl_easy_setopt(h, CURLOPT_ERRORBUFFER, text);
	curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, &transfer);
	curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(h, CURLOPT_HEADERDATA, ret);
	set_body(h, q);
	CURLcode code = curl_easy_perform(h);
	curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &ret->status);
	curl_slist_free_all(headers);
	curl_easy_cleanup(h);
	/* a refusal may come before the body was taken: then the answer counts, not the broken upload */
	if (code == CURLE_OK || (code == CURLE_SEND_ERROR && ret->status >= 400 && ret->body.len > 0))
		return 0;
	client_reply_fini(ret);
	if (transfer.piece_error < 0)
		return err_set(err, -transfer.piece_error, "write the reply");
	return explain(c, code, text, err);
}

int client_error(const struct client_reply *r, struct err *err)
{
	const char *code = "HTTP error", *message = "", *id = r->request_id ? r->request_id : "none";
	autojson json_t *o = r->body.len ? json_loadb(r->body.data, r->body.len, 0, NULL) : NULL;
	json_t *c = json_object_get(o, "Code"), *m = json_object_get(o, "Message");
	if (json_is_string(c))
		code = json_string_value(c);
	if (json_is_string(m))
		message = json_string_value(m);
	err_set(err, 0, "%s: %s (HTTP %ld, request %s)", code, message, r->status, id);
	if (strcmp(code, "InsufficientStorage") == 0 || r->status == 429 || r->status == 503)
		return CMD_HOST;
	return r->status >= 500 ? CMD_INTERNAL : CMD_BAD_INPUT;
}
