/* SPDX-License-Identifier: Apache-2.0 */
/* The commands, to a machine that only notes what it is told. */
#include "../testing.h"

#include "vmm/control.h"

#include <sys/mman.h>
#include <sys/socket.h>

struct fixture {
	struct machine m;
	struct loop *loop;
	struct control control;
	struct timer stop;
	int peer;
	char calls[64];
	int result; /* of each call */
};

static void note(struct fixture *f, const char *what)
{
	size_t n = strlen(f->calls);

	snprintf(f->calls + n, sizeof(f->calls) - n, "%s ", what);
}

static int fake_pause(struct machine *m)
{
	struct fixture *f = container_of(m, struct fixture, m);

	note(f, "pause");
	return f->result;
}

static int fake_resume(struct machine *m)
{
	struct fixture *f = container_of(m, struct fixture, m);

	note(f, "resume");
	return f->result;
}

static int fake_save(struct machine *m, int fd, struct err *e)
{
	struct fixture *f = container_of(m, struct fixture, m);

	note(f, "save");
	if (f->result < 0)
		return err_set(e, ERR_UNSUPPORTED, "%0600d", 7);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(pwrite_full(fd, "machine", 7, 0), 0);
	return 0;
}

static const struct machine_ops fake_ops = {
	.name = "fake",
	.pause = fake_pause,
	.resume = fake_resume,
	.save = fake_save,
};

static void on_stop(struct timer *t)
{
	loop_stop(container_of(t, struct fixture, stop)->loop);
}

/* Delivers what is ready. */
static void run_round(struct fixture *f)
{
	timer_set(f->loop, &f->stop, 0);
	assert_int_equal(loop_run(f->loop), 0);
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct err e = {};
	int fds[2];

	*state = f;
	f->m.ops = &fake_ops;
	f->stop.fn = on_stop;
	f->loop = loop_new();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -1;
	f->peer = fds[1];
	if (control_start(&f->control, f->loop, fds[0], &e) < 0)
		return -1;
	f->control.machine = &f->m;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	control_release(&f->control);
	close_fd(&f->peer);
	loop_free(f->loop);
	free(f);
	return 0;
}

