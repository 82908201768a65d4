/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

static int64_t one_number(struct db *db, const char *sql)
{
	struct err e = {0};
	_cleanup_stmt_ sqlite3_stmt *st = db_prepare(db, &e, sql, "");

	assert_non_null(st);
	assert_int_equal(db_step(db, st, &e), 1);
	return sqlite3_column_int64(st, 0);
}

static void test_fresh(void **state)
{
	struct fixture *f = *state;

	assert_true(one_number(&f->db, "PRAGMA user_version") > 0);
	assert_int_equal(one_number(&f->db, "SELECT count(*) FROM sandboxes"), 0);
	assert_int_equal(one_number(&f->db, "SELECT count(*) FROM images"), 0);
}

static void test_reopen(void **state)
{
	struct fixture *f = *state;
	int64_t version = one_number(&f->db, "PRAGMA user_version");

	assert_ok(db_run(&f->db, &f->e, "INSERT INTO image_records VALUES (1, '{}')", ""), &f->e);
	db_close(&f->db);
	assert_ok(db_open(&f->db, &f->home, &f->e), &f->e);
	assert_int_equal(one_number(&f->db, "SELECT count(*) FROM image_records"), 1);
	assert_int_equal(one_number(&f->db, "PRAGMA user_version"), version);
}

static void set_version(struct fixture *f, const char *sql)
{
	assert_ok(db_run(&f->db, &f->e, sql, ""), &f->e);
	db_close(&f->db);
}

/* A database as the first version of msb left it. */
static const char version_1[] =
	"CREATE TABLE sandboxes (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
	"  image TEXT NOT NULL, ephemeral INTEGER NOT NULL, config TEXT NOT NULL,"
	"  status TEXT NOT NULL, reason TEXT, created_at INTEGER NOT NULL,"
	"  updated_at INTEGER NOT NULL);"
	"CREATE TABLE images (reference TEXT PRIMARY KEY, canonical TEXT NOT NULL,"
	"  manifest_digest TEXT NOT NULL, record TEXT NOT NULL, created_at INTEGER NOT NULL);"
	"CREATE INDEX images_by_canonical ON images (canonical);"
	"INSERT INTO images VALUES ('a', 'c', 'sha256:0', "
	"  '{\"os\":\"linux\",\"architecture\":\"amd64\",\"size_bytes\":7,\"layer_count\":2}', 1);"
	"INSERT INTO images VALUES ('b', 'c', 'sha256:1', '{}', 2);"
	"INSERT INTO images VALUES ('damaged', 'c', 'sha256:2', '{', 3);"
	"INSERT INTO sandboxes VALUES (1, 'box', 'a', 0, "
	"  '{\"image\":{\"manifest_digest\":\"sha256:0\"}}', 'stopped', NULL, 1, 1);"
	"INSERT INTO sandboxes VALUES (7, 'cup', 'b', 0, "
	"'{\"tmpfs\":[{\"path\":\"/t\",\"size\":5}]}',"
	"  'stopped', NULL, 1, 1);"
	"PRAGMA user_version = 1;";

