/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Table of the guest's physical memory as it is mapped in this process.
 *
 * Ownership and threads: a table belongs to one transport and is read only by the threads of the
 * devices that transport serves. It may be changed (guest_mem_map, _add, _remove) only while no
 * such thread can hold a pointer into it. The vhost-user transport runs on the device's own thread,
 * so between two events nobody does; a transport shared by several devices fills the table before
 * it starts the first queue. A pointer obtained from the table dies with the next change of it,
 * which is why virtq_remap exists.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More than any machine of ours has; the vhost-user message itself has room for 8. */
#define GUEST_MEM_REGIONS_MAX 32

struct guest_region {
	uint64_t gpa;
	uint64_t size;
	/* The address that a vhost-user front-end uses for gpa in its own messages. */
	uint64_t user_addr;
	uint8_t *host; /* where gpa is mapped here */
	void *map;     /* what to unmap; NULL when the mapping belongs to somebody else */
	size_t map_size;
};

struct guest_mem {
	struct guest_region regions[GUEST_MEM_REGIONS_MAX];
	unsigned int n;
};

/* A zeroed table is empty. Unmaps what the table mapped itself. */
void guest_mem_release(struct guest_mem *m);

/*
 * Maps `size` bytes of `fd` from `offset` on, shared, as the guest's memory at `gpa`. The
 * descriptor is not kept. 0, or -EINVAL for a range that is empty, wraps, overlaps another or lies
 * beyond the end of the file, -ENOSPC when the table is full, or what mmap said.
 */
int guest_mem_map(struct guest_mem *m, int fd, uint64_t offset, uint64_t gpa, uint64_t size,
		  uint64_t user_addr);

/* Adds memory that is already mapped and stays the caller's. Errors as above. */
int guest_mem_add(struct guest_mem *m, void *host, uint64_t gpa, uint64_t size);

/* Unmaps the region with exactly these bounds; -ENOENT when there is none. */
int guest_mem_remove(struct guest_mem *m, uint64_t gpa, uint64_t size);

/*
 * The address here of the guest's [gpa, gpa + len), which must lie within one region; NULL
 * otherwise. A length of 0 gives NULL, so a caller never gets a pointer it must not touch.
 */
void *guest_mem_ptr(const struct guest_mem *m, uint64_t gpa, uint64_t len);

/* Translates a front-end address; false when no region has it. */
bool guest_mem_user_to_gpa(const struct guest_mem *m, uint64_t user_addr, uint64_t *ret_gpa);
