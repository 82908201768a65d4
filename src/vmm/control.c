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

struct command {
	char text[COMMAND_MAX]; /* empty: there is none yet */
	int fd;                 /* -1: none came with it */
	bool more_fds;
};

/*
 * False at the end. The descriptor is the caller's.
 * #syscalls:main recvmsg
 */
static bool receive(int socket, struct command *ret)
{
	union {
		struct cmsghdr align;
		char data[CMSG_SPACE(sizeof(int))];
	} room;
	struct iovec iov = {ret->text, COMMAND_MAX - 1};
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &room,
		/* CMSG_SPACE would have room for two; what is too much the kernel closes. */
		.msg_controllen = CMSG_LEN(sizeof(int)),
	};
	struct cmsghdr *c;
	ssize_t n;

	ret->fd = -1;
	n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	ret->text[MAX(n, 0)] = '\0';
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&ret->fd, CMSG_DATA(c), sizeof(int));
	ret->more_fds = m.msg_flags & MSG_CTRUNC;
	/* No command contains a NUL, and none may look like one that ends before it. */
	for (ssize_t i = 0; i < n; i++)
		if (ret->text[i] == '\0')
			ret->text[i] = '?';
	return n > 0;
}

static int execute(struct control *c, const struct command *command, struct err *e)
{
	int r;

	if (command->more_fds)
		return err_set(e, ERR_INVALID, "more descriptors than can be taken");
	if (str_eq(command->text, "save")) {
		if (command->fd < 0)
			return err_set(e, ERR_INVALID, "save needs a descriptor");
		return machine_save(c->machine, command->fd, e);
	}
	if (str_eq(command->text, "pause"))
		r = machine_pause(c->machine);
	else if (str_eq(command->text, "resume"))
		r = machine_resume(c->machine);
	else
		return err_set(e, ERR_INVALID, "unknown command '%s'", command->text);
	return r < 0 ? err_sys(e, -r, "cannot %s the machine", command->text) : 0;
}

static void on_command(struct ev *ev, uint32_t events)
{
	struct control *c = container_of(ev, struct control, ev);
	struct command command = {.fd = -1};
	char answer[ANSWER_MAX];
	struct err e = {};
	int n;

	if (!receive(ev->fd, &command)) {
		close_fd(&command.fd);
		loop_del(c->loop, ev);
		return;
	}
	if (!command.text[0])
		return;
	if (execute(c, &command, &e) < 0)
		n = snprintf(answer, sizeof(answer), "error %s", e.msg);
	else
		n = snprintf(answer, sizeof(answer), "ok");
	close_fd(&command.fd);
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
