/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "state/credentials.h"

static int put(const struct fixture *f, const char *host, const char *user, const char *password,
	       struct err *e)
{
	struct credential c = {
		.host = (char *)host, .username = (char *)user, .password = (char *)password};

	return credentials_put(&f->home, &c, e);
}

static void test_life(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = home_path(&f->home, "credentials.json");
	struct credential c, *list;
	struct stat st;
	size_t n;

	assert_int_equal(credentials_get(&f->home, "r.io", &c, &f->e), 0);
	assert_int_equal(credentials_remove(&f->home, "r.io", &f->e), 0);
	assert_false(path_exists(path));
	assert_ok(put(f, "r.io", "old", "x", &f->e), &f->e);
	assert_ok(put(f, "r.io", "me", "p\"\\: \xc3\xa4", &f->e), &f->e);
	assert_ok(put(f, "a.io:5000", "you", "q", &f->e), &f->e);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	assert_int_equal(credentials_get(&f->home, "r.io", &c, &f->e), 1);
	assert_string_equal(c.host, "r.io");
	assert_string_equal(c.username, "me");
	assert_string_equal(c.password, "p\"\\: \xc3\xa4");
	credential_release(&c);
	assert_int_equal(credentials_get(&f->home, "a.io", &c, &f->e), 0);

	assert_ok(credentials_list(&f->home, &list, &n, &f->e), &f->e);
	assert_int_equal(n, 2);
	assert_string_equal(list[0].host, "a.io:5000");
	assert_string_equal(list[1].host, "r.io");
	credential_release(&list[0]);
	credential_release(&list[1]);
	free(list);

	assert_int_equal(credentials_remove(&f->home, "r.io", &f->e), 1);
	assert_int_equal(credentials_get(&f->home, "r.io", &c, &f->e), 0);
	assert_int_equal(credentials_get(&f->home, "a.io:5000", &c, &f->e), 1);
	credential_release(&c);
}

static void test_file_of_others(void **state)
{
	static const mode_t modes[] = {0640, 0604, 0620, 0602, 0610, 0777};
	struct fixture *f = *state;
	_cleanup_free_ char *path = home_path(&f->home, "credentials.json");
	struct credential c;

	assert_ok(put(f, "r.io", "me", "x", &f->e), &f->e);
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		assert_int_equal(chmod(path, modes[i]), 0);
		assert_int_equal(credentials_get(&f->home, "r.io", &c, &f->e), -1);
		assert_non_null(strstr(f->e.hint, "chmod 600"));
		assert_err(put(f, "r.io", "me", "x", &f->e), &f->e, ERR_STATE);
		assert_err(credentials_remove(&f->home, "r.io", &f->e), &f->e, ERR_STATE);
	}
	assert_int_equal(chmod(path, 0400), 0);
	assert_int_equal(credentials_get(&f->home, "r.io", &c, &f->e), 1);
	credential_release(&c);
}

/* What is wrong is said without a word of what is in the file. */
static void test_damage(void **state)
{
	static const char *const cases[] = {
		"",
		"{\n\"registries\": {\"r.io\": \"geheim\"}}",
		"{\n\"registries\": {\"r.io\": {\"username\": \"u\", \"password\": geheim}}}",
		"{\"registries\": {\"r.io\": {\"username\": \"u\"}}}",
		"{\"registries\": []}",
		"{}",
		"[]",
	};
	struct fixture *f = *state;
	_cleanup_free_ char *path = home_path(&f->home, "credentials.json");
	struct credential c;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put_file(path, cases[i]);
		assert_int_equal(credentials_get(&f->home, "r.io", &c, &f->e), -1);
		assert_int_equal(f->e.code, ERR_CORRUPT);
		assert_non_null(strstr(f->e.msg, path));
		assert_null(strstr(f->e.msg, "geheim"));
	}
}

static void test_not_utf8(void **state)
{
	struct fixture *f = *state;

	assert_err(put(f, "r.io", "me", "\xff", &f->e), &f->e, ERR_INVALID);
	assert_err(put(f, "r.io", "\xff", "x", &f->e), &f->e, ERR_INVALID);
}

static int put_one(const struct fixture *f, int i)
{
	char host[32];

	snprintf(host, sizeof(host), "r%d.io", i);
	return put(f, host, "me", "x", NULL) < 0;
}

/* No login of one process gets lost by that of another. */
static void test_side_by_side(void **state)
{
	struct fixture *f = *state;
	struct credential *list;
	size_t n;

	assert_int_equal(count_children(8, put_one, f, 0), 8);
	assert_ok(credentials_list(&f->home, &list, &n, &f->e), &f->e);
	assert_int_equal(n, 8);
	for (size_t i = 0; i < n; i++)
		credential_release(&list[i]);
	free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		home_test(test_life),     home_test(test_file_of_others), home_test(test_damage),
		home_test(test_not_utf8), home_test(test_side_by_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
