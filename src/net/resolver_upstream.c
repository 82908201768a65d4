/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking upstream: the servers in their order, each over UDP from a socket of its own (a port that
 * nobody can guess, and answers from no other address), over TCP when the answer is cut off.
 */
#include "net/resolver_internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/util.h"
#include "net/socket_stream.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#define TRY_TIME   (1500 * NSEC_PER_MSEC)
#define TOTAL_TIME (5 * NSEC_PER_SEC)
#define QUERY_MAX  512

static void close_udp(struct query *q)
{
	loop_del(q->r->loop, &q->ev);
	close_fd(&q->ev.fd);
}

static void close_tcp(struct query *q)
{
	if (q->tcp)
		stream_close(q->tcp, false);
	q->tcp = NULL;
	free(q->tcp_message);
	q->tcp_message = NULL;
	q->tcp_have = q->tcp_sent = 0;
}

void query_stop(struct query *q)
{
	close_udp(q);
	close_tcp(q);
	timer_cancel(q->r->loop, &q->timer);
	loop_undefer(q->r->loop, &q->failing);
}

/* The query for the present server, after room for its length; returns its own length. */
static size_t write_query(const struct query *q, uint8_t msg[QUERY_MAX])
{
	size_t n = dns_query_write(msg + 2, QUERY_MAX - 2, &q->question, q->id);

	msg[0] = (uint8_t)(n >> 8);
	msg[1] = (uint8_t)n;
	return n;
}

static void ask_server(struct query *q);

static void next_server(struct query *q)
{
	loop_undefer(q->r->loop, &q->failing);
	close_udp(q);
	close_tcp(q);
	q->server++;
	/* After the last one the first again, while there is time. */
	if (clock_mono_ns() >= q->give_up_at) {
		query_failed(q);
		return;
	}
	ask_server(q);
}

static void on_timer(struct timer *t)
{
	next_server(container_of(t, struct query, timer));
}

/*
 * The server refuses: another may know better, the same one not so soon. After a round of refusals
 * that is the answer.
 */
static void on_failing(struct deferred *d)
{
	struct query *q = container_of(d, struct query, failing);

	if (q->server + 1 >= q->r->config.n_servers)
		query_failed(q);
	else
		next_server(q);
}

static void server_failed(struct query *q)
{
	loop_defer(q->r->loop, &q->failing);
}

/* What r->answer says about the server. True when it is an answer. */
static bool is_answer(const struct resolver *r)
{
	return r->answer.rcode == DNS_NOERROR || r->answer.rcode == DNS_NXDOMAIN;
}

/* --- TCP ----------------------------------------------------------------------------------- */

static void tcp_failed(void *ctx, int error)
{
	server_failed(ctx);
}

static void tcp_send(struct query *q)
{
	uint8_t msg[QUERY_MAX];
	size_t n = write_query(q, msg) + 2;
	struct iovec iov = {msg + q->tcp_sent, n - q->tcp_sent};
	ssize_t r = q->tcp_sent < n ? stream_write(q->tcp, &iov, 1) : 0;

	if (r < 0)
		server_failed(q);
	else
		q->tcp_sent += (size_t)r;
}

static void tcp_opened(void *ctx, int error)
{
	if (error)
		server_failed(ctx);
	else
		tcp_send(ctx);
}

static void tcp_writable(void *ctx)
{
	tcp_send(ctx);
}

/* A whole message has come. */
static void tcp_message(struct query *q, size_t len)
{
	struct resolver *r = q->r;

	if (dns_answer_parse(q->tcp_message + 2, len, &q->question, q->id, &r->answer) < 0 ||
	    r->answer.truncated || !is_answer(r)) {
		server_failed(q);
		return;
	}
	memcpy(r->message, q->tcp_message + 2, len);
	query_answered(q, r->message, len);
}

static void tcp_readable(void *ctx)
{
	struct query *q = ctx;

	for (;;) {
		struct iovec iov = {q->tcp_message + q->tcp_have,
				    2 + DNS_MESSAGE_MAX - q->tcp_have};
		ssize_t n = stream_read(q->tcp, &iov, 1);
		size_t len;

		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			server_failed(q);
			return;
		}
		q->tcp_have += (size_t)n;
		len = (size_t)(q->tcp_message[0] << 8 | q->tcp_message[1]);
		if (q->tcp_have >= 2 && q->tcp_have >= 2 + len) {
			tcp_message(q, len);
			return;
		}
	}
}

static const struct stream_user_ops tcp_user = {tcp_opened, tcp_readable, tcp_writable, tcp_failed};

static void ask_by_tcp(struct query *q)
{
	struct resolver *r = q->r;
	const struct net_server *s = &r->config.servers[q->server % r->config.n_servers];

	close_udp(q);
	q->tcp_message = malloc(2 + DNS_MESSAGE_MAX);
	q->tcp = q->tcp_message ? socket_stream_connect(r->loop, &s->addr, s->port) : NULL;
	if (!q->tcp) {
		server_failed(q);
		return;
	}
	q->tcp->user = &tcp_user;
	q->tcp->ctx = q;
}

/* --- UDP ----------------------------------------------------------------------------------- */

/* #syscalls:dns recvfrom */
static void on_datagram(struct ev *ev, uint32_t events)
{
	struct query *q = container_of(ev, struct query, ev);
	struct resolver *r = q->r;
	ssize_t n = recv(ev->fd, r->message, sizeof(r->message), MSG_DONTWAIT);
	int error;

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			server_failed(q);
		return;
	}
	error = dns_answer_parse(r->message, (size_t)n, &q->question, q->id, &r->answer);
	/* Somebody may be guessing: the real one is still to come. */
	if (error && !dns_answer_fits(r->message, (size_t)n, &q->question, q->id))
		return;
	if (!error && r->answer.truncated)
		ask_by_tcp(q);
	else if (error || !is_answer(r))
		server_failed(q);
	else
		query_answered(q, r->message, (size_t)n);
}

/*
 * #syscalls:dns socket(AF_INET,SOCK_DGRAM|SOCK_CLOEXEC|SOCK_NONBLOCK,0) connect sendto close
 * #syscalls:dns socket(AF_INET6,SOCK_DGRAM|SOCK_CLOEXEC|SOCK_NONBLOCK,0) getrandom
 */
static int ask_by_udp(struct query *q, const struct net_server *s)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&s->addr, s->port, &ss);
	uint8_t msg[QUERY_MAX];
	size_t n;

	if (getrandom(&q->id, sizeof(q->id), 0) != sizeof(q->id))
		return -EIO;
	q->ev.fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (q->ev.fd < 0)
		return -errno;
	n = write_query(q, msg);
	if (connect(q->ev.fd, (struct sockaddr *)&ss, len) < 0 ||
	    send(q->ev.fd, msg + 2, n, MSG_NOSIGNAL) < 0)
		return -errno;
	return loop_add(q->r->loop, &q->ev, EPOLLIN);
}

static void ask_server(struct query *q)
{
	struct resolver *r = q->r;
	uint64_t now = clock_mono_ns();

	timer_set(r->loop, &q->timer, MIN(now + TRY_TIME, q->give_up_at));
	if (ask_by_udp(q, &r->config.servers[q->server % r->config.n_servers]) < 0)
		server_failed(q);
}

void query_start(struct query *q)
{
	q->ev.fd = -1;
	q->ev.fn = on_datagram;
	q->timer.fn = on_timer;
	q->failing.fn = on_failing;
	q->give_up_at = clock_mono_ns() + TOTAL_TIME;
	if (q->r->config.n_servers == 0)
		server_failed(q);
	else
		ask_server(q);
}
