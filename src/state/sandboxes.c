/* SPDX-License-Identifier: Apache-2.0 */
#include "state/sandboxes.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "state/volumes.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

static const char *const status_names[] = {"Created", "Running", "Paused",
					   "Stopped", "Crashed", "Failed"};
static_assert(ARRAY_SIZE(status_names) == SANDBOX_STATUS_COUNT, "every status has a name");

#define END_FILE_MAX (64 * KIB)

void sandbox_row_release(struct sandbox_row *r)
{
	free(r->name);
	free(r->image);
	free(r->reason);
	json_decref(r->config);
	json_decref(r->labels);
	*r = (struct sandbox_row){0};
}

void sandbox_rows_free(struct sandbox_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sandbox_row_release(&rows[i]);
	free(rows);
}

const char *sandbox_status_name(enum sandbox_status s)
{
	return status_names[s];
}

bool sandbox_is_up(const struct sandbox_row *r)
{
	return r->status == SANDBOX_RUNNING || r->status == SANDBOX_PAUSED;
}

int sandbox_check_not_paused(const struct sandbox_row *r, struct err *e)
{
	if (r->status != SANDBOX_PAUSED)
		return 0;
	err_set(e, ERR_STATE, "sandbox is paused: %s", r->name);
	return err_hint(e, "msb resume %s", r->name);
}

static enum sandbox_status status_from_name(const char *name)
{
	for (unsigned i = 0; name && i < SANDBOX_STATUS_COUNT; i++)
		if (strcmp(status_names[i], name) == 0)
			return (enum sandbox_status)i;
	return SANDBOX_CRASHED;
}

int sandbox_name_check(const char *name, struct err *e)
{
	static const char alnum[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t n = strlen(name);

	if (n == 0 || n > SANDBOX_NAME_MAX)
		return err_set(e, ERR_INVALID, "sandbox name must have 1 to %d characters",
			       SANDBOX_NAME_MAX);
	if (!strchr(alnum, name[0]) || strspn(name, allowed) != n)
		return err_set(e, ERR_INVALID,
			       "sandbox name must start with an alphanumeric and contain only "
			       "alphanumeric, dots, hyphens, and underscores: '%s'",
			       name);
	return 0;
}

char *sandbox_dir(const struct home *h, const char *name)
{
	return home_path(h, "sandboxes/%s", name);
}

char *sandbox_run_dir(const struct home *h, int64_t id)
{
	return home_path(h, "run/%lld", (long long)id);
}

/* --- locks --------------------------------------------------------------------------------- */

/*
 * Opens and locks run/ID/lock. A descriptor, -EWOULDBLOCK when it is held and not to be waited
 * for, or -errno.
 */
static int lock_run_dir(const struct home *h, int64_t id, bool create, bool wait)
{
	_cleanup_free_ char *dir = sandbox_run_dir(h, id);
	_cleanup_free_ char *path = xasprintf("%s/lock", dir);
	_cleanup_free_ char *paused = xasprintf("%s/paused", dir);

	for (;;) {
		_cleanup_close_ int fd = -1;
		struct stat by_path, by_fd;

		if (create && mkdir(dir, 0700) < 0 && errno != EEXIST)
			return -errno;
		fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
		if (fd < 0 && errno == ENOENT && create)
			continue; /* somebody else just deleted the directory */
		if (fd < 0)
			return -errno;
		while (flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB) < 0)
			if (!wait || errno != EINTR)
				return -errno;
		/* Whoever held it before may have deleted the file with the sandbox. */
		if (stat(path, &by_path) == 0 && fstat(fd, &by_fd) == 0 &&
		    by_path.st_ino == by_fd.st_ino) {
			/* Nobody runs: who paused it died. */
			unlink(paused);
			return steal_fd(&fd);
		}
		if (!create)
			return -ENOENT;
	}
}

int sandboxes_lock(const struct home *h, const struct sandbox_row *row, struct err *e)
{
	int fd = lock_run_dir(h, row->id, true, false);

	if (fd == -EWOULDBLOCK)
		return err_set(e, ERR_BUSY, "sandbox still running: %s", row->name);
	if (fd < 0)
		return err_sys(e, -fd, "cannot lock sandbox '%s'", row->name);
	return fd;
}

