/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each flow, that is each pair of ends as the guest sees them, has a connected socket of its own:
 * the kernel then takes answers from nobody else and tells of errors. Flows are kept in the order
 * of their use; the one unused for longest is the first to time out and the first to make room.
 */
#include "net/outside.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "net/siphash.h"

#include <errno.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>

#define BUCKETS       256
#define IDLE_ONE_WAY  (30 * NSEC_PER_SEC) /* nothing came back yet */
#define IDLE_TWO_WAY  (180 * NSEC_PER_SEC)
#define IDLE_ECHO     (15 * NSEC_PER_SEC)
#define DATAGRAM_MAX  65536
#define READ_BUDGET   32
#define ECHO_LEN      8
#define ECHO4_REQUEST 8
#define ECHO6_REQUEST 128

enum flow_kind { FLOW_UDP, FLOW_ECHO, FLOW_KINDS };

struct outside_flow {
	struct outside *o;
	enum flow_kind kind;
	struct flow_key key;
	struct ev ev;
	bool answered;
	uint64_t used_at;
	LIST_ENTRY(outside_flow) bucket;
	TAILQ_ENTRY(outside_flow) by_use;
};

struct outside {
	struct loop *loop;
	struct dial *dial;
	struct stack *stack;
	uint8_t secret[16];
	LIST_HEAD(, outside_flow) buckets[BUCKETS];
	/* The one that was used last is the last. */
	TAILQ_HEAD(flow_list, outside_flow) by_use[FLOW_KINDS];
	unsigned int n[FLOW_KINDS];
	struct timer timer;
	uint8_t datagram[DATAGRAM_MAX];
};

/* --- flows --------------------------------------------------------------------------------- */

static unsigned int bucket_of(const struct outside *o, const struct flow_key *key)
{
	return (unsigned int)siphash(o->secret, key, FLOW_KEY_BYTES) % BUCKETS;
}

static struct outside_flow *find(const struct outside *o, enum flow_kind kind,
				 const struct flow_key *key)
{
	struct outside_flow *f;

	LIST_FOREACH(f, &o->buckets[bucket_of(o, key)], bucket)
	if (f->kind == kind && memcmp(&f->key, key, FLOW_KEY_BYTES) == 0)
		return f;
	return NULL;
}

/* #syscalls:outside close */
static void flow_free(struct outside_flow *f)
{
	struct outside *o = f->o;

	LIST_REMOVE(f, bucket);
	TAILQ_REMOVE(&o->by_use[f->kind], f, by_use);
	o->n[f->kind]--;
	loop_forget(o->loop, &f->ev);
	close_fd(&f->ev.fd);
	free(f);
}

static uint64_t ends_at(const struct outside_flow *f)
{
	if (f->kind == FLOW_ECHO)
		return f->used_at + IDLE_ECHO;
	return f->used_at + (f->answered ? IDLE_TWO_WAY : IDLE_ONE_WAY);
}

static void used(struct outside_flow *f)
{
	struct flow_list *list = &f->o->by_use[f->kind];

	f->used_at = clock_mono_ns();
	TAILQ_REMOVE(list, f, by_use);
	TAILQ_INSERT_TAIL(list, f, by_use);
}

/* Those that have been idle for too long go; the next look is when the next one could have been. */
static void on_timer(struct timer *t)
{
	struct outside *o = container_of(t, struct outside, timer);
	uint64_t now = clock_mono_ns(), next = UINT64_MAX;

	for (int kind = 0; kind < FLOW_KINDS; kind++) {
		struct outside_flow *f = TAILQ_FIRST(&o->by_use[kind]), *after;

		for (; f; f = after) {
			after = TAILQ_NEXT(f, by_use);
			if (ends_at(f) <= now)
				flow_free(f);
			else
				next = MIN(next, ends_at(f));
		}
	}
	if (next != UINT64_MAX)
		timer_set(o->loop, &o->timer, next);
}

static void on_socket(struct ev *ev, uint32_t events);

