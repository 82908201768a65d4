/* SPDX-License-Identifier: Apache-2.0 */
/* The field "mounts" of a configuration file: texts as for --volume, or maps. */
#include "cli/conf_internal.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The folder of a file, absolute; owned, NULL with errno. */
static char *folder_of(const char *file)
{
	const char *slash = strrchr(file, '/');
	_cleanup_free_ char *folder =
		slash ? xstrndup(file, (size_t)(slash - file) + 1) : xstrdup("./");

	return realpath(folder, NULL);
}

int conf_anchor_mounts(json_t *mounts, const char *file, struct err *e)
{
	_cleanup_free_ char *folder = json_array_size(mounts) ? folder_of(file) : NULL;
	json_t *item;
	size_t i;

	if (json_array_size(mounts) && !folder)
		return err_sys(e, errno, "cannot find the folder of '%s'", file);
	json_array_foreach (mounts, i, item) {
		static const char *const members[] = {"bind", "disk"};

		for (size_t k = 0; k < ARRAY_SIZE(members); k++) {
			json_t *value = json_object_get(item, members[k]);
			const char *path = json_string_value(value);

			if (path && image_is_path(path) && path[0] != '/')
				json_object_set_new(item, members[k],
						    json_sprintf("%s/%s", folder, path));
		}
		if (json_is_string(item) && json_string_value(item)[0] == '.')
			json_array_set_new(mounts, i,
					   json_sprintf("%s/%s", folder, json_string_value(item)));
	}
	return 0;
}

/* "NAME" or "NAME=VALUE" for each member that stands for an option. Owned, or NULL. */
static char *mount_option_text(struct conf *c, const char *name, json_t *mount)
{
	static const struct {
		const char *member, *option;
		bool flag;
	} known[] = {
		{"readonly", "ro", true},
		{"noexec", "noexec", true},
		{"nosuid", "nosuid", true},
		{"nodev", "nodev", true},
		{"follow_root_symlinks", "follow-root-symlinks", true},
		{"stat_virtualization", "stat-virt", false},
		{"host_permissions", "host-perms", false},
		{"quota", "quota", false},
		{"uid", "uid", false},
		{"gid", "gid", false},
		{"format", "format", false},
		{"fstype", "fstype", false},
		{"kind", "kind", false},
		{"size", "size", false},
	};
	_cleanup_free_ char *text = xstrdup("");

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		_cleanup_free_ char *where = xasprintf("%s.%s", name, known[i].member);
		_cleanup_free_ char *value = NULL;
		json_t *member = json_object_get(mount, known[i].member);
		char *longer;

		if (!member || (known[i].flag && json_is_false(member)))
			continue;
		if (known[i].flag && !json_is_true(member)) {
			conf_wrong(c, where, "true or false");
			return NULL;
		}
		value = known[i].flag ? xstrdup("") : conf_scalar(c, where, member);
		if (!value)
			return NULL;
		longer = xasprintf("%s%s%s%s%s", text, *text ? "," : "", known[i].option,
				   known[i].flag ? "" : "=", value);
		free(text);
		text = longer;
	}
	return steal_ptr(&text);
}

/* Which of the kinds a mount is, as the member that says so; NULL with an error. */
static const char *mount_member(struct conf *c, const char *name, json_t *mount,
				enum mount_kind *ret)
{
	static const struct {
		const char *member;
		enum mount_kind kind;
	} kinds[] = {
		{"bind", MOUNT_PATH},
		{"named", MOUNT_NAMED},
		{"disk", MOUNT_DISK},
		{"tmpfs", MOUNT_TMPFS},
	};
	const char *found = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!json_object_get(mount, kinds[i].member))
			continue;
		if (found) {
			conf_wrong(c, name, "only one of bind, named, disk and tmpfs");
			return NULL;
		}
		found = kinds[i].member;
		*ret = kinds[i].kind;
	}
	if (!found || !json_object_get(mount, "target"))
		conf_wrong(c, name, "target, and one of bind, named, disk and tmpfs");
	return json_object_get(mount, "target") ? found : NULL;
}

/* The source of a map, which for memory may instead say how much; owned, NULL for none. */
static int mount_source(struct conf *c, const char *name, json_t *mount, const char *member,
			char **ret)
{
	static const char *const known_tmpfs[] = {"size", NULL};
	json_t *value = json_object_get(mount, member);

	if (str_eq(member, "tmpfs")) {
		if (json_is_null(value))
			return 0;
		if (conf_check_members(c, name, value, known_tmpfs) < 0)
			return -1;
		if (json_object_get(value, "size"))
			json_object_set(mount, "size", json_object_get(value, "size"));
		return 0;
	}
	*ret = conf_scalar(c, name, value);
	if (*ret && str_eq(member, "bind") && !image_is_path(*ret)) {
		free(*ret);
		*ret = NULL;
		return conf_wrong(c, name, "a path that begins with /, ./ or ../ for bind");
	}
	return *ret ? 0 : -1;
}

static int parse_mount(struct conf *c, const char *name, json_t *item, struct mount *ret)
{
	static const char *const known[] = {"bind",
					    "named",
					    "disk",
					    "tmpfs",
					    "target",
					    "readonly",
					    "noexec",
					    "nosuid",
					    "nodev",
					    "follow_root_symlinks",
					    "stat_virtualization",
					    "host_permissions",
					    "quota",
					    "uid",
					    "gid",
					    "format",
					    "fstype",
					    "kind",
					    "size",
					    NULL};
	_cleanup_free_ char *text = NULL, *source = NULL, *options = NULL;
	enum mount_kind kind = MOUNT_PATH;
	const char *member;

	if (!json_is_object(item)) {
		text = conf_scalar(c, name, item);
		return text && mount_parse(MOUNT_PATH, text, ret, c->err) == 0 ? 0 : -1;
	}
	if (conf_check_members(c, name, item, known) < 0)
		return -1;
	member = mount_member(c, name, item, &kind);
	if (!member || mount_source(c, name, item, member, &source) < 0)
		return -1;
	text = conf_scalar(c, name, json_object_get(item, "target"));
	options = text ? mount_option_text(c, name, item) : NULL;
	if (!options)
		return -1;
	return mount_make(kind, source, text, *options ? options : NULL, ret, c->err);
}

int conf_take_mounts(struct conf *c, const char *name, json_t *value)
{
	json_t *item;
	size_t i;

	if (!json_is_array(value))
		return conf_wrong(c, name, "a list");
	json_array_foreach (value, i, item) {
		_cleanup_free_ char *where = xasprintf("%s[%zu]", name, i);
		struct mount m;

		if (parse_mount(c, where, item, &m) < 0)
			return str_starts_with(c->err->msg, where) ? -1
								   : err_wrap(c->err, "%s", where);
		mount_options_add(&c->args->mounts, &m);
	}
	mount_options_from_file(&c->args->mounts);
	return 0;
}
