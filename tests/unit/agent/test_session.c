/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session engine on this host: a process of its own plays the agent (so that its children
 * and signals are its own), the tests are its clients over a unix socket.
 */
#include "../testing.h"

#include "agent/server.h"
#include "base/clock.h"
#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

/* --- the agent's process ------------------------------------------------------------------- */

struct fake_agent {
	struct loop *loop;
	struct server server;
	struct ev listen_ev;
	struct ev signal_ev;
	struct ev parent_ev;
};

static void on_listen(struct ev *ev, uint32_t events)
{
	struct fake_agent *a = container_of(ev, struct fake_agent, listen_ev);
	int fd = accept4(ev->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0)
		server_add(&a->server, fd);
}

static void on_signal(struct ev *ev, uint32_t events)
{
	struct fake_agent *a = container_of(ev, struct fake_agent, signal_ev);
	struct signalfd_siginfo si;

	if (read(ev->fd, &si, sizeof(si)) > 0)
		server_reap(&a->server);
}

static void on_parent(struct ev *ev, uint32_t events)
{
	loop_stop(container_of(ev, struct fake_agent, parent_ev)->loop);
}

static int agent_main(int listen_fd, int parent_fd)
{
	struct fake_agent a = {0};
	struct boot_config config = {0};
	sigset_t child;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	/* The first process of a guest is immune by nature. */
	sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	strv_add(&config.env, "PATH=/usr/bin:/bin");
	strv_add(&config.env, "FROM=sandbox");
	a.loop = loop_new();
	server_init(&a.server, a.loop, &config);
	a.listen_ev = (struct ev){.fd = listen_fd, .fn = on_listen};
	a.signal_ev = (struct ev){.fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK),
				  .fn = on_signal};
	a.parent_ev = (struct ev){.fd = parent_fd, .fn = on_parent};
	loop_add(a.loop, &a.listen_ev, EPOLLIN);
	loop_add(a.loop, &a.signal_ev, EPOLLIN);
	loop_add(a.loop, &a.parent_ev, EPOLLIN);
	loop_run(a.loop);
	server_release(&a.server);
	loop_free(a.loop);
	boot_config_release(&config);
	return 0;
}

static struct {
	pid_t pid;
	int parent_fd;
	struct sockaddr_un addr;
	socklen_t addr_len;
	char dir[64];
} agent;

static int start_agent(void **state)
{
	int p[2], fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	agent.addr.sun_family = AF_UNIX;
	agent.addr_len = sizeof(sa_family_t);
	/* The kernel chooses an abstract name. */
	if (bind(fd, (struct sockaddr *)&agent.addr, agent.addr_len) < 0 || listen(fd, 16) < 0)
		return -1;
	agent.addr_len = sizeof(agent.addr);
	getsockname(fd, (struct sockaddr *)&agent.addr, &agent.addr_len);
	if (pipe2(p, O_CLOEXEC) < 0)
		return -1;
	agent.pid = fork();
	if (agent.pid == 0) {
		close(p[1]);
		exit(agent_main(fd, p[0]));
	}
	close(p[0]);
	close(fd);
	agent.parent_fd = p[1];
	snprintf(agent.dir, sizeof(agent.dir), "/tmp/msb-test-agent-XXXXXX");
	return mkdtemp(agent.dir) ? 0 : -1;
}

