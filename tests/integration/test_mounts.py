"""Folders, files and disks of the host in the guest: from the command line to the guest's mounts."""
import json
import os
import shutil
import subprocess

import pytest

import oci
from harness import LIMIT

MKFS = "/sbin/mkfs.ext4"
MIB = 1 << 20


@pytest.fixture
def folder(tmp_path):
    """A folder with a file and another folder with one."""
    (tmp_path / "src" / "sub").mkdir(parents=True)
    (tmp_path / "src" / "a").write_text("from the host\n")
    (tmp_path / "src" / "sub" / "b").write_text("deeper\n")
    (tmp_path / "file").write_text("one file\n")
    return tmp_path


def image(path, size=32 * MIB):
    with open(path, "wb") as f:
        f.truncate(size)
    subprocess.run([MKFS, "-q", "-F", str(path)], check=True, stdin=subprocess.DEVNULL,
                   timeout=LIMIT)
    return str(path)


def is_clean(path):
    check = subprocess.run(["/sbin/e2fsck", "-fn", str(path)], capture_output=True, timeout=LIMIT,
                           check=False)
    said = subprocess.run(["/sbin/dumpe2fs", "-h", str(path)], capture_output=True, timeout=LIMIT,
                          check=True).stdout.decode()
    return check.returncode == 0 and "needs_recovery" not in said


# --- folders and files -------------------------------------------------------------------------

PROBE = """
put() { echo "$1=$(eval "$2" 2>&1 | tr '\\n' ' ')"; }
put read 'cat /src/a /src/sub/b'
echo new > /src/sub/new && mkdir /src/dir && echo x > /src/dir/x
put file 'cat /etc/deep/er/conf'
echo changed > /etc/deep/er/conf
put replaced 'cat /etc/hostname'
put ro 'cat /ro/a; echo x > /ro/x'
put flags 'grep " /ro " /proc/mounts | cut -d" " -f4'
put remount 'mount -o remount,rw /ro && echo x > /ro/x; echo $?'
put nested 'ls /src/sub/tmp /src/sub/tmp/in | tr -s "\\n"; grep -c " /src/sub/tmp " /proc/mounts'
put inner 'cat /src/sub/tmp/in/b'
put small 'df -k /small | tail -1'
put smallflags 'grep " /small " /proc/mounts | cut -d" " -f4'
put root 'ls / /proc/1/root/'
put all 'grep -c virtiofs /proc/mounts'
"""


@pytest.fixture(scope="module")
def seen(session_home, tmp_path_factory):
    """What one sandbox with many mounts sees, and the host's folder afterwards."""
    home = tmp_path_factory.mktemp("mounts")
    (home / "src" / "sub").mkdir(parents=True)
    (home / "src" / "a").write_text("from the host\n")
    (home / "src" / "sub" / "b").write_text("deeper\n")
    (home / "file").write_text("one file\n")
    (home / "name").write_text("mine\n")
    # Children are given before their parents.
    out = session_home(
        "run", "-q", "-v", f"{home}/src/sub:/src/sub/tmp/in:ro",
        "--tmpfs", "/src/sub/tmp", "-v", f"{home}/src:/src",
        "--mount-file", f"{home}/file:/etc/deep/er/conf",
        "-v", f"{home}/name:/etc/hostname:ro", "--mount-dir",
        f"{home}/src:/ro:ro,noexec,nosuid,nodev", "--tmpfs", "/small:2M:noexec", "busybox", "--",
        "sh", "-c", PROBE).text()
    return dict(line.split("=", 1) for line in out.splitlines()), home


@pytest.mark.lab
def test_folder(seen):
    said, home = seen
    assert said["read"] == "from the host deeper "
    assert (home / "src" / "sub" / "new").read_text() == "new\n"
    assert (home / "src" / "dir" / "x").read_text() == "x\n"


@pytest.mark.lab
def test_file(seen):
    said, home = seen
    assert said["file"] == "one file "
    assert (home / "file").read_text() == "changed\n"
    assert said["replaced"] == "mine "
    assert (home / "name").read_text() == "mine\n"


@pytest.mark.lab
def test_read_only_is_held_by_the_host(seen):
    said, home = seen
    assert said["ro"].startswith("from the host ") and "Read-only" in said["ro"]
    assert not said["remount"].endswith("0 ")
    assert not (home / "src" / "x").exists()
    assert set("ro noexec nosuid nodev".split()) <= set(said["flags"].strip().split(","))


@pytest.mark.lab
def test_nested_mounts(seen):
    said, home = seen
    assert said["nested"].split()[-1] == "1" and said["inner"] == "deeper "
    # The mount point of what is mounted below was made in the host's folder.
    assert (home / "src" / "sub" / "tmp").is_dir()
    assert list((home / "src" / "sub" / "tmp").iterdir()) == []


