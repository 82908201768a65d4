/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's end of msb-net's rings without a machine, as fast as it can be:
 *
 *	net_link up|down SECONDS MSB-NET
 *
 * Connects through the gateway to a server of its own on the host's loopback interface, and sends
 * to it (up) or receives from it (down) for so long in frames of up to 64 KiB. Prints the bytes
 * that arrived, the seconds, and the seconds of processor time that msb-net used.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/frame_ring.h"
#include "base/io.h"
#include "base/process.h"
#include "net/packet.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define MSS    1460
#define CHUNK  (44 * MSS)
#define PORT   40000
#define SCALE  7
#define WINDOW (1U << 20)

struct link {
	struct frame_rings rings;
	int wake, call;
	struct packet_link macs;
	struct addr guest, gateway;
	uint16_t port; /* of the server */
	uint32_t seq, una, ack, window;
	bool open;
	uint64_t sent, received;
	struct packet p;
};

static const char spec_text[] = "mac 02:00:00:00:00:02\n"
				"gateway-mac 02:00:00:00:00:01\n"
				"mtu 1500\n"
				"ip4 172.16.0.6/30 172.16.0.5\n"
				"default egress allow\n"
				"default ingress allow\n";

static struct {
	bool up;
	volatile bool stop;
	volatile uint64_t bytes;
} server;

/* Takes one connection, and gives or takes bytes until it ends. */
static void *serve(void *arg)
{
	static uint8_t data[1 << 20];
	int fd = accept((int)(intptr_t)arg, NULL, NULL);

	for (;;) {
		ssize_t n = server.up ? recv(fd, data, sizeof(data), 0)
				      : send(fd, data, sizeof(data), MSG_NOSIGNAL);

		if (n <= 0)
			break;
		server.bytes += (uint64_t)n;
	}
	return NULL;
}

static uint16_t start_server(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pthread_t thread;

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 1) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &len) < 0 ||
	    pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) != 0)
		err(1, "server");
	return ntohs(sa.sin_port);
}

static pid_t start_net(struct link *l, const char *program)
{
	struct spawn s = {.path = program, .in = -1, .out = 2, .err = 2};
	int rings = frame_rings_create(), spec = memfd_create("spec", MFD_CLOEXEC), events[2];
	struct strv args = {};
	char line[64] = "";
	pid_t pid;

	l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (rings < 0 || spec < 0 || pipe2(events, O_CLOEXEC) < 0 ||
	    write_full(spec, spec_text, strlen(spec_text)) < 0 ||
	    frame_rings_map(&l->rings, rings, FRAME_SIDE_VMM) < 0)
		err(1, "rings");
	strv_add(&args, program);
	strv_take(&args, xasprintf("--parent=%d", getpid()));
	strv_take(&args, xasprintf("--rings=%d", spawn_pass_fd(&s, rings)));
	strv_take(&args, xasprintf("--wake=%d", spawn_pass_fd(&s, l->wake)));
	strv_take(&args, xasprintf("--call=%d", spawn_pass_fd(&s, l->call)));
	strv_take(&args, xasprintf("--spec=%d", spawn_pass_fd(&s, spec)));
	strv_take(&args, xasprintf("--events=%d", spawn_pass_fd(&s, events[1])));
	s.argv = args.v;
	pid = spawn_run(&s);
	if (pid < 0 || read(events[0], line, sizeof(line) - 1) <= 0 ||
	    strncmp(line, "start", 5) != 0)
		errx(1, "msb-net did not start: %s", line);
	strv_release(&args);
	return pid;
}

/* User and system time of a process, in seconds. */
static double cpu_seconds(pid_t pid)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/stat", pid);
	_cleanup_free_ char *text = NULL;
	unsigned long user, kernel;
	char *p;

	if (read_file(AT_FDCWD, path, 4096, &text, NULL) < 0 || !(p = strrchr(text, ')')) ||
	    sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) !=
		    2)
		errx(1, "cannot read %s", path);
	return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

