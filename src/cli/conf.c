/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/conf_internal.h"

#include "base/cleanup.h"
#include "cli/guest_options.h"
#include "cli/network_values.h"
#include "cli/yaml_reader.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A field: where it is, for messages, and how it is taken over. 0 or -1. */
typedef int field_fn(struct conf *c, const char *name, const char *option, json_t *value);

struct field {
	const char *name;
	field_fn *take;
	const char *option; /* that it stands for, if it is one */
};

/* --- reading and merging ------------------------------------------------------------------- */

/* These are merged key by key, everything else is replaced by what a later file says. */
static bool is_merged(const char *field)
{
	return str_eq(field, "env") || str_eq(field, "labels") || str_eq(field, "scripts");
}

static int merge(json_t *into, json_t *from)
{
	const char *key;
	json_t *value;

	json_object_foreach (from, key, value) {
		json_t *old = json_object_get(into, key);
		int r = is_merged(key) && json_is_object(old) && json_is_object(value)
				? json_object_update(old, value)
				: json_object_set(into, key, value);

		if (r < 0)
			return -1;
	}
	return 0;
}

/* A relative path in a file starts at that file's folder. Replaces it by an absolute one. */
static int anchor_path(json_t *holder, const char *key, const char *file, struct err *e)
{
	const char *path = json_string_value(json_object_get(holder, key));
	_cleanup_free_ char *folder = NULL, *whole = NULL, *real = NULL;
	const char *slash = strrchr(file, '/');

	if (!path || !image_is_path(path) || path[0] == '/')
		return 0;
	folder = slash ? xstrndup(file, (size_t)(slash - file) + 1) : xstrdup("./");
	whole = xasprintf("%s%s", folder, path);
	real = realpath(whole, NULL);
	if (!real)
		return err_sys(e, errno, "%s: image: cannot use '%s'", file, whole);
	return json_object_set_new(holder, key, json_string(real)) < 0
		       ? err_set(e, ERR_INVALID, "%s: image: '%s' is not valid UTF-8", file, real)
		       : 0;
}

static json_t *read_file_fields(const char *path, struct err *e)
{
	json_t *j = yaml_read_file(path, e), *image;
	int r;

	if (j && !json_is_object(j)) {
		err_set(e, ERR_INVALID, "%s: it must be a map of fields", path);
		json_decref(j);
		return NULL;
	}
	image = json_object_get(j, "image");
	r = json_is_object(image) ? anchor_path(image, "bind", path, e)
				  : anchor_path(j, "image", path, e);
	if (r == 0)
		r = conf_anchor_mounts(json_object_get(j, "mounts"), path, e);
	if (r < 0) {
		json_decref(j);
		return NULL;
	}
	return j;
}

/* --- values -------------------------------------------------------------------------------- */

int conf_wrong(struct conf *c, const char *name, const char *expected)
{
	return err_set(c->err, ERR_INVALID, "%s: expected %s", name, expected);
}

/* Appends what "${NAME}..." stands for; returns its length in `s`, or 0 with an error. */
static size_t expand(struct conf *c, const char *name, const char *s, struct buf *out)
{
	const char *end = strchr(s, '}'), *value;
	size_t len = end ? (size_t)(end - s) - 2 : 0;
	_cleanup_free_ char *variable = xstrndup(s + 2, len);

	if (len == 0) {
		err_set(c->err, ERR_INVALID, "%s: '${' is not followed by 'NAME}'", name);
		return 0;
	}
	value = getenv(variable);
	if (!value)
		err_set(c->err, ERR_INVALID, "%s: environment variable '%s' not set", name,
			variable);
	else if (buf_append(out, value, strlen(value)) < 0)
		err_set(c->err, ERR_INVALID, "%s: the value is too long", name);
	else
		return len + 3;
	return 0;
}

