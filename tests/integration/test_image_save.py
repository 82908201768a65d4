"""Saving images: archives that others read, with the digests that the images came with."""
import hashlib
import io
import json
import os
import signal
import subprocess
import tarfile

import pytest

import oci
import registry
from harness import LIMIT, Home, Terminal


@pytest.fixture
def other(tmp_path):
    """A second home, for what was saved in the first."""
    home = Home(tmp_path / "other")
    yield home
    home.remove_all()


@pytest.fixture
def store(fresh, tmp_path):
    """Loads images; returns the home."""
    def load(images):
        fresh("load", "-q", "-i", oci.write_oci(str(tmp_path / "in.tar"), images)).ok()
        return fresh
    return load


def members(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers()}


def skopeo(*args):
    r = subprocess.run(["skopeo", "--insecure-policy", *args], capture_output=True, timeout=LIMIT,
                       check=False)
    assert r.returncode == 0, r.stderr
    return r.stdout


def hashed(home):
    """Digest of each image by its reference."""
    return {i["reference"]: i["digest"]
            for i in json.loads(home("images", "--format", "json").ok())}


@pytest.mark.parametrize("compression", oci.COMPRESSIONS)
@pytest.mark.parametrize("form", ["docker", "oci"])
def test_round_trip(store, other, tmp_path, form, compression):
    image = oci.busybox(compression)
    path = str(tmp_path / "out.tar")
    r = store({"demo:v1": image})("save", "--format", form, "demo:v1", "-o", path)
    assert r.ok() == b"" and "✓ Saved        demo:v1" in r.err.decode()
    with open(path, "rb") as f:
        files = members(f.read())
    for name, data in image.blobs().items():
        assert files["blobs/sha256/" + name[7:]] == data
    assert ("manifest.json" in files) == (form == "docker")
    other("load", "-i", path).ok()
    assert hashed(other) == {"demo:v1": image.digest}
    if compression == "gzip":
        assert other("run", "demo:v1", "--", "echo", "runs").ok() == b"runs\n"


def test_many_layers(store, other):
    image = oci.layered()
    home = store({"layered": image})
    archive = home("save", "-q", "layered").ok()
    assert other("load", "-q", stdin=archive).ok() == b"layered:latest\n"
    assert hashed(other) == {"layered:latest": image.digest}
    assert other("save", "-q", "layered").ok() == archive  # whatever home it comes from


def test_pulled_image(fresh, docker_registry, archives, other):
    name = docker_registry.push(archives["busybox"], "busybox", "save/v2s2:1", "--format", "v2s2")
    fresh("pull", "-q", name).ok()
    other("load", "-q", stdin=fresh("image", "save", "-q", name).ok()).ok()
    assert hashed(other) == hashed(fresh) != {}


@pytest.mark.parametrize("form", ["docker", "oci"])
def test_several_images(store, other, small, form):
    """A layer that they share is there once; an image with two names has both."""
    second = oci.busybox(Cmd=["echo", "2"])
    home = store({"one": small, "two:v2": second, "127.0.0.1:5000/again": small})
    archive = home("save", "-q", "--format", form, "one", "two:v2", "127.0.0.1:5000/again",
                   "one").ok()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        names = tar.getnames()
    assert len(names) == len(set(names))
    assert sum(name.startswith("blobs/") for name in names) == 5
    assert other("load", "-q", stdin=archive).ok().split() == \
        [b"one:latest", b"127.0.0.1:5000/again:latest", b"two:v2"]
    assert other("run", "two:v2").ok() == b"2\n"


def test_same_config_under_two_manifests(store, other):
    """The compression differs: the name tells them apart, not the image ID."""
    images = {"packed:1": oci.busybox("gzip"), "plain:1": oci.busybox("")}
    assert images["packed:1"].config == images["plain:1"].config
    archive = store(images)("save", "-q", *images).ok()
    other("load", "-q", stdin=archive).ok()
    assert hashed(other) == {name: image.digest for name, image in images.items()}


