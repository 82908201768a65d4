/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's sessions and their log tap. The rest of the monitor is stubs; client and agent are
 * the other ends of sockets, and all that they send is there before the loop runs.
 */
#include "../testing.h"
#include "rounds.h"

#include "sandbox/monitor_attach.c"
#include "sandbox/monitor_request.c"
#include "sandbox/monitor_session.c"

static struct {
	unsigned stops;
	unsigned uses;
	unsigned pauses;
	enum end_cause cause;
	uint64_t grace_ms;
	char notes[256];
} seen;

void monitor_stop(struct monitor *m, enum end_cause cause, uint64_t grace_ms)
{
	if (seen.stops++ == 0)
		seen.cause = cause;
	seen.grace_ms = grace_ms;
}

const char *monitor_end_text(const struct monitor *m)
{
	return "of old age";
}

void monitor_note(struct monitor *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(seen.notes, sizeof(seen.notes), fmt, ap);
	va_end(ap);
}

void limits_used(struct monitor *m)
{
	seen.uses++;
}

/* As if msb-vmm had not answered yet. */
void pause_step(struct monitor *m)
{
	seen.pauses++;
}

json_t *metrics_answer(struct monitor *m)
{
	return json_pack("{s:b, s:i}", "ok", 1, "cpus", (int)m->spec.cpus);
}

json_t *net_ports_answer(const struct monitor *m)
{
	return json_pack("{s:b, s:[]}", "ok", 1, "ports");
}

struct fixture {
	char *dir;
	struct monitor m;
	int vsock; /* what connections to the agent arrive at */
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	*state = f;
	memset(&seen, 0, sizeof(seen));
	if (temp_setup((void **)&f->dir) < 0)
		return -1;
	f->m = (struct monitor){.exit_code = -1, .state = MONITOR_READY};
	f->m.run_dir = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->m.loop = loop_new();
	f->vsock = unix_listen_at(f->m.run_dir, "vsock.sock", 8);
	f->m.spec.cpus = 1;
	f->m.spec.memory_mib = 512;
	return f->vsock < 0 ? -1 : logfile_open(&f->m.exec_log, f->m.run_dir, "exec.log");
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *dir = f->dir;

	sessions_finish(&f->m);
	loop_free(f->m.loop);
	logfile_close(&f->m.exec_log);
	close(f->m.run_dir);
	close_fd(&f->vsock);
	free(f);
	return temp_teardown(&dir);
}

static void run(struct fixture *f)
{
	run_rounds(f->m.loop, 12);
}

/* A client that has sent what it has to say. */
static int client(struct fixture *f, const void *bytes, size_t n)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(write_full(fds[1], bytes, n), 0);
	session_accept(&f->m, fds[0]);
	return fds[1];
}

static int request(struct fixture *f, const char *json)
{
	struct buf b;
	int fd;

	buf_init(&b, MIB);
	assert_int_equal(frame_append(&b, FRAME_REQUEST, 0, json, strlen(json)), 0);
	fd = client(f, buf_data(&b), buf_len(&b));
	buf_release(&b);
	return fd;
}

/* Reads the one result that the client got before the connection was closed; events may precede it.
 */
static json_t *result(int fd, struct err *e)
{
	struct frame f;
	struct buf b;
	json_t *j;

	buf_init(&b, MIB);
	do {
		assert_int_equal(frame_read(fd, &b, &f), 1);
	} while (f.type == FRAME_EVENT);
	assert_int_equal(f.type, FRAME_RESULT);
	j = message_parse(f.payload, f.len, e);
	assert_non_null(j);
	assert_int_equal(frame_read(fd, &b, &f), 0);
	buf_release(&b);
	close(fd);
	return j;
}

static void assert_error(int fd, enum err_code code)
{
	struct err e = {0};
	json_t *j = result(fd, &e);

	assert_int_equal(message_check(j, &e), -1);
	assert_string_equal(err_code_name(e.code), err_code_name(code));
	json_decref(j);
}

