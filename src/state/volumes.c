/* SPDX-License-Identifier: Apache-2.0 */
#include "state/volumes.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/copy_file.h"
#include "base/io.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define DISK_NAME "disk.raw"
#define GONE      ".gone-" /* what may be deleted at any time */

static const char *const kind_names[] = {"dir", "disk"};
static_assert(ARRAY_SIZE(kind_names) == VOLUME_KIND_COUNT, "every kind has a name");

void volume_row_release(struct volume_row *r)
{
	free(r->name);
	json_decref(r->labels);
	strv_release(&r->users);
	*r = (struct volume_row){0};
}

void volume_rows_free(struct volume_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		volume_row_release(&rows[i]);
	free(rows);
}

const char *volume_kind_name(enum volume_kind k)
{
	return kind_names[k];
}

int volume_kind_parse(const char *s, enum volume_kind *ret)
{
	for (unsigned i = 0; i < VOLUME_KIND_COUNT; i++) {
		if (strcmp(s, kind_names[i]) == 0) {
			*ret = (enum volume_kind)i;
			return 0;
		}
	}
	return -EINVAL;
}

int volume_name_check(const char *name, struct err *e)
{
	static const char alnum[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t n = strlen(name);

	if (n == 0 || n > VOLUME_NAME_MAX)
		return err_set(e, ERR_INVALID, "volume name must have 1 to %d characters",
			       VOLUME_NAME_MAX);
	if (!strchr(alnum, name[0]) || strspn(name, allowed) != n)
		return err_set(e, ERR_INVALID,
			       "volume name must start with an alphanumeric and contain only "
			       "alphanumeric, dots, hyphens, and underscores: '%s'",
			       name);
	return 0;
}

int volume_size_check(enum volume_kind kind, uint64_t size, struct err *e)
{
	uint64_t max = kind == VOLUME_DISK ? VOLUME_DISK_MAX : VOLUME_SIZE_MAX;

	if (size > max)
		return err_set(e, ERR_INVALID, "a volume of the kind %s can have at most %llu TiB",
			       kind_names[kind], (unsigned long long)(max / GIB / 1024));
	if (kind == VOLUME_DISK && size && size < VOLUME_DISK_MIN)
		return err_set(e, ERR_INVALID,
			       "a disk of %llu MiB is too small for ext4 (at least %llu MiB)",
			       (unsigned long long)(size / MIB), VOLUME_DISK_MIN / MIB);
	return 0;
}

/* --- directories --------------------------------------------------------------------------- */

static char *volume_dir(const struct home *h, const char *name)
{
	return home_path(h, "volumes/%s", name);
}

/* Where a volume's directory is while it comes and goes. */
static char *staged_dir(const struct home *h, int64_t id)
{
	return home_path(h, "volumes/.%lld", (long long)id);
}

char *volume_path(const struct home *h, const char *name, enum volume_kind kind)
{
	return kind == VOLUME_DIR ? volume_dir(h, name)
				  : home_path(h, "volumes/%s/" DISK_NAME, name);
}

uint64_t volume_used(const struct home *h, const struct volume_row *row)
{
	_cleanup_free_ char *path = volume_path(h, row->name, row->kind);

	return tree_disk_bytes(path);
}

/* An image of the size, which the file system in it grows to when it is first mounted. */
static int make_disk(const char *dir, const struct volume_new *v, uint64_t size, struct err *e)
{
	_cleanup_free_ char *path = xasprintf("%s/" DISK_NAME, dir);
	_cleanup_close_ int from = open(v->template, O_RDONLY | O_CLOEXEC), to = -1;
	int r;

	if (from < 0) {
		err_sys(e, errno, "cannot open '%s'", v->template);
		return err_hint(e, "the installation is incomplete: run `make install` again");
	}
	to = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	r = to < 0 ? -errno : copy_file_sparse(from, to);
	if (r == 0 && (ftruncate(to, (off_t)size) < 0 || fsync(to) < 0))
		r = -errno;
	return r < 0 ? err_sys(e, -r, "cannot make the disk of volume '%s'", v->name) : 0;
}

/* The caller has the database's write lock, so that what is there under that name is nobody's. */
static int make_staged(const struct home *h, int64_t id, const struct volume_new *v, uint64_t size,
		       struct err *e)
{
	_cleanup_free_ char *dir = staged_dir(h, id);

	remove_tree(AT_FDCWD, dir);
	if (mkdir(dir, 0755) < 0)
		return err_sys(e, errno, "cannot make '%s'", dir);
	if (v->kind == VOLUME_DIR || make_disk(dir, v, size, e) == 0)
		return 0;
	remove_tree(AT_FDCWD, dir);
	return -1;
}

/* --- rows ---------------------------------------------------------------------------------- */

#define COLUMNS                                                                             \
	"id, name, kind, size_bytes, labels, created_at, "                                  \
	"(SELECT json_group_array(name) FROM (SELECT name FROM volume_attach "              \
	"JOIN sandboxes ON sandboxes.id = volume_attach.sandbox WHERE volume = volumes.id " \
	"ORDER BY name))"

static int read_row(sqlite3_stmt *st, struct volume_row *ret, struct err *e)
{
	const char *kind = (const char *)sqlite3_column_text(st, 2);
	const char *labels = (const char *)sqlite3_column_text(st, 4);
	const char *users = (const char *)sqlite3_column_text(st, 6);
	struct volume_row row = {
		.id = sqlite3_column_int64(st, 0),
		.size = (uint64_t)sqlite3_column_int64(st, 3),
		.created_at = (uint64_t)sqlite3_column_int64(st, 5),
	};
	json_t *names, *item;
	size_t i;

	row.labels = json_loads(labels ? labels : "", 0, NULL);
	if (!json_is_object(row.labels) || !kind || volume_kind_parse(kind, &row.kind) < 0) {
		volume_row_release(&row);
		return err_set(e, ERR_CORRUPT, "damaged volume record in the database");
	}
	row.name = db_column_string(st, 1);
	names = json_loads(users ? users : "[]", 0, NULL);
	json_array_foreach (names, i, item)
		strv_add(&row.users, json_string_value(item));
	json_decref(names);
	*ret = row;
	return 0;
}

/* 1 with `ret`, 0 when there is none, or -1. */
static int find_row(struct db *db, const char *name, struct volume_row *ret, struct err *e)
{
	_cleanup_stmt_ sqlite3_stmt *st =
		db_prepare(db, e, "SELECT " COLUMNS " FROM volumes WHERE name = ?", "s", name);
	int r = st ? db_step(db, st, e) : -1;

	if (r > 0 && read_row(st, ret, e) < 0)
		r = -1;
	return r;
}

static int not_found(const char *name, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, "volume not found: %s", name);
}

