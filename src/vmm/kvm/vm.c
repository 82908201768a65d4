/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interrupt controllers are KVM's: two PICs and the I/O APIC (a line raised by a device thread
 * through an eventfd reaches the vCPU without any of our vCPU threads) and the local APICs. A split
 * irqchip, with the I/O APIC here, would leave less in the host's kernel, but without PCI there are
 * no message signalled interrupts, so each interrupt of a device would need this process.
 *
 * The interval timer (PIT) costs a thread in the host's kernel and, when the machine goes, a grace
 * period of some 15 ms. A kernel that knows kvm-clock and has a TSC deadline timer never looks at
 * it; so it is there only for hosts without that timer and for kernels that users bring.
 *
 * KVM_CREATE_VM waits for a grace period of the host's kernel, some 9 ms (it makes a thread and
 * puts it into our control groups). So it is called by a thread, while the kernel is read into
 * memory.
 */
#include "vmm/kvm/vm.h"

#include "base/cleanup.h"
#include "vmm/kvm/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sched.h>
#include <sys/ioctl.h>

#define API_VERSION 12

/* --- What the host must have. */

static const struct {
	int capability;
	const char *what;
} required[] = {
	{KVM_CAP_USER_MEMORY, "guest memory of user space"},
	{KVM_CAP_IRQCHIP, "interrupt controllers in the kernel"},
	{KVM_CAP_PIT2, "the interval timer"},
	{KVM_CAP_IRQFD, "interrupts by eventfd"},
	{KVM_CAP_IOEVENTFD, "register writes by eventfd"},
	{KVM_CAP_EXT_CPUID, "choosing the guest's processor features"},
	{KVM_CAP_SET_TSS_ADDR, "real mode on Intel processors"},
	{KVM_CAP_SET_IDENTITY_MAP_ADDR, "real mode on Intel processors"},
	{KVM_CAP_MP_STATE, "several processors"},
	{KVM_CAP_VCPU_EVENTS, "saving pending exceptions"},
	{KVM_CAP_XSAVE, "saving floating point state"},
	{KVM_CAP_XCRS, "saving floating point state"},
	{KVM_CAP_DEBUGREGS, "saving debug registers"},
	{KVM_CAP_ADJUST_CLOCK, "setting the guest's clock"},
	{KVM_CAP_IMMEDIATE_EXIT, "interrupting a running processor"},
};

static int capability(const struct vm *vm, int number)
{
	return ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, number);
}

static int check_capabilities(struct vm *vm, struct err *e)
{
	int version = ioctl(vm->kvm_fd, KVM_GET_API_VERSION, 0), size;

	if (version != API_VERSION)
		return err_set(e, ERR_UNSUPPORTED, "/dev/kvm has version %d, not %d", version,
			       API_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(required); i++) {
		if (capability(vm, required[i].capability) > 0)
			continue;
		err_set(e, ERR_UNSUPPORTED, "KVM of this host lacks %s (capability %d)",
			required[i].what, required[i].capability);
		return err_hint(e, "a newer kernel on the host may have it");
	}
	size = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(struct kvm_run))
		return err_set(e, ERR_UNSUPPORTED, "KVM of this host has no usable run area");
	vm->run_size = (size_t)size;
	vm->tsc_deadline = capability(vm, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	return 0;
}

static int open_kvm(struct vm *vm, struct err *e)
{
	vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm_fd >= 0)
		return 0;
	err_sys(e, errno, "cannot open /dev/kvm");
	if (errno == EACCES)
		return err_hint(e, "add yourself to its group: usermod -aG kvm $USER");
	return -1;
}

/* --- Set-up. */

static int add_memory(const struct vm *vm, uint32_t slot, uint64_t gpa, uint8_t *host,
		      uint64_t size)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

static int set_up(struct vm *vm, struct err *e)
{
	const struct ram *ram = &vm->ram;
	uint64_t identity = GUEST_IDENTITY;
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
	int xsave = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);

	vm->xsave_size = MAX((size_t)MAX(xsave, 0), sizeof(struct kvm_xsave));
	if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 ||
	    ioctl(vm->fd, KVM_SET_TSS_ADDR, GUEST_TSS) < 0)
		return err_sys(e, errno, "KVM does not take its reserved pages");
	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0) < 0 ||
	    (vm->pit && ioctl(vm->fd, KVM_CREATE_PIT2, &pit) < 0))
		return err_sys(e, errno, "KVM cannot make the interrupt controllers");
	if (add_memory(vm, 0, 0, ram->host, ram->low) < 0 ||
	    (ram->size > ram->low &&
	     add_memory(vm, 1, GUEST_4G, ram->host + ram->low, ram->size - ram->low) < 0))
		return err_sys(e, errno, "KVM does not take the guest's memory");
	return 0;
}

/* On the thread. */
static void *make(void *arg)
{
	struct vm *vm = arg;

	vm->fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
	/* KVM hands this descriptor out without the flag. */
	if (vm->fd < 0 || fcntl(vm->fd, F_SETFD, FD_CLOEXEC) < 0)
		vm->make_error = -errno;
	return NULL;
}

static void await_made(struct vm *vm)
{
	if (vm->making)
		pthread_join(vm->maker, NULL);
	vm->making = false;
}

int vm_begin(struct vm *vm, const struct vm_config *c, struct err *e)
{
	int r;

	*vm = (struct vm){.kvm_fd = -1, .fd = -1};
	if (open_kvm(vm, e) < 0 || check_capabilities(vm, e) < 0)
		return -1;
	vm->pit = c->pit || !vm->tsc_deadline;
	r = pthread_create(&vm->maker, NULL, make, vm);
	if (r)
		return err_sys(e, r, "cannot start a thread");
	vm->making = true;
	/* On a single processor it would otherwise begin when this thread has used up its time. */
	sched_yield();
	return ram_map(&vm->ram, c->ram_size, c->ram_fd, c->ram_offset, e);
}

int vm_complete(struct vm *vm, struct err *e)
{
	await_made(vm);
	if (vm->make_error)
		return err_sys(e, -vm->make_error, "KVM cannot make a virtual machine");
	return set_up(vm, e);
}

void vm_release(struct vm *vm)
{
	await_made(vm);
	close_fd(&vm->fd);
	close_fd(&vm->kvm_fd);
	ram_release(&vm->ram);
}

/* --- Events. */

int vm_attach_irq(const struct vm *vm, unsigned int gsi, int event_fd)
{
	struct kvm_irqfd irq = {.fd = (uint32_t)event_fd, .gsi = gsi};

	return ioctl(vm->fd, KVM_IRQFD, &irq) < 0 ? -errno : 0;
}

int vm_attach_write(const struct vm *vm, uint64_t gpa, uint32_t value, int event_fd)
{
	struct kvm_ioeventfd io = {
		.datamatch = value,
		.addr = gpa,
		.len = sizeof(value),
		.fd = event_fd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
	};

	return ioctl(vm->fd, KVM_IOEVENTFD, &io) < 0 ? -errno : 0;
}