def test_tmpfs_options(seen):
    said, _ = seen
    assert said["small"].split()[1] == "2048"
    assert {"noexec", "nosuid", "nodev"} <= set(said["smallflags"].strip().split(","))


def test_the_root_of_all_shares_is_out_of_reach(seen):
    said, _ = seen
    assert "shares" not in said["root"].split()
    assert said["all"] == "5 "


def test_links_are_followed_in_the_guest_only(msb, folder):
    """A link to /etc in a folder leads a mount to the guest's /etc."""
    os.symlink("/etc", folder / "src" / "link")
    r = msb("run", "-q", "-v", f"{folder}/src:/src", "--tmpfs", "/src/link/msb-test-point",
            "busybox", "--", "sh", "-c", "grep -c ' /etc/msb-test-point tmpfs ' /proc/mounts")
    assert r.text() == "1\n"
    assert not os.path.exists("/etc/msb-test-point")


@pytest.mark.lab
def test_quota(msb, folder):
    r = msb("run", "-q", "-v", f"{folder}/src:/src:quota=2M", "busybox", "--", "sh", "-c",
            "df -k /src | tail -1; dd if=/dev/zero of=/src/big bs=64k count=100 2>&1; "
            "rm /src/big; dd if=/dev/zero of=/src/big bs=64k count=10 && echo fits")
    assert b"No space left" in r.out and r.ok().endswith(b"fits\n")
    assert int(r.out.split()[1]) == 2048
    assert (folder / "src" / "big").stat().st_size == 640 << 10


def test_owners(msb, folder):
    """Files belong to the user of the sandbox, which the image may name, or to who is named."""
    who = "stat -c %u:%g /src/a; rm -f /src/mine; touch /src/mine && stat -c %u:%g /src/mine"
    r = msb("run", "-q", "-u", "1000:1001", "-v", f"{folder}/src:/src", "busybox", "--", "sh", "-c",
            who)
    assert r.text().split() == ["1000:1001", "1000:1001"]
    r = msb("run", "-q", "-u", "user", "-v", f"{folder}/src:/src", "busybox", "--", "sh", "-c", who)
    assert r.text().split() == ["1000:1000", "1000:1000"]
    r = msb("run", "-q", "-u", "nobody:7", "-v", f"{folder}/src:/src", "busybox", "--", "sh", "-c",
            who)
    assert r.text().split() == ["65534:7", "65534:7"]
    r = msb("run", "-q", "-v", f"{folder}/src:/src:uid=7,gid=8", "busybox", "--", "sh", "-c",
            "stat -c %u:%g /src/a; chown 55:66 /src/a; stat -c %u:%g /src/a")
    assert r.text().split() == ["7:8", "55:66"]
    assert (folder / "src" / "a").stat().st_uid == os.getuid()


def test_root_symlinks(msb, folder):
    os.symlink("src", folder / "link")
    msb("run", "-v", f"{folder}/link:/x", "busybox", "--", "true").failed(
        saying="it is a symbolic link")
    r = msb("run", "-q", "-v", f"{folder}/link:/x:follow-root-symlinks", "busybox", "--", "cat",
            "/x/a")
    assert r.text() == "from the host\n"


def test_restricted(msb, folder):
    r = msb("run", "-q", "--security", "restricted", "-v", f"{folder}/src:/x", "busybox", "--",
            "grep", " /x ", "/proc/mounts")
    assert {"nosuid", "nodev"} <= set(r.text().split()[3].split(","))


def test_conf(msb, folder):
    """Relative paths start at the file's folder, wherever it is used."""
    path = folder / "sandbox.yaml"
    path.write_text("""
image: busybox
mounts:
  - ./src:/a:ro
  - {bind: ./file, target: /b, readonly: true}
  - {tmpfs: {size: 1M}, target: /c, noexec: true}
  - {named: fresh, target: /d}
  - {bind: ./none, target: /e}
cmd: [sh, -c, 'cat /a/a /b; df -k /c | tail -1; ls /e; echo kept > /d/x']
""")
    r = msb("run", "-q", "--conf", str(path), "-v", f"{folder}/src/sub:/e")
    lines = r.text().splitlines()
    assert lines[:2] == ["from the host", "one file"]
    assert lines[2].split()[1] == "1024" and lines[3:] == ["b"]
    msb("volume", "rm", "-q", "fresh").ok()