int sandboxes_lock_wait(const struct home *h, const struct sandbox_row *row, struct err *e)
{
	int fd = lock_run_dir(h, row->id, true, true);

	return fd < 0 ? err_sys(e, -fd, "cannot lock sandbox '%s'", row->name) : fd;
}

int sandboxes_wait_unlocked(const struct home *h, const struct sandbox_row *row, struct err *e)
{
	_cleanup_free_ char *path = home_path(h, "run/%lld/lock", (long long)row->id);
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "cannot open '%s'", path);
	while (flock(fd, LOCK_SH) < 0)
		if (errno != EINTR)
			return err_sys(e, errno, "cannot wait for sandbox '%s'", row->name);
	return 0;
}

/* --- rows ---------------------------------------------------------------------------------- */

/* Configurations are long, and lists need none: what is not asked for is not read. */
static sqlite3_stmt *prepare_query(struct db *db, const struct sandbox_query *q, struct err *e)
{
	/* What is no JSON is passed on, to be found out by who parses it. */
	static const char *const configs[] = {
		[CONFIG_NOTHING] = "NULL",
		[CONFIG_SETTINGS] =
			"CASE WHEN json_valid(config) "
			"THEN json_remove(config, '$.image', '$.scripts') ELSE config END",
		[CONFIG_WHOLE] = "config",
	};
	static const char labels[] =
		"(SELECT json_group_object(key, value) FROM (SELECT key, value "
		"FROM sandbox_labels WHERE sandbox = sandboxes.id ORDER BY key))";
	_cleanup_free_ char *condition = labels_condition(q->labels);
	_cleanup_free_ char *sql = xasprintf(
		"SELECT id, name, image, ephemeral, status, reason, created_at, updated_at, "
		"%s, %s, net_slot FROM sandboxes WHERE 1%s%s%s ORDER BY %s",
		configs[q->config], q->with_labels ? labels : "NULL",
		q->name ? " AND name = ?" : "", condition,
		q->running ? " AND status = 'Running'" : "", q->by_name ? "name" : "id");
	sqlite3_stmt *st = db_prepare(db, e, sql, q->name ? "s" : "", q->name);

	if (st && labels_bind(db, st, q->name ? 2 : 1, q->labels, e) < 0) {
		sqlite3_finalize(st);
		return NULL;
	}
	return st;
}

/* Reads a column of JSON, if there is something in it. */
static int read_json(sqlite3_stmt *st, int column, json_t **ret, struct err *e)
{
	const char *text = (const char *)sqlite3_column_text(st, column);

	*ret = text ? json_loads(text, 0, NULL) : NULL;
	if (text && !*ret)
		return err_set(e, ERR_CORRUPT, "damaged sandbox record in the database");
	return 0;
}

static int read_row(sqlite3_stmt *st, struct sandbox_row *ret, struct err *e)
{
	*ret = (struct sandbox_row){
		.id = sqlite3_column_int64(st, 0),
		.ephemeral = sqlite3_column_int(st, 3) != 0,
		.status = status_from_name((const char *)sqlite3_column_text(st, 4)),
		.created_at = (uint64_t)sqlite3_column_int64(st, 6),
		.updated_at = (uint64_t)sqlite3_column_int64(st, 7),
		.net_slot = (unsigned)sqlite3_column_int(st, 10),
	};
	if (read_json(st, 8, &ret->config, e) < 0 || read_json(st, 9, &ret->labels, e) < 0) {
		sandbox_row_release(ret);
		return -1;
	}
	ret->name = db_column_string(st, 1);
	ret->image = db_column_string(st, 2);
	ret->reason = db_column_string(st, 5);
	return 0;
}

/* The lowest slot that is free, to be taken in the same transaction; 0 when there is none. */
static int find_slot(struct db *db, int64_t *ret, struct err *e)
{
	static const char sql[] =
		"SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM sandboxes WHERE net_slot = 1) THEN 1 "
		"ELSE (SELECT net_slot + 1 FROM sandboxes AS a WHERE net_slot IS NOT NULL AND "
		"NOT EXISTS (SELECT 1 FROM sandboxes AS b WHERE b.net_slot = a.net_slot + 1) "
		"ORDER BY net_slot LIMIT 1) END";
	_cleanup_stmt_ sqlite3_stmt *st = db_prepare(db, e, sql, "");

	if (!st || db_step(db, st, e) < 0)
		return -1;
	*ret = sqlite3_column_int64(st, 0);
	if (*ret > SANDBOX_SLOT_MAX)
		*ret = 0;
	return 0;
}

