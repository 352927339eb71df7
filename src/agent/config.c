#include "agent/config.h"

#include <arpa/inet.h>
#include <config.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/str.h"
#include "plan/function.h"

#define DEFAULT_FILE FC_SYSCONFDIR "/fc-agent.conf"
#define AT(field) offsetof(struct config, field)

const struct opt config_options[] = {
	{ "", 0, OPT_NOTE, 0, NULL, "Where things are", NULL, 0, 0 },
	{ "config", 'c', OPT_STR, AT(config_file), "FILE", "settings, one name = value a line (" DEFAULT_FILE ")", NULL, 0, 0 },
	{ "state-dir", 0, OPT_STR, AT(state_dir), "DIR", "functions, layers, records (" FC_STATEDIR ")", NULL, 0, 0 },
	{ "runtime-dir", 0, OPT_STR, AT(runtime_dir), "DIR", "sockets and what need not survive (" FC_RUNTIMEDIR ")", NULL, 0, 0 },
	{ "socket", 's', OPT_STR, AT(socket), "PATH", "the API's Unix socket (agent.sock in the runtime directory)", NULL, 0, 0 },
	{ "listen", 0, OPT_LIST, AT(listen_text), "ADDRESS:PORT", "also serve signed requests over TCP there; again for more", NULL, 0, 0 },
	{ "listen-remote", 0, OPT_FLAG, AT(listen_remote), NULL, "let --listen name more than loopback; signed is not encrypted", NULL, 0, 0 },
	{ "cgroup-root", 0, OPT_STR, AT(cgroup_root), "DIR", "cgroup directory to live under, or \"own\": the agent's own group (the host's root)", NULL, 0, 0 },
	{ "image", 0, OPT_LIST, AT(image_text), "NAME=DIR", "a root file system for functions; \"host\" is always there; again for more", NULL, 0, 0 },
	{ "runtime-image", 0, OPT_LIST, AT(runtime_image_text), "RUNTIME=IMAGE", "image of a runtime's functions (the one of its name, else host)", NULL, 0, 0 },
	{ "", 0, OPT_NOTE, 0, NULL, "Who", NULL, 0, 0 },
	{ "user", 'u', OPT_STR, AT(user), "USER", "NAME, UID or UID:GID of the unprivileged half (" FC_SERVE_USER ")", NULL, 0, 0 },
	{ "allow-user", 0, OPT_LIST, AT(allow_user), "USER", "may use the socket, besides root; again for more", NULL, 0, 0 },
	{ "allow-group", 0, OPT_LIST, AT(allow_group), "GROUP", "its members may use the socket; again for more", NULL, 0, 0 },
	{ "tenant-of", 0, OPT_LIST, AT(tenant_text), "USER=TENANT", "whom a user acts for (default); again for more", NULL, 0, 0 },
	{ "principals", 0, OPT_STR, AT(principals), "FILE", "who may do what, and access keys; fcnode-principals(5)", NULL, 0, 0 },
	{ "secret-keys", 0, OPT_STR, AT(secret_keys), "FILE", "keys that secrets are sealed with at rest", NULL, 0, 0 },
	{ "principal-of", 0, OPT_LIST, AT(peer_text), "USER=NAME", "which of these a user of the socket is; again for more", NULL, 0, 0 },
	{ "socket-mode", 0, OPT_STR, AT(socket_mode_text), "MODE", "of the socket file, octal (0666: the allow lists decide)", NULL, 0, 0 },
	{ "socket-group", 0, OPT_STR, AT(socket_group), "GROUP", "of the socket file (root's)", NULL, 0, 0 },
	{ "", 0, OPT_NOTE, 0, NULL, "Limits", NULL, 0, 0 },
#define X(field, option, type, def, lo, hi, unit, text) { option, 0, OPT_##type, AT(field), unit, text, NULL, lo, hi },
	CONFIG_NUMBERS(X)
#undef X
	{ "", 0, OPT_NOTE, 0, NULL, "Other", NULL, 0, 0 },
	{ "log-level", 0, OPT_ENUM, AT(log_level), NULL, "least important line to log (info)", "error|warning|info|debug", 0, 0 },
	{ "help", 'h', OPT_FLAG, AT(help), NULL, "print this and exit", NULL, 0, 0 },
	{ "version", 'V', OPT_FLAG, AT(version), NULL, "print the version and exit", NULL, 0, 0 },
	{ NULL, 0, 0, 0, NULL, NULL, NULL, 0, 0 },
};