/* The agent's end of the next connection, after its handshake. */
static int agent(struct fixture *f)
{
	static const char hello[] = "CONNECT 1024\n";
	char line[sizeof(hello)] = "";
	int fd = accept4(f->vsock, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	assert_true(fd >= 0);
	assert_int_equal(recv(fd, line, sizeof(hello) - 1, 0), sizeof(hello) - 1);
	assert_string_equal(line, hello);
	assert_int_equal(write_full(fd, "OK 1024\n", 8), 0);
	run(f);
	return fd;
}

static size_t sessions(const struct fixture *f)
{
	size_t n = 0;

	for (const struct session *s = f->m.sessions; s; s = s->next)
		n++;
	return n;
}

static char *log_text(struct fixture *f)
{
	char *text = NULL;

	assert_int_equal(read_file(f->m.run_dir, "exec.log", 64 * MIB, &text, NULL), 0);
	return text;
}

/* --- the tap ------------------------------------------------------------------------------- */

/* What is in the log does not depend on how the stream was cut, but for the entries' borders. */
static void test_tap_in_pieces(void **state)
{
	struct fixture *f = *state;
	struct buf stream;

	buf_init(&stream, MIB);
	frame_append(&stream, FRAME_EVENT, 0, "{}", 2);
	frame_append(&stream, FRAME_STDOUT, 0, "abc", 3);
	frame_append(&stream, FRAME_STDOUT, 0, NULL, 0);
	frame_append(&stream, FRAME_STDERR, 0, "DEF", 3);
	frame_append(&stream, FRAME_DATA, 0, "never logged", 12);
	frame_append(&stream, FRAME_STDOUT, 0, "ghi", 3);
	frame_append(&stream, FRAME_RESULT, 0, "{\"ok\":true}", 11);
	for (size_t piece = 1; piece <= buf_len(&stream); piece++) {
		struct session s = {
			.m = &f->m, .id = 7, .client_fd = -1, .is_exec = true, .is_workload = true};
		_cleanup_free_ char *text = NULL;
		char out[16] = "", err[16] = "";

		buf_init(&s.tap.result, 100);
		assert_int_equal(ftruncate(f->m.exec_log.fd, 0), 0);
		for (size_t at = 0; at < buf_len(&stream); at += piece)
			assert_true(
				tap(&s, buf_data(&stream) + at, MIN(piece, buf_len(&stream) - at)));
		assert_int_equal(s.tap.left, 0);
		assert_int_equal(s.tap.have, 0);
		assert_int_equal(buf_len(&s.tap.result), 11);
		assert_memory_equal(buf_data(&s.tap.result), "{\"ok\":true}", 11);
		buf_release(&s.tap.result);
		text = log_text(f);
		assert_null(strstr(text, "never"));
		for (char *line = text, *nl; (nl = strchr(line, '\n')); line = nl + 1) {
			json_t *j = json_loadb(line, (size_t)(nl - line), 0, NULL);
			const char *stream_name = json_string_value(json_object_get(j, "s"));
			char *to = strcmp(stream_name, "stdout") == 0 ? out : err;

			assert_int_equal(json_integer_value(json_object_get(j, "id")), 7);
			strncat(to, json_string_value(json_object_get(j, "d")), 8);
			json_decref(j);
		}
		assert_string_equal(out, "abcghi");
		assert_string_equal(err, "DEF");
	}
	buf_release(&stream);
}

static void test_tap_of_a_terminal(void **state)
{
	struct fixture *f = *state;
	struct session s = {.m = &f->m, .is_exec = true, .tty = true, .client_fd = 5};
	_cleanup_free_ char *text = NULL;

	assert_true(tap(&s, (const uint8_t *)"\x02\0\0\0\x05\0\0\0hi", 10));
	text = log_text(f);
	assert_non_null(strstr(text, "\"s\":\"output\",\"d\":\"hi\""));
}

/* An agent that was taken over may send anything for an answer. */
static void test_tap_of_files(void **state)
{
	struct fixture *f = *state;
	struct session s = {.m = &f->m, .followed = true, .client_fd = 5};
	_cleanup_free_ char *text = NULL;

	assert_true(tap(&s, (const uint8_t *)"\x02\0\0\0\x05\0\0\0hi", 10));
	text = log_text(f);
	assert_string_equal(text, "");
}

static void test_tap_of_garbage(void **state)
{
	struct fixture *f = *state;
	struct session s = {.m = &f->m, .client_fd = 5};

	assert_true(tap(&s, (const uint8_t *)"\xff\xff\xff\xff\x05\0\0", 7));
	assert_false(tap(&s, (const uint8_t *)"\0", 1));
}

/* A result that is longer than any result is cut off, not collected. */
static void test_tap_bounds_the_result(void **state)
{
	_cleanup_free_ char *big = xcalloc(1, 200000);
	struct fixture *f = *state;
	struct session s = {.m = &f->m, .client_fd = -1, .is_exec = true, .is_workload = true};
	struct buf stream;

	buf_init(&stream, MIB);
	buf_init(&s.tap.result, RESULT_FRAME_MAX);
	frame_append(&stream, FRAME_RESULT, 0, big, 200000);
	assert_true(tap(&s, buf_data(&stream), buf_len(&stream)));
	assert_true(buf_len(&s.tap.result) <= RESULT_FRAME_MAX);
	buf_release(&s.tap.result);
	buf_release(&stream);
}

/* --- requests ------------------------------------------------------------------------------ */

static void test_status(void **state)
{
	struct fixture *f = *state;
	int fd = request(f, "{\"op\":\"status\"}");
	struct err e = {0};
	json_t *j;

	run(f);
	j = result(fd, &e);
	assert_int_equal(message_check(j, &e), 0);
	assert_string_equal(json_string_value(json_object_get(j, "state")), "ready");
	assert_int_equal(json_integer_value(json_object_get(j, "memory_mib")), 512);
	json_decref(j);
	assert_int_equal(sessions(f), 0);

	/* Neither needs a guest that is there. */
	f->m.state = MONITOR_BOOTING;
	fd = request(f, "{\"op\":\"metrics\"}");
	run(f);
	j = result(fd, &e);
	assert_int_equal(json_integer_value(json_object_get(j, "cpus")), 1);
	json_decref(j);
}

/* What starts the idle time anew: a touch, and the end of a program, but not of a ping. */
static void test_use(void **state)
{
	struct fixture *f = *state;
	struct err e = {0};
	json_t *j;
	int fd, guest;

	fd = request(f, "{\"op\":\"touch\"}");
	run(f);
	j = result(fd, &e);
	assert_int_equal(message_check(j, &e), 0);
	json_decref(j);
	assert_int_equal(seen.uses, 1);

	fd = request(f, "{\"op\":\"ping\"}");
	run(f);
	guest = agent(f);
	close(fd);
	run(f);
	assert_int_equal(sessions(f), 0);
	assert_int_equal(seen.uses, 1);
	close(guest);

	fd = request(f, "{\"op\":\"exec\",\"argv\":[\"a\"]}");
	run(f);
	guest = agent(f);
	assert_true(f->m.sessions->is_use);
	assert_int_equal(seen.uses, 1);
	close(fd);
	run(f);
	assert_int_equal(seen.uses, 2);
	close(guest);

	f->m.state = MONITOR_STOPPING;
	fd = request(f, "{\"op\":\"touch\"}");
	run(f);
	assert_error(fd, ERR_STATE);
	assert_int_equal(seen.uses, 2);
}

/* While it is paused, what needs the guest is refused; what does not waits or is done. */
static void test_paused(void **state)
{
	struct fixture *f = *state;
	struct err e = {0};
	json_t *j;
	char name[] = "box";
	int fd;

	f->m.spec.name = name;
	fd = request(f, "{\"op\":\"pause\"}");
	run(f);
	assert_int_equal(seen.pauses, 1);
	assert_int_equal(f->m.sessions->wants, WANTS_PAUSE);
	close(fd);
	run(f);
	assert_int_equal(sessions(f), 0);

	f->m.pause.paused = true;
	fd = request(f, "{\"op\":\"exec\",\"argv\":[\"a\"]}");
	run(f);
	j = result(fd, &e);
	assert_int_equal(message_check(j, &e), -1);
	assert_int_equal(e.code, ERR_STATE);
	assert_string_equal(e.msg, "sandbox is paused: box");
	assert_string_equal(e.hint, "msb resume box");
	json_decref(j);
	fd = request(f, "{\"op\":\"ping\"}");
	run(f);
	assert_error(fd, ERR_STATE);

	fd = request(f, "{\"op\":\"status\"}");
	run(f);
	j = result(fd, &e);
	assert_string_equal(json_string_value(json_object_get(j, "state")), "paused");
	json_decref(j);
	fd = request(f, "{\"op\":\"resume\"}");
	run(f);
	assert_int_equal(seen.pauses, 2);
	assert_int_equal(f->m.sessions->wants, WANTS_RESUME);
	close(fd);

	f->m.state = MONITOR_STOPPING;
	fd = request(f, "{\"op\":\"pause\"}");
	run(f);
	assert_error(fd, ERR_STATE);
}

static void test_bad_requests(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		enum err_code code;
	} cases[] = {
#define BYTES(s) s, sizeof(s) - 1
		{BYTES("\0\0\0\0\0\0\0\0"), ERR_INVALID},
		{BYTES("GET / HTTP/1.1\r\n\r\n"), ERR_INVALID},
		{BYTES("\x02\0\0\0\x04\0\0\0{}"), ERR_INVALID}, /* not a request */
		{BYTES("\x02\0\0\0\x01\0\0\0{}"), ERR_INVALID},
		{BYTES("\x02\0\0\0\x01\0\0\0[]"), ERR_INVALID},
		{BYTES("\x08\0\0\0\x01\0\0\0{\"op\":1}"), ERR_INVALID},
		{BYTES("\x0e\0\0\0\x01\0\0\0{\"op\":\"reboot\"}"), ERR_INVALID},
		{BYTES("\x0f\0\0\0\x01\0\0\0{\"op\":\"reboot\"}"), ERR_UNSUPPORTED},
		{BYTES("\x1d\0\0\0\x01\0\0\0{\"op\":\"stop\",\"timeout_ms\":-1}"), ERR_INVALID},
#undef BYTES
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int fd = client(f, cases[i].bytes, cases[i].n);

		run(f);
		assert_error(fd, cases[i].code);
		assert_int_equal(sessions(f), 0);
	}
	assert_int_equal(seen.stops, 0);
}

