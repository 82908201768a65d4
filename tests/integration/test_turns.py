"""Commands that change one sandbox's life take turns; --replace."""
import os
import signal

import pytest

import oci

import harness
from harness import finish

pytestmark = pytest.mark.lab

FOR_EVER = ["sleep", "1000000"]


def create(msb, name, *options):
    return msb("create", "-q", "-m", "128M", "--name", name, *options, "busybox")


class Turn:
    """The lock on a name, held by these tests in the place of a command."""

    def __init__(self, home, name, text="1234 msb walk\n"):
        folder = os.path.join(home.path, "run/locks")
        os.makedirs(folder, exist_ok=True)
        self.path = os.path.join(folder, name + ".lock")
        self.file = open(self.path, "w", encoding="utf-8")
        harness.fcntl.flock(self.file, harness.fcntl.LOCK_EX)
        self.file.write(text)
        self.file.flush()

    def end(self):
        os.unlink(self.path)
        self.file.close()


@pytest.fixture
def turn(msb, name):
    held = Turn(msb, name)
    yield held
    if not held.file.closed:
        held.end()


# --- turns -------------------------------------------------------------------------------------


COMMANDS = [["create", "-m", "128M", "--name", "NAME", "busybox"],
            ["run", "-m", "128M", "--name", "NAME", "busybox", "--", "true"],
            ["run", "-d", "-m", "128M", "--name", "NAME", "busybox", "--", *FOR_EVER],
            ["start", "NAME"], ["stop", "NAME"], ["restart", "NAME"], ["rm", "NAME"],
            ["rm", "-f", "NAME"], ["exec", "NAME", "--", "true"]]


@pytest.mark.parametrize("args", COMMANDS, ids=lambda args: " ".join(args[:2]))
def test_it_waits_and_says_for_whom(msb, name, args):
    """No matter what is already there; what it does, it does afterwards."""
    if args[0] == "exec":
        msb("run", "-q", "-m", "128M", "--name", name, "busybox", "--", "true").ok()
    turn = Turn(msb, name)
    p = msb.popen(*[name if a == "NAME" else a for a in args])
    line = f"warn: waiting for 'msb walk' (process 1234), which works on sandbox '{name}'\n"
    seen = harness.read_until(p.stderr.fileno(), b"\n")
    assert seen == line.encode()
    assert p.poll() is None
    if args[0] != "exec":
        assert name not in msb.sandboxes()
    turn.end()
    r = finish(p)
    assert b"waiting" not in r.err
    if args[0] in ("create", "run", "exec"):
        assert r.rc == 0, r
    else:
        r.failed(1, "not found")
    assert not os.path.exists(turn.path)


@pytest.mark.parametrize("text", ["", "1234", "x y\n", "1234 " + "m" * 70, "0 msb\n",
                                  "99999999999999999999 msb stop\n"])
def test_a_holder_that_says_nothing_of_use(msb, name, text):
    turn = Turn(msb, name, text)
    p = msb.popen("stop", name)
    seen = harness.read_until(p.stderr.fileno(), b"\n")
    assert seen == f"warn: waiting for another command, which works on sandbox '{name}'\n".encode()
    turn.end()
    finish(p).failed(1, "not found")


def test_what_a_holder_says_is_made_harmless(msb, name):
    turn = Turn(msb, name, "7 \033[31mred\n")
    p = msb.popen("stop", name)
    assert b"waiting for '\\x1b[31mred' (process 7)" in \
        harness.read_until(p.stderr.fileno(), b"\n")
    turn.end()
    finish(p)


def test_quiet(msb, name, turn):
    p = msb.popen("stop", "-q", name)
    lock = os.stat(turn.path).st_ino
    harness.wait_for(lambda: waits(p.pid, lock), "it does not wait")
    turn.end()
    assert finish(p).err == f"error: sandbox not found: {name}\n".encode()


def waits(pid, inode):
    """Whether a process waits for a lock on a file."""
    with open("/proc/locks", encoding="utf-8") as f:
        return any("->" in line and f" {pid} " in line and f":{inode} " in line for line in f)


def test_a_killed_command_leaves_no_lock(msb, name):
    """The kernel gives it up; the file goes with the next one, or when all are listed."""
    for clean in (["stop", name], ["ls"]):
        turn = Turn(msb, name)
        turn.file.close()
        assert os.path.exists(turn.path)
        r = msb(*clean)
        assert b"waiting" not in r.err
        assert not os.path.exists(turn.path)


