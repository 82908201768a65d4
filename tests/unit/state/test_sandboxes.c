/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "state/sandboxes.h"

#include <signal.h>
#include <sys/file.h>

static const struct sandbox_query everything = {0};

/* Creates a sandbox; the lock is handed out, or let go of when `ret_lock` is NULL. */
static struct sandbox_row create(struct fixture *f, const char *name, bool ephemeral, int *ret_lock)
{
	json_t *config = json_pack("{s:n, s:i}", "image", "cpus", 2);
	struct sandbox_row row;
	int lock = -1;

	assert_ok(sandboxes_create(&f->db, &f->home, name, "alpine", ephemeral, config, NULL, &row,
				   &lock, &f->e),
		  &f->e);
	json_decref(config);
	if (ret_lock)
		*ret_lock = lock;
	else
		close(lock);
	return row;
}

static void create_and_forget(struct fixture *f, const char *name, bool ephemeral)
{
	struct sandbox_row row = create(f, name, ephemeral, NULL);

	sandbox_row_release(&row);
}

static int get(struct fixture *f, const char *name, struct sandbox_row *row)
{
	return sandboxes_get(&f->db, &f->home, name, row, &f->e);
}

static void assert_status(struct fixture *f, const char *name, enum sandbox_status want,
			  const char *reason)
{
	struct sandbox_row row;

	assert_ok(get(f, name, &row), &f->e);
	assert_string_equal(sandbox_status_name(row.status), sandbox_status_name(want));
	if (reason)
		assert_string_equal(row.reason, reason);
	else
		assert_null(row.reason);
	sandbox_row_release(&row);
}

static size_t count(struct fixture *f)
{
	struct sandbox_row *rows;
	size_t n;

	assert_ok(sandboxes_list(&f->db, &f->home, &everything, &rows, &n, &f->e), &f->e);
	sandbox_rows_free(rows, n);
	return n;
}

/* --- names --------------------------------------------------------------------------------- */

static void test_names(void **state)
{
	static const char *const good[] = {"a", "0", "A-b_c.d", "a..", "9-"};
	static const char *const bad[] = {"",    ".",   "..",   "-a",    "_a",       ".a",
					  "a/b", "a b", "a\n",  "a\tb",  "\xc3\xa4", "a\xc3\xa4",
					  "a:b", "a*",  "../a", "a\x7f", "a$b",      "a'b"};
	char name[SANDBOX_NAME_MAX + 2];
	struct err e = {0};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_ok(sandbox_name_check(good[i], &e), &e);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_err(sandbox_name_check(bad[i], &e), &e, ERR_INVALID);
	memset(name, 'a', sizeof(name));
	name[SANDBOX_NAME_MAX] = '\0';
	assert_ok(sandbox_name_check(name, &e), &e);
	name[SANDBOX_NAME_MAX] = 'a';
	name[SANDBOX_NAME_MAX + 1] = '\0';
	assert_err(sandbox_name_check(name, &e), &e, ERR_INVALID);
}

/* --- creating ------------------------------------------------------------------------------ */

