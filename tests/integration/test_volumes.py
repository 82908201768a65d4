"""Volumes: what outlives the sandboxes that mount it."""
import json
import os
import re
import subprocess

import pytest

from harness import LIMIT, MSB

MIB = 1 << 20


@pytest.fixture
def vol(msb):
    """Runs msb volume; afterwards there is none."""
    def run(*args):
        return msb("volume", *args)
    yield run
    for one in msb("volume", "ls", "-q").text().split():
        msb("volume", "rm", "-q", one).ok()
    assert os.listdir(os.path.join(msb.path, "volumes")) == []


def test_commands(vol, msb):
    r = vol("ls")
    assert r.ok() == b"" and r.err == b"No volumes found.\n"
    assert vol("ls", "--format", "json").ok() == b"[]\n"
    assert vol("create", "data", "--size", "1G", "--label", "team=web").text() == "data\n"
    assert msb("vol", "create", "-q", "-n", "other").text() == "other\n"
    vol("create", "data").failed(saying="volume already exists: data")
    header, first, second = vol("ls").text().splitlines()
    assert re.split(r"\s{2,}", header) == ["NAME", "KIND", "SIZE", "CREATED", "USED"]
    assert re.split(r"\s{2,}", first)[:3] == ["data", "dir", "1 GiB"]
    assert re.split(r"\s{2,}", second)[:3] == ["other", "dir", "-"]
    assert msb("volumes", "-q").text() == "data\nother\n"
    text = vol("inspect", "data").text()
    assert re.search(r"^Quota: +1 GiB$", text, re.M)
    assert re.search(r"^Labels: +team=web$", text, re.M)
    assert re.search(r"^Quota: +unlimited$", vol("inspect", "other").text(), re.M)
    j = json.loads(vol("inspect", "data", "--format", "json").ok())
    assert (j["name"], j["kind"], j["quota_mib"], j["capacity_bytes"], j["sandboxes"]) == (
        "data", "dir", 1024, 1 << 30, [])
    assert os.path.isdir(j["path"])
    vol("inspect", "none").failed(saying="volume not found: none")
    r = vol("rm", "none", "data")
    assert r.rc == 1 and b"volume not found: none" in r.err and b"Removed" in r.err
    assert not os.path.exists(j["path"])
    assert msb("volumes", "-q").text() == "other\n"


def test_usage(vol):
    vol("create").failed(rc=2, saying="<NAME>")
    vol("create", "a", "-n", "b").failed(rc=2, saying="named twice")
    vol("create", "../a").failed(saying="volume name must start")
    vol("create", "a", "--kind", "tape").failed(rc=2, saying="tape")
    vol("create", "a", "--kind", "disk", "--size", "64M").failed(saying="too small for ext4")
    vol("prune").failed(saying="nobody can confirm")


@pytest.mark.lab
def test_first_use_and_again(vol, msb, name):
    msb("run", "-q", "-v", "notes:/n", "busybox", "--", "sh", "-c", "echo kept > /n/x").ok()
    path = json.loads(vol("inspect", "notes", "--format", "json").ok())["path"]
    with open(os.path.join(path, "x"), encoding="utf-8") as f:
        assert f.read() == "kept\n"
    # Two at once.
    msb("create", "-q", "--name", name, "-v", "notes:/n", "busybox").ok()
    r = msb("run", "-q", "-v", "notes:/m:ro", "busybox", "--", "sh", "-c", "cat /m/x; echo x > /m/y")
    assert r.rc == 1 and r.out == b"kept\n" and b"Read-only" in r.err
    vol("rm", "notes").failed(saying=f"volume is attached to sandbox '{name}'")
    msb("stop", "-q", name).ok()
    vol("rm", "notes").failed(saying="is attached")
    assert json.loads(vol("prune", "-y", "--format", "json").ok())["volumes_removed"] == []
    assert re.search(rf"^Sandboxes: +{name}$", vol("inspect", "notes").text(), re.M)
    assert "/n → volume:notes (rw)" in msb("inspect", name).text()
    msb("rm", "-q", name).ok()
    vol("rm", "notes").ok()


def test_nothing_is_made_for_a_sandbox_that_is_not(vol, msb):
    msb("run", "--pull", "never", "-v", "a:/a", "no-such-image", "--", "true").failed()
    msb("run", "-d", "-v", "a:/a", "--entrypoint", "", "busybox").failed()
    assert msb("volumes", "-q").ok() == b""


