"""Shared directories as a guest sees them: the file server of msb-vmm, without a monitor."""
import os
import shutil
import stat
import subprocess

import pytest

import harness
from shares import Guest
from vmm import STDIN

OVERRIDE = "user.msb.override_stat"
MIB = 1 << 20


@pytest.fixture
def shared(tmp_path):
    path = tmp_path / "shared"
    path.mkdir()
    return path


@pytest.fixture
def guest(tmp_path, shared):
    with Guest(tmp_path / "vmm", (shared,)) as vmm:
        yield vmm.boot()


def fscheck(guest, *args):
    r = guest.exec("fscheck", *args)
    assert r.rc == 0, r.out.decode()
    return r.out.decode()


# --- what programs rely on -----------------------------------------------------------------------


@pytest.mark.lab
@pytest.mark.parametrize("place", ["/s/0/table", "/root/table"])
def test_table(guest, place):
    """The same on a share and on the disk of the sandbox."""
    guest.run(f"mkdir {place}")
    assert "not ok" not in fscheck(guest, "table", place)


def test_random_file(guest):
    for seed in range(1, 5):
        guest.run(f"mkdir /s/0/f{seed}")
        fscheck(guest, "file", f"/s/0/f{seed}", str(seed), "400")


def test_random_tree(guest):
    for seed in range(1, 4):
        guest.run(f"mkdir /s/0/t{seed}")
        fscheck(guest, "tree", f"/s/0/t{seed}", str(seed), "400")


# --- the host's side -----------------------------------------------------------------------------


def test_host_and_guest_see_each_other(guest, shared):
    (shared / "from-host").write_text("1")
    assert guest.run("cat /s/0/from-host") == "1"
    guest.run("echo -n 2 >/s/0/from-guest; mkdir /s/0/d; ln -s x /s/0/l")
    assert (shared / "from-guest").read_text() == "2"
    assert (shared / "d").is_dir() and os.readlink(shared / "l") == "x"
    # What the host changes shows when the guest's memory of it is old; a file that has another
    # length does when it is opened.
    (shared / "from-guest").write_text("changed by the host")
    guest.run("i=0; while [ \"$(cat /s/0/from-guest)\" != 'changed by the host' ]; do usleep 50000; done")
    (shared / "late").write_text("x")
    guest.run("while ! [ -e /s/0/late ]; do usleep 50000; done")
    os.unlink(shared / "late")
    guest.run("while [ -e /s/0/late ]; do usleep 50000; done")
    # Another file under a known name, and one that had been a directory.
    guest.run("cat /s/0/from-host; ls /s/0/d")
    (shared / "new").write_text("another")
    os.replace(shared / "new", shared / "from-host")
    (shared / "d").rmdir()
    (shared / "d").write_text("a file now")
    guest.run("while [ \"$(cat /s/0/from-host)\" != another ]; do usleep 50000; done;"
              "while [ \"$(cat /s/0/d)\" != 'a file now' ]; do usleep 50000; done")


def test_owners_and_modes(guest, shared):
    """What the guest sets is for the guest; the host's files stay those of an ordinary user."""
    guest.run("cd /s/0; echo x >f; chown 1000:2000 f; chmod 6755 f; mkdir d; chmod 777 d; mknod null c 1 3;"
              "mkfifo p; echo '#!/bin/sh' >script; chmod 755 script")
    assert guest.run("cd /s/0; stat -c '%n %u %g %a %F' f d null p") == (
        "f 1000 2000 6755 regular file\nd 0 0 777 directory\n"
        "null 0 0 644 character special file\np 0 0 644 fifo\n")
    for name, mode in (("f", 0o700), ("d", 0o700), ("null", 0o600), ("p", 0o600), ("script", 0o700)):
        st = os.lstat(shared / name)
        assert st.st_uid == os.geteuid() and stat.S_IMODE(st.st_mode) == mode, name
    assert stat.S_ISREG(os.lstat(shared / "null").st_mode) and stat.S_ISREG(os.lstat(shared / "p").st_mode)
    # The attribute is out of reach for the guest.
    assert len(os.getxattr(shared / "f", OVERRIDE)) == 20
    # One that makes no sense is as good as none.
    os.setxattr(shared / "f", OVERRIDE, b"x" * 20)
    guest.run("cd /s/0; while [ \"$(stat -c '%u %a' f)\" != '0 700' ]; do usleep 50000; done")


