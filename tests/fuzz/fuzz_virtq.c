/* SPDX-License-Identifier: Apache-2.0 */
/* A bare virtqueue whose rings, descriptors and configuration are the input. */
#include "guest.h"

#include <errno.h>

#define IOV_MAX_HERE 8

enum {
	OP_START = GUEST_OPS, /* u8 flags; with RAW: u16 size, u64 desc, avail, used; u16 next */
	OP_STOP,
	OP_POP, /* u8 room for buffers */
	OP_UNPOP,
	OP_PUSH, /* u32 length */
	OP_PUBLISH,
	OP_KICKS_ON,
	OP_KICKS_OFF,
	OP_REMAP, /* u8: which regions there are */
	OPS,
};

#define RAW 0x80

struct target {
	struct guest g;
	struct virtq vq;
	/* Chains that were taken and not given back. */
	uint16_t heads[VIRTQ_SIZE_MAX];
	unsigned int n_heads;
};

static void start(struct target *t, struct input *in)
{
	uint8_t flags = take8(in);
	struct virtq_config cfg = guest_queue((flags & 0x1f) % GUEST_QUEUES);

	if (flags & RAW) {
		cfg.size = take16(in);
		cfg.desc = take64(in);
		cfg.avail = take64(in);
		cfg.used = take64(in);
		cfg.next_avail = take16(in);
	}
	cfg.event_idx = flags & 0x40;
	cfg.indirect = flags & 0x20;
	t->n_heads = 0;
	if (virtq_start(&t->vq, &t->g.table, &cfg) < 0)
		virtq_stop(&t->vq);
}

static bool in_guest(const struct target *t, const uint8_t *p, size_t n)
{
	const uint8_t *low = t->g.low, *high = t->g.high;

	return (p >= low && n <= GUEST_LOW && p <= low + GUEST_LOW - n) ||
	       (p >= high && n <= GUEST_HIGH_SIZE && p <= high + GUEST_HIGH_SIZE - n);
}

static void pop(struct target *t, struct input *in)
{
	struct iovec iov[IOV_MAX_HERE];
	unsigned int room = take8(in) % IOV_MAX_HERE + 1;
	struct virtq_chain c;
	size_t total = 0;
	int r = virtq_pop(&t->vq, iov, room, &c);

	CHECK(r == 0 || r == 1 || r == -EPROTO);
	CHECK((r == -EPROTO) == t->vq.broken);
	if (r <= 0)
		return;
	CHECK(t->vq.started && c.head < t->vq.cfg.size);
	CHECK(c.out_n + c.in_n > 0 && c.out_n + c.in_n <= room);
	CHECK(c.out == iov && c.in == iov + c.out_n);
	for (unsigned int i = 0; i < c.out_n + c.in_n; i++) {
		CHECK(iov[i].iov_len > 0 && in_guest(t, iov[i].iov_base, iov[i].iov_len));
		total += iov[i].iov_len;
	}
	CHECK(total == c.out_len + c.in_len && total <= UINT32_MAX);
	if (t->n_heads < ARRAY_SIZE(t->heads))
		t->heads[t->n_heads++] = c.head;
	else
		virtq_unpop(&t->vq, 1);
}

static void remap(struct target *t, unsigned int which)
{
	guest_mem_release(&t->g.table);
	if (which & 1)
		CHECK(guest_mem_add(&t->g.table, t->g.low, 0, GUEST_LOW) == 0);
	if (which & 2)
		CHECK(guest_mem_add(&t->g.table, t->g.high, GUEST_HIGH, GUEST_HIGH_SIZE) == 0);
	if (virtq_remap(&t->vq) < 0)
		CHECK(t->vq.broken);
}

static void step(struct target *t, struct input *in)
{
	unsigned int op = take8(in) % OPS;

	switch (op) {
	case OP_START:
		start(t, in);
		break;
	case OP_STOP:
		virtq_stop(&t->vq);
		t->n_heads = 0;
		break;
	case OP_POP:
		pop(t, in);
		break;
	case OP_UNPOP:
		if (t->n_heads && !t->vq.broken) {
			virtq_unpop(&t->vq, 1);
			t->n_heads--;
		}
		break;
	case OP_PUSH:
		if (t->n_heads)
			virtq_push(&t->vq, t->heads[--t->n_heads], take32(in));
		break;
	case OP_PUBLISH:
		virtq_publish(&t->vq);
		break;
	case OP_KICKS_ON:
		virtq_kicks_on(&t->vq);
		break;
	case OP_KICKS_OFF:
		virtq_kicks_off(&t->vq);
		break;
	case OP_REMAP:
		remap(t, take8(in));
		break;
	default:
		guest_op(&t->g, in, op);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct input in = {data, n};
	struct target t = {};

	guest_init(&t.g);
	while (in.n)
		step(&t, &in);
	virtq_stop(&t.vq);
	guest_release(&t.g);
	return 0;
}
