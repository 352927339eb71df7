/* fcctl secret, secrets: texts that functions get and nobody reads back. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cmd/fcctl.h"

#define SECRETS "/node/secrets"

enum { TEXT_MAX = 4096 };

struct secret_opts {
	const char *file;
	bool remove, help;
};
#define AT(field) offsetof(struct secret_opts, field)
#define HELP { "help", 'h', OPT_FLAG, AT(help), NULL, "print this and exit", NULL, 0, 0 }, { NULL, 0, OPT_NOTE, 0, NULL, NULL, NULL, 0, 0 }

static const char *text(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));
	return s ? s : "";
}

/* From the file as it is, or from standard input without the newline that people's tools put at the end. */
static int read_text(const char *file, struct buf *ret, struct err *err)
{
	if (!file && isatty(STDIN_FILENO)) {
		err_set(err, 0, "secret: standard input is a terminal, which would show the text");
		return err_hint(err, "fcctl secret NAME < FILE, or --file FILE");
	}
	autoclose int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
	if (file && fd < 0)
		return err_set(err, errno, "open %s", file);
	int r = buf_reserve(ret, ret->max);
	if (r == 0)
		r = buf_read_fd(ret, file ? fd : STDIN_FILENO);
	if (r == -EMSGSIZE)
		return err_set(err, 0, "secret: a text has at most %d bytes", TEXT_MAX);
	if (r < 0)
		return err_set(err, -r, "read %s", file ? file : "standard input");
	if (!file && ret->len > 0 && ret->data[ret->len - 1] == '\n')
		ret->data[--ret->len] = '\0';
	return 0;
}

static int put(const struct fcctl *ctl, const char *path, const char *file)
{
	struct err err = ERR_INIT;
	struct client_reply r;
	struct buf body = BUF_INIT(TEXT_MAX + 1);
	int status = CMD_BAD_INPUT;
	if (read_text(file, &body, &err) < 0)
		fcctl_fail(&err, CMD_BAD_INPUT);
	else
		status = fcctl_request(ctl, &(struct client_request){ .method = "PUT", .path = path, .body = body.data ? body.data : "", .body_len = body.len,
								       .body_fd = -1 }, &r);
	if (body.data)
		explicit_bzero(body.data, body.cap);
	buf_fini(&body);
	if (status != CMD_OK)
		return status;
	if (ctl->format == FCCTL_JSON)
		status = printf("%.*s\n", (int)r.body.len, r.body.data) > 0 && fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
	client_reply_fini(&r);
	return status;
}

int fcctl_secret(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct opt options[] = {
		{ "file", 0, OPT_STR, AT(file), "FILE", "the text is what this file holds, byte for byte", NULL, 0, 0 },
		{ "delete", 0, OPT_FLAG, AT(remove), NULL, "delete it instead", NULL, 0, 0 },
		HELP
	};
	static const struct fcctl_syntax usage = { "NAME", "Keeps a text, from standard input, for functions to have in a variable.", options, AT(help), 1, 1 };
	struct secret_opts o = { .file = NULL };
	struct err err = ERR_INIT;
	struct client_reply r;
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	if (o.remove && o.file) {
		err_set(&err, 0, "secret: --delete goes with no --file");
		return fcctl_fail(&err, CMD_BAD_INPUT);
	}
	autobuf struct buf path = BUF_INIT(4096);
	buf_puts(&path, SECRETS "/");
	client_escape(&path, argv[n]);
	if (!o.remove)
		return put(ctl, path.data, o.file);
	status = fcctl_request(ctl, &(struct client_request){ .method = "DELETE", .path = path.data, .body_fd = -1 }, &r);
	if (status == CMD_OK)
		client_reply_fini(&r);
	return status;
}

static int ask_all(const struct fcctl *ctl, const char *prefix, json_t *all)
{
	autofree char *token = NULL;
	do {
		autobuf struct buf path = BUF_INIT(8192);
		struct client_reply r;
		buf_puts(&path, SECRETS "?limit=100&prefix=");
		client_escape(&path, prefix);
		buf_puts(&path, "&nextToken=");
		client_escape(&path, token ? token : "");
		int status = fcctl_request(ctl, &(struct client_request){ .method = "GET", .path = path.data, .body_fd = -1 }, &r);
		if (status != CMD_OK)
			return status;
		autojson json_t *page = fcctl_json(&r);
		client_reply_fini(&r);
		if (!page)
			return CMD_INTERNAL;
		json_array_extend(all, json_object_get(page, "secrets"));
		const char *next = json_string_value(json_object_get(page, "nextToken"));
		free(token);
		token = next ? strdup(next) : NULL;
	} while (token);
	return CMD_OK;
}

int fcctl_secrets(const struct fcctl *ctl, int argc, char **argv)
{
	static const struct opt options[] = { HELP };
	static const struct fcctl_syntax usage = { "[PREFIX]", "Lists the names of the secrets, never their texts.", options, AT(help), 0, 1 };
	struct secret_opts o = { .help = false };
	int n, status = fcctl_parse(&usage, argc, argv, &o, &n);
	if (status >= 0)
		return status;
	autojson json_t *all = json_array();
	status = ask_all(ctl, n < argc ? argv[n] : "", all);
	if (status != CMD_OK)
		return status;
	if (ctl->format == FCCTL_JSON)
		return json_dumpf(all, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER) == 0 && putchar('\n') != EOF && fflush(stdout) == 0 ? CMD_OK
																	   : CMD_HOST;
	size_t i;
	json_t *s;
	printf("SECRET                           CREATED              CHANGED              KEY\n");
	json_array_foreach(all, i, s)
		printf("%-32s %-20s %-20s %s\n", text(s, "secretName"), text(s, "createdTime"), text(s, "lastModifiedTime"), text(s, "keyId"));
	return fflush(stdout) == 0 ? CMD_OK : CMD_HOST;
}
