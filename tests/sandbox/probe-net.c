/*
 * Networks and sockets. PROBE_HOST_PORT: a port on the host's 127.0.0.1 where
 * somebody listens; PROBE_HOST_SOCKET: an abstract socket of the host;
 * PROBE_NEIGHBOUR: one of a sandbox that runs now.
 */
#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const int denied[] = { EPERM, EACCES, EAFNOSUPPORT, EPROTONOSUPPORT, ESOCKTNOSUPPORT, 0 };

struct family {
	int domain, type, protocol;
};

static void make_socket(struct result *r, const void *arg)
{
	const struct family *f = arg;
	int fd = socket(f->domain, f->type | SOCK_CLOEXEC, f->protocol);
	judge(r, fd, errno, denied);
	if (fd >= 0)
		close(fd);
}

#define FAMILIES(X)                                                   \
	X(packet_socket, AF_PACKET, SOCK_RAW, 0)                      \
	X(raw_socket, AF_INET, SOCK_RAW, IPPROTO_ICMP)                \
	X(raw_socket6, AF_INET6, SOCK_RAW, IPPROTO_ICMPV6)            \
	X(raw_ip_socket, AF_INET, SOCK_RAW, IPPROTO_RAW)              \
	X(vsock, AF_VSOCK, SOCK_STREAM, 0)                            \
	X(alg_socket, AF_ALG, SOCK_SEQPACKET, 0)                      \
	X(key_socket, AF_KEY, SOCK_RAW, 2)                            \
	X(can_socket, AF_CAN, SOCK_RAW, 1)                            \
	X(xdp_socket, AF_XDP, SOCK_RAW, 0)                            \
	X(tipc_socket, AF_TIPC, SOCK_SEQPACKET, 0)                    \
	X(bluetooth_socket, AF_BLUETOOTH, SOCK_RAW, 1)                \
	X(rds_socket, AF_RDS, SOCK_SEQPACKET, 0)                      \
	X(sctp_socket, AF_INET, SOCK_STREAM, IPPROTO_SCTP)            \
	X(mptcp_socket, AF_INET, SOCK_STREAM, 262)                    \
	X(dccp_socket, AF_INET, 6, 33)                                \
	X(netlink_generic, AF_NETLINK, SOCK_RAW, NETLINK_GENERIC)     \
	X(netlink_netfilter, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER) \
	X(netlink_audit, AF_NETLINK, SOCK_RAW, NETLINK_AUDIT)         \
	X(netlink_uevent, AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT) \
	X(netlink_diag, AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG)
#define X(id, domain, type, protocol) static const struct family f_##id = { domain, type, protocol };
FAMILIES(X)
#undef X

/* Nothing but lo, and no way out of it. */
static void only_loopback(struct result *r, const void *arg)
{
	(void)arg;
	char text[8192], *save;
	int devices = 0;
	if (slurp("/proc/net/dev", text, sizeof(text)) < 0) {
		is_open(r, "/proc/net/dev cannot be read");
		return;
	}
	strtok_r(text, "\n", &save);
	strtok_r(NULL, "\n", &save);
	for (char *line; (line = strtok_r(NULL, "\n", &save)); devices++)
		if (strncmp(line + strspn(line, " "), "lo:", 3) != 0) {
			is_open(r, "there is a device %.24s", line);
			return;
		}
	if (slurp("/proc/net/route", text, sizeof(text)) < 0 || strchr(text, '\n') != strrchr(text, '\n')) {
		is_open(r, "there are routes");
		return;
	}
	(devices == 1 ? held : is_open)(r, "%d device, no route", devices);
}

static void reach_out(struct result *r, const void *arg)
{
	static const int unreachable[] = { ENETUNREACH, EACCES, 0 };
	(void)arg;
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = inet_addr("192.0.2.1") };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	JUDGE(r, connect(fd, (struct sockaddr *)&sa, sizeof(sa)), unreachable);
	close(fd);
}

static void host_port(struct result *r, const void *arg)
{
	static const int nobody[] = { ECONNREFUSED, ENETUNREACH, EACCES, 0 };
	(void)arg;
	long port = setting("PROBE_HOST_PORT");
	if (port < 0) {
		skip(r, "PROBE_HOST_PORT is not set");
		return;
	}
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	JUDGE(r, connect(fd, (struct sockaddr *)&sa, sizeof(sa)), nobody);
	close(fd);
}

static void abstract_socket(struct result *r, const void *arg)
{
	static const int nobody[] = { ECONNREFUSED, EPERM, EACCES, 0 };
	const char *name = getenv(arg);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	if (!name || !*name || strlen(name) + 1 >= sizeof(sa.sun_path)) {
		skip(r, "%s is not set", (const char *)arg);
		return;
	}
	memcpy(sa.sun_path + 1, name, strlen(name));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	JUDGE(r, connect(fd, (struct sockaddr *)&sa, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))), nobody);
	close(fd);
}

static void interface_change(struct result *r, const void *arg)
{
	(void)arg;
	struct ifreq ifr = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	/* up as it is: no change where it works */
	int ret = ioctl(fd, SIOCGIFFLAGS, &ifr);
	if (ret == 0)
		ret = ioctl(fd, SIOCSIFFLAGS, &ifr);
	judge(r, ret, errno, denied);
	close(fd);
}

/* A device of our own, by netlink: answered by an error, which must be a refusal. */
static void netlink_change(struct result *r, const void *arg)
{
	(void)arg;
	struct {
		struct nlmsghdr head;
		struct ifinfomsg info;
	} req = {
		.head = { sizeof(req), RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0 },
		.info = { .ifi_family = AF_UNSPEC, .ifi_index = 1 },
	};
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char rest[512];
	} answer = { .error.error = 0 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0) {
		judge(r, fd, errno, denied);
		return;
	}
	if (send(fd, &req, sizeof(req), 0) < 0 || recv(fd, &answer, sizeof(answer), 0) < (ssize_t)sizeof(answer.head))
		is_open(r, "netlink gave no answer: %s", strerrorname_np(errno));
	else
		judge(r, answer.error.error < 0 ? -1 : 0, -answer.error.error, denied);
	close(fd);
}

static void low_port(struct result *r, const void *arg)
{
	(void)arg;
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	JUDGE(r, bind(fd, (struct sockaddr *)&sa, sizeof(sa)), denied);
	close(fd);
}

const struct probe probes_net[] = {
#define X(id, domain, type, protocol) { #id, make_socket, &f_##id, false },
	FAMILIES(X)
#undef X
	{ "only_loopback", only_loopback, NULL, false },
	{ "reach_out", reach_out, NULL, false },
	{ "host_port", host_port, NULL, false },
	{ "host_abstract_socket", abstract_socket, "PROBE_HOST_SOCKET", false },
	{ "neighbour_abstract_socket", abstract_socket, "PROBE_NEIGHBOUR", false },
	{ "interface_change", interface_change, NULL, false },
	{ "netlink_change", netlink_change, NULL, false },
	{ "low_port", low_port, NULL, false },
	{ NULL, NULL, NULL, false },
};
