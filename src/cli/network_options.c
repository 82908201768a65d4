/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/network_options.h"

#include "base/cleanup.h"
#include "cli/network_values.h"
#include "cli/sandbox_options.h"

#include <stdlib.h>
#include <string.h>

#define POLICY_DEFAULT "public-only"
#define ALLOW          "allow"

/* --- parsing ------------------------------------------------------------------------------- */

static int opt_port(const char *value, void *field, struct err *e)
{
	struct net_publish p;

	return network_port(value, &p, e) < 0 ? -1 : opt_strings(value, field, e);
}

static int opt_policy(const char *value, void *field, struct err *e)
{
	const char *word = network_policy_word(value, e);

	return word ? opt_string(word, field, e) : -1;
}

/* Several may stand in one value. */
static int opt_rules(const char *value, void *field, struct err *e)
{
	for (;;) {
		size_t n = strcspn(value, ",");
		_cleanup_free_ char *one = xstrndup(value, n);
		char *rule = network_rule(one, e);

		if (!rule)
			return -1;
		strv_take(field, rule);
		if (!value[n])
			return 0;
		value += n + 1;
	}
}

static int take_name(const char *value, bool suffix, struct strv *field, struct err *e)
{
	char *rule = network_deny_domain(value, suffix, e);

	if (!rule)
		return -1;
	strv_take(field, rule);
	return 0;
}

static int opt_deny_domain(const char *value, void *field, struct err *e)
{
	return take_name(value, false, field, e);
}

static int opt_deny_suffix(const char *value, void *field, struct err *e)
{
	return take_name(value, true, field, e);
}

static int opt_connections(const char *value, void *field, struct err *e)
{
	uint64_t *n = field;

	if (parse_u64(value, NET_CONNECTIONS_MAX, n) < 0 || *n == 0)
		return err_set(e, ERR_INVALID, "must be a number from 1 to %d",
			       NET_CONNECTIONS_MAX);
	return 0;
}

static int opt_rate(const char *value, void *field, struct err *e)
{
	return network_rate(value, field, e);
}

static int opt_packets(const char *value, void *field, struct err *e)
{
	uint64_t *n = field;

	if (parse_u64(value, INT64_MAX, n) < 0 || *n == 0)
		return err_set(e, ERR_INVALID, "must be a number above 0");
	return 0;
}

static int opt_nameserver(const char *value, void *field, struct err *e)
{
	struct net_server s;

	return network_nameserver(value, &s, e) < 0 ? -1 : opt_strings(value, field, e);
}

#define FIELD(name) offsetof(struct sandbox_options, network.name)
#define ACTIONS     "allow deny"

const struct opt network_opts[] = {
	{"port", 'p', "[BIND:]HOST:GUEST", opt_port, FIELD(ports),
	 "Publish a port of the sandbox, on 127.0.0.1 unless BIND says otherwise; HOST 0: any "
	 "free one; /udp after it"},
	{"network-policy", 0, "POLICY", opt_policy, FIELD(policy),
	 "What may be talked to: none, public-only, nonlocal, allow-all [default: public-only]"},
	{"net", 0, "POLICY", opt_policy, FIELD(policy), NULL},
	{"no-net", 0, NULL, NULL, FIELD(off), "No network device at all"},
	{"net-rule", 0, "RULE", opt_rules, FIELD(rules),
	 "Rule in front of the policy's, e.g. allow@10.1.2.3:tcp:5432 or deny@*.example.com"},
	{"net-default", 0, "ACTION", opt_string, FIELD(default_both),
	 "What becomes of traffic that no rule is about: allow, deny", ACTIONS},
	{"net-default-egress", 0, "ACTION", opt_string, FIELD(default_egress),
	 "The same for what the sandbox starts", ACTIONS},
	{"net-default-ingress", 0, "ACTION", opt_string, FIELD(default_ingress),
	 "The same for connections to published ports", ACTIONS},
	{"deny-domain", 0, "NAME", opt_deny_domain, FIELD(deny_domains),
	 "Deny this domain name, whatever else is allowed"},
	{"deny-domain-suffix", 0, "NAME", opt_deny_suffix, FIELD(deny_suffixes),
	 "Deny this domain name and all below it"},
	{"max-connections", 0, "N", opt_connections, FIELD(max_connections),
	 "TCP connections at a time, 1 to 4096 [default: 256]"},
	{"net-rate-egress", 0, "SIZE", opt_rate, FIELD(rate_egress),
	 "Bytes per second that the sandbox may send, e.g. 10M"},
	{"net-rate-ingress", 0, "SIZE", opt_rate, FIELD(rate_ingress),
	 "Bytes per second that it may receive"},
	{"net-packets-egress", 0, "N", opt_packets, FIELD(packets_egress),
	 "Packets per second that it may send"},
	{"net-packets-ingress", 0, "N", opt_packets, FIELD(packets_ingress),
	 "Packets per second that it may receive"},
	{"dns-nameserver", 0, "ADDRESS[:PORT]", opt_nameserver, FIELD(nameservers),
	 "Ask this server for names, not those of the host; up to 8"},
	{"no-dns-rebind-protection", 0, NULL, NULL, FIELD(no_rebind_protection),
	 "Let names have private addresses"},
	{"proxy", 0, "URL", opt_string, FIELD(proxy),
	 "Connect through this proxy: KIND://[USER[:PASSWORD]@]ADDRESS[:PORT]; KIND is socks4, "
	 "socks5 or http"},
	{"proxy-from-env", 0, NULL, NULL, FIELD(proxy_from_env),
	 "Take the proxy from the variable ALL_PROXY or all_proxy"},
	{"proxy-password-env", 0, "VARIABLE", opt_string, FIELD(proxy_password_env),
	 "Take the proxy's password from this variable whenever the sandbox is started"},
	{0},
};

