# SPDX-License-Identifier: Apache-2.0
"""What the fuzz targets for images start from; tests/fuzz/seeds writes it."""

import gzip
import hashlib
import io
import json
import struct
import tarfile

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
PLATFORM = {"os": "linux", "architecture": "amd64"}


def archive(*entries, fmt=tarfile.PAX_FORMAT):
    """A tar of entries: name, type, and fields of tarfile's TarInfo; "data" is the content."""
    out = io.BytesIO()
    tar = tarfile.open(fileobj=out, mode="w", format=fmt)
    for name, kind, fields in entries:
        info = tarfile.TarInfo(name)
        data = fields.pop("data", b"")
        info.type, info.size, info.mode = kind, len(data), 0o755
        for key, value in fields.items():
            setattr(info, key, value)
        tar.addfile(info, io.BytesIO(data))
    return out.getvalue() + bytes(1024)


def header(name, kind, size, prefix=b"", rest=b""):
    """A header block with a right checksum; `prefix` and `rest` are put at 257 and 345."""
    h = bytearray(512)
    h[0 : len(name)] = name
    h[100:124] = b"0000644\0000000000\0000000000\0"
    h[124:136] = size if isinstance(size, bytes) else b"%011o\0" % size
    h[136:148] = b"00000000000\0"
    h[156:157] = kind
    h[257:265] = prefix or b"ustar\00000"
    h[345 : 345 + len(rest)] = rest
    h[148:156] = b" " * 8
    h[148:155] = b"%06o\0" % sum(h)
    return bytes(h)


def padded(data):
    return data + bytes(-len(data) % 512)


def pax(records):
    data = b""
    for key, value in records:
        body = b" " + key + b"=" + value + b"\n"
        n = len(body) + 1
        while len(b"%d" % n) + len(body) != n:
            n += 1
        data += b"%d" % n + body
    return header(b"pax", b"x", len(data)) + padded(data)


FILE, DIR, LINK, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def tar():
    plain = [
        ("d", DIR, {}),
        ("d/file", FILE, {"data": b"content" * 100, "uid": 70000, "mtime": 12345}),
        ("d/link", LINK, {"linkname": "../d/file"}),
        ("hard", HARD, {"linkname": "d/file"}),
        ("null", tarfile.CHRTYPE, {"devmajor": 1, "devminor": 3}),
        ("blk", tarfile.BLKTYPE, {"devmajor": 7, "devminor": 300}),
        ("fifo", tarfile.FIFOTYPE, {}),
    ]
    xattr = {"SCHILY.xattr.user.a": "b", "SCHILY.xattr.security.capability": "\1\0\0\2"}
    marks = [
        ("d/.wh.file", FILE, {}),
        ("d/sub/.wh..wh..opq", FILE, {}),
        (".wh..wh.plnk", FILE, {}),
        ("d/file", FILE, {"data": b"x" * 5000}),
        ("d", LINK, {"linkname": "e"}),
        ("d/below", FILE, {"data": b"1"}),
        ("e", DIR, {}),
    ]
    sparse = pax(
        [
            (b"GNU.sparse.major", b"1"),
            (b"GNU.sparse.minor", b"0"),
            (b"GNU.sparse.name", b"s"),
            (b"GNU.sparse.realsize", b"9000"),
        ]
    )
    sparse += header(b"s", b"0", 517) + padded(b"1\n8192\n5\n") + padded(b"12345")
    old_map = b"".join(b"%011o\0%011o\0" % pair for pair in ((0, 512), (8192, 512), (9000, 0)))
    old = header(b"s", b"S", 1024, b"ustar  \0", bytes(41) + old_map + bytes(25) + b"%011o\0" % 9000)
    long_name = header(b"././@LongLink", b"L", 300, b"ustar  \0") + padded(b"n/" * 150)
    binary = b"\x80" + bytes(8) + struct.pack(">Q", 3)[5:]
    for name, data in (
        ("plain", archive(*[(n, k, dict(f)) for n, k, f in plain])),
        ("gnu", archive(*[(n, k, dict(f)) for n, k, f in plain], fmt=tarfile.GNU_FORMAT)),
        ("marks", archive(*marks)),
        ("xattrs", archive(("x", FILE, {"pax_headers": xattr, "data": b"y"}))),
        ("long", archive(("n" * 200 + "/" + "m" * 100, FILE, {}), ("l", LINK, {"linkname": "t" * 900}))),
        ("sparse", sparse + bytes(1024)),
        ("old-sparse", old + bytes(1024) + bytes(1024)),
        ("long-link", long_name + header(b"x", b"0", 0) + bytes(1024)),
        ("binary", header(b"x", b"0", binary) + padded(b"abc") + bytes(1024)),
        ("pax-size", pax([(b"size", b"3"), (b"path", b"a/../b")]) + header(b"x", b"0", 0) + padded(b"abc")),
        ("empty", bytes(1024)),
    ):
        yield name, b"\1" + data
        yield f"{name}-twice", b"\x11" + data
        yield f"{name}-raw", b"\6" + data


