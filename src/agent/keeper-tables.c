/*
 * The tables that only root writes. Tenants: "name base\n" a line in
 * <state_dir>/keeper/tenants, replaced as a whole; a line is on disk before its
 * range is used, and no range is ever given to a second name, because files and
 * processes of the first may still carry its ids.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "agent/keeper-internal.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/str.h"

#define TABLE "keeper/tenants"
enum { TABLE_MAX = 1 << 20 };

/*
 * Both halves live under one limit, and each counts for itself. keeper for an
 * instance: pidfd, status socket, cgroup, and serve's ends until it has them.
 * serve for an instance: its ends, sockets of its network, and the payload on its way out; for a
 * connection: the socket, and the upload or the reply.
 */
enum {
	FDS_RESERVED = 256,
	KEEPER_FDS_PER_INSTANCE = 3 + MSG_IO_MAX + MSG_SOCKETS_MAX,
	SERVE_FDS_PER_INSTANCE = MSG_IO_MAX + MSG_SOCKETS_MAX + 1,
	SERVE_FDS_PER_CONNECTION = 2,
	INSTANCES_DEFAULT = 1000,
};

struct tenant *tenant_find(const struct keeper *k, const char *name)
{
	for (size_t i = 0; i < k->tenants; i++)
		if (strcmp(k->tenant[i].name, name) == 0)
			return &k->tenant[i];
	return NULL;
}

static bool base_taken(const struct keeper *k, uint32_t base)
{
	for (size_t i = 0; i < k->tenants; i++)
		if (k->tenant[i].base_id == base)
			return true;
	return false;
}

/* The first range of the pool that nobody has; 0: none. The pool's very first is the node's own (fc-unpack). */
static uint32_t free_base(const struct keeper *k)
{
	for (uint64_t i = 1; i <= k->config->tenant_max; i++) {
		uint32_t base = (uint32_t)(k->config->tenant_id_base + i * MSG_TENANT_IDS);
		if (!base_taken(k, base))
			return base;
	}
	return 0;
}

static int parse_line(struct keeper *k, char *line, unsigned nr, struct err *err)
{
	char *space = strchr(line, ' ');
	uint64_t base;
	if (space)
		*space = '\0';
	if (!space || !str_is_name(line, MSG_NAME_MAX) || str_to_u64(space + 1, &base) < 0 || base % MSG_TENANT_IDS ||
	    base == 0 || base > UINT32_MAX - MSG_TENANT_IDS || base_taken(k, (uint32_t)base) || tenant_find(k, line)) {
		err_set(err, 0, "read %s/" TABLE ": line %u is damaged", k->config->state_dir, nr);
		return err_hint(err, "restore the file from a backup: without it a tenant could get another one's ids");
	}
	if (k->tenants == MSG_TENANTS_MAX)
		return err_set(err, E2BIG, "read %s/" TABLE, k->config->state_dir);
	str_copy(k->tenant[k->tenants].name, sizeof(k->tenant[0].name), line);
	k->tenant[k->tenants++].base_id = (uint32_t)base;
	return 0;
}

int tables_load(struct keeper *k, struct err *err)
{
	k->tenant = calloc(MSG_TENANTS_MAX, sizeof(k->tenant[0]));
	if (!k->tenant)
		return err_set(err, ENOMEM, "make the table of tenants");
	autoclose int fd = openat(k->state_fd, TABLE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_set(err, errno, "open %s/" TABLE, k->config->state_dir);
	autobuf struct buf b = BUF_INIT(TABLE_MAX);
	int r = buf_read_fd(&b, fd);
	if (r < 0)
		return err_set(err, -r, "read %s/" TABLE, k->config->state_dir);
	char *save, *line = b.data ? strtok_r(b.data, "\n", &save) : NULL;
	for (unsigned nr = 1; line && r == 0; line = strtok_r(NULL, "\n", &save), nr++)
		r = parse_line(k, line, nr, err);
	return r;
}

void tables_free(struct keeper *k)
{
	free(k->tenant);
	k->tenant = NULL;
	k->tenants = 0;
}

static int write_table(struct keeper *k, struct err *err)
{
	autobuf struct buf b = BUF_INIT(TABLE_MAX);
	int r = 0;
	for (size_t i = 0; i < k->tenants && r == 0; i++)
		r = buf_printf(&b, "%s %" PRIu32 "\n", k->tenant[i].name, k->tenant[i].base_id);
	if (r == 0)
		r = fd_replace_file_at(k->state_fd, TABLE, b.data, b.len, 0600);
	/* the rename itself must survive a power loss, else the range could be given twice */
	autoclose int dir = openat(k->state_fd, "keeper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r == 0 && (dir < 0 || fsync(dir) < 0))
		r = -errno;
	return r < 0 ? err_set(err, -r, "write %s/" TABLE, k->config->state_dir) : 0;
}

int tenant_add(struct keeper *k, const char *name, struct tenant **ret, struct err *err)
{
	*ret = tenant_find(k, name);
	if (*ret)
		return 0;
	uint32_t base = k->tenants < k->config->tenant_max ? free_base(k) : 0;
	if (!base)
		return err_set(err, ENOSPC, "give tenant %s an id range: all of tenant-max = %" PRIu64 " are taken", name,
			       k->config->tenant_max);
	struct tenant *t = &k->tenant[k->tenants++];
	str_copy(t->name, sizeof(t->name), name);
	t->base_id = base;
	int r = write_table(k, err);
	if (r < 0) {
		k->tenants--;
		return r;
	}
	*ret = t;
	return 0;
}

static uint64_t instances_in(uint64_t files, uint64_t fixed, uint64_t each)
{
	return files > fixed ? (files - fixed) / each : 0;
}

/* As many as descriptors allow, in keeper and in serve; asking for more than that is refused now rather than met later. */
int capacity_derive(struct keeper *k, struct err *err)
{
	struct rlimit lim;
	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return err_set(err, errno, "read the limit on open files");
	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
		return err_set(err, errno, "raise the limit on open files to %ju", (uintmax_t)lim.rlim_max);
	uint64_t room = instances_in(lim.rlim_cur, FDS_RESERVED, KEEPER_FDS_PER_INSTANCE);
	uint64_t connections = config_connections(k->config);
	uint64_t serve = instances_in(lim.rlim_cur, FDS_RESERVED + SERVE_FDS_PER_CONNECTION * connections, SERVE_FDS_PER_INSTANCE);
	if (serve < room)
		room = serve;
	if (room > MSG_INSTANCES_MAX)
		room = MSG_INSTANCES_MAX;
	uint64_t want = k->config->max_instances;
	if (room == 0 || want > room) {
		err_set(err, EMFILE, "keep %" PRIu64 " sandboxes beside %" PRIu64 " connections: %ju open files allow %" PRIu64,
			want ? want : 1, connections, (uintmax_t)lim.rlim_cur, room);
		return err_hint(err, "raise the hard limit (ulimit -Hn, LimitNOFILE=), or lower --max-connections or --max-function-connections%s%s",
				k->config->listens > 0 ? " or --max-tcp-connections" : "", want > 1 ? " or --max-instances" : "");
	}
	k->capacity = want ? want : room < INSTANCES_DEFAULT ? room : INSTANCES_DEFAULT;
	k->uses = k->capacity * KEEPER_LAYERS;
	k->files_max = lim.rlim_max;
	k->slot = calloc(k->capacity, sizeof(*k->slot));
	k->use = calloc(k->uses, sizeof(*k->use));
	return k->slot && k->use ? 0 : err_set(err, ENOMEM, "make the table of %zu instances", k->capacity);
}
