/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of the socket device. See vsock.c for the theory of operation. */
#include "virtio/vsock_internal.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* The first read from a host program; it doubles while reads are full. */
#define READ_MIN 8192u

#define BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

static void on_event(struct ev *ev, uint32_t events);

struct vsock_conn *vsock_conn_new(struct vsock *vs, int fd, enum vsock_state state)
{
	struct vsock_conn *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	c->vs = vs;
	c->state = state;
	c->ev.fd = fd;
	c->ev.fn = on_event;
	buf_init(&c->out, VSOCK_BUF_ALLOC);
	LIST_INSERT_HEAD(&vs->all, c, all_link);
	vs->n_conns++;
	return c;
}

static void leave_guest(struct vsock_conn *c)
{
	if (c->hashed)
		LIST_REMOVE(c, hash_link);
	if (c->on_ready)
		TAILQ_REMOVE(&c->vs->ready, c, ready_link);
	c->hashed = false;
	c->on_ready = false;
	c->pending = 0;
}

/* #syscalls:vsock close */
void vsock_conn_free(struct vsock_conn *c)
{
	struct vsock *vs = c->vs;

	if (vs->current == c)
		vs->current = NULL;
	leave_guest(c);
	loop_del(worker_loop(vs->dev.worker), &c->ev);
	close(c->ev.fd);
	buf_release(&c->out);
	LIST_REMOVE(c, all_link);
	vs->n_conns--;
	vs->n_from_guest -= c->from_guest;
	free(c);
	vsock_conn_gone(vs);
}

static bool wants_read(const struct vsock_conn *c)
{
	return c->state == VSOCK_OPEN && !c->host_eof && !c->no_credit &&
	       !(c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) &&
	       !(c->pending & (VSOCK_SEND_DATA | VSOCK_SEND_RST));
}

/*
 * A hang-up is always reported while a descriptor is watched, so one that cannot be acted on now
 * must not be watched at all, or the loop would spin.
 */
static bool watched(const struct vsock_conn *c, uint32_t *ret_events)
{
	*ret_events = 0;
	if (c->state == VSOCK_HELLO || wants_read(c))
		*ret_events |= EPOLLIN;
	if (buf_len(&c->out))
		*ret_events |= EPOLLOUT;
	if (*ret_events)
		return true;
	if (c->state == VSOCK_REQUESTED)
		return !(c->pending & VSOCK_SEND_RST);
	return c->state == VSOCK_OPEN && c->host_eof && !c->host_gone;
}

static void update_ready(struct vsock_conn *c)
{
	if (c->pending && !c->on_ready)
		TAILQ_INSERT_TAIL(&c->vs->ready, c, ready_link);
	else if (!c->pending && c->on_ready)
		TAILQ_REMOVE(&c->vs->ready, c, ready_link);
	c->on_ready = c->pending != 0;
}

void vsock_conn_settle(struct vsock_conn *c)
{
	struct loop *loop = worker_loop(c->vs->dev.worker);
	uint32_t events;

	if (c->state == VSOCK_DRAIN && buf_len(&c->out) == 0)
		c->state = VSOCK_DEAD;
	if (c->state == VSOCK_DEAD) {
		vsock_conn_free(c);
		return;
	}
	update_ready(c);
	if (!watched(c, &events))
		loop_del(loop, &c->ev);
	else if (c->ev.active ? loop_mod(loop, &c->ev, events) < 0
			      : loop_add(loop, &c->ev, events) < 0)
		vsock_conn_free(c);
}

void vsock_conn_finish(struct vsock_conn *c)
{
	leave_guest(c);
	c->state = VSOCK_DRAIN;
}

void vsock_conn_reset(struct vsock_conn *c)
{
	c->pending = VSOCK_SEND_RST;
}

uint32_t vsock_conn_credit(const struct vsock_conn *c)
{
	uint32_t in_flight = c->sent - c->peer_fwd_cnt;

	return in_flight < c->peer_buf_alloc ? c->peer_buf_alloc - in_flight : 0;
}

uint32_t vsock_conn_read_size(const struct vsock_conn *c)
{
	return MIN(vsock_conn_credit(c), MAX(c->read_hint, READ_MIN));
}

/* Bytes went to the host program (or were thrown away because it is gone). */
static void forwarded(struct vsock_conn *c, size_t n)
{
	c->fwd_cnt += (uint32_t)n;
	/* Half of the credit: the guest never runs dry while the host program keeps up. */
	if (c->state == VSOCK_OPEN && c->fwd_cnt - c->fwd_told >= VSOCK_BUF_ALLOC / 2)
		c->pending |= VSOCK_SEND_CREDIT;
}

/* The host program does not read any more: the guest should stop sending, what comes is dropped. */
static void host_stopped_reading(struct vsock_conn *c)
{
	size_t n = buf_len(&c->out);

	c->host_gone = true;
	buf_consume(&c->out, n);
	forwarded(c, n);
	if (c->state == VSOCK_OPEN) {
		c->shut_to_send |= VIRTIO_VSOCK_SHUTDOWN_RCV;
		c->pending |= VSOCK_SEND_SHUTDOWN;
	}
}

