/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of a published port is, to the guest, the gateway at a port of its own (`alias`). TCP
 * connections live in the stack from then on; of UDP clients there is a list per port, found by
 * address for what comes from outside and by alias for what the guest answers.
 */
#include "net/ports.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/util.h"
#include "net/siphash.h"
#include "net/socket_stream.h"

#include <errno.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>

#define BACKLOG        128
#define ACCEPT_BUDGET  16
#define ACCEPT_PAUSE   (100 * NSEC_PER_MSEC)
#define DATAGRAM_MAX   65536
#define READ_BUDGET    32
#define CLIENTS_MAX    256 /* of one port */
#define CLIENT_BUCKETS 64
#define CLIENT_IDLE    (60 * NSEC_PER_SEC)
#define ALIAS_FIRST    32768
#define ALIAS_COUNT    28232 /* as the kernel has them by default */
#define ALIAS_TRIES    64

struct port;

struct client {
	struct port *port;
	struct addr addr;
	uint16_t number, alias;
	bool denied;
	uint64_t used_at;
	LIST_ENTRY(client) by_addr, by_alias;
	TAILQ_ENTRY(client) by_use;
};

struct port {
	struct ports *ports;
	const struct net_publish *spec;
	struct ev ev;
	struct timer pause;
	LIST_HEAD(, client) by_addr[CLIENT_BUCKETS], by_alias[CLIENT_BUCKETS];
	TAILQ_HEAD(, client) by_use;
	unsigned int n_clients;
};

struct ports {
	struct loop *loop;
	const struct net_spec *spec;
	struct stack *stack;
	ports_visitor_fn *visitor;
	void *ctx;
	uint8_t secret[16];
	uint16_t next_alias;
	struct port ports[NET_PUBLISH_MAX];
	unsigned int n;
	uint8_t datagram[DATAGRAM_MAX];
};

static const struct net_family *family(const struct ports *p, const struct net_publish *spec)
{
	bool v4 = addr_is_v4(&spec->addr);

	/* A guest without the listener's family is reached by the other. */
	if (v4 ? p->spec->v4.on : !p->spec->v6.on)
		return &p->spec->v4;
	return &p->spec->v6;
}

static uint16_t new_alias(struct ports *p)
{
	p->next_alias = (uint16_t)((p->next_alias + 1) % ALIAS_COUNT);
	return (uint16_t)(ALIAS_FIRST + p->next_alias);
}

static struct flow_key key_of(const struct ports *p, const struct port *port, uint16_t alias)
{
	const struct net_family *f = family(p, port->spec);

	return (struct flow_key){
		.guest = f->guest,
		.remote = f->gateway,
		.guest_port = port->spec->guest_port,
		.remote_port = alias,
	};
}

/* May this peer? Tells of the visitor in any case. */
static bool admit(struct port *port, const struct addr *peer, uint16_t peer_port)
{
	struct ports *p = port->ports;
	bool tcp = port->spec->protocol == PROTO_TCP;
	struct policy_query q = {
		.direction = POLICY_INGRESS,
		.protocol = port->spec->protocol,
		.addr = *peer,
		.port = port->spec->guest_port,
		.claim = CLAIM_NONE,
	};
	struct policy_verdict v = policy_decide(&p->spec->policy, &q);
	char why[POLICY_WHY_LEN];

	policy_why(&p->spec->policy, &v, POLICY_INGRESS, why);
	p->visitor(p->ctx, tcp ? "tcp" : "udp", peer, peer_port, port->spec->guest_port,
		   v.answer == POLICY_SAYS_ALLOW ? NULL : why);
	return v.answer == POLICY_SAYS_ALLOW;
}

/* --- TCP ----------------------------------------------------------------------------------- */

static void accepted(struct port *port, int fd, const struct sockaddr_storage *ss)
{
	struct ports *p = port->ports;
	struct stream *far = NULL;
	struct addr peer;
	uint16_t number;
	int r = -EPERM;

	if (addr_from_sockaddr(ss, &peer, &number) && admit(port, &peer, number)) {
		far = socket_stream_accepted(p->loop, fd);
		if (!far)
			return;
	}
	for (int i = 0; far && i < ALIAS_TRIES && (r == -EPERM || r == -EADDRINUSE); i++) {
		struct flow_key key = key_of(p, port, new_alias(p));

		r = tcp_connect_guest(p->stack, &key, far, clock_mono_ns());
	}
	if (far && r < 0) {
		stream_close(far, true);
	} else if (!far) {
		const struct linger linger = {.l_onoff = 1};

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		close(fd);
	}
}

