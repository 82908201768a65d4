/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_driver.h"

#include "virtio/balloon.h"

#include <linux/virtio_balloon.h>

#define INFLATE   0
#define DEFLATE   1
#define REPORT    2
#define PFNS_GPA  (RAM_GPA + MIB)
#define PAGES_GPA (RAM_GPA + 2 * MIB)
#define PAGE      4096
#define FIRST_PFN (PAGES_GPA / PAGE)

struct range {
	uint64_t gpa;
	size_t len;
};

struct fixture {
	struct fake_ram ram;
	struct fake_queue q[3];
	struct virtio_device *dev;
	unsigned int broken;
	struct range dropped[64];
	unsigned int n_dropped;
};

static void on_notify(void *ctx, unsigned int queue)
{
}

static void on_broken(void *ctx, unsigned int queue)
{
	((struct fixture *)ctx)->broken++;
}

static const struct virtio_transport_ops transport = {on_notify, on_broken};

static void discard(void *ctx, void *host, size_t len)
{
	struct fixture *f = ctx;

	/* Whatever the guest asks for: within its memory, and nothing but pages. */
	assert_true((uint8_t *)host >= f->ram.mem);
	assert_true((uint8_t *)host + len <= f->ram.mem + RAM_SIZE);
	assert_int_equal((uintptr_t)host % PAGE, 0);
	assert_true(len > 0 && len % PAGE == 0);
	assert_true(f->n_dropped < ARRAY_SIZE(f->dropped));
	f->dropped[f->n_dropped++] =
		(struct range){RAM_GPA + (uint64_t)((uint8_t *)host - f->ram.mem), len};
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	*state = f;
	ram_init(&f->ram);
	f->dev = balloon_new(discard, f);
	assert_non_null(f->dev);
	f->dev->transport = &transport;
	f->dev->transport_ctx = f;
	f->dev->acked = f->dev->features;
	for (unsigned int i = 0; i < 3; i++) {
		fq_init(&f->q[i], &f->ram, RAM_GPA + i * 64 * KIB, 64);
		assert_int_equal(
			virtio_device_start_queue(f->dev, i, &f->ram.table, &f->q[i].cfg, -1), 0);
	}
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	virtio_device_free(f->dev);
	ram_release(&f->ram);
	free(f);
	return 0;
}

static void send(struct fixture *f, unsigned int queue, const struct fake_part *parts,
		 unsigned int n)
{
	uint32_t head, len;

	f->n_dropped = 0;
	fq_add(&f->q[queue], parts, n);
	virtio_device_kick(f->dev, queue);
	assert_true(fq_take_used(&f->q[queue], &head, &len));
	/* Nothing was written, so nothing may be relied on. */
	assert_int_equal(len, 0);
}

static void send_pfns(struct fixture *f, unsigned int queue, const uint32_t *pfns, uint32_t n)
{
	const struct fake_part part = {PFNS_GPA, n * 4, false};

	memcpy(ram_at(&f->ram, PFNS_GPA), pfns, n * 4);
	send(f, queue, &part, 1);
}

static void test_registers(void **state)
{
	struct fixture *f = *state;
	uint32_t v = 7;

	assert_int_equal(f->dev->id, VIRTIO_ID_BALLOON);
	/* With any other feature the queues would have other numbers. */
	assert_int_equal(f->dev->features,
			 VIRTIO_RING_FEATURES | VIRTIO_BIT(VIRTIO_BALLOON_F_REPORTING));
	assert_int_equal(f->dev->num_queues, 3);
	/* Linux reports 32 ranges at once and wants a queue that long. */
	assert_true(f->dev->queue_size_max >= 32);
	virtio_device_write_config(f->dev, 0, &v, 4);
	virtio_device_write_config(f->dev, 4, &v, 4);
	virtio_device_read_config(f->dev, 0, &v, 4);
	assert_int_equal(v, 0);
	virtio_device_read_config(f->dev, 4, &v, 4);
	assert_int_equal(v, 7);
}

