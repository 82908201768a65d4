/* SPDX-License-Identifier: Apache-2.0 */
/* The choice of what runs a guest on this host, before anything is started. */
#pragma once

#include "sandbox/spec.h"

/* The emulator, an owned path, or NULL. MSB_QEMU names one outside PATH. */
char *machine_find_qemu(void);

/*
 * Resolves "auto", "kvm" or "qemu" (NULL: auto) to a machine that can run here, and finds the
 * emulator for qemu (owned path in `ret_qemu`, else NULL). On a terminal it says in one line when
 * `auto` had to do without KVM, unless `quiet`. ERR_UNSUPPORTED with the reason when it cannot.
 */
int machine_choose(const char *wanted, bool quiet, enum machine_kind *ret, char **ret_qemu,
		   struct err *e);
