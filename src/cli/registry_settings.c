/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/registry_settings.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "cli/cli.h"
#include "cli/docker_config.h"
#include "image/reference.h"
#include "state/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* While the document is put together. */
struct settings {
	const struct home *home;
	const struct registry_overrides *overrides;
	struct config config;
	json_t *endpoints;
	bool docker_is_broken; /* said once */
};

/* --- logins -------------------------------------------------------------------------------- */

static const char *password_variable(const struct config_registry *r)
{
	const char *value = r->password_env ? secure_getenv(r->password_env) : NULL;

	return value && *value ? value : NULL;
}

bool registry_has_password(const struct config_registry *r, bool in_store)
{
	return r->password_env ? password_variable(r) != NULL : in_store;
}

/* 1 with *ret, 0 without one, -1 with the error set. */
static int stored_login(const struct settings *s, const char *host, struct login *ret,
			struct err *e)
{
	struct credential c;
	int r = credentials_get(s->home, host, &c, e);

	if (r > 0) {
		ret->username = steal_ptr(&c.username);
		ret->password = steal_ptr(&c.password);
		credential_release(&c);
	}
	return r;
}

/* Nothing is in the store already when this is called. */
static bool configured_login(const struct settings *s, const char *host, struct login *ret)
{
	const struct config_registry *r = config_find_registry(&s->config, host);
	const char *password;

	if (!r || !r->username)
		return false;
	password = password_variable(r);
	if (password) {
		*ret = (struct login){.username = xstrdup(r->username),
				      .password = xstrdup(password)};
		return true;
	}
	if (r->password_env)
		print_warning("the variable '%s' with the password for '%s' is not set",
			      r->password_env, host);
	else
		print_warning("no password for '%s' is stored: msb registry login %s -u %s", host,
			      host, r->username);
	return false;
}

static void docker_login(struct settings *s, const char *host, struct login *ret)
{
	struct err why;

	if (s->docker_is_broken || docker_config_login(host, ret, &why) >= 0)
		return;
	s->docker_is_broken = true;
	print_warning("no login from Docker's configuration: %s", why.msg);
}

/* Leaves *ret empty when there is none. */
static int find_login(struct settings *s, const char *host, struct login *ret, struct err *e)
{
	int r = stored_login(s, host, ret, e);

	if (r < 0)
		return -1;
	if (r == 0 && !configured_login(s, host, ret))
		docker_login(s, host, ret);
	return 0;
}

/* --- the document -------------------------------------------------------------------------- */

static json_t *ca_files(const struct settings *s, const struct config_registry *r)
{
	json_t *list = json_array();

	if (s->config.ca_certs)
		json_array_append_new(list, json_string(s->config.ca_certs));
	if (r && r->ca_certs)
		json_array_append_new(list, json_string(r->ca_certs));
	if (s->overrides->ca_certs)
		json_array_append_new(list, json_string(s->overrides->ca_certs));
	return list;
}

/* `server` is the host as it was written, which the user recognises. */
static int add_endpoint(struct settings *s, const char *server, const struct config_mirror *m,
			const struct login *l, struct err *e)
{
	_cleanup_free_ char *host = reference_host_canonical(server);
	const struct config_registry *r = host ? config_find_registry(&s->config, host) : NULL;
	bool insecure = (r && r->insecure) || (!m && s->overrides->insecure);
	json_t *j =
		json_pack("{s:s, s:s, s:s*, s:b, s:o, s:s*, s:s*, s:s*}", "server", server,
			  "prefix", m ? m->prefix : "", "scheme", m ? m->scheme : NULL, "insecure",
			  insecure, "ca_certs", ca_files(s, r), "username", l->username, "password",
			  l->password, "identity_token", l->identity_token);

	if (!j || json_array_append_new(s->endpoints, j) < 0)
		return err_set(e, ERR_INVALID,
			       "the settings of the registry '%s' must be valid UTF-8", server);
	return 0;
}

