/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host is made up: it has everything, so that what is not taken away is seen. Bits are counted
 * here as the manuals do, not by the names in cpuid.c.
 */
#include "../../testing.h"

#include "vmm/kvm/cpuid.c"

#define INDEXED KVM_CPUID_FLAG_SIGNIFCANT_INDEX

enum reg { EAX, EBX, ECX, EDX };

static void add(struct cpuid *c, uint32_t function, uint32_t index, uint32_t flags, uint32_t value)
{
	c->entries[c->head.nent++] = (struct kvm_cpuid_entry2){
		.function = function,
		.index = index,
		.flags = flags,
		.eax = value,
		.ebx = value,
		.ecx = value,
		.edx = value,
	};
}

/* Levels 1, 1, 2 and 3, and the end of the list. */
static const uint32_t caches[] = {0xfc004121, 0xfc004122, 0xfc01c143, 0xfc03c163, 0};

/* Like those of a new KVM: of the topology only the first leaves, without a topology. */
static void add_host(struct cpuid *c)
{
	static const uint32_t plain[] = {
		0,          1,          2,          6,          0xa,        0x40000000,
		0x40000001, 0x80000000, 0x80000001, 0x80000008, 0x8000000a, 0x8000001b,
		0x8000001e, 0x8000001f, 0x80000022, 0x23,
	};
	static const struct {
		uint32_t function, n;
	} indexed[] = {{7, 3},    {0xd, 3},  {0xf, 2},  {0x10, 2},
		       {0x12, 3}, {0x14, 2}, {0x1d, 2}, {0x1e, 2}};

	for (unsigned int i = 0; i < ARRAY_SIZE(plain); i++)
		add(c, plain[i], 0, 0, UINT32_MAX);
	for (unsigned int i = 0; i < ARRAY_SIZE(indexed); i++)
		for (uint32_t j = 0; j < indexed[i].n; j++)
			add(c, indexed[i].function, j, INDEXED, UINT32_MAX);
	add(c, 0xb, 0, INDEXED, 0);
	add(c, 0x1f, 0, INDEXED, 0);
	for (uint32_t i = 0; i < ARRAY_SIZE(caches); i++) {
		add(c, 4, i, INDEXED, 0x12345678);
		c->entries[c->head.nent - 1].eax = caches[i];
		add(c, 0x8000001d, i, INDEXED, 0x12345678);
		c->entries[c->head.nent - 1].eax = caches[i] & 0x03ffffff;
	}
}

static struct cpuid *guest_of(unsigned int cpus, bool tsc_deadline)
{
	static struct cpuid c;

	c = (struct cpuid){};
	add_host(&c);
	make_ours(&c, cpus, tsc_deadline);
	return &c;
}

static uint32_t value(struct cpuid *c, uint32_t function, uint32_t index, enum reg reg)
{
	const struct kvm_cpuid_entry2 *x = cpuid_find(c, function, index);

	assert_non_null(x);
	return reg == EAX ? x->eax : reg == EBX ? x->ebx : reg == ECX ? x->ecx : x->edx;
}

static bool bit(struct cpuid *c, uint32_t function, uint32_t index, enum reg reg, unsigned int n)
{
	return value(c, function, index, reg) >> n & 1;
}

/* --- What is taken away. */

