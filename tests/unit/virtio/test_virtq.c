/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_driver.h"

#define QUEUE_GPA RAM_GPA
#define DATA_GPA  (RAM_GPA + MIB)

struct fixture {
	struct fake_ram ram;
	struct fake_queue q;
	struct virtq vq;
	struct iovec iov[64];
	struct virtq_chain chain;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	*state = f;
	ram_init(&f->ram);
	fq_init(&f->q, &f->ram, QUEUE_GPA, 8);
	return virtq_start(&f->vq, &f->ram.table, &f->q.cfg);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	virtq_stop(&f->vq);
	ram_release(&f->ram);
	free(f);
	return 0;
}

static int pop(struct fixture *f)
{
	return virtq_pop(&f->vq, f->iov, ARRAY_SIZE(f->iov), &f->chain);
}

static void test_chain(void **state)
{
	struct fixture *f = *state;
	uint32_t head, len;
	const struct fake_part parts[] = {
		{DATA_GPA, 16, false}, {DATA_GPA + 100, 32, false}, {DATA_GPA + 200, 7, true}};

	assert_int_equal(pop(f), 0);
	fq_add(&f->q, parts, 3);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.out_n, 2);
	assert_int_equal(f->chain.in_n, 1);
	assert_int_equal(f->chain.out_len, 48);
	assert_int_equal(f->chain.in_len, 7);
	assert_ptr_equal(f->chain.out[1].iov_base, ram_at(&f->ram, DATA_GPA + 100));
	assert_ptr_equal(f->chain.in[0].iov_base, ram_at(&f->ram, DATA_GPA + 200));
	assert_int_equal(pop(f), 0);
	virtq_push(&f->vq, f->chain.head, 7);
	assert_false(fq_take_used(&f->q, &head, &len));
	assert_true(virtq_publish(&f->vq));
	assert_true(fq_take_used(&f->q, &head, &len));
	assert_int_equal(head, 0);
	assert_int_equal(len, 7);
	assert_false(virtq_publish(&f->vq));
}

static void put_indirect(struct fixture *f, uint64_t table, uint32_t len, uint16_t flags)
{
	fq_desc(&f->q, 0, table, len, flags, 1);
	fq_offer(&f->q, 0);
}

static void test_indirect(void **state)
{
	struct fixture *f = *state;
	struct vring_desc *t = ram_at(&f->ram, DATA_GPA);

	t[0] = (struct vring_desc){DATA_GPA + 4096, 10, VRING_DESC_F_NEXT, 2};
	t[2] = (struct vring_desc){DATA_GPA + 8192, 20, VRING_DESC_F_WRITE, 0};
	put_indirect(f, DATA_GPA, 3 * 16, VRING_DESC_F_INDIRECT);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.out_len, 10);
	assert_int_equal(f->chain.in_len, 20);
}

/* Every misbehaviour breaks the queue for good. */
static void expect_broken(struct fixture *f)
{
	assert_int_equal(pop(f), -EPROTO);
	assert_true(f->vq.broken);
	assert_int_equal(pop(f), -EPROTO);
	virtq_push(&f->vq, 0, 0);
	assert_false(virtq_publish(&f->vq));
	assert_false(virtq_kicks_on(&f->vq));
}

static void test_bad_indirect_with_next(void **state)
{
	put_indirect(*state, DATA_GPA, 32, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT);
	expect_broken(*state);
}

static void test_bad_indirect_nested(void **state)
{
	struct fixture *f = *state;
	struct vring_desc *t = ram_at(&f->ram, DATA_GPA);

	t[0] = (struct vring_desc){DATA_GPA, 16, VRING_DESC_F_INDIRECT, 0};
	put_indirect(f, DATA_GPA, 16, VRING_DESC_F_INDIRECT);
	expect_broken(f);
}

static void test_bad_indirect_size(void **state)
{
	put_indirect(*state, DATA_GPA, 24, VRING_DESC_F_INDIRECT);
	expect_broken(*state);
}

static void test_bad_indirect_empty(void **state)
{
	put_indirect(*state, DATA_GPA, 0, VRING_DESC_F_INDIRECT);
	expect_broken(*state);
}

static void test_bad_indirect_outside(void **state)
{
	put_indirect(*state, RAM_GPA + RAM_SIZE - 16, 32, VRING_DESC_F_INDIRECT);
	expect_broken(*state);
}