def test_reference_by_digest(fresh, fake, other, small):
    name = f"{fake.host}/x@{small.digest}"
    fresh("pull", "-q", name).ok()
    archive = fresh("save", "-q", name).ok()
    assert json.loads(members(archive)["manifest.json"])[0]["RepoTags"] == []
    assert other("load", "-q", stdin=archive).ok() == name.encode() + b"\n"


def test_archives_are_reproducible(store, small, tmp_path):
    home = store({"a": small, "b": oci.busybox("zstd")})
    path = str(tmp_path / "out.tar")
    home("save", "-q", "a", "b", "-o", path).ok()
    with open(path, "rb") as f:
        assert f.read() == home("save", "-q", "a", "b").ok()


def test_skopeo_reads_it(store, small, tmp_path):
    """As OCI archive with the digest of the manifest, as Docker archive with that of the config."""
    home = store({"demo:v1": small, "plain:v1": oci.busybox("", Cmd=["plain"])})
    path, out = str(tmp_path / "out.tar"), str(tmp_path / "dir")
    home("save", "-q", "demo:v1", "plain:v1", "-o", path).ok()
    assert json.loads(skopeo("inspect", f"oci-archive:{path}:demo:v1"))["Digest"] == small.digest
    for name in ("demo:v1", "plain:v1"):
        assert json.loads(skopeo("inspect", f"docker-archive:{path}:{name}"))["Layers"] == \
            [small.layers[0].diff_id]
        skopeo("copy", f"docker-archive:{path}:{name}", f"dir:{out}-{name}")
        skopeo("copy", f"oci-archive:{path}:{name}", f"dir:{out}-oci-{name}")
    assert json.loads(skopeo("inspect", "--config", "--raw",
                             f"docker-archive:{path}:demo:v1")) == json.loads(small.config)
    home("save", "-q", "--format", "oci", "demo:v1", "-o", path).ok()
    assert json.loads(skopeo("inspect", f"oci-archive:{path}"))["Digest"] == small.digest


def test_what_skopeo_makes_of_it_can_be_loaded(store, other, tmp_path, small):
    home = store({"demo:v1": small})
    first, second = str(tmp_path / "1.tar"), str(tmp_path / "2.tar")
    home("save", "-q", "demo:v1", "-o", first).ok()
    skopeo("copy", f"docker-archive:{first}", f"docker-archive:{second}:demo:v2")
    assert other("load", "-q", "-i", second).ok() == b"docker.io/library/demo:v2\n"
    assert other("run", "demo:v2", "--", "echo", "hi").ok() == b"hi\n"


# --- files ---------------------------------------------------------------------------------------