def test_size_of_a_folder(vol, msb):
    vol("create", "-q", "small", "--size", "4M").ok()
    script = ("df -k /s | tail -1; dd if=/dev/zero of=/s/big bs=64k count=100 2>&1; "
              "ls -l /s/big; rm /s/big; echo x > /s/x && echo room")
    r = msb("run", "-q", "-v", "small:/s", "busybox", "--", "sh", "-c", script)
    assert b"No space left" in r.out and r.ok().endswith(b"room\n")
    assert int(r.out.split()[1]) == 4096
    # What an earlier sandbox left counts, too.
    msb("run", "-q", "-v", "small:/s", "busybox", "--", "dd", "if=/dev/zero", "of=/s/half",
        "bs=64k", "count=40").ok()
    r = msb("run", "-q", "-v", "small:/s", "busybox", "--", "dd", "if=/dev/zero", "of=/s/more",
            "bs=64k", "count=40")
    assert r.rc == 1 and b"No space left" in r.err


@pytest.mark.lab
def test_disk(vol, msb, name):
    vol("create", "-q", "db", "--kind", "disk", "--size", "256M").ok()
    j = json.loads(vol("inspect", "db", "--format", "json").ok())
    assert (j["kind"], j["disk_format"], j["disk_fstype"], j["quota_mib"]) == (
        "disk", "raw", "ext4", None)
    assert os.stat(j["path"]).st_size == 256 * MIB and j["used_bytes"] < MIB
    script = ("df -k /db | tail -1; dd if=/dev/zero of=/db/big bs=1M count=300 2>&1; "
              "rm /db/big; echo kept > /db/x")
    r = msb("run", "-q", "-v", "db:/db", "busybox", "--", "sh", "-c", script)
    # Less what the file system needs for itself, the journal most of all.
    assert 220 << 10 < int(r.text().split()[1]) <= 256 << 10
    assert b"No space left" in r.out
    check = subprocess.run(["/sbin/e2fsck", "-fn", j["path"]], timeout=LIMIT, check=False,
                           capture_output=True)
    assert check.returncode == 0, check
    msb("create", "-q", "--name", name, "-v", "db:/db", "busybox").ok()
    assert msb("exec", name, "--", "cat", "/db/x").text() == "kept\n"
    msb("run", "-q", "-v", "db:/db", "busybox", "--", "true").failed(saying="in use by another")
    # What was deleted is given back when the guest says so.
    occupied = os.stat(j["path"]).st_blocks * 512
    msb("exec", name, "--", "fstrim", "/db").ok()
    assert os.stat(j["path"]).st_blocks * 512 < 4 * MIB < occupied
    msb("rm", "-q", "-f", name).ok()


def test_options_and_what_there_is(vol, msb):
    r = msb("run", "-q", "--mount-named", "d:/d:kind=disk,size=128M", "busybox", "--", "grep",
            " /d ", "/proc/mounts")
    assert r.text().split()[2] == "ext4"
    for options, saying in (("kind=dir", "exists and is a disk"),
                            ("size=1G", "exists and has another size"),
                            ("quota=1G", "not valid for it")):
        msb("run", "-q", "--mount-named", f"d:/d:{options}", "busybox", "--", "true").failed(
            saying=saying)
    msb("run", "-q", "-v", "d:/a", "-v", "d:/b", "busybox", "--", "true").failed(
        saying="can be mounted once only")
    r = msb("run", "-q", "--mount-named", "d:/d:kind=disk,size=128M", "busybox", "--", "true").ok()


def test_prune(vol, msb, name):
    for one in "a", "b", "used":
        vol("create", "-q", one).ok()
    msb("run", "-q", "--name", name, "-v", "used:/u", "busybox", "--", "true").ok()
    r = vol("prune", "--dry-run", "--format", "json")
    assert json.loads(r.ok())["volumes_removed"] == ["a", "b"]
    assert msb("volumes", "-q").text() == "a\nb\nused\n"
    r = vol("prune", "-y")
    assert r.ok() == b"" and r.err.count(b"Removed") == 2
    assert msb("volumes", "-q").text() == "used\n"
    assert vol("prune", "-y").err == b"Nothing to prune.\n"
    msb("rm", "-q", name).ok()