def test_options_of_owner(tmp_path, shared):
    (shared / "f").write_text("x")
    (shared / "suid").write_text("x")
    os.chmod(shared / "suid", 0o4755)
    other = tmp_path / "mirrored"
    other.mkdir()
    real = tmp_path / "real"
    real.mkdir()
    with Guest(tmp_path / "vmm", (shared, "uid=1234", "gid=99"), (other, "perms=mirror"),
               (real, "virt=off")) as vmm:
        vmm.boot()
        assert vmm.run("stat -c '%u %g %a' /s/0/f /s/0/suid") == "1234 99 644\n1234 99 755\n"
        vmm.run("cd /s/1; echo x >f; chmod 4664 f; mkdir d; chmod 775 d; echo x >g; chmod 0 g")
        assert vmm.run("stat -c %a /s/1/f /s/1/d /s/1/g") == "4664\n775\n0\n"
        for name, mode in (("f", 0o664), ("d", 0o775), ("g", 0o600)):
            assert stat.S_IMODE(os.stat(other / name).st_mode) == mode
        vmm.run("cd /s/2; echo x >f; chmod 640 f")
        assert stat.S_IMODE(os.stat(real / "f").st_mode) == 0o640
        assert OVERRIDE not in os.listxattr(real / "f")
        vmm.fails("mkfifo /s/2/p", "not permitted")


def test_read_only(tmp_path, shared):
    (shared / "f").write_text("x")
    (shared / "d").mkdir()
    with Guest(tmp_path / "vmm", (shared, "ro")) as vmm:
        vmm.boot()
        assert vmm.run("cat /s/0/f") == "x"
        for script in ("echo y >/s/0/f", "echo y >>/s/0/f", "touch /s/0/new", "mkdir /s/0/new", "rm /s/0/f",
                       "rmdir /s/0/d", "mv /s/0/f /s/0/g", "ln /s/0/f /s/0/g", "ln -s x /s/0/l",
                       "chmod 600 /s/0/f", "chown 1 /s/0/f", "touch -d 2020-01-01 /s/0/f", "mkfifo /s/0/p",
                       "truncate -s 0 /s/0/f"):
            vmm.fails(script, "Read-only file system")
    assert sorted(os.listdir(shared)) == ["d", "f"] and (shared / "f").read_text() == "x"
    assert not os.listxattr(shared / "f")


def test_single_file(tmp_path, shared):
    one, two = shared / "one", shared / "two"
    one.write_text("1\n")
    two.write_text("2\n")
    with Guest(tmp_path / "vmm", (one, "file"), (two, "file", "ro")) as vmm:
        vmm.boot()
        vmm.run("touch /root/one && mount --bind /s/0 /root/one && echo more >>/root/one")
        assert vmm.run("cat /root/one /s/1") == "1\nmore\n2\n"
        vmm.fails("echo x >/s/1", "Read-only file system")
        # Nothing is above it, and nothing beside it.
        vmm.fails("cat /s/0/../two /s/two", "No such file")
        vmm.run("truncate -s 3 /s/0; chmod 4755 /s/0; [ $(stat -c %a /s/0) = 4755 ]")
    assert one.read_text() == "1\nm" and two.read_text() == "2\n"


# --- nothing outside -----------------------------------------------------------------------------


