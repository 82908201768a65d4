/* SPDX-License-Identifier: Apache-2.0 */
/* Frame rings whose other side writes whatever it likes, wherever it likes. */
#include "fuzz.h"

#include "base/frame_ring.h"

#include <sys/stat.h>

enum {
	OP_BYTES,   /* u32 offset, u8 n, bytes: to the shared file */
	OP_SEND,    /* u16 length */
	OP_RECEIVE, /* as many as there are */
	OP_PEER,    /* u16 length: the other side sends a frame as it should */
	OP_AWAIT,
	OPS,
};

static void step(struct frame_rings *ours, struct frame_rings *theirs, size_t size,
		 struct input *in)
{
	uint8_t bytes[255], n;
	const uint8_t *frame;
	uint32_t at;
	uint8_t *p;
	int len;

	switch (take8(in) % OPS) {
	case OP_BYTES:
		at = take32(in);
		n = take8(in);
		take(in, bytes, n);
		at %= (uint32_t)size;
		memcpy((uint8_t *)ours->map + at, bytes, MIN((size_t)n, size - at));
		break;
	case OP_SEND:
		at = take16(in);
		p = frame_ring_reserve(&ours->out, at);
		if (p) {
			memset(p, 0x55, at);
			frame_ring_commit(&ours->out, at);
		}
		frame_ring_publish(&ours->out);
		break;
	case OP_RECEIVE:
		for (int i = 0; i < 1000 && (len = frame_ring_next(&ours->in, &frame)) > 0; i++) {
			uint8_t sum = 0;

			CHECK((size_t)len <= FRAME_MAX);
			for (int k = 0; k < len; k++)
				sum ^= frame[k];
			bytes[0] = sum;
			frame_ring_done(&ours->in);
		}
		frame_ring_release(&ours->in);
		break;
	case OP_PEER:
		at = take16(in);
		p = frame_ring_reserve(&theirs->out, at);
		if (p)
			frame_ring_commit(&theirs->out, at);
		frame_ring_publish(&theirs->out);
		break;
	case OP_AWAIT:
		frame_ring_await_frame(&ours->in);
		frame_ring_await_room(&ours->out);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct frame_rings ours, theirs;
	struct input in = {data, n};
	int fd = frame_rings_create();
	struct stat st;

	CHECK(fd >= 0 && fstat(fd, &st) == 0);
	CHECK(frame_rings_map(&ours, fd, FRAME_SIDE_NET) == 0);
	CHECK(frame_rings_map(&theirs, fd, FRAME_SIDE_VMM) == 0);
	while (in.n)
		step(&ours, &theirs, (size_t)st.st_size, &in);
	frame_rings_unmap(&ours);
	frame_rings_unmap(&theirs);
	close(fd);
	return 0;
}
