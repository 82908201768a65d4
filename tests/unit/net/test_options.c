/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "net/options.h"

#define ARGS_MAX 12
#define FD_MAX   6

static int fds[FD_MAX];
static struct net_options o;
static struct err e;

static int setup(void **state)
{
	e = (struct err){};
	/* As those that are inherited. */
	for (int i = 0; i < FD_MAX; i++)
		fds[i] = open("/dev/null", O_RDWR); /* NOLINT(android-cloexec-open) */
	return 0;
}

static int teardown(void **state)
{
	net_options_release(&o);
	for (int i = 0; i < FD_MAX; i++)
		close(fds[i]);
	return 0;
}

/* In arguments, a digit after '@' stands for one of the descriptors. */
static int parse(const char *const *args)
{
	char *argv[ARGS_MAX] = {xstrdup("msb-net")};
	int argc = 1, r;

	for (; *args; args++) {
		const char *at = strchr(*args, '@');

		argv[argc++] = at ? xasprintf("%.*s%d", (int)(at - *args), *args, fds[at[1] - '0'])
				  : xstrdup(*args);
	}
	r = net_options_parse(&o, argc, argv, &e);
	while (argc)
		free(argv[--argc]);
	return r;
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})
#define NEEDED     "--rings=@0", "--wake=@1", "--call=@2", "--events=@3", "--spec=@4"

static void test_all(void **state)
{
	assert_int_equal(PARSE(NEEDED, "--resolv-conf=@5", "--parent=17", "--log-level=debug"), 0);
	assert_int_equal(o.rings_fd, fds[0]);
	assert_int_equal(o.wake_fd, fds[1]);
	assert_int_equal(o.call_fd, fds[2]);
	assert_int_equal(o.events_fd, fds[3]);
	assert_int_equal(o.spec_fd, fds[4]);
	assert_int_equal(o.resolv_conf_fd, fds[5]);
	assert_int_equal(o.parent, 17);
	assert_int_equal(o.log_level, LOG_DEBUG);
	/* Nothing that we would start inherits them, and they are ours to close. */
	for (int i = 0; i < FD_MAX; i++)
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
	net_options_release(&o);
	for (int i = 0; i < FD_MAX; i++)
		assert_int_equal(fcntl(fds[i], F_GETFD), -1);
}

static void test_defaults(void **state)
{
	assert_int_equal(PARSE(NEEDED), 0);
	assert_int_equal(o.resolv_conf_fd, -1);
	assert_int_equal(o.parent, 0);
	assert_int_equal(o.log_level, LOG_WARN);
	assert_false(o.help);
}

static void test_help(void **state)
{
	assert_int_equal(PARSE("--help"), 0);
	assert_true(o.help);
}

static void test_missing(void **state)
{
	static const char *const all[] = {NEEDED};
	static const char *const names[] = {"--rings", "--wake", "--call", "--events", "--spec"};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		const char *args[ARRAY_SIZE(all)] = {};
		char msg[64];
		size_t n = 0;

		for (size_t k = 0; k < ARRAY_SIZE(all); k++)
			if (k != i)
				args[n++] = all[k];
		assert_int_equal(parse(args), -1);
		snprintf(msg, sizeof(msg), "%s is missing", names[i]);
		assert_string_equal(e.msg, msg);
		net_options_release(&o);
		teardown(NULL);
		setup(NULL);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *arg, *msg;
	} t[] = {
		{"--rings=@0", "--rings is given twice"},
		{"--resolv-conf=@0", "is used twice"},
		{"--resolv-conf=x", "'x' is no descriptor number"},
		{"--resolv-conf=99999", "descriptor 99999 is not open"},
		{"--parent=0", "is not a number from 1"},
		{"--log-level=loud", "unknown level 'loud'"},
		{"--verbose=1", "unknown option '--verbose'"},
		{"--rings", "its '=VALUE' is missing"},
		{"spec", "unexpected argument 'spec'"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		assert_int_equal(PARSE(NEEDED, t[i].arg), -1);
		assert_int_equal(e.code, ERR_USAGE);
		if (!strstr(e.msg, t[i].msg))
			fail_msg("'%s' gives '%s'", t[i].arg, e.msg);
		teardown(NULL);
		setup(NULL);
	}
}

#define options_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		options_test(test_all),     options_test(test_defaults), options_test(test_help),
		options_test(test_missing), options_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
