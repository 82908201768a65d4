/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/kvm/ram.h"

#include "vmm/kvm/layout.h"

#include <errno.h>
#include <sys/mman.h>

#define HUGE_PAGE (2 * MIB)

/*
 * Reserves address space in which RAM can start at a multiple of 2 MiB: only then do huge pages of
 * the host and of the guest's second-level tables coincide.
 */
static uint8_t *reserve(uint64_t size)
{
	size_t total = (size_t)(size + HUGE_PAGE);
	uint8_t *p =
		mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t before;

	if (p == MAP_FAILED)
		return NULL;
	before = -(uintptr_t)p & (HUGE_PAGE - 1);
	if (before)
		munmap(p, before);
	munmap(p + before + size, total - before - (size_t)size);
	return p + before;
}

int ram_map(struct ram *r, uint64_t size, int fd, uint64_t offset, struct err *e)
{
	int flags = MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED | (fd < 0 ? MAP_ANONYMOUS : 0);

	*r = (struct ram){.size = size, .low = MIN(size, GUEST_LOW_END)};
	r->host = reserve(size);
	if (!r->host || mmap(r->host, (size_t)size, PROT_READ | PROT_WRITE, flags, fd,
			     (off_t)(fd < 0 ? 0 : offset)) == MAP_FAILED) {
		int error = errno;

		ram_release(r);
		return err_sys(e, error, "cannot map %llu MiB of guest memory",
			       (unsigned long long)(size / MIB));
	}
	/* A host without huge pages only runs slower. */
	if (fd < 0)
		madvise(r->host, (size_t)size, MADV_HUGEPAGE);
	/* The guest's secrets belong neither into a core file nor into a child. */
	madvise(r->host, (size_t)size, MADV_DONTDUMP);
	madvise(r->host, (size_t)size, MADV_DONTFORK);
	guest_mem_add(&r->mem, r->host, 0, r->low);
	if (size > r->low)
		guest_mem_add(&r->mem, r->host + r->low, GUEST_4G, size - r->low);
	return 0;
}

void ram_release(struct ram *r)
{
	if (r->host)
		munmap(r->host, (size_t)r->size);
	guest_mem_release(&r->mem);
	*r = (struct ram){};
}