def test_shown_and_kept(msb, folder, name):
    """A sandbox has its mounts again when it is started again."""
    msb("run", "-q", "--name", name, "-v", f"{folder}/src:/src:ro,noexec", "-v",
        f"{folder}/file:/f", "--tmpfs", "/t:4M", "busybox", "--", "true").ok()
    text = msb("inspect", name).text()
    assert (f"\nMounts\n  /f → {folder}/file (rw)\n  /src → {folder}/src (ro, noexec)\n"
            "  /t → tmpfs (4 MiB)\n") in text
    mounts = json.loads(msb("inspect", "--format", "json", name).ok())["config"]["mounts"]
    assert [(m["kind"], m["target"], m["read_only"]) for m in mounts] == [
        ("file", "/f", False), ("dir", "/src", True), ("tmpfs", "/t", False)]
    assert msb("exec", name, "--", "cat", "/src/a").text() == "from the host\n"
    (folder / "file").unlink()
    msb("exec", name, "--", "true").failed(saying="No such file")


# --- what goes wrong ---------------------------------------------------------------------------


def test_refused_before_any_work(msb, folder):
    """Not even an image that does not exist is asked for."""
    def refused(*options, rc=1, saying):
        msb("run", "--pull", "never", *options, "no-such-image", "--", "true").failed(rc, saying)

    refused("-v", f"{folder}/nothing:/x", saying="cannot mount")
    refused("-v", f"{folder}/src:x", rc=2, saying="must be absolute")
    refused("-v", f"{folder}/src:/", rc=2, saying="guest root /")
    refused("-v", f"{folder}/src:/x:ro,ro", rc=2, saying="more than once")
    refused("-v", f"{folder}/src:/x", "--tmpfs", "/x/", saying="two mounts at '/x'")
    refused("--mount-dir", f"{folder}/file:/x", saying="it is no directory")
    refused("--mount-file", f"{folder}/src:/x", saying="it is no regular file")
    refused("-v", f"{folder}/file:/x", "--tmpfs", "/x/y", saying="'/x' is a file")
    refused("-v", "/dev/null:/x", saying="it is no regular file")
    refused("--mount-disk", f"{folder}/file:/x", saying="multiple of 512")


def test_own_files(msb, folder):
    """A folder by which a sandbox could change what msb runs is warned of, unless it is read-only."""
    def said(*options):
        return msb("run", "--pull", "never", *options, "no-such-image", "--", "true").err

    home = os.path.realpath(msb.path)
    for path in home, os.path.dirname(home), os.path.join(home, "sandboxes"), "/":
        assert b"has msb's own files in it" in said("-v", f"{path}:/x"), path
    for path in f"{folder}/src:/x", f"{home}:/x:ro", f"{home}/db/msb.db:/x":
        assert b"own files" not in said("-v", path), path
    assert b"own files" not in said("-q", "-v", f"{home}:/x")


def test_errors_of_the_guest(msb, folder):
    """Told by the start, of which nothing is left (the fixture looks)."""
    def refused(*options, saying):
        msb("run", "-q", *options, "busybox", "--", "true").failed(saying=saying)

    refused("-v", f"{folder}/file:/etc", saying="cannot mount a file at '/etc'")
    refused("-v", f"{folder}/src:/etc/passwd", saying="that is a file")
    refused("-v", f"{folder}/src:/a:ro", "--tmpfs", "/a/b", saying="is read-only")


# --- disks -------------------------------------------------------------------------------------


@pytest.mark.lab
def test_disk(msb, folder, name):
    path = image(folder / "disk.img")
    r = msb("run", "-q", "--mount-disk", f"{path}:/d", "busybox", "--", "sh", "-c",
            "echo kept > /d/x; grep ' /d ' /proc/mounts")
    assert r.text().split()[2] == "ext4"
    # Nobody said sync, and the sandbox has no name.
    assert is_clean(path)
    r = msb("run", "-q", "--name", name, "--mount-disk", f"{path}:/d:ro,fstype=ext4,noexec",
            "busybox", "--", "sh", "-c", "cat /d/x; echo x > /d/y")
    assert r.rc == 1 and r.out == b"kept\n" and b"Read-only" in r.err
    assert f"/d → disk:{path} (raw) [ext4] (ro, noexec)\n" in msb("inspect", name).text()


def test_disk_has_one_writer(msb, folder, name):
    path = image(folder / "disk.img")
    msb("create", "-q", "--name", name, "--mount-disk", f"{path}:/d", "busybox").ok()
    for options in "", ":ro":
        msb("run", "-q", "--mount-disk", f"{path}:/d{options}", "busybox", "--", "true").failed(
            saying="in use by another sandbox")
    msb("stop", "-q", name).ok()
    msb("run", "-q", "--mount-disk", f"{path}:/d", "busybox", "--", "true").ok()


