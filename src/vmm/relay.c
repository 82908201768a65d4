/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/relay.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

static void find_lines(struct relay *r, const char *p, size_t n)
{
	for (; n; p++, n--) {
		if (*p != '\n' && *p != '\r') {
			if (r->line_len < sizeof(r->line) - 1)
				r->line[r->line_len++] = *p;
			continue;
		}
		r->line[r->line_len] = '\0';
		if (r->line_len)
			r->on_line(r, r->line);
		r->line_len = 0;
	}
}

/*
 * Writes the chunk if that does not block; false when it has to wait.
 * #syscalls:relay poll write
 */
static bool pass_on(struct relay *r, int timeout_ms)
{
	struct pollfd p = {.fd = r->out.fd, .events = POLLOUT};

	if (r->chunk_len == 0)
		return true;
	if (r->out.fd >= 0) {
		if (poll(&p, 1, timeout_ms) <= 0 || !(p.revents & (POLLOUT | POLLERR)))
			return false;
		/* The far end is gone: the rest is only looked at. */
		if (write_full(r->out.fd, r->chunk, r->chunk_len) < 0)
			r->out.fd = -1;
	}
	r->chunk_len = 0;
	return true;
}

/*
 * 1 when something was read, 0 for nothing now, -1 at the end.
 * #syscalls:relay read
 */
static int read_chunk(struct relay *r)
{
	ssize_t n = read(r->in.fd, r->chunk, sizeof(r->chunk));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return -1;
	r->chunk_len = (size_t)n;
	find_lines(r, r->chunk, r->chunk_len);
	return 1;
}

static void on_in(struct ev *ev, uint32_t events)
{
	struct relay *r = container_of(ev, struct relay, in);

	if (read_chunk(r) < 0) {
		loop_del(r->loop, ev);
		return;
	}
	if (pass_on(r, 0))
		return;
	loop_del(r->loop, ev);
	/* What cannot be watched is a file, which is always writable; so this does not fail. */
	if (loop_add(r->loop, &r->out, EPOLLOUT) < 0)
		r->out.fd = -1;
}

static void on_out(struct ev *ev, uint32_t events)
{
	struct relay *r = container_of(ev, struct relay, out);

	/* Off the loop first: it may find out that the descriptor is of no use any more. */
	loop_del(r->loop, ev);
	if (!pass_on(r, 0)) {
		loop_add(r->loop, ev, EPOLLOUT);
		return;
	}
	loop_add(r->loop, &r->in, EPOLLIN);
}

int relay_start(struct relay *r, struct loop *loop, int in_fd, int out_fd,
		void (*on_line)(struct relay *r, const char *line))
{
	int e;

	*r = (struct relay){
		.loop = loop,
		.in = {.fd = in_fd, .fn = on_in},
		.out = {.fd = out_fd, .fn = on_out},
		.on_line = on_line,
	};
	e = fd_set_nonblock(in_fd, true);
	if (e == 0)
		e = loop_add(loop, &r->in, EPOLLIN);
	if (e < 0)
		close_fd(&r->in.fd);
	return e;
}

void relay_finish(struct relay *r, int timeout_ms)
{
	if (!r->loop || r->in.fd < 0)
		return;
	loop_del(r->loop, &r->in);
	loop_del(r->loop, &r->out);
	while (pass_on(r, timeout_ms))
		if (read_chunk(r) <= 0)
			break;
	if (r->line_len)
		find_lines(r, "\n", 1);
	close_fd(&r->in.fd);
}
