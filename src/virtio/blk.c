/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests are served one after the other, in the order of the queue, with the transfer going
 * straight between file and guest memory (preadv, pwritev). So a flush covers everything the
 * driver was told to be complete before, without any bookkeeping. The host's page cache makes
 * most requests a copy; a request that has to wait for storage delays those behind it, which is
 * what a single disk does.
 *
 * The guest chooses type, sector, flags and the cut of the buffers. Whatever does not fit the disk
 * gives VIRTIO_BLK_S_IOERR; a chain without room for the status byte breaks the queue, because
 * there is no way to answer it.
 */
#include "virtio/blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_SIZE   256
#define SECTOR_SHIFT 9
/* Header and status take two descriptors of the smallest queue that a transport may choose. */
#define SEG_MAX 126
/* What the driver is told of the size of one segment; together they bound a request. */
#define SIZE_MAX_BYTES ((uint32_t)MIB)
#define REQUEST_MAX    ((size_t)SEG_MAX * SIZE_MAX_BYTES)
/* Data, header, status, and one more for drivers that put each in buffers of their own. */
#define CHAIN_MAX           (SEG_MAX + 4)
#define DISCARD_SEGS_MAX    16
#define DISCARD_SECTORS_MAX (1u << 21)
#define ZEROES_SECTORS_MAX  (1u << 17)
#define DISCARD_ALIGN       8 /* sectors in a page of the host's file */
/* Per turn, so that the transport is not kept waiting: requests, and the bytes they move. */
#define BUDGET       64
#define BUDGET_BYTES (8 * MIB)

struct blk {
	struct virtio_device dev;
	struct disk *disk;
	char serial[BLK_SERIAL_MAX];
	struct stats_disk *counts;   /* never NULL */
	struct stats_disk uncounted; /* what nobody wants to know */
};

struct request {
	struct iov_iter out; /* behind the header */
	struct iov_iter in;  /* before the status byte */
	uint32_t type;
	uint64_t sector;
};

static int offset_of(uint64_t sector, uint64_t *ret)
{
	if (sector > (UINT64_MAX >> SECTOR_SHIFT))
		return -EINVAL;
	*ret = sector << SECTOR_SHIFT;
	return 0;
}

static int do_read(struct blk *b, struct request *rq)
{
	uint64_t offset, len = rq->in.left;
	int r;

	if (rq->in.left % (1u << SECTOR_SHIFT) || rq->in.left > REQUEST_MAX ||
	    offset_of(rq->sector, &offset) < 0)
		return -EINVAL;
	r = disk_read(b->disk, offset, &rq->in, rq->in.left);
	if (r == 0) {
		stats_add(&b->counts->reads, 1);
		stats_add(&b->counts->read_bytes, len);
	}
	return r;
}

static int do_write(struct blk *b, struct request *rq)
{
	uint64_t offset, len = rq->out.left;
	int r;

	if (rq->out.left % (1u << SECTOR_SHIFT) || rq->out.left > REQUEST_MAX ||
	    offset_of(rq->sector, &offset) < 0)
		return -EINVAL;
	r = disk_write(b->disk, offset, &rq->out, rq->out.left);
	if (r == 0) {
		stats_add(&b->counts->writes, 1);
		stats_add(&b->counts->written_bytes, len);
	}
	return r;
}

static int do_discard(struct blk *b, struct request *rq, bool zeroes)
{
	struct virtio_blk_discard_write_zeroes seg;
	uint32_t max = zeroes ? ZEROES_SECTORS_MAX : DISCARD_SECTORS_MAX;
	size_t n = rq->out.left / sizeof(seg);

	if (rq->out.left % sizeof(seg) || n == 0 || n > DISCARD_SEGS_MAX)
		return -EINVAL;
	while (iov_iter_read(&rq->out, &seg, sizeof(seg)) == sizeof(seg)) {
		uint64_t len = (uint64_t)seg.num_sectors << SECTOR_SHIFT, offset;
		bool unmap = seg.flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
		int r;

		if (offset_of(seg.sector, &offset) < 0 || seg.num_sectors > max)
			return -EINVAL;
		/* 5.2.6.2: no flag but unmap is known, and that only for write zeroes. */
		if (seg.flags & ~(zeroes ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0u))
			return -EOPNOTSUPP;
		if (zeroes)
			r = disk_zero(b->disk, offset, len, unmap);
		else
			r = disk_discard(b->disk, offset, len);
		/* A discard is advice: where the host's file system has no holes it is ignored. */
		if (r < 0 && (zeroes || r != -EOPNOTSUPP))
			return r;
	}
	return 0;
}

static int do_get_id(struct blk *b, struct request *rq)
{
	iov_iter_write(&rq->in, b->serial, sizeof(b->serial));
	return 0;
}

static int handle(struct blk *b, struct request *rq)
{
	switch (rq->type) {
	case VIRTIO_BLK_T_IN:
		return do_read(b, rq);
	case VIRTIO_BLK_T_OUT:
		return do_write(b, rq);
	case VIRTIO_BLK_T_FLUSH:
		return disk_flush(b->disk);
	case VIRTIO_BLK_T_GET_ID:
		return do_get_id(b, rq);
	case VIRTIO_BLK_T_DISCARD:
		return do_discard(b, rq, false);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return do_discard(b, rq, true);
	default:
		return -ENOTSUP;
	}
}

