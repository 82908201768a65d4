/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/message.h"

#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/resource.h>

/* --- small typed readers ------------------------------------------------------------------- */

static int bad_field(struct err *e, const char *key, const char *want)
{
	return err_set(e, ERR_INVALID, "malformed message: '%s' must be %s", key, want);
}

/* An absent or null string is NULL. */
static int get_string(json_t *j, const char *key, char **ret, struct err *e)
{
	json_t *v = json_object_get(j, key);

	if (!v || json_is_null(v))
		return 0;
	if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v))
		return bad_field(e, key, "a string without NUL");
	*ret = xstrdup(json_string_value(v));
	return 0;
}

static int get_strings(json_t *j, const char *key, struct strv *ret, struct err *e)
{
	json_t *v = json_object_get(j, key), *item;
	size_t i;

	if (!v)
		return 0;
	if (!json_is_array(v) || json_array_size(v) > EXEC_ARGS_MAX)
		return bad_field(e, key, "an array of strings");
	json_array_foreach (v, i, item) {
		if (!json_is_string(item) ||
		    strlen(json_string_value(item)) != json_string_length(item))
			return bad_field(e, key, "an array of strings without NUL");
		strv_add(ret, json_string_value(item));
	}
	return 0;
}

static int get_bool(json_t *j, const char *key, bool *ret, struct err *e)
{
	json_t *v = json_object_get(j, key);

	if (!v)
		return 0;
	if (!json_is_boolean(v))
		return bad_field(e, key, "true or false");
	*ret = json_is_true(v);
	return 0;
}

static int get_u64(json_t *j, const char *key, uint64_t max, uint64_t *ret, struct err *e)
{
	json_t *v = json_object_get(j, key);

	if (!v)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
	    (uint64_t)json_integer_value(v) > max)
		return bad_field(e, key, "a number in range");
	*ret = (uint64_t)json_integer_value(v);
	return 0;
}

static int get_limit(json_t *j, const char *key, uint64_t *ret, struct err *e)
{
	json_t *v = json_object_get(j, key);

	if (json_is_string(v) && strcmp(json_string_value(v), "unlimited") == 0) {
		*ret = RLIM_INFINITY;
		return 0;
	}
	if (!v)
		return bad_field(e, key, "a number or \"unlimited\"");
	return get_u64(j, key, INT64_MAX, ret, e);
}

json_t *message_strings(const struct strv *sv)
{
	json_t *a = json_array();

	for (size_t i = 0; i < sv->n; i++) {
		if (json_array_append_new(a, json_string(sv->v[i])) < 0) {
			json_decref(a);
			return NULL;
		}
	}
	return a;
}

/* -1 when the string is not UTF-8, or there is no object. */
static int set_string(json_t *j, const char *key, const char *s)
{
	return s ? json_object_set_new(j, key, json_string(s)) : 0;
}

static void set_u64(json_t *j, const char *key, uint64_t n)
{
	if (n)
		json_object_set_new(j, key, json_integer((json_int_t)n));
}

static json_t *limit(uint64_t n)
{
	return n == RLIM_INFINITY ? json_string("unlimited") : json_integer((json_int_t)n);
}

static void set_rlimits(json_t *j, const struct rlimit_spec *specs, size_t n)
{
	json_t *a;

	if (n == 0)
		return;
	a = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(a, json_pack("{s:i, s:o, s:o}", "resource", specs[i].resource,
						   "soft", limit(specs[i].soft), "hard",
						   limit(specs[i].hard)));
	json_object_set_new(j, "rlimits", a);
}

static int get_rlimits(json_t *j, struct rlimit_spec specs[EXEC_RLIMIT_MAX], size_t *ret_n,
		       struct err *e)
{
	json_t *a = json_object_get(j, "rlimits"), *item;
	size_t i;

