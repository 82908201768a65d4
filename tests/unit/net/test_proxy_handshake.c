/* SPDX-License-Identifier: Apache-2.0 */
#include "net/proxy_handshake.h"

#include "base/util.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* One conversation: what the proxy says, and what is said to it all in all. */
struct talk {
	enum proxy_kind kind;
	const char *user, *password, *addr;
	const char *proxy;
	size_t n_proxy;
	const char *ours;
	size_t n_ours;
	enum proxy_step end;
	int error;
	size_t left; /* of what the proxy says: bytes of the far side */
};

#define TEXT(s) (s), sizeof(s) - 1

static const struct talk talks[] = {
	{PROXY_SOCKS4, NULL, NULL, "1.2.3.4", TEXT("\0\x5a\0\0\0\0\0\0rest"),
	 TEXT("\4\1\1\xbb\1\2\3\4\0"), PROXY_PASSES, 0, 4},
	{PROXY_SOCKS4, "me", NULL, "1.2.3.4", TEXT("\0\x5b\0\0\0\0\0\0"),
	 TEXT("\4\1\1\xbb\1\2\3\4me\0"), PROXY_REFUSED, -ECONNREFUSED, 0},
	{PROXY_SOCKS4, NULL, NULL, "1.2.3.4", TEXT("\0\x5d\0\0\0\0\0\0"),
	 TEXT("\4\1\1\xbb\1\2\3\4\0"), PROXY_REFUSED, -EACCES, 0},
	{PROXY_SOCKS5, NULL, NULL, "1.2.3.4", TEXT("\5\0\5\0\0\1\0\0\0\0\0\0rest"),
	 TEXT("\5\1\0\5\1\0\1\1\2\3\4\1\xbb"), PROXY_PASSES, 0, 4},
	{PROXY_SOCKS5, NULL, NULL, "2001:db8::1", TEXT("\5\0\5\0\0\3\1x\0\0"),
	 TEXT("\5\1\0\5\1\0\4\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\1\xbb"), PROXY_PASSES, 0, 0},
	{PROXY_SOCKS5, "u", "pw", "1.2.3.4", TEXT("\5\2\1\0\5\0\0\1\0\0\0\0\0\0"),
	 TEXT("\5\2\0\2\1\1u\2pw\5\1\0\1\1\2\3\4\1\xbb"), PROXY_PASSES, 0, 0},
	{PROXY_SOCKS5, "u", "pw", "1.2.3.4", TEXT("\5\2\1\1"), TEXT("\5\2\0\2\1\1u\2pw"),
	 PROXY_REFUSED, -EACCES, 0},
	/* A password that was not offered, and no method. */
	{PROXY_SOCKS5, NULL, NULL, "1.2.3.4", TEXT("\5\2"), TEXT("\5\1\0"), PROXY_REFUSED, -EACCES,
	 0},
	{PROXY_SOCKS5, NULL, NULL, "1.2.3.4", TEXT("\5\xff"), TEXT("\5\1\0"), PROXY_REFUSED,
	 -EACCES, 0},
	{PROXY_SOCKS5, NULL, NULL, "1.2.3.4", TEXT("\5\0\5\4\0\1\0"),
	 TEXT("\5\1\0\5\1\0\1\1\2\3\4\1\xbb"), PROXY_REFUSED, -EHOSTUNREACH, 0},
	{PROXY_SOCKS5, NULL, NULL, "1.2.3.4", TEXT("\5\0\5\0\0\7\0"),
	 TEXT("\5\1\0\5\1\0\1\1\2\3\4\1\xbb"), PROXY_REFUSED, -EPROTO, 0},
	{PROXY_HTTP, NULL, NULL, "1.2.3.4", TEXT("HTTP/1.1 200 OK\r\nX: y\r\n\r\nrest"),
	 TEXT("CONNECT 1.2.3.4:443 HTTP/1.1\r\nHost: 1.2.3.4:443\r\n\r\n"), PROXY_PASSES, 0, 4},
	{PROXY_HTTP, "u", "pw", "2001:db8::1", TEXT("HTTP/1.0 200 \r\n\r\n"),
	 TEXT("CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n"
	      "Proxy-Authorization: Basic dTpwdw==\r\n\r\n"),
	 PROXY_PASSES, 0, 0},
	{PROXY_HTTP, NULL, NULL, "1.2.3.4", TEXT("HTTP/1.1 407 No\r\n\r\n"),
	 TEXT("CONNECT 1.2.3.4:443 HTTP/1.1\r\nHost: 1.2.3.4:443\r\n\r\n"), PROXY_REFUSED, -EACCES,
	 0},
	{PROXY_HTTP, NULL, NULL, "1.2.3.4", TEXT("HTTP/1.1 504 No\r\n\r\n"),
	 TEXT("CONNECT 1.2.3.4:443 HTTP/1.1\r\nHost: 1.2.3.4:443\r\n\r\n"), PROXY_REFUSED,
	 -ETIMEDOUT, 0},
	{PROXY_HTTP, NULL, NULL, "1.2.3.4", TEXT("SSH-2.0-something\r\n\r\n"),
	 TEXT("CONNECT 1.2.3.4:443 HTTP/1.1\r\nHost: 1.2.3.4:443\r\n\r\n"), PROXY_REFUSED, -EPROTO,
	 0},
	{PROXY_HTTP, NULL, NULL, "1.2.3.4", TEXT("HTTP/1.1 2x0 OK\r\n\r\n"),
	 TEXT("CONNECT 1.2.3.4:443 HTTP/1.1\r\nHost: 1.2.3.4:443\r\n\r\n"), PROXY_REFUSED, -EPROTO,
	 0},
	{PROXY_HTTP, NULL, NULL, "1.2.3.4", TEXT("HTTP/1.1 2000 OK\r\n\r\n"),
	 TEXT("CONNECT 1.2.3.4:443 HTTP/1.1\r\nHost: 1.2.3.4:443\r\n\r\n"), PROXY_REFUSED, -EPROTO,
	 0},
	{PROXY_HTTP, NULL, NULL, "1.2.3.4", TEXT("\r\n\r\n"),
	 TEXT("CONNECT 1.2.3.4:443 HTTP/1.1\r\nHost: 1.2.3.4:443\r\n\r\n"), PROXY_REFUSED, -EPROTO,
	 0},
	{PROXY_HTTP, NULL, NULL, "1.2.3.4", TEXT("HTTP/1.1 200\r\n\r\n\0\1\2\3"),
	 TEXT("CONNECT 1.2.3.4:443 HTTP/1.1\r\nHost: 1.2.3.4:443\r\n\r\n"), PROXY_PASSES, 0, 4},
};