/* Takes `fd` over. NULL when there is no memory. */
static struct outside_flow *flow_new(struct outside *o, enum flow_kind kind,
				     const struct flow_key *key, int fd)
{
	struct outside_flow *f = calloc(1, sizeof(*f));

	if (!f) {
		close(fd);
		return NULL;
	}
	*f = (struct outside_flow){
		.o = o, .kind = kind, .key = *key, .ev = {.fd = fd, .fn = on_socket}};
	if (loop_add(o->loop, &f->ev, EPOLLIN) < 0) {
		close(fd);
		free(f);
		return NULL;
	}
	LIST_INSERT_HEAD(&o->buckets[bucket_of(o, key)], f, bucket);
	TAILQ_INSERT_TAIL(&o->by_use[kind], f, by_use);
	o->n[kind]++;
	used(f);
	if (!o->timer.active || o->timer.deadline > ends_at(f))
		timer_set(o->loop, &o->timer, ends_at(f));
	return f;
}

static void make_room(struct outside *o, enum flow_kind kind, unsigned int max)
{
	while (o->n[kind] >= max)
		flow_free(TAILQ_FIRST(&o->by_use[kind]));
}

static enum policy_protocol protocol_of(const struct outside_flow *f)
{
	if (f->kind == FLOW_UDP)
		return PROTO_UDP;
	return addr_is_v4(&f->key.guest) ? PROTO_ICMPV4 : PROTO_ICMPV6;
}

/* --- from outside -------------------------------------------------------------------------- */

static void echo_came(struct outside_flow *f, const uint8_t *data, size_t len)
{
	bool v4 = addr_is_v4(&f->key.guest);

	if (len < ECHO_LEN || data[0] != (v4 ? 0 : 129))
		return;
	stack_send_echo_reply(f->o->stack, &f->key, (uint16_t)(data[6] << 8 | data[7]),
			      data + ECHO_LEN, len - ECHO_LEN);
}

/* #syscalls:outside recvfrom */
static void on_socket(struct ev *ev, uint32_t events)
{
	struct outside_flow *f = container_of(ev, struct outside_flow, ev);
	struct outside *o = f->o;

	for (int i = 0; i < READ_BUDGET; i++) {
		ssize_t n = recv(ev->fd, o->datagram, sizeof(o->datagram), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n < 0) {
			stack_send_unreachable(o->stack, &f->key, protocol_of(f),
					       unreachable_reason(errno));
			continue;
		}
		if (f->kind == FLOW_UDP)
			stack_send_udp(o->stack, &f->key, o->datagram, (size_t)n);
		else
			echo_came(f, o->datagram, (size_t)n);
		f->answered = true;
	}
	used(f);
}

/* --- from the guest ------------------------------------------------------------------------ */

/*
 * A connected socket; -1 with errno.
 *
 * #syscalls:outside socket(AF_INET,SOCK_DGRAM|SOCK_CLOEXEC|SOCK_NONBLOCK,0) connect
 * #syscalls:outside socket(AF_INET6,SOCK_DGRAM|SOCK_CLOEXEC|SOCK_NONBLOCK,0)
 * #syscalls:outside socket(AF_INET,SOCK_DGRAM|SOCK_CLOEXEC|SOCK_NONBLOCK,IPPROTO_ICMP)
 * #syscalls:outside socket(AF_INET6,SOCK_DGRAM|SOCK_CLOEXEC|SOCK_NONBLOCK,IPPROTO_ICMPV6)
 */
static int open_socket(const struct addr *addr, uint16_t port, int protocol)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(addr, port, &ss);
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&ss, len) < 0) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static void denied(struct outside *o, const char *proto, enum policy_protocol protocol,
		   const struct flow_key *key, const char *why)
{
	dial_denied(o->dial, proto, key, NULL, why);
	stack_send_unreachable(o->stack, key, protocol, UNREACH_PROHIBITED);
}

static void on_answer(void *ctx, const void *token, const uint8_t *msg, size_t len)
{
	struct outside *o = ctx;
	struct flow_key key;

	memcpy(&key, token, sizeof(key));
	stack_send_udp(o->stack, &key, msg, len);
}

