/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP (RFC 792, 4443): echo requests of the guest and their replies, and errors about what it
 * sent. */
#include "net/be.h"
#include "net/stack_internal.h"

#include <errno.h>
#include <string.h>

#define ECHO4_REQUEST 8
#define ECHO6_REQUEST 128
#define ECHO4_REPLY   0
#define ECHO6_REPLY   129
#define ERROR4        3
#define ERROR6        1

/* At most this many errors in a row, and this many a second in the long run. */
#define ERRORS_BURST   50
#define ERRORS_PER_SEC 200

#define QUOTE4_MAX (576 - IP4_LEN - ICMP_LEN)
#define QUOTE6_MAX (1280 - IP6_LEN - ICMP_LEN)

void icmp_input(struct stack *s, const struct packet *p)
{
	struct flow_key key = {.guest = p->src, .remote = p->dst};

	if (p->l4[0] != (p->v6 ? ECHO6_REQUEST : ECHO4_REQUEST) || p->l4[1] != 0)
		return;
	key.guest_port = load16(p->l4 + 4);
	s->ops->echo(s->ctx, &key, load16(p->l4 + 6), p->payload, p->payload_len);
}

/* Completes a message whose checksum field is 0 and whose frame has been begun, and sends it. */
static void finish(struct stack *s, const struct addr *src, const struct addr *dst, uint8_t *l4,
		   size_t len)
{
	bool v6 = !addr_is_v4(dst);
	uint32_t sum = v6 ? csum_pseudo(src, dst, IPPROTO_ICMPV6, len) : 0;
	uint16_t folded = csum_fold(csum_add(sum, l4, len));

	memcpy(l4 + 2, &folded, sizeof(folded));
	s->ops->frame_commit(s->ctx, packet_overhead(dst) + len);
}

bool stack_send_echo_reply(struct stack *s, const struct flow_key *key, uint16_t seq,
			   const void *data, size_t len)
{
	bool v6 = !addr_is_v4(&key->guest);
	uint8_t *frame, *l4;

	if (ICMP_LEN + len > s->config.mtu - (v6 ? IP6_LEN : IP4_LEN))
		return false;
	frame = s->ops->frame_reserve(s->ctx, packet_overhead(&key->guest) + ICMP_LEN + len);
	if (!frame)
		return false;
	l4 = packet_begin(frame, &s->link, &key->remote, &key->guest,
			  v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, ICMP_LEN + len);
	memset(l4, 0, 4);
	l4[0] = v6 ? ECHO6_REPLY : ECHO4_REPLY;
	store16(l4 + 4, key->guest_port);
	store16(l4 + 6, seq);
	memcpy(l4 + ICMP_LEN, data, len);
	finish(s, &key->remote, &key->guest, l4, ICMP_LEN + len);
	return true;
}

/* --- errors -------------------------------------------------------------------------------- */

/* RFC 1812 4.3.2.8, RFC 4443 2.4 (f). */
static bool may_send_error(struct stack *s)
{
	uint64_t gained = (s->now - s->errors_refilled) / (NSEC_PER_SEC / ERRORS_PER_SEC);

	if (s->errors_refilled == 0 || gained >= ERRORS_BURST) {
		s->errors_left = ERRORS_BURST;
		s->errors_refilled = s->now;
	} else if (gained) {
		s->errors_left = MIN(s->errors_left + (unsigned int)gained, ERRORS_BURST);
		s->errors_refilled += gained * (NSEC_PER_SEC / ERRORS_PER_SEC);
	}
	if (s->errors_left == 0)
		return false;
	s->errors_left--;
	return true;
}

enum unreachable unreachable_reason(int error)
{
	switch (error) {
	case EPERM:
	case EACCES:
		return UNREACH_PROHIBITED;
	case ENETUNREACH:
		return UNREACH_NET;
	case EHOSTUNREACH:
	case ETIMEDOUT:
		return UNREACH_HOST;
	default:
		return UNREACH_PORT;
	}
}

static uint8_t error_code(bool v6, enum unreachable why)
{
	static const uint8_t codes[][2] = {
		[UNREACH_PROHIBITED] = {13, 1},
		[UNREACH_HOST] = {1, 3},
		[UNREACH_NET] = {0, 0},
		[UNREACH_PORT] = {3, 4},
	};

	return codes[why][v6];
}

/* The error for `guest`, quoting `quote`, which is the beginning of an IP packet. */
static void send_error(struct stack *s, const struct addr *guest, enum unreachable why,
		       const uint8_t *quote, size_t len)
{
	bool v6 = !addr_is_v4(guest);
	const struct addr *gateway = v6 ? &s->config.v6.gateway : &s->config.v4.gateway;
	uint8_t *frame, *l4;

	if (!may_send_error(s))
		return;
	len = MIN(len, (size_t)(v6 ? QUOTE6_MAX : QUOTE4_MAX));
	frame = s->ops->frame_reserve(s->ctx, packet_overhead(guest) + ICMP_LEN + len);
	if (!frame)
		return;
	l4 = packet_begin(frame, &s->link, gateway, guest, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP,
			  ICMP_LEN + len);
	memset(l4, 0, ICMP_LEN);
	l4[0] = v6 ? ERROR6 : ERROR4;
	l4[1] = error_code(v6, why);
	memcpy(l4 + ICMP_LEN, quote, len);
	finish(s, gateway, guest, l4, ICMP_LEN + len);
}

void icmp_unreachable(struct stack *s, const struct flow_key *key, enum policy_protocol protocol,
		      uint32_t seq, enum unreachable why)
{
	/* The packet is gone; what its sender knows it by is made again. */
	uint8_t quote[VNET_LEN + ETH_HLEN + IP6_LEN + TCP_LEN] = {0};
	bool v6 = !addr_is_v4(&key->guest);
	uint8_t proto = protocol == PROTO_TCP   ? IPPROTO_TCP
			: protocol == PROTO_UDP ? IPPROTO_UDP
			: v6                    ? IPPROTO_ICMPV6
						: IPPROTO_ICMP;
	size_t l4_len = protocol == PROTO_TCP ? TCP_LEN : UDP_LEN;
	uint8_t *l4;

	if (addr_class(&key->remote) == ADDR_MULTICAST)
		return;
	l4 = packet_begin(quote, &s->link, &key->guest, &key->remote, proto, l4_len);
	if (protocol == PROTO_TCP || protocol == PROTO_UDP) {
		store16(l4, key->guest_port);
		store16(l4 + 2, key->remote_port);
		store16(l4 + 4, protocol == PROTO_UDP ? l4_len : seq >> 16);
		if (protocol == PROTO_TCP)
			store16(l4 + 6, seq & 0xffff);
	} else {
		l4[0] = v6 ? ECHO6_REQUEST : ECHO4_REQUEST;
		store16(l4 + 4, key->guest_port);
	}
	send_error(s, &key->guest, why, quote + VNET_LEN + ETH_HLEN,
		   (v6 ? IP6_LEN : IP4_LEN) + l4_len);
}

void stack_send_unreachable(struct stack *s, const struct flow_key *key,
			    enum policy_protocol protocol, enum unreachable why)
{
	icmp_unreachable(s, key, protocol, 0, why);
}
