/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msb-vmm: runs one virtual machine and serves its devices.
 *
 * It gets everything it needs as arguments and open descriptors; commands come over a socket
 * (control.h), SIGTERM ends the machine at once. On the events descriptor it writes
 *
 *	start <machine>
 *	emulator <pid>: the process of the vCPUs, if it is another one; only with --stats
 *	end reboot | end shutdown | end panic <text> | end triple-fault <text> |
 *	end killed | end error <text>
 *
 * and exits with 0 when the guest ended by itself, 1 otherwise, 2 for wrong arguments. MSB_DEBUG
 * in the environment lets a debugger attach.
 */
#include "base/cleanup.h"
#include "base/helper.h"
#include "base/log.h"
#include "fs/device.h"
#include "fs/server.h"
#include "virtio/blk.h"
#include "virtio/net.h"
#include "virtio/rng.h"
#include "virtio/vsock.h"
#include "vmm/control.h"
#include "vmm/jail.h"
#include "vmm/machine.h"
#include "vmm/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct vmm {
	struct options options;
	struct loop *loop;
	struct ev signal_ev;
	struct machine *machine;
	struct control control;
	struct stats_page *stats; /* shared with the monitor; our own if it wants to know nothing */
	struct stats_page unshared;
	enum machine_end end;
};

static void on_signal(struct ev *ev, uint32_t events)
{
	struct vmm *v = container_of(ev, struct vmm, signal_ev);

	if (helper_take_signal(ev) && v->machine)
		machine_stop(v->machine);
}

/* Maps the page to count in. What it is a file of is the monitor's business, but it must be there.
 */
static int map_stats(struct vmm *v, struct err *e)
{
	_cleanup_close_ int fd = steal_fd(&v->options.stats_fd);
	struct stat st;
	void *p;

	v->stats = &v->unshared;
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(struct stats_page))
		return err_set(e, ERR_INVALID, "the file for counters is too short");
	p = mmap(NULL, sizeof(struct stats_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, errno, "cannot map the file for counters");
	v->stats = p;
	return 0;
}

static int add_disk(struct machine_spec *spec, struct option_disk *d, struct err *e)
{
	struct disk *disk = disk_new(d->fds, d->n_fds, d->writable);
	struct virtio_device *dev;

	d->n_fds = 0;
	if (!disk && errno == EINVAL)
		return err_set(e, ERR_INVALID,
			       "disk '%s' is not made of regular files of a multiple of 512 bytes",
			       d->serial);
	if (!disk)
		return err_sys(e, errno, "cannot use disk '%s'", d->serial);
	dev = blk_new(disk, d->serial);
	if (!dev)
		return err_sys(e, errno, "cannot set up disk '%s'", d->serial);
	blk_count(dev, d->writable ? &spec->stats->upper : &spec->stats->image);
	spec->devices[spec->n_devices++] = dev;
	return 0;
}

static int add_net(struct machine_spec *spec, struct options *o, struct err *e)
{
	struct net_device_config c = {
		.mtu = (uint16_t)o->net_mtu,
		.rings_fd = o->net_rings_fd,
		.wake_fd = steal_fd(&o->net_wake_fd),
		.call_fd = steal_fd(&o->net_call_fd),
	};
	struct virtio_device *dev;

	memcpy(c.mac, o->net_mac, sizeof(c.mac));
	dev = net_device_new(&c);
	if (!dev)
		return err_sys(e, errno, "cannot set up the network device");
	close_fd(&o->net_rings_fd);
	net_device_count(dev, &spec->stats->net);
	spec->devices[spec->n_devices++] = dev;
	return 0;
}

/*
 * A file of the host costs the guest's kernel more than a kilobyte of memory, so it cannot need
 * more of them than this.
 */
#define SHARE_FILES_PER_MIB 1024
#define SHARE_FILES_MIN     65536

static int add_shares(struct machine_spec *spec, struct options *o, struct err *e)
{
	size_t max = MAX((size_t)o->memory_mib * SHARE_FILES_PER_MIB, (size_t)SHARE_FILES_MIN);
	struct virtio_device *dev;
	unsigned int bad = 0;

	for (unsigned int i = 0; i < o->n_shares; i++)
		if (!o->shares[i].file)
			jail_leave(o->shares[i].fd, !o->shares[i].read_only);
	dev = fs_device_new(o->shares, o->n_shares, max, &bad);
	/* Taken over in any case. */
	o->n_shares = 0;
	if (!dev && errno == EOPNOTSUPP)
		return err_set(e, ERR_UNSUPPORTED,
			       "the file system of share %u keeps no extended attributes, which "
			       "owners and modes of the guest need",
			       bad);
	if (!dev)
		return err_sys(e, errno, "cannot set up share %u", bad);
	spec->devices[spec->n_devices++] = dev;
	return 0;
}

