/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/reply.h"

#include <string.h>

static void put(struct reply *r, const char *s, size_t n)
{
	if (r->error == 0)
		r->error = buf_append(r->out, s, n);
}

static void put_name(struct reply *r, const char *name)
{
	put(r, r->inner ? ",\"" : "\"", r->inner ? 2 : 1);
	put(r, name, strlen(name));
	put(r, "\":", 2);
	r->inner = true;
}

void reply_begin(struct reply *r, struct buf *out, uint8_t type)
{
	uint8_t header[FRAME_HEADER_LEN];

	*r = (struct reply){.out = out, .start = buf_len(out)};
	frame_header_encode(header, type, 0, 0);
	put(r, (const char *)header, sizeof(header));
	put(r, "{", 1);
}

void reply_string(struct reply *r, const char *name, const char *value)
{
	put_name(r, name);
	put(r, "\"", 1);
	put(r, value, strlen(value));
	put(r, "\"", 1);
}

void reply_number(struct reply *r, const char *name, uint64_t value)
{
	char digits[20];
	size_t i = sizeof(digits);

	do
		digits[--i] = (char)('0' + value % 10);
	while (value /= 10);
	put_name(r, name);
	put(r, digits + i, sizeof(digits) - i);
}

void reply_true(struct reply *r, const char *name)
{
	put_name(r, name);
	put(r, "true", 4);
}

void reply_open(struct reply *r, const char *name)
{
	put_name(r, name);
	put(r, "{", 1);
	r->inner = false;
}

void reply_close(struct reply *r)
{
	put(r, "}", 1);
	r->inner = true;
}

int reply_end(struct reply *r)
{
	uint8_t *frame;

	put(r, "}", 1);
	if (r->error) {
		/* What got in leaves again; it is at the end, where nobody has looked yet. */
		r->out->end = r->out->start + r->start;
		return r->error;
	}
	frame = r->out->mem + r->out->start + r->start;
	frame_header_encode(frame, frame[4], 0,
			    (uint32_t)(buf_len(r->out) - r->start - FRAME_HEADER_LEN));
	return 0;
}
