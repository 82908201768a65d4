/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/device.h"

#include "base/cleanup.h"
#include "fs/server.h"

#include <errno.h>
#include <linux/virtio_fs.h>
#include <string.h>

/*
 * One queue for what must not wait (forgetting), one for requests. More would be of use only to
 * more threads.
 */
#define QUEUES     2
#define QUEUE_SIZE 256
#define CHAIN_MAX  VIRTQ_SIZE_MAX
/* Requests per turn. */
#define BUDGET 32

struct fs_device {
	struct virtio_device dev;
	struct server *server;
	/* Too large for the stack. */
	struct iovec iov[CHAIN_MAX];
};

static uint32_t handle(struct fs_device *f, const struct virtq_chain *c)
{
	struct iov_iter in, out;

	iov_iter_init(&in, c->out, c->out_n, c->out_len);
	iov_iter_init(&out, c->in, c->in_n, c->in_len);
	return (uint32_t)server_handle(f->server, &in, &out);
}

static void fs_kick(struct virtio_device *dev, unsigned int queue)
{
	struct fs_device *f = container_of(dev, struct fs_device, dev);
	struct virtq *vq = virtio_queue(dev, queue);
	struct virtq_chain c;
	int r;

	virtq_kicks_off(vq);
	for (int n = 0; n < BUDGET; n++) {
		r = virtq_pop(vq, f->iov, CHAIN_MAX, &c);
		if (r == 0 && virtq_kicks_on(vq))
			continue;
		if (r <= 0)
			goto out;
		virtq_push(vq, c.head, handle(f, &c));
		/* Whoever waits for this one need not wait for the next. */
		virtio_device_publish(dev, queue);
	}
	virtio_device_rekick(dev, queue);
	r = 0;
out:
	if (r < 0)
		virtio_device_queue_broken(dev, queue);
}

/* The driver has gone, and with it the guest's mount. */
static void fs_queue_stopped(struct virtio_device *dev, unsigned int queue)
{
	struct fs_device *f = container_of(dev, struct fs_device, dev);

	if (queue == QUEUES - 1)
		server_reset(f->server);
}

static void fs_free(struct virtio_device *dev)
{
	struct fs_device *f = container_of(dev, struct fs_device, dev);

	virtio_device_release(dev);
	server_free(f->server);
	free(f);
}

static const struct virtio_device_ops fs_ops = {
	.kick = fs_kick,
	.queue_stopped = fs_queue_stopped,
	.free = fs_free,
};

struct virtio_device *fs_device_new(const struct share_config *shares, unsigned n, size_t max_nodes,
				    unsigned *ret_bad)
{
	struct virtio_fs_config config = {.tag = FS_TAG, .num_request_queues = 1};
	struct fs_device *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return NULL;
	r = virtio_device_init(&f->dev, &fs_ops, VIRTIO_ID_FS, "fs", QUEUES, QUEUE_SIZE);
	if (r == 0) {
		f->server = server_new(shares, n, max_nodes, ret_bad);
		r = f->server ? 0 : -errno;
	}
	if (r < 0) {
		virtio_device_free(&f->dev);
		errno = -r;
		return NULL;
	}
	memcpy(f->dev.config, &config, sizeof(config));
	f->dev.config_size = sizeof(config);
	return &f->dev;
}
