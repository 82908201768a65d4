"""How a machine ends: each way has its own name, and nobody is left waiting."""
import json
import os
import struct

import pytest

from vmm import LIB, Vmm

PANIC = ("mount -t proc proc /proc 2>/dev/null; echo 2 >/proc/sys/vm/panic_on_oom;"
         "exec tail /dev/zero")


@pytest.mark.lab
@pytest.mark.parametrize("script, status, reason", [
    ("poweroff -f; sleep 100", "Stopped", "the guest switched itself off"),
    ("reboot -f; sleep 100", "Stopped", "the guest rebooted"),
    (PANIC, "Crashed", "kernel panic: Out of memory"),
])
def test_ends_of_a_guest(msb, name, script, status, reason):
    """The client hears of it, and it is kept with the sandbox."""
    r = msb("run", "--name", name, "-m", "64M", "busybox", "--", "sh", "-c", script)
    r.failed(1, "the sandbox ended: " + reason)
    assert msb.sandboxes()[name] == status
    with open(os.path.join(msb.path, "sandboxes", name, "end.json"), encoding="utf-8") as f:
        assert json.load(f)["reason"].startswith(reason)
    # It starts again.
    assert msb("run", "-q", "--name", name, "busybox", "--", "echo", "hi").ok() == b"hi\n"


# --- kernels of the test's own, which end in ways that Linux never would ----------------------

LOAD_ADDRESS = 0x100000
EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
PHDR = struct.Struct("<IIQQQQQQ")


def elf(code, notes=b""):
    """A kernel that consists of some machine code, entered at its first byte."""
    head = EHDR.size + 2 * PHDR.size
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    data = EHDR.pack(ident, 2, 62, 1, LOAD_ADDRESS, EHDR.size, 0, 0, EHDR.size, PHDR.size, 2, 0, 0,
                     0)
    data += PHDR.pack(1, 7, head, LOAD_ADDRESS, LOAD_ADDRESS, len(code), len(code), 4096)
    data += PHDR.pack(4, 4, head + len(code), 0, 0, len(notes), len(notes), 4)
    return (data + code + notes).ljust(4096, b"\0")


# The note that makes it a PVH kernel: entered in 32-bit mode without paging.
PVH = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", LOAD_ADDRESS)


@pytest.fixture
def end_of(tmp_path):
    """The last event of a machine that runs some code, its exit status and its log."""
    def run(code, notes=b""):
        kernel, log = tmp_path / "kernel", tmp_path / "log"
        kernel.write_bytes(elf(code, notes))
        with open(log, "wb") as stderr, Vmm(tmp_path, machine="kvm", memory=64, disks=False,
                                            kernel=str(kernel), stderr=stderr) as vm:
            event, status = vm.end()
        return event, status, log.read_text(), vm.console()
    return run


@pytest.mark.lab
@pytest.mark.kvm
class TestKernels:
    def test_reset(self, end_of):
        event, status, log, _ = end_of(b"\xb0\xfe\xe6\x64\xf4")  # mov al, 0xfe; out 0x64, al; hlt
        assert (event, status, log) == ("end reboot", 0, "")

    def test_triple_fault(self, end_of):
        event, status, log, _ = end_of(b"\x0f\x0b")  # ud2, with an empty interrupt table
        assert event.startswith("end triple-fault vcpu 0") and status == 1
        assert "rip" in log and "cr3" in log

    def test_something_that_kvm_cannot_do(self, end_of):
        """Execution of a device's registers."""
        event, status, log, _ = end_of(b"\xb8\x00\x00\x00\xd0\xff\xe0", PVH)  # jmp 0xd0000000
        assert event.startswith("end error vcpu 0: ") and status == 1
        assert "rip" in log and "cr3" in log

    def test_console_and_a_partial_line(self, end_of):
        code = b"\x66\xba\xf8\x03"  # mov dx, 0x3f8
        for byte in b"one\ntw":
            code += b"\xb0" + bytes([byte]) + b"\xee"  # mov al, byte; out dx, al
        event, _, _, console = end_of(code + b"\xb0\xfe\xe6\x64\xf4")
        assert (event, console) == ("end reboot", "one\ntw")

    def test_words_alone_switch_nothing_off(self, end_of):
        """A guest that says that it is halted, and is not, goes on."""
        code = b"\x66\xba\xf8\x03"
        for byte in b"reboot: System halted\n":
            code += b"\xb0" + bytes([byte]) + b"\xee"
        code += b"\xb9\x00\x00\x00\x02\xff\xc9\x75\xfc"  # mov ecx, 1 << 25; dec ecx; jnz
        event, _, _, _ = end_of(code + b"\xb0\xfe\xe6\x64\xf4")
        assert event == "end reboot"


@pytest.mark.lab
@pytest.mark.kvm
def test_pvh_entry(msb, tmp_path):
    """Our kernel has that entry too; it is taken when the note that tells of Linux is not there."""
    with open(os.path.join(LIB, "vmlinux"), "rb") as f:
        data = f.read()
    assert b"\x06\0\0\0" in data and b"Linux\0" in data
    kernel = tmp_path / "vmlinux"
    start = 0
    patched = bytearray(data)
    while (at := data.find(b"Linux\0", start)) >= 0:
        # The name of a note stands behind the sizes of name and contents, and the type.
        if data[at - 12:at - 8] == b"\x06\0\0\0":
            patched[at:at + 5] = b"Other"
        start = at + 1
    kernel.write_bytes(patched)
    out = msb("run", "-q", "--kernel", str(kernel), "busybox", "--", "uname", "-r").text()
    assert out.strip().endswith("-msb")


# --- --kernel ----------------------------------------------------------------------------------


@pytest.mark.lab
def test_a_kernel_of_the_users_own(msb, name, tmp_path):
    """By a relative path, also when it is started from elsewhere."""
    (tmp_path / "kernel").symlink_to(os.path.join(LIB, "vmlinux"))
    msb("create", "-q", "--name", name, "--kernel", "./kernel", "busybox", cwd=tmp_path).ok()
    msb("stop", "-q", name).ok()
    assert msb("exec", "-q", name, "--", "uname", "-r").text().strip().endswith("-msb")


@pytest.mark.parametrize("content, saying", [
    (None, "no such file"), ("", "neither"), ("#!/bin/sh\n" * 500, "neither")])
def test_kernels_that_are_none(msb, name, tmp_path, content, saying):
    path = tmp_path / "kernel"
    if content is not None:
        path.write_text(content)
    msb("create", "--name", name, "--kernel", str(path), "busybox").failed(1, saying)
    msb("create", "--name", name, "--kernel", str(tmp_path), "busybox").failed(1, "not a file")
    assert name not in msb.sandboxes()


@pytest.mark.lab
@pytest.mark.kvm
def test_a_kernel_that_is_broken_inside(msb, name, tmp_path):
    path = tmp_path / "kernel"
    path.write_bytes(elf(b"\xf4")[:100].ljust(4096, b"\xff"))
    r = msb("create", "--name", name, "--kernel", str(path), "busybox")
    r.failed(1, "the kernel cannot be loaded")
    assert msb.sandboxes()[name] == "Failed"
