/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by vsock.c (device and queues), vsock_host.c (the host's sockets) and vsock_conn.c (one
 * connection).
 */
#pragma once

#include "base/buf.h"
#include "virtio/iov.h"
#include "virtio/vsock.h"

#include <linux/virtio_vsock.h>
#include <sys/queue.h>

#define VSOCK_HOST_CID 2u

/* Bytes of one connection that wait for a slow host program; this is the credit of the guest. */
#define VSOCK_BUF_ALLOC 262144u
#define VSOCK_CONNS_MAX 1024
/* Those the guest may open: some are left for the host's own. */
#define VSOCK_GUEST_CONNS_MAX 768
#define VSOCK_HASH_SIZE       256
/* Replies to packets that belong to no connection; when full, the guest's packets wait. */
#define VSOCK_RESETS_MAX 64
#define VSOCK_PACKET_MAX (64u * 1024)
#define VSOCK_CHAIN_MAX  128

#define VSOCK_QUEUE_RX    0 /* named from the driver's side: we write to it */
#define VSOCK_QUEUE_TX    1
#define VSOCK_QUEUE_EVENT 2

enum vsock_state {
	/* The host program has not written its "CONNECT" line yet. */
	VSOCK_HELLO,
	/* The guest has not answered our request yet. */
	VSOCK_REQUESTED,
	VSOCK_OPEN,
	/* The guest is done; what it sent is still on its way to the host program. */
	VSOCK_DRAIN,
	/* To be freed by vsock_conn_settle. */
	VSOCK_DEAD,
};

/* Packets that a connection has to send to the guest, in order of urgency. */
enum {
	VSOCK_SEND_RST = 1 << 0,
	VSOCK_SEND_REQUEST = 1 << 1,
	VSOCK_SEND_RESPONSE = 1 << 2,
	VSOCK_SEND_CREDIT = 1 << 3,
	VSOCK_ASK_CREDIT = 1 << 4,
	VSOCK_SEND_DATA = 1 << 5, /* the host program has some, but there was no rx buffer */
	VSOCK_SEND_SHUTDOWN = 1 << 6,
};

struct vsock;

struct vsock_conn {
	struct vsock *vs;
	struct ev ev; /* ev.fd is owned */
	enum vsock_state state;
	uint32_t host_port;
	uint32_t guest_port;
	unsigned int pending; /* VSOCK_SEND_*; non-zero: on vs->ready */
	bool from_guest;
	bool hashed;
	bool on_ready;
	LIST_ENTRY(vsock_conn) hash_link;
	TAILQ_ENTRY(vsock_conn) ready_link;
	LIST_ENTRY(vsock_conn) all_link;

	/* The "CONNECT" line so far. */
	char line[24];
	unsigned int line_len;

	/* Host to guest. */
	uint32_t sent;           /* bytes sent, modulo 2^32 */
	uint32_t peer_buf_alloc; /* the guest's latest word */
	uint32_t peer_fwd_cnt;
	uint32_t read_hint;
	bool no_credit; /* stopped reading from the host program until the guest takes data */
	bool host_eof;  /* the host program will send no more */
	bool host_gone; /* nor read any more */

	/* Guest to host. */
	struct buf out;
	uint32_t fwd_cnt;          /* bytes that left towards the host program */
	uint32_t fwd_told;         /* ... as the guest knows it */
	unsigned int guest_shut;   /* VIRTIO_VSOCK_SHUTDOWN_* from the guest */
	unsigned int shut_to_send; /* ... towards the guest */
	bool write_shut;
};

/* The event that tells a guest from a saved machine to close its connections. */
enum vsock_event {
	VSOCK_EVENT_NONE,
	VSOCK_EVENT_DUE,  /* there was no buffer for it yet */
	VSOCK_EVENT_SENT, /* the driver has not dealt with it yet */
};

LIST_HEAD(vsock_conn_list, vsock_conn);
TAILQ_HEAD(vsock_ready_list, vsock_conn);

struct vsock_reset {
	uint64_t src_cid;
	uint32_t src_port;
	uint32_t dst_port;
	uint16_t type;
};

