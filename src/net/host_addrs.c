/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses are read once at the start, and added to by the kernel's notices (rtnetlink(7)). A
 * notice that was lost makes all be read again. One that an interface loses stays on the list:
 * another may have it as well, and to be careful for too long does no harm.
 */
#include "net/host_addrs.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/util.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#define ADDRS_MAX    4096
#define MESSAGE_MAX  ((size_t)32 << 10)
#define LOOPBACK_NET 127

struct host_addrs {
	struct loop *loop;
	struct ev ev;
	struct addr *addrs;
	size_t n;
	bool full;        /* there are more: any address may be one */
	uint8_t *message; /* room for one read */
};

static size_t find(const struct host_addrs *h, const struct addr *a)
{
	size_t i = 0;

	while (i < h->n && !addr_equal(&h->addrs[i], a))
		i++;
	return i;
}

static void add(struct host_addrs *h, const struct addr *a)
{
	if (find(h, a) < h->n)
		return;
	if (h->n < ADDRS_MAX)
		h->addrs[h->n++] = *a;
	else
		h->full = true;
}

/* False for an attribute that holds no address of the family. */
static bool read_address(const struct ifaddrmsg *ifa, const struct rtattr *attr, struct addr *ret)
{
	if (ifa->ifa_family == AF_INET && RTA_PAYLOAD(attr) == 4)
		*ret = addr_from_v4(*(struct in_addr *)RTA_DATA(attr));
	else if (ifa->ifa_family == AF_INET6 && RTA_PAYLOAD(attr) == 16)
		*ret = addr_from_v6(RTA_DATA(attr));
	else
		return false;
	return true;
}

/* On a point-to-point link ADDRESS is the other end's; where there is a LOCAL, that is ours. */
static void take_address(struct host_addrs *h, const struct nlmsghdr *m)
{
	const struct ifaddrmsg *ifa = NLMSG_DATA(m);
	const struct rtattr *attr = IFA_RTA(ifa);
	int left = (int)IFA_PAYLOAD(m);
	bool found = false, local = false;
	struct addr a;

	for (; RTA_OK(attr, left); attr = RTA_NEXT(attr, left)) {
		if (attr->rta_type == IFA_LOCAL)
			found = local = read_address(ifa, attr, &a);
		else if (attr->rta_type == IFA_ADDRESS && !local)
			found = read_address(ifa, attr, &a) || found;
	}
	if (found)
		add(h, &a);
}

/* Asks for all addresses; the answers come like notices. */
static int ask(const struct host_addrs *h)
{
	struct {
		struct nlmsghdr head;
		struct ifaddrmsg ifa;
	} request = {
		.head = {.nlmsg_len = sizeof(request),
			 .nlmsg_type = RTM_GETADDR,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
	};

	return send(h->ev.fd, &request, sizeof(request), 0) < 0 ? -errno : 0;
}

/* Reads what is there. 1 at the end of a list, 0 when there is nothing more, or -errno. */
static int take_messages(struct host_addrs *h, int flags)
{
	for (;;) {
		ssize_t n = recv(h->ev.fd, h->message, MESSAGE_MAX, flags);
		const struct nlmsghdr *m = (struct nlmsghdr *)h->message;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		for (; NLMSG_OK(m, n); m = NLMSG_NEXT(m, n)) {
			if (m->nlmsg_type == NLMSG_DONE)
				return 1;
			if (m->nlmsg_type == NLMSG_ERROR)
				return -EIO;
			if (m->nlmsg_type == RTM_NEWADDR)
				take_address(h, m);
		}
	}
}

/* #syscalls:host-addrs recvfrom sendto */
static void on_notice(struct ev *ev, uint32_t events)
{
	struct host_addrs *h = container_of(ev, struct host_addrs, ev);
	int r = take_messages(h, MSG_DONTWAIT);

	/* ENOBUFS: notices were lost. */
	if (r == -ENOBUFS)
		ask(h);
}

struct host_addrs *host_addrs_new(struct loop *loop)
{
	struct sockaddr_nl any = {.nl_family = AF_NETLINK,
				  .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
	struct host_addrs *h = calloc(1, sizeof(*h));
	int r = 0;

	if (!h)
		return NULL;
	h->loop = loop;
	h->ev.fn = on_notice;
	h->ev.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	h->addrs = calloc(ADDRS_MAX, sizeof(*h->addrs));
	h->message = malloc(MESSAGE_MAX);
	if (h->ev.fd < 0 || bind(h->ev.fd, (struct sockaddr *)&any, sizeof(any)) < 0)
		r = -errno;
	else if (!h->addrs || !h->message)
		r = -ENOMEM;
	if (r == 0)
		r = ask(h);
	if (r == 0)
		r = take_messages(h, 0);
	if (r >= 0)
		r = loop_add(loop, &h->ev, EPOLLIN);
	if (r < 0) {
		host_addrs_free(h);
		errno = -r;
		return NULL;
	}
	return h;
}

struct host_addrs *host_addrs_free(struct host_addrs *h)
{
	if (!h)
		return NULL;
	loop_del(h->loop, &h->ev);
	close_fd(&h->ev.fd);
	free(h->addrs);
	free(h->message);
	free(h);
	return NULL;
}

bool host_addrs_has(const struct host_addrs *h, const struct addr *a)
{
	if (addr_is_v4(a) && a->b[12] == LOOPBACK_NET)
		return true;
	return h->full || find(h, a) < h->n;
}
