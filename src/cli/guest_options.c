/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/guest_options.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "proto/rlimit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define AUTO       "auto"
#define RESTRICTED "restricted"

/* --- resource limits ----------------------------------------------------------------------- */

static int parse_limit(const char *s, size_t len, rlim_t *ret)
{
	_cleanup_free_ char *text = xstrndup(s, len);

	if (strcmp(text, "unlimited") == 0) {
		*ret = RLIM_INFINITY;
		return 0;
	}
	return parse_u64(text, INT64_MAX, ret);
}

int opt_rlimit(const char *value, void *field, struct err *e)
{
	struct rlimit_options *o = field;
	struct rlimit_spec spec, *p = o->v;
	size_t name_len = strcspn(value, "=");
	const char *soft = value + name_len + 1, *hard;
	size_t soft_len;

	if (!value[name_len])
		return err_set(e, ERR_INVALID,
			       "rlimit must be in format RESOURCE=SOFT[:HARD], e.g. nofile=1024");
	spec.resource = rlimit_find(value, name_len);
	if (spec.resource < 0)
		return err_set(e, ERR_INVALID, "unknown resource '%.*s'",
			       (int)MIN(name_len, (size_t)64), value);
	soft_len = strcspn(soft, ":");
	hard = soft[soft_len] ? soft + soft_len + 1 : soft;
	if (parse_limit(soft, soft_len, &spec.soft) < 0 ||
	    parse_limit(hard, soft[soft_len] ? strlen(hard) : soft_len, &spec.hard) < 0)
		return err_set(e, ERR_INVALID, "a limit must be a number or 'unlimited'");
	if (spec.soft > spec.hard)
		return err_set(e, ERR_INVALID, "the soft limit is above the hard one");
	while (p < o->v + o->n && p->resource != spec.resource)
		p++;
	*p = spec;
	if (p == o->v + o->n)
		o->n++;
	return 0;
}

static json_t *limit_json(rlim_t n)
{
	return n == RLIM_INFINITY ? json_string("unlimited") : json_integer((json_int_t)n);
}

static json_t *rlimits_json(const struct rlimit_options *o)
{
	json_t *a = json_array();

	for (size_t i = 0; i < o->n; i++)
		json_array_append_new(a, json_pack("{s:s, s:o, s:o}", "resource",
						   rlimit_name(o->v[i].resource), "soft",
						   limit_json(o->v[i].soft), "hard",
						   limit_json(o->v[i].hard)));
	return a;
}

static int limit_value(json_t *j, rlim_t *ret)
{
	*ret = json_is_integer(j) ? (rlim_t)json_integer_value(j) : RLIM_INFINITY;
	return json_is_integer(j) || json_is_string(j) ? 0 : -1;
}

static int boot_rlimits(json_t *config, struct boot_config *boot)
{
	json_t *item;
	size_t i;

	json_array_foreach (json_object_get(config, "rlimits"), i, item) {
		const char *name = json_string_of(item, "resource");
		struct rlimit_spec *spec = &boot->rlimits[boot->n_rlimits];

		if (!name || boot->n_rlimits == EXEC_RLIMIT_MAX)
			return -1;
		spec->resource = rlimit_find(name, strlen(name));
		if (spec->resource < 0 ||
		    limit_value(json_object_get(item, "soft"), &spec->soft) < 0 ||
		    limit_value(json_object_get(item, "hard"), &spec->hard) < 0)
			return -1;
		boot->n_rlimits++;
	}
	return 0;
}

/* --- scripts ------------------------------------------------------------------------------- */

/* Splits NAME, separator, rest; `format` is both for the messages. `ret_name` is owned. */
static int split_script(const char *value, char separator, const char *format, char **ret_name,
			const char **ret_rest, struct err *e)
{
	const char *p = strchr(value, separator);
	char *name;

	if (!p) {
		err_set(e, ERR_INVALID, "script must be in format %s", format);
		return -1;
	}
	if (p == value) {
		err_set(e, ERR_INVALID, "script name must not be empty (%s)", format);
		return -1;
	}
	name = xstrndup(value, (size_t)(p - value));
	if (!boot_script_name_ok(name)) {
		err_set(e, ERR_INVALID,
			"script name must be that of a file, of at most %d bytes and without '/'",
			BOOT_SCRIPT_NAME_MAX);
	} else {
		_cleanup_free_ char *printable = str_printable(name);

		if (strcmp(printable, name) == 0) {
			*ret_name = name;
			*ret_rest = p + 1;
			return 0;
		}
		err_set(e, ERR_INVALID, "script name must be printable");
	}
	free(name);
	return -1;
}

