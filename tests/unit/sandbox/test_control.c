/* SPDX-License-Identifier: Apache-2.0 */
/* Clients of a monitor that ends in the middle of it. */
#include "../testing.h"

#include "sandbox/launch.h"

#include <errno.h>
#include <sys/socket.h>

/* How far a monitor goes before it ends. */
enum end { GONE, UNREAD, READ, ANSWERED };

/* What control_call makes of it: the code of its error, ERR_NONE for an answer. */
static enum err_code call(enum end end)
{
	json_t *request = json_pack("{s:s}", "op", "stop"), *answer;
	struct err e = {0};
	char data[256];
	int fds[2];
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		if (end == UNREAD)
			recv(fds[1], data, sizeof(data), MSG_PEEK);
		if (end >= READ)
			recv(fds[1], data, sizeof(data), 0);
		if (end == ANSWERED) {
			json_t *ok = message_ok();

			message_write(fds[1], FRAME_RESULT, ok);
			json_decref(ok);
		}
		_exit(0);
	}
	close(fds[1]);
	if (end == GONE)
		assert_int_equal(child_status(pid), 0);
	answer = control_call(fds[0], request, &e);
	assert_int_equal(answer != NULL, e.code == ERR_NONE);
	if (end != GONE)
		assert_int_equal(child_status(pid), 0);
	json_decref(answer);
	json_decref(request);
	close(fds[0]);
	return e.code;
}

static void test_ended_monitor(void **state)
{
	assert_int_equal(call(GONE), ERR_STATE);
	assert_int_equal(call(UNREAD), ERR_STATE);
	assert_int_equal(call(READ), ERR_STATE);
	assert_int_equal(call(ANSWERED), ERR_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ended_monitor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
