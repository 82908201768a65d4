"""Images made from nothing but Python's tarfile: layers, OCI archives, docker-save archives.

    busybox()   the distribution's static busybox, as tools/mkimage makes it
    debian()    glibc, bash, coreutils and python3 from the packages installed on this host
    layered()   25 layers with everything that a layer can do to those below it
"""
import gzip
import hashlib
import io
import json
import os
import random
import stat
import subprocess
import tarfile

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"

BUSYBOX = "/bin/busybox"
PASSWD = ("root:x:0:0:root:/root:/bin/sh\n"
          "user:x:1000:1000:A user:/home/user:/bin/sh\n"
          "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n")
GROUP = "root:x:0:\nusers:x:100:user\nuser:x:1000:\nnogroup:x:65534:\n"
DIRECTORIES = {"etc": 0o755, "root": 0o700, "home": 0o755, "home/user": 0o755, "var": 0o755,
               "tmp": 0o1777, "proc": 0o555, "sys": 0o555, "dev": 0o755, "run": 0o755}


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def gzip_bytes(data):
    return gzip.compress(data, compresslevel=1, mtime=0)


def zstd_bytes(data):
    return subprocess.run(["zstd", "-q", "-1", "-c"], input=data, check=True,
                          capture_output=True).stdout


COMPRESSIONS = {"gzip": gzip_bytes, "zstd": zstd_bytes, "": lambda data: data}


class Tar:
    """A tar archive under construction."""

    def __init__(self, fmt=tarfile.PAX_FORMAT):
        self.out = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.out, mode="w", format=fmt)

    def add(self, name, kind, mode, data=b"", **fields):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.size = kind, mode, len(data)
        for key, value in fields.items():
            setattr(info, key, value)
        self.tar.addfile(info, io.BytesIO(data))

    def file(self, name, data=b"", mode=0o644, **fields):
        self.add(name, tarfile.REGTYPE, mode, data if isinstance(data, bytes) else data.encode(),
                 **fields)

    def dir(self, name, mode=0o755, **fields):
        self.add(name, tarfile.DIRTYPE, mode, **fields)

    def symlink(self, name, target):
        self.add(name, tarfile.SYMTYPE, 0o777, linkname=target)

    def hardlink(self, name, target):
        self.add(name, tarfile.LNKTYPE, 0o644, linkname=target)

    def device(self, name, kind, major, minor, mode=0o600):
        self.add(name, kind, mode, devmajor=major, devminor=minor)

    def whiteout(self, name):
        """Hides what the layers below have under the name."""
        folder, base = os.path.split(name)
        self.file(os.path.join(folder, ".wh." + base))

    def opaque(self, folder):
        """Hides everything that the layers below have in the folder."""
        self.file(os.path.join(folder, ".wh..wh..opq"))

    def bytes(self):
        self.tar.close()
        return self.out.getvalue()


class Layer:
    def __init__(self, tar, compression="gzip", blob=None):
        self.plain = tar.bytes() if isinstance(tar, Tar) else tar
        self.blob = blob or COMPRESSIONS[compression](self.plain)
        self.diff_id = digest(self.plain)
        self.digest = digest(self.blob)
        self.media_type = OCI_LAYER + ("+" + compression if compression else "")


class Image:
    """Layers and a configuration; `config` is what goes under "config" in the OCI configuration."""

    def __init__(self, layers, arch="amd64", **config):
        self.layers = layers
        self.config = json.dumps({
            "architecture": arch, "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        }).encode()
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": digest(self.config),
                       "size": len(self.config)},
            "layers": [{"mediaType": layer.media_type, "digest": layer.digest,
                        "size": len(layer.blob)} for layer in layers],
        }).encode()
        self.digest = digest(self.manifest)

    def descriptor(self, reference=None, arch=None):
        d = {"mediaType": OCI_MANIFEST, "digest": self.digest, "size": len(self.manifest)}
        if reference:  # skopeo finds it by the first, docker and containerd by the second
            d["annotations"] = {"org.opencontainers.image.ref.name": reference,
                                "io.containerd.image.name": reference}
        if arch:
            d["platform"] = {"architecture": arch, "os": "linux"}
        return d

    def blobs(self):
        """Everything that is addressed by its digest."""
        found = {digest(self.config): self.config, self.digest: self.manifest}
        found.update((layer.digest, layer.blob) for layer in self.layers)
        return found


def index(descriptors):
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX,
                       "manifests": descriptors}).encode()


def write_archive(path, files):
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    return path


