/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes: rows with their directories, whatever dies in between; who has them. */
#include "fixture.h"

#include "state/sandboxes.h"
#include "state/volumes.h"

static int make(struct fixture *f, const char *name, enum volume_kind kind, uint64_t size)
{
	_cleanup_free_ char *template = xasprintf("%s/template", f->dir);
	const struct volume_new v = {
		.name = name, .kind = kind, .size = size, .template = template};

	return volumes_create(&f->db, &f->home, &v, NULL, &f->e);
}

/* An image with something at its start and a hole behind that. */
static void put_template(struct fixture *f)
{
	_cleanup_free_ char *path = xasprintf("%s/template", f->dir);

	put_file(path, "a file system");
	assert_int_equal(truncate(path, 64 * MIB), 0);
}

/* Names of all, joined by spaces; owned. */
static char *names(struct fixture *f)
{
	struct volume_row *rows;
	char *text = xstrdup("");
	size_t n;

	assert_ok(volumes_list(&f->db, &f->home, &rows, &n, &f->e), &f->e);
	for (size_t i = 0; i < n; i++) {
		char *more = xasprintf("%s%s%s", text, i ? " " : "", rows[i].name);

		free(text);
		text = more;
	}
	volume_rows_free(rows, n);
	return text;
}

#define assert_names(f, want)                   \
	do {                                    \
		char *got = names(f);           \
		assert_string_equal(got, want); \
		free(got);                      \
	} while (0)

static char *in_volumes(const struct fixture *f, const char *name)
{
	return home_path(&f->home, "volumes/%s", name);
}

static void test_dir(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = in_volumes(f, "a"), *file = in_volumes(f, "a/x");
	struct volume_row row;

	assert_names(f, "");
	assert_err(volumes_get(&f->db, &f->home, "a", &row, &f->e), &f->e, ERR_NOT_FOUND);
	assert_ok(make(f, "b", VOLUME_DIR, 0), &f->e);
	assert_ok(make(f, "a", VOLUME_DIR, GIB), &f->e);
	assert_names(f, "a b");
	assert_ok(volumes_get(&f->db, &f->home, "a", &row, &f->e), &f->e);
	assert_int_equal(row.kind, VOLUME_DIR);
	assert_int_equal(row.size, GIB);
	assert_int_equal(row.users.n, 0);
	assert_true(row.created_at > 0);
	put_file(file, "data");
	assert_true(volume_used(&f->home, &row) > 0);
	volume_row_release(&row);
	assert_err(make(f, "a", VOLUME_DISK, 0), &f->e, ERR_EXISTS);
	assert_true(path_exists(file));
	assert_ok(volumes_remove(&f->db, &f->home, "a", &f->e), &f->e);
	assert_false(path_exists(path));
	assert_err(volumes_remove(&f->db, &f->home, "a", &f->e), &f->e, ERR_NOT_FOUND);
	assert_names(f, "b");
}

static void test_disk(void **state)
{
	struct fixture *f = *state;
	struct volume_row row;
	_cleanup_free_ char *path = volume_path(&f->home, "d", VOLUME_DISK), *text = NULL;
	struct stat st;

	/* Without a template there is no half-made volume. */
	assert_err(make(f, "d", VOLUME_DISK, GIB), &f->e, ERR_SYSTEM);
	assert_names(f, "");
	put_template(f);
	assert_err(make(f, "d", VOLUME_DISK, 64 * MIB), &f->e, ERR_INVALID);
	assert_ok(make(f, "d", VOLUME_DISK, GIB), &f->e);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, GIB);
	assert_true(st.st_blocks * 512 < (off_t)MIB);
	assert_ok(make(f, "e", VOLUME_DISK, 0), &f->e);
	assert_ok(volumes_get(&f->db, &f->home, "e", &row, &f->e), &f->e);
	assert_int_equal(row.size, VOLUME_DISK_DEFAULT);
	volume_row_release(&row);
}

