/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 *	main thread	set-up, then its loop: the end, pausing, saving
 *	vcpuN		KVM_RUN and the few exits that are left (vcpu.h)
 *	blk, vsock...	the devices' workers, woken by KVM through eventfds when the guest kicks a
 *			queue, and interrupting it through eventfds that KVM listens to
 *
 * The vCPU threads follow the machine's mode. To change it is to set it under the lock and to kick
 * all of them; they park in kvm_machine_park, which is reached only when KVM_RUN was interrupted,
 * so a parked vCPU has no half-finished access. While all are parked the main thread may use their
 * descriptors.
 *
 * The end. Whoever finds the machine over (a vCPU by its exit, the main thread by request) records
 * it by kvm_machine_end, where the first one counts, and wakes the main thread, which stops all
 * vCPUs, lets the devices deliver what the guest sent, and reports. How the ends are told apart:
 *
 *	reset line pulsed		reboot, or panic if the console said so last
 *	halted for ever			shutdown (there is no ACPI to switch off with): the console
 *					says so, and the vCPUs are looked at before it is believed
 *	triple fault			triple-fault
 *	any exit that is not handled	error, with registers in the log
 */
#include "vmm/kvm/kvm.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "virtio/balloon.h"
#include "vmm/console.h"
#include "vmm/jail.h"
#include "vmm/kvm/boot_cpu.h"
#include "vmm/kvm/cpuid.h"
#include "vmm/kvm/kvm_internal.h"
#include "vmm/kvm/layout.h"
#include "vmm/kvm/machine_state.h"
#include "vmm/kvm/mptable.h"

#include <errno.h>
#include <linux/virtio_mmio.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define OWN_DEVICES         1 /* the balloon */
#define HALT_CHECK_INTERVAL (10 * NSEC_PER_MSEC)
#define HALT_CHECKS_MAX     100

static struct machine *kvm_free(struct machine *m);

/* --- Modes. */

/* Returns the mode before. */
static enum kvm_mode set_mode(struct kvm_machine *m, enum kvm_mode mode)
{
	enum kvm_mode before;

	pthread_mutex_lock(&m->lock);
	before = m->mode;
	m->mode = mode;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
	if (mode == MODE_RUN)
		return before;
	m->ports.serial.cancelled = mode == MODE_STOP;
	for (unsigned int i = 0; i < m->n_vcpus; i++)
		vcpu_kick(&m->vcpus[i]);
	return before;
}

bool kvm_machine_park(struct kvm_machine *m, struct vcpu *v)
{
	bool go_on;

	pthread_mutex_lock(&m->lock);
	if (m->mode == MODE_PAUSE) {
		m->n_busy--;
		pthread_cond_broadcast(&m->changed);
		while (m->mode == MODE_PAUSE)
			pthread_cond_wait(&m->changed, &m->lock);
		m->n_busy++;
	}
	go_on = m->mode == MODE_RUN;
	/* Under the lock: a kick for a later change of the mode comes after this. */
	__atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&m->lock);
	return go_on;
}

void kvm_machine_leave(struct kvm_machine *m)
{
	pthread_mutex_lock(&m->lock);
	m->n_busy--;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
}

/* Returns when no vCPU runs: true if they did before. */
static bool freeze(struct kvm_machine *m)
{
	bool was_running = set_mode(m, MODE_PAUSE) == MODE_RUN;

	pthread_mutex_lock(&m->lock);
	while (m->n_busy)
		pthread_cond_wait(&m->changed, &m->lock);
	pthread_mutex_unlock(&m->lock);
	return was_running;
}

static int kvm_pause(struct machine *base)
{
	freeze(container_of(base, struct kvm_machine, m));
	return 0;
}

/* #syscalls:kvm ioctl(KVM_KVMCLOCK_CTRL) */
static int kvm_resume(struct machine *base)
{
	struct kvm_machine *m = container_of(base, struct kvm_machine, m);

	/* The guest's watchdogs should not count the time; -EINVAL: it does not use the clock. */
	for (unsigned int i = 0; i < m->n_vcpus; i++)
		ioctl(m->vcpus[i].fd, KVM_KVMCLOCK_CTRL, 0);
	set_mode(m, MODE_RUN);
	return 0;
}

