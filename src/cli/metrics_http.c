/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/metrics_http.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/loop.h"
#include "cli/prometheus.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#define REQUEST_MAX     ((size_t)8 << 10) /* up to the empty line */
#define RESPONSE_MAX    ((size_t)64 << 20)
#define CONNECTIONS_MAX 16
#define PATIENCE        (10 * NSEC_PER_SEC) /* for a request, and for taking the answer */
#define BACKLOG         16

struct server {
	struct loop *loop;
	struct ev listen_ev, signal_ev;
	unsigned connections;
	int (*write_page)(void *ctx, FILE *out);
	void *ctx;
};

struct connection {
	struct server *server;
	struct ev ev; /* fd owned */
	struct timer patience;
	struct buf in, out;
};

/* --- address ------------------------------------------------------------------------------- */

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static int parse_address(const char *text, union address *ret, socklen_t *ret_len, struct err *e)
{
	const char *colon = strrchr(text, ':');
	_cleanup_free_ char *host = xstrndup(text, colon ? (size_t)(colon - text) : 0);
	size_t n = strlen(host);
	uint64_t port;
	bool loopback;

	*ret = (union address){0};
	if (!colon || parse_u64(colon + 1, 65535, &port) < 0)
		return err_set(e, ERR_USAGE, "expected ADDRESS:PORT, e.g. 127.0.0.1:9464");
	if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		ret->v6.sin6_family = AF_INET6;
		ret->v6.sin6_port = htons((uint16_t)port);
		if (inet_pton(AF_INET6, host + 1, &ret->v6.sin6_addr) != 1)
			return err_set(e, ERR_USAGE, "'%s' is no IPv6 address", host + 1);
		loopback = IN6_IS_ADDR_LOOPBACK(&ret->v6.sin6_addr);
		*ret_len = sizeof(ret->v6);
	} else {
		ret->v4.sin_family = AF_INET;
		ret->v4.sin_port = htons((uint16_t)port);
		if (inet_pton(AF_INET, host, &ret->v4.sin_addr) != 1)
			return err_set(e, ERR_USAGE, "'%s' is no IP address", host);
		loopback = ntohl(ret->v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
		*ret_len = sizeof(ret->v4);
	}
	return loopback ? 0
			: err_set(e, ERR_USAGE,
				  "only loopback addresses can be listened at, e.g. 127.0.0.1");
}

static void describe(int fd, char ret_url[80])
{
	union address sa = {0};
	socklen_t len = sizeof(sa);
	char host[INET6_ADDRSTRLEN] = "";

	getsockname(fd, &sa.any, &len);
	if (sa.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &sa.v6.sin6_addr, host, sizeof(host));
		snprintf(ret_url, 80, "http://[%s]:%u/metrics", host, ntohs(sa.v6.sin6_port));
	} else {
		inet_ntop(AF_INET, &sa.v4.sin_addr, host, sizeof(host));
		snprintf(ret_url, 80, "http://%s:%u/metrics", host, ntohs(sa.v4.sin_port));
	}
}

int metrics_http_listen(const char *address, char ret_url[80], struct err *e)
{
	_cleanup_close_ int fd = -1;
	union address sa;
	socklen_t len = 0;
	int on = 1;

	if (parse_address(address, &sa, &len, e) < 0)
		return err_wrap(e, "invalid value '%s' for '--listen <ADDRESS:PORT>'", address);
	fd = socket(sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, errno, "cannot make a socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, &sa.any, len) < 0 || listen(fd, BACKLOG) < 0)
		return err_sys(e, errno, "cannot listen at '%s'", address);
	describe(fd, ret_url);
	return steal_fd(&fd);
}

/* --- connections --------------------------------------------------------------------------- */

static void connection_free(struct connection *c)
{
	struct server *s = c->server;

	/* There is room for one more again. */
	if (s->connections-- == CONNECTIONS_MAX)
		loop_mod(s->loop, &s->listen_ev, EPOLLIN);
	loop_del(s->loop, &c->ev);
	timer_cancel(s->loop, &c->patience);
	close_fd(&c->ev.fd);
	buf_release(&c->in);
	buf_release(&c->out);
	free(c);
}

static void on_patience(struct timer *t)
{
	connection_free(container_of(t, struct connection, patience));
}

static void answer(struct connection *c, const char *status, const char *type, const char *body,
		   size_t n)
{
	buf_printf(&c->out,
		   "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
		   "Connection: close\r\n\r\n",
		   status, type, n);
	buf_append(&c->out, body, n);
}

static void answer_error(struct connection *c, const char *status)
{
	_cleanup_free_ char *body = xasprintf("%s\n", status);

	answer(c, status, "text/plain; charset=utf-8", body, strlen(body));
}

static void answer_page(struct connection *c)
{
	_cleanup_free_ char *page = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&page, &n);
	int r = out ? c->server->write_page(c->server->ctx, out) : -1;

	if (out && fclose(out) != 0)
		r = -1;
	if (r < 0 || n > RESPONSE_MAX - REQUEST_MAX)
		answer_error(c, "500 Internal Server Error");
	else
		answer(c, "200 OK", PROMETHEUS_TYPE, page, n);
}

