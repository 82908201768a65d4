/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/mounts.h"

#include "base/cleanup.h"
#include "base/process.h"

#include <stdio.h>
#include <string.h>

char *volume_template(void)
{
	return program_relative_path("../lib/volume.ext4");
}

/* --- volumes ------------------------------------------------------------------------------- */

/* Whether a volume is one that the mount can have. */
static int check_volume(const struct mount *m, const struct volume_row *row, struct err *e)
{
	if (m->has_volume_kind && m->volume_kind != row->kind)
		return err_set(e, ERR_INVALID, "volume '%s' exists and is a %s", row->name,
			       volume_kind_name(row->kind));
	if (m->size && m->size != row->size)
		return err_set(e, ERR_INVALID, "volume '%s' exists and has another size (%llu MiB)",
			       row->name, (unsigned long long)(row->size / MIB));
	if (row->kind == VOLUME_DISK && (m->has_quota || m->has_owner))
		return err_set(e, ERR_INVALID,
			       "volume '%s' is a disk: mount options `quota`, `uid` and `gid` are "
			       "not valid for it",
			       row->name);
	return 0;
}

static bool makes_disk(const struct mount *m)
{
	return m->has_volume_kind && m->volume_kind == VOLUME_DISK;
}

static int check_once(const struct mount_options *o, const struct mount *m, struct err *e)
{
	for (const struct mount *other = o->v; other < m; other++)
		if (other->kind == MOUNT_NAMED && !other->overridden &&
		    str_eq(other->source, m->source))
			return err_set(e, ERR_INVALID,
				       "volume '%s' is a disk and can be mounted once only",
				       m->source);
	return 0;
}

int mounts_check_volumes(struct cli *cli, const struct mount_options *o, struct err *e)
{
	size_t disks = 0;

	for (size_t i = 0; i < o->n; i++) {
		const struct mount *m = &o->v[i];
		bool disk = m->kind == MOUNT_DISK;
		struct volume_row row;

		if (m->overridden)
			continue;
		if (m->kind == MOUNT_NAMED) {
			int r = volumes_get(&cli->db, &cli->home, m->source, &row, e);

			if (r < 0 && e->code != ERR_NOT_FOUND)
				return -1;
			disk = r == 0 ? row.kind == VOLUME_DISK : makes_disk(m);
			if (r == 0) {
				r = check_volume(m, &row, e);
				volume_row_release(&row);
				if (r < 0)
					return -1;
			}
			if (disk && check_once(o, m, e) < 0)
				return -1;
		}
		disks += disk;
	}
	return disks > SPEC_DISKS_MAX
		       ? err_set(e, ERR_INVALID, "too many disks are mounted (at most %d)",
				 SPEC_DISKS_MAX)
		       : 0;
}

/* Whether one of two absolute paths is the other, or below it. */
static bool are_nested(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b), n = MIN(na, nb);

	if (strncmp(a, b, n) != 0)
		return false;
	return na == nb || (na > nb ? a : b)[n] == '/' || str_eq(a, "/") || str_eq(b, "/");
}

void mounts_warn(const struct cli *cli, const struct mount_options *o)
{
	_cleanup_free_ char *home = realpath(cli->home.path, NULL);
	_cleanup_free_ char *volumes = home ? xasprintf("%s/volumes/", home) : NULL;

	for (size_t i = 0; home && i < o->n; i++) {
		const struct mount *m = &o->v[i];
		_cleanup_free_ char *real = NULL;

		if (m->overridden || m->read_only || m->kind != MOUNT_DIR)
			continue;
		real = realpath(m->source, NULL);
		if (real && are_nested(real, home) && !str_starts_with(real, volumes))
			print_warning("'%s' has msb's own files in it, which the sandbox could "
				      "change; mount less, or add the option ro",
				      m->source);
	}
}

static int make_volume(struct cli *cli, const struct mount *m, struct strv *ret_made, struct err *e)
{
	_cleanup_free_ char *template = volume_template();
	const struct volume_new v = {
		.name = m->source,
		.kind = makes_disk(m) ? VOLUME_DISK : VOLUME_DIR,
		.size = m->size,
		.template = template,
	};
	struct volume_row row;
	int r = volumes_get(&cli->db, &cli->home, m->source, &row, e);

	if (r < 0 && e->code == ERR_NOT_FOUND) {
		if (volumes_create(&cli->db, &cli->home, &v, &row, e) == 0) {
			strv_add(ret_made, m->source);
			volume_row_release(&row);
			return 0;
		}
		/* Another command was faster. */
		r = e->code == ERR_EXISTS ? volumes_get(&cli->db, &cli->home, m->source, &row, NULL)
					  : -1;
	}
	if (r < 0)
		return -1;
	r = check_volume(m, &row, e);
	volume_row_release(&row);
	return r;
}

int mounts_make_volumes(struct cli *cli, const struct mount_options *o, struct strv *ret_made,
			struct err *e)
{
	for (size_t i = 0; i < o->n; i++)
		if (o->v[i].kind == MOUNT_NAMED && !o->v[i].overridden &&
		    make_volume(cli, &o->v[i], ret_made, e) < 0)
			return -1;
	return 0;
}

void mounts_remove_volumes(struct cli *cli, const struct strv *made)
{
	for (size_t i = 0; i < made->n; i++)
		volumes_remove(&cli->db, &cli->home, made->v[i], NULL);
}

/* --- launch -------------------------------------------------------------------------------- */