static int stop_agent(void **state)
{
	int status;

	close(agent.parent_fd);
	remove_tree(AT_FDCWD, agent.dir);
	waitpid(agent.pid, &status, 0);
	/* A sanitizer's complaint is in the exit status. */
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* --- the client ---------------------------------------------------------------------------- */

struct client {
	int fd;
	struct buf frame;
	struct buf out;
	struct buf err;
	pid_t pid; /* from the start event */
	bool started;
	bool discard; /* output is of no interest any longer */
	struct exec_result result;
	struct err error; /* code 0: the result is valid */
};

static struct client connect_agent(void)
{
	struct client c = {.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};

	assert_return_code(connect(c.fd, (struct sockaddr *)&agent.addr, agent.addr_len), errno);
	buf_init(&c.frame, FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX);
	buf_init(&c.out, 64 << 20);
	buf_init(&c.err, 64 << 20);
	return c;
}

static void client_release(struct client *c)
{
	close_fd(&c->fd);
	buf_release(&c->frame);
	buf_release(&c->out);
	buf_release(&c->err);
}

static void client_send(struct client *c, uint8_t type, uint8_t flags, const void *data, size_t n)
{
	assert_int_equal(frame_write(c->fd, type, flags, data, n), 0);
}

static void client_request(struct client *c, json_t *j)
{
	assert_int_equal(message_write(c->fd, FRAME_REQUEST, j), 0);
	json_decref(j);
}

/* Takes one frame in. Returns false after the result. */
static bool client_step(struct client *c)
{
	struct frame f;
	struct err e;
	json_t *j;

	assert_int_equal(frame_read(c->fd, &c->frame, &f), 1);
	switch (f.type) {
	case FRAME_STDOUT:
		assert_true(c->started);
		if (!c->discard)
			assert_int_equal(buf_append(&c->out, f.payload, f.len), 0);
		return true;
	case FRAME_STDERR:
		assert_true(c->started);
		assert_int_equal(buf_append(&c->err, f.payload, f.len), 0);
		return true;
	case FRAME_EVENT:
		j = message_parse(f.payload, f.len, &e);
		assert_string_equal(json_string_value(json_object_get(j, "event")), "started");
		c->pid = (pid_t)json_integer_value(json_object_get(j, "pid"));
		c->started = true;
		json_decref(j);
		return true;
	case FRAME_RESULT:
		j = message_parse(f.payload, f.len, &e);
		c->error = (struct err){0};
		if (exec_result_from_json(j, &c->result, &c->error) == 0)
			c->error.code = ERR_NONE;
		json_decref(j);
		/* Then the agent has nothing more to say. */
		assert_int_equal(frame_read(c->fd, &c->frame, &f), 0);
		return false;
	default:
		fail_msg("unexpected %s frame", frame_type_name(f.type));
	}
	return false;
}

static void client_finish(struct client *c)
{
	while (client_step(c))
		;
}

static void client_until_started(struct client *c)
{
	while (!c->started)
		assert_true(client_step(c));
}

/* Reads until standard output ends in a newline. */
static void client_until_line(struct client *c)
{
	while (buf_len(&c->out) == 0 || buf_data(&c->out)[buf_len(&c->out) - 1] != '\n')
		assert_true(client_step(c));
}

static void client_until_text(struct client *c, const char *text)
{
	while (buf_len(&c->out) == 0 ||
	       !memmem(buf_data(&c->out), buf_len(&c->out), text, strlen(text)))
		assert_true(client_step(c));
}

static const char *output(struct client *c)
{
	assert_int_equal(buf_append(&c->out, "", 1), 0);
	return (const char *)buf_data(&c->out);
}

static struct exec_request shell(const char *script)
{
	struct exec_request r = {0};

	strv_add(&r.argv, "sh");
	strv_add(&r.argv, "-c");
	strv_add(&r.argv, script);
	return r;
}

static struct exec_request command(const char *name)
{
	struct exec_request r = {0};

	strv_add(&r.argv, name);
	return r;
}

/* Starts a request, which it releases. */
static struct client start(struct exec_request r)
{
	struct client c = connect_agent();

	client_request(&c, exec_request_to_json(&r));
	exec_request_release(&r);
	return c;
}

static struct client run(struct exec_request r)
{
	struct client c = start(r);

	client_finish(&c);
	return c;
}

static void expect_exit(struct client *c, int code)
{
	if (c->error.code)
		fail_msg("%s", c->error.msg);
	assert_int_equal(c->result.exit_code, code);
}

static void expect_error(struct exec_request r, enum err_code code, const char *message)
{
	struct client c = run(r);

	assert_int_equal(c.error.code, code);
	assert_string_equal(c.error.msg, message);
	assert_false(c.started);
	client_release(&c);
}

/* The agent is alive and knows of so many sessions. */
static int64_t ping(void)
{
	struct client c = connect_agent();
	struct frame f;
	struct err e;
	int64_t n;
	json_t *j;

	client_request(&c, json_pack("{s:s}", "op", "ping"));
	assert_int_equal(frame_read(c.fd, &c.frame, &f), 1);
	assert_int_equal(f.type, FRAME_RESULT);
	j = message_parse(f.payload, f.len, &e);
	assert_int_equal(message_check(j, &e), 0);
	assert_true(json_integer_value(json_object_get(j, "uptime_ns")) > 0);
	n = json_integer_value(json_object_get(j, "sessions"));
	json_decref(j);
	client_release(&c);
	return n;
}

static int watch_process(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* Waits for the end of a process that is not our child. */
static void expect_gone(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	assert_true(pidfd >= 0);
	assert_int_equal(poll(&p, 1, 30 * 1000), 1);
	close(pidfd);
}

static void make_file(const char *name, const char *text, size_t n, mode_t mode, char path[128])
{
	int fd;

	snprintf(path, 128, "%s/%s", agent.dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write_full(fd, text, n), 0);
	fchmod(fd, mode);
	close(fd);
}

/* --- how programs end ---------------------------------------------------------------------- */

static void test_exit_code(void **state)
{
	struct client c = run(shell("echo out; echo err >&2; exit 7"));

	expect_exit(&c, 7);
	assert_int_equal(c.result.signal, 0);
	assert_true(c.pid > 1);
	assert_string_equal(output(&c), "out\n");
	assert_int_equal(buf_len(&c.err), 4);
	client_release(&c);
}

static void test_signal(void **state)
{
	struct client c = run(shell("kill -KILL $$"));

	expect_exit(&c, 128 + SIGKILL);
	assert_int_equal(c.result.signal, SIGKILL);
	assert_false(c.result.timed_out);
	client_release(&c);
}

static void test_not_found(void **state)
{
	char path[128], message[256];

	expect_error(command("no-such-command"), ERR_EXEC_NOT_FOUND,
		     "command 'no-such-command' not found in the sandbox");
	expect_error(command("/no/such/file"), ERR_EXEC_NOT_FOUND,
		     "no such file '/no/such/file' in the sandbox");
	expect_error(command(""), ERR_EXEC_NOT_FOUND, "command '' not found in the sandbox");
	make_file("orphan", "#!/no/such/interpreter\n", 23, 0755, path);
	snprintf(message, sizeof(message), "cannot execute '%s': its interpreter is missing", path);
	expect_error(command(path), ERR_EXEC_NOT_FOUND, message);
}

static void test_not_executable(void **state)
{
	char path[128], message[256];

	make_file("plain", "echo hi\n", 8, 0644, path);
	snprintf(message, sizeof(message), "cannot execute '%s': permission denied", path);
	expect_error(command(path), ERR_EXEC_DENIED, message);
	expect_error(command("/etc"), ERR_EXEC_DENIED, "cannot execute '/etc': is a directory");
	make_file("garbage", "\1\0\2\3", 4, 0755, path);
	snprintf(message, sizeof(message), "cannot execute '%s': not a program for this machine",
		 path);
	expect_error(command(path), ERR_EXEC_DENIED, message);
}

static void test_script_without_interpreter_line(void **state)
{
	struct exec_request r;
	struct client c;
	char path[128];

	make_file("script", "echo \"$1\"; exit 3\n", 18, 0755, path);
	r = command(path);
	strv_add(&r.argv, "an argument");
	c = run(r);
	expect_exit(&c, 3);
	assert_string_equal(output(&c), "an argument\n");
	client_release(&c);
}

static void test_bad_requests(void **state)
{
	struct exec_request r = command("true");

	r.cwd = xstrdup("/no/such/dir");
	expect_error(r, ERR_INVALID, "no such directory '/no/such/dir'");
	r = command("true");
	r.cwd = xstrdup("relative");
	expect_error(r, ERR_INVALID, "working directory 'relative' is not absolute");
	r = command("true");
	r.user = xstrdup("no-such-user");
	expect_error(r, ERR_INVALID, "no user 'no-such-user' in the sandbox");
	r = command("true");
	r.rlimits[r.n_rlimits++] = (struct rlimit_spec){RLIMIT_NOFILE, 20, 10};
	expect_error(r, ERR_INVALID,
		     "resource limit 'nofile': the soft limit is above the hard one");
}

static void test_timeout(void **state)
{
	struct exec_request r = shell("sleep 1000 & echo $!; wait");
	struct client c;
	int pidfd;

	r.timeout_ms = 300;
	c = start(r);
	client_until_line(&c);
	pidfd = watch_process((pid_t)strtol(output(&c), NULL, 10));
	client_finish(&c);
	expect_exit(&c, 128 + SIGKILL);
	assert_true(c.result.timed_out);
	/* Not only the shell: the whole group. */
	expect_gone(pidfd);
	client_release(&c);
}

/* --- what programs get --------------------------------------------------------------------- */

static void test_environment(void **state)
{
	struct exec_request r = shell("echo $PATH:$FROM:$MINE:$HOME; pwd; ulimit -n");
	struct client c;
	const char *s;

	strv_add(&r.env, "MINE=request");
	strv_add(&r.env, "HOME=/somewhere");
	r.cwd = xstrdup("/usr");
	r.rlimits[r.n_rlimits++] = (struct rlimit_spec){RLIMIT_NOFILE, 123, 124};
	c = run(r);
	expect_exit(&c, 0);
	s = output(&c);
	assert_string_equal(s,
			    "/.msb/scripts:/usr/bin:/bin:sandbox:request:/somewhere\n/usr\n123\n");
	client_release(&c);
}

static void test_clean_process(void **state)
{
	/* Nothing of the agent: no descriptors, signals neither blocked nor ignored. */
	/* Not of the shell, which blocks signals for a moment before it waits. */
	struct client c = run(shell("ls /proc/self/fd | wc -l; "
				    "exec grep -E 'Sig(Blk|Ign)' /proc/self/status"));
	const char *s;

	expect_exit(&c, 0);
	s = output(&c);
	/* Three, and ls's own. */
	if (strtol(s, NULL, 10) != 4)
		fail_msg("the program saw: %s", s);
	assert_non_null(strstr(s, "SigBlk:\t0000000000000000"));
	client_release(&c);
}

static void test_no_stdin(void **state)
{
	struct client c = run(command("cat"));

	expect_exit(&c, 0);
	assert_int_equal(buf_len(&c.out), 0);
	client_release(&c);
}

/* --- bulk ---------------------------------------------------------------------------------- */

#define BULK ((size_t)10 << 20)

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 2654435761u >> 13);
}

