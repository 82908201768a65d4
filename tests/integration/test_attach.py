"""Leaving sessions running, and coming back to them."""
import json
import re

import pytest

import harness

pytestmark = pytest.mark.lab

QUIET_SHELL = b"stty -echo; PS1=; echo sta''rted\n"
DETACH = b"\x1d"


def start_shell(t):
    t.write(QUIET_SHELL)
    t.expect(b"started")


def leave(t, keys=DETACH):
    """Detaches; the number of the session."""
    t.write(keys)
    status, output = t.wait()
    assert status == 0
    assert t.settings() == t.before
    return re.search(rb"session (\d+) of sandbox '[^']+' goes on", output).group(1).decode()


def sessions(msb, name):
    return json.loads(msb("attach", "--list", "--format", "json", name).ok())


def test_detach_and_come_back(msb, terminal, box):
    t = terminal("exec", box)
    start_shell(t)
    t.write(b"value=kept\n")
    number = leave(t)
    assert sessions(msb, box) == [{"id": int(number), "command": "/bin/sh", "tty": True,
                                   "attached": False, "workload": False}]
    table = msb("attach", "-l", box).text().splitlines()
    assert table[1].split() == [number, "detached", "/bin/sh"]
    t = terminal("attach", box, rows=40, cols=90)
    t.write(b"echo $value; stty size; exit 5\n")
    seen = t.expect(b"40 90")
    assert b"kept" in seen
    assert t.wait()[0] == 5
    assert t.settings() == t.before
    assert sessions(msb, box) == []


def test_output_while_nobody_looks(msb, terminal, box, inside):
    """The program does not wait for its reader, and what it printed is in the log."""
    t = terminal("exec", box, "--", "sh", "-c",
                 "echo ready; read x; seq 1 100000; echo fini''shed; touch /tmp/seen; read x")
    t.expect(b"ready")
    leave(t)
    t = terminal("attach", box)
    t.write(b"\n")
    number = leave(t)
    harness.wait_for(lambda: inside("test -e /tmp/seen").rc == 0, "the program is stuck")
    assert "100000\nfinished" in msb("logs", "--color", "never", box).text().replace("\r", "")
    inside("rm /tmp/seen").ok()
    t = terminal("attach", box, number)
    t.write(b"\n")
    assert t.wait()[0] == 0


def test_several(msb, terminal, box):
    numbers = []
    for i in range(2):
        t = terminal("exec", box)
        start_shell(t)
        t.write(b"number=%d\n" % i)
        numbers.append(leave(t))
    r = msb("attach", box)
    assert "several" in r.failed()
    assert "msb attach --list" in r.err.decode()
    for i, number in enumerate(numbers):
        t = terminal("attach", box, number)
        t.write(b"echo $number; exit\n")
        t.expect(b"%d" % i)
        assert t.wait()[0] == 0


def test_attached_twice(msb, terminal, box):
    t = terminal("exec", box)
    start_shell(t)
    number = leave(t)
    t = terminal("attach", box)
    t.write(b"echo ba''ck\n")
    t.expect(b"back")
    msb("attach", box, number).failed(saying="attached to the session already")
    t.write(b"exit\n")
    assert t.wait()[0] == 0


def test_run_goes_on_without_its_client(msb, terminal, name):
    """The sandbox then ends with the command, not with msb."""
    t = terminal("run", "--name", name, "busybox")
    start_shell(t)
    leave(t)
    assert msb.sandboxes()[name] == "Running"
    t = terminal("attach", name)
    t.write(b"exit 3\n")
    assert t.wait()[0] == 3
    harness.wait_for(lambda: msb.sandboxes()[name] == "Stopped", "it goes on")
    end = json.loads(msb("inspect", "--format", "json", name).ok())["last_end"]
    assert end["exit_code"] == 3


