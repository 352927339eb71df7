/*
 * make-bundles DIRECTORY - writes the bundles of bundles.c, one file each: the
 * corpus of fuzz target "bundle" (make update-bundle-corpus).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fd.h"
#include "bundles.h"

static int write_all(int dir, struct err *err)
{
	for (size_t i = 0; i < bundle_case_count; i++) {
		autobuf struct buf b = BUF_INIT(BUNDLE_MAX);
		bundle_cases[i].make(&b);
		int r = fd_replace_file_at(dir, bundle_cases[i].name, b.data ? b.data : "", b.len, 0644);
		if (r < 0)
			return err_set(err, -r, "write %s", bundle_cases[i].name);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	if (argc != 2) {
		fprintf(stderr, "usage: make-bundles DIRECTORY\n");
		return 2;
	}
	autoclose int dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = dir < 0 ? err_set(&err, errno, "open %s", argv[1]) : write_all(dir, &err);
	if (r < 0)
		err_print(&err, "make-bundles");
	return r < 0;
}
