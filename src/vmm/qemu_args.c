/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/qemu_args.h"

#include "virtio/device.h"

#include <assert.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

/*
 * A kernel takes 2047 bytes (COMMAND_LINE_SIZE less the NUL), of which QEMU uses some for
 * the addresses of the virtio devices: " virtio_mmio.device=512@0xfeb00e00:12" each.
 */
#define CMDLINE_MAX        2047
#define CMDLINE_PER_DEVICE ((size_t)40)

/*
 * Measured rules, each of which cost somebody a hung or crashed guest:
 *  - tsc_early_khz, tsc=reliable, no_timer_check: the guest cannot calibrate its clocks against
 *    the emulated timer when the host is busy; without these it hangs or runs on a 4 ms clock.
 *  - reboot=t and panic=-1: a reset by triple fault is what ends QEMU with -no-reboot. Switching
 *    off does not, as there is no ACPI.
 *  - nolapic_timer, noreplace-smp: save 260 ms of calibration and code patching. Only with one
 *    vCPU: with several and without the LAPIC timer, 2 boots of 240 panicked, with it none.
 */
char *qemu_kernel_cmdline(const struct machine_spec *spec, uint32_t tsc_khz, struct err *e)
{
	char *tsc = tsc_khz ? xasprintf(" tsc_early_khz=%u tsc=reliable", tsc_khz) : xstrdup("");
	char *line = xasprintf("console=ttyS0 quiet reboot=t panic=-1 no_timer_check%s%s%s%s", tsc,
			       spec->cpus == 1 ? " nolapic_timer noreplace-smp" : "",
			       spec->cmdline ? " " : "", spec->cmdline ? spec->cmdline : "");

	free(tsc);
	if (strlen(line) + spec->n_devices * CMDLINE_PER_DEVICE > CMDLINE_MAX) {
		free(line);
		err_set(e, ERR_INVALID, "the kernel command line is too long");
		return NULL;
	}
	return line;
}

static void add(struct strv *args, const char *option, char *value)
{
	strv_add(args, option);
	strv_take(args, value);
}

static const char *device_driver(const struct virtio_device *dev)
{
	switch (dev->id) {
	case VIRTIO_ID_BLOCK:
		return "vhost-user-blk";
	case VIRTIO_ID_VSOCK:
		return "vhost-user-vsock-device";
	case VIRTIO_ID_RNG:
		return "vhost-user-rng";
	default:
		return "";
	}
}

/*
 * QEMU takes the first free place from the last one downwards, and the guest finds devices in that
 * order. We do the same but for place 3, whose interrupt is the clock's: it comes last.
 */
static unsigned int place(unsigned int i)
{
	static const unsigned int places[] = {7, 6, 5, 4, 2, 1, 0, 3};

	static_assert(ARRAY_SIZE(places) == MACHINE_DEVICES_MAX, "a place for each device");
	return places[i];
}

/*
 * The card is QEMU's, its queues are ours. QEMU makes the configuration space, from what ours says,
 * and would offer more than we do: a queue for commands and features that go with it.
 */
static void add_net(struct strv *args, const struct virtio_device *dev, unsigned int i)
{
	struct virtio_net_config config;

	memcpy(&config, dev->config, sizeof(config));
	add(args, "-chardev", xasprintf("socket,id=c%u,path=stdin", i));
	add(args, "-netdev", xasprintf("vhost-user,id=n%u,chardev=c%u,queues=1", i, i));
	add(args, "-device",
	    xasprintf("virtio-net-device,netdev=n%u,bus=virtio-mmio-bus.%u,"
		      "mac=%02x:%02x:%02x:%02x:%02x:%02x,host_mtu=%u,"
		      "ctrl_vq=off,ctrl_rx=off,ctrl_vlan=off,ctrl_rx_extra=off,"
		      "ctrl_mac_addr=off,ctrl_guest_offloads=off,guest_announce=off",
		      i, place(i), config.mac[0], config.mac[1], config.mac[2], config.mac[3],
		      config.mac[4], config.mac[5], config.mtu));
}

