/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/network_boot.h"

#include "cli/network.h"

#include <string.h>

/* The gateway answers for every name server there is. */
static void add_nameserver(const struct net_family *f, struct boot_network *ret)
{
	char text[ADDR_LEN];

	addr_format(&f->gateway, text);
	strv_add(&ret->nameservers, text);
}

static void put_v4(const struct addr *a, uint8_t out[4])
{
	struct in_addr in = addr_v4(a);

	memcpy(out, &in, sizeof(in));
}

void network_boot(const struct net_spec *s, struct boot_network *ret)
{
	memcpy(ret->mac, s->mac, sizeof(ret->mac));
	ret->mtu = s->mtu;
	if (s->v4.on) {
		put_v4(&s->v4.guest, ret->ip4.address);
		put_v4(&s->v4.gateway, ret->ip4.gateway);
		ret->ip4.prefix_len = s->v4.prefix_len;
	}
	if (s->v6.on) {
		memcpy(ret->ip6.address, s->v6.guest.b, sizeof(ret->ip6.address));
		memcpy(ret->ip6.gateway, s->v6.gateway.b, sizeof(ret->ip6.gateway));
		ret->ip6.prefix_len = s->v6.prefix_len;
	}
	/* One is enough, and old resolvers know only the older kind. */
	if (s->v4.on)
		add_nameserver(&s->v4, ret);
	else if (s->v6.on)
		add_nameserver(&s->v6, ret);
}

int network_launch(json_t *network, unsigned slot, struct launch_spec *ret, struct err *e)
{
	struct net_spec s;
	int r;

	if (network_spec_text(network, slot, &ret->net, e) < 0)
		return -1;
	if (!ret->net)
		return 0;
	/* From the text, so that both sides of the network are told the same. */
	net_spec_init(&s);
	r = net_spec_parse(&s, ret->net, e);
	if (r == 0) {
		network_boot(&s, &ret->boot.network);
		ret->boot.has_network = true;
	}
	net_spec_release(&s);
	return r;
}