static void test_features_that_go(void **state)
{
	static const struct {
		uint32_t function, index;
		enum reg reg;
		unsigned int bit;
		const char *name;
	} gone[] = {
		{1, 0, ECX, 2, "DTES64"},
		{1, 0, ECX, 3, "MONITOR"},
		{1, 0, ECX, 4, "DS-CPL"},
		{1, 0, ECX, 5, "VMX"},
		{1, 0, ECX, 6, "SMX"},
		{1, 0, ECX, 7, "EIST"},
		{1, 0, ECX, 8, "TM2"},
		{1, 0, ECX, 15, "PDCM"},
		{1, 0, EDX, 21, "DS"},
		{1, 0, EDX, 22, "ACPI"},
		{1, 0, EDX, 29, "TM"},
		{7, 0, EBX, 2, "SGX"},
		{7, 0, EBX, 4, "HLE"},
		{7, 0, EBX, 11, "RTM"},
		{7, 0, EBX, 12, "RDT-M"},
		{7, 0, EBX, 14, "MPX"},
		{7, 0, EBX, 15, "RDT-A"},
		{7, 0, EBX, 25, "PT"},
		{7, 0, ECX, 30, "SGX_LC"},
		{7, 0, EDX, 1, "SGX-KEYS"},
		{7, 0, EDX, 19, "LBR"},
		{7, 0, EDX, 22, "AMX-BF16"},
		{7, 0, EDX, 24, "AMX-TILE"},
		{7, 0, EDX, 25, "AMX-INT8"},
		{7, 1, EAX, 8, "ArchPerfmonExt"},
		{7, 1, EAX, 21, "AMX-FP16"},
		{7, 1, EDX, 8, "AMX-COMPLEX"},
		{0x80000001, 0, ECX, 2, "SVM"},
		{0x80000001, 0, ECX, 10, "IBS"},
		{0x80000001, 0, ECX, 12, "SKINIT"},
		{0x80000001, 0, ECX, 15, "LWP"},
		{0x80000001, 0, ECX, 23, "PerfCtrExtCore"},
		{0x80000001, 0, ECX, 24, "PerfCtrExtNB"},
		{0x80000001, 0, ECX, 28, "PerfCtrExtLLC"},
		{0x40000001, 0, EAX, 4, "asynchronous page faults"},
		{0x40000001, 0, EAX, 10, "asynchronous page faults by #VMEXIT"},
		{0x40000001, 0, EAX, 14, "asynchronous page faults by interrupt"},
		{0x40000001, 0, EAX, 16, "GPA range hypercall"},
		{0x40000001, 0, EAX, 17, "migration control"},
		{0x40000001, 0, EDX, 0, "dedicated processors"},
	};
	struct cpuid *c = guest_of(2, true);

	for (unsigned int i = 0; i < ARRAY_SIZE(gone); i++)
		if (bit(c, gone[i].function, gone[i].index, gone[i].reg, gone[i].bit))
			fail_msg("%s is left", gone[i].name);
}

/* Thermal data, PMU, RDT, SGX, PT, AMX; SVM, IBS, memory encryption, PMU of AMD. */
static void test_leaves_that_go(void **state)
{
	static const uint32_t gone[] = {0xa,  0x23, 0xf,        0x10,       0x12,       0x14,
					0x1d, 0x1e, 0x8000000a, 0x8000001b, 0x8000001f, 0x80000022};
	struct cpuid *c = guest_of(2, true);

	for (unsigned int i = 0; i < c->head.nent; i++) {
		const struct kvm_cpuid_entry2 *x = &c->entries[i];

		for (unsigned int j = 0; j < ARRAY_SIZE(gone); j++)
			if (x->function == gone[j] && (x->eax | x->ebx | x->ecx | x->edx))
				fail_msg("leaf %#x.%u is left", x->function, x->index);
	}
	/* Of the thermal leaf there stays that the APIC's timer never stops. */
	assert_int_equal(value(c, 6, 0, EAX), 4);
	assert_int_equal(value(c, 6, 0, EBX) | value(c, 6, 0, ECX) | value(c, 6, 0, EDX), 0);
}

/* --- What stays, and what is added. */

