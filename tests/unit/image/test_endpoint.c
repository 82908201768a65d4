/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "image/endpoint.h"

/* Of no authority in particular. */
static const char certificate[] =
	"-----BEGIN CERTIFICATE-----\n"
	"MIIBdTCCARugAwIBAgIUcu9RBWZQTNz3HdHdHGDHRw7hVL0wCgYIKoZIzj0EAwIw\n"
	"DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjQxMjIyMzVaGA8yMTI2MTAzMTEyMjIz\n"
	"NVowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDyt\n"
	"MwNFAOw8icsyS08chfo3ZfbqYgIPHp5MxMgCuJQDUWGepPTKaZ/bbx84PMd4043Y\n"
	"vGxgczs0KVYTFG4fNO6jUzBRMB0GA1UdDgQWBBSC7kOWzvm21a0d/V9sczpkl6U1\n"
	"gTAfBgNVHSMEGDAWgBSC7kOWzvm21a0d/V9sczpkl6U1gTAPBgNVHRMBAf8EBTAD\n"
	"AQH/MAoGCCqGSM49BAMCA0gAMEUCIHbQs0BauMexFVPxkr8LCRcpt5xgucpSDYVa\n"
	"itbqmTvrAiEAtES6D9CV+Rjmf8UjGe/xpJUAMqj4gSW54ZRLZt5Hghs=\n"
	"-----END CERTIFICATE-----\n";

static int parse(const char *text, struct endpoints *ret, struct err *e)
{
	return endpoints_parse(text, strlen(text), ret, e);
}

static void test_full(void **state)
{
	struct endpoints es;
	struct err e = {0};

	assert_int_equal(
		parse("{\"endpoints\": [{\"server\": \"m.io\", \"prefix\": \"a/\","
		      "\"scheme\": \"http\", \"ca_certs\": [], \"identity_token\": \"t\"},"
		      "{\"server\": \"docker.io\", \"insecure\": true, \"username\": \"u\","
		      "\"password\": \"p\"}, {\"server\": \"localhost:5\"},"
		      "{\"server\": \"127.0.0.1\", \"scheme\": \"https\"}]}",
		      &es, &e),
		0);
	assert_int_equal(es.n, 4);
	assert_string_equal(es.items[0].server, "m.io");
	assert_string_equal(es.items[0].address, "m.io");
	assert_string_equal(es.items[0].prefix, "a/");
	assert_true(es.items[0].plain_only && es.items[0].plain_first);
	assert_string_equal(es.items[0].identity_token, "t");
	assert_null(es.items[0].username);
	assert_null(es.items[0].ca_pem);
	assert_string_equal(es.items[1].server, "docker.io");
	assert_string_equal(es.items[1].address, "registry-1.docker.io");
	assert_string_equal(es.items[1].prefix, "");
	assert_true(es.items[1].plain_first && !es.items[1].plain_only);
	assert_string_equal(es.items[1].username, "u");
	assert_string_equal(es.items[1].password, "p");
	assert_true(es.items[2].plain_first);
	assert_false(es.items[3].plain_first);
	endpoints_release(&es);
}

static void test_default(void **state)
{
	struct endpoints es;

	endpoints_default("docker.io", &es);
	assert_int_equal(es.n, 1);
	assert_string_equal(es.items[0].address, "registry-1.docker.io");
	assert_false(es.items[0].plain_first);
	endpoints_release(&es);
	endpoints_default("[::1]:5000", &es);
	assert_true(es.items[0].plain_first);
	endpoints_release(&es);
}

static void test_malformed(void **state)
{
	static const char *const cases[] = {
		"",
		"[]",
		"{\"endpoints\": {}}",
		"{\"endpoints\": []}",
		"{\"endpoints\": [1]}",
		"{\"endpoints\": [{}]}",
		"{\"endpoints\": [{\"server\": 1}]}",
		"{\"endpoints\": [{\"server\": \"x\", \"user\": \"y\"}]}",
		"{\"endpoints\": [{\"server\": \"x\", \"username\": \"y\"}]}",
		"{\"endpoints\": [{\"server\": \"x\", \"password\": \"y\"}]}",
		"{\"endpoints\": [{\"server\": \"x\"}, {\"server\": \"x\", \"ca_certs\": [1]}]}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct endpoints es;
		struct err e = {0};

		if (parse(cases[i], &es, &e) == 0)
			fail_msg("%s was accepted", cases[i]);
		assert_int_equal(e.code, ERR_USAGE);
		assert_int_equal(es.n, 0);
	}
}

static int parse_with_file(const char *file, struct endpoints *ret, struct err *e)
{
	_cleanup_free_ char *text = xasprintf(
		"{\"endpoints\": [{\"server\": \"x.io\", \"ca_certs\": [\"%s\"]}]}", file);

	return parse(text, ret, e);
}

static void test_certificates(void **state)
{
	_cleanup_free_ char *file = xasprintf("%s/ca.pem", (char *)*state);
	_cleanup_free_ char *twice = xasprintf("words before\n%s\n%s", certificate, certificate);
	_cleanup_free_ char *damaged = xasprintf("%s%.100s", certificate, certificate);
	const char *const bad[] = {"", "no certificate\n", damaged};
	struct endpoints es;
	struct err e = {0};

	unsetenv("SSL_CERT_FILE");
	assert_int_equal(parse_with_file(file, &es, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		put_file(file, bad[i]);
		assert_int_equal(parse_with_file(file, &es, &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
		assert_non_null(strstr(e.msg, file));
	}
	put_file(file, twice);
	assert_int_equal(parse_with_file(file, &es, &e), 0);
	assert_non_null(strstr(es.items[0].ca_pem, certificate));
	assert_int_equal(strlen(es.items[0].ca_pem), strlen(twice) + 1);
	endpoints_release(&es);
	/* The file of the variable is not forgotten. */
	setenv("SSL_CERT_FILE", file, 1);
	assert_int_equal(parse_with_file(file, &es, &e), 0);
	assert_int_equal(strlen(es.items[0].ca_pem), 2 * (strlen(twice) + 1));
	endpoints_release(&es);
	unsetenv("SSL_CERT_FILE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_malformed),
		temp_test(test_certificates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