/*
 * Sees to it that a volume's directory is in its place. Its maker may have died between the two
 * steps, or be on its way; who removes it has the write lock. 0, or -1 also when it is gone.
 */
static int settle(struct db *db, const struct home *h, const struct volume_row *row, struct err *e)
{
	_cleanup_free_ char *dir = volume_dir(h, row->name), *staged = NULL;
	struct volume_row now;
	int r;

	if (access(dir, F_OK) == 0)
		return 0;
	staged = staged_dir(h, row->id);
	if (db_begin(db, e) < 0)
		return -1;
	r = find_row(db, row->name, &now, e);
	if (r == 0 || (r > 0 && now.id != row->id))
		not_found(row->name, e);
	else if (r > 0 && access(dir, F_OK) < 0 && rename(staged, dir) < 0)
		err_sys(e, errno, "the directory of volume '%s' is missing: '%s'", row->name, dir);
	else if (r > 0)
		r = 2;
	if (r > 0)
		volume_row_release(&now);
	else if (r == 0)
		r = -1;
	db_rollback(db);
	return r == 2 ? 0 : -1;
}

/* --- making -------------------------------------------------------------------------------- */

static char *labels_text(const struct strv *labels)
{
	json_t *j = json_object();
	char *text;

	for (size_t i = 0; labels && i < labels->n; i++) {
		size_t len = strcspn(labels->v[i], "=");
		_cleanup_free_ char *key = xstrndup(labels->v[i], len);

		json_object_set_new(j, key,
				    json_string(labels->v[i][len] ? labels->v[i] + len + 1 : ""));
	}
	text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(j);
	return text;
}

static int insert_row(struct db *db, const struct volume_new *v, uint64_t size, struct err *e)
{
	_cleanup_free_ char *labels = labels_text(v->labels);

	if (db_run(db, e,
		   "INSERT INTO volumes (name, kind, size_bytes, labels, created_at) "
		   "VALUES (?, ?, ?, ?, ?)",
		   "ssisi", v->name, kind_names[v->kind], (int64_t)size, labels,
		   (int64_t)clock_real_ns()) == 0)
		return 0;
	if (sqlite3_errcode(db->conn) == SQLITE_CONSTRAINT)
		err_set(e, ERR_EXISTS, "volume already exists: %s", v->name);
	return -1;
}