static void test_features_that_stay(void **state)
{
	struct cpuid *c = guest_of(2, true);

	assert_true(bit(c, 1, 0, ECX, 26));          /* XSAVE */
	assert_true(bit(c, 1, 0, ECX, 30));          /* RDRAND */
	assert_true(bit(c, 1, 0, EDX, 0));           /* FPU */
	assert_true(bit(c, 7, 0, EBX, 5));           /* AVX2 */
	assert_true(bit(c, 7, 0, EDX, 26));          /* IBRS */
	assert_true(bit(c, 7, 1, EAX, 4));           /* AVX-VNNI */
	assert_true(bit(c, 0x80000001, 0, EDX, 29)); /* long mode */
	assert_true(bit(c, 0x40000001, 0, EAX, 3));  /* KVM's clock */
	assert_int_equal(value(c, 0, 0, EAX), UINT32_MAX);
	assert_int_equal(value(c, 0xd, 1, EAX), UINT32_MAX);
	assert_int_equal(value(c, 7, 2, EDX), UINT32_MAX);
}

static void test_features_that_come(void **state)
{
	struct cpuid c = {.head.nent = 1, .entries = {{.function = 1}}};

	make_ours(&c, 1, true);
	/* x2APIC, TSC deadline, hypervisor. */
	assert_int_equal(c.entries[0].ecx, 1U << 21 | 1U << 24 | 1U << 31);
	assert_int_equal(c.head.nent, 1);
}

static void test_deadline(void **state)
{
	assert_true(bit(guest_of(1, true), 1, 0, ECX, 24));
	assert_false(bit(guest_of(1, false), 1, 0, ECX, 24));
}

/* --- Topology: one package, a core per vCPU. */

static const struct {
	unsigned int cpus, bits;
} topologies[] = {{1, 0}, {2, 1}, {3, 2}, {4, 2}, {5, 3}, {32, 5}};

static void check_topology(struct cpuid *c, uint32_t leaf, unsigned int cpus, unsigned int bits)
{
	assert_int_equal(value(c, leaf, 0, EAX), 0);
	assert_int_equal(value(c, leaf, 0, EBX), 1);
	assert_int_equal(value(c, leaf, 0, ECX), 1 << 8 | 0); /* threads */
	assert_int_equal(value(c, leaf, 1, EAX), bits);
	assert_int_equal(value(c, leaf, 1, EBX), cpus);
	assert_int_equal(value(c, leaf, 1, ECX), 2 << 8 | 1); /* cores */
}

static void test_topology(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(topologies); i++) {
		unsigned int cpus = topologies[i].cpus, bits = topologies[i].bits;
		struct cpuid *c = guest_of(cpus, true);

		check_topology(c, 0xb, cpus, bits);
		check_topology(c, 0x1f, cpus, bits);
		assert_int_equal(value(c, 1, 0, EBX) >> 16 & 0xff, cpus);
		assert_int_equal(bit(c, 1, 0, EDX, 28), cpus > 1);
		assert_int_equal(value(c, 0x80000008, 0, ECX), bits << 12 | (cpus - 1));
	}
}

static void test_caches(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(topologies); i++) {
		unsigned int cpus = topologies[i].cpus, bits = topologies[i].bits;
		struct cpuid *c = guest_of(cpus, true);

		for (uint32_t j = 0; j < 4; j++) {
			uint32_t amd = value(c, 0x8000001d, j, EAX);
			uint32_t intel = value(c, 4, j, EAX);

			assert_int_equal(intel & 0x3fff, caches[j] & 0x3fff);
			assert_int_equal(intel >> 14 & 0xfff, j == 3 ? cpus - 1 : 0);
			assert_int_equal(intel >> 26, (1U << bits) - 1);
			assert_int_equal(amd, intel & 0x03ffffff);
			assert_int_equal(value(c, 4, j, EBX), 0x12345678);
		}
		assert_int_equal(value(c, 4, 4, EAX), 0);
	}
}

