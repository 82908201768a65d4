/* SPDX-License-Identifier: Apache-2.0 */
#include "state/image_files.h"

#include "base/cleanup.h"
#include "image/store_path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

void images_freed_release(struct images_freed *f)
{
	strv_release(&f->references);
	*f = (struct images_freed){0};
}

/* --- what a record names ------------------------------------------------------------------- */

/* Adds the file of a digest, a member of `from`, to a set (the keys of a JSON object), if it is
 * one. */
static void mark(json_t *keep, enum store_kind kind, json_t *from, const char *key)
{
	const char *text = json_string_value(json_object_get(from, key));
	char path[STORE_PATH_LEN];
	struct digest d;

	if (!text || digest_parse(text, &d) < 0)
		return;
	store_path(kind, &d, path);
	json_object_set_new(keep, path, json_true());
}

static void mark_layer(json_t *layer, json_t *keep)
{
	mark(keep, STORE_BLOB, layer, "digest");
	mark(keep, STORE_BLOB_ZSTD, layer, "digest");
	mark(keep, STORE_LAYER_DATA, layer, "diff_id");
	mark(keep, STORE_LAYER_INDEX, layer, "diff_id");
}

/* Adds the files below cache/ that a record needs, some of which need not be there. */
static void mark_record(json_t *record, json_t *keep)
{
	json_t *item;
	size_t i;

	json_array_foreach (json_object_get(record, "disk"), i, item)
		if (json_is_string(item))
			json_object_set_new(keep, json_string_value(item), json_true());
	mark(keep, STORE_BLOB, record, "manifest_digest");
	mark(keep, STORE_BLOB, record, "resolved_digest");
	mark(keep, STORE_BLOB, record, "config_digest");
	json_array_foreach (json_object_get(record, "layers"), i, item)
		mark_layer(item, keep);
}

/* --- what the files occupy ----------------------------------------------------------------- */

static uint64_t occupied(const struct stat *st)
{
	return (uint64_t)st->st_blocks * 512;
}

static int put_file(struct db *db, int64_t image, const char *path, uint64_t bytes, struct err *e)
{
	if (db_run(db, e,
		   "INSERT INTO files (path, bytes) VALUES (?, ?) ON CONFLICT (path) DO UPDATE SET "
		   "bytes = excluded.bytes",
		   "si", path, (int64_t)bytes) < 0)
		return -1;
	return db_run(db, e, "INSERT INTO image_files SELECT ?, id FROM files WHERE path = ?", "is",
		      image, path);
}

int image_files_put(struct db *db, const struct home *h, int64_t image, json_t *record,
		    struct err *e)
{
	_cleanup_free_ char *cache = home_path(h, "cache");
	_cleanup_close_ int dir = open(cache, O_PATH | O_DIRECTORY | O_CLOEXEC);
	json_t *names = json_object(), *value;
	const char *name;
	int r = db_run(db, e, "DELETE FROM image_files WHERE image = ?", "i", image);

	mark_record(record, names);
	json_object_foreach (names, name, value) {
		struct stat st;

		if (r == 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			r = put_file(db, image, name, occupied(&st), e);
	}
	json_decref(names);
	return r;
}

static int count_image(struct db *db, const struct home *h, int64_t image, const char *text,
		       struct err *e)
{
	json_t *record = text ? json_loads(text, 0, NULL) : NULL;
	int r = 0;

	if (record)
		r = image_files_put(db, h, image, record, e);
	json_decref(record);
	return r < 0 ? -1 : db_run(db, e, "UPDATE images SET counted = 1 WHERE id = ?", "i", image);
}

int image_files_complete(struct db *db, const struct home *h, struct err *e)
{
	static const char sql[] = "SELECT image, record FROM image_records JOIN images ON "
				  "id = image WHERE NOT counted";
	_cleanup_stmt_ sqlite3_stmt *any =
		db_prepare(db, e, "SELECT 1 FROM images WHERE NOT counted LIMIT 1", "");
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int r = any ? db_step(db, any, e) : -1;

	if (r <= 0)
		return r;
	sqlite3_reset(any);
	if (db_begin(db, e) < 0)
		return -1;
	st = db_prepare(db, e, sql, "");
	r = -1;
	while (st && (r = db_step(db, st, e)) > 0) {
		r = count_image(db, h, sqlite3_column_int64(st, 0),
				(const char *)sqlite3_column_text(st, 1), e);
		if (r < 0)
			break;
	}
	if (r == 0)
		r = db_commit(db, e);
	db_rollback(db);
	return r;
}

int image_files_layer(struct db *db, json_t *layer, const char *reference, uint64_t *ret_bytes,
		      struct strv *ret_others, struct err *e)
{
	json_t *names = json_object();
	_cleanup_free_ char *set = NULL;
	_cleanup_stmt_ sqlite3_stmt *bytes = NULL, *others = NULL;
	int r;