/* The user of the sandbox if the host can know it: then it owns what nobody else does. */
static bool config_owner(json_t *config, uint32_t *ret_uid, uint32_t *ret_gid)
{
	const char *user = json_string_of(config, "user");
	_cleanup_free_ char *first = user ? xstrndup(user, strcspn(user, ":")) : NULL;
	const char *group = user && user[strlen(first)] ? user + strlen(first) + 1 : NULL;
	json_t *users = json_object_get(json_object_get(config, "image"), "users"), *ids;
	uint64_t uid, gid;

	if (!user)
		return false;
	ids = json_object_get(users, first);
	if (json_array_size(ids) == 2) {
		uid = (uint64_t)json_integer_value(json_array_get(ids, 0));
		gid = (uint64_t)json_integer_value(json_array_get(ids, 1));
	} else if (parse_u64(first, UINT32_MAX - 1, &uid) == 0) {
		gid = uid;
	} else {
		return false;
	}
	if (group)
		parse_u64(group, UINT32_MAX - 1, &gid);
	*ret_uid = (uint32_t)uid;
	*ret_gid = (uint32_t)gid;
	return true;
}

static int add_share(struct launch_spec *s, json_t *config, const struct mount *m, char *path,
		     uint64_t quota, uint64_t size, struct boot_mount *b)
{
	struct share_spec *share = &s->shares[s->n_shares];

	if (s->n_shares == SPEC_SHARES_MAX) {
		free(path);
		return -1;
	}
	*share = (struct share_spec){
		.path = path,
		.file = m->kind == MOUNT_FILE,
		.read_only = m->read_only,
		.follow_root_symlinks = m->follow_root_symlinks,
		.quota = m->read_only ? 0 : quota,
		.size = size,
		.has_owner = m->has_owner,
		.uid = m->uid,
		.gid = m->gid,
		.stat_virt = m->stat_virt,
		.host_perms = m->host_perms,
	};
	if (!m->has_owner)
		share->has_owner = config_owner(config, &share->uid, &share->gid);
	b->kind = BOOT_MOUNT_SHARE;
	b->source = xasprintf("%zu", s->n_shares++);
	b->file = m->kind == MOUNT_FILE;
	return 0;
}

static int add_disk(struct launch_spec *s, const struct mount *m, char *path, uint64_t size,
		    struct boot_mount *b)
{
	struct disk_spec *disk = &s->disks[s->n_disks];

	if (s->n_disks == SPEC_DISKS_MAX) {
		free(path);
		return -1;
	}
	*disk = (struct disk_spec){
		.path = path,
		.serial = xasprintf("disk%zu", s->n_disks++),
		.read_only = m->read_only,
	};
	b->kind = BOOT_MOUNT_DISK;
	b->source = xstrdup(disk->serial);
	b->fstype = m->fstype ? xstrdup(m->fstype) : NULL;
	b->size = size;
	return 0;
}

static int too_many(struct err *e)
{
	return err_set(e, ERR_INVALID, "more is mounted than the machine has room for");
}

static int add_volume(struct cli *cli, struct launch_spec *s, json_t *config, const struct mount *m,
		      struct boot_mount *b, struct err *e)
{
	struct volume_row row;
	char *path;
	int r;

	if (volumes_get(&cli->db, &cli->home, m->source, &row, e) < 0)
		return -1;
	path = volume_path(&cli->home, row.name, row.kind);
	if (row.kind == VOLUME_DIR)
		r = add_share(s, config, m, path, m->quota, row.size, b);
	else
		r = add_disk(s, m, path, row.size, b);
	volume_row_release(&row);
	return r < 0 ? too_many(e) : 0;
}

static int add_mount(struct cli *cli, struct launch_spec *s, json_t *config, const struct mount *m,
		     struct err *e)
{
	struct boot_mount *b = &s->boot.mounts[s->boot.n_mounts];
	int r = 0;

	if (s->boot.n_mounts == BOOT_MOUNTS_MAX)
		return too_many(e);
	*b = (struct boot_mount){
		.path = xstrdup(m->target),
		.read_only = m->read_only,
		.noexec = m->noexec,
		/* What the restricted profile takes from programs must not come back by a file. */
		.nosuid = m->nosuid || s->boot.restricted,
		.nodev = m->nodev || s->boot.restricted,
	};
	s->boot.n_mounts++;
	switch (m->kind) {
	case MOUNT_TMPFS:
		b->kind = BOOT_MOUNT_TMPFS;
		b->size = m->size;
		break;
	case MOUNT_NAMED:
		return add_volume(cli, s, config, m, b, e);
	case MOUNT_DISK:
		r = add_disk(s, m, xstrdup(m->source), 0, b);
		break;
	default:
		r = add_share(s, config, m, xstrdup(m->source),
			      m->has_quota ? m->quota : MOUNT_QUOTA_DEFAULT, 0, b);
		break;
	}
	return r < 0 ? too_many(e) : 0;
}

/* It may be filled no further than a disk in its place. */
static void add_root_share(json_t *config, struct launch_spec *s)
{
	const char *dir = json_string_of(config, "root_dir");
	uint64_t quota = json_number_of(config, "root_disk_bytes");

	if (!dir)
		return;
	s->boot.root_share = xasprintf("%zu", s->n_shares);
	s->shares[s->n_shares++] = (struct share_spec){
		.path = xstrdup(dir),
		.quota = quota ? quota : MOUNT_QUOTA_DEFAULT,
		.stat_virt = STAT_VIRT_RELAXED,
	};
}

int mounts_launch(struct cli *cli, json_t *config, struct launch_spec *s, struct err *e)
{
	json_t *item;
	size_t i;

	add_root_share(config, s);
	json_array_foreach (json_object_get(config, "mounts"), i, item) {
		struct mount m;
		int r;

		if (mount_from_json(item, &m) < 0)
			return err_set(e, ERR_CORRUPT, "damaged configuration: a mount");
		r = add_mount(cli, s, config, &m, e);
		mount_release(&m);
		if (r < 0)
			return -1;
	}
	return 0;
}