@pytest.mark.lab
def test_full_machine(msb, folder):
    """As many disks as there are places, beside everything else that takes one."""
    one, two = image(folder / "1.img"), image(folder / "2.img")
    options = ["--mount-disk", f"{one}:/1", "--mount-disk", f"{two}:/2:ro", "-v",
               f"{folder}/src:/src"]
    r = msb("run", "-q", *options, "busybox", "--", "sh", "-c", "ls /1; ls /2; cat /src/a")
    assert r.text() == "lost+found\nlost+found\nfrom the host\n"
    three = image(folder / "3.img")
    msb("run", *options, "--mount-disk", f"{three}:/3", "busybox", "--", "true").failed(
        saying="too many disks")


def test_root_disk(msb, name):
    """Smaller and larger than usual; it has its size at the next start as well."""
    for size, blocks in ("128M", 128 << 10), ("5G", 5 << 20):
        r = msb("run", "-q", "--root-disk", size, "busybox", "--", "df", "-k", "/")
        assert 0.8 * blocks < int(r.text().splitlines()[-1].split()[1]) <= blocks
    msb("run", "-q", "--name", name, "--root-disk", "256M", "busybox", "--", "sh", "-c",
        "echo kept > /x").ok()
    assert "256 MiB (managed, ext4)" in msb("inspect", name).text()
    r = msb("exec", name, "--", "sh", "-c", "cat /x; dd if=/dev/zero of=/big bs=1M count=300")
    assert r.rc == 1 and r.out == b"kept\n" and b"No space left" in r.err
    assert is_clean(os.path.join(msb.path, "sandboxes", name, "upper.ext4"))
    msb("run", "--root-disk", "64M", "busybox", "--", "true").failed(rc=2, saying="128 MiB")


ROOT_PROBE = """
echo written > /kept; mkdir /dir; chown 5:6 /kept; stat -c %u:%g /kept
cat /etc/hosts; hostname; cat /etc/hostname
grep -c ' / virtiofs rw' /proc/mounts; df -k / | tail -1
"""


@pytest.mark.lab
def test_folder_as_root(msb, folder, name):
    """Written to with --rw-root, and else left alone."""
    root = folder / "root"
    for sub in "bin", "etc":
        (root / sub).mkdir(parents=True)
    shutil.copy(oci.BUSYBOX, root / "bin/busybox")
    for applet in "sh", "cat", "mkdir", "chown", "stat", "hostname", "grep", "df", "tail":
        os.symlink("busybox", root / "bin" / applet)
    (root / "etc/hosts").write_text("10.0.0.1 mine\n")
    before = sorted(os.listdir(root))
    msb("run", "-q", str(root), "--", "/bin/sh", "-c", "echo x > /lost; mkdir /dir").ok()
    assert sorted(os.listdir(root)) == before
    r = msb("run", "-q", "--rw-root", "--root-disk", "1G", "--name", name, str(root), "--", "/bin/sh",
            "-c", ROOT_PROBE)
    owner, *hosts, host, etc_host, mounts, space = r.text().splitlines()
    assert owner == "5:6" and hosts[0] == "10.0.0.1 mine" and len(hosts) > 1
    assert (host, etc_host, mounts) == (name, name, "1")
    assert 0.99 * (1 << 20) < int(space.split()[1]) <= 1 << 20
    assert (root / "kept").read_text() == "written\n" and (root / "dir").is_dir()
    assert (root / "etc/hosts").read_text() == "10.0.0.1 mine\n"
    text = msb("inspect", name).text()
    assert f"Root Folder:  {root} (rw)\n" in text and "Root Disk" not in text
    assert msb("exec", name, "--", "/bin/cat", "/kept").text() == "written\n"
    # What is no directory there is the user's, and not removed.
    (root / ".msb").rmdir()
    (root / ".msb").write_text("mine\n")
    msb("exec", name, "--", "/bin/cat", "/kept").failed(saying="'/.msb'")
    assert (root / ".msb").read_text() == "mine\n"
    msb("run", "--rw-root", "busybox", "--", "true").failed(rc=2, saying="needs a folder as root")


def test_unusable_disks(msb, folder):
    for name, content in ("qcow2", b"QFI\xfb"), ("vmdk", b"KDMV"):
        path = folder / name
        path.write_bytes(content.ljust(1024, b"\0"))
        r = msb("run", "--mount-disk", f"{path}:/d", "busybox", "--", "true")
        assert name in r.failed(saying="in the format") and b"qemu-img convert" in r.err
    path = folder / "empty"
    path.write_bytes(bytes(MIB))
    msb("run", "-q", "--mount-disk", f"{path}:/d", "busybox", "--", "true").failed(
        saying="no file system that is known")
    path = folder / "xfs"
    path.write_bytes(b"XFSB".ljust(MIB, b"\0"))
    msb("run", "-q", "--mount-disk", f"{path}:/d", "busybox", "--", "true").failed(
        saying="the guest's kernel has no xfs")