/* A request may come in any number of pieces. */
static void test_request_byte_by_byte(void **state)
{
	static const char bytes[] = "\x0f\0\0\0\x01\0\0\0{\"op\":\"status\"}";
	struct fixture *f = *state;
	struct err e = {0};
	int fd = client(f, bytes, 1);
	json_t *j;

	for (size_t i = 1; i < sizeof(bytes) - 1; i++) {
		run(f);
		assert_int_equal(sessions(f), 1);
		assert_int_equal(write_full(fd, bytes + i, 1), 0);
	}
	run(f);
	j = result(fd, &e);
	assert_int_equal(message_check(j, &e), 0);
	json_decref(j);
}

static void test_client_leaves(void **state)
{
	struct fixture *f = *state;
	int a = client(f, "", 0), b = client(f, "\x0f\0\0", 3);

	assert_int_equal(sessions(f), 2);
	close(a);
	close(b);
	run(f);
	assert_int_equal(sessions(f), 0);
}

static void test_stop(void **state)
{
	struct fixture *f = *state;
	int fd = request(f, "{\"op\":\"stop\",\"timeout_ms\":1234}");
	struct err e = {0};
	json_t *j;

	run(f);
	assert_int_equal(seen.stops, 1);
	assert_int_equal(seen.cause, END_REQUESTED);
	assert_int_equal(seen.grace_ms, 1234);
	assert_int_equal(sessions(f), 1); /* answered when the machine has ended */
	sessions_finish(&f->m);
	j = result(fd, &e);
	assert_int_equal(message_check(j, &e), 0);
	json_decref(j);
}

