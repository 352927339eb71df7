/*
 * unpacker - runs one fc-unpack on a bundle and a fresh directory, with a time
 * limit, and reads its result as the stranger's word that it is.
 *
 * Called by layer only. Makes and removes nothing on disk.
 */
#pragma once

#include "base/err.h"
#include "host/layer.h"

struct unpacker_req {
	int bundle_fd;
	int target_fd;
	int cancel_fd; /* readable: stop (-ECANCELED); or -1 */
	const char *prefix; /* or NULL */
	const char *expect; /* digest, or NULL */
	struct layer_user user;
	const struct layer_limits *limits;
};

/* 0 with a checked *ret (whose outcome may be any), or -errno when there is none to be had. */
int unpacker_run(const struct unpacker_req *req, struct unpack_result *ret, struct err *err);
