/* SPDX-License-Identifier: Apache-2.0 */
#include "state/db.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>

#define BUSY_TIMEOUT_MS 20000

/* Each entry takes the schema from version i to i + 1. Entries are only ever appended. */
static const char *const migrations[] = {
	"CREATE TABLE sandboxes ("
	"  id INTEGER PRIMARY KEY AUTOINCREMENT,"
	"  name TEXT NOT NULL UNIQUE,"
	"  image TEXT NOT NULL,"
	"  ephemeral INTEGER NOT NULL,"
	"  config TEXT NOT NULL,"
	"  status TEXT NOT NULL,"
	"  reason TEXT,"
	"  created_at INTEGER NOT NULL,"
	"  updated_at INTEGER NOT NULL);"
	"CREATE TABLE images ("
	"  reference TEXT PRIMARY KEY,"
	"  canonical TEXT NOT NULL,"
	"  manifest_digest TEXT NOT NULL,"
	"  record TEXT NOT NULL,"
	"  created_at INTEGER NOT NULL);"
	"CREATE INDEX images_by_canonical ON images (canonical);",
	/*
	 * Images without their records, which only few commands read; what their files occupy; who
	 * needs an image. Records that are damaged are of no use, and would stop the rest.
	 */
	"ALTER TABLE images RENAME TO old_images;"
	"DROP INDEX images_by_canonical;"
	"CREATE TABLE images ("
	"  id INTEGER PRIMARY KEY,"
	"  reference TEXT NOT NULL UNIQUE,"
	"  canonical TEXT NOT NULL,"
	"  manifest_digest TEXT NOT NULL,"
	"  os TEXT NOT NULL,"
	"  architecture TEXT NOT NULL,"
	"  variant TEXT NOT NULL,"
	"  layer_count INTEGER NOT NULL,"
	"  size_bytes INTEGER NOT NULL,"
	"  created_at INTEGER NOT NULL,"
	"  counted INTEGER NOT NULL);" /* image_files is filled in */
	"CREATE INDEX images_by_canonical ON images (canonical);"
	"CREATE INDEX images_by_manifest ON images (manifest_digest);"
	"CREATE TABLE image_records (image INTEGER PRIMARY KEY, record TEXT NOT NULL);"
	"CREATE TABLE files ("
	"  id INTEGER PRIMARY KEY,"
	"  path TEXT NOT NULL UNIQUE,"
	"  bytes INTEGER NOT NULL);"
	"CREATE TABLE image_files ("
	"  image INTEGER NOT NULL,"
	"  file INTEGER NOT NULL,"
	"  PRIMARY KEY (image, file)) WITHOUT ROWID;"
	"CREATE INDEX image_files_by_file ON image_files (file);"
	"INSERT INTO images SELECT rowid, reference, canonical, manifest_digest,"
	"  ifnull(json_extract(record, '$.os'), ''),"
	"  ifnull(json_extract(record, '$.architecture'), ''), '',"
	"  ifnull(json_extract(record, '$.layer_count'), 0),"
	"  ifnull(json_extract(record, '$.size_bytes'), 0), created_at, 0"
	"  FROM old_images WHERE json_valid(record);"
	"INSERT INTO image_records SELECT rowid, record FROM old_images WHERE json_valid(record);"
	"DROP TABLE old_images;"
	"CREATE VIEW image_users AS SELECT 'sandbox' AS kind, name, image AS reference,"
	"  json_extract(config, '$.image.manifest_digest') AS manifest_digest FROM sandboxes;",
	/* Labels go with their sandbox, however it goes. */
	"CREATE TABLE sandbox_labels ("
	"  sandbox INTEGER NOT NULL,"
	"  key TEXT NOT NULL,"
	"  value TEXT NOT NULL,"
	"  PRIMARY KEY (sandbox, key)) WITHOUT ROWID;"
	"CREATE INDEX sandbox_labels_by_key ON sandbox_labels (key, value);"
	"CREATE INDEX sandboxes_by_status ON sandboxes (status);" /* of many, few run */
	"CREATE TRIGGER sandbox_labels_go AFTER DELETE ON sandboxes BEGIN"
	"  DELETE FROM sandbox_labels WHERE sandbox = old.id; END;",
	/* The place in the address plan of networks; those that are too many have none. */
	"ALTER TABLE sandboxes ADD COLUMN net_slot INTEGER CHECK (net_slot BETWEEN 1 AND 65535);"
	"UPDATE sandboxes SET net_slot = numbered.slot FROM"
	"  (SELECT id, row_number() OVER (ORDER BY id) AS slot FROM sandboxes) AS numbered"
	"  WHERE numbered.id = sandboxes.id AND numbered.slot <= 65535;"
	"CREATE UNIQUE INDEX sandboxes_by_net_slot ON sandboxes (net_slot);",
	/* Volumes, and who has them; a memory file system is a mount like any other. */
	"CREATE TABLE volumes ("
	"  id INTEGER PRIMARY KEY AUTOINCREMENT,"
	"  name TEXT NOT NULL UNIQUE,"
	"  kind TEXT NOT NULL,"
	"  size_bytes INTEGER NOT NULL,"
	"  labels TEXT NOT NULL,"
	"  created_at INTEGER NOT NULL);"
	"CREATE TABLE volume_attach ("
	"  volume INTEGER NOT NULL,"
	"  sandbox INTEGER NOT NULL,"
	"  PRIMARY KEY (volume, sandbox)) WITHOUT ROWID;"
	"CREATE INDEX volume_attach_by_sandbox ON volume_attach (sandbox);"
	"CREATE TRIGGER volume_attach_go AFTER DELETE ON sandboxes BEGIN"
	"  DELETE FROM volume_attach WHERE sandbox = old.id; END;"
	"UPDATE sandboxes SET config = json_remove(json_set(config, '$.mounts', json("
	"  (SELECT json_group_array(json_object('kind', 'tmpfs', 'target',"
	"    json_extract(value, '$.path'), 'size', json_extract(value, '$.size')))"
	"    FROM json_each(config, '$.tmpfs')))), '$.tmpfs') WHERE json_valid(config);",
};

