/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of the socket device: accepting programs and offering connections. */
#include "virtio/vsock_internal.h"

#include "base/clock.h"
#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define ACCEPT_BUDGET 16
#define LISTEN_RETRY  (100 * NSEC_PER_MSEC)

/*
 * The only type of socket pair: one of datagrams could send to any such socket by its name.
 * #syscalls:vsock socketpair(AF_UNIX,SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK) sendmsg close
 */
int vsock_offer(struct vsock *vs, uint32_t port)
{
	struct vsock_offer offer = {.port = port};
	struct iovec iov = {&offer, sizeof(offer)};
	union {
		char data[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {};
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.data,
		.msg_controllen = sizeof(control.data),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
	int sv[2], r = 0;

	if (vs->offers_fd < 0)
		return -ECONNREFUSED;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) < 0)
		return -errno;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &sv[1], sizeof(int));
	/* EAGAIN: our owner does not keep up. That is a refusal too; nothing here waits. */
	if (sendmsg(vs->offers_fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		r = -errno;
	close(sv[1]);
	if (r < 0)
		close(sv[0]);
	return r < 0 ? r : sv[0];
}

static void listen_again(struct vsock *vs)
{
	if (vs->listen_ev.fd >= 0 && !vs->listen_ev.active && vs->n_conns < VSOCK_CONNS_MAX)
		loop_add(worker_loop(vs->dev.worker), &vs->listen_ev, EPOLLIN);
}

static void on_listen_retry(struct timer *t)
{
	listen_again(container_of(t, struct vsock, listen_retry));
}

void vsock_conn_gone(struct vsock *vs)
{
	listen_again(vs);
}

/* #syscalls:vsock accept4 */
static void on_listen(struct ev *ev, uint32_t events)
{
	struct vsock *vs = container_of(ev, struct vsock, listen_ev);
	struct loop *loop = worker_loop(vs->dev.worker);

	for (int i = 0; i < ACCEPT_BUDGET; i++) {
		struct vsock_conn *c;
		int fd;

		/* Clients beyond the limit wait in the listener's queue. */
		if (vs->n_conns >= VSOCK_CONNS_MAX) {
			loop_del(loop, ev);
			return;
		}
		fd = accept4(ev->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0 && errno == EAGAIN)
			return;
		c = fd >= 0 ? vsock_conn_new(vs, fd, VSOCK_HELLO) : NULL;
		if (!c) {
			/* Out of descriptors or memory: a pause instead of a busy loop. */
			loop_del(loop, ev);
			timer_set(loop, &vs->listen_retry, clock_mono_ns() + LISTEN_RETRY);
			return;
		}
		vsock_conn_settle(c);
	}
}

int vsock_host_init(struct vsock *vs)
{
	socklen_t len = sizeof(int);
	int type, r;

	/* Another type would not keep the messages apart. */
	if (vs->offers_fd >= 0 &&
	    (getsockopt(vs->offers_fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	     type != SOCK_SEQPACKET))
		return -EINVAL;
	vs->listen_ev.fn = on_listen;
	vs->listen_retry.fn = on_listen_retry;
	if (vs->listen_ev.fd < 0)
		return 0;
	r = fd_set_nonblock(vs->listen_ev.fd, true);
	return r < 0 ? r : loop_add(worker_loop(vs->dev.worker), &vs->listen_ev, EPOLLIN);
}
