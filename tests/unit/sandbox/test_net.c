/* SPDX-License-Identifier: Apache-2.0 */
/* The network's process as the monitor sees it: what it is given, what it tells, how it ends. */
#include "../testing.h"

#include "sandbox/monitor_child.c"
#include "sandbox/monitor_net.c"

static struct {
	unsigned ready, notes, lost;
	char note[600], hint[512], why[600];
} seen;

void monitor_ready(struct monitor *m)
{
	seen.ready++;
}

void monitor_note(struct monitor *m, const char *fmt, ...)
{
	va_list ap;

	seen.notes++;
	va_start(ap, fmt);
	vsnprintf(seen.note, sizeof(seen.note), fmt, ap);
	va_end(ap);
}

void monitor_lost(struct monitor *m, const char *hint, const char *fmt, ...)
{
	va_list ap;

	seen.lost++;
	snprintf(seen.hint, sizeof(seen.hint), "%s", hint);
	va_start(ap, fmt);
	vsnprintf(seen.why, sizeof(seen.why), fmt, ap);
	va_end(ap);
}

static int setup(void **state)
{
	struct monitor *m = xcalloc(1, sizeof(*m));

	*state = m;
	memset(&seen, 0, sizeof(seen));
	m->net = (struct network){.child = CHILD_INIT,
				  .rings_fd = -1,
				  .wake_fd = -1,
				  .call_fd = -1,
				  .ports = json_array()};
	m->loop = loop_new();
	m->spec.net = xstrdup("mtu 1500\nproxy socks5://a:secret@192.0.2.1:1080\n");
	m->spec.boot.has_network = true;
	m->spec.boot.network =
		(struct boot_network){.mac = {2, 0x6d, 0x73, 0, 0xab, 2}, .mtu = 1500};
	return 0;
}

static int teardown(void **state)
{
	struct monitor *m = *state;

	net_release(m);
	launch_spec_release(&m->spec);
	loop_free(m->loop);
	free(m);
	return 0;
}

static void tell(struct monitor *m, const char *line)
{
	on_event(&m->net.child, line);
}

static void assert_ports(const struct monitor *m, const char *want)
{
	json_t *j = net_ports_answer(m);
	_cleanup_free_ char *text = json_dumps(json_object_get(j, "ports"), JSON_COMPACT);

	assert_true(json_is_true(json_object_get(j, "ok")));
	json_decref(j);
	assert_string_equal(text, want);
}

static void test_ports(void **state)
{
	struct monitor *m = *state;

	assert_ports(m, "[]");
	tell(m, "port tcp 127.0.0.1:8080 80");
	tell(m, "port udp [::1]:34567 53");
	assert_ports(m, "[{\"protocol\":\"tcp\",\"bind\":\"127.0.0.1\",\"host_port\":8080,"
			"\"guest_port\":80},{\"protocol\":\"udp\",\"bind\":\"::1\",\"host_port\":"
			"34567,\"guest_port\":53}]");
}

/* What has not the form is no port. */
static void test_malformed_ports(void **state)
{
	static const char *const lines[] = {
		"port",
		"port ",
		"port tcp",
		"port tcp 127.0.0.1:80",
		"port tcp 127.0.0.1:80 ",
		"port tcp 127.0.0.1 80",
		"port tcp 127.0.0.1: 80",
		"port tcp 127.0.0.1:65536 80",
		"port tcp 127.0.0.1:80 65536",
		"port tcp 127.0.0.1:80 -1",
		"port tcp 127.0.0.1:80 80 80",
		"port sctp 127.0.0.1:80 80",
		"port tcptcptcp 127.0.0.1:80 80",
		"port tcp ::1:80 80",
		"port tcp [::1]80 80",
		"port tcp [::1:80 80",
		"port tcp [127.0.0.1]:80 80",
		"port tcp [] 80",
		"port tcp localhost:80 80",
		"port tcp 127.0.0.1:80x 80",
		"port tcp "
		"1111111111111111111111111111111111111111111111111111111111111111111111:80 80",
	};
	struct monitor *m = *state;

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		tell(m, lines[i]);
		if (json_array_size(m->net.ports))
			fail_msg("accepted: %s", lines[i]);
	}
}

static void test_ports_are_bounded(void **state)
{
	struct monitor *m = *state;

	for (int i = 0; i < 2 * PORTS_MAX; i++)
		tell(m, "port tcp 127.0.0.1:8080 80");
	assert_int_equal(json_array_size(m->net.ports), PORTS_MAX);
}

static void test_start(void **state)
{
	struct monitor *m = *state;

	assert_false(net_is_up(m));
	tell(m, "started");
	tell(m, "start now");
	assert_false(net_is_up(m));
	tell(m, "start");
	assert_true(net_is_up(m));
	assert_true(m->times.net > 0);
	tell(m, "start");
	assert_int_equal(seen.ready, 1);
	assert_int_equal(seen.notes, 0);
}

