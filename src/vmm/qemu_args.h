/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines of the emulator and of its guest's kernel. */
#pragma once

#include "base/util.h"
#include "vmm/machine.h"

/*
 * The kernel's command line; an owned string. `tsc_khz` 0 leaves the counter to the guest. NULL
 * with an error when the whole would be longer than kernels accept.
 */
char *qemu_kernel_cmdline(const struct machine_spec *spec, uint32_t tsc_khz, struct err *e);

/*
 * Appends the arguments, starting with argv[0]. `sockets[i]` is the emulator's end of the
 * vhost-user connection of device i. Descriptors keep their numbers in the child.
 */
void qemu_args(struct strv *args, const struct machine_spec *spec, const char *cmdline,
	       const int *sockets);