static void on_pause(struct timer *t)
{
	struct port *port = container_of(t, struct port, pause);

	loop_add(port->ports->loop, &port->ev, EPOLLIN);
}

/* #syscalls:ports accept4 setsockopt(SOL_SOCKET,SO_LINGER) close */
static void on_listener(struct ev *ev, uint32_t events)
{
	struct port *port = container_of(ev, struct port, ev);

	for (int i = 0; i < ACCEPT_BUDGET; i++) {
		struct sockaddr_storage ss;
		socklen_t len = sizeof(ss);
		int fd =
			accept4(ev->fd, (struct sockaddr *)&ss, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			accepted(port, fd, &ss);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno == EAGAIN)
			return;
		/* Out of descriptors or memory: a pause instead of a busy loop. */
		loop_del(port->ports->loop, ev);
		timer_set(port->ports->loop, &port->pause, clock_mono_ns() + ACCEPT_PAUSE);
		return;
	}
}

/* --- UDP ----------------------------------------------------------------------------------- */

static unsigned int addr_bucket(const struct ports *p, const struct addr *a, uint16_t number)
{
	uint8_t key[sizeof(a->b) + sizeof(number)];

	memcpy(key, a->b, sizeof(a->b));
	memcpy(key + sizeof(a->b), &number, sizeof(number));
	return (unsigned int)siphash(p->secret, key, sizeof(key)) % CLIENT_BUCKETS;
}

static void client_free(struct client *c)
{
	LIST_REMOVE(c, by_addr);
	LIST_REMOVE(c, by_alias);
	TAILQ_REMOVE(&c->port->by_use, c, by_use);
	c->port->n_clients--;
	free(c);
}

static struct client *find_alias(const struct port *port, uint16_t alias)
{
	struct client *c;

	LIST_FOREACH(c, &port->by_alias[alias % CLIENT_BUCKETS], by_alias)
	if (c->alias == alias)
		return c;
	return NULL;
}

static struct client *find_client(struct port *port, const struct addr *a, uint16_t number)
{
	struct client *c;

	LIST_FOREACH(c, &port->by_addr[addr_bucket(port->ports, a, number)], by_addr)
	if (c->number == number && addr_equal(&c->addr, a))
		return c;
	return NULL;
}

/* Those idle for too long, and if there are too many the one idle for longest. */
static void make_room(struct port *port, uint64_t now)
{
	struct client *c;

	while ((c = TAILQ_FIRST(&port->by_use)) &&
	       (c->used_at + CLIENT_IDLE <= now || port->n_clients >= CLIENTS_MAX))
		client_free(c);
}

static struct client *client_new(struct port *port, const struct addr *a, uint16_t number,
				 uint64_t now)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	make_room(port, now);
	*c = (struct client){.port = port, .addr = *a, .number = number};
	do
		c->alias = new_alias(port->ports);
	while (find_alias(port, c->alias));
	c->denied = !admit(port, a, number);
	LIST_INSERT_HEAD(&port->by_addr[addr_bucket(port->ports, a, number)], c, by_addr);
	LIST_INSERT_HEAD(&port->by_alias[c->alias % CLIENT_BUCKETS], c, by_alias);
	TAILQ_INSERT_TAIL(&port->by_use, c, by_use);
	port->n_clients++;
	return c;
}

static void client_used(struct client *c, uint64_t now)
{
	c->used_at = now;
	TAILQ_REMOVE(&c->port->by_use, c, by_use);
	TAILQ_INSERT_TAIL(&c->port->by_use, c, by_use);
}

/* #syscalls:ports recvfrom sendto */
static void on_datagrams(struct ev *ev, uint32_t events)
{
	struct port *port = container_of(ev, struct port, ev);
	struct ports *p = port->ports;
	uint64_t now = clock_mono_ns();

	for (int i = 0; i < READ_BUDGET; i++) {
		struct sockaddr_storage ss;
		socklen_t len = sizeof(ss);
		ssize_t n = recvfrom(ev->fd, p->datagram, sizeof(p->datagram), MSG_DONTWAIT,
				     (struct sockaddr *)&ss, &len);
		struct client *c;
		struct addr peer;
		uint16_t number;

		if (n < 0)
			return;
		if (!addr_from_sockaddr(&ss, &peer, &number))
			continue;
		c = find_client(port, &peer, number);
		if (!c)
			c = client_new(port, &peer, number, now);
		if (!c)
			continue;
		client_used(c, now);
		if (!c->denied) {
			struct flow_key key = key_of(p, port, c->alias);

			stack_send_udp(p->stack, &key, p->datagram, (size_t)n);
		}
	}
}