static void test_echo(void **state)
{
	struct exec_request r = command("cat");
	struct client c;
	size_t sent = 0;
	uint8_t *data = malloc(BULK);
	struct pollfd p;

	for (size_t i = 0; i < BULK; i++)
		data[i] = pattern(i);
	r.has_stdin = true;
	c = start(r);
	p = (struct pollfd){.fd = c.fd};
	/* Whoever writes without reading would dead-lock: both directions are full. */
	while (sent < BULK) {
		p.events = POLLIN | POLLOUT;
		assert_true(poll(&p, 1, 30 * 1000) > 0);
		if (p.revents & POLLIN) {
			client_step(&c);
		} else {
			size_t n = MIN(BULK - sent, (size_t)1000);

			client_send(&c, FRAME_STDIN, 0, data + sent, n);
			sent += n;
		}
	}
	client_send(&c, FRAME_STDIN, FRAME_EOF, NULL, 0);
	client_finish(&c);
	expect_exit(&c, 0);
	assert_int_equal(buf_len(&c.out), BULK);
	assert_memory_equal(buf_data(&c.out), data, BULK);
	free(data);
	client_release(&c);
}

static void test_big_output(void **state)
{
	char script[256];
	struct client c;

	/* The writer is gone before most of it is read. */
	snprintf(script, sizeof(script), "yes 0123456789abcde | head -c %zu", BULK);
	c = run(shell(script));
	expect_exit(&c, 0);
	assert_int_equal(buf_len(&c.out), BULK);
	for (size_t i = 0; i < BULK; i += 16)
		assert_memory_equal(buf_data(&c.out) + i, "0123456789abcde\n", 16);
	client_release(&c);
}

