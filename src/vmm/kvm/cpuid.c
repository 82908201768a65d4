/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * KVM_GET_SUPPORTED_CPUID says what this host and KVM can do, with some values of whichever CPU the
 * call ran on. From that we
 *  - replace everything that names a particular CPU (APIC ids, topology), so that two starts on one
 *    host show the same processor: one package, `cpus` cores, one thread each;
 *  - take away what a guest has no use for or should not reach: nested virtualisation, performance
 *    counters and tracing, SGX, resource control, thermal data, transactional memory, AMX (whose
 *    state would need permission and 8 KiB more per thread), AMD's memory encryption (a kernel that
 *    is told of it asks for registers that only an encrypted guest has);
 *  - add what KVM emulates although the host may not have it: x2APIC, the TSC deadline timer, the
 *    bit that says "hypervisor";
 *  - keep of KVM's own features those whose state we can save and that need no agreement with user
 *    space (no asynchronous page faults, no migration control).
 */
#include "vmm/kvm/cpuid.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#define BIT(n) (1U << (n))

#define LEAF_FEATURES    1U
#define LEAF_CACHES      4U
#define LEAF_THERMAL     6U
#define LEAF_STRUCTURED  7U
#define LEAF_PMU         0xaU
#define LEAF_TOPOLOGY    0xbU
#define LEAF_RDT_MONITOR 0xfU
#define LEAF_RDT         0x10U
#define LEAF_SGX         0x12U
#define LEAF_TRACE       0x14U
#define LEAF_TILES       0x1dU
#define LEAF_TILE_MUL    0x1eU
#define LEAF_TOPOLOGY_V2 0x1fU
#define LEAF_PMU_V2      0x23U
#define LEAF_KVM         0x40000001U
#define LEAF_AMD         0x80000001U
#define LEAF_AMD_SIZES   0x80000008U
#define LEAF_AMD_SVM     0x8000000aU
#define LEAF_AMD_IBS     0x8000001bU
#define LEAF_AMD_CACHES  0x8000001dU
#define LEAF_AMD_APIC    0x8000001eU
#define LEAF_AMD_CRYPT   0x8000001fU
#define LEAF_AMD_PMU     0x80000022U

#define ECX_MONITOR      BIT(3)
#define ECX_DEBUG_STORE  (BIT(2) | BIT(4))
#define ECX_VMX          BIT(5)
#define ECX_SMX          BIT(6)
#define ECX_THERMAL      (BIT(7) | BIT(8))
#define ECX_PDCM         BIT(15)
#define ECX_X2APIC       BIT(21)
#define ECX_TSC_DEADLINE BIT(24)
#define ECX_HYPERVISOR   BIT(31)
#define EDX_HTT          BIT(28)
#define EDX_DEBUG_STORE  BIT(21)
#define EDX_THERMAL      (BIT(22) | BIT(29))

#define THERMAL_ARAT BIT(2)

#define EBX7_SGX   BIT(2)
#define EBX7_TSX   (BIT(4) | BIT(11))
#define EBX7_RDT   (BIT(12) | BIT(15))
#define EBX7_MPX   BIT(14)
#define EBX7_TRACE BIT(25)
#define ECX7_SGX   BIT(30)
#define EDX7_SGX   BIT(1)
#define EDX7_AMX   (BIT(22) | BIT(24) | BIT(25))
#define EDX7_LBR   BIT(19)
/* Of the second part of leaf 7. */
#define EAX7_1_PMU BIT(8)
#define EAX7_1_AMX BIT(21)
#define EDX7_1_AMX BIT(8)

#define AMD_ECX_SVM  BIT(2)
#define AMD_ECX_IBS  BIT(10)
#define AMD_ECX_SKIN BIT(12)
#define AMD_ECX_PMU  (BIT(23) | BIT(24) | BIT(28))
#define AMD_ECX_LWP  BIT(15)

#define TOPOLOGY_THREAD 1U
#define TOPOLOGY_CORE   2U

/* KVM's own features, by their bits in EAX (linux/kvm_para.h has some of the names). */
#define KVM_KEEP                                                                                 \
	(BIT(0) /* clock */ | BIT(1) /* no I/O delay */ | BIT(3) /* clock, MSRs of its own */ |  \
	 BIT(5) /* steal time */ | BIT(6) /* end of interrupt */ | BIT(7) /* spinlock kicks */ | \
	 BIT(9) /* TLB flush */ | BIT(11) /* many IPIs */ | BIT(12) /* poll control */ |         \
	 BIT(13) /* yield */ | BIT(24) /* clock is stable */)

struct kvm_cpuid_entry2 *cpuid_find(struct cpuid *c, uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < c->head.nent; i++) {
		struct kvm_cpuid_entry2 *x = &c->entries[i];

		if (x->function == function &&
		    (x->index == index || !(x->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)))
			return x;
	}
	return NULL;
}

/* Bits needed to number `n` things. */
static uint32_t bits_for(unsigned int n)
{
	uint32_t bits = 0;

	while ((1U << bits) < n)
		bits++;
	return bits;
}

static void filter_features(struct kvm_cpuid_entry2 *x, unsigned int cpus, bool tsc_deadline)
{
	x->ecx &= ~(ECX_MONITOR | ECX_DEBUG_STORE | ECX_VMX | ECX_SMX | ECX_THERMAL | ECX_PDCM |
		    ECX_TSC_DEADLINE);
	x->ecx |= ECX_HYPERVISOR | ECX_X2APIC;
	if (tsc_deadline)
		x->ecx |= ECX_TSC_DEADLINE;
	x->edx &= ~(EDX_HTT | EDX_DEBUG_STORE | EDX_THERMAL);
	if (cpus > 1)
		x->edx |= EDX_HTT;
	x->ebx = (x->ebx & 0x0000ff00) | cpus << 16;
}