/* --- checks -------------------------------------------------------------------------------- */

static int conflict(const char *option, struct err *e)
{
	return err_set(e, ERR_INVALID, "--no-net cannot be combined with --%s", option);
}

/* What asks for a network contradicts it; limits of one that is not there do not. */
static int check_off(const struct network_options *o, struct err *e)
{
	if (o->rules.n)
		return conflict("net-rule", e);
	if (o->default_both)
		return conflict("net-default", e);
	if (o->default_egress)
		return conflict("net-default-egress", e);
	if (o->default_ingress)
		return conflict("net-default-ingress", e);
	if (o->ports.n)
		return conflict("port", e);
	if (o->policy && strcmp(o->policy, "none") != 0)
		return conflict("network-policy", e);
	return 0;
}

static bool is_loopback(const struct addr *a)
{
	return addr_class(a) == ADDR_LOOPBACK;
}

static bool same_place(const struct net_publish *a, const struct net_publish *b)
{
	return a->host_port && a->host_port == b->host_port && a->protocol == b->protocol &&
	       addr_equal(&a->addr, &b->addr);
}

/* Values were checked when they were parsed. */
static int check_ports(const struct network_options *o, bool quiet, struct err *e)
{
	_cleanup_free_ struct net_publish *ports = xcalloc(o->ports.n + 1, sizeof(*ports));

	if (o->ports.n > NET_PUBLISH_MAX)
		return err_set(e, ERR_INVALID, "too many published ports (at most %d)",
			       NET_PUBLISH_MAX);
	for (size_t i = 0; i < o->ports.n; i++) {
		if (network_port(o->ports.v[i], &ports[i], e) < 0)
			return -1;
		for (size_t j = 0; j < i; j++)
			if (same_place(&ports[i], &ports[j]))
				return err_set(e, ERR_INVALID,
					       "port '%s' of the host is published twice",
					       o->ports.v[i]);
		if (!quiet && !is_loopback(&ports[i].addr))
			print_warning("port %s can be reached from other machines", o->ports.v[i]);
	}
	return 0;
}

/* The URL that is to be used; NULL when there is none. */
static const char *proxy_url(const struct network_options *o)
{
	const char *url = NULL;

	if (o->proxy || !o->proxy_from_env)
		return o->proxy;
	url = getenv("ALL_PROXY");
	if (!url || !*url)
		url = getenv("all_proxy");
	return url && *url ? url : NULL;
}

static int check_proxy(const struct network_options *o, struct err *e)
{
	const char *url = proxy_url(o);
	struct net_proxy p;
	int r = 0;

	if (!url && o->proxy_from_env)
		return err_set(e, ERR_INVALID, "environment variable 'ALL_PROXY' not set");
	if (!url && o->proxy_password_env)
		return err_set(e, ERR_USAGE, "'--proxy-password-env' needs '--proxy <URL>'");
	if (!url)
		return 0;
	if (net_proxy_parse(url, &p, e) < 0)
		return -1;
	if (o->proxy_password_env) {
		if (!p.user || p.password || p.kind == PROXY_SOCKS4 || p.kind == PROXY_SOCKS4A)
			r = err_set(e, ERR_INVALID,
				    "'--proxy-password-env' needs a proxy of a kind that has "
				    "passwords, with a user and no password in its URL");
		else if (!getenv(o->proxy_password_env))
			r = err_set(e, ERR_INVALID, "environment variable '%s' not set",
				    o->proxy_password_env);
	}
	net_proxy_release(&p);
	return r;
}

