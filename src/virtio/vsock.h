/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket device (virtio 1.2, 5.10), stream sockets only. The host side is unix sockets:
 *
 *  - host to guest: a client connects to the listening socket, writes "CONNECT <port>\n" and gets
 *    "OK <host port>\n" when a guest program accepted; from then on the connection carries the
 *    stream. When nobody listens in the guest, the connection is closed without a word. A client
 *    that comes before the guest's driver is up waits.
 *  - guest to host: a guest program connects to CID 2, port P; we make a socket pair, keep one end
 *    and offer the other to our owner, as a message of the offers socket: struct vsock_offer with
 *    the descriptor (SCM_RIGHTS, a non-blocking stream socket). Who does not want the connection
 *    closes the descriptor. Then, and when the offer cannot be delivered at once, the guest gets a
 *    reset.
 *
 * So the device needs no name in any file system and no address of any network.
 */
#pragma once

#include "virtio/device.h"

/* A message of the offers socket, with one descriptor. */
struct vsock_offer {
	uint32_t port; /* that the guest connects to, in the byte order of the host */
};

struct vsock_config {
	uint64_t guest_cid; /* 3 or more */
	int listen_fd;      /* a listening unix stream socket, or -1 */
	int offers_fd;      /* a connected unix socket of type SOCK_SEQPACKET, or -1 */
};

/*
 * Takes the descriptors over, also when it fails (NULL with errno; EINVAL for a descriptor of
 * another kind).
 */
struct virtio_device *vsock_new(const struct vsock_config *config);
