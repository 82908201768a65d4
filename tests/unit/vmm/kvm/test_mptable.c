/* SPDX-License-Identifier: Apache-2.0 */
/* The table is read as a kernel does, by the offsets of the specification. */
#include "../../testing.h"

#include "vmm/kvm/layout.h"
#include "vmm/kvm/mptable.h"
#include "vmm/machine.h"

#define UNTOUCHED 0xaa
#define SIGNATURE 0x000806f8
#define FEATURES  0x1f8bfbff

enum { CPU, BUS, IOAPIC, INTERRUPT, LOCAL_INTERRUPT, TYPES };

struct table {
	uint8_t mem[GUEST_MPTABLE_SIZE + 64];
	const uint8_t *entries[TYPES][64];
	unsigned int n[TYPES];
	size_t end; /* of the last entry */
};

static uint32_t le(const uint8_t *p, unsigned int bytes)
{
	uint32_t v = 0;

	memcpy(&v, p, bytes);
	return v;
}

static uint8_t sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n--)
		s = (uint8_t)(s + *p++);
	return s;
}

static void write_and_parse(struct table *t, unsigned int cpus)
{
	static const size_t sizes[TYPES] = {20, 8, 8, 8, 8};
	const uint8_t *header = t->mem + 16, *p;
	unsigned int count;

	memset(t, 0, sizeof(*t));
	memset(t->mem, UNTOUCHED, sizeof(t->mem));
	mptable_write(t->mem, cpus, SIGNATURE, FEATURES);
	assert_memory_equal(t->mem, "_MP_", 4);
	assert_int_equal(le(t->mem + 4, 4), GUEST_MPTABLE + 16);
	assert_int_equal(t->mem[8], 1);  /* of 16 bytes */
	assert_int_equal(t->mem[9], 4);  /* version 1.4 */
	assert_int_equal(t->mem[11], 0); /* no default configuration */
	assert_int_equal(sum(t->mem, 16), 0);
	assert_memory_equal(header, "PCMP", 4);
	assert_int_equal(header[6], 4);
	assert_int_equal(le(header + 36, 4), GUEST_LAPIC);
	count = le(header + 34, 2);
	for (p = header + 44; count > 0; count--) {
		assert_in_range(*p, 0, TYPES - 1);
		t->entries[*p][t->n[*p]++] = p;
		p += sizes[*p];
	}
	t->end = (size_t)(p - t->mem);
	assert_int_equal(le(header + 4, 2), t->end - 16);
	assert_int_equal(sum(header, t->end - 16), 0);
}

static void check(unsigned int cpus)
{
	struct table t;
	const uint8_t *ioapic;

	write_and_parse(&t, cpus);
	assert_in_range(t.end, 0, GUEST_MPTABLE_SIZE);
	for (size_t i = t.end; i < sizeof(t.mem); i++)
		assert_int_equal(t.mem[i], UNTOUCHED);
	assert_int_equal(t.n[CPU], cpus);
	for (unsigned int i = 0; i < cpus; i++) {
		assert_int_equal(t.entries[CPU][i][1], i);
		/* Enabled; the first one boots. */
		assert_int_equal(t.entries[CPU][i][3], i == 0 ? 3 : 1);
		assert_int_equal(le(t.entries[CPU][i] + 4, 4), SIGNATURE);
		assert_int_equal(le(t.entries[CPU][i] + 8, 4), FEATURES);
	}
	assert_int_equal(t.n[IOAPIC], 1);
	ioapic = t.entries[IOAPIC][0];
	assert_int_equal(ioapic[1], cpus); /* a number of its own among the APICs */
	assert_int_equal(ioapic[3], 1);
	assert_int_equal(le(ioapic + 4, 4), GUEST_IOAPIC);
}

static void test_sizes(void **state)
{
	for (unsigned int cpus = 1; cpus <= MACHINE_CPUS_MAX; cpus++)
		check(cpus);
}

static void test_interrupts(void **state)
{
	struct table t;

	write_and_parse(&t, 2);
	assert_int_equal(t.n[BUS], 1);
	assert_memory_equal(t.entries[BUS][0] + 2, "ISA   ", 6);
	assert_int_equal(t.n[INTERRUPT], IOAPIC_PINS);
	for (unsigned int i = 0; i < IOAPIC_PINS; i++) {
		const uint8_t *p = t.entries[INTERRUPT][i];

		assert_int_equal(p[1], 0); /* vectored */
		assert_int_equal(le(p + 2, 2), 0);
		assert_int_equal(p[4], t.entries[BUS][0][1]);
		assert_int_equal(p[5], i);
		assert_int_equal(p[6], t.entries[IOAPIC][0][1]);
		assert_int_equal(p[7], i);
	}
	assert_int_equal(t.n[LOCAL_INTERRUPT], 2);
	assert_int_equal(t.entries[LOCAL_INTERRUPT][0][1], 3); /* ExtINT at LINT0 */
	assert_int_equal(t.entries[LOCAL_INTERRUPT][0][7], 0);
	assert_int_equal(t.entries[LOCAL_INTERRUPT][1][1], 1); /* NMI at LINT1 of all */
	assert_int_equal(t.entries[LOCAL_INTERRUPT][1][6], 0xff);
	assert_int_equal(t.entries[LOCAL_INTERRUPT][1][7], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_interrupts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
