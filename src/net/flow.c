/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections by key: buckets of a keyed hash, so that no guest can make them collide, and a binary
 * heap of their deadlines. Everything is allocated once, for as many as there may be.
 */
#include "net/siphash.h"
#include "net/stack_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int flow_table_init(struct flow_table *t, unsigned int max, const uint8_t secret[16])
{
	*t = (struct flow_table){.max = max, .n_buckets = 64};
	while (t->n_buckets < max)
		t->n_buckets *= 2;
	memcpy(t->secret, secret, sizeof(t->secret));
	t->buckets = calloc(t->n_buckets, sizeof(*t->buckets));
	t->heap = calloc(max, sizeof(struct flow *));
	if (!t->buckets || !t->heap) {
		flow_table_release(t);
		return -ENOMEM;
	}
	return 0;
}

void flow_table_release(struct flow_table *t)
{
	free(t->buckets);
	free(t->heap);
	t->buckets = NULL;
	t->heap = NULL;
}

static unsigned int bucket_of(const struct flow_table *t, const struct flow_key *key)
{
	return (unsigned int)siphash(t->secret, key, FLOW_KEY_BYTES) & (t->n_buckets - 1);
}

struct flow *flow_find(const struct flow_table *t, const struct flow_key *key)
{
	struct flow *f;

	LIST_FOREACH(f, &t->buckets[bucket_of(t, key)], bucket)
	if (memcmp(&f->key, key, FLOW_KEY_BYTES) == 0)
		return f;
	return NULL;
}

/* --- heap ---------------------------------------------------------------------------------- */

static void put(struct flow_table *t, unsigned int pos, struct flow *f)
{
	t->heap[pos] = f;
	f->heap_pos = pos;
}

static void sift_up(struct flow_table *t, struct flow *f)
{
	unsigned int pos = f->heap_pos;

	while (pos > 0 && t->heap[(pos - 1) / 2]->deadline > f->deadline) {
		put(t, pos, t->heap[(pos - 1) / 2]);
		pos = (pos - 1) / 2;
	}
	put(t, pos, f);
}

static void sift_down(struct flow_table *t, struct flow *f)
{
	unsigned int pos = f->heap_pos, child;

	while ((child = 2 * pos + 1) < t->n) {
		if (child + 1 < t->n && t->heap[child + 1]->deadline < t->heap[child]->deadline)
			child++;
		if (t->heap[child]->deadline >= f->deadline)
			break;
		put(t, pos, t->heap[child]);
		pos = child;
	}
	put(t, pos, f);
}

int flow_add(struct flow_table *t, struct flow *f)
{
	if (t->n == t->max)
		return -EMFILE;
	if (flow_find(t, &f->key))
		return -EADDRINUSE;
	LIST_INSERT_HEAD(&t->buckets[bucket_of(t, &f->key)], f, bucket);
	f->deadline = UINT64_MAX;
	put(t, t->n++, f);
	return 0;
}

void flow_remove(struct flow_table *t, struct flow *f)
{
	struct flow *last = t->heap[--t->n];

	LIST_REMOVE(f, bucket);
	if (last == f)
		return;
	put(t, f->heap_pos, last);
	sift_up(t, last);
	sift_down(t, last);
}

void flow_set_deadline(struct flow_table *t, struct flow *f, uint64_t deadline)
{
	uint64_t before = f->deadline;

	f->deadline = deadline;
	if (deadline < before)
		sift_up(t, f);
	else if (deadline > before)
		sift_down(t, f);
}

struct flow *flow_first(const struct flow_table *t)
{
	return t->n ? t->heap[0] : NULL;
}