static void test_forced_stop(void **state)
{
	struct fixture *f = *state;
	int fd = request(f, "{\"op\":\"stop\",\"force\":true}");

	run(f);
	assert_int_equal(seen.stops, 1);
	assert_int_equal(seen.grace_ms, 0);
	close(fd);
}

static void test_exec_while_stopping(void **state)
{
	struct fixture *f = *state;
	int fd = request(f, "{\"op\":\"exec\",\"argv\":[\"x\"]}");

	f->m.state = MONITOR_STOPPING;
	run(f);
	assert_error(fd, ERR_STATE);
}

/* Reads one frame, which must be this one. */
static void expect_frame(int fd, struct buf *b, uint8_t type, const char *payload)
{
	struct frame f;

	assert_int_equal(frame_read(fd, b, &f), 1);
	assert_int_equal(f.type, type);
	assert_int_equal(f.len, strlen(payload));
	assert_memory_equal(f.payload, payload, f.len);
}

/* --- relay --------------------------------------------------------------------------------- */

static void test_relay(void **state)
{
	static const char json[] = "{\"op\":\"exec\",\"argv\":[\"x\"],\"future\":1}";
	struct fixture *f = *state;
	int fd = request(f, json), agent_fd;
	_cleanup_free_ char *text = NULL;
	struct frame frame;
	struct err e = {0};
	struct buf b;
	json_t *j;

	buf_init(&b, MIB);
	f->m.state = MONITOR_BOOTING;
	run(f); /* waits for the agent */
	f->m.state = MONITOR_READY;
	sessions_agent_ready(&f->m);
	agent_fd = agent(f);
	/* The agent is sent the client's own bytes. */
	assert_int_equal(frame_read(agent_fd, &b, &frame), 1);
	assert_int_equal(frame.len, strlen(json));
	assert_memory_equal(frame.payload, json, frame.len);
	frame_write(fd, FRAME_STDIN, FRAME_EOF, "in", 2);
	run(f);
	assert_int_equal(frame_read(agent_fd, &b, &frame), 1);
	assert_int_equal(frame.type, FRAME_STDIN);
	assert_int_equal(frame.flags, FRAME_EOF);
	frame_write(agent_fd, FRAME_STDOUT, 0, "out", 3);
	frame_write(agent_fd, FRAME_RESULT, 0, "{\"ok\":true,\"exit_code\":0}", 25);
	close(agent_fd);
	run(f);
	assert_int_equal(sessions(f), 0);
	expect_frame(fd, &b, FRAME_EVENT, "{\"event\":\"session\",\"id\":1}");
	expect_frame(fd, &b, FRAME_STDOUT, "out");
	j = result(fd, &e);
	assert_int_equal(message_check(j, &e), 0);
	json_decref(j);
	text = log_text(f);
	assert_non_null(strstr(text, "\"d\":\"out\""));
	buf_release(&b);
	assert_int_equal(seen.stops, 0); /* a client's command is not the sandbox's end */
}

static void test_client_leaves_the_agent(void **state)
{
	struct fixture *f = *state;
	int fd = request(f, "{\"op\":\"ping\"}"), agent_fd;
	char junk[64];

	run(f);
	agent_fd = agent(f);
	close(fd);
	run(f);
	assert_int_equal(sessions(f), 0);
	while (recv(agent_fd, junk, sizeof(junk), 0) > 0)
		;
	assert_int_equal(recv(agent_fd, junk, 1, 0), 0); /* it sees the end */
	close(agent_fd);
}

/* Takes and answers one request at the agent's end of a connection. */
static void serve(struct fixture *f, int agent_fd, int client_fd)
{
	struct frame frame;
	struct err e = {0};
	struct buf b;
	json_t *j;

	buf_init(&b, MIB);
	assert_int_equal(frame_read(agent_fd, &b, &frame), 1);
	assert_int_equal(frame.type, FRAME_REQUEST);
	frame_write(agent_fd, FRAME_RESULT, 0, "{\"ok\":true,\"exit_code\":0}", 25);
	close(agent_fd);
	run(f);
	j = result(client_fd, &e);
	assert_int_equal(message_check(j, &e), 0);
	json_decref(j);
	buf_release(&b);
}

/* The second session finds a connection that was made when the first one ended. */
static void test_connection_in_advance(void **state)
{
	struct fixture *f = *state;
	int fd = request(f, "{\"op\":\"exec\",\"argv\":[\"x\"]}"), spare;

	f->m.keeps_spare = true;
	run(f);
	serve(f, agent(f), fd);
	spare = agent(f); /* nobody has asked for it */
	assert_int_equal(sessions(f), 1);
	fd = request(f, "{\"op\":\"exec\",\"argv\":[\"y\"]}");
	run(f);
	serve(f, spare, fd);
	/* One that the agent gives up is not used. */
	spare = agent(f);
	close(spare);
	run(f);
	assert_int_equal(sessions(f), 0);
	fd = request(f, "{\"op\":\"exec\",\"argv\":[\"z\"]}");
	run(f);
	serve(f, agent(f), fd);
	f->m.keeps_spare = false;
}

