/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/device.h"

#include "base/io.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int virtio_device_init(struct virtio_device *dev, const struct virtio_device_ops *ops, uint32_t id,
		       const char *name, unsigned int num_queues, uint16_t queue_size_max)
{
	dev->ops = ops;
	dev->id = id;
	dev->num_queues = num_queues;
	dev->queue_size_max = queue_size_max;
	dev->features = VIRTIO_RING_FEATURES;
	for (unsigned int i = 0; i < num_queues; i++) {
		dev->queues[i].dev = dev;
		dev->queues[i].index = i;
		dev->queues[i].kick_ev.fd = -1;
	}
	dev->worker = worker_new(name);
	return dev->worker ? 0 : -errno;
}

void virtio_device_release(struct virtio_device *dev)
{
	dev->worker = worker_free(dev->worker);
}

struct virtio_device *virtio_device_free(struct virtio_device *dev)
{
	if (!dev)
		return NULL;
	if (dev->worker)
		worker_stop(dev->worker);
	dev->ops->free(dev);
	return NULL;
}

/* #syscalls:worker read */
static void on_kick(struct ev *ev, uint32_t events)
{
	struct virtio_queue *q = container_of(ev, struct virtio_queue, kick_ev);
	uint64_t n;
	ssize_t r = read(ev->fd, &n, sizeof(n));

	/* An eventfd never ends; something else that did would be readable for ever. */
	if (r == 0 || (r < 0 && errno != EAGAIN && errno != EINTR)) {
		virtio_device_queue_broken(q->dev, q->index);
		return;
	}
	virtio_device_kick(q->dev, q->index);
}

int virtio_device_start_queue(struct virtio_device *dev, unsigned int queue,
			      const struct guest_mem *mem, const struct virtq_config *cfg,
			      int kick_fd)
{
	struct virtio_queue *q = &dev->queues[queue];
	struct virtq_config c = *cfg;
	int r;

	virtio_device_stop_queue(dev, queue);
	c.event_idx = dev->acked & VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX);
	c.indirect = dev->acked & VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC);
	r = virtq_start(&q->vq, mem, &c);
	if (r == 0 && kick_fd >= 0) {
		q->kick_ev.fd = kick_fd;
		q->kick_ev.fn = on_kick;
		r = loop_add(worker_loop(dev->worker), &q->kick_ev, EPOLLIN);
	}
	if (r < 0) {
		q->kick_ev.fd = -1;
		virtq_stop(&q->vq);
		return r;
	}
	if (dev->ops->queue_started)
		dev->ops->queue_started(dev, queue);
	/* What was made available before we listened. */
	virtio_device_kick(dev, queue);
	return 0;
}

uint16_t virtio_device_stop_queue(struct virtio_device *dev, unsigned int queue)
{
	struct virtio_queue *q = &dev->queues[queue];

	if (!q->vq.started)
		return 0;
	loop_del(worker_loop(dev->worker), &q->kick_ev);
	q->kick_ev.fd = -1;
	if (dev->ops->queue_stopped)
		dev->ops->queue_stopped(dev, queue);
	return virtq_stop(&q->vq);
}

void virtio_device_kick(struct virtio_device *dev, unsigned int queue)
{
	const struct virtq *vq = &dev->queues[queue].vq;

	if (vq->started && !vq->broken && dev->ops->kick)
		dev->ops->kick(dev, queue);
}

void virtio_device_last_look(struct virtio_device *dev)
{
	for (unsigned int i = 0; i < dev->num_queues; i++)
		virtio_device_kick(dev, i);
}

void virtio_device_read_config(struct virtio_device *dev, uint32_t offset, void *data, uint32_t len)
{
	memset(data, 0, len);
	if (offset < dev->config_size)
		memcpy(data, dev->config + offset, MIN(len, dev->config_size - offset));
}

void virtio_device_write_config(struct virtio_device *dev, uint32_t offset, const void *data,
				uint32_t len)
{
	if (len == 0 || offset < dev->config_rw_offset ||
	    offset - dev->config_rw_offset > dev->config_rw_size ||
	    len > dev->config_rw_size - (offset - dev->config_rw_offset))
		return;
	memcpy(dev->config + offset, data, len);
	if (dev->ops->config_written)
		dev->ops->config_written(dev);
}

void virtio_device_publish(struct virtio_device *dev, unsigned int queue)
{
	if (virtq_publish(&dev->queues[queue].vq))
		dev->transport->notify(dev->transport_ctx, queue);
}

void virtio_device_queue_broken(struct virtio_device *dev, unsigned int queue)
{
	struct virtio_queue *q = &dev->queues[queue];

	q->vq.broken = true;
	loop_del(worker_loop(dev->worker), &q->kick_ev);
	dev->transport->broken(dev->transport_ctx, queue);
}

/* #syscalls:worker write */
void virtio_device_rekick(struct virtio_device *dev, unsigned int queue)
{
	event_signal(dev->queues[queue].kick_ev.fd);
}
