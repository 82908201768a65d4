/* SPDX-License-Identifier: Apache-2.0 */
/* msb registry login|logout|ls. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/image_tool.h"
#include "cli/password.h"
#include "image/reference.h"
#include "state/credentials.h"

#include <stdio.h>
#include <string.h>

/* The registry as it is kept, owned; NULL with the error set. "https://" is taken for granted. */
static char *parse_host(const char *text, struct err *e)
{
	const char *start = str_starts_with(text, "https://") ? text + strlen("https://") : text;
	_cleanup_free_ char *name = xstrdup(start);
	size_t n = strlen(name);
	char *host;

	if (n && name[n - 1] == '/')
		name[n - 1] = '\0';
	host = reference_host_canonical(name);
	if (!host) {
		err_set(e, ERR_INVALID, "'%s' is not the name of a registry", text);
		err_hint(e, "expected HOST[:PORT], such as docker.io or localhost:5000");
	}
	return host;
}

/* --- login --------------------------------------------------------------------------------- */

struct registry_login_args {
	char *username;
	bool password_stdin;
	bool no_verify;
	bool insecure;
	char *ca_certs;
	bool quiet;
};

#define LOGIN(name) offsetof(struct registry_login_args, name)

static const struct opt registry_login_opts[] = {
	{"username", 'u', "USER", opt_string, LOGIN(username), "Who logs in"},
	{"password-stdin", 0, NULL, NULL, LOGIN(password_stdin),
	 "Read the password or token from standard input"},
	{"no-verify", 0, NULL, NULL, LOGIN(no_verify), "Do not show the login to the registry"},
	{"insecure", 0, NULL, NULL, LOGIN(insecure),
	 "Allow plain HTTP (always allowed for registries on this host)"},
	{"ca-certs", 0, "FILE", opt_string, LOGIN(ca_certs),
	 "Trust the authorities in this PEM file, too"},
	{"quiet", 'q', NULL, NULL, LOGIN(quiet), "Print nothing"},
	{0},
};

const struct opt *const registry_login_options[] = {registry_login_opts, NULL};
const size_t registry_login_args_size = sizeof(struct registry_login_args);

/* A registry that cannot be asked is no reason not to store the login. */
static int verify(struct cli *cli, const char *host, const struct registry_overrides *o,
		  struct err *e)
{
	if (image_check_login(cli, host, o, e) == 0)
		return 0;
	if (e->code == ERR_UNREACHABLE) {
		print_warning("the login is stored without a check: %s", e->msg);
		return 0;
	}
	err_wrap(e, "cannot log in");
	if (e->code != ERR_AUTH && !e->hint[0])
		err_hint(e, "--no-verify stores the login without asking the registry");
	return -1;
}

int cmd_registry_login(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct registry_login_args *a = args;
	_cleanup_free_ char *host = parse_host(ops->args.v[0], e);
	_cleanup_secret_ char *password = NULL;
	struct registry_overrides o = {
		.insecure = a->insecure, .ca_certs = a->ca_certs, .username = a->username};
	struct credential c = {.host = host, .username = a->username};
	uint64_t started;

	if (!host)
		return -1;
	if (!a->username)
		return err_set(e, ERR_USAGE,
			       "the following required arguments were not provided: "
			       "--username <USER>");
	if (registry_username_check(a->username, a->password_stdin, e) < 0 ||
	    registry_ca_certs_check(a->ca_certs, e) < 0)
		return -1;
	password = password_read(a->password_stdin, e);
	if (!password || home_init(&cli->home, e) < 0)
		return -1;
	started = clock_mono_ns();
	o.password = c.password = password;
	if ((!a->no_verify && verify(cli, host, &o, e) < 0) ||
	    credentials_put(&cli->home, &c, e) < 0)
		return -1;
	print_success(a->quiet, "Logged in", host, clock_mono_ns() - started);
	return 0;
}

/* --- logout -------------------------------------------------------------------------------- */

struct registry_logout_args {
	bool quiet;
};

static const struct opt registry_logout_opts[] = {
	{"quiet", 'q', NULL, NULL, offsetof(struct registry_logout_args, quiet), "Print nothing"},
	{0},
};

