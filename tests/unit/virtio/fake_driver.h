/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's side of a split virtqueue, for tests: it does what it is told, right or wrong. */
#pragma once

#include "../testing.h"

#include "base/util.h"
#include "virtio/virtq.h"

#include <linux/virtio_ring.h>
#include <sys/mman.h>

#define RAM_SIZE (4 * MIB)
/* Not 0, so that a forgotten translation shows. */
#define RAM_GPA 0x40000000ULL

struct fake_ram {
	int fd;
	uint8_t *mem;
	struct guest_mem table;
};

struct fake_queue {
	struct fake_ram *ram;
	struct virtq_config cfg;
	struct vring_desc *desc;
	uint16_t *avail; /* flags, index, ring, used_event */
	uint16_t *used;  /* flags, index, ring of two u32 each, avail_event */
	uint16_t next_desc;
	uint16_t used_seen;
};

static inline void *ram_at(struct fake_ram *ram, uint64_t gpa)
{
	return ram->mem + (gpa - RAM_GPA);
}

static inline void ram_init(struct fake_ram *ram)
{
	*ram = (struct fake_ram){.fd = memfd_create("ram", MFD_CLOEXEC)};
	assert_true(ram->fd >= 0);
	assert_int_equal(ftruncate(ram->fd, RAM_SIZE), 0);
	ram->mem = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ram->fd, 0);
	assert_ptr_not_equal(ram->mem, MAP_FAILED);
	assert_int_equal(guest_mem_add(&ram->table, ram->mem, RAM_GPA, RAM_SIZE), 0);
}

static inline void ram_release(struct fake_ram *ram)
{
	guest_mem_release(&ram->table);
	munmap(ram->mem, RAM_SIZE);
	close(ram->fd);
}

/* Lays a queue of `size` out in the 64 KiB at `gpa`. */
static inline void fq_init(struct fake_queue *q, struct fake_ram *ram, uint64_t gpa, uint16_t size)
{
	memset(ram_at(ram, gpa), 0, 64 * KIB);
	*q = (struct fake_queue){
		.ram = ram,
		.cfg = {.size = size,
			.desc = gpa,
			.avail = gpa + 32 * KIB,
			.used = gpa + 40 * KIB,
			.event_idx = true,
			.indirect = true},
		.desc = ram_at(ram, gpa),
		.avail = ram_at(ram, gpa + 32 * KIB),
		.used = ram_at(ram, gpa + 40 * KIB),
	};
}

static inline void fq_desc(struct fake_queue *q, uint16_t i, uint64_t addr, uint32_t len,
			   uint16_t flags, uint16_t next)
{
	q->desc[i] = (struct vring_desc){addr, len, flags, next};
}

static inline void fq_offer(struct fake_queue *q, uint16_t head)
{
	uint16_t idx = __atomic_load_n(&q->avail[1], __ATOMIC_RELAXED);

	q->avail[2 + idx % q->cfg.size] = head;
	__atomic_store_n(&q->avail[1], (uint16_t)(idx + 1), __ATOMIC_RELEASE);
}

struct fake_part {
	uint64_t gpa;
	uint32_t len;
	bool write;
};

/* Chains the parts in the next free descriptors and offers them; returns the head. */
static inline uint16_t fq_add(struct fake_queue *q, const struct fake_part *parts, unsigned int n)
{
	uint16_t head = q->next_desc % q->cfg.size;

	for (unsigned int i = 0; i < n; i++) {
		uint16_t d = q->next_desc++ % q->cfg.size;

		fq_desc(q, d, parts[i].gpa, parts[i].len,
			(uint16_t)((i + 1 < n ? VRING_DESC_F_NEXT : 0) |
				   (parts[i].write ? VRING_DESC_F_WRITE : 0)),
			(uint16_t)((d + 1) % q->cfg.size));
	}
	fq_offer(q, head);
	return head;
}

/* Takes one entry of the used ring; false when there is none. */
static inline bool fq_take_used(struct fake_queue *q, uint32_t *ret_head, uint32_t *ret_len)
{
	uint32_t elem[2];

	if (__atomic_load_n(&q->used[1], __ATOMIC_ACQUIRE) == q->used_seen)
		return false;
	memcpy(elem, (uint8_t *)q->used + 4 + 8 * (q->used_seen % q->cfg.size), sizeof(elem));
	q->used_seen++;
	*ret_head = elem[0];
	*ret_len = elem[1];
	return true;
}

static inline void fq_set_used_event(struct fake_queue *q, uint16_t v)
{
	__atomic_store_n(&q->avail[2 + q->cfg.size], v, __ATOMIC_RELAXED);
}

static inline uint16_t fq_avail_event(const struct fake_queue *q)
{
	return q->used[2 + 4 * q->cfg.size];
}