static int add_mirrors(struct settings *s, const struct config_registry *r, struct err *e)
{
	for (size_t i = 0; r && i < r->n_mirrors; i++) {
		const struct config_mirror *m = &r->mirrors[i];
		struct login l = {0};
		int ret = find_login(s, m->host, &l, e);

		if (ret == 0)
			ret = add_endpoint(s, m->host, m, &l, e);
		login_release(&l);
		if (ret < 0)
			return -1;
	}
	return 0;
}

static int add_registry(struct settings *s, const char *server, struct err *e)
{
	const struct registry_overrides *o = s->overrides;
	_cleanup_free_ char *host = reference_host_canonical(server);
	struct login l = {0};
	int r = 0;

	if (o->username)
		l = (struct login){.username = xstrdup(o->username),
				   .password = xstrdup(o->password)};
	else
		r = find_login(s, host ? host : server, &l, e);
	if (r == 0)
		r = add_endpoint(s, server, NULL, &l, e);
	login_release(&l);
	return r;
}

/* The document as a file that has no name; takes the endpoints over. */
static int write_document(struct settings *s, struct err *e)
{
	json_t *root = json_pack("{s:o}", "endpoints", s->endpoints);
	_cleanup_secret_ char *text = json_dumps(root, JSON_COMPACT);
	_cleanup_close_ int fd = memfd_create("registry", MFD_CLOEXEC);
	int r;

	json_decref(root);
	if (!text)
		return err_set(e, ERR_SYSTEM, "out of memory");
	r = fd < 0 ? -errno : pwrite_full(fd, text, strlen(text), 0);
	return r < 0 ? err_sys(e, -r, "cannot pass the registry's settings on") : steal_fd(&fd);
}

int registry_settings_for_pull(const struct home *h, const char *reference,
			       const struct registry_overrides *o, struct err *e)
{
	struct settings s = {.home = h, .overrides = o};
	_cleanup_free_ char *host = NULL;
	struct reference ref;
	int fd = -1;

	if (reference_parse(reference, &ref, e) < 0)
		return -1;
	if (config_load(h, &s.config, e) < 0) {
		reference_release(&ref);
		return -1;
	}
	host = reference_host_canonical(ref.host);
	s.endpoints = json_array();
	if (add_mirrors(&s, host ? config_find_registry(&s.config, host) : NULL, e) < 0 ||
	    add_registry(&s, ref.host, e) < 0)
		json_decref(s.endpoints);
	else
		fd = write_document(&s, e);
	config_release(&s.config);
	reference_release(&ref);
	return fd;
}

int registry_settings_for_login(const struct home *h, const char *host,
				const struct registry_overrides *o, struct err *e)
{
	struct settings s = {.home = h, .overrides = o};
	int fd = -1;

	if (config_load(h, &s.config, e) < 0)
		return -1;
	s.endpoints = json_array();
	if (add_registry(&s, host, e) < 0)
		json_decref(s.endpoints);
	else
		fd = write_document(&s, e);
	config_release(&s.config);
	return fd;
}

/* --- options ------------------------------------------------------------------------------- */

int registry_ca_certs_check(const char *path, struct err *e)
{
	struct stat st;

	if (!path)
		return 0;
	if (access(path, R_OK) < 0 || stat(path, &st) < 0)
		return err_sys(e, errno, "cannot read the CA certificates '%s'", path);
	if (S_ISDIR(st.st_mode))
		return err_sys(e, EISDIR, "cannot read the CA certificates '%s'", path);
	if (S_ISREG(st.st_mode) && st.st_size == 0)
		return err_set(e, ERR_INVALID, "there are no PEM certificates in '%s'", path);
	return 0;
}

int registry_username_check(const char *username, bool password_stdin, struct err *e)
{
	if (!username && password_stdin)
		return err_set(e, ERR_USAGE, "--password-stdin needs --username <USER>");
	if (username && (!*username || strchr(username, ':')))
		return err_set(e, ERR_USAGE,
			       "invalid value '%s' for '--username <USER>': it must not be empty "
			       "or have a colon in it",
			       username);
	return 0;
}
