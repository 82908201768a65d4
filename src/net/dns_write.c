/* SPDX-License-Identifier: Apache-2.0 */
/* Writing DNS messages: queries for upstream and answers for the guest. */
#include "net/dns_message.h"

#include "net/dns_wire.h"

#include "base/util.h"

#include <string.h>

#define FLAG_RD  0x01 /* of the third byte */
#define FLAG_TC  0x02
#define FLAG_QR  0x80
#define FLAG_CD  0x10 /* of the fourth */
#define FLAG_RA  0x80
#define OPT_LEN  11
#define TO_QUERY 0xc00c /* a pointer to the question's name */

/* A message under way; what does not fit sets `full`. */
struct writer {
	uint8_t *p;
	size_t len, size;
	bool full;
};

static void put(struct writer *w, const void *data, size_t n)
{
	if (w->full || n > w->size - w->len) {
		w->full = true;
		return;
	}
	memcpy(w->p + w->len, data, n);
	w->len += n;
}

static void put16(struct writer *w, size_t v)
{
	const uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};

	put(w, b, sizeof(b));
}

static void put32(struct writer *w, uint32_t v)
{
	put16(w, v >> 16);
	put16(w, v & 0xffff);
}

static void put_name(struct writer *w, const char *name)
{
	while (*name) {
		size_t n = strcspn(name, ".");
		uint8_t len = (uint8_t)n;

		put(w, &len, 1);
		put(w, name, n);
		name += n + (name[n] == '.');
	}
	put(w, "", 1);
}

static void put_opt(struct writer *w, const struct dns_question *q)
{
	put(w, "", 1);
	put16(w, DNS_OPT);
	put16(w, DNS_UDP_MAX);
	put32(w, q->dnssec_ok ? 0x8000 : 0);
	put16(w, 0);
}

/* Header and question of an answer. */
static void begin_reply(struct writer *w, const struct dns_question *q, enum dns_rcode rcode)
{
	uint8_t head[DNS_HEADER] = {
		[0] = (uint8_t)(q->id >> 8),
		[1] = (uint8_t)q->id,
		[2] = FLAG_QR | (q->recursion_desired ? FLAG_RD : 0),
		[3] = (uint8_t)(FLAG_RA | (q->checking_disabled ? FLAG_CD : 0) | rcode),
		[5] = q->wire_len > 0,
	};

	put(w, head, sizeof(head));
	if (!q->wire_len)
		return;
	put(w, q->wire, q->wire_len);
	put16(w, q->type);
	put16(w, q->class);
}

static size_t end_reply(struct writer *w, const struct dns_question *q, unsigned int answers)
{
	w->p[6] = (uint8_t)(answers >> 8);
	w->p[7] = (uint8_t)answers;
	if (q->edns) {
		w->p[11] = 1;
		put_opt(w, q);
	}
	return w->len;
}

size_t dns_query_write(uint8_t *msg, size_t size, const struct dns_question *q, uint16_t id)
{
	struct writer w = {.p = msg, .size = size};
	const uint8_t head[DNS_HEADER] = {
		[0] = (uint8_t)(id >> 8),
		[1] = (uint8_t)id,
		[2] = FLAG_RD,
		[3] = q->checking_disabled ? FLAG_CD : 0,
		[5] = 1,
		[11] = 1,
	};

	put(&w, head, sizeof(head));
	put_name(&w, q->name);
	put16(&w, q->type);
	put16(&w, q->class);
	put_opt(&w, q);
	return w.len;
}

size_t dns_error_write(uint8_t *out, size_t size, const struct dns_question *q,
		       enum dns_rcode rcode)
{
	struct writer w = {.p = out, .size = size};

	begin_reply(&w, q, rcode);
	return end_reply(&w, q, 0);
}

size_t dns_addrs_write(uint8_t *out, size_t size, const struct dns_question *q,
		       const struct addr *addrs, unsigned int n, uint32_t ttl)
{
	struct writer w = {.p = out, .size = size};
	unsigned int count = 0;

	begin_reply(&w, q, DNS_NOERROR);
	for (unsigned int i = 0; i < n; i++) {
		bool v4 = addr_is_v4(&addrs[i]);

		if (q->type != (v4 ? DNS_A : DNS_AAAA))
			continue;
		put16(&w, TO_QUERY);
		put16(&w, q->type);
		put16(&w, 1);
		put32(&w, ttl);
		put16(&w, v4 ? 4 : 16);
		put(&w, addrs[i].b + (v4 ? 12 : 0), v4 ? 4 : 16);
		count++;
	}
	return end_reply(&w, q, count);
}

/* --- records of upstream ------------------------------------------------------------------- */

