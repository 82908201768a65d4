/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "agent/accounts.h"

#include <stdio.h>
#include <string.h>

static const char passwd[] = "# comment\n"
			     "root:x:0:0:root:/root:/bin/sh\n"
			     "\n"
			     "broken\n"
			     "noid:x::0::/:/\n"
			     "neg:x:-1:-1::/:/\n"
			     "huge:x:4294967295:0::/:/\n"
			     "dev:x:1000:1001:Dev:/home/dev:/bin/sh\r\n"
			     "dev:x:7:7::/second:/bin/sh\n"
			     "1000:x:2000:2000::/home/number:/bin/sh\n"
			     "nohome:x:3000:3000:::/bin/sh\n"
			     "relhome:x:3001:3001::home:/bin/sh\n"
			     ":x:5:5::/:/bin/sh\n"
			     "last:x:4000:4000::/home/last:/bin/sh";

static const char group[] = "root:x:0:\n"
			    "dev:x:1001:dev\n"
			    "wheel:x:10:root,dev\n"
			    "devs:x:11:devx,xdev\n"
			    "docker:x:12:a,dev,b\n"
			    "again:x:12:dev\n"
			    "bad:x:nan:dev\n"
			    "short:x\n"
			    "video:x:44:last";

static struct account resolve(const char *spec)
{
	struct account a;
	struct err e;

	if (account_resolve(spec, passwd, group, &a, &e) < 0)
		fail_msg("%s: %s", spec, e.msg);
	return a;
}

static void check(const char *spec, uid_t uid, gid_t gid, const char *home, size_t n_groups)
{
	struct account a = resolve(spec);

	assert_int_equal(a.uid, uid);
	assert_int_equal(a.gid, gid);
	assert_string_equal(a.home, home);
	assert_int_equal(a.n_groups, n_groups);
	account_release(&a);
}

static void refused(const char *spec, const char *message)
{
	struct account a = {0};
	struct err e = {0};

	assert_int_equal(account_resolve(spec, passwd, group, &a, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_string_equal(e.msg, message);
	assert_null(a.home);
}

static void test_names(void **state)
{
	struct account a;

	check(NULL, 0, 0, "/root", 1);
	check("", 0, 0, "/root", 1);
	check("root", 0, 0, "/root", 1);
	check("last", 4000, 4000, "/home/last", 1);
	check("nohome", 3000, 3000, "/", 0);
	check("relhome", 3001, 3001, "/", 0);
	a = resolve("dev");
	assert_int_equal(a.uid, 1000);
	assert_int_equal(a.gid, 1001);
	assert_string_equal(a.home, "/home/dev");
	/* Its own group is not supplementary, and 12 counts once. */
	assert_int_equal(a.n_groups, 2);
	assert_int_equal(a.groups[0], 10);
	assert_int_equal(a.groups[1], 12);
	account_release(&a);
}

static void test_numbers(void **state)
{
	check("0", 0, 0, "/root", 1);
	check("1000", 2000, 2000, "/home/number", 0); /* a name wins */
	check("4000", 4000, 4000, "/home/last", 1);
	check("12345", 12345, 0, "/", 0);
	check("12345:77", 12345, 77, "/", 0);
	check("4294967294:4294967294", 4294967294, 4294967294, "/", 0);
	refused("4294967295", "no user '4294967295' in the sandbox");
	refused("-1", "no user '-1' in the sandbox");
	refused("0:4294967295", "no group '4294967295' in the sandbox");
	refused("99999999999999999999", "no user '99999999999999999999' in the sandbox");
}

static void test_groups(void **state)
{
	check("dev:wheel", 1000, 10, "/home/dev", 0);
	check("dev:44", 1000, 44, "/home/dev", 0);
	check("0:dev", 0, 1001, "/root", 0);
	refused("dev:nogroup", "no group 'nogroup' in the sandbox");
	refused("dev:bad", "no group 'bad' in the sandbox");
	refused("dev:", "malformed user 'dev:'");
	refused(":dev", "malformed user ':dev'");
	refused("a:b:c", "malformed user 'a:b:c'");
}

static void test_unknown(void **state)
{
	refused("nobody", "no user 'nobody' in the sandbox");
	refused("broken", "no user 'broken' in the sandbox");
	refused("noid", "no user 'noid' in the sandbox");
	refused("neg", "no user 'neg' in the sandbox");
	refused("huge", "no user 'huge' in the sandbox");
	refused("de", "no user 'de' in the sandbox");
}

static void test_no_files(void **state)
{
	struct account a;
	struct err e;

	assert_int_equal(account_resolve("root", NULL, NULL, &a, &e), 0);
	assert_int_equal(a.uid, 0);
	assert_string_equal(a.home, "/");
	account_release(&a);
	assert_int_equal(account_resolve("5:6", NULL, NULL, &a, &e), 0);
	assert_int_equal(a.gid, 6);
	account_release(&a);
	assert_int_equal(account_resolve("dev", NULL, NULL, &a, &e), -1);
	assert_int_equal(account_resolve("root:root", "", "", &a, &e), -1);
}

static void test_hostile(void **state)
{
	size_t n = 1 << 20;
	char *text = malloc(n + 1);
	struct account a;
	struct err e;

	/* Only colons; one endless line; more groups than anybody takes. */
	memset(text, ':', n);
	text[n] = '\0';
	assert_int_equal(account_resolve("x", text, text, &a, &e), -1);
	memset(text, 'x', n);
	assert_int_equal(account_resolve("x", text, text, &a, &e), -1);
	n = 0;
	for (unsigned i = 0; i < 2000; i++)
		n += (size_t)sprintf(text + n, "g%u:x:%u:dev,dev,,dev\n", i, i + 5000);
	assert_int_equal(account_resolve("dev", passwd, text, &a, &e), 0);
	assert_int_equal(a.n_groups, ACCOUNT_GROUPS_MAX);
	account_release(&a);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),    cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_groups),   cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_no_files), cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
