/* SPDX-License-Identifier: Apache-2.0 */
/* From typed options to the stored configuration, and from that to what msb-net gets. */
#include "../testing.h"

#include "cli/network.h"
#include "cli/network_options.h"
#include "cli/sandbox_options.h"

/* What options are parsed into is given back by the end of msb, and of this test, not before. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

#define ARGS_MAX 12

/* The configuration's "network" of a command line; NULL, with `e`, when it is refused. */
static json_t *typed(const char *const *argv, struct err *e)
{
	const struct command *run = command_find(msb_command.subcommands, "run");
	struct sandbox_options *o = xcalloc(1, *run->args_size);
	json_t *config = json_object(), *network = NULL;
	struct operands ops = {0};
	struct strv args = {0};

	for (size_t i = 0; i < ARGS_MAX && argv[i]; i++)
		strv_add(&args, argv[i]);
	if (opt_parse(run, (int)args.n, args.v, o, &ops, e) == 0 &&
	    network_options_check(&o->network, true, e) == 0 &&
	    network_options_store(&o->network, config, e) == 0)
		network = json_incref(json_object_get(config, "network"));
	json_decref(config);
	strv_release(&args);
	operands_release(&ops);
	free(o);
	return network;
}

/* The lines of the text from the default of egress on. */
static char *spec_of(const char *const *argv)
{
	struct err e = {0};
	json_t *network = typed(argv, &e);
	char *text, *ret;

	if (!network)
		fail_msg("%s", e.msg);
	if (network_spec_text(network, 1, &text, &e) < 0)
		fail_msg("%s", e.msg);
	json_decref(network);
	if (!text)
		return NULL;
	ret = xstrdup(strstr(text, "default egress"));
	free(text);
	return ret;
}

#define PRESET "rule allow@dns\nrule allow@public\n"
#define REST   "max-connections 256\nrebind-protection on\n"

static void test_policies(void **state)
{
	static const struct {
		const char *argv[ARGS_MAX];
		const char *text;
	} t[] = {
		{{NULL}, "default egress deny\ndefault ingress allow\n" PRESET REST},
		{{"--network-policy", "none"}, "default egress deny\ndefault ingress deny\n" REST},
		{{"--net", "nonlocal"},
		 "default egress deny\ndefault ingress allow\n" PRESET "rule allow@private\n" REST},
		{{"--net", "allow-all"}, "default egress allow\ndefault ingress allow\n" REST},
		/* Denied names come first, then what is typed, then the policy's. */
		{{"--net-rule", "allow@10.0.0.1,deny@any:tcp:25", "--deny-domain-suffix", ".b.c",
		  "--deny-domain", "a.b"},
		 "default egress deny\ndefault ingress allow\n"
		 "rule deny@domain=a.b\nrule deny@suffix=b.c\n"
		 "rule allow@10.0.0.1\nrule deny@any:tcp:25\n" PRESET REST},
		/* A default for what goes out stands for a policy. */
		{{"--net-default", "deny", "--net-rule", "allow@a.b"},
		 "default egress deny\ndefault ingress deny\nrule allow@domain=a.b\n" REST},
		{{"--net-default-egress", "allow"},
		 "default egress allow\ndefault ingress allow\n" REST},
		{{"--net-default", "allow", "--net-default-ingress", "deny"},
		 "default egress allow\ndefault ingress deny\n" REST},
		{{"--net-default-egress", "allow", "--net", "public-only"},
		 "default egress allow\ndefault ingress allow\n" PRESET REST},
		{{"--net-default-ingress", "deny"},
		 "default egress deny\ndefault ingress deny\n" PRESET REST},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		_cleanup_free_ char *text = spec_of(t[i].argv);

		assert_string_equal(text, t[i].text);
	}
}

static void test_everything(void **state)
{
	static const char *const argv[ARGS_MAX] = {
		"-p0:80",
		"--port=[::1]:53:5353/udp",
		"--max-connections=9",
		"--net-rate-egress=10M",
		"--net-packets-ingress=100",
		"--dns-nameserver=192.0.2.1",
		"--no-dns-rebind-protection",
		"--proxy=socks5://me:s%40@192.0.2.7",
		"--net=none",
	};
	_cleanup_free_ char *text = spec_of(argv);

	assert_string_equal(text, "default egress deny\n"
				  "default ingress deny\n"
				  "max-connections 9\n"
				  "rate egress 10485760\n"
				  "packets ingress 100\n"
				  "rebind-protection off\n"
				  "nameserver 192.0.2.1:53\n"
				  "publish tcp 127.0.0.1:0 80\n"
				  "publish udp [::1]:53 5353\n"
				  "proxy socks5://me:s%40@192.0.2.7:1080\n");
}

