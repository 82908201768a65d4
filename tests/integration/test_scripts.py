"""Scripts that are put into PATH, and limits of resources."""
import json
import os

import pytest

pytestmark = pytest.mark.lab


def run(msb, *options, command):
    return msb("run", "-q", "-m", "128M", *options, "busybox", "--", "sh", "-c", command)


def test_bodies(msb, tmp_path):
    """Each kind, run by its name, by any user, in memory."""
    (tmp_path / "file").write_bytes(b"#!/bin/sh\necho file $1\n\0\xff")
    r = run(msb, "--script", "one=echo \\\"$0\\\"\\nexit 3", "--script-raw", "two=#!/bin/cat\n\\n",
            "--script-path", f"three:{tmp_path}/file", "-u", "user",
            command="one; echo $?; two; three x; stat -c '%a %u' /.msb/scripts/*; "
                    "grep -c ' /.msb tmpfs ' /proc/mounts")
    assert r.ok() == (b"/.msb/scripts/one\n3\n#!/bin/cat\n\\nfile x\n"
                      b"755 0\n755 0\n755 0\n1\n")


def test_bytes(msb, tmp_path):
    data = bytes(range(256)) * 64
    (tmp_path / "file").write_bytes(data)
    r = msb("run", "-q", "--script-path", f"x:{tmp_path}/file", "busybox", "--",
            "cat", "/.msb/scripts/x")
    assert r.ok() == data


def test_as_long_as_they_may_be(msb, tmp_path):
    data = os.urandom(256 << 10)
    (tmp_path / "file").write_bytes(data)
    options = ["--script-path", f"a:{tmp_path}/file", "--script-path", f"b:{tmp_path}/file"]
    assert msb("run", "-q", *options, "busybox", "--", "cat", "/.msb/scripts/b").ok() == data
    msb("run", "-q", *options, "--script", "c=", "busybox").failed(1, "too long")


def test_shells(msb):
    r = run(msb, "--shell", "/bin/ash", "--script", "a=", "--script", "b=#!/x", command=
            "head -1 /.msb/scripts/a /.msb/scripts/b")
    assert b"#!/bin/ash\n" in r.ok() and b"#!/x\n" in r.ok()
    r = run(msb, "--shell", "ash", "--script", "a=echo hi", command="cat /.msb/scripts/a")
    assert r.ok() == b"#!/usr/bin/env ash\necho hi\n"


def test_every_start(msb, name, tmp_path):
    """Files are read when the sandbox is made; what a guest does to them lasts as long as it."""
    path = tmp_path / "file"
    path.write_text("#!/bin/sh\necho first\n")
    msb("create", "-q", "-m", "128M", "-n", name, "--script-path", f"x:{path}", "busybox").ok()
    path.unlink()
    msb("exec", name, "--", "rm", "/.msb/scripts/x").ok()
    msb("restart", "-q", name).ok()
    assert msb("exec", name, "--", "x").ok() == b"first\n"
    assert "\nScripts\n  x             21 B\n" in msb("inspect", name).text()
    config = json.loads(msb("inspect", "--format", "json", name).ok())["config"]
    assert config["scripts"] == [{"name": "x", "text": "#!/bin/sh\necho first\n"}]
    assert "first" not in msb("ps", "-a", "--format", "json").text()


@pytest.mark.parametrize("options, rc, saying", [
    (["--script", "x"], 2, "script must be in format NAME=BODY"),
    (["--script", "=x"], 2, "script name must not be empty (NAME=BODY)"),
    (["--script-raw", "a/b=x"], 2, "script name"),
    (["--script", "a=x", "--script-raw", "a=y"], 1, "duplicate script name: 'a'"),
    (["--script-path", "a:/no/file"], 1, "/no/file"),
    (["--script-path", "a:/"], 1, "cannot read script 'a'"),
    (["--rlimit", "nofile"], 2, "rlimit must be in format RESOURCE=SOFT[:HARD]"),
    (["--rlimit", "files=1"], 2, "unknown resource 'files'"),
    (["--rlimit", "cpu=2:1"], 2, "soft limit is above the hard one"),
    (["--shell", "ba sh"], 1, "invalid shell"),
])
def test_refused(fresh, options, rc, saying):
    for command in "run", "create":
        fresh(command, *options, "no-such-image").failed(rc, saying)
    assert fresh.sandboxes() == {}


# --- limits -------------------------------------------------------------------------------------

LIMITS = "ulimit -n; ulimit -Hn; ulimit -c; ulimit -f"


def test_limits(msb, name):
    msb("create", "-q", "-m", "128M", "-n", name, "--rlimit", "nofile=9", "--rlimit",
        "RLIMIT_NOFILE=100:200", "--rlimit", "core=0", "busybox").ok()
    for _ in range(2):
        assert msb("exec", name, "--", "sh", "-c", LIMITS).ok() == b"100\n200\n0\nunlimited\n"
        r = msb("exec", "--rlimit", "nofile=300", "--rlimit", "fsize=1024", name, "--", "sh", "-c",
                LIMITS)
        assert r.ok() == b"300\n300\n0\n2\n"
        msb("restart", "-q", name).ok()
    assert "\nLimits\n  nofile        100 (hard 200)\n" in msb("inspect", name).text()


def test_limit_of_one_run(msb):
    r = run(msb, "--rlimit", "nproc=unlimited", "--rlimit", "nofile=50", command=LIMITS)
    assert r.ok() == b"50\n50\n0\nunlimited\n" or r.ok().startswith(b"50\n50\n")


def test_limit_that_the_kernel_refuses(inside):
    inside("true", "--rlimit", "nofile=unlimited").failed(1, "resource limit 'nofile'")


def test_exec_refuses(msb, box):
    msb("exec", "--rlimit", "x=1", box, "--", "true").failed(2, "unknown resource 'x'")
