/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything is told to the kernel in one message of rtnetlink, which has done it when the message
 * is sent. Only the last part is acknowledged; an error is reported for any.
 */
#include "agent/network.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

/* Tunnels that the kernel makes by itself come before it. */
#define INDEX_MAX       16
#define BATCH_MAX       512
#define RESOLV_CONF_MAX ((size_t)1024)

/* --- messages ------------------------------------------------------------------------------ */

enum part { PART_LINK, PART_ADDRESS4, PART_ROUTE4, PART_ADDRESS6, PART_ROUTE6, PART_COUNT };

static const char *const part_names[PART_COUNT] = {
	[PART_LINK] = "the interface",    [PART_ADDRESS4] = "the IPv4 address",
	[PART_ROUTE4] = "the IPv4 route", [PART_ADDRESS6] = "the IPv6 address",
	[PART_ROUTE6] = "the IPv6 route",
};

struct batch {
	_Alignas(struct nlmsghdr) uint8_t mem[BATCH_MAX]; /* more than all parts need */
	size_t len;
	struct nlmsghdr *last;
};

static void *append(struct batch *b, const void *data, size_t len)
{
	void *p = b->mem + b->len;

	memcpy(p, data, len);
	b->len += NLMSG_ALIGN(len);
	if (b->last)
		b->last->nlmsg_len = (uint32_t)(b->mem + b->len - (uint8_t *)b->last);
	return p;
}

static void begin(struct batch *b, enum part part, uint16_t type, const void *body, size_t len)
{
	const struct nlmsghdr h = {
		.nlmsg_type = type,
		.nlmsg_flags =
			NLM_F_REQUEST | (type == RTM_NEWLINK ? 0 : NLM_F_CREATE | NLM_F_REPLACE),
		.nlmsg_seq = part,
	};

	b->last = NULL;
	b->last = append(b, &h, sizeof(h));
	append(b, body, len);
}

static void add_attribute(struct batch *b, uint16_t type, const void *data, size_t len)
{
	const struct rtattr a = {.rta_type = type, .rta_len = (uint16_t)RTA_LENGTH(len)};

	append(b, &a, sizeof(a));
	append(b, data, len);
}

static void add_link(struct batch *b, int index, unsigned mtu)
{
	const struct ifinfomsg m = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};

	begin(b, PART_LINK, RTM_NEWLINK, &m, sizeof(m));
	add_attribute(b, IFLA_MTU, &mtu, sizeof(mtu));
}

/* Nobody else is on the link, so there is no need to look for who has the address. */
static void add_address(struct batch *b, int index, uint8_t family, const void *address, size_t len,
			unsigned prefix_len)
{
	const struct ifaddrmsg m = {
		.ifa_family = family,
		.ifa_prefixlen = (uint8_t)prefix_len,
		.ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0,
		.ifa_scope = RT_SCOPE_UNIVERSE,
		.ifa_index = (unsigned)index,
	};

	begin(b, family == AF_INET6 ? PART_ADDRESS6 : PART_ADDRESS4, RTM_NEWADDR, &m, sizeof(m));
	add_attribute(b, IFA_LOCAL, address, len);
	add_attribute(b, IFA_ADDRESS, address, len);
}

static void add_route(struct batch *b, int index, uint8_t family, const void *gateway, size_t len)
{
	const struct rtmsg m = {
		.rtm_family = family,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_BOOT,
		.rtm_scope = RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
	};

	begin(b, family == AF_INET6 ? PART_ROUTE6 : PART_ROUTE4, RTM_NEWROUTE, &m, sizeof(m));
	add_attribute(b, RTA_GATEWAY, gateway, len);
	add_attribute(b, RTA_OIF, &index, sizeof(index));
}

