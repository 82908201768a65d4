/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers in network byte order, at any place. */
#pragma once

#include <stdint.h>

static inline uint16_t load16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t load32(const uint8_t *p)
{
	return (uint32_t)load16(p) << 16 | load16(p + 2);
}

/* The lower bits of `v`. */
static inline void store16(uint8_t *p, uint64_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void store32(uint8_t *p, uint64_t v)
{
	store16(p, v >> 16);
	store16(p + 2, v);
}
