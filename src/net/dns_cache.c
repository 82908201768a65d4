/* SPDX-License-Identifier: Apache-2.0 */
#include "net/dns_cache.h"

#include "base/clock.h"
#include "base/util.h"
#include "net/siphash.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define BUCKETS 256

struct entry {
	uint64_t stored_at, until;
	char name[DOMAIN_LEN];
	uint16_t type;
	bool dnssec_ok, checking_disabled;
	LIST_ENTRY(entry) bucket;
	TAILQ_ENTRY(entry) by_use;
	size_t len;
	uint8_t msg[];
};

struct dns_cache {
	uint8_t secret[16];
	LIST_HEAD(, entry) buckets[BUCKETS];
	TAILQ_HEAD(, entry) by_use; /* the one that was used last is the last */
	unsigned int n;
};

struct dns_cache *dns_cache_new(const uint8_t secret[16])
{
	struct dns_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	memcpy(c->secret, secret, sizeof(c->secret));
	TAILQ_INIT(&c->by_use);
	return c;
}

static void forget(struct dns_cache *c, struct entry *e)
{
	LIST_REMOVE(e, bucket);
	TAILQ_REMOVE(&c->by_use, e, by_use);
	c->n--;
	free(e);
}

struct dns_cache *dns_cache_free(struct dns_cache *c)
{
	struct entry *e;

	if (!c)
		return NULL;
	while ((e = TAILQ_FIRST(&c->by_use)))
		forget(c, e);
	free(c);
	return NULL;
}

static unsigned int bucket_of(const struct dns_cache *c, const struct dns_question *q)
{
	return (unsigned int)(siphash(c->secret, q->name, strlen(q->name)) + q->type) % BUCKETS;
}

static struct entry *find(const struct dns_cache *c, const struct dns_question *q)
{
	struct entry *e;

	LIST_FOREACH(e, &c->buckets[bucket_of(c, q)], bucket)
	if (e->type == q->type && e->dnssec_ok == q->dnssec_ok &&
	    e->checking_disabled == q->checking_disabled && strcmp(e->name, q->name) == 0)
		return e;
	return NULL;
}

void dns_cache_put(struct dns_cache *c, const struct dns_question *q, const uint8_t *msg,
		   size_t len, uint64_t now, uint32_t ttl)
{
	struct entry *e = find(c, q);

	if (e)
		forget(c, e);
	if (len > DNS_CACHE_MESSAGE)
		return;
	if (c->n >= DNS_CACHE_ENTRIES)
		forget(c, TAILQ_FIRST(&c->by_use));
	e = malloc(sizeof(*e) + len);
	if (!e)
		return;
	*e = (struct entry){
		.stored_at = now,
		.until = now + ttl * NSEC_PER_SEC,
		.type = q->type,
		.dnssec_ok = q->dnssec_ok,
		.checking_disabled = q->checking_disabled,
		.len = len,
	};
	memcpy(e->name, q->name, sizeof(e->name));
	memcpy(e->msg, msg, len);
	LIST_INSERT_HEAD(&c->buckets[bucket_of(c, q)], e, bucket);
	TAILQ_INSERT_TAIL(&c->by_use, e, by_use);
	c->n++;
}

const uint8_t *dns_cache_get(struct dns_cache *c, const struct dns_question *q, uint64_t now,
			     size_t *ret_len, uint32_t *ret_age)
{
	struct entry *e = find(c, q);

	if (!e)
		return NULL;
	if (e->until <= now) {
		forget(c, e);
		return NULL;
	}
	TAILQ_REMOVE(&c->by_use, e, by_use);
	TAILQ_INSERT_TAIL(&c->by_use, e, by_use);
	*ret_len = e->len;
	*ret_age = (uint32_t)((now - e->stored_at) / NSEC_PER_SEC);
	return e->msg;
}
