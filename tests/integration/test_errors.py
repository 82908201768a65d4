"""
Wrong input of every kind: one clear error, the right exit status, and nothing done. A mistake in
the command line is found before anything is pulled or created.
"""
import gzip
import os
import shutil
import subprocess

import pytest

import harness
import oci

IMAGE = "IMAGE"  # stands for an image that would have to be pulled
ROOT = os.geteuid() == 0

USAGE = 2
FAILURE = 1

BAD_COMMAND_LINES = [
    # arguments, exit status, part of the message
    (["frobnicate"], USAGE, "unrecognized subcommand 'frobnicate'"),
    (["--frobnicate"], USAGE, "unexpected argument '--frobnicate'"),
    (["image", "frobnicate"], USAGE, "unrecognized subcommand 'frobnicate'"),
    (["run"], USAGE, "<IMAGE>"),
    (["run", "--frobnicate", IMAGE], USAGE, "unexpected argument '--frobnicate'"),
    (["run", "-X", IMAGE], USAGE, "unexpected argument '-X'"),
    (["run", IMAGE, "ls", "-l"], USAGE, "unexpected argument"),
    (["run", "--name"], USAGE, "a value is required for '--name <NAME>'"),
    (["run", "--tty=yes", IMAGE], USAGE, "unexpected value 'yes'"),
    (["run", "-m", "512X", IMAGE], USAGE, "invalid size"),
    (["run", "-m", "-1", IMAGE], USAGE, "invalid size"),
    (["run", "-m", "1.5M", IMAGE], USAGE, "invalid size"),
    (["run", "-m", "", IMAGE], USAGE, "invalid size"),
    (["run", "-m", "99999999999999999999G", IMAGE], USAGE, "invalid size"),
    (["run", "-m", "1M", IMAGE], FAILURE, "memory must be at least"),
    (["run", "-m", "0", IMAGE], USAGE, "greater than 0"),
    (["run", "-c", "0", IMAGE], USAGE, "number of CPUs"),
    (["run", "-c", "33", IMAGE], USAGE, "number of CPUs"),
    (["run", "-c", "two", IMAGE], USAGE, "number of CPUs"),
    (["run", "-e", "=value", IMAGE], USAGE, "no name"),
    (["run", "-e", "CERTAINLY_NOT_SET", IMAGE], USAGE, "'CERTAINLY_NOT_SET' not set"),
    (["run", "-w", "relative", IMAGE], FAILURE, "absolute"),
    (["run", "--shell", "/", IMAGE], FAILURE, "shell"),
    (["run", "--shell", "", IMAGE], FAILURE, "shell"),
    (["run", "--shell", "a b", IMAGE], FAILURE, "shell"),
    (["run", "--timeout", "5x", IMAGE], USAGE, "invalid duration"),
    (["run", "--timeout", "1.5s", IMAGE], USAGE, "invalid duration"),
    (["run", "--timeout", "", IMAGE], USAGE, "invalid duration"),
    (["run", "--tmpfs", "relative", IMAGE], USAGE, "absolute"),
    (["run", "--tmpfs", "/", IMAGE], USAGE, "at guest root /"),
    (["run", "--tmpfs", "/x:big", IMAGE], USAGE, "invalid size"),
    (["run", "--name", "", IMAGE], FAILURE, "name"),
    (["run", "--name", "-x", IMAGE], FAILURE, "alphanumeric"),
    (["run", "--name", "a/b", IMAGE], FAILURE, "alphanumeric"),
    (["run", "--name", "..", IMAGE], FAILURE, "alphanumeric"),
    (["run", "--name", "x" * 129, IMAGE], FAILURE, "128"),
    (["run", "-H", "a b", IMAGE], FAILURE, "host name"),
    (["run", "-H", "x" * 65, IMAGE], FAILURE, "host name"),
    (["run", "--entrypoint", "", IMAGE], FAILURE, "entrypoint"),
    (["run", "--pull", "sometimes", IMAGE], USAGE, "always, if-missing or never"),
    (["run", "--machine", "vax", IMAGE], USAGE, "auto, kvm or qemu"),
    (["run", "--log-level", "loud", IMAGE], USAGE, "error, warn, info, debug or trace"),
    (["run", "Upper/Case"], FAILURE, "lower case"),
    (["run", "a b"], FAILURE, "invalid image reference"),
    (["run", "name:"], FAILURE, "tag"),
    (["run", "name@sha256:123"], FAILURE, "digest"),
    (["run", ""], FAILURE, "empty image reference"),
    (["run", "./no-such-directory"], FAILURE, "no-such-directory"),
    (["run", "/etc/passwd"], FAILURE, "not a directory"),
    (["create", "--name", "a/b", IMAGE], FAILURE, "alphanumeric"),
    (["create", "-m", "lots", IMAGE], USAGE, "invalid size"),
    (["exec"], USAGE, "<NAME>"),
    (["exec", "x", "-w", "relative", "--", "ls"], FAILURE, "absolute"),
    (["stop"], USAGE, "<NAME>"),
    (["stop", "-t", "soon", "x"], USAGE, "'soon'"),
    (["ls", "--format", "yaml"], USAGE, "json"),
    (["ls", "operand"], USAGE, "unexpected argument 'operand'"),
    (["logs", "--tail", "all", "x"], USAGE, "a number"),
    (["logs", "--source", "keyboard", "x"], USAGE, "keyboard"),
    (["pull"], USAGE, "<REFERENCE>"),
    (["pull", "Bad"], FAILURE, "lower case"),
    (["pull", "one", "two"], USAGE, "unexpected argument 'two'"),
    (["load", "-i", "/no/such/file"], FAILURE, "/no/such/file"),
    (["load", "-i", "/etc/passwd", "--tag", "Bad"], FAILURE, "lower case"),
    (["image", "rm", "Bad"], FAILURE, "lower case"),
    (["images", "--format", "xml"], USAGE, "json"),
]