/*
 * SQLite has several codes for it, and those for files that cannot be opened or extended keep the
 * system's reason to themselves: the file system is asked instead.
 */
static bool no_space(struct db *db)
{
	int code = db->conn ? sqlite3_errcode(db->conn) : SQLITE_NOMEM;
	struct statvfs st;

	if (code != SQLITE_IOERR && code != SQLITE_CANTOPEN)
		return code == SQLITE_FULL;
	return statvfs(db->dir, &st) == 0 && (st.f_bavail == 0 || (st.f_files && st.f_favail == 0));
}

static int db_error(struct db *db, struct err *e)
{
	int code = sqlite3_errcode(db->conn);
	const char *msg = sqlite3_errmsg(db->conn);

	if (no_space(db))
		return err_set(e, ERR_NO_SPACE, "no space left for the database");
	if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) {
		err_set(e, ERR_CORRUPT, "the database is damaged: %s", msg);
		return err_hint(e, "move $MSB_HOME/db away to start with an empty one");
	}
	return err_set(e, ERR_SYSTEM, "database: %s", msg);
}

static int exec_sql(struct db *db, const char *sql, struct err *e)
{
	return sqlite3_exec(db->conn, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_error(db, e);
}

static int read_version(struct db *db, int64_t *ret, struct err *e)
{
	_cleanup_stmt_ sqlite3_stmt *st = db_prepare(db, e, "PRAGMA user_version", "");

	if (!st || db_step(db, st, e) < 0)
		return -1;
	*ret = sqlite3_column_int64(st, 0);
	return 0;
}

/*
 * Serialises those who find an old schema. SQLite's own locks do not do it: of several that change
 * the journal mode at once, all but one fail at once, whatever the busy timeout.
 */
static int lock_migration(const struct home *h, struct err *e)
{
	_cleanup_free_ char *path = home_path(h, "db");
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, errno, "cannot open '%s'", path);
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_sys(e, errno, "cannot lock '%s'", path);
	return steal_fd(&fd);
}

