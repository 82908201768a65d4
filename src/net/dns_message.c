/* SPDX-License-Identifier: Apache-2.0 */
/* Reading DNS messages. Every length is checked against the message before it is used. */
#include "net/dns_message.h"

#include "net/dns_wire.h"

#include "base/util.h"

#include <errno.h>
#include <string.h>

#define POINTER_BITS 0xc0
#define POINTERS_MAX 32
#define NEGATIVE_TTL 30
#define NEGATIVE_MAX 300

/* --- names --------------------------------------------------------------------------------- */

/*
 * Reads the name at `at`, following pointers backwards only, so that it ends. Its labels go to
 * `wire` without compression. Returns the offset behind it, 0 when it is malformed.
 */
size_t dns_name_expand(const uint8_t *msg, size_t len, size_t at, uint8_t wire[DNS_NAME_MAX],
		       size_t *ret_len)
{
	size_t n = 0, end = 0, limit = at;

	for (unsigned int pointers = 0; at < len;) {
		uint8_t label = msg[at];

		if ((label & POINTER_BITS) == POINTER_BITS) {
			size_t target;

			if (at + 1 >= len || ++pointers > POINTERS_MAX)
				return 0;
			target = (size_t)(label & ~POINTER_BITS) << 8 | msg[at + 1];
			if (!end)
				end = at + 2;
			if (target >= limit)
				return 0;
			at = limit = target;
			continue;
		}
		if (label & POINTER_BITS || at + 1 + label > len || n + 1 + label > DNS_NAME_MAX)
			return 0;
		memcpy(wire + n, msg + at, 1 + (size_t)label);
		n += 1 + (size_t)label;
		at += 1 + (size_t)label;
		if (label == 0) {
			*ret_len = n;
			return end ? end : at;
		}
	}
	return 0;
}

int dns_name_text(const uint8_t *wire, size_t len, char out[DOMAIN_LEN])
{
	char text[DNS_NAME_MAX];
	size_t n = 0;

	if (len <= 1) {
		out[0] = '\0';
		return 0;
	}
	for (size_t i = 0; wire[i]; i += 1 + (size_t)wire[i]) {
		/* A dot inside a label would look like the end of it. */
		if (memchr(wire + i + 1, '.', wire[i]))
			return -EINVAL;
		memcpy(text + n, wire + i + 1, wire[i]);
		n += wire[i];
		text[n++] = '.';
	}
	return domain_normalize(text, n - 1, out);
}

/* The name at `at` in its normal form. Returns the offset behind it, 0 when there is none. */
static size_t read_name(const uint8_t *msg, size_t len, size_t at, char out[DOMAIN_LEN])
{
	uint8_t wire[DNS_NAME_MAX];
	size_t n, end = dns_name_expand(msg, len, at, wire, &n);

	if (!end || dns_name_text(wire, n, out) < 0)
		return 0;
	return end;
}

/* --- records ------------------------------------------------------------------------------- */

size_t dns_record_read(const uint8_t *msg, size_t len, size_t at, struct dns_record *ret)
{
	uint8_t wire[DNS_NAME_MAX];
	size_t n, end = dns_name_expand(msg, len, at, wire, &n);

	if (!end || end + 10 > len)
		return 0;
	ret->owner = at;
	ret->type = load16(msg + end);
	ret->class = load16(msg + end + 2);
	ret->ttl = load32(msg + end + 4);
	/* RFC 2181 8: the highest bit set means 0. */
	if (ret->ttl > DNS_TTL_MAX)
		ret->ttl = ret->ttl >> 31 ? 0 : DNS_TTL_MAX;
	ret->data = end + 10;
	ret->data_len = load16(msg + end + 8);
	return ret->data_len <= len - ret->data ? ret->data + ret->data_len : 0;
}

bool dns_record_owned(const uint8_t *msg, size_t len, const struct dns_record *r, const char *name)
{
	char owner[DOMAIN_LEN];

	return read_name(msg, len, r->owner, owner) && strcmp(owner, name) == 0;
}

/* --- questions ----------------------------------------------------------------------------- */

static int read_opt(const uint8_t *msg, size_t len, size_t at, struct dns_question *q)
{
	struct dns_record r;

	if (!dns_record_read(msg, len, at, &r))
		return DNS_FORMERR;
	/* Signatures of the message (TSIG) are nothing we could keep valid. */
	if (r.type != DNS_OPT)
		return DNS_NOTIMP;
	if (msg[r.owner] != 0 || (load32(msg + r.data - 6) >> 16 & 0xff) != 0)
		return DNS_FORMERR;
	q->edns = true;
	q->udp_size = r.class;
	q->dnssec_ok = msg[r.data - 4] & 0x80;
	return 0;
}

static bool is_refused_type(uint16_t type)
{
	return type == DNS_ANY || (type >= 249 && type <= DNS_AXFR) || type == DNS_OPT || type == 0;
}

int dns_question_parse(const uint8_t *msg, size_t len, struct dns_question *ret)
{
	size_t at;
	int r = 0;

	*ret = (struct dns_question){.udp_size = DNS_UDP_PLAIN};
	/* An answer is not answered. */
	if (len < DNS_HEADER || msg[2] & 0x80)
		return -EBADMSG;
	ret->id = load16(msg);
	ret->recursion_desired = msg[2] & 1;
	ret->checking_disabled = msg[3] & 0x10;
	if (msg[2] & 0x78)
		return DNS_NOTIMP;
	if (load16(msg + 4) != 1 || load16(msg + 6) || load16(msg + 8) || load16(msg + 10) > 1)
		return DNS_FORMERR;
	at = dns_name_expand(msg, len, DNS_HEADER, ret->wire, &ret->wire_len);
	/* There is nothing before it that a pointer could lead to. */
	if (!at || at + 4 > len || at != DNS_HEADER + ret->wire_len) {
		ret->wire_len = 0;
		return DNS_FORMERR;
	}
	ret->type = load16(msg + at);
	ret->class = load16(msg + at + 2);
	at += 4;
	if (load16(msg + 10))
		r = read_opt(msg, len, at, ret);
	if (r)
		return r;
	if (is_refused_type(ret->type) || ret->class != 1)
		return DNS_REFUSED;
	return dns_name_text(ret->wire, ret->wire_len, ret->name) < 0 ? DNS_REFUSED : 0;
}