/* A launcher that owns the sandbox is about to end it: nobody will come after it. */
static void test_no_connection_in_advance(void **state)
{
	struct fixture *f = *state;
	int fd = request(f, "{\"op\":\"exec\",\"argv\":[\"x\"]}");

	f->m.keeps_spare = f->m.spec.attached = true;
	run(f);
	serve(f, agent(f), fd);
	assert_int_equal(sessions(f), 0);
}

/* Why is known when the machine has ended. */
static void test_agent_refuses(void **state)
{
	struct fixture *f = *state;
	int fd = request(f, "{\"op\":\"exec\",\"argv\":[\"x\"]}"), agent_fd, other;

	run(f);
	agent_fd = accept(f->vsock, NULL, NULL);
	assert_int_equal(write_full(agent_fd, "NO\n", 3), 0);
	close_fd(&f->vsock); /* nobody listens any more */
	other = request(f, "{\"op\":\"exec\",\"argv\":[\"x\"]}");
	run(f);
	assert_int_equal(sessions(f), 2);
	sessions_finish(&f->m);
	assert_error(fd, ERR_STATE);
	assert_error(other, ERR_STATE);
	close(agent_fd);
}

/* A connection for a program or files that ends without a result, and a machine that goes on
 * nevertheless. */
static void test_agent_is_lost(void **state)
{
	static const char *const requests[] = {"{\"op\":\"exec\",\"argv\":[\"x\"]}",
					       "{\"op\":\"fs.write\",\"path\":\"/x\"}"};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		int fd = request(f, requests[i]), agent_fd;

		run(f);
		agent_fd = agent(f);
		run(f);
		close(agent_fd);
		run(f);
		assert_int_equal(sessions(f), 1);
		timer_set(f->m.loop, &f->m.sessions->lost_timer, 0);
		run(f);
		assert_error(fd, ERR_STATE);
		assert_int_equal(sessions(f), 0);
	}
}

/* Nobody waits for the reason any longer. */
static void test_client_of_a_lost_agent_leaves(void **state)
{
	struct fixture *f = *state;
	int fd = request(f, "{\"op\":\"exec\",\"argv\":[\"x\"]}"), agent_fd;

	run(f);
	agent_fd = agent(f);
	run(f);
	close(agent_fd);
	run(f);
	close(fd);
	run(f);
	assert_int_equal(sessions(f), 0);
}

static void test_agent_sends_garbage(void **state)
{
	struct fixture *f = *state;
	int fd = request(f, "{\"op\":\"exec\",\"argv\":[\"x\"]}"), agent_fd;

	run(f);
	agent_fd = agent(f);
	assert_int_equal(write_full(agent_fd, "garbage!", 8), 0);
	run(f);
	assert_error(fd, ERR_INTERNAL);
	close(agent_fd);
}

/* --- detaching and attaching --------------------------------------------------------------- */

/* A program that runs for a client, whose first frames have been read. */
struct program {
	int client, agent;
	struct buf from_client, from_agent; /* what is read at the other ends */
};

static void program_start(struct fixture *f, struct program *p)
{
	*p = (struct program){.client = request(f, "{\"op\":\"exec\",\"argv\":[\"sh\",\"-i\"],"
						   "\"tty\":true}")};
	buf_init(&p->from_client, MIB);
	buf_init(&p->from_agent, 2 * MIB);
	run(f);
	p->agent = agent(f);
	expect_frame(p->agent, &p->from_client, FRAME_REQUEST,
		     "{\"op\":\"exec\",\"argv\":[\"sh\",\"-i\"],\"tty\":true}");
	frame_write(p->agent, FRAME_STDOUT, 0, "$ ", 2);
	run(f);
	expect_frame(p->client, &p->from_agent, FRAME_EVENT, "{\"event\":\"session\",\"id\":1}");
	expect_frame(p->client, &p->from_agent, FRAME_STDOUT, "$ ");
}

static void program_end(struct program *p)
{
	close_fd(&p->client);
	close_fd(&p->agent);
	buf_release(&p->from_client);
	buf_release(&p->from_agent);
}

static void assert_ok(struct fixture *f, const char *json)
{
	struct err e = {0};
	int fd = request(f, json);
	json_t *j;

	run(f);
	j = result(fd, &e);
	assert_int_equal(message_check(j, &e), 0);
	json_decref(j);
}

static void program_detach(struct fixture *f, struct program *p, const char *json)
{
	char byte;

	assert_ok(f, json);
	assert_int_equal(recv(p->client, &byte, 1, MSG_DONTWAIT), 0); /* closed by the monitor */
	close_fd(&p->client);
	run(f);
	assert_int_equal(sessions(f), 1);
}

