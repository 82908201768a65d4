/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pausing. Sessions and limits are stubs; msb-vmm is the other end of a socket, and all that it
 * sends is there before the loop runs.
 */
#include "../testing.h"
#include "rounds.h"

#include "sandbox/monitor_pause.c"

/* Answered sessions by their ids: ok, or the error. */
static char answers[8][128];
static unsigned uses, pauses;

static void take_out(struct session *s)
{
	struct session **p = &s->m->sessions;

	while (*p != s)
		p = &(*p)->next;
	*p = s->next;
}

void session_answer(struct session *s, json_t *result)
{
	assert_true(json_is_true(json_object_get(result, "ok")));
	json_decref(result);
	snprintf(answers[s->id], sizeof(answers[0]), "ok");
	take_out(s);
}

void session_answer_error(struct session *s, enum err_code code, const char *msg)
{
	assert_int_equal(code, ERR_STATE);
	snprintf(answers[s->id], sizeof(answers[0]), "%s", msg);
	take_out(s);
}

void limits_used(struct monitor *m)
{
	uses++;
}

void limits_paused(struct monitor *m)
{
	pauses++;
}

struct fixture {
	char *dir;
	struct monitor m;
	int vmm; /* msb-vmm's end */
	struct session sessions[8];
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct err e;

	*state = f;
	memset(answers, 0, sizeof(answers));
	uses = pauses = 0;
	if (temp_setup((void **)&f->dir) < 0)
		return -1;
	f->m.run_dir = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->m.state = MONITOR_READY;
	f->m.loop = loop_new();
	f->vmm = pause_open(&f->m, &e);
	return f->vmm < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *dir = f->dir;

	pause_release(&f->m);
	close_fd(&f->vmm);
	loop_free(f->m.loop);
	close(f->m.run_dir);
	free(f);
	return temp_teardown(&dir);
}

static void run(struct fixture *f)
{
	run_rounds(f->m.loop, 6);
}

static void want(struct fixture *f, unsigned id, enum pause_want what)
{
	f->sessions[id] = (struct session){
		.m = &f->m, .id = id, .wants = what, .next = f->m.sessions, .client_fd = -1};
	f->m.sessions = &f->sessions[id];
	pause_step(&f->m);
}

