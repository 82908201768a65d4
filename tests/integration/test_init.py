"""An init of the sandbox's own: process 1 of its commands, what it is told, and how it all ends."""
import json
import os
import signal

import pytest

import oci
from harness import finish, read_until, wait_for

pytestmark = pytest.mark.lab

# Runs what it is given, as images with a supervisor do; a process of its own goes on beside it.
RUNNER = """#!/bin/sh
trap 'echo asked; exit 9' TERM INT
echo "init $$ $# $MARK" >&2
sleep 1000000 &
exec 3<&0
"$@" <&3 &
wait $!
"""

# Waits for orders. What it does for them can be seen on the disk afterwards.
OBEDIENT = """#!/bin/sh
trap 'echo TERM >>/orders; exit 3' TERM
echo "$@" >/started
while :; do sleep 1000000 & wait $!; done
"""

# Ends by asking the kernel for it, as inits of distributions do.
SWITCH = """#!/bin/sh
trap 'mount -o remount,ro /; umount -a -r; poweroff -f' TERM
trap 'reboot -f' USR1
trap 'exit 7' USR2
echo >/started
while :; do sleep 1000000 & wait $!; done
"""

DEAF = "#!/bin/sh\nwhile :; do sleep 1000000; done\n"


def image(files, **config):
    tar = oci.busybox_tar()
    for name, text in files.items():
        tar.file(name, text, 0o755)
    return oci.Image([oci.Layer(tar, "gzip")],
                     **{"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"], **config})


@pytest.fixture(scope="module", autouse=True)
def images(shared, tmp_path_factory):
    path = oci.write_oci(str(tmp_path_factory.mktemp("inits") / "images.tar"), {
        "runner": image({"init": RUNNER}, Entrypoint=["/init"], Cmd=["echo", "its own"]),
        "inits": image({"sbin/init": OBEDIENT, "bin/switch": SWITCH, "bin/deaf": DEAF,
                        "etc/inittab": "::sysinit:/bin/touch /sysinit\n"
                                       "::respawn:/bin/sleep 1000000\n"
                                       "::shutdown:/bin/touch /shutdown\n"})})
    shared("load", "-q", "-i", path).ok()


def last_end(msb, name):
    return json.loads(msb("inspect", "--format", "json", name).ok())["last_end"]


def wait_until_stopped(msb, name):
    wait_for(lambda: msb.sandboxes()[name] == "Stopped", f"{name} does not stop")


def assert_clean(msb, name):
    """The file system was unmounted: nothing is left in its journal."""
    with open(os.path.join(msb.path, "sandboxes", name, "upper.ext4"), "rb") as f:
        f.seek(1024)
        superblock = f.read(1024)
    assert superblock[0x38:0x3a] == b"\x53\xef"
    assert superblock[0x3a] & 1, "not marked clean"
    assert not superblock[0x60] & 4, "the journal needs recovery"


def create(msb, name, *options):
    msb("create", "-q", "-m", "128M", "-n", name, *options, "inits").ok()


def wait_until_it_listens(msb, name):
    """Signals come to an init only once it has asked for them."""
    wait_for(lambda: msb("exec", name, "--", "test", "-s", "/started").rc == 0, "no init")


# --- the image's own ----------------------------------------------------------------------------


def test_runs_the_command(msb):
    r = msb("run", "--init", "auto", "-e", "MARK=x", "runner", "--", "sh", "-c",
            "cat; exit 5", stdin=b"typed")
    assert (r.rc, r.out, r.err) == (5, b"typed", b"init 1 3 x\n")
    r = msb("run", "--init", "/init", "--init-arg", "env", "--init-env", "MARK=y", "runner")
    assert (r.rc, r.out, r.err) == (0, b"its own\n", b"init 1 3 y\n")


def test_command_of_the_image(msb):
    r = msb("run", "--init", "auto", "runner")
    assert (r.rc, r.out) == (0, b"its own\n")


def test_terminal(terminal):
    t = terminal("run", "-q", "--init", "auto", "runner", "--", "sh", "-c", "tty; stty size")
    t.expect(b"/dev/pts/0\r\n30 100")
    assert t.wait()[0] == 0


