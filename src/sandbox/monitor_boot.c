/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's call home: as soon as the guest's kernel has started it, the agent connects to the
 * host's vsock port, says hello, gets its configuration, and answers when everything stands.
 * The first connection is the agent's, since nothing else runs in the guest before it answers.
 *
 * msb-vmm offers every connection that the guest makes as a descriptor. It is the process that a
 * guest would have to take over first, so neither the message nor the descriptor is trusted: the
 * message has one exact form, everything else is closed, and as whoever sent the descriptor may
 * have kept a copy and can change its flags at any time, nothing here relies on these: reading and
 * writing say themselves that they do not wait.
 */
#include "sandbox/monitor.h"

#include "base/clock.h"
#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define READ_SIZE ((size_t)4096)

static void close_call(struct monitor *m)
{
	loop_del(m->loop, &m->boot.ev);
	close_fd(&m->boot.fd);
	buf_release(&m->boot.in);
	buf_release(&m->boot.out);
}

static void call_failed(struct monitor *m, const char *text)
{
	close_call(m);
	monitor_boot_failed(m, "%s", text);
}

/* Sends what waits for the agent; what does not fit is sent when the socket takes it. */
static int send_out(struct monitor *m)
{
	struct boot_call *b = &m->boot;

	while (buf_len(&b->out)) {
		ssize_t n = send(b->fd, buf_data(&b->out), buf_len(&b->out),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			buf_consume(&b->out, (size_t)n);
	}
	return loop_mod(m->loop, &b->ev, buf_len(&b->out) ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static int handle_frame(struct monitor *m, const struct frame *f, struct err *e)
{
	json_t *j = message_parse(f->payload, f->len, e);
	const char *op;
	int version, r;

	if (!j)
		return -1;
	if (f->type == FRAME_RESULT && m->boot.configured) {
		json_int_t setup = 0;

		r = message_check(j, e);
		json_unpack(j, "{s:{s?I}}", "timing", "setup_ns", &setup);
		m->times.agent_setup_ns = setup > 0 ? (uint64_t)setup : 0;
		json_decref(j);
		return r < 0 ? -1 : 1;
	}
	if (f->type != FRAME_REQUEST || m->boot.configured ||
	    json_unpack(j, "{s:s, s:i}", "op", &op, "protocol", &version) < 0 ||
	    strcmp(op, "hello") != 0)
		r = err_set(e, ERR_INTERNAL, "the agent did not say hello");
	else if (version != PROTOCOL_VERSION)
		r = err_set(e, ERR_UNSUPPORTED, "the agent speaks protocol %d, not %d", version,
			    PROTOCOL_VERSION);
	else
		r = 0;
	json_decref(j);
	if (r < 0)
		return r;
	m->times.hello = clock_mono_ns();
	m->boot.configured = true;
	m->spec.boot.time_ns = clock_real_ns();
	j = boot_config_to_json(&m->spec.boot);
	r = message_append(&m->boot.out, FRAME_EVENT, j);
	json_decref(j);
	if (r == 0)
		r = send_out(m);
	return r < 0 ? err_sys(e, -r, "cannot send the boot configuration") : 0;
}

static void read_call(struct monitor *m)
{
	uint8_t *p = buf_reserve(&m->boot.in, READ_SIZE);
	ssize_t n = p ? recv(m->boot.fd, p, READ_SIZE, MSG_DONTWAIT) : 0;
	struct err e = {0};
	struct frame f;
	int r;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		call_failed(m, "the agent hung up");
		return;
	}
	buf_commit(&m->boot.in, (size_t)n);
	while ((r = frame_peek(&m->boot.in, &f)) > 0) {
		r = handle_frame(m, &f, &e);
		if (r > 0) {
			close_call(m);
			m->boot.done = true;
			monitor_ready(m);
			return;
		}
		if (r < 0)
			break;
		frame_consume(&m->boot.in, &f);
	}
	if (r < 0)
		call_failed(m, e.msg[0] ? e.msg : "the agent sent garbage");
}

static void on_call(struct ev *ev, uint32_t events)
{
	struct monitor *m = container_of(ev, struct monitor, boot.ev);

	if ((events & EPOLLOUT) && send_out(m) < 0)
		call_failed(m, "the agent hung up");
	else if (events & ~(uint32_t)EPOLLOUT)
		read_call(m);
}

/* --- offers -------------------------------------------------------------------------------- */

/* Takes every descriptor over that came; the one if it was exactly one, otherwise -1. */
static int take_fd(struct msghdr *mh)
{
	int found = -1;
	size_t count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			close_fd(&found);
			memcpy(&found, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			count++;
		}
	}
	if (count != 1)
		close_fd(&found);
	return found;
}

/*
 * Receives a message. The descriptor and *ret_port if it is an offer, -EBADMSG if it is anything
 * else, -EAGAIN, or -ECONNRESET when no more will come.
 */
static int receive_offer(int fd, uint32_t *ret_port)
{
	struct iovec iov = {ret_port, sizeof(*ret_port)};
	union {
		/* Room for two shows that there were more than one. */
		char data[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.data,
		.msg_controllen = sizeof(control.data),
	};
	ssize_t n = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	int offered;

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? -EAGAIN : -ECONNRESET;
	offered = take_fd(&mh);
	/* An empty message cannot be told from the end; msb-vmm sends none. */
	if (n == 0 && offered < 0)
		return -ECONNRESET;
	if (n != sizeof(*ret_port) || (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		close_fd(&offered);
	return offered < 0 ? -EBADMSG : offered;
}

static void on_offer(struct ev *ev, uint32_t events)
{
	struct monitor *m = container_of(ev, struct monitor, boot.offers_ev);
	uint32_t port;
	int fd = receive_offer(ev->fd, &port);

	if (fd == -ECONNRESET) {
		loop_del(m->loop, ev);
		close_fd(&m->boot.offers_fd);
	}
	if (fd < 0)
		return;
	if (m->boot.called || port != AGENT_VSOCK_PORT) {
		close(fd);
		return;
	}
	m->boot.called = true;
	m->boot.fd = fd;
	m->boot.ev = (struct ev){.fd = fd, .fn = on_call};
	if (loop_add(m->loop, &m->boot.ev, EPOLLIN) < 0)
		call_failed(m, "the agent's connection is unusable");
}

int boot_await_call(struct monitor *m, struct err *e)
{
	int sv[2], r;

	buf_init(&m->boot.in, FRAME_HEADER_LEN + 64 * KIB);
	buf_init(&m->boot.out, FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return err_sys(e, errno, "cannot make the socket for the agent's call");
	m->boot.offers_fd = sv[0];
	m->boot.offers_ev = (struct ev){.fd = sv[0], .fn = on_offer};
	r = loop_add(m->loop, &m->boot.offers_ev, EPOLLIN);
	if (r == 0)
		return sv[1];
	close(sv[1]);
	return err_sys(e, -r, "cannot wait for the agent's call");
}

void boot_release(struct monitor *m)
{
	loop_del(m->loop, &m->boot.offers_ev);
	close_fd(&m->boot.offers_fd);
	close_call(m);
}