/* --- answers ------------------------------------------------------------------------------- */

/* Where the answer section begins; 0 when it is no answer to the question. */
static size_t check_question(const uint8_t *msg, size_t len, const struct dns_question *q,
			     uint16_t id)
{
	char name[DOMAIN_LEN];
	size_t at;

	if (len < DNS_HEADER || load16(msg) != id || !(msg[2] & 0x80) || msg[2] & 0x78 ||
	    load16(msg + 4) != 1)
		return 0;
	at = read_name(msg, len, DNS_HEADER, name);
	if (!at || at + 4 > len || strcmp(name, q->name) != 0 || load16(msg + at) != q->type ||
	    load16(msg + at + 2) != q->class)
		return 0;
	return at + 4;
}

bool dns_answer_fits(const uint8_t *msg, size_t len, const struct dns_question *q, uint16_t id)
{
	return check_question(msg, len, q, id) != 0;
}

/* The record of a type that belongs to a name; false when there is none. */
static bool find_record(const uint8_t *msg, size_t len, size_t at, unsigned int n, const char *name,
			uint16_t type, struct dns_record *ret)
{
	for (unsigned int i = 0; i < n; i++) {
		at = dns_record_read(msg, len, at, ret);
		if (!at)
			return false;
		if (ret->type == type && ret->class == 1 && dns_record_owned(msg, len, ret, name))
			return true;
	}
	return false;
}

/* Follows CNAMEs from the asked name. 0 or -EBADMSG. */
static int follow_chain(const uint8_t *msg, size_t len, size_t at, unsigned int n,
			const struct dns_question *q, struct dns_answer *a)
{
	memcpy(a->chain[0], q->name, DOMAIN_LEN);
	a->n_chain = 1;
	while (q->type != DNS_CNAME) {
		struct dns_record r;

		if (!find_record(msg, len, at, n, a->chain[a->n_chain - 1], DNS_CNAME, &r))
			return 0;
		if (a->n_chain == DNS_CHAIN_MAX ||
		    !read_name(msg, len, r.data, a->chain[a->n_chain]))
			return -EBADMSG;
		a->ttl = MIN(a->ttl, r.ttl);
		a->n_chain++;
	}
	return 0;
}

static int take_address(struct dns_answer *a, const uint8_t *msg, const struct dns_record *r)
{
	struct dns_address *to = &a->addrs[a->n_addrs];
	struct in_addr v4;
	struct in6_addr v6;

	if (r->data_len != (r->type == DNS_A ? sizeof(v4) : sizeof(v6)) ||
	    a->n_addrs == DNS_ANSWERS_MAX)
		return -EBADMSG;
	if (r->type == DNS_A) {
		memcpy(&v4, msg + r->data, sizeof(v4));
		to->addr = addr_from_v4(v4);
	} else {
		memcpy(&v6, msg + r->data, sizeof(v6));
		to->addr = addr_from_v6(&v6);
	}
	to->ttl = r->ttl;
	a->n_addrs++;
	return 0;
}

/* How long it may be remembered that there is nothing (RFC 2308 5). */
static uint32_t negative_ttl(const uint8_t *msg, size_t len, size_t at)
{
	unsigned int n = load16(msg + 8);
	struct dns_record r;

	for (unsigned int i = 0; at && i < n; i++) {
		at = dns_record_read(msg, len, at, &r);
		if (at && r.type == DNS_SOA && r.data_len >= 22)
			return MIN(MIN(r.ttl, load32(msg + r.data + r.data_len - 4)),
				   (uint32_t)NEGATIVE_MAX);
	}
	return NEGATIVE_TTL;
}

int dns_answer_parse(const uint8_t *msg, size_t len, const struct dns_question *q, uint16_t id,
		     struct dns_answer *ret)
{
	size_t first = check_question(msg, len, q, id), at = first;
	unsigned int n, found = 0;
	const char *last;

	ret->n_addrs = 0;
	ret->ttl = DNS_TTL_MAX;
	if (!first)
		return -EBADMSG;
	ret->rcode = msg[3] & 15;
	ret->truncated = msg[2] & 2;
	n = load16(msg + 6);
	/* What was cut off is asked for again. */
	if (ret->truncated)
		return 0;
	if (follow_chain(msg, len, first, n, q, ret) < 0)
		return -EBADMSG;
	last = ret->chain[ret->n_chain - 1];
	for (unsigned int i = 0; i < n; i++) {
		struct dns_record r;

		at = dns_record_read(msg, len, at, &r);
		if (!at)
			return -EBADMSG;
		if (r.class != 1 || !dns_record_owned(msg, len, &r, last))
			continue;
		/* Whatever was asked for: addresses that are there can be used. */
		if ((r.type == DNS_A || r.type == DNS_AAAA) && take_address(ret, msg, &r) < 0)
			return -EBADMSG;
		if (r.type == q->type) {
			ret->ttl = MIN(ret->ttl, r.ttl);
			found++;
		}
	}
	if (!found)
		ret->ttl = MIN(ret->ttl, negative_ttl(msg, len, at));
	return 0;
}