/* #syscalls:vsock shutdown */
static void shutdown_when_drained(struct vsock_conn *c)
{
	if (!(c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) || buf_len(&c->out) || c->write_shut)
		return;
	c->write_shut = true;
	shutdown(c->ev.fd, SHUT_WR);
}

/*
 * Writes what waits for the host program.
 * #syscalls:vsock sendto
 */
static void flush_out(struct vsock_conn *c)
{
	while (buf_len(&c->out)) {
		ssize_t n = send(c->ev.fd, buf_data(&c->out), buf_len(&c->out),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			host_stopped_reading(c);
			break;
		}
		buf_consume(&c->out, (size_t)n);
		forwarded(c, (size_t)n);
	}
	buf_release(&c->out);
	buf_init(&c->out, VSOCK_BUF_ALLOC);
	shutdown_when_drained(c);
}

/* Parses "CONNECT <port>\n"; false unless that is exactly what it is. */
static bool parse_connect(const char *line, uint32_t *ret_port)
{
	uint64_t port;

	if (!str_starts_with(line, "CONNECT ") ||
	    parse_u64(line + strlen("CONNECT "), UINT32_MAX, &port) < 0)
		return false;
	*ret_port = (uint32_t)port;
	return true;
}

/*
 * Reads no byte beyond the line: what follows belongs to the stream.
 * #syscalls:vsock recvfrom
 */
static void read_hello(struct vsock_conn *c)
{
	size_t room = sizeof(c->line) - 1 - c->line_len, n;
	char *at = c->line + c->line_len, *nl;
	ssize_t r = recv(c->ev.fd, at, room, MSG_PEEK | MSG_DONTWAIT);

	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (r <= 0) {
		c->state = VSOCK_DEAD;
		return;
	}
	nl = memchr(at, '\n', (size_t)r);
	n = nl ? (size_t)(nl - at) + 1 : (size_t)r;
	r = recv(c->ev.fd, at, n, MSG_DONTWAIT);
	if (r != (ssize_t)n) {
		c->state = VSOCK_DEAD;
		return;
	}
	c->line_len += (unsigned int)n;
	if (nl) {
		*nl = '\0';
		if (parse_connect(c->line, &c->guest_port)) {
			c->host_port = vsock_new_port(c->vs);
			vsock_hash_add(c);
			c->state = VSOCK_REQUESTED;
			c->pending = VSOCK_SEND_REQUEST;
			return;
		}
		c->state = VSOCK_DEAD;
	} else if (c->line_len == sizeof(c->line) - 1) {
		c->state = VSOCK_DEAD;
	}
}

/* The host program closed its end completely. */
static void host_hung_up(struct vsock_conn *c)
{
	switch (c->state) {
	case VSOCK_REQUESTED:
		if (c->pending & VSOCK_SEND_REQUEST)
			c->state = VSOCK_DEAD;
		else
			vsock_conn_reset(c);
		break;
	case VSOCK_OPEN:
		if (!c->host_eof || c->host_gone)
			break;
		/* Closed without a word: the offer was not wanted. */
		if (c->from_guest && c->sent == 0)
			vsock_conn_reset(c);
		else
			host_stopped_reading(c);
		break;
	case VSOCK_HELLO:
	case VSOCK_DRAIN:
	case VSOCK_DEAD:
		break;
	}
}

