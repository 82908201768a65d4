/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sandbox gives all of its programs, and the session of its init: it runs before anybody
 * is connected to it. Agent, client and programs are this process and its children; the init has
 * no namespace of its own here.
 */
#include "../testing.h"

#include "agent/init.h"
#include "agent/session.h"
#include "base/clock.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

struct fixture {
	struct loop *loop;
	struct boot_config config;
	struct server server;
	struct ev child_ev;
};

/* One connection, with all that came on it. */
struct client {
	struct fixture *f;
	int fd;
	struct ev ev;
	struct buf in;
	const char *until; /* text at which the loop stops; NULL: the result */
	char out[4096];
	struct exec_result result;
	struct err error;
	bool started, has_result;
};

static void on_child(struct ev *ev, uint32_t events)
{
	struct fixture *f = container_of(ev, struct fixture, child_ev);
	struct signalfd_siginfo si;

	if (read(ev->fd, &si, sizeof(si)) > 0)
		server_reap(&f->server);
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	sigset_t child;

	*state = f;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	signal(SIGPIPE, SIG_IGN);
	strv_add(&f->config.env, "PATH=/usr/bin:/bin");
	f->loop = loop_new();
	server_init(&f->server, f->loop, &f->config);
	f->child_ev =
		(struct ev){.fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK), .fn = on_child};
	return loop_add(f->loop, &f->child_ev, EPOLLIN);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	server_release(&f->server);
	loop_del(f->loop, &f->child_ev);
	close(f->child_ev.fd);
	loop_free(f->loop);
	boot_config_release(&f->config);
	free(f);
	return 0;
}

static void take_frame(struct client *c, const struct frame *f)
{
	json_t *j;

	if (f->type == FRAME_STDOUT || f->type == FRAME_STDERR) {
		assert_true(strlen(c->out) + f->len < sizeof(c->out));
		strncat(c->out, (const char *)f->payload, f->len);
		return;
	}
	j = message_parse(f->payload, f->len, &c->error);
	assert_non_null(j);
	if (f->type == FRAME_EVENT) {
		c->started = true;
	} else {
		exec_result_from_json(j, &c->result, &c->error);
		c->has_result = true;
	}
	json_decref(j);
}

static void on_client(struct ev *ev, uint32_t events)
{
	struct client *c = container_of(ev, struct client, ev);
	uint8_t *p = buf_reserve(&c->in, 65536);
	ssize_t n = recv(c->fd, p, 65536, 0);
	struct frame f;

	assert_true(n > 0);
	buf_commit(&c->in, (size_t)n);
	while (frame_peek(&c->in, &f) > 0) {
		take_frame(c, &f);
		frame_consume(&c->in, &f);
	}
	if (c->has_result || (c->until && strstr(c->out, c->until)))
		loop_stop(c->f->loop);
}

static void connect_client(struct fixture *f, struct client *c, json_t *request)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
	*c = (struct client){.f = f, .fd = fds[0], .ev = {.fd = fds[0], .fn = on_client}};
	buf_init(&c->in, FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX + 65536);
	assert_int_equal(loop_add(f->loop, &c->ev, EPOLLIN), 0);
	assert_int_equal(server_add(&f->server, fds[1]), 0);
	assert_int_equal(message_write(c->fd, FRAME_REQUEST, request), 0);
	json_decref(request);
}

static void disconnect(struct client *c)
{
	loop_del(c->f->loop, &c->ev);
	close(c->fd);
	buf_release(&c->in);
}

static void run_until(struct client *c, const char *text)
{
	c->until = text;
	assert_int_equal(loop_run(c->f->loop), 0);
}

static json_t *shell(const char *script)
{
	return json_pack("{s:s, s:[s, s, s]}", "op", "exec", "argv", "sh", "-c", script);
}

static json_t *join(void)
{
	return json_pack("{s:s, s:[s], s:b, s:b}", "op", "exec", "argv", "init", "join", 1, "stdin",
			 1);
}

/* Runs a script as a session; its output is the result. */
static void run_script(struct fixture *f, struct client *c, const char *script)
{
	connect_client(f, c, shell(script));
	run_until(c, NULL);
	disconnect(c);
}