static int migrate(struct db *db, const struct home *h, struct err *e)
{
	_cleanup_close_ int lock = -1;
	int64_t version;

	if (read_version(db, &version, e) < 0)
		return -1;
	if (version == (int64_t)ARRAY_SIZE(migrations))
		return 0;
	if (version < 0)
		return err_set(e, ERR_CORRUPT, "the database is damaged: schema version %lld",
			       (long long)version);
	/* Another process may be doing the same: look again under the write lock. */
	lock = lock_migration(h, e);
	if (lock < 0)
		return -1;
	if (exec_sql(db, "PRAGMA journal_mode=WAL", e) < 0 || db_begin(db, e) < 0)
		return -1;
	if (read_version(db, &version, e) < 0)
		goto fail;
	if (version > (int64_t)ARRAY_SIZE(migrations)) {
		err_set(e, ERR_UNSUPPORTED, "the database was made by a newer version of msb");
		goto fail;
	}
	for (; version < (int64_t)ARRAY_SIZE(migrations); version++) {
		char sql[48];

		if (exec_sql(db, migrations[version], e) < 0)
			goto fail;
		snprintf(sql, sizeof(sql), "PRAGMA user_version=%d", (int)version + 1);
		if (exec_sql(db, sql, e) < 0)
			goto fail;
	}
	return db_commit(db, e);
fail:
	db_rollback(db);
	return -1;
}

int db_open(struct db *db, const struct home *h, struct err *e)
{
	_cleanup_free_ char *path = home_path(h, "db/msb.db");
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;

	*db = (struct db){.dir = home_path(h, "db")};
	if (sqlite3_open_v2(path, &db->conn, flags, NULL) != SQLITE_OK) {
		if (no_space(db))
			db_error(db, e);
		else
			err_set(e, ERR_SYSTEM, "cannot open the database '%s': %s", path,
				db->conn ? sqlite3_errmsg(db->conn) : "out of memory");
		goto fail;
	}
	sqlite3_busy_timeout(db->conn, BUSY_TIMEOUT_MS);
	if (exec_sql(db, "PRAGMA synchronous=NORMAL", e) < 0 || migrate(db, h, e) < 0)
		goto fail;
	return 0;
fail:
	db_close(db);
	return -1;
}

void db_close(struct db *db)
{
	sqlite3_close(db->conn);
	free(db->dir);
	*db = (struct db){0};
}

static sqlite3_stmt *prepare(struct db *db, struct err *e, const char *sql, const char *types,
			     va_list ap)
{
	sqlite3_stmt *st = NULL;
	int r = sqlite3_prepare_v2(db->conn, sql, -1, &st, NULL);

	for (int i = 0; r == SQLITE_OK && types[i]; i++) {
		if (types[i] == 's')
			r = sqlite3_bind_text(st, i + 1, va_arg(ap, const char *), -1,
					      SQLITE_TRANSIENT);
		else
			r = sqlite3_bind_int64(st, i + 1, va_arg(ap, int64_t));
	}
	if (r != SQLITE_OK) {
		db_error(db, e);
		sqlite3_finalize(st);
		return NULL;
	}
	return st;
}

sqlite3_stmt *db_prepare(struct db *db, struct err *e, const char *sql, const char *types, ...)
{
	sqlite3_stmt *st;
	va_list ap;

	va_start(ap, types);
	st = prepare(db, e, sql, types, ap);
	va_end(ap);
	return st;
}

int db_bind_string(struct db *db, sqlite3_stmt *st, int i, const char *s, struct err *e)
{
	return sqlite3_bind_text(st, i, s, -1, SQLITE_TRANSIENT) == SQLITE_OK ? 0 : db_error(db, e);
}

int db_step(struct db *db, sqlite3_stmt *st, struct err *e)
{
	switch (sqlite3_step(st)) {
	case SQLITE_ROW:
		return 1;
	case SQLITE_DONE:
		return 0;
	default:
		return db_error(db, e);
	}
}

int db_run(struct db *db, struct err *e, const char *sql, const char *types, ...)
{
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	va_list ap;

	va_start(ap, types);
	st = prepare(db, e, sql, types, ap);
	va_end(ap);
	return st && db_step(db, st, e) >= 0 ? 0 : -1;
}

char *db_column_string(sqlite3_stmt *st, int column)
{
	const unsigned char *s = sqlite3_column_text(st, column);

	return s ? xstrdup((const char *)s) : NULL;
}

int db_begin(struct db *db, struct err *e)
{
	return exec_sql(db, "BEGIN IMMEDIATE", e);
}

int db_commit(struct db *db, struct err *e)
{
	return exec_sql(db, "COMMIT", e);
}

void db_rollback(struct db *db)
{
	if (!sqlite3_get_autocommit(db->conn))
		sqlite3_exec(db->conn, "ROLLBACK", NULL, NULL, NULL);
}
