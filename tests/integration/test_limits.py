"""How long a sandbox may run, and how long nobody may use it."""
import json

import pytest

import harness

pytestmark = pytest.mark.lab

FOR_EVER = ["sleep", "1000000"]


def wait_stopped(msb, name):
    harness.wait_for(lambda: msb.sandboxes()[name] == "Stopped", f"{name} goes on")


def last_end(msb, name):
    end = json.loads(msb("inspect", "--format", "json", name).ok())["last_end"]
    return end["cause"], end["reason"]


def test_refused(msb, tmp_path):
    for option in ("--max-duration", "--idle-timeout"):
        for command in ("run", "create"):
            msb(command, option, "0", "busybox").failed(2, "must be at least 1 s")
            msb(command, option, "soon", "busybox").failed(2, "invalid duration")


def test_foreground(msb, name):
    """The command is ended with its sandbox, and the client says why."""
    reason = "the sandbox ended: its maximum duration of 1s is over"
    msb("run", "-q", "-m", "128M", "--max-duration", "1", "busybox", "--", *FOR_EVER).failed(1, reason)
    msb("run", "-q", "-m", "128M", "--name", name, "--max-duration", "1s", "busybox", "--",
        *FOR_EVER).failed(1, reason)
    assert last_end(msb, name) == ("MaxDurationExceeded", "its maximum duration of 1s is over")
    # The limit is the sandbox's, whoever starts it.
    msb("exec", name, "--", *FOR_EVER).failed(1, reason)
    assert "Max Duration: 1s\n" in msb("inspect", name).text()


def test_background(msb, name):
    msb("run", "-d", "-q", "-m", "128M", "--name", name, "--max-duration", "1", "busybox", "--",
        *FOR_EVER).ok()
    wait_stopped(msb, name)
    assert last_end(msb, name)[0] == "MaxDurationExceeded"


def test_idle(msb, name):
    """A command that takes longer than the idle time is no idleness; none is."""
    r = msb("run", "-q", "-m", "128M", "--name", name, "--idle-timeout", "1", "busybox", "--",
            "sh", "-c", "sleep 3; echo still here")
    assert r.ok() == b"still here\n"
    assert last_end(msb, name)[0] == "OwnerGone"
    msb("start", "-q", name).ok()
    wait_stopped(msb, name)
    assert last_end(msb, name) == ("IdleTimeout", "idle for 1s")
    assert "Idle Timeout: 1s\n" in msb("inspect", name).text()


def test_other_causes(msb, name):
    msb("run", "-d", "-q", "-m", "128M", "--name", name, "busybox", "--", "false").ok()
    wait_stopped(msb, name)
    assert last_end(msb, name) == ("Failed", "the command exited with status 1")
    msb("start", "-q", name).ok()
    msb("stop", "-q", "-t", "0", name).ok()
    assert last_end(msb, name)[0] == "ShutdownRequested"


def test_touch(msb, name, box):
    """What it does to the clock is tested without one (tests/unit/sandbox)."""
    r = msb("touch", box)
    assert r.ok() == b"" and "✓ Touched" in r.err.decode() and box in r.err.decode()
    r = msb("ping", "--touch", box)
    assert r.ok() == b"" and r.err.count("✓".encode()) == 2, r
    assert b"Reachable" in r.err and b"Touched" in r.err

    msb("run", "-q", "--name", name, "-m", "128M", "--label", "is=off", "busybox", "--", "true").ok()
    msb("touch", "--label", "is=off").failed(1, f"sandbox is not running: {name}")
    r = msb("touch", "-q", box, "absent")
    assert r.rc == 1 and r.err == b"error: sandbox not found: absent\n"
    msb("touch").failed(2, "--label")