def test_file_is_replaced(store, small, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    target, link = folder / "target", folder / "link"
    target.write_bytes(b"old")
    target.chmod(0o600)
    link.symlink_to("target")
    home = store({"demo": small})
    home("save", "-q", "demo", "-o", str(link)).ok()
    assert link.is_symlink() and members(target.read_bytes())
    assert sorted(os.listdir(folder)) == ["link", "target"]
    home("save", "-q", "demo", "-o", "relative.tar", cwd=folder).ok()
    assert (folder / "relative.tar").read_bytes() == target.read_bytes()
    home("save", "-q", "demo", "-o", "/dev/null").ok()


@pytest.mark.parametrize("path, saying", [("absent/x.tar", "no such file"), (".", "directory")])
def test_file_that_cannot_be_written(store, small, tmp_path, path, saying):
    home = store({"demo": small})
    home("save", "demo", "-o", path, cwd=tmp_path).failed(1, saying)


def kept(home, digest):
    return os.path.join(home.path, "cache", "blobs", "sha256_" + digest[7:])


@pytest.mark.parametrize("compression", ["gzip", ""])
@pytest.mark.parametrize("damage, saying", [
    ("absent", "is not kept"), ("flipped", "damaged"), ("short", "damaged"), ("long", "damaged")])
def test_damaged_layer(store, tmp_path, damage, saying, compression):
    image = oci.busybox(compression)
    home = store({"demo": image, "good": oci.Image([oci.Layer(oci.Tar())])})
    path = kept(home, image.layers[0].digest) + ("" if compression else ".zst")
    with open(path, "rb") as f:
        data = f.read()
    os.unlink(path)
    changed = {"flipped": data[:-30] + bytes([data[-30] ^ 1]) + data[-29:], "short": data[:-1],
               "long": data + b"\0" * 4096}
    if damage != "absent":
        with open(path, "wb") as f:
            f.write(changed[damage])
    target = tmp_path / "out.tar"
    target.write_bytes(b"old")
    r = home("save", "good", "demo", "-o", str(target))
    r.failed(1, saying)
    assert b"msb pull -f docker.io/library/demo" in r.err
    assert target.read_bytes() == b"old"
    assert [n for n in os.listdir(tmp_path) if n.startswith("out.tar")] == ["out.tar"]
    if damage == "absent":
        r = home("save", "demo")
        assert (r.rc, r.out) == (1, b"")  # found out before the first byte


def test_missing_layer_comes_back(fresh, fake, small):
    name = fake.host + "/x"
    fresh("pull", "-q", name).ok()
    archive = fresh("save", "-q", name).ok()
    os.unlink(kept(fresh, small.layers[0].digest))
    fresh("save", name).failed(1, f"msb pull -f {name}")
    fresh("pull", "-q", "-f", name).ok()
    assert fresh("save", "-q", name).ok() == archive


def test_reader_that_goes_away(store):
    home = store({"layered": oci.layered()})
    p = home.popen("save", "layered")
    p.stdout.read(10)
    p.stdout.close()
    err = p.stderr.read()
    assert p.wait(LIMIT) == 1 and b"Broken pipe" in err


def test_interrupted(store, tmp_path):
    """Nothing half-done is left, and what was there stays."""
    home = store({"layered": oci.layered()})
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    p = home.popen("save", "layered", "-o", str(pipe))
    with open(pipe, "rb") as f:
        f.read(1)  # it is at work, and waits for more to be read
        p.send_signal(signal.SIGTERM)
        assert p.wait(LIMIT) == -signal.SIGTERM
    p.communicate()
    assert sorted(os.listdir(tmp_path)) == ["home", "in.tar", "pipe"]


def test_wrong_use(fresh, store, small):
    fresh("save").failed(2)
    fresh("save", "UPPER CASE").failed(1, "reference")
    fresh("save", "absent").failed(1, "image not found: absent")
    fresh("save", "--format", "zip", "x").failed(2, "docker or oci")
    store({"demo": small})
    t = Terminal(fresh, "save", "demo")
    status, output = t.wait()
    t.close()
    assert status == 2 and b"terminal" in output and b"-o FILE" in output


def test_verification_by_others(store, tmp_path):
    """What is in the archive under a digest has that digest."""
    archive = store({"layered": oci.layered()})("save", "-q", "layered").ok()
    for name, data in members(archive).items():
        if name.startswith("blobs/sha256/"):
            assert hashlib.sha256(data).hexdigest() == name[len("blobs/sha256/"):]


def test_same_content_compressed_in_two_ways(fresh, other, tmp_path):
    """It is unpacked once; each image has the bytes that its manifest names."""
    for compression in ("gzip", "zstd"):
        server = registry.FakeRegistry(oci.busybox(compression))
        try:
            name = server.host + "/image:v1"
            fresh("pull", "-q", name).ok()
            path = str(tmp_path / "out.tar")
            fresh("save", "-q", name, "-o", path).ok()
            other("load", "-q", "-i", path).ok()
            assert hashed(other)[name] == server.image.digest
        finally:
            server.stop()
    layers = os.listdir(os.path.join(fresh.path, "cache/layers"))
    assert len([f for f in layers if "index" in f]) == 1
