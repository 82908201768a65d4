/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The database: which sandboxes and images there are. One connection per command. It never says
 * by itself that a sandbox runs: src/state/sandboxes.c compares each row with the run lock.
 *
 * WAL with synchronous=NORMAL: a commit survives the death of any process; the last ones may be
 * lost in a power cut, which costs a name, never a consistent database.
 */
#pragma once

#include "base/err.h"
#include "state/home.h"

#include <sqlite3.h>

struct db {
	sqlite3 *conn;
	char *dir; /* where its files are */
};

/* Opens the database of a home, creating or migrating it to the current schema. 0 or -1. */
int db_open(struct db *db, const struct home *h, struct err *e);
void db_close(struct db *db);

/*
 * Prepares a statement and binds its arguments, one per character of `types`: s (const char *,
 * may be NULL), i (int64_t). NULL with the error set.
 */
sqlite3_stmt *db_prepare(struct db *db, struct err *e, const char *sql, const char *types, ...);
/* Binds one more argument, counted from 1, where their number is not known beforehand. 0 or -1. */
int db_bind_string(struct db *db, sqlite3_stmt *st, int i, const char *s, struct err *e);
/* 1: a row is there, 0: done, -1: the error is set. */
int db_step(struct db *db, sqlite3_stmt *st, struct err *e);
/* Prepares and runs a statement that returns no row. 0 or -1. */
int db_run(struct db *db, struct err *e, const char *sql, const char *types, ...);
/* An owned copy of a text column; NULL for SQL NULL. */
char *db_column_string(sqlite3_stmt *st, int column);

/* A transaction that takes the write lock at once; db_rollback after a commit does nothing. */
int db_begin(struct db *db, struct err *e);
int db_commit(struct db *db, struct err *e);
void db_rollback(struct db *db);

static inline void db_finalizep(sqlite3_stmt **st)
{
	sqlite3_finalize(*st);
}
#define _cleanup_stmt_ _cleanup_(db_finalizep)