/* Replaces ${NAME} by the caller's variables; $${NAME} stays ${NAME}. Owned; NULL on an error. */
static char *interpolate(struct conf *c, const char *name, const char *s)
{
	struct buf out;
	char *text = NULL;
	size_t n = 1;

	buf_init(&out, YAML_SIZE_MAX);
	while (*s && n) {
		if (str_starts_with(s, "${")) {
			n = expand(c, name, s, &out);
		} else if (str_starts_with(s, "$${")) {
			n = 3;
			buf_append(&out, "${", 2);
		} else {
			/* At least this character, which may be a dollar sign, up to the next. */
			n = 1 + strcspn(s + 1, "$");
			buf_append(&out, s, n);
		}
		s += n;
	}
	if (n)
		text = buf_len(&out) ? xstrndup((const char *)buf_data(&out), buf_len(&out))
				     : xstrdup("");
	buf_release(&out);
	return text;
}

char *conf_scalar(struct conf *c, const char *name, json_t *value)
{
	if (json_is_string(value))
		return interpolate(c, name, json_string_value(value));
	if (json_is_number(value))
		return json_dumps(value, JSON_ENCODE_ANY);
	if (json_is_boolean(value))
		conf_wrong(c, name, "a text or number; true and false need quotes");
	else
		conf_wrong(c, name, "a text or number");
	return NULL;
}

/* Gives a value to the parser of the option. */
static int set_option(struct conf *c, const char *name, const char *option, const char *value)
{
	if (opt_set(c->command, option, value, c->args, c->err) == 0)
		return 0;
	err_wrap(c->err, "%s", name);
	c->err->code = ERR_INVALID; /* the command line itself is right */
	return -1;
}

int conf_check_members(struct conf *c, const char *name, json_t *map, const char *const *known)
{
	const char *key;
	json_t *value;

	if (!json_is_object(map))
		return conf_wrong(c, name, "a map");
	json_object_foreach (map, key, value) {
		size_t i = 0;

		while (known[i] && !str_eq(known[i], key))
			i++;
		if (!known[i])
			return err_set(c->err, ERR_INVALID, "%s: unknown field '%s'", name, key);
	}
	return 0;
}

/* --- fields -------------------------------------------------------------------------------- */

static int take_scalar(struct conf *c, const char *name, const char *option, json_t *value)
{
	_cleanup_free_ char *text = conf_scalar(c, name, value);

	return text ? set_option(c, name, option, text) : -1;
}

static int take_pull_policy(struct conf *c, const char *name, const char *option, json_t *value)
{
	const char *text = json_string_value(value);

	if (text && str_eq(text, "missing"))
		return set_option(c, name, option, "if-missing");
	return take_scalar(c, name, option, value);
}

/* A map of texts, as KEY=VALUE for an option. */
static int take_map(struct conf *c, const char *name, const char *option, json_t *value)
{
	const char *key;
	json_t *item;

	if (!json_is_object(value))
		return conf_wrong(c, name, "a map");
	json_object_foreach (value, key, item) {
		_cleanup_free_ char *where = xasprintf("%s.%s", name, key);
		_cleanup_free_ char *text = conf_scalar(c, where, item), *pair = NULL;

		if (!text)
			return -1;
		if (strchr(key, '='))
			return err_set(c->err, ERR_INVALID, "%s: the key contains '='", where);
		pair = xasprintf("%s=%s", key, text);
		if (set_option(c, where, option, pair) < 0)
			return -1;
	}
	return 0;
}

/* A list of texts: each for an option, or (without one) as an array that the caller owns. */
static int take_list(struct conf *c, const char *name, const char *option, json_t *value,
		     json_t **ret)
{
	json_t *list = json_array(), *item;
	size_t i;

	if (!json_is_array(value)) {
		conf_wrong(c, name, "a list");
		goto fail;
	}
	json_array_foreach (value, i, item) {
		_cleanup_free_ char *where = xasprintf("%s[%zu]", name, i);
		_cleanup_free_ char *text = conf_scalar(c, where, item);

		if (!text || (option && set_option(c, where, option, text) < 0))
			goto fail;
		if (json_array_append_new(list, json_string(text)) < 0) {
			conf_wrong(c, where, "valid UTF-8");
			goto fail;
		}
	}
	if (ret)
		*ret = list;
	else
		json_decref(list);
	return 0;
fail:
	json_decref(list);
	return -1;
}

static int take_entrypoint(struct conf *c, const char *name, const char *option, json_t *value)
{
	return take_list(c, name, NULL, value, &c->args->conf_entrypoint);
}

