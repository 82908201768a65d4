/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The driver puts packets (a 44-byte header and up to 64 KiB) into the tx queue and empty buffers
 * into the rx queue; both queues are shared by all connections. Everything runs on the device's
 * worker, none of it ever waits.
 *
 * Guest to host: a packet's payload is written to the host program's socket directly from guest
 * memory; what the socket does not take goes into the connection's buffer. That buffer is
 * the credit (buf_alloc) the guest has, so it always has room and the tx queue never has to wait
 * for a slow host program. A guest that sends more than its credit gets a reset.
 *
 * Host to guest: a connection whose socket is readable is put on the ready list. vsock_flush takes
 * as many rx buffers as there are and one readv fills the payload parts of many of them at once;
 * then the headers are written, the unused buffers are given back to the queue (virtq_unpop), and
 * the driver is notified once. Nothing is buffered here: without rx buffers the connection stays
 * on the list, without credit it leaves it, and in both cases its socket is not watched until
 * that changes. So the host program is the one that waits.
 *
 * Control packets are bits of the connection (VSOCK_SEND_*), so however many a guest provokes, they
 * take no memory. Replies to packets without a connection are held in a small array; while it
 * is full the tx queue is not served (which 5.10.6.1 allows), and it empties as soon as the guest
 * offers rx buffers.
 *
 * Fairness: a connection sends at most one batch before the next one's turn.
 *
 * A connection ends for the guest with a reset in one direction or the other. What the guest sent
 * before is still delivered to the host program (VSOCK_DRAIN), however slowly it reads.
 *
 * When the driver takes its queues away (reboot, reset), all connections that it knew are closed;
 * host programs that wait for their first answer go on waiting for the next driver.
 *
 * A guest that comes from a saved machine believes in connections of which nothing is left here. It
 * is told by the one event there is (5.10.6.7), as soon as it offers a buffer for it, and closes
 * all it has, without a word to us. So nothing is sent or taken until it has: a connection that is
 * made before would be closed with the old ones. The sign is that the driver offers the buffer of
 * the event again. The ports of new connections are taken from elsewhere, so that none of them is
 * mistaken for an old one.
 */
#include "virtio/vsock_internal.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#define QUEUES     3 /* rx, tx, event */
#define QUEUE_SIZE 256
#define TX_BUDGET  64
/* Looks at the rx queue per turn: a driver may let buffers appear and vanish. */
#define RX_LOOKS   16
#define FIRST_PORT 0x40000000u
#define HDR_SIZE   sizeof(struct virtio_vsock_hdr)

/* --- Connections by port. */

static struct vsock_conn_list *bucket(struct vsock *vs, uint32_t host_port, uint32_t guest_port)
{
	uint32_t h = (host_port * 31u + guest_port) * 2654435761u;

	return &vs->hash[(h >> 16) % VSOCK_HASH_SIZE];
}

struct vsock_conn *vsock_find(struct vsock *vs, uint32_t host_port, uint32_t guest_port)
{
	struct vsock_conn *c;

	LIST_FOREACH(c, bucket(vs, host_port, guest_port), hash_link)
	if (c->host_port == host_port && c->guest_port == guest_port)
		return c;
	return NULL;
}

void vsock_hash_add(struct vsock_conn *c)
{
	LIST_INSERT_HEAD(bucket(c->vs, c->host_port, c->guest_port), c, hash_link);
	c->hashed = true;
}

uint32_t vsock_new_port(struct vsock *vs)
{
	for (;;) {
		uint32_t port = FIRST_PORT + (vs->next_port++ & (FIRST_PORT - 1));
		struct vsock_conn *c;

		LIST_FOREACH(c, &vs->all, all_link)
		if (c->host_port == port)
			break;
		if (!c)
			return port;
	}
}

/* --- Towards the guest. */

static void put_header(const struct virtq_chain *chain, const struct virtio_vsock_hdr *h)
{
	struct iov_iter it;

	iov_iter_init(&it, chain->in, chain->in_n, chain->in_len);
	iov_iter_write(&it, h, sizeof(*h));
}

