/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/network.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "sandbox/control_each.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_TIMEOUT (UINT64_C(2) * 1000 * 1000 * 1000)

/* --- specification ------------------------------------------------------------------------- */

static int malformed(const char *what, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "the network's %s are malformed", what);
}

static int take_rules(json_t *network, struct policy *p, struct err *e)
{
	json_t *item;
	size_t i;

	json_array_foreach (json_object_get(network, "rules"), i, item) {
		const char *text = json_string_value(item);
		struct policy_rule r;

		if (!text)
			return malformed("rules", e);
		if (policy_rule_parse(text, &r, e) < 0)
			return -1;
		if (policy_add(p, &r, e) < 0) {
			policy_rule_release(&r);
			return -1;
		}
	}
	return 0;
}

static void take_default(json_t *network, const char *key, enum policy_action *action)
{
	const char *word = json_string_of(network, key);

	if (word)
		*action = strcmp(word, "allow") == 0 ? POLICY_ALLOW : POLICY_DENY;
}

/* The sandbox's own rules, those of the policy behind them, and what it has of its own again. */
static int take_policy(json_t *network, struct policy *p, struct err *e)
{
	const char *preset = json_string_of(network, "policy");

	if (take_rules(network, p, e) < 0)
		return -1;
	if (preset && policy_preset(p, preset, e) < 0)
		return -1;
	take_default(network, "egress", &p->egress);
	take_default(network, "ingress", &p->ingress);
	return 0;
}

static int take_port(json_t *item, struct net_publish *p)
{
	const char *protocol = json_string_of(item, "protocol"),
		   *bind = json_string_of(item, "bind");
	uint64_t host = json_number_of(item, "host_port"),
		 guest = json_number_of(item, "guest_port");

	if (!protocol || !bind || addr_parse(bind, &p->addr) < 0 || host > UINT16_MAX ||
	    guest > UINT16_MAX || guest == 0)
		return -1;
	p->protocol = strcmp(protocol, "udp") == 0 ? PROTO_UDP : PROTO_TCP;
	p->host_port = (uint16_t)host;
	p->guest_port = (uint16_t)guest;
	return 0;
}

static int take_places(json_t *network, struct net_spec *s, struct err *e)
{
	json_t *item;
	size_t i;

	json_array_foreach (json_object_get(network, "ports"), i, item)
		if (i >= NET_PUBLISH_MAX || take_port(item, &s->publish[s->n_publish++]) < 0)
			return malformed("ports", e);
	json_array_foreach (json_object_get(network, "nameservers"), i, item) {
		struct net_server *n = &s->nameservers[i];

		if (i >= NET_NAMESERVERS_MAX || !json_is_string(item) ||
		    endpoint_parse(json_string_value(item), &n->addr, &n->port) < 0 || !n->port)
			return malformed("nameservers", e);
		s->n_nameservers++;
	}
	return 0;
}

static int take_password(json_t *network, struct net_proxy *p, struct err *e)
{
	const char *variable = json_string_of(network, "proxy_password_env"), *password;

	if (!variable)
		return 0;
	password = getenv(variable);
	if (!password || !*password) {
		err_set(e, ERR_INVALID, "environment variable '%s' not set", variable);
		return err_hint(e, "it has the password of the sandbox's proxy");
	}
	p->password = xstrdup(password);
	return 0;
}

/* All that needs no secret. */
static int take_open(json_t *network, struct net_spec *s, struct err *e)
{
	uint64_t connections = json_number_of(network, "max_connections");

	if (connections)
		s->max_connections = (unsigned int)MIN(connections, (uint64_t)NET_CONNECTIONS_MAX);
	s->egress = (struct net_rate){json_number_of(network, "egress_bytes_per_sec"),
				      json_number_of(network, "egress_packets_per_sec")};
	s->ingress = (struct net_rate){json_number_of(network, "ingress_bytes_per_sec"),
				       json_number_of(network, "ingress_packets_per_sec")};
	s->rebind_protection = !json_is_false(json_object_get(network, "rebind_protection"));
	return take_policy(network, &s->policy, e) < 0 || take_places(network, s, e) < 0 ? -1 : 0;
}

int network_spec_open(json_t *network, unsigned slot, struct net_spec *ret, struct err *e)
{
	const char *proxy = json_string_of(network, "proxy");

	net_spec_init(ret);
	if (slot == 0 || slot > NET_SLOT_MAX) {
		err_set(e, ERR_STATE, "there is no address left for the sandbox's network");
		return err_hint(e, "remove sandboxes that are not needed, or use --no-net");
	}
	net_spec_set_slot(ret, slot);
	if (take_open(network, ret, e) < 0)
		return -1;
	return proxy ? net_proxy_parse(proxy, &ret->proxy, e) : 0;
}

int network_spec(json_t *network, unsigned slot, struct net_spec *ret, struct err *e)
{
	if (network_spec_open(network, slot, ret, e) < 0)
		return -1;
	return take_password(network, &ret->proxy, e);
}

int network_spec_text(json_t *network, unsigned slot, char **ret, struct err *e)
{
	struct net_spec s;
	int r;

	*ret = NULL;
	if (!json_is_object(network))
		return 0;
	r = network_spec(network, slot, &s, e);
	if (r == 0)
		*ret = net_spec_format(&s);
	net_spec_release(&s);
	return r;
}

/* --- showing ------------------------------------------------------------------------------- */

static const char *action_name(enum policy_action a)
{
	return a == POLICY_ALLOW ? "allow" : "deny";
}

static json_t *rules_json(const struct policy *p)
{
	json_t *a = json_array();

	for (size_t i = 0; i < p->n_rules; i++)
		json_array_append_new(a, json_string(p->rules[i].text));
	return a;
}

