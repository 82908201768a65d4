"""Files and directories between the host and sandboxes: msb copy."""
import os
import signal
import stat

import pytest

import harness
from harness import finish

pytestmark = pytest.mark.lab

NAMES = [b"plain", b"with space", b"new\nline", b"tab\t\"quotes\"\\", b"\xff\xfe no utf-8",
         "ä€𝄞".encode(), b"-dash", b"~", b"x" * 255]
MIB = 1 << 20


@pytest.fixture
def place(inside):
    """A new directory in the box."""
    path = inside("mktemp -d /tmp/copy-XXXXXX").text().strip()
    yield path
    inside(f"rm -rf {path}").ok()


@pytest.fixture
def stopped(msb, name):
    """A sandbox that was there before and has a file."""
    msb("run", "-m", "128M", "--name", name, "busybox", "--", "sh", "-c", "echo its >/root/own").ok()
    return name


def put(path, data=b"data", mode=0o644):
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)
    return path


def get(path):
    with open(path, "rb") as f:
        return f.read()


def tree(root):
    """What is in a directory, by name from there: kind, mode, modification time, and content."""
    found = {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in [b".", *files] + [f for f in folders if os.path.islink(os.path.join(folder, f))]:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            content = (os.readlink(path) if stat.S_ISLNK(st.st_mode) else
                       get(path) if stat.S_ISREG(st.st_mode) else b"")
            found[os.path.relpath(path, os.fsencode(root))] = (
                st.st_mode, None if stat.S_ISLNK(st.st_mode) else st.st_mtime_ns, content)
    return found


def make_tree(root):
    os.makedirs(os.path.join(root, "sub", "empty"))
    os.makedirs(os.path.join(root, "private"))
    put(os.path.join(root, "script"), b"#!/bin/sh\necho ran\n", 0o755)
    put(os.path.join(root, "secret"), b"s", 0o600)
    put(os.path.join(root, "empty-file"), b"")
    put(os.path.join(root, "big"), os.urandom(300001))
    os.symlink("script", os.path.join(root, "link"))
    os.symlink("../nowhere", os.path.join(root, "sub", "dangling"))
    os.symlink("sub", os.path.join(root, "link-to-dir"))
    for i, name in enumerate(NAMES):
        put(os.path.join(os.fsencode(root), b"sub", name), b"%d" % i)
    os.utime(os.path.join(root, "secret"), ns=(0, 1234567890123456789))
    os.utime(os.path.join(root, "sub"), ns=(0, 1000000001))
    os.chmod(os.path.join(root, "private"), 0o1700)
    return tree(root)


# --- what is copied ----------------------------------------------------------------------------


def test_file_there_and_back(msb, box, place, inside, tmp_path):
    source = put(tmp_path / "file", os.urandom(200001), 0o640)
    r = msb("copy", str(source), f"{box}:{place}")
    assert r.ok() == b"" and "✓ Copied".encode() in r.err
    assert inside(f"stat -c '%a %u %g %s' {place}/file").ok() == b"640 0 0 200001\n"
    r = msb("cp", "-q", f"{box}:{place}/file", str(tmp_path / "back"))
    assert r.ok() == b"" and r.err == b""
    assert get(tmp_path / "back") == get(source)
    assert os.stat(tmp_path / "back").st_mtime_ns == os.stat(source).st_mtime_ns


def test_tree_there_and_back(msb, box, place, inside, tmp_path):
    """Modes, times, links, empty directories and every kind of name."""
    before = make_tree(str(tmp_path / "tree"))
    msb("cp", str(tmp_path / "tree"), f"{box}:{place}").ok()
    assert inside(f"{place}/tree/link").ok() == b"ran\n"
    assert inside(f"find {place} ! -user root").ok() == b""
    msb("cp", f"{box}:{place}/tree", str(tmp_path / "back")).ok()
    assert tree(tmp_path / "back") == before


def test_sparse_file_stays_sparse(msb, box, place, inside, tmp_path):
    source = tmp_path / "sparse"
    with open(source, "wb") as f:
        f.seek(64 * MIB)
        f.write(b"data")
        f.truncate(128 * MIB)
    msb("cp", str(source), f"{box}:{place}").ok()
    size, blocks = map(int, inside(f"stat -c '%s %b' {place}/sparse").text().split())
    assert size == 128 * MIB and blocks * 512 < MIB
    msb("cp", f"{box}:{place}/sparse", str(tmp_path / "back")).ok()
    st = os.stat(tmp_path / "back")
    assert st.st_size == size and st.st_blocks * 512 < MIB
    with open(tmp_path / "back", "rb") as f:
        f.seek(64 * MIB)
        assert f.read(5) == b"data\0"


def test_many_files(msb, box, place, inside, tmp_path):
    for i in range(20):
        os.makedirs(tmp_path / "many" / str(i))
        for j in range(50):
            put(tmp_path / "many" / str(i) / str(j), b"%d %d" % (i, j))
    msb("cp", str(tmp_path / "many"), f"{box}:{place}").ok()
    assert inside(f"find {place}/many -type f | wc -l").ok() == b"1000\n"
    msb("cp", f"{box}:{place}/many", str(tmp_path / "back")).ok()
    assert tree(tmp_path / "back") == tree(tmp_path / "many")


def test_special_files_are_skipped(msb, box, place, inside, tmp_path):
    inside(f"cd {place} && mkdir d && mkfifo d/pipe && mknod d/null c 1 3 && echo x >d/file").ok()
    r = msb("cp", f"{box}:{place}/d", str(tmp_path))
    r.ok()
    assert os.listdir(tmp_path / "d") == ["file"]
    assert b"warn: skipped 'pipe': a named pipe" in r.err and b"'null': a device" in r.err
    msb("cp", f"{box}:{place}/d/pipe", str(tmp_path)).failed(1, "named pipe")
    os.mkfifo(tmp_path / "d" / "fifo")
    r = msb("cp", str(tmp_path / "d"), f"{box}:{place}/e")
    r.ok()
    assert b"warn: skipped 'fifo': a named pipe" in r.err
    assert inside(f"ls {place}/e").ok() == b"file\n"


def test_set_id_bits_do_not_leave(msb, box, place, inside, tmp_path):
    inside(f"touch {place}/f && chmod 6755 {place}/f").ok()
    msb("cp", f"{box}:{place}/f", str(tmp_path / "f")).ok()
    assert stat.S_IMODE(os.stat(tmp_path / "f").st_mode) == 0o755


def test_follow_link(msb, box, place, inside, tmp_path):
    inside(f"cd {place} && echo text >file && ln -s file link").ok()
    msb("cp", f"{box}:{place}/link", str(tmp_path)).ok()
    assert os.readlink(tmp_path / "link") == "file"
    msb("cp", "-L", f"{box}:{place}/link", str(tmp_path / "followed")).ok()
    assert not os.path.islink(tmp_path / "followed") and get(tmp_path / "followed") == b"text\n"
    msb("cp", "--follow-link", str(tmp_path / "link"), f"{box}:{place}").failed(1, "no such file")


def test_files_of_the_kernel(msb, box, tmp_path):
    """They have no size. In a tree such file systems are left out."""
    msb("cp", f"{box}:/proc/version", str(tmp_path)).ok()
    assert get(tmp_path / "version").startswith(b"Linux version")


def test_whole_root(msb, box, tmp_path):
    r = msb("cp", f"{box}:/", str(tmp_path / "root"))
    r.ok()
    assert os.listdir(tmp_path / "root" / "proc") == []
    assert b"skipped 'proc': a file system of the kernel" in r.err
    assert os.path.isfile(tmp_path / "root" / "bin" / "busybox")


# --- where it goes -----------------------------------------------------------------------------


def test_places(msb, box, place, inside, tmp_path):
    """As cp -r does it."""
    os.mkdir(tmp_path / "d")
    put(tmp_path / "d" / "in", b"1")
    source = str(tmp_path / "d")
    copies = {f"{place}/new": "new/in", f"{place}/new2/": "new2/in", place: "d/in"}
    for to in copies:
        msb("cp", source, f"{box}:{to}").ok()
    msb("cp", f"{source}/.", f"{box}:{place}").ok()
    msb("cp", f"{source}/.", f"{box}:{place}/made").ok()
    msb("cp", f"{source}/in", f"{box}:{place}/file").ok()
    msb("cp", "in", f"{box}:{place}/new", cwd=source).ok()
    listing = inside(f"cd {place} && find . -type f").text().split()
    assert sorted(listing) == sorted(["./" + n for n in copies.values()] +
                                     ["./in", "./made/in", "./file"])
    msb("cp", f"{box}:{place}/new/.", str(tmp_path / "d")).ok()
    msb("cp", f"{box}:{place}/file", ".", cwd=str(tmp_path)).ok()
    assert sorted(os.listdir(tmp_path)) == ["d", "file"]


def test_replacing(msb, box, place, inside, tmp_path):
    put(tmp_path / "file", b"new", 0o600)
    inside(f"cd {place} && echo old >file && chmod 777 file && ln -s file link").ok()
    msb("cp", str(tmp_path / "file"), f"{box}:{place}").ok()
    assert inside(f"stat -c %a {place}/file; cat {place}/file").ok() == b"600\nnew"
    put(tmp_path / "file", b"newer")
    msb("cp", str(tmp_path / "file"), f"{box}:{place}/link").ok()
    assert inside(f"cat {place}/file; readlink {place}/link").ok() == b"newerfile\n"


def test_directory_is_added_to(msb, box, place, inside, tmp_path):
    os.makedirs(tmp_path / "d" / "sub", mode=0o700)
    put(tmp_path / "d" / "sub" / "new")
    inside(f"mkdir -p {place}/d/sub && chmod 755 {place}/d && touch {place}/d/sub/old").ok()
    msb("cp", str(tmp_path / "d"), f"{box}:{place}").ok()
    assert inside(f"stat -c %a {place}/d; ls {place}/d/sub").ok() == b"755\nnew\nold\n"


def test_path_with_a_colon(msb, box, place, inside, tmp_path):
    put(tmp_path / "a:b", b"text")
    msb("cp", "./a:b", f"{box}:{place}", cwd=str(tmp_path)).ok()
    msb("cp", str(tmp_path / "a:b"), f"{box}:{place}/c:d").ok()
    assert inside(f"cat {place}/a:b {place}/c:d").ok() == b"texttext"


# --- between sandboxes -------------------------------------------------------------------------


def test_within_a_sandbox(msb, box, place, inside):
    """Owners and set-id bits are kept."""
    inside(f"cd {place} && mkdir -p a/b && echo x >a/b/f && chown 12:34 a/b/f && "
           "chmod 4751 a/b/f && ln -s f a/b/l && chown -h 5:6 a/b/l").ok()
    msb("cp", f"{box}:{place}/a", f"{box}:{place}/c").ok()
    assert inside(f"cd {place}/c/b && stat -c '%a %u %g' f && stat -c '%u %g' l").ok() == (
        b"4751 12 34\n5 6\n")
    for to in (f"{place}/a", f"{place}/a/b", place):
        msb("cp", f"{box}:{place}/a", f"{box}:{to}").failed(1, "into itself")
    assert inside(f"cd {place} && find a | sort").ok() == b"a\na/b\na/b/f\na/b/l\n"


def test_between_sandboxes(msb, box, place, inside, stopped, tmp_path):
    """One of them is started for it."""
    before = make_tree(str(tmp_path / "tree"))
    msb("cp", str(tmp_path / "tree"), f"{box}:{place}").ok()
    inside(f"mkfifo {place}/tree/pipe; chown 7 {place}/tree/secret").ok()
    r = msb("cp", f"{box}:{place}/tree", f"{stopped}:/root")
    r.ok()
    assert b"skipped 'pipe'" in r.err
    assert msb.sandboxes()[stopped] == "Stopped"
    assert msb("exec", stopped, "--", "stat", "-c", "%u", "/root/tree/secret").ok() == b"7\n"
    msb("cp", f"{stopped}:/root/tree/.", str(tmp_path / "back")).ok()
    assert tree(tmp_path / "back") == {**before, b".": tree(tmp_path / "back")[b"."]}
    msb("cp", f"{box}:{place}/nothing", f"{stopped}:/root").failed(1, f"'{box}'")
    msb("cp", f"{box}:{place}/tree", f"{stopped}:/none/x").failed(1, f"'{stopped}'")
    assert msb.sandboxes()[stopped] == "Stopped"


def test_stopped_sandbox(msb, stopped, tmp_path):
    put(tmp_path / "file", b"text")
    msb("cp", str(tmp_path / "file"), f"{stopped}:/root").ok()
    assert msb.sandboxes()[stopped] == "Stopped"
    msb("cp", f"{stopped}:/root/.", str(tmp_path / "back")).ok()
    assert msb.sandboxes()[stopped] == "Stopped"
    assert (get(tmp_path / "back" / "file"), get(tmp_path / "back" / "own")) == (b"text", b"its\n")


def test_user_of_the_sandbox_does_not_matter(msb, name, tmp_path):
    put(tmp_path / "file")
    msb("create", "-q", "-m", "128M", "-u", "user", "-w", "/tmp", "--name", name, "busybox").ok()
    msb("cp", str(tmp_path / "file"), f"{name}:/root").ok()
    assert msb("exec", "-u", "root", name, "--", "stat", "-c", "%u", "/root/file").ok() == b"0\n"


def test_paused_sandbox(msb, name, tmp_path):
    put(tmp_path / "file")
    msb("create", "-q", "-m", "128M", "--name", name, "busybox").ok()
    msb("pause", "-q", name).ok()
    msb("cp", str(tmp_path / "file"), f"{name}:/root").failed(1, "paused")
    msb("resume", "-q", name).ok()
    msb("cp", str(tmp_path / "file"), f"{name}:/root").ok()


# --- errors ------------------------------------------------------------------------------------


def test_command_line(msb, box, tmp_path):
    put(tmp_path / "file")
    r = msb("copy", "a", "b")
    r.failed(2, "msb copy requires at least one sandbox endpoint (SANDBOX:/path)")
    msb("cp", f"{box}:relative", ".").failed(2, "absolute")
    msb("cp", f"{box}:", ".").failed(2, "absolute")
    msb("cp", "", f"{box}:/").failed(2, "empty")
    msb("cp", f"{box}:/").failed(2)
    msb("cp", f"{box}:/", "a", "b").failed(2)
    msb("cp", str(tmp_path / "file"), "nosuch:/tmp").failed(1, "not found: nosuch")
    msb("cp", "nosuch:/tmp", str(tmp_path)).failed(1, "not found: nosuch")


def test_missing(msb, box, place, stopped, tmp_path):
    put(tmp_path / "file")
    msb("cp", f"{box}:{place}/none", str(tmp_path)).failed(1, f"no such file or directory '{place}/none'")
    msb("cp", f"{box}:{place}", str(tmp_path / "none" / "x")).failed(1, "no such directory")
    msb("cp", str(tmp_path / "none"), f"{stopped}:/").failed(1, "no such file or directory")
    msb("cp", str(tmp_path / "file"), f"{box}:{place}/none/x").failed(1, "no such directory")
    msb("cp", str(tmp_path / "file"), f"{box}:{place}/none/").failed(1, "no such directory")
    assert msb.sandboxes()[stopped] == "Stopped"
    assert os.listdir(tmp_path) == ["file"]


def test_wrong_kind(msb, box, place, inside, tmp_path):
    os.makedirs(tmp_path / "d" / "sub")
    put(tmp_path / "file")
    inside(f"cd {place} && touch file && mkdir -p d file-dir/file && touch d/sub").ok()
    msb("cp", str(tmp_path / "d"), f"{box}:{place}/file").failed(1, "over")
    msb("cp", str(tmp_path / "d"), f"{box}:{place}").failed(1, f"{place}/d/sub")
    msb("cp", str(tmp_path / "file"), f"{box}:{place}/file/").failed(1, "not a directory")
    msb("cp", str(tmp_path / "file"), f"{box}:{place}/file-dir").failed(1, "replace directory")
    msb("cp", str(tmp_path / "file"), f"{box}:/dev/null").failed(1, "neither file nor link")
    msb("cp", f"{box}:{place}/d", str(tmp_path / "file")).failed(1, "over")
    msb("cp", f"{box}:{place}/file/.", str(tmp_path)).failed(1, "not a directory")
    assert inside("stat -c %F /dev/null").ok() == b"character special file\n"


def test_read_only_target(msb, box, place, inside, tmp_path):
    put(tmp_path / "file")
    inside(f"mount -t tmpfs -o ro none {place}").ok()
    r = msb("cp", str(tmp_path / "file"), f"{box}:{place}")
    inside(f"umount {place}").ok()
    r.failed(1, "read-only file system")


def test_disk_full_in_the_guest(msb, box, place, inside, tmp_path):
    """The rest of a large file is not sent for nothing; what was complete stays."""
    os.mkdir(tmp_path / "d")
    put(tmp_path / "d" / "big", bytes(range(256)) * (64 * MIB // 256))
    inside(f"mount -t tmpfs -o size=1m none {place}").ok()
    msb("cp", str(tmp_path / "d"), f"{box}:{place}").failed(1, "no space left on device")
    listing = inside(f"(cd {place} && find .) && umount {place}").ok()
    assert listing == b".\n./d\n"


def test_host_file_that_cannot_be_read(msb, box, place, inside, tmp_path):
    os.mkdir(tmp_path / "d")
    os.symlink("loop", tmp_path / "loop")
    msb("cp", "-L", str(tmp_path / "loop"), f"{box}:{place}").failed(1, "loop")
    assert inside(f"ls -A {place}").ok() == b""


# --- ends --------------------------------------------------------------------------------------


# One number for each page that a process could have: hundreds of gigabytes.
ENDLESS = "/proc/self/pagemap"


def wait_for_part(folder):
    """Until a copy has begun to write a file there, under a name of its own."""
    harness.wait_for(lambda: [n for n in os.listdir(folder) if n.startswith(".msb-") and
                              os.path.getsize(os.path.join(folder, n))], "nothing is written")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_on_the_way_out(msb, box, inside, tmp_path, number):
    os.mkdir(tmp_path / "to")
    p = msb.popen("cp", f"{box}:{ENDLESS}", str(tmp_path / "to"))
    wait_for_part(tmp_path / "to")
    p.send_signal(number)
    finish(p).failed(130, "interrupted")
    assert os.listdir(tmp_path / "to") == []
    assert inside("echo alive").ok() == b"alive\n"


def test_interrupted_on_the_way_in(msb, box, place, inside):
    p = msb.popen("cp", ENDLESS, f"{box}:{place}")
    inside(f"until ls -A {place} | grep -q msb; do :; done").ok()
    p.send_signal(signal.SIGINT)
    finish(p).failed(130, "interrupted")
    inside(f"while ls -A {place} | grep .; do :; done").ok()


def test_sandbox_ends_meanwhile(msb, name, tmp_path):
    os.mkdir(tmp_path / "to")
    msb("create", "-q", "-m", "128M", "--name", name, "busybox").ok()
    p = msb.popen("cp", f"{name}:{ENDLESS}", str(tmp_path / "to"))
    wait_for_part(tmp_path / "to")
    msb("stop", "-q", "--force", name).ok()
    finish(p).failed(1, "sandbox")
    assert os.listdir(tmp_path / "to") == []
