/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 *	question -> well-formed? -> one of our own names? -> may the name be asked for? -> cache
 *		 -> upstream (resolver_upstream.c), once for all who ask the same meanwhile
 *	answer   -> fits the question? -> may every name of its chain be asked for? -> are there
 *		    addresses that a public name has no business with? -> pins -> written anew
 *
 * Nothing of upstream's message reaches the guest as it came: the answer is put together of the
 * records that belong to the chain from the asked name (dns_write.c). A message from the cache
 * goes the same way as one that just came, so what is decided never depends on where it came
 * from.
 *
 * A pin lasts longer than the record's TTL: a program connects after it has its answer, and may
 * keep the address for a while. With a TTL of 0 it would otherwise be over before the connection
 * is made. So that pins end nonetheless, no TTL that the guest is told is above DNS_TTL_MAX.
 *
 * Limits: questions to upstream and askers are bounded, what is beyond gets SERVFAIL at once.
 */
#include "net/resolver_internal.h"

#include "base/clock.h"
#include "base/util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIN_MIN_S    60
#define PIN_GRACE_S  30
#define OWN_NAME_TTL 60

/* --- answers ------------------------------------------------------------------------------- */

static void reply(struct resolver *r, const struct waiter *w, size_t len)
{
	w->reply(w->ctx, w->token, r->reply, len);
}

static void reply_error(struct resolver *r, const struct waiter *w, enum dns_rcode rcode)
{
	reply(r, w, dns_error_write(r->reply, sizeof(r->reply), &w->question, rcode));
}

/* May the name be asked for? Tells of it if not. */
static bool name_ok(const struct resolver *r, const char *name, const char *asked)
{
	struct policy_verdict v = policy_decide_name(r->config.policy, name);
	char why[POLICY_WHY_LEN], what[2 * DOMAIN_LEN + 16];

	if (v.answer == POLICY_SAYS_ALLOW)
		return true;
	policy_why(r->config.policy, &v, POLICY_EGRESS, why);
	if (strcmp(name, asked) == 0)
		snprintf(what, sizeof(what), "%s", name);
	else
		snprintf(what, sizeof(what), "%s (an alias of %s)", asked, name);
	r->config.denied(r->config.ctx, what, why);
	return false;
}

/*
 * A name that the asked one is an alias of is part of an allowed answer, unless a rule denies it by
 * name: an allowed name may well live in a content network whose names nobody lists.
 */
static bool alias_ok(const struct resolver *r, const char *name, const char *asked)
{
	struct policy_verdict v = policy_decide_name(r->config.policy, name);

	if (v.answer == POLICY_SAYS_ALLOW || !v.rule ||
	    (v.rule->kind != TARGET_DOMAIN && v.rule->kind != TARGET_SUFFIX))
		return true;
	return name_ok(r, name, asked);
}

/* Rebinding: a name of the internet that leads into a network which is none of the internet's. */
static bool addresses_ok(const struct resolver *r, const struct dns_question *q)
{
	const struct dns_answer *a = &r->answer;

	if (!r->config.rebind_protection)
		return true;
	for (unsigned int i = 0; i < a->n_addrs; i++) {
		const struct addr *addr = &a->addrs[i].addr;
		bool is_host = r->config.is_host(r->config.ctx, addr);
		char text[ADDR_LEN], why[ADDR_LEN + 64];

		if (!is_host && !addr_is_special(addr))
			continue;
		if (policy_allows_address(r->config.policy, addr, is_host))
			continue;
		addr_format(addr, text);
		snprintf(why, sizeof(why), "rebinding protection: it leads to %s", text);
		r->config.denied(r->config.ctx, q->name, why);
		return false;
	}
	return true;
}

/* Checks r->answer as a whole. */
static bool answer_ok(const struct resolver *r, const struct dns_question *q)
{
	for (unsigned int i = 1; i < r->answer.n_chain; i++)
		if (!alias_ok(r, r->answer.chain[i], q->name))
			return false;
	return addresses_ok(r, q);
}