static void hold(const struct talk *t, size_t piece)
{
	struct net_proxy proxy = {
		.kind = t->kind, .user = (char *)t->user, .password = (char *)t->password};
	struct proxy_handshake h;
	struct addr addr;
	size_t said = 0;

	assert_int_equal(addr_parse(t->addr, &addr), 0);
	assert_int_equal(proxy_handshake_init(&h, &proxy, &addr, 443), 0);
	while (said < t->n_proxy && h.step != PROXY_PASSES && h.step != PROXY_REFUSED) {
		size_t n = MIN(piece, t->n_proxy - said);

		assert_int_equal(buf_append(&h.said, t->proxy + said, n), 0);
		said += n;
		proxy_handshake_step(&h);
	}
	assert_int_equal(h.step, t->end);
	assert_int_equal(h.error, t->error);
	assert_int_equal(buf_len(&h.say), t->n_ours);
	assert_memory_equal(buf_data(&h.say), t->ours, t->n_ours);
	if (t->end == PROXY_PASSES)
		assert_int_equal(buf_len(&h.said) + t->n_proxy - said, t->left);
	proxy_handshake_release(&h);
}

static void test_talks(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(talks); i++)
		for (size_t piece = 1; piece <= talks[i].n_proxy; piece++)
			hold(&talks[i], piece);
}

static void test_address_that_socks4_cannot_say(void **state)
{
	struct net_proxy proxy = {.kind = PROXY_SOCKS4};
	struct proxy_handshake h;
	struct addr addr;

	assert_int_equal(addr_parse("2001:db8::1", &addr), 0);
	assert_int_equal(proxy_handshake_init(&h, &proxy, &addr, 443), -EAFNOSUPPORT);
	proxy_handshake_release(&h);
}

static void test_header_without_end(void **state)
{
	struct net_proxy proxy = {.kind = PROXY_HTTP};
	struct proxy_handshake h;
	struct addr addr;
	size_t n = 0;

	assert_int_equal(addr_parse("1.2.3.4", &addr), 0);
	assert_int_equal(proxy_handshake_init(&h, &proxy, &addr, 443), 0);
	assert_int_equal(buf_append(&h.said, TEXT("HTTP/1.1 200 OK\r\n")), 0);
	while (h.step != PROXY_REFUSED) {
		assert_int_equal(buf_append(&h.said, "x", 1), 0);
		proxy_handshake_step(&h);
		assert_true(++n <= PROXY_REPLY_MAX);
	}
	assert_int_equal(h.error, -EPROTO);
	proxy_handshake_release(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_talks),
		cmocka_unit_test(test_address_that_socks4_cannot_say),
		cmocka_unit_test(test_header_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