@pytest.mark.parametrize("arguments, status, saying", BAD_COMMAND_LINES,
                         ids=[" ".join(a)[:40] for a, _, _ in BAD_COMMAND_LINES])
def test_wrong_command_lines(fresh, fake, arguments, status, saying):
    name = fake.host + "/some/image"
    r = fresh(*[name if a == IMAGE else a for a in arguments])
    r.failed(status, saying)
    assert (b"Usage: msb" in r.err) == (status == USAGE)
    assert fake.requests == []
    assert fresh.leftovers() == []


def test_help_everywhere(fresh):
    for command in (["run"], ["create"], ["exec"], ["stop"], ["rm"], ["ls"], ["logs"], ["pull"],
                    ["load"], ["image"], ["image", "ls"], ["image", "rm"], ["images"]):
        r = fresh(*command, "--help")
        assert r.text().count("Usage: msb") == 1 and r.err == b""
    assert b"Usage: msb <COMMAND>" in fresh("--help").ok()
    assert fresh("--version").text().startswith("msb ")
    assert fresh().rc == USAGE
    assert not os.path.exists(fresh.path)


@pytest.mark.skipif(harness.kvm_is_promising(), reason="KVM may be usable here")
def test_kvm_where_there_is_none(fresh, fake):
    r = fresh("run", "--machine", "kvm", fake.host + "/some/image", "--", "true")
    r.failed(FAILURE, "KVM cannot be used here: ")
    assert b"--machine qemu" in r.err
    assert fake.requests == []


def test_no_emulator(fresh, fake):
    for env in ({"PATH": "/nonexistent"}, {"MSB_QEMU": "/nonexistent/qemu"}):
        r = fresh("run", "--machine", "qemu", fake.host + "/some/image", "--", "true", env=env)
        r.failed(FAILURE, "qemu-system-x86_64 is not installed")
        assert b"apt-get install" in r.err
    assert fake.requests == []


def test_home_that_cannot_be_made(fresh, tmp_path):
    (tmp_path / "file").write_text("x")
    fresh.path = str(tmp_path / "file" / "home")
    fresh("ls").failed(FAILURE, "cannot create")
    fresh.path = str(tmp_path / "home")


def test_database_that_is_none(fresh):
    fresh("ls").ok()
    with open(os.path.join(fresh.path, "db/msb.db"), "wb") as f:
        f.write(b"this is no database" * 1000)
    for extra in ("db/msb.db-wal", "db/msb.db-shm"):
        if os.path.exists(os.path.join(fresh.path, extra)):
            os.unlink(os.path.join(fresh.path, extra))
    fresh("ls").failed(FAILURE, "database is damaged")
    shutil.rmtree(os.path.join(fresh.path, "db"))


