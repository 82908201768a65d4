/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's memory as one mapping of this process, and where it appears in the guest. */
#pragma once

#include "base/err.h"
#include "virtio/guest_mem.h"

struct ram {
	uint8_t *host;
	uint64_t size;
	uint64_t low; /* bytes below GUEST_LOW_END; what is left of `size` starts at GUEST_4G */
	struct guest_mem mem;
};

/*
 * Maps `size` bytes (a multiple of 4096), in huge pages where the host has them: memory that is
 * touched for the first time costs an exit per page, whatever the page's size. With `fd` -1 it is
 * fresh; otherwise a private copy-on-write view of the file from `offset` on. 0, or -1 with an
 * error and nothing to release.
 */
int ram_map(struct ram *r, uint64_t size, int fd, uint64_t offset, struct err *e);
void ram_release(struct ram *r);

/* The guest's [gpa, gpa + len) here, or NULL when it is not all memory. */
static inline void *ram_ptr(const struct ram *r, uint64_t gpa, uint64_t len)
{
	return guest_mem_ptr(&r->mem, gpa, len);
}