static int kvm_save(struct machine *base, int fd, struct err *e)
{
	struct kvm_machine *m = container_of(base, struct kvm_machine, m);
	bool was_running = freeze(m);
	int r;

	ports_flush(&m->ports);
	r = machine_state_save(m, fd, e);
	if (was_running)
		kvm_resume(base);
	return r;
}

/* --- The end. */

/* #syscalls:kvm write */
void kvm_machine_end(struct kvm_machine *m, enum machine_end end, const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&m->lock);
	if (!m->ended) {
		m->ended = true;
		m->end = end;
		va_start(ap, fmt);
		vsnprintf(m->end_text, sizeof(m->end_text), fmt, ap);
		va_end(ap);
	}
	pthread_mutex_unlock(&m->lock);
	event_signal(m->wake_ev.fd);
}

void kvm_machine_reset(struct kvm_machine *m)
{
	char panic[END_TEXT_MAX];

	pthread_mutex_lock(&m->lock);
	memcpy(panic, m->panic, sizeof(panic));
	pthread_mutex_unlock(&m->lock);
	kvm_machine_end(m, panic[0] ? MACHINE_END_PANIC : MACHINE_END_REBOOT, "%s", panic);
}

static void kvm_stop(struct machine *base)
{
	kvm_machine_end(container_of(base, struct kvm_machine, m), MACHINE_END_KILLED, "%s", "");
}

/* On the thread of the vCPU that wrote the line. */
static void on_console_line(void *ctx, const char *line)
{
	struct kvm_machine *m = ctx;
	const char *panic = console_panic(line);
	bool halted = console_halted(line);

	if (!panic && !halted)
		return;
	pthread_mutex_lock(&m->lock);
	/* The last one counts: only it can have been the end. */
	if (panic)
		snprintf(m->panic, sizeof(m->panic), "%s", panic);
	m->said_halted |= halted;
	pthread_mutex_unlock(&m->lock);
	if (halted)
		event_signal(m->wake_ev.fd);
}

/* The kernel said so some instructions before it is so. */
static void check_halted(struct timer *t)
{
	struct kvm_machine *m = container_of(t, struct kvm_machine, halt_timer);
	bool was_running = freeze(m), halted = true;

	for (unsigned int i = 0; i < m->n_vcpus; i++)
		halted &= vcpu_halted(&m->vcpus[i]);
	if (halted)
		kvm_machine_end(m, MACHINE_END_SHUTDOWN, "%s", "");
	else if (--m->halt_checks)
		timer_set(m->loop, t, clock_mono_ns() + HALT_CHECK_INTERVAL);
	if (was_running)
		set_mode(m, MODE_RUN);
}

static bool devices_idle(void *ctx)
{
	struct kvm_machine *m = ctx;

	for (unsigned int i = 0; i < m->n_devices; i++)
		if (!virtio_mmio_idle(m->devices[i]))
			return false;
	return true;
}

static void report_end(void *ctx)
{
	struct kvm_machine *m = ctx;

	m->m.on_end(&m->m, m->end, m->end_text);
}

static void stop_vcpus(struct kvm_machine *m)
{
	set_mode(m, MODE_STOP);
	for (unsigned int i = 0; i < m->n_vcpus; i++)
		vcpu_join(&m->vcpus[i]);
}

