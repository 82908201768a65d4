/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/frame.h"

#include "base/io.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static const char *const type_names[] = {
	"?", "request", "result", "event", "stdin", "stdout", "stderr", "resize", "signal", "data",
};
static_assert(ARRAY_SIZE(type_names) == FRAME_TYPE_COUNT, "every type has a name");

const char *frame_type_name(uint8_t type)
{
	return type_names[type < FRAME_TYPE_COUNT ? type : 0];
}

void frame_header_encode(uint8_t out[FRAME_HEADER_LEN], uint8_t type, uint8_t flags, uint32_t len)
{
	uint32_t le = htole32(len);

	memcpy(out, &le, 4);
	out[4] = type;
	out[5] = flags;
	out[6] = out[7] = 0;
}

int frame_header_decode(const uint8_t in[FRAME_HEADER_LEN], struct frame *ret)
{
	uint32_t le;

	memcpy(&le, in, 4);
	*ret = (struct frame){.type = in[4], .flags = in[5], .len = le32toh(le)};
	if (ret->len > FRAME_PAYLOAD_MAX || ret->type == 0 || ret->type >= FRAME_TYPE_COUNT ||
	    (ret->flags & ~FRAME_EOF) || in[6] || in[7])
		return -EBADMSG;
	return 0;
}

int frame_peek(const struct buf *b, struct frame *ret)
{
	int r;

	if (buf_len(b) < FRAME_HEADER_LEN)
		return 0;
	r = frame_header_decode(buf_data(b), ret);
	if (r < 0)
		return r;
	ret->payload = buf_data(b) + FRAME_HEADER_LEN;
	return buf_len(b) - FRAME_HEADER_LEN >= ret->len;
}

void frame_consume(struct buf *b, const struct frame *f)
{
	buf_consume(b, FRAME_HEADER_LEN + f->len);
}

int frame_append(struct buf *b, uint8_t type, uint8_t flags, const void *payload, size_t len)
{
	uint8_t *p;

	if (len > FRAME_PAYLOAD_MAX)
		return -EMSGSIZE;
	p = buf_reserve(b, FRAME_HEADER_LEN + len);
	if (!p)
		return FRAME_HEADER_LEN + len > buf_room(b) ? -ENOBUFS : -ENOMEM;
	frame_header_encode(p, type, flags, (uint32_t)len);
	if (len)
		memcpy(p + FRAME_HEADER_LEN, payload, len);
	buf_commit(b, FRAME_HEADER_LEN + len);
	return 0;
}

int frame_write(int fd, uint8_t type, uint8_t flags, const void *payload, size_t len)
{
	uint8_t header[FRAME_HEADER_LEN];
	struct iovec iov[2] = {
		{.iov_base = header, .iov_len = sizeof(header)},
		{.iov_base = (void *)(uintptr_t)payload, .iov_len = len},
	};
	struct msghdr msg = {.msg_iov = iov};
	int first = 0;

	if (len > FRAME_PAYLOAD_MAX)
		return -EMSGSIZE;
	frame_header_encode(header, type, flags, (uint32_t)len);
	while (first < 2) {
		ssize_t n;

		msg.msg_iov = iov + first;
		msg.msg_iovlen = (size_t)(2 - first);
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		while (first < 2 && (size_t)n >= iov[first].iov_len)
			n -= (ssize_t)iov[first++].iov_len;
		if (first < 2) {
			iov[first].iov_base = (char *)iov[first].iov_base + n;
			iov[first].iov_len -= (size_t)n;
		}
	}
	return 0;
}

int frame_read(int fd, struct buf *b, struct frame *ret)
{
	uint8_t *p;
	ssize_t n;
	int r;

	buf_consume(b, buf_len(b));
	p = buf_reserve(b, FRAME_HEADER_LEN);
	if (!p)
		return -ENOMEM;
	n = read_full(fd, p, FRAME_HEADER_LEN);
	if (n <= 0)
		return (int)n;
	if (n < FRAME_HEADER_LEN)
		return -EBADMSG;
	r = frame_header_decode(p, ret);
	if (r < 0)
		return r;
	buf_commit(b, FRAME_HEADER_LEN);
	p = buf_reserve(b, ret->len);
	if (!p)
		return ret->len > buf_room(b) ? -EMSGSIZE : -ENOMEM;
	n = read_full(fd, p, ret->len);
	if (n < 0)
		return (int)n;
	if ((size_t)n < ret->len)
		return -EBADMSG;
	buf_commit(b, ret->len);
	ret->payload = buf_data(b) + FRAME_HEADER_LEN;
	return 1;
}