def test_links_lead_nowhere_on_the_host(guest, shared, tmp_path):
    """A link is a text for the guest's kernel, whoever made it."""
    secret = tmp_path / "secret"
    secret.write_text("secret of the host")
    os.symlink(secret, shared / "absolute")
    os.symlink("../secret", shared / "relative")
    (shared / "real").mkdir()
    for name in ("absolute", "relative"):
        guest.fails(f"cat /s/0/{name}", "No such file")
    guest.run(f"ln -s {tmp_path} /s/0/dir")
    guest.fails("cat /s/0/dir/secret", "No such file")
    # A directory that the guest stands in turns into a link to elsewhere.
    (shared / "real/f").write_text("inside")
    holder = guest.start("sh", "-c", "cd /s/0/real && cat f && read x; cat secret; ls /s/0/real", stdin=True)
    assert holder.receive()[1] == b"inside"
    os.rename(shared / "real", shared / "old")
    os.symlink(tmp_path, shared / "real")
    holder.send(STDIN, b"\n")
    r = guest.finish(holder)
    assert b"secret of the host" not in r.out + r.err
    assert secret.read_text() == "secret of the host"


def test_race_with_the_host(guest, shared, tmp_path):
    """A directory and a link to one outside change places all the time: never is a file outside read,
    written or made."""
    outside = tmp_path / "outside"
    for place in (outside, shared / "d"):
        place.mkdir()
        (place / "f").write_text("inside" if place != outside else "outside")
    os.symlink(outside, shared / "l")
    racer = subprocess.Popen(["python3", "-c", """
import ctypes, os, sys
libc = ctypes.CDLL(None)
os.chdir(sys.argv[1])
while True:
    libc.renameat2(-100, b"d", -100, b"l", 2)
""", shared])
    try:
        out = guest.shell("""for i in $(seq 400); do cat /s/0/d/f; echo -n x >/s/0/d/new; rm -f /s/0/d/new; done 2>/dev/null
                          true""").out
    finally:
        racer.kill()
        racer.wait()
    assert b"outside" not in out and b"inside" in out
    assert os.listdir(outside) == ["f"] and (outside / "f").read_text() == "outside"


def test_two_shares(tmp_path, shared):
    other = tmp_path / "other"
    other.mkdir()
    with Guest(tmp_path / "vmm", (shared,), (other,)) as vmm:
        vmm.boot()
        vmm.run("echo x >/s/0/f && mv /s/0/f /s/1/f && cat /s/1/f")
        assert vmm.run("stat -c %d /s/0 /s/1 | uniq | wc -l") == "2\n"
        assert vmm.run("ls /s/0 /s/1") == "/s/0:\n\n/s/1:\nf\n"


# --- limits --------------------------------------------------------------------------------------


def test_quota(tmp_path, shared):
    (shared / "before").write_bytes(b"x" * 3 * MIB)
    with Guest(tmp_path / "vmm", (shared, f"quota={4 * MIB}")) as vmm:
        vmm.boot()
        # What was there before is not counted.
        vmm.run("dd if=/dev/zero of=/s/0/a bs=1M count=3 2>/dev/null")
        vmm.fails("dd if=/dev/zero of=/s/0/b bs=1M count=2", "No space left")
        vmm.fails("truncate -s 5M /s/0/c", "No space left")
        used = sum(f.stat().st_size for f in shared.iterdir()) - 3 * MIB
        assert 3 * MIB < used <= 4 * MIB
        vmm.run("rm -f /s/0/b /s/0/c && dd if=/dev/zero of=/s/0/b bs=1k count=500 2>/dev/null")
        # Overwriting costs nothing.
        vmm.run("dd if=/dev/zero of=/s/0/a bs=1M count=3 conv=notrunc 2>/dev/null")
        # Removed, but still there.
        vmm.run("exec 3>/s/0/open; dd if=/dev/zero bs=1k count=200 >&3 2>/dev/null; rm /s/0/open;"
                "! dd if=/dev/zero of=/s/0/more bs=1k count=300 2>/dev/null; rm /s/0/more; exec 3>&-;"
                "dd if=/dev/zero of=/s/0/more bs=1k count=300 2>/dev/null; rm /s/0/more")
        # Files without contents come to an end, too.
        vmm.fails("i=0; while [ $i -lt 2000 ]; do : >/s/0/empty$i || exit 1; i=$((i + 1)); done",
                  "No space left")


