"""A registry whose answers a test can replace one by one, and stop in the middle."""
import random
import re
import socket
import threading
from dataclasses import dataclass

import oci
import registry
from harness import LIMIT


@dataclass
class Request:
    method: str
    path: str
    range: str | None


class FaultyRegistry(registry.FakeRegistry):
    """
    A FakeRegistry that knows ranges. Each of `rules` is called with the handler of a request and
    answers it by returning True; otherwise the next one gets it, and then the FakeRegistry.
    """

    def __init__(self, image, index=None):
        self.rules, self.log = [], []
        super().__init__(image, index)

    @property
    def name(self):
        return self.host + "/some/image"

    def reset(self):
        self.rules, self.log = [], []

    def answer(self, h):
        self.log.append(Request(h.command, h.path, h.headers.get("Range")))
        try:
            if not any(rule(h) for rule in list(self.rules)):
                super().answer(h)
        except (BrokenPipeError, ConnectionResetError):
            h.close_connection = True

    def layer_requests(self):
        """Requests for layers: digest and range."""
        layers = {layer.digest for layer in self.image.layers}
        found = [(r.path.rsplit("/", 1)[1], r.range) for r in self.log]
        return [(name, wanted) for name, wanted in found if name in layers]

    # --- rules ---

    def on(self, part, answer, times=None):
        """Answers requests whose path contains the text, the first few or all of them."""
        lock, count = threading.Lock(), [0]

        def rule(h):
            if part not in h.path:
                return False
            with lock:
                count[0] += 1
                if times is not None and count[0] > times:
                    return False
            answer(h)
            return True
        self.rules.append(rule)

    def status(self, code, **headers):
        return lambda h: self.send(h, code, b'{"errors": [{"message": "told to"}]}', **headers)

    def body(self, data, kind="application/octet-stream", status=200, **headers):
        return lambda h: self.send(h, status, data, kind, **headers)

    def broken_off(self, data, n):
        """The first bytes of an answer that promises all of them, or the rest that was asked for."""
        def answer(h):
            h.send_response(200)
            h.send_header("Content-Length", str(len(data)))
            h.end_headers()
            if h.command == "GET":
                h.wfile.write(data[:n])
            hang_up(h)
        return answer

    def ranged(self, data, off=0):
        """What a server does that knows ranges; `off` is by how much it misses the start."""
        def answer(h):
            m = re.fullmatch(r"bytes=(\d+)-", h.headers.get("Range", ""))
            if not m:
                return self.send(h, 200, data)
            start = int(m[1]) + off
            return self.send(h, 206, data[start:],
                             Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")
        return answer


def hang_up(h):
    h.wfile.flush()
    h.connection.shutdown(socket.SHUT_RDWR)
    h.close_connection = True


class Gate:
    """Stops an answer after some bytes until it is opened; whoever waits is told that it stands."""

    def __init__(self, server, data, n):
        self.server, self.data, self.n = server, data, n
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, h):
        h.send_response(200)
        h.send_header("Content-Length", str(len(self.data)))
        h.end_headers()
        h.wfile.write(self.data[:self.n])
        h.wfile.flush()
        self.reached.set()
        assert self.opened.wait(LIMIT)
        h.wfile.write(self.data[self.n:])

    def wait(self):
        assert self.reached.wait(LIMIT), "the registry was not asked"


def noisy_layers(n, seed=1, size=100_000):
    """Layers with a file each that does not compress, in turns of all compressions."""
    rng = random.Random(seed)
    kinds = ["gzip", "zstd", ""]
    layers = []
    for i in range(n):
        tar = oci.Tar()
        tar.dir("noise")
        tar.file(f"noise/{seed}-{i}", rng.randbytes(size))
        layers.append(oci.Layer(tar, kinds[i % len(kinds)]))
    return layers