def oci_files(images):
    """The files of an OCI layout; `images` maps references (or None) to images."""
    files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
             "index.json": index([image.descriptor(ref) for ref, image in images.items()])}
    for image in images.values():
        for name, data in image.blobs().items():
            files["blobs/sha256/" + name[7:]] = data
    return files


def write_oci(path, images):
    return write_archive(path, oci_files(images))


def write_docker(path, images):
    """What `docker save` wrote before it became an OCI layout: layers are plain tars."""
    files, manifest = {}, []
    for ref, image in images.items():
        config = digest(image.config)[7:] + ".json"
        files[config] = image.config
        names = []
        for layer in image.layers:
            names.append(layer.diff_id[7:] + "/layer.tar")
            files[names[-1]] = layer.plain
        manifest.append({"Config": config, "RepoTags": [ref], "Layers": names})
    files["manifest.json"] = json.dumps(manifest).encode()
    return write_archive(path, files)


# --- busybox --------------------------------------------------------------------------------


def base_tree(tar):
    for name, mode in DIRECTORIES.items():
        tar.dir(name, mode)
    tar.file("etc/passwd", PASSWD)
    tar.file("etc/group", GROUP)


def busybox_tar():
    tar = Tar()
    base_tree(tar)
    tar.dir("bin")
    with open(BUSYBOX, "rb") as f:
        tar.file("bin/busybox", f.read(), 0o755)
    applets = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True)
    for applet in applets.stdout.split():
        if applet != "busybox":
            tar.symlink("bin/" + applet, "busybox")
    return tar


def busybox(compression="gzip", **config):
    config = {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin", "FROM_IMAGE=yes"], "WorkingDir": "/root",
              **config}
    return Image([Layer(busybox_tar(), compression)], **config)


# --- a Debian-like image from this host's packages -------------------------------------------

PACKAGES = ["base-files", "bash", "coreutils", "grep", "libc-bin", "python3-minimal"]
# What the closure of dependencies reaches and no test needs.
UNWANTED = {"awk", "debconf", "dpkg", "perl-base", "tar", "debianutils"}
MERGED = ["bin", "sbin", "lib", "lib64"]  # links into /usr
UNWANTED_PATHS = ("/usr/share/doc/", "/usr/share/man/", "/usr/share/locale/",
                  "/usr/share/lintian/", "/usr/share/info/", "/usr/lib/x86_64-linux-gnu/gconv/")


def depends(package):
    out = subprocess.run(["dpkg-query", "-W", "-f", "${Pre-Depends}, ${Depends}", package],
                         capture_output=True, text=True, check=False).stdout
    for field in out.split(","):
        words = field.split("|")[0].split()
        if words:
            yield words[0].split(":")[0]


def closure(packages):
    found, todo = set(), list(packages)
    while todo:
        package = todo.pop()
        if package not in found and package not in UNWANTED:
            found.add(package)
            todo += depends(package)
    return sorted(found)


def package_paths(packages):
    """What the packages own, with /bin, /lib ... resolved to where they are: below /usr."""
    paths = set()
    for package in packages:
        listing = subprocess.run(["dpkg-query", "-L", package], capture_output=True, text=True,
                                 check=False).stdout
        for path in listing.splitlines():
            if not path.startswith("/") or path.startswith(UNWANTED_PATHS):
                continue
            path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
            if path != "/" and os.path.lexists(path) and path[1:] not in MERGED:
                paths.add(path)
    for path in list(paths):  # parents that a package does not list under their real name
        while path != "/":
            paths.add(path)
            path = os.path.dirname(path)
    return sorted(paths)


def add_path(tar, path):
    """Adds one of this host's directories, links or files."""
    st = os.lstat(path)
    name, mode = path[1:], stat.S_IMODE(st.st_mode)
    if stat.S_ISDIR(st.st_mode):
        tar.dir(name, mode)
    elif stat.S_ISLNK(st.st_mode):
        tar.symlink(name, os.readlink(path))
    elif stat.S_ISREG(st.st_mode):
        with open(path, "rb") as f:
            tar.file(name, f.read(), mode)


def debian_tar():
    tar = Tar()
    paths = package_paths(closure(PACKAGES))
    present = set()
    for path in paths:
        name = path[1:]
        if name in MERGED or name in ("etc/passwd", "etc/group"):
            continue
        present.add(name)
        add_path(tar, path)
    for name in MERGED:
        if os.path.islink("/" + name):
            if "usr/" + name not in present:
                tar.dir("usr/" + name)
            tar.symlink(name, "usr/" + name)
    if "usr/bin/sh" not in present:
        tar.symlink("usr/bin/sh", "bash")
    base_tree(tar)
    return tar