static int take_cmd(struct conf *c, const char *name, const char *option, json_t *value)
{
	return take_list(c, name, NULL, value, &c->args->conf_cmd);
}

static int take_image(struct conf *c, const char *name, const char *option, json_t *value)
{
	static const char *const known[] = {"oci", "bind", "upper_size", NULL};
	json_t *source = value, *size;

	if (json_is_object(value)) {
		if (conf_check_members(c, name, value, known) < 0)
			return -1;
		size = json_object_get(value, "upper_size");
		if (json_object_size(value) - (size != NULL) != 1)
			return conf_wrong(c, name, "one of oci and bind");
		if (size && take_scalar(c, "image.upper_size", "root-disk", size) < 0)
			return -1;
		source = json_object_get(value, "oci") ?: json_object_get(value, "bind");
	}
	c->image = conf_scalar(c, name, source);
	if (c->image && json_object_get(value, "bind") && !image_is_path(c->image))
		return conf_wrong(c, name, "a path that begins with /, ./ or ../ for bind");
	return c->image ? 0 : -1;
}

static int take_rlimits(struct conf *c, const char *name, const char *option, json_t *value)
{
	static const char *const known[] = {"resource", "soft", "hard", NULL};
	json_t *item;
	size_t i;

	if (!json_is_array(value))
		return conf_wrong(c, name, "a list");
	json_array_foreach (value, i, item) {
		_cleanup_free_ char *where = xasprintf("%s[%zu]", name, i);
		_cleanup_free_ char *resource = NULL, *soft = NULL, *hard = NULL, *text = NULL;
		json_t *limit;

		if (conf_check_members(c, where, item, known) < 0)
			return -1;
		if (!json_object_get(item, "resource") || !json_object_get(item, "soft"))
			return conf_wrong(c, where, "resource, soft, and perhaps hard");
		limit = json_object_get(item, "hard");
		resource = conf_scalar(c, where, json_object_get(item, "resource"));
		soft = resource ? conf_scalar(c, where, json_object_get(item, "soft")) : NULL;
		hard = soft && limit ? conf_scalar(c, where, limit) : NULL;
		if (!soft || (limit && !hard))
			return -1;
		text = xasprintf("%s=%s%s%s", resource, soft, hard ? ":" : "", hard ? hard : "");
		if (set_option(c, where, option, text) < 0)
			return -1;
	}
	return 0;
}

static int take_init(struct conf *c, const char *name, const char *option, json_t *value)
{
	static const char *const known[] = {"cmd", "args", "env", NULL};
	json_t *cmd, *args, *env;

	if (json_is_string(value))
		return take_scalar(c, name, option, value);
	if (conf_check_members(c, name, value, known) < 0)
		return -1;
	cmd = json_object_get(value, "cmd");
	args = json_object_get(value, "args");
	env = json_object_get(value, "env");
	if (!cmd)
		return conf_wrong(c, name, "cmd");
	if (take_scalar(c, "init.cmd", option, cmd) < 0 ||
	    (args && take_list(c, "init.args", "init-arg", args, NULL) < 0))
		return -1;
	return env ? take_map(c, "init.env", "init-env", env) : 0;
}

/* Bodies are taken as they are: ${NAME} in them is the script's. */
static int take_scripts(struct conf *c, const char *name, const char *option, json_t *value)
{
	const char *key;
	json_t *item;

	if (!json_is_object(value))
		return conf_wrong(c, name, "a map");
	json_object_foreach (value, key, item) {
		_cleanup_free_ char *where = xasprintf("%s.%s", name, key), *pair = NULL;
		const char *body = json_string_value(item);
		_cleanup_free_ char *line = NULL;

		if (!body)
			return conf_wrong(c, where, "a text");
		if (!str_starts_with(body, "#!"))
			line = guest_script_line(c->args->shell);
		pair = xasprintf("%s=%s%s", key, line ? line : "", body);
		if (set_option(c, where, option, pair) < 0)
			return -1;
	}
	return 0;
}

static int take_mounts(struct conf *c, const char *name, const char *option, json_t *value)
{
	return conf_take_mounts(c, name, value);
}

