"""
The file systems that msb-image writes, beside what mkfs.erofs writes of the same tree: both are
taken apart by fsck.erofs and, where that is allowed, mounted.
"""
import hashlib
import json
import os
import random
import stat
import struct
import subprocess

import pytest

import harness
import oci

IMAGE_TOOL = os.path.join(os.path.dirname(os.path.dirname(harness.MSB)), "lib", "msb-image")
BLOCK = 4096
SIZES = (0, 1, 100, 1023, 1024, 1025, 2048, 2560, 2561, 4000, 4095, 4096, 4097, 5119, 5120, 5121,
         6656, 6657, 8191, 8192, 8193, 1 << 20, (1 << 20) + 5)
TIMES = (0, 1, 999999999, 1234567890123456789, 2**32 * 10**9 + 7, 2**33 * 10**9 + 999999999)
MANY = 100000
OUTDATED = "outdated"  # what only a lower layer has

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes devices and gives files away")


def run(*argv, **options):
    return subprocess.run(argv, check=True, capture_output=True, **options).stdout


# --- the tree ---------------------------------------------------------------------------------


def write(path, data, mode=0o644):
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)


def acl(*entries):
    """An access control list as the kernel stores it."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)


def make_files(root):
    noise = random.Random(7)
    for size in SIZES:
        write(f"{root}/size-{size}", noise.randbytes(size))
    with open(f"{root}/sparse", "wb") as f:
        for start in (0, 5 << 20, (9 << 20) + 4000):
            f.seek(start)
            f.write(noise.randbytes(3000))
        f.truncate((12 << 20) + 77)
    with open(f"{root}/hole", "wb") as f:
        f.truncate(3 << 20)
    # mkfs.erofs 1.5 fails at a name of 255 bytes; oci.layered() has one.
    for i, name in enumerate(("!", "-", ".!", ".#lock", ".-", "...", "..a", ".a", "~", "n" * 254,
                              "sp ace", "späße", b"bytes-\xff".decode(errors="surrogateescape"))):
        write(f"{root}/{name}", name.encode(errors="surrogateescape") * i)
    os.makedirs(f"{root}/" + "/".join(f"{i:02}" + "d" * 60 for i in range(40)))
    os.mkdir(f"{root}/empty", 0o700)
    os.mkdir(f"{root}/many")
    for i in range(MANY):
        os.close(os.open(f"{root}/many/{i * 7919 % MANY:07}", os.O_CREAT | os.O_WRONLY, 0o644))


def make_others(root):
    write(f"{root}/hard-a", b"hard" * 300)
    os.mkdir(f"{root}/links")
    for name in ("links/b", "links/c", "z-hard"):
        os.link(f"{root}/hard-a", f"{root}/{name}")
    os.symlink("hard-a", f"{root}/short-link")
    for n in (2048, 2049, 4000):
        os.symlink("/".join(["x" * 100] * 50)[:n], f"{root}/link-{n}")
    os.mknod(f"{root}/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(f"{root}/disk", stat.S_IFBLK | 0o660, os.makedev(259, 70000))
    os.mkfifo(f"{root}/pipe", 0o622)
    os.mkdir(f"{root}/meta")
    for i, (uid, gid) in enumerate([(1, 2), (65535, 65535), (65536, 0), (0, 65536),
                                    (2**32 - 2, 2**32 - 2)]):
        write(f"{root}/meta/owner-{i}", b"x" * i * 500)
        os.chown(f"{root}/meta/owner-{i}", uid, gid)
    for mode in (0o000, 0o777, 0o4755, 0o2755, 0o1644, 0o7777):
        write(f"{root}/meta/mode-{mode:o}", b"m", mode)
    for i, n in enumerate((1, 600, 3000)):
        path = f"{root}/meta/xattr-{n}"
        write(path, b"y" * 1000 * i)
        os.setxattr(path, "user.one", b"v" * n)
        os.setxattr(path, "user.empty", b"")
        os.setxattr(path, "trusted.name", bytes(range(256)))
        os.setxattr(path, "security.capability", struct.pack("<5I", 0x2000001, 0x2000, 0, 0, 0))
    write(f"{root}/meta/acl", b"acl")
    os.setxattr(f"{root}/meta/acl", "system.posix_acl_access",
                acl((1, 6, 2**32 - 1), (2, 4, 1000), (4, 4, 2**32 - 1), (16, 4, 2**32 - 1),
                    (32, 4, 2**32 - 1)))
    for i, ns in enumerate(TIMES):
        write(f"{root}/meta/time-{i}", b"t")
        os.utime(f"{root}/meta/time-{i}", ns=(ns, ns))
    for folder in (f"{root}/meta", f"{root}/many", root):
        os.utime(folder, ns=(10**18 + 5, 10**18 + 5))


def snapshot(root, full=True):
    """All that can be seen of a tree; not `full`: what fsck.erofs brings along."""
    seen, inodes = {}, {}
    folders = [os.fsencode(root)]
    while folders:
        folder = folders.pop()
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            st = os.lstat(path)
            value, special = None, False
            if stat.S_ISDIR(st.st_mode):
                folders.append(path)
            elif stat.S_ISLNK(st.st_mode):
                value = os.readlink(path)
            elif stat.S_ISREG(st.st_mode):
                with open(path, "rb") as f:
                    value = (st.st_size, hashlib.sha256(f.read()).digest())
            else:
                special = True
                value = (os.major(st.st_rdev), os.minor(st.st_rdev))
            if special and not full:
                continue
            rel = os.path.relpath(path, os.fsencode(root))
            links = inodes.setdefault(st.st_ino, [])
            links.append(rel)
            what = [st.st_mode, st.st_uid, st.st_gid, value]
            if full or not stat.S_ISLNK(st.st_mode):
                what.append(st.st_mtime_ns)
            if full:
                what += [links, st.st_nlink,
                         sorted((k, os.getxattr(path, k, follow_symlinks=False))
                                for k in os.listxattr(path, follow_symlinks=False))]
            seen[rel] = what
    for links in inodes.values():
        links.sort()
    return seen


# --- images of it -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = str(tmp_path_factory.mktemp("erofs") / "tree")
    os.mkdir(root)
    make_files(root)
    make_others(root)
    return root


def layers_of(tree):
    """The tree, of which the lower layer has too much, and some of it other."""
    spoiled = {"size-5000-gone": b"x" * 5000, "links/gone": b"", "empty/gone": b"x"}
    folders = {folder: os.stat(f"{tree}/{folder}") for folder in ("", "links", "empty")}
    for name, data in spoiled.items():
        write(f"{tree}/{name}", data)
    os.mkdir(f"{tree}/{OUTDATED}")
    write(f"{tree}/{OUTDATED}/file", b"x" * 10000)
    lower = run("tar", "-C", tree, "--format=pax", "--xattrs", "--xattrs-include=*", "--sparse",
                "--sort=name", "-cf", "-", ".")
    upper = oci.Tar()
    for name in [*spoiled, OUTDATED]:
        upper.whiteout(name)
    for name in spoiled:
        os.unlink(f"{tree}/{name}")
    os.unlink(f"{tree}/{OUTDATED}/file")
    os.rmdir(f"{tree}/{OUTDATED}")
    for folder, st in folders.items():
        os.utime(f"{tree}/{folder}", ns=(st.st_atime_ns, st.st_mtime_ns))
        upper.dir("./" + folder, stat.S_IMODE(st.st_mode), pax_headers={
            "mtime": f"{st.st_mtime_ns // 10**9}.{st.st_mtime_ns % 10**9:09}"})
    return [oci.Layer(lower, ""), oci.Layer(upper)]


def concatenate(out, files):
    with open(out, "wb") as f:
        for path in files:
            f.write(open(path, "rb").read())
    return out


@pytest.fixture(scope="module")
def images(tree, tmp_path_factory):
    """Paths of whole images by who made them."""
    out = tmp_path_factory.mktemp("images")
    home = str(out / "home")
    os.mkdir(home)
    archive = oci.write_oci(str(out / "tree.tar"), {"tree": oci.Image(layers_of(tree))})
    report = json.loads(run(IMAGE_TOOL, "load", "--home", home, archive))
    disk = [f"{home}/cache/{path}" for path in report["images"][0]["disk"]]
    run("mkfs.erofs", "--quiet", "--preserve-mtime", str(out / "mkfs.erofs"), tree)
    run(IMAGE_TOOL, "from-dir", "--home", home, "--out", str(out / "directory.erofs"), tree)
    return {"mkfs": str(out / "mkfs.erofs"), "directory": str(out / "directory.erofs"),
            "layers": concatenate(str(out / "layers.erofs"), disk)}


def differences(a, b):
    return {k: (a.get(k), b.get(k)) for k in a.keys() | b.keys() if a.get(k) != b.get(k)}


def test_fsck_takes_out_the_same_tree(images, tmp_path):
    found = {}
    for name in ("layers", "mkfs"):
        run("fsck.erofs", f"--extract={tmp_path}/{name}", images[name])
        found[name] = snapshot(f"{tmp_path}/{name}", full=False)
    assert len(found["mkfs"]) > MANY
    assert not differences(found["layers"], found["mkfs"])


def test_fsck_accepts_a_directory(images):
    run("fsck.erofs", "--extract", images["directory"])


@pytest.mark.parametrize("made_by", ["layers", "directory"])
def test_kernel_shows_the_same_tree(images, tree, tmp_path, made_by):
    mounted = subprocess.run(["mount", "-t", "erofs", "-o", "loop,ro", images[made_by], tmp_path],
                             capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("this host mounts no EROFS: " + mounted.stderr.decode().strip())
    try:
        assert not differences(snapshot(tmp_path), snapshot(tree))
    finally:
        run("umount", tmp_path)


def test_size_is_close_to_mkfs(images):
    """Short tails cost no block, holes of a host's file system no room."""
    size = {name: os.stat(path).st_size for name, path in images.items()}
    assert size["layers"] < size["mkfs"] * 1.02 and size["directory"] < size["mkfs"] * 1.02, size
