/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session protocol's frames, the same on the sandbox's unix socket and on vsock:
 *
 *      0        4      5       6      8
 *     +--------+------+-------+------+------------------+
 *     | length | type | flags | zero | payload ...      |
 *     +--------+------+-------+------+------------------+
 *
 * length (u32, little endian) counts the payload only and is at most FRAME_PAYLOAD_MAX; the zero
 * field must be zero. docs/protocol.md describes the conversations.
 */
#pragma once

#include "base/buf.h"

#include <sys/types.h>

#define FRAME_HEADER_LEN  8
#define FRAME_PAYLOAD_MAX ((size_t)1 << 20)
/* What senders of bulk data put into one frame: enough to make the header's cost vanish. */
#define FRAME_DATA_CHUNK ((size_t)64 << 10)

enum frame_type {
	FRAME_REQUEST = 1, /* JSON; the first frame of a connection */
	FRAME_RESULT = 2,  /* JSON; the last frame of a connection */
	FRAME_EVENT = 3,   /* JSON; something happened meanwhile */
	FRAME_STDIN = 4,   /* bytes; FRAME_EOF: nothing follows */
	FRAME_STDOUT = 5,  /* bytes; of a terminal session also its error output */
	FRAME_STDERR = 6,  /* bytes */
	FRAME_RESIZE = 7,  /* u16 rows, u16 columns, little endian */
	FRAME_SIGNAL = 8,  /* u32 signal number, little endian */
	FRAME_DATA = 9,    /* bytes of a file or stream; FRAME_EOF: nothing follows */
	FRAME_TYPE_COUNT
};

#define FRAME_EOF 1 /* flag */

struct frame {
	uint8_t type;
	uint8_t flags;
	uint32_t len;
	const uint8_t *payload; /* points into the buffer it was found in */
};

/* Name of a frame type for diagnostics. */
const char *frame_type_name(uint8_t type);

void frame_header_encode(uint8_t out[FRAME_HEADER_LEN], uint8_t type, uint8_t flags, uint32_t len);
/* Fills type, flags and len. 0, or -EBADMSG for a malformed header. */
int frame_header_decode(const uint8_t in[FRAME_HEADER_LEN], struct frame *ret);

/*
 * Looks at the first frame in a buffer. Returns 1 when it is complete (then `ret` points into the
 * buffer until it changes), 0 when more bytes are needed, -EBADMSG when it is malformed.
 */
int frame_peek(const struct buf *b, struct frame *ret);
/* Removes a frame that frame_peek returned. */
void frame_consume(struct buf *b, const struct frame *f);
/* Appends a frame. 0, -EMSGSIZE for too long a payload, or as buf_append. */
int frame_append(struct buf *b, uint8_t type, uint8_t flags, const void *payload, size_t len);

/* Sends a frame on a blocking socket in one system call where possible. 0 or -errno, no signal. */
int frame_write(int fd, uint8_t type, uint8_t flags, const void *payload, size_t len);
/*
 * Receives a frame from a blocking descriptor into `b`, which holds one frame at a time: what it
 * held before is dropped. Returns 1, 0 at end of file between frames, or -errno (-EBADMSG for a
 * malformed frame or end of file inside one).
 */
int frame_read(int fd, struct buf *b, struct frame *ret);
