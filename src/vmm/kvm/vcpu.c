/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/kvm/vcpu.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "vmm/jail.h"
#include "vmm/kvm/kvm_internal.h"
#include "vmm/kvm/layout.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define KICK_SIGNAL SIGUSR1
#define STACK_SIZE  (64 * KIB)
#define RFLAGS_IF   (1ULL << 9)

/* Those that can end a machine. */
static const char *const exit_names[] = {
	[KVM_EXIT_UNKNOWN] = "unknown exit",
	[KVM_EXIT_EXCEPTION] = "exception",
	[KVM_EXIT_HYPERCALL] = "hypercall",
	[KVM_EXIT_DEBUG] = "debug exception",
	[KVM_EXIT_HLT] = "halt",
	[KVM_EXIT_IRQ_WINDOW_OPEN] = "interrupt window",
	[KVM_EXIT_SHUTDOWN] = "triple fault",
	[KVM_EXIT_FAIL_ENTRY] = "failed entry",
	[KVM_EXIT_INTERNAL_ERROR] = "internal error of KVM",
	[KVM_EXIT_SYSTEM_EVENT] = "system event",
};

static const char *exit_name(uint32_t reason)
{
	return reason < ARRAY_SIZE(exit_names) && exit_names[reason] ? exit_names[reason]
								     : "unexpected exit";
}

/* --- Diagnosis. */

/* #syscalls?:vcpu ioctl(KVM_GET_REGS) ioctl(KVM_GET_SREGS) write -- the guest crashed */
static void log_registers(const struct vcpu *v)
{
	struct kvm_sregs s;
	struct kvm_regs r;

	if (ioctl(v->fd, KVM_GET_REGS, &r) < 0 || ioctl(v->fd, KVM_GET_SREGS, &s) < 0) {
		log_error("vcpu %u: its registers cannot be read: %s", v->index, strerror(errno));
		return;
	}
	log_error("rip %016llx rsp %016llx rflags %016llx cs %04x%s", r.rip, r.rsp, r.rflags,
		  s.cs.selector, s.cs.l ? " (64-bit)" : "");
	log_error("rax %016llx rbx %016llx rcx %016llx rdx %016llx", r.rax, r.rbx, r.rcx, r.rdx);
	log_error("rsi %016llx rdi %016llx rbp %016llx r8  %016llx", r.rsi, r.rdi, r.rbp, r.r8);
	log_error("r9  %016llx r10 %016llx r11 %016llx r12 %016llx", r.r9, r.r10, r.r11, r.r12);
	log_error("r13 %016llx r14 %016llx r15 %016llx efer %llx", r.r13, r.r14, r.r15, s.efer);
	log_error("cr0 %llx cr2 %llx cr3 %llx cr4 %llx", s.cr0, s.cr2, s.cr3, s.cr4);
}

/* One line about the exit that the machine ends with; the registers go to the log. */
static void describe(const struct vcpu *v, char *text, size_t size)
{
	const struct kvm_run *run = v->run;
	int n = snprintf(text, size, "vcpu %u: %s (exit reason %u", v->index,
			 exit_name(run->exit_reason), run->exit_reason);

	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		snprintf(text + n, size - (size_t)n, ", suberror %u)", run->internal.suberror);
	else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		snprintf(text + n, size - (size_t)n, ", hardware reason %#llx)",
			 run->fail_entry.hardware_entry_failure_reason);
	else
		snprintf(text + n, size - (size_t)n, ")");
	log_error("%s", text);
	log_registers(v);
}

/* --- Exits. */

static bool handle_io(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (!ports_access(&v->m->ports, run->io.direction == KVM_EXIT_IO_OUT, run->io.port,
				  data, run->io.size))
			continue;
		kvm_machine_reset(v->m);
		return false;
	}
	return true;
}

static void handle_mmio(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	uint64_t offset = run->mmio.phys_addr - GUEST_MMIO;
	uint64_t device = offset / VIRTIO_MMIO_SIZE;

	if (run->mmio.phys_addr < GUEST_MMIO || device >= v->m->n_devices) {
		memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
		return;
	}
	offset %= VIRTIO_MMIO_SIZE;
	if (run->mmio.is_write)
		virtio_mmio_write(v->m->devices[device], offset, run->mmio.data, run->mmio.len);
	else
		virtio_mmio_read(v->m->devices[device], offset, run->mmio.data, run->mmio.len);
}