int opt_script(const char *value, void *field, struct err *e)
{
	_cleanup_free_ char *name = NULL;
	const char *body;

	if (split_script(value, '=', "NAME=BODY", &name, &body, e) < 0)
		return -1;
	return opt_strings(value, field, e);
}

int opt_script_path(const char *value, void *field, struct err *e)
{
	_cleanup_free_ char *name = NULL;
	const char *path;

	if (split_script(value, ':', "NAME:PATH", &name, &path, e) < 0)
		return -1;
	if (!*path)
		return err_set(e, ERR_INVALID, "script path must not be empty (NAME:PATH)");
	return opt_strings(value, field, e);
}

char *guest_script_line(const char *shell)
{
	if (!shell)
		shell = SANDBOX_SHELL_DEFAULT;
	return xasprintf(strchr(shell, '/') ? "#!%s\n" : "#!/usr/bin/env %s\n", shell);
}

/* Turns a body into a script: escapes, the interpreter's line if it has none, an end of line. */
static void decode_body(const char *body, const char *shell, struct boot_script *ret)
{
	static const char letters[] = "ntr\\\"'", meanings[] = "\n\t\r\\\"'";
	_cleanup_free_ char *text = xmalloc(strlen(body) + 2);
	_cleanup_free_ char *line = NULL;
	char *p = text;

	for (; *body; body++) {
		const char *l = body[0] == '\\' && body[1] ? strchr(letters, body[1]) : NULL;

		*p++ = l ? meanings[l - letters] : *body;
		body += l != NULL;
	}
	if (p == text || p[-1] != '\n')
		*p++ = '\n';
	*p = '\0';
	if (!str_starts_with(text, "#!"))
		line = guest_script_line(shell);
	ret->data = (uint8_t *)xasprintf("%s%s", line ? line : "", text);
	ret->len = strlen((char *)ret->data);
}

/* Scripts while they are put together. */
struct script_list {
	struct boot_script *v;
	size_t n;
	size_t bytes;
};

static void script_list_release(struct script_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		boot_script_release(&l->v[i]);
	free(l->v);
}

static int check_script(const struct script_list *l, const struct boot_script *s, struct err *e)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i].name, s->name) == 0)
			return err_set(e, ERR_INVALID, "duplicate script name: '%s'", s->name);
	if (l->n == BOOT_SCRIPTS_MAX)
		return err_set(e, ERR_INVALID, "too many scripts (at most %d)", BOOT_SCRIPTS_MAX);
	if (s->len > BOOT_SCRIPTS_BYTES_MAX - l->bytes)
		return err_set(e, ERR_INVALID,
			       "the scripts are too long (at most %llu KiB together)",
			       BOOT_SCRIPTS_BYTES_MAX / KIB);
	return 0;
}

/* Takes the script over. */
static int add_script(struct script_list *l, struct boot_script *s, struct err *e)
{
	if (check_script(l, s, e) < 0) {
		boot_script_release(s);
		return -1;
	}
	l->v = xreallocarray(l->v, l->n + 1, sizeof(*l->v));
	l->bytes += s->len;
	l->v[l->n++] = *s;
	return 0;
}

static int read_script(const char *path, struct boot_script *s, struct err *e)
{
	char *data;
	int r = read_file(AT_FDCWD, path, BOOT_SCRIPTS_BYTES_MAX, &data, &s->len);

	if (r == -EFBIG)
		return err_set(e, ERR_INVALID, "script '%s' is too long (at most %llu KiB): '%s'",
			       s->name, BOOT_SCRIPTS_BYTES_MAX / KIB, path);
	if (r < 0)
		return err_sys(e, -r, "cannot read script '%s' from '%s'", s->name, path);
	s->data = (uint8_t *)data;
	return 0;
}

