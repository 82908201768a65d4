/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's call home: as soon as the guest's kernel has started it, the agent connects to the
 * host's vsock port, says hello, gets its configuration, and answers when everything stands.
 * The first connection is the agent's, since nothing else runs in the guest before it answers.
 */
#include "sandbox/monitor.h"

#include "base/clock.h"
#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static void close_call(struct monitor *m)
{
	loop_del(m->loop, &m->boot.ev);
	close_fd(&m->boot.fd);
	buf_release(&m->boot.in);
}

static void stop_listening(struct monitor *m)
{
	loop_del(m->loop, &m->boot.listen_ev);
	close_fd(&m->boot.listen_fd);
	unlinkat(m->run_dir, "vsock.sock_1024", 0);
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
	r = message_write(m->boot.fd, FRAME_EVENT, j);
	json_decref(j);
	return r < 0 ? err_sys(e, -r, "cannot send the boot configuration") : 0;
}

static void on_call(struct ev *ev, uint32_t events)
{
	struct monitor *m = container_of(ev, struct monitor, boot.ev);
	uint8_t *p = buf_reserve(&m->boot.in, 4096);
	struct err e = {0};
	struct frame f;
	ssize_t n;
	int r;

	n = p ? read(ev->fd, p, 4096) : 0;
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		close_call(m);
		monitor_boot_failed(m, "the agent hung up");
		return;
	}
	buf_commit(&m->boot.in, (size_t)n);
	while ((r = frame_peek(&m->boot.in, &f)) > 0) {
		r = handle_frame(m, &f, &e);
		if (r > 0) {
			close_call(m);
			monitor_ready(m);
			return;
		}
		if (r < 0)
			break;
		frame_consume(&m->boot.in, &f);
	}
	if (r < 0) {
		close_call(m);
		monitor_boot_failed(m, "%s", e.msg[0] ? e.msg : "the agent sent garbage");
	}
}

static void on_connection(struct ev *ev, uint32_t events)
{
	struct monitor *m = container_of(ev, struct monitor, boot.listen_ev);
	int fd = accept4(ev->fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	stop_listening(m);
	m->boot.fd = fd;
	m->boot.ev = (struct ev){.fd = fd, .fn = on_call};
	if (loop_add(m->loop, &m->boot.ev, EPOLLIN) < 0)
		monitor_boot_failed(m, "out of descriptors");
}

int boot_listen(struct monitor *m, struct err *e)
{
	int r;

	buf_init(&m->boot.in, FRAME_HEADER_LEN + 64 * KIB);
	m->boot.listen_fd = unix_listen_at(m->run_dir, "vsock.sock_1024", 1);
	if (m->boot.listen_fd < 0)
		return err_sys(e, -m->boot.listen_fd, "cannot listen for the agent");
	m->boot.listen_ev = (struct ev){.fd = m->boot.listen_fd, .fn = on_connection};
	r = loop_add(m->loop, &m->boot.listen_ev, EPOLLIN);
	return r < 0 ? err_sys(e, -r, "cannot listen for the agent") : 0;
}

void boot_release(struct monitor *m)
{
	if (m->boot.listen_fd >= 0)
		stop_listening(m);
	close_call(m);
}
