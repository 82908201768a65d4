"""Sessions on a terminal, and what signals to msb do."""
import re
import signal

import pytest

import harness

pytestmark = pytest.mark.lab

READY_AND_SLEEP = "echo ready; exec sleep 1000000"


def test_shell_on_a_terminal(terminal):
    """A whole conversation: terminal, size, resizing, interrupting, leaving."""
    t = terminal("run", "busybox", rows=33, cols=77)
    t.write(b"stty -echo; PS1=; echo sta''rted\n")
    t.expect(b"started")
    t.write(b"tty; stty size; echo TERM=$TERM.\n")
    seen = t.expect(b"TERM=")
    assert re.search(rb"/dev/pts/\d+", seen)
    assert b"33 77" in seen
    t.resize(50, 132)
    t.write(b"until [ \"$(stty size)\" = '50 132' ]; do :; done; echo res''ized\n")
    t.expect(b"resized")
    t.write(b"sh -c \"trap 'echo caught; exit' INT; echo waiting; while :; do sleep 1; done\"\n")
    t.expect(b"waiting")
    t.write(b"\x03")
    t.expect(b"caught")
    t.write(b"exit 3\n")
    status, _ = t.wait()
    assert status == 3
    assert t.settings() == t.before


def test_interrupt_key_ends_the_command(terminal):
    t = terminal("run", "busybox", "--", "sh", "-c", READY_AND_SLEEP)
    t.expect(b"ready")
    t.write(b"\x03")
    status, _ = t.wait()
    assert status == 130
    assert t.settings() == t.before


def test_end_of_file_key(terminal, box):
    t = terminal("exec", box, "--", "cat")
    t.write(b"line\r")
    t.expect(b"line\r\nline\r\n")
    t.write(b"\x04")
    assert t.wait()[0] == 0


def test_shell_of_exec_and_its_jobs(terminal, box):
    """The shell controls its terminal: a stopped job comes back to the prompt."""
    t = terminal("exec", box)
    t.write(b"stty -echo; echo sta''rted\n")
    t.expect(b"started")
    t.write(b"sh -c 'echo run''ning; exec sleep 1000000'\n")
    t.expect(b"running")
    t.write(b"\x1a")
    t.expect(b"Stopped")
    t.write(b"kill -9 %1\nexit 0\nexit 0\n")  # the shell may warn once of a stopped job
    assert t.wait()[0] == 0


def test_binary_is_not_touched_by_the_callers_terminal(terminal, box):
    """The caller's terminal is raw: only the guest's adds its carriage returns, once."""
    t = terminal("exec", box, "--", "printf", "a\\nb\\n")
    assert t.expect(b"b\r\n").endswith(b"a\r\nb\r\n")
    assert t.wait()[0] == 0


def test_tty_option_without_a_terminal(msb, box):
    r = msb("exec", "-t", box, "--", "sh", "-c", "tty; echo err >&2")
    assert re.fullmatch(rb"/dev/pts/\d+\r\nerr\r\n", r.ok())


def test_tty_option_of_run(msb):
    r = msb("run", "-t", "busybox", "--", "sh", "-c", "tty; stty size")
    assert re.fullmatch(rb"/dev/pts/\d+\r\n24 80\r\n", r.ok())


def test_no_terminal_unless_there_is_one(msb, box):
    r = msb("exec", box, "--", "tty")
    assert (r.rc, r.out) == (1, b"not a tty\n")


@pytest.mark.skipif(harness.kvm_is_promising(), reason="KVM may be usable here")
def test_notice_of_emulation_on_a_terminal(terminal):
    """Only there: scripts get clean error output, which other tests rely on."""
    t = terminal("run", "--machine", "auto", "busybox", "--", "true")
    status, output = t.wait()
    assert status == 0
    assert b"info: software emulation" in output


def test_large_output_on_a_terminal(terminal, box):
    t = terminal("exec", box, "--", "sh", "-c", "seq 1 20000; echo 'the' 'end'")
    seen = t.expect(b"the end")
    assert seen.split(b"the end")[0].split()[-20000:] == [b"%d" % i for i in range(1, 20001)]
    assert t.wait()[0] == 0


@pytest.mark.parametrize("number, status", [
    (signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signal_ends_the_command(msb, number, status):
    p = msb.popen("run", "busybox", "--", "sh", "-c", READY_AND_SLEEP)
    harness.read_until(p.stdout.fileno(), b"ready")
    p.send_signal(number)
    assert harness.finish(p).rc == status


def test_signal_that_the_command_handles(msb, box):
    script = "trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 1; done"
    p = msb.popen("exec", box, "--", "sh", "-c", script)
    harness.read_until(p.stdout.fileno(), b"ready\n")
    p.send_signal(signal.SIGTERM)
    r = harness.finish(p)
    assert (r.rc, r.out) == (9, b"bye\n")


def test_second_signal_does_not_wait(msb):
    """A command that ignores the first one does not keep the caller."""
    p = msb.popen("run", "busybox", "--", "sh", "-c",
                  "trap 'echo ignored' INT; echo ready; while :; do sleep 1; done")
    harness.read_until(p.stdout.fileno(), b"ready")
    p.send_signal(signal.SIGINT)
    harness.read_until(p.stdout.fileno(), b"ignored")
    p.send_signal(signal.SIGINT)
    assert harness.finish(p).rc == 130
