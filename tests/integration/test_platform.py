"""Images for other platforms: chosen, recorded, and refused where they cannot run."""
import json

import pytest

import oci
import registry


def foreign(image):
    return oci.Image(image.layers, arch="arm64")


@pytest.fixture
def server(small):
    """An image of two platforms."""
    index = oci.index([foreign(small).descriptor(arch="arm64"), small.descriptor(arch="amd64")])
    running = registry.FakeRegistry(small, index)
    both = {foreign(small).digest: foreign(small), small.digest: small}

    def answer_manifest(h, reference):
        image = both.get(reference)
        running.send(h, 200, image.manifest if image else index,
                     oci.OCI_MANIFEST if image else oci.OCI_INDEX)

    def answer_blob(h, name):
        blobs = {**foreign(small).blobs(), **small.blobs()}
        running.send(h, 200, blobs[name])
    running.answer_manifest, running.answer_blob = answer_manifest, answer_blob
    yield running
    running.stop()


def platform(home, name):
    seen = json.loads(home("image", "inspect", name, "--format", "json").ok())
    return seen["os"], seen["architecture"], seen["digest"]


@pytest.mark.parametrize("spelling", ["linux/arm64", "linux/aarch64", "Linux/arm64/v8"])
def test_pull_for_another_machine(fresh, server, small, spelling):
    name = server.host + "/x"
    fresh("pull", "-q", "--platform", spelling, name).ok()
    assert platform(fresh, name) == ("linux", "arm64", foreign(small).digest)
    for command in (["run", name, "--", "true"], ["create", "--name", "x", name]):
        r = fresh(*command)
        r.failed(1, f"image '{name}' is for linux/arm64; this machine runs linux/amd64")
        assert f"msb pull --platform linux/amd64 {name}".encode() in r.err
    assert fresh.leftovers() == []
    # Asking for this machine's brings it.
    assert fresh("run", "-q", "--platform", "linux/amd64", name, "--", "echo", "hi").ok() == b"hi\n"
    assert platform(fresh, name) == ("linux", "amd64", small.digest)
    assert fresh("run", "-q", name, "--", "echo", "hi").ok() == b"hi\n"


def test_platform_that_is_not_offered(fresh, server):
    r = fresh("pull", "--platform", "linux/s390x", server.host + "/x")
    r.failed(1, "no variant for linux/s390x")
    assert b"linux/arm64, linux/amd64" in r.err
    assert fresh.images() == []


def test_arguments_are_checked_first(fresh, server, tmp_path, small):
    path = oci.write_oci(str(tmp_path / "i.tar"), {"demo": small})
    for bad in ("", "linux", "linux/", "amd64", "linux/a/b/c", "linux/\033[31m"):
        for command in (["pull", server.host + "/x"], ["run", server.host + "/x"],
                        ["create", server.host + "/x"], ["load", "-i", path]):
            fresh(command[0], "--platform", bad, *command[1:]).failed(1, "invalid platform")
    fresh("run", "--platform", "linux/arm64", server.host + "/x").failed(
        1, "this machine runs linux/amd64")
    assert server.requests == [] and fresh.images() == []


def test_pull_never_of_another_platform(fresh, server):
    name = server.host + "/x"
    fresh("pull", "-q", "--platform", "linux/arm64", name).ok()
    fresh("run", "--pull", "never", "--platform", "linux/amd64", name, "--", "true").failed(
        1, "image not cached")


def test_load(fresh, tmp_path, small):
    path = str(tmp_path / "i.tar")
    files = oci.oci_files({"demo": small})
    other = foreign(small)
    files.update(("blobs/sha256/" + name[7:], data) for name, data in other.blobs().items())
    files["index.json"] = oci.index([small.descriptor("demo", "amd64"),
                                     other.descriptor("demo", "arm64")])
    oci.write_archive(path, files)
    fresh("load", "-q", "-i", path).ok()
    assert platform(fresh, "demo") == ("linux", "amd64", small.digest)
    fresh("load", "-q", "--platform", "linux/arm64", "-i", path).ok()
    assert platform(fresh, "demo") == ("linux", "arm64", other.digest)
    fresh("load", "--platform", "linux/riscv64", "-i", path).failed(1, "linux/riscv64")


def test_load_of_a_foreign_image(fresh, tmp_path, small):
    """One that says so only in its configuration is taken, and refused when it is to run."""
    path = oci.write_oci(str(tmp_path / "i.tar"), {"demo": foreign(small)})
    fresh("load", "-q", "-i", path).ok()
    fresh("run", "demo", "--", "true").failed(1, "is for linux/arm64")
    fresh("load", "--platform", "linux/amd64", "-i", path).failed(1, "is for linux/arm64, not for")
    # It can be handed on.
    archive = fresh("save", "-q", "demo").ok()
    r = fresh("load", stdin=archive)
    r.failed(1, "no image for linux/amd64")
    assert b"--platform linux/arm64" in r.err
    fresh("load", "-q", "--platform", "linux/arm64", stdin=archive).ok()
