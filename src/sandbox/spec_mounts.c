/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/spec_mounts.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SERIAL_MAX 20 /* of a virtio disk */

static const char *const virt_names[] = {"strict", "relaxed", "off"};
static_assert(ARRAY_SIZE(virt_names) == STAT_VIRT_COUNT, "every way has a name");
static const char *const perms_names[] = {"private", "mirror"};
static_assert(ARRAY_SIZE(perms_names) == HOST_PERMS_COUNT, "every way has a name");

const char *stat_virt_name(enum stat_virt v)
{
	return virt_names[v];
}

const char *host_perms_name(enum host_perms p)
{
	return perms_names[p];
}

static int find_name(const char *const *names, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(s, names[i]) == 0)
			return (int)i;
	return -EINVAL;
}

int stat_virt_parse(const char *s, enum stat_virt *ret)
{
	int i = find_name(virt_names, ARRAY_SIZE(virt_names), s);

	if (i >= 0)
		*ret = (enum stat_virt)i;
	return i < 0 ? i : 0;
}

int host_perms_parse(const char *s, enum host_perms *ret)
{
	int i = find_name(perms_names, ARRAY_SIZE(perms_names), s);

	if (i >= 0)
		*ret = (enum host_perms)i;
	return i < 0 ? i : 0;
}

void share_spec_release(struct share_spec *s)
{
	free(s->path);
	*s = (struct share_spec){0};
}

json_t *share_spec_to_json(const struct share_spec *s)
{
	json_t *j = json_pack("{s:s, s:b, s:b, s:b, s:I, s:I, s:s, s:s}", "path", s->path, "file",
			      s->file, "read_only", s->read_only, "follow_root_symlinks",
			      s->follow_root_symlinks, "quota", (json_int_t)s->quota, "size",
			      (json_int_t)s->size, "stat_virt", virt_names[s->stat_virt],
			      "host_perms", perms_names[s->host_perms]);

	if (j && s->has_owner) {
		json_object_set_new(j, "uid", json_integer(s->uid));
		json_object_set_new(j, "gid", json_integer(s->gid));
	}
	return j;
}

int share_spec_from_json(json_t *j, struct share_spec *ret)
{
	const char *path, *virt, *perms;
	json_int_t quota, size, uid = -1, gid = -1;
	int file, read_only, follow;
	struct share_spec s = {0};

	if (json_unpack(j, "{s:s, s:b, s:b, s:b, s:I, s:I, s:s, s:s, s?I, s?I}", "path", &path,
			"file", &file, "read_only", &read_only, "follow_root_symlinks", &follow,
			"quota", &quota, "size", &size, "stat_virt", &virt, "host_perms", &perms,
			"uid", &uid, "gid", &gid) < 0 ||
	    path[0] != '/' || quota < 0 || size < 0 || uid >= UINT32_MAX || gid >= UINT32_MAX ||
	    (uid < 0) != (gid < 0) || stat_virt_parse(virt, &s.stat_virt) < 0 ||
	    host_perms_parse(perms, &s.host_perms) < 0)
		return -1;
	s.path = xstrdup(path);
	s.file = file;
	s.read_only = read_only;
	s.follow_root_symlinks = follow;
	s.quota = (uint64_t)quota;
	s.size = (uint64_t)size;
	s.has_owner = uid >= 0;
	s.uid = s.has_owner ? (uint32_t)uid : 0;
	s.gid = s.has_owner ? (uint32_t)gid : 0;
	*ret = s;
	return 0;
}

void disk_spec_release(struct disk_spec *s)
{
	free(s->path);
	free(s->serial);
	*s = (struct disk_spec){0};
}

json_t *disk_spec_to_json(const struct disk_spec *s)
{
	return json_pack("{s:s, s:s, s:b}", "path", s->path, "serial", s->serial, "read_only",
			 s->read_only);
}

/* It becomes a part of an option of msb-vmm. */
static bool serial_ok(const char *s)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t n = strlen(s);

	return n > 0 && n <= SERIAL_MAX && strspn(s, allowed) == n;
}

int disk_spec_from_json(json_t *j, struct disk_spec *ret)
{
	const char *path, *serial;
	int read_only;

	if (json_unpack(j, "{s:s, s:s, s:b}", "path", &path, "serial", &serial, "read_only",
			&read_only) < 0 ||
	    path[0] != '/' || !serial_ok(serial))
		return -1;
	*ret = (struct disk_spec){
		.path = xstrdup(path), .serial = xstrdup(serial), .read_only = read_only};
	return 0;
}
