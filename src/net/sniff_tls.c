/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server name of a ClientHello (RFC 8446 4.1.2, RFC 6066 3), read byte by byte across the
 * records that it may be cut into. With encrypted client hello the name outside counts: that is the
 * one a server in between goes by, and a client that only pretends looks the same.
 */
#include "net/sniff_internal.h"

#include "base/util.h"

#include <string.h>

#define HANDSHAKE     22
#define CLIENT_HELLO  1
#define EXT_NAME      0
#define NAME_HOST     0
#define RECORD_HEADER 5
#define RECORD_MAX    (16384 + 256)
#define RANDOM_LEN    32

struct reader {
	const uint8_t *p, *end;
	size_t record; /* bytes left of the present record */
	size_t left;   /* of what is read: first the message, then an enclosed part */
	bool more;     /* it goes on where the data end */
	bool bad;
};

static bool next_record(struct reader *r)
{
	size_t n;

	while (r->record == 0) {
		if (r->end - r->p < RECORD_HEADER) {
			/* What is there already has to be right. */
			r->bad = r->p < r->end && r->p[0] != HANDSHAKE;
			r->more = !r->bad;
			return false;
		}
		n = (size_t)(r->p[3] << 8 | r->p[4]);
		/* An empty one could be repeated for ever. */
		if (r->p[0] != HANDSHAKE || r->p[1] != 3 || n == 0 || n > RECORD_MAX) {
			r->bad = true;
			return false;
		}
		r->p += RECORD_HEADER;
		r->record = n;
	}
	return true;
}

/* Takes `n` bytes, into `out` unless it is NULL. False when they are not there, or there are none.
 */
static bool take(struct reader *r, uint8_t *out, size_t n)
{
	if (r->bad || r->more)
		return false;
	if (n > r->left) {
		r->bad = true;
		return false;
	}
	r->left -= n;
	while (n) {
		size_t part;

		if (!next_record(r))
			return false;
		part = MIN(MIN(n, r->record), (size_t)(r->end - r->p));
		if (part == 0) {
			r->more = true;
			return false;
		}
		if (out) {
			memcpy(out, r->p, part);
			out += part;
		}
		r->p += part;
		r->record -= part;
		n -= part;
	}
	return true;
}

static size_t take_number(struct reader *r, unsigned int bytes)
{
	uint8_t b[3] = {0};
	size_t n = 0;

	if (!take(r, b, bytes))
		return 0;
	for (unsigned int i = 0; i < bytes; i++)
		n = n << 8 | b[i];
	return n;
}

static void skip_vector(struct reader *r, unsigned int bytes)
{
	take(r, NULL, take_number(r, bytes));
}

/* The extension's content: exactly one name, and that of a host. False when it is something else.
 */
static bool read_name(struct reader *r, size_t len, char out[DOMAIN_LEN])
{
	size_t list = take_number(r, 2), kind, n;
	uint8_t name[DOMAIN_LEN];

	if (r->bad || r->more)
		return true; /* not decided here */
	kind = take_number(r, 1);
	n = take_number(r, 2);
	if (r->bad || r->more)
		return true;
	if (len != list + 2 || list != n + 3 || kind != NAME_HOST || n == 0 || n > DOMAIN_MAX)
		return false;
	return !take(r, name, n) || domain_normalize((char *)name, n, out) == 0;
}

static void read_extensions(struct reader *r, struct sniff *ret)
{
	unsigned int names = 0;
	bool ok = true;

	while (ok && r->left && !r->bad && !r->more) {
		size_t kind = take_number(r, 2), len = take_number(r, 2);

		if (r->bad || r->more)
			break;
		if (kind != EXT_NAME) {
			take(r, NULL, len);
			continue;
		}
		ok = ++names == 1 && read_name(r, len, ret->name);
	}
	if (r->more && ok)
		return; /* SNIFF_MORE */
	ret->result = ok && names == 1 && !r->bad ? SNIFF_NAME : SNIFF_HIDDEN;
}

void sniff_tls(const uint8_t *data, size_t len, struct sniff *ret)
{
	struct reader r = {.p = data, .end = data + len, .left = 4};
	size_t kind = take_number(&r, 1), size = take_number(&r, 3);

	r.left = size;
	if (!r.bad && !r.more && kind != CLIENT_HELLO)
		r.bad = true;
	take(&r, NULL, 2 + RANDOM_LEN);
	skip_vector(&r, 1); /* session */
	skip_vector(&r, 2); /* ciphers */
	skip_vector(&r, 1); /* compression */
	size = r.left ? take_number(&r, 2) : 0;
	if (r.bad || (!r.more && size != r.left))
		ret->result = SNIFF_HIDDEN;
	else if (!r.more)
		read_extensions(&r, ret);
}
