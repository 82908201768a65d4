/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C (Castagnoli) without the final inversion. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Continues from `crc`; the customary start is ~0. */
uint32_t crc32c(uint32_t crc, const void *data, size_t n);
