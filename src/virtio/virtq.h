/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueue, device side. The theory of operation is at the head of virtq.c.
 *
 * A queue is used by one thread at a time. No function here logs, allocates or asserts on what
 * the guest wrote: a driver that breaks the rules gets -EPROTO and a queue that stays broken
 * until it is started again.
 */
#pragma once

#include "virtio/guest_mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define VIRTQ_SIZE_MAX 1024

struct virtq_config {
	uint16_t size;
	uint64_t desc; /* guest-physical addresses of the three parts */
	uint64_t avail;
	uint64_t used;
	uint16_t next_avail; /* index of the first chain to be taken; 0 for a fresh queue */
	bool event_idx;      /* VIRTIO_F_EVENT_IDX was negotiated */
	bool indirect;       /* VIRTIO_F_INDIRECT_DESC was negotiated */
};

struct virtq {
	const struct guest_mem *mem;
	struct virtq_config cfg;
	bool started;
	bool broken;
	/* The parts as mapped here. */
	uint8_t *desc;
	uint8_t *avail;
	uint8_t *used;
	uint16_t next_avail; /* next entry of the available ring to take */
	uint16_t avail_seen; /* the driver's index when it was last read */
	uint16_t next_used;  /* next entry of the used ring to fill */
	uint16_t published;  /* the used index that the driver sees */
	uint16_t notified;   /* the used index when the driver was last asked about */
	bool notified_valid;
};

/* One request: first the buffers that the device reads, then those it writes. */
struct virtq_chain {
	uint16_t head; /* names the chain towards virtq_push */
	unsigned int out_n;
	unsigned int in_n;
	size_t out_len;
	size_t in_len;
	struct iovec *out;
	struct iovec *in; /* directly after out in the caller's array */
};

/*
 * Latches the configuration and maps the rings. 0, or -EINVAL for a size that is no power of two
 * within 1..VIRTQ_SIZE_MAX, wrong alignment, or rings outside of guest memory.
 */
int virtq_start(struct virtq *vq, const struct guest_mem *mem, const struct virtq_config *cfg);
/* Forgets the rings; returns the index of the next chain, from which a restart can continue. */
uint16_t virtq_stop(struct virtq *vq);
/* Finds the rings again after the memory table changed. -EINVAL (and broken) when they are gone. */
int virtq_remap(struct virtq *vq);

/*
 * Takes the next chain. `iov` gives room for `max` buffers; a longer chain is an error of the
 * driver, as is one longer than the queue. 1 with a chain, 0 when there is none, -EPROTO when
 * the driver broke the rules (the queue is then broken and stays so).
 */
int virtq_pop(struct virtq *vq, struct iovec *iov, unsigned int max, struct virtq_chain *chain);
/* Gives back the chains taken last, `n` of them, none of them pushed; they will come again. */
void virtq_unpop(struct virtq *vq, unsigned int n);

/*
 * Returns a chain with `len` bytes written to it. The driver sees it only after virtq_publish, so
 * that many chains cost one index update and one notification.
 */
void virtq_push(struct virtq *vq, uint16_t head, uint32_t len);
/* Shows the pushed chains to the driver; true when it wants to be notified. */
bool virtq_publish(struct virtq *vq);

/* Asks the driver not to kick while the device looks at the queue anyway. */
void virtq_kicks_off(struct virtq *vq);
/*
 * Asks for a kick when something is added. True when something was added meanwhile, for which
 * no kick may come: the caller then looks again.
 */
bool virtq_kicks_on(struct virtq *vq);

/* The driver's available index at this moment: it moves with each buffer that is added. */
uint16_t virtq_driver_index(const struct virtq *vq);
/*
 * Asks for a kick when the driver adds to what was there at its index `seen`, taken or not. True
 * when it did meanwhile.
 */
bool virtq_kick_past(struct virtq *vq, uint16_t seen);