static void set_defaults(struct config *c)
{
	*c = (struct config){
		.state_dir = FC_STATEDIR,
		.runtime_dir = FC_RUNTIMEDIR,
		.user = FC_SERVE_USER,
		.socket_mode_text = "0666",
		.socket_gid = (gid_t)-1,
		.log_level = 2,
#define X(field, option, type, def, lo, hi, unit, text) .field = (def),
		CONFIG_NUMBERS(X)
#undef X
	};
}

/* ---- names to numbers ---------------------------------------------------- */

/* The number in text, for ids: -1 as an id means "none" to the kernel. */
static bool to_id(const char *text, uint32_t *ret)
{
	uint64_t v;
	if (str_to_u64(text, &v) < 0 || v >= UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static int no_such_user(struct config *c, struct err *err)
{
	err_set(err, ENOENT, "run as user %s", c->user);
	return err_hint(err, "create it (useradd --system --user-group --no-create-home --shell /usr/sbin/nologin %s), or name "
			"another with --user: an existing name, a UID, or UID:GID", c->user);
}

/* NAME, UID or UID:GID. A number alone takes the account's group, or the same number. */
static int resolve_user(struct config *c, bool numbers_only, struct err *err)
{
	char text[64];
	if (!str_copy(text, sizeof(text), c->user))
		return err_set(err, 0, "--user %s: too long", c->user);
	char *colon = strchr(text, ':');
	if (colon) {
		*colon = '\0';
		if (!to_id(text, &c->uid) || !to_id(colon + 1, &c->gid))
			return err_set(err, 0, "--user %s: not UID:GID", c->user);
	} else if (to_id(text, &c->uid)) {
		struct passwd *pw = numbers_only ? NULL : getpwuid(c->uid);
		c->gid = pw ? pw->pw_gid : c->uid;
	} else {
		struct passwd *pw = numbers_only ? NULL : getpwnam(text);
		if (!pw)
			return no_such_user(c, err);
		c->uid = pw->pw_uid;
		c->gid = pw->pw_gid;
	}
	if (c->uid == 0 || c->gid == 0) {
		err_set(err, 0, "--user %s: the unprivileged half must not run as root or in root's group", c->user);
		return err_hint(err, "name a user that owns nothing, such as %s", FC_SERVE_USER);
	}
	return 0;
}

static int resolve_group(const char *option, const char *name, bool numbers_only, gid_t *ret, struct err *err)
{
	if (to_id(name, ret))
		return 0;
	struct group *gr = numbers_only ? NULL : getgrnam(name);
	if (!gr)
		return err_set(err, 0, "--%s %s: no such group", option, name);
	*ret = gr->gr_gid;
	return 0;
}

static int resolve_allowed(struct config *c, bool numbers_only, struct err *err)
{
	if (c->allow_user.count > CONFIG_IDS_MAX || c->allow_group.count > CONFIG_IDS_MAX)
		return err_set(err, 0, "--allow-user, --allow-group: more than %d each", CONFIG_IDS_MAX);
	for (size_t i = 0; i < c->allow_user.count; i++) {
		const char *name = c->allow_user.item[i];
		if (!to_id(name, &c->allow_uid[i])) {
			struct passwd *pw = numbers_only ? NULL : getpwnam(name);
			if (!pw)
				return err_set(err, 0, "--allow-user %s: no such user", name);
			c->allow_uid[i] = pw->pw_uid;
		}
	}
	c->allow_uids = c->allow_user.count;
	for (size_t i = 0; i < c->allow_group.count; i++) {
		int r = resolve_group("allow-group", c->allow_group.item[i], numbers_only, &c->allow_gid[i], err);
		if (r < 0)
			return r;
	}
	c->allow_gids = c->allow_group.count;
	return 0;
}

static int resolve_tenants(struct config *c, bool numbers_only, struct err *err)
{
	if (c->tenant_text.count > CONFIG_IDS_MAX)
		return err_set(err, 0, "--tenant-of: more than %d", CONFIG_IDS_MAX);
	for (size_t i = 0; i < c->tenant_text.count; i++) {
		const char *text = c->tenant_text.item[i], *eq = strchr(text, '=');
		autofree char *user = eq ? strndup(text, (size_t)(eq - text)) : NULL;
		if (!user || !str_is_name(eq + 1, 64))
			return err_set(err, 0, "--tenant-of %s: not USER=TENANT (a tenant has letters, digits, _ and -, at most 64)", text);
		if (!to_id(user, &c->tenant[i].uid)) {
			struct passwd *pw = numbers_only ? NULL : getpwnam(user);
			if (!pw)
				return err_set(err, 0, "--tenant-of %s: no such user", text);
			c->tenant[i].uid = pw->pw_uid;
		}
		c->tenant[i].name = eq + 1;
	}
	c->tenants = c->tenant_text.count;
	return 0;
}

static int resolve_peers(struct config *c, bool numbers_only, struct err *err)
{
	if (c->peer_text.count > CONFIG_IDS_MAX)
		return err_set(err, 0, "--principal-of: more than %d", CONFIG_IDS_MAX);
	for (size_t i = 0; i < c->peer_text.count; i++) {
		const char *text = c->peer_text.item[i], *eq = strchr(text, '=');
		autofree char *user = eq ? strndup(text, (size_t)(eq - text)) : NULL;
		if (!user || !str_is_name(eq + 1, 64))
			return err_set(err, 0, "--principal-of %s: not USER=NAME (letters, digits, _ and -, at most 64)", text);
		if (!to_id(user, &c->peer[i].uid)) {
			struct passwd *pw = numbers_only ? NULL : getpwnam(user);
			if (!pw)
				return err_set(err, 0, "--principal-of %s: no such user", text);
			c->peer[i].uid = pw->pw_uid;
		}
		if (c->peer[i].uid == 0)
			return err_set(err, 0, "--principal-of %s: root is always the operator 'root'", text);
		for (size_t k = 0; k < c->tenants; k++)
			if (c->tenant[k].uid == c->peer[i].uid)
				return err_set(err, 0, "--principal-of %s: that user is in --tenant-of too; the principal says whom it "
						       "acts for", text);
		c->peer[i].principal = eq + 1;
	}
	c->peers = c->peer_text.count;
	if (c->peers > 0 && !c->principals)
		return err_set(err, 0, "--principal-of needs --principals, the file that describes them");
	return 0;
}

/* ADDRESS:PORT, an IPv6 address in brackets; numbers only, so that no name service decides where we listen. */
static int read_listen(const char *text, struct config_listen *l)
{
	char host[CONFIG_ADDRESS_MAX];
	const char *colon = strrchr(text, ':');
	uint64_t port;
	if (!str_copy(l->text, sizeof(l->text), text) || !colon || str_to_u64(colon + 1, &port) < 0 || port > 65535)
		return -EINVAL;
	size_t n = (size_t)(colon - text);
	bool bracketed = n > 2 && text[0] == '[' && text[n - 1] == ']';
	memcpy(host, text + bracketed, n - 2 * bracketed);
	host[n - 2 * bracketed] = '\0';
	struct sockaddr_in *in4 = (struct sockaddr_in *)(void *)&l->address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&l->address;
	if (bracketed && inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		l->len = sizeof(*in6);
	} else if (!bracketed && inet_pton(AF_INET, host, &in4->sin_addr) == 1) {
		in4->sin_family = AF_INET;
		in4->sin_port = htons((uint16_t)port);
		l->len = sizeof(*in4);
	} else {
		return -EINVAL;
	}
	return 0;
}

static bool is_loopback(const struct config_listen *l)
{
	if (l->address.ss_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)&l->address)->sin6_addr);
	return ntohl(((const struct sockaddr_in *)(const void *)&l->address)->sin_addr.s_addr) >> 24 == 127;
}