static void pin_addresses(const struct resolver *r, uint64_t now)
{
	const struct dns_answer *a = &r->answer;

	for (unsigned int i = 0; i < a->n_addrs; i++) {
		uint64_t seconds = MAX(a->addrs[i].ttl + PIN_GRACE_S, (uint32_t)PIN_MIN_S);

		/* Only the asked name: an alias was asked for by nobody. */
		pins_add(r->config.pins, &a->addrs[i].addr, a->chain[0], now,
			 now + seconds * NSEC_PER_SEC);
	}
}

/* Answers `w` from a message whose content is in r->answer and was found to be in order. */
static void reply_message(struct resolver *r, const struct waiter *w, const uint8_t *msg,
			  size_t len, uint32_t age)
{
	reply(r, w,
	      dns_reply_write(r->reply, sizeof(r->reply), &w->question, &r->answer, msg, len, age,
			      w->max));
}

static void free_query(struct query *q)
{
	struct waiter *w;

	query_stop(q);
	while ((w = STAILQ_FIRST(&q->waiters))) {
		STAILQ_REMOVE_HEAD(&q->waiters, link);
		free(w);
		q->r->n_waiters--;
	}
	LIST_REMOVE(q, link);
	q->r->n_queries--;
	free(q);
}

void query_failed(struct query *q)
{
	struct waiter *w;

	STAILQ_FOREACH(w, &q->waiters, link)
	reply_error(q->r, w, DNS_SERVFAIL);
	free_query(q);
}

void query_answered(struct query *q, const uint8_t *msg, size_t len)
{
	struct resolver *r = q->r;
	uint64_t now = clock_mono_ns();
	bool ok = answer_ok(r, &q->question);
	struct waiter *w;

	if (ok) {
		pin_addresses(r, now);
		if (r->answer.rcode == DNS_NOERROR || r->answer.rcode == DNS_NXDOMAIN)
			dns_cache_put(r->cache, &q->question, msg, len, now,
				      MAX(r->answer.ttl, 1U));
	}
	STAILQ_FOREACH(w, &q->waiters, link)
	{
		if (ok)
			reply_message(r, w, msg, len, 0);
		else
			reply_error(r, w, DNS_NXDOMAIN);
	}
	free_query(q);
}

/* --- names of our own ---------------------------------------------------------------------- */

/* Reverse lookups of addresses that no public server knows (RFC 6303); they would leave the
 * machine. */
static bool is_private_reverse(const char *name)
{
	static const char *const zones[] = {
		"10.in-addr.arpa",  "168.192.in-addr.arpa", "254.169.in-addr.arpa",
		"127.in-addr.arpa", "0.in-addr.arpa",       "d.f.ip6.arpa",
		"8.e.f.ip6.arpa",   "9.e.f.ip6.arpa",       "a.e.f.ip6.arpa",
		"b.e.f.ip6.arpa",
	};
	char zone[32];

	for (size_t i = 0; i < ARRAY_SIZE(zones); i++)
		if (domain_under(name, zones[i]))
			return true;
	for (int i = 16; i < 32; i++) {
		snprintf(zone, sizeof(zone), "%d.172.in-addr.arpa", i);
		if (domain_under(name, zone))
			return true;
	}
	return false;
}

/* Names that never go upstream. False when it is none. */
static bool answer_own(struct resolver *r, const struct waiter *w)
{
	const struct dns_question *q = &w->question;
	const struct addr loopback[2] = {
		addr_from_v4((struct in_addr){htonl(INADDR_LOOPBACK)}),
		{{[15] = 1}},
	};
	const struct addr *addrs = loopback;
	unsigned int n = 2;

	if (strcmp(q->name, NET_HOST_NAME) == 0) {
		addrs = r->config.gateway;
		n = r->config.n_gateway;
	} else if (is_private_reverse(q->name)) {
		reply_error(r, w, DNS_NXDOMAIN);
		return true;
	} else if (!domain_under(q->name, "localhost")) {
		return false;
	}
	reply(r, w, dns_addrs_write(r->reply, sizeof(r->reply), q, addrs, n, OWN_NAME_TTL));
	return true;
}

/* --- questions ----------------------------------------------------------------------------- */

