"""Archives that nobody made in good faith, through msb and into a guest."""
import gzip
import io
import json
import os
import subprocess
import tarfile

import pytest

import harness
import oci

MSB_IMAGE = os.path.join(os.path.dirname(os.path.dirname(harness.MSB)), "lib", "msb-image")
EVIL = "evil\x1b[31m\r\n\x9b\x07"


def archive_of(tmp_path, *tars):
    """An image of busybox and these layers."""
    layers = [*oci.busybox().layers, *(oci.Layer(tar) for tar in tars)]
    image = oci.Image(layers, Cmd=["/bin/sh"], Env=["PATH=/bin"])
    return oci.write_oci(str(tmp_path / "image.tar"), {"demo": image})


def kept(home):
    """Files in the cache that are no whole layers."""
    cache = os.path.join(home.path, "cache")
    return [f for folder in ("images", "locks") for f in os.listdir(os.path.join(cache, folder))] \
        + [f for folder in ("blobs", "layers") for f in os.listdir(os.path.join(cache, folder))
           if f.startswith(".tmp-")]


def refused(home, path, saying):
    """One line that a terminal can show, and no image."""
    r = home("load", "-i", path)
    error = r.failed(1, saying)
    assert error.isprintable() and all(line.isprintable() for line in
                                       r.err.decode().splitlines()), r.err
    assert home.images() == [] and kept(home) == []
    return error


BAD = {
    "parent": (lambda t: t.file("../../../../tmp/" + EVIL, "x"), "'..'"),
    "inner parent": (lambda t: t.file("a/b/../../../x" + EVIL, "x"), "'..'"),
    "hard link to outside": (lambda t: t.hardlink(EVIL, "../../etc/passwd"), "outside"),
    "hard link to nothing": (lambda t: t.hardlink(EVIL, "etc/shadow"), "not there"),
    "hard link to a directory": (lambda t: t.hardlink(EVIL, "etc"), "directory"),
    "below a file": (lambda t: (t.file(EVIL), t.file(EVIL + "/x")), "not a directory"),
    "loop": (lambda t: (t.symlink("l" + EVIL, "l" + EVIL), t.file("l" + EVIL + "/x")), "loop"),
    "long name": (lambda t: t.file("n" * 256 + EVIL), "too long"),
    "10000 levels": (lambda t: t.dir("d/" * 10_000 + EVIL), "too long"),
    "owner": (lambda t: t.file(EVIL, uid=1 << 40), "owner"),
    "device": (lambda t: t.device(EVIL, tarfile.CHRTYPE, 1 << 20, 0), "device"),
    "type": (lambda t: t.add(EVIL, b"Z", 0o644), ""),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_layers(quick, tmp_path, kind):
    add, saying = BAD[kind]
    tar = oci.Tar(tarfile.GNU_FORMAT)
    add(tar)
    if kind == "type":  # a type that nobody knows is a file to tar programs
        quick("load", "-q", "-i", archive_of(tmp_path, tar)).ok()
        return
    refused(quick, archive_of(tmp_path, tar), saying)


def test_odd_layers_in_a_guest(fresh, tmp_path):
    """What is odd and allowed stays inside the image, and arrives as it is."""
    low, high = oci.Tar(), oci.Tar()
    low.symlink("out", "/../../../etc")
    low.symlink("up", "../../../../..")
    low.file("/absolute/file", "absolute")
    low.device("whiteout", tarfile.CHRTYPE, 0, 0)
    low.file(".-between", "between")
    low.file("xattr", "x", pax_headers={"SCHILY.xattr.trusted.overlay.opaque": "y",
                                        "SCHILY.xattr.trusted.overlay.redirect": "/etc"})
    for name in ("Case", "case", "CASE", "caf\u00e9", "cafe\u0301", "new\nline", " ", "-rf"):
        low.file("names/" + name, name)
    low.file("names/bad\udcff", "bad")
    high.file("out/through", "through")
    high.file("up/rooted", "root")
    high.hardlink("linked", "out/through")
    high.whiteout("absent")
    high.file("d", "file")
    high.dir("d", 0o755)
    high.file("d/inside", "inside")
    high.opaque("d")
    fresh("load", "-q", "-i", archive_of(tmp_path, low, high)).ok()
    script = """
        cat /etc/through /linked /root/../rooted /absolute/file /.-between /xattr /d/inside
        echo; ls /names | wc -l
        cd /names; cat Case case CASE caf* bad* -- -rf ' ' 'new
line'
        cd /; ls -a / | grep -c between
        rm -f /.-between /etc/through; ls /.-between /etc/through /linked 2>/dev/null
        true
    """
    out = fresh("run", "demo", "--", "sh", "-c", script).ok()
    head, _, tail = out.partition(b"\n")
    assert head == b"throughthroughrootabsolutebetweenxinside"
    assert tail.splitlines()[0] == b"9"
    assert b"CasecaseCASE" in tail and b"-rf new\nline" in tail
    assert tail.endswith(b"1\n/linked\n")


def run_tool(home, *args):
    r = subprocess.run([MSB_IMAGE, args[0], "--home", home.path, *args[1:]],
                       capture_output=True, timeout=harness.LIMIT, check=False)
    return json.loads(r.stdout)


@pytest.mark.parametrize("outer", [False, True])
def test_bomb(quick, tmp_path, outer):
    """4 GiB of zeroes in 4 MiB, as a layer, and around an archive: soon over, nothing kept."""
    info = tarfile.TarInfo("zeroes")
    info.size = 4 << 30
    zeroes = gzip.compress(bytes(16 << 20), 9)
    bomb = gzip.compress(info.tobuf()) + zeroes * 256
    path = str(tmp_path / "bomb.tar")
    if outer:
        with open(path, "wb") as f:
            f.write(bomb)
    else:
        oci.write_archive(path, {"blobs/sha256/" + oci.digest(bomb)[7:]: bomb})
    answer = run_tool(quick, "load", "--max-size", str(64 << 20), "--tag", "x", path)
    assert answer["error"]["code"] == "invalid", answer
    assert "67108864 bytes" in answer["error"]["message"]
    assert kept(quick) == []


@pytest.mark.parametrize("config, layer", [
    ("../../../../etc/passwd", "l"), ("/etc/passwd", "l"), ("link", "l"), ("c", "../../etc/passwd"),
    ("c", "link"), ("c", "loop"), ("c", ""), (7, "l"), ("c", None), ("c\n\x1b[31m", "l"),
])
def test_docker_archive_that_points_elsewhere(quick, tmp_path, config, layer):
    """Names in the documents of an archive are names in the archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        documents = {"c": oci.busybox().config, "l": oci.busybox().layers[0].plain,
                     "manifest.json": json.dumps([{"Config": config, "RepoTags": ["x:y"],
                                                   "Layers": [layer]}]).encode()}
        for name, data in documents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, target in (("link", "/etc/passwd"), ("loop", "loop")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    path = tmp_path / "saved.tar"
    path.write_bytes(out.getvalue())
    refused(quick, str(path), "")
