/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "state/sandboxes.h"

/* Makes a sandbox with labels that end with a NULL. */
static void create(struct fixture *f, const char *name, bool ephemeral, const char *const *labels)
{
	json_t *config = json_object();
	struct strv given = {0};
	struct sandbox_row row;
	int lock;

	for (; *labels; labels++)
		strv_add(&given, *labels);
	assert_ok(sandboxes_create(&f->db, &f->home, name, "alpine", ephemeral, config, &given,
				   &row, &lock, &f->e),
		  &f->e);
	strv_release(&given);
	sandbox_row_release(&row);
	json_decref(config);
	close(lock);
}
#define CREATE(f, name, ...) create(f, name, false, (const char *const[]){__VA_ARGS__, NULL})

/* Names of all for which the conditions hold, joined by spaces; owned. */
static char *find(struct fixture *f, const char *const *conditions)
{
	struct strv labels = {0};
	const struct sandbox_query q = {.labels = &labels, .by_name = true};
	struct sandbox_row *rows;
	char *names = xstrdup("");
	size_t n;

	for (; *conditions; conditions++)
		strv_add(&labels, *conditions);
	assert_ok(sandboxes_list(&f->db, &f->home, &q, &rows, &n, &f->e), &f->e);
	for (size_t i = 0; i < n; i++) {
		char *more = xasprintf("%s%s%s", names, i ? " " : "", rows[i].name);

		free(names);
		names = more;
	}
	sandbox_rows_free(rows, n);
	strv_release(&labels);
	return names;
}
#define assert_found(f, want, ...)                                               \
	do {                                                                     \
		char *found = find(f, (const char *const[]){__VA_ARGS__, NULL}); \
		assert_string_equal(found, want);                                \
		free(found);                                                     \
	} while (0)

static void assert_labels(struct fixture *f, const char *name, const char *want)
{
	struct sandbox_row row;
	char *text;

	assert_ok(sandboxes_get(&f->db, &f->home, name, &row, &f->e), &f->e);
	text = json_dumps(row.labels, JSON_COMPACT);
	assert_string_equal(text, want);
	free(text);
	sandbox_row_release(&row);
}

static int64_t stored(struct fixture *f)
{
	sqlite3_stmt *st = db_prepare(&f->db, &f->e, "SELECT count(*) FROM sandbox_labels", "");
	int64_t n;

	assert_int_equal(db_step(&f->db, st, &f->e), 1);
	n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return n;
}

static void test_check(void **state)
{
	static const char *const good[] = {
		"a", "a=", "a=b", "a=b=c", "a b=c d", "\xc3\xa4=\xe2\x82\xac", "%", "'=\""};
	static const char *const bad[] = {"",      "=",       "=b",      "a\n",    "a=\n",
					  "a\t=b", "a=\033[", "a\x7f=b", "a=\xff", "a=\xc2\x9b"};
	char text[LABEL_KEY_MAX + LABEL_VALUE_MAX + 4];
	struct err e = {0};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_ok(label_check(good[i], &e), &e);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_err(label_check(bad[i], &e), &e, ERR_INVALID);

	memset(text, 'x', sizeof(text));
	text[LABEL_KEY_MAX] = '=';
	text[LABEL_KEY_MAX + 1 + LABEL_VALUE_MAX] = '\0';
	assert_ok(label_check(text, &e), &e);
	text[LABEL_KEY_MAX + 1 + LABEL_VALUE_MAX] = 'x';
	text[LABEL_KEY_MAX + 2 + LABEL_VALUE_MAX] = '\0';
	assert_err(label_check(text, &e), &e, ERR_INVALID);
	text[LABEL_KEY_MAX] = 'x';
	text[LABEL_KEY_MAX + 1] = '=';
	text[LABEL_KEY_MAX + 2] = '\0';
	assert_err(label_check(text, &e), &e, ERR_INVALID);
}

static void test_reserved(void **state)
{
	struct err e = {0};

	assert_ok(label_check("service.name=a", &e), &e);
	assert_err(label_check_new("service.name=a", &e), &e, ERR_INVALID);
	assert_err(label_check_new("sandbox.x", &e), &e, ERR_INVALID);
	assert_err(label_check_new("microsandbox.=", &e), &e, ERR_INVALID);
	assert_err(label_check_new("a\n", &e), &e, ERR_INVALID);
	assert_ok(label_check_new("services=a", &e), &e);
	assert_ok(label_check_new("a=service.", &e), &e);
}

static void test_reading(void **state)
{
	struct fixture *f = *state;

	CREATE(f, "none", NULL);
	CREATE(f, "some", "z=1", "a=x=y", "mark", "q=\"'\\", "z=2");
	assert_labels(f, "none", "{}");
	assert_labels(f, "some", "{\"a\":\"x=y\",\"mark\":\"\",\"q\":\"\\\"'\\\\\",\"z\":\"2\"}");
}

static void test_conditions(void **state)
{
	struct fixture *f = *state;

	CREATE(f, "a", "app=web", "tier=front");
	CREATE(f, "b", "app=web", "tier=back");
	CREATE(f, "c", "app=db", "tier=back", "mark");
	CREATE(f, "d", NULL);
	assert_found(f, "a b c d", NULL);
	assert_found(f, "a b", "app=web");
	assert_found(f, "b", "app=web", "tier=back");
	assert_found(f, "b", "tier=back", "app=web", "app");
	assert_found(f, "a b c", "app");
	assert_found(f, "c", "mark");
	assert_found(f, "c", "mark=");
	assert_found(f, "", "app=");
	assert_found(f, "", "app=web", "app=db");
	assert_found(f, "", "app=we_");
	assert_found(f, "", "APP=web");
	assert_found(f, "", "' OR 1 --");
}

/* Whatever way a sandbox goes: one that is made later under its name has none of its labels. */
static void test_they_go_with_it(void **state)
{
	struct fixture *f = *state;
	struct sandbox_row row;
	int lock;

	CREATE(f, "box", "a=1", "b=2");
	CREATE(f, "other", "a=1");
	create(f, "once", true, (const char *const[]){"a=1", NULL});
	assert_int_equal(stored(f), 4);
	assert_found(f, "box other",
		     "a=1"); /* the third has ended, and goes when it is looked at */
	assert_int_equal(stored(f), 3);
	assert_ok(sandboxes_get(&f->db, &f->home, "box", &row, &f->e), &f->e);
	lock = sandboxes_lock(&f->home, &row, &f->e);
	assert_true(lock >= 0);
	assert_ok(sandboxes_delete(&f->db, &f->home, &row, &f->e), &f->e);
	close(lock);
	sandbox_row_release(&row);
	assert_int_equal(stored(f), 1);
	CREATE(f, "box", NULL);
	assert_found(f, "other", "a");
}

/* A filtered list knows too little to take any directory for abandoned. */
static void test_filtered_list_sweeps_nothing(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *stray = home_path(&f->home, "sandboxes/stray");

	CREATE(f, "box", "a=1");
	assert_int_equal(mkdir(stray, 0700), 0);
	assert_found(f, "box", "a=1");
	assert_true(path_exists(stray));
	assert_found(f, "box", NULL);
	assert_false(path_exists(stray));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),    cmocka_unit_test(test_reserved),
		home_test(test_reading),         home_test(test_conditions),
		home_test(test_they_go_with_it), home_test(test_filtered_list_sweeps_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
