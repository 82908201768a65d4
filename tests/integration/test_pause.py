"""msb pause and resume: a machine that stands still."""
import json
import os
import signal

import pytest

import harness
from harness import finish, read_until

pytestmark = pytest.mark.lab

FOR_EVER = ["sleep", "1000000"]


@pytest.fixture
def running(msb, name):
    msb("create", "-q", "-m", "128M", "--name", name, "--label", "is=paused", "busybox").ok()
    return name


def processor_time(processes):
    """What the machine's process has used so far, in ticks."""
    pid = processes.get("qemu-system-x86") or processes["msb-vmm"]
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        user, system = f.read().rsplit(")", 1)[1].split()[11:13]
    return int(user) + int(system)


def test_life(msb, running):
    r = msb("pause", running)
    assert r.ok() == b"" and "✓ Paused" in r.err.decode() and running in r.err.decode()
    assert msb.sandboxes()[running] == "Paused"
    assert running in msb("ps", "-q").text().split()
    assert running not in msb("ls", "--running", "-q").text().split()
    assert running not in msb("ls", "--stopped", "-q").text().split()
    shown = json.loads(msb("inspect", "--format", "json", running).ok())
    assert shown["status"] == "Paused" and shown["last_end"] is None
    msb("pause", "-q", running).ok()  # as it is

    for command in (("exec", running, "--", "true"), ("ping", running), ("start", running),
                    ("run", "--name", running, "busybox", "--", "true")):
        r = msb(*command)
        assert r.rc == 1 and f"error: sandbox is paused: {running}\n" in r.err.decode(), r
        assert f"msb resume {running}" in r.err.decode()
    msb("rm", running).failed(1, "still running")
    assert harness.ask_monitor(msb, op="status")["state"] == "paused"
    assert harness.ask_monitor(msb, op="exec", argv=["true"])["error"]["code"] == "state"
    msb("touch", "-q", running).ok()

    r = msb("resume", "--label", "is=paused")
    assert r.ok() == b"" and "✓ Resumed" in r.err.decode()
    assert msb.sandboxes()[running] == "Running"
    assert msb("exec", running, "--", "echo", "on").ok() == b"on\n"
    msb("resume", "-q", running).ok()


def test_session(msb, running):
    """What runs stands still, and goes on."""
    p = msb.popen("exec", running, "--", "sh", "-c", "while read x; do echo got $x; done")
    p.stdin.write(b"one\n")
    p.stdin.flush()
    read_until(p.stdout.fileno(), b"got one\n")
    msb("pause", "-q", running).ok()
    p.stdin.write(b"two\n")
    p.stdin.flush()
    assert p.poll() is None
    msb("resume", "-q", running).ok()
    read_until(p.stdout.fileno(), b"got two\n")
    p.stdin.close()
    assert p.wait(harness.LIMIT) == 0


def test_stop(msb, running):
    """It is woken to write its files."""
    msb("exec", running, "--", "sh", "-c", "echo kept >/file").ok()
    msb("pause", "-q", running).ok()
    msb("stop", "-q", "-t", "60", running).ok()
    assert msb.sandboxes()[running] == "Stopped"
    msb("pause", running).failed(1, f"sandbox is not running: {running}")
    msb("resume", running).failed(1, f"sandbox is not running: {running}")
    assert msb("exec", running, "--", "cat", "/file").ok() == b"kept\n"


def test_restart(msb, running):
    msb("pause", "-q", running).ok()
    msb("restart", "-q", "-t", "60", running).ok()
    assert msb.sandboxes()[running] == "Running"


def test_force(msb, running):
    msb("pause", "-q", running).ok()
    msb("rm", "-f", "-q", running).ok()
    assert running not in msb.sandboxes()


def test_still(msb, name):
    """Its processors do no work, however much there is."""
    before = harness.runtime_processes()
    msb("run", "-d", "-q", "-m", "128M", "--name", name, "busybox", "--", "sh", "-c",
        "while :; do :; done").ok()
    mine = harness.new_processes(before)
    start = processor_time(mine)
    harness.wait_for(lambda: processor_time(mine) > start + 5, "it is not busy")
    msb("pause", "-q", name).ok()
    still = processor_time(mine)
    for _ in range(3):
        msb("ls").ok()  # takes longer than a tick
    assert processor_time(mine) <= still + 1
    msb("resume", "-q", name).ok()
    harness.wait_for(lambda: processor_time(mine) > still + 5, "it does not go on")


def test_crash(msb, name):
    """A file says that it is paused, but only as long as its monitor lives."""
    before = harness.runtime_processes()
    running = name
    msb("create", "-q", "-m", "128M", "--name", name, "busybox").ok()
    msb("pause", "-q", running).ok()
    folder = harness.run_dir(msb)
    assert "paused" in os.listdir(folder)
    mine = harness.new_processes(before)
    os.kill(mine["msb-monitor"], signal.SIGKILL)
    harness.wait_for_exit(mine.values())
    assert msb.sandboxes()[running] == "Crashed"
    assert "paused" not in os.listdir(folder)
    msb("start", "-q", running).ok()
    assert msb.sandboxes()[running] == "Running"


def test_limits(msb, name):
    """The maximum duration goes on."""
    msb("create", "-q", "-m", "128M", "--name", name, "--max-duration", "3", "--idle-timeout", "1h",
        "busybox").ok()
    msb("pause", "-q", name)  # it may be over already
    harness.wait_for(lambda: msb.sandboxes()[name] == "Stopped", "it goes on")
    end = json.loads(msb("inspect", "--format", "json", name).ok())["last_end"]
    assert end["cause"] == "MaxDurationExceeded"


def test_owner_leaves(msb):
    """The client of a paused sandbox ends, and the sandbox with it."""
    before = harness.runtime_processes()
    p = msb.popen("run", "-m", "128M", "--label", "is=owned", "busybox", "--", "sh", "-c",
                  "echo up; exec sleep 1000000")
    read_until(p.stdout.fileno(), b"up")
    msb("pause", "-q", "--label", "is=owned").ok()
    mine = harness.new_processes(before)
    p.send_signal(signal.SIGKILL)
    finish(p)
    harness.wait_for_exit(mine.values())
    assert "Paused" not in msb.sandboxes().values()


def test_errors(msb, box):
    for command in ("pause", "resume"):
        msb(command).failed(2, "--label")
        msb(command, "absent").failed(1, "sandbox not found: absent")
    assert msb.sandboxes()[box] == "Running"