static void add_all(struct batch *b, int index, const struct boot_network *n)
{
	add_link(b, index, n->mtu);
	if (n->ip4.prefix_len) {
		add_address(b, index, AF_INET, n->ip4.address, sizeof(n->ip4.address),
			    n->ip4.prefix_len);
		add_route(b, index, AF_INET, n->ip4.gateway, sizeof(n->ip4.gateway));
	}
	if (n->ip6.prefix_len) {
		add_address(b, index, AF_INET6, n->ip6.address, sizeof(n->ip6.address),
			    n->ip6.prefix_len);
		add_route(b, index, AF_INET6, n->ip6.gateway, sizeof(n->ip6.gateway));
	}
	b->last->nlmsg_flags |= NLM_F_ACK;
}

/* A kernel without IPv6, or one that was told not to use it. */
static bool goes_without(enum part part, int error)
{
	return part >= PART_ADDRESS6 &&
	       (error == EOPNOTSUPP || error == EAFNOSUPPORT || error == EACCES);
}

/* Reads the answers, which are there already, up to that for the last part. */
static int read_answers(int fd, uint32_t last, struct err *e)
{
	struct {
		struct nlmsghdr h;
		struct nlmsgerr body;
	} m;

	for (;;) {
		ssize_t n = recv(fd, &m, sizeof(m), MSG_TRUNC | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < (ssize_t)sizeof(m) || m.h.nlmsg_type != NLMSG_ERROR ||
		    m.h.nlmsg_seq >= PART_COUNT)
			return err_set(e, ERR_BOOT, "the kernel gives no answer about the network");
		if (m.body.error && !goes_without((enum part)m.h.nlmsg_seq, -m.body.error))
			return err_sys(e, -m.body.error, "cannot set %s up",
				       part_names[m.h.nlmsg_seq]);
		if (m.h.nlmsg_seq == last)
			return 0;
	}
}

/* --- the interface ------------------------------------------------------------------------- */

/* The index of the interface with the address; 0 when there is none. */
static int find_interface(int fd, const uint8_t mac[6])
{
	for (int index = 1; index <= INDEX_MAX; index++) {
		struct ifreq ifr = {.ifr_ifindex = index};

		if (ioctl(fd, SIOCGIFNAME, &ifr) == 0 && ioctl(fd, SIOCGIFHWADDR, &ifr) == 0 &&
		    memcmp(ifr.ifr_hwaddr.sa_data, mac, 6) == 0)
			return index;
	}
	return 0;
}

int network_up(const struct boot_network *n, struct err *e)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct batch b = {.len = 0};
	int index;

	if (fd < 0)
		return err_sys(e, errno, "cannot open a socket for the network");
	index = find_interface(fd, n->mac);
	if (index == 0)
		return err_set(e, ERR_BOOT, "the kernel has no network interface");
	add_all(&b, index, n);
	if (send(fd, b.mem, b.len, 0) < 0)
		return err_sys(e, errno, "cannot set the network up");
	return read_answers(fd, b.last->nlmsg_seq, e);
}

/* --- what programs need -------------------------------------------------------------------- */

int network_write_resolv_conf(const char *path, const struct boot_network *n)
{
	static const char keyword[] = "nameserver ";
	_cleanup_close_ int fd = -1;
	_cleanup_(buf_release) struct buf b = {0};

	if (n->nameservers.n == 0)
		return 0;
	buf_init(&b, RESOLV_CONF_MAX);
	for (size_t i = 0; i < n->nameservers.n; i++) {
		buf_append(&b, keyword, strlen(keyword));
		buf_append(&b, n->nameservers.v[i], strlen(n->nameservers.v[i]));
		buf_append(&b, "\n", 1);
	}
	/* Many images have a link there, which leads who knows where. */
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	return fd < 0 ? -errno : write_full(fd, buf_data(&b), buf_len(&b));
}

void network_allow_ping(const char *path)
{
	static const char everybody[] = "0 2147483647\n";
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	/* Without it ping needs to be root, as it long was. */
	if (fd >= 0)
		write_full(fd, everybody, sizeof(everybody) - 1);
}
