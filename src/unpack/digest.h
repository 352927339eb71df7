/*
 * digest - SHA-256 and CRC-64 of a bundle's bytes, in one pass.
 *
 * SHA-256 names the layer; CRC-64/XZ (reflected ECMA-182 polynomial) is what
 * the function API reports as X-Fc-Code-Checksum. digest_prepare() must run
 * before confinement: libcrypto opens files and probes the CPU on first use.
 */
#pragma once

#include <stdint.h>
#include <stddef.h>

struct digest {
	uint8_t sha256[32];
	uint64_t crc64;
	uint64_t bytes;
};

int digest_prepare(void);

/* Reads with pread from offset 0. 0 or -errno. */
int digest_fd(int fd, struct digest *ret);

/* Continue a checksum; start with 0. */
uint64_t digest_crc64(uint64_t crc, const void *data, size_t len);
