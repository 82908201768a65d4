/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "base/util.h"
#include "net/domain.h"

#include <errno.h>
#include <string.h>

static void test_normal(void **state)
{
	static const char *const t[][2] = {
		{"example.com", "example.com"},
		{"EXAMPLE.Com.", "example.com"},
		{"a", "a"},
		{"_dmarc.Example.org", "_dmarc.example.org"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"1.0.0.127.in-addr.arpa.", "1.0.0.127.in-addr.arpa"},
		{"127.0.0.1.nip.io", "127.0.0.1.nip.io"},
		{"-odd-.example", "-odd-.example"},
		{"1password.com", "1password.com"},
		{"a.0xg", "a.0xg"},
	};
	char out[DOMAIN_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		assert_int_equal(domain_normalize(t[i][0], strlen(t[i][0]), out), 0);
		assert_string_equal(out, t[i][1]);
	}
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"",           ".",           "..",         "a..b",       ".a",     "a..",
		"a b",        "a/b",         "a:b",        "*.a",        "a@b",    "a\n",
		"127.0.0.1",  "127.1",       "1",          "0x7f000001", "0X7F.1", "a.0x7f",
		"example.0x", "example.017", "example.1.", "[::1]",      "::1",    "a,b",
	};
	char out[DOMAIN_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (domain_normalize(bad[i], strlen(bad[i]), out) != -EINVAL)
			fail_msg("'%s' should be no name", bad[i]);
	assert_int_equal(domain_normalize("a\0b", 3, out), -EINVAL);
	assert_int_equal(domain_normalize("b\xc3\xbc"
					  "cher.example",
					  14, out),
			 -EILSEQ);
	assert_int_equal(domain_normalize("\xff", 1, out), -EILSEQ);
}

static void test_lengths(void **state)
{
	char name[DOMAIN_LEN + 8], out[DOMAIN_LEN];

	memset(name, 'a', sizeof(name));
	assert_int_equal(domain_normalize(name, 63, out), 0);
	assert_int_equal(domain_normalize(name, 64, out), -EINVAL);
	for (size_t i = 63; i < sizeof(name); i += 64)
		name[i] = '.';
	assert_int_equal(domain_normalize(name, DOMAIN_MAX, out), 0);
	assert_int_equal(strlen(out), DOMAIN_MAX);
	name[DOMAIN_MAX] = '.';
	assert_int_equal(domain_normalize(name, DOMAIN_MAX + 1, out), 0);
	name[DOMAIN_MAX] = 'a';
	assert_int_equal(domain_normalize(name, DOMAIN_MAX + 1, out), -EINVAL);
}

static void test_under(void **state)
{
	assert_true(domain_under("example.com", "example.com"));
	assert_true(domain_under("a.b.example.com", "example.com"));
	assert_false(domain_under("notexample.com", "example.com"));
	assert_false(domain_under("com", "example.com"));
	assert_false(domain_under("example.com.evil.org", "example.com"));
	assert_false(domain_under("", "example.com"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_normal),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_under),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