/* #syscalls:kvm read */
static void on_wake(struct ev *ev, uint32_t events)
{
	struct kvm_machine *m = container_of(ev, struct kvm_machine, wake_ev);
	bool ended, said_halted;
	uint64_t n;

	if (read(ev->fd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&m->lock);
	ended = m->ended;
	said_halted = m->said_halted;
	m->said_halted = false;
	pthread_mutex_unlock(&m->lock);
	if (!ended) {
		if (said_halted) {
			m->halt_checks = HALT_CHECKS_MAX;
			timer_set(m->loop, &m->halt_timer, clock_mono_ns() + HALT_CHECK_INTERVAL);
		}
		return;
	}
	loop_del(m->loop, ev);
	timer_cancel(m->loop, &m->halt_timer);
	stop_vcpus(m);
	ports_flush(&m->ports);
	drain_start(&m->drain, m->loop, m->end == MACHINE_END_KILLED ? 0 : MACHINE_DRAIN_MAX,
		    devices_idle, report_end, m);
}

/* --- Set-up. */

static unsigned int device_irq(unsigned int index)
{
	return index < IOAPIC_PINS - DEVICE_IRQ_BASE ? DEVICE_IRQ_BASE + index : BALLOON_IRQ;
}

static uint64_t device_page(unsigned int index)
{
	return GUEST_MMIO + (uint64_t)index * VIRTIO_MMIO_SIZE;
}

/* Gives the next device its page and its interrupt line. Takes the device over. */
static int attach_device(struct kvm_machine *m, struct virtio_device *dev, struct err *e)
{
	unsigned int index = m->n_devices;
	int irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), r;
	struct virtio_mmio *t;

	if (irq_fd < 0) {
		virtio_device_free(dev);
		return err_sys(e, errno, "cannot make an event descriptor");
	}
	r = jail_device(dev, JAIL_MMIO);
	if (r == 0)
		r = vm_attach_irq(&m->vm, device_irq(index), irq_fd);
	t = virtio_mmio_new(dev, &m->vm.ram.mem, irq_fd);
	if (!t)
		return err_sys(e, errno, "cannot set up device %u", index);
	m->devices[m->n_devices++] = t;
	for (unsigned int q = 0; r == 0 && q < virtio_mmio_num_queues(t); q++)
		r = vm_attach_write(&m->vm, device_page(index) + VIRTIO_MMIO_QUEUE_NOTIFY, q,
				    virtio_mmio_kick_fd(t, q));
	return r < 0 ? err_sys(e, -r, "KVM does not take the events of device %u", index) : 0;
}

/*
 * For the balloon: the contents go, the mapping stays.
 * #syscalls:balloon madvise(MADV_DONTNEED)
 */
static void discard(void *ctx, void *host, size_t len)
{
	struct stats_page *stats = ctx;

	if (madvise(host, len, MADV_DONTNEED) == 0 && stats)
		stats_add(&stats->balloon_bytes, len);
}

static int attach_devices(struct kvm_machine *m, struct machine_spec *spec, struct err *e)
{
	struct virtio_device *balloon;

	for (unsigned int i = 0; i < spec->n_devices; i++)
		if (attach_device(m, steal_ptr(&spec->devices[i]), e) < 0)
			return -1;
	balloon = balloon_new(discard, spec->stats);
	if (!balloon)
		return err_sys(e, errno, "cannot set up the balloon");
	return attach_device(m, balloon, e);
}

static int make_vcpus(struct kvm_machine *m, unsigned int cpus, struct err *e)
{
	m->vcpus = xcalloc(cpus, sizeof(*m->vcpus));
	for (unsigned int i = 0; i < cpus; i++) {
		m->n_vcpus++; /* released also when it is half made */
		if (vcpu_init(&m->vcpus[i], m, i, e) < 0)
			return -1;
	}
	return 0;
}

/*
 * reboot=k: the reset line, which tells an orderly end from a triple fault. panic=-1: a panic
 * resets at once.
 */
static char *kernel_cmdline(const struct machine_spec *spec)
{
	char *line = xasprintf("console=ttyS0 quiet reboot=k panic=-1%s%s",
			       spec->cmdline ? " " : "", spec->cmdline ? spec->cmdline : "");

	for (unsigned int i = 0; i < spec->n_devices + OWN_DEVICES; i++) {
		char *longer = xasprintf("%s virtio_mmio.device=4K@%#llx:%u", line,
					 (unsigned long long)device_page(i), device_irq(i));

		free(line);
		line = longer;
	}
	return line;
}

