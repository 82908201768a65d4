/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A split virtqueue (virtio 1.2, section 2.7) is three arrays in guest memory:
 *
 *	descriptor table	size * 16 bytes	written by the driver
 *	available ring		6 + size * 2	written by the driver: heads of chains to serve
 *	used ring		6 + size * 8	written by the device: heads of chains served
 *
 * Both rings have a free-running 16-bit index. The driver owns what lies between the used and the
 * available index; at most `size` chains can be outstanding.
 *
 * What a hostile driver can do. Its vCPUs change any byte at any moment, also while the device
 * looks at it. So
 *  - addresses and size are latched when the queue starts; the rings are mapped once as a whole;
 *  - every word is read once, by an atomic load or through copy_in(), into a local variable, and
 *    only that copy is checked and used;
 *  - a chain is limited by count: to the size of the queue and to the caller's array, which also
 *    ends loops (2.7.5.2: no loops, no chain longer than the queue);
 *  - each buffer must lie within one memory region, must not be empty, all readable ones come
 *    before all writable ones (2.7.4.2), and the total stays below 4 GiB (2.7.5.2);
 *  - an indirect table (2.7.5.3) may be named only by a descriptor without other flags than
 *    INDIRECT, must be a multiple of 16 bytes, and its entries must not be indirect again.
 * A violation marks the queue broken; the transport tells the driver that the device needs a
 * reset. What the driver does to the buffers' *contents* is the device's business.
 *
 * Memory ordering. The available index is read with acquire, so the ring entry and descriptors
 * written before it are seen. The used index is written with release after the elements. Asking
 * whether to notify (2.7.7.2) reads what the driver wrote (used_event or flags) after our write
 * of the index: that needs a full fence on each side, or both could miss the other. The same in
 * mirror image for kicks (2.7.10): write avail_event, full fence, read the available index again.
 *
 * EVENT_IDX: used_event, after the available ring, is the used index at which the driver wants
 * the next notification; avail_event, after the used ring, is the same towards the driver. While
 * the device is draining the queue it simply leaves avail_event behind, so no kick is sent.
 */
#include "virtio/virtq.h"

#include "base/util.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>

#define DESC_SIZE  ((size_t)16)
#define RING_HEAD  ((size_t)4) /* flags, index */
#define USED_ELEM  ((size_t)8)
#define AVAIL_ELEM ((size_t)2)
#define EVENT_SIZE ((size_t)2)

static uint16_t load16(const uint8_t *p)
{
	return __atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_RELAXED);
}

static uint16_t load16_acquire(const uint8_t *p)
{
	return __atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_ACQUIRE);
}

static void store16(uint8_t *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)(void *)p, v, __ATOMIC_RELAXED);
}

static void store16_release(uint8_t *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)(void *)p, v, __ATOMIC_RELEASE);
}

/* Copies from guest memory; the barrier keeps the compiler from looking there a second time. */
static void copy_in(void *to, const uint8_t *from, size_t n)
{
	memcpy(to, from, n);
	__asm__ volatile("" : : : "memory");
}

static uint8_t *avail_event(const struct virtq *vq)
{
	return vq->used + RING_HEAD + USED_ELEM * vq->cfg.size;
}

static uint8_t *used_event(const struct virtq *vq)
{
	return vq->avail + RING_HEAD + AVAIL_ELEM * vq->cfg.size;
}

static int broken(struct virtq *vq)
{
	vq->broken = true;
	return -EPROTO;
}

static int map_rings(struct virtq *vq)
{
	const struct virtq_config *c = &vq->cfg;

	vq->desc = guest_mem_ptr(vq->mem, c->desc, DESC_SIZE * c->size);
	vq->avail = guest_mem_ptr(vq->mem, c->avail, RING_HEAD + AVAIL_ELEM * c->size + EVENT_SIZE);
	vq->used = guest_mem_ptr(vq->mem, c->used, RING_HEAD + USED_ELEM * c->size + EVENT_SIZE);
	if (!vq->desc || !vq->avail || !vq->used)
		return -EINVAL;
	/* A region may be mapped here with another alignment than it has in the guest. */
	return (uintptr_t)vq->avail % 2 || (uintptr_t)vq->used % 2 ? -EINVAL : 0;
}

int virtq_start(struct virtq *vq, const struct guest_mem *mem, const struct virtq_config *cfg)
{
	*vq = (struct virtq){.mem = mem, .cfg = *cfg};
	if (cfg->size == 0 || cfg->size > VIRTQ_SIZE_MAX || (cfg->size & (cfg->size - 1)))
		return -EINVAL;
	if (cfg->desc % 16 || cfg->avail % 2 || cfg->used % 4)
		return -EINVAL;
	if (map_rings(vq) < 0)
		return -EINVAL;
	vq->next_avail = vq->avail_seen = cfg->next_avail;
	vq->next_used = vq->published = load16(vq->used + 2);
	vq->started = true;
	return 0;
}

uint16_t virtq_stop(struct virtq *vq)
{
	uint16_t next = vq->next_avail;

	*vq = (struct virtq){};
	return next;
}

int virtq_remap(struct virtq *vq)
{
	if (!vq->started)
		return 0;
	if (map_rings(vq) < 0) {
		broken(vq);
		return -EINVAL;
	}
	return 0;
}

