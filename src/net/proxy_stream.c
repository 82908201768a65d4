/* SPDX-License-Identifier: Apache-2.0 */
#include "net/proxy_stream.h"

#include "base/clock.h"
#include "base/util.h"
#include "net/proxy_handshake.h"
#include "net/socket_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE (30 * NSEC_PER_SEC)
#define READ_MAX ((size_t)512)

struct proxy_stream {
	struct stream stream;
	struct loop *loop;
	struct stream *socket;
	struct proxy_handshake handshake;
	struct timer timer;
	bool told;             /* the user: that it is open, or is not */
	struct deferred first; /* bytes of the far side that came with the proxy's last words */
};

static struct proxy_stream *self(struct stream *s)
{
	return container_of(s, struct proxy_stream, stream);
}

static bool passes(const struct proxy_stream *p)
{
	return p->handshake.step == PROXY_PASSES;
}

/* Tells how the handshake has ended; the user may close the stream. */
static void tell(struct proxy_stream *p, int error)
{
	if (p->told)
		return;
	p->told = true;
	timer_cancel(p->loop, &p->timer);
	if (error == 0)
		loop_defer(p->loop, &p->first);
	p->stream.user->opened(p->stream.ctx, error);
}

/* What came behind the proxy's answer was seen by nobody. */
static void on_first(struct deferred *d)
{
	struct proxy_stream *p = container_of(d, struct proxy_stream, first);

	p->stream.user->readable(p->stream.ctx);
}

/* Sends what is to be said. False when that failed, and the user knows. */
static bool speak(struct proxy_stream *p)
{
	struct buf *b = &p->handshake.say;

	while (buf_len(b)) {
		struct iovec iov = {(void *)buf_data(b), buf_len(b)};
		ssize_t n = stream_write(p->socket, &iov, 1);

		if (n < 0) {
			tell(p, (int)n);
			return false;
		}
		if (n == 0)
			return true;
		buf_consume(b, (size_t)n);
	}
	return true;
}

static void listen_to(struct proxy_stream *p)
{
	struct buf *b = &p->handshake.said;

	while (!passes(p)) {
		size_t max = MIN(buf_room(b), READ_MAX);
		struct iovec iov = {buf_reserve(b, max), max};
		ssize_t n = iov.iov_base && max ? stream_read(p->socket, &iov, 1) : -EPROTO;

		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			tell(p, n == 0 ? -ECONNREFUSED : (int)n);
			return;
		}
		buf_commit(b, (size_t)n);
		proxy_handshake_step(&p->handshake);
		if (p->handshake.step == PROXY_REFUSED) {
			tell(p, p->handshake.error);
			return;
		}
		if (!speak(p))
			return;
	}
	tell(p, 0);
}

static void on_opened(void *ctx, int error)
{
	struct proxy_stream *p = ctx;

	if (error)
		tell(p, error);
	else
		speak(p);
}

static void on_readable(void *ctx)
{
	struct proxy_stream *p = ctx;

	if (p->told)
		p->stream.user->readable(p->stream.ctx);
	else
		listen_to(p);
}

static void on_writable(void *ctx)
{
	struct proxy_stream *p = ctx;

	if (p->told)
		p->stream.user->writable(p->stream.ctx);
	else
		speak(p);
}

static void on_failed(void *ctx, int error)
{
	struct proxy_stream *p = ctx;

	if (p->told)
		p->stream.user->failed(p->stream.ctx, error);
	else
		tell(p, error);
}

static const struct stream_user_ops socket_user = {on_opened, on_readable, on_writable, on_failed};

static void on_timer(struct timer *t)
{
	tell(container_of(t, struct proxy_stream, timer), -ETIMEDOUT);
}

static ssize_t proxy_write(struct stream *s, const struct iovec *iov, int n)
{
	return passes(self(s)) ? stream_write(self(s)->socket, iov, n) : 0;
}

static void proxy_shut(struct stream *s)
{
	stream_shut(self(s)->socket);
}

static ssize_t proxy_read(struct stream *s, const struct iovec *iov, int n)
{
	struct proxy_stream *p = self(s);
	struct buf *first = &p->handshake.said;
	size_t len;

	if (!passes(p))
		return -EAGAIN;
	if (buf_len(first) == 0)
		return stream_read(p->socket, iov, n);
	len = MIN(iov[0].iov_len, buf_len(first));
	memcpy(iov[0].iov_base, buf_data(first), len);
	buf_consume(first, len);
	return (ssize_t)len;
}

static void proxy_close(struct stream *s, bool reset)
{
	struct proxy_stream *p = self(s);

	stream_close(p->socket, reset);
	timer_cancel(p->loop, &p->timer);
	loop_undefer(p->loop, &p->first);
	proxy_handshake_release(&p->handshake);
	free(p);
}

static const struct stream_ops ops = {proxy_write, proxy_shut, proxy_read, proxy_close};

struct stream *proxy_stream_connect(struct loop *loop, const struct net_proxy *proxy,
				    const struct addr *addr, uint16_t port)
{
	struct proxy_stream *p = calloc(1, sizeof(*p));
	int r;

	if (!p) {
		errno = ENOMEM;
		return NULL;
	}
	p->stream.ops = &ops;
	p->loop = loop;
	p->timer.fn = on_timer;
	p->first.fn = on_first;
	r = proxy_handshake_init(&p->handshake, proxy, addr, port);
	if (r == 0)
		p->socket = socket_stream_connect(loop, &proxy->addr, proxy->port);
	if (!p->socket) {
		int error = r < 0 ? -r : errno;

		proxy_handshake_release(&p->handshake);
		free(p);
		errno = error;
		return NULL;
	}
	p->socket->user = &socket_user;
	p->socket->ctx = p;
	timer_set(loop, &p->timer, clock_mono_ns() + PATIENCE);
	return &p->stream;
}
