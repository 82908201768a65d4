/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msb-agent: the first process of a sandbox.
 *
 * Theory of operation
 *
 * The kernel starts this program from an initramfs that holds nothing else. It calls the host
 * (vsock, docs/protocol.md), is told the sandbox's configuration, makes the root file system out
 * of the image's disk and the sandbox's writable disk, moves into it, and reports success or the
 * step that failed. An init of the sandbox's own is the first program that it starts (init.h). From
 * then on it serves the host's connections: each runs a program or does one other thing, and ends
 * with a result. It never gives its process id away: the sandbox lives as long as it does.
 *
 * Root: an overlay of, from below, the image (EROFS, read-only), a layer in memory with mount
 * points and this boot's /etc/hosts, /etc/hostname and /etc/resolv.conf, and the writable disk
 * (ext4). The layer means that starting a sandbox writes nothing to its disk, and that an image
 * without a /proc or with a link in its place is no special case.
 *
 * Time: the common fallback machine is an emulator, where code is translated the first time it
 * runs and that dominates everything; a path of the kernel that is not entered is time saved.
 * Hence few mounts and system calls, no formatted printing on the way, no /proc before its place
 * is ready, and work that needs no configuration is done while the host prepares its answer.
 *
 * Trust: the host is trusted, but its frames are checked, since a bug must not end this process.
 * Guest programs are not: they may be root and rearrange every file system. So after the set-up
 * this process opens no path of the guest. What must be looked up there (accounts, directories,
 * PATH) is looked up by the child that becomes the program, and files are read and written by a
 * child of their own (files.h); terminals are opened through a descriptor of the original devpts.
 * Connections are taken from the host's CID only. Signals cannot harm the first process unless it
 * installs handlers; it installs none.
 *
 * Concurrency: one thread, one epoll loop, nothing blocks after the set-up until the shutdown.
 */
#include "agent/halt.h"
#include "agent/init.h"
#include "agent/reply.h"
#include "agent/server.h"
#include "agent/setup.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

/* Of the boot, as uptimes in nanoseconds. */
struct stamps {
	uint64_t start;
	uint64_t config;
	uint64_t ready;
};

/* The connection to the host until the sandbox stands. */
struct call {
	int fd;
	struct buf in;
	struct buf out;
};

struct agent {
	struct call call;
	struct setup setup;
	struct boot_config config;
	struct server server;
	struct halt halt;
	struct loop *loop;
	struct ev child_ev;
	struct stamps stamps;
};

/* --- the call home ------------------------------------------------------------------------- */

static int vsock_socket(int flags)
{
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	return fd < 0 ? -errno : fd;
}

static int call_home(void)
{
	const struct sockaddr_vm host = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_HOST,
		.svm_port = AGENT_VSOCK_PORT,
	};
	_cleanup_close_ int fd = vsock_socket(0);

	if (fd < 0)
		return fd;
	if (connect(fd, (const struct sockaddr *)&host, sizeof(host)) < 0)
		return -errno;
	return steal_fd(&fd);
}

static int listen_for_host(void)
{
	const struct sockaddr_vm any = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_ANY,
		.svm_port = AGENT_VSOCK_PORT,
	};
	_cleanup_close_ int fd = vsock_socket(SOCK_NONBLOCK);

	if (fd < 0)
		return fd;
	if (bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0 || listen(fd, 64) < 0)
		return -errno;
	return steal_fd(&fd);
}

/*
 * The call uses send and recv on a buffer as the connections do later: code that has run once
 * already is cheap.
 */
