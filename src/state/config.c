/* SPDX-License-Identifier: Apache-2.0 */
#include "state/config.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "image/reference.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <jansson.h>

#define CONFIG_FILE_MAX (1 * MIB)
#define PREFIX_LEN_MAX  255

/* What is being read, for messages. */
struct reader {
	const char *path; /* of the file */
	struct err *e;
};

static int wrong(const struct reader *r, const char *where, const char *what)
{
	return err_set(r->e, ERR_INVALID, "'%s': %s: %s", r->path, where, what);
}

/* --- members of an object ------------------------------------------------------------------ */

/* Refuses what is no object, and keys that are not in the list. */
static int check_object(const struct reader *r, const char *where, json_t *j,
			const char *const *known)
{
	const char *key;
	json_t *value;

	if (!json_is_object(j))
		return wrong(r, where, "an object is expected");
	json_object_foreach (j, key, value) {
		size_t i = 0;

		while (known[i] && strcmp(known[i], key) != 0)
			i++;
		if (!known[i])
			return err_set(r->e, ERR_INVALID, "'%s': %s: unknown key '%s'", r->path,
				       where, key);
	}
	return 0;
}

/* A string that is not empty, as an owned copy; NULL when the key is absent. */
static int get_text(const struct reader *r, const char *where, json_t *j, const char *key,
		    char **ret)
{
	json_t *value = json_object_get(j, key);

	*ret = NULL;
	if (!value)
		return 0;
	/* One with a NUL inside does not come this far: the parser refuses it. */
	if (!json_string_length(value))
		return err_set(r->e, ERR_INVALID, "'%s': %s: '%s' must be a text", r->path, where,
			       key);
	*ret = xstrdup(json_string_value(value));
	return 0;
}

/* As get_text, for the path of a file. */
static int get_path(const struct reader *r, const char *where, json_t *j, const char *key,
		    char **ret)
{
	_cleanup_free_ char *text = NULL;
	const char *slash = strrchr(r->path, '/');

	if (get_text(r, where, j, key, &text) < 0)
		return -1;
	if (!text || *text == '/' || !slash)
		*ret = steal_ptr(&text);
	else
		*ret = xasprintf("%.*s/%s", (int)(slash - r->path), r->path, text);
	return 0;
}

static int get_bool(const struct reader *r, const char *where, json_t *j, const char *key,
		    bool *ret)
{
	json_t *value = json_object_get(j, key);

	if (value && !json_is_boolean(value))
		return err_set(r->e, ERR_INVALID, "'%s': %s: '%s' must be true or false", r->path,
			       where, key);
	*ret = json_is_true(value);
	return 0;
}

/* --- registries ---------------------------------------------------------------------------- */

/* "part/part", without empty parts and with nothing that means something in a URL. */
static bool prefix_is_good(const char *s)
{
	if (strlen(s) > PREFIX_LEN_MAX || *s == '/' || strstr(s, "//"))
		return false;
	for (const char *p = s; *p; p++) {
		bool good = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			    (*p >= '0' && *p <= '9') || strchr("-._~/", *p);

		if (!good || (*p == '.' && p[1] == '.'))
			return false;
	}
	return true;
}

/* Takes "[SCHEME://]HOST[:PORT][/PREFIX]" apart. False when it is not that. */
static bool parse_mirror(const char *text, struct config_mirror *ret)
{
	_cleanup_free_ char *host = NULL, *prefix = NULL;
	const char *scheme = NULL;
	size_t n;

	if (str_starts_with(text, "https://"))
		scheme = "https";
	else if (str_starts_with(text, "http://"))
		scheme = "http";
	if (scheme)
		text += strlen(scheme) + strlen("://");
	host = xstrndup(text, strcspn(text, "/"));
	text += strlen(host);
	text += *text == '/';
	prefix = xstrdup(text);
	n = strlen(prefix);
	if (n && prefix[n - 1] == '/')
		prefix[--n] = '\0';
	ret->host = reference_host_canonical(host);
	if (!ret->host || !prefix_is_good(prefix))
		return false;
	ret->scheme = scheme ? xstrdup(scheme) : NULL;
	ret->prefix = n ? xasprintf("%s/", prefix) : xstrdup("");
	return true;
}

static int read_mirrors(const struct reader *r, const char *where, json_t *j,
			struct config_registry *ret)
{
	json_t *item;
	size_t i;

	if (!j)
		return 0;
	if (!json_is_array(j))
		return wrong(r, where, "'mirrors' must be a list");
	if (json_array_size(j) > CONFIG_MIRRORS_MAX)
		return wrong(r, where, "too many mirrors");
	ret->mirrors = xcalloc(json_array_size(j), sizeof(*ret->mirrors));
	json_array_foreach (j, i, item) {
		const char *text = json_string_value(item);

		ret->n_mirrors++;
		if (!text || !parse_mirror(text, &ret->mirrors[i]))
			return err_set(r->e, ERR_INVALID,
				       "'%s': %s: bad mirror '%s': expected HOST[:PORT][/PREFIX], "
				       "perhaps with http:// or https://",
				       r->path, where, text ? text : "");
	}
	return 0;
}