static bool answer_from_cache(struct resolver *r, const struct waiter *w)
{
	uint64_t now = clock_mono_ns();
	const uint8_t *msg;
	uint32_t age;
	size_t len;

	msg = dns_cache_get(r->cache, &w->question, now, &len, &age);
	if (!msg || dns_answer_parse(msg, len, &w->question, (uint16_t)(msg[0] << 8 | msg[1]),
				     &r->answer) < 0)
		return false;
	/* What is the host's own address may have changed since. */
	if (!answer_ok(r, &w->question)) {
		reply_error(r, w, DNS_NXDOMAIN);
		return true;
	}
	pin_addresses(r, now);
	reply_message(r, w, msg, len, age);
	return true;
}

static bool same_question(const struct dns_question *a, const struct dns_question *b)
{
	return a->type == b->type && a->dnssec_ok == b->dnssec_ok &&
	       a->checking_disabled == b->checking_disabled && strcmp(a->name, b->name) == 0;
}

static struct query *find_query(const struct resolver *r, const struct dns_question *question)
{
	struct query *q;

	LIST_FOREACH(q, &r->queries, link)
	if (same_question(&q->question, question))
		return q;
	return NULL;
}

static struct query *new_query(struct resolver *r, const struct dns_question *question)
{
	struct query *q = r->n_queries < RESOLVER_QUERIES_MAX ? calloc(1, sizeof(*q)) : NULL;

	if (!q)
		return NULL;
	q->r = r;
	q->question = *question;
	STAILQ_INIT(&q->waiters);
	LIST_INSERT_HEAD(&r->queries, q, link);
	r->n_queries++;
	query_start(q);
	return q;
}

/* Joins the query that asks the same, or makes one. */
static void ask_upstream(struct resolver *r, const struct waiter *asker)
{
	struct waiter *w = r->n_waiters < RESOLVER_WAITERS_MAX ? malloc(sizeof(*w)) : NULL;
	struct query *q = w ? find_query(r, &asker->question) : NULL;

	if (w && !q)
		q = new_query(r, &asker->question);
	if (!q) {
		free(w);
		reply_error(r, asker, DNS_SERVFAIL);
		return;
	}
	*w = *asker;
	STAILQ_INSERT_TAIL(&q->waiters, w, link);
	r->n_waiters++;
}

static void handle(struct resolver *r, const struct waiter *w)
{
	if (!name_ok(r, w->question.name, w->question.name))
		reply_error(r, w, DNS_NXDOMAIN);
	else if (!answer_own(r, w) && !answer_from_cache(r, w))
		ask_upstream(r, w);
}

int resolver_ask(struct resolver *r, const uint8_t *msg, size_t len, bool tcp, const void *token,
		 size_t token_len, resolver_reply_fn *reply_fn, void *ctx)
{
	struct waiter w = {.reply = reply_fn, .ctx = ctx};
	int rcode;

	if (len > sizeof(r->message))
		return -EBADMSG;
	/* It may change while it is looked at. */
	memcpy(r->message, msg, len);
	memcpy(w.token, token, MIN(token_len, sizeof(w.token)));
	rcode = dns_question_parse(r->message, len, &w.question);
	w.max = tcp                                   ? DNS_MESSAGE_MAX
		: w.question.udp_size < DNS_UDP_PLAIN ? DNS_UDP_PLAIN
						      : MIN(w.question.udp_size, (uint16_t)4096);
	if (rcode < 0)
		return rcode;
	if (rcode > 0)
		reply_error(r, &w, (enum dns_rcode)rcode);
	else
		handle(r, &w);
	return 0;
}

struct resolver *resolver_new(struct loop *loop, const struct resolver_config *c)
{
	struct resolver *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->loop = loop;
	r->config = *c;
	r->cache = dns_cache_new(c->secret);
	if (!r->cache) {
		free(r);
		errno = ENOMEM;
		return NULL;
	}
	return r;
}

struct resolver *resolver_free(struct resolver *r)
{
	struct query *q;

	if (!r)
		return NULL;
	while ((q = LIST_FIRST(&r->queries)))
		free_query(q);
	dns_cache_free(r->cache);
	free(r);
	return NULL;
}
