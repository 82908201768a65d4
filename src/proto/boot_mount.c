/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/boot_mount.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[] = {"tmpfs", "share", "disk"};
static_assert(ARRAY_SIZE(kind_names) == BOOT_MOUNT_KIND_COUNT, "every kind has a name");

/* Longer than any serial of a disk and any number of a share. */
#define SOURCE_MAX 32
#define FSTYPE_MAX 32

void boot_mount_release(struct boot_mount *m)
{
	free(m->path);
	free(m->source);
	free(m->fstype);
	*m = (struct boot_mount){0};
}

json_t *boot_mount_to_json(const struct boot_mount *m)
{
	const struct {
		const char *name;
		bool value;
	} flags[] = {
		{"file", m->file},     {"read_only", m->read_only}, {"noexec", m->noexec},
		{"nosuid", m->nosuid}, {"nodev", m->nodev},
	};
	json_t *j = json_pack("{s:s, s:s, s:s*, s:s*}", "kind", kind_names[m->kind], "path",
			      m->path, "source", m->source, "fstype", m->fstype);

	if (j && m->size)
		json_object_set_new(j, "size", json_integer((json_int_t)m->size));
	for (size_t i = 0; j && i < ARRAY_SIZE(flags); i++)
		if (flags[i].value)
			json_object_set_new(j, flags[i].name, json_true());
	return j;
}

static int malformed(struct err *e, const char *key)
{
	return err_set(e, ERR_INVALID, "malformed message: '%s' of a mount", key);
}

bool boot_share_name_ok(const char *s)
{
	return *s && strlen(s) <= SOURCE_MAX && !strchr(s, '/') && strcmp(s, ".") != 0 &&
	       strcmp(s, "..") != 0;
}

static bool path_ok(const char *s)
{
	return s && s[0] == '/' && s[strspn(s, "/")] && strlen(s) < PATH_MAX;
}

/* Takes the strings and flags that are there; what has to be there is found out afterwards. */
static int read_fields(json_t *j, struct boot_mount *m, struct err *e)
{
	const struct {
		const char *key;
		char **ret;
	} strings[] = {{"path", &m->path}, {"source", &m->source}, {"fstype", &m->fstype}};
	const struct {
		const char *key;
		bool *ret;
	} flags[] = {
		{"file", &m->file},     {"read_only", &m->read_only}, {"noexec", &m->noexec},
		{"nosuid", &m->nosuid}, {"nodev", &m->nodev},
	};

	for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
		json_t *v = json_object_get(j, strings[i].key);
		const char *text = json_string_value(v);

		if (v && (!text || strlen(text) != json_string_length(v)))
			return malformed(e, strings[i].key);
		*strings[i].ret = text ? xstrdup(text) : NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		json_t *v = json_object_get(j, flags[i].key);

		if (v && !json_is_boolean(v))
			return malformed(e, flags[i].key);
		*flags[i].ret = json_is_true(v);
	}
	return 0;
}

static int read_mount(json_t *j, struct boot_mount *m, struct err *e)
{
	const char *kind = json_string_value(json_object_get(j, "kind"));
	json_t *size = json_object_get(j, "size");
	unsigned k = 0;

	while (kind && k < BOOT_MOUNT_KIND_COUNT && strcmp(kind, kind_names[k]) != 0)
		k++;
	if (!kind || k == BOOT_MOUNT_KIND_COUNT)
		return malformed(e, "kind");
	m->kind = (enum boot_mount_kind)k;
	if (read_fields(j, m, e) < 0)
		return -1;
	if (!path_ok(m->path))
		return malformed(e, "path");
	if (m->kind != BOOT_MOUNT_TMPFS && (!m->source || !boot_share_name_ok(m->source)))
		return malformed(e, "source");
	if (m->fstype && (!*m->fstype || strlen(m->fstype) > FSTYPE_MAX))
		return malformed(e, "fstype");
	if (size && (!json_is_integer(size) || json_integer_value(size) < 0))
		return malformed(e, "size");
	m->size = (uint64_t)json_integer_value(size);
	return 0;
}

int boot_mount_from_json(json_t *j, struct boot_mount *ret, struct err *e)
{
	struct boot_mount m = {0};

	if (read_mount(j, &m, e) < 0) {
		boot_mount_release(&m);
		return -1;
	}
	*ret = m;
	return 0;
}
