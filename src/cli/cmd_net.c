/* SPDX-License-Identifier: Apache-2.0 */
/* msb net explain: what the policy makes of a connection, by the same functions that decide. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "cli/network.h"
#include "cli/network_values.h"

#include <errno.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT_DEFAULT 443

struct explain_args {
	char *protocol;
	char *name;
	char *format;
};

static const struct opt explain_opts[] = {
	{"protocol", 0, "PROTOCOL", opt_string, offsetof(struct explain_args, protocol),
	 "tcp, udp or icmp [default: tcp]", "tcp udp icmp"},
	{"name", 0, "DOMAIN", opt_string, offsetof(struct explain_args, name),
	 "The address was an answer for this name, and the connection says so"},
	{"format", 0, "FORMAT", opt_string, offsetof(struct explain_args, format), "json", "json"},
	{0},
};

const struct opt *const net_explain_options[] = {explain_opts, NULL};
const size_t net_explain_args_size = sizeof(struct explain_args);

/* What is asked about. */
struct subject {
	bool by_name; /* a name is all that is known; `addr` is one that it may have */
	char name[DOMAIN_LEN];
	struct addr addr;
	uint16_t port;
	enum policy_protocol protocol;
};

static int bad_target(const char *target, struct err *e)
{
	err_set(e, ERR_INVALID, "'%s' is neither an address nor a domain name", target);
	return err_hint(e, "as in 192.0.2.1:443, [2001:db8::1]:443 or example.com:443");
}

static int split_name(const char *target, struct subject *s, struct err *e)
{
	size_t n = strcspn(target, ":");
	_cleanup_free_ char *name = xstrndup(target, n);
	uint64_t port = 0;

	if (target[n] && (parse_u64(target + n + 1, UINT16_MAX, &port) < 0 || port == 0))
		return bad_target(target, e);
	if (network_domain(name, s->name, e) < 0)
		return e->code == ERR_UNSUPPORTED ? -1 : bad_target(target, e);
	s->by_name = true;
	s->port = (uint16_t)port;
	return 0;
}

static int parse_subject(const char *target, const struct explain_args *a, struct subject *s,
			 struct err *e)
{
	bool icmp = str_eq(a->protocol, "icmp");

	*s = (struct subject){.protocol = str_eq(a->protocol, "udp") ? PROTO_UDP : PROTO_TCP};
	if (network_place(target, &s->addr, &s->port) < 0 && split_name(target, s, e) < 0)
		return -1;
	if (a->name && s->by_name)
		return err_set(e, ERR_USAGE, "'--name' is for addresses; '%s' is a name", target);
	if (a->name && network_domain(a->name, s->name, e) < 0)
		return -1;
	if (icmp && s->port)
		return err_set(e, ERR_USAGE, "icmp has no ports");
	if (!icmp && !s->port)
		s->port = PORT_DEFAULT;
	if (icmp)
		s->protocol = PROTO_ICMPV4;
	return 0;
}

/* What a name stands for whose addresses are not known: any that is public. */
static void choose_addr(struct subject *s, const struct net_spec *spec)
{
	if (s->by_name && strcmp(s->name, NET_HOST_NAME) == 0)
		s->addr = spec->v4.gateway;
	else if (s->by_name)
		addr_parse("192.0.2.1", &s->addr);
	if (s->protocol == PROTO_ICMPV4 && !addr_is_v4(&s->addr))
		s->protocol = PROTO_ICMPV6;
}

static bool is_own(const struct addr *a)
{
	struct ifaddrs *list;
	bool found = addr_is_v4(a) && a->b[12] == 127;

	if (getifaddrs(&list) < 0)
		return found;
	for (const struct ifaddrs *i = list; i && !found; i = i->ifa_next) {
		struct sockaddr_storage ss = {0};
		struct addr own;
		uint16_t port;

		if (!i->ifa_addr)
			continue;
		if (i->ifa_addr->sa_family == AF_INET)
			memcpy(&ss, i->ifa_addr, sizeof(struct sockaddr_in));
		else if (i->ifa_addr->sa_family == AF_INET6)
			memcpy(&ss, i->ifa_addr, sizeof(struct sockaddr_in6));
		found = addr_from_sockaddr(&ss, &own, &port) && addr_equal(&own, a);
	}
	freeifaddrs(list);
	return found;
}

static void add_step(json_t *steps, const char *what, const char *verdict, const char *why)
{
	json_array_append_new(
		steps, json_pack("{s:s, s:s, s:s}", "what", what, "verdict", verdict, "why", why));
}

