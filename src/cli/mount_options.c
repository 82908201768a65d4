/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/mount_options.h"

#include "base/cleanup.h"
#include "cli/sandbox_options.h"

#include <string.h>
#include <sys/stat.h>

/* --- the table ----------------------------------------------------------------------------- */

void mount_options_add(struct mount_options *o, struct mount *m)
{
	o->v = xreallocarray(o->v, o->n + 1, sizeof(*o->v));
	o->v[o->n++] = *m;
	*m = (struct mount){0};
}

static int add(enum mount_kind kind, const char *value, void *field, struct err *e)
{
	struct mount m;

	if (mount_parse(kind, value, &m, e) < 0)
		return -1;
	mount_options_add(field, &m);
	return 0;
}

static int opt_volume(const char *value, void *field, struct err *e)
{
	return add(MOUNT_PATH, value, field, e);
}

static int opt_mount_dir(const char *value, void *field, struct err *e)
{
	return add(MOUNT_DIR, value, field, e);
}

static int opt_mount_file(const char *value, void *field, struct err *e)
{
	return add(MOUNT_FILE, value, field, e);
}

static int opt_mount_named(const char *value, void *field, struct err *e)
{
	return add(MOUNT_NAMED, value, field, e);
}

static int opt_mount_disk(const char *value, void *field, struct err *e)
{
	return add(MOUNT_DISK, value, field, e);
}

static int opt_tmpfs(const char *value, void *field, struct err *e)
{
	return add(MOUNT_TMPFS, value, field, e);
}

#define MOUNTS offsetof(struct sandbox_options, mounts)

const struct opt mount_opts[] = {
	{"volume", 'v', "SRC:DST[:OPTS]", opt_volume, MOUNTS,
	 "Mount a folder or file (/, ./ or ../ first), or a volume by name; e.g. ./src:/app:ro"},
	{"mount-dir", 0, "SRC:DST[:OPTS]", opt_mount_dir, MOUNTS, "Mount a folder of the host"},
	{"mount-file", 0, "SRC:DST[:OPTS]", opt_mount_file, MOUNTS, "Mount a file of the host"},
	{"mount-named", 0, "NAME:DST[:OPTS]", opt_mount_named, MOUNTS,
	 "Mount a volume, which is made if it is missing (options kind=, size=)"},
	{"mount-disk", 0, "SRC:DST[:OPTS]", opt_mount_disk, MOUNTS,
	 "Mount the file system of a raw disk image"},
	{"tmpfs", 0, "PATH[:SIZE][:OPTS]", opt_tmpfs, MOUNTS, "Mount a memory file system"},
	{0},
};

void mount_options_from_file(struct mount_options *o)
{
	for (size_t i = 0; i < o->n; i++)
		o->v[i].from_file = true;
}

/* --- checks -------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct mount *)a)->target, ((const struct mount *)b)->target);
}

/* Drops what the command line replaces; two of the same origin contradict each other. */
static int check_targets(const struct mount_options *o, struct err *e)
{
	for (size_t i = 0; i < o->n; i++) {
		for (size_t k = i + 1; k < o->n; k++) {
			struct mount *a = &o->v[i], *b = &o->v[k];

			if (strcmp(a->target, b->target) != 0)
				continue;
			if (a->from_file == b->from_file)
				return err_set(e, ERR_INVALID, "two mounts at '%s'", a->target);
			(a->from_file ? a : b)->overridden = true;
		}
	}
	return 0;
}

static bool is_below(const char *path, const char *parent)
{
	size_t n = strlen(parent);

	return strncmp(path, parent, n) == 0 && path[n] == '/';
}

/* Below a file there is nothing. The mounts are sorted. */
static int check_nesting(const struct mount_options *o, struct err *e)
{
	for (size_t i = 0; i < o->n; i++) {
		const struct mount *file = &o->v[i];

		for (size_t k = i + 1; file->kind == MOUNT_FILE && k < o->n; k++)
			if (!o->v[k].overridden && is_below(o->v[k].target, file->target))
				return err_set(e, ERR_INVALID,
					       "cannot mount at '%s': '%s' is a file",
					       o->v[k].target, file->target);
	}
	return 0;
}

/* Two writers would destroy it, and the second one of these would be refused only at the start. */
static int check_disks(const struct mount_options *o, struct err *e)
{
	for (size_t i = 0; i < o->n; i++) {
		for (size_t k = i + 1; k < o->n; k++) {
			const struct mount *a = &o->v[i], *b = &o->v[k];
			struct stat sa, sb;

			if (a->kind != MOUNT_DISK || b->kind != MOUNT_DISK || a->overridden ||
			    b->overridden || (a->read_only && b->read_only) ||
			    stat(a->source, &sa) < 0 || stat(b->source, &sb) < 0 ||
			    sa.st_dev != sb.st_dev || sa.st_ino != sb.st_ino)
				continue;
			return err_set(e, ERR_INVALID,
				       "the disk '%s' cannot be mounted twice unless read-only",
				       a->source);
		}
	}
	return 0;
}

static int check_numbers(const struct mount_options *o, struct err *e)
{
	size_t all = 0, shares = 0, disks = 0;

	for (size_t i = 0; i < o->n; i++) {
		const struct mount *m = &o->v[i];

		if (m->overridden)
			continue;
		all++;
		shares += m->kind != MOUNT_DISK && m->kind != MOUNT_TMPFS;
		disks += m->kind == MOUNT_DISK;
	}
	if (all > BOOT_MOUNTS_MAX)
		return err_set(e, ERR_INVALID, "too many mounts (at most %d)", BOOT_MOUNTS_MAX);
	if (shares > SPEC_SHARES_MAX)
		return err_set(e, ERR_INVALID,
			       "too many folders, files and volumes are mounted (at most %d)",
			       SPEC_SHARES_MAX);
	if (disks > SPEC_DISKS_MAX)
		return err_set(e, ERR_INVALID, "too many disks are mounted (at most %d)",
			       SPEC_DISKS_MAX);
	return 0;
}

int mount_options_check(const struct mount_options *o, struct err *e)
{
	if (check_targets(o, e) < 0 || check_numbers(o, e) < 0)
		return -1;
	for (size_t i = 0; i < o->n; i++)
		if (!o->v[i].overridden && mount_check_host(&o->v[i], e) < 0)
			return -1;
	if (o->n)
		qsort(o->v, o->n, sizeof(*o->v), compare);
	return check_nesting(o, e) < 0 ? -1 : check_disks(o, e);
}

int mount_options_store(const struct mount_options *o, json_t *config, struct err *e)
{
	json_t *a = json_array();

	for (size_t i = 0; i < o->n; i++) {
		if (o->v[i].overridden)
			continue;
		if (json_array_append_new(a, mount_to_json(&o->v[i])) < 0) {
			json_decref(a);
			return err_set(e, ERR_INVALID, "options must be valid UTF-8");
		}
	}
	return json_object_set_new(config, "mounts", a);
}