/* --- of all programs ----------------------------------------------------------------------- */

static void test_limits_of_the_sandbox(void **state)
{
	struct fixture *f = *state;
	json_t *request = shell("ulimit -n; ulimit -Hn; ulimit -c");
	struct client c;

	f->config.rlimits[0] = (struct rlimit_spec){RLIMIT_NOFILE, 60, 70};
	f->config.rlimits[1] = (struct rlimit_spec){RLIMIT_CORE, 0, 0};
	f->config.n_rlimits = 2;
	run_script(f, &c, "ulimit -n; ulimit -Hn; ulimit -c");
	assert_string_equal(c.out, "60\n70\n0\n");
	/* One by one the request's come before them. */
	json_object_set_new(
		request, "rlimits",
		json_pack("[{s:i, s:i, s:i}]", "resource", RLIMIT_NOFILE, "soft", 50, "hard", 65));
	connect_client(f, &c, request);
	run_until(&c, NULL);
	disconnect(&c);
	assert_string_equal(c.out, "50\n65\n0\n");
}

static void test_restricted(void **state)
{
	struct fixture *f = *state;
	struct client c;

	run_script(f, &c, "grep NoNewPrivs /proc/self/status");
	assert_string_equal(c.out, "NoNewPrivs:\t0\n");
	f->config.restricted = true;
	run_script(f, &c, "grep -E 'NoNewPrivs|CapBnd' /proc/self/status");
	assert_non_null(strstr(c.out, "NoNewPrivs:\t1\n"));
	if (geteuid() == 0)
		assert_int_equal(strtoull(strstr(c.out, "CapBnd:") + 7, NULL, 16) >> 21 & 1, 0);
}

/* --- the init ------------------------------------------------------------------------------ */

static int start_init(struct fixture *f, const char *script, struct err *e)
{
	f->config.has_init = true;
	strv_add(&f->config.init.argv, "sh");
	strv_add(&f->config.init.argv, "-c");
	strv_add(&f->config.init.argv, script);
	f->config.init.has_stdin = true;
	return session_start_init(&f->server, &f->config.init, NULL, e);
}

static void test_join(void **state)
{
	struct fixture *f = *state;
	struct client c, second;
	struct err e = {0};

	assert_int_equal(start_init(f, "echo up; read x; echo got $x; exit 5", &e), 0);
	assert_true(session_init_pid(&f->server) > 0);
	connect_client(f, &c, join());
	run_until(&c, "up");
	assert_true(c.started);
	/* Only one can have it. */
	connect_client(f, &second, join());
	run_until(&second, NULL);
	assert_int_equal(second.error.code, ERR_BUSY);
	disconnect(&second);
	assert_int_equal(frame_write(c.fd, FRAME_STDIN, 0, "hello\n", 6), 0);
	run_until(&c, NULL);
	assert_string_equal(c.out, "up\ngot hello\n");
	assert_int_equal(c.result.exit_code, 5);
	disconnect(&c);
	assert_int_equal(session_init_pid(&f->server), 0);
	/* Where there is no init, nothing else can run. */
	run_script(f, &c, "true");
	assert_int_equal(c.error.code, ERR_STATE);
	connect_client(f, &c, json_pack("{s:s, s:s}", "op", "fs.read", "path", "/etc"));
	run_until(&c, NULL);
	assert_int_equal(c.error.code, ERR_STATE);
	disconnect(&c);
	connect_client(f, &c, join());
	run_until(&c, NULL);
	assert_int_equal(c.error.code, ERR_STATE);
	disconnect(&c);
}

/* Who leaves does not end it, and what it prints is for the next one. */
static void test_leave(void **state)
{
	struct fixture *f = *state;
	struct client c;
	struct err e = {0};

	assert_int_equal(start_init(f, "echo one; read x; echo two; read x; exit 0", &e), 0);
	connect_client(f, &c, join());
	run_until(&c, "one");
	disconnect(&c);
	run_script(f, &c, "echo beside");
	assert_string_equal(c.out, "beside\n");
	connect_client(f, &c, join());
	assert_int_equal(frame_write(c.fd, FRAME_STDIN, 0, "\n\n", 2), 0);
	run_until(&c, NULL);
	assert_string_equal(c.out, "two\n");
	assert_int_equal(c.result.exit_code, 0);
	disconnect(&c);
}

