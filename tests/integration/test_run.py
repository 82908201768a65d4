"""msb run and exec: what a command sees, and how it ends."""
import ast
import os
import time

import pytest

import oci

pytestmark = pytest.mark.lab

ENDS = [  # script, exit status of msb
    ("exit 0", 0),
    ("exit 7", 7),
    ("kill -9 $$", 137),
    ("kill -TERM $$", 143),
    ("exit 255", 255),
]


def test_small_image(msb):
    out = msb("run", "busybox", "--", "sh", "-c", "echo $FROM_IMAGE; pwd").ok()
    assert out == b"yes\n/root\n"


def test_image_with_shared_libraries(msb, debian):
    out = msb("run", debian, "--", "bash", "-c",
              "echo ${BASH_VERSION%%.*}; ldd /bin/bash | grep -c libc.so").ok()
    assert out == b"5\n1\n"


def test_image_with_many_layers(msb, layered):
    assert msb("run", layered, "--", "cat", "/t/changed").ok() == b"new and longer"


def test_layers_are_merged_exactly(msb, layered):
    """Whiteouts, opaque folders, replaced types, hard links, devices, owners, modes, xattrs."""
    seen = ast.literal_eval(msb("run", layered, "--", "python3", "-c", oci.DUMP_TREE).text())
    tree = {path: tuple(value) for path, value in seen["tree"].items()
            if path not in oci.LAYERED_FOLDERS}
    assert tree == oci.LAYERED_TREE
    assert seen["xattrs"] == oci.XATTRS
    assert seen["hard"] == [1, 3]
    assert seen["mtime"] == 1234567890
    assert seen["layers"] == oci.layered_names()


@pytest.mark.parametrize("script, status", ENDS)
def test_exit_status_of_run(msb, script, status):
    r = msb("run", "busybox", "--", "sh", "-c", script)
    assert (r.rc, r.out, r.err) == (status, b"", b"")


@pytest.mark.parametrize("script, status", ENDS)
def test_exit_status_of_exec(inside, script, status):
    r = inside(script)
    assert (r.rc, r.out, r.err) == (status, b"", b"")


@pytest.mark.parametrize("command, status, saying", [
    ("no-such-program", 127, "'no-such-program' not found"),
    ("/no/such/program", 127, "no such file"),
    ("/etc/passwd", 126, "permission denied"),
    ("/etc", 126, "directory"),
])
def test_what_cannot_be_executed(msb, box, command, status, saying):
    msb("exec", box, "--", command).failed(status, saying)


def test_what_cannot_be_executed_by_run(msb):
    """An unnamed sandbox that was booted for nothing is gone as well."""
    msb("run", "busybox", "--", "no-such-program").failed(127, "not found")
    msb("run", "busybox", "--", "/etc/passwd").failed(126, "permission denied")


def test_arguments_arrive_as_they_are(msb, box):
    words = ["", " ", "a b", "$HOME", "*", "--", "-x", "'\"\\", "späße", "line\nbreak",
             "x" * 100000]
    out = msb("exec", box, "--", "printf", "%s\\0", *words).text()
    assert out.split("\0")[:-1] == words


# --- one machine with every option -----------------------------------------------------------

PROBE = r"""
put() { echo "$1=$2"; }
put uid "$(id -u)"; put gid "$(id -g)"; put pwd "$(pwd)"; put hostname "$(hostname)"
put one "$ONE"; put copied "$COPIED"; put from_image "$FROM_IMAGE"; put last "$LAST"
put mem "$(awk '/MemTotal/ { print $2 }' /proc/meminfo)"; put cpus "$(nproc)"
put tmpfs "$(df -k /x | awk 'END { print $2, $6 }')"
put plain "$(awk '$2 == "/deep/er" { print $3 }' /proc/mounts)"
put kernel "$(uname -r)"; put machine "$(uname -m)"; put pid $$; put init "$(cat /proc/1/comm)"
put root "$(awk '$2 == "/" { print $3 }' /proc/mounts)"; put written "$(echo x >/file; cat /file)"
put devices "$(for d in null zero full random urandom tty ptmx; do [ -c /dev/$d ] || echo $d; done)"
put shm "$(awk '$2 == "/dev/shm" { print $3 }' /proc/mounts)"
put fds "$(readlink /dev/fd) $(readlink /dev/stdin)"; put null "$(echo x >/dev/null && echo ok)"
put time "$(date +%s)"; put localhost "$(ping -c 1 -W 5 127.0.0.1 >/dev/null && echo up)"
"""


@pytest.fixture(scope="module")
def configured(shared):
    before = time.time()
    r = shared("run", "-m", "1G", "-c", "2", "-H", "some-host", "-w", "/tmp", "-e", "ONE=1=2 3",
               "-e", "COPIED", "-e", "LAST=first", "-e", "LAST=second", "--tmpfs", "/x:16M",
               "--tmpfs", "/deep/er", "busybox", "--", "sh", "-c", PROBE,
               env={"COPIED": "from the host", "NOT_COPIED": "1"})
    seen = dict(line.split("=", 1) for line in r.text().splitlines())
    seen["started"] = before
    return seen