	if (!a)
		return 0;
	if (!json_is_array(a) || json_array_size(a) > EXEC_RLIMIT_MAX)
		return bad_field(e, "rlimits", "a short array");
	json_array_foreach (a, i, item) {
		struct rlimit_spec *spec = &specs[i];
		uint64_t resource = RLIM_NLIMITS;

		if (get_u64(item, "resource", RLIM_NLIMITS - 1, &resource, e) < 0 ||
		    get_limit(item, "soft", &spec->soft, e) < 0 ||
		    get_limit(item, "hard", &spec->hard, e) < 0)
			return -1;
		if (resource == RLIM_NLIMITS)
			return bad_field(e, "resource", "present");
		spec->resource = (int)resource;
	}
	*ret_n = json_array_size(a);
	return 0;
}

/* --- exec ---------------------------------------------------------------------------------- */

void exec_request_release(struct exec_request *r)
{
	strv_release(&r->argv);
	strv_release(&r->env);
	free(r->cwd);
	free(r->user);
	*r = (struct exec_request){0};
}

json_t *exec_request_to_json(const struct exec_request *r)
{
	json_t *j = json_pack("{s:s, s:o, s:o, s:b, s:b}", "op", "exec", "argv",
			      message_strings(&r->argv), "env", message_strings(&r->env), "tty",
			      r->tty, "stdin", r->has_stdin);

	if (!j || set_string(j, "cwd", r->cwd) < 0 || set_string(j, "user", r->user) < 0) {
		json_decref(j);
		return NULL;
	}
	set_u64(j, "rows", r->rows);
	set_u64(j, "cols", r->cols);
	set_u64(j, "timeout_ms", r->timeout_ms);
	if (r->join)
		json_object_set_new(j, "join", json_true());
	set_rlimits(j, r->rlimits, r->n_rlimits);
	return j;
}

int exec_request_from_json(json_t *j, struct exec_request *ret, struct err *e)
{
	struct exec_request r = {0};
	uint64_t rows = 0, cols = 0;

	if (get_strings(j, "argv", &r.argv, e) < 0 || get_strings(j, "env", &r.env, e) < 0 ||
	    get_string(j, "cwd", &r.cwd, e) < 0 || get_string(j, "user", &r.user, e) < 0 ||
	    get_bool(j, "tty", &r.tty, e) < 0 || get_bool(j, "stdin", &r.has_stdin, e) < 0 ||
	    get_u64(j, "rows", UINT16_MAX, &rows, e) < 0 ||
	    get_u64(j, "cols", UINT16_MAX, &cols, e) < 0 ||
	    get_u64(j, "timeout_ms", INT64_MAX / 1000000, &r.timeout_ms, e) < 0 ||
	    get_bool(j, "join", &r.join, e) < 0 || get_rlimits(j, r.rlimits, &r.n_rlimits, e) < 0)
		goto fail;
	if (r.argv.n == 0) {
		bad_field(e, "argv", "a non-empty array");
		goto fail;
	}
	for (size_t i = 0; i < r.env.n; i++) {
		if (!strchr(r.env.v[i], '=')) {
			bad_field(e, "env", "an array of K=V");
			goto fail;
		}
	}
	r.rows = (uint16_t)rows;
	r.cols = (uint16_t)cols;
	*ret = r;
	return 0;
fail:
	exec_request_release(&r);
	return -1;
}

static const char *const wish_names[INIT_WISH_COUNT] = {NULL, "off", "reboot"};

json_t *exec_result_to_json(const struct exec_result *r)
{
	json_t *j = json_pack("{s:b, s:i}", "ok", 1, "exit_code", r->exit_code);

	set_u64(j, "signal", (uint64_t)r->signal);
	if (r->timed_out)
		json_object_set_new(j, "timed_out", json_true());
	if (r->wish)
		json_object_set_new(j, "wish", json_string(wish_names[r->wish]));
	set_u64(j, "start_ns", r->start_ns);
	set_u64(j, "run_ns", r->run_ns);
	return j;
}

static int get_wish(json_t *j, enum init_wish *ret, struct err *e)
{
	_cleanup_free_ char *s = NULL;

	if (get_string(j, "wish", &s, e) < 0)
		return -1;
	if (!s)
		return 0;
	for (unsigned i = INIT_WISH_OFF; i < INIT_WISH_COUNT; i++) {
		if (strcmp(s, wish_names[i]) == 0) {
			*ret = (enum init_wish)i;
			return 0;
		}
	}
	return bad_field(e, "wish", "off or reboot");
}

