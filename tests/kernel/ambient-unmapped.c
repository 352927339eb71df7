/*
 * In a user namespace without any id map a process is nobody, and execve would
 * drop its capabilities; ambient ones survive. So fc-sandbox can be executed
 * before its maps are written.
 * Leaned on by: host/launch (the child executes at once, maps come later), sandbox/ids.
 */
#include "kernel-test.h"

#include <linux/capability.h>
#include <sys/prctl.h>

static void raise_ambient(int cap)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];
	CHECK(syscall(SYS_capget, &head, data) == 0);
	data[cap / 32].inheritable |= 1u << (cap % 32);
	CHECK(syscall(SYS_capset, &head, data) == 0);
	CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) == 0);
}

static bool has(int cap)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];
	CHECK(syscall(SYS_capget, &head, data) == 0);
	return data[cap / 32].effective >> (cap % 32) & 1;
}

int main(int argc, char **argv)
{
	if (argc == 2) { /* the executed one */
		bool want = strcmp(argv[1], "with") == 0;
		CHECK(getuid() == 65534);
		CHECK(has(CAP_SYS_ADMIN) == want);
		return 0;
	}
	for (int with = 0; with < 2; with++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			if (unshare(CLONE_NEWUSER) < 0)
				skip("no user namespaces: %s", strerror(errno));
			CHECK(has(CAP_SYS_ADMIN));
			if (with)
				raise_ambient(CAP_SYS_ADMIN);
			execl("/proc/self/exe", argv[0], with ? "with" : "without", (char *)NULL);
			CHECK(!"execl");
		}
		reap_ok(pid);
	}
	return 0;
}