static void fill_header(struct vsock_conn *c, struct virtio_vsock_hdr *h, uint32_t len)
{
	h->src_cid = VSOCK_HOST_CID;
	h->dst_cid = c->vs->guest_cid;
	h->src_port = c->host_port;
	h->dst_port = c->guest_port;
	h->len = len;
	h->type = VIRTIO_VSOCK_TYPE_STREAM;
	h->buf_alloc = VSOCK_BUF_ALLOC;
	h->fwd_cnt = c->fwd_cnt;
	c->fwd_told = c->fwd_cnt;
}

/* Adds the payload part of the batch's newest chain, at most `max` bytes; returns how many. */
static size_t batch_payload(struct vsock_batch *b, size_t max)
{
	const struct virtq_chain *chain = &b->chains[b->n];
	struct iov_iter it;
	size_t taken;

	iov_iter_init(&it, chain->in, chain->in_n, chain->in_len);
	iov_iter_skip(&it, HDR_SIZE);
	b->n_payload +=
		iov_iter_take(&it, MIN(max, (size_t)VSOCK_PACKET_MAX), b->payload + b->n_payload,
			      VSOCK_BATCH_IOV - b->n_payload, &taken);
	b->room[b->n] = taken;
	return taken;
}

/* Takes chains until they hold `want` bytes; the first one is there already. */
static int batch_gather(struct virtq *rx, struct vsock_batch *b, size_t want)
{
	for (;;) {
		int r;

		if (b->chains[b->n].in_len <= HDR_SIZE)
			return -EPROTO;
		want -= batch_payload(b, want);
		b->n_iov += b->chains[b->n].out_n + b->chains[b->n].in_n;
		b->n++;
		if (want == 0 || b->n == VSOCK_BATCH_PACKETS ||
		    VSOCK_BATCH_IOV - b->n_iov < VSOCK_CHAIN_MAX)
			return 0;
		r = virtq_pop(rx, b->iov + b->n_iov, VSOCK_CHAIN_MAX, &b->chains[b->n]);
		if (r <= 0)
			return r;
	}
}

/*
 * Reads from the host program into rx buffers, the first of which was taken.
 * #syscalls:vsock readv
 */
static int send_data(struct vsock_conn *c, struct virtq *rx, struct vsock_batch *b,
		     struct virtio_vsock_hdr *h)
{
	ssize_t n;
	size_t left;
	unsigned int used = 0;
	int r = batch_gather(rx, b, vsock_conn_read_size(c));

	if (r < 0)
		return r;
	n = readv(c->ev.fd, b->payload, (int)b->n_payload);
	if (n < 0)
		n = -errno;
	vsock_conn_data_read(c, n);
	for (left = n > 0 ? (size_t)n : 0; left > 0; used++) {
		size_t part = MIN(left, b->room[used]);

		fill_header(c, h, (uint32_t)part);
		put_header(&b->chains[used], h);
		virtq_push(rx, b->chains[used].head, (uint32_t)(HDR_SIZE + part));
		left -= part;
	}
	virtq_unpop(rx, b->n - used);
	return 1;
}

/* Sends one packet, or one batch of data, of a connection. 1, 0 without rx buffers, or -EPROTO. */
static int serve_conn(struct vsock_conn *c, struct virtq *rx)
{
	struct virtio_vsock_hdr h = {};
	struct vsock_batch *b = &c->vs->batch;
	int r;

	b->n = b->n_iov = b->n_payload = 0;
	r = virtq_pop(rx, b->iov, VSOCK_CHAIN_MAX, &b->chains[0]);
	if (r <= 0)
		return r;
	if (b->chains[0].in_len < HDR_SIZE)
		return -EPROTO;
	if (!vsock_conn_next(c, &h)) {
		virtq_unpop(rx, 1);
	} else if (h.op == VIRTIO_VSOCK_OP_RW) {
		r = send_data(c, rx, b, &h);
	} else {
		fill_header(c, &h, 0);
		put_header(&b->chains[0], &h);
		virtq_push(rx, b->chains[0].head, HDR_SIZE);
	}
	vsock_conn_settle(c);
	return r;
}