def test_signal_reaches_it(msb):
    p = msb.popen("run", "--init", "auto", "runner", "--", "sh", "-c", "echo up; sleep 1000000")
    read_until(p.stdout.fileno(), b"up\n")
    p.send_signal(signal.SIGINT)
    assert finish(p).rc == 9


def test_timeout(msb):
    p = msb.popen("run", "--init", "auto", "--timeout", "1s", "runner", "--", "sleep", "1000000")
    r = finish(p)
    assert r.rc == 1 and b"timed out" in r.err


def test_named(msb, name):
    """Its end is the sandbox's, whoever is told first."""
    msb("run", "-n", name, "--init", "auto", "runner", "--", "sh", "-c", "exit 4")
    assert last_end(msb, name)["reason"] == "the init exited with status 4"
    assert_clean(msb, name)


def test_in_the_background(msb, name):
    msb("run", "-d", "-n", name, "--init", "auto", "runner", "--", "sh", "-c",
        "echo working; until test -e /done; do sleep 0.1; done; exit 6").ok()
    # The entrypoint runs; what comes later runs beside it.
    assert msb("run", "-n", name, "runner", "--", "echo", "beside").ok() == b"beside\n"
    assert b"{init} /bin/sh /init" in msb("exec", name, "--", "ps").ok()
    msb("exec", name, "--", "touch", "/done").ok()
    wait_until_stopped(msb, name)
    end = last_end(msb, name)
    assert (end["reason"], end["exit_code"]) == ("the init exited with status 6", 6)
    assert b"working\n" in msb("logs", name).ok()


# --- beside commands ----------------------------------------------------------------------------


def test_beside_commands(msb, name):
    create(msb, name, "--init", "auto", "--init-arg", "-v", "--init-arg=two words")
    wait_until_it_listens(msb, name)
    assert msb("exec", name, "--", "cat", "/started").ok() == b"-v two words\n"
    r = msb("exec", name, "--", "sh", "-c",
            "tr '\\0' ' ' </proc/1/cmdline; test $$ -gt 1 && grep -c ' /proc ' /proc/mounts; "
            "ls -d /proc/[0-9]* | wc -l")
    assert r.text().startswith("/bin/sh /sbin/init -v two words 1\n")
    # Only what runs in there is seen: two of the init, three of this pipeline.
    assert int(r.text().split("\n")[1]) <= 6
    assert msb("exec", "-u", "user", name, "--", "id", "-un").ok() == b"user\n"
    assert msb("exec", "-t", name, "--", "tty").ok().startswith(b"/dev/pts/")
    assert msb("exec", name, "--", "sh", "-c", "kill -9 $$").rc == 137
    assert msb("exec", "--timeout", "1s", name, "--", "sleep", "1000000").rc == 1
    msb("stop", "-q", name).ok()
    assert last_end(msb, name)["reason"] == "stop requested"
    assert_clean(msb, name)
    # Process 1 was asked first, once.
    assert msb("exec", name, "--", "cat", "/orders").ok() == b"TERM\n"


def test_hang_up(msb, name):
    """A command whose client goes ends, the init does not."""
    create(msb, name, "--init", "/sbin/init")
    p = msb.popen("exec", name, "--", "sh", "-c", "echo up; exec sleep 4321")
    read_until(p.stdout.fileno(), b"up\n")
    p.kill()
    p.wait()
    wait_for(lambda: b"4321" not in msb("exec", name, "--", "ps").ok(), "it goes on")
    assert msb.sandboxes()[name] == "Running"


def test_run_beside(msb):
    """The image's entrypoint is not the init, so its command is an ordinary one."""
    r = msb("run", "--init", "auto", "inits", "--", "sh", "-c", "echo $$; exit 3")
    assert r.rc == 3 and int(r.out) > 1


