/* SPDX-License-Identifier: Apache-2.0 */
/* The block device: requests of any shape on a writable disk, or on one made of three files. */
#include "guest.h"

#include "virtio/blk.h"

#include <linux/virtio_blk.h>
#include <sys/mman.h>

#define DISK_SIZE (64 * KIB)

enum {
	OP_KICK = GUEST_OPS,
	OP_RESTART, /* u8 flags: event index, indirect */
	OP_REQUEST, /* u8 type, u64 sector, u16 length, u8 flags: a chain, offered */
	OPS,
};

struct target {
	struct guest g;
	struct virtio_device *dev;
	unsigned int next_desc;
	bool broken;
};

static void on_notify(void *ctx, unsigned int queue)
{
	CHECK(queue == 0);
}

static void on_broken(void *ctx, unsigned int queue)
{
	((struct target *)ctx)->broken = true;
}

static const struct virtio_transport_ops transport = {on_notify, on_broken};

static int file(uint64_t size)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	return fd;
}

static struct disk *make_disk(bool writable)
{
	if (writable)
		return disk_new((int[]){file(DISK_SIZE)}, 1, true);
	return disk_new((int[]){file(5 * 512), file(512), file(DISK_SIZE / 2 + 100)}, 3, false);
}

static void restart(struct target *t, uint8_t flags)
{
	struct virtq_config cfg = guest_queue(0);

	cfg.next_avail = virtio_device_stop_queue(t->dev, 0);
	t->dev->acked = t->dev->features;
	if (flags & 1)
		t->dev->acked &= ~VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX);
	if (flags & 2)
		t->dev->acked &= ~VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC);
	CHECK(virtio_device_start_queue(t->dev, 0, &t->g.table, &cfg, -1) == 0);
}

/* Header at 0x3000, status at 0x3010, data behind them. */
static void request(struct target *t, struct input *in)
{
	struct virtio_blk_outhdr h = {.type = take8(in)};
	uint16_t len, i = (uint16_t)(t->next_desc % GUEST_QUEUE_SIZE);
	uint8_t flags;

	h.sector = take64(in);
	len = take16(in);
	flags = take8(in);
	t->next_desc += 3;
	guest_write(&t->g, 0x3000, &h, sizeof(h));
	guest_desc(&t->g, 0, i, 0x3000, sizeof(h), VRING_DESC_F_NEXT, (i + 1) % 16);
	guest_desc(&t->g, 0, i + 1u, 0x4000, len,
		   (uint16_t)(VRING_DESC_F_NEXT | (flags & VRING_DESC_F_WRITE)), (i + 2) % 16);
	guest_desc(&t->g, 0, i + 2u, 0x3010, 1, VRING_DESC_F_WRITE, 0);
	guest_offer(&t->g, 0, i);
}

static void step(struct target *t, struct input *in)
{
	unsigned int op = take8(in) % OPS;

	switch (op) {
	case OP_KICK:
		virtio_device_kick(t->dev, 0);
		CHECK(t->broken == virtio_queue(t->dev, 0)->broken);
		break;
	case OP_RESTART:
		t->broken = false;
		restart(t, take8(in));
		break;
	case OP_REQUEST:
		request(t, in);
		break;
	default:
		guest_op(&t->g, in, op);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct input in = {data, n};
	struct target t = {};
	int fd = next_fd();

	guest_init(&t.g);
	t.dev = blk_new(make_disk(take8(&in) & 1), "fuzz");
	CHECK(t.dev);
	t.dev->transport = &transport;
	t.dev->transport_ctx = &t;
	restart(&t, 0);
	while (in.n)
		step(&t, &in);
	virtio_device_stop_queue(t.dev, 0);
	virtio_device_free(t.dev);
	guest_release(&t.g);
	CHECK(next_fd() == fd);
	return 0;
}
