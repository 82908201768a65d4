/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msb-net: the network of one sandbox, between msb-vmm's frame rings and the host's sockets.
 *
 * It gets everything it needs as arguments and open descriptors. SIGTERM ends it at once. On the
 * events descriptor it writes
 *
 *	port tcp 127.0.0.1:34567 80    a published port, with the port that was chosen
 *	start                          everything that can fail is done
 *	deny ...                       something was not allowed (see net_log.h)
 *	visit ...                      somebody came to a published port
 *	hint TEXT                      what to do about the error of the next line
 *	end error TEXT
 *
 * and exits with 0 after a signal, 1 otherwise, 2 for wrong arguments. Lines after `start` are lost
 * when nobody reads them, because nothing may keep the network waiting. MSB_DEBUG in the
 * environment lets a debugger attach.
 */
#include "base/cleanup.h"
#include "base/helper.h"
#include "base/io.h"
#include "base/process.h"
#include "net/jail.h"
#include "net/net.h"
#include "net/options.h"
#include "net/resolver.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#define RESOLV_CONF_MAX ((size_t)64 << 10)
#define TRIM_THRESHOLD  (4 << 20)
#define MMAP_THRESHOLD  (1 << 20)

struct program {
	struct net_options options;
	struct net_spec spec;
	struct loop *loop;
	struct ev signal_ev;
	struct net *net;
	bool stopped; /* by a signal */
};

/* The whole of a text file, owned. NULL with an error. */
static char *read_text(int fd, size_t max, const char *what, struct err *e)
{
	char *text = xmalloc(max + 1);
	ssize_t n = pread_full(fd, text, max + 1, 0);

	if (n < 0)
		err_sys(e, (int)-n, "cannot read %s", what);
	else if ((size_t)n > max)
		err_set(e, ERR_INVALID, "%s is longer than %zu bytes", what, max);
	else if (memchr(text, '\0', (size_t)n))
		err_set(e, ERR_INVALID, "%s is no text", what);
	else {
		text[n] = '\0';
		return text;
	}
	explicit_bzero(text, max + 1);
	free(text);
	return NULL;
}

/* Name servers of the host, for a sandbox that names none. */
static int read_nameservers(struct program *p, struct err *e)
{
	_cleanup_free_ char *text = NULL;

	if (p->options.resolv_conf_fd < 0 || p->spec.n_nameservers)
		return 0;
	text = read_text(p->options.resolv_conf_fd, RESOLV_CONF_MAX, "the host's resolv.conf", e);
	if (!text)
		return -1;
	p->spec.n_nameservers = resolv_conf_parse(text, p->spec.nameservers);
	return 0;
}

static int read_spec(struct program *p, struct err *e)
{
	/* It may hold the password of a proxy. */
	_cleanup_secret_ char *text =
		read_text(p->options.spec_fd, NET_SPEC_MAX, "the network's specification", e);

	if (!text || net_spec_parse(&p->spec, text, e) < 0)
		return -1;
	return read_nameservers(p, e);
}

static void on_net_event(void *ctx, const char *line)
{
	const struct program *p = ctx;

	helper_event(p->options.events_fd, "%s", line);
}

static void on_signal(struct ev *ev, uint32_t events)
{
	struct program *p = container_of(ev, struct program, signal_ev);

	if (!helper_take_signal(ev))
		return;
	p->stopped = true;
	loop_stop(p->loop);
}

/* Everything that needs more than the jail allows, and the jail. */
static int start(struct program *p, struct err *e)
{
	struct net_options *o = &p->options;
	struct net_fds fds = {
		.rings_fd = o->rings_fd,
		.wake_fd = o->wake_fd,
		.call_fd = o->call_fd,
	};

	if (helper_watch_signals(p->loop, &p->signal_ev, e) < 0 || read_spec(p, e) < 0)
		return -1;
	p->net = net_new(p->loop, &p->spec, &fds, on_net_event, p, e);
	if (!p->net)
		return -1;
	close_fd(&o->rings_fd);
	close_fd(&o->spec_fd);
	close_fd(&o->resolv_conf_fd);
	fd_set_nonblock(o->events_fd, true);
	return jail_enter(e);
}

static int run(struct program *p, pid_t parent, struct err *e)
{
	int r;

	if (helper_bind(parent, e) < 0)
		return -1;
	process_batch();
	/* Memory of one connection is that of the next; it need not go to the kernel between them.
	 */
	mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD);
	p->loop = loop_new();
	if (!p->loop)
		return err_sys(e, errno, "cannot make the event loop");
	if (start(p, e) < 0)
		goto fail;
	helper_event(p->options.events_fd, "start");
	r = loop_run(p->loop);
	if (r < 0)
		err_sys(e, -r, "cannot wait for events");
	else if (!p->stopped)
		net_failure(p->net, e);
	else
		return 0;
fail:
	if (e->hint[0])
		helper_event(p->options.events_fd, "hint %s", e->hint);
	helper_event(p->options.events_fd, "end error %s", e->msg);
	return -1;
}

static void release(struct program *p)
{
	net_free(p->net);
	if (p->loop)
		loop_del(p->loop, &p->signal_ev);
	close_fd(&p->signal_ev.fd);
	loop_free(p->loop);
	net_spec_release(&p->spec);
	net_options_release(&p->options);
}

/* #syscalls:main close exit_group */
int main(int argc, char **argv)
{
	pid_t parent = getppid();
	struct program p = {.signal_ev = {.fd = -1, .fn = on_signal}};
	struct err e = {};

	log_setup("msb-net", LOG_WARN);
	net_spec_init(&p.spec);
	if (net_options_parse(&p.options, argc, argv, &e) < 0)
		goto out;
	if (p.options.help) {
		fputs(net_options_usage, stdout);
		goto out;
	}
	log_setup("msb-net", p.options.log_level);
	/* Our own look comes too late when the parent has died already. */
	if (p.options.parent)
		parent = (pid_t)p.options.parent;
	run(&p, parent, &e);
out:
	if (e.code)
		log_error("%s", e.msg);
	release(&p);
	return err_exit_status(&e);
}
