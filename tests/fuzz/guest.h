/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest of a fuzz target: two pieces of memory, queues in the first, and operations by which
 * an input fills them. Any byte can be written directly; descriptors and available entries have
 * operations of their own, so that chains come about without luck.
 *
 *	gpa 0		queue 0: descriptors, 0x400 available ring, 0x800 used ring
 *	    0x1000	queue 1
 *	    0x2000	queue 2
 *	    0x3000	buffers, up to GUEST_LOW
 *	gpa GUEST_HIGH	a second region, behind a hole
 */
#pragma once

#include "fuzz.h"

#include "virtio/device.h"

#define GUEST_LOW        0xc000u
#define GUEST_HIGH       0x10000u
#define GUEST_HIGH_SIZE  0x4000u
#define GUEST_QUEUES     3u
#define GUEST_QUEUE_SIZE 16u

struct guest {
	uint8_t *low;
	uint8_t *high;
	struct guest_mem table;
	uint16_t avail[GUEST_QUEUES]; /* index of the available ring */
};

/* Each region is an allocation of its own, so that a step beyond it is seen. */
static inline void guest_init(struct guest *g)
{
	*g = (struct guest){
		.low = aligned_alloc(4096, GUEST_LOW),
		.high = aligned_alloc(4096, GUEST_HIGH_SIZE),
	};
	CHECK(g->low && g->high);
	memset(g->low, 0, GUEST_LOW);
	memset(g->high, 0, GUEST_HIGH_SIZE);
	CHECK(guest_mem_add(&g->table, g->low, 0, GUEST_LOW) == 0);
	CHECK(guest_mem_add(&g->table, g->high, GUEST_HIGH, GUEST_HIGH_SIZE) == 0);
}

static inline void guest_release(struct guest *g)
{
	guest_mem_release(&g->table);
	free(g->low);
	free(g->high);
}

static inline struct virtq_config guest_queue(unsigned int queue)
{
	return (struct virtq_config){
		.size = GUEST_QUEUE_SIZE,
		.desc = queue * 0x1000ull,
		.avail = queue * 0x1000ull + 0x400,
		.used = queue * 0x1000ull + 0x800,
	};
}

/* Writes to low memory; `at` + n is cut to what there is. */
static inline void guest_write(struct guest *g, uint32_t at, const void *data, size_t n)
{
	if (at < GUEST_LOW)
		memcpy(g->low + at, data, MIN(n, (size_t)(GUEST_LOW - at)));
	else if (at >= GUEST_HIGH && at < GUEST_HIGH + GUEST_HIGH_SIZE && g->high)
		memcpy(g->high + (at - GUEST_HIGH), data,
		       MIN(n, (size_t)(GUEST_HIGH + GUEST_HIGH_SIZE - at)));
}

static inline void guest_offer(struct guest *g, unsigned int queue, uint16_t head)
{
	uint32_t ring = queue * 0x1000 + 0x400;

	guest_write(g, ring + 4 + 2 * (g->avail[queue] % GUEST_QUEUE_SIZE), &head, 2);
	g->avail[queue]++;
	guest_write(g, ring + 2, &g->avail[queue], 2);
}

static inline void guest_desc(struct guest *g, unsigned int queue, unsigned int i, uint64_t addr,
			      uint32_t len, uint16_t flags, uint16_t next)
{
	struct vring_desc d = {addr, len, flags, next};

	guest_write(g, queue * 0x1000 + 16 * (i % GUEST_QUEUE_SIZE), &d, sizeof(d));
}

/* Operations 0 to 3 of every target; the names are those of tests/fuzz/seeds. */
enum guest_op {
	GUEST_BYTES, /* u32 address, u8 n, n bytes */
	GUEST_DESC,  /* u8 queue << 4 | index, u32 address, u32 length, u8 flags, u8 next */
	GUEST_OFFER, /* u8 queue, u8 head */
	GUEST_NEW,   /* u8 queue: its rings are empty again */
	GUEST_OPS,
};

static inline void guest_op(struct guest *g, struct input *in, unsigned int op)
{
	uint8_t bytes[255];
	uint32_t address, len;
	uint8_t a, b, c;

	switch (op) {
	case GUEST_BYTES:
		address = take32(in);
		a = take8(in);
		take(in, bytes, a);
		guest_write(g, address, bytes, a);
		break;
	case GUEST_DESC:
		a = take8(in);
		address = take32(in);
		len = take32(in);
		b = take8(in);
		c = take8(in);
		guest_desc(g, (a >> 4) % GUEST_QUEUES, a & 15, address, len, b, c);
		break;
	case GUEST_OFFER:
		a = take8(in);
		guest_offer(g, a % GUEST_QUEUES, take8(in));
		break;
	case GUEST_NEW:
		a = take8(in) % GUEST_QUEUES;
		memset(g->low + a * 0x1000, 0, 0x1000);
		g->avail[a] = 0;
		break;
	default:
		abort();
	}
}
