/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A resolver between a guest and name servers that are the test's: a real loop and real sockets on
 * 127.0.0.1. Nothing waits for time to pass: time-outs are fired by hand. Whoever includes this has
 * included resolver_upstream.c, to see queries from inside.
 */
#pragma once

#include "dns.h"

#include "../sandbox/rounds.h"

#include <netinet/in.h>

#define SERVERS 2

/* What a name server says to a question; with an empty message it says nothing. */
typedef void respond_fn(struct message *m, const struct dns_question *q);

struct server {
	struct ev udp, listener, connection;
	uint16_t port;
	respond_fn *respond, *respond_by_tcp;
	unsigned int asked, asked_by_tcp;
	char last[DOMAIN_LEN];
};

static struct world {
	struct loop *loop;
	struct policy policy;
	struct resolver_config config;
	struct resolver *r;
	struct server servers[SERVERS];
	struct addr host_addr;
	unsigned int denied;
	char denied_name[2 * DOMAIN_LEN + 32], denied_why[POLICY_WHY_LEN];
	/* Answers to the guest: how many, and the last one. */
	unsigned int replies, wanted;
	uint8_t reply[DNS_MESSAGE_MAX];
	size_t reply_len;
} w;

/* --- name servers */

static inline void answer_udp(struct ev *ev, uint32_t events)
{
	struct server *s = container_of(ev, struct server, udp);
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	struct dns_question q;
	static struct message m;
	uint8_t query[512];
	ssize_t n = recvfrom(ev->fd, query, sizeof(query), MSG_DONTWAIT, (struct sockaddr *)&from,
			     &from_len);

	assert_true(n > 0);
	assert_int_equal(dns_question_parse(query, (size_t)n, &q), 0);
	s->asked++;
	memcpy(s->last, q.name, sizeof(s->last));
	m.n = 0;
	s->respond(&m, &q);
	if (m.n)
		assert_int_equal(sendto(ev->fd, m.p, m.n, 0, (struct sockaddr *)&from, from_len),
				 m.n);
}

/* The answer comes in two parts. */
static inline void answer_tcp(struct ev *ev, uint32_t events)
{
	struct server *s = container_of(ev, struct server, connection);
	static struct message m;
	struct dns_question q;
	uint8_t query[512], head[2];
	ssize_t n = recv(ev->fd, query, sizeof(query), MSG_DONTWAIT);

	if (n <= 0) {
		loop_del(w.loop, ev);
		close_fd(&ev->fd);
		return;
	}
	assert_int_equal(query[0] << 8 | query[1], n - 2);
	assert_int_equal(dns_question_parse(query + 2, (size_t)n - 2, &q), 0);
	s->asked_by_tcp++;
	m.n = 0;
	s->respond_by_tcp(&m, &q);
	if (m.n == 0)
		return;
	head[0] = (uint8_t)(m.n >> 8);
	head[1] = (uint8_t)m.n;
	assert_int_equal(send(ev->fd, head, 1, MSG_NOSIGNAL), 1);
	assert_int_equal(send(ev->fd, head + 1, 1, MSG_NOSIGNAL), 1);
	assert_int_equal(send(ev->fd, m.p, m.n, MSG_NOSIGNAL), m.n);
}

static inline void on_connection(struct ev *ev, uint32_t events)
{
	struct server *s = container_of(ev, struct server, listener);

	assert_int_equal(s->connection.fd, -1);
	s->connection = (struct ev){.fd = accept(ev->fd, NULL, NULL), .fn = answer_tcp};
	assert_int_equal(loop_add(w.loop, &s->connection, EPOLLIN), 0);
}

static inline int bound_socket(int type, uint16_t *port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons(*port)};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (bind(fd, (struct sockaddr *)&sin, len) < 0) {
		close(fd);
		return -1;
	}
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	*port = ntohs(sin.sin_port);
	return fd;
}

static inline void server_start(struct server *s)
{
	int udp, tcp;

	/* One port for both, which somebody else may have of one kind. */
	do {
		s->port = 0;
		udp = bound_socket(SOCK_DGRAM, &s->port);
		tcp = bound_socket(SOCK_STREAM, &s->port);
		if (tcp < 0)
			close(udp);
	} while (tcp < 0);
	assert_int_equal(listen(tcp, 4), 0);
	s->udp = (struct ev){.fd = udp, .fn = answer_udp};
	s->listener = (struct ev){.fd = tcp, .fn = on_connection};
	s->connection.fd = -1;
	assert_int_equal(loop_add(w.loop, &s->udp, EPOLLIN), 0);
	assert_int_equal(loop_add(w.loop, &s->listener, EPOLLIN), 0);
}

static inline void server_stop(struct server *s)
{
	struct ev *evs[] = {&s->udp, &s->listener, &s->connection};

	for (size_t i = 0; i < ARRAY_SIZE(evs); i++) {
		loop_del(w.loop, evs[i]);
		close_fd(&evs[i]->fd);
	}
}