/* The next command; "" when there is none. */
static const char *commanded(struct fixture *f)
{
	static char text[32];
	ssize_t n = recv(f->vmm, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[MAX(n, 0)] = '\0';
	return text;
}

static void say(struct fixture *f, const char *text)
{
	assert_int_equal(send(f->vmm, text, strlen(text), 0), strlen(text));
	run(f);
}

static bool noted(const struct fixture *f)
{
	return faccessat(f->m.run_dir, "paused", F_OK, 0) == 0;
}

static void test_there_and_back(void **state)
{
	struct fixture *f = *state;

	want(f, 0, WANTS_RESUME);
	assert_string_equal(answers[0], "ok"); /* it runs */
	assert_string_equal(commanded(f), "");

	want(f, 1, WANTS_PAUSE);
	want(f, 2, WANTS_PAUSE);
	assert_string_equal(commanded(f), "pause");
	assert_string_equal(commanded(f), "");
	assert_string_equal(answers[1], "");
	assert_true(noted(f));
	say(f, "ok");
	assert_true(f->m.pause.paused);
	assert_string_equal(answers[1], "ok");
	assert_string_equal(answers[2], "ok");
	assert_int_equal(pauses, 1);
	assert_int_equal(uses, 0);

	want(f, 3, WANTS_PAUSE);
	assert_string_equal(answers[3], "ok");
	want(f, 4, WANTS_RESUME);
	assert_string_equal(commanded(f), "resume");
	assert_true(f->m.pause.paused && noted(f)); /* until it is told otherwise */
	say(f, "ok");
	assert_false(f->m.pause.paused || noted(f));
	assert_string_equal(answers[4], "ok");
	assert_int_equal(uses, 1);
	assert_null(f->m.sessions);
}

/* Each gets what it wants, one after the other. */
static void test_against_each_other(void **state)
{
	struct fixture *f = *state;

	want(f, 0, WANTS_PAUSE);
	want(f, 1, WANTS_RESUME);
	assert_string_equal(commanded(f), "pause");
	say(f, "ok");
	assert_string_equal(answers[0], "ok");
	assert_string_equal(answers[1], "");
	assert_string_equal(commanded(f), "resume");
	say(f, "ok");
	assert_string_equal(answers[1], "ok");
}

static void test_before_ready(void **state)
{
	struct fixture *f = *state;

	f->m.state = MONITOR_BOOTING;
	want(f, 0, WANTS_PAUSE);
	assert_string_equal(commanded(f), "");
	f->m.state = MONITOR_READY;
	pause_step(&f->m);
	assert_string_equal(commanded(f), "pause");
}

static void test_refused(void **state)
{
	struct fixture *f = *state;

	want(f, 0, WANTS_PAUSE);
	say(f, "error no \033[1m\xff");
	assert_string_equal(answers[0], "no ?[1m?");
	assert_false(f->m.pause.paused || noted(f));
	/* That was no reason to give up. */
	want(f, 1, WANTS_PAUSE);
	say(f, "ok");
	assert_string_equal(answers[1], "ok");
}

/* A stop lets the guest run again, whatever others want. */
static void test_stop(void **state)
{
	struct fixture *f = *state;

	want(f, 0, WANTS_PAUSE);
	say(f, "ok");
	commanded(f);
	f->m.state = MONITOR_STOPPING;
	pause_step(&f->m);
	assert_string_equal(commanded(f), "resume");
	want(f, 1, WANTS_PAUSE);
	say(f, "ok");
	assert_string_equal(answers[1], "the sandbox is stopping");
	assert_string_equal(commanded(f), "");
	assert_false(noted(f));
}

/* It comes between a command and its answer. */
static void test_stop_while_pausing(void **state)
{
	struct fixture *f = *state;

	want(f, 0, WANTS_PAUSE);
	assert_string_equal(commanded(f), "pause");
	f->m.state = MONITOR_STOPPING;
	pause_step(&f->m);
	assert_string_equal(commanded(f), "");
	say(f, "ok");
	assert_string_equal(commanded(f), "resume");
	/* It does not want to: the deadline of stopping is what is left. */
	say(f, "error never");
	assert_string_equal(commanded(f), "");
}

/* After each of these no command is given any more, and everybody has an answer. */
static void test_garbage(void **state)
{
	static const char *const garbage[] = {"", "okay", "ok\n", "oko", "OK", "error", "\n"};
	char big[600];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	memcpy(big, "error ", 6);
	for (size_t i = 0; i <= ARRAY_SIZE(garbage); i++) {
		void *each;
		struct fixture *f;

		assert_int_equal(setup(&each), 0);
		f = each;
		want(f, 0, WANTS_PAUSE);
		say(f, i < ARRAY_SIZE(garbage) ? garbage[i] : big);
		assert_true(answers[0][0] && strcmp(answers[0], "ok") != 0);
		assert_int_equal(f->m.pause.fd, -1);
		assert_false(f->m.pause.paused || noted(f));
		want(f, 1, WANTS_PAUSE);
		assert_string_equal(answers[1], "the machine takes no commands");
		want(f, 2, WANTS_RESUME);
		assert_string_equal(answers[2], "ok");
		assert_int_equal(teardown(&each), 0);
	}
}

static void test_unasked(void **state)
{
	struct fixture *f = *state;

	say(f, "ok");
	assert_int_equal(f->m.pause.fd, -1);
	assert_false(f->m.pause.paused);
}

/* What comes along is not kept. */
static void test_descriptors(void **state)
{
	struct fixture *f = *state;
	union {
		struct cmsghdr align;
		char data[CMSG_SPACE(sizeof(int))];
	} room = {0};
	char ok[] = "ok";
	struct iovec iov = {ok, 2};
	struct msghdr mh = {.msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &room,
			    .msg_controllen = sizeof(room)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
	int before, after;

	want(f, 0, WANTS_PAUSE);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &f->vmm, sizeof(int));
	assert_int_equal(sendmsg(f->vmm, &mh, 0), 2);
	before = dup(0);
	close(before);
	run(f);
	after = dup(0);
	close(after);
	assert_true(after <= before);
	assert_true(answers[0][0] && strcmp(answers[0], "ok") != 0);
}

static void test_silence(void **state)
{
	struct fixture *f = *state;

	want(f, 0, WANTS_PAUSE);
	assert_true(f->m.pause.patience.active);
	timer_set(f->m.loop, &f->m.pause.patience, 0); /* it is over */
	run(f);
	assert_string_equal(answers[0], "the machine does not answer");
	assert_false(noted(f));
}

int main(void)
{
#define pause_test(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		pause_test(test_there_and_back), pause_test(test_against_each_other),
		pause_test(test_before_ready),   pause_test(test_refused),
		pause_test(test_stop),           pause_test(test_stop_while_pausing),
		cmocka_unit_test(test_garbage),  pause_test(test_unasked),
		pause_test(test_descriptors),    pause_test(test_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