static int resolve_listen(struct config *c, struct err *err)
{
	if (c->listen_text.count > CONFIG_LISTEN_MAX)
		return err_set(err, 0, "--listen: given more than %d times", CONFIG_LISTEN_MAX);
	for (size_t i = 0; i < c->listen_text.count; i++) {
		const char *text = c->listen_text.item[i];
		if (read_listen(text, &c->listen[i]) < 0)
			return err_set(err, 0, "--listen %s: not ADDRESS:PORT such as 127.0.0.1:9100 or [::1]:9100", text);
		if (!is_loopback(&c->listen[i]) && !c->listen_remote) {
			err_set(err, 0, "--listen %s: not an address of loopback", text);
			return err_hint(err, "requests are signed, but neither they nor the replies are encrypted: put a proxy with TLS in "
					     "front, or say listen-remote = yes");
		}
	}
	c->listens = c->listen_text.count;
	if (c->listens == 0 || c->principals)
		return 0;
	err_set(err, 0, "--listen needs --principals: over TCP every request is signed with an access key");
	return err_hint(err, "fcnode-principals(5) describes the file");
}

static int resolve_socket(struct config *c, bool numbers_only, struct err *err)
{
	char *end;
	unsigned long mode = strtoul(c->socket_mode_text, &end, 8);
	if (end == c->socket_mode_text || *end || mode > 0777)
		return err_set(err, 0, "--socket-mode %s: not an octal mode such as 0660", c->socket_mode_text);
	c->socket_mode = (mode_t)mode;
	if (!c->socket_group)
		return 0;
	return resolve_group("socket-group", c->socket_group, numbers_only, &c->socket_gid, err);
}

