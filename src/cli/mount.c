/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/mount.h"

#include "base/cleanup.h"
#include "cli/cli.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

void mount_release(struct mount *m)
{
	free(m->source);
	free(m->target);
	free(m->fstype);
	*m = (struct mount){0};
}

/* --- options ------------------------------------------------------------------------------- */

#define DIR_LIKE (BIT(MOUNT_DIR) | BIT(MOUNT_FILE) | BIT(MOUNT_NAMED))
#define ALL      (DIR_LIKE | BIT(MOUNT_DISK) | BIT(MOUNT_TMPFS))
#define BIT(n)   (1U << (n))

enum option {
	OPT_ACCESS, /* ro, rw */
	OPT_NOEXEC,
	OPT_NOSUID,
	OPT_NODEV,
	OPT_FOLLOW,
	OPT_STAT_VIRT,
	OPT_HOST_PERMS,
	OPT_QUOTA,
	OPT_UID,
	OPT_GID,
	OPT_FORMAT,
	OPT_FSTYPE,
	OPT_KIND,
	OPT_SIZE,
	OPT_COUNT
};

static const struct {
	const char *name;
	bool has_value;
	enum option option;
	unsigned kinds;
} options[] = {
	{"ro", false, OPT_ACCESS, ALL},
	{"rw", false, OPT_ACCESS, ALL},
	{"noexec", false, OPT_NOEXEC, ALL},
	{"nosuid", false, OPT_NOSUID, ALL},
	{"nodev", false, OPT_NODEV, ALL},
	{"follow-root-symlinks", false, OPT_FOLLOW, BIT(MOUNT_DIR) | BIT(MOUNT_FILE)},
	{"stat-virt", true, OPT_STAT_VIRT, DIR_LIKE},
	{"host-perms", true, OPT_HOST_PERMS, DIR_LIKE},
	{"quota", true, OPT_QUOTA, DIR_LIKE},
	{"uid", true, OPT_UID, DIR_LIKE},
	{"gid", true, OPT_GID, DIR_LIKE},
	{"format", true, OPT_FORMAT, BIT(MOUNT_DISK)},
	{"fstype", true, OPT_FSTYPE, BIT(MOUNT_DISK)},
	{"kind", true, OPT_KIND, BIT(MOUNT_NAMED)},
	{"size", true, OPT_SIZE, BIT(MOUNT_NAMED) | BIT(MOUNT_TMPFS)},
};

static int bad_value(const char *name, const char *expected, struct err *e)
{
	return err_set(e, ERR_INVALID, "mount option `%s` must be %s", name, expected);
}

static int set_format(const char *value, struct err *e)
{
	if (str_eq(value, "raw"))
		return 0;
	if (!str_eq(value, "qcow2") && !str_eq(value, "vmdk"))
		return bad_value("format", "raw", e);
	err_set(e, ERR_UNSUPPORTED, "disk images in the format %s cannot be mounted", value);
	return err_hint(e, "convert it: qemu-img convert -f %s -O raw IMAGE IMAGE.raw", value);
}

static int set_fstype(struct mount *m, const char *value, struct err *e)
{
	static const char *const known[] = {"ext4", "erofs"};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (str_eq(value, known[i])) {
			m->fstype = xstrdup(value);
			return 0;
		}
	}
	return bad_value("fstype", "ext4 or erofs", e);
}

static int set_size(const char *name, const char *value, uint64_t *ret, struct err *e)
{
	if (opt_memory(value, ret, e) < 0)
		return err_wrap(e, "mount option `%s`", name);
	return *ret > VOLUME_SIZE_MAX ? bad_value(name, "less than 16 TiB", e) : 0;
}

static int set_id(const char *name, const char *value, uint32_t *ret, struct err *e)
{
	uint64_t id;

	if (parse_u64(value, UINT32_MAX - 1, &id) < 0)
		return bad_value(name, "a number", e);
	*ret = (uint32_t)id;
	return 0;
}

static int set_value(struct mount *m, enum option o, const char *name, const char *value,
		     struct err *e)
{
	switch (o) {
	case OPT_STAT_VIRT:
		return stat_virt_parse(value, &m->stat_virt) < 0
			       ? bad_value(name, "strict, relaxed or off", e)
			       : 0;
	case OPT_HOST_PERMS:
		return host_perms_parse(value, &m->host_perms) < 0
			       ? bad_value(name, "private or mirror", e)
			       : 0;
	case OPT_KIND:
		m->has_volume_kind = true;
		return volume_kind_parse(value, &m->volume_kind) < 0
			       ? bad_value(name, "dir or disk", e)
			       : 0;
	case OPT_QUOTA:
		m->has_quota = true;
		/* "0" is no size, but says here that there is no bound. */
		return str_eq(value, "0") ? 0 : set_size(name, value, &m->quota, e);
	case OPT_SIZE:
		return set_size(name, value, &m->size, e);
	case OPT_UID:
		return set_id(name, value, &m->uid, e);
	case OPT_GID:
		return set_id(name, value, &m->gid, e);
	case OPT_FORMAT:
		return set_format(value, e);
	default:
		return set_fstype(m, value, e);
	}
}