static void test_names(void **state)
{
	static const char *const bad[] = {"", ".", "..", ".hidden", "a/b", "-a", "a b", "\xff"};
	struct fixture *f = *state;
	char name[VOLUME_NAME_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_err(make(f, bad[i], VOLUME_DIR, 0), &f->e, ERR_INVALID);
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_err(make(f, name, VOLUME_DIR, 0), &f->e, ERR_INVALID);
	assert_ok(make(f, name + 1, VOLUME_DIR, 0), &f->e);
	assert_err(make(f, "big", VOLUME_DIR, VOLUME_SIZE_MAX + 1), &f->e, ERR_INVALID);
}

static void test_labels(void **state)
{
	struct fixture *f = *state;
	struct strv labels = {0};
	const struct volume_new v = {.name = "a", .labels = &labels};
	_cleanup_free_ char *text = NULL;
	struct volume_row row;

	strv_add(&labels, "team=web");
	strv_add(&labels, "keep");
	assert_ok(volumes_create(&f->db, &f->home, &v, &row, &f->e), &f->e);
	strv_release(&labels);
	text = json_dumps(row.labels, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text, "{\"keep\":\"\",\"team\":\"web\"}");
	volume_row_release(&row);
}

/* What is left of a maker or remover that died: the row decides. */
static void test_repair(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = in_volumes(f, "a"), *staged = NULL;
	_cleanup_free_ char *stray = in_volumes(f, ".4711"), *gone = in_volumes(f, ".gone-1");
	_cleanup_free_ char *foreign = in_volumes(f, "lost");
	struct volume_row row;

	assert_ok(make(f, "a", VOLUME_DIR, 0), &f->e);
	assert_ok(volumes_get(&f->db, &f->home, "a", &row, &f->e), &f->e);
	staged = xasprintf("%s/volumes/.%lld", f->dir, (long long)row.id);
	volume_row_release(&row);
	assert_int_equal(rename(path, staged), 0);
	assert_ok(volumes_get(&f->db, &f->home, "a", &row, &f->e), &f->e);
	volume_row_release(&row);
	assert_true(path_exists(path));
	assert_false(path_exists(staged));
	assert_int_equal(mkdir(stray, 0700), 0);
	assert_int_equal(mkdir(gone, 0700), 0);
	assert_int_equal(mkdir(foreign, 0700), 0);
	assert_names(f, "a");
	assert_false(path_exists(stray));
	assert_false(path_exists(gone));
	/* That of a database that was lost is nobody's to remove, or to take for a new one. */
	assert_true(path_exists(foreign));
	assert_err(make(f, "lost", VOLUME_DIR, 0), &f->e, ERR_EXISTS);
	assert_true(path_exists(foreign));
	assert_names(f, "a");
	/* One that is wholly missing is told, and can be removed. */
	assert_int_equal(rmdir(path), 0);
	assert_err(volumes_get(&f->db, &f->home, "a", &row, &f->e), &f->e, ERR_SYSTEM);
	assert_ok(volumes_remove(&f->db, &f->home, "a", &f->e), &f->e);
	assert_names(f, "");
}

/* Makes a sandbox that mounts the volumes. */
static int make_sandbox(struct fixture *f, const char *name, const char *mounts,
			struct sandbox_row *ret, int *ret_lock)
{
	json_t *config = json_object();
	int r;

	json_object_set_new(config, "mounts", json_loads(mounts, 0, NULL));
	r = sandboxes_create(&f->db, &f->home, name, "alpine", false, config, NULL, ret, ret_lock,
			     &f->e);
	json_decref(config);
	return r;
}

static void test_attach(void **state)
{
	static const char both[] =
		"[{\"kind\": \"named\", \"source\": \"a\"},"
		" {\"kind\": \"named\", \"source\": \"a\"},"
		" {\"kind\": \"tmpfs\"}, {\"kind\": \"dir\", \"source\": \"b\"}]";
	struct fixture *f = *state;
	struct sandbox_row one, two;
	struct volume_row row;
	int lock_one, lock_two;

	assert_ok(make(f, "a", VOLUME_DIR, 0), &f->e);
	assert_ok(make(f, "b", VOLUME_DIR, 0), &f->e);
	assert_ok(make_sandbox(f, "two", both, &two, &lock_two), &f->e);
	assert_ok(make_sandbox(f, "one", both, &one, &lock_one), &f->e);
	assert_ok(volumes_get(&f->db, &f->home, "a", &row, &f->e), &f->e);
	assert_int_equal(row.users.n, 2);
	assert_string_equal(row.users.v[0], "one");
	assert_string_equal(row.users.v[1], "two");
	volume_row_release(&row);
	assert_err(volumes_remove(&f->db, &f->home, "a", &f->e), &f->e, ERR_BUSY);
	assert_ok(volumes_remove(&f->db, &f->home, "b", &f->e), &f->e);
	assert_ok(sandboxes_delete(&f->db, &f->home, &one, &f->e), &f->e);
	assert_err(volumes_remove(&f->db, &f->home, "a", &f->e), &f->e, ERR_BUSY);
	assert_ok(sandboxes_delete(&f->db, &f->home, &two, &f->e), &f->e);
	assert_ok(volumes_remove(&f->db, &f->home, "a", &f->e), &f->e);
	sandbox_row_release(&one);
	sandbox_row_release(&two);
	close(lock_one);
	close(lock_two);
	/* With a volume that is gone there is no sandbox, and nothing is left of one. */
	assert_err(make_sandbox(f, "three", both, &one, &lock_one), &f->e, ERR_NOT_FOUND);
	assert_err(sandboxes_get(&f->db, &f->home, "three", &one, &f->e), &f->e, ERR_NOT_FOUND);
}

/* One of many makers wins, the others learn that it exists; removers likewise. */
static int create_one(const struct fixture *f, int i)
{
	const struct volume_new v = {.name = "race"};
	struct err e = {0};
	struct db db;

	if (db_open(&db, &f->home, &e) < 0)
		return 9;
	if (volumes_create(&db, &f->home, &v, NULL, &e) == 0)
		return 0;
	return e.code == ERR_EXISTS ? 1 : 2;
}

static int remove_one(const struct fixture *f, int i)
{
	struct err e = {0};
	struct db db;

	if (db_open(&db, &f->home, &e) < 0)
		return 9;
	if (volumes_remove(&db, &f->home, "race", &e) == 0)
		return 0;
	return e.code == ERR_NOT_FOUND ? 1 : 2;
}

static void test_races(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(count_children(6, create_one, f, 0), 1);
	assert_names(f, "race");
	assert_int_equal(count_children(6, remove_one, f, 0), 1);
	assert_names(f, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		home_test(test_dir),    home_test(test_disk),   home_test(test_names),
		home_test(test_labels), home_test(test_repair), home_test(test_attach),
		home_test(test_races),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