static int resolve_images(struct config *c, struct err *err)
{
	c->image[0] = (struct config_image){ "host", "host" };
	c->images = 1;
	for (size_t i = 0; i < c->image_text.count; i++) {
		const char *text = c->image_text.item[i], *eq = strchr(text, '=');
		autofree char *name = eq ? strndup(text, (size_t)(eq - text)) : NULL;
		if (!name || !str_is_name(name, 32) || eq[1] != '/')
			return err_set(err, 0, "--image %s: not NAME=/DIRECTORY (a name of letters, digits, _ and -, at most 32)", text);
		if (config_image(c, name))
			return err_set(err, 0, "--image %s: %s is named twice", text, name);
		if (c->images == CONFIG_IMAGES_MAX)
			return err_set(err, 0, "--image: given more than %d times", CONFIG_IMAGES_MAX - 1);
		c->image[c->images++] = (struct config_image){ take_ptr(name), eq + 1 };
	}
	return 0;
}

static int resolve_runtime_images(struct config *c, struct err *err)
{
	if (c->runtime_image_text.count > CONFIG_RUNTIMES_MAX)
		return err_set(err, 0, "--runtime-image: given more than %d times", CONFIG_RUNTIMES_MAX);
	for (size_t i = 0; i < c->runtime_image_text.count; i++) {
		const char *text = c->runtime_image_text.item[i], *eq = strchr(text, '=');
		autofree char *name = eq ? strndup(text, (size_t)(eq - text)) : NULL;
		enum function_runtime runtime;
		if (!name)
			return err_set(err, 0, "--runtime-image %s: not RUNTIME=IMAGE", text);
		if (function_runtime_parse(name, &runtime, NULL, err) < 0)
			return err_wrap(err, "--runtime-image %s", text);
		if (!config_image(c, eq + 1)) {
			err_set(err, 0, "--runtime-image %s: there is no image %s", text, eq + 1);
			return err_hint(err, "add it: --image %s=/DIRECTORY", eq[1] ? eq + 1 : "NAME");
		}
		for (size_t k = 0; k < i; k++)
			if (strcmp(c->runtime_image[k].runtime, name) == 0)
				return err_set(err, 0, "--runtime-image %s: %s is named twice", text, name);
		c->runtime_image[i] = (struct config_runtime_image){ function_runtime_name(runtime), eq + 1 };
	}
	c->runtime_images = c->runtime_image_text.count;
	return 0;
}