static void set_flag(struct mount *m, enum option o, const char *name)
{
	switch (o) {
	case OPT_ACCESS:
		m->read_only = str_eq(name, "ro");
		break;
	case OPT_NOEXEC:
		m->noexec = true;
		break;
	case OPT_NOSUID:
		m->nosuid = true;
		break;
	case OPT_NODEV:
		m->nodev = true;
		break;
	default:
		m->follow_root_symlinks = true;
		break;
	}
}

static unsigned kind_bits(enum mount_kind kind)
{
	return kind == MOUNT_PATH ? BIT(MOUNT_DIR) | BIT(MOUNT_FILE) : BIT(kind);
}

static int set_option(struct mount *m, const char *text, struct err *e)
{
	size_t len = strcspn(text, "="), i = 0;
	_cleanup_free_ char *name = xstrndup(text, len);
	bool has_value = text[len];

	while (i < ARRAY_SIZE(options) && !str_eq(options[i].name, name))
		i++;
	if (i == ARRAY_SIZE(options) && !has_value)
		return err_set(e, ERR_INVALID, "mount option \"%s\" must be a flag or key=value",
			       name);
	if (i == ARRAY_SIZE(options) || !(options[i].kinds & kind_bits(m->kind)))
		return err_set(e, ERR_INVALID, "mount option `%s` is not valid here", name);
	if (has_value != options[i].has_value)
		return err_set(e, ERR_INVALID, "mount option `%s` %s", name,
			       has_value ? "takes no value" : "needs a value");
	if (m->given & BIT(options[i].option))
		return err_set(e, ERR_INVALID, "mount option `%s` specified more than once",
			       options[i].option == OPT_ACCESS ? "ro`/`rw" : name);
	m->given |= BIT(options[i].option);
	if (has_value)
		return set_value(m, options[i].option, name, text + len + 1, e);
	set_flag(m, options[i].option, name);
	return 0;
}

static int set_options(struct mount *m, const char *text, struct err *e)
{
	bool uid, gid;

	for (;;) {
		size_t len = strcspn(text, ",");
		_cleanup_free_ char *one = xstrndup(text, len);

		if (set_option(m, one, e) < 0)
			return -1;
		if (!text[len])
			break;
		text += len + 1;
	}
	uid = m->given & BIT(OPT_UID);
	gid = m->given & BIT(OPT_GID);
	if (uid != gid)
		return err_set(e, ERR_INVALID, "mount options `uid` and `gid` go together");
	m->has_owner = uid;
	if (m->volume_kind == VOLUME_DISK && m->size)
		return volume_size_check(VOLUME_DISK, m->size, e);
	return 0;
}

/* --- parts --------------------------------------------------------------------------------- */

/* Whether the directory is, or is below, one that is the agent's own. */
static bool is_reserved(const char *path)
{
	/* Below /dev and /sys there is something to be mounted at. */
	static const char *const alone[] = {"/dev", "/sys"}, *const wholly[] = {"/proc", "/.msb"};

	for (size_t i = 0; i < ARRAY_SIZE(alone); i++)
		if (str_eq(path, alone[i]))
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(wholly); i++) {
		size_t n = strlen(wholly[i]);

		if (strncmp(path, wholly[i], n) == 0 && (path[n] == '/' || !path[n]))
			return true;
	}
	return false;
}

/* The target without needless slashes and dots; owned, or NULL. */
static char *normal_target(const char *target, struct err *e)
{
	_cleanup_free_ char *out = xmalloc(strlen(target) + 2);
	char *p = out;

	if (target[0] != '/') {
		err_set(e, ERR_INVALID, "guest mount path must be absolute: '%s'", target);
		return NULL;
	}
	if (strlen(target) >= PATH_MAX) {
		err_set(e, ERR_INVALID, "guest mount path is too long");
		return NULL;
	}
	while (*target) {
		size_t n = strspn(target, "/");

		target += n;
		n = strcspn(target, "/");
		if (n == 2 && memcmp(target, "..", 2) == 0) {
			err_set(e, ERR_INVALID, "guest mount path must not contain '..'");
			return NULL;
		}
		if (n && !(n == 1 && *target == '.')) {
			*p++ = '/';
			memcpy(p, target, n);
			p += n;
		}
		target += n;
	}
	*p = '\0';
	if (p == out)
		err_set(e, ERR_INVALID, "cannot mount a volume at guest root /");
	else if (is_reserved(out))
		err_set(e, ERR_INVALID, "cannot mount a volume at '%s': that is the sandbox's own",
			out);
	else
		return steal_ptr(&out);
	return NULL;
}