/*
 * The data of a record whose names may be compressed: `fixed` bytes, `names` names, and the rest. A
 * name that is malformed makes the record too long to fit.
 */
static void put_names(struct writer *w, const uint8_t *msg, size_t len, const struct dns_record *r,
		      size_t fixed, unsigned int names)
{
	size_t at = r->data + fixed, end = r->data + r->data_len, n;
	uint8_t wire[DNS_NAME_MAX];

	if (fixed > r->data_len) {
		w->full = true;
		return;
	}
	put(w, msg + r->data, fixed);
	while (names--) {
		at = dns_name_expand(msg, len, at, wire, &n);
		if (!at || at > end) {
			w->full = true;
			return;
		}
		put(w, wire, n);
	}
	put(w, msg + at, end - at);
}

static void put_data(struct writer *w, const uint8_t *msg, size_t len, const struct dns_record *r)
{
	size_t at = w->len;

	put16(w, 0);
	switch (r->type) {
	case DNS_CNAME:
	case DNS_NS:
	case DNS_PTR:
	case DNS_DNAME:
		put_names(w, msg, len, r, 0, 1);
		break;
	case DNS_MX:
		put_names(w, msg, len, r, 2, 1);
		break;
	case DNS_SRV:
		put_names(w, msg, len, r, 6, 1);
		break;
	case DNS_SOA:
		put_names(w, msg, len, r, 0, 2);
		break;
	default:
		/* Newer types have no compressed names (RFC 3597 4). */
		put(w, msg + r->data, r->data_len);
	}
	if (w->full)
		return;
	w->p[at] = (uint8_t)((w->len - at - 2) >> 8);
	w->p[at + 1] = (uint8_t)(w->len - at - 2);
}

/* Is it the alias that the chain goes on with? A second one was not decided about. */
static bool leads_to(const uint8_t *msg, size_t len, const struct dns_record *r, const char *next)
{
	uint8_t wire[DNS_NAME_MAX];
	char name[DOMAIN_LEN];
	size_t n;

	return r->type == DNS_CNAME && dns_name_expand(msg, len, r->data, wire, &n) &&
	       dns_name_text(wire, n, name) == 0 && strcmp(name, next) == 0;
}

/* Where a record's owner is in the chain; -1: it has no place in the answer. */
static int place(const struct dns_answer *a, const struct dns_question *q, const uint8_t *msg,
		 size_t len, const struct dns_record *r)
{
	if (r->class != 1 || r->type == DNS_SVCB || r->type == DNS_HTTPS)
		return -1;
	for (unsigned int i = 0; i < a->n_chain; i++) {
		bool last = i == a->n_chain - 1;

		if (!dns_record_owned(msg, len, r, a->chain[i]))
			continue;
		/* Before the end of the chain only what leads on; at its end what was asked for. */
		if (last ? r->type == q->type : leads_to(msg, len, r, a->chain[i + 1]))
			return (int)i;
	}
	return -1;
}

static bool put_record(struct writer *w, const struct dns_question *q, const struct dns_answer *a,
		       const uint8_t *msg, size_t len, const struct dns_record *r, uint32_t age)
{
	int i = place(a, q, msg, len, r);

	if (i < 0)
		return false;
	if (i == 0)
		put16(w, TO_QUERY);
	else
		put_name(w, a->chain[i]);
	put16(w, r->type);
	put16(w, r->class);
	put32(w, r->ttl > age + 1 ? r->ttl - age : 1);
	put_data(w, msg, len, r);
	return true;
}

size_t dns_reply_write(uint8_t *out, size_t size, const struct dns_question *q,
		       const struct dns_answer *a, const uint8_t *msg, size_t len, uint32_t age,
		       size_t max)
{
	size_t room = MIN(size, max) - (q->edns ? OPT_LEN : 0);
	struct writer w = {.p = out, .size = room};
	unsigned int n = load16(msg + 6), count = 0;
	struct dns_record r;
	size_t at, head;

	begin_reply(&w, q, a->rcode);
	head = w.len;
	at = dns_name_expand(msg, len, DNS_HEADER, (uint8_t[DNS_NAME_MAX]){0}, &(size_t){0}) + 4;
	for (unsigned int i = 0; i < n && !w.full; i++) {
		at = dns_record_read(msg, len, at, &r);
		if (!at)
			break;
		count += put_record(&w, q, a, msg, len, &r, age);
	}
	if (w.full) {
		w.len = head;
		w.p[2] |= FLAG_TC;
		count = 0;
	}
	w.full = false;
	w.size = MIN(size, max);
	return end_reply(&w, q, count);
}
