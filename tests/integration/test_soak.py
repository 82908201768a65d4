"""What many commands in a row leave behind: nothing."""
import os
import re

import pytest

import harness

COMMANDS = 1000


def memory_kb(pid):
    """Private memory of a process of the host."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return sum(map(int, re.findall(r"^Private_\w+: +(\d+) kB", f.read(), re.M)))


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def in_guest(msb, name):
    """Descriptors and memory (kB) of the agent, processes, and those of them that are dead."""
    script = ("ls /proc/1/fd | wc -l; sed -n 's/^VmRSS:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/1/status; "
              "ls -d /proc/[0-9]* | wc -l; grep -h '^State:.Z' /proc/[0-9]*/status | wc -l")
    return list(map(int, msb("exec", name, "--", "sh", "-c", script).ok().split()))


@pytest.fixture
def soaked(fresh, archives):
    """A sandbox of its own: the process ids of others are not to be mistaken for its."""
    fresh("load", "-q", "-i", archives["busybox"]).ok()
    before = set(harness.runtime_processes())
    fresh("create", "-q", "--name", "soak", "-m", "256M", "busybox").ok()
    return fresh, [pid for pid in harness.runtime_processes() if pid not in before]


def test_thousand_commands(soaked):
    msb, processes = soaked
    for _ in range(50):  # buffers have their size, code its pages
        msb("exec", "soak", "--", "true").ok()
    # The emulator translates code and keeps that; the others have nothing to keep.
    own = [pid for pid in processes if "qemu" not in os.readlink(f"/proc/{pid}/exe")]
    fds = [descriptors(pid) for pid in processes]
    memory = sum(map(memory_kb, own))
    guest = in_guest(msb, "soak")
    for i in range(COMMANDS):
        r = msb("exec", "soak", "--", "echo", str(i))
        assert (r.rc, r.out) == (0, b"%d\n" % i)
    # There may or may not be a connection in advance for the next command.
    harness.wait_for(lambda: all(descriptors(pid) <= n + 2 for pid, n in zip(processes, fds)),
                     "descriptors")
    assert sum(map(memory_kb, own)) < memory + 1024
    after = in_guest(msb, "soak")
    assert after[0] <= guest[0] + 1
    assert after[1] < guest[1] + 256
    assert abs(after[2] - guest[2]) < 10  # the kernel's own threads come and go
    assert after[3] == 0


def test_create_runs_no_command(msb, box, inside):
    """Nothing but the agent, the kernel, and the command that looks."""
    out = inside("for p in /proc/[0-9]*; do echo $(tr '\\0' ' ' <$p/cmdline); done").text()
    commands = {line.split()[0] for line in out.splitlines() if line.strip()}
    assert commands == {"/init", "sh"}
