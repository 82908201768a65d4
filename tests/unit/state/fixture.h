/* SPDX-License-Identifier: Apache-2.0 */
/* A home directory of the test's own, with its database open. */
#pragma once

#include "../testing.h"

#include "state/db.h"

struct fixture {
	char *dir;
	struct home home;
	struct db db;
	struct err e;
};

static inline int fixture_setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	*state = f;
	if (temp_setup((void **)&f->dir) < 0)
		return -1;
	setenv("MSB_HOME", f->dir, 1);
	return home_init(&f->home, &f->e) < 0 ? -1 : db_open(&f->db, &f->home, &f->e);
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	void *dir = f->dir;

	db_close(&f->db);
	home_release(&f->home);
	free(f);
	return temp_teardown(&dir);
}

#define home_test(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

/* Fails with the message of the error. */
static inline void assert_ok(int r, const struct err *e)
{
	if (r < 0)
		fail_msg("%s: %s", err_code_name(e->code), e->msg);
}

/* A failure for the reason that was meant, and with something to say. */
static inline void assert_err(int r, struct err *e, enum err_code code)
{
	assert_int_equal(r, -1);
	assert_string_equal(err_code_name(e->code), err_code_name(code));
	assert_true(e->msg[0] != '\0');
	*e = (struct err){0};
}

/*
 * Starts processes that wait for each other before they call `fn`, each with a connection of its
 * own to be opened by `fn`; counts how many returned `status`.
 */
static inline int count_children(int n, int (*fn)(const struct fixture *f, int i),
				 const struct fixture *f, int status)
{
	pid_t pids[16];
	int gate[2], count = 0;

	assert_true(n <= (int)ARRAY_SIZE(pids));
	assert_int_equal(pipe(gate), 0);
	for (int i = 0; i < n; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			char c;

			close(gate[1]);
			if (read(gate[0], &c, 1) != 0) /* end of file: all are there */
				_exit(99);
			_exit(fn(f, i));
		}
	}
	close(gate[0]);
	close(gate[1]);
	for (int i = 0; i < n; i++)
		count += child_status(pids[i]) == status;
	return count;
}
