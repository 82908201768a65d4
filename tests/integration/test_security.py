"""The security profile: what programs of a restricted sandbox lack."""
import json

import pytest

import oci

pytestmark = pytest.mark.lab

SYS_ADMIN = 1 << 21
STATUS = ["cat", "/proc/self/status"]


def status(text):
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def assert_restricted(fields):
    assert fields["NoNewPrivs"] == "1"
    for kind in "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb":
        assert not int(fields[kind], 16) & SYS_ADMIN, kind


def test_default(msb):
    fields = status(msb("run", "-q", "busybox", "--", *STATUS).text())
    assert fields["NoNewPrivs"] == "0"
    assert int(fields["CapEff"], 16) & SYS_ADMIN


@pytest.mark.parametrize("user", ["root", "user"])
def test_every_command(msb, name, user):
    r = msb("run", "-q", "-n", name, "--security", "restricted", "-u", user, "busybox", "--",
            *STATUS)
    assert_restricted(status(r.text()))
    r = msb("exec", name, "--", *STATUS)
    assert_restricted(status(r.text()))
    assert bool(int(status(r.text())["CapEff"], 16)) == (user == "root")
    assert json.loads(msb("inspect", "--format", "json", name).ok())["config"]["security"] == \
        "restricted"
    assert "Security:       restricted\n" in msb("inspect", name).text()


def test_what_it_prevents(msb, tmp_path):
    """Mounting, and becoming another user by a program's mode."""
    tar = oci.busybox_tar()
    tar.dir("suid")
    with open(oci.BUSYBOX, "rb") as f:
        tar.file("suid/su", f.read(), 0o4755)
    path = oci.write_oci(str(tmp_path / "suid.tar"), {
        "suid": oci.Image([oci.Layer(tar, "gzip")], Cmd=["sh"], Env=["PATH=/bin"])})
    msb("load", "-q", "-i", path).ok()
    mount = ["sh", "-c", "mount -t tmpfs x /tmp 2>/dev/null && echo mounted || echo refused"]
    for profile, mounted, gained in (("default", b"mounted\n", True),
                                     ("restricted", b"refused\n", False)):
        assert msb("run", "-q", "--security", profile, "suid", "--", *mount).ok() == mounted
        r = msb("run", "-q", "--security", profile, "-u", "user", "suid", "--", "/suid/su", "-c",
                "true")
        assert (b"must be suid" not in r.out + r.err) == gained, r


def test_tmpfs(msb):
    r = msb("run", "-q", "--security", "restricted", "--tmpfs", "/x", "busybox", "--", "grep",
            " /x ", "/proc/mounts")
    assert {"nosuid", "nodev"} <= set(r.text().split()[3].split(","))


def test_init(msb, name):
    msb("create", "-q", "-m", "128M", "-n", name, "--security", "restricted", "--init", "/bin/init",
        "busybox").ok()
    assert_restricted(status(msb("exec", name, "--", "cat", "/proc/1/status").text()))
    assert_restricted(status(msb("exec", name, "--", *STATUS).text()))


def test_unknown(fresh):
    fresh("run", "--security", "strict", "busybox").failed(2, "expected default or restricted")
