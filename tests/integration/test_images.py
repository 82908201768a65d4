"""Images from archives: load, list, inspect, remove."""
import gzip
import json
import os

import pytest

import oci


@pytest.fixture
def load(fresh, tmp_path):
    """Loads images from an archive that `write` makes of them."""
    def load_images(images, write=oci.write_oci):
        return fresh("load", "-i", write(str(tmp_path / "images.tar"), images))
    return load_images


def cache_bytes(home):
    """Size of all content in the cache."""
    total = 0
    for folder, _, files in os.walk(os.path.join(home.path, "cache")):
        total += sum(os.lstat(os.path.join(folder, f)).st_blocks * 512 for f in files)
    return total


@pytest.mark.parametrize("compression", oci.COMPRESSIONS)
@pytest.mark.parametrize("write", [oci.write_oci, oci.write_docker])
def test_archive_formats(fresh, load, compression, write):
    r = load({"demo:latest": oci.busybox(compression)}, write)
    assert r.out == b"" and "✓ Loaded       demo:latest" in r.err.decode(), r
    assert fresh.images() == ["demo:latest"]
    if compression == "gzip":
        assert fresh("run", "demo", "--", "echo", "runs").ok() == b"runs\n"


@pytest.mark.parametrize("arguments", [[], ["-i", "-"]])
def test_load_from_standard_input(fresh, archives, arguments):
    with open(archives["busybox"], "rb") as f:
        fresh("load", *arguments, stdin=f.read()).ok()
    assert fresh.images() == ["busybox"]


def test_load_a_compressed_archive(fresh, archives):
    """As `docker save | gzip` makes them."""
    with open(archives["busybox"], "rb") as f:
        fresh("load", stdin=gzip.compress(f.read(), 1)).ok()
    assert fresh.images() == ["busybox"]


def test_several_images_in_one_archive(fresh, load):
    load({"one": oci.busybox(Cmd=["echo", "1"]), "two:v2": oci.busybox(Cmd=["echo", "2"])}).ok()
    assert fresh.images() == ["one", "two:v2"]
    assert fresh("run", "two:v2").ok() == b"2\n"


def test_tag(fresh, tmp_path, small):
    path = oci.write_oci(str(tmp_path / "i.tar"), {None: small})
    r = fresh("load", "-i", path)
    r.failed(1, "name it with --tag")
    assert fresh.images() == []
    fresh("load", "-i", path, "--tag", "mine", "-t", "127.0.0.1:5000/other/name:v1").ok()
    assert fresh.images() == ["127.0.0.1:5000/other/name:v1", "mine"]


@pytest.mark.parametrize("stored", ["demo", "demo:latest", "docker.io/library/demo",
                                    "docker.io/demo:latest"])
def test_spellings_of_a_reference(fresh, load, stored):
    """It is shown as it was typed, and found by any other spelling."""
    load({stored: oci.busybox()}).ok()
    assert fresh.images() == [stored]
    for spelling in ("demo", "demo:latest", "docker.io/library/demo:latest", "library/demo"):
        fresh("image", "inspect", spelling).ok()
    fresh("image", "inspect", "demo:other").failed(1, "not found")
    fresh("image", "rm", "demo").ok()
    assert fresh.images() == []


def test_list_and_inspect(fresh, load, small):
    load({"demo": small}).ok()
    table = fresh("images").text().splitlines()
    assert table[0].split() == ["REFERENCE", "DIGEST", "SIZE", "CREATED", "DISK", "SHARED"]
    assert table[1].split()[:2] == ["demo", small.digest[:19]]
    assert fresh("image", "ls").ok() == fresh("images").out

    [entry] = json.loads(fresh("images", "--format", "json").ok())
    assert (entry["reference"], entry["digest"]) == ("demo", small.digest)
    assert (entry["architecture"], entry["os"], entry["layer_count"]) == ("amd64", "linux", 1)

    text = fresh("image", "inspect", "demo").text()
    assert small.digest in text and small.layers[0].digest in text and "FROM_IMAGE=yes" in text
    seen = json.loads(fresh("image", "inspect", "demo", "--format", "json").ok())
    assert seen["digest"] == small.digest
    assert seen["config"]["Cmd"] == ["/bin/sh"]
    [layer] = seen["layers"]
    assert (layer["digest"], layer["diff_id"]) == (small.layers[0].digest, small.layers[0].diff_id)
    assert layer["size"] == len(small.layers[0].blob)


