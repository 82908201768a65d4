/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What msb-net has to know, and the text in which it gets it: one item per line.
 *
 *	mac 02:6d:73:00:01:02             the guest's
 *	gateway-mac 02:6d:73:00:01:01
 *	mtu 1500
 *	ip4 172.16.0.6/30 172.16.0.5      the guest's address, the gateway's; absent: no IPv4
 *	ip6 fd42:6d73:62:1::2/64 fd42:6d73:62:1::1
 *	default egress deny
 *	default ingress allow
 *	rule allow:egress@public          in order
 *	max-connections 256
 *	rate egress BYTES_PER_SECOND      also: ingress; absent: none
 *	packets egress PER_SECOND
 *	nameserver 192.0.2.1:53           absent: those of the host's resolv.conf
 *	rebind-protection on
 *	publish tcp 127.0.0.1:8080 80     listening address, port of the guest; port 0: any free one
 *	proxy socks5://USER:PASSWORD@192.0.2.7:1080
 *
 * Items that are absent have the defaults that net_spec_init sets.
 */
#pragma once

#include "net/policy.h"

/* The name of the host in a sandbox: the addresses of its gateway. */
#define NET_HOST_NAME           "host.microsandbox.internal"
#define NET_SPEC_MAX            ((size_t)512 << 10)
#define NET_NAMESERVERS_MAX     8
#define NET_PUBLISH_MAX         128
#define NET_CONNECTIONS_DEFAULT 256
#define NET_CONNECTIONS_MAX     4096
#define NET_MTU_DEFAULT         1500
#define NET_MTU_MIN             1280
#define NET_MTU_MAX             65520

struct net_family {
	bool on;
	struct addr guest, gateway;
	unsigned int prefix_len; /* as people write it */
};

struct net_server {
	struct addr addr;
	uint16_t port;
};

struct net_publish {
	enum policy_protocol protocol; /* TCP or UDP */
	struct addr addr;
	uint16_t host_port; /* 0: any */
	uint16_t guest_port;
};

enum proxy_kind { PROXY_NONE, PROXY_SOCKS4, PROXY_SOCKS4A, PROXY_SOCKS5, PROXY_HTTP };

/* Connections out go through it; to whom is decided by policy as without it. */
struct net_proxy {
	enum proxy_kind kind;
	struct addr addr;
	uint16_t port;
	char *user, *password; /* NULL: none; a secret */
};

/* KIND://[USER[:PASSWORD]@]HOST[:PORT] with an address as the host. 0, or -1 with an error. */
int net_proxy_parse(const char *url, struct net_proxy *ret, struct err *e);
void net_proxy_release(struct net_proxy *p);
const char *net_proxy_kind_name(enum proxy_kind kind);
/* The URL, owned, a secret if it is with the password; else "***" stands for that. */
char *net_proxy_format(const struct net_proxy *p, bool with_password);

struct net_rate {
	uint64_t bytes; /* per second; 0: no limit */
	uint64_t packets;
};

struct net_spec {
	uint8_t mac[6], gateway_mac[6];
	unsigned int mtu;
	struct net_family v4, v6;
	struct policy policy;
	unsigned int max_connections;
	struct net_rate egress, ingress; /* egress: what the guest sends */
	struct net_server nameservers[NET_NAMESERVERS_MAX];
	unsigned int n_nameservers;
	bool rebind_protection;
	struct net_publish publish[NET_PUBLISH_MAX];
	unsigned int n_publish;
	struct net_proxy proxy;
};

void net_spec_init(struct net_spec *s);
void net_spec_release(struct net_spec *s);
/* Reads the text over a spec that net_spec_init made. 0, or -1 with the line that is wrong; release
 * it in both cases. */
int net_spec_parse(struct net_spec *s, const char *text, struct err *e);
/* Writes it; owned. What is parsed from it is the same spec. */
char *net_spec_format(const struct net_spec *s);

/* Slot 1 to 65535: addresses and MAC addresses of the IP plan. */
#define NET_SLOT_MAX 65535
void net_spec_set_slot(struct net_spec *s, unsigned int slot);
