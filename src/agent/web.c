#include "agent/web.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

struct web {
	CURLM *multi;
	struct event_base *base;
	struct event *timer;
	size_t exchanges;
};

struct web_exchange {
	struct web *web;
	CURL *easy;
	const struct web_callbacks *cb;
	void *arg;
	int fd;
	bool has_status, headed, refused;
	char error[CURL_ERROR_SIZE];
};

/* ---- libcurl's events in libevent's loop ----------------------------------- */

/* Every answer that is complete by now. A callback may cancel any exchange, so each turn asks anew. */
static void tell_ends(struct web *w)
{
	CURLMsg *m;
	int left;
	while ((m = curl_multi_info_read(w->multi, &left))) {
		struct web_exchange *x = NULL;
		if (m->msg != CURLMSG_DONE || curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &x) != CURLE_OK || !x || x->refused)
			continue;
		enum web_end end = WEB_CLOSED;
		if (m->data.result == CURLE_OK)
			end = WEB_DONE;
		else if (m->data.result == CURLE_WEIRD_SERVER_REPLY || m->data.result == CURLE_UNSUPPORTED_PROTOCOL ||
			 m->data.result == CURLE_BAD_CONTENT_ENCODING)
			end = WEB_BROKEN;
		else if (m->data.result == CURLE_OUT_OF_MEMORY)
			end = WEB_FAILED;
		x->cb->end(x->arg, end, x->error[0] ? x->error : curl_easy_strerror(m->data.result));
	}
}

static void on_socket_event(evutil_socket_t fd, short what, void *arg)
{
	struct web *w = arg;
	int running;
	curl_multi_socket_action(w->multi, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0), &running);
	tell_ends(w);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct web *w = arg;
	int running;
	(void)fd;
	(void)what;
	curl_multi_socket_action(w->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	tell_ends(w);
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
	struct web *w = arg;
	const struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	(void)multi;
	return (ms < 0 ? event_del(w->timer) : event_add(w->timer, &tv)) < 0 ? -1 : 0;
}

/* libcurl wants this socket watched so; `e` is the event that it has so far. */
static int watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *e)
{
	struct web *w = arg;
	(void)easy;
	if (e) {
		event_free(e);
		curl_multi_assign(w->multi, fd, NULL);
	}
	if (what == CURL_POLL_REMOVE)
		return 0;
	short events = EV_PERSIST | (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0);
	struct event *new_event = event_new(w->base, fd, events, on_socket_event, w);
	if (!new_event || event_add(new_event, NULL) < 0) {
		if (new_event)
			event_free(new_event);
		return -1;
	}
	curl_multi_assign(w->multi, fd, new_event);
	return 0;
}

int web_new(struct web **ret, struct event_base *base)
{
	struct web *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->base = base;
	w->timer = evtimer_new(base, on_timer, w);
	w->multi = curl_global_init(CURL_GLOBAL_NOTHING) == 0 ? curl_multi_init() : NULL;
	if (!w->timer || !w->multi) {
		web_free(w);
		return -ENOMEM;
	}
	curl_multi_setopt(w->multi, CURLMOPT_SOCKETFUNCTION, watch);
	curl_multi_setopt(w->multi, CURLMOPT_SOCKETDATA, w);
	curl_multi_setopt(w->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(w->multi, CURLMOPT_TIMERDATA, w);
	*ret = w;
	return 0;
}

struct web *web_free(struct web *w)
{
	if (!w)
		return NULL;
	assert(w->exchanges == 0);
	if (w->multi)
		curl_multi_cleanup(w->multi);
	if (w->timer)
		event_free(w->timer);
	free(w);
	return NULL;
}

/* ---- one exchange ------------------------------------------------------------ */

static curl_socket_t give_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct web_exchange *x = arg;
	(void)purpose;
	(void)address;
	return x->fd < 0 ? CURL_SOCKET_BAD : take_fd(&x->fd);
}