/* Old versions of KVM list the host's levels, threads and all. */
static void test_topology_of_old_kvm(void **state)
{
	static struct cpuid c;

	c = (struct cpuid){};
	for (uint32_t i = 0; i < 3; i++) {
		add(&c, 0xb, i, INDEXED, UINT32_MAX);
		add(&c, 0x1f, i, INDEXED, UINT32_MAX);
	}
	make_ours(&c, 3, true);
	assert_int_equal(c.head.nent, 6);
	check_topology(&c, 0xb, 3, 2);
	check_topology(&c, 0x1f, 3, 2);
	/* The end of the list. */
	assert_int_equal(value(&c, 0xb, 2, EAX), 0);
	assert_int_equal(value(&c, 0xb, 2, EBX), 0);
	assert_int_equal(value(&c, 0xb, 2, ECX), 2);
}

static void test_no_room_for_topology(void **state)
{
	static struct cpuid c;

	c = (struct cpuid){};
	while (c.head.nent < CPUID_ENTRIES_MAX)
		add(&c, c.head.nent == 7 ? 0xb : 0x20, 0, INDEXED, 0);
	make_ours(&c, 2, true);
	assert_int_equal(c.head.nent, CPUID_ENTRIES_MAX);
}

/* --- What depends on the CPU of the host, or of the guest. */

/* Another start on the same host: only where the call ran differs. */
static void test_same_everywhere(void **state)
{
	static struct cpuid a, b;
	struct kvm_cpuid_entry2 *x;

	a = (struct cpuid){};
	add_host(&a);
	b = a;
	x = cpuid_find(&b, 1, 0);
	x->ebx = 0x5a10ff00 | (x->ebx & 0xff00);
	cpuid_find(&b, 0xb, 0)->edx = 77;
	cpuid_find(&b, 0x1f, 0)->edx = 77;
	x = cpuid_find(&b, 0x8000001e, 0);
	x->eax = 77;
	x->ebx = 0x105;
	x->ecx = 1;
	make_ours(&a, 4, true);
	make_ours(&b, 4, true);
	for (unsigned int cpu = 0; cpu < 4; cpu++) {
		cpuid_for_vcpu(&a, cpu);
		cpuid_for_vcpu(&b, cpu);
		assert_int_equal(a.head.nent, b.head.nent);
		assert_memory_equal(a.entries, b.entries, a.head.nent * sizeof(a.entries[0]));
	}
}

static void test_for_vcpu(void **state)
{
	struct cpuid *c = guest_of(32, true);
	uint32_t ebx = value(c, 1, 0, EBX);

	for (unsigned int cpu = 0; cpu < 32; cpu += 31) {
		cpuid_for_vcpu(c, cpu);
		assert_int_equal(value(c, 1, 0, EBX), ebx | cpu << 24);
		assert_int_equal(value(c, 0x8000001e, 0, EAX), cpu);
		assert_int_equal(value(c, 0x8000001e, 0, EBX), cpu);
		assert_int_equal(value(c, 0x8000001e, 0, ECX), 0);
		for (uint32_t i = 0; i < 2; i++) {
			assert_int_equal(value(c, 0xb, i, EDX), cpu);
			assert_int_equal(value(c, 0x1f, i, EDX), cpu);
		}
	}
}

static void test_find(void **state)
{
	struct cpuid *c = guest_of(1, true);

	assert_int_equal(cpuid_find(c, 4, 3)->index, 3);
	assert_null(cpuid_find(c, 4, 5));
	assert_null(cpuid_find(c, 3, 0));
	/* Where the index says nothing, any will do. */
	assert_int_equal(cpuid_find(c, 1, 9)->function, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_features_that_go),
		cmocka_unit_test(test_leaves_that_go),
		cmocka_unit_test(test_features_that_stay),
		cmocka_unit_test(test_features_that_come),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_topology),
		cmocka_unit_test(test_caches),
		cmocka_unit_test(test_topology_of_old_kvm),
		cmocka_unit_test(test_no_room_for_topology),
		cmocka_unit_test(test_same_everywhere),
		cmocka_unit_test(test_for_vcpu),
		cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