bool ports_udp(struct ports *p, const struct flow_key *key, const uint8_t *data, size_t len)
{
	if (!addr_equal(&key->remote, &p->spec->v4.gateway) &&
	    !addr_equal(&key->remote, &p->spec->v6.gateway))
		return false;
	for (unsigned int i = 0; i < p->n; i++) {
		struct port *port = &p->ports[i];
		struct sockaddr_storage ss;
		struct client *c;
		socklen_t size;

		if (port->spec->protocol != PROTO_UDP ||
		    port->spec->guest_port != key->guest_port ||
		    !addr_equal(&family(p, port->spec)->guest, &key->guest))
			continue;
		c = find_alias(port, key->remote_port);
		if (!c || c->denied)
			continue;
		client_used(c, clock_mono_ns());
		size = addr_to_sockaddr(&c->addr, c->number, &ss);
		sendto(port->ev.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&ss,
		       size);
		return true;
	}
	return false;
}

/* --- binding ------------------------------------------------------------------------------- */

static int cannot_bind(const struct net_publish *spec, int error, struct err *e)
{
	const char *proto = spec->protocol == PROTO_TCP ? "tcp" : "udp";
	char text[ENDPOINT_LEN];

	endpoint_format(&spec->addr, spec->host_port, text);
	if (error == EADDRINUSE) {
		err_set(e, ERR_BUSY, "port %s/%s is already in use", text, proto);
		return err_hint(
			e, "publish at another port of the host, or at port 0 for any free one");
	}
	err_sys(e, error, "cannot publish at port %s/%s", text, proto);
	if (error == EACCES)
		err_hint(e, "ports below net.ipv4.ip_unprivileged_port_start are root's");
	if (error == EADDRNOTAVAIL)
		err_hint(e, "the host does not have this address");
	return -1;
}

static int bind_port(struct port *port, uint16_t *chosen, struct err *e)
{
	const struct net_publish *spec = port->spec;
	bool tcp = spec->protocol == PROTO_TCP;
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(&spec->addr, spec->host_port, &ss);
	struct addr own;
	const int one = 1;
	int r;
	int fd = socket(ss.ss_family,
			(tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return cannot_bind(spec, errno, e);
	port->ev = (struct ev){.fd = fd, .fn = tcp ? on_listener : on_datagrams};
	port->pause.fn = on_pause;
	TAILQ_INIT(&port->by_use);
	/* Not for UDP, where it would let two share one port. */
	if (tcp)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (ss.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&ss, len) < 0 || (tcp && listen(fd, BACKLOG) < 0))
		return cannot_bind(spec, errno, e);
	len = sizeof(ss);
	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0 ||
	    !addr_from_sockaddr(&ss, &own, chosen))
		return err_set(e, ERR_SYSTEM, "cannot tell the port that was bound");
	r = loop_add(port->ports->loop, &port->ev, EPOLLIN);
	return r < 0 ? cannot_bind(spec, -r, e) : 0;
}

struct ports *ports_new(struct loop *loop, const struct net_spec *spec, uint16_t *chosen,
			struct err *e)
{
	struct ports *p = xcalloc(1, sizeof(*p));

	p->loop = loop;
	p->spec = spec;
	if (getrandom(p->secret, sizeof(p->secret), 0) != sizeof(p->secret) ||
	    getrandom(&p->next_alias, sizeof(p->next_alias), 0) != sizeof(p->next_alias)) {
		err_sys(e, errno, "cannot get random bytes");
		return ports_free(p);
	}
	for (unsigned int i = 0; i < spec->n_publish; i++) {
		p->ports[i].ports = p;
		p->ports[i].spec = &spec->publish[i];
		p->ports[i].ev.fd = -1;
		p->n++;
		if (bind_port(&p->ports[i], &chosen[i], e) < 0)
			return ports_free(p);
	}
	return p;
}

void ports_start(struct ports *p, struct stack *stack, ports_visitor_fn *visitor, void *ctx)
{
	p->stack = stack;
	p->visitor = visitor;
	p->ctx = ctx;
}

struct ports *ports_free(struct ports *p)
{
	if (!p)
		return NULL;
	for (unsigned int i = 0; i < p->n; i++) {
		struct port *port = &p->ports[i];
		struct client *c;

		while ((c = TAILQ_FIRST(&port->by_use)))
			client_free(c);
		timer_cancel(p->loop, &port->pause);
		loop_del(p->loop, &port->ev);
		close_fd(&port->ev.fd);
	}
	free(p);
	return NULL;
}