def test_environment(msb, name):
    """Its own variables are no one else's."""
    create(msb, name, "--init", "/sbin/init", "--init-env", "ONLY=init", "-e", "ALL=yes")
    r = msb("exec", name, "--", "sh", "-c", "tr '\\0' '\\n' </proc/1/environ; echo; env").text()
    of_init, of_command = r.split("\n\n", 1)
    assert "ONLY=init" in of_init and "ALL=yes" in of_init
    assert "container=" not in of_init
    assert "ONLY=" not in of_command and "ALL=yes" in of_command


# --- ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sig, reason", [
    ("TERM", "the guest switched itself off"), ("USR1", "the guest rebooted"),
    ("USR2", "the init exited with status 7")])
def test_ends_by_itself(msb, name, sig, reason):
    create(msb, name, "--init", "/bin/switch")
    wait_until_it_listens(msb, name)
    p = msb.popen("exec", name, "--", "sh", "-c", "echo up; sleep 1000000")
    read_until(p.stdout.fileno(), b"up\n")
    msb("exec", name, "--", "kill", "-" + sig, "1")
    assert finish(p).rc != 0  # it went down with the sandbox
    wait_until_stopped(msb, name)
    assert last_end(msb, name)["reason"] == reason
    assert_clean(msb, name)
    msb("start", "-q", name).ok()
    assert msb("exec", name, "--", "echo", "again").ok() == b"again\n"


def test_stop_with_unmounting(msb, name):
    """An init that makes everything read-only and unmounts what it can does no harm."""
    create(msb, name, "--init", "/bin/switch")
    wait_until_it_listens(msb, name)
    msb("exec", name, "--", "sh", "-c", "echo kept >/file").ok()
    msb("stop", "-q", name).ok()
    assert_clean(msb, name)
    assert msb("exec", name, "--", "cat", "/file").ok() == b"kept\n"


def test_stop_of_a_deaf_one(msb, name):
    """It is not waited for in vain: only signals that it wants to hear are tried."""
    create(msb, name, "--init", "/bin/deaf")
    msb("exec", name, "--", "sh", "-c", "echo kept >/file").ok()
    msb("stop", "-q", name).ok()
    assert last_end(msb, name)["reason"] == "stop requested"
    assert_clean(msb, name)


def test_busybox_init(msb, name):
    create(msb, name, "--init", "/bin/init")
    wait_for(lambda: msb("exec", name, "--", "test", "-e", "/sysinit").rc == 0, "no sysinit")
    msb("exec", name, "--", "poweroff")
    wait_until_stopped(msb, name)
    assert last_end(msb, name)["reason"] == "the guest switched itself off"
    assert_clean(msb, name)
    assert msb("exec", name, "--", "ls", "/shutdown").ok()


# --- mistakes -----------------------------------------------------------------------------------


def test_missing(msb, name):
    msb("create", "-n", name, "--init", "/no/init", "busybox").failed(
        1, "cannot start the init: no such file '/no/init'")
    assert msb.sandboxes()[name] == "Failed"
    msb("run", "--init", "auto", "busybox", "--", "true").failed(
        1, "neither '/sbin/init' nor systemd")


@pytest.mark.parametrize("options, rc, saying", [
    (["--init", "sbin/init"], 1, "--init must be an absolute path or `auto`, got: sbin/init"),
    (["--init-arg", "-x"], 2, "'--init-arg' needs '--init"),
    (["--init-env", "A=1"], 2, "'--init-env' needs '--init"),
    (["--init", "auto", "--init-env", "=1"], 2, "has no name"),
])
def test_refused(fresh, options, rc, saying):
    """Before any work: there is not even such an image."""
    for command in "run", "create":
        fresh(command, *options, "no-such-image").failed(rc, saying)
    assert fresh.sandboxes() == {}


def test_inspect(msb, name):
    create(msb, name, "--init", "/sbin/init", "--init-arg", "-v", "--init-env", "A=1")
    assert json.loads(msb("inspect", "--format", "json", name).ok())["config"]["init"] == {
        "path": "/sbin/init", "args": ["-v"], "env": ["A=1"]}
    assert "\nInit\n  /sbin/init\n    -v\n    A=1\n" in msb("inspect", name).text()
