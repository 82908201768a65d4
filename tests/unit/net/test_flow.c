/* SPDX-License-Identifier: Apache-2.0 */
/* The table of connections against a list that does the same slowly. */
#include "../testing.h"

#include "net/stack_internal.h"

#define FLOWS 128 /* keys */
#define ROOM  100 /* of them in the table at once */

static struct flow_table table;
static struct flow flows[FLOWS];
static bool present[FLOWS];

/* They differ in one part each, so that every part counts. */
static struct flow_key key_of(unsigned int i)
{
	struct flow_key k = {.guest_port = 40000, .remote_port = 443};

	memset(&k.guest, 1, sizeof(k.guest));
	memset(&k.remote, 2, sizeof(k.remote));
	switch (i % 4) {
	case 0:
		k.guest.b[i / 4 % 16] = (uint8_t)(100 + i);
		break;
	case 1:
		k.remote.b[i / 4 % 16] = (uint8_t)(100 + i);
		break;
	case 2:
		k.guest_port = (uint16_t)(i * 256);
		break;
	default:
		k.remote_port = (uint16_t)(i + 1000);
	}
	return k;
}

static int setup(void **state)
{
	static const uint8_t secret[16] = "0123456789abcdef";

	for (unsigned int i = 0; i < FLOWS; i++) {
		flows[i] = (struct flow){.key = key_of(i)};
		present[i] = false;
	}
	return flow_table_init(&table, ROOM, secret);
}

static int teardown(void **state)
{
	flow_table_release(&table);
	return 0;
}

static unsigned int count_present(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < FLOWS; i++)
		n += present[i];
	return n;
}

static void check(void)
{
	uint64_t nearest = UINT64_MAX;

	for (unsigned int i = 0; i < FLOWS; i++) {
		assert_ptr_equal(flow_find(&table, &flows[i].key), present[i] ? &flows[i] : NULL);
		if (!present[i])
			continue;
		nearest = MIN(nearest, flows[i].deadline);
		assert_ptr_equal(table.heap[flows[i].heap_pos], &flows[i]);
	}
	assert_int_equal(table.n, count_present());
	for (unsigned int i = 1; i < table.n; i++)
		assert_true(table.heap[(i - 1) / 2]->deadline <= table.heap[i]->deadline);
	if (table.n == 0)
		assert_null(flow_first(&table));
	else
		assert_int_equal(flow_first(&table)->deadline, nearest);
}

static void put(unsigned int i)
{
	struct flow twin = {.key = flows[i].key};
	int r = flow_add(&table, &flows[i]);

	if (count_present() == ROOM) {
		assert_int_equal(r, -EMFILE);
		return;
	}
	assert_int_equal(r, 0);
	assert_true(flows[i].deadline == UINT64_MAX);
	present[i] = true;
	assert_int_equal(flow_add(&table, &twin), count_present() == ROOM ? -EMFILE : -EADDRINUSE);
}

static void test_random(void **state)
{
	uint32_t seed = 7;

	check();
	for (int step = 0; step < 3000; step++) {
		unsigned int i;

		seed = seed * 1664525 + 1013904223;
		i = (seed >> 8) % FLOWS;
		if (!present[i]) {
			put(i);
		} else if (seed >> 30 == 0) {
			flow_remove(&table, &flows[i]);
			present[i] = false;
		} else {
			flow_set_deadline(&table, &flows[i],
					  seed >> 29 == 7 ? UINT64_MAX : seed >> 16 & 0xff);
		}
		check();
	}
}

/* Deadlines come in their order. */
static void test_order(void **state)
{
	uint64_t last = 0;

	for (unsigned int i = 0; i < ROOM; i++) {
		put(i);
		flow_set_deadline(&table, &flows[i], i * 37 % 101);
	}
	put(ROOM);
	assert_false(present[ROOM]);
	for (unsigned int i = 0; i < ROOM; i++) {
		struct flow *f = flow_first(&table);

		assert_true(f->deadline >= last);
		last = f->deadline;
		flow_remove(&table, f);
		assert_null(flow_find(&table, &f->key));
	}
	assert_null(flow_first(&table));
}

#define flow_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		flow_test(test_random),
		flow_test(test_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