def test_hostile_words_in_a_configuration(fresh, load):
    """They are shown without driving the terminal; programs get them as they are."""
    evil = "\x1b[2J\x1b]0;x\x07\r\nY\x9b5m"
    load({"demo": oci.busybox(Cmd=[evil], Env=["A=" + evil], User=evil, Labels={evil: evil})}).ok()
    text = fresh("image", "inspect", "demo").text()
    assert not set(text) & set("\x1b\x07\r\x9b")
    assert text.count(r"\x1b[2J\x1b]0;x\x07\x0d\x0aY\xc2\x9b5m") == 5
    seen = json.loads(fresh("image", "inspect", "demo", "--format", "json").ok())
    assert seen["config"]["Labels"] == {evil: evil}


def test_list_of_nothing(fresh):
    r = fresh("images")
    assert (r.rc, r.out) == (0, b"") and b"No images" in r.err
    assert json.loads(fresh("images", "--format", "json").ok()) == []
    fresh("image", "inspect", "absent").failed(1, "not found")
    fresh("image", "rm", "absent").failed(1, "not found")


def test_loading_again_replaces(fresh, load):
    load({"demo": oci.busybox(Cmd=["echo", "old"])}).ok()
    load({"demo": oci.busybox(Cmd=["echo", "new"])}).ok()
    assert fresh.images() == ["demo"]
    assert fresh("run", "demo").ok() == b"new\n"


def test_removal_gives_space_back(fresh, load):
    load({"small": oci.busybox()}).ok()
    before = cache_bytes(fresh)
    load({"large": oci.layered()}).ok()
    assert cache_bytes(fresh) > before + oci.NOISE_SIZE
    fresh("rmi", "large").ok()
    assert cache_bytes(fresh) == before
    assert fresh("run", "small", "--", "echo", "works").ok() == b"works\n"
    fresh("image", "rm", "small").ok()
    assert cache_bytes(fresh) < 64 << 10


def test_layers_are_shared(fresh, load):
    """A second image with the same layer costs next to nothing, and either may go first."""
    load({"one": oci.busybox()}).ok()
    before = cache_bytes(fresh)
    load({"two": oci.busybox(Cmd=["echo", "two"])}).ok()
    assert cache_bytes(fresh) < before + (256 << 10)
    fresh("image", "rm", "one").ok()
    assert fresh("run", "two").ok() == b"two\n"


def test_image_in_use(fresh, load):
    load({"demo": oci.busybox()}).ok()
    fresh("run", "--name", "user", "demo", "--", "touch", "/file").ok()
    fresh("image", "rm", "demo").failed(1, "used by sandbox 'user'")
    assert fresh.images() == ["demo"]
    fresh("image", "rm", "-f", "demo").ok()
    assert fresh.images() == []
    assert fresh("exec", "user", "--", "ls", "/file").ok() == b"/file\n"  # it has all it needs
    fresh("rm", "user").ok()


def test_image_in_use_under_another_spelling(fresh, load):
    load({"demo": oci.busybox()}).ok()
    fresh("run", "--name", "user", "demo:latest", "--", "true").ok()
    fresh("image", "rm", "demo").failed(1, "used by sandbox 'user'")


def test_several_removals_with_an_unknown_one(fresh, load):
    load({"one": oci.busybox()}).ok()
    r = fresh("image", "rm", "absent", "one")
    assert r.rc == 1 and b"error: image not found: absent" in r.err
    assert fresh.images() == []


def test_sandbox_keeps_its_image(fresh, load):
    """A new image under the same name is for new sandboxes."""
    load({"demo": oci.busybox(Env=["PATH=/bin", "VERSION=1"])}).ok()
    fresh("run", "--name", "old", "demo", "--", "true").ok()
    load({"demo": oci.busybox(Env=["PATH=/bin", "VERSION=2"])}).ok()
    assert fresh("exec", "old", "--", "sh", "-c", "echo $VERSION").ok() == b"1\n"
    assert fresh("run", "demo", "--", "sh", "-c", "echo $VERSION").ok() == b"2\n"


def test_many_loads_at_once(fresh, archives):
    """They share the store, also while content is removed from it."""
    running = [fresh.popen("load", "-i", archives[name], "--tag", f"{name}-{i}")
               for i in range(3) for name in ("busybox", "debian")]
    for p in running:
        out, err = p.communicate(timeout=120)
        assert p.returncode == 0, err
    assert len([i for i in fresh.images() if "-" in i]) == 6
    removing = [fresh.popen("image", "rm", f"debian-{i}") for i in range(3)]
    fresh("load", "-i", archives["debian"], "--tag", "again").ok()
    for p in removing:
        out, err = p.communicate(timeout=120)
        assert p.returncode == 0, err
    assert fresh("run", "again", "--", "bash", "-c", "echo intact").ok() == b"intact\n"