def test_a_list_removes_no_lock_that_is_held(msb, turn):
    msb("ls").ok()
    assert os.path.exists(turn.path)


def test_names_that_cannot_be(msb):
    """They are no paths."""
    before = msb.leftovers()
    for bad in ("../x", "a/b", ".", "x" * 300, ""):
        msb("stop", bad).failed(1, "not found")
        msb("rm", "-f", bad).failed(1, "not found")
        msb("exec", bad, "--", "true").failed(1, "not found")
    assert msb.leftovers() == before


def test_other_names_do_not_wait(msb, name, turn):
    created = msb("create", "-m", "128M", "busybox").text().strip()
    msb("rm", "-f", created).ok()
    assert not turn.file.closed


def test_a_look_does_not_wait(msb, name):
    create(msb, name).ok()
    turn = Turn(msb, name)
    msb("ping", name).ok()
    assert msb("exec", name, "--", "echo", "in").ok() == b"in\n"
    msb("inspect", name).ok()
    turn.end()


def test_start_and_stop_at_once(msb, name):
    create(msb, name).ok()
    msb("stop", "-q", name).ok()
    for _ in range(5):
        started, stopped = msb.popen("start", name), msb.popen("stop", name)
        assert finish(started).rc == 0
        assert finish(stopped).rc == 0
        status = msb.sandboxes()[name]
        assert status in ("Running", "Stopped")
        msb("stop", name).ok()


def booting(msb, *args):
    """A command that starts a machine, which is held still while it boots, and its process."""
    def machines():
        return set(harness.below(os.getpid(), harness.SANDBOX_PROCESSES[-1]))

    before = machines()
    p = msb.popen(*args)
    [pid] = harness.wait_for(lambda: machines() - before, "no machine")
    os.kill(pid, signal.SIGSTOP)
    return p, pid


@pytest.mark.parametrize("command", ["stop", "rm"])
def test_force_ends_a_boot(msb, name, command):
    """Nobody has to wait for one that hangs."""
    create(msb, name).ok()
    msb("stop", "-q", name).ok()
    p, _ = booting(msb, "start", name)
    r = msb(command, "--force", name)
    assert r.ok() == b"" and b"waiting for 'msb start'" in r.err
    finish(p).failed(1, f"failed to start '{name}': it was stopped before it was up")
    assert msb.sandboxes().get(name) == ("Stopped" if command == "stop" else None)


def test_stop_waits_for_a_boot(msb, name):
    create(msb, name).ok()
    msb("stop", "-q", name).ok()
    p, machine = booting(msb, "start", name)
    stop = msb.popen("stop", name)
    assert b"waiting for 'msb start'" in harness.read_until(stop.stderr.fileno(), b"\n")
    assert msb.sandboxes()[name] == "Running"
    os.kill(machine, signal.SIGCONT)
    finish(p).ok()
    finish(stop).ok()
    assert msb.sandboxes()[name] == "Stopped"


def test_stop_ends_a_run_that_boots(msb, name):
    """Its monitor has taken over already."""
    p, _ = booting(msb, "run", "-m", "128M", "--name", name, "busybox", "--", "true")
    r = msb("stop", name)
    assert r.ok() == b"" and b"waiting" not in r.err
    finish(p).failed(1, f"failed to start '{name}': it was stopped before it was up")
    assert msb.sandboxes()[name] == "Stopped"


def test_stop_does_not_wait_for_a_command(msb, name):
    p = msb.popen("run", "-m", "128M", "--name", name, "busybox", "--", "sh", "-c",
                  "echo up; exec sleep 1000000")
    harness.read_until(p.stdout.fileno(), b"up")
    r = msb("stop", name)
    assert r.rc == 0 and b"waiting" not in r.err
    assert finish(p).rc == 128 + signal.SIGTERM


def test_two_runs_of_one_name(msb, name):
    """One makes it, the other finds it; neither comes in between."""
    both = [msb.popen("run", "-m", "128M", "--name", name, "busybox", "--", "sh", "-c",
                      "echo hello; while [ ! -e /go ]; do sleep 0.1; done") for _ in range(2)]
    for p in both:
        assert harness.read_until(p.stdout.fileno(), b"\n") == b"hello\n"
    # It may end together with the sandbox, which the first of them stops.
    msb("exec", name, "--", "touch", "/go")
    results = [finish(p) for p in both]
    assert sum(b"already exists" in r.err for r in results) == 1
    assert 0 in [r.rc for r in results]


