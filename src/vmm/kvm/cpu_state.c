/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order in which the parts are loaded matters: the processor's features before everything, the
 * system registers (which say whether and how the local APIC is on) before the APIC, the APIC
 * before the MSRs (one of which sets its timer), pending events and the run state last.
 *
 * Which MSRs there are KVM says. Some cannot be read, or cannot be set, on some hosts; the former
 * are left out, and the latter are no error when the new vCPU has the same value anyway.
 */
#include "vmm/kvm/cpu_state.h"

#include "vmm/kvm/cpuid.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define MSRS_MAX         512
#define MSR_TSC_DEADLINE 0x6e0

struct msrs {
	struct kvm_msrs head;
	struct kvm_msr_entry entries[MSRS_MAX];
};

struct msr_list {
	struct kvm_msr_list head;
	uint32_t indices[MSRS_MAX];
};

/* The parts of a fixed size, in the order of loading; MSRs come between the two groups. */
struct part {
	enum saved_record type;
	unsigned long get, set;
	size_t size;
	const char *name;
};

static const struct part parts_before[] = {
	{SAVED_REGS, KVM_GET_REGS, KVM_SET_REGS, sizeof(struct kvm_regs), "registers"},
	{SAVED_SREGS, KVM_GET_SREGS, KVM_SET_SREGS, sizeof(struct kvm_sregs), "system registers"},
	{SAVED_XCRS, KVM_GET_XCRS, KVM_SET_XCRS, sizeof(struct kvm_xcrs), "extended control"},
	{SAVED_DEBUGREGS, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, sizeof(struct kvm_debugregs),
	 "debug registers"},
	{SAVED_LAPIC, KVM_GET_LAPIC, KVM_SET_LAPIC, sizeof(struct kvm_lapic_state), "local APIC"},
};

static const struct part parts_after[] = {
	{SAVED_EVENTS, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, sizeof(struct kvm_vcpu_events),
	 "pending events"},
	{SAVED_MP_STATE, KVM_GET_MP_STATE, KVM_SET_MP_STATE, sizeof(struct kvm_mp_state),
	 "run state"},
};

union part_data {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp_state;
};

static int save_error(unsigned int index, const char *what, int error, struct err *e)
{
	return err_sys(e, error, "the %s of processor %u cannot be saved", what, index);
}

static int load_error(unsigned int index, const char *what, int error, struct err *e)
{
	return err_sys(e, error, "the %s of processor %u cannot be loaded", what, index);
}

/*
 * --- Saving.
 *
 * #syscalls:kvm ioctl(KVM_GET_REGS) ioctl(KVM_GET_SREGS) ioctl(KVM_GET_XCRS)
 * #syscalls:kvm ioctl(KVM_GET_DEBUGREGS) ioctl(KVM_GET_LAPIC) ioctl(KVM_GET_VCPU_EVENTS)
 * #syscalls:kvm ioctl(KVM_GET_MP_STATE) ioctl(KVM_GET_CPUID2) ioctl(KVM_GET_TSC_KHZ)
 * #syscalls:kvm ioctl(KVM_GET_MSR_INDEX_LIST) ioctl(KVM_GET_MSRS)
 * #syscalls?:kvm ioctl(KVM_GET_XSAVE) -- processors whose state fits into that
 * #syscalls?:kvm ioctl(KVM_GET_XSAVE2) -- processors with more state
 */

static int save_parts(int fd, unsigned int index, const struct part *parts, size_t n,
		      struct buf *records, struct err *e)
{
	for (; n > 0; parts++, n--) {
		union part_data data = {};
		int r = ioctl(fd, parts->get, &data) < 0 ? -errno : 0;

		if (r == 0)
			r = saved_add(records, parts->type, index, &data, parts->size);
		if (r < 0)
			return save_error(index, parts->name, -r, e);
	}
	return 0;
}