/* The URL with stars for the password. */
static void describe_proxy(json_t *network, json_t *j)
{
	const char *url = json_string_of(network, "proxy");
	_cleanup_free_ char *shown = NULL;
	struct net_proxy p;

	if (!url || net_proxy_parse(url, &p, NULL) < 0)
		return;
	shown = net_proxy_format(&p, false);
	net_proxy_release(&p);
	json_object_set_new(j, "proxy", json_string(shown));
}

json_t *network_describe(json_t *network)
{
	struct net_spec s;
	json_t *j;

	if (!json_is_object(network))
		return json_null();
	j = json_copy(network);
	json_object_del(j, "proxy");
	describe_proxy(network, j);
	net_spec_init(&s);
	if (take_open(network, &s, NULL) == 0) {
		if (!json_object_get(j, "policy"))
			json_object_set_new(j, "policy", json_null());
		json_object_set_new(j, "egress", json_string(action_name(s.policy.egress)));
		json_object_set_new(j, "ingress", json_string(action_name(s.policy.ingress)));
		json_object_set_new(j, "rules", rules_json(&s.policy));
	}
	net_spec_release(&s);
	return j;
}

static void print_line(const char *label, const char *value)
{
	if (value)
		print_key_value(2, FIELD_WIDTH - 2, label, value);
}

static void print_list(const char *label, json_t *list)
{
	json_t *item;
	size_t i;

	json_array_foreach (list, i, item)
		print_line(i ? "" : label, json_string_value(item));
}

static void print_rate(json_t *j, const char *direction, const char *label)
{
	_cleanup_free_ char *bytes_key = xasprintf("%s_bytes_per_sec", direction);
	_cleanup_free_ char *packets_key = xasprintf("%s_packets_per_sec", direction);
	uint64_t bytes = json_number_of(j, bytes_key), packets = json_number_of(j, packets_key);

	if (bytes) {
		_cleanup_free_ char *size = format_bytes(bytes);
		_cleanup_free_ char *text = xasprintf("%s per second", size);

		print_line(label, text);
	}
	if (packets) {
		_cleanup_free_ char *text = xasprintf("%" PRIu64 " packets per second", packets);

		print_line(bytes ? "" : label, text);
	}
}

void network_print(json_t *described)
{
	_cleanup_free_ char *connections = NULL, *ports = NULL, *defaults = NULL;
	json_t *j = described;

	puts("\nNetwork");
	if (!json_is_object(j)) {
		puts("  none");
		return;
	}
	print_line("Policy:", json_string_of(j, "policy") ?: "its own");
	print_list("Rules:", json_object_get(j, "rules"));
	defaults = xasprintf("egress %s, ingress %s", json_string_of(j, "egress") ?: "?",
			     json_string_of(j, "ingress") ?: "?");
	print_line("Else:", defaults);
	ports = network_ports_text(json_object_get(j, "ports"));
	print_line("Ports:", ports);
	print_list("Nameservers:", json_object_get(j, "nameservers"));
	if (json_is_false(json_object_get(j, "rebind_protection")))
		print_line("Rebinding:", "not prevented");
	connections = xasprintf("%" PRIu64, json_number_of(j, "max_connections"));
	print_line("Connections:", connections);
	print_rate(j, "egress", "May send:");
	print_rate(j, "ingress", "May receive:");
	print_line("Proxy:", json_string_of(j, "proxy"));
}

/* --- ports --------------------------------------------------------------------------------- */

static json_t *configured_ports(const struct sandbox_row *row)
{
	return json_object_get(json_object_get(row->config, "network"), "ports");
}

void network_ports(const struct home *h, const struct sandbox_row *rows, size_t n, json_t **ret)
{
	_cleanup_free_ const struct sandbox_row **asked =
		xcalloc(n + 1, sizeof(struct sandbox_row *));
	_cleanup_free_ struct control_answer *answers = xcalloc(n + 1, sizeof(*answers));
	json_t *request = json_pack("{s:s}", "op", "ports");
	size_t k = 0;

	/* Nobody is asked who can say nothing new. */
	for (size_t i = 0; i < n; i++)
		if (sandbox_is_up(&rows[i]) && json_array_size(configured_ports(&rows[i])))
			asked[k++] = &rows[i];
	if (k)
		control_call_each(h, asked, k, request, ANSWER_TIMEOUT, answers);
	json_decref(request);
	k = 0;
	for (size_t i = 0; i < n; i++) {
		json_t *ports = configured_ports(&rows[i]);

		if (asked[k] == &rows[i]) {
			json_t *chosen = json_object_get(answers[k].json, "ports");

			ports = json_is_array(chosen) ? chosen : ports;
			ret[i] = ports ? json_incref(ports) : json_array();
			json_decref(answers[k++].json);
		} else {
			ret[i] = ports ? json_incref(ports) : json_array();
		}
	}
}

char *network_ports_text(json_t *ports)
{
	struct buf b;
	char *text;
	json_t *item;
	size_t i;

	buf_init(&b, NET_SPEC_MAX);
	json_array_foreach (ports, i, item) {
		char place[ENDPOINT_LEN];
		struct net_publish p;

		if (take_port(item, &p) < 0)
			continue;
		endpoint_format(&p.addr, p.host_port, place);
		buf_printf(&b, "%s%s->%u/%s", buf_len(&b) ? ", " : "", place, p.guest_port,
			   p.protocol == PROTO_UDP ? "udp" : "tcp");
	}
	text = buf_len(&b) ? xstrndup((const char *)buf_data(&b), buf_len(&b)) : xstrdup("-");
	buf_release(&b);
	return text;
}