static void test_slow_reader(void **state)
{
	char script[256];
	struct client c;

	snprintf(script, sizeof(script), "yes 0123456789abcde | head -c %zu", BULK);
	c = start(shell(script));
	client_until_started(&c);
	/* Meanwhile everybody else is served. */
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(ping(), 1);
	client_finish(&c);
	expect_exit(&c, 0);
	assert_int_equal(buf_len(&c.out), BULK);
	client_release(&c);
}

static void test_unread_stdin(void **state)
{
	struct exec_request r = shell("read line; echo \"$line\"");
	static const uint8_t junk[64 << 10];
	struct client c;

	/* More input than the pipe takes; the program ends without reading it. */
	r.has_stdin = true;
	c = start(r);
	client_send(&c, FRAME_STDIN, 0, "first\n", 6);
	for (unsigned i = 0; i < 8; i++)
		if (frame_write(c.fd, FRAME_STDIN, 0, junk, sizeof(junk)) < 0)
			break;
	client_finish(&c);
	expect_exit(&c, 0);
	assert_string_equal(output(&c), "first\n");
	client_release(&c);
}

static void test_blocked_stdin(void **state)
{
	struct exec_request r = shell("echo go; read x <&3; exec wc -c");
	static const uint8_t junk[1 << 20];
	struct client c;
	char path[128];
	int fifo;

	/* The program is held back until a megabyte waits for it. */
	snprintf(path, sizeof(path), "%s/fifo", agent.dir);
	assert_return_code(mkfifo(path, 0600), errno);
	fifo = open(path, O_RDWR | O_CLOEXEC);
	free(r.argv.v[2]);
	r.argv.v[2] = xasprintf("echo go; read x <%s; exec wc -c", path);
	r.has_stdin = true;
	c = start(r);
	client_until_line(&c);
	client_send(&c, FRAME_STDIN, 0, junk, sizeof(junk));
	assert_int_equal(ping(), 1);
	assert_int_equal(write(fifo, "\n", 1), 1);
	client_send(&c, FRAME_STDIN, FRAME_EOF, junk, 10);
	client_finish(&c);
	expect_exit(&c, 0);
	assert_string_equal(output(&c), "go\n1048586\n");
	close(fifo);
	client_release(&c);
}