/* What a vCPU has before it runs for the first time. */
static int prepare_vcpus(struct kvm_machine *m, struct cpuid *cpuid, struct err *e)
{
	for (unsigned int i = 0; i < m->n_vcpus; i++) {
		int r;

		cpuid_for_vcpu(cpuid, i);
		if (ioctl(m->vcpus[i].fd, KVM_SET_CPUID2, &cpuid->head) < 0)
			return err_sys(e, errno, "KVM does not take the features of processor %u",
				       i);
		r = boot_cpu_init(m->vcpus[i].fd);
		if (r < 0)
			return err_sys(e, -r, "KVM cannot prepare processor %u", i);
	}
	return 0;
}

static int load(struct kvm_machine *m, const struct machine_spec *spec, struct kernel_entry *ret,
		struct err *e)
{
	_cleanup_free_ char *cmdline = kernel_cmdline(spec);

	return kernel_load(&m->vm.ram, spec->kernel_fd, spec->initrd_fd, cmdline, ret, e);
}

/* Everything is there: the first vCPU enters the kernel next. */
static int prepare_entry(struct kvm_machine *m, const struct kernel_entry *entry, struct err *e)
{
	const struct kvm_cpuid_entry2 *features;
	struct cpuid cpuid;
	int r;

	if (cpuid_init(&cpuid, m->vm.kvm_fd, m->n_vcpus, m->vm.tsc_deadline, e) < 0 ||
	    prepare_vcpus(m, &cpuid, e) < 0)
		return -1;
	features = cpuid_find(&cpuid, 1, 0);
	mptable_write(ram_ptr(&m->vm.ram, GUEST_MPTABLE, GUEST_MPTABLE_SIZE), m->n_vcpus,
		      features ? features->eax : 0, features ? features->edx : 0);
	boot_cpu_tables(&m->vm.ram, entry->protocol);
	r = boot_cpu_enter(m->vcpus[0].fd, entry);
	return r < 0 ? err_sys(e, -r, "KVM does not take the first registers") : 0;
}

static int start_vcpus(struct kvm_machine *m)
{
	for (unsigned int i = 0; i < m->n_vcpus; i++) {
		int r;

		pthread_mutex_lock(&m->lock);
		m->n_busy++;
		pthread_mutex_unlock(&m->lock);
		r = vcpu_start(&m->vcpus[i]);
		if (r < 0) {
			kvm_machine_leave(m);
			return r;
		}
	}
	return 0;
}

static int start_threads(struct kvm_machine *m, struct err *e)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < m->n_devices; i++)
		r = virtio_mmio_start(m->devices[i]);
	if (r == 0)
		r = start_vcpus(m);
	if (r < 0)
		return err_sys(e, -r, "cannot start the machine's threads");
	/* On a single processor the guest starts before we go on. */
	sched_yield();
	r = jail_thread(JAIL_MAIN_KVM);
	return r < 0 ? err_sys(e, -r, "cannot confine the main thread") : 0;
}

static int set_up_events(struct kvm_machine *m, const struct machine_spec *spec, struct err *e)
{
	int r;

	m->serial_irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	m->wake_ev.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->serial_irq_fd < 0 || m->wake_ev.fd < 0)
		return err_sys(e, errno, "cannot make an event descriptor");
	ports_init(&m->ports, spec->console_fd, m->serial_irq_fd);
	m->ports.serial.on_line = on_console_line;
	m->ports.serial.ctx = m;
	r = vm_attach_irq(&m->vm, SERIAL_IRQ, m->serial_irq_fd);
	if (r == 0)
		r = loop_add(m->loop, &m->wake_ev, EPOLLIN);
	return r < 0 ? err_sys(e, -r, "cannot set up the machine's events") : 0;
}