/* A list of texts that become rules: the action, then what the file says. */
static int take_targets(struct conf *c, const char *name, const char *action, json_t *value)
{
	json_t *item;
	size_t i;

	if (!json_is_array(value))
		return conf_wrong(c, name, "a list");
	json_array_foreach (value, i, item) {
		_cleanup_free_ char *where = xasprintf("%s[%zu]", name, i);
		_cleanup_free_ char *target = conf_scalar(c, where, item), *text = NULL;
		char *rule;

		if (!target)
			return -1;
		text = xasprintf("%s@%s", action, target);
		rule = network_rule(text, c->err);
		if (!rule)
			return err_wrap(c->err, "%s", where);
		strv_take(&c->args->network.conf_rules, rule);
	}
	return 0;
}

static int take_dns(struct conf *c, const char *name, json_t *value)
{
	static const char *const known[] = {"rebind_protection", "nameservers", NULL};
	json_t *protection = json_object_get(value, "rebind_protection");
	json_t *servers = json_object_get(value, "nameservers");

	if (conf_check_members(c, name, value, known) < 0)
		return -1;
	if (protection && !json_is_boolean(protection))
		return conf_wrong(c, "network.dns.rebind_protection", "true or false");
	if (json_is_false(protection))
		c->args->network.no_rebind_protection = true;
	return servers ? take_list(c, "network.dns.nameservers", "dns-nameserver", servers, NULL)
		       : 0;
}

/* What is listed as allowed is all that is, unless there is a policy, too. */
static int take_lists(struct conf *c, json_t *value)
{
	json_t *deny = json_object_get(value, "deny"), *allow = json_object_get(value, "allow");

	if (deny && take_targets(c, "network.deny", "deny", deny) < 0)
		return -1;
	if (allow && take_targets(c, "network.allow", "allow", allow) < 0)
		return -1;
	if (!json_array_size(allow) || json_object_get(value, "policy"))
		return 0;
	return set_option(c, "network.allow", "net-default-egress", "deny");
}

static int take_network(struct conf *c, const char *name, const char *option, json_t *value)
{
	static const char *const known[] = {"policy", "allow", "deny",           "ports",
					    "dns",    "tls",   "trust_host_cas", "max_connections",
					    NULL};
	json_t *policy, *ports, *dns, *max;

	if (json_is_string(value))
		return take_scalar(c, name, option, value);
	if (conf_check_members(c, name, value, known) < 0)
		return -1;
	if (json_object_get(value, "tls") || json_object_get(value, "trust_host_cas"))
		return err_set(c->err, ERR_UNSUPPORTED,
			       "%s: this version of msb has no TLS interception", name);
	policy = json_object_get(value, "policy");
	ports = json_object_get(value, "ports");
	dns = json_object_get(value, "dns");
	max = json_object_get(value, "max_connections");
	if ((policy && take_scalar(c, "network.policy", option, policy) < 0) ||
	    take_lists(c, value) < 0 ||
	    (ports && take_list(c, "network.ports", "port", ports, NULL) < 0) ||
	    (dns && take_dns(c, "network.dns", dns) < 0))
		return -1;
	return max ? take_scalar(c, "network.max_connections", "max-connections", max) : 0;
}

static int take_ports(struct conf *c, const char *name, const char *option, json_t *value)
{
	return take_list(c, name, option, value, NULL);
}

static int take_unsupported(struct conf *c, const char *name, const char *option, json_t *value)
{
	return err_set(c->err, ERR_UNSUPPORTED, "%s: this version of msb has no %s", name, option);
}

