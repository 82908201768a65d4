/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/fs_message.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <string.h>

static int bad(struct err *e, const char *what)
{
	return err_set(e, ERR_CORRUPT, "malformed stream of files: %s", what);
}

/* --- names --------------------------------------------------------------------------------- */

static void set_name(json_t *j, const char *key, const char *name)
{
	size_t n = strlen(name);
	_cleanup_free_ char *key_b64 = NULL, *text = NULL;

	if (json_object_set_new(j, key, json_string(name)) == 0)
		return;
	key_b64 = xasprintf("%s_b64", key);
	text = xmalloc(BASE64_LEN(n));
	json_object_set_new(j, key_b64,
			    json_stringn(text, (size_t)(base64_encode(text, name, n) - text)));
}

/*
 * Copies the name in `key` or its base64 form, of 1 to `max` bytes without a NUL. 1, 0 when there
 * is none, or -1.
 */
static int get_name(json_t *j, const char *key, size_t max, char *ret)
{
	char key_b64[32];
	json_t *v = json_object_get(j, key);
	const char *text;
	size_t n, digits, used;

	if (v) {
		n = json_string_length(v);
		if (!json_is_string(v) || n == 0 || n > max ||
		    memchr(json_string_value(v), '\0', n))
			return -1;
		memcpy(ret, json_string_value(v), n);
		ret[n] = '\0';
		return 1;
	}
	snprintf(key_b64, sizeof(key_b64), "%s_b64", key);
	v = json_object_get(j, key_b64);
	if (!v)
		return 0;
	text = json_string_value(v);
	n = json_string_length(v);
	if (!text || n == 0 || n > BASE64_LEN(max) || n % 4 != 0)
		return -1;
	digits = n - (text[n - 1] == '=') - (text[n - 2] == '=');
	if (digits * 3 / 4 > max)
		return -1;
	n = base64_decode(text, digits, (uint8_t *)ret, &used);
	ret[n] = '\0';
	return n && used == digits && !memchr(ret, '\0', n) ? 1 : -1;
}

static char *get_owned(json_t *j, const char *key)
{
	char text[TREE_PATH_MAX + 1];

	return get_name(j, key, TREE_PATH_MAX, text) == 1 ? xstrdup(text) : NULL;
}

bool tree_name_ok(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= TREE_NAME_MAX && !strchr(name, '/') && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

/* --- requests ------------------------------------------------------------------------------ */

static int bad_request(struct err *e, const char *key, const char *want)
{
	return err_set(e, ERR_INVALID, "malformed message: '%s' must be %s", key, want);
}

/* An absent one is left NULL. */
static int get_path(json_t *j, const char *key, char **ret, struct err *e)
{
	char text[TREE_PATH_MAX + 1];
	int r = get_name(j, key, TREE_PATH_MAX, text);

	if (r < 0 || (r > 0 && text[0] != '/'))
		return bad_request(e, key, "an absolute path");
	if (r > 0)
		*ret = xstrdup(text);
	return 0;
}

static int get_flag(json_t *j, const char *key, bool *ret, struct err *e)
{
	json_t *v = json_object_get(j, key);

	if (v && !json_is_boolean(v))
		return bad_request(e, key, "true or false");
	*ret = json_is_true(v);
	return 0;
}

void fs_read_request_release(struct fs_read_request *r)
{
	free(r->path);
	*r = (struct fs_read_request){0};
}

json_t *fs_read_request_to_json(const struct fs_read_request *r)
{
	json_t *j = json_pack("{s:s, s:b}", "op", "fs.read", "follow", r->follow);

	set_name(j, "path", r->path);
	return j;
}

int fs_read_request_from_json(json_t *j, struct fs_read_request *ret, struct err *e)
{
	struct fs_read_request r = {0};

	if (get_path(j, "path", &r.path, e) < 0 || get_flag(j, "follow", &r.follow, e) < 0 ||
	    (!r.path && bad_request(e, "path", "present") < 0)) {
		fs_read_request_release(&r);
		return -1;
	}
	*ret = r;
	return 0;
}

void fs_write_request_release(struct fs_write_request *r)
{
	free(r->path);
	free(r->name);
	free(r->source);
	*r = (struct fs_write_request){0};
}

json_t *fs_write_request_to_json(const struct fs_write_request *r)
{
	json_t *j = json_pack("{s:s, s:b}", "op", "fs.write", "owners", r->owners);

	set_name(j, "path", r->path);
	if (r->name)
		set_name(j, "name", r->name);
	if (r->source)
		set_name(j, "source", r->source);
	return j;
}

int fs_write_request_from_json(json_t *j, struct fs_write_request *ret, struct err *e)
{
	struct fs_write_request r = {0};
	char name[TREE_NAME_MAX + 1];
	int named = get_name(j, "name", TREE_NAME_MAX, name);

	if (named < 0 || (named > 0 && !tree_name_ok(name)))
		return bad_request(e, "name", "the name of a file");
	if (named > 0)
		r.name = xstrdup(name);
	if (get_path(j, "path", &r.path, e) < 0 || get_path(j, "source", &r.source, e) < 0 ||
	    get_flag(j, "owners", &r.owners, e) < 0 ||
	    (!r.path && bad_request(e, "path", "present") < 0)) {
		fs_write_request_release(&r);
		return -1;
	}
	*ret = r;
	return 0;
}

/* --- events -------------------------------------------------------------------------------- */

static const char *const type_names[TREE_TYPE_COUNT] = {"file", "dir", "link"};

json_t *tree_entry_to_json(const struct tree_entry *entry)
{
	json_t *j =
		json_pack("{s:s, s:s, s:i, s:I}", "event", "entry", "type", type_names[entry->type],
			  "mode", (int)entry->mode, "mtime_ns", (json_int_t)entry->mtime_ns);

	if (entry->name[0])
		set_name(j, "name", entry->name);
	if (entry->type == TREE_LINK)
		set_name(j, "target", entry->target);
	if (entry->has_owner) {
		json_object_set_new(j, "uid", json_integer(entry->uid));
		json_object_set_new(j, "gid", json_integer(entry->gid));
	}
	if (entry->has_size)
		json_object_set_new(j, "size", json_integer((json_int_t)entry->size));
	return j;
}

json_t *tree_leave_to_json(void)
{
	return json_pack("{s:s}", "event", "leave");
}

json_t *tree_end_to_json(void)
{
	return json_pack("{s:s}", "event", "end");
}

json_t *tree_hole_to_json(uint64_t length)
{
	return json_pack("{s:s, s:I}", "event", "hole", "length", (json_int_t)length);
}

json_t *tree_skipped_to_json(const char *path, const char *kind)
{
	json_t *j = json_pack("{s:s, s:s}", "event", "skipped", "kind", kind);

	set_name(j, "path", path);
	return j;
}

enum tree_event tree_event_of(json_t *j)
{
	const char *event = json_string_value(json_object_get(j, "event"));

	if (str_eq(event, "entry"))
		return TREE_ENTRY;
	if (str_eq(event, "leave"))
		return TREE_LEAVE;
	if (str_eq(event, "hole"))
		return TREE_HOLE;
	if (str_eq(event, "end"))
		return TREE_END;
	return str_eq(event, "skipped") ? TREE_SKIPPED : TREE_UNKNOWN;
}

/* 1, 0 when there is none, or -1. */
static int get_number(json_t *j, const char *key, uint64_t max, uint64_t *ret)
{
	json_t *v = json_object_get(j, key);

	if (!v)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
	    (uint64_t)json_integer_value(v) > max)
		return -1;
	*ret = (uint64_t)json_integer_value(v);
	return 1;
}