static int serve_reset(struct vsock *vs, struct virtq *rx)
{
	struct iovec iov[VSOCK_CHAIN_MAX];
	struct virtio_vsock_hdr h = {.op = VIRTIO_VSOCK_OP_RST, .dst_cid = vs->guest_cid};
	struct virtq_chain chain;
	int r = virtq_pop(rx, iov, ARRAY_SIZE(iov), &chain);

	if (r <= 0)
		return r;
	if (chain.in_len < HDR_SIZE)
		return -EPROTO;
	vs->n_resets--;
	h.src_cid = vs->resets[vs->n_resets].src_cid;
	h.src_port = vs->resets[vs->n_resets].src_port;
	h.dst_port = vs->resets[vs->n_resets].dst_port;
	h.type = vs->resets[vs->n_resets].type;
	put_header(&chain, &h);
	virtq_push(rx, chain.head, HDR_SIZE);
	return 1;
}

void vsock_flush(struct vsock *vs)
{
	struct virtq *rx = virtio_queue(&vs->dev, VSOCK_QUEUE_RX);
	int r, looks = 0;

	if (!rx->started || rx->broken || vs->event != VSOCK_EVENT_NONE)
		return;
	virtq_kicks_off(rx);
	do {
		r = 1;
		while (vs->n_resets || !TAILQ_EMPTY(&vs->ready)) {
			r = vs->n_resets ? serve_reset(vs, rx)
					 : serve_conn(TAILQ_FIRST(&vs->ready), rx);
			if (r <= 0)
				break;
		}
		virtio_device_publish(&vs->dev, VSOCK_QUEUE_RX);
		/* Kicks are wanted only while something waits for buffers. */
	} while (r == 0 && virtq_kicks_on(rx) && ++looks < RX_LOOKS);
	if (r < 0)
		virtio_device_queue_broken(&vs->dev, VSOCK_QUEUE_RX);
	else if (looks == RX_LOOKS)
		virtio_device_rekick(&vs->dev, VSOCK_QUEUE_RX);
	if (vs->tx_waits && vs->n_resets < VSOCK_RESETS_MAX) {
		vs->tx_waits = false;
		virtio_device_rekick(&vs->dev, VSOCK_QUEUE_TX);
	}
}

/* --- From the guest. */

static void reply_reset(struct vsock *vs, const struct virtio_vsock_hdr *h)
{
	/* serve_tx sees to it that there is room. */
	if (h->op == VIRTIO_VSOCK_OP_RST || vs->n_resets == VSOCK_RESETS_MAX)
		return;
	vs->resets[vs->n_resets++] = (struct vsock_reset){
		.src_cid = h->dst_cid,
		.src_port = h->dst_port,
		.dst_port = h->src_port,
		.type = h->type,
	};
}

static void new_from_guest(struct vsock *vs, const struct virtio_vsock_hdr *h)
{
	struct vsock_conn *c;
	int fd = -EMFILE;

	if (vs->n_conns < VSOCK_CONNS_MAX && vs->n_from_guest < VSOCK_GUEST_CONNS_MAX)
		fd = vsock_offer(vs, h->dst_port);
	c = fd >= 0 ? vsock_conn_new(vs, fd, VSOCK_OPEN) : NULL;
	if (!c) {
		reply_reset(vs, h);
		return;
	}
	c->from_guest = true;
	vs->n_from_guest++;
	c->host_port = h->dst_port;
	c->guest_port = h->src_port;
	c->peer_buf_alloc = h->buf_alloc;
	c->peer_fwd_cnt = h->fwd_cnt;
	c->pending = VSOCK_SEND_RESPONSE;
	vsock_hash_add(c);
	vsock_conn_settle(c);
}

/* A header that does not describe its packet, or a peer we are not. */
static bool valid(const struct vsock *vs, const struct virtio_vsock_hdr *h, size_t payload)
{
	return h->type == VIRTIO_VSOCK_TYPE_STREAM && h->dst_cid == VSOCK_HOST_CID &&
	       h->len <= VSOCK_PACKET_MAX && h->len <= payload;
}