/* --- signals, connections ------------------------------------------------------------------ */

static void test_signal_frame(void **state)
{
	struct client c =
		start(shell("trap 'exit 5' TERM; echo ready; while :; do sleep 1000 & wait; done"));

	client_until_line(&c);
	client_send(&c, FRAME_SIGNAL, 0, (const uint8_t[]){SIGTERM, 0, 0, 0}, 4);
	client_finish(&c);
	expect_exit(&c, 5);
	client_release(&c);
}

static void test_signal_operation(void **state)
{
	struct client c = start(shell("echo ready; exec sleep 1000")), other;

	client_until_line(&c);
	other = connect_agent();
	client_request(&other, json_pack("{s:s, s:i, s:i}", "op", "signal", "pid", (int)c.pid,
					 "signal", SIGINT));
	client_finish(&c);
	assert_int_equal(c.result.signal, SIGINT);
	client_release(&other);
	other = connect_agent();
	client_request(&other, json_pack("{s:s, s:i, s:i}", "op", "signal", "pid", (int)c.pid,
					 "signal", SIGINT));
	client_finish(&other);
	assert_int_equal(other.error.code, ERR_NOT_FOUND);
	client_release(&other);
	client_release(&c);
}

static void test_peer_gone(void **state)
{
	struct client c =
		start(shell("trap '' HUP; sh -c 'echo $$; exec sleep 1000' & wait; sleep 1000"));
	int child, leader;

	client_until_line(&c);
	child = watch_process((pid_t)strtol(output(&c), NULL, 10));
	leader = watch_process(c.pid);
	client_release(&c);
	expect_gone(child);
	expect_gone(leader);
}