def layer_index():
    file, folder, link, hard, char, _, fifo, white, opaque = range(1, 10)

    def entry(kind, path, target=b"", size=0, offset=0, xattrs=b"", n=0, tail=b""):
        data = struct.pack("<IBBHIIIIqIIQQHHHH", 0, kind, 0, 0o755, 1, 2, 0, 0, 99, 0, len(xattrs),
                           size, offset, len(path), len(target), n, len(tail))  # fmt: skip
        data += path + target + xattrs + tail
        return data + bytes(-len(data) % 8)

    def xattr(name, value):
        return struct.pack("<HHI", len(name), 0, len(value)) + name + value

    some = [
        entry(folder, b""),
        entry(folder, b"d"),
        entry(file, b"d/f", size=4096 + 904, offset=4096, tail=b"t" * 904),
        entry(file, b"d/g", size=4096 + 1025, offset=0),
        entry(file, b"d/t", size=3, tail=b"abc"),
        entry(link, b"d/l", b"../x"),
        entry(hard, b"h", b"d/f"),
        entry(char, b"c"),
        entry(fifo, b"p"),
        entry(white, b"d/w"),
        entry(opaque, b"d"),
        entry(file, b"x", xattrs=xattr(b"user.a", b"b") + xattr(b"trusted.c", b""), n=2),
    ]
    for flags in 1, 3:
        yield f"some-{flags}", struct.pack("<BHH", flags, len(some), 4) + b"".join(some)
    yield "none", struct.pack("<BHH", 1, 0, 0)
    yield "raw", struct.pack("<BHH", 0, 0, 0) + b"MSBLAYER" + bytes(120)


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def compact(value):
    return json.dumps(value, separators=(",", ":")).encode()


def descriptor(kind, data, **more):
    return {"mediaType": kind, "digest": digest(data), "size": len(data), **more}


def image(layer, plain):
    config = compact({**PLATFORM, "config": {"Cmd": ["x"]}, "rootfs": {"diff_ids": [digest(plain)]}})
    kind = LAYER if layer == plain else LAYER + "+gzip"
    manifest = compact({"schemaVersion": 2, "config": descriptor("c", config),
                        "layers": [descriptor(kind, layer)]})  # fmt: skip
    index = compact({"manifests": [descriptor(
        MANIFEST, manifest, platform=PLATFORM,
        annotations={"io.containerd.image.name": "a:b"})]})  # fmt: skip
    return config, manifest, index


SMALL = archive(("f", FILE, {"data": b"content"}))


def manifest():
    config, one, index = image(SMALL, SMALL)
    yield "manifest", one
    yield "index", index
    yield "config", config
    yield "nested", compact({"manifests": [descriptor(INDEX, b"x"), descriptor(MANIFEST, b"y")]})
    yield "empty", b"{}"
    yield "schema1", b'{"schemaVersion":1}'


def files(*pairs):
    return archive(*[(name, FILE, {"data": data}) for name, data in pairs])


def load():
    squeezed = gzip.compress(SMALL, mtime=0)
    for name, layer in ("plain", SMALL), ("gzip", squeezed):
        config, one, index = image(layer, SMALL)
        blobs = [("blobs/sha256/" + digest(d)[7:], d) for d in (config, one, layer)]
        layout = files(("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), *blobs, ("index.json", index))
        yield f"oci-{name}", b"\1" + layout
        docker = compact([{"Config": "c.json", "RepoTags": ["a:b"], "Layers": ["l/layer.tar"]}])
        saved = files(("l/layer.tar", layer), ("c.json", config), ("manifest.json", docker))
        yield f"docker-{name}", b"\3" + saved
        yield f"docker-{name}-gz", b"\0" + gzip.compress(saved, mtime=0)
    yield "links", b"\1" + archive(("a", LINK, {"linkname": "../b"}), ("b/c", LINK, {"linkname": "../a"}))
    yield "empty", b"\1" + bytes(1024)


def inflate():
    text = b"some text, some text, and more of it" * 5
    for flags in range(8):
        yield f"made-{flags}", struct.pack("<BBHB", flags, 7, 40, 0) + text
        yield f"damaged-{flags}", struct.pack("<BBHB", flags, 0, 20, 1) + text
    raw = struct.pack("<BBHB", 0, 3, 0, 0)
    yield "two", raw + gzip.compress(text, mtime=0) + gzip.compress(b"", mtime=0)
    yield "padded", raw + gzip.compress(text, mtime=0) + bytes(10)
    yield "skippable", raw + bytes.fromhex("502a4d1804000000") + b"1234" + bytes.fromhex("28b52ffd0400")
    yield "window", raw + bytes.fromhex("28b52ffd00ff") + bytes(20)


def reference():
    hexa = "0123456789abcdef" * 4
    for i, text in enumerate(
        (
            "alpine",
            "user/app:v1.2.3-rc_1",
            f"h:5/x:t@sha256:{hexa}",
            "[::1]:5000/x",
            "localhost/x",
            "reg.example.com:443/a/b__c/d---e:Tag",
            "index.docker.io/a",
        )
    ):
        yield str(i), text.encode()


def challenge():
    for i, text in enumerate(
        (
            'Bearer realm="https://a/token",service="b",scope="repository:x:pull"',
            'Basic realm="x", Bearer realm="y" , service=z',
            'Bearer realm="a\\"b", error="insufficient_scope"',
            "Negotiate abc==, Bearer realm=token",
            "Basic",
        )
    ):
        yield str(i), text.encode()


TARGETS = tar, layer_index, load, inflate, manifest, reference, challenge
