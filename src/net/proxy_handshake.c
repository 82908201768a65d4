/* SPDX-License-Identifier: Apache-2.0 */
#include "net/proxy_handshake.h"

#include "base/cleanup.h"
#include "base/util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SAY_MAX 1024

#define SOCKS4_GRANTED 90
#define SOCKS4_REPLY   8

#define SOCKS5_NO_AUTH  0
#define SOCKS5_PASSWORD 2
#define SOCKS5_IPV4     1
#define SOCKS5_NAME     3
#define SOCKS5_IPV6     4

static void refuse(struct proxy_handshake *h, int error)
{
	h->step = PROXY_REFUSED;
	h->error = error;
}

static void say(struct proxy_handshake *h, const void *data, size_t n)
{
	if (buf_append(&h->say, data, n) < 0)
		refuse(h, -ENOMEM);
}

static void say_byte(struct proxy_handshake *h, size_t b)
{
	const uint8_t c = (uint8_t)b;

	say(h, &c, 1);
}

static void say_port(struct proxy_handshake *h)
{
	say_byte(h, h->port >> 8);
	say_byte(h, h->port & 0xff);
}

/* One byte of length, and the text. */
static void say_text(struct proxy_handshake *h, const char *text)
{
	say_byte(h, strlen(text));
	say(h, text, strlen(text));
}

/* --- SOCKS4 -------------------------------------------------------------------------------- */

static void ask_socks4(struct proxy_handshake *h)
{
	const char *user = h->proxy->user ? h->proxy->user : "";

	say_byte(h, 4);
	say_byte(h, 1);
	say_port(h);
	say(h, h->addr.b + 12, 4);
	say(h, user, strlen(user) + 1);
}

static void hear_socks4(struct proxy_handshake *h)
{
	const uint8_t *p = buf_data(&h->said);

	if (buf_len(&h->said) < SOCKS4_REPLY)
		return;
	if (p[0] != 0 || p[1] != SOCKS4_GRANTED) {
		refuse(h, p[1] > SOCKS4_GRANTED + 1 ? -EACCES : -ECONNREFUSED);
		return;
	}
	buf_consume(&h->said, SOCKS4_REPLY);
	h->step = PROXY_PASSES;
}

/* --- SOCKS5 -------------------------------------------------------------------------------- */

static void ask_socks5(struct proxy_handshake *h)
{
	bool v4 = addr_is_v4(&h->addr);

	h->step = PROXY_REQUEST;
	say(h, "\5\1", 3);
	say_byte(h, v4 ? SOCKS5_IPV4 : SOCKS5_IPV6);
	say(h, h->addr.b + (v4 ? 12 : 0), v4 ? 4 : 16);
	say_port(h);
}

static void greet_socks5(struct proxy_handshake *h)
{
	h->step = PROXY_GREETING;
	if (h->proxy->user)
		say(h, "\5\2\0\2", 4);
	else
		say(h, "\5\1\0", 3);
}

static void hear_method(struct proxy_handshake *h)
{
	const uint8_t *p = buf_data(&h->said);
	uint8_t method;

	if (buf_len(&h->said) < 2)
		return;
	method = p[1];
	if (p[0] != 5 ||
	    (method != SOCKS5_NO_AUTH && !(method == SOCKS5_PASSWORD && h->proxy->user))) {
		refuse(h, -EACCES);
		return;
	}
	buf_consume(&h->said, 2);
	if (method == SOCKS5_NO_AUTH) {
		ask_socks5(h);
		return;
	}
	h->step = PROXY_PASSWORD;
	say_byte(h, 1);
	say_text(h, h->proxy->user);
	say_text(h, h->proxy->password ? h->proxy->password : "");
}

static void hear_password(struct proxy_handshake *h)
{
	if (buf_len(&h->said) < 2)
		return;
	if (buf_data(&h->said)[1] != 0) {
		refuse(h, -EACCES);
		return;
	}
	buf_consume(&h->said, 2);
	ask_socks5(h);
}

static int socks5_error(uint8_t code)
{
	switch (code) {
	case 2:
		return -EACCES;
	case 3:
		return -ENETUNREACH;
	case 4:
	case 6:
		return -EHOSTUNREACH;
	default:
		return -ECONNREFUSED;
	}
}

