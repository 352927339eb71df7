/*
 * cleanup - resources that end with their scope.
 *
 * autofree, autoclose, autofp and autodir declare a variable that is released
 * when it leaves scope; take_ptr and take_fd hand it over instead. Descriptors
 * start at -1. Every release function accepts an already released value.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

static inline void cleanup_free(void *p)
{
	int saved = errno;
	free(*(void **)p);
	errno = saved;
}

static inline void cleanup_close(int *fd)
{
	int saved = errno;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

static inline void cleanup_fp(FILE **fp)
{
	if (*fp)
		fclose(*fp);
	*fp = NULL;
}

static inline void cleanup_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
	*dir = NULL;
}

#define autofree _cleanup_(cleanup_free)
#define autoclose _cleanup_(cleanup_close)
#define autofp _cleanup_(cleanup_fp)
#define autodir _cleanup_(cleanup_dir)

static inline int take_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

#define take_ptr(p)                     \
	({                              \
		__typeof__(p) taken_ = (p); \
		(p) = NULL;             \
		taken_;                 \
	})

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