static int insert_row(struct db *db, const char *name, const char *image, bool ephemeral,
		      json_t *config, const struct strv *labels, int64_t slot, int64_t *ret_id,
		      struct err *e)
{
	_cleanup_free_ char *text = json_dumps(config, JSON_COMPACT);
	int64_t now = (int64_t)clock_real_ns();

	if (!text)
		return err_set(e, ERR_INVALID, "the configuration is not valid UTF-8");
	if (db_run(db, e,
		   "INSERT INTO sandboxes (name, image, ephemeral, config, status, created_at, "
		   "updated_at, net_slot) VALUES (?, ?, ?, ?, ?, ?, ?, nullif(?, 0))",
		   "ssissiii", name, image, (int64_t)ephemeral, text,
		   sandbox_status_name(ephemeral ? SANDBOX_RUNNING : SANDBOX_CREATED), now, now,
		   slot) < 0) {
		if (sqlite3_extended_errcode(db->conn) == SQLITE_CONSTRAINT_UNIQUE ||
		    sqlite3_errcode(db->conn) == SQLITE_CONSTRAINT)
			err_set(e, ERR_EXISTS, "sandbox already exists: %s", name);
		return -1;
	}
	*ret_id = sqlite3_last_insert_rowid(db->conn);
	return labels_put(db, *ret_id, labels, e) < 0 ? -1 : volumes_attach(db, *ret_id, config, e);
}

static char *random_name(void)
{
	uint32_t r = 0;

	if (getrandom(&r, sizeof(r), 0) != sizeof(r))
		r = (uint32_t)clock_mono_ns();
	return xasprintf("msb-%08x", r);
}

int sandboxes_create(struct db *db, const struct home *h, const char *name, const char *image,
		     bool ephemeral, json_t *config, const struct strv *labels,
		     struct sandbox_row *ret, int *ret_lock, struct err *e)
{
	_cleanup_free_ char *own_name = NULL, *dir = NULL, *logs = NULL;
	_cleanup_close_ int lock = -1;
	int64_t id = 0, slot;
	int r;

	if (db_begin(db, e) < 0)
		return -1;
	if (find_slot(db, &slot, e) < 0)
		goto fail;
	do {
		free(own_name);
		own_name = name ? xstrdup(name) : random_name();
		r = insert_row(db, own_name, image, ephemeral, config, labels, slot, &id, e);
	} while (r < 0 && e->code == ERR_EXISTS && !name);
	if (r < 0)
		goto fail;
	/* The row becomes visible only now that the lock proves it alive. */
	lock = lock_run_dir(h, id, true, false);
	if (lock < 0) {
		err_sys(e, -lock, "cannot make the run directory of sandbox '%s'", own_name);
		goto fail;
	}
	dir = sandbox_dir(h, own_name);
	logs = xasprintf("%s/logs", dir);
	/* What a crash left under a name that no row has is nobody's. */
	if (access(dir, F_OK) == 0)
		sandbox_remove_dir(dir);
	if (mkdir(dir, 0700) < 0 || mkdir(logs, 0700) < 0) {
		err_sys(e, errno, "cannot make '%s'", logs);
		goto fail;
	}
	if (db_commit(db, e) < 0)
		goto fail;
	*ret = (struct sandbox_row){
		.id = id,
		.name = steal_ptr(&own_name),
		.image = xstrdup(image),
		.ephemeral = ephemeral,
		.net_slot = (unsigned)slot,
		.config = json_incref(config),
		.status = ephemeral ? SANDBOX_RUNNING : SANDBOX_CREATED,
		.created_at = clock_real_ns(),
		.updated_at = clock_real_ns(),
	};
	*ret_lock = steal_fd(&lock);
	return 0;
fail:
	if (lock >= 0) {
		_cleanup_free_ char *run = sandbox_run_dir(h, id);

		remove_tree(AT_FDCWD, run);
	}
	if (dir)
		remove_tree(AT_FDCWD, dir);
	db_rollback(db);
	return -1;
}

int sandboxes_set_status(struct db *db, const struct sandbox_row *row, enum sandbox_status status,
			 const char *reason, struct err *e)
{
	return db_run(
		db, e, "UPDATE sandboxes SET status = ?, reason = ?, updated_at = ? WHERE id = ?",
		"ssii", sandbox_status_name(status), reason, (int64_t)clock_real_ns(), row->id);
}