# --- replace -----------------------------------------------------------------------------------


def test_replace(msb, name):
    create(msb, name, "-e", "A=1").ok()
    msb("exec", name, "--", "touch", "/old").ok()
    create(msb, name, "-e", "A=2", "--replace").ok()
    r = msb("exec", name, "--", "sh", "-c", "echo $A; test -e /old")
    assert (r.rc, r.out) == (1, b"2\n")
    r = msb("run", "--replace", "--name", name, "-m", "128M", "-e", "A=3", "busybox", "--", "sh",
            "-c", "echo $A")
    assert r.ok() == b"3\n" and b"exists" not in r.err
    assert msb.sandboxes()[name] == "Stopped"


def test_replace_of_nothing(msb, name):
    create(msb, name, "--replace").ok()
    assert msb.sandboxes()[name] == "Running"


def test_replaced_programs_get_sigterm_and_clients_an_error(msb, name):
    create(msb, name).ok()
    p = msb.popen("exec", name, "--", "sh", "-c",
                  "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done")
    harness.read_until(p.stdout.fileno(), b"up\n")
    create(msb, name, "--replace").ok()
    r = finish(p)
    assert b"bye" in r.out


def test_replaced_programs_are_killed_after_the_grace(msb, name):
    """Half a second would not do for the 2 s that a stop gives, nor 0 for anything."""
    for grace, option in (("0", "--replace-with-grace"), ("500ms", "--replace-with-timeout")):
        create(msb, name, "--replace").ok()
        p = msb.popen("exec", name, "--", "sh", "-c",
                      "trap '' TERM; echo up; while :; do sleep 0.1; done")
        harness.read_until(p.stdout.fileno(), b"up\n")
        create(msb, name, option, grace).ok()
        assert finish(p).rc != 0


def test_replaced_programs_have_all_of_the_grace(msb, name):
    """More than the two seconds of a stop."""
    create(msb, name).ok()
    p = msb.popen("exec", name, "--", "sh", "-c",
                  "trap 'sleep 3; echo done; exit 0' TERM; echo up; while :; do sleep 0.1; done")
    harness.read_until(p.stdout.fileno(), b"up\n")
    create(msb, name, "--replace-with-grace", "2m").ok()
    assert b"done" in finish(p).out


BAD = [(["--pull", "never", "no-such-image"], "not cached"),
       (["-m", "1M", "busybox"], "memory"),
       (["-w", "relative", "busybox"], "absolute"),
       (["/no/such/dir"], "cannot use"),
       (["127.0.0.1:1/none"], "pull")]


@pytest.mark.parametrize("args, text", BAD, ids=lambda a: a[-1] if isinstance(a, list) else "")
def test_the_old_one_stays_when_the_new_one_cannot_be(msb, name, args, text):
    create(msb, name).ok()
    for command in (["create"], ["run"]):
        msb(*command, "-q", "--replace", "--name", name, *args).failed(1, text)
    assert msb("exec", name, "--", "echo", "still here").ok() == b"still here\n"


def test_the_old_one_stays_when_there_is_no_command(fresh, archives):
    image = oci.Image(oci.busybox().layers, Env=["PATH=/bin"])
    path = oci.write_oci(os.path.join(os.path.dirname(fresh.path), "i.tar"), {"silent": image})
    fresh("load", "-q", "-i", path).ok()
    fresh("create", "-q", "-m", "128M", "--name", "x", "silent").ok()
    fresh("run", "-d", "--replace", "--name", "x", "silent").failed(1, "no command")
    assert fresh.sandboxes() == {"x": "Running"}


@pytest.mark.parametrize("args", [["--replace"], ["--replace-with-grace", "5"]])
def test_replace_needs_a_name(msb, args):
    for command in ("create", "run"):
        msb(command, *args, "busybox").failed(2, "--name")


@pytest.mark.parametrize("value", ["", "x", "-1", "5x", "ms", "1.5s", "5 s", "25h", "90000s",
                                   "99999999999999999999"])
def test_bad_grace(msb, name, value):
    msb("create", "--name", name, "--replace-with-grace", value, "busybox").failed(
        2, "--replace-with-grace <DURATION>")