static int get_type(json_t *j, enum tree_type *ret)
{
	const char *type = json_string_value(json_object_get(j, "type"));

	for (size_t i = 0; i < TREE_TYPE_COUNT; i++) {
		if (str_eq(type, type_names[i])) {
			*ret = (enum tree_type)i;
			return 0;
		}
	}
	return -1;
}

int tree_entry_from_json(json_t *j, struct tree_entry *ret, struct err *e)
{
	json_t *mtime = json_object_get(j, "mtime_ns");
	uint64_t mode = 0, uid = 0, gid = 0, size = 0;
	int owner, group, sized, named;

	*ret = (struct tree_entry){0};
	if (get_type(j, &ret->type) < 0)
		return bad(e, "an entry of unknown type");
	named = get_name(j, "name", TREE_NAME_MAX, ret->name);
	if (named < 0 || (named > 0 && !tree_name_ok(ret->name)))
		return bad(e, "a name that no file can have");
	if (get_number(j, "mode", 07777, &mode) != 1 || !json_is_integer(mtime))
		return bad(e, "an entry without mode and time");
	owner = get_number(j, "uid", UINT32_MAX - 1, &uid);
	group = get_number(j, "gid", UINT32_MAX - 1, &gid);
	if (owner < 0 || owner != group)
		return bad(e, "an entry without its owner");
	sized = get_number(j, "size", INT64_MAX, &size);
	if (sized < 0)
		return bad(e, "a size out of range");
	if (ret->type == TREE_LINK && get_name(j, "target", TREE_PATH_MAX, ret->target) != 1)
		return bad(e, "a link without a target");
	ret->mode = (uint32_t)mode;
	ret->mtime_ns = json_integer_value(mtime);
	ret->has_owner = owner;
	ret->uid = (uint32_t)uid;
	ret->gid = (uint32_t)gid;
	ret->has_size = sized;
	ret->size = size;
	return 0;
}

int tree_hole_from_json(json_t *j, uint64_t *ret, struct err *e)
{
	if (get_number(j, "length", INT64_MAX, ret) != 1 || *ret == 0)
		return bad(e, "a hole without a length");
	return 0;
}

int tree_skipped_from_json(json_t *j, struct tree_skipped *ret, struct err *e)
{
	const char *kind = json_string_value(json_object_get(j, "kind"));
	char *path = get_owned(j, "path");

	if (!path || !kind) {
		free(path);
		return bad(e, "nothing to skip");
	}
	*ret = (struct tree_skipped){.path = path, .kind = xstrdup(kind)};
	return 0;
}

void tree_skipped_release(struct tree_skipped *s)
{
	free(s->path);
	free(s->kind);
}