static void send_with(int peer, const void *text, size_t n, const int *fds, unsigned int n_fds)
{
	char room[CMSG_SPACE(4 * sizeof(int))] = {};
	struct iovec iov = {(void *)text, n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds) {
		struct cmsghdr *c = (struct cmsghdr *)room;

		m.msg_control = room;
		m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		*c = (struct cmsghdr){
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(n_fds * sizeof(int)),
		};
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	assert_int_equal(sendmsg(peer, &m, 0), (ssize_t)n);
}

static const char *answer(struct fixture *f)
{
	static char text[1024];
	ssize_t n = recv(f->peer, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[MAX(n, 0)] = '\0';
	return text;
}

static const char *ask(struct fixture *f, const char *command, const int *fds, unsigned int n_fds)
{
	send_with(f->peer, command, strlen(command), fds, n_fds);
	run_round(f);
	return answer(f);
}

/* Numbers are given out lowest first, so a descriptor that was left open raises the next one. */
static int next_fd(void)
{
	int fd = dup(STDERR_FILENO);

	close(fd);
	return fd;
}

static void test_commands(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(ask(f, "pause", NULL, 0), "ok");
	assert_string_equal(ask(f, "resume", NULL, 0), "ok");
	assert_string_equal(f->calls, "pause resume ");
	f->result = -EBUSY;
	assert_true(str_starts_with(ask(f, "pause", NULL, 0), "error cannot pause the machine: "));
	assert_true(str_starts_with(ask(f, "resume", NULL, 0), "error cannot resume "));
}

static void test_save(void **state)
{
	int fd = memfd_create("saved", MFD_CLOEXEC), before = next_fd();
	struct fixture *f = *state;
	char text[8] = {};

	assert_string_equal(ask(f, "save", &fd, 1), "ok");
	assert_int_equal(pread_full(fd, text, 7, 0), 7);
	assert_string_equal(text, "machine");
	assert_string_equal(f->calls, "save ");
	assert_int_equal(next_fd(), before);
	close(fd);
}

/* An error of any length is one message. */
static void test_save_fails(void **state)
{
	int fd = memfd_create("saved", MFD_CLOEXEC), before = next_fd();
	struct fixture *f = *state;
	const char *text;

	f->result = -1;
	text = ask(f, "save", &fd, 1);
	assert_true(str_starts_with(text, "error 000"));
	assert_int_equal(strlen(text), 511);
	assert_int_equal(next_fd(), before);
	close(fd);
}

static void test_no_descriptor(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(ask(f, "save", NULL, 0), "error save needs a descriptor");
	assert_string_equal(f->calls, "");
}

/* Nobody can say which one is meant; and none of them may stay open here. */
static void test_several_descriptors(void **state)
{
	struct fixture *f = *state;
	int fds[4], before;

	for (unsigned int i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = memfd_create("saved", MFD_CLOEXEC);
	before = next_fd();
	for (unsigned int n = 2; n <= ARRAY_SIZE(fds); n++) {
		assert_string_equal(ask(f, "save", fds, n),
				    "error more descriptors than can be taken");
		assert_int_equal(next_fd(), before);
	}
	assert_string_equal(f->calls, "");
	for (unsigned int i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

/* One that is not wanted is closed. */
static void test_needless_descriptor(void **state)
{
	int fd = memfd_create("saved", MFD_CLOEXEC), before = next_fd();
	struct fixture *f = *state;

	assert_string_equal(ask(f, "pause", &fd, 1), "ok");
	assert_true(str_starts_with(ask(f, "dance", &fd, 1), "error unknown command"));
	assert_int_equal(next_fd(), before);
	close(fd);
}

static void test_bad_commands(void **state)
{
	struct fixture *f = *state;
	char text[200];

	assert_string_equal(ask(f, "dance", NULL, 0), "error unknown command 'dance'");
	assert_string_equal(ask(f, "pause ", NULL, 0), "error unknown command 'pause '");
	assert_string_equal(ask(f, "PAUSE", NULL, 0), "error unknown command 'PAUSE'");
	/* Longer than a command can be. */
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_true(str_starts_with(ask(f, text, NULL, 0), "error unknown command 'xxx"));
	/* A command with something behind it that a string does not show. */
	send_with(f->peer, "pause\0now", 9, NULL, 0);
	run_round(f);
	assert_string_equal(answer(f), "error unknown command 'pause?now'");
	send_with(f->peer, "", 1, NULL, 0);
	run_round(f);
	assert_string_equal(answer(f), "error unknown command '?'");
	assert_string_equal(f->calls, "");
	assert_string_equal(ask(f, "pause", NULL, 0), "ok");
}

static void test_several_at_once(void **state)
{
	struct fixture *f = *state;

	send_with(f->peer, "pause", 5, NULL, 0);
	send_with(f->peer, "resume", 6, NULL, 0);
	run_round(f);
	run_round(f);
	assert_string_equal(f->calls, "pause resume ");
	assert_string_equal(answer(f), "ok");
	assert_string_equal(answer(f), "ok");
	assert_string_equal(answer(f), "");
}

static void test_peer_is_gone(void **state)
{
	struct fixture *f = *state;

	close_fd(&f->peer);
	run_round(f);
	assert_false(f->control.ev.active);
	assert_string_equal(f->calls, "");
	/* Not even a busy loop is left of it. */
	run_round(f);
}

/* A message of no bytes is an end, too; what came with it is closed. */
static void test_empty_message(void **state)
{
	int fd = memfd_create("saved", MFD_CLOEXEC), before = next_fd();
	struct fixture *f = *state;

	send_with(f->peer, "", 0, &fd, 1);
	run_round(f);
	assert_false(f->control.ev.active);
	assert_int_equal(next_fd(), before);
	close(fd);
}

/* The command counts although nobody waits for the answer. */
static void test_peer_leaves_at_once(void **state)
{
	struct fixture *f = *state;

	send_with(f->peer, "pause", 5, NULL, 0);
	close_fd(&f->peer);
	run_round(f);
	run_round(f);
	assert_string_equal(f->calls, "pause ");
	assert_false(f->control.ev.active);
}

/* Whoever sends and never reads cannot make us wait. */
static void test_answers_are_not_read(void **state)
{
	struct fixture *f = *state;
	unsigned int n;

	for (n = 0; n < 100000 && f->control.ev.active; n++) {
		if (send(f->peer, "x", 1, MSG_DONTWAIT) < 0)
			break;
		run_round(f);
	}
	assert_false(f->control.ev.active);
}

static void test_no_socket(void **state)
{
	struct fixture *f = *state;
	struct control none;
	struct err e = {};

	assert_int_equal(control_start(&none, f->loop, -1, &e), 0);
	assert_false(none.ev.active);
	control_release(&none);
	none = (struct control){.ev.fd = -1};
	control_release(&none);
}

#define control_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		control_test(test_commands),
		control_test(test_save),
		control_test(test_save_fails),
		control_test(test_no_descriptor),
		control_test(test_several_descriptors),
		control_test(test_needless_descriptor),
		control_test(test_bad_commands),
		control_test(test_several_at_once),
		control_test(test_peer_is_gone),
		control_test(test_empty_message),
		control_test(test_peer_leaves_at_once),
		control_test(test_answers_are_not_read),
		control_test(test_no_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
