"""`msb logs`: of sandboxes that run, that have stopped, that did not start."""
import json
import os
import signal

import pytest

import harness
from harness import Terminal, finish, read_until


@pytest.fixture
def running(msb, name):
    msb("create", "-q", "-n", name, "busybox").ok()
    return name


def follow(msb, name, *args):
    """A follower that is known to be at work: it has printed what was there."""
    msb("exec", name, "--", "echo", "first").ok()
    process = msb.popen("logs", "-f", *args, name)
    read_until(process.stdout.fileno(), b"first\n")
    return process


# --- what is there -------------------------------------------------------------------------------


def test_filters(msb, name):
    msb("run", "-n", name, "busybox", "--", "sh", "-c", "echo alpha; echo beta >&2").ok()
    msb("exec", name, "--", "echo", "gamma").ok()
    assert msb("logs", "--grep", "^(al|ga)", name).ok() == b"alpha\ngamma\n"
    assert msb("logs", "--grep", "a$", "--source", "stdout", "--tail", "1", name).ok() == b"gamma\n"
    assert msb("logs", "--since", "1d", "--source", "stderr", name).ok() == b"beta\n"
    assert msb("logs", "--until", "1d", name).ok() == b""
    entries = [json.loads(line) for line in
               msb("logs", "--format", "json", "--source", "stdout", name).ok().splitlines()]
    assert [e["d"] for e in entries] == ["alpha\n", "gamma\n"]
    times = [e["t"] for e in entries]
    assert msb("logs", "--since", times[1], name).ok() == b"gamma\n"
    assert msb("logs", "--until", times[1], "--source", "stdout", name).ok() == b"alpha\n"
    ids = [e["id"] for e in entries]
    assert msb("logs", "--show-id", "--source", "stdout", name).text().splitlines() == [
        f"[id:{ids[0]:3}] alpha", f"[id:{ids[1]:3}] gamma"]


def test_sources_of_the_system(msb, name):
    """Markers, kernel and runtime in the order of their times, and each of its own."""
    msb("run", "-n", name, "busybox", "--", "sh", "-c", "echo '<0>heard' >/dev/kmsg").ok()
    system = msb("logs", "--source", "system", "--timestamps", name).text().splitlines()
    texts = [line.partition(" ")[2] for line in system]
    order = [texts.index(text) for text in (
        "the monitor is started", "--- sandbox started ---", "heard", "--- sandbox stopped ---")]
    assert order == sorted(order)
    assert sorted(line.partition(" ")[0] for line in system) == [
        line.partition(" ")[0] for line in system]
    kernel = msb("logs", "--source", "kernel", name).text().splitlines()
    assert "heard" in kernel and set(kernel) <= set(texts)
    assert "--- sandbox started ---" not in kernel
    assert b"the monitor is started" in msb("logs", "--source", "runtime", name).ok()
    for line in msb("logs", "--source", "kernel", "--json", name).ok().splitlines():
        entry = json.loads(line)
        assert entry["s"] == "system" and entry["from"] == "kernel" and entry["t"] > "2020"


def test_escape_sequences(msb, name):
    """They are for terminals."""
    msb("run", "-n", name, "busybox", "--", "printf", "\\033[31mred\\033[0m\\n").ok()
    assert msb("logs", name).ok() == b"red\n"
    assert msb("logs", "--color", "always", name).ok() == b"\x1b[31mred\x1b[0m\n"
    assert b"\\u001b[31m" in msb("logs", "--json", name).ok()
    for args, expected in (((), b"\x1b[31mred\x1b[0m\r\n"), (("--no-color",), b"red\r\n"),
                           (("--color-sessions", "--color", "never"), b"red\r\n")):
        terminal = Terminal(msb, "logs", *args, name)
        assert terminal.wait() == (0, expected)
        terminal.close()


@pytest.mark.parametrize("args, saying", [
    (("--since", "tomorrow"), "--since"), (("--until", "30"), "--until"),
    (("--grep", "("), "--grep"), (("--color", "red"), "--color"), (("--format", "xml"), "json"),
    (("--source", "stdout,"), "--source")])