static int already_connected(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	(void)arg;
	(void)fd;
	(void)purpose;
	return CURL_SOCKOPT_ALREADY_CONNECTED;
}

static bool end_of_head(struct web_exchange *x)
{
	long status = 0;
	curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 100 && status < 200) /* an answer comes after it */
		return true;
	x->headed = true;
	x->refused = !x->cb->head(x->arg, (unsigned)status);
	return !x->refused;
}

/* One line: of a head, of a 1xx answer's head before it, or a trailer. */
static size_t on_line(char *line, size_t size, size_t n, void *arg)
{
	struct web_exchange *x = arg;
	size_t len = size * n;
	const char *colon = memchr(line, ':', len);
	if (x->headed) /* a trailer */
		return len;
	while (len > 0 && strchr(" \t\r\n", line[len - 1]))
		len--;
	if (len == 0)
		return end_of_head(x) ? size * n : 0;
	if (!colon || (len >= 5 && memcmp(line, "HTTP/", 5) == 0))
		return size * n;
	const char *value = colon + 1, *end = line + len;
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	x->cb->field(x->arg, line, (size_t)(colon - line), value, value < end ? (size_t)(end - value) : 0);
	return size * n;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct web_exchange *x = arg;
	x->cb->body(x->arg, data, size * n);
	return size * n;
}

static int set_options(struct web_exchange *x, const struct web_request *q)
{
	CURL *h = x->easy;
	char url[64];
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", q->port);
	CURLcode bad = curl_easy_setopt(h, CURLOPT_URL, url) | curl_easy_setopt(h, CURLOPT_REQUEST_TARGET, q->target) |
		       curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, q->method) | curl_easy_setopt(h, CURLOPT_PRIVATE, x) |
		       curl_easy_setopt(h, CURLOPT_PROXY, "");
	curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(h, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(h, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	curl_easy_setopt(h, CURLOPT_ERRORBUFFER, x->error);
	curl_easy_setopt(h, CURLOPT_HTTPHEADER, q->headers);
	curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, give_socket);
	curl_easy_setopt(h, CURLOPT_OPENSOCKETDATA, x);
	curl_easy_setopt(h, CURLOPT_SOCKOPTFUNCTION, already_connected);
	curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_line);
	curl_easy_setopt(h, CURLOPT_HEADERDATA, x);
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, x);
	if (strcmp(q->method, "HEAD") == 0)
		curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
	if (q->body) {
		curl_easy_setopt(h, CURLOPT_POST, 1L);
		curl_easy_setopt(h, CURLOPT_POSTFIELDS, q->body);
		curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_len);
	}
	return bad ? -ENOMEM : 0;
}

int web_start(struct web_exchange **ret, struct web *w, const struct web_request *q)
{
	struct web_exchange *x = calloc(1, sizeof(*x));
	if (!x) {
		close(q->fd);
		return -ENOMEM;
	}
	x->web = w;
	x->cb = q->cb;
	x->arg = q->arg;
	x->fd = q->fd;
	w->exchanges++;
	x->easy = curl_easy_init();
	if (!x->easy || set_options(x, q) < 0 || curl_multi_add_handle(w->multi, x->easy) != CURLM_OK) {
		web_cancel(x);
		return -ENOMEM;
	}
	*ret = x;
	return 0;
}

struct web_exchange *web_cancel(struct web_exchange *x)
{
	if (!x)
		return NULL;
	if (x->easy) {
		curl_multi_remove_handle(x->web->multi, x->easy);
		curl_easy_cleanup(x->easy);
	}
	cleanup_close(&x->fd);
	x->web->exchanges--;
	free(x);
	return NULL;
}

void web_pause(struct web_exchange *x)
{
	curl_easy_pause(x->easy, CURLPAUSE_RECV);
}

void web_resume(struct web_exchange *x)
{
	curl_easy_pause(x->easy, CURLPAUSE_CONT);
}
