/* What functions see of the host or of a directory: the config's image table, with the facts plan/ asks for. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/keeper-internal.h"
#include "base/path.h"
#include "host/image.h"
#include "plan/wish.h"

struct keeper_image {
	struct image_host host;
	char skel[PATH_BUF], stage[PATH_BUF];
	char runtime[FUNCTION_RUNTIME_MAX][PATH_BUF]; /* "" where the runtime has no directory, or it is not installed */
};

/* A runtime that is not installed is refused when a function asks for it, not at start. */
static void find_runtimes(struct keeper_image *im)
{
	for (int i = 0; i < FUNCTION_RUNTIME_MAX; i++) {
		const char *dir = function_runtime_dir((enum function_runtime)i);
		char name[64];
		if (!dir)
			continue;
		snprintf(name, sizeof(name), "images/%s", dir);
		if (path_data(name, im->runtime[i], sizeof(im->runtime[i]), NULL) < 0)
			im->runtime[i][0] = '\0';
	}
}

/* Whoever could change it would choose what functions of every tenant execute. */
static int check_owner(const char *name, const char *dir, const struct stat *st, struct err *err)
{
	if (st->st_uid == 0 && !(st->st_mode & (S_IWGRP | S_IWOTH)))
		return 0;
	err_set(err, 0, "image %s: %s is not root's alone (user %u, mode %04o)", name, dir, (unsigned)st->st_uid,
		(unsigned)(st->st_mode & 07777));
	return err_hint(err, "build it as root (fc-image build), or chown -R root:root and chmod go-w it after fc-image verify");
}

int images_check(struct keeper *k, struct err *err)
{
	const struct config *c = k->config;
	struct stat st;
	for (size_t i = 1; i < c->images; i++) {
		const char *dir = c->image[i].path;
		if (stat(dir, &st) < 0)
			return err_set(err, errno, "image %s: open %s", c->image[i].name, dir);
		if (!S_ISDIR(st.st_mode))
			return err_set(err, ENOTDIR, "image %s: open %s", c->image[i].name, dir);
		int r = check_owner(c->image[i].name, dir, &st, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int images_load(struct keeper *k, struct err *err)
{
	struct keeper_image *im = calloc(1, sizeof(*im));
	if (!im)
		return err_set(err, ENOMEM, "load the images");
	k->images = im;
	int n = snprintf(im->stage, sizeof(im->stage), "%s/stage", k->config->runtime_dir);
	if (n < 0 || (size_t)n >= sizeof(im->stage))
		return err_set(err, ENAMETOOLONG, "use runtime directory %s", k->config->runtime_dir);
	int r = path_data("images/skel", im->skel, sizeof(im->skel), err);
	if (r == 0)
		r = image_host_load(&im->host, err);
	find_runtimes(im);
	return r;
}

void images_free(struct keeper *k)
{
	free(k->images);
	k->images = NULL;
}

int image_wish(const struct keeper *k, const char *image, struct function_wish *w)
{
	const struct keeper_image *im = k->images;
	const char *dir = config_image(k->config, image);
	if (!dir)
		return -ENOENT;
	if (function_runtime_dir(w->runtime)) {
		if (!im->runtime[w->runtime][0])
			return -ENOPKG;
		w->runtime_dir = im->runtime[w->runtime];
	}
	w->stage_dir = im->stage;
	if (strcmp(dir, "host") != 0) {
		w->image = WISH_IMAGE_DIR;
		w->image_dir = dir;
		w->skel_dir = im->skel;
		return 0;
	}
	w->image = WISH_IMAGE_HOST;
	w->etc_dir = im->host.etc;
	w->etc_binds = im->host.binds;
	w->usr_split = im->host.usr_split;
	w->lib64 = im->host.lib64;
	return 0;
}
