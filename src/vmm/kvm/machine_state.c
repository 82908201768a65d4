/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest's clock shows when it goes on: kvm-clock continues where it was saved, so nothing
 * in the guest sees a jump of its monotonic time; the time of day is then behind until the agent is
 * told (operation `restored`), which also stirs new entropy into the kernel's generator.
 */
#include "vmm/kvm/machine_state.h"

#include "vmm/kvm/cpu_state.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#define IRQCHIPS 3 /* KVM_IRQCHIP_PIC_MASTER, _PIC_SLAVE, _IOAPIC */

static int save_error(const char *what, int error, struct err *e)
{
	return err_sys(e, error, "the %s cannot be saved", what);
}

static int load_error(const char *what, int error, struct err *e)
{
	return err_sys(e, error, "the %s cannot be loaded", what);
}

/*
 * --- Saving.
 *
 * #syscalls:kvm ioctl(KVM_GET_IRQCHIP) ioctl(KVM_GET_CLOCK)
 * #syscalls?:kvm ioctl(KVM_GET_PIT2) -- machines with an interval timer
 */

static int save_pit(const struct vm *vm, struct buf *records)
{
	struct kvm_pit_state2 pit = {};

	if (ioctl(vm->fd, KVM_GET_PIT2, &pit) < 0)
		return -errno;
	return saved_add(records, SAVED_PIT, 0, &pit, sizeof(pit));
}

static int save_vm(const struct vm *vm, struct buf *records, struct err *e)
{
	struct kvm_clock_data clock = {};
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < IRQCHIPS; i++) {
		struct kvm_irqchip chip = {.chip_id = i};

		r = ioctl(vm->fd, KVM_GET_IRQCHIP, &chip) < 0 ? -errno : 0;
		if (r == 0)
			r = saved_add(records, SAVED_IRQCHIP, i, &chip, sizeof(chip));
	}
	if (r == 0 && vm->pit)
		r = save_pit(vm, records);
	if (r < 0)
		return save_error("interrupt controllers", -r, e);
	r = ioctl(vm->fd, KVM_GET_CLOCK, &clock) < 0 ? -errno : 0;
	/* Only the guest's time counts; the host's it was taken at must not be made up for. */
	clock.flags = 0;
	if (r == 0)
		r = saved_add(records, SAVED_CLOCK, 0, &clock, sizeof(clock));
	return r < 0 ? save_error("guest's clock", -r, e) : 0;
}

static int save_devices(struct kvm_machine *m, struct buf *records, struct err *e)
{
	struct ports_state ports;
	int r;

	ports_save(&m->ports, &ports);
	r = saved_add(records, SAVED_PORTS, 0, &ports, sizeof(ports));
	for (unsigned int i = 0; r == 0 && i < m->n_devices; i++) {
		struct virtio_mmio_state state;

		virtio_mmio_save(m->devices[i], &state);
		r = saved_add(records, SAVED_DEVICE, i, &state, sizeof(state));
	}
	return r < 0 ? save_error("devices", -r, e) : 0;
}

static int save_all(struct kvm_machine *m, int fd, struct err *e)
{
	struct buf records;
	int r = 0;

	saved_init(&records);
	for (unsigned int i = 0; r == 0 && i < m->n_vcpus; i++)
		r = cpu_state_save(&m->vm, m->vcpus[i].fd, i, &records, e);
	if (r == 0)
		r = save_vm(&m->vm, &records, e);
	if (r == 0)
		r = save_devices(m, &records, e);
	if (r == 0)
		r = saved_write(fd, &records,
				&(struct saved_machine){.ram = &m->vm.ram,
							.n_vcpus = m->n_vcpus,
							.n_devices = m->n_devices,
							.pit = m->vm.pit},
				e);
	buf_release(&records);
	return r;
}

int machine_state_save(struct kvm_machine *m, int fd, struct err *e)
{
	int r;

	/* Devices write to guest memory on their own. */
	for (unsigned int i = 0; i < m->n_devices; i++)
		virtio_mmio_freeze(m->devices[i]);
	r = save_all(m, fd, e);
	for (unsigned int i = 0; i < m->n_devices; i++)
		virtio_mmio_thaw(m->devices[i]);
	return r;
}

/* --- Loading. */

static int load_pit(const struct vm *vm, const struct saved *s, struct err *e)
{
	struct kvm_pit_state2 pit;
	const void *saved = saved_get(s, SAVED_PIT, 0, sizeof(pit), e);

	if (!saved)
		return -1;
	memcpy(&pit, saved, sizeof(pit));
	if (ioctl(vm->fd, KVM_SET_PIT2, &pit) < 0)
		return load_error("interval timer", errno, e);
	return 0;
}

static int load_vm(const struct vm *vm, const struct saved *s, struct err *e)
{
	const void *saved;
	struct kvm_clock_data clock;

	for (unsigned int i = 0; i < IRQCHIPS; i++) {
		struct kvm_irqchip chip;

		saved = saved_get(s, SAVED_IRQCHIP, i, sizeof(chip), e);
		if (!saved)
			return -1;
		memcpy(&chip, saved, sizeof(chip));
		chip.chip_id = i;
		if (ioctl(vm->fd, KVM_SET_IRQCHIP, &chip) < 0)
			return load_error("interrupt controllers", errno, e);
	}
	if (vm->pit && load_pit(vm, s, e) < 0)
		return -1;
	saved = saved_get(s, SAVED_CLOCK, 0, sizeof(clock), e);
	if (!saved)
		return -1;
	memcpy(&clock, saved, sizeof(clock));
	clock.flags = 0;
	if (ioctl(vm->fd, KVM_SET_CLOCK, &clock) < 0)
		return load_error("guest's clock", errno, e);
	return 0;
}

static int load_devices(struct kvm_machine *m, const struct saved *s, struct err *e)
{
	struct ports_state ports;
	const void *saved = saved_get(s, SAVED_PORTS, 0, sizeof(ports), e);

	if (!saved)
		return -1;
	memcpy(&ports, saved, sizeof(ports));
	ports_load(&m->ports, &ports);
	for (unsigned int i = 0; i < m->n_devices; i++) {
		struct virtio_mmio_state state;

		saved = saved_get(s, SAVED_DEVICE, i, sizeof(state), e);
		if (!saved)
			return -1;
		memcpy(&state, saved, sizeof(state));
		if (virtio_mmio_load(m->devices[i], &state) < 0)
			return err_set(e, ERR_INVALID, "device %u is not the one that was saved",
				       i);
	}
	return 0;
}

int machine_state_load(struct kvm_machine *m, const struct saved *s, struct err *e)
{
	if (s->head.n_devices != m->n_devices)
		return err_set(e, ERR_INVALID, "the saved machine has %u devices, this one %u",
			       s->head.n_devices, m->n_devices);
	for (unsigned int i = 0; i < m->n_vcpus; i++)
		if (cpu_state_load(&m->vm, m->vcpus[i].fd, i, s, e) < 0)
			return -1;
	return load_vm(&m->vm, s, e) < 0 ? -1 : load_devices(m, s, e);
}
