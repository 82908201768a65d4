/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel says about a socket comes edge-triggered, so that a connection costs one call to
 * be watched and none to be looked after: it is readable until a read says otherwise, and our user
 * asks for as long as that lasts.
 */
#include "net/socket_stream.h"

#include "base/cleanup.h"
#include "base/util.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

struct socket_stream {
	struct stream stream;
	struct loop *loop;
	struct ev ev;
	struct deferred opening;
	bool open;
	bool drained; /* nothing was left when we last read; an event says when there is more */
	bool ending;  /* the other side has closed: what ends a read now is its end */
	bool wrote, no_delay;
	bool busy; /* it is telling its user something ... */
	bool gone; /* ... who has closed it meanwhile */
};

static struct socket_stream *self(struct stream *s)
{
	return container_of(s, struct socket_stream, stream);
}

/*
 * The first bytes go out at once in any case; those after them shall not wait for the answer to
 * them (Nagle), which short connections never find out.
 *
 * #syscalls:socket sendmsg recvmsg setsockopt(IPPROTO_TCP,TCP_NODELAY)
 */
static ssize_t socket_write(struct stream *s, const struct iovec *iov, int n)
{
	struct msghdr mh = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
	struct socket_stream *ss = self(s);
	const int one = 1;
	ssize_t r;

	if (ss->wrote && !ss->no_delay) {
		setsockopt(ss->ev.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		ss->no_delay = true;
	}
	ss->wrote = true;
	r = sendmsg(ss->ev.fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (r < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return r;
}

static ssize_t socket_read(struct stream *s, const struct iovec *iov, int n)
{
	struct msghdr mh = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
	struct socket_stream *ss = self(s);
	size_t room = 0;
	ssize_t r;

	if (ss->drained)
		return -EAGAIN;
	r = recvmsg(ss->ev.fd, &mh, MSG_DONTWAIT);
	if (r < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	for (int i = 0; i < n; i++)
		room += iov[i].iov_len;
	/* epoll(7), question 9: less than was asked for is all there was. */
	ss->drained = r > 0 && (size_t)r < room && !ss->ending;
	return r;
}

/* #syscalls:socket shutdown */
static void socket_shut(struct stream *s)
{
	shutdown(self(s)->ev.fd, SHUT_WR);
}

/* #syscalls:socket setsockopt(SOL_SOCKET,SO_LINGER) close */
static void socket_close(struct stream *s, bool reset)
{
	struct socket_stream *ss = self(s);
	const struct linger linger = {.l_onoff = 1};

	if (reset)
		setsockopt(ss->ev.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	loop_undefer(ss->loop, &ss->opening);
	loop_forget(ss->loop, &ss->ev);
	close(ss->ev.fd);
	ss->gone = true;
	if (!ss->busy)
		free(ss);
}

static const struct stream_ops ops = {socket_write, socket_shut, socket_read, socket_close};

/* #syscalls:socket getsockopt */
static int socket_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	return -error;
}

/* Is it connected by now? Not yet is -EINPROGRESS. */
static int connected(const struct socket_stream *ss)
{
	struct tcp_info info;
	socklen_t len = offsetof(struct tcp_info, tcpi_ca_state);

	if (getsockopt(ss->ev.fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return -errno;
	if (info.tcpi_state == TCP_ESTABLISHED)
		return 0;
	return info.tcpi_state == TCP_SYN_SENT ? -EINPROGRESS : socket_error(ss->ev.fd);
}

static void opened(struct socket_stream *ss, int error)
{
	ss->open = error == 0;
	ss->stream.user->opened(ss->stream.ctx, error);
}

/* Tells the user what has happened, who may close the stream at each of these calls. */
static void tell(struct socket_stream *ss, uint32_t events)
{
	if (!ss->open) {
		int error = connected(ss);

		if (error == -EINPROGRESS)
			return;
		loop_undefer(ss->loop, &ss->opening);
		opened(ss, error);
		if (error || ss->gone)
			return;
	}
	if (events & EPOLLERR) {
		int error = socket_error(ss->ev.fd);

		ss->stream.user->failed(ss->stream.ctx, error ? error : -ECONNRESET);
		return;
	}
	if (events & EPOLLOUT)
		ss->stream.user->writable(ss->stream.ctx);
	if (!ss->gone && events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
		ss->stream.user->readable(ss->stream.ctx);
}

static void on_event(struct ev *ev, uint32_t events)
{
	struct socket_stream *ss = container_of(ev, struct socket_stream, ev);

	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
		ss->drained = false;
	ss->ending |= (events & (EPOLLRDHUP | EPOLLHUP)) != 0;
	ss->busy = true;
	tell(ss, events);
	ss->busy = false;
	if (ss->gone)
		free(ss);
}

/* A connection over the loopback interface is there before anybody looks. */
static void on_opening(struct deferred *d)
{
	struct socket_stream *ss = container_of(d, struct socket_stream, opening);
	int error = ss->open ? 0 : connected(ss);

	if (error != -EINPROGRESS)
		opened(ss, error);
}

/* Takes `fd` over in any case. */
static struct stream *new_stream(struct loop *loop, int fd, bool open)
{
	struct socket_stream *ss = calloc(1, sizeof(*ss));
	int r;

	if (!ss) {
		close(fd);
		return NULL;
	}
	ss->stream.ops = &ops;
	ss->loop = loop;
	ss->open = open;
	ss->opening.fn = on_opening;
	ss->ev = (struct ev){.fd = fd, .fn = on_event};
	r = loop_add(loop, &ss->ev, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	if (r < 0) {
		close(fd);
		free(ss);
		errno = -r;
		return NULL;
	}
	loop_defer(loop, &ss->opening);
	return &ss->stream;
}

/*
 * #syscalls:socket socket(AF_INET,SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK,0) connect
 * #syscalls:socket socket(AF_INET6,SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK,0)
 */
struct stream *socket_stream_connect(struct loop *loop, const struct addr *addr, uint16_t port)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(addr, port, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return NULL;
	if (connect(fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS) {
		int error = errno;

		close(fd);
		errno = error;
		return NULL;
	}
	return new_stream(loop, fd, false);
}

struct stream *socket_stream_accepted(struct loop *loop, int fd)
{
	return new_stream(loop, fd, true);
}