static int send_all(int fd, struct buf *b)
{
	while (buf_len(b)) {
		ssize_t n = send(fd, buf_data(b), buf_len(b), MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			buf_consume(b, (size_t)n);
	}
	return 0;
}

static int say_hello(struct call *c, uint64_t uptime)
{
	struct reply r;
	int error;

	reply_begin(&r, &c->out, FRAME_REQUEST);
	reply_string(&r, "op", "hello");
	reply_number(&r, "protocol", PROTOCOL_VERSION);
	reply_string(&r, "agent", MSB_VERSION);
	reply_number(&r, "uptime_ns", uptime);
	error = reply_end(&r);
	return error ? error : send_all(c->fd, &c->out);
}

static int receive_frame(struct call *c, struct frame *ret)
{
	int r;

	while ((r = frame_peek(&c->in, ret)) == 0) {
		size_t room = MIN(buf_room(&c->in), (size_t)64 << 10);
		uint8_t *p = buf_reserve(&c->in, room);
		ssize_t n = p ? recv(c->fd, p, room, 0) : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ECONNRESET;
		buf_commit(&c->in, (size_t)n);
	}
	return r;
}

static int receive_config(struct call *c, struct boot_config *ret, struct err *e)
{
	struct frame f;
	json_t *j;
	int r;

	r = receive_frame(c, &f);
	if (r < 0)
		return err_sys(e, -r, "cannot receive the configuration");
	if (f.type != FRAME_EVENT)
		return err_set(e, ERR_BOOT, "expected the configuration, not a %s frame",
			       frame_type_name(f.type));
	j = message_parse(f.payload, f.len, e);
	r = j ? boot_config_from_json(j, ret, e) : -1;
	json_decref(j);
	return r;
}

static void report_ready(struct call *c, const struct stamps *t)
{
	struct reply r;

	reply_begin(&r, &c->out, FRAME_RESULT);
	reply_true(&r, "ok");
	reply_open(&r, "timing");
	reply_number(&r, "kernel_ns", t->start);
	reply_number(&r, "hello_ns", t->config - t->start);
	reply_number(&r, "setup_ns", t->ready - t->config);
	reply_close(&r);
	/* When the host is gone already, it will tell by killing the machine. */
	if (reply_end(&r) == 0)
		send_all(c->fd, &c->out);
	close_fd(&c->fd);
	buf_release(&c->in);
	buf_release(&c->out);
}

static _Noreturn void report_failure(int fd, const struct err *e)
{
	const struct timeval patience = {.tv_sec = 2};
	char byte;

	log_error("%s", e->msg);
	if (fd >= 0) {
		json_t *j = message_error(e);

		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		if (message_write(fd, FRAME_RESULT, j) == 0 && shutdown(fd, SHUT_WR) == 0)
			while (read(fd, &byte, 1) > 0)
				; /* until the host closes */
		json_decref(j);
	}
	halt_now();
}

/* --- service ------------------------------------------------------------------------------- */

static void on_child(struct ev *ev, uint32_t events)
{
	struct agent *a = container_of(ev, struct agent, child_ev);
	struct signalfd_siginfo si;

	/* One notice may stand for many children, and server_reap looks at all. */
	if (read(ev->fd, &si, sizeof(si)) > 0)
		server_reap(&a->server);
}

static int start_service(struct agent *a, int listen_fd, const sigset_t *child)
{
	int r;

	a->loop = loop_new();
	if (!a->loop)
		return -errno;
	a->child_ev.fd = signalfd(-1, child, SFD_CLOEXEC | SFD_NONBLOCK);
	a->child_ev.fn = on_child;
	if (a->child_ev.fd < 0)
		return -errno;
	r = loop_add(a->loop, &a->child_ev, EPOLLIN);
	if (r < 0)
		return r;
	server_init(&a->server, a->loop, &a->config);
	a->server.devpts = a->setup.devpts;
	a->server.random_fd = a->setup.random;
	halt_init(&a->halt, &a->server, &a->setup);
	return server_listen(&a->server, listen_fd);
}

static int boot(struct agent *a, struct err *e)
{
	int r, listen_fd;
	sigset_t child;

	r = call_home();
	if (r < 0)
		return err_sys(e, -r, "cannot reach the host");
	a->call.fd = r;
	r = say_hello(&a->call, a->stamps.start);
	if (r < 0)
		return err_sys(e, -r, "cannot greet the host");
	/* While the host prepares its answer. */
	if (setup_early(&a->setup, e) < 0)
		return -1;
	listen_fd = listen_for_host();
	if (listen_fd < 0)
		return err_sys(e, -listen_fd, "cannot listen for the host");
	if (receive_config(&a->call, &a->config, e) < 0)
		return -1;
	a->stamps.config = clock_mono_ns();
	if (setup_root(&a->setup, &a->config, e) < 0)
		return -1;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	r = start_service(a, listen_fd, &child);
	if (r < 0)
		return err_sys(e, -r, "cannot serve the host");
	if (a->config.has_init && init_start(&a->server, &a->setup, &a->config, e) < 0)
		return -1;
	a->stamps.ready = clock_mono_ns();
	return 0;
}

/*
 * Before all programs, which it serves: a busy one must not make the others' input and output wait.
 * It only works when there is something to pass on, and its children are as usual.
 */
static void take_precedence(void)
{
	const struct sched_param p = {.sched_priority = 1};

	/* Without it everything works, only later. */
	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &p) < 0)
		log_warn("cannot get precedence: errno %d", errno);
}

int main(void)
{
	static struct agent a; /* lives as long as the machine */
	struct err e = {0};

	a.stamps.start = clock_mono_ns();
	log_setup("msb-agent", LOG_WARN);
	if (getpid() != 1) {
		log_error("this is the first process of a sandbox and runs nowhere else");
		return 2;
	}
	/* Memory once got is kept: giving it back and getting it again costs more than it saves. */
	mallopt(M_TOP_PAD, 512 << 10);
	mallopt(M_TRIM_THRESHOLD, 64 << 20);
	mallopt(M_MMAP_THRESHOLD, 4 << 20);
	/* The host is the only one to send JSON; it need not be kept from guessing hash values. */
	json_object_seed(1);
	take_precedence();
	setup_init(&a.setup);
	a.call.fd = -1;
	buf_init(&a.call.in, FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX);
	buf_init(&a.call.out, 4096);
	if (boot(&a, &e) < 0) {
		if (e.code != ERR_NO_SPACE)
			e.code = ERR_BOOT;
		report_failure(a.call.fd, &e);
	}
	report_ready(&a.call, &a.stamps);
	loop_run(a.loop);
	/* Only a broken epoll brings us here; the kernel would panic if we returned. */
	log_error("the agent's loop ended");
	halt_now();
}