/* A chain while it is being collected. */
struct walk {
	struct iovec *iov;
	unsigned int max;
	struct virtq_chain *chain;
};

static int add_buffer(struct virtq *vq, struct walk *w, const struct vring_desc *d)
{
	struct virtq_chain *c = w->chain;
	unsigned int n = c->out_n + c->in_n;
	void *p;

	if (n >= w->max || d->len > UINT32_MAX - (c->out_len + c->in_len))
		return -EPROTO;
	p = guest_mem_ptr(vq->mem, d->addr, d->len);
	if (!p)
		return -EPROTO;
	if (d->flags & VRING_DESC_F_WRITE) {
		c->in_n++;
		c->in_len += d->len;
	} else {
		if (c->in_n)
			return -EPROTO;
		c->out_n++;
		c->out_len += d->len;
	}
	w->iov[n] = (struct iovec){.iov_base = p, .iov_len = d->len};
	return 0;
}

/* Follows the chain in one table of `size` entries; *ret_indirect is set to a table found. */
static int walk_table(struct virtq *vq, struct walk *w, const uint8_t *table, uint32_t size,
		      uint16_t index, struct vring_desc *ret_indirect)
{
	struct vring_desc d;

	for (uint32_t count = 0; count < size && count < vq->cfg.size; count++) {
		int r;

		if (index >= size)
			return -EPROTO;
		copy_in(&d, table + index * DESC_SIZE, sizeof(d));
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (!ret_indirect || !vq->cfg.indirect || (d.flags & VRING_DESC_F_NEXT))
				return -EPROTO;
			*ret_indirect = d;
			return 0;
		}
		r = add_buffer(vq, w, &d);
		if (r < 0)
			return r;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return 0;
		index = d.next;
	}
	return -EPROTO;
}

static int walk_chain(struct virtq *vq, struct walk *w)
{
	struct vring_desc indirect = {};
	const uint8_t *table;
	int r;

	r = walk_table(vq, w, vq->desc, vq->cfg.size, w->chain->head, &indirect);
	if (r < 0 || !(indirect.flags & VRING_DESC_F_INDIRECT))
		return r;
	if (indirect.len % DESC_SIZE)
		return -EPROTO;
	table = guest_mem_ptr(vq->mem, indirect.addr, indirect.len);
	if (!table)
		return -EPROTO;
	return walk_table(vq, w, table, (uint32_t)(indirect.len / DESC_SIZE), 0, NULL);
}

int virtq_pop(struct virtq *vq, struct iovec *iov, unsigned int max, struct virtq_chain *chain)
{
	struct walk w = {.iov = iov, .max = max, .chain = chain};

	if (vq->broken)
		return -EPROTO;
	if (!vq->started)
		return 0;
	if (vq->next_avail == vq->avail_seen) {
		vq->avail_seen = load16_acquire(vq->avail + 2);
		if (vq->next_avail == vq->avail_seen)
			return 0;
		if ((uint16_t)(vq->avail_seen - vq->next_avail) > vq->cfg.size)
			return broken(vq);
	}
	*chain = (struct virtq_chain){};
	chain->head =
		load16(vq->avail + RING_HEAD + AVAIL_ELEM * (vq->next_avail & (vq->cfg.size - 1u)));
	if (walk_chain(vq, &w) < 0)
		return broken(vq);
	chain->out = iov;
	chain->in = iov + chain->out_n;
	vq->next_avail++;
	return 1;
}

void virtq_unpop(struct virtq *vq, unsigned int n)
{
	vq->next_avail = (uint16_t)(vq->next_avail - n);
}

void virtq_push(struct virtq *vq, uint16_t head, uint32_t len)
{
	uint32_t elem[2] = {head, len};

	if (!vq->started || vq->broken)
		return;
	memcpy(vq->used + RING_HEAD + USED_ELEM * (vq->next_used & (vq->cfg.size - 1u)), elem,
	       sizeof(elem));
	vq->next_used++;
}

bool virtq_publish(struct virtq *vq)
{
	uint16_t old, new = vq->next_used;

	if (!vq->started || vq->broken || vq->published == new)
		return false;
	store16_release(vq->used + 2, new);
	vq->published = new;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!vq->cfg.event_idx)
		return !(load16(vq->avail) & VRING_AVAIL_F_NO_INTERRUPT);
	old = vq->notified;
	vq->notified = new;
	/* After a start it is not known what the driver was last told, so it is told. */
	if (!vq->notified_valid) {
		vq->notified_valid = true;
		return true;
	}
	return (uint16_t)(new - load16(used_event(vq)) - 1) < (uint16_t)(new - old);
}

void virtq_kicks_off(struct virtq *vq)
{
	if (vq->started && !vq->broken && !vq->cfg.event_idx)
		store16(vq->used, VRING_USED_F_NO_NOTIFY);
}

bool virtq_kicks_on(struct virtq *vq)
{
	return virtq_kick_past(vq, vq->next_avail);
}

uint16_t virtq_driver_index(const struct virtq *vq)
{
	return vq->started ? load16_acquire(vq->avail + 2) : 0;
}

bool virtq_kick_past(struct virtq *vq, uint16_t seen)
{
	if (!vq->started || vq->broken)
		return false;
	if (vq->cfg.event_idx)
		store16(avail_event(vq), seen);
	else
		store16(vq->used, 0);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return load16_acquire(vq->avail + 2) != seen;
}
