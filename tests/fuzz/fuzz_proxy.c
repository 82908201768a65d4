/* SPDX-License-Identifier: Apache-2.0 */
/* A proxy's words, cut in any way: the same end, and never more than the bounds. */
#include "fuzz.h"

#include "net/proxy_handshake.h"

static enum proxy_step talk(const struct net_proxy *proxy, const struct addr *addr,
			    const uint8_t *data, size_t n, size_t piece, size_t *ret_left)
{
	struct proxy_handshake h;
	enum proxy_step end;

	if (proxy_handshake_init(&h, proxy, addr, 443) < 0) {
		proxy_handshake_release(&h);
		return PROXY_REFUSED;
	}
	CHECK(buf_len(&h.say) > 0);
	for (size_t i = 0; i < n && h.step != PROXY_REFUSED && h.step != PROXY_PASSES; i += piece) {
		size_t len = MIN(MIN(piece, n - i), buf_room(&h.said));

		CHECK(buf_append(&h.said, data + i, len) == 0);
		proxy_handshake_step(&h);
		if (h.step == PROXY_PASSES)
			*ret_left = buf_len(&h.said) + (n - i - len);
	}
	if (h.step == PROXY_REFUSED)
		CHECK(h.error < 0);
	end = h.step;
	proxy_handshake_release(&h);
	return end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const enum proxy_kind kinds[] = {PROXY_SOCKS4, PROXY_SOCKS5, PROXY_HTTP};
	size_t whole = 0, bytes = 0;
	struct net_proxy proxy = {.kind = kinds[n ? data[0] % 3 : 0]};
	enum proxy_step a, b;
	struct addr addr;

	if (n == 0)
		return 0;
	if (data[0] & 4) {
		proxy.user = (char *)"user";
		proxy.password = (char *)"password";
	}
	CHECK(addr_parse(data[0] & 8 ? "2001:db8::1" : "192.0.2.1", &addr) == 0);
	n = MIN(n, (size_t)PROXY_REPLY_MAX);
	a = talk(&proxy, &addr, data + 1, n - 1, n, &whole);
	b = talk(&proxy, &addr, data + 1, n - 1, 1, &bytes);
	/* What passes does so at the same place. */
	CHECK((a == PROXY_PASSES) == (b == PROXY_PASSES) || a == PROXY_REFUSED ||
	      b == PROXY_REFUSED);
	if (a == PROXY_PASSES && b == PROXY_PASSES)
		CHECK(whole == bytes);
	return 0;
}