int exec_result_from_json(json_t *j, struct exec_result *ret, struct err *e)
{
	uint64_t code = UINT64_MAX, sig = 0;
	enum init_wish wish = INIT_WISH_NONE;
	uint64_t start_ns = 0, run_ns = 0;
	bool timed_out = false;

	if (message_check(j, e) < 0 || get_u64(j, "exit_code", 255, &code, e) < 0 ||
	    get_u64(j, "start_ns", INT64_MAX, &start_ns, e) < 0 ||
	    get_u64(j, "run_ns", INT64_MAX, &run_ns, e) < 0 ||
	    get_u64(j, "signal", 127, &sig, e) < 0 || get_bool(j, "timed_out", &timed_out, e) < 0 ||
	    get_wish(j, &wish, e) < 0)
		return -1;
	if (code == UINT64_MAX)
		return bad_field(e, "exit_code", "present");
	*ret = (struct exec_result){
		.exit_code = (int)code,
		.signal = (int)sig,
		.timed_out = timed_out,
		.wish = wish,
		.start_ns = start_ns,
		.run_ns = run_ns,
	};
	return 0;
}

/* --- scripts ------------------------------------------------------------------------------- */

void boot_script_release(struct boot_script *s)
{
	free(s->name);
	free(s->data);
	*s = (struct boot_script){0};
}

bool boot_script_name_ok(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= BOOT_SCRIPT_NAME_MAX && !strchr(name, '/') &&
	       strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* Whether JSON can hold the bytes as a string that is no longer than base64 of them. */
static bool is_short_text(const struct boot_script *s)
{
	size_t len = s->len;

	for (size_t i = 0; i < s->len; i++) {
		uint8_t c = s->data[i];

		if (c < ' ' && c != '\n' && c != '\t')
			return false;
		len += c < ' ' || c == '"' || c == '\\';
	}
	return len <= BASE64_LEN(s->len);
}

json_t *boot_script_to_json(const struct boot_script *s)
{
	json_t *j = json_pack("{s:s}", "name", s->name), *text = NULL;

	if (!j)
		return NULL;
	/* NULL also when it is not UTF-8. */
	if (is_short_text(s))
		text = json_stringn((const char *)s->data, s->len);
	if (text) {
		json_object_set_new(j, "text", text);
	} else {
		_cleanup_free_ char *b = xmalloc(BASE64_LEN(s->len) + 1);

		*base64_encode(b, s->data, s->len) = '\0';
		json_object_set_new(j, "base64", json_string(b));
	}
	return j;
}

static int get_content(json_t *j, struct boot_script *s, struct err *e)
{
	json_t *text = json_object_get(j, "text"), *b = json_object_get(j, "base64");
	size_t len = json_string_length(text ? text : b), used;
	const char *p = json_string_value(text ? text : b);

	if (!p || (text && b))
		return bad_field(e, text ? "text" : "base64", "a string");
	if (len > BASE64_LEN(BOOT_SCRIPTS_BYTES_MAX))
		return bad_field(e, text ? "text" : "base64", "shorter");
	s->data = xmalloc(len + 1);
	if (text) {
		memcpy(s->data, p, len);
		s->len = len;
		return 0;
	}
	s->len = base64_decode(p, len, s->data, &used);
	if (len % 4 || len - used > 2 || strspn(p + used, "=") != len - used)
		return bad_field(e, "base64", "base64");
	return 0;
}

int boot_script_from_json(json_t *j, struct boot_script *ret, struct err *e)
{
	struct boot_script s = {0};

	if (get_string(j, "name", &s.name, e) == 0) {
		if (!s.name || !boot_script_name_ok(s.name))
			bad_field(e, "name", "the name of a file");
		else if (get_content(j, &s, e) == 0) {
			*ret = s;
			return 0;
		}
	}
	boot_script_release(&s);
	return -1;
}

/* --- network ------------------------------------------------------------------------------- */

#define MAC_LEN 18 /* of the text, with the NUL */

static void set_address(json_t *j, int family, const void *address, const void *gateway,
			unsigned prefix_len)
{
	char a[INET6_ADDRSTRLEN], g[INET6_ADDRSTRLEN];

	if (prefix_len == 0)
		return;
	inet_ntop(family, address, a, sizeof(a));
	inet_ntop(family, gateway, g, sizeof(g));
	json_object_set_new(j, family == AF_INET ? "ip4" : "ip6",
			    json_pack("{s:s, s:i, s:s}", "address", a, "prefix_len",
				      (int)prefix_len, "gateway", g));
}

/* NULL when a string is not UTF-8. */
static json_t *network_to_json(const struct boot_network *n)
{
	json_t *nameservers = message_strings(&n->nameservers), *j;
	const uint8_t *b = n->mac;
	char mac[MAC_LEN];

	if (!nameservers)
		return NULL;
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4],
		 b[5]);
	j = json_pack("{s:s, s:i, s:o}", "mac", mac, "mtu", (int)n->mtu, "nameservers",
		      nameservers);
	set_address(j, AF_INET, n->ip4.address, n->ip4.gateway, n->ip4.prefix_len);
	set_address(j, AF_INET6, n->ip6.address, n->ip6.gateway, n->ip6.prefix_len);
	return j;
}

