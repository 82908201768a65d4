/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network's process: its start, what it tells, its end.
 *
 * msb-vmm and msb-net meet in a file of frame rings and two eventfds, which the monitor makes and
 * keeps no copy of. msb-net is started beside msb-vmm and the guest boots meanwhile, but the
 * sandbox is up only when msb-net is: a port that is in use is an error of the start.
 *
 * Its events are those of net/main.c. It talks to the world and is not trusted: what it says has a
 * bound and a form. A sandbox that lost its network cannot get it back, because both ends keep
 * state, so it ends as one that crashed.
 */
#include "sandbox/monitor.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/frame_ring.h"
#include "base/io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define PORTS_MAX    256
#define PROTOCOL_LEN 8
#define ENDPOINT_LEN 64

/* --- what it tells ------------------------------------------------------------------------- */

/* Takes "1.2.3.4:80" or "[::1]:80" apart, in place. 0, or -1 if it is none. */
static int split_endpoint(char *s, const char **ret_address, uint64_t *ret_port)
{
	bool v6 = s[0] == '[';
	char *end = v6 ? strchr(s, ']') : strchr(s, ':');
	struct in6_addr address;

	if (!end || (v6 && end[1] != ':') ||
	    parse_u64(end + (v6 ? 2 : 1), UINT16_MAX, ret_port) < 0)
		return -1;
	*end = '\0';
	*ret_address = v6 ? s + 1 : s;
	return inet_pton(v6 ? AF_INET6 : AF_INET, *ret_address, &address) == 1 ? 0 : -1;
}

/* PROTOCOL ADDRESS:PORT GUESTPORT */
static void note_port(struct monitor *m, const char *text)
{
	char protocol[PROTOCOL_LEN], endpoint[ENDPOINT_LEN];
	uint64_t host_port, guest_port;
	const char *address;
	int end = 0;

	if (sscanf(text, "%7s %63s %n", protocol, endpoint, &end) != 2 || !end ||
	    (strcmp(protocol, "tcp") != 0 && strcmp(protocol, "udp") != 0) ||
	    split_endpoint(endpoint, &address, &host_port) < 0 ||
	    parse_u64(text + end, UINT16_MAX, &guest_port) < 0 ||
	    json_array_size(m->net.ports) >= PORTS_MAX)
		return;
	json_array_append_new(m->net.ports,
			      json_pack("{s:s, s:s, s:I, s:I}", "protocol", protocol, "bind",
					address, "host_port", (json_int_t)host_port, "guest_port",
					(json_int_t)guest_port));
}

/* It holds names that the guest chose. */
static void note_flow(struct monitor *m, const char *line)
{
	_cleanup_free_ char *text = str_printable(line);

	monitor_note(m, "network: %s", text);
}

static void on_event(struct child *c, const char *line)
{
	struct monitor *m = container_of(c, struct monitor, net.child);

	if (str_starts_with(line, "port ")) {
		note_port(m, line + strlen("port "));
	} else if (str_starts_with(line, "deny ") || str_starts_with(line, "visit ")) {
		note_flow(m, line);
	} else if (str_starts_with(line, "hint ")) {
		snprintf(m->net.hint, sizeof(m->net.hint), "%s", line + strlen("hint "));
	} else if (strcmp(line, "start") == 0 && !m->net.started) {
		m->net.started = true;
		m->times.net = clock_mono_ns();
		monitor_ready(m);
	}
}

static void on_exit_status(struct child *c, int status)
{
	struct monitor *m = container_of(c, struct monitor, net.child);
	bool told = str_starts_with(c->end, "error ");

	/* What keeps it from starting is about the sandbox, not about the process. */
	if (told && !m->net.started)
		monitor_lost(m, m->net.hint, "%s", c->end + strlen("error "));
	else if (told)
		monitor_lost(m, "", "the network's process ended: %s", c->end + strlen("error "));
	else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		monitor_lost(m, "",
			     "the network's process made a system call that it must not make");
	else if (WIFSIGNALED(status))
		monitor_lost(m, "", "the network's process was killed by signal %d",
			     WTERMSIG(status));
	else
		monitor_lost(m, "", "the network's process ended with status %d",
			     WEXITSTATUS(status));
}