static void test_create_and_get(void **state)
{
	struct fixture *f = *state;
	int lock;
	struct sandbox_row made = create(f, "box", false, &lock), row;
	_cleanup_free_ char *logs = home_path(&f->home, "sandboxes/box/logs");
	_cleanup_free_ char *run = sandbox_run_dir(&f->home, made.id);
	struct stat st;

	assert_true(lock >= 0);
	assert_int_equal(fcntl(lock, F_GETFD), FD_CLOEXEC);
	assert_true(path_exists(logs));
	assert_int_equal(stat(run, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_ok(get(f, "box", &row), &f->e);
	assert_int_equal(row.id, made.id);
	assert_string_equal(row.name, "box");
	assert_string_equal(row.image, "alpine");
	assert_false(row.ephemeral);
	assert_int_equal(row.status, SANDBOX_CREATED);
	assert_null(row.reason);
	assert_int_equal(json_integer_value(json_object_get(row.config, "cpus")), 2);
	assert_true(row.created_at > 0);
	sandbox_row_release(&row);
	sandbox_row_release(&made);
	close(lock);
	assert_status(f, "box", SANDBOX_CREATED, NULL);
	assert_err(get(f, "Box", &row), &f->e, ERR_NOT_FOUND);
}

static void test_automatic_names(void **state)
{
	struct fixture *f = *state;
	struct err e = {0};

	for (int i = 0; i < 20; i++) {
		struct sandbox_row row = create(f, NULL, false, NULL);

		assert_int_equal(strlen(row.name), strlen("msb-01234567"));
		assert_true(str_starts_with(row.name, "msb-"));
		assert_int_equal(strspn(row.name + 4, "0123456789abcdef"), 8);
		assert_ok(sandbox_name_check(row.name, &e), &e);
		sandbox_row_release(&row);
	}
	assert_int_equal(count(f), 20);
}

static unsigned make_slot(struct fixture *f, const char *name)
{
	struct sandbox_row row = create(f, name, false, NULL), read;
	unsigned slot = row.net_slot;

	assert_ok(get(f, name, &read), &f->e);
	assert_int_equal(read.net_slot, slot);
	sandbox_row_release(&read);
	sandbox_row_release(&row);
	return slot;
}

/* The lowest free one, held as long as the sandbox exists. */
static void test_network_slots(void **state)
{
	struct fixture *f = *state;
	struct sandbox_row row;
	int lock;

	assert_int_equal(make_slot(f, "a"), 1);
	assert_int_equal(make_slot(f, "b"), 2);
	assert_int_equal(make_slot(f, "c"), 3);
	for (unsigned slot = 1; slot <= 2; slot++) {
		assert_ok(get(f, slot == 1 ? "a" : "b", &row), &f->e);
		lock = sandboxes_lock(&f->home, &row, &f->e);
		assert_ok(sandboxes_delete(&f->db, &f->home, &row, &f->e), &f->e);
		close(lock);
		sandbox_row_release(&row);
	}
	assert_int_equal(make_slot(f, "d"), 1);
	assert_int_equal(make_slot(f, "e"), 2);
	assert_int_equal(make_slot(f, "f"), 4);
}

/* Sandboxes can still be made when no slot is left; no two ever have the same. */
static void test_network_slots_run_out(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(make_slot(f, "a"), 1);
	assert_ok(db_run(&f->db, &f->e,
			 "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE "
			 "i < 65534) INSERT INTO sandboxes (name, image, ephemeral, config, "
			 "status, created_at, updated_at, net_slot) SELECT 'n' || i, '', 0, '{}', "
			 "'Created', 0, 0, i FROM n",
			 ""),
		  &f->e);
	assert_int_equal(make_slot(f, "last"), SANDBOX_SLOT_MAX);
	assert_int_equal(make_slot(f, "none"), 0);
	assert_int_equal(make_slot(f, "none2"), 0);
	assert_int_equal(
		db_run(&f->db, &f->e, "UPDATE sandboxes SET net_slot = 1 WHERE name = 'none'", ""),
		-1);
	assert_int_equal(db_run(&f->db, &f->e,
				"UPDATE sandboxes SET net_slot = 65536 WHERE name = 'none'", ""),
			 -1);
}

static void test_duplicate(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *file = home_path(&f->home, "sandboxes/box/upper.ext4");
	json_t *config = json_object();
	struct sandbox_row row;
	int lock = -1;

	create_and_forget(f, "box", false);
	put_file(file, "data");
	assert_err(sandboxes_create(&f->db, &f->home, "box", "other", false, config, NULL, &row,
				    &lock, &f->e),
		   &f->e, ERR_EXISTS);
	assert_int_equal(lock, -1);
	/* The first one's files are untouched, and the connection is not left in a transaction. */
	assert_true(path_exists(file));
	json_decref(config);
	create_and_forget(f, "box2", false);
	assert_int_equal(count(f), 2);
}

/* Rolled back with what it made when a directory cannot be made. */
static void test_create_fails_clean(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *sandboxes = home_path(&f->home, "sandboxes");
	_cleanup_free_ char *run = home_path(&f->home, "run");
	json_t *config = json_object();
	struct sandbox_row row;
	int lock = -1;

	assert_int_equal(rmdir(sandboxes), 0);
	assert_err(sandboxes_create(&f->db, &f->home, "box", "i", false, config, NULL, &row, &lock,
				    &f->e),
		   &f->e, ERR_SYSTEM);
	assert_int_equal(mkdir(sandboxes, 0700), 0);
	assert_int_equal(count(f), 0);
	assert_int_equal(rmdir(run), 0); /* empty */
	assert_int_equal(mkdir(run, 0700), 0);
	json_decref(config);
	create_and_forget(f, "box", false);
}

/* Files under a name that no row has are what a crash left. */
static void test_leftovers_are_replaced(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *dir = home_path(&f->home, "sandboxes/box/logs/old");
	_cleanup_free_ char *file = home_path(&f->home, "sandboxes/box/end.json");

	assert_int_equal(mkdir_p(dir, 0700), 0);
	put_file(file, "{}");
	create_and_forget(f, "box", false);
	assert_false(path_exists(dir));
	assert_false(path_exists(file));
}

static int create_race(const struct fixture *f, int i)
{
	struct db db;
	struct sandbox_row row;
	struct err e = {0};
	json_t *config = json_object();
	int lock, r;

	if (db_open(&db, &f->home, &e) < 0)
		return 3;
	r = sandboxes_create(&db, &f->home, "box", "i", false, config, NULL, &row, &lock, &e);
	if (r < 0)
		return e.code == ERR_EXISTS ? 1 : 2;
	return 0;
}

static void test_one_creator_wins(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < 5; round++) {
		struct sandbox_row row;
		int lock;

		/* The number of those who say so; the children end with their locks. */
		assert_int_equal(count_children(6, create_race, f, 0), 1);
		assert_int_equal(count(f), 1);
		assert_int_equal(count_children(6, create_race, f, 1), 6);
		assert_ok(get(f, "box", &row), &f->e);
		lock = sandboxes_lock(&f->home, &row, &f->e);
		assert_true(lock >= 0);
		assert_ok(sandboxes_delete(&f->db, &f->home, &row, &f->e), &f->e);
		close(lock);
		sandbox_row_release(&row);
	}
}

/* --- liveness ------------------------------------------------------------------------------ */

/* A process that holds a run lock until its end is asked for, as a monitor does. */
struct holder {
	pid_t pid;
	int gate;
};

/* Takes over `lock`: afterwards only the child has it. */
static struct holder hold(int lock)
{
	struct holder h;
	int gate[2];

	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	h.pid = fork();
	if (h.pid == 0) {
		char c;

		close(gate[1]);
		_exit(read(gate[0], &c, 1) != 0);
	}
	close(lock);
	close(gate[0]);
	h.gate = gate[1];
	return h;
}

static void let_go(struct holder *h)
{
	close(h->gate);
	assert_int_equal(child_status(h->pid), 0);
}

/* A named sandbox recorded as running, whose lock is in the returned holder. */
static struct holder start(struct fixture *f, const char *name)
{
	int lock;
	struct sandbox_row row = create(f, name, false, &lock);

	assert_ok(sandboxes_set_status(&f->db, &row, SANDBOX_RUNNING, NULL, &f->e), &f->e);
	sandbox_row_release(&row);
	return hold(lock);
}

static void test_running_while_locked(void **state)
{
	struct fixture *f = *state;
	struct holder h = start(f, "box");
	struct sandbox_row row;

	assert_status(f, "box", SANDBOX_RUNNING, NULL);
	assert_int_equal(count(f), 1);
	assert_ok(get(f, "box", &row), &f->e);
	assert_err(sandboxes_lock(&f->home, &row, &f->e), &f->e, ERR_BUSY);
	sandbox_row_release(&row);
	let_go(&h);
	/* Its owner left no word. */
	assert_status(f, "box", SANDBOX_CRASHED, NULL);
	assert_status(f, "box", SANDBOX_CRASHED, NULL);
}

static void test_paused(void **state)
{
	struct fixture *f = *state;
	struct holder h = start(f, "box");
	struct sandbox_query q = {.running = true};
	struct sandbox_row row, *rows;
	_cleanup_free_ char *path = NULL;
	size_t n;

	assert_ok(get(f, "box", &row), &f->e);
	assert_true(sandbox_is_up(&row));
	assert_ok(sandbox_check_not_paused(&row, &f->e), &f->e);
	path = home_path(&f->home, "run/%lld/paused", (long long)row.id);
	sandbox_row_release(&row);

	/* The monitor's word for it. */
	assert_int_equal(write_file_atomic(AT_FDCWD, path, "", 0, 0600), 0);
	assert_status(f, "box", SANDBOX_PAUSED, NULL);
	assert_ok(sandboxes_list(&f->db, &f->home, &q, &rows, &n, &f->e), &f->e);
	assert_int_equal(n, 1);
	assert_int_equal(rows[0].status, SANDBOX_PAUSED);
	assert_true(sandbox_is_up(&rows[0]));
	assert_err(sandbox_check_not_paused(&rows[0], &f->e), &f->e, ERR_STATE);
	sandbox_rows_free(rows, n);

	/* It is worth nothing without the monitor. */
	let_go(&h);
	assert_status(f, "box", SANDBOX_CRASHED, NULL);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_owner_was_killed(void **state)
{
	struct fixture *f = *state;
	struct holder h = start(f, "box");
	int status;

	assert_int_equal(kill(h.pid, SIGKILL), 0);
	assert_int_equal(waitpid(h.pid, &status, 0), h.pid);
	close(h.gate);
	assert_status(f, "box", SANDBOX_CRASHED, NULL);
}

static void test_repair_from_end_file(void **state)
{
	static const struct {
		const char *text;
		enum sandbox_status status;
		const char *reason;
	} cases[] = {
		{"{\"status\":\"Stopped\",\"reason\":\"stop requested\"}", SANDBOX_STOPPED,
		 "stop requested"},
		{"{\"status\":\"Failed\",\"reason\":\"no kernel\",\"x\":1}", SANDBOX_FAILED,
		 "no kernel"},
		{"{\"status\":\"Stopped\"}", SANDBOX_STOPPED, NULL},
		{"{\"status\":\"Molten\",\"reason\":\"r\"}", SANDBOX_CRASHED, "r"},
		/* Half written, empty, of another kind: as if there were none. */
		{"{\"status\":\"Stop", SANDBOX_CRASHED, NULL},
		{"", SANDBOX_CRASHED, NULL},
		{"[]", SANDBOX_CRASHED, NULL},
		{"{\"status\":7}", SANDBOX_CRASHED, NULL},
		{"{\"reason\":\"r\"}", SANDBOX_CRASHED, NULL},
		/* It cannot be running: nobody holds the lock. */
		{"{\"status\":\"Running\"}", SANDBOX_CRASHED, NULL},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *name = xasprintf("box%zu", i);
		_cleanup_free_ char *end = home_path(&f->home, "sandboxes/%s/end.json", name);
		struct holder h = start(f, name);

		put_file(end, cases[i].text);
		assert_status(f, name, SANDBOX_RUNNING, NULL);
		let_go(&h);
		assert_status(f, name, cases[i].status, cases[i].reason);
		/* It is in the database now: the file is not needed any more. */
		assert_int_equal(unlink(end), 0);
		assert_status(f, name, cases[i].status, cases[i].reason);
	}
}

/* The run directory may have gone with a reboot that emptied it, or by hand. */
static void test_repair_without_run_directory(void **state)
{
	struct fixture *f = *state;
	struct holder h = start(f, "box");
	_cleanup_free_ char *run = home_path(&f->home, "run");

	let_go(&h);
	assert_int_equal(remove_tree(AT_FDCWD, run), 0);
	assert_int_equal(mkdir(run, 0700), 0);
	assert_status(f, "box", SANDBOX_CRASHED, NULL);
}

static void test_ephemeral_goes_away(void **state)
{
	struct fixture *f = *state;
	int lock;
	struct sandbox_row made = create(f, "box", true, &lock), row;
	_cleanup_free_ char *dir = sandbox_dir(&f->home, "box");
	_cleanup_free_ char *run = sandbox_run_dir(&f->home, made.id);
	struct holder h = hold(lock);

	sandbox_row_release(&made);
	assert_status(f, "box", SANDBOX_RUNNING, NULL);
	assert_int_equal(count(f), 1);
	let_go(&h);
	assert_err(get(f, "box", &row), &f->e, ERR_NOT_FOUND);
	assert_false(path_exists(dir));
	assert_false(path_exists(run));
	assert_int_equal(count(f), 0);
}

static void test_list(void **state)
{
	struct fixture *f = *state;
	struct holder z = start(f, "z"), a = start(f, "a");
	struct sandbox_row *rows;
	size_t n;

	create_and_forget(f, "m", false);
	create_and_forget(f, "gone", true);
	let_go(&a);
	assert_ok(sandboxes_list(&f->db, &f->home, &everything, &rows, &n, &f->e), &f->e);
	assert_int_equal(n, 3);
	assert_string_equal(rows[0].name, "z"); /* in the order of creation */
	assert_int_equal(rows[0].status, SANDBOX_RUNNING);
	assert_string_equal(rows[1].name, "a");
	assert_int_equal(rows[1].status, SANDBOX_CRASHED);
	assert_string_equal(rows[2].name, "m");
	assert_int_equal(rows[2].status, SANDBOX_CREATED);
	sandbox_rows_free(rows, n);
	let_go(&z);
	assert_int_equal(count(f), 3);
}

/* Listing removes what belongs to no row, and nothing else. */
/* Lists read no more than is asked for. */
static void test_list_parts(void **state)
{
	struct fixture *f = *state;
	struct sandbox_query q = {.by_name = true};
	struct sandbox_row *rows;
	size_t n;

	create_and_forget(f, "z", false);
	create_and_forget(f, "a", false);
	assert_ok(sandboxes_list(&f->db, &f->home, &q, &rows, &n, &f->e), &f->e);
	assert_int_equal(n, 2);
	assert_string_equal(rows[0].name, "a");
	assert_null(rows[0].config);
	assert_null(rows[0].labels);
	sandbox_rows_free(rows, n);

	q = (struct sandbox_query){.name = "a", .config = CONFIG_SETTINGS, .with_labels = true};
	assert_ok(sandboxes_list(&f->db, &f->home, &q, &rows, &n, &f->e), &f->e);
	assert_int_equal(n, 1);
	assert_null(json_object_get(rows[0].config, "image"));
	assert_int_equal(json_integer_value(json_object_get(rows[0].config, "cpus")), 2);
	assert_true(json_is_object(rows[0].labels));
	sandbox_rows_free(rows, n);

	q = (struct sandbox_query){.config = CONFIG_WHOLE, .running = true};
	assert_ok(sandboxes_list(&f->db, &f->home, &q, &rows, &n, &f->e), &f->e);
	assert_int_equal(n, 0);
	sandbox_rows_free(rows, n);
	q.running = false;
	assert_ok(sandboxes_list(&f->db, &f->home, &q, &rows, &n, &f->e), &f->e);
	assert_int_equal(n, 2);
	assert_true(json_is_null(json_object_get(rows[0].config, "image")));
	sandbox_rows_free(rows, n);
}

static void test_list_sweeps_strays(void **state)
{
	struct fixture *f = *state;
	struct holder h = start(f, "box");
	_cleanup_free_ char *dir = home_path(&f->home, "sandboxes/stray/logs");
	_cleanup_free_ char *run = home_path(&f->home, "run/4711");
	_cleanup_free_ char *held = home_path(&f->home, "run/4712");
	_cleanup_free_ char *lock_path = xasprintf("%s/lock", held);
	_cleanup_free_ char *logs = home_path(&f->home, "sandboxes/box/logs");
	_cleanup_close_ int lock = -1;

	assert_int_equal(mkdir_p(dir, 0700), 0);
	assert_int_equal(mkdir(run, 0700), 0);
	assert_int_equal(mkdir(held, 0700), 0);
	lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(flock(lock, LOCK_EX), 0);
	assert_int_equal(count(f), 1);
	assert_false(path_exists(dir));
	assert_false(path_exists(run));
	assert_true(path_exists(lock_path)); /* somebody is at it */
	assert_true(path_exists(logs));
	assert_status(f, "box", SANDBOX_RUNNING, NULL);
	let_go(&h);
}

static int repair_race(const struct fixture *f, int i)
{
	struct db db;
	struct err e = {0};
	struct sandbox_row *rows;
	size_t n;

	if (db_open(&db, &f->home, &e) < 0 ||
	    sandboxes_list(&db, &f->home, &everything, &rows, &n, &e) < 0) {
		print_error("%s: %s\n", err_code_name(e.code), e.msg);
		return 1;
	}
	return 0;
}

/* Several commands find the same dead sandboxes. */
static void test_concurrent_repair(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 6; i++) {
		_cleanup_free_ char *name = xasprintf("named%d", i);
		struct holder h = start(f, name);

		create_and_forget(f, NULL, true);
		let_go(&h);
	}
	assert_int_equal(count_children(6, repair_race, f, 0), 6);
	assert_int_equal(count(f), 6);
	assert_status(f, "named3", SANDBOX_CRASHED, NULL);
}

static void test_delete(void **state)
{
	struct fixture *f = *state;
	struct sandbox_row row = create(f, "box", false, NULL);
	_cleanup_free_ char *dir = sandbox_dir(&f->home, "box");
	_cleanup_free_ char *run = sandbox_run_dir(&f->home, row.id);
	_cleanup_free_ char *file = xasprintf("%s/upper.ext4", dir);
	int lock = sandboxes_lock(&f->home, &row, &f->e);

	put_file(file, "x");
	assert_true(lock >= 0);
	assert_ok(sandboxes_delete(&f->db, &f->home, &row, &f->e), &f->e);
	assert_false(path_exists(dir));
	assert_false(path_exists(run));
	assert_ok(sandboxes_delete(&f->db, &f->home, &row, &f->e), &f->e); /* no harm */
	close(lock);
	sandbox_row_release(&row);
	assert_int_equal(count(f), 0);
	/* A new one of the same name is another one. */
	create_and_forget(f, "box", false);
}

/* A process that dies in the middle of sandboxes_delete, before or after the row went. */
static void test_half_deleted(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *lost = home_path(&f->home, "sandboxes/lost");
	_cleanup_free_ char *lost_disk = xasprintf("%s/upper.ext4", lost);

	assert_int_equal(mkdir(lost, 0700), 0);
	put_file(lost_disk, "of a database that is gone");
	for (int row_goes = 0; row_goes < 2; row_goes++) {
		struct sandbox_row row = create(f, "box", false, NULL);
		_cleanup_free_ char *dir = sandbox_dir(&f->home, "box");
		_cleanup_free_ char *disk = xasprintf("%s/upper.ext4", dir);
		_cleanup_free_ char *mark = xasprintf("%s/" SANDBOX_REMOVED_MARK, dir);

		put_file(disk, "x");
		put_file(mark, "");
		if (row_goes)
			assert_ok(db_run(&f->db, &f->e, "DELETE FROM sandboxes", ""), &f->e);
		assert_int_equal(count(f), !row_goes);
		assert_int_equal(path_exists(disk), !row_goes);
		assert_true(path_exists(lost_disk));
		if (!row_goes) {
			sandboxes_unmark(&f->home, &row);
			assert_false(path_exists(mark));
			assert_true(path_exists(disk));
			assert_ok(sandboxes_delete(&f->db, &f->home, &row, &f->e), &f->e);
		}
		sandbox_row_release(&row);
	}
}

/* Whoever makes one step by step may die in between. */
static void test_keep(void **state)
{
	struct fixture *f = *state;
	struct sandbox_row row = create(f, "box", true, NULL);

	sandbox_row_release(&row);
	assert_int_equal(count(f), 0);
	row = create(f, "box", true, NULL);
	assert_ok(sandboxes_keep(&f->db, &row, &f->e), &f->e);
	assert_false(row.ephemeral);
	assert_int_equal(row.status, SANDBOX_CREATED);
	sandbox_row_release(&row);
	assert_int_equal(count(f), 1);
	assert_status(f, "box", SANDBOX_CREATED, NULL);
}

static void test_wait_unlocked(void **state)
{
	struct fixture *f = *state;
	struct holder h = start(f, "box");
	_cleanup_free_ char *run = NULL;
	struct sandbox_row row;
	int lock;

	assert_ok(get(f, "box", &row), &f->e);
	close(h.gate); /* the owner goes, sooner or later */
	assert_ok(sandboxes_wait_unlocked(&f->home, &row, &f->e), &f->e);
	lock = sandboxes_lock(&f->home, &row, &f->e);
	assert_true(lock >= 0);
	close(lock);
	assert_int_equal(child_status(h.pid), 0);
	run = sandbox_run_dir(&f->home, row.id);
	assert_int_equal(remove_tree(AT_FDCWD, run), 0);
	assert_ok(sandboxes_wait_unlocked(&f->home, &row, &f->e), &f->e);
	sandbox_row_release(&row);
}

static void test_lock_wait(void **state)
{
	struct fixture *f = *state;
	struct holder h = start(f, "box");
	struct sandbox_row row;
	int lock;

	assert_ok(get(f, "box", &row), &f->e);
	close(h.gate); /* the owner goes, sooner or later */
	lock = sandboxes_lock_wait(&f->home, &row, &f->e);
	assert_true(lock >= 0);
	assert_int_equal(child_status(h.pid), 0);
	assert_err(sandboxes_lock(&f->home, &row, &f->e), &f->e, ERR_BUSY);
	/* Nobody notes the end any more: the lock shows it alive. */
	assert_status(f, "box", SANDBOX_RUNNING, NULL);
	close(lock);
	assert_status(f, "box", SANDBOX_CRASHED, NULL);
	sandbox_row_release(&row);
}

static void test_damaged_row(void **state)
{
	const struct sandbox_query whole = {.config = CONFIG_WHOLE};
	const struct sandbox_query settings = {.config = CONFIG_SETTINGS};
	struct fixture *f = *state;
	struct sandbox_row row, *rows;
	size_t n;

	create_and_forget(f, "good", false);
	create_and_forget(f, "box", false);
	assert_ok(db_run(&f->db, &f->e, "UPDATE sandboxes SET config = '{' WHERE name = 'box'", ""),
		  &f->e);
	assert_err(get(f, "box", &row), &f->e, ERR_CORRUPT);
	assert_err(sandboxes_list(&f->db, &f->home, &whole, &rows, &n, &f->e), &f->e, ERR_CORRUPT);
	assert_err(sandboxes_list(&f->db, &f->home, &settings, &rows, &n, &f->e), &f->e,
		   ERR_CORRUPT);
	assert_int_equal(count(f), 2); /* which needs no configuration */
	assert_status(f, "good", SANDBOX_CREATED, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		home_test(test_create_and_get),
		home_test(test_automatic_names),
		home_test(test_network_slots),
		home_test(test_network_slots_run_out),
		home_test(test_duplicate),
		home_test(test_create_fails_clean),
		home_test(test_leftovers_are_replaced),
		home_test(test_one_creator_wins),
		home_test(test_running_while_locked),
		home_test(test_paused),
		home_test(test_owner_was_killed),
		home_test(test_repair_from_end_file),
		home_test(test_repair_without_run_directory),
		home_test(test_ephemeral_goes_away),
		home_test(test_list),
		home_test(test_list_parts),
		home_test(test_list_sweeps_strays),
		home_test(test_concurrent_repair),
		home_test(test_delete),
		home_test(test_half_deleted),
		home_test(test_keep),
		home_test(test_wait_unlocked),
		home_test(test_lock_wait),
		home_test(test_damaged_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
