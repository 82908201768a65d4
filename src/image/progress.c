/* SPDX-License-Identifier: Apache-2.0 */
#include "image/progress.h"

#include "base/clock.h"
#include "base/io.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define INTERVAL_NS (100 * NSEC_PER_MSEC)

struct progress {
	int fd;
	pthread_mutex_t mutex; /* lines are written whole */
};

struct progress *progress_new(int fd)
{
	struct progress *p = xcalloc(1, sizeof(*p));

	p->fd = fd;
	pthread_mutex_init(&p->mutex, NULL);
	return p;
}

struct progress *progress_free(struct progress *p)
{
	if (p)
		pthread_mutex_destroy(&p->mutex);
	free(p);
	return NULL;
}

static void write_line(struct progress *p, const char *line, int len)
{
	pthread_mutex_lock(&p->mutex);
	if (p->fd >= 0 && write_full(p->fd, line, (size_t)len) < 0)
		p->fd = -1;
	pthread_mutex_unlock(&p->mutex);
}

void progress_stage(struct progress *p, enum progress_stage stage)
{
	static const char *const names[] = {"resolve", "download", "metadata"};
	char line[64];
	int n;

	static_assert(ARRAY_SIZE(names) == PROGRESS_METADATA + 1, "every stage has a name");
	n = snprintf(line, sizeof(line), "{\"event\":\"stage\",\"stage\":\"%s\"}\n", names[stage]);
	write_line(p, line, n);
}

void progress_resolved(struct progress *p, const struct digest *manifest, size_t layers,
		       uint64_t total)
{
	char digest[DIGEST_TEXT_LEN], line[256];
	int n;

	digest_format(manifest, digest);
	n = snprintf(line, sizeof(line),
		     "{\"event\":\"resolved\",\"manifest_digest\":\"%s\",\"layer_count\":%zu,"
		     "\"total_bytes\":%llu}\n",
		     digest, layers, (unsigned long long)total);
	write_line(p, line, n);
}

void progress_layer(struct progress *p, struct progress_layer *l, enum progress_state state,
		    uint64_t done)
{
	static const char *const names[] = {"waiting", "downloading", "unpacking", "exists",
					    "done"};
	uint64_t now = clock_mono_ns();
	char digest[DIGEST_TEXT_LEN], line[256];
	int n;

	static_assert(ARRAY_SIZE(names) == PROGRESS_DONE + 1, "every state has a name");
	if (state == PROGRESS_DOWNLOADING) {
		if (l->last_ns && now - l->last_ns < INTERVAL_NS)
			return;
		l->last_ns = now;
	}
	digest_format(&l->digest, digest);
	n = snprintf(line, sizeof(line),
		     "{\"event\":\"layer\",\"digest\":\"%s\",\"state\":\"%s\",\"done\":%llu,"
		     "\"total\":%llu}\n",
		     digest, names[state], (unsigned long long)done, (unsigned long long)l->total);
	write_line(p, line, n);
}