static void test_detach_and_attach(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *text = NULL;
	struct program p;

	program_start(f, &p);
	program_detach(f, &p, "{\"op\":\"detach\",\"session\":1}");
	frame_write(p.agent, FRAME_STDOUT, 0, "unseen", 6);
	run(f);
	p.client = request(f, "{\"op\":\"attach\"}");
	frame_write(p.client, FRAME_STDIN, 0, "ls", 2);
	run(f);
	expect_frame(p.agent, &p.from_client, FRAME_STDIN, "ls");
	frame_write(p.agent, FRAME_STDOUT, 0, "seen", 4);
	run(f);
	expect_frame(p.client, &p.from_agent, FRAME_EVENT,
		     "{\"event\":\"attached\",\"id\":1,\"tty\":true}");
	expect_frame(p.client, &p.from_agent, FRAME_STDOUT, "seen");
	frame_write(p.agent, FRAME_RESULT, 0, "{\"ok\":true,\"exit_code\":4}", 25);
	close_fd(&p.agent);
	run(f);
	expect_frame(p.client, &p.from_agent, FRAME_RESULT, "{\"ok\":true,\"exit_code\":4}");
	assert_int_equal(sessions(f), 0);
	assert_int_equal(seen.stops, 0);
	text = log_text(f);
	assert_non_null(strstr(text, "unseen"));
	program_end(&p);
}

/* The client's input may follow its request at once. */
static void test_attach_with_input(void **state)
{
	static const char json[] = "{\"op\":\"attach\",\"session\":1}";
	struct fixture *f = *state;
	struct program p;
	struct buf b;

	program_start(f, &p);
	program_detach(f, &p, "{\"op\":\"detach\",\"session\":1}");
	buf_init(&b, MIB);
	frame_append(&b, FRAME_REQUEST, 0, json, strlen(json));
	frame_append(&b, FRAME_STDIN, 0, "a", 1);
	frame_append(&b, FRAME_STDIN, 0, "b", 1);
	p.client = client(f, buf_data(&b), buf_len(&b));
	run(f);
	expect_frame(p.agent, &p.from_client, FRAME_STDIN, "a");
	expect_frame(p.agent, &p.from_client, FRAME_STDIN, "b");
	buf_release(&b);
	program_end(&p);
	run(f);
}

/* Whoever comes into the middle of a frame, or of its header, gets whole frames. */
static void test_attach_within_a_frame(void **state)
{
	static const char stream[] = "\x06\0\0\0\x05\0\0\0abcdef\x01\0\0\0\x06\0\0\0x";
	struct fixture *f = *state;

	for (size_t cut = 1; cut < sizeof(stream) - 1; cut++) {
		struct program p;
		struct frame out;

		f->m.next_session = 0;
		program_start(f, &p);
		program_detach(f, &p, "{\"op\":\"detach\",\"session\":1}");
		assert_int_equal(write_full(p.agent, stream, cut), 0);
		run(f);
		p.client = request(f, "{\"op\":\"attach\"}");
		run(f);
		assert_int_equal(write_full(p.agent, stream + cut, sizeof(stream) - 1 - cut), 0);
		run(f);
		expect_frame(p.client, &p.from_agent, FRAME_EVENT,
			     "{\"event\":\"attached\",\"id\":1,\"tty\":true}");
		if (cut < FRAME_HEADER_LEN)
			expect_frame(p.client, &p.from_agent, FRAME_STDOUT, "abcdef");
		else if (cut < FRAME_HEADER_LEN + 6)
			expect_frame(p.client, &p.from_agent, FRAME_STDOUT,
				     "abcdef" + cut - FRAME_HEADER_LEN);
		assert_int_equal(frame_read(p.client, &p.from_agent, &out), 1);
		assert_int_equal(out.type, FRAME_STDERR);
		assert_int_equal(out.payload[0], 'x');
		program_end(&p);
		run(f);
		assert_int_equal(sessions(f), 0);
	}
}

/* What a client had not sent completely does not reach the agent, nor spoils what follows. */
static void test_client_leaves_within_a_frame(void **state)
{
	struct fixture *f = *state;
	struct program p;

	program_start(f, &p);
	assert_int_equal(write_full(p.client, "\x01\0\0\0\x04\0\0\0a\x09\0\0\0\x04\0\0\0half", 21),
			 0);
	run(f);
	program_detach(f, &p, "{\"op\":\"detach\",\"session\":1}");
	p.client = request(f, "{\"op\":\"attach\"}");
	frame_write(p.client, FRAME_STDIN, 0, "b", 1);
	run(f);
	expect_frame(p.agent, &p.from_client, FRAME_STDIN, "a");
	expect_frame(p.agent, &p.from_client, FRAME_STDIN, "b");
	program_end(&p);
	run(f);
}

/* The sandbox no longer depends on the client that made it, and ends with the program. */
static void test_detach_of_the_owner(void **state)
{
	struct fixture *f = *state;
	struct program p;

	f->m.spec.attached = true;
	program_start(f, &p);
	program_detach(f, &p, "{\"op\":\"detach\",\"session\":1,\"owner\":true}");
	assert_false(f->m.spec.attached);
	p.client = request(f, "{\"op\":\"attach\"}");
	run(f);
	close_fd(&p.client); /* an end of the connection is no end of the workload */
	run(f);
	assert_int_equal(sessions(f), 1);
	frame_write(p.agent, FRAME_RESULT, 0, "{\"ok\":true,\"exit_code\":4}", 25);
	close_fd(&p.agent);
	run(f);
	assert_int_equal(f->m.exit_code, 4);
	assert_int_equal(seen.stops, 1);
	assert_int_equal(seen.cause, END_COMPLETED);
	assert_int_equal(sessions(f), 0);
	program_end(&p);
}

