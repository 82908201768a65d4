/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/control.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COMMAND_MAX 64
#define ANSWER_MAX  512

/*
 * Receives a command as text and its descriptor, or -1. False at the end.
 * #syscalls:main recvmsg
 */
static bool receive(int fd, char text[COMMAND_MAX], int *ret_fd)
{
	union {
		struct cmsghdr align;
		char data[CMSG_SPACE(sizeof(int))];
	} room;
	struct iovec iov = {text, COMMAND_MAX - 1};
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &room,
		.msg_controllen = sizeof(room),
	};
	ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR(&m) : NULL;

	*ret_fd = -1;
	text[MAX(n, 0)] = '\0';
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	return n > 0;
}

static int execute(struct control *c, const char *command, int fd, struct err *e)
{
	int r;

	if (str_eq(command, "save")) {
		if (fd < 0)
			return err_set(e, ERR_INVALID, "save needs a descriptor");
		return machine_save(c->machine, fd, e);
	}
	if (str_eq(command, "pause"))
		r = machine_pause(c->machine);
	else if (str_eq(command, "resume"))
		r = machine_resume(c->machine);
	else
		return err_set(e, ERR_INVALID, "unknown command '%s'", command);
	return r < 0 ? err_sys(e, -r, "cannot %s the machine", command) : 0;
}

static void on_command(struct ev *ev, uint32_t events)
{
	struct control *c = container_of(ev, struct control, ev);
	char command[COMMAND_MAX], answer[ANSWER_MAX];
	_cleanup_close_ int fd = -1;
	struct err e = {};
	int n;

	if (!receive(ev->fd, command, &fd)) {
		loop_del(c->loop, ev);
		return;
	}
	if (!command[0])
		return;
	if (execute(c, command, fd, &e) < 0)
		n = snprintf(answer, sizeof(answer), "error %s", e.msg);
	else
		n = snprintf(answer, sizeof(answer), "ok");
	/* Who does not take an answer gets none. */
	if (write(ev->fd, answer, MIN((size_t)n, sizeof(answer) - 1)) < 0)
		loop_del(c->loop, ev);
}

int control_start(struct control *c, struct loop *loop, int fd, struct err *e)
{
	int r = 0;

	*c = (struct control){.ev = {.fd = fd, .fn = on_command}, .loop = loop};
	if (fd >= 0)
		r = fd_set_nonblock(fd, true);
	if (fd >= 0 && r == 0)
		r = loop_add(loop, &c->ev, EPOLLIN);
	return r < 0 ? err_sys(e, -r, "cannot watch the control socket") : 0;
}

void control_release(struct control *c)
{
	if (c->loop)
		loop_del(c->loop, &c->ev);
	close_fd(&c->ev.fd);
}
