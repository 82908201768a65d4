"""Registries that are broken or hostile: one clear error, nothing kept, or the pull completes."""
import copy
import gzip
import json
import os
import socket
import subprocess

import pytest

import harness
import oci
from faulty import FaultyRegistry, hang_up, noisy_layers

MSB_IMAGE = os.path.join(os.path.dirname(os.path.dirname(harness.MSB)), "lib", "msb-image")
BLOBS, MANIFESTS = "/blobs/", "/manifests/"


@pytest.fixture(scope="module")
def image():
    return oci.Image(noisy_layers(3, size=50_000), Cmd=["/bin/sh"])


def stored(home):
    """What a failed pull may not leave behind: layers and images, and anything unfinished."""
    cache = os.path.join(home.path, "cache")
    return [f for folder in ("layers", "images", "locks", "blobs") for f in
            os.listdir(os.path.join(cache, folder))
            if folder in ("layers", "images", "locks") or f.startswith(".tmp-")]


def refused(home, server, saying="", layers_kept=False):
    """The pull fails for good, and the next one, from a registry that behaves, works."""
    error = home("pull", server.name).failed(1, saying)
    assert f"cannot pull '{server.name}': " in error
    assert home.images() == []
    if not layers_kept:
        assert stored(home) == []
    server.reset()
    return error


def works(home, server, image):
    home("pull", "-q", server.name).ok()
    assert verify(home, image)


def verify(home, image):
    r = subprocess.run([MSB_IMAGE, "verify", "--home", home.path, image.digest],
                       capture_output=True, timeout=harness.LIMIT, check=False)
    return json.loads(r.stdout)["ok"]


# --- transfers --------------------------------------------------------------------------------


def test_slow_registry(quick, server, image):
    """Bytes come in small pieces, the headers too."""
    def trickle(h):
        data = image.blobs()[h.path.rsplit("/", 1)[1]]
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n\r\n".encode()
        h.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in [head[i:i + 7] for i in range(0, len(head), 7)]:
            h.wfile.write(piece)
        for at in range(0, len(data), 977):
            h.wfile.write(data[at:at + 977])
    server.on(BLOBS, trickle)
    works(quick, server, image)


def test_layer_cut_off_again_and_again(quick, server, image):
    """Each try goes on where the last one broke off, and every byte is sent once."""
    layer = image.layers[0]
    cuts = [20_000, 0, 1, 10_000]
    server.on(layer.digest, server.broken_off(layer.blob, cuts[0]), times=1)

    def cut(n):
        def answer(h):
            start = int(h.headers["Range"][len("bytes="):-1])
            rest = layer.blob[start:]
            h.send_response(206)
            h.send_header("Content-Length", str(len(rest)))
            h.send_header("Content-Range",
                          f"bytes {start}-{len(layer.blob) - 1}/{len(layer.blob)}")
            h.end_headers()
            h.wfile.write(rest[:n])
            hang_up(h)
        return answer
    for n in cuts[1:]:
        server.on(layer.digest, cut(n), times=1)
    server.on(layer.digest, server.ranged(layer.blob))
    works(quick, server, image)
    ranges = [r for name, r in server.layer_requests() if name == layer.digest]
    assert ranges == [None, "bytes=20000-", "bytes=20000-", "bytes=20001-", "bytes=30001-"]


@pytest.mark.parametrize("rest", ["whole", "later", "earlier", "refused"])
def test_wrong_rest_of_a_layer(quick, server, image, rest):
    """A registry that gives another part than was asked for does no harm."""
    layer = image.layers[1]
    server.on(layer.digest, server.broken_off(layer.blob, 9000), times=1)
    server.on(layer.digest, {
        "whole": server.body(layer.blob),
        "later": server.ranged(layer.blob, off=1),
        "earlier": server.ranged(layer.blob, off=-9000),
        "refused": server.status(416),
    }[rest], times=1)
    works(quick, server, image)


def test_rest_with_other_bytes(quick, server, image):
    """The right range, but of something else: the digest of the whole tells."""
    layer = image.layers[1]
    server.on(layer.digest, server.broken_off(layer.blob, 9000), times=1)
    server.on(layer.digest, server.ranged(bytes(len(layer.blob))))
    refused(quick, server, "does not match its digest", layers_kept=True)
    works(quick, server, image)


def test_stalled_transfer(quick, server, image):
    """It is given up after a time without bytes, and tried again."""
    layer = image.layers[2]
    ended = []

    def stall(h):
        h.send_response(200)
        h.send_header("Content-Length", str(len(layer.blob)))
        h.end_headers()
        h.wfile.write(layer.blob[:50])
        h.wfile.flush()
        ended.append(h.connection.recv(1))  # until the client goes away
        h.close_connection = True
    server.on(layer.digest, stall, times=1)
    server.on(layer.digest, server.ranged(layer.blob))
    r = subprocess.run([MSB_IMAGE, "pull", "--home", quick.path, "--stall-timeout", "1",
                        server.name], capture_output=True, timeout=harness.LIMIT, check=False)
    assert json.loads(r.stdout)["ok"], r
    assert ended == [b""]
    assert (layer.digest, "bytes=50-") in server.layer_requests()