/* Values were checked when they were parsed. */
static int collect_scripts(const struct sandbox_options *o, struct script_list *l, struct err *e)
{
	const char *rest;

	for (size_t i = 0; i < o->scripts.n; i++) {
		struct boot_script s = {0};

		if (split_script(o->scripts.v[i], '=', "NAME=BODY", &s.name, &rest, e) < 0)
			return -1;
		decode_body(rest, o->shell, &s);
		if (add_script(l, &s, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < o->raw_scripts.n; i++) {
		struct boot_script s = {0};

		if (split_script(o->raw_scripts.v[i], '=', "NAME=BODY", &s.name, &rest, e) < 0)
			return -1;
		s.data = (uint8_t *)xstrdup(rest);
		s.len = strlen(rest);
		if (add_script(l, &s, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < o->script_paths.n; i++) {
		struct boot_script s = {0};

		if (split_script(o->script_paths.v[i], ':', "NAME:PATH", &s.name, &rest, e) < 0)
			return -1;
		if (read_script(rest, &s, e) < 0) {
			boot_script_release(&s);
			return -1;
		}
		if (add_script(l, &s, e) < 0)
			return -1;
	}
	return 0;
}

static int boot_scripts(json_t *config, struct boot_config *boot, struct err *e)
{
	json_t *a = json_object_get(config, "scripts"), *item;
	size_t i;

	if (json_array_size(a) == 0)
		return 0;
	boot->scripts = xcalloc(json_array_size(a), sizeof(*boot->scripts));
	json_array_foreach (a, i, item) {
		if (boot_script_from_json(item, &boot->scripts[i], e) < 0)
			return -1;
		boot->n_scripts++;
	}
	return 0;
}

/* --- init ---------------------------------------------------------------------------------- */

static int check_init(const struct sandbox_options *o, struct err *e)
{
	if (!o->init && (o->init_args.n || o->init_env.n))
		return err_set(e, ERR_USAGE, "'--init-%s' needs '--init <PATH>'",
			       o->init_args.n ? "arg" : "env");
	if (o->init && o->init[0] != '/' && strcmp(o->init, AUTO) != 0)
		return err_set(e, ERR_INVALID, "--init must be an absolute path or `auto`, got: %s",
			       o->init);
	return 0;
}

bool guest_has_init(json_t *config)
{
	return json_string_of(json_object_get(config, "init"), "path");
}

/* Whether a word is the init of the configuration. */
static bool is_init(const char *path, const char *word)
{
	static const char *const known[] = {
		"/init",
		"/sbin/init",
		"/lib/systemd/systemd",
		"/usr/lib/systemd/systemd",
	};

	if (strcmp(path, AUTO) != 0)
		return strcmp(path, word) == 0;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(known[i], word) == 0)
			return true;
	return false;
}

bool guest_init_request(json_t *config, const struct strv *words, struct exec_request *ret)
{
	json_t *init = json_object_get(config, "init");
	const char *path = json_string_of(init, "path");
	bool is_command = words->n && is_init(path, words->v[0]);

	*ret = (struct exec_request){0};
	strv_add(&ret->argv, is_command ? words->v[0] : path);
	json_add_strings(&ret->argv, json_object_get(init, "args"));
	for (size_t i = 1; is_command && i < words->n; i++)
		strv_add(&ret->argv, words->v[i]);
	json_add_strings(&ret->env, json_object_get(init, "env"));
	if (!is_command) {
		ret->user = xstrdup("0:0");
		ret->cwd = xstrdup("/");
	}
	return is_command;
}

/* --- all of them --------------------------------------------------------------------------- */

int guest_options_check(const struct sandbox_options *o, struct err *e)
{
	struct script_list l = {0};
	int r = check_init(o, e);

	if (r == 0)
		r = collect_scripts(o, &l, e);
	script_list_release(&l);
	return r;
}

static int not_utf8(struct err *e)
{
	return err_set(e, ERR_INVALID, "options must be valid UTF-8");
}

static int store_scripts(const struct sandbox_options *o, json_t *config, struct err *e)
{
	struct script_list l = {0};
	json_t *a = json_array();
	int r = collect_scripts(o, &l, e);

	for (size_t i = 0; r == 0 && i < l.n; i++)
		if (json_array_append_new(a, boot_script_to_json(&l.v[i])) < 0)
			r = not_utf8(e);
	if (r == 0 && l.n)
		json_object_set(config, "scripts", a);
	json_decref(a);
	script_list_release(&l);
	return r;
}

int guest_options_store(const struct sandbox_options *o, json_t *config, struct err *e)
{
	json_t *init;

	json_object_set_new(config, "security", json_string(o->security ? o->security : "default"));
	if (o->rlimits.n)
		json_object_set_new(config, "rlimits", rlimits_json(&o->rlimits));
	if (o->init) {
		init = json_pack("{s:s, s:o, s:o}", "path", o->init, "args",
				 message_strings(&o->init_args), "env",
				 message_strings(&o->init_env));
		if (json_object_set_new(config, "init", init) < 0)
			return not_utf8(e);
	}
	return store_scripts(o, config, e);
}

int guest_boot(json_t *config, struct boot_config *boot, struct err *e)
{
	boot->restricted = str_eq(json_string_of(config, "security"), RESTRICTED);
	if (boot_rlimits(config, boot) < 0)
		return err_set(e, ERR_CORRUPT, "a resource limit is malformed");
	return boot_scripts(config, boot, e);
}