int sandboxes_keep(struct db *db, struct sandbox_row *row, struct err *e)
{
	if (db_run(db, e, "UPDATE sandboxes SET ephemeral = 0, status = ? WHERE id = ?", "si",
		   sandbox_status_name(SANDBOX_CREATED), row->id) < 0)
		return -1;
	row->ephemeral = false;
	row->status = SANDBOX_CREATED;
	return 0;
}

int sandbox_remove_dir(const char *dir)
{
	_cleanup_free_ char *disk = xasprintf("%s/upper.ext4", dir);

	/* First of all, while there may be a mark that says so: alone it would be kept for ever. */
	unlink(disk);
	return remove_tree(AT_FDCWD, dir);
}

/* So that sandboxes_sweep knows that the disk is not to be kept. A full disk may refuse it. */
static void mark_removed(const char *dir)
{
	_cleanup_free_ char *path = xasprintf("%s/" SANDBOX_REMOVED_MARK, dir);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

void sandboxes_unmark(const struct home *h, const struct sandbox_row *row)
{
	_cleanup_free_ char *path = home_path(h, "sandboxes/%s/" SANDBOX_REMOVED_MARK, row->name);

	unlink(path);
}

int sandboxes_delete(struct db *db, const struct home *h, const struct sandbox_row *row,
		     struct err *e)
{
	_cleanup_free_ char *dir = sandbox_dir(h, row->name);
	_cleanup_free_ char *run = sandbox_run_dir(h, row->id);
	int r = 0;

	/*
	 * As long as a row names it, nothing may be missing. Of an ephemeral one nothing matters,
	 * and without the lock of its name the directory might soon be another's.
	 */
	if (row->ephemeral)
		r = remove_tree(AT_FDCWD, dir);
	else
		mark_removed(dir);
	if (r < 0)
		return err_sys(e, -r, "cannot remove '%s'", dir);
	if (db_run(db, e, "DELETE FROM sandboxes WHERE id = ?", "i", row->id) < 0)
		return -1;
	if (!row->ephemeral)
		r = sandbox_remove_dir(dir);
	if (r < 0)
		return err_sys(e, -r, "cannot remove '%s'", dir);
	/* Last, since it holds the lock: until here nobody else takes the row for abandoned. */
	r = remove_tree(AT_FDCWD, run);
	if (r == -ENOTEMPTY) /* another command made the lock anew: its turn to find no row */
		r = 0;
	return r < 0 ? err_sys(e, -r, "cannot remove '%s'", run) : 0;
}

/* --- repair -------------------------------------------------------------------------------- */

json_t *sandbox_read_end(const struct home *h, const struct sandbox_row *row)
{
	_cleanup_free_ char *path = home_path(h, "sandboxes/%s/end.json", row->name);
	_cleanup_free_ char *text = NULL;

	if (read_file(AT_FDCWD, path, END_FILE_MAX, &text, NULL) < 0)
		return NULL;
	return json_loads(text, 0, NULL);
}

/* Takes over what the monitor wrote when it ended. */
static void read_end(const struct home *h, const struct sandbox_row *row,
		     enum sandbox_status *status, char **reason)
{
	json_t *j = sandbox_read_end(h, row);
	const char *s = NULL, *why = NULL;

	*status = SANDBOX_CRASHED;
	*reason = NULL;
	if (j && json_unpack(j, "{s:s, s?s}", "status", &s, "reason", &why) == 0) {
		*status = status_from_name(s);
		if (*status < SANDBOX_STOPPED) /* whatever it says, that is no end */
			*status = SANDBOX_CRASHED;
		*reason = why ? xstrdup(why) : NULL;
	}
	json_decref(j);
}

/* What the monitor says that holds the lock. */
static bool is_paused(const struct home *h, const struct sandbox_row *row)
{
	_cleanup_free_ char *path = home_path(h, "run/%lld/paused", (long long)row->id);

	return access(path, F_OK) == 0;
}

/*
 * Reads again what may have changed until the lock was there. 1, 0 when there is no such row, or
 * -1.
 */
static int reread(struct db *db, struct sandbox_row *row, struct err *e)
{
	_cleanup_stmt_ sqlite3_stmt *st = db_prepare(
		db, e, "SELECT status, reason, ephemeral, updated_at FROM sandboxes WHERE id = ?",
		"i", row->id);
	int r = st ? db_step(db, st, e) : -1;

	if (r <= 0)
		return r;
	row->status = status_from_name((const char *)sqlite3_column_text(st, 0));
	free(row->reason);
	row->reason = db_column_string(st, 1);
	row->ephemeral = sqlite3_column_int(st, 2) != 0;
	row->updated_at = (uint64_t)sqlite3_column_int64(st, 3);
	return 1;
}

/* Notes the end of a sandbox whose lock nobody had; results as for repair_row. */
static int repair_locked(struct db *db, const struct home *h, struct sandbox_row *row,
			 struct err *e)
{
	_cleanup_free_ char *reason = NULL;
	enum sandbox_status status;
	int r = reread(db, row, e);

	if (r == 0) {
		/* Deleted by another, so what was made to lock it is nobody's. */
		_cleanup_free_ char *run = sandbox_run_dir(h, row->id);

		remove_tree(AT_FDCWD, run);
	}
	if (r <= 0 || row->status != SANDBOX_RUNNING)
		return r;
	if (row->ephemeral)
		return sandboxes_delete(db, h, row, e);
	read_end(h, row, &status, &reason);
	if (sandboxes_set_status(db, row, status, reason, e) < 0)
		return -1;
	row->status = status;
	free(row->reason);
	row->reason = steal_ptr(&reason);
	return 1;
}

/*
 * Brings a row that says running into line with the lock. Returns 1 when the row is to be shown
 * (perhaps changed), 0 when the sandbox is gone, -1 on an error.
 */
static int repair_row(struct db *db, const struct home *h, struct sandbox_row *row, struct err *e)
{
	_cleanup_close_ int lock = -1;

	if (row->status != SANDBOX_RUNNING)
		return 1;
	lock = lock_run_dir(h, row->id, false, false);
	if (lock == -ENOENT)
		lock = lock_run_dir(h, row->id, true, false);
	if (lock == -EWOULDBLOCK) {
		if (is_paused(h, row))
			row->status = SANDBOX_PAUSED;
		return 1;
	}
	if (lock < 0)
		return err_sys(e, -lock, "cannot lock '%s'", row->name);
	return repair_locked(db, h, row, e);
}

int sandboxes_get(struct db *db, const struct home *h, const char *name, struct sandbox_row *ret,
		  struct err *e)
{
	const struct sandbox_query q = {.name = name, .config = CONFIG_WHOLE, .with_labels = true};
	_cleanup_stmt_ sqlite3_stmt *st = prepare_query(db, &q, e);
	int r = st ? db_step(db, st, e) : -1;

	if (r > 0) {
		r = read_row(st, ret, e);
		sqlite3_reset(st);
		if (r == 0) {
			r = repair_row(db, h, ret, e);
			if (r <= 0)
				sandbox_row_release(ret);
		}
	}
	if (r == 0)
		return err_set(e, ERR_NOT_FOUND, "sandbox not found: %s", name);
	return r < 0 ? -1 : 0;
}

int sandboxes_list(struct db *db, const struct home *h, const struct sandbox_query *q,
		   struct sandbox_row **ret, size_t *ret_n, struct err *e)
{
	_cleanup_stmt_ sqlite3_stmt *st = prepare_query(db, q, e);
	struct sandbox_row *rows = NULL;
	size_t n = 0, kept = 0;
	int r = -1;

	while (st && (r = db_step(db, st, e)) > 0) {
		rows = xreallocarray(rows, n + 1, sizeof(*rows));
		r = read_row(st, &rows[n], e);
		if (r < 0)
			break;
		n++;
	}
	/* Repair writes, so it waits until the reading is done. */
	if (st)
		sqlite3_reset(st);
	for (size_t i = 0; i < n; i++) {
		int keep = r < 0 ? 0 : repair_row(db, h, &rows[i], e);

		if (keep < 0)
			r = -1;
		if (keep > 0)
			rows[kept++] = rows[i];
		else
			sandbox_row_release(&rows[i]);
	}
	if (r < 0) {
		sandbox_rows_free(rows, kept);
		return -1;
	}
	/* Only who has seen every row can tell what has none. */
	if (!q->name && !q->running && !(q->labels && q->labels->n))
		sandboxes_sweep(db, h, rows, kept);
	*ret = rows;
	*ret_n = kept;
	return 0;
}
