/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest for msb-net without a machine: the kernel's own TCP/IP in a network namespace, behind a
 * tap device whose frames are carried to and from msb-net's rings as msb-vmm does it.
 *
 *	tapguest GUESTNS HOSTNS INTERFACE SPEC RESOLVCONF MSB-NET
 *
 * GUESTNS and HOSTNS are files of network namespaces: the guest's, and the one in which msb-net
 * runs. SPEC is a file with its spec, RESOLVCONF one with name servers, or "". The events of
 * msb-net appear on standard output. Ends with msb-net, or when standard input is closed.
 */
#include "base/cleanup.h"
#include "base/frame_ring.h"
#include "base/io.h"
#include "base/process.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>

struct bridge {
	int tap, wake, call;
	struct frame_rings rings;
	bool full; /* the ring to msb-net was when we last looked */
};

static void enter(const char *namespace)
{
	_cleanup_close_ int fd = open(namespace, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		err(1, "%s", namespace);
}

static int open_tap(const char *name)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	int size = sizeof(struct virtio_net_hdr_v1);

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &size) < 0 ||
	    ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0)
		err(1, "tap device");
	return fd;
}

static void from_tap(struct bridge *b)
{
	for (;;) {
		uint8_t *p = frame_ring_reserve(&b->rings.out, FRAME_MAX);
		ssize_t n;

		if (!p && !frame_ring_await_room(&b->rings.out)) {
			b->full = true;
			break;
		}
		if (!p)
			continue;
		n = read(b->tap, p, FRAME_MAX);
		if (n <= 0)
			break;
		frame_ring_commit(&b->rings.out, (size_t)n);
	}
	if (frame_ring_publish(&b->rings.out))
		event_signal(b->wake);
}

static void to_tap(struct bridge *b)
{
	const uint8_t *frame;
	int n;

	do {
		while ((n = frame_ring_next(&b->rings.in, &frame)) > 0) {
			/* What the interface does not take while it is down is lost. */
			if (write(b->tap, frame, (size_t)n) < 0 && errno == EINVAL)
				warn("the kernel refuses a frame of %d bytes", n);
			frame_ring_done(&b->rings.in);
		}
		if (n < 0)
			errx(1, "msb-net broke the ring");
		if (frame_ring_release(&b->rings.in))
			event_signal(b->wake);
	} while (frame_ring_await_frame(&b->rings.in));
}

static pid_t start_net(struct bridge *b, char **argv)
{
	const char *spec = argv[4], *resolv = argv[5];
	struct spawn s = {.path = argv[6], .in = -1, .out = 2, .err = 2};
	int rings = frame_rings_create(), spec_fd = open(spec, O_RDONLY | O_CLOEXEC);
	struct strv args = {};
	pid_t pid;

	b->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	b->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (rings < 0 || spec_fd < 0 || b->wake < 0 || b->call < 0 ||
	    frame_rings_map(&b->rings, rings, FRAME_SIDE_VMM) < 0)
		err(1, "rings");
	strv_add(&args, argv[6]);
	strv_take(&args, xasprintf("--parent=%d", getpid()));
	strv_take(&args, xasprintf("--rings=%d", spawn_pass_fd(&s, rings)));
	strv_take(&args, xasprintf("--wake=%d", spawn_pass_fd(&s, b->wake)));
	strv_take(&args, xasprintf("--call=%d", spawn_pass_fd(&s, b->call)));
	strv_take(&args, xasprintf("--spec=%d", spawn_pass_fd(&s, spec_fd)));
	strv_take(&args, xasprintf("--events=%d",
				   spawn_pass_fd(&s, fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3))));
	if (*resolv)
		strv_take(&args, xasprintf("--resolv-conf=%d",
					   spawn_pass_fd(&s, open(resolv, O_RDONLY | O_CLOEXEC))));
	s.argv = args.v;
	pid = spawn_run(&s);
	if (pid < 0)
		errx(1, "cannot start %s: %s", argv[6], strerror(-pid));
	strv_release(&args);
	return pid;
}

static void run(struct bridge *b, int pidfd)
{
	for (;;) {
		struct pollfd p[] = {
			{.fd = b->full ? -1 : b->tap, .events = POLLIN},
			{.fd = b->call, .events = POLLIN},
			{.fd = pidfd, .events = POLLIN},
			{.fd = STDIN_FILENO, .events = POLLIN},
		};
		uint64_t n;

		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			err(1, "poll");
		if (p[2].revents || p[3].revents)
			return;
		if (p[1].revents && read(b->call, &n, sizeof(n)) > 0)
			b->full = false;
		if (!b->full)
			from_tap(b);
		to_tap(b);
	}
}

int main(int argc, char **argv)
{
	struct bridge b = {};
	pid_t pid;
	int pidfd;

	if (argc != 7)
		errx(2, "wrong number of arguments");
	enter(argv[1]);
	b.tap = open_tap(argv[3]);
	enter(argv[2]);
	pid = start_net(&b, argv);
	pidfd = pidfd_open(pid, 0);
	if (frame_ring_await_frame(&b.rings.in))
		to_tap(&b);
	run(&b, pidfd);
	kill(pid, SIGTERM);
	return spawn_wait(pid);
}
