/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "image/reference.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_good(void **state)
{
	static const struct {
		const char *text, *canonical;
	} cases[] = {
		{"alpine", "docker.io/library/alpine:latest"},
		{"alpine:3.19", "docker.io/library/alpine:3.19"},
		{"library/alpine", "docker.io/library/alpine:latest"},
		{"docker.io/alpine", "docker.io/library/alpine:latest"},
		{"index.docker.io/a/b", "docker.io/a/b:latest"},
		{"registry-1.docker.io/a/b:1", "docker.io/a/b:1"},
		{"user/app:v1.2.3-rc_1", "docker.io/user/app:v1.2.3-rc_1"},
		{"ghcr.io/foo/bar", "ghcr.io/foo/bar:latest"},
		{"localhost/x", "localhost/x:latest"},
		{"localhost:5000/x:y", "localhost:5000/x:y"},
		{"127.0.0.1:5599/test/img:v1", "127.0.0.1:5599/test/img:v1"},
		{"[::1]:5000/x", "[::1]:5000/x:latest"},
		{"reg.example.com:443/a/b/c/d:Tag", "reg.example.com:443/a/b/c/d:Tag"},
		{"a-b_c__d/f---g", "docker.io/a-b_c__d/f---g:latest"},
		{"alpine@sha256:" HEX, "docker.io/library/alpine@sha256:" HEX},
		{"alpine:3@sha256:" HEX, "docker.io/library/alpine:3@sha256:" HEX},
		{"h:5/x:t@sha256:" HEX, "h:5/x:t@sha256:" HEX},
		{"Reg.Example.COM/a", "Reg.Example.COM/a:latest"},
		{"Reg/a", "Reg/a:latest"},
		{"a:_tag", "docker.io/library/a:_tag"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct reference r;
		struct err e = {0};
		char *text;

		if (reference_parse(cases[i].text, &r, &e) < 0)
			fail_msg("%s: %s", cases[i].text, e.msg);
		text = reference_format(&r);
		assert_string_equal(text, cases[i].canonical);
		free(text);
		reference_release(&r);
	}
}

static void test_bad(void **state)
{
	static const char *const cases[] = {
		"",
		":",
		"@",
		"/",
		"Alpine",
		"alpine:",
		"alpine:a b",
		"alpine:-x",
		"alpine:.x",
		"alpine::x",
		"alpine@",
		"alpine@sha256:",
		"alpine@sha256:0123",
		"alpine@sha256:" HEX "0",
		"alpine@sha512:" HEX HEX,
		"alpine@sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
		"alpine@sha256:" HEX "@sha256:" HEX,
		"a//b",
		"a/",
		"/a",
		"-a",
		"a-",
		"a..b",
		"a___b",
		"a._b",
		"a/../b",
		HEX,
		HEX ":tag",
		"../a",
		"a b",
		"a\n",
		"a/b?c",
		"http://reg.io/a",
		"https://reg.io/a:b",
		"reg.io:0/a",
		"reg.io:65536/a",
		"reg.io:x/a",
		"reg.io:/a",
		"reg..io/a",
		".io/a",
		"-reg.io/a",
		"reg-.io/a",
		"a_b.c/d",
		"[::1/a",
		"[zz.]:1/a",
		"[::1]x:1/a",
		"user@reg.io/a",
		"\xc3\xa4",
		"a:0123456789012345678901234567890123456789012345678901234567890123456789"
		"012345678901234567890123456789012345678901234567890123456789",
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct reference r = {0};
		struct err e = {0};

		if (reference_parse(cases[i], &r, &e) == 0)
			fail_msg("'%s' was accepted", cases[i]);
		assert_int_equal(e.code, ERR_INVALID);
		assert_null(r.host);
	}
}

static void test_long_name(void **state)
{
	char name[400];
	struct reference r;
	struct err e;

	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(reference_parse(name, &r, &e), -1);
	name[200] = '\0';
	assert_int_equal(reference_parse(name, &r, &e), 0);
	reference_release(&r);
}

static void test_loopback(void **state)
{
	assert_true(reference_host_is_loopback("localhost"));
	assert_true(reference_host_is_loopback("localhost:5000"));
	assert_true(reference_host_is_loopback("127.0.0.1:5000"));
	assert_true(reference_host_is_loopback("127.9.8.7"));
	assert_true(reference_host_is_loopback("[::1]:1"));
	assert_false(reference_host_is_loopback("localhost.example.com"));
	assert_false(reference_host_is_loopback("127.example.com"));
	assert_false(reference_host_is_loopback("10.0.0.1:5000"));
	assert_false(reference_host_is_loopback("[::2]:1"));
	assert_false(reference_host_is_loopback("docker.io"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_long_name),
		cmocka_unit_test(test_loopback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
