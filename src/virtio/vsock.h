/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket device (virtio 1.2, 5.10), stream sockets only. The host side is unix sockets:
 *
 *  - host to guest: a client connects to the listening socket, writes "CONNECT <port>\n" and gets
 *    "OK <host port>\n" when a guest program accepted; from then on the connection carries the
 *    stream. When nobody listens in the guest, the connection is closed without a word. A client
 *    that comes before the guest's driver is up waits.
 *  - guest to host: a guest program connects to CID 2, port P; we connect to the unix socket
 *    named "<base>_<P>". No such socket: the guest gets a reset.
 */
#pragma once

#include "virtio/device.h"

#define VSOCK_BASE_MAX 64

struct vsock_config {
	uint64_t guest_cid; /* 3 or more */
	int listen_fd;      /* a listening unix stream socket, or -1 */
	int dir_fd;         /* the directory of the "<base>_<P>" sockets, or -1 */
	const char *base;   /* at most VSOCK_BASE_MAX bytes, without '/'; copied */
};

/* Takes the descriptors over, also when it fails (NULL with errno). */
struct virtio_device *vsock_new(const struct vsock_config *config);