/* False when the machine is over. */
static bool handle_exit(struct vcpu *v)
{
	char text[160];

	switch (v->run->exit_reason) {
	case KVM_EXIT_IO:
		return handle_io(v);
	case KVM_EXIT_MMIO:
		handle_mmio(v);
		return true;
	case KVM_EXIT_SHUTDOWN:
		describe(v, text, sizeof(text));
		kvm_machine_end(v->m, MACHINE_END_TRIPLE_FAULT, "%s", text);
		return false;
	default:
		describe(v, text, sizeof(text));
		kvm_machine_end(v->m, MACHINE_END_ERROR, "%s", text);
		return false;
	}
}

/* --- The thread. */

/* #syscalls:run ioctl(KVM_RUN) */
static void run(struct vcpu *v)
{
	int r = jail_thread(JAIL_VCPU);

	if (r < 0) {
		kvm_machine_end(v->m, MACHINE_END_ERROR, "cannot confine vcpu %u: %s", v->index,
				strerror(-r));
		return;
	}
	for (;;) {
		if (ioctl(v->fd, KVM_RUN, 0) == 0) {
			if (!handle_exit(v))
				return;
			continue;
		}
		/*
		 * Only here the mode counts: KVM finishes an access that was just handled when it
		 * is entered again, and before that the vCPU is in no state to be kept.
		 */
		if (errno == EINTR && !kvm_machine_park(v->m, v))
			return;
		if (errno == EINTR || errno == EAGAIN)
			continue;
		log_error("vcpu %u cannot run: %s", v->index, strerror(errno));
		log_registers(v);
		kvm_machine_end(v->m, MACHINE_END_ERROR, "vcpu %u cannot run: %s", v->index,
				strerror(errno));
		return;
	}
}

static void *thread_main(void *arg)
{
	struct vcpu *v = arg;
	char name[16];

	snprintf(name, sizeof(name), "vcpu%u", v->index);
	pthread_setname_np(pthread_self(), name);
	run(v);
	kvm_machine_leave(v->m);
	return NULL;
}

int vcpu_start(struct vcpu *v)
{
	pthread_attr_t attr;
	sigset_t mask, old;
	int r;

	sigfillset(&mask);
	sigdelset(&mask, KICK_SIGNAL);
	pthread_sigmask(SIG_SETMASK, &mask, &old);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	r = pthread_create(&v->thread, &attr, thread_main, v);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	v->started = r == 0;
	return -r;
}

/* #syscalls:kvm tgkill(SIGUSR1) getpid rt_sigprocmask */
void vcpu_kick(struct vcpu *v)
{
	if (!v->started)
		return;
	/* The flag is for a thread that is on its way into KVM, the signal for one that is there.
	 */
	__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(v->thread, KICK_SIGNAL);
}

void vcpu_join(struct vcpu *v)
{
	if (v->started)
		pthread_join(v->thread, NULL);
	v->started = false;
}

/* #syscalls:vcpu rt_sigreturn */
static void on_kick_signal(int signal)
{
	/* Interrupting KVM_RUN is all that it is for. */
}

void vcpu_install_signal(void)
{
	sigaction(KICK_SIGNAL, &(struct sigaction){.sa_handler = on_kick_signal}, NULL);
}

/* --- Life. */

int vcpu_init(struct vcpu *v, struct kvm_machine *m, unsigned int index, struct err *e)
{
	void *run;

	*v = (struct vcpu){.m = m, .index = index, .fd = -1};
	v->fd = ioctl(m->vm.fd, KVM_CREATE_VCPU, index);
	if (v->fd < 0 || fcntl(v->fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_sys(e, errno, "KVM cannot make processor %u", index);
	run = mmap(NULL, m->vm.run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (run == MAP_FAILED)
		return err_sys(e, errno, "cannot map the run area of processor %u", index);
	v->run = run;
	return 0;
}

void vcpu_release(struct vcpu *v)
{
	vcpu_join(v);
	if (v->run)
		munmap(v->run, v->m->vm.run_size);
	close_fd(&v->fd);
	v->run = NULL;
}

/* #syscalls:kvm ioctl(KVM_GET_MP_STATE) ioctl(KVM_GET_REGS) */
bool vcpu_halted(const struct vcpu *v)
{
	struct kvm_mp_state s;
	struct kvm_regs r;

	if (ioctl(v->fd, KVM_GET_MP_STATE, &s) < 0 || ioctl(v->fd, KVM_GET_REGS, &r) < 0)
		return false;
	if (s.mp_state == KVM_MP_STATE_UNINITIALIZED)
		return true;
	return s.mp_state == KVM_MP_STATE_HALTED && !(r.rflags & RFLAGS_IF);
}
