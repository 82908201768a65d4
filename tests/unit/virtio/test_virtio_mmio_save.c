/* SPDX-License-Identifier: Apache-2.0 */
/* Saving a device behind the mmio transport, and loading what claims to be one. */
#include "fake_mmio.h"

/* Stops and saves the device, and puts a new one in its place. */
static void replace(struct fixture *f, struct virtio_mmio_state *s)
{
	virtio_mmio_stop(f->t);
	virtio_mmio_save(f->t, s);
	virtio_mmio_free(f->t);
	new_transport(f);
}

static void test_round_trip(void **state)
{
	struct fixture *f = *state;
	struct virtio_mmio_state s, again;

	bring_up(f);
	wr(f, VIRTIO_MMIO_CONFIG + CONFIG_RW, 0x11223344);
	/* Past the end of the ring, so that indexes and positions differ. */
	for (int i = 0; i < QUEUE_SIZE + 3; i++)
		round_trip(f, 0);
	wr(f, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	wr(f, VIRTIO_MMIO_QUEUE_SEL, 1);
	replace(f, &s);
	assert_int_equal(s.queues[0].next_avail, QUEUE_SIZE + 3);
	assert_int_equal(s.queues[1].next_avail, 0);

	assert_int_equal(virtio_mmio_load(f->t, &s), 0);
	assert_int_equal(counting(f->dev)->restored, 1);
	assert_true(counting(f->dev)->restored_running);
	virtio_mmio_save(f->t, &again);
	assert_memory_equal(&again, &s, sizeof(s));
	assert_int_equal(virtio_mmio_start(f->t), 0);
	assert_int_equal(status(f), RUNNING);
	assert_int_equal(rd(f, VIRTIO_MMIO_DEVICE_FEATURES), (uint32_t)(OFFERED >> 32));
	assert_int_equal(rd(f, VIRTIO_MMIO_CONFIG + CONFIG_RW), 0x11223344);
	assert_int_equal(f->dev->acked, OFFERED);
	for (int i = 0; i < QUEUE_SIZE + 3; i++)
		round_trip(f, 0);
	round_trip(f, 1);
	/* A queue that is set up anew begins at its beginning. */
	fq_init(&f->q[0], &f->ram, RAM_GPA + 256 * KIB, 8);
	set_ready(f, 0, 0);
	set_up_queue(f, 0);
	round_trip(f, 0);
	bring_up(f);
	round_trip(f, 0);
}

/* Requests that nobody had looked at, and an interrupt that nobody had seen. */
static void test_nothing_is_lost(void **state)
{
	struct fixture *f = *state;
	struct virtio_mmio_state s;

	bring_up(f);
	round_trip(f, 0);
	virtio_mmio_stop(f->t);
	offer(f, 0);
	wr(f, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	while (irq_pending(f))
		;
	replace(f, &s);
	/* The device that was saved did nothing afterwards. */
	assert_false(take(f, 0));
	assert_int_equal(s.interrupt_status, 0);
	assert_int_equal(virtio_mmio_load(f->t, &s), 0);
	assert_int_equal(virtio_mmio_start(f->t), 0);
	wait_irq(f);
	assert_true(take(f, 0));

	replace(f, &s);
	while (irq_pending(f))
		;
	assert_int_equal(s.interrupt_status, VIRTIO_MMIO_INT_VRING);
	assert_int_equal(virtio_mmio_load(f->t, &s), 0);
	assert_true(irq_pending(f));
	assert_int_equal(rd(f, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
}

static void test_half_way_up(void **state)
{
	struct fixture *f = *state;
	struct virtio_mmio_state s;

	/* Not even looked at. */
	replace(f, &s);
	assert_int_equal(virtio_mmio_load(f->t, &s), 0);
	assert_int_equal(counting(f->dev)->restored, 0);
	/* Between features and DRIVER_OK; the words of refused features stay as they were, too. */
	write_status(f, ACKNOWLEDGE | DRIVER);
	accept_features(f, VIRTIO_BIT(60));
	replace(f, &s);
	assert_int_equal(virtio_mmio_load(f->t, &s), 0);
	write_status(f, FEATURES_OK);
	assert_int_equal(status(f), ACKNOWLEDGE | DRIVER);
	accept_features(f, OFFERED);
	write_status(f, FEATURES_OK);
	set_up_queue(f, 0);
	replace(f, &s);
	assert_int_equal(virtio_mmio_load(f->t, &s), 0);
	assert_int_equal(counting(f->dev)->restored, 0);
	assert_false(running(f, 0));
	assert_int_equal(virtio_mmio_start(f->t), 0);
	write_status(f, DRIVER_OK);
	assert_int_equal(status(f), RUNNING);
	round_trip(f, 0);
}

static void test_needs_reset_is_kept(void **state)
{
	struct fixture *f = *state;
	struct virtio_mmio_state s;

	bring_up(f);
	fq_desc(&f->q[0], 0, BUF_GPA, 16, VRING_DESC_F_NEXT, 0);
	fq_offer(&f->q[0], 0);
	wr(f, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	wait_irq(f);
	replace(f, &s);
	assert_int_equal(virtio_mmio_load(f->t, &s), 0);
	assert_int_equal(status(f), RUNNING | NEEDS_RESET);
	assert_false(running(f, 0));
	assert_false(running(f, 1));
	assert_int_equal(virtio_mmio_start(f->t), 0);
	bring_up(f);
	round_trip(f, 0);
}

static void refused(struct fixture *f, const struct virtio_mmio_state *s)
{
	assert_int_equal(virtio_mmio_load(f->t, s), -EINVAL);
	virtio_mmio_free(f->t);
	new_transport(f);
}

#define REFUSED(field, value)      \
	do {                       \
		bad = s;           \
		bad.field = value; \
		refused(f, &bad);  \
	} while (0)

static void test_does_not_fit(void **state)
{
	struct fixture *f = *state;
	struct virtio_mmio_state s, bad;

	bring_up(f);
	replace(f, &s);
	REFUSED(device_id, DEVICE_ID + 1);
	REFUSED(num_queues, QUEUES + 1);
	REFUSED(num_queues, UINT32_MAX);
	REFUSED(offered, OFFERED | VIRTIO_BIT(5));
	REFUSED(acked, OFFERED | VIRTIO_BIT(5));
	REFUSED(acked, FEATURE);
	REFUSED(status, RUNNING | 0x10);
	REFUSED(status, RUNNING & ~(uint32_t)FEATURES_OK);
	REFUSED(interrupt_status, 4);
	REFUSED(config[0], 0);
	REFUSED(config[CONFIG_SIZE - 1], 0);
	REFUSED(queues[0].ready, 2);
	REFUSED(queues[QUEUES].ready, 1);
	REFUSED(queues[0].size, 0);
	REFUSED(queues[0].size, QUEUE_MAX * 2);
	REFUSED(queues[0].size, 65536 + QUEUE_SIZE);
	REFUSED(queues[1].desc, RAM_GPA + RAM_SIZE);
	REFUSED(queues[1].avail, UINT64_MAX);
	REFUSED(queues[1].used, 0);
	assert_int_equal(virtio_mmio_load(f->t, &s), 0);
}

/* An index that the rings do not bear out is the guest's own trouble. */
static void test_wrong_index(void **state)
{
	struct fixture *f = *state;
	struct virtio_mmio_state s;

	bring_up(f);
	replace(f, &s);
	s.queues[0].next_avail = 1000;
	assert_int_equal(virtio_mmio_load(f->t, &s), 0);
	assert_int_equal(status(f), RUNNING | NEEDS_RESET);
	assert_int_equal(rd(f, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	assert_int_equal(virtio_mmio_start(f->t), 0);
	bring_up(f);
	round_trip(f, 0);
}

/* Any single byte may be wrong: the state is refused, or it is one that can be worked with. */
static void test_every_byte(void **state)
{
	static const uint8_t flips[] = {0x01, 0x10, 0x80, 0xff};
	struct fixture *f = *state;
	struct virtio_mmio_state s, bad;
	unsigned int taken = 0;

	bring_up(f);
	round_trip(f, 0);
	replace(f, &s);
	for (size_t i = 0; i < sizeof(s); i++) {
		for (unsigned int k = 0; k < ARRAY_SIZE(flips); k++) {
			int r;

			bad = s;
			((uint8_t *)&bad)[i] ^= flips[k];
			r = virtio_mmio_load(f->t, &bad);
			assert_true(r == 0 || r == -EINVAL);
			if (r == 0) {
				taken++;
				wr(f, VIRTIO_MMIO_STATUS, 0);
				assert_int_equal(status(f), 0);
				bring_up(f);
			}
			virtio_mmio_free(f->t);
			new_transport(f);
		}
	}
	assert_true(taken > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mmio_test(test_round_trip),   mmio_test(test_nothing_is_lost),
		mmio_test(test_half_way_up),  mmio_test(test_needs_reset_is_kept),
		mmio_test(test_does_not_fit), mmio_test(test_wrong_index),
		mmio_test(test_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