static void hear_socks5(struct proxy_handshake *h)
{
	const uint8_t *p = buf_data(&h->said);
	size_t have = buf_len(&h->said), n = 4 + 2;

	/* The address that it connects from, which may also be a name. */
	if (have < 5)
		return;
	if (p[0] != 5 || p[1] != 0) {
		refuse(h, p[0] == 5 ? socks5_error(p[1]) : -EPROTO);
		return;
	}
	if (p[3] == SOCKS5_IPV4) {
		n += 4;
	} else if (p[3] == SOCKS5_IPV6) {
		n += 16;
	} else if (p[3] == SOCKS5_NAME) {
		n += 1 + (size_t)p[4];
	} else {
		refuse(h, -EPROTO);
		return;
	}
	if (have < n)
		return;
	buf_consume(&h->said, n);
	h->step = PROXY_PASSES;
}

/* --- HTTP ---------------------------------------------------------------------------------- */

static void ask_http(struct proxy_handshake *h)
{
	char endpoint[ENDPOINT_LEN];
	int r;

	endpoint_format(&h->addr, h->port, endpoint);
	r = buf_printf(&h->say, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", endpoint, endpoint);
	if (r == 0 && h->proxy->user) {
		_cleanup_secret_ char *pair = xasprintf(
			"%s:%s", h->proxy->user, h->proxy->password ? h->proxy->password : "");
		_cleanup_secret_ char *text = xcalloc(1, BASE64_LEN(strlen(pair)) + 1);

		base64_encode(text, pair, strlen(pair));
		r = buf_printf(&h->say, "Proxy-Authorization: Basic %s\r\n", text);
	}
	if (r == 0)
		r = buf_append(&h->say, "\r\n", 2);
	if (r < 0)
		refuse(h, r);
}

static int http_error(int status)
{
	if (status == 403 || status == 407 || status == 401)
		return -EACCES;
	return status == 504 ? -ETIMEDOUT : -ECONNREFUSED;
}

/* The status of "HTTP/1.x NNN ..."; -1 for anything else. */
static int http_status(const char *line, size_t len)
{
	int status = 0;

	if (len < 13 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ' ||
	    (line[12] != ' ' && line[12] != '\r'))
		return -1;
	for (int i = 9; i < 12; i++) {
		if (line[i] < '0' || line[i] > '9')
			return -1;
		status = status * 10 + line[i] - '0';
	}
	return status;
}

static void hear_http(struct proxy_handshake *h)
{
	const char *p = (const char *)buf_data(&h->said);
	size_t have = buf_len(&h->said);
	const char *end = memmem(p, have, "\r\n\r\n", 4);
	int status;

	if (!end) {
		if (buf_room(&h->said) == 0)
			refuse(h, -EPROTO);
		return;
	}
	/* What follows is the far side's, and may be anything. */
	status = memchr(p, '\0', (size_t)(end - p)) ? -1 : http_status(p, (size_t)(end + 1 - p));
	if (status < 200 || status > 299) {
		refuse(h, status < 0 ? -EPROTO : http_error(status));
		return;
	}
	buf_consume(&h->said, (size_t)(end + 4 - p));
	h->step = PROXY_PASSES;
}

/* --- all of them --------------------------------------------------------------------------- */

int proxy_handshake_init(struct proxy_handshake *h, const struct net_proxy *proxy,
			 const struct addr *addr, uint16_t port)
{
	*h = (struct proxy_handshake){
		.proxy = proxy,
		.addr = *addr,
		.port = port,
		.step = PROXY_REQUEST,
	};
	buf_init(&h->say, SAY_MAX);
	buf_init(&h->said, PROXY_REPLY_MAX);
	switch (proxy->kind) {
	case PROXY_SOCKS4:
	case PROXY_SOCKS4A:
		if (!addr_is_v4(addr))
			return -EAFNOSUPPORT;
		ask_socks4(h);
		break;
	case PROXY_SOCKS5:
		greet_socks5(h);
		break;
	case PROXY_HTTP:
		ask_http(h);
		break;
	case PROXY_NONE:
		return -EINVAL;
	}
	return h->step == PROXY_REFUSED ? h->error : 0;
}

void proxy_handshake_release(struct proxy_handshake *h)
{
	if (h->say.mem)
		explicit_bzero(h->say.mem, h->say.cap);
	buf_release(&h->say);
	buf_release(&h->said);
}

void proxy_handshake_step(struct proxy_handshake *h)
{
	enum proxy_step before;

	do {
		before = h->step;
		if (h->step == PROXY_GREETING)
			hear_method(h);
		else if (h->step == PROXY_PASSWORD)
			hear_password(h);
		else if (h->step == PROXY_REQUEST && h->proxy->kind == PROXY_HTTP)
			hear_http(h);
		else if (h->step == PROXY_REQUEST && h->proxy->kind == PROXY_SOCKS5)
			hear_socks5(h);
		else if (h->step == PROXY_REQUEST)
			hear_socks4(h);
	} while (h->step != before);
}