/* #syscalls:outside sendto */
static void send_on(struct outside_flow *f, const uint8_t *data, size_t len)
{
	used(f);
	if (send(f->ev.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno == EAGAIN)
		return;
	/* An error of an earlier datagram may be told at this one, which is then not sent. */
	if (errno == ECONNREFUSED && send(f->ev.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return;
	stack_send_unreachable(f->o->stack, &f->key, protocol_of(f), unreachable_reason(errno));
}

void outside_udp(struct outside *o, const struct flow_key *key, const uint8_t *data, size_t len)
{
	struct outside_flow *f = find(o, FLOW_UDP, key);
	struct dial_target t;
	int fd;

	if (f) {
		send_on(f, data, len);
		return;
	}
	dial_decide(o->dial, PROTO_UDP, key, CLAIM_NONE, NULL, clock_mono_ns(), &t);
	if (t.flow.route == FLOW_RESOLVER) {
		resolver_ask(o->dial->resolver, data, len, false, key, sizeof(*key), on_answer, o);
		return;
	}
	if (t.flow.route != FLOW_ALLOW) {
		denied(o, "udp", PROTO_UDP, key, t.flow.why);
		return;
	}
	make_room(o, FLOW_UDP, OUTSIDE_UDP_MAX);
	fd = open_socket(&t.addr, t.port, 0);
	if (fd < 0) {
		stack_send_unreachable(o->stack, key, PROTO_UDP, unreachable_reason(errno));
		return;
	}
	f = flow_new(o, FLOW_UDP, key, fd);
	if (f)
		send_on(f, data, len);
}

/* The kernel gives the identifier; ours is not the guest's, so replies are told by their socket. */
static struct outside_flow *open_echo(struct outside *o, const struct flow_key *key,
				      const struct dial_target *t, enum policy_protocol protocol)
{
	int fd = open_socket(&t->addr, 0, protocol == PROTO_ICMPV4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);

	if (fd < 0 && errno == EACCES) {
		denied(o, "icmp", protocol, key,
		       "the host lets nobody ping (net.ipv4.ping_group_range)");
		return NULL;
	}
	if (fd < 0) {
		stack_send_unreachable(o->stack, key, protocol, unreachable_reason(errno));
		return NULL;
	}
	return flow_new(o, FLOW_ECHO, key, fd);
}

void outside_echo(struct outside *o, const struct flow_key *key, uint16_t seq, const uint8_t *data,
		  size_t len)
{
	enum policy_protocol protocol = addr_is_v4(&key->guest) ? PROTO_ICMPV4 : PROTO_ICMPV6;
	struct outside_flow *f = find(o, FLOW_ECHO, key);
	uint8_t *msg = o->datagram;
	struct dial_target t;

	if (!f) {
		dial_decide(o->dial, protocol, key, CLAIM_NONE, NULL, clock_mono_ns(), &t);
		if (t.flow.route != FLOW_ALLOW) {
			denied(o, "icmp", protocol, key, t.flow.why);
			return;
		}
		make_room(o, FLOW_ECHO, OUTSIDE_ECHO_MAX);
		f = open_echo(o, key, &t, protocol);
	}
	if (!f || len > DATAGRAM_MAX - ECHO_LEN)
		return;
	memset(msg, 0, ECHO_LEN);
	msg[0] = protocol == PROTO_ICMPV4 ? ECHO4_REQUEST : ECHO6_REQUEST;
	msg[6] = (uint8_t)(seq >> 8);
	msg[7] = (uint8_t)seq;
	memcpy(msg + ECHO_LEN, data, len);
	send_on(f, msg, ECHO_LEN + len);
}

/* --- all of it ----------------------------------------------------------------------------- */

struct outside *outside_new(struct loop *loop, struct dial *dial, struct stack *stack)
{
	struct outside *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->loop = loop;
	o->dial = dial;
	o->stack = stack;
	o->timer.fn = on_timer;
	for (int kind = 0; kind < FLOW_KINDS; kind++)
		TAILQ_INIT(&o->by_use[kind]);
	if (getrandom(o->secret, sizeof(o->secret), 0) != sizeof(o->secret)) {
		free(o);
		return NULL;
	}
	return o;
}

struct outside *outside_free(struct outside *o)
{
	if (!o)
		return NULL;
	make_room(o, FLOW_UDP, 1);
	make_room(o, FLOW_ECHO, 1);
	timer_cancel(o->loop, &o->timer);
	free(o);
	return NULL;
}
