/*
 * A network namespace that was entered before the user namespace was made
 * belongs to the outer one: all capabilities inside do not change it. One made
 * afterwards is the insider's own.
 * Leaned on by: host/net, host/launch (functions have no CAP_NET_* over their network).
 */
#include "kernel-test.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int set_lo(bool up)
{
	struct ifreq ifr;
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(s >= 0);
	memset(&ifr, 0, sizeof(ifr));
	strcpy(ifr.ifr_name, "lo");
	ifr.ifr_flags = up ? IFF_UP : 0;
	int r = ioctl(s, SIOCSIFFLAGS, &ifr) < 0 ? errno : 0;
	close(s);
	return r;
}

int main(void)
{
	need_root();
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		CHECK(unshare(CLONE_NEWNET) == 0);
		CHECK(set_lo(true) == 0);
		enter_userns(200000, 65536);
		CHECK(set_lo(false) == EPERM);
		CHECK(socket(AF_INET, SOCK_RAW, 1) < 0 && errno == EPERM);
		CHECK(unshare(CLONE_NEWNET) == 0);
		CHECK(set_lo(true) == 0);
		_exit(0);
	}
	reap_ok(pid);
	return 0;
}