static void test_attach_to_what_is_not_there(void **state)
{
	struct fixture *f = *state;
	struct program p;
	int fd;

	program_start(f, &p);
	fd = request(f, "{\"op\":\"attach\"}"); /* it has a client, and nobody left it */
	run(f);
	assert_error(fd, ERR_NOT_FOUND);
	fd = request(f, "{\"op\":\"attach\",\"session\":7}");
	run(f);
	assert_error(fd, ERR_NOT_FOUND);
	fd = request(f, "{\"op\":\"detach\",\"session\":7}");
	run(f);
	assert_error(fd, ERR_NOT_FOUND);
	fd = request(f, "{\"op\":\"detach\"}");
	run(f);
	assert_error(fd, ERR_INVALID);
	program_detach(f, &p, "{\"op\":\"detach\",\"session\":1}");
	p.client = request(f, "{\"op\":\"attach\"}");
	run(f);
	fd = request(f, "{\"op\":\"attach\"}");
	run(f);
	assert_error(fd, ERR_BUSY);
	program_end(&p);
	run(f);
}

static void test_list_of_sessions(void **state)
{
	struct fixture *f = *state;
	struct err e = {0};
	struct program p;
	json_t *j, *want;
	int fd;

	program_start(f, &p);
	fd = request(f, "{\"op\":\"sessions\"}");
	run(f);
	j = result(fd, &e);
	assert_int_equal(json_array_size(json_object_get(j, "sessions")), 1);
	want = json_pack("{s:i, s:s, s:b, s:b, s:b}", "id", 1, "command", "sh -i", "tty", 1,
			 "attached", 1, "workload", 0);
	assert_true(json_equal(json_array_get(json_object_get(j, "sessions"), 0), want));
	json_decref(want);
	json_decref(j);
	program_end(&p);
	run(f);
}

/* --- the monitor's own sessions ------------------------------------------------------------ */

static int start_workload(struct fixture *f)
{
	strv_add(&f->m.spec.workload.argv, "x");
	f->m.spec.has_workload = true;
	session_start_workload(&f->m);
	launch_spec_release(&f->m.spec);
	return agent(f);
}

static void test_workload(void **state)
{
	struct fixture *f = *state;
	int agent_fd = start_workload(f);
	_cleanup_free_ char *text = NULL;

	frame_write(agent_fd, FRAME_STDOUT, 0, "out", 3);
	frame_write(agent_fd, FRAME_RESULT, 0, "{\"ok\":true,\"exit_code\":3}", 25);
	close(agent_fd);
	run(f);
	assert_int_equal(f->m.exit_code, 3);
	assert_int_equal(seen.stops, 1);
	assert_int_equal(seen.cause, END_COMPLETED);
	assert_int_equal(sessions(f), 0);
	text = log_text(f);
	assert_non_null(strstr(text, "\"d\":\"out\""));
}

static void test_workload_not_found(void **state)
{
	static const char json[] = "{\"ok\":false,\"error\":{\"code\":\"exec_not_found\","
				   "\"message\":\"no such file\"}}";
	struct fixture *f = *state;
	int agent_fd = start_workload(f);

	frame_write(agent_fd, FRAME_RESULT, 0, json, strlen(json));
	close(agent_fd);
	run(f);
	assert_int_equal(f->m.exit_code, 127);
	assert_string_equal(f->m.end_text, "no such file");
	assert_string_equal(seen.notes, "no such file");
	assert_int_equal(seen.stops, 1);
}

/* Whatever the agent does, a sandbox whose workload cannot end any more is ended. */
static void test_workload_of_a_broken_agent(void **state)
{
	struct fixture *f = *state;
	int agent_fd = start_workload(f);

	assert_int_equal(write_full(agent_fd, "garbage!", 8), 0);
	run(f);
	close(agent_fd);
	assert_int_equal(seen.stops, 1);
	assert_int_equal(seen.cause, END_NONE); /* the machine's end will tell */
	assert_int_equal(f->m.exit_code, -1);
	assert_int_equal(sessions(f), 0);
}

/* --- an init ------------------------------------------------------------------------------- */

static int watch_init(struct fixture *f)
{
	int fd;

	strv_add(&f->m.spec.boot.init.argv, "/sbin/init");
	session_watch_init(&f->m);
	fd = agent(f);
	launch_spec_release(&f->m.spec);
	return fd;
}

static void test_watched_init(void **state)
{
	static const struct {
		const char *result, *reason;
		int exit_code;
	} cases[] = {
		{"{\"ok\":true,\"exit_code\":3}", "the init exited with status 3", 3},
		{"{\"ok\":true,\"exit_code\":139,\"signal\":11}",
		 "the init was killed by signal 11", 139},
		{"{\"ok\":true,\"exit_code\":0,\"wish\":\"off\"}", GUEST_SWITCHED_OFF, 0},
		{"{\"ok\":true,\"exit_code\":0,\"wish\":\"reboot\"}", GUEST_REBOOTED, 0},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int agent_fd = watch_init(f);
		struct frame frame;
		struct buf b;
		json_t *j;

		buf_init(&b, MIB);
		assert_int_equal(frame_read(agent_fd, &b, &frame), 1);
		j = message_parse(frame.payload, frame.len, NULL);
		assert_true(json_is_true(json_object_get(j, "join")));
		json_decref(j);
		buf_release(&b);
		frame_write(agent_fd, FRAME_RESULT, 0, cases[i].result, strlen(cases[i].result));
		close(agent_fd);
		run(f);
		assert_string_equal(f->m.end_text, cases[i].reason);
		assert_int_equal(f->m.exit_code, cases[i].exit_code);
		assert_int_equal(seen.stops, i + 1);
		assert_int_equal(f->m.cause, i < 2 ? END_COMPLETED : END_GUEST);
		f->m.cause = END_NONE;
	}
	assert_int_equal(sessions(f), 0);
}

