/* SPDX-License-Identifier: Apache-2.0 */
/* The registers, as drivers use them and as they should not. */
#include "fake_mmio.h"

static void test_identity(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rd(f, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	assert_int_equal(rd(f, VIRTIO_MMIO_VERSION), 2);
	assert_int_equal(rd(f, VIRTIO_MMIO_DEVICE_ID), DEVICE_ID);
	assert_int_not_equal(rd(f, VIRTIO_MMIO_VENDOR_ID), 0);
	assert_int_equal(status(f), 0);
	assert_int_equal(rd(f, VIRTIO_MMIO_DEVICE_FEATURES), (uint32_t)OFFERED);
	wr(f, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	assert_int_equal(rd(f, VIRTIO_MMIO_DEVICE_FEATURES), (uint32_t)(OFFERED >> 32));
	wr(f, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	assert_int_equal(rd(f, VIRTIO_MMIO_DEVICE_FEATURES), 0);
	wr(f, VIRTIO_MMIO_DEVICE_FEATURES_SEL, UINT32_MAX);
	assert_int_equal(rd(f, VIRTIO_MMIO_DEVICE_FEATURES), 0);

	assert_int_equal(virtio_mmio_num_queues(f->t), QUEUES);
	for (uint32_t i = 0; i < QUEUES; i++) {
		wr(f, VIRTIO_MMIO_QUEUE_SEL, i);
		assert_int_equal(rd(f, VIRTIO_MMIO_QUEUE_NUM_MAX), QUEUE_MAX);
		assert_int_equal(rd(f, VIRTIO_MMIO_QUEUE_READY), 0);
	}
	for (uint32_t reg = VIRTIO_MMIO_SHM_LEN_LOW; reg <= VIRTIO_MMIO_SHM_BASE_HIGH; reg += 4)
		assert_int_equal(rd(f, reg), UINT32_MAX);
}

static void test_no_such_queue(void **state)
{
	static const uint32_t none[] = {QUEUES, VIRTIO_QUEUES_MAX, 65536, UINT32_MAX};
	struct fixture *f = *state;

	bring_up(f);
	for (unsigned int i = 0; i < ARRAY_SIZE(none); i++) {
		describe_queue(f, none[i], 16, RAM_GPA, RAM_GPA, RAM_GPA);
		wr(f, VIRTIO_MMIO_QUEUE_READY, 1);
		assert_int_equal(rd(f, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
		assert_int_equal(rd(f, VIRTIO_MMIO_QUEUE_READY), 0);
		wr(f, VIRTIO_MMIO_QUEUE_NOTIFY, none[i]);
	}
	assert_int_equal(status(f), RUNNING);
}

/* Only aligned accesses of four bytes to registers that exist. */
static void test_odd_accesses(void **state)
{
	static const uint8_t zero[8], ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
	struct fixture *f = *state;
	uint8_t got[8];

	for (uint64_t offset = 0; offset < 0x100; offset++) {
		for (uint32_t len = 1; len <= 8; len *= 2) {
			if (len == 4 && offset % 4 == 0)
				continue;
			memset(got, 0xee, sizeof(got));
			virtio_mmio_read(f->t, offset, got, len);
			assert_memory_equal(got, zero, len);
			virtio_mmio_write(f->t, offset, ones, len);
		}
	}
	assert_int_equal(status(f), 0);
	/* Registers for writing only, or for nothing at all. */
	for (uint64_t offset = 0; offset < 0x100; offset += 4) {
		switch (offset) {
		case VIRTIO_MMIO_MAGIC_VALUE:
		case VIRTIO_MMIO_VERSION:
		case VIRTIO_MMIO_DEVICE_ID:
		case VIRTIO_MMIO_VENDOR_ID:
		case VIRTIO_MMIO_DEVICE_FEATURES:
		case VIRTIO_MMIO_QUEUE_NUM_MAX:
		case VIRTIO_MMIO_SHM_LEN_LOW:
		case VIRTIO_MMIO_SHM_LEN_HIGH:
		case VIRTIO_MMIO_SHM_BASE_LOW:
		case VIRTIO_MMIO_SHM_BASE_HIGH:
			assert_int_not_equal(rd(f, offset), 0);
			break;
		default:
			assert_int_equal(rd(f, offset), 0);
		}
	}
	for (uint64_t offset = VIRTIO_MMIO_SIZE; offset; offset <<= 1) {
		assert_int_equal(rd(f, offset), 0);
		assert_int_equal(rd(f, UINT64_MAX - offset + 1), 0);
		wr(f, offset | VIRTIO_MMIO_STATUS, 1);
	}
	assert_int_equal(status(f), 0);
}

static void test_features(void **state)
{
	static const uint64_t refused[] = {
		0,
		FEATURE,                                    /* not version 1 */
		OFFERED | VIRTIO_BIT(0),                    /* never offered */
		OFFERED | VIRTIO_BIT(VIRTIO_F_RING_PACKED), /* nor this */
		VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(63),
	};
	struct fixture *f = *state;

	write_status(f, ACKNOWLEDGE | DRIVER);
	for (unsigned int i = 0; i < ARRAY_SIZE(refused); i++) {
		accept_features(f, refused[i]);
		write_status(f, FEATURES_OK);
		assert_int_equal(status(f), ACKNOWLEDGE | DRIVER);
		assert_int_equal(f->dev->acked, 0);
	}
	/* There are only two words; what is written to a third goes nowhere. */
	accept_features(f, VIRTIO_BIT(VIRTIO_F_VERSION_1) | FEATURE);
	wr(f, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 2);
	wr(f, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	write_status(f, FEATURES_OK);
	assert_int_equal(status(f), ACKNOWLEDGE | DRIVER | FEATURES_OK);
	assert_int_equal(f->dev->acked, VIRTIO_BIT(VIRTIO_F_VERSION_1) | FEATURE);
	/* Latched. */
	accept_features(f, OFFERED);
	write_status(f, FEATURES_OK);
	assert_int_equal(f->dev->acked, VIRTIO_BIT(VIRTIO_F_VERSION_1) | FEATURE);
	write_status(f, FAILED);
	assert_int_equal(status(f), ACKNOWLEDGE | DRIVER | FEATURES_OK | FAILED);
	/* Bits do not go away one by one, and those that nobody defined never come. */
	wr(f, VIRTIO_MMIO_STATUS, 0xffffff70);
	assert_int_equal(status(f), ACKNOWLEDGE | DRIVER | FEATURES_OK | FAILED);
	wr(f, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(status(f), 0);
	assert_int_equal(f->dev->acked, 0);
}

static void test_no_driver_ok_without_features(void **state)
{
	struct fixture *f = *state;

	write_status(f, ACKNOWLEDGE | DRIVER);
	set_up_queue(f, 0);
	write_status(f, DRIVER_OK);
	assert_int_equal(status(f), ACKNOWLEDGE | DRIVER);
	assert_false(running(f, 0));
	/* Both at once are one after the other. */
	accept_features(f, OFFERED);
	wr(f, VIRTIO_MMIO_STATUS, RUNNING);
	assert_int_equal(status(f), RUNNING);
	assert_true(running(f, 0));
}

static void test_queues_run_only_after_driver_ok(void **state)
{
	struct fixture *f = *state;

	negotiate(f);
	set_up_queue(f, 1);
	assert_int_equal(rd(f, VIRTIO_MMIO_QUEUE_READY), 1);
	offer(f, 1);
	wr(f, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	assert_false(running(f, 1));
	/* Neither kick nor buffer are forgotten. */
	write_status(f, DRIVER_OK);
	assert_true(running(f, 1));
	assert_false(running(f, 0));
	assert_true(take(f, 1));
	round_trip(f, 1);
	/* A queue may come later, too. */
	set_up_queue(f, 0);
	assert_true(running(f, 0));
	round_trip(f, 0);
	assert_int_equal(status(f), RUNNING);
}

static void test_latched_queue(void **state)
{
	struct fixture *f = *state;

	negotiate(f);
	set_up_queue(f, 0);
	describe_queue(f, 0, 3, 1, 2, 3);
	write_status(f, DRIVER_OK);
	assert_int_equal(status(f), RUNNING);
	round_trip(f, 0);
	describe_queue(f, 0, 3, 1, 2, 3);
	wr(f, VIRTIO_MMIO_QUEUE_READY, 1);
	wr(f, VIRTIO_MMIO_QUEUE_READY, 2);
	assert_int_equal(counting(f->dev)->started[0], 1);
	round_trip(f, 0);
}

static void test_stop_queue(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	round_trip(f, 0);
	/* What was offered before the stop is served, what comes after it is not. */
	offer(f, 0);
	set_ready(f, 0, 0);
	assert_int_equal(rd(f, VIRTIO_MMIO_QUEUE_READY), 0);
	assert_true(take(f, 0));
	assert_int_equal(counting(f->dev)->stopped[0], 1);
	set_ready(f, 0, 0);
	assert_int_equal(counting(f->dev)->stopped[0], 1);
	offer(f, 0);
	wr(f, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	assert_false(running(f, 0));
	assert_false(take(f, 0));
	round_trip(f, 1);
	/* From the beginning of new rings. */
	fq_init(&f->q[0], &f->ram, RAM_GPA + 256 * KIB, 8);
	set_up_queue(f, 0);
	for (int i = 0; i < 20; i++)
		round_trip(f, 0);
	assert_int_equal(status(f), RUNNING);
}

static void test_reset_hears_last_words(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	for (unsigned int i = 0; i < QUEUES; i++)
		offer(f, i);
	wr(f, VIRTIO_MMIO_STATUS, 0);
	for (unsigned int i = 0; i < QUEUES; i++) {
		assert_true(take(f, i));
		assert_false(running(f, i));
	}
	assert_int_equal(status(f), 0);
	assert_int_equal(rd(f, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

/* From every stage of the way up, once and twice. */
static void test_reset_at_every_stage(void **state)
{
	struct fixture *f = *state;

	for (int stage = 0; stage < 8; stage++) {
		for (int times = 1; times <= 2; times++) {
			fresh_rings(f);
			if (stage > 0)
				write_status(f, ACKNOWLEDGE | DRIVER);
			if (stage > 1)
				accept_features(f, OFFERED);
			if (stage > 2)
				write_status(f, FEATURES_OK);
			if (stage > 3)
				set_up_queue(f, 0);
			if (stage > 4)
				write_status(f, DRIVER_OK);
			if (stage > 5)
				set_up_queue(f, 1);
			if (stage > 6)
				write_status(f, FAILED);
			for (int i = 0; i < times; i++) {
				wr(f, VIRTIO_MMIO_STATUS, 0);
				assert_int_equal(status(f), 0);
			}
			wr(f, VIRTIO_MMIO_QUEUE_SEL, 0);
			assert_int_equal(rd(f, VIRTIO_MMIO_QUEUE_READY), 0);
			assert_int_equal(f->dev->acked, 0);
			bring_up(f);
			round_trip(f, 0);
			wr(f, VIRTIO_MMIO_STATUS, 0);
		}
	}
}

static void expect_needs_reset(struct fixture *f)
{
	assert_int_equal(status(f) & NEEDS_RESET, NEEDS_RESET);
	assert_true(rd(f, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG);
	assert_true(irq_pending(f));
	/* It stays until the driver obeys. */
	wr(f, VIRTIO_MMIO_STATUS, RUNNING);
	assert_int_equal(status(f) & NEEDS_RESET, NEEDS_RESET);
	bring_up(f);
	round_trip(f, 0);
	while (irq_pending(f))
		;
}

static void test_bad_queue(void **state)
{
	struct fixture *f = *state;
	const struct virtq_config *c = &f->q[0].cfg;
	const struct {
		uint32_t size;
		uint64_t desc, avail, used;
	} bad[] = {
		{0, c->desc, c->avail, c->used},
		{3, c->desc, c->avail, c->used},
		{QUEUE_MAX * 2, c->desc, c->avail, c->used},
		{65536 + QUEUE_SIZE, c->desc, c->avail, c->used},
		{QUEUE_SIZE, c->desc + 8, c->avail, c->used},
		{QUEUE_SIZE, c->desc, c->avail + 1, c->used},
		{QUEUE_SIZE, c->desc, c->avail, c->used + 2},
		{QUEUE_SIZE, 0, c->avail, c->used},
		{QUEUE_SIZE, c->desc, RAM_GPA + RAM_SIZE - 8, c->used},
		{QUEUE_SIZE, c->desc, c->avail, UINT64_MAX - 3},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		negotiate(f);
		describe_queue(f, 0, bad[i].size, bad[i].desc, bad[i].avail, bad[i].used);
		wr(f, VIRTIO_MMIO_QUEUE_READY, 1);
		assert_int_equal(status(f) & NEEDS_RESET, 0);
		write_status(f, DRIVER_OK);
		expect_needs_reset(f);
		/* The same with a queue that comes late. */
		negotiate(f);
		write_status(f, DRIVER_OK);
		describe_queue(f, 0, bad[i].size, bad[i].desc, bad[i].avail, bad[i].used);
		wr(f, VIRTIO_MMIO_QUEUE_READY, 1);
		expect_needs_reset(f);
	}
}

static void test_broken_queue(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	/* A chain that bites its tail. */
	fq_desc(&f->q[0], 0, BUF_GPA, 16, VRING_DESC_F_NEXT, 0);
	fq_offer(&f->q[0], 0);
	wr(f, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	wait_irq(f);
	assert_int_equal(status(f), RUNNING | NEEDS_RESET);
	assert_int_equal(rd(f, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	/* Not served any more, whatever is done to it; the other one is. */
	wr(f, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	round_trip(f, 1);
	assert_false(take(f, 0));
	set_ready(f, 0, 0);
	assert_int_equal(status(f), RUNNING | NEEDS_RESET);
	bring_up(f);
	round_trip(f, 0);
}

static void test_config(void **state)
{
	struct fixture *f = *state;
	uint8_t got[8], want[8];
	uint32_t generation;

	for (uint64_t offset = 0; offset < CONFIG_SIZE + 8; offset++) {
		for (uint32_t len = 1; len <= 8; len *= 2) {
			for (uint32_t i = 0; i < len; i++)
				want[i] =
					(uint8_t)(offset + i < CONFIG_SIZE ? 0x10 + offset + i : 0);
			virtio_mmio_read(f->t, VIRTIO_MMIO_CONFIG + offset, got, len);
			assert_memory_equal(got, want, len);
		}
	}
	assert_int_equal(rd(f, VIRTIO_MMIO_SIZE - 4), 0);
	virtio_mmio_read(f->t, VIRTIO_MMIO_SIZE - 1, got, 8);

	/* Bytes of the driver's own field change, all others stay. */
	generation = rd(f, VIRTIO_MMIO_CONFIG_GENERATION);
	wr(f, VIRTIO_MMIO_CONFIG + CONFIG_RW, 0x01020304);
	assert_int_equal(rd(f, VIRTIO_MMIO_CONFIG + CONFIG_RW), 0x01020304);
	assert_int_not_equal(rd(f, VIRTIO_MMIO_CONFIG_GENERATION), generation);
	virtio_mmio_write(f->t, VIRTIO_MMIO_CONFIG + CONFIG_RW + 3, "\x99", 1);
	assert_int_equal(rd(f, VIRTIO_MMIO_CONFIG + CONFIG_RW), 0x99020304);
	assert_int_equal(counting(f->dev)->config_written, 2);
	wr(f, VIRTIO_MMIO_CONFIG + CONFIG_RW + 1, 0);
	wr(f, VIRTIO_MMIO_CONFIG + CONFIG_RW - 1, 0);
	wr(f, VIRTIO_MMIO_CONFIG, 0);
	wr(f, VIRTIO_MMIO_CONFIG + CONFIG_SIZE, 0);
	wr(f, VIRTIO_MMIO_SIZE - 2, 0);
	virtio_mmio_write(f->t, VIRTIO_MMIO_CONFIG + CONFIG_RW, "\0\0\0\0\0\0\0\0", 8);
	assert_int_equal(counting(f->dev)->config_written, 2);
	assert_int_equal(rd(f, VIRTIO_MMIO_CONFIG + CONFIG_RW), 0x99020304);
	assert_int_equal(rd(f, VIRTIO_MMIO_CONFIG), 0x13121110);
}

static void test_interrupts(void **state)
{
	struct fixture *f = *state;
	uint64_t one = 1;

	bring_up(f);
	assert_int_equal(rd(f, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	offer(f, 0);
	/* The descriptor is the same as the register. */
	assert_int_equal(write(virtio_mmio_kick_fd(f->t, 0), &one, sizeof(one)), sizeof(one));
	wait_irq(f);
	assert_true(take(f, 0));
	assert_int_equal(rd(f, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	/* Every notification is an edge, also while the bit is still set. */
	offer(f, 1);
	wr(f, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	wait_irq(f);
	assert_true(take(f, 1));
	wr(f, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_CONFIG);
	assert_int_equal(rd(f, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	wr(f, VIRTIO_MMIO_INTERRUPT_ACK, UINT32_MAX);
	assert_int_equal(rd(f, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	assert_false(irq_pending(f));
}

static void test_idle(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	round_trip(f, 0);
	assert_true(virtio_mmio_idle(f->t));
	counting(f->dev)->busy = true;
	assert_false(virtio_mmio_idle(f->t));
	counting(f->dev)->busy = false;
	/* A kick that nobody has looked at. */
	virtio_mmio_stop(f->t);
	irq_pending(f);
	offer(f, 0);
	wr(f, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	assert_false(virtio_mmio_idle(f->t));
	assert_int_equal(virtio_mmio_start(f->t), 0);
	wait_irq(f);
	assert_true(virtio_mmio_idle(f->t));
	assert_true(take(f, 0));
}

static void test_stop_and_start(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	for (int i = 0; i < 3; i++) {
		round_trip(f, 0);
		virtio_mmio_stop(f->t);
		virtio_mmio_stop(f->t);
		assert_int_equal(status(f), RUNNING);
		assert_int_equal(virtio_mmio_start(f->t), 0);
	}
	round_trip(f, 1);
	virtio_mmio_stop(f->t);
	wr(f, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(status(f), 0);
	assert_int_equal(virtio_mmio_start(f->t), 0);
	bring_up(f);
	round_trip(f, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mmio_test(test_identity),
		mmio_test(test_no_such_queue),
		mmio_test(test_odd_accesses),
		mmio_test(test_features),
		mmio_test(test_no_driver_ok_without_features),
		mmio_test(test_queues_run_only_after_driver_ok),
		mmio_test(test_latched_queue),
		mmio_test(test_stop_queue),
		mmio_test(test_reset_hears_last_words),
		mmio_test(test_reset_at_every_stage),
		mmio_test(test_bad_queue),
		mmio_test(test_broken_queue),
		mmio_test(test_config),
		mmio_test(test_interrupts),
		mmio_test(test_idle),
		mmio_test(test_stop_and_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