/* The row and the staged directory, both or none of them. The id, or -1. */
static int64_t make(struct db *db, const struct home *h, const struct volume_new *v, struct err *e)
{
	uint64_t size = v->kind == VOLUME_DISK && !v->size ? VOLUME_DISK_DEFAULT : v->size;
	_cleanup_free_ char *dir = volume_dir(h, v->name), *staged = NULL;
	int64_t id;

	if (db_begin(db, e) < 0)
		return -1;
	if (insert_row(db, v, size, e) < 0)
		goto fail;
	id = sqlite3_last_insert_rowid(db->conn);
	if (access(dir, F_OK) == 0) {
		err_set(e, ERR_EXISTS, "'%s' exists, but belongs to no volume that msb knows", dir);
		err_hint(e, "move it away, and what is in it into the new volume");
		goto fail;
	}
	if (make_staged(h, id, v, size, e) < 0)
		goto fail;
	if (db_commit(db, e) == 0)
		return id;
	staged = staged_dir(h, id);
	remove_tree(AT_FDCWD, staged);
fail:
	db_rollback(db);
	return -1;
}

int volumes_create(struct db *db, const struct home *h, const struct volume_new *v,
		   struct volume_row *ret, struct err *e)
{
	_cleanup_free_ char *folder = home_path(h, "volumes");
	struct volume_row row = {0};

	if (volume_name_check(v->name, e) < 0 || volume_size_check(v->kind, v->size, e) < 0)
		return -1;
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "cannot make '%s'", folder);
	if (make(db, h, v, e) < 0 || volumes_get(db, h, v->name, &row, e) < 0)
		return -1;
	if (ret)
		*ret = row;
	else
		volume_row_release(&row);
	return 0;
}

/* --- reading ------------------------------------------------------------------------------- */

int volumes_get(struct db *db, const struct home *h, const char *name, struct volume_row *ret,
		struct err *e)
{
	struct volume_row row;
	int r = find_row(db, name, &row, e);

	if (r == 0)
		return not_found(name, e);
	if (r < 0)
		return -1;
	if (settle(db, h, &row, e) < 0) {
		volume_row_release(&row);
		return -1;
	}
	*ret = row;
	return 0;
}

static bool row_exists(struct db *db, const char *id)
{
	_cleanup_stmt_ sqlite3_stmt *st =
		db_prepare(db, NULL, "SELECT 1 FROM volumes WHERE id = ?", "s", id);

	/* In doubt it exists. */
	return !st || db_step(db, st, NULL) != 0;
}

/* Takes what has no row out of the way. Under the write lock, so that nothing is on its way. */
static void set_aside(struct db *db, const struct home *h, const char *name)
{
	_cleanup_free_ char *from = home_path(h, "volumes/%s", name), *to = NULL;
	uint64_t random = 0;

	if (row_exists(db, name + 1) || getrandom(&random, sizeof(random), 0) != sizeof(random))
		return;
	to = home_path(h, "volumes/" GONE "%016llx", (unsigned long long)random);
	rename(from, to);
}

static bool is_staged(const char *name)
{
	return name[0] == '.' && name[1] && !name[1 + strspn(name + 1, "0123456789")];
}

static bool is_gone(const char *name)
{
	return str_starts_with(name, GONE);
}

/* Names below volumes/ of which that is true. */
static void find_names(const struct home *h, bool (*wanted)(const char *), struct strv *ret)
{
	_cleanup_free_ char *path = home_path(h, "volumes");
	DIR *dir = opendir(path);
	const struct dirent *de;

	while (dir && (de = readdir(dir)))
		if (wanted(de->d_name))
			strv_add(ret, de->d_name);
	if (dir)
		closedir(dir);
}

static void sweep(struct db *db, const struct home *h)
{
	struct strv staged = {0}, gone = {0};

	find_names(h, is_staged, &staged);
	if (staged.n && db_begin(db, NULL) == 0) {
		for (size_t i = 0; i < staged.n; i++)
			set_aside(db, h, staged.v[i]);
		db_rollback(db);
	}
	/* It may be much, so nobody is to wait for it. */
	find_names(h, is_gone, &gone);
	for (size_t i = 0; i < gone.n; i++) {
		_cleanup_free_ char *path = home_path(h, "volumes/%s", gone.v[i]);

		remove_tree(AT_FDCWD, path);
	}
	strv_release(&staged);
	strv_release(&gone);
}

int volumes_list(struct db *db, const struct home *h, struct volume_row **ret, size_t *ret_n,
		 struct err *e)
{
	_cleanup_stmt_ sqlite3_stmt *st =
		db_prepare(db, e, "SELECT " COLUMNS " FROM volumes ORDER BY name", "");
	struct volume_row *rows = NULL;
	size_t n = 0;
	int r = -1;

