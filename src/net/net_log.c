/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of the last second are remembered as they were written, in a few slots; a line that is in
 * one is counted there. The number is told when the second is over or the slot is needed for
 * another line. Past the common rate a line is not even remembered: such lines share one number.
 */
#include "net/net_log.h"

#include "base/clock.h"
#include "net/token_bucket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 32
/* A new line in a second and how many at once, of all kinds. */
#define RATE  5
#define BURST 40

struct slot {
	uint64_t until; /* 0: free */
	unsigned int more;
	uint32_t hash;
	char line[NET_LOG_LINE];
};

struct net_log {
	net_log_write_fn *write;
	void *ctx;
	struct slot slots[SLOTS];
	struct token_bucket bucket;
	uint64_t others; /* lines that found the bucket empty */
	uint64_t others_until;
	uint64_t next; /* when the first number is to be told */
};

struct net_log *net_log_new(net_log_write_fn *write, void *ctx)
{
	struct net_log *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->write = write;
	l->ctx = ctx;
	l->next = UINT64_MAX;
	token_bucket_init(&l->bucket, RATE, BURST);
	return l;
}

/* Only to compare faster. */
static uint32_t hash(const char *s)
{
	uint32_t h = 5381;

	while (*s)
		h = h * 33 + (unsigned char)*s++;
	return h;
}

static void tell(struct net_log *l, const struct slot *s)
{
	char line[NET_LOG_LINE + 32];

	snprintf(line, sizeof(line), "%s (%u more)", s->line, s->more);
	l->write(l->ctx, line);
}

/* The slot's second is over, or another line needs it. */
static void close_slot(struct net_log *l, struct slot *s)
{
	if (s->more)
		tell(l, s);
	s->more = 0;
	s->until = 0;
}

static struct slot *find(struct net_log *l, const char *line, uint32_t h, uint64_t now)
{
	for (struct slot *s = l->slots; s < l->slots + SLOTS; s++)
		if (s->until > now && s->hash == h && strcmp(s->line, line) == 0)
			return s;
	return NULL;
}

/* The one that is free or will be first. */
static struct slot *oldest(struct net_log *l)
{
	struct slot *found = l->slots;

	for (struct slot *s = l->slots; s < l->slots + SLOTS; s++)
		if (s->until < found->until)
			found = s;
	return found;
}

static void leave_out(struct net_log *l, uint64_t now)
{
	if (l->others++ == 0) {
		l->others_until = now + NSEC_PER_SEC;
		l->next = MIN(l->next, l->others_until);
	}
}

void net_log_line(struct net_log *l, uint64_t now, const char *fmt, ...)
{
	char line[NET_LOG_LINE];
	struct slot *s;
	va_list ap;
	uint32_t h;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	h = hash(line);
	net_log_tick(l, now);
	s = find(l, line, h, now);
	if (s) {
		s->more++;
		l->next = MIN(l->next, s->until);
		return;
	}
	if (!token_bucket_ready(&l->bucket, now)) {
		leave_out(l, now);
		return;
	}
	token_bucket_take(&l->bucket, 1, now);
	s = oldest(l);
	close_slot(l, s);
	s->until = now + NSEC_PER_SEC;
	s->hash = h;
	memcpy(s->line, line, sizeof(line));
	l->write(l->ctx, line);
}

static void tell_others(struct net_log *l)
{
	char line[80];

	snprintf(line, sizeof(line), "deny %llu more, too many to tell one by one",
		 (unsigned long long)l->others);
	l->others = 0;
	l->write(l->ctx, line);
}

void net_log_tick(struct net_log *l, uint64_t now)
{
	if (now < l->next)
		return;
	if (l->others && l->others_until <= now)
		tell_others(l);
	l->next = l->others ? l->others_until : UINT64_MAX;
	for (struct slot *s = l->slots; s < l->slots + SLOTS; s++) {
		if (s->until <= now)
			close_slot(l, s);
		else if (s->more)
			l->next = MIN(l->next, s->until);
	}
}

uint64_t net_log_next_deadline(const struct net_log *l)
{
	return l->next;
}

struct net_log *net_log_free(struct net_log *l)
{
	if (!l)
		return NULL;
	for (struct slot *s = l->slots; s < l->slots + SLOTS; s++)
		close_slot(l, s);
	if (l->others)
		tell_others(l);
	free(l);
	return NULL;
}
