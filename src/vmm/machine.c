/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine.h"

#include "vmm/kvm/kvm.h"
#include "vmm/probe.h"
#include "vmm/qemu.h"

static const char *const end_names[MACHINE_END_COUNT] = {
	[MACHINE_END_REBOOT] = "reboot", [MACHINE_END_SHUTDOWN] = "shutdown",
	[MACHINE_END_PANIC] = "panic",   [MACHINE_END_TRIPLE_FAULT] = "triple-fault",
	[MACHINE_END_KILLED] = "killed", [MACHINE_END_ERROR] = "error",
};

const char *machine_end_name(enum machine_end end)
{
	return end_names[end];
}

const struct machine_ops *machine_choose(const char *word, char reason[MACHINE_REASON_MAX],
					 struct err *e)
{
	reason[0] = '\0';
	if (str_eq(word, "qemu"))
		return &qemu_machine_ops;
	if (!str_eq(word, "kvm") && !str_eq(word, "auto")) {
		err_set(e, ERR_USAGE, "unknown machine '%s'", word);
		err_hint(e, "machines are auto, kvm and qemu");
		return NULL;
	}
	if (probe_kvm(NULL, reason))
		return &kvm_machine_ops;
	if (str_eq(word, "auto"))
		return &qemu_machine_ops;
	err_set(e, ERR_UNSUPPORTED, "machine 'kvm' cannot be used: %s", reason);
	err_hint(e, "--machine=qemu runs the same guest in software emulation");
	return NULL;
}
