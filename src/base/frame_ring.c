/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The file is a page with two control blocks and then the data of both directions:
 *
 *	     0  control of the frames from msb-vmm to msb-net
 *	   256  control of those from msb-net to msb-vmm
 *	  4096  data, DATA_SIZE bytes, of the first
 *	  ....  data, DATA_SIZE bytes, of the second
 *
 * Positions count bytes since the beginning, run freely over 32 bits and are multiples of 8; the
 * offset into the data is a position modulo DATA_SIZE. What lies between tail and head is full. A
 * record is a word with the frame's length, the frame, and padding to a multiple of 8. It never
 * goes around the end of the data: where the rest up to there is too short for the next record,
 * the word is WRAP and the record begins at offset 0.
 *
 * Each control block has a cache line per writer:
 *
 *	producer: head, room_event	consumer: tail, frame_event
 *
 * A side keeps its position to itself (mine) and shows it now and then (published): many frames
 * cost one visible change and at most one wake-up.
 *
 * Wake-ups. An event word holds the position beyond which its writer wants to be woken: a side
 * that moves its position from `old` to `new` wakes the other exactly if old <= event < new,
 * modulo 2^32. So an event that was passed is off by itself, and a stale one costs at worst a
 * wake-up in vain after 4 GiB. None is lost:
 *
 *	sleeper						waker
 *	event = e					position = new	(release)
 *	full fence					full fence
 *	read position: beyond e? do not sleep		read event: within [old, new)? wake
 *
 * Of the two fences one comes first. If the sleeper's does, the waker reads the event; otherwise
 * the sleeper reads the position. The consumer's event is its own position, all that it has
 * taken, and what it asks about is the next frame: the head was at e when it last looked, so the
 * publish that moves it starts at e. The producer's event is the last position of the tail that
 * leaves too little room; the release that moves the tail past it starts at or before it. The
 * event that a fresh file begins with, 0, asks for the first frame.
 *
 * Room. A record and the rest that it leaves unused before it are at most two records of
 * FRAME_MAX. The producer sleeps until half of the data is free, which is more, so that a waker
 * finds work for more than one frame and a producer that was woken always gets its frame in.
 *
 * Trust. The other process may write anything, anywhere, any time. Each word is read once, into a
 * local variable. A position of the other side must be a multiple of 8, must not go back, and
 * must not pass what it can know of; a length must fit into what is full and before the end of
 * the data. A violation breaks the ring for good: nothing more is read from it or written to it.
 * A lie about an event costs only whoever told it a wake-up, or us one more. The file cannot
 * shrink, so an access to the mapping does not fail.
 */
#include "base/frame_ring.h"

#include "base/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define DATA_SIZE    ((uint32_t)(512 * KIB))
#define DATA_OFFSET  ((size_t)4096)
#define FILE_SIZE    (DATA_OFFSET + 2 * (size_t)DATA_SIZE)
#define HEADER_SIZE  ((uint32_t)sizeof(uint32_t))
#define RECORD_ALIGN 8u
#define WRAP         UINT32_MAX
#define ROOM_WANTED  (DATA_SIZE / 2)

struct frame_ring_shared {
	uint32_t head;       /* producer's position */
	uint32_t room_event; /* it waits for the tail to pass this */
	uint8_t gap0[120];
	uint32_t tail;        /* consumer's position */
	uint32_t frame_event; /* it waits for the head to pass this */
	uint8_t gap1[120];
};

#define RECORD_MAX ALIGN_UP(HEADER_SIZE + FRAME_MAX, RECORD_ALIGN)
static_assert(sizeof(struct frame_ring_shared) == 256, "the layout is as drawn");
static_assert((DATA_SIZE & (DATA_SIZE - 1)) == 0, "a position is cut by a mask");
static_assert(ROOM_WANTED >= 2 * RECORD_MAX, "whoever was woken gets a frame in");

static uint32_t load(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static uint32_t load_acquire(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
}

static void store_release(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static void full_fence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static uint32_t *word_at(const struct frame_ring *r, uint32_t offset)
{
	return (uint32_t *)(void *)(r->data + offset);
}

static uint32_t record_size(size_t len)
{
	return ALIGN_UP(HEADER_SIZE + (uint32_t)len, RECORD_ALIGN);
}

static uint32_t offset_of(uint32_t position)
{
	return position & (DATA_SIZE - 1);
}

/* Shows our position; true when that passes what the other side waits for. */
static bool show(struct frame_ring *r, uint32_t *position, const uint32_t *event)
{
	uint32_t old = r->published;

	if (r->broken || r->mine == old)
		return false;
	store_release(position, r->mine);
	r->published = r->mine;
	full_fence();
	return r->mine - load(event) - 1 < r->mine - old;
}

/* --- The file. */

int frame_rings_create(void)
{
	_cleanup_close_ int fd = memfd_create("frames", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, FILE_SIZE) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return steal_fd(&fd);
}

int frame_rings_map(struct frame_rings *r, int fd, enum frame_side side)
{
	struct frame_ring_shared *shared;
	struct frame_ring *first = side == FRAME_SIDE_VMM ? &r->out : &r->in;
	struct frame_ring *second = side == FRAME_SIDE_VMM ? &r->in : &r->out;
	struct stat st;
	int seals;

	*r = (struct frame_rings){};
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0)
		return -errno;
	if (!(seals & F_SEAL_SHRINK))
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size != (off_t)FILE_SIZE)
		return -EINVAL;
	r->map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (r->map == MAP_FAILED) {
		r->map = NULL;
		return -errno;
	}
	shared = r->map;
	first->shared = &shared[0];
	first->data = (uint8_t *)r->map + DATA_OFFSET;
	second->shared = &shared[1];
	second->data = first->data + DATA_SIZE;
	return 0;
}