static int save_cpuid(int fd, unsigned int index, struct buf *records, struct err *e)
{
	struct cpuid *c = calloc(1, sizeof(*c));
	int r = c ? 0 : -ENOMEM;

	if (r == 0) {
		c->head.nent = CPUID_ENTRIES_MAX;
		r = ioctl(fd, KVM_GET_CPUID2, &c->head) < 0 ? -errno : 0;
	}
	if (r == 0)
		r = saved_add(records, SAVED_CPUID, index, c,
			      sizeof(c->head) + c->head.nent * sizeof(c->entries[0]));
	free(c);
	return r < 0 ? save_error(index, "features", -r, e) : 0;
}

static int save_xsave(const struct vm *vm, int fd, unsigned int index, struct buf *records,
		      struct err *e)
{
	unsigned long request =
		vm->xsave_size > sizeof(struct kvm_xsave) ? KVM_GET_XSAVE2 : KVM_GET_XSAVE;
	void *data = calloc(1, vm->xsave_size);
	int r = data ? 0 : -ENOMEM;

	if (r == 0)
		r = ioctl(fd, request, data) < 0 ? -errno : 0;
	if (r == 0)
		r = saved_add(records, SAVED_XSAVE, index, data, vm->xsave_size);
	free(data);
	return r < 0 ? save_error(index, "floating point state", -r, e) : 0;
}

/* Those that can be read, the deadline of the timer last: setting it needs the others. */
static int read_msrs(const struct vm *vm, int fd, struct msrs *m)
{
	struct msr_list list = {.head.nmsrs = MSRS_MAX};
	struct kvm_msr_entry deadline = {};

	if (ioctl(vm->kvm_fd, KVM_GET_MSR_INDEX_LIST, &list.head) < 0)
		return -errno;
	for (uint32_t i = 0; i < list.head.nmsrs; i++) {
		struct {
			struct kvm_msrs head;
			struct kvm_msr_entry entry;
		} one = {.head.nmsrs = 1, .entry.index = list.indices[i]};

		if (ioctl(fd, KVM_GET_MSRS, &one.head) != 1)
			continue;
		if (one.entry.index == MSR_TSC_DEADLINE)
			deadline = one.entry;
		else
			m->entries[m->head.nmsrs++] = one.entry;
	}
	if (deadline.index)
		m->entries[m->head.nmsrs++] = deadline;
	return 0;
}

static int save_msrs(const struct vm *vm, int fd, unsigned int index, struct buf *records,
		     struct err *e)
{
	struct msrs *m = calloc(1, sizeof(*m));
	int r = m ? read_msrs(vm, fd, m) : -ENOMEM;

	if (r == 0)
		r = saved_add(records, SAVED_MSRS, index, m->entries,
			      m->head.nmsrs * sizeof(m->entries[0]));
	free(m);
	return r < 0 ? save_error(index, "model-specific registers", -r, e) : 0;
}

int cpu_state_save(const struct vm *vm, int vcpu_fd, unsigned int index, struct buf *records,
		   struct err *e)
{
	uint32_t khz = (uint32_t)MAX(ioctl(vcpu_fd, KVM_GET_TSC_KHZ, 0), 0);
	int r = saved_add(records, SAVED_TSC_KHZ, index, &khz, sizeof(khz));

	if (r < 0)
		return save_error(index, "clock rate", -r, e);
	/* The run state first: reading it makes KVM deliver what is pending to the local APIC. */
	if (save_parts(vcpu_fd, index, parts_after, ARRAY_SIZE(parts_after), records, e) < 0 ||
	    save_parts(vcpu_fd, index, parts_before, ARRAY_SIZE(parts_before), records, e) < 0 ||
	    save_cpuid(vcpu_fd, index, records, e) < 0 ||
	    save_xsave(vm, vcpu_fd, index, records, e) < 0 ||
	    save_msrs(vm, vcpu_fd, index, records, e) < 0)
		return -1;
	return 0;
}

/* --- Loading. */

static int load_parts(int fd, unsigned int index, const struct part *parts, size_t n,
		      const struct saved *s, struct err *e)
{
	for (; n > 0; parts++, n--) {
		const void *saved = saved_get(s, parts->type, index, parts->size, e);
		union part_data data;

		if (!saved)
			return -1;
		memcpy(&data, saved, parts->size);
		if (ioctl(fd, parts->set, &data) < 0)
			return load_error(index, parts->name, errno, e);
	}
	return 0;
}

