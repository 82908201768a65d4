/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New connections per second:
 *
 *	net_conn ADDRESS PORT SECONDS AT_ONCE    opens as many as it can, so many at a time: each
 * sends a byte, has one back, and is closed; prints how many a second net_conn serve PORT answers
 * them
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define AT_ONCE_MAX 1024
#define EVENTS      64

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void watch(int epoll, int op, int fd, unsigned int events)
{
	struct epoll_event e = {.events = events, .data.fd = fd};

	if (epoll_ctl(epoll, op, fd, &e) < 0)
		err(1, "epoll");
}

static void open_one(int epoll, const struct sockaddr_in *to)
{
	const struct linger linger = {.l_onoff = 1};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0)
		err(1, "socket");
	/* No TIME-WAIT: ports would run out. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0 && errno != EINPROGRESS)
		err(1, "connect");
	watch(epoll, EPOLL_CTL_ADD, fd, EPOLLOUT);
}

static int measure(const struct sockaddr_in *to, double seconds, int at_once)
{
	int epoll = epoll_create1(0), open = 0;
	struct epoll_event events[EVENTS];
	double start = now();
	unsigned long done = 0, failed = 0;

	while (now() < start + seconds) {
		int n;

		for (; open < at_once; open++)
			open_one(epoll, to);
		n = epoll_wait(epoll, events, EVENTS, 1000);
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			char c = 'x';

			if (events[i].events & EPOLLOUT && send(fd, &c, 1, MSG_NOSIGNAL) == 1) {
				watch(epoll, EPOLL_CTL_MOD, fd, EPOLLIN);
				continue;
			}
			if (events[i].events & EPOLLIN && recv(fd, &c, 1, 0) == 1)
				done++;
			else
				failed++;
			close(fd);
			open--;
		}
	}
	printf("%.0f %lu\n", (double)done / (now() - start), failed);
	return 0;
}

static int serve(unsigned short port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
	int epoll = epoll_create1(0), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
	struct epoll_event events[EVENTS];

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 4096) < 0)
		err(1, "port %d", port);
	watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			int c = events[i].data.fd;
			char byte;

			if (c == fd) {
				c = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
				if (c >= 0)
					watch(epoll, EPOLL_CTL_ADD, c, EPOLLIN);
			} else if (recv(c, &byte, 1, 0) == 1) {
				send(c, &byte, 1, MSG_NOSIGNAL);
			} else {
				close(c);
			}
		}
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	long at_once;

	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		return serve((unsigned short)strtol(argv[2], NULL, 10));
	if (argc != 5 || inet_pton(AF_INET, argv[1], &sa.sin_addr) != 1)
		errx(2, "wrong arguments");
	sa.sin_port = htons((unsigned short)strtol(argv[2], NULL, 10));
	at_once = strtol(argv[4], NULL, 10);
	if (at_once < 1 || at_once > AT_ONCE_MAX)
		errx(2, "at once: 1 to %d", AT_ONCE_MAX);
	return measure(&sa, strtod(argv[3], NULL), (int)at_once);
}