	while (st && (r = db_step(db, st, e)) > 0) {
		rows = xreallocarray(rows, n + 1, sizeof(*rows));
		r = read_row(st, &rows[n], e);
		if (r < 0)
			break;
		n++;
	}
	if (r < 0) {
		volume_rows_free(rows, n);
		return -1;
	}
	sqlite3_reset(st);
	sweep(db, h);
	*ret = rows;
	*ret_n = n;
	return 0;
}

/* --- removing ------------------------------------------------------------------------------ */

static int still_attached(const struct volume_row *row, struct err *e)
{
	err_set(e, ERR_BUSY, "volume is attached to sandbox '%s'%s: %s", row->users.v[0],
		row->users.n > 1 ? " and others" : "", row->name);
	return err_hint(e, "remove the sandbox first: msb rm %s", row->users.v[0]);
}

/* Takes the row away and the directory aside, both or neither. 0 or -1. */
static int drop(struct db *db, const struct home *h, const struct volume_row *row, struct err *e)
{
	_cleanup_free_ char *dir = volume_dir(h, row->name), *staged = staged_dir(h, row->id);
	bool moved;

	if (row->users.n)
		return still_attached(row, e);
	if (db_run(db, e, "DELETE FROM volumes WHERE id = ?", "i", row->id) < 0)
		return -1;
	moved = rename(dir, staged) == 0;
	if (!moved && errno != ENOENT)
		return err_sys(e, errno, "cannot remove '%s'", dir);
	if (db_commit(db, e) == 0)
		return 0;
	if (moved)
		rename(staged, dir);
	return -1;
}

int volumes_remove(struct db *db, const struct home *h, const char *name, struct err *e)
{
	_cleanup_free_ char *staged = NULL;
	struct volume_row row;
	int r;

	if (db_begin(db, e) < 0)
		return -1;
	r = find_row(db, name, &row, e);
	if (r == 0)
		not_found(name, e);
	if (r > 0) {
		staged = staged_dir(h, row.id);
		r = drop(db, h, &row, e) < 0 ? -1 : 1;
		volume_row_release(&row);
	}
	db_rollback(db);
	if (r <= 0)
		return -1;
	r = remove_tree(AT_FDCWD, staged);
	return r < 0 && r != -ENOENT ? err_sys(e, -r, "cannot remove '%s'", staged) : 0;
}

int volumes_prune(struct db *db, const struct home *h, bool dry_run, struct strv *ret_names,
		  uint64_t *ret_bytes, struct err *e)
{
	struct volume_row *rows;
	size_t n;
	int r = volumes_list(db, h, &rows, &n, e);

	if (r < 0)
		return -1;
	for (size_t i = 0; r >= 0 && i < n; i++) {
		uint64_t bytes = volume_used(h, &rows[i]);

		if (rows[i].users.n)
			continue;
		if (!dry_run && volumes_remove(db, h, rows[i].name, e) < 0) {
			/* Attached, or removed, meanwhile. */
			r = e->code == ERR_BUSY || e->code == ERR_NOT_FOUND ? 0 : -1;
			continue;
		}
		strv_add(ret_names, rows[i].name);
		*ret_bytes += bytes;
	}
	volume_rows_free(rows, n);
	return r < 0 ? -1 : 0;
}

/* --- sandboxes ----------------------------------------------------------------------------- */

static int attach(struct db *db, int64_t sandbox, const char *name, struct err *e)
{
	_cleanup_stmt_ sqlite3_stmt *st =
		db_prepare(db, e, "SELECT id FROM volumes WHERE name = ?", "s", name);
	int r = st ? db_step(db, st, e) : -1;

	if (r <= 0)
		return r < 0 ? -1 : not_found(name, e);
	return db_run(db, e, "INSERT OR IGNORE INTO volume_attach (volume, sandbox) VALUES (?, ?)",
		      "ii", (int64_t)sqlite3_column_int64(st, 0), sandbox);
}

int volumes_attach(struct db *db, int64_t sandbox, json_t *config, struct err *e)
{
	json_t *mount;
	size_t i;

	json_array_foreach (json_object_get(config, "mounts"), i, mount) {
		const char *name = json_string_value(json_object_get(mount, "source"));

		if (str_eq(json_string_value(json_object_get(mount, "kind")), "named") && name &&
		    attach(db, sandbox, name, e) < 0)
			return -1;
	}
	return 0;
}
