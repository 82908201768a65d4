"""msb restart."""
import harness
from harness import finish


def boot(msb, name):
    """Which boot of the guest this is."""
    return msb("exec", name, "--", "cat", "/proc/sys/kernel/random/boot_id").ok()


def test_restart(msb, name):
    msb("create", "-q", "-m", "128M", "--name", name, "--label", "app=again", "busybox").ok()
    msb("exec", name, "--", "sh", "-c", "echo kept >/file").ok()
    first = boot(msb, name)
    r = msb("restart", name)
    assert r.ok() == b"" and b"Restarted" in r.err and name.encode() in r.err
    second = boot(msb, name)
    assert first != second
    assert msb("exec", name, "--", "cat", "/file").ok() == b"kept\n"

    r = msb("restart", "-q", "-f", "--label", "app=again")
    assert (r.rc, r.out, r.err) == (0, b"", b"")
    assert boot(msb, name) not in (first, second)

    # One that does not run is started, whatever is wrong with the others.
    msb("stop", "-q", name).ok()
    r = msb("restart", "-t", "5", "missing", name)
    r.failed(1, "sandbox not found: missing")
    assert msb.sandboxes()[name] == "Running"


def test_restart_of_a_run(msb, name):
    """The command in the foreground ends with the old machine, whose end is not taken for that of
    the new one."""
    running = msb.popen("run", "--name", name, "-m", "128M", "busybox", "--", "sh", "-c",
                        "echo up; exec sleep 1000000")
    harness.read_until(running.stdout.fileno(), b"up")
    msb("restart", "-q", "-t", "0", name).ok()
    assert finish(running).rc != 0
    assert msb.sandboxes()[name] == "Running"
    assert msb("exec", name, "--", "echo", "here").ok() == b"here\n"


def test_unnamed(msb):
    """It would be gone before it could be started again."""
    name = msb("run", "-d", "-m", "128M", "busybox", "--", "sleep", "1000000").text().strip()
    msb("restart", name).failed(1, "deleted when it stops")
    assert msb.sandboxes()[name] == "Running"
    msb("stop", "-q", "-f", name).ok()


def test_errors(msb, box):
    msb("restart").failed(2, "--label")
    msb("restart", "-t", "soon", box).failed(2, "--timeout")
    r = msb("restart", "missing", "gone/../x")
    assert r.rc == 1 and r.err.count(b"error: sandbox not found") == 2
    assert msb.sandboxes()[box] == "Running"