/* Returns the verdict on the question for the name. */
static const char *explain_question(const struct net_spec *spec, const char *name, json_t *steps)
{
	struct policy_verdict v = policy_decide_name(&spec->policy, name);
	const char *verdict = v.answer == POLICY_SAYS_ALLOW ? "allow" : "deny";
	_cleanup_free_ char *what = xasprintf("question for %s", name);
	char why[POLICY_WHY_LEN];

	policy_why(&spec->policy, &v, POLICY_EGRESS, why);
	add_step(steps, what, verdict, why);
	return verdict;
}

static char *describe_flow(const struct subject *s)
{
	const char *protocol = policy_protocol_name(s->protocol);
	char place[ENDPOINT_LEN];

	if (s->by_name)
		return s->port ? xasprintf("%s to port %u of %s", protocol, s->port, s->name)
			       : xasprintf("%s to %s", protocol, s->name);
	if (s->port)
		endpoint_format(&s->addr, s->port, place);
	else
		addr_format(&s->addr, place);
	return xasprintf("%s to %s%s%s%s", protocol, place, *s->name ? " (" : "", s->name,
			 *s->name ? ")" : "");
}

static const char *explain_flow(const struct net_spec *spec, const struct subject *s, json_t *steps)
{
	static const char *const verdicts[] = {
		[FLOW_DENY] = "deny",
		[FLOW_ALLOW] = "allow",
		[FLOW_WAIT] = "depends",
		[FLOW_RESOLVER] = "resolver",
	};
	const char *name = s->name;
	struct policy_query q = {
		.direction = POLICY_EGRESS,
		.protocol = s->protocol,
		.addr = s->addr,
		.port = s->port,
		.is_host = addr_equal(&s->addr, &spec->v4.gateway) ||
			   addr_equal(&s->addr, &spec->v6.gateway) || is_own(&s->addr),
		.pinned = &name,
		.n_pinned = *name ? 1 : 0,
		.claim = *name ? CLAIM_NAME : CLAIM_UNKNOWN,
		.claimed = *name ? name : NULL,
	};
	_cleanup_free_ char *what = describe_flow(s);
	struct policy_flow f;

	policy_flow(&spec->policy, &q, spec->proxy.kind != PROXY_NONE, &f);
	add_step(steps, what, verdicts[f.route], f.why);
	return verdicts[f.route];
}

/* {"verdict", "steps"}, owned. */
static json_t *explain(const struct net_spec *spec, struct subject *s)
{
	json_t *steps = json_array();
	const char *verdict = "allow";

	choose_addr(s, spec);
	if (s->by_name)
		verdict = explain_question(spec, s->name, steps);
	if (strcmp(verdict, "allow") == 0)
		verdict = explain_flow(spec, s, steps);
	return json_pack("{s:s, s:o}", "verdict", verdict, "steps", steps);
}

static json_t *explain_nothing(void)
{
	return json_pack("{s:s, s:[{s:s, s:s, s:s}]}", "verdict", "deny", "steps", "what",
			 "any traffic", "verdict", "deny", "why",
			 "the sandbox has no network device");
}

static void print_steps(json_t *j)
{
	static const struct {
		const char *verdict, *text;
	} texts[] = {
		{"allow", "allowed by"},
		{"deny", "denied by"},
		{"depends", "decided by the name in its first bytes and"},
		{"resolver", "answered at the gateway:"},
	};
	json_t *step;
	size_t i;

	json_array_foreach (json_object_get(j, "steps"), i, step) {
		const char *verdict = json_string_of(step, "verdict"), *why, *text = "";

		why = json_string_of(step, "why");
		for (size_t k = 0; k < ARRAY_SIZE(texts); k++)
			if (strcmp(texts[k].verdict, verdict) == 0)
				text = texts[k].text;
		/* What is no rule and no default is a sentence by itself. */
		if (strcmp(verdict, "deny") == 0 && !str_starts_with(why, "rule ") &&
		    !str_starts_with(why, "the default "))
			text = "denied:";
		printf("%s: %s %s\n", json_string_of(step, "what"), text, why);
	}
}

int cmd_net_explain(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct explain_args *a = args;
	struct sandbox_row row;
	struct net_spec spec;
	struct subject s;
	json_t *network, *j = NULL;

	if (parse_subject(ops->args.v[1], a, &s, e) < 0 || cli_open(cli, e) < 0 ||
	    sandboxes_get(&cli->db, &cli->home, ops->args.v[0], &row, e) < 0)
		return -1;
	network = json_object_get(row.config, "network");
	if (!json_is_object(network)) {
		j = explain_nothing();
	} else {
		if (network_spec_open(network, row.net_slot, &spec, e) == 0)
			j = explain(&spec, &s);
		net_spec_release(&spec);
	}
	sandbox_row_release(&row);
	if (!j)
		return -1;
	if (a->format) {
		print_json(j);
		return 0;
	}
	print_steps(j);
	json_decref(j);
	return 0;
}