def test_environment(configured):
    assert configured["one"] == "1=2 3"
    assert configured["copied"] == "from the host"
    assert configured["from_image"] == "yes"
    assert configured["last"] == "second"


def test_working_directory_and_hostname(configured):
    assert (configured["pwd"], configured["hostname"]) == ("/tmp", "some-host")


def test_size_of_the_machine(configured):
    assert 0.85 * (1 << 20) < int(configured["mem"]) <= 1 << 20  # KiB; the kernel takes some
    assert configured["cpus"] == "2"


def test_tmpfs(configured):
    assert configured["tmpfs"] == "16384 /x"
    assert configured["plain"] == "tmpfs"


def test_it_is_a_virtual_machine(configured):
    assert configured["kernel"].endswith("-msb")
    assert configured["kernel"] != os.uname().release
    assert int(configured["pid"]) > 1
    assert configured["init"] != "sh"


def test_root_and_devices(configured):
    assert (configured["uid"], configured["gid"]) == ("0", "0")
    assert configured["root"] == "overlay"
    assert configured["written"] == "x"
    assert configured["devices"] == ""
    assert configured["null"] == "ok"
    assert configured["shm"] == "tmpfs"
    assert configured["fds"] == "/proc/self/fd /proc/self/fd/0"
    assert configured["localhost"] == "up"


def test_clock_is_the_hosts(configured):
    assert abs(int(configured["time"]) - configured["started"]) < 300


def test_defaults(msb):
    """512 MiB, one CPU, a host name made from the sandbox's, the image's directory, root."""
    out = msb("run", "busybox", "--", "sh", "-c",
              "awk '/MemTotal/ { print $2 }' /proc/meminfo; nproc; hostname; pwd; id -un").text()
    mem, cpus, hostname, directory, user = out.split()
    assert 0.85 * 512 * 1024 < int(mem) <= 512 * 1024
    assert (cpus, directory, user) == ("1", "/root", "root")
    assert hostname.startswith("msb-")


def test_no_variables_leak_from_the_host(inside):
    out = inside("env", env={"SECRET_OF_HOST": "1"})
    assert b"SECRET_OF_HOST" not in out.ok() and b"MSB" not in out.out


# --- users -----------------------------------------------------------------------------------


@pytest.mark.parametrize("user, seen", [
    ("nobody", "65534:65534 65534 /nonexistent"),
    ("user", "1000:1000 1000 100 /home/user"),  # with the groups that /etc/group adds
    ("1000", "1000:1000 1000 100 /home/user"),
    ("1234", "1234:0 0 /"),
    ("1234:100", "1234:100 100 /"),
    ("user:nogroup", "1000:65534 65534 /home/user"),
])
def test_users(inside, user, seen):
    out = inside('echo "$(id -u):$(id -g) $(id -G) $HOME"', "-u", user, "-w", "/").text()
    assert out.strip() == seen


def test_user_of_run(msb):
    script = "id -un; touch /tmp/mine && stat -c %U /tmp/mine; touch /root/x"
    r = msb("run", "-u", "nobody", "-w", "/tmp", "busybox", "--", "sh", "-c", script)
    assert (r.rc, r.out) == (1, b"nobody\nnobody\n")
    assert b"Permission denied" in r.err


@pytest.mark.parametrize("user", ["no-such-user", "root:no-such-group", ":", "1000:", "-1"])
def test_unknown_users(msb, box, user):
    msb("exec", "-u", user, box, "--", "id").failed(1, "user" if "group" not in user else "group")


# --- entrypoint, shell, time-out ---------------------------------------------------------------


def test_image_command_and_entrypoint(msb, tmp_path):
    """run: entrypoint and command; exec: neither."""
    image = oci.busybox(Entrypoint=["echo", "entry"], Cmd=["default"], WorkingDir="/made/by/image",
                        User="user", Env=["PATH=/bin"])
    msb("load", "-q", "-i", oci.write_oci(str(tmp_path / "i.tar"), {"entry": image})).ok()
    assert msb("run", "entry").ok() == b"entry default\n"
    assert msb("run", "entry", "--", "given").ok() == b"entry given\n"
    assert msb("run", "--entrypoint", "pwd", "entry").ok() == b"/made/by/image\n"
    assert msb("run", "--entrypoint", "id", "entry", "--", "-un").ok() == b"user\n"
    msb("image", "rm", "-q", "entry").ok()


