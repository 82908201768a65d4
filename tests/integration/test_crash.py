"""Processes that are killed: nothing survives them, and every later command tells the truth."""
import os
import signal
import subprocess

import pytest

import harness
from harness import finish

pytestmark = pytest.mark.lab

SLEEP = ["sh", "-c", "echo ready; exec sleep 1000000"]
# Moments of a start that differ in what already exists; the outcome must be the same in all.
MOMENTS = [0, 0.003, 0.01, 0.03, 0.06, 0.1, 0.2, 0.4, 0.8]


def start(msb, *options):
    """A run whose command is known to be running; msb's process and those of the runtime."""
    before = set(harness.runtime_processes())
    p = msb.popen("run", *options, "busybox", "--", *SLEEP)
    harness.read_until(p.stdout.fileno(), b"ready")
    return p, set(harness.runtime_processes()) - before


def one(pids, name):
    """The one among the processes that has the name."""
    processes = harness.all_processes()
    [pid] = [p for p in pids if processes[p].name == name]
    return pid


def kill_after(process, moment, number):
    try:
        process.wait(timeout=moment)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    return finish(process).rc


@pytest.mark.parametrize("options", [[], ["--name"]])
def test_killed_client(msb, name, options):
    """The sandbox ends with the msb run that owns it."""
    p, runtime = start(msb, *options, *([name] if options else []))
    assert len(runtime) == len(harness.SANDBOX_PROCESSES)
    p.kill()
    finish(p)
    harness.wait_for_exit(runtime)
    assert msb.sandboxes().get(name) == ("Stopped" if options else None)


@pytest.mark.parametrize("victim", harness.SANDBOX_PROCESSES)
def test_killed_runtime(msb, name, victim):
    """Whichever dies takes the others along; the client ends with an error."""
    p, runtime = start(msb, "--name", name)
    os.kill(one(runtime, victim), signal.SIGKILL)
    r = finish(p)
    assert r.rc == 1 and b"error: " in r.err
    harness.wait_for_exit(runtime)
    assert msb.sandboxes()[name] == "Crashed"
    assert msb("exec", name, "--", "echo", "again").ok() == b"again\n"
    assert msb.sandboxes()[name] == "Stopped"


@pytest.mark.parametrize("victim", harness.SANDBOX_PROCESSES)
def test_killed_runtime_of_an_unnamed_one(msb, victim):
    p, runtime = start(msb)
    os.kill(one(runtime, victim), signal.SIGKILL)
    r = finish(p)
    assert r.rc == 1 and b"error: " in r.err
    harness.wait_for_exit(runtime)


@pytest.mark.parametrize("victim", harness.SANDBOX_PROCESSES)
def test_killed_runtime_of_a_detached_one(msb, name, victim):
    before = set(harness.runtime_processes())
    msb("run", "-d", "--name", name, "busybox", "--", *SLEEP).ok()
    runtime = set(harness.runtime_processes()) - before
    os.kill(one(runtime, victim), signal.SIGKILL)
    harness.wait_for_exit(runtime)
    assert msb.sandboxes()[name] == "Crashed"
    msb("rm", name).ok()


def test_killed_client_of_exec_ends_its_command(msb, box, inside):
    p = msb.popen("exec", box, "--", "sh", "-c", "echo $$; exec sleep 1000000")
    pid = int(harness.read_until(p.stdout.fileno(), b"\n"))
    p.kill()
    finish(p)
    harness.wait_for(lambda: inside(f"kill -0 {pid}").rc != 0, "the command lives on")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_at_any_moment_of_a_start(msb, number):
    """Nothing is left, and nothing of it is ever listed, whenever the client dies."""
    kept = set(msb.sandboxes())
    before = set(harness.runtime_processes())
    for moment in MOMENTS:
        p = msb.popen("run", "-m", "128M", "busybox", "--", "sleep", "1000000")
        # 130: interrupted before there was a command that could have been sent a signal
        assert kill_after(p, moment, number) in (-number, 128 + number, 130)
        harness.wait_for_exit(set(harness.runtime_and_forked()) - before)
        assert set(msb.sandboxes()) == kept
    assert len(msb.leftovers()) == 2 * len(kept)


def test_named_one_killed_at_any_moment_of_a_start(msb, name):
    """Its files stay usable: the next start finds a whole disk."""
    before = set(harness.runtime_processes())
    for moment in MOMENTS:
        p = msb.popen("run", "-m", "128M", "--name", name, "busybox", "--", "sleep", "1000000")
        kill_after(p, moment, signal.SIGKILL)
        harness.wait_for_exit(set(harness.runtime_and_forked()) - before)
        assert msb.sandboxes().get(name) in (None, "Created", "Stopped", "Crashed", "Failed")
    r = msb("run", "--name", name, "busybox", "--", "sh", "-c", "echo x >/file; cat /file")
    assert r.ok() == b"x\n"


def test_guest_kernel_panic(msb, name):
    """A crash of the guest is one of the sandbox, and told apart from an ordinary end."""
    r = msb("run", "-m", "64M", "--name", name, "busybox", "--", "sh", "-c",
            "echo 2 >/proc/sys/vm/panic_on_oom; tail /dev/zero")
    r.failed(1)
    assert msb.sandboxes()[name] == "Crashed"
    assert msb("exec", name, "--", "echo", "again").ok() == b"again\n"


def test_out_of_memory_in_the_guest(msb):
    """Only the command that wanted too much dies."""
    r = msb("run", "-m", "64M", "busybox", "--", "sh", "-c", "tail /dev/zero; echo $?")
    assert r.ok() == b"137\n"


def test_killed_agent(msb, box, inside):
    """Process 1 of the guest takes no signals from inside."""
    assert inside("kill -9 1; kill -TERM 1; kill -INT 1; echo alive").out == b"alive\n"


def test_stale_files_of_a_crash(fresh, archives):
    """Directories that no row names do not disturb, and go when their name is used."""
    fresh("load", "-q", "-i", archives["busybox"]).ok()
    stale = os.path.join(fresh.path, "sandboxes/old/logs")
    os.makedirs(stale)
    with open(os.path.join(stale, "exec.log"), "w", encoding="utf-8") as f:
        f.write("from another life\n")
    fresh("run", "--name", "old", "busybox", "--", "echo", "new").ok()
    assert fresh("logs", "old").ok() == b"new\n"