void frame_rings_unmap(struct frame_rings *r)
{
	if (r->map)
		munmap(r->map, FILE_SIZE);
	*r = (struct frame_rings){};
}

/* --- Producer. */

static uint32_t room(const struct frame_ring *r)
{
	return DATA_SIZE - (r->mine - r->theirs);
}

/* Reads how far the consumer is, which is between where it was and what it was shown. */
static void read_tail(struct frame_ring *r)
{
	uint32_t tail = load_acquire(&r->shared->tail);

	if (tail % RECORD_ALIGN || r->published - tail > r->published - r->theirs)
		r->broken = true;
	else
		r->theirs = tail;
}

uint8_t *frame_ring_reserve(struct frame_ring *r, size_t len)
{
	uint32_t size, rest, need;

	if (r->broken || len > FRAME_MAX)
		return NULL;
	size = record_size(len);
	rest = DATA_SIZE - offset_of(r->mine);
	need = rest < size ? rest + size : size;
	if (room(r) < need) {
		read_tail(r);
		if (r->broken || room(r) < need)
			return NULL;
	}
	if (rest < size) {
		store(word_at(r, offset_of(r->mine)), WRAP);
		r->mine += rest;
	}
	return r->data + offset_of(r->mine) + HEADER_SIZE;
}

void frame_ring_commit(struct frame_ring *r, size_t len)
{
	store(word_at(r, offset_of(r->mine)), (uint32_t)len);
	r->mine += record_size(len);
}

bool frame_ring_publish(struct frame_ring *r)
{
	return show(r, &r->shared->head, &r->shared->frame_event);
}

bool frame_ring_await_room(struct frame_ring *r)
{
	if (r->broken)
		return false;
	/* The tail at which there is too little by the smallest step. */
	store(&r->shared->room_event, r->mine + ROOM_WANTED - DATA_SIZE - RECORD_ALIGN);
	full_fence();
	read_tail(r);
	return !r->broken && room(r) >= ROOM_WANTED;
}

bool frame_ring_drained(const struct frame_ring *r)
{
	return r->broken || load(&r->shared->tail) == r->mine;
}

/* --- Consumer. */

/* Reads how far the producer is: not back, and not over what we have not given back yet. */
static void read_head(struct frame_ring *r)
{
	uint32_t head = load_acquire(&r->shared->head);

	if (head % RECORD_ALIGN || head - r->published > DATA_SIZE ||
	    head - r->published < r->theirs - r->published)
		r->broken = true;
	else
		r->theirs = head;
}

static int break_ring(struct frame_ring *r)
{
	r->broken = true;
	return -EPROTO;
}

/* Reads the word of a record and gets over the unused rest of the data. */
static int read_length(struct frame_ring *r, uint32_t *ret)
{
	uint32_t offset = offset_of(r->mine), len = load(word_at(r, offset));

	if (len == WRAP && offset) {
		uint32_t rest = DATA_SIZE - offset;

		if (rest > r->theirs - r->mine)
			return break_ring(r);
		r->mine += rest;
		if (r->mine == r->theirs)
			return 0;
		len = load(word_at(r, 0));
	}
	*ret = len;
	return 1;
}

int frame_ring_next(struct frame_ring *r, const uint8_t **ret)
{
	uint32_t len, size;
	int n;

	if (r->mine == r->theirs && !r->broken)
		read_head(r);
	if (r->broken)
		return -EPROTO;
	if (r->mine == r->theirs)
		return 0;
	n = read_length(r, &len);
	if (n <= 0)
		return n;
	if (len == 0 || len > FRAME_MAX)
		return break_ring(r);
	size = record_size(len);
	if (size > r->theirs - r->mine || size > DATA_SIZE - offset_of(r->mine))
		return break_ring(r);
	r->entry = size;
	*ret = r->data + offset_of(r->mine) + HEADER_SIZE;
	return (int)len;
}

void frame_ring_done(struct frame_ring *r)
{
	r->mine += r->entry;
	r->entry = 0;
}

bool frame_ring_release(struct frame_ring *r)
{
	return show(r, &r->shared->tail, &r->shared->room_event);
}

bool frame_ring_await_frame(struct frame_ring *r)
{
	if (r->broken)
		return false;
	store(&r->shared->frame_event, r->mine);
	full_fence();
	read_head(r);
	return !r->broken && r->mine != r->theirs;
}
