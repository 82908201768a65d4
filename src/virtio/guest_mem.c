/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/guest_mem.h"

#include "base/util.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

static int check_range(const struct guest_mem *m, uint64_t gpa, uint64_t size)
{
	if (size == 0 || gpa > UINT64_MAX - size)
		return -EINVAL;
	for (unsigned int i = 0; i < m->n; i++) {
		const struct guest_region *r = &m->regions[i];

		if (gpa < r->gpa + r->size && r->gpa < gpa + size)
			return -EINVAL;
	}
	return m->n < GUEST_MEM_REGIONS_MAX ? 0 : -ENOSPC;
}

/* #syscalls?:vhost-user munmap -- QEMU replaces the table of its memory */
static void region_release(struct guest_region *r)
{
	if (r->map)
		munmap(r->map, r->map_size);
	*r = (struct guest_region){};
}

void guest_mem_release(struct guest_mem *m)
{
	for (unsigned int i = 0; i < m->n; i++)
		region_release(&m->regions[i]);
	m->n = 0;
}

/* #syscalls:vhost-user lseek mmap(!PROT_EXEC) madvise(MADV_DONTDUMP) madvise(MADV_DONTFORK) */
int guest_mem_map(struct guest_mem *m, int fd, uint64_t offset, uint64_t gpa, uint64_t size,
		  uint64_t user_addr)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t slack = offset & (page - 1);
	off_t file_size;
	void *map;
	int r = check_range(m, gpa, size);

	if (r < 0)
		return r;
	if (user_addr > UINT64_MAX - size || offset > INT64_MAX || size > INT64_MAX - offset)
		return -EINVAL;
	/*
	 * A mapping that reaches past the end of its file would kill us at the first access. Not
	 * by fstat, which the C library makes a call that would take names of files as well.
	 */
	file_size = lseek(fd, 0, SEEK_END);
	if (file_size < 0)
		return -errno;
	if (offset + size > (uint64_t)file_size)
		return -EINVAL;
	map = mmap(NULL, (size_t)(size + slack), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
		   fd, (off_t)(offset - slack));
	if (map == MAP_FAILED)
		return -errno;
	/* Guest memory is the guest's secret and large: neither a core file nor a child gets it. */
	madvise(map, (size_t)(size + slack), MADV_DONTDUMP);
	madvise(map, (size_t)(size + slack), MADV_DONTFORK);
	m->regions[m->n++] = (struct guest_region){
		.gpa = gpa,
		.size = size,
		.user_addr = user_addr,
		.host = (uint8_t *)map + slack,
		.map = map,
		.map_size = (size_t)(size + slack),
	};
	return 0;
}

int guest_mem_add(struct guest_mem *m, void *host, uint64_t gpa, uint64_t size)
{
	int r = check_range(m, gpa, size);

	if (r < 0)
		return r;
	m->regions[m->n++] = (struct guest_region){
		.gpa = gpa,
		.size = size,
		.user_addr = gpa,
		.host = host,
	};
	return 0;
}

int guest_mem_remove(struct guest_mem *m, uint64_t gpa, uint64_t size)
{
	for (unsigned int i = 0; i < m->n; i++) {
		struct guest_region *r = &m->regions[i];

		if (r->gpa != gpa || r->size != size)
			continue;
		region_release(r);
		*r = m->regions[--m->n];
		return 0;
	}
	return -ENOENT;
}

void *guest_mem_ptr(const struct guest_mem *m, uint64_t gpa, uint64_t len)
{
	for (unsigned int i = 0; i < m->n; i++) {
		const struct guest_region *r = &m->regions[i];
		uint64_t off = gpa - r->gpa;

		/* Written so that nothing can wrap: off < size, then len <= size - off. */
		if (gpa >= r->gpa && off < r->size)
			return len && len <= r->size - off ? r->host + off : NULL;
	}
	return NULL;
}

bool guest_mem_user_to_gpa(const struct guest_mem *m, uint64_t user_addr, uint64_t *ret_gpa)
{
	for (unsigned int i = 0; i < m->n; i++) {
		const struct guest_region *r = &m->regions[i];

		if (user_addr >= r->user_addr && user_addr - r->user_addr < r->size) {
			*ret_gpa = r->gpa + (user_addr - r->user_addr);
			return true;
		}
	}
	return false;
}
