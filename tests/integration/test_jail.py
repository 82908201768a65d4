"""msb-vmm under strace: its threads make the system calls that are declared, and no others."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
from collections import defaultdict

import pytest

from vmm import MACHINE, Vmm

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TRANSPORT = {"qemu": "vhost_user", "kvm": "mmio"}[MACHINE]
# Kinds of threads by the names of the threads.
DEVICES = ["blk", "vsock", "rng"] + (["balloon"] if MACHINE == "kvm" else [])
KINDS = {name: f"{name}_{TRANSPORT}" for name in DEVICES}
KINDS["main"] = "main_" + MACHINE
if MACHINE == "kvm":
    KINDS |= {f"vcpu{i}": "vcpu" for i in range(2)}

LINE = re.compile(r"(\w+)\((.*)")
THREAD = re.compile(r"CLONE_THREAD.* = (\d+)$")
NAME = re.compile(r'PR_SET_NAME, "(\w+)"')


def mkjail(option, *sources):
    return subprocess.run([os.path.join(ROOT, "tools/mkjail"), option, *map(str, sources)],
                          capture_output=True, text=True, check=False)


def lists(option):
    """What tools/mkjail makes of the program's sources."""
    sources = [path for part in ("base", "virtio", "vmm")
               for path in sorted(pathlib.Path(ROOT, "src", part).rglob("*.c"))]
    r = mkjail(option, os.path.join(ROOT, "src/vmm/jail.h"), *sources)
    assert r.returncode == 0, r.stderr
    return r.stdout


def read_thread(path, kind, calls):
    """Adds what a thread called under its filter; returns the threads that it made."""
    threads, filtered = [], False
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f:
            assert "SIGSYS" not in line, (kind, line)
            if not (match := LINE.match(line)):
                continue
            call, rest = match.groups()
            if filtered:
                calls[kind].add((call, rest))
            elif call == "seccomp" and rest.startswith("SECCOMP_SET_MODE_FILTER"):
                filtered = True
            elif call == "prctl" and (name := NAME.search(rest)):
                kind = KINDS[name.group(1)]
            elif call == "clone3" and (thread := THREAD.search(rest)):
                threads.append(thread.group(1))
    assert filtered, kind
    return threads


def read_trace(folder, pid, calls):
    """The system calls of msb-vmm's threads as (name, arguments) by kind; strace -ff has a file for
    each."""
    path = os.path.join(folder, "trace.")
    for thread in read_thread(path + str(pid), KINDS["main"], calls):
        assert not read_thread(path + thread, "unnamed", calls)


def matches(entry, call, rest):
    """Does a declaration allow the call?"""
    if entry["name"] != call:
        return False
    given = [set(text.split("|")) for text in re.split(r", |\)", rest)]
    if entry["inverted"]:
        return not any(value in given[i] for i, value in entry["arguments"])
    return all(set(value.split("|")) == given[i] for i, value in entry["arguments"])


def exercise(vmm):
    """Everything that the devices can be asked for."""
    vmm.boot()
    # More than sockets hold, to a reader that has not begun; and to one that never does.
    slow = vmm.start("head", "-c", "3000000", "/dev/zero")
    gone = vmm.start("cat", "/dev/zero")
    assert vmm.exec("wc", "-c", stdin=b"x" * 500000).out == b"500000\n"
    gone.close()
    assert len(vmm.finish(slow).out) == 3000000
    assert vmm.shell("dd if=/dev/hwrng of=/dev/null bs=512 count=4").rc == 0
    r = vmm.shell("dd if=/dev/urandom of=/x bs=1M count=16 && sync && rm /x && sync &&"
                  "mkdir -p /mnt && mount -t ext4 /dev/vdb /mnt && fstrim /mnt && umount /mnt")
    assert r.rc == 0, r
    assert vmm.exec("nproc").out == b"2\n"
    assert vmm.command("pause") == "ok"
    assert vmm.command("resume") == "ok"
    if MACHINE == "kvm":
        vmm.save(vmm.path("saved"))


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Calls by kind of thread in two runs: the guest ends the one, we end the other."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    calls = defaultdict(set)
    for stop in (False, True):
        folder = tmp_path_factory.mktemp("jail")
        # Without MSB_DEBUG strace may not read the names of the threads. QEMU goes untraced.
        with Vmm(folder, cpus=2, env={"MSB_DEBUG": "1"},
                 wrapper=["strace", "-ff", "-b", "execve", "-o", f"{folder}/trace", "--"]) as vmm:
            if stop:
                vmm.next_offer()
                pid = vmm.pid()
                os.kill(pid, signal.SIGTERM)
                assert vmm.wait() == 1
                assert vmm.events() == [f"start {MACHINE}", "end killed"]
            else:
                exercise(vmm)
                pid = vmm.pid()
                vmm.shutdown()
                assert vmm.wait() == 0
                assert vmm.events() == [f"start {MACHINE}", "end reboot"]
        read_trace(folder, pid, calls)
    return calls


