/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which names our resolver has given the guest for an address, and until when: the evidence that
 * domain rules need. Bounded: the pin that was confirmed longest ago makes room.
 */
#pragma once

#include "net/addr.h"
#include "net/domain.h"

#define PINS_MAX          4096
#define PINS_PER_ADDR_MAX 16

struct pins;

struct pins *pins_new(const uint8_t secret[16]); /* NULL: no memory */
struct pins *pins_free(struct pins *p);
/* Until `until` (ns) `name` stands for `addr`; a later end replaces an earlier one. */
void pins_add(struct pins *p, const struct addr *addr, const char *name, uint64_t now,
	      uint64_t until);
/*
 * The names of an address that hold at `now`, in `names` (room for PINS_PER_ADDR_MAX), which are
 * valid until the next call of pins_add. Returns how many.
 */
unsigned int pins_find(struct pins *p, const struct addr *addr, uint64_t now, const char **names);
