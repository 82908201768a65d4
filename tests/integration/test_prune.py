"""How images go: prune, rmi, what they say to have given back, and who has to wait for whom."""
import fcntl
import json
import os

import pytest

import oci
from harness import LIMIT, Terminal, finish, read_until


@pytest.fixture
def home(fresh, tmp_path):
    """Two images that share a layer, and a large one of which a sandbox was made."""
    images = {"one": oci.busybox(), "two": oci.busybox(Cmd=["echo", "2"]), "used": oci.layered()}
    fresh("load", "-q", "-i", oci.write_oci(str(tmp_path / "in.tar"), images)).ok()
    fresh("run", "-q", "--name", "user", "used", "--", "true").ok()
    return fresh


def occupied(home):
    total = 0
    for folder in ("blobs", "layers", "images"):
        path = os.path.join(home.path, "cache", folder)
        total += sum(os.lstat(os.path.join(path, f)).st_blocks * 512 for f in os.listdir(path))
    return total


def test_prune(home):
    before = occupied(home)
    r = home("image", "prune", "-y")
    lines = r.err.decode().splitlines()
    assert [line.split()[:3] for line in lines[:2]] == [["✓", "Removed", "one"],
                                                        ["✓", "Removed", "two"]]
    assert "Reclaimed" in lines[2] and r.ok() == b""
    assert home.images() == ["used"]
    assert occupied(home) < before
    assert home("exec", "user", "--", "cat", "/t/changed").ok() == b"new and longer"
    r = home("image", "prune", "-y")
    assert (r.rc, r.out, r.err) == (0, b"", b"Nothing to prune.\n")


def test_it_tells_exactly_what_it_gives_back(home):
    before = occupied(home)
    would = json.loads(home("image", "prune", "--dry-run", "--format", "json").ok())
    assert occupied(home) == before and home.images() == ["one", "two", "used"]
    said = json.loads(home("image", "prune", "-y", "--format", "json").ok())
    assert said == would
    assert said["bytes_reclaimed"] == before - occupied(home) > 0
    assert (said["image_refs_removed"], said["manifests_removed"]) == (2, 2)
    assert said["references"] == ["one", "two"]
    assert said["layers_removed"] == 0  # the large image has their layer, too
    home("rm", "user").ok()
    before = occupied(home)
    said = json.loads(home("image", "prune", "-y", "--format", "json").ok())
    assert said["bytes_reclaimed"] == before
    assert said["layers_removed"] == len(set(layer.diff_id for layer in oci.layered().layers))
    assert occupied(home) == 0
    said = json.loads(home("image", "prune", "-y", "--format", "json").ok())
    assert said == {"image_refs_removed": 0, "manifests_removed": 0, "layers_removed": 0,
                    "blobs_removed": 0, "bytes_reclaimed": 0, "references": []}


def test_content_without_an_image(home):
    """As a pull leaves it that died between content and record."""
    path = os.path.join(home.path, "cache", "blobs", "sha256_" + "0" * 64)
    with open(path, "wb") as f:
        f.write(b"x" * 100000)
    home("image", "prune", "-y", "-q").ok()
    assert not os.path.exists(path)


def test_prune_asks(home):
    home("image", "prune").failed(1, "--yes")
    assert home.images() == ["one", "two", "used"]
    for answer, left in (("n", 3), ("", 3), ("maybe", 3), ("y", 1)):
        t = Terminal(home, "image", "prune")
        t.expect(b"[y/N] ")
        t.write(answer.encode() + b"\n")
        assert t.wait()[0] == 0
        t.close()
        assert len(home.images()) == left


def test_dry_run_needs_no_answer(home):
    r = home("image", "prune", "--dry-run")
    assert "Would remove" in r.err.decode() and r.ok() == b""
    assert home.images() == ["one", "two", "used"]