/* Six pairs of hex digits with colons between them. 0 or -1. */
static int parse_mac(const char *s, uint8_t ret[6])
{
	if (strlen(s) != MAC_LEN - 1)
		return -1;
	for (size_t i = 0; i < MAC_LEN - 1; i++) {
		char c = s[i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
						   : -1;

		if (i % 3 == 2 ? c != ':' : digit < 0)
			return -1;
		if (i % 3 != 2)
			ret[i / 3] = (uint8_t)(ret[i / 3] << 4 | digit);
	}
	return 0;
}

/* An absent family leaves `prefix_len` at 0. */
static int get_address(json_t *j, int family, void *address, void *gateway, unsigned *prefix_len,
		       struct err *e)
{
	const char *key = family == AF_INET ? "ip4" : "ip6", *a, *g;
	json_t *v = json_object_get(j, key);
	int len;

	if (!v)
		return 0;
	if (json_unpack(v, "{s:s, s:i, s:s}", "address", &a, "prefix_len", &len, "gateway", &g) <
		    0 ||
	    len < 1 || len > (family == AF_INET ? 32 : 128) || inet_pton(family, a, address) != 1 ||
	    inet_pton(family, g, gateway) != 1)
		return bad_field(e, key, "an address, a length and a gateway");
	*prefix_len = (unsigned)len;
	return 0;
}

static int check_nameservers(const struct strv *sv, struct err *e)
{
	struct in6_addr a;

	for (size_t i = 0; i < sv->n; i++)
		if (inet_pton(AF_INET, sv->v[i], &a) != 1 && inet_pton(AF_INET6, sv->v[i], &a) != 1)
			return bad_field(e, "nameservers", "an array of addresses");
	return sv->n > BOOT_NAMESERVERS_MAX ? bad_field(e, "nameservers", "a short array") : 0;
}

static int get_network(json_t *j, struct boot_config *c, struct err *e)
{
	json_t *v = json_object_get(j, "network");
	struct boot_network *n = &c->network;
	_cleanup_free_ char *mac = NULL;
	uint64_t mtu = 0;

	if (!v)
		return 0;
	if (get_string(v, "mac", &mac, e) < 0 || get_u64(v, "mtu", BOOT_MTU_MAX, &mtu, e) < 0 ||
	    get_address(v, AF_INET, n->ip4.address, n->ip4.gateway, &n->ip4.prefix_len, e) < 0 ||
	    get_address(v, AF_INET6, n->ip6.address, n->ip6.gateway, &n->ip6.prefix_len, e) < 0 ||
	    get_strings(v, "nameservers", &n->nameservers, e) < 0 ||
	    check_nameservers(&n->nameservers, e) < 0)
		return -1;
	if (!mac || parse_mac(mac, n->mac) < 0)
		return bad_field(e, "mac", "an address of a network card");
	if (mtu < BOOT_MTU_MIN)
		return bad_field(e, "mtu", "a number in range");
	n->mtu = (unsigned)mtu;
	c->has_network = true;
	return 0;
}

/* --- boot ---------------------------------------------------------------------------------- */

void boot_config_release(struct boot_config *c)
{
	free(c->hostname);
	strv_release(&c->env);
	free(c->workdir);
	free(c->user);
	free(c->image_disk);
	free(c->upper_disk);
	free(c->root_share);
	for (size_t i = 0; i < c->n_mounts; i++)
		boot_mount_release(&c->mounts[i]);
	for (size_t i = 0; i < c->n_scripts; i++)
		boot_script_release(&c->scripts[i]);
	free(c->scripts);
	strv_release(&c->network.nameservers);
	exec_request_release(&c->init);
	*c = (struct boot_config){0};
}

/* What concerns the programs more than the root. -1 when a string is not UTF-8. */
static int set_guest(json_t *j, const struct boot_config *c)
{
	json_t *scripts = c->n_scripts ? json_array() : NULL;

	if (c->restricted)
		json_object_set_new(j, "restricted", json_true());
	set_rlimits(j, c->rlimits, c->n_rlimits);
	if (c->n_scripts)
		json_object_set_new(j, "scripts", scripts);
	for (size_t i = 0; i < c->n_scripts; i++)
		if (json_array_append_new(scripts, boot_script_to_json(&c->scripts[i])) < 0)
			return -1;
	if (c->has_network && json_object_set_new(j, "network", network_to_json(&c->network)) < 0)
		return -1;
	return c->has_init ? json_object_set_new(j, "init", exec_request_to_json(&c->init)) : 0;
}

json_t *boot_config_to_json(const struct boot_config *c)
{
	json_t *j = json_pack("{s:o}", "env", message_strings(&c->env));
	json_t *mounts = json_array();

	if (!j || set_string(j, "hostname", c->hostname) < 0 ||
	    set_string(j, "workdir", c->workdir) < 0 || set_string(j, "user", c->user) < 0 ||
	    set_string(j, "image_disk", c->image_disk) < 0 ||
	    set_string(j, "upper_disk", c->upper_disk) < 0 ||
	    set_string(j, "root_share", c->root_share) < 0)
		goto fail;
	set_u64(j, "upper_size", c->upper_size);
	set_u64(j, "time_ns", c->time_ns);
	for (size_t i = 0; i < c->n_mounts; i++)
		if (json_array_append_new(mounts, boot_mount_to_json(&c->mounts[i])) < 0)
			goto fail;
	if (set_guest(j, c) < 0)
		goto fail;
	json_object_set_new(j, "mounts", mounts);
	return j;
fail:
	json_decref(mounts);
	json_decref(j);
	return NULL;
}

static int get_mounts(json_t *j, struct boot_config *c, struct err *e)
{
	json_t *a = json_object_get(j, "mounts"), *item;
	size_t i;

	if (!a)
		return 0;
	if (!json_is_array(a) || json_array_size(a) > BOOT_MOUNTS_MAX)
		return bad_field(e, "mounts", "a short array");
	json_array_foreach (a, i, item) {
		if (boot_mount_from_json(item, &c->mounts[i], e) < 0)
			return -1;
		c->n_mounts++;
	}
	return 0;
}

static int get_scripts(json_t *j, struct boot_config *c, struct err *e)
{
	json_t *a = json_object_get(j, "scripts"), *item;
	size_t i, bytes = 0;

	if (!a)
		return 0;
	if (!json_is_array(a) || json_array_size(a) > BOOT_SCRIPTS_MAX)
		return bad_field(e, "scripts", "a short array");
	c->scripts = xcalloc(json_array_size(a) + 1, sizeof(*c->scripts));
	json_array_foreach (a, i, item) {
		if (boot_script_from_json(item, &c->scripts[i], e) < 0)
			return -1;
		bytes += c->scripts[c->n_scripts++].len;
		if (bytes > BOOT_SCRIPTS_BYTES_MAX)
			return bad_field(e, "scripts", "shorter");
	}
	return 0;
}

static int get_guest(json_t *j, struct boot_config *c, struct err *e)
{
	json_t *init = json_object_get(j, "init");

	if (get_bool(j, "restricted", &c->restricted, e) < 0 ||
	    get_rlimits(j, c->rlimits, &c->n_rlimits, e) < 0 || get_scripts(j, c, e) < 0 ||
	    get_network(j, c, e) < 0 || (init && exec_request_from_json(init, &c->init, e) < 0))
		return -1;
	c->has_init = init;
	return 0;
}

int boot_config_from_json(json_t *j, struct boot_config *ret, struct err *e)
{
	struct boot_config c = {0};

	if (get_string(j, "hostname", &c.hostname, e) < 0 || get_strings(j, "env", &c.env, e) < 0 ||
	    get_string(j, "workdir", &c.workdir, e) < 0 || get_string(j, "user", &c.user, e) < 0 ||
	    get_string(j, "image_disk", &c.image_disk, e) < 0 ||
	    get_string(j, "upper_disk", &c.upper_disk, e) < 0 ||
	    get_string(j, "root_share", &c.root_share, e) < 0 ||
	    get_u64(j, "upper_size", INT64_MAX, &c.upper_size, e) < 0 ||
	    get_u64(j, "time_ns", INT64_MAX, &c.time_ns, e) < 0 || get_mounts(j, &c, e) < 0 ||
	    get_guest(j, &c, e) < 0)
		goto fail;
	if (c.root_share && (c.image_disk || c.upper_disk || !boot_share_name_ok(c.root_share))) {
		bad_field(e, "root_share", "the name of a share, without disks beside it");
		goto fail;
	}
	if (!c.root_share && (!c.image_disk || !c.upper_disk)) {
		err_set(e, ERR_INVALID, "malformed message: no root disks");
		goto fail;
	}
	*ret = c;
	return 0;
fail:
	boot_config_release(&c);
	return -1;
}

/* --- envelopes ----------------------------------------------------------------------------- */

json_t *message_parse(const void *data, size_t len, struct err *e)
{
	json_error_t je;
	json_t *j = json_loadb(data, len, JSON_REJECT_DUPLICATES, &je);

	if (!j) {
		err_set(e, ERR_INVALID, "malformed message: %s", je.text);
		return NULL;
	}
	if (!json_is_object(j)) {
		json_decref(j);
		err_set(e, ERR_INVALID, "malformed message: not an object");
		return NULL;
	}
	return j;
}

json_t *message_ok(void)
{
	return json_pack("{s:b}", "ok", 1);
}

json_t *message_error(const struct err *e)
{
	json_t *error = json_pack("{s:s}", "code", err_code_name(e->code));

	/* A message may quote bytes of an image or a guest that are not UTF-8. */
	if (json_object_set_new(error, "message", json_string(e->msg)) < 0)
		json_object_set_new(error, "message", json_string("(unprintable message)"));
	if (e->hint[0])
		json_object_set_new(error, "hint", json_string(e->hint));
	return json_pack("{s:b, s:o}", "ok", 0, "error", error);
}

int message_check(json_t *result, struct err *e)
{
	json_t *error = json_object_get(result, "error");
	const char *code = json_string_value(json_object_get(error, "code"));
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *hint = json_string_value(json_object_get(error, "hint"));

	if (json_is_true(json_object_get(result, "ok")))
		return 0;
	if (!json_is_object(error))
		return err_set(e, ERR_INTERNAL, "malformed answer");
	err_set(e, err_code_from_name(code), "%s", message ? message : "failed without a reason");
	if (hint)
		err_hint(e, "%s", hint);
	return -1;
}

int message_append(struct buf *b, uint8_t type, json_t *j)
{
	_cleanup_free_ char *s = json_dumps(j, JSON_COMPACT);

	if (!s)
		return -ENOMEM;
	return frame_append(b, type, 0, s, strlen(s));
}

int message_write(int fd, uint8_t type, json_t *j)
{
	_cleanup_free_ char *s = json_dumps(j, JSON_COMPACT);

	if (!s)
		return -ENOMEM;
	return frame_write(fd, type, 0, s, strlen(s));
}