static void test_inflate(void **state)
{
	struct fixture *f = *state;
	const uint32_t up[] = {FIRST_PFN, FIRST_PFN + 1, FIRST_PFN + 2, FIRST_PFN + 8};
	const uint32_t down[] = {FIRST_PFN + 5, FIRST_PFN + 4, FIRST_PFN + 3, FIRST_PFN + 3};

	send_pfns(f, INFLATE, up, 4);
	assert_int_equal(f->n_dropped, 2);
	assert_int_equal(f->dropped[0].gpa, PAGES_GPA);
	assert_int_equal(f->dropped[0].len, 3 * PAGE);
	assert_int_equal(f->dropped[1].gpa, PAGES_GPA + 8 * PAGE);
	assert_int_equal(f->dropped[1].len, PAGE);

	send_pfns(f, INFLATE, down, 4);
	assert_int_equal(f->n_dropped, 2);
	assert_int_equal(f->dropped[0].gpa, PAGES_GPA + 3 * PAGE);
	assert_int_equal(f->dropped[0].len, 3 * PAGE);
	assert_int_equal(f->dropped[1].len, PAGE);

	send_pfns(f, DEFLATE, up, 4);
	assert_int_equal(f->n_dropped, 0);
	assert_int_equal(f->broken, 0);
}

static void test_inflate_nonsense(void **state)
{
	struct fixture *f = *state;
	const uint32_t outside[] = {0, RAM_GPA / PAGE - 1, (RAM_GPA + RAM_SIZE) / PAGE, UINT32_MAX};
	/* Numbers cut in the least convenient way, and half of one at the end. */
	const struct fake_part odd[] = {{PFNS_GPA, 1, false}, {PFNS_GPA + 1, 5, false}};
	/* Writable buffers say nothing here. */
	const struct fake_part in = {PFNS_GPA, 4, true};
	const uint32_t pfn[] = {FIRST_PFN, FIRST_PFN + 1};

	send_pfns(f, INFLATE, outside, 4);
	assert_int_equal(f->n_dropped, 0);
	memcpy(ram_at(&f->ram, PFNS_GPA), pfn, sizeof(pfn));
	send(f, INFLATE, odd, 2);
	assert_int_equal(f->n_dropped, 1);
	assert_int_equal(f->dropped[0].len, PAGE);
	send(f, INFLATE, &in, 1);
	assert_int_equal(f->n_dropped, 0);
	assert_int_equal(f->broken, 0);
}

/* A chain with more numbers than any driver sends is heard in part, and answered. */
static void test_inflate_is_bounded(void **state)
{
	struct fixture *f = *state;
	const struct fake_part part = {PFNS_GPA, 512 * KIB, false};
	uint32_t *pfns = ram_at(&f->ram, PFNS_GPA);
	size_t total = 0;

	for (uint32_t i = 0; i < 512 * KIB / 4; i++)
		pfns[i] = FIRST_PFN + i % 256;
	send(f, INFLATE, &part, 1);
	for (unsigned int i = 0; i < f->n_dropped; i++)
		total += f->dropped[i].len;
	assert_int_equal(total, 1024 * PAGE);
}

static void test_report(void **state)
{
	struct fixture *f = *state;
	const struct fake_part parts[] = {
		{PFNS_GPA, 16, false},                       /* means nothing */
		{PAGES_GPA, 64 * PAGE, true},                /* as drivers do it */
		{PAGES_GPA + 100, 3 * PAGE, true},           /* two whole pages in it */
		{PAGES_GPA + 1, 2 * PAGE - 2, true},         /* no whole page in it */
		{PAGES_GPA + PAGE - 1, PAGE + 1, true},      /* one */
		{PAGES_GPA + PAGE, PAGE - 1, true},          /* none */
		{RAM_GPA + RAM_SIZE - PAGE - 8, PAGE, true}, /* none */
	};

	send(f, REPORT, parts, ARRAY_SIZE(parts));
	assert_int_equal(f->n_dropped, 3);
	assert_int_equal(f->dropped[0].gpa, PAGES_GPA);
	assert_int_equal(f->dropped[0].len, 64 * PAGE);
	assert_int_equal(f->dropped[1].gpa, PAGES_GPA + PAGE);
	assert_int_equal(f->dropped[1].len, 2 * PAGE);
	assert_int_equal(f->dropped[2].gpa, PAGES_GPA + PAGE);
	assert_int_equal(f->dropped[2].len, PAGE);
	assert_int_equal(f->broken, 0);
}

static void test_report_outside(void **state)
{
	struct fixture *f = *state;
	const struct fake_part part = {RAM_GPA + RAM_SIZE - PAGE, 2 * PAGE, true};

	fq_add(&f->q[REPORT], &part, 1);
	virtio_device_kick(f->dev, REPORT);
	assert_int_equal(f->broken, 1);
	assert_int_equal(f->n_dropped, 0);
}

#define balloon_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		balloon_test(test_registers),        balloon_test(test_inflate),
		balloon_test(test_inflate_nonsense), balloon_test(test_inflate_is_bounded),
		balloon_test(test_report),           balloon_test(test_report_outside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