/* Paths go to other processes and into messages: absolute, without what a shell would resolve. */
static int make_absolute(const char **path, const char *option, struct err *err)
{
	if (**path == '/')
		return 0;
	if (!**path)
		return err_set(err, 0, "--%s: empty", option);
	autofree char *cwd = getcwd(NULL, 0);
	char *joined = NULL;
	if (!cwd || asprintf(&joined, "%s/%s", cwd, *path) < 0)
		return err_set(err, errno, "--%s %s: make it absolute", option, *path);
	*path = joined;
	return 0;
}

/* The limits of one function, a tenant and the node, and the least that lets a sandbox start. */
struct ladder {
	const char *name;
	size_t function, tenant, node;
	uint64_t least;
	const char *least_text;
};
static const struct ladder ladders[] = {
	[CONFIG_MEMORY] = { "memory", AT(max_memory_bytes), AT(tenant_memory_bytes), AT(node_memory_bytes), 16 << 20, "16M" },
	[CONFIG_CPU] = { "cpu", AT(max_cpu_milli), AT(tenant_cpu_milli), AT(node_cpu_milli), 10, "0.01" },
	[CONFIG_PIDS] = { "pids", AT(max_pids), AT(tenant_pids), AT(node_pids), 16, "16" },
};
_Static_assert(ARRAY_LEN(ladders) == CONFIG_RESOURCE_MAX, "a row for each resource");

static uint64_t number_at(const struct config *c, size_t offset)
{
	return *(const uint64_t *)(const void *)((const char *)c + offset);
}

/* 0 is no limit; else a level must let a sandbox start, and a tenant cannot have more than the node. */
static int check_levels(const struct config *c, struct err *err)
{
	for (const struct ladder *l = ladders; l < ladders + ARRAY_LEN(ladders); l++) {
		uint64_t tenant = number_at(c, l->tenant), node = number_at(c, l->node);
		const char *low = tenant && tenant < l->least ? "tenant" : node && node < l->least ? "node" : NULL;
		if (low) {
			err_set(err, 0, "--%s-%s: less than %s, with which no sandbox starts", low, l->name, l->least_text);
			return err_hint(err, "0 is no limit");
		}
		if (tenant && node && tenant > node)
			return err_set(err, 0, "--tenant-%s is more than --node-%s", l->name, l->name);
	}
	return 0;
}

static int check_numbers(const struct config *c, struct err *err)
{
	if (c->tenant_id_base % 65536)
		return err_set(err, 0, "--tenant-id-base %" PRIu64 ": not a multiple of 65536", c->tenant_id_base);
	/* one range more: the first is the node's own (fc-unpack runs under it) */
	if (c->tenant_id_base + (c->tenant_max + 1) * 65536 > UINT32_MAX)
		return err_set(err, 0, "--tenant-id-base %" PRIu64 " leaves no room for --tenant-max %" PRIu64 " ranges of 65536 ids",
			       c->tenant_id_base, c->tenant_max);
	const struct {
		uint64_t def, max;
		const char *name;
	} pairs[] = {
		{ c->default_cpu_milli, c->max_cpu_milli, "cpu" }, { c->default_pids, c->max_pids, "pids" },
	};
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		if (pairs[i].def > pairs[i].max)
			return err_set(err, 0, "--default-%s is more than --max-%s", pairs[i].name, pairs[i].name);
	return check_levels(c, err);
}