@pytest.mark.skipif(harness.MACHINE != "qemu", reason="breaks the emulator")
def test_boot_that_fails(fresh, archives, tmp_path):
    """An unnamed sandbox leaves nothing; a named one is kept, marked, with the reason."""
    fresh("load", "-q", "-i", archives["busybox"]).ok()
    broken = tmp_path / "qemu"
    broken.write_text("#!/bin/sh\necho 'the emulator is unwell' >&2\nexit 1\n")
    broken.chmod(0o755)
    env = {"MSB_QEMU": str(broken)}
    fresh("run", "busybox", "--", "true", env=env).failed(FAILURE, "the emulator is unwell")
    assert fresh.leftovers() == []
    r = fresh("run", "--name", "x", "busybox", "--", "true", env=env)
    r.failed(FAILURE, "failed to start 'x'")
    assert fresh.sandboxes() == {"x": "Failed"}
    assert b"the emulator is unwell" in fresh("logs", "x").err
    assert fresh("exec", "x", "--", "echo", "better").ok() == b"better\n"
    fresh("create", "--name", "y", "busybox", env=env).failed(FAILURE, "failed to start 'y'")
    fresh("run", "-d", "busybox", "--", "true", env=env).failed(FAILURE, "failed to start")
    assert set(fresh.sandboxes()) == {"x", "y"}


def test_image_content_is_missing(fresh, archives):
    fresh("load", "-q", "-i", archives["busybox"]).ok()
    shutil.rmtree(os.path.join(fresh.path, "cache/images"))
    r = fresh("run", "busybox", "--", "true")
    r.failed(FAILURE, "image content is missing")
    assert fresh.leftovers() == []


# --- archives ----------------------------------------------------------------------------------


def layer_image(blob, media="+gzip", diff_id=None):
    """An image whose one layer is any bytes, under their right digest."""
    layer = oci.Layer(b"", "")
    layer.blob, layer.digest, layer.media_type = blob, oci.digest(blob), oci.OCI_LAYER + media
    layer.diff_id = diff_id or layer.diff_id
    return oci.Image([layer])