json_t *net_ports_answer(const struct monitor *m)
{
	return json_pack("{s:b, s:O}", "ok", 1, "ports", m->net.ports);
}

/* --- start --------------------------------------------------------------------------------- */

int net_prepare(struct monitor *m, struct err *e)
{
	struct network *n = &m->net;

	if (!m->spec.boot.has_network)
		return 0;
	n->rings_fd = frame_rings_create();
	if (n->rings_fd < 0)
		return err_sys(e, -n->rings_fd, "cannot make the network's frame rings");
	n->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	n->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (n->wake_fd < 0 || n->call_fd < 0)
		return err_sys(e, errno, "cannot make the network's eventfds");
	return 0;
}

void net_add_device(struct monitor *m, struct child_args *a)
{
	const struct boot_network *b = &m->spec.boot.network;
	const struct network *n = &m->net;

	if (!m->spec.boot.has_network)
		return;
	/* Ours as well until msb-net has them. */
	strv_take(&a->argv,
		  xasprintf("--net=mac=%02x:%02x:%02x:%02x:%02x:%02x,mtu=%u,rings=%d,wake=%d,"
			    "call=%d",
			    b->mac[0], b->mac[1], b->mac[2], b->mac[3], b->mac[4], b->mac[5],
			    b->mtu, spawn_pass_fd(&a->spawn, n->rings_fd),
			    spawn_pass_fd(&a->spawn, n->wake_fd),
			    spawn_pass_fd(&a->spawn, n->call_fd)));
}

/* No file, no argument: it may hold a password. */
static int add_spec(struct monitor *m, struct child_args *a, struct err *e)
{
	_cleanup_close_ int fd = memfd_create("msb-net-spec", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : write_full(fd, m->spec.net, strlen(m->spec.net));

	if (r < 0)
		return err_sys(e, -r, "cannot pass the network's specification on");
	strv_take(&a->argv, xasprintf("--spec=%d", child_hand_over(a, steal_fd(&fd))));
	return 0;
}

static void add_resolv_conf(struct child_args *a)
{
	/* A host without one has a name server of its own, or none. */
	int fd = open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd >= 0)
		strv_take(&a->argv, xasprintf("--resolv-conf=%d", child_hand_over(a, fd)));
}

int net_start(struct monitor *m, struct err *e)
{
	struct network *n = &m->net;
	struct child_args a;
	int r;

	if (!m->spec.boot.has_network)
		return 0;
	child_args_init(&a, "msb-net", m->spec.log_level);
	strv_take(&a.argv, xasprintf("--rings=%d", child_hand_over(&a, steal_fd(&n->rings_fd))));
	strv_take(&a.argv, xasprintf("--wake=%d", child_hand_over(&a, steal_fd(&n->wake_fd))));
	strv_take(&a.argv, xasprintf("--call=%d", child_hand_over(&a, steal_fd(&n->call_fd))));
	add_resolv_conf(&a);
	n->child.loop = m->loop;
	n->child.on_event = on_event;
	n->child.on_exit = on_exit_status;
	r = add_spec(m, &a, e);
	if (r == 0)
		r = child_start(&n->child, &a, e);
	child_args_release(&a);
	/* From here on nobody else needs it. */
	secret_free(m->spec.net);
	m->spec.net = NULL;
	return r;
}

bool net_is_up(const struct monitor *m)
{
	return !m->spec.boot.has_network || m->net.started;
}

void net_release(struct monitor *m)
{
	struct network *n = &m->net;

	child_release(&n->child);
	close_fd(&n->rings_fd);
	close_fd(&n->wake_fd);
	close_fd(&n->call_fd);
	json_decref(n->ports);
}