/* Each core has the inner caches for itself and all share the last. */
static void filter_cache(struct kvm_cpuid_entry2 *x, unsigned int cpus, bool intel)
{
	uint32_t level = (x->eax >> 5) & 7, sharing = level >= 3 ? cpus - 1 : 0;

	if ((x->eax & 0x1f) == 0)
		return;
	x->eax = (x->eax & 0x3fff) | sharing << 14;
	if (intel)
		x->eax |= ((1U << bits_for(cpus)) - 1) << 26;
}

static void filter_structured(struct kvm_cpuid_entry2 *x)
{
	if (x->index == 0) {
		x->ebx &= ~(EBX7_SGX | EBX7_TSX | EBX7_RDT | EBX7_MPX | EBX7_TRACE);
		x->ecx &= ~ECX7_SGX;
		x->edx &= ~(EDX7_SGX | EDX7_AMX | EDX7_LBR);
	} else if (x->index == 1) {
		x->eax &= ~(EAX7_1_PMU | EAX7_1_AMX);
		x->edx &= ~EDX7_1_AMX;
	}
}

static void filter_topology(struct kvm_cpuid_entry2 *x, unsigned int cpus)
{
	x->eax = x->ebx = 0;
	x->ecx = x->index & 0xff;
	if (x->index == 0) {
		x->ebx = 1;
		x->ecx |= TOPOLOGY_THREAD << 8;
	} else if (x->index == 1) {
		x->eax = bits_for(cpus);
		x->ebx = cpus;
		x->ecx |= TOPOLOGY_CORE << 8;
	}
}

static void clear(struct kvm_cpuid_entry2 *x)
{
	x->eax = x->ebx = x->ecx = x->edx = 0;
}

static void filter(struct kvm_cpuid_entry2 *x, unsigned int cpus, bool tsc_deadline)
{
	switch (x->function) {
	case LEAF_FEATURES:
		filter_features(x, cpus, tsc_deadline);
		break;
	case LEAF_CACHES:
		filter_cache(x, cpus, true);
		break;
	case LEAF_AMD_CACHES:
		filter_cache(x, cpus, false);
		break;
	case LEAF_THERMAL:
		clear(x);
		x->eax = THERMAL_ARAT;
		break;
	case LEAF_STRUCTURED:
		filter_structured(x);
		break;
	case LEAF_TOPOLOGY:
	case LEAF_TOPOLOGY_V2:
		filter_topology(x, cpus);
		break;
	case LEAF_PMU:
	case LEAF_PMU_V2:
	case LEAF_RDT_MONITOR:
	case LEAF_RDT:
	case LEAF_SGX:
	case LEAF_TRACE:
	case LEAF_TILES:
	case LEAF_TILE_MUL:
	case LEAF_AMD_SVM:
	case LEAF_AMD_IBS:
	case LEAF_AMD_CRYPT:
	case LEAF_AMD_PMU:
		clear(x);
		break;
	case LEAF_KVM:
		x->eax &= KVM_KEEP;
		x->edx = 0;
		break;
	case LEAF_AMD:
		x->ecx &= ~(AMD_ECX_SVM | AMD_ECX_IBS | AMD_ECX_SKIN | AMD_ECX_PMU | AMD_ECX_LWP);
		break;
	case LEAF_AMD_SIZES:
		x->ecx = bits_for(cpus) << 12 | (cpus - 1);
		break;
	default:
		break;
	}
}

/*
 * Newer versions of KVM list of a topology only its first part, the threads of a core; without the
 * second each vCPU would be a package of its own.
 */
static void add_cores(struct cpuid *c, uint32_t leaf, unsigned int cpus)
{
	struct kvm_cpuid_entry2 *x;

	if (!cpuid_find(c, leaf, 0) || cpuid_find(c, leaf, 1) || c->head.nent >= CPUID_ENTRIES_MAX)
		return;
	x = &c->entries[c->head.nent++];
	*x = (struct kvm_cpuid_entry2){
		.function = leaf, .index = 1, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX};
	filter_topology(x, cpus);
}

static void make_ours(struct cpuid *c, unsigned int cpus, bool tsc_deadline)
{
	for (uint32_t i = 0; i < c->head.nent; i++)
		filter(&c->entries[i], cpus, tsc_deadline);
	add_cores(c, LEAF_TOPOLOGY, cpus);
	add_cores(c, LEAF_TOPOLOGY_V2, cpus);
}

int cpuid_init(struct cpuid *c, int kvm_fd, unsigned int cpus, bool tsc_deadline, struct err *e)
{
	*c = (struct cpuid){.head.nent = CPUID_ENTRIES_MAX};
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, &c->head) < 0)
		return err_sys(e, errno, "KVM does not say what processor it offers");
	make_ours(c, cpus, tsc_deadline);
	return 0;
}

void cpuid_for_vcpu(struct cpuid *c, unsigned int index)
{
	for (uint32_t i = 0; i < c->head.nent; i++) {
		struct kvm_cpuid_entry2 *x = &c->entries[i];

		switch (x->function) {
		case LEAF_FEATURES:
			x->ebx = (x->ebx & 0x00ffffff) | index << 24;
			break;
		case LEAF_TOPOLOGY:
		case LEAF_TOPOLOGY_V2:
			x->edx = index;
			break;
		case LEAF_AMD_APIC:
			x->eax = index;
			x->ebx = index;
			x->ecx = 0;
			break;
		default:
			break;
		}
	}
}