/* Buffers of the rx queue that one read from a host program may fill. */
#define VSOCK_BATCH_PACKETS 64
#define VSOCK_BATCH_IOV     (2 * VSOCK_CHAIN_MAX)

struct vsock_batch {
	struct iovec iov[VSOCK_BATCH_IOV];
	struct iovec payload[VSOCK_BATCH_IOV];
	struct virtq_chain chains[VSOCK_BATCH_PACKETS];
	size_t room[VSOCK_BATCH_PACKETS]; /* payload bytes */
	unsigned int n_iov;
	unsigned int n_payload;
	unsigned int n;
};

struct vsock {
	struct virtio_device dev;
	uint64_t guest_cid;
	struct ev listen_ev; /* fd owned; -1: none */
	int offers_fd;       /* owned; -1: none */
	struct vsock_conn_list hash[VSOCK_HASH_SIZE];
	struct vsock_conn_list all;
	unsigned int n_conns;
	unsigned int n_from_guest;
	struct vsock_conn *current; /* whose event is being handled; NULL once it is freed */
	struct timer listen_retry;
	struct vsock_ready_list ready; /* connections with something for the guest */
	struct vsock_reset resets[VSOCK_RESETS_MAX];
	unsigned int n_resets;
	bool tx_waits; /* packets of the guest wait for room in resets */
	/* The guest does not know yet that its connections are gone. */
	enum vsock_event event;
	uint16_t event_index; /* the driver's index of the event queue when it was sent */
	uint32_t next_port;
	struct vsock_batch batch;
};

/* --- vsock.c */

/* Sends what is pending as far as the guest gave buffers, and publishes it. */
void vsock_flush(struct vsock *vs);
struct vsock_conn *vsock_find(struct vsock *vs, uint32_t host_port, uint32_t guest_port);
void vsock_hash_add(struct vsock_conn *c);
/* A host port that no connection uses. */
uint32_t vsock_new_port(struct vsock *vs);
/* --- vsock_host.c */

/* Checks the host's sockets and watches the listening one, where there are any. 0 or -errno. */
int vsock_host_init(struct vsock *vs);
/* A connection is gone: there may be room for a waiting client. */
void vsock_conn_gone(struct vsock *vs);
/* Offers a connection to our owner without waiting; our non-blocking end of it, or -errno. */
int vsock_offer(struct vsock *vs, uint32_t port);

/* --- vsock_conn.c; none of them frees the connection except vsock_conn_settle and _free. */

/* Takes `fd` (non-blocking) over; NULL with errno when out of memory (fd is closed). */
struct vsock_conn *vsock_conn_new(struct vsock *vs, int fd, enum vsock_state state);
void vsock_conn_free(struct vsock_conn *c);
/* Handles a packet of the guest; `data` holds the payload. */
void vsock_conn_packet(struct vsock_conn *c, const struct virtio_vsock_hdr *h,
		       struct iov_iter *data);
/* Stops serving the connection and tells the guest. */
void vsock_conn_reset(struct vsock_conn *c);
/*
 * Chooses the next packet and fills in its header (except for addresses and credit); for data
 * the payload is up to the caller. False when there is none.
 */
bool vsock_conn_next(struct vsock_conn *c, struct virtio_vsock_hdr *h);
/* Bytes the guest has room for. */
uint32_t vsock_conn_credit(const struct vsock_conn *c);
/* How much to read at once: within the credit, and what recent reads make likely to be there. */
uint32_t vsock_conn_read_size(const struct vsock_conn *c);
/*
 * The guest is told, or knows, that it is over: the connection has no part in its queues any more,
 * but bytes for the host program are still delivered.
 */
void vsock_conn_finish(struct vsock_conn *c);
/* What a read from the host program gave: > 0 bytes are sent, 0 end, < 0 -errno. */
void vsock_conn_data_read(struct vsock_conn *c, ssize_t n);
/*
 * Brings the ready list and the events watched for in line with the state, and frees the
 * connection when it is finished. To be called last whenever one was touched.
 */
void vsock_conn_settle(struct vsock_conn *c);
