/*
 * crc64 - CRC-64/XZ (the ECMA-182 polynomial, reflected): the checksum by
 * which the function API names code (X-Fc-Code-Checksum, in decimal).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Continue a checksum; begin with 0. */
uint64_t crc64(uint64_t crc, const void *data, size_t len);
