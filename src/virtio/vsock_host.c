/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of the socket device: accepting programs and reaching them. */
#include "virtio/vsock_internal.h"

#include "base/clock.h"
#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ACCEPT_BUDGET 16
#define LISTEN_RETRY  (100 * NSEC_PER_MSEC)

int vsock_connect_host(struct vsock *vs, uint32_t port)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = -1;
	int n, r;

	if (vs->dir_fd < 0)
		return -ECONNREFUSED;
	n = snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/%s_%u", vs->dir_fd,
		     vs->base, port);
	if (n >= (int)sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	do
		r = connect(fd, (struct sockaddr *)&sa, sizeof(sa));
	while (r < 0 && errno == EINTR);
	/* EAGAIN: the listener's queue is full. That is a refusal too; nothing here waits. */
	return r < 0 ? -errno : steal_fd(&fd);
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

int vsock_listen(struct vsock *vs)
{
	int r;

	vs->listen_ev.fn = on_listen;
	vs->listen_retry.fn = on_listen_retry;
	if (vs->listen_ev.fd < 0)
		return 0;
	r = fd_set_nonblock(vs->listen_ev.fd, true);
	return r < 0 ? r : loop_add(worker_loop(vs->dev.worker), &vs->listen_ev, EPOLLIN);
}