	mark_layer(layer, names);
	set = json_dumps(names, JSON_COMPACT);
	json_decref(names);
	bytes = db_prepare(db, e,
			   "SELECT ifnull(sum(bytes), 0) FROM files WHERE path IN "
			   "(SELECT key FROM json_each(?))",
			   "s", set);
	r = bytes ? db_step(db, bytes, e) : -1;
	if (r < 0)
		return -1;
	*ret_bytes = (uint64_t)sqlite3_column_int64(bytes, 0);
	others = db_prepare(
		db, e,
		"SELECT DISTINCT reference FROM files JOIN image_files ON file = files.id "
		"JOIN images ON images.id = image WHERE path IN "
		"(SELECT key FROM json_each(?)) AND reference != ? ORDER BY reference",
		"ss", set, reference);
	r = -1;
	while (others && (r = db_step(db, others, e)) > 0)
		strv_take(ret_others, db_column_string(others, 0));
	return r;
}

/* --- forgetting and collecting ------------------------------------------------------------- */

int image_files_forget(struct db *db, const char *reference, struct err *e)
{
	static const char *const sql[] = {
		"DELETE FROM image_files WHERE image = (SELECT id FROM images WHERE reference = ?)",
		"DELETE FROM image_records WHERE image = (SELECT id FROM images WHERE reference = "
		"?)",
		"DELETE FROM images WHERE reference = ?",
	};

	for (size_t i = 0; i < ARRAY_SIZE(sql); i++)
		if (db_run(db, e, sql[i], "s", reference) < 0)
			return -1;
	if (sqlite3_changes(db->conn) == 0)
		return err_set(e, ERR_NOT_FOUND, "image not found: %s", reference);
	return 0;
}

/* A sandbox's configuration carries the record of the image that it was made from. */
static int mark_all(struct db *db, json_t *keep, struct err *e)
{
	_cleanup_stmt_ sqlite3_stmt *st =
		db_prepare(db, e,
			   "SELECT record FROM image_records UNION ALL "
			   "SELECT json_extract(config, '$.image') FROM sandboxes",
			   "");
	int r = -1;

	while (st && (r = db_step(db, st, e)) > 0) {
		const char *text = (const char *)sqlite3_column_text(st, 0);
		json_t *record = text ? json_loads(text, 0, NULL) : NULL;

		if (text && !record)
			return err_set(e, ERR_CORRUPT, "damaged image record in the database");
		mark_record(record, keep);
		json_decref(record);
	}
	return r;
}

/* Files of a folder below cache/ that are not in the set go, or are counted only. */
static int sweep(const struct home *h, const char *folder, json_t *keep, bool dry_run,
		 uint64_t *count, struct images_freed *f, struct err *e)
{
	_cleanup_free_ char *path = home_path(h, "cache/%s", folder);
	DIR *dir = opendir(path);
	struct dirent *de;

	if (!dir)
		return errno == ENOENT ? 0 : err_sys(e, errno, "cannot read '%s'", path);
	while ((de = readdir(dir))) {
		_cleanup_free_ char *name = xasprintf("%s/%s", folder, de->d_name);
		struct stat st;

		if (de->d_name[0] == '.' || json_object_get(keep, name) ||
		    !strstr(de->d_name, "sha256_") ||
		    fstatat(dirfd(dir), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (!dry_run && unlinkat(dirfd(dir), de->d_name, 0) < 0)
			continue;
		f->bytes += occupied(&st);
		/* A layer is an index and perhaps data; the index tells. */
		*count += !str_ends_with(de->d_name, STORE_DATA_SUFFIX);
	}
	closedir(dir);
	return 0;
}

static int sweep_all(const struct home *h, json_t *keep, bool dry_run, struct images_freed *f,
		     struct err *e)
{
	if (sweep(h, "images", keep, dry_run, &f->manifests, f, e) < 0 ||
	    sweep(h, "layers", keep, dry_run, &f->layers, f, e) < 0)
		return -1;
	return sweep(h, "blobs", keep, dry_run, &f->blobs, f, e);
}

/* Rows of files that belong to no image any more; the files themselves are found by their names. */
static int forget_files(struct db *db, struct err *e)
{
	return db_run(db, e, "DELETE FROM files WHERE id NOT IN (SELECT file FROM image_files)",
		      "");
}

int images_collect(struct db *db, const struct home *h, struct images_freed *ret, struct err *e)
{
	json_t *keep = json_object();
	int r = mark_all(db, keep, e);

	if (r == 0)
		r = forget_files(db, e);
	if (r == 0)
		r = sweep_all(h, keep, false, ret, e);
	json_decref(keep);
	return r;
}

static int forget_unused(struct db *db, struct images_freed *f, struct err *e)
{
	_cleanup_stmt_ sqlite3_stmt *st = db_prepare(
		db, e,
		"WITH used AS MATERIALIZED (SELECT reference, manifest_digest FROM image_users) "
		"SELECT reference FROM images WHERE reference NOT IN (SELECT reference FROM used) "
		"AND "
		"manifest_digest NOT IN (SELECT manifest_digest FROM used WHERE manifest_digest IS "
		"NOT "
		"NULL) ORDER BY reference",
		"");
	int r = -1;

	while (st && (r = db_step(db, st, e)) > 0)
		strv_take(&f->references, db_column_string(st, 0));
	for (size_t i = 0; r == 0 && i < f->references.n; i++)
		r = image_files_forget(db, f->references.v[i], e);
	return r;
}

int images_prune(struct db *db, const struct home *h, bool dry_run, struct images_freed *ret,
		 struct err *e)
{
	json_t *keep = json_object();
	int r = db_begin(db, e);

	if (r == 0)
		r = forget_unused(db, ret, e);
	if (r == 0)
		r = mark_all(db, keep, e);
	if (r == 0)
		r = forget_files(db, e);
	/* The references first: content without one is only waste, but not the other way round. */
	if (r == 0 && !dry_run)
		r = db_commit(db, e);
	db_rollback(db);
	if (r == 0)
		r = sweep_all(h, keep, dry_run, ret, e);
	json_decref(keep);
	return r;
}