def chunked(pieces):
    def answer(h):
        h.send_response(200)
        h.send_header("Content-Type", oci.OCI_MANIFEST)
        h.send_header("Transfer-Encoding", "chunked")
        h.end_headers()
        if h.command == "GET":
            for piece in pieces:
                h.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            h.wfile.write(b"0\r\n\r\n")
    return answer


def endless():
    while True:
        yield b" " * 65536


@pytest.mark.parametrize("part", [MANIFESTS, "config", "layer"])
def test_endless_answer(quick, server, image, part):
    """A body without a length and an end."""
    part = {"config": oci.digest(image.config), "layer": image.layers[0].digest}.get(part, part)
    server.on(part, chunked(endless()))
    refused(quick, server, layers_kept=True)
    works(quick, server, image)


def test_endless_headers(quick, server, image):
    def answer(h):
        h.send_response_only(200)
        while True:
            h.wfile.write(b"X-Again: " + b"x" * 4000 + b"\r\n")
    server.on(MANIFESTS, answer)
    refused(quick, server)
    works(quick, server, image)


@pytest.mark.parametrize("length", ["-1", "99999999999999999999999", "0"])
def test_wrong_length(quick, server, image, length):
    layer = image.layers[0]

    def answer(h):
        h.send_response(200)
        h.send_header("Content-Length", length)
        h.end_headers()
        h.wfile.write(layer.blob)
        hang_up(h)
    server.on(layer.digest, answer)
    r = quick("pull", server.name)
    # The digest is what counts: a client may see past the header, but not past wrong bytes.
    if r.rc == 0:
        assert verify(quick, image)
        return
    r.failed(1)
    server.reset()
    works(quick, server, image)


@pytest.mark.parametrize("blob", ["layer", "config"])
def test_encoded_blob(quick, server, image, blob):
    """A server that compresses what it sends: nobody asked, so the bytes are what they are."""
    data = image.layers[0].blob if blob == "layer" else image.config
    server.on(oci.digest(data), server.body(gzip.compress(data), Content_Encoding="gzip"))
    refused(quick, server, layers_kept=True)
    works(quick, server, image)


TARGETS = [
    "file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x", "unix:/run/x", "//", "",
    "http://", "http://[", "javascript:x", "http://127.0.0.1:99999/x", "\x01\x02",
    "http://user:password@127.0.0.1:1/x",
]


@pytest.mark.parametrize("part", [MANIFESTS, BLOBS])
def test_redirect_to_nowhere(quick, server, part):
    for target in TARGETS:
        server.on(part, lambda h, to=target: server.send(h, 307, b"", Location=to))
        refused(quick, server)


def test_500_for_ever(quick, server):
    server.on(BLOBS, server.status(500))
    refused(quick, server, "500")


# --- documents --------------------------------------------------------------------------------


def altered(image, change):
    """The image with a changed manifest, whose digest is right all the same."""
    other = copy.copy(image)
    manifest = json.loads(image.manifest)
    change(manifest)
    other.manifest = json.dumps(manifest).encode()
    other.digest = oci.digest(other.manifest)
    return other


def set_layer(key, value):
    def change(m):
        m["layers"][0][key] = value
    return change


CHANGES = [
    (lambda m: m.update(layers=m["layers"] * 4000), "entries"),
    (lambda m: m.update(layers=[]), "layers"),
    (lambda m: m.update(layers=m["layers"][:1]), "layers"),
    (lambda m: m.update(layers=m["layers"] + m["layers"][:1]), "layers"),
    (lambda m: m["layers"].reverse(), "something else"),
    (set_layer("size", -1), "size"),
    (set_layer("size", 1.5), "size"),
    (set_layer("size", "100"), "size"),
    (set_layer("size", 1 << 62), ""),
    (set_layer("size", 1 << 64), ""),
    (set_layer("size", 10), "size"),
    (set_layer("size", 10_000_000), "size"),
    (set_layer("size", 0), "size"),
    (set_layer("digest", "sha256:../../../../etc/passwd"), "digest"),
    (set_layer("digest", "md5:abc"), "digest"),
    (set_layer("digest", "sha256:" + "A" * 64), "digest"),
    (set_layer("digest", "sha512:" + "a" * 128), "digest"),
    (set_layer("digest", None), "digest"),
    (set_layer("mediaType", "application/vnd.example"), "not a container image"),
    (set_layer("mediaType", "\x1b[31mred\n"), "not a container image"),
    (set_layer("mediaType", None), "not a container image"),
    (lambda m: m.update(layers={}), ""),
    (lambda m: m.update(config=[]), ""),
    (lambda m: m.update(config={}), "digest"),
    (lambda m: m["config"].update(size=5 << 20), "larger than 4 MiB"),
    (lambda m: m["config"].update(size=1), ""),
    (lambda m: m.update(schemaVersion=1), "schema 1"),
    (lambda m: m.pop("layers"), "layers"),
]