static void test_bad_indirect_loop(void **state)
{
	struct fixture *f = *state;
	struct vring_desc *t = ram_at(&f->ram, DATA_GPA);

	for (uint16_t i = 0; i < 4; i++)
		t[i] = (struct vring_desc){DATA_GPA, 1, VRING_DESC_F_NEXT, (uint16_t)((i + 1) % 4)};
	put_indirect(f, DATA_GPA, 4 * 16, VRING_DESC_F_INDIRECT);
	expect_broken(f);
}

static void test_bad_indirect_not_negotiated(void **state)
{
	struct fixture *f = *state;

	f->q.cfg.indirect = false;
	assert_int_equal(virtq_start(&f->vq, &f->ram.table, &f->q.cfg), 0);
	put_indirect(f, DATA_GPA, 16, VRING_DESC_F_INDIRECT);
	expect_broken(f);
}

static void test_bad_loop(void **state)
{
	struct fixture *f = *state;

	fq_desc(&f->q, 0, DATA_GPA, 1, VRING_DESC_F_NEXT, 1);
	fq_desc(&f->q, 1, DATA_GPA, 1, VRING_DESC_F_NEXT, 0);
	fq_offer(&f->q, 0);
	expect_broken(f);
}

static void test_bad_next(void **state)
{
	struct fixture *f = *state;

	fq_desc(&f->q, 0, DATA_GPA, 1, VRING_DESC_F_NEXT, 8);
	fq_offer(&f->q, 0);
	expect_broken(f);
}

static void test_bad_head(void **state)
{
	struct fixture *f = *state;

	fq_offer(&f->q, 8);
	expect_broken(f);
}

static void test_bad_addresses(void **state)
{
	struct fixture *f = *state;
	const struct fake_part bad[] = {
		{RAM_GPA - 1, 1, false},           {RAM_GPA + RAM_SIZE, 1, false},
		{RAM_GPA + RAM_SIZE - 8, 9, true}, {UINT64_MAX - 3, 8, false},
		{UINT64_MAX, UINT32_MAX, true},    {DATA_GPA, 0, false},
		{DATA_GPA, UINT32_MAX, true},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		fq_init(&f->q, &f->ram, QUEUE_GPA, 8);
		assert_int_equal(virtq_start(&f->vq, &f->ram.table, &f->q.cfg), 0);
		fq_add(&f->q, &bad[i], 1);
		expect_broken(f);
	}
}

static void test_bad_order(void **state)
{
	struct fixture *f = *state;
	const struct fake_part parts[] = {{DATA_GPA, 1, true}, {DATA_GPA, 1, false}};

	fq_add(&f->q, parts, 2);
	expect_broken(f);
}

static void test_bad_available_index(void **state)
{
	struct fixture *f = *state;

	f->q.avail[1] = 9;
	expect_broken(f);
}

static void test_caller_limit(void **state)
{
	struct fixture *f = *state;
	const struct fake_part parts[] = {{DATA_GPA, 1, false}, {DATA_GPA, 1, false}};

	fq_add(&f->q, parts, 2);
	assert_int_equal(virtq_pop(&f->vq, f->iov, 1, &f->chain), -EPROTO);
}

static void test_total_length(void **state)
{
	const uint64_t size = 2 * GIB;
	void *big = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct fixture *f = *state;
	const struct fake_part parts[] = {
		{16 * GIB, 0x7fffffff, true}, {16 * GIB, 0x7fffffff, true}, {16 * GIB, 2, true}};

	assert_ptr_not_equal(big, MAP_FAILED);
	assert_int_equal(guest_mem_add(&f->ram.table, big, 16 * GIB, size), 0);
	fq_add(&f->q, parts, 2);
	assert_int_equal(pop(f), 1);
	fq_add(&f->q, parts, 3);
	expect_broken(f);
	munmap(big, size);
}

static void test_wrap_around(void **state)
{
	struct fixture *f = *state;
	const struct fake_part part = {DATA_GPA, 4, true};
	uint32_t head, len;

	for (unsigned int i = 0; i < 70000; i++) {
		uint16_t sent = fq_add(&f->q, &part, 1);

		assert_int_equal(pop(f), 1);
		virtq_push(&f->vq, f->chain.head, i);
		virtq_publish(&f->vq);
		assert_true(fq_take_used(&f->q, &head, &len));
		assert_int_equal(head, sent);
		assert_int_equal(len, i);
	}
}