def test_every_thread_is_confined(seen):
    assert set(seen) == set(KINDS.values())


@pytest.mark.parametrize("kind", sorted(set(KINDS.values())))
def test_declared_calls(seen, kind):
    entries = json.loads(lists("--json"))[kind]
    unknown = {f"{call}({rest}" for call, rest in seen[kind]
               if not any(matches(entry, call, rest) for entry in entries)}
    assert not unknown
    unused = [entry["text"] for entry in entries if not entry["maybe"]
              and not any(matches(entry, call, rest) for call, rest in seen[kind])]
    assert not unused


# --- tools/mkjail ------------------------------------------------------------------------------


@pytest.mark.parametrize("declaration, complaint", [
    ("#syscalls:x openat", "no thread may call openat"),
    ("#syscalls:x socket", "no thread may call socket"),
    ("#syscalls:x clone3", "no thread may call clone3"),
    ("#syscalls?:x execve -- sometimes", "no thread may call execve"),
    ("#syscalls:x ioctl", "ioctl is declared with conditions on 1 arguments"),
    ("#syscalls:x socketpair(AF_UNIX)", "socketpair is declared with conditions on 2 arguments"),
    ("#syscalls:x read(3)", "read is declared with conditions on 0 arguments"),
    ("#syscalls:x mmap(!PROT_EXEC) mmap(PROT_READ)", "do not go together"),
    ("#syscalls:x read, write", "'read,' is no system call"),
    ("#syscalls?:x read", "a reason belongs to #syscalls?"),
    ("#syscalls:x read -- because", "a reason belongs to #syscalls?"),
    ("#syscalls: read", "malformed declaration"),
    ("#syscalls:x read */ int /* #syscalls:y write", "is no system call"),
    ("and #syscalls:x read", "malformed declaration"),
    ("#syscalls:y read", "nothing is declared for 'x'"),
    ("#syscalls:x read\n * #syscalls:y read", "no kind of thread names y"),
])
def test_refused_declarations(tmp_path, declaration, complaint):
    source = tmp_path / "source.c"
    source.write_text(f"\tJAIL_KIND, /* #union: x */\n/*\n * {declaration}\n */\n")
    r = mkjail(f"--header={tmp_path / 'out.h'}", source)
    assert r.returncode == 1 and complaint in r.stderr
    assert not (tmp_path / "out.h").exists()


def test_union(tmp_path):
    """Each call once; in the order of the tags; sure if one part makes it for sure."""
    source = tmp_path / "source.c"
    source.write_text("\tJAIL_ONE,   /* #union: b a */\n"
                      "\tJAIL_OTHER, /* #union: a */\n"
                      "/* #syscalls:a read write */\n"
                      "/* #syscalls?:b write close -- at times */\n")
    found = json.loads(mkjail("--json", source).stdout)
    assert [(c["text"], c["maybe"]) for c in found["one"]] == [
        ("write", False), ("close", True), ("read", False)]
    assert [c["text"] for c in found["other"]] == ["read", "write"]


def test_documentation():
    """docs/security.md shows the lists as they are."""
    text = pathlib.Path(ROOT, "docs/security.md").read_text(encoding="utf-8")
    assert lists("--table") in text
