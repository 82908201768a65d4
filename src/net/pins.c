/* SPDX-License-Identifier: Apache-2.0 */
#include "net/pins.h"

#include "base/util.h"
#include "net/siphash.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define BUCKETS 1024

struct pin {
	struct addr addr;
	uint64_t until;
	LIST_ENTRY(pin) bucket;
	TAILQ_ENTRY(pin) by_age;
	char name[];
};

struct pins {
	uint8_t secret[16];
	LIST_HEAD(, pin) buckets[BUCKETS];
	TAILQ_HEAD(, pin) by_age; /* the one that was confirmed last is the last */
	unsigned int n;
};

struct pins *pins_new(const uint8_t secret[16])
{
	struct pins *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	memcpy(p->secret, secret, sizeof(p->secret));
	TAILQ_INIT(&p->by_age);
	return p;
}

static void forget(struct pins *p, struct pin *pin)
{
	LIST_REMOVE(pin, bucket);
	TAILQ_REMOVE(&p->by_age, pin, by_age);
	p->n--;
	free(pin);
}

struct pins *pins_free(struct pins *p)
{
	struct pin *pin;

	if (!p)
		return NULL;
	while ((pin = TAILQ_FIRST(&p->by_age)))
		forget(p, pin);
	free(p);
	return NULL;
}

static unsigned int bucket_of(const struct pins *p, const struct addr *a)
{
	return (unsigned int)siphash(p->secret, a->b, sizeof(a->b)) % BUCKETS;
}

/* Room for one more of this address, and in all. */
static void make_room(struct pins *p, const struct addr *addr)
{
	struct pin *pin, *oldest = NULL;
	unsigned int n = 0;

	LIST_FOREACH(pin, &p->buckets[bucket_of(p, addr)], bucket)
	{
		if (!addr_equal(&pin->addr, addr))
			continue;
		n++;
		if (!oldest || pin->until < oldest->until)
			oldest = pin;
	}
	if (n >= PINS_PER_ADDR_MAX)
		forget(p, oldest);
	else if (p->n >= PINS_MAX)
		forget(p, TAILQ_FIRST(&p->by_age));
}

void pins_add(struct pins *p, const struct addr *addr, const char *name, uint64_t now,
	      uint64_t until)
{
	size_t len = strlen(name) + 1;
	struct pin *pin;

	while ((pin = TAILQ_FIRST(&p->by_age)) && pin->until <= now)
		forget(p, pin);
	LIST_FOREACH(pin, &p->buckets[bucket_of(p, addr)], bucket)
	{
		if (!addr_equal(&pin->addr, addr) || strcmp(pin->name, name) != 0)
			continue;
		pin->until = MAX(pin->until, until);
		TAILQ_REMOVE(&p->by_age, pin, by_age);
		TAILQ_INSERT_TAIL(&p->by_age, pin, by_age);
		return;
	}
	make_room(p, addr);
	pin = malloc(sizeof(*pin) + len);
	if (!pin)
		return;
	pin->addr = *addr;
	pin->until = until;
	memcpy(pin->name, name, len);
	LIST_INSERT_HEAD(&p->buckets[bucket_of(p, addr)], pin, bucket);
	TAILQ_INSERT_TAIL(&p->by_age, pin, by_age);
	p->n++;
}

unsigned int pins_find(struct pins *p, const struct addr *addr, uint64_t now, const char **names)
{
	unsigned int n = 0;
	struct pin *pin;

	LIST_FOREACH(pin, &p->buckets[bucket_of(p, addr)], bucket)
	if (n < PINS_PER_ADDR_MAX && pin->until > now && addr_equal(&pin->addr, addr))
		names[n++] = pin->name;
	return n;
}
