#include "host/net.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

static int open_home(int *home, struct err *err)
{
	*home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return *home < 0 ? err_set(err, errno, "open /proc/self/ns/net") : 0;
}

static int loopback_up(struct err *err)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	autoclose int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, errno, "socket for lo");
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	return ioctl(fd, SIOCSIFFLAGS, &ifr) < 0 ? err_set(err, errno, "bring up lo in a new network namespace") : 0;
}

int net_enter_new(int *home, struct err *err)
{
	int r = open_home(home, err);
	if (r < 0)
		return r;
	if (unshare(CLONE_NEWNET) < 0) {
		r = err_set(err, errno, "make a network namespace");
		cleanup_close(home);
		return r;
	}
	r = loopback_up(err);
	if (r < 0)
		net_return(home);
	return r;
}

int net_enter(int netns_fd, int *home, struct err *err)
{
	int r = open_home(home, err);
	if (r < 0)
		return r;
	if (setns(netns_fd, CLONE_NEWNET) < 0) {
		r = err_set(err, errno, "join the network namespace");
		cleanup_close(home);
	}
	return r;
}

int net_client(struct err *err)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd < 0 ? err_set(err, errno, "make a socket in the sandbox's network") : fd;
}

int net_listener(uint16_t port, struct err *err)
{
	const struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	enum { BACKLOG = 16 };
	autoclose int fd = net_client(err);
	if (fd < 0)
		return fd;
	if (bind(fd, (const struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, BACKLOG) < 0)
		return err_set(err, errno, "listen on 127.0.0.1:%u in the sandbox's network", port);
	return take_fd(&fd);
}

void net_return(int *home)
{
	if (*home >= 0 && setns(*home, CLONE_NEWNET) < 0)
		abort();
	cleanup_close(home);
}

static void *net_ahead_main(void *arg)
{
	struct net_ahead *a = arg;
	a->fd = -1;
	if (unshare(CLONE_NEWNET) < 0) {
		err_set(&a->err, errno, "make a network namespace");
		return NULL;
	}
	if (loopback_up(&a->err) < 0)
		return NULL;
	a->fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (a->fd < 0)
		err_set(&a->err, errno, "open the new network namespace");
	return NULL;
}

int net_ahead_start(struct net_ahead *a, struct err *err)
{
	int r = pthread_create(&a->thread, NULL, net_ahead_main, a);
	if (r != 0)
		return err_set(err, r, "start a thread for the network namespace");
	a->started = true;
	return 0;
}

int net_ahead_take(struct net_ahead *a, struct err *err)
{
	if (!a->started)
		return err_set(err, 0, "no network namespace was begun");
	pthread_join(a->thread, NULL);
	a->started = false;
	if (a->fd < 0)
		*err = a->err;
	return a->fd < 0 ? -a->err.code : a->fd;
}

void net_ahead_drop(struct net_ahead *a)
{
	struct err ignored;
	int fd = a->started ? net_ahead_take(a, &ignored) : -1;
	cleanup_close(&fd);
}
