/* SPDX-License-Identifier: Apache-2.0 */
#include "state/credentials.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <jansson.h>

#define FILE_NAME "credentials.json"
#define FILE_MAX  (4 * MIB)

void credential_release(struct credential *c)
{
	free(c->host);
	free(c->username);
	secret_free(c->password);
	*c = (struct credential){0};
}

/* --- the file ------------------------------------------------------------------------------ */

/* A file that others can read has told them already; better to say so than to go on with it. */
static int check_mode(const char *path, struct err *e)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "cannot read '%s'", path);
	if (!(st.st_mode & 077))
		return 0;
	err_set(e, ERR_STATE, "'%s' holds passwords, but others than its owner may use it", path);
	return err_hint(e, "chmod 600 %s", path);
}

static bool is_login(json_t *j)
{
	return json_is_string(json_object_get(j, "username")) &&
	       json_is_string(json_object_get(j, "password"));
}

/* Checks everything once, so that the rest can rely on it. */
static bool is_well_formed(json_t *root)
{
	json_t *hosts = json_object_get(root, "registries"), *login;
	const char *host;

	if (!json_is_object(hosts))
		return false;
	json_object_foreach (hosts, host, login)
		if (!is_login(login))
			return false;
	return true;
}

/* The file's content, or what an empty one would have; owned. NULL with the error set. */
static json_t *load(const struct home *h, struct err *e)
{
	_cleanup_free_ char *path = home_path(h, FILE_NAME);
	_cleanup_secret_ char *text = NULL;
	json_error_t where;
	json_t *root;
	size_t len;
	int r;

	if (check_mode(path, e) < 0)
		return NULL;
	r = read_file(AT_FDCWD, path, FILE_MAX, &text, &len);
	if (r == -ENOENT)
		return json_pack("{s:{}}", "registries");
	if (r < 0) {
		err_sys(e, -r, "cannot read '%s'", path);
		return NULL;
	}
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
	/* Not what the parser says: it quotes the text, in which there are passwords. */
	if (!root) {
		err_set(e, ERR_CORRUPT, "'%s', line %d: not valid JSON", path, where.line);
	} else if (!is_well_formed(root)) {
		err_set(e, ERR_CORRUPT, "'%s' is not a list of logins", path);
		json_decref(root);
		root = NULL;
	}
	return root;
}

static int save(const struct home *h, json_t *root, struct err *e)
{
	_cleanup_free_ char *path = home_path(h, FILE_NAME);
	_cleanup_secret_ char *text = json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS);
	int r;

	if (!text)
		return err_set(e, ERR_SYSTEM, "out of memory");
	r = write_file_atomic(AT_FDCWD, path, text, strlen(text), 0600);
	return r < 0 ? err_sys(e, -r, "cannot write '%s'", path) : 0;
}

/*
 * Locks the store against other writers until the descriptor is closed. The directory is locked:
 * the file itself is replaced by every change.
 */
static int lock(const struct home *h, struct err *e)
{
	_cleanup_close_ int fd = open(h->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, errno, "cannot open '%s'", h->path);
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_sys(e, errno, "cannot lock '%s'", h->path);
	return steal_fd(&fd);
}

/* --- operations ---------------------------------------------------------------------------- */

static struct credential from_json(const char *host, json_t *login)
{
	return (struct credential){
		.host = xstrdup(host),
		.username = xstrdup(json_string_value(json_object_get(login, "username"))),
		.password = xstrdup(json_string_value(json_object_get(login, "password"))),
	};
}

int credentials_get(const struct home *h, const char *host, struct credential *ret, struct err *e)
{
	json_t *root = load(h, e), *login;

	if (!root)
		return -1;
	login = json_object_get(json_object_get(root, "registries"), host);
	if (login)
		*ret = from_json(host, login);
	json_decref(root);
	return login ? 1 : 0;
}

static int compare_hosts(const void *a, const void *b)
{
	return strcmp(((const struct credential *)a)->host, ((const struct credential *)b)->host);
}

int credentials_list(const struct home *h, struct credential **ret, size_t *ret_n, struct err *e)
{
	json_t *root = load(h, e), *hosts = json_object_get(root, "registries"), *login;
	const char *host;
	size_t n = 0;

	if (!root)
		return -1;
	*ret = xcalloc(json_object_size(hosts) + 1, sizeof(**ret));
	json_object_foreach (hosts, host, login)
		(*ret)[n++] = from_json(host, login);
	qsort(*ret, n, sizeof(**ret), compare_hosts);
	*ret_n = n;
	json_decref(root);
	return 0;
}

int credentials_put(const struct home *h, const struct credential *c, struct err *e)
{
	_cleanup_close_ int fd = lock(h, e);
	json_t *root = fd < 0 ? NULL : load(h, e), *login;
	int r;

	if (!root)
		return -1;
	login = json_pack("{s:s, s:s}", "username", c->username, "password", c->password);
	if (!login || json_object_set_new(json_object_get(root, "registries"), c->host, login) < 0)
		r = err_set(e, ERR_INVALID, "user name and password must be valid UTF-8");
	else
		r = save(h, root, e);
	json_decref(root);
	return r;
}

int credentials_remove(const struct home *h, const char *host, struct err *e)
{
	_cleanup_close_ int fd = lock(h, e);
	json_t *root = fd < 0 ? NULL : load(h, e);
	int r;

	if (!root)
		return -1;
	if (json_object_del(json_object_get(root, "registries"), host) < 0)
		r = 0;
	else
		r = save(h, root, e) < 0 ? -1 : 1;
	json_decref(root);
	return r;
}