static void on_event(struct ev *ev, uint32_t events)
{
	struct vsock_conn *c = container_of(ev, struct vsock_conn, ev);
	struct vsock *vs = c->vs;

	if (c->state == VSOCK_HELLO) {
		read_hello(c);
	} else {
		if (buf_len(&c->out))
			flush_out(c);
		/* Reading happens where the guest's buffers are, in vsock_flush. */
		if (wants_read(c) && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
			c->pending |= VSOCK_SEND_DATA;
		if (events & EPOLLHUP)
			host_hung_up(c);
	}
	/* Settled only after the flush, so that data that can go at once cost no epoll_ctl. */
	update_ready(c);
	vs->current = c;
	vsock_flush(vs);
	if (vs->current)
		vsock_conn_settle(vs->current);
	vs->current = NULL;
}

static void accepted(struct vsock_conn *c)
{
	char ok[24];
	int n = snprintf(ok, sizeof(ok), "OK %u\n", c->host_port);

	c->state = VSOCK_OPEN;
	/* Nothing was written to this socket before, so it has room. */
	if (send(c->ev.fd, ok, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) != n)
		vsock_conn_reset(c);
}

/* #syscalls:vsock sendmsg */
static void receive(struct vsock_conn *c, struct iov_iter *data)
{
	size_t len = data->left;
	ssize_t sent = 0;

	if ((c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) || len > buf_room(&c->out)) {
		vsock_conn_reset(c);
		return;
	}
	if (c->host_gone) {
		forwarded(c, len);
		return;
	}
	if (buf_len(&c->out) == 0) {
		struct iov_iter ahead = *data;
		struct iovec iov[VSOCK_CHAIN_MAX];
		struct msghdr m = {.msg_iov = iov};
		size_t taken;

		m.msg_iovlen = iov_iter_take(&ahead, len, iov, ARRAY_SIZE(iov), &taken);
		sent = sendmsg(c->ev.fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno != EAGAIN && errno != EINTR) {
			forwarded(c, len);
			host_stopped_reading(c);
			return;
		}
		if (sent > 0) {
			forwarded(c, (size_t)sent);
			iov_iter_skip(data, (size_t)sent);
		}
	}
	if (data->left) {
		size_t left = data->left;
		uint8_t *p = buf_reserve(&c->out, left);

		if (!p) {
			vsock_conn_reset(c);
			return;
		}
		iov_iter_read(data, p, left);
		buf_commit(&c->out, left);
	}
}

static void guest_shutdown(struct vsock_conn *c, uint32_t flags)
{
	c->guest_shut |= flags & BOTH;
	if (c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) {
		c->pending &= ~(unsigned int)VSOCK_SEND_DATA;
		shutdown(c->ev.fd, SHUT_RD);
	}
	shutdown_when_drained(c);
	/* A reset confirms that both directions are closed (5.10.6.5). */
	if (c->guest_shut == BOTH)
		vsock_conn_reset(c);
}

static void take_credit(struct vsock_conn *c, const struct virtio_vsock_hdr *h)
{
	c->peer_buf_alloc = h->buf_alloc;
	c->peer_fwd_cnt = h->fwd_cnt;
	if (c->no_credit && vsock_conn_credit(c) > 0)
		c->no_credit = false;
}

void vsock_conn_packet(struct vsock_conn *c, const struct virtio_vsock_hdr *h,
		       struct iov_iter *data)
{
	/* Our reset is on its way: only the guest's own ends it sooner. */
	if (c->pending & VSOCK_SEND_RST && h->op != VIRTIO_VSOCK_OP_RST)
		return;
	take_credit(c, h);
	if (h->op == VIRTIO_VSOCK_OP_RST) {
		vsock_conn_finish(c);
		return;
	}
	if (c->state == VSOCK_REQUESTED) {
		if (h->op == VIRTIO_VSOCK_OP_RESPONSE && !(c->pending & VSOCK_SEND_REQUEST))
			accepted(c);
		else
			vsock_conn_reset(c);
		return;
	}
	switch (h->op) {
	case VIRTIO_VSOCK_OP_RW:
		receive(c, data);
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		guest_shutdown(c, h->flags);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		c->pending |= VSOCK_SEND_CREDIT;
		break;
	default:
		vsock_conn_reset(c);
	}
}

void vsock_conn_data_read(struct vsock_conn *c, ssize_t n)
{
	c->pending &= ~(unsigned int)VSOCK_SEND_DATA;
	if (n > 0) {
		c->sent += (uint32_t)n;
		c->read_hint = (uint32_t)MIN((size_t)n * 2, (size_t)VSOCK_BUF_ALLOC);
	} else if (n == 0) {
		c->host_eof = true;
		c->shut_to_send |= VIRTIO_VSOCK_SHUTDOWN_SEND;
		c->pending |= VSOCK_SEND_SHUTDOWN;
	} else if (n != -EAGAIN && n != -EINTR) {
		vsock_conn_reset(c);
	}
}

bool vsock_conn_next(struct vsock_conn *c, struct virtio_vsock_hdr *h)
{
	static const struct {
		unsigned int bit;
		uint16_t op;
	} order[] = {
		{VSOCK_SEND_REQUEST, VIRTIO_VSOCK_OP_REQUEST},
		{VSOCK_SEND_RESPONSE, VIRTIO_VSOCK_OP_RESPONSE},
		{VSOCK_SEND_CREDIT, VIRTIO_VSOCK_OP_CREDIT_UPDATE},
		{VSOCK_ASK_CREDIT, VIRTIO_VSOCK_OP_CREDIT_REQUEST},
		{VSOCK_SEND_DATA, VIRTIO_VSOCK_OP_RW},
		{VSOCK_SEND_SHUTDOWN, VIRTIO_VSOCK_OP_SHUTDOWN},
	};

	h->flags = 0;
	if (c->pending & VSOCK_SEND_RST) {
		h->op = VIRTIO_VSOCK_OP_RST;
		vsock_conn_finish(c);
		return true;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(order); i++) {
		if (!(c->pending & order[i].bit))
			continue;
		if (order[i].bit == VSOCK_SEND_DATA && vsock_conn_credit(c) == 0) {
			c->no_credit = true;
			c->pending &= ~(unsigned int)VSOCK_SEND_DATA;
			c->pending |= VSOCK_ASK_CREDIT;
			h->op = VIRTIO_VSOCK_OP_CREDIT_REQUEST;
			c->pending &= ~(unsigned int)VSOCK_ASK_CREDIT;
			return true;
		}
		h->op = order[i].op;
		if (order[i].bit == VSOCK_SEND_SHUTDOWN)
			h->flags = c->shut_to_send;
		/* Data stay pending until a read says how much there was. */
		if (order[i].bit != VSOCK_SEND_DATA)
			c->pending &= ~order[i].bit;
		return true;
	}
	return false;
}
