/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UDP: datagrams of the guest are handed on as they come; those for it that are longer than the
 * link takes go in fragments.
 */
#include "net/be.h"
#include "net/stack_internal.h"

#include <string.h>

#define UDP_PAYLOAD_MAX 65507
#define IP6_FRAGMENT    44
#define FRAGMENT_LEN    8

void udp_input(struct stack *s, const struct packet *p)
{
	struct flow_key key = {
		.guest = p->src,
		.remote = p->dst,
		.guest_port = p->sport,
		.remote_port = p->dport,
	};

	if (p->dport == 0)
		return;
	s->ops->udp(s->ctx, &key, p->payload, p->payload_len);
}

static void write_header(uint8_t *h, const struct flow_key *key, size_t len)
{
	store16(h, key->remote_port);
	store16(h + 2, key->guest_port);
	store16(h + 4, UDP_LEN + len);
	store16(h + 6, 0);
}

static bool send_whole(struct stack *s, const struct flow_key *key, const void *data, size_t len)
{
	size_t total = packet_overhead(&key->guest) + UDP_LEN + len;
	uint8_t *frame = s->ops->frame_reserve(s->ctx, total), *l4;

	if (!frame)
		return false;
	l4 = packet_begin(frame, &s->link, &key->remote, &key->guest, IPPROTO_UDP, UDP_LEN + len);
	write_header(l4, key, len);
	memcpy(l4 + UDP_LEN, data, len);
	packet_finish(frame, l4, IPPROTO_UDP, UDP_LEN + len, 0);
	s->ops->frame_commit(s->ctx, total);
	return true;
}

/* One fragment: `len` bytes at `offset` of the datagram, of which `header` is the beginning. */
static bool send_fragment(struct stack *s, const struct flow_key *key,
			  const uint8_t header[UDP_LEN], const uint8_t *data, size_t offset,
			  size_t len, bool more)
{
	bool v6 = !addr_is_v4(&key->guest);
	size_t extra = v6 ? FRAGMENT_LEN : 0, total = packet_overhead(&key->guest) + extra + len;
	uint8_t *frame = s->ops->frame_reserve(s->ctx, total), *ip, *p;
	size_t from_header = offset < UDP_LEN ? UDP_LEN - offset : 0;
	uint16_t sum;

	if (!frame)
		return false;
	p = packet_begin(frame, &s->link, &key->remote, &key->guest,
			 v6 ? IP6_FRAGMENT : IPPROTO_UDP, extra + len);
	ip = frame + VNET_LEN + ETH_HLEN;
	if (v6) {
		memset(p, 0, FRAGMENT_LEN);
		p[0] = IPPROTO_UDP;
		store16(p + 2, offset | more);
		store16(p + 6, s->ip_id);
		p += FRAGMENT_LEN;
	} else {
		store16(ip + 4, s->ip_id);
		store16(ip + 6, offset / 8 | (more ? 0x2000 : 0));
		store16(ip + 10, 0);
		sum = csum_fold(csum_add(0, ip, IP4_LEN));
		memcpy(ip + 10, &sum, sizeof(sum));
	}
	memcpy(p, header + offset, from_header);
	memcpy(p + from_header, data + offset + from_header - UDP_LEN, len - from_header);
	s->ops->frame_commit(s->ctx, total);
	return true;
}

static bool send_fragments(struct stack *s, const struct flow_key *key, const void *data,
			   size_t len)
{
	bool v6 = !addr_is_v4(&key->guest);
	size_t room = s->config.mtu - (v6 ? IP6_LEN + FRAGMENT_LEN : IP4_LEN);
	size_t total = UDP_LEN + len;
	uint8_t header[UDP_LEN];
	uint32_t sum;
	uint16_t folded;

	write_header(header, key, len);
	sum = csum_pseudo(&key->remote, &key->guest, IPPROTO_UDP, total);
	folded = csum_fold(csum_add(csum_add(sum, header, sizeof(header)), data, len));
	if (folded == 0)
		folded = 0xffff;
	memcpy(header + 6, &folded, sizeof(folded));
	s->ip_id++;
	room -= room % 8;
	for (size_t offset = 0; offset < total; offset += room) {
		size_t n = MIN(room, total - offset);

		if (!send_fragment(s, key, header, data, offset, n, offset + n < total))
			return false;
	}
	return true;
}

bool stack_send_udp(struct stack *s, const struct flow_key *key, const void *data, size_t len)
{
	size_t ip = addr_is_v4(&key->guest) ? IP4_LEN : IP6_LEN;

	if (len > UDP_PAYLOAD_MAX)
		return false;
	if (ip + UDP_LEN + len <= s->config.mtu)
		return send_whole(s, key, data, len);
	return send_fragments(s, key, data, len);
}