/* In the order in which the guest shall find them: disks first. */
static int make_devices(struct machine_spec *spec, struct options *o, struct err *e)
{
	for (unsigned int i = 0; i < o->n_disks; i++)
		if (add_disk(spec, &o->disks[i], e) < 0)
			return -1;
	if (o->vsock) {
		struct vsock_config c = {
			.guest_cid = o->vsock_cid,
			.listen_fd = steal_fd(&o->vsock_listen_fd),
			.offers_fd = steal_fd(&o->vsock_offers_fd),
		};
		struct virtio_device *dev = vsock_new(&c);

		if (!dev)
			return err_sys(e, errno, "cannot set up the socket device");
		spec->devices[spec->n_devices++] = dev;
	}
	if (o->rng) {
		struct virtio_device *dev = rng_new();

		if (!dev)
			return err_sys(e, errno, "cannot set up the entropy device");
		spec->devices[spec->n_devices++] = dev;
	}
	if (o->n_shares && add_shares(spec, o, e) < 0)
		return -1;
	return o->net ? add_net(spec, o, e) : 0;
}

static void on_end(struct machine *m, enum machine_end end, const char *text);

static int start(struct vmm *v, const struct tsc_sample *tsc, struct err *e)
{
	struct options *o = &v->options;
	struct machine_spec spec = {
		.cpus = o->cpus,
		.memory_mib = o->memory_mib,
		.kernel_fd = o->kernel_fd,
		.initrd_fd = o->initrd_fd,
		.console_fd = o->console_fd,
		.load_fd = o->load_fd,
		.pit = o->pit,
		.cmdline = o->cmdline,
		.qemu = o->qemu,
		.tsc = *tsc,
	};
	char reason[MACHINE_REASON_MAX];
	const struct machine_ops *ops = machine_choose(o->machine, reason, e);

	if (!ops)
		return -1;
	if (reason[0])
		log_info("using machine '%s': %s", ops->name, reason);
	if (control_start(&v->control, v->loop, steal_fd(&o->control_fd), e) < 0)
		return -1;
	if (map_stats(v, e) < 0)
		return -1;
	spec.stats = v->stats;
	if (make_devices(&spec, o, e) < 0) {
		for (unsigned int i = 0; i < spec.n_devices; i++)
			virtio_device_free(spec.devices[i]);
		return -1;
	}
	v->machine = machine_start(ops, v->loop, &spec, e);
	if (!v->machine)
		return -1;
	v->machine->on_end = on_end;
	v->machine->ctx = v;
	close_fd(&o->kernel_fd);
	close_fd(&o->initrd_fd);
	close_fd(&o->load_fd);
	v->control.machine = v->machine;
	helper_event(v->options.events_fd, "start %s", ops->name);
	if (v->machine->emulator && v->stats != &v->unshared)
		helper_event(v->options.events_fd, "emulator %d", v->machine->emulator);
	return 0;
}

static void on_end(struct machine *m, enum machine_end end, const char *text)
{
	struct vmm *v = m->ctx;

	v->end = end;
	if (end == MACHINE_END_ERROR)
		log_error("%s", text);
	helper_event(v->options.events_fd, "end %s%s%s", machine_end_name(end), *text ? " " : "",
		     text);
	loop_stop(v->loop);
}

static int run(struct vmm *v, const struct tsc_sample *tsc, pid_t parent, struct err *e)
{
	int r;

	if (helper_bind(parent, e) < 0 || jail_family(e) < 0)
		return -1;
	v->loop = loop_new();
	if (!v->loop)
		return err_sys(e, errno, "cannot make the event loop");
	v->signal_ev.fn = on_signal;
	if (helper_watch_signals(v->loop, &v->signal_ev, e) < 0 || start(v, tsc, e) < 0) {
		helper_event(v->options.events_fd, "end error %s", e->msg);
		return -1;
	}
	r = loop_run(v->loop);
	return r < 0 ? err_sys(e, -r, "cannot wait for events") : 0;
}

/* #syscalls:main close exit_group */
int main(int argc, char **argv)
{
	struct tsc_sample tsc = tsc_sample_take();
	pid_t parent = getppid();
	struct vmm v = {.signal_ev.fd = -1, .control.ev.fd = -1, .end = MACHINE_END_ERROR};
	struct err e = {};
	int status;

	log_setup("msb-vmm", LOG_WARN);
	if (options_parse(&v.options, argc, argv, &e) < 0)
		goto out;
	if (v.options.help) {
		fputs(options_usage, stdout);
		return 0;
	}
	log_setup("msb-vmm", v.options.log_level);
	/* Our own look comes too late when the parent has died already. */
	if (v.options.parent)
		parent = (pid_t)v.options.parent;
	run(&v, &tsc, parent, &e);
out:
	if (e.code) {
		log_error("%s", e.msg);
		if (e.hint[0])
			fprintf(stderr, "hint: %s\n", e.hint);
	}
	status = e.code ? err_exit_status(&e)
		 : v.end == MACHINE_END_REBOOT || v.end == MACHINE_END_SHUTDOWN ? 0
										: 1;
	control_release(&v.control);
	machine_free(v.machine);
	if (v.loop)
		loop_del(v.loop, &v.signal_ev);
	close_fd(&v.signal_ev.fd);
	loop_free(v.loop);
	options_release(&v.options);
	return status;
}