int network_options_check(const struct network_options *o, bool quiet, struct err *e)
{
	if (o->off && check_off(o, e) < 0)
		return -1;
	if (o->nameservers.n > NET_NAMESERVERS_MAX)
		return err_set(e, ERR_INVALID, "too many nameservers (at most %d)",
			       NET_NAMESERVERS_MAX);
	/* Those of a policy come to it. */
	if (o->rules.n + o->conf_rules.n + o->deny_domains.n + o->deny_suffixes.n >
	    POLICY_RULES_MAX - 8)
		return err_set(e, ERR_INVALID, "too many network rules (at most %d)",
			       POLICY_RULES_MAX - 8);
	if (check_ports(o, quiet, e) < 0)
		return -1;
	return check_proxy(o, e);
}

/* --- storing ------------------------------------------------------------------------------- */

static void store_policy(const struct network_options *o, json_t *j)
{
	const char *egress = o->default_egress ? o->default_egress : o->default_both;
	const char *ingress = o->default_ingress ? o->default_ingress : o->default_both;

	/* Who says what becomes of the rest has said it all, unless a policy is wanted as well. */
	if (o->policy || !egress)
		json_object_set_new(j, "policy",
				    json_string(o->policy ? o->policy : POLICY_DEFAULT));
	else if (!ingress)
		ingress = ALLOW;
	if (egress)
		json_object_set_new(j, "egress", json_string(egress));
	if (ingress)
		json_object_set_new(j, "ingress", json_string(ingress));
}

static void append_strings(json_t *a, const struct strv *sv)
{
	for (size_t i = 0; i < sv->n; i++)
		json_array_append_new(a, json_string(sv->v[i]));
}

static json_t *ports_json(const struct network_options *o)
{
	json_t *a = json_array();

	for (size_t i = 0; i < o->ports.n; i++) {
		struct net_publish p;
		char bind[ADDR_LEN];

		network_port(o->ports.v[i], &p, NULL);
		addr_format(&p.addr, bind);
		json_array_append_new(a, json_pack("{s:s, s:s, s:i, s:i}", "protocol",
						   p.protocol == PROTO_TCP ? "tcp" : "udp", "bind",
						   bind, "host_port", (int)p.host_port,
						   "guest_port", (int)p.guest_port));
	}
	return a;
}

static json_t *nameservers_json(const struct network_options *o)
{
	json_t *a = json_array();

	for (size_t i = 0; i < o->nameservers.n; i++) {
		struct net_server s;
		char text[ENDPOINT_LEN];

		network_nameserver(o->nameservers.v[i], &s, NULL);
		endpoint_format(&s.addr, s.port, text);
		json_array_append_new(a, json_string(text));
	}
	return a;
}

static void store_limits(const struct network_options *o, json_t *j)
{
	const struct {
		const char *key;
		uint64_t n;
	} limits[] = {
		{"max_connections",
		 o->max_connections ? o->max_connections : NET_CONNECTIONS_DEFAULT},
		{"egress_bytes_per_sec", o->rate_egress},
		{"ingress_bytes_per_sec", o->rate_ingress},
		{"egress_packets_per_sec", o->packets_egress},
		{"ingress_packets_per_sec", o->packets_ingress},
	};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		if (limits[i].n)
			json_object_set_new(j, limits[i].key,
					    json_integer((json_int_t)limits[i].n));
}

/* As it is understood, which is ASCII. */
static int store_proxy(const struct network_options *o, json_t *j, struct err *e)
{
	const char *url = proxy_url(o);
	_cleanup_secret_ char *canonical = NULL;
	struct net_proxy p;

	if (!url)
		return 0;
	if (net_proxy_parse(url, &p, e) < 0)
		return -1;
	canonical = net_proxy_format(&p, true);
	net_proxy_release(&p);
	json_object_set_new(j, "proxy", json_string(canonical));
	if (o->proxy_password_env &&
	    json_object_set_new(j, "proxy_password_env", json_string(o->proxy_password_env)) < 0)
		return err_set(e, ERR_INVALID, "options must be valid UTF-8");
	return 0;
}

int network_options_store(const struct network_options *o, json_t *config, struct err *e)
{
	json_t *j, *rules = json_array();

	if (o->off) {
		json_decref(rules);
		return json_object_set_new(config, "network", json_null());
	}
	j = json_object();
	json_object_set_new(config, "network", j);
	store_policy(o, j);
	append_strings(rules, &o->deny_domains);
	append_strings(rules, &o->deny_suffixes);
	append_strings(rules, &o->rules);
	append_strings(rules, &o->conf_rules);
	json_object_set_new(j, "rules", rules);
	json_object_set_new(j, "ports", ports_json(o));
	json_object_set_new(j, "nameservers", nameservers_json(o));
	json_object_set_new(j, "rebind_protection", json_boolean(!o->no_rebind_protection));
	store_limits(o, j);
	return store_proxy(o, j, e);
}
