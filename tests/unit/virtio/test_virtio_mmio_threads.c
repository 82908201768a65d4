/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several vCPUs at the registers of one device at once, none of which waits for the others as a
 * driver would. Nobody checks values here that another may have changed: the test is that nothing
 * hangs, crashes or is left in a state that a reset does not mend.
 */
#include "fake_mmio.h"

#include <pthread.h>
#include <stdatomic.h>

#define RESETS 3000

struct shared {
	struct fixture *f;
	atomic_bool end;
};

static void *kick_all(void *arg)
{
	struct shared *s = arg;
	uint64_t one = 1;

	while (!s->end) {
		for (unsigned int i = 0; i < QUEUES; i++) {
			wr(s->f, VIRTIO_MMIO_QUEUE_NOTIFY, i);
			assert_int_equal(write(virtio_mmio_kick_fd(s->f->t, i), &one, sizeof(one)),
					 sizeof(one));
		}
	}
	return NULL;
}

static void *handle_interrupts(void *arg)
{
	struct shared *s = arg;

	while (!s->end) {
		wr(s->f, VIRTIO_MMIO_INTERRUPT_ACK, rd(s->f, VIRTIO_MMIO_INTERRUPT_STATUS));
		irq_pending(s->f);
	}
	return NULL;
}

static void *scribble(void *arg)
{
	struct shared *s = arg;
	uint32_t v = 1;

	for (uint64_t offset = 0; !s->end; offset = (offset + 4) % (VIRTIO_MMIO_CONFIG + 16)) {
		rd(s->f, offset);
		v = v * 1103515245 + 12345;
		/* Resets are the main thread's part, or nothing would ever run for long. */
		if (offset != VIRTIO_MMIO_STATUS)
			wr(s->f, offset, v >> 16 & 1);
	}
	return NULL;
}

static void *ask(void *arg)
{
	struct shared *s = arg;

	while (!s->end)
		virtio_mmio_idle(s->f->t);
	return NULL;
}

/* A driver that does not look whether it succeeds. */
static void blind_bring_up(struct fixture *f)
{
	wr(f, VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER);
	accept_features(f, OFFERED);
	wr(f, VIRTIO_MMIO_STATUS, FEATURES_OK);
	for (unsigned int i = 0; i < QUEUES; i++)
		set_up_queue(f, i);
	wr(f, VIRTIO_MMIO_STATUS, DRIVER_OK);
	for (unsigned int i = 0; i < QUEUES; i++)
		offer(f, i);
}

static void test_threads(void **state)
{
	static void *(*const bodies[])(void *) = {kick_all, handle_interrupts, scribble, ask};
	struct shared s = {.f = *state};
	pthread_t threads[ARRAY_SIZE(bodies)];

	for (unsigned int i = 0; i < ARRAY_SIZE(bodies); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, bodies[i], &s), 0);
	for (int i = 0; i < RESETS; i++) {
		blind_bring_up(s.f);
		wr(s.f, VIRTIO_MMIO_STATUS, 0);
		assert_int_equal(status(s.f), 0);
	}
	s.end = true;
	for (unsigned int i = 0; i < ARRAY_SIZE(bodies); i++)
		pthread_join(threads[i], NULL);
	while (irq_pending(s.f))
		;
	bring_up(s.f);
	for (int i = 0; i < 100; i++)
		round_trip(s.f, (unsigned int)i % QUEUES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mmio_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