static bool is_path(const char *source)
{
	return source[0] == '/' || str_starts_with(source, "./") ||
	       str_starts_with(source, "../") || str_eq(source, ".") || str_eq(source, "..");
}

static int check_source(struct mount *m, const char *source, struct err *e)
{
	if (!*source)
		return err_set(e, ERR_INVALID, "the source of a mount must not be empty");
	if (m->kind == MOUNT_PATH && !is_path(source))
		m->kind = MOUNT_NAMED;
	m->source = xstrdup(source);
	if (m->kind != MOUNT_NAMED || volume_name_check(source, e) == 0)
		return 0;
	return is_path(source) || strchr(source, '/')
		       ? err_hint(e, "a path of the host starts with /, ./ or ../")
		       : -1;
}

int mount_make(enum mount_kind kind, const char *source, const char *target, const char *text,
	       struct mount *ret, struct err *e)
{
	struct mount m = {.kind = kind, .stat_virt = STAT_VIRT_RELAXED};
	size_t len = strlen(target);

	if (source && check_source(&m, source, e) < 0)
		goto fail;
	m.target = normal_target(target, e);
	if (!m.target || (text && set_options(&m, text, e) < 0))
		goto fail;
	if (m.kind == MOUNT_FILE && target[len - 1] == '/') {
		err_set(e, ERR_INVALID, "cannot mount a file at '%s': that is a directory", target);
		goto fail;
	}
	*ret = m;
	return 0;
fail:
	mount_release(&m);
	return -1;
}

/* PATH[:SIZE][:OPTIONS], where an option may stand in the place of the size. */
static int parse_tmpfs(const char *text, struct mount *ret, struct err *e)
{
	size_t len = strcspn(text, ":"), n;
	_cleanup_free_ char *path = xstrndup(text, len), *first = NULL;
	const char *rest = text[len] ? text + len + 1 : NULL;
	uint64_t size = 0;

	if (rest) {
		bool is_option = false;

		n = strcspn(rest, ":,=");
		first = xstrndup(rest, n);
		for (size_t i = 0; i < ARRAY_SIZE(options); i++)
			is_option |= str_eq(first, options[i].name);
		if (!is_option) {
			n = strcspn(rest, ":");
			free(first);
			first = xstrndup(rest, n);
			if (opt_memory(first, &size, e) < 0)
				return -1;
			rest = rest[n] ? rest + n + 1 : NULL;
		}
	}
	if (mount_make(MOUNT_TMPFS, NULL, path, rest, ret, e) < 0)
		return -1;
	if (size && ret->size) {
		mount_release(ret);
		return err_set(e, ERR_INVALID, "mount option `size` specified more than once");
	}
	ret->size = size ? size : ret->size;
	return 0;
}

int mount_parse(enum mount_kind kind, const char *text, struct mount *ret, struct err *e)
{
	size_t len = strcspn(text, ":"), n;
	_cleanup_free_ char *source = NULL, *target = NULL;
	const char *p = text + len;

	if (kind == MOUNT_TMPFS)
		return parse_tmpfs(text, ret, e);
	if (!len || !*p || !p[1])
		return err_set(e, ERR_INVALID, "%s must be in format source:/guest[:options]: '%s'",
			       kind == MOUNT_PATH ? "volume" : "mount", text);
	source = xstrndup(text, len);
	p++;
	n = strcspn(p, ":");
	target = xstrndup(p, n);
	return mount_make(kind, source, target, p[n] ? p + n + 1 : NULL, ret, e);
}

/* --- the stored form ----------------------------------------------------------------------- */

static const char *const kind_names[] = {"dir", "file", "named", "disk", "tmpfs"};
static_assert(ARRAY_SIZE(kind_names) == MOUNT_KIND_COUNT, "every kind has a name");

static void set_true(json_t *j, const char *key, bool value)
{
	if (value)
		json_object_set_new(j, key, json_true());
}

static void set_number(json_t *j, const char *key, bool given, uint64_t value)
{
	if (given)
		json_object_set_new(j, key, json_integer((json_int_t)value));
}

