"""
Pulls that are killed, at any point: what is in the store is whole, the next pull completes, and
nothing is left behind. Whose turn it is and where depends on a seed that is printed.
"""
import ctypes
import hashlib
import json
import os
import random
import select
import struct
import subprocess

import pytest

import harness
import oci
from faulty import FaultyRegistry, Gate, noisy_layers
from harness import finish

MSB_IMAGE = os.path.join(os.path.dirname(os.path.dirname(harness.MSB)), "lib", "msb-image")
SEED = int(os.environ.get("MSB_TEST_SEED", "1"))
INDEX, DATA = "index2", "data2"  # with the version of what is in them
FOLDERS = ("blobs", "layers", "images", "locks")
IN_CREATE, IN_MOVED_TO, IN_DELETE = 0x100, 0x80, 0x200


@pytest.fixture(scope="module")
def image():
    small = oci.busybox()
    return oci.Image(small.layers + noisy_layers(5), Cmd=["/bin/sh"], Env=["PATH=/bin"])


class CacheEvents:
    """Names that appear and go in the cache, as they do (inotify)."""

    def __init__(self, home):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_CLOEXEC)
        assert self.fd >= 0
        for folder in FOLDERS:
            path = os.path.join(home.path, "cache", folder)
            os.makedirs(path, exist_ok=True)
            mask = IN_CREATE | IN_MOVED_TO | IN_DELETE
            assert libc.inotify_add_watch(self.fd, path.encode(), mask) >= 0

    def wait(self, n, process):
        """Until there have been n of them, or the process has ended; whether there were."""
        ended = os.pidfd_open(process.pid)
        try:
            while n > 0:
                ready = select.select([self.fd, ended], [], [], harness.LIMIT)[0]
                if self.fd not in ready:
                    return False
                data = os.read(self.fd, 4096)
                while data:
                    length = struct.unpack_from("iIII", data)[3]
                    data = data[16 + length:]
                    n -= 1
            return True
        finally:
            os.close(ended)

    def close(self):
        os.close(self.fd)


def kill(process, victims):
    """Kills msb, its msb-image, or both."""
    pids = harness.below(process.pid, "msb-image") if "msb-image" in victims else []
    if "msb" in victims:
        process.kill()
    for pid in pids:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass


def check_store(home, image):
    """Whatever has its final name is whole."""
    by_name = {"sha256_" + d[7:]: data for d, data in image.blobs().items()}
    plain = {"sha256_" + layer.digest[7:] + ".zst" for layer in image.layers}
    for name in os.listdir(os.path.join(home.path, "cache/blobs")):
        path = os.path.join(home.path, "cache/blobs", name)
        if name in by_name:
            with open(path, "rb") as f:
                assert f.read() == by_name[name], name
        else:
            assert name in plain or name.startswith(".tmp-"), name
    ids = {"sha256_" + layer.diff_id[7:] for layer in image.layers}
    for name in os.listdir(os.path.join(home.path, "cache/layers")):
        path = os.path.join(home.path, "cache/layers", name)
        if name.startswith(".tmp-"):
            continue
        layer, kind = name.split(".")
        assert layer in ids and kind in (INDEX, DATA), name
        if kind == INDEX:
            with open(path, "rb") as f:
                index = f.read()
            assert "sha256_" + index[16:48].hex() == layer
            n_data, _, n_body = struct.unpack_from("<QQQ", index, 48)
            assert len(index) == 128 + n_body
            assert hashlib.sha256(index[128:]).digest() == index[72:104]
            if n_data:
                assert os.path.getsize(path[:-len(INDEX)] + DATA) == n_data


def verify(home, image):
    r = subprocess.run([MSB_IMAGE, "verify", "--home", home.path, image.digest],
                       capture_output=True, timeout=harness.LIMIT, check=False)
    return json.loads(r.stdout)


def unfinished(home):
    return [name for folder in FOLDERS
            for name in os.listdir(os.path.join(home.path, "cache", folder))
            if name.startswith(".tmp-") or folder == "locks"]


def check_after_kill(home, server, image, before):
    """The state in which a killed pull has left the home, and the pull that follows."""
    harness.wait_for_exit(set(harness.runtime_and_forked()) - before)
    check_store(home, image)
    assert home.images() in ([], [server.name])
    home("pull", "-q", server.name).ok()
    assert home.images() == [server.name]
    assert unfinished(home) == []
    answer = verify(home, image)
    assert answer["ok"], answer


def forget(home):
    """Back to an empty cache, without the pull that a removal of the image would save."""
    home("image", "rm", "-q", *home.images()).ok()
    assert not os.listdir(os.path.join(home.path, "cache/layers"))


VICTIMS = [{"msb"}, {"msb-image"}, {"msb", "msb-image"}]