def test_wrong_values(msb, args, saying):
    msb("logs", *args, "box").failed(2, saying)


def test_no_logs(msb, name):
    msb("run", "-n", name, "busybox", "--", "true").ok()
    os.rename(os.path.join(msb.path, "sandboxes", name, "logs"),
              os.path.join(msb.path, "sandboxes", name, "elsewhere"))
    assert msb("logs", name).ok() == b""
    assert msb("logs", "-f", name).ok() == b""


# --- following -----------------------------------------------------------------------------------


def test_follow(msb, running):
    """Entries appear as they come, and the end comes after the last of them."""
    process = follow(msb, running)
    msb("exec", running, "--", "echo", "second").ok()
    read_until(process.stdout.fileno(), b"second\n")
    msb("exec", running, "--", "echo", "last").ok()
    msb("stop", running).ok()
    r = finish(process)
    assert (r.rc, r.out, r.err) == (0, b"last\n", b"")


def test_follow_before_the_first_line(msb, name):
    """The command prints nothing until it is told to."""
    msb("run", "-d", "-q", "-n", name, "busybox", "--", "sh", "-c",
        "while [ ! -e /go ]; do sleep 0.1; done; echo went; exit 3").ok()
    process = msb.popen("logs", "-f", "--source", "stdout,system", name)
    read_until(process.stdout.fileno(), b"sandbox started ---\n")
    msb("exec", name, "--", "touch", "/go").ok()
    r = finish(process)
    lines = r.out.decode().splitlines()
    assert r.rc == 0 and "went" in lines and "--- sandbox stopped ---" in lines
    assert lines.count("went") == 1


def test_follow_with_filters(msb, running):
    msb("exec", running, "--", "echo", "old").ok()
    process = follow(msb, running, "--tail", "1", "--grep", "first|wanted")
    msb("exec", running, "--", "echo", "not this").ok()
    msb("exec", running, "--", "echo", "wanted").ok()
    assert read_until(process.stdout.fileno(), b"wanted\n") == b"wanted\n"
    msb("rm", "-f", running).ok()
    assert finish(process).rc == 0


def test_follow_ends_with_a_killed_monitor(msb, name):
    others = harness.below(os.getpid(), "msb-monitor")
    msb("create", "-q", "-n", name, "busybox").ok()
    monitor, = set(harness.below(os.getpid(), "msb-monitor")) - set(others)
    process = follow(msb, name)
    os.kill(monitor, signal.SIGKILL)
    assert finish(process).rc == 0


def test_follow_is_interrupted(msb, running):
    process = follow(msb, running)
    process.send_signal(signal.SIGINT)
    assert finish(process).rc == 130
    assert msb("exec", running, "--", "echo", "alive").ok() == b"alive\n"


def test_follow_without_a_reader(msb, running):
    """`msb logs -f | head -1` ends although nothing more is printed."""
    process = follow(msb, running)
    process.stdout.close()
    process.stdout = None
    assert finish(process).rc == 0


def test_follow_until(msb, running):
    """A time that has passed is the end at once; that of a sandbox which has stopped, too."""
    assert msb("logs", "-f", "--until", "1s", running).rc == 0
    msb("stop", running).ok()
    assert msb("logs", "-f", running).ok() == b""


# --- failures ------------------------------------------------------------------------------------


@pytest.mark.skipif(harness.MACHINE != "qemu", reason="breaks the emulator")
def test_boot_error(msb, name, tmp_path):
    broken = tmp_path / "qemu"
    broken.write_text("#!/bin/sh\necho 'it is unwell' >&2\nexit 1\n")
    broken.chmod(0o755)
    msb("run", "-n", name, "busybox", "--", "true", env={"MSB_QEMU": str(broken)}).failed(1)
    r = msb("logs", "--source", "runtime", name)
    assert r.err.decode().splitlines()[0] == f"error: failed to start '{name}'"
    assert r.err.count("→".encode()) == 2 and b"it is unwell" in r.out
    first = json.loads(msb("logs", "--json", name).ok().splitlines()[0])
    assert first["s"] == "boot-error" and first["d"]