def test_unnamed_run_goes_on_without_its_client(msb, terminal):
    t = terminal("run", "busybox")
    start_shell(t)
    t.write(DETACH)
    name = re.search(rb"of sandbox '([^']+)' goes on", t.wait()[1]).group(1).decode()
    assert msb.sandboxes()[name] == "Running"
    t = terminal("attach", name)
    t.write(b"exit\n")
    assert t.wait()[0] == 0
    harness.wait_for(lambda: name not in msb.sandboxes(), "it goes on")


def test_exec_that_started_the_sandbox(msb, terminal, name):
    msb("create", "-q", "--name", name, "busybox").ok()
    msb("stop", "-q", name).ok()
    t = terminal("exec", name)
    start_shell(t)
    leave(t)
    assert msb.sandboxes()[name] == "Running"
    t = terminal("attach", name)
    t.write(b"exit\n")
    assert t.wait()[0] == 0
    harness.wait_for(lambda: msb.sandboxes()[name] == "Stopped", "it goes on")


def test_background_command_on_a_terminal(msb, terminal, name):
    assert msb("run", "-d", "-t", "--name", name, "busybox", "--", "sh").text() == f"{name}\n"
    t = terminal("attach", name)
    start_shell(t)
    leave(t)
    t = terminal("attach", name)
    t.write(b"tty; exit 4\n")
    t.expect(b"/dev/pts/")
    assert t.wait()[0] == 4


def test_background_command_without_a_terminal(msb, name):
    """Its output can be watched; who watches can leave in any way without ending it."""
    msb("run", "-d", "--name", name, "busybox", "--", "sh", "-c",
        "while ! test -e /stop; do echo tick; sleep 0.05; done; echo last; exit 6").ok()
    p = msb.popen("attach", name)
    harness.read_until(p.stdout.fileno(), b"tick")
    p.kill()
    harness.finish(p)
    assert msb.sandboxes()[name] == "Running"
    p = msb.popen("attach", name, stdin=None)
    harness.read_until(p.stdout.fileno(), b"tick")
    msb("exec", name, "--", "touch", "/stop").ok()
    r = harness.finish(p)
    assert r.rc == 6
    assert r.out.endswith(b"last\n")


def test_other_keys(terminal, box):
    t = terminal("exec", "--detach-keys", "ctrl-p,ctrl-q", box)
    start_shell(t)
    leave(t, b"\x10\x11")
    t = terminal("attach", "--detach-keys", "x,y", box)
    t.write(b"echo x''x\n")  # the first key alone is passed on
    t.expect(b"xx")
    leave(t, b"xy")
    t = terminal("attach", box)
    t.write(b"exit\n")
    assert t.wait()[0] == 0


def test_no_keys(terminal, box):
    t = terminal("exec", "--detach-keys", "", box, "--", "sh", "-c",
                 "stty raw -echo; echo ready; dd bs=1 count=1 2>/dev/null | od -An -tx1")
    t.expect(b"ready")
    t.write(DETACH)
    t.expect(b"1d")
    assert t.wait()[0] == 0


def test_nothing_to_attach_to(msb, box, name):
    msb("attach", box).failed(saying="no session to attach to")
    msb("attach", box, "12345").failed(saying="no such session")
    msb("attach", box, "first").failed(2, "not the number of a session")
    msb("attach", "nobody").failed(saying="sandbox not found")
    r = msb("attach", "--list", box)
    assert (r.rc, r.out, r.err) == (0, b"", b"No sessions.\n")
    msb("exec", "--detach-keys", "ctrl-1", box, "--", "true").failed(2, "ctrl-X")
    msb("create", "-q", "--name", name, "busybox").ok()
    msb("stop", "-q", name).ok()
    msb("attach", name).failed(saying="not running")


def test_client_that_dies_takes_its_command_with_it(msb, box, inside):
    """Unless it was detached: a connection that just ends is no farewell."""
    p = msb.popen("exec", box, "--", "sh", "-c", "echo ready; exec sleep 54321")
    harness.read_until(p.stdout.fileno(), b"ready")
    p.kill()
    harness.finish(p)
    harness.wait_for(lambda: inside("ps | grep '[s]leep 54321'").rc == 1, "it goes on")