static void test_peer_gone_while_blocked(void **state)
{
	struct exec_request r = shell("echo ready; sleep 1000");
	static const uint8_t junk[256 << 10];
	struct client c;
	int leader;

	/* The agent does not read from the connection when its peer goes. */
	r.has_stdin = true;
	c = start(r);
	client_until_line(&c);
	leader = watch_process(c.pid);
	client_send(&c, FRAME_STDIN, 0, junk, sizeof(junk));
	client_release(&c);
	expect_gone(leader);
}

static void test_peer_gone_while_flooding(void **state)
{
	struct client c = start(command("yes"));
	int leader;

	client_until_started(&c);
	leader = watch_process(c.pid);
	client_release(&c);
	expect_gone(leader);
}

static void test_background(void **state)
{
	/* It keeps the pipes open, but nobody waits for it, and it lives on. */
	struct client c = run(shell("sleep 1000 & echo $!"));
	pid_t pid = (pid_t)strtol(output(&c), NULL, 10);
	int pidfd = watch_process(pid);

	expect_exit(&c, 0);
	assert_return_code(kill(pid, 0), errno);
	kill(pid, SIGKILL);
	expect_gone(pidfd);
	client_release(&c);
}

static void test_chatty_background(void **state)
{
	struct client c = start(shell("sh -c 'echo $$; exec yes' & exit 4"));
	pid_t pid;

	client_until_line(&c);
	pid = (pid_t)strtol(output(&c), NULL, 10);
	assert_true(pid > 1);
	c.discard = true;
	client_finish(&c);
	expect_exit(&c, 4);
	kill(pid, SIGKILL); /* it may have ended with its pipe meanwhile */
	client_release(&c);
}

static void test_nothing_left(void **state)
{
	while (ping() > 0)
		; /* the last hang-up takes a moment */
}

/* --- terminals ----------------------------------------------------------------------------- */

static void test_terminal(void **state)
{
	struct exec_request r =
		shell("stty -echo; tty; stty size; read x; stty size; echo $x$TERM; exit 6");
	struct client c;
	const char *s;

	r.tty = true;
	r.has_stdin = true;
	r.rows = 30;
	r.cols = 90;
	c = start(r);
	client_until_text(&c, "30 90");
	client_send(&c, FRAME_RESIZE, 0, (const uint8_t[]){33, 0, 77, 0}, 4);
	client_send(&c, FRAME_STDIN, 0, "typed\n", 6);
	client_finish(&c);
	expect_exit(&c, 6);
	s = output(&c);
	assert_non_null(strstr(s, "/dev/pts/"));
	assert_non_null(strstr(s, "33 77\r\ntypedxterm\r\n"));
	assert_int_equal(buf_len(&c.err), 0);
	client_release(&c);
}

static void test_terminal_end_of_input(void **state)
{
	struct exec_request r = command("cat");
	struct client c;

	r.tty = true;
	r.has_stdin = true;
	c = start(r);
	client_send(&c, FRAME_STDIN, FRAME_EOF, "line\n", 5);
	client_finish(&c);
	expect_exit(&c, 0);
	assert_non_null(strstr(output(&c), "line\r\nline\r\n"));
	client_release(&c);
}

static void test_terminal_output(void **state)
{
	struct exec_request r = shell("seq 1 20000");
	struct client c;
	const char *s;

	/* None of it is lost when the program ends right after it. */
	r.tty = true;
	c = run(r);
	expect_exit(&c, 0);
	s = output(&c);
	for (unsigned i = 1; i <= 20000; i++) {
		char *end;

		assert_int_equal(strtoul(s, &end, 10), i);
		assert_memory_equal(end, "\r\n", 2);
		s = end + 2;
	}
	client_release(&c);
}

