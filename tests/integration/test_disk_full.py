"""
Disks that are full at any stage of a pull or load: the error says so, nothing is left half-done,
and everything works once there is space.
"""
import json
import os
import subprocess

import pytest

import harness
import oci
from faulty import noisy_layers

MSB_IMAGE = os.path.join(os.path.dirname(os.path.dirname(harness.MSB)), "lib", "msb-image")
FULL = "no space left"


class Disk:
    """A small file system in memory."""

    def __init__(self, path, **options):
        self.path = str(path)
        os.makedirs(self.path, exist_ok=True)
        self.mount(**options)

    def mount(self, *flags, **options):
        text = ",".join([*flags, *(f"{key}={value}" for key, value in options.items())])
        r = subprocess.run(["mount", "-t", "tmpfs", "-o", text, "tmpfs", self.path],
                           capture_output=True, check=False)
        if r.returncode != 0:
            pytest.skip("a file system cannot be mounted here")

    def give_space(self):
        self.mount("remount", size="64m", nr_inodes=10000)

    def fill(self, keep=0):
        """Leaves no more than some bytes."""
        with open(os.path.join(self.path, "filler"), "wb", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(4096))
            except OSError:
                f.truncate(max(f.tell() - keep, 0))

    def empty(self):
        os.unlink(os.path.join(self.path, "filler"))

    def unmount(self):
        subprocess.run(["umount", "-l", self.path], check=True)


@pytest.fixture
def disk(tmp_path):
    mounted = []

    def make(**options):
        mounted.append(Disk(tmp_path / f"disk{len(mounted)}", **options))
        return mounted[-1]
    yield make
    for d in mounted:
        d.unmount()


@pytest.fixture(scope="module")
def image():
    return oci.Image(noisy_layers(4, size=200_000), Cmd=["/bin/sh"])


def unfinished(home):
    cache = os.path.join(home.path, "cache")
    return [os.path.join(folder, f) for folder, _, files in os.walk(cache) for f in files
            if f.startswith(".tmp-") or folder.endswith("locks")]


def check_recovery(d, home, server, image):
    """After a failure, with space again."""
    d.give_space()
    assert home.images() == []
    home("pull", "-q", server.name).ok()
    assert unfinished(home) == []
    r = subprocess.run([MSB_IMAGE, "verify", "--home", home.path, image.digest],
                       capture_output=True, timeout=harness.LIMIT, check=False)
    assert json.loads(r.stdout)["ok"], r


def pull_on(disk, server, image, **options):
    """Pulls on a small disk; whether it was large enough."""
    d = disk(**options)
    home = harness.Home(os.path.join(d.path, "home"))
    r = home("pull", "-q", server.name)
    if r.rc == 0:
        return True
    r.failed(1, FULL)
    assert unfinished(home) == []
    check_recovery(d, home, server, image)
    return False


def test_pull_on_disks_of_all_sizes(disk, server, image):
    enough = [size for size in range(0, 2400, 120)
              if pull_on(disk, server, image, size=f"{size + 4}k")]
    assert enough and min(enough) > 1200
    assert enough == list(range(min(enough), 2400, 120))


def test_pull_on_disks_with_few_files(disk, server, image):
    """Where a file cannot even be made."""
    enough = [n for n in range(2, 50, 2)
              if pull_on(disk, server, image, size="64m", nr_inodes=n)]
    assert enough and min(enough) > 10


@pytest.mark.parametrize("keep", [0, 100_000, 500_000])
def test_load_on_a_full_disk(disk, tmp_path, image, keep):
    archive = oci.write_oci(str(tmp_path / "image.tar"), {"demo": image})
    d = disk(size="4m")
    home = harness.Home(os.path.join(d.path, "home"))
    home("images").ok()
    d.fill(keep)
    home("load", "-q", "-i", archive).failed(1, FULL)
    assert unfinished(home) == []
    d.empty()
    assert home.images() == []
    home("load", "-q", "-i", archive).ok()
    assert home.images() == ["demo"]


@pytest.mark.parametrize("remove", [["rmi", "-q"], ["image", "prune", "-q", "-y"]])
def test_making_room_on_a_full_disk(disk, server, remove):
    """What is there can be looked at and removed with no byte left: room for that is kept."""
    d = disk(size="8m")
    home = harness.Home(os.path.join(d.path, "home"))
    spare = os.path.join(home.path, "db/spare")
    home("pull", "-q", server.name).ok()
    assert os.stat(spare).st_blocks > 0
    d.fill()
    home("pull", "-q", "-f", server.name).failed(1, FULL)
    assert home.images() == [server.name]
    home("image", "inspect", server.name).ok()
    home(*remove, *([server.name] if remove[0] == "rmi" else [])).ok()
    assert home.images() == []
    assert os.listdir(os.path.join(home.path, "cache/layers")) == []
    assert os.path.exists(spare)


def test_full_disk_without_spare_room(disk, server):
    """Every command says what is wrong."""
    d = disk(size="8m")
    home = harness.Home(os.path.join(d.path, "home"))
    home("pull", "-q", server.name).ok()
    os.unlink(os.path.join(home.path, "db/spare"))
    d.fill()
    for args in (["images"], ["ls"], ["image", "rm", server.name], ["pull", "-f", server.name]):
        home(*args).failed(1, FULL)