static inline void answer_to(struct message *m, const struct dns_question *q)
{
	begin_answer(m, q->name, q->type);
	set16(m, 0, q->id);
}

static const char *address = "93.184.216.34";

static inline void add_address(struct message *m, const char *owner, uint32_t ttl)
{
	struct addr a = addr_of(address);

	if (addr_is_v4(&a))
		add_v4(m, owner, ttl, address);
	else
		add_v6(m, owner, ttl, address);
}

static inline void say_address(struct message *m, const struct dns_question *q)
{
	answer_to(m, q);
	add_address(m, q->name, 600);
}

static inline void say_nothing(struct message *m, const struct dns_question *q)
{
}

/* --- the guest */

static inline bool is_host(void *ctx, const struct addr *a)
{
	return addr_equal(a, &w.host_addr);
}

static inline void on_denied(void *ctx, const char *name, const char *why)
{
	w.denied++;
	snprintf(w.denied_name, sizeof(w.denied_name), "%s", name);
	snprintf(w.denied_why, sizeof(w.denied_why), "%s", why);
}

static inline void on_reply(void *ctx, const void *token, const uint8_t *msg, size_t len)
{
	assert_memory_equal(token, "token", 6);
	w.replies++;
	memcpy(w.reply, msg, len);
	w.reply_len = len;
	if (w.replies == w.wanted)
		loop_stop(w.loop);
}

/* Sends the question off; the id is the count of those before. */
static inline int send_question(const char *name, unsigned int type, bool tcp)
{
	struct message m;

	begin_question(&m, name, (uint16_t)type);
	set16(&m, 0, w.wanted + 1);
	w.wanted++;
	return resolver_ask(w.r, m.p, m.n, tcp, "token", 6, on_reply, NULL);
}

/* Lets what is ready now be done. */
static inline void run(void)
{
	w.loop->stop = false;
	run_rounds(w.loop, 20);
}

/* Runs until every question has its answer; returns the last one's code. */
static inline enum dns_rcode await(void)
{
	if (w.replies < w.wanted)
		assert_int_equal(loop_run(w.loop), 0);
	w.loop->stop = false;
	assert_int_equal(w.replies, w.wanted);
	return w.reply[3] & 15;
}

static inline enum dns_rcode ask(const char *name, unsigned int type)
{
	assert_int_equal(send_question(name, type, false), 0);
	return await();
}

static inline unsigned int answers(void)
{
	return (unsigned int)(w.reply[6] << 8 | w.reply[7]);
}

static inline bool is_pinned(const char *ip, const char *name)
{
	const char *names[PINS_PER_ADDR_MAX];
	struct addr a;
	unsigned int n, found = 0;

	assert_int_equal(addr_parse(ip, &a), 0);
	n = pins_find(w.config.pins, &a, clock_mono_ns(), names);
	for (unsigned int i = 0; i < n; i++)
		found += strcmp(names[i], name) == 0;
	return found;
}

static inline void add_rule(const char *text)
{
	struct policy_rule rule;
	struct err e;

	assert_int_equal(policy_rule_parse(text, &rule, &e), 0);
	assert_int_equal(policy_add(&w.policy, &rule, &e), 0);
}

static inline void make_resolver(void)
{
	w.r = resolver_free(w.r);
	w.r = resolver_new(w.loop, &w.config);
	assert_non_null(w.r);
}

static inline int setup(void **state)
{
	struct err e;

	w = (struct world){.loop = loop_new()};
	assert_non_null(w.loop);
	address = "93.184.216.34";
	assert_int_equal(policy_preset(&w.policy, "allow-all", &e), 0);
	w.config = (struct resolver_config){
		.policy = &w.policy,
		.n_servers = SERVERS,
		.rebind_protection = true,
		.n_gateway = 2,
		.pins = pins_new((const uint8_t[16]){1}),
		.is_host = is_host,
		.denied = on_denied,
	};
	assert_int_equal(addr_parse("198.18.0.1", &w.host_addr), 0);
	assert_int_equal(addr_parse("172.16.0.5", &w.config.gateway[0]), 0);
	assert_int_equal(addr_parse("fd00::1", &w.config.gateway[1]), 0);
	for (int i = 0; i < SERVERS; i++) {
		server_start(&w.servers[i]);
		w.servers[i].respond = w.servers[i].respond_by_tcp = say_address;
		assert_int_equal(addr_parse("127.0.0.1", &w.config.servers[i].addr), 0);
		w.config.servers[i].port = w.servers[i].port;
	}
	make_resolver();
	return 0;
}

static inline int teardown(void **state)
{
	for (int i = 0; i < SERVERS; i++)
		server_stop(&w.servers[i]);
	resolver_free(w.r);
	assert_null(w.loop->timers);
	assert_null(w.loop->deferred);
	loop_free(w.loop);
	pins_free(w.config.pins);
	policy_release(&w.policy);
	return 0;
}

/* Its time for the present server is up. */
static inline void fire(struct query *q)
{
	assert_true(q->timer.active);
	timer_cancel(w.loop, &q->timer);
	q->timer.fn(&q->timer);
}
