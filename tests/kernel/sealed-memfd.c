/*
 * A memfd sealed against writing, shrinking and growing cannot be changed by
 * anybody, the writer included, and can be mapped; it cannot be sealed while a
 * writable mapping exists. So what was checked once stays as it was.
 * Leaned on by: sandbox/spec in its memfd, the payload, base/fd (fd_sealed_memfd).
 */
#include "kernel-test.h"

#include <sys/mman.h>

int main(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CHECK(fd >= 0 && write(fd, "hello", 5) == 5);
	char *w = mmap(NULL, 5, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(w != MAP_FAILED);
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	CHECK(fcntl(fd, F_ADD_SEALS, seals) < 0 && errno == EBUSY);
	CHECK(munmap(w, 5) == 0);
	CHECK(fcntl(fd, F_ADD_SEALS, seals) == 0);
	CHECK(fcntl(fd, F_GET_SEALS) == seals);
	CHECK(pwrite(fd, "H", 1, 0) < 0 && errno == EPERM);
	CHECK(ftruncate(fd, 4) < 0 && errno == EPERM);
	CHECK(ftruncate(fd, 6) < 0 && errno == EPERM);
	CHECK(mmap(NULL, 5, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EPERM);
	const char *r = mmap(NULL, 5, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(r != MAP_FAILED && memcmp(r, "hello", 5) == 0);
	/* opened anew through /proc the seals still hold */
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int again = open(path, O_RDWR | O_CLOEXEC);
	CHECK(again >= 0 && write(again, "x", 1) < 0 && errno == EPERM);
	return 0;
}
