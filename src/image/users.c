/* SPDX-License-Identifier: Apache-2.0 */
#include "image/users.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <stdlib.h>
#include <string.h>

#define PASSWD_MAX (256 * KIB)
#define USERS_MAX  512
#define FOLDER     "etc"
#define PASSWD     FOLDER "/passwd"

/* --- the text ------------------------------------------------------------------------------ */

/* NAME:PASSWORD:UID:GID:..., of which the first of a name counts. */
static void parse_line(char *line, json_t *users)
{
	const char *name = strsep(&line, ":"), *uid_text, *gid_text;
	uint64_t uid, gid;

	strsep(&line, ":");
	uid_text = strsep(&line, ":");
	gid_text = strsep(&line, ":");
	if (!*name || !uid_text || !gid_text || parse_u64(uid_text, UINT32_MAX - 1, &uid) < 0 ||
	    parse_u64(gid_text, UINT32_MAX - 1, &gid) < 0 || json_object_get(users, name))
		return;
	/* What is no UTF-8 is left out: no option can say it either. */
	json_object_set_new(users, name, json_pack("[I, I]", (json_int_t)uid, (json_int_t)gid));
}

json_t *passwd_parse(char *text)
{
	json_t *users = json_object();
	char *line;

	while ((line = strsep(&text, "\n")) && json_object_size(users) < USERS_MAX)
		parse_line(line, users);
	return users;
}

/* --- the file ------------------------------------------------------------------------------ */

static char *read_content(const struct image *im, const struct digest *layer,
			  const struct layer_entry *entry)
{
	size_t size = (size_t)entry->size, blocks = size - entry->tail_len;
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int fd = -1;

	if (entry->size > PASSWD_MAX || entry->tail_len > entry->size)
		return NULL;
	text = xcalloc(1, size + 1);
	if (blocks) {
		fd = store_open_file(im->store, STORE_LAYER_DATA, layer, NULL);
		if (fd < 0 || pread_full(fd, text, blocks, entry->offset) != (ssize_t)blocks)
			return NULL;
	}
	if (entry->tail_len)
		memcpy(text + blocks, entry->tail, entry->tail_len);
	return steal_ptr(&text);
}

static bool path_is(const struct layer_entry *entry, const char *path)
{
	return entry->path_len == strlen(path) && memcmp(entry->path, path, entry->path_len) == 0;
}

/*
 * Looks in one layer. True when it decides the matter: with the text in `ret`, or NULL when the
 * file is something else, is gone, or its directory is not that of the layers below.
 */
static bool look_in(const struct image *im, const struct digest *layer, char **ret)
{
	_cleanup_close_ int fd = store_open_file(im->store, STORE_LAYER_INDEX, layer, NULL);
	struct layer_entry entry;
	struct layer_index ix;
	bool decided = false;
	size_t pos = 0;

	*ret = NULL;
	if (fd < 0 || layer_index_open(&ix, fd, NULL) < 0)
		return true;
	while (layer_index_next(&ix, &pos, &entry, NULL) > 0) {
		if (path_is(&entry, PASSWD)) {
			free(*ret);
			*ret = entry.type == LAYER_FILE ? read_content(im, layer, &entry) : NULL;
			decided = true;
		} else if (path_is(&entry, FOLDER) && entry.type != LAYER_DIR) {
			decided = true;
		}
	}
	layer_index_release(&ix);
	return decided;
}

json_t *image_passwd(const struct image *im)
{
	for (size_t i = im->config.n_diff_ids; i > 0; i--) {
		_cleanup_free_ char *text = NULL;

		if (look_in(im, &im->config.diff_ids[i - 1], &text))
			return text ? passwd_parse(text) : NULL;
	}
	return NULL;
}