static void test_unpop(void **state)
{
	struct fixture *f = *state;
	const struct fake_part part = {DATA_GPA, 4, true};

	for (int i = 0; i < 3; i++)
		fq_add(&f->q, &part, 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pop(f), 1);
	virtq_unpop(&f->vq, 2);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.head, 1);
	assert_int_equal(virtq_stop(&f->vq), 2);
}

static void complete_one(struct fixture *f)
{
	const struct fake_part part = {DATA_GPA, 4, true};

	fq_add(&f->q, &part, 1);
	assert_int_equal(pop(f), 1);
	virtq_push(&f->vq, f->chain.head, 0);
}

static void test_used_event(void **state)
{
	struct fixture *f = *state;

	complete_one(f);
	assert_true(virtq_publish(&f->vq)); /* the first one always */
	fq_set_used_event(&f->q, 3);
	complete_one(f);
	assert_false(virtq_publish(&f->vq)); /* index 2 */
	complete_one(f);
	complete_one(f);
	assert_true(virtq_publish(&f->vq)); /* from 2 past 3 to 4 */
	complete_one(f);
	assert_false(virtq_publish(&f->vq));
}

static void test_no_interrupt_flag(void **state)
{
	struct fixture *f = *state;

	f->q.cfg.event_idx = false;
	assert_int_equal(virtq_start(&f->vq, &f->ram.table, &f->q.cfg), 0);
	complete_one(f);
	assert_true(virtq_publish(&f->vq));
	f->q.avail[0] = VRING_AVAIL_F_NO_INTERRUPT;
	complete_one(f);
	assert_false(virtq_publish(&f->vq));
	virtq_kicks_off(&f->vq);
	assert_int_equal(f->q.used[0], VRING_USED_F_NO_NOTIFY);
	assert_false(virtq_kicks_on(&f->vq));
	assert_int_equal(f->q.used[0], 0);
}

static void test_avail_event(void **state)
{
	struct fixture *f = *state;
	const struct fake_part part = {DATA_GPA, 4, true};

	complete_one(f);
	assert_false(virtq_kicks_on(&f->vq));
	assert_int_equal(fq_avail_event(&f->q), 1);
	fq_add(&f->q, &part, 1);
	/* Added after the last look: no kick may come for it. */
	assert_true(virtq_kicks_on(&f->vq));
}

static void test_bad_start(void **state)
{
	struct fixture *f = *state;
	const struct virtq_config good = f->q.cfg;
	struct virtq_config c;

#define REFUSED(field, value)                                                      \
	do {                                                                       \
		c = good;                                                          \
		c.field = (value);                                                 \
		assert_int_equal(virtq_start(&f->vq, &f->ram.table, &c), -EINVAL); \
		assert_int_equal(pop(f), 0);                                       \
	} while (0)
	REFUSED(size, 0);
	REFUSED(size, 6);
	REFUSED(size, 2048);
	REFUSED(desc, good.desc + 8);
	REFUSED(avail, good.avail + 1);
	REFUSED(used, good.used + 2);
	REFUSED(desc, 0);
	REFUSED(desc, RAM_GPA + RAM_SIZE - 8 * 16 + 16);
	REFUSED(avail, RAM_GPA + RAM_SIZE - 16);
	REFUSED(used, RAM_GPA + RAM_SIZE - 64);
	REFUSED(used, UINT64_MAX & ~3ULL);
#undef REFUSED
}

static void test_remap(void **state)
{
	struct fixture *f = *state;
	struct guest_mem gone = {};

	complete_one(f);
	assert_int_equal(virtq_remap(&f->vq), 0);
	f->vq.mem = &gone;
	assert_int_equal(virtq_remap(&f->vq), -EINVAL);
	assert_int_equal(pop(f), -EPROTO);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_chain),
		CASE(test_indirect),
		CASE(test_bad_indirect_with_next),
		CASE(test_bad_indirect_nested),
		CASE(test_bad_indirect_size),
		CASE(test_bad_indirect_empty),
		CASE(test_bad_indirect_outside),
		CASE(test_bad_indirect_loop),
		CASE(test_bad_indirect_not_negotiated),
		CASE(test_bad_loop),
		CASE(test_bad_next),
		CASE(test_bad_head),
		CASE(test_bad_addresses),
		CASE(test_bad_order),
		CASE(test_bad_available_index),
		CASE(test_caller_limit),
		CASE(test_total_length),
		CASE(test_wrap_around),
		CASE(test_unpop),
		CASE(test_used_event),
		CASE(test_no_interrupt_flag),
		CASE(test_avail_event),
		CASE(test_bad_start),
		CASE(test_remap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