static void test_terminal_signal(void **state)
{
	/* To the job in the foreground, which is not the shell. */
	struct exec_request r =
		shell("set -m; sh -c 'echo ready; exec sleep 1000'; echo status $?");
	struct client c;

	r.tty = true;
	c = start(r);
	client_until_text(&c, "ready");
	client_send(&c, FRAME_SIGNAL, 0, (const uint8_t[]){SIGTERM, 0, 0, 0}, 4);
	client_finish(&c);
	expect_exit(&c, 0);
	assert_non_null(strstr(output(&c), "status 143"));
	client_release(&c);
}

static void test_terminal_gone(void **state)
{
	struct exec_request r = shell("echo ready; cat");
	struct client c;
	int leader;

	r.tty = true;
	r.has_stdin = true;
	c = start(r);
	client_until_text(&c, "ready");
	leader = watch_process(c.pid);
	client_release(&c);
	expect_gone(leader);
}

/* --- malformed streams --------------------------------------------------------------------- */

/* The agent hangs up on whoever sends this. */
static void expect_hangup(const void *data, size_t n)
{
	struct client c = connect_agent();
	uint8_t byte;

	assert_int_equal(write_full(c.fd, data, n), 0);
	assert_true(recv(c.fd, &byte, 1, 0) <= 0);
	client_release(&c);
	ping();
}

static void test_garbage(void **state)
{
	uint8_t noise[4096];
	uint32_t x = 1;

	expect_hangup("GET / HTTP/1.0\r\n\r\n", 18);
	expect_hangup("\0\0\0\0\0\0\0\0", 8);
	expect_hangup("\1\0\0\0\4\0\0\0x", 9); /* no request */
	expect_hangup("\1\0\20\0\1\0\0\0", 8); /* too long */
	expect_hangup("\1\0\0\0\1\0\1\0x", 9); /* not zero */
	expect_hangup("\1\0\0\0\1\2\0\0x", 9); /* unknown flag */
	for (unsigned round = 0; round < 50; round++) {
		struct client c = connect_agent();

		for (size_t i = 0; i < sizeof(noise); i++) {
			x = x * 1664525 + 1013904223;
			noise[i] = (uint8_t)(x >> 24);
		}
		/* A plausible header before the noise gets it further. */
		frame_header_encode(noise, FRAME_REQUEST, 0, round);
		send(c.fd, noise, sizeof(noise), MSG_NOSIGNAL);
		client_release(&c);
	}
	ping();
}

static void expect_refusal(const char *json, enum err_code code, const char *message)
{
	struct client c = connect_agent();

	client_send(&c, FRAME_REQUEST, 0, json, strlen(json));
	client_finish(&c);
	assert_int_equal(c.error.code, code);
	if (message)
		assert_string_equal(c.error.msg, message);
	client_release(&c);
}

static void test_bad_json(void **state)
{
	expect_refusal("{", ERR_INVALID, NULL);
	expect_refusal("[]", ERR_INVALID, NULL);
	expect_refusal("{}", ERR_INVALID, "malformed message: 'op' must be a string");
	expect_refusal("{\"op\":1}", ERR_INVALID, "malformed message: 'op' must be a string");
	expect_refusal("{\"op\":\"fly\"}", ERR_UNSUPPORTED, "the agent knows no operation 'fly'");
	expect_refusal("{\"op\":\"exec\"}", ERR_INVALID, NULL);
	expect_refusal("{\"op\":\"exec\",\"argv\":[]}", ERR_INVALID, NULL);
	expect_refusal("{\"op\":\"exec\",\"argv\":[1]}", ERR_INVALID, NULL);
	expect_refusal("{\"op\":\"signal\"}", ERR_INVALID, "no such signal");
	expect_refusal("{\"op\":\"signal\",\"pid\":1,\"signal\":9}", ERR_NOT_FOUND, NULL);
	expect_refusal("{\"op\":\"shutdown\",\"grace_ms\":-1}", ERR_INVALID, NULL);
	expect_refusal("{\"op\":\"shutdown\"}", ERR_UNSUPPORTED, NULL);
}

