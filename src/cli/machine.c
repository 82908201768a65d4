/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/machine.h"

#include "base/process.h"
#include "vmm/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QEMU_NAME "qemu-system-x86_64"

char *machine_find_qemu(void)
{
	const char *path = secure_getenv("MSB_QEMU");

	if (path && *path)
		return access(path, X_OK) == 0 ? xstrdup(path) : NULL;
	return program_find(QEMU_NAME);
}

int machine_choose(const char *wanted, bool quiet, enum machine_kind *ret, char **ret_qemu,
		   struct err *e)
{
	enum machine_kind kind = MACHINE_AUTO;
	char reason[PROBE_REASON_MAX] = "";
	char *qemu = NULL;
	bool kvm;

	if (wanted && machine_kind_parse(wanted, &kind) < 0)
		return err_set(e, ERR_INVALID, "unknown machine '%s'", wanted);
	kvm = kind != MACHINE_QEMU && probe_kvm(NULL, reason);
	if (kind == MACHINE_KVM && !kvm) {
		err_set(e, ERR_UNSUPPORTED, "KVM cannot be used here: %s", reason);
		return err_hint(e, "--machine qemu runs the sandbox under software emulation");
	}
	if (!kvm) {
		qemu = machine_find_qemu();
		if (!qemu) {
			err_set(e, ERR_UNSUPPORTED,
				"cannot run a sandbox: " QEMU_NAME " is not installed%s%s",
				*reason ? " and KVM cannot be used: " : "", reason);
			return err_hint(e, "install it: apt-get install qemu-system-x86");
		}
		if (kind == MACHINE_AUTO && !quiet && isatty(STDERR_FILENO))
			fprintf(stderr, "info: software emulation (QEMU), since %s\n", reason);
	}
	*ret = kvm ? MACHINE_KVM : MACHINE_QEMU;
	*ret_qemu = qemu;
	return 0;
}
