"""What the programs share that go into the lab to do their work there."""
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(HERE))
TOOLS = os.path.join(TREE, "tools")
BUSYBOX = "/bin/busybox"
IMAGE = "lab:latest"


def in_lab():
    return "MSB_LAB" in os.environ  # set by `session`


def command(build, options, arguments):
    """
    What runs the calling program in the lab, with options of `lab run`. To be started in the
    build, because only the tree and the current directory are seen there if they are in /tmp.
    """
    return [os.path.join(HERE, "lab"), "run", *options, "--", os.path.abspath(sys.argv[0]),
            "-b", build, *arguments]


def enter(build, options, arguments):
    """Becomes that command."""
    program = command(build, options, arguments)
    os.chdir(build)
    os.execv(program[0], program)


def add_build_option(parser):
    parser.add_argument("-b", "--build", type=os.path.abspath, default=TREE + "/build",
                        metavar="DIR", help="a finished build (build)")


def make_image(build):
    """The archive of a small image, made outside, where Python is fast."""
    path = os.path.join(build, "lab", "image.tar")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    subprocess.run([os.path.join(TOOLS, "mkimage"), path, IMAGE], check=True)
    return path


class Installation:
    """The build installed on the scratch disk, as a user would have it."""

    def __init__(self, build):
        prefix = "/tmp/msb"
        subprocess.run([os.path.join(TOOLS, "stage"), build, prefix], check=True)
        self.msb = prefix + "/bin/msb"
        self.vmm = prefix + "/lib/msb-vmm"
        self.kernel = prefix + "/lib/vmlinux"
        self.programs = [self.msb, self.vmm, prefix + "/lib/msb-monitor",
                         prefix + "/lib/msb-image"]

    def load_image(self, build):
        os.environ["MSB_HOME"] = "/tmp/msb-home"
        archive = os.path.join(build, "lab", "image.tar")
        subprocess.run([self.msb, "load", "-q", "-i", archive], check=True)


# --- a root for measurements -------------------------------------------------------------------

ROOT = "/tmp/root"
QEMU_DATA = ["/usr/share/qemu", "/usr/share/seabios", "/usr/lib/x86_64-linux-gnu/qemu"]


def libraries(program):
    """Paths of what the dynamic linker loads for it, as it names them."""
    r = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return re.findall(r"(/\S+) \(0x", r.stdout)  # nothing for a static one


def make_root(programs):
    """
    A root on the scratch disk with just these programs: each open and each symbolic link of the
    real one asks the 9p server, for as long as this machine takes, which no clock of L1 can hide.
    It has the same /tmp, where whatever it is to work on belongs.
    """
    for folder in ("bin", "lib", "lib64", "sbin"):
        os.makedirs(f"{ROOT}/usr/{folder}")
        os.symlink("usr/" + folder, f"{ROOT}/{folder}")
    files = ["/etc/ld.so.cache", *programs, *(p for name in programs for p in libraries(name))]
    for path in (p for p in files if not p.startswith("/tmp/")):
        os.makedirs(os.path.dirname(ROOT + path), exist_ok=True)
        shutil.copy(path, ROOT + path)
    for path in filter(os.path.isdir, QEMU_DATA):
        shutil.copytree(path, ROOT + path)
    for path in ("/dev", "/proc", "/sys", "/tmp"):
        os.mkdir(ROOT + path)
        subprocess.run(["mount", "-o", "bind", path, ROOT + path], check=True)