static void test_migration(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *dir = home_path(&f->home, "db"),
			    *path = home_path(&f->home, "db/msb.db");
	sqlite3 *conn;

	db_close(&f->db);
	assert_int_equal(remove_tree(AT_FDCWD, dir), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(sqlite3_open(path, &conn), SQLITE_OK);
	assert_int_equal(sqlite3_exec(conn, version_1, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(conn);
	assert_ok(db_open(&f->db, &f->home, &f->e), &f->e);
	assert_int_equal(one_number(&f->db, "SELECT count(*) FROM images"), 2);
	assert_int_equal(one_number(&f->db,
				    "SELECT size_bytes * 10 + layer_count FROM images JOIN "
				    "image_records ON image = id WHERE reference = 'a' AND os = "
				    "'linux' AND architecture = 'amd64' AND NOT counted"),
			 72);
	assert_int_equal(one_number(&f->db, "SELECT config = '{\"mounts\":[{\"kind\":\"tmpfs\","
					    "\"target\":\"/t\",\"size\":5}]}' FROM sandboxes "
					    "WHERE name = 'cup'"),
			 1);
	assert_int_equal(one_number(&f->db, "SELECT count(*) FROM image_users WHERE kind = "
					    "'sandbox' AND name = 'box' AND reference = 'a' AND "
					    "manifest_digest = 'sha256:0'"),
			 1);
	/* Sandboxes from before there was a network have a place in it as well. */
	assert_int_equal(one_number(&f->db, "SELECT count(*) FROM sandboxes"), 2);
	assert_int_equal(one_number(&f->db, "SELECT net_slot FROM sandboxes WHERE name = 'box'"),
			 1);
	assert_int_equal(one_number(&f->db, "SELECT net_slot FROM sandboxes WHERE name = 'cup'"),
			 2);
}

static void test_newer_version_is_refused(void **state)
{
	struct fixture *f = *state;

	set_version(f, "PRAGMA user_version = 1000");
	assert_err(db_open(&f->db, &f->home, &f->e), &f->e, ERR_UNSUPPORTED);
	assert_null(f->db.conn);
}

static void test_impossible_version_is_refused(void **state)
{
	struct fixture *f = *state;

	set_version(f, "PRAGMA user_version = -1");
	assert_err(db_open(&f->db, &f->home, &f->e), &f->e, ERR_CORRUPT);
	assert_null(f->db.conn);
}

static void test_damaged_file(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = home_path(&f->home, "db/msb.db"), *text = NULL;

	db_close(&f->db);
	put_file(path, "This is not a database, but long enough to look like one, is it not? "
		       "At least a hundred bytes are needed.");
	assert_int_equal(db_open(&f->db, &f->home, &f->e), -1);
	/* The user learns what to do, and the file is left as it was. */
	assert_true(f->e.hint[0]);
	assert_err(-1, &f->e, ERR_CORRUPT);
	text = get_file(path);
	assert_true(str_starts_with(text, "This is not"));
}

static void test_damaged_pages(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = home_path(&f->home, "db/msb.db");
	_cleanup_close_ int fd = -1;
	char junk[4096 - 100];
	int r;

	db_close(&f->db);
	/* The header stays, the schema behind it goes. */
	memset(junk, 0xa5, sizeof(junk));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite_full(fd, junk, sizeof(junk), 100), 0);
	r = db_open(&f->db, &f->home, &f->e);
	if (r == 0)
		r = db_run(&f->db, &f->e, "DELETE FROM sandboxes", "");
	assert_err(r, &f->e, ERR_CORRUPT);
}

static void test_unopenable_file(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = home_path(&f->home, "db/msb.db");

	db_close(&f->db);
	assert_int_equal(remove_tree(AT_FDCWD, path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_err(db_open(&f->db, &f->home, &f->e), &f->e, ERR_SYSTEM);
}

static int open_own(const struct fixture *f, int i)
{
	struct db db;
	struct err e = {0};

	if (db_open(&db, &f->home, &e) < 0) {
		print_error("%s: %s\n", err_code_name(e.code), e.msg);
		return 1;
	}
	db_close(&db);
	return 0;
}

/* First use by several commands at once. */
static void test_concurrent_creation(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = home_path(&f->home, "db");

	for (int round = 0; round < 5; round++) {
		db_close(&f->db);
		assert_int_equal(remove_tree(AT_FDCWD, path), 0);
		assert_int_equal(mkdir(path, 0700), 0);
		assert_int_equal(count_children(8, open_own, f, 0), 8);
		assert_ok(db_open(&f->db, &f->home, &f->e), &f->e);
	}
}

static void test_arguments(void **state)
{
	struct fixture *f = *state;
	sqlite3_stmt *st =
		db_prepare(&f->db, &f->e, "SELECT ?, ?, ?", "sis", "a'b", INT64_C(1) << 60, NULL);
	char *s;

	assert_non_null(st);
	assert_int_equal(db_step(&f->db, st, &f->e), 1);
	s = db_column_string(st, 0);
	assert_string_equal(s, "a'b");
	free(s);
	assert_true(sqlite3_column_int64(st, 1) == INT64_C(1) << 60);
	assert_null(db_column_string(st, 2));
	assert_int_equal(db_step(&f->db, st, &f->e), 0);
	sqlite3_finalize(st);
	assert_null(db_prepare(&f->db, &f->e, "SELECT nonsense FROM nowhere", ""));
	assert_err(-1, &f->e, ERR_SYSTEM);
	assert_null(db_prepare(&f->db, &f->e, "SELECT 1", "s", "one too many"));
	assert_err(-1, &f->e, ERR_SYSTEM);
}

static void test_transactions(void **state)
{
	static const char insert[] = "INSERT INTO files (path, bytes) VALUES (?, 1)";
	struct fixture *f = *state;

	assert_ok(db_begin(&f->db, &f->e), &f->e);
	assert_ok(db_run(&f->db, &f->e, insert, "s", "a"), &f->e);
	db_rollback(&f->db);
	assert_int_equal(one_number(&f->db, "SELECT count(*) FROM files"), 0);
	assert_ok(db_begin(&f->db, &f->e), &f->e);
	assert_ok(db_run(&f->db, &f->e, insert, "s", "a"), &f->e);
	assert_ok(db_commit(&f->db, &f->e), &f->e);
	db_rollback(&f->db);
	assert_int_equal(one_number(&f->db, "SELECT count(*) FROM files"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		home_test(test_fresh),
		home_test(test_reopen),
		home_test(test_migration),
		home_test(test_newer_version_is_refused),
		home_test(test_impossible_version_is_refused),
		home_test(test_damaged_file),
		home_test(test_damaged_pages),
		home_test(test_unopenable_file),
		home_test(test_concurrent_creation),
		home_test(test_arguments),
		home_test(test_transactions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