def test_size(tmp_path, shared):
    (shared / "before").write_bytes(b"x" * 3 * MIB)
    with Guest(tmp_path / "vmm", (shared, f"size={8 * MIB}")) as vmm:
        vmm.boot()
        total, used, free = map(int, vmm.run("cd /s/0 && df -k . | tail -n 1").split()[1:4])
        assert total == 8192 and 3072 <= used <= 3072 + 64 and free == total - used
        vmm.run("dd if=/dev/zero of=/s/0/a bs=1M count=4 2>/dev/null")
        vmm.fails("dd if=/dev/zero of=/s/0/b bs=1M count=2", "No space left")
        vmm.run("rm /s/0/before /s/0/b && dd if=/dev/zero of=/s/0/b bs=1M count=2 2>/dev/null")


# --- ends ----------------------------------------------------------------------------------------


def test_mounted_again(guest):
    guest.run("echo kept >/s/0/f; exec 3</s/0/f; umount -l /s; mount -t virtiofs msb /mnt 2>/dev/null ||"
              "true; exec 3<&-; umount /mnt 2>/dev/null; mount -t virtiofs msb /s && cat /s/0/f")


def test_many_files_few_descriptors(tmp_path, shared):
    """More files than descriptors, known to the guest and some open."""
    script = ("cd /s/0; for d in $(seq 40); do mkdir -p $d/a/b/c; for f in 1 2 3 4 5 6 7 8; do echo $d$f >$d/a/b/c/$f;"
              "done; done; cat */a/b/c/* | wc -l; mv 1 x; cat x/a/b/c/3 40/a/b/c/8; find . | wc -l; rm -r *; ls | wc -l")
    with Guest(tmp_path / "vmm", (shared,), wrapper=["sh", "-c", 'ulimit -n 300; exec "$@"', "sh"]) as vmm:
        vmm.boot()
        assert vmm.run(script).split() == ["320", "13", "408", str(1 + 40 * 12), "0"]


def test_refused_shares(tmp_path):
    """Arguments that make no sense, before anything starts."""
    vmm = os.path.join(os.path.dirname(os.path.dirname(harness.MSB)), "lib/msb-vmm")
    fd = os.open(tmp_path, os.O_PATH)
    for value, words in (("ro", "needs fd="), (f"fd={fd},x", "unknown field 'x'"), (f"fd={fd},uid=-1", "is no number"),
                         (f"fd={fd},virt=maybe", "unknown virt 'maybe'"), (f"fd={fd},uid=4294967295", "is no number"),
                         (f"fd={fd},size=", "is no number")):
        r = subprocess.run([vmm, "--events=1", "--kernel=0", f"--share={value}"], pass_fds=[fd], check=False,
                           stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert r.returncode == 2 and words in r.stderr, (value, r.stderr)
    os.close(fd)


def test_killed_while_writing(tmp_path, shared):
    """What the guest had written is there, and nothing is half-named."""
    with Guest(tmp_path / "vmm", (shared,)) as vmm:
        vmm.boot()
        writer = vmm.start("sh", "-c", "i=0; while true; do i=$((i+1)); echo $i >/s/0/.tmp; mv /s/0/.tmp /s/0/$i;"
                           "echo $i; done")
        seen = b""
        while seen.count(b"\n") < 50:
            seen += writer.receive()[1]
        vmm.process.kill()
        vmm.process.wait()
        writer.close()
    last = int(seen.split()[-1])
    for i in range(1, last + 1):
        assert (shared / str(i)).read_text() == f"{i}\n"
    shutil.rmtree(shared)