/* Flows are told in the sandbox's log; nothing in them can harm a terminal. */
static void test_flows(void **state)
{
	struct monitor *m = *state;

	tell(m, "deny tcp 10.0.0.1:80: not public");
	assert_string_equal(seen.note, "network: deny tcp 10.0.0.1:80: not public");
	tell(m, "visit tcp 127.0.0.1:50000 to port 80");
	assert_string_equal(seen.note, "network: visit tcp 127.0.0.1:50000 to port 80");
	tell(m, "deny dns \033[2Jx: because");
	assert_string_equal(seen.note, "network: deny dns \\x1b[2Jx: because");
	assert_int_equal(seen.notes, 3);
	tell(m, "denying");
	tell(m, "whatever");
	tell(m, "");
	assert_int_equal(seen.notes, 3);
}

static void end(struct monitor *m, const char *text, int status)
{
	snprintf(m->net.child.end, sizeof(m->net.child.end), "%s", text);
	on_exit_status(&m->net.child, status);
}

#define EXITED(n) ((n) << 8)

static void test_ends(void **state)
{
	struct monitor *m = *state;

	/* Before the start the reason stands for itself. */
	tell(m, "hint choose another port");
	end(m, "error port 127.0.0.1:80 is already in use", EXITED(1));
	assert_string_equal(seen.why, "port 127.0.0.1:80 is already in use");
	assert_string_equal(seen.hint, "choose another port");
	end(m, "", EXITED(2));
	assert_string_equal(seen.why, "the network's process ended with status 2");
	end(m, "", SIGKILL);
	assert_string_equal(seen.why, "the network's process was killed by signal 9");
	assert_string_equal(seen.hint, "");
	tell(m, "start");
	end(m, "error the frame rings are broken", EXITED(1));
	assert_string_equal(seen.why, "the network's process ended: the frame rings are broken");
	assert_string_equal(seen.hint, "");
	end(m, "", SIGSYS);
	assert_string_equal(seen.why,
			    "the network's process made a system call that it must not make");
	assert_int_equal(seen.lost, 5);
}

/* The descriptor in an option of the form --NAME=FD. */
static int option_fd(const struct child_args *a, const char *name)
{
	uint64_t fd;

	for (size_t i = 0; i < a->argv.n; i++)
		if (str_starts_with(a->argv.v[i], name) &&
		    parse_u64(a->argv.v[i] + strlen(name), INT32_MAX, &fd) == 0)
			return (int)fd;
	return -1;
}

static void test_arguments(void **state)
{
	_cleanup_free_ char *text = xcalloc(1, 256), *want = NULL;
	struct child_args a = {.n_fds = 0};
	struct monitor *m = *state;
	struct err e = {0};

	assert_int_equal(net_prepare(m, &e), 0);
	net_add_device(m, &a);
	assert_int_equal(a.argv.n, 1);
	want = xasprintf("--net=mac=02:6d:73:00:ab:02,mtu=1500,rings=%d,wake=%d,call=%d",
			 m->net.rings_fd, m->net.wake_fd, m->net.call_fd);
	assert_string_equal(a.argv.v[0], want);
	assert_int_equal(a.spawn.n_fds, 3);
	assert_int_equal(a.n_fds, 0); /* msb-net gets them as well */
	assert_int_equal(add_spec(m, &a, &e), 0);
	assert_true(pread_full(option_fd(&a, "--spec="), text, 255, 0) > 0);
	assert_string_equal(text, m->spec.net);
	for (size_t i = 0; i < a.argv.n; i++)
		assert_null(strstr(a.argv.v[i], "secret"));
	child_args_release(&a);
}

/* There is no such program beside the test. What was made for it goes anyway. */
static void test_cannot_start(void **state)
{
	struct monitor *m = *state;
	struct err e = {0};
	int rings;

	assert_int_equal(net_prepare(m, &e), 0);
	rings = m->net.rings_fd;
	assert_int_equal(net_start(m, &e), -1);
	assert_non_null(strstr(e.msg, "msb-net"));
	assert_int_equal(m->net.rings_fd, -1);
	assert_int_equal(fcntl(rings, F_GETFD), -1);
	assert_int_equal(m->net.child.pid, 0);
	assert_null(m->spec.net); /* it held a password */
	assert_false(net_is_up(m));
}

static void test_no_network(void **state)
{
	struct child_args a = {.n_fds = 0};
	struct monitor *m = *state;
	struct err e = {0};

	m->spec.boot.has_network = false;
	assert_int_equal(net_prepare(m, &e), 0);
	net_add_device(m, &a);
	assert_int_equal(a.argv.n, 0);
	assert_int_equal(net_start(m, &e), 0);
	assert_int_equal(m->net.child.pid, 0);
	assert_int_equal(m->net.rings_fd, -1);
	assert_true(net_is_up(m));
	assert_ports(m, "[]");
}

#define net_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		net_test(test_ports),      net_test(test_malformed_ports),
		net_test(test_start),      net_test(test_ports_are_bounded),
		net_test(test_flows),      net_test(test_ends),
		net_test(test_arguments),  net_test(test_cannot_start),
		net_test(test_no_network),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