def test_df_and_prune(fresh, archives, name):
    assert fresh("df").text().splitlines()[0].split() == [
        "TYPE", "COUNT", "ACTIVE", "SIZE", "RECLAIMABLE"]
    fresh("load", "-q", "-i", archives["busybox"]).ok()
    fresh("volume", "create", "-q", "spare").ok()
    fresh("create", "-q", "--name", name, "-v", "used:/u", "busybox").ok()
    try:
        j = json.loads(fresh("df", "--format", "json").ok())
        assert {k: (j[k]["count"], j[k]["active"]) for k in ("sandboxes", "images", "volumes")} == {
            "sandboxes": (1, 1), "images": (1, 1), "volumes": (2, 1)}
        assert j["sandboxes"]["reclaimable_bytes"] == 0 == j["images"]["reclaimable_bytes"]
        assert j["sandboxes"]["disk_bytes"] > 0 < j["images"]["disk_bytes"]
        assert j["total_disk_bytes"] >= sum(
            j[k]["disk_bytes"] for k in ("sandboxes", "images", "volumes"))
        assert [(v["name"], v["sandboxes"]) for v in j["volumes"]["items"]] == [
            ("spare", []), ("used", [name])]
        fresh("prune").failed(saying="nobody can confirm")
        assert json.loads(fresh("prune", "-y", "--format", "json").ok())["images_removed"] == []
    finally:
        fresh("rm", "-q", "-f", name).ok()
    j = json.loads(fresh("prune", "--dry-run", "--volumes", "--format", "json").ok())
    assert (j["images_removed"], j["volumes_removed"]) == (["busybox"], ["spare", "used"])
    assert fresh("prune", "-y", "-q").ok() == b""
    assert fresh("images", "-q").ok() == b""
    assert fresh("volumes", "-q").text() == "spare\nused\n"
    assert b"Removed" in fresh("prune", "-y", "--volumes").err
    assert fresh("prune", "-y", "--volumes").err == b"Nothing to prune.\n"
    assert json.loads(fresh("df", "--format", "json").ok())["volumes"]["count"] == 0


def test_writes_survive_a_kill(vol, msb, name):
    """What was synced is there after the machine died, and the file system needs no repair."""
    vol("create", "-q", "db", "--kind", "disk", "--size", "128M").ok()
    msb("create", "-q", "--name", name, "-v", "db:/db", "-v", "files:/f", "busybox").ok()
    msb("exec", name, "--", "sh", "-c", "echo synced | tee /db/x > /f/x; sync").ok()
    writer = msb.popen("exec", name, "--", "sh", "-c",
                       "echo go; i=0; while :; do i=$((i+1)); echo $i > /db/$i; done",
                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert writer.stdout.readline() == b"go\n"
    msb("stop", "-q", "--force", name).ok()
    writer.stdout.close()
    writer.wait(timeout=LIMIT)
    path = json.loads(vol("inspect", "db", "--format", "json").ok())["path"]
    # As the next kernel does, e2fsck replays the journal; then there is nothing wrong.
    subprocess.run(["/sbin/e2fsck", "-p", path], timeout=LIMIT, check=False, capture_output=True)
    check = subprocess.run(["/sbin/e2fsck", "-fn", path], timeout=LIMIT, check=False,
                           capture_output=True)
    assert check.returncode == 0, check
    assert msb("exec", name, "--", "cat", "/db/x", "/f/x").text() == "synced\n" * 2
    msb("rm", "-q", name).ok()


# --- kills -------------------------------------------------------------------------------------

KILLAT = os.environ.get("MSB_KILLAT", os.path.join(os.path.dirname(MSB),
                                                   "../../tests/integration/killat"))
NEVER = 10**9


def killed_at(home, n, report, *args):
    """Runs msb until the n-th of its system calls that change something; "killed" or "passed"."""
    subprocess.run([KILLAT, "msb", str(n), report, MSB, *args], env=home.env(), check=False,
                   stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT)
    with open(report, encoding="utf-8") as f:
        return f.read().split()


@pytest.mark.parametrize("kind", ["dir", "disk"])
@pytest.mark.parametrize("verb", ["create", "rm"])
def test_killed_at_every_point(fresh, tmp_path, verb, kind):
    """A volume is there as a whole or not at all, and nothing else is."""
    report = str(tmp_path / "report")
    create = ["volume", "create", "-q", "v", "--kind", kind]
    command = create if verb == "create" else ["volume", "rm", "-q", "v"]
    fresh("ls").ok()
    folder = os.path.join(fresh.path, "volumes")
    outcomes = set()

    def prepare():
        there = fresh("volume", "ls", "-q").text() == "v\n"
        if there and verb == "create":
            fresh("volume", "rm", "-q", "v").ok()
        elif not there and verb == "rm":
            fresh(*create).ok()

    prepare()
    word, points = killed_at(fresh, NEVER, report, *command)
    assert word == "passed" and int(points) > 5
    for n in range(1, int(points) + 1):
        prepare()
        killed_at(fresh, n, report, *command)
        there = fresh("volume", "ls", "-q").text() == "v\n"
        outcomes.add(there)
        if there:
            path = json.loads(fresh("volume", "inspect", "v", "--format", "json").ok())["path"]
            if kind == "dir":
                assert os.listdir(path) == []
            else:
                assert subprocess.run(["/sbin/e2fsck", "-fn", path], check=False, timeout=LIMIT,
                                      capture_output=True).returncode == 0
        assert os.listdir(folder) == ["v"] * there
    assert outcomes == {True, False}