def test_sandbox_of_older_content(fresh, tmp_path):
    """The sandbox needs what the reference was; the reference is spared as well."""
    path = str(tmp_path / "i.tar")
    fresh("load", "-q", "-i", oci.write_oci(path, {"demo": oci.busybox(Cmd=["old"])})).ok()
    fresh("run", "-q", "--name", "user", "demo", "--", "true").ok()
    fresh("load", "-q", "-i", oci.write_oci(path, {"demo": oci.busybox(Cmd=["new"])})).ok()
    assert b"Nothing to prune" in fresh("image", "prune", "-y").err
    assert fresh.images() == ["demo"]
    assert fresh("exec", "user", "--", "echo", "runs").ok() == b"runs\n"


def test_rmi_tells_what_it_gives_back(home):
    before = occupied(home)
    r = home("rmi", "one", "two")
    assert [line.split()[1] for line in r.err.decode().splitlines()] == \
        ["Removed", "Removed", "Reclaimed"]
    middle = occupied(home)
    assert middle < before
    home("rm", "user").ok()
    r = home("rmi", "--format", "json", "absent", "used")
    said = json.loads(r.out)
    assert r.rc == 1 and b"error: image not found: absent" in r.err
    assert said["bytes_reclaimed"] == middle and said["references"] == ["used"]
    assert [(f["reference"], f["code"]) for f in said["failed"]] == [("absent", "not_found")]
    assert (home("rmi", "-q", "gone").rc, occupied(home)) == (1, 0)


def test_disk_use(home, small):
    images = {i["reference"]: i for i in json.loads(home("images", "--format", "json").ok())}
    assert images["one"]["disk_bytes"] > images["one"]["shared_bytes"] > 0
    assert images["used"]["disk_bytes"] > images["used"]["shared_bytes"] > 0
    assert sum(i["disk_bytes"] - i["shared_bytes"] for i in images.values()) + \
        images["one"]["shared_bytes"] == occupied(home)
    seen = json.loads(home("image", "inspect", "used", "--format", "json").ok())
    assert seen["sandboxes"] == ["user"] and seen["references"] == []
    assert seen["disk_bytes"] == images["used"]["disk_bytes"]
    assert [layer["position"] for layer in seen["layers"]] == list(range(seen["layer_count"]))
    bottom = seen["layers"][0]
    assert (bottom["digest"], bottom["shared_with"]) == (small.layers[0].digest, ["one", "two"])
    assert bottom["stored_bytes"] > bottom["size"] == len(small.layers[0].blob)
    assert seen["layers"][1]["shared_with"] == []
    text = home("image", "inspect", "used").text()
    assert "Used by:        user" in text and "linux/amd64" in text
    json.loads(home("rmi", "--format", "json", "one").ok())
    again = {i["reference"]: i for i in json.loads(home("images", "--format", "json").ok())}
    assert again["two"] == images["two"]  # the large image still has the layer


# --- locks ---------------------------------------------------------------------------------------


@pytest.fixture
def locked(home):
    """Holds the cache lock as a pull does, or as a removal does."""
    fd = os.open(os.path.join(home.path, "cache", "lock"), os.O_RDWR)
    yield lambda how: fcntl.flock(fd, how)
    os.close(fd)


@pytest.mark.parametrize("command", [["image", "prune", "-y"], ["rmi", "one"]])
def test_removal_waits_for_a_pull(home, locked, command):
    locked(fcntl.LOCK_SH)
    before = occupied(home)
    p = home.popen(*command)
    read_until(p.stderr.fileno(), b"waiting for another msb")
    assert occupied(home) == before
    locked(fcntl.LOCK_UN)
    assert finish(p).rc == 0
    assert occupied(home) < before


def test_use_waits_for_a_removal(home, locked, archives):
    locked(fcntl.LOCK_EX)
    waiting = [home.popen("run", "one", "--", "true"), home.popen("load", "-i",
                                                                  archives["busybox"])]
    for p in waiting:
        read_until(p.stderr.fileno(), b"waiting for another msb")
    quiet = home.popen("load", "-q", "-i", archives["busybox"])
    locked(fcntl.LOCK_UN)
    for p in waiting:
        assert finish(p).rc == 0
    out, err = quiet.communicate(timeout=LIMIT)
    assert (quiet.returncode, out, err) == (0, b"busybox\n", b"")
