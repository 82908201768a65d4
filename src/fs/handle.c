/* SPDX-License-Identifier: Apache-2.0 */
/* Open files of the guest. The guest calls them by their index + 1. */
#include "fs/request.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>

#define HANDLES_FIRST 64

static int grow(struct handles *t)
{
	size_t room = t->room ? 2 * t->room : HANDLES_FIRST;
	void *p = reallocarray(t->v, room, sizeof(*t->v));

	if (!p)
		return -ENOMEM;
	t->v = p;
	t->room = room;
	return 0;
}

int64_t handle_add(struct server *s, struct node *n, int fd)
{
	struct handles *t = &s->handles;
	size_t i;

	if (!t->first_free && (t->n == t->max || (t->n == t->room && grow(t) < 0))) {
		close(fd);
		return -ENFILE;
	}
	if (t->first_free) {
		i = t->first_free - 1;
		t->first_free = t->v[i].next_free;
	} else {
		i = t->n++;
	}
	t->v[i] = (struct handle){.fd = fd, .node = n, .dir = S_ISDIR(n->id.type)};
	n->handles++;
	return (int64_t)i + 1;
}

struct handle *handle_get(struct server *s, uint64_t fh, const struct node *n)
{
	struct handle *h = fh >= 1 && fh <= s->handles.n ? &s->handles.v[fh - 1] : NULL;

	return h && h->fd >= 0 && h->node == n ? h : NULL;
}

void handle_close(struct server *s, struct handle *h)
{
	struct node *n = h->node;

	if (h->fd < 0)
		return;
	/* The next one may get the same number. */
	if (s->dirents.owner == n && s->dirents.fd == h->fd)
		s->dirents.owner = NULL;
	close_fd(&h->fd);
	h->next_free = s->handles.first_free;
	s->handles.first_free = (size_t)(h - s->handles.v) + 1;
	n->handles--;
	nodes_drop_if_unused(&s->nodes, n);
}
