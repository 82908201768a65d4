/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames between two processes that do not trust each other: two rings in one shared memory file,
 * one per direction, each with a single producer and a single consumer. Theory of operation at the
 * head of frame_ring.c.
 *
 * A side keeps its own position to itself and reads the other's from shared memory, checked each
 * time. What a frame says may change while it is looked at: copy, check, use.
 *
 * Who sleeps says so in the ring beforehand, and the other side signals an eventfd (the caller's
 * business) only then: publish and release return whether to.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The largest frame: a virtio_net_hdr, an Ethernet header and 64 KiB. */
#define FRAME_MAX ((size_t)65536 + 64)

enum frame_side { FRAME_SIDE_VMM, FRAME_SIDE_NET };

struct frame_ring_shared; /* see frame_ring.c */

/* One direction as one side sees it. */
struct frame_ring {
	struct frame_ring_shared *shared;
	uint8_t *data;
	uint32_t mine;      /* own position: of the producer the head, of the consumer the tail */
	uint32_t published; /* what the other side knows of it */
	uint32_t theirs;    /* the other's, when last read */
	uint32_t entry;     /* bytes of the record that frame_ring_next gave */
	bool broken;        /* the other side broke the rules */
};

struct frame_rings {
	void *map;
	struct frame_ring out; /* we produce */
	struct frame_ring in;  /* we consume */
};

/* A new memory file of the right size, sealed against changes of it. A descriptor or -errno. */
int frame_rings_create(void);
/* Maps it. 0, -EINVAL for a file of another size or that could be truncated, or -errno. */
int frame_rings_map(struct frame_rings *r, int fd, enum frame_side side);
void frame_rings_unmap(struct frame_rings *r);

/* --- Producer. */

/*
 * Room for a frame of up to `len` (at most FRAME_MAX) bytes in one piece; NULL when there is none
 * now. Nothing is given away before frame_ring_commit, which is told the real length.
 */
uint8_t *frame_ring_reserve(struct frame_ring *r, size_t len);
void frame_ring_commit(struct frame_ring *r, size_t len);
/* Shows what was committed to the consumer; true when it wants to be woken. */
bool frame_ring_publish(struct frame_ring *r);
/*
 * Asks to be woken when there is room for several frames of FRAME_MAX again; true when there is by
 * now.
 */
bool frame_ring_await_room(struct frame_ring *r);
/* Whether the consumer has given back all that was committed. */
bool frame_ring_drained(const struct frame_ring *r);

/* --- Consumer. */

/*
 * The oldest frame, which stays where it is until frame_ring_done. Its length, 0 when there is
 * none, or -EPROTO when the producer broke the rules, for good.
 */
int frame_ring_next(struct frame_ring *r, const uint8_t **ret);
void frame_ring_done(struct frame_ring *r);
/* Gives the room of what is done back; true when the producer wants to be woken. */
bool frame_ring_release(struct frame_ring *r);
/* Asks to be woken at the next frame; true when there is one by now. */
bool frame_ring_await_frame(struct frame_ring *r);
