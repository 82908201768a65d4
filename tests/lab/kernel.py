"""
L1's kernel and initramfs, made from Debian's kernel package and busybox, kept in a cache outside
the tree under the package's version and a hash of this file.
"""
import fcntl
import glob
import hashlib
import lzma
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
import tempfile

CACHE = os.path.join(os.environ.get("MSB_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "microsandbox"), "lab")
BUSYBOX = "/bin/busybox"
META_PACKAGE = "linux-image-amd64"  # the general kernel: the one for clouds has no 9p
# In the order of loading; what they depend on is found out. No module names crc32c_generic, but
# ext4 cannot do without.
MODULES = ["crc32c_generic", "virtio_pci", "virtio_blk", "virtio_console", "ext4",
           "9pnet_virtio", "9p", "overlay", "kvm_amd"]
FOLDERS = ["bin", "dev", "host", "kept", "modules", "new", "proc", "scratch", "sys"]
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class Failure(Exception):
    """Ends the program with its text."""


def say(text):
    print("lab: " + text, file=sys.stderr, flush=True)


def call(*command, **options):
    """Runs a program that has to succeed; what it says counts only when it does not."""
    r = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, check=False, text=True,
                       env={**os.environ, "PATH": PATH, "LC_ALL": "C"}, **options)
    if r.returncode:
        raise Failure(f"'{' '.join(command)}' failed:\n{r.stdout.strip()}")
    return r.stdout


# --- initramfs ---------------------------------------------------------------------------------


def cpio_entry(name, mode, data=b"", rdev=(0, 0)):
    path = name.encode() + b"\0"
    fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(path), 0]
    head = b"070701" + b"".join(b"%08X" % f for f in fields) + path
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def cpio(entries):
    """An archive as the kernel unpacks it, with a trailer, behind which another may follow."""
    return b"".join(cpio_entry(*e) for e in entries) + cpio_entry("TRAILER!!!", 0)


def file_entry(name, data, mode=0o644):
    return name, stat.S_IFREG | mode, data


def module_files(folder):
    """Contents by name in the order of loading, each behind those that it depends on."""
    paths = {os.path.basename(p)[:-len(".ko")].replace("-", "_"): p
             for p in glob.glob(folder + "/**/*.ko", recursive=True)}
    found = {}

    def add(name):
        if name in found:
            return
        if name not in paths:
            raise Failure(f"the kernel package has no module '{name}'")
        with open(paths[name], "rb") as f:
            data = f.read()
        depends = re.search(rb"\0depends=([^\0]*)\0", data)  # a string of the section .modinfo
        for other in depends[1].decode().split(",") if depends else []:
            if other:
                add(other.replace("-", "_"))
        found[name] = data
    for name in MODULES:
        add(name)
    return found


def make_initramfs(modules):
    """All but /init and what else a run brings along."""
    with open(BUSYBOX, "rb") as f:
        busybox = f.read()
    return cpio([(d, stat.S_IFDIR | 0o755) for d in FOLDERS] + [
        # The kernel attaches it to the first process's standard streams.
        ("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)),
        file_entry("bin/busybox", busybox, 0o755),
        file_entry("modules/order", "".join(name + "\n" for name in modules).encode()),
        *(file_entry(f"modules/{name}.ko", data) for name, data in modules.items())])


# --- kernel ------------------------------------------------------------------------------------


def unpack_kernel(bzimage):
    """The ELF file in it: an emulated CPU would take seconds to unpack it at each boot."""
    sectors = bzimage[0x1f1] or 4  # setup_sects
    offset, size = struct.unpack_from("<II", bzimage, 0x248)  # payload_offset, payload_length
    start = (sectors + 1) * 512 + offset
    # The payload ends with the unpacked size, which is no part of the stream.
    kernel = lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(bzimage[start:start + size])
    if kernel[:4] != b"\x7fELF":
        raise Failure("the kernel package has no ELF kernel in its vmlinuz")
    return kernel


def package():
    """Name and version of the kernel that apt would install."""
    out = call("apt-cache", "show", "--no-all-versions", META_PACKAGE)
    found = re.search(r"^Depends: (linux-image-\S+) \(= ([^)]+)\)", out, re.M)
    if not found:
        raise Failure(f"apt knows no {META_PACKAGE}")
    return found[1], found[2]


def download(name, version, folder):
    """Fetches the package and unpacks it there."""
    as_root = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    say(f"downloading {name} {version}")
    call("apt-get", "-q", *as_root, "download", f"{name}={version}", cwd=folder)
    call("dpkg", "-x", glob.glob(folder + "/*.deb")[0], folder)


def make(name, version, target):
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="new.") as work:
        download(name, version, work)
        with open(glob.glob(work + "/boot/vmlinuz-*")[0], "rb") as f:
            files = {"vmlinux": unpack_kernel(f.read()),
                     "initramfs": make_initramfs(module_files(work + "/lib/modules"))}
        finished = os.path.join(work, "finished")
        os.mkdir(finished)
        for file, data in files.items():
            with open(os.path.join(finished, file), "wb") as f:
                f.write(data)
        os.rename(finished, target)


def recipe():
    """Changes when something else would come out of the same package."""
    parts = hashlib.sha256()
    for path in (__file__, BUSYBOX):
        with open(path, "rb") as f:
            parts.update(f.read())
    return parts.hexdigest()[:12]


def find_or_make():
    name, version = package()
    target = os.path.join(CACHE, f"{name}_{version}_{recipe()}")
    if not os.path.isdir(target):
        for old in glob.glob(CACHE + "/linux-image-*") + glob.glob(CACHE + "/new.*"):
            if f"{name}_{version}_" not in old:
                shutil.rmtree(old)
        make(name, version, target)
    return target


def prepare():
    """The folder with vmlinux and initramfs, which are made when they are not there."""
    os.makedirs(CACHE, exist_ok=True)
    with open(os.path.join(CACHE, "lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return find_or_make()
        except Failure as e:
            # apt's lists are missing, or so old that the package is gone.
            say(f"{e}\nlab: trying again with new package lists")
            call(*([] if os.geteuid() == 0 else ["sudo"]), "apt-get", "-qq", "update")
            return find_or_make()