static void test_no_net(void **state)
{
	static const char *const fine[][ARGS_MAX] = {
		{"--no-net"},
		{"--no-net", "--net", "none"},
		{"--no-net", "--deny-domain", "a.b", "--max-connections", "3"},
	};
	char *text;

	for (size_t i = 0; i < ARRAY_SIZE(fine); i++)
		assert_null(spec_of(fine[i]));
	assert_int_equal(network_spec_text(NULL, 1, &text, NULL), 0);
	assert_null(text);
}

static void test_refused(void **state)
{
	static const struct {
		const char *argv[ARGS_MAX];
		const char *saying;
	} t[] = {
		{{"--no-net", "--net-rule", "allow@any"},
		 "--no-net cannot be combined with --net-rule"},
		{{"--no-net", "--net-default", "deny"}, "combined with --net-default"},
		{{"--no-net", "--net-default-egress", "deny"}, "with --net-default-egress"},
		{{"--no-net", "--net-default-ingress", "deny"}, "with --net-default-ingress"},
		{{"--no-net", "-p", "80:80"}, "with --port"},
		{{"--no-net", "--net", "public"}, "with --network-policy"},
		{{"-p", "80:80", "-p", "127.0.0.1:80:81"}, "published twice"},
		{{"--net-default", "maybe"}, "allow or deny"},
		{{"--max-connections", "0"}, "from 1 to 4096"},
		{{"--max-connections", "4097"}, "from 1 to 4096"},
		{{"--net-packets-egress", "0"}, "above 0"},
		{{"--net-rate-egress", "fast"}, "10M"},
		{{"--net-rule", "allow@a.b,"}, "there is no '@'"},
		{{"--deny-domain", "1.2.3.4"}, "is no domain name"},
		{{"--proxy", "ftp://192.0.2.7"}, "unsupported kind of proxy"},
		{{"--proxy-from-env"}, "'ALL_PROXY' not set"},
		{{"--proxy-password-env", "MSB_TEST"}, "needs '--proxy <URL>'"},
		{{"--proxy", "socks5://192.0.2.7", "--proxy-password-env", "MSB_TEST"}, "a user"},
		{{"--proxy", "socks4://me@192.0.2.7", "--proxy-password-env", "MSB_TEST"},
		 "of a kind"},
		{{"--proxy", "http://me@192.0.2.7", "--proxy-password-env", "MSB_TEST"},
		 "'MSB_TEST' not set"},
	};

	unsetenv("ALL_PROXY");
	unsetenv("all_proxy");
	unsetenv("MSB_TEST");
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct err e = {0};

		if (typed(t[i].argv, &e))
			fail_msg("'%s' should be refused", t[i].argv[0]);
		if (!strstr(e.msg, t[i].saying))
			fail_msg("'%s' does not say '%s'", e.msg, t[i].saying);
	}
}

/* The same ports on other protocols, addresses, or any free one are others. */
static void test_ports_that_differ(void **state)
{
	static const char *const argv[ARGS_MAX] = {
		"-p80:80", "-p80:80/udp", "-p127.0.0.2:80:80", "-p0:80", "-p0:80",
	};
	_cleanup_free_ char *text = spec_of(argv);

	assert_non_null(strstr(text, "publish tcp 127.0.0.2:80 80\n"));
}

static void test_too_many(void **state)
{
	const struct command *run = command_find(msb_command.subcommands, "run");
	struct sandbox_options *o = xcalloc(1, *run->args_size);
	struct err e = {0};

	for (size_t i = 0; i <= NET_NAMESERVERS_MAX; i++)
		strv_add(&o->network.nameservers, "192.0.2.1");
	assert_int_equal(network_options_check(&o->network, true, &e), -1);
	assert_non_null(strstr(e.msg, "at most 8"));
	strv_release(&o->network.nameservers);
	free(o);
}