static int finish(struct config *c, bool numbers_only, struct err *err)
{
	int r = resolve_user(c, numbers_only, err);
	if (r == 0)
		r = resolve_allowed(c, numbers_only, err);
	if (r == 0)
		r = resolve_tenants(c, numbers_only, err);
	if (r == 0)
		r = resolve_peers(c, numbers_only, err);
	if (r == 0)
		r = resolve_listen(c, err);
	if (r == 0)
		r = resolve_socket(c, numbers_only, err);
	if (r == 0)
		r = resolve_images(c, err);
	if (r == 0)
		r = resolve_runtime_images(c, err);
	if (r == 0)
		r = check_numbers(c, err);
	if (r == 0)
		r = make_absolute(&c->state_dir, "state-dir", err);
	if (r == 0)
		r = make_absolute(&c->runtime_dir, "runtime-dir", err);
	if (r == 0 && c->principals)
		r = make_absolute(&c->principals, "principals", err);
	if (r == 0 && c->secret_keys)
		r = make_absolute(&c->secret_keys, "secret-keys", err);
	if (r < 0)
		return r;
	if (!c->socket) {
		char *path;
		if (asprintf(&path, "%s/agent.sock", c->runtime_dir) < 0)
			return err_set(err, ENOMEM, "name the socket");
		c->socket = path;
	}
	return make_absolute(&c->socket, "socket", err);
}

static int read_file(struct config *c, const char *asked, struct err *err)
{
	if (!asked && access(DEFAULT_FILE, F_OK) < 0 && errno == ENOENT)
		return 0;
	return opts_read_file(config_options, asked ? asked : DEFAULT_FILE, c, err);
}

int config_load(struct config *c, int argc, char **argv, struct err *err)
{
	struct config first;
	set_defaults(&first);
	int n = opts_parse(config_options, argc, argv, false, &first, err);
	if (n < 0)
		return n;
	if (n < argc) {
		err_set(err, 0, "%s: fc-agent takes options only", argv[n]);
		return err_hint(err, "--help lists the options");
	}
	if (first.help || first.version) {
		*c = first;
		return 0;
	}
	set_defaults(c);
	int r = read_file(c, first.config_file, err);
	if (r == 0)
		r = opts_parse(config_options, argc, argv, false, c, err) < 0 ? -EINVAL : 0;
	return r < 0 ? r : finish(c, /* numbers_only= */ false, err);
}

/* ---- to serve and back ---------------------------------------------------- */

static int put_number(struct buf *b, const struct opt *o, uint64_t v)
{
	if (o->type == OPT_MS)
		return buf_printf(b, "%s = %" PRIu64 "ms\n", o->name, v);
	if (o->type == OPT_MILLI)
		return buf_printf(b, "%s = %" PRIu64 ".%03" PRIu64 "\n", o->name, v / 1000, v % 1000);
	return buf_printf(b, "%s = %" PRIu64 "\n", o->name, v);
}

static int put_list(struct buf *b, const char *name, const uint32_t *ids, size_t n)
{
	int r = 0;
	for (size_t i = 0; i < n && r == 0; i++)
		r = buf_printf(b, "%s = %" PRIu32 "\n", name, ids[i]);
	return r;
}

static int put_all(struct buf *b, const struct config *c)
{
	static const char *const levels[] = { "error", "warning", "info", "debug" };
	int r = buf_printf(b, "state-dir = %s\nruntime-dir = %s\nsocket = %s\nuser = %u:%u\nlog-level = %s\n", c->state_dir,
			   c->runtime_dir, c->socket, c->uid, c->gid, levels[c->log_level]);
	if (r == 0)
		r = put_list(b, "allow-user", c->allow_uid, c->allow_uids);
	if (r == 0)
		r = put_list(b, "allow-group", c->allow_gid, c->allow_gids);
	for (size_t i = 0; i < c->tenants && r == 0; i++)
		r = buf_printf(b, "tenant-of = %u=%s\n", c->tenant[i].uid, c->tenant[i].name);
	if (r == 0 && c->principals)
		r = buf_printf(b, "principals = %s\n", c->principals);
	if (r == 0 && c->secret_keys)
		r = buf_printf(b, "secret-keys = %s\n", c->secret_keys);
	if (r == 0 && c->listen_remote)
		r = buf_puts(b, "listen-remote = yes\n");
	for (size_t i = 0; i < c->listens && r == 0; i++)
		r = buf_printf(b, "listen = %s\n", c->listen[i].text);
	for (size_t i = 0; i < c->peers && r == 0; i++)
		r = buf_printf(b, "principal-of = %u=%s\n", c->peer[i].uid, c->peer[i].principal);
	for (size_t i = 1; i < c->images && r == 0; i++)
		r = buf_printf(b, "image = %s=%s\n", c->image[i].name, c->image[i].path);
	for (size_t i = 0; i < c->runtime_images && r == 0; i++)
		r = buf_printf(b, "runtime-image = %s=%s\n", c->runtime_image[i].runtime, c->runtime_image[i].image);
	for (const struct opt *o = config_options; r == 0 && o->name; o++)
		if (o->type == OPT_U64 || o->type == OPT_BYTES || o->type == OPT_MS || o->type == OPT_MILLI)
			r = put_number(b, o, number_at(c, o->offset));
	return r;
}