/* A client that joins the init ends the sandbox with it, and the reason stands before it knows. */
static void test_joined_init(void **state)
{
	static const char json[] = "{\"ok\":true,\"exit_code\":4}";
	struct fixture *f = *state;
	int fd = request(f, "{\"op\":\"exec\",\"argv\":[\"/init\"],\"join\":true}"), agent_fd;
	struct err e = {0};
	json_t *j;

	run(f);
	agent_fd = agent(f);
	frame_write(agent_fd, FRAME_RESULT, 0, json, strlen(json));
	run(f);
	assert_string_equal(f->m.end_text, "the init exited with status 4");
	assert_int_equal(f->m.cause, END_COMPLETED);
	close(agent_fd);
	run(f);
	j = result(fd, &e);
	json_decref(j);
	assert_int_equal(seen.stops, 1);
	assert_int_equal(f->m.exit_code, 4);
}

/* One that was ended with the sandbox is not its reason. */
static void test_init_that_was_stopped(void **state)
{
	struct fixture *f = *state;
	int agent_fd = watch_init(f);

	f->m.cause = END_REQUESTED;
	frame_write(agent_fd, FRAME_RESULT, 0, "{\"ok\":true,\"exit_code\":3}", 25);
	close(agent_fd);
	run(f);
	assert_string_equal(f->m.end_text, "");
	assert_int_equal(f->m.exit_code, -1);
	assert_int_equal(f->m.cause, END_REQUESTED);
}

/* The answer to the shutdown request is not the end of a workload. */
static void test_shutdown(void **state)
{
	struct fixture *f = *state;
	struct frame frame;
	struct buf b;
	int agent_fd;

	buf_init(&b, MIB);
	session_send_shutdown(&f->m, 1500);
	agent_fd = agent(f);
	assert_int_equal(frame_read(agent_fd, &b, &frame), 1);
	assert_memory_equal(frame.payload, "{\"op\":\"shutdown\",\"grace_ms\":1500}", frame.len);
	frame_write(agent_fd, FRAME_RESULT, 0, "{\"ok\":true}", 11);
	close(agent_fd);
	run(f);
	assert_int_equal(sessions(f), 0);
	assert_int_equal(f->m.exit_code, -1);
	assert_string_equal(f->m.end_text, "");
	assert_int_equal(seen.stops, 0);
	close_fd(&f->vsock);
	session_send_shutdown(&f->m, 1500); /* the agent is gone already */
	assert_int_equal(sessions(f), 0);
	assert_int_equal(seen.stops, 0);
	buf_release(&b);
}

static void test_the_end_of_all(void **state)
{
	struct fixture *f = *state;
	int waiting = request(f, "{\"op\":\"exec\",\"argv\":[\"x\"]}");
	int silent = client(f, "", 0);

	f->m.state = MONITOR_BOOTING;
	run(f);
	assert_int_equal(sessions(f), 2);
	sessions_finish(&f->m);
	assert_int_equal(sessions(f), 0);
	assert_error(waiting, ERR_STATE);
	assert_error(silent, ERR_STATE);
}

#define session_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		session_test(test_tap_in_pieces),
		session_test(test_tap_of_a_terminal),
		session_test(test_tap_of_files),
		session_test(test_tap_of_garbage),
		session_test(test_tap_bounds_the_result),
		session_test(test_status),
		session_test(test_bad_requests),
		session_test(test_use),
		session_test(test_paused),
		session_test(test_request_byte_by_byte),
		session_test(test_client_leaves),
		session_test(test_stop),
		session_test(test_forced_stop),
		session_test(test_exec_while_stopping),
		session_test(test_relay),
		session_test(test_client_leaves_the_agent),
		session_test(test_connection_in_advance),
		session_test(test_no_connection_in_advance),
		session_test(test_agent_refuses),
		session_test(test_agent_is_lost),
		session_test(test_client_of_a_lost_agent_leaves),
		session_test(test_agent_sends_garbage),
		session_test(test_detach_and_attach),
		session_test(test_attach_with_input),
		session_test(test_attach_within_a_frame),
		session_test(test_client_leaves_within_a_frame),
		session_test(test_detach_of_the_owner),
		session_test(test_attach_to_what_is_not_there),
		session_test(test_list_of_sessions),
		session_test(test_workload),
		session_test(test_workload_not_found),
		session_test(test_workload_of_a_broken_agent),
		session_test(test_watched_init),
		session_test(test_joined_init),
		session_test(test_init_that_was_stopped),
		session_test(test_shutdown),
		session_test(test_the_end_of_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
