#include "host/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

/* One line of etc.binds to an absolute path in *out. 1: keep it, 0: nothing there, or -errno. */
static int take_line(char *line, char **out, size_t *room, struct err *err)
{
	bool optional = *line == '?';
	line += optional;
	size_t n = strlen(line);
	while (n > 0 && line[n - 1] == '/')
		line[--n] = '\0';
	if (n == 0 || *line == '#')
		return 0;
	int len = snprintf(*out, *room, "/etc/%s", line);
	if (len < 0 || (size_t)len >= *room)
		return err_set(err, E2BIG, "read images/host/etc.binds");
	if (optional && access(*out, F_OK) < 0)
		return 0;
	*out += len + 1;
	*room -= (size_t)len + 1;
	return 1;
}

static int load_binds(struct image_host *h, struct err *err)
{
	char path[PATH_BUF], text[IMAGE_BINDS_SIZE], *save, *out = h->binds_text;
	size_t room = sizeof(h->binds_text), n = 0;
	int r = path_data("images/host/etc.binds", path, sizeof(path), err);
	if (r < 0)
		return r;
	ssize_t len = fd_read_file_at(AT_FDCWD, path, text, sizeof(text));
	if (len < 0)
		return err_set(err, (int)-len, "read %s", path);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *start = out;
		r = take_line(line, &out, &room, err);
		if (r < 0)
			return r;
		if (r == 1 && n == IMAGE_BINDS_MAX)
			return err_set(err, E2BIG, "read %s", path);
		if (r == 1)
			h->binds[n++] = start;
	}
	h->binds[n] = NULL;
	return 0;
}

int image_host_load(struct image_host *h, struct err *err)
{
	struct stat st;
	int r = path_data("images/host/etc", h->etc, sizeof(h->etc), err);
	if (r == 0)
		r = load_binds(h, err);
	h->usr_split = lstat("/bin", &st) == 0 && !S_ISLNK(st.st_mode);
	h->lib64 = access("/lib64", F_OK) == 0;
	return r;
}
