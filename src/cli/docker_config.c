/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/docker_config.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "cli/credential_helper.h"
#include "image/reference.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <jansson.h>

#define FILE_MAX (4 * MIB)
/* What Docker calls its own registry, from the times of another protocol. */
#define HUB_KEY "https://index.docker.io/v1/"

static char *find_file(void)
{
	const char *dir = secure_getenv("DOCKER_CONFIG"), *home = secure_getenv("HOME");

	if (dir && *dir)
		return xasprintf("%s/config.json", dir);
	return home && *home ? xasprintf("%s/.docker/config.json", home) : NULL;
}

/* Whether a key, such as "ghcr.io" or "https://ghcr.io/v1/", means the registry. */
static bool key_is_host(const char *key, const char *host)
{
	static const char *const whole[] = {"", "/", "/v1", "/v1/", "/v2", "/v2/"};
	_cleanup_free_ char *name = NULL, *canonical = NULL;
	const char *path;
	size_t i;

	if (str_starts_with(key, "https://"))
		key += strlen("https://");
	else if (str_starts_with(key, "http://"))
		key += strlen("http://");
	name = xstrndup(key, strcspn(key, "/"));
	path = key + strlen(name);
	/* Others keep logins for a part of a registry; those are not for all of it. */
	for (i = 0; i < ARRAY_SIZE(whole) && strcmp(path, whole[i]) != 0; i++)
		;
	if (i == ARRAY_SIZE(whole))
		return false;
	canonical = reference_host_canonical(name);
	return str_eq(canonical, host);
}

/* The member of an object that is the registry's, or NULL. */
static json_t *find_host(json_t *object, const char *host)
{
	const char *key;
	json_t *value;

	json_object_foreach (object, key, value)
		if (key_is_host(key, host))
			return value;
	return NULL;
}

/* Decodes text, owned; NULL for what is no base64 or has a NUL in it. */
static char *base64_text(const char *s)
{
	size_t n = strcspn(s, "="), used, len;
	char *out;

	if (n % 4 == 1 || strspn(s + n, "=") != strlen(s + n) || strlen(s + n) > 2)
		return NULL;
	out = xcalloc(1, n + 1);
	len = base64_decode(s, n, (uint8_t *)out, &used);
	if (used == n && strlen(out) == len)
		return out;
	explicit_bzero(out, n);
	free(out);
	return NULL;
}

/* An entry of "auths". */
static int parse_auth(const char *path, const char *host, json_t *j, struct login *ret,
		      struct err *e)
{
	const char *token = json_string_value(json_object_get(j, "identitytoken"));
	const char *auth = json_string_value(json_object_get(j, "auth"));
	const char *username = json_string_value(json_object_get(j, "username"));
	const char *password = json_string_value(json_object_get(j, "password"));
	_cleanup_secret_ char *text = NULL;
	char *colon;

	if (token && *token) {
		ret->identity_token = xstrdup(token);
		return 1;
	}
	if (auth && *auth) {
		text = base64_text(auth);
		colon = text ? strchr(text, ':') : NULL;
		if (!colon || colon == text)
			return err_set(e, ERR_CORRUPT, "'%s': the login for '%s' is damaged", path,
				       host);
		ret->username = xstrndup(text, (size_t)(colon - text));
		ret->password = xstrdup(colon + 1);
		return 1;
	}
	if (!username || !*username || !password)
		return 0; /* left behind by those who use a credential helper */
	*ret = (struct login){.username = xstrdup(username), .password = xstrdup(password)};
	return 1;
}

/* The helper for the registry, or NULL. */
static const char *find_helper(json_t *root, const char *host)
{
	const char *own = json_string_value(find_host(json_object_get(root, "credHelpers"), host));

	return own ? own : json_string_value(json_object_get(root, "credsStore"));
}

static int find_login(const char *path, json_t *root, const char *host, struct login *ret,
		      struct err *e)
{
	const char *helper = find_helper(root, host);
	const char *server = str_eq(host, REFERENCE_DEFAULT_HOST) ? HUB_KEY : host;
	json_t *auth = find_host(json_object_get(root, "auths"), host);
	struct err why;
	int helped = 0, r;

	if (helper && *helper) {
		helped = credential_helper_get(helper, server, CREDENTIAL_HELPER_LIMIT_MS, ret,
					       &why);
		if (helped > 0)
			return 1;
	}
	r = auth ? parse_auth(path, host, auth, ret, e) : 0;
	/* What is in the file makes up for a helper that fails. */
	if (r != 0 || helped == 0)
		return r;
	if (e)
		*e = why;
	return -1;
}

int docker_config_login(const char *host, struct login *ret, struct err *e)
{
	_cleanup_free_ char *path = find_file();
	_cleanup_secret_ char *text = NULL;
	json_error_t where;
	json_t *root;
	size_t len;
	int r;

	*ret = (struct login){0};
	if (!path)
		return 0;
	r = read_file(AT_FDCWD, path, FILE_MAX, &text, &len);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return err_sys(e, -r, "cannot read '%s'", path);
	root = json_loadb(text, len, 0, &where);
	/* Not what the parser says: it quotes the text, in which there are passwords. */
	if (!root)
		return err_set(e, ERR_CORRUPT, "'%s', line %d: not valid JSON", path, where.line);
	r = find_login(path, root, host, ret, e);
	json_decref(root);
	return r;
}