/* QEMU makes the configuration space of this one, too. */
static void add_fs(struct strv *args, const struct virtio_device *dev, unsigned int i, int fd)
{
	struct virtio_fs_config config;

	memcpy(&config, dev->config, sizeof(config));
	add(args, "-chardev", xasprintf("socket,id=c%u,fd=%d", i, fd));
	add(args, "-device",
	    xasprintf("vhost-user-fs-device,chardev=c%u,bus=virtio-mmio-bus.%u,tag=%.*s,"
		      "num-request-queues=%u,queue-size=%u",
		      i, place(i), (int)sizeof(config.tag), (const char *)config.tag,
		      config.num_request_queues, dev->queue_size_max));
}

static void add_device(struct strv *args, const struct virtio_device *dev, unsigned int i, int fd)
{
	if (dev->id == VIRTIO_ID_NET) {
		add_net(args, dev, i);
		return;
	}
	if (dev->id == VIRTIO_ID_FS) {
		add_fs(args, dev, i, fd);
		return;
	}
	add(args, "-chardev", xasprintf("socket,id=c%u,fd=%d", i, fd));
	add(args, "-device",
	    xasprintf("%s,chardev=c%u,bus=virtio-mmio-bus.%u", device_driver(dev), i, place(i)));
}

void qemu_args(struct strv *args, const struct machine_spec *spec, const char *cmdline,
	       const int *sockets)
{
	strv_add(args, "qemu-system-x86_64");
	add(args, "-M",
	    xstrdup("microvm,acpi=off,memory-backend=mem,usb=off,graphics=off,"
		    "dump-guest-core=off,mem-merge=off"));
	/*
	 * Options for a faster start were measured in pairs (no option ROMs, sizes of the
	 * translation buffer, one or several threads, allocator settings): none made a difference
	 * that rose above the noise of the measurements. Without the RTC a boot takes 2 s longer.
	 */
	/* Guests newer than 6.1 die at random when cmpxchg16b is emulated. */
	add(args, "-cpu", xstrdup("max,-cx16"));
	add(args, "-accel", xstrdup(spec->cpus > 1 ? "tcg,thread=multi" : "tcg,thread=single"));
	add(args, "-smp", xasprintf("%u", spec->cpus));
	add(args, "-m", xasprintf("%uM", spec->memory_mib));
	add(args, "-object",
	    xasprintf("memory-backend-memfd,id=mem,size=%uM,share=on", spec->memory_mib));
	for (const char *const *p =
		     (const char *const[]){"-nodefaults", "-no-user-config", "-no-reboot", NULL};
	     *p; p++)
		strv_add(args, *p);
	add(args, "-display", xstrdup("none"));
	/* It works for the guest, so it gets the system calls of an emulator only (costs 1 ms). */
	add(args, "-sandbox",
	    xstrdup("on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"));
	/*
	 * The serial port goes to standard output, which is a pipe of ours. Not by "stdio": that
	 * would read from standard input, which may be a socket (qemu_jail.h).
	 */
	add(args, "-chardev", xstrdup("file,id=con,path=/proc/self/fd/1"));
	add(args, "-serial", xstrdup("chardev:con"));
	/* The device models have to be modern ones: vhost-user back-ends know no other. */
	add(args, "-global", xstrdup("virtio-mmio.force-legacy=false"));
	add(args, "-kernel", xasprintf("/proc/self/fd/%d", spec->kernel_fd));
	if (spec->initrd_fd >= 0)
		add(args, "-initrd", xasprintf("/proc/self/fd/%d", spec->initrd_fd));
	add(args, "-append", xstrdup(cmdline));
	for (unsigned int i = 0; i < spec->n_devices; i++)
		add_device(args, spec->devices[i], i, sockets[i]);
}