static int handle_packet(struct vsock *vs, const struct virtq_chain *chain)
{
	struct virtio_vsock_hdr h;
	struct vsock_conn *c;
	struct iov_iter it;

	iov_iter_init(&it, chain->out, chain->out_n, chain->out_len);
	if (iov_iter_read(&it, &h, sizeof(h)) != sizeof(h))
		return -EPROTO;
	/* Nobody else is behind this queue, so there is nobody to answer. */
	if (h.src_cid != vs->guest_cid)
		return 0;
	c = h.dst_cid == VSOCK_HOST_CID ? vsock_find(vs, h.dst_port, h.src_port) : NULL;
	if (c && valid(vs, &h, it.left)) {
		it.left = h.len;
		vsock_conn_packet(c, &h, &it);
		vsock_conn_settle(c);
	} else if (c) {
		vsock_conn_reset(c);
		vsock_conn_settle(c);
	} else if (h.op == VIRTIO_VSOCK_OP_REQUEST && valid(vs, &h, it.left)) {
		new_from_guest(vs, &h);
	} else {
		reply_reset(vs, &h);
	}
	return 0;
}

static void serve_tx(struct vsock *vs)
{
	struct virtq *tx = virtio_queue(&vs->dev, VSOCK_QUEUE_TX);
	struct iovec iov[VSOCK_CHAIN_MAX];
	struct virtq_chain chain;
	int r = 0;

	virtq_kicks_off(tx);
	for (int n = 0; n < TX_BUDGET; n++) {
		if (vs->n_resets == VSOCK_RESETS_MAX) {
			vs->tx_waits = true;
			break;
		}
		r = virtq_pop(tx, iov, ARRAY_SIZE(iov), &chain);
		if (r == 0) {
			virtio_device_publish(&vs->dev, VSOCK_QUEUE_TX);
			if (virtq_kicks_on(tx))
				continue;
			return;
		}
		if (r > 0 && handle_packet(vs, &chain) < 0)
			r = -EPROTO;
		if (r < 0)
			break;
		virtq_push(tx, chain.head, 0);
	}
	virtio_device_publish(&vs->dev, VSOCK_QUEUE_TX);
	if (r < 0)
		virtio_device_queue_broken(&vs->dev, VSOCK_QUEUE_TX);
	else if (!vs->tx_waits)
		virtio_device_rekick(&vs->dev, VSOCK_QUEUE_TX);
}

/* --- After a machine was loaded. */

static int put_event(struct virtio_device *dev)
{
	const struct virtio_vsock_event e = {.id = VIRTIO_VSOCK_EVENT_TRANSPORT_RESET};
	struct virtq *vq = virtio_queue(dev, VSOCK_QUEUE_EVENT);
	struct iovec iov[VSOCK_CHAIN_MAX];
	struct virtq_chain chain;
	struct iov_iter it;
	int r = virtq_pop(vq, iov, ARRAY_SIZE(iov), &chain);

	if (r <= 0)
		return r;
	if (chain.in_len < sizeof(e))
		return -EPROTO;
	iov_iter_init(&it, chain.in, chain.in_n, chain.in_len);
	iov_iter_write(&it, &e, sizeof(e));
	virtq_push(vq, chain.head, sizeof(e));
	virtio_device_publish(dev, VSOCK_QUEUE_EVENT);
	return 1;
}

/* Looks for the buffer that the driver gives back; whatever is there already does not count. */
static void await_driver(struct vsock *vs)
{
	struct virtq *vq = virtio_queue(&vs->dev, VSOCK_QUEUE_EVENT);

	if (virtq_driver_index(vq) == vs->event_index && !virtq_kick_past(vq, vs->event_index))
		return;
	vs->event = VSOCK_EVENT_NONE;
	virtio_device_rekick(&vs->dev, VSOCK_QUEUE_TX);
}

/* A buffer that comes between the look and the request for a kick is found by the second look. */
static void send_event(struct vsock *vs)
{
	struct virtq *vq = virtio_queue(&vs->dev, VSOCK_QUEUE_EVENT);
	int r;

	vs->event_index = virtq_driver_index(vq);
	r = put_event(&vs->dev);
	if (r == 0 && virtq_kicks_on(vq)) {
		vs->event_index = virtq_driver_index(vq);
		r = put_event(&vs->dev);
	}
	if (r < 0)
		virtio_device_queue_broken(&vs->dev, VSOCK_QUEUE_EVENT);
	if (r <= 0)
		return;
	vs->event = VSOCK_EVENT_SENT;
	await_driver(vs);
}