/* --- TCP, as little of it as a link without losses needs ----------------------------------- */

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* False when the ring is full. */
static bool send_segment(struct link *l, uint8_t flags, size_t len)
{
	size_t options = flags & 2 ? 8 : 0, l4_len = 20 + options + len;
	size_t total = packet_overhead(&l->guest) + l4_len;
	uint8_t *frame = frame_ring_reserve(&l->rings.out, total), *l4;

	if (!frame)
		return false;
	l4 = packet_begin(frame, &l->macs, &l->guest, &l->gateway, IPPROTO_TCP, l4_len);
	memset(l4, 0, 20);
	put16(l4, PORT);
	put16(l4 + 2, l->port);
	put32(l4 + 4, l->seq);
	put32(l4 + 8, l->ack);
	l4[12] = (uint8_t)((20 + options) / 4 << 4);
	l4[13] = flags;
	put16(l4 + 14, flags & 2 ? 65535 : WINDOW >> SCALE);
	if (options)
		memcpy(l4 + 20, (const uint8_t[]){2, 4, MSS >> 8, MSS & 255, 3, 3, SCALE, 0}, 8);
	/* What is sent has to come from somewhere, as a guest's data do. */
	memset(l4 + 20 + options, (int)l->seq, len);
	packet_finish(frame, l4, IPPROTO_TCP, l4_len, MSS);
	frame_ring_commit(&l->rings.out, total);
	l->seq += (uint32_t)len + !!(flags & 2);
	l->sent += len;
	return true;
}

static void hear(struct link *l, const uint8_t *frame, size_t len)
{
	static uint8_t copy[65536];
	uint8_t flags;

	if (packet_parse(&l->p, frame, len, &l->macs) != PACKET_OK || l->p.kind != PACKET_TCP)
		return;
	flags = l->p.l4[13];
	if (flags & 4)
		errx(1, "the connection was reset");
	l->una = get32(l->p.l4 + 8);
	l->window = (uint32_t)(l->p.l4[14] << 8 | l->p.l4[15]) << (flags & 2 ? 0 : 4);
	if (flags & 2) {
		l->ack = get32(l->p.l4 + 4) + 1;
		l->open = true;
	}
	memcpy(copy, l->p.payload, l->p.payload_len);
	l->ack += (uint32_t)l->p.payload_len;
	l->received += l->p.payload_len;
}

/* One round: hears all, says what can be said. False when there was nothing to do. */
static bool step(struct link *l)
{
	uint64_t before = l->received;
	const uint8_t *frame;
	bool did = false, was_open = l->open;
	int n;

	while ((n = frame_ring_next(&l->rings.in, &frame)) > 0) {
		hear(l, frame, (size_t)n);
		frame_ring_done(&l->rings.in);
		did = true;
	}
	if (frame_ring_release(&l->rings.in))
		event_signal(l->wake);
	if (l->received != before || l->open != was_open)
		did = send_segment(l, 16, 0) || did;
	while (server.up && l->open && l->seq - l->una + CHUNK <= l->window &&
	       send_segment(l, 24, CHUNK))
		did = true;
	if (frame_ring_publish(&l->rings.out))
		event_signal(l->wake);
	return did;
}

static void run(struct link *l, uint64_t until)
{
	while (clock_mono_ns() < until) {
		struct pollfd p = {.fd = l->call, .events = POLLIN};
		uint64_t n;

		if (step(l))
			continue;
		if (frame_ring_await_frame(&l->rings.in) || frame_ring_await_room(&l->rings.out))
			if (step(l))
				continue;
		if (poll(&p, 1, 100) > 0 && read(l->call, &n, sizeof(n)) < 0 && errno != EAGAIN)
			err(1, "eventfd");
	}
}

int main(int argc, char **argv)
{
	struct link l = {
		.macs = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}},
		.seq = 1000,
	};
	uint64_t seconds, start, bytes;
	double cpu;
	pid_t pid;

	if (argc != 4 || parse_u64(argv[2], 3600, &seconds) < 0)
		errx(2, "usage: net_link up|down SECONDS MSB-NET");
	server.up = strcmp(argv[1], "up") == 0;
	addr_parse("172.16.0.6", &l.guest);
	addr_parse("172.16.0.5", &l.gateway);
	l.port = start_server();
	pid = start_net(&l, argv[3]);
	send_segment(&l, 2, 0);
	frame_ring_publish(&l.rings.out);
	event_signal(l.wake);
	run(&l, clock_mono_ns() + NSEC_PER_SEC / 2); /* until it is warm */
	start = clock_mono_ns();
	bytes = server.up ? server.bytes : l.received;
	cpu = cpu_seconds(pid);
	run(&l, start + seconds * NSEC_PER_SEC);
	printf("%llu %.3f %.3f\n",
	       (unsigned long long)((server.up ? server.bytes : l.received) - bytes),
	       (double)(clock_mono_ns() - start) / 1e9, cpu_seconds(pid) - cpu);
	kill(pid, SIGTERM);
	return 0;
}