json_t *mount_to_json(const struct mount *m)
{
	json_t *j = json_pack("{s:s, s:s*, s:s, s:b, s:s*}", "kind", kind_names[m->kind], "source",
			      m->source, "target", m->target, "read_only", m->read_only, "fstype",
			      m->fstype);

	if (!j)
		return NULL;
	set_true(j, "noexec", m->noexec);
	set_true(j, "nosuid", m->nosuid);
	set_true(j, "nodev", m->nodev);
	set_true(j, "follow_root_symlinks", m->follow_root_symlinks);
	set_number(j, "quota", m->has_quota, m->quota);
	set_number(j, "uid", m->has_owner, m->uid);
	set_number(j, "gid", m->has_owner, m->gid);
	set_number(j, "size", m->kind == MOUNT_TMPFS && m->size, m->size);
	if (kind_bits(m->kind) & DIR_LIKE) {
		json_object_set_new(j, "stat_virt", json_string(stat_virt_name(m->stat_virt)));
		json_object_set_new(j, "host_perms", json_string(host_perms_name(m->host_perms)));
	}
	return j;
}

static int read_kind(const char *name, enum mount_kind *ret)
{
	for (unsigned i = 0; i < MOUNT_KIND_COUNT; i++) {
		if (str_eq(name, kind_names[i])) {
			*ret = (enum mount_kind)i;
			return 0;
		}
	}
	return -1;
}

static bool is_set(json_t *j, const char *key)
{
	return json_is_true(json_object_get(j, key));
}

int mount_from_json(json_t *j, struct mount *ret)
{
	const char *source = json_string_of(j, "source"), *target = json_string_of(j, "target");
	const char *virt = json_string_of(j, "stat_virt"), *perms = json_string_of(j, "host_perms");
	const char *fstype = json_string_of(j, "fstype");
	struct mount m = {.stat_virt = STAT_VIRT_RELAXED};

	if (read_kind(json_string_of(j, "kind"), &m.kind) < 0 || !target || target[0] != '/' ||
	    (m.kind != MOUNT_TMPFS && !source) ||
	    (m.kind == MOUNT_NAMED && volume_name_check(source, NULL) < 0) ||
	    (virt && stat_virt_parse(virt, &m.stat_virt) < 0) ||
	    (perms && host_perms_parse(perms, &m.host_perms) < 0))
		return -1;
	m.source = source ? xstrdup(source) : NULL;
	m.target = xstrdup(target);
	m.fstype = fstype ? xstrdup(fstype) : NULL;
	m.read_only = is_set(j, "read_only");
	m.noexec = is_set(j, "noexec");
	m.nosuid = is_set(j, "nosuid");
	m.nodev = is_set(j, "nodev");
	m.follow_root_symlinks = is_set(j, "follow_root_symlinks");
	m.has_quota = json_object_get(j, "quota");
	m.quota = json_number_of(j, "quota");
	m.has_owner = json_object_get(j, "uid");
	m.uid = (uint32_t)json_number_of(j, "uid");
	m.gid = (uint32_t)json_number_of(j, "gid");
	m.size = json_number_of(j, "size");
	*ret = m;
	return 0;
}

/* --- for people ---------------------------------------------------------------------------- */

char *mount_text(const struct mount *m)
{
	_cleanup_free_ char *target = str_printable(m->target);
	_cleanup_free_ char *source = str_printable(m->source ? m->source : "");
	const char *flags = m->read_only ? "ro" : "rw";
	_cleanup_free_ char *more =
		xasprintf("%s%s%s", m->noexec ? ", noexec" : "", m->nosuid ? ", nosuid" : "",
			  m->nodev ? ", nodev" : "");

	switch (m->kind) {
	case MOUNT_TMPFS:
		if (m->size && !m->read_only && !*more)
			return xasprintf("%s → tmpfs (%llu MiB)", target,
					 (unsigned long long)(m->size / MIB));
		if (!m->size && !m->read_only && !*more)
			return xasprintf("%s → tmpfs", target);
		if (!m->size)
			return xasprintf("%s → tmpfs (%s%s)", target, flags, more);
		return xasprintf("%s → tmpfs (%llu MiB, %s%s)", target,
				 (unsigned long long)(m->size / MIB), flags, more);
	case MOUNT_NAMED:
		return xasprintf("%s → volume:%s (%s%s)", target, source, flags, more);
	case MOUNT_DISK:
		return xasprintf("%s → disk:%s (raw)%s%s%s (%s%s)", target, source,
				 m->fstype ? " [" : "", m->fstype ? m->fstype : "",
				 m->fstype ? "]" : "", flags, more);
	default:
		return xasprintf("%s → %s (%s%s)", target, source, flags, more);
	}
}
