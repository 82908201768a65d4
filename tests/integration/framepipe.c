/* SPDX-License-Identifier: Apache-2.0 */
/*
 * framepipe FRAMES COMMAND [ARGUMENT]...: plays msb-net. Makes the rings and eventfds of a network,
 * starts the command, whose arguments may contain @RINGS@, @WAKE@ and @CALL@ for the descriptors,
 * and moves frames between the rings and the connected stream socket FRAMES, each with its length
 * (u32, little-endian) in front of it. Exits like the command.
 */
#include "base/frame_ring.h"
#include "base/io.h"
#include "base/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* The direction towards the machine is read ahead into a buffer, the other is not buffered. */
struct pipe {
	struct frame_rings rings;
	struct loop *loop;
	struct ev wake;   /* by the machine */
	struct ev socket; /* of the test */
	struct ev child;
	int call; /* wakes the machine */
	pid_t pid;
	uint8_t buf[256 * KIB];
	size_t have;
};

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "framepipe: %s: %s\n", what, strerror(errno));
	exit(99);
}

static void send_frame(struct pipe *p, const uint8_t *frame, uint32_t len)
{
	/* The socket is blocking for us to write: the ring fills up while the test is slow. */
	must(write_full(p->socket.fd, &len, sizeof(len)) == 0, "cannot pass a length on");
	must(write_full(p->socket.fd, frame, len) == 0, "cannot pass a frame on");
}

static void from_machine(struct pipe *p)
{
	const uint8_t *frame;
	int len;

	do {
		while ((len = frame_ring_next(&p->rings.in, &frame)) > 0) {
			send_frame(p, frame, (uint32_t)len);
			frame_ring_done(&p->rings.in);
			if (frame_ring_release(&p->rings.in))
				event_signal(p->call);
		}
		must(len == 0, "the machine broke the ring");
	} while (frame_ring_await_frame(&p->rings.in));
}

/* Moves whole frames from the buffer to the ring; what there is no room for waits. */
static void to_machine(struct pipe *p)
{
	size_t done = 0;
	uint32_t len;

	while (p->have - done >= sizeof(len)) {
		uint8_t *to;

		memcpy(&len, p->buf + done, sizeof(len));
		must(len > 0 && len <= FRAME_MAX, "no frame has that length");
		if (p->have - done < sizeof(len) + len)
			break;
		to = frame_ring_reserve(&p->rings.out, len);
		if (!to && frame_ring_await_room(&p->rings.out))
			continue;
		if (!to)
			break;
		memcpy(to, p->buf + done + sizeof(len), len);
		frame_ring_commit(&p->rings.out, len);
		done += sizeof(len) + len;
	}
	if (frame_ring_publish(&p->rings.out))
		event_signal(p->call);
	memmove(p->buf, p->buf + done, p->have - done);
	p->have -= done;
	loop_mod(p->loop, &p->socket, p->have < sizeof(p->buf) ? EPOLLIN : 0);
}

static void on_wake(struct ev *ev, uint32_t events)
{
	struct pipe *p = container_of(ev, struct pipe, wake);
	uint64_t n;

	must(read(ev->fd, &n, sizeof(n)) == sizeof(n), "cannot read the eventfd");
	from_machine(p);
	to_machine(p);
}

static void on_socket(struct ev *ev, uint32_t events)
{
	struct pipe *p = container_of(ev, struct pipe, socket);
	ssize_t n = recv(ev->fd, p->buf + p->have, sizeof(p->buf) - p->have, MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		loop_del(p->loop, ev);
		return;
	}
	if (n > 0)
		p->have += (size_t)n;
	to_machine(p);
}

static void on_child(struct ev *ev, uint32_t events)
{
	loop_stop(container_of(ev, struct pipe, child)->loop);
}

static void replace(char **arg, const char *word, int fd)
{
	char *at = strstr(*arg, word);

	if (!at)
		return;
	*arg = xasprintf("%.*s%d%s", (int)(at - *arg), *arg, fd, at + strlen(word));
}

static pid_t start(char **argv, const int fds[3])
{
	static const char *const words[] = {"@RINGS@", "@WAKE@", "@CALL@"};
	pid_t pid;

	for (char **arg = argv; *arg; arg++)
		for (int i = 0; i < 3; i++)
			replace(arg, words[i], fds[i]);
	pid = fork();
	must(pid >= 0, "fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < 3; i++)
		fd_set_cloexec(fds[i], false);
	if (argv[0])
		execv(argv[0], argv);
	_exit(98);
}

static void watch(struct pipe *p, struct ev *ev, int fd, void (*fn)(struct ev *ev, uint32_t events))
{
	ev->fd = fd;
	ev->fn = fn;
	must(fd >= 0 && loop_add(p->loop, ev, EPOLLIN) == 0, "cannot watch a descriptor");
}

int main(int argc, char **argv)
{
	static struct pipe p;
	int fds[3] = {frame_rings_create(), eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		      eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	uint64_t frames;
	int status;

	if (argc < 3 || parse_u64(argv[1], INT_MAX, &frames) < 0)
		return 97;
	signal(SIGPIPE, SIG_IGN);
	must(frame_rings_map(&p.rings, fds[0], FRAME_SIDE_NET) == 0, "cannot map the rings");
	p.call = fds[2];
	p.loop = loop_new();
	fd_set_cloexec((int)frames, true);
	watch(&p, &p.socket, (int)frames, on_socket);
	watch(&p, &p.wake, fds[1], on_wake);
	p.pid = start(argv + 2, fds);
	watch(&p, &p.child, pidfd_open(p.pid, 0), on_child);
	loop_run(p.loop);
	must(waitpid(p.pid, &status, 0) == p.pid, "wait");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