static int load_cpuid(int fd, unsigned int index, const struct saved *s, struct err *e)
{
	size_t size;
	const void *saved = saved_get_any(s, SAVED_CPUID, index, sizeof(struct cpuid), &size, e);
	struct cpuid *c;
	int r;

	if (!saved)
		return -1;
	c = calloc(1, sizeof(*c));
	if (!c)
		return load_error(index, "features", ENOMEM, e);
	memcpy(c, saved, size);
	if (size < sizeof(c->head) ||
	    size != sizeof(c->head) + (uint64_t)c->head.nent * sizeof(c->entries[0]))
		r = -EINVAL;
	else
		r = ioctl(fd, KVM_SET_CPUID2, &c->head) < 0 ? -errno : 0;
	free(c);
	return r < 0 ? load_error(index, "features", -r, e) : 0;
}

static int load_xsave(const struct vm *vm, int fd, unsigned int index, const struct saved *s,
		      struct err *e)
{
	const void *saved = saved_get(s, SAVED_XSAVE, index, vm->xsave_size, e);
	void *data;
	int r;

	if (!saved)
		return -1;
	/* KVM wants it aligned. */
	data = aligned_alloc(64, ALIGN_UP(vm->xsave_size, 64));
	if (!data)
		return load_error(index, "floating point state", ENOMEM, e);
	memcpy(data, saved, vm->xsave_size);
	r = ioctl(fd, KVM_SET_XSAVE, data) < 0 ? -errno : 0;
	free(data);
	return r < 0 ? load_error(index, "floating point state", -r, e) : 0;
}

static int load_msr(int fd, unsigned int index, const struct kvm_msr_entry *entry, struct err *e)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} one = {.head.nmsrs = 1, .entry = *entry};

	if (ioctl(fd, KVM_SET_MSRS, &one.head) == 1)
		return 0;
	if (ioctl(fd, KVM_GET_MSRS, &one.head) == 1 && one.entry.data == entry->data)
		return 0;
	return err_set(e, ERR_UNSUPPORTED,
		       "this host cannot set the model-specific register %#x of processor %u",
		       entry->index, index);
}

static int load_msrs(int fd, unsigned int index, const struct saved *s, struct err *e)
{
	size_t size;
	const uint8_t *saved = saved_get_any(s, SAVED_MSRS, index,
					     MSRS_MAX * sizeof(struct kvm_msr_entry), &size, e);

	if (!saved)
		return -1;
	for (size_t at = 0; at + sizeof(struct kvm_msr_entry) <= size;
	     at += sizeof(struct kvm_msr_entry)) {
		struct kvm_msr_entry entry;

		memcpy(&entry, saved + at, sizeof(entry));
		if (load_msr(fd, index, &entry, e) < 0)
			return -1;
	}
	return 0;
}

/* Only a host that can scale it may run at another rate. */
static int load_tsc_rate(int fd, unsigned int index, const struct saved *s, struct err *e)
{
	const void *saved = saved_get(s, SAVED_TSC_KHZ, index, sizeof(uint32_t), e);
	uint32_t khz;

	if (!saved)
		return -1;
	memcpy(&khz, saved, sizeof(khz));
	if (khz == 0 || ioctl(fd, KVM_GET_TSC_KHZ, 0) == (int)khz)
		return 0;
	if (ioctl(fd, KVM_SET_TSC_KHZ, (unsigned long)khz) < 0)
		return load_error(index, "clock rate", errno, e);
	return 0;
}

int cpu_state_load(const struct vm *vm, int vcpu_fd, unsigned int index, const struct saved *s,
		   struct err *e)
{
	if (load_cpuid(vcpu_fd, index, s, e) < 0 || load_tsc_rate(vcpu_fd, index, s, e) < 0 ||
	    load_xsave(vm, vcpu_fd, index, s, e) < 0 ||
	    load_parts(vcpu_fd, index, parts_before, ARRAY_SIZE(parts_before), s, e) < 0 ||
	    load_msrs(vcpu_fd, index, s, e) < 0 ||
	    load_parts(vcpu_fd, index, parts_after, ARRAY_SIZE(parts_after), s, e) < 0)
		return -1;
	return 0;
}
