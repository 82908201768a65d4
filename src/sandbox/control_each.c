/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/control_each.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "proto/message.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

/* Asked together: a process has few descriptors by default. */
#define BATCH      256
#define ANSWER_MAX (FRAME_HEADER_LEN + 64 * KIB)
#define READ_CHUNK ((size_t)8 << 10)

struct call {
	int fd; /* -1: done */
	struct buf in;
	struct control_answer *answer;
};

static void call_end(struct call *c)
{
	close_fd(&c->fd);
	buf_release(&c->in);
}

static void call_start(struct call *c, const struct home *h, const struct sandbox_row *row,
		       const struct buf *request)
{
	_cleanup_free_ char *path = sandbox_run_dir(h, row->id);
	_cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	c->answer->outcome = CONTROL_SILENT;
	buf_init(&c->in, ANSWER_MAX);
	c->fd = dir < 0 ? -errno : unix_connect_now_at(dir, "control.sock");
	if (c->fd == -ENOENT || c->fd == -ECONNREFUSED)
		c->answer->outcome = CONTROL_GONE;
	if (c->fd < 0)
		c->fd = -1;
	else if (send(c->fd, buf_data(request), buf_len(request), MSG_NOSIGNAL | MSG_DONTWAIT) !=
		 (ssize_t)buf_len(request))
		call_end(c);
}

static void take_answer(struct call *c, const struct frame *f)
{
	json_t *j = f->type == FRAME_RESULT ? message_parse(f->payload, f->len, NULL) : NULL;

	if (j && message_check(j, NULL) == 0) {
		c->answer->outcome = CONTROL_ANSWERED;
		c->answer->json = j;
	} else {
		json_decref(j);
	}
}

static void call_read(struct call *c)
{
	uint8_t *p = buf_reserve(&c->in, READ_CHUNK);
	ssize_t n = p ? recv(c->fd, p, READ_CHUNK, MSG_DONTWAIT) : 0;
	struct frame f;
	int r;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		buf_commit(&c->in, (size_t)n);
	r = n > 0 ? frame_peek(&c->in, &f) : -EBADMSG;
	if (r > 0)
		take_answer(c, &f);
	if (r != 0)
		call_end(c);
}

/* Waits for those that are open. False when there are none, or the time is over. */
static bool wait_for_some(struct call *calls, size_t n, uint64_t deadline)
{
	struct pollfd fds[BATCH];
	uint64_t now = clock_mono_ns();
	size_t open = 0;

	for (size_t i = 0; i < n; i++) {
		/* poll passes over those that are negative. */
		fds[i] = (struct pollfd){.fd = calls[i].fd, .events = POLLIN};
		open += calls[i].fd >= 0;
	}
	if (open == 0 || now >= deadline)
		return false;
	if (poll(fds, n, (int)((deadline - now) / NSEC_PER_MSEC) + 1) < 0)
		return errno == EINTR;
	for (size_t i = 0; i < n; i++)
		if (fds[i].revents)
			call_read(&calls[i]);
	return true;
}

void control_call_each(const struct home *h, const struct sandbox_row *const *rows, size_t n,
		       json_t *request, uint64_t timeout_ns, struct control_answer *ret)
{
	uint64_t deadline = clock_mono_ns() + timeout_ns;
	struct call calls[BATCH];
	struct buf text;

	buf_init(&text, ANSWER_MAX);
	message_append(&text, FRAME_REQUEST, request);
	for (size_t from = 0, count; from < n; from += count) {
		count = MIN(n - from, (size_t)BATCH);
		for (size_t i = 0; i < count; i++) {
			ret[from + i] = (struct control_answer){0};
			calls[i] = (struct call){.answer = &ret[from + i]};
			call_start(&calls[i], h, rows[from + i], &text);
		}
		while (wait_for_some(calls, count, deadline))
			;
		for (size_t i = 0; i < count; i++)
			call_end(&calls[i]);
		/* Those that were silent have cost their time; the others are not to pay for it. */
		deadline = MAX(deadline, clock_mono_ns() + timeout_ns / 2);
	}
	buf_release(&text);
}