def test_killed_after_some_bytes(quick, server, image):
    """While the registry is in the middle of a layer, which it then never ends."""
    rng = random.Random(SEED)
    print("seed", SEED)
    before = set(harness.runtime_processes())
    for i in range(50):
        layer = rng.choice(image.layers)
        n = rng.choice([0, 1, 512, len(layer.blob) - 1, rng.randrange(len(layer.blob))])
        victims = VICTIMS[i % 3]
        print("point", i, layer.digest, n, victims)
        gate = Gate(server, layer.blob, n)
        server.reset()
        server.on(layer.digest, gate, times=1)
        p = quick.popen("pull", server.name)
        gate.wait()
        kill(p, victims)
        r = finish(p)
        assert r.rc != 0
        # Only now: nobody may need the rest to come to an end.
        harness.wait_for_exit(set(harness.runtime_and_forked()) - before)
        gate.opened.set()
        if "msb" not in victims:
            r.failed(1, "msb-image was killed by signal 9")
        check_after_kill(quick, server, image, before)
        forget(quick)


def test_killed_at_some_change_of_the_store(quick, server, image):
    """When a file of the cache has just been made, published or removed: all stages in turn."""
    rng = random.Random(SEED)
    print("seed", SEED)
    quick("images").ok()
    before = set(harness.runtime_processes())
    reached = 0
    for i in range(50):
        events = CacheEvents(quick)
        n, victims = rng.randrange(1, 60), VICTIMS[i % 3]
        print("point", i, n, victims)
        p = quick.popen("pull", server.name)
        reached += events.wait(n, p)
        kill(p, victims)
        finish(p)
        events.close()
        check_after_kill(quick, server, image, before)
        forget(quick)
    assert reached > 40


def test_image_after_kills_runs(fresh, server, image):
    gate = Gate(server, image.layers[0].blob, 1000)
    server.on(image.layers[0].digest, gate, times=1)
    p = fresh.popen("pull", server.name)
    gate.wait()
    kill(p, {"msb", "msb-image"})
    finish(p)
    gate.opened.set()
    script = "cat /noise/* | wc -c"
    r = fresh("run", server.name, "--", "sh", "-c", script)
    assert r.ok().split() == [b"500000"]


# --- two at once --------------------------------------------------------------------------------


def fetched(server):
    """How often each layer was asked for."""
    names = [name for name, _ in server.layer_requests()]
    return {name: names.count(name) for name in names}


def test_same_image_at_once(fresh, server, image):
    """Each layer comes once, however many want it."""
    gate = Gate(server, image.layers[1].blob, 1000)
    server.on(image.layers[1].digest, gate, times=1)
    pulls = [fresh.popen("pull", server.name) for _ in range(4)]
    gate.wait()
    gate.opened.set()
    for p in pulls:
        finish(p).ok()
    assert fetched(server) == {layer.digest: 1 for layer in image.layers}


def test_overlapping_images_at_once(fresh, image):
    shared = image.layers[:4]
    other = oci.Image(list(reversed(shared)) + noisy_layers(2, seed=2), Cmd=["/bin/sh"])
    servers = [FaultyRegistry(image), FaultyRegistry(other)]
    try:
        for p in [fresh.popen("pull", s.name) for s in servers]:
            finish(p).ok()
        counts = [fetched(s) for s in servers]
        for layer in image.layers + other.layers:
            assert sum(c.get(layer.digest, 0) for c in counts) == 1
    finally:
        for s in servers:
            s.stop()


def test_waiting_pull_takes_over(fresh, server, image):
    """The second pull waits for the layer of the first, which dies in the middle of it."""
    layer = image.layers[2]
    gate = Gate(server, layer.blob, 5000)
    server.on(layer.digest, gate, times=1)
    first = fresh.popen("pull", server.name)
    gate.wait()
    second = fresh.popen("pull", server.name, stdin=subprocess.DEVNULL)
    tools = harness.wait_for(lambda: harness.below(second.pid, "msb-image"), "no msb-image")
    lock = "sha256_" + layer.diff_id[7:] + "." + INDEX
    path = os.path.join(fresh.path, "cache/locks", lock)
    harness.wait_for(lambda: waits_for_lock(tools[0], path), "the second pull does not wait")
    others = {"sha256_" + i.diff_id[7:] + "." + INDEX for i in image.layers if i is not layer}
    folder = os.path.join(fresh.path, "cache/layers")
    harness.wait_for(lambda: others <= set(os.listdir(folder)), "the other layers do not come")
    kill(first, {"msb", "msb-image"})
    finish(first)
    gate.opened.set()
    finish(second).ok()
    counts = fetched(server)
    assert counts.pop(layer.digest) == 2 and all(n == 1 for n in counts.values())
    assert verify(fresh, image)["ok"]


def waits_for_lock(pid, path):
    inode = f":{os.stat(path).st_ino} "
    with open("/proc/locks", encoding="ascii") as f:
        return any("->" in line and f" {pid} " in line and inode in line for line in f)