/* In the order in which they are taken: scripts need to know the shell. */
static const struct field fields[] = {
	{"image", take_image, NULL},
	{"pull_policy", take_pull_policy, "pull"},
	{"cpus", take_scalar, "cpus"},
	{"memory", take_scalar, "memory"},
	{"max_duration", take_scalar, "max-duration"},
	{"idle_timeout", take_scalar, "idle-timeout"},
	{"rlimits", take_rlimits, "rlimit"},
	{"workdir", take_scalar, "workdir"},
	{"shell", take_scalar, "shell"},
	{"user", take_scalar, "user"},
	{"hostname", take_scalar, "hostname"},
	{"security", take_scalar, "security"},
	{"entrypoint", take_entrypoint, NULL},
	{"cmd", take_cmd, NULL},
	{"env", take_map, "env"},
	{"labels", take_map, "label"},
	{"init", take_init, "init"},
	{"mounts", take_mounts, NULL},
	{"scripts", take_scripts, "script-raw"},
	{"network", take_network, "network-policy"},
	{"ports", take_ports, "port"},
	{"secrets", take_unsupported, "secrets"},
	{"patches", take_unsupported, "patches of the root"},
	{"patch_files", take_unsupported, "patches of the root"},
	{"registry", take_unsupported, "logins in it; see msb registry login"},
	{0},
};

static const struct field *find_field(const char *name)
{
	const struct field *f = fields;

	while (f->name && !str_eq(f->name, name))
		f++;
	return f->name ? f : NULL;
}

static int unknown_field(const char *name, struct err *e)
{
	char list[400] = "";
	size_t len = 0;

	for (const struct field *f = fields; f->name && len < sizeof(list); f++)
		if (f->take != take_unsupported)
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
						len ? ", " : "", f->name);
	err_set(e, ERR_INVALID, "unknown field '%s'", name);
	return err_hint(e, "there are %s", list);
}

static int check_fields(json_t *conf, struct err *e)
{
	const char *key;
	json_t *value;

	json_object_foreach (conf, key, value)
		if (!find_field(key))
			return unknown_field(key, e);
	return 0;
}

static int take_fields(struct conf *c, json_t *conf)
{
	for (const struct field *f = fields; f->name; f++) {
		json_t *value = json_object_get(conf, f->name);

		if (value && f->take(c, f->name, f->option, value) < 0)
			return -1;
	}
	return 0;
}

/* --- use ----------------------------------------------------------------------------------- */

/* All files as one; each is checked by itself, so that messages can name it. */
static json_t *load(const struct strv *files, struct err *e)
{
	json_t *all = json_object();

	for (size_t i = 0; i < files->n; i++) {
		json_t *one = read_file_fields(files->v[i], e);
		int r = one ? check_fields(one, e) : -1;

		if (one && r < 0)
			err_wrap(e, "%s", files->v[i]);
		if (r == 0)
			r = merge(all, one);
		json_decref(one);
		if (r < 0) {
			json_decref(all);
			return NULL;
		}
	}
	return all;
}

/* Fills the options anew: from the files, and from the command line over them. */
static int use_files(const struct cli *cli, struct sandbox_options *args, struct operands *ops,
		     const struct strv *files, struct err *e)
{
	struct conf c = {.command = cli->command, .args = args, .err = e};
	json_t *conf = load(files, e);
	int r;

	if (!conf)
		return -1;
	memset(args, 0, *cli->command->args_size);
	r = take_fields(&c, conf);
	if (r < 0 && files->n == 1)
		err_wrap(e, "%s", files->v[0]);
	json_decref(conf);
	operands_release(ops);
	*ops = (struct operands){0};
	if (r == 0)
		r = opt_parse(cli->command, cli->argc, cli->argv, args, ops, e);
	if (r == 0 && ops->args.n == 0 && c.image)
		strv_add(&ops->args, c.image);
	free(c.image);
	return r;
}

int conf_use(const struct cli *cli, struct sandbox_options *args, struct operands *ops,
	     const char **ret_image, struct err *e)
{
	struct strv files = args->conf;
	int r = 0;

	if (files.n) {
		args->conf = (struct strv){0}; /* parsing fills it again */
		r = use_files(cli, args, ops, &files, e);
		strv_release(&files);
	}
	*ret_image = r == 0 && ops->args.n ? ops->args.v[0] : NULL;
	return r;
}

int conf_no_image(const struct cli *cli, const struct sandbox_options *args, struct err *e)
{
	if (args->conf.n)
		return err_set(e, ERR_USAGE,
			       "no image: neither the command line nor '%s' names one",
			       args->conf.v[args->conf.n - 1]);
	return err_set(e, ERR_USAGE, "the following required arguments were not provided: %s",
		       strchr(cli->command->usage, '<'));
}