int config_to_fd(const struct config *c)
{
	autobuf struct buf b = BUF_INIT(64 << 10);
	int r = put_all(&b, c);
	return r < 0 ? r : fd_sealed_memfd("fc-agent-config", b.data, b.len);
}

int config_from_fd(struct config *c, int fd, struct err *err)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	set_defaults(c);
	int r = opts_read_file(config_options, path, c, err);
	return r < 0 ? r : finish(c, /* numbers_only= */ true, err);
}

/* ---- questions ------------------------------------------------------------ */

const char *config_image(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->images; i++)
		if (strcmp(c->image[i].name, name) == 0)
			return c->image[i].path;
	return NULL;
}

const char *config_runtime_image(const struct config *c, const char *runtime)
{
	for (size_t i = 0; i < c->runtime_images; i++)
		if (strcmp(c->runtime_image[i].runtime, runtime) == 0)
			return c->runtime_image[i].image;
	return config_image(c, runtime) ? runtime : "host";
}

uint64_t config_ceiling(const struct config *c, enum config_resource r, const char **name)
{
	static const char *const names[CONFIG_RESOURCE_MAX][3] = {
		[CONFIG_MEMORY] = { "max-memory", "tenant-memory", "node-memory" },
		[CONFIG_CPU] = { "max-cpu", "tenant-cpu", "node-cpu" },
		[CONFIG_PIDS] = { "max-pids", "tenant-pids", "node-pids" },
	};
	const struct ladder *l = &ladders[r];
	const uint64_t value[] = { number_at(c, l->function), number_at(c, l->tenant), number_at(c, l->node) };
	size_t least = 0;
	for (size_t i = 1; i < ARRAY_LEN(value); i++)
		if (value[i] && value[i] < value[least])
			least = i;
	if (name)
		*name = names[r][least];
	return value[least];
}

const char *config_tenant(const struct config *c, uid_t uid)
{
	for (size_t i = 0; i < c->tenants; i++)
		if (c->tenant[i].uid == uid)
			return c->tenant[i].name;
	return "default";
}

const char *config_principal(const struct config *c, uid_t uid)
{
	for (size_t i = 0; i < c->peers; i++)
		if (c->peer[i].uid == uid)
			return c->peer[i].principal;
	return NULL;
}

uint64_t config_connections(const struct config *c)
{
	return c->max_connections + c->max_function_connections + (c->listens > 0 ? c->max_tcp_connections : 0);
}

int config_serve_dir(const struct config *c, char *out, size_t size)
{
	int n = snprintf(out, size, "%s/serve", c->state_dir);
	return n > 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}

bool config_allows(const struct config *c, uid_t uid, const gid_t *groups, size_t ngroups)
{
	if (uid == 0)
		return true;
	for (size_t i = 0; i < c->allow_uids; i++)
		if (c->allow_uid[i] == uid)
			return true;
	for (size_t i = 0; i < c->allow_gids; i++)
		for (size_t k = 0; k < ngroups; k++)
			if (c->allow_gid[i] == groups[k])
				return true;
	return false;
}
