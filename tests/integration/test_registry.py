"""Pulling: from a real registry, and from one that misbehaves."""
import os

import pytest

import oci
import registry
from harness import finish


@pytest.fixture(scope="module")
def pushed(docker_registry, archives):
    """The images' names on the real registry."""
    return {name: docker_registry.push(archives[name], name, f"test/{name}:v1")
            for name in ("busybox", "debian", "layered")}


def stored_files(home):
    """Content in the cache, without locks and other files that hold none."""
    return sorted(os.path.join(folder, f)
                  for folder, _, files in os.walk(os.path.join(home.path, "cache")) for f in files
                  if "sha256" in f or "tmp" in f)


@pytest.mark.parametrize("name, command, output", [
    ("busybox", ["echo", "hi"], b"hi\n"),
    ("debian", ["bash", "-c", "echo hi"], b"hi\n"),
    ("layered", ["cat", "/t/changed"], b"new and longer"),
])
def test_pull_and_run(fresh, pushed, name, command, output):
    r = fresh("pull", pushed[name])
    assert r.out == b"" and f"✓ Pulled       {pushed[name]}" in r.err.decode(), r
    assert fresh.images() == [pushed[name]]
    assert fresh("run", pushed[name], "--", *command).ok() == output
    assert b"already cached" in fresh("pull", pushed[name]).err


def test_docker_schema_2(fresh, docker_registry, archives):
    name = docker_registry.push(archives["busybox"], "busybox", "test/v2s2:1", "--format", "v2s2")
    fresh("pull", "-q", name).ok()
    assert fresh("run", name, "--", "echo", "hi").ok() == b"hi\n"


def test_pull_by_digest(fresh, pushed, small):
    name = pushed["busybox"].rsplit(":", 1)[0] + "@" + small.digest
    fresh("pull", name).ok()
    assert fresh.images() == [name]
    assert fresh("run", name, "--", "echo", "hi").ok() == b"hi\n"


def test_run_pulls_what_is_missing(fresh, fake):
    name = fake.host + "/some/image"
    r = fresh("run", "-q", name, "--", "echo", "hi")
    assert (r.rc, r.out, r.err) == (0, b"hi\n", b"")
    requests = len(fake.requests)
    fresh("run", name, "--", "true").ok()
    assert len(fake.requests) == requests
    assert fresh.images() == [name]


def test_second_pull_fetches_no_layer(fresh, fake):
    fresh("pull", fake.host + "/some/image").ok()
    fake.requests.clear()
    assert b"already cached" in fresh("pull", fake.host + "/some/image").err
    assert fake.blob_requests() == []
    fresh("pull", "-f", fake.host + "/some/image").ok()
    assert fake.blob_requests() != []


@pytest.mark.parametrize("indexed", [False, True])
def test_second_pull_is_one_request(fresh, small, indexed):
    """Also after a removal has taken away what no image needs: an index is needed."""
    server = registry.FakeRegistry(small, oci.index([small.descriptor(arch="amd64")])
                                   if indexed else None)
    try:
        fresh("pull", "-q", server.host + "/image").ok()
        fresh("pull", "-q", server.host + "/image:other").ok()
        fresh("rmi", "-q", server.host + "/image:other").ok()
        server.requests.clear()
        fresh("pull", "-q", server.host + "/image").ok()
        assert len(server.requests) == 1 and "/manifests/" in server.requests[0]
    finally:
        server.stop()


def test_pull_never_and_always(fresh, fake):
    name = fake.host + "/some/image"
    fresh("run", "--pull", "never", name, "--", "true").failed(1, "image not cached: " + name)
    assert fake.requests == []
    fresh("pull", "-q", name).ok()
    assert fresh("run", "--pull", "never", name, "--", "echo", "hi").ok() == b"hi\n"
    fake.image = oci.busybox(Env=["PATH=/bin", "FROM_IMAGE=moved"])
    script = ["sh", "-c", "echo $FROM_IMAGE"]
    assert fresh("run", name, "--", *script).ok() == b"yes\n"
    assert fresh("run", "--pull", "always", name, "--", *script).ok() == b"moved\n"
    assert fresh("run", name, "--", *script).ok() == b"moved\n"


def test_platform_of_an_index(fresh, small):
    other = oci.Image(small.layers, arch="arm64")
    index = oci.index([other.descriptor(arch="arm64"), small.descriptor(arch="amd64")])
    server = registry.FakeRegistry(small, index)
    try:
        fresh("pull", server.host + "/x").ok()
        assert fresh("run", server.host + "/x", "--", "echo", "hi").ok() == b"hi\n"
        server.index = oci.index([other.descriptor(arch="arm64")])
        fresh("pull", server.host + "/y").failed(1, "amd64")
    finally:
        server.stop()


@pytest.mark.parametrize("manners", ["token", "redirect"])
def test_ways_of_well_behaved_registries(fresh, fake, manners):
    fake.fault = manners
    fresh("pull", fake.host + "/some/image").ok()
    assert fresh("run", fake.host + "/some/image", "--", "echo", "hi").ok() == b"hi\n"


@pytest.mark.parametrize("fault, saying", [
    ("401", ""), ("404", "has no manifest"), ("500", "500"), ("no-blob", ""),
    ("wrong-digest", "digest"), ("long", ""), ("short", ""), ("truncated", ""),
    ("bad-manifest", ""), ("huge-manifest", ""), ("bad-token", ""), ("loop", ""), ("html", ""),
])
def test_faults(fresh, fake, fault, saying):
    """One error that names the image; nothing is kept; the next pull works."""
    name = fake.host + "/some/image"
    fake.fault = fault
    error = fresh("pull", name).failed(1, saying)
    assert f"cannot pull '{name}': " in error
    assert fresh.images() == []
    fake.fault = None
    fresh("pull", name).ok()
    assert fresh.images() == [name]


def test_run_of_what_cannot_be_pulled(fresh, fake):
    fake.fault = "404"
    for name in ([], ["--name", "x"]):
        fresh("run", *name, fake.host + "/x", "--", "true").failed(1, "has no manifest")
        assert fresh.leftovers() == []


def test_registry_that_is_down(fresh):
    host = f"127.0.0.1:{registry.free_port()}"
    fresh("pull", host + "/x").failed(1, host)
    fresh("run", host + "/x", "--", "true").failed(1, host)
    assert fresh.sandboxes() == {}


def test_same_image_many_times_at_once(fresh, fake):
    names = [f"{fake.host}/some/image:{i % 2}" for i in range(6)]
    for p in [fresh.popen("pull", name) for name in names]:
        finish(p).ok()
    assert fresh.images() == sorted(set(names))
    assert fresh("run", names[0], "--", "echo", "hi").ok() == b"hi\n"


def test_interrupted_pull(fresh, docker_registry, pushed):
    """Killed at some point of it; whatever that leaves, the next one works and cleans it up."""
    for moment in (0.01, 0.05, 0.2):
        p = fresh.popen("pull", pushed["debian"])
        try:
            p.wait(timeout=moment)
        except Exception:  # pylint: disable=broad-except
            p.kill()
        finish(p)
    fresh("pull", pushed["debian"]).ok()
    assert fresh("run", pushed["debian"], "--", "bash", "-c", "echo hi").ok() == b"hi\n"
    fresh("image", "rm", pushed["debian"]).ok()
    assert stored_files(fresh) == []