const struct opt *const registry_logout_options[] = {registry_logout_opts, NULL};
const size_t registry_logout_args_size = sizeof(struct registry_logout_args);

int cmd_registry_logout(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct registry_logout_args *a = args;
	_cleanup_free_ char *host = parse_host(ops->args.v[0], e);
	int r;

	if (!host || home_init(&cli->home, e) < 0)
		return -1;
	r = credentials_remove(&cli->home, host, e);
	if (r < 0)
		return -1;
	if (r == 0 && !a->quiet)
		print_warning("no login for '%s' is stored", host);
	if (r > 0)
		print_success(a->quiet, "Logged out", host, 0);
	return 0;
}

/* --- ls ------------------------------------------------------------------------------------ */

struct registry_ls_args {
	bool quiet;
	char *format;
};

static const struct opt registry_ls_opts[] = {
	{"format", 0, "FORMAT", opt_string, offsetof(struct registry_ls_args, format), "json",
	 "json"},
	{"quiet", 'q', NULL, NULL, offsetof(struct registry_ls_args, quiet),
	 "Print only the registries"},
	{0},
};

const struct opt *const registry_ls_options[] = {registry_ls_opts, NULL};
const size_t registry_ls_args_size = sizeof(struct registry_ls_args);

/* A line of the list. */
struct entry {
	const char *host, *username, *source;
};

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->host, ((const struct entry *)b)->host);
}

static const char *source_of(const struct config_registry *r)
{
	return registry_has_password(r, false) ? "password_env" : "unset";
}

/* The stored logins and those of the configuration, which may be for the same registry. */
static struct entry *merge(const struct credential *stored, size_t n_stored,
			   const struct config *config, size_t *ret_n)
{
	struct entry *list = xcalloc(n_stored + config->n_registries + 1, sizeof(*list));
	size_t n = 0;

	for (size_t i = 0; i < n_stored; i++)
		list[n++] = (struct entry){stored[i].host, stored[i].username, "file"};
	for (size_t i = 0; i < config->n_registries; i++) {
		const struct config_registry *r = &config->registries[i];
		size_t k = 0;

		if (!r->username)
			continue;
		while (k < n_stored && strcmp(list[k].host, r->host) != 0)
			k++;
		if (k == n_stored)
			list[n++] = (struct entry){r->host, r->username, source_of(r)};
		else if (r->password_env)
			list[k].source = "multiple";
	}
	qsort(list, n, sizeof(*list), compare_entries);
	*ret_n = n;
	return list;
}

static void print_entries(const struct registry_ls_args *a, const struct entry *list, size_t n)
{
	json_t *json = a->format ? json_array() : NULL;
	struct table t;

	table_init(&t, 3, "REGISTRY", "USERNAME", "SOURCE");
	for (size_t i = 0; i < n; i++) {
		if (a->quiet) {
			puts(list[i].host);
		} else if (json) {
			json_array_append_new(json,
					      json_pack("{s:s, s:s, s:s}", "registry", list[i].host,
							"username", list[i].username, "source",
							list[i].source));
		} else {
			table_add(&t, xstrdup(list[i].host));
			table_add(&t, xstrdup(list[i].username));
			table_add(&t, xstrdup(list[i].source));
		}
	}
	if (!a->quiet && !json && n == 0)
		puts("No registries configured.");
	table_print(&t);
	if (json && a->quiet)
		json_decref(json);
	else if (json)
		print_json(json);
}

int cmd_registry_ls(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct registry_ls_args *a = args;
	struct credential *stored;
	struct config config;
	struct entry *list;
	size_t n_stored, n;

	if (home_init(&cli->home, e) < 0 || config_load(&cli->home, &config, e) < 0)
		return -1;
	if (credentials_list(&cli->home, &stored, &n_stored, e) < 0) {
		config_release(&config);
		return -1;
	}
	list = merge(stored, n_stored, &config, &n);
	print_entries(a, list, n);
	free(list);
	for (size_t i = 0; i < n_stored; i++)
		credential_release(&stored[i]);
	free(stored);
	config_release(&config);
	return 0;
}