/* A machine of the spec's size, to boot a kernel. */
static int set_up_new(struct kvm_machine *m, struct machine_spec *spec, struct err *e)
{
	struct vm_config config = {
		.ram_size = (uint64_t)spec->memory_mib * MIB,
		.ram_fd = -1,
		.pit = spec->pit,
	};
	struct kernel_entry entry;

	/* The kernel is read while KVM makes the machine. */
	if (vm_begin(&m->vm, &config, e) < 0 || load(m, spec, &entry, e) < 0 ||
	    vm_complete(&m->vm, e) < 0 || set_up_events(m, spec, e) < 0 ||
	    make_vcpus(m, spec->cpus, e) < 0 || attach_devices(m, spec, e) < 0)
		return -1;
	return prepare_entry(m, &entry, e);
}

/* One of the saved machine's size, to go on where that was. */
static int set_up_from(struct kvm_machine *m, struct machine_spec *spec, const struct saved *s,
		       struct err *e)
{
	struct vm_config config = {
		.ram_size = s->head.ram_size,
		.ram_fd = spec->load_fd,
		.ram_offset = s->head.ram_offset,
		.pit = s->head.pit,
	};

	if (vm_begin(&m->vm, &config, e) < 0 || vm_complete(&m->vm, e) < 0 ||
	    set_up_events(m, spec, e) < 0 || make_vcpus(m, s->head.n_vcpus, e) < 0 ||
	    attach_devices(m, spec, e) < 0)
		return -1;
	return machine_state_load(m, s, e);
}

static int set_up_saved(struct kvm_machine *m, struct machine_spec *spec, struct err *e)
{
	struct saved s;
	int r = saved_open(&s, spec->load_fd, e);

	if (r == 0)
		r = set_up_from(m, spec, &s, e);
	saved_release(&s);
	return r;
}

static int set_up(struct kvm_machine *m, struct machine_spec *spec, struct err *e)
{
	if ((spec->load_fd >= 0 ? set_up_saved(m, spec, e) : set_up_new(m, spec, e)) < 0)
		return -1;
	vcpu_install_signal();
	if (jail_process(e) < 0)
		return -1;
	return start_threads(m, e);
}

static struct machine *kvm_start(struct loop *loop, struct machine_spec *spec, struct err *e)
{
	struct kvm_machine *m = xcalloc(1, sizeof(*m));
	int r;

	m->m.ops = &kvm_machine_ops;
	m->loop = loop;
	m->serial_irq_fd = -1;
	m->vm.fd = m->vm.kvm_fd = -1;
	m->wake_ev = (struct ev){.fd = -1, .fn = on_wake};
	m->halt_timer.fn = check_halted;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->changed, NULL);
	r = set_up(m, spec, e);
	for (unsigned int i = 0; i < spec->n_devices; i++)
		spec->devices[i] = virtio_device_free(spec->devices[i]);
	spec->n_devices = 0;
	return r < 0 ? kvm_free(&m->m) : &m->m;
}

/* #syscalls:kvm close munmap */
static struct machine *kvm_free(struct machine *base)
{
	struct kvm_machine *m = container_of(base, struct kvm_machine, m);

	stop_vcpus(m);
	drain_cancel(&m->drain);
	timer_cancel(m->loop, &m->halt_timer);
	loop_del(m->loop, &m->wake_ev);
	close_fd(&m->wake_ev.fd);
	for (unsigned int i = 0; i < m->n_devices; i++)
		virtio_mmio_free(m->devices[i]);
	for (unsigned int i = 0; i < m->n_vcpus; i++)
		vcpu_release(&m->vcpus[i]);
	free(m->vcpus);
	close_fd(&m->serial_irq_fd);
	vm_release(&m->vm);
	ports_release(&m->ports);
	pthread_cond_destroy(&m->changed);
	pthread_mutex_destroy(&m->lock);
	free(m);
	return NULL;
}

const struct machine_ops kvm_machine_ops = {
	.name = "kvm",
	.start = kvm_start,
	.pause = kvm_pause,
	.resume = kvm_resume,
	.save = kvm_save,
	.stop = kvm_stop,
	.free = kvm_free,
};