/* How much of a turn it takes. What waits for storage, or works on it by itself, takes all. */
static size_t cost(uint32_t type, const struct virtq_chain *c)
{
	switch (type) {
	case VIRTIO_BLK_T_FLUSH:
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return BUDGET_BYTES;
	default:
		return c->out_len + c->in_len;
	}
}

/*
 * Serves one chain; *ret_written is the length for the used ring, *ret_cost what it costs. -EPROTO:
 * no room to answer.
 */
static int serve(struct blk *b, const struct virtq_chain *c, uint32_t *ret_written,
		 size_t *ret_cost)
{
	struct virtio_blk_outhdr hdr;
	struct iov_iter status_it;
	struct request rq = {};
	uint8_t status = VIRTIO_BLK_S_OK;
	size_t in_data;
	int r = -EINVAL;

	if (c->in_len == 0)
		return -EPROTO;
	in_data = c->in_len - 1;
	iov_iter_init(&status_it, c->in, c->in_n, c->in_len);
	iov_iter_skip(&status_it, in_data);
	iov_iter_init(&rq.out, c->out, c->out_n, c->out_len);
	iov_iter_init(&rq.in, c->in, c->in_n, in_data);
	if (iov_iter_read(&rq.out, &hdr, sizeof(hdr)) == sizeof(hdr)) {
		rq.type = hdr.type;
		rq.sector = hdr.sector;
		r = handle(b, &rq);
	}
	*ret_cost = cost(rq.type, c);
	if (r == -ENOTSUP)
		status = VIRTIO_BLK_S_UNSUPP;
	else if (r < 0)
		status = VIRTIO_BLK_S_IOERR;
	iov_iter_write(&status_it, &status, 1);
	/* Only what lies before a gap may be counted as written (2.7.8.2). */
	*ret_written = rq.in.left == 0 ? (uint32_t)c->in_len : (uint32_t)(in_data - rq.in.left);
	return 0;
}

static void blk_kick(struct virtio_device *dev, unsigned int queue)
{
	struct blk *b = container_of(dev, struct blk, dev);
	struct virtq *vq = virtio_queue(dev, queue);
	struct iovec iov[CHAIN_MAX];
	struct virtq_chain c;
	uint32_t written;
	size_t taken = 0, more = 0;
	int r = 0;

	virtq_kicks_off(vq);
	for (int n = 0; n < BUDGET && taken < BUDGET_BYTES; n++) {
		r = virtq_pop(vq, iov, ARRAY_SIZE(iov), &c);
		if (r == 0) {
			/* Answer before looking again: the driver may be waiting for this. */
			virtio_device_publish(dev, queue);
			if (virtq_kicks_on(vq))
				continue;
			return;
		}
		if (r > 0)
			r = serve(b, &c, &written, &more);
		if (r < 0)
			break;
		virtq_push(vq, c.head, written);
		taken += more;
	}
	virtio_device_publish(dev, queue);
	if (r < 0)
		virtio_device_queue_broken(dev, queue);
	else
		virtio_device_rekick(dev, queue);
}

static void blk_free(struct virtio_device *dev)
{
	struct blk *b = container_of(dev, struct blk, dev);

	virtio_device_release(dev);
	disk_free(b->disk);
	free(b);
}

static const struct virtio_device_ops blk_ops = {
	.kick = blk_kick,
	.free = blk_free,
};

static void describe(struct blk *b)
{
	struct virtio_blk_config config = {
		.capacity = disk_size(b->disk) >> SECTOR_SHIFT,
		.size_max = SIZE_MAX_BYTES,
		.seg_max = SEG_MAX,
		.blk_size = 1u << SECTOR_SHIFT,
		.num_queues = 1,
	};

	b->dev.features |= VIRTIO_BIT(VIRTIO_BLK_F_SIZE_MAX) | VIRTIO_BIT(VIRTIO_BLK_F_SEG_MAX) |
			   VIRTIO_BIT(VIRTIO_BLK_F_BLK_SIZE) | VIRTIO_BIT(VIRTIO_BLK_F_FLUSH);
	if (disk_writable(b->disk)) {
		b->dev.features |=
			VIRTIO_BIT(VIRTIO_BLK_F_DISCARD) | VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES);
		config.max_discard_sectors = DISCARD_SECTORS_MAX;
		config.max_discard_seg = DISCARD_SEGS_MAX;
		config.discard_sector_alignment = DISCARD_ALIGN;
		config.max_write_zeroes_sectors = ZEROES_SECTORS_MAX;
		config.max_write_zeroes_seg = DISCARD_SEGS_MAX;
		config.write_zeroes_may_unmap = 1;
	} else {
		b->dev.features |= VIRTIO_BIT(VIRTIO_BLK_F_RO);
	}
	memcpy(b->dev.config, &config, sizeof(config));
	b->dev.config_size = sizeof(config);
}

struct virtio_device *blk_new(struct disk *disk, const char *serial)
{
	struct blk *b = calloc(1, sizeof(*b));
	int r;

	if (!b) {
		disk_free(disk);
		errno = ENOMEM;
		return NULL;
	}
	b->disk = disk;
	b->counts = &b->uncounted;
	memcpy(b->serial, serial, strnlen(serial, sizeof(b->serial)));
	r = virtio_device_init(&b->dev, &blk_ops, VIRTIO_ID_BLOCK, "blk", 1, QUEUE_SIZE);
	if (r < 0) {
		virtio_device_free(&b->dev);
		errno = -r;
		return NULL;
	}
	describe(b);
	return &b->dev;
}

void blk_count(struct virtio_device *dev, struct stats_disk *counts)
{
	container_of(dev, struct blk, dev)->counts = counts;
}