def test_bad_manifests(quick, server, image):
    for i, (change, saying) in enumerate(CHANGES):
        home = harness.Home(f"{quick.path}-{i}")  # nothing of the one before may help
        server.image = altered(image, change)
        error = refused(home, server, saying, layers_kept=True)
        assert error.isprintable()
    server.image = image
    works(quick, server, image)


CONFIGS = [
    b"", b"[]", b"{", b"null", b"{}", b'{"rootfs": []}', b'{"rootfs": {"diff_ids": [1, 2, 3]}}',
    b'{"rootfs": {"diff_ids": ["sha256:x"]}}', b"\0" * 100, b'{"a": "\0"}' + b" " * 1000,
    b"[" * 100_000, b'{"rootfs": {"diff_ids": ' + json.dumps(["sha256:" + "0" * 64] * 3).encode()
    + b"}}",
]


def test_bad_configs(quick, server, image):
    for config in CONFIGS:
        other = altered(image, lambda m, text=config: m["config"].update(
            digest=oci.digest(text), size=len(text)))
        other.config = config
        server.image = other
        refused(quick, server, layers_kept=True)
    server.image = image
    works(quick, server, image)


ODD_CONFIG = {
    "Env": [1, None, {}, "A=\x1b[31mred", "\n"], "Cmd": "not a list", "Entrypoint": [{}, 5],
    "WorkingDir": 7, "User": ["root"], "Labels": [], "StopSignal": {},
}


@pytest.mark.parametrize("key", ODD_CONFIG)
def test_config_of_wrong_types(fresh, key):
    """It pulls or not, and can be looked at and run or not, but never crashes."""
    image = oci.Image(oci.busybox().layers, **{"Cmd": ["true"], key: ODD_CONFIG[key]})
    server = FaultyRegistry(image)
    try:
        r = fresh("pull", "-q", server.name)
        assert r.rc in (0, 1), r
        if r.rc == 0:
            r = fresh("image", "inspect", server.name)
            assert r.rc in (0, 1) and b"\x1b" not in r.out, r
            assert fresh("image", "inspect", server.name, "--format", "json").rc in (0, 1)
            r = fresh("run", server.name)
            assert r.rc in (0, 1, 126, 127), r
    finally:
        server.stop()


def nested(image, depth):
    """Indexes around an image, and every document by its digest."""
    documents, inner = {}, image.descriptor(arch="amd64")
    for _ in range(depth):
        text = oci.index([inner])
        documents[oci.digest(text)] = text
        inner = {"mediaType": oci.OCI_INDEX, "digest": oci.digest(text), "size": len(text),
                 "platform": {"os": "linux", "architecture": "amd64"}}
    return documents, text


@pytest.mark.parametrize("depth, good", [(1, True), (2, True), (3, False), (50, False)])
def test_index_of_indexes(quick, server, image, depth, good):
    documents, outermost = nested(image, depth)

    def answer(h):
        wanted = h.path.rsplit("/", 1)[1]
        text = image.manifest if wanted == image.digest else documents.get(wanted, outermost)
        server.send(h, 200, text, oci.OCI_INDEX)
    server.on(MANIFESTS, answer)
    if good:
        works(quick, server, image)
    else:
        refused(quick, server, "index of indexes")


def test_index_of_itself(quick, server):
    """As far as digests can: an index whose only entry is answered by the index."""
    text = oci.index([{"mediaType": oci.OCI_INDEX, "digest": "sha256:" + "1" * 64, "size": 5,
                       "platform": {"os": "linux", "architecture": "amd64"}}])
    server.on(MANIFESTS, server.body(text, oci.OCI_INDEX))
    refused(quick, server, "does not match its digest")


def test_repeated_layers(quick, image):
    """The same layer several times in one image is fetched once."""
    layers = image.layers[:2] * 20
    other = oci.Image(layers, Cmd=["true"])
    server = FaultyRegistry(other)
    try:
        works(quick, server, other)
        assert len(server.layer_requests()) == 2
    finally:
        server.stop()


def test_image_without_layers(fresh):
    """It has an empty root: that is odd, and allowed."""
    image = oci.Image([], Cmd=["/bin/sh"])
    server = FaultyRegistry(image)
    try:
        works(fresh, server, image)
        fresh("run", server.name).failed(127)
    finally:
        server.stop()


def test_layer_that_is_no_archive(quick, image):
    """Right by its digest, and still nonsense."""
    bad = oci.Layer(b"this is no archive, and it has \x1b[31mcolours\n" * 100)
    server = FaultyRegistry(oci.Image([bad, *image.layers]))
    try:
        refused(quick, server, "is corrupt", layers_kept=True)
    finally:
        server.stop()


def test_digest_of_the_header_is_not_believed(quick, server, image):
    """A tag whose HEAD answer names a digest that is not there."""
    def answer(h):
        if h.command == "HEAD":
            server.send(h, 200, image.manifest, oci.OCI_MANIFEST,
                        Docker_Content_Digest="sha256:" + "0" * 64)
        else:
            server.send(h, 200, image.manifest, oci.OCI_MANIFEST)
    server.on(MANIFESTS, answer)
    refused(quick, server, "digest")