/* The whole of the first line but for the version's last digit. */
static bool asks_for_page(const char *request)
{
	return str_starts_with(request, "GET /metrics HTTP/1.");
}

static void handle(struct connection *c)
{
	_cleanup_free_ char *request = xstrndup((const char *)buf_data(&c->in), buf_len(&c->in));

	if (asks_for_page(request))
		answer_page(c);
	else
		answer_error(c, "404 Not Found");
}

/* Whether the request is there up to the empty line. */
static bool is_complete(const struct buf *in)
{
	return memmem(buf_data(in), buf_len(in), "\r\n\r\n", 4) ||
	       memmem(buf_data(in), buf_len(in), "\n\n", 2);
}

/* False when the client is gone. */
static bool read_request(struct connection *c)
{
	uint8_t *p = buf_reserve(&c->in, buf_room(&c->in));
	ssize_t n = p ? recv(c->ev.fd, p, buf_room(&c->in), MSG_DONTWAIT) : 0;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	buf_commit(&c->in, (size_t)n);
	if (is_complete(&c->in))
		handle(c);
	else if (buf_room(&c->in) == 0)
		answer_error(c, "400 Bad Request");
	if (buf_len(&c->out))
		timer_set(c->server->loop, &c->patience, clock_mono_ns() + PATIENCE);
	return true;
}

/* False when everything is sent, or nobody takes it. */
static bool send_answer(struct connection *c)
{
	ssize_t n =
		send(c->ev.fd, buf_data(&c->out), buf_len(&c->out), MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	buf_consume(&c->out, (size_t)n);
	return buf_len(&c->out) > 0;
}

static void on_connection(struct ev *ev, uint32_t events)
{
	struct connection *c = container_of(ev, struct connection, ev);
	bool go_on = true;

	if (buf_len(&c->out) == 0)
		go_on = read_request(c);
	if (go_on && buf_len(&c->out))
		go_on = send_answer(c);
	if (!go_on)
		connection_free(c);
	else
		loop_mod(c->server->loop, ev, buf_len(&c->out) ? EPOLLOUT : EPOLLIN);
}

static void on_listen(struct ev *ev, uint32_t events)
{
	struct server *s = container_of(ev, struct server, listen_ev);
	int fd = accept4(ev->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct connection *c;

	if (fd < 0)
		return;
	c = xcalloc(1, sizeof(*c));
	*c = (struct connection){
		.server = s, .ev = {.fd = fd, .fn = on_connection}, .patience.fn = on_patience};
	buf_init(&c->in, REQUEST_MAX);
	buf_init(&c->out, RESPONSE_MAX);
	timer_set(s->loop, &c->patience, clock_mono_ns() + PATIENCE);
	/* The others wait in the backlog. */
	if (++s->connections == CONNECTIONS_MAX)
		loop_mod(s->loop, &s->listen_ev, 0);
	if (loop_add(s->loop, &c->ev, EPOLLIN) < 0)
		connection_free(c);
}

/* --- server -------------------------------------------------------------------------------- */

static void on_signal(struct ev *ev, uint32_t events)
{
	loop_stop(container_of(ev, struct server, signal_ev)->loop);
}

static int watch(struct server *s, int fd)
{
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signal_ev =
		(struct ev){.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .fn = on_signal};
	s->listen_ev = (struct ev){.fd = fd, .fn = on_listen};
	if (s->signal_ev.fd < 0)
		return -errno;
	r = loop_add(s->loop, &s->signal_ev, EPOLLIN);
	return r < 0 ? r : loop_add(s->loop, &s->listen_ev, EPOLLIN);
}

int metrics_http_serve(int fd, int (*write_page)(void *ctx, FILE *out), void *ctx, struct err *e)
{
	struct server s = {
		.loop = loop_new(), .signal_ev.fd = -1, .write_page = write_page, .ctx = ctx};
	int r = s.loop ? watch(&s, fd) : -ENOMEM;

	if (r == 0)
		r = loop_run(s.loop);
	/* What is open ends with the process, which is what comes next. */
	close_fd(&s.signal_ev.fd);
	close(fd);
	loop_free(s.loop);
	return r < 0 ? err_sys(e, -r, "cannot serve the metrics") : 0;
}
