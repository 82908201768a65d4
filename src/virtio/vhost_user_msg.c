/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/vhost_user_msg.h"

#include "base/cleanup.h"
#include "base/util.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define HEADER_SIZE sizeof(struct vhost_user_header)

void vhost_user_msg_init(struct vhost_user_msg *m)
{
	memset(m, 0, sizeof(*m));
	for (unsigned int i = 0; i < VHOST_USER_FDS_MAX; i++)
		m->fds[i] = -1;
}

void vhost_user_msg_reset(struct vhost_user_msg *m)
{
	for (unsigned int i = 0; i < VHOST_USER_FDS_MAX; i++)
		close_fd(&m->fds[i]);
	vhost_user_msg_init(m);
}

/* Takes every descriptor over, so that none leaks whatever the peer sent. */
static int take_fds(struct vhost_user_msg *m, struct msghdr *mh)
{
	int r = mh->msg_flags & MSG_CTRUNC ? -EPROTO : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (m->n_fds < VHOST_USER_FDS_MAX) {
				m->fds[m->n_fds++] = fd;
			} else {
				close(fd);
				r = -EPROTO;
			}
		}
	}
	return r;
}

/* #syscalls:vhost-user recvmsg */
static ssize_t read_part(struct vhost_user_msg *m, int fd, void *data, size_t n)
{
	union {
		char data[CMSG_SPACE(sizeof(int) * VHOST_USER_FDS_MAX)];
		struct cmsghdr align;
	} control;
	struct iovec iov = {data, n};
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.data,
		.msg_controllen = sizeof(control.data),
	};
	ssize_t r;
	int e;

	do
		r = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return errno == EAGAIN ? 0 : -errno;
	e = take_fds(m, &mh);
	if (e < 0)
		return e;
	return r == 0 ? -ECONNRESET : r;
}

int vhost_user_msg_read(struct vhost_user_msg *m, int fd)
{
	for (;;) {
		bool head = m->got < HEADER_SIZE;
		size_t off = head ? m->got : m->got - HEADER_SIZE;
		size_t want = (head ? HEADER_SIZE : m->h.size) - off;
		ssize_t r;

		r = read_part(m, fd, (head ? (char *)&m->h : (char *)&m->p) + off, want);
		if (r <= 0)
			return (int)r;
		m->got += (size_t)r;
		if (m->got < HEADER_SIZE)
			continue;
		if ((m->h.flags & VHOST_USER_FLAG_VERSION) != VHOST_USER_VERSION ||
		    m->h.size > sizeof(m->p))
			return -EPROTO;
		if (m->got == HEADER_SIZE + m->h.size)
			return 1;
	}
}

/* #syscalls:vhost-user sendmsg */
int vhost_user_msg_reply(struct vhost_user_msg *m, int fd, uint32_t size)
{
	struct vhost_user_header h = {
		.request = m->h.request,
		.flags = VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY,
		.size = size,
	};
	struct iovec iov[2] = {{&h, sizeof(h)}, {&m->p, size}};
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov)};
	ssize_t r;

	/* The peer has at most one request open, so a reply always finds room in the socket. */
	do
		r = sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return (size_t)r == sizeof(h) + size ? 0 : -EPROTO;
}