static void vsock_restored(struct virtio_device *dev)
{
	struct vsock *vs = container_of(dev, struct vsock, dev);

	/* When there is no randomness the old ports are as good as any. */
	if (getrandom(&vs->next_port, sizeof(vs->next_port), 0) < 0)
		vs->next_port += VSOCK_CONNS_MAX;
	vs->event = VSOCK_EVENT_DUE;
	virtio_device_kick(dev, VSOCK_QUEUE_EVENT);
}

static void vsock_kick(struct virtio_device *dev, unsigned int queue)
{
	struct vsock *vs = container_of(dev, struct vsock, dev);

	if (queue == VSOCK_QUEUE_EVENT && vs->event == VSOCK_EVENT_SENT)
		await_driver(vs);
	if (queue == VSOCK_QUEUE_EVENT && vs->event == VSOCK_EVENT_DUE)
		send_event(vs);
	if (vs->event != VSOCK_EVENT_NONE)
		return;
	if (queue == VSOCK_QUEUE_TX && !vs->tx_waits)
		serve_tx(vs);
	vsock_flush(vs);
}

static void vsock_queue_stopped(struct virtio_device *dev, unsigned int queue)
{
	struct vsock *vs = container_of(dev, struct vsock, dev);
	struct vsock_conn *c, *next;

	for (c = LIST_FIRST(&vs->all); c; c = next) {
		next = LIST_NEXT(c, all_link);
		if (c->state == VSOCK_HELLO || c->state == VSOCK_DRAIN ||
		    (c->state == VSOCK_REQUESTED && (c->pending & VSOCK_SEND_REQUEST)))
			continue;
		vsock_conn_finish(c);
		vsock_conn_settle(c);
	}
	vs->n_resets = 0;
	vs->tx_waits = false;
	vs->event = VSOCK_EVENT_NONE;
}

/* --- Life. */

static void vsock_free(struct virtio_device *dev)
{
	struct vsock *vs = container_of(dev, struct vsock, dev);

	if (vs->dev.worker) {
		struct loop *loop = worker_loop(vs->dev.worker);

		while (!LIST_EMPTY(&vs->all))
			vsock_conn_free(LIST_FIRST(&vs->all));
		loop_del(loop, &vs->listen_ev);
		timer_cancel(loop, &vs->listen_retry);
	}
	close_fd(&vs->listen_ev.fd);
	close_fd(&vs->offers_fd);
	virtio_device_release(dev);
	free(vs);
}

static bool vsock_busy(const struct virtio_device *dev)
{
	const struct vsock *vs = container_of(dev, struct vsock, dev);
	const struct vsock_conn *c;

	LIST_FOREACH(c, &vs->all, all_link)
	if (buf_len(&c->out))
		return true;
	return false;
}

static const struct virtio_device_ops vsock_ops = {
	.busy = vsock_busy,
	.kick = vsock_kick,
	.queue_stopped = vsock_queue_stopped,
	.restored = vsock_restored,
	.free = vsock_free,
};

static int set_up(struct vsock *vs, const struct vsock_config *config)
{
	struct virtio_vsock_config space = {.guest_cid = config->guest_cid};
	int r = virtio_device_init(&vs->dev, &vsock_ops, VIRTIO_ID_VSOCK, "vsock", QUEUES,
				   QUEUE_SIZE);

	if (r < 0)
		return r;
	if (config->guest_cid <= VSOCK_HOST_CID || config->guest_cid >= UINT32_MAX)
		return -EINVAL;
	vs->guest_cid = config->guest_cid;
	memcpy(vs->dev.config, &space, sizeof(space));
	vs->dev.config_size = sizeof(space);
	return vsock_host_init(vs);
}

struct virtio_device *vsock_new(const struct vsock_config *config)
{
	struct vsock *vs = calloc(1, sizeof(*vs));
	int r;

	if (!vs) {
		int fds[] = {config->listen_fd, config->offers_fd};

		close_fd(&fds[0]);
		close_fd(&fds[1]);
		errno = ENOMEM;
		return NULL;
	}
	LIST_INIT(&vs->all);
	TAILQ_INIT(&vs->ready);
	vs->listen_ev.fd = config->listen_fd;
	vs->offers_fd = config->offers_fd;
	r = set_up(vs, config);
	if (r < 0) {
		virtio_device_free(&vs->dev);
		errno = -r;
		return NULL;
	}
	return &vs->dev;
}