static void test_bad_frames_in_session(void **state)
{
	static const struct {
		uint8_t type;
		size_t len;
	} bad[] = {
		{FRAME_REQUEST, 2}, {FRAME_STDOUT, 1}, {FRAME_RESIZE, 3},
		{FRAME_SIGNAL, 2},  {FRAME_SIGNAL, 4}, {FRAME_DATA, 1},
	};
	static const uint8_t zeroes[8];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct client c = start(shell("echo ready; sleep 1000"));
		struct frame f;
		int leader;

		client_until_line(&c);
		leader = watch_process(c.pid);
		client_send(&c, bad[i].type, 0, zeroes, bad[i].len);
		assert_int_equal(frame_read(c.fd, &c.frame, &f), 0);
		expect_gone(leader);
		client_release(&c);
	}
}

static void test_request_in_pieces(void **state)
{
	struct exec_request r = shell("exit 9");
	json_t *j = exec_request_to_json(&r);
	struct client c = connect_agent();
	struct buf b;

	buf_init(&b, 4096);
	message_append(&b, FRAME_REQUEST, j);
	for (size_t i = 0; i < buf_len(&b); i++)
		assert_int_equal(send(c.fd, buf_data(&b) + i, 1, 0), 1);
	client_finish(&c);
	expect_exit(&c, 9);
	client_release(&c);
	buf_release(&b);
	json_decref(j);
	exec_request_release(&r);
}

static void test_many_at_once(void **state)
{
	struct client c[64];

	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		char script[64];

		snprintf(script, sizeof(script), "echo %zu; exit %zu", i, i);
		c[i] = start(shell(script));
	}
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		client_finish(&c[i]);
		expect_exit(&c[i], (int)i);
		assert_int_equal(strtoul(output(&c[i]), NULL, 10), i);
		client_release(&c[i]);
	}
}

static void test_too_many_connections(void **state)
{
	int fds[CONNECTIONS_MAX];
	struct client c;

	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_return_code(connect(fds[i], (struct sockaddr *)&agent.addr, agent.addr_len),
				   errno);
	}
	c = connect_agent();
	client_finish(&c);
	assert_int_equal(c.error.code, ERR_BUSY);
	client_release(&c);
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		close(fds[i]);
	/* Their places are free again, in the end. */
	do {
		c = connect_agent();
		c.error.code = ERR_NONE;
		client_request(&c, json_pack("{s:s, s:[s]}", "op", "exec", "argv", "true"));
		client_finish(&c);
		client_release(&c);
	} while (c.error.code == ERR_BUSY);
	expect_exit(&c, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exit_code),
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_not_found),
		cmocka_unit_test(test_not_executable),
		cmocka_unit_test(test_script_without_interpreter_line),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_clean_process),
		cmocka_unit_test(test_no_stdin),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_big_output),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_unread_stdin),
		cmocka_unit_test(test_blocked_stdin),
		cmocka_unit_test(test_signal_frame),
		cmocka_unit_test(test_signal_operation),
		cmocka_unit_test(test_peer_gone),
		cmocka_unit_test(test_peer_gone_while_blocked),
		cmocka_unit_test(test_peer_gone_while_flooding),
		cmocka_unit_test(test_background),
		cmocka_unit_test(test_chatty_background),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_terminal_end_of_input),
		cmocka_unit_test(test_terminal_output),
		cmocka_unit_test(test_terminal_signal),
		cmocka_unit_test(test_terminal_gone),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_bad_json),
		cmocka_unit_test(test_bad_frames_in_session),
		cmocka_unit_test(test_request_in_pieces),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_too_many_connections),
		cmocka_unit_test(test_nothing_left),
	};

	return cmocka_run_group_tests(tests, start_agent, stop_agent);
}