static int read_auth(const struct reader *r, const char *host_where, json_t *j,
		     struct config_registry *ret)
{
	static const char *const known[] = {"username", "password_env", "store", NULL};
	_cleanup_free_ char *where = xasprintf("%s.auth", host_where), *store = NULL;

	if (!j)
		return 0;
	if (check_object(r, where, j, known) < 0 ||
	    get_text(r, where, j, "username", &ret->username) < 0 ||
	    get_text(r, where, j, "password_env", &ret->password_env) < 0 ||
	    get_text(r, where, j, "store", &store) < 0)
		return -1;
	if (!ret->username)
		return wrong(r, where, "'username' is missing");
	if (store && strcmp(store, "file") != 0)
		return wrong(r, where, "the only 'store' is \"file\"");
	if (!store == !ret->password_env)
		return wrong(r, where, "either 'password_env' or 'store' is expected");
	return 0;
}

static int read_registry(const struct reader *r, struct config *c, const char *name, json_t *j)
{
	static const char *const known[] = {"insecure", "ca_certs", "mirrors", "auth", NULL};
	_cleanup_free_ char *where = xasprintf("registries.hosts.%s", name);
	struct config_registry *ret = &c->registries[c->n_registries];

	ret->host = reference_host_canonical(name);
	if (!ret->host)
		return wrong(r, where, "not the name of a registry: expected HOST[:PORT]");
	if (config_find_registry(c, ret->host)) {
		free(ret->host);
		return wrong(r, where, "the same registry again");
	}
	c->n_registries++;
	if (check_object(r, where, j, known) < 0 ||
	    get_bool(r, where, j, "insecure", &ret->insecure) < 0 ||
	    get_path(r, where, j, "ca_certs", &ret->ca_certs) < 0 ||
	    read_mirrors(r, where, json_object_get(j, "mirrors"), ret) < 0)
		return -1;
	return read_auth(r, where, json_object_get(j, "auth"), ret);
}

static int read_registries(const struct reader *r, json_t *j, struct config *c)
{
	static const char *const known[] = {"ca_certs", "hosts", NULL};
	json_t *hosts = json_object_get(j, "hosts"), *host;
	const char *name;

	if (check_object(r, "registries", j, known) < 0 ||
	    get_path(r, "registries", j, "ca_certs", &c->ca_certs) < 0)
		return -1;
	if (hosts && !json_is_object(hosts))
		return wrong(r, "registries.hosts", "an object is expected");
	c->registries = xcalloc(json_object_size(hosts) + 1, sizeof(*c->registries));
	json_object_foreach (hosts, name, host)
		if (read_registry(r, c, name, host) < 0)
			return -1;
	return 0;
}

/* --- the file ------------------------------------------------------------------------------ */

static int read_config(const struct reader *r, const char *text, size_t len, struct config *c)
{
	json_error_t where;
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where), *registries;
	int ret = 0;

	if (!root)
		return err_set(r->e, ERR_INVALID, "'%s', line %d: %s", r->path, where.line,
			       where.text);
	registries = json_object_get(root, "registries");
	if (!json_is_object(root))
		ret = err_set(r->e, ERR_INVALID, "'%s': an object is expected", r->path);
	else if (registries)
		ret = read_registries(r, registries, c);
	json_decref(root);
	return ret;
}

int config_load(const struct home *h, struct config *ret, struct err *e)
{
	const char *named = secure_getenv("MSB_CONFIG_PATH");
	struct config c = {.path = named && *named ? xstrdup(named) : home_path(h, "config.json")};
	struct reader reader = {.path = c.path, .e = e};
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = read_file(AT_FDCWD, c.path, CONFIG_FILE_MAX, &text, &len);

	if (r == -ENOENT && !(named && *named))
		r = 0;
	else if (r < 0)
		err_sys(e, -r, "cannot read the configuration '%s'", c.path);
	else
		r = read_config(&reader, text, len, &c);
	if (r < 0) {
		config_release(&c);
		return -1;
	}
	*ret = c;
	return 0;
}

void config_release(struct config *c)
{
	for (size_t i = 0; i < c->n_registries; i++) {
		struct config_registry *r = &c->registries[i];

		for (size_t k = 0; k < r->n_mirrors; k++) {
			free(r->mirrors[k].scheme);
			free(r->mirrors[k].host);
			free(r->mirrors[k].prefix);
		}
		free(r->mirrors);
		free(r->host);
		free(r->ca_certs);
		free(r->username);
		free(r->password_env);
	}
	free(c->registries);
	free(c->ca_certs);
	free(c->path);
	*c = (struct config){0};
}

const struct config_registry *config_find_registry(const struct config *c, const char *host)
{
	for (size_t i = 0; i < c->n_registries; i++)
		if (strcmp(c->registries[i].host, host) == 0)
			return &c->registries[i];
	return NULL;
}