static void test_proxy_password(void **state)
{
	static const char *const argv[ARGS_MAX] = {"--proxy", "socks5://me@192.0.2.7",
						   "--proxy-password-env", "MSB_TEST"};
	_cleanup_free_ char *stored = NULL, *text = NULL;
	struct err e = {0};
	json_t *network;

	setenv("MSB_TEST", "p@ss", 1);
	network = typed(argv, &e);
	assert_non_null(network);
	stored = json_dumps(network, 0);
	assert_null(strstr(stored, "p@ss"));
	assert_int_equal(network_spec_text(network, 1, &text, &e), 0);
	assert_non_null(strstr(text, "proxy socks5://me:p%40ss@192.0.2.7:1080\n"));
	unsetenv("MSB_TEST");
	free(text);
	assert_int_equal(network_spec_text(network, 1, &text, &e), -1);
	assert_null(text);
	assert_non_null(strstr(e.msg, "'MSB_TEST' not set"));
	json_decref(network);
}

static void test_proxy_from_env(void **state)
{
	static const char *const argv[ARGS_MAX] = {"--proxy-from-env"};
	static const char *const none[ARGS_MAX] = {NULL};
	_cleanup_free_ char *text = NULL, *without = NULL;

	setenv("all_proxy", "socks5h://192.0.2.7", 1);
	text = spec_of(argv);
	without = spec_of(none);
	unsetenv("all_proxy");
	assert_non_null(strstr(text, "proxy socks5://192.0.2.7:1080\n"));
	assert_null(strstr(without, "proxy"));
}

static void test_described(void **state)
{
	static const char *const argv[ARGS_MAX] = {"--proxy", "http://me:secret@192.0.2.7",
						   "--deny-domain", "a.b"};
	struct err e = {0};
	json_t *network = typed(argv, &e), *shown = network_describe(network), *none;
	_cleanup_free_ char *text = json_dumps(shown, 0);

	assert_null(strstr(text, "secret"));
	assert_string_equal(json_string_of(shown, "proxy"), "http://me:***@192.0.2.7:3128");
	assert_string_equal(json_string_of(shown, "policy"), "public-only");
	assert_string_equal(json_string_of(shown, "egress"), "deny");
	assert_string_equal(json_string_of(shown, "ingress"), "allow");
	assert_int_equal(json_array_size(json_object_get(shown, "rules")), 3);
	none = network_describe(NULL);
	assert_true(json_is_null(none));
	json_decref(none);
	json_decref(shown);
	json_decref(network);
}

static void test_malformed(void **state)
{
	static const char *const bad[] = {
		"{\"rules\": [1]}",
		"{\"rules\": [\"allow@foo\"]}",
		"{\"policy\": \"best\"}",
		"{\"ports\": [{\"protocol\": \"tcp\", \"bind\": \"x\", \"guest_port\": 1}]}",
		"{\"ports\": [{\"protocol\": \"tcp\", \"bind\": \"::1\", \"guest_port\": 65536}]}",
		"{\"ports\": [7]}",
		"{\"nameservers\": [\"192.0.2.1\"]}",
		"{\"proxy\": \"x\"}",
	};
	char *text;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		json_t *network = json_loads(bad[i], 0, NULL);

		assert_non_null(network);
		if (network_spec_text(network, 1, &text, NULL) == 0)
			fail_msg("'%s' should be refused", bad[i]);
		assert_null(text);
		json_decref(network_describe(network));
		json_decref(network);
	}
}

static void test_slots(void **state)
{
	json_t *network = json_object();
	char *text;

	assert_int_equal(network_spec_text(network, 0, &text, NULL), -1);
	assert_int_equal(network_spec_text(network, NET_SLOT_MAX + 1, &text, NULL), -1);
	assert_int_equal(network_spec_text(network, NET_SLOT_MAX, &text, NULL), 0);
	free(text);
	json_decref(network);
}

static void test_ports_text(void **state)
{
	json_t *ports =
		json_pack("[{s:s, s:s, s:i, s:i}, {s:s, s:s, s:i, s:i}]", "protocol", "tcp", "bind",
			  "127.0.0.1", "host_port", 8080, "guest_port", 80, "protocol", "udp",
			  "bind", "::1", "host_port", 53, "guest_port", 5353);
	_cleanup_free_ char *text = network_ports_text(ports), *none = network_ports_text(NULL);

	assert_string_equal(text, "127.0.0.1:8080->80/tcp, [::1]:53->5353/udp");
	assert_string_equal(none, "-");
	json_decref(ports);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_no_net),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_ports_that_differ),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_proxy_password),
		cmocka_unit_test(test_proxy_from_env),
		cmocka_unit_test(test_described),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_ports_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