def corrupted_gzip(small):
    blob = bytearray(small.layers[0].blob)
    blob[len(blob) // 2] ^= 0xff
    return layer_image(bytes(blob), diff_id=small.layers[0].diff_id)


def with_entry(add):
    tar = oci.busybox_tar()
    add(tar)
    return oci.Image([oci.Layer(tar)])


BAD_LAYERS = {
    "corrupted gzip": corrupted_gzip,
    "cut gzip": lambda s: layer_image(s.layers[0].blob[:-1000], diff_id=s.layers[0].diff_id),
    "no gzip": lambda s: layer_image(b"plain text", diff_id=s.layers[0].diff_id),
    "wrong diff id": lambda s: layer_image(s.layers[0].blob, diff_id=oci.digest(b"other")),
    "garbage tar": lambda s: layer_image(gzip.compress(b"x" * 10000),
                                         diff_id=oci.digest(b"x" * 10000)),
    "cut tar": lambda s: oci.Image([oci.Layer(s.layers[0].plain[:700])]),
    "hard link to nothing": lambda s: with_entry(lambda t: t.hardlink("a", "no/such/file")),
    "unknown compression": lambda s: layer_image(s.layers[0].blob, "+lzma", s.layers[0].diff_id),
}


@pytest.mark.parametrize("kind", BAD_LAYERS)
def test_bad_layers(fresh, tmp_path, small, kind):
    path = oci.write_oci(str(tmp_path / "bad.tar"), {"bad": BAD_LAYERS[kind](small)})
    check_bad_archive(fresh, path, tmp_path, small)


def check_bad_archive(fresh, path, tmp_path, small):
    fresh("load", "-i", path).failed(FAILURE)
    with open(path, "rb") as f:
        fresh("load", stdin=f.read()).failed(FAILURE)
    assert fresh.images() == []
    fresh("load", "-i", oci.write_oci(str(tmp_path / "good.tar"), {"good": small})).ok()
    assert fresh.images() == ["good"]


def edit(files, **changes):
    """The files of an archive with some replaced, or left out (None)."""
    files = {**files, **{name.replace("__", "/").replace("_json", ".json"): data
                         for name, data in changes.items()}}
    return {name: data for name, data in files.items() if data is not None}


def without_layer(files, small):
    return edit(files, **{"blobs/sha256/" + small.layers[0].digest[7:]: None})


def with_wrong_layer(files, small):
    return edit(files, **{"blobs/sha256/" + small.layers[0].digest[7:]:
                          small.layers[0].blob[:-1] + b"x"})


BAD_ARCHIVES = {
    "empty": lambda files, s: {},
    "no index": lambda files, s: edit(files, index_json=None),
    "index is no JSON": lambda files, s: edit(files, index_json=b"{"),
    "index is a list": lambda files, s: edit(files, index_json=b"[]"),
    "no manifests": lambda files, s: edit(files, index_json=b'{"schemaVersion": 2}'),
    "digest with a path": lambda files, s: edit(files, index_json=oci.index(
        [{"mediaType": oci.OCI_MANIFEST, "size": 3, "digest": "sha256:../../../etc/passwd"}])),
    "layer is missing": without_layer,
    "layer with a wrong digest": with_wrong_layer,
}


@pytest.mark.parametrize("kind", BAD_ARCHIVES)
def test_bad_archives(fresh, tmp_path, small, kind):
    files = BAD_ARCHIVES[kind](oci.oci_files({"bad": small}), small)
    check_bad_archive(fresh, oci.write_archive(str(tmp_path / "bad.tar"), files), tmp_path, small)


@pytest.mark.parametrize("kind", ["truncated", "garbage", "nothing", "gzip of garbage", "folder"])
def test_files_that_are_no_archive(fresh, tmp_path, archives, small, kind):
    path = tmp_path / "bad"
    with open(archives["busybox"], "rb") as f:
        good = f.read()
    if kind == "folder":
        path.mkdir()
        fresh("load", "-i", str(path)).failed(FAILURE)
        return
    path.write_bytes({"truncated": good[:len(good) // 2], "garbage": os.urandom(100000),
                      "nothing": b"", "gzip of garbage": gzip.compress(os.urandom(1000))}[kind])
    check_bad_archive(fresh, str(path), tmp_path, small)


@pytest.mark.parametrize("entry_name", ["../../escaped", "/absolute", "a/../../escaped"])
def test_hostile_paths_in_layers(fresh, tmp_path, entry_name):
    """Refused, or made harmless as other tools do: never anywhere outside the image."""
    image = with_entry(lambda t: t.file(entry_name, "x"))
    r = fresh("load", "-i", oci.write_oci(str(tmp_path / "i.tar"), {"hostile": image}))
    assert not [p for p in tmp_path.rglob("escaped")] and not os.path.exists("/absolute")
    if r.rc:
        r.failed(FAILURE)
    else:
        assert fresh("run", "hostile", "--", "echo", "contained").ok() == b"contained\n"


def test_link_out_of_the_image(fresh, tmp_path):
    """A layer that writes through a link of its own finds no host behind it."""
    target = tmp_path / "target"
    target.mkdir()
    tar = oci.busybox_tar()
    tar.symlink("out", str(target))
    tar.file("out/file", "x")
    fresh("load", "-i", oci.write_oci(str(tmp_path / "i.tar"), {"x": oci.Image([oci.Layer(tar)])}))
    assert list(target.iterdir()) == []


# --- a full disk ---------------------------------------------------------------------------------


@pytest.fixture
def small_disk(fresh):
    if not ROOT:
        pytest.skip("mounting needs root")
    os.makedirs(fresh.path)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", fresh.path],
                             capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield fresh
    fresh.remove_all()
    subprocess.run(["umount", fresh.path], check=True)


def test_disk_full_while_pulling(small_disk, docker_registry, archives):
    """The error says so, nothing half-made is left, and with space the same command works."""
    name = docker_registry.push(archives["debian"], "debian", "test/full:1")
    small_disk("pull", name).failed(FAILURE, "no space left")
    assert small_disk.images() == []
    small_disk("load", "-i", archives["debian"]).failed(FAILURE, "no space left")
    subprocess.run(["mount", "-o", "remount,size=400M", small_disk.path], check=True)
    small_disk("pull", name).ok()
    assert small_disk("run", name, "--", "bash", "-c", "echo hi").ok() == b"hi\n"


@pytest.mark.lab
def test_disk_full_while_running(small_disk, archives):
    """The guest sees errors of its disk, not the host's; the sandbox can still be removed."""
    subprocess.run(["mount", "-o", "remount,size=40M", small_disk.path], check=True)
    small_disk("load", "-q", "-i", archives["busybox"]).ok()
    r = small_disk("run", "--name", "x", "busybox", "--", "sh", "-c",
                   "dd if=/dev/urandom of=/file bs=1M count=100; sync; echo end")
    assert r.rc in (0, 1) and b"end" in r.out
    small_disk("rm", "-f", "x").ok()
    assert small_disk("run", "busybox", "--", "echo", "hi").ok() == b"hi\n"