/* Nothing is lost of one that had ended before anybody came. */
static void test_ended_before(void **state)
{
	struct fixture *f = *state;
	struct client c;
	struct err e = {0};

	assert_int_equal(start_init(f, "echo last words; exit 3", &e), 0);
	/* Whoever runs a program hears that it has ended, which comes first. */
	while (session_init_pid(&f->server)) {
		connect_client(f, &c, json_pack("{s:s}", "op", "ping"));
		run_until(&c, NULL);
		disconnect(&c);
	}
	connect_client(f, &c, join());
	run_until(&c, NULL);
	assert_string_equal(c.out, "last words\n");
	assert_int_equal(c.result.exit_code, 3);
	disconnect(&c);
	assert_null(f->server.sessions);
}

static void test_ended_silently(void **state)
{
	struct fixture *f = *state;
	struct client c;
	struct err e = {0};

	assert_int_equal(start_init(f, "exit 4", &e), 0);
	while (session_init_pid(&f->server)) {
		connect_client(f, &c, json_pack("{s:s}", "op", "ping"));
		run_until(&c, NULL);
		disconnect(&c);
	}
	connect_client(f, &c, join());
	run_until(&c, NULL);
	assert_int_equal(c.result.exit_code, 4);
	disconnect(&c);
}

/* By these the kernel tells what reboot(2) was asked for. */
static void test_wishes(void **state)
{
	static const struct {
		const char *script;
		enum init_wish wish;
		int exit_code;
	} cases[] = {
		{"kill -INT $$", INIT_WISH_OFF, 0},
		{"kill -HUP $$", INIT_WISH_REBOOT, 0},
		{"kill -KILL $$", INIT_WISH_NONE, 128 + SIGKILL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f = *state;
		struct client c;
		struct err e = {0};

		assert_int_equal(start_init(f, cases[i].script, &e), 0);
		connect_client(f, &c, join());
		run_until(&c, NULL);
		assert_int_equal(c.result.wish, cases[i].wish);
		assert_int_equal(c.result.exit_code, cases[i].exit_code);
		disconnect(&c);
		exec_request_release(&f->config.init);
	}
}

static void test_missing(void **state)
{
	struct fixture *f = *state;
	struct err e = {0};

	strv_add(&f->config.init.argv, "/no/such/init");
	assert_int_equal(session_start_init(&f->server, &f->config.init, NULL, &e), -1);
	assert_int_equal(e.code, ERR_EXEC_NOT_FOUND);
	assert_null(f->server.sessions);
}

static int refuse(struct err *e)
{
	return err_set(e, ERR_BOOT, "not today");
}

static void test_unprepared(void **state)
{
	struct fixture *f = *state;
	struct err e = {0};

	strv_add(&f->config.init.argv, "true");
	assert_int_equal(session_start_init(&f->server, &f->config.init, refuse, &e), -1);
	assert_string_equal(e.msg, "not today");
}

static void ignore(int sig)
{
}

static void test_heeds(void **state)
{
	_cleanup_close_ int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	sigset_t set;

	signal(SIGUSR1, ignore);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 4);
	sigprocmask(SIG_BLOCK, &set, NULL);
	assert_true(init_heeds(proc, getpid(), SIGUSR1));
	assert_true(init_heeds(proc, getpid(), SIGRTMIN + 4));
	assert_false(init_heeds(proc, getpid(), SIGUSR2));
	assert_false(init_heeds(proc, getpid(), SIGRTMIN + 3));
	assert_false(init_heeds(-1, getpid(), SIGUSR1));
	assert_false(init_heeds(proc, -1, SIGUSR1));
}

#define init_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		init_test(test_limits_of_the_sandbox),
		init_test(test_restricted),
		init_test(test_join),
		init_test(test_leave),
		init_test(test_ended_before),
		init_test(test_ended_silently),
		init_test(test_wishes),
		init_test(test_missing),
		init_test(test_unprepared),
		cmocka_unit_test(test_heeds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