def test_no_command_and_no_terminal(msb, tmp_path):
    image = oci.busybox(Cmd=[])
    msb("load", "-q", "-i", oci.write_oci(str(tmp_path / "i.tar"), {"nothing": image})).ok()
    r = msb("run", "nothing")
    assert (r.rc, r.out) == (0, b"")
    assert b"warn: no command provided" in r.err
    msb("run", "-d", "nothing").failed(1, "no command")
    msb("image", "rm", "-q", "nothing").ok()


def test_timeout_of_run(msb):
    msb("run", "--timeout", "1s", "busybox", "--", "sleep", "1000000").failed(1, "timed out")


def test_timeout_of_exec_spares_the_sandbox(msb, box, inside):
    """It kills the command with its children, whatever they do with signals."""
    script = "trap '' TERM INT; sleep 1000001 & wait; sleep 1000001"
    inside(script, "--timeout", "1").failed(1, "timed out")
    assert inside("ps | grep -c 'sleep 100000[1]'").out == b"0\n"
    assert msb.sandboxes()[box] == "Running"


def test_timeout_that_is_not_reached(inside):
    assert inside("echo done", "--timeout", "1h").ok() == b"done\n"


# --- places ------------------------------------------------------------------------------------


def test_directory_as_root(msb, tmp_path):
    """Files belong to root inside; nothing is ever written to the directory."""
    root = tmp_path / "rootfs"
    (root / "bin").mkdir(parents=True)
    (root / "bin/busybox").write_bytes(open(oci.BUSYBOX, "rb").read())
    (root / "bin/busybox").chmod(0o755)
    (root / "bin/sh").symlink_to("busybox")
    (root / "data").write_text("from the host")
    before = sorted(str(p) for p in root.rglob("*"))
    script = "busybox cat /data; echo changed >/data; busybox stat -c %u /data /bin/busybox"
    for spelling, cwd in (("./rootfs", tmp_path), (str(root), None), ("../rootfs", root / "..")):
        if spelling == "../rootfs":
            (tmp_path / "other").mkdir()
            cwd = tmp_path / "other"
        r = msb("run", spelling, "--", "/bin/sh", "-c", "PATH=/bin; " + script, cwd=cwd)
        assert r.ok() == b"from the host0\n0\n"
    assert (root / "data").read_text() == "from the host"
    assert sorted(str(p) for p in root.rglob("*")) == before


def test_long_home_path(fresh, archives):
    """Longer than what fits into the address of a unix socket."""
    fresh.path = os.path.join(fresh.path, *["long-part-of-a-path"] * 10)
    fresh("load", "-q", "-i", archives["busybox"]).ok()
    assert fresh("run", "busybox", "--", "echo", "hi").ok() == b"hi\n"


def test_relative_home(fresh, archives, tmp_path):
    fresh.path = "relative-home"
    fresh("load", "-q", "-i", archives["busybox"], cwd=tmp_path).ok()
    assert fresh("run", "busybox", "--", "echo", "hi", cwd=tmp_path).ok() == b"hi\n"
    fresh.path = str(tmp_path / "relative-home")


def test_timing_prints_every_stage(msb):
    r = msb("run", "--timing", "busybox", "--", "true")
    r.ok()
    stages = [line.split()[0] for line in r.err.decode().splitlines()[1:]]
    assert stages == ["cli", "spawn", "net", "kernel", "agent", "exec", "command", "teardown", "total"]


def test_timing_of_exec(msb, box):
    r = msb("exec", "--timing", box, "--", "true")
    rows = {line.split()[0]: float(line.split()[1]) for line in r.err.decode().splitlines()[1:]}
    assert list(rows) == ["cli", "relay", "start", "command", "total"]
    assert abs(rows["total"] - sum(list(rows.values())[:-1])) < 0.5
    assert rows["start"] > 0


def test_quiet_says_nothing(msb):
    r = msb("run", "-q", "busybox", "--", "true")
    assert (r.rc, r.out, r.err) == (0, b"", b"")


def test_kernel_log_shows_no_complaints(msb):
    """What the guest's kernel warns about is a defect of ours: of its build or of a device."""
    out = msb("run", "busybox", "--", "sh", "-c", "dmesg -r || cat /dev/kmsg").text()
    complaints = [line for line in out.splitlines() if line[:3] in ("<0>", "<1>", "<2>", "<3>")]
    assert complaints == []


def test_hosts_of_the_image(fresh, tmp_path):
    """Its own names stay, and what a host needs is added."""
    tar = oci.busybox_tar()
    tar.file("etc/hosts", "192.0.2.7\tdb.example db\n")
    archive = oci.write_oci(str(tmp_path / "i.tar"), {"named": oci.Image([oci.Layer(tar)])})
    fresh("load", "-q", "-i", archive).ok()
    lines = fresh("run", "named", "--", "/bin/cat", "/etc/hosts").text().splitlines()
    assert lines[0] == "192.0.2.7\tdb.example db"
    assert "127.0.0.1\tlocalhost" in lines