def debian(compression="gzip"):
    return Image([Layer(debian_tar(), compression)], Cmd=["bash"],
                 Env=["PATH=/usr/local/bin:/usr/bin:/bin"])


# --- everything that layers can do ------------------------------------------------------------

LONG_NAME = "n" * 255
LONG_PATH = "deep/" + "/".join(["d" * 100] * 4)
NOISE_SIZE = 1 << 20
TAIL_SIZES = (1023, 1024, 1025, 4095, 4096, 4097, 5120, 5121)  # around what is kept inline
N_LAYERS = 25


def noise():
    """A mebibyte that does not compress."""
    return random.Random(1).randbytes(NOISE_SIZE)


def tail_text(size):
    return "".join(f"{i:08}" for i in range(size // 8 + 1))[:size]


def change_layers():
    """Layers over busybox whose effect `LAYERED_TREE` below describes."""
    a, b, c, d = Tar(), Tar(), Tar(tarfile.GNU_FORMAT), Tar()

    a.dir("t")
    a.file("t/gone", "x")
    a.file("t/changed", "old", mode=0o600)
    a.file("t/chmod", "same", mode=0o644)
    a.dir("t/gone-dir")
    a.file("t/gone-dir/file", "x")
    a.dir("t/opaque")
    a.file("t/opaque/below", "x")
    a.dir("t/merged")
    a.file("t/merged/below", "below")
    a.dir("t/dir-to-file")
    a.file("t/dir-to-file/x", "x")
    a.file("t/file-to-dir", "x")
    a.file("t/file-to-link", "x")
    a.file("t/back", "first")
    a.file("t/noise", noise())
    a.file("t/empty")
    for size in TAIL_SIZES:
        a.file(f"t/tail-{size}", tail_text(size), uid=size % 2 * 70000)

    b.whiteout("t/gone")
    b.whiteout("t/gone-dir")
    b.whiteout("t/back")
    b.file("t/changed", "new and longer", mode=0o640, uid=1000, gid=100)
    b.file("t/chmod", "same", mode=0o4755)
    b.opaque("t/opaque")
    b.file("t/opaque/above", "above")
    b.file("t/merged/above", "above")
    b.file("t/dir-to-file", "file now")
    b.dir("t/file-to-dir", 0o711)
    b.file("t/file-to-dir/inside", "inside")
    b.symlink("t/file-to-link", "changed")

    c.dir(LONG_PATH)
    c.file(LONG_PATH + "/file", "deep")
    c.file("t/" + LONG_NAME, "long")
    c.symlink("t/long-link", "x" * 1000)
    c.file("t/hard-1", "hard", mode=0o751, uid=3, gid=4)
    c.hardlink("t/hard-2", "t/hard-1")
    c.hardlink("t/hard-3", "t/hard-2")
    c.device("t/null", tarfile.CHRTYPE, 1, 3, 0o666)
    c.device("t/block", tarfile.BLKTYPE, 7, 300, 0o660)
    c.add("t/fifo", tarfile.FIFOTYPE, 0o640)
    c.dir("t/sticky", 0o1777)
    c.dir("t/setgid", 0o2755, uid=70000, gid=70001)
    c.file("t/time", "t", mtime=1234567890)

    d.file("t/back", "again")
    d.file("t/xattr", "x", pax_headers={"SCHILY.xattr.user.colour": "blue",
                                        "SCHILY.xattr.user.long": "v" * 300})
    d.file("./t/dot-slash", "dot")
    d.file("t/späße-日本", "utf-8")
    d.file("t/no-parent/x/y", "made up")  # parents that no layer has
    d.file("t/with space\tand tab", "space")
    d.file("t/.-between", "dots")  # "." < ".-" < ".."
    return [a, b, c, d]


# path: (type and mode, uid, gid, content or target or device number)
LAYERED_TREE = {
    "changed": (0o100640, 1000, 100, "new and longer"),
    "chmod": (0o104755, 0, 0, "same"),
    "opaque/above": (0o100644, 0, 0, "above"),
    "merged/below": (0o100644, 0, 0, "below"),
    "merged/above": (0o100644, 0, 0, "above"),
    "dir-to-file": (0o100644, 0, 0, "file now"),
    "file-to-dir": (0o40711, 0, 0, None),
    "file-to-dir/inside": (0o100644, 0, 0, "inside"),
    "file-to-link": (0o120777, 0, 0, "changed"),
    "back": (0o100644, 0, 0, "again"),
    "noise": (0o100644, 0, 0, hashlib.sha256(noise()).hexdigest()),
    "empty": (0o100644, 0, 0, ""),
    LONG_NAME: (0o100644, 0, 0, "long"),
    "long-link": (0o120777, 0, 0, "x" * 1000),
    "hard-1": (0o100751, 3, 4, "hard"),
    "hard-2": (0o100751, 3, 4, "hard"),
    "hard-3": (0o100751, 3, 4, "hard"),
    "null": (0o20666, 0, 0, "1:3"),
    "block": (0o60660, 0, 0, "7:300"),
    "fifo": (0o10640, 0, 0, None),
    "sticky": (0o41777, 0, 0, None),
    "setgid": (0o42755, 70000, 70001, None),
    "time": (0o100644, 0, 0, "t"),
    "xattr": (0o100644, 0, 0, "x"),
    "dot-slash": (0o100644, 0, 0, "dot"),
    "späße-日本": (0o100644, 0, 0, "utf-8"),
    "no-parent/x/y": (0o100644, 0, 0, "made up"),
    "with space\tand tab": (0o100644, 0, 0, "space"),
    ".-between": (0o100644, 0, 0, "dots"),
}
LAYERED_TREE.update((f"tail-{size}", (0o100644, size % 2 * 70000, 0,
                                      hashlib.sha256(tail_text(size).encode()).hexdigest()))
                    for size in TAIL_SIZES)
LAYERED_FOLDERS = {"opaque", "merged", "no-parent", "no-parent/x"}
XATTRS = {"user.colour": "blue", "user.long": "v" * 300}

# Prints the tree above as a Python value (python3-minimal has no json); runs in the guest.
DUMP_TREE = r"""
import hashlib, os, stat
tree = {}
def note(path):
    st = os.lstat(path)
    value = None
    if stat.S_ISLNK(st.st_mode):
        value = os.readlink(path)
    elif stat.S_ISREG(st.st_mode):
        data = open(path, "rb").read()
        value = data.decode() if len(data) < 1000 else hashlib.sha256(data).hexdigest()
    elif stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
        value = "%d:%d" % (os.major(st.st_rdev), os.minor(st.st_rdev))
    tree[os.path.relpath(path, "/t")] = [st.st_mode, st.st_uid, st.st_gid, value]
for folder, dirs, files in os.walk("/t"):
    for name in dirs + files:
        note(os.path.join(folder, name))
hard = [os.stat("/t/hard-%d" % i) for i in (1, 2, 3)]
print(repr({
    "tree": tree,
    "xattrs": {k: os.getxattr("/t/xattr", k).decode() for k in os.listxattr("/t/xattr")
               if k.startswith("user.")},
    "hard": [len({s.st_ino for s in hard}), hard[0].st_nlink],
    "mtime": int(os.stat("/t/time").st_mtime),
    "layers": sorted(os.listdir("/many")),
}))
"""


def layered():
    """busybox and python3 at the bottom, then the changes, then many small ones."""
    kinds = ["gzip", "zstd", ""]
    tars = [busybox_tar(), debian_over_busybox()] + change_layers()
    for i in range(len(tars), N_LAYERS):
        tar = Tar()
        tar.dir("many")
        tar.file(f"many/{i:02}", str(i))
        tar.whiteout(f"many/{i - 1:02}") if i % 5 == 0 else None
        tars.append(tar)
    return Image([Layer(tar, kinds[i % 3]) for i, tar in enumerate(tars)],
                 Cmd=["/bin/sh"], Env=["PATH=/bin:/usr/bin"])


def layered_names():
    """What /many holds in the end: every fifth layer removes the file of the one below it."""
    first = 2 + len(change_layers())
    return [f"{i:02}" for i in range(first, N_LAYERS)
            if not ((i + 1) % 5 == 0 and i + 1 < N_LAYERS)]


def debian_over_busybox():
    """python3 and its libraries below busybox's /bin: without the links into /usr."""
    tar = Tar()
    wanted = ("usr/bin/python3", "usr/lib/python3", "usr/lib/x86_64-linux-gnu/", "usr/lib64/")
    paths = [p for p in package_paths(closure(["python3-minimal"]))
             if (p[1:] + "/").startswith(wanted) or p[1:].startswith("usr/bin/python3")]
    for path in paths:
        st = os.lstat(path)
        name, mode = path[1:], stat.S_IMODE(st.st_mode)
        if stat.S_ISDIR(st.st_mode):
            tar.dir(name, mode)
        elif stat.S_ISLNK(st.st_mode):
            tar.symlink(name, os.readlink(path))
        else:
            with open(path, "rb") as f:
                tar.file(name, f.read(), mode)
    tar.symlink("lib", "usr/lib")
    tar.symlink("lib64", "usr/lib64")
    return tar
