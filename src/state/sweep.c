/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories without a row: what is left when a process dies between making a sandbox's
 * directories and committing its row, or between deleting the row and the last directory.
 * A directory with a writable disk is neither (the disk is made after the row, and what is to be
 * deleted after it is marked as such): it belongs to a database that was lost or moved away, and
 * is not touched.
 */
#include "state/name_lock.h"
#include "state/sandboxes.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

/* Collects names below `folder` that are no keys of `known`. */
static void find_strays(const struct home *h, const char *folder, json_t *known, struct strv *ret)
{
	_cleanup_free_ char *path = home_path(h, "%s", folder);
	DIR *dir = opendir(path);
	const struct dirent *de;

	if (!dir)
		return;
	while ((de = readdir(dir)))
		if (de->d_name[0] != '.' && !json_object_get(known, de->d_name))
			strv_add(ret, de->d_name);
	closedir(dir);
}

static bool row_exists(struct db *db, const char *column, const char *value)
{
	_cleanup_free_ char *sql = xasprintf("SELECT 1 FROM sandboxes WHERE %s = ?", column);
	_cleanup_stmt_ sqlite3_stmt *st = db_prepare(db, NULL, sql, "s", value);

	/* In doubt it exists. */
	return !st || db_step(db, st, NULL) != 0;
}

/* Whether some process holds the lock of a run directory. */
static bool is_locked(const struct home *h, const char *id)
{
	_cleanup_free_ char *path = home_path(h, "run/%s/lock", id);
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0;
}

static bool has_disk(const struct home *h, const char *name)
{
	_cleanup_free_ char *path = home_path(h, "sandboxes/%s/upper.ext4", name);
	_cleanup_free_ char *mark = home_path(h, "sandboxes/%s/" SANDBOX_REMOVED_MARK, name);

	return access(path, F_OK) == 0 && access(mark, F_OK) < 0;
}

void sandboxes_sweep(struct db *db, const struct home *h, const struct sandbox_row *rows, size_t n)
{
	json_t *names = json_object(), *ids = json_object();
	struct strv dirs = {0}, runs = {0};

	for (size_t i = 0; i < n; i++) {
		char id[24];

		snprintf(id, sizeof(id), "%lld", (long long)rows[i].id);
		json_object_set_new(names, rows[i].name, json_true());
		json_object_set_new(ids, id, json_true());
	}
	json_object_set_new(ids, "locks", json_true()); /* those of name_lock.h */
	name_locks_sweep(h);
	find_strays(h, "sandboxes", names, &dirs);
	find_strays(h, "run", ids, &runs);
	/* Under the write lock no sandbox is being made, so that what has no row never gets one. */
	if ((dirs.n || runs.n) && db_begin(db, NULL) == 0) {
		for (size_t i = 0; i < runs.n; i++) {
			_cleanup_free_ char *run = home_path(h, "run/%s", runs.v[i]);

			if (!row_exists(db, "id", runs.v[i]) && !is_locked(h, runs.v[i]))
				remove_tree(AT_FDCWD, run);
		}
		for (size_t i = 0; i < dirs.n; i++) {
			_cleanup_free_ char *dir = sandbox_dir(h, dirs.v[i]);

			if (!row_exists(db, "name", dirs.v[i]) && !has_disk(h, dirs.v[i]))
				sandbox_remove_dir(dir);
		}
		db_rollback(db);
	}
	strv_release(&dirs);
	strv_release(&runs);
	json_decref(names);
	json_decref(ids);
}
